/* outside.c: futures that other threads complete, and tasks await: semantics 5, and what becomes of payloads. This one must
 * also be clean under the thread sanitizer. */
#include <pthread.h>
#include <stdatomic.h>

#include "embed.h"

enum { WORKERS = 4, JOBS = THOROUGH ? 100 : 25, ROUNDS = THOROUGH ? 50 : 20 };

static atomic_int released, pushed;

static int push_number(lua_State *L, void *data) {
    pushed++;
    lua_pushinteger(L, *(int *)data);
    lua_pushliteral(L, "second");
    return 2;
}

static int push_fails(lua_State *L, void *data) {
    (void)data;
    return luaL_error(L, "cannot push");
}

static void release(void *data) {
    released++;
    free(data);
}

static int *number(int value) {
    int *data = malloc(sizeof *data);
    if (data == NULL) abort();
    *data = value;
    return data;
}

/* The future that the script awaits with fetch(), or with fetch_then(x): its results behind a continuation's own values. */
static saros_future *fetched;

static int fetch(lua_State *L) { return saros_lua_await(L, fetched, 0, NULL); }

static int then_k(lua_State *L, int status, lua_KContext ctx) {
    (void)status;
    lua_pushinteger(L, (lua_Integer)ctx);
    return lua_gettop(L);
}
static int fetch_then(lua_State *L) { return saros_lua_await(L, fetched, 42, then_k); }

static void open_outside(host *h, const char *driver) {
    open_all(h, driver);
    lua_register(h->L, "fetch", fetch);
    lua_register(h->L, "fetch_then", fetch_then);
    released = pushed = 0;
    fetched = saros_future_new(h->w->loop);
    assert_non_null(fetched);
}

static void complete_number(int value) { saros_future_complete(fetched, 0, number(value), push_number, release); }

/* ---- results --------------------------------------------------------------------------------------------------- */

static void a_task_gets_what_push_pushes_and_the_payload_is_released(void **state) {
    host *h = *state;
    open_outside(h, "none");
    spawn(h, NULL, "waits", "log(fetch())");
    few_ops(h, 3);
    assert_log(h, "");
    complete_number(7);
    until_tasks(h, 0);
    assert_log(h, "7 second,");
    assert_int_equal(released, 1);
    assert_int_equal(pushed, 1);
}

static void what_is_completed_before_it_is_awaited_is_at_hand(void **state) {
    host *h = *state;
    open_outside(h, "none");
    complete_number(8);
    few_ops(h, 3);
    assert_int_equal(released, 0);
    spawn(h, NULL, "waits", "log(fetch())");
    until_tasks(h, 0);
    assert_log(h, "8 second,");
    assert_int_equal(released, 1);
}

static void a_continuation_has_the_results_on_top_of_its_own_stack(void **state) {
    host *h = *state;
    open_outside(h, "none");
    spawn(h, NULL, "waits", "log(fetch_then('mine', 'too'))");
    few_ops(h, 3);
    complete_number(9);
    until_tasks(h, 0);
    assert_log(h, "mine too 9 second 42,");
}

static void a_coroutine_of_the_scripts_own_awaits_as_its_task_does(void **state) {
    host *h = *state;
    open_outside(h, "none");
    spawn(h, NULL, "waits", "log(coroutine.wrap(function() return coroutine.wrap(fetch_then)('mine') end)())");
    few_ops(h, 3);
    complete_number(9);
    until_tasks(h, 0);
    assert_log(h, "mine 9 second 42,");
}

static void what_comes_for_a_coroutine_that_was_closed_is_released(void **state) {
    host *h = *state;
    open_outside(h, "none");
    spawn(h, NULL, "waits", "co = coroutine.create(fetch) log(coroutine.resume(co))");
    few_ops(h, 3);
    spawn(h, NULL, "closes", "log(coroutine.close(co))");
    until_tasks(h, 0);
    assert_log(h, "true,false the coroutine was closed while it waited,");
    complete_number(1);
    few_ops(h, 3);
    assert_int_equal(released, 1);
    assert_int_equal(pushed, 0);
}

static void a_status_below_zero_is_nil_message_and_code_and_no_push_is_true(void **state) {
    host *h = *state;
    open_outside(h, "none");
    spawn(h, NULL, "waits", "log(fetch())");
    few_ops(h, 3);
    saros_future_complete(fetched, SAROS_ECONNREFUSED, number(1), push_number, release);
    until_tasks(h, 0);
    assert_log(h, "nil connection refused ECONNREFUSED,");
    assert_int_equal(released, 1);
    assert_int_equal(pushed, 0);
    fetched = saros_future_new(h->w->loop);
    saros_future_complete(fetched, 0, NULL, NULL, NULL);
    spawn(h, NULL, "waits", "log(fetch())");
    until_tasks(h, 0);
    assert_log(h, "true,");
}

