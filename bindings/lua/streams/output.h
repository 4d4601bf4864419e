/* output.h: what was written to a stream and not yet sent: by setvbuf, and by try_write where the kernel did not take it. */
#ifndef SAROS_OUTPUT_H
#define SAROS_OUTPUT_H

#include "bindings/lua/streams/stream.h"

enum saros_buffering { SAROS_UNBUFFERED, SAROS_FULL, SAROS_LINE };

/* Two blocks: what is being sent stays where it is, and what comes meanwhile is put into the other. */
struct saros_output {
    char   *waiting, *going;
    size_t  count, room;           /* of waiting: bytes in it, and that fit */
    size_t  size, sent, size_room; /* of going */
    size_t  limit;                 /* setvbuf: so many bytes are kept at most */
    uint8_t buffering;             /* enum */
    bool    flies;                 /* the writing task's op sends `going` */
    bool    flushes;               /* whoever has the turn does nothing else: what comes now may join in */
    bool    drains;                /* a task of our own is about to send all this, or does */
    int     error;                 /* … and could not: for the next one who does not wait */
};

static inline size_t saros_output_pending(const saros_output *output) {
    return output == NULL ? 0 : output->count + output->size - output->sent;
}
saros_output *saros_output_of(saros_stream *stream); /* made where there is none; NULL: no memory */
bool          saros_output_add(saros_stream *stream, const char *bytes, size_t size); /* false: no memory */
/* Something to be sent: bytes and how many; NULL: nothing is left, and the blocks are given back. */
const char *saros_output_next(saros_stream *stream, size_t *size);
void        saros_output_drop(saros_stream *stream); /* all that was not sent; nothing flies */
/* The task, whose turn it is, sends what is kept. 1: all of it is sent, or there is none; 0: it flies; else the error. */
int  saros_stream_send_kept(saros_stream *stream, saros_task *task);
void saros_stream_kept_told(saros_stream *stream, int64_t result); /* what flew has ended; the stream is open */
void saros_output_free(saros_stream *stream);                      /* its handle is closed */

#endif
