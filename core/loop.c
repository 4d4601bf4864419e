/* loop.c: the loop itself: open, step, close.
 *
 * Owns the order of things in a turn: what other threads posted, what the driver finished, timers that are due, then
 * the batch that was ready when the turn began, in the order in which it became ready.
 * Promises: never blocks while work is ready or longer than asked; a busy batch cannot starve the kernel, and what a
 * batch makes ready waits for the next turn, so no task can starve another. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/loop.h"

/* ---- what lives on the loop ----------------------------------------------------------------------------------- */

static void *default_alloc(void *user, void *ptr, size_t osize, size_t nsize) {
    (void)user, (void)osize;
    if (nsize > 0) return realloc(ptr, nsize);
    free(ptr);
    return NULL;
}

void *saros_realloc(saros_loop *loop, void *ptr, size_t osize, size_t nsize) {
    if (ptr == NULL && nsize == 0) return NULL;
    return loop->config.alloc(loop->config.user, ptr, osize, nsize);
}

void saros_report(saros_loop *loop, const char *text) {
    if (loop->config.report != NULL) loop->config.report(loop->config.user, text);
}

void saros_trace(saros_loop *loop, enum saros_event event, const saros_op *op, int64_t result) {
    saros_see(loop, event, op, result);
}

void saros_reason(saros_loop *loop, const char *format, ...) {
    va_list list;
    va_start(list, format);
    vsnprintf(loop->why, sizeof loop->why, format, list);
    va_end(list);
}

const char     *saros_lent(const saros_loop *loop) { return loop->scratch; }
saros_time      saros_now(saros_loop *loop) { return loop->driver->now(loop->state); }
saros_time      saros_turn(const saros_loop *loop) { return loop->turn; }
const saros_op *saros_next(const saros_loop *loop) { return loop->ready.first; }
bool            saros_running(const saros_loop *loop) { return loop->running; }
const char     *saros_driver_name(const saros_loop *loop) { return loop->driver->name; }
bool            saros_polled(const saros_loop *loop) { return loop->polled; }
void            saros_set_pollable(saros_loop *loop, saros_os_handle handle) { loop->pollable = handle; }
void            saros_stop(saros_loop *loop) { loop->stopping = true; }
size_t          saros_pending(const saros_loop *loop) { return loop->flying + loop->timers.count + loop->ready.count; }

saros_os_handle saros_pollable(saros_loop *loop) {
    loop->polled = true;
    return loop->pollable;
}

/* splitmix64 (Steele, Lea, Flood 2014): any seed will do, 0 as well. */
uint64_t saros_draw(uint64_t *state) {
    uint64_t x = *state += UINT64_C(0x9E3779B97F4A7C15);
    x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
    return x ^ (x >> 31);
}

uint64_t saros_random(saros_loop *loop) { return saros_draw(&loop->random); }

bool saros_watched(const saros_loop *loop) { return loop->watched; }

bool saros_held(saros_loop *loop) { return atomic_load(&loop->door.holds) > 1 || saros_door_knocked(loop); }

void *saros_driver_state(saros_loop *loop, const saros_driver *driver) {
    return loop->driver == driver ? loop->state : NULL;
}

const saros_config *saros_configuration(const saros_loop *loop) { return &loop->config; }

void saros_join(saros_loop *loop, saros_guest *guest) {
    guest->next = loop->guests;
    loop->guests = guest;
}

void saros_leave(saros_loop *loop, saros_guest *guest) {
    saros_guest **link = &loop->guests;
    while (*link != NULL && *link != guest) link = &(*link)->next;
    if (*link != NULL) *link = guest->next;
}

/* ---- open ----------------------------------------------------------------------------------------------------- */

void saros_free_loop(saros_loop *loop) {
    saros_config config = loop->config; /* the allocator is inside what it frees */
    config.alloc(config.user, loop, sizeof *loop, 0);
}

static int fail(const char *reason, int error, char *why, size_t size) {
    if (size > 0) snprintf(why, size, "%s", reason);
    return error;
}

