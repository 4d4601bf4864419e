/* order.c: attach, detach, lua_close and saros_close in every order, with something alive in each way of waiting. */
#include "embed.h"

/* ---- ways of waiting ---------------------------------------------------------------------------------------------- */

/* Each leaves at least one task or callback that waits, and whose memory the loop knows. `Mark` logs its closing. */
static const char prelude[] = "saros = require 'saros'\n"
                              "function Mark(name) return setmetatable({}, {__close = function() log(name) end}) end\n"
                              "function pair()\n" /* a connection to ourselves, and nobody reads from it */
                              "   local l <close> = assert(saros.listen '127.0.0.1:0')\n"
                              "   local other = saros.spawn(l.accept, l)\n"
                              "   local a = assert(saros.connect(l:address()))\n"
                              "   return a, assert(other:await())\n"
                              "end\n";

static const struct way {
    const char *name, *code;
    const char *log; /* what it says when it is closed where it stands */
} ways[] = {
    {"sleeping", "local _ <close> = Mark 'x'; saros.sleep(3600)", "x,"},
    {"for ever", "local _ <close> = Mark 'x'; saros.sleep(math.huge)", "x,"},
    {"a future", "local _ <close> = Mark 'x'; saros.future():await()", "x,"},
    {"a task", "local _ <close> = Mark 'x'; saros.spawn(saros.sleep, 3600):await()", "x,"},
    {"reading", "local a, b = pair(); local _ <close> = Mark 'x'; a:read(1)", "x,"},
    {"reading more", "local a, b = pair(); b:write 'abc'; local _ <close> = Mark 'x'; a:read_exactly(10)", "x,"},
    {"accepting", "local l = saros.listen '127.0.0.1:0'; local _ <close> = Mark 'x'; l:accept()", "x,"},
    {"sixteen accept", "l = saros.listen '127.0.0.1:0'; for i = 1, 16 do saros.spawn(l.accept, l) end", ""},
    {"connecting",
     "l = saros.listen('127.0.0.1:0', {backlog = 1})\n"
     "for i = 1, 8 do saros.spawn(saros.connect, l:address()) end; saros.sleep(3600)",
     ""},
    {"writing",
     "local a, b = pair(); local _ <close> = Mark 'x'; local s = ('x'):rep(65536)\n"
     "while true do a:write(s) end",
     "x,"},
    {"queued writers",
     "local a, b = pair(); local big = ('x'):rep(1 << 20)\n"
     "for i = 1, 16 do saros.spawn(a.write, a, big) end; saros.sleep(3600)",
     ""},
    {"a queue's getter", "local _ <close> = Mark 'x'; saros.queue():get()", "x,"},
    {"a queue's putter", "local q = saros.queue(1); q:put(1); local _ <close> = Mark 'x'; q:put(2)", "x,"},
    {"a queue's end", "local q = saros.queue(); q:put(1); local _ <close> = Mark 'x'; q:join()", "x,"},
    {"a timeout", "local _ <close> = Mark 'x'; saros.timeout(3600, function() saros.sleep(7200) end)", "x,"},
    {"scopes in scopes",
     "saros.scope(function(s) local _ <close> = Mark 'x'; saros.shield(function()\n"
     "local _ <close> = Mark 'y'; saros.timeout(9, saros.sleep, 3600) end) end)",
     "y,x,"},
    {"a cancelled scope that is shielded",
     "local t = saros.spawn(saros.shield, saros.sleep, 3600)\n"
     "saros.sleep(0); t:cancel('because'); t:await()",
     ""},
    {"gathering",
     "local _ <close> = Mark 'x'\n"
     "saros.gather(3600, saros.future(), function() saros.sleep(3600) end)",
     "x,"},
    {"a child", "local _ <close> = Mark 'x'; saros.run(saros.sleep, 3600)", "x,"},
    {"callbacks",
     "saros.call_later(3600, log, 'late'); saros.call_at(saros.now() + 3600, log, 'late')\n"
     "saros.call_soon(saros.call_later, 3600, log, 'late'); saros.sleep(3600)",
     ""},
    {"a server",
     "server = saros.serve('127.0.0.1:0', function(s) s:read 'a' end)\n"
     "for i = 1, 3 do saros.spawn(function() saros.connect(server:address()):read(1) end) end\n"
     "saros.sleep(3600)",
     ""},
    {"a busy pair",
     "local a, b = pair()\n"
     "saros.spawn(function() for line in a:lines() do a:write(line, '\\n') end end)\n"
     "b:write 'x\\n'; for line in b:lines() do b:write(line, '\\n') end",
     ""},
    {"busy", "while true do saros.sleep(0) end", ""},
    {"a coroutine that was seen", "co = coroutine.running(); local _ <close> = Mark 'x'; saros.sleep(3600)", "x,"},
    {"half-closed streams", "local a, b = pair(); a:shutdown(); a:close(); b:close(); saros.sleep(3600)", ""},
    {"forgotten streams", "do pair() end; collectgarbage(); saros.sleep(3600)", ""},
    {"a thread", "local _ <close> = Mark 'x'; saros.thread(function() require 'saros'.sleep(3600) end):await()", "x,"},
    {"threads that talk",
     "local tx, far = saros.thread_channel(0); local back, rx = saros.thread_channel(1)\n"
     "saros.thread(function(rx, tx) for v in rx do tx:send(v) end end, far, back)\n"
     "saros.spawn(function() for v in rx do end end); while true do tx:send {1, tx:clone()} end",
     ""},
    {"the ends of a thread channel",
     "local tx, rx = saros.thread_channel(1); for i = 1, 3 do saros.spawn(tx.send, tx, i) end\n"
     "local _, rx2 = saros.thread_channel(0); for i = 1, 3 do saros.spawn(rx2.receive, rx2) end; saros.sleep(3600)",
     ""},
    {"a pool",
     "pool = saros.pool(2); for i = 1, 5 do saros.spawn(pool.call, pool, function() require 'saros'.sleep(3600) end) end\n"
     "saros.sleep(3600)",
     ""},
    {"handlers that go on",
     "local _ <close> = setmetatable({}, {__close = function()\n"
     "log(pcall(saros.sleep, 1)); saros.spawn(log, 'never'); saros.call_soon(log, 'never')\n"
     "late = saros.listen '127.0.0.1:0' end}); saros.sleep(3600)",
     "false saros.sleep: cannot await outside a task (use saros.run or saros.spawn),"},
};
enum { WAYS = sizeof ways / sizeof *ways };

