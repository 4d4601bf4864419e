/* test_loop.c: turns, budgets, outcomes, stop and drain, on a driver whose clock only the test moves. */
#include <string.h>

#include "support/fake_driver.h"

/* Ops that anybody may finish, as a task's are. */
static void expect(world *w, told *t) { saros_expect(w->loop, prepare(w, t)); }

static void finished(world *w, told *t) {
    expect(w, t);
    saros_complete(w->loop, &t->op, 0);
}

/* `then` of a busy task: it is ready again at once, `with` times. */
static void again(told *t) {
    int *left = t->with;
    if (--*left <= 0) return;
    saros_expect(t->world->loop, &t->op);
    saros_complete(t->world->loop, &t->op, 0);
}

static void spend_100(told *t) {
    (void)t;
    fake.clock += 100;
}

static void stop(told *t) { saros_stop(t->world->loop); }

static saros_status step(world *w, saros_time wait, saros_time budget) {
    return saros_step(w->loop, &(saros_limits){.wait = wait, .budget = budget});
}

/* A stream whose receive flies for as long as the test likes. */
static void fly(world *w, told *t, saros_handle *handle) {
    static char byte;
    if (handle->state == SAROS_HANDLE_EMPTY) {
        fake.now = true;
        perform(w, SAROS_OP_CONNECT, handle, NULL, 0);
        fake.now = false;
    }
    start(w, t, SAROS_OP_RECV, handle, &byte, 1);
}

/* ---- turns ------------------------------------------------------------------------------------------------------ */

static void ops_are_told_in_the_order_in_which_they_became_ready(void **state) {
    world *w = *state;
    told   ops[5] = {0};
    for (int i = 0; i < 5; i++) expect(w, &ops[i]);
    const int order[] = {3, 0, 4, 1, 2};
    for (int i = 0; i < 5; i++) saros_complete(w->loop, &ops[order[i]].op, i * 10);
    for (int i = 0; i < 5; i++) assert_int_equal(ops[i].times, 0); /* nothing is told inside saros_complete */
    steps(w, 1);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(ops[order[i]].order, i + 1);
        assert_int_equal(ops[order[i]].result, i * 10);
    }
}

static void what_a_batch_makes_ready_waits_for_the_next_turn(void **state) {
    world *w = *state;
    int    left = 5;
    told   busy = {.then = again, .with = &left}, other = {0};
    finished(w, &busy);
    finished(w, &other);
    steps(w, 1);
    assert_int_equal(other.order, 2); /* and not behind the five */
    assert_int_equal(busy.times, 5);
    assert_int_equal(left, 0);
}

static void the_kernel_is_looked_at_at_least_every_sixteen_turns(void **state) {
    world       *w = *state;
    int          left = 1600;
    told         busy = {.then = again, .with = &left}, receive = {0};
    saros_handle handle = {0};
    fly(w, &receive, &handle);
    size_t before = fake.waits;
    finished(w, &busy);
    steps(w, 1);
    assert_int_equal(busy.times, 1600);
    assert_in_range(fake.waits - before, 100, 110);
    assert_int_equal(fake.timeout, 0); /* work was ready: it must not have slept */
    world_close(w);
    assert_int_equal(receive.times, 1);
}

static int  slow_left;
static void slow_again(told *t) {
    fake.clock += 20000;
    again(t);
}

static void the_kernel_is_looked_at_after_every_slow_turn(void **state) {
    world       *w = *state;
    told         busy = {.then = slow_again, .with = &slow_left}, receive = {0};
    saros_handle handle = {0};
    fly(w, &receive, &handle);
    slow_left = 50;
    size_t before = fake.waits;
    finished(w, &busy);
    steps(w, 1);
    assert_in_range(fake.waits - before, 50, 52);
    world_close(w);
}

static void with_nothing_in_flight_the_kernel_is_not_asked(void **state) {
    world *w = *state;
    int    left = 1000;
    told   busy = {.then = again, .with = &left};
    finished(w, &busy);
    steps(w, 1);
    assert_int_equal(busy.times, 1000);
    steps(w, 10);
    assert_int_equal(fake.waits, 0);
}

/* ---- budgets ---------------------------------------------------------------------------------------------------- */

