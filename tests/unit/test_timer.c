/* test_timer.c: timers on a clock that only the test moves: never early, in order, and masters of their own op. */
#include <stdlib.h>

#include "support/fake_driver.h"

static told others[4]; /* of those that a `then` below touches */

static void cancel_other(told *t) { saros_cancel(t->world->loop, &((told *)t->with)->op); }
static void start_other(told *t) { start_timer(t->world, t->with, 0); }
static void restart(told *t) { saros_timer(t->world->loop, &t->op, saros_now(t->world->loop) + 100); }

static void a_timer_is_told_at_its_deadline_and_never_before(void **state) {
    world     *w = *state;
    told       timer = {0};
    saros_time deadline = fake.clock + 1000;
    start_timer(w, &timer, 1000);
    step_for(w, 999);
    assert_int_equal(fake.clock, deadline - 1);
    assert_int_equal(timer.times, 0);
    saros_status status = step_for(w, 0);
    assert_int_equal(status.outcome, SAROS_WAITING);
    assert_int_equal(status.next, deadline);
    assert_int_equal(timer.times, 0);
    assert_int_equal(step_for(w, SAROS_FOREVER).outcome, SAROS_DONE);
    assert_int_equal(fake.timeout, 1);
    assert_int_equal(timer.at, deadline);
    assert_int_equal(timer.result, 0);
}

static void early_wait(saros_time timeout) { fake.clock += timeout > 3 ? timeout - 3 : timeout; }

static void a_wait_that_ends_early_does_not_make_a_timer_early(void **state) {
    world     *w = *state;
    told       timer = {0};
    saros_time deadline = fake.clock + 1000;
    fake.wait = early_wait;
    start_timer(w, &timer, 1000);
    await(w, &timer);
    assert_int_equal(timer.at, deadline);
}

static int  waits;
static void counted_wait(saros_time timeout) {
    waits++;
    fake.clock += timeout;
}

static void a_crowd_of_timers_shares_its_wake_ups_and_a_few_do_not(void **state) {
    enum { CROWD = 4000, FEW = 900, APART = 1000 };
    world *w = *state;
    told  *timers = test_calloc(CROWD, sizeof *timers);
    fake.wait = counted_wait;
    for (int count = CROWD; count > 0; count = count == CROWD ? FEW : 0) {
        saros_time began = fake.clock, grain = count == FEW ? 0 : 10 * (saros_time)count;
        for (int i = 0; i < count; i++) start_timer(w, &timers[i], (i + 1) * APART);
        waits = 0;
        assert_result(saros_run(w->loop), 0);
        for (int i = 0; i < count; i++)
            assert_in_range(timers[i].at, began + (i + 1) * APART, began + (i + 1) * APART + grain);
        if (count == FEW) assert_int_equal(waits, count);
        else assert_in_range(waits, 1000, 1500); /* the last thousand is no crowd any more */
    }
    test_free(timers);
}

static void timers_are_told_in_the_order_of_their_deadlines(void **state) {
    world           *w = *state;
    told             timers[6] = {0};
    static const int at[] = {500, 100, 300, 100, 0, 300}, order[] = {6, 2, 4, 3, 1, 5};
    saros_time       began = fake.clock;
    for (int i = 0; i < 6; i++) start_timer(w, &timers[i], at[i]);
    assert_result(saros_run(w->loop), 0);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(timers[i].order, order[i]);
        assert_int_equal(timers[i].at, began + at[i]);
    }
}

static void equal_deadlines_are_told_in_the_order_of_their_start(void **state) {
    world     *w = *state;
    told      *timers = test_calloc(1000, sizeof *timers);
    saros_time deadline = fake.clock + 10;
    for (int i = 0; i < 1000; i++) saros_timer(w->loop, prepare(w, &timers[i]), deadline);
    for (int i = 0; i < 1000; i += 7) saros_cancel(w->loop, &timers[i].op);
    steps(w, 1); /* the cancelled ones are told by now */
    unsigned last = w->told;
    assert_int_equal(last, 143);
    assert_result(saros_run(w->loop), 0);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(timers[i].times, 1);
        assert_result(timers[i].result, i % 7 == 0 ? SAROS_ECANCELED : 0);
        if (i % 7 != 0) assert_int_equal(timers[i].order, ++last);
    }
    test_free(timers);
}

static void a_past_deadline_is_told_at_the_next_turn_and_not_inside_the_call(void **state) {
    world *w = *state;
    told   timer = {0}, old = {0};
    saros_timer(w->loop, prepare(w, &timer), fake.clock);
    saros_timer(w->loop, prepare(w, &old), INT64_MIN);
    assert_int_equal(timer.times, 0);
    step_for(w, SAROS_FOREVER);
    assert_int_equal(fake.waits, 0);
    assert_int_equal(old.order, 1);
    assert_int_equal(timer.order, 2);
}

