/* error.h: every error that Saros can tell, in one table.
 *
 * Owns the list of codes with their names and texts, and what the operating system calls them.
 * Promises: a code means the same on every platform and driver, and numbers are never reused. */
#ifndef SAROS_ERROR_H
#define SAROS_ERROR_H

/* X(name, code, POSIX errno or 0, Windows code or 0, text) */
#define SAROS_ERRORS(X)                                                       \
    /* what only Saros says */                                                \
    X(ECLOSED, -1, 0, 0, "closed")                                            \
    X(EEOF, -2, 0, 38, "end of stream")                                       \
    X(ELIMIT, -3, 0, 0, "limit reached")                                      \
    X(EDEADLOCK, -4, 0, 0, "deadlock: nothing can wake what waits")           \
    X(EUNKNOWN, -5, 0, 0, "unknown error")                                    \
    X(ENAME, -6, 0, 11001, "no such name")                                    \
    X(EBROKEN, -7, 0, 0, "broken")                                            \
    /* what the system says */                                                \
    X(ECANCELED, -10, ECANCELED, 995, "canceled")                             \
    X(ETIMEDOUT, -11, ETIMEDOUT, 10060, "timed out")                          \
    X(EAGAIN, -12, EAGAIN, 10035, "would block")                              \
    X(EBUSY, -13, EBUSY, 170, "busy")                                         \
    X(EINTR, -14, EINTR, 10004, "interrupted")                                \
    X(EINVAL, -15, EINVAL, 10022, "invalid argument")                         \
    X(ENOMEM, -16, ENOMEM, 8, "not enough memory")                            \
    X(ENOSYS, -17, ENOSYS, 120, "not supported by this driver or system")     \
    X(EMFILE, -18, EMFILE, 10024, "too many open files in this process")      \
    X(ENFILE, -19, ENFILE, 0, "too many open files in the system")            \
    X(ENOBUFS, -20, ENOBUFS, 10055, "no buffer space")                        \
    X(EACCES, -21, EACCES, 10013, "permission denied")                        \
    X(EPERM, -22, EPERM, 1314, "operation not permitted")                     \
    X(EBADF, -23, EBADF, 6, "bad descriptor")                                 \
    X(ENOTSOCK, -24, ENOTSOCK, 10038, "not a socket")                         \
    X(EIO, -25, EIO, 1117, "input/output error")                              \
    X(EFAULT, -26, EFAULT, 10014, "bad address in memory")                    \
    /* sockets */                                                             \
    X(ECONNREFUSED, -30, ECONNREFUSED, 10061, "connection refused")           \
    X(ECONNRESET, -31, ECONNRESET, 10054, "connection reset by peer")         \
    X(ECONNABORTED, -32, ECONNABORTED, 10053, "connection aborted")           \
    X(EPIPE, -33, EPIPE, 10058, "broken pipe")                                \
    X(ENOTCONN, -34, ENOTCONN, 10057, "not connected")                        \
    X(EISCONN, -35, EISCONN, 10056, "already connected")                      \
    X(EADDRINUSE, -36, EADDRINUSE, 10048, "address already in use")           \
    X(EADDRNOTAVAIL, -37, EADDRNOTAVAIL, 10049, "address not available")      \
    X(EAFNOSUPPORT, -38, EAFNOSUPPORT, 10047, "address family not supported") \
    X(ENETUNREACH, -39, ENETUNREACH, 10051, "network unreachable")            \
    X(EHOSTUNREACH, -40, EHOSTUNREACH, 10065, "host unreachable")             \
    X(ENETDOWN, -41, ENETDOWN, 10050, "network down")                         \
    X(EHOSTDOWN, -42, EHOSTDOWN, 10064, "host down")                          \
    X(EMSGSIZE, -43, EMSGSIZE, 10040, "message too long")                     \
    X(EOPNOTSUPP, -44, EOPNOTSUPP, 10045, "operation not supported")          \
    X(EPROTO, -45, EPROTO, 0, "protocol error")                               \
    X(EPROTONOSUPPORT, -46, EPROTONOSUPPORT, 10043, "protocol not supported") \
    X(ESHUTDOWN, -47, ESHUTDOWN, 0, "shut down")                              \
    X(EDESTADDRREQ, -48, EDESTADDRREQ, 10039, "destination address required") \
    /* TLS */                                                                 \
    X(ETLS, -90, 0, 0, "TLS has failed")                                      \
    X(ECERT, -91, 0, 0, "the certificate is not accepted")                    \
    X(ETRUNCATED, -92, 0, 0, "ended without close-notify of TLS")             \
    /* files and processes */                                                 \
    X(ENOENT, -60, ENOENT, 2, "no such file or directory")                    \
    X(EEXIST, -61, EEXIST, 183, "file exists")                                \
    X(ENOTDIR, -62, ENOTDIR, 267, "not a directory")                          \
    X(EISDIR, -63, EISDIR, 0, "is a directory")                               \
    X(ENOTEMPTY, -64, ENOTEMPTY, 145, "directory not empty")                  \
    X(ENAMETOOLONG, -65, ENAMETOOLONG, 206, "name too long")                  \
    X(ENOSPC, -66, ENOSPC, 112, "no space left on device")                    \
    X(EDQUOT, -67, EDQUOT, 0, "disk quota exceeded")                          \
    X(EFBIG, -68, EFBIG, 0, "file too large")                                 \
    X(EROFS, -69, EROFS, 19, "read-only file system")                         \
    X(EXDEV, -70, EXDEV, 17, "not on the same device")                        \
    X(ELOOP, -71, ELOOP, 0, "too many symbolic links")                        \
    X(ENODEV, -72, ENODEV, 0, "no such device")                               \
    X(ENXIO, -73, ENXIO, 0, "no such device or address")                      \
    X(ESPIPE, -74, ESPIPE, 0, "not seekable")                                 \
    X(ESRCH, -75, ESRCH, 0, "no such process")                                \
    X(ECHILD, -76, ECHILD, 0, "no such child process")                        \
    X(E2BIG, -77, E2BIG, 0, "argument list too long")                         \
    X(ENOTTY, -78, ENOTTY, 0, "not a terminal")                               \
    X(ENOEXEC, -79, ENOEXEC, 193, "not a program")                            \
    X(ETXTBSY, -80, ETXTBSY, 0, "a program that runs, or a file that is being written")

enum saros_error {
#define SAROS_ERROR_CODE(name, code, posix, windows, text) SAROS_##name = (code),
    SAROS_ERRORS(SAROS_ERROR_CODE)
#undef SAROS_ERROR_CODE
};

#endif
