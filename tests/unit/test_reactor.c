/* test_reactor.c: the adaptor between operations and a kernel that only says "ready", on a mechanism of the test's own,
 * which counts what is asked of it and says what the test wants. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backends/reactor.h"
#include "support/seam.h"
#include "support/sockets.h"

/* ---- the mechanism ---------------------------------------------------------------------------------------------- */

enum { MOST_SLOTS = 256 };
typedef struct alarm {
    uint32_t slot;
    unsigned events;
} alarm_;

static struct kernel {
    saros_reactor *reactor;
    unsigned       watched[MOST_SLOTS];
    size_t         watches, reports;
    int            fail; /* what watch answers to anything but 0 */
    alarm_         script[8];
    size_t         scripted; /* what the next wait reports; none: what poll says */
} kernel;

static int watch(saros_reactor *reactor, uint32_t slot, unsigned was, unsigned now) {
    assert_in_range(slot, 0, MOST_SLOTS - 1);
    assert_int_equal(kernel.watched[slot], was); /* the adaptor knows what it said before */
    assert_int_not_equal(was, now);              /* and asks for nothing that is so already */
    assert_true(reactor->slots[slot].handle->os >= 0);
    kernel.watches++;
    if (now != 0 && kernel.fail < 0) return kernel.fail;
    kernel.watched[slot] = now;
    return 0;
}

static int scripted_wait(void *self, saros_time timeout) {
    saros_reactor *reactor = self;
    struct pollfd  list[MOST_SLOTS];
    if (kernel.scripted > 0) {
        size_t count = kernel.scripted;
        kernel.scripted = 0;
        for (size_t i = 0; i < count; i++) saros_reactor_ready(reactor, kernel.script[i].slot, kernel.script[i].events);
        return 0;
    }
    uint32_t count = reactor->count;
    for (uint32_t i = 0; i < count; i++) {
        unsigned now = kernel.watched[i];
        list[i] = (struct pollfd){.fd = now != 0 ? reactor->slots[i].handle->os : -1};
        list[i].events = (short)((now & SAROS_IN ? POLLIN : 0) | (now & SAROS_OUT ? POLLOUT : 0));
    }
    if (timeout > SAROS_SECOND) timeout = SAROS_SECOND;
    if (poll(list, count, (int)((timeout + MILLISECOND - 1) / MILLISECOND)) < 0) return 0;
    for (uint32_t i = 0; i < count; i++) {
        short    said = list[i].revents;
        unsigned events = ((said & POLLIN) != 0 ? SAROS_IN : 0) | ((said & POLLOUT) != 0 ? SAROS_OUT : 0);
        if (said & (POLLHUP | POLLERR | POLLNVAL)) events |= SAROS_END;
        if (events == 0) continue;
        if (i > 0) kernel.reports++;
        saros_reactor_ready(reactor, i, events);
    }
    return 0;
}

static int scripted_open(void *self, saros_loop *loop, const saros_config *config) {
    (void)config;
    kernel = (struct kernel){.reactor = self};
    return saros_reactor_open(self, loop, watch);
}

static void scripted_close(void *self) { saros_reactor_close(self); }

extern const saros_driver scripted_driver;
const saros_driver        scripted_driver = {
           .name = "scripted",
           .size = sizeof(saros_reactor),
           .open = scripted_open,
           .close = scripted_close,
           .now = saros_reactor_now,
           .submit = saros_reactor_submit,
           .cancel = saros_reactor_cancel,
           .wait = scripted_wait,
           .wake = saros_reactor_wake,
           .take = saros_reactor_take,
};
#define SAROS_HAVE_SIM
#define saros_sim_driver scripted_driver
#include "core/drivers.c" /* NOLINT(bugprone-suspicious-include) */

static void report(uint32_t slot, unsigned events) { kernel.script[kernel.scripted++] = (alarm_){slot, events}; }

/* A connection whose server end is the loop's, and whose counts begin at nothing. */
static int begin(world *w, pair *p) {
    int fd = pair_raw(w, p, SAROS_UNIX);
    kernel.watches = kernel.reports = 0;
    seam_reset();
    return fd;
}

static void end(world *w, pair *p, int fd) {
    if (fd >= 0) close(fd);
    pair_close(w, p);
    seam_reset();
}

static char buffer[4096];

/* ---- the two rules ---------------------------------------------------------------------------------------------- */

