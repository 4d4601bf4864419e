/* service_fs.c: runs a job's calls of libuv about files, one after the other.
 *
 * Libuv gives them to its pool of threads (UV_THREADPOOL_SIZE, 4), which the whole process shares; it lets slow lookups of
 * names have half of them at most. Promises: a call that was not begun is not made any more once nobody waits for it. */
#include <sys/stat.h>

#include "bindings/lua/services/service_fs.h"

/* One call has ended. True: there is no more to be done. */
static bool took(const saros_libuv *uv, saros_fs_job *self) {
    ssize_t result = self->request.result;
    bool    more = self->after(uv, self, result);
    uv->fs_req_cleanup(&self->request);
    return !more;
}

static void on_done(uv_fs_t *request) {
    saros_fs_job      *self = request->data;
    uv_loop_t         *loop = request->loop;
    const saros_libuv *uv = saros_service_uv(loop->data);
    int                error = 0;
    bool               ended = took(uv, self);
    if (!ended) {
        self->request.data = self;
        error = self->call(uv, loop, self, on_done);
    }
    if (error < 0) self->error = saros_error_from_uv(error);
    if (ended || error < 0) saros_job_done(&self->job, self->error);
}

static int begin(saros_service *service, saros_job *job) {
    saros_fs_job      *self = (saros_fs_job *)(void *)job;
    const saros_libuv *uv = saros_service_uv(service);
    self->error = 0;
    self->stopped = false;
    self->request.data = self;
    if (!saros_service_is_simulated(service))
        return saros_error_from_uv(self->call(uv, saros_service_loop(service), self, on_done));
    do self->call(uv, NULL, self, NULL);
    while (!took(uv, self));
    saros_job_done(job, self->error);
    return 0;
}

static void stop(saros_service *service, saros_job *job) {
    saros_fs_job *self = (saros_fs_job *)(void *)job;
    self->stopped = true;
    if (!job->must)
        saros_service_uv(service)->cancel((uv_req_t *)(void *)&self->request); /* too late: it ends by itself */
}

void saros_fs_prepare(saros_fs_job *self) {
    self->job.begin = begin;
    self->job.stop = stop;
    self->job.simulated = true;
}

const char *saros_fs_kind(unsigned mode) {
    switch (mode & S_IFMT) {
    case S_IFREG: return "file";
    case S_IFDIR: return "directory";
    case S_IFCHR: return "char";
#ifdef S_IFLNK
    case S_IFLNK: return "link";
#endif
#ifdef S_IFSOCK
    case S_IFSOCK: return "socket";
#endif
#ifdef S_IFBLK
    case S_IFBLK: return "block";
#endif
    case S_IFIFO: return "fifo";
    default: return "unknown";
    }
}
