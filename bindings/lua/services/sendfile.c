/* sendfile.c: stream:sendfile, and saros.copy from a file to a stream: bytes of a file go out without passing through here.
 *
 * The kernel sends piece by piece. As there is no call that would not wait for the disk, it does so on another thread
 * (service_sendfile.c), but here and at once what the system has in memory: so it does with most, and where a stream takes
 * little at a time the way to a thread and back would cost more than a copy. Between two pieces the loop waits until the
 * stream takes more. What is small is copied, where the kernel has no such call, or the stream encrypts, all is.
 * Owns the turn to write for the time of the whole call, so nothing comes between its bytes; without an offset also the file.
 * Promises: once it has ended nothing more is sent, also where it was cancelled, which therefore takes the time of the
 * piece that is under way; the close of either end ends it; no more than was asked for goes out, and no less but where the file
 * ends. The file's own position stands behind what was sent where no offset was given, also where that failed, and else stays. */
#include "bindings/lua/services/sendfile.h"

enum {
    SMALL = 192 * 1024,        /* bytes, and fewer, that are rather copied: 192 KiB cost as much as a job */
    BLOCK = 64 * 1024,         /* read at once, where it is copied */
    LEAST_BLOCK = 4096,        /* of these: for files of unknown length, as those of /proc */
    PIECE = 512 * 1024,        /* of the kernel's: less costs more, and more is not cheaper */
    AT_HAND = 256 * 1024,      /* sent at once at most, if it is in memory */
    MOST_UNANSWERED = 1 << 20, /* bytes that went out without waiting for anything: then it gives way once */
    STREAM = 1,
    SENDING = 2 /* on the stack */
};
enum waits { FOR_TURN, FOR_FILE, FOR_PIECE, FOR_SEND, FOR_ROOM, FOR_OTHERS };

static int resumed(lua_State *L, int status, lua_KContext waited);
static int wait_for_room(lua_State *L, saros_sending *self, saros_task *task);

/* ---- the end ----------------------------------------------------------------------------------------------------- */

static void list(saros_sending *self, saros_task *task) {
    saros_file *file = self->file;
    self->task = task;
    self->next = file->sendings;
    if (file->sendings != NULL) file->sendings->prev = self;
    file->sendings = self;
    self->listed = true;
}

static void unlist(saros_sending *self) {
    if (!self->listed) return;
    if (self->prev != NULL) self->prev->next = self->next;
    else self->file->sendings = self->next;
    if (self->next != NULL) self->next->prev = self->prev;
    self->next = self->prev = NULL;
    self->listed = false;
}

/* Takes the file's position along, and gives the file to the next. */
static void leave_file(saros_sending *self, saros_task *task) {
    saros_file *file = self->file;
    unlist(self);
    if (self->moves && self->settled && file->rt != NULL && file->user == task) {
        saros_file_drop_read(file);
        file->end = self->at;
    }
    saros_file_leave(file, task);
}

void saros_sendings_forget(saros_file *file, const saros_task *task) {
    for (saros_sending *self = file->sendings, *next; self != NULL; self = next) {
        next = self->next;
        if (self->task == task) leave_file(self, self->task);
    }
}

void saros_sendings_end(saros_file *file) {
    while (file->sendings != NULL) {
        saros_sending *self = file->sendings;
        unlist(self);
        saros_cancel(self->task->rt->loop, &self->task->op); /* wherever it waits; there it sees why */
    }
}

static void leave(saros_sending *self, saros_task *task) {
    leave_file(self, task);
    saros_stream_pass_on(self->stream, task);
}

static int fail(lua_State *L, saros_sending *self, saros_task *task, int code) {
    const saros_stream *stream = self->stream;
    const saros_file   *file = self->file;
    leave(self, task);
    if (code == SAROS_ECANCELED && saros_is_cancelled(task)) return saros_raise_cancelled(L, task);
    if (stream->rt == NULL) saros_closed(L);
    else if (file->rt == NULL) saros_fail(L, SAROS_ECLOSED, "%s %s: the file is closed", self->what, file->path);
    else saros_fail(L, code, "%s %s: %s", self->what, file->path, saros_stream_why(stream, code));
    lua_pushinteger(L, self->sent);
    return 4;
}

