/* uring_seam.h: liburing's functions, counted and made to fail or to do less; to be included by one file of a program,
 * which is linked with --wrap for each of them (tests/CMakeLists.txt). They do what they do, unless told otherwise. */
#ifndef URING_SEAM_H
#define URING_SEAM_H

#include <errno.h>
#include <liburing.h>
#include <string.h>

#include "support/support.h"

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
int __real_io_uring_submit_and_wait(struct io_uring *ring, unsigned count);
int __wrap_io_uring_submit_and_wait(struct io_uring *ring, unsigned count);
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

int __wrap_io_uring_submit_and_wait(struct io_uring *ring, unsigned count) {
    return refused() ? -seam.submit_error : __real_io_uring_submit_and_wait(ring, count);
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

static inline bool says(const char *text, const char *words) {
    if (strstr(text, words) != NULL) return true;
    print_error("\"%s\" does not say \"%s\"\n", text, words);
    return false;
}

static char bytes[4096];

#endif
