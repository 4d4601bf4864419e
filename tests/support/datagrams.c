/* datagrams.c: see datagrams.h. */
#include "support/datagrams.h"

#include <string.h>

saros_address loopback(int family) {
    saros_address address = {.family = (uint8_t)family};
    if (family == SAROS_INET) memcpy(address.at.ip, "\x7f\0\0\1", 4);
    else address.at.ip[15] = 1;
    return address;
}

saros_address datagrams_open(world *w, saros_handle *handle, int family) {
    saros_address address = loopback(family);
    *handle = (saros_handle){0};
    assert_result(perform(w, SAROS_OP_DATAGRAM, handle, &address, 0), 0);
    assert_int_not_equal(address.port, 0);
    return address;
}

void both_open(world *w, both *s, int family) {
    s->at_a = datagrams_open(w, &s->a, family);
    s->at_b = datagrams_open(w, &s->b, family);
}

void both_close(world *w, both *s) {
    close_now(w, &s->a);
    close_now(w, &s->b);
}

/* address may be NULL: to the peer. */
int64_t datagram_send(world *w, saros_handle *handle, const saros_address *address, const void *data, size_t size) {
    saros_datagram datagram = {.data = data};
    if (address != NULL) datagram.address = *address;
    return perform(w, SAROS_OP_SENDTO, handle, &datagram, size);
}

saros_datagram got;
char           into[65536];

static void keep_lent(told *t) {
    if (t->result > 0 && t->op.datagram->buffer == NULL) memcpy(into, saros_lent(t->world->loop), (size_t)t->result);
}

void datagram_start(world *w, told *t, saros_handle *handle, bool lent, size_t size) {
    got = (saros_datagram){.buffer = lent ? NULL : into};
    memset(into, '?', sizeof into);
    t->then = keep_lent;
    start(w, t, SAROS_OP_RECVFROM, handle, &got, size);
}

int64_t datagram_receive(world *w, saros_handle *handle, bool lent, size_t size) {
    told t = {0};
    datagram_start(w, &t, handle, lent, size);
    return await(w, &t);
}

void assert_from(const saros_address *address) {
    assert_int_equal(got.address.family, address->family);
    assert_int_equal(got.address.port, address->port);
    assert_memory_equal(got.address.at.ip, address->at.ip, address->family == SAROS_INET ? 4 : 16);
}

int set_option(world *w, saros_handle *handle, int option, int value) {
    saros_setting setting = {.option = option, .value = value};
    return (int)perform(w, SAROS_OP_OPTION, handle, &setting, 0);
}

int set_peer(world *w, saros_handle *handle, const saros_address *peer) {
    saros_setting setting = {.option = SAROS_OPTION_PEER};
    if (peer != NULL) setting.address = *peer;
    return (int)perform(w, SAROS_OP_OPTION, handle, &setting, 0);
}
