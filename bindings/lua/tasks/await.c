/* await.c: what can be awaited: the list of those who wait, the value at the end, futures, saros.await.
 *
 * Owns how an awaitable is settled and read. Tasks and futures share this head.
 * Promises: settled once; waiters are woken in the order in which they came, through the run queue and never inline;
 * done callbacks run through the queue as well (semantics 11 to 16). */
#include <string.h>

#include "bindings/lua/tasks/task.h"

/* ---- who waits ------------------------------------------------------------------------------------------------ */

/* A ring through `next` and `prev`; *list is the oldest. */
void saros_wait_link(saros_waiter **list, saros_waiter *waiter) {
    waiter->list = list;
    if (*list == NULL) {
        *list = waiter->next = waiter->prev = waiter;
        return;
    }
    waiter->next = *list;
    waiter->prev = (*list)->prev;
    waiter->prev->next = waiter;
    (*list)->prev = waiter;
}

void saros_wait_unlink(saros_waiter *waiter) {
    if (waiter->list == NULL) return;
    if (waiter->next == waiter) *waiter->list = NULL;
    else {
        if (*waiter->list == waiter) *waiter->list = waiter->next;
        waiter->next->prev = waiter->prev;
        waiter->prev->next = waiter->next;
    }
    waiter->list = NULL;
}

static void wake_task(saros_waiter *waiter, int64_t result) {
    saros_task *task = saros_waiter_task(waiter);
    if (task->op.state == SAROS_FLYING) saros_complete(task->rt->loop, &task->op, result);
}

saros_task *saros_waiting_task(const saros_waiter *waiter) {
    const saros_waiter *closer = saros_group_closer(waiter);
    if (closer != NULL) waiter = closer;
    if (waiter->wake != wake_task) return saros_gathering_task(waiter);
    return saros_waiter_task((saros_waiter *)waiter);
}

void saros_wait_on(saros_task *task, saros_waiter **list) {
    task->wait.wake = wake_task;
    saros_wait_link(list, &task->wait);
    saros_expect(task->rt->loop, &task->op);
}

void saros_wake_first(saros_waiter **list, int64_t result) {
    saros_waiter *waiter = *list;
    if (waiter == NULL) return;
    saros_wait_unlink(waiter);
    waiter->wake(waiter, result);
}

void saros_wake_all(saros_waiter **list, int64_t result) {
    while (*list != NULL) saros_wake_first(list, result);
}

/* ---- the value ------------------------------------------------------------------------------------------------ */

void saros_box(lua_State *L, saros_awaitable *is, int index) {
    index = lua_absindex(L, index);
    if (is->boxed) {
        lua_getiuservalue(L, index, 1);
        return;
    }
    lua_createtable(L, 1, 4);
    lua_getiuservalue(L, index, 1); /* the function of a task that has not begun; else nil */
    lua_rawseti(L, -2, 0);
    lua_pushvalue(L, -1);
    lua_setiuservalue(L, index, 1);
    is->boxed = true;
}

/* The loop that a future belongs to, if it still is open, else the one that runs. */
static saros_rt *loop_of(const saros_lua *lua, const saros_promise *future) {
    for (saros_rt *rt = lua->loops; rt != NULL; rt = rt->next)
        if (rt->id == future->loop && !rt->closing) return rt;
    return lua->current != NULL ? lua->current : lua->attached;
}

/* Schedules the callbacks of the box on top: box.callbacks is a list of functions. */
static void call_back(lua_State *L, const saros_awaitable *is, int index) {
    if (lua_getfield(L, -1, "callbacks") == LUA_TTABLE) {
        saros_lua  *lua = saros_state_slow(L);
        saros_rt   *rt = is->task ? ((const saros_task *)is)->rt : loop_of(lua, (const saros_promise *)is);
        lua_Integer count = luaL_len(L, -1);
        if (rt == NULL) luaL_error(L, "no loop is running that could call back (settle the future inside saros.run)");
        for (lua_Integer i = 1; i <= count; i++) {
            if (lua_rawgeti(L, -1, i) !=
                LUA_TFUNCTION) { /* scheduled by a call that then found no memory for the next */
                lua_pop(L, 1);
                continue;
            }
            lua_pushvalue(L, index);
            saros_call_soon(L, rt, 1);
            lua_pop(L, 1);
            lua_pushboolean(L, 0);
            lua_rawseti(L, -2, i);
        }
        lua_pushnil(L);
        lua_setfield(L, -3, "callbacks");
    }
    lua_pop(L, 1);
}

