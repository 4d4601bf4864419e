/* streams.c: what is sent is received: whole, in order, and by the one who asked. */
#include <string.h>

#include "conformance/conformance.h"

static char buffer[70000];

static const int families[] = {SAROS_INET, SAROS_UNIX};

static void a_receive_gives_what_is_there_and_no_more_than_its_room(void **state) {
    world *w = *state;
    pair   p;
    for (int i = 0; i < 2; i++) {
        int fd = pair_raw(w, &p, families[i]);
        raw_write(fd, "abcdefghij", 10);
        AWAIT(w, raw_has(&p.server, 10));
        assert_int_equal(perform(w, SAROS_OP_RECV, &p.server, buffer, 4), 4);
        assert_int_equal(perform(w, SAROS_OP_RECV, &p.server, buffer + 4, 4), 4);
        assert_int_equal(perform(w, SAROS_OP_RECV, &p.server, buffer + 8, 100), 2);
        assert_memory_equal(buffer, "abcdefghij", 10);
        raw_close(fd);
        pair_close(w, &p);
    }
}

static void a_receive_waits_until_there_is_something(void **state) {
    world *w = *state;
    pair   p;
    told   receive = {0};
    for (int i = 0; i < 2; i++) {
        int fd = pair_raw(w, &p, families[i]);
        for (int k = 0; k < 20; k++) {
            start(w, &receive, SAROS_OP_RECV, &p.server, buffer, sizeof buffer);
            steps(w, 2);
            assert_int_equal(receive.times, 0);
            raw_write(fd, "xyz", 3);
            assert_int_equal(await(w, &receive), 3);
        }
        raw_close(fd);
        pair_close(w, &p);
    }
}

static char lent[70000];
static void keep_lent(told *t) {
    if (t->result > 0) memcpy(lent, saros_lent(t->world->loop), (size_t)t->result);
}

static void a_receive_without_a_buffer_is_lent_one(void **state) {
    world *w = *state;
    pair   p;
    told   receive = {.then = keep_lent};
    for (int i = 0; i < 2; i++) {
        int fd = pair_raw(w, &p, families[i]);
        for (int k = 0; k < 20; k++) {
            start(w, &receive, SAROS_OP_RECV, &p.server, NULL, 0);
            if (k % 2) steps(w, 2), assert_int_equal(receive.times, 0);
            raw_write(fd, "moonlight", 9);
            assert_int_equal(await(w, &receive), 9);
            assert_memory_equal(lent, "moonlight", 9);
        }
        memset(buffer, 'm', sizeof buffer);
        raw_write(fd, buffer, 65536); /* a burst: in one or more receives, up to the end of the scratch buffer */
        for (size_t got = 0; got < 65536; got += (size_t)receive.result) {
            start(w, &receive, SAROS_OP_RECV, &p.server, NULL, 0);
            assert_true(await(w, &receive) > 0);
            assert_memory_equal(lent, buffer, (size_t)receive.result);
        }
        raw_close(fd);
        start(w, &receive, SAROS_OP_RECV, &p.server, NULL, 0);
        assert_int_equal(await(w, &receive), 0); /* the end */
        pair_close(w, &p);
    }
}

/* A receive may stop short of what is there: a descriptor that a Unix peer sends along ends it, and so does TCP's urgent
 * mark, of which the byte itself is not in the stream. */
#ifdef _WIN32
NOT_HERE(a_receive_that_stops_short_does_not_hide_the_rest, "no descriptors to send along")
#else
static void send_in_two(int fd, int family) {
    struct iovec                  part = {.iov_base = "abc", .iov_len = 3};
    _Alignas(struct cmsghdr) char extra[CMSG_SPACE(sizeof fd)] = {0};
    struct msghdr   message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = extra, .msg_controllen = sizeof extra};
    struct cmsghdr *with = CMSG_FIRSTHDR(&message);
    *with = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof fd), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(with), &fd, sizeof fd);
    if (family == SAROS_UNIX) {
        assert_int_equal(sendmsg(fd, &message, 0), 3);
    } else {
        raw_write(fd, "abc", 3);
        assert_int_equal(send(fd, "!", 1, MSG_OOB), 1);
    }
    raw_write(fd, "def", 3);
}

