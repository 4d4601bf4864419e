/* test_iocp.c: what the completion port driver owes to a kernel that no other test meets: the steps that an emulated
 * Windows does without, successes that post packets and such that do not, and calls that fail. */
#include <string.h>

#include "support/winseam.h"

static char buffer[1000];

static size_t calls(enum win_call call) { return winseam.of[call].calls; }

/* ---- connections ------------------------------------------------------------------------------------------------ */

static void a_connection_is_made_whole_at_both_ends(void **state) {
    world *w = *state;
    pair   p;
    for (size_t i = 1; i <= 3; i++) {
        pair_open(w, &p, i < 3 ? SAROS_INET : SAROS_INET6);
        assert_int_equal(winseam.accepted, i);
        assert_int_equal(winseam.connected, i);
        assert_true(winseam.listener == (SOCKET)p.listener.os);
        assert_int_equal(winseam.family, i < 3 ? AF_INET : AF_INET6);
        pair_close(w, &p);
    }
}

static void a_connection_that_cannot_be_made_whole_leaves_no_handle(void **state) {
    world        *w = *state;
    saros_handle  listener = {0}, client = {0}, server = {0};
    saros_address address;
    told          accept = {0};
    listen_at(w, &listener, &address, SAROS_INET);
    winseam_fail(WIN_CONTEXT, WSAENOBUFS, 1);
    assert_result(perform(w, SAROS_OP_CONNECT, &client, &address, 0), SAROS_ENOBUFS);
    assert_int_equal(client.state, SAROS_HANDLE_EMPTY);
    winseam_fail(WIN_CONTEXT, WSAENOBUFS, 1);
    assert_result(perform(w, SAROS_OP_ACCEPT, &listener, &server, 0), SAROS_ENOBUFS); /* of the same connection */
    assert_int_equal(server.state, SAROS_HANDLE_EMPTY);
    start(w, &accept, SAROS_OP_ACCEPT, &listener, &server, 0);
    assert_result(perform(w, SAROS_OP_CONNECT, &client, &address, 0), 0);
    assert_result(await(w, &accept), 0);
    close_now(w, &client);
    close_now(w, &server);
    close_now(w, &listener);
}

static void an_accept_passes_over_connections_that_died_in_the_queue(void **state) {
    static const LONG how[] = {WIN_RESET, WIN_ABORTED, WIN_DISCONNECTED};
    world            *w = *state;
    pair              p = {0}, dead = {0};
    told              accept = {0};
    saros_address     ours, theirs;
    listen_at(w, &p.listener, &p.address, SAROS_INET);
    for (int i = 0; i < 4; i++) {
        start(w, &accept, SAROS_OP_ACCEPT, &p.listener, &p.server, 0);
        if (i < 3) winseam_say(how[i], 0, 2); /* of the connect as well as of the accept */
        else winseam_fail(WIN_CONTEXT, WSAENOTCONN, 2);
        assert_true(perform(w, SAROS_OP_CONNECT, &dead.client, &p.address, 0) < 0);
        AWAIT(w, winseam.packets + winseam.of[WIN_CONTEXT].times == 0);
        assert_int_equal(accept.times, 0);
        assert_result(perform(w, SAROS_OP_CONNECT, &p.client, &p.address, 0), 0);
        assert_result(await(w, &accept), 0);
        assert_result(perform(w, SAROS_OP_NAME, &p.client, &ours, 0), 0);
        assert_result(perform(w, SAROS_OP_NAME, &p.server, &theirs, 1), 0);
        assert_int_equal(ours.port, theirs.port); /* it is the living one */
        talk(w, &p);
        close_now(w, &p.client);
        close_now(w, &p.server);
    }
    pair_close(w, &p);
}

