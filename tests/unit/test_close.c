/* test_close.c: the end of a loop: everything is told, everything is given back, nothing hangs. */
#include <stddef.h>
#include <string.h>

#include "support/fake_driver.h"

static char bytes[16];

static void open_now(world *w, int kind, saros_handle *handle) {
    fake.now = true;
    assert_result(perform(w, kind, handle, NULL, 0), 0);
    fake.now = false;
}

static void close_tells_everything_that_flies(void **state) {
    world       *w = *state;
    saros_handle handles[5] = {0}, accepted[2] = {0};
    told         ops[8] = {0};
    for (int slow = 0; slow < 2; slow++) {
        if (slow) assert_int_equal(world_open(w, "sim", NULL), 0);
        fake.slow_cancel = slow == 1;
        memset(handles, 0, sizeof handles);
        open_now(w, SAROS_OP_CONNECT, &handles[0]);
        start(w, &ops[0], SAROS_OP_RECV, &handles[0], bytes, 1);
        start(w, &ops[1], SAROS_OP_SEND, &handles[0], bytes, 1);
        start(w, &ops[2], SAROS_OP_CONNECT, &handles[1], NULL, 0);
        open_now(w, SAROS_OP_LISTEN, &handles[2]);
        start(w, &ops[3], SAROS_OP_ACCEPT, &handles[2], &accepted[0], 0);
        start(w, &ops[4], SAROS_OP_ACCEPT, &handles[2], &accepted[1], 0);
        start(w, &ops[5], SAROS_OP_CONNECT, &handles[3], NULL, 0);
        open_now(w, SAROS_OP_CONNECT, &handles[4]);
        start_timer(w, &ops[6], 1000);
        start_timer(w, &ops[7], SAROS_SECOND);
        world_close(w);
        for (int i = 0; i < 8; i++) {
            assert_int_equal(ops[i].times, 1);
            assert_result(ops[i].result, SAROS_ECANCELED);
        }
        for (int i = 0; i < 5; i++) assert_int_equal(handles[i].state, SAROS_HANDLE_EMPTY);
        assert_int_equal(fake.count, 0);
        assert_int_equal(fake.closes, 1);
    }
}

static void a_close_under_way_is_brought_to_its_end(void **state) {
    world       *w = *state;
    saros_handle handle = {0};
    told         receive = {0}, close = {0};
    open_now(w, SAROS_OP_CONNECT, &handle);
    fake.slow_cancel = true;
    start(w, &receive, SAROS_OP_RECV, &handle, bytes, 1);
    start(w, &close, SAROS_OP_CLOSE, &handle, NULL, 0);
    world_close(w);
    assert_result(receive.result, SAROS_ECLOSED);
    assert_result(close.result, 0);
    assert_int_equal(close.times, 1);
}

static void what_is_ready_is_told_with_its_own_result(void **state) {
    world       *w = *state;
    saros_handle handle = {0};
    told         receive = {0}, posted = {0};
    open_now(w, SAROS_OP_CONNECT, &handle);
    start(w, &receive, SAROS_OP_RECV, &handle, bytes, 9);
    fake_finish(&receive.op, 9);
    saros_expect(w->loop, prepare(w, &posted));
    assert_result(saros_post(w->loop, &posted.op, 11), 0);
    world_close(w);
    assert_int_equal(receive.result, 9);
    assert_int_equal(posted.result, 11);
}

/* ---- callbacks while it closes ---------------------------------------------------------------------------------- */

static saros_handle late_handle;
static told         late_connect, late_timer, late_post;
static int          late_close;

static void use_the_loop(told *t) {
    world *w = t->world;
    start(w, &late_connect, SAROS_OP_CONNECT, &late_handle, NULL, 0);
    assert_int_equal(start_timer(w, &late_timer, 0), 0);
    saros_expect(w->loop, prepare(w, &late_post));
    assert_result(saros_post(w->loop, &late_post.op, 3), 0);
    late_close = saros_close(w->loop);
}

static void callbacks_may_use_a_closing_loop_and_are_refused(void **state) {
    world *w = *state;
    told   timer = {.then = use_the_loop};
    late_handle = (saros_handle){0};
    start_timer(w, &timer, 1000);
    world_close(w);
    assert_int_equal(late_connect.times + late_timer.times + late_post.times, 3);
    assert_result(late_connect.result, SAROS_ECLOSED);
    assert_result(late_timer.result, SAROS_ECLOSED);
    assert_int_equal(late_post.result, 3);
    assert_result(late_close, SAROS_EBUSY);
}

static int64_t lend_nothing(saros_op *op, char *buffer, size_t size) {
    return (void)op, (void)buffer, (void)size, SAROS_EAGAIN;
}

static void a_false_alarm_does_not_keep_a_closing_loop_waiting(void **state) {
    world       *w = *state;
    saros_handle handle = {0};
    told         receive = {0};
    open_now(w, SAROS_OP_CONNECT, &handle);
    fake.take = lend_nothing;
    start(w, &receive, SAROS_OP_RECV, &handle, NULL, 0);
    fake_finish(&receive.op, 0);
    world_close(w); /* the fake would fail the test where it is asked to sleep for ever */
    assert_int_equal(receive.times, 1);
    assert_true(receive.result == SAROS_ECLOSED || receive.result == SAROS_ECANCELED);
}

