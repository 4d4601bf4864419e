/* options.c: what is set on an open socket, and what is said before it has its address. */
#include <string.h>

#include "conformance/conformance.h"

static int set(world *w, saros_handle *handle, int option, int value) {
    saros_setting setting = {.option = option, .value = value};
    return (int)perform(w, SAROS_OP_OPTION, handle, &setting, 0);
}

static int get(world *w, saros_handle *handle, int option) {
    saros_setting setting = {.option = option, .value = -77};
    assert_result(perform(w, SAROS_OP_OPTION, handle, &setting, 1), 0);
    return setting.value;
}

static void what_was_set_is_what_is_told(void **state) {
    static const struct {
        int option, value;
    } all[] = {{SAROS_OPTION_NODELAY, 0},
               {SAROS_OPTION_NODELAY, 1},
               {SAROS_OPTION_KEEPALIVE, 1},
               {SAROS_OPTION_KEEPALIVE_IDLE, 17},
               {SAROS_OPTION_KEEPALIVE_INTERVAL, 3},
               {SAROS_OPTION_KEEPALIVE_COUNT, 4},
               {SAROS_OPTION_KEEPALIVE, 0},
               {SAROS_OPTION_LINGER, 5},
               {SAROS_OPTION_LINGER, -1},
               {SAROS_OPTION_TTL, 33}};
    world *w = *state;
    pair   p;
    pair_open(w, &p, SAROS_INET);
    assert_int_not_equal(get(w, &p.client, SAROS_OPTION_NODELAY), 0); /* from the start */
    assert_int_not_equal(get(w, &p.server, SAROS_OPTION_NODELAY), 0);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        int  error = set(w, &p.client, all[i].option, all[i].value);
        bool newer = all[i].option >= SAROS_OPTION_KEEPALIVE_IDLE && all[i].option <= SAROS_OPTION_KEEPALIVE_COUNT;
        if (error == SAROS_EOPNOTSUPP && newer && under_wine()) continue;
        assert_result(error, 0);
        int value = get(w, &p.client, all[i].option);
        assert_int_equal(all[i].value == 1 ? value != 0 : value, all[i].value);
    }
    pair_close(w, &p);
}

static void buffers_are_made_larger_and_smaller(void **state) {
    world *w = *state;
    pair   p;
    pair_open(w, &p, SAROS_INET);
    for (int option = SAROS_OPTION_SEND_BUFFER; option <= SAROS_OPTION_RECEIVE_BUFFER; option++) {
        assert_result(set(w, &p.client, option, 65536), 0);
        int large = get(w, &p.client, option);
        assert_result(set(w, &p.client, option, 16384), 0);
        assert_in_range(get(w, &p.client, option), 1, large - 1);
    }
    send_all(w, &p.client, "x", 1);
    assert_int_equal(perform(w, SAROS_OP_RECV, &p.server, (char[4]){0}, 4), 1);
    pair_close(w, &p);
}

static void an_option_that_there_is_not_is_refused(void **state) {
    world       *w = *state;
    saros_handle empty = {0};
    pair         p;
    pair_open(w, &p, SAROS_INET);
    assert_result(set(w, &p.client, SAROS_OPTION_KINDS, 1), SAROS_EINVAL);
    assert_result(set(w, &p.client, -1, 1), SAROS_EINVAL);
    assert_result(set(w, &empty, SAROS_OPTION_NODELAY, 1), SAROS_ECLOSED);
    pair_close(w, &p);
    need_unix_sockets(w);
    pair_open(w, &p, SAROS_UNIX);
    assert_result(set(w, &p.client, SAROS_OPTION_NODELAY, 1), SAROS_EOPNOTSUPP);
    assert_result(set(w, &p.client, SAROS_OPTION_KEEPALIVE, 1), SAROS_EOPNOTSUPP);
    assert_result(set(w, &p.client, SAROS_OPTION_TTL, 1), SAROS_EOPNOTSUPP);
    pair_close(w, &p);
}

static void an_option_is_there_at_once(void **state) {
    world        *w = *state;
    saros_setting setting = {.option = SAROS_OPTION_TTL, .value = 9};
    pair          p;
    told          t = {0};
    pair_open(w, &p, SAROS_INET);
    prepare(w, &t);
    t.op.kind = SAROS_OP_OPTION;
    t.op.handle = &p.client;
    t.op.setting = &setting;
    assert_true(saros_submit_now(w->loop, &t.op));
    assert_result(t.op.result, 0);
    pair_close(w, &p);
}

