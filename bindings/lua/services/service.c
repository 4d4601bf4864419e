/* service.c: the thread on which libuv works for a loop.
 *
 * It is started with the first job, and joined when the loop closes. Jobs go there through a list under a lock, and a bell
 * (uv_async_t); they come back through saros_post, like all that comes from outside. A job that waits is a userdata that
 * the loop anchors until it is told: so libuv writes into memory that stays, whoever has lost interest meanwhile.
 *
 * Owns the thread, its uv_loop, and which jobs are out. Promises: each job is told once; a task that is cancelled goes on
 * at once, and the work behind it is ended where libuv can; closing waits for the rest, for there is no way to end it.
 * What signals the process has are none of this thread's. */
#include <stdio.h>
#include <string.h>

#include "bindings/lua/services/service.h"

struct saros_service {
    saros_libuv uv;
    uv_loop_t   loop;
    uv_async_t  bell;
    uv_thread_t thread;
    uv_mutex_t  lock;
    saros_job  *first, *last; /* under the lock: what has come and was not seen */
    bool        closing;      /* under the lock */
    uint64_t    counted_at;   /* saros_service_count */
    unsigned    counted;
    void (*at_end)(saros_service *service); /* the service's thread */
    bool simulated;                         /* there is no thread, and nothing of what is above but the library */
};

const saros_libuv *saros_service_uv(const saros_service *service) { return &service->uv; }

uv_loop_t *saros_service_loop(saros_service *service) { return &service->loop; }

bool saros_service_is_simulated(const saros_service *service) { return service->simulated; }

/* ---- the service's thread ------------------------------------------------------------------------------------- */

void saros_service_at_end(saros_service *service, void (*end)(saros_service *service)) { service->at_end = end; }

void saros_job_done(saros_job *job, int error) {
    job->done = true;
    if (job->rt->world != NULL) job->op.result = error;
    else saros_post(job->rt->loop, &job->op, error); /* the loop waits for us before it closes: so it is there */
}

unsigned saros_service_count(saros_service *service, uint64_t when) {
    if (service->counted_at != when) service->counted = 0;
    service->counted_at = when;
    return ++service->counted;
}

/* The next one of the list; NULL, it is empty. One that was begun already is there to be stopped, which is done under
 * the lock: without it the loop could be told of its end meanwhile, and let it go. */
static saros_job *take(saros_service *service, bool *given_up) {
    saros_job *job = service->first;
    while (job != NULL) {
        service->first = job->queued;
        job->queued = NULL;
        if (!job->begun) break;
        if (!job->done && job->stop != NULL) job->stop(service, job);
        job = service->first;
    }
    if (service->first == NULL) service->last = NULL;
    *given_up = job != NULL && job->given_up;
    return job;
}

static void on_bell(uv_async_t *bell) {
    saros_service *service = bell->data;
    saros_job     *job;
    bool           closing;
    do {
        bool given_up;
        service->uv.mutex_lock(&service->lock);
        job = take(service, &given_up);
        closing = service->closing;
        service->uv.mutex_unlock(&service->lock);
        if (job == NULL) continue;
        job->begun = true;
        int error = given_up && !job->must ? SAROS_ECANCELED : job->begin(service, job);
        if (error < 0) saros_job_done(job, error);
    } while (job != NULL);
    uv_handle_t *handle = (uv_handle_t *)(void *)bell;
    if (!closing || service->uv.is_closing(handle)) return;
    service->uv.close(handle, NULL);
    if (service->at_end != NULL) service->at_end(service);
}

static void run(void *p) {
    saros_service *service = p;
    service->uv.run(&service->loop, UV_RUN_DEFAULT); /* until the bell is closed, and all that was begun is done */
}

/* ---- the loop's thread: starting and ending ------------------------------------------------------------------- */

static int begin_thread(saros_service *service, char *why, size_t size) {
    saros_libuv *uv = &service->uv;
    int          error = saros_libuv_open(uv, why, size);
    if (error < 0 || service->simulated) return error;
    snprintf(why, size, "libuv's thread cannot be started");
    if ((error = uv->loop_init(&service->loop)) < 0) goto no_loop;
    service->loop.data = service;
    if ((error = uv->mutex_init(&service->lock)) < 0) goto no_lock;
    if ((error = uv->async_init(&service->loop, &service->bell, on_bell)) < 0) goto no_bell;
    service->bell.data = service;
    if ((error = saros_libuv_thread(uv, &service->thread, run, service)) == 0) return 0;
    uv->close((uv_handle_t *)(void *)&service->bell, NULL);
    uv->run(&service->loop, UV_RUN_DEFAULT);
no_bell:
    uv->mutex_destroy(&service->lock);
no_lock:
    uv->loop_close(&service->loop);
no_loop:
    saros_libuv_close(uv);
    return saros_error_from_uv(error);
}

