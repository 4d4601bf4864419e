/* signal.c: sources of signals, which tasks wait for: what saros.signal (saros/signal.lua) stands on.
 *
 * Owns each source: which signals have come and were not given to anybody yet (latched, once of each kind), and who waits.
 * Promises: a signal that comes while nobody waits is there for who waits next; where several sources listen, each is
 * told; a cancelled wait loses nothing. While a source is open the loop is not done. */
#include <string.h>

#include "bindings/lua/services/signal.h"
#include "bindings/lua/streams/stream.h"

struct saros_source {
    saros_ears    ears; /* first */
    saros_rt     *rt;   /* NULL: closed */
    saros_source *next; /* of rt */
    saros_waiter *waiters;
    uint64_t      latched;
};

static saros_source *check(lua_State *L) { return saros_check(L, 1, SAROS_T_SIGNALS); }

/* Expected again first: from the moment in which `come` is empty the next signal posts. */
static void told(saros_loop *loop, saros_op *op, int64_t result) {
    saros_source *source = (saros_source *)(void *)op;
    (void)result;
    saros_expect(loop, op);
    uint64_t come = atomic_exchange(&source->ears.come, 0) & ~source->latched;
    source->latched |= come;
    for (; come != 0; come &= come - 1) saros_wake_first(&source->waiters, 0);
}

static void close_source(saros_source *source) {
    saros_rt *rt = source->rt;
    if (rt == NULL) return;
    saros_source **at = &rt->signals;
    while (*at != source) at = &(*at)->next;
    *at = source->next;
    source->rt = NULL;
    saros_signal_ignore(&source->ears);
    saros_abandon(rt->loop, &source->ears.op);
    saros_wake_all(&source->waiters, SAROS_ECLOSED);
    saros_release(rt->loop);
}

bool saros_signals_open(const saros_source *source) { return source != NULL && source->rt != NULL; }

void saros_signals_close(saros_rt *rt) {
    while (rt->signals != NULL) close_source(rt->signals);
}

/* ---- waiting --------------------------------------------------------------------------------------------------- */

const saros_known_signal *saros_signal_find(const char *name) {
    const saros_known_signal *one = saros_known_signals;
    while (one->name != NULL && strcmp(one->name, name) != 0) one++;
    return one->name != NULL ? one : NULL;
}

static int wait_k(lua_State *L, int status, lua_KContext ctx);

static int give(lua_State *L, saros_source *source) {
    int number = 1;
    while (!(source->latched & saros_signal_bit(number))) number++;
    source->latched &= ~saros_signal_bit(number);
    const saros_known_signal *one = saros_known_signals;
    while (one->number != number) one++;
    lua_pushstring(L, one->name);
    return 1;
}

static int suspend(lua_State *L, saros_source *source, saros_task *task) {
    saros_wait_on(task, &source->waiters);
    return saros_suspend(L, task, 0, wait_k);
}

/* Where several wait, and one that was woken is cancelled before it runs, what it was to have is the next one's. */
static int wait_k(lua_State *L, int status, lua_KContext ctx) {
    saros_source *source = lua_touserdata(L, 1);
    saros_task   *task = saros_resumed_raw(L);
    (void)status, (void)ctx;
    saros_wait_unlink(&task->wait);
    if (saros_is_cancelled(task) && (task->op.result < 0 || source->latched == 0))
        return saros_raise_cancelled(L, task);
    if (source->rt == NULL) return saros_closed(L);
    return source->latched != 0 ? give(L, source) : suspend(L, source, task);
}

/* source:wait() -> name; also what a loop over the source calls, which ends when the source is closed. */
static int wait(lua_State *L) {
    saros_source *source = check(L);
    saros_task   *task = saros_begin(L, "signal:wait");
    if (source->rt == NULL) return saros_closed(L);
    if (source->rt != task->rt) return luaL_error(L, "signal:wait: the source belongs to another loop");
    lua_settop(L, 1);
    if (source->latched != 0) return saros_answer(L, task, give(L, source));
    return suspend(L, source, task);
}

/* ---- opening and closing --------------------------------------------------------------------------------------- */

static uint64_t check_signals(lua_State *L) {
    uint64_t wanted = 0;
    int      top = lua_gettop(L);
    luaL_checkstring(L, 1);
    for (int arg = 1; arg <= top; arg++) {
        const saros_known_signal *one = saros_signal_find(luaL_checkstring(L, arg));
        luaL_argcheck(L, one != NULL, arg, "a signal's name expected, such as \"SIGTERM\"");
        luaL_argcheck(L, one->heard && one->number <= 64, arg, "this signal cannot be waited for");
        wanted |= saros_signal_bit(one->number);
    }
    return wanted;
}

/* saros.signal.open(name, …) -> source. Needs no task. */
static int open_source(lua_State *L) {
    saros_rt *rt = saros_loop_now(L, "saros.signal.open");
    if (rt->world != NULL) return saros_fail(L, SAROS_ENOSYS, "signal: a simulated world has no signals");
    uint64_t      wanted = check_signals(L);
    saros_source *source = saros_new(L, rt->lua, SAROS_T_SIGNALS, sizeof *source, 0);
    source->ears.op.done = told;
    source->ears.loop = rt->loop;
    source->ears.wanted = wanted;
    saros_expect(rt->loop, &source->ears.op);
    int error = saros_signal_listen(&source->ears);
    if (error < 0) {
        saros_abandon(rt->loop, &source->ears.op);
        return saros_fail(L, error, "signal: %s", saros_error_text(error));
    }
    saros_hold(rt->loop);
    source->rt = rt;
    source->next = rt->signals;
    rt->signals = source;
    saros_debug_opened(L, rt);
    return 1;
}

static int method_close(lua_State *L) {
    close_source(check(L));
    lua_pushboolean(L, 1);
    return 1;
}

static int method_gc(lua_State *L) {
    saros_source *source = check(L);
    if (source->rt == NULL) return 0;
    saros_debug_collected(L, source->rt);
    close_source(source);
    return 0;
}

static int method_tostring(lua_State *L) {
    const saros_source *source = check(L);
    lua_pushfstring(L, "saros.signals%s: %p", source->rt == NULL ? " (closed)" : "", (const void *)source);
    return 1;
}

void saros_open_signal(lua_State *L) {
    static const luaL_Reg methods[] = {{"wait", wait}, {"close", method_close}, {NULL, NULL}};
    static const luaL_Reg meta[] = {{"__call", wait},
                                    {"__await", wait},
                                    {"__gc", method_gc},
                                    {"__close", method_close},
                                    {"__tostring", method_tostring},
                                    {NULL, NULL}};
    static const luaL_Reg functions[] = {{"_signal_open", open_source}, {NULL, NULL}};
    saros_type_make(L, SAROS_T_SIGNALS, "saros.signals", methods, meta);
    saros_add(L, functions);
}