static void a_budget_ends_the_step_and_the_rest_stays_in_front(void **state) {
    world *w = *state;
    told   ops[7] = {0}, late = {0};
    for (int i = 0; i < 7; i++) ops[i].then = spend_100, finished(w, &ops[i]);
    saros_status status = step(w, 0, 250);
    assert_int_equal(status.outcome, SAROS_MORE);
    assert_int_equal(w->told, 3);
    assert_int_equal(status.used, 300);
    finished(w, &late);
    step(w, 0, 1); /* even a budget of nothing tells one: else there would be no progress */
    assert_int_equal(w->told, 4);
    assert_int_equal(ops[3].times, 1);
    status = step(w, 0, 0);
    assert_int_equal(status.outcome, SAROS_DONE);
    assert_int_equal(late.order, 8);
}

static void the_largest_limits_do_not_overflow(void **state) {
    world *w = *state;
    told   op = {0};
    finished(w, &op);
    saros_status status = step(w, SAROS_FOREVER, SAROS_FOREVER);
    assert_int_equal(status.outcome, SAROS_DONE);
    assert_int_equal(op.times, 1);
    finished(w, &op);
    assert_result(saros_drain(w->loop, SAROS_FOREVER), 0);
    assert_int_equal(op.times, 1);
    finished(w, &op);
    assert_result(saros_drain(w->loop, SAROS_FOREVER - 1), 0);
    assert_result(saros_drain(w->loop, INT64_MIN), 0);
    assert_int_equal(step(w, INT64_MIN, INT64_MIN).outcome, SAROS_DONE);
}

static told *to_post;
static void  post_it(told *t) {
     saros_post(t->world->loop, &to_post->op, 7);
     fake.clock += 100;
}

static void a_step_that_spent_its_budget_is_not_done_while_something_is_posted(void **state) {
    world *w = *state;
    told   op = {.then = post_it}, posted = {0};
    to_post = &posted;
    expect(w, &posted);
    finished(w, &op);
    assert_int_equal(step(w, 0, 50).outcome, SAROS_MORE);
    assert_int_equal(step(w, 0, 50).outcome, SAROS_DONE);
    assert_int_equal(posted.result, 7);
}

/* ---- waiting ---------------------------------------------------------------------------------------------------- */

static void a_step_blocks_for_as_long_as_it_may_and_no_longer(void **state) {
    world       *w = *state;
    told         receive = {0}, timer = {0};
    saros_handle handle = {0};
    fly(w, &receive, &handle);
    saros_time   began = fake.clock;
    saros_status status = step(w, 5000, 0);
    assert_int_equal(status.outcome, SAROS_WAITING);
    assert_int_equal(fake.clock - began, 5000);
    assert_int_equal(status.used, 0); /* blocking is not counted */
    assert_true(status.next == SAROS_FOREVER);
    assert_int_equal(start_timer(w, &timer, 3000), 0);
    began = fake.clock;
    status = step(w, 2000, 0);
    assert_int_equal(fake.timeout, 2000);
    assert_int_equal(status.outcome, SAROS_WAITING);
    assert_int_equal(status.next, began + 3000);
    status = step(w, SAROS_FOREVER, 0); /* the timer is what it waits for, and then it comes back */
    assert_int_equal(status.outcome, SAROS_WAITING);
    assert_int_equal(timer.at, began + 3000);
    assert_int_equal(fake.clock, began + 3000);
    step(w, -1, 0);
    assert_int_equal(fake.timeout, 0);
    assert_int_equal(fake.clock, began + 3000);
    world_close(w);
}

static void a_step_never_blocks_while_work_is_ready(void **state) {
    world       *w = *state;
    told         receive = {0}, op = {.then = stop};
    saros_handle handle = {0};
    fly(w, &receive, &handle);
    finished(w, &op);
    step(w, SAROS_FOREVER, 0); /* the fake would fail the test */
    assert_int_equal(fake.timeout, 0);
    world_close(w);
}

static void a_loop_with_nothing_to_do_is_done_at_once(void **state) {
    world       *w = *state;
    saros_status status = step(w, SAROS_FOREVER, 0);
    assert_int_equal(status.outcome, SAROS_DONE);
    assert_true(status.next == SAROS_FOREVER);
    assert_result(saros_run(w->loop), 0);
    assert_result(saros_drain(w->loop, 0), 0);
    assert_int_equal(fake.waits, 0);
}

/* ---- stop, drain, nesting --------------------------------------------------------------------------------------- */

static void stop_ends_a_run_after_its_batch(void **state) {
    world *w = *state;
    int    left = 100;
    told   busy = {.then = again, .with = &left}, stopper = {.then = stop}, last = {0};
    finished(w, &busy);
    finished(w, &stopper);
    finished(w, &last);
    assert_result(saros_run(w->loop), 0);
    assert_int_equal(last.times, 1); /* the batch is finished … */
    assert_int_equal(busy.times, 1); /* … and no other begun */
    assert_int_equal(saros_pending(w->loop), 1);
    stopper.then = NULL;
    assert_result(saros_run(w->loop), 0);
    assert_int_equal(busy.times, 100);
}

