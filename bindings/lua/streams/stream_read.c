/* stream_read.c: everything that reads: read, read_some, read_exactly, read_until, lines.
 *
 * Owns the bytes that were received and not yet read. They stand in one piece at stream->at: either still in the
 * loop's scratch buffer (lent: until this call suspends or returns), or in a buffer of the stream's own, which exists
 * only while something is left over. So a reader that takes all it gets costs neither a copy nor a buffer.
 * Promises: a failed or cancelled read keeps what was received; a second reader gets EBUSY and disturbs nobody; limits
 * bound what a peer can make us hold. */
#include <ctype.h>
#include <string.h>

#include "bindings/lua/streams/stream.h"

/* What a reading call wants; the first bits of the continuation's context. */
enum want { READ, SOME, EXACTLY, UNTIL };
enum { MORE = -1 /* not enough has come yet */, LONGEST_NUMBER = 200 /* as in Lua's io */ };

/* ---- the window ----------------------------------------------------------------------------------------------- */

void saros_stream_forget_buffer(saros_stream *stream) {
    if (stream->data != NULL) saros_realloc(stream->rt->loop, stream->data, stream->room, 0);
    stream->data = NULL;
    stream->at = NULL;
    stream->room = stream->left = stream->taken = stream->scanned = 0;
    stream->lent = false;
}

/* Makes the window the stream's own, with `more` bytes of room behind it. False: no memory. */
static bool own(saros_stream *stream, size_t more) {
    const char *from = stream->left + stream->taken > 0 ? stream->at - stream->taken : NULL;
    size_t      kept = stream->left + stream->taken, need = kept + more;
    if (need > stream->room) {
        size_t room = stream->room > 0 ? stream->room : 512;
        while (room < need) room *= 2;
        char *data = saros_realloc(stream->rt->loop, NULL, 0, room);
        if (data == NULL) return false;
        if (kept > 0) memcpy(data, from, kept);
        if (stream->data != NULL) saros_realloc(stream->rt->loop, stream->data, stream->room, 0);
        stream->data = data;
        stream->room = room;
    } else if (kept > 0) {
        memmove(stream->data, from, kept);
    }
    stream->at = stream->data + stream->taken;
    stream->lent = false;
    return true;
}

/* What we are lent, by the loop or a layer, until the reader suspends or returns, joins the window. */
bool saros_stream_feed(saros_stream *stream, const char *bytes, size_t size) {
    if (stream->left + stream->taken == 0) {
        stream->at = bytes;
        stream->left = size;
        stream->lent = true;
        return true;
    }
    if (!own(stream, size)) return false;
    memcpy(stream->data + stream->taken + stream->left, bytes, size);
    stream->left += size;
    return true;
}

/* Before the scratch buffer is anybody else's: what is left of it is copied; an empty buffer is given back. */
static void settle(lua_State *L, saros_stream *stream) {
    if (stream->rt == NULL) return;
    if (stream->left + stream->taken == 0) {
        if (stream->data != NULL || stream->lent) saros_stream_forget_buffer(stream);
    } else if (stream->lent && !own(stream, 0)) {
        stream->error = SAROS_ENOMEM; /* bytes are lost: no later read may go on as if they were not */
        stream->left = stream->taken = 0;
        luaL_error(L, "stream: not enough memory for what was received");
    }
}

static void consume(saros_stream *stream, size_t size) {
    stream->at += size;
    stream->left -= size;
    stream->taken += size;
    stream->scanned = 0;
}

/* The call that runs has failed: what it has read of the window is for the next one. */
static void give_back(saros_stream *stream) {
    stream->at -= stream->taken;
    stream->left += stream->taken;
    stream->taken = stream->scanned = 0;
}

static int push_and_consume(lua_State *L, saros_stream *stream, size_t size) {
    lua_pushlstring(L, stream->at, size);
    consume(stream, size);
    return 1;
}

/* ---- one attempt: how many results were pushed, or MORE ------------------------------------------------------- */

static int limit_reached(lua_State *L, const char *what, size_t limit) {
    return saros_fail(L, SAROS_ELIMIT, "%s: longer than %zu bytes", what, limit);
}

static int end_of(lua_State *L, const char *what) {
    return saros_fail(L, SAROS_EEOF, "%s: the stream has ended before", what);
}

