/* names.h: between saros.resolve and who looks names up for it. */
#ifndef SAROS_LUA_NAMES_H
#define SAROS_LUA_NAMES_H

#include "bindings/lua/tasks/task.h"

/* Looks up the host at stack index 1 (index 2 is kept, it may be the service) and suspends the task; the last thing of an
 * awaiting function. family: enum saros_family, or 0. port: -1 means the one that the service's name stands for. */
int  saros_lookup(lua_State *L, saros_task *task, const char *service, int port, int family);
void saros_open_lookup(lua_State *L);

int  saros_lookup_failed(lua_State *L, int code); /* nil, message, code; the host is at 1 */
void saros_push_address(lua_State *L, const saros_address *address);

#endif
