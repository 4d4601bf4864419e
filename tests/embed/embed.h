/* embed.h: what the tests of the C API stand on: a host with a world (support.h) and a Lua state of its own.
 *
 * Owns the state and counts its memory. Promises: a test that uses EMBED_TEST is held to have given everything back, of
 * the loop's memory, of the state's, and of descriptors, in whatever order it closed them; scripts tell what they do with
 * log(…), and the test compares the whole of it. Included by one source file of each program. */
#ifndef EMBED_H
#define EMBED_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lauxlib.h>
#include <lualib.h>

#include "bindings/lua/saros_lua.h"
#include "support/support.h"

/* The one that most hosts have. */
#ifdef _WIN32
#define SOCKET_DRIVER "iocp"
#else
#define SOCKET_DRIVER "epoll"
#endif

/* ThreadSanitizer keeps every call stack that it has seen, and each longjmp of Lua's makes them longer: there a part of
 * a sweep must do. (One thread has no races.) So it must under Wine, where each wait is a visit to its server. */
#if defined __SANITIZE_THREAD__ || defined _WIN32
enum { THOROUGH = 0 };
#else
enum { THOROUGH = 1 };
#endif

typedef struct host {
    world     *w;
    memory     lua; /* the state's */
    lua_State *L;   /* NULL: closed */
    char       log[2000];
} host;

/* log(…): its arguments and a comma go to the host's log. */
static int log_it(lua_State *L) {
    host  *h = lua_touserdata(L, lua_upvalueindex(1));
    size_t at = strlen(h->log);
    for (int i = 1; i <= lua_gettop(L); i++) {
        const char *text = luaL_tolstring(L, i, NULL);
        at += (size_t)snprintf(h->log + at, at < sizeof h->log ? sizeof h->log - at : 0, i > 1 ? " %s" : "%s", text);
        lua_pop(L, 1);
        if (at >= sizeof h->log) return luaL_error(L, "the log is full");
    }
    snprintf(h->log + at, sizeof h->log - at, ",");
    return 0;
}

/* A state with the libraries and log(). NULL without memory. */
static lua_State *new_state(host *h, memory *m) {
    lua_State *L = lua_newstate(memory_alloc, m);
    if (L == NULL) return NULL;
    luaL_openlibs(L);
    lua_pushlightuserdata(L, h);
    lua_pushcclosure(L, log_it, 1);
    lua_setglobal(L, "log");
    return L;
}

static inline void open_all(host *h, const char *driver) {
    if (world_open(h->w, driver, NULL) < 0) fail_msg("cannot open %s: %s", driver, h->w->why);
    h->L = new_state(h, &h->lua);
    assert_non_null(h->L);
    assert_result(saros_lua_attach(h->L, h->w->loop, SAROS_LUA_INSTALL), 0);
}

static inline void close_state(host *h) {
    lua_close(h->L);
    h->L = NULL;
    if (h->lua.blocks != 0) fail_msg("%zu bytes of the state in %zu blocks were left", h->lua.bytes, h->lua.blocks);
}

static int embed_setup(void **state) {
    host *h = calloc(1, sizeof *h);
    void *inner = *state;
    if (h == NULL || world_bare(&inner) < 0) return -1;
    h->w = inner;
    *state = h;
    return 0;
}

static void embed_run(void **state) {
    host *h = *state;
    h->w->test(state);
    h->w->ended = true;
}

static int embed_teardown(void **state) {
    host *h = *state;
    void *inner = h->w;
    bool  ended = h->w->ended;
    if (ended && h->L != NULL) close_state(h);
    int wrong = world_teardown(&inner);
    if (ended) free(h);
    return wrong;
}

#define EMBED_TEST(test) WORLD_CASE(test, embed_run, embed_setup, embed_teardown)

/* ---- scripts ---------------------------------------------------------------------------------------------------- */

/* Runs code in the state, outside any task. */
static inline void run(host *h, const char *code) {
    if (luaL_dostring(h->L, code) != LUA_OK) fail_msg("%s", lua_tostring(h->L, -1));
    lua_settop(h->L, 0);
}

/* Spawns code as a task. */
static inline void spawn(host *h, saros_scope *scope, const char *name, const char *code) {
    if (luaL_loadstring(h->L, code) != LUA_OK) fail_msg("%s", lua_tostring(h->L, -1));
    if (saros_lua_spawn(h->L, 0, scope, name) != LUA_OK) fail_msg("%s", lua_tostring(h->L, -1));
    lua_settop(h->L, 0);
}

/* Steps that tell one op each, and do not block. */
static inline void few_ops(host *h, int count) {
    for (int i = 0; i < count; i++) saros_step(h->w->loop, &(saros_limits){.budget = 1});
}

/* Steps until `count` tasks live. */
static inline void until_tasks(host *h, size_t count) { AWAIT(h->w, saros_lua_tasks(h->L) == count); }

/* Compares the log, and empties it. */
#define assert_log(h, expected)                  \
    do {                                         \
        assert_string_equal((h)->log, expected); \
        (h)->log[0] = 0;                         \
    } while (0)

/* Calls f for each driver that is built here and has descriptors. */
static inline void each_driver(host *h, void (*f)(host *h, const char *driver)) {
    saros_driver_info info;
    for (size_t i = 0; saros_driver_at(i, &info); i++)
        if (info.compiled && strcmp(info.name, "none") != 0 && strcmp(info.name, "sim") != 0) f(h, info.name);
}

#endif
