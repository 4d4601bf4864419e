/* sim_net.h: what the parts of the simulated world share.
 *
 *   sim.c           the driver: the clock, and two kinds of kernel
 *   sim_net.c       the network: the socket calls of a kernel that is a data structure
 *   sim_datagram.c  the same for datagrams
 *   sim_address.c   who is meant by an address
 *   sim_way.c       what is on its way between sockets
 *   sim_world.c     hosts, links and faults: who is where, what gets through, what goes wrong
 *
 * Owns the structs of all. The calls below behave as those of posix_try.h do: they are made once, and never wait. */
#ifndef SAROS_SIM_NET_H
#define SAROS_SIM_NET_H

#include "backends/sim.h"

/* X(name, word, chance, budget, about). What cannot do harm may happen often. */
#define SAROS_FAULTS(X)                                                                                     \
    X(SHORT, "short", 0.3, 100000, "receives and sends do a part, segments are cut anywhere")               \
    X(SLOW, "slow", 0.1, 100000, "a segment takes up to half a second longer")                              \
    X(REFUSED, "refused", 0.1, 20, "a connect is refused though somebody listens")                          \
    X(RESET, "reset", 0.01, 20, "a connection is reset instead of carrying a segment")                      \
    X(BLACKHOLE, "blackhole", 0.01, 5, "a connection carries nothing, either way, for 1 to 60 seconds")     \
    X(EMFILE, "emfile", 0.1, 20, "an accept fails with EMFILE, and the connection stays in the queue")      \
    X(LATE, "late-timers", 0.1, 100000, "a wait ends up to 50 ms after its time-out")                       \
    X(JUMP, "clock-jump", 0.01, 10, "a wait ends 1 to 60 seconds after it should: the machine was asleep")  \
    X(LOST_CANCEL, "lost-cancel", 0.5, 100000, "a cancel comes too late where the result is on its way")    \
    X(SHUFFLE, "shuffle", 0.5, 100000, "what one wait finds is told in any order")                          \
    X(SPURIOUS, "spurious", 0.1, 100000, "a receive is told that there is something, and then would block") \
    X(EARLY, "early", 0.1, 100000, "a wait ends at once and for nothing, as after a signal")                \
    X(LOST, "lost", 0.1, 100000, "a datagram is lost")                                                      \
    X(DOUBLED, "doubled", 0.1, 100000, "a datagram arrives twice")                                          \
    X(OVERTAKEN, "overtaken", 0.1, 100000, "a datagram takes up to 50 ms longer, and later ones do not wait for it")

enum saros_fault {
#define SAROS_FAULT_WHICH(name, word, chance, budget, about) SAROS_FAULT_##name,
    SAROS_FAULTS(SAROS_FAULT_WHICH)
#undef SAROS_FAULT_WHICH
        SAROS_FAULT_KINDS
};

/* ---- sockets -------------------------------------------------------------------------------------------------- */

/* A datagram, on its way or waiting to be received. */
typedef struct saros_packet {
    struct saros_packet *next;
    saros_address        from, to;
    uint32_t             host; /* whose address `from` is */
    uint32_t             size;
    char                 bytes[];
} saros_packet;

typedef struct saros_socket saros_socket;
/* A listener, a socket for datagrams, or one end of a stream. A stream's end owns what comes to it: a ring of bytes with three positions,
 *
 *     taken  <=  arrived  <=  sent          by our reader; here; by the peer, and in part still on its way
 *
 * so a segment is no more than the news that `arrived` moves on, and nothing is ever copied twice. */
