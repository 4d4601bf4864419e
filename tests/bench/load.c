/* load.c: starts an echo server, loads it, and says what it cost.
 *
 *     bench_load --connections N [--active N] --size BYTES (--seconds S [--warmup S] | --requests N)
 *                [--server-cpu N] [--cpu N] [--limit S] -- COMMAND [ARGUMENT...]
 *
 * The command prints "listening 127.0.0.1:PORT" and runs alone on one core, this program on another.
 * Every connection, or so many of them, has one message in flight (a closed loop) and every byte that
 * comes back is compared. The loop never sleeps, so the server is what is measured. It owns the server from start
 * to end, has a time limit for everything, and prints one line of name=value pairs:
 * requests, seconds, cpu_ns (the server's, all its threads), least (replies on the slowest
 * connection), p50_us, p99_us, max_us. bench_load_tls is the same with TLS on each connection. With --requests exactly so many are made, from the first on.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "load_tls.h"

enum { EVENTS = 256, SLIDE = 4096, SUB_BITS = 6, SUBS = 1 << SUB_BITS, BUCKETS = 64 * SUBS };

struct options {
    size_t   connections, active, size;
    uint64_t requests;
    double   seconds, warmup, limit;
    int      server_cpu, cpu;
};

struct connection {
    int         fd;
    load_link   link;
    bool        blocked; /* EPOLLOUT is asked for */
    size_t      sent, got;
    const char *message;
    uint64_t    at, replies; /* when the message in flight was started; how many came back */
};

static struct options options = {
    .connections = 64, .size = 64, .warmup = 0.3, .limit = 30, .server_cpu = -1, .cpu = -1};
static pid_t                 server;
static int                   server_output;
static volatile sig_atomic_t interrupted;

static int                poller;
static struct connection *connections;
static char              *pattern;           /* size + SLIDE bytes; each message is a window into it */
static char              *received;          /* size + 1 bytes, so that a byte too many is seen */
static uint64_t           started, finished; /* messages, over all connections */
static uint64_t           allowed = UINT64_MAX;
static uint64_t           histogram[BUCKETS], slowest;

static void interrupt(int number) { interrupted = number; }

/* The signal goes to the group: a tool that the server runs under (strace) may hold it back, and
   ends with the server. A server that does not end when asked is killed: nothing is left behind. */
static void stop_server(void) {
    if (server <= 0) return;
    kill(-server, SIGTERM);
    for (int i = 0; i < 10000; i++) {
        if (waitpid(server, NULL, WNOHANG) != 0) {
            server = 0;
            return;
        }
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    fprintf(stderr, "bench_load: the server did not end on SIGTERM within 10 s and was killed\n");
    kill(-server, SIGKILL);
    waitpid(server, NULL, 0);
    server = 0;
}

static _Noreturn void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "bench_load: ");
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\n");
    va_end(arguments);
    stop_server();
    exit(1);
}

static void check_interrupted(void) {
    if (interrupted == SIGALRM)
        fail("not done within the time limit; %llu replies so far", (unsigned long long)finished);
    if (interrupted) fail("ended by signal %d", (int)interrupted);
}

static uint64_t clock_of(clockid_t id) {
    struct timespec t;
    if (clock_gettime(id, &t) < 0) fail("clock_gettime: %s", strerror(errno));
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t now(void) { return clock_of(CLOCK_MONOTONIC); }

static void pin(int cpu) {
    if (cpu < 0) return;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t)cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set) < 0)
        fprintf(stderr, "bench_load: cannot use core %d: %s\n", cpu, strerror(errno));
}

/* ---- the server ---- */

static void start_server(char **command) {
    int ends[2];
    if (pipe(ends) < 0) fail("pipe: %s", strerror(errno));
    pid_t parent = getpid();
    server = fork();
    if (server < 0) fail("fork: %s", strerror(errno));
    if (server == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        setpgid(0, 0);
        if (getppid() != parent) _exit(1);
        pin(options.server_cpu);
        dup2(ends[1], STDOUT_FILENO);
        close(ends[0]);
        close(ends[1]);
        execvp(command[0], command);
        fprintf(stderr, "bench_load: %s: %s\n", command[0], strerror(errno));
        _exit(127);
    }
    setpgid(server, server); /* both do it, so that it is done whoever comes first */
    close(ends[1]);
    server_output = ends[0]; /* stays open: a server that prints more must not die of it */
}

