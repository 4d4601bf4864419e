/* dump.h: who waits for whom, as a graph of a loop's tasks, for whoever describes it: dump.c, deadlock.c. */
#ifndef SAROS_DUMP_H
#define SAROS_DUMP_H

#include "bindings/lua/tasks/task.h"

enum { SAROS_NOBODY = UINT32_MAX };

typedef struct saros_node {
    saros_task *task;
    uint32_t    first, count;           /* its targets: whom it waits for */
    uint32_t    parent, child, sibling; /* in the tree: the first that waits for it, whom it waits for */
    uint32_t    mark;                   /* of whoever walks; 0 at first */
} saros_node;

typedef struct saros_graph {
    saros_node *nodes; /* oldest task first */
    uint32_t   *targets;
    uint32_t    count;
} saros_graph;

/* Of the tasks that live. Pushes what keeps its memory; good until any task runs. */
saros_graph saros_graph_build(lua_State *L, const saros_rt *rt);
/* Pushes "main (x.lua:3)". */
void saros_push_task_label(lua_State *L, saros_task *task);

#endif
