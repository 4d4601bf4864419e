-- stock.lua: the module under a stock Lua 5.4, without the host.
--
-- usage: LUA_CPATH='build/release/?.so;;' lua5.4 tests/support/stock.lua
--
-- Promises: each case stands alone and says where it failed; the last line counts ("12 passed, 0 failed"), and the
-- exit code is 0 only where nothing failed. Needs nothing but Lua. What install() changes is tried last, because it
-- cannot be undone.

local saros = require "saros"
local passed, failed = 0, 0

local function case(name, fn)
   local ok, err = xpcall(fn, debug.traceback)
   if ok then passed = passed + 1 else failed = failed + 1 end
   print((ok and "ok      " or "FAILED  ") .. name)
   if not ok then print(err) end
end

local function equal(expected, got)
   if expected ~= got then error(("expected %s, got %s"):format(tostring(expected), tostring(got)), 2) end
end

local function raises(part, fn, ...)
   local ok, err = pcall(fn, ...)
   if ok then error("no error; expected: " .. part, 2) end
   if not tostring(err):find(part, 1, true) then error(("expected %q, got: %s"):format(part, tostring(err)), 2) end
end

-- Messages of the loop go to standard error; a part that expects some runs in a Lua of its own.
local function child(code)
   local interpreter = arg[-1]
   for i = -1, -20, -1 do
      if arg[i] then interpreter = arg[i] end
   end
   local name = os.tmpname()
   local file = assert(io.open(name, "w"))
   file:write("local saros = require 'saros'\n", code)
   file:close()
   local pipe = assert(io.popen(("'%s' '%s' 2>&1"):format(interpreter, name)))
   local output = pipe:read("a")
   local _, _, status = pipe:close()
   os.remove(name)
   return output, status
end

local function turns(n)
   for _ = 1, n do saros.sleep(0) end
end

-- ---- LuaSocket's module ------------------------------------------------------------------------------------------

case("gives saros.socket by require, also without saros, and it waits in tasks", function()
   local output, status = child([[
      package.loaded.saros, package.preload["saros.socket"] = nil, nil
      local socket = require "saros.socket"
      saros.run(function()
         local server = assert(socket.bind("127.0.0.1", 0))
         local client = assert(socket.connect("127.0.0.1", (select(2, server:getsockname()))))
         local peer = assert(server:accept())
         saros.spawn(function() peer:send("from a task\n") end)
         print(client:receive(), socket.gettime() > 1e9, (select(2, pcall(socket.protect(function() socket.try(nil, "x") end)))))
         client:close() peer:close() server:close()
      end)
      print(pcall(socket.sleep, 1))]])
   equal(0, status)
   equal("from a task\ttrue\tnil\n", output:match("^[^\n]*\n"))
   if not output:find("false\t", 1, true) then error("socket.sleep outside a task: " .. output) end
end)

-- ---- as it comes ------------------------------------------------------------------------------------------------

case("loads once, has a version, and has changed nothing of Lua's", function()
   equal(saros, require "saros")
   equal("string", type(saros._VERSION))
   equal(nil, rawget(_G, "saros"))
   equal("C", debug.getinfo(pcall).what)
   equal(nil, (debug.getupvalue(pcall, 1)))
end)

case("says what is missing where no loop runs", function()
   for _, call in ipairs({ { saros.spawn, print }, { saros.call_soon, print }, { saros.now }, { saros.all_tasks },
                           { saros.listen, "127.0.0.1:0" }, { saros.serve, "127.0.0.1:0", print }, { saros.call_later, 1, print } }) do
      raises("no loop is running", table.unpack(call))
   end
   for _, call in ipairs({ { saros.sleep, 0 }, { saros.connect, "127.0.0.1:1" }, { saros.gather }, { saros.timeout, 1, print } }) do
      raises("cannot await outside a task", table.unpack(call))
   end
   equal(nil, saros.current_loop())
   equal(nil, saros.current_task())
end)

case("runs a function to its end and gives its results", function()
   local a, b, c = saros.run(function(...)
      saros.sleep(0.001)
      return ...
   end, 1, nil, 3)
   equal(1, a)
   equal(nil, b)
   equal(3, c)
end)

