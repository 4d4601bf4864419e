/* trace.h: the host's trace hook. */
#ifndef SAROS_TRACE_H
#define SAROS_TRACE_H

#include "core/saros.h"

/* For saros_config.trace. user: the FILE to write to. */
void saros_trace_line(void *user, saros_loop *loop, enum saros_event event, const saros_op *op, int64_t result);
/* task.c: the number of the task that op belongs to; 0: it is nobody's. */
uint32_t saros_trace_task(const saros_op *op);

#endif
