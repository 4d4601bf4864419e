/* parts.c: see parts.h.
 *
 * Joining costs a copy, and pieces cost a place in a table each and a dearer call: what is short is joined.
 * Promises: lists are read raw, before anybody else runs, so what becomes of them later changes nothing. The one who may
 * run all the same is a finalizer, when memory is asked for: where it has changed something that is an error. */
#include <string.h>

#include "bindings/lua/streams/parts.h"

enum {
    JOINED = 16 * 1024, /* bytes that are always joined */
    MOST_VALUES = 1000  /* pieces whose strings are user values; of more, they are in a table */
};

/* The bytes of the value at index; NULL: it has none. A number is made a string there. */
static const char *bytes_at(lua_State *L, int index, size_t *size) {
    const saros_buffer *buffer;
    if (lua_type(L, index) == LUA_TSTRING || lua_type(L, index) == LUA_TNUMBER) return lua_tolstring(L, index, size);
    if ((buffer = saros_test_buffer(L, index)) == NULL) return NULL;
    *size = buffer->size;
    return buffer->data;
}

static void check_list(lua_State *L, int arg, size_t *count, size_t *total) {
    lua_Integer length = (lua_Integer)lua_rawlen(L, arg);
    for (lua_Integer i = 1; i <= length; i++) {
        size_t size;
        lua_rawgeti(L, arg, i);
        if (bytes_at(L, -1, &size) == NULL)
            luaL_argerror(L, arg,
                          lua_pushfstring(L, "string expected in the list at %I, got %s", i, luaL_typename(L, -1)));
        if (size > 0) ++*count;
        *total += size;
        lua_pop(L, 1);
    }
}

/* How many pieces that are not empty there are, and how many bytes. Raises on what cannot be written. */
static size_t check_all(lua_State *L, size_t *total) {
    size_t count = 0, size;
    int    top = lua_gettop(L);
    *total = 0;
    for (int arg = 2; arg <= top; arg++) {
        if (lua_type(L, arg) == LUA_TTABLE) {
            check_list(L, arg, &count, total);
            continue;
        }
        if (bytes_at(L, arg, &size) == NULL) luaL_checklstring(L, arg, &size); /* raises */
        if (size > 0) count++;
        *total += size;
    }
    return count;
}

/* Calls take with each value in turn on top, which it pops. */
static void each(lua_State *L, int top, void (*take)(lua_State *L, void *with), void *with) {
    for (int arg = 2; arg <= top; arg++) {
        lua_Integer length = lua_type(L, arg) == LUA_TTABLE ? (lua_Integer)lua_rawlen(L, arg) : 0;
        if (lua_type(L, arg) != LUA_TTABLE) {
            lua_pushvalue(L, arg);
            take(L, with);
        }
        for (lua_Integer i = 1; i <= length; i++) {
            lua_rawgeti(L, arg, i);
            take(L, with);
        }
    }
}

static int changed(lua_State *L) { return luaL_error(L, "what is written was changed by a finalizer"); }

/* Room for what was counted. */
typedef struct space {
    char  *to;
    size_t left;
} space;

static void put(lua_State *L, void *with) {
    size_t      size = 0;
    const char *bytes = bytes_at(L, -1, &size);
    space      *rest = with;
    if (bytes == NULL || size > rest->left) changed(L);
    if (size > 0) memcpy(rest->to, bytes, size);
    rest->to += size;
    rest->left -= size;
    lua_pop(L, 1);
}

static void join(lua_State *L, int top, size_t total) {
    luaL_Buffer buffer;
    space       rest = {luaL_buffinitsize(L, &buffer, total), total};
    each(L, top, put, &rest);
    if (rest.left > 0) changed(L);
    luaL_pushresultsize(&buffer, total);
}

/* The parts are on the stack below what is to be added, and below them is the table, where there is one. What is counted
 * down are their bytes and places. */
typedef struct places {
    saros_parts *parts;
    size_t       left, total;
} places;

static void add(lua_State *L, void *with) {
    places     *rest = with;
    size_t      size = 0;
    const char *bytes = bytes_at(L, -1, &size);
    if (bytes == NULL || size > rest->total || (size > 0 && rest->left == 0)) changed(L);
    if (size == 0) {
        lua_pop(L, 1);
        return;
    }
    saros_parts *parts = rest->parts;
    parts->pieces[parts->count] = (saros_piece){bytes, size};
    rest->total -= size;
    rest->left--;
    int slot = (int)++parts->count;
    if (lua_type(L, -3) == LUA_TTABLE) lua_rawseti(L, -3, slot);
    else lua_setiuservalue(L, -2, slot);
}

static void gather(lua_State *L, int top, size_t count, size_t total) {
    bool table = count > MOST_VALUES;
    if (table) lua_createtable(L, count < INT32_MAX ? (int)count : 0, 0);
    else lua_pushnil(L);
    saros_parts *parts = lua_newuserdatauv(L, sizeof *parts + count * sizeof *parts->pieces, table ? 1 : (int)count);
    *parts = (saros_parts){.total = total};
    places rest = {parts, count, total};
    each(L, top, add, &rest);
    if (rest.total > 0) changed(L);
    if (!table) return;
    lua_pushvalue(L, -2);
    lua_setiuservalue(L, -2, 1);
}

size_t saros_parts_take(lua_State *L, bool joined) {
    size_t total;
    int    top = lua_gettop(L);
    if (top == 2 && bytes_at(L, 2, &total) != NULL) return total; /* as nearly always */
    size_t count = check_all(L, &total);
    luaL_checkstack(L, 8, "write");
    if (joined || total <= JOINED || count == 1) join(L, top, total);
    else gather(L, top, count, total);
    lua_insert(L, 2);
    lua_settop(L, 2);
    return total;
}

void saros_join_strings(lua_State *L) {
    saros_parts_take(L, true);
    if (lua_type(L, 2) == LUA_TSTRING) return;
    const saros_buffer *buffer = lua_touserdata(L, 2);
    lua_pushlstring(L, buffer->data, buffer->size);
    lua_replace(L, 2);
}

const char *saros_parts_bytes(lua_State *L, size_t *size) { return bytes_at(L, 2, size); }

void saros_parts_advance(saros_parts *parts, size_t sent) {
    while (sent > 0) {
        saros_piece *piece = &parts->pieces[parts->next];
        size_t       now = sent < piece->size ? sent : piece->size;
        piece->data = (const char *)piece->data + now;
        piece->size -= now;
        sent -= now;
        if (piece->size == 0) parts->next++;
    }
}
