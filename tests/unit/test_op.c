/* test_op.c: the rules that hold for every driver: what may be asked when, and that everything ends exactly once. The
 * driver is of the completion kind, where cancels may lose and come late. */
#include <string.h>

#include "support/fake_driver.h"

static char bytes[16];

/* Runs one op that the driver finishes inside the call. */
static int64_t at_once(world *w, int kind, saros_handle *handle, void *pointer, size_t size) {
    fake.now = true;
    int64_t result = perform(w, kind, handle, pointer, size);
    fake.now = false;
    return result;
}

static void open_stream(world *w, saros_handle *handle) {
    assert_result(at_once(w, SAROS_OP_CONNECT, handle, NULL, 0), 0);
    assert_int_equal(handle->state, SAROS_HANDLE_OPEN);
}

static void open_listener(world *w, saros_handle *handle) {
    assert_result(at_once(w, SAROS_OP_LISTEN, handle, NULL, 0), 0);
}

static void shut(world *w, saros_handle *handle) {
    assert_result(at_once(w, SAROS_OP_CLOSE, handle, NULL, 0), 0);
    assert_int_equal(handle->state, SAROS_HANDLE_EMPTY);
}

/* ---- once, and not inside the call ------------------------------------------------------------------------------ */

static void an_op_that_is_finished_inside_submit_is_told_later(void **state) {
    world       *w = *state;
    saros_handle handle = {0};
    told         receive = {0};
    open_stream(w, &handle);
    fake.now = true, fake.now_result = 5;
    start(w, &receive, SAROS_OP_RECV, &handle, bytes, sizeof bytes);
    assert_int_equal(receive.times, 0);
    assert_int_equal(receive.op.state, SAROS_READY);
    steps(w, 3);
    assert_int_equal(receive.times, 1);
    assert_int_equal(receive.result, 5);
    assert_int_equal(receive.op.state, SAROS_IDLE);
    fake.now_result = 0;
    shut(w, &handle);
}

static void submit_now_answers_at_once_where_the_driver_does(void **state) {
    world       *w = *state;
    saros_handle handle = {0};
    told         send = {0};
    open_stream(w, &handle);
    fake.now = true, fake.now_result = 7;
    saros_op *op = prepare(w, &send);
    op->kind = SAROS_OP_SEND, op->handle = &handle, op->data = "x", op->size = 1;
    assert_true(saros_submit_now(w->loop, op));
    assert_int_equal(op->result, 7);
    assert_int_equal(op->state, SAROS_IDLE);
    op->size = 0;
    assert_true(saros_submit_now(w->loop, op)); /* a refusal is an answer, too */
    assert_result(op->result, SAROS_EINVAL);
    fake.now = false;
    op->size = 1;
    assert_false(saros_submit_now(w->loop, op));
    steps(w, 3);
    assert_int_equal(send.times, 0);
    fake_finish(op, 1);
    steps(w, 3);
    assert_int_equal(send.times, 1);
    fake.now_result = 0;
    shut(w, &handle);
}

static void a_cancelled_op_ends_once_with_whichever_is_true(void **state) {
    world       *w = *state;
    saros_handle handle = {0};
    told         receive = {0};
    open_stream(w, &handle);
    fake.slow_cancel = true;
    start(w, &receive, SAROS_OP_RECV, &handle, bytes, sizeof bytes); /* 1: the cancel wins */
    saros_cancel(w->loop, &receive.op);
    saros_cancel(w->loop, &receive.op);
    assert_int_equal(receive.op.state, SAROS_FLYING); /* a wish: buffer and op are still the driver's */
    assert_result(await(w, &receive), SAROS_ECANCELED);
    start(w, &receive, SAROS_OP_RECV, &handle, bytes, sizeof bytes); /* 2: data came first, the driver says */
    saros_cancel(w->loop, &receive.op);
    fake_finish(&receive.op, 3);
    assert_int_equal(await(w, &receive), 3);
    start(w, &receive, SAROS_OP_RECV, &handle, bytes, sizeof bytes); /* 3: it is finished, only not told */
    fake_finish(&receive.op, 4);
    size_t cancels = fake.cancels;
    saros_cancel(w->loop, &receive.op);
    assert_int_equal(fake.cancels, cancels); /* the driver is not bothered */
    assert_int_equal(await(w, &receive), 4);
    saros_cancel(w->loop, &receive.op); /* 4: it is told */
    steps(w, 3);
    assert_int_equal(receive.times, 1);
    shut(w, &handle);
}

