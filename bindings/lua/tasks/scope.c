/* scope.c: what can be cancelled together: scopes, how they stand in each other, and the error that a cancellation is.
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

#include "bindings/lua/groups/group.h"

enum { MOST_SWALLOWED = 100 /* times a cancellation is raised before that is worth a word */ };

typedef struct cancelled_object { /* SAROS_T_CANCELLED: the error; user values: the reason, what was cancelled */
    const void *owner;            /* the scope or task whose cancellation it is, … */
    uint64_t    id;               /* … and which one of those that have been at this address */
} cancelled_object;

/* ---- the state of being cancelled ----------------------------------------------------------------------------- */

/* What is cancelled: a scope, or a task (whose own outermost scope is a flag); and which one of those that have been at
 * this address. */
typedef struct owner {
    const void        *at; /* NULL: nothing */
    uint64_t           id;
    const saros_scope *scope; /* NULL: a task */
} owner;

/* The outermost cancelled thing that the task can see from this scope past no shield: that one unwinds it in one go.
 * From the scope of the group that the task is a child of the way leads on outwards from where that group was opened
 * (semantics 48). */
static owner canceller(const saros_task *task, const saros_scope *scope) {
    owner found = {NULL, 0, NULL};
    for (; task != NULL; task = scope->task) {
        for (; scope != NULL && scope->task == task; scope = scope->parent) {
            if (scope->cancelled) found = (owner){scope, scope->id, scope};
            if (scope->shield) return found;
        }
        if (task->cancelled) found = (owner){task, task->id, NULL};
        if (scope == NULL) return found;
    }
    return scope->cancelled ? (owner){scope, scope->id, scope} : found; /* a host's, or that of a group that is gone */
}

bool saros_is_cancelled(const saros_task *task) {
    if (task->scope == NULL) return task->cancelled;
    return canceller(task, task->scope).at != NULL;
}

bool saros_scope_is_cancelled(const saros_scope *scope) { return canceller(scope->task, scope).at != NULL; }

static bool in_chain(const saros_task *task, const void *at, uint64_t id) {
    const saros_scope *scope = task->scope;
    for (; task != NULL; task = scope->task) {
        for (; scope != NULL && scope->task == task; scope = scope->parent)
            if (scope == at) return scope->id == id;
        if (task == at) return task->id == id;
        if (scope == NULL) return false;
    }
    return scope == at && scope->id == id;
}

static void push_reason_of(lua_State *L, saros_rt *rt, owner who) {
    if (who.scope != NULL && who.scope->why != NULL) lua_pushstring(L, who.scope->why);
    else if (who.scope != NULL && who.scope->host) lua_pushnil(L);
    else saros_push_anchored(L, rt, (const char *)who.at + 1); /* beside the task's own anchor */
}

void saros_push_reason(lua_State *L, const saros_task *task) {
    owner who = canceller(task, task->scope);
    if (who.at != NULL) push_reason_of(L, task->rt, who);
    else lua_pushnil(L);
}

saros_scope_object *saros_scope_name(lua_State *L, saros_scope *scope) {
    saros_scope_object *object = saros_new(L, scope->rt->lua, SAROS_T_SCOPE, sizeof *object, 0);
    lua_pushvalue(L, -1);
    saros_anchor(L, scope->rt, (const char *)scope + 2);
    object->scope = scope;
    return scope->object = object;
}

/* Pushes an open scope as the script knows it, as a group where it is one's; false: it has no name, and nothing. */
static bool push_scope(lua_State *L, saros_scope *scope) {
    if (scope->group != NULL) saros_push_anchored(L, scope->rt, scope->group);
    else if (scope->object != NULL) saros_push_anchored(L, scope->rt, (const char *)scope + 2);
    else return false;
    return true;
}

static void keep_reason(lua_State *L, saros_rt *rt, const void *at, int arg) {
    if (lua_isnoneornil(L, arg)) return;
    lua_pushvalue(L, arg);
    saros_anchor(L, rt, (const char *)at + 1);
}

