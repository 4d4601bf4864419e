/* semaphore.c: semaphores, bounded ones, and trio's capacity limiter, whose tokens have owners.
 *
 * Owns how many permits are there. Promises: FIFO, nobody barges past a waiter; a release hands the permit to the first
 * who waits in that moment, and whoever was chosen and is cancelled before it runs hands on (semantics 32, 33): permits
 * are conserved. A limiter's token belongs to the task that acquired it, at most one to a task, and a task that ends
 * gives it back. */
#include <math.h>

#include "bindings/lua/sync/sync.h"

/* ---- semaphore, bounded_semaphore ------------------------------------------------------------------------------ */

typedef struct semaphore {
    saros_waiter *waiters;
    lua_Integer   value, bound; /* no one can raise the value above its bound */
    saros_bound   loop;
} semaphore;

static semaphore *check(lua_State *L) { return saros_check(L, 1, SAROS_T_SEMAPHORE); }

static void give(semaphore *s) {
    if (s->waiters != NULL) saros_wake_first(&s->waiters, 0);
    else s->value++;
}

/* By hand and by guard, that may be once too often. */
static void guard_release(saros_guard *guard) {
    semaphore *s = guard->object;
    if (s->value < s->bound) give(s);
}

static int acquire_k(lua_State *L, int status, lua_KContext ctx) {
    int64_t      result;
    saros_task  *task = saros_waited(L, &result);
    saros_guard *guard = lua_touserdata(L, 2);
    (void)status, (void)ctx;
    if (result == 0 && !saros_is_cancelled(task)) {
        guard->release = guard_release;
        return 1;
    }
    if (result == 0) give(guard->object);
    return saros_wait_ended(L, task, result);
}

static int acquire(lua_State *L) {
    semaphore  *s = check(L);
    saros_task *task = saros_begin(L, "semaphore:acquire");
    saros_bind(L, &s->loop, task, "semaphore:acquire");
    lua_settop(L, 1);
    saros_guard *guard = saros_guard_new(L);
    if (s->value > 0) {
        s->value--;
        guard->release = guard_release;
        return saros_answer(L, task, 1);
    }
    saros_wait_on(task, &s->waiters);
    return saros_suspend(L, task, 0, acquire_k);
}

static int try_acquire(lua_State *L) {
    semaphore *s = check(L);
    saros_check_bound(L, s->loop, "semaphore:try_acquire");
    if (s->value == 0) return saros_fail(L, SAROS_EAGAIN, "the semaphore is taken");
    lua_settop(L, 1);
    saros_guard *guard = saros_guard_new(L);
    s->value--;
    guard->release = guard_release;
    return 1;
}

static int release(lua_State *L) {
    semaphore *s = check(L);
    saros_check_bound(L, s->loop, "semaphore:release");
    if (s->value >= s->bound) return luaL_error(L, "semaphore:release: called more often than acquire");
    give(s);
    lua_pushboolean(L, 1);
    return 1;
}

static int locked(lua_State *L) {
    lua_pushboolean(L, check(L)->value == 0);
    return 1;
}

static int make(lua_State *L, bool bounded) {
    lua_Integer n = luaL_optinteger(L, 1, 1);
    luaL_argcheck(L, n >= 0, 1, "0 or more permits expected");
    semaphore *s = saros_new(L, saros_state(L), SAROS_T_SEMAPHORE, sizeof *s, 0);
    s->value = n;
    s->bound = bounded ? n : LUA_MAXINTEGER;
    return 1;
}

static int semaphore_new(lua_State *L) { return make(L, false); }

static int bounded_new(lua_State *L) { return make(L, true); }

/* ---- limiter --------------------------------------------------------------------------------------------------- */

typedef struct limiter {
    saros_waiter *waiters;
    lua_Integer   total, borrowed;
    saros_bound   loop;
} limiter;

static limiter *check_limiter(lua_State *L) { return saros_check(L, 1, SAROS_T_LIMITER); }

static saros_guard *guard_of(saros_holding *held) {
    return (saros_guard *)((char *)held - offsetof(saros_guard, held));
}

/* The first who wait are given what is free. */
static void lend(limiter *l) {
    while (l->waiters != NULL && l->borrowed < l->total) {
        l->borrowed++;
        saros_wake_first(&l->waiters, 0);
    }
}

static void give_back(limiter *l) {
    l->borrowed--;
    lend(l);
}

/* While a task holds a token the loop keeps its guard alive, and that the limiter. */
static void limiter_release(saros_guard *guard) {
    saros_task *owner = guard->held.owner;
    limiter    *l = guard->object;
    saros_disown(&guard->held);
    give_back(l);
    if (owner != NULL) saros_drop(owner->rt, guard);
}

static void orphaned(saros_holding *held, saros_task *task) {
    saros_guard *guard = guard_of(held);
    if (!task->agent) {
        guard->release = NULL;
        give_back(guard->object);
    }
    saros_drop(task->rt, guard);
}

static saros_guard *token_of(const saros_task *task, const limiter *l) {
    for (saros_holding *held = task->held; held != NULL; held = held->next)
        if (held->orphaned == orphaned && guard_of(held)->object == l) return guard_of(held);
    return NULL;
}

