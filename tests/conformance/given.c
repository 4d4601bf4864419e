/* given.c: descriptors that somebody else has made: adopted ones, pipes, pairs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifndef _WIN32
#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#endif

#include "conformance/conformance.h"

static char buffer[70000];

static int64_t adopt(world *w, saros_handle *handle, int fd) {
    return perform(w, SAROS_OP_ADOPT, handle, NULL, (size_t)(saros_os_handle)fd);
}

/* ---- pairs ------------------------------------------------------------------------------------------------------ */

static void the_ends_of_a_pair_carry_bytes_to_each_other(void **state) {
    world       *w = *state;
    saros_handle ends[2];
    told         receive = {0};
    open_two(w, ends);
    for (int i = 0; i < 2; i++) {
        start(w, &receive, SAROS_OP_RECV, &ends[!i], buffer, sizeof buffer);
        steps(w, 2);
        assert_int_equal(receive.times, 0);
        send_all(w, &ends[i], "moonlight", 9);
        assert_int_equal(await(w, &receive), 9);
        assert_memory_equal(buffer, "moonlight", 9);
    }
    close_two(w, ends);
}

static void a_pair_is_there_at_once(void **state) {
    world       *w = *state;
    saros_handle ends[2] = {0};
    saros_op     op = {.kind = SAROS_OP_PAIR, .handle = &ends[0], .accepted = &ends[1]};
    assert_true(saros_submit_now(w->loop, &op));
    assert_result(op.result, 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(ends[i].state, SAROS_HANDLE_OPEN);
        if (simulated()) continue;
        assert_true(raw_is_ours_alone((int)ends[i].os));
        assert_true(raw_never_waits((int)ends[i].os));
    }
    close_two(w, ends);
}

static void a_pair_needs_two_empty_handles(void **state) {
    world       *w = *state;
    saros_handle ends[2], other = {0};
    open_two(w, ends);
    assert_result(perform(w, SAROS_OP_PAIR, &other, &ends[0], 0), SAROS_EISCONN);
    assert_result(perform(w, SAROS_OP_PAIR, &ends[0], &other, 0), SAROS_EISCONN);
    assert_result(perform(w, SAROS_OP_PAIR, &other, &other, 0), SAROS_EINVAL);
    assert_int_equal(other.state, SAROS_HANDLE_EMPTY);
    close_two(w, ends);
}

static void the_end_of_one_end_is_seen_by_the_other(void **state) {
    world       *w = *state;
    saros_handle ends[2];
    for (int closes = 0; closes < 2; closes++) {
        open_two(w, ends);
        send_all(w, &ends[0], "last", 4);
        if (closes) close_now(w, &ends[0]);
        else assert_result(perform(w, SAROS_OP_SHUTDOWN, &ends[0], NULL, 0), 0);
        recv_all(w, &ends[1], buffer, 4);
        assert_result(perform(w, SAROS_OP_RECV, &ends[1], buffer, 1), 0);
        if (!closes) send_all(w, &ends[1], "back", 4), recv_all(w, &ends[0], buffer, 4);
        close_two(w, ends);
    }
}

/* ---- adopted sockets -------------------------------------------------------------------------------------------- */

/* Two sockets that are connected, past the loop. */
static void raw_pair(int fds[2]) {
    saros_address address;
    int           listener = raw_listen(&address, SAROS_INET, 1);
    fds[0] = raw_connect(&address);
    fds[1] = (int)accept(listener, NULL, NULL);
    assert_true(fds[1] >= 0);
    raw_close(listener);
}

