/* hostile.c: descriptors closed behind the loop's back, descriptors beyond a driver's limit, a full table of them. Nothing
 * spins, others are not disturbed, and a close always works. */
#include <errno.h>
#include <string.h>
#ifndef _WIN32
#include <sys/resource.h>
#endif

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
 * stands on epoll, and a ring has taken the file itself, so there it may also be waiting still; then the close ends it.
 * Wine keeps a socket for as long as a send waits on it. */
static void check_waiter(const told *t, bool writer) {
    assert_in_range(t->times, 0, 1);
    if (t->times > 0) assert_result(t->result, SAROS_EBADF);
    else if (!driver_is("iocp") || !writer)
        assert_true(driver_is("epoll") || driver_is("kqueue") || driver_is("uring") || driver_is("uv"));
}

/* A port knows no way to stop what waits on a socket whose number is gone, and its memory is the kernel's until then:
 * there it is the other end that must end it. */
static void end_others(int *fd, int *copy) {
    if (!driver_is("iocp")) return;
    raw_close(*fd);
    if (*copy >= 0) raw_close(*copy);
    *fd = *copy = -1;
}

static void a_descriptor_closed_behind_our_back_disturbs_nobody(void **state) {
    world *w = *state;
    pair   p, q;
    told   receive = {0}, send_op = {0};
    for (int writer = 0; writer < 2; writer++) {
        int fd = pair_raw(w, &p, SAROS_UNIX), copy = -1;
        pair_open(w, &q, SAROS_UNIX);
        if (writer) fill_up(w, &send_op, &p.server);
        start(w, &receive, SAROS_OP_RECV, &p.server, buffer, 10);
        steps(w, 1);
        raw_close(p.server.os);
        assert_in_range(waits_during(w, 30 * MILLISECOND), 1, 8);
        check_waiter(&receive, writer);
        if (writer) check_waiter(&send_op, writer);
        check_others(w, &q);
        assert_in_range(waits_during(w, 30 * MILLISECOND), 0, 8);
        if (writer) end_others(&fd, &copy);
        close_now(w, &p.server);
        assert_int_equal(receive.times, 1);
        check_others(w, &q);
        if (fd >= 0) raw_close(fd);
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
            int copy = raw_copy(p.server.os);
            raw_close(p.server.os);
            raw_write(fd, "abc", 3); /* the kernel reports it for the number that is gone */
            if (ending) raw_end(fd);
            if (!driver_is("kqueue")) { /* which goes by the number alone, and has forgotten it */
                AWAIT(w, receive.times > 0);
                if (driver_is("iocp") && receive.result > 0) assert_result(receive.result, 3); /* the socket lives on */
                else assert_result(receive.result, driver_is("uring") ? 3 : SAROS_EBADF);
                if (writer && !driver_is("uring") && !driver_is("iocp"))
                    assert_result(await_at_once(w, &send_op), SAROS_EBADF);
            }
            told other = {0}; /* something that keeps the loop asking */
            start(w, &other, SAROS_OP_RECV, &q.client, buffer, 10);
            assert_in_range(waits_during(w, 30 * MILLISECOND), 1, 8);
            check_others(w, &q);
            end_others(&fd, &copy);
            close_now(w, &p.server);
            assert_in_range(waits_during(w, 30 * MILLISECOND), 1, 8);
            check_others(w, &q);
            assert_int_equal(receive.times, 1);
            if (writer) assert_int_equal(send_op.times, 1);
            if (fd >= 0) raw_close(copy), raw_close(fd);
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
        int copy = raw_copy(p.server.os); /* as a child process would have it */
        close_now(w, &p.server);
        assert_result(receive.result, SAROS_ECLOSED);
        raw_write(fd, "abc", 3);
        pair_open(w, &q, SAROS_UNIX); /* gets the number */
        told other = {0};
        start(w, &other, SAROS_OP_RECV, &q.server, buffer, 10);
        assert_in_range(waits_during(w, 20 * MILLISECOND), 1, 4);
        assert_int_equal(other.times, 0);
        raw_close(copy);
        raw_close(fd);
        pair_close(w, &p);
        pair_close(w, &q);
    }
}

/* ---- limits ----------------------------------------------------------------------------------------------------- */

