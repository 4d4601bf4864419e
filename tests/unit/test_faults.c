/* test_faults.c: system calls that fail, are interrupted or do little, on every readiness driver; and memory that runs
 * out at every point there is. */
#ifdef __linux__
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "support/seam.h"
#include "support/sockets.h"

static char buffer[1000];

static int reset_seam(void **state) {
    seam_reset();
    return world_setup(state);
}
#define FAULT_TEST(test) WORLD_CASE(test, world_run, reset_seam, world_teardown)

static bool on(const char *driver) { return strcmp(world_driver, driver) == 0; }

static void interrupted_calls_are_made_again(void **state) {
    world *w = *state;
    pair   p;
    told   accept = {0};
    pair_open(w, &p, SAROS_INET);
    for (size_t times = 1; times <= 5; times += 4) {
        saros_handle client = {0}, server = {0};
        seam_fail(SEAM_SEND, EINTR, times);
        assert_int_equal(perform(w, SAROS_OP_SEND, &p.client, "moon", 4), 4);
        AWAIT(w, recv(p.server.os, buffer, 4, MSG_PEEK | MSG_DONTWAIT) == 4);
        seam_fail(SEAM_RECV, EINTR, times);
        assert_int_equal(perform(w, SAROS_OP_RECV, &p.server, buffer, 4), 4);
        seam_fail(SEAM_ACCEPT, EINTR, times);
        start(w, &accept, SAROS_OP_ACCEPT, &p.listener, &server, 0);
        assert_result(perform(w, SAROS_OP_CONNECT, &client, &p.address, 0), 0);
        assert_result(await(w, &accept), 0);
        close_now(w, &client);
        close_now(w, &server);
        assert_int_equal(seam[SEAM_SEND].times + seam[SEAM_RECV].times + seam[SEAM_ACCEPT].times, 0);
    }
    pair_close(w, &p);
}

/* A flag that is set by a second call comes too late for a fork in between. */
static void a_descriptor_is_closed_on_exec_from_its_birth(void **state) {
    world *w = *state;
    pair   p;
    pair_open(w, &p, SAROS_INET);
    assert_int_equal(seam[SEAM_SOCKET].flags & (SOCK_CLOEXEC | SOCK_NONBLOCK), SOCK_CLOEXEC | SOCK_NONBLOCK);
    assert_int_equal(seam[SEAM_ACCEPT].flags & (SOCK_CLOEXEC | SOCK_NONBLOCK), SOCK_CLOEXEC | SOCK_NONBLOCK);
    pair_close(w, &p);
}

static void an_interrupted_wait_is_no_error_and_loses_no_time(void **state) {
    world     *w = *state;
    told       timer = {0};
    saros_time began = clock_now();
    if (on("uv")) return; /* libuv waits again by itself */
    start_timer(w, &timer, 20 * MILLISECOND);
    for (int i = 0; i < 4; i++) {
        seam_fail(SEAM_WAIT, EINTR, 1);
        assert_int_equal(step_for(w, SAROS_FOREVER).outcome, SAROS_WAITING);
    }
    assert_result(saros_run(w->loop), 0);
    assert_int_equal(timer.times, 1);
    assert_true(timer.at - began >= 20 * MILLISECOND);
}

static void timers_do_not_follow_the_wall_clock(void **state) {
    world          *w = *state;
    told            timers[3] = {0};
    struct timespec one, other;
    seam_set_wall_clock();
    clock_gettime(CLOCK_REALTIME, &one);
    clock_gettime(CLOCK_REALTIME, &other);
    assert_int_not_equal(one.tv_sec, other.tv_sec);
    saros_time began = saros_now(w->loop);
    for (int i = 0; i < 3; i++) saros_timer(w->loop, prepare(w, &timers[i]), began + (3 - i) * 10 * MILLISECOND);
    assert_result(saros_run(w->loop), 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(timers[i].order, 3 - i);
        assert_in_range(timers[i].at - began, (3 - i) * 10 * MILLISECOND, PATIENCE * SAROS_SECOND);
    }
}

static void a_wait_that_fails_breaks_the_loop_once(void **state) {
    world *w = *state;
    pair   p;
    told   receive = {0};
    if (on("uv")) return; /* libuv ends the process */
    pair_open(w, &p, SAROS_UNIX);
    start(w, &receive, SAROS_OP_RECV, &p.server, buffer, 1);
    seam_fail(SEAM_WAIT, EINVAL, 1);
    size_t before = seam[SEAM_WAIT].calls;
    assert_result(saros_run(w->loop), SAROS_EINVAL);
    assert_int_equal(step_for(w, SAROS_FOREVER).outcome, SAROS_BROKEN);
    assert_int_equal(seam[SEAM_WAIT].calls, before + 1);
    world_close(w); /* and everything is told and closed all the same */
    assert_int_equal(receive.times, 1);
}

