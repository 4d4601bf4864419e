/* thread_channel.c: saros.thread_channel: what saros.channel is, between threads.
 *
 * An end is a userdata of the state that has it; the wire behind it is everybody's. What is sent is copied, and an end that
 * is sent moves: it is closed here, and open there.
 *
 * Owns the ends, and for each task that waits a crossing: a userdata on the stack of its coroutine, closed in whatever way
 * the wait ends; so the wire never points to somebody who is gone. The loop is held meanwhile: somebody else may wake it. */
#include <math.h>

#include "bindings/lua/threads/threads.h"

typedef struct crossing { /* SAROS_T_CROSSING; user value 1: the end */
    saros_crossing is;    /* first */
    saros_wire    *wire;  /* which it keeps; NULL: it does not wait any more */
    saros_waiter  *tasks; /* the one that waits */
    bool           told;
} crossing;

/* The stack of who waits: */
enum { AT_END = 1, AT_VALUE, AT_SENT, AT_CROSSING };

static saros_end *check(lua_State *L, bool sender) {
    return saros_check(L, 1, sender ? SAROS_T_THREAD_SENDER : SAROS_T_THREAD_RECEIVER);
}

saros_end *saros_end_at(lua_State *L, int index) {
    const saros_lua *lua = saros_state_slow(L);
    saros_end       *end = saros_test(L, lua, index, SAROS_T_THREAD_SENDER);
    return end != NULL ? end : saros_test(L, lua, index, SAROS_T_THREAD_RECEIVER);
}

static int fail_closed(lua_State *L, const saros_end *e) {
    return saros_fail(L, SAROS_ECLOSED, "this end of the channel is closed%s", e->sent ? ": it was sent away" : "");
}

static int fail_broken(lua_State *L) {
    return saros_fail(L, SAROS_EPIPE, "nobody can receive: all receivers are closed");
}

static int fail_ended(lua_State *L) {
    return saros_fail(L, SAROS_EEOF, "the channel has ended: all senders are closed");
}

/* ---- waiting ---------------------------------------------------------------------------------------------------- */

static void told(saros_loop *loop, saros_op *op, int64_t result) {
    crossing *self = (crossing *)(void *)op;
    (void)loop;
    self->told = true;
    saros_wake_all(&self->tasks, result);
}

/* It waits no more. Was its message taken? Cannot raise. */
static bool leave(crossing *self) {
    saros_wire *wire = self->wire;
    if (wire == NULL) return true;
    self->wire = NULL;
    bool taken = saros_wire_leave(wire, &self->is);
    saros_abandon(self->is.loop, &self->is.op);
    saros_release(self->is.loop);
    saros_wire_release(wire);
    return taken;
}

static int crossing_close(lua_State *L) {
    leave(saros_check(L, 1, SAROS_T_CROSSING));
    return 0;
}

/* Pushes it, ready to be given to the wire. */
static crossing *new_crossing(lua_State *L, const saros_task *task, const saros_end *e) {
    crossing *self = saros_new(L, saros_state(L), SAROS_T_CROSSING, sizeof *self, 0);
    lua_toclose(L, -1);
    self->is.op.done = told;
    self->is.loop = task->rt->loop;
    self->is.end = e;
    self->is.sends = e->sender;
    self->wire = e->wire;
    saros_wire_keep(e->wire);
    saros_hold(self->is.loop);
    saros_expect(self->is.loop, &self->is.op);
    return self;
}

static saros_task *resumed(lua_State *L) {
    saros_task *task = saros_resumed_raw(L);
    saros_wait_unlink(&task->wait);
    return task;
}

/* ---- sending ---------------------------------------------------------------------------------------------------- */

/* While memory may run out a message is its end's, which frees it in the worst case. The last one that was kept is the
 * first to be taken back. */
static saros_message *keep_parcel(saros_end *e, saros_message *message) {
    message->next = e->parcel;
    return e->parcel = message;
}

static saros_message *take_parcel(saros_end *e) {
    saros_message *message = e->parcel;
    e->parcel = message->next;
    message->next = NULL;
    return message;
}