static void a_push_that_raises_raises_in_the_task_and_the_payload_is_released(void **state) {
    host *h = *state;
    open_outside(h, "none");
    spawn(h, NULL, "waits", "log(pcall(fetch))");
    few_ops(h, 3);
    saros_future_complete(fetched, 0, number(1), push_fails, release);
    until_tasks(h, 0);
    assert_non_null(strstr(h->log, "false cannot push"));
    h->log[0] = 0;
    assert_int_equal(released, 1);
}

/* ---- nobody waits any more ------------------------------------------------------------------------------------- */

static void what_comes_too_late_for_a_cancelled_task_is_released(void **state) {
    host *h = *state;
    open_outside(h, "none");
    spawn(h, NULL, "waits", "task = require 'saros'.current_task() fetch() log('went on')");
    few_ops(h, 3);
    run(h, "task:cancel()");
    until_tasks(h, 0);
    assert_int_equal(released, 0);
    complete_number(1);
    AWAIT(h->w, released == 1);
    assert_log(h, "");
    assert_int_equal(pushed, 0);
}

static void a_result_that_is_there_wins_over_a_cancellation_in_the_same_turn(void **state) {
    host *h = *state;
    open_outside(h, "none");
    spawn(h, NULL, "waits", "task = require 'saros'.current_task() log(fetch())");
    few_ops(h, 3);
    complete_number(5);
    few_ops(h, 1); /* told, and the task is ready */
    run(h, "task:cancel()");
    until_tasks(h, 0);
    assert_log(h, "5 second,");
    assert_int_equal(released, 1);
}

static void an_await_that_is_refused_drops_the_future(void **state) {
    host *h = *state;
    open_outside(h, "none");
    run(h, "log((select(2, pcall(fetch)):match('cannot await outside a task')))");
    assert_log(h, "cannot await outside a task,");
    complete_number(1);
    AWAIT(h->w, released == 1);
    fetched = saros_future_new(h->w->loop);
    spawn(h, NULL, "waits", "require 'saros'.current_task():cancel() fetch()");
    until_tasks(h, 0);
    complete_number(1);
    AWAIT(h->w, released == 2);
}

static void a_dropped_one_is_released_before_or_after_it_is_completed(void **state) {
    host *h = *state;
    open_outside(h, "none");
    saros_future_drop(fetched);
    complete_number(1);
    AWAIT(h->w, released == 1);
    fetched = saros_future_new(h->w->loop);
    complete_number(1);
    few_ops(h, 3);
    assert_int_equal(released, 1);
    saros_future_drop(fetched);
    assert_int_equal(released, 2);
}

static void one_that_is_completed_after_the_loop_has_closed_is_released(void **state) {
    host *h = *state;
    open_outside(h, "none");
    spawn(h, NULL, "waits", "local x <close> = setmetatable({}, {__close = function() log('closed') end}) fetch()");
    few_ops(h, 3);
    close_state(h);
    world_close(h->w);
    assert_log(h, "closed,");
    complete_number(1);
    assert_int_equal(released, 1);
}

static void a_loop_is_not_done_before_its_futures_are_completed(void **state) {
    host *h = *state;
    open_outside(h, "none");
    spawn(h, NULL, "waits", "log(fetch())");
    for (int i = 0; i < 5; i++) assert_int_equal(saros_step(h->w->loop, &(saros_limits){0}).outcome, SAROS_WAITING);
    complete_number(1);
    until_tasks(h, 0);
    assert_int_equal(saros_step(h->w->loop, &(saros_limits){0}).outcome, SAROS_DONE);
    assert_log(h, "1 second,");
}

/* ---- threads --------------------------------------------------------------------------------------------------- */

/* Futures on their way to the workers. */
typedef struct jobs {
    pthread_mutex_t lock;
    pthread_cond_t  more;
    saros_future   *list[WORKERS * JOBS + WORKERS];
    int             count;
    bool            over;
} jobs;

static jobs work = {.lock = PTHREAD_MUTEX_INITIALIZER, .more = PTHREAD_COND_INITIALIZER};

static void *complete_them(void *user) {
    (void)user;
    for (int i = 0;; i++) {
        pthread_mutex_lock(&work.lock);
        while (work.count == 0 && !work.over) pthread_cond_wait(&work.more, &work.lock);
        saros_future *future = work.count > 0 ? work.list[--work.count] : NULL;
        pthread_mutex_unlock(&work.lock);
        if (future == NULL) return NULL;
        saros_future_complete(future, i % 7 == 0 ? SAROS_EAGAIN : 0, number(i), push_number, release);
    }
}

/* compute(): gives a future to the workers, and awaits it. */
static int compute(lua_State *L) {
    const host   *h = lua_touserdata(L, lua_upvalueindex(1));
    saros_future *future = saros_future_new(h->w->loop);
    if (future == NULL) return luaL_error(L, "no memory");
    pthread_mutex_lock(&work.lock);
    work.list[work.count++] = future;
    pthread_cond_signal(&work.more);
    pthread_mutex_unlock(&work.lock);
    return saros_lua_await(L, future, 0, NULL);
}

