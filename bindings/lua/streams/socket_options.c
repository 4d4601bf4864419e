/* socket_options.c: what can be said of a socket: in the options of connect, listen and serve, and as stream:option.
 *
 * Owns the names and what their values may be. Promises: options are checked before anything is opened; a name that there
 * is not raises. */
#include <string.h>

#include "bindings/lua/streams/socket_options.h"

enum { MOST_SECONDS = 32767, MOST_BYTES = 1 << 30 };

/* A flag is a boolean; where it has also a number, that is the option behind it in the same table. */
static const struct known {
    const char *name;
    int         option, least, most; /* most 0: a flag */
} known[] = {
    {"nodelay", SAROS_OPTION_NODELAY, 0, 0},
    {"keepalive", SAROS_OPTION_KEEPALIVE, 0, 0},
    {"keepalive_idle", SAROS_OPTION_KEEPALIVE_IDLE, 1, MOST_SECONDS},
    {"keepalive_interval", SAROS_OPTION_KEEPALIVE_INTERVAL, 1, MOST_SECONDS},
    {"keepalive_count", SAROS_OPTION_KEEPALIVE_COUNT, 1, 127},
    {"linger", SAROS_OPTION_LINGER, 0, MOST_SECONDS},
    {"send_buffer", SAROS_OPTION_SEND_BUFFER, 1, MOST_BYTES},
    {"receive_buffer", SAROS_OPTION_RECEIVE_BUFFER, 1, MOST_BYTES},
    {"ttl", SAROS_OPTION_TTL, 1, 255},
};
enum { COUNT = sizeof known / sizeof *known };

static int wrong(lua_State *L, int arg, const struct known *option, const char *what) {
    return luaL_argerror(L, arg, lua_pushfstring(L, "option '%s': %s expected", option->name, what));
}

/* The value at `at` as the number that is set; raises. */
static int value_of(lua_State *L, int arg, int at, const struct known *option) {
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

static int perform(saros_stream *stream, int option, int *value, bool ask) {
    saros_setting setting = {.option = option, .value = *value};
    saros_op      op = {.kind = SAROS_OP_OPTION, .handle = &stream->handle, .setting = &setting, .size = ask};
    saros_submit_now(stream->rt->loop, &op); /* no driver has to wait for that */
    *value = setting.value;
    return (int)op.result;
}

/* keepalive = seconds is the flag and how long to be silent. */
static bool is_seconds(lua_State *L, const struct known *option) {
    return option->option == SAROS_OPTION_KEEPALIVE && lua_type(L, -1) == LUA_TNUMBER;
}

void saros_socket_options_check(lua_State *L, int arg) {
    if (!lua_istable(L, arg)) return;
    for (int i = 0; i < COUNT; i++) {
        if (saros_option(L, arg, known[i].name) != LUA_TNIL)
            value_of(L, arg, -1, is_seconds(L, &known[i]) ? &known[i + 1] : &known[i]);
        lua_pop(L, 1);
    }
}

int saros_socket_options_set(lua_State *L, int at, saros_stream *stream, const char **which) {
    int error = 0;
    for (int i = 0; i < COUNT && error == 0 && lua_istable(L, at); i++) {
        if (saros_option(L, at, known[i].name) != LUA_TNIL) {
            const struct known *option = &known[i];
            int                 on = 1;
            *which = option->name;
            if (is_seconds(L, option)) {
                error = perform(stream, SAROS_OPTION_KEEPALIVE, &on, false);
                option++;
            }
            int value = value_of(L, at, -1, option);
            if (error == 0) error = perform(stream, option->option, &value, false);
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

/* stream:option(name[, value]) */
int saros_method_option(lua_State *L, saros_stream *stream) {
    const char         *name = luaL_checkstring(L, 2);
    const struct known *option = known;
    while (option < known + COUNT && strcmp(option->name, name) != 0) option++;
    if (option == known + COUNT) return luaL_argerror(L, 2, lua_pushfstring(L, "unknown option '%s'", name));
    bool ask = lua_isnoneornil(L, 3);
    int  value = ask ? 0 : value_of(L, 3, 3, option);
    if (stream->rt == NULL) return saros_closed(L);
    int error = perform(stream, option->option, &value, ask);
    if (error < 0) return saros_fail(L, error, "option '%s': %s", name, saros_error_text(error));
    if (!ask) lua_settop(L, 1);
    else if (option->most == 0 || value < 0) lua_pushboolean(L, value > 0);
    else lua_pushinteger(L, value);
    return 1;
}
