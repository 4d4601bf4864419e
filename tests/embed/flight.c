/* flight.c: a driver that works on a string while everything else goes: task, coroutine, stream, state, loop.
 *
 * On a completion kernel a send that was cancelled still reads its bytes until it ends. The fake driver does the same:
 * it keeps a cancelled send until its next wait, and then reads all of it, which AddressSanitizer watches. */
#include "embed.h"
#include "support/fake_driver.h"

#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static size_t sends_read, closes;
static bool   wins; /* a cancel comes too late */

/* Reads what a send is of. */
static void read_send(const saros_op *op) {
    if (op->kind != SAROS_OP_SEND) return;
    const char *data = op->data;
    for (size_t i = 0; i < op->size; i++)
        if (data[i] != 'x') fail_msg("byte %zu of a string that is being sent is %d", i, data[i]);
    sends_read++;
}

static void late_wait(saros_time timeout) {
    bool found = false;
    for (size_t i = 0; i < fake.count; i++) read_send(fake.flying[i]);
    for (size_t i = fake.count; i-- > 0;) {
        saros_op *op = fake.flying[i];
        if (!fake.cancelled[i] && op->kind != SAROS_OP_CLOSE) continue;
        closes += op->kind == SAROS_OP_CLOSE;
        fake_finish(op, fake.cancelled[i] && !wins ? SAROS_ECANCELED : 0);
        found = true;
    }
    if (found || timeout == 0) return;
    if (timeout == SAROS_FOREVER) fail_msg("the loop would sleep for ever");
    fake.clock += timeout;
}

static bool sends(void) {
    for (size_t i = 0; i < fake.count; i++)
        if (fake.flying[i]->kind == SAROS_OP_SEND) return true;
    return false;
}

static void open_fake(host *h, unsigned flags) {
    sends_read = closes = 0;
    wins = false;
    if (world_open(h->w, "sim", NULL) < 0) fail_msg("%s", h->w->why);
    h->L = new_state(h, &h->lua);
    run(h, "own_close = coroutine.close");
    assert_result(saros_lua_attach(h->L, h->w->loop, flags), 0);
    fake.wait = late_wait;
    fake.slow_cancel = fake.now = true;
    run(h, "saros = require 'saros'");
}

/* A task, global `writer`, whose send is with the driver; nothing else knows the string. */
static void begin(host *h, unsigned flags) {
    open_fake(h, flags);
    spawn(h, NULL, NULL, "stream = assert(saros.connect '127.0.0.1:1')");
    until_tasks(h, 0);
    fake.now = false;
    spawn(h, NULL, NULL,
          "writer = saros.current_task(); co = coroutine.running()\n"
          "log(pcall(stream.write, stream, ('x'):rep(100000)))");
    steps(h->w, 3);
    assert_true(sends());
    run(h, "collectgarbage(); collectgarbage()");
}

/* The send has ended, and its bytes were there to the end. */
static void check(const host *h) {
    assert_false(sends());
    assert_true(sends_read > 0);
    (void)h;
}

static void rubbish(host *h) { /* what is free now is used again */
    run(h, "collectgarbage(); collectgarbage(); local t = {} for i = 1, 50 do t[i] = ('y'):rep(100000 + i) end");
}

static void a_writer_that_is_cancelled_keeps_its_string(void **state) {
    host *h = *state;
    begin(h, SAROS_LUA_INSTALL);
    run(h, "writer:cancel(); writer = nil");
    rubbish(h);
    until_tasks(h, 0);
    check(h);
    run(h, "stream:close()");
    assert_int_equal(saros_drain(h->w->loop, SAROS_SECOND), 0);
    close_state(h);
}

static void a_stream_that_is_closed_under_its_writer_keeps_the_string(void **state) {
    host *h = *state;
    begin(h, SAROS_LUA_INSTALL);
    run(h, "stream:close(); stream = nil");
    rubbish(h);
    until_tasks(h, 0);
    check(h);
    assert_log(h, "true nil closed ECLOSED 0,");
    assert_int_equal(saros_drain(h->w->loop, SAROS_SECOND), 0);
    close_state(h);
}

static void detaching_waits_for_the_driver(void **state) {
    host *h = *state;
    begin(h, SAROS_LUA_INSTALL);
    assert_result(saros_lua_detach(h->L), 0);
    check(h);
    rubbish(h);
    steps(h->w, 3);
    close_state(h);
}

