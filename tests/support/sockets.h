/* sockets.h: connections for tests, through the loop or past it.
 *
 * A raw socket is one that the loop knows nothing of: a blocking descriptor, for peers that must do what no loop would.
 * Where the driver's world is simulated, it is a socket of that world (sim_peer.h).
 * Everything is on this machine: 127.0.0.1, ::1 and abstract or named Unix sockets; on Windows
 * TCP stands in for those, and a socket is an int there too, as handles have 32 bits that count. */
#ifndef SOCKETS_H
#define SOCKETS_H

#include "support/support.h"

/* Skips a test of what only they have. */
void need_unix_sockets(world *w);

/* A listener at a port or name of its own, whose address is filled in. */
void listen_at(world *w, saros_handle *listener, saros_address *address, int family);
void close_now(world *w, saros_handle *handle); /* and wait until that is told */
void open_two(world *w, saros_handle ends[2]);  /* a pair */
void close_two(world *w, saros_handle ends[2]); /* those of them that are open */

typedef struct pair {
    saros_handle  listener, client, server;
    saros_address address; /* the listener's */
} pair;

void pair_open(world *w, pair *p, int family);
/* The server's end is the loop's, the client's end is raw, and returned. */
int  pair_raw(world *w, pair *p, int family);
void pair_close(world *w, pair *p); /* what is still open of it */

int    raw_socket(int family);
int    raw_connect(const saros_address *address);
int    raw_connect_begin(const saros_address *address); /* does not wait for the answer */
int    raw_listen(saros_address *address, int family, int backlog);
void   raw_close(saros_os_handle fd);
int    raw_copy(saros_os_handle fd); /* another number of the same socket, as a child process would have it */
void   raw_never_wait(int fd);
bool   raw_never_waits(int fd);
bool   raw_is_ours_alone(int fd);                        /* child processes do not have it */
void   raw_end(int fd);                                  /* sends no more */
void   raw_reset(int fd);                                /* closes so that the peer sees a reset */
void   raw_write(int fd, const void *data, size_t size); /* all of it */
void   raw_read(int fd, void *buffer, size_t size);      /* exactly so much */
size_t raw_read_some(int fd, void *buffer, size_t size); /* at least a byte */
bool   raw_ended(int fd);                                /* Has the peer ended the connection? Waits for it. */
bool   raw_has(const saros_handle *handle, size_t size); /* are that many bytes there to be received? */
/* Takes bytes that are there from under the loop. */
void raw_steal(const saros_handle *handle, void *buffer, size_t size);

/* Is this not a Windows but Wine, which tells it by a function of its own? */
bool under_wine(void);

/* Sends until the kernel takes no more: then send_op is left in flight. */
void fill_up(world *w, told *send_op, saros_handle *handle);
/* Does all of it, in as many operations as it takes; the number of operations. */
int send_all(world *w, saros_handle *handle, const void *data, size_t size);
int recv_all(world *w, saros_handle *handle, void *buffer, size_t size);

#endif
