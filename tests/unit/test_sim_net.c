/* test_sim_net.c: the network of the simulated world: hosts and their addresses, links and how long they take, what a
 * connection is told of the other end. */
#include <stdio.h>
#include <string.h>

#include "support/sim_both.h"

static char buffer[300000];

static saros_address at(world *w, const char *host, int port) {
    saros_address found[2];
    assert_int_equal(saros_sim_lookup(w->loop, host, found), 2);
    found[0].port = (uint16_t)port;
    return found[0];
}

static int64_t connect_to(world *w, saros_handle *client, const char *from, saros_address to) {
    assert_result(saros_sim_on(w->loop, from), 0);
    int64_t result = perform(w, SAROS_OP_CONNECT, client, &to, 0);
    saros_sim_on(w->loop, NULL);
    return result;
}

/* "a" listens at port 80, and "b" has a connection to it. */
static void two_hosts(world *w, pair *p) {
    told accept_op = {0};
    *p = (pair){0};
    assert_result(saros_sim_host(w->loop, "a"), 0);
    assert_result(saros_sim_host(w->loop, "b"), 0);
    p->address = at(w, "a", 80);
    assert_result(perform(w, SAROS_OP_LISTEN, &p->listener, &p->address, 0), 0);
    start(w, &accept_op, SAROS_OP_ACCEPT, &p->listener, &p->server, 0);
    assert_result(connect_to(w, &p->client, "b", p->address), 0);
    assert_result(await(w, &accept_op), 0);
}

/* ---- hosts ------------------------------------------------------------------------------------------------------ */

ON_BOTH(a_host_has_addresses_that_others_see) {
    saros_address found[2];
    char          text[SAROS_ADDRESS_TEXT];
    assert_result(saros_sim_lookup(w->loop, "db.example", found), SAROS_ENAME);
    assert_result(saros_sim_host(w->loop, "db.example"), 0);
    assert_result(saros_sim_host(w->loop, "DB.example"), 0); /* the same one */
    assert_int_equal(saros_sim_lookup(w->loop, "Db.Example", found), 2);
    saros_address_format(&found[0], text);
    assert_string_equal(text, "10.0.0.2:0");
    saros_address_format(&found[1], text);
    assert_string_equal(text, "[fd00::2]:0");
    assert_int_equal(saros_sim_lookup(w->loop, "localhost", found), 2);
    saros_address_format(&found[0], text);
    assert_string_equal(text, "127.0.0.1:0");
    saros_address_format(&found[1], text);
    assert_string_equal(text, "[::1]:0");
    assert_string_equal(saros_sim_host_at(w->loop, 0), "localhost");
    assert_string_equal(saros_sim_host_at(w->loop, 1), "db.example");
    assert_null(saros_sim_host_at(w->loop, 2));
}

ON_BOTH(a_name_that_cannot_be_one_is_refused) {
    static const char *const wrong[] = {"", ".", "-a", "a-", "a b", "a:b", "a/b", "\xc3\xa4", "a..b\n"};
    char                     longest[SAROS_SIM_NAME + 1] = {0};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_result(saros_sim_host(w->loop, wrong[i]), SAROS_EINVAL);
    memset(longest, 'x', SAROS_SIM_NAME);
    assert_result(saros_sim_host(w->loop, longest), SAROS_EINVAL);
    longest[SAROS_SIM_NAME - 1] = 0;
    assert_result(saros_sim_host(w->loop, longest), 0);
    assert_string_equal(saros_sim_host_at(w->loop, 1), longest);
}

ON_BOTH(many_hosts_have_many_addresses) {
    char          name[20], text[SAROS_ADDRESS_TEXT];
    saros_address found[2];
    const char   *first = NULL;
    for (int i = 0; i < 600; i++) {
        snprintf(name, sizeof name, "host%d", i);
        assert_result(saros_sim_host(w->loop, name), 0);
        if (i == 0) first = saros_sim_host_at(w->loop, 1);
    }
    assert_ptr_equal(first, saros_sim_host_at(w->loop, 1)); /* a name stays where it is */
    assert_int_equal(saros_sim_lookup(w->loop, "host599", found), 2);
    saros_address_format(&found[0], text);
    assert_string_equal(text, "10.0.2.89:0");
}

