/* sockets.c: see sockets.h. */
#include "support/sockets.h"

#include "support/sim_peer.h"

#include <stdio.h>
#include <string.h>

/* Windows has no abstract Unix sockets, and Wine none at all: TCP stands in for them. */
static int family_here(int family) {
#ifdef _WIN32
    if (family == SAROS_UNIX && !simulated()) return SAROS_INET;
#endif
    return family;
}

static saros_address any_address(int family) {
    /* cppcheck-suppress variableScope ; it counts over all calls */
    static unsigned count;
    saros_address   address = {.family = (uint8_t)family_here(family)};
    if (address.family == SAROS_INET) memcpy(address.at.ip, "\x7f\0\0\1", 4);
    if (address.family == SAROS_INET6) address.at.ip[15] = 1;
    if (address.family == SAROS_UNIX) /* abstract: it leaves no file behind */
        address.length = (uint16_t)(1 + snprintf(address.at.path + 1, sizeof address.at.path - 1, "saros-test-%ld-%u",
                                                 (long)getpid(), ++count));
    return address;
}

void need_unix_sockets(world *w) {
#ifdef _WIN32
    if (!simulated()) world_skip(w, "no Unix sockets here");
#else
    (void)w;
#endif
}

void listen_at(world *w, saros_handle *listener, saros_address *address, int family) {
    *address = any_address(family);
    assert_result(perform(w, SAROS_OP_LISTEN, listener, address, 0), 0);
    if (address->family != SAROS_UNIX) assert_int_not_equal(address->port, 0);
}

void close_now(world *w, saros_handle *handle) {
    assert_result(perform(w, SAROS_OP_CLOSE, handle, NULL, 0), 0);
    assert_int_equal(handle->state, SAROS_HANDLE_EMPTY);
}

void open_two(world *w, saros_handle ends[2]) {
    memset(ends, 0, 2 * sizeof *ends);
    assert_result(perform(w, SAROS_OP_PAIR, &ends[0], &ends[1], 0), 0);
}

void close_two(world *w, saros_handle ends[2]) {
    for (int i = 0; i < 2; i++)
        if (ends[i].state != SAROS_HANDLE_EMPTY) close_now(w, &ends[i]);
}

void pair_open(world *w, pair *p, int family) {
    told accept = {0}, connect = {0};
    *p = (pair){0};
    listen_at(w, &p->listener, &p->address, family);
    start(w, &accept, SAROS_OP_ACCEPT, &p->listener, &p->server, 0);
    start(w, &connect, SAROS_OP_CONNECT, &p->client, &p->address, 0);
    assert_result(await(w, &connect), 0);
    assert_result(await(w, &accept), 0);
}

int pair_raw(world *w, pair *p, int family) {
    *p = (pair){0};
    listen_at(w, &p->listener, &p->address, family);
    int fd = raw_connect(&p->address);
    assert_result(perform(w, SAROS_OP_ACCEPT, &p->listener, &p->server, 0), 0);
    return fd;
}

void pair_close(world *w, pair *p) {
    saros_handle *const all[] = {&p->client, &p->server, &p->listener};
    for (int i = 0; i < 3; i++)
        if (all[i]->state != SAROS_HANDLE_EMPTY) close_now(w, all[i]);
}

/* ---- past the loop ---------------------------------------------------------------------------------------------- */

typedef union any_name {
    struct sockaddr     any;
    struct sockaddr_in  in;
    struct sockaddr_in6 in6;
    struct sockaddr_un  un;
} any_name;

static socklen_t to_name(const saros_address *address, any_name *name) {
    memset(name, 0, sizeof *name);
    if (address->family == SAROS_INET) {
        name->in.sin_family = AF_INET;
        name->in.sin_port = htons(address->port);
        memcpy(&name->in.sin_addr, address->at.ip, 4);
        return sizeof name->in;
    }
    if (address->family == SAROS_INET6) {
        name->in6.sin6_family = AF_INET6;
        name->in6.sin6_port = htons(address->port);
        memcpy(&name->in6.sin6_addr, address->at.ip, 16);
        return sizeof name->in6;
    }
    name->un.sun_family = AF_UNIX;
    memcpy(name->un.sun_path, address->at.path, address->length);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + address->length + (address->at.path[0] != 0));
}

