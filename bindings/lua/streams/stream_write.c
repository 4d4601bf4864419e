/* stream_write.c: everything that sends: write, try_write, flush, shutdown, setvbuf.
 *
 * Owns the order of writers. One task writes at a time, the others queue; each call's bytes go out whole and in the
 * order of the calls. Without setvbuf a write returns when the kernel has taken everything: that is the back-pressure.
 * What setvbuf or try_write has kept (output.c) goes out before whatever is sent later.
 * Promises: a failed write says how many bytes went out; a cancelled one has sent a part, and the next writer goes on
 * behind it; what is sent is anchored in the stream while the kernel may read it, whatever becomes of the writer. */
#include <string.h>

#include "bindings/lua/streams/output.h"
#include "bindings/lua/streams/parts.h"

/* Whoever has the turn: first what was kept is sent, then … */
enum what { WRITE, SHUTDOWN, FLUSH, SENDFILE };
enum { HIGH = 64 * 1024 /* bytes that try_write keeps at most, once it keeps any */, LONGEST_BUFFER = 1 << 30 };

/* Whose turn it is while a thread still writes for a coroutine that was closed. */
static saros_task nobody;

/* The stream is the next writer's, if there is one. */
void saros_stream_pass_on(saros_stream *stream, const saros_task *task) {
    if (stream->writer != task) return;
    stream->writer = stream->window.copies & SAROS_LENT_OUT ? &nobody : NULL;
    stream->window.copies &= (uint8_t)~SAROS_COPIES_TO;
    saros_stream_unkeep(stream);
    if (stream->writer != NULL) return;
    if (stream->output != NULL && stream->output->flies) /* the op of a coroutine that was closed has ended now */
        saros_stream_kept_told(stream, task->op.result);
    saros_waiter *next = stream->writers;
    if (next == NULL) return;
    stream->writer = saros_waiter_task(next);
    saros_wake_first(&stream->writers, 0);
}

void saros_stream_lent_back(saros_stream *stream) {
    if (stream->rt == NULL) return;
    stream->window.copies &= (uint8_t)~SAROS_LENT_OUT;
    saros_stream_pass_on(stream, &nobody);
}

static int fail_write(lua_State *L, saros_stream *stream, saros_task *task, int code, size_t sent) {
    saros_stream_pass_on(stream, task);
    task->rt->cut = sent;
    if (code == SAROS_ECANCELED && saros_is_cancelled(task)) return saros_raise_cancelled(L, task);
    if (stream->rt == NULL) code = SAROS_ECLOSED;
    if (code == SAROS_ECLOSED) saros_closed(L);
    else saros_fail(L, code, "write: %s", saros_stream_why(stream, code));
    lua_pushinteger(L, (lua_Integer)sent);
    return 4;
}

static int fail(lua_State *L, saros_stream *stream, saros_task *task, enum what what, int code) {
    fail_write(L, stream, task, code, 0);
    if (what == WRITE || what == SENDFILE) return 4;
    lua_pop(L, 1); /* how many bytes */
    return 3;
}

/* Nothing is left to be done. */
static int done(lua_State *L, saros_stream *stream, saros_task *task) {
    saros_stream_pass_on(stream, task);
    lua_settop(L, 1);
    return saros_answer(L, task, 1);
}

/* ---- sending what is at 2 ------------------------------------------------------------------------------------- */

static int write_k(lua_State *L, int status, lua_KContext ctx);
static int shutdown_k(lua_State *L, int status, lua_KContext ctx);

