/* info.c: what is known of a TLS connection and of who is at its other end. */
#include <stdio.h>
#include <string.h>

#include "bindings/lua/tls/tls.h"

static void set_text(lua_State *L, const char *name, const char *text) {
    if (text == NULL) return;
    lua_pushstring(L, text);
    lua_setfield(L, -2, name);
}

/* What was written to a BIO in memory becomes a field. */
static void set_written(lua_State *L, const saros_openssl *openssl, const char *name, BIO *bio) {
    char *text = NULL;
    long  size = openssl->BIO_ctrl(bio, BIO_CTRL_INFO, 0, &text);
    lua_pushlstring(L, size > 0 ? text : "", size > 0 ? (size_t)size : 0);
    lua_setfield(L, -2, name);
    openssl->BIO_ctrl(bio, BIO_CTRL_RESET, 0, NULL);
}

/* Seconds since 1970. */
static void set_time(lua_State *L, const saros_openssl *openssl, const char *name, const ASN1_TIME *time) {
    ASN1_TIME *epoch = openssl->ASN1_TIME_set(NULL, 0);
    int        days, seconds;
    if (epoch != NULL && openssl->ASN1_TIME_diff(&days, &seconds, epoch, time) == 1) {
        lua_pushinteger(L, (lua_Integer)days * 86400 + seconds);
        lua_setfield(L, -2, name);
    }
    if (epoch != NULL) openssl->ASN1_TIME_free(epoch);
}

static void set_fingerprint(lua_State *L, const saros_openssl *openssl, const X509 *certificate) {
    unsigned char digest[EVP_MAX_MD_SIZE];
    char          text[2 * EVP_MAX_MD_SIZE + 1] = "";
    unsigned int  size = 0;
    openssl->X509_digest(certificate, openssl->EVP_sha256(), digest, &size);
    for (unsigned int i = 0; i < size; i++) snprintf(text + (size_t)2 * i, 3, "%02x", digest[i]);
    set_text(L, "fingerprint", text);
}

static void set_serial(lua_State *L, const saros_openssl *openssl, X509 *certificate) {
    BIGNUM *number = openssl->ASN1_INTEGER_to_BN(openssl->X509_get0_serialNumber(certificate), NULL);
    char   *text = number != NULL ? openssl->BN_bn2hex(number) : NULL;
    set_text(L, "serial", text);
    if (text != NULL) openssl->CRYPTO_free(text, __FILE__, __LINE__);
    if (number != NULL) openssl->BN_free(number);
}

/* Pushes one as text; false: a kind that is not told. */
static bool push_name(lua_State *L, const saros_openssl *openssl, const GENERAL_NAME *name) {
    if (name->type != GEN_DNS && name->type != GEN_EMAIL && name->type != GEN_URI && name->type != GEN_IPADD)
        return false;
    const unsigned char *data = openssl->ASN1_STRING_get0_data(name->d.ia5);
    size_t               size = (size_t)openssl->ASN1_STRING_length(name->d.ia5);
    saros_address        address = {.family = size == 4 ? SAROS_INET : SAROS_INET6};
    if (name->type != GEN_IPADD) {
        lua_pushlstring(L, (const char *)data, size);
        return true;
    }
    if (size != 4 && size != 16) return false;
    memcpy(address.at.ip, data, size);
    char   text[SAROS_ADDRESS_TEXT];
    size_t length = saros_address_format(&address, text) - 2; /* without ":0" */
    if (*text == '[') lua_pushlstring(L, text + 1, length - 2);
    else lua_pushlstring(L, text, length);
    return true;
}

static void set_names(lua_State *L, const saros_openssl *openssl, const X509 *certificate) {
    GENERAL_NAMES *names = openssl->X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    lua_Integer    count = 0;
    lua_newtable(L);
    for (int i = 0; names != NULL && i < openssl->OPENSSL_sk_num((const OPENSSL_STACK *)names); i++)
        if (push_name(L, openssl, openssl->OPENSSL_sk_value((const OPENSSL_STACK *)names, i)))
            lua_rawseti(L, -2, ++count);
    if (names != NULL) openssl->GENERAL_NAMES_free(names);
    lua_setfield(L, -2, "names");
}

static void push_certificate(lua_State *L, const saros_openssl *openssl, X509 *certificate, BIO *bio) {
    lua_createtable(L, 0, 8);
    openssl->X509_NAME_print_ex(bio, openssl->X509_get_subject_name(certificate), 0, XN_FLAG_RFC2253);
    set_written(L, openssl, "subject", bio);
    openssl->X509_NAME_print_ex(bio, openssl->X509_get_issuer_name(certificate), 0, XN_FLAG_RFC2253);
    set_written(L, openssl, "issuer", bio);
    openssl->PEM_write_bio_X509(bio, certificate);
    set_written(L, openssl, "pem", bio);
    set_time(L, openssl, "not_before", openssl->X509_get0_notBefore(certificate));
    set_time(L, openssl, "not_after", openssl->X509_get0_notAfter(certificate));
    set_fingerprint(L, openssl, certificate);
    set_serial(L, openssl, certificate);
    set_names(L, openssl, certificate);
}

