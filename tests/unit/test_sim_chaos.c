/* test_sim_chaos.c: the simulated world as a whole: a conversation of many, with every fault there is and without any, and
 * that the same seed does the same again. */
#include <stdio.h>
#include <string.h>

#include "support/sim_both.h"

/* ---- a conversation --------------------------------------------------------------------------------------------- */

/* Clients connect, send a message in pieces, want it back, and close. Whatever goes wrong for one of them ends that one.
 * Everything that is told goes into a sum: two runs that are alike have the same. */
enum { CLIENTS = 6, MESSAGE = 9000, PIECE = 1500 };

typedef struct side {
    told         op, close;
    saros_handle handle;
    struct talk *talk;
    bool         client, ended;
    size_t       sent, got;
    int64_t      result; /* the error that ended it, or 0 */
    char         bytes[MESSAGE];
} side;

typedef struct talk {
    world        *w;
    saros_handle  listener;
    saros_address address;
    told          accept, tick;
    side          clients[CLIENTS], servers[CLIENTS];
    int           accepted, ended;
    uint64_t      sum;
} talk;

static char message(size_t i) { return (char)(i * 2654435761u >> 13); }

static void count(talk *it, const told *t) {
    const uint64_t values[] = {(uint64_t)t->op.kind, (uint64_t)t->result, (uint64_t)t->at};
    for (int i = 0; i < 3; i++) it->sum = (it->sum ^ values[i]) * UINT64_C(1099511628211);
}

static void closed(told *t) {
    side *self = t->with;
    count(self->talk, t);
    self->ended = true;
    self->talk->ended += self->client;
}

static void end(side *self, int64_t result) {
    self->result = result < 0 ? result : 0;
    if (self->handle.state == SAROS_HANDLE_EMPTY) {
        self->ended = true;
        self->talk->ended += self->client;
        return;
    }
    self->close.then = closed;
    self->close.with = self;
    start(self->talk->w, &self->close, SAROS_OP_CLOSE, &self->handle, NULL, 0);
}

static void go_on(side *self);

static void side_told(told *t) {
    side *self = t->with;
    talk *it = self->talk;
    count(it, t);
    if (t->result < 0 || (t->op.kind == SAROS_OP_RECV && t->result == 0)) {
        end(self, t->result);
        return;
    }
    if (t->op.kind == SAROS_OP_SEND) self->sent += (size_t)t->result;
    if (t->op.kind == SAROS_OP_RECV) {
        assert_in_range(t->result, 1, MESSAGE - self->got);
        if (t->op.buffer == NULL) memcpy(self->bytes + self->got, saros_lent(it->w->loop), (size_t)t->result);
        for (int64_t i = 0; i < t->result; i++, self->got++)
            assert_int_equal(self->bytes[self->got], message(self->got)); /* none lost, doubled or moved */
    }
    go_on(self);
}

static void go_on(side *self) {
    world *w = self->talk->w;
    size_t there = self->client ? MESSAGE : self->got, room = MESSAGE - self->got;
    self->op.then = side_told;
    self->op.with = self;
    if (self->sent < there) {
        size_t piece = there - self->sent < PIECE ? there - self->sent : PIECE;
        start(w, &self->op, SAROS_OP_SEND, &self->handle, self->bytes + self->sent, piece);
    } else if (room > 0) {
        bool lent = !self->client;
        start(w, &self->op, SAROS_OP_RECV, &self->handle, lent ? NULL : self->bytes + self->got, lent ? 0 : room);
    } else {
        end(self, 0);
    }
}

static void accepted(told *t) {
    talk *it = t->with;
    count(it, t);
    if (t->result == SAROS_ECLOSED || t->result == SAROS_ECANCELED) return;
    if (t->result == 0) go_on(&it->servers[it->accepted++]);
    else assert_result(t->result, SAROS_EMFILE);
    if (it->accepted < CLIENTS)
        start(it->w, &it->accept, SAROS_OP_ACCEPT, &it->listener, &it->servers[it->accepted].handle, 0);
}

static void tick(told *t) {
    talk *it = t->with;
    count(it, t);
    if (t->result == 0 && it->ended < CLIENTS) start_timer(it->w, t, MILLISECOND);
}

static void talk_begin(talk *it, world *w) {
    saros_address found[2];
    assert_result(saros_sim_host(w->loop, "server"), 0);
    assert_result(saros_sim_host(w->loop, "client"), 0);
    saros_sim_lookup(w->loop, "server", found);
    memset(it, 0, sizeof *it);
    it->w = w;
    it->address = found[0];
    it->accept.then = accepted;
    it->tick.then = tick;
    it->accept.with = it->tick.with = it;
    start_timer(w, &it->tick, MILLISECOND);
    assert_result(perform(w, SAROS_OP_LISTEN, &it->listener, &it->address, 0), 0);
    start(w, &it->accept, SAROS_OP_ACCEPT, &it->listener, &it->servers[0].handle, 0);
    assert_result(saros_sim_on(w->loop, "client"), 0);
    for (int i = 0; i < CLIENTS; i++) {
        side *client = &it->clients[i];
        it->servers[i].talk = client->talk = it;
        client->client = true;
        client->op.then = side_told;
        client->op.with = client;
        for (size_t k = 0; k < MESSAGE; k++) client->bytes[k] = message(k);
        start(w, &client->op, SAROS_OP_CONNECT, &client->handle, &it->address, 0);
    }
}

static uint64_t last_sum; /* of the last talk */

