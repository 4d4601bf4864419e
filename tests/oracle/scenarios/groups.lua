-- groups.lua: scenarios of groups of tasks, which in asyncio are TaskGroup, from Python 3.11 on.
local saros = require "saros"
local oracle = require "oracle.oracle"
local scenario, say, turns, T = oracle.scenario, oracle.say, oracle.turns, oracle.T

local attempt, refused, wrong = oracle.attempt, oracle.refused, oracle.wrong

-- All of them need that Python.
local function grouped(name, python, lua, more)
   local it = more or {}
   it[1], it[2], it[3], it.python = name, python, lua, "3.11"
   scenario(it)
end

grouped("31: a group is left when all its tasks have ended", [[
   async def work(name, ticks):
      await sleep(ticks * T)
      say(name)
   async with TaskGroup() as g:
      g.create_task(work("slow", 3))
      g.create_task(work("quick", 1))
      say("body")
   say("left")
]], function()
   local function work(name, ticks)
      saros.sleep(ticks * T)
      say(name)
   end
   saros.group(function(g)
      g:spawn(work, "slow", 3)
      g:spawn(work, "quick", 1)
      say("body")
   end)
   say("left")
end)

grouped("31: a group of nothing is left at once", [[
   async with TaskGroup():
      say("body")
   say("left")
]], function()
   saros.group(function() say("body") end)
   say("left")
end)

grouped("31: the results of a group's tasks can be had behind it", [[
   async with TaskGroup() as g:
      one = g.create_task(sleep(2 * T, 1))
      two = g.create_task(sleep(T, 2))
   say(one.result(), two.result())
]], function()
   local one, two
   saros.group(function(g)
      one = g:spawn(function()
         saros.sleep(2 * T)
         return 1
      end)
      two = g:spawn(function()
         saros.sleep(T)
         return 2
      end)
   end)
   say(one:result(), two:result())
end)

grouped("31: children are added by children", [[
   async def child(n):
      say("child", n)
      await turns()
      if n < 3:
         g.create_task(child(n + 1))
   async with TaskGroup() as g:
      g.create_task(child(1))
   say("left")
]], function()
   saros.group(function(g)
      local function child(n)
         say("child", n)
         turns()
         if n < 3 then g:spawn(child, n + 1) end
      end
      g:spawn(child, 1)
   end)
   say("left")
end)

grouped("31: the first failure cancels the others, and comes as a group", [[
   async def bad():
      await sleep(T)
      raise Wrong("bad")
   async def other():
      try:
         await sleep(1000)
      except CancelledError:
         say("other cancelled")
         raise
   try:
      async with TaskGroup() as g:
         g.create_task(bad())
         g.create_task(other())
   except Exception as error:
      say(why(error))
]], function()
   say(attempt(saros.group, function(g)
      g:spawn(function()
         saros.sleep(T)
         wrong("bad")
      end)
      g:spawn(function()
         local ok, err = saros.pcall(saros.sleep, 1000)
         if not ok then say("other cancelled") end
         error(err, 0)
      end)
   end))
end)

grouped("31: the first failure cancels the body as well", [[
   async def bad():
      raise Wrong("bad")
   try:
      async with TaskGroup() as g:
         g.create_task(bad())
         try:
            await sleep(1000)
         except CancelledError:
            say("body cancelled")
            raise
   except Exception as error:
      say(why(error))
]], function()
   say(attempt(saros.group, function(g)
      g:spawn(wrong, "bad")
      local ok, err = saros.pcall(saros.sleep, 1000)
      if not ok then say("body cancelled") end
      error(err, 0)
   end))
end)

grouped("31: an error of the body cancels the tasks, and comes in a group", [[
   async def other():
      try:
         await sleep(1000)
      except CancelledError:
         say("other cancelled")
         raise
   try:
      async with TaskGroup() as g:
         g.create_task(other())
         await turns(2)
         raise Wrong("body")
   except Exception as error:
      say(why(error))
]], function()
   say(attempt(saros.group, function(g)
      g:spawn(function()
         local ok, err = saros.pcall(saros.sleep, 1000)
         if not ok then say("other cancelled") end
         error(err, 0)
      end)
      turns(2)
      wrong("body")
   end))
end)

