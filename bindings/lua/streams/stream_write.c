/* stream_write.c: everything that sends: write, shutdown, flush.
 *
 * Owns the order of writers. One task writes at a time, the others queue; each call's bytes go out whole and in the
 * order of the calls. A write returns when the kernel has taken everything: that is the back-pressure.
 * Promises: a failed write says how many bytes went out; a cancelled one has sent a part, and the next writer goes on
 * behind it; the string is anchored in the stream while the kernel may read it, whatever becomes of the writer. */
#include <string.h>

#include "bindings/lua/streams/stream.h"

enum what { WRITE, SHUTDOWN };

/* The stream is the next writer's, if there is one. */
void saros_stream_pass_on(saros_stream *stream, const saros_task *task) {
    if (stream->writer != task) return;
    stream->writer = NULL;
    saros_waiter *next = stream->writers;
    if (next == NULL) return;
    stream->writer = (saros_task *)((char *)next - offsetof(saros_task, wait));
    saros_wake_first(&stream->writers, 0);
}

static int fail_write(lua_State *L, saros_stream *stream, saros_task *task, int code, size_t sent) {
    saros_stream_pass_on(stream, task);
    stream->cut = sent;
    if (code == SAROS_ECANCELED && saros_is_cancelled(task)) return saros_raise_cancelled(L, task);
    if (stream->rt == NULL) code = SAROS_ECLOSED;
    if (code == SAROS_ECLOSED) saros_closed(L);
    else saros_fail(L, code, "write: %s", saros_stream_why(stream, code));
    lua_pushinteger(L, (lua_Integer)sent);
    return 4;
}

static int write_k(lua_State *L, int status, lua_KContext ctx);
static int shutdown_k(lua_State *L, int status, lua_KContext ctx);

/* Stack: 1 the stream, 2 the string, of which `sent` bytes are out. Where a send stays with the driver the string becomes
 * the stream's: the coroutine may be closed behind the loop's back, and the stream closes only when the send has ended. */
static int send_rest(lua_State *L, saros_stream *stream, saros_task *task, size_t sent) {
    size_t      size;
    const char *data = lua_tolstring(L, 2, &size);
    while (sent < size) {
        task->op.kind = SAROS_OP_SEND;
        task->op.handle = &stream->handle;
        task->op.data = data + sent;
        task->op.size = size - sent;
        if (!saros_stream_send(stream, task)) {
            lua_pushvalue(L, 2);
            lua_setiuservalue(L, 1, 1);
            return saros_suspend(L, task, (lua_KContext)sent, write_k);
        }
        if (task->op.result < 0) return fail_write(L, stream, task, (int)task->op.result, sent);
        sent += (size_t)task->op.result;
    }
    saros_stream_pass_on(stream, task);
    lua_settop(L, 1);
    return saros_answer(L, task, 1);
}

/* A send has ended. A cancel that came too late for it ends the write all the same, unless nothing is left to send. */
static int write_k(lua_State *L, int status, lua_KContext ctx) {
    saros_stream *stream = lua_touserdata(L, 1);
    saros_task   *task = saros_resumed_raw(L);
    (void)status;
    lua_pushnil(L);
    lua_setiuservalue(L, 1, 1);
    if (task->op.result < 0 || stream->rt == NULL)
        return fail_write(L, stream, task, task->op.result < 0 ? (int)task->op.result : SAROS_ECLOSED, (size_t)ctx);
    size_t sent = (size_t)ctx + (size_t)task->op.result;
    if (sent < lua_rawlen(L, 2) && saros_is_cancelled(task)) return fail_write(L, stream, task, SAROS_ECANCELED, sent);
    return send_rest(L, stream, task, sent);
}

static int shut(lua_State *L, saros_stream *stream, saros_task *task) {
    task->op.kind = SAROS_OP_SHUTDOWN;
    task->op.handle = &stream->handle;
    if (!saros_stream_send(stream, task)) return saros_suspend(L, task, 0, shutdown_k);
    return shutdown_k(L, LUA_OK, 0);
}

