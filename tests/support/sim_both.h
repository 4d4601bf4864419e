/* sim_both.h: tests of the simulated driver that hold for both of its kernels. */
#ifndef SIM_BOTH_H
#define SIM_BOTH_H

#include "backends/sim.h"
#include "support/sockets.h"

/* Opens a world with these faults, and this seed. */
void sim_open(world *w, const char *faults, uint64_t seed);
/* The time until the op is told, by the loop's clock. */
saros_time sim_span(world *w, told *t);
void       sim_on_both(world *w, void (*body)(world *w));

/* ON_BOTH(name) { … }: a test for BARE_TEST, whose body is run once on each kernel, with `w` open. */
#define ON_BOTH(name)                                                    \
    static void name##_body(world *w);                                   \
    static void name(void **state) { sim_on_both(*state, name##_body); } \
    static void name##_body(world *w)

#endif
