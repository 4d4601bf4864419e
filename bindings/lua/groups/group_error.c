/* group_error.c: the error that a group raises: all that have failed in it, in the order in which they did.
 *
 * Collects values, tracebacks and names; the object is made in saros/group_error.lua. */
#include "bindings/lua/groups/group.h"

enum { BODY = 2, TRACEBACK, ERRORS, TRACEBACKS, TASKS }; /* stack of make(); 1 is the group */

/* Value, traceback and name on top (popped) become the last entries. */
static void add(lua_State *L) {
    lua_Integer n = (lua_Integer)lua_rawlen(L, TASKS) + 1;
    lua_rawseti(L, TASKS, n);
    if (lua_isnil(L, -1)) {
        lua_pushliteral(L, "");
        lua_replace(L, -2);
    }
    lua_rawseti(L, TRACEBACKS, n);
    if (lua_isnil(L, -1)) { /* no list has a hole */
        lua_pushliteral(L, "nil");
        lua_replace(L, -2);
    }
    lua_rawseti(L, ERRORS, n);
}

static void add_body(lua_State *L, const saros_group *group) {
    saros_task *task = group->scope->task;
    lua_pushvalue(L, BODY);
    lua_pushvalue(L, TRACEBACK);
    saros_task_push(L, task);
    saros_task_name(L, task, -1);
    lua_remove(L, -2);
    add(L);
}

static void add_member(lua_State *L, const saros_group *group, const saros_member *member) {
    saros_task *task = member->task;
    saros_push_anchored(L, group->rt, member);
    lua_getiuservalue(L, -1, 1);
    int self = lua_gettop(L);
    if (saros_push_values(L, &task->is, self) == 0) lua_pushnil(L);
    lua_pushnil(L);
    if (task->is.boxed) {
        saros_box(L, &task->is, self);
        lua_getfield(L, -1, "traceback");
        lua_replace(L, self + 2);
        lua_settop(L, self + 2);
    }
    saros_task_name(L, task, self);
    add(L);
    lua_settop(L, self - 2);
}

/* protected: group, body's error, its traceback -> the error object */
static int make(lua_State *L) {
    saros_group *group = lua_touserdata(L, 1);
    size_t       n = 0;
    luaL_checkstack(L, 16, "saros.group");
    for (int i = ERRORS; i <= TASKS; i++) lua_newtable(L);
    for (const saros_member *member = group->failed.first; member != NULL; member = member->next) {
        if (group->body_failed && n++ == group->body_at) add_body(L, group);
        add_member(L, group, member);
    }
    if (group->body_failed && n <= group->body_at) add_body(L, group);
    luaopen_saros(L);
    lua_getfield(L, -1, "_group_error");
    lua_getiuservalue(L, 1, 1);
    for (int i = ERRORS; i <= TASKS; i++) lua_pushvalue(L, i);
    lua_call(L, 4, 1);
    return 1;
}

void saros_group_push_error(lua_State *L, saros_group *group) {
    int top = lua_gettop(L);
    lua_pushcfunction(L, make);
    lua_pushvalue(L, 1);
    if (group->body_failed) {
        lua_pushvalue(L, top - 1);
        lua_pushvalue(L, top);
        lua_pcall(L, 3, 1, 0);
    } else {
        lua_settop(L, top + 4);
        lua_pcall(L, 3, 1, 0);
    }
}
