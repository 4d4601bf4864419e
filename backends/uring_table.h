/* uring_table.h: what a ring works on, by numbers that it can be told: a place in a table, and the place's generation.
 *
 * Owns the places. A number that is handed out is never used again for something else: what is reported for an older
 * generation is nobody's. A place is free when the kernel has said the last word, and not earlier. */
#ifndef SAROS_URING_TABLE_H
#define SAROS_URING_TABLE_H

#include "core/driver.h"

/* A place: what the kernel works on for a handle. */
typedef struct saros_flight {
    saros_handle *handle; /* NULL: free */
    saros_op     *op;     /* NULL: the poll that stays; it is in place handle->slot, which is 0 where there is none */
    uint32_t      generation; /* of the place, goes up with every use */
    uint32_t      next;       /* the next free one */
    bool          owed;       /* its request is not in the ring yet */
    bool          owed_cancel;
    bool          ending; /* a poll that was cancelled */
} saros_flight;

typedef struct saros_table {
    saros_flight *at;
    uint32_t      count, room; /* places used at some time; allocated */
    uint32_t      free;        /* 0: none */
} saros_table;

/* 0 and *place; or SAROS_ENOMEM. Places may move. */
int  saros_table_take(saros_table *self, saros_loop *loop, saros_handle *handle, saros_op *op, uint32_t *place);
void saros_table_free(saros_table *self, uint32_t place);
void saros_table_close(saros_table *self, saros_loop *loop);
/* The number to tell the kernel: the place in its lower 32 bits. */
static inline uint64_t saros_table_ticket(const saros_table *self, uint32_t place) {
    return (uint64_t)self->at[place].generation << 32 | place;
}

#endif
