/* child_posix.c: children of this program, by fork, pipes and wait4.
 *
 * Owns the signals of this program once it was prepared: SIGCHLD, SIGINT and SIGTERM are blocked but inside pselect, so
 * none is lost between a look and a wait. Each child is a process group of its own: an interrupt from the terminal
 * reaches only us, and what a child has started can be ended with it (but for what has left the group, as a daemon does).
 * The group is killed while the child is a zombie: only so long is the number surely its own. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#ifdef SAROS_HAVE_PERSONALITY
#include <sys/personality.h>
#endif
#ifdef SAROS_HAVE_PRCTL
#include <sys/prctl.h>
#endif
#ifdef SAROS_HAVE_EXECUTABLE_PATH
#include <mach-o/dyld.h>
#endif

#include "bindings/lua/host/child.h"
#include "bindings/lua/host/child_calls.h"

enum {
    KEEP = 64 * 1024,   /* bytes of a child's output */
    LONGEST_WAIT = 3600 /* seconds at a time: what time_t and the system can take is not the same everywhere */
};

#ifdef SAROS_MAXRSS_IN_BYTES
enum { PEAK_UNIT = 1 };
#else
enum { PEAK_UNIT = 1024 };
#endif

/* What a child that could not become the program tells us, through a pipe that closes if it could. */
typedef struct failure {
    int step, number;
} failure;
enum { STEP_TRACE = 1, STEP_RUN };

struct saros_child {
    pid_t           pid; /* 0: it has ended */
    int             output, errors;
    bool            counted;
    double          started;
    char           *kept; /* room for twice KEEP: the last bytes are moved down when it is full */
    size_t          used;
    bool            cut;
    char            why[160];
    saros_child_end end;
};

static volatile sig_atomic_t interrupted;
static sigset_t              before; /* what was blocked when we were started; children get it back */

static void note(int number) {
    if (number != SIGCHLD) interrupted = number;
}

void saros_child_prepare(void) {
    const int numbers[] = {SIGCHLD, SIGINT, SIGTERM};
    sigset_t  ours;
    sigemptyset(&ours);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        struct sigaction old, action = {.sa_handler = note};
        sigemptyset(&action.sa_mask);
        if (sigaction(numbers[i], NULL, &old) != 0) continue;
        if (numbers[i] != SIGCHLD && old.sa_handler == SIG_IGN) continue; /* started with nohup, or behind & */
        sigaction(numbers[i], &action, NULL);
        sigaddset(&ours, numbers[i]);
    }
    sigprocmask(SIG_BLOCK, &ours, &before);
}

int saros_child_interrupted(void) { return interrupted; }

