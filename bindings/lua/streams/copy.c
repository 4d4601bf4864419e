/* copy.c: saros.copy: what one stream receives goes out on another, until it ends.
 *
 * Owns, while it runs, the reading of the one and the turn to write to the other. What was received goes from the loop's
 * scratch buffer to the kernel, so a connection costs no buffer and a message no garbage. Only where the other end does
 * not take it all at once it is kept in a block, which is made then and used again.
 * Promises: what `to` has kept goes out first; nothing is lost but where `to` failed in the middle: what is known not to
 * have been sent is read again from `from`. Neither stream is closed or shut down. The close of either ends it. */
#include <string.h>

#include "bindings/lua/streams/output.h"

enum { BLOCK = 64 * 1024 /* as much as is received at once */ };
enum { FROM = 1, TO, LIMIT, STATE, BLOCK_AT }; /* on the stack */

typedef struct copy {
    int64_t left;       /* to be copied yet */
    int64_t copied;     /* sent */
    size_t  size, sent; /* in the block; and of these */
    size_t  taken;      /* of the block by a layer: they go out also where the send that waits for that is ended */
} copy;

static int go_on(lua_State *L, saros_task *task, bool at_hand);

/* What has not been sent is there to be read. */
static void give_back(lua_State *L, saros_stream *from, copy *self) {
    size_t        rest = self->size - self->sent;
    saros_window *window = &from->window;
    if (rest == 0 || from->rt == NULL) return;
    if (!saros_window_own(from->rt->loop, window, rest)) {
        from->window.error = SAROS_ENOMEM; /* no later read may go on as if nothing were missing */
        return;
    }
    memmove(window->own->data + rest, window->own->data, window->left); /* nothing of it is taken */
    memcpy(window->own->data, (const char *)lua_touserdata(L, BLOCK_AT) + self->sent, rest);
    window->left += rest;
    window->scanned = 0;
    self->size = self->sent = 0;
}

/* Lets go of both streams. */
static void leave(lua_State *L, saros_task *task, copy *self) {
    saros_stream *from = lua_touserdata(L, FROM), *to = lua_touserdata(L, TO);
    if (from->reader == task) {
        from->reader = NULL;
        from->window.copies &= (uint8_t) ~(SAROS_COPIES_FROM | SAROS_COPIES_SENDING);
        give_back(L, from, self);
        saros_stream_settle(from);
    }
    saros_stream_pass_on(to, task);
}

static int fail(lua_State *L, saros_task *task, copy *self, const saros_stream *whose, int code) {
    const char *side = whose == lua_touserdata(L, FROM) ? "read" : "write";
    leave(L, task, self);
    if (code == SAROS_ECANCELED && saros_is_cancelled(task)) return saros_raise_cancelled(L, task);
    if (whose->rt == NULL || code == SAROS_ECLOSED || code == SAROS_ECANCELED) saros_closed(L);
    else saros_fail(L, code, "copy: %s: %s", side, saros_stream_why(whose, code));
    lua_pushinteger(L, self->copied);
    return 4;
}

/* What every continuation goes on with: whatever flew, flies no more. */
static saros_task *resumed(lua_State *L, saros_stream **from, saros_stream **to, copy **self) {
    saros_task *task = saros_resumed_raw(L);
    *from = lua_touserdata(L, FROM);
    *to = lua_touserdata(L, TO);
    *self = lua_touserdata(L, STATE);
    if ((*from)->rt != NULL) (*from)->window.copies &= (uint8_t)~SAROS_COPIES_SENDING;
    return task;
}

/* A send of the block has ended. */
static int sent_k(lua_State *L, int status, lua_KContext ctx) {
    saros_stream *from, *to;
    copy         *self;
    saros_task   *task = resumed(L, &from, &to, &self);
    int64_t       result = task->op.result;
    (void)status, (void)ctx;
    size_t sent = result < 0 ? self->taken : (size_t)result;
    self->sent += sent;
    self->copied += (int64_t)sent;
    if (result < 0 || to->rt == NULL) return fail(L, task, self, to, result < 0 ? (int)result : SAROS_ECLOSED);
    if (from->rt == NULL) return fail(L, task, self, from, SAROS_ECLOSED);
    if (self->sent < self->size && saros_is_cancelled(task)) return fail(L, task, self, to, SAROS_ECANCELED);
    return go_on(L, task, false);
}

