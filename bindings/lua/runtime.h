/* runtime.h: the state, its loops, and the small things that every file of the Lua binding uses.
 *
 * saros_lua   one for each lua_State: the metatables, and which loop runs
 * saros_rt    one for each loop in that state: its tasks, its streams, its spare coroutines
 *
 * task.h has what can be awaited, stream.h what can be read and written. Every function of the module has the saros_lua
 * as its first upvalue. */
#ifndef SAROS_RUNTIME_H
#define SAROS_RUNTIME_H

#include <stdatomic.h>

#include "bindings/lua/compat.h"
#include "bindings/lua/saros_lua.h"

typedef struct saros_lua      saros_lua;
typedef struct saros_rt       saros_rt;
typedef struct saros_task     saros_task;
typedef struct saros_stream   saros_stream;
typedef struct saros_call     saros_call;
typedef struct saros_clock    saros_clock;
typedef struct saros_waiter   saros_waiter;
typedef struct saros_gen      saros_gen;
typedef struct saros_service  saros_service;
typedef struct saros_job      saros_job;
typedef struct saros_lost     saros_lost;
typedef struct saros_borrowed saros_borrowed;
typedef struct saros_file     saros_file;
typedef struct saros_source   saros_source;

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
    SAROS_T_UDP,
    SAROS_T_QUEUE,
    SAROS_T_GATHER,
    SAROS_T_GROUP,
    SAROS_T_MEMBER,
    SAROS_T_START,
    SAROS_T_GUARD,
    SAROS_T_PLACE,
    SAROS_T_CLOCK,
    SAROS_T_HOLD,
    SAROS_T_LOCK,
    SAROS_T_SEMAPHORE,
    SAROS_T_LIMITER,
    SAROS_T_EVENT,
    SAROS_T_CONDITION,
    SAROS_T_BARRIER,
    SAROS_T_CHANNEL,
    SAROS_T_SENDER,
    SAROS_T_RECEIVER,
    SAROS_T_THREAD,
    SAROS_T_THREAD_SENDER,
    SAROS_T_THREAD_RECEIVER,
    SAROS_T_CROSSING,
    SAROS_T_WATCH,
    SAROS_T_TICKET,
    SAROS_T_TUNNEL,
    SAROS_T_GENERATOR,
    SAROS_T_LOOKUP,
    SAROS_T_FILE,
    SAROS_T_FS_WORK,
    SAROS_T_FS_WATCH,
    SAROS_T_SIGNALS,
    SAROS_T_PROCESS,
    SAROS_T_BORROWED,
    SAROS_T_TLS_CONTEXT,
    SAROS_T_TLS_SESSION,
    SAROS_T_BUFFER,
    SAROS_TYPES
};

/* How a loop behaves where it has a choice. All zero: as usual. */
typedef struct saros_manners {
    bool       debug;    /* debug.c */
    bool       shuffles; /* tasks that are ready in the same turn run in an order drawn from `shuffle` */
    uint64_t   shuffle;
    saros_time slice; /* slice.c: how long a task may run before it must give way; 0: as long as it likes */
} saros_manners;

struct saros_lua {
    lua_State            *L;        /* the main thread */
    saros_rt             *current;  /* the innermost loop that runs Lua code just now */
    saros_rt             *attached; /* the host's loop, for calls from outside any loop */
    saros_rt             *loops;
    _Atomic(saros_loop *) innermost; /* the loop that run() runs, for the host's signal handlers */
    atomic_int            knocking;  /* signal handlers that are about to post to it; it is open until they did */
    const saros_config   *config;    /* the host's, for loops that scripts make; NULL: the default */
    const void           *meta[SAROS_TYPES]; /* lua_topointer of each metatable: a type check without a look-up, … */
    int                   meta_ref[SAROS_TYPES]; /* … and where it is in the registry */
    uint32_t              tasks;                 /* spawned so far; for names */
    uint32_t              opened;                /* loops so far */
    uint64_t              scopes;                /* opened so far */
    unsigned              threads;               /* started so far; for names */
    struct saros_thread  *thread;                /* of ours, on which this state lives; NULL: it is another's */
    const char           *last_place;            /* spawn.c: the name of the chunk that spawned last */
    uint32_t              places;                /* how many such names are kept */
    saros_manners         manners;               /* of loops that ask for nothing else */
    size_t                generators;            /* suspended coroutines of scripts that have scopes open */
    int                   nested;                /* resumes of ours on C's stack */
    int                   cutting;               /* coroutines that are being closed by us */
    int                   spare;                 /* finished coroutines that can be used again */
    bool                  shown;                 /* a script has asked for the coroutine that it ran in */
    bool                  installed;
    bool                  simulates; /* Lua's clocks follow simulated worlds */
};

