/* task.c: a task is a coroutine that the loop resumes. This file has the one lua_yieldk and the one lua_resume.
 *
 * Owns the tasks' lives: spawn, step, end; the coroutines, which are used again once a task has ended well; who is
 * allowed to await.
 * Promises: a waiting task is kept alive by the loop (its userdata is the first value on its own coroutine's stack,
 * and the coroutine is in the loop's table of threads); the body runs under a protected call inside its coroutine, so
 * that <close> variables can await while an error or a cancellation unwinds it. */
#include <string.h>

#include "bindings/lua/runtime.h"
#include "bindings/lua/trace.h"

enum {
    MOST_AT_HAND = 64,   /* awaits in a row that need not suspend */
    MOST_SWALLOWED = 100 /* times a cancellation is raised before its task must give way between two of them */
};

static void told(saros_loop *loop, saros_op *op, int64_t result);

static saros_task *task_of(saros_op *op) { return (saros_task *)((char *)op - offsetof(saros_task, op)); }

/* ---- where a task was spawned --------------------------------------------------------------------------------- */

/* Keeps one copy of each chunk's name: a task then needs a pointer and a line. The last one is nearly always right. */
static const char *keep_place(saros_rt *rt, const char *name) {
    if (rt->last_place != NULL && strcmp(rt->last_place, name) == 0) return rt->last_place;
    for (uint32_t i = 0; i < rt->place_count; i++)
        if (strcmp(rt->places[i], name) == 0) return rt->last_place = rt->places[i];
    if (rt->place_count == 1000) return "?"; /* a program that compiles chunk after chunk must not grow for it */
    if (rt->place_count == rt->place_room) {
        uint32_t room = rt->place_room > 0 ? rt->place_room * 2 : 8;
        char   **places = saros_realloc(rt->loop, rt->places, rt->place_room * sizeof *places, room * sizeof *places);
        if (places == NULL) return "?";
        rt->places = places;
        rt->place_room = room;
    }
    char *copy = saros_realloc(rt->loop, NULL, 0, strlen(name) + 1);
    if (copy == NULL) return "?";
    memcpy(copy, name, strlen(name) + 1);
    return rt->last_place = rt->places[rt->place_count++] = copy;
}

static void record_place(lua_State *L, saros_task *task) {
    lua_Debug ar;
    task->place = "[C]";
    for (int level = 0; level < 3 && lua_getstack(L, level, &ar); level++) {
        lua_getinfo(L, "Sl", &ar);
        if (ar.currentline < 0) continue; /* a C function: ours */
        task->place = keep_place(task->rt, ar.short_src);
        task->line = ar.currentline;
        return;
    }
}

/* ---- coroutines ----------------------------------------------------------------------------------------------- */

/* A place in one of the loop's Lua arrays; 0 without memory. Room for giving it back is made here. */
static uint32_t take_slot(saros_rt *rt, saros_slots *slots) {
    if (slots->count > 0) return slots->free[--slots->count];
    if (slots->made == slots->room) {
        uint32_t  room = slots->room > 0 ? slots->room * 2 : 16;
        uint32_t *list = saros_realloc(rt->loop, slots->free, slots->room * sizeof *list, room * sizeof *list);
        if (list == NULL) return 0;
        slots->free = list;
        slots->room = room;
    }
    return ++slots->made;
}

static void give_slot(saros_slots *slots, uint32_t slot) { slots->free[slots->count++] = slot; }

/* rt's table `which` at slot becomes the value on top, which is popped. With nil it allocates nothing. */
static void set_slot(lua_State *L, saros_rt *rt, int which, uint32_t slot) {
    lua_rawgetp(L, LUA_REGISTRYINDEX, rt);
    lua_getiuservalue(L, -1, which);
    lua_rotate(L, -3, -1);
    lua_rawseti(L, -2, (lua_Integer)slot);
    lua_pop(L, 2);
}

static void clear_slot(saros_rt *rt, saros_slots *slots, int which, uint32_t slot) {
    if (!lua_checkstack(rt->L, 4)) return; /* it stays anchored until the loop closes; the place is lost */
    lua_pushnil(rt->L);
    set_slot(rt->L, rt, which, slot);
    give_slot(slots, slot);
}

