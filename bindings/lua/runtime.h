/* runtime.h: what the files of the Lua binding share.
 *
 * saros_lua   one for each lua_State: the metatables, and which loop runs
 * saros_rt    one for each loop in that state: its tasks, its streams, its spare coroutines
 * saros_task  a coroutine that the loop resumes; what it waits for is its one op
 * saros_scope what can be cancelled together inside a task
 *
 * Every function of the module has the saros_lua as its first upvalue. */
#ifndef SAROS_RUNTIME_H
#define SAROS_RUNTIME_H

#include <stdatomic.h>

#include "bindings/lua/compat.h"
#include "bindings/lua/saros_lua.h"

typedef struct saros_lua    saros_lua;
typedef struct saros_rt     saros_rt;
typedef struct saros_task   saros_task;
typedef struct saros_future saros_future;
typedef struct saros_waiter saros_waiter;
typedef struct saros_stream saros_stream;
typedef struct saros_call   saros_call;

/* The kinds of userdata, by the index of their metatable. */
enum saros_type {
    SAROS_T_LOOP,
    SAROS_T_TASK,
    SAROS_T_FUTURE,
    SAROS_T_SCOPE,
    SAROS_T_CANCELLED,
    SAROS_T_ERROR,
    SAROS_T_CALL,
    SAROS_T_STREAM,
    SAROS_T_LISTENER,
    SAROS_T_QUEUE,
    SAROS_T_GATHER,
    SAROS_T_GUARD,
    SAROS_TYPES
};

struct saros_lua {
    lua_State            *L;        /* the main thread */
    saros_rt             *current;  /* the innermost loop that runs Lua code just now */
    saros_rt             *attached; /* the host's loop, for calls from outside any loop */
    saros_rt             *loops;
    _Atomic(saros_loop *) innermost;         /* the loop that run() runs, for the host's signal handlers */
    const saros_config   *config;            /* the host's, for loops that scripts make; NULL: the default */
    const void           *meta[SAROS_TYPES]; /* lua_topointer of each metatable: a type check without a look-up, … */
    int                   meta_ref[SAROS_TYPES]; /* … and where it is in the registry */
    uint32_t              tasks;                 /* spawned so far; for names */
    uint64_t              scopes;                /* opened so far */
    size_t                unguarded;             /* tasks that began without install(), ever */
    bool                  installed;
};

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

struct saros_future {
    saros_awaitable is;
};

struct saros_task {
    saros_awaitable is;
    saros_op        op;          /* what it waits for, and its place in the run queue */
    saros_waiter    wait;        /* its place among those who wait for something */
    saros_rt       *rt;          /* NULL once it has ended */
    lua_State      *co;          /* NULL before its first step */
    saros_task     *next, *prev; /* live tasks of rt, oldest first */
    saros_scope    *scope;       /* the innermost that is open */
    const char     *place;       /* spawned where: a chunk's name that rt keeps, … */
    int             line;
    uint32_t        id, slot;   /* slot: in the table of threads */
    uint32_t        start;      /* in the table of starts; 0 once its coroutine's stack keeps it alive */
    uint16_t        args;       /* kept in user values 2… until it begins */
    bool            cancelled;  /* its own outermost scope is */
    bool            suspended;  /* by an await of ours, and not by somebody's coroutine.yield */
    bool            handed_out; /* the script has seen its coroutine: it is not used again */
    bool            swallows;   /* that it does was reported */
    bool            report_now; /* nobody will await it: an error is told at once */
    uint8_t         at_hand;    /* awaits in a row that did not suspend */
    uint8_t         raised;     /* times that its cancellation was raised, to notice who swallows it */
};

/* ---- scopes --------------------------------------------------------------------------------------------------- */

struct saros_scope {
    saros_scope         *parent;
    saros_rt            *rt;
    saros_task          *task; /* NULL: a host's scope, shared by the tasks spawned in it */
    uint64_t             id;   /* never used again, as its address may be */
    saros_op             timer;
    saros_time           deadline;    /* SAROS_FOREVER: none */
    struct scope_object *object;      /* the script's end of it; NULL: none */
    saros_scope         *next, *prev; /* the host's scopes of rt */
    bool                 cancelled, expired, shield, left, host, released;
    size_t               tasks;      /* of a host's scope: those that were spawned in it and live */
    char                 reason[64]; /* of a host's cancel; a script's is a Lua value kept under the scope's address */
};

