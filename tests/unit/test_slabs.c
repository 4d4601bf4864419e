/* test_slabs.c: the allocator of the host's Lua, by itself. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bindings/lua/host/host_slabs.h"
#include "support/support.h"

enum { BLOCKS = 3000, STEPS = 60000, LARGEST = 700 /* more than is kept in slabs */ };

static int setup(void **state) { return (*state = saros_slabs_new()) == NULL; }

static int teardown(void **state) {
    saros_slabs_free(*state);
    return 0;
}

static size_t resident(void) {
    unsigned long pages = 0;
    FILE         *file = fopen("/proc/self/statm", "r");
    if (file == NULL) return 0;
    if (fscanf(file, "%*u %lu", &pages) != 1) pages = 0;
    fclose(file);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static void fill(unsigned char *block, size_t size, size_t number) { memset(block, (int)(number % 251), size); }

static void check(const unsigned char *block, size_t size, size_t number) {
    for (size_t i = 0; i < size; i++) assert_int_equal(block[i], number % 251);
}

static void a_random_history_keeps_every_byte(void **state) {
    static struct {
        unsigned char *at;
        size_t         size;
    } blocks[BLOCKS];
    unsigned random = 1;
    for (size_t step = 0; step < STEPS; step++) {
        random = random * 1103515245 + 12345;
        size_t which = (random >> 8) % BLOCKS, before = blocks[which].size;
        random = random * 1103515245 + 12345;
        size_t after = (random >> 8) % 4 == 0 ? 0 : 1 + (random >> 10) % LARGEST,
               kept = before < after ? before : after;
        unsigned char *at = saros_slabs_alloc(*state, blocks[which].at, before, after);
        assert_true((at == NULL) == (after == 0));
        assert_int_equal((uintptr_t)at % 16, 0);
        if (at != NULL) check(at, kept, which);
        if (at != NULL) fill(at, after, which);
        blocks[which].at = at;
        blocks[which].size = after;
    }
    for (size_t which = 0; which < BLOCKS; which++) {
        check(blocks[which].at, blocks[which].size, which);
        if (blocks[which].at != NULL) saros_slabs_alloc(*state, blocks[which].at, blocks[which].size, 0);
    }
}

static void blocks_of_one_size_stand_side_by_side(void **state) {
    char *first = saros_slabs_alloc(*state, NULL, 0, 64), *second = saros_slabs_alloc(*state, NULL, 0, 49);
    assert_ptr_equal(second, first + 64);
    assert_ptr_equal(saros_slabs_alloc(*state, second, 49, 64), second); /* what it is rounded to is the same */
    saros_slabs_alloc(*state, first, 64, 0);
    assert_ptr_equal(saros_slabs_alloc(*state, NULL, 0, 60), first);
    saros_slabs_alloc(*state, first, 60, 0);
    saros_slabs_alloc(*state, second, 64, 0);
}

static void the_memory_of_a_crowd_goes_back(void **state) {
#ifdef __SANITIZE_THREAD__
    skip(); /* for each byte it has several of its own, which are resident as well */
#endif
    enum { CROWD = 200000, SIZE = 208 };
    char **blocks = calloc(CROWD, sizeof *blocks);
    assert_non_null(blocks);
    memset(blocks, 1, CROWD * sizeof *blocks);
    size_t before = resident();
    for (size_t i = 0; i < CROWD; i++) {
        blocks[i] = saros_slabs_alloc(*state, NULL, 0, SIZE);
        memset(blocks[i], 1, SIZE);
    }
    size_t most = resident();
    for (size_t i = 0; i < CROWD; i++) saros_slabs_alloc(*state, blocks[i], SIZE, 0);
    if (before > 0) {
        /* with headers it would be 8 % more; a sanitizer has pages of its own */
        assert_in_range(most - before, (size_t)CROWD * SIZE, (size_t)CROWD * SIZE * 105 / 100);
        assert_in_range(resident(), 0, before + (1 << 20));
    }
    free(blocks);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_random_history_keeps_every_byte, setup, teardown),
        cmocka_unit_test_setup_teardown(blocks_of_one_size_stand_side_by_side, setup, teardown),
        cmocka_unit_test_setup_teardown(the_memory_of_a_crowd_goes_back, setup, teardown),
    };
    return cmocka_run_group_tests_name("slabs", tests, NULL, NULL);
}
