/* require.c: a require whose modules may await while they load, and so may searchers.
 *
 * It is Lua's own, but for two things. It calls with continuations. And as others run while a module loads, it has a lock
 * for each load that is going on: whoever requires the same module meanwhile waits, and is given what came of it; where
 * nothing came of it, because the load has failed or its task was cancelled, the first who waits loads it himself. So the
 * waits are seen by whoever looks for deadlocks, and end with the task that loads, in whatever way that ends.
 *
 * Promises: a module that is loaded already costs what it does with Lua's own. */
#include "bindings/lua/sync/sync.h"

enum { NAME = 1, LOADED, LOCK, GUARD, SEARCHERS, MESSAGE }; /* the stack */

static const char loads_key = 0; /* registry: name → the lock of its load, weakly */

static bool is_loaded(lua_State *L) {
    if (lua_getfield(L, LOADED, lua_tostring(L, NAME)), lua_toboolean(L, -1)) return true;
    lua_pop(L, 1);
    return false;
}

/* ---- loading -------------------------------------------------------------------------------------------------- */

/* Above the message: the loader's data, its result. */
static int loaded_k(lua_State *L, int status, lua_KContext ctx) {
    const char *name = lua_tostring(L, NAME);
    (void)status, (void)ctx;
    if (!lua_isnil(L, -1)) lua_setfield(L, LOADED, name);
    else lua_pop(L, 1);
    if (lua_getfield(L, LOADED, name) == LUA_TNIL) {
        lua_pop(L, 1);
        lua_pushboolean(L, 1);
        lua_pushvalue(L, -1);
        lua_setfield(L, LOADED, name);
    }
    lua_insert(L, -2);
    return 2;
}

/* Above the message: a loader, its data. */
static int load(lua_State *L) {
    lua_insert(L, -2);
    lua_pushvalue(L, NAME);
    lua_pushvalue(L, -3);
    lua_callk(L, 2, 1, 0, loaded_k);
    return loaded_k(L, LUA_OK, 0);
}

/* Above the message: the two results of a searcher. False: they are gone, and what they tell is in the message. */
static bool is_found(lua_State *L) {
    if (lua_isfunction(L, -2)) return true;
    if (lua_isstring(L, -2)) {
        lua_pushfstring(L, "%s\n\t%s", lua_tostring(L, MESSAGE), lua_tostring(L, -2));
        lua_replace(L, MESSAGE);
    }
    lua_pop(L, 2);
    return false;
}

static int search_k(lua_State *L, int status, lua_KContext i);

/* Asks the searchers from the i-th on. */
static int search(lua_State *L, lua_KContext i) {
    for (;; i++) {
        if (lua_rawgeti(L, SEARCHERS, (lua_Integer)i) == LUA_TNIL)
            return luaL_error(L, "module '%s' not found:%s", lua_tostring(L, NAME), lua_tostring(L, MESSAGE));
        lua_pushvalue(L, NAME);
        lua_callk(L, 1, 2, i, search_k);
        if (is_found(L)) return load(L);
    }
}

static int search_k(lua_State *L, int status, lua_KContext i) {
    (void)status;
    return is_found(L) ? load(L) : search(L, i + 1);
}

static int begin(lua_State *L) {
    lua_settop(L, GUARD);
    if (lua_getfield(L, lua_upvalueindex(2), "searchers") != LUA_TTABLE)
        return luaL_error(L, "'package.searchers' must be a table");
    lua_pushliteral(L, "");
    return search(L, 1);
}

/* ---- one load at a time ----------------------------------------------------------------------------------------- */

/* The load is this task's: or it was another's, and is over. */
static int locked_k(lua_State *L, int status, lua_KContext ctx) {
    (void)status, (void)ctx;
    lua_toclose(L, GUARD);
    return is_loaded(L) ? 1 : begin(L);
}

/* Pushes the lock of the load that is going on, or a new one, if the running task can have it. */
static saros_lock *push_lock(lua_State *L, const saros_task *task) {
    lua_rawgetp(L, LUA_REGISTRYINDEX, &loads_key);
    lua_getfield(L, -1, lua_tostring(L, NAME));
    saros_lock *lock = lua_touserdata(L, -1);
    if (lock == NULL || lock->turn == 0) {
        lua_pop(L, 1);
        if (task == NULL) lua_pushnil(L);
        lock = task != NULL ? saros_lock_new(L) : NULL;
        lua_pushvalue(L, -1);
        lua_setfield(L, -3, lua_tostring(L, NAME));
    }
    lua_replace(L, -2);
    return lock;
}

int saros_require(lua_State *L) {
    const char *name = luaL_checkstring(L, NAME);
    lua_settop(L, NAME);
    lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    if (is_loaded(L)) return 1;
    saros_task       *task = saros_running_task(saros_state(L));
    const saros_lock *lock = push_lock(L, task);
    if (lock == NULL) return begin(L);
    if (lock->turn != 0 && task == NULL)
        return luaL_error(L, "module '%s' is being loaded by a task, for which only another task can wait", name);
    if (lock->turn != 0 && lock->is.owner == task)
        return luaL_error(L, "module '%s' is required while it loads: modules that require each other in a circle",
                          name);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_pushcclosure(L, lock->turn == 0 ? saros_lock_try_acquire : saros_lock_acquire,
                     1); /* that awaits, this does not */
    lua_pushvalue(L, LOCK);
    lua_callk(L, 1, 1, 0, locked_k);
    return locked_k(L, LUA_OK, 0);
}

void saros_require_install(lua_State *L) {
    if (lua_getfield(L, -1, "require") != LUA_TFUNCTION || !lua_iscfunction(L, -1)) { /* none, or the script's own */
        lua_pop(L, 1);
        return;
    }
    lua_pop(L, 1);
    lua_newtable(L);
    saros_make_weak(L, "v");
    lua_rawsetp(L, LUA_REGISTRYINDEX, &loads_key);
    lua_pushlightuserdata(L, saros_state_slow(L));
    lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    lua_getfield(L, -1, LUA_LOADLIBNAME);
    lua_replace(L, -2);
    lua_pushcclosure(L, saros_require, 2);
    lua_setfield(L, -2, "require");
}
