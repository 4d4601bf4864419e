/* gather.c: waiting for several at once.
 *
 * asyncio's gather (semantics 25): results in the order of the arguments; the first error is raised at once and the
 * others go on; with return_errors errors are values. What gather itself started (functions) it owns: when the gather
 * is cancelled they are cancelled and awaited; awaitables that were passed in are left alone.
 *
 * Owns one block of waiters, kept alive by the stack of the task that waits. */
#include <string.h>

#include "bindings/lua/task.h"

typedef struct gather gather;
typedef struct node {
    saros_waiter wait;
    gather      *owner;
    saros_task  *owned; /* the gather itself started it; else NULL */
} node;

struct gather {
    saros_task *task;
    int         count, pending;
    bool        started;                              /* all that it has to start */
    bool        return_errors, to_table, all_results; /* all_results: of the only one */
    node        nodes[];
};

enum { AT_BLOCK = 1, FIRST = 2 }; /* stack: the block, then the awaitables */

static saros_awaitable *item(lua_State *L, int i) { return lua_touserdata(L, FIRST + i); }

static void node_woken(saros_waiter *waiter, int64_t result) {
    node   *self = (node *)(void *)waiter;
    gather *all = self->owner;
    (void)result;
    all->pending--;
    /* The task's stack has the awaitables; which one this is the node's place tells. Its fate is looked at there. */
    if (all->task->op.state == SAROS_FLYING && (all->pending == 0 || !all->return_errors))
        saros_complete(all->task->rt->loop, &all->task->op, 0);
}

saros_task *saros_gathering_task(const saros_waiter *waiter) {
    return waiter->wake == node_woken ? ((const node *)(const void *)waiter)->owner->task : NULL;
}

/* Also when the task's coroutine is closed while it waits: then the block goes, and nobody may point into it. */
static void unlink_all(gather *all) {
    for (int i = 0; i < all->count; i++) saros_wait_unlink(&all->nodes[i].wait);
}

/* Links a waiter to each that is pending (only: of those we own); returns how many. */
static int link_all(lua_State *L, gather *all, bool only_owned) {
    all->pending = 0;
    for (int i = 0; i < all->count; i++) {
        saros_awaitable *is = item(L, i);
        if (is->fate != SAROS_PENDING || (only_owned && !all->nodes[i].owned)) continue;
        all->nodes[i].owner = all;
        all->nodes[i].wait.wake = node_woken;
        saros_wait_link(&is->waiters, &all->nodes[i].wait);
        all->pending++;
    }
    return all->pending;
}

/* The error of a failed one as a value: what awaiting it would raise. */
static int raise_value(lua_State *L) { return saros_await_value(L, lua_touserdata(L, 1), 1); }

static int results(lua_State *L, gather *all) {
    int table = 0;
    luaL_checkstack(L, all->count + 8, "too many results");
    if (all->to_table) {
        lua_createtable(L, all->count, 1);
        table = lua_gettop(L);
        lua_pushinteger(L, all->count);
        lua_setfield(L, table, "n");
    }
    for (int i = 0; i < all->count; i++) {
        int top = lua_gettop(L);
        if (item(L, i)->fate != SAROS_RETURNED && all->return_errors) {
            lua_pushcfunction(L, raise_value);
            lua_pushvalue(L, FIRST + i);
            lua_pcall(L, 1, 1, 0);
        } else {
            saros_await_value(L, item(L, i), FIRST + i);
        }
        if (all->all_results) return lua_gettop(L) - top;
        lua_settop(L, top + 1); /* the first result */
        if (table > 0) lua_rawseti(L, table, i + 1);
    }
    return table > 0 ? 1 : all->count;
}

/* Is one of them failed? Raises its error. Of several in one turn the first in the order of the arguments. */
static void raise_first(lua_State *L, gather *all) {
    for (int i = 0; i < all->count && !all->return_errors; i++) {
        saros_awaitable *is = item(L, i);
        if (is->fate == SAROS_PENDING || is->fate == SAROS_RETURNED) continue;
        unlink_all(all);
        saros_await_value(L, is, FIRST + i);
    }
}

static int wait_more(lua_State *L, gather *all, lua_KFunction k) {
    saros_expect(all->task->rt->loop, &all->task->op);
    return saros_suspend(L, all->task, 0, k);
}

/* The gather was cancelled and its own tasks with it: wait for them, whatever else comes. */
static int drain_k(lua_State *L, int status, lua_KContext ctx) {
    gather     *all = lua_touserdata(L, AT_BLOCK);
    saros_task *task = saros_resumed_raw(L);
    (void)status, (void)ctx;
    if (all->pending > 0) return wait_more(L, all, drain_k);
    for (int i = 0; i < all->count; i++)
        if (all->nodes[i].owned) saros_observe(item(L, i)); /* the cancellation is what is told */
    return saros_raise_cancelled(L, task);
}

static int gather_k(lua_State *L, int status, lua_KContext ctx) {
    gather     *all = lua_touserdata(L, AT_BLOCK);
    saros_task *task = saros_resumed_raw(L);
    (void)status, (void)ctx;
    if (task->op.result == SAROS_ECANCELED) {
        unlink_all(all);
        for (int i = 0; i < all->count; i++)
            if (all->nodes[i].owned) saros_task_cancel((saros_task *)(void *)item(L, i));
        link_all(L, all, true);
        all->return_errors = true; /* the task is woken when the last has ended */
        if (all->pending == 0) return saros_raise_cancelled(L, task);
        return wait_more(L, all, drain_k);
    }
    raise_first(L, all);
    return all->pending > 0 ? wait_more(L, all, gather_k) : results(L, all);
}

