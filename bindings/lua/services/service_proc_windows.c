/* service_proc_windows.c: child processes on Windows, by libuv's uv_spawn.
 *
 * What speaks against that on POSIX is not here: there is no SIGCHLD, and nobody else can take a child's status. What is wrong
 * with Windows: a pipe is none of what a driver can wait for, as sockets are, and few programs take a socket for a pipe. So
 * a child gets true pipes, and what passes between such a pipe and a stream is passed on here: libuv reads from the one and
 * writes to the other, a block at a time. And a handle that one child is to inherit is inherited by any that another thread
 * begins meanwhile: so ours begin one after the other. (Handles that others have made so, as Lua's io.open does, they get.)
 *
 * Owns the process until it has ended, and the two ends between which bytes are passed on until one of them ends; that may
 * be later, as children of the child have its pipes. A loop that closes ends all of it. Promises: what the child has
 * written when it ends still arrives; who does not read holds up the child, after what pipes, sockets and a block hold. */
#include <errno.h>
#include <fcntl.h>
#include <io.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "bindings/lua/services/service_proc.h"

enum { BLOCK = 16 * 1024 };

static int failed(void) { return errno == EMFILE ? SAROS_EMFILE : errno == EBADF ? SAROS_EBADF : SAROS_EIO; }

/* ---- passing on ------------------------------------------------------------------------------------------------- */

typedef struct passage {
    uv_pipe_t    inner;
    uv_tcp_t     outer;
    uv_stream_t *from, *to;
    uv_write_t   request;
    int          open;
    char         block[BLOCK];
    char         nothing[1]; /* of the way back: nobody writes there, but its end is told */
} passage;

static void closed(uv_handle_t *handle) {
    passage *self = handle->data;
    if (--self->open == 0) free(self);
}

static void end(passage *self) {
    uv_handle_t *both[] = {(uv_handle_t *)(void *)&self->inner, (uv_handle_t *)(void *)&self->outer};
    for (int i = 0; i < 2; i++)
        if (!uv_is_closing(both[i])) uv_close(both[i], closed);
}

static void lend_block(uv_handle_t *handle, size_t size, uv_buf_t *buffer) {
    passage *self = handle->data;
    (void)size;
    *buffer = uv_buf_init(self->block, BLOCK);
}

static void lend_nothing(uv_handle_t *handle, size_t size, uv_buf_t *buffer) {
    passage *self = handle->data;
    (void)size;
    *buffer = uv_buf_init(self->nothing, 1);
}

static void on_read(uv_stream_t *from, ssize_t size, const uv_buf_t *buffer);

static void on_written(uv_write_t *request, int status) {
    passage *self = request->data;
    if (uv_is_closing((uv_handle_t *)(void *)self->from)) return;
    if (status < 0 || uv_read_start(self->from, lend_block, on_read) < 0) end(self);
}

static void on_read(uv_stream_t *from, ssize_t size, const uv_buf_t *buffer) {
    passage *self = from->data;
    if (size == 0) return;
    uv_read_stop(from);
    uv_buf_t all = uv_buf_init(buffer->base, size > 0 ? (unsigned)size : 0);
    if (size < 0 || uv_write(&self->request, self->to, &all, 1, on_written) < 0) end(self);
}

static void on_way_back(uv_stream_t *to, ssize_t size, const uv_buf_t *buffer) {
    (void)buffer;
    if (size < 0) end(to->data);
}

static void end_if_passage(uv_handle_t *handle, void *nothing) {
    (void)nothing;
    if (handle->type == UV_NAMED_PIPE && !uv_is_closing(handle)) end(handle->data); /* nobody else has any here */
}

static void end_all(saros_service *service) { uv_walk(saros_service_loop(service), end_if_passage, NULL); }

/* Takes both ends, also where it fails. */
static int pass_on(saros_service *service, int inner, saros_os_handle outer, bool to_child) {
    uv_loop_t *loop = saros_service_loop(service);
    passage   *self = calloc(1, sizeof *self);
    if (self == NULL) {
        _close(inner);
        saros_proc_drop(outer);
        return SAROS_ENOMEM;
    }
    saros_service_at_end(service, end_all);
    uv_pipe_init(loop, &self->inner, 0);
    uv_tcp_init(loop, &self->outer);
    self->inner.data = self->outer.data = self->request.data = self;
    self->open = 2;
    int error = uv_pipe_open(&self->inner, inner);
    if (error < 0) _close(inner);
    int other = uv_tcp_open(&self->outer, (uv_os_sock_t)outer);
    if (other < 0) saros_proc_drop(outer);
    if (error == 0) error = other;
    uv_stream_t *child = (uv_stream_t *)(void *)&self->inner, *stream = (uv_stream_t *)(void *)&self->outer;
    self->from = to_child ? stream : child;
    self->to = to_child ? child : stream;
    if (error == 0) error = uv_read_start(self->from, lend_block, on_read);
    if (error == 0 && !to_child) error = uv_read_start(stream, lend_nothing, on_way_back);
    if (error < 0) end(self);
    return saros_error_from_uv(error);
}

/* ---- descriptors ------------------------------------------------------------------------------------------------ */

int saros_proc_copy(int fd) {
    int copy = _dup(fd);
    return copy >= 0 ? copy : failed();
}

int saros_proc_null(void) {
    int fd = _open("NUL", _O_RDWR | _O_NOINHERIT | _O_BINARY);
    return fd >= 0 ? fd : failed();
}

/* Programs read and write their standard descriptors by calls that such a socket refuses. */
int saros_proc_copy_stream(saros_os_handle os) {
    (void)os;
    return SAROS_EOPNOTSUPP;
}

void saros_proc_drop(saros_os_handle ours) { closesocket((SOCKET)ours); }

