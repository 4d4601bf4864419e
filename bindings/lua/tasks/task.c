/* task.c: a task is a coroutine that the loop resumes. This file has the one lua_yieldk and the one lua_resume.
 *
 * Owns the tasks' lives from the first step to the end (spawn.c has what is before), and who is allowed to await
 * (refuse.c says why not).
 * Promises: a waiting task is kept alive by the loop (its userdata is the first value on its own coroutine's stack,
 * and the coroutine is in the loop's table of threads); the body runs under a protected call inside its coroutine, so
 * that <close> variables can await while an error or a cancellation unwinds it. */
#include <string.h>

#include "bindings/lua/tasks/task.h"
#include "bindings/lua/look/trace.h"

static saros_task *task_of(saros_op *op) { return (saros_task *)((char *)op - offsetof(saros_task, op)); }

/* ---- the body, inside its coroutine --------------------------------------------------------------------------- */

static int body_k(lua_State *co, int status, lua_KContext ctx);

static int end_cancelled(lua_State *co, saros_task *task) {
    saros_push_reason(co, task);
    saros_settle(co, &task->is, 1, SAROS_CANCELLED, 1);
    return 0;
}

/* Stack: 1 the task, 2 the message handler, 3 the function, 4… its arguments. */
int saros_task_body(lua_State *co) {
    saros_task *task = lua_touserdata(co, 1);
    if (saros_is_cancelled(task)) { /* before its first step: it never enters its body */
        lua_settop(co, 1);
        return end_cancelled(co, task);
    }
    return body_k(co, lua_pcallk(co, lua_gettop(co) - 3, LUA_MULTRET, 2, 0, body_k), 0);
}

/* It has returned (status OK or YIELD, results from 3 on) or failed (one error value at the top). */
static int body_k(lua_State *co, int status, lua_KContext ctx) {
    saros_task *task = lua_touserdata(co, 1);
    (void)ctx;
    if (task->rt->manners.debug) saros_debug_ending(co, task, status);
    if (status == LUA_OK || status == LUA_YIELD) {
        saros_settle(co, &task->is, 1, SAROS_RETURNED, lua_gettop(co) - 2);
        return 0;
    }
    if (saros_is_own_cancel(co, -1)) return end_cancelled(co, task);
    lua_pushvalue(co, 1);
    saros_anchor(co, task->rt, task); /* until its error was awaited or reported */
    saros_settle(co, &task->is, 1, SAROS_FAILED, 1);
    return 0;
}

/* ---- step ----------------------------------------------------------------------------------------------------- */

/* A live task's userdata is the first value of its coroutine's lowest function. */
void saros_task_push(lua_State *L, saros_task *task) {
    lua_State *co = task->co;
    lua_Debug  ar;
    int        lowest = 0, above = 1;
    if (task->start != 0) {
        saros_slot_push(L, task->rt, SAROS_STARTS, task->start);
        return;
    }
    if (task->handed_out) { /* the script may have closed the coroutine */
        saros_push_anchored(L, task->rt, task);
        return;
    }
    /* lua_getstack walks from the top each time, and a recursion may be 200,000 deep: so in halves, not one by one. */
    while (lua_getstack(co, above, &ar)) lowest = above, above *= 2;
    while (above - lowest > 1) {
        int middle = lowest + (above - lowest) / 2;
        if (lua_getstack(co, middle, &ar)) lowest = middle;
        else above = middle;
    }
    lua_getstack(co, lowest, &ar);
    lua_getlocal(co, &ar, 1);
    if (L != co) lua_xmove(co, L, 1);
}

/* Closes its coroutine where it stands. What was open in it is told first that it is gone. */
static void close_coroutine(saros_rt *rt, saros_task *task) {
    lua_State *co = task->co;
    saros_scope_forget(task);
    if (co == NULL) return;
    saros_tunnel_cut(task, co);
    bool waits = lua_status(co) == LUA_YIELD; /* else the error is the one that it has ended with */
    if (saros_close_thread(co, rt->L) != LUA_OK && waits) saros_close_failed(rt, co, "a task");
}

/* It has ended: whatever it was, nothing of it is left but its userdata. */
static void end_task(saros_rt *rt, saros_task *task, bool well) {
    saros_scope_forget(task);
    if (task->held != NULL) saros_orphan(task);
    saros_abandon(rt->loop, &task->op); /* its coroutine may have been closed behind the loop's back */
    saros_task_release(rt, task, well);
    if ((task->handed_out || !well) && task->is.fate != SAROS_FAILED) saros_drop(rt, task); /* if it was to fail */
    if (task->is.fate == SAROS_FAILED) {
        /* It is anchored. Its op is free now, and becomes the timer after which nobody came for the error; the timer
         * is told early when somebody does. */
        bool       now = task->is.observed || task->report_now || rt->closing;
        saros_time when = saros_later(rt->loop, now ? 0 : rt->report_after);
        task->op.background = true;
        task->next = rt->failed;
        if (rt->failed != NULL) rt->failed->prev = task;
        rt->failed = task;
        if (task != rt->main && saros_timer(rt->loop, &task->op, when) == 0) return;
        if (task == rt->main) task->is.observed = true; /* run() raises it */
        saros_task_forget(task);
    }
    task->rt = NULL;
    if (task == rt->main || (rt->closing && rt->running && rt->live == rt->late)) saros_stop(rt->loop);
}

