/* raw_epoll.c: the TCP echo server that the others are measured against.
 *
 * It is the practical limit of one thread on epoll: level-triggered interest that stands for the
 * life of a connection, one recv and one send per message, one buffer for all, no timers, no tasks.
 * It owns its descriptors and the few bytes that a full socket did not take. It promises to answer
 * every byte in order, to print "listening 127.0.0.1:PORT" once it listens, and to live until a
 * signal ends it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "raw_listen.h"

enum { BUFFER_SIZE = 64 * 1024, EVENTS = 256, ACCEPT_BATCH = 64, DESCRIPTORS = 65536 };

/* What a full socket did not take. While it is not empty the connection is not read. */
struct rest {
    char  *data;
    size_t at, end;
};

static int         poller;
static int         listener;
static char        buffer[BUFFER_SIZE];
static struct rest rests[DESCRIPTORS];

static void fail(const char *what) {
    fprintf(stderr, "bench_raw_epoll: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void watch(int fd, int how, uint32_t events) {
    struct epoll_event event = {.events = events, .data.fd = fd};
    if (epoll_ctl(poller, how, fd, &event) < 0) fail("epoll_ctl");
}

static void drop(int fd) {
    free(rests[fd].data);
    rests[fd] = (struct rest){0};
    close(fd);
}

static void keep(int fd, const char *data, size_t size) {
    struct rest *rest = &rests[fd];
    rest->data = malloc(size);
    if (!rest->data) fail("malloc");
    memcpy(rest->data, data, size);
    rest->at = 0;
    rest->end = size;
    watch(fd, EPOLL_CTL_MOD, EPOLLOUT);
}

static void send_rest(int fd) {
    struct rest *rest = &rests[fd];
    ssize_t      n = send(fd, rest->data + rest->at, rest->end - rest->at, MSG_NOSIGNAL);
    if (n < 0) {
        if (errno != EAGAIN && errno != EINTR) drop(fd);
        return;
    }
    rest->at += (size_t)n;
    if (rest->at < rest->end) return;
    free(rest->data);
    *rest = (struct rest){0};
    watch(fd, EPOLL_CTL_MOD, EPOLLIN);
}

static void echo(int fd) {
    ssize_t got = recv(fd, buffer, sizeof buffer, 0);
    if (got <= 0) {
        if (got == 0 || (errno != EAGAIN && errno != EINTR)) drop(fd);
        return;
    }
    ssize_t sent = send(fd, buffer, (size_t)got, MSG_NOSIGNAL);
    if (sent == got) return;
    if (sent < 0 && errno != EAGAIN && errno != EINTR) {
        drop(fd);
        return;
    }
    size_t done = sent < 0 ? 0 : (size_t)sent;
    keep(fd, buffer + done, (size_t)got - done);
}

static void accept_batch(void) {
    for (int i = 0; i < ACCEPT_BATCH; i++) {
        int fd = raw_accept(listener);
        if (fd < 0) return; /* none is left, or this one is lost: the interest stands */
        if (fd >= DESCRIPTORS) {
            close(fd);
            continue;
        }
        watch(fd, EPOLL_CTL_ADD, EPOLLIN);
    }
}

static void start(void) {
    struct sockaddr_in address;
    listener = raw_listen(&address);
    if (listener < 0) fail("no listener");
    poller = epoll_create1(EPOLL_CLOEXEC);
    if (poller < 0) fail("epoll_create1");
    watch(listener, EPOLL_CTL_ADD, EPOLLIN);
    raw_tell(&address);
}

int main(void) {
    static struct epoll_event events[EVENTS];
    start();
    for (;;) {
        int count = epoll_wait(poller, events, EVENTS, -1);
        if (count < 0 && errno != EINTR) fail("epoll_wait");
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd == listener) accept_batch();
            else if (rests[fd].data) send_rest(fd);
            else echo(fd);
        }
    }
}
