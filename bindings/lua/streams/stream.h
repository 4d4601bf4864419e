/* stream.h: a stream or listener in Lua's hands. net.c and given.c open it, net.c closes it, stream_read.c,
 * stream_write.c and copy.c use it.
 *
 * It is the userdata itself; its handle belongs to the driver while something flies on it. */
#ifndef SAROS_STREAM_H
#define SAROS_STREAM_H

#include "bindings/lua/streams/window.h"
#include "bindings/lua/tasks/task.h"

/* What stands between a stream's bytes and its handle's, as TLS does. It begins with these; each is given its stream. */
typedef struct saros_layer  saros_layer;
typedef struct saros_output saros_output;
struct saros_layer {
    /* In place of a lent RECV: begins something that is told to task->op. NULL: that RECV it is. */
    void (*receive)(saros_stream *stream, saros_task *task);
    /* What it was told; bytes of a lent RECV are still there. To be said of it: saros_stream_feed, ended, or error. */
    void (*received)(saros_stream *stream, int64_t result);
    /* As saros_submit_now(&task->op), which is a SEND or a SHUTDOWN: true: done, with task->op.result; false: it will be
     * told. Takes as many of the bytes as it likes; they are its own from now on. */
    bool (*send)(saros_stream *stream, saros_task *task);
    /* Of the bytes that were taken last, those of a write that has not been told: they go out whatever becomes of it. NULL: none. */
    size_t (*taken)(const saros_stream *stream);
    const char *(*why)(const saros_stream *stream, int code); /* the error in words */
    void (*closing)(saros_stream *stream);                    /* its close begins: wakes who waits for the layer */
    void (*free)(saros_layer *layer, saros_loop *loop);       /* nothing of it may fly any more */
};

/* Linked into its loop's list until it is closed. What it needs only now and then is not in it: at thousands of
 * connections, of which nearly all wait, its size counts. */
struct saros_stream {
    saros_handle  handle;
    saros_rt     *rt; /* NULL: closed */
    saros_stream *next, *prev;
    union {
        saros_window window; /* what was received and not yet read; lent until the reader suspends or returns */
        saros_op     close;  /* once it is closed, and there is no window any more */
    };
    union {
        saros_task *reader;
        saros_rt   *closing; /* the same: whose list and anchor keep it until the close was told; NULL: it has closed */
    };
    saros_task   *writer;
    saros_waiter *writers; /* who wants to write next, in order */
    saros_layer  *layer;   /* NULL: its bytes are the handle's */
    saros_output *output;  /* output.c: written and not yet sent; NULL: nothing ever was */
};

enum { SAROS_LINE_LIMIT = 64 * 1024, SAROS_ALL_LIMIT = 64 * 1024 * 1024 };

/* Pushes one that is not open yet, a stream or a listener. Where it does not open it is to be unlinked. */
saros_stream *saros_stream_new(lua_State *L, saros_rt *rt, enum saros_type type, size_t line_limit, size_t all_limit);
saros_stream *saros_stream_make(lua_State *L, saros_rt *rt, enum saros_type type, size_t size); /* without limits */
void          saros_stream_unlink(saros_stream *stream);
size_t        saros_stream_limit(lua_State *L, int arg, const char *name, size_t otherwise); /* an option's; raises */
/* Pushes the stream or listener that owns the descriptor from now on, and returns 0; or pushes nothing: the error. May
 * raise only for want of memory, and then as well the descriptor is still the caller's. */
int saros_stream_adopt(lua_State *L, saros_rt *rt, saros_os_handle fd, size_t line_limit, size_t all_limit);
/* window.copies: what saros.copy does with an open stream, whose reader or writer is then the copying task. FROM and TO may
 * be of two copies; SENDING: of the one FROM, its op is not a receive of this stream. */
enum { SAROS_COPIES_FROM = 1, SAROS_COPIES_TO = 2, SAROS_COPIES_SENDING = 4 };
/* Another of its bits: a thread writes for the task whose turn it is; without that one the turn stays nobody's until that
 * has ended. */
enum { SAROS_LENT_OUT = 8 };
enum { SAROS_KEEPS = 16 /* the last one: see saros_stream_keep */ };
/* And another one: its close is an abort. */
enum { SAROS_ABORTS = 32 };

/* Reads an address argument: "host:port", "unix:/path", {host=, port=}, {path=}. Pushes its text. Raises on what can
 * never be an address. 0, or the error of a name that leads nowhere: SAROS_ENOSYS, it is to be looked up. */
