/* window.h: bytes that were received and not yet read, and reading them by Lua's formats; for streams, files and whatever
 * else is read so. window.c has it.
 *
 * A reading method checks its object, reads its arguments, which gives a context, and then tries: while an attempt says
 * SAROS_NOT_ENOUGH more is received and fed. */
#ifndef SAROS_WINDOW_H
#define SAROS_WINDOW_H

#include "bindings/lua/runtime.h"

/* A buffer of the window's own. */
typedef struct saros_window_block {
    size_t room;
    char   data[];
} saros_window_block;

/* Each connection that waits has one: its size counts. */
typedef struct saros_window {
    const char         *at; /* what was received and not yet read: in its own block, or lent, … */
    size_t              left;
    size_t              taken; /* before `at`: read by the call that runs, and given back if it fails or is cancelled */
    saros_window_block *own;   /* NULL while it needs none */
    size_t              scanned;               /* bytes of it that have no delimiter in them */
    size_t              line_limit, all_limit; /* at most SIZE_MAX / 2 */
    int                 error;                 /* the receive that failed; whoever feeds sets and sees it */
    bool                lent, ended;           /* lent: `at` is the feeder's; ended: no more will come */
    uint8_t             copies;                /* bits of a stream's: stream.h */
} saros_window;

/* Nothing was received; frees the buffer. */
void saros_window_forget(saros_loop *loop, saros_window *window);
/* Makes what is there the window's own, with `more` bytes of room behind it. False: no memory, and nothing has changed. */
bool saros_window_own(saros_loop *loop, saros_window *window, size_t more);
/* Bytes join the window. They are lent where it was empty, and copied otherwise. False as above. */
bool saros_window_feed(saros_loop *loop, saros_window *window, const char *bytes, size_t size);
/* The call that runs has failed: what it has read is for the next one. After one that succeeds `taken` is to be 0. */
void saros_window_give_back(saros_window *window);

enum { SAROS_NOT_ENOUGH = -1 };
/* Tries to read what the context wants: how many results were pushed, or SAROS_NOT_ENOUGH. Arguments are at 2…; a context has
 * the place to go on from, and is what the next attempt is to be given. */
int saros_window_attempt(lua_State *L, saros_window *window, lua_KContext *context);

/* The arguments of read, read_some, read_exactly and read_until, from 2 on; raise before anything is read. */
lua_KContext saros_read_arguments(lua_State *L);
lua_KContext saros_read_some_arguments(lua_State *L);
lua_KContext saros_read_exactly_arguments(lua_State *L);
lua_KContext saros_read_until_arguments(lua_State *L, size_t limit_otherwise);
/* The method lines of what is at 1: pushes an iterator that calls the method `read`. */
int saros_read_lines(lua_State *L, lua_CFunction read);

#endif
