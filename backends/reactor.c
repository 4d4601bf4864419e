/* reactor.c: try the call; if it would block, park the operation; when the kernel says ready, try again.
 *
 * What is wrong with readiness: it says that a call may succeed, not that something is done, so every operation costs
 * a call that tells and a call that does, and most implementations pay a third to change what is watched. Two rules
 * save a factor of two on small messages:
 *
 *   Lazy disarm. What nobody waits for any more stays watched until it fires once for nothing. A task that reads in a
 *   loop thus changes its registration never instead of twice a message.
 *
 *   Known empty. A receive that got less than it had room for has emptied the socket, so the next one parks without
 *   a call that could only say EAGAIN. (Not once the peer's end was signalled: then there is an end to be read.)
 *
 * Watching is level-triggered, so neither rule can miss anything. */
#include "backends/reactor.h"
#include "backends/bell.h"

/* handle->bits. handle->word is a pending error that the mechanism was told of, as a positive number, or 0. */
enum { EMPTY = 1 /* nothing to receive, by the last count */, FULL = 2 /* no room to send */, ENDED = 4, PIPE = 8 };

/* ---- slots ---------------------------------------------------------------------------------------------------- */

static int take_slot(saros_reactor *self, uint32_t *slot) {
    if (self->free != 0) {
        *slot = self->free;
        self->free = self->slots[*slot].free;
        return 0;
    }
    if (self->count == self->room) {
        uint32_t    room = self->room > 0 ? self->room * 2 : 16;
        size_t      unit = sizeof *self->slots;
        saros_slot *slots = saros_realloc(self->loop, self->slots, self->room * unit, room * unit);
        if (slots == NULL) return SAROS_ENOMEM;
        self->slots = slots;
        self->room = room;
    }
    *slot = self->count++;
    return 0;
}

static int set_interest(saros_reactor *self, uint32_t slot, unsigned interest) {
    unsigned was = self->slots[slot].interest;
    if (interest == was) return 0;
    int error = self->watch(self, slot, was, interest);
    if (error == 0 || interest == 0) self->slots[slot].interest = interest;
    return error;
}

/* Gives up the slot of a handle that is about to close: first the kernel forgets it, then the number is free. */
static void release_slot(saros_reactor *self, saros_handle *handle) {
    uint32_t slot = handle->slot;
    if (slot == 0) return;
    set_interest(self, slot, 0);
    self->slots[slot] = (saros_slot){.free = self->free};
    self->free = slot;
    handle->slot = 0;
}

static void close_handle(saros_reactor *self, saros_handle *handle) {
    release_slot(self, handle);
    if (handle->sort & SAROS_LISTENS) saros_try_unlink(handle->os, handle->word);
    if (handle->os != SAROS_NO_HANDLE && !handle->borrowed) saros_try_close(handle->os);
    handle->os = SAROS_NO_HANDLE;
}

/* ---- operations ----------------------------------------------------------------------------------------------- */

static unsigned direction(const saros_op *op) {
    switch (op->kind) {
    case SAROS_OP_RECV:
    case SAROS_OP_RECVFROM:
    case SAROS_OP_ACCEPT: return SAROS_IN;
    case SAROS_OP_SEND:
    case SAROS_OP_SENDTO:
    case SAROS_OP_SENDV:
    case SAROS_OP_CONNECT: return SAROS_OUT;
    case SAROS_OP_POLL: return (unsigned)op->size; /* enum saros_ready has the same bits */
    default: return 0;
    }
}

static void note(saros_handle *handle, unsigned bit, bool set) {
    handle->bits = (uint8_t)(set ? handle->bits | bit : handle->bits & ~bit);
}

/* The error that the mechanism was told of, for the call that would have been answered with it; once. */
static int64_t or_failure(saros_handle *handle, int64_t answer) {
    if (answer > 0 || handle->word == 0) return answer;
    answer = -(int64_t)handle->word;
    handle->word = 0;
    return answer;
}

static int64_t receive(saros_handle *handle, void *buffer, size_t size) {
    int64_t got = handle->bits & PIPE ? saros_try_read(handle->os, buffer, size)
                                      : or_failure(handle, saros_try_recv(handle->os, buffer, size));
    note(handle, EMPTY, got == SAROS_EAGAIN || (got > 0 && (size_t)got < size && !(handle->bits & ENDED)));
    return got;
}

static int64_t send_some(saros_handle *handle, const saros_op *op) {
    int64_t sent = handle->bits & PIPE ? saros_try_write(handle->os, op->data, op->size)
                                       : or_failure(handle, saros_try_send(handle->os, op->data, op->size));
    note(handle, FULL, sent == SAROS_EAGAIN || (sent >= 0 && (size_t)sent < op->size));
    return sent;
}

