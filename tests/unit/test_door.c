/* test_door.c: the way in from other threads and from signal handlers, for each driver that is compiled in. This one
 * must also be clean under the thread sanitizer. */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#ifndef _WIN32
#include <sys/time.h>
#endif

#include "support/support.h"

/* A wake costs Wine a visit to its server: there a twentieth must do. */
#ifdef _WIN32
enum { LESS = 20 };
#else
enum { LESS = 1 };
#endif
enum { THREADS = 4, POSTS = 100000 / LESS };

/* ---- posts ------------------------------------------------------------------------------------------------------ */

typedef struct small {
    saros_op op;
    int      times;
} small;

typedef struct poster {
    saros_loop *loop;
    small      *ops;
    int         count, refused;
    int         next; /* the loop's: which of ours has to come now */
    pthread_t   thread;
} poster;

static int    out_of_order, told_posts;
static poster posters[THREADS];

static void count_post(saros_loop *loop, saros_op *op, int64_t result) {
    small  *it = (small *)(void *)op;
    poster *from = &posters[result];
    (void)loop;
    it->times++;
    told_posts++;
    if (it != &from->ops[from->next++]) out_of_order++;
}

static void *post_all(void *user) {
    poster *self = user;
    for (int i = 0; i < self->count; i++)
        if (saros_post(self->loop, &self->ops[i].op, self - posters) < 0) self->refused++;
    saros_release(self->loop);
    return NULL;
}

static void start_posters(world *w, int count) {
    told_posts = out_of_order = 0;
    for (int i = 0; i < THREADS; i++) {
        posters[i] = (poster){.loop = w->loop, .count = count, .ops = test_calloc((size_t)count, sizeof(small))};
        for (int k = 0; k < count; k++) {
            posters[i].ops[k].op.done = count_post;
            saros_expect(w->loop, &posters[i].ops[k].op);
        }
        saros_hold(w->loop);
    }
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&posters[i].thread, NULL, post_all, &posters[i]), 0);
}

static void end_posters(void) {
    for (int i = 0; i < THREADS; i++) {
        pthread_join(posters[i].thread, NULL);
        test_free(posters[i].ops);
    }
}

static void four_hundred_thousand_posts_arrive_once_each_and_in_order(void **state) {
    world *w = *state;
    start_posters(w, POSTS);
    assert_result(saros_run(w->loop), 0); /* the holds keep it running, the last release ends it */
    assert_int_equal(told_posts, THREADS * POSTS);
    assert_int_equal(out_of_order, 0);
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(posters[i].refused, 0);
        for (int k = 0; k < POSTS; k++) assert_int_equal(posters[i].ops[k].times, 1);
    }
    end_posters();
}

static void a_post_that_races_with_close_is_told_or_refused_and_never_both(void **state) {
    world *w = *state;
    for (int round = 0; round < 200; round++) {
        if (w->loop == NULL) assert_int_equal(world_open(w, world_driver, NULL), 0);
        start_posters(w, 200);
        for (int i = 0; i < round % 7; i++) sched_yield();
        steps(w, round % 3);
        world_close(w);
        int refused = 0;
        for (int i = 0; i < THREADS; i++) pthread_join(posters[i].thread, NULL);
        for (int i = 0; i < THREADS; i++) {
            refused += posters[i].refused;
            for (int k = 0; k < 200; k++) assert_in_range(posters[i].ops[k].times, 0, 1);
            test_free(posters[i].ops);
        }
        assert_int_equal(told_posts + refused, THREADS * 200);
        assert_int_equal(w->memory.blocks, 0); /* whoever let go last freed the loop */
    }
}

/* ---- the instant of going to sleep ------------------------------------------------------------------------------ */

typedef struct rally {
    world     *w;
    told       ball;
    atomic_int turn; /* 1: the thread's, 0: the loop's, -1: over */
} rally;

static void *hit_back(void *user) {
    rally   *self = user;
    unsigned random = 1;
    for (;;) {
        int turn;
        while ((turn = atomic_load(&self->turn)) == 0) {}
        if (turn < 0) break;
        random = random * 1103515245 + 12345;
        for (volatile unsigned spin = (random >> 16) % 2000; spin > 0; spin--) {} /* to meet every instant */
        atomic_store(&self->turn, 0);
        saros_post(self->w->loop, &self->ball.op, 0);
    }
    saros_release(self->w->loop);
    return NULL;
}