static void a_receive_that_stops_short_does_not_hide_the_rest(void **state) {
    kernel_only(*state); /* simulated peers send bytes and nothing else */
    world *w = *state;
    pair   p;
    for (int i = 0; i < 4; i++) {
        told receive = {.then = keep_lent};
        bool with_buffer = i & 2;
        char all[7] = "";
        int  fd = pair_raw(w, &p, families[i & 1]);
        start(w, &receive, SAROS_OP_RECV, &p.server, with_buffer ? buffer : NULL, with_buffer ? 100 : 0);
        steps(w, 2);
        send_in_two(fd, families[i & 1]);
        if (families[i & 1] == SAROS_INET) AWAIT(w, raw_has(&p.server, 3) || receive.times > 0);
        for (size_t got = 0; got < 6;) {
            assert_in_range(await(w, &receive), 1, 6 - got);
            memcpy(all + got, with_buffer ? buffer : lent, (size_t)receive.result);
            got += (size_t)receive.result;
            if (got < 6)
                start(w, &receive, SAROS_OP_RECV, &p.server, with_buffer ? buffer : NULL, with_buffer ? 100 : 0);
        }
        assert_string_equal(all, "abcdef");
        raw_close(fd);
        pair_close(w, &p);
    }
}
#endif

static void a_lent_receive_whose_bytes_are_gone_waits_again(void **state) {
    world *w = *state;
    pair   p;
    told   receive = {.then = keep_lent};
    int    fd = pair_raw(w, &p, SAROS_UNIX);
    raw_write(fd, "abc", 3);
    start(w, &receive, SAROS_OP_RECV, &p.server, NULL, 0); /* nobody knows yet that there is something */
    raw_steal(&p.server, buffer, 3);                       /* and somebody else takes it */
    steps(w, 3);
    assert_int_equal(receive.times, 0);
    raw_write(fd, "de", 2);
    assert_int_equal(await(w, &receive), 2);
    assert_memory_equal(lent, "de", 2);
    raw_close(fd);
    pair_close(w, &p);
}

static void a_buffer_without_room_is_refused(void **state) {
    world *w = *state;
    pair   p;
    pair_open(w, &p, SAROS_INET);
    assert_result(perform(w, SAROS_OP_RECV, &p.server, buffer, 0), SAROS_EINVAL);
    assert_result(perform(w, SAROS_OP_SEND, &p.server, buffer, 0), SAROS_EINVAL);
    send_all(w, &p.client, "x", 1);
    assert_int_equal(perform(w, SAROS_OP_RECV, &p.server, buffer, 1), 1);
    pair_close(w, &p);
}

static void an_end_that_comes_with_the_last_bytes_is_read_after_them_and_stays(void **state) {
    world *w = *state;
    pair   p;
    told   receive = {0};
    for (int i = 0; i < 8; i++) {
        bool no_buffer = i & 2, mixed = i & 4;
        int  fd = pair_raw(w, &p, families[i & 1]);
        for (int round = 0; round < 2; round++) {
            start(w, &receive, SAROS_OP_RECV, &p.server, no_buffer ? NULL : buffer, no_buffer ? 0 : sizeof buffer);
            steps(w, 2); /* it waits in the kernel */
            raw_write(fd, "xy", 2);
            if (round == 1) raw_close(fd);
            assert_int_equal(await(w, &receive), 2);
            if (mixed) no_buffer = !no_buffer;
        }
        for (int round = 0; round < 4; round++) {
            assert_int_equal(
                perform(w, SAROS_OP_RECV, &p.server, no_buffer ? NULL : buffer, no_buffer ? 0 : sizeof buffer), 0);
            if (mixed) no_buffer = !no_buffer;
        }
        pair_close(w, &p);
    }
}

static void a_second_reader_is_refused_and_the_first_not_disturbed(void **state) {
    world *w = *state;
    pair   p;
    told   first = {0};
    for (int i = 0; i < 2; i++) {
        int fd = pair_raw(w, &p, families[i]);
        start(w, &first, SAROS_OP_RECV, &p.server, buffer, sizeof buffer);
        assert_result(perform(w, SAROS_OP_RECV, &p.server, buffer, 1), SAROS_EBUSY);
        assert_result(perform(w, SAROS_OP_RECV, &p.server, NULL, 0), SAROS_EBUSY);
        raw_write(fd, "x", 1);
        assert_int_equal(await(w, &first), 1);
        raw_close(fd);
        pair_close(w, &p);
    }
}

static void reading_and_writing_go_on_at_once_and_apart(void **state) {
    world *w = *state;
    pair   p;
    told   receive = {0}, send_op = {0};
    for (int i = 0; i < 2; i++) {
        int fd = pair_raw(w, &p, families[i]);
        fill_up(w, &send_op, &p.server);
        start(w, &receive, SAROS_OP_RECV, &p.server, buffer, sizeof buffer);
        saros_cancel(w->loop, &receive.op);
        assert_result(await(w, &receive), SAROS_ECANCELED); /* dropping one keeps the other */
        start(w, &receive, SAROS_OP_RECV, &p.server, buffer, sizeof buffer);
        raw_write(fd, "x", 1);
        assert_int_equal(await(w, &receive), 1);
        assert_int_equal(send_op.times, 0);
        start(w, &receive, SAROS_OP_RECV, &p.server, buffer, sizeof buffer);
        saros_cancel(w->loop, &send_op.op);
        assert_result(await(w, &send_op), SAROS_ECANCELED);
        raw_write(fd, "yz", 2);
        assert_int_equal(await(w, &receive), 2);
        raw_close(fd);
        pair_close(w, &p);
    }
}