static void stop_before_a_run_ends_it_after_one_batch(void **state) {
    world *w = *state;
    int    left = 100;
    told   busy = {.then = again, .with = &left};
    finished(w, &busy);
    saros_stop(w->loop);
    assert_result(saros_run(w->loop), 0);
    assert_int_equal(busy.times, 1);
    assert_result(saros_run(w->loop), 0); /* it was for one run only */
    assert_int_equal(busy.times, 100);
}

static void stop_does_not_wait_for_what_is_in_flight(void **state) {
    world       *w = *state;
    told         receive = {0}, stopper = {.then = stop};
    saros_handle handle = {0};
    fly(w, &receive, &handle);
    finished(w, &stopper);
    assert_result(saros_run(w->loop), 0);
    assert_int_equal(receive.times, 0);
    saros_stop(w->loop);
    assert_result(saros_run(w->loop), 0);
    assert_int_equal(fake.timeout, 0);
    world_close(w);
}

static void drain_tells_everything_or_says_that_it_took_too_long(void **state) {
    world       *w = *state;
    told         receive = {0}, timer = {0};
    saros_handle handle = {0};
    start_timer(w, &timer, 700);
    assert_result(saros_drain(w->loop, 1000), 0);
    assert_int_equal(timer.times, 1);
    fly(w, &receive, &handle);
    saros_time began = fake.clock;
    assert_result(saros_drain(w->loop, 1000), SAROS_ETIMEDOUT);
    assert_int_equal(fake.clock - began, 1000);
    saros_cancel(w->loop, &receive.op);
    assert_result(saros_drain(w->loop, 0), 0);
    assert_result(receive.result, SAROS_ECANCELED);
    perform(w, SAROS_OP_CLOSE, &handle, NULL, 0);
}

static saros_status inner;
static int          inner_run, inner_drain, inner_close;
static bool         inner_running;
static void         nest(told *t) {
            saros_loop *loop = t->world->loop;
            saros_stop(loop);
            inner_running = saros_running(loop);
            inner = saros_step(loop, &(saros_limits){.wait = SAROS_FOREVER});
            inner_run = saros_run(loop);
            inner_drain = saros_drain(loop, SAROS_FOREVER);
            inner_close = saros_close(loop);
}

static void nothing_runs_inside_a_running_loop(void **state) {
    world *w = *state;
    int    left = 100;
    told   op = {.then = nest}, busy = {.then = again, .with = &left};
    finished(w, &op);
    finished(w, &busy);
    assert_false(saros_running(w->loop));
    assert_result(saros_run(w->loop), 0);
    assert_true(inner_running);
    assert_int_equal(inner.outcome, SAROS_BROKEN);
    assert_result(inner.error, SAROS_EBUSY);
    assert_result(inner_run, SAROS_EBUSY);
    assert_result(inner_drain, SAROS_EBUSY);
    assert_result(inner_close, SAROS_EBUSY);
    assert_int_equal(busy.times, 1); /* the stop was not undone by the run inside */
    assert_result(saros_run(w->loop), 0);
    assert_int_equal(busy.times, 100);
}

/* ---- a driver that fails ---------------------------------------------------------------------------------------- */

static void a_driver_that_fails_for_good_breaks_the_loop_once_and_by_name(void **state) {
    world       *w = *state;
    told         receive = {0}, late = {0}, ready = {0};
    saros_handle handle = {0}, other = {0};
    fly(w, &receive, &handle);
    fake.wait_error = SAROS_EBADF;
    saros_status status = step(w, SAROS_FOREVER, 0);
    assert_int_equal(status.outcome, SAROS_BROKEN);
    assert_result(status.error, SAROS_EBADF);
    size_t waits = fake.waits;
    assert_int_equal(step(w, SAROS_FOREVER, 0).outcome, SAROS_BROKEN);
    assert_result(saros_run(w->loop), SAROS_EBADF);
    assert_result(saros_drain(w->loop, SAROS_SECOND), SAROS_EBADF);
    assert_int_equal(fake.waits, waits); /* it is not asked again */
    start(w, &late, SAROS_OP_CONNECT, &other, NULL, 0);
    finished(w, &ready);
    world_close(w); /* and still tells what it can */
    assert_result(receive.result, SAROS_ECANCELED);
    assert_result(late.result, SAROS_EBADF);
    assert_int_equal(ready.times, 1);
}

