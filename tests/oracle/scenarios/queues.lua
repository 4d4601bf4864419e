-- queues.lua: scenarios of queues.
local saros = require "saros"
local oracle = require "oracle.oracle"
local scenario, say, turns, T = oracle.scenario, oracle.say, oracle.turns, oracle.T
local attempt, refused = oracle.attempt, oracle.refused

scenario("32: items come out in the order in which they went in", [[
   q = Queue()
   for i in range(3):
      await q.put(i)
   say(q.qsize(), q.empty(), q.full())
   for i in range(3):
      say(await q.get())
   say(q.qsize(), q.empty())
]], function()
   local q = saros.queue()
   for i = 0, 2 do q:put(i) end
   say(q:size(), q:empty(), q:full())
   for _ = 0, 2 do say(q:get()) end
   say(q:size(), q:empty())
end)

scenario("32: a put waits while the queue is full", [[
   q = Queue(1)
   async def producer():
      for i in range(3):
         await q.put(i)
         say("put", i)
   task = create_task(producer())
   await turns(3)
   say(q.full())
   for i in range(3):
      say("got", await q.get())
      await turns(3)
   await task
]], function()
   local q = saros.queue(1)
   local task = saros.spawn(function()
      for i = 0, 2 do
         q:put(i)
         say("put", i)
      end
   end)
   turns(3)
   say(q:full())
   for _ = 0, 2 do
      say("got", q:get())
      turns(3)
   end
   task:await()
end)

scenario("32: those who wait for an item are served in the order in which they came", [[
   q = Queue()
   async def consumer(n):
      say(n, await q.get())
   tasks = [create_task(consumer(n)) for n in range(3)]
   await turns(2)
   for item in "abc":
      q.put_nowait(item)
   await gather(*tasks)
]], function()
   local q, tasks = saros.queue(), {}
   for n = 0, 2 do tasks[n + 1] = saros.spawn(function() say(n, q:get()) end) end
   turns(2)
   for item in ("abc"):gmatch(".") do q:try_put(item) end
   saros.gather(tasks)
end)

scenario("32: those who wait for a place are served in the order in which they came", [[
   q = Queue(1)
   await q.put("first")
   async def producer(n):
      await q.put(n)
      say("put", n)
   tasks = [create_task(producer(n)) for n in range(3)]
   await turns(2)
   for i in range(4):
      say("got", await q.get())
      await turns(3)
   await gather(*tasks)
]], function()
   local q, tasks = saros.queue(1), {}
   q:put("first")
   for n = 0, 2 do
      tasks[n + 1] = saros.spawn(function()
         q:put(n)
         say("put", n)
      end)
   end
   turns(2)
   for _ = 0, 3 do
      say("got", q:get())
      turns(3)
   end
   saros.gather(tasks)
end)

scenario("37: without waiting, a full queue takes nothing and an empty one gives nothing", [[
   q = Queue(1)
   say(refused(q.get_nowait))
   q.put_nowait("item")
   say(refused(q.put_nowait, "another"))
   say(q.get_nowait(), q.qsize())
]], function()
   local q = saros.queue(1)
   say(q:try_get() == nil)
   q:try_put("item")
   say(q:try_put("another") == nil)
   say(q:try_get(), q:size())
end)

scenario("37: a cancelled get takes nothing", [[
   q = Queue()
   first = create_task(q.get())
   await turns()
   first.cancel()
   say(await attempt(first))
   q.put_nowait("item")
   say(await q.get(), q.qsize())
]], function()
   local q = saros.queue()
   local first = saros.spawn(q.get, q)
   turns()
   first:cancel()
   say(attempt(first.await, first))
   q:try_put("item")
   say(q:get(), q:size())
end)

scenario("37: a cancelled put puts nothing", [[
   q = Queue(1)
   await q.put("first")
   second = create_task(q.put("second"))
   await turns()
   second.cancel()
   say(await attempt(second))
   say(await q.get(), q.qsize())
]], function()
   local q = saros.queue(1)
   q:put("first")
   local second = saros.spawn(q.put, q, "second")
   turns()
   second:cancel()
   say(attempt(second.await, second))
   say(q:get(), q:size())
end)

