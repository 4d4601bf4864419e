/* datagrams.c: sockets for datagrams: what is sent arrives whole, with its sender's address, or not at all. */
#include <string.h>

#include "conformance/conformance.h"
#include "support/datagrams.h"

enum { LONGEST = 65507 };
static char bytes[LONGEST + 1];

/* ---- opening ---------------------------------------------------------------------------------------------------- */

static void a_socket_is_there_at_once(void **state) {
    world        *w = *state;
    saros_handle  handle = {0};
    saros_address address = loopback(SAROS_INET), name;
    saros_op      op = {.kind = SAROS_OP_DATAGRAM, .handle = &handle, .address = &address};
    assert_true(saros_submit_now(w->loop, &op));
    assert_result(op.result, 0);
    assert_result(perform(w, SAROS_OP_NAME, &handle, &name, 0), 0);
    assert_int_equal(name.port, address.port);
    assert_result(perform(w, SAROS_OP_NAME, &handle, &name, 1), SAROS_ENOTCONN);
    close_now(w, &handle);
}

static void a_place_that_is_taken_or_nobodys_is_refused(void **state) {
    world        *w = *state;
    both          s;
    saros_handle  other = {0};
    saros_address address = {.family = SAROS_INET, .port = 7};
    both_open(w, &s, SAROS_INET);
    assert_result(perform(w, SAROS_OP_DATAGRAM, &other, &s.at_a, 0), SAROS_EADDRINUSE);
    memcpy(address.at.ip, "\xc0\0\2\1", 4); /* 192.0.2.1 is nobody's: RFC 5737. Wine takes it for everybody's */
    if (!under_wine()) assert_result(perform(w, SAROS_OP_DATAGRAM, &other, &address, 0), SAROS_EADDRNOTAVAIL);
    address = (saros_address){.family = SAROS_UNIX, .length = 4, .at = {.path = "/tmp"}};
    assert_result(perform(w, SAROS_OP_DATAGRAM, &other, &address, 0), SAROS_EAFNOSUPPORT);
    assert_int_equal(other.state, SAROS_HANDLE_EMPTY);
    both_close(w, &s);
    assert_result(perform(w, SAROS_OP_DATAGRAM, &other, &s.at_a, 0), 0);
    close_now(w, &other);
}

static void each_kind_is_for_handles_of_its_sort(void **state) {
    world         *w = *state;
    saros_datagram datagram = {.data = bytes};
    both           s;
    pair           p;
    told           t = {0};
    both_open(w, &s, SAROS_INET);
    pair_open(w, &p, SAROS_INET);
    assert_result(perform(w, SAROS_OP_RECV, &s.a, bytes, 1), SAROS_EOPNOTSUPP);
    assert_result(perform(w, SAROS_OP_SEND, &s.a, bytes, 1), SAROS_EOPNOTSUPP);
    assert_result(perform(w, SAROS_OP_SHUTDOWN, &s.a, NULL, 0), SAROS_EOPNOTSUPP);
    assert_result(perform(w, SAROS_OP_ACCEPT, &s.a, &(saros_handle){0}, 0), SAROS_EINVAL);
    assert_result(perform(w, SAROS_OP_RECVFROM, &p.client, &datagram, 1), SAROS_EOPNOTSUPP);
    assert_result(perform(w, SAROS_OP_SENDTO, &p.client, &datagram, 1), SAROS_EOPNOTSUPP);
    assert_result(perform(w, SAROS_OP_RECVFROM, &p.listener, &datagram, 1), SAROS_ENOTCONN);
    assert_result(set_option(w, &s.a, SAROS_OPTION_NODELAY, 1), SAROS_EOPNOTSUPP);
    assert_result(set_option(w, &p.client, SAROS_OPTION_BROADCAST, 1), SAROS_EOPNOTSUPP);
    datagram_start(w, &t, &s.a, true, 0);
    assert_result(perform(w, SAROS_OP_RECVFROM, &s.a, &datagram, 1), SAROS_EBUSY);
    assert_int_equal(datagram_send(w, &s.b, &s.at_a, "x", 1), 1);
    assert_int_equal(await(w, &t), 1); /* the first was not disturbed */
    pair_close(w, &p);
    both_close(w, &s);
}

