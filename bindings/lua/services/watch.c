/* watch.c: saros.fs.watch: what changes in a folder, or of a file, as libuv is told by the system.
 *
 * The watch itself is a job of the service, which lives until it is closed; the script holds a handle on it. Changes are
 * kept in a buffer between the service's thread, which fills it, and the loop's, which takes them out one by one.
 * Promises: nothing is lost in silence: where the buffer is full, or the system's own queue may have been, the next that
 * is told is "overflow"; a change that is the same as the last one still there is that one; a cancelled wait loses nothing. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bindings/lua/services/service_fs.h"
#include "bindings/lua/streams/stream.h"

enum { MOST_KEPT = 64 * 1024 /* bytes of names */, NAME_ROOM = 4096 };

typedef struct watch {
    saros_job     job; /* first */
    uv_fs_event_t handle;
    saros_op      news; /* posted when it has begun, and when there is something new */
    saros_waiter *waiters;
    const char   *path; /* in the user value */
    unsigned      flags;
    bool          over;  /* the service's: nothing is told any more */
    int           error; /* why it could not begin */
    unsigned      queue; /* events that the system keeps at most; 0: not known */
    uv_mutex_t    lock;
    char         *kept; /* under the lock: entries, each a kind ('c', 'r', both 'b'), a name and a zero; malloc's */
    size_t        first, last, room;
    size_t        latest; /* the entry that came last */
    bool          overflow, posted;
} watch;

/* What the script holds; user value 1: the watch. */
typedef struct watcher {
    watch *watch; /* NULL: closed */
} watcher;

/* ---- the service's thread --------------------------------------------------------------------------------------- */

/* Under the lock. */
static bool keep(watch *self, char kind, const char *name) {
    size_t size = strlen(name) + 2;
    if (self->first != self->last && strcmp(self->kept + self->latest + 1, name) == 0 &&
        self->kept[self->latest] == kind)
        return true;
    if (self->last + size > self->room && self->first > 0) {
        memmove(self->kept, self->kept + self->first, self->last - self->first);
        self->last -= self->first;
        self->first = 0;
    }
    if (self->last + size > self->room) {
        size_t room = self->room == 0 ? 512 : self->room * 2;
        if (room > MOST_KEPT || self->last + size > room) return false;
        char *kept = realloc(self->kept, room);
        if (kept == NULL) return false;
        self->kept = kept;
        self->room = room;
    }
    self->latest = self->last;
    self->kept[self->last] = kind;
    memcpy(self->kept + self->last + 1, name, size - 1);
    self->last += size;
    return true;
}

static void note(watch *self, char kind, const char *name) {
    const saros_libuv *uv = saros_service_uv(self->handle.loop->data);
    uv->mutex_lock(&self->lock);
    if (kind == 0 || (!self->overflow && !keep(self, kind, name))) self->overflow = true;
    bool post = !self->posted;
    self->posted = true;
    uv->mutex_unlock(&self->lock);
    if (post) saros_post(self->job.rt->loop, &self->news, 0);
}

static void on_event(uv_fs_event_t *handle, const char *name, int events, int status);

static void overflow_all(uv_handle_t *handle, void *p) {
    (void)p;
    if (handle->type == UV_FS_EVENT && ((uv_fs_event_t *)(void *)handle)->cb == on_event) note(handle->data, 0, "");
}

/* Libuv does not say when the system's queue has overflown (inotify's IN_Q_OVERFLOW). It empties the queue in one go: where
 * as many events come in one go as the queue holds, it may have. */
static void count(watch *self) {
    uv_loop_t         *loop = self->handle.loop;
    const saros_libuv *uv = saros_service_uv(loop->data);
    if (self->queue > 0 && saros_service_count(loop->data, uv->now(loop)) == self->queue)
        uv->walk(loop, overflow_all, NULL);
}

static void on_event(uv_fs_event_t *handle, const char *name, int events, int status) {
    watch *self = handle->data;
    if (self->over) return;
    if (status < 0) note(self, 0, "");
    else note(self, events == UV_RENAME ? 'r' : events == UV_CHANGE ? 'c' : 'b', name != NULL ? name : "");
    count(self);
}

