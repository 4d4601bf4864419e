/* socket_option.c: the options of sockets: what each is called here, and how it is set.
 *
 * What is wrong with them: the same thing has another name, level or size on each system; a system that lacks one may
 * not even have its name; a Unix socket takes some of TCP's without a word. Owns nothing; any thread. */
#include <string.h>

#include "backends/sockaddr.h"
#include "backends/socket_try.h"

#ifdef _WIN32
#ifndef TCP_KEEPIDLE
#define TCP_KEEPIDLE  3 /* Windows 10 has these three, older mingw-w64 has not */
#define TCP_KEEPCNT   16
#define TCP_KEEPINTVL 17
#endif
static int failed(void) { return saros_error_from_os(WSAGetLastError()); }
#else
#include <errno.h>
#include <netinet/tcp.h>
static int failed(void) { return saros_error_from_os(errno); }
#endif
#if !defined TCP_KEEPIDLE && defined TCP_KEEPALIVE
#define TCP_KEEPIDLE TCP_KEEPALIVE /* macOS */
#endif

typedef struct place {
    int level, name;
} place;

/* Where the system has it, for a socket of that family; or an error. */
static int find(int option, int family, place *at) {
    bool inet = family == AF_INET || family == AF_INET6;
    if (!inet && (option <= SAROS_OPTION_KEEPALIVE_COUNT || option == SAROS_OPTION_TTL)) return SAROS_EOPNOTSUPP;
    switch (option) {
    case SAROS_OPTION_NODELAY: *at = (place){IPPROTO_TCP, TCP_NODELAY}; return 0;
    case SAROS_OPTION_KEEPALIVE: *at = (place){SOL_SOCKET, SO_KEEPALIVE}; return 0;
#ifdef TCP_KEEPIDLE
    case SAROS_OPTION_KEEPALIVE_IDLE: *at = (place){IPPROTO_TCP, TCP_KEEPIDLE}; return 0;
#endif
#ifdef TCP_KEEPINTVL
    case SAROS_OPTION_KEEPALIVE_INTERVAL: *at = (place){IPPROTO_TCP, TCP_KEEPINTVL}; return 0;
#endif
#ifdef TCP_KEEPCNT
    case SAROS_OPTION_KEEPALIVE_COUNT: *at = (place){IPPROTO_TCP, TCP_KEEPCNT}; return 0;
#endif
    case SAROS_OPTION_LINGER: *at = (place){SOL_SOCKET, SO_LINGER}; return 0;
    case SAROS_OPTION_SEND_BUFFER: *at = (place){SOL_SOCKET, SO_SNDBUF}; return 0;
    case SAROS_OPTION_RECEIVE_BUFFER: *at = (place){SOL_SOCKET, SO_RCVBUF}; return 0;
    case SAROS_OPTION_TTL:
        *at = family == AF_INET6 ? (place){IPPROTO_IPV6, IPV6_UNICAST_HOPS} : (place){IPPROTO_IP, IP_TTL};
        return 0;
    case SAROS_OPTION_BROADCAST: *at = (place){SOL_SOCKET, SO_BROADCAST}; return 0;
    case SAROS_OPTION_MULTICAST_TTL:
        *at = family == AF_INET6 ? (place){IPPROTO_IPV6, IPV6_MULTICAST_HOPS} : (place){IPPROTO_IP, IP_MULTICAST_TTL};
        return 0;
    case SAROS_OPTION_MULTICAST_LOOP:
        *at = family == AF_INET6 ? (place){IPPROTO_IPV6, IPV6_MULTICAST_LOOP} : (place){IPPROTO_IP, IP_MULTICAST_LOOP};
        return 0;
    default: return SAROS_ENOSYS;
    }
}

static int set(saros_os_handle fd, place at, const void *value, socklen_t size) {
    return setsockopt(fd, at.level, at.name, value, size) == 0 ? 0 : failed();
}

static int get(saros_os_handle fd, place at, void *value, socklen_t size) {
    return getsockopt(fd, at.level, at.name, value, &size) == 0 ? 0 : failed();
}

/* On BSD these two are bytes, and everywhere but on Windows they may be. */
static bool is_byte(place at) {
#ifdef _WIN32
    (void)at;
    return false;
#else
    return at.level == IPPROTO_IP && (at.name == IP_MULTICAST_TTL || at.name == IP_MULTICAST_LOOP);
#endif
}

