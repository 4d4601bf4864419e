/* task.h: what can be awaited, cancelled, and how a function of ours awaits.
 *
 * saros_awaitable  the common head of tasks and futures: who waits, and the value at the end
 * saros_task       a coroutine that the loop resumes; what it waits for is its one op
 * saros_scope      what can be cancelled together inside a task
 *
 * An awaiting function: saros_begin, fill and submit task->op, return saros_suspend(…, k); and in k: saros_resumed. */
#ifndef SAROS_TASK_H
#define SAROS_TASK_H

#include "bindings/lua/runtime.h"

typedef struct saros_promise saros_promise;
typedef struct saros_holding saros_holding;

/* ---- what can be awaited -------------------------------------------------------------------------------------- */

enum saros_fate { SAROS_PENDING, SAROS_RETURNED, SAROS_FAILED, SAROS_CANCELLED };

/* Somebody waits for an awaitable: linked into its list, woken once when it is done. */
struct saros_waiter {
    saros_waiter  *next, *prev;
    saros_waiter **list; /* where it is linked: the address of the list's first; NULL: nowhere */
    void (*wake)(saros_waiter *waiter, int64_t result);
};

/* The common head of tasks and futures. Its value is in user value 1: alone where there is just one and nothing
 * else to keep, else in a table (boxed) beside name, callbacks and traceback. */
typedef struct saros_awaitable {
    saros_waiter *waiters; /* oldest first; the first one's prev is the last */
    uint8_t       fate;    /* enum saros_fate */
    bool          task, boxed, observed;
    uint32_t      values;
} saros_awaitable;

struct saros_promise {
    saros_awaitable is;
    uint32_t        loop; /* the id of the first on which it was awaited: it belongs to that; 0: not yet */
    saros_lost     *lost; /* it has failed and nobody knows; NULL: no */
};

struct saros_task {
    saros_awaitable is;
    saros_op        op;   /* what it waits for, and its place in the run queue */
    saros_waiter    wait; /* its place among those who wait for something */
    saros_rt       *rt;   /* NULL once it has ended */
    lua_State      *co;   /* NULL before its first step */
    lua_State      *at;   /* the innermost of the coroutines that it runs, or awaits, in; co, if it has no others */
    saros_task     *next, *prev; /* live tasks of rt, oldest first */
    saros_scope    *scope;       /* the innermost that is open */
    saros_holding  *held;        /* locks and tokens that it has acquired and not released */
    const char     *place;       /* spawned where: a chunk's name that rt keeps, … */
    int             line;
    uint32_t        id, slot;       /* slot: in the table of threads */
    uint32_t        parent;         /* the id of the task that spawned it; 0: none */
    uint32_t        start;          /* in the table of starts; 0 once its coroutine's stack keeps it alive */
    uint32_t        since;          /* it waits, or is there: saros_turn >> SAROS_SINCE_BITS */
    uint16_t        clock;          /* that its times follow: a place in rt->clocks; 0: the loop's */
    uint8_t         args;           /* kept in user values 2… until it begins */
    bool            cancelled;      /* its own outermost scope is */
    bool            suspended;      /* by an await of ours, and not by somebody's coroutine.yield */
    bool            handed_out;     /* the script has seen its coroutine: it is not used again */
    bool            swallows : 1;   /* that it does was reported */
    bool            report_now : 1; /* nobody will await it: an error is told at once */
    bool            agent : 1;      /* a gather made it to await an object: what it acquires is not its own */
    bool            unwakable : 1;  /* a cancellation does not end this wait: it takes back a condition's lock */
    bool            late : 1;       /* spawned while its loop shuts down, inside a shield */
    uint8_t         heirloom : 3;   /* enum: what those that it spawns inherit */
    bool            spawned : 1;    /* others */
    uint8_t         waits_for;      /* enum saros_waits_for: whose list `wait` is in, where that tells something */
    bool            asleep;         /* it waits for no result: a cancellation loses nothing, though the wait is over */
    uint8_t         at_hand;        /* awaits in a row that did not suspend */
    uint8_t         raised;         /* times that its cancellation was raised, to notice who swallows it */
    uint16_t        host;           /* of a simulated world: where it is, as whoever spawned it; 0: the world's first */
};

enum { SAROS_SINCE_BITS = 24 /* a unit is 17 ms, good for two years */ };
enum { SAROS_MOST_AT_HAND = 64 /* awaits in a row that need not suspend: answered at once, or cancelled */ };

/* Whom a task waits for can be told where wait.list is an awaitable's, or that of something that a task owns. Whoever
 * waits says so in task->waits_for before it suspends, and takes it back when it is resumed. */
