/* winseam.h: the calls that a completion port needs, counted and made to fail; and packets that say something else.
 *
 * A program that uses this gets its own CancelIoEx, WSARecv, … in place of the system's, for Windows only. They make
 * the real call, unless told otherwise. What an emulated Windows forgives and the real one does not can be checked so. */
#ifndef WINSEAM_H
#define WINSEAM_H
#ifdef _WIN32

#include <winsock2.h>

#include "support/sockets.h"

enum win_call {
    WIN_STARTUP,
    WIN_CLEANUP,
    WIN_PORT,  /* CreateIoCompletionPort, a new one and one more socket on it */
    WIN_IOCTL, /* WSAIoctl */
    WIN_SOCKET,
    WIN_MODES,   /* SetFileCompletionNotificationModes */
    WIN_CONTEXT, /* setsockopt SO_UPDATE_ACCEPT_CONTEXT and SO_UPDATE_CONNECT_CONTEXT */
    WIN_ACCEPT,  /* AcceptEx */
    WIN_RECV,    /* WSARecv */
    WIN_SEND,    /* WSASend, not send */
    WIN_CANCEL,  /* CancelIoEx */
    WIN_WAIT,    /* GetQueuedCompletionStatusEx; WAIT_TIMEOUT: it has nothing */
    WIN_POST,    /* PostQueuedCompletionStatus */
    WIN_CALLS
};

extern struct winseam {
    struct {
        size_t calls;
        DWORD  error; /* the number … */
        size_t times; /* … of so many calls from here on */
    } of[WIN_CALLS];
    LONG        status;              /* an NTSTATUS … */
    DWORD       moved;               /* … and a count of bytes, that … */
    size_t      packets;             /* … so many packets of operations will have from here on */
    bool        foreign;             /* sockets are a layered provider's, no handles of the kernel */
    int         open;                /* sockets and ports that the driver has opened, and not closed */
    size_t      accepted, connected; /* how often each context was updated */
    SOCKET      listener;            /* the one that was named at the last one's */
    int         family;              /* of the last socket that AcceptEx was given */
    OVERLAPPED *overlapped;          /* of the last WSARecv */
    ULONG       length;              /* of the last WSASend */
    DWORD       milliseconds;        /* of the last wait */
} winseam;

void winseam_reset(void);
/* The next `times` calls fail with `error`. */
void winseam_fail(enum win_call call, DWORD error, size_t times);
/* The next `packets` operations that end say `status`, and that `moved` bytes were moved. */
void winseam_say(LONG status, DWORD moved, size_t packets);

/* NTSTATUS, as packets have them; behind each the number that it becomes. */
enum {
    WIN_TIMED_OUT = (int)0xC00000B5,
    WIN_CANCELLED = (int)0xC0000120,    /* 995 */
    WIN_ABORTED = (int)0xC0000241,      /* 1236 */
    WIN_CLOSED = (int)0x8000000A,       /* 676 */
    WIN_RESET = (int)0xC000020D,        /* 64 */
    WIN_REFUSED = (int)0xC0000236,      /* 1225 */
    WIN_UNREACHABLE = (int)0xC000023C,  /* 1231 */
    WIN_DISCONNECTED = (int)0xC000020C, /* 1229 */
};

/* A test of a world on a seam that is fresh, and one that opens its loops itself. */
int winseam_setup(void **state);
int winseam_bare(void **state);
int winseam_teardown(void **state); /* fails where a socket or port is left as well */
#define WINSEAM_TEST(test) WORLD_CASE(test, world_run, winseam_setup, winseam_teardown)
#define WINSEAM_BARE(test) WORLD_CASE(test, world_run, winseam_bare, winseam_teardown)

/* Three messages, of which one is waited for, one is there already, and one is lent: the pair is as it should be. */
void talk(world *w, pair *p);

#endif
#endif
