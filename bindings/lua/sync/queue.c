/* queue.c: a queue between tasks, as asyncio's: bounded or not, with task_done, join and shutdown.
 *
 * Owns the items (a Lua table, user value 1, from head to tail; of a priority queue a heap: queue_order.c) and those who
 * wait.
 * Promises: FIFO for items, getters and putters; nobody barges past a waiter. An item or a place is promised to a
 * waiter when it is woken; until it runs the item stays where it is, and a waiter that is cancelled meanwhile hands the
 * promise on to the next: so nothing is lost, and no wake-up either (semantics 33, 37). After a shutdown what is left
 * can still be got. */
#include "bindings/lua/sync/queue.h"

enum order { FIRST_IN, LAST_IN, SMALLEST }; /* which item is taken first */

typedef struct queue {
    lua_Integer   head, count, limit; /* limit 0: none */
    lua_Integer   promised_items, promised_places;
    lua_Integer   unfinished;
    saros_waiter *getters, *putters, *joiners;
    lua_Integer   changes; /* of a heap, so far */
    saros_bound   loop;
    uint8_t       order; /* enum order */
    bool          shut;
} queue;

static queue *check(lua_State *L) { return saros_check(L, 1, SAROS_T_QUEUE); }

/* What was promised to a getter is in the queue no more: a producer need not wait until the getter has run. */
static lua_Integer size_of(const queue *q) {
    return q->count > q->promised_items ? q->count - q->promised_items : 0; /* less: what was promised is thrown away */
}
static bool has_place(const queue *q) { return q->limit == 0 || size_of(q) + q->promised_places < q->limit; }

/* The oldest waiter is promised what has become free, if anything has. */
static void promise_item(queue *q) {
    if (q->getters == NULL || size_of(q) == 0) return;
    q->promised_items++;
    saros_wake_first(&q->getters, 0);
}

static void promise_place(queue *q) {
    if (q->putters == NULL || !has_place(q)) return;
    q->promised_places++;
    saros_wake_first(&q->putters, 0);
}

/* The heap of the queue at index 1, whose table is on top. */
static saros_order heap_of(lua_State *L, queue *q) {
    lua_getiuservalue(L, 1, 2);
    return (saros_order){.items = lua_gettop(L) - 1, .less = lua_gettop(L), .changes = &q->changes};
}

/* Stores the value at index; a waiting getter is promised it. Leaves the table of items on the stack. */
static void store(lua_State *L, queue *q, int index) {
    lua_getiuservalue(L, 1, 1);
    if (q->order == SMALLEST) {
        saros_order heap = heap_of(L, q);
        saros_order_put(L, &heap, q->count, index);
    } else {
        lua_pushvalue(L, index);
        lua_rawseti(L, -2, q->head + q->count);
    }
    q->count++;
    q->unfinished++;
    promise_item(q);
}

/* Pushes the item whose turn it is, above the table of items; a waiting putter is promised its place. */
static void fetch(lua_State *L, queue *q) {
    lua_getiuservalue(L, 1, 1);
    if (q->order == FIRST_IN) {
        lua_rawgeti(L, -1, q->head);
        lua_pushnil(L);
        lua_rawseti(L, -3, q->head);
        q->head = q->count == 1 ? 1 : q->head + 1;
    } else if (q->order == LAST_IN) { /* the head stays at 1 */
        lua_rawgeti(L, -1, q->count);
        lua_pushnil(L);
        lua_rawseti(L, -3, q->count);
    } else {
        saros_order heap = heap_of(L, q);
        saros_order_take(L, &heap, q->count);
    }
    q->count--;
    promise_place(q);
}

/* For a task that was chosen: if it fails the next one is, so that no wake-up is lost. */
static int store_argument(lua_State *L) {
    store(L, lua_touserdata(L, 1), 2);
    return 0;
}

static int fetch_argument(lua_State *L) {
    fetch(L, lua_touserdata(L, 1));
    return 1;
}

static void store_or_hand_on(lua_State *L, queue *q) {
    lua_pushcfunction(L, store_argument);
    lua_pushvalue(L, 1);
    lua_pushvalue(L, 2);
    if (lua_pcall(L, 2, 0, 0) == LUA_OK) return;
    promise_place(q);
    lua_error(L);
}

