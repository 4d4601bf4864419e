/* none.c: the driver that has no descriptors: a clock, a way to sleep, a way to be woken.
 *
 * For games and tools that need no sockets: a step with nothing to wait for makes no kernel call but the clock's. And
 * for readers: this is a driver's whole duty on one page. Every operation is answered with SAROS_ENOSYS; timers and
 * posts are the core's own, and only need `wait` to end in time. */
#include "backends/bell.h"
#include "core/driver.h"

typedef struct none_driver {
    saros_loop *loop;
    saros_bell  bell;
} none_driver;

static int none_open(void *driver, saros_loop *loop, const saros_config *config) {
    none_driver *self = driver;
    (void)config;
    self->loop = loop;
    return saros_bell_open(&self->bell);
}

static void none_close(void *driver) { saros_bell_close(&((none_driver *)driver)->bell); }

static saros_time none_now(void *driver) {
    (void)driver;
    return saros_clock();
}

static void none_submit(void *driver, saros_op *op) {
    int nothing = op->kind == SAROS_OP_CLOSE ? 0 : SAROS_ENOSYS; /* nothing is open, so closing it succeeds */
    saros_complete(((none_driver *)driver)->loop, op, nothing);
}

static void none_cancel(void *driver, saros_op *op) { (void)driver, (void)op; } /* nothing ever flies */

static int none_wait(void *driver, saros_time timeout) {
    saros_bell_wait(&((none_driver *)driver)->bell, timeout);
    return 0;
}

static void none_wake(void *driver) { saros_bell_ring(&((none_driver *)driver)->bell); }

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
