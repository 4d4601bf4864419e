/* locals.c: what a task hands down to those that it spawns: a table of the script's, and a clock.
 *
 * saros.locals() is the running task's own table. What is not in it is looked up in the table of the task that spawned
 * it, as that is at the moment; writing never goes there. So a request's name, once set, is seen by everything that is
 * started for it.
 *
 * Owns the links between those tables: each is anchored for its task until that ends, and is the __index of those below
 * it, which it outlives if they need it. Promises: a task that never asks, and whose forebears never asked, has no table
 * and no link. */
#include "bindings/lua/tasks/task.h"

static const void *key_of(const saros_task *task) { return (const char *)task + 2; } /* beside its reason */

/* The table on top (popped) is from now on what the task has. */
static void keep(lua_State *L, saros_task *task, int how) {
    saros_anchor(L, task->rt, key_of(task));
    task->heirloom = (uint8_t)((task->heirloom & ~(SAROS_INHERITS_LOCALS | SAROS_OWNS_LOCALS)) | how);
}

void saros_inherit(lua_State *L, saros_task *task, const saros_task *from) {
    if (from->heirloom & (SAROS_INHERITS_LOCALS | SAROS_OWNS_LOCALS)) {
        saros_push_anchored(L, task->rt, key_of(from));
        keep(L, task, SAROS_INHERITS_LOCALS);
    }
    if (from->heirloom & SAROS_HAS_CLOCK) { /* last: what is counted must be given back */
        saros_clock_hold(saros_task_clock(from));
        task->clock = from->clock;
        task->heirloom |= SAROS_HAS_CLOCK;
    }
}

void saros_disinherit(saros_task *task) {
    if (task->heirloom & (SAROS_INHERITS_LOCALS | SAROS_OWNS_LOCALS)) saros_drop(task->rt, key_of(task));
    if (task->heirloom & SAROS_HAS_CLOCK) saros_clock_release(saros_task_clock(task));
    task->heirloom = 0;
    task->clock = 0;
}

/* Stack: the new table; the one that was inherited until now, or nil; the ids of tasks that inherit the new one. */
enum { OWN = 1, ABOVE, MARKED };

/* The table on top is below the one at OWN from now on, if it was below that at ABOVE: a script may have given it a
 * metatable of its own. */
static void put_below(lua_State *L) {
    if (!lua_getmetatable(L, -1)) {
        if (!lua_isnil(L, ABOVE)) return;
        lua_createtable(L, 0, 1);
        lua_pushvalue(L, -1);
        lua_setmetatable(L, -3);
    }
    lua_pushliteral(L, "__index");
    lua_rawget(L, -2);
    bool same = lua_rawequal(L, -1, ABOVE);
    lua_pop(L, 1);
    if (same) {
        lua_pushvalue(L, OWN);
        lua_setfield(L, -2, "__index");
    }
    lua_pop(L, 1);
}

static void mark(lua_State *L, const saros_task *task) {
    lua_pushboolean(L, 1);
    lua_rawseti(L, MARKED, (lua_Integer)task->id);
}

/* The task has got its first table: those that it spawned before, and theirs in turn down to who has a table already,
 * look there as well from now on. A spawner is in the list before those that it spawned. */
static void hand_down(lua_State *L, const saros_task *from) {
    lua_newtable(L); /* MARKED */
    mark(L, from);
    for (saros_task *task = from->rt->first; task != NULL; task = task->next) {
        bool below = lua_rawgeti(L, MARKED, (lua_Integer)task->parent) != LUA_TNIL;
        lua_settop(L, MARKED);
        if (!below) continue;
        if (task->heirloom & SAROS_OWNS_LOCALS) {
            saros_push_anchored(L, task->rt, key_of(task));
            put_below(L);
            lua_settop(L, MARKED);
        } else {
            lua_pushvalue(L, OWN);
            keep(L, task, SAROS_INHERITS_LOCALS);
            mark(L, task);
        }
    }
}

/* saros.locals() -> the running task's table */
static int locals(lua_State *L) {
    saros_lua  *lua = saros_state(L);
    saros_task *task = saros_running_task(lua);
    if (task == NULL) return luaL_error(L, "saros.locals: no task is running");
    lua_settop(L, 0);
    if (task->heirloom & SAROS_OWNS_LOCALS) {
        saros_push_anchored(L, task->rt, key_of(task));
        return 1;
    }
    lua_newtable(L);
    if (task->heirloom & SAROS_INHERITS_LOCALS) {
        saros_push_anchored(L, task->rt, key_of(task));
        lua_createtable(L, 0, 1);
        lua_pushvalue(L, ABOVE);
        lua_setfield(L, -2, "__index");
        lua_setmetatable(L, OWN);
    } else {
        lua_pushnil(L);
    }
    lua_pushvalue(L, OWN);
    keep(L, task, SAROS_OWNS_LOCALS);
    if (task->spawned) hand_down(L, task);
    lua_settop(L, OWN);
    return 1;
}

void saros_open_locals(lua_State *L) {
    static const luaL_Reg functions[] = {{"locals", locals}, {NULL, NULL}};
    saros_add(L, functions);
}
