/* tls.h: TLS on a stream: what context.c, engine.c, handshake.c and info.c share. saros/tls.lua has what scripts see. */
#ifndef SAROS_LUA_TLS_H
#define SAROS_LUA_TLS_H

#include "bindings/lua/streams/stream.h"
#include "bindings/lua/tls/service_openssl.h"

enum {
    SAROS_TLS_RECORD = 16 * 1024, /* bytes of a script that one record has at most */
    SAROS_TLS_BATCH = 4 * SAROS_TLS_RECORD,
    /* Whatever one receive of 64 KiB can finish, with what was there of a record before. */
    SAROS_TLS_PLAIN = 64 * 1024 + 2 * SAROS_TLS_RECORD
};

/* What OpenSSL wrote and the kernel has not taken. */
typedef struct saros_tls_bytes {
    char  *data;
    size_t size, room;
} saros_tls_bytes;

/* One for each state: what its connections use in turn. A userdata, in the registry. */
typedef struct saros_tls_state {
    const saros_openssl *openssl;
    lua_Alloc            alloc;
    void                *user;
    saros_tls_bytes      spare; /* so that an ordinary write allocates nothing */
    bool                 closed;
    char                 plain[SAROS_TLS_PLAIN]; /* what was received in clear, until its reader has it */
} saros_tls_state;

/* A certificate for a name that clients ask for. */
typedef struct saros_tls_context saros_tls_context;
typedef struct saros_tls_name {
    char                    *name; /* "a.example", "*.a.example" */
    const saros_tls_context *context;
} saros_tls_name;

/* SAROS_T_TLS_CONTEXT. Its user value keeps what it points to. */
struct saros_tls_context {
    saros_tls_state     *state;
    SSL_CTX             *ctx;
    SSL_CTX             *fresh; /* that is being set up in its place */
    const unsigned char *alpn;  /* as it goes over the wire; kept with the user value */
    size_t               alpn_size;
    saros_tls_name      *names;
    size_t               count;
    bool                 system; /* the system's authorities are trusted, and are not read yet */
};

/* SAROS_T_TLS_SESSION. */
typedef struct saros_tls_resumable {
    SSL_SESSION *session;
} saros_tls_resumable;

/* TLS on one stream. */
typedef struct saros_tls {
    saros_layer          layer; /* first */
    saros_tls_state     *state;
    const saros_openssl *openssl;
    saros_stream        *stream;
    saros_loop          *loop;
    SSL                 *ssl;
    const char          *in; /* what OpenSSL may read, while we call it */
    size_t               in_left;
    saros_tls_bytes      out;     /* written by OpenSSL, … */
    saros_tls_bytes      sending; /* … and on its way, … */
    size_t               sent;    /* … of which so much is with the kernel */
    saros_op             op;      /* the send that flies */
    saros_waiter        *waiters; /* who waits until nothing is left to send */
    size_t               taken;   /* bytes of the write that waits */
    const char          *why;     /* the error, static */
    int                  error;   /* of sending: nothing is sent any more */
    bool                 established, closing, half, half_wanted;
} saros_tls;

/* ---- state.c -------------------------------------------------------------------------------------------------- */

saros_tls_state *saros_tls_state_of(lua_State *L, char *why, size_t size); /* NULL: no OpenSSL here; raises */
void            *saros_tls_realloc(saros_tls_state *state, void *p, size_t before, size_t after);
/* OpenSSL's latest error in words, static; and forgets it. */
const char *saros_tls_reason(const saros_openssl *openssl);
/* The stream's TLS; NULL: it has none. */
saros_tls *saros_tls_of(const saros_stream *stream);

/* ---- context.c ------------------------------------------------------------------------------------------------ */

void saros_open_tls_context(lua_State *L);
int  saros_tls_configure(lua_State *L);
void saros_tls_trust_system(saros_tls_context *self); /* before somebody is verified; takes 20 ms the first time */

/* ---- engine.c ------------------------------------------------------------------------------------------------- */

/* Gives the stream a layer of TLS. NULL: no memory, and nothing has changed. */
saros_tls *saros_tls_new(saros_tls_state *state, saros_stream *stream, SSL_CTX *ctx);
void       saros_tls_flush(saros_tls *tls);            /* sends what there is to be sent */
bool       saros_tls_is_flushed(const saros_tls *tls); /* nothing is left to send */
void       saros_tls_drain(saros_tls *tls); /* all that has come in whole records goes into the stream's window */

/* ---- handshake.c, info.c -------------------------------------------------------------------------------------- */

int  saros_tls_handshake(lua_State *L);
int  saros_tls_info(lua_State *L);
int  saros_tls_session(lua_State *L);
void saros_open_tls_session(lua_State *L);

#endif
