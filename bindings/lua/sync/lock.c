/* lock.c: a lock that knows its owner, as trio's.
 *
 * Owns who holds it: the running acquisition has a number, its turn, and an owner, the task that acquired it.
 * Promises: FIFO; release hands the lock to the first who waits, in that moment, so nobody barges; whoever was chosen and
 * is cancelled before it runs hands on (semantics 32, 33). Only the owner releases, or whoever has the guard. An owner
 * that ends breaks the lock for good: what it protected may be half done, and nobody should believe otherwise
 * (semantics 36). Acquiring a lock that one holds is an error, and no deadlock. */
#include "bindings/lua/sync/sync.h"

static saros_lock *check(lua_State *L) { return saros_check(L, 1, SAROS_T_LOCK); }

int saros_lock_broken(lua_State *L, const saros_lock *lock) {
    lua_pushfstring(L, "the lock is broken: task-%d, which held it, has ended without a release", (int)lock->culprit);
    return saros_raise(L, SAROS_EBROKEN, lua_tostring(L, -1));
}

static void orphaned(saros_holding *held, saros_task *task) {
    saros_lock *lock = (saros_lock *)((char *)held - offsetof(saros_lock, held));
    lock->is.owner = NULL;
    if (task->agent) return;
    lock->broken = true;
    lock->culprit = task->id;
    lock->turn = 0;
    saros_wake_all(&lock->is.waiters, SAROS_EBROKEN);
}

/* An agent acquires for the task that made it, as long as that waits for it. */
static saros_task *principal_of(saros_task *task) {
    saros_waiter *first = task->agent ? task->is.waiters : NULL;
    for (saros_waiter *waiter = first; waiter != NULL; waiter = waiter->next != first ? waiter->next : NULL) {
        saros_task *by = saros_gathering_task(waiter);
        if (by != NULL && by->id == task->parent) return by;
    }
    return task;
}

static bool acts_for(const saros_task *task, const saros_task *owner) {
    return task == owner || (task != NULL && task->agent && owner != NULL && owner->id == task->parent);
}

static void own(saros_lock *lock, saros_task *task) {
    lock->is.owner = principal_of(task);
    saros_own(&lock->held, lock->is.owner, orphaned);
}

void saros_lock_take(saros_lock *lock, saros_task *task) {
    lock->turn = ++lock->turns;
    own(lock, task);
}

void saros_lock_give(saros_lock *lock) {
    saros_waiter *first = lock->is.waiters;
    saros_disown(&lock->held);
    lock->is.owner = NULL;
    lock->turn = 0;
    if (first == NULL) return;
    saros_lock_take(lock, saros_waiter_task(first));
    saros_wake_first(&lock->is.waiters, 0);
}

void saros_lock_wait(saros_lock *lock, saros_task *task) {
    task->waits_for = SAROS_FOR_LOCK;
    saros_wait_on(task, &lock->is.waiters);
    if (lock->is.owner != NULL && lock->is.owner->waits_for != SAROS_FOR_ANYTHING) saros_suspect(task);
}

/* Its turn may be over: a release by hand, before the guard was closed. */
static void guard_release(saros_guard *guard) {
    saros_lock *lock = guard->object;
    if (lock->turn == guard->turn) saros_lock_give(lock);
}

static int acquired(saros_guard *guard) {
    guard->release = guard_release;
    guard->turn = ((saros_lock *)guard->object)->turn;
    return 1;
}

/* ---- acquire, release ----------------------------------------------------------------------------------------- */

static void refuse(lua_State *L, const saros_lock *lock, const saros_task *task, const char *what) {
    if (lock->broken) saros_lock_broken(L, lock);
    if (lock->turn != 0 && acts_for(task, lock->is.owner)) luaL_error(L, "%s: the task holds the lock already", what);
}

