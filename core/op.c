/* op.c: the life of one operation: idle, flying, ready, told.
 *
 * Owns the rules that hold for every driver: what may fly on which handle, what a closing handle does to what flies
 * on it, and that everything ends exactly once.
 * Promises: nothing is told from inside these functions; they only hand down to the driver and queue. */
#include <assert.h>

#include "core/loop.h"

/* What an op keeps busy: a direction of its stream, or the empty handle that an accept is to fill. Accepts are counted in
 * the upper bits of their listener's `busy`. */
enum { READING = 1, WRITING = 2, PROMISED = 4, ONE_ACCEPT = 8 };

static unsigned direction(const saros_op *op) {
    switch (op->kind) {
    case SAROS_OP_RECV:
    case SAROS_OP_RECVFROM: return READING;
    case SAROS_OP_SEND:
    case SAROS_OP_SENDTO:
    case SAROS_OP_SENDV:
    case SAROS_OP_SHUTDOWN: return WRITING;
    default: return 0;
    }
}

/* Does it open the empty handle that it is for? */
static bool opens(const saros_op *op) { return op->kind >= SAROS_OP_CONNECT && op->kind <= SAROS_OP_PAIR; }

static int may_open(const saros_handle *handle) {
    if (handle->state != SAROS_HANDLE_EMPTY) return SAROS_EISCONN;
    return handle->busy & PROMISED ? SAROS_EBUSY : 0; /* two connections in one handle: the first would be lost */
}

static int refused_option(const saros_handle *handle, const saros_setting *setting) {
    if ((unsigned)setting->option >= SAROS_OPTION_KINDS) return SAROS_EINVAL;
    bool datagrams = handle->sort & SAROS_DATAGRAMS, tcp = setting->option <= SAROS_OPTION_LINGER;
    return (datagrams ? tcp : setting->option >= SAROS_OPTION_BROADCAST) ? SAROS_EOPNOTSUPP : 0;
}

/* What transfers is for handles of its own sort. */
static int unfit(const saros_handle *handle, const saros_op *op) {
    if (handle->borrowed || handle->sort & SAROS_LISTENS) return SAROS_ENOTCONN;
    if (handle->sort == 0 || (op->kind != SAROS_OP_RECVFROM && op->kind != SAROS_OP_SENDTO)) return SAROS_EOPNOTSUPP;
    if (op->kind == SAROS_OP_RECVFROM) return 0;
    int family = op->datagram->address.family;
    if (family == 0) return handle->sort & SAROS_HAS_PEER ? 0 : SAROS_EDESTADDRREQ;
    if (handle->sort & SAROS_HAS_PEER) return SAROS_EISCONN;
    return family == SAROS_INET || (family == SAROS_INET6 && handle->sort & SAROS_SIX) ? 0 : SAROS_EAFNOSUPPORT;
}

static int refused_opening(const saros_handle *handle, const saros_op *op) {
    bool given = op->kind == SAROS_OP_ADOPT || op->kind == SAROS_OP_BORROW;
    if (op->kind == SAROS_OP_PAIR && op->accepted == handle) return SAROS_EINVAL;
    if (op->kind == SAROS_OP_PAIR && may_open(op->accepted) < 0) return may_open(op->accepted);
    if (given && op->size != (size_t)(saros_os_handle)op->size) return SAROS_EBADF; /* a number that none can have */
    if (op->kind == SAROS_OP_DATAGRAM && op->address->family == SAROS_UNIX) return SAROS_EAFNOSUPPORT;
    return may_open(handle);
}

static int refused_accept(const saros_handle *handle, const saros_op *op) {
    if (!(handle->sort & SAROS_LISTENS)) return SAROS_EINVAL;
    return handle->busy >= ONE_ACCEPT * SAROS_MOST_ACCEPTS ? SAROS_EBUSY : may_open(op->accepted);
}

