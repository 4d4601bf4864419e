/* clock.c: clocks of the script's own: slower, faster, at rest, or moved by hand.
 *
 * A task that has one sees all its times by it: now, sleep, timeout, every, the deadlines of its scopes, call_at. It gets
 * it from its group or its spawner. A game has slow motion and a pause so, without stopping its menu, and a test or a
 * lock-step game moves time itself.
 *
 * Owns, for each clock, the ring of what waits for one of its times, the earliest first, and one timer of the loop for
 * the first of them: a change of pace sets that one anew and touches nobody else. Walking to a place in the ring costs
 * more the more wait for an earlier time than the last: it is made for thousands, not for millions.
 * Promises: nothing is early by its own clock; equal times are told in the order of their start; a task without a clock
 * pays for looking whether it has one. */
#include <math.h>
#include <string.h>

#include "bindings/lua/tasks/task.h"

struct saros_clock {  /* SAROS_T_CLOCK; anchored while somebody needs it */
    saros_rt     *rt; /* NULL: its loop is closed */
    saros_waiter *first;
    saros_op      alarm; /* the loop's timer for the first */
    double        scale;
    bool          manual, paused;
    saros_time    since, showed; /* when the loop's clock was at `since` this one showed `showed` */
    size_t        needed;
    uint16_t      place; /* in rt->clocks */
};

/* ---- its time ------------------------------------------------------------------------------------------------- */

static bool rests(const saros_clock *clock) { return clock->manual || clock->paused || clock->scale == 0; }

static saros_time sum(saros_time a, double b) { return b >= 9.2e18 - (double)a ? SAROS_FOREVER : a + (saros_time)b; }

/* What it shows when the loop's shows `time`. */
static saros_time shown_at(const saros_clock *clock, saros_time time) {
    if (rests(clock)) return clock->showed;
    return sum(clock->showed, floor((double)(time - clock->since) * clock->scale));
}

saros_time saros_clock_now(const saros_clock *clock) { return shown_at(clock, saros_now(clock->rt->loop)); }

saros_time saros_clock_later(const saros_clock *clock, saros_time duration) {
    saros_time now = saros_clock_now(clock);
    return duration >= SAROS_FOREVER - now ? SAROS_FOREVER : now + duration;
}

/* When the loop's clock will show that this one has reached `time`: never too early by a rounding. */
static saros_time loops_time(const saros_clock *clock, saros_time time) {
    if (time == SAROS_FOREVER) return time;
    if (time <= clock->showed) return clock->since;
    saros_time when = sum(clock->since, ceil((double)(time - clock->showed) / clock->scale));
    while (when < SAROS_FOREVER && shown_at(clock, when) < time) when = sum(when, ceil(1 / clock->scale));
    return when;
}

/* ---- who waits for it ----------------------------------------------------------------------------------------- */

/* Those in the ring are ticks, and tasks that sleep: which, tells `wake`. */
static saros_tick *tick_of(saros_waiter *waiter) { return (saros_tick *)(void *)waiter; }

static void wake_tick(saros_waiter *waiter, int64_t result) {
    saros_tick *tick = tick_of(waiter);
    saros_complete(tick->clock->rt->loop, tick->op, result);
}

static void wake_task(saros_waiter *waiter, int64_t result) {
    saros_task *task = saros_waiter_task(waiter);
    saros_complete(task->rt->loop, &task->op, result);
}

/* While an op flies its result is nobody's: a task that sleeps keeps there for which time it waits. */
static saros_time time_of(saros_waiter *waiter) {
    return waiter->wake == wake_task ? saros_waiter_task(waiter)->op.result : tick_of(waiter)->deadline;
}

/* Wakes who is due, and sets the alarm for the first of the others. Without memory for that it looks again each turn. */
static void set_alarm(saros_clock *clock) {
    saros_loop *loop = clock->rt->loop;
    saros_time  now = saros_clock_now(clock);
    while (clock->first != NULL && time_of(clock->first) <= now) saros_wake_first(&clock->first, 0);
    if (!saros_timer_stop(loop, &clock->alarm) || clock->first == NULL || rests(clock)) return;
    if (saros_timer(loop, &clock->alarm, loops_time(clock, time_of(clock->first))) == 0) return;
    saros_expect(loop, &clock->alarm);
    saros_complete(loop, &clock->alarm, 0);
}

static void alarm_told(saros_loop *loop, saros_op *op, int64_t result) {
    saros_clock *clock = (saros_clock *)((char *)op - offsetof(saros_clock, alarm));
    (void)loop;
    if (clock->rt != NULL && result >= 0) set_alarm(clock);
}

/* Behind all whose time is not later. */
static void enter(saros_clock *clock, saros_waiter *waiter, saros_time time) {
    saros_waiter *later = NULL, *first = clock->first;
    for (saros_waiter *last = first != NULL ? first->prev : NULL; last != NULL && time_of(last) > time;) {
        later = last;
        last = last != first ? last->prev : NULL;
    }
    saros_wait_link(later != NULL ? &later : &clock->first, waiter); /* the end of a ring is before its beginning */
    waiter->list = &clock->first;
    if (later != NULL && later == first) clock->first = waiter;
    if (clock->first == waiter) set_alarm(clock);
}