struct saros_socket {
    saros_handle *handle;       /* whose it is; NULL: nobody's yet, or no more */
    saros_socket *next, *prev;  /* of its kind */
    uint16_t      port;         /* where it is bound: here, since all are looked through for it */
    saros_socket *peer;         /* stays while either end is open */
    saros_socket *first, *last; /* listener: who waits to be accepted … */
    saros_socket *behind;       /* … one behind the other */
    saros_address name, target; /* our own address, and the peer's */
    uint32_t      host, other;  /* and whose these are */
    uint32_t      queued, most; /* listener: how many wait, and how many may */
    uint32_t      changed;      /* place in saros_net.changed, from 1; 0: not there */
    uint32_t      on_the_way;   /* segments to this socket */
    uint32_t      id;
    int           options[SAROS_OPTION_KINDS];
    char         *bytes; /* NULL as long as nothing was sent to it */
    uint64_t      taken, arrived, sent;
    saros_time    latest; /* when the last segment to it arrives: none overtakes another */
    saros_time    hole;   /* until then nothing gets through to it */
    int           error;  /* to be told once */
    bool          listener, datagrams, connecting, closed;
    bool          shut;   /* we send no more: our end is said */
    bool          ended;  /* the peer's end is here */
    bool          dead;   /* reset, or given up */
    bool          doomed; /* a reset is on its way to it */
    /* of a socket for datagrams: target and other are its peer's, if it has one */
    saros_packet  *head, *tail;  /* have arrived … */
    size_t         waiting, out; /* … these bytes of them; and of what was sent and has not arrived */
    saros_address  bound;        /* its name without a peer */
    saros_address *groups;
    uint32_t       group_count, towards; /* towards: the host that the latest one is for */
};

enum saros_segment_kind {
    SAROS_SEGMENT_SYN,
    SAROS_SEGMENT_OPEN,
    SAROS_SEGMENT_DATA,
    SAROS_SEGMENT_FIN,
    SAROS_SEGMENT_RST,
    SAROS_SEGMENT_DATAGRAM,   /* `to` is who has sent it, for nobody can know yet who will get it */
    SAROS_SEGMENT_UNREACHABLE /* … and nobody did */
};
typedef struct saros_segment {
    saros_time    at;
    uint64_t      order; /* of two at the same time the older one is first */
    uint64_t      upto;  /* DATA, FIN: `arrived` from now on */
    saros_socket *to;    /* SYN: the end that it comes from, for the other is not there yet */
    int           error; /* RST: what the other end is told */
    uint8_t       kind, tries;
    uint32_t      host; /* DATAGRAM: where it arrives */
    saros_packet *packet;
} saros_segment;

/* What was said of a link; of two rules for one link the later holds. */
typedef struct saros_sim_rule {
    uint32_t   a, b;    /* hosts, or ANY */
    bool       latency; /* it is about least and most; else about state */
    int        state;
    saros_time least, most;
} saros_sim_rule;
#define SAROS_SIM_ANY UINT32_MAX

typedef struct saros_net {
    saros_loop     *loop;
    saros_time      clock;
    saros_socket   *streams, *listeners, *datagrams;
    uint32_t        count, changes, changes_room; /* of all; entries of `changed` */
    saros_socket  **changed;                      /* those where an op may be able to go on; NULL: closed since */
    saros_segment  *segments;                     /* on their way: a heap, the next one first */
    uint32_t        on_the_way, segments_room;
    uint64_t        orders;
    uint32_t        here, ids; /* the current host; sockets numbered so far */
    uint16_t        port;
    char          **hosts; /* their names, SAROS_SIM_NAME each */
    saros_sim_rule *rules;
    uint32_t        host_count, rule_count;
    bool            completion;
    saros_time      calm_at;
    struct saros_sim_luck {
        uint32_t chance, left; /* in millionths; 0: never */
        int64_t  happened;
    } luck[SAROS_FAULT_KINDS];
} saros_net;

/* ---- sim_net.c ------------------------------------------------------------------------------------------------ */

int saros_net_listen(saros_net *net, saros_socket **made, saros_address *address, size_t backlog);
int saros_net_accept(saros_net *net, saros_socket *listener, saros_socket **accepted);
/* 0: it is under way; saros_net_connected tells how far: 0, an error, or SAROS_EAGAIN. */
int  saros_net_connect(saros_net *net, saros_socket **made, const saros_address *address, const saros_address *from);
int  saros_net_connected(saros_socket *socket);
int  saros_net_pair(saros_net *net, saros_socket *made[2]);        /* Unix sockets without names */
int  saros_net_ready(const saros_socket *socket, unsigned wanted); /* enum saros_ready, or SAROS_EAGAIN: none of them */
bool saros_net_readable(const saros_socket *socket);
int64_t saros_net_recv(saros_net *net, saros_socket *socket, void *buffer, size_t size);
int64_t saros_net_send(saros_net *net, saros_socket *socket, const void *data, size_t size);
int     saros_net_shutdown(saros_net *net, saros_socket *socket);
int     saros_net_name(const saros_socket *socket, bool peer, saros_address *address);
int     saros_net_option(saros_net *net, saros_socket *socket, saros_setting *setting, bool ask);
void    saros_net_close(saros_net *net, saros_socket *socket);
/* Closes so that the peer sees a reset. */
void saros_net_reset(saros_net *net, saros_socket *socket);