static void overdue_timers_run_once_and_in_order(void **state) {
    world *w = *state;
    told   timers[3] = {0};
    for (int i = 0; i < 3; i++) start_timer(w, &timers[i], 300 - 100 * i);
    fake.clock += 10 * SAROS_SECOND; /* the process was stopped */
    steps(w, 3);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(timers[i].times, 1);
        assert_int_equal(timers[i].order, 3 - i);
    }
}

static void a_timer_for_ever_only_ends_by_cancel(void **state) {
    world *w = *state;
    told   timer = {0};
    saros_timer(w->loop, prepare(w, &timer), SAROS_FOREVER);
    saros_status status = step_for(w, 365 * 86400 * SAROS_SECOND);
    assert_int_equal(status.outcome, SAROS_WAITING);
    assert_true(status.next == SAROS_FOREVER);
    saros_cancel(w->loop, &timer.op);
    assert_result(await(w, &timer), SAROS_ECANCELED);
}

/* ---- inside callbacks ------------------------------------------------------------------------------------------- */

static void a_timer_may_cancel_a_later_one(void **state) {
    world *w = *state;
    told   first = {.then = cancel_other, .with = &others[0]};
    start_timer(w, &first, 100);
    start_timer(w, &others[0], 200);
    saros_time began = fake.clock;
    assert_result(saros_run(w->loop), 0);
    assert_result(others[0].result, SAROS_ECANCELED);
    assert_int_equal(others[0].times, 1);
    assert_int_equal(others[0].at, began + 100);
}

/* "With its real result where that came first": both are due, so both are finished before the first is told. Layers
 * above that want a cancelled timer silent look at their own flag. */
static void a_timer_that_is_due_already_has_its_result(void **state) {
    world *w = *state;
    told   first = {.then = cancel_other, .with = &others[0]};
    start_timer(w, &first, 100);
    start_timer(w, &others[0], 100);
    assert_result(saros_run(w->loop), 0);
    assert_int_equal(others[0].times, 1);
    assert_result(others[0].result, 0);
}

static void a_timer_may_be_started_again_by_its_own_callback(void **state) {
    world     *w = *state;
    told       timer = {.then = restart};
    saros_time began = fake.clock;
    start_timer(w, &timer, 100);
    for (int i = 1; i <= 5; i++) {
        step_for(w, 100);
        assert_int_equal(timer.times, i);
        assert_int_equal(timer.at, began + 100 * i);
    }
    timer.then = NULL;
    saros_cancel(w->loop, &timer.op);
    steps(w, 1);
    assert_int_equal(timer.times, 6);
}

static int  rounds;
static void restart_at_once(told *t) {
    if (++rounds < 1000) saros_timer(t->world->loop, &t->op, 0);
}

static void a_timer_that_is_always_due_starves_nobody(void **state) {
    world       *w = *state;
    told         busy = {.then = restart_at_once}, connect = {0}, other = {0};
    saros_handle handle = {0};
    rounds = 0;
    start(w, &connect, SAROS_OP_CONNECT, &handle, NULL, 0);
    saros_timer(w->loop, prepare(w, &busy), 0);
    saros_timer(w->loop, prepare(w, &other), 0);
    steps(w, 1);
    assert_int_equal(other.order, 2);
    assert_true(fake.waits >= 1000 / 16); /* the kernel was looked at all the while */
    saros_cancel(w->loop, &connect.op);
    assert_result(await(w, &connect), SAROS_ECANCELED);
}

static void a_timer_started_in_a_batch_is_told_in_the_next(void **state) {
    world *w = *state;
    told   first = {.then = start_other, .with = &others[0]}, second = {0};
    start_timer(w, &first, 0);
    start_timer(w, &second, 0);
    steps(w, 1);
    assert_int_equal(second.order, 2);
    assert_int_equal(others[0].order, 3);
}

static void a_cancelled_timer_may_be_used_again_once_it_is_told(void **state) {
    world *w = *state;
    told   timer = {0};
    for (int i = 0; i < 3; i++) {
        start_timer(w, &timer, 1000);
        saros_cancel(w->loop, &timer.op);
        saros_cancel(w->loop, &timer.op); /* once more changes nothing */
        assert_int_equal(timer.times, 0);
        assert_result(await(w, &timer), SAROS_ECANCELED);
        saros_cancel(w->loop, &timer.op);
    }
}

/* ---- background ------------------------------------------------------------------------------------------------- */