static void a_posted_op_is_told_what_was_posted_though_it_is_cancelled_after(void **state) {
    world *w = *state;
    told   op = {0}, other = {0};
    saros_expect(w->loop, prepare(w, &op));
    saros_expect(w->loop, prepare(w, &other));
    assert_result(saros_post(w->loop, &op.op, 42), 0);
    saros_cancel(w->loop, &op.op);
    saros_cancel(w->loop, &other.op);
    steps(w, 3);
    assert_int_equal(op.times, 1);
    assert_int_equal(op.result, 42);
    assert_int_equal(other.times, 1);
    assert_result(other.result, SAROS_ECANCELED);
}

/* ---- what is refused -------------------------------------------------------------------------------------------- */

static void one_reader_and_one_writer_at_a_time(void **state) {
    world       *w = *state;
    saros_handle handle = {0};
    told         receive = {0}, send = {0}, next = {0};
    open_stream(w, &handle);
    start(w, &receive, SAROS_OP_RECV, &handle, bytes, sizeof bytes);
    start(w, &send, SAROS_OP_SEND, &handle, bytes, sizeof bytes);
    size_t submits = fake.submits;
    assert_result(perform(w, SAROS_OP_RECV, &handle, bytes, 1), SAROS_EBUSY);
    assert_result(perform(w, SAROS_OP_RECV, &handle, NULL, 0), SAROS_EBUSY);
    assert_result(perform(w, SAROS_OP_SEND, &handle, bytes, 1), SAROS_EBUSY);
    assert_result(perform(w, SAROS_OP_SHUTDOWN, &handle, NULL, 0), SAROS_EBUSY);
    assert_int_equal(fake.submits, submits); /* no driver is asked */
    assert_int_equal(receive.times + send.times, 0);
    fake_finish(&receive.op, 1);
    fake_finish(&send.op, 1);
    start(w, &next, SAROS_OP_RECV, &handle, bytes, 1); /* the way is free again, also before it is told */
    assert_int_equal(fake.submits, submits + 1);
    fake_finish(&next.op, 1);
    steps(w, 1);
    assert_int_equal(receive.times + send.times + next.times, 3);
    shut(w, &handle);
}

static void a_listener_has_up_to_sixteen_accepts(void **state) {
    world       *w = *state;
    saros_handle listener = {0}, accepted[17] = {0};
    told         accepts[17] = {0};
    open_listener(w, &listener);
    for (int i = 0; i < 17; i++) start(w, &accepts[i], SAROS_OP_ACCEPT, &listener, &accepted[i], 0);
    assert_result(await(w, &accepts[16]), SAROS_EBUSY);
    for (int i = 0; i < 16; i++) assert_int_equal(accepts[i].times, 0);
    fake_finish(&accepts[3].op, 0);
    assert_result(await(w, &accepts[3]), 0);
    assert_int_equal(accepted[3].state, SAROS_HANDLE_OPEN);
    start(w, &accepts[16], SAROS_OP_ACCEPT, &listener, &accepted[16], 0);
    steps(w, 1);
    assert_int_equal(accepts[16].op.state, SAROS_FLYING);
    shut(w, &listener);
    for (int i = 0; i < 17; i++) {
        assert_int_equal(accepts[i].times, 1);
        assert_result(accepts[i].result, i == 3 ? 0 : SAROS_ECLOSED);
    }
    shut(w, &accepted[3]);
}

