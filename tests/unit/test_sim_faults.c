/* test_sim_faults.c: what goes wrong in the simulated world when it is asked to: how it is asked, each fault by itself, and
 * what happens without memory. All of them together are in test_sim_chaos.c. */
#include <stdio.h>
#include <string.h>

#include "support/sim_both.h"

static char buffer[70000];

/* ---- how it is asked -------------------------------------------------------------------------------------------- */

static void a_list_of_faults_is_read_strictly(void **state) {
    static const struct {
        const char *faults, *why; /* a part of the reason; NULL: it is right */
    } cases[] = {
        {"short", NULL},
        {"readiness", NULL},
        {"completion,short=0.5,reset=1:3,calm=2.5", NULL},
        {"slow=0.000001,chaos,early=1.000000", NULL},
        {"calm=0", NULL},
        {"calm=10000000000", NULL}, /* never, on this clock */
        {"", "no fault \"\"; known: readiness completion chaos calm short slow refused reset blackhole emfile "
             "late-timers clock-jump lost-cancel shuffle spurious early"},
        {"shorts", "no fault \"shorts\"; known: readiness completion"},
        {"Short", "no fault \"Short\""},
        {"short,", "no fault \"\""},
        {",short", "no fault \"\""},
        {" short", "no fault \" short\""},
        {"short,short=0.5", "\"short=0.5\": given twice"},
        {"chaos,chaos", "given twice"},
        {"readiness,completion", "\"completion\": a kernel is named already"},
        {"completion=1", "\"completion=1\": takes no number"},
        {"chaos=0.5", "takes no number"},
        {"short=", "its chance is a number above 0 and up to 1"},
        {"short=0", "its chance"},
        {"short=1.1", "its chance"},
        {"short=-1", "its chance"},
        {"short=1e-1", "its chance"},
        {"short=0.0000001", "its chance"},
        {"short=.", "its chance"},
        {"short=0.5:", "its budget is a whole number above 0"},
        {"short=0.5:0", "its budget"},
        {"short=0.5:1.5", "its budget"},
        {"short=0.5:4294967296", "its budget"},
        {"short=0.5:1:1", "its budget"},
        {"calm", "expected calm=SECONDS"},
        {"calm=", "expected calm=SECONDS"},
        {"calm=soon", "expected calm=SECONDS"},
    };
    world *w = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        world_faults = cases[i].faults;
        int error = world_open(w, "sim", NULL);
        if (cases[i].why == NULL) {
            assert_int_equal(error, 0);
            world_close(w);
            continue;
        }
        assert_result(error, SAROS_EINVAL);
        if (strstr(w->why, cases[i].why) == NULL) fail_msg("%s: %s", cases[i].faults, w->why);
        assert_memory_equal(w->why, "sim: ", 5);
        assert_int_equal(w->memory.blocks, 0);
    }
    world_faults = NULL;
}

static void every_fault_has_a_name_and_says_what_it_does(void **state) {
    world          *w = *state;
    saros_sim_fault fault;
    size_t          known = 0;
    sim_open(w, NULL, 1);
    while (saros_sim_profile(known, &fault)) {
        assert_true(fault.chance > 0 && fault.chance <= 1 && fault.budget > 0);
        assert_true(strlen(fault.about) > 10);
        assert_int_equal(saros_sim_happened(w->loop, fault.name), 0);
        known++;
    }
    assert_int_equal(known, 15);
    assert_result(saros_sim_happened(w->loop, "chaos"), SAROS_EINVAL);
}

/* ---- each by itself --------------------------------------------------------------------------------------------- */

static void calm_can_be_asked_for_and_comes_at_its_time(void **state) {
    world *w = *state;
    told   timer = {0};
    sim_open(w, "refused=1:1000", 1);
    pair p = {0};
    listen_at(w, &p.listener, &p.address, SAROS_INET);
    assert_result(perform(w, SAROS_OP_CONNECT, &p.client, &p.address, 0), SAROS_ECONNREFUSED);
    assert_result(saros_sim_calm(w->loop), 0);
    assert_result(perform(w, SAROS_OP_CONNECT, &p.client, &p.address, 0), 0);
    pair_close(w, &p);
    world_close(w);
    sim_open(w, "refused=1:1000,calm=2.5", 1);
    listen_at(w, &p.listener, &p.address, SAROS_INET);
    start_timer(w, &timer, 2400 * (saros_time)MILLISECOND);
    await(w, &timer);
    assert_result(perform(w, SAROS_OP_CONNECT, &p.client, &p.address, 0), SAROS_ECONNREFUSED);
    start_timer(w, &timer, 200 * (saros_time)MILLISECOND);
    await(w, &timer);
    assert_result(perform(w, SAROS_OP_CONNECT, &p.client, &p.address, 0), 0);
    pair_close(w, &p);
}

