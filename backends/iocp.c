/* iocp.c: the driver on Windows completion ports: operations go down as they are, and come back as packets.
 *
 * What is wrong with the interface, and how this copes:
 *
 *   Until the packet of an operation is dequeued the kernel may write into its OVERLAPPED and its buffer, whatever
 *   happens to the operation or its socket meanwhile. So each one in flight has a block of ours (iocp_block.c), which is
 *   used again when its packet is seen and never earlier; a cancel only asks.
 *
 *   A call that succeeds at once posts its packet all the same, unless the socket was told otherwise, which is not to
 *   be done where a layered provider stands between us and the kernel. Decided once for each socket, and kept.
 *
 *   An operation that was stopped ends with 995, 1236 or 676, by who stopped it and when, and CancelIoEx does not find
 *   one that has just ended. A failure of what we cancelled is a cancellation, whatever its number.
 *
 *   How much of a cancelled WSASend went out is known only from the packet. We first send without waiting, which says
 *   exactly what the kernel took; only what would have to wait is posted, and only a piece of it.
 *
 *   A connection that AcceptEx or ConnectEx made is not quite one: no names, no shutdown, until it is told so.
 *   AcceptEx hands on that a connection died in the queue; it is posted again. The queue itself is the listener's, so
 *   as many AcceptEx are posted as there are accepts.
 *
 *   A port tells only that something ended. POLLs are polls of the driver below Winsock (iocp_afd.c). Lent receives wait
 *   in a receive of no bytes, which ends when there are some, and then take() receives them without waiting. Nothing can
 *   be given to foreign loops to poll.
 *
 *   Of datagrams, which would be cut to no bytes, such a receive only looks. Where there is one already the call says that
 *   it is too long, and whether a packet follows, nobody says: so one of our own is put behind it, as packets keep their
 *   order, and the block is used again when that has come.
 *
 * Time-outs are in milliseconds, rounded up. Windows' Unix sockets know no ConnectEx: they are refused. */
#include <stdatomic.h>
#include <string.h>

#include "backends/bell.h"
#include "backends/iocp_block.h"
#include "backends/sockaddr.h"
#include "backends/socket_try.h"

#include <mswsock.h> /* behind winsock2.h */

enum { BATCH = 128, WAKE = 1, SURE = 2 /* the keys of our own packets; sockets have 0 */ };
enum { PIECE = 64 * 1024 /* the most that is sent at once where it has to wait */ };
enum { MOST = 1 << 30, MOST_DEAD = 128 /* dead connections in a row that one call to accept skips */ };
enum { NAME = sizeof(struct sockaddr_in6) + 16 /* what AcceptEx wants for each of its two names */ };

/* handle->bits */
enum { SKIPS = 1 /* no packet for what succeeds at once */, SIX = 2 /* a listener's family */ };

typedef saros_block block;

typedef struct iocp_driver {
    saros_loop      *loop;
    HANDLE           port;
    atomic_bool      woken;
    LPFN_ACCEPTEX    accept;
    LPFN_CONNECTEX   connect;
    saros_blocks     blocks;
    HANDLE           afd;             /* for POLLs; NULL: there was none yet */
    bool             broken;          /* the port failed for good: no packet will be seen any more */
    char             names[2 * NAME]; /* AcceptEx must write them; nobody reads them, so one place is enough for all */
    OVERLAPPED_ENTRY entries[BATCH];
} iocp_driver;

/* ---- sockets -------------------------------------------------------------------------------------------------- */

static void discard(saros_os_handle *os) {
    if (*os != SAROS_NO_HANDLE) saros_try_close(*os);
    *os = SAROS_NO_HANDLE;
}

/* May a success go without its packet? Where a provider makes sockets that are no kernel handles it may not, even if
 * the system says yes (Microsoft's KB 2568167). */
