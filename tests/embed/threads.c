/* threads.c: threads of a host's: what crosses from state to state, hosts that run out of memory, what threads report. How
 * they end in every order is in order.c; this one must also be clean under the thread sanitizer. */
#include "embed.h"

#include "bindings/lua/threads/threads.h"

/* ---- messages --------------------------------------------------------------------------------------------------- */

/* make(seed): some value, mostly a table with tables in it, some of them more than once; text(v): all that is in it, the
 * same for the same value in every state. */
static const char values[] =
    "local function random(r, n) r.seed = (r.seed * 1103515245 + 12345) % 2147483648; return r.seed // 65536 % n + 1 end\n"
    "local function value(r, depth)\n"
    "   local kind = random(r, 12)\n"
    "   if kind == 1 then return random(r, 2) == 1 end\n"
    "   if kind == 2 then return (random(r, 2) - 1.5) * 2 ^ random(r, 70) end\n"
    "   if kind == 3 then return random(r, 1 << 15) << random(r, 60) end\n"
    "   if kind == 4 then return random(r, 1000) / 8 end\n"
    "   if kind == 5 then return ('\\0s\\255'):rep(random(r, 100)) end\n"
    "   if kind == 6 and #r.all > 0 then return r.all[random(r, #r.all)] end\n"
    "   if depth > 6 or #r.all > 60 then return 'deep' end\n"
    "   local t = {}\n"
    "   r.all[#r.all + 1] = t\n"
    "   for i = 1, random(r, 8) - 1 do t[i] = value(r, depth + 1) end\n"
    "   for i = 1, random(r, 6) - 1 do\n"
    "      local k = value(r, depth + 1)\n"
    "      if type(k) ~= 'table' and k == k then t[k] = value(r, depth + 1) end\n"
    "   end\n"
    "   return t\n"
    "end\n"
    "function make(seed) return value({seed = seed, all = {}}, 0) end\n"
    "local function plain(v) return type(v) == 'string' and ('%q'):format(v) or math.type(v) and ('%q'):format(v)\n"
    "   or tostring(v) end\n"
    "function text(v)\n"
    "   local numbers, order = {}, {}\n"
    "   local function name(x)\n"
    "      if type(x) ~= 'table' then return plain(x) end\n"
    "      if not numbers[x] then order[#order + 1] = x; numbers[x] = #order end\n"
    "      return 'table ' .. numbers[x]\n"
    "   end\n"
    "   local out, i = {name(v)}, 1\n"
    "   while order[i] do\n"
    "      local keys = {}\n"
    "      for k in pairs(order[i]) do keys[#keys + 1] = k end\n"
    "      table.sort(keys, function(a, b) return plain(a) < plain(b) end)\n"
    "      for _, k in ipairs(keys) do out[#out + 1] = i .. '[' .. plain(k) .. '] = ' .. name(order[i][k]) end\n"
    "      i = i + 1\n"
    "   end\n"
    "   return table.concat(out, '\\n')\n"
    "end\n";

/* Pushes fn(value on top, popped). */
static void call(lua_State *L, const char *fn) {
    lua_getglobal(L, fn);
    lua_insert(L, -2);
    if (lua_pcall(L, 1, 1, 0) != LUA_OK) fail_msg("%s: %s", fn, lua_tostring(L, -1));
}

static void values_are_the_same_in_the_other_state(void **state) {
    host *h = *state;
    open_all(h, "none");
    run(h, "saros = require 'saros'; local _ = saros.thread");
    lua_State *from = h->L, *to = luaL_newstate();
    assert_non_null(to);
    luaL_openlibs(to);
    if (luaL_dostring(from, values) != LUA_OK || luaL_dostring(to, values) != LUA_OK)
        fail_msg("%s", lua_tostring(from, -1));
    size_t largest = 0;
    for (int seed = 0; seed < (THOROUGH ? 3000 : 300); seed++) {
        lua_pushinteger(from, seed);
        call(from, "make");
        saros_message *message = saros_pack(from, 1, 1, "test", NULL, 0);
        lua_settop(from, 1);
        call(from, "text");
        largest = message->size > largest ? message->size : largest;
        assert_int_equal(saros_unpack(to, message), 1);
        saros_messages_free(message);
        call(to, "text");
        assert_string_equal(lua_tostring(from, 1), lua_tostring(to, 1));
        lua_settop(from, 0);
        lua_settop(to, 0);
    }
    assert_true(largest > 1000); /* there was something in them */
    lua_close(to);
}

/* protected: unpacks light userdata 1. */
static int unpack_it(lua_State *L) {
    void *message = lua_touserdata(L, 1);
    return saros_unpack(L, message);
}

