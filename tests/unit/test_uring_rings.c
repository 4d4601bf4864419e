/* test_uring_rings.c: rings that are full, a kernel that will not have more now, cancels that come late, a child. */
#include <limits.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/sockets.h"
#include "support/uring_seam.h"

/* ---- the rings -------------------------------------------------------------------------------------------------- */

enum { MANY = 100 };

typedef struct crowd {
    saros_handle  listener, ours[MANY];
    saros_address address;
    told          receives[MANY];
    int           theirs[MANY];
    char          bytes[MANY][4];
} crowd;

static crowd *crowd_open(world *w) {
    crowd *c = test_calloc(1, sizeof *c);
    listen_at(w, &c->listener, &c->address, SAROS_UNIX);
    for (int i = 0; i < MANY; i++) {
        c->theirs[i] = raw_connect(&c->address);
        assert_result(perform(w, SAROS_OP_ACCEPT, &c->listener, &c->ours[i], 0), 0);
    }
    return c;
}

static void crowd_read(world *w, crowd *c, bool lent) {
    for (int i = 0; i < MANY; i++)
        start(w, &c->receives[i], SAROS_OP_RECV, &c->ours[i], lent ? NULL : c->bytes[i], lent ? 0 : 4);
}

static void crowd_close(world *w, crowd *c) {
    for (int i = 0; i < MANY; i++) close_now(w, &c->ours[i]), close(c->theirs[i]);
    close_now(w, &c->listener);
    test_free(c);
}

static bool read_lent;
static void all_read(told *t) { crowd_read(t->world, t->with, read_lent); }

static void a_turn_is_at_most_one_system_call_however_much_begins_in_it(void **state) {
    world *w = opened(state);
    crowd *c = crowd_open(w);
    for (int round = 0; round < 5; round++) {
        told timer = {.then = all_read, .with = c};
        read_lent = round % 2 == 0;
        start_timer(w, &timer, 0);
        seam.enters = 0;
        steps(w, 1);
        bool polls_stay = read_lent && round > 0; /* then the kernel is not to be told anything */
        assert_int_equal(seam.enters, polls_stay ? 0 : 1);
        for (int i = 0; i < MANY; i++) raw_write(c->theirs[i], "x", 1);
        for (int i = 0; i < MANY; i++) assert_int_equal(await(w, &c->receives[i]), 1);
        assert_in_range(seam.enters, 2, 2 + MANY / 10); /* the kernel gives what has ended in portions */
    }
    crowd_close(w, c);
}

/* Else who is behind waits for as long as those in front keep the loop busy. */
static void one_look_brings_all_that_has_ended_though_it_comes_in_portions(void **state) {
    world *w = opened(state);
    crowd *c = crowd_open(w);
    for (int round = 0; round < 4; round++) {
        int read = 0;
        crowd_read(w, c, round % 2 == 0);
        while (step_for(w, 0).outcome == SAROS_MORE) {}
        for (int i = 0; i < MANY; i++) raw_write(c->theirs[i], "x", 1);
        step_for(w, PATIENCE * SAROS_SECOND);
        for (int i = 0; i < MANY; i++) read += c->receives[i].times;
        assert_int_equal(read, MANY);
    }
    crowd_close(w, c);
}

static void rings_that_are_full_lose_nothing(void **state) {
    world *w = *state;
    seam.entries = 4; /* and 8 completions */
    opened(state);
    crowd *c = crowd_open(w);
    for (int round = 0; round < 6; round++) {
        crowd_read(w, c, round % 2 == 0);
        steps(w, 1);
        for (int i = 0; i < MANY; i++) raw_write(c->theirs[i], "x", 1);
        for (int i = 0; i < MANY; i++) {
            if (round >= 4 && i % 2 == 0) saros_cancel(w->loop, &c->receives[i].op);
            int64_t result = await(w, &c->receives[i]);
            if (result == 1) continue;
            assert_result(result, SAROS_ECANCELED);
            assert_int_equal(perform(w, SAROS_OP_RECV, &c->ours[i], bytes, 10), 1); /* it was not lost */
        }
    }
    crowd_read(w, c, true);
    steps(w, 1);
    for (int i = 0; i < MANY; i++) saros_cancel(w->loop, &c->receives[i].op);
    for (int i = 0; i < MANY; i++) assert_result(await(w, &c->receives[i]), SAROS_ECANCELED);
    crowd_close(w, c);
}