static void what_is_read_in_a_loop_is_registered_once(void **state) {
    world *w = *state;
    pair   p;
    told   receive = {0};
    int    fd = begin(w, &p);
    for (int i = 0; i < 100; i++) {
        start(w, &receive, SAROS_OP_RECV, &p.server, buffer, sizeof buffer);
        assert_int_equal(send(fd, "x", 1, 0), 1);
        assert_int_equal(await(w, &receive), 1);
    }
    assert_int_equal(kernel.watches, 1);
    end(w, &p, fd);
}

static void what_nobody_waits_for_fires_once_and_is_taken_off(void **state) {
    world *w = *state;
    pair   p;
    told   receive = {0};
    int    fd = begin(w, &p);
    start(w, &receive, SAROS_OP_RECV, &p.server, buffer, sizeof buffer);
    saros_cancel(w->loop, &receive.op);
    assert_result(await(w, &receive), SAROS_ECANCELED);
    assert_int_equal(kernel.watches, 1); /* a cancel costs no call */
    raw_write(fd, "xy", 2);
    waits_during(w, 30 * MILLISECOND);
    told timer = {0};
    start_timer(w, &timer, 30 * MILLISECOND);
    await(w, &timer);
    assert_int_equal(kernel.reports, 1);
    assert_int_equal(kernel.watches, 2);
    assert_int_equal(kernel.watched[p.server.slot], 0);
    assert_int_equal(perform(w, SAROS_OP_RECV, &p.server, buffer, sizeof buffer), 2); /* nothing was lost */
    end(w, &p, fd);
}

static void a_socket_known_to_be_empty_is_not_asked_again(void **state) {
    world *w = *state;
    pair   p;
    told   receive = {0};
    int    fd = begin(w, &p);
    start(w, &receive, SAROS_OP_RECV, &p.server, buffer, sizeof buffer);
    assert_int_equal(seam[SEAM_RECV].calls, 1); /* the first time nobody knows */
    raw_write(fd, "x", 1);
    await(w, &receive);
    assert_int_equal(seam[SEAM_RECV].calls, 2);
    for (int i = 0; i < 50; i++) {
        start(w, &receive, SAROS_OP_RECV, &p.server, buffer, sizeof buffer);
        raw_write(fd, "x", 1);
        await(w, &receive);
    }
    assert_int_equal(seam[SEAM_RECV].calls, 52); /* one a message */
    end(w, &p, fd);
}

static void a_read_that_was_filled_is_followed_by_a_try(void **state) {
    world *w = *state;
    pair   p;
    int    fd = begin(w, &p);
    raw_write(fd, "abcdef", 6);
    for (int i = 0; i < 3; i++) assert_int_equal(perform(w, SAROS_OP_RECV, &p.server, buffer, 2), 2);
    assert_int_equal(seam[SEAM_RECV].calls, 3);
    assert_int_equal(kernel.watches, 0); /* it never had to wait */
    end(w, &p, fd);
}

static void the_end_that_was_signalled_is_read_at_once(void **state) {
    world *w = *state;
    pair   p;
    told   receive = {0};
    int    fd = begin(w, &p);
    start(w, &receive, SAROS_OP_RECV, &p.server, buffer, sizeof buffer);
    raw_write(fd, "xyz", 3);
    shutdown(fd, SHUT_WR);
    report(p.server.slot, SAROS_IN | SAROS_END);
    assert_int_equal(await(w, &receive), 3);
    size_t reports = kernel.reports;
    assert_int_equal(perform(w, SAROS_OP_RECV, &p.server, buffer, sizeof buffer), 0);
    assert_int_equal(kernel.reports, reports); /* without asking the kernel to say it again */
    end(w, &p, fd);
}

static void a_full_socket_is_not_asked_again(void **state) {
    world *w = *state;
    pair   p;
    told   send_op = {0};
    int    fd = begin(w, &p);
    do {
        start(w, &send_op, SAROS_OP_SEND, &p.server, buffer, sizeof buffer);
        steps(w, 2);
    } while (send_op.times > 0);
    saros_cancel(w->loop, &send_op.op);
    await(w, &send_op);
    size_t calls = seam[SEAM_SEND].calls;
    start(w, &send_op, SAROS_OP_SEND, &p.server, buffer, sizeof buffer);
    steps(w, 2);
    assert_int_equal(seam[SEAM_SEND].calls, calls);
    while (send_op.times == 0) { /* the peer makes room */
        assert_true(read(fd, buffer, sizeof buffer) > 0);
        steps(w, 1);
    }
    assert_true(send_op.result > 0);
    end(w, &p, fd);
}

/* ---- false alarms and odd ones ---------------------------------------------------------------------------------- */

