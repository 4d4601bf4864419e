/* slice.c: a script that computes and never awaits is made to give way (--slice, off by default).
 *
 * Lua's count hook, in the coroutine of each task: every so many instructions it looks at the clock, and where the task has
 * had its slice it yields, at the next place where that is allowed. The task then is at the end of the run queue, as after
 * sleep(0); but nothing is raised there, also not a cancellation: the script has not asked for anything.
 *
 * Whoever switches this on gives up that between two awaits no other task runs.
 *
 * Promises: only the task's own coroutine yields, never a generator inside, whose consumer would get it; never below a C
 * function that cannot be suspended; and nobody's hook is replaced: where a host or a debugger has set one, a loop that is
 * to slice cannot be opened or run, and a task that sets its own is not sliced. */
#include "bindings/lua/tasks/task.h"

enum { INSTRUCTIONS = 1000 /* between two looks at the clock: 5 to 10 us */ };

/* The third place that yields; a hook can have no continuation, so it cannot be saros_suspend. */
static void hook(lua_State *L, lua_Debug *ar) {
    saros_lua  *lua = saros_state_slow(L);
    saros_rt   *rt = lua != NULL ? lua->current : NULL;
    saros_task *task = rt != NULL ? rt->task : NULL;
    (void)ar;
    if (task == NULL || task->co != L || rt->manners.slice == 0 || !lua_isyieldable(L)) return;
    if (saros_now(rt->loop) - rt->step_began < rt->manners.slice) return;
    task->suspended = true;
    task->at_hand = 0;
    task->since = (uint32_t)(saros_turn(rt->loop) >> SAROS_SINCE_BITS);
    saros_requeue(task);
    lua_yield(L, 0);
}

static bool is_foreign(lua_Hook set) { return set != NULL && set != hook; }

void saros_slice_check(lua_State *L, const char *what) {
    if (is_foreign(lua_gethook(L)))
        luaL_error(L, "%s: a debug hook is set here (by the host, a debugger or debug.sethook), which would be lost",
                   what);
}

void saros_slice(lua_State *L, lua_State *co) {
    if (is_foreign(lua_gethook(L))) lua_sethook(co, lua_gethook(L), lua_gethookmask(L), lua_gethookcount(L));
    else lua_sethook(co, hook, LUA_MASKCOUNT, INSTRUCTIONS);
}
