/* test_uring.c: io_uring where it is forbidden or old, and where it is opened often.
 *
 * The forbidding is also tested as it happens, by a seccomp filter around the host. */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/sockets.h"
#include "support/uring_seam.h"

/* ---- opening ---------------------------------------------------------------------------------------------------- */

static void a_refusal_names_io_uring_and_what_may_forbid_it(void **state) {
    static const struct {
        int         number, code;
        const char *words;
    } refusals[] = {
        {EPERM, SAROS_EPERM, "seccomp"},       {EPERM, SAROS_EPERM, "kernel.io_uring_disabled"},
        {ENOSYS, SAROS_ENOSYS, "no io_uring"}, {ENOSYS, SAROS_ENOSYS, "seccomp"},
        {EINVAL, SAROS_EINVAL, "5.13"},        {ENOMEM, SAROS_ENOMEM, "ulimit -l"},
        {EMFILE, SAROS_EMFILE, "io_uring"},
    };
    world *w = *state;
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        seam.error = refusals[i].number;
        assert_result(world_open(w, "uring", NULL), refusals[i].code);
        assert_true(says(w->why, "uring: io_uring: ") && says(w->why, refusals[i].words));
        assert_int_equal(w->memory.blocks, 0);
        assert_int_equal(descriptors_open(), w->descriptors);
        assert_int_equal(w->reports, 0);
    }
}

static void a_list_goes_on_with_the_next_driver_and_says_so(void **state) {
    world *w = *state;
    seam.error = EPERM;
    assert_int_equal(world_open(w, "uring,poll", NULL), 0);
    assert_string_equal(saros_driver_name(w->loop), "poll");
    assert_int_equal(w->reports, 1);
    assert_true(says(w->report, "driver poll is used instead (uring: io_uring: "));
}

static void nobody_gets_it_without_asking(void **state) {
    world *w = *state;
    assert_int_equal(world_open(w, NULL, NULL), 0);
    assert_string_not_equal(saros_driver_name(w->loop), "uring");
    assert_int_equal(seam.setups, 0);
}

static void a_kernel_without_what_is_needed_is_refused(void **state) {
    static const unsigned needed[] = {IORING_FEAT_NODROP, IORING_FEAT_EXT_ARG, IORING_FEAT_RSRC_TAGS};
    world                *w = *state;
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++) {
        seam.features = needed[i];
        assert_result(world_open(w, "uring", NULL), SAROS_EINVAL);
        assert_true(says(w->why, "5.13"));
        assert_int_equal(descriptors_open(), w->descriptors);
    }
}

static void an_open_that_fails_half_way_leaves_nothing(void **state) {
    world *w = *state;
    for (size_t from = 1;; from++) { /* memory that runs out at each point */
        w->memory.calls = 0;
        w->memory.fail_from = from;
        int error = world_open(w, "uring", NULL);
        w->memory.fail_from = 0;
        if (error == 0) break;
        assert_result(error, SAROS_ENOMEM);
        assert_int_equal(w->memory.blocks, 0);
        assert_int_equal(descriptors_open(), w->descriptors);
    }
}

static void *wake_it(void *loop) {
    saros_wake(loop);
    return NULL;
}

/* Everything that a driver does, in short. */
static void try_out(world *w) {
    pair      p;
    told      receive = {0}, send_op = {0}, lent_op = {0};
    pthread_t thread;
    pair_open(w, &p, SAROS_INET);
    start(w, &receive, SAROS_OP_RECV, &p.server, bytes, 10);
    assert_int_equal(send_all(w, &p.client, "moon", 4), 1);
    assert_int_equal(await(w, &receive), 4);
    start(w, &lent_op, SAROS_OP_RECV, &p.server, NULL, 0);
    send_all(w, &p.client, "star", 4);
    assert_int_equal(await(w, &lent_op), 4);
    assert_memory_equal(saros_lent(w->loop), "star", 4);
    fill_up(w, &send_op, &p.server);
    saros_cancel(w->loop, &send_op.op);
    assert_result(await(w, &send_op), SAROS_ECANCELED);
    saros_hold(w->loop);
    assert_int_equal(pthread_create(&thread, NULL, wake_it, w->loop), 0);
    saros_time began = clock_now();
    step_for(w, 20 * SAROS_SECOND);
    assert_true(clock_now() - began < 10 * SAROS_SECOND);
    pthread_join(thread, NULL);
    saros_release(w->loop);
    start(w, &lent_op, SAROS_OP_RECV, &p.server, NULL, 0);
    while (step_for(w, 0).outcome == SAROS_MORE) {}
    send_all(w, &p.client, "x", 1);
    struct pollfd one = {.fd = saros_pollable(w->loop), .events = POLLIN};
    if (lent_op.times == 0) assert_int_equal(poll(&one, 1, 5000), 1);
    assert_int_equal(await(w, &lent_op), 1);
    pair_close(w, &p);
}