static void an_adopted_socket_is_the_loops(void **state) {
    kernel_only(*state);
    world       *w = *state;
    saros_handle ours = {0};
    told         receive = {0};
    int          fds[2];
    raw_pair(fds);
    assert_result(adopt(w, &ours, fds[0]), 0);
    assert_int_equal(ours.os, fds[0]);
    assert_true(raw_is_ours_alone(fds[0]));
    assert_true(raw_never_waits(fds[0]));
    for (int lent = 0; lent < 2; lent++) {
        start(w, &receive, SAROS_OP_RECV, &ours, lent ? NULL : buffer, lent ? 0 : sizeof buffer);
        steps(w, 2);
        assert_int_equal(receive.times, 0);
        raw_write(fds[1], "adopted", 7);
        assert_int_equal(await(w, &receive), 7);
    }
    send_all(w, &ours, "and back", 8);
    raw_read(fds[1], buffer, 8);
    assert_memory_equal(buffer, "and back", 8);
    assert_result(perform(w, SAROS_OP_SHUTDOWN, &ours, NULL, 0), 0);
    assert_true(raw_ended(fds[1]));
    raw_close(fds[1]);
    assert_result(perform(w, SAROS_OP_RECV, &ours, buffer, 1), 0);
    close_now(w, &ours); /* the teardown sees that nothing is open */
}

static void an_adopted_listener_accepts(void **state) {
    kernel_only(*state);
    world        *w = *state;
    saros_handle  listener = {0}, server = {0};
    saros_address address;
    told          accept_op = {0};
    int           fd = raw_listen(&address, SAROS_INET, 4);
    assert_result(adopt(w, &listener, fd), 0);
    assert_result(perform(w, SAROS_OP_RECV, &listener, buffer, 1), SAROS_ENOTCONN);
    for (int i = 0; i < 2; i++) {
        start(w, &accept_op, SAROS_OP_ACCEPT, &listener, &server, 0);
        if (i == 0) steps(w, 2);
        int client = raw_connect(&address);
        assert_result(await(w, &accept_op), 0);
        raw_write(client, "x", 1);
        recv_all(w, &server, buffer, 1);
        raw_close(client);
        close_now(w, &server);
    }
    close_now(w, &listener);
}

static void a_handle_that_is_open_adopts_nothing(void **state) {
    kernel_only(*state);
    world       *w = *state;
    saros_handle ends[2];
    int          fds[2];
    open_two(w, ends);
    raw_pair(fds);
    assert_result(adopt(w, &ends[0], fds[0]), SAROS_EISCONN);
    close_two(w, ends);
    raw_close(fds[0]), raw_close(fds[1]); /* still the caller's */
}

static void a_simulated_world_has_no_descriptors(void **state) {
    world       *w = *state;
    saros_handle handle = {0};
    if (!simulated()) world_skip(w, "this is a real one");
    assert_result(adopt(w, &handle, 0), SAROS_ENOSYS);
    assert_result(perform(w, SAROS_OP_BORROW, &handle, NULL, 0), SAROS_ENOSYS);
    assert_int_equal(handle.state, SAROS_HANDLE_EMPTY);
}

#ifdef _WIN32

static void what_is_no_socket_is_refused(void **state) {
    kernel_only(*state);
    world       *w = *state;
    saros_handle handle = {0};
    assert_result(adopt(w, &handle, 12344), SAROS_ENOTSOCK);
    assert_int_equal(handle.state, SAROS_HANDLE_EMPTY);
}

#define SYSTEMS_OWN WORLD_TEST(what_is_no_socket_is_refused),

#else

/* No descriptor is left for the second end, or for both. */
static void a_pair_for_which_there_is_no_room_leaves_nothing(void **state) {
    kernel_only(*state);
    world        *w = *state;
    saros_handle  ends[2] = {0};
    struct rlimit before, less;
    int           open_before = descriptors_open(), lowest = dup(0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    assert_true(lowest >= 0);
    close(lowest);
    for (int room = 0; room < 2; room++) {
        less = before;
        less.rlim_cur = (rlim_t)lowest + (rlim_t)room;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &less), 0);
        int64_t result = perform(w, SAROS_OP_PAIR, &ends[0], &ends[1], 0);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
        assert_result(result, SAROS_EMFILE);
        assert_int_equal(ends[0].state, SAROS_HANDLE_EMPTY);
        assert_int_equal(ends[1].state, SAROS_HANDLE_EMPTY);
        assert_int_equal(descriptors_open(), open_before);
    }
}

/* ---- pipes ------------------------------------------------------------------------------------------------------ */

