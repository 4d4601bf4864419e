/* embed.c: the C functions of saros_lua.h, for a host that has the loop, the state and the frame.
 *
 * Promises: as saros_lua.h says: every one of them leaves the stack as documented, and raises no Lua error. */
#include "bindings/lua/runtime.h"

/* protected: attaches the loop (light userdata 1) with flags 2. */
static int attach(lua_State *L) {
    saros_loop *loop = lua_touserdata(L, 1);
    unsigned    flags = (unsigned)lua_tointeger(L, 2);
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
    lua_pushcfunction(L, luaopen_saros);
    lua_setfield(L, -2, "saros");
    lua_pushcfunction(L, luaopen_saros);
    lua_call(L, 0, 0);
    saros_lua *lua = saros_state_slow(L);
    lua->attached = saros_rt_new(L, lua, NULL, loop);
    if (flags & SAROS_LUA_INSTALL) saros_install(L, lua);
    return 0;
}

static bool collect(void *user) { return !lua_gc(((saros_rt *)user)->lua->L, LUA_GCSTEP, 0); }

int saros_lua_attach(lua_State *L, saros_loop *loop, unsigned flags) {
    saros_lua *lua = saros_state_slow(L);
    if (lua != NULL && lua->attached != NULL) return SAROS_EBUSY;
    if (!lua_checkstack(L, 8)) return SAROS_ENOMEM;
    int top = lua_gettop(L);
    lua_pushcfunction(L, attach);
    lua_pushlightuserdata(L, loop);
    lua_pushinteger(L, (lua_Integer)flags);
    int status = lua_pcall(L, 2, 0, 0);
    lua_settop(L, top);
    if (status != LUA_OK) return SAROS_ENOMEM;
    saros_collector(loop, collect, saros_state_slow(L)->attached);
    return 0;
}

typedef struct spawning {
    saros_scope *scope;
    const char  *name;
} spawning;

/* protected: light userdata 1 is a spawning, then the function and its arguments. */
static int spawn(lua_State *L) {
    const spawning *how = lua_touserdata(L, 1);
    saros_lua      *lua = saros_state_slow(L);
    if (lua == NULL || lua->attached == NULL) return luaL_error(L, "saros_lua_spawn: no loop is attached");
    luaL_checktype(L, 2, LUA_TFUNCTION);
    saros_task *task = saros_spawn(L, lua->attached, lua_gettop(L) - 2, how->scope);
    if (how->name != NULL) {
        saros_box(L, &task->is, 2);
        lua_pushstring(L, how->name);
        lua_setfield(L, -2, "name");
    }
    lua_settop(L, 2);
    return 1;
}

int saros_lua_spawn(lua_State *L, int nargs, saros_scope *scope, const char *name) {
    spawning how = {scope, name};
    if (!lua_checkstack(L, 8)) {
        lua_pop(L, nargs);
        lua_pushnil(L);
        lua_replace(L, -2);
        return LUA_ERRMEM;
    }
    lua_pushcfunction(L, spawn);
    lua_insert(L, -nargs - 2);
    lua_pushlightuserdata(L, &how);
    lua_insert(L, -nargs - 2);
    return lua_pcall(L, nargs + 2, 1, 0);
}

size_t saros_lua_tasks(lua_State *L) {
    saros_lua *lua = saros_state_slow(L);
    return lua != NULL && lua->attached != NULL ? lua->attached->live : 0;
}

static int detach(lua_State *L) {
    saros_lua *lua = saros_state_slow(L);
    saros_rt_close(L, lua->attached);
    return 0;
}

void saros_lua_detach(lua_State *L) {
    saros_lua *lua = saros_state_slow(L);
    if (lua == NULL || lua->attached == NULL || !lua_checkstack(L, 4)) return;
    int top = lua_gettop(L);
    lua_pushcfunction(L, detach);
    lua_pcall(L, 0, 0, 0);
    lua_settop(L, top);
}
