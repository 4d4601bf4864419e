/* uring.c: the driver on Linux io_uring: which requests an operation becomes, and what comes of them.
 *
 * What is wrong with io_uring for this (the rest is in uring_ring.c), and how this copes:
 *   A request lives on when we do not want it any more; also close() does not end it. A cancel is itself a request, and
 *   may come too late. So an op is told when its own completion has come and not before, and nothing of it is freed or
 *   closed until then. To the kernel an op is a place in our table and that place's generation: what belongs to an
 *   older generation is nobody's.
 *   A connection waits for a message most of the time, and a buffer would wait with it: a lent receive waits for a poll,
 *   and `take` makes the call. Measured, receives that bring their buffers are no faster.
 *   A poll for each message costs a tenth of a request: one is set up for a handle with its first lent receive, and stays
 *   (multishot). It tells of what arrives and not of what is there, so bits remember that; it keeps the socket open
 *   behind close(), so a CLOSE waits until it has ended; and what it tells nobody a second time ends it, so that a peer
 *   who writes to someone who does not read does not keep us awake.
 *   A send nearly always succeeds at once: the plain call answers without a turn through the ring, which gets only what
 *   would block. Measured, the ring saves a few percent at a thousand busy connections, and costs more at one.
 *   Where the kernel will not have a request now, the table remembers what is owed.
 *
 * Only the ring's own thread may submit: others write to an eventfd, which the ring polls. */
#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include "backends/bell.h"
#include "backends/uring_ring.h"
#include "backends/uring_table.h"

enum {
    MOST = 1 << 30, /* bytes in one request, whose field has 32 bits */
    LOOKS = 64,     /* at the ring in one wait, while each brings a … */
    PORTION = 16,   /* … or more: the kernel tells of some twenty things at a time, and who is behind them starves */
    NOBODY = -1     /* the place of a request whose end interests nobody */
};
/* handle->bits */
enum {
    MORE = 1, /* another receive or accept may succeed at once */
    FULL = 2, /* no room to send */
    TOLD = 4, /* the poll that stays has told of something since the last receive */
    STOPS =
        8, /* a receive may stop short of what is there: at TCP's urgent mark, at a descriptor sent along, at the end */
    PIPE = 16 /* waits for readiness: a write of the ring's would raise SIGPIPE, and from where it cannot be blocked */
};
/* op->mark */
enum { UNWANTED = 1 };

typedef struct uring_driver {
    saros_loop  *loop;
    saros_ring   ring;
    saros_table  table;
    bool         behind; /* something is owed */
    int          broken; /* the wake-up cannot be polled any more */
    saros_waker  waker;
    saros_handle bell; /* its end that is polled, always in place 0 */
    atomic_bool  woken;
} uring_driver;

/* ---- requests ------------------------------------------------------------------------------------------------- */

/* One to be written, or NULL: then it is owed. */
static struct io_uring_sqe *entry(uring_driver *self, bool *owed) {
    struct io_uring_sqe *sqe = saros_ring_entry(&self->ring);
    *owed = sqe == NULL;
    if (sqe == NULL) self->behind = true;
    return sqe;
}

static unsigned at_most(size_t size) { return size < MOST ? (unsigned)size : MOST; }

/* Does the kernel only tell when it may be tried? */
static bool is_tried(const saros_op *op) {
    return op->kind == SAROS_OP_CONNECT || op->kind == SAROS_OP_SENDV || op->kind == SAROS_OP_POLL ||
           op->kind == SAROS_OP_SENDTO || (op->handle->bits & PIPE);
}

static unsigned readiness(const saros_op *op) {
    if (op->kind != SAROS_OP_POLL) return op->kind == SAROS_OP_RECV ? POLLIN : POLLOUT;
    return (op->size & SAROS_READABLE ? POLLIN : 0) | (op->size & SAROS_WRITABLE ? POLLOUT : 0);
}

static void prepare(struct io_uring_sqe *sqe, int fd, const saros_op *op) {
    if (is_tried(op)) {
        io_uring_prep_poll_add(sqe, fd, readiness(op));
        return;
    }
    switch (op->kind) {
    case SAROS_OP_RECV: io_uring_prep_recv(sqe, fd, op->buffer, at_most(op->size), 0); break;
    case SAROS_OP_SEND: io_uring_prep_send(sqe, fd, op->data, at_most(op->size), MSG_NOSIGNAL); break;
    default: io_uring_prep_accept(sqe, fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC); break;
    }
}