enum saros_waits_for {
    SAROS_FOR_ANYTHING,
    SAROS_FOR_AWAITABLE,
    SAROS_FOR_LOCK,
    SAROS_FOR_RECEIVER,     /* of what it sends into a channel */
    SAROS_FOR_TOKEN,        /* of a limiter */
    SAROS_CIRCLE_TOLD = 128 /* a bit */
};

/* What a lock begins with. */
typedef struct saros_owned {
    saros_waiter *waiters;
    saros_task   *owner; /* NULL: nobody, or not one of ours */
} saros_owned;

/* The task that it waits for, or that holds the lock which it waits for; NULL: none, or not known. */
static inline saros_task *saros_awaited_task(const saros_task *task) {
    const saros_awaitable *is = (const saros_awaitable *)(void *)task->wait.list; /* the list comes first in it */
    bool                   awaits = (task->waits_for & ~SAROS_CIRCLE_TOLD) == SAROS_FOR_AWAITABLE;
    return awaits && is != NULL && is->task ? (saros_task *)(void *)is : NULL;
}
static inline saros_task *saros_lock_owner_of(const saros_task *task) {
    bool waits = (task->waits_for & ~SAROS_CIRCLE_TOLD) == SAROS_FOR_LOCK && task->wait.list != NULL;
    return waits ? ((saros_owned *)(void *)task->wait.list)->owner : NULL;
}

/* Whose `wait` it is. */
static inline saros_task *saros_waiter_task(saros_waiter *waiter) {
    return (saros_task *)(void *)((char *)waiter - offsetof(saros_task, wait));
}

/* task->heirloom, bits: most tasks have none, and pay for looking at this alone. */
enum { SAROS_HAS_CLOCK = 1, SAROS_INHERITS_LOCALS = 2, SAROS_OWNS_LOCALS = 4 };

/* ---- timers ---------------------------------------------------------------------------------------------------- */

/* A timer that follows a clock of the script's own, or the loop's. */
typedef struct saros_tick {
    saros_waiter wait;     /* among those of its clock */
    saros_op    *op;       /* told as a timer's is */
    saros_clock *clock;    /* NULL: the loop's */
    saros_time   deadline; /* as the clock shows it */
} saros_tick;

/* ---- scopes --------------------------------------------------------------------------------------------------- */

/* SAROS_T_SCOPE: what the script holds; anchored while the scope is open. */
typedef struct saros_scope_object {
    saros_scope *scope; /* NULL once it was left */
    bool         cancelled, expired;
} saros_scope_object;

struct saros_scope {
    saros_scope        *parent;
    saros_rt           *rt;
    saros_task         *task;      /* whose it is; NULL: a host's, shared by the tasks spawned in it; or left */
    struct saros_group *group;     /* the group whose it is, shared by its children; NULL: none */
    saros_gen          *generator; /* of the coroutine that opened it; NULL: the task's own */
    saros_scope        *todo;      /* the next one whose children are to be looked at */
    uint64_t            id;        /* never used again, as its address may be */
    saros_op            timer;
    saros_tick          tick;        /* its deadline, on the task's clock; SAROS_FOREVER: none */
    saros_scope_object *object;      /* the script's end of it; NULL: none */
    saros_scope        *next, *prev; /* the host's scopes of rt */
    bool                cancelled, expired, shield, left, host, released;
    bool                due;   /* its deadline has come, in this very turn */
    bool                bare;  /* opened without a function: it ends where it is closed, or with what is around it */
    size_t              tasks; /* of a host's or a group's: those that were spawned in it and live */
    const char         *why;   /* it was cancelled, in words of ours or of the host; NULL: see below */
    char                reason[64]; /* of a host's cancel; a script's is a Lua value kept under the scope's address */
};

/* ---- spawn.c -------------------------------------------------------------------------------------------------- */

/* Spawns the function and nargs arguments on top of the stack; leaves the task in their place. */
saros_task *saros_spawn(lua_State *L, saros_rt *rt, int nargs, saros_scope *scope);
/* The same, and its first step is taken inside the call, if not too many such are in progress. */
saros_task *saros_spawn_now(lua_State *L, saros_rt *rt, int nargs, saros_scope *scope);
/* Moves a task that has not begun onto a coroutine, ready for its first resume. False: no memory. Cannot raise. */
bool saros_task_begin(saros_rt *rt, saros_task *task);
/* It has suspended: from now on its coroutine's stack keeps it alive. */
void saros_task_begun(saros_rt *rt, saros_task *task);
/* It has ended: gives back what keeps it alive; its coroutine is used again if it ended well. */
void saros_task_release(saros_rt *rt, saros_task *task, bool well);

