/* test_drivers.c: which drivers there are, and which one a loop gets. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "support/seam.h"
#include "support/support.h"

/* A driver of this system, one of another; and what select says where it may have one descriptor only. */
#ifdef _WIN32
#define HERE      "iocp"
#define ELSEWHERE "epoll"
#define NO_ROOM   "select: a set of 1 has no room for a connection beside the waker"
#else
#define HERE      "poll"
#define ELSEWHERE "iocp"
#define NO_ROOM   "select: no descriptor below 1 is free"
#endif

#define assert_says(text, words)                                                                   \
    do {                                                                                           \
        if (strstr(text, words) == NULL) print_error("\"%s\" does not say \"%s\"\n", text, words); \
        assert_non_null(strstr(text, words));                                                      \
    } while (0)

static bool find(const char *name, saros_driver_info *info) {
    for (size_t i = 0; saros_driver_at(i, info); i++)
        if (strcmp(info->name, name) == 0) return true;
    return false;
}

static void every_driver_has_one_name_and_says_what_it_stands_on(void **state) {
    saros_driver_info info, other;
    size_t            count = 0;
    (void)state;
    for (; saros_driver_at(count, &info); count++) {
        assert_true(strlen(info.name) > 0 && strlen(info.about) > 0);
        assert_null(strpbrk(info.name, ", "));
        for (size_t i = 0; i < count; i++)
            assert_true(saros_driver_at(i, &other) && strcmp(other.name, info.name) != 0);
    }
    assert_true(count >= 9);
    assert_false(saros_driver_at(count, &info));
    assert_false(saros_driver_at(SIZE_MAX, &info));
    assert_true(find(HERE, &info) && info.compiled);
    assert_true(find("none", &info) && info.compiled);
}

static void every_driver_that_is_compiled_in_opens_by_its_name(void **state) {
    world            *w = *state;
    saros_driver_info info;
    for (size_t i = 0; saros_driver_at(i, &info); i++) {
        if (!info.compiled) continue;
        assert_int_equal(world_open(w, info.name, NULL), 0);
        assert_string_equal(saros_driver_name(w->loop), info.name);
        assert_int_equal(step_for(w, SAROS_FOREVER).outcome, SAROS_DONE);
        world_close(w);
        assert_int_equal(w->memory.blocks, 0);
    }
    assert_int_equal(w->reports, 0);
}

static void without_a_name_the_best_one_is_used(void **state) {
    world            *w = *state;
    saros_driver_info info;
    size_t            best = 0;
    assert_int_equal(world_open(w, NULL, NULL), 0);
    while (saros_driver_at(best, &info) && !info.compiled) best++;
    assert_string_equal(saros_driver_name(w->loop), info.name);
}

static void an_unknown_name_is_refused_and_the_known_are_listed(void **state) {
    world            *w = *state;
    saros_driver_info info;
    assert_result(world_open(w, "epol", NULL), SAROS_EINVAL);
    assert_says(w->why, "epol: no such driver");
    for (size_t i = 0; saros_driver_at(i, &info); i++) assert_says(w->why, info.name);
    assert_result(world_open(w, "", NULL), SAROS_EINVAL);
    assert_result(world_open(w, ",", NULL), SAROS_EINVAL);
    assert_result(world_open(w, "epoll ", NULL), SAROS_EINVAL);
    assert_result(world_open(w, "EPOLL", NULL), SAROS_EINVAL);
}

static void a_driver_of_another_system_is_known_and_not_here(void **state) {
    world            *w = *state;
    saros_driver_info info;
    const char       *foreign = find("kqueue", &info) && info.compiled ? "iocp" : "kqueue";
    char              text[80];
    assert_result(world_open(w, foreign, NULL), SAROS_ENOSYS);
    snprintf(text, sizeof text, "%s: not compiled into this build", foreign);
    assert_string_equal(w->why, text);
}

static void limit_to_one(saros_config *config) { config->descriptors = 1; }

static void a_single_name_is_forced_and_fails_with_its_reason(void **state) {
    world *w = *state;
    assert_result(world_open(w, "select", limit_to_one), SAROS_ELIMIT);
    assert_string_equal(w->why, NO_ROOM);
    assert_int_equal(w->reports, 0);
    assert_null(w->loop);
}

static void a_list_is_tried_in_its_order_and_the_fall_back_is_announced(void **state) {
    world *w = *state;
    assert_int_equal(world_open(w, "none," HERE, NULL), 0);
    assert_string_equal(saros_driver_name(w->loop), "none");
    assert_int_equal(w->reports, 0); /* the first was had: nothing to say */
    world_close(w);
    assert_int_equal(world_open(w, "nosuch,select," HERE ",none", limit_to_one), 0);
    assert_string_equal(saros_driver_name(w->loop), HERE);
    assert_int_equal(w->reports, 1);
    assert_says(w->report, "driver " HERE " is used instead");
    assert_says(w->report, "nosuch: no such driver");
}