static bool skip_packets(SOCKET socket) {
    WSAPROTOCOL_INFOW provider;
    int               size = sizeof provider;
    if (getsockopt(socket, SOL_SOCKET, SO_PROTOCOL_INFOW, (char *)&provider, &size) != 0) return false;
    if (!(provider.dwServiceFlags1 & XP1_IFS_HANDLES)) return false;
    return SetFileCompletionNotificationModes((HANDLE)socket,
                                              FILE_SKIP_COMPLETION_PORT_ON_SUCCESS | FILE_SKIP_SET_EVENT_ON_HANDLE);
}

/* From now on what ends on this socket ends at our port: for ever, it cannot be moved to another. */
static int attach(iocp_driver *self, saros_os_handle os) {
    bool done = CreateIoCompletionPort((HANDLE)os, self->port, 0, 0) != NULL;
    return done ? 0 : saros_error_from_os((int)GetLastError());
}

static int adopt(iocp_driver *self, saros_os_handle os, uint8_t *bits) {
    int error = attach(self, os);
    if (error < 0) return error;
    if (skip_packets((SOCKET)os)) *bits |= SKIPS;
    return 0;
}

/* The socket of a connection to be. It is dressed like its listener, so it stays so when it becomes that one's. */
static int open_fresh(iocp_driver *self, block *b, int family) {
    int error = saros_try_socket(family, SOCK_STREAM, &b->fresh);
    b->bits = 0;
    return error < 0 ? error : adopt(self, b->fresh, &b->bits); /* whatever fails from here on closes it: deliver */
}

/* ---- calls ---------------------------------------------------------------------------------------------------- */

/* What follows has one int for all that may go wrong: 0, a number of Windows', or below 0 one of ours. */

static int call_accept(iocp_driver *self, block *b, DWORD *moved) {
    int error = open_fresh(self, b, b->op->handle->bits & SIX ? AF_INET6 : AF_INET);
    if (error < 0) return error;
    BOOL done = self->accept(b->on, (SOCKET)b->fresh, self->names, 0, NAME, NAME, moved, &b->overlapped);
    return done ? 0 : WSAGetLastError();
}

static int call_connect(iocp_driver *self, block *b, DWORD *moved) {
    saros_sockaddr       to, ours;
    saros_address        any = {.family = b->op->address->family}; /* ConnectEx, unlike connect, wants a bound socket */
    int                  size = saros_to_sockaddr(b->op->address, &to);
    const saros_address *from = saros_connects_from(b->op) != NULL ? saros_connects_from(b->op) : &any;
    if (any.family == SAROS_UNIX || from->family != any.family) return SAROS_EAFNOSUPPORT;
    int error = open_fresh(self, b, to.any.sa_family);
    if (error < 0) return error;
    b->on = (SOCKET)b->fresh;
    if (bind(b->on, &ours.any, saros_to_sockaddr(from, &ours)) != 0) return WSAGetLastError();
    return self->connect(b->on, &to.any, size, NULL, 0, moved, &b->overlapped) ? 0 : WSAGetLastError();
}

static int call_poll(iocp_driver *self, block *b) {
    SOCKET s = (SOCKET)b->op->handle->os;
    int    error = self->afd == NULL ? saros_afd_open(&self->afd, self->port) : 0;
    if (error < 0) self->afd = NULL;
    b->on = (SOCKET)self->afd; /* for a cancel */
    return error < 0 ? error : saros_afd_begin(self->afd, &b->overlapped, &b->poll, s, (unsigned)b->op->size);
}

static int call_sendto(block *b, DWORD *moved) {
    const saros_op      *op = b->op;
    const saros_address *address = &op->datagram->address;
    saros_sockaddr       to;
    WSABUF               buffer = {.buf = (char *)(uintptr_t)op->datagram->data, .len = (ULONG)op->size};
    int                  size = 0;
    if (address->family != 0)
        size = op->handle->sort & SAROS_SIX ? saros_to_sockaddr6(address, &to) : saros_to_sockaddr(address, &to);
    int error = WSASendTo(b->on, &buffer, 1, moved, 0, size > 0 ? &to.any : NULL, size, &b->overlapped, NULL);
    return error == 0 ? 0 : WSAGetLastError();
}

