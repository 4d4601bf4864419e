/* files.c: a host whose memory runs out while a script reads and writes files. */
#include "embed.h"

/* fail(n): the n-th allocation from now on fails, and all after it; fail(0): none. */
static int fail_soon(lua_State *L) {
    host *h = lua_touserdata(L, lua_upvalueindex(1));
    h->lua.calls = 0;
    h->lua.fail_from = (size_t)lua_tointeger(L, 1);
    return 0;
}

static void a_task_goes_on_with_its_file_after_a_lack_of_memory(void **state) {
    host *h = *state;
    open_all(h, SOCKET_DRIVER);
    lua_pushlightuserdata(h->L, h);
    lua_pushcclosure(h->L, fail_soon, 1);
    lua_setglobal(h->L, "fail");
    spawn(h, NULL, NULL,
          "local saros = require 'saros'\n"
          "local name = os.tmpname()\n"
          "local f = assert(saros.open(name, 'w+'))\n"
          "assert(f:write(('x'):rep(100), '\\n'))\n"
          "local function try(method, ...)\n"
          "   local failures = 0\n"
          "   for i = 1, 1000 do\n"
          "      f:seek('set')\n"
          "      fail(i)\n"
          "      local ok = pcall(f[method], f, ...)\n"
          "      fail(0)\n"
          "      if ok then return failures > 0 end\n"
          "      failures = failures + 1\n"
          "      assert(f:seek('set') == 0)\n"
          "      local line, message = f:read()\n"
          "      assert(line == ('x'):rep(100), message)\n"
          "   end\n"
          "end\n"
          "log(try('read', 'l'))\n"
          "f:setvbuf('full', 1000)\n"
          "log(try('write', ('x'):rep(50), 12345678))\n" /* the joined string takes memory */
          "f:close()\n"
          "os.remove(name)\n");
    AWAIT(h->w, saros_lua_tasks(h->L) == 0);
    assert_log(h, "true,true,");
    close_state(h);
    assert_result(saros_close(h->w->loop), 0);
    h->w->loop = NULL;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        EMBED_TEST(a_task_goes_on_with_its_file_after_a_lack_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
