/* uv.c: the driver on libuv's uv_poll_t, in a private uv_loop.
 *
 * What is wrong with libuv for this, and how this copes:
 *   What goes wrong late it answers with abort(). A start is only noted, and the kernel hears of it in the next uv_run,
 *   where a refusal ends the process. So starts are noted here instead, and uv_wait looks at each descriptor (is it
 *   open, can it be watched?) just before libuv does. Whether the kernel has room is asked when a number is first seen
 *   (uv_poll_init); if it runs out of it later, or uv_run cannot wait at all, libuv still aborts.
 *   A foreign loop that polls uv_backend_fd would not see what is only noted: so each start makes it readable by a wake,
 *   until the next step. What we offer is a copy whose number never changes.
 *   A uv_poll_t is for one descriptor, and its memory must outlive a uv_run after its closing. So there is one for each
 *   number, made when that is first watched, used again by whoever gets the number, and closed with the driver.
 *   It makes each descriptor non-blocking. One that is borrowed is others', too, so that is taken back at once.
 *   A registration that a copy of a descriptor keeps alive after close() is reported to nobody, for ever, inside uv_run.
 *   Where a descriptor is not what it was, uv_loop_fork makes the set anew: it is meant for another case, but does that.
 *   An error stops a uv_poll_t, and is always called UV_EBADF: it is started again, and the call tells what it was.
 *   Timers count milliseconds from a time that libuv remembers, and one found due when UV_RUN_ONCE begins does not keep it
 *   from blocking. Ours is set to an absolute time, rounded up, and stops the run. A signal alone does not end a wait.
 *   It allocates with malloc; uv_replace_allocator is for the whole process, and not ours to call.
 *
 * Nothing is linked with libuv: it is loaded when a loop is opened on this driver, and let go with it. Linked, it costs
 * each start of the host 6 %, and each host of libsaros.a and each stock Lua that loads saros.so would have to have it. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#include "backends/reactor.h"

#ifdef __APPLE__
#define LIBRARY "libuv.1.dylib"
#else
#define LIBRARY "libuv.so.1"
#endif

/* What is used of it. */
// clang-format off
#define FUNCTIONS(X)                                                                                          \
    X(loop_size) X(loop_init) X(loop_close) X(loop_fork) X(backend_fd) X(run) X(stop) X(now) X(hrtime) X(close) \
    X(poll_init) X(poll_start) X(poll_stop) X(timer_init) X(timer_start) X(timer_stop) X(strerror)
// clang-format on

typedef struct libuv {
    void *library;
#define FUNCTION(name) __typeof__ (&uv_##name)(name);
    FUNCTIONS(FUNCTION)
#undef FUNCTION
} libuv;

typedef struct watcher {
    uv_poll_t       poll;
    struct watcher *next; /* in the list of those changed */
    uint32_t        slot;
    unsigned        wanted; /* SAROS_IN, SAROS_OUT; 0: stopped, and the slot is no longer meant */
    bool            changed;
    dev_t           device; /* which file it is: numbers change hands */
    ino_t           inode;
} watcher;

typedef struct uv_driver {
    saros_reactor reactor;
    libuv         uv;
    uv_loop_t     loop;
    uv_timer_t    timer;
    watcher     **watchers; /* by descriptor */
    size_t        room;
    watcher      *changed;
    int           pollable;
    bool          stale; /* a registration may be left that cannot be removed */
    bool          told;  /* completed something without the kernel's help */
    bool          broken;
} uv_driver;

static int from_uv(int error) { return error < 0 ? saros_error_from_os(-error) : 0; }

/* libuv ends the process where the first loop in it gets no descriptors, and where it closes a number below 3. So it is
 * called with so many free, or not at all, and not given the low ones, which are free where a host has closed its. */
static int with_room(uv_driver *self, int (*call)(uv_loop_t *loop), int room) {
    int fds[8], count = 0, error = 0;
    while (count < 8 && (fds[count] = open("/", O_RDONLY | O_CLOEXEC)) >= 0) count++;
    if (count < room) error = -errno;
    for (int i = 0; i < count; i++)
        if (fds[i] > STDERR_FILENO) close(fds[i]);
    if (error == 0) error = call(&self->loop);
    for (int i = 0; i < count; i++)
        if (fds[i] <= STDERR_FILENO) close(fds[i]);
    return error;
}

/* What the kernel does not refuse: sockets, pipes, terminals, and what has no type, as an eventfd. */
static bool is_usable(int fd, mode_t mode) {
    mode_t type = mode & S_IFMT;
    return S_ISSOCK(mode) || S_ISFIFO(mode) || type == 0 || (S_ISCHR(mode) && isatty(fd));
}

