/* sockaddr.h: our addresses in the system's form, and back. Owns nothing; any thread. */
#ifndef SAROS_SOCKADDR_H
#define SAROS_SOCKADDR_H

#ifdef _WIN32
#include <winsock2.h>
#include <ws2tcpip.h>
/* behind them */
#include <afunix.h>
#else
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#endif

#include "core/driver.h"

typedef union saros_sockaddr {
    struct sockaddr     any;
    struct sockaddr_in  in;
    struct sockaddr_in6 in6;
    struct sockaddr_un  un;
} saros_sockaddr;

/* The size that the system wants to be told of it. */
socklen_t saros_to_sockaddr(const saros_address *address, saros_sockaddr *out);
/* The same for a socket of IPv6, where an IPv4 address is one of those (RFC 4291, 2.5.5.2). */
socklen_t saros_to_sockaddr6(const saros_address *address, saros_sockaddr *out);
/* 0, or SAROS_EAFNOSUPPORT. Such a one is an IPv4 address again. */
int saros_from_sockaddr(const saros_sockaddr *from, socklen_t size, saros_address *out);

#endif