/* ---- ways of ending ----------------------------------------------------------------------------------------------- */

static void end_loop(host *h) {
    assert_result(saros_close(h->w->loop), 0);
    h->w->loop = NULL;
}

static void end_binding(host *h) {
    assert_result(saros_lua_detach(h->L), 0);
    assert_int_equal(saros_pending(h->w->loop), 0); /* nothing of it is left on the loop */
    few_ops(h, 3);
}

static void detach_state_loop(host *h) {
    end_binding(h);
    close_state(h);
    few_ops(h, 3);
    end_loop(h);
}

static void detach_loop_state(host *h) {
    end_binding(h);
    end_loop(h);
    close_state(h);
}

static void state_loop(host *h) {
    close_state(h);
    assert_int_equal(saros_pending(h->w->loop), 0);
    few_ops(h, 3);
    end_loop(h);
}

static void loop_state(host *h) {
    end_loop(h);
    close_state(h);
}

static void loop_detach_state(host *h) {
    end_loop(h);
    assert_result(saros_lua_detach(h->L), 0);
    assert_int_equal(saros_lua_tasks(h->L), 0);
    lua_gc(h->L, LUA_GCCOLLECT, 0); /* finds nothing that still points to the loop */
    close_state(h);
}

/* The host closes the state from an op of its own, in the middle of a batch. */
static void close_it(told *t) { close_state(t->with); }

static void state_in_a_step(host *h) {
    told t = {.then = close_it, .with = h};
    saros_expect(h->w->loop, prepare(h->w, &t));
    saros_complete(h->w->loop, &t.op, 0);
    await(h->w, &t);
    few_ops(h, 3);
    end_loop(h);
}

static void (*const endings[])(host *h) = {detach_state_loop, detach_loop_state, state_loop,
                                           loop_state,        loop_detach_state, state_in_a_step};
enum { ENDINGS = sizeof endings / sizeof *endings };

/* How many steps, of one op each, before the end: not begun, begun, on its way, at rest. */
static const int before[] = {0, 1, 2, 5, 200};
enum { MOMENTS = sizeof before / sizeof *before };

static void end_it(host *h, const char *driver, const struct way *way, int begun, void (*end)(host *h)) {
    open_all(h, driver);
    h->w->reports = 0;
    run(h, prelude);
    spawn(h, NULL, way->name, way->code);
    few_ops(h, begun);
    end(h);
    if (h->w->reports > 0) fail_msg("%s, %s, %d steps: %s", driver, way->name, begun, h->w->report);
    if (begun == 0 && end != state_in_a_step) assert_log(h, "");
    if (begun > 5 && strcmp(h->log, way->log) != 0) fail_msg("%s, %s: %s", driver, way->name, h->log);
    h->log[0] = 0;
    if (h->w->memory.blocks != 0) fail_msg("%s, %s, %d steps: memory is left", driver, way->name, begun);
    if (descriptors_open() != h->w->descriptors)
        fail_msg("%s, %s, %d steps: a descriptor is left", driver, way->name, begun);
}

/* The first driver at every moment, the others at rest: what differs there is who lets go of what it waits for. */
static void end_all(host *h, const char *driver) {
    static bool another = !THOROUGH;
    for (int way = 0; way < WAYS; way++)
        for (int end = 0; end < ENDINGS; end += THOROUGH ? 1 : 2)
            for (int i = another ? MOMENTS - 1 : 0; i < MOMENTS; i++)
                end_it(h, driver, &ways[way], before[i], endings[end]);
    another = true;
}

static void whatever_waits_ends_in_any_order(void **state) { each_driver(*state, end_all); }

