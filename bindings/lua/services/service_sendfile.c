/* service_sendfile.c: pieces of files that are sent, on the threads of libuv's pool, because a disk cannot be waited for.
 *
 * A piece is done with descriptors of its own, which it closes: so the file and the stream may be closed at any time, and no
 * number is used that may be somebody else's by then. Promises: a piece ends by itself, for the stream's end never blocks;
 * none is begun that nobody waits for any more; as long as one is under way the stream is nobody else's to write to. */
#include "bindings/lua/services/sendfile.h"

static saros_sending *of(saros_job *job) { return (saros_sending *)(void *)job; }

static void close_twins(saros_sending *self) {
    if (self->from >= 0) saros_twin_close(self->from);
    if (self->to >= 0) saros_twin_close(self->to);
    self->from = self->to = -1;
}

/* ---- other threads ---------------------------------------------------------------------------------------------- */

static void work(uv_work_t *request) {
    saros_sending *self = request->data;
    saros_send_piece(self);
    close_twins(self); /* here, as the last close of a socket may take its time */
}

static void after_work(uv_work_t *request, int status) {
    saros_sending *self = request->data;
    saros_job_done(&self->fs.job, status < 0 ? SAROS_ECANCELED : 0);
}

static int begin(saros_service *service, saros_job *job) {
    saros_sending *self = of(job);
    if (self->reads) return self->read(service, job);
    const saros_libuv *uv = saros_service_uv(service);
    self->work.data = self;
    return saros_error_from_uv(uv->queue_work(saros_service_loop(service), &self->work, work, after_work));
}

static void stop(saros_service *service, saros_job *job) {
    saros_sending *self = of(job);
    if (self->reads) self->stop_reading(service, job);
    else saros_service_uv(service)->cancel((uv_req_t *)(void *)&self->work); /* too late: it ends by itself */
}

static int call(const saros_libuv *uv, uv_loop_t *loop, saros_fs_job *fs, uv_fs_cb cb) {
    saros_sending *self = of(&fs->job);
    uv_buf_t       buffer = uv->buf_init(self->block, (unsigned)self->asked);
    return uv->fs_read(loop, &fs->request, self->from, &buffer, 1, self->at, cb);
}

static bool after(const saros_libuv *uv, saros_fs_job *fs, ssize_t result) {
    saros_sending *self = of(&fs->job);
    (void)uv;
    if (result < 0) self->error = saros_error_from_uv((int)result);
    else self->got = (int64_t)result;
    return false;
}

/* ---- the loop's thread ------------------------------------------------------------------------------------------- */

static bool told(saros_job *job) {
    saros_sending *self = of(job);
    close_twins(self);
    if (job->op.result < 0) self->error = (int)job->op.result;
    if (!self->reads) saros_stream_lent_back(self->stream);
    return false;
}

void saros_sending_prepare(saros_sending *self) {
    saros_fs_prepare(&self->fs);
    self->read = self->fs.job.begin;
    self->stop_reading = self->fs.job.stop;
    self->fs.call = call;
    self->fs.after = after;
    self->fs.job.begin = begin;
    self->fs.job.stop = stop;
    self->fs.job.told = told;
    self->from = self->to = -1;
}

int saros_sending_begin(lua_State *L, int at) {
    saros_sending *self = lua_touserdata(L, at);
    char           why[256];
    int            error;
    self->got = 0;
    self->error = 0;
    self->from = saros_twin(self->file->fd);
    if (self->from < 0) return self->from;
    self->to = self->reads ? -1 : saros_twin((int)self->stream->handle.os);
    if (!self->reads && self->to < 0) {
        error = self->to;
        close_twins(self);
        return error;
    }
    if (!self->reads) self->stream->window.copies |= SAROS_LENT_OUT;
    error = saros_job_start(L, self->stream->rt, at, why, sizeof why);
    if (error < 0) {
        close_twins(self);
        self->stream->window.copies &= (uint8_t)~SAROS_LENT_OUT;
    } else if (!saros_job_is_out(&self->fs.job)) {
        if (self->fs.job.op.result < 0) self->error = (int)self->fs.job.op.result;
    }
    return error;
}
