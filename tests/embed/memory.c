/* memory.c: a host whose memory runs out, at each allocation there is: the state's and the loop's.
 *
 * A scenario is run again and again; each time the next allocation fails, and those after it: to the end, or a few of
 * them only (Lua tries each one twice, so a single failure would hardly be seen). Promises that are held to: nothing
 * crashes, hangs or leaks; when there is memory again, loop and state are as good as new. */
#include "embed.h"

#include "bindings/lua/tasks/task.h"
#include "embed/memory_streams.h"

/* Refused is who calls a port that is nobody's and never given out. A port that was ours a moment ago may be another
 * program's by now; or the caller's own, who is then connected with himself: ConnectEx wants a bound socket, and for
 * bind Linux (so Wine) takes the port from the same half of the range as for a listener. */
static const char scenario[] =
    "local saros = require 'saros'\n"
    "local function gathered()\n"
    "   local t = saros.spawn(function(...) return ... end, 1, 2, 3)\n"
    "   assert(select('#', t:await()) == 3)\n"
    "   local a, b, c = saros.gather(function() saros.sleep(0) return 1 end, 0.0001, saros.spawn(function() return 3 end))\n"
    "   assert(a == 1 and c == 3)\n"
    "   assert(saros.gather({0, 0}, {return_errors = true}).n == 2)\n"
    "   assert(saros.run(function(x) saros.sleep(0) return x end, 'child') == 'child')\n"
    "end\n"
    "local function grouped()\n"
    "   assert(saros.group(function(g) g:spawn(saros.sleep, 0); return g:start(function(ready) ready(1) end) end) == 1)\n"
    "   local ok, e = pcall(function() local g <close> = saros.group {limit = 1, name = 'named'}; g:spawn(saros.sleep, 0)\n"
    "      g:spawn(error, 'of a child'); saros.sleep(3600) end)\n"
    "   assert(not ok and tostring(e):find 'of a child' and #e.errors == 1, e)\n"
    "   assert(not saros.group(function(g) g:spawn(saros.sleep, 3600); g:cancel('why'); saros.sleep(0) end))\n"
    "   assert(not saros.timeout(0.0001, saros.group, function(g) g:start(function() saros.sleep(3600) end) end))\n"
    "   assert(saros.spawn(function() saros.group():spawn(saros.sleep, 3600); return 2 end):await() == 2)\n"
    "end\n"
    "local function raced()\n"
    "   local q = saros.queue(); q:put(1)\n"
    "   local get = setmetatable({}, {__await = function() return q:get() end})\n"
    "   assert(select(2, saros.race(get, 3600, get, function() saros.sleep(3600) end)) == 1)\n"
    "   local done, pending = saros.wait({0, 3600}, {return_when = 'first'}); assert(#done == 1); pending[1]:cancel()\n"
    "   done, pending = saros.wait({saros.future()}, {timeout = 0}); assert(#done == 0 and #pending == 1)\n"
    "   for t in saros.as_completed({0, saros.future()}, {timeout = 3600}) do t:await(); break end\n"
    "   assert(saros.map({1, 2, 3}, function(x) saros.sleep(0); return x end, {limit = 2})[3] == 3)\n"
    "   assert(saros.run(function() saros.spawn(saros.sleep, 0); return saros.join() end))\n"
    "end\n"
    "local function cancelled()\n"
    "   assert(not saros.timeout(0.0001, function() local _ <close> = setmetatable({}, {__close = function()\n"
    "      saros.shield(saros.sleep, 0) end}); saros.sleep(3600) end))\n"
    "   assert(not saros.scope(function(s) saros.spawn(s.cancel, s, {'why'}); saros.sleep(3600) end))\n"
    "   local t = saros.spawn(saros.sleep, 3600); saros.sleep(0); t:cancel('a reason'); assert(not pcall(t.await, t))\n"
    "end\n"
    "local function queued()\n"
    "   local q = saros.queue(1)\n"
    "   local consumer = saros.spawn(function() for item in q:items() do q:task_done() end end)\n"
    "   for i = 1, 3 do q:put(i) end; q:join(); q:shutdown(); pcall(consumer.await, consumer)\n"
    "   for _, make in ipairs {saros.lifo_queue, saros.priority_queue} do\n"
    "      local o = make(2); saros.gather(function() for i = 1, 4 do o:put(i) end end, function() o:put(0) end,\n"
    "         function() for _ = 1, 5 do o:get() end end)\n"
    "   end\n"
    "   local f = saros.future(); f:add_done_callback(function() end); f:add_done_callback(function() end)\n"
    "   saros.call_soon(f.set_result, f, 1, 2); saros.call_later(0.0001, function() error 'in a callback' end)\n"
    "   f:await(); saros.sleep(0.0002)\n"
    "end\n"
    "local function locked()\n"
    "   local lock, limiter, semaphore, event = saros.lock(), saros.limiter(1), saros.semaphore(0), saros.event()\n"
    "   local condition, barrier = saros.condition(lock), saros.barrier(2)\n"
    "   saros.gather(function() local _ <close> = lock:acquire(); condition:wait(); semaphore:release() end,\n"
    "      function() local _ <close> = lock:acquire(); saros.sleep(0); condition:notify_all() end,\n"
    "      function() local _ <close> = limiter:acquire(); event:wait(); barrier:wait() end,\n"
    "      function() event:set(); local _ <close> = limiter:acquire() end,\n"
    "      function() local _ <close> = semaphore:acquire(); barrier:wait() end)\n"
    "   assert(not lock:locked() and limiter:borrowed() == 0 and semaphore:try_acquire())\n"
    "   for n = 0, 1 do\n"
    "      local tx, rx = saros.channel(n)\n"
    "      saros.gather(function() local _ <close> = tx; local two <close> = tx:clone(); for i = 1, 3 do two:send(i) end end,\n"
    "         function() local sum = 0; for v in rx do sum = sum + v end; assert(sum == 6) end)\n"
    "   end\n"
    "   assert(not pcall(saros.gather, function() lock:acquire() end, lock) and not pcall(lock.acquire, lock))\n"
    "end\n"
    "local function failed()\n"
    "   local t = saros.spawn(function() local _ <close> = setmetatable({}, {__close = function() saros.sleep(0) end})\n"
    "      error {'oops'} end)\n"
    "   assert(not pcall(t.await, t)); saros._spawn_background(error, 'nobody awaits'); saros.spawn(error, 'nor this')\n"
    "   saros.spawn(function() coroutine.running(); saros.sleep(0) error('seen') end):set_name('named'); saros.sleep(0)\n"
    "   local g = coroutine.wrap(function() coroutine.yield(1) end); g(); g()\n"
    "   saros.future():set_error 'of a future'; local f = saros.future(); f:set_error 'seen'; assert(f:error() == 'seen')\n"
    "end\n"
    "local function echoed()\n"
    "   local server = assert(saros.serve('127.0.0.1:0', function(s) for line in s:lines() do s:write(line, '\\n') end end))\n"
    "   local _ <close> = server\n"
    "   local s <close> = assert(saros.connect(server:address()))\n"
    "   s:write('hello\\n'); assert(s:read() == 'hello')\n"
    "   s:write(('x'):rep(3000), '\\nhalf'); assert(#s:read(1500) == 1500); assert(#s:read() == 1500)\n"
    "   s:shutdown(); assert(s:read('L') == 'half\\n'); assert(s:read() == nil)\n"
    "   assert(not saros.connect(server:address() .. '1'))\n"
    "end\n"
    "local function refused()\n"
    "   local l <close> = assert(saros.listen '127.0.0.1:0'); l:close()\n"
    "   local s <close>, _, code = saros.connect '127.0.0.1:1'; assert(code == 'ECONNREFUSED', code or 'connected')\n"
    "   do local kept = saros.listen '127.0.0.1:0' end; collectgarbage()\n"
    "end\n"
    "local function simulated()\n"
    "   local inner <close> = saros.loop {driver = 'sim', seed = 1, faults = 'short'}\n"
    "   inner:run(function()\n"
    "      local sim = saros.sim; sim.install(); assert(sim.host 'db' == '10.0.0.2' and #sim.hosts() == 2)\n"
    "      local l <close> = assert(saros.listen 'db:1'); local s <close> = sim.on('db', saros.connect, 'db:1')\n"
    "      assert(s:local_address():find '10.0.0.2'); sim.cut('db'); sim.heal(); assert(#sim.faults() > 5)\n"
    "      assert(os.time() == 1767225600 and os.date() and sim.random(3) <= 3)\n"
    "   end)\n"
    "end\n"
    "local function all()\n"
    "   local inner = saros.loop {driver = 'none'}; inner:run(saros.sleep, 0); inner:close()\n"
    "   for _, part in ipairs {gathered, grouped, raced, cancelled, queued, locked, failed, refused, simulated} do part() end\n"
    "   local ok, why = pcall(echoed); assert(ok or why:find 'bad address', why)\n"
    "   passed = true\n"
    "end\n"
    "local ok; ok, ended = xpcall(all, debug.traceback); assert(ok, ended)\n";

