/* saros.h: the event loop, as its users see it.
 *
 * One loop belongs to one thread. Whoever waits for something embeds a saros_op, fills it in, submits it, and is
 * told exactly once through op->done, from inside saros_step, on the loop's thread. Nothing is ever told from
 * inside a call that starts or cancels an operation.
 *
 * Promises: no global state, no allocation per operation, no I/O of its own on stderr, no dependency.
 * Unless a comment says otherwise a function is for the loop's thread only, and results below 0 are SAROS_E… codes. */
#ifndef SAROS_H
#define SAROS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/error.h"
#include "core/handle.h"

#define SAROS_VERSION_MAJOR 0
#define SAROS_VERSION_MINOR 1
#define SAROS_VERSION_PATCH 0

typedef struct saros_loop     saros_loop;
typedef struct saros_op       saros_op;
typedef struct saros_handle   saros_handle;
typedef struct saros_address  saros_address;
typedef struct saros_setting  saros_setting;
typedef struct saros_piece    saros_piece;
typedef struct saros_datagram saros_datagram;

/* Nanoseconds, on the loop's own clock: it never goes back, and its zero means nothing. */
typedef int64_t saros_time;
#define SAROS_SECOND  INT64_C(1000000000)
#define SAROS_FOREVER INT64_MAX

/* ---- errors --------------------------------------------------------------------------------------------------- */

SAROS_API const char *saros_error_name(int code);      /* "ECONNREFUSED"; static; any thread */
SAROS_API const char *saros_error_text(int code);      /* "connection refused"; static; any thread */
SAROS_API int         saros_error_from_os(int number); /* errno, or GetLastError() on Windows; any thread */

/* ---- addresses ------------------------------------------------------------------------------------------------ */

enum saros_family { SAROS_INET = 1, SAROS_INET6, SAROS_UNIX };

/* Where a stream begins or ends, in one form for all systems and drivers. */
struct saros_address {
    uint8_t  family; /* enum saros_family */
    bool     dual;   /* SAROS_INET6 any-address: take IPv4 connections as well */
    uint16_t port;   /* in the machine's own byte order */
    uint32_t scope;  /* of a link-local IPv6 address */
    uint16_t length; /* of path */
    uint16_t bind;   /* how who listens or binds there does it: enum saros_bind, bits */
    union {
        uint8_t ip[16];    /* 4 or 16 bytes, network order */
        char    path[108]; /* not terminated; begins with a zero byte where it is Linux-abstract */
    } at;
};

/* What is to be known before a socket has its address. What listens is on POSIX always bound so that a restarted server
 * gets its port at once, and on Windows always so that nobody can take it. */
enum saros_bind {
    SAROS_REUSE_PORT = 1, /* several that all ask for it share the port: each connection or datagram is for one of them;
                             SAROS_ENOSYS on Windows */
    SAROS_REUSE_ADDRESS = 2, /* the same for datagrams, but what is sent to a group or to all is for each of them */
    /* Of a Unix socket's path, and without effect on Windows and where there are no files: */
    SAROS_REPLACE = 4, /* a socket's file at which nobody listens is removed before */
    SAROS_CLEAN_UP = 8 /* the file is removed when the listener is closed, if it still is the same */
};

#define SAROS_ADDRESS_TEXT 128 /* room for any address as text, with its zero */

/* What is wrong with an address given as text, or 0. */
enum saros_parsed { SAROS_IS_ADDRESS = 0, SAROS_IS_NAME = 1 };

/* Reads "127.0.0.1:80", "[::1]:80", "*:80", ":80", "localhost:80", "unix:/path" of `length` bytes.
 * Returns SAROS_IS_ADDRESS; or SAROS_IS_NAME where the host is a name to look up: then *host and *host_length
 * point into text, and address->port is set; or SAROS_EINVAL with *why a static reason. Any thread. */
SAROS_API int saros_address_parse(saros_address *address, const char *text, size_t length, const char **host,
                                  size_t *host_length, const char **why);
