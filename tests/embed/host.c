/* host.c: what a host does in its frame: spawns, cancels, steps with a budget, and is left in peace. */
#include "embed.h"

/* ---- spawn ---------------------------------------------------------------------------------------------------------- */

static void spawn_takes_a_function_and_its_arguments_and_leaves_the_task(void **state) {
    host *h = *state;
    open_all(h, "none");
    lua_pushliteral(h->L, "below");
    luaL_loadstring(h->L, "log(select('#', ...), ...) return 'result'");
    lua_pushinteger(h->L, 1);
    lua_pushnil(h->L);
    lua_pushliteral(h->L, "three");
    assert_int_equal(saros_lua_spawn(h->L, 3, NULL, "boss"), LUA_OK);
    assert_int_equal(lua_gettop(h->L), 2); /* what was below, and the task */
    assert_int_equal(saros_lua_tasks(h->L), 1);
    assert_log(h, ""); /* not before the next step */
    lua_setglobal(h->L, "task");
    run(h, "log(task:name(), task:done())");
    until_tasks(h, 0);
    run(h, "log(task:name(), task:done(), task:result())");
    assert_log(h, "boss false,3 1 nil three,boss true result,");
    for (int i = 0; i < 250; i++) lua_checkstack(h->L, 300), lua_pushinteger(h->L, i);
    luaL_loadstring(h->L, "log(select('#', ...), (select(250, ...)))");
    lua_insert(h->L, 1);
    assert_int_equal(saros_lua_spawn(h->L, 250, NULL, NULL), LUA_OK);
    assert_int_equal(lua_gettop(h->L), 1);
    until_tasks(h, 0);
    assert_log(h, "250 249,");
}

static void a_name_is_copied(void **state) {
    host *h = *state;
    char  name[] = "short-lived";
    open_all(h, "none");
    spawn(h, NULL, name, "task = require 'saros'.current_task()");
    memset(name, 'x', sizeof name - 1);
    until_tasks(h, 0);
    run(h, "log(task:name())");
    assert_log(h, "short-lived,");
}

static void check_refused(lua_State *L, int nargs, const char *why) {
    assert_int_equal(saros_lua_spawn(L, nargs, NULL, "x"), LUA_ERRRUN);
    assert_int_equal(lua_gettop(L), 1);
    assert_non_null(strstr(lua_tostring(L, -1), why));
    lua_settop(L, 0);
}

static void what_cannot_be_spawned_pushes_a_message(void **state) {
    host *h = *state;
    open_all(h, "none");
    lua_pushinteger(h->L, 42);
    check_refused(h->L, 0, "function expected, got number");
    lua_newtable(h->L);
    lua_pushnil(h->L);
    check_refused(h->L, 1, "function expected, got table");
    luaL_loadstring(h->L, "");
    lua_checkstack(h->L, 300);
    for (int i = 0; i < 251; i++) lua_pushnil(h->L);
    check_refused(h->L, 251, "too many arguments");
    saros_lua_detach(h->L);
    luaL_loadstring(h->L, "");
    check_refused(h->L, 0, "no loop is attached");
    memory     bare_memory = {0};
    lua_State *bare = new_state(h, &bare_memory); /* one that has never heard of us */
    luaL_loadstring(bare, "");
    check_refused(bare, 0, "no loop is attached");
    assert_int_equal(saros_lua_tasks(bare), 0);
    assert_null(saros_scope_new(bare));
    assert_result(saros_lua_detach(bare), 0);
    lua_close(bare);
    assert_int_equal(bare_memory.blocks, 0);
}

static void an_error_that_nobody_awaits_goes_to_the_report(void **state) {
    host *h = *state;
    open_all(h, "none");
    spawn(h, NULL, "clumsy", "error('oops')");
    until_tasks(h, 0);
    assert_int_equal(h->w->reports, 0); /* somebody may still come for it */
    assert_result(saros_lua_detach(h->L), 0);
    assert_int_equal(h->w->reports, 1);
    assert_non_null(strstr(h->w->report, "clumsy"));
    assert_non_null(strstr(h->w->report, "oops"));
}

