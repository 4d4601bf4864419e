/* report.c: tasks in words: names, lists, and the errors that nobody awaited.
 *
 * Promises: an error is reported once; a __tostring that fails itself does no harm. */
#include "bindings/lua/runtime.h"

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

void saros_describe_tasks(lua_State *L, saros_rt *rt, size_t most) {
    luaL_Buffer buffer;
    size_t      shown = 0;
    luaL_buffinit(L, &buffer);
    for (saros_task *task = rt->first; task != NULL; task = task->next) {
        if (shown++ == most) {
            lua_pushfstring(L, " and %d more", (int)(rt->live - most));
            luaL_addvalue(&buffer);
            break;
        }
        if (shown > 1) luaL_addstring(&buffer, ", ");
        saros_task_push(L, task);
        const char *name = saros_task_name(L, task, lua_gettop(L));
        lua_pushfstring(L, "%s (%s:%d)", name, task->place, task->line);
        lua_replace(L, -3);
        lua_pop(L, 1);
        luaL_addvalue(&buffer);
    }
    luaL_pushresult(&buffer);
}

/* protected: the text about task p, which is anchored. */
static int report(lua_State *L) {
    saros_task *task = lua_touserdata(L, 1);
    saros_push_anchored(L, task->rt, task);
    const char *name = saros_task_name(L, task, 2), *trace = "", *text = "an error without a value";
    lua_getiuservalue(L, 2, 1);
    if (task->is.boxed) {
        lua_getfield(L, -1, "traceback");
        if (lua_type(L, -1) == LUA_TSTRING) trace = lua_tostring(L, -1);
        lua_rawgeti(L, -2, 1);
    }
    if (task->is.values > 0) text = luaL_tolstring(L, -1, NULL);
    lua_pushfstring(L, "task %s (spawned at %s:%d) failed and nobody awaited it: %s%s%s", name, task->place,
                    task->line, text, *trace ? "\n" : "", trace);
    task->rt->reported++;
    saros_report(task->rt->loop, lua_tostring(L, -1));
    return 0;
}

void saros_task_report(saros_task *task) {
    task->is.observed = true;
    if (!saros_protected(task->rt, report, task, "the report of a failed task")) task->rt->reported++;
}