static void launch(uring_driver *self, uint32_t place) {
    const saros_flight  *flown = &self->table.at[place];
    struct io_uring_sqe *sqe = entry(self, &self->table.at[place].owed);
    if (sqe == NULL) return;
    if (flown->op != NULL) prepare(sqe, flown->handle->os, flown->op);
    else io_uring_prep_poll_multishot(sqe, flown->handle->os, POLLIN | POLLPRI | POLLRDHUP);
    io_uring_sqe_set_data64(sqe, saros_table_ticket(&self->table, place));
}

static void launch_cancel(uring_driver *self, uint32_t place) {
    struct io_uring_sqe *sqe = entry(self, &self->table.at[place].owed_cancel);
    if (sqe == NULL) return;
    io_uring_prep_cancel64(sqe, saros_table_ticket(&self->table, place), 0);
    io_uring_sqe_set_data64(sqe, (uint32_t)NOBODY);
}

static void catch_up(uring_driver *self) {
    self->behind = false;
    for (uint32_t place = 0; place < self->table.count && !self->behind; place++) { /* one refusal is enough */
        if (self->table.at[place].handle == NULL) continue;
        if (self->table.at[place].owed) launch(self, place);
        else if (self->table.at[place].owed_cancel) launch_cancel(self, place);
    }
}

/* ---- operations ----------------------------------------------------------------------------------------------- */

static void note(saros_handle *handle, unsigned bit, bool set) {
    handle->bits = (uint8_t)(set ? handle->bits | bit : handle->bits & ~bit);
}

/* What got less than it had room for has emptied the socket, but for where receives stop: the poll that stays would not
 * tell of the rest again. */
static int64_t received(saros_handle *handle, int64_t got, size_t size) {
    note(handle, TOLD, false);
    note(handle, MORE, got == (int64_t)size || (got != SAROS_EAGAIN && (handle->bits & STOPS)));
    return got;
}

static int64_t receive(saros_handle *handle, void *buffer, size_t size) {
    bool pipe = handle->bits & PIPE;
    return received(handle, pipe ? saros_try_read(handle->os, buffer, size) : saros_try_recv(handle->os, buffer, size),
                    size);
}

static int64_t sent(saros_handle *handle, int64_t count, size_t size) {
    note(handle, FULL, count == SAROS_EAGAIN || (count >= 0 && (size_t)count < size));
    return count;
}

static int64_t send_some(saros_handle *handle, const saros_op *op) {
    const saros_piece whole = {op->data, op->size}, *first = op->kind == SAROS_OP_SENDV ? op->pieces : &whole;
    if (handle->bits & PIPE) return sent(handle, saros_try_write(handle->os, first->data, first->size), first->size);
    /* of pieces one call may not take all, whatever room there is */
    if (first != &whole) return sent(handle, saros_try_sendv(handle->os, first, op->size), 1);
    return sent(handle, saros_try_send(handle->os, op->data, op->size), op->size);
}

static int64_t send_to(const saros_op *op) {
    saros_handle *handle = op->handle;
    return sent(handle, saros_try_sendto(handle->os, handle->sort & SAROS_SIX, op->datagram, op->size), op->size);
}

static void make_new(saros_handle *handle, bool stops) {
    handle->bits = stops ? STOPS : 0;
    handle->slot = 0;
}

static int accepted(uring_driver *self, saros_op *op, int fd) {
    note(op->handle, MORE, true);
    op->accepted->os = fd;
    make_new(op->accepted, op->handle->bits & STOPS);
    saros_opened(self->loop, op->accepted, false);
    return 0;
}

static int accept_one(uring_driver *self, saros_op *op) {
    int fd, error = saros_try_accept(op->handle->os, &fd);
    if (error == 0) return accepted(self, op, fd);
    note(op->handle, MORE, false);
    return error;
}

/* Descriptors only: what is in flight on the handle has ended. */
static void close_handle(saros_handle *handle) {
    if (handle->sort & SAROS_LISTENS) saros_try_unlink(handle->os, handle->word);
    if (handle->os != SAROS_NO_HANDLE && !handle->borrowed) saros_try_close(handle->os);
    handle->os = SAROS_NO_HANDLE;
}

static int take_in(void *driver, saros_handle *handle, enum saros_found what) {
    (void)driver;
    make_new(handle, true);
    note(handle, PIPE | MORE, what == SAROS_FOUND_PIPE); /* the wrong end tells nobody when it is tried in vain */
    return 0;
}

static int end_sending(saros_handle *handle) {
    if (!(handle->bits & PIPE)) return saros_try_shutdown(handle->os);
    if (handle->first->next != NULL) return SAROS_EBUSY; /* what waits would keep the pipe open */
    note(handle, FULL, false);
    return saros_try_end_pipe(&handle->os);
}

