/* error.c: the bridge between errors that are returned and errors that are raised (LuaSocket's try and protect).
 *
 * Owns the error object {message, code, op, address}, which has a reason too where something was cancelled. Promises: protect turns only such objects back; bugs and
 * cancellation pass through it. */
#include <string.h>

#include "bindings/lua/runtime.h"

/* "connect 127.0.0.1:80: refused" has an op and an address in front: every message of ours with an address does. */
static void set_parts(lua_State *L, const char *message) {
    const char *space = strchr(message, ' '), *end = space != NULL ? strstr(space, ": ") : NULL;
    if (end == NULL || memchr(message, ':', (size_t)(space - message)) != NULL) return;
    if (memchr(space + 1, ' ', (size_t)(end - space - 1)) != NULL) return;
    lua_pushlstring(L, message, (size_t)(space - message));
    lua_setfield(L, -2, "op");
    lua_pushlstring(L, space + 1, (size_t)(end - space - 1));
    lua_setfield(L, -2, "address");
}

void saros_push_error(lua_State *L, int message, int code) {
    message = lua_absindex(L, message);
    code = lua_absindex(L, code);
    lua_createtable(L, 0, 4);
    lua_pushvalue(L, message);
    lua_setfield(L, -2, "message");
    lua_pushvalue(L, code);
    lua_setfield(L, -2, "code");
    if (lua_type(L, message) == LUA_TSTRING) set_parts(L, lua_tostring(L, message));
    saros_push_meta(L, SAROS_T_ERROR);
    lua_setmetatable(L, -2);
}

int saros_raise(lua_State *L, int code, const char *message) {
    lua_pushstring(L, message);
    lua_pushstring(L, saros_error_name(code));
    saros_push_error(L, -2, -1);
    return lua_error(L);
}

int saros_raise_returned(lua_State *L, int message, int code) {
    saros_push_error(L, message, code);
    return lua_error(L);
}

int saros_raise_was_cancelled(lua_State *L, const char *what) {
    int reason = lua_gettop(L);
    lua_pushstring(L, what);
    if (lua_isstring(L, reason) || luaL_getmetafield(L, reason, "__tostring") != LUA_TNIL) {
        lua_settop(L, reason + 1);
        lua_pushfstring(L, "%s: %s", what, saros_text_of(L, reason));
    }
    lua_pushstring(L, saros_error_name(SAROS_ECANCELED));
    saros_push_error(L, -2, -1);
    lua_pushvalue(L, reason);
    lua_setfield(L, -2, "reason");
    return lua_error(L);
}

bool saros_is_error(lua_State *L, int index) {
    if (!lua_istable(L, index) || !lua_getmetatable(L, index)) return false;
    bool same = lua_topointer(L, -1) == saros_state_slow(L)->meta[SAROS_T_ERROR];
    lua_pop(L, 1);
    return same;
}

/* saros.try(v, ...): its arguments, or raises where v is nil or false */
static int try(lua_State *L) {
    luaL_checkany(L, 1);
    if (lua_toboolean(L, 1)) return lua_gettop(L);
    lua_settop(L, 3);
    if (lua_isnil(L, 2)) {
        lua_pushliteral(L, "failed");
        lua_replace(L, 2);
    }
    saros_push_error(L, 2, 3);
    return lua_error(L);
}

static int protect_k(lua_State *L, int status, lua_KContext ctx) {
    (void)ctx;
    if (status == LUA_OK || status == LUA_YIELD) return lua_gettop(L);
    if (!saros_is_error(L, -1)) return lua_error(L);
    saros_untrace(L, -1);
    lua_pushnil(L);
    lua_getfield(L, -2, "message");
    lua_getfield(L, -3, "code");
    return 3;
}

static int protected(lua_State *L) {
    lua_pushvalue(L, lua_upvalueindex(2));
    lua_insert(L, 1);
    return protect_k(L, lua_pcallk(L, lua_gettop(L) - 1, LUA_MULTRET, 0, 0, protect_k), 0);
}

/* saros.protect(fn) -> a function that gives nil, message, code where fn raises an error of saros.try */
static int protect(lua_State *L) {
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_pushvalue(L, 1);
    lua_pushcclosure(L, protected, 2);
    return 1;
}

/* saros.error_code(err) -> "ECONNREFUSED" | nil */
static int error_code(lua_State *L) {
    luaL_checkany(L, 1);
    if (saros_is_error(L, 1)) lua_getfield(L, 1, "code");
    else lua_pushnil(L);
    return 1;
}

static int error_tostring(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_getfield(L, 1, "message");
    luaL_tolstring(L, -1, NULL);
    return 1;
}

void saros_open_error(lua_State *L) {
    static const luaL_Reg meta[] = {{"__tostring", error_tostring}, {NULL, NULL}};
    static const luaL_Reg functions[] = {{"try", try}, {"protect", protect}, {"error_code", error_code}, {NULL, NULL}};
    saros_type_make(L, SAROS_T_ERROR, "saros.error", NULL, meta);
    saros_add(L, functions);
}
