/* host_signal.h: how the system asks the program saros to end; host_signal_posix.c or host_signal_windows.c.
 *
 * Owns the system's notion of it, and puts it back as it was; a wish to look in that comes afterwards ends nothing.
 * A wish to look in (SAROS_LOOK) may come again and again; if it cannot be told the system does what it does without us.
 * Promises: the first request of a kind is told and the program goes on, so that the script can end in peace; the next
 * one ends the process, so a script that never awaits, or does not end, can be stopped. */
#ifndef SAROS_HOST_SIGNAL_H
#define SAROS_HOST_SIGNAL_H

#include <stdbool.h>

enum { SAROS_LOOK = -1 /* somebody outside asks what the program does: SIGQUIT, where there is one */ };

/* Told SIGINT, SIGTERM or SAROS_LOOK, inside a signal handler or on another thread; false: there is nobody to tell, and the process
 * ends. */
typedef bool saros_on_signal(int number);

void saros_watch_signals(saros_on_signal *tell);
/* Afterwards `tell` is not running, and will not be called. */
void saros_unwatch_signals(void);

#endif
