/* scope.c: what can be cancelled together: scopes, timeouts, shields, and the error that a cancellation is.
 *
 * Cancellation is a state and not an event: once a scope is cancelled, every await in it raises until the scope is
 * left (trio's level-triggered cancellation; semantics 47). The error belongs to its scope, and only that scope takes
 * it; pcall passes it on (install.c).
 *
 * Owns the chain of scopes of each task, innermost first: task->scope, scope->parent, … The task's own outermost scope
 * is the flag task->cancelled, so that a task that opens no scope pays for none. A scope's timer outlives its leaving
 * where it is on its way already, so scopes are allocated apart from the Lua object and freed when both are done. */
#include <stdio.h>
#include <string.h>

#include "bindings/lua/task.h"

enum { MOST_SWALLOWED = 100 /* times a cancellation is raised before its task must give way */ };

typedef struct scope_object { /* SAROS_T_SCOPE: what the script holds */
    saros_scope *scope;       /* NULL once it was left */
    bool         cancelled, expired;
} scope_object;

typedef struct cancelled_object { /* SAROS_T_CANCELLED: the error; user value 1 is the reason */
    const void *owner;            /* the scope or task whose cancellation it is, … */
    uint64_t    id;               /* … and which one of those that have been at this address */
} cancelled_object;

/* ---- the state of being cancelled ----------------------------------------------------------------------------- */

/* The outermost cancelled thing that the task can see past no shield: that one unwinds it in one go. */
static const void *canceller(const saros_task *task) {
    const void *owner = NULL;
    for (const saros_scope *scope = task->scope; scope != NULL; scope = scope->parent) {
        if (scope->cancelled) owner = scope;
        if (scope->shield) return owner;
    }
    return task->cancelled ? task : owner;
}

bool saros_is_cancelled(const saros_task *task) {
    if (task->scope == NULL) return task->cancelled;
    return canceller(task) != NULL;
}

static bool in_chain(const saros_task *task, const void *owner) {
    if (owner == task) return true;
    for (const saros_scope *scope = task->scope; scope != NULL; scope = scope->parent)
        if (scope == owner) return true;
    return false;
}

static uint64_t id_of(const saros_task *task, const void *owner) {
    return owner == NULL ? 0 : owner == task ? task->id : ((const saros_scope *)owner)->id;
}

static void push_reason_of(lua_State *L, const saros_task *task, const void *owner) {
    const saros_scope *scope = owner != task ? owner : NULL;
    if (scope != NULL && scope->host) {
        lua_pushstring(L, scope->reason[0] != 0 ? scope->reason : NULL);
    } else if (scope != NULL && scope->expired) {
        lua_pushliteral(L, "timed out");
    } else {
        saros_push_anchored(L, task->rt, (const char *)owner + 1); /* beside the task's own anchor */
    }
}

void saros_push_reason(lua_State *L, const saros_task *task) {
    const void *owner = canceller(task);
    if (owner != NULL) push_reason_of(L, task, owner);
    else lua_pushnil(L);
}

static void keep_reason(lua_State *L, saros_rt *rt, const void *owner, int arg) {
    if (lua_isnoneornil(L, arg)) return;
    lua_pushvalue(L, arg);
    saros_anchor(L, rt, (const char *)owner + 1);
}

/* Continuation of a task that keeps swallowing its cancellation and had to give way. */
static int raise_k(lua_State *L, int status, lua_KContext ctx) {
    (void)status, (void)ctx;
    return saros_raise_cancelled(L, saros_resumed_raw(L));
}

int saros_raise_cancelled(lua_State *L, saros_task *task) {
    const void *owner = canceller(task);
    if (++task->raised == MOST_SWALLOWED && lua_isyieldable(L)) {
        /* It was told a hundred times and goes on. It may, but not without letting others run. */
        task->raised = 0;
        saros_report_swallowing(L, task);
        saros_requeue(task);
        return saros_suspend(L, task, 0, raise_k);
    }
    cancelled_object *error = saros_new(L, task->rt->lua, SAROS_T_CANCELLED, sizeof *error, 1);
    error->owner = owner;
    error->id = id_of(task, owner);
    push_reason_of(L, task, owner);
    lua_setiuservalue(L, -2, 1);
    return lua_error(L);
}