/* ---- task.c --------------------------------------------------------------------------------------------------- */

int  saros_task_body(lua_State *co);                                  /* what runs in a task's coroutine */
void saros_task_told(saros_loop *loop, saros_op *op, int64_t result); /* its op's done */
/* The first thing in every awaiting function: the running task, allowed to suspend, not cancelled; else raises. */
saros_task *saros_begin(lua_State *L, const char *what);
/* The same, but does not look at cancellation. */
saros_task *saros_begin_uncancelled(lua_State *L, const char *what);
/* Puts the task at the end of the run queue. In place of a submit: a task that suspends then gives way once. */
static inline void saros_requeue(saros_task *task) {
    saros_expect(task->rt->loop, &task->op);
    saros_complete(task->rt->loop, &task->op, 0);
}
/* THE ONE PLACE THAT YIELDS. In tail position; task->op has been submitted. */
int saros_suspend(lua_State *L, saros_task *task, lua_KContext ctx, lua_KFunction k);
/* In a continuation: the task, and its op's result in *result. Raises if the task was cancelled meanwhile, and
 * the result says that the wait was ended for it. */
saros_task *saros_resumed(lua_State *L, int64_t *result);
saros_task *saros_resumed_raw(lua_State *L); /* the task alone; raises only if not the loop has resumed it */
/* The end of an await whose answer was at hand: n results on top. Gives way once after 64 in a row. */
int         saros_answer(lua_State *L, saros_task *task, int n);
void        saros_task_lost(lua_State *L); /* somebody else than the loop resumes or closes the coroutine L */
void        saros_task_cancel(saros_task *task);
void        saros_task_end_wait(saros_task *task); /* if it is cancelled now */
void        saros_task_kill(saros_task *task);     /* closes its coroutine where it stands */
void        saros_task_forget(saros_task *task);   /* one of rt->failed: reports it if nobody has seen its error */
saros_task *saros_task_of(const saros_lua *lua, const lua_State *co); /* the live task that runs in co, or NULL */
void        saros_task_push(lua_State *L, saros_task *task);          /* a live task's userdata */

/* ---- refuse.c ------------------------------------------------------------------------------------------------- */

/* Nothing can await here: raises an error that says why. The task that runs, or NULL. */
void saros_refuse_await(lua_State *L, const saros_task *task, const char *what) __attribute__((noreturn));

/* ---- await.c -------------------------------------------------------------------------------------------------- */

void        saros_wait_link(saros_waiter **list, saros_waiter *waiter);
void        saros_wait_unlink(saros_waiter *waiter);
void        saros_wait_on(saros_task *task, saros_waiter **list); /* expects task->op */
saros_task *saros_waiting_task(const saros_waiter *waiter);       /* who it is that waits; NULL: not a task */
void        saros_wake_first(saros_waiter **list, int64_t result);
void        saros_wake_all(saros_waiter **list, int64_t result);
/* The table of user value 1, made where there is none. index: the userdata. Pushes it. */
void saros_box(lua_State *L, saros_awaitable *is, int index);
/* Ends an awaitable with n values on top (popped): results, or one error value. May raise only before it changes. */
void saros_settle(lua_State *L, saros_awaitable *is, int index, enum saros_fate fate, int n);
int  saros_await_value(lua_State *L, saros_awaitable *is, int index);       /* pushes results, or raises */
int  saros_push_values(lua_State *L, const saros_awaitable *is, int index); /* results, or the error */
/* Raises where it belongs to another loop than rt; one that belongs to none yet belongs to rt from now on. */
void             saros_check_loop(lua_State *L, saros_awaitable *is, const saros_rt *rt, const char *what);
saros_awaitable *saros_to_awaitable(lua_State *L, const saros_lua *lua, int index);
int              saros_await_on(lua_State *L, int index, const char *what); /* in tail position */
int              saros_call_await(lua_State *L); /* argument 1 alone, its __await on top; in tail position */
int              saros_all_results(lua_State *L, int status, lua_KContext ctx); /* a continuation: all but ctx values */
extern const luaL_Reg saros_awaitable_methods[];
void                  saros_observe(saros_awaitable *is); /* somebody has seen its error: it need not be reported */

/* ---- lost.c ---------------------------------------------------------------------------------------------- */

/* The future at index is about to fail; raises, and then it need not. */
void saros_lost_expect(lua_State *L, saros_rt *rt, saros_promise *future, int index);
void saros_lost_begin(saros_lost *self); /* it has failed: from now on somebody may come for the error */
void saros_lost_end(saros_lost *self);   /* somebody knows of it; or nobody does, and it is told */
void saros_lost_drop(saros_lost *self);  /* and is not told: the state closes */

