/* test_double.c: the rules of kqueue that its test double keeps, each as a sentence. The oddities are in
 * test_oddities.c. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "double/test_double.h"

struct bench          at;
const struct timespec at_once = {0}, soon = {.tv_nsec = 20 * MILLISECOND}, patience = {.tv_sec = PATIENCE};

/* ---- helpers ---------------------------------------------------------------------------------------------------- */

int change(int fd, uint32_t filter, uint32_t action, intptr_t udata) {
    struct kevent one, record = {0};
    EV_SET(&one, fd, filter, action | EV_RECEIPT, 0, 0, udata);
    assert_int_equal(kevent(at.kq, &one, 1, &record, 1, &at_once), 1);
    assert_true(record.flags & EV_ERROR);
    assert_int_equal(record.ident, fd);
    return (int)record.data;
}

int look(void) { return kevent(at.kq, NULL, 0, at.got, MANY, &at_once); }
int look_for_long(void) { return kevent(at.kq, NULL, 0, at.got, MANY, &patience); }

void        put(int fd, const char *text) { assert_int_equal(write(fd, text, strlen(text)), strlen(text)); }
static void drain(int fd) {
    char bytes[100];
    assert_true(read(fd, bytes, sizeof bytes) > 0);
}

void tcp_pair(int *listener, int ends[2]) {
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t          size = sizeof name;
    *listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(*listener, (struct sockaddr *)&name, size) | listen(*listener, 10), 0);
    assert_int_equal(getsockname(*listener, (struct sockaddr *)&name, &size), 0);
    ends[0] = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(ends[0], (struct sockaddr *)&name, size), 0);
    ends[1] = accept(*listener, NULL, NULL);
    assert_true(ends[1] >= 0);
}

void close_three(int listener, const int ends[2]) {
    close(listener);
    close(ends[0]);
    close(ends[1]);
}

int refused_connect(void) {
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t          size = sizeof name;
    int                hole = socket(AF_INET, SOCK_STREAM, 0), fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(hole, (struct sockaddr *)&name, size), 0); /* taken, and not listening */
    assert_int_equal(getsockname(hole, (struct sockaddr *)&name, &size), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&name, size), -1);
    assert_int_equal(errno, EINPROGRESS);
    close(hole);
    return fd;
}

int begin_in(const char *modes) {
    int ends[2];
    setenv("SAROS_DOUBLE", modes, 1);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    at.kq = kqueue();
    at.ours = ends[0];
    at.theirs = ends[1];
    return at.kq < 0;
}
static int begin(void **state) {
    (void)state;
    return begin_in("");
}
int end(void **state) {
    (void)state;
    close(at.kq);
    close(at.ours);
    if (at.theirs >= 0) close(at.theirs);
    unsetenv("SAROS_DOUBLE");
    return 0;
}
#define RULE(test) cmocka_unit_test_setup_teardown(test, begin, end)

/* ---- events ----------------------------------------------------------------------------------------------------- */

static void an_event_comes_as_long_as_there_is_something(void **state) {
    (void)state;
    assert_int_equal(change(at.ours, EVFILT_READ, EV_ADD, 77), 0);
    assert_int_equal(look(), 0);
    put(at.theirs, "moon");
    for (int i = 0; i < 3; i++) {
        assert_int_equal(look(), 1);
        assert_int_equal(at.got[0].ident, at.ours);
        assert_int_equal(at.got[0].filter, EVFILT_READ);
        assert_int_equal(at.got[0].udata, 77);
        assert_int_equal(at.got[0].data, 4);
        assert_false(at.got[0].flags & (EV_EOF | EV_ERROR));
    }
    drain(at.ours);
    assert_int_equal(look(), 0);
}

static void reading_and_writing_are_two_events(void **state) {
    (void)state;
    assert_int_equal(change(at.ours, EVFILT_READ, EV_ADD, 1), 0);
    assert_int_equal(change(at.ours, EVFILT_WRITE, EV_ADD, 2), 0);
    assert_int_equal(look(), 1);
    assert_int_equal(at.got[0].filter, EVFILT_WRITE);
    put(at.theirs, "x");
    assert_int_equal(look(), 2);
    assert_int_equal(at.got[0].udata + at.got[1].udata, 3);
    assert_int_equal(change(at.ours, EVFILT_WRITE, EV_DELETE, 0), 0);
    assert_int_equal(look(), 1);
    assert_int_equal(at.got[0].filter, EVFILT_READ);
}

