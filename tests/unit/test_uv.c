/* test_uv.c: the driver on libuv where the kernel says no, and where libuv would end the process. */
#ifdef __linux__
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/seam.h"
#include "support/sockets.h"

static char buffer[10];

static int reset_seam(void **state) {
    seam_reset();
    return world_setup(state);
}
static int reset_seam_bare(void **state) {
    seam_reset();
    return world_bare(state);
}
#define UV_TEST(test)      WORLD_CASE(test, world_run, reset_seam, world_teardown)
#define UV_BARE_TEST(test) WORLD_CASE(test, world_run, reset_seam_bare, world_teardown)

static void a_loop_that_libuv_cannot_have_is_refused_with_the_reason(void **state) {
    world *w = *state;
    seam_fail(SEAM_EPOLL_CREATE, EMFILE, 1);
    assert_result(world_open(w, "uv", NULL), SAROS_EMFILE);
    assert_string_equal(w->why, "uv: uv_loop_init: too many open files");
    assert_int_equal(w->memory.blocks, 0);
    assert_int_equal(descriptors_open(), w->descriptors);
    seam_fail(SEAM_EPOLL_CTL, ENOSPC, 1);
    assert_result(world_open(w, "uv", NULL), SAROS_ENOSPC);
    assert_int_equal(w->memory.blocks, 0);
    assert_int_equal(descriptors_open(), w->descriptors);
}

/* Where libuv itself would end the process: the first loop in it needs six. */
static void too_few_descriptors_for_libuv_are_a_refusal(void **state) {
    world        *w = *state;
    struct rlimit before, low;
    int           refused = 0, highest = dup(0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    close(highest);
    low = before;
    low.rlim_cur = (rlim_t)highest;
    for (int more = 0; more < 20; more++, low.rlim_cur++) {
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
        int error = world_open(w, "uv", NULL);
        setrlimit(RLIMIT_NOFILE, &before);
        if (error == 0) world_close(w);
        else refused++, assert_in_range(strlen(w->why), 10, sizeof w->why);
        assert_int_equal(w->memory.blocks, 0);
        assert_int_equal(descriptors_open(), w->descriptors);
    }
    assert_in_range(refused, 7, 15);
}

static void a_host_without_standard_input_may_have_it(void **state) {
    world *w = *state;
    pair   p;
    int    input = dup(0);
    close(0);
    assert_int_equal(world_open(w, "uv", NULL), 0);
    pair_open(w, &p, SAROS_UNIX);
    pair_close(w, &p);
    world_close(w);
    assert_int_equal(dup2(input, 0), 0);
    close(input);
}

static void what_the_kernel_will_not_watch_is_told(void **state) {
    world *w = *state;
    pair   p;
    int    fd = pair_raw(w, &p, SAROS_UNIX);
    seam_fail(SEAM_EPOLL_CTL, ENOSPC, 1);
    assert_result(perform(w, SAROS_OP_RECV, &p.server, buffer, 1), SAROS_ENOSPC);
    raw_write(fd, "x", 1);
    assert_int_equal(perform(w, SAROS_OP_RECV, &p.server, buffer, 1), 1);
    close(fd);
    pair_close(w, &p);
}

/* What may have become of a number between the start of an op and the next wait. */
static int nothing(void) { return -1; }
static int the_null_device(void) { return open("/dev/null", O_RDONLY | O_CLOEXEC); }
static int a_file(void) { return open("/", O_RDONLY | O_CLOEXEC); }
static int another_socket(void) { return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0); }