static void on_closed(uv_handle_t *handle) {
    watch *self = handle->data;
    saros_service_uv(handle->loop->data)->mutex_destroy(&self->lock);
    saros_job_done(&self->job, self->error);
}

static unsigned queue_of_system(void) {
    unsigned limit = 0;
    FILE    *file = fopen("/proc/sys/fs/inotify/max_queued_events", "r");
    if (file == NULL) return 0;
    if (fscanf(file, "%u", &limit) != 1) limit = 0;
    fclose(file);
    return limit;
}

static int begin(saros_service *service, saros_job *job) {
    watch             *self = (watch *)(void *)job;
    const saros_libuv *uv = saros_service_uv(service);
    int                error = uv->mutex_init(&self->lock);
    if (error < 0) return saros_error_from_uv(error);
    self->handle.data = self;
    self->queue = queue_of_system();
    error = uv->fs_event_init(saros_service_loop(service), &self->handle);
    if (error == 0) error = uv->fs_event_start(&self->handle, on_event, self->path, self->flags);
    if (error == 0) {
        self->posted = true;
        saros_post(job->rt->loop, &self->news, 0);
        return 0;
    }
    self->error = saros_error_from_uv(error);
    uv->close((uv_handle_t *)(void *)&self->handle, on_closed);
    return 0;
}

static void stop(saros_service *service, saros_job *job) {
    watch       *self = (watch *)(void *)job;
    uv_handle_t *handle = (uv_handle_t *)(void *)&self->handle;
    self->over = true;
    if (!saros_service_uv(service)->is_closing(handle)) saros_service_uv(service)->close(handle, on_closed);
}

/* ---- the loop's thread ------------------------------------------------------------------------------------------ */

/* Expected again first: from the moment in which nothing is posted the next change posts. */
static void news(saros_loop *loop, saros_op *op, int64_t result) {
    watch             *self = (watch *)(void *)((char *)op - offsetof(watch, news));
    const saros_libuv *uv = saros_service_uv(self->job.rt->service);
    (void)result;
    saros_expect(loop, op);
    uv->mutex_lock(&self->lock);
    self->posted = false;
    uv->mutex_unlock(&self->lock);
    saros_wake_all(&self->waiters, 0);
}

static bool told(saros_job *job) {
    watch *self = (watch *)(void *)job;
    saros_abandon(job->rt->loop, &self->news);
    saros_wake_all(&self->waiters, self->error < 0 ? self->error : SAROS_ECLOSED);
    free(self->kept);
    self->kept = NULL;
    return false;
}

static void close_watcher(watcher *self) {
    if (self->watch == NULL) return;
    saros_wake_all(&self->watch->waiters, SAROS_ECLOSED);
    saros_job_give_up(&self->watch->job);
    self->watch = NULL;
}

static watcher *check(lua_State *L) { return saros_check(L, 1, SAROS_T_FS_WATCH); }

/* ---- waiting ---------------------------------------------------------------------------------------------------- */

static int wait_k(lua_State *L, int status, lua_KContext ctx);

/* Pushes the oldest change: what, and the name, if there is one. False: there is none. */
static bool take(lua_State *L, watch *self) {
    char               name[NAME_ROOM] = "";
    char               kind = 0;
    const saros_libuv *uv = saros_service_uv(self->job.rt->service);
    uv->mutex_lock(&self->lock);
    bool overflow = self->first == self->last && self->overflow;
    if (overflow) self->overflow = false;
    if (self->first != self->last) {
        const char *entry = self->kept + self->first;
        kind = *entry;
        snprintf(name, sizeof name, "%s", entry + 1);
        self->first += strlen(entry) + 1;
        if (self->first == self->last) self->first = self->last = 0;
    }
    uv->mutex_unlock(&self->lock);
    if (kind == 0 && !overflow) return false;
    lua_pushstring(L, overflow ? "overflow" : kind == 'c' ? "change" : "rename");
    if (*name != 0) lua_pushstring(L, name);
    else lua_pushnil(L);
    return true;
}

static int wait_on(lua_State *L, watcher *self, saros_task *task) {
    saros_wait_on(task, &self->watch->waiters);
    return saros_suspend(L, task, 0, wait_k);
}