scenario("37: an item is not lost where its waiter was cancelled after it was chosen", [[
   q = Queue()
   async def consumer(n):
      say(n, await q.get())
   one, two = create_task(consumer(1)), create_task(consumer(2))
   await turns(2)
   q.put_nowait("item")
   one.cancel()
   say(await attempt(one))
   await two
]], function()
   local q = saros.queue()
   local function consumer(n) say(n, q:get()) end
   local one, two = saros.spawn(consumer, 1), saros.spawn(consumer, 2)
   turns(2)
   q:try_put("item")
   one:cancel()
   say(attempt(one.await, one))
   two:await()
end)

scenario("37: join waits until each item is done with", [[
   q = Queue()
   for i in range(3):
      await q.put(i)
   async def consumer():
      for i in range(3):
         item = await q.get()
         await sleep(T)
         say("done", item)
         q.task_done()
   task = create_task(consumer())
   await q.join()
   say("joined")
   await task
]], function()
   local q = saros.queue()
   for i = 0, 2 do q:put(i) end
   local task = saros.spawn(function()
      for _ = 0, 2 do
         local item = q:get()
         saros.sleep(T)
         say("done", item)
         q:task_done()
      end
   end)
   q:join()
   say("joined")
   task:await()
end)

scenario("37: join of a queue that was never used does not wait", [[
   await Queue().join()
   say("joined")
]], function()
   saros.queue():join()
   say("joined")
end)

scenario("37: task_done too often is refused", [[
   q = Queue()
   await q.put(1)
   q.task_done()
   say(refused(q.task_done))
]], function()
   local q = saros.queue()
   q:put(1)
   q:task_done()
   say(refused(q.task_done, q))
end)

scenario("32: two consumers share what one producer brings", [[
   q, got = Queue(2), []
   async def producer():
      for i in range(6):
         await q.put(i)
      for n in range(2):
         await q.put(None)
   async def consumer():
      while (item := await q.get()) is not None:
         got.append(item)
         await sleep(T)
   await gather(producer(), consumer(), consumer())
   say(sorted(got))
]], function()
   local q, got = saros.queue(2), {}
   local function consumer()
      while true do
         local item = q:get()
         if item == "end" then return end
         got[#got + 1] = item
         saros.sleep(T)
      end
   end
   saros.gather(function()
      for i = 0, 5 do q:put(i) end
      for _ = 1, 2 do q:put("end") end
   end, consumer, consumer)
   table.sort(got)
   say(got)
end)

scenario{"37: after shutdown puts fail, gets drain and then fail", [[
   q = Queue()
   await q.put("left")
   q.shutdown()
   say(refused(q.put_nowait, "late"))
   say(await q.get())
   say(refused(q.get_nowait))
]], function()
   local q = saros.queue()
   q:put("left")
   q:shutdown()
   say(q:try_put("late") == nil)
   say(q:get())
   say(q:try_get() == nil)
end, python = "3.13"}

scenario{"37: shutdown wakes those who wait", [[
   q = Queue(1)
   async def consumer():
      try:
         await q.get()
      except QueueShutDown:
         say("consumer told")
   task = create_task(consumer())
   await turns()
   q.shutdown()
   await task
]], function()
   local q = saros.queue(1)
   local task = saros.spawn(function()
      local _, _, code = q:get()
      if code == "ESHUTDOWN" then say("consumer told") end
   end)
   turns()
   q:shutdown()
   task:await()
end, python = "3.13"}

scenario{"37: immediate shutdown throws away what is left, and releases join", [[
   q = Queue()
   await q.put(1)
   await q.put(2)
   joiner = create_task(q.join())
   await turns()
   q.shutdown(immediate=True)
   await joiner
   say("joined", q.qsize(), refused(q.get_nowait))
]], function()
   local q = saros.queue()
   q:put(1)
   q:put(2)
   local joiner = saros.spawn(q.join, q)
   turns()
   q:shutdown(true)
   joiner:await()
   say("joined", q:size(), q:try_get() == nil)
end, python = "3.13"}
