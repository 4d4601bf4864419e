/* stopping.c: cancel and close, and callbacks that cancel, close and begin in the middle of a batch. */
#include <string.h>

#include "conformance/conformance.h"

static char buffer[2][100];

static const int families[] = {SAROS_INET, SAROS_UNIX};

static void a_cancelled_receive_ends_once_and_loses_no_byte(void **state) {
    world *w = *state;
    pair   p;
    told   receive = {0};
    for (int i = 0; i < 2; i++)
        for (int lent = 0; lent < 2; lent++) {
            int fd = pair_raw(w, &p, families[i]);
            start(w, &receive, SAROS_OP_RECV, &p.server, lent ? NULL : buffer[0], lent ? 0 : 10);
            steps(w, 1);
            for (int k = 0; k < 3; k++) saros_cancel(w->loop, &receive.op);
            assert_int_equal(receive.times, 0); /* not inside the call */
            assert_result(await(w, &receive), SAROS_ECANCELED);
            saros_cancel(w->loop, &receive.op); /* too late, and harmless */
            raw_write(fd, "abc", 3);
            steps(w, 3);
            assert_int_equal(receive.times, 1);
            assert_int_equal(perform(w, SAROS_OP_RECV, &p.server, buffer[0], 10), 3);
            assert_memory_equal(buffer[0], "abc", 3);
            raw_close(fd);
            pair_close(w, &p);
        }
}

/* Whichever way the race goes: once, and never a byte lost. */
static void race_with_data(world *w, int family) {
    pair p;
    told receive = {0};
    int  fd = pair_raw(w, &p, family), won = 0;
    for (int i = 0; i < 300; i++) {
        start(w, &receive, SAROS_OP_RECV, &p.server, buffer[0], 10);
        if (i % 3 > 0) raw_write(fd, &(char){(char)i}, 1);
        if (i % 3 == 2) waits_during(w, MILLISECOND / 5);
        saros_cancel(w->loop, &receive.op);
        int64_t result = await(w, &receive);
        if (result == SAROS_ECANCELED && i % 3 > 0) result = perform(w, SAROS_OP_RECV, &p.server, buffer[0], 10);
        else if (result > 0) won++;
        if (i % 3 == 0) {
            assert_result(result, SAROS_ECANCELED);
        } else {
            assert_int_equal(result, 1);
            assert_int_equal(buffer[0][0], (char)i);
        }
    }
    assert_true(won > 0);
    raw_close(fd);
    pair_close(w, &p);
}

static void a_cancel_that_races_with_data_is_one_or_the_other(void **state) {
    for (int i = 0; i < 2; i++) race_with_data(*state, families[i]);
}

/* Nobody can go on writing who does not know how much is out. */
static void a_cancelled_send_tells_how_much_of_it_went_out(void **state) {
    static char out[200000], in[100000];
    world      *w = *state;
    pair        p;
    told        send_op = {0};
    for (int round = 0; round < 8; round++) {
        int     fd = pair_raw(w, &p, families[round % 2]);
        int64_t sent = 0, got = 0;
        for (bool full = false; !full; full = send_op.times == 0, sent += full ? 0 : send_op.result) {
            start(w, &send_op, SAROS_OP_SEND, &p.server, out, sizeof out);
            waits_during(w, 10 * MILLISECOND);
        }
        /* It can go on at the moment when it is to stop. */
        for (int i = 0; i < round / 2 && send_op.times == 0; i++) got += (int64_t)raw_read_some(fd, in, sizeof in);
        saros_cancel(w->loop, &send_op.op);
        int64_t last = await(w, &send_op);
        if (last < 0) assert_result(last, SAROS_ECANCELED);
        else sent += last;
        assert_result(perform(w, SAROS_OP_SHUTDOWN, &p.server, NULL, 0), 0);
        while (got < sent) got += (int64_t)raw_read_some(fd, in, sizeof in);
        assert_int_equal(got, sent);
        assert_true(raw_ended(fd)); /* and not a byte more */
        raw_close(fd);
        pair_close(w, &p);
    }
}

