/* gather.c: saros.gather, and saros.run inside a task.
 *
 * asyncio's gather (semantics 25): results in the order of the arguments; the first error is raised at once and the
 * others go on; with return_errors errors are values. What gather itself started (functions) it owns: when the gather
 * is cancelled they are cancelled and awaited; awaitables that were passed in are left alone. */
#include "bindings/lua/groups/several.h"

/* The error of a failed one as a value: what awaiting it would raise. */
static int raise_value(lua_State *L) { return saros_await_value(L, lua_touserdata(L, 1), 1); }

static int results(lua_State *L, saros_several *all) {
    int table = 0;
    luaL_checkstack(L, all->count + 8, "too many results");
    if (all->to_table) {
        lua_createtable(L, all->count, 1);
        table = lua_gettop(L);
        lua_pushinteger(L, all->count);
        lua_setfield(L, table, "n");
    }
    for (int i = 0; i < all->count; i++) {
        int              top = lua_gettop(L);
        saros_awaitable *is = all->nodes[i].is;
        if (is->fate != SAROS_RETURNED && all->return_errors) {
            lua_pushcfunction(L, raise_value);
            lua_pushvalue(L, SAROS_AT_FIRST + i);
            lua_pcall(L, 1, 1, 0);
        } else {
            saros_await_value(L, is, SAROS_AT_FIRST + i);
        }
        if (all->all_results) return lua_gettop(L) - top;
        lua_settop(L, top + 1); /* the first result */
        if (table > 0) lua_rawseti(L, table, i + 1);
    }
    return table > 0 ? 1 : all->count;
}

/* Has one of them failed? Raises its error. */
static void raise_first(lua_State *L, saros_several *all) {
    if (all->first < 0) return;
    saros_several_unlink(all);
    saros_await_value(L, all->nodes[all->first].is, SAROS_AT_FIRST + all->first);
}

/* The gather was cancelled and its own tasks with it: wait for them, whatever else comes. */
static int drain_k(lua_State *L, int status, lua_KContext ctx) {
    saros_several *all = saros_several_resumed(L);
    saros_task    *task = all->task;
    (void)status, (void)ctx;
    return all->pending > 0 ? saros_several_wait(L, all, drain_k) : saros_raise_cancelled(L, task);
}

static int gather_k(lua_State *L, int status, lua_KContext ctx) {
    saros_several *all = saros_several_resumed(L);
    saros_task    *task = all->task;
    (void)status, (void)ctx;
    if (task->op.result == SAROS_ECANCELED) {
        saros_several_unlink(all);
        saros_several_cancel(all);
        all->until = SAROS_ALL; /* the task is woken when the last has ended */
        all->first = -1;
        if (saros_several_link(all, true) == 0) return saros_raise_cancelled(L, task);
        return saros_several_wait(L, all, drain_k);
    }
    raise_first(L, all);
    return all->pending > 0 ? saros_several_wait(L, all, gather_k) : results(L, all);
}

static int start(lua_State *L, saros_several *all) {
    all->until = all->return_errors ? SAROS_ALL : SAROS_FIRST_BAD;
    for (int i = 0; i < all->count && !all->return_errors && all->first < 0; i++)
        if (all->nodes[i].is->fate > SAROS_RETURNED) all->first = i;
    raise_first(L, all);
    if (saros_several_link(all, false) == 0) return saros_answer(L, all->task, results(L, all));
    return saros_several_wait(L, all, gather_k);
}

/* saros.gather(a, b, …) ; saros.gather(list, {return_errors=}) -> {n=…} */
static int gather(lua_State *L) {
    static const char *const names[] = {"return_errors", NULL};
    saros_task              *task = saros_begin(L, "saros.gather");
    bool                     to_table = lua_type(L, 1) == LUA_TTABLE, return_errors = false;
    if (to_table && luaL_getmetafield(L, 1, "__await") != LUA_TNIL) {
        lua_pop(L, 1);
        to_table = false;
    }
    if (to_table) {
        lua_settop(L, 2);
        saros_check_options(L, 2, names);
        if (lua_istable(L, 2)) {
            saros_option(L, 2, "return_errors");
            return_errors = lua_toboolean(L, -1);
        }
        saros_several_unpack(L);
    }
    saros_several *all = saros_several_new(L, task, lua_gettop(L));
    all->to_table = to_table;
    all->return_errors = return_errors;
    saros_several_start(L, all, "saros.gather", to_table);
    return start(L, all);
}

/* saros.run inside a task: the function is a child, owned like a gathered one; all its results. */
int saros_run_child(lua_State *L) {
    saros_task    *task = saros_begin(L, "saros.run");
    saros_several *all = saros_several_new(L, task, 1);
    saros_node    *node = &all->nodes[0];
    node->owned = saros_spawn(L, task->rt, lua_gettop(L) - 2, NULL);
    node->owner = all;
    node->is = &node->owned->is;
    all->started = all->all_results = true;
    return start(L, all);
}

void saros_open_gather(lua_State *L) {
    static const luaL_Reg functions[] = {{"gather", gather}, {NULL, NULL}};
    saros_add(L, functions);
}
