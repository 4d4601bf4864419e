/* service_proc.c: child processes, by posix_spawn and waitid.
 *
 * Not by libuv's uv_spawn: for the sake of SIGCHLD it takes the process's only handler of that signal, and gives it back as
 * SIG_DFL; where a host reaps with wait(-1) it never learns of an end; its children inherit what others have opened
 * without close-on-exec, and it copies the page tables of the whole process. posix_spawn shares memory with its child
 * until that execs, so it costs the same in a large process as in a small one, and answers with the errno of what failed.
 *
 * Here no signal is needed, and none is touched: a pidfd is readable when its process has ended; where there is none (no
 * Linux, before 5.3, or forbidden) a thread waits with WNOWAIT. Owns a child until it is reaped, which is done once, here, under a lock:
 * until then its number is not used again, so a signal never hits a stranger. Where somebody else reaps, the pidfd knows
 * that it is gone, and the status is unknown. Promises: a child has its three standard descriptors and no other, no blocked
 * signal, and no handler or ignored signal that we have; whatever fails leaves no process and no descriptor. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef SAROS_HAVE_PIDFD
#include <sys/syscall.h>
#endif

#include "bindings/lua/services/service_proc.h"
#include "bindings/lua/services/signal.h"

extern char **environ;

static int failed(void) { return saros_error_from_os(errno); }

/* ---- descriptors ------------------------------------------------------------------------------------------------ */

/* A descriptor below 3 would be in the way of those that the child gets: one that is not, in its place. */
static int lift(int fd) {
    if (fd < 0 || fd > 2) return fd;
    int higher = fcntl(fd, F_DUPFD_CLOEXEC, 3), error = errno;
    close(fd);
    errno = error;
    return higher;
}

static int make_pipe(int ends[2]) {
#ifdef SAROS_HAVE_PIPE2
    if (pipe2(ends, O_CLOEXEC) < 0) return failed();
#else
    if (pipe(ends) < 0) return failed();
    for (int i = 0; i < 2; i++) fcntl(ends[i], F_SETFD, FD_CLOEXEC);
#endif
    for (int i = 0; i < 2; i++) {
        if ((ends[i] = lift(ends[i])) >= 0) continue;
        int error = failed();
        close(ends[1 - i]);
        return error;
    }
    return 0;
}

int saros_proc_copy(int fd) {
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    return copy >= 0 ? copy : failed();
}

int saros_proc_copy_stream(saros_os_handle os) { return saros_proc_copy(os); }

int saros_proc_null(void) {
    int null = open("/dev/null", O_RDWR | O_CLOEXEC), copy = null < 0 ? failed() : saros_proc_copy(null);
    if (null >= 0) close(null);
    return copy;
}

int saros_proc_pipe(saros_proc *child, int at, saros_os_handle *ours) {
    int ends[2], error = make_pipe(ends);
    if (error < 0) return error;
    child->stdio[at] = ends[at != 0];
    *ours = ends[at == 0];
    return 0;
}

void saros_proc_drop(saros_os_handle ours) { close(ours); }

static void close_stdio(saros_proc *child) {
    for (int i = 0; i < 3; i++) {
        if (child->stdio[i] >= 0) close(child->stdio[i]);
        child->stdio[i] = SAROS_INHERITED;
    }
}

bool saros_proc_init(saros_proc *child) {
    *child = (saros_proc){.stdio = {SAROS_INHERITED, SAROS_INHERITED, SAROS_INHERITED}, .pidfd = -1};
    return saros_mutex_init(&child->lock);
}

void saros_proc_free(saros_proc *child) {
    close_stdio(child);
    saros_mutex_destroy(&child->lock);
}

/* ---- beginning -------------------------------------------------------------------------------------------------- */