/* Stores n values (popped) in the box, beside what is there already, and calls back who asked for it. */
static void settle_boxed(lua_State *L, saros_awaitable *is, int index, bool traced, int n) {
    luaL_checkstack(L, 8, "too many results"); /* values…, and the traceback where there is one */
    saros_box(L, is, index);
    if (traced) {
        lua_insert(L, -2);
        lua_setfield(L, -2, "traceback");
        saros_untrace(L, -2);
    }
    lua_insert(L, -n - 1);
    for (int i = n; i > 0; i--) lua_rawseti(L, -1 - i, i);
    call_back(L, is, index);
    lua_pop(L, 1);
}

void saros_settle(lua_State *L, saros_awaitable *is, int index, enum saros_fate fate, int n) {
    index = lua_absindex(L, index);
    bool traced = fate == SAROS_FAILED && saros_traced(L, -1);
    if (is->boxed || n > 1 || traced) {
        settle_boxed(L, is, index, traced, n);
    } else {
        if (n == 0) lua_pushnil(L);
        lua_setiuservalue(L, index, 1);
    }
    is->values = (uint32_t)n;
    is->fate = (uint8_t)fate;
    while (is->waiters != NULL) {
        if (is->waiters->wake != saros_quiet_wake) is->observed = true;
        saros_wake_first(&is->waiters, 0);
    }
}

void saros_observe(saros_awaitable *is) {
    if (is->observed) return;
    is->observed = true;
    if (is->task) {
        saros_task *task = (saros_task *)is;
        if (is->fate == SAROS_FAILED && task->rt != NULL) saros_cancel(task->rt->loop, &task->op);
    } else {
        const saros_promise *future = (saros_promise *)is;
        if (future->lost != NULL) saros_lost_end(future->lost);
    }
}

int saros_push_values(lua_State *L, const saros_awaitable *is, int index) {
    int n = (int)is->values;
    if (!is->boxed) {
        if (n == 1) lua_getiuservalue(L, index, 1);
        return n;
    }
    luaL_checkstack(L, n + 2, "too many results");
    lua_getiuservalue(L, index, 1);
    int box = lua_gettop(L);
    for (int i = 1; i <= n; i++) lua_rawgeti(L, box, i);
    lua_remove(L, box);
    return n;
}

/* An ordinary error for whoever awaits what somebody else has cancelled, with the reason where one was given. */
static int raise_was_cancelled(lua_State *L, const saros_awaitable *is, int index) {
    luaL_checkstack(L, 8, "await");
    if (saros_push_values(L, is, index) == 0) lua_pushnil(L);
    return saros_raise_was_cancelled(L,
                                     is->task ? "the awaited task was cancelled" : "the awaited future was cancelled");
}

int saros_await_value(lua_State *L, saros_awaitable *is, int index) {
    index = lua_absindex(L, index);
    saros_observe(is);
    switch (is->fate) {
    case SAROS_RETURNED: return saros_push_values(L, is, index);
    case SAROS_FAILED:
        if (saros_push_values(L, is, index) == 0) lua_pushliteral(L, "the task could not go on");
        if (is->boxed) saros_retrace_awaited(L, is, index); /* with the traceback of where it was raised */
        return lua_error(L);
    default: return raise_was_cancelled(L, is, index);
    }
}

/* ---- await ---------------------------------------------------------------------------------------------------- */

saros_awaitable *saros_to_awaitable(lua_State *L, const saros_lua *lua, int index) {
    saros_awaitable *is = saros_test(L, lua, index, SAROS_T_TASK);
    return is != NULL ? is : saros_test(L, lua, index, SAROS_T_FUTURE);
}

static int await_k(lua_State *L, int status, lua_KContext ctx) {
    int64_t          result;
    saros_awaitable *is = lua_touserdata(L, (int)ctx);
    (void)status;
    saros_task *task = saros_resumed_raw(L);
    task->waits_for = SAROS_FOR_ANYTHING;
    saros_wait_unlink(&task->wait); /* before it may raise */
    saros_resumed(L, &result);
    if (is->fate == SAROS_PENDING) return saros_raise(L, (int)result, "the wait was ended");
    return saros_await_value(L, is, (int)ctx);
}

