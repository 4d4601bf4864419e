/* os_thread.h: the little that Saros asks of the system's threads: one begins, somebody waits for its end, and a lock.
 *
 * Promises: a thread begins with room for a Lua state on its stack, and gets no signal that is meant for the process. */
#ifndef SAROS_OS_THREAD_H
#define SAROS_OS_THREAD_H

#include <stdbool.h>

/* The system's own thing is in `words`. They stay where they are until they are joined, or destroyed. */
typedef struct saros_mutex {
    void *words[10];
} saros_mutex;
typedef struct saros_os_thread {
    void *words[2];
    void (*body)(void *p);
    void *p;
} saros_os_thread;

enum { SAROS_THREAD_STACK = 8 << 20 /* bytes of address space, as a process's first thread has; used are far fewer */ };

bool saros_mutex_init(saros_mutex *mutex); /* false: the system has no room for one */
void saros_mutex_destroy(saros_mutex *mutex);
void saros_mutex_lock(saros_mutex *mutex);
void saros_mutex_unlock(saros_mutex *mutex);

int  saros_os_thread_start(saros_os_thread *thread, void (*body)(void *p), void *p); /* 0 or SAROS_E… */
void saros_os_thread_join(saros_os_thread *thread);                                  /* once for each that has begun */

#endif
