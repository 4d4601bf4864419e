/* ready.c: waiting until a descriptor is ready that somebody else owns: saros.wait_readable, saros.add_reader, and their
 * like. For libraries that have a descriptor and do their own reading and writing.
 *
 * Owns what is borrowed: one handle for each descriptor that somebody waits for, shared by all who do, because a kernel
 * may take each descriptor but once. It is given back, as it was, with the last of them.
 * Promises: nothing is read or written; what has happened is told for as long as it holds; an error in a callback is
 * reported, and it is called again; one that cannot be called any more, because the descriptor is closed, is reported
 * and taken out. */
#include <lauxlib.h>

#include "bindings/lua/services/ready.h"
#include "bindings/lua/streams/stream.h"

/* A function that is called whenever it holds; user value 1 or 2 is {function, arguments…, n =}. */
typedef struct way {
    saros_op op;     /* flies, but while the function runs */
    bool     used;   /* counts as a user, until the op has ended and is not wanted any more */
    bool     wanted; /* false: taken out */
} way;

/* SAROS_T_BORROWED. Anchored twice: under its number, for who comes next, and under its address, until it is closed. */
struct saros_borrowed {
    saros_handle    handle;
    saros_rt       *rt;
    saros_borrowed *next, *prev; /* those of rt */
    saros_op        close;
    lua_Integer     number;
    uint32_t        users; /* tasks that wait, ways that are wanted or fly; 0: its close has begun */
    way             ways[2];
};

static const char *const wait_names[] = {"wait_readable", "wait_writable"};
static const char *const add_names[] = {"add_reader", "add_writer"};
static int               which_way(unsigned ready) { return ready == SAROS_READABLE ? 0 : 1; }

/* ---- borrowing and giving back -------------------------------------------------------------------------------- */

static void way_told(saros_loop *loop, saros_op *op, int64_t result);

static void unlink_borrowed(saros_borrowed *self) {
    if (self->prev != NULL) self->prev->next = self->next;
    else self->rt->borrowed = self->next;
    if (self->next != NULL) self->next->prev = self->prev;
}

static void close_told(saros_loop *loop, saros_op *op, int64_t result) {
    saros_borrowed *self = (saros_borrowed *)((char *)op - offsetof(saros_borrowed, close));
    (void)loop, (void)result;
    unlink_borrowed(self);
    saros_drop(self->rt, self);
}

static void forget_number(const saros_borrowed *self) {
    lua_State *L = self->rt->L;
    if (!lua_checkstack(L, 4)) return; /* whoever finds it sees that it has no users */
    saros_push_table(L, self->rt, SAROS_ANCHORS);
    if (lua_rawgeti(L, -1, self->number) == LUA_TUSERDATA && lua_touserdata(L, -1) == self) {
        lua_pushnil(L);
        lua_rawseti(L, -3, self->number); /* it is there: this allocates nothing, so it cannot fail */
    }
    lua_pop(L, 2);
}

static void begin_close(saros_borrowed *self) {
    forget_number(self);
    self->close = (saros_op){.kind = SAROS_OP_CLOSE, .handle = &self->handle, .done = close_told};
    saros_submit(self->rt->loop, &self->close);
}

static void give_back(saros_borrowed *self) {
    if (--self->users == 0) begin_close(self);
}

void saros_borrowed_abandon(saros_borrowed *self) {
    saros_loop *loop = self->rt->loop;
    for (int i = 0; i < 2; i++) saros_abandon(loop, &self->ways[i].op);
    if (self->users > 0) begin_close(self);
    saros_abandon(loop, &self->close);
    unlink_borrowed(self);
}

static int set_raw(lua_State *L) {
    lua_rawset(L, 1);
    return 0;
}