static void what_cannot_be_is_refused_by_name_on_every_driver(void **state) {
    world       *w = *state;
    saros_handle empty = {0}, stream = {0}, listener = {0}, opening = {0}, other = {0};
    told         connect = {0};
    open_stream(w, &stream);
    open_listener(w, &listener);
    start(w, &connect, SAROS_OP_CONNECT, &opening, NULL, 0);
    size_t submits = fake.submits;
    assert_result(perform(w, SAROS_OP_RECV, &empty, bytes, 1), SAROS_ECLOSED);
    assert_result(perform(w, SAROS_OP_SEND, &empty, bytes, 1), SAROS_ECLOSED);
    assert_result(perform(w, SAROS_OP_CLOSE, &empty, NULL, 0), SAROS_ECLOSED);
    assert_result(perform(w, SAROS_OP_NAME, &empty, NULL, 0), SAROS_ECLOSED);
    assert_result(perform(w, SAROS_OP_RECV, &opening, bytes, 1), SAROS_ENOTCONN);
    assert_result(perform(w, SAROS_OP_CONNECT, &opening, NULL, 0), SAROS_EISCONN);
    assert_result(perform(w, SAROS_OP_CONNECT, &stream, NULL, 0), SAROS_EISCONN);
    assert_result(perform(w, SAROS_OP_LISTEN, &listener, NULL, 0), SAROS_EISCONN);
    assert_result(perform(w, SAROS_OP_ACCEPT, &stream, &other, 0), SAROS_EINVAL);
    assert_result(perform(w, SAROS_OP_ACCEPT, &listener, &stream, 0), SAROS_EISCONN);
    assert_result(perform(w, SAROS_OP_RECV, &listener, bytes, 1), SAROS_ENOTCONN);
    assert_result(perform(w, SAROS_OP_SEND, &listener, bytes, 1), SAROS_ENOTCONN);
    assert_result(perform(w, SAROS_OP_SHUTDOWN, &listener, NULL, 0), SAROS_ENOTCONN);
    assert_result(perform(w, SAROS_OP_RECV, &stream, bytes, 0), SAROS_EINVAL); /* 0 would read as the end */
    assert_result(perform(w, SAROS_OP_SEND, &stream, bytes, 0), SAROS_EINVAL);
    assert_int_equal(fake.submits, submits);
    saros_cancel(w->loop, &connect.op);
    assert_result(await(w, &connect), SAROS_ECANCELED);
    shut(w, &stream);
    shut(w, &listener);
}

static void an_opening_that_fails_leaves_an_empty_handle(void **state) {
    world       *w = *state;
    saros_handle handle = {0};
    fake.now_result = SAROS_ECONNREFUSED;
    assert_result(at_once(w, SAROS_OP_CONNECT, &handle, NULL, 0), SAROS_ECONNREFUSED);
    assert_int_equal(handle.state, SAROS_HANDLE_EMPTY);
    assert_int_equal(handle.os, SAROS_NO_HANDLE);
    fake.now_result = SAROS_EADDRINUSE;
    assert_result(at_once(w, SAROS_OP_LISTEN, &handle, NULL, 0), SAROS_EADDRINUSE);
    assert_int_equal(handle.state, SAROS_HANDLE_EMPTY);
    fake.now_result = 0;
    open_stream(w, &handle); /* and the handle can be tried again */
    shut(w, &handle);
}

/* ---- close ------------------------------------------------------------------------------------------------------ */

static void close_ends_what_is_in_flight_first(void **state) {
    world       *w = *state;
    saros_handle handle = {0};
    told         receive = {0}, send = {0}, ended = {0}, close = {0};
    for (int slow = 0; slow < 2; slow++) {
        open_stream(w, &handle);
        start(w, &receive, SAROS_OP_RECV, &handle, bytes, 1);
        start(w, &send, SAROS_OP_SEND, &handle, bytes, 1);
        start(w, &ended, SAROS_OP_NAME, &handle, bytes, 1);
        fake_finish(&ended.op, 0);
        fake.slow_cancel = slow == 1;
        size_t submits = fake.submits;
        start(w, &close, SAROS_OP_CLOSE, &handle, NULL, 0);
        assert_int_equal(fake.submits, submits + (slow ? 0 : 1)); /* not before the last has ended */
        assert_result(perform(w, SAROS_OP_SEND, &handle, bytes, 1), SAROS_ECLOSED);
        assert_result(perform(w, SAROS_OP_CLOSE, &handle, NULL, 0), SAROS_ECLOSED);
        saros_cancel(w->loop, &close.op); /* a close is not to be cancelled */
        assert_result(await(w, &close), 0);
        assert_result(ended.result, 0); /* what had ended keeps its result */
        assert_result(receive.result, SAROS_ECLOSED);
        assert_result(send.result, SAROS_ECLOSED);
        assert_int_equal(receive.times + send.times + ended.times, 3);
        assert_true(close.order > receive.order && close.order > send.order && close.order > ended.order);
        assert_int_equal(handle.state, SAROS_HANDLE_EMPTY);
    }
}

