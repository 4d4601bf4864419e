/* test_sim_time.c: the clock of the simulated world: when it jumps, when it stands still, when nothing can ever happen. */
#include <pthread.h>
#include <string.h>

#include "support/sim_both.h"

enum { HOUR = 3600 };

static char buffer[100];

/* ---- jumping ---------------------------------------------------------------------------------------------------- */

ON_BOTH(an_hour_passes_in_no_time) {
    told       timers[3] = {0};
    saros_time began = clock_now(), start_of_all = saros_now(w->loop);
    for (int i = 0; i < 3; i++) start_timer(w, &timers[i], (3 - i) * HOUR * SAROS_SECOND);
    assert_result(saros_run(w->loop), 0);
    for (int i = 0; i < 3; i++) assert_true(timers[i].at == start_of_all + (3 - i) * HOUR * SAROS_SECOND); /* exactly */
    assert_true(clock_now() - began < PATIENCE * SAROS_SECOND);
}

ON_BOTH(the_clock_stands_still_while_there_is_work) {
    told ops[100] = {0};
    for (int i = 0; i < 100; i++) {
        saros_expect(w->loop, prepare(w, &ops[i]));
        saros_complete(w->loop, &ops[i].op, 0);
    }
    saros_time before = saros_now(w->loop);
    steps(w, 3);
    assert_int_equal(ops[99].times, 1);
    assert_true(saros_now(w->loop) == before);
}

ON_BOTH(a_step_lets_no_more_time_pass_than_it_may) {
    told timer = {0};
    start_timer(w, &timer, HOUR * SAROS_SECOND);
    for (int i = 1; i < 10; i++) {
        saros_time before = saros_now(w->loop);
        assert_int_equal(step_for(w, i * SAROS_SECOND).outcome, SAROS_WAITING);
        assert_true(saros_now(w->loop) == before + i * SAROS_SECOND);
    }
    saros_cancel(w->loop, &timer.op);
    await(w, &timer);
}

ON_BOTH(who_only_looks_gets_on_too) {
    pair p;
    told receive = {0};
    pair_open(w, &p, SAROS_INET);
    start(w, &receive, SAROS_OP_RECV, &p.server, buffer, 10);
    told send_op = {0};
    start(w, &send_op, SAROS_OP_SEND, &p.client, "x", 1);
    for (int i = 0; i < 1000 && receive.times == 0; i++) step_for(w, 0);
    assert_int_equal(receive.times, 1);
    pair_close(w, &p);
}

ON_BOTH(who_waits_by_reading_the_clock_gets_there) {
    saros_time until = saros_now(w->loop) + MILLISECOND;
    int        readings = 0;
    while (saros_now(w->loop) < until && readings < 1000000) readings++;
    assert_in_range(readings, 5000, 100000); /* not at once: short work must take no time */
}

static void be_busy(told *t) {
    const told *until = t->with;
    if (until->times > 0 || t->world->told > 1000000) return;
    saros_expect(t->world->loop, &t->op);
    saros_complete(t->world->loop, &t->op, 0);
}

ON_BOTH(who_is_busy_for_ever_does_not_stop_the_time_for_others) {
    told timer = {0}, busy = {.then = be_busy, .with = &timer};
    pair p;
    pair_open(w, &p, SAROS_INET);
    told receive = {0};
    start(w, &receive, SAROS_OP_RECV, &p.server, buffer, 10); /* so that the kernel is asked as well */
    saros_expect(w->loop, prepare(w, &busy));
    saros_complete(w->loop, &busy.op, 0);
    start_timer(w, &timer, MILLISECOND);
    step_for(w, 0); /* as long as there is work */
    assert_int_equal(timer.times, 1);
    pair_close(w, &p);
}

ON_BOTH(time_can_be_made_to_pass) {
    told       timer = {0};
    saros_time before = saros_now(w->loop);
    start_timer(w, &timer, HOUR * SAROS_SECOND);
    assert_result(saros_sim_advance(w->loop, 2 * HOUR * SAROS_SECOND), 0);
    assert_true(saros_now(w->loop) == before + 2 * HOUR * SAROS_SECOND);
    step_for(w, 0);
    assert_int_equal(timer.times, 1);
    assert_result(saros_sim_advance(w->loop, -1), SAROS_EINVAL);
    assert_result(saros_sim_advance(w->loop, SAROS_FOREVER), SAROS_EINVAL);
    assert_true(saros_now(w->loop) == before + 2 * HOUR * SAROS_SECOND);
}

