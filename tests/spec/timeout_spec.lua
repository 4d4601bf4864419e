-- timeout_spec.lua: saros.timeout with a function and in a <close> variable: what expires, who is told, what wins.

local saros = require "saros"
local kit = require "support.kit"
require("support.leaks")(before_each, after_each)

local timed_out = { n = 3, nil, "timed out", "ETIMEDOUT" }

describe("saros.timeout", function()
   it("gives the function's results where it is in time", function()
      assert.are.same({ n = 3, 1, nil, 3 }, table.pack(saros.timeout(10, function(...)
         saros.sleep(0)
         return ...
      end, 1, nil, 3)))
   end)

   it("answers nil, a message and ETIMEDOUT where it is not", function()
      local began = saros.now()
      assert.are.same(timed_out, table.pack(saros.timeout(0.003, saros.sleep, 100)))
      assert.is_true(saros.now() - began >= 0.003 - 1e-9)
   end)

   it("27: cancels the function, and returns only when that has unwound, awaits in __close included", function()
      local log = kit.log()
      local results = table.pack(saros.timeout(0.002, function()
         local _ <close> = setmetatable({}, {
            __close = function()
               saros.shield(saros.sleep, 0.002)
               log("closed")
            end,
         })
         saros.sleep(100)
      end))
      log("returned")
      assert.are.same(timed_out, results)
      assert.are.equal("closed returned", table.concat(log, " "))
   end)

   it("27: of nil or infinity is none", function()
      assert.are.equal(1, saros.timeout(nil, function() return 1 end))
      assert.are.equal(2, saros.timeout(math.huge, function()
         saros.sleep(0.001)
         return 2
      end))
   end)

   it("27, F8: of 0 or less lets the function run to its first suspension", function()
      for _, seconds in ipairs({ 0, -1, -math.huge }) do
         local reached
         assert.are.same(timed_out, table.pack(saros.timeout(seconds, function()
            reached = "body"
            saros.sleep(100)
            reached = "too far"
         end)))
         assert.are.equal("body", reached)
         assert.are.equal("quick", saros.timeout(seconds, function() return "quick" end))
         local done = saros.future()
         done:set_result("at hand")
         assert.are.same(timed_out, table.pack(saros.timeout(seconds, function()
            reached = done:await() -- does not suspend
            saros.sleep(0)
            reached = "too far"
         end)))
         assert.are.equal("at hand", reached)
      end
   end)

   it("raises for NaN and names wrong arguments", function()
      kit.raises("NaN", saros.timeout, 0 / 0, print)
      kit.raises("bad argument #1", saros.timeout, "soon", print)
      kit.raises("bad argument #2", saros.timeout, 1, nil)
      kit.raises("bad argument #2", saros.timeout, 1, 42)
   end)

   it("27: passes an error on", function()
      assert.are.equal("inner", (kit.error_of(saros.timeout, 10, error, "inner")))
      assert.are.equal("later", (kit.error_of(saros.timeout, 10, function()
         saros.sleep(0)
         error("later", 0)
      end)))
   end)

   it("27: lets the result win where result and deadline meet in one turn, whichever is told first", function()
      for _, first in ipairs({ "result", "deadline" }) do
         local future = saros.future()
         local t = saros.now() + 0.003
         local function settle() future:set_result("result") end
         if first == "result" then saros.call_at(t, settle) end
         assert.are.equal("result", (saros.scope(function(scope)
            scope:deadline(t)
            if first == "deadline" then saros.call_at(t, settle) end
            saros.call_at(t - 0.0001, function() while saros.now() < t do end end) -- so that both are due at one look
            return future:await()
         end)), first)
      end
   end)

   it("27: counts a task that ends in the turn of the deadline as in time", function()
      local t = saros.now() + 0.003
      assert.are.equal("in time", (saros.scope(function(scope)
         scope:deadline(t)
         local child = saros.spawn(function()
            saros.sleep_until(t)
            return "in time"
         end)
         saros.sleep(0)
         saros.call_at(t - 0.0001, function() while saros.now() < t do end end)
         return child:await()
      end)))
   end)

   it("27: keeps a cancellation from outside that meets the end of what it waits for", function()
      local gate = saros.future()
      local task = saros.spawn(function()
         local got = saros.timeout(10, gate.await, gate)
         saros.sleep(0)
         return "vanished " .. got
      end)
      saros.sleep(0)
      gate:set_result("x")
      task:cancel()
      saros.pcall(task.await, task)
      assert.is_true(task:cancelled())
   end)

   it("27, F8: reports the inner one as the inner one's when it is earlier", function()
      assert.are.same({ "inner", nil, "timed out", "ETIMEDOUT" }, { saros.timeout(100, function()
         return "inner", saros.timeout(0.002, saros.sleep, 100)
      end) })
   end)

   it("27, F8: reports the outer one to the outer caller when it is earlier", function()
      local passed = false
      assert.are.same(timed_out, table.pack(saros.timeout(0.002, function()
         saros.timeout(100, saros.sleep, 100)
         passed = true
      end)))
      assert.is_false(passed)
   end)

   it("F8: unwinds to the outermost of several that are due at once", function()
      local passed = false
      assert.are.same(timed_out, table.pack(saros.timeout(0.002, function()
         saros.timeout(0.002, function() saros.timeout(0.002, saros.sleep, 100) end)
         saros.sleep(100)
         passed = true
      end)))
      assert.is_false(passed)
   end)

   it("nests a hundred deep", function()
      local function nest(n)
         if n == 0 then return saros.sleep(0) end
         return saros.timeout(100, nest, n - 1)
      end
      assert.is_true(nest(100))
   end)

   it("leaves no timer behind", function()
      local before = saros._pending()
      for _ = 1, 100 do saros.timeout(1000, kit.turns) end
      assert.are.equal(before, (saros._pending()))
   end)

   it("of one task leaves others alone", function()
      local other = saros.spawn(function()
         saros.sleep(0.005)
         return "fine"
      end)
      saros.timeout(0.001, saros.sleep, 100)
      assert.are.equal("fine", other:await())
   end)

   it("does not vanish behind a task's own cancellation, nor that behind it", function()
      local task = saros.spawn(function()
         saros.timeout(0.001, function()
            saros.sleep(0)
            saros.current_task():cancel("outer")
            saros.sleep(1)
         end)
         saros.sleep(0)
         return "swallowed"
      end)
      saros.pcall(task.await, task)
      assert.is_true(task:cancelled())
   end)
end)

