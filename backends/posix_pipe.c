/* posix_pipe.c: descriptors that somebody else has made: what they are, pipes, and whether they are ready.
 *
 * What is wrong here, and what is done about it: whether a descriptor blocks is a property of the open file, which others
 * may share; an adopted one is ours alone by agreement. Pipes know no recv, and a write to one whose reader has left
 * raises SIGPIPE, which no flag prevents: so the signal is blocked in this thread around the write, and the one that the
 * write has caused is taken away. The process's disposition is not touched, and what was pending before stays so.
 * Mechanisms differ in what they take (epoll refuses files, kqueue some terminals): poll(2) is asked first, which takes
 * everything, and holds what cannot wait to be ready. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backends/socket_try.h"

static int failed(void) { return errno == EAGAIN || errno == EWOULDBLOCK ? SAROS_EAGAIN : saros_error_from_os(errno); }

/* ---- adoption --------------------------------------------------------------------------------------------------- */

static int which_socket(int fd) {
    int       type = 0, listens = 0;
    socklen_t size = sizeof type;
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0) return failed();
    if (type != SOCK_STREAM) return SAROS_EOPNOTSUPP;
    size = sizeof listens;
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) < 0) listens = 0;
    return listens ? SAROS_FOUND_LISTENER : SAROS_FOUND_STREAM;
}

int saros_try_adopt(int fd) {
    struct stat about;
    int         flags = fcntl(fd, F_GETFL), what = SAROS_FOUND_PIPE;
    if (flags < 0 || fstat(fd, &about) < 0) return failed();
    if (S_ISSOCK(about.st_mode)) what = which_socket(fd);
    else if (!S_ISFIFO(about.st_mode) && !(S_ISCHR(about.st_mode) && isatty(fd))) what = SAROS_EOPNOTSUPP;
    if (what < 0) return what;
    if (fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) return failed();
#ifdef SO_NOSIGPIPE
    int one = 1;
    setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &one, sizeof one);
#endif
    return what;
}

/* ---- pipes ------------------------------------------------------------------------------------------------------ */

/* EBADF is also what an end says of the other's direction. */
static int pipe_failed(int fd) {
    int error = failed();
    return error == SAROS_EBADF && fcntl(fd, F_GETFD) >= 0 ? SAROS_EOPNOTSUPP : error;
}

int64_t saros_try_read(int fd, void *buffer, size_t size) {
    ssize_t got;
    if (fd == SAROS_NO_HANDLE) return SAROS_EOPNOTSUPP; /* it has ended, so it was one that only writes */
    do got = read(fd, buffer, size);
    while (got < 0 && errno == EINTR);
    return got >= 0 ? got : pipe_failed(fd);
}

static bool is_pending(void) {
    sigset_t pending;
    return sigpending(&pending) == 0 && sigismember(&pending, SIGPIPE);
}

int64_t saros_try_write(int fd, const void *data, size_t size) {
    sigset_t only, before;
    ssize_t  sent;
    int      signal;
    if (fd == SAROS_NO_HANDLE) return SAROS_EPIPE;
    sigemptyset(&only);
    sigaddset(&only, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &only, &before);
    bool had = sigismember(&before, SIGPIPE) && is_pending();
    do sent = write(fd, data, size);
    while (sent < 0 && errno == EINTR);
    int64_t result = sent >= 0 ? sent : pipe_failed(fd);
    /* Where it is ignored nothing is pending, and sigwait would wait. */
    if (result == SAROS_EPIPE && !had && is_pending()) sigwait(&only, &signal);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return result;
}

int saros_try_end_pipe(int *fd) {
    if (*fd == SAROS_NO_HANDLE) return 0; /* again, as a socket does */
    int flags = fcntl(*fd, F_GETFL);
    if (flags < 0) return failed();
    if ((flags & O_ACCMODE) != O_WRONLY) return SAROS_ENOTCONN;
    saros_try_close(*fd);
    *fd = SAROS_NO_HANDLE;
    return 0;
}

/* ---- readiness -------------------------------------------------------------------------------------------------- */

int saros_try_ready(int fd, unsigned wanted) {
    struct pollfd one = {.fd = fd};
    if (wanted & SAROS_READABLE) one.events |= POLLIN;
    if (wanted & SAROS_WRITABLE) one.events |= POLLOUT;
    if (fd < 0) return SAROS_EBADF; /* poll skips it */
    while (poll(&one, 1, 0) < 0)
        if (errno != EINTR) return failed();
    if (one.revents & POLLNVAL) return SAROS_EBADF;
    unsigned ready = 0;
    if (one.revents & POLLIN) ready |= SAROS_READABLE;
    if (one.revents & POLLOUT) ready |= SAROS_WRITABLE;
    if (one.revents & (POLLERR | POLLHUP)) ready = wanted;
    return ready != 0 || wanted == 0 ? (int)(ready & wanted) : SAROS_EAGAIN;
}