static void a_false_alarm_tells_nobody(void **state) {
    world *w = *state;
    pair   p;
    told   receive = {0};
    int    fd = begin(w, &p);
    start(w, &receive, SAROS_OP_RECV, &p.server, buffer, sizeof buffer);
    for (int i = 0; i < 3; i++) {
        report(p.server.slot, SAROS_IN);
        steps(w, 1);
        assert_int_equal(receive.times, 0);
    }
    assert_int_equal(kernel.watches, 1);
    raw_write(fd, "x", 1);
    assert_int_equal(await(w, &receive), 1);
    start(w, &receive, SAROS_OP_RECV, &p.server, NULL, 0); /* a lent one is taken, and waits again */
    report(p.server.slot, SAROS_IN);
    steps(w, 2);
    assert_int_equal(receive.times, 0);
    raw_write(fd, "yz", 2);
    assert_int_equal(await(w, &receive), 2);
    end(w, &p, fd);
}

static void a_lent_receive_costs_one_call(void **state) {
    world *w = *state;
    pair   p;
    told   receive = {0};
    int    fd = begin(w, &p);
    start(w, &receive, SAROS_OP_RECV, &p.server, NULL, 0);
    steps(w, 2);
    size_t before = seam[SEAM_RECV].calls;
    for (int i = 0; i < 20; i++) {
        raw_write(fd, "x", 1);
        assert_int_equal(await(w, &receive), 1);
        start(w, &receive, SAROS_OP_RECV, &p.server, NULL, 0);
    }
    assert_int_equal(seam[SEAM_RECV].calls - before, 20);
    saros_cancel(w->loop, &receive.op);
    await(w, &receive);
    end(w, &p, fd);
}

static void several_accepts_share_one_look_at_the_queue(void **state) {
    world        *w = *state;
    saros_handle  listener = {0}, accepted[5] = {0};
    saros_address address;
    told          accepts[5] = {0};
    int           fds[3];
    listen_at(w, &listener, &address, SAROS_UNIX);
    seam_reset();
    for (int i = 0; i < 5; i++) start(w, &accepts[i], SAROS_OP_ACCEPT, &listener, &accepted[i], 0);
    size_t before = seam[SEAM_ACCEPT].calls;
    for (int i = 0; i < 3; i++) fds[i] = raw_connect(&address);
    AWAIT(w, accepts[2].times > 0);
    assert_int_equal(seam[SEAM_ACCEPT].calls - before, 4); /* three, and one that finds it empty */
    for (int i = 0; i < 5; i++) {
        assert_int_equal(accepts[i].times, i < 3); /* the oldest first */
        if (i < 3) close_now(w, &accepted[i]), close(fds[i]);
    }
    close_now(w, &listener);
    for (int i = 3; i < 5; i++) assert_result(accepts[i].result, SAROS_ECLOSED);
}

static void reader_and_writer_share_a_slot_and_neither_disturbs_the_other(void **state) {
    world *w = *state;
    pair   p;
    told   receive = {0}, send_op = {0};
    int    fd = begin(w, &p);
    do {
        start(w, &send_op, SAROS_OP_SEND, &p.server, buffer, sizeof buffer);
        steps(w, 2);
    } while (send_op.times > 0);
    start(w, &receive, SAROS_OP_RECV, &p.server, buffer, sizeof buffer);
    assert_int_equal(kernel.watched[p.server.slot], SAROS_IN | SAROS_OUT);
    raw_write(fd, "x", 1);
    assert_int_equal(await(w, &receive), 1);
    assert_int_equal(send_op.times, 0);
    raw_write(fd, "y", 1); /* nobody reads now: the lazy rule takes IN off and leaves OUT */
    AWAIT(w, kernel.watched[p.server.slot] == SAROS_OUT);
    assert_int_equal(send_op.times, 0);
    end(w, &p, fd);
    assert_result(send_op.result, SAROS_ECLOSED);
}

/* ---- slots ------------------------------------------------------------------------------------------------------ */

static void slots_are_used_again(void **state) {
    world   *w = *state;
    pair     p;
    uint32_t most = 0;
    told     receive = {0};
    for (int i = 0; i < 300; i++) {
        int fd = begin(w, &p);
        start(w, &receive, SAROS_OP_RECV, &p.server, buffer, sizeof buffer);
        uint32_t slot = p.server.slot;
        if (slot > most) most = slot;
        assert_int_equal(kernel.watched[slot], SAROS_IN);
        end(w, &p, fd);
        assert_result(receive.result, SAROS_ECLOSED);
        assert_int_equal(kernel.watched[slot], 0); /* forgotten before the number was free */
    }
    assert_in_range(most, 1, 4);
    assert_in_range(kernel.reactor->count, 2, 5);
}

