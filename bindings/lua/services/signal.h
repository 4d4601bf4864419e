/* signal.h: between saros.signal and the system that sends signals: service_signal.c, or service_signal_windows.c. */
#ifndef SAROS_LUA_SIGNAL_H
#define SAROS_LUA_SIGNAL_H

#include <stdatomic.h>

#include "core/saros.h"

/* Who is told of signals. It stays where it is from saros_signal_listen until saros_signal_ignore has returned. */
typedef struct saros_ears saros_ears;
struct saros_ears {
    saros_op              op; /* expected; posted when the first signal has come since it was told */
    saros_loop           *loop;
    uint64_t              wanted; /* signals, as bits: saros_signal_bit */
    atomic_uint_least64_t come;   /* of these: take them when op was told and is expected again */
    _Atomic(saros_ears *) next;   /* all of the process */
};

static inline uint64_t saros_signal_bit(int number) { return UINT64_C(1) << (number - 1); }

/* The system's, up to one without a name. */
typedef struct saros_known_signal {
    const char *name;
    int         number;
    bool        heard; /* not those that no program can catch, nor those that tell of a mistake in the code that runs */
} saros_known_signal;
extern const saros_known_signal saros_known_signals[];
const saros_known_signal *saros_signal_find(const char *name); /* signal.c; NULL: there is none of that name here */

/* ears: op.done, loop and wanted are set. From now on these signals do nothing but tell. 0, or the error, and then
 * nothing has changed. Any thread. */
int saros_signal_listen(saros_ears *ears);
/* Where nobody listens any more a signal does what it did before. The op is the caller's to abandon. Any thread. */
void saros_signal_ignore(saros_ears *ears);

#endif
