/* sim_peer.h: raw sockets of a simulated world, for support/sockets.c.
 *
 * They are used past the loop, as a raw descriptor is: with the socket calls of the simulated kernel itself. A call that
 * would block steps the loop meanwhile, because only that lets time pass. Numbers stand for them, far above all
 * descriptors. All are of world_now; when its loop closes they are gone. */
#ifndef SIM_PEER_H
#define SIM_PEER_H

#include "support/support.h"

bool    sim_has(int fd);           /* is it such a number? */
void    sim_pass(saros_time span); /* lets time pass without a step */
int     sim_connect(const saros_address *address, bool wait);
int     sim_listen(saros_address *address, int backlog);
void    sim_close(int fd, bool reset);
void    sim_end(int fd);
int64_t sim_send(int fd, const void *data, size_t size);
int64_t sim_recv(int fd, void *buffer, size_t size);
size_t  sim_there(const saros_handle *handle); /* bytes that wait to be received */
void    sim_steal(const saros_handle *handle, void *buffer, size_t size);

#endif
