/* seam.h: the system calls of a program, counted and made to fail.
 *
 * A program that uses this gets its own recv, send, … in place of the C library's, for Linux only. They make the real
 * call, unless told otherwise. */
#ifndef SEAM_H
#define SEAM_H

#include <stddef.h>

enum seam_call {
    SEAM_RECV,
    SEAM_SEND,
    SEAM_ACCEPT,
    SEAM_CONNECT,
    SEAM_SOCKET,
    SEAM_CLOSE, /* the descriptor is gone all the same, as with Linux */
    SEAM_EVENTFD,
    SEAM_EPOLL_CREATE,
    SEAM_EPOLL_CTL,
    SEAM_WAIT,   /* epoll_pwait2, epoll_wait, ppoll, select */
    SEAM_PWAIT2, /* epoll_pwait2 alone */
    SEAM_WALL,   /* looks at the wall clock, which never fail */
    SEAM_CALLS
};

extern struct seam {
    size_t calls;
    int    error; /* the errno … */
    size_t times; /* … of so many calls from here on */
    size_t most;  /* bytes that one call moves; 0: as many as it likes */
    int    flags; /* of the last accept or socket; of the wall clock whether it is being set */
} seam[SEAM_CALLS];

/* From here on each look at the wall clock finds it set to another year, forwards and back. */
void seam_set_wall_clock(void);

void seam_reset(void);
/* The next `times` calls fail with `error`. */
void seam_fail(enum seam_call call, int error, size_t times);

#endif
