/* posix_path.c: the files of Unix sockets.
 *
 * What is wrong with them: bind(2) makes a file that nothing ever removes. So a server that comes again finds its address
 * in use; and one that removes the file by its name may remove that of another, who has the address by now.
 * Here a file goes only if nobody listens at it, or if it is the very one that our bind has made. Owns nothing. */
#include <sys/stat.h>
#include <unistd.h>

#include "backends/sockaddr.h"
#include "backends/socket_try.h"

/* Which file that is, as a number; 0: no socket's. */
static uintptr_t identify(const char *path) {
    struct stat file;
    if (lstat(path, &file) < 0 || !S_ISSOCK(file.st_mode)) return 0;
    return ((uintptr_t)file.st_ino ^ (uintptr_t)file.st_dev << 20) | 1;
}

static bool is_path(const saros_address *address) {
    return address->family == SAROS_UNIX && address->length > 0 && address->at.path[0] != 0;
}

void saros_path_clear(const saros_address *address) {
    saros_os_handle fd;
    saros_sockaddr  name;
    if (!is_path(address)) return;
    saros_to_sockaddr(address, &name);
    uintptr_t file = identify(name.un.sun_path);
    if (file == 0) return;
    int error = saros_try_connect(&fd, address, NULL);
    if (error == 0) saros_try_close(fd);
    else if (error == SAROS_ECONNREFUSED && identify(name.un.sun_path) == file) unlink(name.un.sun_path);
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