/* Sends what is in the block. Less than 0: an error; 0: it flies; else all of it is sent. */
static int send_block(lua_State *L, saros_stream *from, saros_stream *to, saros_task *task, copy *self) {
    const char *block = lua_touserdata(L, BLOCK_AT);
    while (self->sent < self->size) {
        task->op.kind = SAROS_OP_SEND;
        task->op.handle = &to->handle;
        task->op.data = block + self->sent;
        task->op.size = self->size - self->sent;
        if (!saros_stream_send_from(L, to, task, BLOCK_AT)) {
            self->taken = saros_stream_taken(to);
            from->window.copies |= SAROS_COPIES_SENDING;
            return 0;
        }
        if (task->op.result < 0) return (int)task->op.result;
        self->sent += (size_t)task->op.result;
        self->copied += task->op.result;
    }
    return 1;
}

static void consume(saros_window *window, size_t size) {
    window->at += size;
    window->left -= size;
    window->scanned = 0;
}

static int new_block(lua_State *L) {
    lua_newuserdatauv(L, BLOCK, 0);
    return 1;
}

/* Raises nothing: both streams are ours just now. */
static bool make_block(lua_State *L) {
    if (!lua_isnil(L, BLOCK_AT)) return true;
    lua_pushcfunction(L, new_block);
    if (lua_pcall(L, 0, 1, 0) == LUA_OK) {
        lua_replace(L, BLOCK_AT);
        return true;
    }
    lua_pop(L, 1);
    return false;
}

/* Sends from where it was received, for as long as that need not wait; the rest moves into the block. 0, or an error. */
static int send_window(lua_State *L, saros_stream *from, saros_stream *to, copy *self) {
    saros_window *window = &from->window;
    size_t        size = (uint64_t)self->left < window->left ? (size_t)self->left : window->left;
    size_t        sent = 0;
    if (to->layer == NULL) {
        int error = saros_stream_send_now(to, window->at, size, &sent);
        consume(window, sent);
        self->left -= (int64_t)sent;
        self->copied += (int64_t)sent;
        size -= sent;
        if (error < 0) return error;
    }
    if (size == 0) return 0;
    if (!make_block(L)) return SAROS_ENOMEM;
    if (size > BLOCK) size = BLOCK;
    memcpy(lua_touserdata(L, BLOCK_AT), window->at, size);
    consume(window, size);
    self->left -= (int64_t)size;
    self->size = size;
    self->sent = 0;
    return 0;
}

static int received_k(lua_State *L, int status, lua_KContext ctx) {
    saros_stream *from, *to;
    copy         *self;
    saros_task   *task = resumed(L, &from, &to, &self);
    int64_t       result = task->op.result;
    (void)status, (void)ctx;
    if (to->rt == NULL) { /* what has come all the same is for the next reader */
        if (result >= 0 && from->rt != NULL) saros_stream_arrive(from, result);
        return fail(L, task, self, to, SAROS_ECLOSED);
    }
    if (from->rt == NULL || result == SAROS_ECLOSED || result == SAROS_ECANCELED)
        return fail(L, task, self, from, result < 0 ? (int)result : SAROS_ECLOSED);
    saros_stream_arrive(from, result);
    return go_on(L, task, false);
}

/* Until something has to wait. */
static int go_on(lua_State *L, saros_task *task, bool at_hand) {
    saros_stream *from = lua_touserdata(L, FROM), *to = lua_touserdata(L, TO);
    copy         *self = lua_touserdata(L, STATE);
    for (;;) {
        int sent = send_block(L, from, to, task, self);
        if (sent < 0) return fail(L, task, self, to, sent);
        if (sent == 0) {
            saros_stream_settle(from);
            return saros_suspend(L, task, 0, sent_k);
        }
        if (from->window.left > 0 && self->left > 0) {
            sent = send_window(L, from, to, self);
            if (sent < 0) return fail(L, task, self, to, sent);
            continue;
        }
        bool over = self->left == 0 || from->window.ended;
        if (!over && from->window.error < 0) return fail(L, task, self, from, from->window.error);
        if (over) {
            leave(L, task, self);
            lua_pushinteger(L, self->copied);
            return at_hand ? saros_answer(L, task, 1) : 1;
        }
        saros_stream_settle(from); /* what was received has been sent: this only gives the window back */
        if (!at_hand && saros_is_cancelled(task)) return fail(L, task, self, from, SAROS_ECANCELED);
        saros_stream_receive(from, task);
        return saros_suspend(L, task, 0, received_k);
    }
}

static int kept_k(lua_State *L, int status, lua_KContext ctx);