static int call(iocp_driver *self, block *b, DWORD *moved) {
    const saros_op *op = b->op;
    WSABUF          buffer = {.buf = op->buffer}; /* this is copied; what it points to is the kernel's for now */
    memset(&b->overlapped, 0, sizeof b->overlapped);
    b->flags = 0;
    switch (op->kind) {
    case SAROS_OP_ACCEPT: return call_accept(self, b, moved);
    case SAROS_OP_CONNECT: return call_connect(self, b, moved);
    case SAROS_OP_POLL: return call_poll(self, b);
    case SAROS_OP_RECV:
        if (saros_is_lent(op))
            buffer = (WSABUF){.buf = self->names}; /* of no length, but not all providers take NULL */
        else buffer.len = op->size < MOST ? (ULONG)op->size : MOST;
        return WSARecv(b->on, &buffer, 1, moved, &b->flags, &b->overlapped, NULL) == 0 ? 0 : WSAGetLastError();
    case SAROS_OP_RECVFROM: /* looks, and takes nothing: else it would be taken, and lost */
        b->flags = MSG_PEEK;
        buffer = (WSABUF){.buf = self->names};
        return WSARecv(b->on, &buffer, 1, moved, &b->flags, &b->overlapped, NULL) == 0 ? 0 : WSAGetLastError();
    case SAROS_OP_SENDTO: return call_sendto(b, moved);
    case SAROS_OP_SENDV: /* the first piece: one that waits has waited for room, and the others are tried again */
        buffer = (WSABUF){.buf = (char *)(uintptr_t)op->pieces->data};
        buffer.len = op->pieces->size < PIECE ? (ULONG)op->pieces->size : PIECE;
        return WSASend(b->on, &buffer, 1, moved, 0, &b->overlapped, NULL) == 0 ? 0 : WSAGetLastError();
    default: /* SEND */
        buffer.len = op->size < PIECE ? (ULONG)op->size : PIECE;
        return WSASend(b->on, &buffer, 1, moved, 0, &b->overlapped, NULL) == 0 ? 0 : WSAGetLastError();
    }
}

/* ---- what comes of them --------------------------------------------------------------------------------------- */

static bool opens(const saros_op *op) { return op->kind == SAROS_OP_ACCEPT || op->kind == SAROS_OP_CONNECT; }

/* Makes a connection whole: without it getpeername and shutdown say that there is none. */
static int update_context(const block *b) {
    SOCKET s = (SOCKET)b->fresh;
    int    error = b->op->kind == SAROS_OP_CONNECT
                       ? setsockopt(s, SOL_SOCKET, SO_UPDATE_CONNECT_CONTEXT, NULL, 0)
                       : setsockopt(s, SOL_SOCKET, SO_UPDATE_ACCEPT_CONTEXT, (const char *)&b->on, sizeof b->on);
    return error == 0 ? 0 : WSAGetLastError();
}

static bool died_in_queue(int error) {
    return error == WSAECONNRESET || error == WSAECONNABORTED || error == WSAENOTCONN;
}

/* A part that went out before the cancel is the result; so is a part that came in. A lent receive has nothing yet. */
static int64_t failure(const block *b, int error, DWORD moved) {
    if (b->cancelled) return moved > 0 ? (int64_t)moved : SAROS_ECANCELED;
    if (error < 0) return error;
    if (b->op->handle->sort & SAROS_DATAGRAMS && (error == WSAECONNRESET || error == ERROR_PORT_UNREACHABLE))
        return SAROS_ECONNREFUSED;
    if (error == WSA_OPERATION_ABORTED || error == WSAENOTSOCK) return SAROS_EBADF; /* closed behind our back */
    return saros_error_from_os(error);
}

static void deliver(iocp_driver *self, block *b, bool open) {
    saros_handle *handle = b->op->kind == SAROS_OP_ACCEPT ? b->op->accepted : b->op->handle;
    if (!open) {
        discard(&b->fresh);
        return;
    }
    handle->os = b->fresh;
    handle->bits = b->bits;
    saros_opened(self->loop, handle, false);
}

