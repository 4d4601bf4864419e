/* test_abandon.c: ops and timers that are taken back, in whatever state they are. */
#include <string.h>

#include "support/fake_driver.h"

static char bytes[16];

static void an_abandoned_op_is_the_callers_again_whatever_its_state(void **state) {
    world       *w = *state;
    saros_handle handle = {0};
    told         ops[5] = {0}, receive = {0}, posted = {0}, timer = {0}, lent_op = {0};
    fake.now = true;
    assert_result(perform(w, SAROS_OP_CONNECT, &handle, NULL, 0), 0);
    fake.now = false;
    for (int out = 0; out < 5; out++) { /* the first, the last, and each between */
        unsigned before = w->told;
        for (int i = 0; i < 5; i++) {
            saros_expect(w->loop, prepare(w, &ops[i]));
            saros_complete(w->loop, &ops[i].op, i);
        }
        saros_abandon(w->loop, &ops[out].op);
        assert_int_equal(ops[out].op.state, SAROS_IDLE);
        memset(&ops[out].op, 0xdd, sizeof ops[out].op); /* nobody may look at it again */
        steps(w, 2);
        for (int i = 0, order = 0; i < 5; i++) {
            if (i == out) continue;
            assert_int_equal(ops[i].times, 1);
            assert_int_equal(ops[i].order - before, ++order);
        }
        assert_int_equal(ops[out].times, 0);
    }
    start(w, &receive, SAROS_OP_RECV, &handle, bytes, 1); /* flying: cancelled at once, or waited for */
    saros_abandon(w->loop, &receive.op);
    assert_result(receive.op.result, SAROS_ECANCELED);
    fake.slow_cancel = true;
    start(w, &receive, SAROS_OP_RECV, &handle, bytes, 1);
    size_t waits = fake.waits;
    saros_abandon(w->loop, &receive.op);
    assert_int_equal(fake.waits, waits + 1);
    assert_int_equal(fake.count, 0);
    saros_expect(w->loop, prepare(w, &posted));
    saros_post(w->loop, &posted.op, 6);
    saros_abandon(w->loop, &posted.op);
    assert_int_equal(posted.op.result, 6);
    start_timer(w, &timer, 100);
    saros_abandon(w->loop, &timer.op);
    start(w, &lent_op, SAROS_OP_RECV, &handle, NULL, 0);
    fake_finish(&lent_op.op, 0);
    saros_abandon(w->loop, &lent_op.op);
    saros_abandon(w->loop, &lent_op.op); /* idle: no effect */
    assert_int_equal(saros_pending(w->loop), 0);
    steps(w, 3);
    assert_int_equal(receive.times + posted.times + timer.times + lent_op.times, 0);
    assert_result(perform(w, SAROS_OP_CLOSE, &handle, NULL, 0), 0);
}

static void an_op_is_the_callers_again_though_the_driver_breaks_down_meanwhile(void **state) {
    world       *w = *state;
    saros_handle handle = {0};
    told         receive = {0};
    fake.now = true;
    assert_result(perform(w, SAROS_OP_CONNECT, &handle, NULL, 0), 0);
    fake.now = false;
    start(w, &receive, SAROS_OP_RECV, &handle, bytes, 1);
    fake.slow_cancel = true;
    fake.wait_error = SAROS_EIO;
    saros_abandon(w->loop, &receive.op);
    assert_int_equal(receive.op.state, SAROS_IDLE);
    assert_int_equal(fake.count, 0);
    assert_null(handle.first);
    assert_int_equal(saros_pending(w->loop), 0);
    fake.now = true;
    world_close(w); /* it may not look at what was abandoned */
}

static told *victim;
static void  abandon_it(told *t) { saros_abandon(t->world->loop, &victim->op); }

static void an_op_may_be_abandoned_in_the_middle_of_its_batch(void **state) {
    world *w = *state;
    told   first = {.then = abandon_it}, second = {0}, third = {0};
    told  *all[] = {&first, &second, &third};
    for (int which = 1; which < 3; which++) {
        victim = all[which];
        for (int i = 0; i < 3; i++) {
            saros_expect(w->loop, prepare(w, all[i]));
            saros_complete(w->loop, &all[i]->op, 0);
        }
        steps(w, 2);
        assert_int_equal(saros_pending(w->loop), 0);
        for (int i = 0; i < 3; i++) assert_int_equal(all[i]->times, i != which);
    }
}

static void a_timer_is_stopped_while_it_is_not_yet_due(void **state) {
    world *w = *state;
    told   timer = {0};
    prepare(w, &timer);
    assert_true(saros_timer_stop(w->loop, &timer.op)); /* never started */
    start_timer(w, &timer, 100);
    timer.op.background = 0;
    assert_true(saros_timer_stop(w->loop, &timer.op));
    assert_int_equal(timer.op.state, SAROS_IDLE);
    assert_int_equal(step_for(w, SAROS_FOREVER).outcome, SAROS_DONE);
    assert_int_equal(timer.times, 0);
    start_timer(w, &timer, 100);
    saros_cancel(w->loop, &timer.op);
    assert_false(saros_timer_stop(w->loop, &timer.op)); /* finished, and to be told as usual */
    assert_result(await(w, &timer), SAROS_ECANCELED);
    prepare(w, &timer)->background = 1;
    saros_timer(w->loop, &timer.op, fake.clock + 5);
    assert_true(saros_timer_stop(w->loop, &timer.op));
    told real = {0};
    start_timer(w, &real, 50);
    assert_result(saros_run(w->loop), 0); /* and the count of background timers is right */
    assert_int_equal(real.times, 1);
}

int main(void) {
    world_driver = "sim";
    const struct CMUnitTest tests[] = {
        WORLD_TEST(an_abandoned_op_is_the_callers_again_whatever_its_state),
        WORLD_TEST(an_op_is_the_callers_again_though_the_driver_breaks_down_meanwhile),
        WORLD_TEST(an_op_may_be_abandoned_in_the_middle_of_its_batch),
        WORLD_TEST(a_timer_is_stopped_while_it_is_not_yet_due),
    };
    return cmocka_run_group_tests_name("abandon", tests, NULL, NULL);
}
