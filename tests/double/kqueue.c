/* kqueue.c: a test double of kqueue for Linux, on epoll. It stands in for a system that cannot be run here; what passes
 * on it has passed on a double, and on nothing else.
 *
 * Written from the manual pages, kqueue(2) of FreeBSD, NetBSD and macOS: sockets and pipes, level-triggered, EV_ADD and
 * EV_DELETE. Each rule is a sentence in test_double.c. Where systems differ, the variable SAROS_DOUBLE, read by
 * kqueue(), names oddities to have, separated by commas:
 *
 *   coarse       time-outs end at ticks of 10 ms, and one tick late (NetBSD)
 *   early        every second time-out ends a fifth before its time
 *   mixed        where receipts leave room in the list, events come behind them in the same call (libkqueue)
 *   lost         where receipts leave room in the list, they are lost, and the call waits (libkqueue)
 *   taken        a pending error is taken from its socket, and told in fflags alone (libkqueue)
 *   kept         an event outlives its descriptor, and is not added again under that number until deleted (libkqueue)
 *   short        no call returns more than two events
 *   cleared      flags of events are those of the event alone (FreeBSD), and not those of the change too (NetBSD)
 *   listen-one   the count of a listener's waiting connections is always 1 (libkqueue)
 *   interrupted  every third call that would wait ends with EINTR
 *
 * What it does not do as the systems do: without `taken`, fflags has no pending error, as Linux does not tell it without
 * taking it; EV_EOF after one's own shutdown comes for TCP only; `data` of a listener is exact for TCP only.
 *
 * It owns the list of the kqueues of this process, under a lock, and replaces close, dup2 and dup3 of the program that
 * it is linked to: a kqueue forgets a descriptor that is closed, and a child of fork has no kqueues. */
#include "sys/event.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <linux/sockios.h>

/* ---- modes ------------------------------------------------------------------------------------------------------ */

enum mode {
    COARSE = 1,
    EARLY = 2,
    MIXED = 4,
    LOST = 8,
    TAKEN = 16,
    SHORT = 32,
    CLEARED = 64,
    ONE = 128,
    EINTRS = 256,
    KEPT = 512
};

static unsigned modes_wanted(void) {
    static const struct {
        const char *name;
        enum mode   mode;
    } known[] = {{"coarse", COARSE},      {"early", EARLY}, {"mixed", MIXED},     {"lost", LOST},
                 {"taken", TAKEN},        {"short", SHORT}, {"cleared", CLEARED}, {"listen-one", ONE},
                 {"interrupted", EINTRS}, {"kept", KEPT}};
    const char *name = getenv("SAROS_DOUBLE");
    unsigned    modes = 0;
    while (name != NULL && *name != 0) {
        size_t length = strcspn(name, ","), i = 0, count = sizeof known / sizeof *known;
        while (i < count && (strlen(known[i].name) != length || memcmp(known[i].name, name, length) != 0)) i++;
        if (i == count) { /* a misspelt mode must not look like one that passed */
            fprintf(stderr, "SAROS_DOUBLE=%s: no such mode\n", name);
            abort();
        }
        modes |= known[i].mode;
        name += length + (name[length] == ',');
    }
    return modes;
}

/* ---- the kqueues of this process -------------------------------------------------------------------------------- */

enum { READING, WRITING, FILTERS };

typedef struct note {
    bool     there, stale; /* stale: kept, but its descriptor was closed */
    uint32_t flags;        /* of the change that added it */
    intptr_t udata;
} note;

typedef struct queue {
    struct queue *next;
    int           epfd;
    unsigned      modes, calls;
    size_t        room;     /* of notes */
    note (*notes)[FILTERS]; /* by descriptor */
} queue;

static queue          *queues;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static int close_really(int fd) { return (int)syscall(SYS_close, fd); }

static queue *find(int kq) {
    queue *q = queues;
    while (q != NULL && q->epfd != kq) q = q->next;
    return q;
}

static void forget_queue(queue *q) {
    queue **link = &queues;
    while (*link != q) link = &(*link)->next;
    *link = q->next;
    free(q->notes);
    free(q);
}

static void before_fork(void) { pthread_mutex_lock(&lock); }
static void after_fork(void) { pthread_mutex_unlock(&lock); }
static void in_child(void) {
    while (queues != NULL) {
        close_really(queues->epfd);
        forget_queue(queues);
    }
    after_fork();
}
static void prepare_for_fork(void) { pthread_atfork(before_fork, after_fork, in_child); }

int kqueue(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, prepare_for_fork);
    queue *q = calloc(1, sizeof *q);
    if (q == NULL) return -1;
    q->modes = modes_wanted();
    q->epfd = epoll_create1(EPOLL_CLOEXEC);
    int kq = q->epfd;
    if (kq < 0) {
        free(q);
        return -1;
    }
    pthread_mutex_lock(&lock);
    q->next = queues;
    queues = q;
    pthread_mutex_unlock(&lock);
    return kq;
}

