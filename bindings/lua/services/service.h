/* service.h: what libuv does for the tasks of a loop, on a thread of its own that takes jobs and answers through
 * saros_post: names, and whatever else no driver can wait for. So it is the same on every driver. */
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
    /* On the loop's thread, once the service has let go of it for good, begun or not; NULL: nothing. op.result has what
     * came of it. Must not raise. */
    void (*ended)(struct saros_job *job);
};

/* Gives the job at stack index `at` (filled: begin, stop) to the service of that loop. 0; or the error, with the reason in
 * why[0..size), and then it is not out. Starts the service where there is none yet. Raises for lack of memory alone. */
int saros_job_start(lua_State *L, saros_rt *rt, int at, char *why, size_t size);
/* The same, and suspends the task until it is told; in k
 * saros_job_resumed. The last thing that an awaiting function does; where there is no libuv it returns nil, message,
 * "ENOSYS". */
int saros_job_await(lua_State *L, saros_task *task, int at, const char *what, lua_KFunction k);
/* First in a continuation; raises where the task was cancelled. What came of the job: 0 or an error. */
int saros_job_resumed(lua_State *L, int at);

/* The loop's thread: nobody waits for it any more, nor need the loop. No effect on one that was told. */
void saros_job_give_up(saros_job *job);

/* On the service's thread. */
const saros_libuv *saros_service_uv(const saros_service *service);
uv_loop_t         *saros_service_loop(saros_service *service);
void               saros_job_done(saros_job *job, int error);
int                saros_error_from_uv(int error); /* a number of libuv's, or of the name service */

#endif