/* Winsock's select counts sockets, the other one looks at their numbers. */
static void low_limit(saros_config *config) {
#ifdef _WIN32
    config->descriptors = 8;
#else
    config->descriptors = descriptors_open() + 12;
#endif
}

/* select alone looks at this limit; for the others nothing must change. */
static void a_descriptor_over_the_limit_is_refused_and_nothing_is_leaked(void **state) {
    enum { MANY = 10 };
    world *w = *state;
    pair   q, pairs[MANY];
    told   receives[MANY] = {0};
    int    refused = 0, fds[MANY];
    assert_int_equal(world_open(w, world_driver, low_limit), 0);
    pair_open(w, &q, SAROS_UNIX);
    check_others(w, &q); /* it is being watched, and stays so */
    for (int i = 0; i < MANY; i++) {
        pairs[i] = (pair){0};
        pairs[i].address = q.address;
        fds[i] = raw_connect(&q.address);
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
    }
    assert_int_equal(refused > 0, driver_is("select"));
    assert_true(refused < MANY);
    check_others(w, &q);
    for (int i = 0; i < MANY; i++) raw_close(fds[i]), pair_close(w, &pairs[i]);
    pair_close(w, &q);
}

/* More than the 64 that Winsock's own sets have room for. */
static void two_hundred_connections_wait_at_once(void **state) {
    enum { MANY = 200 };
    world        *w = *state;
    saros_address address;
    saros_handle  listener = {0}, *servers = test_calloc(MANY, sizeof *servers);
    told         *receives = test_calloc(MANY, sizeof *receives);
    int           fds[MANY];
    char          bytes[MANY];
    listen_at(w, &listener, &address, SAROS_INET);
    for (int i = 0; i < MANY; i++) {
        fds[i] = raw_connect(&address);
        assert_result(perform(w, SAROS_OP_ACCEPT, &listener, &servers[i], 0), 0);
        start(w, &receives[i], SAROS_OP_RECV, &servers[i], &bytes[i], 1);
    }
    steps(w, 3);
    for (int i = 0; i < MANY; i++) { /* one by one and in no order, so that each is found among the others */
        int at = i * 73 % MANY;
        raw_write(fds[at], &(char){(char)at}, 1);
        assert_int_equal(await(w, &receives[at]), 1);
        assert_int_equal(bytes[at], (char)at);
    }
    for (int i = 0; i < MANY; i++) start(w, &receives[i], SAROS_OP_RECV, &servers[i], &bytes[i], 1);
    for (int i = 0; i < MANY; i++) raw_write(fds[i], "x", 1); /* and all together */
    for (int i = 0; i < MANY; i++) assert_int_equal(await(w, &receives[i]), 1);
    for (int i = 0; i < MANY; i++) raw_close(fds[i]), close_now(w, &servers[i]);
    close_now(w, &listener);
    test_free(servers);
    test_free(receives);
}

#ifdef _WIN32
NOT_HERE(descriptors_above_1024_are_served_or_refused_and_never_overrun, "no small numbers for sockets")
#else
static void descriptors_above_1024_are_served_or_refused_and_never_overrun(void **state) {
    enum { MANY = 1100 };
    world *w = *state;
    int *fds = test_calloc(MANY, sizeof *fds);
    struct rlimit before, more;
    pair p, q;
    told receive = {0}, connect_op = {0};
    saros_handle client = {0};
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
    raw_close(fd);
    pair_close(w, &p);
    pair_close(w, &q);
    for (int i = 0; i < MANY; i++) close(fds[i]);
    setrlimit(RLIMIT_NOFILE, &before);
    test_free(fds);
}

#endif

/* ---- a full table of descriptors ---------------------------------------------------------------------------------- */

#ifdef _WIN32
NOT_HERE(too_few_descriptors_for_a_loop_are_a_refusal, "no limit to lower")
NOT_HERE(as_many_descriptors_as_there_are_come_and_go, "no limit to reach")
#else
static void too_few_descriptors_for_a_loop_are_a_refusal(void **state) {
    world *w = *state;
    struct rlimit before, low;
    int refused = 0, lowest = dup(0), error = SAROS_EMFILE;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    close(lowest);
    low = before;
    low.rlim_cur = (rlim_t)lowest;
    for (int more = 0; error < 0; more++, low.rlim_cur++) { /* it fails at each descriptor in turn */
        assert_in_range(more, 0, 20);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
        error = world_open(w, world_driver, NULL);
        setrlimit(RLIMIT_NOFILE, &before);
        if (error == 0) break;
        refused++;
        assert_non_null(strstr(w->why, world_driver));
        assert_int_equal(w->memory.blocks, 0);
        assert_int_equal(descriptors_open(), w->descriptors);
    }
    assert_in_range(refused, 1, 19);
    assert_int_equal(step_for(w, 0).outcome, SAROS_DONE);
}

