/* debug.c: debug mode: what is not wrong, and yet nobody meant it.
 *
 * Told once each, to wherever messages go: a step of a task, or a callback, that takes over 100 ms without giving way
 * (semantics 10); a stream or listener that nobody closed, when it is collected or its loop ends; a result of a task or a
 * future that nobody took before it was collected or the loop ended, the first of each place. Nil and true say no more than
 * that it is done, and many tasks are there for what they do. Errors need none of this: they are always told.
 *
 * Owns, for a loop in debug mode, a weak table of what is watched, with the place where it was opened or set.
 * Promises: without debug mode nothing of this is made; nothing told here changes the exit code. */
#include <stdio.h>
#include <string.h>

#include "bindings/lua/look/dump.h"
#include "bindings/lua/streams/stream.h"

#define SLOW (SAROS_SECOND / 10)

/* SAROS_T_WATCH: is collected together with the task or future in user value 1. */
typedef struct watch {
    saros_rt *rt; /* NULL: it need not be told any more */
} watch;

/* ---- slow steps ------------------------------------------------------------------------------------------------ */

/* Pushes "task a (x.lua:3) ran for 0.130 s without giving way". */
static void push_slow_step(lua_State *L, saros_task *task, saros_time took) {
    char text[32];
    snprintf(text, sizeof text, "%.3f", (double)took / 1e9);
    saros_push_task_label(L, task);
    lua_pushfstring(L, "task %s ran for %s s without giving way", lua_tostring(L, -1), text);
    lua_replace(L, -2);
}

static saros_time step_took(const saros_rt *rt) { return saros_now(rt->loop) - rt->step_began; }

/* protected. p: the task, which is suspended. */
static int report_slow_step(lua_State *L) {
    saros_task *task = lua_touserdata(L, 1);
    push_slow_step(L, task, step_took(task->rt));
    saros_push_traceback(L, task);
    lua_pushfstring(L, "%s; that ended at\n%s", lua_tostring(L, -2), lua_tostring(L, -1));
    saros_report(task->rt->loop, lua_tostring(L, -1));
    return 0;
}

/* One that has ended may be gone already: saros_debug_ending has told of it. */
void saros_step_ended(saros_rt *rt, saros_task *task, int status) {
    if (rt->manners.debug && status == LUA_YIELD && step_took(rt) > SLOW)
        saros_protected(rt, report_slow_step, task, "the report of a slow step");
}

void saros_debug_call(lua_State *L, saros_rt *rt, int function, saros_time began) {
    saros_time took = saros_now(rt->loop) - began;
    if (took <= SLOW) return;
    lua_Debug ar;
    char      text[sizeof ar.short_src + 100];
    lua_pushvalue(L, function);
    lua_getinfo(L, ">S", &ar);
    snprintf(text, sizeof text, "a callback, the function at %s:%d, ran for %.3f s", ar.short_src, ar.linedefined,
             (double)took / 1e9);
    saros_report(rt->loop, text);
}

/* ---- what is watched ------------------------------------------------------------------------------------------- */

/* Pushes the loop's table under this key; true: it was made now. */
static bool push_table(lua_State *L, const void *key) {
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, key) == LUA_TTABLE) return false;
    lua_pop(L, 1);
    lua_newtable(L);
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, key);
    return true;
}

static void push_watched(lua_State *L, saros_rt *rt) {
    if (push_table(L, &rt->manners)) saros_make_weak(L, "k");
}

/* Has nothing been told of this place yet? */
static bool is_news(lua_State *L, saros_rt *rt, const char *place) {
    push_table(L, &rt->watched);
    bool news = lua_getfield(L, -1, place) == LUA_TNIL;
    lua_pushboolean(L, true);
    lua_setfield(L, -3, place);
    lua_pop(L, 2);
    return news;
}

/* The value on top, which stays, is told with the text below it, which is popped. */
static void watch_it(lua_State *L, saros_rt *rt) {
    luaL_checkstack(L, 8, "debug mode");
    push_watched(L, rt);
    lua_pushvalue(L, -2);
    lua_pushvalue(L, -4);
    lua_rawset(L, -3);
    lua_pop(L, 1);
    lua_remove(L, -2);
}

void saros_debug_opened(lua_State *L, saros_rt *rt) {
    if (!rt->manners.debug) return;
    saros_push_place(L);
    lua_insert(L, -2);
    watch_it(L, rt);
}

void saros_debug_excuse(lua_State *L, saros_rt *rt) {
    if (!rt->manners.debug) return;
    push_watched(L, rt);
    lua_pushvalue(L, -2);
    lua_pushnil(L);
    lua_rawset(L, -3);
    lua_pop(L, 1);
}

/* Is there one among the n values on top that somebody should have taken? */
static bool tells(lua_State *L, int n) {
    while (n > 0 && (lua_isnil(L, -n) || (lua_isboolean(L, -n) && lua_toboolean(L, -n)))) n--;
    return n > 0;
}

