/* socket_options.c: what can be said of a socket: in the options of connect, listen, serve and udp, and as stream:option.
 *
 * Owns the names and what their values may be. Promises: options are checked before anything is opened; a name that there
 * is not raises. */
#include <string.h>

#include "bindings/lua/streams/socket_options.h"

enum { MOST_SECONDS = 32767, MOST_BYTES = 1 << 30 };

const saros_known_option saros_stream_knows[] = {
    {"nodelay", SAROS_OPTION_NODELAY, 0, 0},
    {"keepalive", SAROS_OPTION_KEEPALIVE, 0, 0},
    {"keepalive_idle", SAROS_OPTION_KEEPALIVE_IDLE, 1, MOST_SECONDS},
    {"keepalive_interval", SAROS_OPTION_KEEPALIVE_INTERVAL, 1, MOST_SECONDS},
    {"keepalive_count", SAROS_OPTION_KEEPALIVE_COUNT, 1, 127},
    {"linger", SAROS_OPTION_LINGER, 0, MOST_SECONDS},
    {"send_buffer", SAROS_OPTION_SEND_BUFFER, 1, MOST_BYTES},
    {"receive_buffer", SAROS_OPTION_RECEIVE_BUFFER, 1, MOST_BYTES},
    {"ttl", SAROS_OPTION_TTL, 1, 255},
    {NULL, 0, 0, 0},
};

const saros_known_option saros_udp_knows[] = {
    {"broadcast", SAROS_OPTION_BROADCAST, 0, 0},
    {"multicast_loop", SAROS_OPTION_MULTICAST_LOOP, 0, 0},
    {"ttl", SAROS_OPTION_TTL, 1, 255},
    {"multicast_ttl", SAROS_OPTION_MULTICAST_TTL, 0, 255},
    {"send_buffer", SAROS_OPTION_SEND_BUFFER, 1, MOST_BYTES},
    {"receive_buffer", SAROS_OPTION_RECEIVE_BUFFER, 1, MOST_BYTES},
    {NULL, 0, 0, 0},
};

static int wrong(lua_State *L, int arg, const saros_known_option *option, const char *what) {
    return luaL_argerror(L, arg, lua_pushfstring(L, "option '%s': %s expected", option->name, what));
}

/* The value at `at` as the number that is set; raises. */
static int value_of(lua_State *L, int arg, int at, const saros_known_option *option) {
    int         whole;
    lua_Integer value = lua_tointegerx(L, at, &whole);
    if (option->most == 0) {
        if (lua_type(L, at) != LUA_TBOOLEAN) return wrong(L, arg, option, "boolean");
        return lua_toboolean(L, at);
    }
    if (option->option == SAROS_OPTION_LINGER && lua_type(L, at) == LUA_TBOOLEAN && !lua_toboolean(L, at)) return -1;
    if (lua_type(L, at) != LUA_TNUMBER || !whole || value < option->least || value > option->most)
        return wrong(L, arg, option, lua_pushfstring(L, "an integer from %d to %d", option->least, option->most));
    return (int)value;
}

int saros_socket_option(saros_stream *stream, saros_setting *setting, bool ask) {
    saros_op op = {.kind = SAROS_OP_OPTION, .handle = &stream->handle, .setting = setting, .size = ask};
    saros_submit_now(stream->rt->loop, &op); /* no driver has to wait for that */
    return (int)op.result;
}

static int set(saros_stream *stream, int option, int value) {
    return saros_socket_option(stream, &(saros_setting){.option = option, .value = value}, false);
}

/* keepalive = seconds is the flag and how long to be silent. */
static bool is_seconds(lua_State *L, const saros_known_option *option) {
    return option->option == SAROS_OPTION_KEEPALIVE && lua_type(L, -1) == LUA_TNUMBER;
}

