/* windows_try.c: Winsock's calls, one attempt each.
 *
 * What is wrong with Winsock, and what is done about it. Nothing works before WSAStartup: each waker starts it, and
 * ends it with itself; the system counts. A handle goes to every child process unless told otherwise. A send on a
 * non-blocking socket takes any length whole as soon as there is room for one byte, so a writer would feel no back
 * pressure: it is given a piece at a time. SO_REUSEADDR lets anybody take over a listener's port: listeners ask for the
 * opposite, which costs nothing here, as old connections in TIME_WAIT do not stand in a listener's way. accept hands on
 * connections that were reset in the queue (WSAECONNRESET): they are skipped. There is no socketpair. */
#include "backends/sockaddr.h"
#include "backends/socket_try.h"

enum {
    MOST_DEAD = 128,         /* dead connections that one accept skips */
    MOST_SENT = 256 * 1024,  /* bytes that one send is given */
    MOST_STRANGERS = 16,     /* who may connect to a waker's port before its own other end does */
    MOST_RECEIVED = 1 << 30, /* bytes: recv's size is an int */
    MOST_PIECES = 64,        /* in one call */
};

/* WSAEWOULDBLOCK is SAROS_EAGAIN. What we are handed was a socket once; if it is none any more, somebody has closed it. */
static int failed(void) {
    int error = WSAGetLastError();
    return error == WSAENOTSOCK ? SAROS_EBADF : saros_error_from_os(error);
}

/* ---- making sockets ------------------------------------------------------------------------------------------- */

/* What must be said of every socket of ours; TCP_NODELAY as in POSIX. */
static int dress(SOCKET s, bool tcp) {
    u_long yes = 1;
    BOOL   on = TRUE;
    SetHandleInformation((HANDLE)s, HANDLE_FLAG_INHERIT, 0);
    if (tcp) setsockopt(s, IPPROTO_TCP, TCP_NODELAY, (const char *)&on, sizeof on);
    return ioctlsocket(s, FIONBIO, &yes) == 0 ? 0 : failed();
}

static int discard(saros_os_handle *fd, int error) {
    if (*fd != SAROS_NO_HANDLE) saros_try_close(*fd);
    *fd = SAROS_NO_HANDLE;
    return error;
}

int saros_try_socket(int family, int type, saros_os_handle *fd) {
    DWORD flags = WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT;
    *fd = (saros_os_handle)WSASocketW(family, type, 0, NULL, 0, flags);
    if (*fd == SAROS_NO_HANDLE) return failed();
    int error = dress((SOCKET)*fd, type == SOCK_STREAM && family != AF_UNIX);
    return error < 0 ? discard(fd, error) : 0;
}

static int listen_on(saros_os_handle *fd, saros_address *address, size_t backlog) {
    saros_sockaddr name;
    int            size = saros_to_sockaddr(address, &name);
    BOOL           on = TRUE;
    DWORD          only6 = !address->dual;
    int error = saros_try_socket(name.any.sa_family, SOCK_STREAM, fd), queue = backlog > 0 ? (int)backlog : SOMAXCONN;
    if (error < 0) return error;
    SOCKET s = (SOCKET)*fd;
    if (address->bind & SAROS_REUSE_PORT) return discard(fd, SAROS_ENOSYS); /* SO_REUSEADDR would let anybody in */
    if (address->family != SAROS_UNIX) setsockopt(s, SOL_SOCKET, SO_EXCLUSIVEADDRUSE, (const char *)&on, sizeof on);
    if (address->family == SAROS_INET6) setsockopt(s, IPPROTO_IPV6, IPV6_V6ONLY, (const char *)&only6, sizeof only6);
    if (bind(s, &name.any, size) != 0 || listen(s, queue) != 0) return discard(fd, failed());
    saros_address bound;
    error = saros_try_name(*fd, false, &bound);
    if (error < 0) return discard(fd, error);
    address->port = bound.port;
    return 0;
}

void saros_try_unlink(saros_os_handle fd, uintptr_t file) { (void)fd, (void)file; }

int saros_try_listen(saros_os_handle *fd, saros_address *address, size_t backlog, uintptr_t *file) {
    *file = 0;
    int error = listen_on(fd, address, backlog);
    if (!address->dual || (error != SAROS_EAFNOSUPPORT && error != SAROS_EADDRNOTAVAIL)) return error;
    *address = (saros_address){.family = SAROS_INET, .port = address->port}; /* IPv6 is switched off here */
    return listen_on(fd, address, backlog);
}

static int bind_to(SOCKET s, const saros_address *address) {
    saros_sockaddr name;
    int            size = saros_to_sockaddr(address, &name);
    return bind(s, &name.any, size) != 0 ? failed() : 0;
}

