/* service_proc.h: a child process as the system knows it: begun, signalled, reaped. */
#ifndef SAROS_LUA_PROC_H
#define SAROS_LUA_PROC_H

#include <pthread.h>
#include <stdbool.h>
#include <sys/types.h>

/* What a child has in a place of its standard descriptors. Others are descriptors of ours, which it gets a copy of. */
enum { SAROS_INHERITED = -1, SAROS_AS_OUTPUT = -2 /* standard error only */ };

typedef struct saros_proc {
    char      **argv, **env; /* env NULL: ours */
    const char *path;        /* where a program without a slash is looked for: as PATH */
    const char *cwd;         /* NULL: ours */
    int         stdio[3];    /* owned until it runs */

    pthread_mutex_t lock;  /* of these: */
    pid_t           pid;   /* 0: it does not run yet */
    int             pidfd; /* readable when it has ended; -1: this system has no such thing */
    bool            reaped;
    const char     *how; /* "exit" or "signal"; NULL: somebody else took its status */
    int             number;
} saros_proc;

void saros_proc_init(saros_proc *child);
void saros_proc_free(saros_proc *child); /* it does not run */
/* Begins it; may take as long as opening a file. 0; or the error, and *of tells what it is of where that is not the
 * program: "cwd". The standard descriptors are closed in any case. */
int  saros_proc_spawn(saros_proc *child, const char **of);
void saros_proc_close_stdio(saros_proc *child);
/* 0, SAROS_ESRCH where it was reaped, or another error. Any thread. */
int  saros_proc_kill(saros_proc *child, int number);
void saros_proc_wait(const saros_proc *child); /* until it has ended; does not reap */
void saros_proc_reap(saros_proc *child);       /* which has ended, or is about to */
/* A pipe whose ends are closed on exec, and are none of the standard descriptors. 0 or an error. */
int saros_proc_pipe(int ends[2]);
/* A copy of a descriptor, likewise; or an error. */
int saros_proc_copy(int fd);

#endif
