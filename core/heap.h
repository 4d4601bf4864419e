/* heap.h: the timers, ordered by deadline, equal ones by the order of their start.
 *
 * Owns one array; the ops are their owners', and each knows its place in op->word.
 * Promises: push, pop and remove in O(log n), no allocation but to grow, memory given back when it empties. */
#ifndef SAROS_HEAP_H
#define SAROS_HEAP_H

#include "core/saros.h"

typedef struct saros_heap_entry {
    saros_time deadline;
    uint64_t   order;
    saros_op  *op;
} saros_heap_entry;

typedef struct saros_heap {
    saros_heap_entry *entries;
    size_t            count, room;
    uint64_t          order; /* of the next push */
} saros_heap;

/* 0 or SAROS_ENOMEM. */
int saros_heap_push(saros_heap *heap, saros_loop *loop, saros_op *op, saros_time deadline);
/* Takes out an op that is in the heap. */
void saros_heap_remove(saros_heap *heap, saros_loop *loop, saros_op *op);
/* The ops that may be the first after this one will be looked at soon: who slept for long is in no cache. */
void saros_heap_fetch(const saros_heap *heap);
/* The earliest deadline, SAROS_FOREVER when there is none. */
static inline saros_time saros_heap_next(const saros_heap *heap) {
    return heap->count > 0 ? heap->entries[0].deadline : SAROS_FOREVER;
}
void saros_heap_free(saros_heap *heap, saros_loop *loop);

#endif
