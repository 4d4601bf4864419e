/* posix_try.c: the POSIX socket calls, one attempt each.
 *
 * What is wrong with the calls, and what is done about it: they fail with EINTR for no fault of anybody's (repeated
 * here, except close, where the descriptor is gone all the same: close(2)); a send to a closed peer raises SIGPIPE
 * (MSG_NOSIGNAL, or SO_NOSIGPIPE where there is no such flag); accept passes on errors of connections that died in the
 * queue (they are skipped). */
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/eventfd.h>
#endif

#include "backends/sockaddr.h"
#include "backends/socket_try.h"

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0
#endif
#if defined(SOCK_NONBLOCK) && defined(SOCK_CLOEXEC)
#define ATOMIC_FLAGS 1 /* not to be asked of the value: in glibc the names are of an enum, which #if takes for 0 */
#define SOCKET_FLAGS (SOCK_NONBLOCK | SOCK_CLOEXEC)
#else
#define ATOMIC_FLAGS 0
#define SOCKET_FLAGS 0
#endif

enum {
    MOST_DEAD = 128,  /* dead connections that one accept skips */
    MOST_PIECES = 256 /* in one call; less than any system's IOV_MAX but POSIX' own least of 16, which is nobody's */
};

static int failed(void) { return errno == EAGAIN || errno == EWOULDBLOCK ? SAROS_EAGAIN : saros_error_from_os(errno); }

/* ---- making sockets ------------------------------------------------------------------------------------------- */

/* What must be said of every socket of ours. TCP_NODELAY: an event loop writes whole messages, and Nagle's wait for
 * the peer's delayed acknowledgement costs 40 ms a request. Where it fails the socket works all the same. */
static void dress(int fd, bool tcp) {
    int one = 1;
#if !ATOMIC_FLAGS
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
#endif
#ifdef SO_NOSIGPIPE
    setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &one, sizeof one);
#endif
    if (tcp) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

int saros_try_socket(int family, int type, saros_os_handle *fd) {
    *fd = socket(family, type | SOCKET_FLAGS, 0);
    if (*fd < 0) return failed();
    dress(*fd, type == SOCK_STREAM && family != AF_UNIX);
    return 0;
}

static int discard(int *fd, int error) {
    saros_try_close(*fd);
    *fd = -1;
    return error;
}

