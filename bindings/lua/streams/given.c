/* given.c: streams on what is there already: saros.adopt, and saros.pair.
 *
 * Promises: a descriptor belongs to its stream from the moment adopt has returned it, and where it fails, or raises, to
 * the caller as before. Neither waits, so both may be called outside of tasks. */
#include "bindings/lua/streams/stream.h"

int saros_stream_adopt(lua_State *L, saros_rt *rt, saros_os_handle fd, size_t line_limit, size_t all_limit) {
    saros_stream *stream = saros_stream_new(L, rt, SAROS_T_STREAM, line_limit, all_limit);
    saros_op      op = {.kind = SAROS_OP_ADOPT, .handle = &stream->handle, .size = (size_t)fd};
    saros_submit_now(rt->loop, &op); /* no driver has to wait for this */
    if (op.result < 0) {
        saros_stream_unlink(stream);
        lua_pop(L, 1);
    } else if (stream->handle.sort & SAROS_LISTENS) {
        saros_push_meta(L, SAROS_T_LISTENER);
        lua_setmetatable(L, -2);
    }
    return (int)op.result;
}

static size_t limits(lua_State *L, int arg, size_t *all_limit) {
    static const char *const names[] = {"line_limit", "all_limit", NULL};
    saros_check_options(L, arg, names);
    *all_limit = saros_stream_limit(L, arg, "all_limit", SAROS_ALL_LIMIT);
    return saros_stream_limit(L, arg, "line_limit", SAROS_LINE_LIMIT);
}

/* saros.adopt(descriptor, options) -> stream or listener */
static int adopt(lua_State *L) {
    saros_rt   *rt = saros_loop_now(L, "saros.adopt");
    lua_Integer fd = luaL_checkinteger(L, 1);
    size_t      all_limit, line_limit = limits(L, 2, &all_limit);
    if ((saros_os_handle)fd != fd) fd = SAROS_NO_HANDLE; /* a number that none can have: as a closed one */
    int code = saros_stream_adopt(L, rt, (saros_os_handle)fd, line_limit, all_limit);
    if (code >= 0) return 1;
    return saros_fail(L, code, "adopt %lld: %s", (long long)luaL_checkinteger(L, 1),
                      code == SAROS_EOPNOTSUPP ? "no stream socket, pipe or terminal" : saros_error_text(code));
}

/* saros.pair(options) -> stream, stream */
static int pair(lua_State *L) {
    saros_rt     *rt = saros_loop_now(L, "saros.pair");
    size_t        all_limit, line_limit = limits(L, 1, &all_limit);
    saros_stream *first = saros_stream_new(L, rt, SAROS_T_STREAM, line_limit, all_limit);
    saros_stream *second = saros_stream_new(L, rt, SAROS_T_STREAM, line_limit, all_limit);
    saros_op      op = {.kind = SAROS_OP_PAIR, .handle = &first->handle, .accepted = &second->handle};
    saros_submit_now(rt->loop, &op); /* no driver has to wait for this */
    if (op.result >= 0) return 2;
    saros_stream_unlink(first);
    saros_stream_unlink(second);
    return saros_fail(L, (int)op.result, "pair: %s", saros_error_text((int)op.result));
}

/* saros._descriptor(stream or listener) -> the system's number; nil where it has none, or is closed */
static int descriptor(lua_State *L) {
    const saros_stream *stream = saros_check_any(L);
    if (stream->rt == NULL || stream->handle.os == SAROS_NO_HANDLE) return 0;
    lua_pushinteger(L, (lua_Integer)stream->handle.os);
    return 1;
}

const luaL_Reg saros_given_functions[] = {{"adopt", adopt}, {"pair", pair}, {"_descriptor", descriptor}, {NULL, NULL}};
