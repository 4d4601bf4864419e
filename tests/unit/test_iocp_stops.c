/* test_iocp_stops.c: how operations on a completion port end before their time: cancelled, closed, failed, broken off;
 * with the numbers that only a real Windows gives. And how its waits do. */
#include <string.h>

#include "support/winseam.h"

static char buffer[1000];

static size_t calls(enum win_call call) { return winseam.of[call].calls; }

/* ---- cancel and close ------------------------------------------------------------------------------------------- */

static void what_was_cancelled_is_told_so_whatever_its_number(void **state) {
    static const LONG numbers[] = {WIN_CANCELLED, WIN_ABORTED, WIN_CLOSED, WIN_RESET};
    world            *w = *state;
    pair              p;
    told              ops[4] = {0};
    pair_open(w, &p, SAROS_INET);
    for (int i = 0; i < 4; i++) {
        saros_handle client = {0}, server = {0};
        start(w, &ops[0], SAROS_OP_RECV, &p.server, buffer, 10);
        start(w, &ops[1], SAROS_OP_RECV, &p.client, NULL, 0);
        start(w, &ops[2], SAROS_OP_ACCEPT, &p.listener, &server, 0);
        start(w, &ops[3], SAROS_OP_CONNECT, &client, &p.address, 0);
        winseam_say(numbers[i], 0, 4);
        for (int k = 0; k < 4; k++) saros_cancel(w->loop, &ops[k].op);
        for (int k = 0; k < 4; k++) assert_result(await(w, &ops[k]), SAROS_ECANCELED);
        assert_int_equal(winseam.packets, 0);
        assert_int_equal(client.state, SAROS_HANDLE_EMPTY);
        assert_int_equal(server.state, SAROS_HANDLE_EMPTY);
        start(w, &ops[2], SAROS_OP_ACCEPT, &p.listener, &server, 0); /* what the connect may have left in the queue */
        steps(w, 2);
        saros_cancel(w->loop, &ops[2].op);
        if (await(w, &ops[2]) == 0) close_now(w, &server);
        talk(w, &p);
    }
    pair_close(w, &p);
}

static void what_is_closed_is_told_so_whatever_its_number(void **state) {
    static const LONG numbers[] = {WIN_CANCELLED, WIN_ABORTED, WIN_CLOSED};
    world            *w = *state;
    pair              p;
    told              receive = {0}, send_op = {0}, accept = {0};
    saros_handle      other = {0};
    for (int i = 0; i < 3; i++) {
        pair_open(w, &p, SAROS_INET);
        start(w, &receive, SAROS_OP_RECV, &p.server, i == 0 ? NULL : buffer, i == 0 ? 0 : 10);
        fill_up(w, &send_op, &p.server);
        winseam_say(numbers[i], 0, 2);
        close_now(w, &p.server);
        assert_result(receive.result, SAROS_ECLOSED);
        assert_result(send_op.result, SAROS_ECLOSED);
        start(w, &accept, SAROS_OP_ACCEPT, &p.listener, &other, 0);
        winseam_say(numbers[i], 0, 1);
        close_now(w, &p.listener);
        assert_result(accept.result, SAROS_ECLOSED);
        pair_close(w, &p);
    }
}

static void a_cancel_that_finds_nothing_waits_for_the_packet(void **state) {
    world *w = *state;
    pair   p;
    told   receive = {0}, close_op = {0};
    pair_open(w, &p, SAROS_INET);
    for (int lent = 0; lent < 2; lent++) {
        start(w, &receive, SAROS_OP_RECV, &p.server, lent ? NULL : buffer, lent ? 0 : 10);
        winseam_fail(WIN_CANCEL, ERROR_NOT_FOUND, 1); /* and indeed nothing is cancelled */
        saros_cancel(w->loop, &receive.op);
        steps(w, 2);
        assert_int_equal(receive.times, 0);
        send_all(w, &p.client, "abc", 3);
        int64_t result = await(w, &receive);
        if (lent) { /* nothing was taken yet: the bytes are the next one's */
            assert_result(result, SAROS_ECANCELED);
            result = perform(w, SAROS_OP_RECV, &p.server, buffer, 10);
        }
        assert_int_equal(result, 3);
        assert_memory_equal(buffer, "abc", 3);
    }
    start(w, &receive, SAROS_OP_RECV, &p.server, buffer, 10);
    winseam_fail(WIN_CANCEL, ERROR_NOT_FOUND, 1);
    start(w, &close_op, SAROS_OP_CLOSE, &p.server, NULL, 0);
    send_all(w, &p.client, "abc", 3);
    assert_result(await(w, &close_op), 0);
    assert_int_equal(receive.result, 3);
    assert_true(receive.order < close_op.order);
    pair_close(w, &p);
}