bool saros_is_own_cancel(lua_State *L, int index) {
    saros_lua        *lua = saros_state_slow(L);
    saros_task       *task = lua->current != NULL ? lua->current->task : NULL;
    cancelled_object *error = saros_test(L, lua, index, SAROS_T_CANCELLED);
    return error != NULL && task != NULL && in_chain(task, error->owner) && id_of(task, error->owner) == error->id;
}

static int cancelled_tostring(lua_State *L) {
    lua_settop(L, 1);
    saros_check(L, 1, SAROS_T_CANCELLED);
    lua_getiuservalue(L, 1, 1);
    if (lua_isnil(L, -1)) lua_pushliteral(L, "cancelled");
    else lua_pushfstring(L, "cancelled: %s", luaL_tolstring(L, -1, NULL));
    return 1;
}

/* saros.is_cancelled(err) -> true, reason | false. */
static int is_cancelled(lua_State *L) {
    if (saros_test(L, saros_state(L), 1, SAROS_T_CANCELLED) == NULL) {
        lua_pushboolean(L, 0);
        return 1;
    }
    lua_pushboolean(L, 1);
    lua_getiuservalue(L, 1, 1);
    return 2;
}

/* ---- entering and leaving ------------------------------------------------------------------------------------- */

static void free_scope(saros_loop *loop, saros_scope *scope) { saros_realloc(loop, scope, sizeof *scope, 0); }

/* The deadline has come, or the scope was left and its timer was on its way. */
static void timer_told(saros_loop *loop, saros_op *op, int64_t result) {
    saros_scope *scope = (saros_scope *)((char *)op - offsetof(saros_scope, timer));
    if (scope->left) {
        free_scope(loop, scope);
        return;
    }
    if (result < 0 ||
        scope->deadline > saros_now(loop)) { /* the deadline was moved, perhaps while this was on its way */
        if (scope->deadline != SAROS_FOREVER) saros_timer(loop, op, scope->deadline);
        return;
    }
    scope->cancelled = scope->expired = true;
    saros_task_poke(scope->task);
}

static saros_scope *scope_new(lua_State *L, saros_task *task, saros_time timeout) {
    saros_loop  *loop = task->rt->loop;
    saros_scope *scope = saros_realloc(loop, NULL, 0, sizeof *scope);
    if (scope == NULL) luaL_error(L, "saros.scope: not enough memory");
    *scope = (saros_scope){.rt = task->rt,
                           .id = ++task->rt->lua->scopes,
                           .timer.done = timer_told,
                           .deadline = saros_later(loop, timeout)};
    if (scope->deadline != SAROS_FOREVER && saros_timer(loop, &scope->timer, scope->deadline) < 0) {
        free_scope(loop, scope);
        luaL_error(L, "saros.scope: not enough memory");
    }
    saros_scope_enter(scope, task);
    return scope;
}

void saros_scope_enter(saros_scope *scope, saros_task *task) {
    scope->task = task;
    scope->parent = task->scope;
    task->scope = scope;
}

/* Takes it out of its task's chain, together with what is still open inside (closed by an error). */
void saros_scope_leave(saros_scope *scope) {
    saros_loop *loop = scope->rt->loop;
    scope->task->scope = scope->parent;
    scope->left = true;
    scope->task->raised = 0;
    if (scope->object != NULL) *scope->object = (scope_object){NULL, scope->cancelled, scope->expired};
    if (scope->cancelled) saros_drop(scope->rt, (const char *)scope + 1);
    if (saros_timer_stop(loop, &scope->timer)) free_scope(loop, scope);
}

static void free_host_scope(saros_scope *scope) {
    saros_rt *rt = scope->rt;
    if (scope->prev != NULL) scope->prev->next = scope->next;
    else rt->scopes = scope->next;
    if (scope->next != NULL) scope->next->prev = scope->prev;
    free_scope(rt->loop, scope);
}

void saros_scope_forget(saros_task *task) {
    while (task->scope != NULL && !task->scope->host) saros_scope_leave(task->scope);
    saros_scope *outermost = task->scope;
    task->scope = NULL;
    if (outermost != NULL && --outermost->tasks == 0 && outermost->released) free_host_scope(outermost);
    if (task->cancelled) saros_drop(task->rt, (const char *)task + 1);
}

