/* uring.c: the driver on Linux io_uring: which requests an operation becomes, and what comes of them.
 *
 * What is wrong with io_uring for this (the rest is in uring_ring.c), and how this copes:
 *   A request lives on when we do not want it any more; also close() does not end it. A cancel is itself a request, and
 *   may come too late. So an op is told when its own completion has come and not before, and nothing of it is freed or
 *   closed until then. To the kernel an op is a place in our table and that place's generation: what belongs to an
 *   older generation is nobody's.
 *   A connection waits for a message most of the time, and a buffer would wait with it: a lent receive is a poll, and
 *   `take` makes the call. Measured, receives that bring their buffers are no faster.
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

enum {
    MOST = 1 << 30, /* bytes in one request, whose field has 32 bits */
    NOBODY = -1     /* the place of a request whose end interests nobody */
};
/* handle->bits */
enum { MORE = 1 /* the last one took all it could: another may succeed at once */, FULL = 2 /* no room to send */ };
/* op->mark */
enum { UNWANTED = 1 };

/* A place in the table: an op that the kernel works on. Number 0 is the poll of the wake-up. */
typedef struct flight {
    saros_op *op;         /* NULL: free */
    uint32_t  generation; /* of the place, goes up with every use */
    uint32_t  next;       /* the next free one */
    bool      owed;       /* its request is not in the ring yet */
    bool      owed_cancel;
} flight;

typedef struct uring_driver {
    saros_loop *loop;
    saros_ring  ring;
    flight     *flights;
    uint32_t    count, room; /* places used at some time; allocated */
    uint32_t    free;        /* 0: none */
    bool        behind;      /* something is owed */
    int         broken;      /* the wake-up cannot be polled any more */
    saros_waker waker;       /* place 0's */
    atomic_bool woken;
} uring_driver;

/* ---- the table ------------------------------------------------------------------------------------------------ */

static int take_place(uring_driver *self, saros_op *op, uint32_t *place) {
    if (self->free != 0) {
        *place = self->free;
        self->free = self->flights[*place].next;
    } else {
        if (self->count == self->room) {
            uint32_t room = self->room > 0 ? self->room * 2 : 16;
            size_t   unit = sizeof *self->flights;
            flight  *flights = saros_realloc(self->loop, self->flights, self->room * unit, room * unit);
            if (flights == NULL) return SAROS_ENOMEM;
            self->flights = flights;
            self->room = room;
        }
        *place = self->count++;
        self->flights[*place].generation = 0;
    }
    self->flights[*place] = (flight){.op = op, .generation = self->flights[*place].generation + 1};
    return 0;
}

static void free_place(uring_driver *self, uint32_t place) {
    self->flights[place].op = NULL;
    self->flights[place].next = self->free;
    self->free = place;
}

static uint64_t ticket(const uring_driver *self, uint32_t place) {
    return (uint64_t)self->flights[place].generation << 32 | place;
}

/* ---- requests ------------------------------------------------------------------------------------------------- */

/* One to be written, or NULL: then it is owed. */
static struct io_uring_sqe *entry(uring_driver *self, bool *owed) {
    struct io_uring_sqe *sqe = saros_ring_entry(&self->ring);
    *owed = sqe == NULL;
    if (sqe == NULL) self->behind = true;
    return sqe;
}

static unsigned at_most(size_t size) { return size < MOST ? (unsigned)size : MOST; }

static void launch(uring_driver *self, uint32_t place) {
    const saros_op      *op = self->flights[place].op;
    struct io_uring_sqe *sqe = entry(self, &self->flights[place].owed);
    if (sqe == NULL) return;
    int fd = op->handle->os;
    switch (op->kind) {
    case SAROS_OP_RECV:
        if (op->buffer == NULL) io_uring_prep_poll_add(sqe, fd, POLLIN);
        else io_uring_prep_recv(sqe, fd, op->buffer, at_most(op->size), 0);
        break;
    case SAROS_OP_SEND: io_uring_prep_send(sqe, fd, op->data, at_most(op->size), MSG_NOSIGNAL); break;
    case SAROS_OP_ACCEPT: io_uring_prep_accept(sqe, fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC); break;
    default: io_uring_prep_poll_add(sqe, fd, POLLOUT); break; /* a connect under way */
    }
    io_uring_sqe_set_data64(sqe, ticket(self, place));
}

static void launch_cancel(uring_driver *self, uint32_t place) {
    struct io_uring_sqe *sqe = entry(self, &self->flights[place].owed_cancel);
    if (sqe == NULL) return;
    io_uring_prep_cancel64(sqe, ticket(self, place), 0);
    io_uring_sqe_set_data64(sqe, (uint32_t)NOBODY);
}

/* Multishot: it stays, and brings a completion for each ring. */
static void launch_waker(uring_driver *self) {
    struct io_uring_sqe *sqe = entry(self, &self->flights[0].owed);
    if (sqe == NULL) return;
    io_uring_prep_poll_multishot(sqe, self->waker.in, POLLIN);
    io_uring_sqe_set_data64(sqe, 0);
}

static void catch_up(uring_driver *self) {
    self->behind = false;
    if (self->flights[0].owed) launch_waker(self);
    for (uint32_t place = 1; place < self->count; place++) {
        if (self->flights[place].op == NULL) continue;
        if (self->flights[place].owed) launch(self, place);
        else if (self->flights[place].owed_cancel) launch_cancel(self, place);
    }
}

/* ---- operations ----------------------------------------------------------------------------------------------- */

static void note(saros_handle *handle, unsigned bit, bool set) {
    handle->bits = (uint8_t)(set ? handle->bits | bit : handle->bits & ~bit);
}