static void a_block_is_used_again_when_its_packet_was_seen_and_not_before(void **state) {
    world *w = *state;
    pair   p, q;
    told   first = {0}, second = {0}, close_op = {0};
    pair_open(w, &p, SAROS_INET);
    pair_open(w, &q, SAROS_INET);
    start(w, &first, SAROS_OP_RECV, &p.server, buffer, 10);
    const OVERLAPPED *block = winseam.overlapped;
    saros_cancel(w->loop, &first.op);
    start(w, &second, SAROS_OP_RECV, &q.server, buffer, 10); /* the packet of the first is still to come */
    assert_true(winseam.overlapped != block);
    assert_result(await(w, &first), SAROS_ECANCELED);
    start(w, &first, SAROS_OP_RECV, &p.server, buffer, 10);
    assert_true(winseam.overlapped == block);
    winseam_fail(WIN_WAIT, WAIT_TIMEOUT, 3); /* the packet is late */
    start(w, &close_op, SAROS_OP_CLOSE, &p.server, NULL, 0);
    steps(w, 3);
    assert_int_equal(first.times + close_op.times, 0);
    assert_true(p.server.os != SAROS_NO_HANDLE);
    assert_result(await(w, &close_op), 0);
    assert_result(first.result, SAROS_ECLOSED);
    pair_close(w, &p);
    pair_close(w, &q);
}

static void an_abandoned_operation_is_waited_for(void **state) {
    world *w = *state;
    pair   p;
    told   receive = {0};
    pair_open(w, &p, SAROS_INET);
    start(w, &receive, SAROS_OP_RECV, &p.server, buffer, 10);
    winseam_fail(WIN_WAIT, WAIT_TIMEOUT, 3);
    saros_abandon(w->loop, &receive.op);
    assert_int_equal(winseam.of[WIN_WAIT].times, 0); /* else the kernel still had its buffer */
    assert_int_equal(receive.times, 0);
    assert_result(receive.op.result, SAROS_ECANCELED);
    talk(w, &p);
    pair_close(w, &p);
}

/* ---- failures ----------------------------------------------------------------------------------------------------- */

static void a_failure_that_nobody_asked_for_keeps_its_name(void **state) {
    static const struct {
        LONG status;
        int  error;
    } all[] = {
        {WIN_RESET, SAROS_ECONNRESET},        {WIN_ABORTED, SAROS_ECONNABORTED},
        {WIN_REFUSED, SAROS_ECONNREFUSED},    {WIN_TIMED_OUT, SAROS_ETIMEDOUT},
        {WIN_UNREACHABLE, SAROS_ENETUNREACH}, {WIN_CANCELLED, SAROS_EBADF /* somebody closed it behind our back */}};
    world       *w = *state;
    pair         p;
    told         receive = {0};
    saros_handle client = {0};
    pair_open(w, &p, SAROS_INET);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        start(w, &receive, SAROS_OP_RECV, &p.server, i % 2 ? NULL : buffer, i % 2 ? 0 : 10);
        winseam_say(all[i].status, 0, 1);
        send_all(w, &p.client, "x", 1);
        assert_result(await(w, &receive), all[i].error);
        if (i % 2) assert_int_equal(perform(w, SAROS_OP_RECV, &p.server, buffer, 10), 1);
        winseam_say(all[i].status, 0, 1);
        assert_result(perform(w, SAROS_OP_CONNECT, &client, &p.address, 0), all[i].error);
        assert_int_equal(client.state, SAROS_HANDLE_EMPTY);
    }
    pair_close(w, &p);
}

static void a_socket_closed_behind_our_back_ends_its_operations_and_disturbs_nobody(void **state) {
    world *w = *state;
    pair   p, q;
    told   receive = {0};
    pair_open(w, &q, SAROS_INET);
    for (int cancelled = 0; cancelled < 2; cancelled++) {
        pair_open(w, &p, SAROS_INET);
        start(w, &receive, SAROS_OP_RECV, &p.server, buffer, 10);
        closesocket((SOCKET)p.server.os);
        if (cancelled) saros_cancel(w->loop, &receive.op);
        assert_result(await(w, &receive), cancelled ? SAROS_ECANCELED : SAROS_EBADF);
        assert_true(perform(w, SAROS_OP_RECV, &p.server, buffer, 10) < 0);
        assert_true(perform(w, SAROS_OP_SEND, &p.server, buffer, 10) < 0);
        talk(w, &q);
        pair_close(w, &p);
    }
    pair_close(w, &q);
}

