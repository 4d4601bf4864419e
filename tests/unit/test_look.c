/* test_look.c: when a step asks the driver, and with what it then comes back; on a driver that does what the test says. */
#include "support/fake_driver.h"

/* A stream whose receive flies for as long as the test likes. */
static void fly(world *w, told *t, saros_handle *handle) {
    static char byte;
    fake.now = true;
    perform(w, SAROS_OP_CONNECT, handle, NULL, 0);
    fake.now = false;
    start(w, t, SAROS_OP_RECV, handle, &byte, 1);
}

static void finish_the_fourth_time(saros_time timeout) {
    if (fake.waits == 4) fake_finish(fake.flying[0], 9);
    if (fake.waits > 4 && timeout != 0) fail_msg("the step did not come back");
}

static void a_step_that_waits_for_ever_comes_back_when_something_happened(void **state) {
    world       *w = *state;
    told         receive = {0}, other = {0};
    saros_handle handle = {0};
    fly(w, &receive, &handle);
    start(w, &other, SAROS_OP_SEND, &handle, "x", 1);
    fake.waits = 0;
    fake.wait = finish_the_fourth_time;
    for (int i = 0; i < 3; i++) { /* woken early: it may come back with nothing, too */
        assert_int_equal(step_for(w, SAROS_FOREVER).outcome, SAROS_WAITING);
        assert_int_equal(receive.times, 0);
    }
    assert_int_equal(step_for(w, SAROS_FOREVER).outcome, SAROS_WAITING);
    assert_int_equal(receive.result, 9);
    assert_int_equal(receive.times, 1);
    fake.wait = NULL;
    world_close(w);
}

static told begun_late;
static void begin_late(told *t) { start(t->world, &begun_late, SAROS_OP_SEND, t->with, "x", 1); }
static void finish_what_began_late(saros_time timeout) {
    fake.clock += timeout;
    if (begun_late.op.state == SAROS_FLYING) fake_finish(&begun_late.op, 1);
}

/* The caller may sleep elsewhere, and a driver that collects requests has to be given the chance to hand them over. */
static void a_step_asks_once_more_about_what_was_begun_in_it(void **state) {
    world       *w = *state;
    saros_handle handle = {0};
    told         receive = {0}, timer = {.then = begin_late, .with = &handle};
    fly(w, &receive, &handle);
    for (int found = 0; found < 2; found++) {
        begun_late = (told){0};
        fake.wait = found ? finish_what_began_late : NULL;
        start_timer(w, &timer, 50);
        fake.waits = 0;
        saros_status status = step_for(w, 100);
        assert_int_equal(timer.times, 1);
        assert_int_equal(fake.waits, 2);
        assert_int_equal(fake.timeout, 0);
        assert_int_equal(status.outcome, found ? SAROS_MORE : SAROS_WAITING);
        assert_int_equal(begun_late.times, 0); /* what it finds is told in the next one */
        if (!found) fake_finish(&begun_late.op, 1);
        step_for(w, 0);
        assert_int_equal(begun_late.result, 1);
    }
    fake.waits = 0;
    fake.wait = NULL;
    assert_int_equal(step_for(w, 100).outcome, SAROS_WAITING);
    assert_int_equal(fake.waits, 1); /* nothing was told */
    world_close(w);
}

static void finish_all_the_fourth_time(saros_time timeout) {
    (void)timeout;
    if (fake.waits == 4) fake_finish(fake.flying[0], 9);
}

static void a_run_goes_on_after_a_wait_that_returned_early(void **state) {
    world       *w = *state;
    told         receive = {0};
    saros_handle handle = {0};
    fly(w, &receive, &handle);
    fake.waits = 0;
    fake.wait = finish_all_the_fourth_time;
    assert_result(saros_run(w->loop), 0);
    assert_int_equal(receive.result, 9);
    assert_int_equal(fake.waits, 4);
    fake.wait = NULL;
    world_close(w);
}

int main(void) {
    world_driver = "sim";
    const struct CMUnitTest tests[] = {
        WORLD_TEST(a_step_that_waits_for_ever_comes_back_when_something_happened),
        WORLD_TEST(a_step_asks_once_more_about_what_was_begun_in_it),
        WORLD_TEST(a_run_goes_on_after_a_wait_that_returned_early),
    };
    return cmocka_run_group_tests_name("look", tests, NULL, NULL);
}
