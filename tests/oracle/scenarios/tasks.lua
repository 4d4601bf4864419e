-- tasks.lua: scenarios of tasks: their start, their end, sleep.
local saros = require "saros"
local oracle = require "oracle.oracle"
local scenario, say, turns, T = oracle.scenario, oracle.say, oracle.turns, oracle.T
local attempt, refused, wrong = oracle.attempt, oracle.refused, oracle.wrong

scenario("17: a new task does not run at once", [[
   async def work(): say("work")
   task = create_task(work())
   say("created", task.done())
   await turns()
   say("main", task.done())
]], function()
   local task = saros.spawn(function() say("work") end)
   say("created", task:done())
   turns()
   say("main", task:done())
end)

scenario("17: tasks take their first steps in the order in which they were made", [[
   async def work(n):
      for step in range(2):
         say(n, step)
         await turns()
   await gather(*[create_task(work(n)) for n in range(3)])
]], function()
   local tasks = {}
   for n = 0, 2 do
      tasks[n + 1] = saros.spawn(function()
         for step = 0, 1 do
            say(n, step)
            turns()
         end
      end)
   end
   saros.gather(tasks)
end)

scenario("17: a task's first step and a callback are of one queue", [[
   async def work(): say("task")
   get_running_loop().call_soon(say, "before")
   task = create_task(work())
   get_running_loop().call_soon(say, "behind")
   await task
   await turns()
]], function()
   saros.call_soon(say, "before")
   local task = saros.spawn(function() say("task") end)
   saros.call_soon(say, "behind")
   task:await()
   turns()
end)

scenario("17: a task that is cancelled before its first step never begins", [[
   async def never(): say("never")
   task = create_task(never())
   say(task.cancel())
   say(await attempt(task), task.cancelled())
]], function()
   local task = saros.spawn(function() say("never") end)
   say(task:cancel())
   say(attempt(task.await, task), task:cancelled())
end)

scenario("14: a task's error is raised where it is awaited", [[
   async def bad(): raise Wrong("no luck")
   task = create_task(bad())
   try:
      await task
   except Wrong as error:
      say("caught", error)
   say(task.done(), task.cancelled(), why(task.exception()))
]], function()
   local task = saros.spawn(function() wrong("no luck") end)
   local _, err = saros.pcall(task.await, task)
   say("caught", err)
   say(task:done(), task:cancelled(), task:error())
end)

scenario("16: an error goes up through the tasks that await each other", [[
   async def bottom():
      await turns()
      raise Wrong("from below")
   async def middle():
      try:
         await create_task(bottom())
      finally:
         say("middle")
   async def top():
      try:
         await create_task(middle())
      finally:
         say("top")
   say(await attempt(create_task(top())))
]], function()
   local function through(name, fn)
      local task = saros.spawn(fn)
      local ok, err = saros.pcall(task.await, task)
      say(name)
      if not ok then error(err, 0) end
   end
   local function bottom()
      turns()
      wrong("from below")
   end
   local function middle() through("middle", bottom) end
   local task = saros.spawn(function() through("top", middle) end)
   say(attempt(task.await, task))
end)

scenario("17: the result of a task can be had again, by several", [[
   async def work():
      await sleep(T)
      return "result"
   task = create_task(work())
   async def reader(n): say(n, await task)
   await gather(reader(1), reader(2))
   say(task.result(), await task)
]], function()
   local task = saros.spawn(function()
      saros.sleep(T)
      return "result"
   end)
   local function reader(n) say(n, task:await()) end
   saros.gather(saros.spawn(reader, 1), saros.spawn(reader, 2))
   say(task:result(), task:await())
end)

scenario("17: a task can be asked only when it has ended", [[
   task = create_task(sleep(T, "rested"))
   say(refused(task.result), refused(task.exception))
   await task
   say(task.result(), task.exception())
]], function()
   local task = saros.spawn(function()
      saros.sleep(T)
      return "rested"
   end)
   say(refused(task.result, task), refused(task.error, task))
   task:await()
   say(task:result(), (task:error()))
end)

