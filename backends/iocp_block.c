/* iocp_block.c: see iocp_block.h. */
#include "backends/iocp_block.h"

enum { CHUNK = 64 };

saros_block *saros_block_at(const saros_blocks *self, uint32_t index) {
    return &self->chunks[index / CHUNK][index % CHUNK];
}

static int grow(saros_blocks *self, saros_loop *loop) {
    size_t        unit = sizeof *self->chunks;
    saros_block  *chunk = saros_realloc(loop, NULL, 0, CHUNK * sizeof *chunk);
    saros_block **chunks =
        chunk == NULL ? NULL : saros_realloc(loop, self->chunks, self->count * unit, (self->count + 1) * unit);
    if (chunks == NULL) {
        saros_realloc(loop, chunk, CHUNK * sizeof *chunk, 0);
        return SAROS_ENOMEM;
    }
    self->chunks = chunks;
    self->chunks[self->count] = chunk;
    for (uint32_t i = CHUNK; i-- > 0;) {
        uint32_t index = self->count * CHUNK + i;
        chunk[i] = (saros_block){.index = index, .free = self->free};
        self->free = index + 1;
    }
    self->count++;
    return 0;
}

saros_block *saros_block_take(saros_blocks *self, saros_loop *loop, saros_op *op) {
    if (self->free == 0 && grow(self, loop) < 0) return NULL;
    saros_block *b = saros_block_at(self, self->free - 1);
    self->free = b->free;
    *b = (saros_block){.index = b->index, .op = op, .on = (SOCKET)op->handle->os, .fresh = SAROS_NO_HANDLE};
    op->word = b->index;
    return b;
}

void saros_block_free(saros_blocks *self, saros_block *block) {
    block->op = NULL;
    block->free = self->free;
    self->free = block->index + 1;
}

void saros_blocks_close(saros_blocks *self, saros_loop *loop) {
    for (uint32_t i = 0; i < self->count; i++) saros_realloc(loop, self->chunks[i], CHUNK * sizeof(saros_block), 0);
    saros_realloc(loop, self->chunks, self->count * sizeof *self->chunks, 0);
}
