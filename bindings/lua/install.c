/* install.c: the few functions of Lua's own library that have to know of tasks.
 *
 * pcall and xpcall pass on the cancellation of a scope that the running task is in, as Python's `except Exception`
 * does not catch CancelledError; coroutine.running marks a coroutine that the script has seen, so that it is not used
 * again for another task; coroutine.yield outside a generator says what is wrong; resume and close refuse what belongs
 * to the loop. saros.install() puts them in place; the host does so at start; saros.pcall is the one that catches all.
 *
 * Promises: no other behaviour of these functions changes. */
#include "bindings/lua/task.h"

static int pcall_k(lua_State *L, int status, lua_KContext ctx) {
    if (status == LUA_OK || status == LUA_YIELD) return lua_gettop(L) - (int)ctx;
    if (saros_is_own_cancel(L, -1)) return lua_error(L);
    saros_untrace(L); /* it ends here: an equal error that is raised later has a story of its own */
    lua_pushboolean(L, 0);
    lua_insert(L, -2);
    return 2;
}

static int task_pcall(lua_State *L) {
    luaL_checkany(L, 1);
    lua_pushboolean(L, 1); /* the first result if all goes well */
    lua_insert(L, 1);
    return pcall_k(L, lua_pcallk(L, lua_gettop(L) - 2, LUA_MULTRET, 0, 0, pcall_k), 0);
}

/* xpcall's handler is not called for a cancellation that is passed on. */
static int handler(lua_State *L) {
    if (saros_is_own_cancel(L, 1)) return 1;
    lua_pushvalue(L, lua_upvalueindex(2));
    lua_insert(L, 1);
    lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
    return lua_gettop(L);
}

static int task_xpcall(lua_State *L) {
    int n = lua_gettop(L);
    luaL_checktype(L, 2, LUA_TFUNCTION);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_pushvalue(L, 2);
    lua_pushcclosure(L, handler, 2);
    lua_replace(L, 2);
    lua_pushboolean(L, 1);
    lua_pushvalue(L, 1);
    lua_rotate(L, 3, 2); /* fn, handler, true, fn, arguments */
    return pcall_k(L, lua_pcallk(L, n - 2, LUA_MULTRET, 2, 2, pcall_k), 2);
}

/* The catching one: saros.pcall. */
static int catch_k(lua_State *L, int status, lua_KContext ctx) {
    (void)ctx;
    if (status == LUA_OK || status == LUA_YIELD) return lua_gettop(L);
    saros_untrace(L);
    lua_pushboolean(L, 0);
    lua_insert(L, -2);
    return 2;
}

static int catch_all(lua_State *L) {
    luaL_checkany(L, 1);
    lua_pushboolean(L, 1);
    lua_insert(L, 1);
    return catch_k(L, lua_pcallk(L, lua_gettop(L) - 2, LUA_MULTRET, 0, 0, catch_k), 0);
}

static const char seen_key = 0; /* registry: the coroutines of tasks that scripts have seen, weakly */

/* ---- coroutine ------------------------------------------------------------------------------------------------ */

static saros_task *running_task(lua_State *L) {
    saros_lua  *lua = saros_state(L);
    saros_task *task = lua->current != NULL ? lua->current->task : NULL;
    return task != NULL && task->co == L ? task : NULL;
}

static int task_running(lua_State *L) {
    saros_task *task = running_task(L);
    if (task != NULL && !task->handed_out) {
        saros_task_push(L, task);
        saros_anchor(L, task->rt, task); /* the script can close the coroutine now, which kept the task alive */
        task->handed_out = true;
        lua_rawgetp(L, LUA_REGISTRYINDEX, &seen_key);
        lua_pushthread(L);
        lua_pushboolean(L, 1);
        lua_rawset(L, -3);
    }
    lua_pushboolean(L, lua_pushthread(L));
    return 2;
}

static int task_yield(lua_State *L) {
    if (running_task(L) != NULL)
        return luaL_error(L, "attempt to yield outside a generator: a task gives way with saros.sleep(0), and waits "
                             "with saros.await");
    return lua_yield(L, lua_gettop(L));
}

/* Resume and close are asked this of every coroutine, so the usual answer must be quick: only what a task has shown is
 * looked for among the tasks; and everything is where tasks began before install(), which may have shown anything. */
static bool belongs_to_loop(lua_State *L) {
    if (lua_type(L, 1) != LUA_TTHREAD) return false;
    lua_rawgetp(L, LUA_REGISTRYINDEX, &seen_key);
    lua_pushvalue(L, 1);
    bool seen = lua_rawget(L, -2) != LUA_TNIL || saros_state(L)->unguarded > 0;
    lua_pop(L, 2);
    if (!seen) return false;
    return saros_task_of(saros_state(L), lua_tothread(L, 1)) != NULL;
}

int saros_call_own(lua_State *L) {
    lua_pushvalue(L, lua_upvalueindex(2));
    lua_insert(L, 1);
    lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
    return lua_gettop(L);
}

static int task_resume(lua_State *L) {
    if (belongs_to_loop(L)) {
        lua_pushboolean(L, 0);
        lua_pushliteral(L, "cannot resume the coroutine of a task: its loop does");
        return 2;
    }
    return saros_call_own(L);
}

static int task_close(lua_State *L) {
    if (belongs_to_loop(L)) return luaL_error(L, "cannot close the coroutine of a task: use task:cancel()");
    return saros_call_own(L);
}

void saros_wrap(lua_State *L, const char *field, lua_CFunction f, saros_lua *lua) {
    lua_pushlightuserdata(L, lua);
    lua_getfield(L, -2, field);
    lua_pushcclosure(L, f, 2);
    lua_setfield(L, -2, field);
}

void saros_install(lua_State *L, saros_lua *lua) {
    static const luaL_Reg globals[] = {{"pcall", task_pcall}, {"xpcall", task_xpcall}, {NULL, NULL}};
    static const luaL_Reg coroutine[] = {{"running", task_running}, {"yield", task_yield}, {NULL, NULL}};
    if (lua->installed) return;
    lua_newtable(L);
    lua_createtable(L, 0, 1);
    lua_pushliteral(L, "k");
    lua_setfield(L, -2, "__mode");
    lua_setmetatable(L, -2);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &seen_key);
    lua_pushglobaltable(L);
    saros_add(L, globals);
    if (lua_getfield(L, -1, LUA_COLIBNAME) == LUA_TTABLE) {
        saros_add(L, coroutine);
        saros_wrap(L, "resume", task_resume, lua);
        saros_wrap(L, "close", task_close, lua);
    }
    lua_pop(L, 2);
    lua->installed = true;
}

void saros_open_install(lua_State *L) {
    static const luaL_Reg functions[] = {{"pcall", catch_all}, {NULL, NULL}};
    saros_add(L, functions);
}
