/* os_thread_posix.c: threads and locks of POSIX.
 *
 * A thread is interrupted by a signal that is sent to it alone: the last of the real-time signals for which this process has no
 * use. Owns what that signal does, for the whole process, as long as there are threads of ours; then it does again what it
 * did. Where there are no such signals (macOS) nobody is interrupted. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#include "bindings/lua/threads/os_thread.h"
#include "core/saros.h"

_Static_assert(sizeof(pthread_mutex_t) <= sizeof(saros_mutex), "room for a lock");
_Static_assert(sizeof(pthread_t) <= sizeof((saros_os_thread){0}.words), "room for a thread");

_Static_assert(sizeof(sigset_t) <= sizeof((saros_os_thread){0}.outside), "room for a set of signals");

static pthread_mutex_t *own(saros_mutex *mutex) { return (pthread_mutex_t *)(void *)mutex->words; }

bool saros_mutex_init(saros_mutex *mutex) { return pthread_mutex_init(own(mutex), NULL) == 0; }
void saros_mutex_destroy(saros_mutex *mutex) { pthread_mutex_destroy(own(mutex)); }
void saros_mutex_lock(saros_mutex *mutex) { pthread_mutex_lock(own(mutex)); }
void saros_mutex_unlock(saros_mutex *mutex) { pthread_mutex_unlock(own(mutex)); }

/* ---- the signal ------------------------------------------------------------------------------------------------- */

static _Thread_local const saros_os_thread *this_one;

#ifdef SIGRTMIN

static pthread_mutex_t  lock = PTHREAD_MUTEX_INITIALIZER; /* of these: */
static pthread_cond_t   news = PTHREAD_COND_INITIALIZER;  /* one of the threads has ended: */
static unsigned         running;                          /* … so many of ours have not been joined */
static int              number;                           /* 0: none to spare */
static struct sigaction before;

static void handle(int signal) {
    const saros_os_thread *thread = this_one;
    int                    error = errno;
    (void)signal;
    if (thread != NULL) thread->interrupted(thread->p);
    errno = error;
}

static void enter(void) {
    struct sigaction ours = {.sa_handler = handle, .sa_flags = SA_RESTART | SA_ONSTACK};
    pthread_mutex_lock(&lock);
    sigemptyset(&ours.sa_mask);
    for (int last = SIGRTMAX; running == 0 && number == 0 && last >= SIGRTMIN; last--)
        if (sigaction(last, NULL, &before) == 0 && before.sa_handler == SIG_DFL && sigaction(last, &ours, NULL) == 0)
            number = last;
    running++;
    pthread_mutex_unlock(&lock);
}

static void leave(void) {
    struct sigaction now;
    pthread_mutex_lock(&lock);
    if (--running == 0 && number != 0) {
        if (sigaction(number, NULL, &now) == 0 && now.sa_handler == handle) sigaction(number, &before, NULL);
        number = 0;
    }
    pthread_mutex_unlock(&lock);
}

static void ends(saros_os_thread *thread) {
    pthread_mutex_lock(&lock);
    thread->ended = true;
    pthread_cond_broadcast(&news);
    pthread_mutex_unlock(&lock);
}

static void interrupt_until_it_ends(saros_os_thread *thread) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until); /* what a condition waits by; where it is set meanwhile, this waits longer */
    pthread_mutex_lock(&lock);
    for (time_t seconds = 1; !thread->ended; seconds *= 2) {
        until.tv_sec += seconds;
        while (!thread->ended && pthread_cond_timedwait(&news, &lock, &until) != ETIMEDOUT) {}
        if (!thread->ended) saros_os_thread_interrupt(thread);
    }
    pthread_mutex_unlock(&lock);
}

#else

enum { number = 0 };
static void enter(void) {}
static void leave(void) {}
static void ends(saros_os_thread *thread) { (void)thread; }
static void interrupt_until_it_ends(saros_os_thread *thread) { (void)thread; }

#endif

/* ---- threads ---------------------------------------------------------------------------------------------------- */

static void *begin(void *p) {
    saros_os_thread *thread = p;
    this_one = thread;
    thread->body(thread->p);
    ends(thread);
    return NULL;
}

/* A thread begins with its maker's mask. The number stays as it is while there are threads. */
static int create(saros_os_thread *thread, const saros_os_thread *maker, const pthread_attr_t *attributes,
                  pthread_t *id) {
    sigset_t all, mask;
    sigfillset(&all);
    if (number != 0) sigdelset(&all, number);
    pthread_sigmask(SIG_SETMASK, &all, &mask);
    memcpy(thread->outside, maker != NULL ? (const void *)maker->outside : &mask, sizeof mask); /* before it begins */
    int error = pthread_create(id, attributes, begin, thread);
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
    return error;
}

int saros_os_thread_start(saros_os_thread *thread, const saros_os_thread *maker) {
    pthread_attr_t attributes;
    pthread_t      id;
    int            error = pthread_attr_init(&attributes);
    if (error != 0) return saros_error_from_os(error);
    pthread_attr_setstacksize(&attributes, SAROS_THREAD_STACK); /* some systems give new threads 128 KiB */
    enter();
    error = create(thread, maker, &attributes, &id);
    pthread_attr_destroy(&attributes);
    if (error == 0) memcpy(thread->words, &id, sizeof id); /* for who joins it, and that is us */
    else leave();
    return error == 0 ? 0 : saros_error_from_os(error);
}

static pthread_t id_of(const saros_os_thread *thread) {
    pthread_t id;
    memcpy(&id, thread->words, sizeof id);
    return id;
}

void saros_os_thread_join(saros_os_thread *thread) {
    if (thread->unwilling) interrupt_until_it_ends(thread);
    pthread_join(id_of(thread), NULL);
    leave();
}

void saros_os_thread_interrupt(saros_os_thread *thread) {
    thread->unwilling = true;
    if (number != 0) pthread_kill(id_of(thread), number);
}

void saros_os_thread_outside(const saros_os_thread *thread, bool is) {
    sigset_t mask;
    if (is) memcpy(&mask, thread->outside, sizeof mask);
    else sigfillset(&mask);
    if (!is && number != 0) sigdelset(&mask, number);
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
}
