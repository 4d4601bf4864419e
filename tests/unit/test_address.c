/* test_address.c: what is an address, what is a name, what is neither; and every address read back from its text. */
#include <stdio.h>
#include <string.h>

#include "support/support.h"

static struct parsed {
    saros_address address;
    const char   *host, *why;
    size_t        length;
    char          text[70000];
} it;

/* The text stands at the very end of its own memory, so that a read behind it is found. */
static int parse_bytes(const char *text, size_t length) {
    char *copy = test_malloc(length + 1);
    memset(&it, 0, sizeof it);
    memset(&it.address, 0xff, sizeof it.address);
    memcpy(copy, text, length);
    int result = saros_address_parse(&it.address, copy, length, &it.host, &it.length, &it.why);
    if (result == SAROS_IS_NAME) { /* the host points into the text, which goes now */
        memcpy(it.text, it.host, it.length);
        it.host = it.text;
    }
    test_free(copy);
    return result;
}

static int parse(const char *text) { return parse_bytes(text, strlen(text)); }

static void check_refused(const char *text, size_t length, const char *reason, int line) {
    int result = parse_bytes(text, length);
    if (result != SAROS_EINVAL || it.why == NULL || strstr(it.why, reason) == NULL) {
        print_error("\"%s\": %d, %s instead of %s\n", text, result, it.why != NULL ? it.why : "no reason", reason);
        _fail(__FILE__, line);
    }
}
#define assert_refused(text, reason)               check_refused(text, strlen(text), reason, __LINE__)
#define assert_bytes_refused(text, length, reason) check_refused(text, length, reason, __LINE__)

static void ipv4_literals_are_addresses(void **state) {
    (void)state;
    assert_int_equal(parse("127.0.0.1:80"), SAROS_IS_ADDRESS);
    assert_int_equal(it.address.family, SAROS_INET);
    assert_int_equal(it.address.port, 80);
    assert_false(it.address.dual);
    assert_memory_equal(it.address.at.ip, "\x7f\0\0\1", 4);
    assert_int_equal(parse("255.255.255.255:65535"), SAROS_IS_ADDRESS);
    assert_int_equal(it.address.port, 65535);
    assert_int_equal(parse("0.0.0.0:0"), SAROS_IS_ADDRESS);
}

static void localhost_is_not_looked_up(void **state) {
    (void)state;
    assert_int_equal(parse("localhost:8080"), SAROS_IS_ADDRESS);
    assert_int_equal(it.address.family, SAROS_INET);
    assert_int_equal(it.address.port, 8080);
    assert_memory_equal(it.address.at.ip, "\x7f\0\0\1", 4);
}

static void ipv6_literals_need_their_brackets(void **state) {
    (void)state;
    assert_int_equal(parse("[::1]:80"), SAROS_IS_ADDRESS);
    assert_int_equal(it.address.family, SAROS_INET6);
    assert_int_equal(it.address.port, 80);
    assert_memory_equal(it.address.at.ip, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1", 16);
    assert_int_equal(parse("[::ffff:127.0.0.1]:1"), SAROS_IS_ADDRESS);
    assert_memory_equal(it.address.at.ip, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x7f\0\0\1", 16);
    assert_int_equal(parse("[2001:db8:1:2:3:4:5:6]:1"), SAROS_IS_ADDRESS);
    assert_refused("::1:80", "brackets");
    assert_refused("[::1]", "port");
    assert_refused("[::1]80", "port");
    assert_refused("[:::1]:80", "not an IPv6 address");
    assert_refused("[::1::2]:80", "not an IPv6 address");
    assert_refused("[127.0.0.1]:80", "between [ and ]");
    assert_refused("[]:80", "between [ and ]");
    assert_refused("[2001:db8:1:2:3:4:5:6:7:8:9:a:b:c:d:e:f:1:2:3]:1", "not an IPv6 address");
}

static void scope_ids_are_numbers_or_interfaces(void **state) {
    (void)state;
    assert_int_equal(parse("[fe80::1%7]:80"), SAROS_IS_ADDRESS);
    assert_int_equal(it.address.scope, 7);
#ifndef _WIN32 /* where interfaces have numbers only */
    assert_int_equal(parse("[fe80::1%lo]:80"), SAROS_IS_ADDRESS);
    assert_int_not_equal(it.address.scope, 0);
#endif
    assert_refused("[fe80::1%]:80", "scope");
    assert_refused("[fe80::1%nosuchinterface]:80", "scope");
    assert_refused("[fe80::1%99999999999]:80", "scope");
    assert_bytes_refused("[fe80::1%lo\0x]:80", 17, "scope"); /* never cut at the zero byte */
    assert_bytes_refused("[fe80::1%lo\0]:80", 16, "scope");
}

static void a_star_or_nothing_is_every_interface(void **state) {
    (void)state;
    static const uint8_t zero[16];
    const char *const    any[] = {"*:80", ":80"};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(parse(any[i]), SAROS_IS_ADDRESS);
        assert_int_equal(it.address.family, SAROS_INET6);
        assert_true(it.address.dual);
        assert_int_equal(it.address.port, 80);
        assert_memory_equal(it.address.at.ip, zero, 16);
    }
    assert_int_equal(parse("[::]:80"), SAROS_IS_ADDRESS);
    assert_false(it.address.dual);
}

static void names_are_recognised_and_left_for_others(void **state) {
    (void)state;
    const char *const names[] = {"example.org",   "a",        "a.b.c.", "xn--bcher-kva.example", "my_host",
                                 "4ever.example", "1.2.3.com"};
    char              text[300];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(text, sizeof text, "%s:443", names[i]);
        assert_int_equal(parse(text), SAROS_IS_NAME);
        assert_int_equal(it.length, strlen(names[i]));
        assert_memory_equal(it.host, names[i], it.length);
        assert_int_equal(it.address.port, 443);
    }
}