void saros_task_forget(saros_task *task) {
    saros_rt *rt = task->rt;
    if (task->prev != NULL) task->prev->next = task->next;
    else rt->failed = task->next;
    if (task->next != NULL) task->next->prev = task->prev;
    task->next = task->prev = NULL;
    if (!task->is.observed) saros_task_report(task);
    saros_abandon(rt->loop, &task->op);
    task->rt = NULL;
    saros_drop(rt, task);
}

/* Onto rt->L: its own coroutine's stack, which is about to go, may be all that holds it. False: nothing was pushed. */
static bool hold(saros_rt *rt, saros_task *task) {
    if (!lua_checkstack(rt->L, 4)) return false;
    saros_task_push(rt->L, task);
    return true;
}

/* protected: the coroutine is broken in a way that its own protected call could not catch. p: the task. */
static int fail_broken(lua_State *L) {
    saros_task *task = lua_touserdata(L, 1);
    lua_State  *co = task->co;
    saros_task_push(L, task);
    lua_pushvalue(L, -1);
    saros_anchor(L, task->rt, task);              /* until its error was awaited or reported */
    if (task->is.fate != SAROS_PENDING) return 0; /* it came to its end behind the loop's back */
    if (co == NULL) {
        lua_pushliteral(L, "not enough memory to begin the task");
    } else if (lua_status(co) == LUA_YIELD) {
        luaL_traceback(L, co,
                       "attempt to yield a foreign value from a task: coroutine.yield is for generators; "
                       "to give way, call saros.sleep(0)",
                       0);
    } else {
        lua_pushstring(L, lua_type(co, -1) == LUA_TSTRING ? lua_tostring(co, -1) : "error in a task");
    }
    saros_settle(L, &task->is, 2, SAROS_FAILED, 1);
    return 0;
}

static void break_task(saros_rt *rt, saros_task *task) {
    bool held = hold(rt, task);
    bool settled = saros_protected(rt, fail_broken, task, "a task");
    if (!settled && task->is.fate == SAROS_PENDING) { /* its value stays nil; the reason was reported */
        task->is.fate = SAROS_CANCELLED;
        saros_wake_all(&task->is.waiters, 0);
    }
    close_coroutine(rt, task);
    end_task(rt, task, false);
    if (held) lua_pop(rt->L, 1);
}

/* THE ONE PLACE THAT RESUMES. */
static void step(saros_rt *rt, saros_task *task, int nargs) {
    saros_lua  *lua = rt->lua;
    saros_rt   *outer_rt = lua->current;
    saros_task *outer = rt->task;
    int         results = 0;
    lua->current = rt;
    rt->task = task;
    task->suspended = task->at != task->co; /* then it still is, until those between have gone on */
    saros_time outer_began = rt->step_began;
    if (rt->watched) rt->step_began = saros_now(rt->loop);
    int status = lua_resume(task->co, rt->L, nargs, &results);
    while (status == LUA_YIELD && !task->suspended && saros_tunnel_refuse(task->co, results))
        status = lua_resume(task->co, rt->L, 1, &results);
    rt->task = outer;
    lua->current = outer_rt;
    if (rt->watched) {
        saros_step_ended(rt, task, status);
        rt->step_began = outer_began;
    }
    if (status == LUA_YIELD && task->suspended) saros_task_begun(rt, task);
    else if (status == LUA_OK) end_task(rt, task, task->is.fate == SAROS_RETURNED);
    else break_task(rt, task);
}

/* Of a hundred thousand tasks none is in a cache when its turn comes: the next one's coroutine may come there meanwhile. */
static void fetch_next(const saros_op *op) {
    if (op == NULL || op->done != saros_task_told) return;
    const char *co = (const char *)((const saros_task *)((const char *)op - offsetof(saros_task, op)))->co;
    for (int line = 0; line < 3; line++) SAROS_FETCH(co + (ptrdiff_t)line * 64);
}