/* Why the op cannot start, or 0. The answer is the same on every driver because no driver is asked. */
static int refusal(const saros_loop *loop, const saros_op *op) {
    const saros_handle *handle = op->handle;
    if (loop->broken < 0 && op->kind != SAROS_OP_CLOSE) return loop->broken;
    if (loop->closing && op->kind != SAROS_OP_CLOSE) return SAROS_ECLOSED;
    if (opens(op)) return refused_opening(handle, op);
    if (handle->state != SAROS_HANDLE_OPEN) {
        if (handle->state != SAROS_HANDLE_OPENING) return SAROS_ECLOSED;
        return op->kind == SAROS_OP_CLOSE ? 0 : SAROS_ENOTCONN;
    }
    if (handle->busy & direction(op)) return SAROS_EBUSY;
    switch (op->kind) {
    case SAROS_OP_RECV:
    case SAROS_OP_SEND:
    case SAROS_OP_SENDV:
        if (handle->sort != 0 || handle->borrowed) return unfit(handle, op);
        return op->size == 0 && !saros_is_lent(op) ? SAROS_EINVAL : 0; /* 0 received would read as the end */
    case SAROS_OP_SHUTDOWN: return handle->sort != 0 || handle->borrowed ? unfit(handle, op) : 0;
    case SAROS_OP_RECVFROM:
    case SAROS_OP_SENDTO: return unfit(handle, op);
    case SAROS_OP_ACCEPT: return refused_accept(handle, op);
    case SAROS_OP_OPTION: return refused_option(handle, op->setting);
    case SAROS_OP_POLL: return op->size == 0 || op->size > (SAROS_READABLE | SAROS_WRITABLE) ? SAROS_EINVAL : 0;
    default: return 0;
    }
}

static void link_op(saros_handle *handle, saros_op *op) {
    saros_op *first = handle->first;
    op->next = NULL;
    op->prev = first != NULL ? first->prev : op;
    if (first != NULL) op->prev->next = first->prev = op;
    else handle->first = op;
    handle->busy = (uint8_t)(handle->busy | direction(op));
    if (op->kind != SAROS_OP_ACCEPT) return;
    handle->busy = (uint8_t)(handle->busy + ONE_ACCEPT);
    op->accepted->busy |= PROMISED;
}

static void unlink_op(saros_handle *handle, saros_op *op) {
    if (op == handle->first) handle->first = op->next;
    else op->prev->next = op->next;
    if (op->next != NULL) op->next->prev = op->prev;
    else if (handle->first != NULL) handle->first->prev = op->prev;
    handle->busy = (uint8_t)(handle->busy & ~direction(op));
    if (op->kind != SAROS_OP_ACCEPT) return;
    handle->busy = (uint8_t)(handle->busy - ONE_ACCEPT);
    op->accepted->busy &= (uint8_t)~PROMISED;
}

static void list_handle(saros_loop *loop, saros_handle *handle) {
    handle->prev = NULL;
    handle->next = loop->handles;
    if (loop->handles != NULL) loop->handles->prev = handle;
    loop->handles = handle;
}

/* An empty handle may be opened again. */
static void forget_handle(saros_loop *loop, saros_handle *handle) {
    if (handle->prev != NULL) handle->prev->next = handle->next;
    else loop->handles = handle->next;
    if (handle->next != NULL) handle->next->prev = handle->prev;
    handle->next = handle->prev = NULL;
    handle->os = SAROS_NO_HANDLE;
    handle->state = SAROS_HANDLE_EMPTY;
    handle->sort = handle->borrowed = 0;
}

void saros_opened(saros_loop *loop, saros_handle *handle, bool listener) {
    if (handle->state == SAROS_HANDLE_EMPTY) list_handle(loop, handle); /* accepted; others were opening */
    if (handle->state != SAROS_HANDLE_CLOSING) handle->state = SAROS_HANDLE_OPEN;
    handle->sort = listener ? SAROS_LISTENS : 0;
}

/* Hands the op down. True: the driver finished it inside the call. */
static bool fly(saros_loop *loop, saros_op *op) {
    op->state = SAROS_FLYING;
    link_op(op->handle, op);
    loop->flying++;
    loop->submitting = op;
    loop->driver->submit(loop->state, op);
    if (loop->submitting == NULL) return true;
    loop->submitting = NULL;
    return false;
}