void saros_scope_keep_reason(lua_State *L, saros_scope *scope, int arg) { keep_reason(L, scope->rt, scope, arg); }

/* Continuation of a task that had to give way before it is told once more. */
static int raise_k(lua_State *L, int status, lua_KContext ctx) {
    (void)status, (void)ctx;
    return saros_raise_cancelled(L, saros_resumed_raw(L));
}

int saros_raise_cancelled(lua_State *L, saros_task *task) {
    owner who = canceller(task, task->scope);
    if (++task->raised == MOST_SWALLOWED) saros_report_swallowing(L, task);
    if (++task->at_hand >= SAROS_MOST_AT_HAND && lua_isyieldable(L)) {
        /* It may go on with whatever it does about that, but not without letting others run. */
        saros_requeue(task);
        return saros_suspend(L, task, 0, raise_k);
    }
    cancelled_object *error = saros_new(L, task->rt->lua, SAROS_T_CANCELLED, sizeof *error, 2);
    error->owner = who.at;
    error->id = who.id;
    push_reason_of(L, task->rt, who);
    lua_setiuservalue(L, -2, 1);
    bool named = true;
    if (who.scope == NULL) saros_task_push(L, (saros_task *)who.at);
    else named = push_scope(L, (saros_scope *)who.scope);
    if (named) lua_setiuservalue(L, -2, 2);
    return lua_error(L);
}

bool saros_is_own_cancel(lua_State *L, int index) {
    saros_lua        *lua = saros_state_slow(L);
    saros_task       *task = saros_running_task(lua);
    cancelled_object *error = saros_test(L, lua, index, SAROS_T_CANCELLED);
    return error != NULL && task != NULL && in_chain(task, error->owner, error->id);
}

static int cancelled_tostring(lua_State *L) {
    lua_settop(L, 1);
    saros_check(L, 1, SAROS_T_CANCELLED);
    lua_getiuservalue(L, 1, 1);
    if (lua_isnil(L, -1)) lua_pushliteral(L, "cancelled");
    else lua_pushfstring(L, "cancelled: %s", luaL_tolstring(L, -1, NULL));
    return 1;
}

/* saros.is_cancelled(err) -> scope, reason | false. The scope is a task where that was cancelled itself, and true where
 * there is none to be had: a host's, or one that was left before anybody asked for it. */
static int is_cancelled(lua_State *L) {
    saros_lua              *lua = saros_state(L);
    const saros_task       *task = saros_running_task(lua);
    const cancelled_object *error = saros_test(L, lua, 1, SAROS_T_CANCELLED);
    lua_settop(L, 1);
    if (error == NULL) {
        lua_pushboolean(L, 0);
        return 1;
    }
    if (lua_getiuservalue(L, 1, 2) == LUA_TNIL) {
        saros_scope *scope = (saros_scope *)error->owner;
        bool         open = task != NULL && in_chain(task, scope, error->id) && !scope->host;
        if (!open) lua_pushboolean(L, 1);
        else if (!push_scope(L, scope)) saros_scope_name(L, scope); /* a timeout's or a shield's: made when asked for */
        lua_replace(L, 2);
    }
    lua_getiuservalue(L, 1, 1);
    return 2;
}

/* For the parts written in Lua: saros._passes(err) -> is it a cancellation that pcall would pass on? */
static int passes(lua_State *L) {
    lua_pushboolean(L, saros_is_own_cancel(L, 1));
    return 1;
}

/* ---- entering and leaving ------------------------------------------------------------------------------------- */

static void free_scope(saros_loop *loop, saros_scope *scope) { saros_realloc(loop, scope, sizeof *scope, 0); }

/* The groups that the task has open, down from the innermost to the one of `outermost` (NULL: all), come before `todo`. */
static saros_scope *add_groups(saros_task *task, const saros_scope *outermost, saros_scope *todo) {
    for (saros_scope *scope = task->scope; scope != NULL && scope->task == task; scope = scope->parent) {
        if (scope->group != NULL) {
            scope->todo = todo;
            todo = scope;
        }
        if (scope == outermost) break;
    }
    return todo;
}

