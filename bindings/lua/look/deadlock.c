/* deadlock.c: what can never be woken: who it is, and who waits for whom in a circle.
 *
 * That nothing can wake anything is the core's to know: nothing flies, no timer, nobody outside holds the loop. For that
 * this file has the words. Circles among some of the tasks it finds itself, while the others go on: whoever closes one, by
 * awaiting a task or asking for an owned lock, is noticed at that moment, and if the circle still stands a little later
 * it is reported, once. What a deadline will end, or an event, a queue or the world may, is no circle.
 * Owns the loop's timer for that. */
#include "bindings/lua/look/dump.h"

enum {
    MOST_LISTED = 10,
    MOST_SHOWN = 100,
    MOST_NAMED = 20,
    MOST_STEPS = 100 /* of a circle that is found early */,
    MOST_DEPTH = 8 /* of gathers */
};

#define PATIENCE (SAROS_SECOND / 20) /* somebody else may be about to cancel one of them */

enum { FRESH, OPEN, DONE }; /* marks */

/* Somebody on a circle, or SAROS_NOBODY. Depth first; a node's parent is who led there, its child the next target. */
static uint32_t find_circle(saros_graph *graph) {
    for (uint32_t i = 0; i < graph->count; i++) graph->nodes[i].mark = FRESH, graph->nodes[i].child = 0;
    for (uint32_t root = 0; root < graph->count; root++) {
        if (graph->nodes[root].mark != FRESH) continue;
        uint32_t at = root;
        graph->nodes[at].mark = OPEN;
        graph->nodes[at].parent = SAROS_NOBODY;
        while (at != SAROS_NOBODY) {
            saros_node *node = &graph->nodes[at];
            if (node->child == node->count) {
                node->mark = DONE;
                at = node->parent;
                continue;
            }
            uint32_t target = graph->targets[node->first + node->child++];
            if (graph->nodes[target].mark == OPEN) { /* closes it: the way back from here to the target is the circle */
                graph->nodes[target].parent = at;
                return target;
            }
            if (graph->nodes[target].mark == DONE) continue;
            graph->nodes[target].mark = OPEN;
            graph->nodes[target].parent = at;
            at = target;
        }
    }
    return SAROS_NOBODY;
}

/* Pushes "a (x.lua:1) waits for b (x.lua:2), which waits for a (x.lua:1)": the way back along the parents. */
static void push_circle(lua_State *L, const saros_graph *graph, uint32_t first) {
    uint32_t at = first;
    int      named = 0;
    saros_push_task_label(L, graph->nodes[first].task);
    do {
        at = graph->nodes[at].parent;
        if (++named == MOST_NAMED && at != first) {
            lua_pushliteral(L, "…");
            at = first;
        } else {
            saros_push_task_label(L, graph->nodes[at].task);
        }
        lua_pushstring(L, at == first ? " waits for " : ", which waits for ");
        lua_rotate(L, -3, 2);
        lua_concat(L, 3);
    } while (at != first);
}

void saros_push_deadlock(lua_State *L, saros_rt *rt) {
    saros_graph graph = saros_graph_build(L, rt);
    uint32_t    somebody = find_circle(&graph);
    lua_pushliteral(L, "deadlock: nothing can wake what waits: ");
    saros_describe_tasks(L, rt, MOST_LISTED, true);
    if (somebody != SAROS_NOBODY) {
        lua_pushliteral(L, "\nin a circle: ");
        push_circle(L, &graph, somebody);
        lua_concat(L, 2);
    } else {
        lua_pushliteral(L, "");
    }
    lua_pushliteral(L, "\n");
    saros_push_dump(L, rt, MOST_SHOWN);
    lua_concat(L, 5);
    lua_replace(L, -2);
}

/* ---- while others live ----------------------------------------------------------------------------------------- */

static bool has_deadline(const saros_task *task) {
    const saros_scope *scope = task->scope;
    while (scope != NULL && scope->tick.deadline == SAROS_FOREVER) scope = scope->parent;
    return scope != NULL;
}