/* ---- what else a loop offers ------------------------------------------------------------------------------------ */

typedef struct collector {
    saros_guest guest;
    int         work;
} collector;

static bool collect_some(saros_guest *guest, saros_loop *loop) {
    (void)loop;
    fake.clock += 1000;
    return --((collector *)guest)->work > 0;
}

static void the_collector_keeps_to_its_time(void **state) {
    world    *w = *state;
    collector it = {.guest.collect = collect_some, .work = 100};
    saros_join(w->loop, &it.guest);
    step(w, 0, 0);
    assert_int_equal(it.work, 100); /* not without being asked */
    saros_step(w->loop, &(saros_limits){.gc = 5000});
    assert_int_equal(it.work, 95);
    saros_step(w->loop, &(saros_limits){.gc = SAROS_FOREVER});
    assert_int_equal(it.work, 0);
    saros_leave(w->loop, &it.guest);
}

static enum saros_event seen[16];
static size_t           seen_count;
static void             see(void *user, saros_loop *loop, enum saros_event event, const saros_op *op, int64_t result) {
                (void)user, (void)loop, (void)result;
                if (op != NULL && op->kind == SAROS_OP_CONNECT) seen[seen_count++] = event;
}
static void watch_it(saros_config *config) { config->trace = see; }

static void the_watching_eye_sees_an_op_from_submit_to_tell(void **state) {
    world       *w = *state;
    told         connect = {0};
    saros_handle handle = {0};
    seen_count = 0;
    assert_int_equal(world_open(w, "sim", watch_it), 0);
    start(w, &connect, SAROS_OP_CONNECT, &handle, NULL, 0);
    saros_cancel(w->loop, &connect.op);
    await(w, &connect);
    assert_int_equal(seen_count, 4);
    const enum saros_event expected[] = {SAROS_ON_SUBMIT, SAROS_ON_CANCEL, SAROS_ON_READY, SAROS_ON_TELL};
    assert_memory_equal(seen, expected, sizeof expected);
}

static void pending_counts_what_flies_what_waits_and_what_is_ready(void **state) {
    world       *w = *state;
    told         receive = {0}, timer = {0}, op = {0};
    saros_handle handle = {0};
    assert_int_equal(saros_pending(w->loop), 0);
    fly(w, &receive, &handle);
    start_timer(w, &timer, 100);
    finished(w, &op);
    assert_int_equal(saros_pending(w->loop), 3);
    steps(w, 1);
    assert_int_equal(saros_pending(w->loop), 2);
    world_close(w);
    assert_int_equal(receive.times + timer.times, 2);
    assert_int_equal(fake.closes, 1);
}

int main(void) {
    world_driver = "sim";
    const struct CMUnitTest tests[] = {
        WORLD_TEST(ops_are_told_in_the_order_in_which_they_became_ready),
        WORLD_TEST(what_a_batch_makes_ready_waits_for_the_next_turn),
        WORLD_TEST(the_kernel_is_looked_at_at_least_every_sixteen_turns),
        WORLD_TEST(the_kernel_is_looked_at_after_every_slow_turn),
        WORLD_TEST(with_nothing_in_flight_the_kernel_is_not_asked),
        WORLD_TEST(a_budget_ends_the_step_and_the_rest_stays_in_front),
        WORLD_TEST(the_largest_limits_do_not_overflow),
        WORLD_TEST(a_step_that_spent_its_budget_is_not_done_while_something_is_posted),
        WORLD_TEST(a_step_blocks_for_as_long_as_it_may_and_no_longer),
        WORLD_TEST(a_step_never_blocks_while_work_is_ready),
        WORLD_TEST(a_loop_with_nothing_to_do_is_done_at_once),
        WORLD_TEST(stop_ends_a_run_after_its_batch),
        WORLD_TEST(stop_before_a_run_ends_it_after_one_batch),
        WORLD_TEST(stop_does_not_wait_for_what_is_in_flight),
        WORLD_TEST(drain_tells_everything_or_says_that_it_took_too_long),
        WORLD_TEST(nothing_runs_inside_a_running_loop),
        WORLD_TEST(a_driver_that_fails_for_good_breaks_the_loop_once_and_by_name),
        WORLD_TEST(the_collector_keeps_to_its_time),
        BARE_TEST(the_watching_eye_sees_an_op_from_submit_to_tell),
        WORLD_TEST(pending_counts_what_flies_what_waits_and_what_is_ready),
    };
    return cmocka_run_group_tests_name("loop", tests, NULL, NULL);
}
