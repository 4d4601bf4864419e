/* coroutine.c: the part of saros.coroutine that neither resumes nor yields: create, close, and looking in.
 *
 * Promises: for coroutines that never await these are Lua's own functions, to the word of their errors. One that waits
 * in an await has the status "normal", as if it ran; the coroutine of a task belongs to its loop. */
#include <string.h>

#include "bindings/lua/generators/tunnel.h"

lua_State *saros_check_coroutine(lua_State *L) {
    lua_State *co = lua_tothread(L, 1);
    if (co == NULL) luaL_typeerror(L, 1, "coroutine");
    return co;
}

int saros_coroutine_create(lua_State *L) {
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_State *co = lua_newthread(L);
    lua_pushvalue(L, 1);
    lua_xmove(L, co, 1);
    return 1;
}

/* ---- closing -------------------------------------------------------------------------------------------------- */

void saros_wait_leave(saros_task *task) {
    lua_State *co = task->at;
    int        waits_for = task->waits_for & ~SAROS_CIRCLE_TOLD;
    if (lua_checkstack(co, 4)) {
        if (waits_for == SAROS_FOR_RECEIVER) saros_channel_leave(co, task);
        if (waits_for == SAROS_FOR_TOKEN) saros_limiter_leave(co, task);
    }
    saros_wait_unlink(&task->wait);
    saros_cancel(task->rt->loop, &task->op);
}

void saros_wait_forget(saros_task *task) {
    task->waits_for = SAROS_FOR_ANYTHING;
    task->asleep = task->unwakable = false;
    saros_clock_forget(task);
    saros_steps_forget(task->rt);
    saros_streams_forget(task);
    saros_net_forget(task);
    saros_ready_forget(task);
    saros_files_forget(task);
}

static int close_coroutine(lua_State *L) {
    static const char *const how[] = {"running", "normal"};
    saros_lua               *lua = saros_state(L);
    lua_State               *co = saros_check_coroutine(L), *outer;
    lua_Debug                ar;
    if (lua_status(co) == LUA_OK && (co == L || lua_getstack(co, 0, &ar)))
        return luaL_error(L, "cannot close a %s coroutine", how[co != L]);
    if (lua_status(co) == LUA_YIELD && lua_gettop(co) > 0) {
        if (saros_task_of(lua, co) != NULL)
            return luaL_error(L, "cannot close the coroutine of a task: use task:cancel()");
        saros_task *task = saros_tunnel_waits(co) ? saros_tunnel_task(lua, co, &outer) : NULL;
        if (task != NULL && task->op.kind == SAROS_OP_WAIT && task->op.state != SAROS_FLYING &&
            !task->asleep) /* somebody has given it something, which would be lost */
            return luaL_error(L, "cannot close a normal coroutine: what it waits for inside a task has just come");
        if (task != NULL) { /* its await ends here; the task will find the coroutine closed */
            saros_wait_leave(task);
            saros_tunnel_cut(task, co);
            saros_generator_leave(task, co);
            task->at = outer;
        }
    }
    if (lua->generators > 0) saros_generator_forget(L, co);
    lua->cutting++; /* cannot raise: the call is protected */
    int status = saros_close_thread(co, L);
    lua->cutting--;
    lua_pushboolean(L, status == LUA_OK);
    if (status == LUA_OK) return 1;
    lua_xmove(co, L, 1);
    if (saros_is_own_cancel(L, -1)) return lua_error(L);
    return 2;
}

/* ---- looking in ----------------------------------------------------------------------------------------------- */

static int running_coroutine(lua_State *L) {
    saros_lua  *lua = saros_state(L);
    saros_task *task = saros_running_task(lua);
    if (task != NULL && task->co == L && !task->handed_out) {
        saros_task_push(L, task);
        saros_anchor(L, task->rt, task); /* the script can close the coroutine now, which kept the task alive */
        task->handed_out = true;
    }
    bool main = lua_pushthread(L);
    if (!main && (task == NULL || task->co != L)) lua->shown = true; /* from now on none is used again */
    lua_pushboolean(L, main);
    return 2;
}

static int status_of(lua_State *L) {
    lua_State *co = saros_check_coroutine(L);
    lua_Debug  ar;
    int        status = lua_status(co);
    if (co == L) lua_pushliteral(L, "running");
    else if (status == LUA_YIELD) lua_pushstring(L, saros_tunnel_waits(co) ? "normal" : "suspended");
    else if (status == LUA_OK && lua_getstack(co, 0, &ar)) lua_pushliteral(L, "normal");
    else lua_pushstring(L, status == LUA_OK && lua_gettop(co) > 0 ? "suspended" : "dead");
    return 1;
}

static int is_yieldable(lua_State *L) {
    lua_pushboolean(L, lua_isyieldable(lua_isnone(L, 1) ? L : saros_check_coroutine(L)));
    return 1;
}

/* ---- the story of an error -------------------------------------------------------------------------------------- */

static const char story_mark; /* above the traceback, on the stack of a coroutine that has died of an error */

/* Lua's own coroutines keep their stack when they die, which ours have unwound: `debug.traceback(co)` finds this instead.
 * The error stays on top, where whoever closes the coroutine looks for it. */
void saros_keep_story(lua_State *L, lua_State *co) {
    if (lua_status(co) <= LUA_YIELD || !lua_checkstack(co, 4) || !saros_traced(L, -1)) return;
    lua_xmove(L, co, 1);
    lua_pushlightuserdata(co, (void *)&story_mark);
    lua_pushvalue(co, -3);
}

/* Without its headline, and without the function of ours at its end; pushes it. NULL, and nothing, where there is none. */
static const char *kept_story(lua_State *L, lua_State *co, lua_Integer level) {
    if (lua_status(co) <= LUA_YIELD || lua_gettop(co) < 4 || lua_touserdata(co, -2) != &story_mark) return NULL;
    lua_pushvalue(co, -3);
    lua_xmove(co, L, 1);
    static const char body[] = "\n\t[C]: in ?";
    size_t            length, less = sizeof body - 1;
    const char       *text = lua_tolstring(L, -1, &length);
    if (length >= less && strcmp(text + length - less, body) == 0) text = lua_pushlstring(L, text, length - less);
    const char *lines = strchr(text, '\n');
    while (lines != NULL && level-- > 0) lines = strchr(lines + 1, '\n');
    return lines != NULL ? lines : "";
}

int saros_debug_traceback(lua_State *L) {
    int         given = lua_isthread(L, 1);
    lua_State  *co = given ? lua_tothread(L, 1) : L;
    const char *text = lua_tostring(L, given + 1), *story;
    lua_Integer level = luaL_optinteger(L, given + 2, co == L);
    if (text == NULL && !lua_isnoneornil(L, given + 1)) lua_settop(L, given + 1);
    else if ((story = kept_story(L, co, level)) == NULL) luaL_traceback(L, co, text, (int)level);
    else lua_pushfstring(L, "%s%sstack traceback:%s", text != NULL ? text : "", text != NULL ? "\n" : "", story);
    return 1;
}

static const luaL_Reg functions[] = {{"create", saros_coroutine_create}, {"status", status_of},
                                     {"close", close_coroutine},         {"running", running_coroutine},
                                     {"isyieldable", is_yieldable},      {NULL, NULL}};

void saros_coroutine_install(lua_State *L) {
    saros_add(L, functions);
    saros_add(L, saros_tunnel_functions);
}

void saros_open_coroutine(lua_State *L) {
    lua_newtable(L);
    saros_coroutine_install(L);
    lua_setfield(L, -2, LUA_COLIBNAME);
}
