/* queue.h: a first-in first-out queue of operations, linked through op->next and op->prev.
 *
 * Owns nothing: the ops are their owners'. The loop's one queue of finished operations is of this kind, and it is
 * the run queue of everything that waits. */
#ifndef SAROS_QUEUE_H
#define SAROS_QUEUE_H

#include "core/saros.h"

typedef struct saros_queue {
    saros_op *first, *last;
    size_t    count;
} saros_queue;

static inline void saros_queue_push(saros_queue *queue, saros_op *op) {
    op->next = NULL;
    op->prev = queue->last;
    if (queue->last != NULL) queue->last->next = op;
    else queue->first = op;
    queue->last = op;
    queue->count++;
}

static inline saros_op *saros_queue_pop(saros_queue *queue) {
    saros_op *op = queue->first;
    if (op == NULL) return NULL;
    queue->first = op->next;
    if (queue->first == NULL) queue->last = NULL;
    queue->count--;
    return op;
}

/* Takes out one from anywhere. The first one's prev means nothing: pop does not touch who comes behind. */
static inline void saros_queue_remove(saros_queue *queue, saros_op *op) {
    if (op == queue->first) {
        saros_queue_pop(queue);
        return;
    }
    op->prev->next = op->next;
    if (op == queue->last) queue->last = op->prev;
    else op->next->prev = op->prev;
    queue->count--;
}

#endif
