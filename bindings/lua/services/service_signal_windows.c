/* service_signal_windows.c: what a console tells its programs, by the names of signals:
 *
 *   SIGINT    Ctrl-C                            SIGHUP    the console's window is closed
 *   SIGBREAK  Ctrl-Break                        SIGTERM   the session ends, or the system
 *
 * Windows has no signals: it starts a thread in the process, which calls the handlers that are set, the last one first, until
 * one of them says that it has heard. (The C library's own, of SIGSEGV and its like, tell of mistakes in the code that runs.)
 * After the latter two the process ends as soon as the handler returns, so it stays there: the script has as long as Windows
 * waits, which is a few seconds. https://learn.microsoft.com/windows/console/handlerroutine
 *
 * Owns, for the whole process, the handler and who listens; a lock keeps both. Promises: a handler that somebody else has set
 * before is asked where nobody listens. */
#include <signal.h>
#include <windows.h>

#include "bindings/lua/services/signal.h"

enum { HUP = 1, KILL = 9, USR1 = 10, USR2 = 12 /* numbers of Linux where the C library has none */ };

const saros_known_signal saros_known_signals[] = {
    {"SIGINT", SIGINT, true},    {"SIGBREAK", SIGBREAK, true}, {"SIGHUP", HUP, true},     {"SIGTERM", SIGTERM, true},
    {"SIGABRT", SIGABRT, false}, {"SIGFPE", SIGFPE, false},    {"SIGILL", SIGILL, false}, {"SIGSEGV", SIGSEGV, false},
    {"SIGKILL", KILL, false},    {"SIGUSR1", USR1, false},     {"SIGUSR2", USR2, false},  {NULL, 0, false},
};

static SRWLOCK     lock = SRWLOCK_INIT;
static saros_ears *first;

static bool tell(uint64_t signal) {
    bool heard = false;
    AcquireSRWLockExclusive(&lock);
    for (saros_ears *ears = first; ears != NULL; ears = atomic_load(&ears->next)) {
        if (!(ears->wanted & signal)) continue;
        if (atomic_fetch_or(&ears->come, signal) == 0) saros_post(ears->loop, &ears->op, 0);
        heard = true;
    }
    ReleaseSRWLockExclusive(&lock);
    return heard;
}

static BOOL WINAPI handle(DWORD type) {
    int  number = type == CTRL_C_EVENT       ? SIGINT
                  : type == CTRL_BREAK_EVENT ? SIGBREAK
                  : type == CTRL_CLOSE_EVENT ? HUP
                                             : SIGTERM;
    bool heard = tell(saros_signal_bit(number));
    if (heard && (number == HUP || number == SIGTERM)) Sleep(INFINITE); /* main's return ends this thread, too */
    return heard;
}

/* The handler is set outside the lock: the console calls it under one of its own. */
int saros_signal_listen(saros_ears *ears) {
    AcquireSRWLockExclusive(&lock);
    bool is_first = first == NULL;
    atomic_store(&ears->next, first);
    first = ears;
    ReleaseSRWLockExclusive(&lock);
    if (!is_first || SetConsoleCtrlHandler(handle, TRUE)) return 0;
    int error = saros_error_from_os((int)GetLastError());
    saros_signal_ignore(ears);
    return error;
}

void saros_signal_ignore(saros_ears *ears) {
    AcquireSRWLockExclusive(&lock);
    _Atomic(saros_ears *) *next = NULL;
    for (saros_ears *at = first; at != ears; at = atomic_load(next)) next = &at->next;
    if (next != NULL) atomic_store(next, atomic_load(&ears->next));
    else first = atomic_load(&ears->next);
    bool was_last = first == NULL;
    ReleaseSRWLockExclusive(&lock);
    if (was_last) SetConsoleCtrlHandler(handle, FALSE);
}
