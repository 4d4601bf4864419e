/* ending.c: how the other side ends a stream, and what we are told of it. */
#include <signal.h>
#include <string.h>

#include "conformance/conformance.h"

static char buffer[70000];

static const int families[] = {SAROS_INET, SAROS_UNIX};

static void what_was_sent_before_the_end_comes_before_the_end(void **state) {
    world *w = *state;
    pair   p;
    for (int i = 0; i < 2; i++)
        for (int lent = 0; lent < 2; lent++) {
            int fd = pair_raw(w, &p, families[i]);
            raw_write(fd, "0123456789", 10);
            raw_close(fd);
            int64_t got = 0, sum = 0;
            while ((got = perform(w, SAROS_OP_RECV, &p.server, lent ? NULL : buffer + sum, lent ? 0 : 4)) > 0)
                sum += got;
            assert_int_equal(got, 0);
            assert_int_equal(sum, 10);
            if (!lent) assert_memory_equal(buffer, "0123456789", 10);
            assert_int_equal(perform(w, SAROS_OP_RECV, &p.server, buffer, 4), 0); /* it stays the end */
            pair_close(w, &p);
        }
}

static void a_waiting_receive_is_told_of_the_end(void **state) {
    world *w = *state;
    pair   p;
    told   receive = {0};
    for (int i = 0; i < 2; i++)
        for (int lent = 0; lent < 2; lent++)
            for (int half = 0; half < 2; half++) {
                int fd = pair_raw(w, &p, families[i]);
                raw_write(fd, "x", 1); /* the short read makes the driver believe that there is nothing more */
                assert_int_equal(perform(w, SAROS_OP_RECV, &p.server, buffer, 100), 1);
                start(w, &receive, SAROS_OP_RECV, &p.server, lent ? NULL : buffer, lent ? 0 : 100);
                steps(w, 2);
                assert_int_equal(receive.times, 0);
                if (half) raw_end(fd);
                else raw_close(fd);
                assert_int_equal(await(w, &receive), 0);
                if (half) raw_close(fd);
                pair_close(w, &p);
            }
}

static void the_end_that_came_while_nobody_read_is_found(void **state) {
    world *w = *state;
    pair   p;
    for (int i = 0; i < 2; i++) {
        int fd = pair_raw(w, &p, families[i]);
        raw_write(fd, "x", 1);
        assert_int_equal(perform(w, SAROS_OP_RECV, &p.server, buffer, 100), 1);
        raw_close(fd);
        waits_during(w, 5 * MILLISECOND);
        assert_int_equal(perform(w, SAROS_OP_RECV, &p.server, buffer, 100), 0);
        pair_close(w, &p);
    }
}

static void half_a_stream_may_end_and_the_other_half_go_on(void **state) {
    world *w = *state;
    pair   p;
    for (int i = 0; i < 2; i++) {
        pair_open(w, &p, families[i]);
        send_all(w, &p.client, "question", 8);
        assert_result(perform(w, SAROS_OP_SHUTDOWN, &p.client, NULL, 0), 0);
        recv_all(w, &p.server, buffer, 8);
        assert_int_equal(perform(w, SAROS_OP_RECV, &p.server, buffer, 8), 0);
        for (int k = 0; k < 10; k++) { /* the answer, in many pieces, long after */
            send_all(w, &p.server, "answer", 6);
            recv_all(w, &p.client, buffer, 6);
        }
        assert_result(perform(w, SAROS_OP_SEND, &p.client, "x", 1), SAROS_EPIPE); /* and no signal */
        close_now(w, &p.server);
        assert_int_equal(perform(w, SAROS_OP_RECV, &p.client, buffer, 8), 0);
        pair_close(w, &p);
    }
}

/* Wine takes a reset for an end, unless a receive is under way in its kernel. */
static void check_reset(int64_t result, bool under_way) {
    if (simulated() || !under_wine() || under_way || result != 0) assert_result(result, SAROS_ECONNRESET);
}

