/* file_write.c: everything that changes a file, or where it stands: write, flush, sync, seek, setvbuf.
 *
 * Each call has the file to itself, in the order of the calls, and goes through steps; between two of them it waits for the
 * service. Promises: a write that has returned is with the kernel, but where setvbuf was asked for; one that fails says how
 * many bytes of it were written; a cancelled one ends where it is, and the next one goes on behind it. */
#include <string.h>

#include "bindings/lua/services/file.h"
#include "bindings/lua/streams/parts.h"
#include "bindings/lua/streams/stream.h"

/* A step of a call: how many results were pushed; or AGAIN, and *step is what follows once the job was told. */
enum step {
    WRITE,
    WRITE_WITH_ROOM,
    WRITTEN,
    PENDING_WRITTEN,
    FLUSH,
    FLUSHED,
    SYNC,
    SYNC_FLUSHED,
    SEEK,
    SEEK_FLUSHED,
    SEEK_FOUND,
    SETVBUF,
    SETVBUF_FLUSHED
};
enum { AGAIN = -1, USUAL_PENDING = 64 * 1024, MOST_PENDING = 1 << 30 };

static int changing_k(lua_State *L, int status, lua_KContext ctx);

static int self(lua_State *L) {
    lua_pushvalue(L, 1);
    return 1;
}

/* ---- write ------------------------------------------------------------------------------------------------------ */

static int write_failed(lua_State *L, const saros_file *file, size_t written) {
    saros_file_fail(L, file, file->error, "write");
    lua_pushinteger(L, (lua_Integer)written);
    return 4;
}

static int keep(lua_State *L, saros_file *file, const char *data, size_t size, enum step *step) {
    if (file->pending_room < file->pending_limit) {
        char *pending = saros_realloc(file->rt->loop, file->pending, file->pending_room, file->pending_limit);
        if (pending == NULL) return luaL_error(L, "file: not enough memory to keep what is written");
        file->pending = pending;
        file->pending_room = file->pending_limit;
    }
    memcpy(file->pending + file->pending_size, data, size);
    file->pending_size += size;
    if (!file->by_lines || memchr(data, '\n', size) == NULL) return self(L);
    *step = PENDING_WRITTEN;
    saros_file_begin_pending(L, file);
    return AGAIN;
}

/* Stack: 1 the file, 2 the string. */
static int write_rest(lua_State *L, saros_file *file, enum step *step) {
    size_t      size;
    const char *data = lua_tolstring(L, 2, &size);
    if (size <= file->pending_limit - file->pending_size && file->pending_limit > 0)
        return keep(L, file, data, size, step);
    *step = WRITTEN;
    if (size == 0) return self(L);
    lua_pushvalue(L, 2);
    lua_setiuservalue(L, 1, 1); /* the service reads it, whatever becomes of the writer */
    saros_file_begin_write(L, file, data, size);
    return AGAIN;
}

static int write_all(lua_State *L, saros_file *file, enum step *step) {
    if (file->seekable) saros_file_drop_read(file);
    if (file->pending_size == 0 || lua_rawlen(L, 2) <= file->pending_limit - file->pending_size)
        return write_rest(L, file, step);
    *step = WRITE_WITH_ROOM;
    saros_file_begin_pending(L, file);
    return AGAIN;
}

/* ---- seek, setvbuf ---------------------------------------------------------------------------------------------- */

/* Stack: 1 the file, 2 "set", "cur" or "end", 3 the offset. */
static int seek_to(lua_State *L, saros_file *file, int64_t base) {
    int64_t offset = lua_tointeger(L, 3);
    if (offset < -base || offset > INT64_MAX - base) return saros_file_fail(L, file, SAROS_EINVAL, "seek");
    if (base + offset != saros_file_position(file)) {
        saros_file_drop_read(file);
        file->end = base + offset;
    }
    file->at_end = false;
    lua_pushinteger(L, base + offset);
    return 1;
}

static int seek(lua_State *L, saros_file *file, enum step *step) {
    const char *whence = lua_tostring(L, 2);
    if (!file->seekable) return saros_file_fail(L, file, SAROS_ESPIPE, "seek");
    if (*whence == 's') return seek_to(L, file, 0);
    if (*whence == 'c' && !file->at_end) return seek_to(L, file, saros_file_position(file));
    *step = SEEK_FOUND;
    saros_file_begin(L, file, 1, SAROS_FILE_STATS);
    return AGAIN;
}

/* Stack: 2 the mode, 3 the size. */
static int set_buffer(lua_State *L, saros_file *file) {
    const char *mode = lua_tostring(L, 2);
    file->by_lines = *mode == 'l';
    file->pending_limit = *mode == 'n' ? 0 : (size_t)lua_tointeger(L, 3);
    if (file->pending != NULL) saros_realloc(file->rt->loop, file->pending, file->pending_room, 0);
    file->pending = NULL;
    file->pending_room = 0;
    lua_pushboolean(L, 1);
    return 1;
}

/* ---- steps ------------------------------------------------------------------------------------------------------ */

static int flush_first(lua_State *L, saros_file *file, enum step *step, enum step next) {
    *step = next;
    if (file->pending_size > 0) saros_file_begin_pending(L, file);
    return AGAIN;
}