/* The same for a host (a literal, "*", "localhost") and port given apart; same returns. Any thread. */
SAROS_API int saros_address_make(saros_address *address, const char *host, size_t length, int port, const char **why);
/* A Unix-domain path of `length` bytes (at most 107); SAROS_EINVAL with *why. Any thread. */
SAROS_API int saros_address_path(saros_address *address, const char *path, size_t length, const char **why);
/* Writes the address as saros_address_parse reads it; returns the length. Any thread. */
SAROS_API size_t saros_address_format(const saros_address *address, char text[SAROS_ADDRESS_TEXT]);

/* ---- operations ----------------------------------------------------------------------------------------------- */

/* X(kind, name): what can be asked for. A kind that a driver cannot do completes with SAROS_ENOSYS. */
#define SAROS_OPS(X)                                                                                             \
    X(WAIT, "wait")         /* of somebody who calls saros_complete or saros_post; saros_expect */               \
    X(TIMER, "timer")       /* saros_timer */                                                                    \
    X(CONNECT, "connect")   /* handle (empty), address, size = 1: address[1] is ours -> 0 and an open handle */  \
    X(LISTEN, "listen")     /* handle (empty), address, size = backlog -> 0 and an open handle */                \
    X(DATAGRAM, "datagram") /* handle (empty), address -> 0 and an open socket for datagrams, bound there */     \
    X(ADOPT, "adopt")       /* handle (empty), size = a descriptor -> 0 and an open handle; see below */         \
    X(BORROW, "borrow")     /* the same, for POLL alone: the descriptor stays the caller's */                    \
    X(PAIR, "pair")         /* handle, accepted (both empty) -> 0 and both open, connected with each other */    \
    X(ACCEPT, "accept")     /* handle = listener, accepted = an empty handle -> 0 and that one open */           \
    X(RECV, "recv")         /* handle, buffer, size -> 1..size, or 0 at the end; buffer NULL: lent, see below */ \
    X(SEND, "send")         /* handle, data, size -> 1..size */                                                  \
    X(SENDV, "sendv")       /* handle, pieces, size = how many, none of them empty -> 1..the sum of theirs */    \
    X(RECVFROM, "recvfrom") /* handle, datagram, size = the most to take of it, 0: all -> 0..size */             \
    X(SENDTO, "sendto")     /* handle, datagram, size -> size: it goes whole or not at all */                    \
    X(SHUTDOWN, "shutdown") /* handle: no more will be sent -> 0 */                                              \
    X(POLL, "poll")         /* handle, size = enum saros_ready, or several -> those of them that hold */         \
    X(NAME, "name")         /* handle, address (out), size = 0 ours, 1 the peer's -> 0 */                        \
    X(OPTION, "option")     /* handle, setting, size = 0 to set it, 1 to ask for it -> 0 */                      \
    X(CLOSE, "close")       /* handle: ends what is in flight on it, then closes -> 0 */

enum saros_kind {
#define SAROS_OP_KIND(kind, name) SAROS_OP_##kind,
    SAROS_OPS(SAROS_OP_KIND)
#undef SAROS_OP_KIND
};

enum saros_op_state { SAROS_IDLE, SAROS_FLYING, SAROS_READY };

/* One thing to be done and told. Zero it, or use a finished one again. From submit until done is called it
 * belongs to the loop, and so does its buffer. 64 bytes, one cache line: at many connections that is what counts. */
struct saros_op {
    saros_op *next, *prev; /* the loop's */
    void (*done)(saros_loop *loop, saros_op *op, int64_t result);
    saros_handle *handle;
    union {
        void           *buffer;
        const void     *data;
        saros_handle   *accepted;
        saros_address  *address;
        saros_setting  *setting;
        saros_datagram *datagram;
        saros_piece    *pieces;
    };
    size_t  size;
    int64_t result;
    uint8_t kind;  /* enum saros_kind */
    uint8_t state; /* enum saros_op_state; read it, do not write it */
    union {
        uint8_t background; /* TIMER: does not keep the loop busy */
        uint8_t at_once;    /* SEND, SENDV: ends with SAROS_EAGAIN where it would have to wait */
    };
    uint8_t  mark; /* the driver's */
    uint32_t word; /* the driver's; the timer heap's */
};

/* What a SENDV sends, one after the other; the driver's until it is told, as the bytes are. */
struct saros_piece {
    const void *data;
    size_t      size;
};

/* What a POLL waits for: that a receive or accept, or a send, would not wait. An end or an error is both. Any number of
 * POLLs may wait on a handle; they take nothing away, and who else is quicker may. */