static void a_reset_is_told_by_name_to_reader_and_writer(void **state) {
    world *w = *state;
    pair   p;
    told   receive = {0};
    int    fd = pair_raw(w, &p, SAROS_INET);
    start(w, &receive, SAROS_OP_RECV, &p.server, buffer, 10);
    steps(w, 1);
    raw_reset(fd);
    check_reset(await(w, &receive), driver_is("iocp"));
#ifdef _WIN32
    bool again = !simulated(); /* there it is told to whoever asks, as often as they do */
#else
    bool again = false;
#endif
    assert_result(perform(w, SAROS_OP_SEND, &p.server, "x", 1), again ? SAROS_ECONNRESET : SAROS_EPIPE);
    if (again) check_reset(perform(w, SAROS_OP_RECV, &p.server, buffer, 10), false);
    else assert_int_equal(perform(w, SAROS_OP_RECV, &p.server, buffer, 10), 0);
    pair_close(w, &p);
    fd = pair_raw(w, &p, SAROS_INET); /* while nobody waits */
    raw_reset(fd);
    waits_during(w, 5 * MILLISECOND);
    check_reset(perform(w, SAROS_OP_RECV, &p.server, NULL, 0), false);
    pair_close(w, &p);
}

static void what_came_before_a_reset_is_read_where_the_system_keeps_it(void **state) {
    world *w = *state;
    pair   p;
    for (int ended = 0; ended < 2; ended++) {
        int fd = pair_raw(w, &p, SAROS_INET);
        raw_write(fd, "abc", 3);
        AWAIT(w, raw_has(&p.server, 3));
        if (ended) raw_end(fd); /* all that it had to say has come */
        raw_reset(fd);
        waits_during(w, 5 * MILLISECOND);
        int64_t result = perform(w, SAROS_OP_RECV, &p.server, buffer, 10);
        if (result == 3) result = perform(w, SAROS_OP_RECV, &p.server, buffer, 10);
        if (result != 0 || !ended) check_reset(result, false);
        result = perform(w, SAROS_OP_SEND, &p.server, "x", 1);
        assert_true(result == SAROS_EPIPE || result == SAROS_ECONNRESET);
        pair_close(w, &p);
    }
}

/* Some systems drop it from the queue, others let it be accepted; whoever comes next is served. */
static void a_reset_in_the_queue_hides_nobody(void **state) {
    world        *w = *state;
    saros_handle  listener = {0}, server = {0};
    saros_address address;
    listen_at(w, &listener, &address, SAROS_INET);
    raw_reset(raw_connect(&address));
    int fd = raw_connect(&address);
    raw_write(fd, "x", 1);
    assert_result(perform(w, SAROS_OP_ACCEPT, &listener, &server, 0), 0);
    int64_t result = perform(w, SAROS_OP_RECV, &server, buffer, 10);
    if (result != 1) { /* it is the first one */
        check_reset(result, false);
        close_now(w, &server);
        assert_result(perform(w, SAROS_OP_ACCEPT, &listener, &server, 0), 0);
        assert_int_equal(perform(w, SAROS_OP_RECV, &server, buffer, 10), 1);
    }
    close_now(w, &server);
    raw_close(fd);
    close_now(w, &listener);
}

static void writing_to_a_peer_that_is_gone_ends_in_an_error_and_no_signal(void **state) {
    world *w = *state;
    pair   p;
#ifndef _WIN32
    struct sigaction action;
    assert_int_equal(sigaction(SIGPIPE, NULL, &action), 0);
    assert_true(action.sa_handler == SIG_DFL); /* it would end this program */
#endif
    for (int i = 0; i < 2; i++) {
        int fd = pair_raw(w, &p, families[i]);
        raw_close(fd);
        int64_t result = 1;
        for (int k = 0; k < 1000 && result > 0; k++) {
            result = perform(w, SAROS_OP_SEND, &p.server, "x", 1);
            waits_during(w, MILLISECOND); /* TCP learns it from the answer to the first write */
        }
        assert_true(result == SAROS_EPIPE || result == SAROS_ECONNRESET);
        pair_close(w, &p);
    }
}

static void a_waiting_writer_is_told_that_its_peer_is_gone(void **state) {
    world *w = *state;
    pair   p;
    told   send_op = {0};
    for (int i = 0; i < 2; i++) {
        int fd = pair_raw(w, &p, families[i]);
        fill_up(w, &send_op, &p.server);
        if (families[i] == SAROS_INET) raw_reset(fd);
        else raw_close(fd);
        int64_t result = await(w, &send_op);
        assert_true(result == SAROS_EPIPE || result == SAROS_ECONNRESET);
        pair_close(w, &p);
    }
}

