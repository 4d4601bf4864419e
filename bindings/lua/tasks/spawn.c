/* spawn.c: how a task comes to be: what keeps it alive before its first step, and the coroutine that it then gets.
 *
 * Owns the loop's spare coroutines, and the names of the chunks that tasks were spawned from.
 * Promises: a task is kept alive by the loop and never by luck: by the table of starts until it begins, then by its own
 * coroutine's stack, whose first value it is, and the coroutine by the table of threads. A coroutine is taken only for
 * the first step: of a thousand tasks that do not suspend each uses the one before it again. It is used again only if
 * its task ended well and the script has never seen it. */
#include <string.h>

#include "bindings/lua/tasks/task.h"

enum {
    MOST_PLACES = 1000,
    MOST_ARGUMENTS = 250,
    MOST_EAGER = 16,
    SURE_ROOM = 8 /* stack slots that a C function need not ask for */
};

/* ---- where a task was spawned --------------------------------------------------------------------------------- */

static const char places_key = 0; /* registry: the names of chunks, as a set */

/* A task needs a pointer and a line, also when it has ended and its loop is closed: so the state keeps each chunk's name.
 * The last one is nearly always right. May raise. */
static const char *keep_place(lua_State *L, saros_lua *lua, const char *name) {
    if (lua->last_place != NULL && strcmp(lua->last_place, name) == 0) return lua->last_place;
    int top = lua_gettop(L);
    luaL_checkstack(L, 4, "saros.spawn");
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &places_key) != LUA_TTABLE) {
        lua_newtable(L);
        lua_copy(L, -1, top + 1);
        lua_rawsetp(L, LUA_REGISTRYINDEX, &places_key);
    }
    lua_pushstring(L, name);
    lua_pushvalue(L, -1);
    if (lua_rawget(L, top + 1) == LUA_TSTRING) {
        name = lua_tostring(L, -1); /* a long string is another one each time, but an equal key */
    } else if (lua->places < MOST_PLACES) {
        lua_pop(L, 1);
        name = lua_tostring(L, -1);
        lua_pushvalue(L, -1);
        lua_rawset(L, top + 1);
        lua->places++;
    } else {
        name = "?"; /* who compiles chunk after chunk must not grow for it */
    }
    lua_settop(L, top);
    return lua->last_place = name;
}

/* The function that called ours: level 0 is the C function that spawns. */
static const char *find_place(lua_State *L, saros_lua *lua, int *line) {
    lua_Debug ar;
    *line = 0;
    if (!lua_getstack(L, 1, &ar)) return "[C]";
    lua_getinfo(L, "Sl", &ar);
    if (ar.currentline < 0) return "[C]";
    *line = ar.currentline;
    return keep_place(L, lua, ar.short_src);
}

/* protected: one more idle coroutine. */
static int new_worker(lua_State *L) {
    saros_rt  *rt = lua_touserdata(L, 1);
    lua_State *co = lua_newthread(L);
    uint32_t   slot = saros_slot_keep(L, rt, SAROS_THREADS, lua_gettop(L));
    rt->idle[rt->idle_count++] = (saros_worker){co, slot};
    return 0;
}

/* protected: light userdata: a task, and who spawns it. */
static int inherit(lua_State *L) {
    saros_inherit(L, lua_touserdata(L, 1), lua_touserdata(L, 2));
    return 0;
}

/* ---- spawn, begin, release ------------------------------------------------------------------------------------ */

/* Its loop shuts down: too late to begin anything, but for one whose own cancellation is held back. */
static void cancel_late(saros_task *task) {
    saros_rt *rt = task->rt;
    task->late = rt->task != NULL && !saros_is_cancelled(rt->task);
    task->cancelled = !task->late;
    rt->late += task->late;
}