static int64_t received(saros_handle *handle, int64_t got, size_t size) {
    note(handle, MORE, got > 0 && (size_t)got == size);
    return got;
}

static int64_t sent(saros_handle *handle, int64_t count, size_t size) {
    note(handle, FULL, count == SAROS_EAGAIN || (count >= 0 && (size_t)count < size));
    return count;
}

static int accepted(uring_driver *self, saros_op *op, int fd) {
    note(op->handle, MORE, true);
    op->accepted->os = fd;
    op->accepted->bits = 0;
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
    if (handle->os != SAROS_NO_HANDLE) saros_try_close(handle->os);
    handle->os = SAROS_NO_HANDLE;
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
        return op->buffer == NULL ? 0 : received(handle, saros_try_recv(handle->os, op->buffer, op->size), op->size);
    case SAROS_OP_SEND:
        if (handle->bits & FULL) return SAROS_EAGAIN;
        return sent(handle, saros_try_send(handle->os, op->data, op->size), op->size);
    case SAROS_OP_ACCEPT: return more ? accept_one(self, op) : SAROS_EAGAIN;
    case SAROS_OP_CONNECT:
        handle->bits = 0;
        return opened(self, handle, saros_try_connect(&handle->os, op->address), false);
    case SAROS_OP_LISTEN:
        handle->bits = 0;
        return opened(self, handle, saros_try_listen(&handle->os, op->address, op->size), true);
    case SAROS_OP_SHUTDOWN: return saros_try_shutdown(handle->os);
    case SAROS_OP_NAME: return saros_try_name(handle->os, op->size == 1, op->address);
    case SAROS_OP_CLOSE: close_handle(handle); return 0;
    default: return SAROS_ENOSYS;
    }
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
    if (saros_is_lent(op)) return 0;
    return op->kind == SAROS_OP_RECV ? received(handle, result, op->size) : sent(handle, result, op->size);
}

/* An end before its time: a connect under way leaves nothing behind. */
static void give_up(uring_driver *self, saros_op *op, int error) {
    if (op->kind == SAROS_OP_CONNECT) close_handle(op->handle);
    saros_complete(self->loop, op, error);
}

static void land(uring_driver *self, uint32_t place, int result) {
    saros_op *op = self->flights[place].op;
    int64_t   value = outcome(self, op, result);
    if (value == SAROS_EAGAIN && !(op->mark & UNWANTED)) {
        launch(self, place);
        return;
    }
    free_place(self, place);
    if (value == SAROS_EAGAIN || value == SAROS_ECANCELED) give_up(self, op, SAROS_ECANCELED);
    else saros_complete(self->loop, op, value);
}

/* Who begins or cancels outside of a step may sleep before the next one. */
static void hand_over(uring_driver *self) {
    if (!saros_running(self->loop)) saros_ring_flush(&self->ring);
}

static void uring_submit(void *driver, saros_op *op) {
    uring_driver *self = driver;
    int64_t       result = attempt(self, op);
    if (result != SAROS_EAGAIN) {
        saros_complete(self->loop, op, result);
        return;
    }
    int error = take_place(self, op, &op->word);
    if (error < 0) {
        give_up(self, op, error);
        return;
    }
    saros_trace(self->loop, SAROS_ON_PARK, op, 0);
    launch(self, op->word);
    hand_over(self);
}

static void uring_cancel(void *driver, saros_op *op) {
    uring_driver *self = driver;
    op->mark = UNWANTED;
    if (self->flights[op->word].owed) land(self, op->word, -ECANCELED); /* the kernel has never heard of it */
    else launch_cancel(self, op->word);
    hand_over(self);
}

static int64_t uring_take(void *driver, saros_op *op, void *buffer, size_t size) {
    (void)driver;
    return received(op->handle, saros_try_recv(op->handle->os, buffer, size), size);
}

/* ---- the wait ------------------------------------------------------------------------------------------------- */

static void reap(uring_driver *self) {
    const struct io_uring_cqe *cqe;
    unsigned                   head, count = 0;
    io_uring_for_each_cqe(&self->ring.io, head, cqe) {
        uint32_t place = (uint32_t)cqe->user_data, generation = (uint32_t)(cqe->user_data >> 32);
        count++;
        if (place == 0) {
            saros_waker_clear(&self->waker);
            atomic_store(&self->woken, false); /* after the clear: a wake in between must not be swallowed by it */
            if (cqe->res < 0) self->broken = saros_error_from_os(-cqe->res);
            else if (!(cqe->flags & IORING_CQE_F_MORE)) launch_waker(self);
        } else if (place < self->count && self->flights[place].op != NULL &&
                   self->flights[place].generation == generation) {
            land(self, place, cqe->res);
        }
    }
    io_uring_cq_advance(&self->ring.io, count);
}

static int uring_wait(void *driver, saros_time timeout) {
    uring_driver *self = driver;
    bool          polled = saros_polled(self->loop);
    if (self->behind) catch_up(self);
    int error = saros_ring_enter(&self->ring, self->behind ? 0 : timeout);
    if (error < 0) return error;
    if (polled) saros_ring_read(&self->ring);
    reap(self);
    saros_ring_flush(&self->ring); /* what went up again; a rare thing */
    if (polled) saros_ring_was_read(&self->ring);
    return self->broken;
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
    saros_realloc(self->loop, self->flights, self->room * sizeof *self->flights, 0);
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
    error = take_place(self, NULL, &place);
    if (error < 0) {
        uring_close(self);
        return error;
    }
    launch_waker(self);
    saros_ring_flush(&self->ring);
    saros_set_pollable(loop, self->ring.news.in);
    return 0;
}

extern const saros_driver saros_uring_driver;
const saros_driver        saros_uring_driver = {
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