static void a_connection_that_died_in_the_queue_does_not_hide_the_next(void **state) {
    static const int errors[] = {ECONNABORTED, EPROTO,      EPERM,     ENETDOWN,   EOPNOTSUPP,
                                 EHOSTUNREACH, ENETUNREACH, EHOSTDOWN, ENOPROTOOPT};
    world           *w = *state;
    pair             p;
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        pair_open(w, &p, SAROS_INET);
        close_now(w, &p.server);
        close_now(w, &p.client);
        int fd = raw_connect(&p.address);
        seam_fail(SEAM_ACCEPT, errors[i], 2);
        assert_result(perform(w, SAROS_OP_ACCEPT, &p.listener, &p.server, 0), 0);
        close(fd);
        pair_close(w, &p);
    }
}

static void an_accept_that_never_recovers_is_told_and_does_not_hang(void **state) {
    world       *w = *state;
    pair         p;
    saros_handle other = {0};
    pair_open(w, &p, SAROS_INET);
    seam_fail(SEAM_ACCEPT, EPERM, 100000);
    assert_result(perform(w, SAROS_OP_ACCEPT, &p.listener, &other, 0), SAROS_EPERM);
    assert_in_range(seam[SEAM_ACCEPT].times, 99000, 99999);
    pair_close(w, &p);
}

static void running_out_of_descriptors_is_told_and_passes(void **state) {
    static const int errors[] = {EMFILE, ENFILE, ENOBUFS, ENOMEM};
    world           *w = *state;
    pair             p;
    saros_handle     other = {0};
    pair_open(w, &p, SAROS_INET);
    for (int i = 0; i < 4; i++) {
        int fd = raw_connect(&p.address);
        seam_fail(SEAM_ACCEPT, errors[i], 1);
        assert_result(perform(w, SAROS_OP_ACCEPT, &p.listener, &other, 0), saros_error_from_os(errors[i]));
        assert_in_range(waits_during(w, 5 * MILLISECOND), 0, 3); /* the listener stays readable: no spin */
        assert_int_equal(other.state, SAROS_HANDLE_EMPTY);
        assert_int_equal(send_all(w, &p.client, "still here", 10), 1); /* others go on */
        recv_all(w, &p.server, buffer, 10);
        assert_result(perform(w, SAROS_OP_ACCEPT, &p.listener, &other, 0), 0);
        close_now(w, &other);
        close(fd);
        seam_fail(SEAM_SOCKET, errors[i], 1);
        assert_result(perform(w, SAROS_OP_CONNECT, &other, &p.address, 0), saros_error_from_os(errors[i]));
        seam_fail(SEAM_SOCKET, errors[i], 1);
        saros_address address = {.family = SAROS_INET};
        assert_result(perform(w, SAROS_OP_LISTEN, &other, &address, 0), saros_error_from_os(errors[i]));
    }
    pair_close(w, &p);
}

static void a_connect_that_is_interrupted_goes_on(void **state) {
    world        *w = *state;
    saros_handle  client = {0};
    saros_address address;
    int           fd = raw_listen(&address, SAROS_INET, 5);
    seam_fail(SEAM_CONNECT, EINTR, 1); /* not even begun, so it stays under way: it must not be reported as a failure */
    told connect = {0};
    start(w, &connect, SAROS_OP_CONNECT, &client, &address, 0);
    steps(w, 3);
    assert_int_equal(connect.times, 0);
    close_now(w, &client);
    assert_result(connect.result, SAROS_ECLOSED);
    close(fd);
}

static void bytes_one_by_one_arrive_whole_and_in_order(void **state) {
    world *w = *state;
    pair   p;
    char   out[1000];
    for (size_t i = 0; i < sizeof out; i++) out[i] = (char)(i * 7);
    pair_open(w, &p, SAROS_INET);
    seam[SEAM_SEND].most = seam[SEAM_RECV].most = 1;
    told   send_op = {0}, receive = {0};
    size_t sent = 0, got = 0;
    while (got < sizeof out) {
        if (sent < sizeof out && send_op.op.state == SAROS_IDLE)
            start(w, &send_op, SAROS_OP_SEND, &p.client, out + sent, sizeof out - sent);
        if (receive.op.state == SAROS_IDLE)
            start(w, &receive, SAROS_OP_RECV, &p.server, buffer + got, sizeof buffer - got);
        AWAIT(w, send_op.times + receive.times > 0);
        if (send_op.times > 0) assert_int_equal(send_op.result, 1), sent++, send_op.times = 0;
        if (receive.times > 0) assert_int_equal(receive.result, 1), got++, receive.times = 0;
    }
    assert_memory_equal(buffer, out, sizeof out);
    pair_close(w, &p);
}

