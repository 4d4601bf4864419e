/* loop.c: loops in Lua's hands: saros.run, saros.loop{…}; how each is made, run, shut down and closed.
 *
 * Owns each saros_rt: a userdata, in the registry until the loop is closed or detached, so that
 * whatever lives on the loop may point to it.
 * Promises: run() cancels, awaits and reports what main left behind (semantics 8); the same loop never runs inside
 * itself; attach, detach, close and lua_close come in any order. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bindings/lua/sim.h"
#include "bindings/lua/streams/stream.h"

#define REPORT_AFTER (5 * SAROS_SECOND) /* how long an error may go without anybody who awaits it */

/* ---- making one ----------------------------------------------------------------------------------------------- */

static void report_to_stderr(void *user, const char *text) {
    (void)user;
    fprintf(stderr, "saros: %s\n", text);
}

static void link_rt(saros_lua *lua, saros_rt *rt) {
    rt->next = lua->loops;
    lua->loops = rt;
}

static void unlink_rt(saros_rt *rt) {
    for (saros_rt **link = &rt->lua->loops; *link != NULL; link = &(*link)->next)
        if (*link == rt) {
            *link = rt->next;
            break;
        }
}

static void unref(lua_State *L, saros_rt *rt) {
    luaL_unref(L, LUA_REGISTRYINDEX, rt->self);
    for (int i = 0; i < SAROS_TABLES; i++) luaL_unref(L, LUA_REGISTRYINDEX, rt->tables[i]);
    rt->self = LUA_NOREF;
    for (int i = 0; i < SAROS_TABLES; i++) rt->tables[i] = LUA_NOREF;
}

/* Who asks for no driver gets the environment's; an empty variable is none. */
static const char *default_driver(void) {
    const char *name = getenv("SAROS_DRIVER");
    return name != NULL && name[0] != 0 ? name : NULL;
}

/* Where a host has attached a loop of its own another one is like it: what it allocates and reports is the host's. */
saros_config saros_default_config(const saros_lua *lua) {
    saros_config config = SAROS_CONFIG_INIT;
    if (lua->config != NULL) config = *lua->config;
    else if (lua->attached != NULL) config = *saros_configuration(lua->attached->loop);
    else config.report = report_to_stderr;
    if (config.driver == NULL) config.driver = default_driver();
    return config;
}

/* The userdata on top keeps the loop's copy of what names the faults. */
static int open_loop(lua_State *L, saros_config config, saros_loop **loop, char *why, size_t size) {
    config.faults = lua_pushstring(L, config.faults);
    lua_setiuservalue(L, -2, 1);
    return saros_open(loop, &config, why, size);
}

saros_rt *saros_rt_new(lua_State *L, saros_lua *lua, const saros_config *config, saros_loop *given) {
    char         why[256];
    saros_loop  *loop = given;
    saros_config wanted = config != NULL ? *config : saros_default_config(lua);
    luaL_checkstack(L, 8, "saros.loop");
    saros_rt *rt = saros_new(L, lua, SAROS_T_LOOP, sizeof *rt, 1);
    rt->lua = lua;
    rt->id = ++lua->opened;
    rt->L = lua->L;
    rt->report_after = REPORT_AFTER;
    rt->self = LUA_NOREF;
    for (int i = 0; i < SAROS_TABLES; i++) rt->tables[i] = LUA_NOREF;
    for (int i = 0; i < SAROS_TABLES; i++) { /* if this raises the finalizer gives them back */
        lua_newtable(L);
        rt->tables[i] = luaL_ref(L, LUA_REGISTRYINDEX);
    }
    lua_pushvalue(L, -1);
    rt->self = luaL_ref(L, LUA_REGISTRYINDEX);
    rt->owned = given == NULL;
    if (rt->owned && open_loop(L, wanted, &loop, why, sizeof why) < 0) {
        unref(L, rt);
        bool from_environment = wanted.driver != NULL && wanted.driver == default_driver();
        luaL_error(L, "cannot open a loop: %s%s", from_environment ? "SAROS_DRIVER: " : "", why);
    }
    rt->loop = loop;
    rt->world = saros_sim_world(loop);
    rt->idle = saros_realloc(rt->loop, NULL, 0, SAROS_MOST_IDLE * sizeof *rt->idle);
    link_rt(lua, rt);
    if (rt->idle == NULL) {
        saros_rt_close(L, rt);
        luaL_error(L, "saros.loop: not enough memory");
    }
    saros_manners_apply(rt, &lua->manners);
    return rt;
}

