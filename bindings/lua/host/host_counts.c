/* host_counts.c: saros --counts FILE: what the loops of this process have done, for `saros compare`.
 *
 * It stands in the core's one trace hook, so it costs nothing where nobody counts; and who compares times does not
 * count in the same run. The counts are this process', so the file is written once, at its end, also by os.exit.
 *
 * operations  everything that was submitted, and each time something in the program itself woke a task
 * waits       how often the driver was asked
 * wake-ups    waits that were free to block, and after which there was something to do */
#include <stdio.h>
#include <stdlib.h>

#include "bindings/lua/host/host.h"

static struct {
    const char *file;
    uint64_t    operations, waits, wakeups;
    bool        blocked; /* the last wait was free to block, and nothing was told since */
} counts;

static void see(void *user, saros_loop *loop, enum saros_event event, const saros_op *op, int64_t result) {
    (void)user, (void)loop;
    if (event == SAROS_ON_SUBMIT || (event == SAROS_ON_TELL && op->kind == SAROS_OP_WAIT)) {
        counts.operations++;
    } else if (event == SAROS_ON_WAIT) {
        counts.waits++;
        counts.blocked = result > 0;
    }
    if (event == SAROS_ON_TELL && counts.blocked) {
        counts.wakeups++;
        counts.blocked = false;
    }
}

static void write_counts(void) {
    FILE *file = fopen(counts.file, "w");
    if (file == NULL) return; /* whoever asked for it will miss it */
    fprintf(file, "%llu %llu %llu\n", (unsigned long long)counts.operations, (unsigned long long)counts.waits,
            (unsigned long long)counts.wakeups);
    fclose(file);
}

void saros_count(saros_config *config, const char *file) {
    counts.file = file;
    config->trace = see;
    if (atexit(write_counts) != 0) counts.file = NULL;
}
