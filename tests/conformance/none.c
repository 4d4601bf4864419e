/* none.c: a driver without descriptors refuses all of them by name, and leaves nothing behind. */
#include "conformance/conformance.h"

static void what_needs_a_descriptor_is_answered_with_enosys(void **state) {
    static const int families[] = {SAROS_INET, SAROS_INET6, SAROS_UNIX};
    world           *w = *state;
    for (int i = 0; i < 3; i++)
        for (int kind = SAROS_OP_CONNECT; kind <= SAROS_OP_PAIR; kind++) {
            if (kind == SAROS_OP_DATAGRAM && families[i] == SAROS_UNIX) continue; /* nobody has these */
            saros_handle  handle = {0}, other = {0};
            saros_address address = {.family = (uint8_t)families[i], .port = 1};
            told          op = {0};
            start(w, &op, kind, &handle, kind == SAROS_OP_PAIR ? (void *)&other : &address, 0);
            assert_int_equal(op.times, 0); /* a failure is told like any result, not inside the call */
            assert_result(await(w, &op), SAROS_ENOSYS);
            assert_int_equal(handle.state, SAROS_HANDLE_EMPTY);
            assert_int_equal(handle.os, SAROS_NO_HANDLE);
            assert_int_equal(saros_pending(w->loop), 0);
        }
}

static void what_needs_an_open_handle_says_that_there_is_none(void **state) {
    world       *w = *state;
    saros_handle handle = {0}, other = {0};
    char         byte;
    for (int kind = SAROS_OP_RECV; kind <= SAROS_OP_CLOSE; kind++)
        assert_result(perform(w, kind, &handle, &byte, 1), SAROS_ECLOSED);
    assert_result(perform(w, SAROS_OP_ACCEPT, &handle, &other, 0), SAROS_ECLOSED);
}

static void it_has_no_descriptor_at_all(void **state) {
    world *w = *state;
    assert_int_equal(saros_pollable(w->loop), SAROS_NO_HANDLE);
    assert_int_equal(descriptors_open(), w->descriptors);
}

int conform_none(void) {
    const struct CMUnitTest tests[] = {
        WORLD_TEST(what_needs_a_descriptor_is_answered_with_enosys),
        WORLD_TEST(what_needs_an_open_handle_says_that_there_is_none),
        WORLD_TEST(it_has_no_descriptor_at_all),
    };
    return cmocka_run_group_tests_name(group_name("none"), tests, NULL, NULL);
}
