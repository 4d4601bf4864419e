/* many.c: datagrams for many: the options that govern them, groups, broadcasts. */
#include <string.h>

#include "conformance/conformance.h"
#include "support/datagrams.h"

static void options_of_datagrams_are_what_they_were_set_to(void **state) {
    static const struct {
        int option, value;
    } all[] = {{SAROS_OPTION_BROADCAST, 1},     {SAROS_OPTION_TTL, 33},           {SAROS_OPTION_MULTICAST_TTL, 0},
               {SAROS_OPTION_MULTICAST_TTL, 7}, {SAROS_OPTION_MULTICAST_LOOP, 0}, {SAROS_OPTION_MULTICAST_LOOP, 1},
               {SAROS_OPTION_BROADCAST, 0}};
    static const int families[] = {SAROS_INET, SAROS_INET6};
    world           *w = *state;
    both             s;
    for (int k = 0; k < 2; k++) {
        both_open(w, &s, families[k]);
        for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
            saros_setting setting = {.option = all[i].option, .value = -77};
            assert_result(set_option(w, &s.a, all[i].option, all[i].value), 0);
            assert_result(perform(w, SAROS_OP_OPTION, &s.a, &setting, 1), 0);
            assert_int_equal(all[i].value == 1 ? setting.value != 0 : setting.value, all[i].value);
        }
        both_close(w, &s);
    }
}

static saros_address group(const saros_address *at) {
    saros_address address = {.family = SAROS_INET, .port = at->port};
    memcpy(address.at.ip, "\xef\xff\x5a\x05", 4); /* 239.255.90.5: RFC 2365, for local use */
    return address;
}

static int member(world *w, saros_handle *handle, int option, const saros_address *of) {
    saros_setting setting = {.option = option, .address = *of, .through = loopback(SAROS_INET)};
    return (int)perform(w, SAROS_OP_OPTION, handle, &setting, 0);
}

static void what_is_sent_to_a_group_is_for_each_of_its_members(void **state) {
    world        *w = *state;
    saros_handle  sender, members[2] = {{0}};
    saros_address any = {.family = SAROS_INET, .bind = SAROS_REUSE_ADDRESS}, to;
    assert_result(perform(w, SAROS_OP_DATAGRAM, &members[0], &any, 0), 0);
    assert_result(perform(w, SAROS_OP_DATAGRAM, &members[1], &any, 0), 0); /* the same port */
    datagrams_open(w, &sender, SAROS_INET);
    to = group(&any);
    assert_result(member(w, &sender, SAROS_OPTION_MULTICAST_INTERFACE, &to), 0);
    for (int i = 0; i < 2; i++) assert_result(member(w, &members[i], SAROS_OPTION_JOIN, &to), 0);
    assert_int_equal(datagram_send(w, &sender, &to, "hear", 4), 4);
    for (int i = 0; i < 2; i++) assert_int_equal(datagram_receive(w, &members[i], true, 0), 4);
    assert_result(member(w, &members[0], SAROS_OPTION_LEAVE, &to), 0);
    assert_int_not_equal(member(w, &members[0], SAROS_OPTION_LEAVE, &to), 0); /* it is no member any more */
    assert_int_equal(datagram_send(w, &sender, &to, "this", 4), 4);
    assert_int_equal(datagram_receive(w, &members[1], true, 0), 4);
    assert_result(set_option(w, &sender, SAROS_OPTION_MULTICAST_LOOP, 0), 0);
    if (simulated()) { /* on a real loopback it has no effect, and Windows has it at the receiver's end */
        assert_int_equal(datagram_send(w, &sender, &to, "not this", 8), 8);
        assert_result(set_option(w, &sender, SAROS_OPTION_MULTICAST_LOOP, 1), 0);
        assert_int_equal(datagram_send(w, &sender, &to, "but", 3), 3);
        assert_int_equal(datagram_receive(w, &members[1], true, 0), 3);
    }
    assert_int_not_equal(member(w, &members[0], SAROS_OPTION_JOIN, &any), 0); /* no group */
    for (int i = 0; i < 2; i++) close_now(w, &members[i]);
    close_now(w, &sender);
}

static void to_all_may_send_only_who_has_asked_for_it(void **state) {
    world        *w = *state;
    saros_handle  sender, receivers[2] = {{0}};
    saros_address any = {.family = SAROS_INET, .bind = SAROS_REUSE_ADDRESS}, all;
    for (int i = 0; i < 2; i++) assert_result(perform(w, SAROS_OP_DATAGRAM, &receivers[i], &any, 0), 0);
    datagrams_open(w, &sender, SAROS_INET);
    all = (saros_address){.family = SAROS_INET, .port = any.port};
    memcpy(all.at.ip, simulated() ? "\xff\xff\xff\xff" : "\x7f\xff\xff\xff", 4); /* all; all that are on loopback */
    assert_result(datagram_send(w, &sender, &all, "x", 1), SAROS_EACCES);
    assert_result(set_option(w, &sender, SAROS_OPTION_BROADCAST, 1), 0);
    assert_int_equal(datagram_send(w, &sender, &all, "all", 3), 3);
    for (int i = 0; i < 2; i++) assert_int_equal(datagram_receive(w, &receivers[i], true, 0), 3);
    for (int i = 0; i < 2; i++) close_now(w, &receivers[i]);
    close_now(w, &sender);
}

int conform_many(void) {
    const struct CMUnitTest tests[] = {
        WORLD_TEST(options_of_datagrams_are_what_they_were_set_to),
        WORLD_TEST(what_is_sent_to_a_group_is_for_each_of_its_members),
        WORLD_TEST(to_all_may_send_only_who_has_asked_for_it),
    };
    return cmocka_run_group_tests_name(group_name("many"), tests, NULL, NULL);
}
