/* engine.c: OpenSSL between a stream's bytes and its handle's.
 *
 * OpenSSL sees no socket. What was received is put before it while we call it; what it writes is collected, and sent by an
 * operation of the engine's own: a record that was begun must go out whole, whatever becomes of the task that wrote it.
 * Owns what is to be sent, in two parts: what the kernel has must neither move nor grow.
 * Promises: a write has been taken by the kernel when it is told, and at most 64 KiB of it are encrypted at a time;
 * receiving drains OpenSSL, so that nothing is ever held back there; the end of the connection without TLS's own
 * close-notify is an error, after all that came before it; an idle connection has no buffer of ours. */
#include <limits.h>
#include <string.h>

#include "bindings/lua/tls/tls.h"

/* Bytes that OpenSSL has written and no send has begun with. A write has at most a batch, and a little more, of them: what is
 * beyond are answers to a peer that takes none (KeyUpdate: RFC 8446, 4.6.3), who could go on for ever. */
enum { MOST_UNTAKEN = 2 * SAROS_TLS_BATCH };

/* ---- what OpenSSL reads and writes ---------------------------------------------------------------------------- */

static int bio_read(BIO *bio, char *to, int size) {
    const saros_openssl *openssl = saros_openssl_table();
    saros_tls           *tls = openssl->BIO_get_data(bio);
    openssl->BIO_clear_flags(bio, BIO_FLAGS_RWS | BIO_FLAGS_SHOULD_RETRY);
    if (size <= 0) return 0;
    if (tls->in_left == 0) {
        openssl->BIO_set_flags(bio, BIO_FLAGS_READ | BIO_FLAGS_SHOULD_RETRY);
        return -1;
    }
    size_t count = tls->in_left < (size_t)size ? tls->in_left : (size_t)size;
    memcpy(to, tls->in, count);
    tls->in += count;
    tls->in_left -= count;
    return (int)count;
}

static bool make_room(saros_tls *tls, size_t more) {
    saros_tls_bytes *out = &tls->out;
    if (out->data == NULL) {
        *out = tls->state->spare;
        tls->state->spare = (saros_tls_bytes){0};
    }
    if (out->room - out->size >= more) return true;
    size_t room = out->room > 0 ? out->room * 2 : SAROS_TLS_RECORD + 1024;
    while (room - out->size < more) room *= 2;
    char *data = saros_tls_realloc(tls->state, out->data, out->room, room);
    if (data == NULL) return false;
    out->data = data;
    out->room = room;
    return true;
}

static int bio_write(BIO *bio, const char *from, int size) {
    const saros_openssl *openssl = saros_openssl_table();
    saros_tls           *tls = openssl->BIO_get_data(bio);
    openssl->BIO_clear_flags(bio, BIO_FLAGS_RWS | BIO_FLAGS_SHOULD_RETRY);
    if (size <= 0) return 0;
    if (tls->error < 0 || tls->half) return size; /* nobody can be told any more */
    if (!make_room(tls, (size_t)size)) {
        tls->error = SAROS_ENOMEM;
        return -1;
    }
    memcpy(tls->out.data + tls->out.size, from, (size_t)size);
    tls->out.size += (size_t)size;
    return size;
}

static long bio_ctrl(BIO *bio, int command, long number, void *p) {
    (void)bio, (void)number, (void)p;
    return command == BIO_CTRL_FLUSH;
}

BIO_METHOD *saros_tls_method(const saros_openssl *openssl) {
    BIO_METHOD *method = openssl->BIO_meth_new(openssl->BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "saros");
    if (method == NULL) return NULL;
    openssl->BIO_meth_set_read(method, bio_read);
    openssl->BIO_meth_set_write(method, bio_write);
    openssl->BIO_meth_set_ctrl(method, bio_ctrl);
    return method;
}

/* ---- sending -------------------------------------------------------------------------------------------------- */

/* One is kept for the next write. */
static void give_back(saros_tls *tls, saros_tls_bytes *bytes) {
    saros_tls_state *state = tls->state;
    bytes->size = 0;
    if (state->spare.data == NULL && !state->closed && bytes->room <= 2 * SAROS_TLS_BATCH) state->spare = *bytes;
    else saros_tls_realloc(state, bytes->data, bytes->room, 0);
    *bytes = (saros_tls_bytes){0};
}

bool saros_tls_is_flushed(const saros_tls *tls) {
    return tls->op.state == SAROS_IDLE && tls->out.size == 0 && tls->sending.size == 0 && !tls->half_wanted;
}

