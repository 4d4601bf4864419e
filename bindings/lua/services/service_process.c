/* service_process.c: child processes in Lua's hands: what saros.process (saros/process.lua) stands on.
 *
 * Each is a job of the service from its beginning to its end: begun on the service's thread, as a program may be on a disk
 * that is slow, and its end is seen there; service_proc.c, or service_proc_windows.c, has the rest. Owns the child until it is reaped: a loop that closes kills those that run, and waits for them. Promises:
 * whoever is cancelled while a child begins leaves none; a wait that is cancelled does not touch it; all who wait are told. */
#include <signal.h>
#include <string.h>

#include "bindings/lua/services/file.h"
#include "bindings/lua/services/service.h"
#include "bindings/lua/services/service_proc.h"
#include "bindings/lua/streams/stream.h"

typedef struct process {
    saros_job       job;     /* first; told when it has ended. Its waiters are those of the end */
    saros_op        running; /* posted when it runs */
    saros_waiter   *starters;
    saros_proc      child;
    saros_os_handle ours; /* our end of a pipe that is no stream yet, or none */
    bool            used, over;
} process;

static process *check(lua_State *L) { return saros_check(L, 1, SAROS_T_PROCESS); }

/* ---- on the service's thread ------------------------------------------------------------------------------------ */

static void ended(saros_proc *child, int error) {
    process *self = (process *)(void *)((char *)child - offsetof(process, child));
    saros_job_done(&self->job, error);
}

static int begin(saros_service *service, saros_job *job) {
    process *self = (process *)(void *)job;
    int      error = saros_proc_begin(service, &self->child);
    if (error == 0) saros_post(job->rt->loop, &self->running, 0);
    return error < 0 ? error : 0;
}

static void stop(saros_service *service, saros_job *job) {
    (void)service;
    saros_proc_kill(&((process *)(void *)job)->child, SIGKILL);
}

/* ---- on the loop's thread: beginning ---------------------------------------------------------------------------- */

static void now_running(saros_loop *loop, saros_op *op, int64_t result) {
    process *self = (process *)(void *)((char *)op - offsetof(process, running));
    (void)loop, (void)result;
    if (self->starters == NULL) saros_job_give_up(&self->job); /* who wanted it has gone */
    else saros_wake_all(&self->starters, 0);
}

static bool told(saros_job *job) {
    process *self = (process *)(void *)job;
    saros_abandon(job->rt->loop, &self->running);
    saros_wake_all(&self->starters, job->op.result);
    saros_proc_free(&self->child);
    self->over = true;
    return false;
}

static int start_k(lua_State *L, int status, lua_KContext ctx) {
    process    *self = lua_touserdata(L, 1);
    saros_task *task = saros_resumed_raw(L);
    (void)status, (void)ctx;
    saros_wait_unlink(&task->wait);
    if (task->op.result < 0 && saros_is_cancelled(task)) {
        saros_job_give_up(&self->job);
        return saros_raise_cancelled(L, task);
    }
    if (task->op.result < 0) {
        saros_fail(L, (int)task->op.result, "%s", saros_error_text((int)task->op.result));
        lua_pushstring(L, self->child.of);
        return 4;
    }
    lua_pushinteger(L, (lua_Integer)self->child.pid);
    return 1;
}

/* child:start() -> pid, or nil, message, code, what it is of. */
static int start(lua_State *L) {
    char        why[256];
    process    *self = check(L);
    saros_task *task = saros_begin(L, "saros.process.spawn");
    lua_settop(L, 1);
    self->running.done = now_running;
    saros_expect(task->rt->loop, &self->running);
    int error = saros_job_start(L, task->rt, 1, why, sizeof why); /* may raise, and then it was not used */
    self->used = true;
    if (error < 0) {
        saros_abandon(task->rt->loop, &self->running);
        saros_proc_free(&self->child);
        self->over = true;
        return saros_fail(L, error, "%s", why);
    }
    saros_job_hold(&self->job);
    saros_wait_on(task, &self->starters);
    return saros_suspend(L, task, 0, start_k);
}

/* ---- the end ---------------------------------------------------------------------------------------------------- */

