/* handler.c: what becomes of an error that nobody takes: of a task that nobody awaited, of a callback.
 *
 * It goes to the loop's exception handler, as asyncio's does (semantics 9); without one it is reported, and counted, and
 * the program exits with 1. Owns the handler, a function of the script's, in the registry while the loop is open.
 * Promises: the loop lives on, whatever the handler does; one that fails itself is told, with what it was called for. */
#include "bindings/lua/tasks/task.h"

/* Pushes {message =, error =, task =, traceback =}. Error and traceback are at `error` and the place behind it. */
static void push_context(lua_State *L, const char *message, int task, int error) {
    lua_createtable(L, 0, 4);
    lua_pushstring(L, message);
    lua_setfield(L, -2, "message");
    lua_pushvalue(L, error);
    lua_setfield(L, -2, "error");
    lua_pushvalue(L, error + 1);
    lua_setfield(L, -2, "traceback");
    if (task == 0) return;
    lua_pushvalue(L, task);
    lua_setfield(L, -2, "task");
}

/* Calls the handler with the context on top (popped), outside any task. False: there is none, or it has failed. */
static bool handle(lua_State *L, saros_rt *rt) {
    saros_lua  *lua = rt->lua;
    saros_rt   *outer_rt = lua->current;
    saros_task *outer = rt->task;
    lua_rawgetp(L, LUA_REGISTRYINDEX, &rt->handled);
    lua_insert(L, -2);
    lua->current = rt;
    rt->task = NULL;
    int status = lua_pcall(L, 1, 0, 0);
    rt->task = outer;
    lua->current = outer_rt;
    if (status == LUA_OK) return true;
    lua_pushfstring(L, "the exception handler failed: %s", saros_text_of(L, -1));
    rt->reported++;
    saros_report(rt->loop, lua_tostring(L, -1));
    lua_pop(L, 3);
    return false;
}

/* message: error, and the traceback, if there is one, at `error` and behind it. */
static void report(lua_State *L, saros_rt *rt, const char *message, int error) {
    const char *trace = lua_type(L, error + 1) == LUA_TSTRING ? lua_tostring(L, error + 1) : NULL;
    lua_pushfstring(L, "%s: %s%s%s", message, saros_text_of(L, error), trace != NULL ? "\n" : "",
                    trace != NULL ? trace : "");
    rt->reported++;
    saros_report(rt->loop, lua_tostring(L, -1));
    lua_pop(L, 2);
}

void saros_unhandled(lua_State *L, saros_rt *rt, const char *message, int task) {
    int error = lua_gettop(L) - 1;
    luaL_checkstack(L, 8, "the exception handler");
    if (rt->handled) push_context(L, message, task, error);
    if (!rt->handled || !handle(L, rt)) report(L, rt, message, error);
    lua_settop(L, error - 1);
}

void saros_handler_forget(lua_State *L, saros_rt *rt) {
    if (!rt->handled) return;
    lua_pushnil(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &rt->handled);
    rt->handled = false;
}

/* ---- the loop's methods ---------------------------------------------------------------------------------------- */

static saros_rt *check_open(lua_State *L) {
    saros_rt *rt = saros_check(L, 1, SAROS_T_LOOP);
    if (rt->loop == NULL) luaL_error(L, "the loop is closed");
    return rt;
}

/* loop:set_exception_handler(fn) ; nil: the default again */
static int set_handler(lua_State *L) {
    saros_rt *rt = check_open(L);
    lua_settop(L, 2);
    if (!lua_isnil(L, 2)) luaL_checktype(L, 2, LUA_TFUNCTION);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &rt->handled);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &rt->handled);
    rt->handled = !lua_isnil(L, -1);
    lua_pushboolean(L, 1);
    return 1;
}

static int get_handler(lua_State *L) {
    lua_rawgetp(L, LUA_REGISTRYINDEX, &check_open(L)->handled);
    return 1;
}

/* Pushes the context's error and traceback; its message, as a string that the context keeps. */
static const char *take_context(lua_State *L) {
    luaL_checktype(L, 2, LUA_TTABLE);
    if (lua_getfield(L, 2, "message") != LUA_TSTRING) luaL_argerror(L, 2, "field 'message': string expected");
    lua_getfield(L, 2, "error");
    lua_getfield(L, 2, "traceback");
    return lua_tostring(L, -3);
}

/* loop:call_exception_handler(context): for whoever catches an error that is nobody's. */
static int call_handler(lua_State *L) {
    saros_rt *rt = check_open(L);
    lua_settop(L, 2);
    const char *message = take_context(L);
    lua_pushvalue(L, 2);
    if (!rt->handled) lua_pop(L, 1);
    if (!rt->handled || !handle(L, rt)) report(L, rt, message, 4);
    lua_pushboolean(L, 1);
    return 1;
}

/* loop:default_exception_handler(context): reports it. */
static int default_handler(lua_State *L) {
    saros_rt *rt = check_open(L);
    lua_settop(L, 2);
    const char *message = take_context(L);
    report(L, rt, message, 4);
    lua_pushboolean(L, 1);
    return 1;
}

const luaL_Reg saros_handler_methods[] = {{"set_exception_handler", set_handler},
                                          {"get_exception_handler", get_handler},
                                          {"call_exception_handler", call_handler},
                                          {"default_exception_handler", default_handler},
                                          {NULL, NULL}};
