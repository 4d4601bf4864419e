/* drivers.c: which drivers there are, and which one a loop gets.
 *
 * Owns the table of all known drivers, compiled in or not, best first.
 * Promises: a single name is forced, a list is a preference in its order, no name is the best that opens; a failure
 * names every driver that was tried, and why it would not do. */
#include <stdio.h>
#include <string.h>

#include "core/loop.h"

#ifdef SAROS_HAVE_EPOLL
extern const saros_driver saros_epoll_driver;
#define EPOLL &saros_epoll_driver
#else
#define EPOLL NULL
#endif
#ifdef SAROS_HAVE_KQUEUE
extern const saros_driver saros_kqueue_driver;
#define KQUEUE &saros_kqueue_driver
#else
#define KQUEUE NULL
#endif
#ifdef SAROS_HAVE_IOCP
extern const saros_driver saros_iocp_driver;
#define IOCP &saros_iocp_driver
#else
#define IOCP NULL
#endif
#ifdef SAROS_HAVE_POLL
extern const saros_driver saros_poll_driver;
#define POLL &saros_poll_driver
#else
#define POLL NULL
#endif
#ifdef SAROS_HAVE_SELECT
extern const saros_driver saros_select_driver;
#define SELECT &saros_select_driver
#else
#define SELECT NULL
#endif
#ifdef SAROS_HAVE_URING
extern const saros_driver saros_uring_driver;
#define URING &saros_uring_driver
#else
#define URING NULL
#endif
#ifdef SAROS_HAVE_UV
extern const saros_driver saros_uv_driver;
#define UV &saros_uv_driver
#else
#define UV NULL
#endif
#ifdef SAROS_HAVE_SIM
extern const saros_driver saros_sim_driver;
#define SIM &saros_sim_driver
#else
#define SIM NULL
#endif
#ifdef SAROS_HAVE_NONE
extern const saros_driver saros_none_driver;
#define NONE &saros_none_driver
#else
#define NONE NULL
#endif

static const struct {
    const char         *name;
    const saros_driver *driver;
    bool                automatic; /* may be chosen without being named */
    const char         *about;
} known[] = {
    {"epoll", EPOLL, true, "Linux epoll"},
    {"kqueue", KQUEUE, true, "BSD and macOS kqueue"},
    {"iocp", IOCP, true, "Windows completion ports"},
    {"poll", POLL, true, "POSIX poll"},
    {"select", SELECT, true, "POSIX and Windows select"},
    {"uring", URING, false, "Linux io_uring"},
    {"uv", UV, false, "libuv"},
    {"sim", SIM, false, "a simulated world: virtual time, a network in memory"},
    {"none", NONE, false, "timers and wake-ups only, no descriptors"},
};
enum { KNOWN = sizeof known / sizeof *known };

bool saros_driver_at(size_t index, saros_driver_info *info) {
    if (index >= KNOWN) return false;
    *info = (saros_driver_info){known[index].name, known[index].driver != NULL, known[index].about};
    return true;
}

static int try_open(saros_loop *loop, const saros_driver *driver) {
    void *state = saros_realloc(loop, NULL, 0, driver->size);
    if (state == NULL) {
        saros_reason(loop, "not enough memory");
        return SAROS_ENOMEM;
    }
    memset(state, 0, driver->size);
    loop->why[0] = 0;
    loop->driver = driver;
    loop->state = state;
    int error = driver->open(state, loop, &loop->config);
    if (error == 0) return 0;
    saros_realloc(loop, state, driver->size, 0);
    loop->driver = NULL;
    if (loop->why[0] == 0) saros_reason(loop, "%s", saros_error_text(error));
    return error;
}

/* Appends "; name: reason" to a list that grows from left to right and is cut where it is full. */
static void remember(char *all, size_t size, const char *name, size_t length, const char *reason) {
    size_t used = strlen(all);
    int    wrote = snprintf(all + used, size - used, "%s%.*s: %s", used > 0 ? "; " : "", length > 0 ? (int)length : 2,
                         length > 0 ? name : "''", reason);
    if (wrote < 0) all[used] = 0; /* an encoding error, which these formats cannot have; cutting is meant */
}

static int choose_automatic(saros_loop *loop, char *all, size_t size) {
    int error = SAROS_ENOSYS;
    for (size_t i = 0; i < KNOWN; i++) {
        if (known[i].driver == NULL || !known[i].automatic) continue;
        if ((error = try_open(loop, known[i].driver)) == 0) return 0;
        remember(all, size, known[i].name, strlen(known[i].name), loop->why);
    }
    return error;
}

static int choose_named(saros_loop *loop, const char *name, size_t length) {
    for (size_t i = 0; i < KNOWN; i++) {
        if (strlen(known[i].name) != length || memcmp(known[i].name, name, length) != 0) continue;
        if (known[i].driver != NULL) return try_open(loop, known[i].driver);
        saros_reason(loop, "not compiled into this build");
        return SAROS_ENOSYS;
    }
    char list[SAROS_WHY / 2] = "";
    for (size_t i = 0; i < KNOWN; i++) {
        size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s%s", i > 0 ? " " : "", known[i].name);
    }
    saros_reason(loop, "no such driver; known are: %s", list);
    return SAROS_EINVAL;
}

int saros_driver_choose(saros_loop *loop, const char *wanted) {
    char all[SAROS_WHY] = "";
    int  error = SAROS_EINVAL;
    if (wanted == NULL) {
        error = choose_automatic(loop, all, sizeof all);
    } else {
        for (const char *name = wanted; error < 0 && name != NULL;) {
            size_t length = strcspn(name, ",");
            if ((error = choose_named(loop, name, length)) == 0) {
                if (all[0] != 0) { /* a fall-back is announced, never silent */
                    char text[SAROS_WHY * 2];
                    snprintf(text, sizeof text, "driver %s is used instead (%s)", loop->driver->name, all);
                    saros_report(loop, text);
                }
                return 0;
            }
            remember(all, sizeof all, name, length, loop->why);
            name = name[length] == ',' ? name + length + 1 : NULL;
        }
    }
    if (error < 0) memcpy(loop->why, all, sizeof all);
    return error;
}
