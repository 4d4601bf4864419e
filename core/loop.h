/* loop.h: what a loop consists of; for core/ only.
 *
 * Owns the struct that loop.c, door.c and drivers.c share. Everything but the door is the loop thread's alone. */
#ifndef SAROS_LOOP_H
#define SAROS_LOOP_H

#include <stdatomic.h>

#include "core/driver.h"
#include "core/heap.h"
#include "core/queue.h"

enum {
    SAROS_SCRATCH = 64 * 1024, /* lent to receives; a pipe's and a socket's usual burst fits */
    SAROS_TURNS = 16,          /* turns between two looks at the kernel while work is ready … */
    SAROS_BURST = 20000,       /* … or nanoseconds, whichever is first */
    SAROS_CROWD = 1000,        /* so many timers are a crowd, … */
    SAROS_APART = 10,          /* … whose wake-ups are so many nanoseconds apart for each timer that there is, … */
    SAROS_GRAIN = 1000000,     /* … but not more than these */
    SAROS_WHY = 192            /* room for a driver's reason */
};

/* Any thread's way in: a stack of posted ops, which the loop takes whole and turns round. */
typedef struct saros_door {
    _Atomic(saros_op *) posted; /* or the address of the loop itself: closed */
    atomic_size_t       inside; /* threads that are between looking at `posted` and leaving the driver's wake */
    atomic_size_t       holds;  /* saros_hold, and one for the open loop itself */
} saros_door;

struct saros_loop {
    const saros_driver *driver;
    void               *state;      /* the driver's */
    saros_queue         ready;      /* finished, not yet told: the run queue */
    saros_op           *submitting; /* the op that driver->submit is being called for */
    saros_heap          timers;
    saros_handle       *handles;
    size_t              flying;     /* driver operations in flight */
    size_t              background; /* timers that do not count as something left to do */
    unsigned            turns;      /* since the driver was asked */
    saros_time          asked;      /* when it was */
    saros_time          turn;       /* the clock as this turn read it */
    bool                running, stopping, stopped, closing;
    bool                watched; /* the trace hook runs */
    int                 broken;  /* the error of a driver that failed for good */
    saros_os_handle     pollable;
    bool                polled; /* somebody has asked for it */
    char               *scratch;
    saros_config        config;
    uint64_t            random; /* the state of saros_random */
    uint64_t            dice;   /* the state of shuffle.c */
    void (*shuffled)(saros_loop *loop, saros_op *op,
                     int64_t result); /* whose ops are told out of order; NULL: nobody's */
    saros_guest *guests;
    saros_door   door;
    char         why[SAROS_WHY];
};

/* door.c: moves what was posted into the ready queue. */
void saros_door_drain(saros_loop *loop);
/* door.c: late posts are refused from here on; waits for those who are just inside. */
void saros_door_close(saros_loop *loop);
bool saros_door_knocked(saros_loop *loop);
/* drivers.c: opens the driver that config names, or the best. 0 or an error with loop->why. */
int saros_driver_choose(saros_loop *loop, const char *wanted);

/* loop.c: the next of a sequence of random numbers. */
uint64_t saros_draw(uint64_t *state);
/* shuffle.c: mixes what is ready. */
void saros_shuffle_batch(saros_loop *loop);

/* loop.c: gives the struct itself back, once nobody holds it. */
void saros_free_loop(saros_loop *loop);

/* The one trace hook; a test and nothing else where nobody watches. */
static inline void saros_see(saros_loop *loop, enum saros_event event, const saros_op *op, int64_t result) {
    if (loop->config.trace == NULL) return;
    loop->watched = true;
    loop->config.trace(loop->config.user, loop, event, op, result);
    loop->watched = false;
}

/* loop.c: asks the driver, blocking for at most `timeout`; what this brings is in the ready queue. 0, or the error
 * with which the driver has broken down, or SAROS_EDEADLOCK, which breaks nothing. */
int saros_ask(saros_loop *loop, saros_time timeout);

/* op.c: tells one finished op; finishes the timers that are due. */
void saros_tell(saros_loop *loop, saros_op *op);
void saros_expire(saros_loop *loop, saros_time now);

/* Queues a finished op; the one way into the run queue. */
static inline void saros_make_ready(saros_loop *loop, saros_op *op) {
    op->state = SAROS_READY;
    saros_queue_push(&loop->ready, op);
    saros_see(loop, SAROS_ON_READY, op, op->result);
}

#endif
