/* file_number_none.c: where sockets are no files, files have nothing that could be waited for, and no process gets ours. */
#include "bindings/lua/services/ready.h"

int saros_file_number(FILE *file) {
    (void)file;
    return -1;
}

int64_t saros_file_place(int fd) {
    (void)fd;
    return -1;
}

void saros_file_put(int fd, int64_t place) { (void)fd, (void)place; }