ON_BOTH(three_centuries_do_not_overflow) {
    told timer = {0};
    start_timer(w, &timer, INT64_C(1) << 62);
    assert_result(saros_run(w->loop), 0);
    assert_int_equal(timer.times, 1);
    start_timer(w, &timer, SAROS_FOREVER - saros_now(w->loop) - 1);
    assert_result(saros_run(w->loop), 0);
    assert_int_equal(timer.times, 1);
    assert_true(saros_now(w->loop) >= SAROS_FOREVER - 1);
    steps(w, 3);
}

/* ---- deadlock --------------------------------------------------------------------------------------------------- */

static void is_deadlock(world *w) {
    saros_status status = step_for(w, SAROS_FOREVER);
    assert_int_equal(status.outcome, SAROS_BROKEN);
    assert_result(status.error, SAROS_EDEADLOCK);
}

ON_BOTH(when_nothing_can_ever_happen_it_is_told) {
    pair         p;
    told         receive = {0}, accept_op = {0};
    saros_handle accepted = {0};
    pair_open(w, &p, SAROS_INET);
    start(w, &receive, SAROS_OP_RECV, &p.server, buffer, 10);
    start(w, &accept_op, SAROS_OP_ACCEPT, &p.listener, &accepted, 0);
    for (int i = 0; i < 3; i++) is_deadlock(w);
    assert_result(saros_run(w->loop), SAROS_EDEADLOCK);
    saros_cancel(w->loop, &accept_op.op); /* cancelling goes on as ever */
    assert_result(await(w, &accept_op), SAROS_ECANCELED);
    is_deadlock(w);
    send_all(w, &p.client, "x", 1); /* and so does everything else */
    assert_int_equal(await(w, &receive), 1);
    pair_close(w, &p);
}

ON_BOTH(a_step_that_is_bounded_is_no_deadlock) {
    pair p;
    told receive = {0}, timer = {0};
    pair_open(w, &p, SAROS_UNIX);
    start(w, &receive, SAROS_OP_RECV, &p.server, NULL, 0);
    for (int i = 0; i < 3; i++) assert_int_equal(step_for(w, SAROS_SECOND).outcome, SAROS_WAITING);
    start_timer(w, &timer, SAROS_SECOND);
    assert_int_equal(step_for(w, SAROS_FOREVER).outcome, SAROS_WAITING);
    assert_int_equal(timer.times, 1);
    is_deadlock(w);
    close_now(w, &p.server);
    assert_result(receive.result, SAROS_ECLOSED);
    pair_close(w, &p);
}

ON_BOTH(a_loop_in_a_deadlock_closes) {
    pair p;
    told receive = {0};
    pair_open(w, &p, SAROS_INET);
    start(w, &receive, SAROS_OP_RECV, &p.server, buffer, 10);
    is_deadlock(w);
    world_close(w);
    assert_result(receive.result, SAROS_ECANCELED);
    sim_open(w, NULL, 1);
}

ON_BOTH(a_wake_is_no_deadlock) {
    pair p;
    told receive = {0};
    pair_open(w, &p, SAROS_INET);
    start(w, &receive, SAROS_OP_RECV, &p.server, buffer, 10);
    saros_wake(w->loop);
    saros_wake(w->loop);
    assert_int_equal(step_for(w, SAROS_FOREVER).outcome, SAROS_WAITING);
    is_deadlock(w);
    pair_close(w, &p);
}

/* ---- somebody outside ------------------------------------------------------------------------------------------- */

typedef struct outside {
    saros_loop *loop;
    saros_op   *op;
    saros_time  after; /* in real time */
} outside;

static void *post_later(void *user) {
    outside        *self = user;
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t  never = PTHREAD_COND_INITIALIZER;
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += (long)self->after;
    until.tv_sec += until.tv_nsec / SAROS_SECOND;
    until.tv_nsec %= SAROS_SECOND;
    pthread_mutex_lock(&mutex);
    while (pthread_cond_timedwait(&never, &mutex, &until) == 0) {}
    pthread_mutex_unlock(&mutex);
    if (self->op != NULL) assert_int_equal(saros_post(self->loop, self->op, 7), 0);
    else saros_wake(self->loop);
    saros_release(self->loop);
    return NULL;
}

static pthread_t begin_outside(world *w, outside *self, told *t, saros_time after) {
    pthread_t thread;
    *self = (outside){w->loop, NULL, after};
    if (t != NULL) {
        saros_expect(w->loop, prepare(w, t));
        self->op = &t->op;
    }
    saros_hold(w->loop);
    assert_int_equal(pthread_create(&thread, NULL, post_later, self), 0);
    return thread;
}