/* The loop's service, begun if need be; NULL with *error and the reason. */
static saros_service *find(saros_rt *rt, int *error, char *why, size_t size) {
    if (rt->service != NULL) return rt->service;
    saros_service *service = saros_realloc(rt->loop, NULL, 0, sizeof *service);
    snprintf(why, size, "not enough memory");
    *error = SAROS_ENOMEM;
    if (service == NULL) return NULL;
    memset(service, 0, sizeof *service);
    service->simulated = rt->world != NULL;
    *error = begin_thread(service, why, size);
    if (*error < 0) {
        saros_realloc(rt->loop, service, sizeof *service, 0);
        return NULL;
    }
    return rt->service = service;
}

static void unlink_job(saros_job *job) {
    if (job->prev != NULL) job->prev->next = job->next;
    else job->rt->jobs = job->next;
    if (job->next != NULL) job->next->prev = job->prev;
    job->next = job->prev = NULL;
}

void saros_job_hold(saros_job *job) {
    if (job->rt == NULL || job->held) return;
    saros_hold(job->rt->loop);
    job->held = true;
}

void saros_job_leave(saros_job *job) {
    if (job->held) saros_release(job->rt->loop);
    job->held = false;
}

/* Nothing can raise here: the loop may be closing. */
static void let_go(saros_job *job) {
    saros_rt *rt = job->rt;
    unlink_job(job);
    saros_job_leave(job);
    job->rt = NULL;
    saros_drop(rt, job);
}

static void end_thread(saros_service *service, saros_rt *rt) {
    for (saros_job *job = rt->jobs; job != NULL; job = job->next) saros_job_give_up(job);
    service->uv.mutex_lock(&service->lock);
    service->closing = true;
    service->uv.mutex_unlock(&service->lock);
    service->uv.async_send(&service->bell);
    service->uv.thread_join(&service->thread);
    while (rt->jobs != NULL) {
        saros_job *job = rt->jobs;
        saros_abandon(rt->loop, &job->op); /* posted, all of them */
        if (job->told != NULL) job->told(job);
        let_go(job);
    }
    service->uv.loop_close(&service->loop);
    service->uv.mutex_destroy(&service->lock);
}

void saros_service_close(saros_rt *rt) {
    saros_service *service = rt->service;
    if (service == NULL) return;
    if (!service->simulated) end_thread(service, rt);
    saros_files_close(rt);
    saros_libuv_close(&service->uv);
    saros_realloc(rt->loop, service, sizeof *service, 0);
    rt->service = NULL;
}

/* ---- the loop's thread: jobs ----------------------------------------------------------------------------------- */

/* Where it is in the list already it is left there. */
static void queue(saros_service *service, saros_job *job, bool given_up) {
    service->uv.mutex_lock(&service->lock);
    job->given_up = given_up;
    if (job->queued == NULL && service->last != job) {
        if (service->last != NULL) service->last->queued = job;
        else service->first = job;
        service->last = job;
    }
    service->uv.mutex_unlock(&service->lock);
    service->uv.async_send(&service->bell);
}

/* It may have been given up in the moment in which it was done. */
static void unqueue(saros_service *service, const saros_job *job) {
    saros_job *before = NULL;
    service->uv.mutex_lock(&service->lock);
    for (saros_job *at = service->first; at != NULL; before = at, at = at->queued) {
        if (at != job) continue;
        if (before != NULL) before->queued = job->queued;
        else service->first = job->queued;
        if (service->last == job) service->last = before;
        break;
    }
    service->uv.mutex_unlock(&service->lock);
}

static void told(saros_loop *loop, saros_op *op, int64_t result) {
    saros_job *job = (saros_job *)(void *)op;
    (void)result;
    if (job->given_up) unqueue(job->rt->service, job);
    if (job->told != NULL && job->told(job)) {
        job->begun = job->done = false;
        saros_expect(loop, op);
        queue(job->rt->service, job, false);
        return;
    }
    saros_wake_all(&job->waiters, 0);
    let_go(job);
}

void saros_job_give_up(saros_job *job) {
    if (job->rt == NULL || job->given_up) return;
    queue(job->rt->service, job, true);
    saros_job_leave(job); /* the loop may end: its closing waits */
}

static void begin_at_once(saros_service *service, saros_rt *rt, saros_job *job) {
    job->rt = rt;
    do {
        int error = job->begin(service, job);
        if (error < 0) job->op.result = error;
    } while (job->told != NULL && job->told(job));
    job->rt = NULL;
}