/* ---- sending and receiving -------------------------------------------------------------------------------------- */

static void what_is_sent_arrives_whole_and_tells_from_whom(void **state) {
    static const int families[] = {SAROS_INET, SAROS_INET6};
    world           *w = *state;
    both             s;
    for (int i = 0; i < 4; i++) {
        bool lent = i & 2;
        both_open(w, &s, families[i & 1]);
        for (int k = 0; k < 10; k++) {
            told t = {0};
            if (k % 2) datagram_start(w, &t, &s.b, lent, sizeof into), steps(w, 2), assert_int_equal(t.times, 0);
            assert_int_equal(datagram_send(w, &s.a, &s.at_b, "moonlight", (size_t)k),
                             k); /* 0 bytes are a datagram too */
            assert_int_equal(k % 2 ? await(w, &t) : datagram_receive(w, &s.b, lent, sizeof into), k);
            assert_memory_equal(into, "moonlight", (size_t)k);
            assert_false(got.truncated);
            assert_from(&s.at_a);
            assert_int_equal(datagram_send(w, &s.b, &got.address, "echo", 4), 4); /* back to wherever it came from */
            assert_int_equal(datagram_receive(w, &s.a, lent, sizeof into), 4);
            assert_from(&s.at_b);
        }
        both_close(w, &s);
    }
}

static void several_are_received_one_by_one_in_order(void **state) {
    enum { MANY = 50 };
    world *w = *state;
    both   s;
    both_open(w, &s, SAROS_INET);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < MANY; i++) assert_int_equal(datagram_send(w, &s.a, &s.at_b, bytes, (size_t)(i % 7)), i % 7);
        for (int i = 0; i < MANY; i++) assert_int_equal(datagram_receive(w, &s.b, (i + round) % 2, sizeof into), i % 7);
    }
    both_close(w, &s);
}

static void the_longest_goes_and_what_is_longer_is_refused(void **state) {
    world *w = *state;
    both   s;
    both_open(w, &s, SAROS_INET);
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (char)(i * 2654435761u >> 13);
    assert_result(datagram_send(w, &s.a, &s.at_b, bytes, LONGEST + 1), SAROS_EMSGSIZE);
    assert_result(datagram_send(w, &s.a, &s.at_b, bytes, (size_t)LONGEST + 65536), SAROS_EMSGSIZE);
    for (int lent = 0; lent < 2; lent++) {
        assert_int_equal(datagram_send(w, &s.a, &s.at_b, bytes, LONGEST), LONGEST);
        assert_int_equal(datagram_receive(w, &s.b, lent, lent ? 0 : sizeof into), LONGEST);
        assert_memory_equal(into, bytes, LONGEST);
        assert_false(got.truncated);
    }
    both_close(w, &s);
}

static void what_has_no_room_is_cut_and_says_so(void **state) {
    world *w = *state;
    both   s;
    both_open(w, &s, SAROS_INET);
    for (int lent = 0; lent < 2; lent++) {
        datagram_send(w, &s.a, &s.at_b, "moonlight", 9);
        datagram_send(w, &s.a, &s.at_b, "moon", 4);
        assert_int_equal(datagram_receive(w, &s.b, lent, 4), 4);
        assert_memory_equal(into, "moon?", 5);
        assert_true(got.truncated);
        assert_from(&s.at_a);
        assert_int_equal(datagram_receive(w, &s.b, lent, 4),
                         4); /* the rest is gone, and does not stand before the next one */
        assert_memory_equal(into, "moon?", 5);
        assert_false(got.truncated);
    }
    both_close(w, &s);
}