/* ---- a loop in a state ---------------------------------------------------------------------------------------- */

/* What a loop's surroundings know, where they are not the system's: a simulated world knows the names of its hosts, and
 * from which of them a task calls. */
typedef const struct saros_world {
    /* The address of a host's name, without a port; 0, or the error: SAROS_ENAME. Answers at once. */
    int (*resolve)(saros_rt *rt, const char *name, size_t length, saros_address *address);
    /* The task is about to submit a CONNECT or a LISTEN; NULL: nobody does, a callback or a host. */
    void (*leave)(saros_rt *rt, const saros_task *task);
} saros_world;

/* A coroutine that waits for the next task, and its place in the table of threads. */
typedef struct saros_worker {
    lua_State *co;
    uint32_t   slot;
} saros_worker;

/* Places in a Lua array: numbers from 1 on, used again. */
typedef struct saros_slots {
    uint32_t free;        /* one that is; 0: none */
    uint32_t count, made; /* free ones; all that there are */
} saros_slots;

/* rt->tables: arrays of coroutines, of tasks that have not begun, and of callbacks; the last one has keys. */
enum { SAROS_THREADS, SAROS_STARTS, SAROS_CALLS, SAROS_SLOTS, SAROS_ANCHORS = SAROS_SLOTS, SAROS_TABLES };

struct saros_rt {
    saros_lua      *lua;
    saros_loop     *loop; /* NULL: closed */
    lua_State      *L;    /* who runs the loop: the `from` of resumes */
    saros_task     *task; /* the one that runs just now; NULL in callbacks */
    saros_task     *first, *last;
    saros_task     *main;   /* whose end ends run() */
    saros_task     *failed; /* ended by an error that nobody has awaited yet, and that is not yet reported */
    saros_call     *calls;  /* callbacks that are still to come */
    saros_stream   *streams;
    saros_borrowed *borrowed;   /* descriptors of others that somebody waits for */
    saros_scope    *scopes;     /* the host's */
    saros_lost     *lost;       /* errors of futures that nobody has awaited yet */
    saros_gen      *generators; /* suspended coroutines of scripts that have scopes open */
    saros_rt       *next;
    uint32_t        id;       /* never used again, as its address may be */
    size_t          live;     /* tasks */
    size_t          late;     /* of these: see saros_task */
    size_t          reported; /* errors that nobody awaited */
    saros_worker   *idle;     /* coroutines that have ended well */
    uint32_t        idle_count;
    saros_clock   **clocks; /* the script's own, from place 1 on; NULL where one has gone */
    uint32_t        clock_room;
    uint32_t        eager;                      /* first steps in progress inside calls of spawn_now */
    saros_waiter   *next_step;                  /* tasks that wait for the host's next step */
    bool            step_held;                  /* … for which the loop counts as not done */
    bool            runs_itself;                /* no host steps it */
    saros_time      stepped;                    /* when the host's latest step began */
    uint64_t        steps;                      /* of the host's */
    saros_service  *service;                    /* NULL: nobody has needed it yet */
    saros_job      *jobs;                       /* that it has */
    saros_file     *files;                      /* that have a descriptor, or are to have one */
    saros_source   *signals;                    /* those that are open */
    size_t          cut;                        /* bytes that went out of the last write to a stream that failed */
    saros_world    *world;                      /* NULL: the system's */
    saros_guest     guest;                      /* an attached one's place on its loop */
    int             self, tables[SAROS_TABLES]; /* in the registry: the userdata; what it keeps alive */
    saros_slots     slots[SAROS_SLOTS];         /* of the tables that are arrays */
    bool            owned, running, closing, interrupted, stopped_by_script, deadlocked;
    bool            handled; /* handler.c: the script has set an exception handler */
    bool            watched; /* each step is timed, for what follows: */
    saros_manners   manners;
    saros_time      step_began; /* the one that runs */
    saros_time      report_after;
    saros_op        suspicion; /* deadlock.c: a timer, after which circles are looked for */
};