/* Is it still the file that it was? If not while it is watched, what it was may still be registered. False: not usable. */
static bool inspect(uv_driver *self, watcher *w) {
    struct stat now;
    int         fd = self->reactor.slots[w->slot].handle->os;
    bool        usable = fstat(fd, &now) == 0 && is_usable(fd, now.st_mode);
    if (usable && now.st_dev == w->device && now.st_ino == w->inode) return true;
    self->stale = self->stale || w->wanted != 0;
    if (usable) w->device = now.st_dev, w->inode = now.st_ino;
    return usable;
}

/* The one of a number; NULL with *error. */
static watcher *find(uv_driver *self, int fd, int *error) {
    *error = SAROS_ENOMEM;
    if ((size_t)fd >= self->room) {
        size_t room = self->room > 0 ? self->room : 16, unit = sizeof(watcher *);
        while (room <= (size_t)fd) room *= 2;
        watcher **more = saros_realloc(self->reactor.loop, self->watchers, self->room * unit, room * unit);
        if (more == NULL) return NULL;
        for (size_t i = self->room; i < room; i++) more[i] = NULL;
        self->watchers = more;
        self->room = room;
    }
    watcher *w = self->watchers[fd];
    if (w != NULL) return w;
    w = saros_realloc(self->reactor.loop, NULL, 0, sizeof *w);
    if (w == NULL) return NULL;
    *w = (watcher){.wanted = 0};
    int flags = fcntl(fd, F_GETFL);
    int failed = self->uv.poll_init(&self->loop, &w->poll, fd); /* this asks the kernel, and does not abort */
    if (flags >= 0 && !(flags & O_NONBLOCK)) fcntl(fd, F_SETFL, flags);
    if (failed == 0) return self->watchers[fd] = w;
    *error = from_uv(failed);
    saros_realloc(self->reactor.loop, w, sizeof *w, 0);
    return NULL;
}

/* To be started, or started anew, before the next uv_run. */
static void change(uv_driver *self, watcher *w) {
    if (w->changed) return;
    w->changed = true;
    w->next = self->changed;
    self->changed = w;
}

static int uv_watch(saros_reactor *reactor, uint32_t slot, unsigned was, unsigned now) {
    uv_driver *self = (uv_driver *)reactor;
    int        error;
    watcher   *w = find(self, reactor->slots[slot].handle->os, &error);
    if (w == NULL) return error;
    if (now == 0) {
        if (w->slot != slot) return 0; /* closed behind our back, and another handle has the number */
        inspect(self, w);
        w->wanted = 0;
        return from_uv(self->uv.poll_stop(&w->poll));
    }
    if (w->wanted == 0 || w->slot != slot) {
        w->slot = slot;
        if (!inspect(self, w)) return SAROS_ENOSYS; /* to know it again */
    }
    w->wanted = now;
    change(self, w);
    if ((now & ~was) != 0 && slot != 0) saros_reactor_wake(self);
    return 0;
}

static void on_ready(uv_poll_t *poll, int status, int said) {
    uv_driver *self = poll->loop->data;
    watcher   *w = (watcher *)poll;
    unsigned   events = 0;
    if (said & UV_READABLE) events |= SAROS_IN;
    if (said & UV_WRITABLE) events |= SAROS_OUT;
    if (said & UV_DISCONNECT || status < 0) events |= SAROS_END;
    if (status < 0) {
        change(self, w);
        saros_reactor_wake(self);
    }
    saros_reactor_ready(&self->reactor, w->slot, events);
}

static void on_time(uv_timer_t *timer) { ((uv_driver *)timer->loop->data)->uv.stop(timer->loop); }

/* Nothing is watched there any more. Who waits tries its call, and is told what that says. */
static void lose(uv_driver *self, watcher *w) {
    self->uv.poll_stop(&w->poll);
    w->wanted = 0;
    self->reactor.slots[w->slot].interest = 0;
    self->told = true;
    saros_reactor_ready(&self->reactor, w->slot, SAROS_END);
}

static void apply(uv_driver *self) {
    for (watcher *w; (w = self->changed) != NULL;) {
        self->changed = w->next;
        w->changed = false;
        if (w->wanted == 0) continue;
        int events =
            (w->wanted & SAROS_IN ? UV_READABLE | UV_DISCONNECT : 0) | (w->wanted & SAROS_OUT ? UV_WRITABLE : 0);
        if (!inspect(self, w) || self->uv.poll_start(&w->poll, events, on_ready) < 0) lose(self, w);
    }
}