static void what_the_kernel_will_not_have_now_it_gets_later(void **state) {
    static const int errors[] = {EAGAIN, EBUSY, EINTR};
    world           *w = *state;
    seam.entries = 4;
    opened(state);
    crowd *c = crowd_open(w);
    for (int which = 0; which < 3; which++) {
        seam.submit_error = errors[which], seam.submit_failures = INT_MAX;
        crowd_read(w, c, which % 2 == 0);
        for (int i = 0; i < MANY; i += 2) saros_cancel(w->loop, &c->receives[i].op);
        for (int i = 0; i < MANY; i++) raw_write(c->theirs[i], "x", 1);
        steps(w, 3);
        assert_true(seam.submit_failures > 0 && c->receives[1].times == 0);
        seam.submit_failures = 0;
        for (int i = 0; i < MANY; i++) {
            int64_t result = await(w, &c->receives[i]);
            if (i % 2 == 1) assert_result(result, 1);
            if (result == 1) continue;
            assert_result(result, SAROS_ECANCELED);
            assert_int_equal(perform(w, SAROS_OP_RECV, &c->ours[i], bytes, 10), 1);
        }
        crowd_read(w, c, true); /* cancels alone */
        steps(w, 1);
        seam.submit_failures = INT_MAX;
        for (int i = 0; i < MANY; i++) saros_cancel(w->loop, &c->receives[i].op);
        steps(w, 3);
        seam.submit_failures = 0;
        for (int i = 0; i < MANY; i++) assert_result(await(w, &c->receives[i]), SAROS_ECANCELED);
    }
    crowd_close(w, c);
}

/* Everything that flies: a poll that stays, one that a close waits for, one that is ending with a receive behind it, ops
 * with the kernel, one that is owed to it, and one whose handle closes. */
static void an_error_of_the_wait_that_is_none_of_these_breaks_the_loop(void **state) {
    world        *w = opened(state);
    pair          p[4];
    told          lent_op = {0}, receive = {0}, send_op = {0}, accept = {0}, closes[2] = {0}, behind = {0}, owed = {0};
    saros_handle  won = {0};
    struct pollfd one = {.fd = saros_pollable(w->loop), .events = POLLIN};
    for (int i = 0; i < 4; i++) pair_open(w, &p[i], SAROS_UNIX);
    start(w, &lent_op, SAROS_OP_RECV, &p[0].server, NULL, 0);
    start(w, &accept, SAROS_OP_ACCEPT, &p[0].listener, &won, 0);
    fill_up(w, &send_op, &p[0].server);
    start(w, &behind, SAROS_OP_RECV, &p[1].server, NULL, 0);
    start(w, &receive, SAROS_OP_RECV, &p[2].server, bytes, 1);
    steps(w, 2);
    seam.submit_error = EAGAIN, seam.submit_failures = INT_MAX;
    start(w, &closes[0], SAROS_OP_CLOSE, &p[1].server, NULL, 0); /* waits for its poll */
    start(w, &closes[1], SAROS_OP_CLOSE, &p[2].server, NULL, 0); /* waits for the receive */
    start(w, &owed, SAROS_OP_RECV, &p[3].server, bytes, 1);
    assert_int_equal(closes[0].times + closes[1].times + owed.times, 0);
    seam.submit_error = EBADF;
    saros_status status = step_for(w, SAROS_SECOND);
    assert_int_equal(status.outcome, SAROS_BROKEN);
    assert_result(status.error, SAROS_EBADF);
    assert_int_equal(poll(&one, 1, 0), 1); /* who sleeps elsewhere is awake to see it */
    seam.submit_failures = 0;
    world_close(w); /* and everything is told and closed all the same */
    told *const all[8] = {&lent_op, &receive, &send_op, &accept, &closes[0], &closes[1], &behind, &owed};
    for (size_t i = 0; i < 8; i++) {
        assert_int_equal(all[i]->times, 1);
        assert_true(all[i]->result == 0 || all[i]->result == SAROS_EBADF || all[i]->result == SAROS_ECLOSED);
    }
}