enum { SAROS_MOST_IDLE = 1024 }; /* coroutines kept for the next tasks: about 1 MB */

/* ---- runtime.c ------------------------------------------------------------------------------------------------ */

static inline saros_lua *saros_state(lua_State *L) { return lua_touserdata(L, lua_upvalueindex(1)); }
/* The task that runs just now, or NULL. */
static inline saros_task *saros_running_task(const saros_lua *lua) {
    return lua->current != NULL ? lua->current->task : NULL;
}
void       saros_state_make(lua_State *L);
saros_lua *saros_state_slow(lua_State *L); /* where there is no upvalue; NULL before the module was opened */
void       saros_push_meta(lua_State *L, enum saros_type type);
void       saros_make_weak(lua_State *L, const char *mode); /* the table on top: "k" or "v" */
void      *saros_new(lua_State *L, saros_lua *lua, enum saros_type type, size_t size, int values); /* zeroed */
void      *saros_test(lua_State *L, const saros_lua *lua, int index, enum saros_type type); /* NULL: something else */
void      *saros_check(lua_State *L, int arg, enum saros_type type);                        /* raises */
/* Makes a metatable: methods (with the state as upvalue), __name, hidden from getmetatable. */
void saros_type_make(lua_State *L, enum saros_type type, const char *name, const luaL_Reg *methods,
                     const luaL_Reg *meta);
/* More methods for a type that has some. */
void saros_type_extend(lua_State *L, enum saros_type type, const luaL_Reg *methods);
void saros_add(lua_State *L, const luaL_Reg *functions); /* into the table on top, with the state as upvalue */
/* One of rt's tables; an integer key into the registry is the cheapest look-up that Lua has. */
static inline void saros_push_table(lua_State *L, const saros_rt *rt, int which) {
    lua_rawgeti(L, LUA_REGISTRYINDEX, rt->tables[which]);
}
bool      saros_push_place(lua_State *L); /* the script's that runs, "x.lua:3"; "[C]" and false: none is known */
saros_rt *saros_loop_now(lua_State *L, const char *what); /* the loop that runs, or the attached one; raises */
/* Keeps the value on top (popped) alive under a key; drops it again. Dropping cannot raise. */
void saros_anchor(lua_State *L, saros_rt *rt, const void *key);
void saros_drop(saros_rt *rt, const void *key);
void saros_push_anchored(lua_State *L, saros_rt *rt, const void *key);
/* Calls f(L, p) so that no error passes; reports one under `what`. Restores the stack. */
bool       saros_protected(saros_rt *rt, lua_CFunction f, void *p, const char *what);
void       saros_complain(saros_rt *rt, const char *format, ...) SAROS_FORMAT(2, 3);
void       saros_close_failed(saros_rt *rt, lua_State *co, const char *what); /* tells the error on co's stack */
saros_time saros_seconds(lua_State *L, int arg); /* a duration: negative is 0, NaN raises, huge is SAROS_FOREVER */
saros_time saros_later(saros_loop *loop, saros_time duration); /* now + duration, without overflow */
int        saros_fail(lua_State *L, int code, const char *format, ...) SAROS_FORMAT(3, 4);
int        saros_option(lua_State *L, int arg, const char *name); /* pushes a field of the option table; its type */
void saros_check_options(lua_State *L, int arg, const char *const *names); /* a table (or none) of these keys only */
uint64_t    saros_seed_value(lua_State *L, int arg, const char *name, int index); /* an option's, at index; raises */
const char *saros_seed_parse(const char *text, uint64_t *seed); /* NULL, or what it should have been, and *seed stays */

/* ---- slots.c -------------------------------------------------------------------------------------------------- */

uint32_t saros_slot_keep(lua_State *L, saros_rt *rt, int which, int index); /* where the value is now; raises */
void     saros_slot_clear(saros_rt *rt, int which, uint32_t slot);
void     saros_slots_shrink(saros_rt *rt, int which); /* where nothing is kept: the memory of a crowd goes back */
void     saros_slot_push(lua_State *L, const saros_rt *rt, int which, uint32_t slot);