ON_BOTH(both_ends_know_who_the_other_is) {
    pair          p;
    saros_address name;
    char          text[SAROS_ADDRESS_TEXT];
    two_hosts(w, &p);
    assert_result(perform(w, SAROS_OP_NAME, &p.server, &name, 1), 0);
    saros_address_format(&name, text);
    assert_string_equal(text, "10.0.0.3:49152"); /* of those given out, the first */
    assert_result(perform(w, SAROS_OP_NAME, &p.client, &name, 1), 0);
    saros_address_format(&name, text);
    assert_string_equal(text, "10.0.0.2:80");
    pair_close(w, &p);
}

ON_BOTH(who_connects_and_listens_is_on_the_current_host) {
    saros_address any = {.family = SAROS_INET6, .dual = true, .port = 80}, name;
    saros_handle  listener = {0}, client = {0};
    char          text[SAROS_ADDRESS_TEXT];
    saros_sim_host(w->loop, "a");
    assert_result(saros_sim_on(w->loop, "nobody"), SAROS_ENAME);
    assert_string_equal(saros_sim_where(w->loop), "localhost");
    assert_result(saros_sim_on(w->loop, "A"), 0);
    assert_string_equal(saros_sim_where(w->loop), "a");
    assert_result(perform(w, SAROS_OP_LISTEN, &listener, &any, 0), 0);
    saros_sim_on(w->loop, NULL);
    assert_string_equal(saros_sim_where(w->loop), "localhost");
    assert_result(connect_to(w, &client, NULL, at(w, "a", 80)), 0);
    assert_result(perform(w, SAROS_OP_NAME, &client, &name, 0), 0);
    saros_address_format(&name, text);
    assert_string_equal(text, "10.0.0.1:49152"); /* localhost, as others see it */
    close_now(w, &client);
    assert_result(connect_to(w, &client, NULL, at(w, "localhost", 80)), SAROS_ECONNREFUSED);
    assert_result(connect_to(w, &client, "a", at(w, "localhost", 80)), 0); /* everybody's loopback is his own */
    close_now(w, &client);
    close_now(w, &listener);
}

ON_BOTH(loopback_is_not_reached_from_outside) {
    saros_handle  listener = {0}, client = {0};
    saros_address address = at(w, "localhost", 80);
    saros_sim_host(w->loop, "a");
    assert_result(perform(w, SAROS_OP_LISTEN, &listener, &address, 0), 0);
    address = (saros_address){.family = SAROS_INET, .port = 80, .at = {.ip = {10, 0, 0, 1}}};
    assert_result(connect_to(w, &client, "a", address), SAROS_ECONNREFUSED);
    close_now(w, &listener);
}

ON_BOTH(addresses_of_nobody_are_named_so) {
    static const uint8_t ips[][4] = {{10, 0, 0, 77}, {10, 0, 0, 0}, {10, 0, 255, 255}, {192, 0, 2, 1}, {8, 8, 8, 8}};
    saros_handle         handle = {0};
    for (size_t i = 0; i < sizeof ips / sizeof *ips; i++) {
        saros_address address = {.family = SAROS_INET, .port = 80};
        memcpy(address.at.ip, ips[i], 4);
        assert_result(perform(w, SAROS_OP_CONNECT, &handle, &address, 0), SAROS_EHOSTUNREACH);
        assert_result(perform(w, SAROS_OP_LISTEN, &handle, &address, 0), SAROS_EADDRNOTAVAIL);
        assert_int_equal(handle.state, SAROS_HANDLE_EMPTY);
    }
}