/* ---- a loop in a state ---------------------------------------------------------------------------------------- */

/* A coroutine that waits for the next task, and its place in the table of threads. */
typedef struct saros_worker {
    lua_State *co;
    uint32_t   slot;
} saros_worker;

/* Places in a Lua array: numbers from 1 on, used again. */
typedef struct saros_slots {
    uint32_t *free;
    uint32_t  count, room, made;
} saros_slots;

struct saros_rt {
    saros_lua    *lua;
    saros_loop   *loop; /* NULL: closed */
    lua_State    *L;    /* who runs the loop: the `from` of resumes */
    saros_task   *task; /* the one that runs just now; NULL in callbacks */
    saros_task   *first, *last;
    saros_task   *main;   /* whose end ends run() */
    saros_task   *failed; /* ended by an error that nobody has awaited yet, and that is not yet reported */
    saros_call   *calls;  /* callbacks that are still to come */
    saros_stream *streams;
    saros_scope  *scopes; /* the host's */
    saros_rt     *next;
    size_t        live;     /* tasks */
    size_t        reported; /* errors that nobody awaited */
    saros_worker *idle;     /* coroutines that have ended well */
    uint32_t      idle_count;
    saros_slots   threads, starts;
    char        **places; /* names of chunks that tasks were spawned from */
    uint32_t      place_count, place_room;
    const char   *last_place;
    saros_guest   guest;           /* an attached one's place on its loop */
    int           self, tables[3]; /* in the registry: the userdata; threads, starts, anchors */
    bool          owned, running, closing, interrupted, stopped_by_script, deadlocked;
    saros_time    report_after;
};

/* rt->tables */
enum { SAROS_THREADS, SAROS_STARTS, SAROS_ANCHORS, SAROS_TABLES };
enum { SAROS_MOST_IDLE = 1024 }; /* coroutines kept for the next tasks: about 1 MB */

/* ---- runtime.c ------------------------------------------------------------------------------------------------ */

static inline saros_lua *saros_state(lua_State *L) { return lua_touserdata(L, lua_upvalueindex(1)); }
saros_lua *saros_state_slow(lua_State *L); /* where there is no upvalue; NULL before the module was opened */
void       saros_push_meta(lua_State *L, enum saros_type type);
void      *saros_new(lua_State *L, saros_lua *lua, enum saros_type type, size_t size, int values); /* zeroed */
void      *saros_test(lua_State *L, const saros_lua *lua, int index, enum saros_type type); /* NULL: something else */
void      *saros_check(lua_State *L, int arg, enum saros_type type);                        /* raises */
/* Makes a metatable: methods (with the state as upvalue), __name, hidden from getmetatable. */
void saros_type_make(lua_State *L, enum saros_type type, const char *name, const luaL_Reg *methods,
                     const luaL_Reg *meta);
void saros_add(lua_State *L, const luaL_Reg *functions); /* into the table on top, with the state as upvalue */
/* One of rt's tables; an integer key into the registry is the cheapest look-up that Lua has. */
static inline void saros_push_table(lua_State *L, const saros_rt *rt, int which) {
    lua_rawgeti(L, LUA_REGISTRYINDEX, rt->tables[which]);
}
saros_rt *saros_loop_now(lua_State *L, const char *what); /* the loop that runs, or the attached one; raises */
/* Keeps the value on top (popped) alive under a key; drops it again. Dropping cannot raise. */
void saros_anchor(lua_State *L, saros_rt *rt, const void *key);
void saros_drop(saros_rt *rt, const void *key);
void saros_push_anchored(lua_State *L, saros_rt *rt, const void *key);
/* Calls f(L, p) so that no error passes; reports one under `what`. Restores the stack. */
bool       saros_protected(saros_rt *rt, lua_CFunction f, void *p, const char *what);
void       saros_complain(saros_rt *rt, const char *format, ...) __attribute__((format(printf, 2, 3)));
saros_time saros_seconds(lua_State *L, int arg); /* a duration: negative is 0, NaN raises, huge is SAROS_FOREVER */
saros_time saros_later(saros_loop *loop, saros_time duration); /* now + duration, without overflow */
int        saros_fail(lua_State *L, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));
int        saros_option(lua_State *L, int arg, const char *name); /* pushes a field of the option table; its type */
void saros_check_options(lua_State *L, int arg, const char *const *names); /* a table (or none) of these keys only */

