/* handshake.c: a stream becomes a TLS stream.
 *
 * The task that asks for it is the stream's reader and writer until it is done. Promises: nothing that was received in plain
 * before is ever taken for protected (STARTTLS injection); a handshake that fails, or whose task is cancelled at whatever
 * byte, closes the stream; when it has succeeded, its last bytes are with the kernel. */
#include <stdio.h>
#include <string.h>

#include "bindings/lua/tls/tls.h"

/* Stack of all of these: 1 the stream, 2 the context. */
static int go_on_k(lua_State *L, int status, lua_KContext ctx);
static int flushed_k(lua_State *L, int status, lua_KContext ctx);

static void let_go(saros_stream *stream, saros_task *task) {
    if (stream->reader == task) stream->reader = NULL;
    saros_stream_pass_on(stream, task);
}

/* The stream is closed; what OpenSSL has to say to the peer is sent if that can be done at once. nil, message, code. */
static int fail(lua_State *L, saros_stream *stream, saros_task *task, int code, const char *why) {
    let_go(stream, task);
    saros_fail(L, code, "%s", why);
    saros_stream_close(L, 1, stream);
    return 3;
}

static int fail_tls(lua_State *L, saros_tls *tls, saros_task *task) {
    const saros_openssl *openssl = tls->openssl;
    saros_stream        *stream = tls->stream;
    char                 text[256];
    long                 verdict = openssl->SSL_get_verify_result(tls->ssl);
    bool                 refused = ERR_GET_REASON(openssl->ERR_peek_error()) == SSL_R_CERTIFICATE_VERIFY_FAILED;
    const char          *why = saros_tls_reason(openssl);
    if (!refused) return fail(L, stream, task, SAROS_ETLS, why);
    snprintf(text, sizeof text, "%s: %s", why, openssl->X509_verify_cert_error_string(verdict));
    return fail(L, stream, task, SAROS_ECERT, text);
}

static int done(lua_State *L, saros_tls *tls, saros_task *task) {
    saros_stream *stream = tls->stream;
    let_go(stream, task);
    lua_settop(L, 1);
    return 1;
}

/* What came behind the peer's last word is its first data. */
static int finish(lua_State *L, saros_tls *tls, saros_task *task) {
    tls->established = true;
    tls->stream->window.error = 0;
    tls->why = NULL;
    saros_tls_drain(tls);
    if (tls->stream->window.lent && !saros_window_own(tls->loop, &tls->stream->window, 0))
        return fail(L, tls->stream, task, SAROS_ENOMEM, saros_error_text(SAROS_ENOMEM));
    if (tls->error < 0) return fail(L, tls->stream, task, tls->error, saros_error_text(tls->error));
    if (saros_tls_is_flushed(tls)) return done(L, tls, task);
    saros_wait_on(task, &tls->waiters);
    return saros_suspend(L, task, 0, flushed_k);
}

static int go_on(lua_State *L, saros_tls *tls, saros_task *task) {
    const saros_openssl *openssl = tls->openssl;
    openssl->ERR_clear_error();
    int result = openssl->SSL_do_handshake(tls->ssl);
    int error = result == 1 ? SSL_ERROR_NONE : openssl->SSL_get_error(tls->ssl, result);
    saros_tls_flush(tls);
    if (result == 1) return finish(L, tls, task);
    if (error != SSL_ERROR_WANT_READ) return fail_tls(L, tls, task);
    if (tls->error < 0) return fail(L, tls->stream, task, tls->error, saros_error_text(tls->error));
    task->op.kind = SAROS_OP_RECV;
    task->op.handle = &tls->stream->handle;
    task->op.buffer = NULL; /* lent */
    saros_submit(task->rt->loop, &task->op);
    return saros_suspend(L, task, 0, go_on_k);
}

/* Less than 0: the wait has failed, and *answer is the end of the function. It raises where the task was cancelled. */
static bool is_over(lua_State *L, saros_task *task, int *answer) {
    saros_stream *stream = lua_touserdata(L, 1);
    int64_t       result = task->op.result;
    if (stream->rt == NULL) { /* and who waited for it was told */
        *answer = saros_closed(L);
        return true;
    }
    if (saros_is_cancelled(task)) {
        let_go(stream, task);
        saros_stream_close(L, 1, stream);
        saros_raise_cancelled(L, task);
    }
    if (result < 0) *answer = fail(L, stream, task, (int)result, saros_error_text((int)result));
    return result < 0;
}

static int go_on_k(lua_State *L, int status, lua_KContext ctx) {
    saros_task *task = saros_resumed_raw(L);
    int         answer;
    (void)status, (void)ctx;
    if (is_over(L, task, &answer)) return answer;
    saros_stream *stream = lua_touserdata(L, 1);
    saros_tls    *tls = saros_tls_of(stream);
    int64_t       size = task->op.result;
    if (size == 0) return fail(L, stream, task, SAROS_ETRUNCATED, "the peer ended the connection in the handshake");
    tls->in = saros_lent(tls->loop);
    tls->in_left = (size_t)size;
    return go_on(L, tls, task);
}

