/* context.c: certificates, keys, and what else connections have in common: an SSL_CTX in Lua's hands.
 *
 * A context can be configured anew while connections use it: those that are open keep what they began with. It serves
 * clients and servers alike; whom to verify is said for each connection.
 * Promises: everything comes as text, no file is read here but a folder of authorities and the system's store; a password
 * is never asked for on a terminal; renegotiation and compression are off. */
#include <string.h>

#include "bindings/lua/tls/tls.h"

/* ---- what can be wrong ---------------------------------------------------------------------------------------- */

/* nil, message, code. */
static int bad(lua_State *L, const saros_openssl *openssl, const char *what) {
    return saros_fail(L, SAROS_ETLS, "%s: %s", what, saros_tls_reason(openssl));
}

static const char *text_field(lua_State *L, int table, const char *name, size_t *size) {
    const char *text = saros_option(L, table, name) == LUA_TSTRING ? lua_tolstring(L, -1, size) : NULL;
    lua_pop(L, 1); /* the table keeps it */
    return text;
}

/* A reader of PEM's text; NULL, with OpenSSL's error. */
static BIO *reader(const saros_openssl *openssl, const char *text, size_t size) {
    return openssl->BIO_new_mem_buf(text, (int)size);
}

static bool at_end(const saros_openssl *openssl) { /* of the certificates in a text, which is no error */
    bool end = ERR_GET_REASON(openssl->ERR_peek_last_error()) == PEM_R_NO_START_LINE;
    if (end) openssl->ERR_clear_error();
    return end;
}

/* ---- own certificate ------------------------------------------------------------------------------------------ */

/* The first certificate is ours, the others lead to whoever has signed it. */
static bool use_chain(const saros_openssl *openssl, SSL_CTX *ctx, BIO *from, const char *password) {
    X509 *own = openssl->PEM_read_bio_X509_AUX(from, NULL, NULL, NULL), *next;
    (void)password; /* no secret */
    bool well = own != NULL && openssl->SSL_CTX_use_certificate(ctx, own) == 1;
    if (own != NULL) openssl->X509_free(own);
    while (well && (next = openssl->PEM_read_bio_X509(from, NULL, NULL, NULL)) != NULL) {
        well = openssl->SSL_CTX_ctrl(ctx, SSL_CTRL_EXTRA_CHAIN_CERT, 0, next) == 1; /* owns it from now on */
        if (!well) openssl->X509_free(next);
    }
    return well && at_end(openssl);
}

static int give_password(char *to, int size, int writing, void *password) {
    (void)writing;
    size_t length = password != NULL ? strlen(password) : 0;
    if (length > (size_t)size) return 0;
    if (length > 0) memcpy(to, password, length);
    return (int)length;
}

static bool use_key(const saros_openssl *openssl, SSL_CTX *ctx, BIO *from, const char *password) {
    EVP_PKEY *key = openssl->PEM_read_bio_PrivateKey(from, NULL, give_password, (void *)password);
    if (key == NULL) return false;
    bool well = openssl->SSL_CTX_use_PrivateKey(ctx, key) == 1;
    openssl->EVP_PKEY_free(key);
    return well && openssl->SSL_CTX_check_private_key(ctx) == 1;
}

/* ---- others' certificates ------------------------------------------------------------------------------------- */

/* Those who are trusted; they are also named to clients that are asked for a certificate. */
static bool trust(const saros_openssl *openssl, SSL_CTX *ctx, BIO *from, const char *password) {
    X509_STORE *store = openssl->SSL_CTX_get_cert_store(ctx);
    X509       *one;
    bool        well = true;
    int         count = 0;
    (void)password; /* no secret */
    for (; well && (one = openssl->PEM_read_bio_X509_AUX(from, NULL, NULL, NULL)) != NULL; count++) {
        well = openssl->X509_STORE_add_cert(store, one) == 1 && openssl->SSL_CTX_add_client_CA(ctx, one) == 1;
        openssl->X509_free(one);
    }
    return well && count > 0 && at_end(openssl);
}

