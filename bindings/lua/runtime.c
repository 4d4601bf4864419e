/* runtime.c: the small things that all files of the binding use.
 *
 * Owns the saros_lua of a state (in the registry, under an address of ours), the metatables, the anchors.
 * Promises: a type check never trusts a userdata before its metatable was compared; no global state. */
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bindings/lua/runtime.h"

static const char state_key = 0; /* in the registry, by address */

/* ---- the state and its types ---------------------------------------------------------------------------------- */

saros_lua *saros_state_slow(lua_State *L) {
    lua_rawgetp(L, LUA_REGISTRYINDEX, &state_key);
    saros_lua *lua = lua_touserdata(L, -1);
    lua_pop(L, 1);
    return lua;
}

void saros_state_make(lua_State *L) {
    saros_lua *lua = lua_newuserdatauv(L, sizeof *lua, 0);
    *lua = (saros_lua){.manners = saros_manners_of_environment()};
    lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
    lua->L = lua_tothread(L, -1);
    lua_pop(L, 1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &state_key);
}

void saros_push_meta(lua_State *L, enum saros_type type) {
    lua_rawgeti(L, LUA_REGISTRYINDEX, saros_state_slow(L)->meta_ref[type]);
}

void saros_make_weak(lua_State *L, const char *mode) {
    lua_createtable(L, 0, 1);
    lua_pushstring(L, mode);
    lua_setfield(L, -2, "__mode");
    lua_setmetatable(L, -2);
}

void *saros_new(lua_State *L, saros_lua *lua, enum saros_type type, size_t size, int values) {
    void *object = lua_newuserdatauv(L, size, values);
    memset(object, 0, size);
    lua_rawgeti(L, LUA_REGISTRYINDEX, lua->meta_ref[type]);
    lua_setmetatable(L, -2);
    return object;
}

void *saros_test(lua_State *L, const saros_lua *lua, int index, enum saros_type type) {
    if (!lua_getmetatable(L, index)) return NULL;
    bool same = lua_topointer(L, -1) == lua->meta[type];
    lua_pop(L, 1);
    return same ? lua_touserdata(L, index) : NULL; /* NULL as well for a table that was given our metatable */
}

void *saros_check(lua_State *L, int arg, enum saros_type type) {
    void *object = saros_test(L, saros_state(L), arg, type);
    if (object != NULL) return object;
    saros_push_meta(L, type);
    lua_getfield(L, -1, "__name");
    luaL_typeerror(L, arg, lua_tostring(L, -1));
    return NULL;
}

void saros_add(lua_State *L, const luaL_Reg *functions) {
    lua_rawgetp(L, LUA_REGISTRYINDEX, &state_key);
    luaL_setfuncs(L, functions, 1);
}

void saros_type_make(lua_State *L, enum saros_type type, const char *name, const luaL_Reg *methods,
                     const luaL_Reg *meta) {
    saros_lua *lua = saros_state_slow(L);
    lua_newtable(L);
    lua->meta[type] = lua_topointer(L, -1);
    lua_pushvalue(L, -1);
    lua->meta_ref[type] = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_pushstring(L, name);
    lua_setfield(L, -2, "__name");
    lua_pushboolean(L, 0); /* scripts cannot take a metatable apart */
    lua_setfield(L, -2, "__metatable");
    if (meta != NULL) saros_add(L, meta);
    if (methods != NULL) {
        lua_newtable(L);
        saros_add(L, methods);
        lua_setfield(L, -2, "__index");
    }
    lua_pop(L, 1);
}

void saros_type_extend(lua_State *L, enum saros_type type, const luaL_Reg *methods) {
    saros_push_meta(L, type);
    lua_getfield(L, -1, "__index");
    saros_add(L, methods);
    lua_pop(L, 2);
}

bool saros_push_place(lua_State *L) {
    lua_Debug ar;
    for (int level = 0; lua_getstack(L, level, &ar); level++) {
        lua_getinfo(L, "Sl", &ar);
        if (ar.currentline < 0 || strncmp(ar.source, "=saros/", 7) == 0) continue; /* nor in our own parts in Lua */
        lua_pushfstring(L, "%s:%d", ar.short_src, ar.currentline);
        return true;
    }
    lua_pushliteral(L, "[C]");
    return false;
}

/* ---- which loop ----------------------------------------------------------------------------------------------- */

saros_rt *saros_loop_now(lua_State *L, const char *what) {
    saros_lua *lua = saros_state(L);
    saros_rt  *rt = lua->current != NULL ? lua->current : lua->attached;
    if (rt == NULL) luaL_error(L, "%s: no loop is running (call it inside saros.run)", what);
    return rt;
}

/* ---- anchors -------------------------------------------------------------------------------------------------- */

