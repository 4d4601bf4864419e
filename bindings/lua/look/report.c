/* report.c: tasks in words: names, lists, tracebacks, and the errors that nobody awaited.
 *
 * Promises: an error is reported once; a __tostring that fails itself does no harm. */
#include <string.h>

#include "bindings/lua/tasks/task.h"

const char *saros_task_name(lua_State *L, saros_task *task, int index) {
    if (task->is.boxed) {
        lua_getiuservalue(L, index, 1);
        lua_getfield(L, -1, "name");
        lua_remove(L, -2);
        if (lua_type(L, -1) == LUA_TSTRING) return lua_tostring(L, -1);
        lua_pop(L, 1);
    }
    return lua_pushfstring(L, "task-%d", (int)task->id);
}

void saros_push_wait(lua_State *L, const saros_task *task) {
    lua_Debug ar;
    for (int level = 0; task->at != NULL && lua_getstack(task->at, level, &ar); level++) {
        lua_getinfo(task->at, "Sl", &ar);
        if (ar.currentline < 0) continue;
        lua_pushfstring(L, " waits at %s:%d", ar.short_src, ar.currentline);
        return;
    }
    lua_pushliteral(L, "");
}

/* Pushes the traceback of co without its headline. */
static void push_lines(lua_State *L, lua_State *co) {
    luaL_traceback(L, co, NULL, 0);
    const char *lines = strchr(lua_tostring(L, -1), '\n');
    lua_pushstring(L, lines != NULL ? lines : "");
    lua_replace(L, -2);
}

void saros_push_traceback(lua_State *L, const saros_task *task) {
    int parts = 0;
    lua_pushliteral(L, "");
    for (lua_State *co = task->co; co != NULL; co = saros_tunnel_inner(task, co)) { /* put together from the end */
        luaL_checkstack(L, 8, "traceback");
        push_lines(L, co);
        if (parts++ > 0) {
            lua_pushliteral(L, "\nthat coroutine was resumed:");
            lua_rotate(L, -3, 2); /* lines, headline, what was there */
            lua_concat(L, 3);
        } else {
            lua_replace(L, -2);
        }
    }
    lua_pushliteral(L, "stack traceback:");
    lua_insert(L, -2);
    lua_concat(L, 2);
}

size_t saros_describe_tasks(lua_State *L, saros_rt *rt, size_t most, bool waits) {
    size_t shown = 0;
    lua_pushliteral(L, "");
    for (saros_task *task = rt->first; task != NULL; task = task->next) {
        if (task->is.fate != SAROS_PENDING || (!waits && task->cancelled)) continue;
        if (shown++ >= most) continue;
        lua_pushstring(L, shown > 1 ? ", " : "");
        saros_task_push(L, task);
        saros_task_name(L, task, lua_gettop(L));
        lua_remove(L, -2);
        if (task->line > 0) lua_pushfstring(L, " (%s:%d)", task->place, task->line);
        else lua_pushliteral(L, "");
        if (waits) saros_push_wait(L, task);
        else lua_pushliteral(L, "");
        lua_concat(L, 5);
    }
    if (shown > most) {
        lua_pushfstring(L, " and %d more", (int)(shown - most));
        lua_concat(L, 2);
    }
    return shown;
}

/* Once for each task: it was cancelled, and catches that again and again. */
void saros_report_swallowing(lua_State *L, saros_task *task) {
    if (task->swallows) return;
    task->swallows = true;
    saros_task_push(L, task);
    saros_task_name(L, task, lua_gettop(L));
    saros_push_wait(L, task);
    lua_pushfstring(L, "task %s (%s:%d)%s: it was cancelled, and has caught that a hundred times", lua_tostring(L, -2),
                    task->place, task->line, lua_tostring(L, -1));
    saros_report(task->rt->loop, lua_tostring(L, -1));
    lua_pop(L, 4);
}

static int to_text(lua_State *L) {
    luaL_tolstring(L, 1, NULL);
    return 1;
}

const char *saros_text_of(lua_State *L, int index) {
    index = lua_absindex(L, index);
    lua_pushcfunction(L, to_text);
    lua_pushvalue(L, index);
    if (lua_pcall(L, 1, 1, 0) != LUA_OK) { /* its __tostring has failed: then its type must do */
        lua_pop(L, 1);
        lua_pushfstring(L, "(error object is a %s value)", luaL_typename(L, index));
    }
    return lua_tostring(L, -1);
}

/* protected: tells of task p, which is anchored. */
static int report(lua_State *L) {
    saros_task *task = lua_touserdata(L, 1);
    saros_push_anchored(L, task->rt, task);
    const char *name = saros_task_name(L, task, 2);
    if (task->line > 0) lua_pushfstring(L, "task %s (spawned at %s:%d)", name, task->place, task->line);
    else lua_pushfstring(L, "task %s", name); /* by a host, or one of our parts */
    lua_pushliteral(L, " failed and nobody awaited it");
    lua_concat(L, 2);
    const char *message = lua_tostring(L, -1);
    lua_getiuservalue(L, 2, 1);
    if (task->is.boxed) {
        lua_rawgeti(L, -1, 1);
        lua_getfield(L, -2, "traceback");
    } else {
        if (task->is.values == 0) lua_pushnil(L);
        lua_pushnil(L);
    }
    if (task->is.values == 0 && !task->rt->handled) {
        lua_pushliteral(L, "an error without a value");
        lua_replace(L, -3);
    }
    saros_unhandled(L, task->rt, message, 2);
    return 0;
}

