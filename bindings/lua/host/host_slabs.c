/* host_slabs.c: the memory of the host's Lua: small blocks from slabs, all else from malloc.
 *
 * What is wrong with malloc here: it keeps eight bytes beside each block and rounds up to sixteen, of which Lua needs
 * neither: it says how large a block is when it gives it back. Of a task that waits on a connection these are 80 bytes.
 * Owns the slabs: 256 KiB each, at a multiple of that, so a block's slab is found by its address; each for blocks of one
 * size. Those that have room are in a list for each size. A slab whose last block is given back goes back to the system,
 * but for the last one of its size that has room, which would be wanted again at once. They come from the system and not
 * from malloc, whose heap would have holes between them; and so their pages are in memory only from when the first of
 * their blocks is taken.
 * Promises: as lua_Alloc; of what becomes smaller Lua 5.4 takes it well if there is no memory to move it to. For one thread:
 * states on others have malloc. Where a sanitizer watches all is malloc's: it sees more so. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "bindings/lua/host/host_slabs.h"

enum {
    SLAB = 256 * 1024,
    STEP = 16,
    LARGEST = 320, /* larger blocks lose little, and are fewer */
    SIZES = LARGEST / STEP
};

typedef struct block {
    struct block *next;
} block;

typedef struct slab {
    struct slab  *next, *prev; /* with room, of the same size, … */
    struct slab **list;        /* … which begin here */
    block        *free;        /* given back; behind these: */
    char         *fresh;       /* the first that was never taken */
    char         *last;        /* the last one that there is */
    void         *mapped;      /* two slabs' worth, in which this one stands */
    uint32_t      size, used;
} slab;

struct saros_slabs {
    slab *roomy[SIZES];
};

static slab *slab_of(void *p) { return (slab *)(void *)((char *)p - (uintptr_t)p % SLAB); }
static bool  is_full(const slab *at) { return at->free == NULL && at->fresh > at->last; }

static void add(slab *at) {
    at->prev = NULL;
    at->next = *at->list;
    if (at->next != NULL) at->next->prev = at;
    *at->list = at;
}

static void drop(slab *at) {
    if (at->prev != NULL) at->prev->next = at->next;
    else *at->list = at->next;
    if (at->next != NULL) at->next->prev = at->prev;
    at->next = at->prev = NULL;
}

/* Twice the room, in which one is where it has to be; the rest is never touched. */
static slab *new_slab(slab **list, uint32_t size) {
    void *mapped = mmap(NULL, 2 * SLAB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) return NULL;
    slab *at = slab_of((char *)mapped + SLAB - 1);
    *at = (slab){.list = list, .fresh = (char *)(at + 1), .mapped = mapped, .size = size};
    at->last = (char *)at + SLAB - size;
    add(at);
    return at;
}

static void *take(saros_slabs *self, size_t size) {
    size_t which = (size - 1) / STEP;
    slab  *at = self->roomy[which];
    if (at == NULL && (at = new_slab(&self->roomy[which], (uint32_t)(which + 1) * STEP)) == NULL) return NULL;
    block *taken = at->free;
    if (taken != NULL) {
        at->free = taken->next;
    } else {
        taken = (block *)(void *)at->fresh;
        at->fresh += at->size;
    }
    at->used++;
    if (is_full(at)) drop(at);
    return taken;
}

static void give_back(void *p) {
    slab  *at = slab_of(p);
    block *given = p;
    if (is_full(at)) add(at);
    given->next = at->free;
    at->free = given;
    if (--at->used > 0 || (at->next == NULL && at->prev == NULL)) return;
    drop(at);
    munmap(at->mapped, 2 * SLAB);
}

static void *move(saros_slabs *self, void *p, size_t before, size_t after) {
    void *to = after <= LARGEST ? take(self, after) : malloc(after);
    if (to == NULL) return before <= LARGEST && after < before ? p : NULL; /* its slab knows how large it is */
    memcpy(to, p, before < after ? before : after);
    if (before <= LARGEST) give_back(p);
    else free(p);
    return to;
}

void *saros_slabs_alloc(void *slabs, void *p, size_t before, size_t after) {
    saros_slabs *self = slabs;
    if (p == NULL) return after > LARGEST ? malloc(after) : after > 0 ? take(self, after) : NULL;
    if (after == 0) {
        if (before <= LARGEST) give_back(p);
        else free(p);
        return NULL;
    }
    if (before > LARGEST && after > LARGEST) return realloc(p, after);
    if (before <= LARGEST && after <= LARGEST && slab_of(p)->size == (after + STEP - 1) / STEP * STEP) return p;
    return move(self, p, before, after);
}

saros_slabs *saros_slabs_new(void) { return calloc(1, sizeof(saros_slabs)); }

void saros_slabs_free(saros_slabs *self) {
    for (int which = 0; which < SIZES; which++) /* nothing is taken: so there is one at most */
        if (self->roomy[which] != NULL) munmap(self->roomy[which]->mapped, 2 * SLAB);
    free(self);
}