static int push_status(lua_State *L, const process *self) {
    if (self->child.how == NULL)
        return saros_fail(L, SAROS_ECHILD, "process: somebody else in this program has taken its exit status");
    lua_pushstring(L, self->child.how);
    lua_pushinteger(L, self->child.number);
    return 2;
}

static int wait_k(lua_State *L, int status, lua_KContext ctx) {
    process    *self = lua_touserdata(L, 1);
    saros_task *task = saros_resumed_raw(L);
    (void)status, (void)ctx;
    saros_wait_unlink(&task->wait);
    if (task->op.result < 0 && saros_is_cancelled(task)) return saros_raise_cancelled(L, task);
    return push_status(L, self);
}

static int wait(lua_State *L) {
    process    *self = check(L);
    saros_task *task = saros_begin(L, "process:wait");
    lua_settop(L, 1);
    if (self->over) return saros_answer(L, task, push_status(L, self));
    if (self->job.rt != task->rt) return luaL_error(L, "process:wait: the process belongs to another loop");
    saros_wait_on(task, &self->job.waiters);
    return saros_suspend(L, task, 0, wait_k);
}

/* child:kill(number or name) */
static int kill_child(lua_State *L) {
    process *self = check(L);
    int      number = 0;
    if (lua_type(L, 2) == LUA_TSTRING) {
        number = saros_proc_signal(lua_tostring(L, 2));
        luaL_argcheck(L, number > 0, 2, "a signal's name or number expected, such as \"SIGTERM\"");
    } else {
        lua_Integer given = luaL_optinteger(L, 2, SIGTERM);
        luaL_argcheck(L, given >= 0 && given <= 64, 2, "a signal's name or number expected, such as \"SIGTERM\"");
        number = (int)given;
    }
    int error = self->over ? SAROS_ESRCH : saros_proc_kill(&self->child, number);
    if (error == SAROS_ESRCH) return saros_fail(L, error, "kill: the process has ended");
    if (error < 0) return saros_fail(L, error, "kill: %s", saros_error_text(error));
    lua_pushboolean(L, 1);
    return 1;
}

static int is_over(lua_State *L) {
    lua_pushboolean(L, check(L)->over);
    return 1;
}

/* ---- making ----------------------------------------------------------------------------------------------------- */

/* The strings of the list at index as C has them; it is kept in a user value of the process on top. */
static char **strings_of(lua_State *L, int index, int value) {
    size_t count = lua_rawlen(L, index);
    char **list = lua_newuserdatauv(L, (count + 1) * sizeof *list, 1);
    for (size_t i = 0; i < count; i++) {
        lua_rawgeti(L, index, (lua_Integer)i + 1);
        list[i] = (char *)(uintptr_t)lua_tostring(L, -1); /* not written to: exec's types are older than const */
        lua_pop(L, 1);
    }
    list[count] = NULL;
    lua_pushvalue(L, index);
    lua_setiuservalue(L, -2, 1);
    lua_setiuservalue(L, -2, value);
    return list;
}

/* saros._child(arguments, environment or nil, PATH, cwd or nil) -> what start() begins. Lists of strings without zeros. */
static int make(lua_State *L) {
    saros_rt *rt = saros_loop_now(L, "saros.process.spawn");
    if (rt->world != NULL) return saros_fail(L, SAROS_ENOSYS, "a simulated world has no processes");
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 4);
    process *self = saros_new(L, rt->lua, SAROS_T_PROCESS, sizeof *self, 4);
    self->ours = SAROS_NO_HANDLE;
    self->used = !saros_proc_init(&self->child);
    if (self->used) return luaL_error(L, "saros.process.spawn: no room for a lock");
    self->child.ended = ended;
    self->job.begin = begin;
    self->job.stop = stop;
    self->job.told = told;
    self->child.argv = strings_of(L, 1, 1);
    if (!lua_isnil(L, 2)) self->child.env = strings_of(L, 2, 2);
    self->child.path = luaL_checkstring(L, 3); /* a number is a string from here on, and that is what is kept */
    self->child.cwd = lua_tostring(L, 4);
    for (int i = 3; i <= 4; i++) {
        lua_pushvalue(L, i);
        lua_setiuservalue(L, 5, i);
    }
    return 1;
}

