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
    default: return SAROS_ENOSYS;
    }
}

static int set(saros_os_handle fd, place at, const void *value, socklen_t size) {
    return setsockopt(fd, at.level, at.name, value, size) == 0 ? 0 : failed();
}

static int get(saros_os_handle fd, place at, void *value, socklen_t size) {
    return getsockopt(fd, at.level, at.name, value, &size) == 0 ? 0 : failed();
}

static int linger(saros_os_handle fd, place at, saros_setting *setting, bool ask) {
    struct linger how = {0};
    if (!ask) {
        how.l_onoff = setting->value >= 0;
        if (setting->value >= 0) memcpy(&how.l_linger, &(int){setting->value}, sizeof how.l_linger);
        return set(fd, at, &how, sizeof how);
    }
    int error = get(fd, at, &how, sizeof how);
    setting->value = how.l_onoff ? (int)how.l_linger : -1;
    return error;
}

int saros_try_option(saros_os_handle fd, saros_setting *setting, bool ask) {
    saros_sockaddr name = {0};
    socklen_t      size = sizeof name;
    place          at = {0};
    int            error = getsockname(fd, &name.any, &size) == 0 ? 0 : failed();
    if (error == 0) error = find(setting->option, name.any.sa_family, &at);
    if (error < 0) return error;
    if (setting->option == SAROS_OPTION_LINGER) return linger(fd, at, setting, ask);
    if (!ask) return set(fd, at, &setting->value, sizeof setting->value);
    setting->value = 0; /* where the system writes a byte of it */
    return get(fd, at, &setting->value, sizeof setting->value);
}