/* Notes that an op on this socket may be able to go on. */
void saros_net_changed(saros_net *net, saros_socket *socket);
/* Delivers what has arrived by now. */
void saros_net_deliver(saros_net *net);
void saros_net_free(saros_net *net);

enum saros_socket_sort { SAROS_SOCKET_STREAM, SAROS_SOCKET_LISTENER, SAROS_SOCKET_DATAGRAMS };
saros_socket *saros_net_socket(saros_net *net, const saros_address *name, uint32_t host, enum saros_socket_sort sort);
int           saros_net_told_once(saros_socket *socket); /* its error */

/* ---- sim_datagram.c ------------------------------------------------------------------------------------------- */

int     saros_net_datagram(saros_net *net, saros_socket **made, saros_address *address);
int64_t saros_net_recvfrom(saros_net *net, saros_socket *socket, saros_datagram *datagram, void *buffer, size_t size);
int64_t saros_net_sendto(saros_net *net, saros_socket *socket, const saros_datagram *datagram, size_t size);
/* An option that is about addresses. */
int  saros_net_address_option(saros_net *net, saros_socket *socket, const saros_setting *setting);
void saros_net_datagram_arrives(saros_net *net, const saros_segment *segment);
void saros_net_free_packet(saros_net *net, saros_packet *packet);
void saros_net_forget_packets(saros_net *net, saros_socket *socket); /* what it has not received, and its groups */

/* ---- sim_address.c -------------------------------------------------------------------------------------------- */

/* For who listens, or receives datagrams: whose address it is. Fills in a port where there is none. */
int  saros_net_bind(saros_net *net, saros_address *address, uint32_t *host, bool datagrams);
bool saros_address_is_any(const saros_address *address);
bool saros_address_is_loopback(const saros_address *address);
bool saros_address_hears(const saros_address *name, const saros_address *address); /* their ports are the same */
/* What is sent to every interface goes to this machine, as Linux takes it. */
void saros_address_settle(saros_address *target);
/* Who listens there; of several that share the port, one by chance. NULL: nobody. */
saros_socket *saros_net_listener(saros_net *net, uint32_t host, const saros_address *address);
/* Who connects: an address of its own, of the kind of the target's, or `from`, and whose the target is. Target and name are
 * in full from here on. */
int saros_net_source(saros_net *net, saros_address *target, const saros_address *from, saros_address *name,
                     uint32_t *other);
/* ---- sim_way.c ------------------------------------------------------------------------------------------------ */

enum { SAROS_OWN_SEGMENTS = 4 /* of each socket's, that cannot be refused */ };

/* When something happens next; SAROS_FOREVER: nothing does. */
saros_time saros_net_next(const saros_net *net);
/* The array, with room for so many; NULL, and it stays as it was, where there is no memory. */
void *saros_net_grow(const saros_net *net, void *array, uint32_t *room, uint32_t need, size_t unit);
/* Room for `more` segments, beyond those that sockets have a right to. */
bool          saros_net_reserve(saros_net *net, uint32_t more);
void          saros_net_push(saros_net *net, saros_segment segment); /* into room that is reserved */
saros_segment saros_net_pop(saros_net *net);                         /* the next one to arrive */

/* ---- sim_world.c ---------------------------------------------------------------------------------------------- */

int  saros_world_open(saros_net *net, const char *faults); /* or an error, with saros_reason */
void saros_world_free(saros_net *net);
/* Does it go wrong this time? */
bool saros_world_fault(saros_net *net, enum saros_fault which);
/* From 0 to most. */
uint64_t saros_world_draw(saros_net *net, uint64_t most);
/* Whose address is it, for somebody on host `from`? SAROS_SIM_ANY: nobody's. */
uint32_t saros_world_whose(const saros_net *net, uint32_t from, const saros_address *address);
/* The address of a host in a family, as others see it. */
void                 saros_world_address(uint32_t host, int family, saros_address *address);
enum saros_sim_state saros_world_link(const saros_net *net, uint32_t a, uint32_t b);
saros_time           saros_world_latency(saros_net *net, uint32_t a, uint32_t b);
void                 saros_world_calm(saros_net *net);

extern const saros_driver saros_sim_driver;

#endif
