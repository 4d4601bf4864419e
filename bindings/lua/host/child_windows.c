/* child_windows.c: children of this program, as processes in job objects.
 *
 * Each child is in a job of its own, so what it has started can be measured and ended with it; and the jobs end with
 * their last handle, so nothing outlives us. Output goes to a temporary file that is gone when it is closed: a pipe
 * could not be waited for together with the process. What is wrong with the interface: a program gets its arguments as
 * one string, which its C library takes apart again; quote() is the inverse of that. */
#define WIN32_LEAN_AND_MEAN
#include <io.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>
/* behind windows.h */
#include <psapi.h>

#include "bindings/lua/host/child.h"

enum { KEEP = 64 * 1024, MOST = MAXIMUM_WAIT_OBJECTS - 1 };

struct saros_child {
    HANDLE          process, job, output; /* process NULL: it has ended */
    double          started;
    char           *kept;
    saros_child_end end;
};

static HANDLE        interrupt; /* an event */
static volatile LONG interrupted;

static BOOL WINAPI on_control(DWORD kind) {
    InterlockedExchange(&interrupted, kind == CTRL_C_EVENT ? 2 : 15); /* SIGINT and SIGTERM, as everywhere */
    SetEvent(interrupt);
    return TRUE;
}

void saros_child_prepare(void) {
    interrupt = CreateEventA(NULL, TRUE, FALSE, NULL);
    SetConsoleCtrlHandler(on_control, TRUE);
}

int saros_child_interrupted(void) { return (int)InterlockedCompareExchange(&interrupted, 0, 0); }

double saros_child_clock(void) {
    LARGE_INTEGER now, second;
    QueryPerformanceCounter(&now);
    QueryPerformanceFrequency(&second);
    return (double)now.QuadPart / (double)second.QuadPart;
}

/* ---- starting one --------------------------------------------------------------------------------------------- */

/* Appends a word so that the C library of the child reads it as it was; returns the new end. */
static char *quote(char *at, const char *word) {
    size_t slashes = 0;
    *at++ = '"';
    for (; *word != 0; word++) {
        if (*word == '"') /* as many again, and one for the quote itself */
            for (size_t i = 0; i <= slashes; i++) *at++ = '\\';
        slashes = *word == '\\' ? slashes + 1 : 0;
        *at++ = *word;
    }
    while (slashes-- > 0) *at++ = '\\';
    *at++ = '"';
    return at;
}

static char *command_line(char **words) {
    size_t room = 1;
    for (char **word = words; *word != NULL; word++) room += 2 * strlen(*word) + 3;
    char *line = malloc(room), *at = line;
    if (line == NULL) return NULL;
    for (char **word = words; *word != NULL; word++) {
        if (word != words) *at++ = ' ';
        at = quote(at, *word);
    }
    *at = 0;
    return line;
}

static HANDLE temporary_file(void) {
    SECURITY_ATTRIBUTES inherited = {sizeof inherited, NULL, TRUE};
    char                folder[MAX_PATH + 1], name[MAX_PATH + 1];
    if (GetTempPathA(sizeof folder, folder) == 0 || GetTempFileNameA(folder, "srs", 0, name) == 0)
        return INVALID_HANDLE_VALUE;
    return CreateFileA(name, GENERIC_READ | GENERIC_WRITE, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE,
                       &inherited, CREATE_ALWAYS, FILE_ATTRIBUTE_TEMPORARY | FILE_FLAG_DELETE_ON_CLOSE, NULL);
}

static HANDLE new_job(void) {
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION limits = {0};
    HANDLE                               job = CreateJobObjectA(NULL, NULL);
    limits.BasicLimitInformation.LimitFlags = JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE;
    if (job != NULL) SetInformationJobObject(job, JobObjectExtendedLimitInformation, &limits, sizeof limits);
    return job;
}

/* True: child->process runs in child->job. */
static bool run(saros_child *child, const saros_child_plan *plan, HANDLE input, char *line) {
    HANDLE              output = plan->show ? GetStdHandle(STD_ERROR_HANDLE) : child->output;
    PROCESS_INFORMATION process = {0};
    STARTUPINFOA        startup = {.cb = sizeof startup, .dwFlags = STARTF_USESTDHANDLES};
    startup.hStdInput = input;
    startup.hStdOutput = startup.hStdError = output;
    if (plan->show) SetHandleInformation(output, HANDLE_FLAG_INHERIT, HANDLE_FLAG_INHERIT);
    /* Suspended until it is in its job; a group of its own, so that an interrupt from the console reaches only us. */
    if (!CreateProcessA(plan->program, line, NULL, NULL, TRUE, CREATE_SUSPENDED | CREATE_NEW_PROCESS_GROUP, NULL, NULL,
                        &startup, &process))
        return false;
    AssignProcessToJobObject(child->job, process.hProcess);
    ResumeThread(process.hThread);
    CloseHandle(process.hThread);
    child->process = process.hProcess;
    return true;
}