/* Contract line 4, once for all drivers: first what is in flight ends and is queued, then the close goes down. */
static bool begin_close(saros_loop *loop, saros_op *op) {
    saros_handle *handle = op->handle;
    handle->state = SAROS_HANDLE_CLOSING;
    for (saros_op *flying = handle->first, *next; flying != NULL; flying = next) {
        next = flying->next; /* cancel may complete, and so unlink, this one; it never completes another */
        loop->driver->cancel(loop->state, flying);
    }
    if (handle->first == NULL) return fly(loop, op);
    op->state = SAROS_FLYING; /* waits behind the others; saros_complete sends it down with the last of them */
    op->mark = 1;
    link_op(handle, op);
    loop->flying++;
    return false;
}

static bool start(saros_loop *loop, saros_op *op) {
    assert(op->state == SAROS_IDLE && op->kind > SAROS_OP_TIMER && op->handle != NULL);
    saros_see(loop, SAROS_ON_SUBMIT, op, 0);
    op->mark = 0;
    op->result = refusal(loop, op);
    if (op->result < 0) return true;
    if (op->kind == SAROS_OP_CLOSE) return begin_close(loop, op);
    if (opens(op)) {
        op->handle->os = SAROS_NO_HANDLE;
        op->handle->state = SAROS_HANDLE_OPENING;
        op->handle->borrowed = op->kind == SAROS_OP_BORROW;
        list_handle(loop, op->handle);
    }
    return fly(loop, op);
}

void saros_submit(saros_loop *loop, saros_op *op) {
    if (start(loop, op)) saros_make_ready(loop, op);
}

bool saros_submit_now(saros_loop *loop, saros_op *op) {
    if (op->kind == SAROS_OP_CLOSE) { /* never told before a lent receive that still has to look at the handle */
        saros_submit(loop, op);
        return false;
    }
    if (!start(loop, op)) return false;
    op->state = SAROS_IDLE;
    return true;
}

/* A close that has waited for the others may go down now. */
static void continue_close(saros_loop *loop, saros_handle *handle) {
    saros_op *close = handle->first;
    if (close == NULL || close->kind != SAROS_OP_CLOSE || !close->mark) return;
    close->mark = 0;
    loop->driver->submit(loop->state, close);
}

/* What becomes of the handle of what has opened or changed it; the same with every driver. */
static void conclude(saros_loop *loop, saros_handle *handle, const saros_op *op, int64_t result) {
    bool closing = handle->state == SAROS_HANDLE_CLOSING;
    if (op->kind == SAROS_OP_CLOSE || (opens(op) && result < 0 && !closing)) {
        forget_handle(loop, handle);
    } else if (op->kind == SAROS_OP_DATAGRAM && result == 0) {
        handle->sort = op->address->family == SAROS_INET6 ? SAROS_DATAGRAMS | SAROS_SIX : SAROS_DATAGRAMS;
    } else if (op->kind == SAROS_OP_OPTION && result == 0 && op->setting->option == SAROS_OPTION_PEER) {
        handle->sort &= (uint8_t)~SAROS_HAS_PEER;
        if (op->setting->address.family != 0) handle->sort |= SAROS_HAS_PEER;
    }
}

void saros_complete(saros_loop *loop, saros_op *op, int64_t result) {
    assert(op->state == SAROS_FLYING);
    if (op->kind <= SAROS_OP_TIMER) {
        op->result = result;
        saros_make_ready(loop, op);
        return;
    }
    saros_handle *handle = op->handle;
    bool          closing = handle->state == SAROS_HANDLE_CLOSING;
    /* Whoever waited on a handle that is closed under it learns that, and not that it was cancelled. */
    op->result = closing && result == SAROS_ECANCELED ? SAROS_ECLOSED : result;
    op->mark = 0; /* the driver has done with it */
    unlink_op(handle, op);
    loop->flying--;
    if (op->kind < SAROS_OP_ACCEPT || op->kind > SAROS_OP_NAME) conclude(loop, handle, op, result);
    if (op == loop->submitting) loop->submitting = NULL; /* fly() tells its caller */
    else saros_make_ready(loop, op);
    if (closing) continue_close(loop, handle);
}

void saros_expect(saros_loop *loop, saros_op *op) {
    assert(op->state == SAROS_IDLE);
    (void)loop;
    op->kind = SAROS_OP_WAIT;
    op->state = SAROS_FLYING;
}

