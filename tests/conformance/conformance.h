/* conformance.h: what every driver must do, whatever kernel it stands on; the promises of docs/design.md.
 *
 * `conformance DRIVER [FAULTS]` runs the groups below for one driver. A driver without descriptors is held to refuse
 * them; FAULTS says which of its kernels the simulated one is. */
#ifndef CONFORMANCE_H
#define CONFORMANCE_H

#include "support/sockets.h"

int conform_opening(void);   /* connect, listen, accept, names */
int conform_options(void);   /* what is set on sockets, and where they are bound */
int conform_streams(void);   /* what is sent is received */
int conform_datagrams(void); /* what goes by itself: whole, or not at all */
int conform_many(void);      /* groups, broadcasts, and what governs them */
int conform_ending(void);    /* the peer ends, or resets */
int conform_stopping(void);  /* cancel, close, and callbacks that do so */
int conform_hostile(void);   /* limits, and descriptors closed behind our back; nothing spins */
int conform_given(void);     /* adopted descriptors, pipes, pairs */
int conform_ready(void);     /* polls, and borrowed descriptors */
int conform_timing(void);    /* timers, wakes, signals, idleness */
int conform_none(void);      /* for a driver without descriptors */

/* "conformance/streams on epoll" */
const char *group_name(const char *group);
bool        driver_is(const char *name);

#endif
