/* start.c: runs a command to its end and says how long that took.
 *
 *     bench_start [--runs N] [--cpu N] [--limit S] -- COMMAND [ARGUMENT...]
 *     bench_start --show [--cpu N] [--limit S] -- COMMAND [ARGUMENT...]
 *
 * The command runs N times, its output thrown away; posix_spawn and wait are all that stands around
 * it, so no shell's cost is in the figure. Prints median_ms, min_ms and max_ms. With --show it runs
 * once and its output is passed on. A run that fails, or takes longer than the limit (it is then
 * killed), ends the whole.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static volatile sig_atomic_t child;
static volatile sig_atomic_t stopped;
static int                   null_output;

static void stop(int number) {
    stopped = number;
    if (child > 0) kill(child, SIGKILL);
}

static double now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void pin(int cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t)cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set) < 0)
        fprintf(stderr, "bench_start: cannot use core %d: %s\n", cpu, strerror(errno));
}

static double run(char **command, bool show, int limit) {
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    if (!show) posix_spawn_file_actions_adddup2(&actions, null_output, STDOUT_FILENO);
    pid_t pid;
    int   status = 0;
    alarm((unsigned)limit);
    double begin = now_ms();
    int    error = posix_spawnp(&pid, command[0], &actions, NULL, command, environ);
    if (error) {
        fprintf(stderr, "bench_start: %s: %s\n", command[0], strerror(error));
        exit(1);
    }
    child = pid;
    if (stopped) kill(pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
    double time = now_ms() - begin;
    child = 0;
    alarm(0);
    posix_spawn_file_actions_destroy(&actions);
    if (stopped || !WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        const char *how = WIFEXITED(status) ? "status" : "signal";
        int         number = WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status);
        fprintf(stderr, "bench_start: %s ended with %s %d%s\n", command[0], how, number,
                stopped == SIGALRM ? ": over the time limit" : "");
        exit(1);
    }
    return time;
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void repeat(char **command, int runs, int limit) {
    double *times = calloc((size_t)runs, sizeof *times);
    if (!times) exit(1);
    run(command, false, limit); /* the first run reads the disk */
    for (int i = 0; i < runs; i++) times[i] = run(command, false, limit);
    qsort(times, (size_t)runs, sizeof *times, by_size);
    double median = (times[(runs - 1) / 2] + times[runs / 2]) / 2;
    printf("median_ms=%.4f min_ms=%.4f max_ms=%.4f\n", median, times[0], times[runs - 1]);
    free(times);
}

static void usage(void) {
    fprintf(stderr, "usage: bench_start [--runs N | --show] [--cpu N] [--limit S] -- COMMAND...\n");
    exit(2);
}

int main(int count, char **arguments) {
    int  runs = 40, limit = 60, i = 1;
    bool show = false;
    for (; i < count && strcmp(arguments[i], "--") != 0; i++) {
        const char *name = arguments[i];
        if (!strcmp(name, "--show")) {
            show = true;
            continue;
        }
        if (++i >= count) usage();
        if (!strcmp(name, "--runs")) runs = atoi(arguments[i]);
        else if (!strcmp(name, "--cpu")) pin(atoi(arguments[i]));
        else if (!strcmp(name, "--limit")) limit = atoi(arguments[i]);
        else usage();
    }
    if (i + 1 >= count || runs < 1 || limit < 1) usage();
    null_output = open("/dev/null", O_WRONLY | O_CLOEXEC);
    struct sigaction action = {.sa_handler = stop};
    sigaction(SIGALRM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    if (show) run(arguments + i + 1, true, limit);
    else repeat(arguments + i + 1, runs, limit);
    return 0;
}
