/* sim_both.c: see sim_both.h. */
#include "support/sim_both.h"

static uint64_t chosen_seed;

static void set_seed(saros_config *config) { config->seed = chosen_seed; }

void sim_open(world *w, const char *faults, uint64_t seed) {
    chosen_seed = seed;
    world_faults = faults;
    int error = world_open(w, "sim", set_seed);
    world_faults = NULL;
    if (error < 0) print_error("%s: %s\n", faults, w->why);
    assert_int_equal(error, 0);
}

saros_time sim_span(world *w, told *t) {
    saros_time before = saros_now(w->loop);
    while (t->times == 0) assert_int_not_equal(step_for(w, SAROS_FOREVER).outcome, SAROS_BROKEN);
    return t->at - before;
}

void sim_on_both(world *w, void (*body)(world *w)) {
    static const char *const kernels[] = {"readiness", "completion"};
    for (int i = 0; i < 2; i++) {
        sim_open(w, kernels[i], 1);
        body(w);
        assert_int_equal(saros_pending(w->loop), 0);
        world_close(w);
    }
}