static void fetch_or_hand_on(lua_State *L, queue *q) {
    lua_pushcfunction(L, fetch_argument);
    lua_pushvalue(L, 1);
    if (lua_pcall(L, 1, 1, 0) == LUA_OK) return;
    promise_item(q);
    lua_error(L);
}

static int shut_down(lua_State *L) { return saros_fail(L, SAROS_ESHUTDOWN, "the queue was shut down"); }

/* ---- put ------------------------------------------------------------------------------------------------------ */

static int put_k(lua_State *L, int status, lua_KContext ctx) {
    queue      *q = lua_touserdata(L, 1);
    int64_t     result;
    saros_task *task = saros_waited(L, &result);
    (void)status, (void)ctx;
    if (result == SAROS_ESHUTDOWN) return shut_down(L);
    if (result < 0) return saros_wait_ended(L, task, result);
    q->promised_places--;
    if (saros_is_cancelled(task)) {
        promise_place(q);
        return saros_raise_cancelled(L, task);
    }
    if (q->shut) return shut_down(L);
    if (q->putters != NULL || q->order == SMALLEST) store_or_hand_on(L, q);
    else store(L, q, 2);
    lua_pushboolean(L, 1);
    return 1;
}

static int put(lua_State *L) {
    queue *q = check(L);
    luaL_argcheck(L, !lua_isnoneornil(L, 2), 2, "nil cannot be put");
    saros_task *task = saros_begin(L, "queue:put");
    saros_bind(L, &q->loop, task, "queue:put");
    if (q->shut) return saros_answer(L, task, shut_down(L));
    if (has_place(q) && q->putters == NULL) {
        store(L, q, 2);
        lua_pushboolean(L, 1);
        return saros_answer(L, task, 1);
    }
    saros_wait_on(task, &q->putters);
    return saros_suspend(L, task, 0, put_k);
}

static int try_put(lua_State *L) {
    queue *q = check(L);
    luaL_argcheck(L, !lua_isnoneornil(L, 2), 2, "nil cannot be put");
    saros_check_bound(L, q->loop, "queue:try_put");
    if (q->shut) return shut_down(L);
    if (!has_place(q) || q->putters != NULL) return saros_fail(L, SAROS_EAGAIN, "the queue is full");
    store(L, q, 2);
    lua_pushboolean(L, 1);
    return 1;
}

/* ---- get ------------------------------------------------------------------------------------------------------ */

static int get_k(lua_State *L, int status, lua_KContext ctx) {
    queue      *q = lua_touserdata(L, 1);
    int64_t     result;
    saros_task *task = saros_waited(L, &result);
    (void)status, (void)ctx;
    if (result == SAROS_ESHUTDOWN) return shut_down(L);
    if (result < 0) return saros_wait_ended(L, task, result);
    q->promised_items--;
    if (saros_is_cancelled(task)) {
        promise_item(q);
        return saros_raise_cancelled(L, task);
    }
    if (q->count == 0) return shut_down(L); /* shutdown(true) has thrown it away */
    if (q->order == SMALLEST) fetch_or_hand_on(L, q);
    else fetch(L, q);
    return 1;
}

static int get_from(lua_State *L, queue *q, const char *what) {
    saros_task *task = saros_begin(L, what);
    saros_bind(L, &q->loop, task, what);
    if (size_of(q) > 0 && q->getters == NULL) {
        fetch(L, q);
        return saros_answer(L, task, 1);
    }
    if (q->shut) return saros_answer(L, task, shut_down(L));
    saros_wait_on(task, &q->getters);
    return saros_suspend(L, task, 0, get_k);
}

static int get(lua_State *L) { return get_from(L, check(L), "queue:get"); }

static int try_get(lua_State *L) {
    queue *q = check(L);
    saros_check_bound(L, q->loop, "queue:try_get");
    if (size_of(q) > 0 && q->getters == NULL) {
        fetch(L, q);
        return 1;
    }
    return q->shut ? shut_down(L) : saros_fail(L, SAROS_EAGAIN, "the queue is empty");
}

/* for v in q:items() do … end */
static int next_item(lua_State *L) { return get_from(L, check(L), "queue:items"); }

static int items(lua_State *L) {
    check(L);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_pushcclosure(L, next_item, 1);
    lua_pushvalue(L, 1);
    return 2;
}

/* ---- join, shutdown, looking in ------------------------------------------------------------------------------- */