/* A connection in a world with a fault, which must not strike before. */
static void pair_with(world *w, pair *p, const char *faults, int family) {
    sim_open(w, faults, 7);
    pair_open(w, p, family);
}

static void short_moves_a_part(void **state) {
    world *w = *state;
    pair   p;
    for (int i = 0; i < 2; i++) {
        pair_with(w, &p, i == 0 ? "short=1" : "completion,short=1", SAROS_UNIX);
        int sends = send_all(w, &p.client, buffer, 50000), receives = recv_all(w, &p.server, buffer, 50000);
        assert_true(sends > 3 && receives > 3);
        pair_close(w, &p);
        world_close(w);
    }
}

static void slow_takes_longer(void **state) {
    world     *w = *state;
    pair       p;
    told       receive = {0};
    saros_time most = 0;
    pair_with(w, &p, "slow=1", SAROS_INET);
    for (int i = 0; i < 20; i++) {
        start(w, &receive, SAROS_OP_RECV, &p.server, buffer, 1);
        send_all(w, &p.client, "x", 1);
        saros_time span = sim_span(w, &receive);
        if (span > most) most = span;
    }
    assert_true(most > 250 * MILLISECOND && most <= 501 * MILLISECOND);
    pair_close(w, &p);
}

static void refused_refuses_and_leaves_nothing(void **state) {
    static const int families[] = {SAROS_INET, SAROS_UNIX};
    world           *w = *state;
    for (int i = 0; i < 2; i++) {
        pair p = {0};
        sim_open(w, "refused=1:2", 1);
        listen_at(w, &p.listener, &p.address, families[i]);
        for (int k = 0; k < 2; k++) {
            assert_result(perform(w, SAROS_OP_CONNECT, &p.client, &p.address, 0), SAROS_ECONNREFUSED);
            assert_int_equal(p.client.state, SAROS_HANDLE_EMPTY);
        }
        assert_result(perform(w, SAROS_OP_CONNECT, &p.client, &p.address, 0), 0);
        pair_close(w, &p);
        world_close(w);
    }
}

static void reset_ends_both_ends_by_name(void **state) {
    world *w = *state;
    pair   p;
    told   receives[2] = {0};
    pair_with(w, &p, "reset=1:1", SAROS_INET);
    start(w, &receives[0], SAROS_OP_RECV, &p.server, buffer, 10);
    start(w, &receives[1], SAROS_OP_RECV, &p.client, buffer + 10, 10);
    send_all(w, &p.client, "x", 1);
    for (int i = 0; i < 2; i++) assert_result(await(w, &receives[i]), SAROS_ECONNRESET);
    assert_result(perform(w, SAROS_OP_SEND, &p.client, "x", 1), SAROS_EPIPE);
    pair_close(w, &p);
}

static void blackhole_stalls_and_lets_go(void **state) {
    world *w = *state;
    pair   p;
    told   receive = {0};
    sim_open(w, "blackhole=1:2", 7);
    saros_time before = saros_now(w->loop);
    pair_open(w, &p, SAROS_INET); /* the first one swallows the connect */
    assert_in_range(saros_now(w->loop) - before, SAROS_SECOND, 127 * SAROS_SECOND);
    start(w, &receive, SAROS_OP_RECV, &p.server, buffer, 10);
    send_all(w, &p.client, "abc", 3);
    assert_in_range(sim_span(w, &receive), SAROS_SECOND, 127 * SAROS_SECOND);
    assert_int_equal(receive.result, 3);
    start(w, &receive, SAROS_OP_RECV, &p.server, buffer, 10);
    send_all(w, &p.client, "abc", 3);
    assert_true(sim_span(w, &receive) < SAROS_SECOND);
    pair_close(w, &p);
}

