/* buffer.c: saros.buffer.
 *
 * Owns nothing: a buffer is its userdata, which never moves or grows, so that a driver may work on it while it is anchored.
 * Promises: no method leaves its room; none waits. */
#include <string.h>

#include "bindings/lua/streams/buffer.h"

#define LARGEST (1 << 30) /* bytes */

static saros_buffer *check(lua_State *L) { return saros_check(L, 1, SAROS_T_BUFFER); }

/* saros.buffer(n): room for n bytes, and none in it. */
static int buffer_new(lua_State *L) {
    lua_Integer room = luaL_checkinteger(L, 1);
    luaL_argcheck(L, room >= 1 && room <= LARGEST, 1, "1 to 2^30 bytes expected");
    saros_buffer *buffer = saros_new(L, saros_state(L), SAROS_T_BUFFER, sizeof *buffer + (size_t)room, 0);
    buffer->room = (size_t)room;
    return 1;
}

static int method_len(lua_State *L) {
    lua_pushinteger(L, (lua_Integer)check(L)->size);
    return 1;
}

static int method_capacity(lua_State *L) {
    lua_pushinteger(L, (lua_Integer)check(L)->room);
    return 1;
}

/* As string.sub's: from the end where it is below 0; clipped to 0..size + 1. */
static size_t place(lua_Integer at, size_t size) {
    if (at < 0) at = at < -(lua_Integer)size ? 0 : (lua_Integer)size + at + 1;
    return at > (lua_Integer)size ? size + 1 : (size_t)at;
}

static int method_sub(lua_State *L) {
    const saros_buffer *buffer = check(L);
    size_t              first = place(luaL_optinteger(L, 2, 1), buffer->size);
    size_t              last = place(luaL_optinteger(L, 3, -1), buffer->size);
    if (first < 1) first = 1;
    if (last > buffer->size) last = buffer->size;
    lua_pushlstring(L, buffer->data + first - 1, first <= last ? last - first + 1 : 0);
    return 1;
}

static int method_set(lua_State *L) {
    size_t        size;
    saros_buffer *buffer = check(L);
    const char   *text = luaL_checklstring(L, 2, &size);
    luaL_argcheck(L, size <= buffer->room, 2, "more bytes than the buffer has room for");
    memcpy(buffer->data, text, size);
    buffer->size = size;
    lua_settop(L, 1);
    return 1;
}

static int method_tostring(lua_State *L) {
    const saros_buffer *buffer = check(L);
    lua_pushfstring(L, "saros.buffer: %I of %I bytes", (lua_Integer)buffer->size, (lua_Integer)buffer->room);
    return 1;
}

void saros_open_buffer(lua_State *L) {
    static const luaL_Reg methods[] = {
        {"capacity", method_capacity}, {"sub", method_sub}, {"set", method_set}, {NULL, NULL}};
    static const luaL_Reg meta[] = {{"__len", method_len}, {"__tostring", method_tostring}, {NULL, NULL}};
    static const luaL_Reg functions[] = {{"buffer", buffer_new}, {NULL, NULL}};
    saros_type_make(L, SAROS_T_BUFFER, "saros.buffer", methods, meta);
    saros_add(L, functions);
}
