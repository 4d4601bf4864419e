-- sync.lua: scenarios of locks, events, conditions, semaphores and barriers.
local saros = require "saros"
local oracle = require "oracle.oracle"
local scenario, say, turns, T = oracle.scenario, oracle.say, oracle.turns, oracle.T

local attempt, refused = oracle.attempt, oracle.refused

scenario("32: a lock is given in the order in which it was asked for", [[
   lock = Lock()
   async def work(n):
      async with lock:
         say(n, "in")
         await sleep(T)
         say(n, "out")
   await gather(*[create_task(work(n)) for n in range(3)])
   say(lock.locked())
]], function()
   local lock, tasks = saros.lock(), {}
   for n = 0, 2 do
      tasks[n + 1] = saros.spawn(function()
         local _ <close> = lock:acquire()
         say(n, "in")
         saros.sleep(T)
         say(n, "out")
      end)
   end
   saros.gather(tasks)
   say(lock:locked())
end)

scenario("32: nobody gets past a waiter", [[
   lock = Lock()
   await lock.acquire()
   async def waiter():
      async with lock:
         say("waiter")
   async def late():
      async with lock:
         say("late")
   first = create_task(waiter())
   await turns()
   lock.release()
   second = create_task(late())
   async with lock:
      say("main")
   await gather(first, second)
]], function()
   local lock = saros.lock()
   lock:acquire()
   local function locking(name)
      return function()
         local _ <close> = lock:acquire()
         say(name)
      end
   end
   local first = saros.spawn(locking("waiter"))
   turns()
   lock:release()
   local second = saros.spawn(locking("late"))
   locking("main")()
   saros.gather(first, second)
end)

scenario("33: a lock's waiter that is cancelled after it was chosen hands on to the next", [[
   lock = Lock()
   await lock.acquire()
   async def waiter(n):
      async with lock:
         say(n)
   one, two = create_task(waiter(1)), create_task(waiter(2))
   await turns(2)
   lock.release()
   one.cancel()
   say(await attempt(one))
   await two
]], function()
   local lock = saros.lock()
   lock:acquire()
   local function waiter(n)
      local _ <close> = lock:acquire()
      say(n)
   end
   local one, two = saros.spawn(waiter, 1), saros.spawn(waiter, 2)
   turns(2)
   lock:release()
   one:cancel()
   say((attempt(one.await, one)))
   two:await()
end)

scenario("33: a lock's waiter that is cancelled earlier is passed over", [[
   lock = Lock()
   await lock.acquire()
   async def waiter(n):
      async with lock:
         say(n)
   one, two = create_task(waiter(1)), create_task(waiter(2))
   await turns(2)
   one.cancel()
   say(await attempt(one))
   lock.release()
   await two
]], function()
   local lock = saros.lock()
   lock:acquire()
   local function waiter(n)
      local _ <close> = lock:acquire()
      say(n)
   end
   local one, two = saros.spawn(waiter, 1), saros.spawn(waiter, 2)
   turns(2)
   one:cancel()
   say((attempt(one.await, one)))
   lock:release()
   two:await()
end)

scenario("36: releasing a lock that is not locked is refused", [[
   say(refused(Lock().release))
]], function()
   local lock = saros.lock()
   say(refused(lock.release, lock))
end)

scenario("36: a lock is released by an error as well", [[
   lock = Lock()
   async def bad():
      async with lock:
         raise Wrong("bad")
   say(await attempt(bad()), lock.locked())
]], function()
   local lock = saros.lock()
   say((attempt(function()
      local _ <close> = lock:acquire()
      oracle.wrong("bad")
   end)), lock:locked())
end)

scenario("35: an event wakes all that wait, and lets through who comes later", [[
   event = Event()
   async def waiter(n):
      await event.wait()
      say(n)
   tasks = [create_task(waiter(n)) for n in range(3)]
   await turns(2)
   say(event.is_set())
   event.set()
   say(event.is_set())
   await gather(*tasks)
   await event.wait()
   say("at once")
]], function()
   local event, tasks = saros.event(), {}
   for n = 0, 2 do
      tasks[n + 1] = saros.spawn(function()
         event:wait()
         say(n)
      end)
   end
   turns(2)
   say(event:is_set())
   event:set()
   say(event:is_set())
   saros.gather(tasks)
   event:wait()
   say("at once")
end)

