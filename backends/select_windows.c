/* select_windows.c: the driver on Winsock's select, which has the other one's name and arguments, and little else.
 *
 * What is wrong with it, and how this copes: a set is a counted array of sockets, and the header's has room for 64.
 * select itself goes by the count, so ours grow with the number of connections. What is in the arrays afterwards is
 * ready, and to look a socket up is to search; but as they keep their order, one walk side by side with the slots finds
 * everything, and a search is left for the day when they do not. A connect that failed is told in the third set and
 * nowhere else; but so is urgent data, so only sockets that are connecting, or may be, are put there. One socket that is none any
 * more fails the whole call: then it is looked for and told. To wait for nothing is an error, but our waker is always
 * there. Time-outs are good to the system's tick only, 15.6 ms as a rule. */
#include <string.h>
#include <winsock2.h>

#include "backends/reactor.h"

/* Begins like an fd_set, and is as large as it must be. */
typedef struct socket_set {
    u_int  count;
    SOCKET sockets[];
} socket_set;

enum { TO_READ, TO_WRITE, TO_FAIL, SETS };

typedef struct select_driver {
    saros_reactor reactor;
    char         *memory;  /* the sets, made anew for each wait; and what the answer says of each slot, in bytes */
    uint32_t      room;    /* slots that it is for */
    uint32_t      watched; /* slots with an interest */
    uint32_t      limit;   /* more are refused */
} select_driver;

static size_t set_size(uint32_t room) { return sizeof(socket_set) + room * sizeof(SOCKET); }
static size_t memory_size(uint32_t room) { return room > 0 ? SETS * set_size(room) + room : 0; }

static socket_set *set_at(const select_driver *self, int which) {
    return (socket_set *)(void *)(self->memory + (size_t)which * set_size(self->room));
}

static int select_watch(saros_reactor *reactor, uint32_t slot, unsigned was, unsigned now) {
    select_driver *self = (select_driver *)reactor;
    if (was == 0 && self->watched >= self->limit) return SAROS_ELIMIT;
    if (slot >= self->room) {
        uint32_t room = self->room > 0 ? self->room : 16;
        while (room <= slot) room *= 2;
        char *memory = saros_realloc(reactor->loop, self->memory, memory_size(self->room), memory_size(room));
        if (memory == NULL) return SAROS_ENOMEM;
        self->memory = memory;
        self->room = room;
    }
    self->watched += (now != 0) - (was != 0);
    return 0;
}

static fd_set *fill(const select_driver *self, int which) {
    socket_set *set = set_at(self, which);
    set->count = 0;
    for (uint32_t slot = 0; slot < self->reactor.count; slot++) {
        const saros_slot *at = &self->reactor.slots[slot];
        if (!(at->interest & (which == TO_READ ? SAROS_IN : SAROS_OUT))) continue;
        if (which == TO_FAIL && at->handle->state != SAROS_HANDLE_OPENING && !at->handle->borrowed) continue;
        set->sockets[set->count++] = (SOCKET)at->handle->os;
    }
    return (fd_set *)(void *)set;
}

static bool holds(const socket_set *set, SOCKET s) {
    u_int i = 0;
    while (i < set->count && set->sockets[i] != s) i++;
    return i < set->count;
}

/* What may be in a set; INVALID_SOCKET, which never is, where nothing is watched. */
static SOCKET socket_of(const select_driver *self, uint32_t slot) {
    const saros_slot *at = &self->reactor.slots[slot];
    return at->interest != 0 ? (SOCKET)at->handle->os : INVALID_SOCKET;
}

/* Notes `event` for each slot that the answer holds. */
static void note(const select_driver *self, int which, char *said, char event) {
    const socket_set *set = set_at(self, which);
    u_int             found = 0;
    for (uint32_t slot = 0; slot < self->reactor.count && found < set->count; slot++)
        if (set->sockets[found] == socket_of(self, slot)) said[slot] |= event, found++;
    if (found == set->count) return;
    for (uint32_t slot = 0; slot < self->reactor.count; slot++)
        if (holds(set, socket_of(self, slot))) said[slot] |= event;
}

/* Somebody closed a socket of ours behind our back: whoever waits on it tries its call and is told so. */
static int find_culprits(select_driver *self) {
    for (uint32_t slot = 0; slot < self->reactor.count; slot++) {
        const saros_slot *at = &self->reactor.slots[slot];
        int               type, size = sizeof type;
        if (at->interest == 0 || getsockopt((SOCKET)at->handle->os, SOL_SOCKET, SO_TYPE, (char *)&type, &size) == 0)
            continue;
        if (slot == 0) return SAROS_EBADF; /* our own waker: nothing can be trusted any more */
        saros_reactor_ready(&self->reactor, slot, SAROS_END);
    }
    return 0;
}

static int select_wait(void *driver, saros_time timeout) {
    select_driver *self = driver;
    saros_time     milliseconds = timeout / 1000000 + (timeout % 1000000 > 0);
    struct timeval time = {.tv_sec = 86400}; /* a day at the most: tv_sec is a long, of 32 bits; early is allowed */
    if (milliseconds < 86400000) {
        time.tv_sec = (long)(milliseconds / 1000);
        time.tv_usec = (long)(milliseconds % 1000 * 1000);
    }
    fd_set *in = fill(self, TO_READ), *out = fill(self, TO_WRITE), *odd = fill(self, TO_FAIL);
    if (select(0, in, out, odd, timeout == SAROS_FOREVER ? NULL : &time) == SOCKET_ERROR) {
        int error = WSAGetLastError();
        return error == WSAENOTSOCK ? find_culprits(self) : saros_error_from_os(error);
    }
    uint32_t count = self->reactor.count;
    char    *said = self->memory + SETS * set_size(self->room);
    memset(said, 0, count);
    note(self, TO_READ, said, SAROS_IN);
    note(self, TO_WRITE, said, SAROS_OUT);
    note(self, TO_FAIL, said, SAROS_END);
    for (uint32_t slot = 0; slot < count; slot++)
        if (said[slot] != 0) saros_reactor_ready(&self->reactor, slot, (unsigned)said[slot]);
    return 0;
}

static void select_close(void *driver) {
    select_driver *self = driver;
    saros_reactor_close(&self->reactor);
    saros_realloc(self->reactor.loop, self->memory, memory_size(self->room), 0);
}

static int select_open(void *driver, saros_loop *loop, const saros_config *config) {
    select_driver *self = driver;
    self->limit = config->descriptors > 0 ? (uint32_t)config->descriptors : UINT32_MAX;
    if (self->limit == 1) {
        saros_reason(loop, "a set of 1 has no room for a connection beside the waker");
        return SAROS_ELIMIT;
    }
    int error = saros_reactor_open(&self->reactor, loop, select_watch);
    if (error < 0) saros_realloc(loop, self->memory, memory_size(self->room), 0);
    return error;
}

const saros_driver saros_select_driver = {
    .name = "select",
    .size = sizeof(select_driver),
    .open = select_open,
    .close = select_close,
    .now = saros_reactor_now,
    .submit = saros_reactor_submit,
    .cancel = saros_reactor_cancel,
    .wait = select_wait,
    .wake = saros_reactor_wake,
    .take = saros_reactor_take,
};
