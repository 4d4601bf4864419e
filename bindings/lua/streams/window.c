/* window.c: what was received and not yet read, and the formats by which it is read.
 *
 * Owns the bytes: they stand in one piece at window->at, either where they were received (lent) or in a buffer of the
 * window's own, which exists only while something is left over. So a reader that takes all it gets costs neither a copy
 * nor a buffer. Knows nothing of where they come from: a stream's driver, a file, …
 * Promises: an attempt that says SAROS_NOT_ENOUGH has changed nothing that saros_window_give_back does not undo. */
#include <ctype.h>
#include <string.h>

#include "bindings/lua/streams/buffer.h"
#include "bindings/lua/streams/window.h"

/* What a reading call wants; the first bits of its context. */
enum want { READ, SOME, EXACTLY, UNTIL };
enum { LONGEST_NUMBER = 200 /* as in Lua's io */ };

/* ---- the window ----------------------------------------------------------------------------------------------- */

static void free_block(saros_loop *loop, saros_window_block *block) {
    if (block != NULL) saros_realloc(loop, block, sizeof *block + block->room, 0);
}

void saros_window_forget(saros_loop *loop, saros_window *window) {
    free_block(loop, window->own);
    window->own = NULL;
    window->at = NULL;
    window->left = window->taken = window->scanned = 0;
    window->lent = false;
}

bool saros_window_own(saros_loop *loop, saros_window *window, size_t more) {
    const char *from = window->left + window->taken > 0 ? window->at - window->taken : NULL;
    size_t      kept = window->left + window->taken, need = kept + more;
    if (kept == 0 && more == 0 && window->own == NULL) {
        window->at = NULL;
        window->lent = false;
        return true;
    }
    if (window->own == NULL || need > window->own->room) {
        size_t room = window->own != NULL ? window->own->room : 512;
        while (room < need) room *= 2;
        saros_window_block *block = saros_realloc(loop, NULL, 0, sizeof *block + room);
        if (block == NULL) return false;
        block->room = room;
        if (kept > 0) memcpy(block->data, from, kept);
        free_block(loop, window->own);
        window->own = block;
    } else if (kept > 0) {
        memmove(window->own->data, from, kept);
    }
    window->at = window->own->data + window->taken;
    window->lent = false;
    return true;
}

bool saros_window_feed(saros_loop *loop, saros_window *window, const char *bytes, size_t size) {
    if (window->left + window->taken == 0) {
        window->at = bytes;
        window->left = size;
        window->lent = true;
        return true;
    }
    if (!saros_window_own(loop, window, size)) return false;
    memcpy(window->own->data + window->taken + window->left, bytes, size);
    window->left += size;
    return true;
}

static void consume(saros_window *window, size_t size) {
    window->at += size;
    window->left -= size;
    window->taken += size;
    window->scanned = 0;
}

void saros_window_give_back(saros_window *window) {
    window->at -= window->taken;
    window->left += window->taken;
    window->taken = window->scanned = 0;
}

static int push_and_consume(lua_State *L, saros_window *window, size_t size) {
    lua_pushlstring(L, window->at, size);
    consume(window, size);
    return 1;
}

/* ---- one attempt ---------------------------------------------------------------------------------------------- */

static int limit_reached(lua_State *L, const char *what, size_t limit) {
    return saros_fail(L, SAROS_ELIMIT, "%s: longer than %zu bytes", what, limit);
}

static int end_of(lua_State *L, const char *what) {
    return saros_fail(L, SAROS_EEOF, "%s: the stream has ended before", what);
}

/* What there is before the delimiter, as a length; or SAROS_NOT_ENOUGH with *code 0, or with the error. */
static ptrdiff_t find(saros_window *window, const char *delimiter, size_t size, size_t limit, int *code) {
    size_t      back = size - 1; /* the delimiter may have begun in what was scanned */
    size_t      from = window->scanned > back ? window->scanned - back : 0;
    const char *found = NULL;
    *code = 0;
    if (window->at != NULL && window->left - from >= size)
        found = size == 1 ? memchr(window->at + from, *delimiter, window->left - from)
                          : saros_find(window->at + from, window->left - from, delimiter, size);
    if (found != NULL && (size_t)(found - window->at) <= limit) return found - window->at;
    if (found != NULL || window->left > limit + back) *code = SAROS_ELIMIT;
    else window->scanned = window->left;
    return SAROS_NOT_ENOUGH;
}