enum saros_ready { SAROS_READABLE = 1, SAROS_WRITABLE = 2 };

/* ADOPT takes a connected or listening stream socket, an end of a pipe, or a terminal. From then on it is the loop's:
 * made non-blocking and closed on exec, and closed by CLOSE. On a pipe's end NAME is SAROS_ENOTSOCK, SHUTDOWN closes an
 * end that only writes, so that its reader sees the end (SAROS_EBUSY while something waits on it; SAROS_ENOTCONN on any
 * other), and the wrong direction is SAROS_EOPNOTSUPP. Datagram sockets and what nobody can wait for (files, folders,
 * devices) are SAROS_EOPNOTSUPP, what is closed SAROS_EBADF; then the descriptor is the caller's, and as it was. On
 * Windows: sockets only, SAROS_ENOTSOCK. No SIGPIPE comes of any of them.
 * BORROW takes whatever poll(2) takes (files are always ready), and changes nothing about it.
 * Only one handle of a loop may have a descriptor. CLOSE the handle before the descriptor is closed: who waits may not
 * hear of that. */

/* A RECV without a buffer is lent one: it waits until there is something, and just before it is told the bytes are
 * put into the loop's one scratch buffer. They are at saros_lent(loop) until done returns. */
SAROS_API const char *saros_lent(const saros_loop *loop);

enum saros_sort {
    SAROS_LISTENS = 1,
    SAROS_DATAGRAMS = 2, /* a socket for them, … */
    SAROS_SIX = 4,       /* … over IPv6, and … */
    SAROS_HAS_PEER = 8   /* … with one other alone */
};
enum saros_handle_state { SAROS_HANDLE_EMPTY, SAROS_HANDLE_OPENING, SAROS_HANDLE_OPEN, SAROS_HANDLE_CLOSING };

/* What a RECVFROM or SENDTO is about; the caller's, who leaves it until the op is told. An empty datagram is one like any
 * other: 0 is no end. One that is cancelled has taken nothing. */
struct saros_datagram {
    /* RECVFROM: whose it was. SENDTO: whom it is for; of no family: the socket's peer, SAROS_EDESTADDRREQ without one. Whoever
     * is reached over IPv4 has an IPv4 address, also on a socket that is both. */
    saros_address address;
    union {
        void       *buffer; /* RECVFROM; NULL: lent, as with RECV */
        const void *data;   /* SENDTO; 65,507 bytes over IPv4 and 65,527 over IPv6 at most, else SAROS_EMSGSIZE */
    };
    bool truncated; /* RECVFROM: it was longer, and the rest is lost */
};

/* An open stream, listener or socket for datagrams, or a borrowed descriptor. Zero it. It must stay where it is from what
 * opens it until its CLOSE is told. At most one RECV(FROM) and one SEND(V, TO) (or SHUTDOWN) in flight, SAROS_EBUSY else;
 * up to 16 ACCEPTs. An empty one is for one op at a time to open: SAROS_EBUSY also where an ACCEPT in flight is to fill
 * it. */
struct saros_handle {
    saros_handle   *next, *prev; /* the loop's list of handles */
    saros_op       *first;       /* in flight on it, oldest first; its prev is the last of them */
    saros_os_handle os;          /* set by the driver while open */
    uint8_t         state;       /* enum saros_handle_state */
    uint8_t         sort;        /* enum saros_sort, bits; 0: a stream */
    uint8_t         busy;        /* the loop's: which directions have an op */
    uint8_t         bits;        /* the driver's */
    uint32_t        slot;        /* the driver's */
    uint8_t         borrowed;    /* for POLL alone, and not to be closed */
    uintptr_t       word;        /* the driver's */
};
#define SAROS_MOST_ACCEPTS 16

/* X(option, name): what can be set on an open handle. The first ones are for TCP, the last ones for datagrams. Where a
 * handle has no such thing the op ends with SAROS_EOPNOTSUPP, where the system has none with SAROS_ENOSYS. */
