/* sim_datagram.c: sockets for datagrams in the simulated world.
 *
 * Owns what each of them has not received yet, and its groups. What a kernel does, this does: who gets a datagram is
 * decided where and when it arrives; whoever has more than its buffer holds loses what comes then; what reaches a host
 * where nobody receives comes back as a refusal to a socket that has a peer; one that waits for room on its way out is
 * told to wait.
 *
 * A cut link loses datagrams, and one that refuses turns them away; nothing is sent again. On one link they stay in their
 * order as long as a socket sends to one host; the faults lost, doubled and overtaken do what a network may do. A group,
 * or a broadcast, reaches all hosts: they are one network. */
#include <string.h>

#include "backends/sim_net.h"

enum { MOST_INET = 65507, MOST_INET6 = 65527 /* bytes: what is left of 64 KiB behind the headers */ };
static const saros_time OVERTAKEN = SAROS_SECOND / 20;

/* ---- packets and groups --------------------------------------------------------------------------------------- */

void saros_net_free_packet(saros_net *net, saros_packet *packet) {
    if (packet != NULL) saros_realloc(net->loop, packet, sizeof *packet + packet->size, 0);
}

static saros_packet *make_packet(saros_net *net, const saros_packet *like, const void *bytes) {
    saros_packet *packet = saros_realloc(net->loop, NULL, 0, sizeof *packet + like->size);
    if (packet == NULL) return NULL;
    *packet = *like;
    packet->next = NULL;
    if (like->size > 0) memcpy(packet->bytes, bytes, like->size);
    return packet;
}

void saros_net_forget_packets(saros_net *net, saros_socket *socket) {
    for (saros_packet *packet = socket->head, *next; packet != NULL; packet = next) {
        next = packet->next;
        saros_net_free_packet(net, packet);
    }
    socket->head = socket->tail = NULL;
    saros_realloc(net->loop, socket->groups, socket->group_count * sizeof *socket->groups, 0);
    socket->groups = NULL;
    socket->group_count = 0;
}

static bool same_ip(const saros_address *a, const saros_address *b) {
    return a->family == b->family && memcmp(a->at.ip, b->at.ip, a->family == SAROS_INET ? 4 : 16) == 0;
}

static bool is_group(const saros_address *address) {
    return address->family == SAROS_INET ? address->at.ip[0] >> 4 == 14 : address->at.ip[0] == 0xff;
}

static bool is_broadcast(const saros_address *address) {
    return address->family == SAROS_INET && memcmp(address->at.ip, "\xff\xff\xff\xff", 4) == 0;
}

static bool has_joined(const saros_socket *socket, const saros_address *group) {
    for (uint32_t i = 0; i < socket->group_count; i++)
        if (same_ip(&socket->groups[i], group)) return true;
    return false;
}

static int join(saros_net *net, saros_socket *socket, const saros_address *group) {
    size_t unit = sizeof *group;
    if (has_joined(socket, group)) return SAROS_EADDRINUSE;
    saros_address *groups =
        saros_realloc(net->loop, socket->groups, socket->group_count * unit, (socket->group_count + 1) * unit);
    if (groups == NULL) return SAROS_ENOMEM;
    socket->groups = groups;
    socket->groups[socket->group_count++] = *group;
    return 0;
}

static int leave(saros_net *net, saros_socket *socket, const saros_address *group) {
    uint32_t kept = 0, count = socket->group_count;
    if (!has_joined(socket, group)) return SAROS_EADDRNOTAVAIL;
    for (uint32_t i = 0; i < count; i++)
        if (!same_ip(&socket->groups[i], group)) socket->groups[kept++] = socket->groups[i];
    socket->groups = /* to get smaller never fails */
        saros_realloc(net->loop, socket->groups, count * sizeof *group, kept * sizeof *group);
    socket->group_count = kept;
    return 0;
}

/* ---- who sends and who receives ------------------------------------------------------------------------------- */

static bool can_reach(const saros_socket *socket, const saros_address *address) {
    return address->family == socket->bound.family || (address->family == SAROS_INET && socket->bound.dual);
}

/* What its name is for who is reached at that address. */
static saros_address name_towards(const saros_socket *socket, const saros_address *to) {
    saros_address name = {.family = to->family, .port = socket->bound.port};
    if (!saros_address_is_any(&socket->bound)) {
        name = socket->bound;
    } else if (saros_address_is_loopback(to)) {
        name.at.ip[to->family == SAROS_INET ? 3 : 15] = 1;
        if (to->family == SAROS_INET) name.at.ip[0] = 127;
    } else {
        saros_world_address(socket->host, to->family, &name);
        name.port = socket->bound.port;
    }
    name.dual = false;
    name.bind = 0;
    return name;
}

