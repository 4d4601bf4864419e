/* file_number.c: the descriptor of an open C file, where there are such numbers. */
#include "bindings/lua/services/ready.h"

int saros_file_number(FILE *file) { return fileno(file); }