static int set_plain(saros_os_handle fd, place at, int value) {
    unsigned char byte = (unsigned char)value;
    if (!is_byte(at)) return set(fd, at, &value, sizeof value);
    return value < 0 || value > 255 ? SAROS_EINVAL : set(fd, at, &byte, sizeof byte);
}

static int get_plain(saros_os_handle fd, place at, int *value) {
    unsigned char byte = 0;
    *value = 0;
    if (!is_byte(at)) return get(fd, at, value, sizeof *value);
    int error = get(fd, at, &byte, sizeof byte);
    *value = byte;
    return error;
}

static int linger(saros_os_handle fd, place at, saros_setting *setting, bool ask) {
    struct linger how = {0};
    if (!ask) {
        how.l_onoff = setting->value >= 0;
        if (setting->value >= 0) how.l_linger = (__typeof__(how.l_linger))setting->value; /* Winsock's is shorter */
        return set(fd, at, &how, sizeof how);
    }
    int error = get(fd, at, &how, sizeof how);
    setting->value = how.l_onoff ? (int)how.l_linger : -1;
    return error;
}

/* ---- groups --------------------------------------------------------------------------------------------------- */

static struct in_addr four(const saros_address *address) {
    struct in_addr in = {0}; /* of no family: any */
    if (address->family == SAROS_INET) memcpy(&in, address->at.ip, sizeof in);
    return in;
}

static int member(saros_os_handle fd, const saros_setting *setting, bool join) {
    const saros_address *group = &setting->address, *through = &setting->through;
    if (group->family == SAROS_INET) {
        struct ip_mreq request = {.imr_multiaddr = four(group), .imr_interface = four(through)};
        return set(fd, (place){IPPROTO_IP, join ? IP_ADD_MEMBERSHIP : IP_DROP_MEMBERSHIP}, &request, sizeof request);
    }
    struct ipv6_mreq request = {.ipv6mr_interface = through->scope > 0 ? through->scope : group->scope};
    memcpy(&request.ipv6mr_multiaddr, group->at.ip, sizeof request.ipv6mr_multiaddr);
    return set(fd, (place){IPPROTO_IPV6, join ? IPV6_JOIN_GROUP : IPV6_LEAVE_GROUP}, &request, sizeof request);
}

static int send_through(saros_os_handle fd, const saros_address *through) {
    if (through->family != SAROS_INET6) {
        struct in_addr in = four(through);
        return set(fd, (place){IPPROTO_IP, IP_MULTICAST_IF}, &in, sizeof in);
    }
    return set(fd, (place){IPPROTO_IPV6, IPV6_MULTICAST_IF}, &through->scope, sizeof through->scope);
}

static int set_address(saros_os_handle fd, const saros_setting *setting) {
    switch (setting->option) {
    case SAROS_OPTION_PEER: return saros_try_peer(fd, &setting->address);
    case SAROS_OPTION_MULTICAST_INTERFACE: return send_through(fd, &setting->through);
    default: return member(fd, setting, setting->option == SAROS_OPTION_JOIN);
    }
}

/* A socket for both families has two of each. That it is for IPv6 alone is no error. */
static void set_four_too(saros_os_handle fd, const saros_setting *setting) {
    place at;
    if (find(setting->option, AF_INET, &at) == 0 && at.level == IPPROTO_IP) set_plain(fd, at, setting->value);
}

int saros_try_option(saros_os_handle fd, saros_setting *setting, bool ask) {
    saros_sockaddr name = {0};
    socklen_t      size = sizeof name;
    place          at = {0};
    int            error = getsockname(fd, &name.any, &size) == 0 ? 0 : failed();
    if (setting->option >= SAROS_OPTION_MULTICAST_INTERFACE) return ask ? SAROS_EINVAL : set_address(fd, setting);
    if (error == 0) error = find(setting->option, name.any.sa_family, &at);
    if (error < 0) return error;
    if (setting->option == SAROS_OPTION_LINGER) return linger(fd, at, setting, ask);
    if (ask) return get_plain(fd, at, &setting->value);
    if (name.any.sa_family == AF_INET6) set_four_too(fd, setting);
    return set_plain(fd, at, setting->value);
}