static int read_port(void) {
    char   text[512];
    size_t length = 0;
    while (length < sizeof text - 1) {
        struct pollfd ready = {.fd = server_output, .events = POLLIN};
        int           count = poll(&ready, 1, 100);
        check_interrupted();
        if (count <= 0) continue;
        ssize_t n = read(server_output, text + length, sizeof text - 1 - length);
        if (n <= 0) fail("the server ended before it said \"listening\"");
        length += (size_t)n;
        text[length] = 0;
        char *line = strstr(text, "listening ");
        if (!line || !strchr(line, '\n')) continue;
        *strchr(line, '\n') = 0;
        char *colon = strrchr(line, ':');
        int   port = colon ? atoi(colon + 1) : 0;
        if (port <= 0 || port > 65535) fail("no port in \"%s\"", line);
        return port;
    }
    fail("the server said too much before \"listening\"");
}

/* ---- the connections ---- */

static void interest(struct connection *c, int how, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = c};
    if (epoll_ctl(poller, how, c->fd, &event) < 0) fail("epoll_ctl: %s", strerror(errno));
}

/* Blocking and one after the other: the set-up is not measured and must not overrun a backlog. */
static void connect_all(int port) {
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    for (size_t i = 0; i < options.connections; i++) {
        struct connection *c = &connections[i];
        c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (c->fd < 0) fail("socket: %s", strerror(errno));
        if (connect(c->fd, (struct sockaddr *)&address, sizeof address) < 0) {
            check_interrupted();
            fail("connect: %s", strerror(errno));
        }
        setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
        if (!link_open(&c->link, c->fd)) fail("the handshake has failed");
        interest(c, EPOLL_CTL_ADD, EPOLLIN);
    }
}

