/* steps.c: scripts that go by the host's frames: saros.next_step, clocks that a script moves, first steps inside a call. */
#include "embed.h"

static const char follower[] = "local saros = require 'saros'\n"
                               "while true do\n"
                               "   local dt, number = saros.next_step()\n"
                               "   log(number, dt >= 0)\n"
                               "end\n";

static saros_status step_now(host *h) { return saros_step(h->w->loop, &(saros_limits){.wait = 0}); }

static void a_task_goes_on_in_the_next_step_and_never_in_the_same(void **state) {
    host *h = *state;
    open_all(h, "none");
    spawn(h, NULL, "follower", follower);
    assert_int_equal(step_now(h).outcome, SAROS_WAITING); /* the host may yet step: that is not nothing */
    assert_log(h, "");
    for (int i = 0; i < 3; i++) assert_int_equal(step_now(h).outcome, SAROS_WAITING);
    assert_log(h, "2 true,3 true,4 true,");
}

static void draining_is_no_step(void **state) {
    host *h = *state;
    open_all(h, "none");
    spawn(h, NULL, "follower", follower);
    steps(h->w, 1);
    assert_result(saros_drain(h->w->loop, MILLISECOND), SAROS_ETIMEDOUT);
    assert_log(h, "");
    step_now(h);
    assert_log(h, "2 true,");
}

static void a_cancelled_follower_lets_the_loop_be_done(void **state) {
    host        *h = *state;
    saros_scope *scope;
    open_all(h, "none");
    assert_non_null(scope = saros_scope_new(h->L));
    spawn(h, scope, "follower", follower);
    steps(h->w, 2);
    saros_scope_cancel(scope, "quit");
    assert_result(saros_drain(h->w->loop, SAROS_SECOND), 0);
    assert_int_equal(saros_lua_tasks(h->L), 0);
    assert_int_equal(step_now(h).outcome, SAROS_DONE);
    saros_scope_free(scope);
}

static void a_step_with_no_budget_loses_no_time(void **state) {
    host *h = *state;
    open_all(h, "none");
    spawn(h, NULL, "sum",
          "local saros = require 'saros'\n"
          "local began, sum = nil, 0\n"
          "saros.next_step() began = saros.now()\n"
          "for _ = 1, 5 do sum = sum + saros.next_step() end\n"
          "log(math.abs(saros.now() - began - sum) < 1)");
    spawn(h, NULL, "other", "for _ = 1, 20 do require 'saros'.sleep(0) end");
    for (int i = 0; i < 200 && saros_lua_tasks(h->L) > 0; i++)
        saros_step(h->w->loop, &(saros_limits){.wait = 0, .budget = 1});
    assert_int_equal(saros_lua_tasks(h->L), 0);
    assert_log(h, "true,");
}

static void the_frame_moves_a_clock_in_lock_step(void **state) {
    host *h = *state;
    open_all(h, "none");
    run(h, "local saros = require 'saros' clock = saros.clock{manual = true}\n"
           "saros.spawn(function() saros.group({clock = clock}, function(g)\n"
           "   g:spawn(function() for late in saros.every(0.5) do log(saros.now(), late) end end)\n"
           "end) end)");
    steps(h->w, 2);
    for (int i = 0; i < 4; i++) {
        run(h, "clock:advance(0.25)");
        steps(h->w, 2);
    }
    assert_log(h, "0.5 0.0,1.0 0.0,");
}

static void a_host_may_start_eagerly_between_its_steps(void **state) {
    host *h = *state;
    open_all(h, "none");
    run(h, "local saros = require 'saros'\n"
           "local task = saros.spawn_now(function() log('first') saros.sleep(0) log('second') end)\n"
           "log(task:done(), saros.current_task())");
    assert_log(h, "first,false nil,");
    until_tasks(h, 0);
    assert_log(h, "second,");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        EMBED_TEST(a_task_goes_on_in_the_next_step_and_never_in_the_same),
        EMBED_TEST(draining_is_no_step),
        EMBED_TEST(a_cancelled_follower_lets_the_loop_be_done),
        EMBED_TEST(a_step_with_no_budget_loses_no_time),
        EMBED_TEST(the_frame_moves_a_clock_in_lock_step),
        EMBED_TEST(a_host_may_start_eagerly_between_its_steps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
