-- scope_spec.lua: scopes and shields: what is cancelled, who takes the cancellation, what moves a deadline.

local saros = require "saros"
local kit = require "support.kit"
require("support.leaks")(before_each, after_each)

local timed_out = { n = 3, nil, "timed out", "ETIMEDOUT" }

describe("saros.scope", function()
   it("gives fn the scope and its arguments, and returns fn's results", function()
      assert.are.same({ n = 3, 1, nil, 3 }, table.pack(saros.scope(function(scope, ...)
         assert(type(scope) == "userdata")
         return ...
      end, 1, nil, 3)))
   end)

   it("that is cancelled unwinds to where it was entered, with the reason", function()
      local inner
      local results = table.pack(saros.scope(function(scope)
         inner = scope
         assert.is_true(scope:cancel("enough"))
         assert.is_true(scope:cancelled())
         saros.sleep(0)
         error("not reached")
      end))
      assert.are.same({ n = 3, nil, "enough", "ECANCELED" }, results)
      assert.is_true(inner:cancelled())
      assert.is_false(inner:expired())
   end)

   it("cancelled without a reason says so; a reason may be any value", function()
      assert.are.same({ n = 3, nil, "cancelled", "ECANCELED" }, table.pack(saros.scope(function(scope)
         scope:cancel()
         saros.sleep(0)
      end)))
      local reason = {}
      assert.are.equal(reason, select(2, saros.scope(function(scope)
         scope:cancel(reason)
         saros.sleep(0)
      end)))
   end)

   it("can be cancelled by another task while it waits, and keeps the first reason", function()
      local scope
      local task = saros.spawn(function()
         return saros.scope(function(own)
            scope = own
            saros.sleep(100)
         end)
      end)
      saros.sleep(0)
      assert.is_true(scope:cancel("first"))
      assert.is_true(scope:cancel("second"))
      assert.are.same({ n = 3, nil, "first", "ECANCELED" }, table.pack(task:await()))
      assert.is_false(scope:cancel("too late"))
   end)

   it("that nobody awaits in any more changes nothing", function()
      assert.are.equal("result", saros.scope(function(scope)
         scope:cancel()
         return "result"
      end))
   end)

   it("times out by option, and knows that it expired", function()
      local inner
      assert.are.same(timed_out, table.pack(saros.scope({ timeout = 0.002 }, function(scope)
         inner = scope
         assert.is_false(scope:expired())
         saros.sleep(100)
      end)))
      assert.is_true(inner:expired())
      assert.is_true(inner:cancelled())
   end)

   it("47: has a deadline that can be read and moved both ways", function()
      saros.scope({ timeout = 100 }, function(scope)
         local t = saros.now()
         assert.is_true(math.abs(scope:deadline() - (t + 100)) < 1)
         assert.is_true(math.abs(scope:deadline(t + 5) - (t + 5)) < 1e-6) -- kept in whole nanoseconds
         assert.is_nil(scope:deadline(false))
         assert.is_nil(scope:deadline())
      end)
      assert.are.same(timed_out, table.pack(saros.scope(function(scope)
         assert.is_nil(scope:deadline())
         scope:deadline(saros.now() + 0.002)
         saros.sleep(100)
      end)))
      assert.are.equal("in time", saros.scope({ timeout = 0.002 }, function(scope)
         scope:deadline(saros.now() + 100)
         saros.sleep(0.006)
         return "in time"
      end))
      assert.are.equal("never", saros.scope({ timeout = 0.002 }, function(scope)
         scope:deadline(false)
         saros.sleep(0.006)
         return "never"
      end))
   end)

   it("whose deadline is moved several times in one turn follows the last", function()
      assert.are.same(timed_out, table.pack(saros.scope({ timeout = 50 }, function(scope)
         scope:deadline(saros.now() + 100)
         scope:deadline(false)
         scope:deadline(saros.now() + 0.002)
         saros.sleep(100)
      end)))
   end)

   it("whose deadline is moved away in the turn in which it is due does not expire", function()
      assert.are.equal("kept", saros.scope({ timeout = 0.002 }, function(scope)
         local task = saros.current_task()
         assert(task)
         local t = scope:deadline()
         saros.sleep_until(t - 0.0001)
         while saros.now() < t do end -- so that it is due at the next look
         scope:deadline(saros.now() + 100)
         saros.sleep(0.002)
         return "kept"
      end))
   end)

   it("that was left can be asked, and refuses a deadline", function()
      local scope
      saros.scope({ timeout = 100 }, function(own) scope = own end)
      assert.is_false(scope:cancelled())
      assert.is_false(scope:expired())
      assert.is_nil(scope:deadline())
      assert.is_false(scope:cancel())
      kit.raises("was left", scope.deadline, scope, 1)
   end)

   it("47, F2: is level-triggered: every further await in it raises", function()
      local raised = 0
      saros.scope(function(scope)
         scope:cancel()
         for _ = 1, 5 do
            if not saros.pcall(saros.sleep, 0) then raised = raised + 1 end
         end
      end)
      assert.are.equal(5, raised)
   end)

   it("47: keeps its first reason where its deadline passes while it unwinds", function()
      local object
      local function unwinds_slowly(scope)
         object = scope
         local _ <close> = setmetatable({}, { __close = function() saros.shield(saros.sleep, 0.004) end })
         scope:cancel("enough")
         saros.sleep(1000)
      end
      assert.are.same({ nil, "enough", "ECANCELED" }, { saros.scope({ timeout = 0.001 }, unwinds_slowly) })
      assert.is_false(object:expired())
      assert.are.equal("ECANCELED", saros.error_code((kit.error_of(function()
         local scope <close> = saros.timeout(0.001)
         unwinds_slowly(scope)
      end))))
   end)

   it("47: stops being cancelled where it is left: awaits behind it work", function()
      saros.scope(function(scope)
         scope:cancel()
         saros.sleep(0)
      end)
      assert.is_true(saros.sleep(0))
   end)

   it("names wrong options and arguments", function()
      kit.raises("unknown option 'timout'", saros.scope, { timout = 1 }, print)
      kit.raises("unknown option '1'", saros.scope, { 1 }, print)
      kit.raises("option 'timeout'", saros.scope, { timeout = {} }, print)
      kit.raises("bad argument #1 to 'saros.scope' (option 'timeout': number expected, got NaN)", saros.scope, { timeout = 0 / 0 }, print)
      kit.raises("bad argument #2 to 'saros.scope' (function expected, got number)", saros.scope, { timeout = 1 }, 42)
      kit.raises("bad argument #2 to 'saros.shield' (function expected, got no value)", saros.shield, {})
      kit.raises("bad argument #1", saros.scope)
      kit.raises("bad argument", saros.scope, 42)
      kit.raises("bad argument", saros.scope, { timeout = 1 })
   end)
end)

