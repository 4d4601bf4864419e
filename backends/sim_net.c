/* sim_net.c: the network of the simulated world: socket calls that never wait, and what is on its way between sockets.
 *
 * Owns all sockets, listeners as well as the ends of streams. What is on its way is in sim_way.c.
 *
 * What a kernel does, this does, in the same terms, so that a program sees here what it would see there: a connection
 * stands once its SYN has found room in the listener's queue, accepted or not; a full queue answers nothing, and the SYN
 * comes again; a close with bytes unread is a reset, any other the end of the stream; who sends to a closed socket is
 * reset by the answer; what a cut link swallows is sent again, at growing intervals, until the sender gives up. Unix
 * sockets are the same without any way between them: what is sent has arrived.
 *
 * Promises: segments between two sockets arrive in the order in which they were sent, and bytes are neither lost nor
 * doubled; nothing depends on where things lie in memory; nothing is allocated for a segment once there was room for as
 * many. Room for what cannot be refused (an end, a reset, the steps of a connect) is taken with the socket. */
#include <string.h>

#include "backends/sim_net.h"

enum {
    WINDOW = 64 * 1024,  /* bytes of one direction, on the way and waiting to be read: then its sender has to wait */
    SEGMENT = 16 * 1024, /* bytes that travel together */
    MOST_CUTS = 8,       /* segments of one send */
    BACKLOG = 4096,      /* where nobody says */
    BUFFERS = 212992,    /* bytes of datagrams, either way: Linux's */
    SYN_TRIES = 7,       /* after 1, 2, 4 … 64 s: given up after 127 s, as Linux does */
    TRIES = 15           /* after 0.2, 0.4 … 120 s */
};
static const saros_time LONGEST_PAUSE = 120 * SAROS_SECOND;

/* ---- the life of a socket ------------------------------------------------------------------------------------- */

/* Room in `changed` for one socket more, so that noting never fails: each is there once at most, and once more among
 * those that the look that runs has left for the next; and the places of those that are closed stay until it ends. */
static bool reserve_change(saros_net *net) {
    uint32_t need = net->changes + 2 * (net->count + 1);
    void    *changed =
        saros_net_grow(net, net->changed, &net->changes_room, need, sizeof *net->changed); /* NOLINT: pointers */
    if (changed != NULL) net->changed = changed;
    return changed != NULL;
}

static saros_socket **list_of(saros_net *net, const saros_socket *socket) {
    return socket->listener ? &net->listeners : socket->datagrams ? &net->datagrams : &net->streams;
}

saros_socket *saros_net_socket(saros_net *net, const saros_address *name, uint32_t host, enum saros_socket_sort sort) {
    if (!reserve_change(net) || !saros_net_reserve(net, SAROS_OWN_SEGMENTS)) return NULL;
    saros_socket *socket = saros_realloc(net->loop, NULL, 0, sizeof *socket);
    if (socket == NULL) return NULL;
    *socket = (saros_socket){.name = *name, .port = name->port, .host = host, .other = host};
    socket->listener = sort == SAROS_SOCKET_LISTENER;
    socket->datagrams = sort == SAROS_SOCKET_DATAGRAMS;
    saros_socket **list = list_of(net, socket);
    socket->next = *list;
    socket->id = ++net->ids;
    socket->options[SAROS_OPTION_NODELAY] = 1;
    socket->options[SAROS_OPTION_LINGER] = -1;
    socket->options[SAROS_OPTION_TTL] = 64;
    socket->options[SAROS_OPTION_SEND_BUFFER] = socket->options[SAROS_OPTION_RECEIVE_BUFFER] = BUFFERS;
    socket->options[SAROS_OPTION_MULTICAST_TTL] = socket->options[SAROS_OPTION_MULTICAST_LOOP] = 1;
    if (*list != NULL) (*list)->prev = socket;
    *list = socket;
    net->count++;
    return socket;
}

void saros_net_changed(saros_net *net, saros_socket *socket) {
    if (socket->handle == NULL || socket->changed > 0) return;
    net->changed[net->changes++] = socket;
    socket->changed = net->changes;
}

static void free_bytes(saros_net *net, saros_socket *socket) {
    saros_realloc(net->loop, socket->bytes, socket->bytes != NULL ? WINDOW : 0, 0);
    socket->bytes = NULL;
}

