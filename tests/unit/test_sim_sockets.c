/* test_sim_sockets.c: the sockets of the simulated world: whose a buffer is and when, how a stream ends, and what happens where
 * something is full or used up. */
#include <string.h>

#include "support/sim_both.h"

static char buffer[100];

/* ---- buffers ------------------------------------------------------------------------------------------------------ */

static void a_completion_kernel_has_the_buffer_until_the_op_ends(void **state) {
    world *w = *state;
    pair   p;
    told   receive = {0}, send_op = {0};
    char   out[4] = "old";
    sim_open(w, "completion", 1);
    pair_open(w, &p, SAROS_UNIX);
    start(w, &send_op, SAROS_OP_SEND, &p.client, out, 3);
    memcpy(out, "new", 3); /* nobody has read it yet */
    assert_int_equal(await(w, &send_op), 3);
    memcpy(buffer, "????", 4);
    start(w, &receive, SAROS_OP_RECV, &p.server, buffer, 4);
    assert_memory_equal(buffer, "????", 4); /* and nobody has written yet, though there is something */
    assert_int_equal(await(w, &receive), 3);
    assert_memory_equal(buffer, "new?", 4);
    start(w, &receive, SAROS_OP_RECV, &p.server, buffer, 4);
    start(w, &send_op, SAROS_OP_SEND, &p.client, "abc", 3);
    saros_cancel(w->loop, &receive.op);
    assert_int_equal(receive.op.state, SAROS_FLYING); /* a cancel does not give it back yet */
    assert_memory_equal(buffer, "new?", 4);
    int64_t got = await(w, &receive); /* whichever of the two the kernel came to first */
    if (got != 3) assert_result(got, SAROS_ECANCELED);
    await(w, &send_op);
    pair_close(w, &p);
}

static void a_readiness_kernel_does_at_once_what_can_be_done(void **state) {
    world *w = *state;
    pair   p;
    told   receive = {0};
    sim_open(w, "readiness", 1);
    pair_open(w, &p, SAROS_UNIX);
    receive.op = (saros_op){.kind = SAROS_OP_SEND, .handle = &p.client, .data = "abc", .size = 3};
    assert_true(saros_submit_now(w->loop, &receive.op));
    receive.op = (saros_op){.kind = SAROS_OP_RECV, .handle = &p.server, .buffer = buffer, .size = 4};
    assert_true(saros_submit_now(w->loop, &receive.op));
    assert_int_equal(receive.op.result, 3);
    start(w, &receive, SAROS_OP_RECV, &p.server, buffer, 4);
    saros_cancel(w->loop, &receive.op);
    assert_int_equal(receive.op.state, SAROS_READY);
    assert_result(await(w, &receive), SAROS_ECANCELED);
    pair_close(w, &p);
}

ON_BOTH(a_kind_that_nobody_knows_is_not_supported) {
    pair p;
    pair_open(w, &p, SAROS_UNIX);
    assert_result(perform(w, SAROS_OP_CLOSE + 1, &p.client, NULL, 0), SAROS_ENOSYS);
    pair_close(w, &p);
}

/* ---- full and used up --------------------------------------------------------------------------------------------- */

ON_BOTH(a_full_queue_answers_nothing_or_refuses) {
    static const int families[] = {SAROS_INET, SAROS_UNIX};
    for (int i = 0; i < 2; i++) {
        saros_handle  listener = {0}, clients[3] = {0}, accepted[2] = {0};
        saros_address address;
        told          third = {0};
        listen_at(w, &listener, &address, families[i]);
        close_now(w, &listener);
        assert_result(perform(w, SAROS_OP_LISTEN, &listener, &address, 2), 0);
        for (int k = 0; k < 2; k++) assert_result(perform(w, SAROS_OP_CONNECT, &clients[k], &address, 0), 0);
        start(w, &third, SAROS_OP_CONNECT, &clients[2], &address, 0);
        step_for(w, SAROS_SECOND / 2);
        assert_int_equal(third.times, families[i] == SAROS_UNIX);
        assert_result(perform(w, SAROS_OP_ACCEPT, &listener, &accepted[0], 0), 0);
        saros_time span = third.times == 0 ? sim_span(w, &third) : 0;
        assert_result(third.result, families[i] == SAROS_UNIX ? SAROS_ECONNREFUSED : 0);
        assert_true(span <= SAROS_SECOND); /* the next time that it knocks */
        if (third.result == 0) close_now(w, &clients[2]);
        for (int k = 0; k < 2; k++) close_now(w, &clients[k]);
        close_now(w, &accepted[0]);
        close_now(w, &listener);
    }
}