static void a_waiting_writer_does_not_spin_when_its_peer_half_closes(void **state) {
    world *w = *state;
    pair   p;
    told   send_op = {0}, receive = {0};
    for (int i = 0; i < 2; i++)
        for (int reader = 0; reader < 3; reader++) { /* none; one that is told of the end; one that was cancelled */
            int fd = pair_raw(w, &p, families[i]);
            fill_up(w, &send_op, &p.server);
            if (reader > 0) start(w, &receive, SAROS_OP_RECV, &p.server, buffer, 1);
            if (reader == 2) saros_cancel(w->loop, &receive.op), await(w, &receive);
            raw_end(fd);
            if (reader == 1) assert_int_equal(await(w, &receive), 0);
            waits_during(w, 5 * MILLISECOND); /* the alarm may have found room for a little more */
            if (send_op.times > 0) fill_up(w, &send_op, &p.server);
            assert_in_range(waits_during(w, 30 * MILLISECOND), 1, 5);
            assert_int_equal(send_op.times, 0);
            while (send_op.times == 0) { /* and it still is a writer */
                raw_read_some(fd, buffer, sizeof buffer);
                step_for(w, MILLISECOND);
            }
            assert_true(send_op.result > 0);
            raw_close(fd);
            pair_close(w, &p);
        }
}

static void a_hang_up_that_concerns_nobody_does_not_spin(void **state) {
    world *w = *state;
    pair   p;
    told   receive = {0}, other = {0};
    pair   q;
    pair_open(w, &q, SAROS_UNIX); /* something must be in flight, else the kernel is not asked at all */
    start(w, &other, SAROS_OP_RECV, &q.server, buffer, 1);
    for (int i = 0; i < 2; i++)
        for (int how = 0; how < 3; how++) { /* never read; read before; a read was cancelled */
            int fd = pair_raw(w, &p, families[i]);
            if (how == 1) raw_write(fd, "x", 1), recv_all(w, &p.server, buffer, 1);
            if (how >= 1) start(w, &receive, SAROS_OP_RECV, &p.server, buffer, 10);
            if (how == 2) saros_cancel(w->loop, &receive.op), await(w, &receive);
            if (how == 1) raw_write(fd, "x", 1), await(w, &receive);
            if (families[i] == SAROS_INET && how == 2) raw_reset(fd);
            else raw_close(fd);
            assert_in_range(waits_during(w, 30 * MILLISECOND), 1, 4);
            int64_t result = perform(w, SAROS_OP_RECV, &p.server, buffer, 10); /* kept for the next one who asks */
            assert_true(result == 0 || result == SAROS_ECONNRESET);
            pair_close(w, &p);
        }
    pair_close(w, &q);
}

static void an_end_that_was_read_does_not_spin(void **state) {
    world *w = *state;
    pair   p, q;
    told   other = {0};
    pair_open(w, &q, SAROS_UNIX);
    start(w, &other, SAROS_OP_RECV, &q.server, buffer, 1);
    for (int i = 0; i < 2; i++) {
        int  fd = pair_raw(w, &p, families[i]);
        told receive = {0};
        start(w, &receive, SAROS_OP_RECV, &p.server, buffer, 10);
        steps(w, 1);
        raw_close(fd);
        assert_int_equal(await(w, &receive), 0);
        assert_in_range(waits_during(w, 30 * MILLISECOND), 1, 4);
        pair_close(w, &p);
    }
    pair_close(w, &q);
}

int conform_ending(void) {
    const struct CMUnitTest tests[] = {
        WORLD_TEST(what_was_sent_before_the_end_comes_before_the_end),
        WORLD_TEST(a_waiting_receive_is_told_of_the_end),
        WORLD_TEST(the_end_that_came_while_nobody_read_is_found),
        WORLD_TEST(half_a_stream_may_end_and_the_other_half_go_on),
        WORLD_TEST(a_reset_is_told_by_name_to_reader_and_writer),
        WORLD_TEST(what_came_before_a_reset_is_read_where_the_system_keeps_it),
        WORLD_TEST(a_reset_in_the_queue_hides_nobody),
        WORLD_TEST(writing_to_a_peer_that_is_gone_ends_in_an_error_and_no_signal),
        WORLD_TEST(a_waiting_writer_is_told_that_its_peer_is_gone),
        WORLD_TEST(a_waiting_writer_does_not_spin_when_its_peer_half_closes),
        WORLD_TEST(a_hang_up_that_concerns_nobody_does_not_spin),
        WORLD_TEST(an_end_that_was_read_does_not_spin),
    };
    return cmocka_run_group_tests_name(group_name("ending"), tests, NULL, NULL);
}
