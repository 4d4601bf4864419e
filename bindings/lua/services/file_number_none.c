/* file_number_none.c: where sockets are no files, and files have nothing that could be waited for. */
#include "bindings/lua/services/ready.h"

int saros_file_number(FILE *file) {
    (void)file;
    return -1;
}
