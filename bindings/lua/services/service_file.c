/* service_file.c: what the service does for a file: opens it, reads, writes, closes.
 *
 * Owns the descriptor from its opening to its closing. Promises: a directory or a pipe is refused by name, and is never
 * waited for; an open that nobody waits for any more leaves no descriptor; a write goes on until all is written, an error
 * comes or nobody waits; a close writes what is pending first, and closes whatever comes of that. */
#include <string.h>
#include <sys/stat.h>
#ifdef SAROS_HAVE_READ_NOWAIT
#include <sys/uio.h>
#endif

#include "bindings/lua/services/file.h"

enum {
    MOST_AT_ONCE = 4 << 20, /* bytes of one write: after each it is asked whether anybody still waits */
    SAMPLE = 32 * 1024      /* bytes between two that are asked for: less than a disk is ever read at once */
};

/* ---- the service's thread -------------------------------------------------------------------------------------- */

static int write_some(const saros_libuv *uv, uv_loop_t *loop, saros_file *file, uv_fs_cb cb) {
    size_t   rest = file->length - file->written;
    uv_buf_t buffer =
        uv->buf_init((char *)file->data + file->written, (unsigned)(rest < MOST_AT_ONCE ? rest : MOST_AT_ONCE));
    int64_t offset = file->offset < 0 ? -1 : file->offset + (int64_t)file->written;
    return uv->fs_write(loop, &file->fs.request, file->fd, &buffer, 1, offset, cb);
}

static int call(const saros_libuv *uv, uv_loop_t *loop, saros_fs_job *self, uv_fs_cb cb) {
    saros_file *file = (saros_file *)(void *)self;
    uv_fs_t    *request = &self->request;
    switch (file->doing) {
    case SAROS_FILE_OPENS:
        if (file->fd >= 0) return uv->fs_fstat(loop, request, file->fd, cb);
        if (file->temporary) return uv->fs_mkstemp(loop, request, file->path, cb);
        return uv->fs_open(loop, request, file->path, file->flags, 0666, cb);
    case SAROS_FILE_STATS: return uv->fs_fstat(loop, request, file->fd, cb);
    case SAROS_FILE_READS: {
        uv_buf_t buffer = uv->buf_init(file->ahead, (unsigned)file->block);
        return uv->fs_read(loop, request, file->fd, &buffer, 1, file->offset, cb);
    }
    case SAROS_FILE_SYNCS: return uv->fs_fsync(loop, request, file->fd, cb);
    case SAROS_FILE_WRITES: return write_some(uv, loop, file, cb);
    default:
        if (file->written < file->length) return write_some(uv, loop, file, cb);
        return uv->fs_close(loop, request, file->fd, cb);
    }
}

/* What cannot be waited for without holding up a thread of libuv's, or has no bytes. */
static int refused(unsigned mode) {
    switch (mode & S_IFMT) {
    case S_IFDIR: return SAROS_EISDIR;
    case S_IFIFO: return SAROS_EOPNOTSUPP;
    default: return 0;
    }
}

/* A temporary file that nobody has got, and whose name nobody knows. */
static void remove_unseen(const saros_libuv *uv, const saros_file *file) {
    uv_fs_t request;
    if (!file->temporary) return;
    uv->fs_unlink(NULL, &request, file->path, NULL);
    uv->fs_req_cleanup(&request);
}

static void close_at_once(const saros_libuv *uv, saros_file *file) {
    uv_fs_t request;
    if (!file->borrowed) uv->fs_close(NULL, &request, file->fd, NULL);
    file->fd = -1;
    remove_unseen(uv, file);
}

