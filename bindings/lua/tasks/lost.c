/* lost.c: errors of futures that nobody has awaited yet (semantics 14).
 *
 * A failed task tells its own error, with the op that it needs no more (task.c); a future has none, and most never fail.
 * So one that does gets a record with a timer, after which the error is told if nobody has come for it; earlier with the
 * loop's end. Until then the future is kept alive.
 *
 * Promises: told once, and not at all where somebody knows of it; a future that does not fail pays nothing. */
#include "bindings/lua/tasks/task.h"

struct saros_lost {
    saros_op       op; /* the timer */
    saros_rt      *rt;
    saros_promise *future; /* anchored under its own address */
    saros_lost    *next, *prev;
};

static void told(saros_loop *loop, saros_op *op, int64_t result) {
    (void)loop, (void)result;
    saros_lost_end((saros_lost *)(void *)op);
}

void saros_lost_expect(lua_State *L, saros_rt *rt, saros_promise *future, int index) {
    if (future->lost != NULL) return; /* from a call that then found no memory */
    luaL_checkstack(L, 8, "set_error");
    saros_box(L, &future->is, index);
    luaL_where(L, 1);
    lua_setfield(L, -2, "where");
    lua_pushvalue(L, index);
    saros_anchor(L, rt, future);
    lua_pop(L, 1);
    saros_lost *self = saros_realloc(rt->loop, NULL, 0, sizeof *self);
    if (self == NULL) {
        saros_drop(rt, future);
        luaL_error(L, "set_error: not enough memory");
    }
    *self = (saros_lost){.op.done = told, .op.background = true, .rt = rt, .future = future, .next = rt->lost};
    if (rt->lost != NULL) rt->lost->prev = self;
    future->lost = rt->lost = self;
}

void saros_lost_begin(saros_lost *self) {
    const saros_rt *rt = self->rt;
    bool            news = self->future->is.fate == SAROS_FAILED && !self->future->is.observed;
    saros_time      when = saros_later(rt->loop, rt->closing ? 0 : rt->report_after);
    if (!news || saros_timer(rt->loop, &self->op, when) < 0) saros_lost_end(self);
}

/* protected: tells of p. */
static int report(lua_State *L) {
    const saros_lost *self = lua_touserdata(L, 1);
    saros_push_anchored(L, self->rt, self->future);
    lua_getiuservalue(L, 2, 1);
    lua_getfield(L, 3, "where");
    lua_pushfstring(L, "%sa future failed and nobody awaited it", lua_tostring(L, 4));
    lua_rawgeti(L, 3, 1);
    lua_getfield(L, 3, "traceback");
    saros_unhandled(L, self->rt, lua_tostring(L, 5), 0);
    return 0;
}

void saros_lost_drop(saros_lost *self) {
    saros_rt *rt = self->rt;
    if (self->prev != NULL) self->prev->next = self->next;
    else rt->lost = self->next;
    if (self->next != NULL) self->next->prev = self->prev;
    self->future->lost = NULL;
    saros_abandon(rt->loop, &self->op);
    saros_drop(rt, self->future);
    saros_realloc(rt->loop, self, sizeof *self, 0);
}

void saros_lost_end(saros_lost *self) {
    saros_awaitable *is = &self->future->is;
    bool             news = is->fate == SAROS_FAILED && !is->observed;
    is->observed = is->observed || news;
    self->future->lost = NULL; /* what is told may ask for it */
    if (news && !saros_protected(self->rt, report, self, "the report of a failed future")) self->rt->reported++;
    saros_lost_drop(self);
}
