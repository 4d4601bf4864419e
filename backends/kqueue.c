/* kqueue.c: the driver on kqueue, of the BSDs and macOS; level-triggered.
 *
 * What is wrong with kqueue, and how this copes:
 *
 *   Changes and events share one call and one list, and systems differ in what comes of it: a change that fails ends
 *   the wait or is mixed with events, or its record is lost unless the records fill the list; without room for it the
 *   call fails and leaves out the changes behind. So changes go in a call of their own, with EV_RECEIPT and a list of
 *   exactly their number, and the wait has no changes. And each goes at once: who polls our descriptor must be woken
 *   by what was submitted a moment ago, and a refusal is the result of that very operation. Batches of changes would
 *   save little: what is read in a loop is registered once.
 *
 *   EV_ENABLE does not look again everywhere, EVFILT_TIMER may be early by a tick, EVFILT_USER is missing or has another
 *   number. None of them is used: an event is level-triggered from EV_ADD to EV_DELETE, time-outs are kevent's own (the
 *   core looks at its clock again), waking up is the reactor's pipe.
 *
 *   Flags come back with EV_ADD and EV_RECEIPT in them or without: bits are tested, never compared. Not every system
 *   forgets an event when its descriptor is closed: it is deleted before. A socket's pending error is told in fflags,
 *   and libkqueue takes it from the socket for that: it is handed on. The type of udata is a pointer, or an integer.
 *
 * Closing a descriptor behind our back removes its events without a word: who waits for them is told when its handle
 * is closed, and not before. The kqueue descriptor can be polled, and is offered to foreign loops. A child of fork
 * does not inherit it: there every wait fails with EBADF. */
#include <errno.h>
#include <fcntl.h>
#include <sys/types.h> /* which FreeBSD's sys/event.h takes for granted */

#include <sys/event.h>
#include <time.h>
#include <unistd.h>

#include "backends/reactor.h"

#ifndef EV_RECEIPT /* older systems: a change that succeeds leaves no record, and zero of them is well */
#define EV_RECEIPT 0
#endif

enum { BATCH = 256 };

typedef struct kqueue_driver {
    saros_reactor reactor;
    int           kq;
    struct kevent events[BATCH];
} kqueue_driver;

/* Adds or deletes the events for `ways` of a slot. 0, or the first error. */
static int change(kqueue_driver *self, uint32_t slot, unsigned ways, unsigned action) {
    static const struct timespec at_once = {0};
    struct kevent                list[2], receipts[2], *end = list;
    for (unsigned way = SAROS_IN; way <= SAROS_OUT; way <<= 1) {
        if (!(ways & way)) continue;
        EV_SET(end, self->reactor.slots[slot].handle->os, way == SAROS_IN ? EVFILT_READ : EVFILT_WRITE,
               action | EV_RECEIPT, 0, 0, (__typeof__(list->udata))(uintptr_t)slot);
        end++; /* not above: some systems' EV_SET looks at it more than once */
    }
    int got, count = (int)(end - list);
    do got = kevent(self->kq, list, count, receipts, count, &at_once);
    while (got < 0 && errno == EINTR); /* done or not, it can be done again */
    if (got < 0) return saros_error_from_os(errno);
    for (int i = 0; i < got; i++)
        if ((receipts[i].flags & EV_ERROR) && receipts[i].data != 0) return saros_error_from_os((int)receipts[i].data);
    return 0;
}

static int kqueue_watch(saros_reactor *reactor, uint32_t slot, unsigned was, unsigned now) {
    kqueue_driver *self = (kqueue_driver *)reactor;
    unsigned       more = now & ~was, less = was & ~now;
    if (less != 0) change(self, slot, less, EV_DELETE); /* an error: it is gone already */
    int error = more != 0 ? change(self, slot, more, EV_ADD) : 0;
    if (error < 0) change(self, slot, more, EV_DELETE); /* one of two may have been taken */
    return error;
}

static int kqueue_wait(void *driver, saros_time timeout) {
    kqueue_driver  *self = driver;
    struct timespec time = {.tv_sec = (time_t)(timeout / SAROS_SECOND), .tv_nsec = (long)(timeout % SAROS_SECOND)};
    if (time.tv_sec > 86400) time.tv_sec = 86400; /* some refuse years; early is allowed */
    int count = kevent(self->kq, NULL, 0, self->events, BATCH, timeout == SAROS_FOREVER ? NULL : &time);
    if (count < 0) return errno == EINTR ? 0 : saros_error_from_os(errno);
    for (int i = 0; i < count; i++) {
        const struct kevent *event = &self->events[i];
        uint32_t             slot = (uint32_t)(uintptr_t)event->udata;
        unsigned             events = event->filter == EVFILT_READ ? SAROS_IN : SAROS_OUT;
        bool                 ended = event->flags & EV_EOF;
        if (ended && event->fflags != 0)
            saros_reactor_failed(&self->reactor, slot, saros_error_from_os((int)event->fflags));
        if (ended && events == SAROS_IN) events |= SAROS_END; /* the end of writing may be our own */
        if (event->flags & EV_ERROR) events |= SAROS_END;
        saros_reactor_ready(&self->reactor, slot, events);
    }
    return 0;
}

static int kqueue_open(void *driver, saros_loop *loop, const saros_config *config) {
    kqueue_driver *self = driver;
    (void)config;
    self->kq = kqueue();
    if (self->kq < 0) {
        int error = saros_error_from_os(errno);
        saros_reason(loop, "kqueue: %s", saros_error_text(error));
        return error;
    }
    fcntl(self->kq, F_SETFD, FD_CLOEXEC);
    int error = saros_reactor_open(&self->reactor, loop, kqueue_watch);
    if (error < 0) close(self->kq);
#ifndef EVFILT_LIBKQUEUE /* whose kqueue becomes readable only while somebody waits in kevent */
    else saros_set_pollable(loop, self->kq);
#endif
    return error;
}

static void kqueue_close(void *driver) {
    kqueue_driver *self = driver;
    saros_reactor_close(&self->reactor);
    close(self->kq);
}

const saros_driver saros_kqueue_driver = {
    .name = "kqueue",
    .size = sizeof(kqueue_driver),
    .open = kqueue_open,
    .close = kqueue_close,
    .now = saros_reactor_now,
    .submit = saros_reactor_submit,
    .cancel = saros_reactor_cancel,
    .wait = kqueue_wait,
    .wake = saros_reactor_wake,
    .take = saros_reactor_take,
};