/* The children of these groups, and theirs, learn that a scope of the task changed. */
static void poke_groups(saros_task *task, const saros_scope *outermost) {
    saros_scope *todo = add_groups(task, outermost, NULL);
    while (todo != NULL) {
        saros_scope *scope = todo;
        todo = scope->todo;
        for (saros_member *member = scope->group->live.first; member != NULL; member = member->next) {
            saros_task_end_wait(member->task);
            todo = add_groups(member->task, NULL, todo);
        }
    }
}

void saros_task_poke(saros_task *task) {
    saros_task_end_wait(task);
    if (task->scope != NULL) poke_groups(task, NULL);
}

void saros_scope_end(saros_scope *scope, const char *why) {
    bool known = saros_scope_is_cancelled(scope); /* to all that are inside, by what it stands in */
    scope->cancelled = true;
    scope->why = why;
    if (known) return;
    saros_task_end_wait(scope->task);
    poke_groups(scope->task, scope);
}

/* The deadline has come, or the scope was left and its timer was on its way. */
static void timer_told(saros_loop *loop, saros_op *op, int64_t result) {
    saros_scope *scope = (saros_scope *)((char *)op - offsetof(saros_scope, timer));
    if (scope->left) {
        free_scope(loop, scope); /* only a group's has children, and that has no timer */
        return;
    }
    if (scope->cancelled) return;                 /* for another reason, which stays */
    const saros_clock *clock = scope->tick.clock; /* that of who has opened it, whoever may resume its coroutine */
    if (result < 0 || scope->tick.deadline > (clock != NULL ? saros_clock_now(clock) : saros_now(loop))) {
        /* the deadline was moved, perhaps while this was on its way */
        scope->due = false;
        if (scope->tick.deadline != SAROS_FOREVER) saros_tick_start(loop, &scope->tick);
        return;
    }
    if (!scope->due) { /* once more through the queue: whatever has its result in this turn, wins */
        scope->due = true;
        saros_expect(loop, op);
        saros_complete(loop, op, 0);
        return;
    }
    scope->expired = true;
    saros_scope_end(scope, "timed out");
}

saros_scope *saros_scope_open(saros_task *task, saros_time timeout) {
    saros_loop *loop = task->rt->loop;
    saros_gen  *generator = task->at == task->co ? NULL : saros_generator_of(task);
    if (generator == NULL && task->at != task->co) return NULL;
    saros_scope *scope = saros_realloc(loop, NULL, 0, sizeof *scope);
    if (scope == NULL) return NULL;
    *scope = (saros_scope){.rt = task->rt,
                           .generator = generator,
                           .id = ++task->rt->lua->scopes,
                           .timer.done = timer_told,
                           .tick.clock = saros_task_clock(task),
                           .tick.deadline = saros_task_later(task, timeout)};
    scope->tick.op = &scope->timer;
    if (timeout == 0) { /* due at the first suspension: in the queue before whatever the task will wait for */
        scope->due = true;
        saros_expect(loop, &scope->timer);
        saros_complete(loop, &scope->timer, 0);
    } else if (scope->tick.deadline != SAROS_FOREVER && saros_tick_start(loop, &scope->tick) < 0) {
        free_scope(loop, scope);
        return NULL;
    }
    if (generator != NULL && scope->tick.clock != NULL) saros_clock_hold(scope->tick.clock); /* may outlive the task */
    saros_scope_enter(scope, task);
    return scope;
}

void saros_scope_enter(saros_scope *scope, saros_task *task) {
    scope->task = task;
    scope->parent = task->scope;
    task->scope = scope;
}