static void a_background_timer_does_not_keep_the_loop_busy(void **state) {
    world *w = *state;
    told   timer = {0}, real = {0};
    prepare(w, &timer)->background = 1;
    saros_timer(w->loop, &timer.op, fake.clock + 100);
    assert_int_equal(step_for(w, SAROS_FOREVER).outcome, SAROS_DONE);
    assert_int_equal(fake.waits, 0);
    start_timer(w, &real, 500);
    assert_result(saros_run(w->loop), 0); /* while something else keeps it busy it is told in time */
    assert_int_equal(timer.at, real.at - 400);
    prepare(w, &timer)->background = 1;
    saros_timer(w->loop, &timer.op, fake.clock);
    saros_cancel(w->loop, &timer.op);
    assert_int_equal(step_for(w, SAROS_FOREVER).outcome, SAROS_DONE);
    assert_int_equal(timer.times, 1);
}

/* ---- memory ----------------------------------------------------------------------------------------------------- */

static void a_timer_without_memory_is_refused_and_the_others_go_on(void **state) {
    world *w = *state;
    told   timers[17] = {0};
    for (int i = 0; i < 16; i++) assert_int_equal(start_timer(w, &timers[i], 100), 0);
    w->memory.fail_from = 1;
    assert_result(start_timer(w, &timers[16], 100), SAROS_ENOMEM);
    assert_int_equal(timers[16].op.state, SAROS_IDLE);
    assert_int_equal(saros_pending(w->loop), 16);
    assert_result(saros_run(w->loop), 0);
    for (int i = 0; i < 16; i++) assert_int_equal(timers[i].times, 1);
    assert_int_equal(timers[16].times, 0);
    assert_int_equal(start_timer(w, &timers[16], 100), 0); /* there is room again */
    assert_result(saros_run(w->loop), 0);
}

static void a_million_timers_with_random_cancels_come_in_order(void **state) {
    enum { MANY = 1000000 };
    world     *w = *state;
    told      *timers = test_calloc(MANY, sizeof *timers);
    uint64_t   random = 99;
    saros_time began = fake.clock;
    size_t     before = w->memory.bytes;
    for (int i = 0; i < MANY; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        assert_int_equal(start_timer(w, &timers[i], (saros_time)(random >> 44)), 0);
        if (i % 3 == 0) saros_cancel(w->loop, &timers[(random >> 20) % (unsigned)(i + 1)].op);
    }
    assert_result(saros_run(w->loop), 0);
    assert_int_equal(w->told, MANY);
    saros_time *in_order = test_calloc(MANY + 1, sizeof *in_order), last = 0;
    random = 99;
    for (int i = 0; i < MANY; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        saros_time deadline = began + (saros_time)(random >> 44);
        assert_int_equal(timers[i].times, 1);
        if (timers[i].result < 0) assert_result(timers[i].result, SAROS_ECANCELED);
        else in_order[timers[i].order] = deadline;
        if (timers[i].result == 0) assert_in_range(timers[i].at, deadline, deadline + 1000000); /* a crowd's */
    }
    for (int i = 1; i <= MANY; i++) {
        if (in_order[i] == 0) continue;
        assert_true(in_order[i] >= last);
        last = in_order[i];
    }
    test_free(in_order);
    assert_in_range(w->memory.bytes - before, 0, 10000);
    test_free(timers);
}

int main(void) {
    world_driver = "sim";
    const struct CMUnitTest tests[] = {
        WORLD_TEST(a_timer_is_told_at_its_deadline_and_never_before),
        WORLD_TEST(a_wait_that_ends_early_does_not_make_a_timer_early),
        WORLD_TEST(a_crowd_of_timers_shares_its_wake_ups_and_a_few_do_not),
        WORLD_TEST(timers_are_told_in_the_order_of_their_deadlines),
        WORLD_TEST(equal_deadlines_are_told_in_the_order_of_their_start),
        WORLD_TEST(a_past_deadline_is_told_at_the_next_turn_and_not_inside_the_call),
        WORLD_TEST(overdue_timers_run_once_and_in_order),
        WORLD_TEST(a_timer_for_ever_only_ends_by_cancel),
        WORLD_TEST(a_timer_may_cancel_a_later_one),
        WORLD_TEST(a_timer_that_is_due_already_has_its_result),
        WORLD_TEST(a_timer_may_be_started_again_by_its_own_callback),
        WORLD_TEST(a_timer_that_is_always_due_starves_nobody),
        WORLD_TEST(a_timer_started_in_a_batch_is_told_in_the_next),
        WORLD_TEST(a_cancelled_timer_may_be_used_again_once_it_is_told),
        WORLD_TEST(a_background_timer_does_not_keep_the_loop_busy),
        WORLD_TEST(a_timer_without_memory_is_refused_and_the_others_go_on),
        WORLD_TEST(a_million_timers_with_random_cancels_come_in_order),
    };
    return cmocka_run_group_tests_name("timers", tests, NULL, NULL);
}