static void raw_pipe(int fds[2]) {
    assert_int_equal(pipe(fds), 0);
    for (int i = 0; i < 2; i++) fcntl(fds[i], F_SETFD, FD_CLOEXEC);
}

static void the_reading_end_of_a_pipe_gives_bytes_and_then_the_end(void **state) {
    kernel_only(*state);
    world       *w = *state;
    saros_handle in = {0};
    told         receive = {0};
    int          fds[2];
    for (int lent = 0; lent < 2; lent++) {
        raw_pipe(fds);
        assert_result(adopt(w, &in, fds[0]), 0);
        for (int i = 0; i < 20; i++) {
            start(w, &receive, SAROS_OP_RECV, &in, lent ? NULL : buffer, lent ? 0 : sizeof buffer);
            if (i % 3) steps(w, 2), assert_int_equal(receive.times, 0);
            assert_int_equal(write(fds[1], "water", 5), 5);
            assert_int_equal(await(w, &receive), 5);
            if (!lent) assert_memory_equal(buffer, "water", 5);
        }
        assert_int_equal(write(fds[1], "last", 4), 4);
        recv_all(w, &in, buffer, 4);
        start(w, &receive, SAROS_OP_RECV, &in, lent ? NULL : buffer, lent ? 0 : 1);
        steps(w, 2);
        assert_int_equal(receive.times, 0);
        close(fds[1]);
        assert_result(await(w, &receive), 0);
        assert_result(perform(w, SAROS_OP_RECV, &in, buffer, 1), 0);
        close_now(w, &in);
    }
}

/* Nobody has asked for a handler, so a SIGPIPE would end this program; and none may be left for later. */
static void check_no_signal(void) {
    sigset_t         pending, mask;
    struct sigaction now;
    assert_int_equal(sigaction(SIGPIPE, NULL, &now), 0);
    assert_true(now.sa_handler == SIG_DFL);
    assert_int_equal(sigpending(&pending), 0);
    assert_false(sigismember(&pending, SIGPIPE));
    assert_int_equal(pthread_sigmask(SIG_BLOCK, NULL, &mask), 0);
    assert_false(sigismember(&mask, SIGPIPE));
}

static void a_write_to_a_pipe_waits_for_room_and_hears_that_its_reader_left(void **state) {
    kernel_only(*state);
    world       *w = *state;
    saros_handle out = {0};
    told         send_op = {0};
    int          fds[2];
    raw_pipe(fds);
    assert_result(adopt(w, &out, fds[1]), 0);
    fill_up(w, &send_op, &out);
    for (int i = 0; i < 3; i++) {
        size_t got = 0;
        while (send_op.times == 0) {
            ssize_t some = got < 300000 ? read(fds[0], buffer, 8192) : 0;
            assert_true(some > 0);
            got += (size_t)some;
            steps(w, 2);
        }
        assert_true(send_op.result > 0);
        fill_up(w, &send_op, &out);
    }
    close(fds[0]);
    assert_result(await(w, &send_op), SAROS_EPIPE);
    assert_result(perform(w, SAROS_OP_SEND, &out, "x", 1), SAROS_EPIPE);
    check_no_signal();
    close_now(w, &out);
}

static void a_sigpipe_that_is_pending_already_is_left_alone(void **state) {
    kernel_only(*state);
    world       *w = *state;
    saros_handle out = {0};
    sigset_t     only, before, pending;
    int          fds[2], number;
    raw_pipe(fds);
    close(fds[0]);
    assert_result(adopt(w, &out, fds[1]), 0);
    sigemptyset(&only);
    sigaddset(&only, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &only, &before);
    for (int mine = 0; mine < 2; mine++) {
        if (mine) raise(SIGPIPE);
        assert_result(perform(w, SAROS_OP_SEND, &out, "x", 1), SAROS_EPIPE);
        sigpending(&pending);
        assert_int_equal(sigismember(&pending, SIGPIPE), mine);
    }
    sigwait(&only, &number);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    struct sigaction ignore = {.sa_handler = SIG_IGN}, was;
    sigaction(SIGPIPE, &ignore, &was); /* no signal comes at all: nothing may wait for one */
    assert_result(perform(w, SAROS_OP_SEND, &out, "x", 1), SAROS_EPIPE);
    sigaction(SIGPIPE, &was, NULL);
    check_no_signal();
    close_now(w, &out);
}