/* ---- scope, timeout, shield ----------------------------------------------------------------------------------- */

/* Stack: 1 the scope's object or nil, then the results, or one error. ctx: the scope. */
static int scope_k(lua_State *L, int status, lua_KContext ctx) {
    saros_scope *scope = (saros_scope *)ctx;
    bool         expired = scope->expired, mine = false;
    if (status != LUA_OK && status != LUA_YIELD) {
        cancelled_object *error = saros_test(L, saros_state(L), -1, SAROS_T_CANCELLED);
        mine = error != NULL && error->owner == scope && error->id == scope->id;
    }
    saros_scope_leave(scope);
    if (status == LUA_OK || status == LUA_YIELD) return lua_gettop(L) - 1;
    if (!mine) return lua_error(L);
    lua_pushnil(L);
    if (expired) {
        lua_pushliteral(L, "timed out");
        lua_pushliteral(L, "ETIMEDOUT");
    } else {
        lua_getiuservalue(L, -2, 1);
        if (lua_isnil(L, -1)) {
            lua_pop(L, 1);
            lua_pushliteral(L, "cancelled");
        }
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

/* saros.timeout(seconds, fn, ...) */
static int timeout(lua_State *L) {
    saros_time seconds = lua_isnoneornil(L, 1) ? SAROS_FOREVER : saros_seconds(L, 1);
    luaL_checktype(L, 2, LUA_TFUNCTION);
    saros_task *task = saros_begin(L, "saros.timeout");
    lua_pushnil(L);
    lua_replace(L, 1);
    return enter(L, scope_new(L, task, seconds));
}

/* saros.shield(fn, ...): cancellation from outside is held back until fn has returned. */
static int shield(lua_State *L) {
    luaL_checktype(L, 1, LUA_TFUNCTION);
    saros_task *task = saros_begin_uncancelled(L, "saros.shield");
    lua_pushnil(L);
    lua_insert(L, 1);
    saros_scope *scope = scope_new(L, task, SAROS_FOREVER);
    scope->shield = true;
    return enter(L, scope);
}

/* saros.scope([options,] fn, ...): fn(scope, ...) */
static int scope(lua_State *L) {
    static const char *const names[] = {"timeout", "shield", NULL};
    saros_time               seconds = SAROS_FOREVER;
    bool                     shielded = false;
    if (lua_istable(L, 1) && !lua_isnone(L, 2)) {
        saros_check_options(L, 1, names);
        if (saros_option(L, 1, "timeout") != LUA_TNIL) {
            luaL_argcheck(L, lua_isnumber(L, -1), 1, "option 'timeout': number expected");
            seconds = saros_seconds(L, lua_gettop(L));
        }
        saros_option(L, 1, "shield");
        shielded = lua_toboolean(L, -1);
        lua_pop(L, 2);
        lua_remove(L, 1);
    }
    luaL_checktype(L, 1, LUA_TFUNCTION);
    saros_task   *task = saros_begin_uncancelled(L, "saros.scope");
    scope_object *object = saros_new(L, saros_state(L), SAROS_T_SCOPE, sizeof *object, 0);
    lua_insert(L, 1); /* object, fn, … */
    lua_pushvalue(L, 1);
    lua_insert(L, 3); /* object, fn, object, … */
    object->scope = scope_new(L, task, seconds);
    object->scope->shield = shielded;
    object->scope->object = object;
    return enter(L, object->scope);
}

/* ---- a scope in a script's hand ------------------------------------------------------------------------------- */

static int scope_cancel(lua_State *L) {
    scope_object *object = saros_check(L, 1, SAROS_T_SCOPE);
    saros_scope  *open = object->scope;
    if (open != NULL && !open->cancelled) {
        keep_reason(L, open->rt, open, 2);
        open->cancelled = true;
        saros_task_poke(open->task);
    }
    lua_pushboolean(L, open != NULL);
    return 1;
}

/* scope:deadline() -> t or nil ; scope:deadline(t), scope:deadline(false) */
static int scope_deadline(lua_State *L) {
    scope_object *object = saros_check(L, 1, SAROS_T_SCOPE);
    saros_scope  *open = object->scope;
    if (!lua_isnone(L, 2)) {
        if (open == NULL) return luaL_error(L, "deadline: the scope was left");
        open->deadline = lua_toboolean(L, 2) ? saros_seconds(L, 2) : SAROS_FOREVER;
        if (open->timer.state != SAROS_IDLE) saros_cancel(open->rt->loop, &open->timer); /* told, then set anew */
        else if (open->deadline != SAROS_FOREVER) saros_timer(open->rt->loop, &open->timer, open->deadline);
    }
    if (open == NULL || open->deadline == SAROS_FOREVER) lua_pushnil(L);
    else lua_pushnumber(L, (lua_Number)open->deadline / 1e9);
    return 1;
}

static int scope_expired(lua_State *L) {
    scope_object *object = saros_check(L, 1, SAROS_T_SCOPE);
    lua_pushboolean(L, object->scope != NULL ? object->scope->expired : object->expired);
    return 1;
}

static int scope_cancelled(lua_State *L) {
    scope_object *object = saros_check(L, 1, SAROS_T_SCOPE);
    lua_pushboolean(L, object->scope != NULL ? object->scope->cancelled : object->cancelled);
    return 1;
}

/* task:cancel([reason]) -> was it still alive? */
static int task_cancel(lua_State *L) {
    saros_task *task = saros_check(L, 1, SAROS_T_TASK);
    bool        alive = task->is.fate == SAROS_PENDING;
    if (alive && !task->cancelled) keep_reason(L, task->rt, task, 2);
    saros_task_cancel(task);
    lua_pushboolean(L, alive);
    return 1;
}
const luaL_Reg saros_task_cancel_method[] = {{"cancel", task_cancel}, {NULL, NULL}};

/* ---- a host's scope ------------------------------------------------------------------------------------------- */

saros_scope *saros_scope_new(lua_State *L) {
    saros_lua *lua = saros_state_slow(L);
    saros_rt  *rt = lua != NULL ? lua->attached : NULL;
    if (rt == NULL) return NULL;
    saros_scope *scope = saros_realloc(rt->loop, NULL, 0, sizeof *scope);
    if (scope == NULL) return NULL;
    *scope = (saros_scope){.rt = rt, .id = ++lua->scopes, .host = true, .deadline = SAROS_FOREVER, .next = rt->scopes};
    if (rt->scopes != NULL) rt->scopes->prev = scope;
    return rt->scopes = scope;
}

void saros_scope_cancel(saros_scope *scope, const char *reason) {
    if (scope->cancelled) return;
    scope->cancelled = true;
    snprintf(scope->reason, sizeof scope->reason, "%s", reason != NULL ? reason : "");
    for (saros_task *task = scope->rt->first; task != NULL; task = task->next)
        if (in_chain(task, scope)) saros_task_poke(task);
}

/* Its tasks may be on their way out with its cancellation: so it stays until the last of them has ended. */
void saros_scope_free(saros_scope *scope) {
    scope->released = true;
    if (scope->tasks == 0) free_host_scope(scope);
}

void saros_scopes_free(saros_rt *rt) {
    while (rt->scopes != NULL) free_host_scope(rt->scopes);
}

void saros_open_scope(lua_State *L) {
    static const luaL_Reg methods[] = {{"cancel", scope_cancel},
                                       {"deadline", scope_deadline},
                                       {"expired", scope_expired},
                                       {"cancelled", scope_cancelled},
                                       {NULL, NULL}};
    static const luaL_Reg cancelled_meta[] = {{"__tostring", cancelled_tostring}, {NULL, NULL}};
    static const luaL_Reg functions[] = {
        {"scope", scope}, {"timeout", timeout}, {"shield", shield}, {"is_cancelled", is_cancelled}, {NULL, NULL}};
    saros_type_make(L, SAROS_T_SCOPE, "saros.scope", methods, NULL);
    saros_type_make(L, SAROS_T_CANCELLED, "saros.cancelled", NULL, cancelled_meta);
    saros_add(L, functions);
}