/* ---- much ------------------------------------------------------------------------------------------------------- */

enum { PERIOD = 65521, MUCH = 64 << 20, PIECE = 200000 };
static char wave[PERIOD + PIECE]; /* byte i of the stream is wave[i % PERIOD] */

typedef struct transfer {
    size_t sent, got;
    int    sends, receives;
} transfer;

static void send_more(told *t) {
    transfer *it = t->with;
    assert_true(t->result > 0);
    it->sent += (size_t)t->result;
    it->sends++;
    size_t left = MUCH - it->sent, size = left < PIECE ? left : PIECE;
    if (left > 0) start(t->world, t, SAROS_OP_SEND, t->op.handle, wave + it->sent % PERIOD, size);
}

static void sixty_four_mebibytes_arrive_though_the_reader_is_slow(void **state) {
    static char into[PIECE];
    world      *w = *state;
    pair        p;
    transfer    it = {0};
    told        send_op = {.then = send_more, .with = &it}, receive = {0};
    for (size_t i = 0; i < sizeof wave; i++) wave[i] = (char)((i % PERIOD) * 2654435761u >> 13);
    pair_open(w, &p, SAROS_INET);
    start(w, &send_op, SAROS_OP_SEND, &p.client, wave, PIECE);
    while (it.got < MUCH) {
        if (it.receives % 50 == 0) steps(w, 3); /* the reader has better things to do: the buffers fill up */
        size_t room = it.receives % 3 == 0 ? 1000 : PIECE;
        start(w, &receive, SAROS_OP_RECV, &p.server, into, room);
        int64_t got = await(w, &receive);
        assert_in_range(got, 1, room);
        assert_memory_equal(into, wave + it.got % PERIOD, (size_t)got);
        it.got += (size_t)got;
        it.receives++;
    }
    assert_int_equal(it.sent, MUCH);
    assert_int_equal(it.got, MUCH);
    send_op.then = NULL;
    pair_close(w, &p);
}

static void many_connections_are_served_at_once(void **state) {
    enum { MANY = 100, ROUNDS = 20 };
    world *w = *state;
    pair  *pairs = test_calloc(MANY, sizeof *pairs);
    told  *receives = test_calloc(MANY, sizeof *receives);
    char  *bytes = test_calloc(MANY, 4);
    for (int i = 0; i < MANY; i++) pair_open(w, &pairs[i], families[i % 2]);
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < MANY; i++) start(w, &receives[i], SAROS_OP_RECV, &pairs[i].server, bytes + 4 * i, 4);
        steps(w, round % 2);
        for (int i = 0; i < MANY; i++) {
            int at = (i * 37 + round) % MANY;
            send_all(w, &pairs[at].client, (char[]){(char)at, (char)round, 'x', 'y'}, 4);
        }
        for (int i = 0; i < MANY; i++) {
            assert_int_equal(await(w, &receives[i]), 4);
            assert_memory_equal(bytes + 4 * i, ((char[]){(char)i, (char)round, 'x', 'y'}), 4);
        }
    }
    for (int i = 0; i < MANY; i++) pair_close(w, &pairs[(i * 37) % MANY]);
    test_free(bytes);
    test_free(receives);
    test_free(pairs);
}

/* ---- no allocation ---------------------------------------------------------------------------------------------- */

static void the_hot_path_allocates_nothing(void **state) {
    world *w = *state;
    pair   p;
    told   receive = {0}, answer = {0};
    size_t before = 0;
    pair_open(w, &p, SAROS_INET);
    for (int i = 0; i < 10000; i++) {
        start(w, &receive, SAROS_OP_RECV, &p.server, i % 2 ? buffer : NULL, i % 2 ? 100 : 0);
        start(w, &answer, SAROS_OP_RECV, &p.client, buffer, 100);
        send_all(w, &p.client, "x", 1);
        assert_int_equal(await(w, &receive), 1);
        send_all(w, &p.server, "yy", 2);
        assert_int_equal(await(w, &answer), 2);
        if (i == 10) before = w->memory.calls;
    }
    assert_int_equal(w->memory.calls, before);
    pair_close(w, &p);
}

/* ---- pieces, and sends that are not to wait ---------------------------------------------------------------------- */

