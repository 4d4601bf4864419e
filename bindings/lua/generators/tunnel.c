/* tunnel.c: coroutines of the script's own, whose awaits suspend the whole task: what `yield from` is in Python.
 *
 * Owns resume, wrap, yield and throw of saros.coroutine (coroutine.c has the rest). Besides task.c, and the hook of
 * slice.c, this is the only place that yields or resumes. A resume of ours that comes back because the task was suspended by an await further in (and not by
 * a coroutine.yield) yields its own coroutine as well, and so on outwards until the loop has the thread; when the task
 * goes on, each of these resumes goes on in turn, from the outermost to the one that awaits. A plain yield only goes to
 * the consumer.
 *
 * task->at is the innermost coroutine. A coroutine below the task's own that waits has a mark on top of its stack: how
 * it waits. So everybody sees at a glance that it cannot be resumed now.
 *
 * Promises: a plain generator pays for a few comparisons, and what wrap makes is made anew only where nothing is spare. A body runs under a protected call inside its coroutine, so
 * that <close> variables can await while an error unwinds it. A coroutine that waits may be closed or resumed by
 * whoever has other means for that: nothing is left that points into it, and its task gets an error. */
#include "bindings/lua/generators/tunnel.h"

enum { FAILED = -1 /* an error value is on top */, AWAITS = -2 /* the task is suspended */ };
enum {
    MOST_PROTECTED_TWICE = 4, /* levels of coroutines; deeper ones begin in a way that needs less of C's stack */
    MOST_TRACED = 150,        /* levels; Lua has about 190, and a message handler needs a few */
    MOST_SPARE = 16           /* finished coroutines that are kept to be used again */
};

enum { SURE_ROOM = 12 /* stack slots that every C function has, and a coroutine that has yielded */ };
enum { BELOW = 2, BELOW_DEEP = 3 /* arguments of a body: the handler, what is deep, the function */ };

static const char leaf_mark, through_mark; /* on top of the stack of a coroutine: it awaits; one that it resumed does */
static const char throw_mark, task_mark;   /* the last argument of a resume: the yield raises what is before; refuses */
static const char guard_key = 0, deep_key = 0, spare_key = 0; /* registry */

bool saros_tunnel_waits(lua_State *co) {
    if (lua_status(co) != LUA_YIELD || lua_gettop(co) == 0) return false;
    const void *mark = lua_touserdata(co, -1);
    return mark == &leaf_mark || mark == &through_mark;
}

void saros_tunnel_mark(lua_State *L, const saros_task *task) {
    if (L != task->co) lua_pushlightuserdata(L, (void *)&leaf_mark);
    else if (lua_gettop(L) == 0) lua_pushnil(L); /* a script has this coroutine: it looks whether anything is there */
}

/* ---- the body, inside its coroutine --------------------------------------------------------------------------- */

static int body_k(lua_State *co, int status, lua_KContext ctx) {
    (void)ctx;
    if (status != LUA_OK && status != LUA_YIELD) return lua_error(co);
    return lua_gettop(co) - 1;
}

/* Stack: a message handler, the function, its arguments. */
static int body(lua_State *co) { return body_k(co, lua_pcallk(co, lua_gettop(co) - 2, LUA_MULTRET, 1, 0, body_k), 0); }

static int untraced_body(lua_State *co) {
    return body_k(co, lua_pcallk(co, lua_gettop(co) - 2, LUA_MULTRET, 0, 0, body_k), 0);
}

static int deep_begin(lua_State *co) { return lua_yield(co, 0); }

/* Pushes what stands between a protected call and the function of a deep coroutine: it yields once at the start, and so
 * gives C's stack back that the call has taken. Then it calls in its own place. */
static void push_deep(lua_State *L) {
    static const char text[] = "local begin = ... return function(f, ...) begin() return f(...) end";
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &deep_key) == LUA_TFUNCTION) return;
    lua_pop(L, 1);
    if (luaL_loadbufferx(L, text, sizeof text - 1, "=coroutine", "t") != LUA_OK) lua_error(L);
    lua_pushcfunction(L, deep_begin);
    lua_call(L, 1, 1);
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &deep_key);
}

/* Not yet begun? Lua's own status knows the same signs. What wrap has made has its body already. */
static bool is_fresh(const lua_State *L, lua_State *co) {
    lua_Debug ar;
    return co != L && (lua_gettop(co) == 1 || lua_gettop(co) == 1 + BELOW) && !lua_getstack(co, 0, &ar);
}

static void push_body(lua_State *co) {
    lua_pushcfunction(co, body);
    lua_pushcfunction(co, saros_traceback);
}