static int sent(lua_State *L) {
    saros_ends_sent(L, AT_SENT);
    lua_pushboolean(L, 1);
    return 1;
}

static int not_sent(lua_State *L, const saros_end *e, int64_t result) {
    return result == SAROS_ECLOSED ? fail_closed(L, e) : fail_broken(L);
}

static int send_k(lua_State *L, int status, lua_KContext ctx) {
    const saros_end *e = lua_touserdata(L, AT_END);
    crossing        *self = lua_touserdata(L, AT_CROSSING);
    saros_task      *task = resumed(L);
    (void)status, (void)ctx;
    if (leave(self)) return sent(L); /* also where the task was cancelled: that is raised at its next await */
    if (saros_is_cancelled(task)) return saros_raise_cancelled(L, task);
    if (self->told) return not_sent(L, e, self->is.op.result);
    return saros_raise(L, (int)task->op.result, "the wait was ended");
}

/* Stack: the end, anything, the ends in the message. */
static int send_message(lua_State *L, saros_task *task, saros_end *e, saros_message *message) {
    int result = saros_wire_send(e->wire, message, NULL);
    if (result == SAROS_EAGAIN) {
        keep_parcel(e, message);
        crossing *self = new_crossing(L, task, e);
        result = saros_wire_send(e->wire, take_parcel(e), &self->is);
        if (result == SAROS_EAGAIN) {
            saros_wait_on(task, &self->tasks);
            return saros_suspend(L, task, 0, send_k);
        }
    }
    if (result == 0) return saros_answer(L, task, sent(L));
    saros_messages_free(message);
    return saros_answer(L, task, fail_broken(L));
}

static int send(lua_State *L) {
    saros_end *e = check(L, true);
    luaL_checkany(L, 2);
    lua_settop(L, AT_VALUE);
    saros_task *task = saros_begin(L, "sender:send");
    if (e->closed) return saros_answer(L, task, fail_closed(L, e));
    saros_message *message = saros_pack(L, AT_VALUE, 1, "sender:send", NULL, 0);
    return send_message(L, task, e, message);
}

/* For the parts written in Lua: saros._send(sender, what, noun, skip, values…): several values as one message. */
static int send_values(lua_State *L) {
    saros_end  *e = check(L, true);
    const char *what = luaL_checkstring(L, 2), *noun = luaL_checkstring(L, 3);
    int         skip = (int)luaL_checkinteger(L, 4);
    saros_task *task = saros_begin(L, what);
    if (e->closed) return saros_answer(L, task, fail_closed(L, e));
    saros_message *message = saros_pack(L, 5, lua_gettop(L) - 4, what, noun, skip);
    lua_replace(L, AT_SENT);
    lua_settop(L, AT_SENT);
    return send_message(L, task, e, message);
}

/* The ends in the message are on top. */
static int offer(lua_State *L, const saros_end *e, saros_message *message) {
    int result = saros_wire_offer(e->wire, message);
    if (result == 0) {
        saros_ends_sent(L, lua_gettop(L));
        lua_pushboolean(L, 1);
        return 1;
    }
    saros_messages_free(message);
    return result == SAROS_EAGAIN ? saros_fail(L, SAROS_EAGAIN, "the channel is full") : fail_broken(L);
}

static int try_send(lua_State *L) {
    const saros_end *e = check(L, true);
    luaL_checkany(L, 2);
    if (e->closed) return fail_closed(L, e);
    return offer(L, e, saros_pack(L, AT_VALUE, 1, "sender:try_send", NULL, 0));
}

/* The same as saros._send for who does not wait. */
static int try_send_values(lua_State *L) {
    const saros_end *e = check(L, true);
    const char      *what = luaL_checkstring(L, 2), *noun = luaL_checkstring(L, 3);
    int              skip = (int)luaL_checkinteger(L, 4);
    if (e->closed) return fail_closed(L, e);
    return offer(L, e, saros_pack(L, 5, lua_gettop(L) - 4, what, noun, skip));
}

/* ---- receiving -------------------------------------------------------------------------------------------------- */

