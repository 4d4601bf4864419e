/* ready.h: between the binding and descriptors as numbers: the one that a Lua file has, and where one stands
 * (file_number.c, file_number_none.c). */
#ifndef SAROS_LUA_READY_H
#define SAROS_LUA_READY_H

#include <stdint.h>
#include <stdio.h>

int     saros_file_number(FILE *file); /* of an open one; -1: it has none that can be waited for */
int64_t saros_file_place(int fd);      /* the kernel's place in an open file; -1: not known */
void    saros_file_put(int fd, int64_t place);

#endif
