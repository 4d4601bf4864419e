/* none.c: the driver that has no descriptors: a clock, a way to sleep, a way to be woken.
 *
 * For games and tools that need no sockets: a step with nothing to wait for makes no kernel call but the clock's. And
 * for readers: this is a driver's whole duty on one page. Every operation is answered with SAROS_ENOSYS; timers and
 * posts are the core's own, and only need `wait` to end in time. */
#include <errno.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <time.h>

#include "backends/posix_try.h"
#include "core/driver.h"

typedef struct none_driver {
    saros_loop *loop;
    sem_t       bell; /* sem_post is async-signal-safe, which no other way of waking a thread is (signal-safety(7)) */
    atomic_bool rung; /* many wakes become one */
} none_driver;

static int none_open(void *driver, saros_loop *loop, const saros_config *config) {
    none_driver *self = driver;
    (void)config;
    self->loop = loop;
    return sem_init(&self->bell, 0, 0) == 0 ? 0 : saros_error_from_os(errno);
}

static void none_close(void *driver) { sem_destroy(&((none_driver *)driver)->bell); }

static saros_time none_now(void *driver) {
    (void)driver;
    return saros_posix_now();
}

static void none_submit(void *driver, saros_op *op) {
    int nothing = op->kind == SAROS_OP_CLOSE ? 0 : SAROS_ENOSYS; /* nothing is open, so closing it succeeds */
    saros_complete(((none_driver *)driver)->loop, op, nothing);
}

static void none_cancel(void *driver, saros_op *op) { (void)driver, (void)op; } /* nothing ever flies */

static int none_wait(void *driver, saros_time timeout) {
    none_driver *self = driver;
    if (timeout <= 0) {
        sem_trywait(&self->bell); /* no kernel call */
    } else if (timeout == SAROS_FOREVER) {
        sem_wait(&self->bell); /* EINTR: early is allowed */
    } else {
        saros_time until = saros_posix_now();
        until = timeout > SAROS_FOREVER - until ? SAROS_FOREVER : until + timeout;
        struct timespec at = {.tv_sec = (time_t)(until / SAROS_SECOND), .tv_nsec = (long)(until % SAROS_SECOND)};
        sem_clockwait(&self->bell, CLOCK_MONOTONIC, &at);
    }
    atomic_store(&self->rung, false); /* after the wait: what was posted before this is seen after it */
    return 0;
}

static void none_wake(void *driver) {
    none_driver *self = driver;
    if (!atomic_exchange(&self->rung, true)) sem_post(&self->bell);
}

static int64_t none_take(void *driver, saros_op *op, void *buffer, size_t size) {
    (void)driver, (void)op, (void)buffer, (void)size;
    return SAROS_ENOSYS;
}

const saros_driver saros_none_driver = {
    .name = "none",
    .size = sizeof(none_driver),
    .open = none_open,
    .close = none_close,
    .now = none_now,
    .submit = none_submit,
    .cancel = none_cancel,
    .wait = none_wait,
    .wake = none_wake,
    .take = none_take,
};