int saros_tick_start(saros_loop *loop, saros_tick *tick) {
    if (tick->clock == NULL) return saros_timer(loop, tick->op, tick->deadline);
    tick->wait.wake = wake_tick;
    saros_expect(loop, tick->op);
    enter(tick->clock, &tick->wait, tick->deadline);
    return 0;
}

bool saros_tick_leave(saros_loop *loop, saros_tick *tick) {
    if (tick->wait.list == NULL) return saros_timer_stop(loop, tick->op);
    saros_wait_unlink(&tick->wait);
    saros_abandon(loop, tick->op);
    set_alarm(tick->clock);
    return true;
}

/* It may have been cancelled, and the alarm was for it alone. */
void saros_clock_forget(const saros_task *task) {
    saros_clock *clock = saros_task_clock(task);
    if (clock != NULL && clock->first == NULL) set_alarm(clock);
}

/* ctx: the function that goes on when the sleep is over. */
static int awake_k(lua_State *L, int status, lua_KContext ctx) {
    saros_task *task = saros_resumed_raw(L);
    (void)status;
    task->asleep = false;
    saros_clock_forget(task);
    return ((lua_KFunction)ctx)(L, LUA_YIELD, 0);
}

int saros_clock_sleep(lua_State *L, saros_task *task, saros_time deadline, lua_KFunction k) {
    task->wait.wake = wake_task;
    task->asleep = true;
    saros_expect(task->rt->loop, &task->op);
    task->op.result = deadline;
    enter(saros_task_clock(task), &task->wait, deadline);
    return saros_suspend(L, task, (lua_KContext)k, awake_k);
}

/* ---- who needs it --------------------------------------------------------------------------------------------- */

saros_clock *saros_check_clock(lua_State *L, int index, const saros_rt *rt, const char *what) {
    saros_clock *clock = saros_test(L, rt->lua, index, SAROS_T_CLOCK);
    if (clock == NULL) luaL_error(L, "%s: saros.clock expected, got %s", what, luaL_typename(L, index));
    if (clock->rt == NULL) luaL_error(L, "%s: the clock's loop is closed", what);
    if (clock->rt != rt) luaL_error(L, "%s: the clock belongs to another loop", what);
    return clock;
}

void saros_clock_release(saros_clock *clock) {
    if (--clock->needed > 0 || clock->rt == NULL) return;
    saros_abandon(clock->rt->loop, &clock->alarm);
    saros_drop(clock->rt, clock);
}

void saros_clock_hold(saros_clock *clock) { clock->needed++; }

void saros_task_set_clock(lua_State *L, saros_task *task, int index) {
    saros_clock *clock = saros_check_clock(L, index, task->rt, "saros.spawn"), *before = saros_task_clock(task);
    if (clock->needed == 0) {
        lua_pushvalue(L, index);
        saros_anchor(L, task->rt, clock);
    }
    saros_clock_hold(clock);
    if (before != NULL) saros_clock_release(before);
    task->clock = clock->place;
    task->heirloom |= SAROS_HAS_CLOCK;
}

/* A place for it in rt->clocks; 0: there is none. */
static uint16_t find_place(saros_rt *rt) {
    uint32_t place = 1;
    while (place < rt->clock_room && rt->clocks[place] != NULL) place++;
    if (place > UINT16_MAX) return 0;
    if (place >= rt->clock_room) {
        uint32_t room = rt->clock_room > 0 ? rt->clock_room * 2 : 8;
        size_t   before = rt->clock_room * sizeof(saros_clock *);
        void    *list = saros_realloc(rt->loop, rt->clocks, before, room * sizeof(saros_clock *));
        if (list == NULL) return 0;
        rt->clocks = list;
        memset(rt->clocks + rt->clock_room, 0, (room - rt->clock_room) * sizeof(saros_clock *));
        rt->clock_room = room;
    }
    return (uint16_t)place;
}

void saros_clocks_close(saros_rt *rt) {
    for (uint32_t i = 1; i < rt->clock_room; i++) {
        if (rt->clocks[i] == NULL) continue;
        saros_abandon(rt->loop, &rt->clocks[i]->alarm);
        rt->clocks[i]->rt = NULL;
    }
    saros_realloc(rt->loop, rt->clocks, rt->clock_room * sizeof(saros_clock *), 0);
    rt->clocks = NULL;
    rt->clock_room = 0;
}

/* ---- the script's part ---------------------------------------------------------------------------------------- */

static saros_clock *check(lua_State *L) {
    saros_clock *clock = saros_check(L, 1, SAROS_T_CLOCK);
    if (clock->rt == NULL) luaL_error(L, "the clock's loop is closed");
    return clock;
}

