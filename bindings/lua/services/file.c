/* file.c: saros.open, and what all methods of files have in common; closing.
 *
 * Owns each file from its making until its descriptor is closed, in the list of its loop. One task uses a file at a time:
 * writers, and whoever seeks, queue; a second reader gets EBUSY. Promises: close is final and idempotent, wakes whoever
 * waits for the file with ECLOSED, lets a write come to its end that is under way, and writes what setvbuf has kept back;
 * a file that the script forgets is closed too; an error of a close that nobody awaits is reported. */
#include <string.h>

#include "bindings/lua/services/file.h"
#include "bindings/lua/services/stdio.h"

enum { FIRST_BLOCK = 64 * 1024 };

saros_file *saros_check_file(lua_State *L) { return saros_check(L, 1, SAROS_T_FILE); }

int saros_file_fail(lua_State *L, const saros_file *file, int code, const char *what) {
    const char *why =
        code == SAROS_EOPNOTSUPP ? "a pipe, and no file" : saros_error_text(code); /* service_file.c refuses it */
    lua_pushnil(L);
    lua_pushfstring(L, "%s %s: %s", what, file->path, why);
    lua_pushstring(L, saros_error_name(code));
    return 3;
}

/* ---- one after the other ---------------------------------------------------------------------------------------- */

/* Others may have moved a file that is shared. What was read ahead of another place is dropped where it comes in. */
static void follow(saros_file *file) {
    int64_t place = file->shared && !file->at_end ? saros_stdio_place(file->fd) : -1;
    if (place < 0 || place == saros_file_position(file)) return;
    saros_window_forget(file->owner->loop, &file->window);
    file->end = place;
}

bool saros_file_take(saros_file *file, saros_task *task) {
    if (file->user != NULL && file->user != task) { /* its own use ended in an error: memory ran out */
        saros_wait_on(task, &file->waiters);
        return false;
    }
    file->user = task;
    follow(file);
    return true;
}

void saros_file_tell(const saros_file *file) {
    if (file->shared && !file->at_end) saros_stdio_put(file->fd, saros_file_position(file));
}

void saros_file_share(saros_file *file) {
    bool shared = file->shared;
    file->shared = file->seekable;
    if (!shared) saros_file_tell(file);
}

void saros_file_pass_on(saros_file *file, const saros_task *task) {
    if (file->reader == task) file->reader = NULL;
    if (file->user != task) return;
    if (file->rt != NULL) saros_file_tell(file);
    file->user = NULL;
    saros_waiter *next = file->waiters;
    if (next == NULL) return;
    file->user = saros_waiter_task(next);
    saros_wake_first(&file->waiters, 0);
}

void saros_file_leave(saros_file *file, saros_task *task) {
    saros_job *job = &file->fs.job;
    if (file->reader == task) saros_window_give_back(&file->window);
    if (file->user == task && saros_job_is_out(job)) {
        file->ignored = true;
        if (file->doing == SAROS_FILE_WRITES) saros_job_give_up(job);
        else if (file->doing != SAROS_FILE_CLOSES) saros_job_leave(job);
    }
    saros_file_pass_on(file, task);
}

void saros_files_forget(saros_task *task) {
    for (saros_file *file = task->rt->files; file != NULL; file = file->next) {
        saros_sendings_forget(file, task);
        if (file->user == task || file->reader == task) saros_file_leave(file, task);
    }
}

int saros_file_wait(lua_State *L, saros_file *file, saros_task *task, lua_KContext ctx, lua_KFunction k) {
    if (saros_is_cancelled(task)) { /* while it waited for something else */
        saros_file_leave(file, task);
        return saros_raise_cancelled(L, task);
    }
    return saros_job_wait(L, task, &file->fs.job, ctx, k);
}

saros_task *saros_file_resumed(lua_State *L, saros_file *file) {
    saros_task *task = saros_resumed_raw(L);
    saros_wait_unlink(&task->wait);
    if (task->op.result == SAROS_ECANCELED && saros_is_cancelled(task)) {
        saros_file_leave(file, task);
        saros_raise_cancelled(L, task);
    }
    if (task->op.result >= 0) return task;
    saros_file_pass_on(file, task);
    return NULL;
}

int saros_file_finish(lua_State *L, saros_file *file, saros_task *task, int pushed, bool at_hand) {
    saros_file_pass_on(file, task);
    return at_hand ? saros_answer(L, task, pushed) : pushed;
}

int64_t saros_file_position(const saros_file *file) { return file->end - (int64_t)file->window.left; }

void saros_file_drop_read(saros_file *file) {
    file->end = saros_file_position(file);
    saros_window_forget(file->owner->loop, &file->window);
    file->fetched = false;
    file->streak = 0;
    file->block = FIRST_BLOCK;
}

/* ---- opening ---------------------------------------------------------------------------------------------------- */