/* A connect or listen: open, or under way, or nothing is left of it. */
static int opened(uring_driver *self, saros_handle *handle, int error, bool listener) {
    if (error == 0) saros_opened(self->loop, handle, listener);
    else if (error != SAROS_EAGAIN) close_handle(handle);
    return error;
}

/* What can be done without the ring. SAROS_EAGAIN: it would block, or would not be worth the call. */
static int64_t attempt(uring_driver *self, saros_op *op) {
    saros_handle *handle = op->handle;
    bool          more = handle->bits & MORE;
    switch (op->kind) {
    case SAROS_OP_RECV:
        if (!more) return SAROS_EAGAIN;
        return op->buffer == NULL ? 0 : receive(handle, op->buffer, op->size);
    case SAROS_OP_SEND:
    case SAROS_OP_SENDV: return handle->bits & FULL ? SAROS_EAGAIN : send_some(handle, op);
    case SAROS_OP_RECVFROM: return more ? 0 : SAROS_EAGAIN;
    case SAROS_OP_SENDTO: return handle->bits & FULL ? SAROS_EAGAIN : send_to(op);
    case SAROS_OP_ACCEPT: return more ? accept_one(self, op) : SAROS_EAGAIN;
    case SAROS_OP_CONNECT:
        make_new(handle, op->address->family == SAROS_UNIX);
        return opened(self, handle, saros_try_connect(&handle->os, op->address, saros_connects_from(op)), false);
    case SAROS_OP_LISTEN:
        make_new(handle, op->address->family == SAROS_UNIX);
        return opened(self, handle, saros_try_listen(&handle->os, op->address, op->size, &handle->word), true);
    case SAROS_OP_DATAGRAM:
        make_new(handle, true); /* only a try tells that there is no other one */
        return opened(self, handle, saros_try_datagram(&handle->os, op->address), false);
    case SAROS_OP_ADOPT:
    case SAROS_OP_BORROW:
    case SAROS_OP_PAIR: return saros_open_given(self->loop, op, take_in, self);
    case SAROS_OP_SHUTDOWN: return end_sending(handle);
    case SAROS_OP_POLL: return saros_try_ready(handle->os, (unsigned)op->size);
    case SAROS_OP_NAME: return saros_try_name(handle->os, op->size == 1, op->address);
    case SAROS_OP_OPTION: return saros_try_option(handle->os, op->setting, op->size == 1);
    case SAROS_OP_CLOSE:
        if (handle->slot != 0) return SAROS_EAGAIN;
        close_handle(handle);
        return 0;
    default: return SAROS_ENOSYS;
    }
}

/* An op that the kernel has called ready. */
static int64_t tried(uring_driver *self, saros_op *op) {
    bool sends = op->kind == SAROS_OP_SEND || op->kind == SAROS_OP_SENDV || op->kind == SAROS_OP_SENDTO;
    note(op->handle, sends ? FULL : 0, false);
    note(op->handle, op->kind == SAROS_OP_RECV ? MORE : 0, true);
    return attempt(self, op);
}

/* What came of a request. SAROS_EAGAIN: of the op nothing yet, it has to go up again. */
static int64_t outcome(uring_driver *self, saros_op *op, int result) {
    saros_handle *handle = op->handle;
    if (result == -ECANCELED) return SAROS_ECANCELED;
    if (op->kind == SAROS_OP_CONNECT) return opened(self, handle, saros_try_connected(handle->os), false);
    /* The plain call knows which errors belong to connections that died in the queue, and skips them. */
    if (op->kind == SAROS_OP_ACCEPT) return result >= 0 ? accepted(self, op, result) : accept_one(self, op);
    if (result == -EAGAIN || result == -EINTR) return SAROS_EAGAIN;
    if (result < 0) return saros_error_from_os(-result);
    if (is_tried(op)) return tried(self, op);
    return op->kind == SAROS_OP_RECV ? received(handle, result, op->size) : sent(handle, result, op->size);
}

/* ---- the poll that stays -------------------------------------------------------------------------------------- */

static int begin_poll(uring_driver *self, saros_handle *handle) {
    if (handle->slot != 0) return 0; /* where it is ending, its end begins the next */
    int error = saros_table_take(&self->table, self->loop, handle, NULL, &handle->slot);
    if (error == 0) launch(self, handle->slot);
    return error;
}