/* False: what it was woken by has gone again. */
static bool finish_poll(iocp_driver *self, block *b, int error) {
    saros_op *op = b->op;
    int       ready = error < 0 ? error : saros_try_ready(op->handle->os, (unsigned)op->size);
    if (ready == SAROS_EAGAIN && !b->cancelled) return false;
    ready = b->cancelled ? SAROS_ECANCELED : ready;
    saros_block_free(&self->blocks, b);
    saros_complete(self->loop, op, ready);
    return true;
}

/* The call of b has ended. False: it is to be made again; it was an accept that won a dead connection, or a poll. */
static bool finish(iocp_driver *self, block *b, int error, DWORD moved, bool last) {
    saros_op *op = b->op;
    if (op->kind == SAROS_OP_POLL) return finish_poll(self, b, error);
    if (error == 0 && opens(op)) error = update_context(b);
    if (op->kind == SAROS_OP_ACCEPT && !b->cancelled && !last && died_in_queue(error)) {
        discard(&b->fresh);
        return false;
    }
    if (op->kind == SAROS_OP_RECVFROM && (error == WSAEMSGSIZE || error == ERROR_MORE_DATA))
        error = 0; /* there is one */
    bool    failed = error != 0 || (b->cancelled && saros_is_lent(op));
    int64_t result = failed ? failure(b, error, moved) : saros_is_lent(op) ? 0 : (int64_t)moved;
    if (opens(op)) deliver(self, b, !failed);
    saros_block_free(&self->blocks, b);
    saros_complete(self->loop, op, result);
    return true;
}

/* Makes the call, once but for dead connections. What succeeds at once is finished here where no packet follows. That
 * this starves nobody is the core's care: it is queued like everything else, or whoever asked counts. */
static void post(iocp_driver *self, block *b) {
    for (int dead = 1;; dead++) {
        DWORD moved = 0;
        int   error = call(self, b, &moved);
        bool  skips =
            b->op->kind != SAROS_OP_POLL && (b->op->kind == SAROS_OP_CONNECT ? b->bits : b->op->handle->bits) & SKIPS;
        if (error == WSAEMSGSIZE && b->op->kind == SAROS_OP_RECVFROM)
            b->doubtful = PostQueuedCompletionStatus(self->port, 0, SURE, &b->overlapped);
        if (error == WSA_IO_PENDING || (error == 0 && !skips) || b->doubtful) {
            saros_trace(self->loop, SAROS_ON_PARK, b->op, 0);
            return;
        }
        if (finish(self, b, error, moved, dead == MOST_DEAD)) return;
    }
}

/* ---- the driver ----------------------------------------------------------------------------------------------- */

static void begin(iocp_driver *self, saros_op *op) {
    block *b = saros_block_take(&self->blocks, self->loop, op);
    if (b != NULL) post(self, b);
    else saros_complete(self->loop, op, SAROS_ENOMEM);
}

static int listen_at(iocp_driver *self, saros_handle *handle, saros_address *address, size_t backlog) {
    if (address->family == SAROS_UNIX) return SAROS_EAFNOSUPPORT;
    int error = saros_try_listen(&handle->os, address, backlog, &handle->word);
    if (error < 0) return error;
    handle->bits = address->family == SAROS_INET6 ? SIX : 0;
    error = adopt(self, handle->os, &handle->bits);
    if (error == 0) saros_opened(self->loop, handle, true);
    else discard(&handle->os);
    return error;
}

static int take_in(void *driver, saros_handle *handle, enum saros_found what) {
    saros_address name;
    handle->bits = 0;
    if (what == SAROS_FOUND_BORROWED) return 0;
    if (what == SAROS_FOUND_LISTENER && saros_try_name(handle->os, false, &name) == 0 && name.family == SAROS_INET6)
        handle->bits = SIX;
    return adopt(driver, handle->os, &handle->bits);
}

