/* handle.h: what the operating system calls an open thing.
 *
 * Owns the one difference between a POSIX descriptor (int) and a Windows handle (pointer-sized).
 * Promises: SAROS_NO_HANDLE is never a valid value on any system. */
#ifndef SAROS_HANDLE_H
#define SAROS_HANDLE_H

#include <stdint.h>

#ifdef _WIN32
typedef intptr_t saros_os_handle; /* a SOCKET or HANDLE; INVALID_SOCKET is all ones as well */
#else
typedef int saros_os_handle; /* a descriptor */
#endif

#define SAROS_NO_HANDLE ((saros_os_handle)-1)

#endif