void saros_task_report(saros_task *task) {
    task->is.observed = true;
    if (!saros_protected(task->rt, report, task, "the report of a failed task")) task->rt->reported++;
}

/* ---- the message handler -------------------------------------------------------------------------------------- */

/* Registry: {error, traceback, failed} of the error that is on its way out. failed: the task or
 * coroutine that it has come from, in words, where the place at which it was awaited is not yet in the traceback. */
static const char traced_key = 0;

enum { LONG_STORY = 8 * 1024 /* bytes: then further awaits are left out, or a chain of n tasks would take n * n */ };

/* The error at 1, whose traceback is at the top, has come from another task: says where that one was awaited. So an error
 * keeps its story: where it was raised, and step by step where each task was spawned and what awaited it. */
static void go_on_with_story(lua_State *L) {
    size_t      length;
    saros_lua  *lua = saros_state_slow(L);
    saros_task *task = saros_running_task(lua);
    if (lua_tolstring(L, -1, &length) == NULL || length > LONG_STORY) return;
    lua_rawgetp(L, LUA_REGISTRYINDEX, &traced_key);
    lua_rawgeti(L, -1, 3);
    lua_replace(L, -2);
    if (lua_isnil(L, -1)) return;
    if (task != NULL) {
        saros_task_push(L, task);
        lua_pushfstring(L, " by task %s:", saros_task_name(L, task, lua_gettop(L)));
        lua_rotate(L, -3, 1);
        lua_pop(L, 2);
    } else {
        lua_pushliteral(L, ":");
    }
    luaL_traceback(L, L, NULL, 1);
    lua_pushstring(L, strchr(lua_tostring(L, -1), '\n')); /* without its headline */
    lua_replace(L, -2);
    lua_concat(L, 4);
    saros_retrace(L, 1);
}

/* Takes the traceback before the stack is unwound. An error that an inner scope passes on keeps the deeper one. */
int saros_traceback(lua_State *L) {
    saros_lua *lua = saros_state_slow(L);
    lua_settop(L, 1);
    if (saros_test(L, lua, 1, SAROS_T_CANCELLED) != NULL) return 1; /* a cancellation is no news */
    if (saros_traced(L, 1)) {
        go_on_with_story(L);
        lua_settop(L, 1);
        return 1;
    }
    luaL_traceback(L, L, NULL, 1);
    saros_retrace(L, 1);
    return 1;
}

void saros_retrace_awaited(lua_State *L, saros_awaitable *is, int index) {
    int error = lua_gettop(L);
    lua_getiuservalue(L, index, 1);
    if (lua_getfield(L, -1, "traceback") == LUA_TNIL) { /* others have come in between, and it was lost */
        lua_settop(L, error);
        return;
    }
    saros_retrace(L, error);
    if (is->task) {
        const saros_task *task = (saros_task *)(void *)is;
        lua_rawgetp(L, LUA_REGISTRYINDEX, &traced_key);
        saros_task_name(L, (saros_task *)(void *)is, index);
        lua_pushfstring(L, "\ntask %s, spawned at %s:%d, was awaited", lua_tostring(L, -1), task->place, task->line);
        lua_rawseti(L, -3, 3);
    }
    lua_settop(L, error);
}

void saros_retrace_resumed(lua_State *L) {
    lua_rawgetp(L, LUA_REGISTRYINDEX, &traced_key);
    lua_pushliteral(L, "\nthat coroutine was resumed");
    lua_rawseti(L, -2, 3);
    lua_pop(L, 1);
}

/* The traceback on top (popped) is that of the error at index. */
void saros_retrace(lua_State *L, int index) {
    index = lua_absindex(L, index);
    lua_createtable(L, 2, 0);
    lua_insert(L, -2);
    lua_rawseti(L, -2, 2);
    lua_pushvalue(L, index);
    lua_rawseti(L, -2, 1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &traced_key);
}

/* Pushes the traceback that was taken for this very error value, if it is the last one taken. */
bool saros_traced(lua_State *L, int index) {
    index = lua_absindex(L, index);
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &traced_key) != LUA_TTABLE) {
        lua_pop(L, 1);
        return false;
    }
    lua_rawgeti(L, -1, 1);
    if (lua_isnil(L, index) || !lua_rawequal(L, -1, index)) {
        lua_pop(L, 2);
        return false;
    }
    lua_rawgeti(L, -2, 2);
    lua_replace(L, -3);
    lua_pop(L, 1);
    return true;
}

/* Another that is on its way out meanwhile keeps its own. */
void saros_untrace(lua_State *L, int index) {
    if (!saros_traced(L, index)) return;
    lua_pop(L, 1);
    lua_pushnil(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &traced_key);
}
