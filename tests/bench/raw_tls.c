/* raw_tls.c: the TLS echo server that ours is measured against: usage: bench_raw_tls CERTIFICATE KEY
 *
 * raw_epoll.c with OpenSSL on the descriptors, as its manual shows it: one buffer for all, each connection read until
 * OpenSSL wants more, and what was read written back. It owns its descriptors and what a full socket did not take. It
 * promises to answer every byte in order, to print "listening 127.0.0.1:PORT" once it listens, and to live until a signal
 * ends it.
 */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "raw_listen.h"

enum { BUFFER_SIZE = 16 * 1024, EVENTS = 256, ACCEPT_BATCH = 64 };

/* While `left` is not 0 the connection is not read. */
struct connection {
    int   fd;
    SSL  *ssl;
    char *rest;
    int   left, at;
};

static int      poller, listener;
static SSL_CTX *context;
static char     buffer[BUFFER_SIZE];

static void fail(const char *what) {
    fprintf(stderr, "bench_raw_tls: %s: %s\n", what, strerror(errno));
    ERR_print_errors_fp(stderr);
    exit(1);
}

static void watch(struct connection *c, int how, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = c};
    if (epoll_ctl(poller, how, c != NULL ? c->fd : listener, &event) < 0) fail("epoll_ctl");
}

static void drop(struct connection *c) {
    SSL_free(c->ssl);
    close(c->fd);
    free(c->rest);
    free(c);
}

/* False: the connection is gone, or waits until it can be written to. */
static bool answer(struct connection *c, const char *data, int size) {
    for (int at = 0; at < size;) {
        int n = SSL_write(c->ssl, data + at, size - at);
        if (n > 0) {
            at += n;
            continue;
        }
        if (SSL_get_error(c->ssl, n) != SSL_ERROR_WANT_WRITE) {
            drop(c);
            return false;
        }
        c->left = size - at;
        c->at = 0;
        c->rest = malloc((size_t)c->left);
        if (c->rest == NULL) fail("malloc");
        memcpy(c->rest, data + at, (size_t)c->left);
        watch(c, EPOLL_CTL_MOD, EPOLLOUT);
        return false;
    }
    return true;
}

static void echo(struct connection *c) {
    for (;;) {
        int n = SSL_read(c->ssl, buffer, sizeof buffer);
        if (n > 0) {
            if (!answer(c, buffer, n) || !SSL_has_pending(c->ssl))
                return; /* the interest stands: no recv for nothing */
        } else {
            int error = SSL_get_error(c->ssl, n);
            if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) drop(c);
            return;
        }
    }
}

static void send_rest(struct connection *c) {
    int n = SSL_write(c->ssl, c->rest + c->at, c->left);
    if (n <= 0) {
        if (SSL_get_error(c->ssl, n) != SSL_ERROR_WANT_WRITE) drop(c);
        return;
    }
    c->at += n;
    c->left -= n;
    if (c->left > 0) return;
    free(c->rest);
    c->rest = NULL;
    watch(c, EPOLL_CTL_MOD, EPOLLIN);
    echo(c); /* a record may have been read with the last one */
}

static void accept_batch(void) {
    for (int i = 0; i < ACCEPT_BATCH; i++) {
        int fd = raw_accept(listener);
        if (fd < 0) return;
        struct connection *c = calloc(1, sizeof *c);
        if (c == NULL || (c->ssl = SSL_new(context)) == NULL) fail("no memory");
        c->fd = fd;
        SSL_set_fd(c->ssl, fd);
        SSL_set_accept_state(c->ssl);
        watch(c, EPOLL_CTL_ADD, EPOLLIN);
    }
}

static void start(const char *certificate, const char *key) {
    struct sockaddr_in address;
    context = SSL_CTX_new(TLS_server_method());
    if (context == NULL || SSL_CTX_use_certificate_chain_file(context, certificate) != 1 ||
        SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1)
        fail("OpenSSL");
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(context, 1); /* a header and its record in one recv */
    listener = raw_listen(&address);
    if (listener < 0) fail("no listener");
    poller = epoll_create1(EPOLL_CLOEXEC);
    if (poller < 0) fail("epoll_create1");
    watch(NULL, EPOLL_CTL_ADD, EPOLLIN);
    raw_tell(&address);
}

int main(int count, char **arguments) {
    static struct epoll_event events[EVENTS];
    if (count != 3) fail("usage: bench_raw_tls CERTIFICATE KEY");
    start(arguments[1], arguments[2]);
    for (;;) {
        int ready = epoll_wait(poller, events, EVENTS, -1);
        if (ready < 0 && errno != EINTR) fail("epoll_wait");
        for (int i = 0; i < ready; i++) {
            struct connection *c = events[i].data.ptr;
            ERR_clear_error();
            if (c == NULL) accept_batch();
            else if (c->left > 0) send_rest(c);
            else echo(c);
        }
    }
}
