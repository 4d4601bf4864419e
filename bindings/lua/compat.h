/* compat.h: the differences between Lua 5.4.0 and 5.4.8 that matter to us.
 *
 * Owns nothing. Promises: the rest of bindings/lua compiles unchanged against any 5.4. */
#ifndef SAROS_COMPAT_H
#define SAROS_COMPAT_H

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#if LUA_VERSION_NUM != 504
#error "Saros is for Lua 5.4"
#endif

/* 5.4.6 renamed lua_resetthread and gave it the thread whose C stack it counts on. */
#if LUA_VERSION_RELEASE_NUM >= 50406
#define saros_close_thread(co, from) lua_closethread(co, from)
#else
#define saros_close_thread(co, from) ((void)(from), lua_resetthread(co))
#endif

#endif
