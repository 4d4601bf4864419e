/* service_proc.h: a child process as the system knows it: begun, signalled, reaped. */
#ifndef SAROS_LUA_PROC_H
#define SAROS_LUA_PROC_H

#include "bindings/lua/services/service.h"
#include "bindings/lua/threads/os_thread.h"

/* What a child has in a place of its standard descriptors. Others are descriptors of ours, which it gets a copy of. */
enum { SAROS_INHERITED = -1, SAROS_AS_OUTPUT = -2 /* standard error only */ };

typedef struct saros_proc saros_proc;
struct saros_proc {
    char      **argv, **env; /* env NULL: ours */
    const char *path;        /* where a program without a slash is looked for: as PATH */
    const char *cwd;         /* NULL: ours */
    int         stdio[3];    /* owned until it runs */
    const char *of;          /* what the error of its beginning is of, where that is not the program: "cwd" */
    void (*ended)(saros_proc *child, int error); /* on the service's thread, when it was reaped */

    saros_mutex lock; /* of these: */
    int         pid;  /* 0: it does not run yet */
    bool        reaped;
    const char *how; /* "exit" or "signal"; NULL: somebody else took its status */
    int         number;

    int         pidfd;  /* POSIX: readable when it has ended; -1: this system has no such thing */
    uv_poll_t   poll;   /* … the service's, where there is one, … */
    uv_async_t  bell;   /* … and where there is none */
    uv_thread_t thread; /* … that waits for it there */

    uv_process_t    process;  /* Windows */
    int             killed;   /* … under the lock: the number of what has ended it */
    int             inner[3]; /* … our ends of its pipes, for those who pass on between them and … */
    saros_os_handle outer[3]; /* … these sockets, whose other ends are streams */
};

bool saros_proc_init(saros_proc *child); /* false: no room for a lock */
void saros_proc_free(saros_proc *child); /* it does not run */
/* On the service's thread: begins it; may take as long as opening a file. 0: ended will be called; 1: the same, at once and
 * with the error, as it does not run; or the error. The standard descriptors are closed in any case. */
int saros_proc_begin(saros_service *service, saros_proc *child);
/* 0, SAROS_ESRCH where it was reaped, or another error. Any thread. */
int saros_proc_kill(saros_proc *child, int number);
int saros_proc_signal(const char *name); /* its number; 0: none of that name */
/* Makes a pipe the child's standard descriptor `at`. 0, and *ours is the other end, to be adopted, or closed by
 * saros_proc_drop; or an error. */
int  saros_proc_pipe(saros_proc *child, int at, saros_os_handle *ours);
void saros_proc_drop(saros_os_handle ours);
/* A descriptor for a child: a copy of this one; what takes all and gives nothing; what a stream stands on. Or an error. */
int saros_proc_copy(int fd);
int saros_proc_null(void);
int saros_proc_copy_stream(saros_os_handle os);

#endif