/* A close that was told to reset does, whatever was sent before. */
static void no_time_to_linger_makes_a_close_a_reset(void **state) {
    world *w = *state;
    pair   p;
    char   byte;
    pair_open(w, &p, SAROS_INET);
    assert_result(set(w, &p.client, SAROS_OPTION_LINGER, 0), 0);
    close_now(w, &p.client);
    int64_t result = perform(w, SAROS_OP_RECV, &p.server, &byte, 1);
    if (!under_wine() || result != 0) assert_result(result, SAROS_ECONNRESET); /* see ending.c */
    pair_close(w, &p);
}

static void a_connect_can_be_told_where_it_comes_from(void **state) {
    world        *w = *state;
    saros_address name, both[2], taken;
    saros_handle  other = {0};
    pair          p = {0};
    told          accept = {0};
    listen_at(w, &p.listener, &both[0], SAROS_INET);
    listen_at(w, &other, &taken, SAROS_INET);
    start(w, &accept, SAROS_OP_ACCEPT, &p.listener, &p.server, 0);
    both[1] = (saros_address){.family = SAROS_INET};
    memcpy(both[1].at.ip, "\x7f\0\0\1", 4);
    assert_result(perform(w, SAROS_OP_CONNECT, &p.client, both, 1), 0);
    assert_result(await(w, &accept), 0);
    assert_result(perform(w, SAROS_OP_NAME, &p.server, &name, 1), 0);
    assert_memory_equal(name.at.ip, "\x7f\0\0\1", 4);
    close_now(w, &p.client);
    both[1].port = taken.port; /* a listener has it, which is not one to share it */
    assert_result(perform(w, SAROS_OP_CONNECT, &p.client, both, 1), SAROS_EADDRINUSE);
    both[1].port = 0;
    memcpy(both[1].at.ip, "\xc0\0\2\1", 4); /* 192.0.2.1 is nobody's: RFC 5737 */
    assert_result(perform(w, SAROS_OP_CONNECT, &p.client, both, 1), SAROS_EADDRNOTAVAIL);
    both[1] = (saros_address){.family = SAROS_INET6};
    assert_result(perform(w, SAROS_OP_CONNECT, &p.client, both, 1), SAROS_EAFNOSUPPORT);
    assert_int_equal(p.client.state, SAROS_HANDLE_EMPTY);
    close_now(w, &other);
    pair_close(w, &p);
}

static void listeners_that_all_ask_for_it_share_a_port(void **state) {
    world        *w = *state;
    saros_handle  listeners[3] = {{0}};
    saros_address address = {.family = SAROS_INET, .bind = SAROS_REUSE_PORT}, again;
    memcpy(address.at.ip, "\x7f\0\0\1", 4);
    int64_t result = perform(w, SAROS_OP_LISTEN, &listeners[0], &address, 0);
    if (result == SAROS_ENOSYS) world_skip(w, "no ports to share here");
    assert_result(result, 0);
    again = address;
    assert_int_equal(again.bind, SAROS_REUSE_PORT);
    assert_result(perform(w, SAROS_OP_LISTEN, &listeners[1], &again, 0), 0);
    again.bind = 0;
    assert_result(perform(w, SAROS_OP_LISTEN, &listeners[2], &again, 0), SAROS_EADDRINUSE);
    for (int i = 0; i < 20; i++) { /* each is somebody's */
        saros_handle client = {0}, servers[2] = {{0}};
        told         accepts[2] = {{.times = 0}};
        for (int k = 0; k < 2; k++) start(w, &accepts[k], SAROS_OP_ACCEPT, &listeners[k], &servers[k], 0);
        assert_result(perform(w, SAROS_OP_CONNECT, &client, &address, 0), 0);
        AWAIT(w, accepts[0].times + accepts[1].times == 1);
        for (int k = 0; k < 2; k++) {
            if (accepts[k].times == 0) saros_cancel(w->loop, &accepts[k].op);
            if (await(w, &accepts[k]) == 0) close_now(w, &servers[k]);
        }
        close_now(w, &client);
    }
    close_now(w, &listeners[0]);
    close_now(w, &listeners[1]);
}

int conform_options(void) {
    const struct CMUnitTest tests[] = {
        WORLD_TEST(what_was_set_is_what_is_told),
        WORLD_TEST(buffers_are_made_larger_and_smaller),
        WORLD_TEST(an_option_that_there_is_not_is_refused),
        WORLD_TEST(an_option_is_there_at_once),
        WORLD_TEST(no_time_to_linger_makes_a_close_a_reset),
        WORLD_TEST(a_connect_can_be_told_where_it_comes_from),
        WORLD_TEST(listeners_that_all_ask_for_it_share_a_port),
    };
    return cmocka_run_group_tests_name(group_name("options"), tests, NULL, NULL);
}
