/* file.h: a file in Lua's hands. file.c opens and closes it, file_read.c and file_write.c use it, service_file.c says what its
 * job does.
 *
 * It is the userdata itself, and its own job: the service does one thing at a time for a file. Everything here but what
 * service_file.c says is of the loop's thread; while the job is out what it works with (doing, offset, size, data, length,
 * written, ahead, path) is the service's. */
#ifndef SAROS_LUA_FILE_H
#define SAROS_LUA_FILE_H

#include "bindings/lua/services/service_fs.h"
#include "bindings/lua/streams/window.h"

enum saros_doing {
    SAROS_FILE_NOTHING,
    SAROS_FILE_OPENS,
    SAROS_FILE_STATS,
    SAROS_FILE_READS,
    SAROS_FILE_WRITES,
    SAROS_FILE_SYNCS,
    SAROS_FILE_CLOSES
};

struct saros_file {
    saros_fs_job fs;    /* first */
    saros_rt    *rt;    /* NULL: closed, or about to be */
    saros_rt    *owner; /* in whose list it is, from its making until its descriptor is gone */
    saros_file  *next, *prev;
    uv_file      fd; /* -1: none */
    int          flags;
    bool         reads, writes, appends;
    bool         temporary; /* its name is made when it is opened */
    bool         borrowed;  /* the descriptor is somebody else's, who closes it */
    bool         seekable;  /* offsets are ours; else the kernel's */
    bool         at_end;    /* something was appended: where that is is not known yet */
    bool         shared;    /* a process has it as well: where the kernel stands is where we do */

    saros_task   *user;    /* who reads, writes or seeks */
    saros_task   *reader;  /* who reads, or waits to: there is one */
    saros_waiter *waiters; /* who is to use it next, in order */

    struct saros_sending *sendings; /* those that send it: sendfile.c */

    /* What was read: the window, behind it what was read ahead, behind that the rest of the file. */
    saros_window window;
    int64_t      end;   /* offset of what is behind the window */
    char        *held;  /* what the window may be lent from */
    char        *ahead; /* where is read to */
    size_t       held_room, ahead_room;
    size_t       block;   /* bytes that the next job is to read */
    size_t       asked;   /* bytes that were asked for last */
    size_t       at_hand; /* bytes that the call which runs has read without a job */
    bool         by_job;  /* what is ahead was read by one */
    int          streak;  /* blocks that jobs have read one behind the other */
    bool         fetched; /* ahead has `got` bytes, or an error, that the window was not given */
    ssize_t      got;

    /* What is to be written. */
    char  *pending;                                   /* setvbuf: what was written, and is not with the kernel */
    size_t pending_size, pending_room, pending_limit; /* limit 0: every write goes to the kernel */
    bool   by_lines;

    /* The job. */
    enum saros_doing doing;
    const char      *path;   /* in user value 2 */
    int64_t          offset; /* -1: the kernel's */
    int64_t          size;   /* of the file, as it was found last */
    const char      *data;   /* in user value 1, or pending */
    size_t           length, written;
    size_t           wrote;       /* bytes, by the last WRITES */
    int              error;       /* of the last WRITES, STATS or SYNCS */
    int              close_error; /* … and of what closing it came to */
    bool             ignored;     /* who began the job waits for it no more: its error is nobody's */
    bool             awaited;     /* somebody waits for its close, and gets that error */
};

saros_file *saros_check_file(lua_State *L); /* argument 1 */
/* nil, "open PATH: …", code; pushes three. */
int saros_file_fail(lua_State *L, const saros_file *file, int code, const char *what);
/* A file on a descriptor that is there already, at the place where that stands; pushed. reads, writes: what it is open
 * for. A borrowed one is not closed with it. For the loop rt, on whose thread this is; raises for lack of memory. */
saros_file *saros_file_wrap(lua_State *L, saros_rt *rt, int fd, const char *name, bool reads, bool writes,
                            bool borrowed);

/* ---- service_file.c ------------------------------------------------------------------------------------------------ */

void saros_file_prepare(saros_file *file);
/* Begins to do that with the file at index `at`, whose job is not out; raises for lack of memory, and then nothing has
 * changed. In a simulated world it is done when this returns. 0, or why there is no service. */
int  saros_file_start(lua_State *L, saros_file *file, int at, enum saros_doing doing, char *why, size_t size);
void saros_file_begin(lua_State *L, saros_file *file, int at, enum saros_doing doing); /* the same of an open one */
/* Reads what the system has in memory, without a job: bytes, or 0 at the end. Less than 0: nothing, or this system cannot
 * be asked. */
int64_t saros_file_peek(const saros_file *file, void *place, size_t size, int64_t at);
/* Is all of this in memory, or behind the end? By samples: some page between them may be gone. */
bool saros_file_at_hand(const saros_file *file, int64_t at, size_t size);
/* As saros_file_peek, for what is read ahead. False: nothing. */
bool saros_file_read_at_hand(saros_file *file, size_t size);
/* As saros_file_begin: writes; the position stands where the data goes. */
void saros_file_begin_write(lua_State *L, saros_file *file, const char *data, size_t size);
void saros_file_begin_pending(lua_State *L, saros_file *file);
void saros_file_close_now(const saros_libuv *uv, saros_file *file); /* with what is pending; waits for it */
void saros_file_free_blocks(saros_file *file);                      /* those that were for reading */
void saros_file_forget(saros_file *file); /* it has no descriptor, and so neither memory nor a place in the list */

/* ---- file.c: what all methods have in common -------------------------------------------------------------------- */

/* The running task is to use the file from now on. True: it does; false: it is to suspend until it is its turn. */
bool saros_file_take(saros_file *file, saros_task *task);
/* The task does not use the file any more: the next. */
void saros_file_pass_on(saros_file *file, const saros_task *task);
/* Suspends until the job was told; the last thing that a method does. Raises where the task was cancelled meanwhile. */
int saros_file_wait(lua_State *L, saros_file *file, saros_task *task, lua_KContext ctx, lua_KFunction k);
/* First in a continuation, the file is at 1: its task. Raises where that was cancelled, and then it uses the file no more;
 * NULL: the file is closed. */
saros_task *saros_file_resumed(lua_State *L, saros_file *file);
/* The task waits no more. What is being read is for the next one; what is being written ends where it is. */
void saros_file_leave(saros_file *file, saros_task *task);
/* The task has come to its end with `pushed` results on top. */
int     saros_file_finish(lua_State *L, saros_file *file, saros_task *task, int pushed, bool at_hand);
int64_t saros_file_position(const saros_file *file); /* of what is to be read next */
void    saros_file_drop_read(saros_file *file);      /* what was read ahead; the position stays */
/* It is about to be another process's too, which begins where we stand, and what that moves moves us. */
void saros_file_share(saros_file *file);
void saros_file_tell(const saros_file *file); /* the kernel where we stand, if it is shared */

/* ---- file_read.c --------------------------------------------------------------------------------------------------- */

/* What has to be done before the file, which is at 1, can be read where it stands. 0: nothing; or an error; 1: it was
 * begun. Raises for lack of memory. */
int saros_file_make_readable(lua_State *L, saros_file *file);

/* ---- sendfile.c ---------------------------------------------------------------------------------------------------- */

typedef struct saros_sending saros_sending;
void saros_sendings_forget(saros_file *file, const saros_task *task); /* it sends the file no more */
void saros_sendings_end(saros_file *file);                            /* its close begins */

extern const luaL_Reg saros_file_read_methods[], saros_file_write_methods[];

#endif