static void when_all_ports_are_taken_it_is_told(void **state) {
    enum { PORTS = 16384 };
    world        *w = *state;
    saros_handle *listeners = test_calloc(PORTS, sizeof *listeners), one_more = {0};
    saros_address address = {.family = SAROS_INET, .at = {.ip = {127, 0, 0, 1}}}, any = address;
    sim_open(w, NULL, 1);
    for (int i = 0; i < PORTS; i++) {
        any.port = (uint16_t)(49152 + i);
        saros_op op = {.kind = SAROS_OP_LISTEN, .handle = &listeners[i], .address = &any};
        assert_true(saros_submit_now(w->loop, &op));
        assert_result(op.result, 0);
    }
    assert_result(perform(w, SAROS_OP_LISTEN, &one_more, &address, 0), SAROS_EADDRINUSE);
    assert_result(perform(w, SAROS_OP_CONNECT, &one_more, &any, 0), SAROS_EADDRNOTAVAIL);
    close_now(w, &listeners[77]);
    assert_result(perform(w, SAROS_OP_LISTEN, &one_more, &address, 0), 0);
    assert_int_equal(address.port, 49152 + 77);
    world_close(w);
    test_free(listeners);
}

ON_BOTH(any_address_is_our_own) {
    static const int families[] = {SAROS_INET, SAROS_INET6};
    for (int i = 0; i < 2; i++) {
        saros_handle  listener = {0}, client = {0};
        saros_address any = {.family = (uint8_t)families[i]}, name;
        char          text[SAROS_ADDRESS_TEXT];
        assert_result(perform(w, SAROS_OP_LISTEN, &listener, &any, 0), 0);
        assert_result(perform(w, SAROS_OP_CONNECT, &client, &any, 0), 0);
        assert_result(perform(w, SAROS_OP_NAME, &client, &name, 1), 0);
        saros_address_format(&name, text);
        assert_memory_equal(text, i == 0 ? "127.0.0.1:" : "[::1]:", i == 0 ? 10 : 6);
        close_now(w, &client);
        close_now(w, &listener);
    }
}

ON_BOTH(who_connects_to_a_loopback_address_is_127_0_0_1) {
    saros_handle  listener = {0}, client = {0};
    saros_address other = {.family = SAROS_INET, .at.ip = {127, 0, 0, 2}}, name;
    char          text[SAROS_ADDRESS_TEXT];
    assert_result(perform(w, SAROS_OP_LISTEN, &listener, &other, 0), 0);
    assert_result(perform(w, SAROS_OP_CONNECT, &client, &other, 0), 0);
    assert_result(perform(w, SAROS_OP_NAME, &client, &name, 0), 0);
    saros_address_format(&name, text);
    assert_memory_equal(text, "127.0.0.1:", 10);
    close_now(w, &client);
    close_now(w, &listener);
}

/* ---- ends --------------------------------------------------------------------------------------------------------- */

ON_BOTH(an_end_is_said_once) {
    static const int families[] = {SAROS_INET, SAROS_UNIX};
    pair             p;
    for (int i = 0; i < 2; i++) {
        pair_open(w, &p, families[i]);
        for (int k = 0; k < 3; k++) assert_result(perform(w, SAROS_OP_SHUTDOWN, &p.client, NULL, 0), 0);
        for (int k = 0; k < 3; k++) assert_result(perform(w, SAROS_OP_RECV, &p.server, buffer, 4), 0);
        close_now(w, &p.client);
        assert_result(perform(w, SAROS_OP_SHUTDOWN, &p.server, NULL, 0), 0);
        pair_close(w, &p);
    }
}

