-- tasks_spec.lua: what a task is: spawn, first step, end, results, names, cancellation before, during and after.

local saros = require "saros"
local kit = require "support.kit"
require("support.leaks")(before_each, after_each)

describe("saros.spawn", function()
   it("17: does not run the function before the spawner gives way", function()
      local ran = false
      local task = saros.spawn(function() ran = true end)
      assert.is_false(ran)
      assert.is_false(task:done())
      saros.sleep(0)
      assert.is_true(ran)
      assert.is_true(task:done())
   end)

   it("hands over its arguments, nils included", function()
      local task = saros.spawn(function(...) return select("#", ...), ... end, nil, 1, nil)
      assert.are.same({ n = 4, 3, nil, 1, nil }, table.pack(task:await()))
   end)

   it("starts tasks in the order in which they were spawned", function()
      local log = kit.log()
      for i = 1, 20 do saros.spawn(function() log(i) end) end
      saros.sleep(0)
      assert.are.same({ 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20 }, { table.unpack(log) })
   end)

   it("takes only functions", function()
      kit.raises("bad argument #1", saros.spawn)
      kit.raises("bad argument #1", saros.spawn, {})
      kit.raises("bad argument #1", saros.spawn, coroutine.create(print))
   end)

   it("takes a C function", function()
      assert.are.equal("c", saros.spawn(string.sub, "abc", 3):await())
   end)

   it("takes up to 250 arguments and says so for more", function()
      local many = {}
      for i = 1, 250 do many[i] = i end
      assert.are.equal(250, saros.spawn(function(...) return select("#", ...) end, table.unpack(many)):await())
      many[251] = 251
      kit.raises("too many arguments", saros.spawn, print, table.unpack(many))
   end)

   it("lets two tasks take turns", function()
      local log = kit.log()
      local function body(name)
         for i = 1, 3 do
            log(name .. i)
            saros.sleep(0)
         end
      end
      local a, b = saros.spawn(body, "a"), saros.spawn(body, "b")
      a:await()
      b:await()
      assert.are.equal("a1 b1 a2 b2 a3 b3", table.concat(log, " "))
   end)

   it("lets ten thousand tasks wait at once and ends all of them", function()
      local ended, gate = 0, saros.future()
      local tasks = {}
      for i = 1, 10000 do
         tasks[i] = saros.spawn(function()
            gate:await()
            ended = ended + 1
         end)
      end
      saros.sleep(0)
      gate:set_result()
      saros.gather(tasks)
      assert.are.equal(10000, ended)
   end)

   it("56: lets a chain of a thousand tasks await each other without nested resumes", function()
      local function body(n)
         if n == 0 then return 0 end
         return saros.spawn(body, n - 1):await() + 1
      end
      assert.are.equal(1000, saros.spawn(body, 1000):await())
   end)

   it("lets two tasks wake each other a hundred thousand times", function()
      local ping, pong = saros.queue(1), saros.queue(1)
      local other = saros.spawn(function()
         for value in ping:items() do pong:put(value + 1) end
      end)
      local value = 0
      for _ = 1, 50000 do
         ping:put(value)
         value = pong:get()
      end
      ping:shutdown()
      other:await()
      assert.are.equal(50000, value)
   end)
end)

