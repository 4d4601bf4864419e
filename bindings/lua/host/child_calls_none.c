/* child_calls_none.c: no system calls are counted on this system. */
#include <errno.h>

#include "bindings/lua/host/child_calls.h"

bool saros_calls_possible(void) { return false; }

int saros_calls_offer(void) {
    errno = ENOSYS;
    return -1;
}

bool saros_calls_follow(pid_t child, int64_t *calls, const char **why) {
    (void)child, (void)calls, (void)why;
    return true;
}