static int acquire_k(lua_State *L, int status, lua_KContext ctx) {
    int64_t     result;
    saros_lock *lock = lua_touserdata(L, 1);
    saros_task *task = saros_waited(L, &result);
    (void)status, (void)ctx;
    if (saros_is_cancelled(task)) {
        if (result == 0) saros_lock_give(lock);
        return saros_raise_cancelled(L, task);
    }
    if (lock->broken) return saros_lock_broken(L, lock);
    if (result < 0) return saros_wait_ended(L, task, result);
    return acquired(lua_touserdata(L, 2));
}

int saros_lock_acquire(lua_State *L) {
    saros_lock *lock = check(L);
    saros_task *task = saros_begin(L, "lock:acquire");
    saros_bind(L, &lock->bound, task, "lock:acquire");
    refuse(L, lock, task, "lock:acquire");
    lua_settop(L, 1);
    saros_guard *guard = saros_guard_new(L);
    if (lock->turn == 0) {
        saros_lock_take(lock, task);
        return saros_answer(L, task, acquired(guard));
    }
    saros_lock_wait(lock, task);
    return saros_suspend(L, task, 0, acquire_k);
}

int saros_lock_try_acquire(lua_State *L) {
    saros_lock *lock = check(L);
    saros_task *task = saros_running_task(saros_state(L));
    if (task == NULL) return luaL_error(L, "lock:try_acquire: only a task can hold a lock");
    saros_bind(L, &lock->bound, task, "lock:try_acquire");
    refuse(L, lock, task, "lock:try_acquire");
    if (lock->turn != 0) return saros_fail(L, SAROS_EAGAIN, "the lock is held");
    lua_settop(L, 1);
    saros_guard *guard = saros_guard_new(L);
    saros_lock_take(lock, task);
    return acquired(guard);
}

saros_task *saros_lock_mine(lua_State *L, saros_lock *lock, const char *what) {
    saros_task *task = saros_running_task(saros_state(L)), *owner = lock->is.owner;
    if (lock->broken) saros_lock_broken(L, lock);
    if (lock->turn == 0) luaL_error(L, "%s: the lock is not held", what);
    if (task != NULL && owner == NULL) own(lock, owner = task);
    if (owner == NULL) luaL_error(L, "%s: only a task can hold a lock", what);
    if (!acts_for(task, owner)) {
        saros_task_push(L, owner);
        luaL_error(L, "%s: the lock is held by another task, %s", what, saros_task_name(L, owner, lua_gettop(L)));
    }
    return task;
}

int saros_lock_release(lua_State *L) {
    saros_lock *lock = check(L);
    saros_lock_mine(L, lock, "lock:release");
    saros_lock_give(lock);
    lua_pushboolean(L, 1);
    return 1;
}

int saros_lock_locked(lua_State *L) {
    lua_pushboolean(L, check(L)->turn != 0);
    return 1;
}

static int collected(lua_State *L) {
    saros_disown(&check(L)->held); /* its owner lives, but nobody can ever ask for it */
    return 0;
}

/* ---- the module's part ---------------------------------------------------------------------------------------- */

saros_lock *saros_lock_new(lua_State *L) { return saros_new(L, saros_state(L), SAROS_T_LOCK, sizeof(saros_lock), 0); }

static int lock_new(lua_State *L) {
    saros_lock_new(L);
    return 1;
}

void saros_open_lock(lua_State *L) {
    static const luaL_Reg methods[] = {{"acquire", saros_lock_acquire},
                                       {"try_acquire", saros_lock_try_acquire},
                                       {"release", saros_lock_release},
                                       {"locked", saros_lock_locked},
                                       {NULL, NULL}};
    static const luaL_Reg meta[] = {{"__await", saros_lock_acquire}, {"__gc", collected}, {NULL, NULL}};
    static const luaL_Reg functions[] = {{"lock", lock_new}, {NULL, NULL}};
    saros_type_make(L, SAROS_T_LOCK, "saros.lock", methods, meta);
    saros_add(L, functions);
}
