/* error.c: the error table made into code.
 *
 * Owns the one translation from the operating system's numbers to ours; everything above speaks only ours.
 * Promises: every number has an answer, unknown ones are SAROS_EUNKNOWN. */
#include <errno.h>

#include "core/saros.h"

const char *saros_error_name(int code) {
    switch (code) {
#define NAME(name, number, posix, windows, text) \
    case number: return #name;
        SAROS_ERRORS(NAME)
#undef NAME
    default: return code >= 0 ? "OK" : "EUNKNOWN";
    }
}

const char *saros_error_text(int code) {
    switch (code) {
#define TEXT(name, number, posix, windows, text) \
    case number: return text;
        SAROS_ERRORS(TEXT)
#undef TEXT
    default: return code >= 0 ? "success" : "unknown error";
    }
}

#ifdef _WIN32
/* Windows has a second number for much that it tells, and a third: its sockets have a range of their own (Winsock's
 * names below), completions of the same sockets speak the other one. The table has the first, here are the rest. */
static int from_other(int number) {
    switch (number) {
    case 3: return SAROS_ENOENT;              /* ERROR_PATH_NOT_FOUND */
    case 4: return SAROS_EMFILE;              /* ERROR_TOO_MANY_OPEN_FILES */
    case 5: return SAROS_EACCES;              /* ERROR_ACCESS_DENIED */
    case 14:                                  /* ERROR_OUTOFMEMORY */
    case 1455: return SAROS_ENOMEM;           /* ERROR_COMMITMENT_LIMIT */
    case 32: return SAROS_EBUSY;              /* ERROR_SHARING_VIOLATION */
    case 50: return SAROS_EOPNOTSUPP;         /* ERROR_NOT_SUPPORTED */
    case 64:                                  /* ERROR_NETNAME_DELETED */
    case 10052: return SAROS_ECONNRESET;      /* WSAENETRESET */
    case 80: return SAROS_EEXIST;             /* ERROR_FILE_EXISTS */
    case 87: return SAROS_EINVAL;             /* ERROR_INVALID_PARAMETER */
    case 109:                                 /* ERROR_BROKEN_PIPE */
    case 232: return SAROS_EPIPE;             /* ERROR_NO_DATA: a pipe is being closed */
    case 121:                                 /* ERROR_SEM_TIMEOUT */
    case 1460: return SAROS_ETIMEDOUT;        /* ERROR_TIMEOUT */
    case 234: return SAROS_EMSGSIZE;          /* ERROR_MORE_DATA */
    case 1225:                                /* ERROR_CONNECTION_REFUSED */
    case 1234: return SAROS_ECONNREFUSED;     /* ERROR_PORT_UNREACHABLE */
    case 1227: return SAROS_EADDRINUSE;       /* ERROR_ADDRESS_ALREADY_ASSOCIATED */
    case 1229: return SAROS_ENOTCONN;         /* ERROR_CONNECTION_INVALID */
    case 1231: return SAROS_ENETUNREACH;      /* ERROR_NETWORK_UNREACHABLE */
    case 1232: return SAROS_EHOSTUNREACH;     /* ERROR_HOST_UNREACHABLE */
    case 1236: return SAROS_ECONNABORTED;     /* ERROR_CONNECTION_ABORTED */
    case 1450: return SAROS_ENOBUFS;          /* ERROR_NO_SYSTEM_RESOURCES */
    case 10009: return SAROS_EBADF;           /* WSAEBADF */
    case 10041: return SAROS_EPROTO;          /* WSAEPROTOTYPE */
    case 10042: return SAROS_EOPNOTSUPP;      /* WSAENOPROTOOPT */
    case 10044: return SAROS_EPROTONOSUPPORT; /* WSAESOCKTNOSUPPORT */
    case 10091: return SAROS_ENETDOWN;        /* WSASYSNOTREADY */
    default: return SAROS_EUNKNOWN;
    }
}
#else
static int from_other(int number) {
    return number == EWOULDBLOCK ? SAROS_EAGAIN : number == ENOPROTOOPT ? SAROS_EOPNOTSUPP : SAROS_EUNKNOWN;
}
#endif

/* A chain of comparisons and not a switch: on some systems two names share one number (EAGAIN and EWOULDBLOCK,
 * EDEADLK and EDEADLOCK), and the order of the table decides. Errors are rare, so the walk costs nothing. */
int saros_error_from_os(int number) {
#ifdef _WIN32
#define TRY(name, code, posix, windows, text) \
    if ((windows) != 0 && number == (windows)) return code;
#else
#define TRY(name, code, posix, windows, text) \
    if ((posix) != 0 && number == (posix)) return code;
#endif
    SAROS_ERRORS(TRY)
#undef TRY
    return from_other(number);
}
