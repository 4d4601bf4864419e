/* sockaddr.c: see sockaddr.h. */
#include "backends/sockaddr.h"

#include <stddef.h>
#include <string.h>

enum { PATH = offsetof(struct sockaddr_un, sun_path) };

socklen_t saros_to_sockaddr(const saros_address *address, saros_sockaddr *out) {
    memset(out, 0, sizeof *out);
    switch (address->family) {
    case SAROS_INET:
        out->in.sin_family = AF_INET;
        out->in.sin_port = htons(address->port);
        memcpy(&out->in.sin_addr, address->at.ip, 4);
        return sizeof out->in;
    case SAROS_INET6:
        out->in6.sin6_family = AF_INET6;
        out->in6.sin6_port = htons(address->port);
        out->in6.sin6_scope_id = address->scope;
        memcpy(&out->in6.sin6_addr, address->at.ip, 16);
        return sizeof out->in6;
    default:
        out->un.sun_family = AF_UNIX;
        memcpy(out->un.sun_path, address->at.path, address->length);
        /* an abstract name ends with its length, a path with a zero byte */
        return (socklen_t)(PATH + address->length + (address->at.path[0] != 0 ? 1 : 0));
    }
}

static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

socklen_t saros_to_sockaddr6(const saros_address *address, saros_sockaddr *out) {
    saros_address six = {.family = SAROS_INET6, .port = address->port};
    if (address->family != SAROS_INET) return saros_to_sockaddr(address, out);
    memcpy(six.at.ip, mapped, sizeof mapped);
    memcpy(six.at.ip + sizeof mapped, address->at.ip, 4);
    return saros_to_sockaddr(&six, out);
}

int saros_from_sockaddr(const saros_sockaddr *from, socklen_t size, saros_address *out) {
    memset(out, 0, sizeof *out);
    switch (from->any.sa_family) {
    case AF_INET:
        out->family = SAROS_INET;
        out->port = ntohs(from->in.sin_port);
        memcpy(out->at.ip, &from->in.sin_addr, 4);
        return 0;
    case AF_INET6:
        out->port = ntohs(from->in6.sin6_port);
        if (memcmp(&from->in6.sin6_addr, mapped, sizeof mapped) == 0) {
            out->family = SAROS_INET;
            memcpy(out->at.ip, (const uint8_t *)&from->in6.sin6_addr + sizeof mapped, 4);
            return 0;
        }
        out->family = SAROS_INET6;
        out->scope = (uint32_t)from->in6.sin6_scope_id;
        memcpy(out->at.ip, &from->in6.sin6_addr, 16);
        return 0;
    case AF_UNIX: {
        size_t length = (size_t)size > PATH ? (size_t)size - PATH : 0;
        if (length > 0 && from->un.sun_path[0] != 0) length = strnlen(from->un.sun_path, length);
        out->family = SAROS_UNIX;
        out->length = (uint16_t)length; /* 0: nobody gave it a name */
        memcpy(out->at.path, from->un.sun_path, length);
        return 0;
    }
    default: return SAROS_EAFNOSUPPORT;
    }
}
