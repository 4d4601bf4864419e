/* host_signal_posix.c: SIGINT and SIGTERM by signal(). Owns which function they call. */
#include "bindings/lua/host_signal.h"

#include <signal.h>
#include <stddef.h>

static saros_on_signal *listener;

static void handle(int number) {
    signal(number, SIG_DFL);
    if (!listener(number)) raise(number); /* NOLINT(bugprone-signal-handler): it is made for that */
}

void saros_watch_signals(saros_on_signal *tell) {
    listener = tell;
    signal(SIGINT, handle);
    signal(SIGTERM, handle);
}

void saros_unwatch_signals(void) {
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    listener = NULL;
}
