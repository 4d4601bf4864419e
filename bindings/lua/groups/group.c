/* group.c: groups of tasks (semantics 31, 47, 48): saros.group, group:spawn, group:cancel, and how a group ends.
 *
 * A group is a scope that its children share: they see what cancels it, and what cancels the task that opened it, but
 * not the scopes of whoever spawned them. It ends when its body has, and its last child. The first failure cancels the
 * rest and the body; then the group raises one error that has all the others in it.
 *
 * Two forms: saros.group(fn) runs fn and can swallow the group's own cancellation; `local g <close> = saros.group()`
 * ends with its block, and can only put another error in that one's place, as Lua's `__close` can.
 *
 * Owns its members. Promises: nothing of a group outlives it, in whatever way it ends; an error is told once: by the
 * group, or by who awaited group:start; places under a limit are given in the order in which they were asked for. */
#include "bindings/lua/groups/group.h"

static const char failure[] = "a task of the group failed", ended[] = "the group's body has ended";

saros_group *saros_group_check(lua_State *L) { return saros_check(L, 1, SAROS_T_GROUP); }

/* ---- members -------------------------------------------------------------------------------------------------- */

static void link_member(saros_members *list, saros_member *member) {
    member->prev = list->last;
    member->next = NULL;
    if (list->last != NULL) list->last->next = member;
    else list->first = member;
    list->last = member;
    list->count++;
}

static void unlink_member(saros_members *list, saros_member *member) {
    if (member->prev != NULL) member->prev->next = member->next;
    else list->first = member->next;
    if (member->next != NULL) member->next->prev = member->prev;
    else list->last = member->prev;
    list->count--;
}

/* Who waits gets what has become free: a place, or the end. */
static void pass_on(saros_group *group) {
    while (group->spawners != NULL && group->live.count + group->promised < group->limit) {
        group->promised++;
        saros_wake_first(&group->spawners, 0);
    }
    if (group->live.count + group->promised == 0) saros_wake_first(&group->closer, 0);
}

static void end_group(saros_group *group, const char *why) {
    if (!group->scope->cancelled) saros_scope_end(group->scope, why);
}

/* A child has ended. What was its starter's to know is no failure of the group. */
static void child_ended(saros_waiter *waiter, int64_t result) {
    saros_member *member = (saros_member *)(void *)waiter;
    saros_group  *group = member->group;
    (void)result;
    unlink_member(&group->live, member);
    if (member->start != NULL) {
        saros_start_woken(member->start);
        member->start = NULL;
        saros_drop(group->rt, member);
    } else if (member->task->is.fate == SAROS_FAILED) {
        link_member(&group->failed, member);
        end_group(group, failure);
    } else {
        saros_drop(group->rt, member);
    }
    pass_on(group);
}

saros_waiter *saros_group_closer(const saros_waiter *waiter) {
    return waiter->wake == child_ended ? ((const saros_member *)(const void *)waiter)->group->closer : NULL;
}

saros_member *saros_group_add(lua_State *L, int first) {
    saros_group *group = lua_touserdata(L, 1);
    saros_task  *task = saros_spawn(L, group->rt, lua_gettop(L) - first, group->scope);
    bool         cancelled = task->cancelled;
    task->cancelled = true; /* if there is no memory for what follows it has failed, and the task must not begin */
    saros_member *member = saros_new(L, group->rt->lua, SAROS_T_MEMBER, sizeof *member, 1);
    lua_pushvalue(L, first);
    lua_setiuservalue(L, -2, 1);
    if (group->clocked) {
        lua_getiuservalue(L, 1, 2);
        saros_task_set_clock(L, task, -1);
        lua_pop(L, 1);
    }
    saros_anchor(L, group->rt, member);
    task->cancelled = cancelled;
    member->group = group;
    member->task = task;
    member->wait.wake = child_ended;
    link_member(&group->live, member);
    saros_wait_link(&task->is.waiters, &member->wait);
    return member;
}

/* ---- spawn, cancel -------------------------------------------------------------------------------------------- */

