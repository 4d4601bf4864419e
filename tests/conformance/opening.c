/* opening.c: connect, listen, accept, names: how connections come to be, and how they do not. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conformance/conformance.h"

static char buffer[64];

/* ---- connect ---------------------------------------------------------------------------------------------------- */

static void a_connection_is_made_and_carries_bytes(void **state) {
    static const int families[] = {SAROS_INET, SAROS_INET6, SAROS_UNIX};
    world           *w = *state;
    pair             p;
    for (int i = 0; i < 3; i++) {
        pair_open(w, &p, families[i]);
        send_all(w, &p.client, "ping", 4);
        recv_all(w, &p.server, buffer, 4);
        send_all(w, &p.server, "pong", 4);
        recv_all(w, &p.client, buffer + 4, 4);
        assert_memory_equal(buffer, "pingpong", 8);
        pair_close(w, &p);
    }
}

static void a_refused_connect_leaves_no_handle(void **state) {
    static const int families[] = {SAROS_INET, SAROS_UNIX};
    world           *w = *state;
    for (int i = 0; i < 2; i++) {
        saros_handle  listener = {0}, client = {0};
        saros_address address;
        listen_at(w, &listener, &address, families[i]);
        close_now(w, &listener); /* now nobody listens there */
        int before = descriptors_open();
        for (int k = 0; k < 3; k++) {
            assert_result(perform(w, SAROS_OP_CONNECT, &client, &address, 0), SAROS_ECONNREFUSED);
            assert_int_equal(client.state, SAROS_HANDLE_EMPTY);
            assert_int_equal(descriptors_open(), before);
        }
        assert_result(perform(w, SAROS_OP_RECV, &client, buffer, 1), SAROS_ECLOSED);
    }
}

static void a_path_that_is_not_there_is_named_so(void **state) {
    world        *w = *state;
    saros_handle  client = {0};
    saros_address address;
    const char   *why;
    need_unix_sockets(w);
    assert_int_equal(saros_address_path(&address, "/nonexistent/socket", 19, &why), 0);
    assert_result(perform(w, SAROS_OP_CONNECT, &client, &address, 0), SAROS_ENOENT);
    /* a simulated world has no folders: there it is only nobody's name */
    assert_result(perform(w, SAROS_OP_LISTEN, &client, &address, 0), simulated() ? 0 : SAROS_ENOENT);
    if (simulated()) close_now(w, &client);
}

/* A TCP listener whose queue is full does not answer: connects to it stay under way. */
typedef struct full {
    saros_address address;
    int           listener, fillers[8];
} full;

static void fill_queue(full *f) {
    f->listener = raw_listen(&f->address, SAROS_INET, 0);
    for (int i = 0; i < 8; i++) f->fillers[i] = raw_connect_begin(&f->address);
}

static void empty_queue(full *f) {
    for (int i = 0; i < 8; i++) raw_close(f->fillers[i]);
    raw_close(f->listener);
}

static void a_cancelled_connect_leaves_no_descriptor(void **state) {
    world       *w = *state;
    saros_handle client = {0};
    told         connect_op = {0};
    full         f;
    fill_queue(&f);
    int before = descriptors_open();
    for (int i = 0; i < 3; i++) {
        start(w, &connect_op, SAROS_OP_CONNECT, &client, &f.address, 0);
        steps(w, 3);
        assert_int_equal(connect_op.times, 0); /* else the trick with the queue does not work here */
        assert_int_equal(client.state, SAROS_HANDLE_OPENING);
        saros_cancel(w->loop, &connect_op.op);
        assert_int_equal(connect_op.times, 0); /* never told inside the call */
        assert_result(await(w, &connect_op), SAROS_ECANCELED);
        assert_int_equal(client.state, SAROS_HANDLE_EMPTY);
        assert_int_equal(descriptors_open(), before);
    }
    empty_queue(&f);
}

