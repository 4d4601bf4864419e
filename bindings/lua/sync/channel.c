/* channel.c: channels: values go from sender ends to receiver ends, through a buffer of n places or, with n = 0, from hand
 * to hand.
 *
 * Owns the buffer (user value 1 of the channel, a ring), what waiting senders want to send (user value 2, by task), and
 * those who wait. An end has the channel as its user value; a task that waits has its end in op.buffer and its place in
 * the order of receivers in op.size.
 * Promises: FIFO; nobody barges past a waiter (semantics 32). A send that returns true was taken: by the buffer, or by a
 * receiver that has run, so a receiver that was chosen and is cancelled loses nothing and hands on (33), and one whose
 * sender was cancelled waits on in its old place. When the last sender end is closed the receivers get what is left, then
 * the end of the channel; when the last receiver end is closed senders are told EPIPE; clones count (38). An end that is
 * collected is closed. */
#include <math.h>

#include "bindings/lua/sync/sync.h"

typedef struct channel {
    saros_waiter *senders, *receivers;
    lua_Integer   limit, head, count; /* of the buffer */
    lua_Integer   promised;           /* receivers that were woken for a value and have not run yet */
    size_t        tickets;            /* receivers that had to wait, ever */
    size_t        sender_ends, receiver_ends;
    saros_bound   loop;
} channel;

typedef struct end {
    channel *of;
    size_t   waits; /* tasks that wait at it; perhaps some whose coroutines were closed */
    bool     closed;
} end;

enum { ITEMS = 1, PENDING = 2 };

static end *check_sender(lua_State *L) { return saros_check(L, 1, SAROS_T_SENDER); }

static end *check_receiver(lua_State *L) { return saros_check(L, 1, SAROS_T_RECEIVER); }

static int fail_closed(lua_State *L) { return saros_fail(L, SAROS_ECLOSED, "this end of the channel is closed"); }

static int fail_broken(lua_State *L) {
    return saros_fail(L, SAROS_EPIPE, "nobody can receive: all receivers are closed");
}

static int fail_ended(lua_State *L) {
    return saros_fail(L, SAROS_EEOF, "the channel has ended: all senders are closed");
}

/* ---- waiting at an end ---------------------------------------------------------------------------------------- */

static void wait_at(end *e, saros_task *task, saros_waiter **list) {
    task->op.buffer = e;
    e->waits++;
    saros_wait_on(task, list);
}

/* In the continuation. */
static saros_task *waited_at(lua_State *L, end *e, int64_t *result) {
    saros_task *task = saros_waited(L, result);
    task->op.buffer = NULL;
    e->waits--;
    return task;
}

/* ---- values --------------------------------------------------------------------------------------------------- */

/* The key of the i-th value in the buffer. A full ring has all its keys, so that nothing is allocated where a sender's
 * value takes the place of one that was taken. */
static lua_Integer place(const channel *c, lua_Integer i) {
    return (c->limit > 0 ? (c->head + i) % c->limit : c->head + i) + 1;
}

/* Pushes a table of the channel whose end is at index 1. */
static void push_table(lua_State *L, int which) {
    lua_getiuservalue(L, 1, 1);
    lua_getiuservalue(L, -1, which);
    lua_replace(L, -2);
}

/* There is something that nobody was promised yet. */
static void promise(channel *c) {
    if (c->receivers == NULL) return;
    c->promised++;
    saros_wake_first(&c->receivers, 0);
}

static void store(lua_State *L, channel *c, int index) {
    push_table(L, ITEMS);
    lua_pushvalue(L, index);
    lua_rawseti(L, -2, place(c, c->count));
    lua_pop(L, 1);
    c->count++;
    promise(c);
}

/* Pushes what the first waiting sender sends, and tells it that it is taken. */
static void take_pending(lua_State *L, channel *c) {
    saros_task *sender = saros_waiter_task(c->senders);
    push_table(L, PENDING);
    lua_rawgetp(L, -1, sender);
    lua_pushnil(L);
    lua_rawsetp(L, -3, sender);
    lua_remove(L, -2);
    saros_wake_first(&c->senders, 0);
}

static bool has_any(const channel *c) { return c->count > 0 || c->senders != NULL; }

