/* door.c: the one way in from other threads and from signal handlers.
 *
 * Owns the stack of posted operations and the count of those who may still post.
 * Promises: C11 atomics only, async-signal-safe, never blocks a poster; nothing is lost between a post and the
 * loop's going to sleep; a late post is refused, and the loop's memory outlives whoever holds it. */
#include "core/loop.h"

/* The stack's end is NULL; a closed door holds the loop's own address, which no op can have. */
static saros_op *closed_mark(saros_loop *loop) { return (saros_op *)(void *)loop; }

/* Who posts stands inside from before it looks until after the driver's wake, so that saros_door_close can wait for
 * it: else the driver could be freed under its feet. */
int saros_post(saros_loop *loop, saros_op *op, int64_t result) {
    atomic_fetch_add(&loop->door.inside, 1);
    saros_op *top = atomic_load(&loop->door.posted);
    bool      open = top != closed_mark(loop);
    if (open) {
        op->result = result;
        do op->next = top;
        while (!atomic_compare_exchange_weak(&loop->door.posted, &top, op) && (open = (top != closed_mark(loop))));
        /* Only the first post of a batch wakes: the loop takes all of them together. */
        if (open && top == NULL) loop->driver->wake(loop->state);
    }
    atomic_fetch_sub(&loop->door.inside, 1);
    return open ? 0 : SAROS_ECLOSED;
}

void saros_wake(saros_loop *loop) {
    atomic_fetch_add(&loop->door.inside, 1);
    if (atomic_load(&loop->door.posted) != closed_mark(loop)) loop->driver->wake(loop->state);
    atomic_fetch_sub(&loop->door.inside, 1);
}

bool saros_door_knocked(saros_loop *loop) { return atomic_load(&loop->door.posted) != NULL; }

void saros_door_drain(saros_loop *loop) {
    if (!saros_door_knocked(loop)) return;
    saros_op *top = atomic_exchange(&loop->door.posted, NULL), *oldest = NULL;
    while (top != NULL) { /* turn the stack round: first posted, first told */
        saros_op *below = top->next;
        top->next = oldest;
        oldest = top;
        top = below;
    }
    while (oldest != NULL) {
        saros_op *op = oldest;
        oldest = op->next;
        saros_make_ready(loop, op);
    }
}

void saros_door_close(saros_loop *loop) {
    saros_door_drain(loop);
    saros_op *nobody = NULL;
    while (!atomic_compare_exchange_strong(&loop->door.posted, &nobody, closed_mark(loop))) {
        saros_door_drain(loop); /* somebody was quicker */
        nobody = NULL;
    }
    /* A poster inside only has a few instructions and one wake-up left; core knows no way to sleep, and needs none. */
    while (atomic_load(&loop->door.inside) > 0) {}
}

void saros_hold(saros_loop *loop) { atomic_fetch_add(&loop->door.holds, 1); }

/* Two cases. While the loop is open its own hold keeps the memory, and being inside keeps saros_close from going on:
 * so we may count down first and wake it then, and it sees the lower count. Once it has closed nobody needs waking,
 * and whoever counts down last frees. */
void saros_release(saros_loop *loop) {
    atomic_fetch_add(&loop->door.inside, 1);
    bool open = atomic_load(&loop->door.posted) != closed_mark(loop);
    if (open) {
        atomic_fetch_sub(&loop->door.holds, 1);
        loop->driver->wake(loop->state);
    }
    atomic_fetch_sub(&loop->door.inside, 1);
    if (!open && atomic_fetch_sub(&loop->door.holds, 1) == 1) saros_free_loop(loop);
}
