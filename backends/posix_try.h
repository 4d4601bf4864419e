/* posix_try.h: one attempt at each socket call, in our words.
 *
 * Owns no state. Every function makes the call once (again only on EINTR), never blocks, and answers with a result,
 * SAROS_EAGAIN where it would have to wait, or another SAROS_E… code. Any thread.
 * Promises: every descriptor made here is non-blocking and closed on exec; no SIGPIPE; TCP sends at once (no Nagle). */
#ifndef SAROS_POSIX_TRY_H
#define SAROS_POSIX_TRY_H

#include "core/driver.h"

saros_time saros_posix_now(void); /* CLOCK_MONOTONIC */

int64_t saros_try_recv(int fd, void *buffer, size_t size);     /* bytes, 0 at the end */
int64_t saros_try_send(int fd, const void *data, size_t size); /* bytes */
int     saros_try_accept(int fd, int *accepted);
int     saros_try_listen(int *fd, saros_address *address, size_t backlog);
int     saros_try_connect(int *fd, const saros_address *address); /* SAROS_EAGAIN: under way, wait for writable */
int     saros_try_connected(int fd);                              /* how that went */
int     saros_try_shutdown(int fd);
int     saros_try_name(int fd, bool peer, saros_address *address);
void    saros_try_close(int fd);

#endif
