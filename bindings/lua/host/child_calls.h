/* child_calls.h: counting a child's system calls, for child_posix.c. child_calls_ptrace.c does it; where the system
 * has no ptrace of Linux' kind, child_calls_none.c says so. */
#ifndef SAROS_CHILD_CALLS_H
#define SAROS_CHILD_CALLS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

bool saros_calls_possible(void);
/* In the child, last before it becomes another program: it asks to be watched, and stops. -1 with errno: refused. */
int saros_calls_offer(void);
/* Counts what has happened since the last call, and lets it go on. True: the child has ended and is to be waited for.
 * *why, if not NULL, says why *calls is of no use. */
bool saros_calls_follow(pid_t child, int64_t *calls, const char **why);

#endif
