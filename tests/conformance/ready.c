/* ready.c: waiting for readiness: on handles of the loop's own, and on descriptors that are only borrowed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifndef _WIN32
#include <fcntl.h>
#include <sys/resource.h>
#endif

#include "conformance/conformance.h"

enum { BOTH = SAROS_READABLE | SAROS_WRITABLE };

static char buffer[70000];

static int64_t poll_for(world *w, saros_handle *handle, unsigned wanted) {
    return perform(w, SAROS_OP_POLL, handle, NULL, wanted);
}

static int64_t borrow(world *w, saros_handle *handle, int fd) {
    return perform(w, SAROS_OP_BORROW, handle, NULL, (size_t)(saros_os_handle)fd);
}

/* Both ends past the loop. */
static void raw_pair(int fds[2]) {
    saros_address address;
    int           listener = raw_listen(&address, SAROS_INET, 1);
    fds[0] = raw_connect(&address);
    fds[1] = (int)accept(listener, NULL, NULL);
    assert_true(fds[1] >= 0);
    raw_close(listener);
}

/* ---- on handles of ours ----------------------------------------------------------------------------------------- */

static void a_poll_is_told_what_holds_and_takes_nothing(void **state) {
    world       *w = *state;
    saros_handle ends[2];
    told         polls[3] = {0}, receive = {0};
    open_two(w, ends);
    assert_int_equal(poll_for(w, &ends[0], BOTH), SAROS_WRITABLE); /* at once: there is room */
    for (int i = 0; i < 3; i++) {
        for (int k = 0; k < 3; k++) start(w, &polls[k], SAROS_OP_POLL, &ends[0], NULL, SAROS_READABLE);
        steps(w, 3);
        for (int k = 0; k < 3; k++) assert_int_equal(polls[k].times, 0);
        send_all(w, &ends[1], "five!", 5);
        for (int k = 0; k < 3; k++) assert_int_equal(await(w, &polls[k]), SAROS_READABLE);
        assert_int_equal(poll_for(w, &ends[0], BOTH), BOTH);
        recv_all(w, &ends[0], buffer, 5);
    }
    start(w, &receive, SAROS_OP_RECV, &ends[0], buffer, 10); /* beside somebody who reads */
    start(w, &polls[0], SAROS_OP_POLL, &ends[0], NULL, SAROS_READABLE);
    steps(w, 2);
    send_all(w, &ends[1], "five!", 5);
    assert_int_equal(await(w, &receive), 5);
    if (polls[0].times == 0) saros_cancel(w->loop, &polls[0].op); /* the reader was quicker */
    await(w, &polls[0]);
    close_two(w, ends);
}

static void a_poll_for_room_waits_until_there_is_some(void **state) {
    world       *w = *state;
    saros_handle ends[2];
    told         send_op = {0}, poll = {0};
    open_two(w, ends);
    fill_up(w, &send_op, &ends[0]);
    saros_cancel(w->loop, &send_op.op);
    await(w, &send_op);
    start(w, &poll, SAROS_OP_POLL, &ends[0], NULL, SAROS_WRITABLE);
    steps(w, 3);
    if (poll.times > 0) { /* what the cancelled send had left over went into the last room */
        fill_up(w, &send_op, &ends[0]);
        start(w, &poll, SAROS_OP_POLL, &ends[0], NULL, SAROS_WRITABLE);
    }
    for (int i = 0; i < 2000 && poll.times == 0; i++) {
        told receive = {0};
        start(w, &receive, SAROS_OP_RECV, &ends[1], buffer, sizeof buffer);
        assert_true(await(w, &receive) > 0);
        steps(w, 2);
    }
    assert_int_equal(await(w, &poll), SAROS_WRITABLE);
    close_two(w, ends);
}

static void an_end_shows_as_ready(void **state) {
    world       *w = *state;
    saros_handle ends[2];
    told         poll = {0};
    for (int waits = 0; waits < 2; waits++) {
        open_two(w, ends);
        if (!waits) close_now(w, &ends[1]);
        start(w, &poll, SAROS_OP_POLL, &ends[0], NULL, SAROS_READABLE);
        if (waits) steps(w, 2), close_now(w, &ends[1]);
        assert_int_equal(await(w, &poll), SAROS_READABLE);
        assert_result(perform(w, SAROS_OP_RECV, &ends[0], buffer, 1), 0);
        assert_in_range(waits_during(w, 20 * MILLISECOND), 0, 4); /* nobody waits: it is not told again and again */
        close_two(w, ends);
    }
}