/* Whether there is room behind it the count does not tell: the pieces of one call may not be all. */
static int64_t send_pieces(saros_handle *handle, const saros_op *op) {
    bool    pipe = handle->bits & PIPE;
    int64_t sent = or_failure(handle, pipe ? saros_try_write(handle->os, op->pieces->data, op->pieces->size)
                                           : saros_try_sendv(handle->os, op->pieces, op->size));
    note(handle, FULL, sent == SAROS_EAGAIN);
    return sent;
}

/* A datagram says nothing of the next one: only a try does. */
static int64_t receive_from(saros_op *op, void *buffer, size_t size) {
    int64_t got = saros_try_recvfrom(op->handle->os, op->datagram, buffer, size);
    if (got < 0) got = or_failure(op->handle, got);
    note(op->handle, EMPTY, got == SAROS_EAGAIN);
    return got;
}

static int64_t send_to(const saros_op *op) {
    saros_handle *handle = op->handle;
    int64_t       sent = saros_try_sendto(handle->os, handle->sort & SAROS_SIX, op->datagram, op->size);
    if (sent < 0) sent = or_failure(handle, sent);
    note(handle, FULL, sent == SAROS_EAGAIN);
    return sent;
}

static void make_new(saros_handle *handle) {
    handle->bits = 0;
    handle->slot = 0;
    handle->word = 0;
}

static int accept_one(saros_reactor *self, saros_op *op) {
    saros_os_handle fd;
    int             error = saros_try_accept(op->handle->os, &fd);
    if (error < 0) return error;
    op->accepted->os = fd;
    make_new(op->accepted);
    saros_opened(self->loop, op->accepted, false);
    return 0;
}

/* The end of a connect or listen: open, or nothing is left of it. */
static int opened(saros_reactor *self, saros_handle *handle, int error, bool listener) {
    if (error == 0) saros_opened(self->loop, handle, listener);
    else close_handle(self, handle);
    return error;
}

static int begin_connect(saros_reactor *self, saros_op *op) {
    int error = saros_try_connect(&op->handle->os, op->address, saros_connects_from(op));
    return error == SAROS_EAGAIN ? error : opened(self, op->handle, error, false);
}

static int end_connect(saros_reactor *self, saros_op *op) {
    int error = (int)or_failure(op->handle, saros_try_connected(op->handle->os));
    return error == SAROS_EAGAIN ? error : opened(self, op->handle, error, false);
}

static int take_in(void *driver, saros_handle *handle, enum saros_found what) {
    (void)driver;
    make_new(handle);
    note(handle, PIPE, what == SAROS_FOUND_PIPE);
    return 0;
}

static int end_pipe(saros_reactor *self, const saros_op *op) {
    saros_handle *handle = op->handle;
    if (handle->first->next != NULL) return SAROS_EBUSY; /* what waits would wait for what is gone */
    release_slot(self, handle);
    note(handle, FULL, false);
    return saros_try_end_pipe(&handle->os);
}

static int listen_at(saros_handle *handle, const saros_op *op) {
    return saros_try_listen(&handle->os, op->address, op->size, &handle->word); /* a listener has no other use for it */
}

/* One try, when op is submitted (first) or when the kernel says that it may go on. */
static int64_t attempt(saros_reactor *self, saros_op *op, bool first) {
    saros_handle *handle = op->handle;
    switch (op->kind) {
    case SAROS_OP_RECV:
        if (first && (handle->bits & EMPTY)) return SAROS_EAGAIN;
        return op->buffer == NULL ? 0 : receive(handle, op->buffer, op->size);
    case SAROS_OP_SEND: return first && (handle->bits & FULL) ? SAROS_EAGAIN : send_some(handle, op);
    case SAROS_OP_RECVFROM: return first && (handle->bits & EMPTY) ? SAROS_EAGAIN : 0;
    case SAROS_OP_SENDTO: return first && (handle->bits & FULL) ? SAROS_EAGAIN : send_to(op);
    case SAROS_OP_SENDV: return first && (handle->bits & FULL) ? SAROS_EAGAIN : send_pieces(handle, op);
    case SAROS_OP_ACCEPT: return accept_one(self, op);
    case SAROS_OP_CONNECT: return first ? begin_connect(self, op) : end_connect(self, op);
    case SAROS_OP_LISTEN: return opened(self, handle, listen_at(handle, op), true);
    case SAROS_OP_DATAGRAM: return opened(self, handle, saros_try_datagram(&handle->os, op->address), false);
    case SAROS_OP_ADOPT:
    case SAROS_OP_BORROW:
    case SAROS_OP_PAIR: return saros_open_given(self->loop, op, take_in, self);
    case SAROS_OP_SHUTDOWN: return handle->bits & PIPE ? end_pipe(self, op) : saros_try_shutdown(handle->os);
    case SAROS_OP_POLL: return saros_try_ready(handle->os, (unsigned)op->size);
    case SAROS_OP_NAME: return saros_try_name(handle->os, op->size == 1, op->address);
    case SAROS_OP_OPTION: return saros_try_option(handle->os, op->setting, op->size == 1);
    case SAROS_OP_CLOSE: close_handle(self, handle); return 0;
    default: return SAROS_ENOSYS;
    }
}