static void a_post_at_the_instant_of_going_to_sleep_is_not_lost(void **state) {
    rally     self = {.w = *state};
    pthread_t thread;
    saros_hold(self.w->loop);
    assert_int_equal(pthread_create(&thread, NULL, hit_back, &self), 0);
    for (int i = 0; i < 20000 / LESS; i++) {
        saros_expect(self.w->loop, prepare(self.w, &self.ball));
        atomic_store(&self.turn, 1);
        while (self.ball.times == 0) {
            saros_time began = clock_now();
            step_for(self.w, PATIENCE * SAROS_SECOND);
            assert_true(clock_now() - began < PATIENCE * SAROS_SECOND / 2); /* else it was lost */
        }
    }
    atomic_store(&self.turn, -1);
    pthread_join(thread, NULL);
}

/* ---- holds ------------------------------------------------------------------------------------------------------ */

static void *release_late(void *user) {
    struct timespec nap = {.tv_nsec = 20 * MILLISECOND}; /* long enough for the loop to be asleep */
    nanosleep(&nap, NULL);
    saros_release(user);
    return NULL;
}

static void a_hold_keeps_the_loop_running_and_its_release_ends_it(void **state) {
    world     *w = *state;
    pthread_t  thread;
    saros_time began = clock_now();
    saros_hold(w->loop);
    assert_int_equal(step_for(w, 0).outcome, SAROS_WAITING);
    assert_int_equal(pthread_create(&thread, NULL, release_late, w->loop), 0);
    assert_result(saros_run(w->loop), 0);
    assert_true(clock_now() - began >= 20 * MILLISECOND);
    assert_int_equal(step_for(w, SAROS_FOREVER).outcome, SAROS_DONE);
    pthread_join(thread, NULL);
}

static void a_hold_outlives_the_loop_and_the_last_release_frees(void **state) {
    world      *w = *state;
    told        op = {0};
    pthread_t   thread;
    saros_loop *loop = w->loop;
    saros_expect(loop, prepare(w, &op));
    saros_hold(loop);
    saros_hold(loop);
    world_close(w);
    assert_int_equal(w->memory.blocks, 1); /* the loop itself, and nothing else of it */
    assert_result(saros_post(loop, &op.op, 1), SAROS_ECLOSED);
    saros_wake(loop); /* harmless */
    saros_release(loop);
    assert_result(saros_post(loop, &op.op, 1), SAROS_ECLOSED);
    assert_int_equal(w->memory.blocks, 1);
    assert_int_equal(op.times, 0);
    assert_int_equal(pthread_create(&thread, NULL, release_late, loop), 0);
    pthread_join(thread, NULL);
    assert_int_equal(w->memory.blocks, 0);
}

static void *hold_and_release(void *user) {
    for (int i = 0; i < 20000 / LESS; i++) {
        saros_hold(user);
        saros_release(user);
    }
    saros_release(user);
    return NULL;
}

static void holds_may_come_and_go_on_every_thread(void **state) {
    world    *w = *state;
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) saros_hold(w->loop);
    for (int i = 0; i < THREADS; i++) assert_int_equal(pthread_create(&threads[i], NULL, hold_and_release, w->loop), 0);
    assert_result(saros_run(w->loop), 0);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    assert_int_equal(step_for(w, SAROS_FOREVER).outcome, SAROS_DONE);
}

static void *wake_often(void *user) {
    for (int i = 0; i < 50000 / LESS; i++) saros_wake(user);
    saros_release(user);
    return NULL;
}

static void a_storm_of_wakes_neither_blocks_nor_fills_anything(void **state) {
    world    *w = *state;
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) saros_hold(w->loop);
    for (int i = 0; i < THREADS; i++) assert_int_equal(pthread_create(&threads[i], NULL, wake_often, w->loop), 0);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL); /* nobody reads them meanwhile */
    for (int i = 0; i < 50000 / LESS; i++) saros_wake(w->loop);
    assert_result(saros_run(w->loop), 0);
    told timer = {0};
    start_timer(w, &timer, 30 * MILLISECOND);
    size_t before = w->events[SAROS_ON_WAIT];
    assert_int_equal(await(w, &timer), 0);
    assert_in_range(w->events[SAROS_ON_WAIT] - before, 1, 5); /* and what is left of them is soon used up */
}

/* ---- signals ---------------------------------------------------------------------------------------------------- */