static int open_datagram(iocp_driver *self, saros_handle *handle, saros_address *address) {
    int error = saros_try_datagram(&handle->os, address);
    if (error < 0) return error;
    error =
        attach(self, handle->os); /* each call has its packet: there were Windows that post one for datagrams anyway */
    handle->bits = 0;
    if (error == 0) saros_opened(self->loop, handle, false);
    else discard(&handle->os);
    return error;
}

static void iocp_submit(void *driver, saros_op *op) {
    iocp_driver  *self = driver;
    saros_handle *handle = op->handle;
    int64_t       result = 0;
    switch (op->kind) {
    case SAROS_OP_SEND:
    case SAROS_OP_SENDV:
        result = op->kind == SAROS_OP_SEND ? saros_try_send(handle->os, op->data, op->size)
                                           : saros_try_sendv(handle->os, op->pieces, op->size);
        if (result != SAROS_EAGAIN || saros_is_at_once(op)) break;
        begin(self, op);
        return;
    case SAROS_OP_SENDTO:
        result = saros_try_sendto(handle->os, handle->sort & SAROS_SIX, op->datagram, op->size);
        if (result == SAROS_EAGAIN) begin(self, op);
        else break;
        return;
    case SAROS_OP_CONNECT:
    case SAROS_OP_ACCEPT:
    case SAROS_OP_RECVFROM:
    case SAROS_OP_RECV: begin(self, op); return;
    case SAROS_OP_POLL:
        result = saros_try_ready(handle->os, (unsigned)op->size);
        if (result != SAROS_EAGAIN) break;
        begin(self, op);
        return;
    case SAROS_OP_ADOPT:
    case SAROS_OP_BORROW:
    case SAROS_OP_PAIR: result = saros_open_given(self->loop, op, take_in, self); break;
    case SAROS_OP_DATAGRAM: result = open_datagram(self, handle, op->address); break;
    case SAROS_OP_LISTEN: result = listen_at(self, handle, op->address, op->size); break;
    case SAROS_OP_SHUTDOWN: result = saros_try_shutdown(handle->os); break;
    case SAROS_OP_NAME: result = saros_try_name(handle->os, op->size == 1, op->address); break;
    case SAROS_OP_OPTION: result = saros_try_option(handle->os, op->setting, op->size == 1); break;
    case SAROS_OP_CLOSE:
        if (handle->borrowed) handle->os = SAROS_NO_HANDLE;
        else discard(&handle->os);
        break;
    default: result = SAROS_ENOSYS;
    }
    saros_complete(self->loop, op, result);
}

/* The packet has the kernel's own number for a failure; asking again for the result translates it into the sockets'. */
static int packet_error(block *b) {
    DWORD moved, flags;
    if ((LONG)b->overlapped.Internal >= 0) return 0;
    if (b->op->kind == SAROS_OP_POLL) return SAROS_EBADF; /* no socket's call; a cancel looks like that as well */
    return WSAGetOverlappedResult(b->on, &b->overlapped, &moved, FALSE, &flags) ? 0 : WSAGetLastError();
}

/* Not found means that it has just ended, and its packet is under way. */
static void iocp_cancel(void *driver, saros_op *op) {
    iocp_driver *self = driver;
    block       *b = saros_block_at(&self->blocks, op->word);
    if (!b->cancelled) CancelIoEx((HANDLE)b->on, &b->overlapped);
    b->cancelled = true;
    if (!self->broken) return;
    while (!HasOverlappedIoCompleted(&b->overlapped)) Sleep(1); /* without the port there is no other way to know */
    finish(self, b, packet_error(b), (DWORD)b->overlapped.InternalHigh, true);
}

static int broken(iocp_driver *self, int number) {
    self->broken = true;
    return saros_error_from_os(number);
}

static DWORD milliseconds(saros_time timeout) {
    saros_time rounded = timeout / 1000000 + (timeout % 1000000 > 0);
    return timeout == SAROS_FOREVER ? INFINITE : rounded < INFINITE ? (DWORD)rounded : INFINITE - 1;
}

