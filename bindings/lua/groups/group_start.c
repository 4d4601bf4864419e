/* group_start.c: group:start: a child that says when it is ready, and the caller that waits for that.
 *
 * Until the child is ready its failure is the caller's to know, and the group's only if the caller lets it out
 * (trio's nursery.start). A caller that is cancelled meanwhile cancels the child, and waits for its end. */
#include "bindings/lua/groups/group.h"

enum { START = 2, CHILD = 3 }; /* stack: the group, what is waited with, the child */

void saros_start_woken(saros_start *start) {
    start->member = NULL;
    saros_wake_first(&start->starter, 0);
}

/* ready(...): upvalue 2 is the start */
static int ready(lua_State *L) {
    saros_start *start = lua_touserdata(L, lua_upvalueindex(2));
    if (start->ready) return luaL_error(L, "ready: it was called before");
    lua_createtable(L, lua_gettop(L), 1);
    lua_insert(L, 1);
    lua_pushinteger(L, lua_gettop(L) - 1);
    lua_setfield(L, 1, "n");
    for (int i = lua_gettop(L) - 1; i > 0; i--) lua_rawseti(L, 1, i);
    lua_setiuservalue(L, lua_upvalueindex(2), 1);
    start->ready = true;
    if (start->member != NULL) {
        start->member->start = NULL;
        saros_start_woken(start);
    }
    lua_pushboolean(L, 1);
    return 1;
}

static int said(lua_State *L) {
    lua_getiuservalue(L, START, 1);
    lua_getfield(L, -1, "n");
    int n = (int)lua_tointeger(L, -1), list = lua_gettop(L) - 1;
    luaL_checkstack(L, n, "too many results");
    for (int i = 1; i <= n; i++) lua_rawgeti(L, list, i);
    return n;
}

static int start_k(lua_State *L, int status, lua_KContext ctx) {
    saros_start     *start = lua_touserdata(L, START);
    saros_task      *task = saros_resumed_raw(L);
    saros_awaitable *child = lua_touserdata(L, CHILD);
    (void)status, (void)ctx;
    saros_wait_unlink(&task->wait);
    if (start->ready) return said(L);
    if (start->member != NULL) {
        if (saros_is_cancelled(task)) saros_task_cancel(start->member->task);
        saros_wait_on(task, &start->starter);
        return saros_suspend(L, task, 0, start_k);
    }
    if (child->fate == SAROS_FAILED) return saros_await_value(L, child, CHILD);
    if (saros_is_cancelled(task)) return saros_raise_cancelled(L, task);
    if (child->fate == SAROS_CANCELLED) return saros_await_value(L, child, CHILD);
    return luaL_error(L, child->fate == SAROS_PENDING ? "start: the group has ended before the task was ready"
                                                      : "start: the task has ended without calling ready");
}

int saros_start_child(lua_State *L) {
    saros_task  *task = saros_state(L)->current->task;
    saros_start *start = saros_new(L, task->rt->lua, SAROS_T_START, sizeof *start, 1);
    lua_insert(L, START);
    lua_toclose(L, START);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_pushvalue(L, START);
    lua_pushcclosure(L, ready, 2);
    lua_insert(L, CHILD + 1); /* behind the function */
    start->member = saros_group_add(L, CHILD);
    start->member->start = start;
    saros_wait_on(task, &start->starter);
    return saros_suspend(L, task, 0, start_k);
}

/* The caller is done, or its coroutine was closed where it stood: nobody may point to it any more. */
static int start_closed(lua_State *L) {
    saros_start *start = saros_check(L, 1, SAROS_T_START);
    if (start->member != NULL) start->member->start = NULL;
    start->member = NULL;
    return 0;
}

void saros_open_start(lua_State *L) {
    static const luaL_Reg meta[] = {{"__close", start_closed}, {NULL, NULL}};
    saros_type_make(L, SAROS_T_START, "saros.start", NULL, meta);
}