static void a_listener_is_readable_when_somebody_has_connected(void **state) {
    world        *w = *state;
    saros_handle  listener = {0}, server = {0};
    saros_address address;
    told          poll = {0};
    listen_at(w, &listener, &address, SAROS_INET);
    start(w, &poll, SAROS_OP_POLL, &listener, NULL, SAROS_READABLE);
    steps(w, 2);
    assert_int_equal(poll.times, 0);
    int fd = raw_connect(&address);
    assert_int_equal(await(w, &poll), SAROS_READABLE);
    assert_result(perform(w, SAROS_OP_ACCEPT, &listener, &server, 0), 0);
    raw_close(fd);
    close_now(w, &server);
    close_now(w, &listener);
}

static void a_poll_can_be_cancelled_and_ends_with_its_handle(void **state) {
    world       *w = *state;
    saros_handle ends[2];
    told         polls[2] = {0};
    open_two(w, ends);
    for (int i = 0; i < 2; i++) start(w, &polls[i], SAROS_OP_POLL, &ends[0], NULL, SAROS_READABLE);
    steps(w, 2);
    saros_cancel(w->loop, &polls[0].op);
    assert_result(await(w, &polls[0]), SAROS_ECANCELED);
    assert_int_equal(polls[1].times, 0);
    close_now(w, &ends[0]);
    assert_result(polls[1].result, SAROS_ECLOSED);
    start(w, &polls[0], SAROS_OP_POLL, &ends[1], NULL, SAROS_READABLE);
    assert_int_equal(await(w, &polls[0]), SAROS_READABLE);
    close_two(w, ends);
}

static void a_poll_for_nothing_or_for_something_else_is_refused(void **state) {
    world       *w = *state;
    saros_handle ends[2], empty = {0};
    open_two(w, ends);
    assert_result(poll_for(w, &ends[0], 0), SAROS_EINVAL);
    assert_result(poll_for(w, &ends[0], 4), SAROS_EINVAL);
    assert_result(poll_for(w, &empty, BOTH), SAROS_ECLOSED);
    close_two(w, ends);
}

/* ---- on descriptors of others ----------------------------------------------------------------------------------- */

static void a_borrowed_descriptor_stays_its_owners(void **state) {
    kernel_only(*state);
    world       *w = *state;
    saros_handle handle = {0};
    told         poll = {0};
    int          fds[2];
    raw_pair(fds);
    for (int i = 0; i < 3; i++) {
        assert_result(borrow(w, &handle, fds[0]), 0);
        assert_int_equal(poll_for(w, &handle, BOTH), SAROS_WRITABLE);
        start(w, &poll, SAROS_OP_POLL, &handle, NULL, SAROS_READABLE);
        steps(w, 2);
        assert_int_equal(poll.times, 0);
        raw_write(fds[1], "abc", 3);
        assert_int_equal(await(w, &poll), SAROS_READABLE);
        if (i == 2) start(w, &poll, SAROS_OP_POLL, &handle, NULL, SAROS_READABLE); /* not told again before the close */
        close_now(w, &handle);
        raw_read(fds[0], buffer, 3); /* it is still there, and may wait as before */
        assert_memory_equal(buffer, "abc", 3);
    }
    raw_close(fds[0]), raw_close(fds[1]);
}

static void a_borrowed_descriptor_is_for_polls_alone(void **state) {
    kernel_only(*state);
    world       *w = *state;
    saros_handle handle = {0}, other = {0};
    int          fds[2];
    raw_pair(fds);
    assert_result(borrow(w, &handle, fds[0]), 0);
    assert_result(perform(w, SAROS_OP_RECV, &handle, buffer, 1), SAROS_ENOTCONN);
    assert_result(perform(w, SAROS_OP_RECV, &handle, NULL, 0), SAROS_ENOTCONN);
    assert_result(perform(w, SAROS_OP_SEND, &handle, "x", 1), SAROS_ENOTCONN);
    assert_result(perform(w, SAROS_OP_SHUTDOWN, &handle, NULL, 0), SAROS_ENOTCONN);
    assert_result(perform(w, SAROS_OP_ACCEPT, &handle, &other, 0), SAROS_EINVAL);
    assert_result(borrow(w, &handle, fds[0]), SAROS_EISCONN);
    close_now(w, &handle);
    assert_result(perform(w, SAROS_OP_ADOPT, &handle, NULL, (size_t)fds[0]),
                  0); /* nothing of it is left in the handle */
    send_all(w, &handle, "x", 1);
    raw_read(fds[1], buffer, 1);
    close_now(w, &handle);
    raw_close(fds[1]);
}