static int gc(lua_State *L) {
    process *self = check(L);
    if (self->ours != SAROS_NO_HANDLE) saros_proc_drop(self->ours);
    if (!self->used) saros_proc_free(&self->child); /* else the service has it, or had it */
    self->used = true;
    self->ours = SAROS_NO_HANDLE;
    return 0;
}

/* ---- standard input, output, error ------------------------------------------------------------------------------ */

static int failed(lua_State *L, int error) { return saros_fail(L, error, "%s", saros_error_text(error)); }

/* A descriptor for what is at 3; or an error; or SAROS_EINVAL, it is none. */
static int descriptor(lua_State *L) {
    const saros_stream *stream = saros_test(L, saros_state(L), 3, SAROS_T_STREAM);
    const luaL_Stream  *file = luaL_testudata(L, 3, LUA_FILEHANDLE);
    saros_file         *ours = saros_test(L, saros_state(L), 3, SAROS_T_FILE);
    if (stream != NULL) return stream->rt == NULL ? SAROS_ECLOSED : saros_proc_copy_stream(stream->handle.os);
    if (ours != NULL) {
        if (ours->rt == NULL) return SAROS_ECLOSED;
        saros_file_share(ours);
        return saros_proc_copy(ours->fd);
    }
    if (file == NULL) return SAROS_EINVAL;
    if (file->closef == NULL) return SAROS_ECLOSED;
    fflush(file->f);
    return saros_proc_copy(fileno(file->f));
}

/* child:stdio(0 to 2, "inherit", "null", "stdout", a file of Lua's or a stream) -> true */
static int set_stdio(lua_State *L) {
    process    *self = check(L);
    int         at = (int)luaL_checkinteger(L, 2);
    const char *word = lua_type(L, 3) == LUA_TSTRING ? lua_tostring(L, 3) : "";
    int         fd = SAROS_INHERITED;
    luaL_argcheck(L, at >= 0 && at <= 2 && !self->used, 2, "a standard descriptor of what was not begun expected");
    if (strcmp(word, "stdout") == 0) fd = SAROS_AS_OUTPUT;
    else if (strcmp(word, "null") == 0) {
        fd = saros_proc_null();
        if (fd < 0) return failed(L, fd);
    } else if (strcmp(word, "inherit") != 0) {
        fd = descriptor(L);
        if (fd < 0) return failed(L, fd);
    }
    self->child.stdio[at] = fd;
    lua_pushboolean(L, 1);
    return 1;
}

/* child:pipe(0 to 2[, limit of read("a")]) -> the stream at our end */
static int set_pipe(lua_State *L) {
    process  *self = check(L);
    int       at = (int)luaL_checkinteger(L, 2);
    size_t    limit = (size_t)luaL_optinteger(L, 3, SAROS_ALL_LIMIT);
    saros_rt *rt = saros_loop_now(L, "saros.process.spawn");
    luaL_argcheck(L, at >= 0 && at <= 2 && !self->used, 2, "a standard descriptor of what was not begun expected");
    int error = saros_proc_pipe(&self->child, at, &self->ours);
    if (error < 0) return failed(L, error);
    error = saros_stream_adopt(L, rt, self->ours, SAROS_LINE_LIMIT, limit); /* raises without memory */
    if (error < 0) saros_proc_drop(self->ours);
    self->ours = SAROS_NO_HANDLE;
    return error < 0 ? failed(L, error) : 1;
}

void saros_open_process(lua_State *L) {
    static const luaL_Reg methods[] = {{"start", start},  {"wait", wait},     {"kill", kill_child},
                                       {"over", is_over}, {"pipe", set_pipe}, {"stdio", set_stdio},
                                       {NULL, NULL}};
    static const luaL_Reg functions[] = {{"_child", make}, {NULL, NULL}};
    saros_type_make(L, SAROS_T_PROCESS, "saros.process", methods, (const luaL_Reg[]){{"__gc", gc}, {NULL, NULL}});
    saros_add(L, functions);
}
