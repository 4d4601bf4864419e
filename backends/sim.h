/* sim.h: the simulated world behind the driver "sim": its hosts, its links, and when nothing goes wrong any more.
 *
 * A loop that is opened on "sim" is a world of its own. Time is virtual: it stands still while there is work, and
 * jumps when there is none. Its sockets are in memory. Whatever chance decides is drawn from config.seed, so the same
 * program with the same seed does the same again, to the byte; config.faults says what goes wrong, and how the kernel
 * behaves. All of that is one list of words with commas between:
 *
 *   readiness | completion    which kind of kernel is below: one that says when to try (this is the default), or one
 *                             that does the work itself and tells later
 *   NAME[=CHANCE[:BUDGET]]    a fault from saros_sim_profile's list: how likely it is each time, above 0 and up to 1,
 *                             and how often at most. Without numbers: the profile's own
 *   chaos                     each seed switches on some of the faults, and none of the others
 *   calm=SECONDS              saros_sim_calm, at that time
 *
 * A word that is unknown, or given twice, makes saros_open fail with SAROS_EINVAL and the reason.
 *
 * Who is where: there is always "localhost", which has 127.0.0.1 and ::1. A host that is added has one IPv4 and one IPv6
 * address (10.0.0.N, fd00::N), and, as every machine, loopback addresses that only itself can reach. Whoever connects,
 * or listens on every interface, does so on the current host (saros_sim_on).
 *
 * Every function is for the loop's thread, copies what it is given, and answers SAROS_ENOSYS where the loop is on
 * another driver, SAROS_ENAME for a host that was never added. Names are compared without regard to case. */
#ifndef SAROS_SIM_H
#define SAROS_SIM_H

#include "core/driver.h"

#define SAROS_SIM_NAME 64 /* room for a host's name, with its zero */

/* Adds a host, whose name is letters, digits, dots and hyphens. 0, also where there is one of that name already;
 * SAROS_EINVAL for such a name as none can have, SAROS_ENOMEM, SAROS_ELIMIT (65,534 hosts). */
SAROS_API int saros_sim_host(saros_loop *loop, const char *name);
/* Looks a name up: fills found[0] (IPv4) and found[1] (IPv6), with port 0, and returns their number, 2. */
SAROS_API int saros_sim_lookup(saros_loop *loop, const char *name, saros_address found[2]);
/* What connects or listens from now on is on this host. NULL: "localhost". 0 or an error. */
SAROS_API int saros_sim_on(saros_loop *loop, const char *name);
/* The current host's name; static for as long as the loop. NULL: the loop is not on "sim". */
SAROS_API const char *saros_sim_where(saros_loop *loop);
/* The hosts by index: 0 is "localhost", the others follow in the order in which they were added. NULL: there is none, or
 * the loop is not on "sim". Static for as long as the loop. */
SAROS_API const char *saros_sim_host_at(saros_loop *loop, size_t index);
/* The clock goes on by `span` at once, as if the program had calculated for so long: what falls due meanwhile is told
 * afterwards, in its order. 0, or SAROS_EINVAL for a negative span, or one past the end of time. */
SAROS_API int saros_sim_advance(saros_loop *loop, saros_time span);

enum saros_sim_state {
    SAROS_SIM_UP,      /* everything gets through */
    SAROS_SIM_CUT,     /* nothing does, and nobody is told: connections stall, connects time out after 127 s */
    SAROS_SIM_REFUSED, /* everything is turned away: connects are refused, connections reset when they send */
};
/* The link between two hosts, both ways; b NULL: all links of a to others, also to hosts that are added later, and a
 * NULL as well: all links there are. A link that is up again carries what was held back: TCP repeats itself after 0.2 s,
 * 0.4 s and so on, so it may take as long again as the cut did. Inside a host nothing can be cut. 0 or an error. */
SAROS_API int saros_sim_link(saros_loop *loop, const char *a, const char *b, enum saros_sim_state state);
/* How long a segment is on its way: drawn anew for each, in order within a connection. a and b as above, but a == b is
 * the way inside a host. From the start: 0.2 to 2 ms between hosts, 10 to 100 us inside one, nothing through Unix
 * sockets. SAROS_EINVAL for times that are negative, out of order, or beyond an hour. */
SAROS_API int saros_sim_latency(saros_loop *loop, const char *a, const char *b, saros_time least, saros_time most);
/* Heals every link, and lets nothing go wrong from now on: whatever a program still hangs on is its own doing. */
SAROS_API int saros_sim_calm(saros_loop *loop);

typedef struct saros_sim_fault {
    const char *name;
    double      chance; /* where the list does not say otherwise */
    uint32_t    budget;
    const char *about; /* what goes wrong, in a few words */
} saros_sim_fault;
/* The known faults by index; false behind the last. Any thread. */
SAROS_API bool saros_sim_profile(size_t index, saros_sim_fault *fault);
/* How often a fault has happened so far; SAROS_EINVAL: there is none of that name. */
SAROS_API int64_t saros_sim_happened(saros_loop *loop, const char *name);

#endif
