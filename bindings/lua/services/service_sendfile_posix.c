/* service_sendfile_posix.c: sendfile(2), as Linux has it.
 *
 * What is wrong with it, and what is done about it: it waits for the disk, whatever the flags say, so it is called for what
 * is in memory, and on threads that may wait; a socket whose peer has gone raises SIGPIPE, and there is no flag
 * against that (service_quiet.h); a file that the kernel cannot send is an EINVAL, which the caller answers by reading and
 * writing. Where there is no such call he does that, too. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>
#ifdef SAROS_HAVE_SENDFILE
#include <sys/sendfile.h>
#endif

#include "bindings/lua/services/sendfile.h"
#include "bindings/lua/services/service_quiet.h"

int saros_twin(int fd) {
    int twin = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    return twin >= 0 ? twin : saros_error_from_os(errno);
}

void saros_twin_close(int fd) { close(fd); }

#ifdef SAROS_HAVE_SENDFILE

const bool saros_kernel_sends_files = true;

void saros_send_piece(saros_sending *self) {
    saros_quiet quiet;
    off_t       at = (off_t)self->at;
    ssize_t     sent = 1;
    saros_quiet_begin(&quiet);
    while (sent > 0 && (size_t)self->got < self->asked) {
        do sent = sendfile(self->to, self->from, &at, self->asked - (size_t)self->got);
        while (sent < 0 && errno == EINTR);
        if (sent > 0) self->got += sent;
        else if (sent == 0) self->error = SAROS_EEOF;
        else self->error = errno == EAGAIN ? SAROS_EAGAIN : saros_error_from_os(errno);
    }
    saros_quiet_end(&quiet, self->error == SAROS_EPIPE);
}

#else

const bool saros_kernel_sends_files = false;

void saros_send_piece(saros_sending *self) { self->error = SAROS_ENOSYS; }

#endif