/* The next thing to be done to the handle; false: there is none. */
static bool prepare(saros_tls *tls) {
    if (tls->sending.size == 0 && tls->out.size > 0) {
        tls->sending = tls->out;
        tls->out = (saros_tls_bytes){0};
    }
    tls->op.handle = &tls->stream->handle;
    if (tls->sending.size > 0) {
        tls->op.kind = SAROS_OP_SEND;
        tls->op.data = tls->sending.data + tls->sent;
        tls->op.size = tls->sending.size - tls->sent;
        return true;
    }
    tls->op.kind = SAROS_OP_SHUTDOWN;
    return tls->half_wanted;
}

static void done_one(saros_tls *tls, int64_t result) {
    if (result < 0) {
        tls->error = (int)result;
        tls->half_wanted = false;
        give_back(tls, &tls->sending);
        if (tls->out.data != NULL) give_back(tls, &tls->out);
        tls->sent = 0;
    } else if (tls->op.kind == SAROS_OP_SHUTDOWN) {
        tls->half = true;
        tls->half_wanted = false;
    } else if ((tls->sent += (size_t)result) == tls->sending.size) {
        tls->sent = 0;
        give_back(tls, &tls->sending);
    }
}

void saros_tls_flush(saros_tls *tls) {
    while (tls->op.state == SAROS_IDLE && tls->error == 0 && prepare(tls)) {
        if (!saros_submit_now(tls->loop, &tls->op)) return;
        done_one(tls, tls->op.result);
    }
}

static void told(saros_loop *loop, saros_op *op, int64_t result) {
    saros_tls *tls = (saros_tls *)((char *)op - offsetof(saros_tls, op));
    (void)loop;
    done_one(tls, result);
    if (!tls->closing) saros_tls_flush(tls);
    if (tls->error < 0) saros_wake_all(&tls->waiters, tls->error);
    else if (saros_tls_is_flushed(tls)) saros_wake_all(&tls->waiters, (int64_t)tls->taken);
}

/* ---- the layer ------------------------------------------------------------------------------------------------ */

static int failed(saros_tls *tls) {
    const char *why = saros_tls_reason(tls->openssl);
    if (tls->error == 0) {
        tls->error = SAROS_ETLS;
        tls->why = why;
    }
    return tls->error;
}

/* True: task->op.result is what came of it, or nothing is to be waited for. */
static bool answered(saros_task *task, int64_t result) {
    task->op.result = result;
    return true;
}

/* Encrypts some of a write, or the word that ends it. Less than 0: the error. */
static int64_t encrypt(saros_tls *tls, const saros_op *op) {
    const saros_openssl *openssl = tls->openssl;
    size_t               size = op->size < SAROS_TLS_BATCH ? op->size : SAROS_TLS_BATCH, written = 0;
    openssl->ERR_clear_error();
    if (op->kind == SAROS_OP_SHUTDOWN) {
        if (openssl->SSL_shutdown(tls->ssl) < 0) return failed(tls);
        tls->half_wanted = !tls->half;
        return 0;
    }
    if (!openssl->SSL_write_ex(tls->ssl, op->data, size, &written)) return failed(tls);
    return (int64_t)written;
}

static bool send(saros_stream *stream, saros_task *task) {
    saros_tls *tls = saros_tls_of(stream);
    if (!tls->established && tls->error == 0) tls->error = SAROS_ETLS;
    tls->taken = 0;
    if (tls->error < 0) return answered(task, tls->error);
    if (tls->half || tls->half_wanted) return answered(task, task->op.kind == SAROS_OP_SEND ? SAROS_EPIPE : 0);
    int64_t taken = 0;
    if (saros_tls_is_flushed(tls) || task->op.kind == SAROS_OP_SHUTDOWN) {
        taken = encrypt(tls, &task->op);
        if (taken < 0) return answered(task, taken);
        saros_tls_flush(tls);
        if (tls->error < 0) return answered(task, tls->error);
        if (saros_tls_is_flushed(tls)) return answered(task, taken);
    } /* else a writer that was cancelled has left something behind, which goes first */
    tls->taken = (size_t)taken;
    saros_wait_on(task, &tls->waiters);
    return false;
}

void saros_tls_drain(saros_tls *tls) {
    const saros_openssl *openssl = tls->openssl;
    saros_stream        *stream = tls->stream;
    char                *plain = tls->state->plain;
    size_t               size = 0, got;
    openssl->ERR_clear_error();
    while (size < SAROS_TLS_PLAIN && openssl->SSL_read_ex(tls->ssl, plain + size, SAROS_TLS_PLAIN - size, &got))
        size += got;
    int error = size < SAROS_TLS_PLAIN ? openssl->SSL_get_error(tls->ssl, 0) : SSL_ERROR_SSL;
    tls->in_left = 0;
    if (size > 0 && !saros_stream_feed(stream, plain, size)) {
        stream->window.error = SAROS_ENOMEM;
    } else if (error == SSL_ERROR_ZERO_RETURN) {
        stream->window.ended = true;
    } else if (error != SSL_ERROR_WANT_READ) {
        stream->window.error = SAROS_ETLS;
        tls->why = saros_tls_reason(openssl);
    }
    saros_tls_flush(tls); /* an alert, an answer to new keys */
    if (tls->out.size <= MOST_UNTAKEN || tls->error < 0) return;
    stream->window.error = tls->error = SAROS_ETLS;
    tls->why = "the peer asks for new keys, and does not take the answers";
}