static void with_room_for_one_each_has_its_turn(void **state) {
    int seen[2] = {0};
    (void)state;
    assert_int_equal(change(at.ours, EVFILT_READ, EV_ADD, 0), 0);
    assert_int_equal(change(at.ours, EVFILT_WRITE, EV_ADD, 1), 0);
    put(at.theirs, "x");
    for (int i = 0; i < 4; i++) {
        assert_int_equal(kevent(at.kq, NULL, 0, at.got, 1, &at_once), 1);
        seen[at.got[0].udata]++;
    }
    assert_int_equal(seen[0], 2);
}

static void added_again_it_has_the_new_udata(void **state) {
    (void)state;
    change(at.ours, EVFILT_READ, EV_ADD, 1);
    change(at.ours, EVFILT_READ, EV_ADD, 2);
    put(at.theirs, "x");
    assert_int_equal(look(), 1);
    assert_int_equal(at.got[0].udata, 2);
    assert_int_equal(change(at.ours, EVFILT_READ, EV_DELETE, 0), 0);
    assert_int_equal(look(), 0); /* it was there once, and not twice */
}

static void the_flags_of_the_change_are_still_set_in_the_event(void **state) {
    (void)state;
    change(at.ours, EVFILT_WRITE, EV_ADD, 0);
    assert_int_equal(look(), 1);
    assert_int_equal(at.got[0].flags, EV_ADD | EV_RECEIPT);
}

/* ---- ends ------------------------------------------------------------------------------------------------------- */

static void an_end_with_bytes_left_is_told_together_with_them(void **state) {
    (void)state;
    change(at.ours, EVFILT_READ, EV_ADD, 0);
    put(at.theirs, "end");
    close(at.theirs);
    at.theirs = -1;
    assert_int_equal(look(), 1);
    assert_true(at.got[0].flags & EV_EOF);
    assert_int_equal(at.got[0].data, 3);
    drain(at.ours);
    assert_int_equal(look(), 1);
    assert_true(at.got[0].flags & EV_EOF);
    assert_int_equal(at.got[0].data, 0);
}

static void a_half_close_ends_the_peers_reading_and_not_its_writing(void **state) {
    (void)state;
    change(at.ours, EVFILT_READ, EV_ADD, 0);
    change(at.ours, EVFILT_WRITE, EV_ADD, 1);
    shutdown(at.theirs, SHUT_WR);
    assert_int_equal(look(), 2);
    for (int i = 0; i < 2; i++) assert_int_equal((at.got[i].flags & EV_EOF) != 0, at.got[i].filter == EVFILT_READ);
}

static void when_the_peer_is_gone_writing_has_ended_too(void **state) {
    (void)state;
    change(at.ours, EVFILT_WRITE, EV_ADD, 0);
    close(at.theirs);
    at.theirs = -1;
    assert_int_equal(look(), 1);
    assert_true(at.got[0].flags & EV_EOF);
}

static void ones_own_shutdown_ends_writing_and_not_reading(void **state) {
    int listener, ends[2];
    (void)state;
    tcp_pair(&listener, ends);
    change(ends[0], EVFILT_READ, EV_ADD, 0);
    change(ends[0], EVFILT_WRITE, EV_ADD, 1);
    shutdown(ends[0], SHUT_WR);
    assert_int_equal(look(), 1);
    assert_int_equal(at.got[0].filter, EVFILT_WRITE);
    assert_true(at.got[0].flags & EV_EOF);
    close_three(listener, ends);
}

static void a_refused_connect_is_the_end_of_writing(void **state) {
    int       fd = refused_connect(), error = 0;
    socklen_t size = sizeof error;
    (void)state;
    change(fd, EVFILT_WRITE, EV_ADD, 0);
    assert_int_equal(look_for_long(), 1);
    assert_true(at.got[0].flags & EV_EOF);
    assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size), 0);
    assert_int_equal(error, ECONNREFUSED); /* still the socket's */
    close(fd);
}

