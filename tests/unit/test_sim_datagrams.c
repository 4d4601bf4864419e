/* test_sim_datagrams.c: datagrams between simulated hosts, and what a network may do to them. */
#include <stdio.h>
#include <string.h>

#include "support/sim_both.h"

enum { MANY = 200 };

typedef struct post {
    saros_handle  a, b; /* on the hosts of these names */
    saros_address at_a, at_b;
} post;

static void open_on(world *w, const char *host, saros_handle *handle, saros_address *at) {
    saros_address found[2], any = {.family = SAROS_INET};
    assert_result(saros_sim_host(w->loop, host), 0);
    assert_result(saros_sim_on(w->loop, host), 0);
    *handle = (saros_handle){0};
    assert_result(perform(w, SAROS_OP_DATAGRAM, handle, &any, 0), 0);
    saros_sim_lookup(w->loop, host, found);
    *at = found[0];
    at->port = any.port;
}

static void open_post(world *w, post *p) {
    open_on(w, "a", &p->a, &p->at_a);
    open_on(w, "b", &p->b, &p->at_b);
}

static void close_post(world *w, post *p) {
    close_now(w, &p->a);
    close_now(w, &p->b);
}

static int64_t send_to(world *w, saros_handle *from, const saros_address *to, const void *data, size_t size) {
    saros_datagram datagram = {.data = data};
    if (to != NULL) datagram.address = *to;
    return perform(w, SAROS_OP_SENDTO, from, &datagram, size);
}

/* The number that it holds; -1: nothing comes in time. */
static int received(world *w, saros_handle *handle) {
    int            number = -1;
    saros_datagram datagram = {.buffer = &number};
    told           t = {0}, timer = {0};
    start(w, &t, SAROS_OP_RECVFROM, handle, &datagram, sizeof number);
    start_timer(w, &timer, 10 * SAROS_SECOND);
    AWAIT(w, t.times > 0 || timer.times > 0);
    saros_cancel(w->loop, &t.op);
    saros_cancel(w->loop, &timer.op);
    await(w, &timer);
    int64_t result = await(w, &t);
    if (result == SAROS_ECANCELED) return -1;
    assert_int_equal(result, sizeof number);
    return number;
}

/* Numbers from 0 on; what came of them, in a sum, and how often each. */
static uint64_t send_numbers(world *w, int *times, int *late) {
    uint64_t sum = 0;
    int      last = -1;
    post     p;
    memset(times, 0, MANY * sizeof *times);
    open_post(w, &p);
    for (int i = 0; i < MANY; i++) assert_int_equal(send_to(w, &p.a, &p.at_b, &i, sizeof i), sizeof i);
    for (int number; (number = received(w, &p.b)) >= 0; last = number > last ? number : last) {
        assert_in_range(number, 0, MANY - 1);
        times[number]++;
        *late += number < last;
        sum = (sum ^ (uint64_t)number) * UINT64_C(1099511628211);
    }
    close_post(w, &p);
    return sum;
}

ON_BOTH(without_faults_all_arrive_once_and_in_order) {
    int times[MANY], late = 0;
    send_numbers(w, times, &late);
    for (int i = 0; i < MANY; i++) assert_int_equal(times[i], 1);
    assert_int_equal(late, 0);
}

static void check_fault(world *w, const char *name, const char *kernel) {
    char faults[60];
    int  times[MANY], late = 0, lost = 0, twice = 0;
    snprintf(faults, sizeof faults, "%s,%s=0.3:40", kernel, name);
    sim_open(w, faults, 3);
    uint64_t sum = send_numbers(w, times, &late);
    for (int i = 0; i < MANY; i++) {
        lost += times[i] == 0;
        twice += times[i] > 1;
    }
    int64_t happened = saros_sim_happened(w->loop, name);
    assert_int_equal(happened, 40); /* of some 60 chances */
    assert_int_equal(lost, strcmp(name, "lost") == 0 ? happened : 0);
    assert_int_equal(twice, strcmp(name, "doubled") == 0 ? happened : 0);
    assert_int_equal(late > 0, strcmp(name, "overtaken") == 0);
    world_close(w);
    int again[MANY];
    sim_open(w, faults, 3);
    assert_true(send_numbers(w, again, &late) == sum); /* the same seed, the same run */
    assert_memory_equal(times, again, sizeof times);
    world_close(w);
    sim_open(w, faults, 4);
    assert_false(send_numbers(w, again, &late) == sum);
    world_close(w);
}

