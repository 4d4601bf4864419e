/* thread.c: saros.thread: a function that runs in a state, on a loop and on a thread of its own, as seen from the side that
 * has started it.
 *
 * There it is a task, which waits for the thread's end: so it can be awaited, cancelled, gathered and named as any other,
 * its error is reported where nobody awaits it, and a loop that ends cancels and awaits it with the rest. What the thread's
 * loop has to say comes here as well, and is reported by this loop.
 *
 * Owns the record of the thread: a userdata on that task's stack, closed in whatever way the task ends, which joins the
 * thread. Promises: no thread outlives the loop that has started it; cancelling passes the cancellation on, once, and then
 * waits: a thread ends by itself, or where it computes on and on (busy.c), and what blocks in C is waited for. */
#include <stdio.h>
#include <stdlib.h>

#include "bindings/lua/threads/threads.h"

/* ---- the function ----------------------------------------------------------------------------------------------- */

typedef struct writer {
    luaL_Buffer buffer;
    bool        begun;
} writer;

static int write_piece(lua_State *L, const void *data, size_t size, void *p) {
    writer *w = p;
    if (!w->begun) luaL_buffinit(L, &w->buffer);
    w->begun = true;
    luaL_addlstring(&w->buffer, data, size);
    return 0;
}

/* Pushes the code of the function at `arg`, which must need nothing of this state but its globals. NULL, or why not, on
 * the stack as well. */
static const char *push_code(lua_State *L, int arg) {
    const char *name;
    if (!lua_isfunction(L, arg))
        return lua_pushfstring(L, "function or file's name expected, got %s", luaL_typename(L, arg));
    if (lua_iscfunction(L, arg)) return lua_pushliteral(L, "a function of C's cannot cross threads");
    for (int i = 1; (name = lua_getupvalue(L, arg, i)) != NULL; i++) {
        lua_pop(L, 1);
        if (strcmp(name, "_ENV") == 0) continue;
        return lua_pushfstring(
            L,
            "upvalue '%s': a function that crosses threads may have none but _ENV; hand over what it "
            "needs, or require it there",
            name);
    }
    writer w = {.begun = false};
    lua_pushvalue(L, arg);
    lua_dump(L, write_piece, &w, 0); /* with its names and lines, for tracebacks */
    luaL_pushresult(&w.buffer);
    lua_remove(L, -2);
    return NULL;
}

/* ---- its end ---------------------------------------------------------------------------------------------------- */

/* What its loop had to say. */
static void report_notes(saros_thread *t) {
    saros_mutex_lock(&t->lock);
    saros_note *note = t->first;
    t->first = t->last = NULL;
    t->noted = false;
    saros_mutex_unlock(&t->lock);
    while (note != NULL) {
        saros_note *next = note->next;
        saros_report(t->parent, note->text);
        free(note);
        note = next;
    }
}

/* The thread ends, or has ended. Cannot raise. */
static void join(saros_thread *t) {
    if (!t->started || t->joined) return;
    saros_os_thread_join(&t->os);
    t->joined = true;
    saros_abandon(t->parent, &t->ended);
    saros_abandon(t->parent, &t->news);
    saros_abandon(t->parent, &t->again);
    report_notes(t);
    t->rt->reported += t->reported;
    saros_release(t->parent);
}

static saros_thread *of(saros_op *op, size_t offset) { return (saros_thread *)(void *)((char *)op - offset); }

static void news_told(saros_loop *loop, saros_op *op, int64_t result) {
    (void)result;
    saros_expect(loop, op); /* before it can be posted again */
    report_notes(of(op, offsetof(saros_thread, news)));
}

static void ended_told(saros_loop *loop, saros_op *op, int64_t result) {
    saros_thread *t = of(op, offsetof(saros_thread, ended));
    (void)loop, (void)result;
    join(t);
    t->over = true;
    saros_wake_all(&t->waiters, 0);
}