ON_BOTH(ports_are_given_out_one_after_the_other) {
    saros_handle  listeners[3] = {0};
    saros_address address = at(w, "localhost", 49153);
    assert_result(perform(w, SAROS_OP_LISTEN, &listeners[0], &address, 0), 0);
    const int ports[] = {49152, 49154};
    for (int i = 0; i < 2; i++) {
        address.port = 0;
        assert_result(perform(w, SAROS_OP_LISTEN, &listeners[i + 1], &address, 0), 0);
        assert_int_equal(address.port, ports[i]);
    }
    for (int i = 0; i < 3; i++) close_now(w, &listeners[i]);
}

ON_BOTH(a_path_is_the_hosts_own) {
    saros_handle  listener = {0}, client = {0};
    saros_address address;
    const char   *why;
    saros_sim_host(w->loop, "a");
    assert_int_equal(saros_address_path(&address, "/run/it", 7, &why), 0);
    assert_result(perform(w, SAROS_OP_LISTEN, &listener, &address, 0), 0);
    assert_result(connect_to(w, &client, "a", address), SAROS_ENOENT);
    assert_result(connect_to(w, &client, NULL, address), 0);
    close_now(w, &client);
    close_now(w, &listener);
}

/* ---- how long it takes ------------------------------------------------------------------------------------------ */

ON_BOTH(a_segment_takes_as_long_as_its_link_says) {
    pair p;
    told receive = {0};
    two_hosts(w, &p);
    assert_result(saros_sim_latency(w->loop, "a", "b", 5 * MILLISECOND, 6 * MILLISECOND), 0);
    saros_time least = SAROS_FOREVER, most = 0;
    for (int i = 0; i < 100; i++) {
        start(w, &receive, SAROS_OP_RECV, &p.server, buffer, 10);
        send_all(w, &p.client, "x", 1);
        saros_time span = sim_span(w, &receive);
        if (span < least) least = span;
        if (span > most) most = span;
    }
    assert_true(least >= 5 * MILLISECOND - 10000 && least < 5200000); /* the looks of the send itself take time */
    assert_true(most > 5800000 && most <= 6 * MILLISECOND);
    assert_result(saros_sim_latency(w->loop, NULL, NULL, 0, 0), 0);
    start(w, &receive, SAROS_OP_RECV, &p.server, buffer, 10);
    send_all(w, &p.client, "x", 1);
    assert_true(sim_span(w, &receive) < 10000);
    pair_close(w, &p);
}

ON_BOTH(latency_that_cannot_be_is_refused) {
    saros_sim_host(w->loop, "a");
    assert_result(saros_sim_latency(w->loop, "a", NULL, -1, 5), SAROS_EINVAL);
    assert_result(saros_sim_latency(w->loop, "a", NULL, 5, 4), SAROS_EINVAL);
    assert_result(saros_sim_latency(w->loop, "a", NULL, 0, 3601 * SAROS_SECOND), SAROS_EINVAL);
    assert_result(saros_sim_latency(w->loop, "a", "b", 0, 1), SAROS_ENAME);
    assert_result(saros_sim_latency(w->loop, NULL, "a", 0, 1), SAROS_EINVAL);
    assert_result(saros_sim_latency(w->loop, "a", "a", 0, 1), 0);
}

ON_BOTH(segments_do_not_overtake_each_other) {
    enum { BYTES = 20000 };
    pair   p;
    size_t got = 0;
    two_hosts(w, &p);
    saros_sim_latency(w->loop, NULL, NULL, 0, 50 * MILLISECOND);
    for (int i = 0; i < BYTES; i++) buffer[i] = (char)(i * 7 >> 3);
    for (int i = 0; i < BYTES; i += 100) assert_int_equal(perform(w, SAROS_OP_SEND, &p.client, buffer + i, 100), 100);
    while (got < BYTES) {
        char    piece[3000];
        int64_t size = perform(w, SAROS_OP_RECV, &p.server, piece, sizeof piece);
        assert_true(size > 0);
        assert_memory_equal(piece, buffer + got, (size_t)size);
        got += (size_t)size;
    }
    pair_close(w, &p);
}

