/* event.c: an event: a flag that tasks wait for.
 *
 * Owns the flag and those who wait. Promises: set wakes all who wait in that moment, in the order in which they came, also
 * where clear follows at once (semantics 35). */
#include "bindings/lua/sync/sync.h"

typedef struct event {
    saros_waiter *waiters;
    saros_bound   loop;
    bool          set;
} event;

static event *check(lua_State *L) { return saros_check(L, 1, SAROS_T_EVENT); }

static int wait_k(lua_State *L, int status, lua_KContext ctx) {
    int64_t     result;
    saros_task *task = saros_waited(L, &result);
    (void)status, (void)ctx;
    if (result < 0 || saros_is_cancelled(task)) return saros_wait_ended(L, task, result);
    lua_pushboolean(L, 1);
    return 1;
}

static int wait(lua_State *L) {
    event      *e = check(L);
    saros_task *task = saros_begin(L, "event:wait");
    saros_bind(L, &e->loop, task, "event:wait");
    lua_settop(L, 1);
    if (e->set) {
        lua_pushboolean(L, 1);
        return saros_answer(L, task, 1);
    }
    saros_wait_on(task, &e->waiters);
    return saros_suspend(L, task, 0, wait_k);
}

static int set(lua_State *L) {
    event *e = check(L);
    saros_check_bound(L, e->loop, "event:set");
    e->set = true;
    saros_wake_all(&e->waiters, 0);
    lua_pushboolean(L, 1);
    return 1;
}

static int clear(lua_State *L) {
    event *e = check(L);
    saros_check_bound(L, e->loop, "event:clear");
    e->set = false;
    lua_pushboolean(L, 1);
    return 1;
}

static int is_set(lua_State *L) {
    lua_pushboolean(L, check(L)->set);
    return 1;
}

static int event_new(lua_State *L) {
    saros_new(L, saros_state(L), SAROS_T_EVENT, sizeof(event), 0);
    return 1;
}

void saros_open_event(lua_State *L) {
    static const luaL_Reg methods[] = {
        {"wait", wait}, {"set", set}, {"clear", clear}, {"is_set", is_set}, {NULL, NULL}};
    static const luaL_Reg functions[] = {{"event", event_new}, {NULL, NULL}};
    saros_type_make(L, SAROS_T_EVENT, "saros.event", methods, (const luaL_Reg[]){{"__await", wait}, {NULL, NULL}});
    saros_add(L, functions);
}