/* Fills op: to send what is at 2, of which `sent` bytes are out. False: all are. Layers take no pieces. */
static bool fill(lua_State *L, const saros_stream *stream, saros_op *op, size_t sent) {
    size_t      size;
    const char *data = saros_parts_bytes(L, &size);
    if (data != NULL) {
        op->kind = SAROS_OP_SEND;
        op->data = data + sent;
        op->size = size - sent;
        return sent < size;
    }
    saros_parts *parts = lua_touserdata(L, 2);
    saros_piece *first = &parts->pieces[parts->next];
    if (parts->next == parts->count) return false;
    op->kind = stream->layer == NULL ? SAROS_OP_SENDV : SAROS_OP_SEND;
    op->size = stream->layer == NULL ? parts->count - parts->next : first->size;
    if (stream->layer == NULL) op->pieces = first;
    else op->data = first->data;
    return true;
}

static void count(lua_State *L, const saros_op *op) {
    size_t size;
    if (saros_parts_bytes(L, &size) == NULL) saros_parts_advance(lua_touserdata(L, 2), (size_t)op->result);
}

/* protected: 1 what is to be kept, 2 the stream. */
static int keep(lua_State *L) {
    saros_stream *stream = lua_touserdata(L, 2);
    lua_settop(L, 1);
    saros_anchor(L, stream->rt, &stream->writer);
    return 0;
}

bool saros_stream_keep(lua_State *L, saros_stream *stream, int index) {
    lua_pushvalue(L, index);
    lua_pushcfunction(L, keep);
    lua_insert(L, -2);
    lua_pushlightuserdata(L, stream);
    if (lua_pcall(L, 2, 0, 0) == LUA_OK) {
        stream->window.copies |= SAROS_KEEPS;
        return true;
    }
    lua_pop(L, 1);
    return false;
}

void saros_stream_unkeep(saros_stream *stream) {
    if (!(stream->window.copies & SAROS_KEEPS)) return;
    stream->window.copies &= (uint8_t)~SAROS_KEEPS;
    saros_drop(stream->rt, &stream->writer);
}

/* Most sends end at once. So that is tried first, and a place where to keep what is sent is made only where it has to be:
 * each connection would have to have one. */
bool saros_stream_send_from(lua_State *L, saros_stream *stream, saros_task *task, int index) {
    bool keeps = stream->window.copies & SAROS_KEEPS;
    task->op.at_once = !keeps;
    bool ended = saros_stream_send(stream, task);
    task->op.at_once = false;
    if (keeps || !ended || task->op.result != SAROS_EAGAIN) return ended;
    if (saros_stream_keep(L, stream, index)) return saros_stream_send(stream, task);
    task->op.result = SAROS_ENOMEM;
    return true;
}

static int send_rest(lua_State *L, saros_stream *stream, saros_task *task, size_t sent) {
    while (fill(L, stream, &task->op, sent)) {
        task->op.handle = &stream->handle;
        if (!saros_stream_send_from(L, stream, task, 2)) return saros_suspend(L, task, (lua_KContext)sent, write_k);
        if (task->op.result < 0) return fail_write(L, stream, task, (int)task->op.result, sent);
        count(L, &task->op);
        sent += (size_t)task->op.result;
    }
    return done(L, stream, task);
}