void saros_debug_settling(lua_State *L, saros_rt *rt, saros_awaitable *is, int index, int n) {
    saros_task *task = is->task ? (saros_task *)is : NULL;
    bool        taken = is->observed || is->waiters != NULL;
    if (taken || (task != NULL && (task == rt->main || task->report_now))) return;
    if (!tells(L, n)) return;
    int top = lua_gettop(L);
    luaL_checkstack(L, 8, "debug mode");
    saros_box(L, is, index);
    watch *self = saros_new(L, rt->lua, SAROS_T_WATCH, sizeof *self, 1);
    lua_pushvalue(L, index);
    lua_setiuservalue(L, -2, 1);
    if (task == NULL) saros_push_place(L);
    else saros_push_task_label(L, task);
    lua_insert(L, -2);
    watch_it(L, rt);
    self->rt = rt;
    lua_setfield(L, -2, "watch");
    lua_settop(L, top);
}

void saros_debug_ending(lua_State *co, saros_task *task, int status) {
    saros_rt *rt = task->rt;
    if (step_took(rt) > SLOW) {
        luaL_checkstack(co, 8, "debug mode");
        push_slow_step(co, task, step_took(rt));
        lua_pushfstring(co, "%s, and has ended", lua_tostring(co, -1));
        saros_report(rt->loop, lua_tostring(co, -1));
        lua_pop(co, 2);
    }
    if (status != LUA_OK && status != LUA_YIELD) return;
    saros_debug_settling(co, rt, &task->is, 1, lua_gettop(co) - 2);
}

static void report_not_taken(lua_State *L, saros_rt *rt, const saros_awaitable *is, const char *place) {
    const saros_task *task = is->task ? (const saros_task *)is : NULL;
    const char       *spot = task != NULL ? lua_pushfstring(L, "%s:%d", task->place, task->line) : place;
    if (!is_news(L, rt, spot)) return;
    const char *text = task != NULL ? "task %s has returned something that nobody ever awaited"
                                    : "a result that was set on a future at %s was never awaited";
    lua_pushfstring(L, text, place);
    saros_report(rt->loop, lua_tostring(L, -1));
}

/* The stream or watch at index is gone, or its loop ends; its place, or nil, is on top (popped). */
static void tell(lua_State *L, saros_rt *rt, int index) {
    const char   *place = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "?";
    watch        *self = saros_test(L, rt->lua, index, SAROS_T_WATCH);
    saros_stream *stream = saros_test(L, rt->lua, index, SAROS_T_LISTENER);
    const char   *kind = stream != NULL ? "listener" : "stream";
    if (stream == NULL) stream = saros_test(L, rt->lua, index, SAROS_T_STREAM);
    bool signals = saros_signals_open(saros_test(L, rt->lua, index, SAROS_T_SIGNALS));
    if (signals) kind = "source of signals";
    bool file = saros_file_is_open(saros_test(L, rt->lua, index, SAROS_T_FILE));
    if (file) kind = "file";
    int top = lua_gettop(L);
    if (signals || file || (stream != NULL && stream->rt != NULL)) {
        lua_pushfstring(L, "a %s that was opened at %s was never closed", kind, place);
        saros_report(rt->loop, lua_tostring(L, -1));
    } else if (self != NULL && self->rt != NULL) {
        self->rt = NULL;
        lua_getiuservalue(L, index, 1);
        const saros_awaitable *is = lua_touserdata(L, -1);
        if (!is->observed) report_not_taken(L, rt, is, place);
    }
    lua_settop(L, top - 1);
}

static int tell_protected(lua_State *L) {
    saros_rt *rt = lua_touserdata(L, 2);
    push_watched(L, rt);
    lua_pushvalue(L, 1);
    lua_rawget(L, -2);
    tell(L, rt, 1);
    return 0;
}

/* In finalizers: what is weak as a key is still in its table. */
void saros_debug_collected(lua_State *L, saros_rt *rt) {
    if (!rt->manners.debug) return;
    lua_pushcfunction(L, tell_protected);
    lua_pushvalue(L, 1);
    lua_pushlightuserdata(L, rt);
    if (lua_pcall(L, 2, 0, 0) != LUA_OK) lua_pop(L, 1);
}

static int watch_gc(lua_State *L) {
    watch *self = saros_check(L, 1, SAROS_T_WATCH);
    if (self->rt != NULL) saros_debug_collected(L, self->rt);
    return 0;
}

static int tell_all(lua_State *L) {
    saros_rt *rt = lua_touserdata(L, 1);
    push_watched(L, rt);
    for (lua_pushnil(L); lua_next(L, 2) != 0;) tell(L, rt, 3);
    lua_pushnil(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &rt->manners);
    lua_pushnil(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &rt->watched);
    return 0;
}

void saros_debug_end(saros_rt *rt) {
    if (rt->manners.debug) saros_protected(rt, tell_all, rt, "debug mode");
    rt->manners.debug = false;
}

void saros_open_debug(lua_State *L) {
    saros_type_make(L, SAROS_T_WATCH, "saros.watch", NULL, (const luaL_Reg[]){{"__gc", watch_gc}, {NULL, NULL}});
}
