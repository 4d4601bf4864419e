/* timeout.c: scopes in a script's hands: saros.timeout, saros.shield, saros.scope, and what can be asked of one.
 *
 * Each runs a function in the calling task, inside a scope (scope.c) that is left when the function ends, in whatever
 * way; a timeout can also stand in a <close> variable. Promises: a scope takes its own cancellation, and nothing else;
 * the function's results are given where they come in the turn of the deadline. */
#include <math.h>

#include "bindings/lua/tasks/task.h"

/* ---- running a function in one --------------------------------------------------------------------------------- */

static saros_scope *open_scope(lua_State *L, saros_task *task, saros_time timeout) {
    saros_scope *scope = saros_scope_open(task, timeout);
    if (scope == NULL) luaL_error(L, "saros.scope: not enough memory");
    return scope;
}

/* Stack: 1 the scope's object or nil, then the results, or one error. ctx: the scope. */
static int scope_k(lua_State *L, int status, lua_KContext ctx) {
    saros_scope *scope = (saros_scope *)ctx;
    bool         expired = scope->expired;
    bool         mine = status != LUA_OK && status != LUA_YIELD && saros_scope_owns(L, scope, -1);
    saros_scope_leave(scope);
    if (status == LUA_OK || status == LUA_YIELD) return lua_gettop(L) - 1;
    if (!mine) return lua_error(L);
    lua_pushnil(L);
    if (expired) {
        lua_pushliteral(L, "timed out");
        lua_pushliteral(L, "ETIMEDOUT");
    } else {
        saros_push_cancel_reason(L, -2);
        lua_pushliteral(L, "ECANCELED");
    }
    return 3;
}

/* The message handler stood at 2. */
static int handled_k(lua_State *L, int status, lua_KContext ctx) {
    lua_remove(L, 2);
    return scope_k(L, status, ctx);
}

/* Stack: 1 object or nil, 2 function, then its arguments. The handler keeps the traceback of an error that only passes
 * through the scope. */
static int enter(lua_State *L, saros_scope *scope) {
    lua_pushcfunction(L, saros_traceback);
    lua_insert(L, 2);
    int status = lua_pcallk(L, lua_gettop(L) - 3, LUA_MULTRET, 2, (lua_KContext)scope, handled_k);
    return handled_k(L, status, (lua_KContext)scope);
}

/* local t <close> = saros.timeout(seconds) */
static int open_bare(lua_State *L, saros_time seconds) {
    saros_scope *scope = open_scope(L, saros_begin(L, "saros.timeout"), seconds);
    scope->bare = true; /* if there is no memory for its object, it ends with what is around it */
    saros_scope_name(L, scope);
    return 1;
}

/* __close of a bare scope. It cannot take a cancellation away, as the function form does, but makes an error of it that
 * code outside may catch. */
static int scope_closed(lua_State *L) {
    saros_scope_object *object = saros_check(L, 1, SAROS_T_SCOPE);
    saros_scope        *scope = object->scope;
    lua_settop(L, 2);
    if (scope == NULL || !scope->bare) return 0; /* one that has a function is left when that ends */
    bool mine = saros_scope_owns(L, scope, 2), expired = scope->expired;
    saros_scope_leave(scope);
    if (!mine) return 0;
    if (expired) return saros_raise(L, SAROS_ETIMEDOUT, "timed out");
    saros_push_cancel_reason(L, 2);
    lua_pushstring(L, saros_error_name(SAROS_ECANCELED));
    return saros_raise_returned(L, -2, -1);
}

/* saros.timeout(seconds, fn, ...) ; without fn: an object for a <close> variable */
static int timeout(lua_State *L) {
    saros_time seconds = lua_isnoneornil(L, 1) ? SAROS_FOREVER : saros_seconds(L, 1);
    if (!lua_isfunction(L, 2)) {
        if (lua_isnone(L, 2)) return open_bare(L, seconds);
        luaL_checktype(L, 2, LUA_TFUNCTION);
    }
    saros_task *task = saros_begin(L, "saros.timeout");
    lua_pushnil(L);
    lua_replace(L, 1);
    return enter(L, open_scope(L, task, seconds));
}