static int listen_on(int *fd, saros_address *address, size_t backlog) {
    saros_sockaddr name;
    socklen_t      size = saros_to_sockaddr(address, &name);
    int            on = 1, error = saros_try_socket(name.any.sa_family, SOCK_STREAM, fd), only6 = !address->dual;
    if (error < 0) return error;
    /* Without SO_REUSEADDR a restarted server fails for as long as old connections linger (TIME_WAIT). */
    if (address->family != SAROS_UNIX) setsockopt(*fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (address->bind & SAROS_REUSE_PORT) setsockopt(*fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    if (address->family == SAROS_INET6) setsockopt(*fd, IPPROTO_IPV6, IPV6_V6ONLY, &only6, sizeof only6);
    if (bind(*fd, &name.any, size) < 0 || listen(*fd, backlog > 0 ? (int)backlog : SOMAXCONN) < 0)
        return discard(fd, failed());
    saros_address bound = {0};
    error = saros_try_name(*fd, false, &bound);
    if (error < 0) return discard(fd, error);
    address->port = bound.port;
    return 0;
}

int saros_try_listen(int *fd, saros_address *address, size_t backlog, uintptr_t *file) {
    if (address->bind & SAROS_REPLACE) saros_path_clear(address);
    int error = listen_on(fd, address, backlog);
    *file = error == 0 && address->bind & SAROS_CLEAN_UP ? saros_path_made(address) : 0;
    if (!address->dual || (error != SAROS_EAFNOSUPPORT && error != SAROS_EADDRNOTAVAIL)) return error;
    /* IPv6 is switched off here */
    *address = (saros_address){.family = SAROS_INET, .port = address->port, .bind = address->bind};
    return listen_on(fd, address, backlog);
}

static int bind_to(int fd, const saros_address *address) {
    saros_sockaddr name;
    socklen_t      size = saros_to_sockaddr(address, &name);
    return bind(fd, &name.any, size) < 0 ? failed() : 0;
}

int saros_try_connect(int *fd, const saros_address *address, const saros_address *from) {
    saros_sockaddr name;
    socklen_t      size = saros_to_sockaddr(address, &name);
    int            error = saros_try_socket(name.any.sa_family, SOCK_STREAM, fd);
    if (error < 0) return error;
    if (from != NULL && (error = from->family != address->family ? SAROS_EAFNOSUPPORT : bind_to(*fd, from)) < 0)
        return discard(fd, error);
    if (connect(*fd, &name.any, size) == 0) return 0;
    /* An interrupted connect goes on by itself (POSIX connect, EINTR): it is under way like EINPROGRESS. */
    if (errno == EINPROGRESS || errno == EINTR) return SAROS_EAGAIN;
    error = failed();
    /* Unix sockets: the listener's queue is full, and nothing ever tells when it is not (connect(2)). */
    return discard(fd, error == SAROS_EAGAIN ? SAROS_ECONNREFUSED : error);
}

int saros_try_connected(int fd) {
    int            error = 0;
    socklen_t      size = sizeof error;
    saros_sockaddr name;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0) return failed();
    if (error != 0) return saros_error_from_os(error);
    size = sizeof name;
    /* No error and no peer: woken too early, the connect is still under way. */
    if (getpeername(fd, &name.any, &size) < 0) return errno == ENOTCONN ? SAROS_EAGAIN : failed();
    return 0;
}

/* Errors of a connection that died in the queue, which accept hands on (accept(2), "Error handling"); EPERM is a
 * firewall's. */
static bool died_in_queue(int error) {
    switch (error) {
    case ECONNABORTED:
    case EPROTO:
    case EPERM:
    case ENETDOWN:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case EOPNOTSUPP: return true;
    default: return false;
    }
}

int saros_try_accept(int fd, int *accepted) {
    for (int dead = 0;;) {
#if ATOMIC_FLAGS
        *accepted = accept4(fd, NULL, NULL, SOCKET_FLAGS); /* TCP_NODELAY is inherited from the listener (tcp(7)) */
        if (*accepted >= 0) return 0;
#else
        *accepted = accept(fd, NULL, NULL);
        if (*accepted >= 0) {
            dress(*accepted, true);
            return 0;
        }
#endif
        if (errno == EINTR) continue;
        /* The bound is for whom every call fails so, a sandbox for one: then it is an error, and no hang. */
        if (!died_in_queue(errno) || ++dead == MOST_DEAD) return failed();
    }
}

/* ---- using them ----------------------------------------------------------------------------------------------- */

int64_t saros_try_recv(int fd, void *buffer, size_t size) {
    ssize_t got;
    do got = recv(fd, buffer, size, 0);
    while (got < 0 && errno == EINTR);
    return got >= 0 ? got : failed();
}

int64_t saros_try_send(int fd, const void *data, size_t size) {
    ssize_t sent;
    do sent = send(fd, data, size, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent >= 0 ? sent : failed();
}

int64_t saros_try_sendv(int fd, const saros_piece *pieces, size_t count) {
    struct iovec  vector[MOST_PIECES];
    struct msghdr message = {.msg_iov = vector};
    ssize_t       sent;
    if (count > MOST_PIECES) count = MOST_PIECES;
    for (size_t i = 0; i < count; i++) {
        vector[i].iov_base = (void *)(uintptr_t)pieces[i].data; /* which it only reads */
        vector[i].iov_len = pieces[i].size;
    }
    message.msg_iovlen = count;
    do sent = sendmsg(fd, &message, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent >= 0 ? sent : failed();
}

int saros_try_shutdown(int fd) { return shutdown(fd, SHUT_WR) == 0 ? 0 : failed(); }

int saros_try_name(int fd, bool peer, saros_address *address) {
    saros_sockaddr name;
    socklen_t      size = sizeof name;
    memset(&name, 0, sizeof name);
    int error = peer ? getpeername(fd, &name.any, &size) : getsockname(fd, &name.any, &size);
    return error < 0 ? failed() : saros_from_sockaddr(&name, size, address);
}

int saros_try_pair(int ends[2]) {
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCKET_FLAGS, 0, ends) < 0) return failed();
    dress(ends[0], AF_UNIX);
    dress(ends[1], AF_UNIX);
    return 0;
}

void saros_try_close(int fd) { close(fd); }

/* ---- waking ----------------------------------------------------------------------------------------------------- */

#ifdef __linux__

int saros_waker_open(saros_waker *self) {
    self->in = self->out = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return self->in < 0 ? saros_error_from_os(errno) : 0;
}

#else

int saros_waker_open(saros_waker *self) {
    int ends[2];
    *self = (saros_waker){SAROS_NO_HANDLE, SAROS_NO_HANDLE};
    if (pipe(ends) < 0) return saros_error_from_os(errno);
    for (int i = 0; i < 2; i++) {
        fcntl(ends[i], F_SETFD, FD_CLOEXEC);
        fcntl(ends[i], F_SETFL, O_NONBLOCK);
    }
    *self = (saros_waker){ends[0], ends[1]};
    return 0;
}

#endif

void saros_waker_close(saros_waker *self) {
    close(self->in);
    if (self->out != self->in) close(self->out);
}

/* write(2) is async-signal-safe, and errno is put back for the code that was interrupted. An eventfd takes 8 bytes. */
void saros_waker_ring(const saros_waker *self) {
    uint64_t one = 1;
    int      saved = errno;
    while (write(self->out, &one, self->out == self->in ? sizeof one : 1) < 0 && errno == EINTR) {}
    errno = saved;
}

void saros_waker_clear(const saros_waker *self) {
    uint64_t count; /* an eventfd gives 8 bytes; a pipe up to as many rings, and there is only one */
    while (read(self->in, &count, sizeof count) < 0 && errno == EINTR) {}
}
