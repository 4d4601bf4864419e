/* dump.c: the tasks of a loop as a tree in text: who waits for whom, in what, for how long, where it was spawned and
 * where it stands. For saros.dump(), for a signal to the program, for the report of a deadlock.
 *
 * Owns nothing: everything is read off the tasks when it is asked for, so that nobody pays before. What a task waits in
 * is the C function at the top of its own stack; whom it waits for, the list that it is linked into.
 * Promises: runs no code of the script's; a chain or a crowd of any size is walked without recursion. */
#include "bindings/lua/look/dump.h"

#include <stdio.h>
#include <string.h>

enum { MOST_INDENT = 12 /* levels */, STEP = 3 };

/* ---- the graph ------------------------------------------------------------------------------------------------- */

/* Tasks are listed in the order of their ids. */
static uint32_t find(const saros_graph *graph, const saros_task *task) {
    uint32_t low = 0, high = graph->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (graph->nodes[middle].task->id < task->id) low = middle + 1;
        else high = middle;
    }
    return low < graph->count && graph->nodes[low].task == task ? low : SAROS_NOBODY;
}

static void add_edge(saros_graph *graph, uint32_t from, uint32_t to) {
    saros_node *node = &graph->nodes[from];
    if (graph->targets != NULL) graph->targets[node->first + node->count] = to;
    node->count++;
}

/* Counts the edges of each node; a second time, when there is room, it writes them. */
static uint32_t add_edges(saros_graph *graph) {
    uint32_t all = 0;
    for (uint32_t i = 0; i < graph->count; i++) graph->nodes[i].count = 0;
    for (uint32_t i = 0; i < graph->count; i++) {
        saros_task   *task = graph->nodes[i].task, *owner = saros_lock_owner_of(task);
        saros_waiter *first = task->is.waiters, *waiter = first;
        uint32_t      to = owner != NULL ? find(graph, owner) : SAROS_NOBODY;
        if (to != SAROS_NOBODY) add_edge(graph, i, to), all++;
        for (; waiter != NULL; waiter = waiter->next != first ? waiter->next : NULL) {
            const saros_task *who = saros_waiting_task(waiter);
            const uint32_t    from = who != NULL ? find(graph, who) : SAROS_NOBODY;
            if (from != SAROS_NOBODY) add_edge(graph, from, i), all++;
        }
    }
    return all;
}

/* Everybody hangs on the first who waits for it; siblings oldest first. */
static void make_tree(saros_graph *graph) {
    for (uint32_t i = 0; i < graph->count; i++)
        for (uint32_t k = 0; k < graph->nodes[i].count; k++) {
            saros_node *target = &graph->nodes[graph->targets[graph->nodes[i].first + k]];
            if (target->parent == SAROS_NOBODY) target->parent = i;
        }
    for (uint32_t i = graph->count; i-- > 0;) {
        uint32_t parent = graph->nodes[i].parent;
        if (parent == SAROS_NOBODY) continue;
        graph->nodes[i].sibling = graph->nodes[parent].child;
        graph->nodes[parent].child = i;
    }
}

saros_graph saros_graph_build(lua_State *L, const saros_rt *rt) {
    saros_graph graph = {0};
    luaL_checkstack(L, 16, "saros.dump");
    lua_createtable(L, 2, 0); /* keeps both blocks */
    graph.nodes = lua_newuserdatauv(L, (rt->live + 1) * sizeof *graph.nodes, 0);
    lua_rawseti(L, -2, 1);
    for (saros_task *task = rt->first; task != NULL && graph.count < rt->live; task = task->next)
        if (task->is.fate == SAROS_PENDING)
            graph.nodes[graph.count++] =
                (saros_node){.task = task, .parent = SAROS_NOBODY, .child = SAROS_NOBODY, .sibling = SAROS_NOBODY};
    uint32_t  edges = add_edges(&graph), first = 0;
    uint32_t *targets = lua_newuserdatauv(L, (edges + 1) * sizeof *targets, 0);
    lua_rawseti(L, -2, 2);
    for (uint32_t i = 0; i < graph.count; i++) {
        graph.nodes[i].first = first;
        first += graph.nodes[i].count;
    }
    graph.targets = targets;
    add_edges(&graph);
    make_tree(&graph);
    return graph;
}

/* ---- one task in words ----------------------------------------------------------------------------------------- */

void saros_push_task_label(lua_State *L, saros_task *task) {
    saros_task_push(L, task);
    saros_task_name(L, task, lua_gettop(L));
    lua_remove(L, -2);
    if (task->line > 0) lua_pushfstring(L, " (%s:%d)", task->place, task->line);
    else lua_pushliteral(L, "");
    lua_concat(L, 2);
}

