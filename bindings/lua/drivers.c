/* drivers.c: saros.drivers(): which drivers there are, which of them open here, and which one is the default.
 *
 * Owns nothing: each driver is tried with a loop of its own, which is closed at once. */
#include <string.h>

#include "bindings/lua/runtime.h"

/* The driver that opens for this name, which may be a list, or NULL: the best. NULL: none does; see why. */
static const char *opened_driver(const char *name, char *why, size_t size) {
    saros_config config = SAROS_CONFIG_INIT;
    saros_loop  *loop = NULL;
    config.driver = name;
    if (saros_open(&loop, &config, why, size) < 0) return NULL;
    const char *opened = saros_driver_name(loop); /* the driver's, not the loop's */
    saros_close(loop);
    return opened;
}

/* saros.drivers() -> { {name=, compiled=, opens=, reason=, about=, default=}, … }: tries each one. */
static int drivers(lua_State *L) {
    saros_driver_info info;
    char              why[256] = "";
    const char       *preferred = opened_driver(saros_default_config(saros_state(L)).driver, why, sizeof why);
    lua_newtable(L);
    for (size_t i = 0; saros_driver_at(i, &info); i++) {
        bool opens = opened_driver(info.name, why, sizeof why) != NULL;
        lua_createtable(L, 0, 6);
        lua_pushstring(L, info.name);
        lua_setfield(L, -2, "name");
        lua_pushstring(L, info.about);
        lua_setfield(L, -2, "about");
        lua_pushboolean(L, info.compiled);
        lua_setfield(L, -2, "compiled");
        lua_pushboolean(L, opens);
        lua_setfield(L, -2, "opens");
        lua_pushboolean(L, preferred != NULL && strcmp(preferred, info.name) == 0);
        lua_setfield(L, -2, "default");
        const char *reason = strstr(why, ": ");
        if (!opens) lua_pushstring(L, reason != NULL ? reason + 2 : why);
        else lua_pushnil(L);
        lua_setfield(L, -2, "reason");
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    return 1;
}

void saros_open_drivers(lua_State *L) {
    static const luaL_Reg functions[] = {{"drivers", drivers}, {NULL, NULL}};
    saros_add(L, functions);
}
