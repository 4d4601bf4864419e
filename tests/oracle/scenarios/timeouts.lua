-- timeouts.lua: scenarios of timeouts, and of scopes with deadlines.
local saros = require "saros"
local oracle = require "oracle.oracle"
local scenario, say, turns, T = oracle.scenario, oracle.say, oracle.turns, oracle.T
local attempt, wrong = oracle.attempt, oracle.wrong

-- What a timeout made of fn, in both languages' words.
local function within(ticks, fn, ...)
   return attempt(saros.timeout, ticks and ticks * T, fn, ...)
end

local function giving(value, ticks)
   return function()
      saros.sleep(ticks * T)
      return value
   end
end

scenario("27: what is in time gives its result", [[
   say(await wait_for(sleep(T, "result"), 50))
]], function()
   say(within(2500, giving("result", 1)))
end)

scenario("27: what is late is cancelled, and then comes the timeout", [[
   async def slow():
      try:
         await sleep(1000)
      except CancelledError:
         say("asked to end")
         raise
   say(await attempt(wait_for(slow(), T)))
]], function()
   say(within(1, function()
      local ok, err = saros.pcall(saros.sleep, 1000)
      if not ok then say("asked to end") end
      error(err, 0)
   end))
end)

scenario("27: the timeout waits until what it cancelled has cleaned up", [[
   async def slow():
      try:
         await sleep(1000)
      finally:
         await sleep(2 * T)
         say("cleaned up")
   say(await attempt(wait_for(slow(), T)))
]], function()
   say(within(1, function()
      local _ <close> = setmetatable({}, { __close = function()
         saros.shield(saros.sleep, 2 * T)
         say("cleaned up")
      end })
      saros.sleep(1000)
   end))
end)

scenario("27: an error inside goes out as it is", [[
   async def bad():
      await turns()
      raise Wrong("inside")
   say(await attempt(wait_for(bad(), 50)))
]], function()
   say(within(2500, function()
      turns()
      wrong("inside")
   end))
end)

scenario("27: who swallows the timeout's cancellation and returns has not timed out", [[
   async def stubborn():
      try:
         await sleep(1000)
      except CancelledError:
         return "stubborn"
   say(await attempt(wait_for(stubborn(), T)))
]], function()
   say(within(1, function()
      if not saros.pcall(saros.sleep, 1000) then return "stubborn" end
   end))
end)

scenario("27: without a time there is no timeout", [[
   say(await wait_for(sleep(T, "result"), None))
]], function()
   say(within(nil, giving("result", 1)))
end)

scenario("27: a cancellation from outside is no timeout", [[
   async def work():
      await wait_for(sleep(1000), 500)
   task = create_task(work())
   await turns(2)
   task.cancel()
   say(await attempt(task), task.cancelled())
]], function()
   local task = saros.spawn(function() saros.timeout(500, saros.sleep, 1000) end)
   turns(2)
   task:cancel()
   say((attempt(task.await, task)), task:cancelled())
end)

scenario("27: of two timeouts the outer one is not taken for the inner one", [[
   async def inner():
      try:
         await wait_for(sleep(1000), 500)
      except TimeoutError:
         say("never")
      finally:
         say("inner left")
   say(await attempt(wait_for(inner(), T)))
]], function()
   say(within(1, function()
      local _ <close> = setmetatable({}, { __close = function() say("inner left") end })
      if not saros.timeout(500, saros.sleep, 1000) then say("never") end
   end))
end)

scenario("27: of two timeouts the inner one ends the inner part only", [[
   async def outer():
      say(await attempt(wait_for(sleep(1000), T)))
      await sleep(T)
      return "outer goes on"
   say(await attempt(wait_for(outer(), 500)))
]], function()
   say(within(25000, function()
      say(within(1, saros.sleep, 1000))
      saros.sleep(T)
      return "outer goes on"
   end))
end)