static int unpack(lua_State *L, saros_end *e, saros_message *message) {
    int count = saros_unpack(L, keep_parcel(e, message));
    saros_messages_free(take_parcel(e));
    return count;
}

static int receive_k(lua_State *L, int status, lua_KContext ctx);

static int wait_for_message(lua_State *L, saros_task *task, crossing *self) {
    saros_wait_on(task, &self->tasks);
    return saros_suspend(L, task, 0, receive_k);
}

/* Stack: the end, the crossing. */
static int receive_k(lua_State *L, int status, lua_KContext ctx) {
    saros_message *message = NULL;
    saros_end     *e = lua_touserdata(L, AT_END);
    crossing      *self = lua_touserdata(L, 2);
    saros_task    *task = resumed(L);
    int64_t        result = self->told ? self->is.op.result : task->op.result;
    (void)status, (void)ctx;
    if (self->told && result == 0 && !saros_is_cancelled(task) && !e->closed) {
        self->told = false;
        saros_expect(self->is.loop, &self->is.op);
        result = saros_wire_claim(self->wire, &message, &self->is);
        if (result == SAROS_EAGAIN) return wait_for_message(L, task, self); /* the sender has taken it back */
    }
    leave(self);
    if (message != NULL) return unpack(L, e, message);
    if (saros_is_cancelled(task)) return saros_raise_cancelled(L, task);
    if (result == SAROS_EEOF) return fail_ended(L);
    if (result == SAROS_ECLOSED || e->closed) return fail_closed(L, e);
    return saros_raise(L, (int)result, "the wait was ended");
}

static int receive_from(lua_State *L, const char *what) {
    saros_message *message;
    saros_end     *e = check(L, false);
    saros_task    *task = saros_begin(L, what);
    lua_settop(L, AT_END);
    if (e->closed) return saros_answer(L, task, fail_closed(L, e));
    int result = saros_wire_receive(e->wire, &message, NULL);
    if (result == SAROS_EAGAIN) {
        crossing *self = new_crossing(L, task, e);
        result = saros_wire_receive(e->wire, &message, &self->is);
        if (result == SAROS_EAGAIN) return wait_for_message(L, task, self);
    }
    return saros_answer(L, task, result == 0 ? unpack(L, e, message) : fail_ended(L));
}

static int receive(lua_State *L) { return receive_from(L, "receiver:receive"); }

static int try_receive(lua_State *L) {
    saros_message *message;
    saros_end     *e = check(L, false);
    lua_settop(L, AT_END);
    if (e->closed) return fail_closed(L, e);
    int result = saros_wire_receive(e->wire, &message, NULL);
    if (result == 0) return unpack(L, e, message);
    if (result == SAROS_EAGAIN) return saros_fail(L, SAROS_EAGAIN, "the channel is empty");
    return fail_ended(L);
}

/* for v in receiver:items() do … end, and for v in receiver do … end */
static int next_item(lua_State *L) { return receive_from(L, "receiver:items"); }

static int items(lua_State *L) {
    check(L, false);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_pushcclosure(L, next_item, 1);
    lua_pushvalue(L, 1);
    return 2;
}

/* ---- ends ------------------------------------------------------------------------------------------------------- */

void saros_end_adopt(lua_State *L, saros_wire *wire, bool sender) {
    saros_lua *lua = saros_state_slow(L);
    saros_end *e = saros_new(L, lua, sender ? SAROS_T_THREAD_SENDER : SAROS_T_THREAD_RECEIVER, sizeof *e, 0);
    e->sender = sender;
    e->wire = wire;
}

static void close_end(saros_end *e) {
    if (e->wire == NULL || e->closed) return;
    e->closed = true;
    saros_wire_close_end(e->wire, e->sender, e);
}