static void the_end_of_sending_closes_a_pipe(void **state) {
    kernel_only(*state);
    world       *w = *state;
    saros_handle out = {0}, in = {0};
    told         send_op = {0};
    int          fds[2], waits = 0;
    raw_pipe(fds);
    assert_result(adopt(w, &out, fds[1]), 0);
    fill_up(w, &send_op, &out); /* so that it was watched */
    while (send_op.times == 0) assert_true(read(fds[0], buffer, 4096) > 0), steps(w, 2), assert_true(++waits < 100);
    assert_result(perform(w, SAROS_OP_SHUTDOWN, &out, NULL, 0), 0);
    while (read(fds[0], buffer, sizeof buffer) > 0) {}
    assert_int_equal(read(fds[0], buffer, 1), 0); /* the end, though the handle is open */
    assert_result(perform(w, SAROS_OP_SHUTDOWN, &out, NULL, 0), 0);
    assert_result(perform(w, SAROS_OP_SEND, &out, "x", 1), SAROS_EPIPE);
    assert_result(perform(w, SAROS_OP_RECV, &out, buffer, 1), SAROS_EOPNOTSUPP);
    assert_result(adopt(w, &in, fds[0]), 0);
    assert_result(perform(w, SAROS_OP_SHUTDOWN, &in, NULL, 0), SAROS_ENOTCONN);
    close_now(w, &in);
    close_now(w, &out);
}

static void an_end_of_a_pipe_goes_one_way_and_has_no_name(void **state) {
    kernel_only(*state);
    world        *w = *state;
    saros_handle  ends[2] = {0};
    saros_address name;
    int           fds[2];
    raw_pipe(fds);
    for (int i = 0; i < 2; i++) assert_result(adopt(w, &ends[i], fds[i]), 0);
    for (int i = 0; i < 2; i++) {
        assert_result(perform(w, SAROS_OP_SEND, &ends[0], "x", 1), SAROS_EOPNOTSUPP);
        assert_result(perform(w, SAROS_OP_RECV, &ends[1], buffer, 1), SAROS_EOPNOTSUPP);
        assert_result(perform(w, SAROS_OP_RECV, &ends[1], NULL, 0), SAROS_EOPNOTSUPP);
        assert_result(perform(w, SAROS_OP_NAME, &ends[i], &name, 0), SAROS_ENOTSOCK);
    }
    send_all(w, &ends[1], "still", 5);
    recv_all(w, &ends[0], buffer, 5);
    close_two(w, ends);
}

static void a_receive_from_a_pipe_can_be_cancelled_and_closed(void **state) {
    kernel_only(*state);
    world       *w = *state;
    saros_handle in = {0};
    told         receive = {0};
    int          fds[2];
    raw_pipe(fds);
    assert_result(adopt(w, &in, fds[0]), 0);
    for (int lent = 0; lent < 2; lent++) {
        start(w, &receive, SAROS_OP_RECV, &in, lent ? NULL : buffer, lent ? 0 : 10);
        steps(w, 2);
        saros_cancel(w->loop, &receive.op);
        assert_result(await(w, &receive), SAROS_ECANCELED);
        assert_int_equal(write(fds[1], "kept", 4), 4);
        recv_all(w, &in, buffer, 4);
    }
    start(w, &receive, SAROS_OP_RECV, &in, buffer, 10);
    steps(w, 2);
    close_now(w, &in);
    assert_result(receive.result, SAROS_ECLOSED);
    close(fds[1]);
}

