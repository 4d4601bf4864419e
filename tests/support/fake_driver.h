/* fake_driver.h: a driver that does what the test says, and a clock that stands still unless told.
 *
 * To be included by one file of a program: it brings a table of drivers of its own (core/drivers.c once more, so that
 * the library's is not linked), in which the fake stands in sim's place.
 * It is of the completion kind: everything that is submitted flies until the test finishes it. */
#ifndef FAKE_DRIVER_H
#define FAKE_DRIVER_H

#include <stdatomic.h>

#include "core/driver.h"
#include "support/support.h"

enum { FAKE_MOST = 64 };

static struct fake {
    saros_loop *loop;
    saros_time  clock;
    saros_op   *flying[FAKE_MOST];
    size_t      count;
    bool        cancelled[FAKE_MOST];
    bool        now;         /* finish everything inside submit … */
    int64_t     now_result;  /* … with this */
    bool        slow_cancel; /* a cancelled op ends in the next wait, not inside the cancel */
    int         wait_error, open_error;
    size_t      submits, cancels, waits, takes, closes;
    saros_time  timeout; /* of the last wait */
    atomic_int  wakes;
    void (*wait)(saros_time timeout); /* instead of letting the clock run */
    int64_t (*take)(saros_op *op, char *buffer, size_t size);
} fake;

static void fake_finish(saros_op *op, int64_t result) {
    size_t at = 0;
    while (at < fake.count && fake.flying[at] != op) at++;
    assert_true(at < fake.count); /* else it was not flying */
    fake.count--;
    for (; at < fake.count; at++) {
        fake.flying[at] = fake.flying[at + 1];
        fake.cancelled[at] = fake.cancelled[at + 1];
    }
    if (result >= 0 && op->kind == SAROS_OP_CONNECT) saros_opened(fake.loop, op->handle, false);
    if (result >= 0 && op->kind == SAROS_OP_LISTEN) saros_opened(fake.loop, op->handle, true);
    if (result >= 0 && op->kind == SAROS_OP_ACCEPT) saros_opened(fake.loop, op->accepted, false);
    saros_complete(fake.loop, op, result);
}

static int fake_open(void *self, saros_loop *loop, const saros_config *config) {
    (void)self, (void)config;
    int error = fake.open_error;
    fake = (struct fake){.loop = loop, .clock = 1000 * SAROS_SECOND, .open_error = error};
    return error;
}

static void fake_close(void *self) {
    (void)self;
    fake.closes++;
}

static saros_time fake_now(void *self) {
    (void)self;
    return fake.clock;
}

static void fake_submit(void *self, saros_op *op) {
    (void)self;
    fake.submits++;
    for (size_t i = 0; i < fake.count; i++) assert_ptr_not_equal(fake.flying[i], op);
    assert_in_range(fake.count, 0, FAKE_MOST - 1);
    fake.cancelled[fake.count] = false;
    fake.flying[fake.count++] = op;
    if (fake.now) fake_finish(op, fake.now_result);
    else if (saros_is_at_once(op)) fake_finish(op, SAROS_EAGAIN);
}

static void fake_cancel(void *self, saros_op *op) {
    (void)self;
    fake.cancels++;
    if (!fake.slow_cancel) fake_finish(op, SAROS_ECANCELED);
    else
        for (size_t i = 0; i < fake.count; i++)
            if (fake.flying[i] == op) fake.cancelled[i] = true;
}

/* Closes end, then what was cancelled; where there was nothing of the kind the clock runs on to the time-out. */
static int fake_wait(void *self, saros_time timeout) {
    (void)self;
    fake.waits++;
    fake.timeout = timeout;
    if (fake.wait_error < 0) {
        fake.slow_cancel = false; /* who has broken down lets go at once */
        return fake.wait_error;
    }
    if (fake.wait != NULL) {
        fake.wait(timeout);
        return 0;
    }
    bool found = false;
    for (size_t i = fake.count; i-- > 0;) {
        saros_op *op = fake.flying[i];
        if (!fake.cancelled[i] && op->kind != SAROS_OP_CLOSE) continue;
        fake_finish(op, fake.cancelled[i] ? SAROS_ECANCELED : 0);
        found = true;
    }
    if (found || timeout == 0) return 0;
    if (timeout == SAROS_FOREVER && atomic_load(&fake.wakes) == 0) fail_msg("the loop would sleep for ever");
    if (timeout != SAROS_FOREVER) fake.clock += timeout;
    return 0;
}

static void fake_wake(void *self) {
    (void)self;
    atomic_fetch_add(&fake.wakes, 1);
}

static int64_t fake_take(void *self, saros_op *op, void *buffer, size_t size) {
    (void)self;
    fake.takes++;
    return fake.take != NULL ? fake.take(op, buffer, size) : SAROS_EAGAIN;
}

extern const saros_driver fake_driver;
const saros_driver        fake_driver = {
           .name = "fake",
           .size = 1,
           .open = fake_open,
           .close = fake_close,
           .now = fake_now,
           .submit = fake_submit,
           .cancel = fake_cancel,
           .wait = fake_wait,
           .wake = fake_wake,
           .take = fake_take,
};

#define SAROS_HAVE_SIM
#define saros_sim_driver fake_driver
#include "core/drivers.c" /* NOLINT(bugprone-suspicious-include) */

#endif
