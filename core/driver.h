/* driver.h: what a driver is, and what the core offers to one.
 *
 * A driver turns operations into completions. It calls back only saros_complete, which only queues, so a driver is
 * never re-entered by what it finishes. docs/design.md has the contract's lines; tests/conformance holds
 * every driver to them.
 *
 * What the core does so that drivers need not: it refuses ops on closed handles and a second reader; it keeps the
 * list of ops in flight on each handle; before a CLOSE reaches a driver everything on that handle has ended. */
#ifndef SAROS_DRIVER_H
#define SAROS_DRIVER_H

#include "core/saros.h"

typedef struct saros_driver {
    const char *name;
    size_t      size; /* of its state, which the core allocates, zeroed */
    int (*open)(void *self, saros_loop *loop, const saros_config *config); /* 0 or an error; then no close */
    void (*close)(void *self);                                             /* nothing is in flight any more */
    saros_time (*now)(void *self);                                         /* never goes back */
    void (*submit)(void *self, saros_op *op); /* cannot fail: a failure is a completion; LISTEN, ADOPT, BORROW, PAIR and
                                                 NAME end in it */
    void (*cancel)(void *self, saros_op *op); /* a wish; op is in flight and still ends once */
    int (*wait)(void *self, saros_time timeout); /* until something is done, or time; <0 is fatal, but SAROS_EDEADLOCK:
                                          nothing can ever happen; only where that can be known, and with no time-out */
    void (*wake)(void *self);                    /* any thread, also a signal handler */
    int64_t (*take)(void *self, saros_op *op, void *buffer, size_t size); /* a ready lent RECV: bytes, 0 at the end, or
                              SAROS_EAGAIN, then it is submitted again; a RECVFROM: the same, and fills in its datagram */
} saros_driver;

/* For open, when it fails: the reason in words, printf style. The core shows it behind the driver's name. */
SAROS_API void saros_reason(saros_loop *loop, const char *format, ...) SAROS_FORMAT(2, 3);
/* For open: a descriptor that foreign loops can poll instead of calling saros_step blindly. A step that begins something
 * asks the driver once more before it ends; what begins outside of one (saros_running) the driver hands over at once. */
SAROS_API void saros_set_pollable(saros_loop *loop, saros_os_handle handle);
/* For wait: has somebody asked for that descriptor? Until then it may be readable for nothing. */
SAROS_API bool saros_polled(const saros_loop *loop);
/* For the watching eye: SAROS_ON_PARK when an op has to wait for the kernel. */
SAROS_API void saros_trace(saros_loop *loop, enum saros_event event, const saros_op *op, int64_t result);
/* The handle is open: set handle->os (or word) first, then call this, then complete. */
SAROS_API void saros_opened(saros_loop *loop, saros_handle *handle, bool listener);

/* For what a driver offers beyond these eight: its state; NULL where the loop is on another driver. */
SAROS_API void *saros_driver_state(saros_loop *loop, const saros_driver *driver);
/* What a driver leaves to chance is drawn from config.seed, here and nowhere else. */
SAROS_API uint64_t saros_random(saros_loop *loop);
/* For wait: may somebody outside still post? Until then nothing is a deadlock, whatever else stands still. */
SAROS_API bool saros_held(saros_loop *loop);
/* For now: is it only the trace hook that asks? Then nothing may change by it. */
SAROS_API bool saros_watched(const saros_loop *loop);

/* Is it a receive that waits for readiness only? One of datagrams always does: what was cancelled has lost none. */
static inline bool saros_is_lent(const saros_op *op) {
    return op->kind == SAROS_OP_RECV ? op->buffer == NULL : op->kind == SAROS_OP_RECVFROM;
}
/* Is it a send that is not to wait? Then SAROS_EAGAIN is its result, and nothing of it may be left in flight. */
static inline bool saros_is_at_once(const saros_op *op) {
    return (op->kind == SAROS_OP_SEND || op->kind == SAROS_OP_SENDV) && op->at_once;
}

#endif
