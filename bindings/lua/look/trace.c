/* trace.c: saros --trace: what the loop does, a line an event, as it happens.
 *
 * Owns nothing; it is the core's one trace hook, made readable. The indentation follows the way of an operation: down
 * from the script (submit, park), up again (ready, take, resume). */
#include <stdio.h>

#include "bindings/lua/look/trace.h"

static const char *const kinds[] = {
#define NAME(kind, name) name,
    SAROS_OPS(NAME)
#undef NAME
};

/* When an op is told its handle may be gone already: then only its number is left out. */
static void say_who(FILE *out, enum saros_event event, const saros_op *op) {
    uint32_t task = saros_trace_task(op);
    if (task > 0) fprintf(out, "task-%u ", (unsigned)task);
    fprintf(out, "%s", kinds[op->kind]);
    if (event != SAROS_ON_TELL && op->kind > SAROS_OP_TIMER && op->handle->os != SAROS_NO_HANDLE)
        fprintf(out, " [%d]", (int)op->handle->os);
}

static void say_result(FILE *out, int64_t result) {
    if (result < 0) fprintf(out, " -> %s", saros_error_name((int)result));
    else fprintf(out, " -> %lld", (long long)result);
}

void saros_trace_line(void *user, saros_loop *loop, enum saros_event event, const saros_op *op, int64_t result) {
    FILE                    *out = user;
    saros_time               now = saros_now(loop);
    static const char *const names[] = {"submit", "  park", "  ready", "  take", "resume", "  cancel", "wait"};
    fprintf(out, "%9.6f  ", (double)(now % (1000 * SAROS_SECOND)) / 1e9);
    if (event == SAROS_ON_WAIT) {
        if (result == SAROS_FOREVER) fprintf(out, "wait for the kernel\n");
        else fprintf(out, "wait for the kernel, at most %.3f ms\n", (double)result / 1e6);
        return;
    }
    fprintf(out, "    %-8s ", names[event]);
    say_who(out, event, op);
    if (event == SAROS_ON_SUBMIT && op->kind == SAROS_OP_TIMER)
        fprintf(out, ", due in %.3f ms", (double)(result - now) / 1e6);
    if (event == SAROS_ON_READY || event == SAROS_ON_TAKE || event == SAROS_ON_TELL) say_result(out, result);
    fputc('\n', out);
}
