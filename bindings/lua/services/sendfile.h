/* sendfile.h: a file on its way out on a stream. sendfile.c says when which piece goes, service_sendfile.c does the pieces
 * on other threads.
 *
 * It is a userdata, and its own job. While the job is out the fields of the piece are the service's. */
#ifndef SAROS_LUA_SENDFILE_H
#define SAROS_LUA_SENDFILE_H

#include "bindings/lua/services/file.h"
#include "bindings/lua/streams/stream.h"

struct saros_sending {
    saros_fs_job fs; /* first */
    uv_work_t    work;
    int (*read)(saros_service *service, saros_job *job); /* what the job is where it reads, and how it is ended then */
    void (*stop_reading)(saros_service *service, saros_job *job);

    saros_stream  *stream; /* in user value 2 */
    saros_file    *file;   /* in user value 1 */
    saros_task    *task;
    saros_sending *next, *prev; /* others of the file; both NULL as well where it is not in its list: */
    bool           listed;
    const char    *what;    /* the function's name */
    bool           moves;   /* it begins at the file's own position, and takes that along */
    bool           settled; /* what was written to the file is there, and `at` is known */
    bool           ended;   /* the file has */
    bool           kernel;  /* there is such a call between these two */
    int64_t        at;      /* in the file: what is to be sent next */
    int64_t        left;    /* bytes to be sent yet */
    int64_t        sent;
    int64_t        copied;      /* bytes that went through the block */
    size_t         filled, out; /* bytes in the block; and of these, sent */
    size_t         unanswered;  /* bytes that went out since something was waited for */

    /* The piece. */
    bool    reads;    /* into the block; else the kernel sends */
    int     from, to; /* descriptors of its own, for the time of this piece; -1: none */
    size_t  asked;
    int64_t got;
    int     error; /* SAROS_EAGAIN: the stream takes no more just now */

    size_t room;
    char   block[];
};

/* Prepares a new one, which is zeroed. */
void saros_sending_prepare(saros_sending *self);
/* Begins the piece of `asked` bytes with the one at index `at`; raises for lack of memory. 0 or an error. */
int saros_sending_begin(lua_State *L, int at);

/* service_sendfile_*.c: is there such a call at all? */
extern const bool saros_kernel_sends_files;
/* Another descriptor of the same file, socket or pipe; or an error. */
int  saros_twin(int fd);
void saros_twin_close(int fd);
/* Sends the piece, and sets got and error: until it is sent, the file ends or the stream takes no more. Any thread. */
void saros_send_piece(saros_sending *self);

#endif
