-- loops_spec.lua: saros.loop: run, step, stop; several loops and drivers in one script. How one is closed: closing_spec.lua.

local saros = require "saros"
local kit = require "support.kit"
require("support.leaks")(before_each, after_each)

local function new() return saros.loop({ driver = kit.driver }) end

describe("saros.loop", function()
   it("runs a function as a task to its end and gives its results", function()
      local loop <close> = new()
      local function body(...)
         assert(saros.current_loop() == loop)
         assert(loop:is_running())
         saros.sleep(0.001)
         return ...
      end
      for _, run in ipairs({ loop.run, loop.run_until_complete, loop.run_forever }) do
         assert.are.same({ n = 3, 1, nil, 3 }, table.pack(run(loop, body, 1, nil, 3)))
      end
      assert.is_false(loop:is_running())
   end)

   it("raises the error of its main function", function()
      local loop <close> = new()
      assert.are.equal("main failed", (kit.error_of(loop.run, loop, error, "main failed")))
      assert.are.equal("again", loop:run(function() return "again" end))
   end)

   it("tells its driver, and its state in tostring", function()
      local loop = new()
      assert.are.equal(kit.driver, loop:driver())
      assert.is_truthy(tostring(loop):find(kit.driver, 1, true))
      loop:close()
      assert.is_truthy(tostring(loop):find("closed", 1, true))
   end)

   it("61: runs the same program on every driver that opens, one after the other, with the same result", function()
      local function program()
         local log, q = kit.log(), saros.queue(1)
         log((select(3, saros.gather(function()
            for i = 1, 3 do q:put(i) end
            q:shutdown()
         end, function()
            for item in q:items() do log(item) end
         end, function()
            return (select(3, saros.timeout(0.001, saros.sleep, 5)))
         end))))
         return table.concat(log, " ")
      end
      local tried = 0
      for _, driver in ipairs(saros.drivers()) do
         if driver.opens then
            tried = tried + 1
            local loop <close> = saros.loop({ driver = driver.name })
            assert.are.equal(driver.name, loop:driver())
            assert.are.equal("1 2 3 ETIMEDOUT", loop:run(program))
         end
      end
      assert.is_true(tried >= 2)
   end)

   it("may run inside a task of another loop, which stands still meanwhile", function()
      local log, outer = kit.log(), saros.current_loop()
      local other = saros.spawn(function() log("outer goes on") end)
      local loop <close> = new()
      log(loop:run(function()
         assert(saros.current_loop() == loop)
         saros.sleep(0.003)
         return "inner"
      end))
      assert.are.equal(outer, saros.current_loop())
      assert.are.equal("inner", table.concat(log))
      other:await()
      assert.are.equal("inner outer goes on", table.concat(log, " "))
   end)

   it("nests three deep", function()
      local a <close> = new()
      local b <close> = new()
      assert.are.equal("deep", a:run(function()
         saros.sleep(0)
         return b:run(function()
            saros.sleep(0.001)
            return "deep"
         end)
      end))
   end)

   it("ends with a Lua error, not a crash, where loops nest too deep", function()
      local deepest = 0
      local function nest(n)
         deepest = n
         local loop <close> = new()
         return loop:run(nest, n + 1)
      end
      kit.raises("C stack overflow", nest, 1)
      assert.is_true(deepest > 5)
   end)

   it("7: refuses to run inside itself, from tasks, callbacks and nested loops", function()
      local loop <close> = new()
      local inner <close> = new()
      local texts = kit.log()
      loop:run(function()
         texts(kit.text_of(loop.run, loop, print))
         texts(kit.text_of(loop.step, loop))
         saros.call_soon(function() texts(kit.text_of(loop.run, loop)) end)
         saros.sleep(0)
         inner:run(function() texts(kit.text_of(loop.run, loop, print)) end)
      end)
      assert.are.equal(4, #texts)
      for _, text in ipairs(texts) do assert.is_truthy(text:find("running already", 1, true), text) end
   end)

   it("runs without a main function until it is stopped, or nothing is left", function()
      local loop <close> = new()
      local ticks = 0
      local function tick()
         ticks = ticks + 1
         if ticks == 5 then loop:stop() end
         saros.call_soon(tick)
      end
      loop:call_soon(tick)
      assert.is_true(loop:run())
      assert.are.equal(5, ticks)
      local quiet <close> = new()
      quiet:spawn(saros.sleep, 0.001)
      assert.is_true(quiet:run())
   end)

   it("6: that is stopped before its main has ended says so, and can go on", function()
      local loop <close> = new()
      local steps = 0
      local function body()
         while steps < 100 do
            steps = steps + 1
            if steps == 3 then loop:stop() end
            saros.sleep(0)
         end
      end
      kit.raises("stopped before its main function had ended", loop.run, loop, body)
      assert.are.equal(3, steps)
      assert.is_true(loop:run())
      assert.are.equal(100, steps)
   end)

   it("6: that is stopped before it runs ends after one batch", function()
      local loop <close> = new()
      local called = kit.log()
      loop:call_soon(function() called("first") loop:call_soon(function() called("second") end) end)
      loop:stop()
      assert.is_true(loop:run())
      assert.are.equal("first", table.concat(called))
      loop:stop()
      kit.raises("stopped before", loop.run, loop, saros.sleep, 0.001)
   end)

   it("steps without blocking longer than asked", function()
      local loop <close> = new()
      local ended = false
      assert.are.equal("done", loop:step())
      loop:spawn(function()
         saros.sleep(0.05) -- longer than a process is kept from running within one step
         ended = true
      end)
      assert.are.equal("waiting", loop:step())
      assert.is_false(loop:is_running())
      local outcome
      for _ = 1, 1000 do
         outcome = loop:step(0.01)
         if outcome == "done" then break end
      end
      assert.are.equal("done", outcome)
      assert.is_true(ended)
      kit.raises("NaN", loop.step, loop, 0 / 0)
   end)

   it("has a clock of its own", function()
      local loop <close> = new()
      local before = loop:now()
      loop:run(saros.sleep, 0.001)
      assert.is_true(loop:now() - before >= 0.001)
   end)

   it("gives a handle for a call, which can be cancelled", function()
      local loop <close> = saros.loop{}
      local calls = {}
      local function call(...) calls[#calls + 1] = table.pack(...) end
      loop:call_soon(call, 1, nil)
      local handle = loop:call_soon(call, 2)
      assert.is_true(handle:cancel())
      loop:run()
      assert.are.same({ { n = 2, 1, nil } }, calls)
      assert.is_false(handle:cancel())
   end)

   it("spawns and calls from outside", function()
      local loop <close> = new()
      local log = kit.log()
      local task = loop:spawn(function(...)
         log("task")
         return ...
      end, 1, 2)
      loop:call_soon(function(x) log(x) end, "call")
      assert.is_true(loop:run())
      assert.are.equal("task call", table.concat(log, " "))
      assert.are.same({ 1, 2 }, { task:result() })
      kit.raises("bad argument #1 to 'spawn'", function() loop:spawn({}) end)
      kit.raises("bad argument #1 to 'call_soon'", function() loop:call_soon(1) end)
   end)

   it("reports a deadlock with the names and places of those who wait", function()
      local loop <close> = new()
      local text = kit.text_of(loop.run, loop, function()
         saros.current_task():set_name("main")
         local a, b
         a = saros.spawn(function() b:await() end):set_name("one of a ring")
         b = saros.spawn(function() a:await() end):set_name("the other")
         a:await()
      end)
      assert.is_truthy(text:find("deadlock", 1, true))
      assert.is_truthy(text:find("one of a ring (", 1, true))
      assert.is_truthy(text:find("the other (", 1, true))
      assert.is_truthy(text:find("loops_spec.lua", 1, true))
   end)

   it("refuses another loop's task and stream", function()
      local loop <close> = new()
      local client, server = kit.pair()
      local task = saros.spawn(saros.sleep, 0)
      local texts = table.pack(loop:run(function()
         return kit.text_of(task.await, task), kit.text_of(client.read, client), kit.text_of(client.write, client, "x"),
            kit.text_of(saros.gather, task)
      end))
      for i = 1, 4 do assert.is_truthy(texts[i]:find("another loop", 1, true), texts[i]) end
      task:await()
      client:close()
      server:close()
   end)

   it("names wrong options", function()
      kit.raises("unknown option 'drivers'", saros.loop, { drivers = "epoll" })
      kit.raises("option 'driver'", saros.loop, { driver = 1 })
      kit.raises("bad argument #1", saros.loop, 1)
      kit.raises("cannot open a loop", saros.loop, { driver = "no such driver" })
      local text = kit.text_of(saros.loop, { driver = "no such driver" })
      assert.is_truthy(text:find(kit.driver, 1, true), text)
   end)
end)

describe("saros.run outside of any loop", function()
   it("is refused nowhere: a callback may run a fresh loop", function()
      local got
      saros.call_soon(function() got = saros.run(function() saros.sleep(0.001) return "fresh" end) end)
      kit.turns(2)
      assert.are.equal("fresh", got)
   end)
end)

describe("saros.drivers", function()
   it("lists each driver with whether it is compiled and opens, and else why not", function()
      local names = {}
      for _, driver in ipairs(saros.drivers()) do
         names[driver.name] = true
         assert.are.equal("boolean", type(driver.compiled))
         assert.are.equal("boolean", type(driver.opens))
         if not driver.opens then assert.are.equal("string", type(driver.reason)) end
      end
      assert.is_true(names[kit.driver])
      assert.is_true(names.none)
   end)

   it("marks one as the default: that of a loop which asks for none", function()
      local loop <close> = saros.loop{}
      for _, driver in ipairs(saros.drivers()) do assert.are.equal(driver.name == loop:driver(), driver.default) end
      assert.are.equal("none\n", (kit.run("--driver", "none", "-e", [[
         for _, driver in ipairs(require "saros".drivers()) do
            if driver.default then print(driver.name) end
         end]])))
   end)
end)