/* Takes the table of options, if there is one, away from the function's front; the timeout in it, and shield. */
static saros_time take_options(lua_State *L, const char *const *names, bool *shielded) {
    saros_time seconds = SAROS_FOREVER;
    bool       given = lua_istable(L, 1) || (!lua_isfunction(L, 1) && !lua_isnone(L, 2));
    if (given) saros_check_options(L, 1, names);
    luaL_checktype(L, given ? 2 : 1, LUA_TFUNCTION);
    if (lua_istable(L, 1)) {
        if (saros_option(L, 1, "timeout") != LUA_TNIL) {
            luaL_argcheck(L, lua_isnumber(L, -1), 1, "option 'timeout': number expected");
            luaL_argcheck(L, !isnan(lua_tonumber(L, -1)), 1, "option 'timeout': number expected, got NaN");
            seconds = saros_seconds(L, lua_gettop(L));
        }
        saros_option(L, 1, "shield");
        *shielded = *shielded || lua_toboolean(L, -1);
        lua_pop(L, 2);
    }
    if (given) lua_remove(L, 1);
    return seconds;
}

/* saros.shield([options,] fn, ...): cancellation from outside is held back until fn has returned. */
static int shield(lua_State *L) {
    static const char *const names[] = {"timeout", NULL};
    bool                     shielded = true;
    saros_time               seconds = take_options(L, names, &shielded);
    saros_task              *task = saros_begin_uncancelled(L, "saros.shield");
    lua_pushnil(L);
    lua_insert(L, 1);
    saros_scope *scope = open_scope(L, task, seconds);
    scope->shield = true;
    return enter(L, scope);
}

/* saros.scope([options,] fn, ...): fn(scope, ...) */
static int scope(lua_State *L) {
    static const char *const names[] = {"timeout", "shield", NULL};
    bool                     shielded = false;
    saros_time               seconds = take_options(L, names, &shielded);
    saros_task              *task = saros_begin_uncancelled(L, "saros.scope");
    saros_scope             *open = open_scope(L, task, seconds);
    open->shield = shielded;
    open->bare = true; /* until its function runs: if there is no memory for that, it ends with what is around it */
    saros_scope_name(L, open);
    lua_insert(L, 1); /* object, fn, … */
    lua_pushvalue(L, 1);
    lua_insert(L, 3); /* object, fn, object, … */
    open->bare = false;
    return enter(L, open);
}

/* ---- a scope in a script's hand ------------------------------------------------------------------------------- */

static int scope_cancel(lua_State *L) {
    saros_scope_object *object = saros_check(L, 1, SAROS_T_SCOPE);
    saros_scope        *open = object->scope;
    if (open != NULL && !open->cancelled) {
        saros_scope_keep_reason(L, open, 2);
        saros_scope_end(open, NULL);
    }
    lua_pushboolean(L, open != NULL);
    return 1;
}

/* scope:deadline() -> t or nil ; scope:deadline(t), scope:deadline(false) */
static int scope_deadline(lua_State *L) {
    saros_scope_object *object = saros_check(L, 1, SAROS_T_SCOPE);
    saros_scope        *open = object->scope;
    if (!lua_isnone(L, 2)) {
        if (open == NULL) return luaL_error(L, "deadline: the scope was left");
        saros_time deadline = lua_toboolean(L, 2) ? saros_seconds(L, 2) : SAROS_FOREVER;
        bool       idle = saros_tick_stop(open->rt->loop, &open->tick); /* else it is told, then set anew */
        open->tick.deadline = deadline;
        if (idle && deadline != SAROS_FOREVER && saros_tick_start(open->rt->loop, &open->tick) < 0)
            return luaL_error(L, "deadline: not enough memory");
    }
    if (open == NULL || open->tick.deadline == SAROS_FOREVER) lua_pushnil(L);
    else lua_pushnumber(L, (lua_Number)open->tick.deadline / 1e9);
    return 1;
}

static int scope_expired(lua_State *L) {
    saros_scope_object *object = saros_check(L, 1, SAROS_T_SCOPE);
    lua_pushboolean(L, object->scope != NULL ? object->scope->expired : object->expired);
    return 1;
}

static int scope_cancelled(lua_State *L) {
    saros_scope_object *object = saros_check(L, 1, SAROS_T_SCOPE);
    lua_pushboolean(L, object->scope != NULL ? object->scope->cancelled : object->cancelled);
    return 1;
}

void saros_open_timeout(lua_State *L) {
    static const luaL_Reg methods[] = {{"cancel", scope_cancel},
                                       {"deadline", scope_deadline},
                                       {"expired", scope_expired},
                                       {"cancelled", scope_cancelled},
                                       {NULL, NULL}};
    static const luaL_Reg meta[] = {{"__close", scope_closed}, {NULL, NULL}};
    static const luaL_Reg functions[] = {{"scope", scope}, {"timeout", timeout}, {"shield", shield}, {NULL, NULL}};
    saros_type_make(L, SAROS_T_SCOPE, "saros.scope", methods, meta);
    saros_add(L, functions);
}