/* Tells the main task over there that it is cancelled; the first time. */
static void cancel(saros_thread *t, const char *reason) {
    saros_mutex_lock(&t->lock);
    bool first = !t->cancelled;
    if (first) {
        t->cancelled = true;
        snprintf(t->reason, sizeof t->reason, "%s", reason != NULL ? reason : "");
        if (t->loop != NULL) saros_post(t->loop, &t->cancel, 0);
    }
    saros_mutex_unlock(&t->lock);
    if (first && t->started) saros_os_thread_interrupt(&t->os); /* perhaps it never comes back to its loop */
}

/* It is where an interruption had no effect (busy.c), or blocks. */
static void again_told(saros_loop *loop, saros_op *op, int64_t result) {
    saros_thread *t = of(op, offsetof(saros_thread, again));
    (void)result;
    saros_os_thread_interrupt(&t->os);
    t->pause *= 2;
    saros_timer(loop, op, saros_later(loop, t->pause)); /* without memory this was the last time */
}

/* Whoever waited for it is gone: the loop closes, or the state. */
static int thread_close(lua_State *L) {
    saros_thread *t = saros_check(L, 1, SAROS_T_THREAD);
    if (!t->ready) return 0;
    if (!t->joined) cancel(t, NULL);
    join(t);
    saros_messages_free(t->job);
    saros_messages_free(t->outcome);
    saros_mutex_destroy(&t->lock);
    t->ready = false;
    return 0;
}

/* ---- the task that stands for it -------------------------------------------------------------------------------- */

/* Text, traceback, code (which may be nil) from index `at` on: raises the error that they tell of. */
static int raise_crossed(lua_State *L, int at) {
    lua_settop(L, at + 2);
    if (lua_isnil(L, at + 2)) lua_pushvalue(L, at);
    else saros_push_error(L, at, at + 2);
    if (lua_type(L, at + 1) == LUA_TSTRING) {
        lua_pushvalue(L, at + 1);
        saros_retrace(L, -2);
    }
    return lua_error(L);
}

static int outcome(lua_State *L, const saros_task *task, const saros_thread *t) {
    lua_settop(L, 1);
    if (t->fate == SAROS_CANCELLED && saros_is_cancelled(task)) return saros_raise_cancelled(L, (saros_task *)task);
    int count = t->outcome != NULL ? saros_unpack(L, t->outcome) : 0;
    if (t->fate == SAROS_RETURNED) return count;
    if (t->fate == SAROS_FAILED && count > 0) return raise_crossed(L, 2);
    if (t->fate == SAROS_FAILED) return saros_raise(L, SAROS_ENOMEM, "saros.thread: not enough memory in the thread");
    lua_settop(L, 2);
    return saros_raise_was_cancelled(L, "the thread's main task was cancelled");
}

static int watch_k(lua_State *L, int status, lua_KContext ctx) {
    saros_thread *t = lua_touserdata(L, 1);
    saros_task   *task = saros_resumed_raw(L);
    (void)status, (void)ctx;
    saros_wait_unlink(&task->wait);
    task->unwakable = false;
    if (t->over) return outcome(L, task, t);
    saros_push_reason(L, task);
    cancel(t, lua_isnil(L, -1) ? NULL : saros_text_of(L, -1));
    lua_settop(L, 1);
    t->again.done = again_told;
    t->pause = SAROS_SECOND;
    saros_timer(t->parent, &t->again, saros_later(t->parent, t->pause));
    task->unwakable = true; /* until the thread has ended, and there is no way to hurry it */
    saros_wait_on(task, &t->waiters);
    return saros_suspend(L, task, 0, watch_k);
}

static int start(saros_thread *t) {
    t->ended.done = ended_told;
    t->news.done = news_told;
    saros_expect(t->parent, &t->ended);
    saros_expect(t->parent, &t->news);
    saros_hold(t->parent);
    t->os.body = saros_thread_body;
    t->os.interrupted = saros_thread_interrupted;
    t->os.p = t;
    int error = saros_os_thread_start(&t->os, t->rt->lua->thread != NULL ? &t->rt->lua->thread->os : NULL);
    t->started = error == 0;
    if (t->started) return 0;
    saros_abandon(t->parent, &t->ended);
    saros_abandon(t->parent, &t->news);
    saros_release(t->parent);
    return error;
}

