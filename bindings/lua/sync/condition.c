/* condition.c: a condition: tasks that hold its lock wait for a notification.
 *
 * Owns those who wait; the lock is an object of its own (user value 1) and may serve several conditions.
 * Promises: wait comes back, or raises, with the lock held again, also when it was cancelled; a task that was notified and
 * is cancelled all the same notifies the next (semantics 34). Only a lock that was broken meanwhile cannot be taken
 * back. */
#include "bindings/lua/sync/sync.h"

typedef struct condition {
    saros_waiter *waiters;
    saros_lock   *lock;
} condition;

static condition *check(lua_State *L) { return saros_check(L, 1, SAROS_T_CONDITION); }

/* ---- wait ----------------------------------------------------------------------------------------------------- */

/* The lock is held again, or broken. Stack: 1 the condition, 2 the turn in which the task held the lock: its guard, if it
 * has one, is good for that. */
static int finish(lua_State *L, saros_task *task, bool notified) {
    condition  *c = lua_touserdata(L, 1);
    saros_lock *lock = c->lock;
    if (!lock->broken) lock->turn = (uint64_t)lua_tointeger(L, 2);
    if (saros_is_cancelled(task)) {
        if (notified) saros_wake_first(&c->waiters, 0);
        return saros_raise_cancelled(L, task);
    }
    if (lock->broken) return saros_lock_broken(L, lock);
    lua_pushboolean(L, 1);
    return 1;
}

static int retaken_k(lua_State *L, int status, lua_KContext ctx) {
    int64_t     result;
    saros_task *task = saros_waited(L, &result);
    (void)status;
    task->unwakable = false;
    return finish(L, task, (bool)ctx);
}

static int notified_k(lua_State *L, int status, lua_KContext ctx) {
    int64_t     result;
    saros_lock *lock = ((condition *)lua_touserdata(L, 1))->lock;
    saros_task *task = saros_waited(L, &result);
    (void)status, (void)ctx;
    bool is_free = lock->turn == 0 && !lock->broken;
    if (is_free) saros_lock_take(lock, task);
    if (is_free || lock->broken) return finish(L, task, result == 0);
    task->unwakable = true;
    saros_lock_wait(lock, task);
    return saros_suspend(L, task, result == 0, retaken_k);
}

static int wait(lua_State *L) {
    condition  *c = check(L);
    saros_task *task = saros_begin(L, "condition:wait");
    saros_lock_mine(L, c->lock, "condition:wait");
    lua_settop(L, 1);
    lua_pushinteger(L, (lua_Integer)c->lock->turn);
    saros_lock_give(c->lock);
    saros_wait_on(task, &c->waiters);
    return saros_suspend(L, task, 0, notified_k);
}

/* condition:wait_for(predicate): its value, once that is true. Stack: 1 the condition, 2 the predicate. */
enum { WAITED, ASKED };

static int wait_for_k(lua_State *L, int status, lua_KContext ctx) {
    (void)status;
    for (;;) {
        if (ctx == ASKED) {
            if (lua_toboolean(L, -1)) return 1;
            lua_settop(L, 2);
            lua_pushvalue(L, lua_upvalueindex(1));
            lua_pushcclosure(L, wait, 1);
            lua_pushvalue(L, 1);
            lua_callk(L, 1, 0, WAITED, wait_for_k);
        }
        lua_settop(L, 2);
        lua_pushvalue(L, 2);
        lua_callk(L, 0, 1, ASKED, wait_for_k);
        ctx = ASKED;
    }
}

static int wait_for(lua_State *L) {
    check(L);
    luaL_checktype(L, 2, LUA_TFUNCTION);
    saros_begin(L, "condition:wait_for");
    lua_settop(L, 2);
    return wait_for_k(L, LUA_OK, WAITED);
}

/* ---- notify ---------------------------------------------------------------------------------------------------- */

static int notify(lua_State *L) {
    condition  *c = check(L);
    lua_Integer n = luaL_optinteger(L, 2, 1);
    saros_lock_mine(L, c->lock, "condition:notify");
    for (; n > 0 && c->waiters != NULL; n--) saros_wake_first(&c->waiters, 0);
    lua_pushboolean(L, 1);
    return 1;
}

static int notify_all(lua_State *L) {
    condition *c = check(L);
    saros_lock_mine(L, c->lock, "condition:notify_all");
    saros_wake_all(&c->waiters, 0);
    lua_pushboolean(L, 1);
    return 1;
}

/* ---- the lock's methods, and the module's part ------------------------------------------------------------------ */

static lua_State *with_lock(lua_State *L) {
    check(L);
    lua_getiuservalue(L, 1, 1);
    lua_replace(L, 1);
    return L;
}

static int acquire(lua_State *L) { return saros_lock_acquire(with_lock(L)); }

static int try_acquire(lua_State *L) { return saros_lock_try_acquire(with_lock(L)); }

static int release(lua_State *L) { return saros_lock_release(with_lock(L)); }

static int locked(lua_State *L) { return saros_lock_locked(with_lock(L)); }

/* saros.condition([lock]) */
static int condition_new(lua_State *L) {
    lua_settop(L, 1);
    saros_lock *lock = lua_isnil(L, 1) ? saros_lock_new(L) : saros_check(L, 1, SAROS_T_LOCK);
    condition  *c = saros_new(L, saros_state(L), SAROS_T_CONDITION, sizeof *c, 1);
    c->lock = lock;
    lua_pushvalue(L, -2);
    lua_setiuservalue(L, -2, 1);
    return 1;
}

void saros_open_condition(lua_State *L) {
    static const luaL_Reg methods[] = {
        {"wait", wait},       {"wait_for", wait_for},       {"notify", notify},   {"notify_all", notify_all},
        {"acquire", acquire}, {"try_acquire", try_acquire}, {"release", release}, {"locked", locked},
        {NULL, NULL}};
    static const luaL_Reg functions[] = {{"condition", condition_new}, {NULL, NULL}};
    saros_type_make(L, SAROS_T_CONDITION, "saros.condition", methods,
                    (const luaL_Reg[]){{"__await", wait}, {NULL, NULL}});
    saros_add(L, functions);
}