/* ---- names and protocols that clients ask for ----------------------------------------------------------------- */

static bool matches(const char *pattern, const char *name) {
    if (strncmp(pattern, "*.", 2) != 0) return strcmp(pattern, name) == 0;
    const char *dot = strchr(name, '.');
    return dot != NULL && dot != name && strcmp(pattern + 1, dot) == 0;
}

/* A session in which the client has shown its certificate is good for the name that it was made with: another name's
 * context may trust others, and nobody is verified again who resumes one. */
static bool is_of_another(const saros_openssl *openssl, SSL *ssl, const char *asked) {
    if (!openssl->SSL_session_reused(ssl) || !(openssl->SSL_get_verify_mode(ssl) & SSL_VERIFY_PEER)) return false;
    const char *made = openssl->SSL_SESSION_get0_hostname(openssl->SSL_get_session(ssl));
    return strcmp(made != NULL ? made : "", asked != NULL ? asked : "") != 0;
}

/* No context of that name: ours it is, and the client will judge. */
static int choose_name(SSL *ssl, int *alert, void *p) {
    const saros_tls_context *self = p;
    char                     name[256];
    if (self == NULL) return SSL_TLSEXT_ERR_OK; /* see context_gc */
    const saros_openssl *openssl = self->state->openssl;
    const char          *asked = openssl->SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    size_t               length = asked != NULL ? strlen(asked) : 0;
    if (self->count > 0 && is_of_another(openssl, ssl, asked)) {
        *alert = SSL_AD_ACCESS_DENIED;
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    if (length == 0 || length >= sizeof name) return SSL_TLSEXT_ERR_OK;
    for (size_t i = 0; i <= length; i++)
        name[i] = asked[i] >= 'A' && asked[i] <= 'Z' ? (char)(asked[i] + ('a' - 'A')) : asked[i];
    for (size_t i = 0; i < self->count; i++) {
        if (!matches(self->names[i].name, name)) continue;
        openssl->SSL_set_SSL_CTX(ssl, self->names[i].context->ctx);
        break;
    }
    return SSL_TLSEXT_ERR_OK;
}

/* Ours come in the order of our liking. Nothing in common ends the handshake, as RFC 7301 has it. */
static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *size, const unsigned char *theirs,
                           unsigned int their_size, void *p) {
    const saros_tls_context *self = p;
    (void)ssl;
    int found = self->state->openssl->SSL_select_next_proto((unsigned char **)out, size, self->alpn,
                                                            (unsigned int)self->alpn_size, theirs, their_size);
    return found == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

static void free_names(saros_tls_context *self) {
    if (self->names != NULL) saros_tls_realloc(self->state, self->names, self->count * sizeof *self->names, 0);
    self->names = NULL;
    self->count = 0;
}

/* The list of {name, context} at `index`, whose strings and contexts the user value keeps. False: no memory. */
static bool keep_names(lua_State *L, saros_tls_context *self, int index) {
    size_t          count = (size_t)lua_rawlen(L, index);
    saros_tls_name *names = count > 0 ? saros_tls_realloc(self->state, NULL, 0, count * sizeof *names) : NULL;
    if (count > 0 && names == NULL) return false;
    for (size_t i = 0; i < count; i++) {
        lua_rawgeti(L, index, (lua_Integer)i + 1);
        lua_rawgeti(L, -1, 1);
        lua_rawgeti(L, -2, 2);
        names[i] = (saros_tls_name){.name = (char *)lua_tostring(L, -2), .context = lua_touserdata(L, -1)};
        lua_pop(L, 3);
    }
    free_names(self);
    self->names = names;
    self->count = count;
    return true;
}

/* ---- putting it together -------------------------------------------------------------------------------------- */

/* Sets ctx up from the table at `index`. 0; or what was pushed: nil, message, code. */
static int set_up(lua_State *L, const saros_openssl *openssl, SSL_CTX *ctx, int index) {
    static const struct {
        const char *option, *shown;
        bool (*use)(const saros_openssl *openssl, SSL_CTX *ctx, BIO *from, const char *password);
    } texts[] = {{"cert", "option 'cert'", use_chain}, {"key", "option 'key'", use_key}, {"ca", "option 'ca'", trust}};
    size_t      size;
    const char *text, *password = text_field(L, index, "password", &size);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if ((text = text_field(L, index, texts[i].option, &size)) == NULL) continue;
        BIO *from = reader(openssl, text, size);
        bool well = from != NULL && texts[i].use(openssl, ctx, from, password);
        if (from != NULL) openssl->BIO_free(from);
        if (!well) return bad(L, openssl, texts[i].shown);
    }
    if ((text = text_field(L, index, "folder", &size)) != NULL &&
        openssl->SSL_CTX_load_verify_locations(ctx, NULL, text) != 1)
        return bad(L, openssl, "option 'ca'");
    if ((text = text_field(L, index, "ciphers", &size)) != NULL && openssl->SSL_CTX_set_cipher_list(ctx, text) != 1)
        return bad(L, openssl, "option 'ciphers'");
    if ((text = text_field(L, index, "ciphersuites", &size)) != NULL &&
        openssl->SSL_CTX_set_ciphersuites(ctx, text) != 1)
        return bad(L, openssl, "option 'ciphersuites'");
    return 0;
}

