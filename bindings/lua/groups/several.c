/* several.c: waiting for several awaitables at once: the block of nodes, what it starts itself, and saros.wait's core.
 *
 * What a block itself has started (functions, objects with __await) it owns: whoever uses it cancels and awaits that
 * where nobody else could any more; awaitables that were passed in are left alone.
 *
 * Promises: nothing is started where one of the arguments cannot be awaited or memory runs out; a task or a future that
 * stands several times is awaited once. */
#include "bindings/lua/groups/several.h"

static bool ends_wait(const saros_several *all, const saros_awaitable *is) {
    switch (all->until) {
    case SAROS_FIRST_DONE: return true;
    case SAROS_FIRST_BAD: return is->fate != SAROS_RETURNED;
    case SAROS_FIRST_FAILED: return is->fate == SAROS_FAILED;
    default: return false;
    }
}

/* Nobody will await them: what fails on its way out is told at once. */
void saros_several_cancel(const saros_several *all) {
    for (int i = 0; i < all->count; i++) {
        saros_task *owned = all->nodes[i].owned;
        if (owned == NULL) continue;
        owned->report_now = true;
        saros_task_cancel(owned);
    }
}

static void node_woken(saros_waiter *waiter, int64_t result) {
    saros_node    *self = (saros_node *)(void *)waiter;
    saros_several *all = self->owner;
    (void)result;
    all->pending--;
    if (all->first < 0 && ends_wait(all, self->is)) {
        all->first = (int)(self - all->nodes);
        if (all->race) {
            self->is->observed = true;
            saros_several_cancel(all); /* now: an item that another is promised goes back (semantics 33) */
        }
    }
    if (all->task->op.state == SAROS_FLYING && (all->pending == 0 || all->first >= 0))
        saros_complete(all->task->rt->loop, &all->task->op, 0);
}

/* The same for who may not read the errors: that somebody waited does not make them known. */
void saros_quiet_wake(saros_waiter *waiter, int64_t result) { node_woken(waiter, result); }

saros_task *saros_gathering_task(const saros_waiter *waiter) {
    bool ours = waiter->wake == node_woken || waiter->wake == saros_quiet_wake;
    return ours ? ((const saros_node *)(const void *)waiter)->owner->task : NULL;
}

void saros_several_unlink(saros_several *all) {
    for (int i = 0; i < all->count; i++) saros_wait_unlink(&all->nodes[i].wait);
}

int saros_several_link(saros_several *all, bool only_owned) {
    all->pending = 0;
    for (int i = 0; i < all->count; i++) {
        saros_node *node = &all->nodes[i];
        if (node->is->fate != SAROS_PENDING || (only_owned && node->owned == NULL)) continue;
        node->wait.wake = all->return_errors && !only_owned ? node_woken : saros_quiet_wake;
        saros_wait_link(&node->is->waiters, &node->wait);
        all->pending++;
    }
    return all->pending;
}

int saros_several_wait(lua_State *L, saros_several *all, lua_KFunction k) {
    all->waits = true;
    saros_expect(all->task->rt->loop, &all->task->op);
    return saros_suspend(L, all->task, 0, k);
}

saros_several *saros_several_resumed(lua_State *L) {
    saros_several *all = lua_touserdata(L, SAROS_AT_BLOCK);
    saros_resumed_raw(L);
    all->waits = false;
    return all;
}

/* ---- making one ----------------------------------------------------------------------------------------------- */

saros_several *saros_several_new(lua_State *L, saros_task *task, int count) {
    size_t         size = sizeof(saros_several) + (size_t)count * sizeof(saros_node);
    saros_several *all = saros_new(L, task->rt->lua, SAROS_T_GATHER, size, 0);
    all->task = task;
    all->count = count;
    all->first = -1;
    lua_insert(L, SAROS_AT_BLOCK);
    lua_toclose(L, SAROS_AT_BLOCK);
    return all;
}

void saros_several_unpack(lua_State *L) {
    lua_settop(L, 1);
    lua_Integer length = luaL_len(L, 1);
    if (length > 500000) luaL_argerror(L, 1, "more than 500,000 awaitables");
    luaL_checkstack(L, (int)length + 8, "too many awaitables");
    for (lua_Integer i = 1; i <= length; i++) lua_geti(L, 1, i);
    lua_remove(L, 1);
}

static void check_item(lua_State *L, const saros_several *all, int i, const char *what, int level) {
    static const char expected[] = "task, future, function, seconds or object with __await expected";
    saros_awaitable  *is = saros_to_awaitable(L, all->task->rt->lua, SAROS_AT_FIRST + i);
    if (is == &all->task->is) luaL_error(L, "%s: a task cannot await itself", what);
    if (is != NULL && is->fate == SAROS_PENDING) saros_check_loop(L, is, all->task->rt, what);
    if (is != NULL || lua_isfunction(L, SAROS_AT_FIRST + i) || lua_type(L, SAROS_AT_FIRST + i) == LUA_TNUMBER) return;
    if (luaL_getmetafield(L, SAROS_AT_FIRST + i, "__await") != LUA_TNIL) {
        lua_pop(L, 1);
        return;
    }
    if (level == 0) luaL_argerror(L, i + 1, expected);
    luaL_where(L, level);
    lua_pushfstring(L, "%sbad argument #1 to '%s' (element %d: %s)", lua_tostring(L, -1), what, i + 1, expected);
    lua_error(L);
}