static void a_socket_for_both_families_has_to_do_with_both(void **state) {
    static const int families[] = {SAROS_INET, SAROS_INET6};
    world           *w = *state;
    saros_handle     both_handle = {0}, one;
    saros_address    address = {.family = SAROS_INET6, .dual = true}, at;
    assert_result(perform(w, SAROS_OP_DATAGRAM, &both_handle, &address, 0), 0);
    for (int i = 0; i < 2; i++) {
        at = datagrams_open(w, &one, families[i]);
        assert_int_equal(datagram_send(w, &both_handle, &at, "x", 1), 1);
        assert_int_equal(datagram_receive(w, &one, true, 0), 1);
        assert_int_equal(got.address.family, families[i]);
        assert_int_equal(got.address.port, address.port);
        assert_int_equal(datagram_send(w, &one, &got.address, "yz", 2), 2);
        assert_int_equal(datagram_receive(w, &both_handle, true, 0), 2);
        assert_from(&at);
        if (families[i] == SAROS_INET) {
            at.family = SAROS_INET6;
            assert_result(datagram_send(w, &one, &at, "x", 1), SAROS_EAFNOSUPPORT);
        }
        close_now(w, &one);
    }
    close_now(w, &both_handle);
}

static void two_sockets_talk_both_ways_at_once(void **state) {
    enum { ROUNDS = 200 };
    world         *w = *state;
    told           in[2] = {{.times = 0}};
    saros_datagram from[2] = {{.truncated = false}};
    char           room[2][8];
    both           s;
    both_open(w, &s, SAROS_INET);
    for (int i = 0; i < ROUNDS; i++) {
        for (int k = 0; k < 2; k++) {
            from[k].buffer = room[k];
            start(w, &in[k], SAROS_OP_RECVFROM, k ? &s.b : &s.a, &from[k], 8);
        }
        assert_int_equal(datagram_send(w, &s.a, &s.at_b, &i, sizeof i), sizeof i);
        assert_int_equal(datagram_send(w, &s.b, &s.at_a, &i, sizeof i), sizeof i);
        for (int k = 0; k < 2; k++) {
            assert_int_equal(await(w, &in[k]), sizeof i);
            assert_memory_equal(room[k], &i, sizeof i);
        }
    }
    both_close(w, &s);
}

/* ---- one peer alone --------------------------------------------------------------------------------------------- */

static void with_a_peer_it_has_to_do_with_that_one_alone(void **state) {
    world        *w = *state;
    saros_handle  stranger;
    saros_address at, name;
    both          s;
    both_open(w, &s, SAROS_INET);
    at = datagrams_open(w, &stranger, SAROS_INET);
    assert_result(datagram_send(w, &s.a, NULL, "x", 1), SAROS_EDESTADDRREQ);
    assert_result(set_peer(w, &s.a, &s.at_b), 0);
    assert_result(perform(w, SAROS_OP_NAME, &s.a, &name, 1), 0);
    assert_int_equal(name.port, s.at_b.port);
    assert_result(datagram_send(w, &s.a, &at, "x", 1), SAROS_EISCONN);
    assert_int_equal(datagram_send(w, &s.a, NULL, "hi", 2), 2);
    assert_int_equal(datagram_receive(w, &s.b, true, 0), 2);
    assert_from(&s.at_a);
    assert_int_equal(datagram_send(w, &stranger, &s.at_a, "stranger", 8), 8);
    waits_during(w, MILLISECOND); /* until that is there */
    assert_int_equal(datagram_send(w, &s.b, &s.at_a, "peer", 4), 4);
    assert_int_equal(datagram_receive(w, &s.a, true, 0), 4);
    assert_from(&s.at_b);
    assert_result(set_peer(w, &s.a, &at), 0); /* another one */
    assert_int_equal(datagram_send(w, &s.a, NULL, "you", 3), 3);
    assert_int_equal(datagram_receive(w, &stranger, true, 0), 3);
    if (!under_wine()) {                           /* which does not know that Linux gives the port away */
        assert_result(set_peer(w, &s.a, NULL), 0); /* and none: where it is stays */
        assert_result(perform(w, SAROS_OP_NAME, &s.a, &name, 0), 0);
        assert_int_equal(name.port, s.at_a.port);
        assert_int_equal(datagram_send(w, &s.b, &s.at_a, "all", 3), 3);
        assert_int_equal(datagram_receive(w, &s.a, true, 0), 3);
    }
    close_now(w, &stranger);
    both_close(w, &s);
}