/* What there is before the delimiter, as a length; or MORE with *code 0, or with the error. */
static ptrdiff_t find(saros_stream *stream, const char *delimiter, size_t size, size_t limit, int *code) {
    size_t      back = size - 1; /* the delimiter may have begun in what was scanned */
    size_t      from = stream->scanned > back ? stream->scanned - back : 0;
    const char *found = NULL;
    *code = 0;
    if (stream->at != NULL && stream->left - from >= size)
        found = size == 1 ? memchr(stream->at + from, *delimiter, stream->left - from)
                          : saros_find(stream->at + from, stream->left - from, delimiter, size);
    if (found != NULL && (size_t)(found - stream->at) <= limit) return found - stream->at;
    if (found != NULL || stream->left > limit + back) *code = SAROS_ELIMIT;
    else stream->scanned = stream->left;
    return MORE;
}

static int line(lua_State *L, saros_stream *stream, bool keep_end) {
    int       code;
    ptrdiff_t length = find(stream, "\n", 1, stream->line_limit, &code);
    if (length >= 0) {
        lua_pushlstring(L, stream->at, (size_t)length + keep_end);
        consume(stream, (size_t)length + 1);
        return 1;
    }
    if (code < 0) return limit_reached(L, "line", stream->line_limit);
    if (!stream->ended) return MORE;
    if (stream->left > 0) return push_and_consume(L, stream, stream->left);
    lua_pushnil(L);
    return 1;
}

static int everything(lua_State *L, saros_stream *stream) {
    if (stream->left > stream->all_limit) return limit_reached(L, "read(\"a\")", stream->all_limit);
    if (!stream->ended) return MORE;
    return push_and_consume(L, stream, stream->left);
}

static int bytes(lua_State *L, saros_stream *stream, size_t size) {
    if (stream->left > 0 && stream->left >= size) return push_and_consume(L, stream, size);
    if (!stream->ended) return MORE;
    if (stream->left > 0) return push_and_consume(L, stream, stream->left);
    lua_pushnil(L);
    return 1;
}

/* A numeral is read as Lua's io reads one: the longest prefix that may be one, and it is gone if it is none. */
typedef struct scan {
    const char *at;
    size_t      left, length;
    bool        too_long;
} scan;

static bool accept(scan *s) {
    s->too_long = s->too_long || s->length == LONGEST_NUMBER;
    if (!s->too_long) s->length++;
    return !s->too_long;
}

static bool either(scan *s, char a, char b) {
    return s->length < s->left && (s->at[s->length] == a || s->at[s->length] == b) && accept(s);
}

static size_t digits(scan *s, bool hex) {
    size_t count = 0;
    while (s->length < s->left) {
        unsigned char c = (unsigned char)s->at[s->length];
        if (!(hex ? isxdigit(c) : isdigit(c)) || !accept(s)) break;
        count++;
    }
    return count;
}

static void numeral(scan *s) {
    size_t count = 0;
    bool   hex = false;
    either(s, '-', '+');
    if (either(s, '0', '0')) {
        hex = either(s, 'x', 'X');
        count = !hex;
    }
    count += digits(s, hex);
    if (either(s, '.', '.')) count += digits(s, hex);
    if (count == 0 || !either(s, hex ? 'p' : 'e', hex ? 'P' : 'E')) return;
    either(s, '-', '+');
    digits(s, false);
}

static int number(lua_State *L, saros_stream *stream) {
    char text[LONGEST_NUMBER + 1];
    while (stream->left > 0 && isspace((unsigned char)*stream->at)) consume(stream, 1);
    scan s = {stream->at, stream->left, 0, false};
    numeral(&s);
    if (s.length == stream->left && !stream->ended) return MORE;
    if (s.length > 0) memcpy(text, stream->at, s.length);
    text[s.length] = 0;
    consume(stream, s.length);
    if (s.too_long || lua_stringtonumber(L, text) == 0) lua_pushnil(L);
    return 1;
}

static int format(lua_State *L, saros_stream *stream, int arg) {
    if (lua_type(L, arg) == LUA_TNUMBER) return bytes(L, stream, (size_t)lua_tointeger(L, arg));
    const char *text = lua_tostring(L, arg);
    switch (*text == '*' ? text[1] : *text) {
    case 'l': return line(L, stream, false);
    case 'L': return line(L, stream, true);
    case 'n': return number(L, stream);
    default: return everything(L, stream);
    }
}

/* ctx: what is wanted; for READ also the format that is next and how many formats there are. */
#define CONTEXT(want, next, formats) ((lua_KContext)(want) | (lua_KContext)(next) << 8 | (lua_KContext)(formats) << 20)

/* Formats are at 2…, results behind them. */
static int read_formats(lua_State *L, saros_stream *stream, lua_KContext *ctx) {
    int next = (int)(*ctx >> 8 & 0xfff), formats = (int)(*ctx >> 20);
    for (; next < formats; next++) {
        int pushed = format(L, stream, 2 + next);
        if (pushed == MORE) {
            *ctx = CONTEXT(READ, next, formats);
            return MORE;
        }
        if (pushed > 1 || lua_isnil(L, -1))
            return lua_gettop(L) - 1 - formats; /* the first failure is the last result */
    }
    return formats;
}

