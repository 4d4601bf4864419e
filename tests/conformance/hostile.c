/* hostile.c: descriptors closed behind the loop's back, descriptors beyond a driver's limit. Nothing spins, others are
 * not disturbed, and a close always works. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "conformance/conformance.h"

static char buffer[10];

/* The other connection goes on as if nothing had been. */
static void check_others(world *w, pair *q) {
    char byte;
    for (int i = 0; i < 3; i++) {
        told receive = {0};
        start(w, &receive, SAROS_OP_RECV, &q->server, &byte, 1);
        send_all(w, &q->client, "x", 1);
        assert_int_equal(await(w, &receive), 1);
    }
}

/* What the waiter may have been told by now. epoll and kqueue forget a descriptor that is closed without a word, libuv
 * stands on epoll, and a ring has taken the file itself, so there it may also be waiting still; then the close ends it. */
static void check_waiter(const told *t) {
    assert_in_range(t->times, 0, 1);
    if (t->times > 0) assert_result(t->result, SAROS_EBADF);
    else assert_true(driver_is("epoll") || driver_is("kqueue") || driver_is("uring") || driver_is("uv"));
}

static void a_descriptor_closed_behind_our_back_disturbs_nobody(void **state) {
    world *w = *state;
    pair   p, q;
    told   receive = {0}, send_op = {0};
    for (int writer = 0; writer < 2; writer++) {
        int fd = pair_raw(w, &p, SAROS_UNIX);
        pair_open(w, &q, SAROS_UNIX);
        if (writer) fill_up(w, &send_op, &p.server);
        start(w, &receive, SAROS_OP_RECV, &p.server, buffer, 10);
        steps(w, 1);
        close(p.server.os);
        assert_in_range(waits_during(w, 30 * MILLISECOND), 1, 8);
        check_waiter(&receive);
        if (writer) check_waiter(&send_op);
        check_others(w, &q);
        assert_in_range(waits_during(w, 30 * MILLISECOND), 0, 8);
        close_now(w, &p.server);
        assert_int_equal(receive.times, 1);
        check_others(w, &q);
        close(fd);
        pair_close(w, &p);
        pair_close(w, &q);
    }
}

/* Who else waits on it is told as soon as that is known, and not only when something else happens. */
static int64_t await_at_once(world *w, told *t) {
    saros_time began = clock_now();
    for (int i = 0; i < 5 && t->times == 0; i++) step_for(w, PATIENCE * SAROS_SECOND);
    assert_true(clock_now() - began < PATIENCE * SAROS_SECOND / 2);
    return await(w, t);
}

static void a_copy_that_lives_on_does_not_make_the_loop_spin(void **state) {
    world *w = *state;
    pair   p, q;
    for (int writer = 0; writer < 2; writer++)
        for (int ending = 0; ending < 2; ending++) {
            told receive = {0}, send_op = {0};
            int  fd = pair_raw(w, &p, SAROS_UNIX);
            pair_open(w, &q, SAROS_UNIX);
            if (writer) fill_up(w, &send_op, &p.server);
            start(w, &receive, SAROS_OP_RECV, &p.server, buffer, 10);
            steps(w, 1);
            int copy = dup(p.server.os);
            close(p.server.os);
            raw_write(fd, "abc", 3); /* the kernel reports it for the number that is gone */
            if (ending) shutdown(fd, SHUT_WR);
            if (!driver_is("kqueue")) { /* which goes by the number alone, and has forgotten it */
                AWAIT(w, receive.times > 0);
                assert_result(receive.result, driver_is("uring") ? 3 : SAROS_EBADF);
                if (writer && !driver_is("uring")) assert_result(await_at_once(w, &send_op), SAROS_EBADF);
            }
            told other = {0}; /* something that keeps the loop asking */
            start(w, &other, SAROS_OP_RECV, &q.client, buffer, 10);
            assert_in_range(waits_during(w, 30 * MILLISECOND), 1, 8);
            check_others(w, &q);
            close_now(w, &p.server);
            assert_in_range(waits_during(w, 30 * MILLISECOND), 1, 8);
            check_others(w, &q);
            assert_int_equal(receive.times, 1);
            if (writer) assert_int_equal(send_op.times, 1);
            close(copy);
            close(fd);
            pair_close(w, &p);
            pair_close(w, &q);
        }
}