static void set_versions(lua_State *L, const saros_openssl *openssl, SSL_CTX *ctx, int index) {
    static const char *const names[] = {"min_version", "max_version"};
    static const int         commands[] = {SSL_CTRL_SET_MIN_PROTO_VERSION, SSL_CTRL_SET_MAX_PROTO_VERSION};
    for (int i = 0; i < 2; i++) {
        saros_option(L, index, names[i]);
        openssl->SSL_CTX_ctrl(ctx, commands[i], (long)lua_tointeger(L, -1), NULL);
        lua_pop(L, 1);
    }
}

/* A new SSL_CTX with all that is always so. NULL: no memory. */
static SSL_CTX *new_ctx(const saros_openssl *openssl, saros_tls_context *self, bool protocols) {
    static const unsigned char session[] = "saros";
    SSL_CTX                   *ctx = openssl->SSL_CTX_new(openssl->TLS_method());
    if (ctx == NULL) return NULL;
    openssl->SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    openssl->SSL_CTX_ctrl(ctx, SSL_CTRL_MODE, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_AUTO_RETRY, NULL);
    /* Clients resume by tickets. What the server would have to remember, it does not. */
    openssl->SSL_CTX_ctrl(ctx, SSL_CTRL_SET_SESS_CACHE_MODE, SSL_SESS_CACHE_OFF, NULL);
    openssl->SSL_CTX_set_session_id_context(ctx, session, sizeof session - 1);
    openssl->SSL_CTX_callback_ctrl(ctx, SSL_CTRL_SET_TLSEXT_SERVERNAME_CB, (void (*)(void))choose_name);
    openssl->SSL_CTX_ctrl(ctx, SSL_CTRL_SET_TLSEXT_SERVERNAME_ARG, 0, self);
    if (protocols) openssl->SSL_CTX_set_alpn_select_cb(ctx, choose_protocol, self);
    return ctx;
}

static void forget_fresh(saros_tls_context *self) {
    if (self->fresh != NULL) self->state->openssl->SSL_CTX_free(self->fresh);
    self->fresh = NULL;
}

void saros_tls_trust_system(saros_tls_context *self) {
    if (!self->system) return;
    self->system = false;
    self->state->openssl->SSL_CTX_set_default_verify_paths(self->ctx); /* none there: then nobody is trusted */
    self->state->openssl->ERR_clear_error();
}

