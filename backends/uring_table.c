/* uring_table.c: see uring_table.h. */
#include "backends/uring_table.h"

int saros_table_take(saros_table *self, saros_loop *loop, saros_handle *handle, saros_op *op, uint32_t *place) {
    if (self->free != 0) {
        *place = self->free;
        self->free = self->at[*place].next;
    } else {
        if (self->count == self->room) {
            uint32_t      room = self->room > 0 ? self->room * 2 : 16;
            size_t        unit = sizeof *self->at;
            saros_flight *at = saros_realloc(loop, self->at, self->room * unit, room * unit);
            if (at == NULL) return SAROS_ENOMEM;
            self->at = at;
            self->room = room;
        }
        *place = self->count++;
        self->at[*place].generation = 0;
    }
    self->at[*place] = (saros_flight){.handle = handle, .op = op, .generation = self->at[*place].generation + 1};
    return 0;
}

void saros_table_free(saros_table *self, uint32_t place) {
    self->at[place].handle = NULL;
    self->at[place].next = self->free;
    self->free = place;
}

void saros_table_close(saros_table *self, saros_loop *loop) {
    saros_realloc(loop, self->at, self->room * sizeof *self->at, 0);
}