static int join_k(lua_State *L, int status, lua_KContext ctx) {
    int64_t result;
    (void)status, (void)ctx;
    saros_wait_unlink(&saros_resumed_raw(L)->wait);
    saros_resumed(L, &result);
    lua_pushboolean(L, 1);
    return 1;
}

static int join(lua_State *L) {
    queue      *q = check(L);
    saros_task *task = saros_begin(L, "queue:join");
    saros_bind(L, &q->loop, task, "queue:join");
    lua_pushboolean(L, 1);
    if (q->unfinished == 0) return saros_answer(L, task, 1);
    saros_wait_on(task, &q->joiners);
    return saros_suspend(L, task, 0, join_k);
}

static int task_done(lua_State *L) {
    queue *q = check(L);
    saros_check_bound(L, q->loop, "queue:task_done");
    if (q->unfinished <= 0) return luaL_error(L, "queue:task_done: called more often than there were items");
    if (--q->unfinished == 0) saros_wake_all(&q->joiners, 0);
    lua_pushboolean(L, 1);
    return 1;
}

static int shutdown(lua_State *L) {
    queue *q = check(L);
    saros_check_bound(L, q->loop, "queue:shutdown");
    lua_settop(L, 2);
    if (lua_toboolean(L, 2)) { /* immediate: what is left is thrown away; join waits for what is being worked on */
        lua_createtable(L, 0, 0);
        lua_setiuservalue(L, 1, 1);
        q->unfinished -= q->count < q->unfinished ? q->count : q->unfinished;
        q->count = 0;
        q->head = 1;
        q->changes++;
        if (q->unfinished == 0) saros_wake_all(&q->joiners, 0);
    }
    q->shut = true;
    saros_wake_all(&q->getters, SAROS_ESHUTDOWN);
    saros_wake_all(&q->putters, SAROS_ESHUTDOWN);
    lua_pushboolean(L, 1);
    return 1;
}

static int size(lua_State *L) {
    lua_pushinteger(L, size_of(check(L)));
    return 1;
}

static int empty(lua_State *L) {
    lua_pushboolean(L, size_of(check(L)) == 0);
    return 1;
}

static int full(lua_State *L) {
    queue *q = check(L);
    lua_pushboolean(L, q->limit > 0 && size_of(q) >= q->limit);
    return 1;
}

static int make(lua_State *L, enum order order) {
    lua_Integer limit = luaL_optinteger(L, 1, 0);
    luaL_argcheck(L, limit >= 0, 1, "a limit of 0 (none) or more expected");
    queue *q = saros_new(L, saros_state(L), SAROS_T_QUEUE, sizeof *q, order == SMALLEST ? 2 : 1);
    q->limit = limit;
    q->head = 1;
    q->order = (uint8_t)order;
    lua_createtable(L, limit > 0 && limit < 64 ? (int)limit : 4, 0);
    lua_setiuservalue(L, -2, 1);
    return 1;
}

/* saros.queue([n]): at most n items; none or 0: as many as memory holds */
static int queue_new(lua_State *L) { return make(L, FIRST_IN); }

static int lifo_new(lua_State *L) { return make(L, LAST_IN); }

/* saros.priority_queue([n[, less]]): the smallest item first, by < or by less(a, b), as table.sort has it */
static int priority_new(lua_State *L) {
    lua_settop(L, 2);
    if (!lua_isnil(L, 2)) luaL_checktype(L, 2, LUA_TFUNCTION);
    make(L, SMALLEST);
    lua_pushvalue(L, 2);
    lua_setiuservalue(L, -2, 2);
    return 1;
}

void saros_open_queue(lua_State *L) {
    static const luaL_Reg methods[] = {{"put", put},         {"get", get},           {"try_put", try_put},
                                       {"try_get", try_get}, {"items", items},       {"task_done", task_done},
                                       {"join", join},       {"shutdown", shutdown}, {"size", size},
                                       {"empty", empty},     {"full", full},         {NULL, NULL}};
    static const luaL_Reg meta[] = {{"__len", size}, {"__await", get}, {NULL, NULL}};
    static const luaL_Reg functions[] = {
        {"queue", queue_new}, {"lifo_queue", lifo_new}, {"priority_queue", priority_new}, {NULL, NULL}};
    saros_type_make(L, SAROS_T_QUEUE, "saros.queue", methods, meta);
    saros_add(L, functions);
}
