/* tls.c: the methods of streams that are about TLS, in every build. What they do is in saros/tls.lua, which is loaded when
 * the first of them is called. */
#include "bindings/lua/streams/stream.h"

static int start_tls(lua_State *L) {
    saros_check_stream(L);
    return saros_call_part(L, "tls", "upgrade");
}

static int tls_info(lua_State *L) {
    saros_check_stream(L);
    return saros_call_part(L, "tls", "_info");
}

static int tls_session(lua_State *L) {
    saros_check_stream(L);
    return saros_call_part(L, "tls", "_session");
}

/* context:reload(options) */
static int reload(lua_State *L) {
    saros_check(L, 1, SAROS_T_TLS_CONTEXT);
    return saros_call_part(L, "tls", "_reload");
}

const luaL_Reg saros_tls_context_methods[] = {{"reload", reload}, {NULL, NULL}};
const luaL_Reg saros_tls_methods[] = {
    {"start_tls", start_tls}, {"tls_info", tls_info}, {"tls_session", tls_session}, {NULL, NULL}};