/* ---- closing one ---------------------------------------------------------------------------------------------- */

static void free_lists(saros_rt *rt) {
    saros_loop *loop = rt->loop;
    saros_realloc(loop, rt->idle, SAROS_MOST_IDLE * sizeof *rt->idle, 0);
}

/* Whatever still stands is ended where it stands. Nothing of Lua's runs after this but what <close> variables do. */
void saros_rt_close(lua_State *L, saros_rt *rt) {
    saros_loop *loop = rt->loop;
    if (loop == NULL || rt->closing) return;
    rt->closing = rt->guest.leaving = true; /* <close> variables may run functions of the host's that close the loop */
    rt->L = L;
    while (rt->first != NULL || rt->failed != NULL || rt->lost != NULL) { /* each may run some Lua that begins more */
        if (rt->first != NULL) saros_task_kill(rt->first);
        else if (rt->failed != NULL) saros_task_forget(rt->failed);
        else saros_lost_end(rt->lost);
    }
    saros_generators_end(rt, true);
    saros_service_close(rt);
    saros_calls_cancel(rt);
    saros_debug_end(rt);
    saros_signals_close(rt);
    while (rt->streams != NULL) saros_stream_abandon(rt->streams);
    while (rt->borrowed != NULL) saros_borrowed_abandon(rt->borrowed);
    saros_scopes_free(rt);
    saros_abandon(loop, &rt->suspicion);
    saros_clocks_close(rt);
    saros_steps_forget(rt);
    free_lists(rt);
    saros_handler_forget(L, rt);
    saros_leave(loop, &rt->guest);
    rt->loop = NULL;
    if (rt->owned) saros_close(loop);
    unlink_rt(rt);
    if (rt->lua->attached == rt) rt->lua->attached = NULL;
    if (lua_checkstack(L, 4)) unref(L, rt); /* else they go with the state */
}

/* ---- running one ---------------------------------------------------------------------------------------------- */

/* Runs the core's loop with this rt as the innermost one. */
static int run_core(lua_State *L, saros_rt *rt) {
    lua_State  *outer_L = rt->L;
    saros_loop *outer = rt->lua->innermost;
    rt->L = L;
    rt->running = rt->runs_itself = true;
    rt->lua->innermost = rt->loop;
    int error = saros_run(rt->loop);
    rt->lua->innermost = outer;
    while (atomic_load(&rt->lua->knocking) > 0) {
    } /* another thread's handler: a few instructions, as at the core's door */
    rt->running = rt->runs_itself = false;
    rt->L = outer_L;
    return error;
}

static void check_can_run(lua_State *L, saros_rt *rt) {
    if (rt->loop == NULL) luaL_error(L, "the loop is closed");
    if (rt->closing) luaL_error(L, "the loop is closing");
    if (rt->running || saros_running(rt->loop)) luaL_error(L, "the loop is running already");
    if (rt->manners.slice > 0) saros_slice_check(L, "the loop is to slice");
}

/* Cancels and awaits every task that is left. Those that can never end are closed where they stand. What a shield begins
 * meanwhile goes on until all others have ended; then its turn comes. */
void saros_rt_shutdown(lua_State *L, saros_rt *rt) {
    rt->closing = true;
    while (rt->live > 0) {
        size_t before = rt->live;
        rt->late = 0;
        for (saros_task *task = rt->first; task != NULL; task = task->next) {
            task->late = false;
            saros_task_cancel(task);
        }
        if (run_core(L, rt) < 0) break;
        if (rt->live - rt->late >= before)
            while (rt->first != NULL) saros_task_kill(rt->first);
    }
    if (saros_pending(rt->loop) > 0) { /* one more batch: callbacks that are ready, reports that are due */
        saros_stop(rt->loop);
        run_core(L, rt);
    }
    rt->closing = false;
}

/* Raises why run() ended without its main having ended. main's userdata is at the top. */
static int raise_unfinished(lua_State *L, saros_rt *rt, int error) {
    bool stopped = rt->stopped_by_script;
    rt->stopped_by_script = false;
    if (error < 0 && error != SAROS_EDEADLOCK)
        return luaL_error(L, "the loop broke down: driver %s: %s (%s)", saros_driver_name(rt->loop),
                          saros_error_text(error), saros_error_name(error));
    if (stopped) return luaL_error(L, "the loop was stopped before its main function had ended");
    rt->deadlocked = true;
    saros_push_deadlock(L, rt);
    return luaL_error(L, "%s", lua_tostring(L, -1));
}

