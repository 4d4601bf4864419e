/* host.h: what the files of the program saros offer each other. */
#ifndef SAROS_HOST_H
#define SAROS_HOST_H

#include "bindings/lua/runtime.h"

/* host_commands.c: runs one of the host's own commands, bindings/lua/host/NAME.lua; its exit code. Errors are raised.
 * The words are the program's arguments. */
int saros_command(lua_State *L, const char *name, int argc, char **argv);

/* host_counts.c: counts what the loops of this process do, and writes it to a file when the process ends: operations,
 * waits, wake-ups; three numbers in a line. The name must stay. */
void saros_count(saros_config *config, const char *file);

/* host_state.c: a state as luaL_newstate makes it, for this thread; NULL: no memory. */
lua_State *saros_new_state(void);
void       saros_close_state(lua_State *L);

#endif