static void emfile_fails_the_accept_and_keeps_the_connection(void **state) {
    world *w = *state;
    pair   p = {0};
    sim_open(w, "emfile=1:2", 7);
    listen_at(w, &p.listener, &p.address, SAROS_INET);
    assert_result(perform(w, SAROS_OP_CONNECT, &p.client, &p.address, 0), 0);
    for (int i = 0; i < 2; i++) {
        assert_result(perform(w, SAROS_OP_ACCEPT, &p.listener, &p.server, 0), SAROS_EMFILE);
        assert_int_equal(p.server.state, SAROS_HANDLE_EMPTY);
    }
    assert_result(perform(w, SAROS_OP_ACCEPT, &p.listener, &p.server, 0), 0);
    pair_close(w, &p);
}

static void timers_are_late_and_never_early(void **state) {
    static const char *const faults[] = {"late-timers=1:3", "clock-jump=1:3"};
    static const saros_time  least[] = {1, SAROS_SECOND}, most[] = {50 * MILLISECOND, 60 * SAROS_SECOND};
    world                   *w = *state;
    for (int i = 0; i < 2; i++) {
        sim_open(w, faults[i], 7);
        for (int k = 0; k < 6; k++) {
            told       timer = {0};
            saros_time deadline = saros_now(w->loop) + SAROS_SECOND;
            saros_timer(w->loop, prepare(w, &timer), deadline);
            sim_span(w, &timer);
            if (k < 3) assert_in_range(timer.at - deadline, least[i], most[i]);
            else assert_true(timer.at == deadline);
        }
        world_close(w);
    }
}

static void a_cancel_may_come_too_late(void **state) {
    world *w = *state;
    pair   p;
    told   receive = {0}, connect_op = {0};
    for (int i = 0; i < 2; i++) {
        pair_with(w, &p, i == 0 ? "lost-cancel=1" : "completion,lost-cancel=1", SAROS_INET);
        start(w, &receive, SAROS_OP_RECV, &p.server, buffer, 10);
        send_all(w, &p.client, "abc", 3); /* on its way */
        saros_cancel(w->loop, &receive.op);
        saros_cancel(w->loop, &receive.op);
        assert_int_equal(receive.times, 0);
        assert_int_equal(await(w, &receive), 3);
        assert_int_equal(saros_sim_happened(w->loop, "lost-cancel"), 1);
        start(w, &receive, SAROS_OP_RECV, &p.server, buffer, 10); /* nothing is: then it is heard */
        saros_cancel(w->loop, &receive.op);
        assert_result(await(w, &receive), SAROS_ECANCELED);
        close_now(w, &p.client);
        start(w, &connect_op, SAROS_OP_CONNECT, &p.client, &p.address, 0);
        saros_cancel(w->loop, &connect_op.op);
        assert_result(await(w, &connect_op), 0);
        assert_int_equal(p.client.state, SAROS_HANDLE_OPEN);
        pair_close(w, &p);
        world_close(w);
        pair_with(w, &p, i == 0 ? NULL : "completion", SAROS_INET);
        start(w, &receive, SAROS_OP_RECV, &p.server, buffer, 10);
        send_all(w, &p.client, "abc", 3);
        saros_cancel(w->loop, &receive.op);
        assert_result(await(w, &receive), SAROS_ECANCELED); /* in calm it is in time */
        assert_int_equal(perform(w, SAROS_OP_RECV, &p.server, buffer, 10), 3);
        pair_close(w, &p);
        world_close(w);
    }
}

/* The order in which eight connections are told that there is something, as digits. */
static uint64_t order_of_eight(world *w, const char *faults, uint64_t seed) {
    pair     p[8];
    told     receives[8] = {0};
    uint64_t order = 0;
    sim_open(w, faults, seed);
    for (int i = 0; i < 8; i++) {
        pair_open(w, &p[i], SAROS_UNIX);
        start(w, &receives[i], SAROS_OP_RECV, &p[i].server, buffer + i, 1);
    }
    steps(w, 2);
    w->told = 0;
    const int peers[] = {3, 1, 4, 0, 5, 2, 6, 7};
    told      sends[8] = {0};
    for (int i = 0; i < 8; i++) start(w, &sends[i], SAROS_OP_SEND, &p[peers[i]].client, "x", 1);
    for (int i = 0; i < 8; i++) await(w, &receives[i]);
    for (unsigned place = 1; place <= 16; place++)
        for (int i = 0; i < 8; i++)
            if (receives[i].order == place) order = order * 10 + (uint64_t)i;
    for (int i = 0; i < 8; i++) pair_close(w, &p[i]);
    world_close(w);
    return order;
}

