/* sync.c: what locks, semaphores, events, queues and channels have in common: the loop that they belong to, what a task
 * holds, and guards.
 *
 * Owns the list of what each task holds. Promises: a task's end finds all of it, and a task that holds nothing pays one
 * comparison; a guard releases once, whoever closes it. */
#include "bindings/lua/sync/sync.h"

void saros_bind_slow(lua_State *L, saros_bound *bound, const saros_rt *rt, const char *what) {
    if (*bound != 0) luaL_error(L, "%s: it belongs to another loop", what);
    *bound = rt->id;
}

void saros_check_bound(lua_State *L, saros_bound bound, const char *what) {
    const saros_lua *lua = saros_state(L);
    if (bound == 0 || lua->current == NULL || lua->current->id == bound) return;
    for (const saros_rt *rt = lua->loops; rt != NULL; rt = rt->next)
        if (rt->id == bound && rt->loop != NULL) luaL_error(L, "%s: it belongs to another loop", what);
}

saros_task *saros_waited(lua_State *L, int64_t *result) {
    saros_task *task = saros_resumed_raw(L);
    saros_wait_unlink(&task->wait);
    task->waits_for = SAROS_FOR_ANYTHING;
    *result = task->op.result;
    return task;
}

int saros_wait_ended(lua_State *L, saros_task *task, int64_t result) {
    if (saros_is_cancelled(task)) return saros_raise_cancelled(L, task);
    return saros_raise(L, (int)result, "the wait was ended");
}

/* ---- what a task holds ---------------------------------------------------------------------------------------- */

void saros_own(saros_holding *held, saros_task *owner, saros_orphaned *orphaned) {
    held->owner = owner;
    held->orphaned = orphaned;
    held->link = &owner->held;
    held->next = owner->held;
    if (held->next != NULL) held->next->link = &held->next;
    owner->held = held;
}

void saros_disown(saros_holding *held) {
    if (held->owner == NULL) return;
    *held->link = held->next;
    if (held->next != NULL) held->next->link = held->link;
    held->owner = NULL;
}

void saros_orphan(saros_task *task) {
    while (task->held != NULL) {
        saros_holding *held = task->held;
        saros_disown(held);
        held->orphaned(held, task);
    }
}

/* ---- guards --------------------------------------------------------------------------------------------------- */

saros_guard *saros_guard_new(lua_State *L) {
    saros_guard *guard = saros_new(L, saros_state(L), SAROS_T_HOLD, sizeof *guard, 1);
    guard->object = lua_touserdata(L, 1);
    lua_pushvalue(L, 1);
    lua_setiuservalue(L, -2, 1);
    return guard;
}

/* guard:release(), and __close: later ones do nothing. */
static int release(lua_State *L) {
    saros_guard *guard = saros_check(L, 1, SAROS_T_HOLD);
    void (*now)(saros_guard *) = guard->release;
    guard->release = NULL;
    if (now != NULL) now(guard);
    lua_pushboolean(L, 1);
    return 1;
}

void saros_open_sync(lua_State *L) {
    static const luaL_Reg methods[] = {{"release", release}, {NULL, NULL}};
    static const luaL_Reg meta[] = {{"__close", release}, {NULL, NULL}};
    saros_type_make(L, SAROS_T_HOLD, "saros.guard", methods, meta);
    saros_open_lock(L);
    saros_open_semaphore(L);
    saros_open_event(L);
    saros_open_condition(L);
    saros_open_barrier(L);
    saros_open_channel(L);
}
