/* states.c: several states and loops in one process: on one loop, on one thread, on two; and loops that a script makes. */
#include "embed.h"

#include <pthread.h>
#include <unistd.h>

/* ---- one thread ----------------------------------------------------------------------------------------------------- */

/* Two hosts on one world's descriptors: each with a loop and a state of its own, stepped in turns. */
static void two_states_with_a_loop_each_do_not_meet(void **state) {
    host *h = *state, other = {.w = calloc(1, sizeof *other.w)};
    open_all(h, "none");
    open_all(&other, "none");
    spawn(h, NULL, NULL, "for i = 1, 3 do log('a', i) require 'saros'.sleep(0) end");
    spawn(&other, NULL, NULL, "for i = 1, 3 do log('b', i) require 'saros'.sleep(0) end");
    for (int i = 0; i < 10; i++) few_ops(h, 1), few_ops(&other, 1);
    assert_log(h, "a 1,a 2,a 3,");
    assert_log(&other, "b 1,b 2,b 3,");
    spawn(h, NULL, NULL, "require 'saros'.sleep(3600)");
    steps(h->w, 1);
    assert_int_equal(saros_lua_tasks(other.L), 0);
    close_state(&other);
    world_close(other.w);
    assert_int_equal(other.w->memory.blocks, 0);
    free(other.w);
    assert_int_equal(saros_lua_tasks(h->L), 1);
}

/* Sandboxes: many states share the host's one loop, and leave it one by one. */
static void states_may_share_a_loop(void **state) {
    enum { STATES = 5 };
    host *h = *state, boxes[STATES] = {{0}};
    open_all(h, SOCKET_DRIVER);
    for (int i = 0; i < STATES; i++) {
        boxes[i].w = h->w;
        boxes[i].L = new_state(&boxes[i], &boxes[i].lua);
        assert_result(saros_lua_attach(boxes[i].L, h->w->loop, i % 2 ? SAROS_LUA_INSTALL : 0), 0);
        spawn(&boxes[i], NULL, NULL,
              "local saros = require 'saros'; local l = saros.listen '127.0.0.1:0'\n"
              "saros.spawn(l.accept, l); saros.sleep(0); log 'here'; saros.sleep(3600)");
    }
    steps(h->w, 5);
    AWAIT(h->w, saros_step(h->w->loop, &(saros_limits){.gc = MILLISECOND}).outcome == SAROS_WAITING);
    for (int i = 0; i < STATES; i++) assert_log(&boxes[i], "here,");
    close_state(&boxes[2]);
    assert_result(saros_lua_detach(boxes[0].L), 0);
    steps(h->w, 3);
    for (int i = 0; i < STATES; i++)
        if (i != 2) assert_int_equal(saros_lua_tasks(boxes[i].L), i == 0 ? 0 : 2);
    world_close(h->w); /* tells the others */
    for (int i = 0; i < STATES; i++) {
        if (i == 2) continue;
        assert_int_equal(saros_lua_tasks(boxes[i].L), 0);
        close_state(&boxes[i]);
    }
}

/* ---- a script with loops of its own ---------------------------------------------------------------------------------- */

/* They allocate and report as the host's loop does, and nothing reaches the standard error. */
static void a_scripts_own_loops_are_the_hosts_too(void **state) {
    host  *h = *state;
    char   name[] = "/tmp/saros-embed-XXXXXX";
    int    file = mkstemp(name), kept = dup(2);
    size_t before;
    unlink(name);
    open_all(h, SOCKET_DRIVER);
    before = h->w->memory.blocks;
    fflush(stderr);
    dup2(file, 2);
    int status = luaL_dostring(h->L, "saros = require 'saros'; own = saros.loop {driver = 'none'}\n"
                                     "local task = own:spawn(error, 'in a loop of its own')\n"
                                     "own:run(saros.sleep, 0)\n"
                                     "saros.run(function() saros.spawn(error, 'in a run') saros.sleep(0) end)\n"
                                     "own:call_soon(error, 'in a callback') own:run(saros.sleep, 0)\n");
    fflush(stderr);
    dup2(kept, 2);
    if (status != LUA_OK) fail_msg("%s", lua_tostring(h->L, -1));
    assert_true(h->w->memory.blocks > before);
    assert_int_equal(lseek(file, 0, SEEK_END), 0);
    close(file);
    close(kept);
    assert_true(h->w->reports >= 2);
    spawn(h, NULL, NULL,
          "local outer = saros.current_loop()\n" /* another loop inside a task of the host's */
          "log(own:run(function() saros.sleep(0.001) return saros.current_loop() == own end))\n"
          "log(saros.current_loop() == outer) saros.sleep(0) log 'on'");
    until_tasks(h, 0);
    assert_log(h, "true,true,on,");
    spawn(h, NULL, NULL, "own:spawn(saros.sleep, 3600) own:step() saros.sleep(3600)"); /* both end with the state */
    steps(h->w, 2);
}

