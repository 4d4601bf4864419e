/* host_slabs.h: a lua_Alloc with small blocks in slabs; host_slabs.c has it. */
#ifndef SAROS_HOST_SLABS_H
#define SAROS_HOST_SLABS_H

#include <stdbool.h>
#include <stddef.h>

typedef struct saros_slabs saros_slabs;

saros_slabs *saros_slabs_new(void); /* NULL: no memory */
/* When all that was taken was given back. */
void saros_slabs_free(saros_slabs *self);
/* The lua_Alloc; slabs: a saros_slabs. */
void *saros_slabs_alloc(void *slabs, void *p, size_t before, size_t after);

#endif
