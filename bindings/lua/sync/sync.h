/* sync.h: what locks, semaphores, events, queues and channels have in common.
 *
 * saros_bound   to which loop an object belongs: that of its first await
 * saros_holding    what a task holds and must not take with it when it ends
 * saros_guard   what acquire returns: closing it releases, once
 *
 * A waiter is chosen by whoever frees something: it is woken with 0 and owns what was freed from then on, so that nobody
 * can barge. It runs a moment later; if it was cancelled in between it hands on what it was given and raises. */
#ifndef SAROS_SYNC_H
#define SAROS_SYNC_H

#include "bindings/lua/tasks/task.h"

/* ---- the loop of an object ------------------------------------------------------------------------------------ */

typedef uint32_t saros_bound; /* a loop's id; 0: none yet */

void saros_bind_slow(lua_State *L, saros_bound *bound, const saros_rt *rt, const char *what);
/* At an await: the object belongs to the task's loop from now on. Raises if it belongs to another. */
static inline void saros_bind(lua_State *L, saros_bound *bound, const saros_task *task, const char *what) {
    if (*bound != task->rt->id) saros_bind_slow(L, bound, task->rt, what);
}
/* In a call that does not await: raises if the loop that runs just now is not the object's, and that is still there, so
 * that somebody might be woken from outside his loop. */
void saros_check_bound(lua_State *L, saros_bound bound, const char *what);

/* ---- waiting -------------------------------------------------------------------------------------------------- */

/* In the continuation of a wait: the task, and the result that it was woken with. Raises nothing that has to be cleaned
 * up after. */
saros_task *saros_waited(lua_State *L, int64_t *result);
/* Its wait has ended without what it waited for. Does not return. */
int saros_wait_ended(lua_State *L, saros_task *task, int64_t result);

/* ---- what a task holds ---------------------------------------------------------------------------------------- */

/* The task that held it has ended. One that is an agent leaves it to whoever is given the guard. Cannot raise. */
typedef void saros_orphaned(saros_holding *held, saros_task *task);

struct saros_holding {
    saros_holding  *next, **link; /* what the owner holds besides; where the pointer to this one is */
    saros_task     *owner;        /* NULL: nobody holds it */
    saros_orphaned *orphaned;
};

void saros_own(saros_holding *held, saros_task *owner, saros_orphaned *orphaned);
void saros_disown(saros_holding *held);

/* ---- guards --------------------------------------------------------------------------------------------------- */

typedef struct saros_guard {
    void *object;                               /* what was acquired; user value 1 keeps it alive */
    void (*release)(struct saros_guard *guard); /* NULL: was released. Cannot raise */
    uint64_t      turn;                         /* which acquisition of a lock it is */
    saros_holding held;                         /* a limiter's token */
} saros_guard;

/* Pushes a guard of the object at index 1. It guards nothing until its release is set. */
saros_guard *saros_guard_new(lua_State *L);

/* The parts of the module that saros_open_sync opens. */
void saros_open_lock(lua_State *L);
void saros_open_semaphore(lua_State *L);
void saros_open_event(lua_State *L);
void saros_open_condition(lua_State *L);
void saros_open_barrier(lua_State *L);
void saros_open_channel(lua_State *L);

/* ---- locks ---------------------------------------------------------------------------------------------------- */

typedef struct saros_lock {
    saros_owned   is;
    saros_holding held;
    uint64_t      turns, turn; /* acquisitions so far; the one that holds it, 0: free */
    saros_bound   bound;
    bool          broken;  /* its owner ended without releasing it, … */
    uint32_t      culprit; /* … and that was this task */
} saros_lock;

saros_lock *saros_lock_new(lua_State *L); /* pushes it */
void        saros_lock_take(saros_lock *lock, saros_task *task);
void        saros_lock_give(saros_lock *lock);                   /* to the first who waits for it, if anybody does */
void        saros_lock_wait(saros_lock *lock, saros_task *task); /* expects task->op */
/* The running task holds it; else raises. One that is held but has no owner becomes the task's. */
saros_task *saros_lock_mine(lua_State *L, saros_lock *lock, const char *what);
int         saros_lock_broken(lua_State *L, const saros_lock *lock); /* raises */
/* With the lock as argument 1: a lock's methods, and a condition's. */
int saros_lock_acquire(lua_State *L);
int saros_lock_try_acquire(lua_State *L);
int saros_lock_release(lua_State *L);
int saros_lock_locked(lua_State *L);

#endif