grouped("31: errors while the rest is being cancelled are in the group too", [[
   async def bad(name):
      await turns()
      raise Wrong(name)
   async def stubborn():
      try:
         await sleep(1000)
      finally:
         raise Wrong("while cleaning up")
   try:
      async with TaskGroup() as g:
         g.create_task(stubborn())
         g.create_task(bad("first"))
   except Exception as error:
      say(why(error))
]], function()
   say(attempt(saros.group, function(g)
      g:spawn(function()
         saros.pcall(saros.sleep, 1000)
         wrong("while cleaning up")
      end)
      g:spawn(function()
         turns()
         wrong("first")
      end)
   end))
end)

grouped("31: a group is left only when the cancelled have cleaned up", [[
   async def slow():
      try:
         await sleep(1000)
      finally:
         await sleep(2 * T)
         say("cleaned up")
   async def bad():
      await turns()
      raise Wrong("bad")
   try:
      async with TaskGroup() as g:
         g.create_task(slow())
         g.create_task(bad())
   except Exception as error:
      say(why(error))
]], function()
   say(attempt(saros.group, function(g)
      g:spawn(function()
         local _ <close> = setmetatable({}, { __close = function()
            saros.shield(saros.sleep, 2 * T)
            say("cleaned up")
         end })
         saros.sleep(1000)
      end)
      g:spawn(function()
         turns()
         wrong("bad")
      end)
   end))
end)

grouped("31: a child that is cancelled alone does not fail the group", [[
   async with TaskGroup() as g:
      child = g.create_task(sleep(1000))
      other = g.create_task(sleep(T, "other"))
      await turns()
      child.cancel()
   say(child.cancelled(), other.result())
]], function()
   local child, other
   saros.group(function(g)
      child = g:spawn(saros.sleep, 1000)
      other = g:spawn(function()
         saros.sleep(T)
         return "other"
      end)
      turns()
      child:cancel()
   end)
   say(child:cancelled(), other:result())
end)

grouped("31: a cancellation from outside reaches the tasks, and goes on when they have ended", [[
   async def child():
      try:
         await sleep(1000)
      finally:
         say("child ends")
   async def work():
      try:
         async with TaskGroup() as g:
            g.create_task(child())
      finally:
         say("group left")
   task = create_task(work())
   await turns(3)
   task.cancel()
   say(await attempt(task), task.cancelled())
]], function()
   local function closing(name)
      return setmetatable({}, { __close = function() say(name) end })
   end
   local task = saros.spawn(function()
      local _ <close> = closing("group left")
      saros.group(function(g)
         g:spawn(function()
            local _ <close> = closing("child ends")
            saros.sleep(1000)
         end)
      end)
   end)
   turns(3)
   task:cancel()
   say((attempt(task.await, task)), task:cancelled())
end)

grouped("31: a group that has ended takes no more tasks", [[
   async with TaskGroup() as g:
      pass
   coroutine = sleep(0)
   say(refused(g.create_task, coroutine))
   coroutine.close()
]], function()
   local group
   saros.group(function(g) group = g end)
   say(refused(group.spawn, group, saros.sleep, 0))
end)

grouped("31: groups in groups: the inner one's errors are one error of the outer one", [[
   async def bad(): raise Wrong("bad")
   async def inner():
      async with TaskGroup() as g:
         g.create_task(bad())
   try:
      async with TaskGroup() as g:
         g.create_task(inner())
   except Exception as error:
      say(why(error))
]], function()
   say(attempt(saros.group, function(g)
      g:spawn(saros.group, function(h) h:spawn(wrong, "bad") end)
   end))
end)

grouped("31: a timeout around a group ends its tasks", [[
   async def child():
      try:
         await sleep(1000)
      finally:
         say("a child ends")
   try:
      async with timeout(T):
         async with TaskGroup() as g:
            g.create_task(child())
            g.create_task(child())
   except TimeoutError:
      say("timed out")
]], function()
   say(attempt(saros.timeout, T, saros.group, function(g)
      for _ = 1, 2 do
         g:spawn(function()
            local _ <close> = setmetatable({}, { __close = function() say("a child ends") end })
            saros.sleep(1000)
         end)
      end
   end))
end)
