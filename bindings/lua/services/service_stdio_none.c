/* service_stdio_none.c: the standard streams where there is nothing but C's: they cannot be waited for. */
#include <stdio.h>

#include "bindings/lua/services/stdio.h"
#include "core/saros.h"

const bool saros_stdio_waits = false;

int64_t saros_stdio_read(int fd, void *buffer, size_t size) {
    (void)fd, (void)buffer, (void)size;
    return SAROS_ENOSYS;
}

bool saros_stdio_is_file(int fd) {
    (void)fd;
    return false;
}

int64_t saros_stdio_place(int fd) {
    (void)fd;
    return -1;
}

void saros_stdio_put(int fd, int64_t place) { (void)fd, (void)place; } /* no process gets a file of ours */

int64_t saros_stdio_write(int fd, const void *data, size_t size, bool waits) {
    FILE *file = fd == 1 ? stdout : fd == 2 ? stderr : NULL;
    (void)waits;
    if (file == NULL) return SAROS_EBADF;
    size_t sent = fwrite(data, 1, size, file);
    return fflush(file) == 0 && sent > 0 ? (int64_t)sent : SAROS_EIO;
}
