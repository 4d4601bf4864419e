/* stream_read.c: everything that reads: read, read_some, read_exactly, read_until, lines.
 *
 * Receives until the window (window.c) has what is wanted. What was received stands in the loop's scratch buffer, lent
 * until this call suspends or returns; what is left over is then copied.
 * Promises: a failed or cancelled read keeps what was received; a second reader gets EBUSY and disturbs nobody; limits
 * bound what a peer can make us hold. */
#include "bindings/lua/streams/stream.h"

bool saros_stream_settle(saros_stream *stream) {
    if (stream->rt == NULL) return true;
    if (stream->window.left + stream->window.taken == 0) {
        if (stream->window.own != NULL || stream->window.lent) saros_window_forget(stream->rt->loop, &stream->window);
    } else if (stream->window.lent && !saros_window_own(stream->rt->loop, &stream->window, 0)) {
        stream->window.error = SAROS_ENOMEM; /* no later read may go on as if they were not */
        stream->window.left = stream->window.taken = 0;
        return false;
    }
    return true;
}

/* ---- receive until it is enough ------------------------------------------------------------------------------- */

static int received(lua_State *L, int status, lua_KContext ctx);

static int pump(lua_State *L, saros_stream *stream, saros_task *task, lua_KContext ctx, bool at_hand) {
    int pushed = saros_window_attempt(L, &stream->window, &ctx);
    if (pushed == SAROS_NOT_ENOUGH && stream->window.error < 0) {
        saros_window_give_back(&stream->window);
        pushed = saros_fail(L, stream->window.error, "read: %s", saros_stream_why(stream, stream->window.error));
    }
    bool too_late = pushed == SAROS_NOT_ENOUGH && !at_hand && saros_is_cancelled(task); /* for what has just ended */
    if (too_late) saros_window_give_back(&stream->window);
    if (pushed != SAROS_NOT_ENOUGH) stream->window.taken = 0;
    if (!saros_stream_settle(stream)) luaL_error(L, "stream: not enough memory for what was received");
    if (too_late) return saros_raise_cancelled(L, task);
    if (pushed != SAROS_NOT_ENOUGH) return at_hand ? saros_answer(L, task, pushed) : pushed;
    saros_stream_receive(stream, task);
    return saros_suspend(L, task, ctx, received);
}

void saros_stream_receive(saros_stream *stream, saros_task *task) {
    stream->reader = task;
    if (stream->layer != NULL && stream->layer->receive != NULL) {
        stream->layer->receive(stream, task);
        return;
    }
    task->op.kind = SAROS_OP_RECV;
    task->op.handle = &stream->handle;
    task->op.buffer = NULL; /* lent */
    saros_submit(task->rt->loop, &task->op);
}

void saros_stream_arrive(saros_stream *stream, int64_t result) {
    if (stream->layer != NULL) stream->layer->received(stream, result);
    else if (result == 0) stream->window.ended = true;
    else if (result < 0) stream->window.error = (int)result;
    else if (!saros_stream_feed(stream, saros_lent(stream->rt->loop), (size_t)result))
        stream->window.error = SAROS_ENOMEM;
}

static int received(lua_State *L, int status, lua_KContext ctx) {
    saros_stream *stream = lua_touserdata(L, 1);
    saros_task   *task = saros_resumed_raw(L);
    int64_t       result = task->op.result;
    (void)status;
    if (stream->reader == task) stream->reader = NULL;
    if (stream->rt == NULL || result == SAROS_ECLOSED) return saros_closed(L);
    if (result == SAROS_ECANCELED) {
        saros_window_give_back(&stream->window);
        saros_resumed(L, &result);
        return saros_closed(L);
    }
    saros_stream_arrive(stream, result);
    if (stream->window.error == SAROS_ENOMEM) return luaL_error(L, "stream: not enough memory for what was received");
    return pump(L, stream, task, ctx, false);
}

void saros_streams_forget(saros_task *task) {
    for (saros_stream *stream = task->rt->streams; stream != NULL; stream = stream->next) {
        saros_stream_pass_on(stream, task);
        if (stream->reader != task) continue;
        int64_t got = task->op.result;
        bool    sending = stream->window.copies & SAROS_COPIES_SENDING;
        stream->reader = NULL;
        stream->window.copies &= (uint8_t) ~(SAROS_COPIES_FROM | SAROS_COPIES_SENDING);
        if (task->op.kind == SAROS_OP_RECVFROM) continue; /* it has taken nothing */
        saros_window_give_back(&stream->window);
        if (got < 0 || sending) continue;
        saros_stream_arrive(stream, got);
        if (stream->window.error != SAROS_ENOMEM &&
            (!stream->window.lent || saros_window_own(task->rt->loop, &stream->window, 0)))
            continue;
        stream->window.error = SAROS_ENOMEM;
        stream->window.left = stream->window.taken = 0;
    }
}

void saros_stream_begin_reading(saros_stream *stream) {
    if (stream->window.lent) { /* memory ran out in the middle of the last call: what it was lent is gone by now */
        stream->window.error = SAROS_ENOMEM;
        saros_window_forget(stream->rt->loop, &stream->window);
    }
    saros_window_give_back(&stream->window); /* as above; and that call looked for something else */
}

static int start(lua_State *L, saros_stream *stream, lua_KContext ctx, const char *what) {
    saros_task *task = saros_begin(L, what);
    if (stream->rt == NULL) return saros_closed(L);
    if (stream->reader != NULL) return saros_fail(L, SAROS_EBUSY, "%s: another task is reading this stream", what);
    if (stream->rt != task->rt) return luaL_error(L, "%s: the stream belongs to another loop", what);
    saros_stream_begin_reading(stream);
    return pump(L, stream, task, ctx, true);
}

/* ---- the methods ---------------------------------------------------------------------------------------------- */

static int method_read(lua_State *L) {
    saros_stream *stream = saros_check_stream(L);
    return start(L, stream, saros_read_arguments(L), "read");
}

static int method_read_some(lua_State *L) {
    saros_stream *stream = saros_check_stream(L);
    return start(L, stream, saros_read_some_arguments(L), "read_some");
}

static int method_read_exactly(lua_State *L) {
    saros_stream *stream = saros_check_stream(L);
    return start(L, stream, saros_read_exactly_arguments(L), "read_exactly");
}

static int method_read_until(lua_State *L) {
    saros_stream *stream = saros_check_stream(L);
    return start(L, stream, saros_read_until_arguments(L, stream->window.line_limit), "read_until");
}

static int method_lines(lua_State *L) {
    saros_check_stream(L);
    return saros_read_lines(L, method_read);
}

const luaL_Reg saros_read_methods[] = {{"read", method_read},
                                       {"read_some", method_read_some},
                                       {"read_exactly", method_read_exactly},
                                       {"read_until", method_read_until},
                                       {"lines", method_lines},
                                       {NULL, NULL}};