/* The function at f is which field of the table on top (popped)? Pushes the field's name; false, and nothing: none. */
static bool push_field(lua_State *L, int f) {
    int table = lua_gettop(L);
    for (lua_pushnil(L); lua_next(L, table) != 0; lua_pop(L, 1)) {
        if (lua_type(L, -2) != LUA_TSTRING || !lua_rawequal(L, -1, f)) continue;
        lua_pop(L, 1);
        lua_replace(L, table);
        return true;
    }
    lua_settop(L, table - 1);
    return false;
}

/* Pushes " in queue:get" or " in saros.sleep", the function at the top of a suspended coroutine's stack; or "". */
static void push_function(lua_State *L, lua_State *co) {
    lua_Debug ar;
    int       f = lua_gettop(L) + 1;
    if (lua_checkstack(co, 4) && lua_getstack(co, 0, &ar)) {
        lua_getinfo(co, "f", &ar);
        lua_xmove(co, L, 1);
        lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
        bool of_module = lua_getfield(L, -1, "saros") == LUA_TTABLE;
        if (of_module && push_field(L, f)) {
            lua_pushfstring(L, " in saros.%s", lua_tostring(L, -1));
        } else if (lua_settop(L, f), lua_getlocal(co, &ar, 1) != NULL) { /* a method's object */
            lua_xmove(co, L, 1);
            bool        typed = lua_type(L, -1) == LUA_TUSERDATA && luaL_getmetafield(L, -1, "__name") == LUA_TSTRING;
            const char *type = typed ? lua_tostring(L, -1) : ""; /* the metatable keeps it */
            if (strncmp(type, "saros.", 6) == 0 && luaL_getmetafield(L, f + 1, "__index") == LUA_TTABLE &&
                push_field(L, f))
                lua_pushfstring(L, " in %s:%s", type + 6, lua_tostring(L, -1));
        }
    }
    if (lua_gettop(L) < f || lua_type(L, -1) != LUA_TSTRING || *lua_tostring(L, -1) != ' ') lua_pushliteral(L, "");
    lua_insert(L, f);
    lua_settop(L, f);
}

/* Pushes " for task-2": whom it waits for; or "". */
static void push_whom(lua_State *L, saros_task *task) {
    saros_task *owner = saros_lock_owner_of(task), *awaited = saros_awaited_task(task);
    if (owner != NULL || awaited != NULL) {
        saros_push_task_label(L, owner != NULL ? owner : awaited);
        lua_pushfstring(L, owner != NULL ? " for a lock that %s holds" : " for %s", lua_tostring(L, -1));
        lua_replace(L, -2);
    } else {
        lua_pushstring(L, (task->waits_for & ~SAROS_CIRCLE_TOLD) == SAROS_FOR_AWAITABLE ? " for a future"
                          : (task->waits_for & ~SAROS_CIRCLE_TOLD) == SAROS_FOR_LOCK    ? " for a lock"
                                                                                        : "");
    }
}

/* Pushes ", times out in 2.0 s", after the earliest deadline of the scopes that it is in; or "". */
static void push_deadline(lua_State *L, const saros_task *task) {
    saros_time deadline = SAROS_FOREVER, now = saros_turn(task->rt->loop);
    if (task->clock != 0) now = saros_task_now(task->rt, task);
    for (const saros_scope *scope = task->scope; scope != NULL; scope = scope->parent)
        if (scope->tick.deadline < deadline && !scope->left) deadline = scope->tick.deadline;
    char text[64] = "";
    if (deadline != SAROS_FOREVER)
        snprintf(text, sizeof text, ", times out in %.1f s", deadline > now ? (double)(deadline - now) / 1e9 : 0.0);
    lua_pushstring(L, text);
}

/* Pushes " waits in saros.sleep for 0.5 s", or what else it does. */
static void push_doing(lua_State *L, saros_task *task) {
    char     since[32];
    uint32_t now = (uint32_t)(saros_turn(task->rt->loop) >> SAROS_SINCE_BITS);
    snprintf(since, sizeof since, ", since %.1f s", (double)(uint32_t)(now - task->since) * 0.016777216);
    if (task == task->rt->task) {
        lua_pushstring(L, task->rt->lua->innermost == task->rt->loop ? " runs" : " runs another loop");
    } else if (task->co == NULL) {
        lua_pushfstring(L, " has not begun%s", since);
    } else if (task->op.state != SAROS_FLYING) {
        lua_pushfstring(L, " is ready to go on%s", since);
    } else {
        lua_pushliteral(L, " waits");
        push_function(L, task->at);
        push_whom(L, task);
        lua_pushstring(L, since);
        push_deadline(L, task);
        lua_concat(L, 5);
    }
    if (!saros_is_cancelled(task)) return;
    lua_pushliteral(L, ", cancelled");
    lua_concat(L, 2);
}

/* Pushes its traceback, each line behind `indent`; "" for one that has not begun. Nobody wants to see its lowest line,
 * which is ours. */