static int shutdown_k(lua_State *L, int status, lua_KContext ctx) {
    saros_stream *stream = lua_touserdata(L, 1);
    saros_task   *task = saros_resumed_raw(L);
    int           code = (int)task->op.result;
    (void)status, (void)ctx;
    saros_stream_pass_on(stream, task);
    if (code == SAROS_ECANCELED && saros_is_cancelled(task)) return saros_raise_cancelled(L, task);
    if (code == SAROS_ECLOSED) return saros_closed(L);
    if (code < 0) return saros_fail(L, code, "shutdown: %s", saros_stream_why(stream, code));
    lua_settop(L, 1);
    return 1;
}

/* It is this task's turn to write, or its wait for that was ended; or both, and then the turn is the next one's. */
static int turn_k(lua_State *L, int status, lua_KContext ctx) {
    saros_stream *stream = lua_touserdata(L, 1);
    saros_task   *task = saros_resumed_raw(L);
    (void)status;
    saros_wait_unlink(&task->wait);
    if (task->op.result >= 0 && saros_is_cancelled(task)) return fail_write(L, stream, task, SAROS_ECANCELED, 0);
    if (task->op.result < 0 || stream->rt == NULL) {
        fail_write(L, stream, task, task->op.result < 0 ? (int)task->op.result : SAROS_ECLOSED, 0);
        if (ctx == WRITE) return 4;
        lua_pop(L, 1); /* how many bytes */
        return 3;
    }
    return ctx == WRITE ? send_rest(L, stream, task, 0) : shut(L, stream, task);
}

/* Takes the stream for writing, or queues. */
static int begin(lua_State *L, saros_stream *stream, enum what what, const char *name) {
    saros_task *task = saros_begin(L, name);
    if (stream->rt == NULL) {
        saros_closed(L);
        if (what != WRITE) return 3;
        lua_pushinteger(L, 0);
        return 4;
    }
    if (stream->rt != task->rt) return luaL_error(L, "%s: the stream belongs to another loop", name);
    if (stream->writer != NULL) {
        saros_wait_on(task, &stream->writers);
        return saros_suspend(L, task, what, turn_k);
    }
    stream->writer = task;
    return what == WRITE ? send_rest(L, stream, task, 0) : shut(L, stream, task);
}

void saros_join_strings(lua_State *L) {
    int top = lua_gettop(L);
    for (int arg = 2; arg <= top; arg++) luaL_checklstring(L, arg, NULL);
    if (top == 1) lua_pushliteral(L, "");
    else if (top > 2) lua_concat(L, top - 1);
}

static int method_write(lua_State *L) {
    saros_stream *stream = saros_check_stream(L);
    saros_join_strings(L);
    return begin(L, stream, WRITE, "write");
}

static int method_shutdown(lua_State *L) {
    saros_stream *stream = saros_check_stream(L);
    lua_settop(L, 1);
    return begin(L, stream, SHUTDOWN, "shutdown");
}

/* Nothing is buffered here: what was written is with the kernel. */
static int method_flush(lua_State *L) {
    saros_stream *stream = saros_check_stream(L);
    if (stream->rt == NULL) return saros_closed(L);
    lua_settop(L, 1);
    return 1;
}

/* How many bytes of the last write that failed or was cancelled went out: an error that is raised has no room for it. For
 * who asks before anybody else runs. */
static int method_cut(lua_State *L) {
    const saros_stream *stream = saros_check_stream(L);
    size_t              out = stream->cut + (stream->layer != NULL ? stream->layer->taken(stream) : 0);
    lua_pushinteger(L, (lua_Integer)out);
    return 1;
}

const luaL_Reg saros_write_methods[] = {{"write", method_write},
                                        {"shutdown", method_shutdown},
                                        {"flush", method_flush},
                                        {"_cut", method_cut},
                                        {NULL, NULL}};