static void what_is_abandoned_when_the_wait_fails_is_not_the_kernels_any_more(void **state) {
    world *w = opened(state);
    pair   p;
    pair_open(w, &p, SAROS_UNIX);
    told *receive = test_calloc(1, sizeof *receive);
    char *own = test_calloc(1, 8);
    start(w, receive, SAROS_OP_RECV, &p.server, own, 8);
    steps(w, 2);
    seam.submit_error = EBADF, seam.submit_failures = INT_MAX;
    saros_abandon(w->loop, &receive->op);
    assert_int_equal(receive->op.state, SAROS_IDLE);
    seam.submit_failures = 0;
    test_free(receive);
    raw_write(p.client.os, "abc", 3);
    rest(20);
    assert_memory_equal(own, "\0\0\0", 3);
    test_free(own);
    world_close(w); /* it may not look at what was abandoned */
}

static void who_sleeps_on_the_pollable_is_awake_while_something_is_owed(void **state) {
    world        *w = opened(state);
    pair          p;
    told          receive = {0};
    struct pollfd one = {.fd = saros_pollable(w->loop), .events = POLLIN};
    int           fd = pair_raw(w, &p, SAROS_UNIX);
    for (int in_step = 0; in_step < 2; in_step++) {
        while (step_for(w, 0).outcome == SAROS_MORE) {}
        seam.submit_error = EAGAIN, seam.submit_failures = INT_MAX;
        start(w, &receive, SAROS_OP_RECV, &p.server, bytes, 1); /* outside of a step */
        if (in_step) steps(w, 1);
        assert_int_equal(poll(&one, 1, 0), 1);
        seam.submit_failures = 0;
        steps(w, 2);
        assert_int_equal(poll(&one, 1, 0), 0); /* now the kernel has it, and there is nothing to do */
        raw_write(fd, "x", 1);
        assert_int_equal(poll(&one, 1, 5000), 1);
        assert_int_equal(await(w, &receive), 1);
    }
    close(fd);
    pair_close(w, &p);
}

/* ---- the poll that stays ---------------------------------------------------------------------------------------- */

static bool something_has_ended(void) {
    io_uring_get_events(seam.ring);
    return io_uring_cq_ready(seam.ring) > 0;
}

static void who_does_not_read_is_not_kept_awake_by_who_writes(void **state) {
    world *w = opened(state);
    pair   p;
    told   receive = {0}, timer = {0};
    int    fd = pair_raw(w, &p, SAROS_UNIX);
    start_timer(w, &timer, SAROS_SECOND * 3600); /* the loop has to ask the kernel */
    for (int round = 0; round < 3; round++) {
        start(w, &receive, SAROS_OP_RECV, &p.server, NULL, 0);
        steps(w, 1);
        raw_write(fd, "x", 1);
        assert_true(something_has_ended());
        assert_int_equal(await(w, &receive), 1);
        int heard = 0;
        for (int i = 0; i < 10; i++) {
            raw_write(fd, "y", 1);
            heard += something_has_ended();
            steps(w, 2);
        }
        assert_in_range(heard, 1, 2);
        assert_int_equal(perform(w, SAROS_OP_RECV, &p.server, NULL, 0), 10);
    }
    saros_abandon(w->loop, &timer.op);
    close(fd);
    pair_close(w, &p);
}

static void who_reads_while_the_poll_is_ending_waits_for_the_next_one(void **state) {
    world *w = opened(state);
    pair   p;
    told   receive = {0};
    int    fd = pair_raw(w, &p, SAROS_UNIX);
    start(w, &receive, SAROS_OP_RECV, &p.server, NULL, 0);
    steps(w, 1);
    saros_cancel(w->loop, &receive.op);
    assert_result(await(w, &receive), SAROS_ECANCELED);
    for (int i = 0; i < 2; i++) { /* the second one that nobody waits for ends the poll */
        raw_write(fd, "x", 1);
        io_uring_get_events(seam.ring);
        if (i == 0) steps(w, 1);
    }
    seam.submit_error = EAGAIN, seam.submit_failures = INT_MAX;
    steps(w, 1);
    assert_int_equal(perform(w, SAROS_OP_RECV, &p.server, NULL, 0), 2);
    start(w, &receive, SAROS_OP_RECV, &p.server, NULL, 0);
    steps(w, 2);
    assert_int_equal(receive.times, 0);
    seam.submit_failures = 0;
    steps(w, 3);
    raw_write(fd, "yz", 2);
    assert_int_equal(await(w, &receive), 2);
    close(fd);
    pair_close(w, &p);
}