/* The one on top is kept, under both; or it raises, and nothing is. */
static void anchor(lua_State *L, saros_borrowed *self) {
    lua_pushvalue(L, -1);
    saros_anchor(L, self->rt, self);
    lua_pushcfunction(L, set_raw);
    saros_push_table(L, self->rt, SAROS_ANCHORS);
    lua_pushinteger(L, self->number);
    lua_pushvalue(L, -4);
    if (lua_pcall(L, 3, 0, 0) == LUA_OK) return;
    saros_drop(self->rt, self);
    lua_error(L);
}

/* Pushes the one of that number, with one user more, and returns it; or pushes nothing: NULL and *code. */
static saros_borrowed *borrow(lua_State *L, saros_rt *rt, lua_Integer number, int *code) {
    saros_push_table(L, rt, SAROS_ANCHORS);
    lua_rawgeti(L, -1, number);
    lua_remove(L, -2);
    saros_borrowed *self = lua_touserdata(L, -1);
    if (self != NULL && self->users > 0) {
        self->users++;
        return self;
    }
    lua_pop(L, 1);
    self = saros_new(L, rt->lua, SAROS_T_BORROWED, sizeof *self, 2);
    self->rt = rt;
    self->number = number;
    anchor(L, self);
    saros_op op = {.kind = SAROS_OP_BORROW, .handle = &self->handle, .size = (size_t)(saros_os_handle)number};
    if ((saros_os_handle)number != number) op.result = SAROS_EBADF; /* a number that none can have */
    else saros_submit_now(rt->loop, &op);                           /* no driver has to wait for this */
    *code = (int)op.result;
    if (op.result < 0) {
        forget_number(self);
        saros_drop(rt, self);
        lua_pop(L, 1);
        return NULL;
    }
    self->users = 1;
    for (unsigned i = 0; i < 2; i++)
        self->ways[i].op = (saros_op){.handle = &self->handle, .size = SAROS_READABLE << i, .done = way_told};
    self->next = rt->borrowed;
    if (rt->borrowed != NULL) rt->borrowed->prev = self;
    rt->borrowed = self;
    return self;
}

/* The number of what stands at an argument: an integer, a file of Lua's io, an object with getfd, as LuaSocket's have. */
static lua_Integer check_number(lua_State *L, int arg) {
    const luaL_Stream *file = luaL_testudata(L, arg, LUA_FILEHANDLE);
    if (file != NULL) {
        luaL_argcheck(L, file->closef != NULL, arg, "the file is closed");
        int number = saros_file_number(file->f);
        luaL_argcheck(L, number >= 0, arg, "nobody can wait for a file here");
        return number;
    }
    int type = lua_type(L, arg);
    if ((type != LUA_TTABLE && type != LUA_TUSERDATA) || luaL_getmetafield(L, arg, "__index") == LUA_TNIL)
        if (type != LUA_TTABLE) return luaL_checkinteger(L, arg);
    lua_getfield(L, arg, "getfd");
    if (lua_isnil(L, -1)) luaL_typeerror(L, arg, "descriptor, file, or object with getfd");
    lua_pushvalue(L, arg);
    lua_call(L, 1, 1);
    int         is;
    lua_Integer number = lua_tointegerx(L, -1, &is);
    luaL_argcheck(L, is, arg, "its getfd gives no integer");
    return number;
}

/* ---- waiting in a task ---------------------------------------------------------------------------------------- */

/* What a task's POLL has borrowed stands where other ops have their bytes: a handle may be a stream's, also one that is
 * borrowed itself (stdio.c). */
void saros_ready_forget(saros_task *task) {
    saros_borrowed *self = task->op.kind == SAROS_OP_POLL ? task->op.buffer : NULL;
    if (self == NULL) return;
    task->op.buffer = NULL;
    give_back(self);
}

/* Stack: 1 what was waited for, 2 whose the handle is. */
static int wait_k(lua_State *L, int status, lua_KContext which) {
    int64_t     result;
    saros_task *task = saros_resumed_raw(L);
    (void)status;
    saros_ready_forget(task);
    saros_resumed(L, &result);
    if (result == SAROS_ECLOSED || result == SAROS_ECANCELED) return saros_closed(L);
    if (result < 0)
        return saros_fail(L, (int)result, "%s %s: %s", wait_names[which], luaL_tolstring(L, 1, NULL),
                          saros_error_text((int)result));
    lua_pushboolean(L, 1);
    return 1;
}

