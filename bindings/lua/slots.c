/* slots.c: what the loop keeps alive by number.
 *
 * Owns which places in the loop's tables are free: a free one has the number of the next. A number in an array costs a
 * quarter of what a key in a hash does.
 * Promises: keeping may raise, and has then kept nothing; clearing cannot fail. A table that had a crowd can be made small
 * again. */
#include "bindings/lua/runtime.h"

enum { CROWD = 1024 /* places: less is not worth the trouble */ };

/* A place is taken only when its value is in the table: until then something may raise. */
uint32_t saros_slot_keep(lua_State *L, saros_rt *rt, int which, int index) {
    saros_slots *slots = &rt->slots[which];
    uint32_t     slot = slots->free > 0 ? slots->free : slots->made + 1, next = 0;
    saros_push_table(L, rt, which);
    if (slots->free > 0) {
        lua_rawgeti(L, -1, (lua_Integer)slot);
        next = (uint32_t)lua_tointeger(L, -1);
        lua_pop(L, 1);
    }
    lua_pushvalue(L, index);
    lua_rawseti(L, -2, (lua_Integer)slot);
    lua_pop(L, 1);
    if (slots->free > 0) slots->count--;
    else slots->made++;
    slots->free = next;
    return slot;
}

/* An existing key is set, which allocates nothing. */
void saros_slot_clear(saros_rt *rt, int which, uint32_t slot) {
    lua_State   *L = rt->L;
    saros_slots *slots = &rt->slots[which];
    if (!lua_checkstack(L, 2)) return; /* it stays anchored until the loop closes; the place is lost */
    saros_push_table(L, rt, which);
    lua_pushinteger(L, (lua_Integer)slots->free);
    lua_rawseti(L, -2, (lua_Integer)slot);
    lua_pop(L, 1);
    slots->free = slot;
    slots->count++;
}

void saros_slot_push(lua_State *L, const saros_rt *rt, int which, uint32_t slot) {
    saros_push_table(L, rt, which);
    lua_rawgeti(L, -1, (lua_Integer)slot);
    lua_replace(L, -2);
}

/* protected: another table in the place of the loop's empty one. p: the loop's, then the slots. */
static int start_anew(lua_State *L) {
    saros_rt    *rt = lua_touserdata(L, 1);
    saros_slots *slots = lua_touserdata(L, 2);
    lua_newtable(L);
    lua_rawseti(L, LUA_REGISTRYINDEX, rt->tables[slots - rt->slots]);
    *slots = (saros_slots){0, 0, 0};
    return 0;
}

void saros_slots_shrink(saros_rt *rt, int which) {
    lua_State         *L = rt->L;
    const saros_slots *slots = &rt->slots[which];
    if (slots->count < slots->made || slots->made < CROWD || !lua_checkstack(L, 4)) return;
    lua_pushcfunction(L, start_anew);
    lua_pushlightuserdata(L, rt);
    lua_pushlightuserdata(L, (void *)slots);
    if (lua_pcall(L, 2, 0, 0) != LUA_OK) lua_pop(L, 1); /* no memory for a smaller one: another time */
}
