/* minimal.c: a game in forty lines that has a Lua state, a main loop, and Saros stepped once a frame.
 *
 * cc minimal.c $(pkg-config --cflags --libs lua5.4) -lsaros -luring -lpthread -o minimal && ./minimal
 *
 * The frame is the host's: it gives the loop 2 ms a frame for tasks and half a millisecond for Lua's collector, and
 * never waits for it. Tasks sleep, await and run `<close>` handlers as in any other script. Driver "none" has timers and
 * nothing else, so a frame in which nothing is due costs no kernel call but the clock's. */
#include <stdio.h>
#include <time.h>

#include <lauxlib.h>
#include <lualib.h>

#include <saros/saros_lua.h>

enum { FRAMES = 30, FRAME_TIME = 16666667 /* nanoseconds */ };

/* What would go to stderr: nothing of Saros's writes there by itself. */
static void report(void *user, const char *text) { printf("%s: %s\n", (const char *)user, text); }

/* Waits for the display; a game would draw here. */
static void render(int frame) {
    if (frame % 10 == 0) printf("frame %d\n", frame);
    nanosleep(&(struct timespec){.tv_nsec = FRAME_TIME}, NULL);
}

/* Starts a function of the script as a task of the level. */
static void start(lua_State *L, saros_scope *level, const char *function) {
    lua_getglobal(L, function);
    if (saros_lua_spawn(L, 0, level, function) != LUA_OK) report("spawn", luaL_tolstring(L, -1, NULL));
    lua_settop(L, 0);
}

int main(void) {
    char         why[200];
    saros_loop  *loop;
    saros_config config = SAROS_CONFIG_INIT; /* config.alloc would make it all use the game's own memory */
    config.driver = "none";
    config.report = report;
    config.user = "saros";
    if (saros_open(&loop, &config, why, sizeof why) < 0) return fprintf(stderr, "%s\n", why), 1;

    lua_State *L = luaL_newstate();
    luaL_openlibs(L);
    if (saros_lua_attach(L, loop, SAROS_LUA_INSTALL) < 0) return fprintf(stderr, "no memory\n"), 1;
    if (luaL_dofile(L, "minimal.lua") != LUA_OK) return fprintf(stderr, "%s\n", lua_tostring(L, -1)), 1;

    saros_scope *level = saros_scope_new(L); /* all that ends with the level */
    start(L, level, "boss");
    start(L, level, "weather");
    for (int frame = 1; frame <= FRAMES; frame++) {
        saros_step(loop, &(saros_limits){.wait = 0, .budget = 2000000, .gc = 500000});
        render(frame);
    }

    saros_scope_cancel(level, "the level is over"); /* each task learns it at its next await … */
    saros_drain(loop, 100000000);                   /* … and has a tenth of a second to leave in peace */
    size_t left = saros_lua_tasks(L);
    printf("%zu tasks are left\n", left);
    saros_lua_detach(L);
    lua_close(L);
    saros_close(loop);
    return left > 0;
}