static int await_on(lua_State *L, saros_awaitable *is, int index, const char *what) {
    saros_task *task = saros_begin(L, what);
    if (is->fate != SAROS_PENDING) return saros_answer(L, task, saros_await_value(L, is, index));
    if (is == &task->is) return luaL_error(L, "%s: a task cannot await itself", what);
    saros_check_loop(L, is, task->rt, what);
    task->waits_for = SAROS_FOR_AWAITABLE;
    saros_wait_on(task, &is->waiters);
    if (is->task && ((const saros_task *)is)->waits_for != SAROS_FOR_ANYTHING) saros_suspect(task);
    return saros_suspend(L, task, index, await_k);
}

void saros_check_loop(lua_State *L, saros_awaitable *is, const saros_rt *rt, const char *what) {
    if (is->task) {
        if (((const saros_task *)is)->rt != rt) luaL_error(L, "%s: the task belongs to another loop", what);
        return;
    }
    saros_promise *future = (saros_promise *)is;
    if (future->loop == 0) future->loop = rt->id;
    if (future->loop != rt->id) luaL_error(L, "%s: the future belongs to another loop", what);
}

int saros_await_on(lua_State *L, int index, const char *what) {
    return await_on(L, lua_touserdata(L, index), index, what);
}

/* saros.await(x): a task, a future, a number of seconds, or anything with __await, which is called as a function that
 * may itself await. */
static int await(lua_State *L) {
    luaL_checkany(L, 1);
    saros_awaitable *is = saros_to_awaitable(L, saros_state(L), 1);
    if (is != NULL) return await_on(L, is, 1, "saros.await");
    if (lua_type(L, 1) == LUA_TNUMBER) return saros_sleep(L, 1, "saros.await");
    if (luaL_getmetafield(L, 1, "__await") != LUA_TNIL) return saros_call_await(L);
    return luaL_typeerror(L, 1, "task, future, seconds or object with __await");
}

int saros_call_await(lua_State *L) {
    lua_insert(L, 1);
    lua_settop(L, 2);
    lua_callk(L, 1, LUA_MULTRET, 0, saros_all_results);
    return saros_all_results(L, LUA_OK, 0);
}

int saros_all_results(lua_State *L, int status, lua_KContext ctx) {
    (void)status;
    return lua_gettop(L) - (int)ctx;
}

/* ---- what tasks and futures have in common -------------------------------------------------------------------- */

static saros_awaitable *check(lua_State *L) {
    saros_awaitable *is = saros_to_awaitable(L, saros_state(L), 1);
    if (is == NULL) luaL_typeerror(L, 1, "task or future");
    return is;
}

static int method_await(lua_State *L) { return await_on(L, check(L), 1, "await"); }

static int method_done(lua_State *L) {
    lua_pushboolean(L, check(L)->fate != SAROS_PENDING);
    return 1;
}

static int method_cancelled(lua_State *L) {
    lua_pushboolean(L, check(L)->fate == SAROS_CANCELLED);
    return 1;
}

static int method_result(lua_State *L) {
    saros_awaitable *is = check(L);
    if (is->fate == SAROS_PENDING) return luaL_error(L, "result: not done yet");
    return saros_await_value(L, is, 1);
}

static int method_error(lua_State *L) {
    saros_awaitable *is = check(L);
    if (is->fate == SAROS_PENDING) return luaL_error(L, "error: not done yet");
    if (is->fate == SAROS_CANCELLED) return saros_await_value(L, is, 1); /* raises ECANCELED */
    if (is->fate == SAROS_RETURNED) return 0;
    saros_observe(is);
    return saros_push_values(L, is, 1);
}

static int method_add_done_callback(lua_State *L) {
    saros_awaitable *is = check(L);
    luaL_checktype(L, 2, LUA_TFUNCTION);
    lua_settop(L, 2);
    if (is->fate != SAROS_PENDING) { /* never at once, also now: semantics 12 */
        lua_pushvalue(L, 1);
        saros_call_soon(L, saros_loop_now(L, "add_done_callback"), 1);
        lua_pushboolean(L, 1);
        return 1;
    }
    saros_box(L, is, 1);
    if (lua_getfield(L, -1, "callbacks") != LUA_TTABLE) {
        lua_pop(L, 1);
        lua_newtable(L);
        lua_pushvalue(L, -1);
        lua_setfield(L, -3, "callbacks");
    }
    lua_pushvalue(L, 2);
    lua_rawseti(L, -2, luaL_len(L, -2) + 1);
    lua_pushboolean(L, 1);
    return 1;
}