/* Is there more than was promised? Of the waiting senders no more are counted than matter. */
static bool has_more(const channel *c) {
    lua_Integer   more = c->count - c->promised;
    saros_waiter *first = c->senders, *sender = first;
    while (more <= 0 && sender != NULL) {
        more++;
        sender = sender->next != first ? sender->next : NULL;
    }
    return more > 0;
}

/* All that there was is taken, and there is nobody to send more. */
static void settle(channel *c) {
    if (c->sender_ends == 0 && c->count == 0) saros_wake_all(&c->receivers, SAROS_EEOF);
}

/* Pushes the oldest value; there is one. */
static void take(lua_State *L, channel *c) {
    if (c->count == 0) {
        take_pending(L, c);
        return;
    }
    push_table(L, ITEMS);
    lua_rawgeti(L, -1, place(c, 0));
    if (c->limit > 0 && c->senders != NULL)
        take_pending(L, c); /* into the place that is free now, the last in the ring */
    else lua_pushnil(L);
    bool moved = !lua_isnil(L, -1);
    lua_rawseti(L, -3, place(c, 0));
    lua_remove(L, -2);
    if (!moved) c->count--;
    c->head = c->count == 0 ? 0 : c->limit > 0 ? (c->head + 1) % c->limit : c->head + 1;
    settle(c);
}

/* ---- send ----------------------------------------------------------------------------------------------------- */

/* Nobody has taken it. */
static void unsend(lua_State *L, saros_task *task) {
    push_table(L, PENDING);
    lua_pushnil(L);
    lua_rawsetp(L, -2, task);
    lua_pop(L, 1);
}

void saros_channel_leave(lua_State *co, saros_task *task) { unsend(co, task); }

static int send_k(lua_State *L, int status, lua_KContext ctx) {
    int64_t     result;
    saros_task *task = waited_at(L, lua_touserdata(L, 1), &result);
    (void)status, (void)ctx;
    if (result ==
        0) { /* it is taken, also if the task was cancelled a moment later: that is raised at its next await */
        lua_pushboolean(L, 1);
        return 1;
    }
    unsend(L, task);
    if (saros_is_cancelled(task)) return saros_raise_cancelled(L, task);
    if (result == SAROS_ECLOSED) return fail_closed(L);
    if (result == SAROS_EPIPE) return fail_broken(L);
    return saros_wait_ended(L, task, result);
}

static int send(lua_State *L) {
    end     *e = check_sender(L);
    channel *c = e->of;
    luaL_argcheck(L, !lua_isnoneornil(L, 2), 2, "nil cannot be sent");
    saros_task *task = saros_begin(L, "sender:send");
    saros_bind(L, &c->loop, task, "sender:send");
    if (e->closed) return saros_answer(L, task, fail_closed(L));
    if (c->receiver_ends == 0) return saros_answer(L, task, fail_broken(L));
    lua_settop(L, 2);
    if (c->count < c->limit) {
        store(L, c, 2);
        lua_pushboolean(L, 1);
        return saros_answer(L, task, 1);
    }
    push_table(L, PENDING);
    lua_pushvalue(L, 2);
    lua_rawsetp(L, -2, task);
    task->waits_for = SAROS_FOR_RECEIVER;
    wait_at(e, task, &c->senders);
    promise(c);
    return saros_suspend(L, task, 0, send_k);
}

/* With n = 0 a receiver has to be waiting. The value is in the buffer then until that has run, or another. */
static int try_send(lua_State *L) {
    end     *e = check_sender(L);
    channel *c = e->of;
    luaL_argcheck(L, !lua_isnoneornil(L, 2), 2, "nil cannot be sent");
    saros_check_bound(L, c->loop, "sender:try_send");
    if (e->closed) return fail_closed(L);
    if (c->receiver_ends == 0) return fail_broken(L);
    bool room = c->count < c->limit || (c->limit == 0 && c->receivers != NULL);
    if (c->senders != NULL || !room) return saros_fail(L, SAROS_EAGAIN, "the channel is full");
    store(L, c, 2);
    lua_pushboolean(L, 1);
    return 1;
}

/* ---- receive -------------------------------------------------------------------------------------------------- */

static int receive_k(lua_State *L, int status, lua_KContext ctx);

