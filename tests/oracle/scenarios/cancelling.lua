-- cancelling.lua: scenarios of cancellation, and of shields.
local saros = require "saros"
local oracle = require "oracle.oracle"
local scenario, say, turns, T = oracle.scenario, oracle.say, oracle.turns, oracle.T
local attempt, wrong, why = oracle.attempt, oracle.wrong, oracle.why

scenario("18: cancel asks, and the awaits of the task raise", [[
   async def work():
      try:
         await sleep(1000)
      except CancelledError:
         say("asked to end")
         raise
   task = create_task(work())
   await turns()
   say(task.cancel(), task.done())
   say(await attempt(task), task.cancelled(), task.done())
]], function()
   local task = saros.spawn(function()
      local ok, err = saros.pcall(saros.sleep, 1000)
      if not ok then say("asked to end") end
      error(err, 0)
   end)
   turns()
   say(task:cancel(), task:done())
   say(attempt(task.await, task), task:cancelled(), task:done())
end)

scenario("18: cancelling a task that has ended is false", [[
   task = create_task(sleep(0, "result"))
   await task
   say(task.cancel(), task.cancelled(), task.result())
]], function()
   local task = saros.spawn(function()
      turns()
      return "result"
   end)
   task:await()
   say(task:cancel(), task:cancelled(), task:result())
end)

scenario("18: a task that cancels itself is told at its next await", [[
   async def work():
      say(current_task().cancel())
      say("still here")
      await turns()
      say("never")
   task = create_task(work())
   say(await attempt(task), task.cancelled())
]], function()
   local task = saros.spawn(function()
      say(saros.current_task():cancel())
      say("still here")
      turns()
      say("never")
   end)
   say(attempt(task.await, task), task:cancelled())
end)

scenario("18: cancelling the awaiter of a future wakes it, and takes it off the future", [[
   future = Future()
   async def work():
      await future
   task = create_task(work())
   await turns()
   task.cancel()
   say(await attempt(task))
]], function()
   local future = saros.future()
   local task = saros.spawn(future.await, future)
   turns()
   task:cancel()
   say(attempt(task.await, task))
end)

scenario("19: a task that swallows its cancellation and returns has not been cancelled", [[
   async def work():
      try:
         await sleep(1000)
      except CancelledError:
         return "swallowed"
   task = create_task(work())
   await turns()
   task.cancel()
   say(await task, task.cancelled())
]], function()
   local task = saros.spawn(function()
      if not saros.pcall(saros.sleep, 1000) then return "swallowed" end
   end)
   turns()
   task:cancel()
   say(task:await(), task:cancelled())
end)

scenario("19: a task that turns its cancellation into an error has failed", [[
   async def work():
      try:
         await sleep(1000)
      except CancelledError:
         raise Wrong("instead")
   task = create_task(work())
   await turns()
   task.cancel()
   say(await attempt(task), task.cancelled())
]], function()
   local task = saros.spawn(function()
      if not saros.pcall(saros.sleep, 1000) then wrong("instead") end
   end)
   turns()
   task:cancel()
   say(attempt(task.await, task), task:cancelled())
end)

scenario{"19: who swallows a cancellation and awaits again", [[
   async def work():
      try:
         await sleep(1000)
      except CancelledError:
         say("first")
      say(await attempt(sleep(T, "second")))
   task = create_task(work())
   await turns()
   task.cancel()
   say(await attempt(task))
]], function()
   local task = saros.spawn(function()
      if not saros.pcall(saros.sleep, 1000) then say("first") end
      say(attempt(saros.sleep, T))
   end)
   turns()
   task:cancel()
   say((attempt(task.await, task)))
end, differs = "cancellation is level-triggered: each further await raises until the scope is left",
   ours = { "first", "cancelled", "nil" }}

scenario{"21: a task that returns while a cancel is pending", [[
   async def work():
      current_task().cancel()
      return "result"
   task = create_task(work())
   say(await attempt(task), task.cancelled())
]], function()
   local task = saros.spawn(function()
      saros.current_task():cancel()
      return "result"
   end)
   say(attempt(task.await, task), task:cancelled())
end, differs = "a task ends cancelled if and only if the cancellation leaves its function", ours = { "result false" }}

scenario{"18: cancelling a task that awaits another task", [[
   inner = create_task(sleep(T, "inner"))
   async def work():
      await inner
   outer = create_task(work())
   await turns()
   outer.cancel()
   say(await attempt(outer), await attempt(inner))
]], function()
   local inner = saros.spawn(function()
      saros.sleep(T)
      return "inner"
   end)
   local outer = saros.spawn(inner.await, inner)
   turns()
   outer:cancel()
   say((attempt(outer.await, outer)), (attempt(inner.await, inner)))
end, differs = "cancelling an awaiter never cancels the awaited task", ours = { "cancelled inner" }}