static void a_number_that_changes_hands_ends_the_op_and_not_the_process(void **state) {
    static int (*const successors[])(void) = {nothing, the_null_device, a_file, another_socket};
    static const int results[] = {SAROS_EBADF, SAROS_ENOTSOCK, SAROS_ENOTSOCK, SAROS_EINVAL};
    world           *w = *state;
    for (int watched = 0; watched < 2; watched++) /* new to libuv, or already watched for something else */
        for (int i = 0; i < 4; i++) {
            pair p;
            told receive = {0}, send_op = {0};
            int  fd = pair_raw(w, &p, SAROS_UNIX);
            if (watched) {
                fill_up(w, &send_op, &p.server);
                steps(w, 2);
            }
            start(w, &receive, SAROS_OP_RECV, &p.server, buffer, 1);
            int number = p.server.os, next;
            close(number);
            if ((next = successors[i]()) >= 0 && next != number) {
                dup2(next, number);
                close(next);
            }
            AWAIT(w, receive.times > 0);
            assert_result(receive.result, results[i]);
            close_now(w, &p.server);
            close(fd);
            pair_close(w, &p);
        }
}

/* All of it in one step that could block for long. */
static void who_waits_on_a_bad_number_is_told_without_a_wait(void **state) {
    world *w = *state;
    pair   p;
    told   receive = {0}, timer = {0};
    int    fd = pair_raw(w, &p, SAROS_UNIX);
    start(w, &receive, SAROS_OP_RECV, &p.server, buffer, 1);
    start_timer(w, &timer, 100 * SAROS_SECOND);
    close(p.server.os);
    step_for(w, SAROS_FOREVER);
    assert_int_equal(receive.times, 1);
    saros_cancel(w->loop, &timer.op);
    await(w, &timer);
    close(fd);
    close_now(w, &p.server);
    pair_close(w, &p);
}

static void two_handles_that_claim_one_number_disturb_nobody_else(void **state) {
    world *w = *state;
    pair   p, q, other;
    told   first = {0}, second = {0}, third = {0};
    int    fd = pair_raw(w, &p, SAROS_UNIX), fd2 = pair_raw(w, &q, SAROS_UNIX);
    pair_open(w, &other, SAROS_UNIX);
    start(w, &first, SAROS_OP_RECV, &p.server, buffer, 1);
    steps(w, 1);
    dup2(q.server.os, p.server.os); /* closes p's behind our back */
    close(q.server.os);
    q.server.os = p.server.os;
    start(w, &second, SAROS_OP_RECV, &q.server, buffer, 1);
    raw_write(fd2, "x", 1);
    assert_int_equal(await(w, &second), 1);
    start(w, &third, SAROS_OP_RECV, &other.server, buffer, 1);
    saros_cancel(w->loop, &first.op);
    assert_result(await(w, &first), SAROS_ECANCELED);
    assert_in_range(waits_during(w, 20 * MILLISECOND), 1, 4);
    send_all(w, &other.client, "x", 1);
    assert_int_equal(await(w, &third), 1);
    p.server.os = dup(q.server.os); /* so that each can be closed */
    close(fd);
    close(fd2);
    pair_close(w, &p);
    pair_close(w, &q);
    pair_close(w, &other);
}

static void a_loop_can_be_opened_and_closed_again_and_again(void **state) {
    world *w = *state;
    for (int i = 0; i < 20; i++) {
        pair p;
        assert_int_equal(world_open(w, "uv", NULL), 0);
        pair_open(w, &p, SAROS_INET);
        pair_close(w, &p);
        world_close(w);
        assert_int_equal(descriptors_open(), w->descriptors); /* nor does libuv keep any */
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        UV_BARE_TEST(a_loop_that_libuv_cannot_have_is_refused_with_the_reason),
        UV_BARE_TEST(too_few_descriptors_for_libuv_are_a_refusal),
        UV_BARE_TEST(a_host_without_standard_input_may_have_it),
        UV_TEST(what_the_kernel_will_not_watch_is_told),
        UV_TEST(a_number_that_changes_hands_ends_the_op_and_not_the_process),
        UV_TEST(who_waits_on_a_bad_number_is_told_without_a_wait),
        UV_TEST(two_handles_that_claim_one_number_disturb_nobody_else),
        UV_BARE_TEST(a_loop_can_be_opened_and_closed_again_and_again),
    };
    world_driver = "uv";
    return cmocka_run_group_tests_name("uv", tests, NULL, NULL);
}
#else
int main(void) { return 0; } /* the seam stands on Linux's system calls */
#endif
