-- groups_spec.lua: saros.group: tasks that begin and end together: failure, cancellation, places, start, both forms.

local saros = require "saros"
local kit = require "support.kit"
require("support.leaks")(before_each, after_each)

local timed_out = { n = 3, nil, "timed out", "ETIMEDOUT" }

local fails, lingers = kit.fails, kit.lingers

-- Both forms with the same body: fn(group).
local forms = {
   { name = "in function form", run = function(fn) return saros.group(fn) end },
   { name = "in <close> form", run = function(fn)
      local group <close> = saros.group()
      fn(group)
   end },
}

for _, form in ipairs(forms) do
   describe("A group " .. form.name, function()
      it("31: ends when its last child has", function()
         local log = kit.log()
         form.run(function(group)
            group:spawn(function()
               kit.turns(5)
               log("slow")
            end)
            group:spawn(function() log("quick") end)
            log("body")
         end)
         log("after")
         assert.are.equal("body quick slow after", table.concat(log, " "))
      end)

      it("31: takes children that its children add, also after its body has ended", function()
         local log = kit.log()
         form.run(function(group)
            group:spawn(function()
               kit.turns(3)
               group:spawn(function()
                  kit.turns(3)
                  group:spawn(function() log("grandchild") end)
                  log("child")
               end)
            end)
         end)
         assert.are.equal("child grandchild", table.concat(log, " "))
      end)

      it("31, F9: cancels the rest and the body at the first failure, waits for all, raises a group error", function()
         local log = kit.log()
         local err = kit.error_of(form.run, function(group)
            group:spawn(lingers(log, "sibling"))
            group:spawn(fails("boom", 2)):set_name("bad")
            local _ <close> = setmetatable({}, { __close = function() log("body") end })
            saros.sleep(1000)
            log("too far")
         end)
         assert.are.equal("body sibling", table.concat(log, " "))
         assert.are.same({ "boom" }, err.errors)
         assert.are.same({ "bad" }, err.tasks)
         assert.are.equal(1, #err.tracebacks)
      end)

      it("31: collects all errors in the order in which they came, and leaves cancellations out", function()
         local err, text = kit.error_of(form.run, function(group)
            group:spawn(function()
               local _ <close> = setmetatable({}, { __close = function() error({ "second" }) end })
               saros.sleep(1000)
            end):set_name("b")
            group:spawn(saros.sleep, 1000)
            group:spawn(fails("first", 1)):set_name("a")
            local _ <close> = setmetatable({}, {
               __close = function()
                  saros.shield(kit.turns, 3)
                  error("third", 0)
               end,
            })
            saros.sleep(1000)
         end)
         assert.are.same({ "first", { "second" }, "third" }, err.errors)
         assert.are.same({ "a", "b", saros.current_task():name() }, err.tasks)
         assert.is_truthy(err.message:find("3 tasks", 1, true))
         assert.is_truthy(text:find("a: first", 1, true))
         assert.is_truthy(text:find(saros.current_task():name() .. ": third", 1, true))
      end)

      it("31: has each error's traceback in its own", function()
         local function culprit() error("deep") end
         local err, text = kit.error_of(form.run, function(group)
            group:spawn(function()
               culprit()
               return 1
            end)
         end)
         assert.is_truthy(err.tracebacks[1]:find("upvalue 'culprit'", 1, true))
         assert.is_truthy(text:find("    stack traceback:", 1, true))
      end)

      it("31: puts the body's error in a group error too, and cancels the children for it", function()
         local log = kit.log()
         local err = kit.error_of(form.run, function(group)
            group:spawn(lingers(log, "child"))
            kit.turns(1)
            error({ "body" })
         end)
         assert.are.same({ { "body" } }, err.errors)
         assert.are.equal("child", table.concat(log))
      end)

      it("31: passes a cancellation from outside on when its children have ended, though its body had", function()
         local log = kit.log()
         local task = saros.spawn(function()
            local _ <close> = setmetatable({}, { __close = function() log("outer") end })
            form.run(function(group) group:spawn(lingers(log, "child")) end)
            log("too far")
         end)
         kit.turns(3)
         task:cancel("enough")
         saros.pcall(task.await, task)
         assert.is_true(task:cancelled())
         assert.are.equal("child outer", table.concat(log, " "))
      end)

      it("31: raises its errors where a cancellation came too, which the next await then raises", function()
         local caught, late
         local task = saros.spawn(function()
            local ok
            ok, caught = pcall(form.run, function(group)
               group:spawn(function()
                  local _ <close> = setmetatable({}, { __close = function() error("in closing", 0) end })
                  saros.sleep(1000)
               end)
            end)
            assert(not ok)
            saros.sleep(0)
            late = true
         end)
         kit.turns(3)
         task:cancel()
         saros.pcall(task.await, task)
         assert.are.same({ "in closing" }, caught.errors)
         assert.is_true(task:cancelled())
         assert.is_nil(late)
      end)

      it("31: that is entered by a task that is cancelled already does not begin", function()
         local began = false
         local task = saros.spawn(function()
            saros.current_task():cancel()
            form.run(function() began = true end)
         end)
         saros.pcall(task.await, task)
         assert.is_true(task:cancelled())
         assert.is_false(began)
      end)

      it("31, F10: refuses children when it has ended, and while it is being cancelled", function()
         local kept, refused
         form.run(function(group)
            kept = group
            group:spawn(function() kit.turns(1) end)
         end)
         kit.raises("has ended", kept.spawn, kept, print)
         kit.raises("has ended", kept.start, kept, print)
         saros.pcall(form.run, function(group)
            group:cancel()
            refused = kit.text_of(saros.shield, group.spawn, group, print)
            saros.sleep(0)
         end)
         assert.is_truthy(refused:find("being cancelled", 1, true))
      end)

      it("31: tells who is cancelled with it just that, where he would add a child", function()
         local child
         local err = kit.error_of(form.run, function(group)
            group:spawn(fails("only", 1))
            child = group:spawn(function() saros.pcall(saros.sleep, 1000) group:spawn(print) end)
            saros.pcall(saros.sleep, 1000)
            group:spawn(print)
         end)
         assert.are.same({ "only" }, err.errors)
         assert.is_true(child:cancelled())
      end)

      it("47: is cancelled with the scope that it stands in, children and all", function()
         local log = kit.log()
         assert.are.same(timed_out, table.pack(saros.timeout(0.002, form.run, function(group)
            group:spawn(lingers(log, "a"))
            group:spawn(form.run, function(inner) inner:spawn(lingers(log, "b")) end)
            saros.sleep(1000)
         end)))
         table.sort(log)
         assert.are.equal("a b", table.concat(log, " "))
      end)

      it("47: cancels its children again and again, as a scope does", function()
         local raised = 0
         saros.pcall(form.run, function(group)
            local child = group:spawn(function()
               for _ = 1, 3 do
                  if not saros.pcall(saros.sleep, 1000) then raised = raised + 1 end
               end
            end)
            kit.turns(2)
            saros.call_soon(group.cancel, group)
            child:await()
         end)
         assert.are.equal(3, raised)
      end)

      it("47: leaves the cancellation of one child alone", function()
         local done = false
         form.run(function(group)
            local victim = group:spawn(saros.sleep, 1000)
            group:spawn(function()
               kit.turns(4)
               done = true
            end)
            kit.turns(1)
            victim:cancel()
         end)
         assert.is_true(done)
      end)

      it("47: under a shield is not reached by a cancellation from outside", function()
         local finished = false
         local task = saros.spawn(function()
            saros.shield(form.run, function(group)
               group:spawn(function()
                  saros.sleep(0.002)
                  finished = true
               end)
            end)
            saros.sleep(1000)
         end)
         kit.turns(2)
         task:cancel()
         saros.pcall(task.await, task)
         assert.is_true(finished)
         assert.is_true(task:cancelled())
      end)

      it("48: gives its children its own scopes, and not those of the place that spawned them", function()
         local finished = false
         form.run(function(group)
            assert.are.same(timed_out, table.pack(saros.timeout(0.001, function()
               group:spawn(function()
                  saros.sleep(0.003)
                  finished = true
               end)
               saros.sleep(1000)
            end)))
         end)
         assert.is_true(finished)
      end)

      it("48: that is cancelled ends a child that was spawned under another task's shield", function()
         local child
         saros.pcall(form.run, function(group)
            saros.gather(function()
               saros.shield(function() child = group:spawn(saros.sleep, 1000) end)
            end)
            kit.turns(1)
            group:cancel()
            saros.sleep(0)
         end)
         assert.is_true(child:cancelled())
      end)

      it("lets a child shield itself from the group's cancellation", function()
         local finished = false
         saros.pcall(form.run, function(group)
            group:spawn(saros.shield, function()
               saros.sleep(0.002)
               finished = true
            end)
            kit.turns(2)
            group:cancel()
            saros.sleep(0)
         end)
         assert.is_true(finished)
      end)

      it("does not report an error twice that was awaited in it", function()
         local err = kit.error_of(form.run, function(group)
            local bad = group:spawn(fails("bad", 1))
            assert(not saros.pcall(bad.await, bad))
         end)
         assert.are.same({ "bad" }, err.errors)
      end)

      it("nests, and gives the inner group's error to the outer one as one of its own", function()
         local err, text = kit.error_of(form.run, function(outer)
            outer:spawn(form.run, function(inner)
               inner:spawn(fails("one", 1))
               inner:spawn(saros.sleep, 1000)
            end)
            outer:spawn(saros.sleep, 1000)
         end)
         assert.are.equal(1, #err.errors)
         assert.are.same({ "one" }, err.errors[1].errors)
         assert.is_truthy(text:find(": one", 1, true))
      end)

      it("nests a thousand tasks deep and is cancelled in one go", function()
         local depth = 0
         local function nest(n)
            form.run(function(group)
               depth = n
               if n < 1000 then group:spawn(nest, n + 1) end
               saros.sleep(1000)
            end)
         end
         local task = saros.spawn(nest, 1)
         kit.wait_until(function() return depth == 1000 end)
         task:cancel()
         saros.pcall(task.await, task)
         assert.is_true(task:cancelled())
      end)

      it("survives a collection at every turn", function()
         local sum = 0
         form.run(function(group)
            for i = 1, 20 do
               group:spawn(function()
                  kit.turns(i % 5)
                  collectgarbage()
                  sum = sum + i
               end)
            end
            collectgarbage()
         end)
         assert.are.equal(210, sum)
      end)
   end)
end

describe("saros.group", function()
   it("gives its function's results", function()
      assert.are.same({ n = 3, 1, nil, 3 }, table.pack(saros.group(function(_, ...)
         saros.sleep(0)
         return ...
      end, 1, nil, 3)))
      assert.are.same({ n = 0 }, table.pack(saros.group({ name = "empty" }, function() end)))
   end)

   it("31: is left quietly where the group was cancelled, with nil, the reason and ECANCELED", function()
      assert.are.same({ n = 3, nil, "enough", "ECANCELED" }, table.pack(saros.group(function(group)
         group:spawn(saros.sleep, 1000)
         kit.turns(1)
         assert.is_true(group:cancel("enough"))
         saros.sleep(1000)
      end)))
      assert.are.same({ n = 3, nil, "cancelled", "ECANCELED" }, table.pack(saros.group(function(group)
         group:cancel()
         saros.sleep(0)
      end)))
   end)

   it("gives the results of a body that had returned when the group was cancelled", function()
      local child
      assert.are.equal("result", saros.group(function(group)
         child = group:spawn(saros.sleep, 1000)
         saros.call_soon(group.cancel, group)
         return "result"
      end))
      assert.is_true(child:cancelled())
   end)

   it("raises in <close> form that it was cancelled, as an ordinary error", function()
      local ok, err = pcall(function()
         local group <close> = saros.group()
         group:cancel("enough")
         saros.sleep(0)
      end)
      assert.is_false(ok)
      assert.are.equal("ECANCELED", saros.error_code(err))
      assert.is_truthy(tostring(err):find("enough", 1, true))
   end)

   it("without a body ends at the end of its block, whatever leaves it", function()
      local log = kit.log()
      for i = 1, 3 do
         local group <close> = saros.group()
         group:spawn(function()
            kit.turns(i)
            log(i)
         end)
         if i == 2 then break end
      end
      local function returns()
         local group <close> = saros.group()
         group:spawn(function() log(3) end)
         return log("returns")
      end
      returns()
      assert.are.equal("1 2 returns 3", table.concat(log, " "))
   end)

   it("lets results win over a cancellation that comes when nothing was to be waited for", function()
      local result
      local task = saros.spawn(function()
         result = saros.group(function()
            saros.current_task():cancel()
            return "won"
         end)
      end)
      saros.pcall(task.await, task)
      assert.are.equal("won", result)
   end)

   it("names wrong arguments", function()
      kit.raises("bad argument #1", saros.group, 42)
      kit.raises("bad argument #2", saros.group, {}, 42)
      kit.raises("unknown option 'limits'", saros.group, { limits = 1 })
      kit.raises("option 'limit'", saros.group, { limit = 0 })
      kit.raises("option 'limit'", saros.group, { limit = 1.5 })
      kit.raises("option 'name'", saros.group, { name = {} })
      saros.group(function(group)
         kit.raises("bad argument", group.spawn, group, 42)
         kit.raises("bad argument", group.spawn, {}, print)
         kit.raises("bad argument", group.start, group)
      end)
   end)

   it("has its name in its error and as text", function()
      local err, text = kit.error_of(saros.group, { name = "fetch" }, function(group)
         assert.is_truthy(tostring(group):find("saros.group fetch (open, 0 tasks)", 1, true))
         group:spawn(fails("x"))
      end)
      assert.is_truthy(err.message:find("fetch", 1, true))
      assert.is_truthy(text:find("fetch", 1, true))
   end)

   it("cannot be closed by another task than the one that opened it", function()
      local group <close> = saros.group()
      kit.raises("by the task that opened it", saros.gather, function() local _ <close> = group end)
      assert.are.equal(1, group:spawn(function() return 1 end):await())
   end)

   it("cancels the children of a group that was never closed, and says so when its task ends", function()
      local output = kit.script([[
         local function forgets()
            local group = saros.group({name = "forgotten"})
            group:spawn(saros.sleep, 1000)
            saros.sleep(0)
         end
         saros.spawn(forgets):await()
         collectgarbage()
         saros.sleep(0)
         print(#saros.all_tasks())
      ]])
      assert.is_truthy(output:find("group forgotten was not closed", 1, true), output)
      assert.is_truthy(output:find("\n1\n", 1, true) or output:find("^1\n"), output)
   end)

   it("keeps a nil that was raised", function()
      local err = kit.error_of(saros.group, function(group) group:spawn(function() error(nil) end) end)
      assert.are.same({ "nil" }, err.errors)
   end)

   it("takes children from callbacks", function()
      local ran = false
      saros.group(function(group)
         saros.call_soon(function() group:spawn(function() ran = true end) end)
         kit.turns(2)
      end)
      assert.is_true(ran)
   end)
end)