/* ---- loop.c --------------------------------------------------------------------------------------------------- */

saros_config saros_default_config(const saros_lua *lua); /* of the loops that scripts make */
/* Opens a loop as config says (NULL: the default), or takes the given one. Pushes it; raises. */
saros_rt *saros_rt_new(lua_State *L, saros_lua *lua, const saros_config *config, saros_loop *given);
void      saros_rt_close(lua_State *L, saros_rt *rt);
int       saros_rt_run(lua_State *L, saros_rt *rt, int nargs); /* function and nargs on top; status; results */
void      saros_rt_shutdown(lua_State *L, saros_rt *rt);       /* cancels, awaits, reports what is left */
void      saros_rt_interrupt(saros_rt *rt, const char *reason);

/* ---- report.c ------------------------------------------------------------------------------------------------- */

const char *saros_task_name(lua_State *L, saros_task *task, int index); /* pushes a string */
void        saros_task_report(saros_task *task);                        /* an error that nobody awaited */
void        saros_report_swallowing(lua_State *L, saros_task *task); /* a task that catches its cancellation for ever */
const char *saros_text_of(lua_State *L, int index); /* pushes it as tostring gives it; never raises but for memory */
/* Pushes "a (x.lua:3), b (x.lua:9)", where they were spawned; with waits also where they wait, without it only those that
 * nobody has cancelled. How many there are. */
size_t saros_describe_tasks(lua_State *L, saros_rt *rt, size_t most, bool waits);
int    saros_traceback(lua_State *L);          /* a message handler: keeps the traceback, returns the error as it is */
bool   saros_traced(lua_State *L, int index);  /* pushes the traceback kept for that error; false: none, nothing */
void   saros_untrace(lua_State *L, int index); /* the error at index goes no further */
void   saros_retrace(lua_State *L, int index); /* keeps the traceback on top (popped) for the error at index */

/* ---- handler.c ------------------------------------------------------------------------------------------------ */

/* Error and traceback (or nil) on top, popped: it is nobody's. message: what has failed. task: its userdata, or 0. */
void                  saros_unhandled(lua_State *L, saros_rt *rt, const char *message, int task);
void                  saros_handler_forget(lua_State *L, saros_rt *rt);
extern const luaL_Reg saros_handler_methods[];

/* ---- manners.c, slice.c, debug.c ------------------------------------------------------------------------------ */

saros_manners saros_manners_of_environment(void);
void          saros_manners_options(lua_State *L, int arg, saros_manners *manners); /* those that the table has */
void          saros_manners_apply(saros_rt *rt, const saros_manners *manners);
void          saros_slice_check(lua_State *L, const char *what); /* raises where somebody else has set a hook */
void          saros_slice(lua_State *L, lua_State *co);          /* a task's coroutine; L: who runs the loop */
void          saros_step_ended(saros_rt *rt, saros_task *task, int status);
void          saros_debug_call(lua_State *L, saros_rt *rt, int function, saros_time began); /* a callback was called */
void          saros_debug_opened(lua_State *L, saros_rt *rt);    /* the stream or listener on top, which stays */
void          saros_debug_collected(lua_State *L, saros_rt *rt); /* its finalizer runs: argument 1; cannot raise */
void          saros_debug_excuse(lua_State *L, saros_rt *rt);    /* nobody need close what is on top, which stays */
void          saros_debug_end(saros_rt *rt);                     /* the loop ends; cannot raise */

/* ---- dump.c, deadlock.c --------------------------------------------------------------------------------------- */

void saros_push_dump(lua_State *L, saros_rt *rt, size_t most); /* the tasks as a tree; at most so many of them */
void saros_dump_report(saros_rt *rt);                          /* the same to wherever messages go; from the loop */
void saros_push_deadlock(lua_State *L, saros_rt *rt);          /* what to say where nothing can wake anything */

/* ---- module.c -------------------------------------------------------------------------------------------------- */

/* Calls a part of the module that is written in Lua, or a function of it, with all that is on the stack; in tail position. */
int saros_call_part(lua_State *L, const char *part, const char *function);

/* ---- services/service.c ---------------------------------------------------------------------------------------- */

