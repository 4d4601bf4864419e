/* tls_peer.c: a Lua module for specs: the client's end of TLS 1.3, that does what ours never would.
 *
 * peer.new() -> a client; client:turn(bytes) -> what it has to say upon what has come, and whether its handshake is done;
 * client:ask(n) -> n requests for new keys, of which it does not want to hear again. Verifies nobody, and owns no socket. */
#include <lauxlib.h>
#include <openssl/ssl.h>

static SSL *check(lua_State *L) {
    SSL **self = luaL_checkudata(L, 1, "tls_peer");
    luaL_argcheck(L, *self != NULL, 1, "it is closed");
    return *self;
}

static int collected(lua_State *L) {
    SSL **self = luaL_checkudata(L, 1, "tls_peer");
    SSL_free(*self);
    *self = NULL;
    return 0;
}

static int new_peer(lua_State *L) {
    SSL **self = lua_newuserdatauv(L, sizeof(SSL *), 0);
    *self = NULL;
    luaL_setmetatable(L, "tls_peer");
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    if (context != NULL) {
        SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
        *self = SSL_new(context);
        SSL_CTX_free(context);
    }
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    if (*self == NULL || in == NULL || out == NULL) return luaL_error(L, "not enough memory");
    SSL_set_bio(*self, in, out);
    SSL_set_connect_state(*self);
    return 1;
}

static void push_said(lua_State *L, SSL *ssl) {
    char *bytes;
    long  size = BIO_get_mem_data(SSL_get_wbio(ssl), &bytes);
    lua_pushlstring(L, bytes, (size_t)size);
    BIO_reset(SSL_get_wbio(ssl));
}

static int turn(lua_State *L) {
    SSL        *ssl = check(L);
    size_t      size;
    const char *bytes = luaL_checklstring(L, 2, &size);
    if (size > 0) BIO_write(SSL_get_rbio(ssl), bytes, (int)size);
    int done = SSL_do_handshake(ssl);
    push_said(L, ssl);
    lua_pushboolean(L, done == 1);
    return 2;
}

static int ask(lua_State *L) {
    SSL *ssl = check(L);
    for (lua_Integer n = luaL_checkinteger(L, 2); n > 0; n--)
        if (SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED) != 1 || SSL_do_handshake(ssl) != 1)
            return luaL_error(L, "it cannot ask for new keys");
    push_said(L, ssl);
    return 1;
}

int                                        luaopen_tls_peer(lua_State *L);
__attribute__((visibility("default"))) int luaopen_tls_peer(lua_State *L) {
    static const luaL_Reg methods[] = {{"turn", turn}, {"ask", ask}, {"__gc", collected}, {NULL, NULL}};
    static const luaL_Reg functions[] = {{"new", new_peer}, {NULL, NULL}};
    luaL_newmetatable(L, "tls_peer");
    luaL_setfuncs(L, methods, 0);
    lua_pushvalue(L, -1);
    lua_setfield(L, -2, "__index");
    luaL_newlib(L, functions);
    return 1;
}
