-- gathering.lua: scenarios of gather.
local saros = require "saros"
local oracle = require "oracle.oracle"
local scenario, say, turns, T = oracle.scenario, oracle.say, oracle.turns, oracle.T
local attempt, wrong, why = oracle.attempt, oracle.wrong, oracle.why

local function sleeper(name, ticks)
   return saros.spawn(function()
      saros.sleep(ticks * T)
      say(name)
      return name
   end)
end

scenario("25: gather's results stand in the order of its arguments", [[
   async def sleeper(name, ticks):
      await sleep(ticks * T)
      say(name)
      return name
   say(await gather(sleeper("a", 3), sleeper("b", 1), sleeper("c", 2)))
]], function()
   say(table.pack(saros.gather(sleeper("a", 3), sleeper("b", 1), sleeper("c", 2))))
end)

scenario("25: gather of nothing is an empty result", [[
   say(await gather())
]], function()
   say(saros.gather({}))
end)

scenario("25: the same awaitable twice is awaited once, and stands twice in the result", [[
   async def work():
      say("work")
      return 1
   task = create_task(work())
   say(await gather(task, task))
]], function()
   local task = saros.spawn(function()
      say("work")
      return 1
   end)
   say(table.pack(saros.gather(task, task)))
end)

scenario("25: gather's first error is raised at once, and the others go on", [[
   async def bad():
      await sleep(T)
      raise Wrong("bad")
   async def fine():
      await sleep(3 * T)
      say("fine")
   task = create_task(fine())
   say(await attempt(gather(bad(), task)))
   say(task.done())
   await task
]], function()
   local fine = sleeper("fine", 3)
   say(attempt(saros.gather, function()
      saros.sleep(T)
      wrong("bad")
   end, fine))
   say(fine:done())
   fine:await()
end)

scenario("25: of two errors gather raises the one that came first", [[
   async def bad(name, ticks):
      await sleep(ticks * T)
      raise Wrong(name)
   say(await attempt(gather(bad("late", 3), bad("early", 1))))
   await sleep(4 * T)
]], function()
   local function bad(name, ticks)
      return saros.spawn(function()
         saros.sleep(ticks * T)
         wrong(name)
      end)
   end
   say(attempt(saros.gather, bad("late", 3), bad("early", 1)))
   saros.sleep(4 * T)
end)

scenario("25: with return_exceptions errors are values", [[
   async def bad():
      raise Wrong("bad")
   say(await gather(sleep(T, "fine"), bad(), return_exceptions=True))
]], function()
   say(saros.gather({ function()
      saros.sleep(T)
      return "fine"
   end, function() wrong("bad") end }, { return_errors = true }))
end)

scenario("25: with return_exceptions a child's cancellation is a value as well", [[
   child = create_task(sleep(1000))
   get_running_loop().call_later(T, child.cancel)
   say(await gather(child, sleep(2 * T, "fine"), return_exceptions=True))
]], function()
   local child = saros.spawn(saros.sleep, 1000)
   saros.call_later(T, child.cancel, child)
   local results = saros.gather({ child, function()
      saros.sleep(2 * T)
      return "fine"
   end }, { return_errors = true })
   say({ why(results[1]), results[2] })
end)

scenario("25: without it a cancelled child is a cancellation for who gathers, and the others go on", [[
   child = create_task(sleep(1000))
   other = create_task(sleep(3 * T, "other"))
   get_running_loop().call_later(T, child.cancel)
   say(await attempt(gather(child, other)), other.done())
   say(await other)
]], function()
   local child = saros.spawn(saros.sleep, 1000)
   local other = saros.spawn(function()
      saros.sleep(3 * T)
      return "other"
   end)
   saros.call_later(T, child.cancel, child)
   say((attempt(saros.gather, child, other)), other:done())
   say(other:await())
end)

scenario("25: cancelling the gather cancels what it started", [[
   async def child(n):
      try:
         await sleep(1000)
      except CancelledError:
         say("child", n)
         raise
   async def work():
      await gather(child(1), child(2))
   task = create_task(work())
   await turns(3)
   task.cancel()
   say(await attempt(task))
]], function()
   local function child(n)
      return function()
         local ok, err = saros.pcall(saros.sleep, 1000)
         if not ok then say("child", n) end
         error(err, 0)
      end
   end
   local task = saros.spawn(saros.gather, child(1), child(2))
   turns(3)
   task:cancel()
   say(attempt(task.await, task))
end)

scenario("25: a cancelled gather raises, return_exceptions or not", [[
   async def work():
      return await gather(sleep(1000), return_exceptions=True)
   task = create_task(work())
   await turns(3)
   task.cancel()
   say(await attempt(task), task.cancelled())
]], function()
   local task = saros.spawn(saros.gather, { function() saros.sleep(1000) end }, { return_errors = true })
   turns(3)
   task:cancel()
   say((attempt(task.await, task)), task:cancelled())
end)

scenario{"25: cancelling a gather of tasks that somebody else has started", [[
   child = create_task(sleep(2 * T, "child"))
   async def work():
      await gather(child)
   task = create_task(work())
   await turns(2)
   task.cancel()
   say(await attempt(task), await attempt(child))
]], function()
   local child = saros.spawn(function()
      saros.sleep(2 * T)
      return "child"
   end)
   local task = saros.spawn(saros.gather, child)
   turns(2)
   task:cancel()
   say((attempt(task.await, task)), (attempt(child.await, child)))
end, differs = "cancelling an awaiter never cancels the awaited: gather cancels what it started itself",
   ours = { "cancelled child" }}

scenario("25: gather of tasks that have ended", [[
   one, two = create_task(sleep(0, 1)), create_task(sleep(0, 2))
   await wait([one, two])
   say(await gather(two, one))
]], function()
   local function giving(n) return saros.spawn(function() return n end) end
   local one, two = giving(1), giving(2)
   one:await()
   two:await()
   say(table.pack(saros.gather(two, one)))
end)

scenario("25: gather takes futures and tasks alike", [[
   future = Future()
   get_running_loop().call_later(T, future.set_result, "future")
   say(await gather(create_task(sleep(0, "task")), future))
]], function()
   local future = saros.future()
   saros.call_later(T, future.set_result, future, "future")
   say(table.pack(saros.gather(saros.spawn(function() return "task" end), future)))
end)

scenario("25: gathers stand in gathers", [[
   say(await gather(gather(sleep(2 * T, 1), sleep(T, 2)), sleep(0, 3)))
]], function()
   local function giving(n, ticks)
      return function()
         saros.sleep(ticks * T)
         return n
      end
   end
   say(saros.gather({ function() return saros.gather({ giving(1, 2), giving(2, 1) }) end, giving(3, 0) }))
end)
