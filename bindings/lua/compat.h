/* compat.h: the differences between Lua 5.4.0 and 5.4.8, and between C libraries, that matter to us.
 *
 * Owns nothing. Promises: the rest of bindings/lua compiles unchanged against any 5.4. */
#ifndef SAROS_COMPAT_H
#define SAROS_COMPAT_H

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <string.h>

#if LUA_VERSION_NUM != 504
#error "Saros is for Lua 5.4"
#endif

/* They never return; lauxlib.h does not say so, and a checker then follows ways that do not exist. */
extern int luaL_error(lua_State *L, const char *fmt, ...) __attribute__((noreturn));
extern int luaL_argerror(lua_State *L, int arg, const char *message) __attribute__((noreturn));
extern int luaL_typeerror(lua_State *L, int arg, const char *name) __attribute__((noreturn));
extern int lua_error(lua_State *L) __attribute__((noreturn));

/* 5.4.6 renamed lua_resetthread and gave it the thread whose C stack it counts on. */
#if LUA_VERSION_RELEASE_NUM >= 50406
#define saros_close_thread(co, from) lua_closethread(co, from)
#else
#define saros_close_thread(co, from) ((void)(from), lua_resetthread(co))
#endif

/* memmem, which is everywhere but in ISO C and on Windows. `size` is at least 1. */
#ifdef SAROS_HAVE_MEMMEM
#define saros_find(text, length, wanted, size) memmem(text, length, wanted, size)
#else
static inline const void *saros_find(const char *text, size_t length, const char *wanted, size_t size) {
    for (const char *at = text; length - (size_t)(at - text) >= size; at++) {
        at = memchr(at, wanted[0], length - (size_t)(at - text) - size + 1);
        if (at == NULL || memcmp(at, wanted, size) == 0) return at;
    }
    return NULL;
}
#endif

#endif
