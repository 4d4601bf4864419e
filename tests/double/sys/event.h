/* event.h: kqueue's interface as far as the test double has it; see kqueue.c beside it.
 *
 * What is not here does not compile: the driver can thus not come to rely on what systems do in different ways
 * (EV_ENABLE, EV_CLEAR, timers, EVFILT_USER), nor on the types of one of them. */
#ifndef DOUBLE_SYS_EVENT_H
#define DOUBLE_SYS_EVENT_H

#include <stdint.h>
#include <time.h>

/* As on NetBSD before 10: udata is an integer, filter and flags have 32 bits. Elsewhere it is a pointer, and they have
 * 16. Code that takes both takes either. */
struct kevent {
    uintptr_t ident;
    uint32_t  filter, flags, fflags;
    int64_t   data;
    intptr_t  udata;
};

#define EVFILT_READ  0U
#define EVFILT_WRITE 1U

#define EV_ADD     0x0001U
#define EV_DELETE  0x0002U
#define EV_RECEIPT 0x0040U
#define EV_ERROR   0x4000U
#define EV_EOF     0x8000U

/* As on NetBSD, it evaluates its first argument once for each member. */
#define EV_SET(event, a, b, c, d, e, f)  \
    do {                                 \
        (event)->ident = (uintptr_t)(a); \
        (event)->filter = (b);           \
        (event)->flags = (c);            \
        (event)->fflags = (d);           \
        (event)->data = (e);             \
        (event)->udata = (f);            \
    } while (0)

int kqueue(void);
int kevent(int kq, const struct kevent *changes, int change_count, struct kevent *events, int room,
           const struct timespec *timeout);

#endif
