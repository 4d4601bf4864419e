/* test_error.c: the error table: names, codes, texts, and the system's numbers. */
#include <errno.h>
#include <string.h>

#include "support/support.h"

static const struct entry {
    const char *name;
    int         code, system; /* the system's number, 0: none */
    const char *text;
} table[] = {
#ifdef _WIN32
#define ENTRY(name, code, posix, windows, text) {#name, code, windows, text},
#else
#define ENTRY(name, code, posix, windows, text) {#name, code, posix, text},
#endif
    SAROS_ERRORS(ENTRY)
#undef ENTRY
};
enum { COUNT = sizeof table / sizeof *table };

static void every_code_and_every_name_stands_for_one_error(void **state) {
    (void)state;
    for (int i = 0; i < COUNT; i++) {
        assert_true(table[i].code < 0);
        for (int k = 0; k < i; k++) {
            assert_int_not_equal(table[i].code, table[k].code);
            assert_string_not_equal(table[i].name, table[k].name);
            assert_string_not_equal(table[i].text, table[k].text);
            if (table[i].system != 0) assert_int_not_equal(table[i].system, table[k].system);
        }
    }
}

static void a_code_finds_its_name_and_its_text(void **state) {
    (void)state;
    for (int i = 0; i < COUNT; i++) {
        assert_string_equal(saros_error_name(table[i].code), table[i].name);
        assert_string_equal(saros_error_text(table[i].code), table[i].text);
        assert_int_equal(table[i].name[0], 'E');
    }
    assert_string_equal(saros_error_name(SAROS_ECONNREFUSED), "ECONNREFUSED");
    assert_string_equal(saros_error_text(SAROS_ECLOSED), "closed");
}

static void the_systems_number_becomes_the_error_of_the_same_name(void **state) {
    (void)state;
    int translated = 0;
    for (int i = 0; i < COUNT; i++)
        if (table[i].system != 0) {
            assert_int_equal(saros_error_from_os(table[i].system), table[i].code);
            translated++;
        }
    assert_true(translated > 40);
#ifdef _WIN32
    assert_int_equal(saros_error_from_os(WSAECONNRESET), SAROS_ECONNRESET);
    assert_int_equal(saros_error_from_os(ERROR_NETNAME_DELETED), SAROS_ECONNRESET); /* the same, of a completion */
    assert_int_equal(saros_error_from_os(ERROR_CONNECTION_REFUSED), SAROS_ECONNREFUSED);
    assert_int_equal(saros_error_from_os(ERROR_ACCESS_DENIED), SAROS_EACCES);
#else
    assert_int_equal(saros_error_from_os(EWOULDBLOCK), SAROS_EAGAIN);
    assert_int_equal(saros_error_from_os(ECONNRESET), SAROS_ECONNRESET);
#endif
}

static void every_number_has_an_answer(void **state) {
    (void)state;
    for (int number = -200; number < 5000; number++) {
        int code = saros_error_from_os(number);
        assert_true(code < 0);
        assert_true(strlen(saros_error_name(code)) > 1);
    }
    assert_int_equal(saros_error_from_os(0), SAROS_EUNKNOWN);
    assert_int_equal(saros_error_from_os(123456), SAROS_EUNKNOWN);
    assert_string_equal(saros_error_name(-9999), "EUNKNOWN");
    assert_string_equal(saros_error_text(-9999), "unknown error");
    assert_string_equal(saros_error_name(0), "OK");
    assert_string_equal(saros_error_text(17), "success");
    assert_string_equal(saros_error_name(INT32_MIN), "EUNKNOWN");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_and_every_name_stands_for_one_error),
        cmocka_unit_test(a_code_finds_its_name_and_its_text),
        cmocka_unit_test(the_systems_number_becomes_the_error_of_the_same_name),
        cmocka_unit_test(every_number_has_an_answer),
    };
    return cmocka_run_group_tests_name("errors", tests, NULL, NULL);
}