static saros_task *make_task(lua_State *L, saros_rt *rt, int nargs, saros_scope *scope) {
    int first = lua_gettop(L) - nargs; /* the function */
    if (rt->loop == NULL) luaL_error(L, "saros.spawn: the loop is closed");
    if (nargs > MOST_ARGUMENTS) luaL_error(L, "saros.spawn: too many arguments (at most 250)");
    if (nargs > SURE_ROOM) luaL_checkstack(L, 8, "saros.spawn");
    saros_task *task = saros_new(L, rt->lua, SAROS_T_TASK, sizeof *task, 1 + nargs), *by = rt->task;
    for (int i = 0; i <= nargs; i++) { /* they wait in the task's user values */
        lua_pushvalue(L, first + i);
        lua_setiuservalue(L, -2, 1 + i);
    }
    lua_copy(L, -1, first); /* the task, in the function's place */
    lua_settop(L, first);
    task->place = find_place(L, rt->lua, &task->line);
    task->rt = rt;
    uint32_t slot = saros_slot_keep(L, rt, SAROS_STARTS, first);
    if (by != NULL && by->heirloom != 0) {
        lua_pushcfunction(L, inherit);
        lua_pushlightuserdata(L, task);
        lua_pushlightuserdata(L, by);
        if (lua_pcall(L, 2, 0, 0) != LUA_OK) {
            saros_slot_clear(rt, SAROS_STARTS, slot);
            lua_error(L);
        }
    }
    task->is.task = true;
    task->start = slot;
    task->args = (uint8_t)nargs;
    task->id = ++rt->lua->tasks;
    task->scope = scope;
    if (scope != NULL) scope->tasks++; /* a host's */
    task->op.done = saros_task_told;
    task->since = (uint32_t)(saros_turn(rt->loop) >> SAROS_SINCE_BITS);
    if (by != NULL) {
        task->host = by->host;
        task->parent = by->id;
        by->spawned = true;
    }
    if (rt->closing) cancel_late(task);
    task->prev = rt->last;
    if (rt->last != NULL) rt->last->next = task;
    else rt->first = task;
    rt->last = task;
    rt->live++;
    return task;
}

saros_task *saros_spawn(lua_State *L, saros_rt *rt, int nargs, saros_scope *scope) {
    saros_task *task = make_task(L, rt, nargs, scope);
    saros_requeue(task);
    return task;
}

/* Meanwhile L is who runs the loop: what is resumed from it counts on top of its C stack. Each level takes some of the
 * 200 that Lua has, so their number is bounded; a task that is not begun here waits its turn like any other. */
saros_task *saros_spawn_now(lua_State *L, saros_rt *rt, int nargs, saros_scope *scope) {
    saros_task *task = make_task(L, rt, nargs, scope);
    if (rt->eager == MOST_EAGER) {
        saros_requeue(task);
        return task;
    }
    lua_State *outer = rt->L;
    rt->L = L;
    rt->eager++;
    saros_task_told(rt->loop, &task->op, 0);
    rt->eager--;
    rt->L = outer;
    return task;
}

/* Pushes the function of a task whose userdata is at self: it has a name or callbacks already, so it is in the box. */
static void push_boxed_function(lua_State *L, int self) {
    lua_getiuservalue(L, self, 1);
    lua_rawgeti(L, -1, 0);
    lua_pushnil(L);
    lua_rawseti(L, -3, 0);
    lua_remove(L, -2);
}

/* Without install() scripts reach a task's coroutine unseen, and can resume or close it: then this function stands
 * below the task's own. Its guard, the last thing to be closed, notices. Upvalue 2: the function. */
static int guarded(lua_State *L) {
    saros_new(L, saros_state(L), SAROS_T_GUARD, 1, 0);
    lua_insert(L, 1);
    lua_toclose(L, 1);
    lua_pushvalue(L, lua_upvalueindex(2));
    lua_insert(L, 2);
    lua_callk(L, lua_gettop(L) - 2, LUA_MULTRET, 1, saros_all_results);
    return saros_all_results(L, LUA_OK, 1);
}

static int guard_closed(lua_State *L) {
    saros_task_lost(L);
    return 0;
}