int saros_timer(saros_loop *loop, saros_op *op, saros_time deadline) {
    assert(op->state == SAROS_IDLE);
    if (loop->closing) { /* no timer outlives the loop; it is told, late for ever */
        op->kind = SAROS_OP_TIMER;
        op->result = SAROS_ECLOSED;
        saros_make_ready(loop, op);
        return 0;
    }
    int error = saros_heap_push(&loop->timers, loop, op, deadline);
    if (error < 0) return error;
    op->kind = SAROS_OP_TIMER;
    op->state = SAROS_FLYING;
    loop->background += op->background;
    saros_see(loop, SAROS_ON_SUBMIT, op, deadline);
    return 0;
}

static void take_timer(saros_loop *loop, saros_op *op) {
    saros_heap_remove(&loop->timers, loop, op);
    loop->background -= op->background;
}

static void end_timer(saros_loop *loop, saros_op *op, int64_t result) {
    take_timer(loop, op);
    saros_complete(loop, op, result);
}

bool saros_timer_stop(saros_loop *loop, saros_op *op) {
    if (op->state == SAROS_IDLE) return true;
    if (op->state != SAROS_FLYING) return false;
    take_timer(loop, op);
    op->state = SAROS_IDLE;
    return true;
}

void saros_expire(saros_loop *loop, saros_time now) {
    const saros_heap *timers = &loop->timers;
    while (timers->count > 0 && timers->entries[0].deadline <= now) {
        saros_heap_fetch(timers);
        end_timer(loop, timers->entries[0].op, 0);
    }
}

void saros_cancel(saros_loop *loop, saros_op *op) {
    if (op->state == SAROS_READY && saros_is_lent(op)) op->mark = 1; /* in case that take() finds nothing */
    if (op->state == SAROS_FLYING && op->kind == SAROS_OP_WAIT) saros_door_drain(loop); /* it may be posted already */
    if (op->state != SAROS_FLYING) return;
    saros_see(loop, SAROS_ON_CANCEL, op, 0);
    if (op->kind == SAROS_OP_TIMER) end_timer(loop, op, SAROS_ECANCELED);
    else if (op->kind == SAROS_OP_WAIT) saros_complete(loop, op, SAROS_ECANCELED);
    else if (op->kind != SAROS_OP_CLOSE) loop->driver->cancel(loop->state, op);
}

void saros_abandon(saros_loop *loop, saros_op *op) {
    saros_cancel(loop, op);
    while (op->state == SAROS_FLYING && loop->broken == 0 && saros_ask(loop, SAROS_FOREVER) == 0) {}
    saros_cancel(loop, op); /* still flying? The driver broke down meanwhile: now it lets go at once */
    if (op->state == SAROS_READY) saros_queue_remove(&loop->ready, op);
    op->state = SAROS_IDLE;
}

/* A lent receive is taken at the last moment: the bytes stand in the scratch buffer while done runs. SAROS_EAGAIN:
 * somebody else had them, or it was a false alarm, and it has to wait again. */
static int64_t take(saros_loop *loop, saros_op *op) {
    if (op->handle->state != SAROS_HANDLE_OPEN) return SAROS_ECLOSED; /* between its being ready and its turn */
    char  *buffer = loop->scratch;
    size_t size = SAROS_SCRATCH;
    if (op->kind == SAROS_OP_RECVFROM) {
        if (op->datagram->buffer != NULL) buffer = op->datagram->buffer;
        if (op->datagram->buffer != NULL || (op->size > 0 && op->size < size)) size = op->size;
    }
    int64_t got = loop->driver->take(loop->state, op, buffer, size);
    saros_see(loop, SAROS_ON_TAKE, op, got);
    if (got != SAROS_EAGAIN) return got;
    if (op->mark) return SAROS_ECANCELED; /* cancelled while it was ready */
    int refused = refusal(loop, op);      /* by now the loop may close, or somebody else read */
    return refused < 0 ? refused : SAROS_EAGAIN;
}

void saros_tell(saros_loop *loop, saros_op *op) {
    if (op->result >= 0 && saros_is_lent(op)) {
        op->result = take(loop, op);
        if (op->result == SAROS_EAGAIN) {
            if (fly(loop, op)) saros_make_ready(loop, op);
            return;
        }
    }
    op->state = SAROS_IDLE;
    saros_see(loop, SAROS_ON_TELL, op, op->result);
    op->done(loop, op, op->result);
}