#define SAROS_OPTIONS(X)                                                                                            \
    X(NODELAY, "nodelay")                       /* 0, 1: sends small segments at once; is on */                     \
    X(KEEPALIVE, "keepalive")                   /* 0, 1: asks a silent peer whether it lives, … */                \
    X(KEEPALIVE_IDLE, "keepalive_idle")         /* … after so many seconds of silence, … */                     \
    X(KEEPALIVE_INTERVAL, "keepalive_interval") /* … again after so many, … */                                  \
    X(KEEPALIVE_COUNT, "keepalive_count")       /* … and gives it up after so many unanswered ones */             \
    X(LINGER, "linger")           /* seconds for which a close goes on sending; 0: it resets; below: as is usual */ \
    X(SEND_BUFFER, "send_buffer") /* bytes; the system makes of it what it likes */                                 \
    X(RECEIVE_BUFFER, "receive_buffer") /* the same */                                                              \
    X(TTL, "ttl")                       /* hops, 1 to 255 */                                                        \
    X(BROADCAST, "broadcast")           /* 0, 1: may send to all at once */                                         \
    X(MULTICAST_TTL, "multicast_ttl")   /* hops of what goes to groups, 0 to 255; is 1 */                           \
    X(MULTICAST_LOOP, "multicast_loop") /* 0, 1: what it sends to groups comes back to this machine too; is on */   \
    X(MULTICAST_INTERFACE, "multicast_interface") /* through: where it goes out */                                  \
    X(JOIN, "join")                               /* address, through: receives what is sent to this group */       \
    X(LEAVE, "leave")                             /* the same: does so no more */                                   \
    X(PEER, "peer") /* address: has to do with that one alone; of no family: with all again */

enum saros_option {
#define SAROS_OPTION_WHICH(option, name) SAROS_OPTION_##option,
    SAROS_OPTIONS(SAROS_OPTION_WHICH)
#undef SAROS_OPTION_WHICH
        SAROS_OPTION_KINDS
};

/* What an OPTION sets or asks for; the caller's, until the op is told (which with every driver is at once). */
struct saros_setting {
    int option; /* enum saros_option */
    int value;
    /* Those that are about addresses can be set only. A network interface is named by the IPv4 address that it has, or as the
     * scope of an IPv6 one; of no family: the system chooses. */
    saros_address address, through;
};

/* Starts an op (any kind but WAIT and TIMER). Cannot fail: a failure is told like any result. */
SAROS_API void saros_submit(saros_loop *loop, saros_op *op);
/* The same, but where the driver finishes it at once it is not queued: returns true, op->result has the result,
 * and done is not called. Not for lent receives; a CLOSE is always queued. The caller sees to fairness. */
SAROS_API bool saros_submit_now(saros_loop *loop, saros_op *op);
/* Asks that an op end early. It is told all the same: with its real result where that came first, else with
 * SAROS_ECANCELED. No effect on an op that is not in flight. Not for a WAIT op that another thread may yet post: that
 * would finish it twice. */
SAROS_API void saros_cancel(saros_loop *loop, saros_op *op);
/* Takes an op back at once, in whatever state it is: it will not be told, and its memory is the caller's again. What
 * a driver works on is cancelled, and waited for: no time with a readiness driver, else until the kernel lets go of it.
 * op->result has what came of it; a connection that was won is to be closed. For who ends before the loop does, also
 * inside saros_step. A WAIT op must not be posted any more. */
SAROS_API void saros_abandon(saros_loop *loop, saros_op *op);
/* Marks an op as in flight until somebody calls saros_complete or saros_post for it. It does not by itself keep
 * the loop busy; see saros_hold. */
SAROS_API void saros_expect(saros_loop *loop, saros_op *op);
/* Finishes an op: it is queued and told later. For drivers, and for ops begun with saros_expect. */
SAROS_API void saros_complete(saros_loop *loop, saros_op *op, int64_t result);
/* Tells op at `deadline` with 0. Equal deadlines are told in the order of their start; a past one at the next turn.
 * op->background: does not keep the loop busy. Returns 0 or SAROS_ENOMEM (then the op stays idle). */
SAROS_API int saros_timer(saros_loop *loop, saros_op *op, saros_time deadline);
/* Takes a timer back at once. True: it is idle and will not be told (or never was started). False: it is due and in
 * the queue already, and will be told as usual. */
SAROS_API bool saros_timer_stop(saros_loop *loop, saros_op *op);

/* ---- the loop ------------------------------------------------------------------------------------------------- */