static void an_accept_that_never_recovers_is_told_and_does_not_hang(void **state) {
    world *w = *state;
    pair   p = {0};
    told   accept = {0};
    listen_at(w, &p.listener, &p.address, SAROS_INET);
    winseam_fail(WIN_ACCEPT, WSAECONNRESET, 127);
    start(w, &accept, SAROS_OP_ACCEPT, &p.listener, &p.server, 0);
    steps(w, 2);
    assert_int_equal(accept.times, 0);
    assert_int_equal(winseam.of[WIN_ACCEPT].times, 0);
    assert_result(perform(w, SAROS_OP_CONNECT, &p.client, &p.address, 0), 0);
    assert_result(await(w, &accept), 0);
    close_now(w, &p.server);
    winseam_fail(WIN_ACCEPT, WSAECONNRESET, 100000);
    assert_result(perform(w, SAROS_OP_ACCEPT, &p.listener, &p.server, 0), SAROS_ECONNRESET);
    assert_in_range(winseam.of[WIN_ACCEPT].times, 99000, 99999);
    winseam_fail(WIN_ACCEPT, WSAENOBUFS, 1);
    assert_result(perform(w, SAROS_OP_ACCEPT, &p.listener, &p.server, 0), SAROS_ENOBUFS);
    assert_int_equal(p.server.state, SAROS_HANDLE_EMPTY);
    pair_close(w, &p);
}

static void a_socket_that_cannot_be_had_or_watched_is_told_and_nothing_is_left(void **state) {
    static const enum win_call call[] = {WIN_SOCKET, WIN_PORT};
    world                     *w = *state;
    pair                       p;
    saros_handle               other = {0};
    saros_address              any = {.family = SAROS_INET};
    pair_open(w, &p, SAROS_INET);
    for (int i = 0; i < 2; i++) {
        winseam_fail(call[i], WSAENOBUFS, 1);
        assert_result(perform(w, SAROS_OP_CONNECT, &other, &p.address, 0), SAROS_ENOBUFS);
        winseam_fail(call[i], WSAENOBUFS, 1);
        assert_result(perform(w, SAROS_OP_LISTEN, &other, &any, 0), SAROS_ENOBUFS);
        winseam_fail(call[i], WSAENOBUFS, 1);
        assert_result(perform(w, SAROS_OP_ACCEPT, &p.listener, &other, 0), SAROS_ENOBUFS);
        assert_int_equal(other.state, SAROS_HANDLE_EMPTY);
        talk(w, &p); /* others go on */
    }
    pair_close(w, &p);
}

static void a_unix_socket_is_refused_by_name(void **state) {
    world        *w = *state;
    saros_handle  handle = {0};
    saros_address address;
    const char   *why;
    assert_int_equal(saros_address_path(&address, "socket", 6, &why), 0);
    assert_result(perform(w, SAROS_OP_LISTEN, &handle, &address, 0), SAROS_EAFNOSUPPORT);
    assert_result(perform(w, SAROS_OP_CONNECT, &handle, &address, 0), SAROS_EAFNOSUPPORT);
    assert_int_equal(handle.state, SAROS_HANDLE_EMPTY);
}

/* ---- sending ---------------------------------------------------------------------------------------------------- */

static void a_send_is_posted_only_where_it_must_wait_and_then_a_piece_of_it(void **state) {
    world *w = *state;
    pair   p;
    told   send_op = {0};
    pair_open(w, &p, SAROS_INET);
    send_all(w, &p.client, buffer, sizeof buffer);
    assert_int_equal(calls(WIN_SEND), 0);
    fill_up(w, &send_op, &p.server);
    assert_in_range(calls(WIN_SEND), 1, 100);
    assert_in_range(winseam.length, 1, 65536);
    pair_close(w, &p);
}

static void a_cancelled_send_tells_what_went_out_of_it(void **state) {
    world *w = *state;
    pair   p;
    told   send_op = {0};
    for (int closing = 0; closing < 2; closing++) {
        pair_open(w, &p, SAROS_INET);
        fill_up(w, &send_op, &p.server);
        winseam_say(WIN_CANCELLED, 1000, 1);
        if (closing) close_now(w, &p.server);
        else saros_cancel(w->loop, &send_op.op);
        assert_int_equal(await(w, &send_op), 1000);
        pair_close(w, &p);
    }
}

