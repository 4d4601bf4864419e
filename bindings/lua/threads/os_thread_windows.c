/* os_thread_windows.c: threads and locks of Windows. */
#include <windows.h>

#include <errno.h>
#include <process.h>

#include "bindings/lua/threads/os_thread.h"
#include "core/saros.h"

_Static_assert(sizeof(SRWLOCK) <= sizeof(saros_mutex), "room for a lock");

static SRWLOCK *own(saros_mutex *mutex) { return (SRWLOCK *)(void *)mutex->words; }

bool saros_mutex_init(saros_mutex *mutex) {
    InitializeSRWLock(own(mutex));
    return true;
}
void saros_mutex_destroy(saros_mutex *mutex) { (void)mutex; }
void saros_mutex_lock(saros_mutex *mutex) { AcquireSRWLockExclusive(own(mutex)); }
void saros_mutex_unlock(saros_mutex *mutex) { ReleaseSRWLockExclusive(own(mutex)); }

static unsigned __stdcall begin(void *p) {
    const saros_os_thread *thread = p;
    thread->body(thread->p);
    return 0;
}

/* CreateThread would leave the C library's own part of the thread unmade. */
int saros_os_thread_start(saros_os_thread *thread, const saros_os_thread *maker) {
    (void)maker;
    uintptr_t handle = _beginthreadex(NULL, SAROS_THREAD_STACK, begin, thread, STACK_SIZE_PARAM_IS_A_RESERVATION, NULL);
    if (handle == 0) return errno == EAGAIN ? SAROS_EAGAIN : SAROS_ENOMEM;
    thread->words[0] = (void *)handle;
    return 0;
}

void saros_os_thread_join(saros_os_thread *thread) {
    WaitForSingleObject(thread->words[0], INFINITE);
    CloseHandle(thread->words[0]);
}

/* There are no signals. */
void saros_os_thread_interrupt(saros_os_thread *thread) { (void)thread; }
void saros_os_thread_outside(const saros_os_thread *thread, bool is) { (void)thread, (void)is; }