void saros_socket_options_check(lua_State *L, int arg, const saros_known_option *known) {
    if (!lua_istable(L, arg)) return;
    for (; known->name != NULL; known++) {
        if (saros_option(L, arg, known->name) != LUA_TNIL) value_of(L, arg, -1, known + is_seconds(L, known));
        lua_pop(L, 1);
    }
}

int saros_socket_options_set(lua_State *L, int at, saros_stream *stream, const saros_known_option *known,
                             const char **which) {
    int error = 0;
    for (; known->name != NULL && error == 0 && lua_istable(L, at); known++) {
        if (saros_option(L, at, known->name) != LUA_TNIL) {
            const saros_known_option *option = known + is_seconds(L, known);
            *which = known->name;
            if (option != known) error = set(stream, known->option, 1);
            int value = value_of(L, at, -1, option);
            if (error == 0) error = set(stream, option->option, value);
        }
        lua_pop(L, 1);
    }
    return error;
}

bool saros_option_flag(lua_State *L, int arg, const char *name, bool otherwise) {
    if (!lua_istable(L, arg)) return otherwise;
    int type = saros_option(L, arg, name);
    if (type != LUA_TNIL && type != LUA_TBOOLEAN)
        luaL_argerror(L, arg, lua_pushfstring(L, "option '%s': boolean expected", name));
    bool value = type == LUA_TNIL ? otherwise : lua_toboolean(L, -1);
    lua_pop(L, 1);
    return value;
}

static int unknown(lua_State *L, const char *name) {
    return luaL_argerror(L, 2, lua_pushfstring(L, "unknown option '%s'", name));
}

/* No option's name has a zero in it. */
static const char *check_name(lua_State *L) {
    size_t      length;
    const char *name = luaL_checklstring(L, 2, &length);
    if (strlen(name) < length) unknown(L, name);
    return name;
}

/* stream:option(name[, value]) */
int saros_method_option(lua_State *L, saros_stream *stream) {
    const char               *name = check_name(L);
    const saros_known_option *option = saros_stream_knows;
    while (option->name != NULL && strcmp(option->name, name) != 0) option++;
    if (option->name == NULL) return unknown(L, name);
    bool          ask = lua_isnoneornil(L, 3);
    saros_setting setting = {.option = option->option, .value = ask ? 0 : value_of(L, 3, 3, option)};
    if (stream->rt == NULL) return saros_closed(L);
    int error = saros_socket_option(stream, &setting, ask);
    if (error < 0) return saros_fail(L, error, "option '%s': %s", name, saros_error_text(error));
    if (!ask) lua_settop(L, 1);
    else if (option->most == 0 || setting.value < 0) lua_pushboolean(L, setting.value > 0);
    else lua_pushinteger(L, setting.value);
    return 1;
}

/* saros._option(stream, name[, value]) -> true, or the value: any option that the core knows, by the name that it has
 * there; values are numbers, and booleans where 0 and 1 are meant. For modules of ours. */
static int any_option(lua_State *L) {
    static const char *const names[] = {
#define NAME(option, name) name,
        SAROS_OPTIONS(NAME)
#undef NAME
    };
    saros_stream *stream = saros_check_any(L);
    const char   *name = check_name(L);
    bool          ask = lua_isnoneornil(L, 3);
    saros_setting setting = {0};
    while (setting.option < SAROS_OPTION_KINDS && strcmp(names[setting.option], name) != 0) setting.option++;
    if (setting.option == SAROS_OPTION_KINDS) return unknown(L, name);
    if (lua_isboolean(L, 3)) setting.value = lua_toboolean(L, 3);
    else if (!ask) setting.value = (int)luaL_checkinteger(L, 3);
    if (stream->rt == NULL) return saros_closed(L);
    int error = saros_socket_option(stream, &setting, ask);
    if (error < 0) return saros_fail(L, error, "%s: %s", name, saros_error_text(error));
    if (ask) lua_pushinteger(L, setting.value);
    else lua_pushboolean(L, 1);
    return 1;
}

const luaL_Reg saros_option_functions[] = {{"_option", any_option}, {NULL, NULL}};