static void a_close_waits_for_the_poll_and_for_what_else_flies(void **state) {
    world *w = opened(state);
    pair   p;
    told   receive = {0}, send_op = {0};
    for (int i = 0; i < 4; i++) {
        int fd = pair_raw(w, &p, SAROS_UNIX);
        if (i & 1) fill_up(w, &send_op, &p.server);
        start(w, &receive, SAROS_OP_RECV, &p.server, NULL, 0);
        steps(w, 1);
        saros_cancel(w->loop, &receive.op);
        assert_result(await(w, &receive), SAROS_ECANCELED);
        for (int heard = 0; heard < 2 && (i & 2); heard++) { /* the second one ends the poll */
            raw_write(fd, "x", 1);
            saros_step(w->loop, &(saros_limits){.wait = 1});
        }
        pair_close(w, &p);
        if (i & 1) assert_result(send_op.result, SAROS_ECLOSED);
        char    rest[4096];
        ssize_t got;
        while ((got = read(fd, rest, sizeof rest)) > 0) {}
        if (i & 2) assert_true(got == 0 || errno == ECONNRESET); /* a Unix socket that closes on unread bytes resets */
        else assert_int_equal(got, 0);
        close(fd);
    }
}

/* ---- cancels ---------------------------------------------------------------------------------------------------- */

/* The op that is begun in the place and at the address of one that was cancelled too late. */
static void a_late_cancel_does_not_hit_who_comes_after(void **state) {
    world *w = opened(state);
    pair   p;
    told   receive = {0};
    int    fd = pair_raw(w, &p, SAROS_UNIX), late = 0;
    for (int i = 0; i < 200; i++) {
        bool lent = i % 2 == 0;
        start(w, &receive, SAROS_OP_RECV, &p.server, lent ? NULL : bytes, lent ? 0 : 10);
        saros_step(w->loop, &(saros_limits){.wait = 1}); /* now the kernel has it */
        assert_int_equal(receive.times, 0);
        raw_write(fd, "x", 1);
        if (i % 4 < 2) io_uring_get_events(seam.ring); /* the completion is in the ring, and not yet read */
        saros_cancel(w->loop, &receive.op);
        int64_t result = await(w, &receive);
        assert_true(result == 1 || result == SAROS_ECANCELED);
        late += result == 1;
        start(w, &receive, SAROS_OP_RECV, &p.server, lent ? NULL : bytes, lent ? 0 : 10);
        steps(w, 3);
        assert_int_equal(receive.times, result != 1); /* else the byte is still there to be read */
        if (receive.times == 0) raw_write(fd, "y", 1);
        assert_int_equal(await(w, &receive), 1);
    }
    assert_true(late >= 50); /* those with a buffer; a lent one is not the kernel's, and is told at once */
    close(fd);
    pair_close(w, &p);
}

/* What the kernel may still say about an op that has ended: written into the ring by hand. */
static void a_completion_or_cancel_of_an_older_generation_is_nobodys(void **state) {
    world *w = opened(state);
    pair   p;
    told   receive = {0};
    int    fd = pair_raw(w, &p, SAROS_UNIX);
    start(w, &receive, SAROS_OP_RECV, &p.server, NULL, 0);
    uint32_t place = receive.op.word;
    steps(w, 2);
    for (uint64_t generation = 0; generation < 20; generation++) { /* the present one is among them */
        struct io_uring_sqe *sqe = io_uring_get_sqe(seam.ring);
        assert_non_null(sqe);
        io_uring_prep_nop(sqe);
        io_uring_sqe_set_data64(sqe, (generation + 1000) << 32 | place);
        sqe = io_uring_get_sqe(seam.ring);
        io_uring_prep_cancel64(sqe, (generation + 1000) << 32 | place, 0);
        io_uring_sqe_set_data64(sqe, UINT64_MAX);
        steps(w, 1);
    }
    assert_int_equal(receive.times, 0);
    raw_write(fd, "x", 1);
    assert_int_equal(await(w, &receive), 1);
    for (int i = 0; i < 3; i++) { /* and for a place that is free */
        struct io_uring_sqe *sqe = io_uring_get_sqe(seam.ring);
        io_uring_prep_nop(sqe);
        io_uring_sqe_set_data64(sqe, (uint64_t)i << 32 | place);
    }
    steps(w, 2);
    assert_int_equal(receive.times, 1);
    close(fd);
    pair_close(w, &p);
}