static void what_wins_against_a_close_keeps_its_result(void **state) {
    world       *w = *state;
    saros_handle handle = {0}, listener = {0}, accepted = {0};
    told         receive = {0}, accept = {0}, close = {0};
    fake.slow_cancel = true;
    open_stream(w, &handle);
    start(w, &receive, SAROS_OP_RECV, &handle, bytes, 4);
    start(w, &close, SAROS_OP_CLOSE, &handle, NULL, 0);
    fake_finish(&receive.op, 4);
    assert_result(await(w, &close), 0);
    assert_int_equal(receive.result, 4);
    open_listener(w, &listener);
    start(w, &accept, SAROS_OP_ACCEPT, &listener, &accepted, 0);
    start(w, &close, SAROS_OP_CLOSE, &listener, NULL, 0);
    fake_finish(&accept.op, 0);
    assert_result(await(w, &close), 0);
    assert_result(accept.result, 0);
    assert_int_equal(accepted.state, SAROS_HANDLE_OPEN); /* delivered, and the caller's to close */
    shut(w, &accepted);
}

static void a_handle_can_be_closed_while_it_opens(void **state) {
    world       *w = *state;
    saros_handle handle = {0};
    told         connect = {0}, close = {0};
    for (int how = 0; how < 3; how++) { /* the cancel at once; late; too late */
        fake.slow_cancel = how > 0;
        start(w, &connect, SAROS_OP_CONNECT, &handle, NULL, 0);
        start(w, &close, SAROS_OP_CLOSE, &handle, NULL, 0);
        if (how == 2) fake_finish(&connect.op, 0);
        assert_result(await(w, &close), 0);
        assert_int_equal(connect.times, 1);
        assert_result(connect.result, how == 2 ? 0 : SAROS_ECLOSED);
        assert_true(connect.order < close.order);
        assert_int_equal(handle.state, SAROS_HANDLE_EMPTY);
    }
}

/* ---- lent receives ---------------------------------------------------------------------------------------------- */

static int64_t lend(saros_op *op, char *buffer, size_t size) {
    return (void)op, (void)size, memcpy(buffer, "moon", 4), 4;
}
static int64_t lend_nothing(saros_op *op, char *buffer, size_t size) {
    return (void)op, (void)buffer, (void)size, SAROS_EAGAIN;
}
static char lent[5];
static void look(told *t) { memcpy(lent, saros_lent(t->world->loop), 4); }
static void close_with(told *t) { start(t->world, t->with, SAROS_OP_CLOSE, t->op.handle, NULL, 0); }

static void a_lent_receive_is_taken_just_before_it_is_told(void **state) {
    world       *w = *state;
    saros_handle handle = {0};
    told         receive = {.then = look};
    open_stream(w, &handle);
    fake.take = lend;
    start(w, &receive, SAROS_OP_RECV, &handle, NULL, 0);
    fake_finish(&receive.op, 0);
    assert_int_equal(fake.takes, 0);
    steps(w, 1);
    assert_int_equal(fake.takes, 1);
    assert_int_equal(receive.result, 4);
    assert_string_equal(lent, "moon");
    shut(w, &handle);
}

static void a_lent_receive_that_finds_nothing_flies_again(void **state) {
    world       *w = *state;
    saros_handle handle = {0};
    told         receive = {0};
    open_stream(w, &handle);
    start(w, &receive, SAROS_OP_RECV, &handle, NULL, 0);
    for (int i = 0; i < 3; i++) {
        fake.take = lend_nothing;
        fake_finish(&receive.op, 0);
        steps(w, 1);
        assert_int_equal(receive.times, 0);
        assert_int_equal(receive.op.state, SAROS_FLYING);
        assert_int_equal(saros_pending(w->loop), 1);
    }
    fake.take = lend;
    fake_finish(&receive.op, 0);
    assert_int_equal(await(w, &receive), 4);
    shut(w, &handle);
}

static void a_lent_receive_whose_handle_closes_before_its_turn_takes_nothing(void **state) {
    world       *w = *state;
    saros_handle handle = {0};
    told         close = {0}, first = {.then = close_with, .with = &close}, receive = {0};
    for (int slow = 0; slow < 2; slow++) {
        open_stream(w, &handle);
        prepare(w, &close);
        fake.take = lend;
        fake.now = !slow; /* the close is finished inside its submit, or in a later wait */
        size_t takes = fake.takes;
        start(w, &first, SAROS_OP_NAME, &handle, NULL, 0);
        start(w, &receive, SAROS_OP_RECV, &handle, NULL, 0);
        if (slow) fake_finish(&first.op, 0), fake_finish(&receive.op, 0);
        assert_result(await(w, &close), 0);
        assert_result(receive.result, SAROS_ECLOSED);
        assert_int_equal(receive.times, 1);
        assert_int_equal(fake.takes, takes);
        assert_true(receive.order < close.order);
        fake.now = false;
    }
}