/* ---- changes ---------------------------------------------------------------------------------------------------- */

static bool lives(const note *one) { return one->there && !one->stale; }

/* Makes epoll's registration of a descriptor what the notes are. 0 or an errno. */
static int settle(queue *q, int fd, bool was) {
    const note        *notes = q->notes[fd];
    struct epoll_event event = {.data.fd = fd};
    if (lives(&notes[READING])) event.events |= EPOLLIN | EPOLLRDHUP;
    if (lives(&notes[WRITING])) event.events |= EPOLLOUT;
    int action = !was ? EPOLL_CTL_ADD : event.events == 0 ? EPOLL_CTL_DEL : EPOLL_CTL_MOD;
    return epoll_ctl(q->epfd, action, fd, &event) == 0 ? 0 : errno;
}

static int reach(queue *q, size_t fd) {
    if (fd < q->room) return 0;
    size_t room = fd + 64;
    void  *notes = realloc(q->notes, room * sizeof *q->notes);
    if (notes == NULL) return ENOMEM;
    q->notes = notes;
    memset(q->notes + q->room, 0, (room - q->room) * sizeof *q->notes);
    q->room = room;
    return 0;
}

/* 0 or an errno. */
static int change(queue *q, const struct kevent *what) {
    int fd = (int)what->ident;
    if (what->filter >= FILTERS || (what->flags & ~(EV_ADD | EV_DELETE | EV_RECEIPT)) != 0) return EINVAL;
    bool blind = (q->modes & KEPT) && (what->flags & EV_DELETE);
    if (what->ident > INT_MAX || (fcntl(fd, F_GETFD) < 0 && !blind)) return EBADF;
    int error = reach(q, (size_t)fd);
    if (error != 0) return error;
    note *notes = q->notes[fd], *one = &notes[what->filter], before = *one;
    bool  was = lives(&notes[READING]) || lives(&notes[WRITING]);
    if (one->stale && !(what->flags & EV_DELETE)) return EAGAIN;
    if (what->flags & EV_DELETE) {
        if (!one->there) return ENOENT;
        *one = (note){0};
    } else if (what->flags & EV_ADD) {
        *one = (note){.there = true, .flags = what->flags, .udata = what->udata};
    } else if (!one->there) {
        return ENOENT;
    }
    if (one->there == before.there || before.stale) return 0;
    error = settle(q, fd, was);
    if (error != 0 && one->there) *one = before;
    return error == 0 || (what->flags & EV_DELETE) ? 0 : error;
}

/* Applies the changes; how many records went into `events`, or -1. */
static int apply(queue *q, const struct kevent *changes, int count, struct kevent *events, int room) {
    int records = 0;
    for (int i = 0; i < count; i++) {
        int error = change(q, &changes[i]);
        if (error == 0 && !(changes[i].flags & EV_RECEIPT)) continue;
        if (records == room) { /* the changes behind it are not looked at */
            errno = error;
            return error == 0 ? records : -1;
        }
        events[records] = changes[i];
        events[records].flags = EV_ERROR | (q->modes & CLEARED ? 0 : changes[i].flags);
        events[records++].data = error;
    }
    return records;
}

/* ---- events ----------------------------------------------------------------------------------------------------- */

static bool is_tcp(int fd, struct tcp_info *info) {
    socklen_t size = sizeof *info;
    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, info, &size) == 0;
}

/* What can be read, or written, at once; of a listener, how many wait. */
static int64_t amount(const queue *q, int fd, int filter) {
    struct tcp_info info;
    int             count = 0, listens = 0;
    socklen_t       size = sizeof listens;
    if (filter == WRITING) {
        int room = 0;
        size = sizeof room;
        if (getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, &size) < 0 || ioctl(fd, SIOCOUTQ, &count) < 0) return PIPE_BUF;
        return room > count ? room - count : 0;
    }
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) == 0 && listens)
        return !(q->modes & ONE) && is_tcp(fd, &info) ? info.tcpi_unacked : 1;
    return ioctl(fd, FIONREAD, &count) == 0 ? count : 0;
}

/* Has this end of a TCP connection said that it sends no more? */
static bool is_shut(int fd) {
    struct tcp_info info;
    return is_tcp(fd, &info) && (info.tcpi_state == TCP_FIN_WAIT1 || info.tcpi_state == TCP_FIN_WAIT2 ||
                                 info.tcpi_state == TCP_CLOSING || info.tcpi_state == TCP_LAST_ACK);
}

