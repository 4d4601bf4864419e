/* test_uring.c: what only io_uring has: being forbidden, older kernels, rings that are full, cancels that come late.
 *
 * liburing's functions are wrapped by the linker (tests/CMakeLists.txt): they do what they do, unless told otherwise.
 * The forbidding is also tested as it happens, by a seccomp filter around the host. */
#include <errno.h>
#include <limits.h>
#include <liburing.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/sockets.h"

/* ---- the seam --------------------------------------------------------------------------------------------------- */

static struct seam {
    int              error;    /* of the next set-up; 0: none */
    unsigned         known;    /* the flags that the kernel knows; 0: all of them */
    unsigned         features; /* that it lacks */
    unsigned         entries;  /* of a smaller ring; 0: as asked for */
    int              submit_error;
    int              submit_failures; /* so many of the next submits fail with it */
    size_t           setups, enters;
    struct io_uring *ring; /* the last one */
} seam;

int __real_io_uring_queue_init_params(unsigned entries, struct io_uring *ring, struct io_uring_params *params);
int __wrap_io_uring_queue_init_params(unsigned entries, struct io_uring *ring, struct io_uring_params *params);
int __real_io_uring_submit(struct io_uring *ring);
int __wrap_io_uring_submit(struct io_uring *ring);
int __real_io_uring_submit_and_get_events(struct io_uring *ring);
int __wrap_io_uring_submit_and_get_events(struct io_uring *ring);
int __real_io_uring_submit_and_wait_timeout(struct io_uring *ring, struct io_uring_cqe **cqe, unsigned count,
                                            struct __kernel_timespec *time, sigset_t *mask);
int __wrap_io_uring_submit_and_wait_timeout(struct io_uring *ring, struct io_uring_cqe **cqe, unsigned count,
                                            struct __kernel_timespec *time, sigset_t *mask);

int __wrap_io_uring_queue_init_params(unsigned entries, struct io_uring *ring, struct io_uring_params *params) {
    const unsigned sizes = IORING_SETUP_CQSIZE;
    seam.setups++;
    seam.ring = ring;
    if (seam.error != 0) return -seam.error;
    if (seam.known != 0 && (params->flags & ~seam.known & ~sizes) != 0) return -EINVAL;
    if (seam.entries != 0) {
        entries = seam.entries;
        params->cq_entries = entries * 2;
    }
    int result = __real_io_uring_queue_init_params(entries, ring, params);
    params->features &= ~seam.features;
    return result;
}

static bool refused(void) {
    seam.enters++;
    if (seam.submit_failures == 0) return false;
    seam.submit_failures--;
    return true;
}

int __wrap_io_uring_submit(struct io_uring *ring) {
    return refused() ? -seam.submit_error : __real_io_uring_submit(ring);
}

int __wrap_io_uring_submit_and_get_events(struct io_uring *ring) {
    return refused() ? -seam.submit_error : __real_io_uring_submit_and_get_events(ring);
}

int __wrap_io_uring_submit_and_wait_timeout(struct io_uring *ring, struct io_uring_cqe **cqe, unsigned count,
                                            struct __kernel_timespec *time, sigset_t *mask) {
    if (refused()) return -seam.submit_error;
    return __real_io_uring_submit_and_wait_timeout(ring, cqe, count, time, mask);
}

static int fresh(void **state) {
    seam = (struct seam){0};
    return world_bare(state);
}
#define URING_TEST(test) WORLD_CASE(test, world_run, fresh, world_teardown)

static world *opened(void **state) {
    world *w = *state;
    if (world_open(w, "uring", NULL) != 0) fail_msg("%s", w->why);
    return w;
}

static bool says(const char *text, const char *words) {
    if (strstr(text, words) != NULL) return true;
    print_error("\"%s\" does not say \"%s\"\n", text, words);
    return false;
}

static char bytes[4096];

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
    seam.submit_error = EAGAIN, seam.submit_failures = 1;
    assert_result(world_open(w, "uring", NULL), SAROS_EAGAIN);
    assert_int_equal(w->memory.blocks, 0);
    assert_int_equal(descriptors_open(), w->descriptors);
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
    if (program == NULL) fail_msg("SAROS_HOST must name the host; ctest sees to that");
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

/* ---- the rings -------------------------------------------------------------------------------------------------- */

enum { MANY = 100 };

