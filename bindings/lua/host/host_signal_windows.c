/* host_signal_windows.c: what a console tells its programs. Owns the handler that is set.
 *
 * There are no signals: the system starts a thread in the process, which calls the handler. So it and the program run
 * side by side, and a lock keeps what is told alive while it is told. Ctrl-C and Ctrl-Break ask, and may be answered;
 * a window that is closed, a session that ends, ends the process as soon as the handler returns: there it must stay
 * until the script has ended. Windows waits for that a few seconds, and nothing can be done about it. */
#include "bindings/lua/host/host_signal.h"

#include <signal.h>
#include <windows.h>

static SRWLOCK          lock = SRWLOCK_INIT;
static saros_on_signal *listener;
static bool             told[2]; /* of each kind, once is enough */

static BOOL WINAPI handle(DWORD type) {
    bool asks = type == CTRL_C_EVENT || type == CTRL_BREAK_EVENT, heard = false;
    AcquireSRWLockExclusive(&lock);
    if (listener != NULL && !told[asks]) heard = told[asks] = listener(asks ? SIGINT : SIGTERM);
    ReleaseSRWLockExclusive(&lock);
    if (heard && !asks) Sleep(INFINITE); /* main's return ends this thread, too */
    return heard;                        /* else the system's own handler is next, and ends the process */
}

void saros_watch_signals(saros_on_signal *tell) {
    AcquireSRWLockExclusive(&lock);
    listener = tell;
    told[0] = told[1] = false;
    ReleaseSRWLockExclusive(&lock);
    SetConsoleCtrlHandler(handle, TRUE);
}

void saros_unwatch_signals(void) {
    SetConsoleCtrlHandler(handle, FALSE);
    AcquireSRWLockExclusive(&lock);
    listener = NULL;
    ReleaseSRWLockExclusive(&lock);
}