static void a_peer_that_is_not_there_is_told_once(void **state) {
    world        *w = *state;
    saros_address nobody;
    both          s;
    told          t = {0};
    if (under_wine()) world_skip(w, "Wine does not tell");
    both_open(w, &s, SAROS_INET);
    nobody = s.at_b;
    close_now(w, &s.b);
    for (int waits = 0; waits < 2; waits++) {
        assert_result(set_peer(w, &s.a, &nobody), 0);
        if (waits) datagram_start(w, &t, &s.a, true, 0), steps(w, 2);
        assert_int_equal(datagram_send(w, &s.a, NULL, "x", 1), 1);
        assert_result(waits ? await(w, &t) : datagram_receive(w, &s.a, true, 0), SAROS_ECONNREFUSED);
    }
    assert_result(perform(w, SAROS_OP_DATAGRAM, &s.b, &s.at_b, 0), 0); /* now it is */
    assert_int_equal(datagram_send(w, &s.a, NULL, "xy", 2), 2);
    assert_int_equal(datagram_receive(w, &s.b, true, 0), 2);
    assert_int_equal(datagram_send(w, &s.b, &s.at_a, "z", 1), 1);
    assert_int_equal(datagram_receive(w, &s.a, true, 0), 1);
    both_close(w, &s);
}

static void without_a_peer_nobody_is_told_that_nobody_was_there(void **state) {
    world        *w = *state;
    saros_address nobody;
    both          s;
    both_open(w, &s, SAROS_INET);
    nobody = s.at_b;
    close_now(w, &s.b);
    for (int i = 0; i < 3; i++) assert_int_equal(datagram_send(w, &s.a, &nobody, "x", 1), 1);
    s.at_b = datagrams_open(w, &s.b, SAROS_INET);
    assert_int_equal(datagram_send(w, &s.b, &s.at_a, "xy", 2), 2);
    assert_int_equal(datagram_receive(w, &s.a, true, 0), 2);
    both_close(w, &s);
}

/* ---- ending ----------------------------------------------------------------------------------------------------- */

static void a_cancelled_receive_loses_nothing(void **state) {
    world *w = *state;
    both   s;
    told   t = {0};
    int    lost = 0;
    both_open(w, &s, SAROS_INET);
    for (int i = 0; i < 60; i++) {
        datagram_start(w, &t, &s.a, i % 2, sizeof into);
        if (i % 3) steps(w, 1);
        saros_datagram out = {.address = s.at_a, .data = "abc"};
        told           sending = {0};
        prepare(w, &sending);
        sending.op.kind = SAROS_OP_SENDTO;
        sending.op.handle = &s.b;
        sending.op.datagram = &out;
        sending.op.size = 3;
        bool sent = saros_submit_now(w->loop, &sending.op);
        if (i % 5 == 0) steps(w, 1);
        saros_cancel(w->loop, &t.op);
        int64_t result = await(w, &t);
        assert_int_equal(sent ? sending.op.result : await(w, &sending), 3);
        if (result == 3) continue;
        assert_result(result, SAROS_ECANCELED);
        lost++;
        assert_int_equal(datagram_receive(w, &s.a, i % 2, sizeof into), 3); /* it is still there */
        assert_from(&s.at_b);
    }
    assert_true(lost > 0);
    both_close(w, &s);
}

static void readiness_tells_of_datagrams(void **state) {
    world *w = *state;
    both   s;
    told   t = {0};
    both_open(w, &s, SAROS_INET);
    assert_int_equal(perform(w, SAROS_OP_POLL, &s.a, NULL, SAROS_READABLE | SAROS_WRITABLE), SAROS_WRITABLE);
    start(w, &t, SAROS_OP_POLL, &s.a, NULL, SAROS_READABLE);
    steps(w, 2);
    assert_int_equal(t.times, 0);
    datagram_send(w, &s.b, &s.at_a, "", 0);
    assert_int_equal(await(w, &t), SAROS_READABLE);
    assert_int_equal(datagram_receive(w, &s.a, true, 0), 0);
    both_close(w, &s);
}