typedef struct crowd {
    saros_handle  listener, ours[MANY];
    saros_address address;
    told          receives[MANY];
    int           theirs[MANY];
    char          bytes[MANY][4];
} crowd;

static crowd *crowd_open(world *w) {
    crowd *c = test_calloc(1, sizeof *c);
    listen_at(w, &c->listener, &c->address, SAROS_UNIX);
    for (int i = 0; i < MANY; i++) {
        c->theirs[i] = raw_connect(&c->address);
        assert_result(perform(w, SAROS_OP_ACCEPT, &c->listener, &c->ours[i], 0), 0);
    }
    return c;
}

static void crowd_read(world *w, crowd *c, bool lent) {
    for (int i = 0; i < MANY; i++)
        start(w, &c->receives[i], SAROS_OP_RECV, &c->ours[i], lent ? NULL : c->bytes[i], lent ? 0 : 4);
}

static void crowd_close(world *w, crowd *c) {
    for (int i = 0; i < MANY; i++) close_now(w, &c->ours[i]), close(c->theirs[i]);
    close_now(w, &c->listener);
    test_free(c);
}

static bool read_lent;
static void all_read(told *t) { crowd_read(t->world, t->with, read_lent); }

static void a_turn_is_one_system_call_however_much_begins_in_it(void **state) {
    world *w = opened(state);
    crowd *c = crowd_open(w);
    for (int round = 0; round < 5; round++) {
        told timer = {.then = all_read, .with = c};
        read_lent = round % 2 == 0;
        start_timer(w, &timer, 0);
        seam.enters = 0;
        assert_int_equal(saros_step(w->loop, &(saros_limits){.wait = 1}).outcome, SAROS_WAITING);
        assert_int_equal(seam.enters, 1);
        for (int i = 0; i < MANY; i++) raw_write(c->theirs[i], "x", 1);
        for (int i = 0; i < MANY; i++) assert_int_equal(await(w, &c->receives[i]), 1);
        assert_in_range(seam.enters, 2, 2 + MANY / 10); /* the kernel gives what has ended in portions */
    }
    crowd_close(w, c);
}

static void rings_that_are_full_lose_nothing(void **state) {
    world *w = *state;
    seam.entries = 4; /* and 8 completions */
    opened(state);
    crowd *c = crowd_open(w);
    for (int round = 0; round < 6; round++) {
        crowd_read(w, c, round % 2 == 0);
        steps(w, 1);
        for (int i = 0; i < MANY; i++) raw_write(c->theirs[i], "x", 1);
        for (int i = 0; i < MANY; i++) {
            if (round >= 4 && i % 2 == 0) saros_cancel(w->loop, &c->receives[i].op);
            int64_t result = await(w, &c->receives[i]);
            if (result == 1) continue;
            assert_result(result, SAROS_ECANCELED);
            assert_int_equal(perform(w, SAROS_OP_RECV, &c->ours[i], bytes, 10), 1); /* it was not lost */
        }
    }
    crowd_read(w, c, true);
    steps(w, 1);
    for (int i = 0; i < MANY; i++) saros_cancel(w->loop, &c->receives[i].op);
    for (int i = 0; i < MANY; i++) assert_result(await(w, &c->receives[i]), SAROS_ECANCELED);
    crowd_close(w, c);
}

static void what_the_kernel_will_not_have_now_it_gets_later(void **state) {
    static const int errors[] = {EAGAIN, EBUSY, EINTR};
    world           *w = *state;
    seam.entries = 4;
    opened(state);
    crowd *c = crowd_open(w);
    for (int which = 0; which < 3; which++) {
        seam.submit_error = errors[which], seam.submit_failures = INT_MAX;
        crowd_read(w, c, which % 2 == 0);
        for (int i = 0; i < MANY; i += 2) saros_cancel(w->loop, &c->receives[i].op);
        for (int i = 0; i < MANY; i++) raw_write(c->theirs[i], "x", 1);
        steps(w, 3);
        assert_true(seam.submit_failures > 0 && c->receives[1].times == 0);
        seam.submit_failures = 0;
        for (int i = 0; i < MANY; i++) {
            int64_t result = await(w, &c->receives[i]);
            if (i % 2 == 1) assert_result(result, 1);
            if (result == 1) continue;
            assert_result(result, SAROS_ECANCELED);
            assert_int_equal(perform(w, SAROS_OP_RECV, &c->ours[i], bytes, 10), 1);
        }
        crowd_read(w, c, true); /* cancels alone */
        steps(w, 1);
        seam.submit_failures = INT_MAX;
        for (int i = 0; i < MANY; i++) saros_cancel(w->loop, &c->receives[i].op);
        steps(w, 3);
        seam.submit_failures = 0;
        for (int i = 0; i < MANY; i++) assert_result(await(w, &c->receives[i]), SAROS_ECANCELED);
    }
    crowd_close(w, c);
}

