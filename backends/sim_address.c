/* sim_address.c: who is meant by an address, in the simulated world: binding, ports, and the way from one to the other.
 *
 * Owns nothing: the sockets are sim_net.c's, the hosts sim_world.c's. Promises: ports are given out in one order, so that
 * a run is like the other; only where several share a port does chance decide. */
#include <string.h>

#include "backends/sim_net.h"

enum { FIRST_PORT = 49152 /* of those that are given out: RFC 6335, 6 */ };

bool saros_address_is_any(const saros_address *address) {
    static const uint8_t zero[16];
    return memcmp(address->at.ip, zero, address->family == SAROS_INET ? 4 : 16) == 0;
}

bool saros_address_is_loopback(const saros_address *address) {
    const uint8_t *ip = address->at.ip;
    return address->family == SAROS_INET ? ip[0] == 127 : ip[0] == 0; /* of the IPv6 ones that are anybody's: ::1 */
}

/* Does a listener at `name` get what is sent to `address`? Their ports are the same. */
bool saros_address_hears(const saros_address *name, const saros_address *address) {
    if (name->family == SAROS_UNIX || address->family == SAROS_UNIX)
        return name->family == address->family && name->length == address->length &&
               memcmp(name->at.path, address->at.path, name->length) == 0;
    if (name->family != address->family) return name->dual && saros_address_is_any(name);
    return saros_address_is_any(name) || memcmp(name->at.ip, address->at.ip, name->family == SAROS_INET ? 4 : 16) == 0;
}

/* The next one behind `last` (NULL: the first) that listens there. */
static saros_socket *next_at(const saros_net *net, saros_socket *last, uint32_t host, const saros_address *address) {
    for (saros_socket *socket = last != NULL ? last->next : net->listeners; socket != NULL; socket = socket->next)
        if (socket->port == address->port && !socket->closed && socket->host == host &&
            saros_address_hears(&socket->name, address))
            return socket;
    return NULL;
}

/* Is there somebody in the list who does not share it? */
static bool is_taken(const saros_socket *socket, uint32_t host, const saros_address *address) {
    for (; socket != NULL; socket = socket->next) {
        if (socket->port != address->port) continue;
        const saros_address *name = socket->datagrams ? &socket->bound : &socket->name;
        if (!socket->closed && socket->host == host &&
            (saros_address_hears(name, address) || saros_address_hears(address, name)) &&
            (name->bind & address->bind & (SAROS_REUSE_PORT | SAROS_REUSE_ADDRESS)) == 0)
            return true;
    }
    return false;
}

/* A port that nobody in the list has; always the next one, so that a run is like the other. 0: there is none. */
static uint16_t free_port(saros_net *net, const saros_socket *list, uint32_t host, saros_address address) {
    address.bind = 0;
    for (int i = FIRST_PORT; i <= UINT16_MAX; i++) {
        address.port = (uint16_t)(FIRST_PORT + net->port++ % (UINT16_MAX - FIRST_PORT + 1));
        if (!is_taken(list, host, &address)) return address.port;
    }
    return 0;
}

int saros_net_bind(saros_net *net, saros_address *address, uint32_t *host, bool datagrams) {
    const saros_socket *list = datagrams ? net->datagrams : net->listeners;
    *host = saros_world_whose(net, net->here, address);
    if (*host == SAROS_SIM_ANY) return SAROS_EADDRNOTAVAIL;
    if (address->family == SAROS_UNIX || address->port > 0)
        return is_taken(list, *host, address) ? SAROS_EADDRINUSE : 0;
    address->port = free_port(net, list, *host, *address);
    return address->port > 0 ? 0 : SAROS_EADDRINUSE;
}

saros_socket *saros_net_listener(saros_net *net, uint32_t host, const saros_address *address) {
    uint64_t      many = 0;
    saros_socket *found = NULL;
    for (saros_socket *at = NULL; (at = next_at(net, at, host, address)) != NULL;)
        if (many++ == 0 || saros_world_draw(net, many - 1) == 0) found = at;
    return found;
}

void saros_address_settle(saros_address *target) {
    if (saros_address_is_any(target)) {
        *target = (saros_address){.family = target->family, .port = target->port};
        target->at.ip[target->family == SAROS_INET ? 3 : 15] = 1;
        if (target->family == SAROS_INET) target->at.ip[0] = 127;
    }
    target->dual = false;
    target->bind = 0;
}

int saros_net_source(saros_net *net, saros_address *target, const saros_address *from, saros_address *name,
                     uint32_t *other) {
    saros_address_settle(target);
    *other = saros_world_whose(net, net->here, target);
    if (*other == SAROS_SIM_ANY) return SAROS_EHOSTUNREACH;
    saros_world_address(net->here, target->family, name);
    if (saros_address_is_loopback(target)) {
        *name = *target;
        if (target->family == SAROS_INET) memcpy(name->at.ip, "\x7f\0\0\1", 4); /* also to 127.0.0.2: as Linux does */
    }
    name->port = 0;
    if (from != NULL) {
        if (from->family != target->family) return SAROS_EAFNOSUPPORT;
        if (saros_world_whose(net, net->here, from) != net->here) return SAROS_EADDRNOTAVAIL;
        if (!saros_address_is_any(from)) memcpy(name->at.ip, from->at.ip, sizeof name->at.ip);
        name->port = from->port;
        if (name->port > 0) return is_taken(net->listeners, net->here, name) ? SAROS_EADDRINUSE : 0;
    }
    name->port = free_port(net, net->listeners, net->here, *name);
    return name->port > 0 ? 0 : SAROS_EADDRNOTAVAIL;
}