ON_BOTH(who_sends_more_than_is_read_has_to_wait) {
    pair   p;
    told   send_op = {0};
    size_t sent = 0;
    two_hosts(w, &p);
    do {
        start(w, &send_op, SAROS_OP_SEND, &p.client, buffer, 10000);
        step_for(w, SAROS_SECOND);
        if (send_op.times > 0) sent += (size_t)send_op.result;
    } while (send_op.times > 0 && sent < 1000000);
    assert_int_equal(send_op.times, 0);
    assert_int_equal(sent, 65536);
    assert_int_equal(perform(w, SAROS_OP_RECV, &p.server, buffer, 100), 100);
    assert_int_equal(await(w, &send_op), 100); /* as much as there is room for again */
    pair_close(w, &p);
}

/* ---- links ------------------------------------------------------------------------------------------------------ */

ON_BOTH(a_connect_over_a_cut_link_times_out) {
    saros_handle client = {0};
    told         connect_op = {0};
    pair         p;
    two_hosts(w, &p);
    assert_result(saros_sim_link(w->loop, "a", "b", SAROS_SIM_CUT), 0);
    saros_sim_on(w->loop, "b");
    start(w, &connect_op, SAROS_OP_CONNECT, &client, &p.address, 0);
    saros_sim_on(w->loop, NULL);
    saros_time span = sim_span(w, &connect_op);
    assert_result(connect_op.result, SAROS_ETIMEDOUT);
    assert_int_equal(client.state, SAROS_HANDLE_EMPTY);
    assert_true(span >= 127 * SAROS_SECOND && span < 128 * SAROS_SECOND);
    assert_result(connect_to(w, &client, NULL, p.address), 0); /* others get there */
    close_now(w, &client);
    pair_close(w, &p);
}

ON_BOTH(a_connect_that_is_under_way_when_the_link_is_healed_succeeds) {
    saros_handle client = {0};
    told         connect_op = {0}, timer = {0};
    pair         p;
    two_hosts(w, &p);
    saros_sim_link(w->loop, "b", NULL, SAROS_SIM_CUT);
    saros_sim_on(w->loop, "b");
    start(w, &connect_op, SAROS_OP_CONNECT, &client, &p.address, 0);
    saros_sim_on(w->loop, NULL);
    start_timer(w, &timer, 10 * SAROS_SECOND);
    sim_span(w, &timer);
    assert_int_equal(connect_op.times, 0);
    saros_sim_link(w->loop, "b", NULL, SAROS_SIM_UP);
    assert_true(sim_span(w, &connect_op) <= 6 * SAROS_SECOND);
    assert_result(connect_op.result, 0);
    close_now(w, &client);
    pair_close(w, &p);
}

ON_BOTH(what_a_cut_link_held_back_arrives_when_it_is_healed) {
    told receive = {0}, timer = {0};
    pair p;
    two_hosts(w, &p);
    saros_sim_link(w->loop, "a", "b", SAROS_SIM_CUT);
    send_all(w, &p.client, "one", 3);
    start(w, &receive, SAROS_OP_RECV, &p.server, buffer, 3);
    start_timer(w, &timer, 20 * SAROS_SECOND);
    sim_span(w, &timer);
    assert_int_equal(receive.times, 0);
    saros_sim_link(w->loop, "a", "b", SAROS_SIM_UP);
    assert_true(sim_span(w, &receive) <= 20 * SAROS_SECOND);
    assert_int_equal(receive.result, 3);
    assert_memory_equal(buffer, "one", 3);
    saros_sim_link(w->loop, "a", "b", SAROS_SIM_CUT); /* and what comes later brings what was swallowed before it */
    send_all(w, &p.client, "two", 3);
    start_timer(w, &timer, 30 * SAROS_SECOND);
    sim_span(w, &timer);
    saros_sim_link(w->loop, "a", "b", SAROS_SIM_UP);
    start(w, &receive, SAROS_OP_RECV, &p.server, buffer, 10);
    send_all(w, &p.client, "three", 5);
    assert_true(sim_span(w, &receive) < SAROS_SECOND);
    assert_int_equal(receive.result, 8);
    assert_memory_equal(buffer, "twothree", 8);
    pair_close(w, &p);
}