static void old_spellings_of_numbers_are_neither(void **state) {
    (void)state;
    const char *const wrong[] = {"0x7f.1:80",      "127.1:80",      "2130706433:80",
                                 "127.0.0.256:80", "127.0.0.1.:80", "1.2.3.4.5:80"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) assert_refused(wrong[i], "not an IPv4 address");
    assert_refused("..:80", "empty label");
    assert_refused(".:80", "empty label");
    assert_refused("a..b:80", "empty label");
}

static void ports_are_decimal_and_in_range(void **state) {
    (void)state;
    assert_refused("a:-1", "not a decimal");
    assert_refused("a:65536", "out of range");
    assert_refused("a:99999999999999999999999999", "out of range");
    assert_refused("a:80 ", "not a decimal");
    assert_refused("a: 80", "not a decimal");
    assert_refused("a:+80", "not a decimal");
    assert_refused("a:http", "not a decimal");
    assert_refused("a:80.0", "not a decimal");
    assert_refused("a:0x50", "not a decimal");
    assert_refused("a:", "no port");
    assert_refused("a", "no port");
    assert_refused("", "no port");
    assert_refused(":", "no port");
    assert_bytes_refused("a:80\0", 5, "not a decimal");
    assert_bytes_refused("a:8\0000", 5, "not a decimal");
    assert_int_equal(parse("a:0"), SAROS_IS_NAME);
    assert_int_equal(parse("a:65535"), SAROS_IS_NAME);
}

static void nothing_is_cut_at_a_zero_byte(void **state) {
    (void)state;
    assert_bytes_refused("loc\0alhost:80", 13, "zero byte");
    assert_bytes_refused("localhost\0:80", 13, "zero byte");
    assert_bytes_refused("127.0.0.1\0:80", 13, "zero byte");
    assert_bytes_refused("127.0.0.1\0.example.org:80", 25, "zero byte");
    assert_bytes_refused("[::1\0]:80", 9, "not an IPv6 address");
    assert_bytes_refused("unix:/a\0b", 9, "zero byte");
}

static void over_long_hosts_are_refused_and_never_cut(void **state) {
    (void)state;
    char *text = test_malloc(70000);
    for (size_t length = 250; length <= 260; length++) {
        for (size_t i = 0; i < length; i++) text[i] = i % 50 == 49 && i + 1 < length ? '.' : 'a';
        memcpy(text + length, ":80", 3);
        if (length <= 255) assert_int_equal(parse_bytes(text, length + 3), SAROS_IS_NAME);
        else assert_bytes_refused(text, length + 3, "255");
    }
    memset(text, 'a', 65536);
    memcpy(text + 65536, ":80", 3);
    assert_bytes_refused(text, 65539, "255");
    memset(text, '1', 65536);
    assert_bytes_refused(text, 65539, "255");
    memset(text, 'a', 64);
    memcpy(text + 64, ":80", 3);
    assert_bytes_refused(text, 67, "63");
    assert_int_equal(parse_bytes(text + 1, 66), SAROS_IS_NAME);
    test_free(text);
}

static void bad_characters_are_refused(void **state) {
    (void)state;
    const char *const wrong[] = {("b\xc3\xbc"
                                  "cher.example:80"),
                                 "a b:80",
                                 "a@b:80",
                                 "a/b:80",
                                 "a[b:80",
                                 "a{b:80",
                                 "http://x:80",
                                 " a:80",
                                 "a\n:80",
                                 "a%b:80"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) assert_int_equal(parse(wrong[i]), SAROS_EINVAL);
}

