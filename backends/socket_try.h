/* socket_try.h: one attempt at each socket call, in our words; and the socket or descriptor that wakes a wait.
 *
 * posix_try.c and posix_pipe.c do it with POSIX calls, windows_try.c with Winsock's; given.c stands on them.
 * Owns no state. Every saros_try_ function makes the call once (again only on EINTR), never blocks, and answers with a
 * result, SAROS_EAGAIN where it would have to wait, or another SAROS_E… code. Any thread, while a waker is open:
 * Winsock is up from the first one's opening to the last one's closing.
 * Promises: every socket made here is non-blocking, and no child process has it; no SIGPIPE; TCP sends at once (no
 * Nagle); where a function fails, it leaves nothing open and *fd is SAROS_NO_HANDLE. */
#ifndef SAROS_SOCKET_TRY_H
#define SAROS_SOCKET_TRY_H

#include "core/driver.h"

int64_t saros_try_recv(saros_os_handle fd, void *buffer, size_t size);                /* bytes, 0 at the end */
int64_t saros_try_send(saros_os_handle fd, const void *data, size_t size);            /* bytes */
int64_t saros_try_sendv(saros_os_handle fd, const saros_piece *pieces, size_t count); /* the same, in one call */
int saros_try_socket(int family, int type, saros_os_handle *fd); /* AF_…, SOCK_…; for who opens it by other means */
int saros_try_accept(saros_os_handle fd, saros_os_handle *accepted);
/* *file: what saros_try_unlink is to be given before the close. */
int  saros_try_listen(saros_os_handle *fd, saros_address *address, size_t backlog, uintptr_t *file);
void saros_try_unlink(saros_os_handle fd, uintptr_t file);
/* posix_path.c: removes a file at which nobody listens; which file it is that bind has made, 0: none. */
void      saros_path_clear(const saros_address *address);
uintptr_t saros_path_made(const saros_address *address);
/* from: where it is to bind first, or NULL. SAROS_EAGAIN: under way; wait for writable, then ask saros_try_connected how
 * it went. */
int saros_try_connect(saros_os_handle *fd, const saros_address *address, const saros_address *from);
int saros_try_connected(saros_os_handle fd);
/* posix_datagram.c, windows_datagram.c. ENOBUFS is SAROS_EAGAIN as well. */
int     saros_try_datagram(saros_os_handle *fd, saros_address *address);
int64_t saros_try_recvfrom(saros_os_handle fd, saros_datagram *datagram, void *buffer, size_t size);
/* six: the socket is one of IPv6. */
int64_t saros_try_sendto(saros_os_handle fd, bool six, const saros_datagram *datagram, size_t size);
int     saros_try_peer(saros_os_handle fd, const saros_address *address); /* of no family: none */
int     saros_try_shutdown(saros_os_handle fd);
int     saros_try_name(saros_os_handle fd, bool peer, saros_address *address);
int     saros_try_option(saros_os_handle fd, saros_setting *setting, bool ask); /* socket_option.c */
void    saros_try_close(saros_os_handle fd);

/* Of a CONNECT: where it is to bind first, or NULL. */
static inline const saros_address *saros_connects_from(const saros_op *op) {
    return op->size == 1 ? &op->address[1] : NULL;
}

/* Makes a descriptor that somebody gives us one of ours, and tells what it is; or an error, and nothing has changed. */
enum saros_found { SAROS_FOUND_STREAM, SAROS_FOUND_LISTENER, SAROS_FOUND_PIPE, SAROS_FOUND_BORROWED };
int saros_try_adopt(saros_os_handle fd);
/* Two sockets that are connected with each other. */
int saros_try_pair(saros_os_handle ends[2]);
/* For what is a pipe: receives, sends, and the end of sending, which closes: then *fd is SAROS_NO_HANDLE. */
int64_t saros_try_read(saros_os_handle fd, void *buffer, size_t size);
int64_t saros_try_write(saros_os_handle fd, const void *data, size_t size);
int     saros_try_end_pipe(saros_os_handle *fd);
/* Which of `wanted` (enum saros_ready) hold for whatever it is; SAROS_EAGAIN: none. Nothing wanted: 0 where it is open. */
int saros_try_ready(saros_os_handle fd, unsigned wanted);

/* ADOPT, BORROW and PAIR, for every driver that stands on the system's descriptors. handle->os is set before `take_in` is
 * called, which sets what else is the driver's of the handle: 0, or an error: then it is not open. */
typedef int saros_take_in(void *driver, saros_handle *handle, enum saros_found what);
int         saros_open_given(saros_loop *loop, saros_op *op, saros_take_in *take_in, void *driver);

/* What a readiness driver watches beside its sockets, so that other threads can end its wait. */
typedef struct saros_waker {
    saros_os_handle in;  /* to be watched; readable when it was rung */
    saros_os_handle out; /* the other end, or the same */
} saros_waker;

int  saros_waker_open(saros_waker *self); /* 0, or an error: then nothing is open */
void saros_waker_close(saros_waker *self);
/* Any thread; with POSIX calls also a signal handler. Whoever rings sees to it that there is at most one ring for each
 * clear: then neither can ever have to wait. */
void saros_waker_ring(const saros_waker *self);
void saros_waker_clear(const saros_waker *self); /* not readable any more, if it was */

#endif