static void a_won_accept_is_delivered_though_it_is_cancelled(void **state) {
    world        *w = *state;
    saros_handle  listener = {0}, accepted = {0};
    saros_address address;
    told          accept_op = {0};
    listen_at(w, &listener, &address, SAROS_UNIX);
    int fd = raw_connect(&address);
    start(w, &accept_op, SAROS_OP_ACCEPT, &listener, &accepted, 0);
    saros_cancel(w->loop, &accept_op.op);
    int64_t result = await(w, &accept_op);
    if (result == 0) {
        assert_int_equal(accepted.state, SAROS_HANDLE_OPEN);
        close_now(w, &accepted);
    } else {
        assert_result(result, SAROS_ECANCELED);
        assert_int_equal(accepted.state, SAROS_HANDLE_EMPTY);
    }
    raw_close(fd);
    close_now(w, &listener);
}

static void close_ends_what_flies_and_then_closes(void **state) {
    world *w = *state;
    pair   p;
    told   receive = {0}, send_op = {0}, close_op = {0};
    for (int i = 0; i < 2; i++)
        for (int lent = 0; lent < 2; lent++) {
            int fd = pair_raw(w, &p, families[i]);
            start(w, &receive, SAROS_OP_RECV, &p.server, lent ? NULL : buffer[0], lent ? 0 : 10);
            fill_up(w, &send_op, &p.server);
            start(w, &close_op, SAROS_OP_CLOSE, &p.server, NULL, 0);
            assert_int_equal(receive.times + send_op.times + close_op.times, 0);
            assert_result(perform(w, SAROS_OP_SEND, &p.server, "x", 1), SAROS_ECLOSED);
            assert_result(await(w, &close_op), 0);
            assert_result(receive.result, SAROS_ECLOSED);
            assert_result(send_op.result, SAROS_ECLOSED);
            assert_int_equal(receive.times + send_op.times, 2);
            assert_true(receive.order < close_op.order && send_op.order < close_op.order);
            assert_result(perform(w, SAROS_OP_CLOSE, &p.server, NULL, 0), SAROS_ECLOSED);
            raw_close(fd);
            pair_close(w, &p);
        }
}

static void what_was_received_before_the_close_is_delivered(void **state) {
    world *w = *state;
    pair   p;
    told   receive = {0}, close_op = {0};
    int    fd = pair_raw(w, &p, SAROS_UNIX);
    raw_write(fd, "abc", 3);
    start(w, &receive, SAROS_OP_RECV, &p.server, buffer[0], 10); /* finished inside the call, told later */
    start(w, &close_op, SAROS_OP_CLOSE, &p.server, NULL, 0);
    assert_result(await(w, &close_op), 0);
    assert_true(receive.result == 3 || receive.result == SAROS_ECLOSED);
    if (receive.result == 3) assert_memory_equal(buffer[0], "abc", 3);
    raw_close(fd);
    pair_close(w, &p);
}

/* ---- in the middle of a batch ----------------------------------------------------------------------------------- */

typedef struct batch {
    pair         p[2];
    int          fd[2];
    told         receive[2], close_op, connect_op, late;
    saros_handle fresh;
    bool         reopen;
} batch;

/* The first to be told closes the other's handle, and may open a new one, which gets the same number. */
static void close_the_other(told *t) {
    batch *b = t->with;
    int    other = t == &b->receive[0] ? 1 : 0;
    if (b->close_op.world != NULL) return;
    start(t->world, &b->close_op, SAROS_OP_CLOSE, &b->p[other].server, NULL, 0);
    if (b->reopen) start(t->world, &b->connect_op, SAROS_OP_CONNECT, &b->fresh, &b->p[other].address, 0);
}

static void run_batch(world *w, batch *b, int family, bool lent, bool reopen) {
    memset(b, 0, sizeof *b);
    b->reopen = reopen;
    for (int i = 0; i < 2; i++) {
        b->fd[i] = pair_raw(w, &b->p[i], family);
        b->receive[i].then = close_the_other;
        b->receive[i].with = b;
        start(w, &b->receive[i], SAROS_OP_RECV, &b->p[i].server, lent ? NULL : buffer[i], lent ? 0 : 10);
    }
    steps(w, 1);
    for (int i = 0; i < 2; i++) raw_write(b->fd[i], "abc", 3); /* both ready in one look at the kernel */
    AWAIT(w, b->close_op.times > 0);
}