/* ---- success at once -------------------------------------------------------------------------------------------- */

static void check_every_success_is_told_once(world *w) {
    pair p[3];
    for (int i = 0; i < 3; i++) pair_open(w, &p[i], SAROS_INET);
    for (int i = 0; i < 3; i++) {
        for (int k = 0; k < 5; k++) talk(w, &p[i]);
        assert_result(perform(w, SAROS_OP_SHUTDOWN, &p[i].client, NULL, 0), 0);
        for (int k = 0; k < 3; k++) assert_int_equal(perform(w, SAROS_OP_RECV, &p[i].server, buffer, 10), 0);
    }
    told receive = {0};
    start(w, &receive, SAROS_OP_RECV, &p[0].client, buffer, 10);
    assert_in_range(waits_during(w, 30 * MILLISECOND), 1, 4); /* no packet of long ago comes in */
    assert_int_equal(receive.times, 0);
    for (int i = 0; i < 3; i++) pair_close(w, &p[i]);
}

static void a_success_at_once_posts_no_packet_where_the_system_may_be_told_so(void **state) {
    world *w = *state;
    pair   p;
    check_every_success_is_told_once(w);
    assert_in_range(calls(WIN_MODES), 9, 100);
    pair_open(w, &p, SAROS_INET);
    send_all(w, &p.client, "abc", 3);
    waits_during(w, 2 * MILLISECOND);
    size_t   before = w->events[SAROS_ON_WAIT];
    saros_op op = {.kind = SAROS_OP_RECV, .handle = &p.server, .buffer = buffer, .size = 10};
    assert_true(saros_submit_now(w->loop, &op)); /* one call, and no wait */
    assert_int_equal(op.result, 3);
    assert_int_equal(w->events[SAROS_ON_WAIT], before);
    pair_close(w, &p);
}

static void where_it_may_not_every_success_waits_for_its_packet(void **state) {
    world *w = *state;
    winseam_fail(WIN_MODES, ERROR_INVALID_FUNCTION, 1000);
    check_every_success_is_told_once(w);
    assert_in_range(calls(WIN_MODES), 9, 100); /* once for each socket */
    winseam_fail(WIN_MODES, ERROR_INVALID_FUNCTION, 2);
    check_every_success_is_told_once(w); /* some do, some do not */
}

static void a_layered_provider_is_not_even_asked(void **state) {
    world *w = *state;
    winseam.foreign = true;
    check_every_success_is_told_once(w);
    assert_int_equal(calls(WIN_MODES), 0);
}

/* ---- opening a loop, and memory --------------------------------------------------------------------------------- */

static void a_loop_that_cannot_be_opened_says_why_and_leaves_nothing(void **state) {
    static const struct {
        enum win_call call;
        DWORD         number;
        int           error;
        const char   *why;
    } all[] = {
        {WIN_STARTUP, WSASYSNOTREADY, SAROS_ENETDOWN, "iocp: WSAStartup: network down"},
        {WIN_PORT, ERROR_NOT_ENOUGH_MEMORY, SAROS_ENOMEM, "iocp: CreateIoCompletionPort: not enough memory"},
        {WIN_SOCKET, WSAENOBUFS, SAROS_ENOBUFS, "iocp: AcceptEx and ConnectEx: no buffer space"},
        {WIN_IOCTL, WSAEINVAL, SAROS_EINVAL, "iocp: AcceptEx and ConnectEx: invalid argument"},
    };
    world *w = *state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        winseam_reset();
        winseam_fail(all[i].call, all[i].number, 1);
        assert_result(world_open(w, "iocp", NULL), all[i].error);
        assert_string_equal(w->why, all[i].why);
        assert_int_equal(calls(WIN_STARTUP) - (all[i].call == WIN_STARTUP), calls(WIN_CLEANUP));
        assert_int_equal(w->memory.blocks, 0);
        assert_int_equal(winseam.open, 0);
    }
    winseam_reset();
    winseam_fail(WIN_SOCKET, WSAEAFNOSUPPORT, 1); /* no IPv4 here, but IPv6 */
    assert_result(world_open(w, "iocp", NULL), 0);
    world_close(w);
    assert_int_equal(calls(WIN_STARTUP), calls(WIN_CLEANUP));
}