ON_BOTH(who_sends_over_a_cut_link_gives_up_in_the_end) {
    told receive = {0};
    pair p;
    two_hosts(w, &p);
    saros_sim_link(w->loop, "a", "b", SAROS_SIM_CUT);
    start(w, &receive, SAROS_OP_RECV, &p.client, buffer, 3);
    send_all(w, &p.client, "one", 3);
    saros_time span = sim_span(w, &receive);
    assert_result(receive.result, SAROS_ETIMEDOUT);
    assert_true(span > 600 * SAROS_SECOND && span < 1200 * SAROS_SECOND);
    assert_result(perform(w, SAROS_OP_SEND, &p.client, "x", 1), SAROS_EPIPE);
    pair_close(w, &p);
}

ON_BOTH(a_link_that_refuses_tells_so) {
    saros_handle client = {0};
    told         receive = {0};
    pair         p;
    two_hosts(w, &p);
    saros_sim_link(w->loop, NULL, NULL, SAROS_SIM_REFUSED);
    assert_result(connect_to(w, &client, "b", p.address), SAROS_ECONNREFUSED);
    start(w, &receive, SAROS_OP_RECV, &p.client, buffer, 3);
    send_all(w, &p.client, "one", 3);
    assert_result(await(w, &receive), SAROS_ECONNRESET);
    assert_result(connect_to(w, &client, "a", p.address), 0); /* inside a host there is no link */
    close_now(w, &client);
    pair_close(w, &p);
}

ON_BOTH(of_two_rules_the_later_holds) {
    saros_handle client = {0};
    pair         p;
    two_hosts(w, &p);
    saros_sim_host(w->loop, "c");
    size_t blocks = w->memory.bytes;
    for (int i = 0; i < 100; i++) { /* what is overruled costs nothing */
        saros_sim_link(w->loop, "a", "b", SAROS_SIM_CUT);
        saros_sim_link(w->loop, NULL, NULL, SAROS_SIM_REFUSED);
    }
    assert_true(w->memory.bytes < blocks + 200);
    saros_sim_link(w->loop, "b", NULL, SAROS_SIM_UP);
    assert_result(connect_to(w, &client, "b", p.address), 0);
    close_now(w, &client);
    assert_result(connect_to(w, &client, "c", p.address), SAROS_ECONNREFUSED);
    saros_sim_link(w->loop, "c", "a", SAROS_SIM_UP);
    assert_result(connect_to(w, &client, "c", p.address), 0);
    close_now(w, &client);
    assert_result(saros_sim_link(w->loop, "a", "a", SAROS_SIM_CUT), SAROS_EINVAL);
    assert_result(saros_sim_link(w->loop, "a", "nobody", SAROS_SIM_CUT), SAROS_ENAME);
    assert_result(saros_sim_link(w->loop, NULL, "a", SAROS_SIM_CUT), SAROS_EINVAL);
    pair_close(w, &p);
}

ON_BOTH(calm_heals_every_link) {
    saros_handle client = {0};
    pair         p;
    two_hosts(w, &p);
    saros_sim_latency(w->loop, "a", "b", SAROS_SECOND, SAROS_SECOND);
    saros_sim_link(w->loop, NULL, NULL, SAROS_SIM_CUT);
    saros_sim_link(w->loop, "a", "b", SAROS_SIM_REFUSED);
    assert_result(saros_sim_calm(w->loop), 0);
    saros_time before = saros_now(w->loop);
    assert_result(connect_to(w, &client, "b", p.address), 0);
    assert_true(saros_now(w->loop) - before >= 2 * SAROS_SECOND); /* far away it still is */
    close_now(w, &client);
    pair_close(w, &p);
}