/* _tls.configure(context | nil, {…}) -> context | nil, message, code. A context that is given is as before where that
 * fails. The table: cert, key, password, ca, folder, ciphers, ciphersuites: strings; system: boolean; min_version,
 * max_version: numbers of the protocol; alpn: as it is sent; names: {{name, context}, …}. */
int saros_tls_configure(lua_State *L) {
    char             why[256];
    saros_tls_state *state = saros_tls_state_of(L, why, sizeof why);
    if (state == NULL) return saros_fail(L, SAROS_ENOSYS, "TLS needs OpenSSL: %s", why);
    const saros_openssl *openssl = state->openssl;
    saros_tls_context   *self = lua_isnil(L, 1) ? saros_new(L, saros_state(L), SAROS_T_TLS_CONTEXT, sizeof *self, 1)
                                                : saros_check(L, 1, SAROS_T_TLS_CONTEXT);
    if (lua_isnil(L, 1)) lua_replace(L, 1);
    lua_settop(L, 2);
    self->state = state;
    openssl->ERR_clear_error();
    saros_option(L, 2, "names");
    size_t      size;
    const char *alpn = text_field(L, 2, "alpn", &size);
    forget_fresh(self); /* of a call that has raised */
    self->fresh = new_ctx(openssl, self, alpn != NULL);
    int wrong = self->fresh == NULL ? bad(L, openssl, "TLS") : set_up(L, openssl, self->fresh, 2);
    if (wrong == 0) set_versions(L, openssl, self->fresh, 2);
    bool system = saros_option(L, 2, "system") == LUA_TBOOLEAN && lua_toboolean(L, -1);
    lua_pop(L, 1);
    if (wrong == 0 && lua_istable(L, 3) && !keep_names(L, self, 3))
        wrong = saros_fail(L, SAROS_ENOMEM, "TLS: not enough memory");
    if (wrong != 0) {
        forget_fresh(self);
        return wrong;
    }
    if (!lua_istable(L, 3)) free_names(self); /* nothing raises from here on */
    if (self->ctx != NULL) openssl->SSL_CTX_free(self->ctx);
    self->ctx = self->fresh;
    self->fresh = NULL;
    self->alpn = (const unsigned char *)alpn;
    self->alpn_size = alpn != NULL ? size : 0;
    self->system = system;
    lua_pushvalue(L, 2);
    lua_setiuservalue(L, 1, 1); /* its strings are ours to read from now on */
    lua_pushvalue(L, 1);
    return 1;
}

/* A handshake that has come to it by its name, and is at its second greeting, has the SSL_CTX still; not us. */
static int context_gc(lua_State *L) {
    saros_tls_context *self = saros_check(L, 1, SAROS_T_TLS_CONTEXT);
    if (self->state == NULL) return 0;
    const saros_openssl *openssl = self->state->openssl;
    if (self->ctx != NULL) {
        openssl->SSL_CTX_ctrl(self->ctx, SSL_CTRL_SET_TLSEXT_SERVERNAME_ARG, 0, NULL);
        openssl->SSL_CTX_set_alpn_select_cb(self->ctx, NULL, NULL);
        openssl->SSL_CTX_free(self->ctx);
    }
    self->ctx = NULL;
    forget_fresh(self);
    free_names(self);
    return 0;
}

static int context_tostring(lua_State *L) {
    lua_pushfstring(L, "saros.tls_context: %p", (void *)saros_check(L, 1, SAROS_T_TLS_CONTEXT));
    return 1;
}

void saros_open_tls_context(lua_State *L) {
    static const luaL_Reg meta[] = {{"__gc", context_gc}, {"__tostring", context_tostring}, {NULL, NULL}};
    saros_type_make(L, SAROS_T_TLS_CONTEXT, "saros.tls_context", saros_tls_context_methods, meta);
}