/* What happened to an op, for whoever watches. */
enum saros_event {
    SAROS_ON_SUBMIT,
    SAROS_ON_PARK,
    SAROS_ON_READY,
    SAROS_ON_TAKE,
    SAROS_ON_TELL,
    SAROS_ON_CANCEL,
    SAROS_ON_WAIT
};

/* As lua_Alloc: nsize 0 frees, ptr NULL allocates. Returns NULL where it cannot; never for nsize <= osize. */
typedef void *(*saros_alloc_fn)(void *user, void *ptr, size_t osize, size_t nsize);
/* What would otherwise go to stderr: one message, without a newline at its end. */
typedef void (*saros_report_fn)(void *user, const char *text);
/* op is NULL for SAROS_ON_WAIT, where result is the time-out (SAROS_FOREVER: none). Must not call the loop, but for saros_now. */
typedef void (*saros_trace_fn)(void *user, saros_loop *loop, enum saros_event event, const saros_op *op,
                               int64_t result);

typedef struct saros_config {
    size_t          size;        /* of this struct, so that it can grow */
    const char     *driver;      /* a name: that one or fail; "a,b": the first that opens; NULL: the best that opens */
    saros_alloc_fn  alloc;       /* NULL: malloc and free */
    saros_report_fn report;      /* NULL: silent */
    saros_trace_fn  trace;       /* NULL: none */
    void           *user;        /* given to the three above */
    uint64_t        seed;        /* whatever a driver leaves to chance is drawn from it */
    int             descriptors; /* select: its largest set, 0 its own; for tests of limits */
    const char *faults; /* sim: the profiles of what goes wrong, "a,b"; NULL: nothing does. Stays until saros_close */
} saros_config;
#define SAROS_CONFIG_INIT \
    { .size = sizeof(saros_config) }

/* Opens a loop on a driver. 0 and *loop; or the error, with the reason in words in why[0..size). The loop is for
 * the thread that calls. The caller closes it with saros_close. */
SAROS_API int saros_open(saros_loop **loop, const saros_config *config, char *why, size_t size);
/* Lets the guests go, cancels what is in flight, tells all of it, closes every handle, frees everything. 0, or
 * SAROS_EBUSY from inside saros_step or saros_close, or from what a leaving guest runs. The memory of the loop itself stays until the last saros_release. */
SAROS_API int saros_close(saros_loop *loop);

typedef struct saros_limits {
    saros_time wait;   /* the longest time to block for something to happen; 0: do not; SAROS_FOREVER */
    saros_time budget; /* stop telling after this long; 0: no such limit */
    saros_time gc;     /* at most this long for the collector of an attached language; 0: none */
} saros_limits;

enum saros_outcome {
    SAROS_WAITING, /* something is in flight: step again, at the latest at `next` */
    SAROS_MORE,    /* work is ready: the budget ran out, or stop was asked, or the last look found it */
    SAROS_DONE,    /* nothing is left that could ever happen by itself */
    SAROS_BROKEN   /* the driver failed for good: `error`. Or SAROS_EDEADLOCK, from a driver that can know it: what is
                      in flight will never end by itself. Cancel some of it, and the loop goes on. */
};
typedef struct saros_status {
    enum saros_outcome outcome;
    int                error;
    saros_time         used; /* spent in this call, blocking not counted */
    saros_time         next; /* the next deadline, on saros_now's clock; SAROS_FOREVER: none */
} saros_status;

/* Runs turns: asks the driver, tells what is finished, until nothing is ready or the budget is spent. Blocks at most
 * once, for at most limits->wait, and only where nothing is ready: so it comes back when something has happened, or
 * early, with nothing told, after a saros_wake or a signal. Not reentrant: inside itself it answers SAROS_BROKEN with
 * SAROS_EBUSY. */