/* Generators and clocks. What is kept is not collected before there is memory again: a finalizer for which Lua itself
 * finds none does not run. */
static const char clocked[] =
    "local saros = require 'saros'\n"
    "local wrap, yield, clock, seen = saros.coroutine.wrap, saros.coroutine.yield, saros.clock {scale = 1000}, nil\n"
    "kept = {clock}\n"
    "saros.group({clock = clock}, function(g) g:spawn(function()\n"
    "   saros.locals().name = 'handed down'\n"
    "   local eager = saros.spawn_now(function() saros.sleep(1); return saros.locals().name end)\n"
    "   local step = wrap(function()\n"
    "      local s <close> = saros.timeout(3600); s:deadline(saros.now() + 1800)\n"
    "      local g <close> = saros.group(); g:spawn(saros.sleep, 1)\n"
    "      yield(1); saros.sleep(1); yield(2)\n"
    "      for late in saros.every(1) do if late then return 3 end end\n"
    "   end)\n"
    "   local left = wrap(function() saros.scope({timeout = 3600}, yield) end); kept[2], kept[3] = step, left; left()\n"
    "   assert(step() == 1 and step() == 2 and step() == 3); seen = eager:await()\n"
    "end) end)\n"
    "assert(seen == 'handed down')\n"
    "passed = true\n";