/* How the child differs from us. 0 or an errno. */
static int prepare(const saros_proc *child, posix_spawnattr_t *how, posix_spawn_file_actions_t *actions) {
    sigset_t none, all;
    int      error = 0;
    sigemptyset(&none);
    sigfillset(&all);
    sigdelset(&all, SIGKILL);
    sigdelset(&all, SIGSTOP);
    posix_spawnattr_setflags(how, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
    posix_spawnattr_setsigdefault(how, &all);
    posix_spawnattr_setsigmask(how, &none);
#ifdef SAROS_HAVE_SPAWN_CHDIR
    if (child->cwd != NULL) error = posix_spawn_file_actions_addchdir_np(actions, child->cwd);
#else
    if (child->cwd != NULL) error = ENOSYS;
#endif
    for (int i = 0; i < 3 && error == 0; i++) {
        if (child->stdio[i] == SAROS_INHERITED) continue;
        error = posix_spawn_file_actions_adddup2(actions, child->stdio[i] == SAROS_AS_OUTPUT ? 1 : child->stdio[i], i);
    }
#ifdef SAROS_HAVE_SPAWN_CLOSEFROM
    if (error == 0) error = posix_spawn_file_actions_addclosefrom_np(actions, 3);
#endif
    return error;
}

static int spawn_at(saros_proc *child, const char *program, const posix_spawnattr_t *how,
                    const posix_spawn_file_actions_t *actions) {
    pid_t pid;
    int   error = posix_spawn(&pid, program, actions, how, child->argv, child->env != NULL ? child->env : environ);
    if (error == 0) child->pid = pid;
    return error;
}

/* As execvp looks for it, but that a place which is surely not it costs no child. */
static int spawn_on_path(saros_proc *child, const posix_spawnattr_t *how, const posix_spawn_file_actions_t *actions) {
    char candidate[PATH_MAX];
    int  answer = ENOENT;
    if (*child->argv[0] == 0) return answer;
    for (const char *at = child->path, *end; at != NULL; at = *end == ':' ? end + 1 : NULL) {
        int length = (int)strcspn(at, ":");
        end = at + length;
        bool known = *at == '/' || child->cwd == NULL;
        if ((size_t)length + strlen(child->argv[0]) + 2 > sizeof candidate) continue;
        snprintf(candidate, sizeof candidate, "%.*s%s%s", length, at, length > 0 ? "/" : "", child->argv[0]);
        int error = known && access(candidate, X_OK) < 0 ? errno : spawn_at(child, candidate, how, actions);
        if (error != ENOENT && error != ENOTDIR && error != EACCES) return error;
        if (error == EACCES) answer = error;
    }
    return answer;
}

static void open_pidfd(saros_proc *child) {
#ifdef SAROS_HAVE_PIDFD
    child->pidfd = (int)syscall(SYS_pidfd_open, child->pid, 0); /* closed on exec by itself */
#else
    (void)child;
#endif
}

/* Programs expect that their descriptors block, and ours that were streams do not: a property of the open file, which the
 * child shares. Returns which were changed, for taking it back where no child comes of it. */
static unsigned make_blocking(const saros_proc *child) {
    unsigned changed = 0;
    for (int i = 0; i < 3; i++) {
        int flags = child->stdio[i] >= 0 ? fcntl(child->stdio[i], F_GETFL) : -1;
        if (flags < 0 || !(flags & O_NONBLOCK)) continue;
        fcntl(child->stdio[i], F_SETFL, flags & ~O_NONBLOCK);
        changed |= 1U << i;
    }
    return changed;
}

static void make_nonblocking(const saros_proc *child, unsigned which) {
    for (int i = 0; i < 3; i++)
        if (which & 1U << i) fcntl(child->stdio[i], F_SETFL, fcntl(child->stdio[i], F_GETFL) | O_NONBLOCK);
}

static int check_cwd(const char *cwd) {
    struct stat about;
    if (stat(cwd, &about) < 0) return errno;
    if (!S_ISDIR(about.st_mode)) return ENOTDIR;
    return access(cwd, X_OK) < 0 ? errno : 0;
}

static int spawn(saros_proc *child) {
    posix_spawnattr_t          how;
    posix_spawn_file_actions_t actions;
    int                        error = child->cwd != NULL ? check_cwd(child->cwd) : 0;
    unsigned                   changed = make_blocking(child);
    child->of = error != 0 ? "cwd" : NULL;
    posix_spawnattr_init(&how);
    posix_spawn_file_actions_init(&actions);
    if (error == 0) error = prepare(child, &how, &actions);
    if (error == 0)
        error = strchr(child->argv[0], '/') != NULL ? spawn_at(child, child->argv[0], &how, &actions)
                                                    : spawn_on_path(child, &how, &actions);
    if (error != 0) make_nonblocking(child, changed);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&how);
    close_stdio(child);
    if (error != 0) return saros_error_from_os(error);
    open_pidfd(child);
    return 0;
}

/* ---- signals, the end ------------------------------------------------------------------------------------------- */

