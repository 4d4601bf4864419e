/* os_thread_posix.c: threads and locks of POSIX. */
#include <pthread.h>
#include <signal.h>
#include <string.h>

#include "bindings/lua/threads/os_thread.h"
#include "core/saros.h"

_Static_assert(sizeof(pthread_mutex_t) <= sizeof(saros_mutex), "room for a lock");
_Static_assert(sizeof(pthread_t) <= sizeof((saros_os_thread){0}.words), "room for a thread");

static pthread_mutex_t *own(saros_mutex *mutex) { return (pthread_mutex_t *)(void *)mutex->words; }

bool saros_mutex_init(saros_mutex *mutex) { return pthread_mutex_init(own(mutex), NULL) == 0; }
void saros_mutex_destroy(saros_mutex *mutex) { pthread_mutex_destroy(own(mutex)); }
void saros_mutex_lock(saros_mutex *mutex) { pthread_mutex_lock(own(mutex)); }
void saros_mutex_unlock(saros_mutex *mutex) { pthread_mutex_unlock(own(mutex)); }

static void *begin(void *p) {
    const saros_os_thread *thread = p;
    thread->body(thread->p);
    return NULL;
}

int saros_os_thread_start(saros_os_thread *thread, void (*body)(void *p), void *p) {
    sigset_t       all, before;
    pthread_attr_t attributes;
    pthread_t      id;
    int            error = pthread_attr_init(&attributes);
    if (error != 0) return saros_error_from_os(error);
    thread->body = body;
    thread->p = p;
    pthread_attr_setstacksize(&attributes, SAROS_THREAD_STACK); /* some systems give new threads 128 KiB */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* a thread begins with its maker's mask */
    error = pthread_create(&id, &attributes, begin, thread);
    if (error == 0) memcpy(thread->words, &id, sizeof id); /* for who joins it, and that is us */
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return error == 0 ? 0 : saros_error_from_os(error);
}

void saros_os_thread_join(saros_os_thread *thread) {
    pthread_t id;
    memcpy(&id, thread->words, sizeof id);
    pthread_join(id, NULL);
}
