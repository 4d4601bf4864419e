/* option.c: what can be set on a stream or listener that is open, and asked for: saros._option, for modules of ours.
 *
 * The names are those of SAROS_OPTIONS in core/saros.h; values are numbers, and booleans where 0 and 1 are meant. */
#include <string.h>

#include "bindings/lua/streams/stream.h"

static int which(lua_State *L, int arg) {
    static const char *const names[] = {
#define NAME(option, name) name,
        SAROS_OPTIONS(NAME)
#undef NAME
    };
    const char *name = luaL_checkstring(L, arg);
    for (int i = 0; i < SAROS_OPTION_KINDS; i++)
        if (strcmp(names[i], name) == 0) return i;
    return luaL_argerror(L, arg, lua_pushfstring(L, "unknown option '%s'", name));
}

/* saros._option(stream, name[, value]) -> true, or the value */
static int option(lua_State *L) {
    saros_stream *stream = saros_check_any(L);
    saros_setting setting = {.option = which(L, 2)};
    bool          asks = lua_isnoneornil(L, 3);
    if (lua_isboolean(L, 3)) setting.value = lua_toboolean(L, 3);
    else if (!asks) setting.value = (int)luaL_checkinteger(L, 3);
    if (stream->rt == NULL) return saros_closed(L);
    saros_op op = {.kind = SAROS_OP_OPTION, .handle = &stream->handle, .setting = &setting, .size = asks};
    saros_submit_now(stream->rt->loop, &op); /* no driver has to wait for this */
    if (op.result < 0)
        return saros_fail(L, (int)op.result, "%s: %s", lua_tostring(L, 2), saros_error_text((int)op.result));
    if (asks) lua_pushinteger(L, setting.value);
    else lua_pushboolean(L, 1);
    return 1;
}

const luaL_Reg saros_option_functions[] = {{"_option", option}, {NULL, NULL}};
