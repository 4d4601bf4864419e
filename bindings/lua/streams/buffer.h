/* buffer.h: saros.buffer: bytes in one place that is used again and again, for reading and writing without garbage. */
#ifndef SAROS_BUFFER_H
#define SAROS_BUFFER_H

#include "bindings/lua/runtime.h"

typedef struct saros_buffer {
    size_t size, room; /* bytes that are in it; that fit */
    char   data[];
} saros_buffer;

static inline saros_buffer *saros_test_buffer(lua_State *L, int index) {
    return lua_type(L, index) == LUA_TUSERDATA ? saros_test(L, saros_state(L), index, SAROS_T_BUFFER) : NULL;
}

#endif
