/* iocp_afd.h: readiness on a completion port: what select and WSAPoll stand on, asked for as an operation.
 *
 * Winsock itself has no such operation. Its driver, AFD, has: a poll of sockets, which ends with a packet like any other and
 * can be cancelled. libuv, wepoll and mio use it as well. */
#ifndef SAROS_IOCP_AFD_H
#define SAROS_IOCP_AFD_H

#include "backends/sockaddr.h"
#include "core/driver.h"

/* What the driver reads and writes: stays where it is while the poll is under way. */
typedef struct saros_afd_poll {
    LARGE_INTEGER timeout;
    ULONG         count, exclusive;
    HANDLE        handle;
    ULONG         events;
    LONG          status;
} saros_afd_poll;

/* A handle of the driver's, whose polls end at the port; 0, or an error. The caller closes it with CloseHandle. */
int saros_afd_open(HANDLE *afd, HANDLE port);
/* Begins a poll of one socket for enum saros_ready. WSA_IO_PENDING, or 0: a packet follows in both cases; or an error of
 * ours. CancelIoEx(afd, overlapped) cancels it. */
int saros_afd_begin(HANDLE afd, OVERLAPPED *overlapped, saros_afd_poll *poll, SOCKET s, unsigned wanted);

#endif