static void an_error_of_the_wait_that_is_none_of_these_breaks_the_loop(void **state) {
    world *w = opened(state);
    pair   p;
    told   receive = {0};
    pair_open(w, &p, SAROS_UNIX);
    start(w, &receive, SAROS_OP_RECV, &p.server, bytes, 1);
    seam.submit_error = EBADF, seam.submit_failures = 1;
    saros_status status = step_for(w, SAROS_SECOND);
    assert_int_equal(status.outcome, SAROS_BROKEN);
    assert_result(status.error, SAROS_EBADF);
    close(p.client.os); /* a broken driver brings nothing to its end */
    close(p.server.os);
    close(p.listener.os);
    world_close(w);
}

/* ---- cancels ---------------------------------------------------------------------------------------------------- */

/* The op that is begun in the place and at the address of one that was cancelled too late. */
static void a_late_cancel_does_not_hit_who_comes_after(void **state) {
    world *w = opened(state);
    pair   p;
    told   receive = {0};
    int    fd = pair_raw(w, &p, SAROS_UNIX), late = 0;
    for (int i = 0; i < 200; i++) {
        bool lent = i % 2 == 0;
        start(w, &receive, SAROS_OP_RECV, &p.server, lent ? NULL : bytes, lent ? 0 : 10);
        saros_step(w->loop, &(saros_limits){.wait = 1}); /* now the kernel has it */
        assert_int_equal(receive.times, 0);
        raw_write(fd, "x", 1);
        if (i % 4 < 2) io_uring_get_events(seam.ring); /* the completion is in the ring, and not yet read */
        saros_cancel(w->loop, &receive.op);
        int64_t result = await(w, &receive);
        assert_true(result == 1 || result == SAROS_ECANCELED);
        late += result == 1;
        start(w, &receive, SAROS_OP_RECV, &p.server, lent ? NULL : bytes, lent ? 0 : 10);
        steps(w, 3);
        assert_int_equal(receive.times, result != 1); /* else the byte is still there to be read */
        if (receive.times == 0) raw_write(fd, "y", 1);
        assert_int_equal(await(w, &receive), 1);
    }
    assert_true(late >= 100);
    close(fd);
    pair_close(w, &p);
}

/* What the kernel may still say about an op that has ended: written into the ring by hand. */
static void a_completion_or_cancel_of_an_older_generation_is_nobodys(void **state) {
    world *w = opened(state);
    pair   p;
    told   receive = {0};
    int    fd = pair_raw(w, &p, SAROS_UNIX);
    start(w, &receive, SAROS_OP_RECV, &p.server, NULL, 0);
    uint32_t place = receive.op.word;
    steps(w, 2);
    for (uint64_t generation = 0; generation < 20; generation++) { /* the present one is among them */
        struct io_uring_sqe *sqe = io_uring_get_sqe(seam.ring);
        assert_non_null(sqe);
        io_uring_prep_nop(sqe);
        io_uring_sqe_set_data64(sqe, (generation + 1000) << 32 | place);
        sqe = io_uring_get_sqe(seam.ring);
        io_uring_prep_cancel64(sqe, (generation + 1000) << 32 | place, 0);
        io_uring_sqe_set_data64(sqe, UINT64_MAX);
        steps(w, 1);
    }
    assert_int_equal(receive.times, 0);
    raw_write(fd, "x", 1);
    assert_int_equal(await(w, &receive), 1);
    for (int i = 0; i < 3; i++) { /* and for a place that is free */
        struct io_uring_sqe *sqe = io_uring_get_sqe(seam.ring);
        io_uring_prep_nop(sqe);
        io_uring_sqe_set_data64(sqe, (uint64_t)i << 32 | place);
    }
    steps(w, 2);
    assert_int_equal(receive.times, 1);
    close(fd);
    pair_close(w, &p);
}