int saros_proc_pipe(saros_proc *child, int at, saros_os_handle *ours) {
    uv_file      ends[2];
    uv_os_sock_t sockets[2];
    int          error = uv_pipe(ends, at == 0 ? 0 : UV_NONBLOCK_PIPE, at == 0 ? UV_NONBLOCK_PIPE : 0);
    if (error < 0) return saros_error_from_uv(error);
    error = uv_socketpair(SOCK_STREAM, 0, sockets, UV_NONBLOCK_PIPE, UV_NONBLOCK_PIPE);
    if (error < 0) {
        _close(ends[0]);
        _close(ends[1]);
        return saros_error_from_uv(error);
    }
    child->stdio[at] = ends[at != 0];
    child->inner[at] = ends[at == 0];
    child->outer[at] = (saros_os_handle)sockets[1];
    *ours = (saros_os_handle)sockets[0];
    return 0;
}

static void close_stdio(saros_proc *child) {
    for (int i = 0; i < 3; i++) {
        if (child->stdio[i] >= 0) _close(child->stdio[i]);
        if (child->inner[i] >= 0) _close(child->inner[i]);
        if (child->outer[i] != SAROS_NO_HANDLE) saros_proc_drop(child->outer[i]);
        child->stdio[i] = SAROS_INHERITED;
        child->inner[i] = -1;
        child->outer[i] = SAROS_NO_HANDLE;
    }
}

bool saros_proc_init(saros_proc *child) {
    *child = (saros_proc){.stdio = {SAROS_INHERITED, SAROS_INHERITED, SAROS_INHERITED},
                          .inner = {-1, -1, -1},
                          .outer = {SAROS_NO_HANDLE, SAROS_NO_HANDLE, SAROS_NO_HANDLE}};
    return saros_mutex_init(&child->lock);
}

void saros_proc_free(saros_proc *child) {
    close_stdio(child);
    saros_mutex_destroy(&child->lock);
}

/* ---- beginning, signals, the end -------------------------------------------------------------------------------- */

static void gone(uv_handle_t *handle) {
    saros_proc *child = handle->data;
    child->ended(child, child->reaped ? 0 : child->number);
}

/* Libuv's own note of who was killed is made after the deed, and may come too late. */
static void on_exit(uv_process_t *process, int64_t status, int number) {
    saros_proc *child = process->data;
    (void)number;
    saros_mutex_lock(&child->lock);
    child->how = child->killed > 0 ? "signal" : "exit";
    child->number = child->killed > 0 ? child->killed : (int)status;
    child->reaped = true;
    saros_mutex_unlock(&child->lock);
    uv_close((uv_handle_t *)(void *)process, gone);
}

static int check_cwd(const char *cwd) {
    uv_fs_t request;
    int     error = uv_fs_stat(NULL, &request, cwd, NULL);
    if (error == 0 && (request.statbuf.st_mode & S_IFMT) != S_IFDIR) error = UV_ENOTDIR;
    uv_fs_req_cleanup(&request);
    return error;
}

static SRWLOCK beginning = SRWLOCK_INIT;

static int begin_process(saros_service *service, saros_proc *child) {
    uv_stdio_container_t places[3];
    uv_process_options_t how = {.exit_cb = on_exit,
                                .file = child->argv[0],
                                .args = child->argv,
                                .env = child->env,
                                .cwd = child->cwd,
                                .stdio = places,
                                .stdio_count = 3};
    for (int i = 0; i < 3; i++) {
        int fd = child->stdio[i] == SAROS_AS_OUTPUT ? child->stdio[1] : child->stdio[i];
        places[i].flags = UV_INHERIT_FD;
        places[i].data.fd = fd >= 0 ? fd : child->stdio[i] == SAROS_AS_OUTPUT ? 1 : i;
    }
    child->process.data = child;
    saros_mutex_lock(&child->lock);
    AcquireSRWLockExclusive(&beginning);
    int error = uv_spawn(saros_service_loop(service), &child->process, &how);
    ReleaseSRWLockExclusive(&beginning);
    if (error == 0) child->pid = child->process.pid;
    saros_mutex_unlock(&child->lock);
    if (error == 0) return 0;
    child->number = saros_error_from_uv(error);
    uv_close((uv_handle_t *)(void *)&child->process, gone); /* libuv has it, though it is none */
    return 1;
}

int saros_proc_begin(saros_service *service, saros_proc *child) {
    int error = child->cwd != NULL ? check_cwd(child->cwd) : 0;
    child->of = error < 0 ? "cwd" : NULL;
    if (error == 0) error = begin_process(service, child);
    for (int i = 0; i < 3 && error == 0; i++) {
        if (child->inner[i] < 0) continue;
        pass_on(service, child->inner[i], child->outer[i], i == 0); /* where it cannot the stream ends at once */
        child->inner[i] = -1;
        child->outer[i] = SAROS_NO_HANDLE;
    }
    close_stdio(child);
    return error > 0 ? 1 : saros_error_from_uv(error);
}

int saros_proc_kill(saros_proc *child, int number) {
    int error = SAROS_ESRCH;
    saros_mutex_lock(&child->lock);
    if (!child->reaped && child->pid > 0) error = saros_error_from_uv(uv_process_kill(&child->process, number));
    if (error == 0) child->killed = number;
    saros_mutex_unlock(&child->lock);
    return error;
}

/* What libuv takes for the order to end a process; there is nothing else to be sent. */
int saros_proc_signal(const char *name) {
    static const struct {
        const char *name;
        int         number;
    } known[] = {{"SIGINT", SIGINT}, {"SIGKILL", SIGKILL}, {"SIGTERM", SIGTERM}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(known[i].name, name) == 0) return known[i].number;
    return 0;
}
