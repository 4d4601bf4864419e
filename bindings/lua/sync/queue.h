/* queue.h: what queue.c and queue_order.c have in common. */
#ifndef SAROS_LUA_QUEUE_H
#define SAROS_LUA_QUEUE_H

#include "bindings/lua/sync/sync.h"

/* A priority queue, on a Lua stack. */
typedef struct saros_order {
    int          items, less; /* where its table and its function stand; less may be nil */
    lua_Integer *changes;     /* so far; an entry's number is how many there were when it was put */
} saros_order;

/* Puts the value at index into the heap of count entries. May raise, and then nothing has changed. */
void saros_order_put(lua_State *L, const saros_order *order, lua_Integer count, int value);
/* Takes the first of count entries, at least one, and pushes it. May raise, and then nothing has changed. */
void saros_order_take(lua_State *L, const saros_order *order, lua_Integer count);

#endif
