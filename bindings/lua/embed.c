/* embed.c: the C functions of saros_lua.h, for a host that has the loop, the state and the frame.
 *
 * Promises: as saros_lua.h says: every one of them leaves the stack as documented, and raises no Lua error. */
#include "bindings/lua/tasks/task.h"

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
    if (flags & SAROS_LUA_INSTALL) saros_install(L, lua);
    lua->attached = saros_rt_new(L, lua, NULL, loop);
    return 0;
}

static saros_rt *rt_of(saros_guest *guest) { return (saros_rt *)((char *)guest - offsetof(saros_rt, guest)); }

static bool collect(saros_guest *guest, saros_loop *loop) {
    (void)loop;
    return !lua_gc(rt_of(guest)->lua->L, LUA_GCSTEP, 0);
}

static void stepping(saros_guest *guest, saros_loop *loop) {
    (void)loop;
    saros_stepping(rt_of(guest));
}

/* The host closes the loop before the state. */
static void closing(saros_guest *guest, saros_loop *loop) {
    (void)loop;
    saros_rt_close(rt_of(guest)->lua->L, rt_of(guest));
}

/* The binding's part of the state, or NULL. */
static saros_lua *state_of(lua_State *L) { return lua_checkstack(L, 8) ? saros_state_slow(L) : NULL; }

int saros_lua_attach(lua_State *L, saros_loop *loop, unsigned flags) {
    if (!lua_checkstack(L, 8)) return SAROS_ENOMEM;
    int        top = lua_gettop(L);
    saros_lua *lua = saros_state_slow(L);
    if (lua != NULL && lua->attached != NULL) return SAROS_EBUSY;
    lua_pushcfunction(L, attach);
    lua_pushlightuserdata(L, loop);
    lua_pushinteger(L, (lua_Integer)flags);
    int status = lua_pcall(L, 2, 0, 0);
    lua_settop(L, top);
    if (status != LUA_OK) return SAROS_ENOMEM;
    saros_rt *rt = saros_state_slow(L)->attached;
    rt->guest.collect = collect;
    rt->guest.closing = closing;
    rt->guest.stepping = stepping;
    saros_join(loop, &rt->guest);
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
        bool cancelled = task->cancelled;
        task->cancelled = true; /* if the name finds no memory this has failed, and the task must not begin */
        saros_box(L, &task->is, 2);
        lua_pushstring(L, how->name);
        lua_setfield(L, -2, "name");
        task->cancelled = cancelled;
    }
    lua_settop(L, 2);
    return 1;
}

int saros_lua_spawn(lua_State *L, int nargs, saros_scope *scope, const char *name) {
    spawning how = {scope, name};
    if (!lua_checkstack(L, 8)) {
        lua_settop(L, -nargs - 2);
        lua_pushnil(L);
        return LUA_ERRMEM;
    }
    lua_pushcfunction(L, spawn);
    lua_insert(L, -nargs - 2);
    lua_pushlightuserdata(L, &how);
    lua_insert(L, -nargs - 2);
    return lua_pcall(L, nargs + 2, 1, 0);
}

saros_loop *saros_lua_loop(lua_State *L) {
    const saros_lua *lua = state_of(L);
    if (lua == NULL) return NULL;
    const saros_rt *rt = lua->current != NULL ? lua->current : lua->attached;
    return rt != NULL ? rt->loop : NULL;
}

size_t saros_lua_tasks(lua_State *L) {
    saros_lua *lua = state_of(L);
    return lua != NULL && lua->attached != NULL ? lua->attached->live : 0;
}

int saros_lua_detach(lua_State *L) {
    saros_lua *lua = state_of(L);
    if (lua == NULL || lua->attached == NULL) return 0;
    if (saros_running(lua->attached->loop)) return SAROS_EBUSY;
    saros_rt_close(L, lua->attached);
    return 0;
}