scenario("35: set and clear at once still wake who waited", [[
   event = Event()
   async def waiter():
      await event.wait()
      say("woken", event.is_set())
   task = create_task(waiter())
   await turns(2)
   event.set()
   event.clear()
   await task
]], function()
   local event = saros.event()
   local task = saros.spawn(function()
      event:wait()
      say("woken", event:is_set())
   end)
   turns(2)
   event:set()
   event:clear()
   task:await()
end)

scenario("34: a condition wakes as many as it is told to, in their order", [[
   condition = Condition()
   async def waiter(n):
      async with condition:
         await condition.wait()
         say(n)
   tasks = [create_task(waiter(n)) for n in range(4)]
   await turns(2)
   async with condition:
      condition.notify()
   await turns(4)
   say("one")
   async with condition:
      condition.notify(2)
   await turns(6)
   say("two")
   async with condition:
      condition.notify_all()
   await gather(*tasks)
]], function()
   local lock = saros.lock()
   local condition, tasks = saros.condition(lock), {}
   for n = 0, 3 do
      tasks[n + 1] = saros.spawn(function()
         local _ <close> = lock:acquire()
         condition:wait()
         say(n)
      end)
   end
   local function notify(method, count)
      local _ <close> = lock:acquire()
      condition[method](condition, count)
   end
   turns(2)
   notify("notify")
   turns(4)
   say("one")
   notify("notify", 2)
   turns(6)
   say("two")
   notify("notify_all")
   saros.gather(tasks)
end)

scenario("34: wait_for waits until it is so", [[
   condition, count = Condition(), 0
   async def waiter():
      async with condition:
         await condition.wait_for(lambda: count >= 3)
         say("enough", count)
   task = create_task(waiter())
   await turns(2)
   for n in range(3):
      async with condition:
         count += 1
         condition.notify_all()
      await turns(3)
      say("count", count)
   await task
]], function()
   local lock = saros.lock()
   local condition, count = saros.condition(lock), 0
   local task = saros.spawn(function()
      local _ <close> = lock:acquire()
      condition:wait_for(function() return count >= 3 end)
      say("enough", count)
   end)
   turns(2)
   for _ = 1, 3 do
      do
         local _ <close> = lock:acquire()
         count = count + 1
         condition:notify_all()
      end
      turns(3)
      say("count", count)
   end
   task:await()
end)

scenario("34: a condition without its lock refuses to wait and to notify", [[
   condition = Condition()
   say(refused(condition.notify), await attempt(condition.wait()))
]], function()
   local condition = saros.condition()
   say(refused(condition.notify, condition), (attempt(condition.wait, condition)))
end)

scenario("34: a cancelled wait takes the lock again first", [[
   condition = Condition()
   async def waiter():
      async with condition:
         try:
            await condition.wait()
         finally:
            say("locked", condition.locked())
   task = create_task(waiter())
   await turns(2)
   task.cancel()
   say(await attempt(task), condition.locked())
]], function()
   local lock = saros.lock()
   local condition = saros.condition(lock)
   local task = saros.spawn(function()
      local _ <close> = lock:acquire()
      local _ <close> = setmetatable({}, { __close = function() say("locked", lock:locked()) end })
      condition:wait()
   end)
   turns(2)
   task:cancel()
   say((attempt(task.await, task)), lock:locked())
end)

scenario("32: a semaphore lets so many in at a time", [[
   semaphore, inside, most = Semaphore(2), 0, 0
   async def work(n):
      nonlocal inside, most
      async with semaphore:
         inside += 1
         most = max(most, inside)
         say(n)
         await sleep((n + 1) * T)
         inside -= 1
   await gather(*[create_task(work(n)) for n in range(4)])
   say("most", most, semaphore.locked())
]], function()
   local semaphore, inside, most, tasks = saros.semaphore(2), 0, 0, {}
   for n = 0, 3 do
      tasks[n + 1] = saros.spawn(function()
         local _ <close> = semaphore:acquire()
         inside = inside + 1
         most = math.max(most, inside)
         say(n)
         saros.sleep((n + 1) * T)
         inside = inside - 1
      end)
   end
   saros.gather(tasks)
   say("most", most, semaphore:locked())
end)

scenario("33: a semaphore's waiter that is cancelled after it was chosen hands on to the next", [[
   semaphore = Semaphore(1)
   await semaphore.acquire()
   async def waiter(n):
      async with semaphore:
         say(n)
   one, two = create_task(waiter(1)), create_task(waiter(2))
   await turns(2)
   semaphore.release()
   one.cancel()
   say(await attempt(one))
   await two
]], function()
   local semaphore = saros.semaphore(1)
   local guard = semaphore:acquire()
   local function waiter(n)
      local _ <close> = semaphore:acquire()
      say(n)
   end
   local one, two = saros.spawn(waiter, 1), saros.spawn(waiter, 2)
   turns(2)
   semaphore:release()
   one:cancel()
   say((attempt(one.await, one)))
   two:await()
   return guard
end)

