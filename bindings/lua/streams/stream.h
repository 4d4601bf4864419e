/* stream.h: a stream or listener in Lua's hands. net.c opens and closes it, stream_read.c and stream_write.c use it.
 *
 * It is the userdata itself; its handle belongs to the driver while something flies on it. */
#ifndef SAROS_STREAM_H
#define SAROS_STREAM_H

#include "bindings/lua/tasks/task.h"

/* Linked into its loop's list until it is closed. */
struct saros_stream {
    saros_handle  handle;
    saros_rt     *rt;      /* NULL: closed */
    saros_rt     *closing; /* whose list and anchor keep it until the close was told */
    saros_stream *next, *prev;
    saros_op      close;
    saros_task   *reader, *writer;
    saros_waiter *writers; /* who wants to write next, in order */
    const char   *at;      /* what was received and not yet read: in data, or lent, … */
    size_t        left;
    size_t        taken; /* before `at`: read by the call that runs, and given back if it is cancelled */
    char         *data;  /* the stream's own buffer; NULL while it needs none */
    size_t        room;
    size_t        scanned; /* bytes of it that have no delimiter in them */
    size_t        line_limit, all_limit;
    int           error;       /* the receive that failed */
    bool          lent, ended; /* lent: `at` is the loop's scratch buffer, until the reader suspends or returns */
};

saros_stream         *saros_check_stream(lua_State *L); /* argument 1 */
int                   saros_closed(lua_State *L);       /* nil, "closed", "ECLOSED" */
void                  saros_stream_forget_buffer(saros_stream *stream);
void                  saros_stream_abandon(saros_stream *stream); /* closes it at once, and nobody is told */
void                  saros_stream_pass_on(saros_stream     *stream,
                                           const saros_task *task); /* the task does not write any more: the next */
extern const luaL_Reg saros_read_methods[], saros_write_methods[];

#endif
