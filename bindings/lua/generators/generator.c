/* generator.c: scopes that are open in a coroutine of the script's own, while nobody runs it.
 *
 * Each coroutine has its own part of the chain of scopes. While it runs or awaits inside a task, that part is the inner
 * end of the task's chain, and its parent is the scope of whoever resumed it. When it yields to its consumer the part is
 * taken out again: it covers nobody, and a cancel that comes then is seen at the coroutine's next await.
 *
 * Owns a record for each coroutine that has opened a scope, kept exactly as long as the coroutine (a table with weak
 * keys, whose value refers to its key). In it a task that never runs stands for the coroutine: so scopes always have
 * one, and nobody else need know of this.
 * Promises: scopes of a coroutine that was closed are left at once; of one that was collected from the loop, which then
 * also closes it, so that its <close> variables run; of one that nobody ever goes on with, when the loop closes. */
#include "bindings/lua/tasks/task.h"

struct saros_gen {
    saros_task shade; /* whose scopes they are while the coroutine is suspended; its op tells the loop of the end */
    lua_State *co;
    saros_gen *next, *prev; /* with open scopes, on the loop of shade.rt */
    bool       open;        /* in that list */
};

static const char records_key = 0,
                  rescued_key = 0; /* registry: coroutine → record; address → record that is to be closed */

static void push_thread(lua_State *L, lua_State *co) {
    lua_pushthread(co);
    if (co != L) lua_xmove(co, L, 1);
}

/* The record of the coroutine, or NULL. */
static saros_gen *find(lua_State *L, lua_State *co) {
    if (!lua_checkstack(co, 2) || !lua_checkstack(L, 4)) return NULL;
    lua_rawgetp(L, LUA_REGISTRYINDEX, &records_key);
    push_thread(L, co);
    lua_rawget(L, -2);
    saros_gen *generator = lua_touserdata(L, -1);
    lua_pop(L, 2);
    return generator;
}

static void told(saros_loop *loop, saros_op *op, int64_t result);

/* protected: makes the record. Light userdata: the task. */
static int make(lua_State *L) {
    const saros_task *task = lua_touserdata(L, 1);
    lua_State        *co = task->at;
    saros_gen        *generator = saros_new(L, task->rt->lua, SAROS_T_GENERATOR, sizeof *generator, 1);
    generator->co = co;
    generator->shade.is.task = true;
    generator->shade.op.done = told;
    push_thread(L, co);
    lua_pushvalue(L, -1);
    lua_setiuservalue(L, 2, 1);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &rescued_key);
    lua_pushboolean(L, 0); /* a place, so that the finalizer allocates nothing */
    lua_rawsetp(L, -2, generator);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &records_key);
    lua_pushvalue(L, 3);
    lua_pushvalue(L, 2);
    lua_rawset(L, -3);
    return 0;
}

saros_gen *saros_generator_of(const saros_task *task) {
    lua_State *co = task->at;
    if (!lua_checkstack(co, LUA_MINSTACK)) return NULL;
    saros_gen *generator = find(co, co);
    if (generator != NULL) return generator;
    lua_pushcfunction(co, make);
    lua_pushlightuserdata(co, (void *)task);
    if (lua_pcall(co, 1, 0, 0) == LUA_OK) return find(co, co);
    lua_pop(co, 1);
    return NULL;
}

/* ---- suspended and back --------------------------------------------------------------------------------------- */

static void unlink_open(saros_gen *generator) {
    saros_rt *rt = generator->shade.rt;
    if (!generator->open) return;
    if (generator->prev != NULL) generator->prev->next = generator->next;
    else rt->generators = generator->next;
    if (generator->next != NULL) generator->next->prev = generator->prev;
    generator->next = generator->prev = NULL;
    generator->open = false;
    rt->lua->generators--;
}

void saros_generator_leave(saros_task *task, const lua_State *co) {
    while (task->scope != NULL && task->scope->generator != NULL && task->scope->generator->co == co)
        saros_scope_leave(task->scope);
}

static void leave_all(saros_gen *generator) {
    while (generator->shade.scope != NULL) saros_scope_leave(generator->shade.scope);
    unlink_open(generator);
}

/* co has come back to who resumed it: its scopes, if it has any open, leave the chain. Where it has not yielded it will
 * never close them: they end here. */
void saros_generator_detach(saros_task *task, const lua_State *co, int status) {
    saros_gen *generator = task->scope->generator;
    saros_rt  *rt = task->rt;
    if (generator->co != co) return;
    saros_scope *scope = generator->shade.scope = task->scope;
    for (;; scope = scope->parent) {
        scope->task = &generator->shade;
        if (scope->parent == NULL || scope->parent->generator != generator) break;
    }
    task->scope = scope->parent;
    scope->parent = NULL;
    generator->shade.rt = rt;
    generator->open = true;
    generator->next = rt->generators;
    if (rt->generators != NULL) rt->generators->prev = generator;
    rt->generators = generator;
    rt->lua->generators++;
    if (status == LUA_YIELD) return;
    generator->shade.is.fate = status == LUA_OK ? SAROS_RETURNED : SAROS_FAILED; /* as a task's end looks to them */
    leave_all(generator);
    generator->shade.is.fate = SAROS_PENDING;
}

