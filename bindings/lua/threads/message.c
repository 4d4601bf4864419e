/* message.c: values on their way from one Lua state to another: nil, booleans, numbers, strings, tables of these, ends of
 * channels.
 *
 * A message is one block. First the values, then what is in each table, in the order in which the tables were met, which
 * is their number: so a table is written once, wherever else it stands, and no depth needs any stack, of C or of Lua.
 * In a table its list comes first, without keys, then the rest in pairs.
 *
 * Promises: what cannot cross is refused before anything is sent, and the error names the way to it. What a table's
 * metamethods would do is not asked: one that has a metatable is refused. */
#include <stdlib.h>
#include <string.h>

#include "bindings/lua/threads/threads.h"

enum tag {
    TAG_NIL,
    TAG_FALSE,
    TAG_TRUE,
    TAG_INTEGER,
    TAG_FLOAT,
    TAG_STRING,
    TAG_NEW,
    TAG_AGAIN,
    TAG_RECEIVER,
    TAG_SENDER
};

/* Behind TAG_RECEIVER and TAG_SENDER: */
typedef struct end_record {
    saros_wire *wire;   /* NULL: somebody has it */
    uint32_t    before; /* the end before this one, as in saros_message.end */
    bool        sender;
} end_record;

static char *bytes_of(saros_message *message) { return (char *)(message + 1); }

/* ---- packing ---------------------------------------------------------------------------------------------------- */

typedef struct packer {
    saros_message *message;
    size_t         room;
    const char    *noun;
    int            count, skip;
    uint32_t       inside; /* the number of the table that is being written; 0: none */
} packer;

/* The stack of pack(): */
enum { AT_PACKER = 1, AT_SEEN, AT_ORDER, AT_ENDS, AT_VALUES };

static void put(lua_State *L, packer *p, const void *data, size_t size) {
    saros_message *message = p->message;
    if (size > SAROS_LARGEST_MESSAGE || message->size + size > SAROS_LARGEST_MESSAGE)
        luaL_error(L, "more than %d MiB at once cannot cross threads", SAROS_LARGEST_MESSAGE >> 20);
    if (message->size + size > p->room) {
        size_t room = 2 * p->room > message->size + size ? 2 * p->room : message->size + size;
        message = realloc(message, sizeof *message + room);
        if (message == NULL) luaL_error(L, "not enough memory");
        p->message = message;
        p->room = room;
    }
    memcpy(bytes_of(message) + message->size, data, size);
    message->size += size;
}

static void put_tag(lua_State *L, packer *p, enum tag tag) { put(L, p, &(uint8_t){(uint8_t)tag}, 1); }

static void put_count(lua_State *L, packer *p, uint32_t count) { put(L, p, &count, sizeof count); }

/* Room for a count that is not known yet; where it is. */
static size_t put_blank(lua_State *L, packer *p) {
    size_t at = p->message->size;
    put_count(L, p, 0);
    return at;
}

static void fill_blank(const packer *p, size_t at, uint32_t count) {
    memcpy(bytes_of(p->message) + at, &count, sizeof count);
}

/* ---- what cannot cross ------------------------------------------------------------------------------------------ */

static void push_step(lua_State *L, int key) {
    if (lua_type(L, key) == LUA_TSTRING) lua_pushfstring(L, ", field '%s'", lua_tostring(L, key));
    else if (lua_isinteger(L, key)) lua_pushfstring(L, ", field %I", lua_tointeger(L, key));
    else lua_pushfstring(L, ", a field with a %s as its key", luaL_typename(L, key));
}

/* Is the table on top in the one at index? Then its key is pushed above it. */
static bool find_in(lua_State *L, int index) {
    int wanted = lua_gettop(L);
    for (lua_pushnil(L); lua_next(L, index) != 0; lua_pop(L, 1)) {
        if (!lua_rawequal(L, -1, wanted) && !lua_rawequal(L, -2, wanted)) continue;
        lua_pop(L, 1);
        return true;
    }
    return false;
}

/* Which of the values is the one on top? 0: none. */
static int find_value(lua_State *L, const packer *p) {
    for (int i = 0; i < p->count; i++)
        if (lua_rawequal(L, AT_VALUES + i, -1)) return i + 1;
    return 0;
}

