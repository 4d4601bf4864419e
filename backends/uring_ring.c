/* uring_ring.c: how io_uring is set up and entered, through liburing.
 *
 * Two rings are shared with the kernel. Requests are written into the one; one call hands them over and waits; what has
 * ended is read from the other. So a turn is one system call, however many operations begin and end in it.
 *
 * What is wrong with it, and how this copes:
 *   It is often forbidden: a refusal says by whom.
 *   By default the kernel interrupts us to finish its work. DEFER_TASKRUN has it wait until we ask, but is of Linux 6.1;
 *   the flags are tried from best to plain.
 *   The rings are of one size. Where no request fits in, what is there is handed over first; completions that do not fit
 *   wait in the kernel (IORING_FEAT_NODROP).
 *   Who sleeps on the ring's descriptor is not woken while the kernel's work is deferred. It does ring an eventfd that
 *   is registered with the ring.
 *   Some time after a ring was closed the kernel interrupts the thread once more to forget it: an epoll_wait of the host
 *   may then end with EINTR.
 *
 * A ring is for the thread that opened it (SINGLE_ISSUER). A forked child shares it, and must leave it alone. */
#include <errno.h>

#include "backends/uring_ring.h"

enum {
    ENTRIES = 256,     /* requests in the ring; more are handed over in parts */
    COMPLETIONS = 2048 /* beyond that the kernel keeps a list, which is slow */
};

static const unsigned modes[] = {
    IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL,
    IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL,
    0,
};
/* The last came with Linux 5.13, and so did the multishot poll, for which there is no flag. */
static const unsigned needed = IORING_FEAT_NODROP | IORING_FEAT_EXT_ARG | IORING_FEAT_RSRC_TAGS;

static int refuse(saros_loop *loop, int number) {
    const char *hint = number == EPERM    ? "; a container's seccomp filter or kernel.io_uring_disabled forbids it"
                       : number == ENOSYS ? "; this kernel has no io_uring, or a container's seccomp filter hides it"
                       : number == ENOMEM ? "; the limit of locked memory (ulimit -l) may be too low"
                       : number == EINVAL ? "; it is too old in this kernel: Linux 5.13 is needed"
                                          : "";
    int         error = saros_error_from_os(number);
    saros_reason(loop, "io_uring: %s%s", saros_error_text(error), hint);
    return error;
}

/* liburing maps and unmaps by system calls of its own, which the thread sanitizer does not see: it would take addresses that
 * the next thread's ring is given again for memory that two threads write to without an order. The kernel's order is told
 * here: what was done to a ring that is gone comes before what is done to one that was mapped later. */
#ifdef __SANITIZE_THREAD__
extern void __tsan_acquire(void *at);
extern void __tsan_release(void *at);
static char mappings;
static void mapped(void) { __tsan_acquire(&mappings); }
static void unmaps(void) { __tsan_release(&mappings); }
#else
static void mapped(void) {}
static void unmaps(void) {}
#endif

int saros_ring_open(saros_ring *self, saros_loop *loop) {
    struct io_uring_params params = {0};
    int                    result = -EINVAL;
    for (size_t i = 0; i < sizeof modes / sizeof *modes && result == -EINVAL; i++) {
        params = (struct io_uring_params){.flags = modes[i] | IORING_SETUP_CQSIZE, .cq_entries = COMPLETIONS};
        result = io_uring_queue_init_params(ENTRIES, &self->io, &params);
    }
    if (result < 0) return refuse(loop, -result);
    mapped();
    int error = saros_waker_open(&self->news);
    if (error < 0) {
        saros_ring_end(self);
        return error;
    }
    result = (params.features & needed) == needed ? io_uring_register_eventfd(&self->io, self->news.in) : -EINVAL;
    if (result == 0) return 0;
    saros_ring_close(self);
    return refuse(loop, -result);
}

void saros_ring_end(saros_ring *self) {
    unmaps();
    if (self->io.ring_fd >= 0) io_uring_queue_exit(&self->io);
    self->io.ring_fd = -1;
}

void saros_ring_close(saros_ring *self) {
    saros_ring_end(self);
    saros_waker_close(&self->news);
}

struct io_uring_sqe *saros_ring_entry(saros_ring *self) {
    struct io_uring_sqe *entry = io_uring_get_sqe(&self->io);
    if (entry != NULL) return entry;
    saros_ring_flush(self);
    return io_uring_get_sqe(&self->io);
}

bool saros_ring_has_more(const saros_ring *self) {
    return IO_URING_READ_ONCE(*self->io.sq.kflags) & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW);
}

int saros_ring_enter(saros_ring *self, saros_time timeout) {
    struct __kernel_timespec time = {.tv_sec = timeout / SAROS_SECOND, .tv_nsec = timeout % SAROS_SECOND};
    struct io_uring_cqe     *first;
    int                      result = 0;
    if (timeout == SAROS_FOREVER) result = io_uring_submit_and_wait(&self->io, 1);
    else if (timeout > 0) result = io_uring_submit_and_wait_timeout(&self->io, &first, 1, &time, NULL);
    else if (saros_ring_has_more(self) || io_uring_sq_ready(&self->io) > 0)
        result = io_uring_submit_and_get_events(&self->io);
    /* Time is over; a signal; short of memory, or of room for completions until some are read. */
    bool passing = result == -ETIME || result == -EINTR || result == -EAGAIN || result == -EBUSY;
    return result >= 0 || passing ? 0 : saros_error_from_os(-result);
}

void saros_ring_read(saros_ring *self) { saros_waker_clear(&self->news); }

void saros_ring_was_read(saros_ring *self, bool more) {
    if (more || saros_ring_has_more(self) || io_uring_sq_ready(&self->io) > 0 || io_uring_cq_ready(&self->io) > 0)
        saros_waker_ring(&self->news);
}