static bool after_open(const saros_libuv *uv, saros_file *file, ssize_t result) {
    saros_fs_job *self = &file->fs;
    if (file->fd < 0) {
        if (result < 0) {
            self->error = saros_error_from_uv((int)result);
            return false;
        }
        file->fd = (uv_file)result;
        if (file->temporary)
            memcpy((char *)file->path, self->request.path, strlen(file->path)); /* now it has its name */
        if (!self->stopped) return true;
    } else if (result >= 0) {
        uv_stat_t found = self->request.statbuf;
        self->error = refused((unsigned)found.st_mode);
        file->size = (int64_t)found.st_size;
        file->seekable = (found.st_mode & S_IFMT) == S_IFREG;
    } else {
        self->error = saros_error_from_uv((int)result);
    }
    if (self->stopped) self->error = SAROS_ECANCELED;
    if (self->error < 0) close_at_once(uv, file);
    return false;
}

static bool after_write(saros_file *file, ssize_t result) {
    saros_fs_job *self = &file->fs;
    if (result >= 0) file->written += (size_t)result;
    else self->error = saros_error_from_uv((int)result);
    if (result == 0 && file->length > 0) self->error = SAROS_EIO;
    if (self->error == 0 && file->written < file->length && self->stopped && file->doing == SAROS_FILE_WRITES)
        self->error = SAROS_ECANCELED;
    return self->error == 0 && file->written < file->length;
}

static bool after_close(const saros_libuv *uv, saros_file *file, ssize_t result) {
    saros_fs_job *self = &file->fs;
    if (file->written < file->length) {
        if (after_write(file, result)) return true;
        if (self->error < 0) file->close_error = self->error;
        self->error = 0;
        file->length = file->written = 0;
        if (!file->borrowed) return true;
    } else if (result < 0 && file->close_error == 0) {
        file->close_error = saros_error_from_uv((int)result);
    }
    file->fd = -1; /* also where closing has failed: nobody can say whose number it is now */
    remove_unseen(uv, file);
    return false;
}

static bool after(const saros_libuv *uv, saros_fs_job *self, ssize_t result) {
    saros_file *file = (saros_file *)(void *)self;
    switch (file->doing) {
    case SAROS_FILE_OPENS: return after_open(uv, file, result);
    case SAROS_FILE_WRITES: return after_write(file, result);
    case SAROS_FILE_CLOSES: return after_close(uv, file, result);
    case SAROS_FILE_READS: file->got = result; break;
    case SAROS_FILE_STATS: file->size = (int64_t)self->request.statbuf.st_size; break;
    default: break;
    }
    if (result < 0) self->error = saros_error_from_uv((int)result);
    return false;
}

/* ---- the loop's thread ------------------------------------------------------------------------------------------ */

/* Linux can be asked for what it has in memory, and for nothing else: that is a copy, and takes no thread. */
int64_t saros_file_peek(const saros_file *file, void *place, size_t size, int64_t at) {
#ifdef SAROS_HAVE_READ_NOWAIT
    struct iovec where = {place, size};
    return file->seekable ? preadv2(file->fd, &where, 1, at, RWF_NOWAIT) : -1;
#else
    (void)file, (void)place, (void)size, (void)at;
    return -1;
#endif
}

bool saros_file_at_hand(const saros_file *file, int64_t at, size_t size) {
    char one;
    for (size_t i = 0; i < size; i += SAMPLE)
        if (saros_file_peek(file, &one, 1, at + (int64_t)i) < 0) return false;
    return saros_file_peek(file, &one, 1, at + (int64_t)size - 1) >= 0;
}

bool saros_file_read_at_hand(saros_file *file, size_t size) {
    int64_t got = saros_file_peek(file, file->ahead, size, file->end);
    if (got >= 0) file->got = (ssize_t)got;
    return file->fetched = got >= 0;
}

void saros_file_free_blocks(saros_file *file) {
    saros_loop *loop = file->owner->loop;
    saros_window_forget(loop, &file->window);
    if (file->held != NULL) saros_realloc(loop, file->held, file->held_room, 0);
    if (file->ahead != NULL) saros_realloc(loop, file->ahead, file->ahead_room, 0);
    file->held = file->ahead = NULL;
    file->held_room = file->ahead_room = 0;
}

