/* support.c: see support.h. */
#include "support/support.h"

#include "support/sim_peer.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- memory ----------------------------------------------------------------------------------------------------- */

typedef union block {
    size_t      size;
    max_align_t align;
} block;

void *memory_alloc(void *user, void *ptr, size_t osize, size_t nsize) {
    memory *m = user;
    block  *old = ptr != NULL ? (block *)ptr - 1 : NULL, *new = NULL;
    if (old != NULL && old->size != osize) {
        fprintf(stderr, "memory_alloc: a block of %zu bytes was given back as one of %zu\n", old->size, osize);
        abort();
    }
    if (nsize > 0) {
        if (old == NULL || nsize > osize) {
            m->calls++;
            if (m->fail_from > 0 && m->calls >= m->fail_from) return NULL;
        }
        new = malloc(sizeof *new + nsize);
        if (new == NULL) abort();
        new->size = nsize;
        if (old != NULL) memcpy(new + 1, old + 1, osize < nsize ? osize : nsize);
        m->blocks++;
        m->bytes += nsize;
    }
    if (old != NULL) {
        m->blocks--;
        m->bytes -= osize;
        memset(old, 0xdd, sizeof *old + osize);
        free(old);
    }
    return new != NULL ? new + 1 : NULL; /* cppcheck-suppress memleak; the caller has what is behind the head */
}

/* ---- the world -------------------------------------------------------------------------------------------------- */

const char *world_driver = "none", *world_faults;
world      *world_now;

bool simulated(void) {
    return world_now != NULL && world_now->loop != NULL && strcmp(saros_driver_name(world_now->loop), "sim") == 0;
}

static void keep_report(void *user, const char *text) {
    world *w = user;
    w->reports++;
    snprintf(w->report, sizeof w->report, "%s", text);
}

static void count_event(void *user, saros_loop *loop, enum saros_event event, const saros_op *op, int64_t result) {
    world *w = user;
    (void)loop, (void)op;
    w->events[event]++;
    if (event == SAROS_ON_WAIT) w->timeout = result;
}

void kernel_only(world *w) {
    if (simulated()) world_skip(w, "it is about a real kernel");
}

int world_bare(void **state) {
    world *w = calloc(1, sizeof *w);
    if (w == NULL) return -1;
    w->test = ((world_case *)*state)->test;
    w->descriptors = descriptors_open();
    *state = w;
    return 0;
}

int world_open(world *w, const char *driver, void (*change)(saros_config *config)) {
    saros_config config = SAROS_CONFIG_INIT;
    config.driver = driver;
    config.alloc = memory_alloc;
    config.report = keep_report;
    config.trace = count_event;
    config.user = w;
    config.seed = 1;
    config.faults = world_faults;
    world_now = w;
    if (change != NULL) change(&config);
    w->why[0] = 0;
    return saros_open(&w->loop, &config, w->why, sizeof w->why);
}

int world_setup(void **state) {
    if (world_bare(state) < 0) return -1;
    world *w = *state;
    int    error = world_open(w, world_driver, NULL);
    if (error < 0) print_error("cannot open %s: %s\n", world_driver, w->why);
    return error;
}

void world_close(world *w) {
    assert_result(saros_close(w->loop), 0);
    w->loop = NULL;
}

void world_run(void **state) {
    world *w = *state;
    w->test(state);
    w->ended = true;
}

void world_skip(world *w, const char *why) {
    print_message("skipped: %s\n", why);
    w->ended = true;
    skip();
}

int world_teardown(void **state) {
    world *w = *state;
    int    wrong = 0, now;
    if (!w->ended) return 0; /* it has failed already */
    if (w->loop != NULL) {
        size_t pending = saros_pending(w->loop);
        if (pending != 0) wrong = -1, print_error("%zu operations were left pending\n", pending);
        if (saros_close(w->loop) != 0) wrong = -1, print_error("the loop would not close\n");
    }
    if (w->memory.blocks != 0 || w->memory.bytes != 0)
        wrong = -1, print_error("%zu bytes in %zu blocks were left\n", w->memory.bytes, w->memory.blocks);
    if ((now = descriptors_open()) != w->descriptors)
        wrong = -1, print_error("%d descriptors were open before, %d are now\n", w->descriptors, now);
    if (world_now == w) world_now = NULL;
    free(w);
    return wrong;
}