/* ---- loop.c --------------------------------------------------------------------------------------------------- */

saros_rt *saros_rt_new(lua_State *L, saros_lua *lua, const char *driver, saros_loop *given); /* pushes it */
void      saros_rt_close(lua_State *L, saros_rt *rt);
int       saros_rt_run(lua_State *L, saros_rt *rt, int nargs); /* function and nargs on top; status; results */
void      saros_rt_shutdown(lua_State *L, saros_rt *rt);       /* cancels, awaits, reports what is left */
void      saros_rt_interrupt(saros_rt *rt, const char *reason);

/* ---- spawn.c -------------------------------------------------------------------------------------------------- */

/* Spawns the function and nargs arguments on top of the stack; leaves the task in their place. */
saros_task *saros_spawn(lua_State *L, saros_rt *rt, int nargs, saros_scope *scope);
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
/* THE ONE PLACE THAT YIELDS. In tail position; task->op has been submitted. */
int saros_suspend(lua_State *L, saros_task *task, lua_KContext ctx, lua_KFunction k);
/* In a continuation: the task, and its op's result in *result. Raises if the task was cancelled meanwhile, and
 * the result says that the wait was ended for it. */
saros_task *saros_resumed(lua_State *L, int64_t *result);
saros_task *saros_resumed_raw(lua_State *L); /* never raises */
/* The end of an await whose answer was at hand: n results on top. Gives way once after 64 in a row. */
int         saros_answer(lua_State *L, saros_task *task, int n);
void        saros_task_lost(lua_State *L); /* somebody else than the loop resumes or closes the coroutine L */
void        saros_task_cancel(saros_task *task);
void        saros_task_poke(saros_task *task);   /* its scopes changed: end its wait if it is cancelled now */
void        saros_task_kill(saros_task *task);   /* closes its coroutine where it stands */
void        saros_task_forget(saros_task *task); /* one of rt->failed: reports it if nobody has seen its error */
saros_task *saros_task_of(const saros_lua *lua, const lua_State *co); /* the live task that runs in co, or NULL */
void        saros_task_push(lua_State *L, saros_task *task);          /* a live task's userdata */
int         saros_traceback(lua_State *L); /* a message handler: keeps the traceback, returns the error as it is */
bool        saros_traced(lua_State *L, int index); /* pushes the traceback kept for that error; false: none, nothing */
void        saros_untrace(lua_State *L);
void        saros_retrace(lua_State *L, int index); /* keeps the traceback on top (popped) for the error at index */

/* ---- await.c -------------------------------------------------------------------------------------------------- */

void saros_wait_link(saros_waiter **list, saros_waiter *waiter);
void saros_wait_unlink(saros_waiter *waiter);
void saros_wait_on(saros_task *task, saros_waiter **list); /* expects task->op */
void saros_wake_first(saros_waiter **list, int64_t result);
void saros_wake_all(saros_waiter **list, int64_t result);
/* The table of user value 1, made where there is none. index: the userdata. Pushes it. */
void saros_box(lua_State *L, saros_awaitable *is, int index);
/* Ends an awaitable with n values on top (popped): results, or one error value. May raise only before it changes. */
void             saros_settle(lua_State *L, saros_awaitable *is, int index, enum saros_fate fate, int n);
int              saros_await_value(lua_State *L, saros_awaitable *is, int index); /* pushes results, or raises */
saros_awaitable *saros_to_awaitable(lua_State *L, const saros_lua *lua, int index);
int              saros_await_on(lua_State *L, int index, const char *what);     /* in tail position */
int              saros_all_results(lua_State *L, int status, lua_KContext ctx); /* a continuation: all but ctx values */
extern const luaL_Reg saros_awaitable_methods[];
void                  saros_observe(saros_awaitable *is); /* somebody has seen its error: it need not be reported */

/* ---- report.c ------------------------------------------------------------------------------------------------- */