/* Receivers wait in the order of their tickets: who was woken in vain goes back to where it was. */
static int wait_for_value(lua_State *L, saros_task *task, end *e, size_t ticket) {
    saros_waiter **list = &e->of->receivers, *me = &task->wait;
    task->op.size = ticket;
    wait_at(e, task, list);
    saros_waiter *at =
        saros_waiter_task(me->prev)->op.size < ticket ? me : *list; /* whoever comes anew is the last: no search */
    while (at != me && saros_waiter_task(at)->op.size < ticket) at = at->next;
    if (at != me) {
        me->prev->next = me->next;
        me->next->prev = me->prev;
        me->next = at;
        me->prev = at->prev;
        me->prev->next = at->prev = me;
        if (*list == at) *list = me;
    }
    return saros_suspend(L, task, 0, receive_k);
}

static int receive_k(lua_State *L, int status, lua_KContext ctx) {
    int64_t     result;
    end        *e = lua_touserdata(L, 1);
    channel    *c = e->of;
    saros_task *task = waited_at(L, e, &result);
    (void)status, (void)ctx;
    if (result == 0) {
        c->promised--;
        if (!saros_is_cancelled(task) && !e->closed) {
            if (!has_any(c)) /* the sender was cancelled, or its end closed */
                return c->sender_ends > 0 ? wait_for_value(L, task, e, task->op.size) : fail_ended(L);
            take(L, c);
            return 1;
        }
        if (has_any(c)) promise(c);
        result = SAROS_ECLOSED;
    }
    if (saros_is_cancelled(task)) return saros_raise_cancelled(L, task);
    if (result == SAROS_EEOF) return fail_ended(L);
    if (result == SAROS_ECLOSED) return fail_closed(L);
    return saros_wait_ended(L, task, result);
}

static int receive_from(lua_State *L, const char *what) {
    end        *e = check_receiver(L);
    channel    *c = e->of;
    saros_task *task = saros_begin(L, what);
    saros_bind(L, &c->loop, task, what);
    if (e->closed) return saros_answer(L, task, fail_closed(L));
    lua_settop(L, 1);
    if (c->receivers == NULL && has_more(c)) {
        take(L, c);
        return saros_answer(L, task, 1);
    }
    if (c->sender_ends == 0 && c->count == 0) /* else who was promised the last may hand it on */
        return saros_answer(L, task, fail_ended(L));
    return wait_for_value(L, task, e, ++c->tickets);
}

static int receive(lua_State *L) { return receive_from(L, "receiver:receive"); }

static int try_receive(lua_State *L) {
    end     *e = check_receiver(L);
    channel *c = e->of;
    saros_check_bound(L, c->loop, "receiver:try_receive");
    if (e->closed) return fail_closed(L);
    lua_settop(L, 1);
    if (c->receivers == NULL && has_more(c)) {
        take(L, c);
        return 1;
    }
    if (c->sender_ends == 0 && c->count == 0) return fail_ended(L);
    return saros_fail(L, SAROS_EAGAIN, "the channel is empty");
}

/* for v in receiver:items() do … end, and for v in receiver do … end */
static int next_item(lua_State *L) { return receive_from(L, "receiver:items"); }

static int items(lua_State *L) {
    check_receiver(L);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_pushcclosure(L, next_item, 1);
    lua_pushvalue(L, 1);
    return 2;
}

/* ---- ends ----------------------------------------------------------------------------------------------------- */

/* Tasks that wait at this end are told that it was closed. */
static void end_waits(saros_waiter **list, const end *e) {
    if (e->waits == 0) return; /* of a crowd that waits at clones, each closing its own, nobody is asked */
    saros_waiter *waiter = *list, *last = waiter != NULL ? waiter->prev : NULL;
    while (waiter != NULL) {
        saros_waiter *next = waiter != last ? waiter->next : NULL;
        if (saros_waiter_task(waiter)->op.buffer == e) {
            saros_wait_unlink(waiter);
            waiter->wake(waiter, SAROS_ECLOSED);
        }
        waiter = next;
    }
}