/* ---- operations ------------------------------------------------------------------------------------------------- */

static void remember(saros_loop *loop, saros_op *op, int64_t result) {
    told *t = (told *)(void *)op;
    t->times++;
    t->result = result;
    t->order = ++t->world->told;
    t->at = saros_now(loop);
    if (t->then != NULL) t->then(t);
}

saros_op *prepare(world *w, told *t) {
    void (*then)(told *) = t->then;
    void *with = t->with;
    *t = (told){.op = {.done = remember}, .world = w, .then = then, .with = with};
    return &t->op;
}

void start(world *w, told *t, int kind, saros_handle *handle, void *pointer, size_t size) {
    saros_op *op = prepare(w, t);
    op->kind = (uint8_t)kind;
    op->handle = handle;
    op->buffer = pointer;
    op->size = size;
    saros_submit(w->loop, op);
}

int start_timer(world *w, told *t, saros_time from_now) {
    return saros_timer(w->loop, prepare(w, t), saros_now(w->loop) + from_now);
}

int64_t await(world *w, told *t) {
    AWAIT(w, t->times > 0);
    assert_int_equal(t->times, 1);
    return t->result;
}

int64_t perform(world *w, int kind, saros_handle *handle, void *pointer, size_t size) {
    told *t = test_calloc(1, sizeof *t);
    start(w, t, kind, handle, pointer, size);
    int64_t result = await(w, t);
    test_free(t);
    return result;
}

/* ---- time ------------------------------------------------------------------------------------------------------- */

saros_time clock_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (saros_time)now.tv_sec * SAROS_SECOND + now.tv_nsec;
}

void rest(int milliseconds) {
#ifdef _WIN32
    Sleep((DWORD)milliseconds);
#else
    poll(NULL, 0, milliseconds);
#endif
}

/* Time that the loop does not see, because it has nothing to wait for. */
static void pass(saros_time span) {
    if (simulated()) sim_pass(span);
    else rest((int)(span / MILLISECOND));
}

saros_status step_for(world *w, saros_time wait) { return saros_step(w->loop, &(saros_limits){.wait = wait}); }

void steps(world *w, int count) {
    while (count-- > 0) step_for(w, 0);
}

void await_step_(world *w, saros_time until, const char *condition, const char *file, int line) {
    if (clock_now() >= until) {
        print_error("gave up waiting for: %s\n", condition);
        _fail(file, line);
    }
    unsigned     before = w->told;
    saros_status status = step_for(w, 20 * MILLISECOND);
    if (status.outcome == SAROS_BROKEN) {
        print_error("broken (%s) while waiting for: %s\n", saros_error_name(status.error), condition);
        _fail(file, line);
    }
    if (status.outcome == SAROS_DONE && w->told == before) pass(MILLISECOND); /* somebody outside makes it true */
}

size_t waits_during(world *w, saros_time duration) {
    size_t     before = w->events[SAROS_ON_WAIT];
    saros_time until = saros_now(w->loop) + duration, left;
    while ((left = until - saros_now(w->loop)) > 0) {
        saros_status status = step_for(w, left);
        assert_int_not_equal(status.outcome, SAROS_BROKEN);
        if (status.outcome != SAROS_DONE) continue;
        pass(left + MILLISECOND); /* it does not wait: nothing can happen, and it must stay so */
        assert_int_equal(step_for(w, 0).outcome, SAROS_DONE);
        break;
    }
    return w->events[SAROS_ON_WAIT] - before;
}

int descriptors_open(void) {
#ifdef _WIN32
    DWORD count = 0;
    return GetProcessHandleCount(GetCurrentProcess(), &count) ? (int)count : -1;
#else
    int  count = 0;
    DIR *folder = opendir("/proc/self/fd");
    if (folder == NULL) return -1; /* not a Linux: then nothing is counted */
    while (readdir(folder) != NULL) count++;
    closedir(folder);
    return count - 3; /* ".", ".." and the folder itself */
#endif
}

void check_result_(int64_t actual, int64_t expected, const char *file, int line) {
    if (actual == expected) return;
    print_error("%lld (%s) instead of %lld (%s)\n", (long long)actual, saros_error_name((int)actual),
                (long long)expected, saros_error_name((int)expected));
    _fail(file, line);
}