/* The body of a task that stands for seconds or for an object with __await. */
static int await_one(lua_State *L) {
    if (lua_type(L, 1) == LUA_TNUMBER) return saros_sleep(L, 1, "saros.gather");
    luaL_getmetafield(L, 1, "__await");
    return saros_call_await(L);
}

/* Looks at all before anything is spawned. */
static void check_items(lua_State *L, const gather *all) {
    static const char expected[] = "task, future, function, seconds or object with __await expected";
    const saros_lua  *lua = all->task->rt->lua;
    for (int i = 0; i < all->count; i++) {
        saros_awaitable *is = saros_to_awaitable(L, lua, FIRST + i);
        if (is == &all->task->is) luaL_error(L, "saros.gather: a task cannot await itself");
        if (is != NULL && is->fate == SAROS_PENDING) saros_check_loop(L, is, all->task->rt, "saros.gather");
        if (is != NULL || lua_isfunction(L, FIRST + i) || lua_type(L, FIRST + i) == LUA_TNUMBER) continue;
        if (luaL_getmetafield(L, FIRST + i, "__await") != LUA_TNIL) lua_pop(L, 1);
        else if (all->to_table) luaL_argerror(L, 1, lua_pushfstring(L, "element %d: %s", i + 1, expected));
        else luaL_argerror(L, i + 1, expected);
    }
}

/* Makes an awaitable of item i: functions are spawned, objects with __await get a task that awaits them. */
static saros_task *to_awaitable(lua_State *L, saros_rt *rt, int i) {
    saros_task *task;
    if (saros_to_awaitable(L, rt->lua, i) != NULL) return NULL;
    if (lua_isfunction(L, i)) {
        lua_pushvalue(L, i);
        task = saros_spawn(L, rt, 0, NULL);
    } else {
        lua_pushlightuserdata(L, rt->lua);
        lua_pushcclosure(L, await_one, 1);
        lua_pushvalue(L, i);
        task = saros_spawn(L, rt, 1, NULL);
        task->agent = true;
    }
    lua_replace(L, i);
    return task;
}

/* count awaitables are on the stack, alone: puts the block below them. */
static gather *make_block(lua_State *L, saros_task *task, int count) {
    size_t  size = sizeof(gather) + (size_t)count * sizeof(node);
    gather *all = saros_new(L, task->rt->lua, SAROS_T_GATHER, size, 0);
    all->task = task;
    all->count = count;
    lua_insert(L, AT_BLOCK);
    lua_toclose(L, AT_BLOCK);
    return all;
}

static int start(lua_State *L, gather *all) {
    all->started = true;
    raise_first(L, all);
    if (link_all(L, all, false) == 0) return saros_answer(L, all->task, results(L, all));
    return wait_more(L, all, gather_k);
}

/* saros.gather(a, b, …) ; saros.gather(list, {return_errors=}) -> {n=…} */
static int gather_start(lua_State *L) {
    static const char *const names[] = {"return_errors", NULL};
    saros_task              *task = saros_begin(L, "saros.gather");
    bool                     to_table = lua_type(L, 1) == LUA_TTABLE && luaL_getmetafield(L, 1, "__await") == LUA_TNIL;
    bool                     return_errors = false;
    if (to_table) {
        lua_settop(L, 2);
        saros_check_options(L, 2, names);
        if (lua_istable(L, 2)) {
            saros_option(L, 2, "return_errors");
            return_errors = lua_toboolean(L, -1);
        }
        lua_settop(L, 1);
        lua_Integer length = luaL_len(L, 1);
        if (length > 500000) return luaL_argerror(L, 1, "more than 500,000 awaitables");
        luaL_checkstack(L, (int)length + 8, "too many awaitables");
        for (lua_Integer i = 1; i <= length; i++) lua_geti(L, 1, i);
        lua_remove(L, 1);
    }
    gather *all = make_block(L, task, lua_gettop(L));
    all->to_table = to_table;
    all->return_errors = return_errors;
    check_items(L, all);
    for (int i = 0; i < all->count; i++) all->nodes[i].owned = to_awaitable(L, task->rt, FIRST + i);
    return start(L, all);
}

/* saros.run inside a task: the function is a child, owned like a gathered one; all its results. */
int saros_run_child(lua_State *L) {
    saros_task *task = saros_begin(L, "saros.run");
    gather     *all = make_block(L, task, 1);
    all->nodes[0].owned = saros_spawn(L, task->rt, lua_gettop(L) - 2, NULL);
    all->all_results = true;
    return start(L, all);
}

/* What was spawned before a spawn that failed must not begin. */
static int block_closed(lua_State *L) {
    gather *all = saros_check(L, 1, SAROS_T_GATHER);
    unlink_all(all);
    for (int i = 0; i < all->count && !all->started; i++)
        if (all->nodes[i].owned != NULL) saros_task_cancel(all->nodes[i].owned);
    return 0;
}

void saros_open_gather(lua_State *L) {
    saros_type_make(L, SAROS_T_GATHER, "saros.gather", NULL,
                    (const luaL_Reg[]){{"__close", block_closed}, {NULL, NULL}});
    static const luaL_Reg functions[] = {{"gather", gather_start}, {NULL, NULL}};
    saros_add(L, functions);
}
