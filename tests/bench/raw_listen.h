/* raw_listen.h: how the bare servers begin: a listener on a free port of the loopback, which they tell whoever measures. */
#ifndef RAW_LISTEN_H
#define RAW_LISTEN_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>

static inline void raw_tell(const struct sockaddr_in *address) {
    printf("listening 127.0.0.1:%d\n", ntohs(address->sin_port));
    fflush(stdout);
}

/* The listener; -1: errno says why. */
static inline int raw_listen(struct sockaddr_in *address) {
    socklen_t length = sizeof *address;
    *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)address, length) < 0 || listen(fd, SOMAXCONN) < 0 ||
        getsockname(fd, (struct sockaddr *)address, &length) < 0)
        return -1;
    return fd;
}

/* The next connection of the listener; -1: none is left, or this one is lost. */
static inline int raw_accept(int listener) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    return fd;
}

#endif