static void free_socket(saros_net *net, saros_socket *socket) {
    if (socket->prev != NULL) socket->prev->next = socket->next;
    else *list_of(net, socket) = socket->next;
    if (socket->next != NULL) socket->next->prev = socket->prev;
    net->count--;
    free_bytes(net, socket);
    saros_net_forget_packets(net, socket);
    saros_realloc(net->loop, socket, sizeof *socket, 0);
}

int saros_net_told_once(saros_socket *socket) {
    int error = socket->error;
    socket->error = 0;
    return error;
}

static bool is_over(const saros_socket *socket) { return socket->closed && socket->on_the_way == 0; }

/* Both ends of a stream go together: each may have something to tell the other. */
static void release(saros_net *net, saros_socket *socket) {
    saros_socket *peer = socket->peer;
    if (!is_over(socket) || (peer != NULL && !is_over(peer))) return;
    free_socket(net, socket);
    if (peer != NULL) free_socket(net, peer);
}

void saros_net_free(saros_net *net) {
    while (net->streams != NULL) free_socket(net, net->streams);
    while (net->listeners != NULL) free_socket(net, net->listeners);
    while (net->datagrams != NULL) free_socket(net, net->datagrams);
    for (uint32_t i = 0; i < net->on_the_way; i++) saros_net_free_packet(net, net->segments[i].packet);
    saros_realloc(net->loop, net->changed, net->changes_room * sizeof *net->changed, 0); /* NOLINT */
    saros_realloc(net->loop, net->segments, net->segments_room * sizeof *net->segments, 0);
}

/* ---- on the way ----------------------------------------------------------------------------------------------- */

static void fail(saros_net *net, saros_socket *socket, int error) {
    if (socket->dead) return;
    socket->dead = true;
    socket->connecting = false;
    socket->error = error;
    saros_net_changed(net, socket);
}

static bool is_near(const saros_socket *socket) { return socket->name.family == SAROS_UNIX; }

static void transmit(saros_net *net, saros_socket *to, enum saros_segment_kind kind, int error) {
    saros_segment segment = {.to = to, .kind = (uint8_t)kind, .error = error, .upto = to->sent, .order = net->orders++};
    segment.at = net->clock + (is_near(to) ? 0 : saros_world_latency(net, to->host, to->other));
    if (segment.at < to->latest) segment.at = to->latest;
    to->latest = segment.at;
    saros_net_push(net, segment);
}

static void doom(saros_net *net, saros_socket *socket, int error) {
    if (socket->doomed || socket->dead) return;
    socket->doomed = true;
    transmit(net, socket, SAROS_SEGMENT_RST, error);
}

/* From here on, for a while, nothing of this connection may get through. */
static void maybe_swallow(saros_net *net, saros_socket *socket) {
    if (!saros_world_fault(net, SAROS_FAULT_BLACKHOLE)) return;
    socket->hole = net->clock + SAROS_SECOND + (saros_time)saros_world_draw(net, 59 * (uint64_t)SAROS_SECOND);
    if (socket->peer != NULL) socket->peer->hole = socket->hole;
}

/* What was swallowed comes again, later and later. */
static void repeat(saros_net *net, saros_segment segment) {
    bool opens = segment.kind == SAROS_SEGMENT_SYN || segment.kind == SAROS_SEGMENT_OPEN || segment.to->connecting;
    saros_time pause = (opens ? SAROS_SECOND : SAROS_SECOND / 5) << segment.tries;
    if (segment.tries++ == (opens ? SYN_TRIES : TRIES)) {
        fail(net, opens ? segment.to : segment.to->peer, SAROS_ETIMEDOUT);
        saros_net_changed(net, segment.to); /* see turn_away */
        return;
    }
    segment.at = net->clock + (pause < LONGEST_PAUSE ? pause : LONGEST_PAUSE);
    saros_net_push(net, segment);
    saros_net_changed(net, segment.to); /* who has been cancelled need not wait for this */
}