static void a_connect_under_way_can_be_closed(void **state) {
    world       *w = *state;
    saros_handle client = {0};
    told         connect_op = {0}, close_op = {0};
    full         f;
    fill_queue(&f);
    start(w, &connect_op, SAROS_OP_CONNECT, &client, &f.address, 0);
    steps(w, 2);
    assert_result(perform(w, SAROS_OP_SEND, &client, "x", 1), SAROS_ENOTCONN);
    start(w, &close_op, SAROS_OP_CLOSE, &client, NULL, 0);
    assert_result(await(w, &close_op), 0);
    assert_result(connect_op.result, SAROS_ECLOSED);
    assert_true(connect_op.order < close_op.order);
    start(w, &connect_op, SAROS_OP_CONNECT, &client, &f.address, 0); /* and by the end of the loop */
    world_close(w);
    assert_result(connect_op.result, SAROS_ECANCELED);
    empty_queue(&f);
}

static void a_loop_closes_whatever_connects_and_waits(void **state) {
    world       *w = *state;
    saros_handle clients[3] = {0};
    told         connects[3] = {0}, receives[3] = {0};
    pair         p[3];
    full         f;
    fill_queue(&f);
    for (int i = 0; i < 3; i++) {
        pair_open(w, &p[i], SAROS_UNIX);
        start(w, &receives[i], SAROS_OP_RECV, &p[i].server, buffer, 1);
        start(w, &connects[i], SAROS_OP_CONNECT, &clients[i], &f.address, 0);
    }
    world_close(w);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(receives[i].times + connects[i].times, 2);
        assert_result(receives[i].result, SAROS_ECANCELED);
        assert_result(connects[i].result, SAROS_ECANCELED);
    }
    empty_queue(&f);
}

/* ---- listen and accept ------------------------------------------------------------------------------------------ */

static void a_listen_that_fails_leaves_no_handle(void **state) {
    world        *w = *state;
    saros_handle  listener = {0}, second = {0};
    saros_address address, again;
    listen_at(w, &listener, &address, SAROS_INET);
    int before = descriptors_open();
    again = address;
    assert_result(perform(w, SAROS_OP_LISTEN, &second, &again, 0), SAROS_EADDRINUSE);
    again = (saros_address){.family = SAROS_INET, .port = 1, .at = {.ip = {192, 0, 2, 1}}}; /* nobody's, RFC 5737 */
    assert_result(perform(w, SAROS_OP_LISTEN, &second, &again, 0), SAROS_EADDRNOTAVAIL);
    assert_int_equal(second.state, SAROS_HANDLE_EMPTY);
    assert_int_equal(descriptors_open(), before);
    close_now(w, &listener);
    again = address;
    assert_result(perform(w, SAROS_OP_LISTEN, &second, &again, 0), 0); /* free again at once */
    assert_int_equal(again.port, address.port);
    close_now(w, &second);
}

/* Nobody has to wait for a listener or for a name: the layer above counts on it. */
static void a_listener_and_a_name_are_there_at_once(void **state) {
    world        *w = *state;
    saros_handle  listener = {0};
    saros_address address = {.family = SAROS_INET, .at = {.ip = {127, 0, 0, 1}}}, name;
    saros_op      op = {.kind = SAROS_OP_LISTEN, .handle = &listener, .address = &address};
    assert_true(saros_submit_now(w->loop, &op));
    assert_result(op.result, 0);
    op = (saros_op){.kind = SAROS_OP_NAME, .handle = &listener, .address = &name};
    assert_true(saros_submit_now(w->loop, &op));
    assert_result(op.result, 0);
    assert_int_equal(name.port, address.port);
    saros_handle second = {0};
    op = (saros_op){.kind = SAROS_OP_LISTEN, .handle = &second, .address = &address};
    assert_true(saros_submit_now(w->loop, &op));
    assert_result(op.result, SAROS_EADDRINUSE);
    close_now(w, &listener);
}

static void a_server_may_be_started_again_on_its_port(void **state) {
    world        *w = *state;
    saros_address address;
    pair          p;
    pair_open(w, &p, SAROS_INET);
    address = p.address;
    close_now(w, &p.server); /* we end first, so our side lingers (TIME_WAIT) */
    pair_close(w, &p);
    assert_result(perform(w, SAROS_OP_LISTEN, &p.listener, &address, 0), 0);
    pair_close(w, &p);
}