/* The loop tells the task's op: what it waited for is done, or it may begin. */
void saros_task_told(saros_loop *loop, saros_op *op, int64_t result) {
    saros_task *task = task_of(op);
    (void)result;
    fetch_next(saros_next(loop));
    saros_rt *rt = task->rt;
    if (rt == NULL) return;                                   /* it was killed while this was on its way */
    if (task->co == NULL && task->is.fate != SAROS_PENDING) { /* the timer of end_task, or an await has ended it */
        saros_task_forget(task);
        return;
    }
    if (task->co != NULL) step(rt, task, 0);
    else if (saros_task_begin(rt, task)) step(rt, task, 3 + task->args);
    else break_task(rt, task);
}

uint32_t saros_trace_task(const saros_op *op) {
    return op->done == saros_task_told ? ((const saros_task *)((const char *)op - offsetof(saros_task, op)))->id : 0;
}

/* ---- awaiting ------------------------------------------------------------------------------------------------- */

saros_task *saros_begin_uncancelled(lua_State *L, const char *what) {
    saros_task *task = saros_running_task(saros_state(L));
    if (task == NULL || task->at != L || !lua_isyieldable(L)) saros_refuse_await(L, task, what);
    if (task->co != L) luaL_checkstack(L, LUA_MINSTACK, what); /* saros_suspend has to find room for one value more */
    return task;
}

saros_task *saros_begin(lua_State *L, const char *what) {
    saros_task *task = saros_begin_uncancelled(L, what);
    if (saros_is_cancelled(task)) saros_raise_cancelled(L, task);
    return task;
}

/* THE ONE PLACE THAT YIELDS. */
int saros_suspend(lua_State *L, saros_task *task, lua_KContext ctx, lua_KFunction k) {
    task->suspended = true;
    task->at_hand = 0;
    if (L != task->co || task->handed_out) saros_tunnel_mark(L, task);
    task->since = (uint32_t)(saros_turn(task->rt->loop) >> SAROS_SINCE_BITS);
    return lua_yieldk(L, 0, ctx, k);
}

saros_task *saros_task_of(const saros_lua *lua, const lua_State *co) {
    for (saros_rt *rt = lua->loops; rt != NULL; rt = rt->next)
        for (saros_task *task = rt->first; task != NULL; task = task->next)
            if (task->co == co) return task;
    return NULL;
}

/* A script that got hold of a task's coroutine could resume it past the loop (or close it: saros_task_lost): then the
 * continuation runs under another task, or under none. */
saros_task *saros_resumed_raw(lua_State *L) {
    saros_task *task = saros_running_task(saros_state(L));
    if (task != NULL && task->at == L) return task;
    saros_task_lost(L);
    luaL_error(L, "the coroutine of a task can only be resumed by its loop");
    return NULL;
}

/* The frame that waits is being left behind the loop's back: nobody may point into it any more. */
void saros_task_lost(lua_State *L) {
    saros_lua  *lua = saros_state(L);
    saros_task *task = saros_running_task(lua);
    if (task != NULL && task->co == L) return; /* in the loop's own time */
    task = saros_task_of(lua, L);
    if (task == NULL) task = saros_tunnel_task(lua, L, NULL);
    if (task == NULL || (lua->current != NULL && lua->current->task == task)) return;
    saros_wait_unlink(&task->wait);
    saros_cancel(task->rt->loop, &task->op);
}

saros_task *saros_resumed(lua_State *L, int64_t *result) {
    saros_task *task = saros_resumed_raw(L);
    *result = task->op.result;
    if (*result == SAROS_ECANCELED && saros_is_cancelled(task)) saros_raise_cancelled(L, task);
    return task;
}

static int answer_k(lua_State *L, int status, lua_KContext ctx) {
    (void)status;
    saros_resumed_raw(L);
    return (int)ctx;
}

int saros_answer(lua_State *L, saros_task *task, int n) {
    if (++task->at_hand < SAROS_MOST_AT_HAND) return n;
    saros_requeue(task);
    return saros_suspend(L, task, n, answer_k);
}

/* ---- cancel, kill --------------------------------------------------------------------------------------------- */

void saros_task_end_wait(saros_task *task) {
    if (task->rt == NULL || !task->suspended || task->unwakable || !saros_is_cancelled(task)) return;
    saros_wait_unlink(&task->wait); /* now: nothing may be handed to it any more, which would be lost */
    bool sleeps = task->asleep || task->op.kind == SAROS_OP_TIMER;
    if (sleeps && task->op.state == SAROS_READY) task->op.result = SAROS_ECANCELED; /* no result is lost */
    else saros_cancel(task->rt->loop, &task->op);
}

void saros_task_cancel(saros_task *task) {
    if (task->is.fate != SAROS_PENDING) return;
    task->cancelled = true;
    saros_task_poke(task);
}