static void a_failure_to_open_reaches_the_script(void **state) {
    host *h = *state;
    open_all(h, "none");
    run(h, "local saros = require 'saros'; local ok, why = pcall(saros.loop, {driver = 'nonsense'})\n"
           "assert(not ok and why:find('cannot open a loop: ', 1, true) and why:find('nonsense'), why)");
}

/* ---- threads -------------------------------------------------------------------------------------------------------- */

enum { THREADS = 3, ROUNDS = 20 };

static const char echo[] =
    "local saros = require 'saros'\n"
    "local server = saros.serve('127.0.0.1:0', function(s) for line in s:lines() do s:write(line, '\\n') end end)\n"
    "local clients = {}\n"
    "for i = 1, 5 do clients[i] = function()\n"
    "   local s <close> = assert(saros.connect(server:address()))\n"
    "   for n = 1, 10 do s:write(n, '\\n') assert(s:read('n') == n and s:read() == '') end\n"
    "end end\n"
    "saros.gather(clients)\n"
    "server:shutdown(1)\n"
    "log 'done'\n";

/* cmocka may only be asked on the main thread: this one says with its result how it went. */
static void *host_on_a_thread(void *user) {
    host *h = user;
    for (int round = 0; round < ROUNDS; round++) {
        saros_config config = SAROS_CONFIG_INIT;
        saros_loop  *loop;
        config.alloc = memory_alloc;
        config.user = &h->w->memory;
        if (saros_open(&loop, &config, NULL, 0) < 0) return "open";
        lua_State *L = new_state(h, &h->lua);
        if (saros_lua_attach(L, loop, SAROS_LUA_INSTALL) < 0) return "attach";
        luaL_loadstring(L, echo);
        if (saros_lua_spawn(L, 0, NULL, "echo") != LUA_OK) return "spawn";
        lua_settop(L, 0);
        saros_time until = clock_now() + PATIENCE * SAROS_SECOND;
        while (saros_lua_tasks(L) > 0 && clock_now() < until)
            saros_step(loop, &(saros_limits){.wait = SAROS_SECOND, .gc = 1});
        if (strcmp(h->log, "done,") != 0) return "script";
        h->log[0] = 0;
        if (round % 2 == 0) lua_close(L);
        saros_close(loop);
        if (round % 2 == 1) lua_close(L);
        if (h->w->memory.blocks != 0 || h->lua.blocks != 0) return "memory";
    }
    return NULL;
}

static void hosts_on_threads_share_nothing(void **state) {
    host      hosts[THREADS];
    pthread_t threads[THREADS];
    (void)state;
    for (int i = 0; i < THREADS; i++) {
        hosts[i] = (host){.w = calloc(1, sizeof *hosts[i].w)};
        assert_int_equal(pthread_create(&threads[i], NULL, host_on_a_thread, &hosts[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        void *wrong;
        assert_int_equal(pthread_join(threads[i], &wrong), 0);
        if (wrong != NULL) fail_msg("thread %d: %s", i, (char *)wrong);
        free(hosts[i].w);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        EMBED_TEST(two_states_with_a_loop_each_do_not_meet), EMBED_TEST(states_may_share_a_loop),
        EMBED_TEST(a_scripts_own_loops_are_the_hosts_too),   EMBED_TEST(a_failure_to_open_reaches_the_script),
        EMBED_TEST(hosts_on_threads_share_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
