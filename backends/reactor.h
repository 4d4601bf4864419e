/* reactor.h: operations on top of a kernel that only says "ready".
 *
 * A readiness driver consists of a saros_reactor as the first member of its state, a `watch`, and a `wait` that calls
 * saros_reactor_ready for what the kernel reports. Everything else in its driver table is from here.
 *
 * Owns: the slots (one for each handle that ever had to wait; small dense numbers, so that a mechanism can use them as
 * indexes), what is watched for each, and the waker, which is slot 0. */
#ifndef SAROS_REACTOR_H
#define SAROS_REACTOR_H

#include <stdatomic.h>

#include "backends/socket_try.h"

/* What is watched for, and what is reported. */
enum { SAROS_IN = 1, SAROS_OUT = 2, SAROS_END = 4 /* reported only: the peer has ended, or an error is pending */ };

typedef struct saros_slot {
    saros_handle *handle;   /* NULL: free */
    uint32_t      free;     /* the next free slot */
    uint32_t      interest; /* SAROS_IN | SAROS_OUT; a slot that has any has a handle */
} saros_slot;

typedef struct saros_reactor saros_reactor;
/* The mechanism: watch reactor->slots[slot].handle->os for `now` instead of `was` (SAROS_IN | SAROS_OUT; 0: not at all).
 * 0 or an error; must not fail for now == 0. */
typedef int saros_watch(saros_reactor *self, uint32_t slot, unsigned was, unsigned now);

struct saros_reactor {
    saros_loop  *loop;
    saros_watch *watch;
    saros_slot  *slots;
    uint32_t     count, room; /* slots in use at some time; allocated */
    uint32_t     free;        /* 0: none */
    saros_waker  waker;       /* slot 0's, … */
    saros_handle waking;      /* … which has this handle, as the others have theirs */
    atomic_bool  woken;
};

/* Called by a driver's open and close. Open watches slot 0; 0 or an error. */
int  saros_reactor_open(saros_reactor *self, saros_loop *loop, saros_watch *watch);
void saros_reactor_close(saros_reactor *self);
/* Called by a driver's wait for each slot that the kernel reports. */
void saros_reactor_ready(saros_reactor *self, uint32_t slot, unsigned events);
/* Called before that by a mechanism that was told a socket's pending error, and may have taken it from the socket. */
void saros_reactor_failed(saros_reactor *self, uint32_t slot, int error);

/* For the driver table. */
saros_time saros_reactor_now(void *self);
void       saros_reactor_submit(void *self, saros_op *op);
void       saros_reactor_cancel(void *self, saros_op *op);
void       saros_reactor_wake(void *self);
int64_t    saros_reactor_take(void *self, saros_op *op, void *buffer, size_t size);

#endif
