/* inside_uv.c: a libuv program, with a loop and timers of its own, that has Saros inside.
 *
 * cc inside_uv.c $(pkg-config --cflags --libs lua5.4 libuv) -lsaros -lpthread -o inside_uv && ./inside_uv
 *
 * The thread is libuv's: nothing here blocks but uv_run. It watches two things for Saros: the descriptor that becomes
 * readable when a step would find something (saros_pollable), and the next deadline (status.next). Whatever happens, it
 * takes a step that does not wait, of at most 2 ms, so that the program's own handles have their turn. Any driver with
 * such a descriptor will do; this one uses epoll. */
#include <stdio.h>

#include <lauxlib.h>
#include <lualib.h>
#include <uv.h>

#include <saros/saros_lua.h>

enum { HEARTBEAT = 10 /* milliseconds */ };

static saros_loop *loop;
static uv_poll_t   readable;
static uv_timer_t  deadline, heartbeat;
static unsigned    beats;
static int         broken;

/* What would go to stderr: nothing of Saros's writes there by itself. */
static void report(void *user, const char *text) { printf("%s: %s\n", (const char *)user, text); }

/* The program's own work goes on meanwhile. */
static void beat(uv_timer_t *timer) {
    (void)timer;
    beats++;
}

static void leave(void) {
    uv_close((uv_handle_t *)&readable, NULL);
    uv_close((uv_handle_t *)&deadline, NULL);
    uv_close((uv_handle_t *)&heartbeat, NULL);
}

static void step(void);
static void on_readable(uv_poll_t *handle, int status, int events) { (void)handle, (void)status, (void)events, step(); }
static void on_deadline(uv_timer_t *timer) { (void)timer, step(); }

static void step(void) {
    saros_status status = saros_step(loop, &(saros_limits){.wait = 0, .budget = 2000000});
    if (status.outcome == SAROS_DONE || status.outcome == SAROS_BROKEN) {
        broken = status.error;
        leave();
    } else if (status.outcome == SAROS_WAITING && status.next == SAROS_FOREVER) {
        uv_timer_stop(&deadline);
    } else {
        saros_time left = status.outcome == SAROS_MORE ? 0 : status.next - saros_now(loop);
        uv_update_time(uv_default_loop()); /* libuv counts from the time it remembers */
        uv_timer_start(&deadline, on_deadline, left > 0 ? (uint64_t)(left + 999999) / 1000000 : 0, 0);
    }
}

int main(void) {
    char         why[200];
    uv_loop_t   *host = uv_default_loop();
    saros_config config = SAROS_CONFIG_INIT;
    config.driver = "epoll";
    config.report = report;
    config.user = "saros";
    if (saros_open(&loop, &config, why, sizeof why) < 0) return fprintf(stderr, "%s\n", why), 1;

    lua_State *L = luaL_newstate();
    luaL_openlibs(L);
    if (saros_lua_attach(L, loop, SAROS_LUA_INSTALL) < 0) return fprintf(stderr, "no memory\n"), 1;
    if (luaL_dofile(L, "inside_uv.lua") != LUA_OK) return fprintf(stderr, "%s\n", lua_tostring(L, -1)), 1;
    lua_getglobal(L, "main");
    if (saros_lua_spawn(L, 0, NULL, "main") != LUA_OK) return fprintf(stderr, "%s\n", lua_tostring(L, -1)), 1;

    uv_timer_init(host, &heartbeat);
    uv_timer_start(&heartbeat, beat, HEARTBEAT, HEARTBEAT);
    uv_timer_init(host, &deadline);
    uv_poll_init(host, &readable, saros_pollable(loop));
    uv_poll_start(&readable, UV_READABLE, on_readable);
    step(); /* the first one starts main */
    uv_run(host, UV_RUN_DEFAULT);

    lua_getglobal(L, "answers");
    int answers = (int)lua_tointeger(L, -1);
    printf("%d answers; libuv's own timer went on: %s\n", answers, beats >= 5 ? "yes" : "no");
    size_t left = saros_lua_tasks(L);
    lua_close(L);
    saros_close(loop);
    uv_loop_close(host);
    return broken != 0 || left > 0 || answers != 30 || beats < 5;
}