static void an_accept_that_wins_over_its_cancel_is_delivered(void **state) {
    world        *w = opened(state);
    saros_handle  listener = {0};
    saros_address address;
    int           won = 0;
    listen_at(w, &listener, &address, SAROS_UNIX);
    for (int i = 0; i < 50; i++) {
        saros_handle ours = {0};
        told         accept = {0};
        start(w, &accept, SAROS_OP_ACCEPT, &listener, &ours, 0);
        saros_step(w->loop, &(saros_limits){.wait = 1});
        int fd = raw_connect(&address);
        if (i % 2 == 0) io_uring_get_events(seam.ring); /* the connection is in the ring */
        saros_cancel(w->loop, &accept.op);
        int64_t result = await(w, &accept);
        if (result == 0) {
            assert_int_equal(ours.state, SAROS_HANDLE_OPEN);
            raw_write(fd, "x", 1);
            assert_int_equal(perform(w, SAROS_OP_RECV, &ours, bytes, 10), 1);
            close_now(w, &ours);
            won++;
        } else {
            assert_result(result, SAROS_ECANCELED);
            assert_int_equal(ours.state, SAROS_HANDLE_EMPTY);
            assert_result(perform(w, SAROS_OP_ACCEPT, &listener, &ours, 0), 0); /* it waits in the queue */
            close_now(w, &ours);
        }
        close(fd);
    }
    assert_true(won >= 25);
    close_now(w, &listener);
}

/* ---- a child ---------------------------------------------------------------------------------------------------- */

static void a_child_that_leaves_the_loop_alone_does_not_disturb_it(void **state) {
    world *w = opened(state);
    pair   p;
    told   receive = {0}, send_op = {0}, name = {0};
    int    status;
    pair_open(w, &p, SAROS_UNIX);
    fill_up(w, &send_op, &p.server);
    start(w, &receive, SAROS_OP_RECV, &p.server, NULL, 0);
    steps(w, 2); /* both are with the kernel */
    for (int replaced = 0; replaced < 2; replaced++) {
        start(w, &name, SAROS_OP_NAME, &p.server, &p.address, 0);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            if (replaced) execl("/bin/true", "true", (char *)NULL);
            for (int fd = 3; fd < 200; fd++) close(fd);
            syscall(SYS_exit_group, 0); /* not _exit, at which sanitizers look at the parent's memory */
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
        assert_int_equal(await(w, &name), 0);
        assert_int_equal(receive.times, 0);
        send_all(w, &p.client, "x", 1);
        assert_int_equal(await(w, &receive), 1);
        start(w, &receive, SAROS_OP_RECV, &p.server, NULL, 0);
        steps(w, 2);
    }
    close_now(w, &p.server);
    pair_close(w, &p);
    assert_result(send_op.result, SAROS_ECLOSED);
    assert_result(receive.result, SAROS_ECLOSED);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        URING_TEST(a_refusal_names_io_uring_and_what_may_forbid_it),
        URING_TEST(a_list_goes_on_with_the_next_driver_and_says_so),
        URING_TEST(nobody_gets_it_without_asking),
        URING_TEST(a_kernel_without_what_is_needed_is_refused),
        URING_TEST(an_open_that_fails_half_way_leaves_nothing),
        URING_TEST(it_works_with_the_flags_of_every_kernel),
        URING_TEST(two_hundred_loops_are_open_at_once),
        URING_TEST(where_a_filter_forbids_it_the_host_says_so_or_takes_the_next),
        URING_TEST(a_turn_is_one_system_call_however_much_begins_in_it),
        URING_TEST(rings_that_are_full_lose_nothing),
        URING_TEST(what_the_kernel_will_not_have_now_it_gets_later),
        URING_TEST(an_error_of_the_wait_that_is_none_of_these_breaks_the_loop),
        URING_TEST(a_late_cancel_does_not_hit_who_comes_after),
        URING_TEST(a_completion_or_cancel_of_an_older_generation_is_nobodys),
        URING_TEST(an_accept_that_wins_over_its_cancel_is_delivered),
        URING_TEST(a_child_that_leaves_the_loop_alone_does_not_disturb_it),
    };
    return cmocka_run_group_tests_name("uring", tests, NULL, NULL);
}
