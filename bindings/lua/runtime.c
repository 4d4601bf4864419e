/* runtime.c: the module as a whole, and the small things that all its files use.
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
#include "bindings/lua/sim.h"
#include "saros_embedded.h"

static const char state_key = 0, module_key = 0; /* in the registry, by address */

/* ---- the state and its types ---------------------------------------------------------------------------------- */

saros_lua *saros_state_slow(lua_State *L) {
    lua_rawgetp(L, LUA_REGISTRYINDEX, &state_key);
    saros_lua *lua = lua_touserdata(L, -1);
    lua_pop(L, 1);
    return lua;
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

/* ---- the module ----------------------------------------------------------------------------------------------- */

static const char *const lazy[][2] = {{"serve", "serve"},
                                      {"wait", "wait"},
                                      {"as_completed", "as_completed"},
                                      {"map", "map"},
                                      {"join", "join"},
                                      {"pool", "pool"},
                                      {"_group_error", "group_error"},
                                      {"_owner", "owner"},
                                      {"_connect_name", "connect_name"},
                                      {"_copy_any", "copy_any"},
                                      {"_options", "options"},
                                      {"_udp_name", "udp_name"},
                                      {"socket", "socket"},
                                      {"ssl", "ssl"},
                                      {"_socket_base", "socket_base"},
                                      {"_socket_stream", "socket_stream"},
                                      {"_socket_tcp", "socket_tcp"},
                                      {"_socket_unix", "socket_unix"},
                                      {"_socket_udp", "socket_udp"},
                                      {"_socket_options", "socket_options"},
                                      {"_socket_select", "socket_select"},
                                      {"_socket_dns", "socket_dns"},
                                      {"signal", "signal"},
                                      {"fs", "fs"},
                                      {"process", "process"},
                                      {"tls", "tls"},
                                      {NULL, NULL}};

/* What these stand on: functions in C, that come into the module with the first of them. */
static const struct {
    const char *key;
    void (*open)(lua_State *L);
} native[] = {{"udp", saros_open_udp},
              {"_signal_open", saros_open_signal},
              {"_child", saros_open_process},
              {"thread", saros_open_threads},
              {"thread_channel", saros_open_threads},
              {"open", saros_open_files},
              {"_fs_temporary", saros_open_files},
              {"_fs", saros_open_fs},
              {"_tls", saros_open_tls}};

static const char *const channels[] = {"stdin", "stdout", "stderr"};

/* __index of the module: parts written in Lua are compiled when they are first asked for. */
static int load_part(lua_State *L) {
    const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
    if (strcmp(key, "sim") == 0) {
        saros_sim_open(L);
        lua_pushvalue(L, -1);
        lua_setfield(L, 1, key);
        return 1;
    }
    if (strncmp(key, "std", 3) == 0)
        for (int fd = 0; fd < 3; fd++) {
            if (strcmp(key, channels[fd]) != 0) continue;
            saros_push_stdio(L, fd); /* not kept in the module: each loop has its own */
            return 1;
        }
    for (size_t i = 0; i < sizeof native / sizeof *native; i++) {
        if (strcmp(native[i].key, key) != 0) continue;
        lua_pushvalue(L, 1);
        native[i].open(L); /* into the table on top */
        lua_pushvalue(L, 2);
        lua_rawget(L, 1);
        return 1;
    }
    for (size_t i = 0; lazy[i][0] != NULL; i++) {
        if (strcmp(lazy[i][0], key) != 0) continue;
        for (size_t part = 0; saros_embedded[part].name != NULL; part++) {
            if (strcmp(saros_embedded[part].name, lazy[i][1]) != 0) continue;
            lua_pushfstring(L, "=saros/%s.lua", saros_embedded[part].name);
            if (luaL_loadbufferx(L, saros_embedded[part].text, saros_embedded[part].size, lua_tostring(L, -1), "t") !=
                LUA_OK)
                return lua_error(L);
            lua_pushvalue(L, 1);
            lua_call(L, 1, 1); /* the part gives its one function */
            lua_pushvalue(L, -1);
            lua_setfield(L, 1, key);
            return 1;
        }
    }
    return 0;
}

static int install(lua_State *L) {
    saros_install(L, saros_state(L));
    return 0;
}

static int module_new(lua_State *L) {
    static const luaL_Reg functions[] = {{"install", install}, {NULL, NULL}};
    saros_lua            *lua = lua_newuserdatauv(L, sizeof *lua, 0);
    *lua = (saros_lua){.manners = saros_manners_of_environment()};
    lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
    lua->L = lua_tothread(L, -1);
    lua_pop(L, 1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &state_key);
    lua_createtable(L, 0, 64);
    saros_add(L, functions);
    lua_pushliteral(L, SAROS_VERSION);
    lua_setfield(L, -2, "_VERSION");
    saros_open_loop(L);
    saros_open_drivers(L);
    saros_open_dump(L);
    saros_open_outside(L);
    saros_open_debug(L);
    saros_open_spawn(L);
    saros_open_task(L);
    saros_open_await(L);
    saros_open_scope(L);
    saros_open_timeout(L);
    saros_open_gather(L);
    saros_open_group(L);
    saros_open_several(L);
    saros_open_race(L);
    saros_open_time(L);
    saros_open_every(L);
    saros_open_clock(L);
    saros_open_locals(L);
    saros_open_queue(L);
    saros_open_sync(L);
    saros_open_error(L);
    saros_open_net(L);
    saros_open_buffer(L);
    saros_open_copy(L);
    saros_open_names(L);
    saros_open_ready(L);
    saros_open_install(L);
    saros_open_tunnel(L);
    saros_open_coroutine(L);
    saros_open_generator(L);
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
    lua_pushcfunction(L, luaopen_saros_sim);
    lua_setfield(L, -2, "saros.sim");
    lua_pushcfunction(L, luaopen_saros_socket);
    lua_setfield(L, -2, "saros.socket");
    lua_pushcfunction(L, luaopen_saros_ssl);
    lua_setfield(L, -2, "saros.ssl");
    lua_pop(L, 1);
    lua_createtable(L, 0, 1);
    saros_add(L, (const luaL_Reg[]){{"__index", load_part}, {NULL, NULL}});
    lua_setmetatable(L, -2);
    return 1;
}

int luaopen_saros(lua_State *L) {
    luaL_checkversion(L);
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &module_key) != LUA_TNIL) return 1;
    lua_pop(L, 1);
    module_new(L);
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &module_key);
    return 1;
}

int luaopen_saros_ssl(lua_State *L) {
    luaopen_saros(L);
    lua_getfield(L, -1, "ssl");
    return 1;
}

int luaopen_saros_socket(lua_State *L) {
    luaopen_saros(L);
    lua_getfield(L, -1, "socket");
    return 1;
}
