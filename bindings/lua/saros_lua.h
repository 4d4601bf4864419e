/* saros_lua.h: Saros for a host that has its own lua_State, its own main loop, and perhaps its own allocator.
 *
 * The loop is the host's: it opens it (core/saros.h), attaches it to the state, spawns scripts as tasks and steps the
 * loop when it has time. Nothing here writes to stderr or stops the process; messages go to config.report.
 *
 * Promises: every entry into Lua is protected, so no Lua error crosses saros_step; attach, detach, lua_close and
 * saros_close may come in any order. Everything here is for the loop's thread. */
#ifndef SAROS_LUA_H
#define SAROS_LUA_H

#include <lua.h>

#include "core/saros.h"

typedef struct saros_scope saros_scope;

/* flags of saros_lua_attach */
enum { SAROS_LUA_INSTALL = 1 /* pcall, xpcall, coroutine, require know of tasks: saros.install() */ };

/* Makes the module known to the state (package.loaded.saros and a global are the host's choice: this sets
 * package.preload.saros) and binds the loop to it: saros.spawn and the like then use this loop where no other runs.
 * 0, or SAROS_EBUSY if the state has an attached loop already, or SAROS_ENOMEM. */
SAROS_API int saros_lua_attach(lua_State *L, saros_loop *loop, unsigned flags);

/* Like lua_pcall: takes a function and nargs arguments from the top of the stack. Starts them as a task on the
 * attached loop, which takes its first step in the next saros_step. LUA_OK with the task pushed, or an error status
 * with a message pushed. scope may be NULL; name may be NULL (it is copied). */
SAROS_API int saros_lua_spawn(lua_State *L, int nargs, saros_scope *scope, const char *name);

/* A scope of the host's: what is spawned in it can be cancelled together. NULL without memory, or where no loop is
 * attached. The host frees it at any time before the binding ends; what it has not freed by then is freed with that. */
SAROS_API saros_scope *saros_scope_new(lua_State *L);
/* Cancels everything in the scope, now and for good: each task learns it at its next await. reason may be NULL. */
SAROS_API void saros_scope_cancel(saros_scope *scope, const char *reason);
/* Its tasks go on: cancelled if it was, else without it. */
SAROS_API void saros_scope_free(saros_scope *scope);

/* ---- results from outside -------------------------------------------------------------------------------------- */

/* A result that another thread will have, a pool's, a library's: made on the loop's thread, completed once from ANY THREAD,
 * awaited or dropped once on the loop's. Until it is completed the loop is held: it waits, and that is no deadlock. */
typedef struct saros_future saros_future;

/* Pushes what the payload is to Lua; in the task that awaits, on the loop's thread. Returns how many values; may raise. */
typedef int (*saros_push_fn)(lua_State *L, void *data);
/* Frees the payload. Called exactly once, whatever becomes of it: on the loop's thread when it was pushed, or when nobody
 * waits any more; on the completing thread when the loop has closed. */
typedef void (*saros_release_fn)(void *data);

/* NULL without memory. The loop is open. Who has it owes both: one completion, and one await or drop. */
SAROS_API saros_future *saros_future_new(saros_loop *loop);
/* ANY THREAD, also after the loop has closed (then the host's allocator is called on that thread). The future is no longer the caller's, and may be gone when this returns.
 * status: 0 or above, or a SAROS_E… code: then the task gets nil, a message and the code. push NULL: it gets true. release
 * may be NULL. */
SAROS_API void saros_future_complete(saros_future *future, int status, void *data, saros_push_fn push,
                                     saros_release_fn release);
/* In place of an await: nobody wants it any more. The loop's thread; also after the loop has closed. */
SAROS_API void saros_future_drop(saros_future *future);
/* In tail position, like lua_yieldk, in a C function that a task has called: `return saros_lua_await(L, future, ctx, k)`. The
 * task waits; then k runs with the results on top of the stack, or, where k is NULL, the function returns them. Takes the
 * future in every case, also where it raises: outside a task, for a future of another loop, when the task is cancelled. */
SAROS_API int saros_lua_await(lua_State *L, saros_future *future, lua_KContext ctx, lua_KFunction k);

/* ---- the end --------------------------------------------------------------------------------------------------- */

/* For modules in C: the loop that the calling code runs on, or else the attached one; NULL: neither. */
SAROS_API saros_loop *saros_lua_loop(lua_State *L);
/* How many tasks of the attached loop live. */
SAROS_API size_t saros_lua_tasks(lua_State *L);

/* Ends the binding: tasks that still live are closed where they stand (their <close> variables run, but cannot
 * await; step with a cancelled scope first to end them in peace), streams are closed, callbacks forgotten. Steps
 * nothing, and does not block. The loop stays open and may be attached again. 0, also where nothing is attached; or
 * SAROS_EBUSY from inside saros_step. lua_close and saros_close do the same, whichever is first. */
SAROS_API int saros_lua_detach(lua_State *L);

/* The module. luaL_requiref(L, "saros", luaopen_saros, 0) or require "saros". */
SAROS_API int luaopen_saros(lua_State *L);
/* Its part in LuaSocket's shape, for require "saros.socket". */
SAROS_API int luaopen_saros_socket(lua_State *L);
/* The same in LuaSec's, for require "saros.ssl". */
SAROS_API int luaopen_saros_ssl(lua_State *L);

#endif