double saros_child_clock(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* ---- starting one --------------------------------------------------------------------------------------------- */

static void give_up(int errors, int step) {
    failure told = {step, errno};
    ssize_t wrote = write(errors, &told, sizeof told);
    _exit(wrote == sizeof told ? 127 : 126);
}

/* In the child, which may do only what is safe after a fork. */
static void become(const saros_child_plan *plan, int input, int output, int errors) {
    setpgid(0, 0);
    sigprocmask(SIG_SETMASK, &before, NULL);
#ifdef SAROS_HAVE_PRCTL
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* if we are killed ourselves */
#endif
#ifdef SAROS_HAVE_PERSONALITY
    if (plan->fixed) personality((unsigned)personality(0xffffffff) | ADDR_NO_RANDOMIZE);
#endif
    if (dup2(input, 0) < 0 || dup2(plan->show ? 2 : output, 1) < 0 || (!plan->show && dup2(output, 2) < 0))
        give_up(errors, STEP_RUN);
    if (plan->calls && saros_calls_offer() < 0) give_up(errors, STEP_TRACE);
    execv(plan->program, plan->words);
    give_up(errors, STEP_RUN);
}

static int private_pipe(int ends[2], bool blocking) {
    if (pipe(ends) != 0) return -1;
    fcntl(ends[0], F_SETFD, FD_CLOEXEC);
    fcntl(ends[1], F_SETFD, FD_CLOEXEC);
    if (!blocking) fcntl(ends[0], F_SETFL, O_NONBLOCK);
    return 0;
}

static void close_all(const int *descriptors, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (descriptors[i] >= 0) close(descriptors[i]);
}

saros_child *saros_child_start(const saros_child_plan *plan, char *why, size_t size) {
    int          fds[5] = {-1, -1, -1, -1, -1}; /* output read, write; errors read, write; input */
    saros_child *child = calloc(1, sizeof *child);
    if (child != NULL) child->kept = malloc((size_t)2 * KEEP);
    if (child == NULL || child->kept == NULL) {
        free(child);
        snprintf(why, size, "not enough memory");
        return NULL;
    }
    bool ok = private_pipe(fds, false) == 0 && private_pipe(fds + 2, false) == 0;
    if (ok) fds[4] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    ok = ok && fds[4] >= 0;
    errno = ok && fds[0] >= FD_SETSIZE ? EMFILE : errno;
    ok = ok && fds[0] < FD_SETSIZE;
    child->started = saros_child_clock();
    child->pid = ok ? fork() : -1;
    if (child->pid == 0) become(plan, fds[4], fds[1], fds[3]);
    if (child->pid < 0) {
        snprintf(why, size, "cannot start a process: %s", strerror(errno));
        close_all(fds, 5);
        free(child->kept);
        free(child);
        return NULL;
    }
    setpgid(child->pid, child->pid); /* both do: whoever is first */
    close_all((int[]){fds[1], fds[3], fds[4]}, 3);
    child->output = fds[0];
    child->errors = fds[2];
    child->counted = plan->calls;
    child->end.calls = -1;
    return child;
}

/* ---- waiting for one ------------------------------------------------------------------------------------------ */

static void drain(saros_child *child) {
    for (;;) {
        if (child->used == (size_t)2 * KEEP) {
            memmove(child->kept, child->kept + KEEP, KEEP);
            child->used = KEEP;
            child->cut = true;
        }
        ssize_t got = read(child->output, child->kept + child->used, (size_t)2 * KEEP - child->used);
        if (got > 0) {
            child->used += (size_t)got;
            continue;
        }
        if (got < 0 && errno == EINTR) continue;
        if (got == 0 || errno != EAGAIN) { /* nobody is left who could write */
            close(child->output);
            child->output = -1;
        }
        return;
    }
}

static double seconds_of(struct timeval time) { return (double)time.tv_sec + (double)time.tv_usec / 1e6; }

static void ended(saros_child *child, int status, const struct rusage *usage) {
    saros_child_end *end = &child->end;
    failure          told;
    end->wall = saros_child_clock() - child->started;
    end->user = seconds_of(usage->ru_utime);
    end->system = seconds_of(usage->ru_stime);
    end->peak = (double)usage->ru_maxrss * PEAK_UNIT;
    end->code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    end->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    if (read(child->errors, &told, sizeof told) == sizeof told) {
        const char *what = told.step == STEP_TRACE ? "the system lets nobody watch system calls" : "cannot run saros";
        snprintf(child->why, sizeof child->why, "%s (%s)", what, strerror(told.number));
        end->why = child->why;
        end->calls = -1;
    }
    if (child->output >= 0) drain(child);
    if (child->output >= 0) close(child->output);
    close(child->errors);
    child->output = -1;
    child->pid = 0;
    size_t over = child->used > KEEP ? child->used - KEEP : 0;
    end->output = child->kept + over;
    end->length = child->used - over;
    end->cut = child->cut || over > 0;
}

/* Has it ended by now? */
static bool look(saros_child *child) {
    siginfo_t     info = {0};
    struct rusage usage;
    int           status;
    if (child->counted && !saros_calls_follow(child->pid, &child->end.calls, &child->end.why)) return false;
    if (waitid(P_PID, (id_t)child->pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0) return false;
    kill(-child->pid, SIGKILL);
    if (wait4(child->pid, &status, 0, &usage) != child->pid) return false;
    ended(child, status, &usage);
    return true;
}

saros_child *saros_child_wait(saros_child **children, size_t count, double seconds) {
    double until = saros_child_clock() + seconds;
    while (interrupted == 0) {
        fd_set   readable;
        sigset_t open = before; /* if these were blocked from the start we could not wait for anything */
        int      most = -1;
        for (size_t i = 0; i < count; i++)
            if (look(children[i])) return children[i];
        double left = until - saros_child_clock();
        if (left <= 0) break;
        if (left > LONGEST_WAIT) left = LONGEST_WAIT; /* we look again, and wait on */
        FD_ZERO(&readable);
        for (size_t i = 0; i < count; i++) {
            if (children[i]->output < 0) continue;
            FD_SET(children[i]->output, &readable);
            if (children[i]->output > most) most = children[i]->output;
        }
        struct timespec time = {.tv_sec = (time_t)left, .tv_nsec = (long)((left - (double)(time_t)left) * 1e9)};
        sigdelset(&open, SIGCHLD);
        sigdelset(&open, SIGINT);
        sigdelset(&open, SIGTERM);
        if (pselect(most + 1, &readable, NULL, NULL, &time, &open) <= 0) continue;
        for (size_t i = 0; i < count; i++)
            if (children[i]->output >= 0 && FD_ISSET(children[i]->output, &readable)) drain(children[i]);
    }
    return NULL;
}

const saros_child_end *saros_child_result(const saros_child *child) { return &child->end; }

void saros_child_kill(saros_child *child) {
    if (child->pid > 0) kill(-child->pid, SIGKILL);
}

void saros_child_free(saros_child *child) {
    if (child->pid > 0) {
        saros_child_kill(child);
        while (waitpid(child->pid, NULL, 0) > 0 || errno == EINTR) {
        } /* a counted one is seen to stop, and then to end */
        close(child->errors);
        if (child->output >= 0) close(child->output);
    }
    free(child->kept);
    free(child);
}

/* ---- about this program --------------------------------------------------------------------------------------- */

bool saros_child_counts_calls(void) { return saros_calls_possible(); }

const char *saros_child_program(const char *given_name, char *buffer, size_t size) {
#ifdef SAROS_HAVE_EXECUTABLE_PATH
    uint32_t room = (uint32_t)size;
    return _NSGetExecutablePath(buffer, &room) == 0 ? buffer : given_name;
#else
    static const char *const links[] = {"/proc/self/exe", "/proc/curproc/file", "/proc/curproc/exe"};
    for (size_t i = 0; i < sizeof links / sizeof *links; i++) {
        ssize_t length = readlink(links[i], buffer, size - 1);
        if (length <= 0 || (size_t)length >= size - 1) continue;
        buffer[length] = 0;
        return access(buffer, X_OK) == 0 ? buffer
                                         : links[i]; /* it was built anew meanwhile: the link still leads to it */
    }
    return given_name;
#endif
}

unsigned saros_child_cores(void) {
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    return cores > 0 ? (unsigned)cores : 1;
}

bool saros_child_terminal(int descriptor) { return isatty(descriptor) == 1; }
