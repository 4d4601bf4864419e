/* several.h: waiting for several awaitables at once: what gather, race and wait have in common.
 *
 * A block is a userdata at the bottom of the stack of the task that waits, with a node for each awaitable; these lie
 * above it on the stack. Whatever ends the wait closes the block, and then nobody points into it. */
#ifndef SAROS_SEVERAL_H
#define SAROS_SEVERAL_H

#include "bindings/lua/tasks/task.h"

typedef struct saros_several saros_several;

typedef struct saros_node {
    saros_waiter     wait;
    saros_several   *owner;
    saros_awaitable *is;
    saros_task      *owned; /* the block itself started it; else NULL */
} saros_node;

/* What ends the wait, before all are done. */
enum saros_until { SAROS_ALL, SAROS_FIRST_DONE, SAROS_FIRST_BAD, SAROS_FIRST_FAILED /* cancelled is not failed */ };

struct saros_several {
    saros_task *task;
    int         count, pending;
    int         first;                                /* the one that has ended the wait; -1: none yet */
    bool        started;                              /* all that it has to start */
    bool        waits;                                /* the task is suspended for it */
    bool        race;                                 /* the first one ends the others that are owned, at once */
    uint8_t     until;                                /* enum saros_until */
    bool        to_table, all_results, return_errors; /* gather's; all_results: of the only one */
    saros_node  nodes[];
};

enum { SAROS_AT_BLOCK = 1, SAROS_AT_FIRST = 2 }; /* stack: the block, then the awaitables */

/* count values are on the stack, alone: puts a block below them. what: for errors. */
saros_several *saros_several_new(lua_State *L, saros_task *task, int count);
/* The values of the list at 1 come in its place, alone. */
void saros_several_unpack(lua_State *L);
/* Makes awaitables of all: functions are spawned, objects with __await get a task that awaits them.
 * Looks at all of them first; starts all or none. level: 0: they are the arguments; else they stand in a list, and its
 * caller is so far up the stack. */
void saros_several_start(lua_State *L, saros_several *all, const char *what, int level);
/* Links a node to each that is pending (only: of those that it owns); returns how many. */
int            saros_several_link(saros_several *all, bool only_owned);
void           saros_several_unlink(saros_several *all);
void           saros_several_cancel(const saros_several *all);                        /* those that it owns */
int            saros_several_wait(lua_State *L, saros_several *all, lua_KFunction k); /* in tail position */
saros_several *saros_several_resumed(lua_State *L);                                   /* in its continuation */

#endif