SAROS_API saros_status saros_step(saros_loop *loop, const saros_limits *limits);
/* Steps until saros_stop, or until nothing is left. 0, or the error of a broken driver. */
SAROS_API int saros_run(saros_loop *loop);
/* Makes the running or the next saros_run end after its batch. */
SAROS_API void saros_stop(saros_loop *loop);
/* Steps until nothing is in flight or ready, for at most `patience`. 0, SAROS_ETIMEDOUT, or a broken driver's. */
SAROS_API int saros_drain(saros_loop *loop, saros_time patience);
/* The clock, read afresh. */
SAROS_API saros_time saros_now(saros_loop *loop);
/* The clock as the turn that runs, or the last one, has read it: costs no reading. 0 before the first. */
SAROS_API saros_time saros_turn(const saros_loop *loop);
/* From now on ops with this done that are ready in the same turn are told in an order that is drawn from the seed, for tests of
 * what must not hang on order. All others keep their places. done NULL: as before. */
SAROS_API void saros_shuffle(saros_loop *loop, uint64_t seed,
                             void (*done)(saros_loop *loop, saros_op *op, int64_t result));
/* Are we inside saros_step? */
SAROS_API bool saros_running(const saros_loop *loop);
/* How many driver operations, timers and ready operations there are. */
SAROS_API size_t saros_pending(const saros_loop *loop);
/* In an op's done: the one that is told next, or NULL. For who wants to fetch what that needs into the cache. */
SAROS_API const saros_op *saros_next(const saros_loop *loop);
SAROS_API const char     *saros_driver_name(const saros_loop *loop);
/* A descriptor that is readable when a step would find something; SAROS_NO_HANDLE where the driver has none. It may be
 * slept on, at most until saros_status.next, when a step has ended with SAROS_WAITING. */
SAROS_API saros_os_handle saros_pollable(saros_loop *loop);
/* The loop's allocator, for whoever lives on the loop. */
SAROS_API void *saros_realloc(saros_loop *loop, void *ptr, size_t osize, size_t nsize);
/* What it was opened with, but for the driver's name; to open another one alike. Stays until saros_close. */
SAROS_API const saros_config *saros_configuration(const saros_loop *loop);
/* Hands a message to config.report. */
SAROS_API void saros_report(saros_loop *loop, const char *text);

/* Who lives on a loop: a language that is attached to it, a service. Set the functions, each of which may be NULL. It
 * stays where it is until it leaves, or is told that the loop closes. */
typedef struct saros_guest saros_guest;
struct saros_guest {
    saros_guest *next; /* the loop's */
    /* Within saros_limits.gc: collects a little garbage; is there more? */
    bool (*collect)(saros_guest *guest, saros_loop *loop);
    /* saros_step was called and is about to begin; not for saros_run and saros_drain. May finish ops, and nothing else. */
    void (*stepping)(saros_guest *guest, saros_loop *loop);
    /* saros_close was called. The guest has left; the loop still takes calls, but is not stepped any more: the moment to
     * abandon ops and close handles. */
    void (*closing)(saros_guest *guest, saros_loop *loop);
    bool
        leaving; /* it still needs the loop, and runs code of others meanwhile: until it has left saros_close refuses */
};
SAROS_API void saros_join(saros_loop *loop, saros_guest *guest);
/* No effect where it has not joined, or has left. */
SAROS_API void saros_leave(saros_loop *loop, saros_guest *guest);

/* ---- from outside --------------------------------------------------------------------------------------------- */

/* Finishes an op begun with saros_expect, from ANY THREAD or a signal handler. 0, or SAROS_ECLOSED when the loop has
 * closed (the op then stays in flight for its owner to dispose of). The caller holds the loop, or knows that it is open. Once per saros_expect. */
SAROS_API int saros_post(saros_loop *loop, saros_op *op, int64_t result);
/* Makes the current or the next wait, and so the step that blocks, return. ANY THREAD or a signal handler. */
SAROS_API void saros_wake(saros_loop *loop);
/* Counts somebody outside who may yet post: while there is one, the loop is not done, and its memory stays. ANY
 * THREAD that knows the loop to be alive. */
SAROS_API void saros_hold(saros_loop *loop);
/* Ends one hold. ANY THREAD; the last one after saros_close frees the loop with its allocator. */
SAROS_API void saros_release(saros_loop *loop);

/* ---- drivers -------------------------------------------------------------------------------------------------- */

typedef struct saros_driver_info {
    const char *name;
    bool        compiled;
    const char *about; /* what it stands on, in a few words */
} saros_driver_info;

/* The known drivers by index, best first; false behind the last. Any thread. */
SAROS_API bool saros_driver_at(size_t index, saros_driver_info *info);

#endif