/* A SYN: the listener that it is for makes the other end, which waits to be accepted. False: no room, try again. */
static bool knock(saros_net *net, saros_socket *client) {
    saros_socket *listener = saros_net_listener(net, client->other, &client->target), *server;
    if (client->closed) return true;
    if (listener == NULL || saros_world_fault(net, SAROS_FAULT_REFUSED)) {
        doom(net, client, SAROS_ECONNREFUSED);
        return true;
    }
    if (listener->queued == listener->most) return false;
    if ((server = saros_net_socket(net, &client->target, client->other, SAROS_SOCKET_STREAM)) == NULL) return false;
    memcpy(server->options, listener->options, sizeof server->options);
    server->target = client->name;
    server->other = client->host;
    server->hole = client->hole;
    server->peer = client;
    client->peer = server;
    if (listener->last != NULL) listener->last->behind = server;
    else listener->first = server;
    listener->last = server;
    listener->queued++;
    saros_net_changed(net, listener);
    transmit(net, client, SAROS_SEGMENT_OPEN, 0);
    return true;
}

/* False: it could not be taken in, and comes again. */
static bool arrive(saros_net *net, const saros_segment *segment) {
    saros_socket *to = segment->to;
    if (segment->kind == SAROS_SEGMENT_SYN) return knock(net, to);
    if (to->dead) return true;
    switch (segment->kind) {
    case SAROS_SEGMENT_OPEN: to->connecting = false; break;
    case SAROS_SEGMENT_DATA: break;
    case SAROS_SEGMENT_FIN: to->ended = true; break;
    default: fail(net, to, to->ended && segment->error == SAROS_ECONNRESET ? SAROS_EPIPE : segment->error); return true;
    }
    if (segment->upto > to->arrived) to->arrived = segment->upto; /* with what was swallowed before it */
    if (to->closed && segment->kind != SAROS_SEGMENT_FIN) doom(net, to->peer, SAROS_ECONNRESET);
    saros_net_changed(net, to);
    return true;
}

/* A link that refuses tells the sender so. */
static void turn_away(saros_net *net, const saros_segment *segment) {
    saros_socket *to = segment->to;
    bool          opens = segment->kind == SAROS_SEGMENT_SYN || segment->kind == SAROS_SEGMENT_OPEN;
    if (opens) fail(net, to, SAROS_ECONNREFUSED);
    if (to->peer != NULL) fail(net, to->peer, SAROS_ECONNRESET);
    saros_net_changed(net, to); /* whose cancel came too late because of this need not wait for it any more */
}

void saros_net_deliver(saros_net *net) {
    while (net->on_the_way > 0 && net->segments[0].at <= net->clock) {
        saros_segment segment = saros_net_pop(net);
        saros_socket *to = segment.to;
        if (segment.kind >= SAROS_SEGMENT_DATAGRAM) {
            saros_net_datagram_arrives(net, &segment);
            release(net, to);
            continue;
        }
        int link = net->clock < to->hole ? SAROS_SIM_CUT : (int)saros_world_link(net, to->host, to->other);
        if (link == SAROS_SIM_REFUSED && segment.kind != SAROS_SEGMENT_RST) turn_away(net, &segment);
        else if (!to->dead && (link == SAROS_SIM_CUT || !arrive(net, &segment))) repeat(net, segment);
        release(net, to);
    }
}

/* To a Unix socket there is no way: what a call has sent has arrived when it ends. */
static void deliver_near(saros_net *net, const saros_socket *socket) {
    if (is_near(socket)) saros_net_deliver(net);
}

/* ---- the calls: beginning and ending -------------------------------------------------------------------------- */

int saros_net_listen(saros_net *net, saros_socket **made, saros_address *address, size_t backlog) {
    uint32_t host;
    int      error = saros_net_bind(net, address, &host, false);
    if (error < 0) return error;
    saros_socket *socket = saros_net_socket(net, address, host, SAROS_SOCKET_LISTENER);
    if (socket == NULL) return SAROS_ENOMEM;
    socket->most = backlog == 0 || backlog > BACKLOG ? BACKLOG : (uint32_t)backlog;
    *made = socket;
    return 0;
}

int saros_net_accept(saros_net *net, saros_socket *listener, saros_socket **accepted) {
    saros_socket *first = listener->first;
    if (first == NULL) return SAROS_EAGAIN;
    if (saros_world_fault(net, SAROS_FAULT_EMFILE)) return SAROS_EMFILE;
    listener->first = first->behind;
    if (listener->first == NULL) listener->last = NULL;
    first->behind = NULL;
    listener->queued--;
    *accepted = first;
    return 0;
}