static void end_batch(world *w, batch *b) {
    for (int i = 0; i < 2; i++) {
        assert_int_equal(b->receive[i].times, 1);
        raw_close(b->fd[i]);
        pair_close(w, &b->p[i]);
    }
}

static void one_of_a_batch_may_close_anothers_handle(void **state) {
    world *w = *state;
    batch  b;
    for (int family = 0; family < 2; family++)
        for (int lent = 0; lent < 2; lent++) {
            run_batch(w, &b, families[family], lent, false);
            int second = b.receive[0].order < b.receive[1].order ? 1 : 0;
            assert_int_equal(b.receive[1 - second].result, 3);
            if (lent) assert_result(b.receive[second].result, SAROS_ECLOSED); /* no call on a closed handle */
            else assert_true(b.receive[second].result == 3 || b.receive[second].result == SAROS_ECLOSED);
            assert_true(b.receive[second].order < b.close_op.order);
            end_batch(w, &b);
        }
}

static void a_new_handle_sees_nothing_of_the_one_whose_number_it_got(void **state) {
    world *w = *state;
    batch  b;
    for (int lent = 0; lent < 2; lent++)
        for (int i = 0; i < 20; i++) {
            run_batch(w, &b, SAROS_UNIX, lent, true);
            assert_result(await(w, &b.connect_op), 0);
            start(w, &b.late, SAROS_OP_RECV, &b.fresh, buffer[0], 10);
            steps(w, 5);
            assert_int_equal(b.late.times, 0); /* "abc" was another's */
            close_now(w, &b.fresh);
            assert_result(b.late.result, SAROS_ECLOSED);
            end_batch(w, &b);
        }
}

static void cancel_the_other(told *t) {
    batch *b = t->with;
    saros_cancel(t->world->loop, &b->receive[t == &b->receive[0] ? 1 : 0].op);
}

static void one_of_a_batch_may_cancel_another(void **state) {
    world *w = *state;
    for (int lent = 0; lent < 2; lent++) {
        batch b = {0};
        for (int i = 0; i < 2; i++) {
            b.fd[i] = pair_raw(w, &b.p[i], SAROS_UNIX);
            b.receive[i].then = cancel_the_other;
            b.receive[i].with = &b;
            start(w, &b.receive[i], SAROS_OP_RECV, &b.p[i].server, lent ? NULL : buffer[i], lent ? 0 : 10);
        }
        steps(w, 1);
        for (int i = 0; i < 2; i++) raw_write(b.fd[i], "abc", 3);
        AWAIT(w, b.receive[0].times + b.receive[1].times == 2);
        for (int i = 0; i < 2; i++) {
            b.receive[i].then = NULL;
            if (b.receive[i].result == SAROS_ECANCELED) /* then the bytes are still there */
                assert_int_equal(perform(w, SAROS_OP_RECV, &b.p[i].server, buffer[i], 10), 3);
            else assert_int_equal(b.receive[i].result, 3);
            raw_close(b.fd[i]);
            pair_close(w, &b.p[i]);
        }
    }
}

static int  rounds;
static void read_again(told *t) {
    if (t->result > 0 && ++rounds < 1000) start(t->world, t, SAROS_OP_RECV, t->op.handle, buffer[0], 1);
}

static void a_callback_may_begin_its_own_op_again(void **state) {
    static char many[1000];
    world      *w = *state;
    pair        p;
    told        receive = {.then = read_again}, other = {0};
    int         fd = pair_raw(w, &p, SAROS_UNIX);
    raw_write(fd, many, sizeof many);
    rounds = 0;
    start(w, &receive, SAROS_OP_RECV, &p.server, buffer[0], 1);
    start_timer(w, &other, 0);
    steps(w, 1);
    AWAIT(w, rounds == 1000);
    assert_in_range(other.order, 1, 50); /* a stream that is always ready does not keep a timer waiting */
    raw_close(fd);
    pair_close(w, &p);
}

static void close_itself(told *t) { start(t->world, t->with, SAROS_OP_CLOSE, t->op.handle, NULL, 0); }

