/* child_calls_ptrace.c: counts system calls with Linux' ptrace, as strace -f -c does.
 *
 * Every thread and process of the child's stops twice for each of its calls; only the first stop is counted. What is
 * wrong with the interface: a stop does not say of itself whether a call begins or ends, and the textbooks' "every
 * second one" goes wrong with clone, execve and whoever is killed in a call; so the kernel is asked (Linux 5.3). */
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bindings/lua/host/child_calls.h"

bool saros_calls_possible(void) { return true; }

int saros_calls_offer(void) {
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0) return -1;
    return kill(getpid(), SIGSTOP); /* raise makes calls of its own in some C libraries */
}

/* The numbers of ptrace's interface are pointers to C. */
static void *number(uintptr_t n) { return (void *)n; } /* NOLINT(performance-no-int-to-ptr) */

static bool begins_a_call(pid_t who, const char **why) {
    struct __ptrace_syscall_info info;
    if (ptrace(PTRACE_GET_SYSCALL_INFO, who, number(sizeof info), &info) > 0)
        return info.op == PTRACE_SYSCALL_INFO_ENTRY;
    if (errno != ESRCH)
        *why = "this kernel cannot tell where a system call begins: Linux 5.3 can"; /* else it was killed */
    return false;
}

/* The signal that a stopped thread is to be given, as if nobody had stopped it. */
static int passed_on(int status) {
    int signal = WSTOPSIG(status);
    if (status >> 16 != 0) return 0; /* a stop of ptrace's own: fork, clone, exec */
    return signal == (SIGTRAP | 0x80) || signal == SIGSTOP ? 0
                                                           : signal; /* the first stop of whoever is new is SIGSTOP */
}

bool saros_calls_follow(pid_t child, int64_t *calls, const char **why) {
    const uintptr_t options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK |
                              PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL;
    for (;;) {
        siginfo_t info = {0};
        int       status;
        /* The end of the child itself is left for whoever measures it. */
        if (waitid(P_ALL, 0, &info, WEXITED | WSTOPPED | WNOHANG | WNOWAIT | __WALL) != 0 || info.si_pid == 0)
            return false;
        bool over = info.si_code == CLD_EXITED || info.si_code == CLD_KILLED || info.si_code == CLD_DUMPED;
        if (over && info.si_pid == child) return true;
        if (waitpid(info.si_pid, &status, WNOHANG | __WALL) != info.si_pid || !WIFSTOPPED(status)) continue;
        if (*calls < 0 && info.si_pid == child) {
            ptrace(PTRACE_SETOPTIONS, child, NULL, number(options));
            *calls = 0;
        } else if (WSTOPSIG(status) == (SIGTRAP | 0x80) && begins_a_call(info.si_pid, why)) {
            ++*calls;
        }
        ptrace(PTRACE_SYSCALL, info.si_pid, NULL, number((uintptr_t)passed_on(status)));
    }
}