static void clear_start(saros_rt *rt, saros_task *task) {
    if (task->start != 0) clear_slot(rt, &rt->starts, SAROS_UV_STARTS, task->start);
    task->start = 0;
}

/* protected: one more idle coroutine. */
static int new_worker(lua_State *L) {
    saros_rt *rt = lua_touserdata(L, 1);
    uint32_t  slot = take_slot(rt, &rt->threads);
    if (slot == 0) return luaL_error(L, "not enough memory");
    lua_State *co = lua_newthread(L); /* if this raises the place is lost, and so is the program */
    set_slot(L, rt, SAROS_UV_THREADS, slot);
    rt->idle[rt->idle_count++] = (saros_worker){co, slot};
    return 0;
}

/* The task has ended: its coroutine is used again if it ended well and the script has never seen it. */
static void give_back(saros_rt *rt, saros_task *task, bool well) {
    lua_State *co = task->co;
    task->co = NULL;
    if (well && !task->handed_out && rt->idle_count < SAROS_MOST_IDLE && rt->lua->installed) {
        lua_sethook(co, NULL, 0, 0);
        lua_settop(co, 0);
        rt->idle[rt->idle_count++] = (saros_worker){co, task->slot};
    } else {
        clear_slot(rt, &rt->threads, SAROS_UV_THREADS, task->slot);
    }
}

/* ---- spawn ---------------------------------------------------------------------------------------------------- */

static int body(lua_State *co);
static int body_k(lua_State *co, int status, lua_KContext ctx);

static void link_task(saros_rt *rt, saros_task *task) {
    task->prev = rt->last;
    if (rt->last != NULL) rt->last->next = task;
    else rt->first = task;
    rt->last = task;
    rt->live++;
}

static void unlink_task(saros_rt *rt, saros_task *task) {
    if (task->prev != NULL) task->prev->next = task->next;
    else rt->first = task->next;
    if (task->next != NULL) task->next->prev = task->prev;
    else rt->last = task->prev;
    task->next = task->prev = NULL;
    rt->live--;
}

/* The function and its arguments wait in the task's user values. A coroutine is taken only for the first step: then
 * of a thousand tasks that do not suspend each uses the one before it again. */
saros_task *saros_spawn(lua_State *L, saros_rt *rt, int nargs, saros_scope *scope) {
    int first = lua_gettop(L) - nargs;
    if (rt->loop == NULL) luaL_error(L, "saros.spawn: the loop is closed");
    if (nargs > 250) luaL_error(L, "saros.spawn: too many arguments (at most 250)");
    luaL_checkstack(L, 8, "saros.spawn");
    saros_task *task = saros_new(L, rt->lua, SAROS_T_TASK, sizeof *task, 1 + nargs);
    lua_insert(L, first); /* below the function, so that it is what is left */
    uint32_t slot = take_slot(rt, &rt->starts);
    if (slot == 0) luaL_error(L, "saros.spawn: not enough memory");
    lua_pushvalue(L, first);
    set_slot(L, rt, SAROS_UV_STARTS, slot);
    for (int i = nargs; i >= 0; i--) lua_setiuservalue(L, first, 1 + i);
    task->is.task = true;
    task->rt = rt;
    task->start = slot;
    task->args = (uint16_t)nargs;
    task->id = ++rt->lua->tasks;
    task->scope = scope;
    task->op.done = told;
    task->cancelled = rt->closing; /* too late to begin anything */
    record_place(L, task);
    link_task(rt, task);
    saros_expect(rt->loop, &task->op);
    saros_complete(rt->loop, &task->op, 0);
    return task;
}

static void push_waiting(lua_State *L, saros_task *task) { /* a task that has not begun */
    lua_rawgetp(L, LUA_REGISTRYINDEX, task->rt);
    lua_getiuservalue(L, -1, SAROS_UV_STARTS);
    lua_rawgeti(L, -1, (lua_Integer)task->start);
    lua_replace(L, -3);
    lua_pop(L, 1);
}

