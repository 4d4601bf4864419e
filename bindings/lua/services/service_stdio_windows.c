/* service_stdio_windows.c: the standard streams on Windows.
 *
 * What is wrong there: standard input is a console, or a pipe that was not made for overlapped calls, and nothing waits for
 * either along with sockets. So a thread reads it: one for the process, as there is one standard input; only when a loop
 * asks, so that what nobody asks for stays for io.read and for children; a block at a time. A read that has begun cannot be
 * taken back: its thread stays until the process ends, and what it reads is for whoever asks next.
 * Owns that thread, the block that was read and not taken yet, and the list of who asks. */
#include <io.h>
#include <string.h>
#include <windows.h>

#include "bindings/lua/services/stdio.h"
#include "bindings/lua/streams/stream.h"

enum { BLOCK = 16 * 1024, MOST = 1 << 30 };

const bool saros_stdio_waits = false;

static SRWLOCK            lock = SRWLOCK_INIT; /* of all of these: */
static CONDITION_VARIABLE wanted = CONDITION_VARIABLE_INIT;
static saros_asker       *first;
static bool               runs;
static bool               fetched; /* the thread has read: */
static int64_t            got;     /* bytes, 0 at the end, or an error */
static size_t             taken;   /* of these bytes */
static char               block[BLOCK];

static HANDLE handle_of(int fd) {
    intptr_t handle = _get_osfhandle(fd);
    return handle == -2 ? INVALID_HANDLE_VALUE : (HANDLE)handle; /* -2: there is none, says the C library */
}

/* ---- the thread ------------------------------------------------------------------------------------------------- */

static int64_t read_block(void) {
    DWORD size = 0;
    while (!ReadFile(handle_of(0), block, BLOCK, &size, NULL) || size == 0) {
        DWORD error = GetLastError();
        if (error == ERROR_OPERATION_ABORTED) continue; /* Ctrl-C at a console */
        bool ended = error == 0 || error == ERROR_BROKEN_PIPE || error == ERROR_HANDLE_EOF;
        return ended ? 0 : saros_error_from_os((int)error);
    }
    return size;
}

static void tell_all(void) {
    while (first != NULL) {
        saros_asker *asker = first;
        first = asker->next;
        saros_post(asker->loop, &asker->op, 0);
    }
}

_Noreturn static DWORD WINAPI run(void *nothing) {
    (void)nothing;
    AcquireSRWLockExclusive(&lock);
    for (;;) {
        while (first == NULL || fetched) SleepConditionVariableSRW(&wanted, &lock, INFINITE, 0);
        ReleaseSRWLockExclusive(&lock);
        SetLastError(0);
        int64_t result = read_block();
        AcquireSRWLockExclusive(&lock);
        got = result;
        taken = 0;
        fetched = true;
        tell_all();
    }
}

/* ---- loops' threads --------------------------------------------------------------------------------------------- */

/* As the thread does not end, what it runs in is never unloaded: Lua unloads its modules with its state. */
static int begin_thread(void) {
    HMODULE self;
    if (runs) return 0;
    if (!GetModuleHandleExW(GET_MODULE_HANDLE_EX_FLAG_PIN | GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS,
                            (LPCWSTR)(uintptr_t)run, &self))
        return saros_error_from_os((int)GetLastError());
    HANDLE thread = CreateThread(NULL, 0, run, NULL, 0, NULL);
    if (thread == NULL) return saros_error_from_os((int)GetLastError());
    CloseHandle(thread);
    runs = true;
    return 0;
}

static int ask(saros_asker *asker) {
    AcquireSRWLockExclusive(&lock);
    int error = begin_thread();
    if (error == 0) {
        asker->next = first;
        first = asker;
        if (fetched) tell_all();
        else WakeConditionVariable(&wanted);
    }
    ReleaseSRWLockExclusive(&lock);
    return error;
}

static void told(saros_loop *loop, saros_op *op, int64_t result) {
    saros_asker *asker = (saros_asker *)(void *)op;
    saros_task  *task = asker->task;
    asker->task = NULL;
    saros_release(loop);
    if (task != NULL && task == asker->stream->reader && task->op.state == SAROS_FLYING)
        saros_complete(loop, &task->op, result);
}

void saros_stdio_wait(saros_asker *asker, saros_stream *stream, saros_task *task) {
    saros_loop *loop = task->rt->loop;
    saros_expect(loop, &task->op);
    asker->task = task;
    if (asker->op.state != SAROS_IDLE) return; /* asked by one that was cancelled */
    asker->op.done = told;
    asker->loop = loop;
    asker->stream = stream;
    saros_expect(loop, &asker->op);
    saros_hold(loop);
    int error = ask(asker);
    if (error < 0) saros_complete(loop, &asker->op, error);
}

void saros_stdio_forget(saros_asker *asker, saros_loop *loop) {
    if (asker->op.state == SAROS_IDLE) return;
    saros_task *task = asker->task;
    AcquireSRWLockExclusive(&lock);
    saros_asker **at = &first;
    while (*at != NULL && *at != asker) at = &(*at)->next;
    if (*at != NULL) *at = asker->next;
    ReleaseSRWLockExclusive(&lock);
    saros_abandon(loop, &asker->op);
    saros_release(loop);
    asker->task = NULL;
    if (task != NULL && task == asker->stream->reader && task->op.state == SAROS_FLYING)
        saros_complete(loop, &task->op, SAROS_ECLOSED);
}

int64_t saros_stdio_read(int fd, void *buffer, size_t size) {
    (void)fd;
    AcquireSRWLockExclusive(&lock);
    int64_t result = fetched ? got : SAROS_EAGAIN;
    if (fetched && got > 0) {
        size_t left = (size_t)got - taken;
        result = (int64_t)(size < left ? size : left);
        memcpy(buffer, block + taken, (size_t)result);
        taken += (size_t)result;
    }
    if (fetched && (got <= 0 || taken == (size_t)got)) fetched = false;
    ReleaseSRWLockExclusive(&lock);
    return result;
}

bool saros_stdio_is_file(int fd) { return fd == 0 && GetFileType(handle_of(0)) == FILE_TYPE_DISK; }

int64_t saros_stdio_place(int fd) {
    LARGE_INTEGER none = {.QuadPart = 0}, place;
    return SetFilePointerEx(handle_of(fd), none, &place, FILE_CURRENT) ? place.QuadPart : -1;
}

void saros_stdio_put(int fd, int64_t place) {
    LARGE_INTEGER to = {.QuadPart = place};
    SetFilePointerEx(handle_of(fd), to, NULL, FILE_BEGIN);
}

/* Stops the thread where it has to wait. The bytes go out as they are: C's own writing would make two of a line's end. */
int64_t saros_stdio_write(int fd, const void *data, size_t size, bool waits) {
    DWORD sent = 0, most = size < MOST ? (DWORD)size : MOST;
    (void)waits;
    if (!WriteFile(handle_of(fd), data, most, &sent, NULL)) return saros_error_from_os((int)GetLastError());
    return sent > 0 ? (int64_t)sent : SAROS_EIO;
}
