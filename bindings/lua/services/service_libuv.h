/* service_libuv.h: the functions of libuv that the services use, found when the first of them is needed.
 *
 * Owns the library while a service runs. Nothing is linked with it: a program that asks for no names and no files need not
 * have it, and does not pay for it at its start. */
#ifndef SAROS_LUA_LIBUV_H
#define SAROS_LUA_LIBUV_H

#include <stddef.h>
#include <uv.h>

// clang-format off
#define SAROS_UV_FUNCTIONS(X)                                                                        \
    X(loop_init) X(loop_close) X(run) X(walk) X(close) X(is_closing) X(async_init) X(async_send)      \
    X(thread_create) X(thread_join) X(mutex_init) X(mutex_destroy) X(mutex_lock) X(mutex_unlock)      \
    X(cancel) X(getaddrinfo) X(freeaddrinfo) X(getnameinfo) X(os_gethostname)                         \
    X(poll_init) X(poll_start) /* processes */ X(queue_work)                                                          \
    /* files */                                                                                       \
    X(buf_init) X(fs_req_cleanup) X(fs_open) X(fs_close) X(fs_read) X(fs_write) X(fs_fstat) X(fs_fsync) \
    X(fs_mkstemp) X(fs_stat) X(fs_lstat) X(fs_scandir) X(fs_scandir_next) X(fs_mkdir) X(fs_rmdir)       \
    X(fs_unlink) X(fs_rename) X(fs_copyfile) X(fs_chmod) X(fs_symlink) X(fs_link) X(fs_readlink)        \
    X(fs_realpath) X(fs_utime) X(fs_mkdtemp) X(fs_event_init) X(fs_event_start) X(now)
// clang-format on

typedef struct saros_libuv {
    void *library;
#define SAROS_UV_FUNCTION(name) __typeof__ (&uv_##name)(name);
    SAROS_UV_FUNCTIONS(SAROS_UV_FUNCTION)
#undef SAROS_UV_FUNCTION
} saros_libuv;

/* Loads it. 0; or SAROS_ENOSYS, with the reason in why[0..size). */
int  saros_libuv_open(saros_libuv *uv, char *why, size_t size);
void saros_libuv_close(saros_libuv *uv);
/* Begins a thread to which the system will give no signal that is meant for the process. 0 or libuv's error. */
int saros_libuv_thread(const saros_libuv *uv, uv_thread_t *thread, uv_thread_cb body, void *p);

#endif