/* Leaves op waiting for the kernel; usually that is being watched for already, and then no call is made. */
static int park(saros_reactor *self, saros_op *op) {
    saros_handle *handle = op->handle;
    if (handle->slot == 0) {
        int error = take_slot(self, &handle->slot);
        if (error < 0) return error;
        self->slots[handle->slot] = (saros_slot){.handle = handle};
    }
    saros_trace(self->loop, SAROS_ON_PARK, op, 0);
    return set_interest(self, handle->slot, self->slots[handle->slot].interest | direction(op));
}

/* An end before its time: a connect under way leaves nothing behind. */
static void give_up(saros_reactor *self, saros_op *op, int error) {
    if (op->kind == SAROS_OP_CONNECT) close_handle(self, op->handle);
    saros_complete(self->loop, op, error);
}

void saros_reactor_submit(void *driver, saros_op *op) {
    saros_reactor *self = driver;
    if (op->handle->state == SAROS_HANDLE_OPENING) make_new(op->handle);
    int64_t result = attempt(self, op, true);
    if (result != SAROS_EAGAIN || saros_is_at_once(op)) {
        saros_complete(self->loop, op, result);
        return;
    }
    int error = park(self, op);
    if (error < 0) give_up(self, op, error);
}

void saros_reactor_cancel(void *driver, saros_op *op) { give_up(driver, op, SAROS_ECANCELED); }

int64_t saros_reactor_take(void *driver, saros_op *op, void *buffer, size_t size) {
    (void)driver;
    return op->kind == SAROS_OP_RECV ? receive(op->handle, buffer, size) : receive_from(op, buffer, size);
}

void saros_reactor_failed(saros_reactor *self, uint32_t slot, int error) {
    saros_handle *handle = self->slots[slot].handle;
    if (handle != NULL) handle->word = (uintptr_t)-error;
}

void saros_reactor_ready(saros_reactor *self, uint32_t slot, unsigned events) {
    if (slot == 0) {
        saros_waker_clear(&self->waker);
        atomic_store(&self->woken, false); /* after it: a wake in between must not be swallowed */
        return;
    }
    saros_handle *handle = self->slots[slot].handle;
    if (handle == NULL) return; /* closed by an earlier event of the same batch */
    if (events & SAROS_END) {
        note(handle, ENDED, true);
        events |= SAROS_IN | SAROS_OUT;
    }
    if (events & SAROS_IN) note(handle, EMPTY, false);
    if (events & SAROS_OUT) note(handle, FULL, false);
    unsigned wanted = 0, spent = 0;
    for (saros_op *op = handle->first, *next; op != NULL && handle->state != SAROS_HANDLE_CLOSING; op = next) {
        next = op->next;
        unsigned way = direction(op);
        if (!(way & events & ~spent)) continue;
        wanted |= way;
        int64_t result = attempt(self, op, false);
        if (result == SAROS_EAGAIN) spent |= way; /* several accepts wait for one queue: it is empty now */
        else saros_complete(self->loop, op, result);
    }
    if (handle->slot == slot) /* else it was a connect that failed, and closed */
        set_interest(self, slot, self->slots[slot].interest & ~(events & ~wanted));
}

saros_time saros_reactor_now(void *driver) {
    (void)driver;
    return saros_clock();
}

/* ---- wake-up -------------------------------------------------------------------------------------------------- */

/* Many wakes are one ring: nothing can fill up. */
void saros_reactor_wake(void *driver) {
    saros_reactor *self = driver;
    if (!atomic_exchange(&self->woken, true)) saros_waker_ring(&self->waker);
}

int saros_reactor_open(saros_reactor *self, saros_loop *loop, saros_watch *watch) {
    uint32_t slot;
    self->loop = loop;
    self->watch = watch;
    int error = saros_waker_open(&self->waker);
    if (error < 0) return error;
    error = take_slot(self, &slot);
    if (error == 0) {
        self->waking.os = self->waker.in;
        self->slots[0] = (saros_slot){.handle = &self->waking};
        error = set_interest(self, 0, SAROS_IN);
    }
    if (error < 0) saros_reactor_close(self);
    return error;
}

void saros_reactor_close(saros_reactor *self) {
    saros_waker_close(&self->waker);
    saros_realloc(self->loop, self->slots, self->room * sizeof *self->slots, 0);
}