/* The one that waits for the poll, if there is any: a lent receive, or a close that waits for nothing else. */
static saros_op *waits_for_poll(const saros_handle *handle) {
    saros_op *op = handle->first;
    if (op != NULL && op->kind == SAROS_OP_CLOSE) return op;
    while (op != NULL && !saros_is_lent(op)) op = op->next;
    return op;
}

static void poll_ended(uring_driver *self, saros_handle *handle) {
    saros_table_free(&self->table, handle->slot);
    handle->slot = 0;
    saros_op *op = waits_for_poll(handle);
    if (op == NULL) return;
    bool close = op->kind == SAROS_OP_CLOSE;
    if (close) close_handle(handle);
    int error = close ? 0 : begin_poll(self, handle);
    if (close || error < 0) saros_complete(self->loop, op, error);
}

static void end_poll(uring_driver *self, saros_handle *handle) {
    saros_flight *poll = &self->table.at[handle->slot];
    if (poll->ending) return;
    poll->ending = true;
    if (poll->owed) poll_ended(self, handle); /* the kernel has never heard of it */
    else launch_cancel(self, handle->slot);
}

static void polled(uring_driver *self, saros_handle *handle, int result, bool stays) {
    saros_op *op = waits_for_poll(handle);
    bool      lent = op != NULL && saros_is_lent(op), again = handle->bits & TOLD;
    if (result >= 0) note(handle, MORE | TOLD, true);
    if (result >= 0 && (result & (POLLPRI | POLLRDHUP | POLLHUP))) note(handle, STOPS, true);
    if (lent && result != -ECANCELED) saros_complete(self->loop, op, result < 0 ? saros_error_from_os(-result) : 0);
    if (!stays) poll_ended(self, handle);
    else if (again && !lent) end_poll(self, handle);
}

/* ---- from submission to completion ---------------------------------------------------------------------------- */

/* An end before its time: a connect under way leaves nothing behind. */
static void give_up(uring_driver *self, saros_op *op, int error) {
    if (op->kind == SAROS_OP_CONNECT) close_handle(op->handle);
    saros_complete(self->loop, op, error);
}

static void ended(uring_driver *self, uint32_t place, int result) {
    saros_op *op = self->table.at[place].op;
    int64_t   value = outcome(self, op, result);
    if (value == SAROS_EAGAIN && !(op->mark & UNWANTED)) {
        launch(self, place);
        return;
    }
    saros_table_free(&self->table, place);
    if (value == SAROS_EAGAIN || value == SAROS_ECANCELED) give_up(self, op, SAROS_ECANCELED);
    else saros_complete(self->loop, op, value);
}

/* Whoever sleeps on our descriptor is kept awake while there is something that the kernel will not have now. */
static void hand_over(uring_driver *self) {
    saros_ring_flush(&self->ring);
    if (saros_polled(self->loop)) saros_ring_was_read(&self->ring, self->behind);
}

/* Leaves op to the kernel. */
static int park(uring_driver *self, saros_op *op) {
    bool lent = saros_is_lent(op), close = op->kind == SAROS_OP_CLOSE;
    int  error = close  ? 0
                 : lent ? begin_poll(self, op->handle)
                        : saros_table_take(&self->table, self->loop, op->handle, op, &op->word);
    if (error < 0) return error;
    saros_trace(self->loop, SAROS_ON_PARK, op, 0);
    if (close) end_poll(self, op->handle);
    else if (!lent) launch(self, op->word);
    if (!saros_running(self->loop)) hand_over(self); /* who begins outside of a step may sleep before the next one */
    return 0;
}

static void uring_submit(void *driver, saros_op *op) {
    uring_driver *self = driver;
    int64_t       result = attempt(self, op);
    if (result == SAROS_EAGAIN && !saros_is_at_once(op)) {
        int error = park(self, op);
        if (error < 0) give_up(self, op, error);
    } else {
        saros_complete(self->loop, op, result);
    }
}

static void uring_cancel(void *driver, saros_op *op) {
    uring_driver *self = driver;
    op->mark = UNWANTED;
    if (saros_is_lent(op)) give_up(self, op, SAROS_ECANCELED); /* the kernel knows of the poll only */
    else if (self->table.at[op->word].owed) ended(self, op->word, -ECANCELED);
    else launch_cancel(self, op->word);
    if (!saros_running(self->loop)) hand_over(self);
}

static int64_t uring_take(void *driver, saros_op *op, void *buffer, size_t size) {
    (void)driver;
    if (op->kind == SAROS_OP_RECVFROM)
        return received(op->handle, saros_try_recvfrom(op->handle->os, op->datagram, buffer, size), size);
    return receive(op->handle, buffer, size);
}

