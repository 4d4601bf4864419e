/* threads.h: threads with states and loops of their own, and what passes between them, as Lua sees it.
 *
 * message.c         Lua values become a message, and values again in another state
 * thread_channel.c  the ends of channels between threads
 * thread.c          saros.thread: the side that has started one, and waits for it
 * thread_child.c    the other side: a new state, its loop, and the function that runs there
 * busy.c            a thread that was cancelled and does not come back to its loop */
#ifndef SAROS_THREADS_H
#define SAROS_THREADS_H

#include <stdatomic.h>

#include "bindings/lua/tasks/task.h"
#include "bindings/lua/threads/os_thread.h"
#include "bindings/lua/threads/wire.h"

/* ---- message.c ------------------------------------------------------------------------------------------------- */

enum { SAROS_LARGEST_MESSAGE = 64 << 20 /* bytes; as much as stream:read("a") gives */ };

/* The `count` values from index `first` on, as a message. Raises where one cannot cross, under the name of `what` and with
 * the way to it; the value behind the first `skip` ones is `noun` 1. Leaves a list of the channel ends in it on the
 * stack, or nil: those are in the message as well, and to be closed here once it is taken (saros_ends_sent). */
saros_message *saros_pack(lua_State *L, int first, int count, const char *what, const char *noun, int skip);
/* Pushes its values, and returns how many; may raise for lack of memory. Ends in it are the state's now; the message is
 * still the caller's. */
int saros_unpack(lua_State *L, saros_message *message);

/* ---- thread_channel.c ------------------------------------------------------------------------------------------ */

typedef struct saros_end { /* SAROS_T_THREAD_SENDER, SAROS_T_THREAD_RECEIVER */
    saros_wire    *wire;   /* which it keeps; NULL: it was never finished */
    saros_message *parcel; /* in a moment in which memory may run out */
    bool           sender, closed, sent;
} saros_end;

saros_end *saros_end_at(lua_State *L, int index); /* NULL: something else */
/* Pushes an end, which takes over one that is counted, and a place among those who keep the wire. May raise before that. */
void saros_end_adopt(lua_State *L, saros_wire *wire, bool sender);
void saros_ends_sent(lua_State *L, int index); /* the list of saros_pack; cannot raise */
void saros_open_thread_channel(lua_State *L);

/* ---- thread.c, thread_child.c ---------------------------------------------------------------------------------- */

typedef struct saros_note { /* a message that the thread's loop reports */
    struct saros_note *next;
    char               text[];
} saros_note;

typedef struct saros_thread { /* SAROS_T_THREAD */
    saros_os_thread os;
    saros_rt       *rt; /* of who has started it */
    saros_loop     *parent;
    saros_waiter   *waiters;
    bool            ready, started, joined, over;
    saros_op        ended, news; /* posted by the thread, to the loop of who has started it */
    saros_op        again;       /* timer there: it was cancelled and has not ended, … */
    saros_time      pause;       /* … for so long */
    /* What it begins with; its own until it has ended. */
    saros_message *job;
    saros_config   config;
    saros_manners  manners;
    char           name[64], driver[64];
    /* What came of it; its own until it has ended. */
    uint8_t        fate;    /* enum saros_fate */
    bool           entered; /* its main function was called */
    saros_message *outcome;
    size_t         reported;
    saros_rt      *child;
    /* Of its own thread, and of the handler that interrupts it there: */
    _Atomic(saros_rt *) open;   /* child, while it may be looked into */
    saros_time          turn;   /* of its loop: … */
    saros_time          since;  /* … when it was first found busy in it, or was ended for that last, … */
    unsigned            forced; /* … and how often that was */
    /* Under the lock. */
    saros_mutex lock;
    saros_loop *loop;   /* of its main task, while that runs */
    saros_op    cancel; /* posted to that */
    bool        cancelled, noted;
    char        reason[128];
    saros_note *first, *last;
} saros_thread;

void saros_thread_body(void *p);                         /* what runs on it; p: the saros_thread */
void saros_thread_interrupted(void *p);                  /* on it, as a signal handler: it is cancelled */
void saros_push_crossing_error(lua_State *L, int index); /* its text, its traceback or nil, its code or nil */

/* ---- busy.c: on the thread -------------------------------------------------------------------------------------- */

void saros_thread_cancelled(saros_thread *t); /* tells its main task, the first time */
void saros_thread_watch(saros_thread *t);     /* it was cancelled: whatever computes on and on from now on is ended */

#endif
