-- join_spec.lua: saros.join: everything that the running task has spawned.

local saros = require "saros"
local kit = require "support.kit"
require("support.leaks")(before_each, after_each)

local function fails(text, turns)
   return function()
      kit.turns(turns or 0)
      error(text, 0)
   end
end

describe("saros.join", function()
   local function in_task(fn) return saros.spawn(fn):await() end

   it("waits for all that the task itself has spawned, and for nothing else", function()
      local gate, log = saros.future(), kit.log()
      local other = saros.spawn(gate.await, gate)
      in_task(function()
         saros.spawn(function()
            saros.spawn(gate.await, gate) -- its own
            kit.turns(3)
            log("a")
         end)
         saros.spawn(function()
            kit.turns(1)
            log("b")
         end)
         assert.is_true(saros.join())
         log("joined")
         assert.is_true(saros.join())
      end)
      assert.are.equal("b a joined", table.concat(log, " "))
      assert.is_false(other:done())
      gate:set_result()
      other:await()
   end)

   it("cancels nothing, and raises what has failed when all have ended, in a group error", function()
      local finished = false
      local err = kit.error_of(in_task, function()
         saros.spawn(fails("early"))
         kit.turns(2)
         saros.spawn(fails("late", 2))
         saros.spawn(function()
            kit.turns(5)
            finished = true
         end)
         saros.spawn(saros.sleep, 1000):cancel()
         saros.join()
      end)
      assert.are.same({ "early", "late" }, err.errors)
      assert.is_true(finished)
   end)

   it("leaves errors alone that somebody has awaited", function()
      in_task(function()
         local bad = saros.spawn(fails("known"))
         kit.error_of(bad.await, bad)
         assert.is_true(saros.join())
      end)
   end)

   it("14: leaves errors alone that somebody else comes to know meanwhile", function()
      in_task(function()
         local bad = saros.spawn(fails("known", 2))
         local other = saros.run(function() -- not a child of the joining task
            return saros.spawn(function() return (select(2, saros.pcall(bad.await, bad))) end)
         end)
         assert.is_true(saros.join())
         assert.are.equal("known", other:await())
      end)
   end)

   it("14: leaves the failure of a group's child to the group", function()
      local output, code = kit.script([[
         local ok, err = saros.pcall(saros.group, function(group)
            group:spawn(error, "the group's own", 0)
            saros.join()
         end)
         print(ok, table.concat(err.errors, "+"))
      ]])
      assert.are.equal("false\tthe group's own\n", output)
      assert.are.equal(0, code)
   end)

   it("14: knows the errors of those that fail while it waits for others", function()
      local loop <close> = saros.loop({ driver = kit.driver, report_after = 0 })
      local told = false
      loop:set_exception_handler(function() told = true end)
      local err = kit.error_of(loop.run, loop, function()
         saros.spawn(fails("early", 1))
         saros.spawn(kit.turns, 6)
         saros.join()
      end)
      assert.are.same({ "early" }, err.errors)
      assert.is_false(told)
   end)

   it("can be cancelled, and then leaves what was spawned alone; errors are reported", function()
      local output = kit.script([[
         local gate = saros.future()
         local task = saros.spawn(function()
            saros.spawn(gate.await, gate)
            saros.spawn(error, "not lost", 0)
            saros.join()
         end)
         saros.sleep(0.001)
         task:cancel()
         saros.pcall(task.await, task)
         print(task:cancelled(), #saros.all_tasks())
         gate:set_result()
         saros.sleep(0)
      ]])
      assert.is_truthy(output:find("true\t2", 1, true), output)
      assert.is_truthy(output:find("not lost", 1, true), output)
   end)
end)