static void a_kernel_that_is_short_of_memory_at_first_is_asked_again(void **state) {
    world *w = *state;
    seam.submit_error = EAGAIN, seam.submit_failures = 1;
    assert_int_equal(world_open(w, "uring", NULL), 0);
    assert_int_equal(seam.submit_failures, 0);
    try_out(w);
}

static void it_works_with_the_flags_of_every_kernel(void **state) {
    static const unsigned known[] = {
        0, IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL, /* 5.19 */
        IORING_SETUP_CLAMP,                                                                 /* 5.13 */
    };
    world *w = *state;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        seam.known = known[i];
        seam.setups = 0;
        assert_int_equal(world_open(w, "uring", NULL), 0);
        assert_int_equal(seam.setups, i + 1);
        try_out(w);
        world_close(w);
    }
}

static void two_hundred_loops_are_open_at_once(void **state) {
    enum { MANY = 200 };
    world      *w = *state;
    saros_loop *loops[MANY];
    pair        p;
    told        receive = {0};
    opened(state);
    for (int i = 0; i < MANY; i++) {
        saros_config config = SAROS_CONFIG_INIT;
        char         why[200] = "";
        config.driver = "uring";
        if (saros_open(&loops[i], &config, why, sizeof why) != 0) fail_msg("loop %d: %s", i, why);
    }
    pair_open(w, &p, SAROS_UNIX);
    start(w, &receive, SAROS_OP_RECV, &p.server, bytes, 1);
    send_all(w, &p.client, "x", 1);
    assert_int_equal(await(w, &receive), 1);
    for (int i = 0; i < MANY; i++) assert_int_equal(saros_close(loops[i]), 0);
    pair_close(w, &p);
}

/* ---- the host, where io_uring is forbidden ---------------------------------------------------------------------- */

/* Runs `saros --driver DRIVER -e …` with io_uring_setup answering `number`; both its outputs, and its exit status. */
static int host(const char *driver, int number, char *output, size_t size) {
    struct sock_filter rules[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)number),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = {.len = sizeof rules / sizeof *rules, .filter = rules};
    const char       *program = getenv("SAROS_HOST");
    int               ends[2], status;
    size_t            used = 0;
    ssize_t           got;
    if (program == NULL) { /* ctest names it */
        print_error("SAROS_HOST is not set\n");
        return -1;
    }
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(ends[1], STDOUT_FILENO);
        dup2(ends[1], STDERR_FILENO);
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) < 0)
            _exit(99);
        unsetenv("SAROS_DRIVER");
        const char *script = "print('it is ' .. require('saros').current_loop():driver())";
        if (driver != NULL) execl(program, program, "--driver", driver, "-e", script, (char *)NULL);
        else execl(program, program, "-e", script, (char *)NULL);
        _exit(98);
    }
    close(ends[1]);
    while ((got = read(ends[0], output + used, size - 1 - used)) > 0) used += (size_t)got;
    output[used] = 0;
    close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void where_a_filter_forbids_it_the_host_says_so_or_takes_the_next(void **state) {
    static const int numbers[] = {EPERM, ENOSYS};
    char             output[4000];
    (void)state;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(host("uring", numbers[i], output, sizeof output), 1);
        assert_true(says(output, "io_uring") && says(output, "seccomp"));
        assert_null(strstr(output, "it is"));
        assert_int_equal(host("uring,epoll", numbers[i], output, sizeof output), 0);
        assert_true(says(output, "it is epoll") && says(output, "driver epoll is used instead"));
        assert_int_equal(host(NULL, numbers[i], output, sizeof output), 0);
        assert_string_equal(output, "it is epoll\n");
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        URING_TEST(a_refusal_names_io_uring_and_what_may_forbid_it),
        URING_TEST(a_list_goes_on_with_the_next_driver_and_says_so),
        URING_TEST(nobody_gets_it_without_asking),
        URING_TEST(a_kernel_without_what_is_needed_is_refused),
        URING_TEST(an_open_that_fails_half_way_leaves_nothing),
        URING_TEST(a_kernel_that_is_short_of_memory_at_first_is_asked_again),
        URING_TEST(it_works_with_the_flags_of_every_kernel),
        URING_TEST(two_hundred_loops_are_open_at_once),
        URING_TEST(where_a_filter_forbids_it_the_host_says_so_or_takes_the_next),
    };
    return cmocka_run_group_tests_name("uring", tests, NULL, NULL);
}