static void push_root(lua_State *L, const packer *p, int value) {
    if (p->noun != NULL) lua_pushfstring(L, "%s %d", p->noun, value - p->skip);
    else lua_pushliteral(L, "the value");
}

/* Raises: what stands under the key at index `key` cannot cross; or, outside of tables, the value number -key. The way to
 * it is looked for only here: each table was first met in one with a lower number, or among the values. */
__attribute__((noreturn)) static void refuse(lua_State *L, const packer *p, int key, const char *why) {
    enum { MOST_STEPS = 8 };
    luaL_checkstack(L, 4 * MOST_STEPS + 16, why);
    if (key < 0) {
        push_root(L, p, -key);
        lua_pushfstring(L, "%s: %s", lua_tostring(L, -1), why);
        lua_error(L);
    }
    push_step(L, key);
    int way = lua_gettop(L), value = 0;
    lua_rawgeti(L, AT_ORDER, p->inside);
    lua_Integer number = p->inside;
    for (int steps = 0; steps < MOST_STEPS && (value = find_value(L, p)) == 0; steps++) {
        bool found = false;
        for (lua_Integer i = 1; i < number && !found; i++) {
            if (lua_rawgeti(L, AT_ORDER, i) == LUA_TTABLE) {
                lua_pushvalue(L, -2);
                if ((found = find_in(L, lua_gettop(L) - 1))) {
                    push_step(L, lua_gettop(L));
                    lua_pushvalue(L, way);
                    lua_concat(L, 2);
                    lua_replace(L, way);
                    lua_rawgeti(L, AT_ORDER, number = i);
                    lua_replace(L, way + 1);
                }
            }
            lua_settop(L, way + 1);
        }
    }
    if (value > 0) push_root(L, p, value);
    else lua_pushliteral(L, "…");
    lua_pushfstring(L, "%s%s: %s", lua_tostring(L, -1), lua_tostring(L, way), why);
    lua_error(L);
}

/* ---- values ----------------------------------------------------------------------------------------------------- */

/* The object at index, if it was met already; else it has a number now. */
static bool met(lua_State *L, packer *p, int index) {
    lua_pushvalue(L, index);
    if (lua_rawget(L, AT_SEEN) != LUA_TNIL) {
        put_tag(L, p, TAG_AGAIN);
        put_count(L, p, (uint32_t)lua_tointeger(L, -1));
        lua_pop(L, 1);
        return true;
    }
    lua_pop(L, 1);
    uint32_t number = ++p->message->objects;
    lua_pushvalue(L, index);
    lua_pushinteger(L, number);
    lua_rawset(L, AT_SEEN);
    lua_pushvalue(L, index);
    lua_rawseti(L, AT_ORDER, number);
    return false;
}

static void put_end(lua_State *L, packer *p, int index, const saros_end *end) {
    if (met(L, p, index)) return;
    if (lua_isnil(L, AT_ENDS)) {
        lua_newtable(L);
        lua_replace(L, AT_ENDS);
    }
    lua_pushvalue(L, index);
    lua_rawseti(L, AT_ENDS, (lua_Integer)lua_rawlen(L, AT_ENDS) + 1);
    end_record record = {.wire = end->wire, .before = p->message->end, .sender = end->sender};
    put_tag(L, p, end->sender ? TAG_SENDER : TAG_RECEIVER);
    uint32_t at = (uint32_t)p->message->size + 1;
    put(L, p, &record, sizeof record);
    p->message->end = at; /* from here on it is the message's to close */
    saros_wire_keep(end->wire);
    saros_wire_open_end(end->wire, end->sender);
}

static const char *type_name(lua_State *L, int index) {
    int type = lua_type(L, index);
    if (type == LUA_TUSERDATA && luaL_getmetafield(L, index, "__name") == LUA_TSTRING) return lua_tostring(L, -1);
    return type == LUA_TTHREAD ? "coroutine" : lua_typename(L, type);
}

