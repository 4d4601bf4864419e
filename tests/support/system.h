/* system.h: the system's calls that tests make past the loop, under their POSIX names.
 *
 * Windows has sockets of the same shape with another close, and no signals, descriptors or fork; tests that need those
 * are left out with NOT_HERE, which says so. */
#ifndef SYSTEM_H
#define SYSTEM_H

#include "core/handle.h"

#ifdef _WIN32
#define WIN32_LEAN_AND_MEAN
#include <winsock2.h>
#include <ws2tcpip.h>
/* behind them */
#include <afunix.h>
#include <unistd.h>
#include <windows.h>
enum { MSG_DONTWAIT = 0, MSG_NOSIGNAL = 0, SOCK_CLOEXEC = 0, SHUT_WR = SD_SEND };
typedef int raw_size; /* of a send or receive */
#define poll(list, count, milliseconds) WSAPoll(list, count, milliseconds)
static inline void system_close(saros_os_handle fd) { closesocket((SOCKET)fd); }
#else
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
typedef size_t     raw_size;
static inline void system_close(saros_os_handle fd) { close(fd); }
#endif

#endif