static int begin_sync(lua_State *L, saros_file *file, enum step *step) {
    *step = FLUSHED;
    saros_file_begin(L, file, 1, SAROS_FILE_SYNCS);
    return AGAIN;
}

static int take_step(lua_State *L, saros_file *file, enum step *step) {
    static const char *const names[] = {[FLUSHED] = "flush",
                                        [SYNC_FLUSHED] = "sync",
                                        [SEEK_FLUSHED] = "seek",
                                        [SEEK_FOUND] = "seek",
                                        [SETVBUF_FLUSHED] = "setvbuf"};
    if (file->error < 0) { /* of the step before */
        bool writes = *step == WRITE_WITH_ROOM || *step == WRITTEN || *step == PENDING_WRITTEN;
        if (writes) return write_failed(L, file, *step == WRITE_WITH_ROOM ? 0 : file->wrote);
        return saros_file_fail(L, file, file->error, names[*step]);
    }
    switch (*step) {
    case WRITE: return write_all(L, file, step);
    case WRITE_WITH_ROOM: return write_rest(L, file, step);
    case FLUSH: return flush_first(L, file, step, FLUSHED);
    case SYNC: return flush_first(L, file, step, SYNC_FLUSHED);
    case SYNC_FLUSHED: return begin_sync(L, file, step);
    case SEEK: return flush_first(L, file, step, SEEK_FLUSHED);
    case SEEK_FLUSHED: return seek(L, file, step);
    case SEEK_FOUND: return seek_to(L, file, file->size);
    case SETVBUF: return flush_first(L, file, step, SETVBUF_FLUSHED);
    case SETVBUF_FLUSHED: return set_buffer(L, file);
    default: return self(L);
    }
}

static int closed(lua_State *L, bool writes) {
    saros_closed(L);
    if (!writes) return 3;
    lua_pushinteger(L, 0);
    return 4;
}

static int changing(lua_State *L, saros_file *file, saros_task *task, lua_KContext ctx, bool at_hand) {
    enum step step = (enum step)ctx;
    int       pushed = AGAIN;
    if (file->rt == NULL && step != WRITTEN) {
        saros_file_pass_on(file, task);
        return closed(L, step <= PENDING_WRITTEN);
    }
    while (pushed == AGAIN) {
        if (saros_job_is_out(&file->fs.job)) return saros_file_wait(L, file, task, (lua_KContext)step, changing_k);
        pushed = take_step(L, file, &step);
    }
    file->error = 0;
    return saros_file_finish(L, file, task, pushed, at_hand);
}

static int changing_k(lua_State *L, int status, lua_KContext ctx) {
    saros_file *file = lua_touserdata(L, 1);
    saros_task *task = saros_file_resumed(L, file);
    (void)status;
    return task != NULL ? changing(L, file, task, ctx, false) : closed(L, ctx <= PENDING_WRITTEN);
}

static int start(lua_State *L, saros_file *file, enum step step, const char *what) {
    saros_task *task = saros_begin(L, what);
    if (file->rt == NULL) return closed(L, step == WRITE);
    if (file->rt != task->rt) return luaL_error(L, "%s: the file belongs to another loop", what);
    if (!file->writes && step == WRITE) {
        saros_file_fail(L, file, SAROS_EBADF, what);
        lua_pushinteger(L, 0);
        return 4;
    }
    if (!saros_file_take(file, task)) return saros_suspend(L, task, (lua_KContext)step, changing_k);
    return changing(L, file, task, (lua_KContext)step, true);
}

/* ---- the methods ------------------------------------------------------------------------------------------------ */

static int method_write(lua_State *L) {
    saros_file *file = saros_check_file(L);
    saros_join_strings(L);
    return start(L, file, WRITE, "write");
}

static int method_flush(lua_State *L) {
    saros_file *file = saros_check_file(L);
    lua_settop(L, 1);
    return start(L, file, FLUSH, "flush");
}

static int method_sync(lua_State *L) {
    saros_file *file = saros_check_file(L);
    lua_settop(L, 1);
    return start(L, file, SYNC, "sync");
}

static int method_seek(lua_State *L) {
    static const char *const names[] = {"set", "cur", "end", NULL};
    saros_file              *file = saros_check_file(L);
    int                      whence = luaL_checkoption(L, 2, "cur", names);
    lua_Integer              offset = luaL_optinteger(L, 3, 0);
    lua_settop(L, 1);
    lua_pushstring(L, names[whence]);
    lua_pushinteger(L, offset);
    return start(L, file, SEEK, "seek");
}

static int method_setvbuf(lua_State *L) {
    static const char *const names[] = {"no", "full", "line", NULL};
    saros_file              *file = saros_check_file(L);
    int                      mode = luaL_checkoption(L, 2, NULL, names);
    lua_Integer              size = luaL_optinteger(L, 3, USUAL_PENDING);
    luaL_argcheck(L, size > 0 && size <= MOST_PENDING, 3, "a size from 1 to 2^30 expected");
    lua_settop(L, 1);
    lua_pushstring(L, names[mode]);
    lua_pushinteger(L, size);
    return start(L, file, SETVBUF, "setvbuf");
}

const luaL_Reg saros_file_write_methods[] = {{"write", method_write},     {"flush", method_flush},
                                             {"sync", method_sync},       {"seek", method_seek},
                                             {"setvbuf", method_setvbuf}, {NULL, NULL}};