/* Its pace is about to change: what it shows now is where it goes on from. */
static void settle(saros_clock *clock) {
    saros_time now = saros_now(clock->rt->loop);
    clock->showed = shown_at(clock, now);
    clock->since = now;
}

static double check_scale(lua_State *L, double scale, int arg) {
    luaL_argcheck(L, scale >= 0 && scale < HUGE_VAL, arg, "a scale is a finite number from 0 on");
    return scale;
}

/* saros.clock{scale = 1, manual = false} */
static int clock_new(lua_State *L) {
    static const char *const names[] = {"scale", "manual", NULL};
    saros_rt                *rt = saros_loop_now(L, "saros.clock");
    double                   scale = 1;
    bool                     manual = false;
    lua_settop(L, 1);
    saros_check_options(L, 1, names);
    if (lua_istable(L, 1)) {
        if (saros_option(L, 1, "scale") != LUA_TNIL) {
            luaL_argcheck(L, lua_isnumber(L, 2), 1, "option 'scale': number expected");
            scale = check_scale(L, lua_tonumber(L, 2), 1);
        }
        saros_option(L, 1, "manual");
        manual = lua_toboolean(L, -1);
    }
    saros_clock *clock = saros_new(L, rt->lua, SAROS_T_CLOCK, sizeof *clock, 0);
    clock->place = find_place(rt);
    if (clock->place == 0) return luaL_error(L, "saros.clock: not enough memory, or more than 65,535 clocks");
    *clock = (saros_clock){.rt = rt,
                           .alarm.done = alarm_told,
                           .scale = scale,
                           .manual = manual,
                           .since = saros_now(rt->loop),
                           .place = clock->place};
    rt->clocks[clock->place] = clock;
    return 1;
}

/* clock:scale() -> x ; clock:scale(x) */
static int clock_scale(lua_State *L) {
    saros_clock *clock = check(L);
    if (!lua_isnone(L, 2)) {
        double scale = check_scale(L, luaL_checknumber(L, 2), 2);
        settle(clock);
        clock->scale = scale;
        set_alarm(clock);
    }
    lua_pushnumber(L, clock->scale);
    return 1;
}

static int set_paused(lua_State *L, bool paused) {
    saros_clock *clock = check(L);
    settle(clock);
    clock->paused = paused;
    set_alarm(clock);
    lua_pushboolean(L, 1);
    return 1;
}

static int clock_pause(lua_State *L) { return set_paused(L, true); }
static int clock_resume(lua_State *L) { return set_paused(L, false); }

static int clock_now(lua_State *L) {
    lua_pushnumber(L, (lua_Number)saros_clock_now(check(L)) / 1e9);
    return 1;
}

/* clock:advance(dt): as if dt seconds of the world had passed: its scale and its rest are looked at. */
static int clock_advance(lua_State *L) {
    saros_clock *clock = check(L);
    saros_time   passed = saros_seconds(L, 2);
    settle(clock);
    if (!clock->paused) clock->showed = sum(clock->showed, (double)passed * clock->scale);
    set_alarm(clock);
    lua_pushboolean(L, 1);
    return 1;
}

static int clock_tostring(lua_State *L) {
    const saros_clock *clock = saros_check(L, 1, SAROS_T_CLOCK);
    const char *how = clock->rt == NULL ? "closed" : clock->manual ? "manual" : clock->paused ? "paused" : "running";
    lua_pushfstring(L, "saros.clock (%s): %p", how, (const void *)clock);
    return 1;
}

static int clock_gc(lua_State *L) {
    saros_clock *clock = saros_check(L, 1, SAROS_T_CLOCK);
    if (clock->rt == NULL || clock->needed > 0)
        return 0; /* the state is closed, and its loop's tasks are still to end */
    saros_abandon(clock->rt->loop, &clock->alarm);
    clock->rt->clocks[clock->place] = NULL;
    clock->rt = NULL;
    return 0;
}

/* For the parts written in Lua: a task that has not begun is to follow a clock of its loop's. */
static int set_clock(lua_State *L) {
    saros_task *task = saros_check(L, 1, SAROS_T_TASK);
    luaL_argcheck(L, task->rt != NULL && task->co == NULL, 1, "the task has begun");
    saros_task_set_clock(L, task, 2);
    lua_settop(L, 1);
    return 1;
}

void saros_open_clock(lua_State *L) {
    static const luaL_Reg methods[] = {{"scale", clock_scale}, {"pause", clock_pause},     {"resume", clock_resume},
                                       {"now", clock_now},     {"advance", clock_advance}, {NULL, NULL}};
    static const luaL_Reg meta[] = {{"__tostring", clock_tostring}, {"__gc", clock_gc}, {NULL, NULL}};
    static const luaL_Reg functions[] = {{"clock", clock_new}, {"_set_clock", set_clock}, {NULL, NULL}};
    saros_type_make(L, SAROS_T_CLOCK, "saros.clock", methods, meta);
    saros_add(L, functions);
}
