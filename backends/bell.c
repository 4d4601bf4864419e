/* bell.c: the clock and the bell, on three kinds of systems.
 *
 * What is wrong with the usual way to sleep until another thread says so, a condition variable: a signal handler may not
 * use one. sem_post it may (signal-safety(7)), and sem_clockwait sleeps by the monotonic clock; but only glibc has that.
 * A POSIX system without it gets a pipe, as write and poll are safe and everywhere (macOS has no unnamed semaphores at
 * all). Windows has no signal handlers, only threads, and its event object is made for this. */
#ifdef _WIN32
#include <windows.h>
#else
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <time.h>
#include <unistd.h>
#endif

#include "backends/bell.h"

#ifdef _WIN32

saros_time saros_clock(void) {
    LARGE_INTEGER count, unit; /* neither call can fail since Windows XP */
    QueryPerformanceCounter(&count);
    QueryPerformanceFrequency(&unit);
    /* in two parts: the product of the whole would overflow within a quarter of an hour */
    return count.QuadPart / unit.QuadPart * SAROS_SECOND +
           count.QuadPart % unit.QuadPart * SAROS_SECOND / unit.QuadPart;
}

#else

saros_time saros_clock(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (saros_time)now.tv_sec * SAROS_SECOND + now.tv_nsec;
}

#endif

/* ---- one ring, one wait ----------------------------------------------------------------------------------------- */

#if defined SAROS_HAVE_SEM_CLOCKWAIT

static int  make(saros_bell *self) { return sem_init(&self->semaphore, 0, 0) == 0 ? 0 : saros_error_from_os(errno); }
static void unmake(saros_bell *self) { sem_destroy(&self->semaphore); }
static void ring(saros_bell *self) { sem_post(&self->semaphore); }

static void await(saros_bell *self, saros_time timeout) {
    if (timeout <= 0) {
        sem_trywait(&self->semaphore); /* no kernel call */
    } else if (timeout == SAROS_FOREVER) {
        sem_wait(&self->semaphore); /* EINTR: early is allowed */
    } else {
        saros_time until = saros_clock();
        until = timeout > SAROS_FOREVER - until ? SAROS_FOREVER : until + timeout;
        struct timespec at = {.tv_sec = (time_t)(until / SAROS_SECOND), .tv_nsec = (long)(until % SAROS_SECOND)};
        sem_clockwait(&self->semaphore, CLOCK_MONOTONIC, &at);
    }
}

#elif defined _WIN32

static int make(saros_bell *self) {
    self->event = CreateEventW(NULL, FALSE, FALSE, NULL); /* a wait that it ends takes the ring back */
    return self->event != NULL ? 0 : saros_error_from_os((int)GetLastError());
}

static void unmake(saros_bell *self) { CloseHandle(self->event); }
static void ring(saros_bell *self) { SetEvent(self->event); }

/* Good to the system's tick: 15.6 ms, where nobody has asked for less (timeBeginPeriod). */
static void await(saros_bell *self, saros_time timeout) {
    saros_time milliseconds = timeout <= 0 ? 0 : timeout / 1000000 + (timeout % 1000000 > 0);
    WaitForSingleObject(self->event, timeout == SAROS_FOREVER    ? INFINITE
                                     : milliseconds >= INT32_MAX ? INT32_MAX
                                                                 : (DWORD)milliseconds);
}

#else

static int make(saros_bell *self) {
    if (pipe(self->ends) < 0) return saros_error_from_os(errno);
    for (int i = 0; i < 2; i++) {
        fcntl(self->ends[i], F_SETFD, FD_CLOEXEC);
        fcntl(self->ends[i], F_SETFL, O_NONBLOCK);
    }
    return 0;
}

static void unmake(saros_bell *self) {
    close(self->ends[0]);
    close(self->ends[1]);
}

static void ring(saros_bell *self) {
    int saved = errno; /* it belongs to the code that a signal interrupted */
    while (write(self->ends[1], "", 1) < 0 && errno == EINTR) {}
    errno = saved;
}

static void await(saros_bell *self, saros_time timeout) {
    struct pollfd out = {.fd = self->ends[0], .events = POLLIN};
    saros_time    milliseconds = timeout <= 0 ? 0 : timeout / 1000000 + (timeout % 1000000 > 0);
    char          rings[16];
    if (timeout == SAROS_FOREVER) milliseconds = -1;
    if (poll(&out, 1, milliseconds > INT_MAX ? INT_MAX : (int)milliseconds) <= 0) return; /* EINTR: early is allowed */
    while (read(self->ends[0], rings, sizeof rings) < 0 && errno == EINTR) {}
}

#endif

/* ---- the bell --------------------------------------------------------------------------------------------------- */

int saros_bell_open(saros_bell *self) {
    atomic_init(&self->rung, false);
    return make(self);
}

void saros_bell_close(saros_bell *self) { unmake(self); }

void saros_bell_wait(saros_bell *self, saros_time timeout) {
    await(self, timeout);
    atomic_store(&self->rung, false); /* after the wait: a ring in between must not be swallowed by it */
}

void saros_bell_ring(saros_bell *self) {
    if (!atomic_exchange(&self->rung, true)) ring(self);
}
