/* service_process_none.c: no processes: this system's are not begun as POSIX has it, or there is no libuv. */
#include "bindings/lua/runtime.h"

static int no_child(lua_State *L) {
    return saros_fail(L, SAROS_ENOSYS, "this build of Saros cannot begin processes, or has no libuv to wait for them");
}

void saros_open_process(lua_State *L) { saros_add(L, (const luaL_Reg[]){{"_child", no_child}, {NULL, NULL}}); }