int saros_open(saros_loop **out, const saros_config *given, char *why, size_t size) {
    saros_config config = SAROS_CONFIG_INIT;
    *out = NULL;
    if (given != NULL) {
        if (given->size < offsetof(saros_config, seed) || given->size > sizeof config)
            return fail("config.size is not that of a saros_config: use SAROS_CONFIG_INIT", SAROS_EINVAL, why, size);
        memcpy(&config, given, given->size);
    }
    if (config.alloc == NULL) config.alloc = default_alloc;
    saros_loop *loop = config.alloc(config.user, NULL, 0, sizeof *loop);
    if (loop == NULL) return fail("not enough memory", SAROS_ENOMEM, why, size);
    *loop = (saros_loop){.config = config, .pollable = SAROS_NO_HANDLE, .random = config.seed};
    atomic_init(&loop->door.posted, NULL);
    atomic_init(&loop->door.inside, 0);
    atomic_init(&loop->door.holds, 1);
    int error = SAROS_ENOMEM;
    loop->scratch = saros_realloc(loop, NULL, 0, SAROS_SCRATCH);
    if (loop->scratch == NULL) saros_reason(loop, "not enough memory");
    else error = saros_driver_choose(loop, config.driver);
    if (error < 0) {
        fail(loop->why, error, why, size);
        saros_realloc(loop, loop->scratch, SAROS_SCRATCH, 0);
        saros_free_loop(loop);
        return error;
    }
    loop->config.driver = NULL;   /* the caller's string; it may be gone tomorrow */
    loop->turn = saros_now(loop); /* before the first one */
    *out = loop;
    return 0;
}

/* ---- step ----------------------------------------------------------------------------------------------------- */

/* Is nothing left that could still happen by itself? The door is looked at last: whoever posts and then lets go of
 * the loop is seen by one of the two. */
static bool idle(saros_loop *loop) {
    return loop->flying == 0 && loop->timers.count == loop->background && atomic_load(&loop->door.holds) == 1 &&
           !saros_door_knocked(loop);
}

/* Work is ready: is it time to look at the kernel again? With nothing in flight there it need not be asked at all,
 * because posts are seen without it. */
static bool look_due(const saros_loop *loop, saros_time now) {
    return loop->flying > 0 && (loop->turns >= SAROS_TURNS || now - loop->asked >= SAROS_BURST);
}

int saros_ask(saros_loop *loop, saros_time timeout) {
    saros_see(loop, SAROS_ON_WAIT, NULL, timeout);
    int error = loop->driver->wait(loop->state, timeout);
    if (error < 0 && error != SAROS_EDEADLOCK) loop->broken = error;
    if (error < 0) return error;
    loop->turns = 0;
    return 0;
}

static saros_time earlier(saros_time a, saros_time b) { return a < b ? a : b; }
static saros_time after(saros_time now, saros_time span) {
    return span >= SAROS_FOREVER - now ? SAROS_FOREVER : now + span;
}

/* Tells what was ready when the turn began. False: the budget ran out; the rest stays in front of the queue. */
static bool tell_batch(saros_loop *loop, saros_time until) {
    loop->turns++;
    if (loop->shuffled != NULL) saros_shuffle_batch(loop);
    for (size_t left = loop->ready.count; left > 0 && loop->ready.count > 0; left--) { /* some may be abandoned */
        saros_op *op = saros_queue_pop(&loop->ready);
        if (loop->ready.first != NULL) SAROS_FETCH(loop->ready.first->next); /* of thousands it is in no cache */
        saros_tell(loop, op);
        if (until != SAROS_FOREVER && saros_now(loop) >= until) return false;
    }
    return true;
}

/* Of a crowd of timers several may be told by one wake-up: each of them is late by so much at most. */
static saros_time grain(const saros_loop *loop) {
    saros_time span = loop->timers.count < SAROS_CROWD ? 0 : (saros_time)loop->timers.count * SAROS_APART;
    return span < SAROS_GRAIN ? span : SAROS_GRAIN;
}