static void they_are_lost_doubled_and_overtaken_as_asked(void **state) {
    static const char *const kinds[] = {"lost", "doubled", "overtaken"};
    for (int i = 0; i < 6; i++) check_fault(*state, kinds[i / 2], i % 2 ? "completion" : "readiness");
}

ON_BOTH(a_cut_link_loses_them_and_one_that_refuses_says_so) {
    saros_setting setting = {.option = SAROS_OPTION_PEER};
    int           number = 1;
    post          p;
    open_post(w, &p);
    setting.address = p.at_b;
    assert_result(perform(w, SAROS_OP_OPTION, &p.a, &setting, 0), 0);
    assert_result(saros_sim_link(w->loop, "a", "b", SAROS_SIM_CUT), 0);
    assert_int_equal(send_to(w, &p.a, NULL, &number, sizeof number), sizeof number);
    assert_int_equal(received(w, &p.b), -1);
    assert_result(saros_sim_link(w->loop, "a", "b", SAROS_SIM_REFUSED), 0);
    assert_int_equal(send_to(w, &p.a, NULL, &number, sizeof number), sizeof number);
    saros_datagram datagram = {.buffer = &number};
    assert_result(perform(w, SAROS_OP_RECVFROM, &p.a, &datagram, sizeof number), SAROS_ECONNREFUSED);
    assert_result(saros_sim_link(w->loop, "a", "b", SAROS_SIM_UP), 0);
    assert_int_equal(send_to(w, &p.a, NULL, &number, sizeof number), sizeof number);
    assert_int_equal(received(w, &p.b), 1); /* what the cut has swallowed does not come again */
    assert_int_equal(received(w, &p.b), -1);
    close_post(w, &p);
}

ON_BOTH(a_full_buffer_loses_what_comes_then) {
    saros_setting setting = {.option = SAROS_OPTION_RECEIVE_BUFFER, .value = 40};
    post          p;
    open_post(w, &p);
    assert_result(perform(w, SAROS_OP_OPTION, &p.b, &setting, 0), 0);
    for (int i = 0; i < 20; i++) send_to(w, &p.a, &p.at_b, &i, sizeof i);
    waits_during(w, SAROS_SECOND);
    for (int i = 0; i < 10; i++) assert_int_equal(received(w, &p.b), i);
    assert_int_equal(received(w, &p.b), -1);
    close_post(w, &p);
}

ON_BOTH(who_has_no_room_to_send_waits_for_it) {
    saros_setting setting = {.option = SAROS_OPTION_SEND_BUFFER, .value = 10};
    post          p;
    open_post(w, &p);
    assert_result(perform(w, SAROS_OP_OPTION, &p.a, &setting, 0), 0);
    assert_result(saros_sim_latency(w->loop, "a", "b", SAROS_SECOND, SAROS_SECOND), 0);
    saros_time began = saros_now(w->loop);
    for (int i = 0; i < 4; i++) assert_int_equal(send_to(w, &p.a, &p.at_b, &i, sizeof i), sizeof i);
    assert_in_range(saros_now(w->loop) - began, SAROS_SECOND, SAROS_SECOND + SAROS_SECOND / 10);
    for (int i = 0; i < 4; i++) assert_int_equal(received(w, &p.b), i);
    saros_datagram datagram = {.data = "123456789", .address = p.at_b};
    told           first = {0}, second = {0};
    start(w, &first, SAROS_OP_SENDTO, &p.a, &datagram, 9);
    assert_int_equal(await(w, &first), 9);
    start(w, &second, SAROS_OP_SENDTO, &p.a, &datagram, 9);
    steps(w, 3);
    saros_cancel(w->loop, &second.op);
    assert_result(await(w, &second), SAROS_ECANCELED);
    close_post(w, &p);
}

