/* wire.c: a channel between threads: its queue, its ends, and who waits.
 *
 * The same rules as those of channel.c, under a lock. Who waits is told by saros_post, on his own loop; his op is posted
 * under the lock, so whoever has it and sees that he is not linked any more knows that nobody will post later.
 *
 * Owns the messages that are in it. Promises: FIFO; nobody barges past who waits; a receiver that was chosen and gives up
 * loses nothing: the message is still in the queue, and the next one is chosen; a send that is told 0 was taken. */
#include <stdatomic.h>
#include <stdlib.h>

#include "bindings/lua/threads/os_thread.h"
#include "bindings/lua/threads/wire.h"

typedef struct line {
    saros_crossing *first, *last;
} line;

struct saros_wire {
    saros_mutex    lock;
    atomic_size_t  keepers;
    saros_message *first, *last;
    size_t         count, limit;
    size_t         sending;  /* senders that wait, each with a message */
    size_t         promised; /* receivers that were chosen for a message and have not come for it yet */
    uint64_t       tickets;
    size_t         ends[2]; /* receivers, senders */
    line           senders, receivers;
};

saros_wire *saros_wire_new(size_t limit) {
    saros_wire *wire = calloc(1, sizeof *wire);
    if (wire == NULL || !saros_mutex_init(&wire->lock)) {
        free(wire);
        return NULL;
    }
    atomic_init(&wire->keepers, 1);
    wire->limit = limit;
    wire->ends[0] = wire->ends[1] = 1;
    return wire;
}

void saros_wire_keep(saros_wire *wire) { atomic_fetch_add(&wire->keepers, 1); }

/* Where nobody keeps it there are no ends, and so no messages. */
void saros_wire_release(saros_wire *wire) {
    if (atomic_fetch_sub(&wire->keepers, 1) > 1) return;
    saros_mutex_destroy(&wire->lock);
    free(wire);
}

/* ---- who waits: all of this under the lock --------------------------------------------------------------------- */

static line *line_of(saros_wire *wire, const saros_crossing *c) { return c->sends ? &wire->senders : &wire->receivers; }

/* Senders at the end; receivers by their tickets, so that who waits again is back in his place. */
static void link_in(saros_wire *wire, saros_crossing *c) {
    line           *in = line_of(wire, c);
    saros_crossing *before = in->last;
    while (!c->sends && before != NULL && before->ticket > c->ticket) before = before->prev;
    c->prev = before;
    c->next = before != NULL ? before->next : in->first;
    if (c->next != NULL) c->next->prev = c;
    else in->last = c;
    if (before != NULL) before->next = c;
    else in->first = c;
    c->linked = true;
    wire->sending += c->sends;
}

static void unlink_from(saros_wire *wire, saros_crossing *c) {
    line *in = line_of(wire, c);
    if (c->prev != NULL) c->prev->next = c->next;
    else in->first = c->next;
    if (c->next != NULL) c->next->prev = c->prev;
    else in->last = c->prev;
    c->linked = false;
    wire->sending -= c->sends;
}

static void choose(saros_wire *wire, saros_crossing *c, int64_t result) {
    unlink_from(wire, c);
    saros_post(c->loop, &c->op, result);
}

/* There is something that nobody was promised yet. */
static void promise(saros_wire *wire) {
    saros_crossing *c = wire->receivers.first;
    if (c == NULL) return;
    wire->promised++;
    c->promised = true;
    choose(wire, c, 0);
}

static bool has_any(const saros_wire *wire) { return wire->count + wire->sending > 0; }

static void choose_all(saros_wire *wire, line *in, int64_t result) {
    while (in->first != NULL) choose(wire, in->first, result);
}

/* All that there was is taken, and there is nobody to send more. */
static void settle(saros_wire *wire) {
    if (wire->ends[1] == 0 && !has_any(wire)) choose_all(wire, &wire->receivers, SAROS_EEOF);
}

static void append(saros_wire *wire, saros_message *message) {
    message->next = NULL;
    if (wire->last != NULL) wire->last->next = message;
    else wire->first = message;
    wire->last = message;
    wire->count++;
}

/* What the first waiting sender sends; it is told that it is taken. */
static saros_message *take_pending(saros_wire *wire) {
    saros_crossing *sender = wire->senders.first;
    saros_message  *message = sender->message;
    sender->message = NULL;
    choose(wire, sender, 0);
    return message;
}