/* For a loop that closes: its coroutine is closed where it stands; the op, if one flies, is told to nobody. */
void saros_task_kill(saros_task *task) {
    saros_rt *rt = task->rt;
    bool      held = hold(rt, task);
    saros_wait_unlink(&task->wait);
    saros_abandon(rt->loop, &task->op);
    if (task->is.fate == SAROS_PENDING) task->is.fate = SAROS_CANCELLED;
    close_coroutine(rt, task);
    saros_wake_all(&task->is.waiters, 0);
    end_task(rt, task, false);
    if (held) lua_pop(rt->L, 1);
}

/* ---- the module's part ---------------------------------------------------------------------------------------- */

static int spawn(lua_State *L) {
    if (!lua_isfunction(L, 1)) luaL_checktype(L, 1, LUA_TFUNCTION); /* a call less */
    saros_spawn(L, saros_loop_now(L, "saros.spawn"), lua_gettop(L) - 1, NULL);
    return 1;
}

static int spawn_now(lua_State *L) {
    luaL_checktype(L, 1, LUA_TFUNCTION);
    saros_spawn_now(L, saros_loop_now(L, "saros.spawn_now"), lua_gettop(L) - 1, NULL);
    return 1;
}

/* For the parts written in Lua: like spawn, but nobody will await it: its error is reported at once. */
static int spawn_background(lua_State *L) {
    luaL_checktype(L, 1, LUA_TFUNCTION);
    saros_spawn(L, saros_loop_now(L, "saros.spawn"), lua_gettop(L) - 1, NULL)->report_now = true;
    return 1;
}

static int current_task(lua_State *L) {
    saros_lua  *lua = saros_state(L);
    saros_task *task = saros_running_task(lua);
    if (task != NULL) saros_task_push(L, task);
    else lua_pushnil(L);
    return 1;
}

static int all_tasks(lua_State *L) {
    saros_rt   *rt = saros_loop_now(L, "saros.all_tasks");
    lua_Integer i = 0;
    lua_createtable(L, (int)rt->live, 0);
    for (saros_task *task = rt->first; task != NULL; task = task->next) {
        if (task->is.fate != SAROS_PENDING) continue; /* its coroutine is being closed: it is not found there */
        saros_task_push(L, task);
        lua_rawseti(L, -2, ++i);
    }
    return 1;
}

static int method_name(lua_State *L) {
    saros_task_name(L, saros_check(L, 1, SAROS_T_TASK), 1);
    return 1;
}

static int method_set_name(lua_State *L) {
    saros_task *task = saros_check(L, 1, SAROS_T_TASK);
    luaL_checkstring(L, 2);
    saros_box(L, &task->is, 1);
    lua_pushvalue(L, 2);
    lua_setfield(L, -2, "name");
    lua_settop(L, 1);
    return 1;
}

static int method_traceback(lua_State *L) {
    saros_task *task = saros_check(L, 1, SAROS_T_TASK);
    if (task->is.fate == SAROS_FAILED && task->is.boxed) {
        saros_box(L, &task->is, 1);
        lua_getfield(L, -1, "traceback");
        return 1;
    }
    if (task->is.fate == SAROS_PENDING && task->co != NULL) saros_push_traceback(L, task);
    else lua_pushnil(L);
    return 1;
}

static int task_tostring(lua_State *L) {
    static const char *const fates[] = {"pending", "finished", "failed", "cancelled"};
    saros_task              *task = saros_check(L, 1, SAROS_T_TASK);
    const char              *name = saros_task_name(L, task, 1), *fate = fates[task->is.fate];
    if (task->line > 0) lua_pushfstring(L, "saros.task %s (%s, spawned at %s:%d)", name, fate, task->place, task->line);
    else lua_pushfstring(L, "saros.task %s (%s)", name, fate); /* by a host */
    return 1;
}

void saros_open_task(lua_State *L) {
    static const luaL_Reg methods[] = {
        {"name", method_name}, {"set_name", method_set_name}, {"traceback", method_traceback}, {NULL, NULL}};
    static const luaL_Reg meta[] = {{"__tostring", task_tostring}, {NULL, NULL}};
    static const luaL_Reg functions[] = {{"spawn", spawn},
                                         {"spawn_now", spawn_now},
                                         {"_spawn_background", spawn_background},
                                         {"current_task", current_task},
                                         {"all_tasks", all_tasks},
                                         {NULL, NULL}};
    saros_type_make(L, SAROS_T_TASK, "saros.task", methods, meta);
    saros_push_meta(L, SAROS_T_TASK);
    saros_add(L, (const luaL_Reg[]){{"__await", saros_awaitable_methods[0].func}, {NULL, NULL}});
    lua_pop(L, 1);
    saros_type_extend(L, SAROS_T_TASK, saros_awaitable_methods);
    saros_type_extend(L, SAROS_T_TASK, saros_task_cancel_method);
    saros_add(L, functions);
}
