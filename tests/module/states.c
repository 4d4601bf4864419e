/* states.c: a Lua module for specs: Lua states of their own, as a host makes and closes them. */
#include <lauxlib.h>
#include <lualib.h>

/* run(code, …) -> true, or nil and a message: in a new state with Lua's libraries, which is closed when this returns. The
 * arguments are strings. */
static int run(lua_State *L) {
    lua_State *other = luaL_newstate();
    if (other == NULL) return luaL_error(L, "no memory for a state");
    luaL_openlibs(other);
    int status = luaL_loadstring(other, luaL_checkstring(L, 1));
    for (int i = 2; status == LUA_OK && i <= lua_gettop(L); i++) lua_pushstring(other, lua_tostring(L, i));
    if (status == LUA_OK) status = lua_pcall(other, lua_gettop(L) - 1, 0, 0);
    lua_pushboolean(L, status == LUA_OK);
    if (status == LUA_OK) {
        lua_close(other);
        return 1;
    }
    lua_pushnil(L);
    lua_pushstring(L, lua_tostring(other, -1));
    lua_close(other);
    return 2;
}

int                                        luaopen_states(lua_State *L);
__attribute__((visibility("default"))) int luaopen_states(lua_State *L) {
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, run);
    lua_setfield(L, -2, "run");
    return 1;
}