static void every_interface_means_both_families(void **state) {
    world        *w = *state;
    saros_handle  listener = {0}, server = {0};
    saros_address any, four = {.family = SAROS_INET, .at = {.ip = {127, 0, 0, 1}}}, six = {.family = SAROS_INET6};
    const char   *host, *why;
    size_t        length;
    six.at.ip[15] = 1;
    assert_int_equal(saros_address_parse(&any, "*:0", 3, &host, &length, &why), SAROS_IS_ADDRESS);
    assert_result(perform(w, SAROS_OP_LISTEN, &listener, &any, 0), 0);
    assert_int_not_equal(any.port, 0);
    assert_true(any.dual);
    four.port = six.port = any.port;
    for (int i = 0; i < 2; i++) {
        int fd = raw_connect(i == 0 ? &four : &six);
        assert_result(perform(w, SAROS_OP_ACCEPT, &listener, &server, 0), 0);
        close_now(w, &server);
        raw_close(fd);
    }
    close_now(w, &listener);
    any = (saros_address){.family = SAROS_INET6}; /* "[::]" is IPv6 alone */
    assert_result(perform(w, SAROS_OP_LISTEN, &listener, &any, 0), 0);
    saros_address taken = {.family = SAROS_INET, .port = any.port};
    saros_handle  other = {0};
    assert_result(perform(w, SAROS_OP_LISTEN, &other, &taken, 0), 0);
    close_now(w, &other);
    close_now(w, &listener);
}

static void sixteen_accepts_may_wait_and_no_seventeenth(void **state) {
    world        *w = *state;
    saros_handle  listener = {0}, accepted[17] = {0};
    saros_address address;
    told          accepts[17] = {0};
    int           fds[16];
    listen_at(w, &listener, &address, SAROS_INET);
    for (int i = 0; i < 17; i++) start(w, &accepts[i], SAROS_OP_ACCEPT, &listener, &accepted[i], 0);
    assert_result(await(w, &accepts[16]), SAROS_EBUSY);
    assert_int_equal(accepted[16].state, SAROS_HANDLE_EMPTY);
    for (int i = 0; i < 16; i++) fds[i] = raw_connect(&address);
    for (int i = 0; i < 16; i++) {
        assert_result(await(w, &accepts[i]), 0);
        assert_int_equal(accepted[i].state, SAROS_HANDLE_OPEN);
    }
    for (int i = 0; i < 16; i++) raw_close(fds[i]), close_now(w, &accepted[i]);
    close_now(w, &listener);
}

static void a_handle_is_promised_to_one_accept_alone(void **state) {
    world        *w = *state;
    saros_handle  listener = {0}, accepted = {0};
    saros_address address;
    told          first = {0};
    listen_at(w, &listener, &address, SAROS_INET);
    for (int i = 0; i < 3; i++) {
        start(w, &first, SAROS_OP_ACCEPT, &listener, &accepted, 0);
        steps(w, 1);
        assert_result(perform(w, SAROS_OP_ACCEPT, &listener, &accepted, 0), SAROS_EBUSY);
        assert_result(perform(w, SAROS_OP_CONNECT, &accepted, &address, 0), SAROS_EBUSY);
        assert_result(perform(w, SAROS_OP_LISTEN, &accepted, &address, 0), SAROS_EBUSY);
        assert_result(perform(w, SAROS_OP_CLOSE, &accepted, NULL, 0), SAROS_ECLOSED);
        assert_int_equal(first.times, 0);
        if (i == 0) { /* once the accept is told it may be promised again, whatever came of it */
            saros_cancel(w->loop, &first.op);
            assert_result(await(w, &first), SAROS_ECANCELED);
        } else {
            int fd = raw_connect(&address);
            assert_result(await(w, &first), 0);
            assert_result(perform(w, SAROS_OP_ACCEPT, &listener, &accepted, 0), SAROS_EISCONN);
            close_now(w, &accepted);
            raw_close(fd);
        }
    }
    close_now(w, &listener);
}

