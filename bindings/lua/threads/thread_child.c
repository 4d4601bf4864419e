/* thread_child.c: what runs on a thread of saros.thread: a new state, a loop on it, and the function as its main task.
 *
 * The state has its memory from malloc: the allocator of a host need not be for many threads. It has all of Lua's libraries,
 * and the module, installed. Everything that this side says goes to the loop of who has started it.
 *
 * Owns the state and the loop. Promises: before the other side is told of the end both are closed, so that whoever has
 * awaited it knows that all is done. */
#include <stdlib.h>

#include "bindings/lua/threads/threads.h"

/* config.report of its loops. */
static void note(void *user, const char *text) {
    saros_thread *t = user;
    size_t        size = strlen(text) + 1;
    saros_note   *one = malloc(sizeof *one + size);
    if (one == NULL) return;
    one->next = NULL;
    memcpy(one->text, text, size);
    saros_mutex_lock(&t->lock);
    if (t->last != NULL) t->last->next = one;
    else t->first = one;
    t->last = one;
    bool noted = t->noted;
    t->noted = true;
    saros_mutex_unlock(&t->lock);
    if (!noted) saros_post(t->parent, &t->news, 0);
}

/* ---- the end of its main function ------------------------------------------------------------------------------- */

/* protected: light userdata: the thread; the error */
static int keep_error(lua_State *L) {
    saros_thread *t = lua_touserdata(L, 1);
    saros_push_crossing_error(L, 2);
    t->outcome = saros_pack(L, 3, 3, "saros.thread", NULL, 0);
    return 0;
}

/* The error on top is how it ends. Where there is no memory to tell it, that it failed is known all the same. */
static void fail(lua_State *L, saros_thread *t) {
    t->fate = SAROS_FAILED;
    if (!lua_checkstack(L, 4)) return;
    lua_pushcfunction(L, keep_error);
    lua_pushlightuserdata(L, t);
    lua_pushvalue(L, -3);
    if (lua_pcall(L, 2, 0, 0) != LUA_OK) lua_pop(L, 1);
}

/* Inside its main task. Stack: the message handler, the results or the error. */
static int main_k(lua_State *L, int status, lua_KContext ctx) {
    saros_thread *t = (saros_thread *)ctx;
    int           count = lua_gettop(L) - 1;
    if (t->fate != SAROS_PENDING) return status == LUA_OK || status == LUA_YIELD ? 0 : lua_error(L); /* a deadlock */
    if (status == LUA_OK || status == LUA_YIELD) {
        t->outcome = saros_pack(L, 2, count, "saros.thread", "result", 0);
        t->fate = SAROS_RETURNED;
        return 0;
    }
    if (!saros_is_own_cancel(L, -1)) return lua_error(L);
    int error = lua_gettop(L);
    saros_push_reason(L, saros_running_task(saros_state_slow(L)));
    if (!lua_isnil(L, -1)) {
        saros_text_of(L, -1);
        t->outcome = saros_pack(L, lua_gettop(L), 1, "saros.thread", NULL, 0);
    }
    t->fate = SAROS_CANCELLED;
    lua_settop(L, error);
    return lua_error(L);
}

/* Its main task. Upvalue 2: the thread. Stack: the function, its arguments. */
static int main_body(lua_State *L) {
    saros_thread *t = lua_touserdata(L, lua_upvalueindex(2));
    int           nargs = lua_gettop(L) - 1;
    saros_task   *task = saros_running_task(saros_state(L));
    t->entered = true;
    luaL_checkstack(L, 8, "saros.thread");
    saros_task_push(L, task);
    saros_box(L, &task->is, -1);
    lua_pushstring(L, t->name);
    lua_setfield(L, -2, "name");
    lua_pop(L, 2);
    lua_pushcfunction(L, saros_traceback);
    lua_insert(L, 1);
    return main_k(L, lua_pcallk(L, nargs, LUA_MULTRET, 1, (lua_KContext)t, main_k), (lua_KContext)t);
}

/* ---- the thread ------------------------------------------------------------------------------------------------- */

static void cancel_told(saros_loop *loop, saros_op *op, int64_t result) {
    saros_thread *t = (saros_thread *)(void *)((char *)op - offsetof(saros_thread, cancel));
    (void)loop, (void)result;
    saros_thread_cancelled(t);
    saros_thread_watch(t);
}

/* From here on its main task can be cancelled by the other side. False: it was already. */
static bool publish(saros_thread *t) {
    saros_loop *loop = t->child->loop;
    t->cancel.done = cancel_told;
    saros_expect(loop, &t->cancel);
    saros_mutex_lock(&t->lock);
    bool wanted = !t->cancelled;
    t->loop = loop;
    saros_mutex_unlock(&t->lock);
    return wanted;
}