/* Function and nargs arguments are on top; runs them as a task to its end. Leaves the task; raises where it
 * has not ended. */
static saros_task *run_main(lua_State *L, saros_rt *rt, int nargs) {
    check_can_run(L, rt);
    saros_task *outer = rt->main, *task = saros_spawn(L, rt, nargs, NULL);
    rt->main = task;
    saros_box(L, &task->is, -1);
    lua_pushliteral(L, "main");
    lua_setfield(L, -2, "name");
    lua_pop(L, 1);
    int error = run_core(L, rt);
    rt->main = outer;
    if (task->is.fate == SAROS_PENDING) raise_unfinished(L, rt, error);
    rt->stopped_by_script = false;
    return task;
}

/* protected call's body: run_main and its value. Stack: rt, function, arguments. */
static int run_protected(lua_State *L) {
    saros_rt   *rt = lua_touserdata(L, 1);
    saros_task *task = run_main(L, rt, lua_gettop(L) - 2);
    return saros_await_value(L, &task->is, -1);
}

int saros_rt_run(lua_State *L, saros_rt *rt, int nargs) {
    lua_pushcfunction(L, run_protected);
    lua_insert(L, -nargs - 2);
    lua_pushlightuserdata(L, rt);
    lua_insert(L, -nargs - 2);
    return lua_pcall(L, nargs + 2, LUA_MULTRET, 0);
}

void saros_rt_interrupt(saros_rt *rt, const char *reason) {
    rt->interrupted = true;
    if (rt->closing) return; /* all are cancelled already, and their <close> variables may take their time */
    if (rt->main == NULL) {
        saros_stop(rt->loop);
        return;
    }
    if (!rt->main->cancelled && lua_checkstack(rt->L, 6)) {
        lua_pushstring(rt->L, reason);
        saros_anchor(rt->L, rt, (const char *)rt->main + 1);
    }
    saros_task_cancel(rt->main);
}

/* ---- saros.run ------------------------------------------------------------------------------------------------ */

/* saros.run(fn, ...): a fresh loop, run, cancel and await what is left, close; fn's results. */
static int run(lua_State *L) {
    saros_lua *lua = saros_state(L);
    luaL_checktype(L, 1, LUA_TFUNCTION);
    if (lua->current != NULL && lua->current->task != NULL) return saros_run_child(L);
    int       nargs = lua_gettop(L) - 1;
    saros_rt *rt = saros_rt_new(L, lua, NULL, NULL);
    lua_insert(L, 1);
    int status = saros_rt_run(L, rt, nargs);
    saros_rt_shutdown(L, rt);
    saros_rt_close(L, rt);
    if (status != LUA_OK) return lua_error(L);
    return lua_gettop(L) - 1;
}

/* ---- loop objects --------------------------------------------------------------------------------------------- */

static saros_rt *check(lua_State *L) { return saros_check(L, 1, SAROS_T_LOOP); }

static saros_rt *check_open(lua_State *L) {
    saros_rt *rt = check(L);
    if (rt->loop == NULL) luaL_error(L, "the loop is closed");
    return rt;
}

/* An option that is a string; `otherwise` where it is not given. It stays on the stack. */
static const char *text_option(lua_State *L, const char *name, const char *otherwise) {
    if (!lua_istable(L, 1) || saros_option(L, 1, name) == LUA_TNIL) return otherwise;
    if (lua_type(L, -1) != LUA_TSTRING) luaL_argerror(L, 1, lua_pushfstring(L, "option '%s' must be a string", name));
    return lua_tostring(L, -1);
}

/* An integer, whose bits are taken; or the text that --seed takes. */
uint64_t saros_seed_value(lua_State *L, int arg, const char *name, int index) {
    int         is_integer;
    uint64_t    value;
    const char *why = "must be an integer";
    lua_Integer seed = lua_tointegerx(L, index, &is_integer);
    if (lua_type(L, index) == LUA_TNUMBER && is_integer) return (uint64_t)seed;
    if (lua_type(L, index) == LUA_TSTRING && (why = saros_seed_parse(lua_tostring(L, index), &value)) == NULL)
        return value;
    luaL_argerror(L, arg, lua_pushfstring(L, "option '%s' %s", name, why));
    return 0;
}

