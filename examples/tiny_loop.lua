-- tiny_loop.lua: an asyncio in a hundred lines of pure Lua, the first step for a reader of Saros.
--
-- No Python original: it is the explanation of the text "How does asyncio work?" put to work, in its order:
-- generator, future, task, loop. The demonstration at the end is the text's async_count.py, sync_count.py
-- and async_futures.py.
--
-- Run it:   lua5.4 examples/tiny_loop.lua     (needs nothing; or saros examples/tiny_loop.lua)
-- Notice:   one place yields, one place resumes. Down: await -> yield. Up: done -> callback -> resume.
--
--    One One One One One Two Two Two Two Two Three Three Three Three Three in 3 s
--    One Two Three One Two Three One Two Three One Two Three One Two Three in 15 s
--    foo awaits the future
--    bar resolves the future
--    foo got: the future's result
--    an error travels too: no such luck

local clock = 0                -- the loop's time
local ready, timers = {}, {}   -- what to call now, in order; what to call later, soonest first

local function call_soon(fn) ready[#ready + 1] = fn end

local function call_at(when, fn)
   local i = #timers
   while i > 0 and timers[i].when > when do i = i - 1 end
   table.insert(timers, i + 1, {when = when, fn = fn})
end

-- 1. The generator: a function that can stop in the middle and go on. Lua has it: coroutine.create, resume
-- and yield. From however deep in nested calls, `yield` reaches whoever resumed; so we need no `yield from`.

-- 2. The future: a result that is not there yet, and the callbacks of those who wait for it.
local Future = {}
Future.__index = Future

local function new_future() return setmetatable({state = "pending", callbacks = {}}, Future) end

local function settle(future, state, value)
   assert(future.state == "pending", "this future is settled already")
   future.state, future.value = state, value
   for _, callback in ipairs(future.callbacks) do call_soon(callback) end
end

function Future:set_result(value) settle(self, "finished", value) end

function Future:set_error(err) settle(self, "failed", err) end

function Future:add_done_callback(fn)
   if self.state == "pending" then table.insert(self.callbacks, fn) else call_soon(fn) end
end

function Future:await()
   if self.state == "pending" then coroutine.yield(self) end -- to the task below: the only yield
   if self.state == "failed" then error(self.value, 0) end
   return self.value
end

-- 3. The task: a future that stands for a coroutine's end. It runs the coroutine up to its next await, ties
-- itself to the future that comes out, and runs it on when that one is done.
local function spawn(fn)
   local task, thread = new_future(), coroutine.create(fn)
   local function step()
      local ok, value = coroutine.resume(thread) -- the only resume
      if not ok then
         task:set_error(value)
      elseif coroutine.status(thread) == "dead" then
         task:set_result(value)
      else
         value:add_done_callback(step) -- value is the future it awaits
      end
   end
   call_soon(step)
   return task
end

-- 4. The loop. When nobody can run, it has to wait for the world until the first timer is due. Pure Lua
-- cannot wait and has no select() to ask about sockets, so this one moves the clock and pretends. Exactly
-- this function is what Saros's drivers supply: they wait in epoll, poll or select.
local function driver_wait(deadline) return deadline end

local function run(main)
   local task = spawn(main)
   while task.state == "pending" do
      if #ready == 0 then
         assert(timers[1], "deadlock: everyone waits, and nothing can happen")
         clock = driver_wait(timers[1].when)
      end
      while timers[1] and timers[1].when <= clock do call_soon(table.remove(timers, 1).fn) end
      local batch = ready
      ready = {} -- what this batch adds waits for the next turn: nobody starves
      for _, fn in ipairs(batch) do fn() end
   end
   return task:await()
end

-- What programs use, written with the four parts alone.
local function sleep(seconds)
   local woken = new_future()
   call_at(clock + seconds, function() woken:set_result() end)
   woken:await()
end

local function gather(...)
   local tasks = {}
   for i, fn in ipairs{...} do tasks[i] = spawn(fn) end
   for _, task in ipairs(tasks) do task:await() end
end

-- The demonstration ----------------------------------------------------------------------------------------
local function count()
   io.write("One ")
   sleep(1)
   io.write("Two ")
   sleep(2)
   io.write("Three ")
end

local function foo(future)
   print("foo awaits the future")
   print("foo got: " .. future:await())
end

local function bar(future)
   sleep(3)
   print("bar resolves the future")
   future:set_result("the future's result")
end

run(function()
   local start = clock
   gather(count, count, count, count, count)
   print(("in %g s"):format(clock - start))

   start = clock
   for _ = 1, 5 do count() end
   print(("in %g s"):format(clock - start))

   local future = new_future()
   gather(function() foo(future) end, function() bar(future) end)

   local unlucky = spawn(function() sleep(1) error("no such luck", 0) end)
   print("an error travels too: " .. select(2, pcall(unlucky.await, unlucky)))
end)

-- What is still missing, and makes the difference to Saros: sockets (the folder backends/), cancellation
-- (bindings/lua/tasks/scope.c), a report of errors that nobody awaits (bindings/lua/look/report.c), and awaiting inside
-- a generator of one's own, which here would hand the future to the generator's consumer.