static void push(struct connection *c) {
    while (c->sent < options.size) {
        ssize_t n = link_send(c->link, c->fd, c->message + c->sent, options.size - c->sent);
        if (n < 0 && errno == EAGAIN) {
            if (!c->blocked) interest(c, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
            c->blocked = true;
            return;
        }
        if (n < 0 && errno != EINTR) fail("send: %s", strerror(errno));
        if (n > 0) c->sent += (size_t)n;
    }
    if (c->blocked) interest(c, EPOLL_CTL_MOD, EPOLLIN);
    c->blocked = false;
}

/* Neighbours in time and in number get different windows, so a reply to another message is seen. */
static void send_next(struct connection *c, uint64_t time) {
    if (started >= allowed) return;
    started++;
    size_t number = (size_t)(c - connections);
    c->message = pattern + (number * 131 + c->replies * 7) % SLIDE;
    c->sent = c->got = 0;
    c->at = time;
    push(c);
}

/* 64 buckets for every power of two: percentiles are right to 1.6 % without keeping every value. */
static void record(uint64_t latency) {
    uint64_t value = latency < SUBS ? SUBS : latency;
    int      shift = 63 - __builtin_clzll(value) - SUB_BITS;
    histogram[((uint64_t)shift << SUB_BITS) + ((value >> shift) - SUBS)]++;
    if (latency > slowest) slowest = latency;
}

static void pull(struct connection *c) {
    size_t  missing = options.size - c->got;
    ssize_t n = link_recv(c->link, c->fd, received, missing + 1);
    if (n < 0) {
        if (errno == EAGAIN || errno == EINTR) return;
        fail("recv: %s", strerror(errno));
    }
    if (n == 0) fail("the server closed a connection");
    if ((size_t)n > missing || c->got + (size_t)n > c->sent) fail("the server sent more than it was given");
    if (memcmp(received, c->message + c->got, (size_t)n) != 0) fail("the server sent other bytes back");
    c->got += (size_t)n;
    if (c->got < options.size) return;
    uint64_t time = now();
    record(time - c->at);
    c->replies++;
    finished++;
    send_next(c, time);
}

static void turn(void) {
    struct epoll_event events[EVENTS];
    int                count = epoll_wait(poller, events, EVENTS, 0);
    if (count < 0 && errno != EINTR) fail("epoll_wait: %s", strerror(errno));
    for (int i = 0; i < count; i++) {
        struct connection *c = events[i].data.ptr;
        if (events[i].events & EPOLLOUT) push(c);
        if (events[i].events & ~(uint32_t)EPOLLOUT) {
            do pull(c);
            while (link_has_more(c->link));
        }
    }
    check_interrupted();
}

/* ---- the measurement ---- */

static double percentile(double part) {
    uint64_t total = 0, sum = 0;
    for (int i = 0; i < BUCKETS; i++) total += histogram[i];
    int i = 0;
    while (i < BUCKETS - 1 && (double)(sum += histogram[i]) < part * (double)total) i++;
    return (double)((uint64_t)(SUBS + i % SUBS) << (i / SUBS)) / 1000;
}

/* Those that are active lie evenly among those that are not. */
static struct connection *active(size_t i) { return &connections[i * options.connections / options.active]; }

static void measure(void) {
    /* The CPU clock of another process counts all its threads, also those that ended, in ns. */
    clockid_t server_clock;
    if (clock_getcpuclockid(server, &server_clock) != 0) fail("the server is gone");
    for (size_t i = 0; i < options.active; i++) send_next(active(i), now());
    uint64_t end_warmup = now() + (uint64_t)(options.warmup * 1e9);
    if (!options.requests)
        while (now() < end_warmup) turn();

    for (size_t i = 0; i < options.connections; i++) connections[i].replies = 0;
    memset(histogram, 0, sizeof histogram);
    slowest = 0;
    uint64_t before = options.requests ? 0 : finished;
    uint64_t cpu = clock_of(server_clock);
    uint64_t begin = now(), end = begin + (uint64_t)(options.seconds * 1e9), time = begin;
    while (options.requests ? finished < options.requests : time < end) {
        turn();
        time = now();
    }
    cpu = clock_of(server_clock) - cpu;

    uint64_t least = UINT64_MAX;
    for (size_t i = 0; i < options.active; i++)
        if (active(i)->replies < least) least = active(i)->replies;
    if (finished == before) fail("no reply in the whole window");
    printf("requests=%llu seconds=%.6f cpu_ns=%llu least=%llu p50_us=%.2f p99_us=%.2f max_us=%.2f\n",
           (unsigned long long)(finished - before), (double)(time - begin) / 1e9, (unsigned long long)cpu,
           (unsigned long long)least, percentile(0.5), percentile(0.99), (double)slowest / 1000);
}

static void prepare(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < options.connections + 64) {
        limit.rlim_cur = limit.rlim_max; /* the server inherits it */
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    connections = calloc(options.connections, sizeof *connections);
    pattern = malloc(options.size + SLIDE);
    received = malloc(options.size + 1);
    poller = epoll_create1(EPOLL_CLOEXEC);
    if (!connections || !pattern || !received || poller < 0) fail("no memory or no epoll");
    uint32_t state = 1;
    for (size_t i = 0; i < options.size + SLIDE; i++) {
        state = state * 1664525u + 1013904223u;
        pattern[i] = (char)(state >> 24);
    }
    struct sigaction action = {.sa_handler = interrupt};
    sigaction(SIGALRM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    alarm((unsigned)(options.seconds + options.warmup + options.limit) + 1);
}

/* Returns the words of the server's command. */
static char **read_options(int count, char **arguments) {
    int i = 1;
    for (; i + 1 < count && strcmp(arguments[i], "--") != 0; i += 2) {
        const char *name = arguments[i];
        double      value = strtod(arguments[i + 1], NULL);
        if (!strcmp(name, "--connections")) options.connections = (size_t)value;
        else if (!strcmp(name, "--active")) options.active = (size_t)value;
        else if (!strcmp(name, "--size")) options.size = (size_t)value;
        else if (!strcmp(name, "--requests")) options.requests = (uint64_t)value;
        else if (!strcmp(name, "--seconds")) options.seconds = value;
        else if (!strcmp(name, "--warmup")) options.warmup = value;
        else if (!strcmp(name, "--limit")) options.limit = value;
        else if (!strcmp(name, "--server-cpu")) options.server_cpu = (int)value;
        else if (!strcmp(name, "--cpu")) options.cpu = (int)value;
        else fail("unknown option %s", name);
    }
    if (i + 1 >= count) fail("no command: its words stand after --");
    if (!options.active) options.active = options.connections;
    if (options.active > options.connections) fail("--active must not be more than --connections");
    if (!options.connections || !options.size) fail("--connections and --size must not be 0");
    if (!options.requests && options.seconds <= 0) fail("give --seconds or --requests");
    if (options.requests) allowed = options.requests;
    return arguments + i + 1;
}

int main(int count, char **arguments) {
    char **command = read_options(count, arguments);
    prepare();
    start_server(command);
    pin(options.cpu);
    connect_all(read_port());
    measure();
    stop_server();
    return 0;
}
