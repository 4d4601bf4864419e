/* group.h: tasks that begin and end together: the group, and its link to each child.
 *
 * A child costs its group one member, which waits for the child's end as any awaiter does; a task that is in no group
 * pays nothing. */
#ifndef SAROS_GROUP_H
#define SAROS_GROUP_H

#include "bindings/lua/tasks/task.h"

typedef struct saros_group  saros_group;
typedef struct saros_member saros_member;
typedef struct saros_start  saros_start;

/* SAROS_T_MEMBER: user value 1 is the child. Anchored under its own address while it is in a list of the group. */
struct saros_member {
    saros_waiter  wait; /* for the child's end */
    saros_group  *group;
    saros_task   *task;
    saros_start  *start; /* who waits until the child is ready; NULL: nobody */
    saros_member *next, *prev;
};

typedef struct saros_members {
    saros_member *first, *last;
    size_t        count;
} saros_members;

/* SAROS_T_GROUP: user value 1 is its name, or nil. Anchored under its own address while it is open. */
struct saros_group {
    saros_scope  *scope; /* NULL: closed */
    saros_rt     *rt;
    saros_members live, failed; /* oldest first */
    saros_waiter *spawners;     /* who waits for a place */
    saros_waiter *closer;       /* the task that opened it, which waits for the last child */
    size_t        limit;        /* of children that live; 0: none */
    size_t        promised;     /* places, to spawners that have been woken */
    size_t        body_at;      /* the body's own error comes after so many others */
    bool          clocked;      /* user value 2 is the clock that its children follow */
    bool          background;   /* children do not keep it open */
    bool          body_failed;
    bool          waited; /* its end has suspended its task */
};

/* SAROS_T_START: g:start waits for its child; user value 1 is the table of what the child said. */
struct saros_start {
    saros_member *member; /* NULL: the child is ready, or has ended */
    saros_waiter *starter;
    bool          ready;
};

/* ---- group.c -------------------------------------------------------------------------------------------------- */

saros_group  *saros_group_check(lua_State *L);      /* argument 1; raises */
void          saros_group_over(saros_group *group); /* its scope is being left; children that are left are cancelled */
saros_member *saros_group_add(lua_State *L, int first); /* spawns the stack from there on; leaves the child there */

/* ---- group_error.c -------------------------------------------------------------------------------------------- */

/* Stack: 1 the group; where body_failed: at its top the body's error and its traceback or nil. Pushes the error to raise
 * in their place. Never raises. */
void saros_group_push_error(lua_State *L, saros_group *group);

/* ---- group_start.c -------------------------------------------------------------------------------------------- */

int  saros_start_child(lua_State *L);       /* stack: the group, function, arguments; in tail position */
void saros_start_woken(saros_start *start); /* its child has ended */
void saros_open_start(lua_State *L);

#endif
