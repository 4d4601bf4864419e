/* barrier.c: a barrier: n tasks wait for one another, and go on together.
 *
 * Owns those who wait. Promises: when the last of n has come all go on, and the next n may come at once; each of n is
 * given another index, from 1 on, in the order in which they came, also where one that had come was cancelled meanwhile.
 * reset and abort wake who waits with EBROKEN (semantics 39). */
#include "bindings/lua/sync/sync.h"

typedef struct barrier {
    saros_waiter *waiters;
    lua_Integer   parties;
    lua_Integer   most; /* who wait, and perhaps some that were cancelled: counted only when it may be the last one */
    saros_bound   loop;
    bool          broken;
} barrier;

static barrier *check(lua_State *L) { return saros_check(L, 1, SAROS_T_BARRIER); }

static int fail_broken(lua_State *L) { return saros_fail(L, SAROS_EBROKEN, "the barrier is broken"); }

static lua_Integer count(const barrier *b) {
    lua_Integer n = 0;
    for (const saros_waiter *w = b->waiters; w != NULL; w = w->next == b->waiters ? NULL : w->next) n++;
    return n;
}

static int wait_k(lua_State *L, int status, lua_KContext ctx) {
    int64_t     result;
    saros_task *task = saros_waited(L, &result);
    (void)status, (void)ctx;
    if (saros_is_cancelled(task)) return saros_raise_cancelled(L, task);
    if (result == SAROS_EBROKEN) return fail_broken(L);
    if (result < 0) return saros_wait_ended(L, task, result);
    lua_pushinteger(L, result);
    return 1;
}

static int wait(lua_State *L) {
    barrier    *b = check(L);
    saros_task *task = saros_begin(L, "barrier:wait");
    saros_bind(L, &b->loop, task, "barrier:wait");
    lua_settop(L, 1);
    if (b->broken) return saros_answer(L, task, fail_broken(L));
    if (b->most + 1 >= b->parties) b->most = count(b);
    if (b->most + 1 < b->parties) {
        b->most++;
        saros_wait_on(task, &b->waiters);
        return saros_suspend(L, task, 0, wait_k);
    }
    b->most = 0;
    for (int64_t index = 1; b->waiters != NULL; index++) saros_wake_first(&b->waiters, index);
    lua_pushinteger(L, b->parties);
    return saros_answer(L, task, 1);
}

static int end_all(lua_State *L, bool broken, const char *what) {
    barrier *b = check(L);
    saros_check_bound(L, b->loop, what);
    b->broken = broken;
    b->most = 0;
    saros_wake_all(&b->waiters, SAROS_EBROKEN);
    lua_pushboolean(L, 1);
    return 1;
}

static int reset(lua_State *L) { return end_all(L, false, "barrier:reset"); }

static int abort_all(lua_State *L) { return end_all(L, true, "barrier:abort"); }

static int broken(lua_State *L) {
    lua_pushboolean(L, check(L)->broken);
    return 1;
}

static int waiting(lua_State *L) {
    lua_pushinteger(L, count(check(L)));
    return 1;
}

static int barrier_new(lua_State *L) {
    lua_Integer parties = luaL_checkinteger(L, 1);
    luaL_argcheck(L, parties >= 1, 1, "1 or more tasks expected");
    barrier *b = saros_new(L, saros_state(L), SAROS_T_BARRIER, sizeof *b, 0);
    b->parties = parties;
    return 1;
}

void saros_open_barrier(lua_State *L) {
    static const luaL_Reg methods[] = {{"wait", wait},     {"reset", reset},     {"abort", abort_all},
                                       {"broken", broken}, {"waiting", waiting}, {NULL, NULL}};
    static const luaL_Reg functions[] = {{"barrier", barrier_new}, {NULL, NULL}};
    saros_type_make(L, SAROS_T_BARRIER, "saros.barrier", methods, (const luaL_Reg[]){{"__await", wait}, {NULL, NULL}});
    saros_add(L, functions);
}
