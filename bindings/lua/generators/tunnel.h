/* tunnel.h: what tunnel.c and coroutine.c, the two halves of saros.coroutine, know of each other. */
#ifndef SAROS_TUNNEL_H
#define SAROS_TUNNEL_H

#include "bindings/lua/tasks/task.h"

extern const luaL_Reg saros_tunnel_functions[];                      /* those that resume or yield */
bool                  saros_tunnel_waits(lua_State *co);             /* below a task's own, suspended by an await */
void                  saros_keep_story(lua_State *L, lua_State *co); /* it has died of the error on top of L */
int                   saros_coroutine_create(lua_State *L);
lua_State            *saros_check_coroutine(lua_State *L); /* argument 1 */

#endif