static void pieces_arrive_in_their_order(void **state) {
    enum { PIECES = 1200 };
    static saros_piece pieces[PIECES];
    static char        bytes[PIECES * 3];
    world             *w = *state;
    pair               p;
    size_t             total = 0;
    for (size_t i = 0; i < PIECES; i++) {
        size_t size = 1 + i % 3;
        memset(bytes + total, 'a' + (int)(i % 26), size);
        pieces[i] = (saros_piece){bytes + total, size};
        total += size;
    }
    for (int i = 0; i < 2; i++) {
        pair_open(w, &p, families[i]);
        size_t from = 0, sent = 0, got = 0;
        while (from < PIECES) { /* short is normal: from the first one on that did not go out whole */
            int64_t result = perform(w, SAROS_OP_SENDV, &p.client, &pieces[from], PIECES - from);
            assert_in_range(result, 1, total - sent);
            sent += (size_t)result;
            for (size_t left = (size_t)result; left > 0;) {
                saros_piece *first = &pieces[from];
                size_t       now = left < first->size ? left : first->size;
                *first = (saros_piece){(const char *)first->data + now, first->size - now};
                left -= now;
                if (first->size == 0) from++;
            }
        }
        assert_int_equal(sent, total);
        while (got < total) {
            int64_t result = perform(w, SAROS_OP_RECV, &p.server, buffer + got, sizeof buffer - got);
            assert_true(result > 0);
            got += (size_t)result;
        }
        assert_memory_equal(buffer, bytes, total);
        pair_close(w, &p);
        size_t at = 0;
        for (size_t k = 0; k < PIECES; k++) { /* as they were */
            pieces[k] = (saros_piece){bytes + at, 1 + k % 3};
            at += 1 + k % 3;
        }
    }
    pair_open(w, &p, SAROS_INET);
    assert_result(perform(w, SAROS_OP_SENDV, &p.client, pieces, 0), SAROS_EINVAL);
    pair_close(w, &p);
}

/* Sends until it would have to wait; true: it said so and nothing is in flight. */
static bool fill(world *w, saros_handle *handle, bool in_pieces) {
    saros_piece piece = {buffer, sizeof buffer};
    told        t = {0};
    for (int i = 0; i < 20000; i++) {
        prepare(w, &t);
        t.op.kind = in_pieces ? SAROS_OP_SENDV : SAROS_OP_SEND;
        t.op.handle = handle;
        t.op.data = in_pieces ? (void *)&piece : (void *)buffer;
        t.op.size = in_pieces ? 1 : sizeof buffer;
        t.op.at_once = 1;
        if (!saros_submit_now(w->loop, &t.op)) return false;
        if (t.op.result == SAROS_EAGAIN) return handle->first == NULL;
        assert_true(t.op.result > 0);
    }
    return false;
}

static void a_send_at_once_does_not_wait(void **state) {
    world *w = *state;
    pair   p;
    told   send = {0};
    for (int i = 0; i < 4; i++) {
        bool in_pieces = i & 2;
        pair_open(w, &p, families[i & 1]);
        assert_true(fill(w, &p.client, in_pieces));
        saros_piece piece = {buffer, sizeof buffer};
        start(w, &send, in_pieces ? SAROS_OP_SENDV : SAROS_OP_SEND, &p.client, in_pieces ? (void *)&piece : buffer,
              in_pieces ? 1 : sizeof buffer);
        steps(w, 3);
        assert_int_equal(send.times, 0); /* one that may wait does */
        while (send.times == 0) assert_true(perform(w, SAROS_OP_RECV, &p.server, lent, sizeof lent) > 0);
        assert_in_range(send.result, 1, sizeof buffer);
        pair_close(w, &p);
    }
}

int conform_streams(void) {
    const struct CMUnitTest tests[] = {
        WORLD_TEST(a_receive_gives_what_is_there_and_no_more_than_its_room),
        WORLD_TEST(a_receive_waits_until_there_is_something),
        WORLD_TEST(a_receive_without_a_buffer_is_lent_one),
        WORLD_TEST(a_receive_that_stops_short_does_not_hide_the_rest),
        WORLD_TEST(a_lent_receive_whose_bytes_are_gone_waits_again),
        WORLD_TEST(a_buffer_without_room_is_refused),
        WORLD_TEST(an_end_that_comes_with_the_last_bytes_is_read_after_them_and_stays),
        WORLD_TEST(a_second_reader_is_refused_and_the_first_not_disturbed),
        WORLD_TEST(reading_and_writing_go_on_at_once_and_apart),
        WORLD_TEST(sixty_four_mebibytes_arrive_though_the_reader_is_slow),
        WORLD_TEST(many_connections_are_served_at_once),
        WORLD_TEST(pieces_arrive_in_their_order),
        WORLD_TEST(a_send_at_once_does_not_wait),
        WORLD_TEST(the_hot_path_allocates_nothing),
    };
    return cmocka_run_group_tests_name(group_name("streams"), tests, NULL, NULL);
}