/* Puts the body below the function of a fresh coroutine. How many arguments of its own that takes; with the last one,
 * it begins with a yield of its own. */
static int protect(lua_State *L, const saros_lua *lua, lua_State *co) {
    if (lua_gettop(co) == 1) {
        push_body(co);
        lua_rotate(co, 1, 2);
    }
    if (lua->nested < MOST_PROTECTED_TWICE) return BELOW;
    push_deep(L);
    lua_xmove(L, co, 1);
    lua_insert(co, 3);
    if (lua->nested < MOST_TRACED) return BELOW_DEEP;
    lua_pushcfunction(co, untraced_body);
    lua_replace(co, 1);
    return BELOW_DEEP;
}

/* ---- resuming ------------------------------------------------------------------------------------------------- */

/* Runs co on, with nargs arguments that are on its stack. task: the running one, if its awaits can pass through L. The
 * number of results, which are on top of L now, behind `true` if that is to tell; or FAILED, or AWAITS. */
__attribute__((always_inline)) static inline int run(lua_State *L, saros_lua *lua, saros_task *task, lua_State *co,
                                                     int nargs, bool tell) {
    int results;
    if (task != NULL) task->at = co;
    lua->nested++;
    int status = lua_resume(co, L, nargs, &results);
    lua->nested--;
    if (task != NULL) {
        if (status == LUA_YIELD && task->suspended) return AWAITS;
        task->at = L;
        if (task->scope != NULL && task->scope->generator != NULL) {
            int now = lua_status(co); /* one that runs already was refused, and one for which C's stack has no room */
            if (now == status || now == LUA_YIELD) saros_generator_detach(task, co, now);
        }
    }
    if (status != LUA_OK && status != LUA_YIELD) {
        lua_xmove(co, L, 1);
        saros_keep_story(L, co);
        return FAILED;
    }
    if (results > SURE_ROOM && !lua_checkstack(L, results + 1)) {
        lua_pop(co, results);
        lua_pushliteral(L, "too many results to resume");
        return FAILED;
    }
    if (tell) lua_pushboolean(L, 1);
    lua_xmove(co, L, results);
    return results + tell;
}

static int fail(lua_State *L, const char *text) {
    lua_pushstring(L, text);
    return FAILED;
}

/* What is refused of the coroutine co, which is suspended and has something on its stack: NULL, nothing. */
static const char *belongs(lua_State *L, lua_State *co) {
    saros_lua *lua = saros_state(L);
    if (saros_task_of(lua, co) != NULL) return "the coroutine of a task: its loop does";
    if (saros_tunnel_waits(co)) return "non-suspended coroutine: it waits inside a task";
    return NULL;
}

/* A coroutine that has something on its stack is fresh, or waits, or is not to be resumed at all. How many arguments are
 * put below those of its function; or FAILED. */
static int prepare(lua_State *L, const saros_lua *lua, lua_State *co) {
    if (!lua_checkstack(co, SURE_ROOM)) return fail(L, "too many arguments to resume");
    if (is_fresh(L, co)) return protect(L, lua, co);
    const char *refused = lua_status(co) == LUA_YIELD ? belongs(L, co) : NULL;
    if (refused == NULL) return 0;
    lua_pushfstring(L, "cannot resume %s", refused);
    return FAILED;
}

/* Resumes co with the nargs values on top of L. With `run` in it, and itself in nobody, a generator's value takes the least
 * time, though not the fewest instructions: by a tenth. */
__attribute__((noinline)) static int advance(lua_State *L, saros_lua *lua, lua_State *co, int nargs, bool tell) {
    saros_task *task = saros_running_task(lua);
    int         below = lua_gettop(co) > 0 ? prepare(L, lua, co) : 0;
    if (below < 0) return FAILED;
    if (nargs > SURE_ROOM && !lua_checkstack(co, nargs)) return fail(L, "too many arguments to resume");
    if (task != NULL && (task->at != L || !lua_isyieldable(L))) task = NULL; /* its awaits cannot pass */
    const char *refused = task != NULL && lua->generators > 0 ? saros_generator_attach(L, task, co) : NULL;
    if (refused != NULL) {
        lua_pushfstring(L, "cannot resume here: %s", refused);
        return FAILED;
    }
    if (nargs > 0) lua_xmove(L, co, nargs);
    if (below != BELOW_DEEP) return run(L, lua, task, co, nargs + below, tell);
    int none;
    lua->nested++;
    int status = lua_resume(co, L, nargs + below, &none);
    lua->nested--;
    if (status == LUA_YIELD) return run(L, lua, task, co, 0, tell);
    lua_xmove(co, L, 1);
    return FAILED;
}