/* Why a Unix socket cannot be connected to, or 0; a full queue is as Linux has it without waiting: connect(2), EAGAIN. */
static int unreachable(saros_net *net, const saros_address *target) {
    const saros_socket *listener = saros_net_listener(net, net->here, target);
    if (listener == NULL) return target->at.path[0] == 0 ? SAROS_ECONNREFUSED : SAROS_ENOENT;
    return listener->queued == listener->most ? SAROS_ECONNREFUSED : 0;
}

int saros_net_connect(saros_net *net, saros_socket **made, const saros_address *address, const saros_address *from) {
    saros_address target = *address, name = {.family = address->family};
    bool          near = address->family == SAROS_UNIX;
    uint32_t      other = net->here;
    int           error = near ? unreachable(net, &target) : saros_net_source(net, &target, from, &name, &other);
    if (error < 0) return error;
    saros_socket *client = saros_net_socket(net, &name, net->here, SAROS_SOCKET_STREAM);
    if (client == NULL) return SAROS_ENOMEM;
    client->target = target;
    client->other = other;
    client->connecting = true;
    *made = client;
    if (!near) maybe_swallow(net, client);
    transmit(net, client, SAROS_SEGMENT_SYN, 0);
    deliver_near(net, client);
    return 0;
}

int saros_net_pair(saros_net *net, saros_socket *made[2]) {
    saros_address nameless = {.family = SAROS_UNIX};
    for (int i = 0; i < 2; i++) {
        made[i] = saros_net_socket(net, &nameless, net->here, SAROS_SOCKET_STREAM);
        if (made[i] == NULL && i == 1) saros_net_close(net, made[0]);
        if (made[i] == NULL) return SAROS_ENOMEM;
        made[i]->target = nameless;
    }
    made[0]->peer = made[1];
    made[1]->peer = made[0];
    return 0;
}

int saros_net_connected(saros_socket *socket) {
    return socket->connecting ? SAROS_EAGAIN : saros_net_told_once(socket);
}

int saros_net_option(saros_net *net, saros_socket *socket, saros_setting *setting, bool ask) {
    bool near = is_near(socket);
    if (setting->option >= SAROS_OPTION_MULTICAST_INTERFACE)
        return ask ? SAROS_EINVAL : saros_net_address_option(net, socket, setting);
    if (near && (setting->option <= SAROS_OPTION_KEEPALIVE_COUNT || setting->option == SAROS_OPTION_TTL))
        return SAROS_EOPNOTSUPP;
    if (ask) setting->value = socket->options[setting->option];
    else socket->options[setting->option] = setting->value;
    return 0;
}

int saros_net_name(const saros_socket *socket, bool peer, saros_address *address) {
    if (peer && (socket->listener || (socket->datagrams && socket->target.family == 0))) return SAROS_ENOTCONN;
    *address = peer ? socket->target : socket->name;
    return 0;
}

static void drop(saros_net *net, saros_socket *socket, bool reset) {
    saros_socket *peer = socket->peer;
    if (socket->changed > 0) net->changed[socket->changed - 1] = NULL;
    socket->changed = 0;
    socket->handle = NULL;
    socket->closed = true;
    if (peer != NULL && !socket->dead) {
        if (reset || socket->arrived > socket->taken) doom(net, peer, SAROS_ECONNRESET);
        else if (!socket->shut) transmit(net, peer, SAROS_SEGMENT_FIN, 0);
    }
    free_bytes(net, socket);
    saros_net_forget_packets(net, socket);
    bool near = is_near(socket);
    release(net, socket);
    if (near) saros_net_deliver(net);
}

void saros_net_close(saros_net *net, saros_socket *socket) {
    for (saros_socket *queued = socket->first, *behind; queued != NULL; queued = behind) { /* whom nobody accepted */
        behind = queued->behind;
        drop(net, queued, true);
    }
    drop(net, socket, socket->options[SAROS_OPTION_LINGER] == 0);
}

void saros_net_reset(saros_net *net, saros_socket *socket) { drop(net, socket, true); }

/* ---- the calls: bytes ----------------------------------------------------------------------------------------- */

/* Copies between a ring and the caller; `out`: from the ring. */
static void copy(const saros_socket *ring, uint64_t position, char *memory, size_t size, bool out) {
    size_t at = (size_t)position % WINDOW, first = WINDOW - at;
    if (first > size) first = size;
    if (out) {
        memcpy(memory, ring->bytes + at, first);
        memcpy(memory + first, ring->bytes, size - first);
    } else {
        memcpy(ring->bytes + at, memory, first);
        memcpy(ring->bytes, memory + first, size - first);
    }
}

