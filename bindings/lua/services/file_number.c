/* file_number.c: the descriptor of an open C file, where there are such numbers; and where a descriptor stands. */
#include <unistd.h>

#include "bindings/lua/services/ready.h"

int saros_file_number(FILE *file) { return fileno(file); }

int64_t saros_file_place(int fd) { return lseek(fd, 0, SEEK_CUR); }

void saros_file_put(int fd, int64_t place) { (void)lseek(fd, place, SEEK_SET); }