/* Does it take another child? Raises. Who is cancelled with the group is told that, and not that he has done wrong. */
static void check_open(lua_State *L, saros_group *group, const char *what) {
    if (group->scope == NULL) luaL_error(L, "%s: the group has ended", what);
    saros_task *task = saros_running_task(saros_state(L));
    if (task != NULL && task->rt != group->rt) luaL_error(L, "%s: the group belongs to another loop", what);
    if (!saros_scope_is_cancelled(group->scope)) return;
    if (task != NULL && task->at == L && saros_is_cancelled(task)) saros_raise_cancelled(L, task);
    luaL_error(L, "%s: the group is being cancelled", what);
}

/* Stack: 1 the group, then a function and its arguments. */
static int add(lua_State *L, bool starts) {
    if (starts) return saros_start_child(L);
    saros_group_add(L, 2);
    return 1;
}

static int place_k(lua_State *L, int status, lua_KContext starts) {
    saros_group *group = lua_touserdata(L, 1);
    saros_task  *task = saros_resumed_raw(L);
    bool         cancelled = saros_is_cancelled(task);
    (void)status;
    saros_wait_unlink(&task->wait);
    if (task->op.result == 0 && group->scope != NULL) { /* it was promised a place */
        group->promised--;
        if (cancelled || saros_scope_is_cancelled(group->scope)) pass_on(group); /* and does not take it */
    }
    if (cancelled) return saros_raise_cancelled(L, task);
    check_open(L, group, starts ? "start" : "spawn");
    return add(L, starts);
}

static int get_place(lua_State *L, bool starts, const char *what) {
    saros_group *group = saros_group_check(L);
    luaL_checktype(L, 2, LUA_TFUNCTION);
    check_open(L, group, what);
    bool free = group->spawners == NULL && group->live.count + group->promised < group->limit;
    if (group->limit == 0 || free) return add(L, starts);
    saros_task *task = saros_begin(L, what);
    saros_wait_on(task, &group->spawners);
    return saros_suspend(L, task, starts, place_k);
}

/* group:spawn(fn, ...) -> task; waits while `limit` children live */
static int group_spawn(lua_State *L) { return get_place(L, false, "spawn"); }

/* group:start(fn, ...) -> what fn gives to the function `ready`, which is its first argument */
static int group_start(lua_State *L) {
    saros_begin(L, "start");
    return get_place(L, true, "start");
}

/* group:cancel([reason]) -> was it open? */
static int group_cancel(lua_State *L) {
    saros_group *group = saros_group_check(L);
    if (group->scope != NULL && !group->scope->cancelled) {
        saros_scope_keep_reason(L, group->scope, 2);
        saros_scope_end(group->scope, NULL);
    }
    lua_pushboolean(L, group->scope != NULL);
    return 1;
}

/* ---- the end -------------------------------------------------------------------------------------------------- */

/* protected: the failures of group p, which nobody is there to be told. */
static int report_failed(lua_State *L) {
    saros_group *group = lua_touserdata(L, 1);
    group->body_failed = false;
    saros_push_anchored(L, group->rt, group);
    lua_replace(L, 1);
    saros_group_push_error(L, group);
    group->rt->reported++;
    saros_report(group->rt->loop, saros_text_of(L, -1));
    return 0;
}

/* protected: its task has forgotten it. */
static int report_unclosed(lua_State *L) {
    saros_group *group = lua_touserdata(L, 1);
    saros_push_anchored(L, group->rt, group);
    lua_getiuservalue(L, -1, 1);
    const char *name = lua_tostring(L, -1);
    saros_complain(group->rt,
                   "group%s%s was not closed: it belongs in a <close> variable, or saros.group takes a function",
                   name != NULL ? " " : "", name != NULL ? name : "");
    return 0;
}

/* The scope is being left. In the usual case no child is left; else the task was ended from outside, or has forgotten
 * to close its group: then they are cancelled, and go on alone. */