describe("a task", function()
   it("gives its results to everybody who awaits it, as often as they like", function()
      local task = saros.spawn(function() return 1, nil, 3 end)
      local other = saros.spawn(function() return task:await() end)
      assert.are.same({ n = 3, 1, nil, 3 }, table.pack(task:await()))
      assert.are.same({ n = 3, 1, nil, 3 }, table.pack(saros.await(task)))
      assert.are.same({ n = 3, 1, nil, 3 }, table.pack(task:result()))
      assert.are.same({ n = 3, 1, nil, 3 }, table.pack(other:await()))
   end)

   it("may return nothing, and many thousand values", function()
      assert.are.equal(0, select("#", saros.spawn(function() end):await()))
      local task = saros.spawn(function() return table.unpack({}, 1, 20000) end)
      assert.are.equal(20000, select("#", task:await()))
      assert.are.equal(20000, select("#", task:await()))
   end)

   it("15: cannot await itself", function()
      local task
      task = saros.spawn(function() return kit.text_of(task.await, task) end)
      assert.is_truthy(task:await():find("cannot await itself", 1, true))
   end)

   it("11: that is not done yet has neither result nor error", function()
      local task = saros.spawn(function() end)
      kit.raises("not done yet", task.result, task)
      kit.raises("not done yet", task.error, task)
      task:await()
      assert.is_nil(task:error())
   end)

   it("is the current task while it runs, and only then", function()
      local seen
      local task = saros.spawn(function()
         seen = saros.current_task()
         saros.sleep(0)
         assert(seen == saros.current_task())
      end)
      task:await()
      assert.are.equal(task, seen)
      assert.are_not.equal(task, saros.current_task())
   end)

   it("or nil is what can be asked for anywhere: in a callback there is none, nor a traceback of one that has not begun", function()
      local results
      saros.call_soon(function() results = table.pack(saros.current_task()) end)
      local task = saros.spawn(kit.turns)
      assert.are.same({ n = 1 }, table.pack(task:traceback()))
      task:await()
      assert.are.same({ n = 1 }, table.pack(task:traceback()))
      assert.are.same({ n = 1 }, results)
      assert.are.same({ n = 1 }, table.pack(saros.error_code("text")))
   end)

   it("is listed by all_tasks from spawn to end, oldest first", function()
      local before = #saros.all_tasks()
      local a, b = saros.spawn(saros.sleep, 0), saros.spawn(saros.sleep, 0)
      local all = saros.all_tasks()
      assert.are.equal(before + 2, #all)
      assert.are.equal(a, all[#all - 1])
      assert.are.equal(b, all[#all])
      a:await()
      b:await()
      assert.are.equal(before, #saros.all_tasks())
   end)

   it("is listed at once, however deep in a recursion it waits", function()
      local function down(n)
         if n == 0 then return saros.sleep(10) end
         return (down(n - 1))
      end
      local task = saros.spawn(down, 100000)
      saros.sleep(0)
      local all = saros.all_tasks() -- looked for frame by frame, it would take a minute
      assert.are.equal(task, all[#all])
      task:cancel()
      assert.is_false((pcall(task.await, task)))
   end)

   it("has a name, which can be set before, during and after its life", function()
      local task = saros.spawn(saros.sleep, 0)
      assert.is_truthy(task:name():match("^task%-%d+$"))
      assert.are.equal(task, task:set_name("worker"))
      assert.are.equal("worker", task:name())
      saros.sleep(0)
      task:set_name("busy")
      assert.is_truthy(tostring(task):find("busy", 1, true))
      task:await()
      assert.are.equal("busy", task:name())
      task:set_name("old")
      assert.are.equal("old", task:name())
      assert.are.equal(true, task:result())
   end)

   it("that was named keeps its function and arguments", function()
      local task = saros.spawn(function(...) return ... end, 1, 2):set_name("named")
      assert.are.same({ 1, 2 }, { task:await() })
   end)

   it("shows its state in tostring, with the place where it was spawned", function()
      local task = saros.spawn(saros.sleep, 0)
      assert.is_truthy(tostring(task):find("pending, spawned at .*tasks_spec.lua:%d+"))
      task:await()
      assert.is_truthy(tostring(task):find("finished", 1, true))
   end)

   it("shows where it waits in its traceback", function()
      local function deep() saros.future():await() end
      local task = saros.spawn(function() deep() end)
      assert.is_nil(task:traceback())
      saros.sleep(0)
      assert.is_truthy(task:traceback():find("tasks_spec.lua", 1, true))
      assert.is_truthy(task:traceback():find("deep", 1, true))
      task:cancel()
      saros.pcall(task.await, task)
      assert.is_nil(task:traceback())
   end)

   it("24: stays alive while it waits, also when nobody refers to it", function()
      local gate, ended = saros.future(), false
      do
         saros.spawn(function()
            local inner = saros.future()
            saros.call_later(0.002, function() inner:set_result() end)
            inner:await()
            ended = true
            gate:set_result()
         end)
      end
      saros.sleep(0)
      collectgarbage()
      collectgarbage()
      gate:await()
      assert.is_true(ended)
   end)

   it("gets its coroutine back clean: no hook, no old values", function()
      local task = saros.spawn(function()
         debug.sethook(function() end, "l")
         return 1
      end)
      task:await()
      for _ = 1, 5 do
         local hook, mask = saros.spawn(function() return debug.gethook() end):await()
         assert.is_nil(hook)
         assert.is_true(mask == nil or mask == "")
      end
   end)

   it("12: is called back when it has ended, through the queue and in the order of registration", function()
      local log = kit.log()
      local task = saros.spawn(function() log("body") end)
      assert.is_true(task:add_done_callback(function(t) log(t == task and "first" or "?") end))
      task:add_done_callback(function() log("second") end)
      saros.sleep(0)
      log("after")
      saros.sleep(0)
      task:add_done_callback(function() log("late") end)
      log("registered")
      saros.sleep(0)
      assert.are.equal("body after first second registered late", table.concat(log, " "))
   end)

   it("12: forgets a callback that was removed, and says how many there were", function()
      local called = 0
      local function callback() called = called + 1 end
      local task = saros.spawn(saros.sleep, 0)
      task:add_done_callback(callback)
      task:add_done_callback(print)
      task:add_done_callback(callback)
      assert.are.equal(2, task:remove_done_callback(callback))
      assert.are.equal(1, task:remove_done_callback(print))
      assert.are.equal(0, task:remove_done_callback(print))
      kit.raises("function expected", task.remove_done_callback, task, task)
      task:await()
      kit.turns(2)
      assert.are.equal(0, called)
   end)
end)

describe("task:cancel", function()
   it("17, F1: before the first step means that the body is never entered", function()
      local entered = false
      local task = saros.spawn(function() entered = true end)
      assert.is_true(task:cancel("not needed"))
      saros.sleep(0)
      assert.is_true(task:cancelled())
      assert.is_false(entered)
   end)

   it("18, F1: while it waits raises at the await, at once", function()
      local where
      local task = saros.spawn(function()
         where = "waits"
         saros.sleep(math.huge)
         where = "went on"
      end)
      saros.sleep(0)
      task:cancel()
      saros.sleep(0)
      assert.is_true(task:cancelled())
      assert.are.equal("waits", where)
   end)

   it("52, 53, F1: while it is ready lets the result win, and raises at the next await", function()
      local log = kit.log()
      local gate = saros.future()
      local task = saros.spawn(function()
         log(gate:await())
         saros.sleep(0)
         log("too far")
      end)
      saros.sleep(0)
      gate:set_result("result")
      task:cancel()
      saros.pcall(task.await, task)
      assert.is_true(task:cancelled())
      assert.are.equal("result", table.concat(log, " "))
   end)

   it("19, 21, F1: at its last step changes nothing: a task ends cancelled only if the error leaves its body", function()
      local gate = saros.future()
      local task = saros.spawn(function() return gate:await() end)
      saros.sleep(0)
      gate:set_result("value")
      assert.is_true(task:cancel())
      assert.are.equal("value", task:await())
      assert.is_false(task:cancelled())
   end)

   it("13, F1: after the end answers false and changes nothing", function()
      local task = saros.spawn(function() return 1 end)
      task:await()
      assert.is_false(task:cancel())
      assert.is_false(task:cancelled())
      assert.are.equal(1, task:await())
   end)

   it("20: may come twice; the first reason stays", function()
      local task = saros.spawn(saros.sleep, 10)
      saros.sleep(0)
      assert.is_true(task:cancel("first"))
      assert.is_true(task:cancel("second"))
      assert.is_truthy(kit.text_of(task.await, task):find("first", 1, true))
   end)

   it("30: of a sleep that is over in this very turn raises there: no result is lost", function()
      local log = kit.log()
      local task = saros.spawn(function()
         saros.sleep(0)
         log("too far")
      end)
      local other = saros.spawn(function() task:cancel() end)
      other:await()
      saros.pcall(task.await, task)
      assert.is_true(task:cancelled())
      assert.are.equal(0, #log)
   end)

   it("F15: from a finalizer is allowed", function()
      local task = saros.spawn(saros.sleep, 100)
      saros.sleep(0)
      setmetatable({}, { __gc = function() task:cancel("collected") end })
      collectgarbage()
      assert.is_truthy(kit.text_of(task.await, task):find("collected", 1, true))
   end)

   it("18: of the running task by itself raises at its next await", function()
      local log = kit.log()
      local task = saros.spawn(function()
         saros.current_task():cancel("myself")
         log("still here")
         saros.sleep(0)
         log("too far")
      end)
      saros.pcall(task.await, task)
      assert.is_true(task:cancelled())
      assert.are.equal("still here", table.concat(log))
   end)

   it("18: tells the awaiter with an ordinary, catchable error of code ECANCELED and the reason", function()
      local task = saros.spawn(saros.sleep, 10)
      task:cancel("no time")
      local ok, err = pcall(task.await, task)
      assert.is_false(ok)
      assert.are.equal("ECANCELED", saros.error_code(err))
      assert.is_truthy(tostring(err):find("no time", 1, true))
      assert.are.equal("no time", err.reason)
      assert.is_false((saros.is_cancelled(err)))
   end)

   it("of an awaiter does not cancel what it awaits", function()
      local gate = saros.future()
      local inner = saros.spawn(function() return gate:await() end)
      local outer = saros.spawn(function() return inner:await() end)
      kit.turns(2)
      outer:cancel()
      saros.pcall(outer.await, outer)
      assert.is_true(outer:cancelled())
      assert.is_false(inner:done())
      gate:set_result("fine")
      assert.are.equal("fine", inner:await())
   end)

   it("of thousands at once ends all of them", function()
      local closed = 0
      local tasks = {}
      for i = 1, 3000 do
         tasks[i] = saros.spawn(function()
            local _ <close> = setmetatable({}, { __close = function() closed = closed + 1 end })
            saros.sleep(100)
         end)
      end
      saros.sleep(0)
      for _, task in ipairs(tasks) do task:cancel() end
      saros.sleep(0)
      assert.are.equal(3000, closed)
      for _, task in ipairs(tasks) do assert(task:cancelled()) end
   end)

   it("inside a done callback is allowed", function()
      local second = saros.spawn(saros.sleep, 10)
      local first = saros.spawn(saros.sleep, 0)
      first:add_done_callback(function(task)
         assert(task:cancel() == false)
         second:cancel("by a callback")
      end)
      saros.pcall(second.await, second)
      assert.is_true(second:cancelled())
   end)
end)