/* For the name at index 1; pushed. */
static saros_file *file_new(lua_State *L, saros_rt *rt, const char *path) {
    saros_file *file = saros_new(L, rt->lua, SAROS_T_FILE, sizeof *file, 2); /* 1: what is being written; 2: the name */
    lua_pushvalue(L, 1);
    lua_setiuservalue(L, -2, 2);
    saros_file_prepare(file);
    file->fd = -1;
    file->path = path;
    file->block = FIRST_BLOCK;
    file->window.line_limit = file->window.all_limit = SIZE_MAX / 2;
    file->rt = file->owner = rt;
    file->next = rt->files;
    if (rt->files != NULL) rt->files->prev = file;
    rt->files = file;
    return file;
}

/* As Lua's io takes it: "r", "w" or "a", then perhaps "+", then perhaps "b". */
static void read_mode(saros_file *file, const char *mode) {
    bool both = mode[1] == '+';
    file->reads = *mode == 'r' || both;
    file->writes = *mode != 'r' || both;
    file->appends = *mode == 'a';
    file->at_end = file->appends && !both;
    file->flags = both ? UV_FS_O_RDWR : file->writes ? UV_FS_O_WRONLY : UV_FS_O_RDONLY;
    if (*mode == 'w') file->flags |= UV_FS_O_CREAT | UV_FS_O_TRUNC;
    if (*mode == 'a') file->flags |= UV_FS_O_CREAT | UV_FS_O_APPEND;
    file->flags |= UV_FS_O_NONBLOCK | UV_FS_O_NOCTTY; /* a pipe with nobody at its other end is not waited for */
}

static bool is_mode(const char *mode) {
    if (*mode == 0 || strchr("rwa", *mode++) == NULL) return false;
    if (*mode == '+') mode++;
    return strspn(mode, "b") == strlen(mode) && strlen(mode) <= 1;
}

/* Stack: 1 the name, 2 the mode, 3 the file. */
static int open_k(lua_State *L, int status, lua_KContext ctx) {
    saros_file *file = lua_touserdata(L, 3);
    saros_job  *job = &file->fs.job;
    saros_task *task = saros_resumed_raw(L);
    (void)status, (void)ctx;
    saros_wait_unlink(&task->wait);
    if (saros_job_is_out(job)) {
        file->rt = NULL; /* if it opens all the same it is closed */
        saros_job_give_up(job);
        if (saros_is_cancelled(task)) saros_raise_cancelled(L, task);
        return saros_file_fail(L, file, SAROS_ECANCELED, "open");
    }
    if (file->rt == NULL) return saros_file_fail(L, file, (int)job->op.result, "open");
    if (file->temporary) {
        lua_pushstring(L, file->path);
        file->path = lua_tostring(L, -1);
        file->temporary = false;
        lua_setiuservalue(L, 3, 2);
    }
    saros_debug_opened(L, file->rt);
    return 1;
}

/* The file is at 3, all in it that says what is to be opened. */
static int open_file(lua_State *L, saros_file *file, saros_task *task) {
    char why[256];
    int  error = saros_file_start(L, file, 3, SAROS_FILE_OPENS, why, sizeof why);
    if (error < 0) {
        saros_file_forget(file);
        return saros_fail(L, error, "open: %s", why);
    }
    if (saros_job_is_out(&file->fs.job)) return saros_job_wait(L, task, &file->fs.job, 0, open_k);
    task->op.result = 0;
    return saros_answer(L, task, open_k(L, LUA_OK, 0));
}

/* saros.open(path, mode) -> file */
static int open_path(lua_State *L) {
    size_t      length;
    const char *path = luaL_checklstring(L, 1, &length), *mode = luaL_optstring(L, 2, "r");
    saros_task *task = saros_begin(L, "saros.open");
    luaL_argcheck(L, strlen(path) == length, 1, "a path without zeros in it expected");
    luaL_argcheck(L, is_mode(mode), 2, "invalid mode");
    lua_settop(L, 2);
    saros_file *file = file_new(L, task->rt, path);
    read_mode(file, mode);
    return open_file(L, file, task);
}

/* saros._fs_temporary(template) -> file: the six X at its end are made a name that nobody has. */
static int open_temporary(lua_State *L) {
    size_t length;
    const char *template = luaL_checklstring(L, 1, &length);
    saros_task *task = saros_begin(L, "saros.fs.temp_file");
    luaL_argcheck(L, strlen(template) == length, 1, "a path without zeros in it expected");
    lua_settop(L, 1);
    char *name = lua_newuserdatauv(L, length + 1, 0);
    memcpy(name, template, length + 1);
    lua_replace(L, 1);
    lua_settop(L, 2);
    saros_file *file = file_new(L, task->rt, name);
    file->reads = file->writes = file->temporary = true;
    return open_file(L, file, task);
}

