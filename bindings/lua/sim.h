/* sim.h: what the rest of the binding has to do with simulated worlds: nearly nothing. */
#ifndef SAROS_LUA_SIM_H
#define SAROS_LUA_SIM_H

#include "bindings/lua/runtime.h"

/* The world that the loop's driver is; NULL: it is a kernel. */
saros_world *saros_sim_world(saros_loop *loop);
/* From now on os.time, os.date, os.clock and math.randomseed of this state follow the world of whichever loop runs, where
 * it has one; math.random begins with the seed of this one. */
void saros_sim_install(lua_State *L, saros_rt *rt);
void saros_sim_open(lua_State *L); /* pushes the module saros.sim */

SAROS_API int luaopen_saros_sim(lua_State *L); /* for require "saros.sim" */

#endif
