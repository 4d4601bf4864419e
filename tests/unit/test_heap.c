/* test_heap.c: the timer heap by itself, and against a sorted model. */
#include <stdlib.h>

#include "core/heap.h"
#include "core/queue.h"
#include "support/support.h"

static void check_heap(const saros_heap *heap) {
    for (size_t i = 0; i < heap->count; i++) {
        const saros_heap_entry *entry = &heap->entries[i], *parent = &heap->entries[i > 0 ? (i - 1) / 4 : 0];
        assert_int_equal(entry->op->word, i); /* each op knows its place */
        assert_true(parent->deadline <= entry->deadline);
        if (i > 0 && parent->deadline == entry->deadline) assert_true(parent->order < entry->order);
    }
}

static saros_op *pop(saros_heap *heap, saros_loop *loop) {
    saros_op *op = heap->entries[0].op;
    saros_heap_remove(heap, loop, op);
    return op;
}

static void the_earliest_deadline_comes_first(void **state) {
    world           *w = *state;
    saros_heap       heap = {0};
    static const int deadlines[] = {5, 3, 9, 1, 7, -4, 2, 8, 0, 6};
    static const int sorted[] = {-4, 0, 1, 2, 3, 5, 6, 7, 8, 9};
    saros_op         ops[10] = {0};
    assert_true(saros_heap_next(&heap) == SAROS_FOREVER);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(saros_heap_push(&heap, w->loop, &ops[i], deadlines[i]), 0);
        check_heap(&heap);
    }
    for (int i = 0; i < 10; i++) {
        assert_true(saros_heap_next(&heap) == sorted[i]);
        saros_op *op = pop(&heap, w->loop);
        assert_int_equal(deadlines[op - ops], sorted[i]);
        check_heap(&heap);
    }
    assert_true(saros_heap_next(&heap) == SAROS_FOREVER);
    saros_heap_free(&heap, w->loop);
}

static void equal_deadlines_leave_in_the_order_of_their_start(void **state) {
    world     *w = *state;
    saros_heap heap = {0};
    saros_op   ops[300] = {0};
    for (int i = 0; i < 300; i++) assert_int_equal(saros_heap_push(&heap, w->loop, &ops[i], 7), 0);
    for (int i = 0; i < 300; i += 3) saros_heap_remove(&heap, w->loop, &ops[i]); /* must not disturb the rest */
    check_heap(&heap);
    for (int i = 0; i < 300; i++)
        if (i % 3 != 0) assert_ptr_equal(pop(&heap, w->loop), &ops[i]);
    saros_heap_free(&heap, w->loop);
}

static void any_entry_can_be_taken_out(void **state) {
    world *w = *state;
    for (int out = 0; out < 40; out++) {
        saros_heap heap = {0};
        saros_op   ops[40] = {0};
        saros_time last = INT64_MIN;
        for (int i = 0; i < 40; i++) saros_heap_push(&heap, w->loop, &ops[i], (i * 17) % 40);
        saros_heap_remove(&heap, w->loop, &ops[out]);
        check_heap(&heap);
        for (int i = 0; i < 39; i++) {
            saros_time next = saros_heap_next(&heap);
            saros_op  *op = pop(&heap, w->loop);
            assert_ptr_not_equal(op, &ops[out]);
            assert_true(next > last);
            last = next;
        }
        assert_int_equal(heap.count, 0);
        saros_heap_free(&heap, w->loop);
    }
}

/* ---- against a model -------------------------------------------------------------------------------------------- */

enum { MODEL = 2000, ROUNDS = 60000 };
typedef struct model_entry {
    saros_time deadline;
    uint64_t   order;
    bool       in;
} model_entry;

static int earliest(const model_entry *model) {
    int best = -1;
    for (int i = 0; i < MODEL; i++) {
        if (!model[i].in) continue;
        if (best < 0 || model[i].deadline < model[best].deadline ||
            (model[i].deadline == model[best].deadline && model[i].order < model[best].order))
            best = i;
    }
    return best;
}

