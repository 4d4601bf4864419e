/* output.c: see output.h. Owns the blocks; a stream has none of this before it needs it. */
#include <string.h>

#include "bindings/lua/streams/output.h"

static saros_loop *loop_of(const saros_stream *stream) {
    return (stream->rt != NULL ? stream->rt : stream->closing)->loop;
}

saros_output *saros_output_of(saros_stream *stream) {
    if (stream->output == NULL) {
        saros_output *output = saros_realloc(loop_of(stream), NULL, 0, sizeof *output);
        if (output != NULL) *output = (saros_output){.buffering = SAROS_UNBUFFERED};
        stream->output = output;
    }
    return stream->output;
}

bool saros_output_add(saros_stream *stream, const char *bytes, size_t size) {
    saros_output *output = saros_output_of(stream);
    if (output == NULL) return false;
    size_t room = output->room > 0 ? output->room : output->limit > 512 ? output->limit : 512;
    while (room < output->count + size) room *= 2;
    if (room > output->room) {
        char *more = saros_realloc(loop_of(stream), output->waiting, output->room, room);
        if (more == NULL) return false;
        output->waiting = more;
        output->room = room;
    }
    memcpy(output->waiting + output->count, bytes, size);
    output->count += size;
    return true;
}

static void free_block(saros_stream *stream, char **block, size_t *room) {
    if (*block != NULL) saros_realloc(loop_of(stream), *block, *room, 0);
    *block = NULL;
    *room = 0;
}

void saros_output_drop(saros_stream *stream) {
    saros_output *output = stream->output;
    if (output == NULL) return;
    free_block(stream, &output->waiting, &output->room);
    free_block(stream, &output->going, &output->size_room);
    output->count = output->size = output->sent = 0;
}

const char *saros_output_next(saros_stream *stream, size_t *size) {
    saros_output *output = stream->output;
    if (output->sent == output->size) { /* the blocks change places */
        char  *block = output->going;
        size_t room = output->size_room;
        output->going = output->waiting;
        output->size_room = output->room;
        output->size = output->count;
        output->waiting = block;
        output->room = room;
        output->sent = output->count = 0;
    }
    *size = output->size - output->sent;
    if (*size > 0) return output->going + output->sent;
    if (output->buffering == SAROS_UNBUFFERED) saros_output_drop(stream);
    return NULL;
}

void saros_output_free(saros_stream *stream) {
    if (stream->output == NULL) return;
    saros_output_drop(stream);
    saros_realloc(loop_of(stream), stream->output, sizeof *stream->output, 0);
    stream->output = NULL;
}