static int line(lua_State *L, saros_window *window, bool keep_end) {
    int       code;
    ptrdiff_t length = find(window, "\n", 1, window->line_limit, &code);
    if (length >= 0) {
        lua_pushlstring(L, window->at, (size_t)length + keep_end);
        consume(window, (size_t)length + 1);
        return 1;
    }
    if (code < 0) return limit_reached(L, "line", window->line_limit);
    if (!window->ended) return SAROS_NOT_ENOUGH;
    if (window->left > 0) return push_and_consume(L, window, window->left);
    lua_pushnil(L);
    return 1;
}

static int everything(lua_State *L, saros_window *window) {
    if (window->left > window->all_limit) return limit_reached(L, "read(\"a\")", window->all_limit);
    if (!window->ended) return SAROS_NOT_ENOUGH;
    return push_and_consume(L, window, window->left);
}

static int bytes(lua_State *L, saros_window *window, size_t size) {
    if (window->left > 0 && window->left >= size) return push_and_consume(L, window, size);
    if (!window->ended) return SAROS_NOT_ENOUGH;
    if (window->left > 0) return push_and_consume(L, window, window->left);
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

/* What is before it is scanned once, and only as far as a line may be long. */
static int number(lua_State *L, saros_window *window) {
    char   text[LONGEST_NUMBER + 1];
    size_t blank = window->scanned;
    while (blank < window->left && isspace((unsigned char)window->at[blank])) blank++;
    if (blank > window->line_limit) return limit_reached(L, "read(\"n\")", window->line_limit);
    scan s = {window->left > 0 ? window->at + blank : NULL, window->left - blank, 0, false};
    numeral(&s);
    window->scanned = blank;
    if (s.length == s.left && !window->ended) return SAROS_NOT_ENOUGH;
    if (s.length > 0) memcpy(text, s.at, s.length);
    text[s.length] = 0;
    consume(window, blank + s.length);
    if (s.too_long || lua_stringtonumber(L, text) == 0) lua_pushnil(L);
    return 1;
}

static int format(lua_State *L, saros_window *window, int arg) {
    if (lua_type(L, arg) == LUA_TNUMBER) return bytes(L, window, (size_t)lua_tointeger(L, arg));
    const char *text = lua_tostring(L, arg);
    switch (*text == '*' ? text[1] : *text) {
    case 'l': return line(L, window, false);
    case 'L': return line(L, window, true);
    case 'n': return number(L, window);
    default: return everything(L, window);
    }
}

/* For READ also the format that is next and how many formats there are. */
#define CONTEXT(want, next, formats) ((lua_KContext)(want) | (lua_KContext)(next) << 8 | (lua_KContext)(formats) << 20)

/* Formats are at 2…, results behind them. */
static int read_formats(lua_State *L, saros_window *window, lua_KContext *ctx) {
    int next = (int)(*ctx >> 8 & 0xfff), formats = (int)(*ctx >> 20);
    for (; next < formats; next++) {
        int pushed = format(L, window, 2 + next);
        if (pushed == SAROS_NOT_ENOUGH) {
            *ctx = CONTEXT(READ, next, formats);
            return SAROS_NOT_ENOUGH;
        }
        if (pushed > 1 || lua_isnil(L, -1))
            return lua_gettop(L) - 1 - formats; /* the first failure is the last result */
    }
    return formats;
}

/* What there is, as much as the buffer at 2 has room for, in place of what was in it. */
static int into_buffer(lua_State *L, saros_window *window) {
    saros_buffer *buffer = lua_touserdata(L, 2);
    if (window->left == 0 && !window->ended) return SAROS_NOT_ENOUGH;
    buffer->size = window->left < buffer->room ? window->left : buffer->room;
    if (buffer->size == 0) {
        lua_pushnil(L);
        return 1;
    }
    memcpy(buffer->data, window->at, buffer->size);
    consume(window, buffer->size);
    lua_pushinteger(L, (lua_Integer)buffer->size);
    return 1;
}

int saros_window_attempt(lua_State *L, saros_window *window, lua_KContext *ctx) {
    size_t size;
    int    code;
    switch ((enum want)(*ctx & 0xff)) {
    case READ: return read_formats(L, window, ctx);
    case SOME:
        if (lua_type(L, 2) == LUA_TUSERDATA) return into_buffer(L, window);
        size = (size_t)lua_tointeger(L, 2);
        if (window->left > 0) return push_and_consume(L, window, size < window->left ? size : window->left);
        if (!window->ended) return SAROS_NOT_ENOUGH;
        lua_pushnil(L);
        return 1;
    case EXACTLY:
        size = (size_t)lua_tointeger(L, 2);
        if (window->left >= size) return push_and_consume(L, window, size);
        if (!window->ended) return SAROS_NOT_ENOUGH;
        end_of(L, "read_exactly");
        lua_pushlstring(L, window->at, window->left); /* a copy; the next read gets it too */
        return 4;
    default: {
        const char *delimiter = lua_tolstring(L, 2, &size);
        size_t      limit = (size_t)lua_tointeger(L, 3);
        ptrdiff_t   before = find(window, delimiter, size, limit, &code);
        if (before >= 0) return push_and_consume(L, window, (size_t)before + size);
        if (code < 0) return limit_reached(L, "read_until", limit);
        return window->ended ? end_of(L, "read_until") : SAROS_NOT_ENOUGH;
    }
    }
}

/* ---- arguments and lines -------------------------------------------------------------------------------------- */

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

lua_KContext saros_read_arguments(lua_State *L) { return CONTEXT(READ, 0, check_formats(L, 2)); }

lua_KContext saros_read_some_arguments(lua_State *L) {
    if (saros_test_buffer(L, 2) != NULL) {
        lua_settop(L, 2);
        return CONTEXT(SOME, 0, 0);
    }
    lua_Integer size = luaL_optinteger(L, 2, LUA_MAXINTEGER);
    luaL_argcheck(L, size > 0, 2, "1 byte or more expected");
    lua_settop(L, 1);
    lua_pushinteger(L, size);
    return CONTEXT(SOME, 0, 0);
}

lua_KContext saros_read_exactly_arguments(lua_State *L) {
    lua_Integer size = luaL_checkinteger(L, 2);
    luaL_argcheck(L, size >= 0, 2, "0 bytes or more expected");
    lua_settop(L, 1);
    lua_pushinteger(L, size);
    return CONTEXT(EXACTLY, 0, 0);
}

lua_KContext saros_read_until_arguments(lua_State *L, size_t limit_otherwise) {
    size_t size;
    luaL_checklstring(L, 2, &size);
    luaL_argcheck(L, size > 0, 2, "an empty delimiter");
    lua_Integer limit = luaL_optinteger(L, 3, (lua_Integer)limit_otherwise);
    luaL_argcheck(L, limit >= 0, 3, "0 bytes or more expected");
    lua_settop(L, 2);
    lua_tostring(L, 2);
    lua_pushinteger(L, limit);
    return CONTEXT(UNTIL, 0, 0);
}

/* The iterator of lines: upvalues 1 the method that reads, 2 what it reads, 3 how many formats, 4… the formats. */
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
    lua_pushvalue(L, lua_upvalueindex(2));
    for (int i = 1; i <= formats; i++) lua_pushvalue(L, lua_upvalueindex(3 + i));
    lua_callk(L, formats + 1, LUA_MULTRET, 0, next_line_k);
    return next_line_k(L, LUA_OK, 0);
}

int saros_read_lines(lua_State *L, lua_CFunction read) {
    int formats = check_formats(L, 2);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_pushcclosure(L, read, 1);
    lua_insert(L, 1);
    lua_pushinteger(L, formats);
    lua_insert(L, 3);
    lua_pushcclosure(L, next_line, formats + 3);
    return 1;
}