/* ---- other drivers ---------------------------------------------------------------------------------------------- */

static void on_another_driver_there_is_no_world(void **state) {
    world        *w = *state;
    saros_address found[2];
    assert_int_equal(world_open(w, "none", NULL), 0);
    assert_result(saros_sim_host(w->loop, "a"), SAROS_ENOSYS);
    assert_result(saros_sim_lookup(w->loop, "localhost", found), SAROS_ENOSYS);
    assert_result(saros_sim_on(w->loop, NULL), SAROS_ENOSYS);
    assert_result(saros_sim_link(w->loop, NULL, NULL, SAROS_SIM_UP), SAROS_ENOSYS);
    assert_result(saros_sim_latency(w->loop, NULL, NULL, 0, 0), SAROS_ENOSYS);
    assert_result(saros_sim_calm(w->loop), SAROS_ENOSYS);
    assert_result(saros_sim_advance(w->loop, 1), SAROS_ENOSYS);
    assert_result(saros_sim_happened(w->loop, "short"), SAROS_ENOSYS);
    assert_null(saros_sim_where(w->loop));
    assert_null(saros_sim_host_at(w->loop, 0));
}

/* A cancel that was too late, because of bytes that were on the way, is heard when these are turned away. */
static void a_cancel_does_not_wait_for_what_was_turned_away(void **state) {
    static const char *const kernels[] = {"lost-cancel=1", "completion,lost-cancel=1"};
    world                   *w = *state;
    for (int i = 0; i < 2; i++) {
        pair p;
        told receive = {0};
        char got[3];
        sim_open(w, kernels[i], 1);
        two_hosts(w, &p);
        start(w, &receive, SAROS_OP_RECV, &p.server, got, 3);
        send_all(w, &p.client, "abc", 3);
        assert_result(saros_sim_link(w->loop, "a", "b", SAROS_SIM_REFUSED), 0);
        saros_cancel(w->loop, &receive.op);
        assert_int_equal(saros_sim_happened(w->loop, "lost-cancel"), 1);
        assert_result(await(w, &receive), SAROS_ECANCELED);
        pair_close(w, &p);
        world_close(w);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        BARE_TEST(a_host_has_addresses_that_others_see),
        BARE_TEST(a_name_that_cannot_be_one_is_refused),
        BARE_TEST(many_hosts_have_many_addresses),
        BARE_TEST(both_ends_know_who_the_other_is),
        BARE_TEST(who_connects_and_listens_is_on_the_current_host),
        BARE_TEST(loopback_is_not_reached_from_outside),
        BARE_TEST(addresses_of_nobody_are_named_so),
        BARE_TEST(ports_are_given_out_one_after_the_other),
        BARE_TEST(a_path_is_the_hosts_own),
        BARE_TEST(a_segment_takes_as_long_as_its_link_says),
        BARE_TEST(latency_that_cannot_be_is_refused),
        BARE_TEST(segments_do_not_overtake_each_other),
        BARE_TEST(who_sends_more_than_is_read_has_to_wait),
        BARE_TEST(a_connect_over_a_cut_link_times_out),
        BARE_TEST(a_connect_that_is_under_way_when_the_link_is_healed_succeeds),
        BARE_TEST(what_a_cut_link_held_back_arrives_when_it_is_healed),
        BARE_TEST(who_sends_over_a_cut_link_gives_up_in_the_end),
        BARE_TEST(a_link_that_refuses_tells_so),
        BARE_TEST(of_two_rules_the_later_holds),
        BARE_TEST(calm_heals_every_link),
        BARE_TEST(on_another_driver_there_is_no_world),
        BARE_TEST(a_cancel_does_not_wait_for_what_was_turned_away),
    };
    return cmocka_run_group_tests_name("sim_net", tests, NULL, NULL);
}
