/* race.c: saros.race: the first of several that is done, whatever it says.
 *
 * What race itself started it owns: the losers are cancelled in the moment in which the first one is done, and awaited;
 * awaitables that were passed in are left alone. So of several queues only one gives an item: another that has promised
 * one takes it back. Promises: what was won is returned, also where the caller is cancelled meanwhile (the next await
 * raises); an error of a loser is reported. */
#include "bindings/lua/groups/several.h"

/* All that it owns have ended. */
static int end_race(lua_State *L, saros_several *all) {
    saros_task *task = all->task;
    int         won = all->first;
    if (won < 0) return saros_raise_cancelled(L, task);
    lua_pushinteger(L, won + 1);
    return 1 + saros_await_value(L, all->nodes[won].is, SAROS_AT_FIRST + won);
}

static int drain_k(lua_State *L, int status, lua_KContext ctx) {
    saros_several *all = saros_several_resumed(L);
    (void)status, (void)ctx;
    return all->pending > 0 ? saros_several_wait(L, all, drain_k) : end_race(L, all);
}

static int race_k(lua_State *L, int status, lua_KContext ctx) {
    saros_several *all = saros_several_resumed(L);
    (void)status, (void)ctx;
    saros_several_unlink(all);
    saros_several_cancel(all);
    all->race = false;
    all->until = SAROS_ALL;
    return saros_several_link(all, true) > 0 ? saros_several_wait(L, all, drain_k) : end_race(L, all);
}

/* saros.race(a, b, …) -> index, results… */
static int race(lua_State *L) {
    saros_task *task = saros_begin(L, "saros.race");
    luaL_checkany(L, 1);
    saros_several *all = saros_several_new(L, task, lua_gettop(L));
    all->race = true;
    all->until = SAROS_FIRST_DONE;
    for (int i = 0; i < all->count; i++) { /* one that is done already: nothing need be started */
        saros_awaitable *is = saros_to_awaitable(L, task->rt->lua, SAROS_AT_FIRST + i);
        if (is == NULL || is->fate == SAROS_PENDING) continue;
        lua_pushinteger(L, i + 1);
        return saros_answer(L, task, 1 + saros_await_value(L, is, SAROS_AT_FIRST + i));
    }
    saros_several_start(L, all, "saros.race", 0);
    saros_several_link(all, false);
    return saros_several_wait(L, all, race_k);
}

void saros_open_race(lua_State *L) {
    static const luaL_Reg functions[] = {{"race", race}, {NULL, NULL}};
    saros_add(L, functions);
}
