/* children.c: signals and child processes inside a host that has handlers of its own, and threads: I9, I10, B7. This one
 * must also be clean under the thread sanitizer. POSIX only. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>

#include "embed.h"

enum { STORM = THOROUGH ? 100000 : 10000, ROUNDS = THOROUGH ? 300 : 100 };

static atomic_int heard, reaped;

static void hear(int number) {
    (void)number;
    heard++;
}

/* As hosts do that have many children: all that have ended, whosever they are. */
static void reap_all(int number) {
    int error = errno;
    hear(number);
    while (waitpid(-1, NULL, WNOHANG) > 0) reaped++;
    errno = error;
}

typedef void handler_of_signals(int);

static void set(int number, handler_of_signals *handler) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    assert_int_equal(sigaction(number, &action, NULL), 0);
    heard = reaped = 0;
}

/* cppcheck-suppress constParameter ; it is a function */
static void assert_set(int number, handler_of_signals *handler) {
    struct sigaction now;
    assert_int_equal(sigaction(number, NULL, &now), 0);
    assert_true(now.sa_handler == handler);
}

static const char prelude[] = "saros = require 'saros'";

static void begin(host *h, const char *driver) {
    open_all(h, driver);
    luaL_requiref(h->L, "saros", luaopen_saros, 0);
    lua_settop(h->L, 0);
    run(h, prelude);
}

/* ---- signals ---------------------------------------------------------------------------------------------------- */

static void a_host_has_its_handler_back_when_the_last_source_closes(void **state) {
    host *h = *state;
    begin(h, "none");
    set(SIGUSR1, hear);
    run(h, "a, b = saros.signal.open('SIGUSR1'), saros.signal.open('SIGUSR1')");
    pthread_kill(pthread_self(), SIGUSR1);
    assert_int_equal(heard, 0);
    spawn(h, NULL, "waits", "log(a:wait(), b:wait()) a:close()");
    until_tasks(h, 0);
    assert_log(h, "SIGUSR1 SIGUSR1,");
    pthread_kill(pthread_self(), SIGUSR1);
    assert_int_equal(heard, 0);
    run(h, "b:close()");
    pthread_kill(pthread_self(), SIGUSR1);
    assert_int_equal(heard, 1);
    assert_set(SIGUSR1, hear);
    set(SIGUSR1, SIG_DFL);
}

static void what_a_host_sets_while_a_source_is_open_stays(void **state) {
    host *h = *state;
    begin(h, "none");
    run(h, "a = saros.signal.open('SIGUSR1')");
    set(SIGUSR1, hear);
    run(h, "a:close()");
    assert_set(SIGUSR1, hear);
    run(h, "a = saros.signal.open('SIGUSR1')");
    close_state(h); /* and with it all that is open */
    assert_set(SIGUSR1, hear);
    set(SIGUSR1, SIG_DFL);
}

static atomic_bool stormed;

static void *storm(void *p) {
    pthread_t loop = *(pthread_t *)p;
    for (int i = 0; i < STORM; i++) pthread_kill(i % 2 ? loop : pthread_self(), SIGUSR1);
    pthread_kill(loop, SIGUSR2);
    stormed = true;
    return NULL;
}

static void sources_open_and_close_in_a_storm_on_two_threads(void **state) {
    host     *h = *state;
    pthread_t self = pthread_self(), other;
    begin(h, SOCKET_DRIVER);
    set(SIGUSR1, hear);
    spawn(h, NULL, "counts",
          "local s <close> = saros.signal.open('SIGUSR1') n = 0 while not over do s:wait() n = n + 1 end");
    spawn(h, NULL, "ends", "saros.signal.wait('SIGUSR2') over = true");
    spawn(h, NULL, "churns", "repeat local s <close> = saros.signal.open('SIGUSR1') saros.sleep(0) until over");
    few_ops(h, 3);
    stormed = false;
    assert_int_equal(pthread_create(&other, NULL, storm, &self), 0);
    AWAIT(h->w, stormed && saros_lua_tasks(h->L) <= 1);
    pthread_join(other, NULL);
    pthread_kill(pthread_self(), SIGUSR1); /* for the one that waits for one more */
    until_tasks(h, 0);
    run(h, "log(n > 1)");
    assert_log(h, "true,");
    assert_int_equal(heard, 0);
    assert_set(SIGUSR1, hear);
    set(SIGUSR1, SIG_DFL);
}

