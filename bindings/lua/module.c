/* module.c: what require "saros" gives.
 *
 * Owns the module's table, one in each state, and what comes into it only when it is first asked for: the parts that are
 * written in Lua, and those in C that many programs do not use.
 * Promises: a part costs nothing before that, and is loaded once. */
#include <string.h>

#include "bindings/lua/runtime.h"
#include "bindings/lua/sim.h"
#include "bindings/lua/tasks/task.h"
#include "saros_embedded.h"

static const char module_key = 0; /* in the registry, by address */

/* ---- what is loaded when it is first asked for ------------------------------------------------------------------ */

static void open_sim(lua_State *L) {
    saros_sim_open(L);
    lua_setfield(L, -2, "sim");
}

static const struct part {
    const char *key;
    void (*open)(lua_State *L); /* into the table on top; NULL: it is in saros/KEY.lua, an underscore before it apart */
} parts[] = {{"serve", NULL},
             {"wait", NULL},
             {"as_completed", NULL},
             {"map", NULL},
             {"join", NULL},
             {"pool", NULL},
             {"fs", NULL},
             {"process", NULL},
             {"signal", NULL},
             {"tls", NULL},
             {"ssl", NULL},
             {"socket", NULL},
             {"_socket_base", NULL},
             {"_socket_stream", NULL},
             {"_socket_tcp", NULL},
             {"_socket_unix", NULL},
             {"_socket_udp", NULL},
             {"_socket_options", NULL},
             {"_socket_select", NULL},
             {"_socket_dns", NULL},
             {"_group_error", NULL},
             {"_owner", NULL},
             {"_connect_name", NULL},
             {"_copy_any", NULL},
             {"_sendfile_name", NULL},
             {"_options", NULL},
             {"_self", NULL},
             {"_udp_name", NULL},
             {"sim", open_sim},
             {"udp", saros_open_udp},
             {"thread", saros_open_threads},
             {"thread_channel", saros_open_threads},
             {"open", saros_open_files},
             {"_fs_temporary", saros_open_files},
             {"_fs", saros_open_fs},
             {"_signal_open", saros_open_signal},
             {"_child", saros_open_process},
             {"_tls", saros_open_tls}};

/* Pushes the one value that a part gives, which is called with the module. */
static void push_text(lua_State *L, const char *name) {
    size_t i = 0;
    while (strcmp(saros_embedded[i].name, name) != 0) i++;
    lua_pushfstring(L, "=saros/%s.lua", name);
    if (luaL_loadbufferx(L, saros_embedded[i].text, saros_embedded[i].size, lua_tostring(L, -1), "t") != LUA_OK)
        lua_error(L);
    lua_pushvalue(L, 1);
    lua_call(L, 1, 1);
}

/* __index of the module. */
static int load_part(lua_State *L) {
    static const char *const standard[] = {"stdin", "stdout", "stderr"};
    const char              *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (strcmp(parts[i].key, key) != 0) continue;
        if (parts[i].open == NULL) {
            push_text(L, key + (*key == '_'));
            lua_pushvalue(L, -1);
            lua_setfield(L, 1, key);
            return 1;
        }
        lua_pushvalue(L, 1);
        parts[i].open(L);
        lua_pushvalue(L, 2);
        lua_rawget(L, 1);
        return 1;
    }
    for (int fd = 0; fd < 3; fd++) {
        if (strcmp(key, standard[fd]) != 0) continue;
        saros_push_stdio(L, fd); /* not kept in the module: each loop has its own */
        return 1;
    }
    return 0;
}

int saros_call_part(lua_State *L, const char *part, const char *function) {
    int arguments = lua_gettop(L);
    luaopen_saros(L);
    lua_getfield(L, -1, part);
    if (function != NULL) {
        lua_getfield(L, -1, function);
        lua_remove(L, -2);
    }
    lua_insert(L, 1);
    lua_settop(L, arguments + 1);
    lua_callk(L, arguments, LUA_MULTRET, 0, saros_all_results);
    return saros_all_results(L, LUA_OK, 0);
}

/* ---- the module ----------------------------------------------------------------------------------------------- */

static int install(lua_State *L) {
    saros_install(L, saros_state(L));
    return 0;
}

static void module_new(lua_State *L) {
    static const luaL_Reg functions[] = {{"install", install}, {NULL, NULL}};
    static const luaL_Reg modules[] = {{"saros.sim", luaopen_saros_sim},
                                       {"saros.socket", luaopen_saros_socket},
                                       {"saros.ssl", luaopen_saros_ssl},
                                       {NULL, NULL}};
    saros_state_make(L);
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
    luaL_setfuncs(L, modules, 0);
    lua_pop(L, 1);
    lua_createtable(L, 0, 1);
    saros_add(L, (const luaL_Reg[]){{"__index", load_part}, {NULL, NULL}});
    lua_setmetatable(L, -2);
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