void saros_anchor(lua_State *L, saros_rt *rt, const void *key) {
    saros_push_table(L, rt, SAROS_ANCHORS);
    lua_insert(L, -2);
    lua_rawsetp(L, -2, key);
    lua_pop(L, 1);
}

/* A key that is there is set to nil: that allocates nothing, so it cannot fail. */
void saros_drop(saros_rt *rt, const void *key) {
    lua_State *L = rt->L;
    if (!lua_checkstack(L, 4)) return; /* it stays anchored until the loop closes */
    saros_push_table(L, rt, SAROS_ANCHORS);
    if (lua_rawgetp(L, -1, key) != LUA_TNIL) {
        lua_pushnil(L);
        lua_rawsetp(L, -3, key);
    }
    lua_pop(L, 2);
}

void saros_push_anchored(lua_State *L, saros_rt *rt, const void *key) {
    saros_push_table(L, rt, SAROS_ANCHORS);
    lua_rawgetp(L, -1, key);
    lua_remove(L, -2);
}

/* ---- errors and messages -------------------------------------------------------------------------------------- */

/* The error on top, without running any of its code. */
static const char *plain_text(lua_State *L) {
    return lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "error object is not a string";
}

void saros_close_failed(saros_rt *rt, lua_State *co, const char *what) {
    saros_complain(rt, "a <close> variable failed in %s that was closed: %s", what, plain_text(co));
}

bool saros_protected(saros_rt *rt, lua_CFunction f, void *p, const char *what) {
    lua_State *L = rt->L;
    if (!lua_checkstack(L, 6)) {
        saros_complain(rt, "%s: Lua stack overflow", what);
        return false;
    }
    int top = lua_gettop(L);
    lua_pushcfunction(L, f);
    lua_pushlightuserdata(L, p);
    int status = lua_pcall(L, 1, 0, 0);
    if (status != LUA_OK) {
        saros_complain(rt, "%s: %s", what, plain_text(L));
    }
    lua_settop(L, top);
    return status == LUA_OK;
}

void saros_complain(saros_rt *rt, const char *format, ...) {
    char    text[1024];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    rt->reported++;
    saros_report(rt->loop, text);
}

int saros_fail(lua_State *L, int code, const char *format, ...) {
    char    text[SAROS_ADDRESS_TEXT + 256];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    lua_pushnil(L);
    lua_pushstring(L, text);
    lua_pushstring(L, saros_error_name(code));
    return 3;
}

/* ---- arguments ------------------------------------------------------------------------------------------------ */

saros_time saros_seconds(lua_State *L, int arg) {
    lua_Number seconds = luaL_checknumber(L, arg);
    if (isnan(seconds)) luaL_argerror(L, arg, "number of seconds expected, got NaN");
    if (seconds <= 0) return 0;
    lua_Number nanoseconds = ceil(seconds * 1e9);
    if (nanoseconds / 1e9 < seconds) nanoseconds++; /* the product was rounded down: nothing is early, not by a bit */
    return nanoseconds >= 9.2e18 ? SAROS_FOREVER : (saros_time)nanoseconds;
}

saros_time saros_later(saros_loop *loop, saros_time duration) {
    saros_time now = saros_now(loop);
    return duration >= SAROS_FOREVER - now ? SAROS_FOREVER : now + duration;
}

void saros_check_options(lua_State *L, int arg, const char *const *names) {
    if (lua_isnoneornil(L, arg)) return;
    luaL_checktype(L, arg, LUA_TTABLE);
    for (lua_pushnil(L); lua_next(L, arg) != 0; lua_pop(L, 1)) {
        bool        known = false;
        const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : NULL;
        for (const char *const *name = names; key != NULL && *name != NULL && !known; name++)
            known = strcmp(*name, key) == 0;
        if (known) continue;
        lua_pushvalue(L, -2);
        luaL_argerror(L, arg, lua_pushfstring(L, "unknown option '%s'", luaL_tolstring(L, -1, NULL)));
    }
}

/* Raw: what an option table's metamethods do is not ours to run. */
int saros_option(lua_State *L, int arg, const char *name) {
    arg = lua_absindex(L, arg);
    lua_pushstring(L, name);
    return lua_rawget(L, arg);
}

/* strtoull alone takes blanks, a sign, and a zero in front for octal. */
const char *saros_seed_parse(const char *text, uint64_t *seed) {
    static const char wrong[] = "must be a whole number from 0 to 2^64-1, decimal or with 0x";
    bool              hex = text[0] == '0' && (text[1] | 32) == 'x';
    const char       *digits = hex ? text + 2 : text;
    char             *end;
    if (!isxdigit((unsigned char)*digits)) return wrong;
    errno = 0;
    unsigned long long value = strtoull(digits, &end, hex ? 16 : 10);
    if (*end != 0 || end == digits || errno == ERANGE) return wrong;
    *seed = value;
    return NULL;
}