/* protected: the table of the connection; what OpenSSL gave us is freed by who calls. Arguments: the stream's TLS, the
 * peer's certificate, a BIO in memory. */
static int push_info(lua_State *L) {
    saros_tls           *tls = lua_touserdata(L, 1);
    X509                *peer = lua_touserdata(L, 2);
    const saros_openssl *openssl = tls->openssl;
    const SSL_CIPHER    *cipher = openssl->SSL_get_current_cipher(tls->ssl);
    const unsigned char *alpn;
    unsigned int         size;
    lua_createtable(L, 0, 8);
    set_text(L, "version", openssl->SSL_get_version(tls->ssl));
    set_text(L, "cipher", cipher != NULL ? openssl->SSL_CIPHER_get_name(cipher) : NULL);
    lua_pushinteger(L, cipher != NULL ? openssl->SSL_CIPHER_get_bits(cipher, NULL) : 0);
    lua_setfield(L, -2, "bits");
    set_text(L, "server_name", openssl->SSL_get_servername(tls->ssl, TLSEXT_NAMETYPE_host_name));
    openssl->SSL_get0_alpn_selected(tls->ssl, &alpn, &size);
    if (size > 0) {
        lua_pushlstring(L, (const char *)alpn, size);
        lua_setfield(L, -2, "alpn");
    }
    lua_pushboolean(L, openssl->SSL_is_server(tls->ssl));
    lua_setfield(L, -2, "server");
    lua_pushboolean(L, openssl->SSL_session_reused(tls->ssl));
    lua_setfield(L, -2, "reused");
    lua_pushstring(L, openssl->X509_verify_cert_error_string(openssl->SSL_get_verify_result(tls->ssl)));
    lua_setfield(L, -2, "verdict");
    if (peer != NULL) {
        push_certificate(L, openssl, peer, lua_touserdata(L, 3));
        lua_setfield(L, -2, "peer");
    }
    return 1;
}

static saros_tls *check_tls(lua_State *L, saros_stream **stream) {
    *stream = saros_check_stream(L);
    saros_tls *tls = (*stream)->rt != NULL ? saros_tls_of(*stream) : NULL;
    return tls != NULL && tls->established ? tls : NULL;
}

/* nil where TLS has not begun; nil, "closed", "ECLOSED". */
static int no_tls(lua_State *L, const saros_stream *stream) {
    if (stream->rt == NULL) return saros_closed(L);
    lua_pushnil(L);
    return 1;
}

int saros_tls_info(lua_State *L) {
    saros_stream *stream;
    saros_tls    *tls = check_tls(L, &stream);
    if (tls == NULL) return no_tls(L, stream);
    const saros_openssl *openssl = tls->openssl;
    luaL_checkstack(L, 4, "tls_info");
    X509 *peer = openssl->SSL_get_peer_certificate(tls->ssl);
    BIO  *bio = openssl->BIO_new(openssl->BIO_s_mem());
    int   status = LUA_ERRMEM;
    lua_pushcfunction(L, push_info);
    lua_pushlightuserdata(L, tls);
    lua_pushlightuserdata(L, peer);
    lua_pushlightuserdata(L, bio);
    if (bio != NULL) status = lua_pcall(L, 3, 1, 0);
    else lua_pushliteral(L, "not enough memory");
    if (bio != NULL) openssl->BIO_free(bio);
    if (peer != NULL) openssl->X509_free(peer);
    openssl->ERR_clear_error();
    return status == LUA_OK ? 1 : lua_error(L);
}

/* ---- sessions ------------------------------------------------------------------------------------------------- */

static int session_gc(lua_State *L) {
    saros_tls_resumable *session = saros_check(L, 1, SAROS_T_TLS_SESSION);
    if (session->session != NULL) saros_openssl_table()->SSL_SESSION_free(session->session);
    session->session = NULL;
    return 0;
}

/* stream:tls_session() -> what a later connection to the same server may resume */
int saros_tls_session(lua_State *L) {
    saros_stream *stream;
    saros_tls    *tls = check_tls(L, &stream);
    if (tls == NULL) return no_tls(L, stream);
    saros_tls_resumable *resumable = saros_new(L, saros_state(L), SAROS_T_TLS_SESSION, sizeof *resumable, 0);
    resumable->session = tls->openssl->SSL_get1_session(tls->ssl);
    return 1;
}

void saros_open_tls_session(lua_State *L) {
    static const luaL_Reg meta[] = {{"__gc", session_gc}, {NULL, NULL}};
    saros_type_make(L, SAROS_T_TLS_SESSION, "saros.tls_session", NULL, meta);
}