/* ---- attaching ---------------------------------------------------------------------------------------------------- */

static void a_loop_is_attached_and_detached_again_and_again(void **state) {
    host *h = *state;
    open_all(h, "none");
    for (int i = 0; i < 1000; i++) {
        assert_result(saros_lua_attach(h->L, h->w->loop, 0), SAROS_EBUSY);
        spawn(h, NULL, NULL, "require 'saros'.sleep(3600)");
        steps(h->w, 1);
        assert_int_equal(saros_lua_tasks(h->L), 1);
        assert_result(saros_lua_detach(h->L), 0);
        assert_result(saros_lua_detach(h->L), 0);
        assert_int_equal(saros_lua_tasks(h->L), 0);
        assert_result(saros_lua_attach(h->L, h->w->loop, SAROS_LUA_INSTALL), 0);
        assert_int_equal(lua_gettop(h->L), 0);
    }
}

static void another_loop_takes_the_place_of_one_that_was_detached(void **state) {
    host       *h = *state;
    saros_loop *first, *second;
    open_all(h, "none");
    first = h->w->loop;
    spawn(h, NULL, NULL, "kept = require 'saros'.current_task(); require 'saros'.sleep(3600)");
    steps(h->w, 1);
    assert_result(saros_lua_detach(h->L), 0);
    assert_int_equal(world_open(h->w, "none", NULL), 0);
    second = h->w->loop;
    assert_result(saros_lua_attach(h->L, second, 0), 0);
    assert_result(saros_close(first), 0);
    spawn(h, NULL, NULL, "log(kept:cancelled(), kept:cancel(), pcall(kept.await, kept))");
    until_tasks(h, 0);
    assert_log(h, "true false false the awaited task was cancelled,");
}

static int close_loop(lua_State *L) {
    host *h = lua_touserdata(L, lua_upvalueindex(1));
    lua_pushstring(L, saros_error_name(saros_close(h->w->loop)));
    return 1;
}

/* The host's own function, called from a <close> variable while the state lets go of the loop. */
static void a_loop_is_not_closed_under_a_state_that_is_detaching(void **state) {
    host *h = *state;
    open_all(h, "none");
    lua_pushlightuserdata(h->L, h);
    lua_pushcclosure(h->L, close_loop, 1);
    lua_setglobal(h->L, "close_loop");
    for (int i = 0; i < 3; i++)
        spawn(h, NULL, NULL,
              "local guard <close> = setmetatable({}, {__close = function() log(close_loop()) end})\n"
              "require 'saros'.sleep(3600)");
    steps(h->w, 1);
    assert_result(saros_lua_detach(h->L), 0);
    assert_log(h, "EBUSY,EBUSY,EBUSY,");
    assert_result(saros_close(h->w->loop), 0);
    h->w->loop = NULL;
}

/* What a script still has of a loop that is gone answers, and does not crash. */
static void what_is_left_of_a_loop_that_has_closed_can_be_asked(void **state) {
    host *h = *state;
    open_all(h, SOCKET_DRIVER);
    run(h, prelude);
    spawn(
        h, NULL, "left",
        "a, b = pair(); l = saros.listen '127.0.0.1:0'; q = saros.queue(); f = saros.future(); task = saros.current_task()\n"
        "call = saros.call_later(3600, log, 'never'); loop = saros.current_loop()\n"
        "saros.scope(function(s) scope = s; saros.spawn(q.get, q); saros.sleep(3600) end)");
    few_ops(h, 200);
    end_loop(h);
    run(h,
        "saros.run(function()\n"
        "log(a:close(), (select(3, a:read())), (select(3, b:write 'x')), (select(3, l:address())), l:close()) end)\n"
        "log(scope:cancel(), scope:cancelled(), task:name(), task:cancelled(), task:cancel(), call:cancel())\n"
        "log(q:try_put(1), q:try_get(), f:state(), f:cancel(), loop:is_running(), loop:close())\n"
        "for _, f in ipairs {loop.run, loop.step, loop.spawn, saros.spawn, saros.now, saros.call_soon, saros.listen,\n"
        "   saros.all_tasks} do assert(not pcall(f, f == saros.listen and '*:0' or loop, log)) end\n"
        "assert(tostring(a) .. tostring(l) .. tostring(task) .. tostring(loop) .. tostring(call))\n"
        "assert(not task:traceback() and saros.current_task() == nil and saros.current_loop() == nil)\n"
        "log(saros.run(function() saros.sleep(0) return 'another' end))");
    assert_log(h, "true ECLOSED ECLOSED ECLOSED true,false false left true false false,"
                  "true 1 pending true false true,another,");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        EMBED_TEST(whatever_waits_ends_in_any_order),
        EMBED_TEST(a_loop_is_attached_and_detached_again_and_again),
        EMBED_TEST(another_loop_takes_the_place_of_one_that_was_detached),
        EMBED_TEST(a_loop_is_not_closed_under_a_state_that_is_detaching),
        EMBED_TEST(what_is_left_of_a_loop_that_has_closed_can_be_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