enum { STEP = THOROUGH ? 1 : 23 }; /* of the allocations, only each so manyth is tried */
static const char *playing = scenario;
static size_t      step = STEP;

/* ---- memory that runs out ------------------------------------------------------------------------------------------- */

static size_t window; /* so many allocations fail; then there is memory again */

static void *flaky_alloc(void *user, void *ptr, size_t osize, size_t nsize) {
    memory *m = user;
    if (m->fail_from > 0 && m->calls >= m->fail_from + window) m->fail_from = 0;
    return memory_alloc(user, ptr, osize, nsize);
}

static void make_flaky(saros_config *config) { config->alloc = flaky_alloc; }

static void open_flaky(host *h) {
    if (world_open(h->w, SOCKET_DRIVER, make_flaky) < 0) fail_msg("%s", h->w->why);
    h->L = lua_newstate(flaky_alloc, &h->lua);
    luaL_openlibs(h->L);
    lua_pushlightuserdata(h->L, h);
    lua_pushcclosure(h->L, log_it, 1);
    lua_setglobal(h->L, "log");
}

static void run_out(memory *m, size_t from, size_t how_many) {
    m->calls = 0;
    m->fail_from = from;
    window = how_many;
}

/* ---- afterwards ----------------------------------------------------------------------------------------------------- */

