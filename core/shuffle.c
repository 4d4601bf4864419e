/* shuffle.c: operations of one kind that are ready together, told in a random order (semantics 51).
 *
 * So that tests find what hangs on an order that was never promised. Off unless somebody asks: then the queue is as it was.
 * Promises: only operations with the given done change places among themselves, and each is told in the turn in which it
 * would have been; what a handle's close must come behind stays in front of it; the same seed, the same order. */
#include "core/loop.h"

enum { MOST = SAROS_SCRATCH / (sizeof(saros_op *) + sizeof(uint16_t)) /* of one turn; the others keep their places */ };

void saros_shuffle(saros_loop *loop, uint64_t seed, void (*done)(saros_loop *loop, saros_op *op, int64_t result)) {
    loop->shuffled = done;
    loop->dice = seed;
}

static bool may_move(const saros_loop *loop, const saros_op *op) {
    if (op->done != loop->shuffled) return false;
    return op->kind <= SAROS_OP_TIMER || op->handle->state != SAROS_HANDLE_CLOSING;
}

/* Before a batch is told nobody has been lent anything, so the scratch buffer is free for the list. */
void saros_shuffle_batch(saros_loop *loop) {
    saros_op  **ops = (saros_op **)(void *)loop->scratch;
    uint16_t   *places = (uint16_t *)(void *)(ops + MOST);
    saros_queue mixed = {0};
    size_t      count = 0, movable = 0;
    while (count < MOST && loop->ready.count > 0) {
        saros_op *op = saros_queue_pop(&loop->ready);
        if (may_move(loop, op)) places[movable++] = (uint16_t)count;
        ops[count++] = op;
    }
    for (size_t left = movable; left > 1; left--) { /* Fisher and Yates */
        saros_op **a = &ops[places[left - 1]], **b = &ops[places[saros_draw(&loop->dice) % left]], *op = *a;
        *a = *b;
        *b = op;
    }
    for (size_t i = 0; i < count; i++) saros_queue_push(&mixed, ops[i]);
    while (loop->ready.count > 0) saros_queue_push(&mixed, saros_queue_pop(&loop->ready));
    loop->ready = mixed;
}