/* ---- waits and wakes -------------------------------------------------------------------------------------------- */

static void time_outs_are_rounded_up_to_milliseconds(void **state) {
    static const saros_time spans[] = {0, 1, 999999, 5 * MILLISECOND, 400 * 86400 * SAROS_SECOND, SAROS_FOREVER};
    world                  *w = *state;
    pair                    p;
    told                    receive = {0};
    pair_open(w, &p, SAROS_INET);
    start(w, &receive, SAROS_OP_RECV, &p.server, buffer, 10); /* something to wait for */
    for (size_t i = 0; i < sizeof spans / sizeof *spans; i++) {
        saros_wake(w->loop);
        step_for(w, spans[i]);
        DWORD expected = w->timeout == SAROS_FOREVER                   ? INFINITE
                         : w->timeout >= INT64_C(0xFFFFFFFF) * 1000000 ? INFINITE - 1
                                                                       : (DWORD)((w->timeout + 999999) / 1000000);
        assert_int_equal(winseam.milliseconds, expected);
    }
    assert_int_equal(winseam.milliseconds, INFINITE);
    pair_close(w, &p);
}

static void many_wakes_are_one_packet_and_one_that_is_not_taken_is_not_lost(void **state) {
    world *w = *state;
    saros_hold(w->loop);
    size_t before = calls(WIN_POST);
    for (int i = 0; i < 1000; i++) saros_wake(w->loop);
    assert_int_equal(calls(WIN_POST) - before, 1);
    assert_int_equal(step_for(w, PATIENCE * SAROS_SECOND).outcome, SAROS_WAITING);
    winseam_fail(WIN_POST, ERROR_NO_SYSTEM_RESOURCES, 1);
    saros_wake(w->loop);
    saros_wake(w->loop);
    assert_int_equal(calls(WIN_POST) - before, 3);
    saros_time began = clock_now();
    assert_int_equal(step_for(w, PATIENCE * SAROS_SECOND).outcome, SAROS_WAITING);
    assert_true(clock_now() - began < PATIENCE * SAROS_SECOND / 2);
    saros_release(w->loop);
}

static void a_wait_that_fails_breaks_the_loop_and_still_everything_ends(void **state) {
    world       *w = *state;
    pair         p, q;
    told         receive = {0}, lent = {0}, accept = {0}, send_op = {0};
    saros_handle server = {0};
    pair_open(w, &p, SAROS_INET);
    pair_open(w, &q, SAROS_INET);
    fill_up(w, &send_op, &p.server);
    start(w, &receive, SAROS_OP_RECV, &p.server, buffer, 1);
    start(w, &lent, SAROS_OP_RECV, &q.server, NULL, 0);
    start(w, &accept, SAROS_OP_ACCEPT, &p.listener, &server, 0);
    winseam_fail(WIN_WAIT, ERROR_INVALID_HANDLE, 1);
    assert_result(saros_run(w->loop), SAROS_EBADF);
    assert_int_equal(step_for(w, SAROS_FOREVER).outcome, SAROS_BROKEN);
    world_close(w);
    assert_int_equal(receive.times + lent.times + accept.times + send_op.times, 4);
    assert_result(receive.result, SAROS_ECANCELED);
    assert_result(lent.result, SAROS_ECANCELED);
    assert_result(accept.result, SAROS_ECANCELED);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        WINSEAM_TEST(what_was_cancelled_is_told_so_whatever_its_number),
        WINSEAM_TEST(what_is_closed_is_told_so_whatever_its_number),
        WINSEAM_TEST(a_cancel_that_finds_nothing_waits_for_the_packet),
        WINSEAM_TEST(a_block_is_used_again_when_its_packet_was_seen_and_not_before),
        WINSEAM_TEST(an_abandoned_operation_is_waited_for),
        WINSEAM_TEST(a_failure_that_nobody_asked_for_keeps_its_name),
        WINSEAM_TEST(a_socket_closed_behind_our_back_ends_its_operations_and_disturbs_nobody),
        WINSEAM_TEST(time_outs_are_rounded_up_to_milliseconds),
        WINSEAM_TEST(many_wakes_are_one_packet_and_one_that_is_not_taken_is_not_lost),
        WINSEAM_TEST(a_wait_that_fails_breaks_the_loop_and_still_everything_ends),
    };
    world_driver = "iocp";
    return cmocka_run_group_tests_name("iocp stops", tests, NULL, NULL);
}
