/* iocp_afd.c: see iocp_afd.h.
 *
 * What is wrong with it, and how this copes: it is not documented, but has been the same since Windows Vista, and too much
 * stands on it for it to change. It knows the kernel's sockets only: where a layered provider stands in between, the socket
 * below is asked for. It tells of more than was asked for, a connection's end for one, and a moment earlier or later than
 * Winsock's own calls: so whoever is told asks WSAPoll what holds, and begins again where nothing does. */
#include "backends/iocp_afd.h"

#include <winternl.h>

#include <mswsock.h> /* behind winsock2.h */

enum { IOCTL_AFD_POLL = 0x00012024 };
enum { RECEIVE = 1, SEND = 4, DISCONNECT = 8, ABORT = 16, LOCAL_CLOSE = 32, ACCEPT = 128, CONNECT_FAIL = 256 };

int saros_afd_open(HANDLE *afd, HANDLE port) {
    static const wchar_t path[] = L"\\Device\\Afd\\Saros"; /* what is behind the second part is anybody's choice */
    UNICODE_STRING       name = {sizeof path - sizeof *path, sizeof path, (wchar_t *)(uintptr_t)path};
    OBJECT_ATTRIBUTES    about = {.Length = sizeof about, .ObjectName = &name};
    IO_STATUS_BLOCK      done;
    NTSTATUS status = NtCreateFile(afd, SYNCHRONIZE, &about, &done, NULL, 0, FILE_SHARE_READ | FILE_SHARE_WRITE,
                                   1 /* FILE_OPEN */, 0, NULL, 0);
    if (status != 0) return SAROS_ENOSYS;
    if (CreateIoCompletionPort(*afd, port, 0, 0) != NULL &&
        SetFileCompletionNotificationModes(*afd, FILE_SKIP_SET_EVENT_ON_HANDLE))
        return 0;
    int error = saros_error_from_os((int)GetLastError());
    CloseHandle(*afd);
    return error;
}

static SOCKET base_of(SOCKET s) {
    SOCKET base;
    DWORD  size;
    int    error = WSAIoctl(s, SIO_BASE_HANDLE, NULL, 0, &base, sizeof base, &size, NULL, NULL);
    return error == 0 ? base : s;
}

int saros_afd_begin(HANDLE afd, OVERLAPPED *overlapped, saros_afd_poll *poll, SOCKET s, unsigned wanted) {
    *poll = (saros_afd_poll){.timeout.QuadPart = INT64_MAX, .count = 1, .handle = (HANDLE)base_of(s)};
    poll->events = ABORT | LOCAL_CLOSE | CONNECT_FAIL;
    if (wanted & SAROS_READABLE) poll->events |= RECEIVE | DISCONNECT | ACCEPT;
    if (wanted & SAROS_WRITABLE) poll->events |= SEND;
    IO_STATUS_BLOCK *done = (IO_STATUS_BLOCK *)(void *)overlapped; /* with which it begins */
    done->Status = (LONG)STATUS_PENDING;
    NTSTATUS status = NtDeviceIoControlFile(afd, NULL, NULL, overlapped, done, IOCTL_AFD_POLL, poll, sizeof *poll, poll,
                                            sizeof *poll);
    if (status == (LONG)STATUS_PENDING) return WSA_IO_PENDING;
    return status == 0 ? 0 : SAROS_EBADF; /* what is no socket any more */
}
