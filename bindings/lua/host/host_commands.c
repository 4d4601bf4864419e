/* host_commands.c: what the host's own commands stand on: saros compare, --seeds, --drivers.
 *
 * The commands are written in Lua, bindings/lua/host/. This gives them the children of this program (child.h) and each
 * other, and the module; not more. Each is called with the table of these functions and the program's arguments, and
 * returns the exit code. */
#include <stdlib.h>
#include <string.h>

#include "bindings/lua/host/child.h"
#include "bindings/lua/host/host.h"
#include "saros_embedded.h" /* that of the folder host/ */

#define CHILD "saros.child"
enum { MOST = 256 }; /* children at a time */

typedef struct box {
    saros_child *child; /* NULL: it has ended, and been told */
} box;

static saros_child *check_child(lua_State *L, int arg) {
    const box *of = luaL_checkudata(L, arg, CHILD);
    if (of->child == NULL) luaL_argerror(L, arg, "this child is gone");
    return of->child;
}

static int child_gc(lua_State *L) {
    box *of = luaL_checkudata(L, 1, CHILD);
    if (of->child != NULL) saros_child_free(of->child);
    of->child = NULL;
    return 0;
}

static bool flag(lua_State *L, int arg, const char *name) {
    lua_getfield(L, arg, name);
    bool set = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return set;
}

/* start{word, …, show =, calls =, fixed =} -> child, or nil and the reason. The words are the arguments. */
static int start(lua_State *L) {
    char             program[4096], why[256];
    saros_child_plan plan = {.show = flag(L, 1, "show"), .calls = flag(L, 1, "calls"), .fixed = flag(L, 1, "fixed")};
    lua_Integer      count = luaL_len(L, 1);
    luaL_argcheck(L, count < 10000, 1, "too many words");
    luaL_checkstack(L, (int)count + 4, "too many words");
    const char *name = lua_tostring(L, lua_upvalueindex(1));
    plan.program = saros_child_program(name, program, sizeof program);
    plan.words = lua_newuserdatauv(L, ((size_t)count + 2) * sizeof(char *), 0);
    plan.words[0] = (char *)name; /* exec's interface is older than const */
    for (lua_Integer i = 1; i <= count; i++) {
        lua_rawgeti(L, 1, i);
        plan.words[i] = (char *)luaL_checkstring(L, -1); /* it stays on the stack */
    }
    plan.words[count + 1] = NULL;
    box *of = lua_newuserdatauv(L, sizeof *of, 0);
    of->child = NULL;
    luaL_setmetatable(L, CHILD);
    of->child = saros_child_start(&plan, why, sizeof why);
    if (of->child != NULL) return 1;
    lua_pushnil(L);
    lua_pushstring(L, why);
    return 2;
}

static void set_number(lua_State *L, const char *name, lua_Number value) {
    lua_pushnumber(L, value);
    lua_setfield(L, -2, name);
}

static void set_integer(lua_State *L, const char *name, lua_Integer value) {
    lua_pushinteger(L, value);
    lua_setfield(L, -2, name);
}

static void push_result(lua_State *L, const saros_child_end *end) {
    lua_createtable(L, 0, 12);
    if (end->signal == 0) set_integer(L, "code", end->code);
    else set_integer(L, "signal", end->signal);
    set_number(L, "wall", end->wall);
    set_number(L, "user", end->user);
    set_number(L, "system", end->system);
    if (end->peak > 0) set_number(L, "peak", end->peak);
    if (end->calls >= 0) set_integer(L, "calls", end->calls);
    lua_pushstring(L, end->why);
    lua_setfield(L, -2, "why");
    lua_pushlstring(L, end->length > 0 ? end->output : "", end->length);
    lua_setfield(L, -2, "output");
    lua_pushboolean(L, end->cut);
    lua_setfield(L, -2, "cut");
}

/* wait({child, …}, seconds) -> the place of one that has ended, and what came of it; nothing after the seconds or an
 * interrupt. */
