/* timing.c: timers on the real clock, wakes, signals, and a loop that has nothing to do. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#ifndef _WIN32
#include <sys/time.h>
#include <sys/wait.h>
#endif
#ifdef __linux__
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#endif

#include "conformance/conformance.h"

/* ---- timers ----------------------------------------------------------------------------------------------------- */

static void no_timer_is_ever_early(void **state) {
    static const saros_time spans[] = {1, 999, 1000, 1001, 99999, 500000, 999999, 1000000, 1000001, 1234567, 2999999};
    world                  *w = *state;
    for (int round = 0; round < 3; round++)
        for (size_t i = 0; i < sizeof spans / sizeof *spans; i++) {
            told       timer = {0};
            saros_time deadline = saros_now(w->loop) + spans[i];
            assert_int_equal(saros_timer(w->loop, prepare(w, &timer), deadline), 0);
            assert_int_equal(await(w, &timer), 0);
            assert_true(timer.at >= deadline);
            assert_true(timer.at - deadline < SAROS_SECOND);
        }
}

static void a_short_timer_does_not_spin(void **state) {
    world *w = *state;
    for (int i = 0; i < 30; i++) {
        told   timer = {0};
        size_t before = w->events[SAROS_ON_WAIT];
        start_timer(w, &timer, 100000);
        assert_result(saros_run(w->loop), 0);
        assert_int_equal(timer.times, 1);
        assert_in_range(w->events[SAROS_ON_WAIT] - before, 0, 3); /* 0: the machine was busy, and it was due at once */
    }
}

static void a_long_timer_is_waited_for_without_overflow(void **state) {
    static const saros_time spans[] = {25 * 86400 * SAROS_SECOND, 400 * 86400 * SAROS_SECOND, INT64_C(1) << 62};
    world                  *w = *state;
    for (int i = 0; i < 3; i++) {
        told timer = {0};
        start_timer(w, &timer, spans[i]);
        assert_in_range(waits_during(w, 5 * MILLISECOND), 1, 3);
        assert_int_equal(timer.times, 0);
        saros_wake(w->loop);
        assert_int_equal(step_for(w, SAROS_FOREVER).outcome, SAROS_WAITING);
        saros_cancel(w->loop, &timer.op);
        assert_result(await(w, &timer), SAROS_ECANCELED);
    }
}

static void timers_come_in_order_and_equal_ones_as_they_were_started(void **state) {
    world     *w = *state;
    told       timers[30] = {0};
    saros_time now = saros_now(w->loop);
    for (int i = 0; i < 30; i++)
        saros_timer(w->loop, prepare(w, &timers[i]), now + (saros_time)(i * 7 % 10) * MILLISECOND / 2);
    assert_result(saros_run(w->loop), 0);
    for (int i = 0; i < 30; i++)
        for (int k = 0; k < i; k++) {
            int a = i * 7 % 10, b = k * 7 % 10;
            assert_int_equal(timers[i].order < timers[k].order, a < b);
        }
}

static void the_clock_does_not_go_back(void **state) {
    world     *w = *state;
    saros_time last = saros_now(w->loop);
    for (int i = 0; i < 100000; i++) {
        saros_time now = saros_now(w->loop);
        assert_true(now >= last);
        last = now;
    }
}

static void a_step_does_not_wait_longer_than_it_may(void **state) {
    world     *w = *state;
    told       timer = {0};
    saros_time began = saros_now(w->loop);
    start_timer(w, &timer, 100 * SAROS_SECOND);
    for (int i = 0; i < 10; i++) assert_int_equal(step_for(w, i * MILLISECOND).outcome, SAROS_WAITING);
    saros_time took = saros_now(w->loop) - began; /* a wait may end early, but not as a rule */
    assert_true(took >= 25 * MILLISECOND && took < 5 * SAROS_SECOND);
    saros_cancel(w->loop, &timer.op);
    await(w, &timer);
}

/* ---- wakes ------------------------------------------------------------------------------------------------------ */

static void *wake_soon(void *user) {
    rest(10); /* until the loop sleeps */
    saros_wake(user);
    return NULL;
}

static void a_wake_from_a_thread_ends_the_wait(void **state) {
    world    *w = *state;
    pthread_t thread;
    saros_hold(w->loop);
    for (int i = 0; i < 3; i++) {
        saros_time began = clock_now();
        assert_int_equal(pthread_create(&thread, NULL, wake_soon, w->loop), 0);
        assert_int_equal(step_for(w, PATIENCE * SAROS_SECOND).outcome, SAROS_WAITING);
        assert_true(clock_now() - began < PATIENCE * SAROS_SECOND / 2);
        pthread_join(thread, NULL);
    }
    saros_release(w->loop);
}