/* Takes it out of its task's chain, wherever it stands there. */
static void leave_one(saros_scope *scope) {
    saros_loop   *loop = scope->rt->loop;
    saros_scope **link = &scope->task->scope;
    if (scope->group != NULL) saros_group_over(scope->group);
    while (*link != scope) link = &(*link)->parent; /* NOLINT(clang-analyzer-core.NullDereference): it is in there */
    *link = scope->parent;
    scope->left = true;
    if (scope->task->raised > 0 && !saros_is_cancelled(scope->task)) scope->task->raised = 0; /* it has given in */
    bool holds_clock = scope->generator != NULL && scope->tick.clock != NULL;
    scope->generator = NULL; /* children that are left know of the scope for longer than the coroutine is there */
    if (scope->object != NULL) {
        *scope->object = (saros_scope_object){NULL, scope->cancelled, scope->expired};
        saros_drop(scope->rt, (const char *)scope + 2);
    }
    if (scope->cancelled) saros_drop(scope->rt, (const char *)scope + 1);
    scope->task = NULL; /* children that are left are cancelled: the way outwards ends here */
    scope->parent = NULL;
    scope->released = true;
    saros_clock *clock = scope->tick.clock;
    if (saros_tick_stop(loop, &scope->tick) && scope->tasks == 0) free_scope(loop, scope);
    if (holds_clock) saros_clock_release(clock);
}

/* What was opened with a function is left when that ends, and not before. */
void saros_scope_leave_inner(const saros_scope *scope) {
    for (saros_scope *inner = scope->task->scope, *next; inner != scope; inner = next) {
        next = inner->parent;
        if (inner->bare) leave_one(inner);
    }
}

void saros_scope_leave(saros_scope *scope) {
    saros_scope_leave_inner(scope);
    leave_one(scope);
}

static void free_host_scope(saros_scope *scope) {
    saros_rt *rt = scope->rt;
    if (scope->prev != NULL) scope->prev->next = scope->next;
    else rt->scopes = scope->next;
    if (scope->next != NULL) scope->next->prev = scope->prev;
    free_scope(rt->loop, scope);
}

void saros_scope_forget(saros_task *task) {
    while (task->scope != NULL && task->scope->task == task) saros_scope_leave(task->scope);
    saros_scope *outermost = task->scope;
    task->scope = NULL;
    if (outermost != NULL && --outermost->tasks == 0 && outermost->released) {
        if (outermost->host) free_host_scope(outermost);
        else free_scope(task->rt->loop, outermost);
    }
    if (task->cancelled) saros_drop(task->rt, (const char *)task + 1);
}

/* ---- whose cancellation it is ---------------------------------------------------------------------------------- */

bool saros_scope_owns(lua_State *L, const saros_scope *scope, int index) {
    cancelled_object *error = saros_test(L, saros_state_slow(L), index, SAROS_T_CANCELLED);
    return error != NULL && error->owner == scope && error->id == scope->id;
}

void saros_push_cancel_reason(lua_State *L, int index) {
    if (lua_getiuservalue(L, index, 1) != LUA_TNIL) return;
    lua_pop(L, 1);
    lua_pushliteral(L, "cancelled");
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
    *scope =
        (saros_scope){.rt = rt, .id = ++lua->scopes, .host = true, .tick.deadline = SAROS_FOREVER, .next = rt->scopes};
    if (rt->scopes != NULL) rt->scopes->prev = scope;
    return rt->scopes = scope;
}

void saros_scope_cancel(saros_scope *scope, const char *reason) {
    if (scope->cancelled) return;
    scope->cancelled = true;
    snprintf(scope->reason, sizeof scope->reason, "%s", reason != NULL ? reason : "");
    if (scope->reason[0] != 0) scope->why = scope->reason;
    for (saros_task *task = scope->rt->first; task != NULL; task = task->next)
        if (in_chain(task, scope, scope->id)) saros_task_poke(task);
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
    static const luaL_Reg cancelled_meta[] = {{"__tostring", cancelled_tostring}, {NULL, NULL}};
    static const luaL_Reg functions[] = {{"is_cancelled", is_cancelled}, {"_passes", passes}, {NULL, NULL}};
    saros_type_make(L, SAROS_T_CANCELLED, "saros.cancelled", NULL, cancelled_meta);
    saros_add(L, functions);
}