static void an_accept_that_wins_over_its_cancel_is_delivered(void **state) {
    world        *w = opened(state);
    saros_handle  listener = {0};
    saros_address address;
    int           won = 0;
    listen_at(w, &listener, &address, SAROS_UNIX);
    for (int i = 0; i < 50; i++) {
        saros_handle ours = {0};
        told         accept = {0};
        start(w, &accept, SAROS_OP_ACCEPT, &listener, &ours, 0);
        saros_step(w->loop, &(saros_limits){.wait = 1});
        int fd = raw_connect(&address);
        if (i % 2 == 0) io_uring_get_events(seam.ring); /* the connection is in the ring */
        saros_cancel(w->loop, &accept.op);
        int64_t result = await(w, &accept);
        if (result == 0) {
            assert_int_equal(ours.state, SAROS_HANDLE_OPEN);
            raw_write(fd, "x", 1);
            assert_int_equal(perform(w, SAROS_OP_RECV, &ours, bytes, 10), 1);
            close_now(w, &ours);
            won++;
        } else {
            assert_result(result, SAROS_ECANCELED);
            assert_int_equal(ours.state, SAROS_HANDLE_EMPTY);
            assert_result(perform(w, SAROS_OP_ACCEPT, &listener, &ours, 0), 0); /* it waits in the queue */
            close_now(w, &ours);
        }
        close(fd);
    }
    assert_true(won >= 25);
    close_now(w, &listener);
}

/* ---- a child ---------------------------------------------------------------------------------------------------- */

static void a_child_that_leaves_the_loop_alone_does_not_disturb_it(void **state) {
    world *w = opened(state);
    pair   p;
    told   receive = {0}, send_op = {0}, name = {0};
    int    status;
    pair_open(w, &p, SAROS_UNIX);
    fill_up(w, &send_op, &p.server);
    start(w, &receive, SAROS_OP_RECV, &p.server, NULL, 0);
    steps(w, 2); /* both are with the kernel */
    for (int replaced = 0; replaced < 2; replaced++) {
        start(w, &name, SAROS_OP_NAME, &p.server, &p.address, 0);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            if (replaced) execl("/bin/true", "true", (char *)NULL);
            for (int fd = 3; fd < 200; fd++) close(fd);
            syscall(SYS_exit_group, 0); /* not _exit, at which sanitizers look at the parent's memory */
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
        assert_int_equal(await(w, &name), 0);
        assert_int_equal(receive.times, 0);
        send_all(w, &p.client, "x", 1);
        assert_int_equal(await(w, &receive), 1);
        start(w, &receive, SAROS_OP_RECV, &p.server, NULL, 0);
        steps(w, 2);
    }
    close_now(w, &p.server);
    pair_close(w, &p);
    assert_result(send_op.result, SAROS_ECLOSED);
    assert_result(receive.result, SAROS_ECLOSED);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        URING_TEST(a_turn_is_at_most_one_system_call_however_much_begins_in_it),
        URING_TEST(one_look_brings_all_that_has_ended_though_it_comes_in_portions),
        URING_TEST(rings_that_are_full_lose_nothing),
        URING_TEST(what_the_kernel_will_not_have_now_it_gets_later),
        URING_TEST(an_error_of_the_wait_that_is_none_of_these_breaks_the_loop),
        URING_TEST(what_is_abandoned_when_the_wait_fails_is_not_the_kernels_any_more),
        URING_TEST(who_sleeps_on_the_pollable_is_awake_while_something_is_owed),
        URING_TEST(who_does_not_read_is_not_kept_awake_by_who_writes),
        URING_TEST(who_reads_while_the_poll_is_ending_waits_for_the_next_one),
        URING_TEST(a_close_waits_for_the_poll_and_for_what_else_flies),
        URING_TEST(a_late_cancel_does_not_hit_who_comes_after),
        URING_TEST(a_completion_or_cancel_of_an_older_generation_is_nobodys),
        URING_TEST(an_accept_that_wins_over_its_cancel_is_delivered),
        URING_TEST(a_child_that_leaves_the_loop_alone_does_not_disturb_it),
    };
    return cmocka_run_group_tests_name("uring rings", tests, NULL, NULL);
}
