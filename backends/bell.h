/* bell.h: what a driver without descriptors needs of the system: the clock, and a sleep that can be ended.
 *
 * A bell that was rung stays so until somebody waits, and many rings are one.
 * Promises: nothing here allocates; ringing never blocks. */
#ifndef SAROS_BELL_H
#define SAROS_BELL_H

#include <stdatomic.h>

#include "core/driver.h"
#ifdef SAROS_HAVE_SEM_CLOCKWAIT
#include <semaphore.h>
#endif

/* The system's monotonic clock. Any thread. */
saros_time saros_clock(void);

typedef struct saros_bell {
    atomic_bool rung;
#if defined SAROS_HAVE_SEM_CLOCKWAIT
    sem_t semaphore;
#elif defined _WIN32
    void *event;
#else
    int ends[2]; /* of a pipe */
#endif
} saros_bell;

int  saros_bell_open(saros_bell *self); /* 0, or an error: then there is nothing to close */
void saros_bell_close(saros_bell *self);
/* Sleeps until it is rung, or was since the last wait, or the time is over; 0: does not sleep. May end early. What was
 * written before the ring can be read after the wait. For one thread. */
void saros_bell_wait(saros_bell *self, saros_time timeout);
/* Any thread, and a signal handler: errno stays as it was. */
void saros_bell_ring(saros_bell *self);

#endif