static size_t some_of(saros_net *net, size_t size) {
    return size > 1 && saros_world_fault(net, SAROS_FAULT_SHORT) ? 1 + (size_t)saros_world_draw(net, size - 1) : size;
}

bool saros_net_readable(const saros_socket *socket) {
    if (socket->datagrams) return socket->head != NULL || socket->error < 0;
    return socket->arrived > socket->taken || socket->ended || socket->dead;
}

static bool is_writable(const saros_socket *socket) {
    const saros_socket *to = socket->peer;
    if (socket->listener) return false;
    if (socket->datagrams) return socket->out < (size_t)socket->options[SAROS_OPTION_SEND_BUFFER];
    return socket->shut || to->closed || to->sent - to->taken < WINDOW;
}

int saros_net_ready(const saros_socket *socket, unsigned wanted) {
    bool     over = socket->error < 0 || socket->dead;
    bool     in = socket->listener ? socket->first != NULL : saros_net_readable(socket);
    bool     out = !socket->listener && (over || is_writable(socket));
    unsigned ready = (in || over ? SAROS_READABLE : 0) | (out ? SAROS_WRITABLE : 0);
    return (ready & wanted) != 0 ? (int)(ready & wanted) : SAROS_EAGAIN;
}

int64_t saros_net_recv(saros_net *net, saros_socket *socket, void *buffer, size_t size) {
    size_t there = (size_t)(socket->arrived - socket->taken);
    if (there == 0) {
        if (socket->ended) return 0;
        if (socket->error < 0) return saros_net_told_once(socket);
        return socket->dead ? 0 : SAROS_EAGAIN;
    }
    size = some_of(net, size < there ? size : there);
    copy(socket, socket->taken, buffer, size, true);
    socket->taken += size;
    saros_net_changed(net, socket->peer); /* it may have waited for room */
    return (int64_t)size;
}

/* Sends the news of that many more bytes. Where the connection is to break, it does instead. */
static void announce(saros_net *net, saros_socket *to, size_t size) {
    for (int cuts = 1; size > 0; cuts++) {
        size_t piece = size < SEGMENT ? size : SEGMENT;
        if (!is_near(to)) maybe_swallow(net, to);
        if (!is_near(to) && saros_world_fault(net, SAROS_FAULT_RESET)) {
            doom(net, to, SAROS_ECONNRESET);
            doom(net, to->peer, SAROS_ECONNRESET);
            to->sent += size; /* they were taken: what is sent before the reset is noticed stands behind them */
            return;
        }
        piece = cuts == MOST_CUTS ? size : some_of(net, piece);
        to->sent += piece;
        size -= piece;
        transmit(net, to, SAROS_SEGMENT_DATA, 0);
    }
}

int64_t saros_net_send(saros_net *net, saros_socket *socket, const void *data, size_t size) {
    saros_socket *to = socket->peer;
    if (is_near(socket) && (to == NULL || to->closed)) return SAROS_EPIPE; /* as Linux: its reset is for who receives */
    if (socket->error < 0) return saros_net_told_once(socket);
    if (socket->shut || socket->dead) return SAROS_EPIPE;
    size_t room = WINDOW - (size_t)(to->sent - to->taken);
    if (room == 0 && !to->closed) return SAROS_EAGAIN;
    if (!saros_net_reserve(net, MOST_CUTS)) return SAROS_ENOMEM;
    if (to->closed) { /* they go nowhere, but for the answer */
        transmit(net, to, SAROS_SEGMENT_DATA, 0);
        return (int64_t)size;
    }
    if (to->bytes == NULL) to->bytes = saros_realloc(net->loop, NULL, 0, WINDOW);
    if (to->bytes == NULL) return SAROS_ENOMEM;
    size = some_of(net, size < room ? size : room);
    copy(to, to->sent, (char *)(uintptr_t)data, size, false);
    announce(net, to, size);
    deliver_near(net, to);
    return (int64_t)size;
}

int saros_net_shutdown(saros_net *net, saros_socket *socket) {
    if (socket->dead) return SAROS_ENOTCONN;
    if (!socket->shut && !socket->peer->closed) transmit(net, socket->peer, SAROS_SEGMENT_FIN, 0);
    socket->shut = true;
    deliver_near(net, socket);
    return 0;
}
