/* stdio.c: saros.stdin, saros.stdout, saros.stderr: streams on descriptors that are not ours.
 *
 * Whether a descriptor blocks is a property that all share who have inherited it: the shell, other processes, print and
 * io.write of this one. So it is never changed here: the loop waits until it is ready (POLL on a borrowed handle; on Windows a
 * thread reads), and then reads once, or writes no more than surely finds room. Owns the streams, one of each for a loop, from their first use to
 * its end; closing one does not close the descriptor. Promises: a read that is cancelled has taken nothing; what C's stdio
 * still has goes out before what is written here; a loop ends whatever is waited for.
 *
 * A file cannot be waited for: standard input from one is read by whom files are read (file_stdin.c); writing to one is left to
 * the system's cache. A driver without descriptors cannot wait: there reading is ENOSYS, and writing stops the thread, as print does. */
#include <stdio.h>

#include "bindings/lua/services/stdio.h"
#include "bindings/lua/streams/stream.h"

enum { BLOCK = 16 * 1024 };

typedef struct stdio {
    saros_layer   layer; /* first */
    saros_stream *stream;
    int           fd, error; /* error: nobody can wait for it */
    saros_asker   asker;     /* the reader's */
    saros_op      poll;      /* of the writer: */
    saros_task   *sender;
    const void   *data;
    size_t        size;
    char          block[BLOCK]; /* what was read last, lent to the stream */
} stdio;

static stdio *of(const saros_stream *stream) { return (stdio *)(void *)stream->layer; }

/* ---- reading ---------------------------------------------------------------------------------------------------- */

static void receive(saros_stream *stream, saros_task *task) {
    stdio *self = of(stream);
    if (self->error < 0) {
        saros_expect(task->rt->loop, &task->op);
        saros_complete(task->rt->loop, &task->op, self->error);
        return;
    }
    saros_stdio_wait(&self->asker, stream, task);
}

/* Where somebody else was quicker the stream asks again. */
static void received(saros_stream *stream, int64_t result) {
    stdio  *self = of(stream);
    int64_t got = result < 0 ? result : saros_stdio_read(self->fd, self->block, BLOCK);
    if (got == SAROS_EAGAIN) return;
    if (got == 0) stream->window.ended = true;
    else if (got < 0) stream->window.error = (int)got;
    else if (!saros_stream_feed(stream, self->block, (size_t)got)) stream->window.error = SAROS_ENOMEM;
}

/* ---- writing ---------------------------------------------------------------------------------------------------- */

static void wait_for_room(stdio *self, saros_loop *loop) {
    if (self->poll.state != SAROS_IDLE) return; /* of one that was cancelled */
    self->poll.kind = SAROS_OP_POLL;
    self->poll.handle = &self->stream->handle;
    self->poll.size = SAROS_WRITABLE;
    saros_submit(loop, &self->poll);
}

static void flush(int fd) {
    if (fd == 1) fflush(stdout);
    if (fd == 2) fflush(stderr);
}

/* Perhaps the one that waited for it has been cancelled. */
static void has_room(saros_loop *loop, saros_op *op, int64_t result) {
    stdio      *self = (stdio *)(void *)((char *)op - offsetof(stdio, poll));
    saros_task *task = self->sender;
    if (task == NULL || self->stream->writer != task || task->op.state != SAROS_FLYING) return;
    flush(self->fd);
    if (result >= 0) result = saros_stdio_write(self->fd, self->data, self->size, false);
    if (result == SAROS_EAGAIN) {
        wait_for_room(self, loop);
        return;
    }
    self->sender = NULL;
    saros_complete(loop, &task->op, result);
}

static bool send(saros_stream *stream, saros_task *task) {
    stdio *self = of(stream);
    flush(self->fd);
    if (task->op.kind == SAROS_OP_SHUTDOWN) task->op.result = SAROS_EOPNOTSUPP; /* it is open elsewhere, too */
    else if (self->error < 0 && self->error != SAROS_ENOSYS) task->op.result = self->error;
    else task->op.result = saros_stdio_write(self->fd, task->op.data, task->op.size, self->error < 0);
    if (task->op.result != SAROS_EAGAIN || task->op.at_once) return true;
    self->data = task->op.data;
    self->size = task->op.size;
    self->sender = task;
    saros_expect(task->rt->loop, &task->op);
    wait_for_room(self, task->rt->loop);
    return false;
}

/* ---- the stream ------------------------------------------------------------------------------------------------- */

static const char *why(const saros_stream *stream, int code) {
    (void)stream;
    return saros_error_text(code);
}

/* The reader's POLL ends with the handle. */
static void closing(saros_stream *stream) {
    stdio      *self = of(stream);
    saros_task *task = stream->writer;
    saros_stdio_forget(&self->asker, stream->rt->loop);
    if (task != NULL && task == self->sender && task->op.state == SAROS_FLYING)
        saros_complete(task->rt->loop, &task->op, SAROS_ECLOSED);
}

static void free_layer(saros_layer *layer, saros_loop *loop) {
    stdio *self = (stdio *)(void *)layer;
    saros_stdio_forget(&self->asker, loop);
    saros_abandon(loop, &self->poll);
    saros_realloc(loop, layer, sizeof(stdio), 0);
}

/* Pushes the loop's stream on the descriptor. */
static void make(lua_State *L, saros_rt *rt, int fd) {
    saros_stream *stream = saros_stream_new(L, rt, SAROS_T_STREAM, SAROS_LINE_LIMIT, SAROS_ALL_LIMIT);
    stdio        *self = saros_realloc(rt->loop, NULL, 0, sizeof *self);
    if (self == NULL) {
        saros_stream_unlink(stream);
        luaL_error(L, "not enough memory");
        return;
    }
    *self = (stdio){.layer = {.receive = receive,
                              .received = received,
                              .send = send,
                              .why = why,
                              .closing = closing,
                              .free = free_layer},
                    .stream = stream,
                    .fd = fd,
                    .poll = {.done = has_room}};
    stream->layer = &self->layer;
    saros_op op = {.kind = SAROS_OP_BORROW, .handle = &stream->handle, .size = (size_t)fd};
    saros_submit_now(rt->loop, &op); /* no driver has to wait for this */
    self->error = op.result < 0 ? (int)op.result : 0;
    if (!saros_stdio_waits && self->error != SAROS_ENOSYS)
        self->error = 0; /* it is no descriptor, and needs to be none */
}

void saros_push_stdio(lua_State *L, int fd) {
    static const char *const names[] = {"saros.stdin", "saros.stdout", "saros.stderr"};
    saros_rt                *rt = saros_loop_now(L, names[fd]);
    saros_push_anchored(L, rt, &names[fd]);
    if (!lua_isnil(L, -1)) return;
    lua_pop(L, 1);
    if (fd != 0 || !saros_push_stdin_file(L, rt)) make(L, rt, fd);
    saros_debug_excuse(L, rt);
    lua_pushvalue(L, -1);
    saros_anchor(L, rt, &names[fd]);
}