static void withdraw(saros_thread *t) {
    saros_mutex_lock(&t->lock);
    t->loop = NULL;
    saros_mutex_unlock(&t->lock);
    saros_abandon(t->child->loop, &t->cancel);
}

/* What push_surroundings has found in the other state, from `at` on. */
static void take_surroundings(lua_State *L, int at) {
    lua_getglobal(L, LUA_LOADLIBNAME);
    lua_pushvalue(L, at);
    lua_setfield(L, -2, "path");
    lua_pushvalue(L, at + 1);
    lua_setfield(L, -2, "cpath");
    lua_pushvalue(L, at + 2);
    lua_setglobal(L, "arg");
    lua_pop(L, 1);
}

static void load_function(lua_State *L, int code, bool is_function) {
    size_t      length;
    const char *text = lua_tolstring(L, code, &length);
    int         status = is_function ? luaL_loadbufferx(L, text, length, "=thread", "b") : luaL_loadfilex(L, text, "t");
    if (status != LUA_OK) lua_error(L);
}

/* In place of os.execute and io.popen, whose processes would otherwise be deaf to signals as this thread is. */
static int begin_process(lua_State *L) {
    const saros_thread *t = ((saros_lua *)lua_touserdata(L, lua_upvalueindex(1)))->thread;
    lua_pushvalue(L, lua_upvalueindex(2));
    lua_insert(L, 1);
    saros_os_thread_outside(&t->os, true);
    int status = lua_pcall(L, lua_gettop(L) - 1, LUA_MULTRET, 0);
    saros_os_thread_outside(&t->os, false);
    return status == LUA_OK ? lua_gettop(L) : lua_error(L);
}

static void open_libraries(lua_State *L, saros_thread *t) {
    luaL_openlibs(L);
    luaL_requiref(L, "saros", luaopen_saros, 0);
    lua_getfield(L, -1, "thread"); /* knows channels from here on */
    saros_lua *lua = saros_state_slow(L);
    lua->thread = t;
    lua_getglobal(L, LUA_OSLIBNAME);
    saros_wrap(L, "execute", begin_process, lua);
    lua_getglobal(L, LUA_IOLIBNAME);
    saros_wrap(L, "popen", begin_process, lua);
    lua_pop(L, 3);
    saros_install(L, lua);
}

enum { AT_THREAD = 1, AT_MODULE, AT_CODE, AT_IS_FUNCTION, AT_PATH, AT_ARGUMENTS = AT_PATH + 3 };

/* protected: light userdata: the thread */
static int thread_main(lua_State *L) {
    saros_thread *t = lua_touserdata(L, AT_THREAD);
    luaL_checkversion(L);
    open_libraries(L, t);
    saros_lua *lua = saros_state_slow(L);
    saros_unpack(L, t->job);
    take_surroundings(L, AT_PATH);
    t->config.report = note;
    t->config.user = t;
    t->config.driver = t->driver;
    lua->config = &t->config;
    lua->manners = t->manners;
    t->child = saros_rt_new(L, lua, NULL, NULL);
    atomic_store(&t->open, t->child);
    lua_insert(L, AT_ARGUMENTS);
    int nargs = lua_gettop(L) - AT_ARGUMENTS;
    load_function(L, AT_CODE, lua_toboolean(L, AT_IS_FUNCTION));
    lua_insert(L, AT_ARGUMENTS + 1);
    lua_pushlightuserdata(L, lua);
    lua_pushlightuserdata(L, t);
    lua_pushcclosure(L, main_body, 2);
    lua_insert(L, AT_ARGUMENTS + 1);
    if (publish(t)) {
        int status = saros_rt_run(L, t->child, nargs + 1);
        if (!t->entered && t->child->interrupted) t->fate = SAROS_CANCELLED;
        if (status != LUA_OK && t->fate == SAROS_PENDING) fail(L, t);
    } else {
        t->fate = SAROS_CANCELLED;
    }
    withdraw(t);
    saros_rt_shutdown(L, t->child);
    atomic_store(&t->open, NULL);
    saros_rt_close(L, t->child);
    t->reported = t->child->reported;
    return 0;
}

void saros_thread_body(void *p) {
    saros_thread *t = p;
    lua_State    *L = luaL_newstate();
    t->fate = L == NULL ? SAROS_FAILED : SAROS_PENDING;
    if (L != NULL) {
        lua_pushcfunction(L, thread_main);
        lua_pushlightuserdata(L, t);
        if (lua_pcall(L, 1, 0, 0) != LUA_OK && t->fate == SAROS_PENDING) fail(L, t);
        atomic_store(&t->open, NULL);
        lua_close(L);
    }
    saros_post(t->parent, &t->ended, 0); /* the last thing: it may be joined, and gone, at once */
}