static void unix_paths_have_at_most_107_bytes(void **state) {
    (void)state;
    char text[200] = "unix:";
    memset(text + 5, 'p', 150);
    assert_int_equal(parse_bytes(text, 5 + 107), SAROS_IS_ADDRESS);
    assert_int_equal(it.address.family, SAROS_UNIX);
    assert_int_equal(it.address.length, 107);
    assert_bytes_refused(text, 5 + 108, "107");
    assert_bytes_refused(text, 5 + 109, "107");
    assert_refused("unix:", "empty path");
    assert_int_equal(parse_bytes("unix:\0abstract\0x", 16), SAROS_IS_ADDRESS);
    assert_int_equal(it.address.length, 11);
    assert_memory_equal(it.address.at.path, "\0abstract\0x", 11);
}

static void host_and_port_apart_follow_the_same_rules(void **state) {
    (void)state;
    saros_address address;
    const char   *why = NULL;
    assert_int_equal(saros_address_make(&address, "127.0.0.1", 9, 80, &why), SAROS_IS_ADDRESS);
    assert_int_equal(saros_address_make(&address, "::1", 3, 80, &why), SAROS_IS_ADDRESS);
    assert_int_equal(address.family, SAROS_INET6);
    assert_int_equal(saros_address_make(&address, "example.org", 11, 80, &why), SAROS_IS_NAME);
    assert_int_equal(address.port, 80);
    assert_int_equal(saros_address_make(&address, "*", 1, 0, &why), SAROS_IS_ADDRESS);
    assert_true(address.dual);
    assert_int_equal(saros_address_make(&address, "127.0.0.1", 9, -1, &why), SAROS_EINVAL);
    assert_non_null(strstr(why, "out of range"));
    assert_int_equal(saros_address_make(&address, "127.0.0.1", 9, 65536, &why), SAROS_EINVAL);
    assert_int_equal(saros_address_make(&address, "127.0.0.1", 9, INT32_MIN, &why), SAROS_EINVAL);
}

/* ---- and back --------------------------------------------------------------------------------------------------- */

static void what_is_written_is_read_as_the_same_address(void **state) {
    (void)state;
    const char *const texts[] = {"127.0.0.1:80",
                                 "0.0.0.0:0",
                                 "[::1]:65535",
                                 "[::]:80",
                                 "*:80",
                                 ":0",
                                 "[fe80::1%7]:80",
                                 "localhost:5",
                                 "unix:/tmp/a b",
                                 "unix:relative",
                                 "[::ffff:1.2.3.4]:9",
                                 "[fe80::1%4000000000]:80",
                                 "[2001:db8:1:2:3:4:5:6]:65535"};
    char              text[SAROS_ADDRESS_TEXT], again[SAROS_ADDRESS_TEXT];
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        assert_int_equal(parse(texts[i]), SAROS_IS_ADDRESS);
        saros_address first = it.address;
        size_t        length = saros_address_format(&first, text);
        assert_int_equal(length, strlen(text));
        assert_int_equal(parse_bytes(text, length), SAROS_IS_ADDRESS);
        assert_memory_equal(&it.address, &first, sizeof first);
        assert_int_equal(saros_address_format(&it.address, again), length);
        assert_string_equal(again, text);
    }
}

static void the_longest_addresses_fit_their_text(void **state) {
    (void)state;
    char          text[SAROS_ADDRESS_TEXT];
    saros_address address = {.family = SAROS_INET6, .port = 65535, .scope = UINT32_MAX};
    memset(address.at.ip, 0xff, 16);
    size_t length = saros_address_format(&address, text);
    assert_int_equal(length, strlen(text));
    address = (saros_address){.family = SAROS_UNIX, .length = 108};
    memset(address.at.path, 'x', 108);
    assert_int_equal(saros_address_format(&address, text), 113);
    address.at.path[0] = 0; /* abstract: the zero byte is part of it */
    assert_int_equal(saros_address_format(&address, text), 113);
    assert_memory_equal(text, "unix:\0x", 7);
    address = (saros_address){0};
    assert_int_equal(saros_address_format(&address, text), 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ipv4_literals_are_addresses),
        cmocka_unit_test(localhost_is_not_looked_up),
        cmocka_unit_test(ipv6_literals_need_their_brackets),
        cmocka_unit_test(scope_ids_are_numbers_or_interfaces),
        cmocka_unit_test(a_star_or_nothing_is_every_interface),
        cmocka_unit_test(names_are_recognised_and_left_for_others),
        cmocka_unit_test(old_spellings_of_numbers_are_neither),
        cmocka_unit_test(ports_are_decimal_and_in_range),
        cmocka_unit_test(nothing_is_cut_at_a_zero_byte),
        cmocka_unit_test(over_long_hosts_are_refused_and_never_cut),
        cmocka_unit_test(bad_characters_are_refused),
        cmocka_unit_test(unix_paths_have_at_most_107_bytes),
        cmocka_unit_test(host_and_port_apart_follow_the_same_rules),
        cmocka_unit_test(what_is_written_is_read_as_the_same_address),
        cmocka_unit_test(the_longest_addresses_fit_their_text),
    };
    return cmocka_run_group_tests_name("addresses", tests, NULL, NULL);
}