/* The turn to write to `to` is the task's. */
static int begin(lua_State *L, saros_task *task, bool at_hand) {
    saros_stream *from = lua_touserdata(L, FROM), *to = lua_touserdata(L, TO);
    if (to->output != NULL) {
        int sent = saros_stream_send_kept(to, task);
        if (sent < 0) return fail(L, task, lua_touserdata(L, STATE), to, sent);
        if (sent == 0) {
            from->window.copies |= SAROS_COPIES_SENDING;
            return saros_suspend(L, task, 0, kept_k);
        }
    }
    return go_on(L, task, at_hand);
}

/* A send of what `to` had kept has ended. */
static int kept_k(lua_State *L, int status, lua_KContext ctx) {
    saros_stream *from, *to;
    copy         *self;
    saros_task   *task = resumed(L, &from, &to, &self);
    int64_t       result = task->op.result;
    (void)status, (void)ctx;
    if (to->rt == NULL) return fail(L, task, self, to, SAROS_ECLOSED);
    if (to->output->flies) saros_stream_kept_told(to, result);
    if (from->rt == NULL) return fail(L, task, self, from, SAROS_ECLOSED);
    if (result < 0) return fail(L, task, self, to, (int)result);
    if (saros_is_cancelled(task)) return fail(L, task, self, to, SAROS_ECANCELED);
    return begin(L, task, false);
}

/* It is this task's turn to write to `to`, or its wait for that was ended. */
static int turn_k(lua_State *L, int status, lua_KContext ctx) {
    saros_stream *from, *to;
    copy         *self;
    saros_task   *task = resumed(L, &from, &to, &self);
    int64_t       result = task->op.result;
    (void)status, (void)ctx;
    saros_wait_unlink(&task->wait);
    if (from->rt == NULL) return fail(L, task, self, from, SAROS_ECLOSED);
    if (saros_is_cancelled(task)) return fail(L, task, self, to, SAROS_ECANCELED);
    if (result < 0 || to->rt == NULL) return fail(L, task, self, to, SAROS_ECLOSED);
    to->window.copies |= SAROS_COPIES_TO;
    return begin(L, task, false);
}

static int refuse(lua_State *L, int code) {
    if (code == SAROS_ECLOSED) saros_closed(L);
    else saros_fail(L, code, "copy: another task is reading this stream");
    lua_pushinteger(L, 0);
    return 4;
}

/* Whatever can be read and written, but is no stream of ours: copy_any.lua. */
static int copy_any(lua_State *L) {
    lua_settop(L, LIMIT);
    return saros_call_part(L, "_copy_any", NULL);
}

/* saros.copy(from, to[, n]) -> bytes | nil, message, code, bytes */
static int stream_copy(lua_State *L) {
    saros_lua  *lua = saros_state(L);
    lua_Integer limit = luaL_optinteger(L, LIMIT, LUA_MAXINTEGER);
    luaL_argcheck(L, limit >= 0, LIMIT, "0 bytes or more expected");
    luaL_checkany(L, TO);
    saros_stream *from = saros_test(L, lua, FROM, SAROS_T_STREAM), *to = saros_test(L, lua, TO, SAROS_T_STREAM);
    if (from == NULL && to != NULL && lua_isuserdata(L, FROM)) {
        const saros_file *file = saros_test(L, lua, FROM, SAROS_T_FILE);
        if (file != NULL && saros_sendfile_can(file)) {
            lua_settop(L, TO);
            lua_insert(L, FROM); /* the stream comes first there */
            return saros_sendfile(L, "copy", -1, limit);
        }
    }
    if (from == NULL || to == NULL) return copy_any(L);
    saros_task *task = saros_begin(L, "saros.copy");
    if (from->rt == NULL || to->rt == NULL) return refuse(L, SAROS_ECLOSED);
    if (from->rt != task->rt || to->rt != task->rt)
        return luaL_error(L, "saros.copy: the stream belongs to another loop");
    if (from->reader != NULL) return refuse(L, SAROS_EBUSY);
    lua_settop(L, TO);
    lua_pushinteger(L, limit);
    copy *self = lua_newuserdatauv(L, sizeof *self, 0);
    *self = (copy){.left = limit};
    saros_stream_begin_reading(from);
    lua_settop(L, BLOCK_AT);
    from->reader = task;
    from->window.copies |= SAROS_COPIES_FROM;
    if (to->writer != NULL) {
        from->window.copies |= SAROS_COPIES_SENDING;
        saros_wait_on(task, &to->writers);
        return saros_suspend(L, task, 0, turn_k);
    }
    to->writer = task;
    to->window.copies |= SAROS_COPIES_TO;
    return begin(L, task, true);
}

void saros_open_copy(lua_State *L) {
    static const luaL_Reg functions[] = {{"copy", stream_copy}, {NULL, NULL}};
    saros_add(L, functions);
}
