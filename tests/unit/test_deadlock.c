/* test_deadlock.c: a driver that knows that nothing can ever happen; and what else the core offers to one that simulates. */
#include "support/fake_driver.h"
#include "support/sockets.h"

static char byte;

static void receive_for_ever(world *w, told *t, saros_handle *handle) {
    fake.now = true;
    assert_result(perform(w, SAROS_OP_CONNECT, handle, NULL, 0), 0);
    fake.now = false;
    start(w, t, SAROS_OP_RECV, handle, &byte, 1);
    fake.wait_error = SAROS_EDEADLOCK;
}

static void a_deadlock_is_told_and_breaks_nothing(void **state) {
    world       *w = *state;
    saros_handle handle = {0};
    told         receive = {0}, timer = {0};
    receive_for_ever(w, &receive, &handle);
    for (int i = 0; i < 3; i++) { /* each time anew: nothing has changed */
        saros_status status = step_for(w, SAROS_FOREVER);
        assert_int_equal(status.outcome, SAROS_BROKEN);
        assert_result(status.error, SAROS_EDEADLOCK);
    }
    assert_result(saros_run(w->loop), SAROS_EDEADLOCK);
    assert_result(saros_drain(w->loop, SAROS_FOREVER), SAROS_EDEADLOCK);
    assert_int_equal(receive.times, 0);
    start_timer(w, &timer, 100); /* new work goes on as ever */
    fake.wait_error = 0;
    assert_int_equal(await(w, &timer), 0);
    fake.wait_error = SAROS_EDEADLOCK;
    saros_cancel(w->loop, &receive.op);
    assert_result(await(w, &receive), SAROS_ECANCELED);
    fake.wait_error = 0;
    close_now(w, &handle);
    assert_result(saros_run(w->loop), 0);
}

static void who_cancels_in_a_deadlock_is_told_though_the_driver_takes_its_time(void **state) {
    world       *w = *state;
    saros_handle handle = {0};
    told         receive = {0};
    receive_for_ever(w, &receive, &handle);
    fake.slow_cancel = true;
    assert_int_equal(step_for(w, SAROS_FOREVER).outcome, SAROS_BROKEN);
    saros_cancel(w->loop, &receive.op);
    fake.wait_error = 0; /* now there is something that can happen */
    assert_result(await(w, &receive), SAROS_ECANCELED);
    close_now(w, &handle);
}

static void a_loop_in_a_deadlock_can_be_closed(void **state) {
    world       *w = *state;
    saros_handle handle = {0};
    told         receive = {0};
    receive_for_ever(w, &receive, &handle);
    assert_int_equal(step_for(w, SAROS_FOREVER).outcome, SAROS_BROKEN);
    fake.wait_error = 0;
    world_close(w);
    assert_result(receive.result, SAROS_ECANCELED);
    assert_int_equal(fake.closes, 1);
}

static void an_op_that_never_ends_can_be_abandoned_in_a_deadlock(void **state) {
    world       *w = *state;
    saros_handle handle = {0};
    told         receive = {0};
    receive_for_ever(w, &receive, &handle);
    saros_abandon(w->loop, &receive.op);
    assert_int_equal(receive.op.state, SAROS_IDLE);
    fake.wait_error = 0;
    close_now(w, &handle);
    assert_int_equal(receive.times, 0);
}

static void chance_is_the_seeds(void **state) {
    world   *w = *state;
    uint64_t first[8], other = 0;
    for (int i = 0; i < 8; i++) first[i] = saros_random(w->loop);
    world_close(w);
    assert_int_equal(world_open(w, world_driver, NULL), 0);
    for (int i = 0; i < 8; i++) {
        uint64_t value = saros_random(w->loop);
        assert_true(value == first[i]);
        for (int k = 0; k < i; k++) other += value == first[k];
    }
    assert_int_equal(other, 0);
}

static void a_driver_learns_who_may_still_post(void **state) {
    world *w = *state;
    told   posted = {0};
    assert_false(saros_held(w->loop));
    saros_hold(w->loop);
    saros_hold(w->loop);
    assert_true(saros_held(w->loop));
    saros_release(w->loop);
    assert_true(saros_held(w->loop));
    saros_expect(w->loop, prepare(w, &posted));
    assert_int_equal(saros_post(w->loop, &posted.op, 0), 0);
    saros_release(w->loop);
    assert_true(saros_held(w->loop)); /* what was posted is not taken in yet */
    assert_int_equal(await(w, &posted), 0);
    assert_false(saros_held(w->loop));
}

static void a_drivers_own_functions_find_its_state_and_no_others(void **state) {
    world             *w = *state;
    const saros_driver other = {.name = "other"};
    assert_non_null(saros_driver_state(w->loop, &fake_driver));
    assert_null(saros_driver_state(w->loop, &other));
}

int main(void) {
    world_driver = "sim";
    const struct CMUnitTest tests[] = {
        WORLD_TEST(a_deadlock_is_told_and_breaks_nothing),
        WORLD_TEST(who_cancels_in_a_deadlock_is_told_though_the_driver_takes_its_time),
        WORLD_TEST(a_loop_in_a_deadlock_can_be_closed),
        WORLD_TEST(an_op_that_never_ends_can_be_abandoned_in_a_deadlock),
        WORLD_TEST(chance_is_the_seeds),
        WORLD_TEST(a_driver_learns_who_may_still_post),
        WORLD_TEST(a_drivers_own_functions_find_its_state_and_no_others),
    };
    return cmocka_run_group_tests_name("deadlock", tests, NULL, NULL);
}