/* ---- scope.c -------------------------------------------------------------------------------------------------- */

bool saros_is_cancelled(const saros_task *task); /* by the task itself or a scope, seen from where it stands */
int  saros_raise_cancelled(lua_State *L, saros_task *task);   /* does not return */
void saros_push_reason(lua_State *L, const saros_task *task); /* of the cancellation it sees; nil: none was given */
bool saros_is_own_cancel(lua_State *L, int index);            /* a cancellation that pcall must pass on */
bool saros_scope_owns(lua_State *L, const saros_scope *scope, int index); /* is the error at index its cancellation? */
void saros_push_cancel_reason(lua_State *L, int index); /* of the cancellation at index; "cancelled": none was given */
/* Its scopes changed: ends its wait, and those of the children of its groups, where they are cancelled now. */
void saros_task_poke(saros_task *task);
void saros_scope_end(saros_scope *scope, const char *why); /* cancels it; why: static, NULL: a kept reason, or none */
saros_scope        *saros_scope_open(saros_task *task, saros_time timeout); /* and enters it; NULL: no memory */
void                saros_scope_keep_reason(lua_State *L, saros_scope *scope, int arg); /* of the cancel that follows */
bool                saros_scope_is_cancelled(const saros_scope *scope);                 /* or what it stands in */
void                saros_scope_enter(saros_scope *scope, saros_task *task);
saros_scope_object *saros_scope_name(lua_State *L, saros_scope *scope); /* pushes what the script is to hold */
void                saros_scope_leave(saros_scope *scope);
void saros_scope_leave_inner(const saros_scope *scope); /* what is bare inside of it, and was not closed */
void saros_scope_forget(saros_task *task);              /* a task that has ended leaves its scopes */
void saros_scopes_free(saros_rt *rt);                   /* the host's, whose loop closes; no task lives */
extern const luaL_Reg saros_task_cancel_method[];

/* ---- report.c ------------------------------------------------------------------------------------------------- */

void saros_push_wait(lua_State *L, const saros_task *task); /* " waits at x.lua:9"; "" outside a script's function */
void saros_push_traceback(lua_State *L, const saros_task *task); /* of all its coroutines; task->co is not NULL */
void saros_retrace_resumed(lua_State *L); /* the error that is on its way goes from a coroutine to who resumed it */
/* The error on top goes from one that has failed to one that awaits it, and keeps its traceback. index: the userdata. */
void saros_retrace_awaited(lua_State *L, saros_awaitable *is, int index);

/* ---- debug.c -------------------------------------------------------------------------------------------------- */

/* A future, at index, is about to be settled with the n values on top, which stay; in debug mode only. */
void saros_debug_settling(lua_State *L, saros_rt *rt, saros_awaitable *is, int index, int n);
/* The same for a task, inside its coroutine: it is at 1, its results are from 3 on if status is a good one. */
void saros_debug_ending(lua_State *co, saros_task *task, int status);

/* ---- deadlock.c ----------------------------------------------------------------------------------------------- */

/* The task is about to wait for one that waits itself: if that is a circle which no deadline ends, it is reported. */
void saros_suspect(saros_task *task);

/* ---- tunnel.c ------------------------------------------------------------------------------------------------- */

/* L is about to wait, which is not the task's own coroutine, or has been handed out. */
void saros_tunnel_mark(lua_State *L, const saros_task *task);
/* A task's own coroutine has yielded some values, by no await of ours. True: it was our yield, which raises if it is
 * resumed now, with one argument. */
bool       saros_tunnel_refuse(lua_State *co, int results);
lua_State *saros_tunnel_inner(const saros_task *task, lua_State *L); /* the coroutine that L has resumed; NULL: none */
/* The suspended task that has L between its own coroutine and its innermost; NULL: none. *outer: who resumed L. */
saros_task *saros_tunnel_task(const saros_lua *lua, const lua_State *L, lua_State **outer);
void        saros_tunnel_cut(saros_task *task, lua_State *L); /* closes all that is resumed, transitively, by L */

/* ---- coroutine.c ---------------------------------------------------------------------------------------------- */

/* The coroutine task->at, which waits, is about to be closed: nobody points into it any more. Its task is told. */
void saros_wait_leave(saros_task *task);
/* That task goes on, and finds it closed: what a continuation would have set right. */
void saros_wait_forget(saros_task *task);

/* ---- generator.c ---------------------------------------------------------------------------------------------- */

