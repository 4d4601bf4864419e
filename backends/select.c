/* select.c: the driver on select, the oldest and most portable one.
 *
 * What is wrong with select: a set holds descriptors below FD_SETSIZE (1,024) only, and FD_SET above that writes past
 * its end without a word (select(2), BUGS). How this copes: a descriptor over the limit is refused with SAROS_ELIMIT
 * before any set is touched. One bad descriptor makes the whole call fail with EBADF: then the culprits are looked for
 * and only they are told. The sets are overwritten by the answer, so they are copied for every wait. */
#include <errno.h>
#include <fcntl.h>
#include <sys/select.h>

#include "backends/reactor.h"

typedef struct select_driver {
    saros_reactor reactor;
    fd_set        in, out;
    int           above; /* the highest descriptor watched, plus one */
    int           limit; /* descriptors from here on are refused */
} select_driver;

static int select_watch(saros_reactor *reactor, uint32_t slot, unsigned was, unsigned now) {
    select_driver *self = (select_driver *)reactor;
    int            fd = reactor->slots[slot].handle->os;
    (void)was;
    if (fd < 0 || fd >= self->limit) return SAROS_ELIMIT;
    if (now & SAROS_IN) FD_SET(fd, &self->in);
    else FD_CLR(fd, &self->in);
    if (now & SAROS_OUT) FD_SET(fd, &self->out);
    else FD_CLR(fd, &self->out);
    if (now != 0 && fd >= self->above) self->above = fd + 1;
    while (self->above > 0 && !FD_ISSET(self->above - 1, &self->in) && !FD_ISSET(self->above - 1, &self->out))
        self->above--;
    return 0;
}

/* Somebody closed a descriptor of ours behind our back: whoever waits on it tries its call and is told so. */
static int find_culprits(select_driver *self) {
    for (uint32_t slot = 0; slot < self->reactor.count; slot++) {
        const saros_slot *at = &self->reactor.slots[slot];
        if (at->interest != 0 && fcntl(at->handle->os, F_GETFD) < 0) {
            if (slot == 0) return SAROS_EBADF; /* our own wake-up: nothing can be trusted any more */
            saros_reactor_ready(&self->reactor, slot, SAROS_END);
        }
    }
    return 0;
}

static int select_wait(void *driver, saros_time timeout) {
    select_driver *self = driver;
    fd_set         in = self->in, out = self->out;
    saros_time     microseconds = timeout / 1000 + (timeout % 1000 > 0);
    struct timeval time = {.tv_sec = (time_t)(microseconds / 1000000),
                           .tv_usec = (suseconds_t)(microseconds % 1000000)};
    if (time.tv_sec > 86400) time.tv_sec = 86400; /* some systems refuse more than 31 days; early is allowed */
    int left = select(self->above, &in, &out, NULL, timeout == SAROS_FOREVER ? NULL : &time);
    if (left < 0 && errno == EBADF) return find_culprits(self);
    if (left < 0) return errno == EINTR ? 0 : saros_error_from_os(errno);
    for (uint32_t slot = 0; left > 0 && slot < self->reactor.count; slot++) {
        if (self->reactor.slots[slot].interest == 0) continue;
        int      fd = self->reactor.slots[slot].handle->os;
        unsigned events = (FD_ISSET(fd, &in) ? SAROS_IN : 0) | (FD_ISSET(fd, &out) ? SAROS_OUT : 0);
        if (events == 0) continue;
        left -= (events & SAROS_IN ? 1 : 0) + (events & SAROS_OUT ? 1 : 0);
        saros_reactor_ready(&self->reactor, slot, events);
    }
    return 0;
}

static int select_open(void *driver, saros_loop *loop, const saros_config *config) {
    select_driver *self = driver;
    FD_ZERO(&self->in);
    FD_ZERO(&self->out);
    self->limit = config->descriptors > 0 && config->descriptors < FD_SETSIZE ? config->descriptors : FD_SETSIZE;
    int error = saros_reactor_open(&self->reactor, loop, select_watch);
    if (error == SAROS_ELIMIT) saros_reason(loop, "no descriptor below %d is free", self->limit);
    return error;
}

static void select_close(void *driver) { saros_reactor_close(driver); }

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
