/* install.c: the few functions of Lua's own library that have to know of tasks.
 *
 * pcall and xpcall pass on the cancellation of a scope that the running task is in, as Python's `except Exception`
 * does not catch CancelledError; coroutine.* and require let awaits through (tunnel.c, require.c). saros.install() puts
 * them in place; the host does so at start; saros.pcall is the one that catches all.
 *
 * Promises: no other behaviour of these functions changes. */
#include "bindings/lua/tasks/task.h"

static int pcall_k(lua_State *L, int status, lua_KContext ctx) {
    if (status == LUA_OK || status == LUA_YIELD) return lua_gettop(L) - (int)ctx;
    if (saros_is_own_cancel(L, -1)) return lua_error(L);
    saros_untrace(L, -1); /* it ends here: an equal error that is raised later has a story of its own */
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
int saros_handler(lua_State *L) {
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
    lua_pushcclosure(L, saros_handler, 2);
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
    saros_untrace(L, -1);
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

int saros_call_own(lua_State *L) {
    lua_pushvalue(L, lua_upvalueindex(2));
    lua_insert(L, 1);
    lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
    return lua_gettop(L);
}

void saros_wrap(lua_State *L, const char *field, lua_CFunction f, saros_lua *lua) {
    lua_pushlightuserdata(L, lua);
    lua_getfield(L, -2, field);
    lua_pushcclosure(L, f, 2);
    lua_setfield(L, -2, field);
}

void saros_install(lua_State *L, saros_lua *lua) {
    static const luaL_Reg globals[] = {{"pcall", task_pcall}, {"xpcall", task_xpcall}, {NULL, NULL}};
    if (lua->installed) return;
    lua_pushglobaltable(L);
    saros_add(L, globals);
    saros_require_install(L);
    if (lua_getfield(L, -1, LUA_COLIBNAME) == LUA_TTABLE) saros_coroutine_install(L);
    lua_pop(L, 1);
    if (lua_getfield(L, -1, LUA_DBLIBNAME) == LUA_TTABLE) {
        lua_pushcfunction(L, saros_debug_traceback);
        lua_setfield(L, -2, "traceback");
    }
    lua_pop(L, 2);
    lua->installed = true;
}

void saros_open_install(lua_State *L) {
    static const luaL_Reg functions[] = {{"pcall", catch_all}, {NULL, NULL}};
    saros_add(L, functions);
}