/* key: as in refuse(). */
static void put_value(lua_State *L, packer *p, int index, int key) {
    size_t           length;
    const saros_end *end;
    switch (lua_type(L, index)) {
    case LUA_TNIL: put_tag(L, p, TAG_NIL); return;
    case LUA_TBOOLEAN: put_tag(L, p, lua_toboolean(L, index) ? TAG_TRUE : TAG_FALSE); return;
    case LUA_TNUMBER:
        put_tag(L, p, lua_isinteger(L, index) ? TAG_INTEGER : TAG_FLOAT);
        if (lua_isinteger(L, index)) put(L, p, &(lua_Integer){lua_tointeger(L, index)}, sizeof(lua_Integer));
        else put(L, p, &(lua_Number){lua_tonumber(L, index)}, sizeof(lua_Number));
        return;
    case LUA_TSTRING: {
        const char *text = lua_tolstring(L, index, &length);
        put_tag(L, p, TAG_STRING);
        put(L, p, &length, sizeof length);
        put(L, p, text, length);
        return;
    }
    case LUA_TTABLE:
        if (lua_getmetatable(L, index)) refuse(L, p, key, "a table with a metatable cannot cross threads");
        if (!met(L, p, index)) put_tag(L, p, TAG_NEW);
        return;
    default: break;
    }
    if ((end = saros_end_at(L, index)) == NULL) {
        lua_pushfstring(L, "a %s cannot cross threads", type_name(L, index));
        refuse(L, p, key, lua_tostring(L, -1));
    }
    if (end->closed)
        refuse(L, p, key,
               end->sent ? "this end of a channel has been sent already (send a clone)"
                         : "this end of a channel is closed");
    put_end(L, p, index, end);
}

/* What is in the table on top. */
static void put_contents(lua_State *L, packer *p) {
    int      table = lua_gettop(L);
    uint32_t count = 0, pairs = 0;
    size_t   blank = put_blank(L, p);
    while (lua_rawgeti(L, table, (lua_Integer)count + 1) != LUA_TNIL) {
        lua_pushinteger(L, (lua_Integer)++count);
        put_value(L, p, table + 1, table + 2);
        lua_settop(L, table);
    }
    lua_settop(L, table);
    fill_blank(p, blank, count);
    blank = put_blank(L, p);
    for (lua_pushnil(L); lua_next(L, table) != 0; lua_settop(L, table + 1)) {
        if (lua_isinteger(L, table + 1) && (lua_Unsigned)lua_tointeger(L, table + 1) - 1 < count) continue;
        put_value(L, p, table + 1, table + 1);
        put_value(L, p, table + 2, table + 1);
        pairs++;
    }
    fill_blank(p, blank, pairs);
}

/* protected: light userdata: the packer; then the values -> the ends, or nil */
static int pack(lua_State *L) {
    packer *p = lua_touserdata(L, AT_PACKER);
    luaL_checkstack(L, 16, "too many values");
    lua_pushnil(L);
    lua_insert(L, AT_SEEN);
    lua_newtable(L);
    lua_insert(L, AT_SEEN);
    lua_newtable(L);
    lua_insert(L, AT_ORDER);
    for (int i = 0; i < p->count; i++) put_value(L, p, AT_VALUES + i, -(i + 1));
    for (p->inside = 1; p->inside <= p->message->objects; p->inside++) {
        if (lua_rawgeti(L, AT_ORDER, p->inside) == LUA_TTABLE) put_contents(L, p);
        lua_pop(L, 1);
    }
    lua_settop(L, AT_ENDS);
    return 1;
}

saros_message *saros_pack(lua_State *L, int first, int count, const char *what, const char *noun, int skip) {
    packer p = {.noun = noun, .count = count, .skip = skip, .room = 64};
    luaL_checkstack(L, count + 8, what);
    p.message = malloc(sizeof *p.message + p.room);
    if (p.message == NULL) luaL_error(L, "%s: not enough memory", what);
    *p.message = (saros_message){.values = (uint32_t)count};
    lua_pushcfunction(L, pack);
    lua_pushlightuserdata(L, &p);
    for (int i = 0; i < count; i++) lua_pushvalue(L, first + i);
    if (lua_pcall(L, count + 1, 1, 0) == LUA_OK) return p.message;
    saros_messages_free(p.message);
    bool placed = saros_push_place(L);
    lua_pushfstring(L, "%s%s%s: %s", placed ? lua_tostring(L, -1) : "", placed ? ": " : "", what, lua_tostring(L, -2));
    lua_error(L);
    return NULL;
}