static int loop_new(lua_State *L) {
    static const char *const names[] = {"driver", "report_after", "seed", "faults", "debug", "slice", "shuffle", NULL};
    saros_manners            manners = saros_state(L)->manners;
    saros_config             config = saros_default_config(saros_state(L));
    saros_time               report_after = REPORT_AFTER;
    saros_check_options(L, 1, names);
    config.driver = text_option(L, "driver", config.driver);
    const char *faults = text_option(L, "faults", NULL);
    if (faults != NULL) config.faults = faults;
    if (lua_istable(L, 1) && saros_option(L, 1, "seed") != LUA_TNIL)
        config.seed = saros_seed_value(L, 1, "seed", lua_gettop(L));
    saros_manners_options(L, 1, &manners);
    if (lua_istable(L, 1) && saros_option(L, 1, "report_after") != LUA_TNIL) {
        if (!lua_isnumber(L, -1)) return luaL_argerror(L, 1, "option 'report_after' must be a number of seconds");
        report_after = saros_seconds(L, -1);
    }
    if (manners.slice > 0) saros_slice_check(L, "saros.loop: option 'slice'");
    saros_rt *rt = saros_rt_new(L, saros_state(L), &config, NULL);
    rt->report_after = report_after;
    saros_manners_apply(rt, &manners);
    if (faults != NULL && rt->world == NULL) {
        const char *driver = saros_driver_name(rt->loop); /* static */
        saros_rt_close(L, rt);
        lua_pushfstring(L, "option 'faults': only driver sim has any, and this loop's is %s", driver);
        return luaL_argerror(L, 1, lua_tostring(L, -1));
    }
    return 1;
}

/* loop:run(main, ...) -> main's results ; loop:run(): until loop:stop(), or nothing is left */
static int loop_run(lua_State *L) {
    saros_rt *rt = check(L);
    check_can_run(L, rt);
    if (lua_isnoneornil(L, 2)) {
        int error = run_core(L, rt);
        if (error < 0) return raise_unfinished(L, rt, error);
        rt->stopped_by_script = false;
        lua_pushboolean(L, 1);
        return 1;
    }
    luaL_checktype(L, 2, LUA_TFUNCTION);
    if (saros_rt_run(L, rt, lua_gettop(L) - 2) != LUA_OK) return lua_error(L);
    return lua_gettop(L) - 1;
}

static int loop_spawn(lua_State *L) {
    saros_rt *rt = check_open(L);
    luaL_checktype(L, 2, LUA_TFUNCTION);
    saros_spawn(L, rt, lua_gettop(L) - 2, NULL);
    return 1;
}

static int loop_call_soon(lua_State *L) {
    saros_rt *rt = check_open(L);
    luaL_checktype(L, 2, LUA_TFUNCTION);
    saros_call_soon(L, rt, lua_gettop(L) - 2);
    return 1;
}

static int loop_now(lua_State *L) {
    lua_pushnumber(L, (lua_Number)saros_now(check_open(L)->loop) / 1e9);
    return 1;
}

static int loop_stop(lua_State *L) {
    saros_rt *rt = check_open(L);
    rt->stopped_by_script = true;
    saros_stop(rt->loop);
    lua_pushboolean(L, 1);
    return 1;
}

/* loop:step([seconds]) -> "waiting" | "more" | "done" */
static int loop_step(lua_State *L) {
    static const char *const names[] = {"waiting", "more", "done"};
    saros_rt                *rt = check(L);
    check_can_run(L, rt);
    saros_time wait = lua_isnoneornil(L, 2) ? 0 : saros_seconds(L, 2);
    lua_State *outer = rt->L;
    rt->L = L;
    rt->running = true;
    if (rt->owned) saros_stepping(rt); /* else it is the loop's guest, and is told by it */
    saros_status status = saros_step(rt->loop, &(saros_limits){.wait = wait});
    rt->running = rt->stopped_by_script = false;
    rt->L = outer;
    if (status.outcome == SAROS_BROKEN) return raise_unfinished(L, rt, status.error);
    lua_pushstring(L, names[status.outcome]);
    return 1;
}