static void shuffle_tells_in_any_order(void **state) {
    world *w = *state;
    int    moved = 0;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        assert_true(order_of_eight(w, NULL, seed) == 31405267); /* as they came */
        moved += order_of_eight(w, "shuffle=1", seed) != 31405267;
        moved += order_of_eight(w, "completion", seed) != 31405267;
    }
    assert_true(moved > 8);
}

static void spurious_wakes_for_nothing(void **state) {
    world *w = *state;
    pair   p;
    told   receive = {0};
    for (int i = 0; i < 2; i++) {
        pair_with(w, &p, i == 0 ? "spurious=1:3" : "completion,spurious=1:3", SAROS_INET);
        size_t before = w->events[SAROS_ON_TAKE];
        start(w, &receive, SAROS_OP_RECV, &p.server, NULL, 0);
        send_all(w, &p.client, "abc", 3);
        assert_int_equal(await(w, &receive), 3);
        assert_int_equal(w->events[SAROS_ON_TAKE] - before, 4);
        pair_close(w, &p);
        world_close(w);
    }
}

static void early_ends_a_wait_for_nothing(void **state) {
    world *w = *state;
    told   timer = {0};
    sim_open(w, "early=1:5", 7);
    start_timer(w, &timer, SAROS_SECOND);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(step_for(w, SAROS_FOREVER).outcome, SAROS_WAITING);
        assert_int_equal(timer.times, 0);
    }
    step_for(w, SAROS_FOREVER);
    assert_int_equal(timer.times, 1);
}

/* ---- without memory --------------------------------------------------------------------------------------------- */

static void without_memory_it_says_so_and_leaks_nothing(void **state) {
    world *w = *state;
    size_t needed = 0;
    for (int kernel = 0; kernel < 2; kernel++)
        for (size_t at = 1;; at++) {
            pair         p = {0};
            saros_handle accepted = {0};
            told         accept_op = {0};
            world_faults = kernel == 0 ? "readiness" : "completion";
            w->memory.calls = 0;
            w->memory.fail_from = at;
            int error = world_open(w, "sim", NULL);
            if (error == 0) {
                error = saros_sim_host(w->loop, "a");
                if (error == 0) error = saros_sim_link(w->loop, "a", NULL, SAROS_SIM_CUT);
                p.address = (saros_address){.family = SAROS_INET, .at = {.ip = {127, 0, 0, 1}}};
                if (error == 0) error = (int)perform(w, SAROS_OP_LISTEN, &p.listener, &p.address, 0);
                if (error == 0) {
                    start(w, &accept_op, SAROS_OP_ACCEPT, &p.listener, &accepted, 0);
                    error = (int)perform(w, SAROS_OP_CONNECT, &p.client, &p.address, 0);
                }
                if (error == 0) error = (int)perform(w, SAROS_OP_SEND, &p.client, buffer, 5000);
                w->memory.fail_from = 0;
                if (error > 0) assert_int_equal(perform(w, SAROS_OP_SEND, &p.client, buffer, 50000), 50000);
                world_close(w);
            }
            world_faults = NULL;
            assert_int_equal(w->memory.blocks, 0);
            if (error > 0) {
                needed = at;
                break;
            }
            assert_true(error == SAROS_ENOMEM ||
                        error == SAROS_ETIMEDOUT); /* a SYN for which there is no room stays unheard */
        }
    assert_in_range(needed, 8, 40);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        BARE_TEST(a_list_of_faults_is_read_strictly),
        BARE_TEST(every_fault_has_a_name_and_says_what_it_does),
        BARE_TEST(calm_can_be_asked_for_and_comes_at_its_time),
        BARE_TEST(short_moves_a_part),
        BARE_TEST(slow_takes_longer),
        BARE_TEST(refused_refuses_and_leaves_nothing),
        BARE_TEST(reset_ends_both_ends_by_name),
        BARE_TEST(blackhole_stalls_and_lets_go),
        BARE_TEST(emfile_fails_the_accept_and_keeps_the_connection),
        BARE_TEST(timers_are_late_and_never_early),
        BARE_TEST(a_cancel_may_come_too_late),
        BARE_TEST(shuffle_tells_in_any_order),
        BARE_TEST(spurious_wakes_for_nothing),
        BARE_TEST(early_ends_a_wait_for_nothing),
        BARE_TEST(without_memory_it_says_so_and_leaks_nothing),
    };
    return cmocka_run_group_tests_name("sim_faults", tests, NULL, NULL);
}