/* Cannot raise: it is the finalizer as well. */
static int close_sender(lua_State *L) {
    end     *e = check_sender(L);
    channel *c = e->of;
    if (c != NULL && !e->closed) {
        e->closed = true;
        c->sender_ends--;
        end_waits(&c->senders, e);
        settle(c);
    }
    lua_pushboolean(L, 1);
    return 1;
}

static int close_receiver(lua_State *L) {
    end     *e = check_receiver(L);
    channel *c = e->of;
    if (c != NULL && !e->closed) {
        e->closed = true;
        end_waits(&c->receivers, e);
        if (--c->receiver_ends == 0) {
            push_table(L, ITEMS);
            for (; c->count > 0; c->count--) { /* nobody will ever have them */
                lua_pushnil(L);
                lua_rawseti(L, -2, place(c, c->count - 1));
            }
            saros_wake_all(&c->senders, SAROS_EPIPE);
        }
    }
    lua_pushboolean(L, 1);
    return 1;
}

/* Pushes an end of the channel at index. */
static end *new_end(lua_State *L, enum saros_type type, int index, channel *c) {
    index = lua_absindex(L, index);
    end *e = saros_new(L, saros_state(L), type, sizeof *e, 1);
    lua_pushvalue(L, index);
    lua_setiuservalue(L, -2, 1);
    e->of = c;
    return e;
}

static int clone(lua_State *L, const end *e, enum saros_type type, size_t *ends) {
    if (e->closed) return luaL_error(L, "clone: this end of the channel is closed");
    lua_getiuservalue(L, 1, 1);
    new_end(L, type, -1, e->of);
    ++*ends;
    return 1;
}

static int clone_sender(lua_State *L) {
    const end *e = check_sender(L);
    return clone(L, e, SAROS_T_SENDER, &e->of->sender_ends);
}

static int clone_receiver(lua_State *L) {
    const end *e = check_receiver(L);
    return clone(L, e, SAROS_T_RECEIVER, &e->of->receiver_ends);
}

/* ---- the module's part ---------------------------------------------------------------------------------------- */

/* saros.channel(n) -> sender, receiver; math.huge: as many values as memory holds */
static int channel_new(lua_State *L) {
    bool        unlimited = lua_type(L, 1) == LUA_TNUMBER && lua_tonumber(L, 1) == HUGE_VAL;
    lua_Integer limit = unlimited ? LUA_MAXINTEGER : luaL_checkinteger(L, 1);
    luaL_argcheck(L, limit >= 0, 1, "0 or more places expected");
    channel *c = saros_new(L, saros_state(L), SAROS_T_CHANNEL, sizeof *c, 2);
    c->limit = limit;
    lua_createtable(L, limit < 64 ? (int)limit : 4, 0);
    lua_setiuservalue(L, -2, ITEMS);
    lua_createtable(L, 0, 1);
    lua_setiuservalue(L, -2, PENDING);
    new_end(L, SAROS_T_SENDER, -1, c);
    c->sender_ends = 1;
    new_end(L, SAROS_T_RECEIVER, -2, c);
    c->receiver_ends = 1;
    return 2;
}

void saros_open_channel(lua_State *L) {
    static const luaL_Reg sender[] = {
        {"send", send}, {"try_send", try_send}, {"clone", clone_sender}, {"close", close_sender}, {NULL, NULL}};
    static const luaL_Reg receiver[] = {{"receive", receive},      {"try_receive", try_receive}, {"items", items},
                                        {"clone", clone_receiver}, {"close", close_receiver},    {NULL, NULL}};
    static const luaL_Reg sender_meta[] = {{"__close", close_sender}, {"__gc", close_sender}, {NULL, NULL}};
    static const luaL_Reg receiver_meta[] = {{"__close", close_receiver},
                                             {"__gc", close_receiver},
                                             {"__call", next_item},
                                             {"__await", receive},
                                             {NULL, NULL}};
    static const luaL_Reg functions[] = {{"channel", channel_new}, {NULL, NULL}};
    saros_type_make(L, SAROS_T_CHANNEL, "saros.channel", NULL, NULL);
    saros_type_make(L, SAROS_T_SENDER, "saros.sender", sender, sender_meta);
    saros_type_make(L, SAROS_T_RECEIVER, "saros.receiver", receiver, receiver_meta);
    saros_add(L, functions);
}
