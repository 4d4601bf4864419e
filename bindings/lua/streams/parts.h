/* parts.h: what one call writes: strings, numbers, buffers, lists of these; as one string, or as pieces that nobody joins. */
#ifndef SAROS_PARTS_H
#define SAROS_PARTS_H

#include "bindings/lua/streams/buffer.h"

/* Pieces; a userdata whose user values keep their bytes. */
typedef struct saros_parts {
    size_t      count, next; /* those before `next` are sent */
    size_t      total;       /* bytes of all */
    saros_piece pieces[];
} saros_parts;

/* The arguments from 2 on become one value at 2, and the only one: a string, a buffer, or a saros_parts. What they were
 * need not stay as it is. Raises on what cannot be written. joined: not a saros_parts. Its bytes. */
size_t saros_parts_take(lua_State *L, bool joined);
/* The same, and it is a string. */
void saros_join_strings(lua_State *L);
/* The value at 2 that saros_parts_take has left: NULL if it is a saros_parts. */
const char *saros_parts_bytes(lua_State *L, size_t *size);
/* So many bytes are sent. */
void saros_parts_advance(saros_parts *parts, size_t sent);

#endif