/* Moves a task onto a coroutine: body, task, message handler, function, arguments. Nothing here can raise. */
static bool begin_task(saros_rt *rt, saros_task *task) {
    lua_State *L = rt->L;
    if (rt->idle_count == 0 && !saros_protected(rt, new_worker, rt, "saros.spawn")) return false;
    saros_worker worker = rt->idle[rt->idle_count - 1];
    if (!lua_checkstack(worker.co, task->args + 8) || !lua_checkstack(L, task->args + 8)) return false;
    rt->idle_count--;
    lua_pushcfunction(worker.co, body);
    push_waiting(L, task);
    int self = lua_gettop(L);
    for (int i = 0; i <= task->args; i++) {
        lua_getiuservalue(L, self, 1 + i);
        if (i == 0 && task->is.boxed) { /* it has a name or callbacks already: the function is in the box, at 0 */
            lua_rawgeti(L, -1, 0);
            lua_pushnil(L);
            lua_rawseti(L, -3, 0);
            lua_remove(L, -2);
            continue;
        }
        lua_pushnil(L);
        lua_setiuservalue(L, self, 1 + i);
    }
    lua_pushcfunction(L, saros_traceback);
    lua_insert(L, self + 1);
    lua_xmove(L, worker.co, 3 + task->args);
    if (rt->lua->installed) clear_start(rt, task); /* else the script could close the coroutine under us unseen */
    task->co = worker.co;
    task->slot = worker.slot;
    return true;
}

/* ---- the body, inside its coroutine --------------------------------------------------------------------------- */

static int end_cancelled(lua_State *co, saros_task *task) {
    saros_push_reason(co, task);
    saros_settle(co, &task->is, 1, SAROS_CANCELLED, 1);
    return 0;
}

/* Stack: 1 the task, 2 the message handler, 3 the function, 4… its arguments. */
static int body(lua_State *co) {
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
    int        level = 0;
    if (task->start != 0) {
        push_waiting(L, task);
        return;
    }
    if (task->handed_out) { /* the script may have closed the coroutine */
        saros_push_anchored(L, task->rt, task);
        return;
    }
    while (lua_getstack(co, level + 1, &ar)) level++;
    lua_getstack(co, level, &ar);
    lua_getlocal(co, &ar, 1);
    if (L != co) lua_xmove(co, L, 1);
}

/* It has ended: whatever it was, nothing of it is left but its userdata. */
static void end_task(saros_rt *rt, saros_task *task, bool well) {
    saros_scope_forget(task);
    unlink_task(rt, task);
    if (task->co != NULL) give_back(rt, task, well);
    clear_start(rt, task);
    if (task->handed_out && task->is.fate != SAROS_FAILED) saros_drop(rt, task);
    if (task->is.fate == SAROS_FAILED && task != rt->main) {
        /* It is anchored (by body_k). Its op is free now, and becomes the timer after which nobody came for the
         * error; the timer is told early when somebody does. */
        bool       now = task->is.observed || task->report_now || rt->closing;
        saros_time when = saros_later(rt->loop, now ? 0 : rt->report_after);
        task->op.background = true;
        if (saros_timer(rt->loop, &task->op, when) == 0) return;
        saros_task_report(task);
        saros_drop(rt, task);
    }
    task->rt = NULL;
    if (task == rt->main || (rt->closing && rt->live == 0)) saros_stop(rt->loop);
}

/* protected: the coroutine is broken in a way that its own protected call could not catch. p: the task. */
static int fail_broken(lua_State *L) {
    saros_task *task = lua_touserdata(L, 1);
    lua_State  *co = task->co;
    saros_task_push(L, task);
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
    bool settled = saros_protected(rt, fail_broken, task, "a task");
    if (!settled) { /* its value stays nil; the reason was reported */
        task->is.fate = SAROS_FAILED;
        task->is.observed = true;
        saros_wake_all(&task->is.waiters, 0);
    }
    if (task->co != NULL) saros_close_thread(task->co, rt->L);
    end_task(rt, task, false);
}

/* THE ONE PLACE THAT RESUMES. */
static void step(saros_rt *rt, saros_task *task, int nargs) {
    saros_lua  *lua = rt->lua;
    saros_rt   *outer_rt = lua->current;
    saros_task *outer = rt->task;
    int         results = 0;
    lua->current = rt;
    rt->task = task;
    task->suspended = false;
    int status = lua_resume(task->co, rt->L, nargs, &results);
    rt->task = outer;
    lua->current = outer_rt;
    if (status == LUA_OK) end_task(rt, task, task->is.fate == SAROS_RETURNED);
    else if (status != LUA_YIELD || !task->suspended) break_task(rt, task);
}