void saros_group_over(saros_group *group) {
    saros_rt *rt = group->rt;
    if (group->scope->task->is.fate == SAROS_RETURNED) saros_protected(rt, report_unclosed, group, "a group");
    if (group->live.count > 0) end_group(group, ended);
    while (group->live.first != NULL) {
        saros_member *member = group->live.first;
        if (member->start != NULL) saros_start_woken(member->start);
        unlink_member(&group->live, member);
        saros_wait_unlink(&member->wait);
        saros_drop(rt, member);
    }
    if (group->failed.count > 0) saros_protected(rt, report_failed, group, "the report of a group");
    while (group->failed.first != NULL) {
        saros_member *member = group->failed.first;
        unlink_member(&group->failed, member);
        saros_drop(rt, member);
    }
    group->scope->group = NULL;
    group->scope = NULL;
    saros_wake_all(&group->spawners, SAROS_ECLOSED);
    saros_drop(rt, group);
}

/* Stack: 1 the group; then what its body has left: results, or (body_failed) an error and its traceback. All children
 * have ended. */
static int leave(lua_State *L, saros_group *group, bool function) {
    saros_task *task = group->scope->task;
    bool        failed = group->body_failed, own = failed && saros_is_own_cancel(L, -2);
    bool        mine = own && saros_scope_owns(L, group->scope, -2);
    bool        error = group->failed.count > 0 || (failed && !own);
    if (error) {
        group->body_failed = failed && !own;
        if (failed && own) lua_pop(L, 2);
        saros_group_push_error(L, group);
        while (group->failed.first != NULL) {
            saros_member *member = group->failed.first;
            unlink_member(&group->failed, member);
            saros_drop(group->rt, member);
        }
    }
    saros_scope_leave(group->scope);
    if (error) return lua_error(L);
    if (failed && !mine) {
        lua_pop(L, 1);
        return lua_error(L);
    }
    if (group->waited && saros_is_cancelled(task)) return saros_raise_cancelled(L, task); /* it came meanwhile */
    if (!failed) return lua_gettop(L) - 1;
    lua_pop(L, 1);
    saros_push_cancel_reason(L, -1);
    if (function) {
        lua_pushnil(L);
        lua_insert(L, -2);
        lua_pushliteral(L, "ECANCELED");
        return 3;
    }
    lua_pushfstring(L, "the group was cancelled: %s", saros_text_of(L, -1));
    return saros_raise(L, SAROS_ECANCELED, lua_tostring(L, -1));
}

static int end_k(lua_State *L, int status, lua_KContext ctx) {
    saros_group *group = lua_touserdata(L, 1);
    saros_task  *task = saros_resumed_raw(L);
    (void)status;
    saros_wait_unlink(&task->wait);
    if (group->live.count + group->promised == 0) return leave(L, group, ctx != 0);
    saros_wait_on(task, &group->closer);
    return saros_suspend(L, task, ctx, end_k);
}

/* The body has ended, see leave(). */
static int end_body(lua_State *L, saros_group *group, bool function) {
    saros_task *task = group->scope->task;
    if (group->body_failed) {
        group->body_at = group->failed.count;
        end_group(group, failure);
    } else if (group->background && group->live.count > 0) {
        end_group(group, ended);
    }
    if (group->live.count + group->promised == 0) return leave(L, group, function);
    group->waited = true;
    saros_wait_on(task, &group->closer);
    return saros_suspend(L, task, function, end_k);
}

/* The error on top: beside it comes its traceback, or nil. */
static void with_traceback(lua_State *L) {
    if (saros_traced(L, -1)) saros_untrace(L, -2);
    else lua_pushnil(L);
}

/* Stack: 1 the group, 2 the message handler, then results or an error. */
static int body_k(lua_State *L, int status, lua_KContext ctx) {
    saros_group *group = lua_touserdata(L, 1);
    (void)ctx;
    lua_remove(L, 2);
    if (status != LUA_OK && status != LUA_YIELD) {
        group->body_failed = true;
        with_traceback(L);
    }
    return end_body(L, group, true);
}

/* __close(group, error or nil) */
static int group_close(lua_State *L) {
    saros_group *group = saros_group_check(L);
    if (group->scope == NULL || !group->scope->bare)
        return 0; /* its task was ended from outside; or it has a function, and ends with that */
    saros_task *task = saros_begin_uncancelled(L, "closing a group");
    if (task != group->scope->task) return luaL_error(L, "a group is closed by the task that opened it");
    lua_settop(L, 2);
    saros_scope_leave_inner(group->scope); /* another group that nobody has closed */
    group->body_failed = !lua_isnil(L, 2);
    if (group->body_failed) with_traceback(L);
    else lua_settop(L, 1);
    return end_body(L, group, false);
}

