-- lock_spec.lua: what holds for whatever is acquired, and locks: order, hand-over, cancellation, owners.

local saros = require "saros"
local kit = require "support.kit"
require("support.leaks")(before_each, after_each)

-- Whatever hands out one permit at a time, under one name for the cases that hold for all.
local kinds = {
   { "lock", saros.lock },
   { "semaphore", function() return saros.semaphore(1) end },
   { "bounded_semaphore", function() return saros.bounded_semaphore(1) end },
   { "limiter", function() return saros.limiter(1) end },
   { "condition's lock", saros.condition },
}

-- A task that acquires, logs its name, holds for some turns, and releases.
local function holder(x, log, name, turns)
   return saros.spawn(function()
      local guard <close> = x:acquire()
      log(name)
      kit.turns(turns or 1)
      return guard ~= nil
   end)
end

for _, kind_and_make in ipairs(kinds) do
   local kind, make = table.unpack(kind_and_make)
   describe("saros: a " .. kind, function()
      it("is held until its guard is closed, or until release", function()
         local x = make()
         assert.is_false(x:locked())
         do
            local _ <close> = x:acquire()
            assert.is_true(x:locked())
         end
         assert.is_false(x:locked())
         x:acquire()
         assert.is_true(x:locked())
         assert.is_true(x:release())
         assert.is_false(x:locked())
      end)

      it("is released by a guard once, whatever comes after", function()
         local x = make()
         local first = x:acquire()
         assert.is_true(first:release())
         local second = x:acquire()
         assert.is_true(first:release())
         assert.is_true(x:locked())
         second:release()
         assert.is_false(x:locked())
      end)

      it("is released by its guard when an error or a cancellation leaves the block", function()
         local x = make()
         local task = saros.spawn(function()
            local _ <close> = x:acquire()
            saros.sleep(3600)
         end)
         saros.sleep(0)
         assert.is_true(x:locked())
         task:cancel()
         saros.pcall(task.await, task)
         assert.is_false(x:locked())
         saros.pcall(function()
            local _ <close> = x:acquire()
            error("out")
         end)
         assert.is_false(x:locked())
      end)

      it("is tried without waiting", function()
         local x = make()
         local other = saros.spawn(function()
            local guard <close> = assert(x:try_acquire())
            saros.sleep(0)
            return guard ~= nil
         end)
         saros.sleep(0)
         local got, message, code = x:try_acquire()
         assert.is_nil(got)
         assert.is_string(message)
         assert.are.equal("EAGAIN", code)
         other:await()
         local guard <close> = assert(x:try_acquire())
         assert.is_true(x:locked() and guard ~= nil)
      end)

      it("32: serves those who wait in the order in which they came", function()
         local x, log, tasks = make(), kit.log(), {}
         for i = 1, 5 do tasks[i] = holder(x, log, i, i % 3) end
         saros.gather(tasks)
         assert.are.same({ 1, 2, 3, 4, 5 }, { table.unpack(log) })
      end)

      it("32: lets nobody barge past a waiter that was chosen", function()
         local x, log = make(), kit.log()
         x:acquire()
         local waiting = holder(x, log, "waiting")
         saros.sleep(0)
         x:release()
         assert.is_true(x:locked())
         assert.are.equal("EAGAIN", (select(3, x:try_acquire())))
         local guard <close> = x:acquire()
         log("late")
         waiting:await()
         assert.are.equal("waiting, late", table.concat(log, ", "))
         assert.is_not_nil(guard)
      end)

      it("33: a waiter that is cancelled after it was chosen hands on to the next", function()
         -- bpo-27585, cpython#90155 (a semaphore then stayed locked for ever), anyio#1145
         local x, log = make(), kit.log()
         x:acquire()
         local tasks = {}
         for i = 1, 4 do tasks[i] = holder(x, log, i) end
         saros.sleep(0)
         x:release()
         tasks[1]:cancel()
         tasks[2]:cancel()
         assert.is_true(tasks[3]:await())
         assert.is_true(tasks[4]:await())
         assert.are.same({ 3, 4 }, { table.unpack(log) })
         assert.is_true(tasks[1]:cancelled() and tasks[2]:cancelled())
         assert.is_false(x:locked())
      end)

      it("33: the last waiter that is cancelled after it was chosen leaves it free", function()
         local x = make()
         x:acquire()
         local task = holder(x, kit.log(), 1)
         saros.sleep(0)
         x:release()
         task:cancel()
         saros.pcall(task.await, task)
         assert.is_true(task:cancelled())
         assert.is_false(x:locked())
         assert(x:try_acquire()):release()
      end)

      it("33: a waiter that is cancelled before it was chosen is passed over", function()
         local x, log = make(), kit.log()
         x:acquire()
         local first, second = holder(x, log, 1), holder(x, log, 2)
         saros.sleep(0)
         first:cancel()
         x:release()
         assert.is_true(second:await())
         assert.are.same({ 2 }, { table.unpack(log) })
      end)

      it("33: a timeout that ends the wait takes nothing along", function()
         local x = make()
         local guard = x:acquire()
         local other = saros.spawn(function()
            local _, _, code = saros.timeout(0.001, x.acquire, x)
            return code
         end)
         assert.are.equal("ETIMEDOUT", other:await())
         guard:release()
         assert.is_false(x:locked())
      end)

      it("belongs to the loop in which it was first awaited", function()
         local x = make()
         x:acquire():release()
         local inner <close> = saros.loop({ driver = "none" })
         inner:run(function()
            kit.raises("belongs to another loop", x.acquire, x)
            kit.raises("belongs to another loop", x.try_acquire, x)
         end)
         local unused = make()
         inner:run(function() unused:acquire():release() end)
         kit.raises("belongs to another loop", unused.acquire, unused)
      end)

      it("raises at once for a task that is cancelled already, and takes nothing", function()
         local x = make()
         local task = saros.spawn(function()
            local _, caught = saros.pcall(saros.sleep, 3600)
            assert(saros.is_cancelled(caught))
            x:acquire()
         end)
         saros.sleep(0)
         task:cancel()
         saros.pcall(task.await, task)
         assert.is_true(task:cancelled())
         assert.is_false(x:locked())
      end)

      it("gives way now and then to a task that always finds it free", function()
         local x, others = make(), 0
         local other = saros.spawn(function()
            while true do
               others = others + 1
               saros.sleep(0)
            end
         end)
         for _ = 1, 200 do x:acquire():release() end
         other:cancel()
         assert.is_true(others >= 2)
      end)
   end)