/* Is the task in a group that is open in the coroutine? */
static bool is_inside(const saros_task *task, const saros_gen *generator) {
    const saros_scope *scope = task->scope;
    while (task != NULL && task != &generator->shade) {
        while (scope != NULL && scope->task == task) scope = scope->parent;
        task = scope != NULL ? scope->task : NULL;
    }
    return task != NULL;
}

/* The task resumes co: its scopes are the inner end of the chain now. */
const char *saros_generator_attach(lua_State *L, saros_task *task, lua_State *co) {
    saros_gen *generator = find(L, co);
    if (generator == NULL || !generator->open) return NULL;
    if (generator->shade.rt != task->rt) return "a scope that is open in the coroutine belongs to another loop";
    if (is_inside(task, generator)) return "the task is in a group that is open in the coroutine";
    unlink_open(generator);
    saros_scope *scope = generator->shade.scope;
    if (scope == NULL) return NULL; /* all were left meanwhile */
    for (;; scope = scope->parent) {
        scope->task = task;
        if (scope->parent == NULL) break;
    }
    scope->parent = task->scope;
    task->scope = generator->shade.scope;
    generator->shade.scope = NULL;
    if (saros_is_cancelled(task)) saros_task_poke(task); /* the children of its groups do not know that yet */
    return NULL;
}

/* ---- the end -------------------------------------------------------------------------------------------------- */

/* The coroutine is about to be closed. */
void saros_generator_forget(lua_State *L, lua_State *co) {
    saros_gen *generator = find(L, co);
    if (generator != NULL && generator->open) leave_all(generator);
}

/* protected: closes the coroutine of a record, p. */
static int close_it(lua_State *L) {
    saros_gen *generator = lua_touserdata(L, 1);
    saros_rt  *rt = generator->shade.rt;
    leave_all(generator);
    if (lua_status(generator->co) != LUA_YIELD || saros_close_thread(generator->co, L) == LUA_OK) return 0;
    saros_close_failed(rt, generator->co, "a coroutine");
    return 0;
}

static void drop(lua_State *L, const saros_gen *generator) {
    lua_rawgetp(L, LUA_REGISTRYINDEX, &rescued_key);
    lua_pushnil(L);
    lua_rawsetp(L, -2, generator);
    lua_pop(L, 1);
}

/* The loop's turn to close a coroutine that was collected. */
static void told(saros_loop *loop, saros_op *op, int64_t result) {
    saros_gen  *generator = (saros_gen *)((char *)op - offsetof(saros_gen, shade.op));
    saros_rt   *rt = generator->shade.rt, *outer_rt = rt->lua->current;
    saros_task *outer = rt->task;
    (void)loop, (void)result;
    rt->lua->current = rt;
    rt->task = NULL;
    if (!saros_protected(rt, close_it, generator, "closing a coroutine")) leave_all(generator);
    rt->task = outer;
    rt->lua->current = outer_rt;
    if (lua_checkstack(rt->L, 4)) drop(rt->L, generator);
}

/* Nobody can resume the coroutine any more. The finalizer runs anywhere: so the loop does the rest. */
static int collected(lua_State *L) {
    saros_gen *generator = saros_check(L, 1, SAROS_T_GENERATOR);
    if (!generator->open || generator->shade.rt->loop == NULL || generator->shade.op.state != SAROS_IDLE) {
        if (!generator->open) drop(L, generator);
        return 0;
    }
    lua_rawgetp(L, LUA_REGISTRYINDEX, &rescued_key);
    lua_pushvalue(L, 1);
    lua_rawsetp(L, -2, generator);
    saros_expect(generator->shade.rt->loop, &generator->shade.op);
    saros_complete(generator->shade.rt->loop, &generator->shade.op, 0);
    return 0;
}

/* The loop closes. close: the coroutines as well; else only what is ours goes. */
void saros_generators_end(saros_rt *rt, bool close) {
    while (rt->generators != NULL) {
        saros_gen *generator = rt->generators;
        saros_abandon(rt->loop, &generator->shade.op);
        if (!close || !saros_protected(rt, close_it, generator, "closing a coroutine")) leave_all(generator);
    }
}

void saros_open_generator(lua_State *L) {
    saros_type_make(L, SAROS_T_GENERATOR, "saros.generator", NULL,
                    (const luaL_Reg[]){{"__gc", collected}, {NULL, NULL}});
    lua_newtable(L);
    saros_make_weak(L, "k");
    lua_rawsetp(L, LUA_REGISTRYINDEX, &records_key);
    lua_newtable(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &rescued_key);
}
