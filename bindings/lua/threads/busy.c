/* busy.c: the end of a thread that was cancelled and never awaits.
 *
 * Lua's count hook, as slice.c has it, but set only where the thread was cancelled: until then nothing looks, and nothing
 * costs. lua_sethook may be called by a signal handler, and is not safe on another thread (it walks through the list of calls,
 * which the collector there shortens): so the thread is interrupted, and sets it itself, in the coroutines that run. Every so
 * many instructions the hook sees whether the loop has turned meanwhile. Where it has not for a second, the cancellation is
 * raised in the midst of the script, as if it had awaited there. A coroutine that does not run right then has no hook, be it a
 * task that the loop is about to resume, be it one between the task and its innermost: so the thread is interrupted again and
 * again (thread.c, and where it is joined), ever more rarely: a hook that is set anew counts from the start.
 *
 * Promises: who comes back to the loop is left alone, and cancelled there; a shield holds; <close> variables run. A script that
 * catches the cancellation and computes on meets it again, in the end at every other instruction. A function of C's that
 * blocks is out of reach. */
#include <string.h>

#include "bindings/lua/threads/threads.h"

enum {
    INSTRUCTIONS = 1000000, /* from one look to the next: 5 to 50 ms */
    MOST_FORCED = 4         /* cancellations raised so; after that there is no patience left */
};

#define PATIENCE      SAROS_SECOND /* without a turn of the loop */
#define LESS_PATIENCE (SAROS_SECOND / 10)

static void hook(lua_State *L, lua_Debug *ar);

static void look_at(lua_State *L, int instructions) {
    if (L != NULL) lua_sethook(L, hook, LUA_MASKCOUNT, instructions);
}

static void look_at_task(const saros_task *task, int instructions) {
    if (task == NULL || task->co == NULL) return;
    look_at(task->co, instructions);
    if (task->at != task->co) look_at(task->at, instructions);
}

/* Also new coroutines have the hook: they inherit it. */
void saros_thread_interrupted(void *p) {
    saros_thread   *t = p;
    const saros_rt *rt = atomic_load(&t->open), *inner = rt != NULL ? rt->lua->current : NULL;
    if (rt == NULL) return;
    look_at(rt->L, INSTRUCTIONS);
    look_at_task(rt->task, INSTRUCTIONS);
    if (inner != NULL && inner != rt) look_at_task(inner->task, INSTRUCTIONS);
}

void saros_thread_watch(saros_thread *t) {
    look_at(t->child->L, INSTRUCTIONS);
    for (const saros_task *task = t->child->first; task != NULL; task = task->next) look_at_task(task, INSTRUCTIONS);
}

void saros_thread_cancelled(saros_thread *t) {
    char reason[sizeof t->reason];
    if (t->child->interrupted) return;
    saros_mutex_lock(&t->lock);
    memcpy(reason, t->reason, sizeof reason);
    saros_mutex_unlock(&t->lock);
    saros_rt_interrupt(t->child, reason[0] != 0 ? reason : NULL);
}

/* Did it have its time since its loop has turned last? */
static bool is_busy(saros_thread *t, const saros_rt *rt) {
    saros_time turn = saros_turn(rt->loop), now = saros_now(rt->loop);
    if (turn != t->turn || t->since == 0) {
        t->turn = turn;
        t->since = now;
        t->forced = 0;
    }
    return now - t->since >= (t->forced == 0 ? PATIENCE : LESS_PATIENCE) || t->forced >= MOST_FORCED;
}

static void hook(lua_State *L, lua_Debug *ar) {
    const saros_lua *lua = saros_state_slow(L);
    saros_thread    *t = lua->thread;
    const saros_rt  *rt = lua->current != NULL ? lua->current : t->child;
    saros_task      *task = rt->task;
    (void)ar;
    if (atomic_load(&t->open) == NULL || !is_busy(t, rt)) return;
    saros_thread_cancelled(t);
    if (t->child->main != NULL && !saros_is_cancelled(t->child->main)) return;
    if (task != NULL && !task->cancelled) saros_task_cancel(task);
    if (task != NULL && !saros_is_cancelled(task)) return;
    t->since = saros_now(rt->loop);
    t->forced++;
    if (t->forced >= MOST_FORCED) { /* anywhere, and in whoever goes on with the error */
        look_at(L, 1 + (int)(t->forced % 7));
        look_at_task(task, 1 + (int)(t->forced % 5));
    }
    if (task == NULL) luaL_error(L, "the thread was cancelled");
    task->at_hand = 0; /* a hook cannot give way */
    saros_raise_cancelled(L, task);
}