static void received(saros_stream *stream, int64_t result) {
    saros_tls *tls = saros_tls_of(stream);
    if (result < 0) {
        stream->window.error = (int)result;
    } else if (!tls->established) {
        stream->window.error = SAROS_ETLS;
    } else if (result == 0) {
        stream->window.error = SAROS_ETRUNCATED;
    } else {
        tls->in = saros_lent(tls->loop);
        tls->in_left = (size_t)result;
        saros_tls_drain(tls);
    }
}

static size_t taken(const saros_stream *stream) { return saros_tls_of(stream)->taken; }

static const char *why(const saros_stream *stream, int code) {
    const saros_tls *tls = saros_tls_of(stream);
    return code == SAROS_ETLS && tls->why != NULL ? tls->why : saros_error_text(code);
}

/* What has come and nobody has read, as the tickets of a server whose client only writes: a system that is left with that
 * answers the close by a reset, and drops what it has not sent yet. */
static void take_unread(saros_tls *tls) {
    saros_op op = {.kind = SAROS_OP_RECV, .handle = &tls->stream->handle};
    op.buffer = tls->state->plain;
    op.size = SAROS_TLS_PLAIN;
    if (!saros_submit_now(tls->loop, &op)) saros_abandon(tls->loop, &op);
}

/* A peer that takes nothing is not waited for: it learns of the end without close-notify. One that is to see a reset must not
 * take what it has for all. */
static void closing(saros_stream *stream) {
    saros_tls *tls = saros_tls_of(stream);
    bool       aborts = stream->window.copies & SAROS_ABORTS;
    if (tls->established && tls->error == 0 && !aborts && stream->reader == NULL) take_unread(tls);
    if (tls->established && tls->error == 0 && !aborts && saros_tls_is_flushed(tls) && !tls->half) {
        tls->openssl->ERR_clear_error();
        tls->openssl->SSL_shutdown(tls->ssl);
        tls->openssl->ERR_clear_error();
        saros_tls_flush(tls);
    }
    tls->closing = true;
    saros_wake_all(&tls->waiters, SAROS_ECLOSED);
}

static void free_tls(saros_layer *layer, saros_loop *loop) {
    saros_tls       *tls = (saros_tls *)(void *)layer;
    saros_tls_state *state = tls->state;
    saros_abandon(loop, &tls->op);
    tls->openssl->SSL_free(tls->ssl); /* and what it reads and writes by */
    if (tls->sending.data != NULL) give_back(tls, &tls->sending);
    if (tls->out.data != NULL) give_back(tls, &tls->out);
    saros_tls_realloc(state, tls, sizeof *tls, 0);
}

static const saros_layer functions = {
    .received = received, .send = send, .taken = taken, .why = why, .closing = closing, .free = free_tls};

saros_tls *saros_tls_of(const saros_stream *stream) {
    saros_layer *layer = stream->layer;
    return layer != NULL && layer->received == received ? (saros_tls *)(void *)layer : NULL;
}

saros_tls *saros_tls_new(saros_tls_state *state, saros_stream *stream, SSL_CTX *ctx) {
    const saros_openssl *openssl = state->openssl;
    saros_tls           *tls = saros_tls_realloc(state, NULL, 0, sizeof *tls);
    if (tls == NULL) return NULL;
    *tls = (saros_tls){.layer = functions, .state = state, .openssl = openssl, .stream = stream};
    tls->loop = stream->rt->loop;
    tls->op.done = told;
    tls->ssl = openssl->SSL_new(ctx);
    BIO *bio = tls->ssl != NULL ? openssl->BIO_new(openssl->method) : NULL;
    if (bio == NULL) {
        if (tls->ssl != NULL) openssl->SSL_free(tls->ssl);
        openssl->ERR_clear_error();
        saros_tls_realloc(state, tls, sizeof *tls, 0);
        return NULL;
    }
    openssl->BIO_set_data(bio, tls);
    openssl->BIO_set_init(bio, 1);
    openssl->SSL_set_bio(tls->ssl, bio, bio);
    stream->layer = &tls->layer;
    return tls;
}