/* A new set in the kernel, for what still is what it was. */
static int make_anew(uv_driver *self) {
    int error = with_room(self, self->uv.loop_fork, 0);
    self->broken = error < 0;
    if (error < 0) return from_uv(error);
    if (dup2(self->uv.backend_fd(&self->loop), self->pollable) < 0) return saros_error_from_os(errno);
    fcntl(self->pollable, F_SETFD, FD_CLOEXEC);
    for (size_t fd = 0; fd < self->room; fd++)
        if (self->watchers[fd] != NULL && self->watchers[fd]->wanted != 0) change(self, self->watchers[fd]);
    apply(self);
    self->stale = false;
    return 0;
}

static int uv_wait(void *driver, saros_time timeout) {
    uv_driver *self = driver;
    self->told = false;
    apply(self);
    int error = self->stale ? make_anew(self) : 0;
    if (error < 0) return error;
    bool block = timeout > 0 && !self->told;
    if (block && timeout != SAROS_FOREVER) {
        uint64_t due = (self->uv.hrtime() + (uint64_t)timeout + 999999) / 1000000, now = self->uv.now(&self->loop);
        self->uv.timer_start(&self->timer, on_time, due > now ? due - now : 0, 0);
    }
    self->uv.run(&self->loop, block ? UV_RUN_ONCE : UV_RUN_NOWAIT);
    self->uv.timer_stop(&self->timer);
    return 0;
}

/* Closes what there is of it, in the order that libuv demands. */
static void dispose(uv_driver *self) {
    for (size_t fd = 0; fd < self->room; fd++)
        if (self->watchers[fd] != NULL) self->uv.close((uv_handle_t *)&self->watchers[fd]->poll, NULL);
    self->uv.close((uv_handle_t *)&self->timer, NULL);
    if (!self->broken) { /* else it has lost its descriptor, and would abort; what it holds is left */
        self->uv.run(&self->loop, UV_RUN_DEFAULT);
        self->uv.loop_close(&self->loop);
        dlclose(self->uv.library);
    }
    for (size_t fd = 0; fd < self->room; fd++)
        if (self->watchers[fd] != NULL) saros_realloc(self->reactor.loop, self->watchers[fd], sizeof(watcher), 0);
    saros_realloc(self->reactor.loop, self->watchers, self->room * sizeof(watcher *), 0);
    if (self->pollable >= 0) close(self->pollable);
}

static void uv_close_driver(void *driver) {
    uv_driver *self = driver;
    dispose(self);
    saros_reactor_close(&self->reactor);
}

static int load(uv_driver *self, saros_loop *loop) {
    void *library = self->uv.library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL), *at = library;
#define FUNCTION(name) \
    if (at != NULL && (at = dlsym(library, "uv_" #name)) != NULL) memcpy(&self->uv.name, &at, sizeof at);
    FUNCTIONS(FUNCTION)
#undef FUNCTION
    if (at == NULL) saros_reason(loop, "%s", dlerror());
    else if (self->uv.loop_size() != sizeof self->loop) saros_reason(loop, LIBRARY " is not the one we were built for");
    else return 0;
    if (library != NULL) dlclose(library);
    return SAROS_ENOSYS;
}

static int uv_open(void *driver, saros_loop *loop, const saros_config *config) {
    uv_driver *self = driver;
    (void)config;
    int error = load(self, loop);
    if (error < 0) return error;
    error = with_room(self, self->uv.loop_init, 8);
    if (error < 0) {
        saros_reason(loop, "uv_loop_init: %s", self->uv.strerror(error));
        dlclose(self->uv.library);
        return from_uv(error);
    }
    self->loop.data = self;
    self->uv.timer_init(&self->loop, &self->timer);
    self->reactor.loop = loop;
    self->pollable = fcntl(self->uv.backend_fd(&self->loop), F_DUPFD_CLOEXEC, 0);
    error = self->pollable < 0 ? saros_error_from_os(errno) : saros_reactor_open(&self->reactor, loop, uv_watch);
    if (error < 0) {
        dispose(self);
        return error;
    }
    error = uv_wait(self, 0); /* hands our wake-up to the kernel, for who polls before the first step */
    if (error < 0) uv_close_driver(self);
    else saros_set_pollable(loop, self->pollable);
    return error;
}

const saros_driver saros_uv_driver = {
    .name = "uv",
    .size = sizeof(uv_driver),
    .open = uv_open,
    .close = uv_close_driver,
    .now = saros_reactor_now,
    .submit = saros_reactor_submit,
    .cancel = saros_reactor_cancel,
    .wait = uv_wait,
    .wake = saros_reactor_wake,
    .take = saros_reactor_take,
};