/* The next deadline in this turn's terms: how long the driver may block. */
static saros_time patience(saros_loop *loop, saros_time now, saros_time give_up) {
    saros_time next = saros_heap_next(&loop->timers);
    if (next <= now) return 0;
    saros_time until = earlier(after(next, grain(loop)), give_up);
    if (until == SAROS_FOREVER) return SAROS_FOREVER;
    return until > now ? until - now : 0;
}

/* begun: since the last look at the kernel something was told, and so may have begun more. */
static saros_status step(saros_loop *loop, const saros_limits *limits, bool *begun) {
    saros_time   began = saros_now(loop), now = began, blocked = 0;
    saros_time   until = limits->budget > 0 ? after(began, limits->budget) : SAROS_FOREVER;
    saros_time   give_up = after(began, limits->wait);
    saros_status status = {.outcome = SAROS_MORE};
    int          error = 0;
    bool         looked = false; /* a step looks at the kernel at least once, also with a budget of nothing */
    *begun = false;

    for (;;) {
        saros_door_drain(loop);
        saros_expire(loop, now);
        bool ready = loop->ready.count > 0;
        if (!ready && idle(loop)) {
            status.outcome = SAROS_DONE;
            break;
        }
        if (!ready && looked) { /* it has waited once; what came of it is told */
            status.outcome = SAROS_WAITING;
            break;
        }
        if (!ready || look_due(loop, now) || (!looked && loop->flying > 0)) {
            bool       held = ready || loop->stopping;
            saros_time before = now;
            if ((error = saros_ask(loop, held ? 0 : patience(loop, now, give_up))) < 0) break;
            looked = true;
            *begun = false;
            now = loop->asked = saros_now(loop);
            if (!ready) blocked += now - before;
            saros_door_drain(loop);
            saros_expire(loop, now);
        }
        *begun = *begun || loop->ready.count > 0;
        loop->turn = now;
        bool spent = loop->ready.count > 0 && !tell_batch(loop, until);
        if (spent || loop->stopping) {
            loop->stopped = loop->stopping;
            loop->stopping = false;
            if (loop->ready.count == 0 && !saros_door_knocked(loop))
                status.outcome = idle(loop) ? SAROS_DONE : SAROS_WAITING;
            break;
        }
        looked = looked || loop->flying == 0;
        now = saros_now(loop);
    }
    if (error == 0) error = loop->broken;
    if (error < 0) status.outcome = SAROS_BROKEN;
    status.error = error;
    status.next = saros_heap_next(&loop->timers);
    status.used = saros_now(loop) - began - blocked;
    return status;
}

static void collect(saros_loop *loop, saros_time limit) {
    saros_time until = after(saros_now(loop), limit);
    for (saros_guest *guest = loop->guests; guest != NULL; guest = guest->next)
        while (guest->collect != NULL && guest->collect(guest, loop) && saros_now(loop) < until) {}
}

/* The caller may now wait elsewhere, on saros_pollable. What was begun since the last look may still be with us: a driver
 * that hands over requests in batches does so when it is asked. */
static void look_again(saros_loop *loop, saros_status *status) {
    if (status->outcome != SAROS_WAITING || loop->flying == 0) return;
    int error = saros_ask(loop, 0);
    if (error == 0 && loop->ready.count > 0) status->outcome = SAROS_MORE;
    if (error < 0) *status = (saros_status){SAROS_BROKEN, error, status->used, status->next};
}

/* leaves: to somebody who is not of the loop. */
static saros_status enter(saros_loop *loop, const saros_limits *limits, bool leaves) {
    bool begun;
    if (loop->running) return (saros_status){.outcome = SAROS_BROKEN, .error = SAROS_EBUSY, .next = SAROS_FOREVER};
    if (loop->broken < 0) return (saros_status){.outcome = SAROS_BROKEN, .error = loop->broken, .next = SAROS_FOREVER};
    loop->running = true;
    for (saros_guest *guest = leaves ? loop->guests : NULL; guest != NULL; guest = guest->next)
        if (guest->stepping != NULL) guest->stepping(guest, loop);
    saros_status status = step(loop, limits, &begun);
    if (begun && leaves) look_again(loop, &status);
    if (limits->gc > 0) collect(loop, limits->gc);
    loop->running = false;
    return status;
}

