-- gather_spec.lua: saros.gather: order, errors, duplicates, ownership, cancellation.

local saros = require "saros"
local kit = require "support.kit"
require("support.leaks")(before_each, after_each)

local function after(turns, value)
   return function()
      kit.turns(turns)
      return value
   end
end

describe("saros.gather", function()
   it("25: gives the first result of each, in the order of its arguments", function()
      local function two() return "b", "dropped" end
      assert.are.same({ n = 3, "a", "b", "c" }, table.pack(saros.gather(after(3, "a"), two, after(1, "c"))))
   end)

   it("25: gives nothing for nothing", function()
      assert.are.equal(0, select("#", saros.gather()))
      assert.are.same({ n = 0 }, saros.gather({}))
   end)

   it("keeps nils in their places", function()
      assert.are.same({ n = 3, nil, 2, nil }, table.pack(saros.gather(after(0), after(1, 2), after(0))))
      assert.are.same({ n = 3, nil, 2, nil }, saros.gather({ after(0), after(1, 2), after(0) }))
   end)

   it("takes functions, tasks, futures, seconds and objects with __await, mixed", function()
      local future = saros.future()
      future:set_result("future")
      local object = setmetatable({}, {
         __await = function()
            saros.sleep(0)
            return "object"
         end,
      })
      local task = saros.spawn(after(2, "task"))
      assert.are.same({ "function", "task", "future", true, "object" },
         { saros.gather(after(1, "function"), task, future, 0.001, object) })
   end)

   it("runs what it gathers side by side", function()
      local log = kit.log()
      local function body(name)
         return function()
            for _ = 1, 2 do
               log(name)
               saros.sleep(0)
            end
         end
      end
      saros.gather(body("a"), body("b"), body("c"))
      assert.are.equal("abcabc", table.concat(log))
   end)

   it("25: awaits the same task once where it stands twice", function()
      local calls = 0
      local task = saros.spawn(function()
         calls = calls + 1
         saros.sleep(0)
         return calls
      end)
      assert.are.same({ 1, 1, 1 }, { saros.gather(task, task, task) })
   end)

   it("gathers a thousand", function()
      local list = {}
      for i = 1, 1000 do list[i] = after(i % 7, i) end
      local results = saros.gather(list)
      assert.are.equal(1000, results.n)
      for i = 1, 1000 do assert(results[i] == i) end
      assert.are.equal(240, select("#", saros.gather(table.unpack(list, 1, 240))))
   end)

   it("25: raises the first error at once, while the others go on", function()
      local finished = false
      local slow = saros.spawn(function()
         kit.turns(5)
         finished = true
      end)
      local function bad()
         saros.sleep(0)
         error("bad", 0)
      end
      assert.are.equal("bad", (kit.error_of(saros.gather, slow, bad)))
      assert.is_false(finished)
      slow:await()
      assert.is_true(finished)
   end)

   it("25: lets functions that it started go on after another's error", function()
      local gate, finished = saros.future(), false
      local function slow()
         gate:await()
         finished = true
      end
      kit.error_of(saros.gather, slow, function() error("bad", 0) end)
      gate:set_result()
      kit.turns(2)
      assert.is_true(finished)
   end)

   it("25: prefers the first argument's error where several fail in one turn", function()
      local one, two = saros.spawn(error, "one", 0), saros.spawn(error, "two", 0)
      assert.are.equal("one", (kit.error_of(saros.gather, one, two)))
      assert.are.equal("two", two:error())
   end)

   it("14: does not hide the errors of the others, whenever they fail", function()
      local output = kit.script([[
         local function fails(text, turns)
            return function()
               for _ = 1, turns do saros.sleep(0) end
               error(text, 0)
            end
         end
         print(saros.pcall(saros.gather, fails("first", 0), fails("second", 0), fails("third", 5)))
         local task = saros.spawn(function()
            saros.gather(function()
               local _ <close> = setmetatable({}, { __close = function() error("on its way out", 0) end })
               saros.sleep(1000)
            end)
         end)
         saros.sleep(0.001)
         task:cancel()
         saros.pcall(task.await, task)
         print(task:cancelled())
         saros.sleep(0.001)
      ]])
      assert.is_truthy(output:find("false\tfirst\n.*true\n"), output)
      for _, text in ipairs({ "second", "third", "on its way out" }) do
         assert.is_truthy(output:find("nobody awaited it: " .. text, 1, true), output)
      end
      assert.is_falsy(output:find("nobody awaited it: first", 1, true), output)
   end)

   it("14: tells nobody of an error that it has yet to give as a value", function()
      local loop <close> = saros.loop({ driver = kit.driver, report_after = 0 })
      local told = false
      loop:set_exception_handler(function() told = true end)
      local results = loop:run(saros.gather, { function() error("a value", 0) end, after(5) }, { return_errors = true })
      assert.are.equal("a value", results[1])
      assert.is_false(told)
   end)

   it("25: raises the error that came first, where several come in one turn", function()
      local one, two = saros.future(), saros.future()
      saros.call_soon(function()
         two:set_error("two")
         one:set_error("one")
      end)
      assert.are.equal("two", (kit.error_of(saros.gather, one, two)))
      assert.are.equal("one", one:error())
   end)

   it("25: that has failed is not undone by a cancellation that comes later: the others go on", function()
      local finished = false
      local task = saros.spawn(function()
         kit.error_of(saros.gather, function()
            kit.turns(8)
            finished = true
         end, function() error("bad", 0) end)
         saros.sleep(1000)
      end)
      kit.turns(3)
      task:cancel()
      saros.pcall(task.await, task)
      assert.is_false(finished)
      kit.turns(8)
      assert.is_true(finished)
   end)

   it("raises for what had failed before it was called", function()
      local task = saros.spawn(function() error("early", 0) end)
      kit.error_of(task.await, task)
      assert.are.equal("early", (kit.error_of(saros.gather, after(3), task)))
      kit.turns(4)
   end)

   it("25: gives errors as values where they are asked for, cancellations too", function()
      local victim = saros.spawn(saros.sleep, 10)
      saros.call_soon(function() victim:cancel("why not") end)
      local results = saros.gather({ after(1, "fine"), function() error({ "table" }) end, victim },
         { return_errors = true })
      assert.are.equal(3, results.n)
      assert.are.equal("fine", results[1])
      assert.are.same({ "table" }, results[2])
      assert.are.equal("ECANCELED", saros.error_code(results[3]))
   end)

   it("25: that was cancelled cancels and awaits the functions it started", function()
      local log = kit.log()
      local function child(name)
         return function()
            local _ <close> = setmetatable({}, {
               __close = function()
                  saros.shield(kit.turns, 2)
                  log(name .. " closed")
               end,
            })
            saros.sleep(100)
         end
      end
      local task = saros.spawn(function()
         local _ <close> = setmetatable({}, { __close = function() log("gatherer closed") end })
         saros.gather(child("a"), child("b"))
      end)
      kit.turns(2)
      task:cancel()
      saros.pcall(task.await, task)
      assert.is_true(task:cancelled())
      assert.are.equal("a closed, b closed, gatherer closed", table.concat(log, ", "))
   end)

   it("25: that was cancelled leaves tasks and futures that were passed in alone", function()
      local future = saros.future()
      local inner = saros.spawn(function() return future:await() end)
      local task = saros.spawn(function() saros.gather(inner, future) end)
      kit.turns(2)
      task:cancel()
      saros.pcall(task.await, task)
      assert.is_false(inner:done())
      assert.are.equal("pending", future:state())
      future:set_result("still works")
      assert.are.equal("still works", inner:await())
   end)

   it("25: raises its own cancellation even with return_errors", function()
      local reached = false
      local task = saros.spawn(function()
         saros.gather({ after(100) }, { return_errors = true })
         reached = true
      end)
      kit.turns(3)
      task:cancel()
      saros.pcall(task.await, task)
      assert.is_true(task:cancelled())
      assert.is_false(reached)
   end)

   it("25: goes on with the others when one of its children is cancelled and errors are values", function()
      local a = saros.spawn(saros.sleep, 100)
      local task = saros.spawn(function() return saros.gather({ a, after(5, "b") }, { return_errors = true }) end)
      kit.turns(2)
      a:cancel()
      local results = task:await()
      assert.are.equal("ECANCELED", saros.error_code(results[1]))
      assert.are.equal("b", results[2])
   end)

   it("under a timeout ends its functions before the timeout returns", function()
      local open = 0
      local function child()
         open = open + 1
         local _ <close> = setmetatable({}, { __close = function() open = open - 1 end })
         saros.sleep(100)
      end
      assert.are.same({ n = 3, nil, "timed out", "ETIMEDOUT" },
         table.pack(saros.timeout(0.005, saros.gather, child, child, child)))
      assert.are.equal(0, open)
   end)

   it("drains its functions though the cancelled task is poked again meanwhile", function()
      local gate = saros.future()
      local done = false
      local task = saros.spawn(function()
         saros.gather(function()
            local _ <close> = setmetatable({}, { __close = function() saros.shield(gate.await, gate) end })
            saros.sleep(100)
         end)
      end)
      kit.turns(2)
      task:cancel()
      task:add_done_callback(function() done = true end)
      for _ = 1, 5 do
         kit.turns(2)
         task:cancel()
         assert.is_false(done)
      end
      gate:set_result()
      kit.turns(5)
      assert.is_true(done)
   end)

   it("nests", function()
      local function sum(n)
         if n == 0 then return 1 end
         local a, b = saros.gather(function() return sum(n - 1) end, function() return sum(n - 1) end)
         return a + b
      end
      assert.are.equal(256, sum(8))
   end)

   it("names the argument that cannot be awaited, and has started nothing then", function()
      local started = false
      local function start() started = true end
      kit.raises("bad argument #2", saros.gather, start, {})
      kit.raises("bad argument #3", saros.gather, start, start, "x")
      kit.raises("bad argument #1", saros.gather, nil)
      kit.raises("element 2", saros.gather, { start, false })
      kit.raises("unknown option 'limits'", saros.gather, { start }, { limits = 1 })
      kit.turns(2)
      assert.is_false(started)
   end)

   it("refuses to await its own task", function()
      local task
      task = saros.spawn(function() return kit.text_of(saros.gather, task) end)
      assert.is_truthy(task:await():find("cannot await itself", 1, true))
   end)

   it("survives a collection at every turn", function()
      local function child(i)
         return function()
            kit.turns(i)
            collectgarbage()
            return { i }
         end
      end
      local results = saros.gather({ child(1), child(2), child(3) })
      collectgarbage()
      assert.are.same({ n = 3, { 1 }, { 2 }, { 3 } }, results)
   end)
end)

describe("saros.run inside a task", function()
   it("runs the function as a child, to its end, with all its results", function()
      local outer = saros.current_task()
      local function body(...)
         assert(saros.current_task() ~= outer)
         saros.sleep(0)
         return ...
      end
      assert.are.same({ n = 3, 1, nil, 3 }, table.pack(saros.run(body, 1, nil, 3)))
   end)

   it("raises the child's error", function()
      assert.are.equal("child", (kit.error_of(saros.run, function() error("child", 0) end)))
   end)

   it("cancels and awaits the child when it is cancelled", function()
      local closed = false
      local task = saros.spawn(function()
         saros.run(function()
            local _ <close> = setmetatable({}, { __close = function() closed = true end })
            saros.sleep(100)
         end)
      end)
      kit.turns(2)
      task:cancel()
      saros.pcall(task.await, task)
      assert.is_true(task:cancelled())
      assert.is_true(closed)
   end)

   it("takes only a function", function()
      kit.raises("bad argument #1", saros.run)
      kit.raises("bad argument #1", saros.run, {})
   end)
end)