enum { MANY = 70 };
typedef struct crowd {
    pair pairs[MANY];
    told receives[MANY];
} crowd;

/* Whatever fails, it fails with ENOMEM, and everything that was begun ends once. */
static int crowd_of_connections(world *w, crowd *c) {
    int missing = 0;
    listen_at(w, &c->pairs[0].listener, &c->pairs[0].address, SAROS_INET);
    for (int i = 0; i < MANY; i++) {
        pair   *p = &c->pairs[i];
        int64_t connected = perform(w, SAROS_OP_CONNECT, &p->client, &c->pairs[0].address, 0);
        if (connected < 0) {
            assert_result(connected, SAROS_ENOMEM);
            missing++;
            continue;
        }
        int64_t accepted = perform(w, SAROS_OP_ACCEPT, &c->pairs[0].listener, &p->server, 0);
        if (accepted == 0) start(w, &c->receives[i], SAROS_OP_RECV, &p->server, buffer, 1);
        else assert_result(accepted, SAROS_ENOMEM), missing++;
    }
    steps(w, 1);
    for (int i = 0; i < MANY; i++)
        if (c->receives[i].times > 0) assert_result(c->receives[i].result, SAROS_ENOMEM), missing++;
    for (int i = MANY - 1; i >= 0; i--) pair_close(w, &c->pairs[i]);
    for (int i = 0; i < MANY; i++) assert_true(c->receives[i].world == NULL || c->receives[i].times == 1);
    return missing;
}

static void memory_may_run_out_at_every_point(void **state) {
    world *w = *state;
    int    opened = 0;
    size_t from = 1;
    for (int missing = 1; missing > 0; from++) {
        crowd *c = test_calloc(1, sizeof *c);
        assert_in_range(from, 1, 20);
        w->memory.calls = 0;
        w->memory.fail_from = from;
        int error = world_open(w, "iocp", NULL);
        if (error < 0) {
            assert_result(error, SAROS_ENOMEM);
        } else {
            opened++;
            missing = crowd_of_connections(w, c);
            world_close(w);
        }
        assert_int_equal(w->memory.blocks, 0);
        assert_int_equal(winseam.open, 0);
        test_free(c);
    }
    assert_int_equal(opened, 5); /* two chunks of blocks, and two lists of them, failed once each */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        WINSEAM_TEST(a_connection_is_made_whole_at_both_ends),
        WINSEAM_TEST(a_connection_that_cannot_be_made_whole_leaves_no_handle),
        WINSEAM_TEST(an_accept_passes_over_connections_that_died_in_the_queue),
        WINSEAM_TEST(an_accept_that_never_recovers_is_told_and_does_not_hang),
        WINSEAM_TEST(a_socket_that_cannot_be_had_or_watched_is_told_and_nothing_is_left),
        WINSEAM_TEST(a_unix_socket_is_refused_by_name),
        WINSEAM_TEST(a_send_is_posted_only_where_it_must_wait_and_then_a_piece_of_it),
        WINSEAM_TEST(a_cancelled_send_tells_what_went_out_of_it),
        WINSEAM_TEST(a_success_at_once_posts_no_packet_where_the_system_may_be_told_so),
        WINSEAM_TEST(where_it_may_not_every_success_waits_for_its_packet),
        WINSEAM_TEST(a_layered_provider_is_not_even_asked),
        WINSEAM_BARE(a_loop_that_cannot_be_opened_says_why_and_leaves_nothing),
        WINSEAM_BARE(memory_may_run_out_at_every_point),
    };
    world_driver = "iocp";
    return cmocka_run_group_tests_name("iocp", tests, NULL, NULL);
}