static void a_copy_elsewhere_does_not_outlive_our_close(void **state) {
    world *w = *state;
    pair   p, q;
    told   receive = {0};
    for (int i = 0; i < 3; i++) {
        int fd = pair_raw(w, &p, SAROS_UNIX);
        start(w, &receive, SAROS_OP_RECV, &p.server, buffer, 10);
        steps(w, 1);
        int copy = dup(p.server.os); /* as a child process would have it */
        close_now(w, &p.server);
        assert_result(receive.result, SAROS_ECLOSED);
        raw_write(fd, "abc", 3);
        pair_open(w, &q, SAROS_UNIX); /* gets the number */
        told other = {0};
        start(w, &other, SAROS_OP_RECV, &q.server, buffer, 10);
        assert_in_range(waits_during(w, 20 * MILLISECOND), 1, 4);
        assert_int_equal(other.times, 0);
        close(copy);
        close(fd);
        pair_close(w, &p);
        pair_close(w, &q);
    }
}

/* ---- limits ----------------------------------------------------------------------------------------------------- */

static void low_limit(saros_config *config) { config->descriptors = descriptors_open() + 12; }

/* select alone looks at this limit; for the others nothing must change. */
static void a_descriptor_over_the_limit_is_refused_and_nothing_is_leaked(void **state) {
    enum { MANY = 10 };
    world *w = *state;
    pair   q, pairs[MANY];
    told   receives[MANY] = {0};
    int    refused = 0;
    assert_int_equal(world_open(w, world_driver, low_limit), 0);
    pair_open(w, &q, SAROS_UNIX);
    for (int i = 0; i < MANY; i++) {
        pairs[i] = (pair){0};
        pairs[i].address = q.address;
        int     fd = raw_connect(&q.address);
        int64_t result = perform(w, SAROS_OP_ACCEPT, &q.listener, &pairs[i].server, 0);
        assert_result(result, 0); /* it was waiting already: nothing had to be watched */
        start(w, &receives[i], SAROS_OP_RECV, &pairs[i].server, buffer, 1);
        steps(w, 1);
        if (receives[i].times > 0) {
            refused++;
            assert_result(receives[i].result, SAROS_ELIMIT);
            assert_int_equal(pairs[i].server.state, SAROS_HANDLE_OPEN);
            assert_int_equal(perform(w, SAROS_OP_SEND, &pairs[i].server, "x", 1), 1); /* what need not wait works */
        }
        close(fd);
    }
    assert_int_equal(refused > 0, driver_is("select"));
    check_others(w, &q);
    for (int i = 0; i < MANY; i++) pair_close(w, &pairs[i]);
    pair_close(w, &q);
}

static void descriptors_above_1024_are_served_or_refused_and_never_overrun(void **state) {
    enum { MANY = 1100 };
    world        *w = *state;
    int          *fds = test_calloc(MANY, sizeof *fds);
    struct rlimit before, more;
    pair          p, q;
    told          receive = {0}, connect_op = {0};
    saros_handle  client = {0};
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    more = before;
    if (more.rlim_cur < 4096) more.rlim_cur = more.rlim_max < 4096 ? more.rlim_max : 4096;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &more), 0);
    pair_open(w, &q, SAROS_UNIX);
    for (int i = 0; i < MANY; i++) assert_true((fds[i] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0);
    int fd = pair_raw(w, &p, SAROS_INET);
    assert_true(p.server.os > 1024);
    start(w, &receive, SAROS_OP_RECV, &p.server, buffer, 10);
    steps(w, 1);
    start(w, &connect_op, SAROS_OP_CONNECT, &client, &p.address, 0);
    int64_t result = await(w, &connect_op);
    if (driver_is("select")) {
        assert_result(receive.result, SAROS_ELIMIT);
        assert_int_equal(receive.times, 1);
        assert_result(result, SAROS_ELIMIT);
        assert_int_equal(client.state, SAROS_HANDLE_EMPTY);
    } else {
        assert_int_equal(receive.times, 0);
        raw_write(fd, "x", 1);
        assert_int_equal(await(w, &receive), 1);
        assert_result(result, 0);
        close_now(w, &client);
    }
    check_others(w, &q);
    close(fd);
    pair_close(w, &p);
    pair_close(w, &q);
    for (int i = 0; i < MANY; i++) close(fds[i]);
    setrlimit(RLIMIT_NOFILE, &before);
    test_free(fds);
}

int conform_hostile(void) {
    const struct CMUnitTest tests[] = {
        WORLD_TEST(a_descriptor_closed_behind_our_back_disturbs_nobody),
        WORLD_TEST(a_copy_that_lives_on_does_not_make_the_loop_spin),
        WORLD_TEST(a_copy_elsewhere_does_not_outlive_our_close),
        BARE_TEST(a_descriptor_over_the_limit_is_refused_and_nothing_is_leaked),
        WORLD_TEST(descriptors_above_1024_are_served_or_refused_and_never_overrun),
    };
    return cmocka_run_group_tests_name(group_name("hostile"), tests, NULL, NULL);
}
