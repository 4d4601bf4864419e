/* test_oddities.c: the oddities of systems that the double of kqueue has where they are asked for, each as a sentence. */
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "double/test_double.h"

static void coarse_time_outs_end_at_ticks_and_one_late(void **state) {
    (void)state;
    begin_in("coarse");
    assert_true(time_of((struct timespec){.tv_nsec = 300000}) >= 20 * MILLISECOND);
    assert_true(time_of((struct timespec){.tv_nsec = 15 * MILLISECOND}) >= 30 * MILLISECOND);
    assert_true(time_of(at_once) < 10 * MILLISECOND);
}

static void early_time_outs_are_every_second_one(void **state) {
    int early = 0;
    (void)state;
    begin_in("early");
    for (int i = 0; i < 4; i++) early += time_of(soon) < 20 * MILLISECOND;
    assert_in_range(early, 1, 2);
}

static void mixed_in_are_the_events_behind_the_records(void **state) {
    struct kevent one;
    (void)state;
    begin_in("mixed");
    put(at.theirs, "x");
    EV_SET(&one, at.ours, EVFILT_READ, EV_ADD | EV_RECEIPT, 0, 0, 5);
    assert_int_equal(kevent(at.kq, &one, 1, at.got, MANY, &patience), 2);
    assert_true(at.got[0].flags & EV_ERROR);
    assert_false(at.got[1].flags & EV_ERROR);
    assert_int_equal(kevent(at.kq, &one, 1, at.got, 1, &patience), 1);
}

static void lost_are_records_that_do_not_fill_the_list(void **state) {
    struct kevent one;
    (void)state;
    begin_in("lost");
    EV_SET(&one, at.ours, EVFILT_READ, EV_ADD | EV_RECEIPT, 0, 0, 5);
    saros_time began = clock_now();
    assert_int_equal(kevent(at.kq, &one, 1, at.got, MANY, &soon), 0);
    assert_true(clock_now() - began >= 20 * MILLISECOND);
    assert_int_equal(change(at.ours, EVFILT_READ, EV_ADD, 0), 0); /* with an exact list it is there */
}

static void taken_is_the_error_from_its_socket(void **state) {
    int       error = 0;
    socklen_t size = sizeof error;
    (void)state;
    begin_in("taken");
    int fd = refused_connect();
    change(fd, EVFILT_WRITE, EV_ADD, 0);
    assert_int_equal(look_for_long(), 1);
    assert_true(at.got[0].flags & EV_EOF);
    assert_int_equal(at.got[0].fflags, ECONNREFUSED);
    assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size), 0);
    assert_int_equal(error, 0);
    close(fd);
}

static void taken_is_a_reset_also_behind_the_end(void **state) {
    int listener, ends[2];
    (void)state;
    begin_in("taken");
    tcp_pair(&listener, ends);
    struct linger hard = {.l_onoff = 1};
    assert_int_equal(shutdown(ends[1], SHUT_WR), 0);
    assert_int_equal(setsockopt(ends[1], SOL_SOCKET, SO_LINGER, &hard, sizeof hard), 0);
    assert_int_equal(close(ends[1]), 0);
    change(ends[0], EVFILT_WRITE, EV_ADD, 0);
    assert_int_equal(look_for_long(), 1);
    assert_true(at.got[0].flags & EV_EOF);
    assert_int_equal(at.got[0].fflags, ECONNRESET);
    close(ends[0]);
    close(listener);
}

static void kept_is_an_event_whose_descriptor_was_closed(void **state) {
    (void)state;
    begin_in("kept");
    change(at.ours, EVFILT_READ, EV_ADD, 0);
    put(at.theirs, "x");
    int number = at.ours, copy = dup(at.ours);
    close(at.ours);
    assert_int_equal(look(), 0); /* it does not come any more */
    assert_int_equal(dup2(copy, number), number);
    assert_int_equal(change(number, EVFILT_READ, EV_ADD, 0), EAGAIN);
    assert_int_equal(change(number, EVFILT_READ, EV_DELETE, 0), 0);
    assert_int_equal(change(number, EVFILT_READ, EV_ADD, 0), 0);
    assert_int_equal(look(), 1);
    close(copy);
}

