/* service_sendfile_posix.c: sendfile(2), as Linux has it.
 *
 * What is wrong with it, and what is done about it: it waits for the disk, whatever the flags say, so it is called for what
 * is in memory, and on threads that may wait; a socket whose peer has gone raises SIGPIPE, and there is no flag against
 * that, so the signal is blocked in this thread around the call, and the one that the call has caused is taken away; a file
 * that the kernel cannot send is an EINVAL, which the caller answers by reading and writing. Where there is no such call he
 * does that, too. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>
#ifdef SAROS_HAVE_SENDFILE
#include <sys/sendfile.h>
#endif

#include "bindings/lua/services/sendfile.h"

int saros_twin(int fd) {
    int twin = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    return twin >= 0 ? twin : saros_error_from_os(errno);
}

void saros_twin_close(int fd) { close(fd); }

#ifdef SAROS_HAVE_SENDFILE

const bool saros_kernel_sends_files = true;

static bool is_pending(void) {
    sigset_t pending;
    return sigpending(&pending) == 0 && sigismember(&pending, SIGPIPE);
}

void saros_send_piece(saros_sending *self) {
    sigset_t only, before;
    off_t    at = (off_t)self->at;
    ssize_t  sent = 1;
    int      signal;
    sigemptyset(&only);
    sigaddset(&only, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &only, &before);
    bool had = sigismember(&before, SIGPIPE) && is_pending();
    while (sent > 0 && (size_t)self->got < self->asked) {
        do sent = sendfile(self->to, self->from, &at, self->asked - (size_t)self->got);
        while (sent < 0 && errno == EINTR);
        if (sent > 0) self->got += sent;
        else if (sent == 0) self->error = SAROS_EEOF;
        else self->error = errno == EAGAIN ? SAROS_EAGAIN : saros_error_from_os(errno);
    }
    if (self->error == SAROS_EPIPE && !had && is_pending()) sigwait(&only, &signal); /* else it is ignored */
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

#else

const bool saros_kernel_sends_files = false;

void saros_send_piece(saros_sending *self) { self->error = SAROS_ENOSYS; }

#endif