/* ---- the beginning -------------------------------------------------------------------------------------------- */

/* Options at 1. Pushes the group, open. */
static void open_group(lua_State *L, saros_task *task) {
    saros_group *group = saros_new(L, task->rt->lua, SAROS_T_GROUP, sizeof *group, 2);
    int          object = lua_gettop(L);
    group->rt = task->rt;
    if (lua_istable(L, 1)) {
        int whole = 1;
        if (saros_option(L, 1, "limit") != LUA_TNIL) {
            lua_Integer limit = lua_tointegerx(L, -1, &whole);
            luaL_argcheck(L, whole && limit > 0, 1, "option 'limit': an integer above 0 expected");
            group->limit = (size_t)limit;
        }
        saros_option(L, 1, "background");
        group->background = lua_toboolean(L, -1);
        int type = saros_option(L, 1, "name");
        luaL_argcheck(L, type == LUA_TNIL || type == LUA_TSTRING, 1, "option 'name': a string expected");
        lua_setiuservalue(L, object, 1);
        if (saros_option(L, 1, "clock") != LUA_TNIL) {
            saros_check_clock(L, lua_gettop(L), task->rt, "saros.group: option 'clock'");
            group->clocked = true;
        }
        lua_setiuservalue(L, object, 2);
        lua_settop(L, object);
    }
    lua_pushvalue(L, object);
    saros_anchor(L, task->rt, group);
    group->scope = saros_scope_open(task, SAROS_FOREVER);
    if (group->scope == NULL) {
        saros_drop(task->rt, group);
        luaL_error(L, "saros.group: not enough memory");
    }
    group->scope->group = group;
}

/* saros.group([options,] [fn, ...]) -> fn's results | nil, reason, "ECANCELED" ; or the group, for a <close> variable */
static int group(lua_State *L) {
    static const char *const names[] = {"limit", "background", "name", "clock", NULL};
    if (!lua_isfunction(L, 1)) {
        saros_check_options(L, 1, names);
        if (lua_isnone(L, 1)) lua_pushnil(L);
        if (!lua_isnoneornil(L, 2)) luaL_checktype(L, 2, LUA_TFUNCTION);
    } else {
        lua_pushnil(L);
        lua_insert(L, 1);
    }
    saros_task *task = saros_begin(L, "saros.group");
    bool        function = !lua_isnoneornil(L, 2);
    open_group(L, task);
    saros_group *group = lua_touserdata(L, -1);
    group->scope->bare = !function;
    if (!function) return 1;
    lua_pushvalue(L, -1);
    lua_replace(L, 1);
    lua_insert(L, 3); /* group, fn, group, arguments */
    lua_pushcfunction(L, saros_traceback);
    lua_insert(L, 2);
    return body_k(L, lua_pcallk(L, lua_gettop(L) - 3, LUA_MULTRET, 2, 0, body_k), 0);
}

static int group_tostring(lua_State *L) {
    saros_group *group = saros_group_check(L);
    lua_getiuservalue(L, 1, 1);
    const char *name = lua_tostring(L, -1);
    const char *state = group->scope == NULL ? "ended" : group->scope->cancelled ? "cancelled" : "open";
    lua_pushfstring(L, "saros.group%s%s (%s, %d tasks)", name != NULL ? " " : "", name != NULL ? name : "", state,
                    (int)group->live.count);
    return 1;
}

void saros_open_group(lua_State *L) {
    static const luaL_Reg methods[] = {
        {"spawn", group_spawn}, {"start", group_start}, {"cancel", group_cancel}, {NULL, NULL}};
    static const luaL_Reg meta[] = {{"__close", group_close}, {"__tostring", group_tostring}, {NULL, NULL}};
    static const luaL_Reg functions[] = {{"group", group}, {NULL, NULL}};
    saros_type_make(L, SAROS_T_GROUP, "saros.group", methods, meta);
    saros_type_make(L, SAROS_T_MEMBER, "saros.member", NULL, NULL);
    saros_open_start(L);
    saros_add(L, functions);
}