static void short_lists_have_two_events_and_all_have_their_turn(void **state) {
    int ends[6][2], seen[6] = {0}, all = 0;
    (void)state;
    begin_in("short");
    for (int i = 0; i < 6; i++) {
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends[i]), 0);
        change(ends[i][0], EVFILT_WRITE, EV_ADD, i);
    }
    for (int i = 0; i < 3; i++) {
        assert_int_equal(look(), 2);
        for (int k = 0; k < 2; k++) seen[at.got[k].udata]++;
    }
    for (int i = 0; i < 6; i++) {
        all += seen[i] > 0;
        close(ends[i][0]);
        close(ends[i][1]);
    }
    assert_int_equal(all, 6);
}

static void cleared_flags_are_those_of_the_event_alone(void **state) {
    (void)state;
    begin_in("cleared");
    change(at.ours, EVFILT_READ, EV_ADD, 0);
    shutdown(at.theirs, SHUT_WR);
    assert_int_equal(look(), 1);
    assert_int_equal(at.got[0].flags, EV_EOF);
}

static void listen_one_is_the_count_of_every_listener(void **state) {
    (void)state;
    struct sockaddr_in name;
    socklen_t          size = sizeof name;
    int                listener, ends[2], more[2];
    begin_in("listen-one");
    tcp_pair(&listener, ends);
    getsockname(listener, (struct sockaddr *)&name, &size);
    for (int i = 0; i < 2; i++) {
        more[i] = socket(AF_INET, SOCK_STREAM, 0);
        assert_int_equal(connect(more[i], (struct sockaddr *)&name, size), 0);
    }
    change(listener, EVFILT_READ, EV_ADD, 0);
    assert_int_equal(look_for_long(), 1);
    assert_int_equal(at.got[0].data, 1);
    close(more[0]);
    close(more[1]);
    close_three(listener, ends);
}

static void interrupted_is_every_third_wait(void **state) {
    int interrupted = 0;
    (void)state;
    begin_in("interrupted");
    for (int i = 0; i < 9; i++)
        if (kevent(at.kq, NULL, 0, at.got, MANY, &(struct timespec){.tv_nsec = 1000}) < 0) {
            assert_int_equal(errno, EINTR);
            interrupted++;
        }
    assert_int_equal(interrupted, 3);
}

static void a_mode_that_there_is_not_ends_the_program(void **state) {
    int status;
    (void)state;
    begin_in("");
    pid_t child = fork();
    if (child == 0) {
        close(STDERR_FILENO);
        signal(SIGABRT, SIG_DFL);
        setenv("SAROS_DOUBLE", "coarse,no-such", 1);
        kqueue();
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

int test_oddities(void) {
#define ODDITY(test) cmocka_unit_test_teardown(test, end)
    const struct CMUnitTest oddities[] = {
        ODDITY(coarse_time_outs_end_at_ticks_and_one_late),
        ODDITY(early_time_outs_are_every_second_one),
        ODDITY(mixed_in_are_the_events_behind_the_records),
        ODDITY(lost_are_records_that_do_not_fill_the_list),
        ODDITY(taken_is_the_error_from_its_socket),
        ODDITY(taken_is_a_reset_also_behind_the_end),
        ODDITY(kept_is_an_event_whose_descriptor_was_closed),
        ODDITY(short_lists_have_two_events_and_all_have_their_turn),
        ODDITY(cleared_flags_are_those_of_the_event_alone),
        ODDITY(listen_one_is_the_count_of_every_listener),
        ODDITY(interrupted_is_every_third_wait),
        ODDITY(a_mode_that_there_is_not_ends_the_program),
    };
#undef ODDITY
    return cmocka_run_group_tests_name("oddities of the double of kqueue", oddities, NULL, NULL);
}