scenario("17: current_task is the one that runs, all_tasks those that have not ended", [[
   async def work():
      say(current_task() is task, len(all_tasks()))
      await turns()
      say(current_task() is task)
   task = create_task(work())
   say(current_task() is task, len(all_tasks()))
   await task
   say(len(all_tasks()))
]], function()
   local task
   task = saros.spawn(function()
      say(saros.current_task() == task, #saros.all_tasks())
      turns()
      say(saros.current_task() == task)
   end)
   say(saros.current_task() == task, #saros.all_tasks())
   task:await()
   say(#saros.all_tasks())
end)

scenario("17: in a callback no task is the current one", [[
   get_running_loop().call_soon(lambda: say(current_task()))
   await turns()
]], function()
   saros.call_soon(function() say((saros.current_task())) end)
   turns()
end)

scenario("17: a task has the name that it is given", [[
   task = create_task(sleep(0))
   task.set_name("moon")
   say(task.get_name())
   await task
   say(task.get_name())
]], function()
   local task = saros.spawn(saros.sleep, 0)
   task:set_name("moon")
   say(task:name())
   task:await()
   say(task:name())
end)

scenario("12: a task's done callbacks come after its end, before those who are told later", [[
   async def work():
      say("work")
      return 5
   task = create_task(work())
   task.add_done_callback(lambda t: say("callback", t.result()))
   say(await task)
]], function()
   local task = saros.spawn(function()
      say("work")
      return 5
   end)
   task:add_done_callback(function(t) say("callback", t:result()) end)
   say(task:await())
end)

scenario("30: sleep(0) gives way exactly once", [[
   async def other():
      for i in range(3):
         say("other", i)
         await sleep(0)
   task = create_task(other())
   for i in range(3):
      say("main", i)
      await sleep(0)
   await task
]], function()
   local task = saros.spawn(function()
      for i = 0, 2 do
         say("other", i)
         saros.sleep(0)
      end
   end)
   for i = 0, 2 do
      say("main", i)
      saros.sleep(0)
   end
   task:await()
end)

scenario("30: a sleep of less than nothing is a sleep of nothing", [[
   async def other(): say("other")
   task = create_task(other())
   await sleep(-5)
   say("main")
   await task
]], function()
   local task = saros.spawn(function() say("other") end)
   saros.sleep(-5)
   say("main")
   task:await()
end)

scenario("30: a sleep that is cancelled ends at once", [[
   task = create_task(sleep(1000))
   await turns()
   before = get_running_loop().time()
   task.cancel()
   say(await attempt(task))
   say(get_running_loop().time() - before < 10)
]], function()
   local task = saros.spawn(saros.sleep, 1000)
   turns()
   local before = saros.now()
   task:cancel()
   say(attempt(task.await, task))
   say(saros.now() - before < 10)
end)

scenario{"30: a sleep that is not a number is refused", [[
   say(await attempt(sleep(float("nan"))))
]], function()
   say(attempt(saros.sleep, 0 / 0))
end, python = "3.13"}

scenario("17: a task made in a task lives on when that one has ended", [[
   async def child():
      await sleep(2 * T)
      say("child")
   async def parent():
      children.append(create_task(child()))
      say("parent ends")
   children = []
   await create_task(parent())
   await children[0]
]], function()
   local child
   local parent = saros.spawn(function()
      child = saros.spawn(function()
         saros.sleep(2 * T)
         say("child")
      end)
      say("parent ends")
   end)
   parent:await()
   child:await()
end)

scenario("24: a task that nobody holds goes on to its end", [[
   import gc
   async def work():
      await sleep(T)
      say("work")
   create_task(work())
   gc.collect()
   await sleep(2 * T)
]], function()
   saros.spawn(function()
      saros.sleep(T)
      say("work")
   end)
   collectgarbage()
   saros.sleep(2 * T)
end)

scenario{"23: an eager task takes its first steps inside the call", [[
   loop = get_running_loop()
   async def work():
      say("first part", current_task() is not main_task)
      await turns()
      say("second part")
      return "result"
   main_task = current_task()
   task = Task(work(), loop=loop, eager_start=True)
   say("created", current_task() is main_task, task.done())
   say(await task)
]], function()
   local main = saros.current_task()
   local task = saros.spawn_now(function()
      say("first part", saros.current_task() ~= main)
      turns()
      say("second part")
      return "result"
   end)
   say("created", saros.current_task() == main, task:done())
   say(task:await())
end, python = "3.12"}

scenario{"23: an eager task that never waits has ended when the call returns", [[
   async def work():
      return "at once"
   task = Task(work(), loop=get_running_loop(), eager_start=True)
   say(task.done(), task.result())
   get_running_loop().call_soon(say, "later")
   say(await task)
   await turns()
]], function()
   local task = saros.spawn_now(function() return "at once" end)
   say(task:done(), task:result())
   saros.call_soon(say, "later")
   say(task:await())
   turns()
end, python = "3.12"}

scenario{"23: an eager task that fails raises where it is awaited", [[
   async def bad():
      raise Wrong("bad")
   task = Task(bad(), loop=get_running_loop(), eager_start=True)
   say(task.done())
   say(await attempt(task))
]], function()
   local task = saros.spawn_now(wrong, "bad")
   say(task:done())
   say(attempt(task.await, task))
end, python = "3.12"}

scenario{"23: eager tasks start each other, the inner one first", [[
   def eager(coroutine):
      return Task(coroutine, loop=get_running_loop(), eager_start=True)
   async def work(n):
      say("in", n)
      if n < 3:
         await eager(work(n + 1))
      await turns()
      say("out", n)
   await eager(work(1))
]], function()
   local function work(n)
      say("in", n)
      if n < 3 then saros.spawn_now(work, n + 1):await() end
      turns()
      say("out", n)
   end
   saros.spawn_now(work, 1):await()
end, python = "3.12"}
