/* host_signal_posix.c: SIGINT and SIGTERM by signal(), SIGQUIT by sigaction(), as its handler stays. Owns which function
 * they call. */
#include "bindings/lua/host/host_signal.h"

#include <signal.h>
#include <stddef.h>

static saros_on_signal *listener;

static void handle(int number) {
    signal(number, SIG_DFL);
    if (!listener(number)) raise(number); /* NOLINT(bugprone-signal-handler): it is made for that */
}

/* Where a script never awaits the second one ends it, with a core where cores are wanted. */
static void handle_look(int number) {
    if (listener(SAROS_LOOK)) return; /* NOLINT(bugprone-signal-handler): it is made for that */
    signal(number, SIG_DFL);
    raise(number);
}

void saros_watch_signals(saros_on_signal *tell) {
    listener = tell;
    signal(SIGINT, handle);
    signal(SIGTERM, handle);
    struct sigaction look = {.sa_handler = handle_look, .sa_flags = SA_RESTART};
    sigemptyset(&look.sa_mask);
    sigaction(SIGQUIT, &look, NULL);
}

/* There is nothing to be seen any more, and who asks to see does not ask for the end. */
void saros_unwatch_signals(void) {
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    signal(SIGQUIT, SIG_IGN);
    listener = NULL;
}
