/* ready.h: between readiness (ready.c) and the number that a Lua file has (file_number.c, file_number_none.c). */
#ifndef SAROS_LUA_READY_H
#define SAROS_LUA_READY_H

#include <stdio.h>

int saros_file_number(FILE *file); /* of an open one; -1: it has none that can be waited for */

#endif