/* Would it take what is here for that address? How well it fits; 0: not at all. */
static int fits(const saros_socket *socket, uint32_t host, const saros_packet *packet) {
    const saros_address *to = &packet->to;
    bool                 peer = socket->target.family != 0, all = is_group(to) || is_broadcast(to);
    if (socket->closed || socket->host != host || socket->bound.port != to->port) return 0;
    if (all ? !saros_address_is_any(&socket->bound) && !same_ip(&socket->bound, to)
            : !saros_address_hears(&socket->bound, to))
        return 0;
    if (all && !can_reach(socket, to)) return 0;
    if (is_group(to) && !has_joined(socket, to)) return 0;
    if (peer && (!same_ip(&socket->target, &packet->from) || socket->target.port != packet->from.port)) return 0;
    return 1 + !saros_address_is_any(&socket->bound) + 2 * peer;
}

static void receive(saros_net *net, saros_socket *socket, const saros_packet *like) {
    size_t        room = (size_t)socket->options[SAROS_OPTION_RECEIVE_BUFFER];
    saros_packet *packet = socket->waiting + like->size > room ? NULL : make_packet(net, like, like->bytes);
    if (packet == NULL) return; /* lost */
    if (socket->tail != NULL) socket->tail->next = packet;
    else socket->head = packet;
    socket->tail = packet;
    socket->waiting += packet->size;
    saros_net_changed(net, socket);
}

/* The one for whom it is: who fits best, of several that share a port one by chance, else the latest. */
static saros_socket *receiver(saros_net *net, uint32_t host, const saros_packet *packet) {
    saros_socket *found = NULL;
    int           best = 0;
    uint64_t      many = 0;
    for (saros_socket *socket = net->datagrams; socket != NULL; socket = socket->next) {
        int fit = fits(socket, host, packet);
        if (fit == 0 || fit < best) continue;
        if (fit > best) many = 0;
        best = fit;
        bool shares = socket->name.bind & SAROS_REUSE_PORT;
        if (many++ == 0 || (shares && saros_world_draw(net, many - 1) == 0)) found = socket;
    }
    return found;
}

/* ---- on the way ----------------------------------------------------------------------------------------------- */

static void turn_back(saros_net *net, const saros_segment *segment) {
    saros_socket *sender = segment->to;
    saros_segment back = {.to = sender, .kind = SAROS_SEGMENT_UNREACHABLE, .order = net->orders++};
    if (sender->closed || sender->target.family == 0 || !saros_net_reserve(net, 1)) return;
    back.at = net->clock + saros_world_latency(net, segment->host, sender->host);
    saros_net_push(net, back);
}

static void deliver(saros_net *net, const saros_segment *segment) {
    const saros_packet *packet = segment->packet;
    bool                all = is_group(&packet->to) || is_broadcast(&packet->to);
    int                 link = (int)saros_world_link(net, packet->host, segment->host);
    saros_socket       *found = link == SAROS_SIM_UP && !all ? receiver(net, segment->host, packet) : NULL;
    if (found != NULL) receive(net, found, packet);
    else if (link != SAROS_SIM_CUT && !all) turn_back(net, segment);
    if (link != SAROS_SIM_UP || !all) return;
    for (saros_socket *socket = net->datagrams; socket != NULL; socket = socket->next)
        if (fits(socket, segment->host, packet) > 0) receive(net, socket, packet);
}

void saros_net_datagram_arrives(saros_net *net, const saros_segment *segment) {
    saros_socket *sender = segment->to;
    if (segment->kind == SAROS_SEGMENT_UNREACHABLE) {
        if (sender->closed || sender->target.family == 0) return;
        sender->error = SAROS_ECONNREFUSED;
        saros_net_changed(net, sender);
        return;
    }
    deliver(net, segment);
    sender->out -= segment->packet->size;
    saros_net_changed(net, sender); /* it may have waited for room */
    saros_net_free_packet(net, segment->packet);
}

/* One copy to one host. */
static int transmit(saros_net *net, saros_socket *socket, const saros_packet *like, const void *data, uint32_t host) {
    saros_segment segment = {.to = socket, .kind = SAROS_SEGMENT_DATAGRAM, .order = net->orders++, .host = host};
    if (!saros_net_reserve(net, 1) || (segment.packet = make_packet(net, like, data)) == NULL) return SAROS_ENOMEM;
    segment.at = net->clock + saros_world_latency(net, socket->host, host);
    if (saros_world_fault(net, SAROS_FAULT_OVERTAKEN)) {
        segment.at += (saros_time)saros_world_draw(net, (uint64_t)OVERTAKEN);
    } else {
        if (socket->towards == host && segment.at < socket->latest) segment.at = socket->latest;
        socket->towards = host;
        socket->latest = segment.at;
    }
    socket->out += like->size;
    saros_net_push(net, segment);
    return 0;
}