/* The body of a task that stands for seconds or for an object with __await. Upvalue 2: for whom. */
static int await_one(lua_State *L) {
    if (lua_type(L, 1) == LUA_TNUMBER) return saros_sleep(L, 1, lua_tostring(L, lua_upvalueindex(2)));
    luaL_getmetafield(L, 1, "__await");
    return saros_call_await(L);
}

static saros_task *start_object(lua_State *L, saros_rt *rt, int i, const char *what) {
    lua_pushlightuserdata(L, rt->lua);
    lua_pushstring(L, what);
    lua_pushcclosure(L, await_one, 2);
    lua_pushvalue(L, i);
    saros_task *task = saros_spawn(L, rt, 1, NULL);
    task->agent = true;
    lua_replace(L, i);
    return task;
}

void saros_several_start(lua_State *L, saros_several *all, const char *what, int level) {
    saros_rt *rt = all->task->rt;
    for (int i = 0; i < all->count; i++) check_item(L, all, i, what, level);
    for (int i = 0; i < all->count; i++) {
        int         at = SAROS_AT_FIRST + i;
        saros_node *node = &all->nodes[i];
        if (lua_isfunction(L, at)) {
            lua_pushvalue(L, at);
            node->owned = saros_spawn(L, rt, 0, NULL);
            lua_replace(L, at);
        } else if (saros_to_awaitable(L, rt->lua, at) == NULL) {
            node->owned = start_object(L, rt, at, what);
        }
        node->owner = all;
        node->is = lua_touserdata(L, at);
    }
    all->started = true;
}

/* What was spawned before a spawn that failed must not begin; and where the coroutine is closed that waits, nobody is left
 * for whom the others would go on. */
static int block_closed(lua_State *L) {
    saros_several *all = saros_check(L, 1, SAROS_T_GATHER);
    saros_several_unlink(all);
    if (!all->started || all->waits) saros_several_cancel(all);
    return 0;
}

/* ---- for the parts written in Lua ----------------------------------------------------------------------------- */

/* saros._start(list, what) -> awaitables, those of them that it has started */
static int start_list(lua_State *L) {
    const char *what = luaL_checkstring(L, 2);
    luaL_checktype(L, 1, LUA_TTABLE);
    saros_task *task = saros_begin(L, what);
    saros_several_unpack(L); /* `what` is a constant of the caller's */
    saros_several *all = saros_several_new(L, task, lua_gettop(L));
    saros_several_start(L, all, what, 2);
    all->started = false; /* the tables may find no memory */
    lua_createtable(L, all->count, 0);
    lua_createtable(L, 0, 0);
    for (int i = 0, owned = 0; i < all->count; i++) {
        lua_pushvalue(L, SAROS_AT_FIRST + i);
        lua_rawseti(L, -3, i + 1);
        if (all->nodes[i].owned == NULL) continue;
        lua_pushvalue(L, SAROS_AT_FIRST + i);
        lua_rawseti(L, -2, ++owned);
    }
    all->started = true;
    return 2;
}

static int wait_k(lua_State *L, int status, lua_KContext ctx) {
    saros_several *all = saros_several_resumed(L);
    int64_t        result;
    (void)status, (void)ctx;
    saros_several_unlink(all);
    saros_resumed(L, &result);
    return 0;
}

/* saros._wait(list, "all" | "first" | "error"): until that is so of a list of awaitables */
static int wait_list(lua_State *L) {
    static const char *const names[] = {"all", "first", "error", NULL};
    static const uint8_t     untils[] = {SAROS_ALL, SAROS_FIRST_DONE, SAROS_FIRST_FAILED};
    int                      until = luaL_checkoption(L, 2, NULL, names);
    saros_task              *task = saros_begin(L, "saros.wait");
    saros_several_unpack(L);
    saros_several *all = saros_several_new(L, task, lua_gettop(L));
    saros_several_start(L, all, "saros.wait", 2);
    all->until = untils[until];
    bool over = false;
    for (int i = 0; i < all->count; i++)
        over = over || (all->nodes[i].is->fate != SAROS_PENDING && ends_wait(all, all->nodes[i].is));
    if (over || saros_several_link(all, false) == 0) return saros_answer(L, task, 0);
    return saros_several_wait(L, all, wait_k);
}

/* saros._spawned() -> the live tasks that the running one has spawned, and those that failed and nobody has awaited */
static int spawned(lua_State *L) {
    saros_task *by = saros_begin(L, "saros.join");
    saros_rt   *rt = by->rt;
    lua_newtable(L);
    for (saros_task *task = rt->first; task != NULL; task = task->next) {
        if (task->parent != by->id || task->is.fate != SAROS_PENDING) continue;
        saros_task_push(L, task);
        lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
    }
    lua_newtable(L);
    for (saros_task *task = rt->failed; task != NULL; task = task->next) {
        if (task->parent != by->id || task->is.observed) continue;
        saros_push_anchored(L, rt, task);
        lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
    }
    return 2;
}

/* saros._claim(task) -> has it failed, and nobody knew? From now on somebody does. */
static int claim(lua_State *L) {
    saros_task *task = saros_check(L, 1, SAROS_T_TASK);
    bool        news = task->is.fate == SAROS_FAILED && !task->is.observed;
    if (news) saros_observe(&task->is);
    lua_pushboolean(L, news);
    return 1;
}

void saros_open_several(lua_State *L) {
    saros_type_make(L, SAROS_T_GATHER, "saros.gather", NULL,
                    (const luaL_Reg[]){{"__close", block_closed}, {NULL, NULL}});
    static const luaL_Reg functions[] = {
        {"_start", start_list}, {"_wait", wait_list}, {"_spawned", spawned}, {"_claim", claim}, {NULL, NULL}};
    saros_add(L, functions);
}