int saros_try_connect(saros_os_handle *fd, const saros_address *address, const saros_address *from) {
    saros_sockaddr name;
    int size = saros_to_sockaddr(address, &name), error = saros_try_socket(name.any.sa_family, SOCK_STREAM, fd);
    if (error < 0) return error;
    if (from != NULL && (error = from->family != address->family ? SAROS_EAFNOSUPPORT : bind_to((SOCKET)*fd, from)) < 0)
        return discard(fd, error);
    if (connect((SOCKET)*fd, &name.any, size) == 0) return 0;
    error = failed();
    return error == SAROS_EAGAIN ? error : discard(fd, error); /* WSAEWOULDBLOCK: under way */
}

int saros_try_connected(saros_os_handle fd) {
    int            error = 0, size = sizeof error;
    saros_sockaddr name;
    if (getsockopt((SOCKET)fd, SOL_SOCKET, SO_ERROR, (char *)&error, &size) != 0) return failed();
    if (error != 0) return saros_error_from_os(error);
    size = sizeof name;
    if (getpeername((SOCKET)fd, &name.any, &size) == 0) return 0;
    /* No error and no peer: woken too early, the connect is still under way. */
    return WSAGetLastError() == WSAENOTCONN ? SAROS_EAGAIN : failed();
}

int saros_try_accept(saros_os_handle fd, saros_os_handle *accepted) {
    for (int dead = 0;;) {
        *accepted = (saros_os_handle)accept((SOCKET)fd, NULL, NULL);
        if (*accepted != SAROS_NO_HANDLE) {
            int error = dress((SOCKET)*accepted, true);
            return error < 0 ? discard(accepted, error) : 0;
        }
        int error = WSAGetLastError();
        /* The bound is for whom every call fails so: then it is an error, and no hang. */
        if ((error != WSAECONNRESET && error != WSAECONNABORTED) || ++dead == MOST_DEAD) return failed();
    }
}

/* ---- using them ----------------------------------------------------------------------------------------------- */

int64_t saros_try_recv(saros_os_handle fd, void *buffer, size_t size) {
    int got = recv((SOCKET)fd, buffer, size < MOST_RECEIVED ? (int)size : MOST_RECEIVED, 0);
    return got >= 0 ? got : failed();
}

int64_t saros_try_send(saros_os_handle fd, const void *data, size_t size) {
    int sent = send((SOCKET)fd, data, size < MOST_SENT ? (int)size : MOST_SENT, 0);
    return sent >= 0 ? sent : failed();
}

int64_t saros_try_sendv(saros_os_handle fd, const saros_piece *pieces, size_t count) {
    WSABUF buffers[MOST_PIECES];
    DWORD  sent, used = 0;
    size_t room = MOST_SENT;
    for (; used < count && used < MOST_PIECES && room > 0; used++) {
        size_t size = pieces[used].size < room ? pieces[used].size : room;
        buffers[used] = (WSABUF){.buf = (char *)(uintptr_t)pieces[used].data, .len = (ULONG)size};
        room -= size;
    }
    return WSASend((SOCKET)fd, buffers, used, &sent, 0, NULL, NULL) == 0 ? (int64_t)sent : failed();
}

int saros_try_shutdown(saros_os_handle fd) { return shutdown((SOCKET)fd, SD_SEND) == 0 ? 0 : failed(); }

int saros_try_name(saros_os_handle fd, bool peer, saros_address *address) {
    saros_sockaddr name = {0};
    int            size = sizeof name;
    int            error = peer ? getpeername((SOCKET)fd, &name.any, &size) : getsockname((SOCKET)fd, &name.any, &size);
    return error != 0 ? failed() : saros_from_sockaddr(&name, size, address);
}

void saros_try_close(saros_os_handle fd) { closesocket((SOCKET)fd); }

/* ---- what others have made -------------------------------------------------------------------------------------- */

static int open_socket(SOCKET s, int option, int *value) {
    int size = sizeof *value;
    return getsockopt(s, SOL_SOCKET, option, (char *)value, &size) == 0 ? 0 : saros_error_from_os(WSAGetLastError());
}

int saros_try_adopt(saros_os_handle fd) {
    int type, listens = 0, error = open_socket((SOCKET)fd, SO_TYPE, &type);
    if (error == 0 && type != SOCK_STREAM) error = SAROS_EOPNOTSUPP;
    if (error == 0) error = open_socket((SOCKET)fd, SO_ACCEPTCONN, &listens);
    if (error == 0) error = dress((SOCKET)fd, AF_INET);
    if (error < 0) return error;
    return listens ? SAROS_FOUND_LISTENER : SAROS_FOUND_STREAM;
}

/* Nothing that is adopted here is a pipe: its calls would have to wait, or to be begun before they can be done. */
int64_t saros_try_read(saros_os_handle fd, void *buffer, size_t size) {
    (void)fd, (void)buffer, (void)size;
    return SAROS_ENOTSOCK;
}

int64_t saros_try_write(saros_os_handle fd, const void *data, size_t size) {
    (void)fd, (void)data, (void)size;
    return SAROS_ENOTSOCK;
}

int saros_try_end_pipe(saros_os_handle *fd) {
    (void)fd;
    return SAROS_ENOTSOCK;
}

