/* state.c: what the TLS connections of a Lua state share, and `saros._tls`, the functions that saros/tls.lua stands on.
 *
 * Owns the buffers that connections use in turn. Made at the first use of
 * TLS; where OpenSSL is not to be had, every function says so. */
#include <string.h>

#include "bindings/lua/tls/tls.h"

static const char state_key = 0;

void *saros_tls_realloc(saros_tls_state *state, void *p, size_t before, size_t after) {
    return state->alloc(state->user, p, before, after);
}

/* Connections that are still open give their buffers back themselves. */
static int state_gc(lua_State *L) {
    saros_tls_state *state = lua_touserdata(L, 1);
    if (state->spare.data != NULL) saros_tls_realloc(state, state->spare.data, state->spare.room, 0);
    state->spare = (saros_tls_bytes){0};
    state->closed = true;
    return 0;
}

saros_tls_state *saros_tls_state_of(lua_State *L, char *why, size_t size) {
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &state_key) != LUA_TNIL) {
        saros_tls_state *state = lua_touserdata(L, -1);
        lua_pop(L, 1);
        return state;
    }
    lua_pop(L, 1);
    const saros_openssl *openssl = saros_openssl_open(why, size);
    if (openssl == NULL) return NULL;
    saros_tls_state *state = lua_newuserdatauv(L, sizeof *state, 0);
    memset(state, 0, offsetof(saros_tls_state, plain));
    state->openssl = openssl;
    state->alloc = lua_getallocf(L, &state->user);
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, state_gc);
    lua_setfield(L, -2, "__gc");
    lua_setmetatable(L, -2);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &state_key);
    return state;
}

const char *saros_tls_reason(const saros_openssl *openssl) {
    unsigned long error = openssl->ERR_peek_error();
    const char   *why = error != 0 ? openssl->ERR_reason_error_string(error) : NULL;
    openssl->ERR_clear_error();
    return why != NULL ? why : "TLS has failed";
}

/* _tls.available() -> true | nil, message, "ENOSYS" */
static int available(lua_State *L) {
    char why[256];
    if (saros_tls_state_of(L, why, sizeof why) == NULL)
        return saros_fail(L, SAROS_ENOSYS, "TLS needs OpenSSL: %s", why);
    lua_pushboolean(L, 1);
    return 1;
}

void saros_open_tls(lua_State *L) {
    static const luaL_Reg functions[] = {{"available", available},           {"configure", saros_tls_configure},
                                         {"handshake", saros_tls_handshake}, {"info", saros_tls_info},
                                         {"session", saros_tls_session},     {NULL, NULL}};
    saros_open_tls_context(L);
    saros_open_tls_session(L);
    lua_newtable(L);
    saros_add(L, functions);
    lua_setfield(L, -2, "_tls");
}
