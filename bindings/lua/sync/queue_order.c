/* queue_order.c: the order of a priority_queue: a heap in the queue's table.
 *
 * Owns the layout: the i-th entry's value is at 2i-1, its number at 2i: of equal ones the first that was put comes first.
 * Promises: comparing may raise (it calls the script's `less` or __lt), moving cannot; so all is compared before anything
 * is moved, and a queue whose items cannot be compared has lost none of them. A comparison that changes the queue is found
 * out. */
#include "bindings/lua/sync/queue.h"

/* Does the value at index a come before the one at b? */
static bool is_less(lua_State *L, const saros_order *order, int a, int b) {
    a = lua_absindex(L, a);
    b = lua_absindex(L, b);
    if (lua_isnil(L, order->less)) return lua_compare(L, a, b, LUA_OPLT);
    lua_pushvalue(L, order->less);
    lua_pushvalue(L, a);
    lua_pushvalue(L, b);
    lua_call(L, 2, 1);
    bool less = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return less;
}

static lua_Integer number_of(lua_State *L, const saros_order *order, lua_Integer i) {
    lua_rawgeti(L, order->items, 2 * i);
    lua_Integer number = lua_tointeger(L, -1);
    lua_pop(L, 1);
    return number;
}

/* The same of two entries, where equal ones have an order too. */
static bool comes_first(lua_State *L, const saros_order *order, lua_Integer i, lua_Integer j) {
    lua_rawgeti(L, order->items, 2 * i - 1);
    lua_rawgeti(L, order->items, 2 * j - 1);
    bool first =
        is_less(L, order, -2, -1) || (!is_less(L, order, -1, -2) && number_of(L, order, i) < number_of(L, order, j));
    lua_pop(L, 2);
    return first;
}

static void move(lua_State *L, const saros_order *order, lua_Integer from, lua_Integer to) {
    for (int half = -1; half <= 0; half++) {
        lua_rawgeti(L, order->items, 2 * from + half);
        lua_rawseti(L, order->items, 2 * to + half);
    }
}

static void check_unchanged(lua_State *L, const saros_order *order, lua_Integer changes) {
    if (*order->changes != changes) luaL_error(L, "a comparison of a priority queue's items has changed the queue");
}

void saros_order_put(lua_State *L, const saros_order *order, lua_Integer count, int value) {
    lua_Integer changes = *order->changes, last = count + 1, hole = last;
    for (bool up = true; up && hole > 1;) {
        lua_rawgeti(L, order->items, 2 * (hole / 2) - 1);
        up = is_less(L, order, value, -1);
        lua_pop(L, 1);
        if (up) hole /= 2;
    }
    check_unchanged(L, order, changes);
    lua_pushvalue(L, value); /* first what may need memory: the keys of the last entry */
    lua_rawseti(L, order->items, 2 * last - 1);
    lua_pushinteger(L, changes);
    lua_rawseti(L, order->items, 2 * last);
    for (lua_Integer i = last; i > hole; i /= 2) move(L, order, i / 2, i);
    lua_pushvalue(L, value);
    lua_rawseti(L, order->items, 2 * hole - 1);
    lua_pushinteger(L, changes);
    lua_rawseti(L, order->items, 2 * hole);
    ++*order->changes;
}

void saros_order_take(lua_State *L, const saros_order *order, lua_Integer count) {
    lua_Integer changes = *order->changes, way[64], hole = 1;
    int         steps = 0;
    while (2 * hole < count) { /* the last entry sinks from the top, through the places of those that come first */
        lua_Integer child = 2 * hole;
        if (child + 1 < count && comes_first(L, order, child + 1, child)) child++;
        if (!comes_first(L, order, child, count)) break;
        hole = way[steps++] = child;
    }
    check_unchanged(L, order, changes);
    lua_rawgeti(L, order->items, 1);
    hole = 1;
    for (int i = 0; i < steps; i++) {
        move(L, order, way[i], hole);
        hole = way[i];
    }
    move(L, order, count, hole);
    for (int half = -1; half <= 0; half++) {
        lua_pushnil(L);
        lua_rawseti(L, order->items, 2 * count + half);
    }
    ++*order->changes;
}