/* ---- unpacking -------------------------------------------------------------------------------------------------- */

typedef struct unpacker {
    saros_message *message;
    size_t         at;
    int            objects; /* the index of the list of those that were made, … */
    lua_Integer    made;    /* … and how many they are */
} unpacker;

static void get(unpacker *u, void *data, size_t size) {
    memcpy(data, bytes_of(u->message) + u->at, size);
    u->at += size;
}

static uint32_t get_count(unpacker *u) {
    uint32_t count;
    get(u, &count, sizeof count);
    return count;
}

/* The table or end on top is the next in number. */
static void keep(lua_State *L, unpacker *u) {
    lua_pushvalue(L, -1);
    lua_rawseti(L, u->objects, ++u->made);
}

static void push_end(lua_State *L, unpacker *u) {
    end_record record;
    char      *at = bytes_of(u->message) + u->at;
    get(u, &record, sizeof record);
    saros_end_adopt(L, record.wire, record.sender);
    record.wire = NULL;
    memcpy(at, &record, sizeof record);
    keep(L, u);
}

static void push_value(lua_State *L, unpacker *u) {
    uint8_t     tag;
    lua_Integer integer;
    lua_Number  number;
    size_t      length;
    get(u, &tag, 1);
    switch ((enum tag)tag) {
    case TAG_NIL: lua_pushnil(L); break;
    case TAG_FALSE:
    case TAG_TRUE: lua_pushboolean(L, tag == TAG_TRUE); break;
    case TAG_INTEGER:
        get(u, &integer, sizeof integer);
        lua_pushinteger(L, integer);
        break;
    case TAG_FLOAT:
        get(u, &number, sizeof number);
        lua_pushnumber(L, number);
        break;
    case TAG_STRING:
        get(u, &length, sizeof length);
        lua_pushlstring(L, bytes_of(u->message) + u->at, length);
        u->at += length;
        break;
    case TAG_NEW:
        lua_newtable(L);
        keep(L, u);
        break;
    case TAG_AGAIN: lua_rawgeti(L, u->objects, (lua_Integer)get_count(u)); break;
    default: push_end(L, u); break;
    }
}

static void get_contents(lua_State *L, unpacker *u) {
    uint32_t count = get_count(u);
    for (uint32_t i = 1; i <= count; i++) {
        push_value(L, u);
        lua_rawseti(L, -2, (lua_Integer)i);
    }
    for (uint32_t pairs = get_count(u); pairs > 0; pairs--) {
        push_value(L, u);
        push_value(L, u);
        lua_rawset(L, -3);
    }
}

int saros_unpack(lua_State *L, saros_message *message) {
    int      values = (int)message->values;
    unpacker u = {.message = message};
    luaL_checkstack(L, values + 8, "too many values");
    if (message->objects > 0) lua_createtable(L, message->objects < 1024 ? (int)message->objects : 1024, 0);
    else lua_pushnil(L);
    u.objects = lua_gettop(L);
    for (int i = 0; i < values; i++) push_value(L, &u);
    for (uint32_t i = 1; i <= message->objects; i++) {
        if (lua_rawgeti(L, u.objects, (lua_Integer)i) == LUA_TTABLE) get_contents(L, &u);
        lua_pop(L, 1);
    }
    lua_remove(L, u.objects);
    return values;
}

/* ---- freeing ---------------------------------------------------------------------------------------------------- */

/* An end that is closed may leave other messages to nobody, with ends in them: one list, not one call inside another. */
void saros_messages_free(saros_message *list) {
    while (list != NULL) {
        saros_message *message = list;
        list = message->next;
        for (uint32_t at = message->end; at > 0;) {
            end_record record;
            memcpy(&record, bytes_of(message) + at - 1, sizeof record);
            at = record.before;
            if (record.wire != NULL) saros_wire_drop_end(record.wire, record.sender, &list);
        }
        free(message);
    }
}
