/* poll.c: the driver on POSIX poll.
 *
 * What is wrong with poll: the whole list goes to the kernel and back at every wait, so its cost grows with the number
 * of connections and not with what happens on them. How this copes: it does not; the list is kept ready-made, entry
 * and slot have the same index, and what is not watched has a negative descriptor, which the kernel skips (poll(2)).
 * Time-outs are in milliseconds; ppoll takes nanoseconds where it is there. */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <time.h>

#include "backends/reactor.h"

typedef struct poll_driver {
    saros_reactor  reactor;
    struct pollfd *list;
    uint32_t       room;
} poll_driver;

static int grow(poll_driver *self, uint32_t slot) {
    uint32_t room = self->room > 0 ? self->room : 16;
    while (room <= slot) room *= 2;
    size_t         unit = sizeof *self->list;
    struct pollfd *list = saros_realloc(self->reactor.loop, self->list, self->room * unit, room * unit);
    if (list == NULL) return SAROS_ENOMEM;
    for (uint32_t i = self->room; i < room; i++) list[i] = (struct pollfd){.fd = -1};
    self->list = list;
    self->room = room;
    return 0;
}

static int poll_watch(saros_reactor *reactor, uint32_t slot, unsigned was, unsigned now) {
    poll_driver *self = (poll_driver *)reactor;
    (void)was;
    if (slot >= self->room) {
        int error = grow(self, slot);
        if (error < 0) return error;
    }
    self->list[slot].fd = now != 0 ? reactor->slots[slot].handle->os : -1;
    self->list[slot].events = (short)((now & SAROS_IN ? POLLIN : 0) | (now & SAROS_OUT ? POLLOUT : 0));
    self->list[slot].revents = 0;
    return 0;
}

static int wait_for(poll_driver *self, saros_time timeout) {
    nfds_t count = self->reactor.count < self->room ? self->reactor.count : self->room;
#ifdef __linux__
    struct timespec time = {.tv_sec = (time_t)(timeout / SAROS_SECOND), .tv_nsec = (long)(timeout % SAROS_SECOND)};
    return ppoll(self->list, count, timeout == SAROS_FOREVER ? NULL : &time, NULL);
#else
    saros_time milliseconds = timeout / 1000000 + (timeout % 1000000 > 0);
    return poll(self->list, count,
                timeout == SAROS_FOREVER ? -1
                : milliseconds > INT_MAX ? INT_MAX
                                         : (int)milliseconds);
#endif
}

static int poll_wait(void *driver, saros_time timeout) {
    poll_driver *self = driver;
    int          left = wait_for(self, timeout);
    if (left < 0) return errno == EINTR ? 0 : saros_error_from_os(errno);
    for (uint32_t slot = 0; left > 0 && slot < self->room; slot++) {
        short said = self->list[slot].revents;
        if (said == 0 || self->list[slot].fd < 0) continue;
        unsigned events = 0;
        if (said & POLLIN) events |= SAROS_IN;
        if (said & POLLOUT) events |= SAROS_OUT;
        if (said & (POLLHUP | POLLERR | POLLNVAL)) events |= SAROS_END;
        left--;
        saros_reactor_ready(&self->reactor, slot, events);
    }
    return 0;
}

static void poll_close(void *driver) {
    poll_driver *self = driver;
    saros_reactor_close(&self->reactor);
    saros_realloc(self->reactor.loop, self->list, self->room * sizeof *self->list, 0);
}

static int poll_open(void *driver, saros_loop *loop, const saros_config *config) {
    poll_driver *self = driver;
    (void)config;
    int error = saros_reactor_open(&self->reactor, loop, poll_watch);
    if (error < 0) saros_realloc(loop, self->list, self->room * sizeof *self->list, 0);
    return error;
}

const saros_driver saros_poll_driver = {
    .name = "poll",
    .size = sizeof(poll_driver),
    .open = poll_open,
    .close = poll_close,
    .now = saros_reactor_now,
    .submit = saros_reactor_submit,
    .cancel = saros_reactor_cancel,
    .wait = poll_wait,
    .wake = saros_reactor_wake,
    .take = saros_reactor_take,
};
