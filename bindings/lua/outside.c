/* outside.c: results that come from outside: futures that any thread can complete, and a task awaits (saros_lua.h).
 *
 * Two hold one: whoever completes it, and whoever awaits or drops it. The last of them frees it; so it is allocated with the
 * loop's functions, but not through the loop, which may have closed by then. Until it is completed the loop is held, so that
 * it is not done, and can be posted to.
 * Promises: every payload is released exactly once, on whichever way: pushed, come too late for a task that was cancelled, or
 * for a loop that has closed. Nothing here raises into another thread. */
#include <stdatomic.h>
#include <stdlib.h>

#include "bindings/lua/tasks/task.h"

struct saros_future {
    saros_op         op; /* posted when it is completed */
    saros_loop      *loop;
    saros_alloc_fn   alloc;
    void            *user;
    atomic_int       owners;
    saros_task      *task;          /* the loop's thread: who waits; NULL: nobody */
    bool             told, dropped; /* the loop's thread: it was completed; nobody will ask for it any more */
    int              status;        /* from here on the completer's, until it is told */
    void            *data;
    saros_push_fn    push;
    saros_release_fn release; /* NULL: none, or it was */
};

static void leave(saros_future *future) {
    if (atomic_fetch_sub(&future->owners, 1) == 1) future->alloc(future->user, future, sizeof *future, 0);
}

static void release_payload(saros_future *future) {
    saros_release_fn release = future->release;
    future->release = NULL;
    if (release != NULL) release(future->data);
}

/* On the loop's thread, from the loop; takes the completer's place among the owners. */
static void future_told(saros_loop *loop, saros_op *op, int64_t result) {
    saros_future *future = (saros_future *)(void *)op;
    (void)result;
    future->told = true;
    if (future->dropped) release_payload(future);
    else if (future->task != NULL && future->task->op.state == SAROS_FLYING) saros_complete(loop, &future->task->op, 0);
    leave(future);
    saros_release(loop);
}

saros_future *saros_future_new(saros_loop *loop) {
    const saros_config *config = saros_configuration(loop);
    saros_future       *future = config->alloc(config->user, NULL, 0, sizeof *future);
    if (future == NULL) return NULL;
    *future = (saros_future){.op.done = future_told, .loop = loop, .alloc = config->alloc, .user = config->user};
    atomic_init(&future->owners, 2);
    saros_expect(loop, &future->op);
    saros_hold(loop);
    return future;
}

void saros_future_complete(saros_future *future, int status, void *data, saros_push_fn push, saros_release_fn release) {
    saros_loop *loop = future->loop;
    future->status = status;
    future->data = data;
    future->push = push;
    future->release = release;
    if (saros_post(loop, &future->op, status) == 0) return; /* it may be gone already */
    release_payload(future);
    leave(future);
    saros_release(loop);
}

void saros_future_drop(saros_future *future) {
    future->task = NULL;
    future->dropped = true;
    if (future->told) release_payload(future);
    leave(future);
}

/* ---- await ----------------------------------------------------------------------------------------------------- */

typedef struct ticket { /* SAROS_T_TICKET: on the stack of the task that waits; closed in whatever way that ends */
    saros_future *future;
} ticket;

static int ticket_close(lua_State *L) {
    ticket       *self = saros_check(L, 1, SAROS_T_TICKET);
    saros_future *future = self->future;
    self->future = NULL;
    if (future != NULL) saros_future_drop(future);
    return 0;
}

static int results(lua_State *L, saros_future *future) {
    if (future->status < 0) return saros_fail(L, future->status, "%s", saros_error_text(future->status));
    if (future->push != NULL) return future->push(L, future->data);
    lua_pushboolean(L, 1);
    return 1;
}

static int await_k(lua_State *L, int status, lua_KContext ctx) {
    int64_t       result;
    saros_future *future = ((ticket *)lua_touserdata(L, 1))->future;
    (void)status, (void)ctx;
    future->task = NULL;
    saros_resumed(L, &result);
    if (!future->told) return saros_raise(L, (int)result, "the wait was ended");
    return results(L, future);
}

/* Argument 1: the ticket. */
static int await(lua_State *L) {
    saros_future *future = ((ticket *)lua_touserdata(L, 1))->future;
    lua_toclose(L, 1);
    saros_task *task = saros_begin(L, "saros_lua_await");
    if (task->rt->loop != future->loop) return luaL_error(L, "saros_lua_await: the future belongs to another loop");
    if (future->told) return saros_answer(L, task, results(L, future));
    future->task = task;
    saros_expect(task->rt->loop, &task->op);
    return saros_suspend(L, task, 0, await_k);
}

/* protected: light userdata 1 is the future -> the function that awaits, a ticket */
static int make_ticket(lua_State *L) {
    saros_lua *lua = saros_state_slow(L);
    if (lua == NULL) return luaL_error(L, "saros_lua_await: no loop is attached");
    lua_pushlightuserdata(L, lua);
    lua_pushcclosure(L, await, 1);
    ticket *self = saros_new(L, lua, SAROS_T_TICKET, sizeof *self, 0);
    self->future = lua_touserdata(L, 1);
    return 2;
}

int saros_lua_await(lua_State *L, saros_future *future, lua_KContext ctx, lua_KFunction k) {
    int top = lua_gettop(L);
    if (!lua_checkstack(L, 8)) {
        saros_future_drop(future);
        return luaL_error(L, "saros_lua_await: stack overflow");
    }
    lua_pushcfunction(L, make_ticket);
    lua_pushlightuserdata(L, future);
    if (lua_pcall(L, 1, 2, 0) != LUA_OK) {
        saros_future_drop(future);
        return lua_error(L);
    }
    lua_callk(L, 1, LUA_MULTRET, k != NULL ? ctx : (lua_KContext)top, k != NULL ? k : saros_all_results);
    return k != NULL ? k(L, LUA_OK, ctx) : saros_all_results(L, LUA_OK, (lua_KContext)top);
}

void saros_open_outside(lua_State *L) {
    saros_type_make(L, SAROS_T_TICKET, "saros.ticket", NULL,
                    (const luaL_Reg[]){{"__close", ticket_close}, {"__gc", ticket_close}, {NULL, NULL}});
}
