-- eager_spec.lua: saros.spawn_now, whose first step is taken inside the call; saros.locals, which spawning hands down.

local saros = require "saros"
local kit = require "support.kit"
require("support.leaks")(before_each, after_each)

describe("saros.spawn_now", function()
   it("23: takes the first step inside the call, up to the first wait", function()
      local log = kit.log()
      local task = saros.spawn_now(function(...)
         log("first " .. select("#", ...))
         saros.sleep(0)
         log("second")
         return "end"
      end, 1, nil)
      log("spawned")
      assert.is_false(task:done())
      assert.are.equal("end", task:await())
      assert.are.equal("first 2, spawned, second", table.concat(log, ", "))
   end)

   it("23: makes it the current task meanwhile, and the spawner again afterwards", function()
      local me, seen = saros.current_task(), nil
      local task = saros.spawn_now(function() seen = saros.current_task() end)
      assert.are.equal(task, seen)
      assert.are.equal(me, saros.current_task())
      assert.is_nil((function()
         local inside
         saros.call_soon(function()
            saros.spawn_now(function() end)
            inside = saros.current_task()
         end)
         kit.turns(2)
         return inside
      end)())
   end)

   it("23: never queues a task that ends at once, well or not", function()
      local before, tasks = saros._pending(), #saros.all_tasks()
      local task = saros.spawn_now(function() return 1, nil, 3 end)
      assert.is_true(task:done())
      assert.are.equal(before, (saros._pending()))
      assert.are.equal(tasks, #saros.all_tasks())
      assert.are.same({ n = 3, 1, nil, 3 }, table.pack(task:result()))
      local failed = saros.spawn_now(error, "at once")
      assert.is_true(failed:done())
      assert.are.equal("at once", failed:error())
   end)

   it("23: is bounded in depth: from there on tasks wait for their turn", function()
      local deepest, ended = 0, 0
      local function nest(depth)
         deepest = math.max(deepest, depth)
         if depth < 300 then saros.spawn_now(nest, depth + 1) end
         ended = ended + 1
      end
      saros.spawn_now(nest, 1)
      assert.are.equal(16, deepest)
      kit.wait_until(function() return ended == 300 end)
      assert.are.equal(300, deepest)
   end)

   it("23: may cancel its spawner, and be cancelled by it before its second step", function()
      local log = kit.log()
      local spawner = saros.spawn(function()
         local me = saros.current_task()
         local inner = saros.spawn_now(function()
            me:cancel("from inside")
            saros.sleep(100)
            log("too far")
         end)
         inner:cancel()
         log("still here")
         saros.sleep(0)
         log("too far")
      end)
      saros.pcall(spawner.await, spawner)
      assert.is_true(spawner:cancelled())
      kit.turns(2)
      assert.are.equal("still here", table.concat(log, ", "))
   end)

   it("works in callbacks, finalizers and from inside protected calls, and lets errors pass to nobody", function()
      local ran = 0
      saros.call_soon(function() saros.spawn_now(function() ran = ran + 1 end) end)
      kit.turns(2)
      setmetatable({}, { __gc = function() saros.spawn_now(function() ran = ran + 1 end) end })
      collectgarbage()
      assert.is_true(pcall(pcall, saros.spawn_now, function()
         ran = ran + 1
         saros.sleep(0)
      end))
      kit.turns(2)
      assert.are.equal(3, ran)
      kit.raises("bad argument #1", saros.spawn_now)
      kit.raises("bad argument #1", saros.spawn_now, {})
   end)

   it("keeps what suspends in it alive, and its coroutine clean", function()
      for _ = 1, 200 do
         saros.spawn_now(function()
            saros.sleep(0)
            collectgarbage("step")
            saros.sleep(0)
         end)
      end
      collectgarbage()
      kit.turns(4)
   end)
end)

describe("saros.locals", function()
   it("is the task's own table, the same at every call", function()
      local mine = saros.locals()
      assert.are.equal(mine, saros.locals())
      mine.name = "main"
      local other = saros.spawn(function() return saros.locals() end):await()
      assert.are_not.equal(mine, other)
      mine.name = nil
   end)

   it("reads fall through to the spawner's as it is, writes stay", function()
      saros.spawn(function()
         local mine = saros.locals()
         mine.request, mine.user = 1, "a"
         local gate = saros.future()
         local child = saros.spawn(function()
            local own = saros.locals()
            assert(own.request == 1 and own.user == "a" and own.other == nil)
            own.user = "b"
            gate:await()
            assert(own.request == 2 and own.other == "late")
            return saros.spawn_now(function() return saros.locals().user, saros.locals().request end):await()
         end)
         saros.sleep(0)
         mine.request, mine.other = 2, "late"
         gate:set_result()
         assert.are.same({ "b", 2 }, { child:await() })
         assert.are.equal("a", mine.user)
      end):await()
   end)

   it("falls through tasks that never asked for one, and outlives those in between", function()
      saros.spawn(function()
         saros.locals().trace = "t1"
         local gate, deep = saros.future(), nil
         saros.spawn(function()
            deep = saros.spawn(function()
               gate:await()
               return saros.locals().trace
            end)
         end):await()
         collectgarbage()
         gate:set_result()
         assert.are.equal("t1", deep:await())
      end):await()
   end)

   it("is seen by those that were spawned before it was first asked for", function()
      saros.spawn(function()
         local gate = saros.future()
         local function look()
            local before = saros.locals().late
            gate:await()
            return before, saros.locals().late
         end
         local child = saros.spawn(look)
         local grandchild = saros.spawn(function()
            local inner = saros.spawn(look)
            return inner:await()
         end)
         kit.turns(3)
         saros.locals().late = "here"
         gate:set_result()
         assert.are.same({ n = 2, nil, "here" }, table.pack(child:await()))
         assert.are.same({ n = 2, nil, "here" }, table.pack(grandchild:await()))
      end):await()
   end)

   it("is had by each of a crowd that lives at the same time", function()
      saros.locals().name = "mine"
      local tasks, go = {}, saros.event()
      for i = 1, 5000 do
         tasks[i] = saros.spawn(function()
            local inherited = saros.locals().name
            saros.locals().name = i
            go:wait()
            return inherited == "mine" and saros.locals().name == i
         end)
      end
      saros.sleep(0)
      go:set()
      for _, task in ipairs(tasks) do assert(task:await()) end
      saros.locals().name = nil
   end)

   it("is nobody's business elsewhere: other tasks do not see it, callbacks have none", function()
      saros.spawn(function() saros.locals().secret = 1 end):await()
      assert.is_nil(saros.spawn(function() return saros.locals().secret end):await())
      local text
      saros.call_soon(function() text = kit.text_of(saros.locals) end)
      kit.turns(2)
      assert.is_truthy(text:find("no task is running", 1, true))
   end)

   it("goes with its tasks", function()
      local weak = setmetatable({}, { __mode = "k" })
      saros.spawn(function()
         weak[saros.locals()] = true
         saros.spawn(function() weak[saros.locals()] = true end):await()
      end):await()
      collectgarbage()
      collectgarbage()
      assert.is_nil(next(weak))
   end)
end)
