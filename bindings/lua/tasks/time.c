/* time.c: sleeping, and callbacks that are called soon, later, or at a time.
 *
 * Promises: times are seconds on the loop's own clock; a sleep never ends early; sleep(0) gives way exactly once;
 * callbacks run outside any task, one after the other, and an error in one is reported and harms nobody else. */
#include <time.h>

#include "bindings/lua/tasks/task.h"

static int sleep_k(lua_State *L, int status, lua_KContext ctx) {
    int64_t result;
    (void)status, (void)ctx;
    saros_resumed(L, &result);
    lua_pushboolean(L, 1);
    return 1;
}

static int gave_way_k(lua_State *L, int status, lua_KContext ctx) {
    saros_task *task = saros_resumed_raw(L);
    (void)status, (void)ctx;
    task->asleep = false;
    if (task->op.result == SAROS_ECANCELED && saros_is_cancelled(task)) saros_raise_cancelled(L, task);
    lua_pushboolean(L, 1);
    return 1;
}

/* For ever is a timer as well, at the end of time: who sleeps on purpose is not in a deadlock. */
static inline int sleep_till(lua_State *L, saros_task *task, saros_time deadline, lua_KFunction k) {
    if (task->clock != 0) return saros_clock_sleep(L, task, deadline, k);
    if (saros_timer(task->rt->loop, &task->op, deadline) < 0) return luaL_error(L, "not enough memory");
    return saros_suspend(L, task, 0, k);
}

int saros_sleep_till(lua_State *L, saros_task *task, saros_time deadline, lua_KFunction k) {
    return sleep_till(L, task, deadline, k);
}

int saros_sleep(lua_State *L, int arg, const char *what) {
    saros_time  duration = saros_seconds(L, arg);
    saros_task *task = saros_begin(L, what);
    if (duration > 0) return sleep_till(L, task, saros_task_later(task, duration), sleep_k);
    task->asleep = true;
    saros_requeue(task);
    return saros_suspend(L, task, 0, gave_way_k);
}

static int sleep(lua_State *L) { return saros_sleep(L, 1, "saros.sleep"); }

static int sleep_until(lua_State *L) {
    saros_time  deadline = saros_seconds(L, 1);
    saros_task *task = saros_begin(L, "saros.sleep_until");
    return sleep_till(L, task, deadline, sleep_k);
}

static int now(lua_State *L) {
    const saros_rt *rt = saros_loop_now(L, "saros.now");
    lua_pushnumber(L, (lua_Number)saros_task_now(rt, rt->task) / 1e9);
    return 1;
}

/* ---- callbacks ------------------------------------------------------------------------------------------------ */

/* SAROS_T_CALL: user values: the function, its arguments. It is in the table of calls until it was told. */
typedef struct saros_call {
    saros_op    op;
    saros_rt   *rt;          /* NULL: told or cancelled */
    saros_call *next, *prev; /* those of rt that are still to come */
    uint32_t    slot;
    int         args;
    bool        cancelled;
    bool        clocked; /* it follows a clock of the script's own: its tick is behind this struct */
} call;

static saros_tick *tick_of(call *self) { return (saros_tick *)(void *)(self + 1); }

/* protected: calls the function of the call p. */
static int run_call(lua_State *L) {
    call *self = lua_touserdata(L, 1);
    lua_settop(L, 0);
    luaL_checkstack(L, self->args + 4, "too many arguments");
    lua_pushcfunction(L, saros_traceback);
    saros_slot_push(L, self->rt, SAROS_CALLS, self->slot);
    for (int i = 0; i <= self->args; i++) lua_getiuservalue(L, 2, 1 + i);
    lua_remove(L, 2);
    bool       timed = self->rt->manners.debug;
    saros_time began = timed ? saros_now(self->rt->loop) : 0;
    if (timed) lua_pushvalue(L, 2), lua_insert(L, 1);
    int status = lua_pcall(L, self->args, 0, timed ? 2 : 1);
    if (timed) saros_debug_call(L, self->rt, 1, began);
    if (status == LUA_OK) return 0;
    if (!saros_traced(L, -1)) lua_pushnil(L);
    saros_untrace(L, -2);
    saros_unhandled(L, self->rt, "a callback failed", 0);
    return 0;
}

/* It is over: told, or it never will be. */
static void end_call(call *self) {
    saros_rt *rt = self->rt;
    if (self->clocked) saros_clock_release(tick_of(self)->clock);
    if (self->prev != NULL) self->prev->next = self->next;
    else rt->calls = self->next;
    if (self->next != NULL) self->next->prev = self->prev;
    self->next = self->prev = NULL;
    self->rt = NULL;
    saros_slot_clear(rt, SAROS_CALLS, self->slot);
}

static void call_told(saros_loop *loop, saros_op *op, int64_t result) {
    call       *self = (call *)(void *)op;
    saros_rt   *rt = self->rt, *outer_rt = rt->lua->current;
    saros_task *outer = rt->task;
    (void)loop;
    bool runs = result >= 0 && !self->cancelled && rt->loop != NULL;
    self->cancelled = true; /* too late for that from now on, also for the function itself */
    if (runs) {
        rt->lua->current = rt;
        rt->task = NULL;
        saros_protected(rt, run_call, self, "a callback");
        rt->task = outer;
        rt->lua->current = outer_rt;
    }
    end_call(self);
}

