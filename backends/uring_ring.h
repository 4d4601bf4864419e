/* uring_ring.h: a pair of rings shared with the kernel: opening them, writing requests, the call that hands them over
 * and waits, and the descriptor that foreign loops can sleep on. What the requests mean is uring.c's. */
#ifndef SAROS_URING_RING_H
#define SAROS_URING_RING_H

#include <liburing.h>

#include "backends/socket_try.h"

typedef struct saros_ring {
    struct io_uring io;
    saros_waker     news; /* rung by the kernel when something has ended */
} saros_ring;

/* 0, or an error with its reason; then nothing is open. */
int  saros_ring_open(saros_ring *self, saros_loop *loop);
void saros_ring_close(saros_ring *self);
/* No more requests: the kernel cancels what it has. `news` stays, since somebody may sleep on it. */
void saros_ring_end(saros_ring *self);
/* Room for one request, or NULL where the kernel will not have any more now. */
struct io_uring_sqe *saros_ring_entry(saros_ring *self);
/* Hands over what was written. */
static inline void saros_ring_flush(saros_ring *self) {
    if (io_uring_sq_ready(&self->io) > 0) io_uring_submit(&self->io);
}
/* Hands over, and waits until something has ended, or time; may come back early. 0, or an error that will not pass. */
int saros_ring_enter(saros_ring *self, saros_time timeout);
/* Is there something that a call without waiting would bring? */
bool saros_ring_has_more(const saros_ring *self);
/* Around the reading of what has ended, where somebody sleeps on `news`: it is to be readable when there is more, with us
 * or to be handed over. */
void saros_ring_read(saros_ring *self);
void saros_ring_was_read(saros_ring *self, bool more);

#endif