static void a_terminal_is_read_by_the_line(void **state) {
    kernel_only(*state);
    world       *w = *state;
    saros_handle ours = {0};
    told         receive = {0};
    int          master = posix_openpt(O_RDWR | O_NOCTTY);
    if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0) {
        if (master >= 0) close(master);
        world_skip(w, "no pseudo-terminals here");
    }
    int fd = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC); /* NOLINT: nobody else asks for a name */
    assert_result(adopt(w, &ours, fd), 0);
    for (int lent = 0; lent < 2; lent++) {
        start(w, &receive, SAROS_OP_RECV, &ours, lent ? NULL : buffer, lent ? 0 : sizeof buffer);
        assert_int_equal(write(master, "ha", 2), 2);
        steps(w, 3);
        assert_int_equal(receive.times, 0); /* a line is not yet whole */
        assert_int_equal(write(master, "lf\n", 3), 3);
        assert_int_equal(await(w, &receive), 5);
    }
    send_all(w, &ours, "back", 4);
    assert_true(read(master, buffer, 100) >= 4); /* with the echo of what was typed */
    assert_result(perform(w, SAROS_OP_SHUTDOWN, &ours, NULL, 0), SAROS_ENOTCONN);
    close_now(w, &ours);
    close(master);
}

/* ---- what nobody can wait for ----------------------------------------------------------------------------------- */

static void what_cannot_be_a_stream_is_refused_and_stays_the_callers(void **state) {
    kernel_only(*state);
    world       *w = *state;
    saros_handle handle = {0};
    char         name[] = "/tmp/saros-test-XXXXXX";
    const int    fds[] = {mkstemp(name),
                          open("/", O_RDONLY),
                          open("/dev/null", O_RDWR),
                          open("/dev/full", O_RDWR),
                          socket(AF_INET, SOCK_DGRAM, 0),
                          socket(AF_UNIX, SOCK_SEQPACKET, 0)};
    unlink(name);
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++) {
        if (fds[i] < 0) continue; /* not every system has each */
        int status = fcntl(fds[i], F_GETFL), flags = fcntl(fds[i], F_GETFD);
        assert_result(adopt(w, &handle, fds[i]), SAROS_EOPNOTSUPP);
        assert_int_equal(handle.state, SAROS_HANDLE_EMPTY);
        assert_int_equal(fcntl(fds[i], F_GETFL), status);
        assert_int_equal(fcntl(fds[i], F_GETFD), flags);
        close(fds[i]);
        assert_result(adopt(w, &handle, fds[i]), SAROS_EBADF);
    }
    assert_result(adopt(w, &handle, -1), SAROS_EBADF);
    assert_result(perform(w, SAROS_OP_ADOPT, &handle, NULL, (size_t)1 << 32), SAROS_EBADF); /* not taken for 0 */
}

#define SYSTEMS_OWN                                                                                                \
    WORLD_TEST(a_pair_for_which_there_is_no_room_leaves_nothing),                                                  \
        WORLD_TEST(the_reading_end_of_a_pipe_gives_bytes_and_then_the_end),                                        \
        WORLD_TEST(a_write_to_a_pipe_waits_for_room_and_hears_that_its_reader_left),                               \
        WORLD_TEST(a_sigpipe_that_is_pending_already_is_left_alone), WORLD_TEST(the_end_of_sending_closes_a_pipe), \
        WORLD_TEST(an_end_of_a_pipe_goes_one_way_and_has_no_name),                                                 \
        WORLD_TEST(a_receive_from_a_pipe_can_be_cancelled_and_closed), WORLD_TEST(a_terminal_is_read_by_the_line), \
        WORLD_TEST(what_cannot_be_a_stream_is_refused_and_stays_the_callers),

#endif

int conform_given(void) {
    const struct CMUnitTest tests[] = {WORLD_TEST(the_ends_of_a_pair_carry_bytes_to_each_other),
                                       WORLD_TEST(a_pair_is_there_at_once),
                                       WORLD_TEST(a_pair_needs_two_empty_handles),
                                       WORLD_TEST(the_end_of_one_end_is_seen_by_the_other),
                                       WORLD_TEST(an_adopted_socket_is_the_loops),
                                       WORLD_TEST(an_adopted_listener_accepts),
                                       WORLD_TEST(a_handle_that_is_open_adopts_nothing),
                                       WORLD_TEST(a_simulated_world_has_no_descriptors),
                                       SYSTEMS_OWN};
    return cmocka_run_group_tests_name(group_name("given"), tests, NULL, NULL);
}
