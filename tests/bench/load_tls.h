/* load_tls.h: how load.c sends and receives: plainly, or (LOAD_TLS) through OpenSSL, which verifies nobody. */
#ifndef LOAD_TLS_H
#define LOAD_TLS_H

#include <errno.h>
#include <sys/socket.h>
#include <sys/types.h>

#ifdef LOAD_TLS
#include <fcntl.h>
#include <openssl/ssl.h>

typedef SSL *load_link;

static inline bool link_open(load_link *link, int fd) {
    static SSL_CTX *context;
    if (context == NULL) {
        context = SSL_CTX_new(TLS_client_method());
        if (context == NULL) return false;
        SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    }
    *link = SSL_new(context);
    if (*link == NULL || SSL_set_fd(*link, fd) != 1 || SSL_connect(*link) != 1) return false;
    return fcntl(fd, F_SETFL, O_NONBLOCK) == 0; /* from now on */
}

static inline ssize_t link_result(load_link link, int n) {
    if (n > 0) return n;
    switch (SSL_get_error(link, n)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE: errno = EAGAIN; return -1;
    case SSL_ERROR_ZERO_RETURN: return 0;
    default: errno = EPROTO; return -1;
    }
}

static inline ssize_t link_send(load_link link, int fd, const void *data, size_t size) {
    (void)fd;
    return link_result(link, SSL_write(link, data, (int)size));
}

static inline ssize_t link_recv(load_link link, int fd, void *data, size_t size) {
    (void)fd;
    return link_result(link, SSL_read(link, data, (int)size));
}
static inline bool link_has_more(load_link link) { return SSL_pending(link) > 0; }
#else
typedef char load_link;

static inline bool link_open(load_link *link, int fd) {
    (void)link, (void)fd;
    return true;
}

static inline ssize_t link_send(load_link link, int fd, const void *data, size_t size) {
    (void)link;
    return send(fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static inline ssize_t link_recv(load_link link, int fd, void *data, size_t size) {
    (void)link;
    return recv(fd, data, size, MSG_DONTWAIT);
}
static inline bool link_has_more(load_link link) {
    (void)link;
    return false;
}
#endif

#endif
