-- thread_spec.lua: saros.thread: functions in states, on loops and on threads of their own; what crosses.

-- luacheck: ignore 431 (what runs on threads requires and is given everything anew)
local saros = require "saros"
local kit = require "support.kit"
require("support.leaks")(before_each, after_each)

local it_runs = kit.needs("threads", it, pending)

-- What fn gives back in another thread.
local function there(fn, ...) return saros.thread(fn, ...):await() end

describe("saros.thread", function()
   it_runs("gives the function's results, which ran on a loop of its own with this one's driver", function()
      local sum, driver, name, same = there(function(a, b)
         local saros = require "saros"
         saros.sleep(0.001)
         return a + b, saros.current_loop():driver(), saros.current_task():name(), _G.busted
      end, 1, 2)
      assert.are.equal(3, sum)
      assert.are.equal(kit.driver, driver)
      assert.matches("^thread%-%d+$", name)
      assert.is_nil(same)
   end)

   it_runs("runs beside this loop, and begins before the call returns", function()
      local tx, rx = saros.thread_channel(1)
      local thread = saros.thread(function(tx)
         tx:send("begun")
         return "ended"
      end, tx)
      local got
      repeat got = rx:try_receive() until got -- this loop does not turn meanwhile
      assert.are.equal("begun", got)
      assert.are.equal("ended", thread:await())
   end)

   it_runs("takes a name and a driver", function()
      local thread = saros.thread({name = "worker", driver = "none"}, function()
         local saros = require "saros"
         return saros.current_task():name(), saros.current_loop():driver()
      end)
      assert.are.equal("worker", thread:name())
      assert.are.same({"worker", "none"}, {thread:await()})
      kit.raises("unknown option 'drivers'", saros.thread, {drivers = "none"}, print)
      kit.raises("option 'name' must be a string", saros.thread, {name = 1}, function() end)
      kit.raises("option 'name' is too long", saros.thread, {name = ("x"):rep(100)}, function() end)
      kit.raises("nope: no such driver", there, {driver = "nope"}, function() end)
   end)

   it_runs("runs a script file, with the paths and the arguments of this program", function()
      local name, _ <close> = kit.temporary("local a, b = ...\nreturn a .. b, package.path, package.cpath, arg[0]")
      assert.are.same({"xy", package.path, package.cpath, arg[0]}, {there(name, "x", "y")})
      kit.raises("cannot open /no/such.lua", there, "/no/such.lua")
      local binary, _ <close> = kit.temporary(string.dump(function() end)) -- H13: which could crash Lua
      kit.raises("attempt to load a binary chunk", there, binary)
   end)

   it_runs("refuses a function with upvalues, by their names, and those of C", function()
      local up = 1
      kit.raises("bad argument #1 to 'thread' (upvalue 'up': a function that crosses threads may have none but _ENV",
         function() saros.thread(function() return up end) end)
      kit.raises("bad argument #2 to 'thread' (upvalue 'up'", function() saros.thread({}, function() up = 2 end) end)
      kit.raises("a function of C's cannot cross threads", saros.thread, string.rep)
      kit.raises("function or the name of a script expected, got number", saros.thread, 1)
   end)

   it_runs("raises its error with the traceback of where it was raised", function()
      local thread = saros.thread(function()
         local function deep() error("no such luck") end
         deep()
      end)
      assert.matches("thread_spec.lua:%d+: no such luck$", kit.text_of(thread.await, thread))
      assert.matches("in upvalue 'deep'", (thread:traceback():gsub("in local", "in upvalue")))
      local err = kit.error_of(there, function() require("saros").try(nil, "connect x: refused", "ECONNREFUSED") end)
      assert.are.equal("ECONNREFUSED", saros.error_code(err))
      assert.are.equal("connect x: refused", tostring(err))
      assert.are.equal("table expected", (kit.text_of(there, function()
         error(setmetatable({}, {__tostring = function() return "table expected" end}))
      end)))
   end)

   it_runs("14: tells of an error that nobody has awaited, as a task does", function()
      local output, code = kit.script([[
         saros.thread({name = "lost"}, function() error("no such luck") end)
         saros.sleep(0.2)
      ]])
      assert.are.equal(1, code)
      assert.matches("task lost %(spawned at .-:2%) failed and nobody awaited it: .-: no such luck", output)
   end)

   it_runs("passes a cancellation on, waits until <close> variables have run, and is cancelled", function()
      local tx, rx = saros.thread_channel(1)
      local thread = saros.thread(function(tx)
         local saros = require "saros"
         local _ <close> = setmetatable({}, {__close = function(_, err)
            saros.shield(saros.sleep, 0.01)
            tx:try_send(select(2, saros.is_cancelled(err)))
         end})
         tx:send("waits")
         saros.sleep(1000)
      end, tx)
      assert.are.equal("waits", rx:receive())
      assert.is_true(thread:cancel("enough"))
      local err = kit.error_of(thread.await, thread)
      assert.are.equal("ECANCELED", saros.error_code(err))
      assert.matches("enough", tostring(err))
      assert.is_true(thread:cancelled())
      assert.are.equal("enough", (rx:receive()))
   end)

   -- What never comes back to its loop. It makes tables: the thread sanitizer lets signals through in calls of the C library only.
   local ENDLESS <const> = {
      function(begun) begun:send(true) while true do local _ = {} end end,
      function(begun)
         begun:send(true)
         while true do pcall(function() while true do local _ = {} end end) end
      end,
      function(begun)
         local saros = require "saros"
         begun:send(true)
         while true do saros.pcall(function() while true do local _ = {} end end) end
      end,
      function(begun)
         begun:send(true)
         while true do coroutine.resume(coroutine.create(function() while true do local _ = {} end end)) end
      end,
      function(begun)
         local next_one = coroutine.wrap(function()
            while true do
               for _ = 1, 10000 do local _ = {} end
               coroutine.yield()
            end
         end)
         begun:send(true)
         while true do next_one() end
      end,
      function(begun)
         local saros = require "saros"
         saros.spawn(function()
            begun:send(true)
            while true do local _ = {} end
         end)
         saros.sleep(100)
      end,
      function(begun)
         require("saros").run(function()
            begun:send(true)
            while true do local _ = {} end
         end)
      end,
      function(begun) -- in a coroutine that neither is the innermost when it is cancelled nor the task's own
         local innermost = coroutine.wrap(function()
            begun:send(true)
            for _ = 1, 1000000 do local _ = {} end
         end)
         coroutine.wrap(function()
            innermost()
            while true do local _ = {} end
         end)()
      end,
   }

   it_runs("is ended a second after it was cancelled where it computes and never awaits", function()
      if kit.windows then kit.skip("a thread cannot be interrupted here") end
      local threads = {}
      for i, fn in ipairs(ENDLESS) do
         local begun, did_begin = saros.thread_channel(1)
         threads[i] = saros.thread(fn, begun)
         assert.is_true(did_begin:receive())
      end
      for _, thread in ipairs(threads) do thread:cancel("enough") end
      for i, thread in ipairs(threads) do
         assert.matches("was cancelled: enough", kit.text_of(thread.await, thread), "case " .. i)
      end
   end)

   it_runs("computes on inside a shield, and closes its variables, before it is ended so", function()
      if kit.windows then kit.skip("a thread cannot be interrupted here") end
      local begun, did_begin = saros.thread_channel(1)
      local tx, rx = saros.thread_channel(3)
      local thread = saros.thread(function(begun, tx)
         local saros = require "saros"
         local _ <close> = setmetatable({}, {__close = function() tx:try_send("closed") end})
         saros.shield(function()
            begun:send(true)
            local stop = os.clock() + 1.5
            repeat local _ = {} until os.clock() > stop
            tx:send("computed")
         end)
         while true do local _ = {} end
      end, begun, tx)
      did_begin:receive()
      thread:cancel()
      assert.is_false((saros.pcall(thread.await, thread)))
      assert.are.same({"computed", "closed"}, {rx:receive(), rx:receive()})
   end)

   it_runs("is joined when its loop ends though it never awaits", function()
      if kit.windows then kit.skip("a thread cannot be interrupted here") end
      local loop <close> = saros.loop({driver = kit.driver})
      loop:run(function()
         local begun, did_begin = saros.thread_channel(1)
         saros.thread(function(begun)
            begun:send(true)
            while true do local _ = {} end
         end, begun)
         did_begin:receive()
      end)
      assert.is_true(loop:close())
   end)

   it_runs("begins processes that signals reach, by os.execute and io.popen", function()
      if kit.lacks("shell") then kit.skip(kit.lacks("shell")) end
      local function begin()
         local line <const> = "kill -TERM $$; exit 3"
         local ok, how, number = os.execute(line)
         return ok, how, number, io.popen(line):close()
      end
      local expected = {n = 6, nil, "signal", 15, nil, "signal", 15}
      assert.are.same(expected, table.pack(there(begin)))
      assert.are.same(expected, table.pack(there(function(code)
         local saros = require "saros"
         return saros.thread(load(code, "=begin", "b")):await()
      end, string.dump(begin))))
      kit.raises("string expected", there, function() io.popen({}) end)
   end)

   it_runs("is cancelled before it has begun, or while it begins", function()
      for turns = 0, 3 do
         local thread = saros.thread(function() require("saros").sleep(1000) end)
         kit.turns(turns)
         thread:cancel()
         kit.error_of(thread.await, thread)
         assert.is_true(thread:cancelled())
      end
   end)

   it_runs("returns what it has where it takes a cancellation for its end", function()
      local thread = saros.thread(function()
         local saros = require "saros"
         saros.pcall(saros.sleep, 1000)
         return "all the same"
      end)
      saros.sleep(0.05)
      thread:cancel()
      assert.are.equal("all the same", thread:await())
   end)

   it_runs("that cancels itself raises ECANCELED here", function()
      local err = kit.error_of(there, function()
         local saros = require "saros"
         saros.current_task():cancel("my own wish")
         saros.sleep(0)
      end)
      assert.are.equal("ECANCELED", saros.error_code(err))
      assert.are.equal("the thread's main task was cancelled: my own wish", tostring(err))
   end)

   it_runs("can stand in gather, race, wait and timeout", function()
      local function soon(x)
         require("saros").sleep(0.001)
         return x
      end
      local function never() require("saros").sleep(1000) end
      assert.are.same({1, 2}, {saros.gather(saros.thread(soon, 1), saros.thread(soon, 2))})
      local slow = saros.thread(never)
      assert.are.same({2, "fast"}, {saros.race(slow, saros.thread(soon, "fast"))})
      assert.is_false(slow:done()) -- what was passed in is left alone
      assert.are.equal(1, #select(2, saros.wait({slow}, {timeout = 0.001})))
      assert.are.equal("ETIMEDOUT", (select(3, saros.timeout(0.001, slow.await, slow))))
      slow:cancel()
      kit.error_of(slow.await, slow)
   end)

   it_runs("finds its own deadlock", function()
      assert.matches("deadlock", kit.text_of(there, function() require("saros").future():await() end))
   end)

   it_runs("is cancelled and joined when its loop ends, and the host names it", function()
      local output, code = kit.script([[
         saros.thread({name = "lasting"}, function()
            local saros = require "saros"
            local _ <close> = setmetatable({}, {__close = function() print("closed") end})
            saros.sleep(1000)
         end)
         saros.sleep(0.1)
      ]])
      assert.are.equal(0, code)
      assert.matches("main ended; cancelled 1 task: lasting %(", output)
      assert.matches("closed", output)
   end)

   it_runs("is joined where the state closes in the middle of a task", function()
      local output, code = kit.script([[
         local tx, rx = saros.thread_channel(0)
         saros.thread(function(rx) return rx:receive() end, rx)
         saros.thread(function() require("saros").sleep(1000) end)
         saros.sleep(0.02)
         os.exit(7, true)
      ]])
      assert.are.equal("", output)
      assert.are.equal(7, code)
   end)

   it_runs("tells here what its own tasks have left unsaid", function()
      local output, code = kit.script([[
         saros.thread(function()
            local saros = require "saros"
            saros.spawn(function() error("a task of the thread's") end)
            saros.sleep(0.01)
         end):await()
      ]])
      assert.matches("saros: task .- failed and nobody awaited it: .-: a task of the thread's", output)
      assert.are.equal(1, code)
   end)

   it_runs("starts threads of its own", function()
      assert.are.same({3, "inner"}, {there(function()
         local saros = require "saros"
         local inner = saros.thread({name = "inner"}, function(x)
            return x + 1, require("saros").current_task():name()
         end, 2)
         return inner:await()
      end)})
   end)

   it_runs("can be had a thousand times, one after another", function()
      local function next_one(i) return i + 1 end
      local count = kit.on_best_driver() and not kit.windows and 1000 or 50
      local i = 0
      while i < count do i = there(next_one, i) end
      assert.are.equal(count, i)
   end)

   it("says ENOSYS in a simulated world", function()
      if kit.driver ~= "sim" then return end
      for name, first in pairs({thread = function() end, thread_channel = 1, pool = 1}) do
         local got, message, code = saros[name](first)
         assert.is_nil(got)
         assert.are.equal("saros." .. name .. ": there are no threads in a simulated world", message)
         assert.are.equal("ENOSYS", code)
      end
   end)
end)

describe("what crosses threads", function()
   it_runs("are nil, booleans, numbers and strings, as they are", function()
      local values = table.pack(nil, true, false, 0, -1, math.maxinteger, math.mininteger, 1.5, -0.0, math.huge, 2^53, "",
         "a\0b", ("long"):rep(10000), nil)
      local got = table.pack(there(function(...) return ... end, table.unpack(values, 1, values.n)))
      assert.are.equal(values.n, got.n)
      for i = 1, values.n do
         assert.are.equal(values[i], got[i])
         assert.are.equal(math.type(values[i]), math.type(got[i]))
      end
      local nan = there(function(x) return x end, 0 / 0)
      assert.is_true(nan ~= nan)
   end)

   it_runs("are tables of these, shared ones and circles as such, at any depth", function()
      local inner = {1, 2, 3, [5] = 5, [-1] = "x", [1.5] = true, [false] = 0}
      local outer = {a = inner, b = inner, [inner] = "key"}
      outer.me = outer
      local got, again = there(function(t, u) return t, u end, outer, inner)
      assert.are.same(inner, again)
      assert.are.equal(got, got.me)
      assert.are.equal(got.a, got.b)
      assert.are.equal(again, got.a) -- also between values
      assert.are.equal("key", got[again])
      local deep = {}
      for _ = 1, 100000 do deep = {deep} end
      local depth = 0
      deep = there(function(t) return t end, deep)
      while deep[1] do deep, depth = deep[1], depth + 1 end
      assert.are.equal(100000, depth)
      local sparse = {}
      for i = 0, 40 do sparse[2^i // 1 | 0] = i end
      assert.are.same(sparse, (there(function(t) return t end, sparse)))
   end)

   it_runs("is nothing else, and the error names the way to it", function()
      local function refused(text, ...) kit.raises("saros.thread: " .. text .. " cannot cross threads", saros.thread, ...) end
      local function none() end
      refused("argument 2: a function", none, none)
      refused("argument 3, field 'x': a function", none, 1, {x = none})
      refused("argument 3, field 'x': a function", {}, none, {x = none})
      refused("argument 2, field 1, field 'y', field 3: a coroutine", none, {{y = {1, 2, coroutine.create(none)}}})
      refused("argument 2, a field with a function as its key: a function", none, {[print] = 1})
      refused("argument 2, field 'm': a table with a metatable", none, {m = setmetatable({}, {})})
      refused("argument 2: a saros.future", none, saros.future())
      refused("argument 2: a FILE*", none, io.stdout)
      local deep = {print}
      for _ = 1, 20 do deep = {deep} end
      refused("…" .. (", field 1"):rep(9) .. ": a function", none, deep)
      local circle = {}
      circle.me = {circle, {print}}
      refused("argument 2, field 'me', field 2, field 1: a function", none, circle)
      kit.raises("saros.thread: result 2, field 'f': a function cannot cross threads", there, function()
         return 1, {f = print}
      end)
      if kit.on_best_driver() then
         kit.raises("more than 64 MiB at once cannot cross threads", saros.thread, none, ("x"):rep(65 << 20))
      end
   end)

   it_runs("are the same tables after the way there and back, whatever is in them", function()
      local seed = 1
      local function random(n)
         seed = (seed * 1103515245 + 12345) % 2147483648
         return seed // 65536 % n + 1
      end
      local function value(tables, depth)
         local kind = random(8)
         if kind == 1 then return random(2) == 1 end
         if kind == 2 then return random(1 << 15) - (1 << 14) end
         if kind == 3 then return random(1000) / 8 end
         if kind == 4 and #tables > 0 then return tables[random(#tables)] end
         if kind <= 5 or depth > 5 then return ("s"):rep(random(40)) end
         local t = {}
         tables[#tables + 1] = t
         for _ = 1, random(6) do t[#t + 1] = value(tables, depth + 1) end
         for _ = 1, random(4) do t[value(tables, depth + 1)] = value(tables, depth + 1) end
         return t
      end
      local function compare(a, b, known)
         if type(a) ~= "table" then return a == b and math.type(a) == math.type(b) end
         if known[a] then return known[a] == b end
         known[a] = b
         local count = 0
         for k, v in pairs(a) do
            if type(k) ~= "table" and not compare(v, b[k], known) then return false end
            count = count + 1
         end
         for _ in pairs(b) do count = count - 1 end
         return count == 0
      end
      local tx, rx = saros.thread_channel(1)
      for _ = 1, 200 do
         local one = value({}, 0)
         assert.is_true(tx:send(one))
         assert.is_true(compare(one, rx:receive(), {}))
      end
   end)

end)