ON_BOTH(a_group_is_heard_on_every_host_where_it_was_joined) {
    saros_setting setting = {.option = SAROS_OPTION_JOIN,
                             .address = {.family = SAROS_INET, .at = {.ip = {239, 1, 2, 3}}}};
    int           number = 7;
    saros_handle  c;
    saros_address to = setting.address, at_c, any;
    post          p;
    open_post(w, &p);
    any = (saros_address){.family = SAROS_INET, .port = p.at_b.port};
    assert_result(saros_sim_host(w->loop, "c"), 0);
    assert_result(saros_sim_on(w->loop, "c"), 0);
    c = (saros_handle){0};
    assert_result(perform(w, SAROS_OP_DATAGRAM, &c, &any, 0), 0); /* the port of b, on another host */
    assert_result(perform(w, SAROS_OP_NAME, &c, &at_c, 0), 0);
    to.port = at_c.port;
    assert_result(perform(w, SAROS_OP_OPTION, &p.b, &setting, 0), 0);
    send_to(w, &p.a, &to, &number, sizeof number);
    assert_int_equal(received(w, &p.b), 7);
    assert_int_equal(received(w, &c), -1);
    assert_result(perform(w, SAROS_OP_OPTION, &c, &setting, 0), 0);
    assert_result(perform(w, SAROS_OP_OPTION, &c, &setting, 0), SAROS_EADDRINUSE);
    assert_result(saros_sim_link(w->loop, "a", "b", SAROS_SIM_CUT), 0);
    send_to(w, &p.a, &to, &number, sizeof number);
    assert_int_equal(received(w, &c), 7);
    assert_int_equal(received(w, &p.b), -1);
    setting = (saros_setting){.option = SAROS_OPTION_MULTICAST_TTL, .value = 0};
    assert_result(perform(w, SAROS_OP_OPTION, &p.a, &setting, 0), 0);
    send_to(w, &p.a, &to, &number, sizeof number); /* it does not leave its host */
    assert_int_equal(received(w, &c), -1);
    close_now(w, &c);
    close_post(w, &p);
}

ON_BOTH(a_host_that_there_is_not_cannot_be_reached) {
    saros_address nobody = {.family = SAROS_INET, .port = 9, .at = {.ip = {192, 0, 2, 1}}};
    saros_setting setting = {.option = SAROS_OPTION_PEER, .address = nobody};
    post          p;
    open_post(w, &p);
    assert_result(send_to(w, &p.a, &nobody, "x", 1), SAROS_EHOSTUNREACH);
    assert_result(perform(w, SAROS_OP_OPTION, &p.a, &setting, 0), SAROS_EHOSTUNREACH);
    assert_result(send_to(w, &p.a, NULL, "x", 1), SAROS_EDESTADDRREQ);
    close_post(w, &p);
}

ON_BOTH(a_socket_that_closes_leaves_nothing_on_the_way) {
    int  number = 5;
    post p;
    open_post(w, &p);
    for (int i = 0; i < 5; i++) send_to(w, &p.a, &p.at_b, &number, sizeof number);
    close_now(w, &p.a); /* the datagrams go on without it */
    for (int i = 0; i < 5; i++) assert_int_equal(received(w, &p.b), 5);
    open_on(w, "a", &p.a, &p.at_a);
    for (int i = 0; i < 5; i++) send_to(w, &p.a, &p.at_b, &number, sizeof number);
    close_post(w, &p); /* and some may still be when the world ends */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        BARE_TEST(without_faults_all_arrive_once_and_in_order),
        BARE_TEST(they_are_lost_doubled_and_overtaken_as_asked),
        BARE_TEST(a_cut_link_loses_them_and_one_that_refuses_says_so),
        BARE_TEST(a_full_buffer_loses_what_comes_then),
        BARE_TEST(who_has_no_room_to_send_waits_for_it),
        BARE_TEST(a_group_is_heard_on_every_host_where_it_was_joined),
        BARE_TEST(a_host_that_there_is_not_cannot_be_reached),
        BARE_TEST(a_socket_that_closes_leaves_nothing_on_the_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