ON_BOTH(bytes_that_nobody_read_make_a_close_a_reset) {
    static const int families[] = {SAROS_INET, SAROS_UNIX};
    pair             p;
    told             receive = {0};
    for (int i = 0; i < 2; i++) {
        pair_open(w, &p, families[i]);
        start(w, &receive, SAROS_OP_RECV, &p.client, buffer, 4);
        send_all(w, &p.client, "unread", 6);
        AWAIT(w, raw_has(&p.server, 6));
        close_now(w, &p.server);
        assert_result(await(w, &receive), SAROS_ECONNRESET);
        assert_result(perform(w, SAROS_OP_RECV, &p.client, buffer, 4), 0);
        assert_result(perform(w, SAROS_OP_SHUTDOWN, &p.client, NULL, 0), SAROS_ENOTCONN);
        pair_close(w, &p);
        pair_open(w, &p, families[i]); /* and so does an answer that comes to a closed end; here a writer learns it */
        close_now(w, &p.server);
        int64_t result = 1;
        for (int k = 0; k < 100 && result > 0; k++) {
            result = perform(w, SAROS_OP_SEND, &p.client, "x", 1);
            saros_sim_advance(w->loop, MILLISECOND);
        }
        assert_result(result, SAROS_EPIPE);
        pair_close(w, &p);
    }
}

ON_BOTH(what_came_before_a_reset_can_be_read) {
    pair p;
    pair_open(w, &p, SAROS_INET);
    send_all(w, &p.client, "unread", 6); /* never looked at by the server: its close resets */
    send_all(w, &p.server, "before", 6);
    AWAIT(w, raw_has(&p.server, 6) && raw_has(&p.client, 6));
    close_now(w, &p.server);
    saros_sim_advance(w->loop, SAROS_SECOND);
    assert_int_equal(perform(w, SAROS_OP_RECV, &p.client, buffer, 10), 6);
    assert_result(perform(w, SAROS_OP_RECV, &p.client, buffer, 10), SAROS_ECONNRESET);
    pair_close(w, &p);
}

/* Each sends: what the others' sends have made new meanwhile is for the next look, and there has to be room for it. */
ON_BOTH(all_sockets_may_have_news_at_a_time) {
    enum { PAIRS = 15 }; /* with the listener, one socket less than the first room is for */
    saros_handle  listener = {0}, ends[2 * PAIRS] = {0};
    told          sends[2 * PAIRS] = {0}, receives[2 * PAIRS] = {0};
    char          got[2 * PAIRS];
    saros_address address;
    listen_at(w, &listener, &address, SAROS_UNIX);
    for (int i = 0; i < 2 * PAIRS; i += 2) {
        assert_result(perform(w, SAROS_OP_CONNECT, &ends[i], &address, 0), 0);
        assert_result(perform(w, SAROS_OP_ACCEPT, &listener, &ends[i + 1], 0), 0);
    }
    for (int i = 0; i < 2 * PAIRS; i++) start(w, &sends[i], SAROS_OP_SEND, &ends[i], "x", 1);
    for (int i = 0; i < 2 * PAIRS; i++) assert_int_equal(await(w, &sends[i]), 1);
    for (int i = 0; i < 2 * PAIRS; i++) start(w, &receives[i], SAROS_OP_RECV, &ends[i], &got[i], 1);
    for (int i = 0; i < 2 * PAIRS; i++) assert_int_equal(await(w, &receives[i]), 1);
    for (int i = 0; i < 2 * PAIRS; i++) close_now(w, &ends[i]);
    close_now(w, &listener);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        BARE_TEST(a_completion_kernel_has_the_buffer_until_the_op_ends),
        BARE_TEST(a_readiness_kernel_does_at_once_what_can_be_done),
        BARE_TEST(a_kind_that_nobody_knows_is_not_supported),
        BARE_TEST(a_full_queue_answers_nothing_or_refuses),
        BARE_TEST(when_all_ports_are_taken_it_is_told),
        BARE_TEST(any_address_is_our_own),
        BARE_TEST(who_connects_to_a_loopback_address_is_127_0_0_1),
        BARE_TEST(an_end_is_said_once),
        BARE_TEST(bytes_that_nobody_read_make_a_close_a_reset),
        BARE_TEST(what_came_before_a_reset_can_be_read),
        BARE_TEST(all_sockets_may_have_news_at_a_time),
    };
    return cmocka_run_group_tests_name("sim_sockets", tests, NULL, NULL);
}