static int attempt(lua_State *L, saros_stream *stream, lua_KContext *ctx) {
    size_t size;
    int    code;
    switch ((enum want)(*ctx & 0xff)) {
    case READ: return read_formats(L, stream, ctx);
    case SOME:
        size = (size_t)lua_tointeger(L, 2);
        if (stream->left > 0) return push_and_consume(L, stream, size < stream->left ? size : stream->left);
        if (!stream->ended) return MORE;
        lua_pushnil(L);
        return 1;
    case EXACTLY:
        size = (size_t)lua_tointeger(L, 2);
        if (stream->left >= size) return push_and_consume(L, stream, size);
        if (!stream->ended) return MORE;
        end_of(L, "read_exactly");
        lua_pushlstring(L, stream->at, stream->left); /* a copy; the next read gets it too */
        return 4;
    default: {
        const char *delimiter = lua_tolstring(L, 2, &size);
        size_t      limit = (size_t)lua_tointeger(L, 3);
        ptrdiff_t   before = find(stream, delimiter, size, limit, &code);
        if (before >= 0) return push_and_consume(L, stream, (size_t)before + size);
        if (code < 0) return limit_reached(L, "read_until", limit);
        return stream->ended ? end_of(L, "read_until") : MORE;
    }
    }
}

/* ---- receive until it is enough ------------------------------------------------------------------------------- */

static int received(lua_State *L, int status, lua_KContext ctx);

static int pump(lua_State *L, saros_stream *stream, saros_task *task, lua_KContext ctx, bool at_hand) {
    int pushed = attempt(L, stream, &ctx);
    if (pushed == MORE && stream->error < 0) {
        give_back(stream);
        pushed = saros_fail(L, stream->error, "read: %s", saros_stream_why(stream, stream->error));
    }
    bool too_late = pushed == MORE && !at_hand && saros_is_cancelled(task); /* for the receive that has just ended */
    if (too_late) give_back(stream);
    if (pushed != MORE) stream->taken = 0;
    settle(L, stream);
    if (too_late) return saros_raise_cancelled(L, task);
    if (pushed != MORE) return at_hand ? saros_answer(L, task, pushed) : pushed;
    stream->reader = task;
    if (stream->layer != NULL && stream->layer->receive != NULL) {
        stream->layer->receive(stream, task);
    } else {
        task->op.kind = SAROS_OP_RECV;
        task->op.handle = &stream->handle;
        task->op.buffer = NULL; /* lent */
        saros_submit(task->rt->loop, &task->op);
    }
    return saros_suspend(L, task, ctx, received);
}

/* Something has come, or the end, or an error. */
static void arrive(saros_stream *stream, int64_t result) {
    if (stream->layer != NULL) stream->layer->received(stream, result);
    else if (result == 0) stream->ended = true;
    else if (result < 0) stream->error = (int)result;
    else if (!saros_stream_feed(stream, saros_lent(stream->rt->loop), (size_t)result)) stream->error = SAROS_ENOMEM;
}

static int received(lua_State *L, int status, lua_KContext ctx) {
    saros_stream *stream = lua_touserdata(L, 1);
    saros_task   *task = saros_resumed_raw(L);
    int64_t       result = task->op.result;
    (void)status;
    if (stream->reader == task) stream->reader = NULL;
    if (stream->rt == NULL || result == SAROS_ECLOSED) return saros_closed(L);
    if (result == SAROS_ECANCELED) {
        give_back(stream);
        saros_resumed(L, &result);
        return saros_closed(L);
    }
    arrive(stream, result);
    if (stream->error == SAROS_ENOMEM) return luaL_error(L, "stream: not enough memory for what was received");
    return pump(L, stream, task, ctx, false);
}

void saros_streams_forget(saros_task *task) {
    for (saros_stream *stream = task->rt->streams; stream != NULL; stream = stream->next) {
        saros_stream_pass_on(stream, task);
        if (stream->reader != task) continue;
        int64_t got = task->op.result;
        stream->reader = NULL;
        give_back(stream);
        if (got < 0) continue;
        arrive(stream, got);
        if (stream->error != SAROS_ENOMEM && (!stream->lent || own(stream, 0))) continue;
        stream->error = SAROS_ENOMEM;
        stream->left = stream->taken = 0;
    }
}