void saros_ends_sent(lua_State *L, int index) {
    if (!lua_istable(L, index)) return;
    for (lua_Integer i = 1; lua_rawgeti(L, index, i) != LUA_TNIL; i++) {
        saros_end *e = lua_touserdata(L, -1);
        e->sent = true;
        close_end(e);
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

static saros_end *check_any(lua_State *L) {
    saros_end *e = saros_end_at(L, 1);
    if (e == NULL) luaL_typeerror(L, 1, "end of a channel between threads");
    return e;
}

static int close(lua_State *L) {
    close_end(check_any(L));
    lua_pushboolean(L, 1);
    return 1;
}

static int collect(lua_State *L) {
    saros_end *e = check_any(L);
    close_end(e);
    saros_messages_free(e->parcel);
    e->parcel = NULL;
    if (e->wire != NULL) saros_wire_release(e->wire);
    e->wire = NULL;
    e->closed = true;
    return 0;
}

static int clone(lua_State *L) {
    const saros_end *e = check_any(L);
    if (e->closed) return luaL_error(L, "clone: this end of the channel is closed");
    saros_end_adopt(L, NULL, e->sender);
    saros_end *other = lua_touserdata(L, -1);
    saros_wire_keep(e->wire);
    saros_wire_open_end(e->wire, e->sender);
    other->wire = e->wire;
    return 1;
}

static int end_tostring(lua_State *L) {
    const saros_end *e = check_any(L);
    lua_pushfstring(L, "saros.thread_%s%s: %p", e->sender ? "sender" : "receiver", e->closed ? " (closed)" : "", e);
    return 1;
}

/* ---- the module's part ------------------------------------------------------------------------------------------ */

/* saros.thread_channel(n) -> sender, receiver; math.huge: as many values as memory holds */
static int channel_new(lua_State *L) {
    const saros_lua *lua = saros_state(L);
    const saros_rt  *rt = lua->current != NULL ? lua->current : lua->attached;
    bool             unlimited = lua_type(L, 1) == LUA_TNUMBER && lua_tonumber(L, 1) == HUGE_VAL;
    lua_Integer      limit = unlimited ? LUA_MAXINTEGER : luaL_checkinteger(L, 1);
    luaL_argcheck(L, limit >= 0, 1, "0 or more places expected");
    if (rt != NULL && rt->world != NULL)
        return saros_fail(L, SAROS_ENOSYS, "saros.thread_channel: there are no threads in a simulated world");
    saros_end_adopt(L, NULL, true);
    saros_end_adopt(L, NULL, false);
    saros_end  *sender = lua_touserdata(L, -2), *receiver = lua_touserdata(L, -1);
    saros_wire *wire = saros_wire_new((size_t)limit);
    if (wire == NULL) return luaL_error(L, "saros.thread_channel: not enough memory");
    saros_wire_keep(wire);
    sender->wire = receiver->wire = wire;
    return 2;
}

void saros_open_thread_channel(lua_State *L) {
    static const luaL_Reg sender[] = {
        {"send", send}, {"try_send", try_send}, {"clone", clone}, {"close", close}, {NULL, NULL}};
    static const luaL_Reg receiver[] = {{"receive", receive}, {"try_receive", try_receive},
                                        {"items", items},     {"clone", clone},
                                        {"close", close},     {NULL, NULL}};
    static const luaL_Reg sender_meta[] = {
        {"__close", close}, {"__gc", collect}, {"__tostring", end_tostring}, {NULL, NULL}};
    static const luaL_Reg receiver_meta[] = {{"__close", close},    {"__gc", collect},    {"__tostring", end_tostring},
                                             {"__call", next_item}, {"__await", receive}, {NULL, NULL}};
    static const luaL_Reg crossing_meta[] = {{"__close", crossing_close}, {"__gc", crossing_close}, {NULL, NULL}};
    static const luaL_Reg functions[] = {
        {"thread_channel", channel_new}, {"_send", send_values}, {"_try_send", try_send_values}, {NULL, NULL}};
    saros_add(L, functions);
    if (saros_state_slow(L)->meta[SAROS_T_CROSSING] != NULL) return; /* a script has taken the functions away */
    saros_type_make(L, SAROS_T_THREAD_SENDER, "saros.thread_sender", sender, sender_meta);
    saros_type_make(L, SAROS_T_THREAD_RECEIVER, "saros.thread_receiver", receiver, receiver_meta);
    saros_type_make(L, SAROS_T_CROSSING, "saros.crossing", NULL, crossing_meta);
}
