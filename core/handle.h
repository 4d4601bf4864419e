/* handle.h: what differs between systems before any driver comes into play: what an open thing is called, and how a
 * function is made visible outside a shared library.
 *
 * Promises: SAROS_NO_HANDLE is never a valid value on any system. */
#ifndef SAROS_HANDLE_H
#define SAROS_HANDLE_H

#include <stdint.h>

#ifdef _WIN32
#define SAROS_API
typedef intptr_t saros_os_handle; /* a SOCKET or HANDLE; INVALID_SOCKET is all ones as well */
#else
#define SAROS_API __attribute__((visibility("default")))
typedef int saros_os_handle; /* a descriptor */
#endif

#define SAROS_NO_HANDLE ((saros_os_handle)-1)

#endif