typedef struct waker {
    saros_loop *loop;
    atomic_int  turn; /* 1: the thread's, 0: the loop's, -1: over */
} waker;

static void *wake_in_turn(void *user) {
    waker   *self = user;
    unsigned random = 1;
    int      turn;
    while ((turn = atomic_load(&self->turn)) >= 0) {
        if (turn == 0) continue;
        random = random * 1103515245 + 12345;
        for (volatile unsigned spin = random % 200000; spin > 0; spin--) {} /* the loop should sleep, as a rule */
        saros_wake(self->loop);
        atomic_store(&self->turn, 0);
    }
    return NULL;
}

/* The other thread may still be inside its wake, of which the loop has been told already: Wine, for one, lets the second
 * of two sends fail then. */
static void a_wake_upon_another_s_end_is_not_lost(void **state) {
    world    *w = *state;
    waker     self = {.loop = w->loop};
    pthread_t thread;
    saros_hold(w->loop);
    assert_int_equal(pthread_create(&thread, NULL, wake_in_turn, &self), 0);
    for (int i = 0; i < 500; i++) {
        saros_time began = clock_now();
        atomic_store(&self.turn, 1);
        step_for(w, PATIENCE * SAROS_SECOND);
        saros_wake(w->loop);
        step_for(w, PATIENCE * SAROS_SECOND);
        while (atomic_load(&self.turn) != 0) {}
        assert_true(clock_now() - began < PATIENCE * SAROS_SECOND / 2);
    }
    atomic_store(&self.turn, -1);
    pthread_join(thread, NULL);
    saros_release(w->loop);
}

static void a_wake_before_the_wait_ends_it_too_and_many_become_one(void **state) {
    world *w = *state;
    saros_hold(w->loop);
    for (int i = 0; i < 100000; i++) saros_wake(w->loop);
    saros_time began = clock_now();
    assert_int_equal(step_for(w, PATIENCE * SAROS_SECOND).outcome, SAROS_WAITING);
    assert_true(clock_now() - began < PATIENCE * SAROS_SECOND / 2);
    assert_in_range(waits_during(w, 20 * MILLISECOND), 1, 3); /* none of the others is left over */
    saros_release(w->loop);
}

#ifdef _WIN32
NOT_HERE(a_wake_from_a_signal_handler_ends_the_wait, "no signals")
NOT_HERE(signals_that_interrupt_make_nothing_early_and_lose_nothing, "no signals")
#else
static saros_loop *volatile alarm_loop;
static volatile sig_atomic_t alarms;
static void                  wake_in_handler(int number) {
                     (void)number;
                     int saved = errno;
                     errno = 77;
                     saros_wake(alarm_loop);
                     alarms += errno == 77; /* errno is the interrupted code's */
                     errno = saved;
}
static void only_count(int number) {
    (void)number;
    alarms++;
}

static void every(int microseconds) {
    struct itimerval often = {.it_interval = {.tv_usec = microseconds}, .it_value = {.tv_usec = microseconds}};
    setitimer(ITIMER_REAL, &often, NULL);
}

static void a_wake_from_a_signal_handler_ends_the_wait(void **state) {
    world           *w = *state;
    struct sigaction action = {.sa_handler = wake_in_handler, .sa_flags = SA_RESTART}, before;
    alarm_loop = w->loop;
    alarms = 0;
    sigaction(SIGALRM, &action, &before);
    saros_hold(w->loop);
    for (int i = 0; i < 20; i++) {
        saros_time began = clock_now();
        every(500 + 100 * i);
        step_for(w, PATIENCE * SAROS_SECOND);
        assert_true(clock_now() - began < PATIENCE * SAROS_SECOND / 2);
    }
    every(0);
    sigaction(SIGALRM, &before, NULL);
    assert_true(alarms > 0);
    saros_release(w->loop);
}

static void signals_that_interrupt_make_nothing_early_and_lose_nothing(void **state) {
    world           *w = *state;
    struct sigaction action = {.sa_handler = only_count}, before; /* no SA_RESTART: every call may be cut short */
    pair             p;
    told             receive = {0};
    char             bytes[100];
    bool             sockets = !driver_is("none");
    alarms = 0;
    if (sockets) pair_open(w, &p, SAROS_INET);
    sigaction(SIGALRM, &action, &before);
    saros_hold(w->loop); /* where time is simulated, it goes no faster than ours now */
    every(300);
    for (int i = 0; i < 10; i++) {
        told       timer = {0};
        saros_time deadline = saros_now(w->loop) + 3 * MILLISECOND;
        saros_timer(w->loop, prepare(w, &timer), deadline);
        if (sockets) start(w, &receive, SAROS_OP_RECV, &p.server, bytes, sizeof bytes);
        assert_int_equal(await(w, &timer), 0);
        assert_true(timer.at >= deadline);
        if (!sockets) continue;
        send_all(w, &p.client, "abc", 3);
        assert_int_equal(await(w, &receive), 3);
    }
    every(0);
    sigaction(SIGALRM, &before, NULL);
    assert_true(alarms > 10);
    saros_release(w->loop);
    if (sockets) pair_close(w, &p);
}