static void two_may_wait_for_both_sides_of_one_descriptor(void **state) {
    kernel_only(*state);
    world       *w = *state;
    saros_handle handle = {0};
    told         in = {0}, out = {0};
    int          fds[2];
    raw_pair(fds);
    raw_never_wait(fds[0]);
    assert_result(borrow(w, &handle, fds[0]), 0);
    for (int first = 0; first < 2; first++) {
        while (send(fds[0], buffer, sizeof buffer, MSG_NOSIGNAL) > 0) {}
        start(w, &in, SAROS_OP_POLL, &handle, NULL, SAROS_READABLE);
        start(w, &out, SAROS_OP_POLL, &handle, NULL, SAROS_WRITABLE);
        steps(w, 2);
        assert_int_equal(in.times + out.times, 0);
        saros_cancel(w->loop, first ? &in.op : &out.op); /* dropping one keeps the other */
        assert_result(await(w, first ? &in : &out), SAROS_ECANCELED);
        if (first) {
            raw_never_wait(fds[1]);
            for (int i = 0; i < 5000 && out.times == 0; i++) (void)!recv(fds[1], buffer, sizeof buffer, 0), steps(w, 1);
            assert_int_equal(await(w, &out), SAROS_WRITABLE);
        } else {
            raw_write(fds[1], "x", 1);
            assert_int_equal(await(w, &in), SAROS_READABLE);
            raw_read(fds[0], buffer, 1);
        }
    }
    close_now(w, &handle);
    raw_close(fds[0]), raw_close(fds[1]);
}

static void what_is_closed_cannot_be_borrowed(void **state) {
    kernel_only(*state);
    world       *w = *state;
    saros_handle handle = {0};
    int          fds[2];
    raw_pair(fds);
    raw_close(fds[0]), raw_close(fds[1]);
    assert_result(borrow(w, &handle, fds[0]), SAROS_EBADF);
    assert_result(borrow(w, &handle, -1), SAROS_EBADF);
    assert_int_equal(handle.state, SAROS_HANDLE_EMPTY);
}

/* The descriptor is closed while somebody waits. Who can know is told, once; the others hear of it with the close. */
static void a_borrowed_descriptor_closed_behind_our_back_disturbs_nobody(void **state) {
    kernel_only(*state);
    world       *w = *state;
    saros_handle handle = {0}, ends[2];
    told         poll = {0}, receive = {0};
    for (int copied = 0; copied < 2; copied++) {
        int fds[2], copy = -1;
        open_two(w, ends);
        raw_pair(fds);
        assert_result(borrow(w, &handle, fds[0]), 0);
        start(w, &poll, SAROS_OP_POLL, &handle, NULL, SAROS_READABLE);
        steps(w, 2);
        if (copied) copy = raw_copy(fds[0]); /* the kernel goes on telling of the number that is gone */
        raw_close(fds[0]);
        if (copied) raw_write(fds[1], "x", 1);
        start(w, &receive, SAROS_OP_RECV, &ends[0], buffer, 1); /* something that keeps the loop asking */
        assert_in_range(waits_during(w, 30 * MILLISECOND), 1, 8);
        assert_in_range(poll.times, 0, 1);
        if (poll.times == 1) assert_result(poll.result, SAROS_EBADF);
        if (driver_is("poll") || driver_is("select") || (driver_is("iocp") && !copied)) assert_int_equal(poll.times, 1);
        send_all(w, &ends[1], "x", 1);
        assert_int_equal(await(w, &receive), 1);
        close_now(w, &handle);
        assert_int_equal(poll.times, 1);
        if (copied) raw_close(copy);
        raw_close(fds[1]);
        close_two(w, ends);
    }
}

#ifdef _WIN32
#define SYSTEMS_OWN
#else

static void what_never_waits_is_always_ready(void **state) {
    kernel_only(*state);
    world       *w = *state;
    saros_handle handle = {0};
    char         name[] = "/tmp/saros-test-XXXXXX";
    const int    fds[] = {mkstemp(name), open("/", O_RDONLY | O_CLOEXEC), open("/dev/null", O_RDWR | O_CLOEXEC),
                          open("/dev/full", O_RDWR | O_CLOEXEC)};
    unlink(name);
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++) {
        if (fds[i] < 0) continue; /* not every system has each */
        assert_result(borrow(w, &handle, fds[i]), 0);
        assert_int_equal(poll_for(w, &handle, SAROS_READABLE), SAROS_READABLE);
        assert_int_equal(poll_for(w, &handle, BOTH), BOTH);
        close_now(w, &handle);
        close(fds[i]);
    }
}