scenario("36: a semaphore can be released above its start, a bounded one cannot", [[
   semaphore, bounded = Semaphore(1), BoundedSemaphore(1)
   say(refused(semaphore.release), refused(bounded.release))
   await semaphore.acquire()
   await semaphore.acquire()
   say(semaphore.locked())
]], function()
   local semaphore, bounded = saros.semaphore(1), saros.bounded_semaphore(1)
   say(refused(semaphore.release, semaphore), refused(bounded.release, bounded))
   semaphore:acquire()
   semaphore:acquire()
   say(semaphore:locked())
end)

scenario("36: a semaphore of less than nothing is refused", [[
   say(refused(Semaphore, -1))
]], function()
   say(refused(saros.semaphore, -1))
end)

scenario{"39: a barrier lets all go on when all are there, each with a number of its own", [[
   barrier, numbers = Barrier(3), []
   async def work(n):
      await sleep(n * T)
      say("comes", n)
      numbers.append(await barrier.wait())
   await gather(*[create_task(work(n)) for n in range(3)])
   say(sorted(numbers))
]], function()
   local barrier, numbers, tasks = saros.barrier(3), {}, {}
   for n = 0, 2 do
      tasks[n + 1] = saros.spawn(function()
         saros.sleep(n * T)
         say("comes", n)
         local number = barrier:wait() - 1 -- ours count from 1
         numbers[#numbers + 1] = number
      end)
   end
   saros.gather(tasks)
   table.sort(numbers)
   say(numbers)
end, python = "3.11"}

scenario{"39: reset wakes who waits with an error, and the barrier can be used again", [[
   barrier = Barrier(2)
   async def work():
      return await barrier.wait()
   first = create_task(work())
   await turns(2)
   await barrier.reset()
   say(await attempt(first))
   results = await gather(create_task(work()), create_task(work()))
   say(sorted(results))
]], function()
   local barrier = saros.barrier(2)
   local function work() return barrier:wait() end
   local first = saros.spawn(work)
   turns(2)
   barrier:reset()
   say(attempt(first.await, first))
   local one, two = saros.gather(saros.spawn(work), saros.spawn(work))
   say({ math.min(one, two) - 1, math.max(one, two) - 1 })
end, python = "3.11"}

scenario{"39: abort wakes who waits with an error, and refuses who comes", [[
   barrier = Barrier(2)
   async def work():
      return await barrier.wait()
   first = create_task(work())
   await turns(2)
   await barrier.abort()
   say(await attempt(first))
   say(await attempt(work()))
]], function()
   local barrier = saros.barrier(2)
   local function work() return barrier:wait() end
   local first = saros.spawn(work)
   turns(2)
   barrier:abort()
   say(attempt(first.await, first))
   say(attempt(work))
end, python = "3.11"}

scenario{"34: a waiter of a condition that was notified and cancelled notifies another", [[
   condition = Condition()
   async def waiter(n):
      async with condition:
         await condition.wait()
         say(n)
   one, two = create_task(waiter(1)), create_task(waiter(2))
   await turns(2)
   async with condition:
      condition.notify()
      one.cancel()
   say(await attempt(one))
   say(await attempt(wait_for(two, 5 * T)))
]], function()
   local lock = saros.lock()
   local condition = saros.condition(lock)
   local function waiter(n)
      local _ <close> = lock:acquire()
      condition:wait()
      say(n)
   end
   local one, two = saros.spawn(waiter, 1), saros.spawn(waiter, 2)
   turns(2)
   do
      local _ <close> = lock:acquire()
      condition:notify()
      one:cancel()
   end
   say((attempt(one.await, one)))
   say((attempt(saros.timeout, 5 * T, two.await, two)))
end, python = "3.13"}

scenario("35: a cancelled waiter of an event takes nothing from the others", [[
   event = Event()
   async def waiter(n):
      await event.wait()
      say(n)
   one, two = create_task(waiter(1)), create_task(waiter(2))
   await turns(2)
   one.cancel()
   say(await attempt(one))
   event.set()
   await two
]], function()
   local event = saros.event()
   local function waiter(n)
      event:wait()
      say(n)
   end
   local one, two = saros.spawn(waiter, 1), saros.spawn(waiter, 2)
   turns(2)
   one:cancel()
   say((attempt(one.await, one)))
   event:set()
   two:await()
end)
