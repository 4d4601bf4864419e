/* child.h: children of this program: started, watched, measured, ended. For the host's own commands only.
 *
 * child_posix.c and child_windows.c are each the whole of it on their systems; the build chooses one. A child's standard
 * input is empty. Its output is kept, the last part of it, or shown on our standard error. What a child has started
 * itself is ended with it. All for one thread. */
#ifndef SAROS_CHILD_H
#define SAROS_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct saros_child saros_child;

typedef struct saros_child_plan {
    const char *program; /* what to run: saros_child_program's */
    char      **words;   /* its arguments, the first one being what it is called; NULL at the end */
    bool        show;    /* its output goes to our standard error instead of being kept */
    bool        calls;   /* count its system calls: only with no other child beside it, and it is slow then */
    bool        fixed;   /* its memory is at the same addresses each time, where the system can do that */
} saros_child_plan;

typedef struct saros_child_end {
    int         code;         /* its exit code; -1: a signal ended it */
    int         signal;       /* 0: it ended by itself */
    double      wall;         /* seconds from its start to its end, the start of a process included */
    double      user, system; /* seconds of CPU */
    double      peak;         /* the most memory that it had at a time, in bytes; 0: the system does not say */
    int64_t     calls;        /* system calls, those of its threads and children included; -1: not counted */
    const char *why;          /* it could not run, or its calls not be counted, because …; NULL: all is well */
    const char *output;       /* the end of what it wrote; the child's, until saros_child_free */
    size_t      length;
    bool        cut; /* it wrote more */
} saros_child_end;

/* Once, before the first start: interrupts are noted from here on instead of ending this program. */
void saros_child_prepare(void);
/* The signal that has asked this program to end, or 0. */
int saros_child_interrupted(void);

/* NULL, with the reason in why. */
saros_child *saros_child_start(const saros_child_plan *plan, char *why, size_t size);
/* Waits until one of the children has ended, and returns it; NULL: the seconds are over, or we were interrupted. */
saros_child *saros_child_wait(saros_child **children, size_t count, double seconds);
/* What came of a child that saros_child_wait has returned. */
const saros_child_end *saros_child_result(const saros_child *child);
/* Ends it at once, with all that it has started; saros_child_wait returns it in due course. */
void saros_child_kill(saros_child *child);
/* Also of one that runs: it is ended first. */
void saros_child_free(saros_child *child);

/* Can system calls be counted on this system at all? */
bool saros_child_counts_calls(void);
/* Where this program's file is; given_name (argv[0]) where the system does not say. */
const char *saros_child_program(const char *given_name, char *buffer, size_t size);
unsigned    saros_child_cores(void);
/* Is this descriptor, 1 or 2, a terminal? */
bool   saros_child_terminal(int descriptor);
double saros_child_clock(void); /* seconds, never goes back */

#endif