/* All of it; how many clients had no error. */
static int talk_over(world *w) {
    static talk it;
    int         well = 0;
    talk_begin(&it, w);
    while (it.ended < CLIENTS) assert_int_not_equal(step_for(w, SAROS_FOREVER).outcome, SAROS_BROKEN);
    close_now(w, &it.listener);
    AWAIT(w, it.tick.times > 0); /* the last one does not begin again */
    for (int i = 0; i < CLIENTS; i++) {
        AWAIT(w, i >= it.accepted || it.servers[i].ended);
        well += it.clients[i].result == 0;
        if (it.clients[i].result == 0) assert_int_equal(it.clients[i].got, MESSAGE);
    }
    w->told = 0;
    last_sum = it.sum;
    return well;
}

static uint64_t sum_of(world *w, const char *faults, uint64_t seed) {
    sim_open(w, faults, seed);
    talk_over(w);
    world_close(w);
    return last_sum;
}

/* ---- what comes of it ------------------------------------------------------------------------------------------ */

static void every_fault_happens_and_no_oftener_than_its_budget(void **state) {
    world          *w = *state;
    saros_sim_fault fault, other;
    char            faults[100];
    for (size_t i = 0; saros_sim_profile(i, &fault); i++) {
        /* Nobody cancels here, and hardly ever do two things happen at once. */
        if (strcmp(fault.name, "lost-cancel") == 0 || strcmp(fault.name, "shuffle") == 0) continue;
        if (strstr(fault.about, "datagram") != NULL) continue; /* test_sim_datagrams.c */
        for (int kernel = 0; kernel < 2; kernel++) {
            snprintf(faults, sizeof faults, "%s,%s=0.5:4", kernel == 0 ? "readiness" : "completion", fault.name);
            int64_t all = 0;
            for (uint64_t seed = 1; seed <= 10; seed++) {
                sim_open(w, faults, seed);
                talk_over(w);
                int64_t happened = saros_sim_happened(w->loop, fault.name);
                assert_in_range(happened, 0, 4);
                all += happened;
                for (size_t k = 0; saros_sim_profile(k, &other); k++)
                    if (k != i) assert_int_equal(saros_sim_happened(w->loop, other.name), 0);
                world_close(w);
            }
            if (all < 5) fail_msg("%s: it happened %d times", faults, (int)all);
        }
    }
}

static void in_calm_nothing_goes_wrong(void **state) {
    world          *w = *state;
    saros_sim_fault fault;
    for (int kernel = 0; kernel < 2; kernel++)
        for (uint64_t seed = 1; seed <= 20; seed++) {
            sim_open(w, kernel == 0 ? NULL : "completion", seed);
            assert_int_equal(talk_over(w), CLIENTS);
            for (size_t k = 0; saros_sim_profile(k, &fault); k++)
                assert_int_equal(saros_sim_happened(w->loop, fault.name), 0);
            assert_true(saros_now(w->loop) < SAROS_SECOND);
            world_close(w);
        }
}

static void whatever_goes_wrong_everything_ends_and_nothing_is_left(void **state) {
    world *w = *state;
    int    well = 0, ill = 0;
    for (int kernel = 0; kernel < 2; kernel++)
        for (uint64_t seed = 1; seed <= 100; seed++) {
            sim_open(w, kernel == 0 ? "chaos" : "completion,chaos", seed);
            int passed = talk_over(w);
            well += passed;
            ill += CLIENTS - passed;
            assert_int_equal(saros_pending(w->loop), 0);
            world_close(w);
            assert_int_equal(w->memory.blocks, 0);
        }
    assert_true(well > 100 && ill > 100); /* else it proves little */
}

static void each_seed_switches_on_some_faults_only(void **state) {
    world          *w = *state;
    saros_sim_fault fault;
    int             on[20] = {0};
    for (uint64_t seed = 1; seed <= 40; seed++) {
        sim_open(w, "chaos,emfile=1:1", seed);
        talk_over(w);
        for (size_t i = 0; saros_sim_profile(i, &fault); i++) on[i] += saros_sim_happened(w->loop, fault.name) > 0;
        assert_true(saros_sim_happened(w->loop, "emfile") <= 1); /* what is named is as it says */
        world_close(w);
    }
    assert_in_range(on[0], 8, 32); /* short: often, and not always */
    assert_in_range(on[11], 8, 32);
}

static void the_loop_may_close_at_any_moment(void **state) {
    static talk it;
    world      *w = *state;
    for (int kernel = 0; kernel < 2; kernel++)
        for (int after = 0; after < 150; after++) {
            sim_open(w, kernel == 0 ? "chaos" : "completion,chaos", (uint64_t)after);
            talk_begin(&it, w);
            for (int i = 0; i < after && it.ended < CLIENTS; i++) step_for(w, SAROS_FOREVER);
            world_close(w);
            assert_int_equal(w->memory.blocks, 0);
        }
}

static void the_same_seed_does_the_same_again(void **state) {
    static const char *const faults[] = {NULL, "completion", "chaos", "completion,chaos", "short,slow,shuffle"};
    world                   *w = *state;
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        uint64_t before = 0;
        for (uint64_t seed = 1; seed <= 10; seed++) {
            uint64_t sum = sum_of(w, faults[i], seed);
            assert_true(sum == sum_of(w, faults[i], seed));
            assert_true(sum != before);
            before = sum;
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        BARE_TEST(every_fault_happens_and_no_oftener_than_its_budget),
        BARE_TEST(in_calm_nothing_goes_wrong),
        BARE_TEST(whatever_goes_wrong_everything_ends_and_nothing_is_left),
        BARE_TEST(each_seed_switches_on_some_faults_only),
        BARE_TEST(the_loop_may_close_at_any_moment),
        BARE_TEST(the_same_seed_does_the_same_again),
    };
    return cmocka_run_group_tests_name("sim_chaos", tests, NULL, NULL);
}