/* The oldest message; there is one. */
static saros_message *take(saros_wire *wire) {
    saros_message *message = wire->first;
    if (message == NULL) {
        message = take_pending(wire);
    } else {
        wire->first = message->next;
        if (wire->first == NULL) wire->last = NULL;
        wire->count--;
        if (wire->senders.first != NULL && wire->count < wire->limit) append(wire, take_pending(wire));
    }
    settle(wire);
    message->next = NULL;
    return message;
}

/* ---- sending and receiving -------------------------------------------------------------------------------------- */

static int send(saros_wire *wire, saros_message *message, saros_crossing *c, size_t limit) {
    int result = 0;
    saros_mutex_lock(&wire->lock);
    if (wire->limit == 0 && wire->receivers.first == NULL) limit = 0;
    if (wire->ends[0] == 0) {
        result = SAROS_EPIPE;
    } else if (wire->count < limit) {
        append(wire, message);
        promise(wire);
    } else {
        result = SAROS_EAGAIN;
        if (c != NULL) {
            c->message = message;
            link_in(wire, c);
            promise(wire);
        }
    }
    saros_mutex_unlock(&wire->lock);
    return result;
}

int saros_wire_send(saros_wire *wire, saros_message *message, saros_crossing *c) {
    return send(wire, message, c, wire->limit);
}

int saros_wire_offer(saros_wire *wire, saros_message *message) {
    return send(wire, message, NULL, wire->limit > 0 ? wire->limit : SIZE_MAX);
}

int saros_wire_receive(saros_wire *wire, saros_message **message, saros_crossing *c) {
    int result = SAROS_EAGAIN;
    saros_mutex_lock(&wire->lock);
    if (wire->receivers.first == NULL && wire->count + wire->sending > wire->promised) {
        *message = take(wire);
        result = 0;
    } else if (wire->ends[1] == 0 && !has_any(wire)) {
        result = SAROS_EEOF;
    } else if (c != NULL) {
        c->ticket = ++wire->tickets;
        link_in(wire, c);
    }
    saros_mutex_unlock(&wire->lock);
    return result;
}

int saros_wire_claim(saros_wire *wire, saros_message **message, saros_crossing *c) {
    int result = 0;
    saros_mutex_lock(&wire->lock);
    c->promised = false;
    wire->promised--;
    if (has_any(wire)) {
        *message = take(wire);
    } else if (wire->ends[1] == 0) {
        result = SAROS_EEOF;
    } else {
        link_in(wire, c);
        result = SAROS_EAGAIN;
    }
    saros_mutex_unlock(&wire->lock);
    return result;
}

bool saros_wire_leave(saros_wire *wire, saros_crossing *c) {
    saros_mutex_lock(&wire->lock);
    if (c->linked) unlink_from(wire, c);
    if (c->promised) {
        c->promised = false;
        wire->promised--;
        if (has_any(wire)) promise(wire);
    }
    saros_message *message = c->message;
    c->message = NULL;
    settle(wire);
    saros_mutex_unlock(&wire->lock);
    saros_messages_free(message);
    return message == NULL;
}

/* ---- ends ------------------------------------------------------------------------------------------------------- */

void saros_wire_open_end(saros_wire *wire, bool sender) {
    saros_mutex_lock(&wire->lock);
    wire->ends[sender]++;
    saros_mutex_unlock(&wire->lock);
}

static void close_end(saros_wire *wire, bool sender, const void *end, saros_message **orphans) {
    saros_mutex_lock(&wire->lock);
    line *in = sender ? &wire->senders : &wire->receivers;
    for (saros_crossing *c = in->first, *next; c != NULL && end != NULL; c = next) {
        next = c->next;
        if (c->end == end) choose(wire, c, SAROS_ECLOSED);
    }
    wire->ends[sender]--;
    if (!sender && wire->ends[0] == 0) {
        if (wire->last != NULL) { /* nobody will ever have them */
            wire->last->next = *orphans;
            *orphans = wire->first;
        }
        wire->first = wire->last = NULL;
        wire->count = 0;
        choose_all(wire, &wire->senders, SAROS_EPIPE);
    }
    settle(wire);
    saros_mutex_unlock(&wire->lock);
}

void saros_wire_close_end(saros_wire *wire, bool sender, const void *end) {
    saros_message *orphans = NULL;
    close_end(wire, sender, end, &orphans);
    saros_messages_free(orphans);
}

void saros_wire_drop_end(saros_wire *wire, bool sender, saros_message **list) {
    close_end(wire, sender, NULL, list);
    saros_wire_release(wire);
}