int           saros_read_address(lua_State *L, saros_rt *rt, int arg, saros_address *address);
int           saros_no_address(lua_State *L, int code, const char *op); /* its text is on top: nil, message, code */
void          saros_leave_host(saros_rt *rt, const saros_task *task);   /* before something is opened */
saros_stream *saros_check_stream(lua_State *L);                         /* argument 1 */
saros_stream *saros_check_any(lua_State *L);                 /* the same; also a listener, or a socket for datagrams */
int           saros_closed(lua_State *L);                    /* nil, "closed", "ECLOSED" */
void          saros_stream_drop_layer(saros_stream *stream); /* and its output: it has closed */
/* The stream is at `index`, which keeps it until it has closed. */
void saros_stream_close(lua_State *L, int index, saros_stream *stream);
/* What we are lent, by the loop or a layer, until the reader suspends or returns, joins the window. False: no memory. */
static inline bool saros_stream_feed(saros_stream *stream, const char *bytes, size_t size) {
    return saros_window_feed(stream->rt->loop, &stream->window, bytes, size);
}
/* The stream's error in words; its layer may know more than the code says. */
static inline const char *saros_stream_why(const saros_stream *stream, int code) {
    return stream->layer != NULL ? stream->layer->why(stream, code) : saros_error_text(code);
}
/* As saros_submit_now: of a SEND or a SHUTDOWN on the stream. */
static inline bool saros_stream_send(saros_stream *stream, saros_task *task) {
    return stream->layer != NULL ? stream->layer->send(stream, task) : saros_submit_now(task->rt->loop, &task->op);
}
/* As saros_stream_send, of what is at `index`: where that stays with the driver the stream keeps it, until the write is over
 * or the stream has closed. */
bool saros_stream_send_from(lua_State *L, saros_stream *stream, saros_task *task, int index);
/* The stream keeps what is at `index`, in case that the coroutine is closed behind the loop's back. False: no memory. */
bool saros_stream_keep(lua_State *L, saros_stream *stream, int index);
void saros_stream_unkeep(saros_stream *stream); /* which is open */
/* Gives the kernel what it takes now, and adds it to *sent; 0, or an error. For a stream without a layer. */
int saros_stream_send_now(saros_stream *stream, const char *data, size_t size, size_t *sent);
/* Of a write that was ended while it waited: what goes out all the same. */
static inline size_t saros_stream_taken(const saros_stream *stream) {
    return stream->layer != NULL && stream->layer->taken != NULL ? stream->layer->taken(stream) : 0;
}
void saros_stream_abandon(saros_stream *stream); /* closes it at once, and nobody is told */
void saros_stream_pass_on(saros_stream     *stream,
                          const saros_task *task); /* the task does not write any more: the next */
void saros_stream_lent_back(saros_stream *stream); /* the thread does not write any more */
/* Takes the turn to write, sends what was kept, and goes on in saros_sendfile_run with the stack as it is. The last thing
 * that an awaiting function does. */
int saros_stream_take_turn(lua_State *L, saros_stream *stream, const char *what);
/* services/sendfile.c. The stream is at 1, what is to be sent at 2, and the turn is the task's. */
int  saros_sendfile_run(lua_State *L, saros_stream *stream, saros_task *task);
bool saros_sendfile_can(const saros_file *file); /* it can be read, anywhere in it */
/* Sends the file, which is at 2, on the stream at 1, from its own position where the offset is below 0; ends as sendfile
 * does. In tail position. */
int saros_sendfile(lua_State *L, const char *what, int64_t offset, int64_t size);
/* Something has come, or the end, or an error: what a receive was told. */
void saros_stream_arrive(saros_stream *stream, int64_t result);
/* Before the scratch buffer is anybody else's: what is left of it is copied; an empty buffer is given back. False: no
 * memory, bytes are lost, and the stream's error says so. */
bool saros_stream_settle(saros_stream *stream);
/* Begins a receive of any size for the task, which then suspends. */
void saros_stream_receive(saros_stream *stream, saros_task *task);
/* Before a new call reads: what the last one has left in a bad way. */
void                  saros_stream_begin_reading(saros_stream *stream);
extern const luaL_Reg saros_read_methods[], saros_write_methods[], saros_given_functions[], saros_tls_context_methods[],
    saros_tls_methods[], saros_sendfile_methods[], saros_option_functions[], saros_any_methods[], saros_any_meta[];

#endif