static int wait_k(lua_State *L, int status, lua_KContext ctx) {
    watcher    *self = lua_touserdata(L, 1);
    saros_task *task = saros_resumed_raw(L);
    (void)status, (void)ctx;
    saros_wait_unlink(&task->wait);
    if (saros_is_cancelled(task)) return saros_raise_cancelled(L, task);
    if (self->watch == NULL) return saros_closed(L);
    return take(L, self->watch) ? 2 : wait_on(L, self, task);
}

/* watcher:wait() -> "change", "rename" or "overflow", and the name; also what a loop over the watcher calls. */
static int wait(lua_State *L) {
    watcher    *self = check(L);
    saros_task *task = saros_begin(L, "watcher:wait");
    if (self->watch == NULL) return saros_closed(L);
    if (self->watch->job.rt != task->rt) return luaL_error(L, "watcher:wait: the watcher belongs to another loop");
    lua_settop(L, 1);
    return take(L, self->watch) ? saros_answer(L, task, 2) : wait_on(L, self, task);
}

/* ---- opening and closing ---------------------------------------------------------------------------------------- */

/* Stack: 1 the path, 2 options, 3 the watcher. */
static int open_k(lua_State *L, int status, lua_KContext ctx) {
    watcher    *self = lua_touserdata(L, 3);
    saros_task *task = saros_resumed_raw(L);
    int         error = (int)task->op.result;
    (void)status, (void)ctx;
    saros_wait_unlink(&task->wait);
    if (error >= 0) return 1;
    close_watcher(self);
    if (saros_is_cancelled(task)) return saros_raise_cancelled(L, task);
    return saros_fail(L, error, "watch %s: %s", lua_tostring(L, 1), saros_error_text(error));
}

/* saros.fs.watch(path, {recursive =}) -> watcher */
static int open_watch(lua_State *L) {
    static const char *const known[] = {"recursive", NULL};
    char                     why[256];
    const char              *path = saros_fs_check_path(L, 1);
    saros_task              *task = saros_begin(L, "saros.fs.watch");
    lua_settop(L, 2);
    saros_check_options(L, 2, known);
    bool recursive = lua_istable(L, 2) && saros_option(L, 2, "recursive") != LUA_TNIL && lua_toboolean(L, -1);
    lua_settop(L, 2);
    watcher *self = saros_new(L, task->rt->lua, SAROS_T_FS_WATCH, sizeof *self, 1);
    watch   *inner = lua_newuserdatauv(L, sizeof *inner, 1);
    memset(inner, 0, sizeof *inner);
    lua_pushvalue(L, 1);
    lua_setiuservalue(L, 4, 1);
    inner->job.begin = begin;
    inner->job.stop = stop;
    inner->job.told = told;
    inner->news.done = news;
    inner->path = path;
    inner->flags = recursive ? UV_FS_EVENT_RECURSIVE : 0;
    saros_expect(task->rt->loop, &inner->news);
    int error = saros_job_start(L, task->rt, 4, why, sizeof why);
    if (error < 0) {
        saros_abandon(task->rt->loop, &inner->news);
        return saros_fail(L, error, "watch: %s", why);
    }
    saros_job_hold(&inner->job);
    lua_setiuservalue(L, 3, 1);
    self->watch = inner;
    saros_wait_on(task, &inner->waiters);
    return saros_suspend(L, task, 0, open_k);
}

static int close_method(lua_State *L) {
    close_watcher(check(L));
    lua_pushboolean(L, 1);
    return 1;
}

static int to_string(lua_State *L) {
    watcher *self = check(L);
    lua_pushfstring(L, "saros.watcher%s: %p", self->watch == NULL ? " (closed)" : "", (void *)self);
    return 1;
}

void saros_open_fs_watch(lua_State *L) {
    static const luaL_Reg methods[] = {{"wait", wait}, {"close", close_method}, {NULL, NULL}};
    static const luaL_Reg meta[] = {
        {"__call", wait}, {"__close", close_method}, {"__gc", close_method}, {"__tostring", to_string}, {NULL, NULL}};
    static const luaL_Reg functions[] = {{"watch", open_watch}, {NULL, NULL}};
    saros_type_make(L, SAROS_T_FS_WATCH, "saros.watcher", methods, meta);
    saros_add(L, functions);
}
