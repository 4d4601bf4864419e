/* test_double.h: what the two halves of the double's test share: a kqueue, a connected pair of sockets, and ways to ask
 * it something. */
#ifndef TEST_DOUBLE_H
#define TEST_DOUBLE_H

#include "sys/event.h"

#include "support/support.h"

enum { MANY = 8 };

extern struct bench {
    int           kq, ours, theirs;
    struct kevent got[MANY];
} at;

extern const struct timespec at_once, soon, patience;

/* Opens the kqueue, in some modes, and the pair; 0. And closes what is still open of them. */
int begin_in(const char *modes);
int end(void **state);

/* Makes one change, with a list of the length of the changes; what its record says, 0 or an errno. */
int change(int fd, uint32_t filter, uint32_t action, intptr_t udata);
/* How many events there are, in at.got: now; or as soon as there are any. */
int look(void);
int look_for_long(void);
/* How long a wait for nothing takes. */
saros_time time_of(struct timespec timeout);

void put(int fd, const char *text);
void tcp_pair(int *listener, int ends[2]);
void close_three(int listener, const int ends[2]);
/* A socket whose connect is refused, now or soon. */
int refused_connect(void);

int test_oddities(void);

#endif
