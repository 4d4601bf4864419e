/* datagrams.h: sockets for datagrams in tests, through the loop. */
#ifndef DATAGRAMS_H
#define DATAGRAMS_H

#include "support/sockets.h"

saros_address loopback(int family);
saros_address datagrams_open(world *w, saros_handle *handle, int family); /* on loopback; where it is */

typedef struct both {
    saros_handle  a, b;
    saros_address at_a, at_b;
} both;

void both_open(world *w, both *s, int family);
void both_close(world *w, both *s);

/* address may be NULL: to the peer. */
int64_t datagram_send(world *w, saros_handle *handle, const saros_address *address, const void *data, size_t size);

extern saros_datagram got;         /* the latest that was asked for, … */
extern char           into[65536]; /* … and what stood in it; question marks behind */
void                  datagram_start(world *w, told *t, saros_handle *handle, bool lent, size_t size);
int64_t               datagram_receive(world *w, saros_handle *handle, bool lent, size_t size);
void                  assert_from(const saros_address *address);

int set_option(world *w, saros_handle *handle, int option, int value);
int set_peer(world *w, saros_handle *handle, const saros_address *peer);

#endif
