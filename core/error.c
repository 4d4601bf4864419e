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

/* A chain of comparisons and not a switch: on some systems two names share one number (EAGAIN and EWOULDBLOCK,
 * EDEADLK and EDEADLOCK), and the order of the table decides. Errors are rare, so the walk costs nothing. */
int saros_error_from_os(int number) {
#ifdef _WIN32
#define TRY(name, code, posix, windows, text) \
    if ((windows) != 0 && number == (windows)) return code;
#else
#define TRY(name, code, posix, windows, text) \
    if ((posix) != 0 && number == (posix)) return code;
    if (number == EWOULDBLOCK) return SAROS_EAGAIN;
#endif
    SAROS_ERRORS(TRY)
#undef TRY
    return SAROS_EUNKNOWN;
}