/* ---- closing ---------------------------------------------------------------------------------------------------- */

/* May raise for lack of memory, and then nothing has changed. */
static void begin_close(lua_State *L, int at, saros_file *file) {
    saros_job *job = &file->fs.job;
    if (saros_job_is_out(job)) {
        file->rt = NULL; /* it goes on with the closing */
        job->must = true;
        if (file->doing == SAROS_FILE_READS) saros_wake_all(&job->waiters, SAROS_ECLOSED);
    } else {
        saros_file_begin(L, file, at, SAROS_FILE_CLOSES);
        file->rt = NULL;
    }
    saros_job_hold(job);
    saros_wake_all(&file->waiters, SAROS_ECLOSED);
    saros_sendings_end(file);
}

static int closed(lua_State *L, saros_file *file) {
    if (file->close_error < 0) return saros_file_fail(L, file, file->close_error, "close");
    lua_pushboolean(L, 1);
    return 1;
}

static int close_k(lua_State *L, int status, lua_KContext ctx) {
    saros_file *file = lua_touserdata(L, 1);
    int64_t     result;
    (void)status, (void)ctx;
    saros_wait_unlink(&saros_resumed_raw(L)->wait);
    if (saros_job_is_out(&file->fs.job)) file->awaited = false;
    saros_resumed(L, &result);
    return closed(L, file);
}

/* Waits where that is possible; where it is not, as in a callback or a task that was cancelled, it closes all the same. */
static int method_close(lua_State *L) {
    saros_file *file = saros_check_file(L);
    saros_job  *job = &file->fs.job;
    saros_task *task = saros_running_task(saros_state(L));
    lua_settop(L, 1);
    if (file->owner == NULL) {
        lua_pushboolean(L, 1);
        return 1;
    }
    bool waits =
        task != NULL && task->at == L && task->rt == file->owner && lua_isyieldable(L) && !saros_is_cancelled(task);
    bool awaited = file->awaited;
    file->awaited = waits;
    if (file->rt != NULL) begin_close(L, 1, file);
    else file->awaited = awaited || waits;
    if (!saros_job_is_out(job)) return closed(L, file);
    if (waits) return saros_job_wait(L, saros_begin(L, "file:close"), job, 0, close_k);
    lua_pushboolean(L, 1);
    return 1;
}

static int close_protected(lua_State *L) {
    begin_close(L, 1, saros_check_file(L));
    return 0;
}

/* No job is out: that would keep it alive. */
static int method_gc(lua_State *L) {
    saros_file *file = saros_check_file(L);
    if (file->rt == NULL) return 0;
    saros_debug_collected(L, file->rt);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_pushcclosure(L, close_protected, 1);
    lua_pushvalue(L, 1);
    if (lua_pcall(L, 1, 0, 0) != LUA_OK) saros_file_close_now(saros_service_uv(file->rt->service), file);
    return 0;
}

void saros_files_close(saros_rt *rt) {
    while (rt->files != NULL) saros_file_close_now(saros_service_uv(rt->service), rt->files);
}

bool saros_file_is_open(const saros_file *file) { return file != NULL && file->rt != NULL; }

/* ---- the module's part ------------------------------------------------------------------------------------------ */

static int to_string(lua_State *L) {
    saros_file *file = saros_check_file(L);
    lua_pushfstring(L, "saros.file%s: %p", file->rt == NULL ? " (closed)" : "", (void *)file);
    return 1;
}

static void make_type(lua_State *L) {
    static const luaL_Reg methods[] = {{"close", method_close}, {NULL, NULL}};
    static const luaL_Reg meta[] = {
        {"__gc", method_gc}, {"__close", method_close}, {"__tostring", to_string}, {NULL, NULL}};
    if (saros_state_slow(L)->meta[SAROS_T_FILE] != NULL) return;
    saros_type_make(L, SAROS_T_FILE, "saros.file", methods, meta);
    saros_type_extend(L, SAROS_T_FILE, saros_file_read_methods);
    saros_type_extend(L, SAROS_T_FILE, saros_file_write_methods);
}

void saros_open_files(lua_State *L) {
    static const luaL_Reg functions[] = {{"open", open_path}, {"_fs_temporary", open_temporary}, {NULL, NULL}};
    make_type(L);
    saros_add(L, functions);
}

saros_file *saros_file_wrap(lua_State *L, saros_rt *rt, int fd, const char *name, bool reads, bool writes,
                            bool borrowed) {
    make_type(L);
    lua_pushstring(L, name);
    lua_insert(L, 1);
    saros_file *file = file_new(L, rt, lua_tostring(L, 1));
    lua_remove(L, 1);
    file->fd = fd;
    file->reads = reads;
    file->writes = writes;
    file->borrowed = borrowed;
    return file;
}