/* protected: a coroutine for a task that begins without install() stays with it: the script may have seen it. */
static int guard(lua_State *L) {
    saros_task *task = lua_touserdata(L, 1);
    saros_push_table(L, task->rt, SAROS_STARTS);
    lua_rawgeti(L, -1, (lua_Integer)task->start);
    lua_pushlightuserdata(L, task->rt->lua);
    if (task->is.boxed) push_boxed_function(L, 3);
    else lua_getiuservalue(L, 3, 1);
    lua_pushcclosure(L, guarded, 2);
    if (task->is.boxed) {
        saros_box(L, &task->is, 3);
        lua_insert(L, -2);
        lua_rawseti(L, -2, 0);
    } else {
        lua_setiuservalue(L, 3, 1);
    }
    task->handed_out = true;
    return 0;
}

/* The coroutine's stack: body, task, message handler, function, arguments. */
bool saros_task_begin(saros_rt *rt, saros_task *task) {
    lua_State *L = rt->L;
    int        args = task->args;
    if (!rt->lua->installed && !saros_protected(rt, guard, task, "saros.spawn")) return false;
    if (rt->idle_count == 0 && !saros_protected(rt, new_worker, rt, "saros.spawn")) return false;
    saros_worker worker = rt->idle[rt->idle_count - 1];
    if (!lua_checkstack(L, args + 8) || (args > SURE_ROOM && !lua_checkstack(worker.co, args + 8))) return false;
    rt->idle_count--;
    if (rt->manners.slice > 0) saros_slice(L, worker.co);
    else if (lua_gethook(L) != NULL ||
             lua_gethook(worker.co) != NULL) /* a hook is inherited, as by any new coroutine */
        lua_sethook(worker.co, lua_gethook(L), lua_gethookmask(L), lua_gethookcount(L));
    lua_pushcfunction(worker.co, saros_task_body);
    saros_push_table(L, rt, SAROS_STARTS);
    lua_rawgeti(L, -1, (lua_Integer)task->start);
    int self = lua_gettop(L);
    lua_pushcfunction(L, saros_traceback);
    if (task->is.boxed) push_boxed_function(L, self);
    else lua_getiuservalue(L, self, 1); /* it stays there until the result takes its place */
    for (int i = 1; i <= args; i++) {
        lua_getiuservalue(L, self, 1 + i);
        lua_pushnil(L);
        lua_setiuservalue(L, self, 1 + i);
    }
    lua_xmove(L, worker.co, 3 + args);
    lua_pop(L, 1);
    task->co = task->at = worker.co;
    task->slot = worker.slot;
    return true;
}

void saros_task_begun(saros_rt *rt, saros_task *task) {
    if (task->start == 0 || task->handed_out) return; /* the script could close the coroutine, and so lose the task */
    saros_slot_clear(rt, SAROS_STARTS, task->start);
    task->start = 0;
    saros_slots_shrink(rt, SAROS_STARTS);
}

void saros_open_spawn(lua_State *L) {
    saros_type_make(L, SAROS_T_GUARD, "saros.body", NULL, (const luaL_Reg[]){{"__close", guard_closed}, {NULL, NULL}});
}

void saros_task_release(saros_rt *rt, saros_task *task, bool well) {
    lua_State *co = task->co;
    if (task->prev != NULL) task->prev->next = task->next;
    else rt->first = task->next;
    if (task->next != NULL) task->next->prev = task->prev;
    else rt->last = task->prev;
    task->next = task->prev = NULL;
    rt->live--;
    rt->late -= task->late;
    if (task->heirloom != 0) saros_disinherit(task);
    if (task->start != 0) saros_slot_clear(rt, SAROS_STARTS, task->start);
    task->start = 0;
    if (co == NULL) return;
    task->co = task->at = NULL;
    /* After a good end nothing is on the coroutine's stack: the body returns no values. */
    if (well && !task->handed_out && rt->idle_count < SAROS_MOST_IDLE && rt->lua->installed) {
        rt->idle[rt->idle_count++] = (saros_worker){co, task->slot};
    } else {
        saros_slot_clear(rt, SAROS_THREADS, task->slot);
    }
}