/* The task goes on, and comes through here. Above the guard on the stack of L is the mark. */
static int go_on(lua_State *L, saros_lua *lua, lua_State *co, bool tell) {
    saros_task *task = saros_running_task(lua);
    if (task == NULL || (!task->suspended && task->at != L)) {
        saros_task_lost(L);
        luaL_error(L, "the coroutine of a task can only be resumed by its loop");
    }
    if (L != task->co) lua_pop(L, 1);
    const void *mark = saros_tunnel_waits(co) ? lua_touserdata(co, -1) : NULL;
    if (mark == &leaf_mark) {
        lua_pop(co, 1);
        task->suspended = false;
    } else if (mark == NULL) {
        task->suspended = false;
        task->at = L;
        saros_wait_forget(task);
        return fail(L, "the coroutine was closed while it waited");
    }
    int n = run(L, lua, task, co, 0, tell);
    if (n == FAILED && lua_status(co) == LUA_YIELD) { /* C's stack has no room here for what it had before */
        task->suspended = false;
        saros_tunnel_cut(task, L);
    }
    return n;
}

/* An await further in has suspended the task: so is this coroutine. The guard notices if it is left some other way. */
static int pass_on(lua_State *L, saros_task *task, bool guarded, lua_KFunction k) {
    if (!guarded) {
        lua_rawgetp(L, LUA_REGISTRYINDEX, &guard_key);
        lua_toclose(L, -1);
    }
    if (L != task->co) lua_pushlightuserdata(L, (void *)&through_mark);
    return lua_yieldk(L, 0, 1, k);
}

/* ---- resume, wrap, throw -------------------------------------------------------------------------------------- */

/* Lua's own words for it say less. */
static void explain_depth(lua_State *L) {
    if (lua_type(L, -1) != LUA_TSTRING || strcmp(lua_tostring(L, -1), "C stack overflow") != 0) return;
    lua_pop(L, 1);
    lua_pushliteral(L, "C stack overflow (coroutines that resume coroutines, too many levels: Lua has about 190)");
}

static int resume_k(lua_State *L, int status, lua_KContext ctx);

static int resumed(lua_State *L, saros_lua *lua, int n, bool guarded) {
    if (n >= 0) return n;
    if (n == AWAITS) return pass_on(L, saros_running_task(lua), guarded, resume_k);
    if (saros_is_own_cancel(L, -1)) return lua_error(L);
    explain_depth(L);
    saros_untrace(L, -1);
    lua_pushboolean(L, 0);
    lua_insert(L, -2);
    return 2;
}

static int resume_k(lua_State *L, int status, lua_KContext ctx) {
    saros_lua *lua = saros_state(L);
    (void)status, (void)ctx;
    return resumed(L, lua, go_on(L, lua, lua_tothread(L, 1), true), true);
}

static int resume(lua_State *L) {
    saros_lua *lua = saros_state(L);
    lua_State *co = saros_check_coroutine(L);
    return resumed(L, lua, advance(L, lua, co, lua_gettop(L) - 1, true), false);
}

static int wrapped_k(lua_State *L, int status, lua_KContext ctx);

/* The error on top goes to the caller as Lua's own wrap gives it: the coroutine is closed, and texts say where. */
static int raise_wrapped(lua_State *L, lua_State *co) {
    int status = lua_status(co);
    if (status != LUA_OK && status != LUA_YIELD) {
        bool traced = saros_traced(L, -1);
        saros_close_thread(co, L); /* again where it failed before: the error is still that one, or a later one */
        lua_xmove(co, L, 1);
        if (traced) {
            lua_insert(L, -2);
            saros_retrace(L, -2);
            saros_retrace_resumed(L);
        }
        lua_remove(L, -2);
    }
    if (saros_is_own_cancel(L, -1)) return lua_error(L);
    explain_depth(L);
    if (lua_type(L, -1) != LUA_TSTRING || status == LUA_ERRMEM) return lua_error(L);
    bool traced = saros_traced(L, -1);
    if (traced) lua_insert(L, -2);
    luaL_where(L, 1);
    lua_insert(L, -2);
    lua_concat(L, 2);
    if (traced) {
        lua_insert(L, -2);
        saros_retrace(L, -2);
        saros_retrace_resumed(L);
    }
    return lua_error(L);
}

/* It has ended well, and nobody but this function ever had it: the next that is wrapped may have it. A new one costs more
 * than all the rest. */
