/* iocp_block.h: what an operation is to a completion port: a block of memory that stays where it is while the kernel may
 * write to it. Owns the blocks, which are used again and given back with the driver. */
#ifndef SAROS_IOCP_BLOCK_H
#define SAROS_IOCP_BLOCK_H

#include "backends/iocp_afd.h"

typedef struct saros_block {
    OVERLAPPED      overlapped; /* first: the packet has its address */
    saros_op       *op;
    SOCKET          on;        /* what the call was made on */
    saros_os_handle fresh;     /* CONNECT and ACCEPT: the handle's, when it is open */
    DWORD           flags;     /* of a receive; the system writes them when that ends, and not before it returns */
    uint32_t        index;     /* op->word is this */
    uint32_t        free;      /* the next free one's index + 1 */
    uint8_t         bits;      /* fresh's */
    bool            cancelled; /* by us */
    saros_afd_poll  poll;      /* POLL's */
    bool            doubtful;  /* there may be a packet of it, and certainly comes one of ours behind that */
} saros_block;

typedef struct saros_blocks {
    saros_block **chunks; /* these stay where they are, the list of them need not */
    uint32_t      count;  /* of chunks */
    uint32_t      free;   /* 0: none */
} saros_blocks;

saros_block *saros_block_take(saros_blocks *self, saros_loop *loop, saros_op *op); /* NULL: no memory */
saros_block *saros_block_at(const saros_blocks *self, uint32_t index);
void         saros_block_free(saros_blocks *self, saros_block *block);
void         saros_blocks_close(saros_blocks *self, saros_loop *loop);

#endif