/* The body of that task. Stack: the thread. */
static int watch(lua_State *L) {
    saros_thread *t = lua_touserdata(L, 1);
    lua_toclose(L, 1);
    saros_task *task = saros_begin(L, "saros.thread");
    saros_task_push(L, task);
    saros_box(L, &task->is, -1);
    lua_pushstring(L, t->name);
    lua_setfield(L, -2, "name");
    lua_settop(L, 1);
    int error = start(t);
    if (error < 0) {
        lua_pushfstring(L, "saros.thread: the system gives no thread: %s", saros_error_text(error));
        return saros_raise(L, error, lua_tostring(L, -1));
    }
    saros_wait_on(task, &t->waiters);
    return saros_suspend(L, task, 0, watch_k);
}

/* ---- saros.thread ----------------------------------------------------------------------------------------------- */

/* An option that is a string, into a place of the record; raises. */
static void text_option(lua_State *L, const char *name, char *to, size_t size) {
    size_t length;
    if (saros_option(L, 1, name) != LUA_TNIL) {
        if (lua_type(L, -1) != LUA_TSTRING)
            luaL_argerror(L, 1, lua_pushfstring(L, "option '%s' must be a string", name));
        const char *text = lua_tolstring(L, -1, &length);
        if (length >= size || strlen(text) < length)
            luaL_argerror(L, 1, lua_pushfstring(L, "option '%s' is too long", name));
        memcpy(to, text, length + 1);
    }
    lua_pop(L, 1);
}

/* Pushes package.path, package.cpath and arg, as far as they are what they should be. */
static void push_surroundings(lua_State *L) {
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    if (lua_getfield(L, -1, LUA_LOADLIBNAME) != LUA_TTABLE) lua_newtable(L);
    int package = lua_gettop(L);
    lua_getfield(L, package, "path");
    lua_getfield(L, package, "cpath");
    for (int i = package + 1; i <= package + 2; i++) {
        if (lua_type(L, i) == LUA_TSTRING) continue;
        lua_pushnil(L);
        lua_replace(L, i);
    }
    lua_newtable(L);
    if (lua_getglobal(L, "arg") == LUA_TTABLE) {
        for (lua_pushnil(L); lua_next(L, -2) != 0; lua_pop(L, 1)) {
            if (!lua_isinteger(L, -2) || lua_type(L, -1) != LUA_TSTRING) continue;
            lua_pushvalue(L, -1);
            lua_rawseti(L, package + 3, lua_tointeger(L, -3));
        }
    }
    lua_pop(L, 1);
    lua_remove(L, package);
    lua_remove(L, package - 1);
}

/* Pushes a thread that is ready to be started, with the function at `fn` and all the arguments behind it. */
static saros_thread *new_thread(lua_State *L, saros_rt *rt, int fn, int count) {
    saros_thread *t = saros_new(L, rt->lua, SAROS_T_THREAD, sizeof *t, 0);
    int           self = lua_gettop(L);
    t->rt = rt;
    t->parent = rt->loop;
    t->config = (saros_config)SAROS_CONFIG_INIT;
    t->config.seed = saros_configuration(rt->loop)->seed;
    t->manners = rt->manners;
    snprintf(t->name, sizeof t->name, "thread-%u", ++rt->lua->threads);
    snprintf(t->driver, sizeof t->driver, "%s", saros_driver_name(rt->loop));
    if (fn > 1) {
        text_option(L, "name", t->name, sizeof t->name);
        text_option(L, "driver", t->driver, sizeof t->driver);
    }
    luaL_checkstack(L, count + 16, "saros.thread");
    const char *why = NULL;
    if (lua_isfunction(L, fn)) why = push_code(L, fn);
    else lua_pushvalue(L, fn);
    if (why != NULL) luaL_argerror(L, fn, why);
    lua_pushboolean(L, lua_isfunction(L, fn));
    push_surroundings(L);
    for (int i = 1; i <= count; i++) lua_pushvalue(L, fn + i);
    t->job = saros_pack(L, self + 1, count + 5, "saros.thread", "argument", 4 - (fn - 1));
    if (!saros_mutex_init(&t->lock)) {
        saros_messages_free(t->job);
        luaL_error(L, "saros.thread: not enough memory");
    }
    t->ready = true;
    lua_replace(L, self + 1); /* the ends that it is given */
    lua_settop(L, self + 1);
    return t;
}