/* ---- the wait ------------------------------------------------------------------------------------------------- */

static void rung(uring_driver *self, int result, bool stays) {
    saros_waker_clear(&self->waker);
    atomic_store(&self->woken, false); /* after the clear: a wake in between must not be swallowed by it */
    if (result < 0) self->broken = saros_error_from_os(-result);
    else if (!stays) launch(self, 0);
}

static void land(uring_driver *self, const struct io_uring_cqe *cqe) {
    uint32_t place = (uint32_t)cqe->user_data, generation = (uint32_t)(cqe->user_data >> 32);
    bool     stays = cqe->flags & IORING_CQE_F_MORE;
    if (place >= self->table.count) return; /* NOBODY */
    const saros_flight *flown = &self->table.at[place];
    if (flown->handle == NULL || flown->generation != generation) return;
    if (flown->op != NULL) ended(self, place, cqe->res);
    else if (place == 0) rung(self, cqe->res, stays);
    else polled(self, flown->handle, cqe->res, stays);
}

static unsigned reap(uring_driver *self) {
    const struct io_uring_cqe *cqe;
    unsigned                   head, count = 0;
    io_uring_for_each_cqe(&self->ring.io, head, cqe) {
        count++;
        land(self, cqe);
    }
    io_uring_cq_advance(&self->ring.io, count);
    return count;
}

/* The ring is of no use any more. It is given up before any buffer is handed back, and what flies ends; first the polls, so
 * that no close has to wait for one. */
static int break_down(uring_driver *self, int error) {
    saros_ring_end(&self->ring);
    saros_waker_ring(&self->ring.news);
    for (uint32_t place = 1; place < self->table.count; place++) {
        saros_handle *handle = self->table.at[place].handle;
        if (handle == NULL || self->table.at[place].op != NULL) continue;
        saros_op *op = waits_for_poll(handle);
        if (op != NULL && saros_is_lent(op)) saros_complete(self->loop, op, error);
        poll_ended(self, handle);
    }
    for (uint32_t place = 1; place < self->table.count; place++) {
        if (self->table.at[place].handle == NULL) continue;
        saros_table_free(&self->table, place);
        give_up(self, self->table.at[place].op, error);
    }
    return error;
}

static int uring_wait(void *driver, saros_time timeout) {
    uring_driver *self = driver;
    if (self->behind) catch_up(self);
    int error = saros_ring_enter(&self->ring, self->behind ? 0 : timeout);
    if (saros_polled(self->loop)) saros_ring_read(&self->ring);
    unsigned brought = reap(self);
    for (int looks = 1; error == 0 && brought >= PORTION && looks < LOOKS && saros_ring_has_more(&self->ring);
         looks++) {
        error = saros_ring_enter(&self->ring, 0);
        brought = reap(self);
    }
    if (error == 0) error = self->broken;
    if (error < 0) return break_down(self, error);
    hand_over(self); /* what went up again; a rare thing */
    return 0;
}

static void uring_wake(void *driver) {
    uring_driver *self = driver;
    if (!atomic_exchange(&self->woken, true)) saros_waker_ring(&self->waker);
}

static saros_time uring_now(void *driver) {
    (void)driver;
    return saros_clock();
}

/* ---- open and close ------------------------------------------------------------------------------------------- */

static void uring_close(void *driver) {
    uring_driver *self = driver;
    saros_ring_close(&self->ring);
    saros_waker_close(&self->waker);
    saros_table_close(&self->table, self->loop);
}

static int uring_open(void *driver, saros_loop *loop, const saros_config *config) {
    uring_driver *self = driver;
    uint32_t      place;
    (void)config;
    self->loop = loop;
    int error = saros_ring_open(&self->ring, loop);
    if (error < 0) return error;
    error = saros_waker_open(&self->waker);
    if (error < 0) {
        saros_ring_close(&self->ring);
        return error;
    }
    self->bell.os = self->waker.in;
    error = saros_table_take(&self->table, self->loop, &self->bell, NULL, &place);
    if (error < 0) {
        uring_close(self);
        return error;
    }
    launch(self, place);
    saros_ring_flush(&self->ring);
    saros_set_pollable(loop, self->ring.news.in);
    return 0;
}

const saros_driver saros_uring_driver = {
    .name = "uring",
    .size = sizeof(uring_driver),
    .open = uring_open,
    .close = uring_close,
    .now = uring_now,
    .submit = uring_submit,
    .cancel = uring_cancel,
    .wait = uring_wait,
    .wake = uring_wake,
    .take = uring_take,
};