/* What epoll says of a descriptor, as the events of its notes; how many. */
static int translate(const queue *q, const struct epoll_event *said, struct kevent *events, int room) {
    int fd = said->data.fd, count = 0;
    if ((size_t)fd >= q->room) return 0; /* closed meanwhile, and never had */
    for (unsigned i = 0; i < FILTERS && count < room; i++) {
        unsigned    filter = (i + q->calls) % FILTERS; /* where there is room for one, it is not always the same */
        const note *one = &q->notes[fd][filter];
        uint32_t    good = filter == READING ? EPOLLIN | EPOLLRDHUP : EPOLLOUT, bad = EPOLLHUP | EPOLLERR;
        if (!lives(one) || !(said->events & (good | bad))) continue;
        struct kevent *event = &events[count++];
        *event = (struct kevent){.ident = (uintptr_t)fd, .filter = filter, .udata = one->udata};
        event->data = amount(q, fd, (int)filter);
        if (!(q->modes & CLEARED)) event->flags = one->flags;
        if (said->events & (filter == READING ? bad | EPOLLRDHUP : bad)) event->flags |= EV_EOF;
        if (filter == WRITING && is_shut(fd)) event->flags |= EV_EOF;
        int       error = 0;
        socklen_t size = sizeof error;
        if ((q->modes & TAKEN) && (said->events & EPOLLERR) && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0)
            /* a reset behind the peer's end is EPIPE to Linux alone */
            event->fflags = (uint32_t)(error == EPIPE ? ECONNRESET : error);
    }
    return count;
}

static struct timespec as_this_system_has_it(unsigned modes, struct timespec time) {
    int64_t ns = time.tv_sec * INT64_C(1000000000) + time.tv_nsec, tick = 10000000;
    if ((modes & EARLY) && ns > 0) ns -= ns / 5;
    if ((modes & COARSE) && ns > 0) ns = (ns + tick - 1) / tick * tick + tick;
    return (struct timespec){.tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000)};
}

/* Waits for what is there, and puts it into events[0..room). */
static int scan(int kq, struct kevent *events, int room, const struct timespec *timeout) {
    enum { BATCH = 64 };
    struct epoll_event said[BATCH];
    struct timespec    time;
    pthread_mutex_lock(&lock);
    queue   *q = find(kq);
    unsigned modes = q->modes, calls = q->calls++;
    pthread_mutex_unlock(&lock);
    if (room <= 0) return 0;
    bool waits = timeout == NULL || timeout->tv_sec > 0 || timeout->tv_nsec > 0;
    if ((modes & EINTRS) && waits && calls % 3 == 2) {
        errno = EINTR;
        return -1;
    }
    if ((modes & SHORT) && room > 2) room = 2;
    if (timeout != NULL) time = as_this_system_has_it(calls % 2 == 0 ? modes & ~(unsigned)EARLY : modes, *timeout);
    int heard = epoll_pwait2(kq, said, room < BATCH ? room : BATCH, timeout != NULL ? &time : NULL, NULL), count = 0;
    if (heard < 0) return -1;
    pthread_mutex_lock(&lock);
    q = find(kq);
    for (int i = 0; q != NULL && i < heard; i++) count += translate(q, &said[i], events + count, room - count);
    pthread_mutex_unlock(&lock);
    return count;
}

int kevent(int kq, const struct kevent *changes, int change_count, struct kevent *events, int room,
           const struct timespec *timeout) {
    static const struct timespec at_once = {0};
    pthread_mutex_lock(&lock);
    queue   *q = find(kq);
    int      records = q != NULL ? apply(q, changes, change_count, events, room) : -1;
    unsigned modes = q != NULL ? q->modes : 0;
    pthread_mutex_unlock(&lock);
    if (q == NULL) errno = EBADF;
    if (records < 0) return -1;
    if (records == 0) return scan(kq, events, room, timeout);
    if (records == room || !(modes & (MIXED | LOST))) return records; /* only those: a wait would hide them */
    if (modes & LOST) return scan(kq, events, room, timeout);
    int more = scan(kq, events + records, room - records, &at_once);
    return more > 0 ? records + more : records;
}

/* ---- what ends with a descriptor -------------------------------------------------------------------------------- */

/* The events of a descriptor end when its number is closed, also where a copy of it lives on. */
static void forget(int fd) {
    pthread_mutex_lock(&lock);
    queue *closed = find(fd);
    if (closed != NULL) forget_queue(closed);
    for (queue *q = queues; q != NULL; q = q->next) {
        if (fd < 0 || (size_t)fd >= q->room) continue;
        note *notes = q->notes[fd];
        if (lives(&notes[READING]) || lives(&notes[WRITING])) epoll_ctl(q->epfd, EPOLL_CTL_DEL, fd, NULL);
        for (int i = 0; i < FILTERS; i++)
            notes[i] = q->modes & KEPT && notes[i].there ? (note){true, true, 0, 0} : (note){0};
    }
    pthread_mutex_unlock(&lock);
}

int close(int fd) {
    forget(fd);
    return close_really(fd);
}

int dup3(int old, int new, int flags) {
    if (old != new &&fcntl(old, F_GETFD) >= 0) forget(new);
    return (int)syscall(SYS_dup3, old, new, flags);
}

int dup2(int old, int new) {
    if (old == new) return fcntl(old, F_GETFD) < 0 ? -1 : new;
    return dup3(old, new, 0);
}