static int start_thread(lua_State *L, bool apart) {
    static const char *const options[] = {"name", "driver", NULL};
    saros_rt                *rt = saros_loop_now(L, "saros.thread");
    int                      fn = lua_istable(L, 1) ? 2 : 1, count = lua_gettop(L) - fn;
    if (fn == 2) saros_check_options(L, 1, options);
    if (!lua_isfunction(L, fn) && lua_type(L, fn) != LUA_TSTRING)
        luaL_typeerror(L, fn, "function or the name of a script");
    if (rt->world != NULL)
        return saros_fail(L, SAROS_ENOSYS, "saros.thread: there are no threads in a simulated world");
    new_thread(L, rt, fn, count);
    int self = lua_gettop(L) - 1;
    lua_pushlightuserdata(L, rt->lua);
    lua_pushcclosure(L, watch, 1);
    lua_pushvalue(L, self);
    saros_task *task = saros_spawn_now(L, rt, 1, NULL); /* now: that is what threads are for */
    if (apart) task->parent = 0;
    saros_ends_sent(L, self + 1);
    return 1;
}

/* saros.thread([options,] fn or file, ...) -> task */
static int thread_new(lua_State *L) { return start_thread(L, false); }

/* ---- for the parts written in Lua ------------------------------------------------------------------------------- */

/* saros._thread(...) -> as saros.thread; a task that nobody has spawned, so that nobody's join waits for it */
static int thread_apart(lua_State *L) { return start_thread(L, true); }

/* saros._code(fn) -> its code | nil, why there is none that can cross */
static int code(lua_State *L) {
    luaL_checkany(L, 1);
    if (push_code(L, 1) == NULL) return 1;
    lua_pushnil(L);
    lua_insert(L, -2);
    return 2;
}

/* saros._crossed(text, traceback, code): raises the error that another thread has told of */
static int crossed(lua_State *L) {
    lua_settop(L, 3);
    if (lua_type(L, 2) == LUA_TSTRING) {
        luaL_traceback(L, L, "that was called from", 1);
        lua_pushfstring(L, "%s\n%s", lua_tostring(L, 2), lua_tostring(L, -1));
        lua_replace(L, 2);
    }
    return raise_crossed(L, 1);
}

/* saros._error(err) -> text, traceback, code: what can cross threads of an error that is on its way */
static int error_parts(lua_State *L) {
    lua_settop(L, 1);
    saros_push_crossing_error(L, 1);
    return 3;
}

void saros_push_crossing_error(lua_State *L, int index) {
    saros_text_of(L, index);
    if (!saros_traced(L, index)) lua_pushnil(L);
    if (saros_is_error(L, index)) lua_getfield(L, index, "code");
    else lua_pushnil(L);
    if (lua_type(L, -1) == LUA_TSTRING) return;
    lua_pop(L, 1);
    lua_pushnil(L);
}

void saros_open_threads(lua_State *L) {
    static const luaL_Reg meta[] = {{"__close", thread_close}, {"__gc", thread_close}, {NULL, NULL}};
    static const luaL_Reg functions[] = {{"thread", thread_new}, {"_thread", thread_apart}, {"_code", code},
                                         {"_crossed", crossed},  {"_error", error_parts},   {NULL, NULL}};
    if (saros_state_slow(L)->meta[SAROS_T_THREAD] == NULL)
        saros_type_make(L, SAROS_T_THREAD, "saros.thread", NULL, meta);
    saros_open_thread_channel(L);
    saros_add(L, functions);
}
