/* support.h: what the C tests stand on.
 *
 * Owns a world: one loop on one driver, whose memory, descriptors, trace and reports are counted.
 * Promises: nothing here waits without a bound, and every test that uses world_setup and world_teardown is held to
 * have given everything back: no memory, no descriptor, nothing in flight. */
#ifndef SUPPORT_H
#define SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/saros.h"
#include "support/system.h"

enum { MILLISECOND = 1000000, PATIENCE = 20 /* seconds, before a test that waits has failed */ };

/* ---- a counting allocator that can fail ------------------------------------------------------------------------- */

typedef struct memory {
    size_t calls;     /* allocations and growths asked for */
    size_t fail_from; /* this call (1: the first) and all later ones fail; 0: none */
    size_t blocks, bytes;
} memory;

/* A saros_alloc_fn whose user is a memory. Every growth moves, so that a pointer kept too long is found, and a wrong
 * osize ends the program. */
void *memory_alloc(void *user, void *ptr, size_t osize, size_t nsize);

/* ---- the world -------------------------------------------------------------------------------------------------- */

typedef struct world {
    memory      memory; /* first: memory_alloc's user is the world */
    saros_loop *loop;
    int         descriptors;               /* open ones before the loop was */
    size_t      events[SAROS_ON_WAIT + 1]; /* how often the trace told of each */
    saros_time  timeout;                   /* of the last wait */
    unsigned    told;                      /* ops told so far */
    size_t      reports;
    char        report[600], why[600];
    void (*test)(void **state);
    bool ended; /* the test came to its end; else its ops and handles are gone, and nobody may touch them */
} world;

/* The driver of world_setup, and the config's faults. */
extern const char *world_driver, *world_faults;
/* The world that was opened last, for helpers that are not given one. */
extern world *world_now;
/* Is its driver the simulated one? */
bool simulated(void);
/* For a test of what only a real kernel has: skips it where that is simulated. */
void kernel_only(world *w);

int  world_setup(void **state);    /* a world with a loop on world_driver */
int  world_bare(void **state);     /* one without a loop */
void world_run(void **state);      /* runs the test */
int  world_teardown(void **state); /* fails where something is left */
/* Opens w->loop; 0 or the error, with the reason in w->why. `change` may be NULL; it edits the config. */
int world_open(world *w, const char *driver, void (*change)(saros_config *config));
/* Closes w->loop before the teardown does, whatever flies. */
void world_close(world *w);

/* Ends the test here, without having shown anything. */
void world_skip(world *w, const char *why);

/* A test of a world, and one that opens its loops itself. */
typedef void world_test(void **state);
typedef struct world_case {
    world_test *test;
} world_case;
#define WORLD_CASE(test, run, begin, end)                                                                            \
    {                                                                                                                \
        .name = #test, .test_func = run, .setup_func = begin, .teardown_func = end, .initial_state = &(world_case) { \
            test                                                                                                     \
        }                                                                                                            \
    }
#define WORLD_TEST(test) WORLD_CASE(test, world_run, world_setup, world_teardown)
/* In place of a test's body, where the system lacks what it is about: it is counted as skipped, and says why. */
#define NOT_HERE(test, why) \
    static void test(void **state) { world_skip(*state, why); }
#define BARE_TEST(test) WORLD_CASE(test, world_run, world_bare, world_teardown)

/* ---- operations that remember how they ended -------------------------------------------------------------------- */

typedef struct told {
    saros_op   op;
    world     *world;
    int        times; /* told so often; anything but 1 is wrong */
    unsigned   order; /* the how-manieth of all */
    int64_t    result;
    saros_time at;
    void (*then)(struct told *told); /* called from done */
    void *with;
} told;

/* Makes `told` ready for use as an op of w; keeps `then` and `with`. */
saros_op *prepare(world *w, told *t);
void      start(world *w, told *t, int kind, saros_handle *handle, void *pointer, size_t size);
int       start_timer(world *w, told *t, saros_time from_now);
/* Steps until t is told; its result. */
int64_t await(world *w, told *t);
/* start and await in one. */
int64_t perform(world *w, int kind, saros_handle *handle, void *pointer, size_t size);

/* ---- letting time pass ------------------------------------------------------------------------------------------ */

/* Steps until the condition holds; fails the test where that takes too long. */
#define AWAIT(w, condition)                                                                \
    do {                                                                                   \
        saros_time await_until_ = clock_now() + PATIENCE * SAROS_SECOND;                   \
        while (!(condition)) await_step_(w, await_until_, #condition, __FILE__, __LINE__); \
    } while (0)
void await_step_(world *w, saros_time until, const char *condition, const char *file, int line);

/* One step that may block for `wait`. */
saros_status step_for(world *w, saros_time wait);
/* `count` steps that do not block. */
void steps(world *w, int count);
/* Steps for that long, by the loop's clock; how many times the driver was asked meanwhile. */
size_t waits_during(world *w, saros_time duration);

saros_time clock_now(void); /* the monotonic clock */
void       rest(int milliseconds);
int        descriptors_open(void); /* on Windows: handles */

/* Compares results and names them. */
#define assert_result(actual, expected) check_result_(actual, expected, __FILE__, __LINE__)
void check_result_(int64_t actual, int64_t expected, const char *file, int line);

#endif