static int done(lua_State *L, saros_sending *self, saros_task *task) {
    leave(self, task);
    lua_pushinteger(L, self->sent);
    return saros_answer(L, task, 1);
}

/* ---- piece by piece ---------------------------------------------------------------------------------------------- */

static void count(saros_sending *self, int64_t sent) {
    self->at += sent;
    self->left -= sent;
    self->sent += sent;
}

/* Whether what is to be sent, as far as that is known, is rather copied. */
static void choose(saros_sending *self) {
    int64_t rest = self->file->size - self->at;
    if (rest > SMALL && self->left > SMALL) self->copied = SMALL;
}

/* More than 0: the block is out. 0: the send flies. Else an error. */
static int send_block(saros_sending *self, saros_task *task) {
    while (self->out < self->filled) {
        task->op.kind = SAROS_OP_SEND;
        task->op.handle = &self->stream->handle;
        task->op.data = self->block + self->out;
        task->op.size = self->filled - self->out;
        if (!saros_stream_send(self->stream, task)) return 0;
        if (task->op.result < 0) return (int)task->op.result;
        self->out += (size_t)task->op.result;
        count(self, task->op.result);
    }
    return 1;
}

/* Fills the block with what the system has in memory, if this is to be copied. False: it did not. */
static bool fill_block(saros_sending *self) {
    if (self->kernel && self->copied >= SMALL) return false;
    size_t  size = (uint64_t)self->left < self->room ? (size_t)self->left : self->room;
    int64_t got = saros_file_peek(self->file, self->block, size, self->at);
    if (got < 0) return false;
    self->ended = got == 0;
    self->filled = (size_t)got;
    self->out = 0;
    self->copied += got;
    self->unanswered += (size_t)got;
    return true;
}

static int begin_piece(lua_State *L) {
    lua_pushinteger(L, saros_sending_begin(L, 1));
    return 1;
}

static int make_readable(lua_State *L) {
    lua_pushinteger(L, saros_file_make_readable(L, lua_touserdata(L, 1)));
    return 1;
}

/* Calls one of these with what is on top; none may raise here, where turns are to be passed on. */
static int protect(lua_State *L, lua_CFunction function) {
    lua_pushcfunction(L, function);
    lua_insert(L, -2);
    int result = lua_pcall(L, 1, 1, 0) == LUA_OK ? (int)lua_tointeger(L, -1) : SAROS_ENOMEM;
    lua_pop(L, 1);
    return result;
}

/* Begins the next piece of those that take a thread. 0 or an error. */
static int start_piece(lua_State *L, saros_sending *self) {
    size_t most = self->kernel ? PIECE : self->room;
    self->reads = !self->kernel;
    self->asked = (uint64_t)self->left < most ? (size_t)self->left : most;
    lua_pushvalue(L, SENDING);
    return protect(L, begin_piece);
}

/* A piece has ended. 0 or an error. */
static int took_piece(saros_sending *self) {
    self->unanswered = 0;
    if (self->reads) {
        if (self->error < 0) return self->error;
        self->ended = self->got == 0;
        self->filled = (size_t)self->got;
        self->out = 0;
        return 0;
    }
    count(self, self->got);
    switch (self->error) {
    case SAROS_EEOF: self->ended = true; return 0;
    case SAROS_EINVAL:
    case SAROS_EBADF:
    case SAROS_ENOSYS:
    case SAROS_EOPNOTSUPP: self->kernel = false; return 0; /* not with this file, or not into this pipe */
    default: return self->error;
    }
}

/* Sends what is in memory. 1: some of it is out, or the file has ended; 0: it is not there; or an error. */
static int send_at_hand(saros_sending *self) {
    saros_file *file = self->file;
    size_t      size = (uint64_t)self->left < AT_HAND ? (size_t)self->left : AT_HAND;
    if (!self->kernel || !saros_file_at_hand(file, self->at, size)) return 0;
    self->reads = false;
    self->asked = size;
    self->got = 0;
    self->error = 0;
    self->from = file->fd;
    self->to = (int)self->stream->handle.os;
    saros_send_piece(self);
    self->from = self->to = -1;
    size_t before = self->unanswered + (size_t)self->got;
    int    error = took_piece(self);
    self->unanswered = before;
    return error < 0 ? error : 1;
}