static int iocp_wait(void *driver, saros_time timeout) {
    iocp_driver *self = driver;
    ULONG        count = 0;
    if (!GetQueuedCompletionStatusEx(self->port, self->entries, BATCH, &count, milliseconds(timeout), FALSE))
        return GetLastError() == WAIT_TIMEOUT ? 0 : broken(self, (int)GetLastError());
    for (ULONG i = 0; i < count; i++) {
        if (self->entries[i].lpCompletionKey == WAKE) {
            atomic_store(&self->woken, false);
            continue;
        }
        block *b = (block *)self->entries[i].lpOverlapped;
        if (b->doubtful && self->entries[i].lpCompletionKey != SURE) continue;
        b->doubtful = false;
        if (!finish(self, b, packet_error(b), self->entries[i].dwNumberOfBytesTransferred, false)) post(self, b);
    }
    return 0;
}

static void iocp_wake(void *driver) {
    iocp_driver *self = driver;
    if (atomic_exchange(&self->woken, true)) return; /* many wakes, one packet */
    if (!PostQueuedCompletionStatus(self->port, 0, WAKE, NULL)) atomic_store(&self->woken, false);
}

static int64_t iocp_take(void *driver, saros_op *op, void *buffer, size_t size) {
    (void)driver;
    if (op->kind == SAROS_OP_RECVFROM) return saros_try_recvfrom(op->handle->os, op->datagram, buffer, size);
    return saros_try_recv(op->handle->os, buffer, size);
}

static saros_time iocp_now(void *driver) {
    (void)driver;
    return saros_clock();
}

static void iocp_close(void *driver) {
    iocp_driver *self = driver;
    saros_blocks_close(&self->blocks, self->loop);
    if (self->afd != NULL) CloseHandle(self->afd);
    if (self->port != NULL) CloseHandle(self->port);
    WSACleanup();
}

static int find_function(saros_os_handle any, GUID id, void *function) {
    DWORD size;
    int   error = WSAIoctl((SOCKET)any, SIO_GET_EXTENSION_FUNCTION_POINTER, &id, sizeof id, function,
                           sizeof(LPFN_ACCEPTEX), &size, NULL, NULL);
    return error == 0 ? 0 : saros_error_from_os(WSAGetLastError());
}

/* They are no exports but a provider's, found through a socket of its. */
static int find_functions(iocp_driver *self) {
    saros_os_handle any;
    int             error = saros_try_socket(AF_INET, SOCK_STREAM, &any);
    if (error == SAROS_EAFNOSUPPORT) error = saros_try_socket(AF_INET6, SOCK_STREAM, &any);
    if (error == 0) error = find_function(any, (GUID)WSAID_ACCEPTEX, &self->accept);
    if (error == 0) error = find_function(any, (GUID)WSAID_CONNECTEX, &self->connect);
    discard(&any);
    return error;
}

static int refuse(saros_loop *loop, const char *what, int error) {
    saros_reason(loop, "%s: %s", what, saros_error_text(error));
    return error;
}

static int iocp_open(void *driver, saros_loop *loop, const saros_config *config) {
    iocp_driver *self = driver;
    WSADATA      about;
    (void)config;
    self->loop = loop;
    int number = WSAStartup(MAKEWORD(2, 2), &about); /* gives its error back: there is no last one yet */
    if (number != 0) return refuse(loop, "WSAStartup", saros_error_from_os(number));
    self->port = CreateIoCompletionPort(INVALID_HANDLE_VALUE, NULL, 0, 1);
    int error = self->port == NULL ? saros_error_from_os((int)GetLastError()) : find_functions(self);
    if (error == 0) return 0;
    iocp_close(self);
    return refuse(loop, self->port == NULL ? "CreateIoCompletionPort" : "AcceptEx and ConnectEx", error);
}

const saros_driver saros_iocp_driver = {
    .name = "iocp",
    .size = sizeof(iocp_driver),
    .open = iocp_open,
    .close = iocp_close,
    .now = iocp_now,
    .submit = iocp_submit,
    .cancel = iocp_cancel,
    .wait = iocp_wait,
    .wake = iocp_wake,
    .take = iocp_take,
};