ON_BOTH(an_answer_from_outside_takes_no_virtual_time) {
    outside    self;
    told       answer = {0}, timer = {0};
    saros_time before = saros_now(w->loop);
    start_timer(w, &timer, HOUR * SAROS_SECOND); /* it would be jumped to, if nobody were awaited */
    pthread_t thread = begin_outside(w, &self, &answer, 20 * MILLISECOND);
    assert_result(saros_run(w->loop), 0);
    pthread_join(thread, NULL);
    assert_int_equal(answer.result, 7);
    assert_true(answer.at == before);
    assert_true(timer.at == before + HOUR * SAROS_SECOND);
    assert_true(answer.order < timer.order);
}

ON_BOTH(without_a_timer_an_answer_is_awaited_for_as_long_as_it_takes) {
    outside self;
    told    answer = {0}, receive = {0};
    pair    p;
    pair_open(w, &p, SAROS_INET);
    start(w, &receive, SAROS_OP_RECV, &p.server, buffer, 10);
    pthread_t thread = begin_outside(w, &self, &answer, 30 * MILLISECOND);
    while (answer.times == 0) assert_int_not_equal(step_for(w, SAROS_FOREVER).outcome, SAROS_BROKEN);
    pthread_join(thread, NULL);
    saros_status status;
    while ((status = step_for(w, SAROS_FOREVER)).outcome == SAROS_WAITING) {} /* the release has woken it once */
    assert_result(status.error, SAROS_EDEADLOCK);
    pair_close(w, &p);
}

ON_BOTH(a_hold_for_ever_makes_time_real_but_does_not_stop_it) {
    told timers[3] = {0};
    saros_hold(w->loop);
    saros_time real = clock_now(), before = saros_now(w->loop);
    for (int i = 0; i < 3; i++) start_timer(w, &timers[i], (i + 1) * 10 * MILLISECOND);
    size_t waits = w->events[SAROS_ON_WAIT];
    AWAIT(w, timers[2].times > 0);
    saros_time took = clock_now() - real;
    assert_true(took >= 30 * MILLISECOND);
    assert_true(timers[2].at == before + 30 * MILLISECOND);
    assert_in_range(w->events[SAROS_ON_WAIT] - waits, 1, 30); /* and it does not spin */
    saros_release(w->loop);
}

ON_BOTH(a_timer_comes_though_somebody_wakes_the_loop_all_the_time) {
    told timer = {0};
    saros_hold(w->loop);
    start_timer(w, &timer, 20 * MILLISECOND);
    for (int i = 0; i < 100000 && timer.times == 0; i++) {
        if (i % 2 == 0) saros_wake(w->loop);
        step_for(w, MILLISECOND / 2);
    }
    assert_int_equal(timer.times, 1);
    saros_release(w->loop);
}

ON_BOTH(a_wake_from_a_thread_ends_the_wait) {
    outside self;
    for (int i = 0; i < 3; i++) {
        pthread_t  thread = begin_outside(w, &self, NULL, 5 * MILLISECOND);
        saros_time real = clock_now();
        saros_hold(w->loop);
        assert_int_equal(step_for(w, HOUR * SAROS_SECOND).outcome, SAROS_WAITING);
        assert_true(clock_now() - real < PATIENCE * SAROS_SECOND);
        assert_true(saros_now(w->loop) < HOUR * SAROS_SECOND);
        pthread_join(thread, NULL);
        saros_release(w->loop);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        BARE_TEST(an_hour_passes_in_no_time),
        BARE_TEST(the_clock_stands_still_while_there_is_work),
        BARE_TEST(a_step_lets_no_more_time_pass_than_it_may),
        BARE_TEST(who_only_looks_gets_on_too),
        BARE_TEST(who_waits_by_reading_the_clock_gets_there),
        BARE_TEST(who_is_busy_for_ever_does_not_stop_the_time_for_others),
        BARE_TEST(time_can_be_made_to_pass),
        BARE_TEST(three_centuries_do_not_overflow),
        BARE_TEST(when_nothing_can_ever_happen_it_is_told),
        BARE_TEST(a_step_that_is_bounded_is_no_deadlock),
        BARE_TEST(a_loop_in_a_deadlock_closes),
        BARE_TEST(a_wake_is_no_deadlock),
        BARE_TEST(an_answer_from_outside_takes_no_virtual_time),
        BARE_TEST(without_a_timer_an_answer_is_awaited_for_as_long_as_it_takes),
        BARE_TEST(a_hold_for_ever_makes_time_real_but_does_not_stop_it),
        BARE_TEST(a_timer_comes_though_somebody_wakes_the_loop_all_the_time),
        BARE_TEST(a_wake_from_a_thread_ends_the_wait),
    };
    return cmocka_run_group_tests_name("sim_time", tests, NULL, NULL);
}
