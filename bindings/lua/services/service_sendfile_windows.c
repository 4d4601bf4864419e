/* service_sendfile_windows.c: files are read and written here, for sockets are no files. */
#include <errno.h>
#include <io.h>

#include "bindings/lua/services/sendfile.h"

const bool saros_kernel_sends_files = false;

int saros_twin(int fd) {
    int twin = _dup(fd);
    return twin >= 0 ? twin : errno == EMFILE ? SAROS_EMFILE : SAROS_EBADF;
}

void saros_twin_close(int fd) { _close(fd); }

void saros_send_piece(saros_sending *self) { self->error = SAROS_ENOSYS; }