static void a_broken_driver_does_not_keep_a_closing_loop_waiting(void **state) {
    world       *w = *state;
    saros_handle handles[2] = {0};
    told         timer = {0};
    open_now(w, SAROS_OP_CONNECT, &handles[0]);
    open_now(w, SAROS_OP_CONNECT, &handles[1]);
    start_timer(w, &timer, 5);
    fake.slow_cancel = true;
    fake.wait_error = SAROS_EIO;
    world_close(w);
    assert_result(timer.result, SAROS_ECANCELED);
    assert_int_equal(fake.closes, 1);
}

/* ---- guests ----------------------------------------------------------------------------------------------------- */

typedef struct guest {
    saros_guest is;
    world      *w;
    told        timer;
    int         closings;
    bool        running;
} guest;

static void go(saros_guest *is, saros_loop *loop) {
    guest *it = (guest *)is;
    it->closings++;
    it->running = saros_running(loop);
    assert_int_equal(it->timer.times, 0); /* nothing was cancelled yet: the guest is asked first */
    saros_abandon(loop, &it->timer.op);
    assert_result(saros_close(loop), SAROS_EBUSY);
}

static void guests_let_go_before_anything_is_cancelled(void **state) {
    world *w = *state;
    guest  guests[3] = {0};
    for (int i = 0; i < 3; i++) {
        guests[i].is.closing = go;
        saros_join(w->loop, &guests[i].is);
        start_timer(w, &guests[i].timer, 100);
    }
    saros_leave(w->loop, &guests[1].is);
    saros_leave(w->loop, &guests[1].is); /* no effect */
    world_close(w);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(guests[i].closings, i != 1);
        assert_int_equal(guests[i].timer.times, i == 1); /* who has left keeps its timer, and is told */
    }
    assert_true(guests[0].running);
}

/* ---- open ------------------------------------------------------------------------------------------------------- */

static void an_open_that_fails_says_why_and_leaves_nothing(void **state) {
    world *w = *state;
    fake.open_error = SAROS_EPERM;
    assert_result(world_open(w, "sim", NULL), SAROS_EPERM);
    fake.open_error = 0;
    assert_null(w->loop);
    assert_string_equal(w->why, "sim: operation not permitted");
    assert_result(saros_open(&w->loop, &(saros_config){.size = sizeof(saros_config), .driver = "sim"}, NULL, 0), 0);
    world_close(w);
}

static void a_wrong_config_size_shrink(saros_config *config) { config->size = 8; }
static void a_wrong_config_size_grow(saros_config *config) { config->size = sizeof *config + 8; }
static void an_older_config(saros_config *config) { config->size = offsetof(saros_config, seed); }

static void the_size_of_a_config_is_looked_at(void **state) {
    world *w = *state;
    assert_result(world_open(w, "sim", a_wrong_config_size_shrink), SAROS_EINVAL);
    assert_non_null(strstr(w->why, "SAROS_CONFIG_INIT"));
    assert_result(world_open(w, "sim", a_wrong_config_size_grow), SAROS_EINVAL);
    assert_int_equal(world_open(w, "sim", an_older_config), 0); /* a caller compiled when there was less of it */
    assert_string_equal(saros_driver_name(w->loop), "fake");
}

static void a_reason_is_cut_to_its_room(void **state) {
    world       *w = *state;
    char         why[8];
    saros_config config = {.size = sizeof config, .driver = "nosuchdriver"};
    memset(why, 'x', sizeof why);
    assert_result(saros_open(&w->loop, &config, why, 5), SAROS_EINVAL);
    assert_string_equal(why, "nosu");
    assert_memory_equal(why + 5, "xxx", 3);
}

static void every_missing_allocation_is_a_clean_error(void **state) {
    world *w = *state;
    int    error = SAROS_ENOMEM;
    size_t from = 0;
    while (error < 0) {
        w->memory.calls = 0;
        w->memory.fail_from = ++from;
        error = world_open(w, "sim", NULL);
        if (error == 0) break;
        assert_result(error, SAROS_ENOMEM);
        assert_non_null(strstr(w->why, "memory"));
        assert_null(w->loop);
        assert_int_equal(w->memory.blocks, 0);
    }
    assert_int_equal(from, 4); /* the loop, its scratch buffer, the driver's state */
}

int main(void) {
    world_driver = "sim";
    const struct CMUnitTest tests[] = {
        WORLD_TEST(close_tells_everything_that_flies),
        WORLD_TEST(a_close_under_way_is_brought_to_its_end),
        WORLD_TEST(what_is_ready_is_told_with_its_own_result),
        WORLD_TEST(callbacks_may_use_a_closing_loop_and_are_refused),
        WORLD_TEST(a_false_alarm_does_not_keep_a_closing_loop_waiting),
        WORLD_TEST(guests_let_go_before_anything_is_cancelled),
        WORLD_TEST(a_broken_driver_does_not_keep_a_closing_loop_waiting),
        BARE_TEST(an_open_that_fails_says_why_and_leaves_nothing),
        BARE_TEST(the_size_of_a_config_is_looked_at),
        BARE_TEST(a_reason_is_cut_to_its_room),
        BARE_TEST(every_missing_allocation_is_a_clean_error),
    };
    return cmocka_run_group_tests_name("open and close", tests, NULL, NULL);
}