/* Until something has to wait. */
static int go_on(lua_State *L, saros_sending *self, saros_task *task) {
    for (;;) {
        int sent = send_block(self, task);
        if (sent < 0) return fail(L, self, task, sent);
        if (sent == 0) return saros_suspend(L, task, FOR_SEND, resumed);
        if (self->left == 0 || self->ended) return done(L, self, task);
        if (saros_is_cancelled(task)) return fail(L, self, task, SAROS_ECANCELED);
        if (self->unanswered >= MOST_UNANSWERED) {
            saros_requeue(task);
            return saros_suspend(L, task, FOR_OTHERS, resumed);
        }
        if (fill_block(self)) continue;
        int error = send_at_hand(self);
        if (error > 0) continue;
        if (error == SAROS_EAGAIN) return wait_for_room(L, self, task);
        if (error == 0) error = start_piece(L, self);
        if (error < 0) return fail(L, self, task, error);
        if (saros_job_is_out(&self->fs.job)) return saros_job_wait(L, task, &self->fs.job, FOR_PIECE, resumed);
        error = took_piece(self); /* in a simulated world */
        if (error < 0) return fail(L, self, task, error);
    }
}

/* What was written to the file goes there first, and where it stands is found out. */
static int settle(lua_State *L, saros_sending *self, saros_task *task) {
    saros_file *file = self->file;
    for (int error = 1; error != 0;) {
        if (saros_job_is_out(&file->fs.job)) return saros_job_wait(L, task, &file->fs.job, FOR_FILE, resumed);
        lua_getiuservalue(L, SENDING, 1);
        error = protect(L, make_readable);
        if (error < 0) return fail(L, self, task, error);
    }
    self->settled = true;
    if (self->moves) self->at = saros_file_position(file);
    else saros_file_pass_on(file, task);
    choose(self);
    return go_on(L, self, task);
}

static int wait_for_room(lua_State *L, saros_sending *self, saros_task *task) {
    task->op.kind = SAROS_OP_POLL;
    task->op.handle = &self->stream->handle;
    task->op.size = SAROS_WRITABLE;
    saros_submit(task->rt->loop, &task->op); /* also where there is room by now: this does not call itself again */
    return saros_suspend(L, task, FOR_ROOM, resumed);
}

static int resumed(lua_State *L, int status, lua_KContext waited) {
    saros_sending *self = lua_touserdata(L, SENDING);
    saros_stream  *stream = self->stream;
    saros_task    *task = saros_resumed_raw(L);
    int64_t        result = task->op.result;
    (void)status;
    saros_wait_unlink(&task->wait);
    if (waited == FOR_PIECE) {
        if (saros_job_is_out(&self->fs.job)) { /* it is to end; until then it may still send */
            saros_job_give_up(&self->fs.job);
            return saros_job_wait(L, task, &self->fs.job, FOR_PIECE, resumed);
        }
        result = took_piece(self);
    } else if (waited == FOR_SEND) {
        self->unanswered = 0;
        /* what a layer has taken goes out, whatever becomes of the write */
        int64_t sent = result == SAROS_ECANCELED ? (int64_t)saros_stream_taken(stream) : result;
        if (sent > 0) {
            self->out += (size_t)sent;
            count(self, sent);
        }
    } else {
        self->unanswered = 0;
    }
    if (stream->rt == NULL || self->file->rt == NULL) return fail(L, self, task, SAROS_ECLOSED);
    bool full = waited == FOR_PIECE && result == SAROS_EAGAIN;
    if (result < 0 && !full) return fail(L, self, task, (int)result);
    bool over = self->left == 0 || (self->ended && self->out == self->filled);
    if (saros_is_cancelled(task) && !over) return fail(L, self, task, SAROS_ECANCELED);
    if (waited == FOR_TURN || waited == FOR_FILE) return settle(L, self, task);
    return full && !over ? wait_for_room(L, self, task) : go_on(L, self, task);
}

/* ---- the beginning ----------------------------------------------------------------------------------------------- */