int raw_socket(int family) {
    int fd = (int)socket(family == SAROS_INET    ? AF_INET
                         : family == SAROS_INET6 ? AF_INET6
                                                 : AF_UNIX,
                         SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    return fd;
}

int raw_connect(const saros_address *address) {
    if (simulated()) return sim_connect(address, true);
    any_name  name;
    socklen_t size = to_name(address, &name);
    int       fd = raw_socket(address->family);
    assert_int_equal(connect(fd, &name.any, size), 0);
    return fd;
}

int raw_connect_begin(const saros_address *address) {
    if (simulated()) return sim_connect(address, false);
    any_name  name;
    socklen_t size = to_name(address, &name);
    int       fd = raw_socket(address->family);
    raw_never_wait(fd);
    (void)!connect(fd, &name.any, size);
    return fd;
}

int raw_listen(saros_address *address, int family, int backlog) {
    *address = any_address(family);
    if (simulated()) return sim_listen(address, backlog);
    any_name  name;
    int       fd = raw_socket(address->family);
    socklen_t size = to_name(address, &name);
    assert_int_equal(bind(fd, &name.any, size), 0);
    assert_int_equal(listen(fd, backlog), 0);
    size = sizeof name;
    assert_int_equal(getsockname(fd, &name.any, &size), 0);
    if (address->family == SAROS_INET) address->port = ntohs(name.in.sin_port);
    if (address->family == SAROS_INET6) address->port = ntohs(name.in6.sin6_port);
    return fd;
}

void raw_close(saros_os_handle fd) {
    if (sim_has((int)fd)) sim_close((int)fd, false);
    else system_close(fd);
}

int raw_copy(saros_os_handle fd) {
#ifdef _WIN32
    WSAPROTOCOL_INFOW about;
    int               any = FROM_PROTOCOL_INFO;
    assert_int_equal(WSADuplicateSocketW((SOCKET)fd, GetCurrentProcessId(), &about), 0);
    int copy = (int)WSASocketW(any, any, any, &about, 0, 0);
#else
    int copy = dup(fd);
#endif
    assert_true(copy >= 0);
    return copy;
}

void raw_never_wait(int fd) {
#ifdef _WIN32
    u_long on = 1;
    assert_int_equal(ioctlsocket((SOCKET)fd, FIONBIO, &on), 0);
#else
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
#endif
}

bool raw_never_waits(int fd) {
#ifdef _WIN32
    char byte; /* Winsock does not tell; nobody sends anything here, so a call that waits never comes back */
    return recv((SOCKET)fd, &byte, 1, 0) < 0;
#else
    return fcntl(fd, F_GETFL) & O_NONBLOCK;
#endif
}

bool raw_is_ours_alone(int fd) {
#ifdef _WIN32
    DWORD flags = 0;
    return GetHandleInformation((HANDLE)(intptr_t)fd, &flags) && !(flags & HANDLE_FLAG_INHERIT);
#else
    return fcntl(fd, F_GETFD) & FD_CLOEXEC;
#endif
}

void raw_end(int fd) {
    if (sim_has(fd)) sim_end(fd);
    else shutdown(fd, SHUT_WR);
}

void raw_reset(int fd) {
    if (sim_has(fd)) {
        sim_close(fd, true);
        return;
    }
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, (void *)&now, sizeof now), 0);
    system_close(fd);
}

void raw_write(int fd, const void *data, size_t size) {
    for (size_t done = 0; done < size;) {
        int64_t wrote = sim_has(fd) ? sim_send(fd, (const char *)data + done, size - done)
                                    : send(fd, (const char *)data + done, (raw_size)(size - done), MSG_NOSIGNAL);
        assert_true(wrote > 0);
        done += (size_t)wrote;
    }
}

size_t raw_read_some(int fd, void *buffer, size_t size) {
    int64_t got = sim_has(fd) ? sim_recv(fd, buffer, size) : recv(fd, buffer, (raw_size)size, 0);
    assert_true(got > 0);
    return (size_t)got;
}

void raw_read(int fd, void *buffer, size_t size) {
    for (size_t done = 0; done < size;) done += raw_read_some(fd, (char *)buffer + done, size - done);
}

bool raw_has(const saros_handle *handle, size_t size) {
    static char bytes[1000];
    assert_in_range(size, 1, sizeof bytes);
    if (simulated()) return sim_there(handle) >= size;
    return recv(handle->os, bytes, (raw_size)size, MSG_PEEK | MSG_DONTWAIT) == (ssize_t)size;
}

void raw_steal(const saros_handle *handle, void *buffer, size_t size) {
    if (simulated()) sim_steal(handle, buffer, size);
    else assert_int_equal(recv(handle->os, buffer, (raw_size)size, 0), size);
}

bool raw_ended(int fd) {
    if (sim_has(fd)) return sim_recv(fd, &(char){0}, 1) <= 0;
    struct pollfd one = {.fd = fd, .events = POLLIN};
    char          byte;
    return poll(&one, 1, PATIENCE * 1000) == 1 && recv(fd, &byte, 1, MSG_DONTWAIT) <= 0;
}

bool under_wine(void) {
#ifdef _WIN32
    return GetProcAddress(GetModuleHandleA("ntdll"), "wine_get_version") != NULL;
#else
    return false;
#endif
}

/* ---- whole messages --------------------------------------------------------------------------------------------- */

int send_all(world *w, saros_handle *handle, const void *data, size_t size) {
    int count = 0;
    for (size_t done = 0; done < size; count++) {
        int64_t sent = perform(w, SAROS_OP_SEND, handle, (void *)((uintptr_t)data + done), size - done);
        assert_true(sent > 0);
        done += (size_t)sent;
    }
    return count;
}

int recv_all(world *w, saros_handle *handle, void *buffer, size_t size) {
    int count = 0;
    for (size_t done = 0; done < size; count++) {
        int64_t got = perform(w, SAROS_OP_RECV, handle, (char *)buffer + done, size - done);
        assert_true(got > 0);
        done += (size_t)got;
    }
    return count;
}

void fill_up(world *w, told *send_op, saros_handle *handle) {
    static const char nothing[200000];
    do {
        start(w, send_op, SAROS_OP_SEND, handle, (void *)(uintptr_t)nothing, sizeof nothing);
        saros_time until = saros_now(w->loop) + 25 * MILLISECOND; /* the kernel's buffers move for a while */
        while (send_op->times == 0 && saros_now(w->loop) < until) step_for(w, 5 * MILLISECOND);
        assert_true(send_op->times == 0 || send_op->result > 0);
    } while (send_op->times > 0);
}