/* Whom a task waits for, and nothing else could wake it. NULL: a deadline will, or it can go on. */
static saros_task *stuck_on(const saros_task *task) {
    if (task == NULL || !task->suspended || task->op.state != SAROS_FLYING || saros_is_cancelled(task)) return NULL;
    if (has_deadline(task)) return NULL;
    saros_task *owner = saros_lock_owner_of(task);
    return owner != NULL ? owner : saros_awaited_task(task);
}

/* protected: somebody (p) on a circle. */
static int report_circle(lua_State *L) {
    saros_task *first = lua_touserdata(L, 1), *task = first;
    lua_pushliteral(L, "deadlock: some tasks wait for each other, and only a cancellation can end it: ");
    saros_push_task_label(L, task);
    lua_concat(L, 2);
    for (int named = 1;; named++) {
        bool lock = saros_lock_owner_of(task) != NULL;
        saros_push_wait(L, task);
        lua_pushstring(L, lock ? " for a lock that " : " for ");
        task = stuck_on(task);
        saros_push_task_label(L, task);
        lua_pushstring(L, lock ? " holds" : "");
        lua_pushstring(L, task != first && named < MOST_NAMED ? ", which" : "");
        lua_concat(L, 6);
        if (task == first || named == MOST_NAMED) break;
    }
    saros_report(first->rt->loop, lua_tostring(L, -1));
    return 0;
}

/* Does the way from `task` lead back to it? `from`: its first step. */
static bool leads_back(const saros_task *task, const saros_task *from) {
    for (int steps = 0; from != NULL && from != task && steps < MOST_STEPS; steps++) from = stuck_on(from);
    return from == task;
}

/* Does one who gathers it, or gathers who gathers it, have a deadline? What a gather, race or the like has started, it ends. */
static bool is_gathered_for_a_time(const saros_task *task) {
    for (int depth = 0; task != NULL && depth < MOST_DEPTH; depth++) {
        const saros_waiter *first = task->is.waiters, *waiter = first;
        for (task = NULL; waiter != NULL; waiter = waiter->next != first ? waiter->next : NULL) {
            const saros_task *by = saros_gathering_task(waiter);
            if (by != NULL && has_deadline(by)) return true;
            if (by != NULL) task = by;
        }
    }
    return false;
}

static bool will_end(const saros_task *circle) {
    const saros_task *task = circle;
    do {
        if (is_gathered_for_a_time(task)) return true;
        task = stuck_on(task);
    } while (task != circle);
    return false;
}

/* Each circle that has not been told is, once. */
static void look_for_circles(saros_loop *loop, saros_op *op, int64_t result) {
    saros_rt *rt = (saros_rt *)((char *)op - offsetof(saros_rt, suspicion));
    (void)loop;
    for (saros_task *task = rt->first; task != NULL && result == 0 && !rt->closing; task = task->next) {
        if ((task->waits_for & SAROS_CIRCLE_TOLD) || !leads_back(task, stuck_on(task)) || will_end(task)) continue;
        for (saros_task *other = task; !(other->waits_for & SAROS_CIRCLE_TOLD); other = stuck_on(other))
            other->waits_for |= SAROS_CIRCLE_TOLD;
        rt->reported++;
        saros_protected(rt, report_circle, task, "the report of a deadlock");
    }
}

void saros_suspect(saros_task *task) {
    saros_rt         *rt = task->rt;
    const saros_task *owner = saros_lock_owner_of(task), *first = owner != NULL ? owner : saros_awaited_task(task);
    if (!leads_back(task, first) || rt->suspicion.state != SAROS_IDLE) return;
    rt->suspicion.done = look_for_circles;
    rt->suspicion.background = true;
    saros_timer(rt->loop, &rt->suspicion, saros_later(rt->loop, PATIENCE)); /* without memory it stays a suspicion */
}
