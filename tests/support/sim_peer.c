/* sim_peer.c: see sim_peer.h. */
#include "support/sim_peer.h"

#include "backends/sim_net.h"

enum { FIRST = 1000000, MOST = 1000 };

static struct sim_peer {
    saros_loop   *loop; /* whose world it is of; NULL: free */
    saros_socket *socket;
} peers[MOST];

static saros_net *network(void) { return saros_driver_state(world_now->loop, &saros_sim_driver); }

bool sim_has(int fd) { return fd >= FIRST; }

static int number(saros_socket *socket) {
    for (int i = 0; i < MOST; i++) {
        if (peers[i].loop == world_now->loop) continue;
        peers[i].loop = world_now->loop;
        peers[i].socket = socket;
        return FIRST + i;
    }
    fail_msg("more than %d raw sockets", MOST);
    return -1;
}

/* NULL: it is gone, with its world. */
static saros_socket *peer(int fd) {
    struct sim_peer *self = &peers[fd - FIRST];
    return world_now != NULL && world_now->loop != NULL && self->loop == world_now->loop ? self->socket : NULL;
}

void sim_pass(saros_time span) {
    assert_result(saros_sim_advance(world_now->loop, span), 0);
    saros_net_deliver(network());
}

static void pass_time(void) {
    saros_status status = step_for(world_now, MILLISECOND);
    assert_int_not_equal(status.outcome, SAROS_BROKEN);
    if (status.outcome == SAROS_DONE) sim_pass(MILLISECOND); /* the loop has nothing to wait for */
}

int sim_connect(const saros_address *address, bool wait) {
    saros_socket *socket = NULL;
    assert_result(saros_net_connect(network(), &socket, address, NULL), 0);
    int error = saros_net_connected(socket);
    for (; wait && error == SAROS_EAGAIN; error = saros_net_connected(socket)) pass_time();
    assert_true(error == 0 || (!wait && error == SAROS_EAGAIN));
    return number(socket);
}

int sim_listen(saros_address *address, int backlog) {
    saros_socket *socket = NULL;
    assert_result(saros_net_listen(network(), &socket, address, backlog > 0 ? (size_t)backlog : 1), 0);
    return number(socket);
}

void sim_close(int fd, bool reset) {
    saros_socket *socket = peer(fd);
    if (socket == NULL) return;
    if (reset) saros_net_reset(network(), socket);
    else saros_net_close(network(), socket);
    peers[fd - FIRST] = (struct sim_peer){0};
}

void sim_end(int fd) { saros_net_shutdown(network(), peer(fd)); }

int64_t sim_send(int fd, const void *data, size_t size) {
    int64_t sent;
    while ((sent = saros_net_send(network(), peer(fd), data, size)) == SAROS_EAGAIN) pass_time();
    return sent;
}

int64_t sim_recv(int fd, void *buffer, size_t size) {
    int64_t got;
    while ((got = saros_net_recv(network(), peer(fd), buffer, size)) == SAROS_EAGAIN) pass_time();
    return got;
}

static saros_socket *under(const saros_handle *handle) { return (saros_socket *)handle->word; } /* NOLINT */

size_t sim_there(const saros_handle *handle) { return (size_t)(under(handle)->arrived - under(handle)->taken); }

void sim_steal(const saros_handle *handle, void *buffer, size_t size) {
    assert_int_equal(saros_net_recv(network(), under(handle), buffer, size), size);
}