static void a_callback_may_close_its_own_handle(void **state) {
    world *w = *state;
    pair   p;
    told   close_op = {0}, receive = {.then = close_itself, .with = &close_op};
    for (int lent = 0; lent < 2; lent++) {
        int fd = pair_raw(w, &p, SAROS_INET);
        prepare(w, &close_op);
        start(w, &receive, SAROS_OP_RECV, &p.server, lent ? NULL : buffer[0], lent ? 0 : 10);
        raw_write(fd, "x", 1);
        assert_result(await(w, &close_op), 0);
        assert_int_equal(receive.result, 1);
        assert_true(raw_ended(fd));
        raw_close(fd);
        pair_close(w, &p);
    }
}

/* What a host has for a connection: it holds the handle and its operations, and goes when the handle has closed. */
typedef struct session {
    saros_handle handle;
    told         receive, waiting, close_op;
    char         byte;
} session;
static int gone;

static void leave(told *t) {
    session *s = t->with;
    start(t->world, &s->close_op, SAROS_OP_CLOSE, &s->handle, NULL, 0);
}
static void go(told *t) {
    gone++;
    test_free(t->with);
}

static void what_holds_a_handle_may_go_when_its_close_is_told(void **state) {
    world *w = *state;
    for (int i = 0; i < 20; i++) {
        session     *s = test_calloc(1, sizeof *s);
        saros_handle other = {0};
        saros_op     two = {.kind = SAROS_OP_PAIR, .handle = &s->handle, .accepted = &other};
        s->receive.then = leave;
        s->close_op.then = go;
        s->receive.with = s->close_op.with = s;
        gone = 0;
        assert_true(saros_submit_now(w->loop, &two));
        assert_result(two.result, 0);
        if (i % 2) fill_up(w, &s->waiting, &s->handle); /* which the close has to end first */
        start(w, &s->receive, SAROS_OP_RECV, &s->handle, &s->byte, 1);
        send_all(w, &other, "x", 1);
        AWAIT(w, gone == 1);
        close_now(w, &other);
    }
}

static void handles_opened_and_closed_in_any_order_leave_nothing(void **state) {
    enum { MANY = 200 };
    world        *w = *state;
    saros_handle *handles = test_calloc(MANY, sizeof *handles), listener = {0};
    told         *receives = test_calloc(MANY, sizeof *receives);
    int          *fds = test_calloc(MANY, sizeof *fds);
    char         *bytes = test_calloc(MANY, 1);
    saros_address address;
    listen_at(w, &listener, &address, SAROS_UNIX);
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < MANY; i++) {
            fds[i] = raw_connect(&address);
            assert_result(perform(w, SAROS_OP_ACCEPT, &listener, &handles[i], 0), 0);
            start(w, &receives[i], SAROS_OP_RECV, &handles[i], bytes + i, 1);
        }
        for (int i = 0; i < MANY; i++) {
            int at = (i * 73 + round) % MANY;
            if (i % 3 == 0) raw_write(fds[at], "x", 1);
            if (i % 5 == 0) raw_close(fds[at]);
            close_now(w, &handles[at]);
            if (i % 5 != 0) raw_close(fds[at]);
            assert_int_equal(receives[at].times, 1);
        }
    }
    close_now(w, &listener);
    test_free(bytes);
    test_free(fds);
    test_free(receives);
    test_free(handles);
}

int conform_stopping(void) {
    const struct CMUnitTest tests[] = {
        WORLD_TEST(a_cancelled_receive_ends_once_and_loses_no_byte),
        WORLD_TEST(a_cancel_that_races_with_data_is_one_or_the_other),
        WORLD_TEST(a_cancelled_send_tells_how_much_of_it_went_out),
        WORLD_TEST(a_won_accept_is_delivered_though_it_is_cancelled),
        WORLD_TEST(close_ends_what_flies_and_then_closes),
        WORLD_TEST(what_was_received_before_the_close_is_delivered),
        WORLD_TEST(one_of_a_batch_may_close_anothers_handle),
        WORLD_TEST(a_new_handle_sees_nothing_of_the_one_whose_number_it_got),
        WORLD_TEST(one_of_a_batch_may_cancel_another),
        WORLD_TEST(a_callback_may_begin_its_own_op_again),
        WORLD_TEST(a_callback_may_close_its_own_handle),
        WORLD_TEST(what_holds_a_handle_may_go_when_its_close_is_told),
        WORLD_TEST(handles_opened_and_closed_in_any_order_leave_nothing),
    };
    return cmocka_run_group_tests_name(group_name("stopping"), tests, NULL, NULL);
}