static void lua_close_waits_for_the_driver(void **state) {
    host *h = *state;
    begin(h, SAROS_LUA_INSTALL);
    close_state(h);
    check(h);
    steps(h->w, 3);
}

static void closing_the_loop_first_waits_too(void **state) {
    host *h = *state;
    begin(h, SAROS_LUA_INSTALL);
    world_close(h->w);
    check(h);
    rubbish(h);
    close_state(h);
}

/* Without install() a script can close a task's coroutine; with it, who kept Lua's own function still can. */
static void a_coroutine_closed_behind_the_loops_back_leaves_the_string(void **state) {
    host *h = *state;
    for (int way = 0; way < 3; way++) {
        begin(h, way == 0 ? 0 : SAROS_LUA_INSTALL);
        if (way == 0) run(h, "coroutine.close(co); co = nil");
        else run(h, "own_close(co); co = nil");
        if (way == 2) run(h, "writer = nil; stream = nil"); /* now only the driver knows of them */
        rubbish(h);
        assert_true(sends());
        saros_wake(h->w->loop);
        run(h, "if writer then writer:cancel() end");
        for (int i = 0; i < 3; i++) rubbish(h), steps(h->w, 1);
        close_state(h);
        check(h);
        world_close(h->w);
        h->log[0] = 0;
    }
}

/* In the child, when the state is gone: is nothing of it with the driver any more? */
static void closed_before_exit(void) {
    if (sends() || sends_read == 0) syscall(SYS_exit_group, 8);
    syscall(SYS_exit_group, 7); /* at the end sanitizers would complain of the frames that are left */
}

/* The frames of the loop are below lua_close, which frees every string. */
static void os_exit_inside_a_task_waits_for_the_driver(void **state) {
    host *h = *state;
    int   status;
    begin(h, SAROS_LUA_INSTALL);
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        spawn(h, NULL, NULL, "os.exit(7, true)");
        atexit(closed_before_exit);
        steps(h->w, 2);
        syscall(SYS_exit_group, 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 7);
    close_state(h);
}

/* ---- connections ------------------------------------------------------------------------------------------------ */

/* Two that are on their way when everything ends, and come all the same: nobody may be left with them open. */
static void a_connection_that_is_won_while_its_task_is_ended_is_closed(void **state) {
    host *h = *state;
    for (int way = 0; way < 4; way++) {
        open_fake(h, SAROS_LUA_INSTALL);
        run(h, "listener = saros.listen '127.0.0.1:1'");
        fake.now = false;
        wins = true;
        spawn(h, NULL, NULL, "me = saros.current_task(); local s = listener:accept(); log(s ~= nil); saros.sleep(1)");
        spawn(h, NULL, NULL, "log(saros.connect '127.0.0.1:1')");
        steps(h->w, 3);
        assert_int_equal(fake.count, 2);
        if (way == 0) assert_result(saros_lua_detach(h->L), 0);
        if (way == 1) world_close(h->w);
        if (way == 2) {
            run(h, "me:cancel()");
            until_tasks(h, 1);
            assert_log(h, "true,"); /* delivered; the next await was cancelled */
            run(h, "collectgarbage()");
            steps(h->w, 3);
        }
        if (way == 3) run(h, "listener:close()"), steps(h->w, 3);
        close_state(h);
        assert_int_equal(closes, 3);
        h->log[0] = 0;
        if (way != 1) world_close(h->w);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        EMBED_TEST(a_writer_that_is_cancelled_keeps_its_string),
        EMBED_TEST(a_stream_that_is_closed_under_its_writer_keeps_the_string),
        EMBED_TEST(detaching_waits_for_the_driver),
        EMBED_TEST(lua_close_waits_for_the_driver),
        EMBED_TEST(closing_the_loop_first_waits_too),
        EMBED_TEST(a_coroutine_closed_behind_the_loops_back_leaves_the_string),
        EMBED_TEST(os_exit_inside_a_task_waits_for_the_driver),
        EMBED_TEST(a_connection_that_is_won_while_its_task_is_ended_is_closed),
    };
    return cmocka_run_group_tests_name("flight", tests, NULL, NULL);
}