scenario("27: a block times out, and the code behind it goes on", [[
   try:
      async with timeout(T):
         await sleep(1000)
         say("never")
   except TimeoutError:
      say("timed out")
   await turns()
   say("goes on")
]], function()
   say(within(1, function()
      saros.sleep(1000)
      say("never")
   end))
   turns()
   say("goes on")
end)
oracle.scenarios[#oracle.scenarios].python = "3.11"

scenario{"27: a block tells whether it has expired", [[
   async with timeout(500) as scope:
      await turns()
   say(scope.expired())
   try:
      async with timeout(T) as scope:
         await sleep(1000)
   except TimeoutError:
      pass
   say(scope.expired())
]], function()
   local scope
   saros.scope({ timeout = 500 }, function(s)
      scope = s
      turns()
   end)
   say(scope:expired())
   saros.scope({ timeout = T }, function(s)
      scope = s
      saros.sleep(1000)
   end)
   say(scope:expired())
end, python = "3.11"}

scenario{"27: a deadline can be moved away, and moved near", [[
   loop = get_running_loop()
   async with timeout(T) as scope:
      scope.reschedule(loop.time() + 500)
      await sleep(3 * T)
      say("moved away")
   async with timeout(T) as scope:
      scope.reschedule(None)
      await sleep(3 * T)
      say("taken away", scope.when())
   try:
      async with timeout(500) as scope:
         scope.reschedule(loop.time() + T)
         await sleep(1000)
   except TimeoutError:
      say("moved near")
]], function()
   saros.scope({ timeout = T }, function(scope)
      scope:deadline(saros.now() + 500)
      saros.sleep(3 * T)
      say("moved away")
   end)
   saros.scope({ timeout = T }, function(scope)
      scope:deadline(false)
      saros.sleep(3 * T)
      say("taken away", scope:deadline())
   end)
   local _, _, code = saros.scope({ timeout = 500 }, function(scope)
      scope:deadline(saros.now() + T)
      saros.sleep(1000)
   end)
   if code == "ETIMEDOUT" then say("moved near") end
end, python = "3.11"}

scenario{"27: a timeout of nothing cancels at the first suspension", [[
   try:
      async with timeout(0):
         say("entered")
         await sleep(1000)
         say("never")
   except TimeoutError:
      say("timed out")
]], function()
   say(within(0, function()
      say("entered")
      saros.sleep(1000)
      say("never")
   end))
end, python = "3.11"}

scenario{"27: what never waits is not timed out", [[
   async with timeout(-1):
      say("entered")
   say("left")
]], function()
   saros.timeout(-1, function() say("entered") end)
   say("left")
end, python = "3.11"}

scenario{"27: a timeout around a gather cancels what the gather started", [[
   async def child(n):
      try:
         await sleep(1000)
      finally:
         say("child", n)
   try:
      async with timeout(T):
         await gather(child(1), child(2))
   except TimeoutError:
      say("timed out")
]], function()
   local function child(n)
      return function()
         local _ <close> = setmetatable({}, { __close = function() say("child", n) end })
         saros.sleep(1000)
      end
   end
   say(within(1, saros.gather, child(1), child(2)))
end, python = "3.11"}

scenario{"27: a timeout around the await of somebody else's task", [[
   task = create_task(sleep(3 * T, "result"))
   say(await attempt(wait_for(task, T)))
   say(await attempt(task))
]], function()
   local task = saros.spawn(giving("result", 3))
   say(within(1, task.await, task))
   say(attempt(task.await, task))
end, differs = "cancelling an awaiter never cancels the awaited task", ours = { "timed out", "result" }}

scenario{"27: a cancellation that meets the end of what was waited for does not vanish", [[
   future = Future()
   async def work():
      await wait_for(future, 50)
      await turns()
      say("never")
   task = create_task(work())
   await turns(2)
   future.set_result(None)
   task.cancel()
   say(await attempt(task), task.cancelled())
]], function()
   local future = saros.future()
   local task = saros.spawn(function()
      saros.timeout(2500 * T, future.await, future)
      turns()
      say("never")
   end)
   turns(2)
   future:set_result(nil)
   task:cancel()
   say((attempt(task.await, task)), task:cancelled())
end, python = "3.12"}

scenario{"27: of two blocks with deadlines the one whose time has come times out", [[
   when = get_running_loop().time() + T
   try:
      async with timeout_at(when):
         try:
            async with timeout_at(when + 50):
               await sleep(1000)
         finally:
            say("inner left")
   except TimeoutError:
      say("outer timed out")
]], function()
   local when = saros.now() + T
   local _, _, code = saros.scope(function(outer)
      outer:deadline(when)
      saros.scope(function(inner)
         local _ <close> = setmetatable({}, { __close = function() say("inner left") end })
         inner:deadline(when + 50)
         saros.sleep(1000)
      end)
      say("never")
   end)
   if code == "ETIMEDOUT" then say("outer timed out") end
end, python = "3.11"}
