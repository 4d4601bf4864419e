/* posix_path.c: the files of Unix sockets.
 *
 * What is wrong with them: bind(2) makes a file that nothing ever removes. So a server that comes again finds its address
 * in use; and one that removes the file by its name may remove that of another, who has the address by now.
 * Here a file goes only if nobody listens at it, or if it is the very one that our bind has made. Owns nothing. */
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backends/sockaddr.h"
#include "backends/socket_try.h"

/* Which file that is, as a number; 0: no socket's. */
static uintptr_t identify(const char *path) {
    struct stat file;
    if (lstat(path, &file) < 0 || !S_ISSOCK(file.st_mode)) return 0;
    return ((uintptr_t)file.st_ino ^ (uintptr_t)file.st_dev << 20) << 1 |
           1; /* the next file may have the next number */
}

static bool is_path(const saros_address *address) {
    return address->family == SAROS_UNIX && address->length > 0 && address->at.path[0] != 0;
}

/* A queue that is full is EAGAIN on Linux; on BSD it looks as if nobody listened. */
static bool is_deserted(const saros_sockaddr *name, socklen_t size) {
    saros_os_handle fd;
    if (saros_try_socket(AF_UNIX, SOCK_STREAM, &fd) < 0) return false;
    bool refused = connect(fd, &name->any, size) < 0 && errno == ECONNREFUSED;
    saros_try_close(fd);
    return refused;
}

void saros_path_clear(const saros_address *address) {
    saros_sockaddr name;
    if (!is_path(address)) return;
    socklen_t size = saros_to_sockaddr(address, &name);
    uintptr_t file = identify(name.un.sun_path);
    if (file != 0 && is_deserted(&name, size) && identify(name.un.sun_path) == file) unlink(name.un.sun_path);
}

uintptr_t saros_path_made(const saros_address *address) {
    saros_sockaddr name;
    if (!is_path(address)) return 0;
    saros_to_sockaddr(address, &name);
    return identify(name.un.sun_path);
}

void saros_try_unlink(int fd, uintptr_t file) {
    saros_address  address;
    saros_sockaddr name;
    if (file == 0 || saros_try_name(fd, false, &address) < 0 || !is_path(&address)) return;
    saros_to_sockaddr(&address, &name);
    if (identify(name.un.sun_path) == file) unlink(name.un.sun_path);
}