int saros_job_start(lua_State *L, saros_rt *rt, int at, char *why, size_t size) {
    saros_job *job = lua_touserdata(L, at);
    int        error = SAROS_ENOSYS;
    snprintf(why, size, "a simulated world has none");
    saros_service *service = rt->world == NULL || job->simulated ? find(rt, &error, why, size) : NULL;
    if (service == NULL) return error;
    job->begun = job->done = false;
    if (service->simulated) {
        begin_at_once(service, rt, job);
        return 0;
    }
    lua_pushvalue(L, at);
    saros_anchor(L, rt, job);
    job->rt = rt;
    job->op.done = told;
    job->next = rt->jobs;
    if (rt->jobs != NULL) rt->jobs->prev = job;
    rt->jobs = job;
    saros_expect(rt->loop, &job->op);
    queue(service, job, false);
    return 0;
}

int saros_job_wait(lua_State *L, saros_task *task, saros_job *job, lua_KContext ctx, lua_KFunction k) {
    saros_job_hold(job);
    saros_wait_on(task, &job->waiters);
    return saros_suspend(L, task, ctx, k);
}

int saros_job_await(lua_State *L, saros_task *task, int at, const char *what, lua_KFunction k) {
    char       why[256];
    saros_job *job = lua_touserdata(L, at);
    int        error = saros_job_start(L, task->rt, at, why, sizeof why);
    if (error < 0) return saros_fail(L, error, "%s: %s", what, why);
    if (saros_job_is_out(job)) return saros_job_wait(L, task, job, 0, k);
    task->op.result = 0;
    return saros_answer(L, task, k(L, LUA_OK, 0));
}

int saros_job_resumed(lua_State *L, int at) {
    saros_job  *job = lua_touserdata(L, at);
    saros_task *task = saros_resumed_raw(L);
    int64_t     result;
    saros_wait_unlink(&task->wait);
    if (job->rt == NULL) return (int)job->op.result; /* told: a cancel that came too late takes nothing away */
    saros_job_give_up(job);
    saros_resumed(L, &result); /* raises */
    return (int)result;
}

// clang-format off
/* Where the system has no numbers for them libuv has its own. */
#define SAME_ERRORS(X)                                                                                            \
    X(E2BIG) X(EACCES) X(EADDRINUSE) X(EADDRNOTAVAIL) X(EAFNOSUPPORT) X(EAGAIN) X(EBADF) X(EBUSY) X(ECONNABORTED)   \
    X(ECONNREFUSED) X(ECONNRESET) X(EDESTADDRREQ) X(EEXIST) X(EFAULT) X(EFBIG) X(EHOSTUNREACH) X(EINTR) X(EINVAL)  \
    X(EIO) X(EISCONN) X(EISDIR) X(ELOOP) X(EMFILE) X(EMSGSIZE) X(ENAMETOOLONG) X(ENETDOWN) X(ENETUNREACH)          \
    X(ENFILE) X(ENOBUFS) X(ENODEV) X(ENOENT) X(ENOMEM) X(ENOSPC) X(ENOSYS) X(ENOTCONN) X(ENOTDIR) X(ENOTEMPTY)     \
    X(ENOTSOCK) X(ENXIO) X(EPERM) X(EPIPE) X(EPROTO) X(EPROTONOSUPPORT) X(EROFS) X(ESHUTDOWN) X(ESPIPE) X(ESRCH)   \
    X(ETIMEDOUT) X(EXDEV)
// clang-format on

int saros_error_from_uv(int error) {
    switch (error) {
    case 0: return 0;
    case UV_EAI_ADDRFAMILY:
    case UV_EAI_NODATA:
    case UV_EAI_NONAME:
    case UV_EAI_SERVICE: return SAROS_ENAME;
    case UV_EAI_AGAIN: return SAROS_EAGAIN;
    case UV_EAI_CANCELED:
    case UV_ECANCELED: return SAROS_ECANCELED;
    case UV_EAI_MEMORY: return SAROS_ENOMEM;
    case UV_EAI_FAMILY: return SAROS_EAFNOSUPPORT;
    case UV_EAI_BADFLAGS:
    case UV_EAI_BADHINTS:
    case UV_EAI_SOCKTYPE: return SAROS_EINVAL;
    case UV_EAI_FAIL:
    case UV_EAI_OVERFLOW:
    case UV_EAI_PROTOCOL: return SAROS_EIO;
    case UV_EOF: return SAROS_EEOF;
    case UV_UNKNOWN: return SAROS_EUNKNOWN;
    case UV_ENOTSUP: return SAROS_EOPNOTSUPP;
#define SAME(name) \
    case UV_##name: return SAROS_##name;
        SAME_ERRORS(SAME)
#undef SAME
    default: return saros_error_from_os(-error); /* libuv negates the system's own numbers */
    }
}