end

describe("saros.lock", function()
   it("36: releasing a lock that is not held raises", function()
      local lock = saros.lock()
      kit.raises("lock:release: the lock is not held", lock.release, lock)
      lock:acquire():release()
      kit.raises("lock:release: the lock is not held", lock.release, lock)
   end)

   it("36: releasing another task's lock raises and names that task", function()
      local lock = saros.lock()
      local owner = saros.spawn(function()
         local _ <close> = lock:acquire()
         saros.sleep(3600)
      end):set_name("the owner")
      saros.sleep(0)
      kit.raises("held by another task, the owner", lock.release, lock)
      assert.is_true(lock:locked())
      local from_callback
      saros.call_soon(function() from_callback = select(2, saros.pcall(lock.release, lock)) end)
      kit.turns(2)
      assert.is_truthy(from_callback:find("another task", 1, true))
      owner:cancel()
   end)

   it("36: acquiring a lock that the task holds raises instead of waiting for ever", function()
      local lock = saros.lock()
      local _ <close> = lock:acquire()
      kit.raises("lock:acquire: the task holds the lock already", lock.acquire, lock)
      kit.raises("lock:try_acquire: the task holds the lock already", lock.try_acquire, lock)
      assert.is_true(lock:locked())
   end)

   it("36: an owner that ends without a release breaks the lock for all who wait and who come", function()
      for _, ending in ipairs({ function() end, function() error("dies") end, function() saros.sleep(3600) end }) do
         local lock = saros.lock()
         local owner = saros.spawn(function()
            lock:acquire()
            saros.sleep(0)
            ending()
         end)
         local waiters = {}
         for i = 1, 3 do
            waiters[i] = saros.spawn(function()
               local err, text = kit.error_of(lock.acquire, lock)
               return saros.error_code(err), text
            end)
         end
         kit.turns(2)
         owner:cancel()
         saros.pcall(owner.await, owner)
         for i = 1, 3 do
            local code, text = waiters[i]:await()
            assert.are.equal("EBROKEN", code)
            assert.is_truthy(text:find("the lock is broken: " .. owner:name(), 1, true))
         end
         kit.raises("the lock is broken", lock.acquire, lock)
         kit.raises("the lock is broken", lock.try_acquire, lock)
         kit.raises("the lock is broken", lock.release, lock)
         assert.is_false(lock:locked())
      end
   end)

   it("36: a lock breaks as well when the owner ends while another task is on its way to it", function()
      local lock = saros.lock()
      local chosen = saros.spawn(function()
         lock:acquire() -- and ends without a release
      end)
      local first = lock:acquire()
      kit.turns(1)
      first:release()
      chosen:await()
      kit.raises("the lock is broken", lock.acquire, lock)
   end)

   it("is given away by its guard, which another task may close", function()
      local lock = saros.lock()
      local guard = lock:acquire()
      saros.spawn(function() guard:release() end):await()
      assert.is_false(lock:locked())
   end)

   it("a guard that is closed after a release by hand leaves the next owner alone", function()
      local lock = saros.lock()
      local done = saros.event()
      local guard = lock:acquire()
      lock:release()
      local other = saros.spawn(function()
         local _ <close> = lock:acquire()
         done:wait()
      end)
      saros.sleep(0)
      guard:release()
      assert.is_true(lock:locked())
      done:set()
      other:await()
      assert.is_false(lock:locked())
   end)

   it("can be awaited, and what gather acquires is the caller's", function()
      local lock, semaphore = saros.lock(), saros.semaphore(1)
      do
         local _ <close> = saros.await(lock)
         assert.is_true(lock:locked())
      end
      local a, b = saros.gather(lock, semaphore)
      assert.is_true(lock:locked() and semaphore:locked())
      lock:release()
      b:release()
      a:release()
      assert.is_false(lock:locked() or semaphore:locked())
      local _ <close> = saros.gather(lock)
      for _, method in ipairs({ "acquire", "try_acquire" }) do kit.raises("holds the lock already", lock[method], lock) end
      kit.raises("holds the lock already", saros.race, lock)
      lock:release()
      saros.spawn(function() saros.gather(lock) end):await()
      kit.raises("which held it, has ended without a release", lock.acquire, lock)
   end)

   it("that is held and forgotten harms nobody", function()
      local task = saros.spawn(function()
         saros.lock():acquire()
         collectgarbage()
         collectgarbage()
         saros.lock():acquire()
      end)
      task:await()
      collectgarbage()
   end)

   it("cannot be had outside a task", function()
      local lock, limiter, errors = saros.lock(), saros.limiter(1), {}
      saros.call_soon(function()
         errors[1] = kit.text_of(lock.try_acquire, lock)
         errors[2] = kit.text_of(limiter.try_acquire, limiter)
         errors[3] = kit.text_of(lock.acquire, lock)
      end)
      kit.turns(2)
      assert.is_truthy(errors[1]:find("only a task can hold a lock", 1, true))
      assert.is_truthy(errors[2]:find("only a task can have a token", 1, true))
      assert.is_truthy(errors[3]:find("cannot await outside a task", 1, true))
   end)
end)

describe("a deadlock over locks", function()
   local crossed = [[
      local a, b = saros.lock(), saros.lock()
      local function both(x, y)
         local _ <close> = x:acquire()
         saros.sleep(0)
         local _ <close> = y:acquire()
      end
      saros.spawn(both, a, b):set_name("left")
      saros.spawn(both, b, a):set_name("right")
   ]]

   it("is told with those who hold them, also while other tasks live", function()
      local output, code = kit.script(crossed .. "saros.sleep(1) print('alive')")
      assert.are.equal(1, code, output)
      assert(output:match("left %b() waits at [^\n]- for a lock that right %b() holds, which waits at [^\n]- for a lock that "
         .. "left %b() holds"), output)
      output, code = kit.script(crossed .. "saros.event():wait()")
      assert.are.equal(35, code, output)
      assert(output:find("for a lock that", 1, true), output)
   end)

   it("is no false alarm where the locks are taken in one order", function()
      local output, code = kit.script(crossed:gsub("both, b, a", "both, a, b") .. "saros.sleep(0.5)")
      assert.are.equal(0, code, output)
      assert.are.equal("", output)
   end)
end)