/* Whatever has become a state's by then is closed with it; the rest with the message: the channel's other ends notice. */
static void a_message_that_finds_no_memory_leaves_nothing(void **state) {
    host *h = *state;
    open_all(h, "none");
    run(h,
        "saros = require 'saros'\n"
        "function make() local t = {}; rx = {}\n"
        "   for i = 1, 5 do local a, b = saros.thread_channel(1); t[i] = {a, ('x'):rep(i * 100)}; rx[i] = b end\n"
        "   return t end\n"
        "function check() collectgarbage(); for i = 1, 5 do assert(select(3, rx[i]:try_receive()) == 'EEOF') end end");
    for (size_t n = 1, done = 0; !done; n++) {
        lua_getglobal(h->L, "make");
        lua_call(h->L, 0, 1);
        saros_message *message = saros_pack(h->L, 1, 1, "test", NULL, 0);
        saros_ends_sent(h->L, 2);
        lua_settop(h->L, 0);
        lua_pushcfunction(h->L, unpack_it);
        lua_pushlightuserdata(h->L, message);
        h->lua.fail_from = h->lua.calls + n;
        done = lua_pcall(h->L, 1, 1, 0) == LUA_OK;
        h->lua.fail_from = 0;
        saros_messages_free(message);
        lua_settop(h->L, 0);
        run(h, "check()");
        assert_true(n > 10 || !done);
    }
}

/* ---- threads ---------------------------------------------------------------------------------------------------- */

static int fail_after(lua_State *L) {
    memory *m = lua_touserdata(L, lua_upvalueindex(1));
    size_t  n = (size_t)luaL_checkinteger(L, 1);
    m->fail_from = n > 0 ? m->calls + n : 0;
    return 0;
}

static void a_host_that_runs_out_of_memory_loses_no_thread(void **state) {
    host *h = *state;
    open_all(h, SOCKET_DRIVER);
    lua_pushlightuserdata(h->L, &h->lua);
    lua_pushcclosure(h->L, fail_after, 1);
    lua_setglobal(h->L, "fail");
    spawn(
        h, NULL, "sweep",
        "local saros = require 'saros'\n"
        "local function work(rx, tx, t) for v in rx do tx:send {v, t} end return t end\n"
        "local function scenario()\n"
        "   local tx, far = saros.thread_channel(0); local back, rx = saros.thread_channel(0)\n"
        "   local _a <close>, t = tx, saros.thread(work, far, back, {1, 2, 3, x = {}})\n"
        "   local _b <close> = rx\n"
        "   tx:send('a'); rx:receive(); tx:send('b'); rx:receive(); tx:close()\n"
        "   assert(#t:await() == 3)\n"
        "end\n"
        "scenario()\n"
        "local i = 0\n"
        "repeat\n"
        "   i = i + 1\n"
        "   fail(i)\n"
        "   local ok, err = saros.pcall(scenario)\n"
        "   fail(0)\n"
        "   collectgarbage()\n"
        "   while #saros.all_tasks() > 1 do\n"
        "      for _, task in ipairs(saros.all_tasks()) do if task ~= saros.current_task() then task:cancel() end end\n"
        "      saros.sleep(0.001)\n"
        "   end\n"
        "until ok\n"
        "log(i > 50)");
    until_tasks(h, 0);
    assert_log(h, "true,");
}

static void what_a_thread_reports_comes_to_the_host(void **state) {
    host *h = *state;
    open_all(h, SOCKET_DRIVER);
    spawn(h, NULL, "main",
          "local saros = require 'saros'\n"
          "saros.thread({name = 'far'}, function() local saros = require 'saros'\n"
          "   saros.spawn(error, 'nobody awaits this', 0):set_name('inner'); saros.sleep(0) end):await()\n"
          "log('ended')");
    until_tasks(h, 0);
    assert_log(h, "ended,");
    assert_non_null(strstr(h->w->report, "task inner"));
    assert_non_null(strstr(h->w->report, "nobody awaits this"));
}

static void a_host_can_take_threads_away_from_scripts(void **state) {
    host *h = *state;
    open_all(h, "none");
    run(h, "local s = require 'saros'; s.thread, s.pool, s.thread_channel = false, false, false");
    run(h, "local s = require 'saros'; assert(not s.thread and not s.pool and not s.thread_channel)");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        EMBED_TEST(values_are_the_same_in_the_other_state),
        EMBED_TEST(a_message_that_finds_no_memory_leaves_nothing),
        EMBED_TEST(a_host_that_runs_out_of_memory_loses_no_thread),
        EMBED_TEST(what_a_thread_reports_comes_to_the_host),
        EMBED_TEST(a_host_can_take_threads_away_from_scripts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
