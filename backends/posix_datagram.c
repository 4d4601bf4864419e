/* posix_datagram.c: sockets for datagrams with POSIX calls, one attempt each.
 *
 * What is wrong with the calls, and what is done about it: a full queue of a network card is ENOBUFS on some systems, and
 * nothing tells when it is not full any more (it counts as "would block"; the socket is writable meanwhile, so whoever
 * waits tries again in each turn, until the card has sent something); a socket for both families calls an IPv4 address
 * one of IPv6 (both ways translated); Linux gives a port away together with the peer (taken back); a Mac sends no more
 * than 9,216 bytes unless the buffer is larger. Errors that a datagram brings back are told once, and the socket goes on. */
#include <errno.h>
#include <string.h>

#include "backends/sockaddr.h"
#include "backends/socket_try.h"

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0
#endif
enum { MOST = 65535 /* bytes in the largest packet of all */ };

static int failed(void) { return errno == EAGAIN || errno == EWOULDBLOCK ? SAROS_EAGAIN : saros_error_from_os(errno); }

static int discard(int *fd, int error) {
    saros_try_close(*fd);
    *fd = SAROS_NO_HANDLE;
    return error;
}

static void share(int fd, unsigned how) {
    int on = 1;
    if (how & SAROS_REUSE_ADDRESS) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
#ifdef __linux__
    if (how & SAROS_REUSE_PORT)
#endif
        /* Elsewhere it takes this for several members of a group on one machine. */
        if (how != 0) setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
}

static int open_at(int *fd, saros_address *address) {
    saros_sockaddr name;
    socklen_t      size = saros_to_sockaddr(address, &name);
    saros_address  bound = {0};
    int            error = saros_try_socket(name.any.sa_family, SOCK_DGRAM, fd), only6 = !address->dual;
    if (error < 0) return error;
    share(*fd, address->bind);
    if (address->family == SAROS_INET6) setsockopt(*fd, IPPROTO_IPV6, IPV6_V6ONLY, &only6, sizeof only6);
#ifdef __APPLE__
    setsockopt(*fd, SOL_SOCKET, SO_SNDBUF, &(int){MOST}, sizeof(int));
#endif
    error = bind(*fd, &name.any, size) < 0 ? failed() : saros_try_name(*fd, false, &bound);
    if (error < 0) return discard(fd, error);
    address->port = bound.port;
    return 0;
}

int saros_try_datagram(int *fd, saros_address *address) {
    int error = open_at(fd, address);
    if (!address->dual || (error != SAROS_EAFNOSUPPORT && error != SAROS_EADDRNOTAVAIL)) return error;
    /* IPv6 is switched off here */
    *address = (saros_address){.family = SAROS_INET, .port = address->port, .bind = address->bind};
    return open_at(fd, address);
}

int64_t saros_try_recvfrom(int fd, saros_datagram *datagram, void *buffer, size_t size) {
    saros_sockaddr from;
    struct iovec   part = {.iov_base = buffer, .iov_len = size};
    struct msghdr  message = {.msg_name = &from, .msg_namelen = sizeof from, .msg_iov = &part, .msg_iovlen = 1};
    ssize_t        got;
    do got = recvmsg(fd, &message, 0);
    while (got < 0 && errno == EINTR);
    if (got < 0) return failed();
    datagram->truncated = message.msg_flags & MSG_TRUNC;
    int error = saros_from_sockaddr(&from, message.msg_namelen, &datagram->address);
    return error < 0 ? error : got;
}

int64_t saros_try_sendto(int fd, bool six, const saros_datagram *datagram, size_t size) {
    const saros_address *to = &datagram->address;
    saros_sockaddr       name;
    socklen_t length = to->family == 0 ? 0 : six ? saros_to_sockaddr6(to, &name) : saros_to_sockaddr(to, &name);
    ssize_t   sent;
    do sent = sendto(fd, datagram->data, size, MSG_NOSIGNAL, length > 0 ? &name.any : NULL, length);
    while (sent < 0 && errno == EINTR);
    if (sent >= 0) return sent;
    return errno == ENOBUFS ? SAROS_EAGAIN : failed();
}

/* Without a peer again. On Linux the port goes with it, unless somebody has asked for that very one. */
static int forget_peer(int fd, socklen_t size) {
    struct sockaddr none = {.sa_family = AF_UNSPEC};
    saros_sockaddr  before = {0}, now = {0};
    socklen_t       length = sizeof before;
    if (getsockname(fd, &before.any, &length) < 0) return failed();
    if (connect(fd, &none, sizeof none) < 0 && errno != EAFNOSUPPORT) return failed(); /* a Mac's success */
    length = sizeof now;
    if (getsockname(fd, &now.any, &length) < 0) return failed();
    if (now.in.sin_port != 0) return 0; /* where it is in both families */
    now.in.sin_port = before.in.sin_port;
    return bind(fd, &now.any, size) < 0 ? failed() : 0;
}

int saros_try_peer(int fd, const saros_address *address) {
    saros_sockaddr name = {0};
    socklen_t      size = sizeof name;
    if (getsockname(fd, &name.any, &size) < 0) return failed();
    if (address->family == 0) return forget_peer(fd, size);
    bool six = name.any.sa_family == AF_INET6;
    if (address->family == SAROS_INET6 && !six) return SAROS_EAFNOSUPPORT;
    size = six ? saros_to_sockaddr6(address, &name) : saros_to_sockaddr(address, &name);
    return connect(fd, &name.any, size) < 0 ? failed() : 0;
}
