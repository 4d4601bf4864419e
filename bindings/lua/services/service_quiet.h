/* service_quiet.h: writes that no flag keeps from raising SIGPIPE.
 *
 * The signal is blocked in this thread around the call, and the one that the call has caused is taken away. What was
 * pending before stays so, and what the program has set for the signal is not touched. */
#ifndef SAROS_SERVICE_QUIET_H
#define SAROS_SERVICE_QUIET_H

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>

typedef struct saros_quiet {
    sigset_t only, before;
    bool     had; /* one was pending already */
} saros_quiet;

static inline bool saros_quiet_pending(void) {
    sigset_t pending;
    return sigpending(&pending) == 0 && sigismember(&pending, SIGPIPE);
}

static inline void saros_quiet_begin(saros_quiet *self) {
    sigemptyset(&self->only);
    sigaddset(&self->only, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &self->only, &self->before);
    self->had = sigismember(&self->before, SIGPIPE) && saros_quiet_pending();
}

/* broken: the call has ended with EPIPE. Where the signal is ignored nothing is pending, and sigwait would wait. */
static inline void saros_quiet_end(const saros_quiet *self, bool broken) {
    int taken;
    if (broken && !self->had && saros_quiet_pending()) sigwait(&self->only, &taken);
    pthread_sigmask(SIG_SETMASK, &self->before, NULL);
}

#endif
