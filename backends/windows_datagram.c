/* windows_datagram.c: sockets for datagrams with Winsock's calls, one attempt each.
 *
 * What is wrong with the calls, and what is done about it: what comes back for a datagram that reached nobody is told as
 * WSAECONNRESET, also on a socket without a peer, of which it says nothing about whom (told as a refusal, and only where
 * there is a peer); a datagram that is longer than the buffer is an error, after which the buffer is full (no error here);
 * a socket for both families calls an IPv4 address one of IPv6 (both ways translated); SO_REUSEADDR lets anybody in (so
 * who does not ask to share asks for the opposite). */
#include "backends/sockaddr.h"
#include "backends/socket_try.h"

#ifndef SIO_UDP_CONNRESET
#define SIO_UDP_CONNRESET 0x9800000C
#endif
enum { MOST = 65535 /* bytes in the largest packet of all */ };

static int failed(void) {
    int error = WSAGetLastError();
    switch (error) {
    case WSAENOTSOCK: return SAROS_EBADF;
    case WSAENOBUFS:
    case WSAENETRESET: return SAROS_EAGAIN; /* of something else that was sent: its time to live was over */
    case WSAECONNRESET: return SAROS_ECONNREFUSED;
    default: return saros_error_from_os(error);
    }
}

static int discard(saros_os_handle *fd, int error) {
    saros_try_close(*fd);
    *fd = SAROS_NO_HANDLE;
    return error;
}

static void tell_of_refusals(saros_os_handle fd, BOOL yes) {
    DWORD size;
    WSAIoctl((SOCKET)fd, SIO_UDP_CONNRESET, &yes, sizeof yes, NULL, 0, &size, NULL, NULL);
}

static int open_at(saros_os_handle *fd, saros_address *address) {
    saros_sockaddr name;
    int            size = saros_to_sockaddr(address, &name);
    saros_address  bound;
    BOOL           on = TRUE;
    DWORD          only6 = !address->dual;
    int            shares = address->bind & SAROS_REUSE_ADDRESS ? SO_REUSEADDR : SO_EXCLUSIVEADDRUSE;
    if (address->bind & SAROS_REUSE_PORT) return SAROS_ENOSYS;
    int error = saros_try_socket(name.any.sa_family, SOCK_DGRAM, fd);
    if (error < 0) return error;
    SOCKET s = (SOCKET)*fd;
    setsockopt(s, SOL_SOCKET, shares, (const char *)&on, sizeof on);
    if (address->family == SAROS_INET6) setsockopt(s, IPPROTO_IPV6, IPV6_V6ONLY, (const char *)&only6, sizeof only6);
    tell_of_refusals(*fd, FALSE);
    error = bind(s, &name.any, size) != 0 ? failed() : saros_try_name(*fd, false, &bound);
    if (error < 0) return discard(fd, error);
    address->port = bound.port;
    return 0;
}

int saros_try_datagram(saros_os_handle *fd, saros_address *address) {
    int error = open_at(fd, address);
    if (!address->dual || (error != SAROS_EAFNOSUPPORT && error != SAROS_EADDRNOTAVAIL)) return error;
    /* IPv6 is switched off here */
    *address = (saros_address){.family = SAROS_INET, .port = address->port, .bind = address->bind};
    return open_at(fd, address);
}

int64_t saros_try_recvfrom(saros_os_handle fd, saros_datagram *datagram, void *buffer, size_t size) {
    saros_sockaddr from = {0};
    int            length = sizeof from, room = size < MOST ? (int)size : MOST;
    int            got = recvfrom((SOCKET)fd, buffer, room, 0, &from.any, &length);
    datagram->truncated = got < 0 && WSAGetLastError() == WSAEMSGSIZE;
    if (datagram->truncated) got = room;
    if (got < 0) return failed();
    int error = saros_from_sockaddr(&from, length, &datagram->address);
    return error < 0 ? error : got;
}

int64_t saros_try_sendto(saros_os_handle fd, bool six, const saros_datagram *datagram, size_t size) {
    const saros_address *to = &datagram->address;
    saros_sockaddr       name;
    int length = to->family == 0 ? 0 : six ? saros_to_sockaddr6(to, &name) : saros_to_sockaddr(to, &name);
    if (size > MOST) return SAROS_EMSGSIZE;
    int sent = sendto((SOCKET)fd, datagram->data, (int)size, 0, length > 0 ? &name.any : NULL, length);
    return sent >= 0 ? sent : failed();
}

int saros_try_peer(saros_os_handle fd, const saros_address *address) {
    saros_sockaddr name = {0};
    int            size = sizeof name;
    if (getsockname((SOCKET)fd, &name.any, &size) != 0) return failed();
    bool six = name.any.sa_family == AF_INET6;
    if (address->family == SAROS_INET6 && !six) return SAROS_EAFNOSUPPORT;
    if (address->family == 0) name.any.sa_family = AF_UNSPEC;
    else size = six ? saros_to_sockaddr6(address, &name) : saros_to_sockaddr(address, &name);
    if (connect((SOCKET)fd, &name.any, size) != 0) return failed();
    tell_of_refusals(fd, address->family != 0);
    return 0;
}