/* The guard, anchored already: what comes after that cannot raise. */
static saros_guard *new_token(lua_State *L, saros_task *task, const limiter *l, const char *what) {
    if (token_of(task, l) != NULL) luaL_error(L, "%s: the task has a token of this limiter already", what);
    lua_settop(L, 1);
    saros_guard *guard = saros_guard_new(L);
    lua_pushvalue(L, -1);
    saros_anchor(L, task->rt, guard);
    return guard;
}

static int got_token(saros_guard *guard, saros_task *task) {
    guard->release = limiter_release;
    saros_own(&guard->held, task, orphaned);
    return 1;
}

static int limiter_acquire_k(lua_State *L, int status, lua_KContext ctx) {
    int64_t      result;
    saros_task  *task = saros_waited(L, &result);
    saros_guard *guard = lua_touserdata(L, 2);
    (void)status, (void)ctx;
    if (result == 0 && !saros_is_cancelled(task)) return got_token(guard, task);
    saros_drop(task->rt, guard);
    if (result == 0) give_back(guard->object);
    return saros_wait_ended(L, task, result);
}

void saros_limiter_leave(lua_State *co, const saros_task *task) { saros_drop(task->rt, lua_touserdata(co, 2)); }

static int limiter_acquire(lua_State *L) {
    limiter    *l = check_limiter(L);
    saros_task *task = saros_begin(L, "limiter:acquire");
    saros_bind(L, &l->loop, task, "limiter:acquire");
    saros_guard *guard = new_token(L, task, l, "limiter:acquire");
    if (l->borrowed < l->total) {
        l->borrowed++;
        return saros_answer(L, task, got_token(guard, task));
    }
    task->waits_for = SAROS_FOR_TOKEN;
    saros_wait_on(task, &l->waiters);
    return saros_suspend(L, task, 0, limiter_acquire_k);
}

static int limiter_try_acquire(lua_State *L) {
    limiter    *l = check_limiter(L);
    saros_task *task = saros_running_task(saros_state(L));
    if (task == NULL) return luaL_error(L, "limiter:try_acquire: only a task can have a token");
    saros_bind(L, &l->loop, task, "limiter:try_acquire");
    if (l->borrowed >= l->total && token_of(task, l) == NULL)
        return saros_fail(L, SAROS_EAGAIN, "all tokens of the limiter are taken");
    saros_guard *guard = new_token(L, task, l, "limiter:try_acquire");
    l->borrowed++;
    return got_token(guard, task);
}

static int limiter_free(lua_State *L) {
    limiter     *l = check_limiter(L);
    saros_task  *task = saros_running_task(saros_state(L));
    saros_guard *guard = task != NULL ? token_of(task, l) : NULL;
    if (guard == NULL) return luaL_error(L, "limiter:release: the task has no token of this limiter");
    guard->release = NULL;
    limiter_release(guard);
    lua_pushboolean(L, 1);
    return 1;
}

static int limiter_locked(lua_State *L) {
    const limiter *l = check_limiter(L);
    lua_pushboolean(L, l->borrowed >= l->total);
    return 1;
}

static int limiter_borrowed(lua_State *L) {
    lua_pushinteger(L, check_limiter(L)->borrowed);
    return 1;
}

static lua_Integer check_total(lua_State *L, int arg) {
    if (lua_type(L, arg) == LUA_TNUMBER && lua_tonumber(L, arg) == HUGE_VAL) return LUA_MAXINTEGER;
    lua_Integer total = luaL_checkinteger(L, arg);
    luaL_argcheck(L, total >= 0, arg, "0 or more tokens expected");
    return total;
}

/* limiter:total([n]): how many there are; fewer than are taken: nobody is given one until enough came back. */
static int limiter_total(lua_State *L) {
    limiter *l = check_limiter(L);
    if (!lua_isnone(L, 2)) {
        saros_check_bound(L, l->loop, "limiter:total");
        l->total = check_total(L, 2);
        lend(l);
    }
    lua_pushinteger(L, l->total);
    return 1;
}

static int limiter_new(lua_State *L) {
    lua_Integer total = check_total(L, 1);
    limiter    *l = saros_new(L, saros_state(L), SAROS_T_LIMITER, sizeof *l, 0);
    l->total = total;
    return 1;
}

/* ---- the module's part ---------------------------------------------------------------------------------------- */

void saros_open_semaphore(lua_State *L) {
    static const luaL_Reg methods[] = {
        {"acquire", acquire}, {"try_acquire", try_acquire}, {"release", release}, {"locked", locked}, {NULL, NULL}};
    static const luaL_Reg limiter_methods[] = {{"acquire", limiter_acquire},
                                               {"try_acquire", limiter_try_acquire},
                                               {"release", limiter_free},
                                               {"locked", limiter_locked},
                                               {"borrowed", limiter_borrowed},
                                               {"total", limiter_total},
                                               {NULL, NULL}};
    static const luaL_Reg functions[] = {
        {"semaphore", semaphore_new}, {"bounded_semaphore", bounded_new}, {"limiter", limiter_new}, {NULL, NULL}};
    saros_type_make(L, SAROS_T_SEMAPHORE, "saros.semaphore", methods,
                    (const luaL_Reg[]){{"__await", acquire}, {NULL, NULL}});
    saros_type_make(L, SAROS_T_LIMITER, "saros.limiter", limiter_methods,
                    (const luaL_Reg[]){{"__await", limiter_acquire}, {NULL, NULL}});
    saros_add(L, functions);
}