static void a_cancelled_accept_loses_no_connection(void **state) {
    world        *w = *state;
    saros_handle  listener = {0}, accepted[3] = {0};
    saros_address address;
    told          accepts[3] = {0};
    listen_at(w, &listener, &address, SAROS_INET);
    for (int i = 0; i < 3; i++) start(w, &accepts[i], SAROS_OP_ACCEPT, &listener, &accepted[i], 0);
    steps(w, 1);
    saros_cancel(w->loop, &accepts[1].op);
    assert_result(await(w, &accepts[1]), SAROS_ECANCELED);
    assert_int_equal(accepted[1].state, SAROS_HANDLE_EMPTY);
    int fds[] = {raw_connect(&address), raw_connect(&address), raw_connect(&address)};
    assert_result(await(w, &accepts[0]), 0);
    assert_result(await(w, &accepts[2]), 0);
    assert_result(perform(w, SAROS_OP_ACCEPT, &listener, &accepted[1], 0), 0);
    for (int i = 0; i < 3; i++) {
        raw_write(fds[i], "x", 1);
        assert_int_equal(accepts[i].times, 1);
    }
    for (int i = 0; i < 3; i++) recv_all(w, &accepted[i], buffer, 1), close_now(w, &accepted[i]), raw_close(fds[i]);
    close_now(w, &listener);
}

static void what_nobody_accepted_is_closed_with_its_listener(void **state) {
    static const int families[] = {SAROS_INET, SAROS_UNIX};
    world           *w = *state;
    for (int i = 0; i < 2; i++) {
        saros_handle  listener = {0}, accepted = {0};
        saros_address address;
        told          accept_op = {0};
        listen_at(w, &listener, &address, families[i]);
        int fd = raw_connect(&address), second = raw_connect(&address);
        assert_result(perform(w, SAROS_OP_ACCEPT, &listener, &accepted, 0), 0);
        close_now(w, &listener);
        assert_true(raw_ended(second));
        raw_write(fd, "x", 1); /* the accepted one lives on without its listener */
        recv_all(w, &accepted, buffer, 1);
        raw_close(fd), raw_close(second);
        close_now(w, &accepted);
        listen_at(w, &listener, &address, families[i]);
        start(w, &accept_op, SAROS_OP_ACCEPT, &listener, &accepted, 0);
        steps(w, 1);
        close_now(w, &listener);
        assert_result(accept_op.result, SAROS_ECLOSED);
        assert_int_equal(accept_op.times, 1);
        assert_int_equal(accepted.state, SAROS_HANDLE_EMPTY);
    }
}

/* ---- names and dress -------------------------------------------------------------------------------------------- */

static void both_ends_know_their_names(void **state) {
    world        *w = *state;
    saros_address ours, peers;
    pair          p;
    pair_open(w, &p, SAROS_INET);
    assert_result(perform(w, SAROS_OP_NAME, &p.server, &ours, 0), 0);
    assert_int_equal(ours.port, p.address.port);
    assert_result(perform(w, SAROS_OP_NAME, &p.client, &peers, 1), 0);
    assert_memory_equal(&ours, &peers, sizeof ours);
    assert_result(perform(w, SAROS_OP_NAME, &p.client, &ours, 0), 0);
    assert_result(perform(w, SAROS_OP_NAME, &p.server, &peers, 1), 0);
    assert_memory_equal(&ours, &peers, sizeof ours);
    assert_memory_equal(ours.at.ip, "\x7f\0\0\1", 4);
    assert_result(perform(w, SAROS_OP_NAME, &p.listener, &ours, 0), 0);
    assert_int_equal(ours.port, p.address.port);
    assert_result(perform(w, SAROS_OP_NAME, &p.listener, &ours, 1), SAROS_ENOTCONN);
    pair_close(w, &p);
}

static void who_has_no_name_gives_an_empty_one(void **state) {
    world        *w = *state;
    saros_address peers;
    pair          p;
    need_unix_sockets(w);
    pair_open(w, &p, SAROS_UNIX);
    assert_result(perform(w, SAROS_OP_NAME, &p.client, &peers, 1), 0);
    assert_memory_equal(&peers, &p.address, sizeof peers);
    assert_result(perform(w, SAROS_OP_NAME, &p.server, &peers, 1), 0);
    assert_int_equal(peers.family, SAROS_UNIX);
    assert_int_equal(peers.length, 0); /* nobody gave it a name */
    pair_close(w, &p);
}