static void threads_complete(host *h, const char *driver) {
    pthread_t threads[WORKERS];
    open_all(h, driver);
    released = pushed = 0;
    work.over = false;
    lua_pushlightuserdata(h->L, h);
    lua_pushcclosure(h->L, compute, 1);
    lua_setglobal(h->L, "compute");
    for (int i = 0; i < WORKERS; i++) assert_int_equal(pthread_create(&threads[i], NULL, complete_them, NULL), 0);
    lua_pushinteger(h->L, JOBS);
    lua_setglobal(h->L, "JOBS");
    for (int i = 0; i < WORKERS; i++)
        spawn(h, NULL, "computes",
              "local saros, right = require 'saros', 0\n"
              "for i = 1, JOBS do\n"
              "   local task = saros.spawn(compute)\n"
              "   saros.sleep(0)\n"
              "   if i % 5 == 0 then task:cancel() end\n"
              "   local ok, value, second = saros.pcall(task.await, task)\n"
              "   if not ok or second == 'second' or value == nil then right = right + 1 end\n"
              "end\n"
              "log(right == JOBS)");
    until_tasks(h, 0);
    AWAIT(h->w, released == WORKERS * JOBS);
    assert_log(h, "true,true,true,true,");
    assert_true(pushed > 0 && pushed < WORKERS * JOBS);
    pthread_mutex_lock(&work.lock);
    work.over = true;
    pthread_cond_broadcast(&work.more);
    pthread_mutex_unlock(&work.lock);
    for (int i = 0; i < WORKERS; i++) pthread_join(threads[i], NULL);
    close_state(h);
    world_close(h->w);
}

static void threads_complete_what_tasks_await_and_cancel(void **state) { each_driver(*state, threads_complete); }

static int await_this(lua_State *L) { return saros_lua_await(L, lua_touserdata(L, 1), 0, NULL); }

static void *complete_one(void *user) {
    saros_future_complete(user, 0, number(1), push_number, release);
    return NULL;
}

/* The test's own allocator is for one thread. */
static void plain_memory(saros_config *config) { config->alloc = NULL; }

/* Whichever is first: nothing is lost, nothing is freed twice. */
static void a_loop_closes_while_threads_complete(void **state) {
    host *h = *state;
    for (int round = 0; round < ROUNDS; round++) {
        pthread_t threads[WORKERS];
        assert_int_equal(world_open(h->w, "none", plain_memory), 0);
        h->L = new_state(h, &h->lua);
        assert_result(saros_lua_attach(h->L, h->w->loop, SAROS_LUA_INSTALL), 0);
        released = 0;
        for (int i = 0; i < WORKERS; i++) {
            saros_future *mine = saros_future_new(h->w->loop);
            lua_pushcfunction(h->L, await_this);
            lua_pushlightuserdata(h->L, mine);
            assert_int_equal(saros_lua_spawn(h->L, 1, NULL, NULL), LUA_OK);
            lua_settop(h->L, 0);
            few_ops(h, 2 * WORKERS); /* it has begun */
            assert_int_equal(pthread_create(&threads[i], NULL, complete_one, mine), 0);
        }
        if (round % 2 == 0) few_ops(h, 2);
        close_state(h);
        world_close(h->w);
        for (int i = 0; i < WORKERS; i++) pthread_join(threads[i], NULL);
        assert_int_equal(released, WORKERS);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        EMBED_TEST(a_task_gets_what_push_pushes_and_the_payload_is_released),
        EMBED_TEST(what_is_completed_before_it_is_awaited_is_at_hand),
        EMBED_TEST(a_continuation_has_the_results_on_top_of_its_own_stack),
        EMBED_TEST(a_coroutine_of_the_scripts_own_awaits_as_its_task_does),
        EMBED_TEST(what_comes_for_a_coroutine_that_was_closed_is_released),
        EMBED_TEST(a_status_below_zero_is_nil_message_and_code_and_no_push_is_true),
        EMBED_TEST(a_push_that_raises_raises_in_the_task_and_the_payload_is_released),
        EMBED_TEST(what_comes_too_late_for_a_cancelled_task_is_released),
        EMBED_TEST(a_result_that_is_there_wins_over_a_cancellation_in_the_same_turn),
        EMBED_TEST(an_await_that_is_refused_drops_the_future),
        EMBED_TEST(a_dropped_one_is_released_before_or_after_it_is_completed),
        EMBED_TEST(one_that_is_completed_after_the_loop_has_closed_is_released),
        EMBED_TEST(a_loop_is_not_done_before_its_futures_are_completed),
        EMBED_TEST(threads_complete_what_tasks_await_and_cancel),
        EMBED_TEST(a_loop_closes_while_threads_complete),
    };
    return cmocka_run_group_tests_name("outside", tests, NULL, NULL);
}