scenario("18: who awaits a cancelled task is not cancelled itself", [[
   inner = create_task(sleep(1000))
   async def work():
      say(await attempt(inner))
      await turns()
      return "goes on"
   outer = create_task(work())
   await turns()
   inner.cancel()
   say(await outer, outer.cancelled())
]], function()
   local inner = saros.spawn(saros.sleep, 1000)
   local outer = saros.spawn(function()
      say(attempt(inner.await, inner))
      turns()
      return "goes on"
   end)
   turns()
   inner:cancel()
   say(outer:await(), outer:cancelled())
end)

scenario("18: finally runs from the inside to the outside", [[
   async def work():
      try:
         try:
            await sleep(1000)
         finally:
            say("inner")
      finally:
         say("outer")
   task = create_task(work())
   await turns()
   task.cancel()
   await attempt(task)
   say("done")
]], function()
   local function finally(name)
      return setmetatable({}, { __close = function() say(name) end })
   end
   local task = saros.spawn(function()
      local _ <close> = finally("outer")
      local _ <close> = finally("inner")
      saros.sleep(1000)
   end)
   turns()
   task:cancel()
   attempt(task.await, task)
   say("done")
end)

scenario("18: two cancels are one cancellation", [[
   async def work():
      try:
         await sleep(1000)
      except CancelledError:
         say("once")
         raise
   task = create_task(work())
   await turns()
   say(task.cancel(), task.cancel())
   say(await attempt(task), task.cancel())
]], function()
   local task = saros.spawn(function()
      local ok, err = saros.pcall(saros.sleep, 1000)
      if not ok then say("once") end
      error(err, 0)
   end)
   turns()
   say(task:cancel(), task:cancel())
   say(attempt(task.await, task), task:cancel())
end)

scenario{"53: a cancel that comes with the result of a future", [[
   future = Future()
   async def work():
      say(await attempt(future))
      await turns()
   task = create_task(work())
   await turns()
   future.set_result("result")
   task.cancel()
   say(await attempt(task))
]], function()
   local future = saros.future()
   local task = saros.spawn(function()
      say(attempt(future.await, future))
      turns()
   end)
   turns()
   future:set_result("result")
   task:cancel()
   say(attempt(task.await, task))
end, differs = "a won result is always delivered, and the cancel raises at the next await", ours = { "result", "cancelled" }}

scenario("28: what is shielded goes on when its awaiter is cancelled", [[
   async def inner():
      await sleep(T)
      say("inner done")
      return "inner"
   async def work():
      await shield(task)
   task = create_task(inner())
   outer = create_task(work())
   await turns()
   outer.cancel()
   say(await attempt(outer), await task)
]], function()
   local inner = saros.spawn(function()
      saros.sleep(T)
      say("inner done")
      return "inner"
   end)
   local outer = saros.spawn(inner.await, inner)
   turns()
   outer:cancel()
   say((attempt(outer.await, outer)), (inner:await()))
end)

scenario("28: an inner cancellation passes out of a shield", [[
   inner = create_task(sleep(1000))
   async def work():
      await shield(inner)
   outer = create_task(work())
   await turns()
   inner.cancel()
   say(await attempt(outer), inner.cancelled())
]], function()
   local inner = saros.spawn(saros.sleep, 1000)
   local outer = saros.spawn(function() saros.shield(inner.await, inner) end)
   turns()
   inner:cancel()
   say((attempt(outer.await, outer)), inner:cancelled())
end)

scenario("28: a shield gives the result, and raises the error, of what is in it", [[
   async def bad():
      await turns()
      raise Wrong("inner")
   say(await shield(sleep(T, "fine")))
   say(await attempt(shield(bad())))
]], function()
   say(saros.shield(function()
      saros.sleep(T)
      return "fine"
   end))
   say(attempt(saros.shield, function()
      turns()
      wrong("inner")
   end))
end)

scenario{"28: when the cancelled caller of a shield goes on", [[
   async def slow():
      await sleep(2 * T)
      say("inner done")
   async def work():
      try:
         await shield(slow())
      except CancelledError:
         say("outer cancelled")
         raise
   outer = create_task(work())
   await turns(2)
   outer.cancel()
   await attempt(outer)
   await sleep(4 * T)
]], function()
   local outer = saros.spawn(function()
      saros.shield(function()
         saros.sleep(2 * T)
         say("inner done")
      end)
      local ok, err = saros.pcall(turns)
      if not ok then say("outer " .. why(err)) end
      error(err, 0)
   end)
   turns(2)
   outer:cancel()
   attempt(outer.await, outer)
   saros.sleep(4 * T)
end, differs = "shield(fn) runs fn in this task: the cancellation waits until fn has returned",
   ours = { "inner done", "outer cancelled" }}
