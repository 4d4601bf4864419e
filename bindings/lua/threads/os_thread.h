/* os_thread.h: the little that Saros asks of the system's threads: one begins, is interrupted, somebody waits for its end, and a
 * lock.
 *
 * Promises: a thread begins with room for a Lua state on its stack, and gets no signal that is meant for the process; the
 * processes that it begins are as open for signals as those of its maker. */
#ifndef SAROS_OS_THREAD_H
#define SAROS_OS_THREAD_H

#include <stdbool.h>

/* The system's own thing is in `words`. They stay where they are until they are joined, or destroyed. */
typedef struct saros_mutex {
    void *words[10];
} saros_mutex;
typedef struct saros_os_thread {
    void *words[2];
    void *outside[16];      /* which signals are blocked where its line of threads began */
    bool  unwilling, ended; /* it was interrupted; its body is done */
    void (*body)(void *p);
    void (*interrupted)(void *p); /* as a signal handler; see below */
    void *p;
} saros_os_thread;

enum { SAROS_THREAD_STACK = 8 << 20 /* bytes of address space, as a process's first thread has; used are far fewer */ };

bool saros_mutex_init(saros_mutex *mutex); /* false: the system has no room for one */
void saros_mutex_destroy(saros_mutex *mutex);
void saros_mutex_lock(saros_mutex *mutex);
void saros_mutex_unlock(saros_mutex *mutex);

/* Body, interrupted and p are set; maker: whose thread this is, NULL: none of ours. 0 or SAROS_E… */
int saros_os_thread_start(saros_os_thread *thread, const saros_os_thread *maker);
/* Once for each that has begun. Where it was interrupted before, it is again and again, after 1 s, 2 s, 4 s, … */
void saros_os_thread_join(saros_os_thread *thread);
/* Has `interrupted` called on that thread, soon, in the midst of what it does; no effect where this system has no signal
 * for that. By who joins it. */
void saros_os_thread_interrupt(saros_os_thread *thread);
/* On the thread itself: while it begins a process by other means than ours, which inherits what signals are blocked. */
void saros_os_thread_outside(const saros_os_thread *thread, bool is);

#endif