#ifdef _WIN32
NOT_HERE(posts_from_a_signal_handler_arrive, "no signals")
NOT_HERE(a_handler_may_post_into_the_middle_of_a_post, "no signals")
#else
static saros_loop *volatile signal_loop;
static small                 signal_ops[1000];
static volatile sig_atomic_t signal_next, signal_most;

static void post_in_handler(int number) {
    (void)number;
    if (signal_next < signal_most) {
        saros_post(signal_loop, &signal_ops[signal_next].op, 0);
        signal_next++;
    }
}

static void posts_from_a_signal_handler_arrive(void **state) {
    world           *w = *state;
    struct sigaction action = {.sa_handler = post_in_handler}, before;
    struct itimerval often = {.it_interval = {.tv_usec = 200}, .it_value = {.tv_usec = 200}}, never = {0};
    told_posts = out_of_order = 0;
    posters[0] = (poster){.ops = signal_ops};
    memset(signal_ops, 0, sizeof signal_ops);
    for (int i = 0; i < 1000; i++) {
        signal_ops[i].op.done = count_post;
        saros_expect(w->loop, &signal_ops[i].op);
    }
    signal_loop = w->loop;
    signal_next = 0, signal_most = 1000;
    sigaction(SIGALRM, &action, &before);
    setitimer(ITIMER_REAL, &often, NULL);
    saros_hold(w->loop);
    AWAIT(w, told_posts == 1000);
    setitimer(ITIMER_REAL, &never, NULL);
    sigaction(SIGALRM, &before, NULL);
    saros_release(w->loop);
    assert_int_equal(out_of_order, 0);
    for (int i = 0; i < 1000; i++) assert_int_equal(signal_ops[i].times, 1);
}

/* A handler that interrupts the very calls it uses. */
static void a_handler_may_post_into_the_middle_of_a_post(void **state) {
    world           *w = *state;
    struct sigaction action = {.sa_handler = post_in_handler}, before;
    struct itimerval often = {.it_interval = {.tv_usec = 50}, .it_value = {.tv_usec = 50}}, never = {0};
    told             op = {0};
    told_posts = 0;
    posters[0] = (poster){.ops = signal_ops};
    memset(signal_ops, 0, sizeof signal_ops);
    for (int i = 0; i < 500; i++) {
        signal_ops[i].op.done = count_post;
        saros_expect(w->loop, &signal_ops[i].op);
    }
    signal_loop = w->loop;
    signal_next = 0, signal_most = 500;
    sigaction(SIGALRM, &action, &before);
    setitimer(ITIMER_REAL, &often, NULL);
    saros_time until = clock_now() + PATIENCE * SAROS_SECOND;
    while (told_posts < 500 && clock_now() < until) {
        saros_expect(w->loop, prepare(w, &op));
        assert_result(saros_post(w->loop, &op.op, 0), 0);
        steps(w, 1);
        assert_int_equal(op.times, 1);
    }
    setitimer(ITIMER_REAL, &never, NULL);
    sigaction(SIGALRM, &before, NULL);
    assert_int_equal(told_posts, 500);
}
#endif

int main(void) {
    const struct CMUnitTest tests[] = {
        WORLD_TEST(four_hundred_thousand_posts_arrive_once_each_and_in_order),
        WORLD_TEST(a_post_that_races_with_close_is_told_or_refused_and_never_both),
        WORLD_TEST(a_post_at_the_instant_of_going_to_sleep_is_not_lost),
        WORLD_TEST(a_hold_keeps_the_loop_running_and_its_release_ends_it),
        WORLD_TEST(a_hold_outlives_the_loop_and_the_last_release_frees),
        WORLD_TEST(holds_may_come_and_go_on_every_thread),
        WORLD_TEST(a_storm_of_wakes_neither_blocks_nor_fills_anything),
        WORLD_TEST(posts_from_a_signal_handler_arrive),
        WORLD_TEST(a_handler_may_post_into_the_middle_of_a_post),
    };
    int               failed = 0;
    saros_driver_info info;
    for (size_t i = 0; saros_driver_at(i, &info); i++) {
        if (!info.compiled || strcmp(info.name, "sim") == 0) continue; /* sim's clock stands still */
        char name[40];
        snprintf(name, sizeof name, "door on %s", info.name);
        print_message("%s\n", name);
        world_driver = info.name;
        failed += cmocka_run_group_tests_name(name, tests, NULL, NULL);
    }
    return failed;
}