/* The loop tells the task's op: what it waited for is done, or it may begin. */
static void told(saros_loop *loop, saros_op *op, int64_t result) {
    saros_task *task = task_of(op);
    (void)loop, (void)result;
    saros_rt *rt = task->rt;
    if (rt == NULL) return; /* it was killed while this was on its way */
    if (task->is.fate == SAROS_FAILED) { /* the background timer of end_task, or its being ended by an await */
        if (!task->is.observed) saros_task_report(task);
        saros_drop(rt, task);
        task->rt = NULL;
        return;
    }
    if (task->co != NULL) step(rt, task, 0);
    else if (begin_task(rt, task)) step(rt, task, 3 + task->args);
    else break_task(rt, task);
}

uint32_t saros_trace_task(const saros_op *op) {
    return op->done == told ? ((const saros_task *)((const char *)op - offsetof(saros_task, op)))->id : 0;
}

/* ---- awaiting ------------------------------------------------------------------------------------------------- */

/* Says what stands between an await and its task: a C function that cannot be left and come back to. */
static int not_yieldable(lua_State *L, const char *what) {
    lua_Debug ar;
    for (int level = 1; lua_getstack(L, level, &ar); level++) {
        lua_getinfo(L, "Sn", &ar);
        if (*ar.what == 'C' && ar.name != NULL && strcmp(ar.name, "pcall") != 0 && strcmp(ar.name, "xpcall") != 0)
            return luaL_error(L, "%s: cannot await inside '%s', a C function that cannot be suspended", what, ar.name);
    }
    return luaL_error(L, "%s: cannot await here: a C function that cannot be suspended is in the way", what);
}

saros_task *saros_begin_uncancelled(lua_State *L, const char *what) {
    saros_lua  *lua = saros_state(L);
    saros_task *task = lua->current != NULL ? lua->current->task : NULL;
    if (task == NULL) luaL_error(L, "%s: cannot await outside a task (use saros.run or saros.spawn)", what);
    if (task->co != L)
        luaL_error(L, "%s: cannot await inside a coroutine of the script's own; only the task itself can", what);
    if (!lua_isyieldable(L)) not_yieldable(L, what);
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
    return lua_yieldk(L, 0, ctx, k);
}

/* A script that got hold of a task's coroutine could resume it past the loop: then the continuation runs under
 * another task, or under none. */
saros_task *saros_resumed_raw(lua_State *L) {
    saros_rt   *rt = saros_state(L)->current;
    saros_task *task = rt != NULL ? rt->task : NULL;
    if (task == NULL || task->co != L) luaL_error(L, "the coroutine of a task can only be resumed by its loop");
    return task;
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
    if (++task->at_hand < MOST_AT_HAND) return n;
    saros_expect(task->rt->loop, &task->op);
    saros_complete(task->rt->loop, &task->op, 0);
    return saros_suspend(L, task, n, answer_k);
}

/* ---- cancel, kill --------------------------------------------------------------------------------------------- */

void saros_task_poke(saros_task *task) {
    if (task->rt != NULL && task->suspended && saros_is_cancelled(task)) saros_cancel(task->rt->loop, &task->op);
}

void saros_task_cancel(saros_task *task) {
    if (task->is.fate != SAROS_PENDING) return;
    task->cancelled = true;
    saros_task_poke(task);
}

/* For a loop that closes: its coroutine is closed where it stands; the op, if one flies, is told to nobody. */
void saros_task_kill(saros_task *task) {
    saros_rt *rt = task->rt;
    if (task->op.state != SAROS_IDLE) {
        saros_task_push(rt->L, task);
        saros_anchor(rt->L, rt, task); /* the op is in it, and is still to be told */
    }
    saros_wait_unlink(&task->wait);
    if (task->co != NULL) saros_close_thread(task->co, rt->L);
    task->is.fate = SAROS_CANCELLED;
    saros_wake_all(&task->is.waiters, 0);
    saros_cancel(rt->loop, &task->op);
    end_task(rt, task, false);
}