void saros_service_close(saros_rt *rt); /* its loop closes, and no task lives; waits for what cannot be ended */
void saros_files_close(saros_rt *rt);   /* of the above: closes all of them, and waits for that */
bool saros_file_is_open(const saros_file *file); /* NULL: no */

/* ---- services/signal.c ---------------------------------------------------------------------------------------- */

void saros_signals_close(saros_rt *rt);              /* its loop closes */
bool saros_signals_open(const saros_source *source); /* NULL: no */

/* ---- services/ready.c ------------------------------------------------------------------------------------------ */

void saros_borrowed_abandon(saros_borrowed *self); /* its loop closes, and no task lives: gives it back at once */
void saros_ready_forget(saros_task *task);         /* its op was told: it does not wait for a descriptor any more */

/* ---- time.c, error.c ------------------------------------------------------------------------------------------ */

void saros_stepping(saros_rt *rt);                              /* its host is about to step it */
void saros_steps_forget(saros_rt *rt);                          /* fewer wait for its next step than before */
void saros_call_soon(lua_State *L, saros_rt *rt, int nargs);    /* function and arguments on top become a handle */
void saros_calls_cancel(saros_rt *rt);                          /* its loop closes: none of them runs any more */
int  saros_raise(lua_State *L, int code, const char *message);  /* an error object; does not return */
int  saros_raise_returned(lua_State *L, int message, int code); /* the same of a returned message and code */
int  saros_raise_was_cancelled(lua_State *L, const char *what); /* the same; on top is the reason, or nil */
void saros_push_error(lua_State *L, int message, int code);     /* an error object of a message and a code's name */
bool saros_is_error(lua_State *L, int index);                   /* such an object? */

/* ---- each file's part of the module --------------------------------------------------------------------------- */

void saros_open_loop(lua_State *L);
void saros_open_drivers(lua_State *L);
void saros_open_dump(lua_State *L);
void saros_open_outside(lua_State *L);
void saros_open_debug(lua_State *L);
void saros_open_spawn(lua_State *L);
void saros_open_task(lua_State *L);
void saros_open_await(lua_State *L);
void saros_open_scope(lua_State *L);
void saros_open_timeout(lua_State *L);
void saros_open_gather(lua_State *L);
void saros_open_group(lua_State *L);
void saros_open_several(lua_State *L);
void saros_open_race(lua_State *L);
void saros_open_time(lua_State *L);
void saros_open_every(lua_State *L);
void saros_open_clock(lua_State *L);
void saros_open_locals(lua_State *L);
void saros_open_queue(lua_State *L);
void saros_open_sync(lua_State *L);
void saros_open_error(lua_State *L);
void saros_open_net(lua_State *L);
void saros_open_udp(lua_State *L);
void saros_open_buffer(lua_State *L);
void saros_open_copy(lua_State *L);
void saros_open_names(lua_State *L);
void saros_open_ready(lua_State *L);
void saros_open_files(lua_State *L);
void saros_open_fs(lua_State *L);
void saros_open_signal(lua_State *L);
void saros_open_process(lua_State *L);
void saros_open_tls(lua_State *L);
void saros_push_stdio(lua_State *L, int fd); /* the loop's stream on 0, 1 or 2; raises */
void saros_open_install(lua_State *L);
void saros_open_tunnel(lua_State *L);
void saros_open_coroutine(lua_State *L);
void saros_open_generator(lua_State *L);
void saros_open_threads(lua_State *L);
void saros_coroutine_install(lua_State *L);       /* saros.coroutine's functions, into the table on top */
int  saros_debug_traceback(lua_State *L);         /* debug.traceback, which finds what dead coroutines have kept */
int  saros_require(lua_State *L);                 /* upvalues: the state, Lua's table `package` */
void saros_require_install(lua_State *L);         /* into the table of globals on top */
void saros_install(lua_State *L, saros_lua *lua); /* task-aware pcall, xpcall, coroutine, require */
int  saros_handler(lua_State *L);                 /* what stands for the message handler of that xpcall */
/* A field of the table on top becomes a function of ours, which has Lua's own as its second upvalue, … */
void saros_wrap(lua_State *L, const char *field, lua_CFunction f, saros_lua *lua);
int  saros_call_own(lua_State *L); /* … and calls that with its own arguments */

#endif