/* A send has ended. A cancel that came too late for it ends the write all the same, unless nothing is left to send. */
static int write_k(lua_State *L, int status, lua_KContext ctx) {
    saros_stream *stream = lua_touserdata(L, 1);
    saros_task   *task = saros_resumed_raw(L);
    saros_op      next;
    int64_t       result = task->op.result;
    size_t        sent = (size_t)ctx;
    bool          open = stream->rt != NULL;
    (void)status;
    if (result == SAROS_ECANCELED && open) sent += saros_stream_taken(stream); /* that goes out all the same */
    if (result < 0 || !open) return fail_write(L, stream, task, result < 0 ? (int)result : SAROS_ECLOSED, sent);
    sent += (size_t)result;
    count(L, &task->op);
    if (saros_is_cancelled(task) && fill(L, stream, &next, sent))
        return fail_write(L, stream, task, SAROS_ECANCELED, sent);
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

/* ---- what was kept -------------------------------------------------------------------------------------------- */

static int go(lua_State *L, saros_stream *stream, saros_task *task, enum what what);

/* It can never be sent. */
static void lose_kept(saros_stream *stream, int error) {
    if (stream->output->drains) stream->output->error = error;
    saros_output_drop(stream);
}

/* What a layer has taken goes out also where the wait for that was ended. */
void saros_stream_kept_told(saros_stream *stream, int64_t result) {
    stream->output->flies = stream->output->flushes = false;
    stream->output->sent += result < 0 ? saros_stream_taken(stream) : (size_t)result;
    if (result < 0 && result != SAROS_ECANCELED) lose_kept(stream, (int)result);
}

static int flush_k(lua_State *L, int status, lua_KContext ctx) {
    saros_stream *stream = lua_touserdata(L, 1);
    saros_task   *task = saros_resumed_raw(L);
    int64_t       result = task->op.result;
    (void)status;
    if (stream->rt == NULL) return fail(L, stream, task, (enum what)ctx, SAROS_ECLOSED);
    saros_stream_kept_told(stream, result);
    if (result < 0) return fail(L, stream, task, (enum what)ctx, (int)result);
    if (saros_is_cancelled(task)) return fail(L, stream, task, (enum what)ctx, SAROS_ECANCELED);
    return go(L, stream, task, (enum what)ctx);
}

int saros_stream_send_kept(saros_stream *stream, saros_task *task) {
    size_t      size;
    const char *data;
    while ((data = saros_output_next(stream, &size)) != NULL) {
        task->op.kind = SAROS_OP_SEND;
        task->op.handle = &stream->handle;
        task->op.data = data;
        task->op.size = size;
        stream->output->flies = !saros_stream_send(stream, task);
        if (stream->output->flies) return 0;
        if (task->op.result < 0) {
            lose_kept(stream, (int)task->op.result);
            return (int)task->op.result;
        }
        stream->output->sent += (size_t)task->op.result;
    }
    return 1;
}

static bool ends_line(lua_State *L, const saros_output *output) {
    size_t      size;
    const char *data = saros_parts_bytes(L, &size);
    return output->buffering == SAROS_LINE && memchr(data, '\n', size) != NULL;
}

/* Sends what is kept, and then does what is wanted. */
static int after_kept(lua_State *L, saros_stream *stream, saros_task *task, enum what what) {
    saros_output *output = stream->output;
    if (saros_output_pending(output) > 0) {
        int sent = saros_stream_send_kept(stream, task);
        output->flushes = sent == 0 && what == FLUSH;
        if (sent == 0) return saros_suspend(L, task, what, flush_k);
        if (sent < 0) return fail(L, stream, task, what, sent);
    }
    switch (what) {
    case WRITE: return send_rest(L, stream, task, 0);
    case SHUTDOWN: return shut(L, stream, task);
    case SENDFILE: return saros_sendfile_run(L, stream, task);
    default: return done(L, stream, task);
    }
}

/* A write to a stream that keeps things. What does not fit goes out with all that is there; what is longer than the
 * buffer is not put into it. */
static int write_kept(lua_State *L, saros_stream *stream, saros_task *task, saros_output *output) {
    size_t      size;
    const char *data = saros_parts_bytes(L, &size); /* NULL: it came in pieces, before there was a buffer */
    if (data == NULL || output->buffering == SAROS_UNBUFFERED || size > output->limit)
        return after_kept(L, stream, task, WRITE);
    if (saros_output_pending(output) + size > output->limit) {
        int sent = saros_stream_send_kept(stream, task);
        if (sent == 0) return saros_suspend(L, task, WRITE, flush_k);
        if (sent < 0) return fail(L, stream, task, WRITE, sent);
    }
    if (!saros_output_add(stream, data, size)) return fail(L, stream, task, WRITE, SAROS_ENOMEM);
    return ends_line(L, output) ? after_kept(L, stream, task, FLUSH) : done(L, stream, task);
}

/* The stream is the task's to write to. */
static int go(lua_State *L, saros_stream *stream, saros_task *task, enum what what) {
    if (stream->output != NULL && what == WRITE) return write_kept(L, stream, task, stream->output);
    return after_kept(L, stream, task, what);
}

/* ---- taking turns --------------------------------------------------------------------------------------------- */

/* It is this task's turn to write, or its wait for that was ended; or both, and then the turn is the next one's. */
static int turn_k(lua_State *L, int status, lua_KContext ctx) {
    saros_stream *stream = lua_touserdata(L, 1);
    saros_task   *task = saros_resumed_raw(L);
    (void)status;
    saros_wait_unlink(&task->wait);
    if (task->op.result >= 0 && saros_is_cancelled(task)) return fail_write(L, stream, task, SAROS_ECANCELED, 0);
    if (task->op.result < 0 || stream->rt == NULL)
        return fail(L, stream, task, (enum what)ctx, task->op.result < 0 ? (int)task->op.result : SAROS_ECLOSED);
    return go(L, stream, task, (enum what)ctx);
}

/* Takes the stream for writing, or queues. */
static int begin(lua_State *L, saros_stream *stream, enum what what, const char *name) {
    saros_task *task = saros_begin(L, name);
    if (stream->rt == NULL) {
        saros_closed(L);
        if (what != WRITE && what != SENDFILE) return 3;
        lua_pushinteger(L, 0);
        return 4;
    }
    if (stream->rt != task->rt) return luaL_error(L, "%s: the stream belongs to another loop", name);
    if (stream->writer != NULL) {
        saros_wait_on(task, &stream->writers);
        return saros_suspend(L, task, what, turn_k);
    }
    stream->writer = task;
    return go(L, stream, task, what);
}

int saros_stream_take_turn(lua_State *L, saros_stream *stream, const char *what) {
    return begin(L, stream, SENDFILE, what);
}

/* Only the plain socket takes pieces. */
static bool joins(const saros_stream *stream) { return stream->layer != NULL || stream->output != NULL; }

static int method_write(lua_State *L) {
    saros_stream *stream = saros_check_stream(L);
    if (stream->rt != NULL) stream->rt->cut = 0; /* should it fail before it has begun */
    saros_parts_take(L, joins(stream));
    return begin(L, stream, WRITE, "write");
}

static int method_shutdown(lua_State *L) {
    saros_stream *stream = saros_check_stream(L);
    lua_settop(L, 1);
    return begin(L, stream, SHUTDOWN, "shutdown");
}

static int method_flush(lua_State *L) {
    saros_stream *stream = saros_check_stream(L);
    lua_settop(L, 1);
    if (stream->rt == NULL) return saros_closed(L);
    if (saros_output_pending(stream->output) == 0) return 1; /* what was written is with the kernel */
    return begin(L, stream, FLUSH, "flush");
}

/* ---- what does not wait --------------------------------------------------------------------------------------- */

/* The body of the task that sends what try_write has kept. Where that fails, what was kept is gone; the next one who
 * writes is told by the kernel, and the next try_write by us, as a layer does not say so before it has tried. */
static int drained(lua_State *L, int status, lua_KContext ctx) {
    saros_stream *stream = lua_touserdata(L, lua_upvalueindex(2));
    (void)ctx;
    if (stream->output != NULL) stream->output->drains = false;
    return status == LUA_OK || status == LUA_YIELD ? 0 : lua_error(L);
}

static int drain(lua_State *L) {
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_pushcclosure(L, method_flush, 1);
    lua_pushvalue(L, lua_upvalueindex(2));
    return drained(L, lua_pcallk(L, 1, 0, 0, 0, drained), 0);
}

int saros_stream_send_now(saros_stream *stream, const char *data, size_t size, size_t *sent) {
    saros_op op = {.kind = SAROS_OP_SEND, .handle = &stream->handle, .at_once = true};
    for (size_t done = 0; done < size; done += (size_t)op.result, *sent += (size_t)op.result) {
        op.data = data + done;
        op.size = size - done;
        saros_submit_now(stream->rt->loop, &op); /* and never stays with the driver */
        if (op.result == SAROS_EAGAIN) return 0;
        if (op.result < 0) return (int)op.result;
    }
    return 0;
}

static int try_again(lua_State *L) { return saros_fail(L, SAROS_EAGAIN, "try_write: it would have to wait"); }

/* Never waits: all of it, to the kernel or kept here for it; or nothing. */
static int method_try_write(lua_State *L) {
    saros_stream *stream = saros_check_stream(L);
    size_t        size = saros_parts_take(L, true), pending, done = 0;
    if (stream->rt == NULL) return saros_closed(L);
    if (stream->rt != saros_loop_now(L, "try_write"))
        return luaL_error(L, "try_write: the stream belongs to another loop");
    const char   *data = saros_parts_bytes(L, &size);
    saros_output *output = stream->output;
    if (output != NULL && output->error < 0) {
        int error = output->error;
        output->error = 0;
        return saros_fail(L, error, "try_write: %s", saros_stream_why(stream, error));
    }
    pending = saros_output_pending(output);
    if (stream->writers != NULL || (stream->writer != NULL && !(output != NULL && output->flushes)))
        return try_again(L);
    if (pending > 0 && pending + size > HIGH) return try_again(L);
    if (pending == 0 && stream->layer == NULL && stream->writer == NULL) {
        int error = saros_stream_send_now(stream, data, size, &done);
        if (error < 0) return saros_fail(L, error, "try_write: %s", saros_stream_why(stream, error));
    }
    if (done < size) {
        if (output == NULL ||
            !output->drains) { /* before anything is kept, as this may raise; it runs when we have returned */
            lua_pushvalue(L, lua_upvalueindex(1));
            lua_pushvalue(L, 1);
            lua_pushcclosure(L, drain, 2);
            saros_spawn(L, stream->rt, 0, NULL);
        }
        if (!saros_output_add(stream, data + done, size - done)) return luaL_error(L, "try_write: not enough memory");
        stream->output->drains = true;
    }
    lua_settop(L, 1);
    return 1;
}

/* How many bytes of the last write that failed or was cancelled went out: an error that is raised has no room for it. For
 * who asks before anybody else runs. */
static int method_cut(lua_State *L) {
    saros_check_stream(L);
    lua_pushinteger(L, (lua_Integer)saros_loop_now(L, "_cut")->cut);
    return 1;
}

/* setvbuf(mode[, size]) as a file's; the size is 64 KiB where none is given. */
static int method_setvbuf(lua_State *L) {
    static const char *const modes[] = {"no", "full", "line", NULL};
    saros_stream            *stream = saros_check_stream(L);
    int                      mode = luaL_checkoption(L, 2, NULL, modes);
    lua_Integer              size = luaL_optinteger(L, 3, HIGH);
    luaL_argcheck(L, size >= 1 && size <= LONGEST_BUFFER, 3, "1 to 2^30 bytes expected");
    if (stream->rt == NULL) return saros_closed(L);
    if (mode != SAROS_UNBUFFERED || stream->output != NULL) {
        saros_output *output = saros_output_of(stream);
        if (output == NULL) return luaL_error(L, "setvbuf: not enough memory");
        output->buffering = (uint8_t)mode;
        output->limit = (size_t)size;
    }
    lua_settop(L, 1);
    return 1;
}

const luaL_Reg saros_write_methods[] = {{"write", method_write},
                                        {"try_write", method_try_write},
                                        {"shutdown", method_shutdown},
                                        {"flush", method_flush},
                                        {"setvbuf", method_setvbuf},
                                        {"_cut", method_cut},
                                        {NULL, NULL}};