static void a_list_in_which_none_opens_gives_every_reason(void **state) {
    world *w = *state;
    assert_result(world_open(w, "select," ELSEWHERE ",select", limit_to_one), SAROS_ELIMIT);
    assert_string_equal(w->why, NO_ROOM "; " ELSEWHERE ": not compiled into this build; " NO_ROOM);
    char long_list[4000] = "a";
    for (size_t i = 0, at = 1; i < 300; i++, at += 13) /* more than there is room for: cut, not overrun */
        memcpy(long_list + at, ",nosuchdriver", 14);
    assert_result(world_open(w, long_list, NULL), SAROS_EINVAL);
    assert_says(w->why, "a: no such driver");
    memset(long_list, 'x', sizeof long_list - 1);
    assert_result(world_open(w, long_list, NULL), SAROS_EINVAL);
}

static void the_callers_string_may_be_gone_afterwards(void **state) {
    world *w = *state;
    char   name[] = "none";
    assert_int_equal(world_open(w, name, NULL), 0);
    memset(name, 'x', sizeof name - 1);
    assert_string_equal(saros_driver_name(w->loop), "none");
    steps(w, 1);
}

/* ---- where the system says no ----------------------------------------------------------------------------------- */

#ifdef __linux__
static void a_driver_that_cannot_have_its_descriptor_says_so(void **state) {
    world *w = *state;
    seam_fail(SEAM_EPOLL_CREATE, EMFILE, 1);
    assert_result(world_open(w, "epoll", NULL), SAROS_EMFILE);
    assert_string_equal(w->why, "epoll: epoll_create1: too many open files in this process");
    const char *const drivers[] = {"epoll", "poll", "select"};
    for (int i = 0; i < 3; i++) {
        seam_fail(SEAM_EVENTFD, EMFILE, 1);
        assert_result(world_open(w, drivers[i], NULL), SAROS_EMFILE);
        assert_says(w->why, "too many open files");
        assert_int_equal(w->memory.blocks, 0);
        assert_int_equal(descriptors_open(), w->descriptors);
    }
    seam_fail(SEAM_EPOLL_CTL, ENOSPC, 1);
    assert_result(world_open(w, "epoll", NULL), SAROS_ENOSPC);
    assert_int_equal(descriptors_open(), w->descriptors);
    saros_driver_info kqueue;
    if (!find("kqueue", &kqueue) || !kqueue.compiled) return;
    seam_fail(SEAM_EPOLL_CREATE, EMFILE, 1);
    assert_result(world_open(w, "kqueue", NULL), SAROS_EMFILE);
    assert_string_equal(w->why, "kqueue: kqueue: too many open files in this process");
    seam_fail(SEAM_EPOLL_CTL, ENOSPC, 1);
    assert_result(world_open(w, "kqueue", NULL), SAROS_ENOSPC);
    assert_int_equal(descriptors_open(), w->descriptors);
}

static void the_automatic_choice_goes_on_to_the_next(void **state) {
    world            *w = *state;
    saros_driver_info kqueue; /* where its double is, which stands on epoll as well */
    assert_true(find("kqueue", &kqueue));
    seam_fail(SEAM_EPOLL_CREATE, ENOSYS, kqueue.compiled ? 2 : 1);
    assert_int_equal(world_open(w, NULL, NULL), 0);
    assert_string_equal(saros_driver_name(w->loop), "poll");
    world_close(w);
    seam_fail(SEAM_EVENTFD, ENFILE, kqueue.compiled ? 4 : 3);
    assert_result(world_open(w, NULL, NULL), SAROS_ENFILE);
    assert_says(w->why, "epoll: too many open files in the system");
    assert_says(w->why, "select: ");
    assert_int_equal(w->memory.blocks, 0);
}
#endif

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_driver_has_one_name_and_says_what_it_stands_on),
        BARE_TEST(every_driver_that_is_compiled_in_opens_by_its_name),
        BARE_TEST(without_a_name_the_best_one_is_used),
        BARE_TEST(an_unknown_name_is_refused_and_the_known_are_listed),
        BARE_TEST(a_driver_of_another_system_is_known_and_not_here),
        BARE_TEST(a_single_name_is_forced_and_fails_with_its_reason),
        BARE_TEST(a_list_is_tried_in_its_order_and_the_fall_back_is_announced),
        BARE_TEST(a_list_in_which_none_opens_gives_every_reason),
        BARE_TEST(the_callers_string_may_be_gone_afterwards),
#ifdef __linux__
        BARE_TEST(a_driver_that_cannot_have_its_descriptor_says_so),
        BARE_TEST(the_automatic_choice_goes_on_to_the_next),
#endif
    };
    return cmocka_run_group_tests_name("drivers", tests, NULL, NULL);
}