static int go(saros_net *net, saros_socket *socket, const saros_packet *like, const void *data, uint32_t host) {
    if (saros_world_fault(net, SAROS_FAULT_LOST)) return 0;
    int error = transmit(net, socket, like, data, host);
    if (error == 0 && saros_world_fault(net, SAROS_FAULT_DOUBLED)) error = transmit(net, socket, like, data, host);
    return error;
}

/* To all hosts, each of which has to see for itself; the own one is spared where nobody wants to hear himself. */
static int go_to_all(saros_net *net, saros_socket *socket, const saros_packet *like, const void *data) {
    bool group = is_group(&like->to), near = group && socket->options[SAROS_OPTION_MULTICAST_TTL] == 0;
    int  error = 0;
    for (uint32_t host = 0; host < net->host_count && error == 0; host++) {
        bool own = host == socket->host;
        if (own ? !group || socket->options[SAROS_OPTION_MULTICAST_LOOP] : !near)
            error = go(net, socket, like, data, host);
    }
    return error;
}

/* ---- the calls ------------------------------------------------------------------------------------------------ */

int saros_net_datagram(saros_net *net, saros_socket **made, saros_address *address) {
    uint32_t host = net->here;
    int      error = is_group(address) ? 0 : saros_net_bind(net, address, &host, true);
    if (error < 0) return error;
    if (is_group(address) && address->port == 0) return SAROS_EINVAL; /* whoever sends to it could not know where */
    saros_socket *socket = saros_net_socket(net, address, host, SAROS_SOCKET_DATAGRAMS);
    if (socket == NULL) return SAROS_ENOMEM;
    socket->bound = *address;
    *made = socket;
    return 0;
}

int64_t saros_net_recvfrom(saros_net *net, saros_socket *socket, saros_datagram *datagram, void *buffer, size_t size) {
    saros_packet *packet = socket->head;
    if (socket->error < 0) return saros_net_told_once(socket);
    if (packet == NULL) return SAROS_EAGAIN;
    datagram->address = packet->from;
    datagram->truncated = packet->size > size;
    if (size > packet->size) size = packet->size;
    if (size > 0) memcpy(buffer, packet->bytes, size);
    socket->head = packet->next;
    if (socket->head == NULL) socket->tail = NULL;
    socket->waiting -= packet->size;
    saros_net_free_packet(net, packet);
    return (int64_t)size;
}

int64_t saros_net_sendto(saros_net *net, saros_socket *socket, const saros_datagram *datagram, size_t size) {
    saros_packet like = {.to = datagram->address.family != 0 ? datagram->address : socket->target};
    if (socket->error < 0) return saros_net_told_once(socket);
    if (!can_reach(socket, &like.to)) return SAROS_ENETUNREACH;
    if (size > (like.to.family == SAROS_INET ? MOST_INET : MOST_INET6)) return SAROS_EMSGSIZE;
    if (like.to.port == 0) return SAROS_EINVAL;
    saros_address_settle(&like.to);
    bool     all = is_group(&like.to) || is_broadcast(&like.to);
    uint32_t host = all ? socket->host : saros_world_whose(net, socket->host, &like.to);
    if (host == SAROS_SIM_ANY) return SAROS_EHOSTUNREACH;
    if (is_broadcast(&like.to) && !socket->options[SAROS_OPTION_BROADCAST]) return SAROS_EACCES;
    if (socket->out > 0 && socket->out + size > (size_t)socket->options[SAROS_OPTION_SEND_BUFFER]) return SAROS_EAGAIN;
    like.from = name_towards(socket, &like.to);
    like.host = socket->host;
    like.size = (uint32_t)size;
    int error = all ? go_to_all(net, socket, &like, datagram->data) : go(net, socket, &like, datagram->data, host);
    return error < 0 ? error : (int64_t)size;
}

static int set_peer(saros_net *net, saros_socket *socket, const saros_address *peer) {
    saros_address target = *peer;
    socket->error = 0;
    if (peer->family == 0) {
        socket->target = target;
        socket->name = socket->bound;
        return 0;
    }
    if (!can_reach(socket, &target)) return peer->family == SAROS_INET6 ? SAROS_EAFNOSUPPORT : SAROS_ENETUNREACH;
    saros_address_settle(&target);
    if (saros_world_whose(net, socket->host, &target) == SAROS_SIM_ANY) return SAROS_EHOSTUNREACH;
    socket->target = target;
    socket->name = name_towards(socket, &target);
    socket->name.bind = socket->bound.bind;
    return 0;
}

int saros_net_address_option(saros_net *net, saros_socket *socket, const saros_setting *setting) {
    const saros_address *address = &setting->address;
    if (setting->option == SAROS_OPTION_MULTICAST_INTERFACE) return 0; /* each host has one */
    if (setting->option == SAROS_OPTION_PEER) return set_peer(net, socket, address);
    if (!is_group(address) || !can_reach(socket, address)) return SAROS_EINVAL;
    return setting->option == SAROS_OPTION_JOIN ? join(net, socket, address) : leave(net, socket, address);
}