saros_child *saros_child_start(const saros_child_plan *plan, char *why, size_t size) {
    SECURITY_ATTRIBUTES inherited = {sizeof inherited, NULL, TRUE};
    saros_child        *child = calloc(1, sizeof *child);
    char               *line = command_line(plan->words);
    if (child == NULL || line == NULL) {
        free(child);
        free(line);
        snprintf(why, size, "not enough memory");
        return NULL;
    }
    child->output = plan->show ? INVALID_HANDLE_VALUE : temporary_file();
    child->job = new_job();
    child->end.calls = -1;
    HANDLE nothing =
        CreateFileA("NUL", GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE, &inherited, OPEN_EXISTING, 0, NULL);
    bool ready = child->job != NULL && (plan->show || child->output != INVALID_HANDLE_VALUE);
    child->started = saros_child_clock();
    bool  ok = ready && run(child, plan, nothing, line);
    DWORD error = GetLastError();
    if (nothing != INVALID_HANDLE_VALUE) CloseHandle(nothing);
    free(line);
    if (ok) return child;
    snprintf(why, size, "cannot start a process: error %lu of Windows", (unsigned long)error);
    saros_child_free(child);
    return NULL;
}

/* ---- waiting for one ------------------------------------------------------------------------------------------ */

static double seconds_of(LARGE_INTEGER time) { return (double)time.QuadPart / 1e7; }

/* Of the whole job; of the process alone where the system keeps no accounts of jobs, as Wine does not. */
static void cpu_time(const saros_child *child, saros_child_end *end) {
    JOBOBJECT_BASIC_ACCOUNTING_INFORMATION used = {0};
    FILETIME                               created, exited, system, user;
    QueryInformationJobObject(child->job, JobObjectBasicAccountingInformation, &used, sizeof used, NULL);
    if (used.TotalUserTime.QuadPart + used.TotalKernelTime.QuadPart == 0 &&
        GetProcessTimes(child->process, &created, &exited, &system, &user)) {
        used.TotalUserTime = (LARGE_INTEGER){.LowPart = user.dwLowDateTime, .HighPart = (LONG)user.dwHighDateTime};
        used.TotalKernelTime =
            (LARGE_INTEGER){.LowPart = system.dwLowDateTime, .HighPart = (LONG)system.dwHighDateTime};
    }
    end->user = seconds_of(used.TotalUserTime);
    end->system = seconds_of(used.TotalKernelTime);
}

static void read_output(saros_child *child) {
    LARGE_INTEGER length = {0}, from = {0};
    DWORD         got = 0;
    if (child->output == INVALID_HANDLE_VALUE || !GetFileSizeEx(child->output, &length)) return;
    child->kept = malloc(KEEP);
    if (child->kept == NULL) return;
    if (length.QuadPart > KEEP) from.QuadPart = length.QuadPart - KEEP;
    SetFilePointerEx(child->output, from, NULL, FILE_BEGIN);
    if (!ReadFile(child->output, child->kept, KEEP, &got, NULL)) got = 0;
    child->end.output = child->kept;
    child->end.length = got;
    child->end.cut = from.QuadPart > 0;
}

static void ended(saros_child *child) {
    PROCESS_MEMORY_COUNTERS memory = {.cb = sizeof memory};
    saros_child_end        *end = &child->end;
    DWORD                   code = 1;
    end->wall = saros_child_clock() - child->started;
    cpu_time(child, end);
    if (GetProcessMemoryInfo(child->process, &memory, sizeof memory)) end->peak = (double)memory.PeakWorkingSetSize;
    GetExitCodeProcess(child->process, &code);
    end->code = (int)code;
    TerminateJobObject(child->job, 1);
    read_output(child);
    CloseHandle(child->process);
    child->process = NULL;
}

saros_child *saros_child_wait(saros_child **children, size_t count, double seconds) {
    HANDLE handles[MOST + 1] = {interrupt};
    size_t waiting = count < MOST ? count : MOST;
    if (saros_child_interrupted() != 0) return NULL;
    for (size_t i = 0; i < waiting; i++) handles[i + 1] = children[i]->process;
    DWORD limit = seconds <= 0 ? 0 : seconds > 1e6 ? 1000000000 : (DWORD)(seconds * 1e3 + 1);
    DWORD which = WaitForMultipleObjects((DWORD)waiting + 1, handles, FALSE, limit);
    if (which <= WAIT_OBJECT_0 || which > WAIT_OBJECT_0 + waiting) return NULL;
    saros_child *child = children[which - WAIT_OBJECT_0 - 1];
    ended(child);
    return child;
}

const saros_child_end *saros_child_result(const saros_child *child) { return &child->end; }

void saros_child_kill(saros_child *child) {
    if (child->process != NULL) TerminateJobObject(child->job, 1);
}

void saros_child_free(saros_child *child) {
    if (child->process != NULL) {
        saros_child_kill(child);
        CloseHandle(child->process);
    }
    if (child->job != NULL) CloseHandle(child->job);
    if (child->output != INVALID_HANDLE_VALUE) CloseHandle(child->output);
    free(child->kept);
    free(child);
}

/* ---- about this program --------------------------------------------------------------------------------------- */

bool saros_child_counts_calls(void) { return false; }

const char *saros_child_program(const char *given_name, char *buffer, size_t size) {
    DWORD length = GetModuleFileNameA(NULL, buffer, (DWORD)size);
    return length > 0 && length < size ? buffer : given_name;
}

unsigned saros_child_cores(void) {
    SYSTEM_INFO info;
    GetSystemInfo(&info);
    return info.dwNumberOfProcessors > 0 ? (unsigned)info.dwNumberOfProcessors : 1;
}

bool saros_child_terminal(int descriptor) { return _isatty(descriptor) != 0; }