#endif

/* ---- idleness --------------------------------------------------------------------------------------------------- */

static void a_loop_that_waits_asks_the_kernel_once(void **state) {
    world *w = *state;
    told   timer = {0};
    start_timer(w, &timer, 40 * MILLISECOND);
    size_t before = w->events[SAROS_ON_WAIT];
    assert_result(saros_run(w->loop), 0);
    assert_in_range(w->events[SAROS_ON_WAIT] - before, 1, 2);
    assert_int_equal(timer.times, 1);
}

#ifdef __linux__
/* In a child that dies of any system call but the last one, and but the clock's, which some machines need for it. */
static void a_loop_with_nothing_to_do_makes_no_system_call(void **state) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0), /* the number of the call */
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clock_gettime, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
    };
    struct sock_fprog filter = {.len = sizeof code / sizeof *code, .filter = code};
    world            *w = *state;
    told              background = {0};
    int               status = 0;
    prepare(w, &background)->background = 1;
    assert_int_equal(saros_timer(w->loop, &background.op, saros_now(w->loop) + 100 * SAROS_SECOND), 0);
    steps(w, 3);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) < 0)
            _exit(3);
        for (int i = 0; i < 1000; i++)
            if (step_for(w, SAROS_FOREVER).outcome != SAROS_DONE) syscall(SYS_exit_group, 2);
        syscall(SYS_exit_group, saros_run(w->loop)); /* not _exit, at which sanitizers make calls of their own */
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    saros_cancel(w->loop, &background.op);
    await(w, &background);
}
#endif

static void a_foreign_loop_can_wait_for_ours(void **state) {
    world *w = *state;
    int    fd = saros_pollable(w->loop);
    if (fd == SAROS_NO_HANDLE) return assert_false(driver_is("epoll") || driver_is("uv"));
    struct pollfd one = {.fd = fd, .events = POLLIN};
    pair          p;
    told          receive = {0};
    char          byte;
    assert_int_equal(poll(&one, 1, 0), 0);
    saros_wake(w->loop);
    assert_int_equal(poll(&one, 1, 1000), 1);
    saros_hold(w->loop);
    steps(w, 2);
    saros_release(w->loop);
    steps(w, 2);
    pair_open(w, &p, SAROS_UNIX);
    start(w, &receive, SAROS_OP_RECV, &p.server, &byte, 1);
    steps(w, 2);
    send_all(w, &p.client, "x", 1);
    if (receive.times == 0) assert_int_equal(poll(&one, 1, 1000), 1);
    assert_int_equal(await(w, &receive), 1);
    start(w, &receive, SAROS_OP_RECV, &p.server, &byte, 1); /* no step from here on: it is watched all the same */
    raw_write(p.client.os, "y", 1);
    assert_int_equal(poll(&one, 1, 1000), 1);
    assert_int_equal(await(w, &receive), 1);
    pair_close(w, &p);
}

static char one_byte;
static void receive_next(told *t) {
    told *receive = t->with;
    start(t->world, receive, SAROS_OP_RECV, receive->with, &one_byte, 1);
}

/* Whatever was begun since the driver was last asked: outside of steps, or in the last callback of one. */
static void a_foreign_loop_is_told_of_what_began_after_the_last_look(void **state) {
    world *w = *state;
    pair   p;
    if (saros_pollable(w->loop) == SAROS_NO_HANDLE) return;
    pair_open(w, &p, SAROS_UNIX);
    for (int inside = 0; inside < 2; inside++)
        for (int i = 0; i < 3; i++) {
            struct pollfd one = {.fd = saros_pollable(w->loop), .events = POLLIN};
            told          receive = {.with = &p.server}, timer = {.then = receive_next, .with = &receive};
            if (inside) {
                start_timer(w, &timer, 0);
                AWAIT(w, timer.times > 0);
            } else {
                start(w, &receive, SAROS_OP_RECV, &p.server, &one_byte, 1);
            }
            send_all(w, &p.client, "x", 1);
            for (int k = 0; k < 5 && receive.times == 0; k++) {
                assert_int_equal(poll(&one, 1, PATIENCE * 1000), 1);
                steps(w, 1);
            }
            assert_int_equal(receive.times, 1);
            for (int k = 0; k < 5 && poll(&one, 1, 0) != 0; k++) steps(w, 1);
            assert_int_equal(poll(&one, 1, 0), 0); /* and it does not stay readable */
        }
    pair_close(w, &p);
}