/* self: whose the handle is, if it is borrowed for this. */
static int wait_on(lua_State *L, saros_task *task, saros_handle *handle, saros_borrowed *self, unsigned ready) {
    task->op.kind = SAROS_OP_POLL;
    task->op.handle = handle;
    task->op.buffer = self;
    task->op.size = ready;
    int which = which_way(ready);
    if (saros_submit_now(task->rt->loop, &task->op)) return saros_answer(L, task, wait_k(L, LUA_OK, which));
    return saros_suspend(L, task, which, wait_k);
}

/* A stream or listener of ours: what it has received already counts as well. */
static int wait_on_stream(lua_State *L, saros_task *task, saros_stream *stream, unsigned ready) {
    if (stream->rt == NULL) return saros_closed(L);
    if (stream->rt != task->rt) return luaL_error(L, "%s: it belongs to another loop", wait_names[which_way(ready)]);
    bool at_hand = stream->window.left > 0 || stream->window.ended || stream->window.error < 0;
    lua_settop(L, 1);
    lua_pushvalue(L, 1);
    if (ready != SAROS_READABLE || !at_hand) return wait_on(L, task, &stream->handle, NULL, ready);
    lua_pushboolean(L, 1);
    return saros_answer(L, task, 1);
}

static int wait_for(lua_State *L, unsigned ready) {
    const char   *name = wait_names[which_way(ready)];
    saros_lua    *lua = saros_state(L);
    saros_task   *task = saros_begin(L, name);
    saros_stream *stream = NULL;
    int           code;
    luaL_checkany(L, 1);
    if (lua_isuserdata(L, 1)) stream = saros_test(L, lua, 1, SAROS_T_STREAM);
    if (stream == NULL && lua_isuserdata(L, 1)) stream = saros_test(L, lua, 1, SAROS_T_LISTENER);
    if (stream != NULL) return wait_on_stream(L, task, stream, ready);
    lua_Integer number = check_number(L, 1);
    lua_settop(L, 1);
    saros_borrowed *self = borrow(L, task->rt, number, &code);
    if (self != NULL) return wait_on(L, task, &self->handle, self, ready);
    return saros_fail(L, code, "%s %s: %s", name, luaL_tolstring(L, 1, NULL), saros_error_text(code));
}

static int wait_readable(lua_State *L) { return wait_for(L, SAROS_READABLE); }
static int wait_writable(lua_State *L) { return wait_for(L, SAROS_WRITABLE); }

/* ---- callbacks ------------------------------------------------------------------------------------------------ */

/* protected: calls the function of the way p. */
static int run_way(lua_State *L) {
    const way      *of = lua_touserdata(L, 1);
    saros_borrowed *self = (saros_borrowed *)of->op.handle;
    lua_settop(L, 0);
    lua_pushcfunction(L, saros_traceback);
    saros_push_anchored(L, self->rt, self);
    lua_getiuservalue(L, -1, 1 + which_way((unsigned)of->op.size));
    lua_getfield(L, -1, "n");
    int n = (int)lua_tointeger(L, -1);
    lua_settop(L, 3);
    luaL_checkstack(L, n + 4, "too many arguments");
    for (int i = 1; i <= n; i++) lua_rawgeti(L, 3, i);
    if (lua_pcall(L, n - 1, 0, 1) == LUA_OK) return 0;
    if (!saros_traced(L, -1)) lua_pushnil(L);
    saros_untrace(L, -2);
    saros_unhandled(L, self->rt, "a callback failed", 0);
    return 0;
}

static void start_way(saros_borrowed *self, way *of) {
    of->op.kind = SAROS_OP_POLL;
    saros_submit(self->rt->loop, &of->op);
}

