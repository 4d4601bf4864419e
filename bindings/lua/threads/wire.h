/* wire.h: a channel between threads as C sees it: messages, and those who wait for them. Nothing here knows Lua's values.
 *
 * saros_wire      a queue with a lock, shared by the ends on all threads
 * saros_message   some Lua values in one block of memory that is no state's (message.c)
 * saros_crossing  somebody who waits to send or to receive
 *
 * Functions here may be called on any thread. */
#ifndef SAROS_WIRE_H
#define SAROS_WIRE_H

#include <stdint.h>

#include "core/saros.h"

typedef struct saros_wire     saros_wire;
typedef struct saros_crossing saros_crossing;
typedef struct saros_message  saros_message;

struct saros_message {
    saros_message *next;
    size_t         size;    /* of the bytes that follow */
    uint32_t       values;  /* how many there are, … */
    uint32_t       objects; /* … and how many different tables and ends are in them */
    uint32_t       end;     /* where the last channel end in it is, 1 for the first byte; 0: there is none */
};

/* Set op.done, loop, sends and end; saros_expect the op, and hold the loop, before it is given to the wire. */
struct saros_crossing {
    saros_op        op; /* posted when it was chosen: 0, or why it waits in vain */
    saros_loop     *loop;
    saros_crossing *next, *prev;
    const void     *end;     /* at which it waits */
    saros_message  *message; /* that it wants to send; NULL: it was taken */
    uint64_t        ticket;  /* the order of receivers */
    bool            sends;
    bool            linked;   /* in the wire's list: it can still be chosen */
    bool            promised; /* a receiver that was chosen and has neither claimed nor declined */
};

saros_wire *saros_wire_new(size_t limit); /* with one end of each kind; NULL: no memory */
void        saros_wire_keep(saros_wire *wire);
void        saros_wire_release(saros_wire *wire); /* the last one frees it */
/* One end more, which has to be closed. It does not keep the wire. */
void saros_wire_open_end(saros_wire *wire, bool sender);
/* Those who wait at it are told SAROS_ECLOSED. end: as in their crossings; NULL: nobody waits there. */
void saros_wire_close_end(saros_wire *wire, bool sender, const void *end);

/* 0: it is taken. SAROS_EPIPE: nobody can receive. SAROS_EAGAIN: the wire is full; the crossing, if there is one, waits
 * with the message now. In all but the last case the message stays the caller's where it was not taken. */
int saros_wire_send(saros_wire *wire, saros_message *message, saros_crossing *crossing);
/* The same for who does not wait. Where the wire has no room at all a receiver has to be waiting, and is given it. */
int saros_wire_offer(saros_wire *wire, saros_message *message);
/* 0 and the message, which is the caller's. SAROS_EEOF: there will be none. SAROS_EAGAIN: there is none; the crossing, if
 * there is one, waits. */
int saros_wire_receive(saros_wire *wire, saros_message **message, saros_crossing *crossing);
/* A receiver that was told 0: as above; where somebody has taken the message back it waits again, in its old place. */
int saros_wire_claim(saros_wire *wire, saros_message **message, saros_crossing *crossing);
/* It waits no more, and nobody will post its op from now on; what it was promised is the next one's. Is a sender's message
 * taken? If not it is freed. */
bool saros_wire_leave(saros_wire *wire, saros_crossing *crossing);

/* ---- message.c ------------------------------------------------------------------------------------------------- */

/* Frees a list of messages, and closes the ends in them. NULL: none. */
void saros_messages_free(saros_message *list);
/* For that: what was only in messages of a wire that nobody can receive from any more comes to the list. */
void saros_wire_drop_end(saros_wire *wire, bool sender, saros_message **list);

#endif