/* ---- scopes --------------------------------------------------------------------------------------------------------- */

static const char worker[] =
    "local saros, name = require 'saros', ...\n"
    "local _ <close> = setmetatable({}, {__close = function(_, err)\n"
    "   local _, why = saros.is_cancelled(err); saros.shield(saros.sleep, 0); log(name, why) end})\n"
    "saros.timeout(3600, saros.sleep, 3600)\n";

static void spawn_worker(host *h, saros_scope *scope, const char *name) {
    luaL_loadstring(h->L, worker);
    lua_pushstring(h->L, name);
    assert_int_equal(saros_lua_spawn(h->L, 1, scope, name), LUA_OK);
    lua_settop(h->L, 0);
}

static void a_scope_ends_its_tasks_with_their_handlers(void **state) {
    host *h = *state;
    open_all(h, "none");
    saros_scope *scope = saros_scope_new(h->L);
    spawn_worker(h, scope, "a");
    spawn_worker(h, scope, "b");
    spawn_worker(h, NULL, "outside");
    steps(h->w, 2);
    saros_scope_cancel(scope, "the level is over");
    saros_scope_cancel(scope, "again");
    assert_log(h, ""); /* nothing runs before the next step */
    spawn_worker(h, scope, "late");
    until_tasks(h, 1);
    assert_log(h, "a the level is over,b the level is over,");
    saros_scope_free(scope);
    assert_int_equal(h->w->reports, 0);
}

static void a_scope_without_a_reason_gives_none(void **state) {
    host *h = *state;
    open_all(h, "none");
    saros_scope *scope = saros_scope_new(h->L);
    char         reason[200];
    spawn_worker(h, scope, "a");
    steps(h->w, 2);
    saros_scope_cancel(scope, NULL);
    until_tasks(h, 0);
    saros_scope *other = saros_scope_new(h->L);
    memset(reason, 'r', sizeof reason);
    reason[sizeof reason - 1] = 0;
    spawn_worker(h, other, "b");
    steps(h->w, 2);
    saros_scope_cancel(other, reason); /* longer than is kept */
    until_tasks(h, 0);
    assert_memory_equal(h->log, "a nil,b rrrr", 12);
    saros_scope_free(scope);
    saros_scope_free(other);
}

/* Freed at once behind the cancel: the cancellation is not taken back. */
static void a_scope_may_be_freed_while_its_tasks_live(void **state) {
    host *h = *state;
    open_all(h, "none");
    saros_scope *cancelled = saros_scope_new(h->L), *kept = saros_scope_new(h->L), *unused = saros_scope_new(h->L);
    spawn_worker(h, cancelled, "a");
    spawn_worker(h, kept, "b");
    steps(h->w, 2);
    saros_scope_cancel(cancelled, "go");
    saros_scope_free(cancelled);
    saros_scope_free(kept);
    saros_scope_free(unused);
    until_tasks(h, 1);
    steps(h->w, 3);
    assert_log(h, "a go,");
    assert_int_equal(saros_lua_tasks(h->L), 1); /* b goes on */
    run(h, "for _, t in ipairs(require 'saros'.all_tasks()) do t:cancel 'by the script' end");
    until_tasks(h, 0);
    assert_log(h, "b by the script,");
    assert_int_equal(h->w->reports, 0);
}

/* ---- steps ---------------------------------------------------------------------------------------------------------- */