static void way_told(saros_loop *loop, saros_op *op, int64_t result) {
    way            *of = (way *)(void *)op;
    saros_borrowed *self = (saros_borrowed *)(void *)op->handle;
    saros_rt       *rt = self->rt, *outer_rt = rt->lua->current;
    saros_task     *outer = rt->task;
    (void)loop;
    if (of->wanted && result > 0) {
        rt->lua->current = rt;
        rt->task = NULL;
        saros_protected(rt, run_way, of, "a callback");
        rt->task = outer;
        rt->lua->current = outer_rt;
    } else if (of->wanted &&
               result != SAROS_ECANCELED) { /* cancelled: taken out, and added anew before that was told */
        saros_complain(rt, "%s %lld: %s; it is taken out", add_names[which_way((unsigned)op->size)],
                       (long long)self->number, saros_error_text((int)result));
        of->wanted = false;
    }
    of->used = of->wanted;
    if (of->wanted) start_way(self, of);
    else give_back(self);
}

/* saros.add_reader(fd, fn, …) -> true */
static int add(lua_State *L, unsigned ready) {
    int       which = which_way(ready), code;
    saros_rt *rt = saros_loop_now(L, add_names[which]);
    luaL_checktype(L, 2, LUA_TFUNCTION);
    lua_Integer number = check_number(L, 1);
    int         n = lua_gettop(L) - 1;
    lua_createtable(L, n, 1);
    lua_insert(L, 2);
    lua_pushinteger(L, n);
    lua_setfield(L, 2, "n");
    for (int i = n; i >= 1; i--) lua_rawseti(L, 2, i);
    saros_borrowed *self = borrow(L, rt, number, &code);
    if (self == NULL)
        return saros_fail(L, code, "%s %lld: %s", add_names[which], (long long)number, saros_error_text(code));
    way *of = &self->ways[which];
    lua_pushvalue(L, 2);
    lua_setiuservalue(L, 3, 1 + which);
    of->wanted = true;
    if (of->used) give_back(self); /* another function in place of the one that was there: no user more */
    else start_way(self, of);
    of->used = true;
    lua_pushboolean(L, 1);
    return 1;
}

/* saros.remove_reader(fd) -> was there one? */
static int take_out(lua_State *L, unsigned ready) {
    int         which = which_way(ready);
    saros_rt   *rt = saros_loop_now(L, ready == SAROS_READABLE ? "remove_reader" : "remove_writer");
    lua_Integer number = check_number(L, 1);
    saros_push_table(L, rt, SAROS_ANCHORS);
    lua_rawgeti(L, -1, number);
    saros_borrowed *self = lua_touserdata(L, -1);
    bool            there = self != NULL && self->users > 0 && self->ways[which].wanted;
    if (there) {
        self->ways[which].wanted = false;
        lua_pushnil(L);
        lua_setiuservalue(L, -2, 1 + which);
        saros_cancel(rt->loop, &self->ways[which].op);
    }
    lua_pushboolean(L, there);
    return 1;
}

static int add_reader(lua_State *L) { return add(L, SAROS_READABLE); }
static int add_writer(lua_State *L) { return add(L, SAROS_WRITABLE); }
static int remove_reader(lua_State *L) { return take_out(L, SAROS_READABLE); }
static int remove_writer(lua_State *L) { return take_out(L, SAROS_WRITABLE); }

void saros_open_ready(lua_State *L) {
    static const luaL_Reg functions[] = {{"wait_readable", wait_readable},
                                         {"wait_writable", wait_writable},
                                         {"add_reader", add_reader},
                                         {"add_writer", add_writer},
                                         {"remove_reader", remove_reader},
                                         {"remove_writer", remove_writer},
                                         {NULL, NULL}};
    saros_type_make(L, SAROS_T_BORROWED, "saros.borrowed", NULL, NULL);
    saros_add(L, functions);
}