/* Who tries again may close a descriptor that another thread has opened meanwhile. */
static void a_close_that_fails_is_not_tried_again(void **state) {
    static const int errors[] = {EINTR, EIO};
    world           *w = *state;
    close(-1);
    if (seam[SEAM_CLOSE].calls == 0) return; /* the double of kqueue is linked, which has a close of its own */
    for (int i = 0; i < 2; i++) {
        pair p;
        pair_open(w, &p, SAROS_INET);
        size_t calls = seam[SEAM_CLOSE].calls;
        seam_fail(SEAM_CLOSE, errors[i], 1);
        assert_result(perform(w, SAROS_OP_CLOSE, &p.client, NULL, 0), 0);
        assert_int_equal(seam[SEAM_CLOSE].calls, calls + 1);
        assert_int_equal(p.client.state, SAROS_HANDLE_EMPTY);
        assert_int_equal(perform(w, SAROS_OP_RECV, &p.server, buffer, 1), 0);
        pair_close(w, &p);
    }
}

static void an_error_of_the_call_is_the_result_of_the_op(void **state) {
    static const int errors[] = {ECONNRESET, ETIMEDOUT, EHOSTUNREACH, EIO, EBADF};
    world           *w = *state;
    pair             p;
    pair_open(w, &p, SAROS_UNIX);
    for (int i = 0; i < 5; i++) {
        seam_fail(SEAM_SEND, errors[i], 1);
        assert_result(perform(w, SAROS_OP_SEND, &p.client, "x", 1), saros_error_from_os(errors[i]));
        seam_fail(SEAM_RECV, errors[i], 1);
        assert_result(perform(w, SAROS_OP_RECV, &p.client, buffer, 1), saros_error_from_os(errors[i]));
        raw_write(p.server.os, "x", 1);
        seam_fail(SEAM_RECV, errors[i], 1);
        assert_result(perform(w, SAROS_OP_RECV, &p.client, NULL, 0), saros_error_from_os(errors[i]));
        assert_int_equal(perform(w, SAROS_OP_RECV, &p.client, buffer, 1), 1); /* the stream is not broken by it */
    }
    pair_close(w, &p);
}

static void what_the_kernel_will_not_watch_is_told(void **state) {
    world *w = *state;
    pair   p;
    if (!on("epoll") && !on("kqueue")) return; /* poll and select ask nobody; libuv has a test of its own */
    pair_open(w, &p, SAROS_UNIX);
    seam_fail(SEAM_EPOLL_CTL, ENOSPC, 1);
    assert_result(perform(w, SAROS_OP_RECV, &p.server, buffer, 1), SAROS_ENOSPC);
    assert_int_equal(send_all(w, &p.client, "x", 1), 1);
    assert_int_equal(perform(w, SAROS_OP_RECV, &p.server, buffer, 1), 1);
    pair_close(w, &p);
}

static void an_old_kernel_without_fine_time_outs_is_neither_early_nor_busy(void **state) {
    world *w = *state;
    told   timer = {0};
    if (!on("epoll")) return;
    seam_fail(SEAM_PWAIT2, ENOSYS, 1000);
    for (int i = 0; i < 20; i++) {
        saros_time began = clock_now();
        size_t     before = seam[SEAM_WAIT].calls;
        start_timer(w, &timer, 100000 + i * 130000);
        assert_result(saros_run(w->loop), 0);
        assert_true(timer.at - began >= 100000 + i * 130000);
        assert_true(seam[SEAM_WAIT].calls - before <= 2); /* none where it was due before the kernel was asked */
    }
    assert_int_equal(seam[SEAM_PWAIT2].calls, 1);       /* asked once, and then known */
    start_timer(w, &timer, 400 * 86400 * SAROS_SECOND); /* more milliseconds than an int holds */
    step_for(w, MILLISECOND);
    saros_cancel(w->loop, &timer.op);
    await(w, &timer);
}