/* The record of the running task's innermost coroutine, which is not its own; NULL: no memory. */
saros_gen *saros_generator_of(const saros_task *task);
void       saros_generator_leave(saros_task *task, const lua_State *co);        /* the innermost scopes, those of co */
void saros_generator_detach(saros_task *task, const lua_State *co, int status); /* co is back; task->scope has one */
/* co is about to run. NULL, or why it cannot. */
const char *saros_generator_attach(lua_State *L, saros_task *task, lua_State *co);
void        saros_generator_forget(lua_State *L, lua_State *co); /* co is about to be closed */
void        saros_generators_end(saros_rt *rt, bool close);      /* their loop closes */

/* ---- clock.c ------------------------------------------------------------------------------------------------- */

saros_time saros_clock_now(const saros_clock *clock);
/* The time that a task sees; task may be NULL. */
static inline saros_time saros_task_now(const saros_rt *rt, const saros_task *task) {
    return task == NULL || task->clock == 0 ? saros_now(rt->loop) : saros_clock_now(rt->clocks[task->clock]);
}
/* The task sleeps by its clock, which is not the loop's. In tail position, like saros_suspend. */
int saros_clock_sleep(lua_State *L, saros_task *task, saros_time deadline, lua_KFunction k);
/* now + duration, without overflow. */
saros_time                 saros_clock_later(const saros_clock *clock, saros_time duration);
static inline saros_clock *saros_task_clock(const saros_task *task) {
    return task->clock == 0 ? NULL : task->rt->clocks[task->clock];
}
static inline saros_time saros_task_later(const saros_task *task, saros_time duration) {
    return task->clock == 0 ? saros_later(task->rt->loop, duration)
                            : saros_clock_later(saros_task_clock(task), duration);
}
int  saros_tick_start(saros_loop *loop, saros_tick *tick); /* as saros_timer */
bool saros_tick_leave(saros_loop *loop, saros_tick *tick); /* its clock; which is not the loop's */
/* As saros_timer_stop. */
static inline bool saros_tick_stop(saros_loop *loop, saros_tick *tick) {
    return tick->clock == NULL ? saros_timer_stop(loop, tick->op) : saros_tick_leave(loop, tick);
}
saros_clock *saros_check_clock(lua_State *L, int index, const saros_rt *rt, const char *what); /* raises */
/* A task that has not begun follows this clock, which is at index, instead of its spawner's. The clock is kept
 * alive until the task has ended. May raise, and then nothing has changed. */
void saros_task_set_clock(lua_State *L, saros_task *task, int index);
void saros_clock_hold(saros_clock *clock); /* one that is needed already, once more; until saros_clock_release */
void saros_clock_release(saros_clock *clock);
void saros_clocks_close(saros_rt *rt); /* their loop closes: nobody waits for them any more */

/* ---- locals.c ------------------------------------------------------------------------------------------------- */

/* A new task takes over what its spawner has that is inherited. Its userdata is at index. May raise. */
void saros_inherit(lua_State *L, saros_task *task, const saros_task *from);
void saros_disinherit(saros_task *task); /* it has ended */

/* ---- stream_read.c -------------------------------------------------------------------------------------------- */

/* The coroutine in which the task waited was closed, and the task's op is told now: it neither reads nor writes, … */
void saros_streams_forget(saros_task *task);
void saros_net_forget(saros_task *task);   /* … nor accepts, … */
void saros_files_forget(saros_task *task); /* … nor uses a file (services/file.c) */

/* ---- sync.c --------------------------------------------------------------------------------------------------- */

void saros_orphan(saros_task *task); /* it has ended: what it held breaks, or is given back */
/* The coroutine co, in which it waits to send, or for a token, is about to be closed. */
void saros_channel_leave(lua_State *co, saros_task *task);
void saros_limiter_leave(lua_State *co, const saros_task *task);

/* ---- several.c, gather.c, time.c ------------------------------------------------------------------------------ */

saros_waiter *saros_group_closer(const saros_waiter *waiter); /* who waits for the group; NULL: nobody, or no group's */
saros_task   *saros_gathering_task(const saros_waiter *waiter);       /* NULL: no gather's or the like */
void          saros_quiet_wake(saros_waiter *waiter, int64_t result); /* of who does not ask for the error */
int           saros_run_child(lua_State *L); /* function and arguments are the whole stack; in tail position */
int           saros_sleep(lua_State *L, int arg, const char *what); /* in tail position */
/* Until the task's clock shows that time. In tail position. */
int  saros_sleep_till(lua_State *L, saros_task *task, saros_time deadline, lua_KFunction k);
void saros_clock_forget(const saros_task *task); /* it does not sleep any more */

#endif
