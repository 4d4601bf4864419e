/* stdio.h: between the standard streams (stdio.c) and the system: service_stdio.c, or service_stdio_windows.c. */
#ifndef SAROS_LUA_STDIO_H
#define SAROS_LUA_STDIO_H

#include "bindings/lua/tasks/task.h"

/* How a stream waits for standard input where the system cannot wait for descriptors: all zeros at first. */
typedef struct saros_asker saros_asker;
struct saros_asker {
    saros_op      op; /* expected while it asks */
    saros_loop   *loop;
    saros_stream *stream;
    saros_task   *task; /* that waits, if it still does */
    saros_asker  *next; /* under the lock of who reads */
};

/* Begins to wait until a read of the stream's descriptor may be tried, which is told to task->op. */
void saros_stdio_wait(saros_asker *asker, saros_stream *stream, saros_task *task);
/* Nobody is told any more; a task that still waits is told that it is closed. */
void saros_stdio_forget(saros_asker *asker, saros_loop *loop);

/* One attempt each. As they may not make the descriptor non-blocking, they look first whether it is ready. */
int64_t saros_stdio_read(int fd, void *buffer, size_t size); /* bytes, 0 at the end, SAROS_EAGAIN, or another error */
/* Takes as much as does not wait; SAROS_EAGAIN: nothing. waits: until there is room, which stops the thread. */
int64_t saros_stdio_write(int fd, const void *data, size_t size, bool waits);
bool    saros_stdio_is_file(int fd);
/* Where an open file stands for all who share it; -1: not known. */
int64_t saros_stdio_place(int fd);
void    saros_stdio_put(int fd, int64_t place);

/* Pushes the loop's file on it and returns true, where standard input is one and there is who reads files. */
bool saros_push_stdin_file(lua_State *L, saros_rt *rt);

/* Can the system wait for these descriptors? */
extern const bool saros_stdio_waits;

#endif