static void the_longest_name_of_a_peer_is_taken_whole(void **state) {
    kernel_only(*state); /* simulated peers cannot be given a name */
    need_unix_sockets(*state);
    world             *w = *state;
    saros_address      peer;
    saros_handle       server = {0}, listener = {0};
    saros_address      address;
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    char               text[SAROS_ADDRESS_TEXT];
    int                fd = raw_socket(SAROS_UNIX);
    memset(name.sun_path, 'p', sizeof name.sun_path); /* 108 bytes, and no zero behind them */
    memcpy(name.sun_path, "/tmp/saros-test-", 16);
    unlink(name.sun_path);
    assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof name), 0);
    listen_at(w, &listener, &address, SAROS_UNIX);
    struct sockaddr_un there = {.sun_family = AF_UNIX};
    memcpy(there.sun_path, address.at.path, address.length);
    assert_int_equal(
        connect(fd, (struct sockaddr *)&there, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + address.length)),
        0);
    assert_result(perform(w, SAROS_OP_ACCEPT, &listener, &server, 0), 0);
    assert_result(perform(w, SAROS_OP_NAME, &server, &peer, 1), 0);
    assert_int_equal(peer.length, 108);
    assert_memory_equal(peer.at.path, name.sun_path, 108);
    assert_int_equal(saros_address_format(&peer, text), 113);
    raw_close(fd);
    memcpy(text, name.sun_path, 108);
    text[108] = 0;
    unlink(text);
    close_now(w, &server);
    close_now(w, &listener);
}

static void every_descriptor_is_closed_on_exec_and_does_not_block(void **state) {
    kernel_only(*state);
    static const int families[] = {SAROS_INET, SAROS_UNIX};
    world           *w = *state;
    pair             p;
    for (int i = 0; i < 2; i++) {
        pair_open(w, &p, families[i]);
        const int fds[] = {(int)p.listener.os, (int)p.client.os, (int)p.server.os};
        for (int k = 0; k < 3; k++) {
            assert_true(raw_is_ours_alone(fds[k]));
            assert_true(raw_never_waits(fds[k]));
            int       on = 0;
            socklen_t size = sizeof on;
            if (families[i] == SAROS_INET) {
                assert_int_equal(getsockopt(fds[k], IPPROTO_TCP, TCP_NODELAY, (void *)&on, &size), 0);
                assert_int_not_equal(on, 0);
            }
        }
        pair_close(w, &p);
    }
}

int conform_opening(void) {
    const struct CMUnitTest tests[] = {
        WORLD_TEST(a_connection_is_made_and_carries_bytes),
        WORLD_TEST(a_refused_connect_leaves_no_handle),
        WORLD_TEST(a_path_that_is_not_there_is_named_so),
        WORLD_TEST(a_cancelled_connect_leaves_no_descriptor),
        WORLD_TEST(a_connect_under_way_can_be_closed),
        WORLD_TEST(a_loop_closes_whatever_connects_and_waits),
        WORLD_TEST(a_listen_that_fails_leaves_no_handle),
        WORLD_TEST(a_listener_and_a_name_are_there_at_once),
        WORLD_TEST(a_server_may_be_started_again_on_its_port),
        WORLD_TEST(every_interface_means_both_families),
        WORLD_TEST(sixteen_accepts_may_wait_and_no_seventeenth),
        WORLD_TEST(a_handle_is_promised_to_one_accept_alone),
        WORLD_TEST(a_cancelled_accept_loses_no_connection),
        WORLD_TEST(what_nobody_accepted_is_closed_with_its_listener),
        WORLD_TEST(both_ends_know_their_names),
        WORLD_TEST(who_has_no_name_gives_an_empty_one),
        WORLD_TEST(the_longest_name_of_a_peer_is_taken_whole),
        WORLD_TEST(every_descriptor_is_closed_on_exec_and_does_not_block),
    };
    return cmocka_run_group_tests_name(group_name("opening"), tests, NULL, NULL);
}
