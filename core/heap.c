/* heap.c: a heap with four children a node, the shape that touches the fewest cache lines for its depth. */
#include "core/heap.h"

enum { CHILDREN = 4, FIRST_ROOM = 16, KEEP_ROOM = 256 };

static bool before(const saros_heap_entry *a, const saros_heap_entry *b) {
    return a->deadline < b->deadline || (a->deadline == b->deadline && a->order < b->order);
}

static void place(saros_heap *heap, size_t at, saros_heap_entry entry) {
    heap->entries[at] = entry;
    entry.op->word = (uint32_t)at;
}

static void sift_up(saros_heap *heap, size_t at, saros_heap_entry entry) {
    while (at > 0) {
        size_t parent = (at - 1) / CHILDREN;
        if (!before(&entry, &heap->entries[parent])) break;
        place(heap, at, heap->entries[parent]);
        at = parent;
    }
    place(heap, at, entry);
}

static void sift_down(saros_heap *heap, size_t at, saros_heap_entry entry) {
    for (;;) {
        size_t first = at * CHILDREN + 1, least = first;
        if (first >= heap->count) break;
        size_t end = first + CHILDREN < heap->count ? first + CHILDREN : heap->count;
        for (size_t child = first + 1; child < end; child++)
            if (before(&heap->entries[child], &heap->entries[least])) least = child;
        if (!before(&heap->entries[least], &entry)) break;
        place(heap, at, heap->entries[least]);
        at = least;
    }
    place(heap, at, entry);
}

static int resize(saros_heap *heap, saros_loop *loop, size_t room) {
    size_t            unit = sizeof *heap->entries;
    saros_heap_entry *entries = saros_realloc(loop, heap->entries, heap->room * unit, room * unit);
    if (entries == NULL && room > 0) return SAROS_ENOMEM;
    heap->entries = entries;
    heap->room = room;
    return 0;
}

int saros_heap_push(saros_heap *heap, saros_loop *loop, saros_op *op, saros_time deadline) {
    if (heap->count == heap->room) {
        if (heap->count >= UINT32_MAX / 2) return SAROS_ENOMEM; /* op->word holds the place */
        int error = resize(heap, loop, heap->room > 0 ? heap->room * 2 : FIRST_ROOM);
        if (error < 0) return error;
    }
    saros_heap_entry entry = {deadline, heap->order++, op};
    sift_up(heap, heap->count++, entry);
    return 0;
}

void saros_heap_remove(saros_heap *heap, saros_loop *loop, saros_op *op) {
    size_t           at = op->word;
    saros_heap_entry last = heap->entries[--heap->count];
    if (at < heap->count) {
        if (at > 0 && before(&last, &heap->entries[(at - 1) / CHILDREN])) sift_up(heap, at, last);
        else sift_down(heap, at, last);
    }
    /* Shrink at a quarter, so that a burst of timers is not paid for ever and no size is on the edge. */
    if (heap->room > KEEP_ROOM && heap->count < heap->room / 4) resize(heap, loop, heap->room / 2);
}

void saros_heap_fetch(const saros_heap *heap) {
    for (size_t at = 1; at <= CHILDREN && at < heap->count; at++) SAROS_FETCH(heap->entries[at].op);
}

void saros_heap_free(saros_heap *heap, saros_loop *loop) { resize(heap, loop, 0); }