case("raises main's error, with its value", function()
   local value = {}
   local ok, err = pcall(saros.run, function()
      saros.sleep(0)
      error(value)
   end)
   equal(false, ok)
   equal(value, err)
   raises("bad argument #1", saros.run)
   raises("bad argument #1", saros.run, {})
end)

case("runs again and again, and inside coroutines", function()
   for i = 1, 50 do equal(i, saros.run(function() return i end)) end
   local co = coroutine.wrap(function() return saros.run(function() saros.sleep(0) return "inside" end) end)
   equal("inside", co())
end)

case("lists all tasks while it runs", function()
   saros.run(function()
      local task = saros.spawn(saros.sleep, 0)
      equal(2, #saros.all_tasks())
      equal(task, saros.all_tasks()[2])
      equal(saros.all_tasks()[1], saros.current_task())
      task:await()
      equal(1, #saros.all_tasks())
   end)
end)

case("cancels and awaits what main left behind", function()
   local log = {}
   saros.run(function()
      saros.spawn(function()
         local _ <close> = setmetatable({}, {
            __close = function()
               saros.shield(saros.sleep, 0.001)
               log[1] = "closed"
            end,
         })
         saros.sleep(100)
      end)
      saros.sleep(0)
   end)
   equal("closed", log[1])
end)

case("gathers, times out, queues and scopes as under the host", function()
   saros.run(function()
      local q = saros.queue(1)
      local sum = 0
      saros.gather(function()
         for i = 1, 10 do q:put(i) end
         q:shutdown()
      end, function()
         for i in q:items() do sum = sum + i end
      end)
      equal(55, sum)
      equal("ETIMEDOUT", select(3, saros.timeout(0.001, saros.sleep, 100)))
      equal("why", select(2, saros.scope(function(scope)
         scope:cancel("why")
         saros.sleep(0)
      end)))
   end)
end)

case("refuses to settle a future whose callbacks no loop could call", function()
   local future, called = saros.future(), 0
   future:add_done_callback(function() called = called + 1 end)
   raises("no loop is running", future.set_result, future, 1)
   equal("pending", future:state())
   saros.run(function()
      future:set_result(2)
      turns(2)
   end)
   equal(1, called)
   equal(2, future:result())
end)

case("talks over streams", function()
   saros.run(function()
      local server = assert(saros.serve("127.0.0.1:0", function(stream)
         for line in stream:lines("L") do stream:write(line:upper()) end
      end))
      for i = 1, 20 do
         local client <close> = assert(saros.connect(server:address()))
         client:write("hello ", i, "\n")
         equal("HELLO " .. i, client:read())
      end
      equal(true, server:shutdown(1))
   end)
end)

case("has loops of its own on every driver that opens", function()
   local opened = 0
   for _, driver in ipairs(saros.drivers()) do
      if driver.opens then
         opened = opened + 1
         local loop <close> = saros.loop({ driver = driver.name })
         equal(driver.name, loop:run(function()
            saros.sleep(0.001)
            return saros.current_loop():driver()
         end))
      end
   end
   assert(opened >= 2)
end)

case("has a simulated world, also where saros.sim is what is required", function()
   local output, status = child([[
      package.loaded.saros = nil
      local sim = require "saros.sim"
      print(sim == saros.sim, sim == require "saros".sim)
      local loop <close> = saros.loop{driver = "sim", seed = 42}
      print(loop:run(function()
         sim.install()
         sim.host("db")
         local server = assert(saros.serve("db:1", function(stream) stream:write(stream:read():upper(), "\n") end))
         local stream <close> = assert(saros.connect("db:1"))
         stream:write("hello\n")
         local answer = stream:read()
         stream:close()
         server:shutdown(10)
         saros.sleep(86400)
         return answer, os.date("%Y-%m-%d", os.time()), math.random(1000)
      end))
      print(os.time() > 1767225600 + 86400)]])
   equal(0, status)
   math.randomseed(42)
   equal("true\ttrue\nHELLO\t2026-01-02\t" .. math.random(1000) .. "\ntrue\n", output)
end)

case("names a deadlock", function()
   raises("deadlock", saros.run, function() saros.future():await() end)
end)

case("reports an error that nobody awaited, once, and goes on", function()
   local output, status = child([[
      print(saros.run(function()
         saros.spawn(error, "lost", 0)
         saros.sleep(0)
         return "main ends"
      end))]])
   equal(0, status)
   assert(output:find("main ends", 1, true), output)
   equal(1, select(2, output:gsub("nobody awaited it: lost", "")))
end)

case("passes a cancellation through coroutines and plain pcall catches it, but it comes again", function()
   saros.run(function()
      local caught = 0
      local task = saros.spawn(function()
         for _ = 1, 3 do
            if not pcall(saros.sleep, 100) then caught = caught + 1 end
         end
      end)
      saros.sleep(0)
      task:cancel()
      task:await()
      equal(3, caught)
      equal(false, task:cancelled())
   end)
end)

-- ---- a script that handles a task's coroutine behind the loop's back ----------------------------------------------

-- Starts a task that waits in the given way, hands its coroutine to `meddle`, and wants the loop to live on.
local function meddled(way, meddle)
   local output, status = child(([[
      saros.run(function()
         local future, co = saros.future(), nil
         local queue = saros.queue()
         local listener = saros.listen("127.0.0.1:0")
         local client = saros.connect(listener:address())
         local server = listener:accept()
         local task = saros.spawn(function()
            co = coroutine.running()
            %s
         end)
         saros.sleep(0)
         saros.sleep(0.001)
         pcall(%s, co)
         collectgarbage()
         collectgarbage()
         saros.sleep(0.001)
         future:set_result(1)
         queue:put(1)
         server:write("x")
         print(pcall(task.await, task))
         saros.sleep(0.002)
         queue:put(2)
         print("alive", #saros.all_tasks())
      end)]]):format(way, meddle))
   equal(0, status)
   assert(output:find("alive\t1", 1, true), output)
end

for _, way in ipairs({ "future:await()", "saros.sleep(0.003)", "saros.sleep(100)", "saros.gather(future, saros.future())",
                       "queue:get()", "client:read(1)", "client:write(('x'):rep(1 << 24))", "pcall(saros.sleep, 0.003) saros.sleep(0)",
                       "saros.timeout(1, future.await, future)", "saros.scope(function(s) scope = s future:await() end)",
                       "saros.run(saros.sleep, 0.002)", "listener:accept()" }) do
   for _, meddle in ipairs({ "coroutine.close", "coroutine.resume" }) do
      case(meddle .. " of a task that waits in " .. way .. " harms nobody else", function() meddled(way, meddle) end)
   end
end

case("a task that yields a foreign value fails and is told why", function()
   saros.run(function()
      local closed = false
      local task = saros.spawn(function()
         local _ <close> = setmetatable({}, { __close = function() closed = true end })
         coroutine.yield(1)
      end)
      local called = false
      task:add_done_callback(function() called = true end)
      raises("yield a foreign value", task.await, task)
      equal(true, closed)
      collectgarbage()
      collectgarbage()
      turns(2)
      equal(true, called)
   end)
end)

case("saros.coroutine awaits, beside Lua's own, which says what to use", function()
   local own = coroutine.wrap
   saros.run(function()
      local other = saros.spawn(saros.sleep, 0.001)
      local values = {}
      for value in saros.coroutine.wrap(function()
         for i = 1, 3 do
            saros.sleep(0.001)
            saros.coroutine.yield(i)
         end
      end) do values[#values + 1] = value end
      equal("1 2 3", table.concat(values, " "))
      equal(true, other:done())
      equal(own, coroutine.wrap)
      raises("use saros.coroutine, or saros.install()", coroutine.wrap(saros.sleep), 0)
   end)
end)

case("Lua's own coroutine functions understand coroutines of saros.coroutine, and the other way round", function()
   local function body(a)
      local b = coroutine.yield(a + 1)
      return b + 1
   end
   for _, kinds in ipairs({ { coroutine, saros.coroutine }, { saros.coroutine, coroutine } }) do
      local co = kinds[1].create(body)
      equal("suspended", kinds[2].status(co))
      equal(2, select(2, kinds[2].resume(co, 1)))
      equal(11, select(2, kinds[1].resume(co, 10)))
      equal("dead", kinds[2].status(co))
      equal("cannot resume dead coroutine", select(2, kinds[2].resume(co)))
      equal(true, kinds[2].close(co))
      local fails = kinds[1].create(function() error("text", 0) end)
      equal("text", select(2, kinds[2].resume(fails)))
      equal("dead", kinds[1].status(fails))
   end
end)

case("require is Lua's own until install, and says so", function()
   equal("C", debug.getinfo(require).what)
   package.preload.awaits = function() saros.sleep(0) return "loaded" end
   saros.run(function() raises("'require', a C function that cannot be suspended: call saros.install()", require, "awaits") end)
end)

-- ---- installed ----------------------------------------------------------------------------------------------------

case("install, in the middle of a run, leaves tasks that have begun alone", function()
   saros.run(function()
      local seen
      local task = saros.spawn(function()
         seen = coroutine.running()
         saros.sleep(0.001)
         return "begun before"
      end)
      saros.sleep(0)
      saros.install()
      saros.install()
      equal("begun before", task:await())
      for _ = 1, 20 do
         local other = saros.spawn(saros.sleep, 0.001)
         saros.sleep(0)
         coroutine.resume(seen)
         equal(true, other:await())
      end
   end)
end)

case("install brings a require whose modules await", function()
   saros.run(function()
      local result, data = require "awaits"
      equal("loaded", result)
      equal(":preload:", data)
   end)
   equal("loaded", (require "awaits"))
end)

case("install leaves a require alone that is a script's own", function()
   local output, status = child([[
      local function own() end
      require = own
      saros.install()
      print(require == own)]])
   equal(0, status)
   equal("true\n", output)
end)

case("install makes pcall pass a cancellation on", function()
   saros.run(function()
      local went_on = false
      local task = saros.spawn(function()
         pcall(saros.sleep, 100)
         went_on = true
      end)
      saros.sleep(0)
      task:cancel()
      saros.pcall(task.await, task)
      equal(true, task:cancelled())
      equal(false, went_on)
   end)
end)

case("install leaves coroutines outside of tasks as they were", function()
   local generator = coroutine.wrap(function(a)
      local b = coroutine.yield(a + 1)
      return b * 2
   end)
   equal(2, generator(1))
   equal(20, generator(10))
   equal(false, pcall(generator))
   local main, is_main = coroutine.running()
   equal("thread", type(main))
   equal(true, is_main)
   equal(false, coroutine.isyieldable())
   raises("outside a coroutine", coroutine.yield)
   local co = coroutine.create(error)
   equal(false, (coroutine.resume(co, "x")))
   equal("dead", coroutine.status(co))
   equal(false, (coroutine.close(co)))
end)

case("threads run in states of their own, made from this very Lua", function()
   local function there(x)
      local saros = require "saros" -- luacheck: ignore 431
      saros.sleep(0.001)
      return x + 1, _VERSION, debug.getinfo(pcall).what, select(2, saros.thread_channel(1)) ~= nil
   end
   saros.run(function()
      local sum, version, pcall_is, channels = saros.thread(there, 1):await()
      equal(2, sum)
      equal(_VERSION, version)
      equal("C", pcall_is)
      equal(true, channels)
      local pool <close> = saros.pool(2)
      local a, b = saros.gather(function() return pool:call(there, 1) end, function() return pool:call(there, 2) end)
      equal(5, a + b)
   end)
   local output, status = child([[
      local loop = saros.loop{}
      loop:spawn(function() saros.thread(function() require("saros").sleep(100) end):await() end)
      loop:step()
      print("end")]])
   equal(0, status)
   equal("end\n", output)
end)

case("the state closes with everything open", function()
   local output, status = child([[
      loop = saros.loop{}
      for _, way in ipairs{
         function() saros.sleep(100) end, function() saros.future():await() end,
         function() saros.listen("127.0.0.1:0"):accept() end, function() saros.gather(100, saros.future()) end,
      } do
         loop:spawn(function()
            local x <close> = setmetatable({}, {__close = function() print("closed") end})
            way()
         end)
      end
      for _ = 1, 3 do loop:step() end
      print("end")]])
   equal(0, status)
   equal("end\nclosed\nclosed\nclosed\nclosed\n", output)
end)

print(("%d passed, %d failed"):format(passed, failed))
os.exit(failed == 0, true)