const char *saros_task_name(lua_State *L, saros_task *task, int index); /* pushes a string */
void        saros_task_report(saros_task *task);                        /* an error that nobody awaited */
void        saros_report_swallowing(lua_State *L, saros_task *task); /* a task that catches its cancellation for ever */
const char *saros_text_of(lua_State *L, int index); /* pushes it as tostring gives it; never raises but for memory */
/* Pushes "a (x.lua:3), b (x.lua:9)", where they were spawned; with waits also where they wait. */
void saros_describe_tasks(lua_State *L, saros_rt *rt, size_t most, bool waits);

/* ---- time.c, error.c ------------------------------------------------------------------------------------------ */

int  saros_sleep(lua_State *L, int arg, const char *what);      /* in tail position */
void saros_call_soon(lua_State *L, saros_rt *rt, int nargs);    /* function and arguments on top, popped */
void saros_calls_cancel(saros_rt *rt);                          /* its loop closes: none of them runs any more */
int  saros_raise(lua_State *L, int code, const char *message);  /* an error object; does not return */
int  saros_raise_returned(lua_State *L, int message, int code); /* the same of a returned message and code */

/* ---- scope.c -------------------------------------------------------------------------------------------------- */

bool saros_is_cancelled(const saros_task *task); /* by the task itself or a scope, seen from where it stands */
int  saros_raise_cancelled(lua_State *L, saros_task *task);   /* does not return */
void saros_push_reason(lua_State *L, const saros_task *task); /* of the cancellation it sees; nil: none was given */
bool saros_is_own_cancel(lua_State *L, int index);            /* a cancellation that pcall must pass on */
void saros_scope_enter(saros_scope *scope, saros_task *task);
void saros_scope_leave(saros_scope *scope);
void saros_scope_forget(saros_task *task); /* a task that has ended leaves its scopes */
void saros_scopes_free(saros_rt *rt);      /* the host's, whose loop closes; no task lives */
extern const luaL_Reg saros_task_cancel_method[];

/* ---- gather.c, net.c, stream_read.c, stream_write.c ------------------------------------------------------------ */

int saros_run_child(lua_State *L); /* function and arguments are the whole stack; in tail position */

/* A stream or listener: the userdata itself, linked into its loop's list until it is closed. */
struct saros_stream {
    saros_handle  handle;
    saros_rt     *rt;      /* NULL: closed */
    saros_rt     *closing; /* whose list and anchor keep it until the close was told */
    saros_stream *next, *prev;
    saros_op      close;
    saros_task   *reader, *writer;
    saros_waiter *writers; /* who wants to write next, in order */
    const char   *at;      /* what was received and not yet read: in data, or lent, … */
    size_t        left;
    size_t        taken; /* before `at`: read by the call that runs, and given back if it is cancelled */
    char         *data;  /* the stream's own buffer; NULL while it needs none */
    size_t        room;
    size_t        scanned; /* bytes of it that have no delimiter in them */
    size_t        line_limit, all_limit;
    int           error;       /* the receive that failed */
    bool          lent, ended; /* lent: `at` is the loop's scratch buffer, until the reader suspends or returns */
};

saros_stream         *saros_check_stream(lua_State *L); /* argument 1 */
int                   saros_closed(lua_State *L);       /* nil, "closed", "ECLOSED" */
void                  saros_stream_forget_buffer(saros_stream *stream);
void                  saros_stream_abandon(saros_stream *stream); /* closes it at once, and nobody is told */
extern const luaL_Reg saros_read_methods[], saros_write_methods[];

/* ---- each file's part of the module --------------------------------------------------------------------------- */

void saros_open_loop(lua_State *L);
void saros_open_spawn(lua_State *L);
void saros_open_task(lua_State *L);
void saros_open_await(lua_State *L);
void saros_open_scope(lua_State *L);
void saros_open_gather(lua_State *L);
void saros_open_time(lua_State *L);
void saros_open_queue(lua_State *L);
void saros_open_error(lua_State *L);
void saros_open_net(lua_State *L);
void saros_open_install(lua_State *L);
void saros_install(lua_State *L, saros_lua *lua); /* task-aware pcall, xpcall, coroutine */

#endif