saros_status saros_step(saros_loop *loop, const saros_limits *limits) { return enter(loop, limits, true); }

int saros_run(saros_loop *loop) {
    saros_status status = {.outcome = SAROS_MORE};
    if (loop->running) return SAROS_EBUSY;
    loop->stopped = false;
    while (!loop->stopped && (status.outcome == SAROS_MORE || status.outcome == SAROS_WAITING))
        status = enter(loop, &(saros_limits){.wait = SAROS_FOREVER}, false);
    loop->stopping = false;
    return status.outcome == SAROS_BROKEN ? status.error : 0;
}

int saros_drain(saros_loop *loop, saros_time patience_left) {
    saros_time until = after(saros_now(loop), patience_left);
    for (;;) {
        saros_time   now = saros_now(loop), left = until == SAROS_FOREVER ? until : until > now ? until - now : 0;
        saros_status status = enter(loop, &(saros_limits){.wait = left, .budget = left > 0 ? left : 1}, false);
        if (status.outcome == SAROS_DONE) return 0;
        if (status.outcome == SAROS_BROKEN) return status.error;
        if (left == 0) return SAROS_ETIMEDOUT;
    }
}

/* ---- close ---------------------------------------------------------------------------------------------------- */

static void closed_by_loop(saros_loop *loop, saros_op *op, int64_t result) { (void)loop, (void)op, (void)result; }

/* Tells what is ready; where something still flies, lets the driver bring it. */
static void settle(saros_loop *loop) {
    while (loop->ready.count > 0 || (loop->flying > 0 && loop->broken == 0)) {
        if (loop->ready.count == 0 && saros_ask(loop, SAROS_FOREVER) < 0) return;
        while (loop->ready.count > 0) saros_tell(loop, saros_queue_pop(&loop->ready));
    }
}

static void close_handles(saros_loop *loop) {
    saros_handle *last = NULL; /* a broken driver may not bring a close to its end: then we give up, not spin */
    while (loop->handles != NULL && loop->handles != last) {
        saros_op op = {.kind = SAROS_OP_CLOSE, .done = closed_by_loop, .handle = last = loop->handles};
        if (last->state != SAROS_HANDLE_CLOSING) saros_submit(loop, &op);
        settle(loop);
    }
}

int saros_close(saros_loop *loop) {
    if (loop->running) return SAROS_EBUSY;
    for (const saros_guest *guest = loop->guests; guest != NULL; guest = guest->next)
        if (guest->leaving) return SAROS_EBUSY;
    loop->running = true;
    while (loop->guests != NULL) {
        saros_guest *guest = loop->guests;
        loop->guests = guest->next;
        if (guest->closing != NULL) guest->closing(guest, loop);
    }
    loop->closing = true;
    for (saros_handle *handle = loop->handles, *behind; handle != NULL; handle = behind) {
        behind = handle->next; /* a connect that is cancelled takes its handle off the list */
        for (saros_op *op = handle->first, *next; op != NULL; op = next) {
            next = op->next;
            saros_cancel(loop, op);
        }
    }
    while (loop->timers.count > 0) saros_cancel(loop, loop->timers.entries[0].op);
    saros_door_drain(loop);
    settle(loop);
    close_handles(loop);
    saros_door_close(loop);
    settle(loop); /* what came in while the door closed */
    loop->driver->close(loop->state);
    saros_realloc(loop, loop->state, loop->driver->size, 0);
    saros_heap_free(&loop->timers, loop);
    saros_realloc(loop, loop->scratch, SAROS_SCRATCH, 0);
    loop->running = false;
    saros_release(loop);
    return 0;
}