void saros_file_forget(saros_file *file) {
    saros_rt *rt = file->owner;
    if (rt == NULL) return;
    saros_file_free_blocks(file);
    if (file->pending != NULL) saros_realloc(rt->loop, file->pending, file->pending_room, 0);
    file->pending = NULL;
    file->pending_room = file->pending_size = 0;
    if (file->prev != NULL) file->prev->next = file->next;
    else rt->files = file->next;
    if (file->next != NULL) file->next->prev = file->prev;
    file->next = file->prev = NULL;
    file->rt = file->owner = NULL;
}

/* What was written of what is pending is gone from there; the rest is for the next try. */
static void wrote(saros_file *file) {
    if (file->data == file->pending && file->written > 0) {
        file->pending_size -= file->written;
        memmove(file->pending, file->pending + file->written, file->pending_size);
    }
    if (file->appends) file->at_end = true;
    else if (file->seekable) file->end += (int64_t)file->written;
    file->wrote = file->written;
    file->data = NULL;
    saros_file_tell(file);
}

/* False: there is nothing to be done, and it is closed. */
static bool begin_close(saros_file *file) {
    if (file->borrowed && file->pending_size == 0) {
        file->fd = -1;
        saros_file_forget(file);
        return false;
    }
    file->doing = SAROS_FILE_CLOSES;
    file->fs.job.must = true;
    file->data = file->pending;
    file->length = file->pending_size;
    file->written = 0;
    file->offset = file->seekable && !file->appends && !file->shared ? saros_file_position(file) : -1;
    return true;
}

static bool told(saros_job *job) {
    saros_file      *file = (saros_file *)(void *)job;
    enum saros_doing doing = file->doing;
    int              error = (int)job->op.result;
    file->doing = SAROS_FILE_NOTHING;
    switch (doing) {
    case SAROS_FILE_READS:
        file->fetched = true;
        if (error < 0) file->got = error;
        break;
    case SAROS_FILE_WRITES: wrote(file); break;
    case SAROS_FILE_STATS:
        if (error < 0 || !file->at_end) break;
        file->end = file->size;
        file->at_end = false;
        break;
    case SAROS_FILE_CLOSES:
        if (file->close_error < 0 && !file->awaited)
            saros_complain(file->owner, "close %s: %s", file->path, saros_error_text(file->close_error));
        break;
    default: break;
    }
    if (doing != SAROS_FILE_CLOSES) file->error = doing == SAROS_FILE_READS || file->ignored ? 0 : error;
    file->ignored = false;
    if (file->rt == NULL && file->fd >= 0) return begin_close(file);
    if (file->fd < 0) saros_file_forget(file);
    return false;
}

void saros_file_prepare(saros_file *file) {
    saros_fs_prepare(&file->fs);
    file->fs.call = call;
    file->fs.after = after;
    file->fs.job.told = told;
}

int saros_file_start(lua_State *L, saros_file *file, int at, enum saros_doing doing, char *why, size_t size) {
    if (doing == SAROS_FILE_CLOSES && !begin_close(file)) return 0;
    file->doing = doing;
    return saros_job_start(L, file->owner, at, why, size);
}

void saros_file_begin(lua_State *L, saros_file *file, int at, enum saros_doing doing) {
    char why[256];
    if (saros_file_start(L, file, at, doing, why, sizeof why) < 0) luaL_error(L, "%s", why);
}

void saros_file_begin_write(lua_State *L, saros_file *file, const char *data, size_t size) {
    file->data = data;
    file->length = size;
    file->written = 0;
    file->offset = file->seekable && !file->appends ? saros_file_position(file) : -1;
    saros_file_begin(L, file, 1, SAROS_FILE_WRITES);
}

void saros_file_begin_pending(lua_State *L, saros_file *file) {
    saros_file_begin_write(L, file, file->pending, file->pending_size);
}

void saros_file_close_now(const saros_libuv *uv, saros_file *file) {
    file->rt = NULL;
    if (file->fd >= 0 && begin_close(file)) {
        do call(uv, NULL, &file->fs, NULL);
        while (after_close(uv, file, file->fs.request.result));
        told(&file->fs.job);
    }
    saros_file_forget(file);
}
