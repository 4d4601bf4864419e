/* winseam.c: see winseam.h.
 *
 * A call into a DLL goes through a pointer, __imp_NAME, which the linker takes from a library of such pointers where
 * nobody else has it. Here somebody has it. */
#ifdef _WIN32
#include <stdbool.h>
#include <string.h>

#include "support/winseam.h"

#include <mswsock.h> /* behind winsock2.h */

struct winseam winseam;

void winseam_reset(void) { memset(&winseam, 0, sizeof winseam); }

void winseam_fail(enum win_call call, DWORD error, size_t times) {
    winseam.of[call].error = error;
    winseam.of[call].times = times;
}

void winseam_say(LONG status, DWORD moved, size_t packets) {
    winseam.status = status;
    winseam.moved = moved;
    winseam.packets = packets;
}

/* Counts; true: the call is to fail, and the last error is set. */
static bool fails(enum win_call call) {
    winseam.of[call].calls++;
    if (winseam.of[call].times == 0) return false;
    winseam.of[call].times--;
    SetLastError(winseam.of[call].error); /* it is WSAGetLastError's as well */
    return true;
}

/* The system's own function. */
#define REAL(dll, name) ((__typeof__(&name))(void *)GetProcAddress(GetModuleHandleA(#dll), #name))
/* From here on `name` is seam_name in this program; also for a linker that optimizes, which looks for the bare name. */
#define INSTEAD(name)                             \
    __typeof__(&name) __imp_##name = seam_##name; \
    __asm__(".globl " #name "\n.set " #name ", seam_" #name)

static int WINAPI seam_WSAStartup(WORD version, WSADATA *about) {
    return fails(WIN_STARTUP) ? (int)winseam.of[WIN_STARTUP].error : REAL(ws2_32, WSAStartup)(version, about);
}
INSTEAD(WSAStartup);

static int WINAPI seam_WSACleanup(void) {
    fails(WIN_CLEANUP);
    return REAL(ws2_32, WSACleanup)();
}
INSTEAD(WSACleanup);

static HANDLE        the_port;
static HANDLE WINAPI seam_CreateIoCompletionPort(HANDLE file, HANDLE port, ULONG_PTR key, DWORD threads) {
    if (fails(WIN_PORT)) return NULL;
    HANDLE made = REAL(kernel32, CreateIoCompletionPort)(file, port, key, threads);
    if (port == NULL && made != NULL) the_port = made, winseam.open++;
    return made;
}
INSTEAD(CreateIoCompletionPort);

static BOOL WINAPI seam_CloseHandle(HANDLE handle) {
    if (handle == the_port) the_port = NULL, winseam.open--;
    return REAL(kernel32, CloseHandle)(handle);
}
INSTEAD(CloseHandle);

static SOCKET WINAPI seam_WSASocketW(int family, int type, int protocol, WSAPROTOCOL_INFOW *info, GROUP group,
                                     DWORD flags) {
    if (fails(WIN_SOCKET)) return INVALID_SOCKET;
    SOCKET made = REAL(ws2_32, WSASocketW)(family, type, protocol, info, group, flags);
    winseam.open += made != INVALID_SOCKET;
    return made;
}
INSTEAD(WSASocketW);

static int WINAPI seam_closesocket(SOCKET s) {
    int error = REAL(ws2_32, closesocket)(s);
    winseam.open -= error == 0;
    return error;
}
INSTEAD(closesocket);

static BOOL WINAPI seam_SetFileCompletionNotificationModes(HANDLE file, UCHAR flags) {
    return !fails(WIN_MODES) && REAL(kernel32, SetFileCompletionNotificationModes)(file, flags);
}
INSTEAD(SetFileCompletionNotificationModes);

static int WINAPI seam_setsockopt(SOCKET s, int level, int name, const char *value, int size) {
    bool accepted = name == SO_UPDATE_ACCEPT_CONTEXT, connected = name == SO_UPDATE_CONNECT_CONTEXT;
    if (level == SOL_SOCKET && (accepted || connected)) {
        if (fails(WIN_CONTEXT)) return SOCKET_ERROR;
        winseam.accepted += accepted;
        winseam.connected += connected;
        if (accepted && size == sizeof winseam.listener) memcpy(&winseam.listener, value, sizeof winseam.listener);
    }
    return REAL(ws2_32, setsockopt)(s, level, name, value, size);
}
INSTEAD(setsockopt);

static int WINAPI seam_getsockopt(SOCKET s, int level, int name, char *value, int *size) {
    int error = REAL(ws2_32, getsockopt)(s, level, name, value, size);
    if (winseam.foreign && level == SOL_SOCKET && name == SO_PROTOCOL_INFOW)
        ((WSAPROTOCOL_INFOW *)(void *)value)->dwServiceFlags1 &= ~(DWORD)XP1_IFS_HANDLES;
    return error;
}
INSTEAD(getsockopt);

static LPFN_ACCEPTEX real_accept;
static BOOL WINAPI   seam_accept(SOCKET listener, SOCKET fresh, void *names, DWORD room, DWORD ours, DWORD theirs,
                                 DWORD *moved, OVERLAPPED *overlapped) {
      WSAPROTOCOL_INFOW info = {0};
      int               size = sizeof info;
      getsockopt(fresh, SOL_SOCKET, SO_PROTOCOL_INFOW, (char *)&info, &size);
      winseam.family = info.iAddressFamily;
      return !fails(WIN_ACCEPT) && real_accept(listener, fresh, names, room, ours, theirs, moved, overlapped);
}

static int WINAPI seam_WSAIoctl(SOCKET s, DWORD code, void *in, DWORD in_size, void *out, DWORD out_size, DWORD *moved,
                                OVERLAPPED *overlapped, LPWSAOVERLAPPED_COMPLETION_ROUTINE routine) {
    const GUID accept_id = WSAID_ACCEPTEX;
    if (fails(WIN_IOCTL)) return SOCKET_ERROR;
    int error = REAL(ws2_32, WSAIoctl)(s, code, in, in_size, out, out_size, moved, overlapped, routine);
    if (error == 0 && code == SIO_GET_EXTENSION_FUNCTION_POINTER && memcmp(in, &accept_id, sizeof accept_id) == 0) {
        LPFN_ACCEPTEX ours = seam_accept;
        memcpy(&real_accept, out, sizeof real_accept);
        memcpy(out, &ours, sizeof ours);
    }
    return error;
}
INSTEAD(WSAIoctl);

static int WINAPI seam_WSARecv(SOCKET s, WSABUF *buffers, DWORD count, DWORD *moved, DWORD *flags,
                               OVERLAPPED *overlapped, LPWSAOVERLAPPED_COMPLETION_ROUTINE routine) {
    if (fails(WIN_RECV)) return SOCKET_ERROR;
    winseam.overlapped = overlapped;
    return REAL(ws2_32, WSARecv)(s, buffers, count, moved, flags, overlapped, routine);
}
INSTEAD(WSARecv);

static int WINAPI seam_WSASend(SOCKET s, WSABUF *buffers, DWORD count, DWORD *moved, DWORD flags,
                               OVERLAPPED *overlapped, LPWSAOVERLAPPED_COMPLETION_ROUTINE routine) {
    if (fails(WIN_SEND)) return SOCKET_ERROR;
    winseam.length = buffers->len;
    return REAL(ws2_32, WSASend)(s, buffers, count, moved, flags, overlapped, routine);
}
INSTEAD(WSASend);

static BOOL WINAPI seam_CancelIoEx(HANDLE file, OVERLAPPED *overlapped) {
    return !fails(WIN_CANCEL) && REAL(kernel32, CancelIoEx)(file, overlapped);
}
INSTEAD(CancelIoEx);

static BOOL WINAPI seam_GetQueuedCompletionStatusEx(HANDLE port, OVERLAPPED_ENTRY *entries, ULONG room, ULONG *count,
                                                    DWORD milliseconds, BOOL alertable) {
    winseam.milliseconds = milliseconds;
    if (fails(WIN_WAIT)) return FALSE;
    if (!REAL(kernel32, GetQueuedCompletionStatusEx)(port, entries, room, count, milliseconds, alertable)) return FALSE;
    for (ULONG i = 0; i < *count && winseam.packets > 0; i++) {
        if (entries[i].lpOverlapped == NULL) continue; /* a wake-up */
        entries[i].lpOverlapped->Internal = (ULONG_PTR)(ULONG)winseam.status;
        entries[i].lpOverlapped->InternalHigh = entries[i].dwNumberOfBytesTransferred = winseam.moved;
        winseam.packets--;
    }
    return TRUE;
}
INSTEAD(GetQueuedCompletionStatusEx);

static BOOL WINAPI seam_PostQueuedCompletionStatus(HANDLE port, DWORD moved, ULONG_PTR key, OVERLAPPED *overlapped) {
    return !fails(WIN_POST) && REAL(kernel32, PostQueuedCompletionStatus)(port, moved, key, overlapped);
}
INSTEAD(PostQueuedCompletionStatus);

/* ---- for tests -------------------------------------------------------------------------------------------------- */

int winseam_setup(void **state) {
    winseam_reset();
    return world_setup(state);
}

int winseam_bare(void **state) {
    winseam_reset();
    return world_bare(state);
}

int winseam_teardown(void **state) {
    bool ended = ((const world *)*state)->ended;
    int  wrong = world_teardown(state);
    if (ended && winseam.open != 0) wrong = -1, print_error("%d sockets and ports were left open\n", winseam.open);
    return wrong;
}

void talk(world *w, pair *p) {
    told receive = {0};
    char buffer[13];
    start(w, &receive, SAROS_OP_RECV, &p->server, buffer, 10);
    send_all(w, &p->client, "abc", 3);
    assert_int_equal(await(w, &receive), 3);
    send_all(w, &p->client, "de", 2);
    waits_during(w, 2 * MILLISECOND);
    assert_int_equal(perform(w, SAROS_OP_RECV, &p->server, buffer + 3, 10), 2);
    assert_memory_equal(buffer, "abcde", 5);
    start(w, &receive, SAROS_OP_RECV, &p->server, NULL, 0);
    send_all(w, &p->client, "f", 1);
    assert_int_equal(await(w, &receive), 1);
    assert_int_equal(*saros_lent(w->loop), 'f');
}
#endif