static int start(lua_State *L, saros_stream *stream, lua_KContext ctx, const char *what) {
    saros_task *task = saros_begin(L, what);
    if (stream->rt == NULL) return saros_closed(L);
    if (stream->reader != NULL) return saros_fail(L, SAROS_EBUSY, "%s: another task is reading this stream", what);
    if (stream->rt != task->rt) return luaL_error(L, "%s: the stream belongs to another loop", what);
    if (stream->lent) { /* memory ran out in the middle of the last call: what it was lent is gone by now */
        stream->error = SAROS_ENOMEM;
        saros_stream_forget_buffer(stream);
    }
    give_back(stream); /* where memory ran out in the middle of the last call; and it looked for something else */
    return pump(L, stream, task, ctx, true);
}

/* ---- the methods ---------------------------------------------------------------------------------------------- */

/* Formats from 2 on; none is "l". Bad ones raise before anything is read. */
static int check_formats(lua_State *L, int first) {
    if (lua_gettop(L) < first) lua_pushliteral(L, "l");
    int top = lua_gettop(L);
    luaL_argcheck(L, top - first < 250, first, "too many formats");
    for (int arg = first; arg <= top; arg++) {
        if (lua_type(L, arg) == LUA_TNUMBER) {
            luaL_argcheck(L, luaL_checkinteger(L, arg) >= 0, arg, "0 bytes or more expected");
        } else {
            const char *text = luaL_checkstring(L, arg);
            if (*text == '*') text++;
            luaL_argcheck(L, *text != 0 && strchr("nlLa", *text) != NULL, arg, "invalid format");
        }
    }
    return top - first + 1;
}

static int method_read(lua_State *L) {
    saros_stream *stream = saros_check_stream(L);
    int           formats = check_formats(L, 2);
    return start(L, stream, CONTEXT(READ, 0, formats), "read");
}

static int method_read_some(lua_State *L) {
    saros_stream *stream = saros_check_stream(L);
    lua_Integer   size = luaL_optinteger(L, 2, LUA_MAXINTEGER);
    luaL_argcheck(L, size > 0, 2, "1 byte or more expected");
    lua_settop(L, 1);
    lua_pushinteger(L, size);
    return start(L, stream, CONTEXT(SOME, 0, 0), "read_some");
}

static int method_read_exactly(lua_State *L) {
    saros_stream *stream = saros_check_stream(L);
    lua_Integer   size = luaL_checkinteger(L, 2);
    luaL_argcheck(L, size >= 0, 2, "0 bytes or more expected");
    lua_settop(L, 1);
    lua_pushinteger(L, size);
    return start(L, stream, CONTEXT(EXACTLY, 0, 0), "read_exactly");
}

static int method_read_until(lua_State *L) {
    size_t        size;
    saros_stream *stream = saros_check_stream(L);
    luaL_checklstring(L, 2, &size);
    luaL_argcheck(L, size > 0, 2, "an empty delimiter");
    lua_Integer limit = luaL_optinteger(L, 3, (lua_Integer)stream->line_limit);
    luaL_argcheck(L, limit >= 0, 3, "0 bytes or more expected");
    lua_settop(L, 2);
    lua_tostring(L, 2);
    lua_pushinteger(L, limit);
    return start(L, stream, CONTEXT(UNTIL, 0, 0), "read_until");
}

/* The iterator of lines: upvalues 2 the stream, 3 how many formats, 4… the formats. */
static int next_line_k(lua_State *L, int status, lua_KContext ctx) {
    (void)status, (void)ctx;
    if (!lua_isnil(L, 1) || lua_gettop(L) < 3) return lua_gettop(L);
    return saros_raise_returned(L, 2, 3); /* as io.lines: anything but a clean end is raised */
}

static int next_line(lua_State *L) {
    int formats = (int)lua_tointeger(L, lua_upvalueindex(3));
    lua_settop(L, 0);
    luaL_checkstack(L, formats + 4, "too many formats");
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_pushcclosure(L, method_read, 1);
    lua_pushvalue(L, lua_upvalueindex(2));
    for (int i = 1; i <= formats; i++) lua_pushvalue(L, lua_upvalueindex(3 + i));
    lua_callk(L, formats + 1, LUA_MULTRET, 0, next_line_k);
    return next_line_k(L, LUA_OK, 0);
}

static int method_lines(lua_State *L) {
    saros_check_stream(L);
    int formats = check_formats(L, 2);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_pushinteger(L, formats);
    lua_insert(L, 3);
    lua_pushcclosure(L, next_line, formats + 3);
    return 1;
}

const luaL_Reg saros_read_methods[] = {{"read", method_read},
                                       {"read_some", method_read_some},
                                       {"read_exactly", method_read_exactly},
                                       {"read_until", method_read_until},
                                       {"lines", method_lines},
                                       {NULL, NULL}};