static void a_busy_task_is_stopped_at_the_budget(void **state) {
    host *h = *state;
    open_all(h, "none");
    spawn(h, NULL, NULL, "while true do turns = (turns or 0) + 1; require 'saros'.sleep(0) end");
    spawn(h, NULL, NULL, "while true do others = (others or 0) + 1; require 'saros'.sleep(0) end");
    for (int frame = 0; frame < 5; frame++) {
        saros_time   before = clock_now();
        saros_status status = saros_step(h->w->loop, &(saros_limits){.budget = 2 * MILLISECOND});
        assert_int_equal(status.outcome, SAROS_MORE);
        assert_true(status.used >= 2 * MILLISECOND);
        assert_true(clock_now() - before < SAROS_SECOND); /* a loaded machine takes its time; a lost budget for ever */
    }
    run(h, "assert(turns > 50 and math.abs(turns - others) <= 1)");
}

static void the_status_says_when_to_come_back(void **state) {
    host *h = *state;
    open_all(h, "none");
    assert_int_equal(step_for(h->w, 0).outcome, SAROS_DONE);
    spawn(h, NULL, NULL, "require 'saros'.sleep(0.05)");
    saros_time   now = saros_now(h->w->loop);
    saros_status status = step_for(h->w, 0);
    assert_int_equal(status.outcome, SAROS_WAITING);
    assert_true(status.next >= now + 50 * MILLISECOND && status.next < now + 20 * SAROS_SECOND);
    AWAIT(h->w, saros_lua_tasks(h->L) == 0);
    assert_true(saros_now(h->w->loop) >= now + 50 * MILLISECOND);
    assert_int_equal(step_for(h->w, 0).outcome, SAROS_DONE);
}

static void the_collector_runs_within_a_step_where_it_may(void **state) {
    host *h = *state;
    open_all(h, "none");
    lua_gc(h->L, LUA_GCSTOP);
    run(h, "setmetatable({}, {__gc = function() log 'collected' end})");
    steps(h->w, 100);
    assert_log(h, "");
    AWAIT(h->w, saros_step(h->w->loop, &(saros_limits){.gc = MILLISECOND}).outcome == SAROS_DONE && h->log[0] != 0);
    assert_log(h, "collected,");
}

static int step_inside(lua_State *L) {
    host        *h = lua_touserdata(L, lua_upvalueindex(1));
    saros_status status = saros_step(h->w->loop, &(saros_limits){.wait = SAROS_FOREVER});
    lua_pushboolean(L, status.outcome == SAROS_BROKEN);
    lua_pushstring(L, saros_error_name(status.error));
    lua_pushstring(L, saros_error_name(saros_lua_detach(L)));
    lua_pushstring(L, saros_error_name(saros_close(h->w->loop)));
    lua_pushstring(L, saros_error_name(saros_run(h->w->loop)));
    return 5;
}

static void a_step_inside_a_step_is_refused(void **state) {
    host *h = *state;
    open_all(h, "none");
    lua_pushlightuserdata(h->L, h);
    lua_pushcclosure(h->L, step_inside, 1);
    lua_setglobal(h->L, "step_inside");
    spawn(h, NULL, NULL, "log(step_inside()) require 'saros'.call_soon(function() log(step_inside()) end)");
    steps(h->w, 3);
    assert_log(h, "true EBUSY EBUSY EBUSY EBUSY,true EBUSY EBUSY EBUSY EBUSY,");
    spawn(h, NULL, NULL,
          "local _ <close> = setmetatable({}, {__close = function() log(step_inside()) end})\n"
          "require 'saros'.sleep(3600)");
    steps(h->w, 2);
    assert_result(saros_close(h->w->loop), 0); /* closes the task where it stands */
    h->w->loop = NULL;
    assert_log(h, "true EBUSY EBUSY EBUSY EBUSY,");
}

static void a_script_cannot_close_the_hosts_loop(void **state) {
    host *h = *state;
    open_all(h, "none");
    run(h, "local loop = require 'saros'.current_loop(); log(pcall(loop.close, loop))\n"
           "log(loop:driver(), loop:is_running())");
    assert_log(h, "false the loop is the host's, and only the host closes it,none false,");
    assert_int_equal(step_for(h->w, 0).outcome, SAROS_DONE);
}