int saros_sendfile_run(lua_State *L, saros_stream *stream, saros_task *task) {
    saros_sending *self = lua_touserdata(L, SENDING);
    saros_file    *file = self->file;
    stream->window.copies |= SAROS_COPIES_TO;
    if (!saros_stream_keep(L, stream, SENDING)) return fail(L, self, task, SAROS_ENOMEM);
    if (file->rt == NULL) return fail(L, self, task, SAROS_ECLOSED);
    if (self->moves && file->reader != NULL) return fail(L, self, task, SAROS_EBUSY);
    list(self, task);
    self->kernel = saros_kernel_sends_files && stream->layer == NULL && task->rt->world == NULL &&
                   stream->handle.os != SAROS_NO_HANDLE;
    if (!self->moves && file->pending_size == 0) {
        choose(self);
        return go_on(L, self, task);
    }
    if (self->moves) file->reader = task;
    if (!saros_file_take(file, task)) return saros_suspend(L, task, FOR_TURN, resumed);
    return settle(L, self, task);
}

static int refuse(lua_State *L, const saros_file *file, int code, const char *what, const char *why) {
    saros_fail(L, code, "%s %s: %s", what, file->path, why);
    lua_pushinteger(L, 0);
    return 4;
}

static int closed(lua_State *L) {
    saros_closed(L);
    lua_pushinteger(L, 0);
    return 4;
}

bool saros_sendfile_can(const saros_file *file) { return file->rt != NULL && file->reads && file->seekable; }

/* Stack: 1 the stream, 2 the file. */
int saros_sendfile(lua_State *L, const char *what, int64_t offset, int64_t size) {
    saros_stream     *stream = lua_touserdata(L, 1);
    saros_file       *file = lua_touserdata(L, 2);
    const saros_task *task = saros_begin(L, what);
    if (stream->rt == NULL) return closed(L);
    if (file->rt == NULL) return refuse(L, file, SAROS_ECLOSED, what, "the file is closed");
    if (file->rt != task->rt) return luaL_error(L, "%s: the file belongs to another loop", what);
    if (!file->reads) return refuse(L, file, SAROS_EBADF, what, "the file is open for writing only");
    if (!file->seekable)
        return refuse(L, file, SAROS_EOPNOTSUPP, what, "it has no places to begin at: saros.copy reads and writes it");
    if (offset < 0 && file->reader != NULL)
        return refuse(L, file, SAROS_EBUSY, what, "another task is reading this file");
    int64_t room = offset < file->size && file->size - offset < BLOCK ? file->size - (offset > 0 ? offset : 0) : BLOCK;
    if (room > size) room = size;
    if (room < LEAST_BLOCK) room = LEAST_BLOCK;
    saros_sending *self = lua_newuserdatauv(L, sizeof *self + (size_t)room, 2);
    *self =
        (saros_sending){.stream = stream, .file = file, .what = what, .moves = offset < 0, .at = offset, .left = size};
    self->room = (size_t)room;
    saros_sending_prepare(self);
    lua_pushvalue(L, 2);
    lua_setiuservalue(L, -2, 1);
    lua_pushvalue(L, 1);
    lua_setiuservalue(L, -2, 2);
    lua_replace(L, SENDING);
    lua_settop(L, SENDING);
    return saros_stream_take_turn(L, stream, what);
}

/* stream:sendfile(file [, offset [, count]]) -> bytes | nil, message, code, bytes */
static int method_sendfile(lua_State *L) {
    lua_Integer offset = luaL_optinteger(L, 3, 0), size = luaL_optinteger(L, 4, LUA_MAXINTEGER);
    luaL_argcheck(L, offset >= 0, 3, "0 bytes or more expected");
    luaL_argcheck(L, size >= 0, 4, "0 bytes or more expected");
    lua_settop(L, 4);
    bool open = saros_check_stream(L)->rt != NULL;
    if (lua_type(L, 2) == LUA_TSTRING && open) return saros_call_part(L, "_sendfile_name", NULL);
    if (lua_type(L, 2) == LUA_TSTRING) return closed(L);
    if (lua_type(L, 2) != LUA_TUSERDATA || saros_test(L, saros_state(L), 2, SAROS_T_FILE) == NULL)
        return luaL_typeerror(L, 2, "file of saros.open, or its name");
    if (lua_isnil(L, 3)) offset = -1;
    return saros_sendfile(L, "sendfile", offset, size);
}

const luaL_Reg saros_sendfile_methods[] = {{"sendfile", method_sendfile}, {NULL, NULL}};