static void close_both(host *h, bool loop_first) {
    if (loop_first) assert_result(saros_close(h->w->loop), 0);
    close_state(h);
    if (!loop_first) assert_result(saros_close(h->w->loop), 0);
    h->w->loop = NULL;
    if (h->w->memory.blocks != 0) fail_msg("%zu bytes of the loop's memory are left", h->w->memory.bytes);
    if (descriptors_open() != h->w->descriptors) fail_msg("a descriptor is left");
}

/* A free place has a number in it. */
static size_t entries(lua_State *L, const saros_rt *rt, int table) {
    size_t count = 0;
    saros_push_table(L, rt, table);
    for (lua_pushnil(L); lua_next(L, -2) != 0; lua_pop(L, 1)) count += !lua_isinteger(L, -1);
    lua_pop(L, 1);
    return count;
}

/* With no task left the loop keeps nothing alive: what it anchors, and the places in its tables, are all given back. */
static void check_nothing_kept(host *h) {
    saros_rt *rt = saros_state_slow(h->L)->attached;
    AWAIT(h->w, rt->calls == NULL && rt->failed == NULL && rt->lost == NULL);
    run(h, "kept = nil");
    lua_gc(h->L, LUA_GCCOLLECT, 0);
    lua_gc(h->L, LUA_GCCOLLECT, 0);
    AWAIT(h->w, rt->streams == NULL && rt->generators == NULL);
    assert_int_equal(entries(h->L, rt, SAROS_ANCHORS), 0);
    assert_int_equal(entries(h->L, rt, SAROS_STARTS), 0);
    assert_int_equal(rt->slots[SAROS_STARTS].count, rt->slots[SAROS_STARTS].made);
    assert_int_equal(entries(h->L, rt, SAROS_THREADS), rt->idle_count);
    assert_int_equal(rt->slots[SAROS_THREADS].count + rt->idle_count, rt->slots[SAROS_THREADS].made);
    assert_int_equal(rt->slots[SAROS_CALLS].count, rt->slots[SAROS_CALLS].made);
    assert_null(rt->scopes);
}

static void check_usable(host *h) {
    spawn(h, NULL, "after",
          "local saros = require 'saros'; saros.sleep(0); saros.gather(0, saros.spawn(saros.sleep, 0))\n"
          "saros.timeout(1, saros.sleep, 0); log 'fine'");
    AWAIT(h->w, strcmp(h->log, "fine,") == 0);
}

/* ---- the sweeps ----------------------------------------------------------------------------------------------------- */

/* Milliseconds without anything, after which nothing will come where a failure has been: a busy Wine takes its time to
 * pass a byte on. Where none has been the scenario ends for certain, and is waited for. */
#ifdef _WIN32
enum { REST = 100 };
#else
enum { REST = 5 };
#endif

typedef struct stepped {
    int steps, idle;
} stepped;

/* The scenario's task has ended, or what it waits for will not come. */
static stepped run_to_rest(host *h, const memory *m) {
    stepped    r = {0};
    saros_time until = saros_now(h->w->loop) + 10 * SAROS_SECOND;
    for (; saros_lua_tasks(h->L) > 0 && saros_now(h->w->loop) < until; r.steps++) {
        bool unhurt = m->fail_from > 0 && m->calls < m->fail_from;
        if (r.idle >= REST && !unhurt) return r;
        size_t       so_far = h->w->events[SAROS_ON_TELL];
        saros_status status =
            saros_step(h->w->loop, &(saros_limits){.wait = MILLISECOND, .budget = MILLISECOND, .gc = 1});
        assert_int_not_equal(status.outcome, SAROS_BROKEN);
        if (status.outcome == SAROS_DONE) return r;
        bool soon = status.next != SAROS_FOREVER && status.next - saros_now(h->w->loop) < 100 * MILLISECOND;
        r.idle = soon || h->w->events[SAROS_ON_TELL] != so_far ? 0 : r.idle + 1;
    }
    if (saros_lua_tasks(h->L) > 0 && r.idle < REST) fail_msg("it does not come to rest: %d steps", r.steps);
    return r;
}