static int flushed_k(lua_State *L, int status, lua_KContext ctx) {
    saros_task *task = saros_resumed_raw(L);
    int         answer;
    (void)status, (void)ctx;
    saros_wait_unlink(&task->wait);
    if (is_over(L, task, &answer)) return answer;
    return done(L, saros_tls_of(lua_touserdata(L, 1)), task);
}

/* ---- beginning ------------------------------------------------------------------------------------------------ */

static bool expect_host(const saros_openssl *openssl, SSL *ssl, const char *host, size_t size) {
    /* To OpenSSL no name is any, and ".a" all that is below a. */
    if (size == 0 || strlen(host) != size || *host == '.') return false;
    X509_VERIFY_PARAM *param = openssl->SSL_get0_param(ssl);
    if (openssl->X509_VERIFY_PARAM_set1_ip_asc(param, host) == 1) return true; /* and no SNI, as RFC 6066 has it */
    openssl->ERR_clear_error();
    openssl->X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return openssl->X509_VERIFY_PARAM_set1_host(param, host, 0) == 1 &&
           openssl->SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, (void *)host) == 1;
}

/* From the arguments of handshake. False: no memory, or a host that cannot be one. */
static bool set_up(lua_State *L, const saros_openssl *openssl, SSL *ssl) {
    static const int modes[] = {SSL_VERIFY_NONE, SSL_VERIFY_PEER, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT};
    size_t           size;
    bool             server = lua_toboolean(L, 3) != 0, well = true;
    unsigned char    sessions[] = "saros, verifying 0";
    /* Nobody is verified again who resumes a session: so it is good only where as much is asked. */
    sessions[sizeof sessions - 2] = (unsigned char)('0' + lua_tointeger(L, 5));
    openssl->SSL_set_verify(ssl, modes[lua_tointeger(L, 5)], NULL);
    if (server) {
        well = openssl->SSL_set_session_id_context(ssl, sessions, sizeof sessions - 1) == 1;
        openssl->SSL_set_accept_state(ssl);
    } else {
        openssl->SSL_set_connect_state(ssl);
    }
    const char *host = lua_tolstring(L, 4, &size);
    if (!server && host != NULL) well = expect_host(openssl, ssl, host, size);
    const unsigned char *alpn = (const unsigned char *)lua_tolstring(L, 6, &size);
    if (well && !server && alpn != NULL) well = openssl->SSL_set_alpn_protos(ssl, alpn, (unsigned)size) == 0;
    const saros_tls_resumable *from = saros_test(L, saros_state(L), 7, SAROS_T_TLS_SESSION);
    if (well && !server && from != NULL) well = openssl->SSL_set_session(ssl, from->session) == 1;
    return well;
}

/* _tls.handshake(stream, context, server, host | nil, verify, alpn | nil, session | nil) -> stream | nil, reason, code.
 * verify: 0 nobody, 1 who shows a certificate, 2 everybody. */
int saros_tls_handshake(lua_State *L) {
    saros_stream      *stream = saros_check_stream(L);
    saros_tls_context *context = saros_check(L, 2, SAROS_T_TLS_CONTEXT);
    saros_task        *task = saros_begin(L, "start_tls");
    lua_settop(L, 7);
    if (stream->rt == NULL) return saros_closed(L);
    if (stream->rt != task->rt) return luaL_error(L, "start_tls: the stream belongs to another loop");
    if (stream->layer != NULL) return saros_fail(L, SAROS_EISCONN, "TLS has begun on this stream already");
    if (stream->reader != NULL || stream->writer != NULL)
        return saros_fail(L, SAROS_EBUSY, "another task is %s this stream",
                          stream->reader != NULL ? "reading" : "writing to");
    if (stream->window.left > 0)
        return saros_fail(L, SAROS_ETLS, "%zu bytes were received in plain before TLS began", stream->window.left);
    if (stream->window.error < 0 || stream->window.ended)
        return saros_fail(L, stream->window.ended ? SAROS_EEOF : stream->window.error, "%s",
                          saros_error_text(stream->window.ended ? SAROS_EEOF : stream->window.error));
    if (lua_tointeger(L, 5) != 0) saros_tls_trust_system(context);
    saros_tls *tls = saros_tls_new(context->state, stream, context->ctx);
    if (tls == NULL) return luaL_error(L, "start_tls: not enough memory");
    stream->reader = stream->writer = task;
    stream->window.error = SAROS_ETLS; /* for whoever uses it when its task was closed, and nobody goes on */
    tls->why = "the handshake was not finished";
    if (!set_up(L, tls->openssl, tls->ssl)) return fail_tls(L, tls, task);
    lua_settop(L, 2);
    return go_on(L, tls, task);
}