static void a_listener_tells_how_many_wait(void **state) {
    int listener, ends[2], more[2];
    (void)state;
    tcp_pair(&listener, ends);
    change(listener, EVFILT_READ, EV_ADD, 0);
    assert_int_equal(look(), 0);
    struct sockaddr_in name;
    socklen_t          size = sizeof name;
    getsockname(listener, (struct sockaddr *)&name, &size);
    for (int i = 0; i < 2; i++) {
        more[i] = socket(AF_INET, SOCK_STREAM, 0);
        assert_int_equal(connect(more[i], (struct sockaddr *)&name, size), 0);
    }
    assert_int_equal(look_for_long(), 1);
    assert_int_equal(at.got[0].data, 2);
    close(more[0]);
    close(more[1]);
    close_three(listener, ends);
}

/* ---- changes ---------------------------------------------------------------------------------------------------- */

static void records_alone_are_returned_and_at_once(void **state) {
    struct kevent changes[2];
    (void)state;
    put(at.theirs, "x"); /* an event that would be there */
    EV_SET(&changes[0], at.ours, EVFILT_READ, EV_ADD | EV_RECEIPT, 0, 0, 0);
    EV_SET(&changes[1], at.ours, EVFILT_WRITE, EV_DELETE, 0, 0, 0);
    assert_int_equal(kevent(at.kq, changes, 2, at.got, MANY, &patience), 2);
    assert_true(at.got[0].flags & at.got[1].flags & EV_ERROR);
    assert_int_equal(at.got[0].data, 0);
    assert_int_equal(at.got[1].data, ENOENT);
    assert_int_equal(look(), 1);
}

static void a_change_without_a_receipt_that_succeeds_leaves_no_record(void **state) {
    struct kevent one;
    (void)state;
    put(at.theirs, "x");
    EV_SET(&one, at.ours, EVFILT_READ, EV_ADD, 0, 0, 0);
    assert_int_equal(kevent(at.kq, &one, 1, at.got, MANY, &patience), 1);
    assert_false(at.got[0].flags & EV_ERROR); /* the call has waited, and this is the event */
}

static void a_failure_without_room_fails_the_call_and_leaves_out_the_changes_behind(void **state) {
    struct kevent changes[3];
    (void)state;
    put(at.theirs, "x");
    EV_SET(&changes[0], at.ours, EVFILT_READ, EV_ADD, 0, 0, 0);
    EV_SET(&changes[1], 9999, EVFILT_READ, EV_ADD, 0, 0, 0);
    EV_SET(&changes[2], at.ours, EVFILT_WRITE, EV_ADD, 0, 0, 0);
    assert_int_equal(kevent(at.kq, changes, 3, NULL, 0, &at_once), -1);
    assert_int_equal(errno, EBADF);
    assert_int_equal(look(), 1); /* the first was made, the last was not */
    assert_int_equal(at.got[0].filter, EVFILT_READ);
}

static void wrong_changes_are_told_by_their_errors(void **state) {
    (void)state;
    assert_int_equal(change(at.ours, EVFILT_READ, EV_DELETE, 0), ENOENT);
    assert_int_equal(change(9999, EVFILT_READ, EV_ADD, 0), EBADF);
    assert_int_equal(change(9999, EVFILT_READ, EV_DELETE, 0), EBADF);
    assert_int_equal(change(at.ours, 5, EV_ADD, 0), EINVAL);
    assert_int_equal(change(at.ours, EVFILT_READ, 0x4, 0), EINVAL); /* EV_ENABLE, which is not here */
    assert_int_equal(kevent(9999, NULL, 0, at.got, MANY, &at_once), -1);
    assert_int_equal(errno, EBADF);
    assert_int_equal(kevent(at.ours, NULL, 0, at.got, MANY, &at_once), -1);
    assert_int_equal(errno, EBADF);
}

/* ---- descriptors ------------------------------------------------------------------------------------------------ */

static void a_descriptor_that_is_closed_is_forgotten_also_where_a_copy_lives(void **state) {
    (void)state;
    change(at.ours, EVFILT_READ, EV_ADD, 1);
    put(at.theirs, "x");
    int number = at.ours, copy = dup(at.ours);
    close(at.ours);
    assert_int_equal(look(), 0);
    assert_int_equal(dup2(copy, number), number);
    assert_int_equal(change(number, EVFILT_READ, EV_DELETE, 0), ENOENT);
    assert_int_equal(change(number, EVFILT_READ, EV_ADD, 2), 0); /* the number can be used again */
    assert_int_equal(look(), 1);
    assert_int_equal(at.got[0].udata, 2);
    assert_int_equal(dup2(at.theirs, number), number); /* which closes it as well */
    assert_int_equal(look(), 0);
    close(copy);
}

