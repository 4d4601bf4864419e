/* service_stdio.c: one attempt to read from, or write to, a descriptor that may block, and must not.
 *
 * What is wrong here: only poll(2) tells whether it would, and somebody else may be quicker between that and the call; then
 * this thread waits for as long as they do. A pipe that poll calls writable has room for PIPE_BUF bytes; a terminal for a
 * few; sockets have a flag for it. A write to a pipe whose reader has left raises SIGPIPE, whatever this program has set
 * (service_quiet.h). */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bindings/lua/services/service_quiet.h"
#include "bindings/lua/services/stdio.h"
#include "bindings/lua/streams/stream.h"

enum { LITTLE = 256 /* bytes for which a terminal has room, where poll says that it has any */ };
#ifdef MSG_NOSIGNAL
enum { QUIETLY = MSG_NOSIGNAL };
#else
enum { QUIETLY = 0 };
#endif

static int failed(void) { return errno == EAGAIN || errno == EWOULDBLOCK ? SAROS_EAGAIN : saros_error_from_os(errno); }

static bool is_ready(int fd, short events, bool waits) {
    struct pollfd one = {.fd = fd, .events = events};
    int           count;
    do count = poll(&one, 1, waits ? -1 : 0);
    while (count < 0 && errno == EINTR);
    return count != 0; /* an error, or the end, is told by the call itself */
}

bool saros_stdio_is_file(int fd) {
    struct stat about;
    return fstat(fd, &about) == 0 && S_ISREG(about.st_mode);
}

int64_t saros_stdio_place(int fd) { return lseek(fd, 0, SEEK_CUR); }

void saros_stdio_put(int fd, int64_t place) { (void)lseek(fd, place, SEEK_SET); }

int64_t saros_stdio_read(int fd, void *buffer, size_t size) {
    ssize_t got;
    if (!is_ready(fd, POLLIN, false)) return SAROS_EAGAIN;
    do got = read(fd, buffer, size);
    while (got < 0 && errno == EINTR);
    return got >= 0 ? got : failed();
}

static int64_t write_quietly(int fd, const void *data, size_t size) {
    saros_quiet quiet;
    ssize_t     sent;
    saros_quiet_begin(&quiet);
    do sent = write(fd, data, size);
    while (sent < 0 && errno == EINTR);
    int64_t result = sent >= 0 ? sent : failed();
    saros_quiet_end(&quiet, result == SAROS_EPIPE);
    return result;
}

const bool saros_stdio_waits = true;

void saros_stdio_wait(saros_asker *asker, saros_stream *stream, saros_task *task) {
    (void)asker;
    task->op.kind = SAROS_OP_POLL;
    task->op.handle = &stream->handle;
    task->op.buffer = NULL;
    task->op.size = SAROS_READABLE;
    saros_submit(task->rt->loop, &task->op);
}

void saros_stdio_forget(saros_asker *asker, saros_loop *loop) { (void)asker, (void)loop; } /* it ends with the handle */

int64_t saros_stdio_write(int fd, const void *data, size_t size, bool waits) {
    struct stat about;
    ssize_t     sent;
    if (fstat(fd, &about) < 0) return failed();
    if (!is_ready(fd, POLLOUT, waits)) return SAROS_EAGAIN;
    if (!S_ISSOCK(about.st_mode)) {
        size_t most = S_ISFIFO(about.st_mode) ? PIPE_BUF : S_ISCHR(about.st_mode) && isatty(fd) ? LITTLE : size;
        return write_quietly(fd, data, waits || size < most ? size : most);
    }
    int flags = QUIETLY;
    if (!waits) flags |= MSG_DONTWAIT;
    do sent = send(fd, data, size, flags);
    while (sent < 0 && errno == EINTR);
    return sent >= 0 ? sent : failed();
}
