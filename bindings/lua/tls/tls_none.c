/* tls_none.c: no TLS: this build was made without OpenSSL's headers. */
#include "bindings/lua/streams/stream.h"

static int available(lua_State *L) {
    return saros_fail(L, SAROS_ENOSYS, "TLS needs OpenSSL: this build of Saros was made without it");
}

void saros_open_tls(lua_State *L) {
    static const luaL_Reg functions[] = {{"available", available}, {NULL, NULL}};
    saros_type_make(L, SAROS_T_TLS_CONTEXT, "saros.tls_context", saros_tls_context_methods,
                    NULL); /* of which there are none */
    lua_newtable(L);
    saros_add(L, functions);
    lua_setfield(L, -2, "_tls");
}