/* A connect that failed is no event to be asked for, and is told all the same. */
int saros_try_ready(saros_os_handle fd, unsigned wanted) {
    WSAPOLLFD one = {.fd = (SOCKET)fd};
    int       type, error = open_socket(one.fd, SO_TYPE, &type);
    if (error < 0 || wanted == 0) return error == SAROS_ENOTSOCK ? SAROS_EBADF : error;
    if (wanted & SAROS_READABLE) one.events |= POLLRDNORM;
    if (wanted & SAROS_WRITABLE) one.events |= POLLWRNORM;
    if (WSAPoll(&one, 1, 0) == SOCKET_ERROR) return failed();
    unsigned ready = 0;
    if (one.revents & POLLRDNORM) ready |= SAROS_READABLE;
    if (one.revents & POLLWRNORM) ready |= SAROS_WRITABLE;
    if (one.revents & (POLLERR | POLLHUP | POLLNVAL)) ready = wanted;
    return ready != 0 ? (int)(ready & wanted) : SAROS_EAGAIN;
}

/* ---- waking ----------------------------------------------------------------------------------------------------- */

/* The other end of the connection that `out` has begun. Anybody on this machine may connect to our listener meanwhile;
 * such a stranger is shown the door. */
static int accept_own(SOCKET listener, SOCKET out, SOCKET *in) {
    struct sockaddr_in ours, theirs;
    int                size = sizeof ours;
    if (getsockname(out, (struct sockaddr *)&ours, &size) != 0) return failed();
    for (int strangers = 0; strangers < MOST_STRANGERS; strangers++) {
        size = sizeof theirs;
        *in = accept(listener, (struct sockaddr *)&theirs, &size); /* does not wait: the connect has succeeded */
        if (*in == INVALID_SOCKET) return failed();
        if (theirs.sin_port == ours.sin_port && theirs.sin_addr.s_addr == ours.sin_addr.s_addr) return 0;
        closesocket(*in);
        *in = INVALID_SOCKET;
    }
    return SAROS_ECONNREFUSED;
}

/* A TCP connection with ourselves. Not UDP, though that would need one socket only: a datagram may be dropped, and one
 * that was would be a wake-up that never comes. */
static int connect_pair(SOCKET listener, SOCKET *in, SOCKET *out) {
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int                size = sizeof name;
    if (listener == INVALID_SOCKET || *out == INVALID_SOCKET) return failed();
    if (bind(listener, (struct sockaddr *)&name, size) != 0 || listen(listener, MOST_STRANGERS) != 0 ||
        getsockname(listener, (struct sockaddr *)&name, &size) != 0 ||
        connect(*out, (struct sockaddr *)&name, size) != 0)
        return failed();
    int error = accept_own(listener, *out, in);
    if (error == 0) error = dress(*in, true);
    return error < 0 ? error : dress(*out, true);
}

int saros_try_pair(saros_os_handle ends[2]) {
    DWORD  flags = WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT;
    SOCKET in = INVALID_SOCKET, out = WSASocketW(AF_INET, SOCK_STREAM, 0, NULL, 0, flags),
           listener = WSASocketW(AF_INET, SOCK_STREAM, 0, NULL, 0, flags);
    int error = connect_pair(listener, &in, &out);
    if (listener != INVALID_SOCKET) closesocket(listener);
    ends[0] = (saros_os_handle)in;
    ends[1] = (saros_os_handle)out;
    if (error == 0) return 0;
    if (in != INVALID_SOCKET) closesocket(in);
    if (out != INVALID_SOCKET) closesocket(out);
    return error;
}

/* The end that rings is a blocking one. There is room for a byte always; but a send that begins while another thread is
 * still inside its own, whose byte has been received already, is told by Wine that it would block, and the ring would be
 * none. A blocking one waits for the other to be out, which is a moment. */
int saros_waker_open(saros_waker *self) {
    WSADATA         about;
    u_long          no = 0;
    saros_os_handle ends[2] = {SAROS_NO_HANDLE, SAROS_NO_HANDLE};
    int             error = WSAStartup(MAKEWORD(2, 2), &about); /* gives its error back: there is no last one yet */
    if (error != 0) return saros_error_from_os(error);
    error = saros_try_pair(ends);
    if (error == 0) ioctlsocket((SOCKET)ends[1], FIONBIO, &no);
    *self = error == 0 ? (saros_waker){ends[0], ends[1]} : (saros_waker){SAROS_NO_HANDLE, SAROS_NO_HANDLE};
    if (error < 0) WSACleanup();
    return error;
}

void saros_waker_close(saros_waker *self) {
    closesocket((SOCKET)self->in);
    closesocket((SOCKET)self->out);
    WSACleanup();
}

void saros_waker_ring(const saros_waker *self) { send((SOCKET)self->out, "", 1, 0); }

void saros_waker_clear(const saros_waker *self) {
    char ring;
    recv((SOCKET)self->in, &ring, 1, 0);
}
