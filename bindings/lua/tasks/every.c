/* every.c: what comes again and again: ticks on a grid of time, and the steps of a host.
 *
 * Promises: saros.every does not drift: its n-th tick is n periods after its beginning, however late the ones before it
 * were; and it is never early. saros.next_step waits for another step of the host, never for the one in which it was
 * called, and no time is lost between two of them. */
#include <math.h>
#include <string.h>

#include "bindings/lua/tasks/task.h"

/* ---- every ---------------------------------------------------------------------------------------------------- */

enum { PERIOD = 2, BEGAN, BURST, NEXT }; /* upvalues of the iterator; NEXT: the number of the tick to come */

/* When the n-th tick is, to the nanosecond. */
static saros_time tick_at(lua_State *L, lua_Number n) {
    lua_Number passed = ceil(lua_tonumber(L, lua_upvalueindex(PERIOD)) * n * 1e9);
    saros_time began = (saros_time)lua_tointeger(L, lua_upvalueindex(BEGAN));
    return passed >= (lua_Number)(SAROS_FOREVER - began) ? SAROS_FOREVER : began + (saros_time)passed;
}

/* The number of the tick that is given at `now`, of those from the n-th on that have come: if missed ones are skipped, the
 * latest. */
static lua_Number which_tick(lua_State *L, lua_Number n, saros_time now) {
    lua_Number passed = (lua_Number)(now - (saros_time)lua_tointeger(L, lua_upvalueindex(BEGAN))) / 1e9;
    lua_Number latest = floor(passed / lua_tonumber(L, lua_upvalueindex(PERIOD)));
    if (lua_toboolean(L, lua_upvalueindex(BURST)) || !(latest > n)) return n;
    return tick_at(L, latest) <= now ? latest : latest - 1; /* to the nanosecond */
}

static int tick_k(lua_State *L, int status, lua_KContext ctx) {
    int64_t     result;
    saros_task *task = saros_resumed(L, &result);
    (void)status, (void)ctx;
    saros_time now = saros_task_now(task->rt, task);
    lua_Number n = which_tick(L, lua_tonumber(L, lua_upvalueindex(NEXT)), now);
    saros_time late = now - tick_at(L, n);
    lua_pushnumber(L, n + 1);
    lua_replace(L, lua_upvalueindex(NEXT));
    lua_pushnumber(L, late > 0 ? (lua_Number)late / 1e9 : 0);
    return 1;
}

/* The iterator: sleeps until the next tick, and gives how late it is. A tick in the past gives way all the same. */
static int next_tick(lua_State *L) {
    saros_task *task = saros_begin(L, "saros.every");
    return saros_sleep_till(L, task, tick_at(L, lua_tonumber(L, lua_upvalueindex(NEXT))), tick_k);
}

/* for late in saros.every(s, {missed = "skip"|"burst"}) do … end */
static int every(lua_State *L) {
    static const char *const names[] = {"missed", NULL};
    saros_rt                *rt = saros_loop_now(L, "saros.every");
    lua_Number               period = luaL_checknumber(L, 1);
    bool                     burst = false;
    luaL_argcheck(L, period > 0, 1, "number of seconds above 0 expected");
    lua_settop(L, 2);
    saros_check_options(L, 2, names);
    if (lua_istable(L, 2) && saros_option(L, 2, "missed") != LUA_TNIL) {
        const char *missed = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "";
        burst = strcmp(missed, "burst") == 0;
        luaL_argcheck(L, burst || strcmp(missed, "skip") == 0, 2, "option 'missed': \"skip\" or \"burst\" expected");
    }
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_pushnumber(L, period);
    lua_pushinteger(L, (lua_Integer)saros_task_now(rt, rt->task));
    lua_pushboolean(L, burst);
    lua_pushnumber(L, 1);
    lua_pushcclosure(L, next_tick, NEXT);
    return 1;
}

/* ---- next_step ------------------------------------------------------------------------------------------------ */

/* While somebody waits for a step the loop is not done: the host may yet step it. */
static void hold_for_step(saros_rt *rt) {
    bool wanted = rt->next_step != NULL;
    if (wanted && !rt->step_held) saros_hold(rt->loop);
    if (!wanted && rt->step_held) saros_release(rt->loop);
    rt->step_held = wanted;
}

void saros_stepping(saros_rt *rt) {
    rt->steps++;
    rt->stepped = saros_now(rt->loop);
    saros_wake_all(&rt->next_step, 0);
    hold_for_step(rt);
}

void saros_steps_forget(saros_rt *rt) { hold_for_step(rt); }

/* The time of the step, as the task sees it. */
static saros_time time_of_step(const saros_rt *rt, const saros_task *task) {
    return task->clock != 0 ? saros_task_now(rt, task) : rt->stepped;
}

/* Stack: 1 the time of the step before. */
static int next_step_k(lua_State *L, int status, lua_KContext ctx) {
    int64_t     result;
    saros_task *task = saros_resumed_raw(L);
    saros_rt   *rt = task->rt;
    (void)status, (void)ctx;
    hold_for_step(rt); /* it may have been the last, and cancelled */
    saros_resumed(L, &result);
    if (result < 0) return saros_raise(L, (int)result, "the wait for the next step was ended");
    lua_pushnumber(L, (lua_Number)(time_of_step(rt, task) - (saros_time)lua_tointeger(L, 1)) / 1e9);
    lua_pushinteger(L, (lua_Integer)rt->steps);
    return 2;
}

/* saros.next_step() -> seconds since the step before, the step's number */
static int next_step(lua_State *L) {
    saros_task *task = saros_begin(L, "saros.next_step");
    saros_rt   *rt = task->rt;
    if (rt->runs_itself)
        return luaL_error(L, "saros.next_step: nobody steps this loop, it runs by itself (a host steps its own with "
                             "saros_step or loop:step)");
    lua_settop(L, 0);
    lua_pushinteger(L, (lua_Integer)time_of_step(rt, task));
    saros_wait_on(task, &rt->next_step);
    hold_for_step(rt);
    return saros_suspend(L, task, 0, next_step_k);
}

void saros_open_every(lua_State *L) {
    static const luaL_Reg functions[] = {{"every", every}, {"next_step", next_step}, {NULL, NULL}};
    saros_add(L, functions);
}