static void spare(lua_State *L, saros_lua *lua, lua_State *co) {
    if (!lua->installed || lua->shown || lua->generators > 0 || lua->spare == MOST_SPARE || lua_gettop(co) > 0) return;
    if (!lua_checkstack(L, 2)) return;
    lua_rawgetp(L, LUA_REGISTRYINDEX, &spare_key);
    lua_pushvalue(L, lua_upvalueindex(2));
    lua_rawseti(L, -2, ++lua->spare); /* there is room */
    lua_pushnil(L);
    lua_replace(L, lua_upvalueindex(2));
    lua_pop(L, 1);
}

static lua_State *take_spare(lua_State *L, saros_lua *lua) {
    lua_rawgetp(L, LUA_REGISTRYINDEX, &spare_key);
    lua_rawgeti(L, -1, lua->spare);
    lua_pushnil(L);
    lua_rawseti(L, -3, lua->spare--);
    lua_remove(L, -2);
    lua_State *co = lua_tothread(L, -1);
    if (lua_gethook(co) != lua_gethook(L)) lua_sethook(co, lua_gethook(L), lua_gethookmask(L), lua_gethookcount(L));
    return co;
}

static int wrapped_done(lua_State *L, saros_lua *lua, lua_State *co, int n, bool guarded) {
    if (n >= 0) {
        if (lua_status(co) == LUA_OK) spare(L, lua, co);
        return n;
    }
    if (n == AWAITS) return pass_on(L, saros_running_task(lua), guarded, wrapped_k);
    return raise_wrapped(L, co);
}

static int wrapped_k(lua_State *L, int status, lua_KContext ctx) {
    saros_lua *lua = saros_state(L);
    lua_State *co = lua_tothread(L, lua_upvalueindex(2));
    (void)status, (void)ctx;
    return wrapped_done(L, lua, co, go_on(L, lua, co, false), true);
}

static int wrapped(lua_State *L) {
    saros_lua *lua = saros_state(L);
    lua_State *co = lua_tothread(L, lua_upvalueindex(2));
    if (co == NULL) return luaL_error(L, "cannot resume dead coroutine");
    int n = advance(L, lua, co, lua_gettop(L), false);
    if (n >= 0 && lua_status(co) == LUA_YIELD) return n;
    return wrapped_done(L, lua, co, n, false);
}

/* Nobody but `wrapped` begins this coroutine: so it has its body from the start. */
static int wrap(lua_State *L) {
    luaL_checktype(L, 1, LUA_TFUNCTION);
    saros_lua *lua = saros_state(L);
    lua_pushlightuserdata(L, lua);
    lua_State *co = lua->spare > 0 ? take_spare(L, lua) : lua_newthread(L);
    push_body(co);
    lua_pushvalue(L, 1);
    lua_xmove(L, co, 1);
    lua_pushcclosure(L, wrapped, 2);
    return 1;
}

static int yield_k(lua_State *L, int status, lua_KContext ctx) {
    int n = lua_gettop(L);
    (void)status, (void)ctx;
    if (n == 0) return 0;
    const void *mark = lua_touserdata(L, n);
    if (mark == &task_mark)
        return luaL_error(L, "attempt to yield outside a generator: a task gives way with saros.sleep(0), and waits "
                             "with saros.await");
    if (mark != &throw_mark) return n;
    lua_pop(L, 1);
    return lua_error(L);
}

/* Who is a task is told so afterwards: asking first would cost every generator. */
static int yield(lua_State *L) { return lua_yieldk(L, lua_gettop(L), 0, yield_k); }

/* Does the suspended coroutine wait in the function above? Only that can raise. */
static bool yields(lua_State *co) {
    lua_Debug ar;
    if (lua_gettop(co) != 0 || !lua_getstack(co, 0, &ar)) return false;
    lua_getinfo(co, "f", &ar);
    bool ours = lua_tocfunction(co, -1) == yield;
    lua_pop(co, 1);
    return ours;
}

bool saros_tunnel_refuse(lua_State *co, int results) {
    lua_pop(co, results);
    if (!yields(co)) return false;
    lua_pushlightuserdata(co, (void *)&task_mark);
    return true;
}