/* ---- the message handler -------------------------------------------------------------------------------------- */

static const char traced_key = 0; /* registry: {error, traceback} of the error that is on its way out */

/* Takes the traceback before the stack is unwound. An error that an inner scope passes on keeps the deeper one. */
int saros_traceback(lua_State *L) {
    saros_lua *lua = saros_state_slow(L);
    lua_settop(L, 1);
    if (saros_test(L, lua, 1, SAROS_T_CANCELLED) != NULL) return 1; /* a cancellation is no news */
    if (saros_traced(L, 1)) {
        lua_settop(L, 1);
        return 1;
    }
    lua_settop(L, 1);
    luaL_traceback(L, L, NULL, 1);
    saros_retrace(L, 1);
    return 1;
}

/* The traceback on top (popped) is that of the error at index. */
void saros_retrace(lua_State *L, int index) {
    index = lua_absindex(L, index);
    lua_createtable(L, 2, 0);
    lua_insert(L, -2);
    lua_rawseti(L, -2, 2);
    lua_pushvalue(L, index);
    lua_rawseti(L, -2, 1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &traced_key);
}

/* Pushes the traceback that was taken for this very error value, if it is the last one taken. */
bool saros_traced(lua_State *L, int index) {
    index = lua_absindex(L, index);
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &traced_key) != LUA_TTABLE) {
        lua_pop(L, 1);
        return false;
    }
    lua_rawgeti(L, -1, 1);
    if (lua_isnil(L, index) || !lua_rawequal(L, -1, index)) {
        lua_pop(L, 2);
        return false;
    }
    lua_rawgeti(L, -2, 2);
    lua_replace(L, -3);
    lua_pop(L, 1);
    return true;
}

void saros_untrace(lua_State *L) {
    lua_pushnil(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &traced_key);
}

/* ---- the module's part ---------------------------------------------------------------------------------------- */

static int spawn(lua_State *L) {
    luaL_checktype(L, 1, LUA_TFUNCTION);
    saros_spawn(L, saros_loop_now(L, "saros.spawn"), lua_gettop(L) - 1, NULL);
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
    saros_task *task = lua->current != NULL ? lua->current->task : NULL;
    if (task == NULL) return 0;
    saros_task_push(L, task);
    return 1;
}

static int all_tasks(lua_State *L) {
    saros_rt   *rt = saros_loop_now(L, "saros.all_tasks");
    lua_Integer i = 0;
    lua_createtable(L, (int)rt->live, 0);
    for (saros_task *task = rt->first; task != NULL; task = task->next) {
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
    if (task->is.fate != SAROS_PENDING || task->co == NULL) return 0;
    luaL_traceback(L, task->co, NULL, 0);
    return 1;
}

static int task_tostring(lua_State *L) {
    static const char *const fates[] = {"pending", "finished", "failed", "cancelled"};
    saros_task              *task = saros_check(L, 1, SAROS_T_TASK);
    lua_pushfstring(L, "saros.task %s (%s, spawned at %s:%d)", saros_task_name(L, task, 1), fates[task->is.fate],
                    task->place, task->line);
    return 1;
}

void saros_open_task(lua_State *L) {
    static const luaL_Reg methods[] = {
        {"name", method_name}, {"set_name", method_set_name}, {"traceback", method_traceback}, {NULL, NULL}};
    static const luaL_Reg meta[] = {{"__tostring", task_tostring}, {NULL, NULL}};
    static const luaL_Reg functions[] = {{"spawn", spawn},
                                         {"_spawn_background", spawn_background},
                                         {"current_task", current_task},
                                         {"all_tasks", all_tasks},
                                         {NULL, NULL}};
    saros_type_make(L, SAROS_T_TASK, "saros.task", methods, meta);
    saros_push_meta(L, SAROS_T_TASK);
    saros_add(L, (const luaL_Reg[]){{"__await", saros_awaitable_methods[0].func}, {NULL, NULL}});
    lua_getfield(L, -1, "__index");
    saros_add(L, saros_awaitable_methods);
    saros_add(L, saros_task_cancel_method);
    lua_pop(L, 2);
    saros_add(L, functions);
}