describe("saros.shield", function()
   it("28: holds a cancellation back until its function has returned", function()
      local log = kit.log()
      local task = saros.spawn(function()
         saros.shield(function()
            saros.sleep(0.003)
            log("finished")
         end)
         log("after the shield")
         saros.sleep(0)
         log("too far")
      end)
      saros.sleep(0)
      task:cancel()
      saros.pcall(task.await, task)
      assert.is_true(task:cancelled())
      assert.are.equal("finished, after the shield", table.concat(log, ", "))
   end)

   it("gives the function's results and errors", function()
      assert.are.same({ 1, 2 }, { saros.shield(function(...) return ... end, 1, 2) })
      assert.are.equal("x", (kit.error_of(saros.shield, error, "x")))
      kit.raises("bad argument #1", saros.shield)
      kit.raises("bad argument #2", saros.shield, {})
   end)

   it("28: does not hold back what is cancelled inside of it", function()
      assert.are.same(timed_out, table.pack(saros.shield(saros.timeout, 0.002, saros.sleep, 100)))
   end)

   it("can be an option of a scope, which can then be cancelled itself", function()
      local task = saros.spawn(function()
         return saros.scope({ shield = true, timeout = 0.003 }, function() saros.sleep(100) end)
      end)
      saros.sleep(0)
      task:cancel()
      assert.are.same(timed_out, table.pack(task:await()))
   end)

   it("F3: may have a deadline of its own, so that cleaning up takes no longer", function()
      local results
      local task = saros.spawn(function()
         local _ <close> = setmetatable({}, {
            __close = function() results = table.pack(saros.shield({ timeout = 0.003 }, saros.sleep, 100)) end,
         })
         saros.sleep(100)
      end)
      saros.sleep(0)
      task:cancel()
      saros.pcall(task.await, task)
      assert.is_true(task:cancelled())
      assert.are.same(timed_out, results)
      assert.are.equal(7, saros.shield({ timeout = 10 }, function(...) return ... end, 7))
      assert.are.equal(8, saros.shield({}, function() return 8 end))
      kit.raises("unknown option 'shield'", saros.shield, { shield = true }, print)
      kit.raises("option 'timeout'", saros.shield, { timeout = "soon" }, print)
      kit.raises("bad argument", saros.shield, { timeout = 1 })
   end)

   it("works in a task that is cancelled already, for cleaning up", function()
      local cleaned = false
      local task = saros.spawn(function()
         local _ <close> = setmetatable({}, {
            __close = function()
               assert(not saros.pcall(saros.sleep, 0))
               saros.shield(saros.sleep, 0.001)
               cleaned = true
            end,
         })
         saros.sleep(100)
      end)
      saros.sleep(0)
      task:cancel()
      saros.pcall(task.await, task)
      assert.is_true(cleaned)
   end)
end)