/* ---- processes -------------------------------------------------------------------------------------------------- */

static void a_host_that_reaps_everybody_hears_of_its_children_and_nothing_hangs(void **state) {
    host *h = *state;
    begin(h, SOCKET_DRIVER);
    set(SIGCHLD, reap_all);
    spawn(h, NULL, "runs",
          "for i = 1, 20 do\n"
          "   local p <close> = assert(saros.process.spawn{'sh', '-c', 'exit 3'})\n"
          "   local how, number, code = p:wait()\n"
          "   if not (how == 'exit' and number == 3) and code ~= 'ECHILD' then log(how, number, code) end\n"
          "   if p:kill() then log('killed a stranger') end\n"
          "end");
    until_tasks(h, 0);
    assert_log(h, "");
    assert_true(heard > 0); /* of each, but for those that merge */
    assert_set(SIGCHLD, reap_all);
    set(SIGCHLD, SIG_DFL);
}

static void a_write_to_a_child_that_has_left_does_not_end_a_host_with_the_default_sigpipe(void **state) {
    host *h = *state;
    begin(h, SOCKET_DRIVER);
    assert_set(SIGPIPE, SIG_DFL);
    spawn(h, NULL, "writes",
          "local p <close> = assert(saros.process.spawn{'true', stdin = 'pipe'})\n"
          "p:wait()\n"
          "log(p.stdin:write('x'))\n"
          "log(saros.process.run{'true', input = ('x'):rep(1 << 20)}.ok)");
    until_tasks(h, 0);
    assert_log(h, "nil write: broken pipe EPIPE 0,true,");
    assert_set(SIGPIPE, SIG_DFL);
}

static void a_state_that_closes_leaves_no_child(void **state) {
    host *h = *state;
    begin(h, SOCKET_DRIVER);
    spawn(h, NULL, "begins",
          "for i = 1, 5 do assert(saros.process.spawn{'sleep', '100'}) end over = true saros.sleep(100)");
    for (;;) {
        saros_step(h->w->loop, &(saros_limits){.wait = SAROS_SECOND / 100});
        lua_getglobal(h->L, "over");
        bool over = lua_toboolean(h->L, -1);
        lua_settop(h->L, 0);
        if (over) break;
    }
    close_state(h);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

/* Loops on several threads, each with children, while signals come. */
static void *runs_children(void *p) {
    (void)p;
    lua_State *L = luaL_newstate();
    luaL_openlibs(L);
    luaL_requiref(L, "saros", luaopen_saros, 0);
    lua_setglobal(L, "saros");
    int failed =
        luaL_dostring(L, "saros.run(function()\n"
                         "   local s <close> = saros.signal.open('SIGUSR1')\n"
                         "   for i = 1, 20 do\n"
                         "      local r = assert(saros.process.run{'sh', '-c', 'cat; exit ' .. i, input = 'x'})\n"
                         "      assert(r.stdout == 'x' and r.code == i)\n"
                         "   end\n"
                         "end)");
    if (failed) fprintf(stderr, "%s\n", lua_tostring(L, -1));
    lua_close(L);
    return failed ? L : NULL;
}

static void threads_have_children_of_their_own(void **state) {
    pthread_t threads[3];
    void     *failed;
    (void)state;
    set(SIGUSR1, hear);
    for (int i = 0; i < 3; i++) assert_int_equal(pthread_create(&threads[i], NULL, runs_children, NULL), 0);
    for (int i = 0; i < ROUNDS; i++) pthread_kill(pthread_self(), SIGUSR1);
    for (int i = 0; i < 3; i++) {
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    assert_set(SIGUSR1, hear);
    set(SIGUSR1, SIG_DFL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        EMBED_TEST(a_host_has_its_handler_back_when_the_last_source_closes),
        EMBED_TEST(what_a_host_sets_while_a_source_is_open_stays),
        EMBED_TEST(sources_open_and_close_in_a_storm_on_two_threads),
        EMBED_TEST(a_host_that_reaps_everybody_hears_of_its_children_and_nothing_hangs),
        EMBED_TEST(a_write_to_a_child_that_has_left_does_not_end_a_host_with_the_default_sigpipe),
        EMBED_TEST(a_state_that_closes_leaves_no_child),
        EMBED_TEST(threads_have_children_of_their_own),
    };
    return cmocka_run_group_tests_name("children", tests, NULL, NULL);
}
