-- cleanup_spec.lua: what runs while a task unwinds: pcall and cancellation, <close> variables that await or fail.

local saros = require "saros"
local kit = require "support.kit"
require("support.leaks")(before_each, after_each)

local function closing(f) return setmetatable({}, { __close = f }) end

-- Runs body as a task, cancels it where it first waits, and returns the task when it has ended.
local function cancelled_task(body, reason)
   local task = saros.spawn(body)
   saros.sleep(0)
   task:cancel(reason)
   saros.pcall(task.await, task)
   return task
end

describe("a cancellation", function()
   it("passes through pcall and xpcall, whose handler is not called", function()
      local log = kit.log()
      local task = cancelled_task(function()
         pcall(function()
            xpcall(saros.sleep, function() log("handler") end, 100)
            log("behind xpcall")
         end)
         log("behind pcall")
      end)
      assert.is_true(task:cancelled())
      assert.are.equal(0, #log)
   end)

   it("is caught by saros.pcall, with its reason", function()
      local ok, err
      local task = cancelled_task(function()
         ok, err = saros.pcall(saros.sleep, 100)
         return "went on"
      end, "the reason")
      assert.is_false(ok)
      local scope, reason = saros.is_cancelled(err)
      assert.are.equal(task, scope)
      assert.are.equal("the reason", reason)
      assert.are.equal("cancelled: the reason", tostring(err))
      assert.is_false(task:cancelled())
      assert.are.equal("went on", task:await())
   end)

   it("that was caught and is raised again still is one", function()
      local task = cancelled_task(function()
         local _, err = saros.pcall(saros.sleep, 100)
         error(err)
      end)
      assert.is_true(task:cancelled())
   end)

   it("of a scope that was left is an ordinary error", function()
      local kept
      saros.scope(function(scope)
         scope:cancel()
         kept = select(2, saros.pcall(saros.sleep, 0))
      end)
      local ok, err = pcall(error, kept)
      assert.is_false(ok)
      assert.are.equal(kept, err)
   end)

   it("of a scope that was left is not taken for that of a later one, whatever memory that has", function()
      local kept
      for _ = 1, 5 do
         saros.scope(function(scope)
            scope:cancel("old")
            kept = select(2, saros.pcall(saros.sleep, 0))
         end)
         assert.are.equal(kept, (kit.error_of(saros.scope, function() error(kept) end)))
         assert.are.equal(kept, (kit.error_of(saros.timeout, 100, function() error(kept) end)))
      end
   end)

   it("of another task is an ordinary error for pcall", function()
      local kept
      cancelled_task(function() kept = select(2, saros.pcall(saros.sleep, 100)) end)
      assert.are.equal(kept, select(2, pcall(error, kept)))
   end)

   it("is told apart from everything else by is_cancelled", function()
      for _, value in ipairs({ 1, "cancelled", {}, io.stdout, saros.future() }) do
         assert.is_false((saros.is_cancelled(value)))
      end
      assert.is_false((saros.is_cancelled(nil)))
      assert.is_false((saros.is_cancelled()))
   end)

   it("19, F2: makes a task that swallows it again and again give way to others", function()
      local swallowed, others = 0, 0
      local task = saros.spawn(function()
         while swallowed < 1000 do
            if not saros.pcall(saros.sleep, 1) then swallowed = swallowed + 1 end
         end
         return "gave up"
      end)
      local other = saros.spawn(function()
         while not task:done() do
            others = others + 1
            saros.sleep(0)
         end
      end)
      saros.sleep(0)
      task:cancel()
      assert.are.equal("gave up", task:await())
      other:await()
      assert.is_true(others >= 5)
   end)

   it("19, 49: makes it give way also where it opens and leaves scopes, its own or some that it cancels", function()
      local gate, others = false, 0
      local task = saros.spawn(function()
         while not gate do
            saros.pcall(saros.scope, function(scope)
               scope:cancel()
               saros.sleep(0)
            end)
            saros.pcall(saros.scope, function() saros.sleep(0) end)
         end
      end)
      saros.spawn(function()
         for _ = 1, 5 do
            saros.sleep(0)
            others = others + 1
         end
         gate = true
      end)
      saros.sleep(0)
      task:cancel()
      task:await()
      assert.are.equal(5, others)
   end)

   it("47: passes through pcall in a __close handler, and through a handler of xpcall that fails", function()
      local log = kit.log()
      local task = cancelled_task(function()
         local _ <close> = closing(function()
            log(tostring((pcall(error, "ordinary"))))
            pcall(saros.sleep, 0)
            log("behind pcall")
         end)
         xpcall(saros.sleep, function() error("in the handler") end, 100)
         log("behind xpcall")
      end)
      assert.is_true(task:cancelled())
      assert.are.equal("false", table.concat(log, " "))
   end)

   it("47: gives a __close handler the scope that was cancelled, and the reason", function()
      local seen = {}
      local function look(_, err) seen[#seen + 1] = { saros.is_cancelled(err) } end
      local mine
      saros.scope(function(scope)
         mine = scope
         local _ <close> = closing(look)
         scope:cancel("enough")
         saros.sleep(0)
      end)
      assert.are.same({ mine, "enough" }, seen[1])
      saros.timeout(0, function()
         local _ <close> = closing(look)
         saros.sleep(0)
      end)
      assert.is_true(seen[2][1]:expired()) -- it got a name when it was asked for
      assert.are.equal("timed out", seen[2][2])
      do
         local ok = pcall(function()
            local t <close> = saros.timeout(0)
            mine = t
            local _ <close> = closing(look)
            saros.sleep(0)
         end)
         assert.is_false(ok)
         assert.are.equal(mine, seen[3][1])
      end
      saros.group(function(group)
         mine = group
         group:spawn(function()
            local _ <close> = closing(look)
            saros.sleep(100)
         end)
         saros.sleep(0)
         group:cancel("all")
      end)
      assert.are.same({ mine, "all" }, seen[4])
      local task = cancelled_task(function()
         local _ <close> = closing(look)
         saros.sleep(100)
      end, "task")
      assert.are.same({ task, "task" }, seen[5])
      local kept
      saros.timeout(0, function() kept = select(2, saros.pcall(saros.sleep, 0)) end)
      assert.are.same({ true, "timed out" }, { saros.is_cancelled(kept) }) -- too late to ask
   end)

   it("47: of an awaited task is an error like any other, to pcall and to an xpcall handler", function()
      local inner = saros.spawn(saros.sleep, 100)
      inner:cancel("gone")
      local handled
      local ok = xpcall(inner.await, function(err)
         handled = saros.error_code(err)
         return err
      end, inner)
      assert.is_false(ok)
      assert.are.equal("ECANCELED", handled)
      local okay, err = pcall(inner.await, inner)
      assert.is_false(okay)
      assert.is_truthy(tostring(err):find("gone", 1, true))
      assert.is_false((saros.is_cancelled(err)))
   end)

   it("F2: that is swallowed for ever is reported, once", function()
      local output = kit.script([[
         local task = saros.spawn(function()
            for _ = 1, 500 do saros.pcall(saros.sleep, 1) end
         end):set_name("stubborn")
         saros.sleep(0)
         task:cancel()
         task:await()]])
      local _, times = output:gsub("task stubborn %(.-%) waits at .-: it was cancelled", "")
      assert.are.equal(1, times, output)
   end)

   it("50: reaches every kind of wait", function()
      local queue, full = saros.queue(), saros.queue(1)
      full:put(1)
      local client, server = kit.pair()
      local listener = saros.listen("127.0.0.1:0")
      local waits = {
         function() saros.sleep(100) end,
         function() saros.sleep(math.huge) end,
         function() saros.future():await() end,
         function() saros.spawn(saros.sleep, 0.001):await() saros.sleep(100) end,
         function() saros.gather(saros.future(), 100) end,
         function() saros.run(saros.sleep, 100) end,
         function() queue:get() end,
         function() for _ in queue:items() do end end,
         function() full:put(2) end,
         function() full:join() end,
         function() client:read("l") end,
         function() listener:accept() end,
         function() saros.timeout(100, saros.sleep, 100) end,
         function() saros.shield(kit.turns, 3) saros.sleep(100) end,
         function() server:write(("x"):rep(20000000)) end,
      }
      for i, body in ipairs(waits) do
         assert(cancelled_task(body):cancelled(), "wait " .. i)
      end
      client:close()
      server:close()
      listener:close()
   end)
end)

describe("<close> variables", function()
   it("F4: run on normal end, error and cancellation, innermost first, and may await", function()
      local function body(ending, log)
         local _ <close> = closing(function(_, err)
            saros.shield(saros.sleep, 0.001)
            log("outer " .. (err == nil and "nil" or saros.is_cancelled(err) and "cancelled" or tostring(err)))
         end)
         local _ <close> = closing(function()
            saros.shield(kit.turns, 2)
            log("inner")
         end)
         ending()
      end
      local log = kit.log()
      saros.spawn(body, function() end, log):await()
      assert.are.equal("inner, outer nil", table.concat(log, ", "))
      log = kit.log()
      local failed = saros.spawn(body, function() error("boom", 0) end, log)
      assert.are.equal("boom", (kit.error_of(failed.await, failed)))
      assert.are.equal("inner, outer boom", table.concat(log, ", "))
      log = kit.log()
      local task = cancelled_task(function() body(function() saros.sleep(100) end, log) end)
      assert.is_true(task:cancelled())
      assert.are.equal("inner, outer cancelled", table.concat(log, ", "))
   end)

   it("that fail replace the error, and the others still run", function()
      local closed = 0
      local task = saros.spawn(function()
         local _ <close> = closing(function() closed = closed + 1 end)
         local _ <close> = closing(function() error("from __close", 0) end)
         local _ <close> = closing(function() closed = closed + 1 end)
         error("original", 0)
      end)
      assert.are.equal("from __close", (kit.error_of(task.await, task)))
      assert.are.equal(2, closed)
   end)

   it("F5: that fail during a cancellation make the task fail, and the others still run", function()
      local closed = 0
      local task = cancelled_task(function()
         local _ <close> = closing(function() closed = closed + 1 end)
         local _ <close> = closing(function() error("from __close", 0) end)
         saros.sleep(100)
      end)
      assert.is_false(task:cancelled())
      assert.are.equal("from __close", task:error())
      assert.are.equal(1, closed)
   end)

   it("that fail in a scope that is being cancelled replace its cancellation", function()
      assert.are.equal("from __close", (kit.error_of(saros.timeout, 0.001, function()
         local _ <close> = closing(function() error("from __close", 0) end)
         saros.sleep(100)
      end)))
   end)

   it("may spawn tasks, which go on by themselves", function()
      local child
      cancelled_task(function()
         local _ <close> = closing(function() child = saros.spawn(function() return "child" end) end)
         saros.sleep(100)
      end)
      assert.are.equal("child", child:await())
   end)

   it("are awaited by nobody's cancel: a second cancel does not interrupt a shielded cleanup", function()
      local cleaned = false
      local task = saros.spawn(function()
         local _ <close> = closing(function()
            saros.shield(saros.sleep, 0.003)
            cleaned = true
         end)
         saros.sleep(100)
      end)
      saros.sleep(0)
      task:cancel()
      saros.sleep(0.001)
      task:cancel()
      saros.pcall(task.await, task)
      assert.is_true(cleaned)
   end)

   it("in an unshielded cleanup that awaits are cut short by the level-triggered cancellation", function()
      local log = kit.log()
      local task = cancelled_task(function()
         local _ <close> = closing(function() log("outer runs") end)
         local _ <close> = closing(function()
            log("begun")
            saros.sleep(0)
            log("not reached")
         end)
         saros.sleep(100)
      end)
      assert.is_true(task:cancelled())
      assert.are.equal("begun, outer runs", table.concat(log, ", "))
   end)

   it("run when loops, iterators and nested functions are left by a cancellation", function()
      local log = kit.log()
      local function iterate()
         return function(_, i) return (i or 0) + 1 end, nil, nil, closing(function() log("iterator") end)
      end
      cancelled_task(function()
         local function inner()
            local _ <close> = closing(function() log("function") end)
            for _ in iterate() do saros.sleep(0.001) end
         end
         inner()
      end)
      assert.are.equal("iterator function", table.concat(log, " "))
   end)
end)

describe("the collector", function()
   it("59: may run at any await, in every mode, and changes nothing", function()
      local function program()
         local log, q = kit.log(), saros.queue(1)
         local function nap()
            saros.sleep(0)
            collectgarbage()
            collectgarbage("step")
         end
         local producer = saros.spawn(function()
            for i = 1, 5 do
               q:put({ i })
               nap()
            end
            q:shutdown()
         end)
         local consumer = saros.spawn(function()
            for item in q:items() do
               log(item[1])
               nap()
            end
         end)
         saros.gather(producer, consumer, function()
            saros.timeout(0.001, function()
               local _ <close> = closing(nap)
               saros.sleep(100)
            end)
         end)
         return table.concat(log, " ")
      end
      local expected = program()
      for _, mode in ipairs({ "generational", "incremental" }) do
         local before = collectgarbage(mode)
         assert.are.equal(expected, program())
         collectgarbage(before)
      end
      local pause, step = collectgarbage("setpause", 0), collectgarbage("setstepmul", 1000)
      assert.are.equal(expected, program())
      collectgarbage("setpause", pause)
      collectgarbage("setstepmul", step)
      collectgarbage("stop")
      assert.are.equal(expected, program())
      collectgarbage("restart")
   end)

   it("frees cycles of task, future, queue and closure once they have ended", function()
      local weak = setmetatable({}, { __mode = "k" })
      do
         local future, q = saros.future(), saros.queue()
         local task
         task = saros.spawn(function()
            q:put(task)
            q:put(future)
            return task, future, q
         end)
         task:add_done_callback(function() return task, q end)
         task:await()
         future:set_result(task)
         weak[task], weak[future], weak[q] = 1, 2, 3
      end
      kit.turns(2)
      collectgarbage()
      collectgarbage()
      assert.is_nil(next(weak))
   end)

   it("may call into Saros from finalizers", function()
      local log = kit.log()
      local victim = saros.spawn(saros.sleep, 100)
      saros.sleep(0)
      setmetatable({}, {
         __gc = function()
            saros.spawn(function() log("spawned") end)
            saros.call_soon(function() log("called") end)
            victim:cancel()
            log(pcall(saros.sleep, 0) and "?" or "refused")
         end,
      })
      collectgarbage()
      saros.pcall(victim.await, victim)
      kit.turns(2)
      assert.are.equal("refused spawned called", table.concat(log, " "))
   end)
end)
