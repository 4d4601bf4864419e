/* manners.c: how a loop behaves where it has a choice: debug mode, slices, the order of tasks that are ready together.
 *
 * Each is off unless somebody asks for it: the options of saros.loop, those of the program, SAROS_DEBUG. Owns nothing. */
#include <stdlib.h>
#include <string.h>

#include "bindings/lua/tasks/task.h"

saros_manners saros_manners_of_environment(void) {
    const char *debug = getenv("SAROS_DEBUG");
    return (saros_manners){.debug = debug != NULL && *debug != 0 && strcmp(debug, "0") != 0};
}

void saros_manners_options(lua_State *L, int arg, saros_manners *manners) {
    if (!lua_istable(L, arg)) return;
    if (saros_option(L, arg, "debug") != LUA_TNIL) manners->debug = lua_toboolean(L, -1);
    if (saros_option(L, arg, "slice") != LUA_TNIL) {
        bool wanted = lua_toboolean(L, -1);
        if (wanted && lua_type(L, -1) != LUA_TNUMBER)
            luaL_argerror(L, arg, "option 'slice' must be a number of seconds, or false");
        manners->slice = wanted ? saros_seconds(L, lua_gettop(L)) : 0;
        if (wanted && manners->slice == 0) manners->slice = 1; /* as short as can be */
    }
    if (saros_option(L, arg, "shuffle") != LUA_TNIL) {
        manners->shuffles = lua_toboolean(L, -1);
        if (manners->shuffles) manners->shuffle = saros_seed_value(L, arg, "shuffle", lua_gettop(L));
    }
}

void saros_manners_apply(saros_rt *rt, const saros_manners *manners) {
    rt->manners = *manners;
    rt->watched = manners->debug || manners->slice > 0;
    saros_shuffle(rt->loop, manners->shuffle, manners->shuffles ? saros_task_told : NULL);
}