/* Fails, and tells why: how the scenario ended, or where it stands. */
static void fail_unhurt(host *h, stepped r) {
    static const char stand[] =
        "local list = {'it ended with: ' .. tostring(ended)}\n"
        "for _, t in ipairs(require 'saros'.all_tasks()) do list[#list + 1] = tostring(t) .. ' ' .. t:traceback() end\n"
        "where = table.concat(list, '\\n')";
    run(h, stand);
    lua_getglobal(h->L, "where");
    fail_msg("without a failure the scenario did not pass (%d steps, the last %d idle, %zu tasks). %s\nlast report: %s",
             r.steps, r.idle, saros_lua_tasks(h->L), lua_tostring(h->L, -1), h->w->report);
}

/* One run. True: it has passed. */
static bool run_scenario(host *h, memory *m, size_t from, size_t how_many, unsigned flags) {
    open_flaky(h);
    assert_result(saros_lua_attach(h->L, h->w->loop, flags), 0);
    saros_state_slow(h->L)->attached->report_after = MILLISECOND; /* errors that nobody awaits are not waited for */
    if (from % 8 < 4) lua_gc(h->L, LUA_GCGEN, 0, 0);
    saros_scope *scope = saros_scope_new(h->L);
    assert_int_equal(luaL_loadbuffer(h->L, playing, strlen(playing), "=scenario"), LUA_OK);
    run_out(m, from, how_many);
    bool    begun = saros_lua_spawn(h->L, 0, scope, "scenario") == LUA_OK;
    stepped r = run_to_rest(h, m);
    bool    failed = m->fail_from == 0 || m->calls >= m->fail_from;
    m->fail_from = 0;
    lua_settop(h->L, 0);
    lua_getglobal(h->L, "passed");
    if (!failed && !(begun && lua_toboolean(h->L, -1))) fail_unhurt(h, r);
    lua_settop(h->L, 0);
    saros_scope_cancel(scope, "over");
    saros_scope_free(scope);
    check_usable(h);
    if (from % 2 == 0) { /* what still waits is ended by closing; else it is awaited first */
        run(h, "for _, t in ipairs(require 'saros'.all_tasks()) do t:cancel() end");
        until_tasks(h, 0);
        check_nothing_kept(h);
    }
    h->log[0] = 0;
    close_both(h, from % 4 < 2);
    return !failed;
}

static void sweep(host *h, memory *m, size_t how_many) {
    for (unsigned flags = 0; flags <= SAROS_LUA_INSTALL; flags++) {
        size_t from = 1;
        while (!run_scenario(h, m, from, how_many, flags)) from += step;
        assert_true(from > 10); /* there was something to fail */
    }
}

static void the_state_runs_out_of_memory(void **state) {
    host *h = *state;
    sweep(h, &h->lua, SIZE_MAX / 2);
}
static void the_state_runs_out_of_memory_for_a_moment(void **state) {
    host *h = *state;
    sweep(h, &h->lua, 2);
}
static void the_state_runs_out_of_memory_for_a_while(void **state) {
    host *h = *state;
    sweep(h, &h->lua, 20);
}
static void the_loop_runs_out_of_memory(void **state) {
    host *h = *state;
    sweep(h, &h->w->memory, SIZE_MAX / 2);
}
static void the_loop_runs_out_of_memory_for_a_moment(void **state) {
    host *h = *state;
    sweep(h, &h->w->memory, 1);
}

static void play(host *h, const char *what, size_t steps) {
    playing = what;
    step = steps;
    sweep(h, &h->lua, SIZE_MAX / 2);
    sweep(h, &h->lua, 2);
    sweep(h, &h->lua, 20);
    playing = scenario;
    step = STEP;
}

