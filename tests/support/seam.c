/* seam.c: see seam.h. */
#ifdef __linux__
#include "support/seam.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdbool.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

struct seam seam[SEAM_CALLS];

#pragma GCC visibility push(default) /* also for libraries that are loaded later */

void seam_reset(void) { memset(seam, 0, sizeof seam); }

void seam_fail(enum seam_call call, int error, size_t times) {
    seam[call].error = error;
    seam[call].times = times;
}

/* Counts; true: the call is to fail, and errno is set. */
static bool fails(enum seam_call call) {
    seam[call].calls++;
    if (seam[call].times == 0) return false;
    seam[call].times--;
    errno = seam[call].error;
    return true;
}

static size_t at_most(enum seam_call call, size_t size) {
    return seam[call].most > 0 && seam[call].most < size ? seam[call].most : size;
}

ssize_t recv(int fd, void *buffer, size_t size, int flags) {
    if (fails(SEAM_RECV)) return -1;
    return syscall(SYS_recvfrom, fd, buffer, at_most(SEAM_RECV, size), flags, NULL, NULL);
}

ssize_t send(int fd, const void *data, size_t size, int flags) {
    if (fails(SEAM_SEND)) return -1;
    return syscall(SYS_sendto, fd, data, at_most(SEAM_SEND, size), flags, NULL, 0);
}

/* Weak, for the double of kqueue has a close of its own. */
__attribute__((weak)) int close(int fd) {
    int result = (int)syscall(SYS_close, fd);
    return fails(SEAM_CLOSE) ? -1 : result;
}

int accept4(int fd, struct sockaddr *restrict name, socklen_t *restrict length, int flags) {
    if (fails(SEAM_ACCEPT)) return -1;
    seam[SEAM_ACCEPT].flags = flags;
    return (int)syscall(SYS_accept4, fd, name, length, flags);
}

int accept(int fd, struct sockaddr *restrict name, socklen_t *restrict length) { return accept4(fd, name, length, 0); }

int connect(int fd, const struct sockaddr *name, socklen_t length) {
    if (fails(SEAM_CONNECT)) return -1;
    return (int)syscall(SYS_connect, fd, name, length);
}

int socket(int family, int type, int protocol) {
    if (fails(SEAM_SOCKET)) return -1;
    seam[SEAM_SOCKET].flags = type;
    return (int)syscall(SYS_socket, family, type, protocol);
}

int eventfd(unsigned count, int flags) {
    if (fails(SEAM_EVENTFD)) return -1;
    return (int)syscall(SYS_eventfd2, count, flags);
}

int epoll_create1(int flags) {
    if (fails(SEAM_EPOLL_CREATE)) return -1;
    return (int)syscall(SYS_epoll_create1, flags);
}

int epoll_ctl(int epfd, int action, int fd, struct epoll_event *event) {
    if (fails(SEAM_EPOLL_CTL)) return -1;
    return (int)syscall(SYS_epoll_ctl, epfd, action, fd, event);
}

int epoll_pwait2(int epfd, struct epoll_event *events, int most, const struct timespec *timeout, const sigset_t *mask) {
    if (fails(SEAM_PWAIT2) || fails(SEAM_WAIT)) return -1;
    return (int)syscall(SYS_epoll_pwait2, epfd, events, most, timeout, mask, (size_t)8);
}

int epoll_wait(int epfd, struct epoll_event *events, int most, int timeout) {
    if (fails(SEAM_WAIT)) return -1;
    return (int)syscall(SYS_epoll_pwait, epfd, events, most, timeout, NULL, (size_t)8);
}

int ppoll(struct pollfd *list, nfds_t count, const struct timespec *timeout, const sigset_t *mask) {
    struct timespec copy = timeout != NULL ? *timeout : (struct timespec){0}; /* the kernel writes into it */
    if (fails(SEAM_WAIT)) return -1;
    return (int)syscall(SYS_ppoll, list, count, timeout != NULL ? &copy : NULL, mask, (size_t)8);
}

int select(int above, fd_set *restrict in, fd_set *restrict out, fd_set *restrict odd,
           struct timeval *restrict timeout) {
    struct timespec time = {0};
    if (fails(SEAM_WAIT)) return -1;
    if (timeout != NULL) time = (struct timespec){timeout->tv_sec, timeout->tv_usec * 1000};
    return (int)syscall(SYS_pselect6, above, in, out, odd, timeout != NULL ? &time : NULL, NULL);
}

void seam_set_wall_clock(void) { seam[SEAM_WALL].flags = 1; }

int clock_gettime(clockid_t clock, struct timespec *now) {
    static const time_t years[] = {0, INT32_MAX, 86400, INT64_C(1) << 32};
    int                 result = (int)syscall(SYS_clock_gettime, clock, now);
    if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) {
        seam[SEAM_WALL].calls++;
        if (seam[SEAM_WALL].flags) now->tv_sec = years[seam[SEAM_WALL].calls % 4];
    }
    return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec time;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &time);
    *now = (struct timeval){.tv_sec = time.tv_sec, .tv_usec = time.tv_nsec / 1000};
    return 0;
}
#endif