static void push_trace(lua_State *L, const saros_task *task, const char *indent) {
    static const char lowest[] = "\n\t[C]: in ?";
    if (task->co == NULL) {
        lua_pushliteral(L, "");
        return;
    }
    saros_push_traceback(L, task);
    size_t      length;
    const char *text = lua_tolstring(L, -1, &length), *lines = strchr(text, '\n');
    if (lines == NULL) lines = text + length;
    length -= (size_t)(lines - text);
    if (length >= sizeof lowest - 1 && strcmp(lines + length - (sizeof lowest - 1), lowest) == 0)
        length -= sizeof lowest - 1;
    lua_pushlstring(L, lines, length);
    lua_replace(L, -2);
    lua_pushfstring(L, "\n%s", indent);
    luaL_gsub(L, lua_tostring(L, -2), "\n\t", lua_tostring(L, -1));
    lua_replace(L, -3);
    lua_pop(L, 1);
}

static void push_node(lua_State *L, saros_task *task, int depth) {
    int  level = depth < MOST_INDENT ? depth : MOST_INDENT;
    char indent[STEP * (MOST_INDENT + 2) + 1];
    memset(indent, ' ', sizeof indent);
    indent[STEP * (level + 2)] = 0;
    lua_pushliteral(L, "\n");
    lua_pushlstring(L, indent, (size_t)STEP * (size_t)level);
    saros_push_task_label(L, task);
    push_doing(L, task);
    push_trace(L, task, indent);
    lua_concat(L, 5);
}

/* ---- the tree -------------------------------------------------------------------------------------------------- */

typedef struct printer {
    lua_State   *L;
    saros_graph  graph;
    luaL_Buffer *to;
    size_t       shown, most;
} printer;

static void show(printer *p, uint32_t i, int depth) {
    p->graph.nodes[i].mark = 1;
    if (p->shown++ >= p->most) return;
    push_node(p->L, p->graph.nodes[i].task, depth);
    luaL_addvalue(p->to);
}

static uint32_t not_shown(const saros_graph *graph, uint32_t i) {
    while (i != SAROS_NOBODY && graph->nodes[i].mark != 0) i = graph->nodes[i].sibling;
    return i;
}

/* The part of the tree below root. Where everybody waits for somebody it is a cycle: who was shown is not shown again. */
static void show_tree(printer *p, uint32_t root) {
    uint32_t at = root;
    int      depth = 0;
    show(p, root, 0);
    for (;;) {
        uint32_t next;
        if ((next = not_shown(&p->graph, p->graph.nodes[at].child)) != SAROS_NOBODY) {
            depth++;
        } else {
            while (at != root && (next = not_shown(&p->graph, p->graph.nodes[at].sibling)) == SAROS_NOBODY)
                at = p->graph.nodes[at].parent, depth--;
            if (at == root) return;
        }
        show(p, at = next, depth);
    }
}

void saros_push_dump(lua_State *L, saros_rt *rt, size_t most) {
    luaL_Buffer buffer;
    printer     p = {.L = L, .graph = saros_graph_build(L, rt), .to = &buffer, .most = most};
    uint32_t    count = p.graph.count;
    luaL_buffinit(L, &buffer);
    lua_pushfstring(L, "%d task%s on driver %s", (int)count, count == 1 ? "" : "s", saros_driver_name(rt->loop));
    luaL_addvalue(&buffer);
    for (uint32_t i = 0; i < count; i++)
        if (p.graph.nodes[i].parent == SAROS_NOBODY) show_tree(&p, i);
    for (uint32_t i = 0; i < count; i++)
        if (p.graph.nodes[i].mark == 0) show_tree(&p, i);
    if (p.shown > most) {
        lua_pushfstring(L, "\nand %d more", (int)(p.shown - most));
        luaL_addvalue(&buffer);
    }
    luaL_pushresult(&buffer);
    lua_replace(L, -2);
}

/* saros.dump([most]) -> text */
static int dump(lua_State *L) {
    lua_Integer most = luaL_optinteger(L, 1, 1000);
    luaL_argcheck(L, most >= 0, 1, "a number of tasks expected");
    saros_push_dump(L, saros_loop_now(L, "saros.dump"), (size_t)most);
    return 1;
}

static int report_dump(lua_State *L) {
    saros_rt *rt = lua_touserdata(L, 1);
    saros_push_dump(L, rt, 1000);
    saros_report(rt->loop, lua_tostring(L, -1));
    return 0;
}

void saros_dump_report(saros_rt *rt) { saros_protected(rt, report_dump, rt, "the dump of the tasks"); }

void saros_open_dump(lua_State *L) {
    static const luaL_Reg functions[] = {{"dump", dump}, {NULL, NULL}};
    saros_add(L, functions);
}