static void clocks_and_generators_run_out_of_memory(void **state) { play(*state, clocked, STEP); }
static void streams_run_out_of_memory(void **state) { play(*state, streaming, 23 * STEP); }

/* Attaching, with all that the module makes at its first use: done, or nothing. */
static void attach_until_it_works(host *h, memory *m) {
    for (size_t from = 1, error = 1; error != 0; from++) {
        open_flaky(h);
        run_out(m, from, SIZE_MAX / 2);
        int result = saros_lua_attach(h->L, h->w->loop, SAROS_LUA_INSTALL);
        error = result != 0;
        if (error) assert_result(result, SAROS_ENOMEM);
        m->fail_from = 0;
        assert_int_equal(lua_gettop(h->L), 0);
        assert_int_equal(saros_lua_tasks(h->L), 0);
        if (error && from % 2 == 0) assert_result(saros_lua_attach(h->L, h->w->loop, SAROS_LUA_INSTALL), 0);
        if (!error || from % 2 == 0) check_usable(h);
        h->log[0] = 0;
        close_both(h, from % 4 < 2);
    }
}

static void attaching_works_or_changes_nothing(void **state) {
    host *h = *state;
    attach_until_it_works(h, &h->lua);
    attach_until_it_works(h, &h->w->memory);
}

/* Wherever the scenario stands, without a byte to be had: what lives is closed all the same. */
static void closing_needs_no_memory(void **state) {
    host *h = *state;
    for (int ops = 0; ops < 300; ops += THOROUGH ? 1 : 23) {
        open_flaky(h);
        assert_result(saros_lua_attach(h->L, h->w->loop, ops % 2 ? SAROS_LUA_INSTALL : 0), 0);
        spawn(h, saros_scope_new(h->L), "scenario", scenario);
        few_ops(h, ops);
        run_out(&h->lua, 1, SIZE_MAX / 2);
        run_out(&h->w->memory, 1, SIZE_MAX / 2);
        if (ops % 3 == 0) assert_result(saros_lua_detach(h->L), 0);
        close_both(h, ops % 4 < 2);
        h->lua.fail_from = h->w->memory.fail_from = 0;
    }
}

/* ---- all or nothing ------------------------------------------------------------------------------------------------- */

/* fail(n): the n-th allocation from now on fails, and its second try; fail(0): none. */
static int fail_soon(lua_State *L) {
    host *h = lua_touserdata(L, lua_upvalueindex(1));
    run_out(&h->lua, (size_t)lua_tointeger(L, 1), 2);
    return 0;
}

static void open_with_fail(host *h) {
    open_flaky(h);
    assert_result(saros_lua_attach(h->L, h->w->loop, SAROS_LUA_INSTALL), 0);
    lua_pushlightuserdata(h->L, h);
    lua_pushcclosure(h->L, fail_soon, 1);
    lua_setglobal(h->L, "fail");
}

static void a_gather_starts_all_or_nothing(void **state) {
    host *h = *state;
    open_with_fail(h);
    spawn(h, NULL, NULL,
          "local saros = require 'saros'\n"
          "saros.gather(0, 0, 0, 0)\n" /* there are coroutines now: to begin a task takes no memory */
          "local none = 0\n"
          "for i = 1, 1000 do\n"
          "   local ran = 0\n"
          "   local function f() ran = ran + 1 end\n"
          "   fail(i)\n"
          "   local ok = pcall(saros.gather, f, f, f)\n"
          "   fail(0)\n"
          "   saros.sleep(0) saros.sleep(0)\n"
          "   assert(ran == 3 or ran == 0 and not ok, ran)\n"
          "   if ok then return log(none > 2) end\n"
          "   none = none + 1\n"
          "end\n");
    AWAIT(h->w, saros_lua_tasks(h->L) == 0);
    assert_log(h, "true,");
    close_both(h, false);
}