static void pipes_can_be_borrowed(void **state) {
    kernel_only(*state);
    world       *w = *state;
    saros_handle ends[2] = {0};
    told         poll = {0};
    int          fds[2];
    assert_int_equal(pipe(fds), 0);
    for (int i = 0; i < 2; i++) assert_result(borrow(w, &ends[i], fds[i]), 0);
    assert_int_equal(poll_for(w, &ends[1], SAROS_WRITABLE), SAROS_WRITABLE);
    start(w, &poll, SAROS_OP_POLL, &ends[0], NULL, SAROS_READABLE);
    steps(w, 2);
    assert_int_equal(poll.times, 0);
    for (int i = 0; i < 2; i++) assert_false(fcntl(fds[i], F_GETFL) & O_NONBLOCK); /* others have it, too */
    assert_int_equal(write(fds[1], "x", 1), 1);
    assert_int_equal(await(w, &poll), SAROS_READABLE);
    assert_int_equal(read(fds[0], buffer, 1), 1);
    start(w, &poll, SAROS_OP_POLL, &ends[0], NULL, SAROS_READABLE);
    steps(w, 2);
    close_now(w, &ends[1]);
    assert_int_equal(poll.times, 0);
    close(fds[1]);
    assert_int_equal(await(w, &poll), SAROS_READABLE); /* the end */
    close_now(w, &ends[0]);
    close(fds[0]);
}

/* select's sets end at 1,024: a clean refusal, and nothing is written behind them. */
static void a_descriptor_above_1024_is_watched_or_refused(void **state) {
    kernel_only(*state);
    world        *w = *state;
    saros_handle  handle = {0};
    told          poll = {0};
    struct rlimit before, more;
    int           fds[2];
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    more = before;
    if (more.rlim_cur < 4096) more.rlim_cur = more.rlim_max < 4096 ? more.rlim_max : 4096;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &more), 0);
    raw_pair(fds);
    int high = fcntl(fds[0], F_DUPFD_CLOEXEC, 2000);
    assert_true(high >= 2000);
    assert_result(borrow(w, &handle, high), 0);
    assert_int_equal(poll_for(w, &handle, SAROS_WRITABLE), SAROS_WRITABLE); /* needs no watching */
    start(w, &poll, SAROS_OP_POLL, &handle, NULL, SAROS_READABLE);
    steps(w, 2);
    if (driver_is("select")) assert_result(await(w, &poll), SAROS_ELIMIT);
    raw_write(fds[1], "x", 1);
    if (!driver_is("select")) assert_int_equal(await(w, &poll), SAROS_READABLE);
    close_now(w, &handle);
    close(high), raw_close(fds[0]), raw_close(fds[1]);
    setrlimit(RLIMIT_NOFILE, &before);
}

#define SYSTEMS_OWN                                                                  \
    WORLD_TEST(what_never_waits_is_always_ready), WORLD_TEST(pipes_can_be_borrowed), \
        WORLD_TEST(a_descriptor_above_1024_is_watched_or_refused),
#endif

int conform_ready(void) {
    const struct CMUnitTest tests[] = {WORLD_TEST(a_poll_is_told_what_holds_and_takes_nothing),
                                       WORLD_TEST(a_poll_for_room_waits_until_there_is_some),
                                       WORLD_TEST(an_end_shows_as_ready),
                                       WORLD_TEST(a_listener_is_readable_when_somebody_has_connected),
                                       WORLD_TEST(a_poll_can_be_cancelled_and_ends_with_its_handle),
                                       WORLD_TEST(a_poll_for_nothing_or_for_something_else_is_refused),
                                       WORLD_TEST(a_borrowed_descriptor_stays_its_owners),
                                       WORLD_TEST(a_borrowed_descriptor_is_for_polls_alone),
                                       WORLD_TEST(two_may_wait_for_both_sides_of_one_descriptor),
                                       WORLD_TEST(what_is_closed_cannot_be_borrowed),
                                       WORLD_TEST(a_borrowed_descriptor_closed_behind_our_back_disturbs_nobody),
                                       SYSTEMS_OWN};
    return cmocka_run_group_tests_name(group_name("ready"), tests, NULL, NULL);
}