static void an_event_of_a_freed_slot_touches_nobody(void **state) {
    world *w = *state;
    pair   p;
    told   receive = {0};
    int    fd = begin(w, &p);
    start(w, &receive, SAROS_OP_RECV, &p.server, buffer, sizeof buffer);
    uint32_t slot = p.server.slot;
    end(w, &p, fd);
    assert_int_equal(receive.times, 1);
    report(slot, SAROS_IN | SAROS_OUT | SAROS_END);
    told timer = {0};
    start_timer(w, &timer, 0);
    await(w, &timer);
    steps(w, 1);
    saros_handle handle = {0};
    start(w, &receive, SAROS_OP_CONNECT, &handle, &p.address, 0); /* nobody listens there */
    assert_result(await(w, &receive), SAROS_ECONNREFUSED);
    assert_int_equal(handle.slot, 0);
}

static void a_connect_that_failed_is_not_touched_by_the_rest_of_the_batch(void **state) {
    world        *w = *state;
    saros_handle  handles[2] = {0}, listener = {0};
    saros_address address;
    told          connects[2] = {0};
    listen_at(w, &listener, &address, SAROS_INET);
    close_now(w, &listener);
    for (int i = 0; i < 2; i++) start(w, &connects[i], SAROS_OP_CONNECT, &handles[i], &address, 0);
    assert_int_equal(connects[0].op.state, SAROS_FLYING); /* a refusal comes a moment later */
    uint32_t slots[] = {handles[0].slot, handles[1].slot};
    for (int i = 0; i < 2; i++) report(slots[i], SAROS_END);
    for (int i = 0; i < 2; i++) report(slots[i], SAROS_IN | SAROS_OUT | SAROS_END);
    steps(w, 1);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(connects[i].times, 1);
        assert_result(connects[i].result, SAROS_ECONNREFUSED);
        assert_int_equal(handles[i].state, SAROS_HANDLE_EMPTY);
        assert_int_equal(handles[i].os, SAROS_NO_HANDLE);
    }
}

static void a_connect_that_is_woken_too_early_goes_on(void **state) {
    world        *w = *state;
    saros_handle  handle = {0};
    saros_address address;
    told          connect = {0};
    int           fd = raw_listen(&address, SAROS_UNIX, 1);
    seam_fail(SEAM_CONNECT, EINPROGRESS, 1); /* it is not even begun: no error and no peer */
    start(w, &connect, SAROS_OP_CONNECT, &handle, &address, 0);
    report(handle.slot, SAROS_OUT);
    steps(w, 1);
    assert_int_equal(connect.times, 0);
    assert_int_equal(connect.op.state, SAROS_FLYING);
    saros_cancel(w->loop, &connect.op);
    assert_result(await(w, &connect), SAROS_ECANCELED);
    assert_int_equal(handle.os, SAROS_NO_HANDLE);
    close(fd);
    seam_reset();
}

/* Some mechanisms tell a socket's error by taking it away. */
static void an_error_that_was_taken_from_its_socket_is_told_once_and_behind_the_data(void **state) {
    world *w = *state;
    pair   p;
    told   receive = {0};
    int    fd = begin(w, &p);
    start(w, &receive, SAROS_OP_RECV, &p.server, buffer, sizeof buffer);
    raw_write(fd, "xyz", 3);
    shutdown(fd, SHUT_WR);
    saros_reactor_failed(kernel.reactor, p.server.slot, SAROS_ECONNRESET);
    report(p.server.slot, SAROS_IN | SAROS_END);
    assert_int_equal(await(w, &receive), 3);
    assert_result(perform(w, SAROS_OP_RECV, &p.server, buffer, sizeof buffer), SAROS_ECONNRESET);
    assert_int_equal(perform(w, SAROS_OP_RECV, &p.server, buffer, sizeof buffer), 0);
    end(w, &p, fd);
}

static void a_connect_fails_with_the_error_that_was_taken_and_the_next_one_does_not(void **state) {
    world        *w = *state;
    saros_handle  handle = {0};
    saros_address address;
    told          connect = {0};
    int           fd = raw_listen(&address, SAROS_UNIX, 1);
    seam_fail(SEAM_CONNECT, EINPROGRESS, 1);
    start(w, &connect, SAROS_OP_CONNECT, &handle, &address, 0);
    saros_reactor_failed(kernel.reactor, handle.slot, SAROS_ECONNREFUSED);
    report(handle.slot, SAROS_OUT);
    assert_result(await(w, &connect), SAROS_ECONNREFUSED);
    assert_int_equal(handle.os, SAROS_NO_HANDLE);
    assert_result(perform(w, SAROS_OP_CONNECT, &handle, &address, 0), 0);
    close_now(w, &handle);
    close(fd);
    seam_reset();
}