/* Settling raises in the middle, and is done again: nobody is called twice. */
static void done_callbacks_are_called_once(void **state) {
    host *h = *state;
    open_with_fail(h);
    spawn(h, NULL, NULL,
          "local saros, failures = require 'saros', 0\n"
          "for i = 1, 20 do\n"
          "   local f, calls = saros.future(), 0\n"
          "   for _ = 1, 5 do f:add_done_callback(function() calls = calls + 1 end) end\n"
          "   fail(i)\n"
          "   local ok = pcall(f.set_result, f, 1, 2)\n"
          "   fail(0)\n"
          "   if not ok then failures = failures + 1 f:set_result(1, 2) end\n"
          "   saros.sleep(0) saros.sleep(0)\n"
          "   assert(calls == 5, calls)\n"
          "end\n"
          "log(failures > 3)");
    AWAIT(h->w, saros_lua_tasks(h->L) == 0);
    assert_log(h, "true,");
    close_both(h, false);
}

static void a_spawn_that_fails_has_spawned_nothing(void **state) {
    host  *h = *state;
    size_t failed = 0;
    int    status = LUA_ERRMEM;
    open_with_fail(h);
    for (size_t from = 1; status != LUA_OK; from++) {
        luaL_loadstring(h->L, "log(...)");
        lua_pushinteger(h->L, (lua_Integer)from);
        lua_pushliteral(h->L, "argument");
        run_out(&h->lua, from, 2);
        status = saros_lua_spawn(h->L, 2, NULL, "a name that has not been seen before");
        h->lua.fail_from = 0;
        assert_int_equal(lua_gettop(h->L), 1);
        lua_settop(h->L, 0);
        until_tasks(h, 0);
        if (status != LUA_OK) {
            failed++;
            assert_log(h, "");
        }
    }
    assert_true(failed > 2);
    assert_ptr_equal(strstr(h->log, " argument,"), strchr(h->log, ' '));
    check_nothing_kept(h);
    close_both(h, true);
}

/* Whatever fails while a connection is accepted and served: the next one is served. */
static void a_server_outlives_a_lack_of_memory(void **state) {
    host *h = *state;
    open_with_fail(h);
    spawn(
        h, NULL, NULL,
        "local saros = require 'saros'\n"
        "local sleep = saros.sleep\n"
        "saros.sleep = function(s) return sleep(s == 1 and 0 or s) end\n" /* its pause of a second is too long for us */
        "local server = saros.serve('127.0.0.1:0', function(s) s:write(s:read()) end)\n"
        "local function echo()\n"
        "   local s <close> = assert(saros.connect(server:address()))\n"
        "   s:write 'hello\\n'; return s:read()\n"
        "end\n"
        "assert(echo() == 'hello')\n"
        "for i = 1, 200 do\n"
        "   fail(i) pcall(saros.timeout, 0.001, echo) fail(0)\n"
        "   assert(saros.timeout(5, echo) == 'hello', i)\n"
        "end\n"
        "server:close() log 'served'");
    AWAIT(h->w, saros_lua_tasks(h->L) == 0);
    assert_log(h, "served,");
    close_both(h, false);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        EMBED_TEST(attaching_works_or_changes_nothing),
        EMBED_TEST(the_loop_runs_out_of_memory),
        EMBED_TEST(the_loop_runs_out_of_memory_for_a_moment),
        EMBED_TEST(the_state_runs_out_of_memory),
        EMBED_TEST(the_state_runs_out_of_memory_for_a_moment),
        EMBED_TEST(the_state_runs_out_of_memory_for_a_while),
        EMBED_TEST(clocks_and_generators_run_out_of_memory),
        EMBED_TEST(streams_run_out_of_memory),
        EMBED_TEST(closing_needs_no_memory),
        EMBED_TEST(a_gather_starts_all_or_nothing),
        EMBED_TEST(done_callbacks_are_called_once),
        EMBED_TEST(a_spawn_that_fails_has_spawned_nothing),
        EMBED_TEST(a_server_outlives_a_lack_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