static void a_close_is_never_told_before_a_lent_receive(void **state) {
    world       *w = *state;
    saros_handle handle = {0};
    told         receive = {0}, close = {0};
    open_stream(w, &handle);
    start(w, &receive, SAROS_OP_RECV, &handle, NULL, 0);
    fake_finish(&receive.op, 0);
    fake.now = true;
    saros_op *op = prepare(w, &close);
    op->kind = SAROS_OP_CLOSE, op->handle = &handle;
    /* Were it answered at once, the caller could free the handle that the receive is yet to look at. */
    assert_false(saros_submit_now(w->loop, op));
    fake.now = false;
    assert_result(await(w, &close), 0);
    assert_result(receive.result, SAROS_ECLOSED);
    assert_true(receive.order < close.order);
}

static void a_cancel_is_not_forgotten_when_a_lent_receive_finds_nothing(void **state) {
    world       *w = *state;
    saros_handle handle = {0};
    told         receive = {0};
    open_stream(w, &handle);
    fake.take = lend_nothing;
    start(w, &receive, SAROS_OP_RECV, &handle, NULL, 0);
    fake_finish(&receive.op, 0);
    saros_cancel(w->loop, &receive.op);
    steps(w, 1);
    assert_int_equal(receive.times, 1);
    assert_result(receive.result, SAROS_ECANCELED);
    fake.take = lend; /* and where there is something it is delivered */
    start(w, &receive, SAROS_OP_RECV, &handle, NULL, 0);
    fake_finish(&receive.op, 0);
    saros_cancel(w->loop, &receive.op);
    assert_int_equal(await(w, &receive), 4);
    fake.take = lend_nothing; /* nor does a cancel of the past touch the next one */
    start(w, &receive, SAROS_OP_RECV, &handle, NULL, 0);
    fake_finish(&receive.op, 0);
    steps(w, 1);
    assert_int_equal(receive.op.state, SAROS_FLYING);
    shut(w, &handle);
}

static void a_lent_receive_that_flies_again_does_not_make_a_second_reader(void **state) {
    world       *w = *state;
    saros_handle handle = {0};
    told         receive = {0}, second = {0};
    open_stream(w, &handle);
    fake.take = lend_nothing;
    start(w, &receive, SAROS_OP_RECV, &handle, NULL, 0);
    fake_finish(&receive.op, 0);
    start(w, &second, SAROS_OP_RECV, &handle, bytes, 1);
    steps(w, 1);
    size_t readers = 0;
    for (size_t i = 0; i < fake.count; i++) readers += fake.flying[i]->kind == SAROS_OP_RECV;
    assert_int_equal(readers, 1);
    assert_int_equal(receive.times + second.times, 1);
    assert_result(receive.result + second.result, SAROS_EBUSY);
    shut(w, &handle);
}

int main(void) {
    world_driver = "sim";
    const struct CMUnitTest tests[] = {
        WORLD_TEST(an_op_that_is_finished_inside_submit_is_told_later),
        WORLD_TEST(submit_now_answers_at_once_where_the_driver_does),
        WORLD_TEST(a_cancelled_op_ends_once_with_whichever_is_true),
        WORLD_TEST(a_posted_op_is_told_what_was_posted_though_it_is_cancelled_after),
        WORLD_TEST(one_reader_and_one_writer_at_a_time),
        WORLD_TEST(a_listener_has_up_to_sixteen_accepts),
        WORLD_TEST(what_cannot_be_is_refused_by_name_on_every_driver),
        WORLD_TEST(an_opening_that_fails_leaves_an_empty_handle),
        WORLD_TEST(close_ends_what_is_in_flight_first),
        WORLD_TEST(what_wins_against_a_close_keeps_its_result),
        WORLD_TEST(a_handle_can_be_closed_while_it_opens),
        WORLD_TEST(a_lent_receive_is_taken_just_before_it_is_told),
        WORLD_TEST(a_lent_receive_that_finds_nothing_flies_again),
        WORLD_TEST(a_lent_receive_whose_handle_closes_before_its_turn_takes_nothing),
        WORLD_TEST(a_close_is_never_told_before_a_lent_receive),
        WORLD_TEST(a_cancel_is_not_forgotten_when_a_lent_receive_finds_nothing),
        WORLD_TEST(a_lent_receive_that_flies_again_does_not_make_a_second_reader),
    };
    return cmocka_run_group_tests_name("operations", tests, NULL, NULL);
}