static void a_close_ends_who_waits(void **state) {
    world *w = *state;
    both   s;
    told   t = {0};
    for (int lent = 0; lent < 2; lent++) {
        both_open(w, &s, SAROS_INET);
        datagram_start(w, &t, &s.a, lent, sizeof into);
        if (lent) steps(w, 2);
        close_now(w, &s.a);
        assert_int_equal(t.times, 1);
        assert_result(t.result, SAROS_ECLOSED);
        close_now(w, &s.b);
    }
}

static void what_nobody_receives_keeps_nobody_awake(void **state) {
    world *w = *state;
    both   s;
    told   t = {0};
    both_open(w, &s, SAROS_INET);
    datagram_start(w, &t, &s.a, true, 0);
    steps(w, 1);
    datagram_send(w, &s.b, &s.at_a, "x", 1);
    assert_int_equal(await(w, &t), 1); /* watched from here on, by whoever watches */
    for (int i = 0; i < 5; i++) datagram_send(w, &s.b, &s.at_a, "x", 1);
    assert_in_range(waits_during(w, 50 * MILLISECOND), 0, 12);
    for (int i = 0; i < 5; i++) assert_int_equal(datagram_receive(w, &s.a, true, 0), 1);
    both_close(w, &s);
}

static void a_loop_closes_sockets_whatever_waits(void **state) {
    world      *w = *state;
    static both s;
    static told t;
    t = (told){0};
    both_open(w, &s, SAROS_INET);
    datagram_start(w, &t, &s.a, true, 0);
    world_close(w);
    assert_int_equal(t.times, 1);
}

static void datagrams_allocate_nothing(void **state) {
    world *w = *state;
    both   s;
    size_t before = 0;
    kernel_only(w); /* a simulated network has to keep them somewhere */
    both_open(w, &s, SAROS_INET);
    for (int i = 0; i < 1000; i++) {
        told t = {0};
        datagram_start(w, &t, &s.a, i % 2, 100);
        datagram_send(w, &s.b, &s.at_a, "xyz", 3);
        assert_int_equal(await(w, &t), 3);
        if (i == 10) before = w->memory.calls;
    }
    assert_int_equal(w->memory.calls, before);
    both_close(w, &s);
}

int conform_datagrams(void) {
    const struct CMUnitTest tests[] = {
        WORLD_TEST(a_socket_is_there_at_once),
        WORLD_TEST(a_place_that_is_taken_or_nobodys_is_refused),
        WORLD_TEST(each_kind_is_for_handles_of_its_sort),
        WORLD_TEST(what_is_sent_arrives_whole_and_tells_from_whom),
        WORLD_TEST(several_are_received_one_by_one_in_order),
        WORLD_TEST(the_longest_goes_and_what_is_longer_is_refused),
        WORLD_TEST(what_has_no_room_is_cut_and_says_so),
        WORLD_TEST(a_socket_for_both_families_has_to_do_with_both),
        WORLD_TEST(two_sockets_talk_both_ways_at_once),
        WORLD_TEST(with_a_peer_it_has_to_do_with_that_one_alone),
        WORLD_TEST(a_peer_that_is_not_there_is_told_once),
        WORLD_TEST(without_a_peer_nobody_is_told_that_nobody_was_there),
        WORLD_TEST(a_cancelled_receive_loses_nothing),
        WORLD_TEST(readiness_tells_of_datagrams),
        WORLD_TEST(a_close_ends_who_waits),
        WORLD_TEST(what_nobody_receives_keeps_nobody_awake),
        WORLD_TEST(a_loop_closes_sockets_whatever_waits),
        WORLD_TEST(datagrams_allocate_nothing),
    };
    return cmocka_run_group_tests_name(group_name("datagrams"), tests, NULL, NULL);
}