static void a_kqueue_can_be_polled(void **state) {
    struct pollfd one = {.fd = at.kq, .events = POLLIN};
    (void)state;
    change(at.ours, EVFILT_READ, EV_ADD, 0);
    assert_int_equal(poll(&one, 1, 0), 0);
    put(at.theirs, "x");
    assert_int_equal(poll(&one, 1, 0), 1);
}

static void a_child_of_fork_has_no_kqueue(void **state) {
    int status;
    (void)state;
    change(at.ours, EVFILT_READ, EV_ADD, 0);
    pid_t child = fork();
    if (child == 0) _exit(look() == -1 && errno == EBADF && fcntl(at.kq, F_GETFD) < 0 ? 0 : 1);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    put(at.theirs, "x");
    assert_int_equal(look(), 1); /* and the parent's is as it was */
}

/* ---- waiting ---------------------------------------------------------------------------------------------------- */

saros_time time_of(struct timespec timeout) {
    saros_time began = clock_now();
    assert_int_equal(kevent(at.kq, NULL, 0, at.got, MANY, &timeout), 0);
    return clock_now() - began;
}

static void a_time_out_is_never_early(void **state) {
    (void)state;
    for (int i = 0; i < 3; i++) assert_true(time_of((struct timespec){.tv_nsec = 300000}) >= 300000);
}

static void without_room_for_events_nothing_is_waited_for(void **state) {
    (void)state;
    assert_int_equal(kevent(at.kq, NULL, 0, NULL, 0, NULL), 0);
}

static void nothing(int number) { (void)number; }

static void a_signal_ends_the_wait_with_eintr(void **state) {
    struct sigaction action = {.sa_handler = nothing, .sa_flags = SA_RESTART}, before;
    struct itimerval often = {.it_interval = {.tv_usec = 1000}, .it_value = {.tv_usec = 1000}}, never = {0};
    (void)state;
    sigaction(SIGALRM, &action, &before);
    setitimer(ITIMER_REAL, &often, NULL);
    int got = look_for_long(), error = errno;
    setitimer(ITIMER_REAL, &never, NULL);
    sigaction(SIGALRM, &before, NULL);
    assert_int_equal(got, -1);
    assert_int_equal(error, EINTR);
}

static void *add_soon(void *user) {
    (void)user;
    nanosleep(&soon, NULL);
    change(at.ours, EVFILT_READ, EV_ADD, 0);
    return NULL;
}

static void what_another_thread_adds_ends_the_wait(void **state) {
    pthread_t thread;
    (void)state;
    put(at.theirs, "x");
    assert_int_equal(pthread_create(&thread, NULL, add_soon, NULL), 0);
    assert_int_equal(look_for_long(), 1);
    pthread_join(thread, NULL);
}

int main(void) {
    const struct CMUnitTest rules[] = {
        RULE(an_event_comes_as_long_as_there_is_something),
        RULE(reading_and_writing_are_two_events),
        RULE(with_room_for_one_each_has_its_turn),
        RULE(added_again_it_has_the_new_udata),
        RULE(the_flags_of_the_change_are_still_set_in_the_event),
        RULE(an_end_with_bytes_left_is_told_together_with_them),
        RULE(a_half_close_ends_the_peers_reading_and_not_its_writing),
        RULE(when_the_peer_is_gone_writing_has_ended_too),
        RULE(ones_own_shutdown_ends_writing_and_not_reading),
        RULE(a_refused_connect_is_the_end_of_writing),
        RULE(a_listener_tells_how_many_wait),
        RULE(records_alone_are_returned_and_at_once),
        RULE(a_change_without_a_receipt_that_succeeds_leaves_no_record),
        RULE(a_failure_without_room_fails_the_call_and_leaves_out_the_changes_behind),
        RULE(wrong_changes_are_told_by_their_errors),
        RULE(a_descriptor_that_is_closed_is_forgotten_also_where_a_copy_lives),
        RULE(a_kqueue_can_be_polled),
        RULE(a_child_of_fork_has_no_kqueue),
        RULE(a_time_out_is_never_early),
        RULE(without_room_for_events_nothing_is_waited_for),
        RULE(a_signal_ends_the_wait_with_eintr),
        RULE(what_another_thread_adds_ends_the_wait),
    };
    return cmocka_run_group_tests_name("double of kqueue", rules, NULL, NULL) + test_oddities();
}
