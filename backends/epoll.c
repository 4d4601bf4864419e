/* epoll.c: the driver on Linux epoll, level-triggered.
 *
 * What is wrong with epoll, and how this copes: a registration belongs to the open file behind a descriptor and not
 * to the number, so where a copy of the descriptor lives it outlasts close() and can then not be removed (epoll(7),
 * questions 6): we always remove before we close, and if the removal fails, because somebody closed the number behind
 * our back, the whole set is made anew. Hang-ups are reported even to those who asked for nothing: without interest we
 * are not registered at all. Time-outs of epoll_wait are in milliseconds: epoll_pwait2 takes nanoseconds, and where
 * it is missing they are rounded up.
 *
 * The epoll descriptor is itself pollable, and is offered to foreign loops. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "backends/reactor.h"

enum { BATCH = 256 };

typedef struct epoll_driver {
    saros_reactor      reactor;
    int                epfd;
    bool               stale;  /* a registration may be left that we cannot remove */
    bool               coarse; /* no epoll_pwait2 in this kernel */
    struct epoll_event events[BATCH];
} epoll_driver;

static int control(int epfd, int action, const saros_reactor *reactor, uint32_t slot, unsigned now) {
    struct epoll_event event = {.data.u32 = slot};
    if (now & SAROS_IN) event.events |= EPOLLIN | EPOLLRDHUP;
    if (now & SAROS_OUT) event.events |= EPOLLOUT;
    return epoll_ctl(epfd, action, reactor->slots[slot].handle->os, &event) == 0 ? 0 : saros_error_from_os(errno);
}

static int epoll_watch(saros_reactor *reactor, uint32_t slot, unsigned was, unsigned now) {
    epoll_driver *self = (epoll_driver *)reactor;
    int           action = was == 0 ? EPOLL_CTL_ADD : now == 0 ? EPOLL_CTL_DEL : EPOLL_CTL_MOD;
    int           error = control(self->epfd, action, reactor, slot, now);
    if (error == 0 || (now & ~was) != 0) return error;
    self->stale = true; /* less is wanted than before: that is never refused, the new set will have it so */
    return 0;
}

/* A new set under the old number. Foreign loops that poll or select it need not know; one that has it in an epoll set
 * of its own must add it again, as that kept to the old set. Who waits on a descriptor that cannot be added, because it
 * is closed, tries its call and is told so. */
static int rebuild(epoll_driver *self) {
    int epfd = epoll_create1(EPOLL_CLOEXEC);
    if (epfd < 0) return saros_error_from_os(errno);
    int error = dup3(epfd, self->epfd, O_CLOEXEC) < 0 ? saros_error_from_os(errno) : 0;
    close(epfd);
    if (error < 0) return error;
    self->stale = false;
    for (uint32_t slot = 0; slot < self->reactor.count; slot++) {
        saros_slot *at = &self->reactor.slots[slot];
        if (at->interest == 0) continue;
        error = control(self->epfd, EPOLL_CTL_ADD, &self->reactor, slot, at->interest);
        if (error < 0 && slot == 0) return error; /* our own wake-up: nothing can be trusted any more */
        if (error < 0) {
            at->interest = 0;
            saros_reactor_ready(&self->reactor, slot, SAROS_END);
        }
    }
    return 0;
}

static int wait_for(epoll_driver *self, saros_time timeout) {
    struct timespec time = {.tv_sec = (time_t)(timeout / SAROS_SECOND), .tv_nsec = (long)(timeout % SAROS_SECOND)};
    if (!self->coarse) {
        int count = epoll_pwait2(self->epfd, self->events, BATCH, timeout == SAROS_FOREVER ? NULL : &time, NULL);
        if (count >= 0 || errno != ENOSYS) return count;
        self->coarse = true;
    }
    saros_time milliseconds = timeout / 1000000 + (timeout % 1000000 > 0);
    int        limited = timeout == SAROS_FOREVER ? -1 : milliseconds > INT_MAX ? INT_MAX : (int)milliseconds;
    return epoll_wait(self->epfd, self->events, BATCH, limited);
}

static int epoll_wait_driver(void *driver, saros_time timeout) {
    epoll_driver *self = driver;
    if (self->stale) return rebuild(self); /* it may have told somebody: no time to block */
    int count = wait_for(self, timeout);
    if (count < 0) return errno == EINTR ? 0 : saros_error_from_os(errno);
    for (int i = 0; i < count; i++) {
        uint32_t said = self->events[i].events;
        unsigned events = 0;
        if (said & EPOLLIN) events |= SAROS_IN;
        if (said & EPOLLOUT) events |= SAROS_OUT;
        if (said & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) events |= SAROS_END;
        saros_reactor_ready(&self->reactor, self->events[i].data.u32, events);
    }
    return 0;
}

static int epoll_open(void *driver, saros_loop *loop, const saros_config *config) {
    epoll_driver *self = driver;
    (void)config;
    self->epfd = epoll_create1(EPOLL_CLOEXEC);
    if (self->epfd < 0) {
        int error = saros_error_from_os(errno);
        saros_reason(loop, "epoll_create1: %s", saros_error_text(error));
        return error;
    }
    int error = saros_reactor_open(&self->reactor, loop, epoll_watch);
    if (error < 0) close(self->epfd);
    else saros_set_pollable(loop, self->epfd);
    return error;
}

static void epoll_close(void *driver) {
    epoll_driver *self = driver;
    saros_reactor_close(&self->reactor);
    close(self->epfd);
}

const saros_driver saros_epoll_driver = {
    .name = "epoll",
    .size = sizeof(epoll_driver),
    .open = epoll_open,
    .close = epoll_close,
    .now = saros_reactor_now,
    .submit = saros_reactor_submit,
    .cancel = saros_reactor_cancel,
    .wait = epoll_wait_driver,
    .wake = saros_reactor_wake,
    .take = saros_reactor_take,
};