/* Detaching leaves the host's own operations alone, and does not make its loop stop. */
static void the_hosts_own_operations_live_on(void **state) {
    host *h = *state;
    told  timer = {0};
    open_all(h, "none");
    assert_result(start_timer(h->w, &timer, 20 * MILLISECOND), 0);
    spawn(h, NULL, NULL, "require 'saros'.sleep(3600)");
    steps(h->w, 2);
    assert_result(saros_lua_detach(h->L), 0);
    assert_int_equal(saros_pending(h->w->loop), 1);
    assert_result(saros_run(h->w->loop), 0);
    assert_int_equal(timer.times, 1);
}

/* ---- hooks ---------------------------------------------------------------------------------------------------------- */

static size_t hooked;
static void   count_hook(lua_State *L, lua_Debug *ar) {
      (void)L, (void)ar;
      hooked++;
}

static void a_hosts_hook_is_not_replaced(void **state) {
    host *h = *state;
    open_all(h, "none");
    lua_sethook(h->L, count_hook, LUA_MASKCOUNT, 100);
    for (int i = 0; i < 5; i++) { /* also in coroutines that are used again */
        size_t before = hooked;
        spawn(h, NULL, NULL, "require 'saros'.sleep(0) for _ = 1, 1000 do end");
        until_tasks(h, 0);
        assert_true(hooked - before >= 5);
    }
    assert_ptr_equal(lua_gethook(h->L), count_hook);
    assert_int_equal(lua_gethookcount(h->L), 100);
    lua_sethook(h->L, NULL, 0, 0);
    size_t before = hooked;
    spawn(h, NULL, NULL, "for _ = 1, 1000 do end");
    until_tasks(h, 0);
    assert_int_equal(hooked, before);
}

static void a_simulated_world_is_the_same_for_scripts_and_their_host(void **state) {
    host *h = *state;
    open_all(h, "sim");
    saros_time began = saros_now(h->w->loop);
    spawn(h, NULL, "server",
          "local saros = require 'saros' local listener <close> = assert(saros.listen '*:80')\n"
          "local stream <close> = listener:accept() log(stream:peer_address():match '[%d.]+', stream:read())");
    spawn(
        h, NULL, "client",
        "local saros, sim = require 'saros', require 'saros.sim' sim.host 'far' sim.latency('far', 'localhost', 0.05)\n"
        "sim.on('far', function() saros.connect('10.0.0.1:80'):write('hello\\n') end)");
    until_tasks(h, 0);
    assert_log(h, "10.0.0.2 hello,");
    assert_true(saros_now(h->w->loop) - began >= 2 * SAROS_SECOND / 20);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        EMBED_TEST(spawn_takes_a_function_and_its_arguments_and_leaves_the_task),
        EMBED_TEST(a_name_is_copied),
        EMBED_TEST(what_cannot_be_spawned_pushes_a_message),
        EMBED_TEST(an_error_that_nobody_awaits_goes_to_the_report),
        EMBED_TEST(a_scope_ends_its_tasks_with_their_handlers),
        EMBED_TEST(a_scope_without_a_reason_gives_none),
        EMBED_TEST(a_scope_may_be_freed_while_its_tasks_live),
        EMBED_TEST(a_busy_task_is_stopped_at_the_budget),
        EMBED_TEST(the_status_says_when_to_come_back),
        EMBED_TEST(the_collector_runs_within_a_step_where_it_may),
        EMBED_TEST(a_step_inside_a_step_is_refused),
        EMBED_TEST(a_script_cannot_close_the_hosts_loop),
        EMBED_TEST(the_hosts_own_operations_live_on),
        EMBED_TEST(a_hosts_hook_is_not_replaced),
        EMBED_TEST(a_simulated_world_is_the_same_for_scripts_and_their_host),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