static int method_remove_done_callback(lua_State *L) {
    saros_awaitable *is = check(L);
    lua_Integer      removed = 0;
    luaL_checktype(L, 2, LUA_TFUNCTION);
    lua_settop(L, 2);
    if (is->boxed && is->fate == SAROS_PENDING) {
        saros_box(L, is, 1);
        if (lua_getfield(L, -1, "callbacks") == LUA_TTABLE) {
            lua_Integer count = luaL_len(L, -1), kept = 0;
            for (lua_Integer i = 1; i <= count; i++) {
                lua_rawgeti(L, -1, i);
                if (lua_rawequal(L, -1, 2)) removed++, lua_pop(L, 1);
                else lua_rawseti(L, -2, ++kept);
            }
            for (lua_Integer i = kept + 1; i <= count; i++) {
                lua_pushnil(L);
                lua_rawseti(L, -2, i);
            }
        }
    }
    lua_pushinteger(L, removed);
    return 1;
}

/* ---- futures -------------------------------------------------------------------------------------------------- */

static int future_new(lua_State *L) {
    saros_new(L, saros_state(L), SAROS_T_FUTURE, sizeof(saros_promise), 1);
    return 1;
}

static saros_awaitable *check_pending(lua_State *L, const char *what) {
    saros_promise *future = saros_check(L, 1, SAROS_T_FUTURE);
    if (future->is.fate != SAROS_PENDING) luaL_error(L, "%s: the future is done already", what);
    return &future->is;
}

static int settle_future(lua_State *L, saros_awaitable *is, enum saros_fate fate) {
    const saros_lua *lua = saros_state(L);
    saros_promise   *future = (saros_promise *)is;
    saros_rt        *rt = fate == SAROS_FAILED ? loop_of(lua, future) : lua->current;
    int              n = lua_gettop(L) - 1;
    if (rt != NULL && fate == SAROS_FAILED) saros_lost_expect(L, rt, future, 1);
    if (rt != NULL && fate == SAROS_RETURNED && rt->manners.debug) saros_debug_settling(L, rt, is, 1, n);
    saros_settle(L, is, 1, fate, n);
    if (future->lost != NULL) saros_lost_begin(future->lost);
    lua_pushboolean(L, 1);
    return 1;
}

static int set_result(lua_State *L) { return settle_future(L, check_pending(L, "set_result"), SAROS_RETURNED); }

static int set_error(lua_State *L) {
    saros_awaitable *is = check_pending(L, "set_error");
    lua_settop(L, 2);
    return settle_future(L, is, SAROS_FAILED);
}

static int future_cancel(lua_State *L) {
    saros_promise *future = saros_check(L, 1, SAROS_T_FUTURE);
    bool           pending = future->is.fate == SAROS_PENDING;
    lua_settop(L, 2);
    if (pending) saros_settle(L, &future->is, 1, SAROS_CANCELLED, 1);
    lua_pushboolean(L, pending);
    return 1;
}

static int future_state(lua_State *L) {
    static const char *const names[] = {"pending", "finished", "finished", "cancelled"};
    lua_pushstring(L, names[((saros_promise *)saros_check(L, 1, SAROS_T_FUTURE))->is.fate]);
    return 1;
}

static int future_tostring(lua_State *L) {
    saros_promise *future = saros_check(L, 1, SAROS_T_FUTURE);
    future_state(L);
    lua_pushfstring(L, "saros.future (%s): %p", lua_tostring(L, -1), (void *)future);
    return 1;
}

#define READING                                                                                                 \
    {"await", method_await}, {"done", method_done}, {"cancelled", method_cancelled}, {"result", method_result}, \
        {"error", method_error}, {"add_done_callback", method_add_done_callback}, {                             \
        "remove_done_callback", method_remove_done_callback                                                     \
    }
const luaL_Reg saros_awaitable_methods[] = {READING, {NULL, NULL}};

void saros_open_await(lua_State *L) {
    static const luaL_Reg methods[] = {READING,
                                       {"set_result", set_result},
                                       {"set_error", set_error},
                                       {"cancel", future_cancel},
                                       {"state", future_state},
                                       {NULL, NULL}};
    static const luaL_Reg meta[] = {{"__await", method_await}, {"__tostring", future_tostring}, {NULL, NULL}};
    static const luaL_Reg functions[] = {{"await", await}, {"future", future_new}, {NULL, NULL}};
    saros_type_make(L, SAROS_T_FUTURE, "saros.future", methods, meta);
    saros_add(L, functions);
}
