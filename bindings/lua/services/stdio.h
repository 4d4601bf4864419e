/* stdio.h: between the standard streams (stdio.c) and the system: service_stdio.c, or service_stdio_none.c. */
#ifndef SAROS_LUA_STDIO_H
#define SAROS_LUA_STDIO_H

#include "bindings/lua/runtime.h"

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