static int loop_close(lua_State *L) {
    saros_rt *rt = check(L);
    lua_pushboolean(L, 1);
    if (rt->loop == NULL || (rt->closing && !rt->running)) return 1;
    if (rt->running || saros_running(rt->loop)) return luaL_error(L, "the loop is running");
    if (!rt->owned) return luaL_error(L, "the loop is the host's, and only the host closes it");
    saros_rt_shutdown(L, rt);
    saros_rt_close(L, rt);
    return 1;
}

/* At lua_close, or for a loop that could not be made: no task may run any more. */
static int loop_gc(lua_State *L) {
    saros_rt *rt = check(L);
    if (!rt->running && rt->task == NULL && rt->lua->current != rt) {
        if (rt->loop != NULL) saros_rt_close(L, rt);
        else unref(L, rt);
        return 0;
    }
    /* os.exit(…, true) inside a task: the frames of the loop and of the driver are below us and need their memory until
     * the process ends; what is only ours goes now. */
    for (saros_task *task = rt->first; task != NULL; task = task->next) {
        saros_scope_forget(task);
        saros_abandon(rt->loop,
                      &task->op); /* a driver may work on it, and on a string: both are freed with the state */
    }
    saros_generators_end(rt, false);
    saros_service_close(rt); /* it works on userdata, which are freed with the state */
    while (rt->lost != NULL) saros_lost_drop(rt->lost);
    for (saros_stream *stream = rt->streams; stream != NULL; stream = stream->next) {
        if (stream->rt == NULL) saros_abandon(rt->loop, &stream->close);
        else saros_window_forget(rt->loop, &stream->window);
        saros_stream_drop_layer(stream);
    }
    saros_clocks_close(rt);
    free_lists(rt);
    rt->idle = NULL;
    return 0;
}

static int loop_is_running(lua_State *L) {
    lua_pushboolean(L, check(L)->running);
    return 1;
}

static int loop_driver(lua_State *L) {
    lua_pushstring(L, saros_driver_name(check_open(L)->loop));
    return 1;
}

static int loop_tostring(lua_State *L) {
    saros_rt *rt = check(L);
    lua_pushfstring(L, "saros.loop (%s): %p", rt->loop != NULL ? saros_driver_name(rt->loop) : "closed", (void *)rt);
    return 1;
}

static int current_loop(lua_State *L) {
    saros_lua *lua = saros_state(L);
    saros_rt  *rt = lua->current != NULL ? lua->current : lua->attached;
    if (rt != NULL) lua_rawgeti(L, LUA_REGISTRYINDEX, rt->self);
    else lua_pushnil(L);
    return 1;
}

/* For the parts written in Lua: a message to wherever messages of this loop go. */
static int report(lua_State *L) {
    saros_report(saros_loop_now(L, "saros._report")->loop, luaL_checkstring(L, 1));
    return 0;
}

/* For tests: how much is in flight on the running loop (operations, timers, what is ready), and how many streams are
 * open. */
static int pending(lua_State *L) {
    saros_rt   *rt = saros_loop_now(L, "saros._pending");
    lua_Integer streams = 0;
    for (saros_stream *stream = rt->streams; stream != NULL; stream = stream->next) streams++;
    lua_pushinteger(L, (lua_Integer)saros_pending(rt->loop));
    lua_pushinteger(L, streams);
    return 2;
}

void saros_open_loop(lua_State *L) {
    static const luaL_Reg methods[] = {{"run", loop_run},
                                       {"run_until_complete", loop_run},
                                       {"run_forever", loop_run},
                                       {"spawn", loop_spawn},
                                       {"call_soon", loop_call_soon},
                                       {"now", loop_now},
                                       {"stop", loop_stop},
                                       {"step", loop_step},
                                       {"close", loop_close},
                                       {"is_running", loop_is_running},
                                       {"driver", loop_driver},
                                       {NULL, NULL}};
    static const luaL_Reg meta[] = {
        {"__gc", loop_gc}, {"__close", loop_close}, {"__tostring", loop_tostring}, {NULL, NULL}};
    static const luaL_Reg functions[] = {{"run", run},        {"loop", loop_new},    {"current_loop", current_loop},
                                         {"_report", report}, {"_pending", pending}, {NULL, NULL}};
    saros_type_make(L, SAROS_T_LOOP, "saros.loop", methods, meta);
    saros_type_extend(L, SAROS_T_LOOP, saros_handler_methods);
    saros_add(L, functions);
}