static int send_signal(const saros_proc *child, int number) {
#ifdef SAROS_HAVE_PIDFD
    if (child->pidfd >= 0) return (int)syscall(SYS_pidfd_send_signal, child->pidfd, number, NULL, 0);
#endif
    return kill(child->pid, number);
}

int saros_proc_kill(saros_proc *child, int number) {
    int error = SAROS_ESRCH;
    saros_mutex_lock(&child->lock);
    if (!child->reaped && child->pid > 0) error = send_signal(child, number) < 0 ? failed() : 0;
    saros_mutex_unlock(&child->lock);
    return error;
}

static int wait_for(const saros_proc *child, siginfo_t *about, int options) {
    int answer = -1;
#ifdef SAROS_HAVE_PIDFD
    enum { BY_PIDFD = 3 };
    if (child->pidfd >= 0) {
        while ((answer = waitid((idtype_t)BY_PIDFD, (id_t)child->pidfd, about, options)) < 0 && errno == EINTR) {}
        if (answer == 0 || errno != EINVAL) return answer; /* before 5.4 */
    }
#endif
    while ((answer = waitid(P_PID, (id_t)child->pid, about, options)) < 0 && errno == EINTR) {}
    return answer;
}

static void wait_until_ended(const saros_proc *child) {
    siginfo_t about;
    wait_for(child, &about, WEXITED | WNOWAIT);
}

/* Where SIGCHLD is ignored, or somebody else has waited, there is nothing left to learn. */
static void reap(saros_proc *child) {
    siginfo_t about = {0};
    saros_mutex_lock(&child->lock);
    if (wait_for(child, &about, WEXITED) == 0) {
        child->how = about.si_code == CLD_EXITED ? "exit" : "signal";
        child->number = about.si_status;
    }
    child->reaped = true;
    if (child->pidfd >= 0) close(child->pidfd);
    child->pidfd = -1;
    saros_mutex_unlock(&child->lock);
}

/* ---- the service's thread sees its end ------------------------------------------------------------------------- */

static void unwatched(uv_handle_t *handle) {
    saros_proc *child = handle->data;
    reap(child);
    child->ended(child, 0);
}

static void unwatch(uv_handle_t *handle) {
    const saros_libuv *uv = saros_service_uv(handle->loop->data);
    if (!uv->is_closing(handle)) uv->close(handle, unwatched);
}

static void on_end(uv_poll_t *poll, int status, int events) {
    saros_proc *child = poll->data;
    (void)events;
    if (status < 0) saros_proc_kill(child, SIGKILL); /* nobody would tell of its end */
    unwatch((uv_handle_t *)(void *)poll);
}

static void on_bell(uv_async_t *bell) {
    saros_proc *child = bell->data;
    saros_service_uv(bell->loop->data)->thread_join(&child->thread);
    unwatch((uv_handle_t *)(void *)bell);
}

/* On a thread of its own. */
static void wait_for_end(void *p) {
    saros_proc *child = p;
    wait_until_ended(child);
    saros_service_uv(child->bell.loop->data)->async_send(&child->bell);
}

static void forget(uv_handle_t *handle) { (void)handle; }

static int watch(saros_service *service, saros_proc *child) {
    const saros_libuv *uv = saros_service_uv(service);
    child->poll.data = child->bell.data = child;
    if (child->pidfd >= 0) {
        int error = uv->poll_init(saros_service_loop(service), &child->poll, child->pidfd);
        if (error == 0) error = uv->poll_start(&child->poll, UV_READABLE, on_end);
        return saros_error_from_uv(error);
    }
    int error = uv->async_init(saros_service_loop(service), &child->bell, on_bell);
    if (error < 0) return saros_error_from_uv(error);
    error = saros_libuv_thread(uv, &child->thread, wait_for_end, child);
    if (error < 0) uv->close((uv_handle_t *)(void *)&child->bell, forget);
    return saros_error_from_uv(error);
}

int saros_proc_begin(saros_service *service, saros_proc *child) {
    int error = spawn(child);
    if (error < 0) return error;
    error = watch(service, child);
    if (error == 0) return 0;
    saros_proc_kill(child, SIGKILL);
    reap(child);
    return error;
}

int saros_proc_signal(const char *name) {
    const saros_known_signal *one = saros_signal_find(name);
    return one != NULL ? one->number : 0;
}
