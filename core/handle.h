/* handle.h: what differs between systems before any driver comes into play: what an open thing is called, how a
 * function is made visible outside a shared library, how the compiler is told that one is like printf, and how the
 * processor that something will be read soon.
 *
 * Promises: SAROS_NO_HANDLE is never a valid value on any system. */
#ifndef SAROS_HANDLE_H
#define SAROS_HANDLE_H

#include <stdint.h>

#ifdef _WIN32
#define SAROS_API __declspec(dllexport)
typedef intptr_t saros_os_handle; /* a SOCKET or HANDLE; INVALID_SOCKET is all ones as well */
#else
#define SAROS_API __attribute__((visibility("default")))
typedef int saros_os_handle; /* a descriptor */
#endif

/* Checks a function's arguments as printf's: the number of its format, and of the first that belongs to it. */
#if defined __MINGW32__ && defined __GNUC__ && !defined __clang__
#define SAROS_FORMAT(format_at, first_at) __attribute__((format(gnu_printf, format_at, first_at)))
#else
#define SAROS_FORMAT(format_at, first_at) __attribute__((format(printf, format_at, first_at)))
#endif

/* A hint: it will be read soon. Any address will do. */
#ifdef __GNUC__
#define SAROS_FETCH(address) __builtin_prefetch(address)
#else
#define SAROS_FETCH(address) ((void)(address))
#endif

#define SAROS_NO_HANDLE ((saros_os_handle)-1)

#endif
