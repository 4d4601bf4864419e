/* service.h: what libuv does for the tasks of a loop, on a thread of its own that takes jobs and answers through
 * saros_post: names, files, and whatever else no driver can wait for. So it is the same on every driver. */
#ifndef SAROS_LUA_SERVICE_H
#define SAROS_LUA_SERVICE_H

#include "bindings/lua/services/service_libuv.h"
#include "bindings/lua/tasks/task.h"

/* What every job begins with: a userdata, which the loop keeps alive while the service has it. */
struct saros_job {
    saros_op          op;          /* posted when it is done; result: 0 or an error */
    saros_rt         *rt;          /* whose it is, until it is told */
    saros_waiter     *waiters;     /* the task that waits, if it still does */
    struct saros_job *next, *prev; /* the loop's jobs that are not told yet */
    bool              held;        /* the loop waits for it */
    struct saros_job *queued;      /* under the service's lock: what has come after it and was not seen yet */
    bool              given_up;    /* under the lock: nobody waits for it any more */
    bool              begun, done; /* the service's thread */
    /* On the service's thread: begins the work. 0: saros_job_done will be called; else the error, and it will not. */
    int (*begin)(saros_service *service, struct saros_job *job);
    /* On the service's thread, once it has begun and is not done: ends it early if that is possible; saros_job_done is
     * called all the same. Must not call it itself. */
    void (*stop)(saros_service *service, struct saros_job *job);
    /* On the loop's thread, where it is told, before its waiters are: may be NULL. True: there is more to be done, and it
     * is given to the service again, with those who wait for it. That is not asked of it where the loop closes. */
    bool (*told)(struct saros_job *job);
    bool must;      /* it is begun even where it was given up before that */
    bool simulated; /* in a simulated world too: there it begins, and ends, on the loop's thread and at once */
};

/* On the service's thread: what is called there when the service is to end, for handles that are no job's. */
void saros_service_at_end(saros_service *service, void (*end)(saros_service *service));

/* ---- the simple way: a job that one task begins, and waits for ------------------------------------------------- */

/* Gives the job at stack index `at` (filled: begin, stop) to the service of the task's loop, and suspends the task; in k
 * saros_job_resumed. Starts the service where there is none yet. The last thing that an awaiting function does; raises
 * where the service cannot be had for lack of memory; where there is no libuv, or no such thing in a simulated world, it
 * returns nil, message, "ENOSYS". */
int saros_job_await(lua_State *L, saros_task *task, int at, const char *what, lua_KFunction k);
/* First in a continuation; raises where the task was cancelled before the job was told. What came of it: 0 or an error. */
int saros_job_resumed(lua_State *L, int at);

/* The loop's thread: nobody waits for it any more, nor need the loop. No effect on one that was told. */
void saros_job_give_up(saros_job *job);

/* ---- the other way: a job that is begun now, and perhaps waited for later -------------------------------------- */

/* As saros_job_await, but nobody waits yet, nor does the loop. The job is filled as there; one that has ended may be
 * started again. 0; or SAROS_ENOSYS, or another error, with the reason in why[0..size). Raises for lack of memory. */
int saros_job_start(lua_State *L, saros_rt *rt, int at, char *why, size_t size);
/* Has it begun, and was not told? In a simulated world it never is. */
static inline bool saros_job_is_out(const saros_job *job) { return job->rt != NULL; }
/* Suspends the task until the job that is out was told; the loop waits for it too. The last thing that an awaiting
 * function does. In k saros_resumed_raw; a task that was cancelled calls saros_job_leave, or saros_job_give_up. */
int  saros_job_wait(lua_State *L, saros_task *task, saros_job *job, lua_KContext ctx, lua_KFunction k);
void saros_job_hold(saros_job *job);  /* the loop waits for it, if it is out */
void saros_job_leave(saros_job *job); /* it goes on, but the loop need not wait for it */

/* On the service's thread. */
const saros_libuv *saros_service_uv(const saros_service *service);
uv_loop_t         *saros_service_loop(saros_service *service);
void               saros_job_done(saros_job *job, int error);
bool               saros_service_is_simulated(const saros_service *service);   /* then there is no loop of libuv's */
unsigned           saros_service_count(saros_service *service, uint64_t when); /* calls so far with this `when` */
int                saros_error_from_uv(int error); /* a number of libuv's, or of the name service */

#endif
