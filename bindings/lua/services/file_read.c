/* file_read.c: everything that reads a file: read, read_some, read_exactly, read_until, lines.
 *
 * Reads blocks until the window (window.c) has what is wanted: what the system has in memory at once, where it can be asked
 * for that, else by a job. Who reads one block behind the other gets larger ones, and the next is read while he works on
 * this one. Promises: nothing that was read is lost where a read fails or is cancelled;
 * the end is no state: a file that has grown can be read on. */
#include "bindings/lua/services/file.h"
#include "bindings/lua/streams/stream.h"

enum {
    LARGEST_BLOCK = 512 * 1024,
    AHEAD_FROM = 2,            /* blocks in a row */
    PIECE = 64 * 1024,         /* of what the system has in memory: it stays in the processor's cache on its way */
    MOST_AT_HAND = 1024 * 1024 /* bytes of these in one call: then it gives way once */
};

/* Has the file ended behind what was read? A short read says so of a file whose length is known (those of /proc have 0). */
static bool is_end(const saros_file *file, size_t got) {
    return file->seekable && got < file->asked && file->size > 0 && file->end >= file->size;
}

static void begin_read(lua_State *L, saros_file *file) {
    if (file->ahead_room < file->block) {
        char *ahead = saros_realloc(file->rt->loop, NULL, 0, file->block);
        if (ahead == NULL) luaL_error(L, "file: not enough memory to read");
        if (file->ahead != NULL) saros_realloc(file->rt->loop, file->ahead, file->ahead_room, 0);
        file->ahead = ahead;
        file->ahead_room = file->block;
    }
    file->by_job = !saros_file_read_at_hand(file, file->asked = PIECE);
    if (!file->by_job) {
        file->at_hand += (size_t)file->got;
        return;
    }
    file->asked = file->block;
    file->offset = file->seekable ? file->end : -1;
    saros_file_begin(L, file, 1, SAROS_FILE_READS);
}

/* What was read joins the window. 0 or an error. */
static int take_ahead(lua_State *L, saros_file *file) {
    file->fetched = false;
    if (file->by_job && file->seekable && file->offset != file->end) return 0; /* of where we do not stand any more */
    if (file->got < 0) return (int)file->got;
    size_t got = (size_t)file->got;
    if (got == 0) {
        file->window.ended = true;
        return 0;
    }
    bool lent = file->window.left + file->window.taken == 0;
    if (!saros_window_feed(file->rt->loop, &file->window, file->ahead, got)) return SAROS_ENOMEM;
    if (lent) {
        char  *block = file->held;
        size_t room = file->held_room;
        file->held = file->ahead;
        file->held_room = file->ahead_room;
        file->ahead = block;
        file->ahead_room = room;
    }
    file->end += (int64_t)got;
    file->window.ended = is_end(file, got);
    if (!file->by_job || got < file->asked || !file->seekable) return 0;
    if (file->block < LARGEST_BLOCK) file->block *= 2;
    if (++file->streak >= AHEAD_FROM) begin_read(L, file);
    return 0;
}

int saros_file_make_readable(lua_State *L, saros_file *file) {
    int error = file->error;
    file->error = 0;
    if (error < 0) return error;
    if (file->pending_size > 0) saros_file_begin_pending(L, file);
    else if (file->at_end) saros_file_begin(L, file, 1, SAROS_FILE_STATS);
    else return 0;
    return 1;
}

static int read_k(lua_State *L, int status, lua_KContext ctx);

static int give_way(lua_State *L, saros_file *file, saros_task *task, lua_KContext ctx) {
    file->at_hand = 0;
    if (saros_is_cancelled(task)) return saros_file_wait(L, file, task, ctx, read_k); /* raises */
    saros_requeue(task);
    return saros_suspend(L, task, ctx, read_k);
}

static int reading(lua_State *L, saros_file *file, saros_task *task, lua_KContext ctx, bool at_hand) {
    int pushed = saros_window_attempt(L, &file->window, &ctx);
    while (pushed == SAROS_NOT_ENOUGH) {
        if (saros_job_is_out(&file->fs.job)) return saros_file_wait(L, file, task, ctx, read_k);
        if (file->at_hand >= MOST_AT_HAND) return give_way(L, file, task, ctx);
        int error = file->fetched ? take_ahead(L, file) : saros_file_make_readable(L, file);
        if (error < 0) {
            saros_window_give_back(&file->window);
            pushed = saros_file_fail(L, file, error, "read");
            break;
        }
        if (!file->fetched && error == 0 && !file->window.ended && !saros_job_is_out(&file->fs.job))
            begin_read(L, file);
        pushed = saros_window_attempt(L, &file->window, &ctx);
    }
    file->window.taken = 0;
    if (file->window.ended && file->window.left == 0 && !saros_job_is_out(&file->fs.job)) saros_file_free_blocks(file);
    return saros_file_finish(L, file, task, pushed, at_hand);
}

static int read_k(lua_State *L, int status, lua_KContext ctx) {
    saros_file *file = lua_touserdata(L, 1);
    saros_task *task = saros_file_resumed(L, file);
    (void)status;
    if (task != NULL && file->rt != NULL) return reading(L, file, task, ctx, false);
    if (task != NULL) saros_file_pass_on(file, task);
    return saros_closed(L);
}

static int start(lua_State *L, saros_file *file, lua_KContext ctx, const char *what) {
    saros_task *task = saros_begin(L, what);
    if (file->rt == NULL) return saros_closed(L);
    if (file->rt != task->rt) return luaL_error(L, "%s: the file belongs to another loop", what);
    if (!file->reads) return saros_file_fail(L, file, SAROS_EBADF, what);
    if (file->reader != NULL && file->reader != task)
        return saros_fail(L, SAROS_EBUSY, "%s: another task is reading this file", what);
    file->reader = task;
    saros_window_give_back(&file->window); /* where memory ran out in the middle of the last call */
    file->window.ended = false;
    file->at_hand = 0;
    if (!saros_file_take(file, task)) return saros_suspend(L, task, ctx, read_k);
    return reading(L, file, task, ctx, true);
}

/* ---- the methods ------------------------------------------------------------------------------------------------ */

static int method_read(lua_State *L) {
    saros_file *file = saros_check_file(L);
    return start(L, file, saros_read_arguments(L), "read");
}

static int method_read_some(lua_State *L) {
    saros_file *file = saros_check_file(L);
    return start(L, file, saros_read_some_arguments(L), "read_some");
}

static int method_read_exactly(lua_State *L) {
    saros_file *file = saros_check_file(L);
    return start(L, file, saros_read_exactly_arguments(L), "read_exactly");
}

static int method_read_until(lua_State *L) {
    saros_file *file = saros_check_file(L);
    return start(L, file, saros_read_until_arguments(L, file->window.line_limit), "read_until");
}

static int method_lines(lua_State *L) {
    saros_check_file(L);
    return saros_read_lines(L, method_read);
}

const luaL_Reg saros_file_read_methods[] = {{"read", method_read},
                                            {"read_some", method_read_some},
                                            {"read_exactly", method_read_exactly},
                                            {"read_until", method_read_until},
                                            {"lines", method_lines},
                                            {NULL, NULL}};