#ifdef __linux__
typedef struct reader {
    int  count;
    bool lent;
    char bytes[4];
} reader;

static void read_on(world *w, told *t, saros_handle *handle) {
    reader *r = t->with;
    start(w, t, SAROS_OP_RECV, handle, r->lent ? NULL : r->bytes, r->lent ? 0 : sizeof r->bytes);
}

/* What a read in a loop does: the next one is begun while the last is told. */
static void read_again(told *t) {
    if (t->result <= 0) return;
    ((reader *)t->with)->count++;
    read_on(t->world, t, t->op.handle);
}

/* Steps without waiting until nothing is ready: then, and only then, a host may sleep. */
static void step_until_waiting(world *w) {
    saros_status status;
    do status = step_for(w, 0);
    while (status.outcome == SAROS_MORE);
    assert_int_equal(status.outcome, SAROS_WAITING);
}

static void sleep_elsewhere(world *w, int outer, int fd) {
    struct pollfd      one = {.fd = fd, .events = POLLIN};
    struct epoll_event event;
    int                count;
    do count = outer >= 0 ? epoll_wait(outer, &event, 1, 5000) : poll(&one, 1, 5000);
    while (count < 0 && errno == EINTR); /* a ring that was closed a while ago does that to its thread */
    assert_int_equal(count, 1);
    step_until_waiting(w);
}

/* Nobody calls a step that waits: all that is begun inside steps has to reach the kernel all the same. */
static void a_foreign_loop_that_only_sleeps_on_the_descriptor_misses_nothing(void **state) {
    world *w = *state;
    int    fd = saros_pollable(w->loop);
    if (fd == SAROS_NO_HANDLE) return;
    for (int kind = 0; kind < 3; kind++) { /* poll, epoll by level, epoll by edge */
        pair               p;
        reader             r = {.lent = kind != 1};
        told               receive = {.then = read_again, .with = &r}, accept = {0};
        int                raw = pair_raw(w, &p, SAROS_UNIX), outer = kind > 0 ? epoll_create1(0) : -1;
        struct epoll_event event = {.events = EPOLLIN | (kind == 2 ? EPOLLET : 0)};
        if (outer >= 0) assert_int_equal(epoll_ctl(outer, EPOLL_CTL_ADD, fd, &event), 0);
        read_on(w, &receive, &p.server);
        step_until_waiting(w);
        for (int i = 1; i <= 50; i++) {
            raw_write(raw, "x", 1);
            for (int early = 0; r.count < i && early < 3; early++) sleep_elsewhere(w, outer, fd);
            assert_int_equal(r.count, i);
        }
        for (int i = 0; i < 3; i++) step_until_waiting(w); /* lazy interest may fire once more for nothing */
        assert_int_equal(poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 0), 0);
        start(w, &accept, SAROS_OP_ACCEPT, &p.listener, &p.client, 0);
        step_until_waiting(w);
        int other = raw_connect(&p.address);
        while (accept.times == 0) sleep_elsewhere(w, outer, fd);
        assert_result(accept.result, 0);
        pair_close(w, &p);
        assert_result(receive.result, SAROS_ECLOSED);
        if (outer >= 0) close(outer);
        close(raw);
        close(other);
    }
}
#endif

int conform_timing(void) {
    const struct CMUnitTest tests[] = {
        WORLD_TEST(no_timer_is_ever_early),
        WORLD_TEST(a_short_timer_does_not_spin),
        WORLD_TEST(a_long_timer_is_waited_for_without_overflow),
        WORLD_TEST(timers_come_in_order_and_equal_ones_as_they_were_started),
        WORLD_TEST(the_clock_does_not_go_back),
        WORLD_TEST(a_step_does_not_wait_longer_than_it_may),
        WORLD_TEST(a_wake_from_a_thread_ends_the_wait),
        WORLD_TEST(a_wake_upon_another_s_end_is_not_lost),
        WORLD_TEST(a_wake_before_the_wait_ends_it_too_and_many_become_one),
        WORLD_TEST(a_wake_from_a_signal_handler_ends_the_wait),
        WORLD_TEST(signals_that_interrupt_make_nothing_early_and_lose_nothing),
        WORLD_TEST(a_loop_that_waits_asks_the_kernel_once),
#ifdef __linux__
        WORLD_TEST(a_loop_with_nothing_to_do_makes_no_system_call),
#endif
        WORLD_TEST(a_foreign_loop_can_wait_for_ours),
        WORLD_TEST(a_foreign_loop_is_told_of_what_began_after_the_last_look),
#ifdef __linux__
        WORLD_TEST(a_foreign_loop_that_only_sleeps_on_the_descriptor_misses_nothing),
#endif
    };
    return cmocka_run_group_tests_name(group_name("timing"), tests, NULL, NULL);
}