/* ---- failures --------------------------------------------------------------------------------------------------- */

static void an_op_that_cannot_be_watched_ends_with_the_reason(void **state) {
    world       *w = *state;
    pair         p;
    saros_handle other = {0};
    told         receive = {0}, connect = {0};
    int          fd = begin(w, &p);
    kernel.fail = SAROS_ELIMIT;
    assert_result(perform(w, SAROS_OP_RECV, &p.server, buffer, sizeof buffer), SAROS_ELIMIT);
    assert_int_equal(p.server.state, SAROS_HANDLE_OPEN); /* the handle is as it was */
    seam_fail(SEAM_CONNECT, EINPROGRESS, 1);
    start(w, &connect, SAROS_OP_CONNECT, &other, &p.address, 0);
    assert_result(await(w, &connect), SAROS_ELIMIT);
    assert_int_equal(other.state, SAROS_HANDLE_EMPTY); /* and a connect leaves nothing */
    kernel.fail = 0;
    start(w, &receive, SAROS_OP_RECV, &p.server, buffer, sizeof buffer);
    raw_write(fd, "x", 1);
    assert_int_equal(await(w, &receive), 1);
    end(w, &p, fd);
}

static void an_op_that_finds_no_room_for_a_slot_ends_with_enomem(void **state) {
    enum { MANY = 40 };
    world        *w = *state;
    saros_handle  listener = {0}, *handles = test_calloc(MANY, sizeof *handles);
    saros_address address;
    told         *receives = test_calloc(MANY, sizeof *receives);
    int           fds[MANY], without = -1;
    listen_at(w, &listener, &address, SAROS_UNIX);
    for (int i = 0; i < MANY; i++) {
        fds[i] = raw_connect(&address);
        assert_result(perform(w, SAROS_OP_ACCEPT, &listener, &handles[i], 0), 0);
    }
    w->memory.fail_from = 1;
    for (int i = 0; i < MANY && without < 0; i++) {
        start(w, &receives[i], SAROS_OP_RECV, &handles[i], buffer, 1);
        steps(w, 1);
        if (receives[i].times > 0) without = i;
    }
    assert_in_range(without, 1, MANY - 1);
    assert_result(receives[without].result, SAROS_ENOMEM);
    w->memory.fail_from = 0;
    start(w, &receives[without], SAROS_OP_RECV, &handles[without], buffer, 1);
    for (int i = 0; i <= without; i++) {
        raw_write(fds[i], "x", 1);
        assert_int_equal(await(w, &receives[i]), 1);
    }
    for (int i = 0; i < MANY; i++) close(fds[i]), close_now(w, &handles[i]);
    close_now(w, &listener);
    test_free(receives);
    test_free(handles);
}

int main(void) {
    world_driver = "sim";
    const struct CMUnitTest tests[] = {
        WORLD_TEST(what_is_read_in_a_loop_is_registered_once),
        WORLD_TEST(what_nobody_waits_for_fires_once_and_is_taken_off),
        WORLD_TEST(a_socket_known_to_be_empty_is_not_asked_again),
        WORLD_TEST(a_read_that_was_filled_is_followed_by_a_try),
        WORLD_TEST(the_end_that_was_signalled_is_read_at_once),
        WORLD_TEST(a_full_socket_is_not_asked_again),
        WORLD_TEST(a_false_alarm_tells_nobody),
        WORLD_TEST(a_lent_receive_costs_one_call),
        WORLD_TEST(several_accepts_share_one_look_at_the_queue),
        WORLD_TEST(reader_and_writer_share_a_slot_and_neither_disturbs_the_other),
        WORLD_TEST(slots_are_used_again),
        WORLD_TEST(an_event_of_a_freed_slot_touches_nobody),
        WORLD_TEST(a_connect_that_failed_is_not_touched_by_the_rest_of_the_batch),
        WORLD_TEST(a_connect_that_is_woken_too_early_goes_on),
        WORLD_TEST(an_error_that_was_taken_from_its_socket_is_told_once_and_behind_the_data),
        WORLD_TEST(a_connect_fails_with_the_error_that_was_taken_and_the_next_one_does_not),
        WORLD_TEST(an_op_that_cannot_be_watched_ends_with_the_reason),
        WORLD_TEST(an_op_that_finds_no_room_for_a_slot_ends_with_enomem),
    };
    return cmocka_run_group_tests_name("reactor", tests, NULL, NULL);
}
