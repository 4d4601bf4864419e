/* service_none.c: no services: this build has no libuv. */
#include "bindings/lua/services/names.h"

int saros_lookup(lua_State *L, saros_task *task, const char *service, int port, int family) {
    (void)task, (void)service, (void)port, (void)family;
    return saros_fail(L, SAROS_ENOSYS, "resolve %s: this build of Saros has no libuv, which looks names up",
                      lua_tostring(L, 1));
}

void saros_open_lookup(lua_State *L) { (void)L; }

static int no_child(lua_State *L) {
    return saros_fail(L, SAROS_ENOSYS, "this build of Saros has no libuv, on whose thread processes are begun");
}

void saros_open_process(lua_State *L) { saros_add(L, (const luaL_Reg[]){{"_child", no_child}, {NULL, NULL}}); }

void saros_service_close(saros_rt *rt) { (void)rt; }