/* ---- memory ----------------------------------------------------------------------------------------------------- */

enum { MANY = 70, TIMERS = 40 };
typedef struct crowd {
    pair pairs[MANY];
    told receives[MANY], timers[TIMERS];
} crowd;

/* Whatever fails, it fails with ENOMEM, and everything that was begun ends once. */
static int crowd_of_connections(world *w, crowd *c) {
    int missing = 0;
    for (int i = 0; i < TIMERS; i++)
        if (start_timer(w, &c->timers[i], MILLISECOND) < 0) missing++;
    for (int i = 0; i < MANY; i++) {
        pair *p = &c->pairs[i];
        if (i > 0) p->address = c->pairs[0].address;
        else listen_at(w, &p->listener, &p->address, SAROS_UNIX);
        assert_result(perform(w, SAROS_OP_CONNECT, &p->client, &p->address, 0), 0);
        assert_result(perform(w, SAROS_OP_ACCEPT, &c->pairs[0].listener, &p->server, 0), 0);
        start(w, &c->receives[i], SAROS_OP_RECV, &p->server, buffer, 1);
    }
    steps(w, 1);
    for (int i = 0; i < MANY; i++)
        if (c->receives[i].times > 0) assert_result(c->receives[i].result, SAROS_ENOMEM), missing++;
    for (int i = MANY - 1; i >= 0; i--) pair_close(w, &c->pairs[i]);
    for (int i = 0; i < MANY; i++) assert_int_equal(c->receives[i].times, 1);
    assert_result(saros_drain(w->loop, PATIENCE * SAROS_SECOND), 0);
    return missing;
}

static void memory_may_run_out_at_every_point(void **state) {
    world *w = *state;
    size_t from = 1;
    int    opened = 0;
    world_close(w);
    for (int missing = 1; missing > 0; from++) {
        crowd *c = test_calloc(1, sizeof *c);
        assert_in_range(from, 1, 200);
        w->memory.calls = 0;
        w->memory.fail_from = from;
        int error = world_open(w, world_driver, NULL);
        if (error < 0) {
            assert_result(error, SAROS_ENOMEM);
        } else {
            opened++;
            missing = crowd_of_connections(w, c);
            world_close(w);
        }
        assert_int_equal(w->memory.blocks, 0);
        assert_int_equal(descriptors_open(), w->descriptors);
        test_free(c);
    }
    assert_true(opened > 3); /* slots, timers and lists grew a few times each */
}

static bool is_compiled(const char *driver) {
    saros_driver_info info;
    for (size_t i = 0; saros_driver_at(i, &info); i++)
        if (strcmp(info.name, driver) == 0) return info.compiled;
    return false;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        FAULT_TEST(interrupted_calls_are_made_again),
        FAULT_TEST(a_descriptor_is_closed_on_exec_from_its_birth),
        FAULT_TEST(an_interrupted_wait_is_no_error_and_loses_no_time),
        FAULT_TEST(timers_do_not_follow_the_wall_clock),
        FAULT_TEST(a_wait_that_fails_breaks_the_loop_once),
        FAULT_TEST(a_connection_that_died_in_the_queue_does_not_hide_the_next),
        FAULT_TEST(an_accept_that_never_recovers_is_told_and_does_not_hang),
        FAULT_TEST(running_out_of_descriptors_is_told_and_passes),
        FAULT_TEST(a_connect_that_is_interrupted_goes_on),
        FAULT_TEST(bytes_one_by_one_arrive_whole_and_in_order),
        FAULT_TEST(a_close_that_fails_is_not_tried_again),
        FAULT_TEST(an_error_of_the_call_is_the_result_of_the_op),
        FAULT_TEST(what_the_kernel_will_not_watch_is_told),
        FAULT_TEST(an_old_kernel_without_fine_time_outs_is_neither_early_nor_busy),
        FAULT_TEST(memory_may_run_out_at_every_point),
    };
    const char *const drivers[] = {"epoll", "kqueue", "poll", "select", "uv"};
    int               failed = 0;
    for (size_t i = 0; i < sizeof drivers / sizeof *drivers; i++) {
        char name[40];
        if (!is_compiled(drivers[i])) continue;
        snprintf(name, sizeof name, "faults on %s", drivers[i]);
        print_message("%s\n", name);
        world_driver = drivers[i];
        failed += cmocka_run_group_tests_name(name, tests, NULL, NULL);
    }
    return failed;
}
#else
int main(void) { return 0; } /* the seam stands on Linux's system calls */
#endif