/* Function and nargs arguments on top become a call, which is left in their place and not yet started. */
static call *make_call(lua_State *L, saros_rt *rt, int nargs, saros_clock *clock) {
    int first = lua_gettop(L) - nargs;
    if (rt->loop == NULL) luaL_error(L, "the loop is closed");
    if (nargs > 250) luaL_error(L, "too many arguments (at most 250)");
    size_t extra = clock != NULL ? sizeof(saros_tick) : 0;
    call  *self = saros_new(L, rt->lua, SAROS_T_CALL, sizeof *self + extra, 1 + nargs);
    for (int i = nargs; i >= 0; i--) {
        lua_pushvalue(L, first + i);
        lua_setiuservalue(L, -2, 1 + i);
    }
    lua_replace(L, first);
    lua_settop(L, first);
    self->args = nargs;
    self->op.done = call_told;
    self->slot = saros_slot_keep(L, rt, SAROS_CALLS, first);
    self->rt = rt;
    self->next = rt->calls;
    if (rt->calls != NULL) rt->calls->prev = self;
    rt->calls = self;
    if (clock == NULL) return self;
    self->clocked = true;
    *tick_of(self) = (saros_tick){.op = &self->op, .clock = clock};
    saros_clock_hold(clock);
    return self;
}

void saros_call_soon(lua_State *L, saros_rt *rt, int nargs) {
    call *self = make_call(L, rt, nargs, NULL);
    saros_expect(rt->loop, &self->op);
    saros_complete(rt->loop, &self->op, 0);
}

static int start_at(lua_State *L, saros_rt *rt, saros_time deadline) {
    luaL_checktype(L, 2, LUA_TFUNCTION);
    saros_clock *clock = rt->task != NULL ? saros_task_clock(rt->task) : NULL;
    call        *self = make_call(L, rt, lua_gettop(L) - 2, clock);
    saros_tick   plain = {.op = &self->op}, *tick = clock != NULL ? tick_of(self) : &plain;
    tick->deadline = deadline;
    if (saros_tick_start(rt->loop, tick) < 0) {
        end_call(self);
        return luaL_error(L, "not enough memory");
    }
    return 1;
}

static int call_soon(lua_State *L) {
    luaL_checktype(L, 1, LUA_TFUNCTION);
    saros_call_soon(L, saros_loop_now(L, "saros.call_soon"), lua_gettop(L) - 1);
    return 1;
}

static int call_later(lua_State *L) {
    saros_rt  *rt = saros_loop_now(L, "saros.call_later");
    saros_time duration = saros_seconds(L, 1), now = saros_task_now(rt, rt->task);
    return start_at(L, rt, duration >= SAROS_FOREVER - now ? SAROS_FOREVER : now + duration);
}

static int call_at(lua_State *L) { return start_at(L, saros_loop_now(L, "saros.call_at"), saros_seconds(L, 1)); }

static void cancel_call(call *self) {
    saros_loop *loop = self->rt->loop;
    self->cancelled = true;
    if (self->clocked ? saros_tick_stop(loop, tick_of(self))
                      : self->op.kind == SAROS_OP_TIMER && saros_timer_stop(loop, &self->op))
        end_call(self);
    else saros_cancel(loop, &self->op);
}

void saros_calls_cancel(saros_rt *rt) {
    while (rt->calls != NULL) {
        if (rt->calls->clocked) saros_wait_unlink(&tick_of(rt->calls)->wait);
        saros_abandon(rt->loop, &rt->calls->op);
        end_call(rt->calls);
    }
}

/* handle:cancel() -> was it still to come? */
static int call_cancel(lua_State *L) {
    call *self = saros_check(L, 1, SAROS_T_CALL);
    bool  waiting = self->rt != NULL && !self->cancelled;
    if (waiting) cancel_call(self);
    lua_pushboolean(L, waiting);
    return 1;
}

/* saros._wall() -> seconds since 1970, as the system's calendar has them; needs no loop. */
static int wall(lua_State *L) {
#ifdef TIME_UTC /* of C11; not every C library has it */
    struct timespec now;
    if (timespec_get(&now, TIME_UTC) == TIME_UTC) {
        lua_pushnumber(L, (lua_Number)now.tv_sec + (lua_Number)now.tv_nsec / 1e9);
        return 1;
    }
#endif
    lua_pushnumber(L, (lua_Number)time(NULL));
    return 1;
}

void saros_open_time(lua_State *L) {
    static const luaL_Reg methods[] = {{"cancel", call_cancel}, {NULL, NULL}};
    static const luaL_Reg functions[] = {
        {"sleep", sleep},           {"sleep_until", sleep_until}, {"now", now},    {"call_soon", call_soon},
        {"call_later", call_later}, {"call_at", call_at},         {"_wall", wall}, {NULL, NULL}};
    saros_type_make(L, SAROS_T_CALL, "saros.call", methods, NULL);
    saros_add(L, functions);
}
