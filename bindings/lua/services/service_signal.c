/* service_signal.c: signals, by sigaction and the loop's door.
 *
 * Not through libuv's uv_signal: that sets a signal back to the system's default when its last watcher stops, whatever a
 * host had there before; it needs libuv and its thread; and the door is made to be knocked at from a signal handler.
 *
 * Owns, for the whole process, who listens, and what each signal did before somebody did. That is static state: what a
 * signal does belongs to the process and to no loop. Promises: the handler only reads, sets bits and posts; a signal that
 * comes while another one of its kind was not taken yet is that one, as in the system; who has ignored is not touched
 * any more; a disposition that somebody else has set meanwhile is left as it is. A child that is forked without exec has
 * the handlers and no loop: it must not use either. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>

#include "bindings/lua/services/signal.h"

enum { MOST = 64 };

// clang-format off
#define HEARD(name) {#name, name, true},
#define DEAF(name)  {#name, name, false},
const saros_known_signal saros_known_signals[] = {
    HEARD(SIGHUP) HEARD(SIGINT) HEARD(SIGQUIT) DEAF(SIGILL) DEAF(SIGTRAP) HEARD(SIGABRT) DEAF(SIGBUS) DEAF(SIGFPE)
    DEAF(SIGKILL) HEARD(SIGUSR1) DEAF(SIGSEGV) HEARD(SIGUSR2) HEARD(SIGPIPE) HEARD(SIGALRM) HEARD(SIGTERM)
    HEARD(SIGCHLD) HEARD(SIGCONT) DEAF(SIGSTOP) HEARD(SIGTSTP) HEARD(SIGTTIN) HEARD(SIGTTOU) HEARD(SIGURG)
    HEARD(SIGXCPU) HEARD(SIGXFSZ) HEARD(SIGVTALRM) HEARD(SIGPROF) DEAF(SIGSYS)
#ifdef SIGWINCH
    HEARD(SIGWINCH)
#endif
#ifdef SIGIO
    HEARD(SIGIO)
#endif
#ifdef SIGPWR
    HEARD(SIGPWR)
#endif
#ifdef SIGINFO
    HEARD(SIGINFO)
#endif
    {NULL, 0, false}
};
#undef HEARD
#undef DEAF
// clang-format on

static pthread_mutex_t       lock = PTHREAD_MUTEX_INITIALIZER; /* of all that the handler does not read */
static _Atomic(saros_ears *) first;
static atomic_int            inside; /* handlers that run just now */
static unsigned              listeners[MOST + 1];
static struct sigaction      before[MOST + 1];

static void handle(int number) {
    int error = errno;
    atomic_fetch_add(&inside, 1);
    for (saros_ears *ears = atomic_load(&first); ears != NULL; ears = atomic_load(&ears->next))
        if ((ears->wanted & saros_signal_bit(number)) && atomic_fetch_or(&ears->come, saros_signal_bit(number)) == 0)
            saros_post(ears->loop, &ears->op, 0);
    atomic_fetch_sub(&inside, 1);
    errno = error;
}

static void restore(int number) {
    struct sigaction now;
    if (sigaction(number, NULL, &now) == 0 && now.sa_handler == handle) sigaction(number, &before[number], NULL);
}

static void leave(uint64_t signals) {
    for (int number = 1; number <= MOST; number++)
        if ((signals & saros_signal_bit(number)) && --listeners[number] == 0) restore(number);
}

static int enter(uint64_t signals) {
    struct sigaction ours = {.sa_handler = handle, .sa_flags = SA_RESTART | SA_ONSTACK};
    sigemptyset(&ours.sa_mask);
    for (int number = 1; number <= MOST; number++) {
        if (!(signals & saros_signal_bit(number)) || listeners[number]++ > 0) continue;
        if (sigaction(number, &ours, &before[number]) == 0) continue;
        int error = saros_error_from_os(errno);
        listeners[number]--;
        leave(signals & (saros_signal_bit(number) - 1));
        return error;
    }
    return 0;
}

/* It is in the list before the first signal can come. */
int saros_signal_listen(saros_ears *ears) {
    pthread_mutex_lock(&lock);
    atomic_store(&ears->next, atomic_load(&first));
    atomic_store(&first, ears);
    int error = enter(ears->wanted);
    pthread_mutex_unlock(&lock);
    if (error < 0) {
        ears->wanted = 0;
        saros_signal_ignore(ears);
    }
    return error;
}

/* A handler on another thread that is under way may still stand on it, and has a few instructions and one wake left. */
void saros_signal_ignore(saros_ears *ears) {
    pthread_mutex_lock(&lock);
    leave(ears->wanted);
    _Atomic(saros_ears *) *at = &first;
    while (atomic_load(at) != ears) at = &atomic_load(at)->next;
    atomic_store(at, atomic_load(&ears->next));
    pthread_mutex_unlock(&lock);
    while (atomic_load(&inside) > 0) {}
}