static void a_random_history_agrees_with_a_sorted_list(void **state) {
    world       *w = *state;
    saros_heap   heap = {0};
    saros_op    *ops = test_calloc(MODEL, sizeof *ops);
    model_entry *model = test_calloc(MODEL, sizeof *model);
    uint64_t     order = 0, random = 12345;
    size_t       count = 0;
    for (int round = 0; round < ROUNDS; round++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        int  at = (int)((random >> 33) % MODEL);
        bool grow = (round / 10000) % 2 == 0; /* waves: it grows, then it empties */
        if (!model[at].in && (grow || random >> 63)) {
            saros_time deadline = (saros_time)((random >> 20) % 500);
            assert_int_equal(saros_heap_push(&heap, w->loop, &ops[at], deadline), 0);
            model[at] = (model_entry){deadline, order++, true};
            count++;
        } else if (model[at].in && !grow) {
            saros_heap_remove(&heap, w->loop, &ops[at]);
            model[at].in = false;
            count--;
        }
        assert_int_equal(heap.count, count);
        if (round % 500 == 0) {
            check_heap(&heap);
            if (count > 0) assert_ptr_equal(heap.entries[0].op, &ops[earliest(model)]);
        }
    }
    for (int best; (best = earliest(model)) >= 0; model[best].in = false)
        assert_ptr_equal(pop(&heap, w->loop), &ops[best]);
    assert_int_equal(heap.count, 0);
    saros_heap_free(&heap, w->loop);
    test_free(model);
    test_free(ops);
}

/* ---- memory ----------------------------------------------------------------------------------------------------- */

static void a_push_that_finds_no_memory_changes_nothing(void **state) {
    world     *w = *state;
    saros_heap heap = {0};
    saros_op   ops[17] = {0};
    w->memory.fail_from = 1;
    assert_result(saros_heap_push(&heap, w->loop, &ops[0], 1), SAROS_ENOMEM);
    assert_int_equal(heap.count, 0);
    w->memory.fail_from = 0;
    for (int i = 0; i < 16; i++) assert_int_equal(saros_heap_push(&heap, w->loop, &ops[i], 16 - i), 0);
    w->memory.fail_from = 1;
    assert_result(saros_heap_push(&heap, w->loop, &ops[16], 0), SAROS_ENOMEM);
    assert_int_equal(heap.count, 16);
    check_heap(&heap);
    for (int i = 15; i >= 0; i--) assert_ptr_equal(pop(&heap, w->loop), &ops[i]);
    saros_heap_free(&heap, w->loop);
}

static void a_burst_of_timers_is_not_paid_for_ever(void **state) {
    world     *w = *state;
    saros_heap heap = {0};
    size_t     before = w->memory.bytes;
    saros_op  *ops = test_calloc(100000, sizeof *ops);
    for (int i = 0; i < 100000; i++) assert_int_equal(saros_heap_push(&heap, w->loop, &ops[i], i), 0);
    assert_true(w->memory.bytes - before >= 100000 * sizeof(saros_heap_entry));
    for (int i = 0; i < 100000; i++) pop(&heap, w->loop);
    assert_true(w->memory.bytes - before <= 256 * sizeof(saros_heap_entry));
    saros_heap_free(&heap, w->loop);
    assert_int_equal(w->memory.bytes, before);
    test_free(ops);
}

/* ---- the queue -------------------------------------------------------------------------------------------------- */

static void a_queue_gives_back_in_the_order_it_was_given(void **state) {
    saros_queue queue = {0};
    saros_op    ops[5] = {0};
    (void)state;
    assert_null(saros_queue_pop(&queue));
    for (int round = 0; round < 3; round++) { /* an emptied queue must work again */
        saros_queue_push(&queue, &ops[0]);
        saros_queue_push(&queue, &ops[1]);
        assert_ptr_equal(saros_queue_pop(&queue), &ops[0]);
        for (int i = 2; i < 5; i++) saros_queue_push(&queue, &ops[i]);
        assert_int_equal(queue.count, 4);
        for (int i = 1; i < 5; i++) assert_ptr_equal(saros_queue_pop(&queue), &ops[i]);
        assert_null(saros_queue_pop(&queue));
        assert_int_equal(queue.count, 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        WORLD_TEST(the_earliest_deadline_comes_first),
        WORLD_TEST(equal_deadlines_leave_in_the_order_of_their_start),
        WORLD_TEST(any_entry_can_be_taken_out),
        WORLD_TEST(a_random_history_agrees_with_a_sorted_list),
        WORLD_TEST(a_push_that_finds_no_memory_changes_nothing),
        WORLD_TEST(a_burst_of_timers_is_not_paid_for_ever),
        cmocka_unit_test(a_queue_gives_back_in_the_order_it_was_given),
    };
    return cmocka_run_group_tests_name("heap and queue", tests, NULL, NULL);
}