static int wait_for(lua_State *L) {
    saros_child *children[MOST];
    lua_Number   seconds = luaL_checknumber(L, 2);
    lua_Integer  count = luaL_len(L, 1);
    luaL_argcheck(L, count <= MOST, 1, "too many children");
    for (lua_Integer i = 0; i < count; i++) {
        lua_rawgeti(L, 1, i + 1);
        children[i] = check_child(L, -1);
        lua_pop(L, 1);
    }
    const saros_child *ended = saros_child_wait(children, (size_t)count, seconds);
    for (lua_Integer i = 0; ended != NULL && i < count; i++) {
        if (children[i] != ended) continue;
        lua_pushinteger(L, i + 1);
        push_result(L, saros_child_result(ended));
        lua_rawgeti(L, 1, i + 1);
        box *of = lua_touserdata(L, -1);
        saros_child_free(of->child); /* its output is a string now */
        of->child = NULL;
        lua_pop(L, 1);
        return 2;
    }
    return 0;
}

static int kill_child(lua_State *L) {
    saros_child_kill(check_child(L, 1));
    return 0;
}

/* The signal that has asked us to end, or nil. */
static int interrupted(lua_State *L) {
    int number = saros_child_interrupted();
    if (number != 0) lua_pushinteger(L, number);
    else lua_pushnil(L);
    return 1;
}

static int clock_now(lua_State *L) {
    lua_pushnumber(L, saros_child_clock());
    return 1;
}

static int cores(lua_State *L) {
    unsigned count = saros_child_cores();
    lua_pushinteger(L, count < MOST ? (lua_Integer)count : MOST);
    return 1;
}

static int terminal(lua_State *L) {
    lua_pushboolean(L, saros_child_terminal((int)luaL_checkinteger(L, 1)));
    return 1;
}

/* part(name) -> what bindings/lua/host/NAME.lua returns, called with the table of functions; each is loaded once. */
static int part(lua_State *L) {
    const char *name = luaL_checkstring(L, 1);
    lua_settop(L, 1);
    if (lua_getfield(L, lua_upvalueindex(1), name) != LUA_TNIL) return 1;
    for (size_t i = 0; saros_embedded[i].name != NULL; i++) {
        if (strcmp(saros_embedded[i].name, name) != 0) continue;
        lua_pushfstring(L, "=saros/%s.lua", name);
        const char *chunk = lua_tostring(L, -1);
        if (luaL_loadbufferx(L, saros_embedded[i].text, saros_embedded[i].size, chunk, "t") != LUA_OK) lua_error(L);
        lua_pushvalue(L, lua_upvalueindex(2));
        lua_call(L, 1, 1);
        lua_pushvalue(L, -1);
        lua_setfield(L, lua_upvalueindex(1), name);
        return 1;
    }
    return luaL_error(L, "there is no part '%s'", name);
}

static void push_functions(lua_State *L, const char *program) {
    static const luaL_Reg functions[] = {{"wait", wait_for},   {"kill", kill_child}, {"interrupted", interrupted},
                                         {"clock", clock_now}, {"cores", cores},     {"terminal", terminal},
                                         {NULL, NULL}};
    luaL_newmetatable(L, CHILD);
    lua_pushcfunction(L, child_gc);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
    luaL_newlib(L, functions);
    lua_pushstring(L, program);
    lua_pushvalue(L, -1);
    lua_setfield(L, -3, "name");
    lua_pushcclosure(L, start, 1);
    lua_setfield(L, -2, "start");
    lua_pushboolean(L, saros_child_counts_calls());
    lua_setfield(L, -2, "counts_calls");
    luaL_requiref(L, "saros", luaopen_saros, 0);
    lua_setfield(L, -2, "saros");
    lua_newtable(L);
    lua_pushvalue(L, -2);
    lua_pushcclosure(L, part, 2);
    lua_setfield(L, -2, "part");
}

int saros_command(lua_State *L, const char *name, int argc, char **argv) {
    saros_child_prepare();
    push_functions(L, argv[0]);
    lua_getfield(L, -1, "part");
    lua_pushstring(L, name);
    lua_call(L, 1, 1);
    lua_createtable(L, argc, 0);
    for (int i = 1; i < argc; i++) {
        lua_pushstring(L, argv[i]);
        lua_rawseti(L, -2, i);
    }
    lua_call(L, 1, 1);
    int code = (int)luaL_checkinteger(L, -1);
    lua_pop(L, 2);
    return code;
}