typedef struct crowd {
    saros_handle ends[2];
    told receive, closes[2];
    char byte;
} crowd;

/* One round: all are opened, all wait, every third is written to, and all are closed in an order that is none. */
static void come_and_go(world *w, crowd *all, int many, unsigned *random) {
    int told_before = 0;
    for (int i = 0; i < many; i++) {
        saros_op two = {.kind = SAROS_OP_PAIR, .handle = &all[i].ends[0], .accepted = &all[i].ends[1]};
        assert_true(saros_submit_now(w->loop, &two));
        assert_result(two.result, 0);
    }
    for (int i = 0; i < many; i++) start(w, &all[i].receive, SAROS_OP_RECV, &all[i].ends[0], &all[i].byte, 1);
    steps(w, 3);
    for (int i = 0; i < many; i++) told_before += all[i].receive.times;
    assert_int_equal(told_before > 0, driver_is("select") && many > 1024);
    for (int i = 0; i < many; i += 3) raw_write((int)all[i].ends[1].os, "x", 1);
    for (int i = 0; i < 2 * many; i++) {
        *random = *random * 1103515245 + 12345;
        int order = (int)(*random >> 8) % (2 * many);
        while (all[order / 2].closes[order % 2].world != NULL) order = (order + 1) % (2 * many);
        crowd *c = &all[order / 2];
        start(w, &c->closes[order % 2], SAROS_OP_CLOSE, &c->ends[order % 2], NULL, 0);
    }
    for (int i = 0; i < many; i++) {
        for (int k = 0; k < 2; k++) assert_result(await(w, &all[i].closes[k]), 0);
        assert_int_equal(all[i].receive.times, 1);
        if (all[i].receive.result >= 0)
            assert_int_equal(all[i].receive.result, i % 3 == 0); /* else it has seen the end */
        all[i] = (crowd){0};
    }
}

static void as_many_descriptors_as_there_are_come_and_go(void **state) {
    enum { MOST = 20000 };
    world *w = *state;
    struct rlimit before, all;
    unsigned random = 7;
    size_t bytes = 0;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    all = before;
    all.rlim_cur = all.rlim_max < MOST ? all.rlim_max : MOST;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &all), 0);
    int many = ((int)all.rlim_cur - descriptors_open() - 50) / 2;
    crowd *list = test_calloc((size_t)many, sizeof *list);
    for (int round = 0; round < 3; round++) {
        come_and_go(w, list, many, &random);
        if (round == 0) bytes = w->memory.bytes;
        assert_int_equal(w->memory.bytes, bytes);
        told receive = {0};
        saros_handle ends[2];
        char byte;
        open_two(w, ends); /* these get numbers that others had */
        start(w, &receive, SAROS_OP_RECV, &ends[0], &byte, 1);
        assert_in_range(waits_during(w, 10 * MILLISECOND), 1, 4);
        assert_int_equal(receive.times, 0);
        close_two(w, ends);
    }
    test_free(list);
    setrlimit(RLIMIT_NOFILE, &before);
}
#endif

int conform_hostile(void) {
    const struct CMUnitTest tests[] = {
        WORLD_TEST(a_descriptor_closed_behind_our_back_disturbs_nobody),
        WORLD_TEST(a_copy_that_lives_on_does_not_make_the_loop_spin),
        WORLD_TEST(a_copy_elsewhere_does_not_outlive_our_close),
        BARE_TEST(a_descriptor_over_the_limit_is_refused_and_nothing_is_leaked),
        WORLD_TEST(two_hundred_connections_wait_at_once),
        WORLD_TEST(descriptors_above_1024_are_served_or_refused_and_never_overrun),
        BARE_TEST(too_few_descriptors_for_a_loop_are_a_refusal),
        WORLD_TEST(as_many_descriptors_as_there_are_come_and_go),
    };
    return cmocka_run_group_tests_name(group_name("hostile"), tests, NULL, NULL);
}