/* coroutine.throw(co, err): raises err in it where it yielded. Returns as resume does. */
static int throw_into(lua_State *L) {
    saros_lua *lua = saros_state(L);
    if (lua_tocfunction(L, 1) == wrapped) { /* what wrap has made */
        lua_getupvalue(L, 1, 2);
        lua_replace(L, 1);
        if (lua_isnil(L, 1)) return resumed(L, lua, fail(L, "cannot resume dead coroutine"), false);
    }
    lua_State *co = saros_check_coroutine(L);
    lua_settop(L, 2);
    if (is_fresh(L, co)) { /* as if raised before its first line: it has ended */
        lua_settop(co, 0);
        return resumed(L, lua, FAILED, false);
    }
    if (lua_status(co) != LUA_YIELD || saros_tunnel_waits(co) || saros_task_of(lua, co) != NULL)
        return resumed(L, lua, advance(L, lua, co, 1, true), false); /* says why not */
    if (!yields(co)) {
        fail(L, "cannot throw into a coroutine that has not yielded by saros.coroutine.yield");
        return resumed(L, lua, FAILED, false);
    }
    lua_pushlightuserdata(L, (void *)&throw_mark);
    return resumed(L, lua, advance(L, lua, co, 2, true), false);
}

/* ---- looking along the chain ---------------------------------------------------------------------------------- */

/* The coroutine that a function of ours on top of L's stack has resumed; NULL: it is another function. */
static lua_State *inner_of(lua_State *L) {
    lua_Debug  ar;
    lua_State *co = NULL;
    if (!lua_checkstack(L, 2) || !lua_getstack(L, 0, &ar)) return NULL;
    lua_getinfo(L, "f", &ar);
    lua_CFunction f = lua_tocfunction(L, -1);
    if (f == wrapped) {
        lua_getupvalue(L, -1, 2);
        co = lua_tothread(L, -1);
        lua_pop(L, 1);
    } else if ((f == resume || f == throw_into) && lua_getlocal(L, &ar, 1) != NULL) {
        co = lua_tothread(L, -1);
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    return co;
}

/* The next coroutine inwards from L, one of the task's own chain; NULL: it is the innermost. */
lua_State *saros_tunnel_inner(const saros_task *task, lua_State *L) { return L == task->at ? NULL : inner_of(L); }

saros_task *saros_tunnel_task(const saros_lua *lua, const lua_State *L, lua_State **outer) {
    for (saros_rt *rt = lua->loops; rt != NULL; rt = rt->next)
        for (saros_task *task = rt->first; task != NULL; task = task->next) {
            if (task->co == NULL || task->at == task->co || rt->task == task) continue;
            for (lua_State *co = task->co, *next; (next = saros_tunnel_inner(task, co)) != NULL; co = next)
                if (next == L) {
                    if (outer != NULL) *outer = co;
                    return task;
                }
        }
    return NULL;
}

/* ---- closing -------------------------------------------------------------------------------------------------- */

/* The innermost coroutine of the task, which is suspended in it. */
static void close_innermost(saros_task *task, lua_State *outer) {
    lua_State *co = task->at;
    saros_lua *lua = task->rt->lua;
    saros_generator_leave(task, co);
    if (lua->generators > 0) saros_generator_forget(outer, co);
    lua->cutting++;
    if (saros_close_thread(co, outer) != LUA_OK) saros_close_failed(task->rt, co, "a coroutine");
    lua->cutting--;
    lua_settop(co, 0);
    task->at = outer;
}

/* Closes all coroutines that the task has inside of L, from the innermost on. */
void saros_tunnel_cut(saros_task *task, lua_State *L) {
    while (task->at != L) {
        lua_State *outer = L, *co = inner_of(L);
        while (co != NULL && co != task->at) {
            outer = co;
            co = inner_of(co);
        }
        if (co != NULL) close_innermost(task, outer);
        else task->at = outer; /* what was inside of it is closed already */
    }
}

/* A frame that passed an await on is being left: by its own return, or with its coroutine. */
static int guard_closed(lua_State *L) {
    saros_lua  *lua = saros_state(L);
    saros_task *task = saros_running_task(lua);
    if (lua->cutting > 0 || (task != NULL && task->at == L)) return 0;
    task = saros_tunnel_task(lua, L, NULL);
    if (task == NULL) task = saros_task_of(lua, L);
    if (task == NULL || task == saros_running_task(lua)) return 0;
    saros_wait_leave(task);
    saros_tunnel_cut(task, L);
    return 0;
}

const luaL_Reg saros_tunnel_functions[] = {
    {"resume", resume}, {"wrap", wrap}, {"yield", yield}, {"throw", throw_into}, {NULL, NULL}};

void saros_open_tunnel(lua_State *L) {
    saros_type_make(L, SAROS_T_TUNNEL, "saros.tunnel", NULL,
                    (const luaL_Reg[]){{"__close", guard_closed}, {NULL, NULL}});
    saros_new(L, saros_state_slow(L), SAROS_T_TUNNEL, 1, 0);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &guard_key);
    lua_createtable(L, MOST_SPARE, 0);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &spare_key);
}