describe("saros.timeout in a <close> variable", function()
   it("27: makes a time-out error of the cancellation, which code outside may catch", function()
      local ok, err = pcall(function()
         local t <close> = saros.timeout(0.002)
         assert(not t:expired())
         saros.sleep(100)
      end)
      assert.is_false(ok)
      assert.are.equal("ETIMEDOUT", saros.error_code(err))
      assert.are.equal("timed out", tostring(err))
      assert.is_true(saros.sleep(0))
      assert.are.same(timed_out, table.pack(saros.protect(function()
         local _ <close> = saros.timeout(0.002)
         saros.sleep(100)
      end)()))
   end)

   it("does nothing where the block ends in time, and leaves no timer behind", function()
      local before = saros._pending()
      local scope
      for _ = 1, 3 do
         local t <close> = saros.timeout(1000)
         scope = t
         saros.sleep(0)
      end
      assert.are.equal(before, (saros._pending()))
      assert.is_false(scope:expired())
      assert.is_false(scope:cancel())
   end)

   it("lets a result stand that came before the block's next await", function()
      local function body()
         local t <close> = saros.timeout(0.001)
         kit.wait_until(function() return t:expired() end)
      end
      assert.is_false((pcall(body))) -- it awaits, so it is interrupted
      assert.are.equal("done", (function()
         local t <close> = saros.timeout(0)
         t:cancel()
         return "done"
      end)())
   end)

   it("passes errors and the cancellation of others on", function()
      assert.are.equal("mine", (kit.error_of(function()
         local _ <close> = saros.timeout(100)
         error("mine", 0)
      end)))
      assert.are.same(timed_out, table.pack(saros.timeout(0.002, function()
         local _ <close> = saros.timeout(100)
         saros.sleep(100)
      end)))
   end)

   it("that is cancelled by hand raises ECANCELED with its reason", function()
      for _, reason in ipairs({ "enough", false }) do
         local _, err = pcall(function()
            local t <close> = saros.timeout(100)
            t:cancel(reason or nil)
            saros.sleep(0)
         end)
         assert.are.equal("ECANCELED", saros.error_code(err))
         assert.are.equal(reason or "cancelled", tostring(err))
      end
   end)

   it("may be moved, nests, and reports the one that expired", function()
      local log = kit.log()
      local ok, err = pcall(function()
         local outer <close> = saros.timeout(100)
         local inner_ok, inner = pcall(function()
            local t <close> = saros.timeout(100)
            t:deadline(saros.now() + 0.001)
            saros.sleep(100)
         end)
         log(tostring(inner_ok) .. " " .. saros.error_code(inner))
         outer:deadline(saros.now() + 0.001)
         pcall(function()
            local _ <close> = saros.timeout(100)
            saros.sleep(100)
         end)
         log("too far")
      end)
      assert.is_false(ok)
      assert.are.equal("ETIMEDOUT", saros.error_code(err))
      assert.are.equal("false ETIMEDOUT", table.concat(log, ", "))
   end)

   it("may be left in the wrong order, or not at all, and harms nobody", function()
      saros.spawn(function()
         local first, second = saros.timeout(1000), saros.timeout(1000)
         saros.scope(function()
            local third = saros.timeout(1000)
            do local _ <close> = first end
            saros.sleep(0)
            assert(not third:deadline() and not second:deadline()) -- they were inside the first
         end)
         saros.sleep(0)
         saros.timeout(1000)
      end):await()
      assert.is_true(saros.sleep(0))
   end)

   it("does not close a scope that has a function", function()
      assert.are.equal(3, saros.scope(function(scope)
         do local _ <close> = scope end
         assert(scope:deadline(saros.now() + 100))
         saros.sleep(0)
         return 3
      end))
   end)
end)
