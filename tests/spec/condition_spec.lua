-- condition_spec.lua: events, conditions, barriers: who is woken, and what a cancellation leaves behind.

local saros = require "saros"
local kit = require "support.kit"
require("support.leaks")(before_each, after_each)

describe("saros.event", function()
   it("35: set wakes all who wait, in their order, and those who come later do not wait", function()
      local event, log = saros.event(), kit.log()
      for i = 1, 3 do
         saros.spawn(function()
            assert(event:wait() == true)
            log(i)
         end)
      end
      saros.sleep(0)
      assert.is_false(event:is_set())
      event:set()
      assert.is_true(event:is_set())
      assert.is_true(event:wait())
      kit.turns(1)
      assert.are.same({ 1, 2, 3 }, { table.unpack(log) })
   end)

   it("35: set and then clear at once still wakes those who waited, and nobody else", function()
      local event = saros.event()
      local waiting = saros.spawn(function() return event:wait() end)
      saros.sleep(0)
      event:set()
      event:clear()
      local late = saros.spawn(function() return event:wait() end)
      assert.is_true(waiting:await())
      kit.turns(2)
      assert.is_false(late:done())
      event:set()
      assert.is_true(late:await())
   end)

   it("35: a waiter that is cancelled after set raises its cancellation, and the others wake", function()
      local event = saros.event()
      local first = saros.spawn(function() return event:wait() end)
      local second = saros.spawn(function() return event:wait() end)
      saros.sleep(0)
      event:set()
      first:cancel()
      assert.is_true(second:await())
      assert.is_true(first:cancelled())
   end)

   it("is set by callbacks, awaited by saros.await and gather, and belongs to one loop", function()
      local event = saros.event()
      saros.call_soon(event.set, event)
      assert.is_true(saros.await(event))
      assert.are.same({ true, true }, { saros.gather(event, event) })
      local inner <close> = saros.loop({ driver = "none" })
      inner:run(function()
         kit.raises("event:wait: it belongs to another loop", event.wait, event)
         kit.raises("event:set: it belongs to another loop", event.set, event)
         kit.raises("event:clear: it belongs to another loop", event.clear, event)
      end)
   end)
end)

describe("saros.condition", function()
   it("34: wait gives the lock away and has it back when it returns", function()
      local condition, log = saros.condition(), kit.log()
      local waiting = saros.spawn(function()
         local _ <close> = condition:acquire()
         log("waits")
         assert(condition:wait() == true)
         assert(condition:locked())
         log("goes on")
      end)
      saros.sleep(0)
      do
         local _ <close> = condition:acquire()
         log("notifies")
         condition:notify()
         kit.turns(3)
         log("releases")
      end
      waiting:await()
      assert.is_false(condition:locked())
      assert.are.equal("waits, notifies, releases, goes on", table.concat(log, ", "))
   end)

   it("34: wait and notify without the lock raise", function()
      local condition = saros.condition()
      kit.raises("condition:wait: the lock is not held", condition.wait, condition)
      kit.raises("condition:notify: the lock is not held", condition.notify, condition)
      kit.raises("condition:notify_all: the lock is not held", condition.notify_all, condition)
      local owner = saros.spawn(function()
         local _ <close> = condition:acquire()
         saros.sleep(3600)
      end)
      saros.sleep(0)
      kit.raises("held by another task", condition.notify, condition)
      kit.raises("held by another task", condition.wait, condition)
      owner:cancel()
   end)

   it("34: stands in a race, a gather and a wait for the task that holds its lock", function()
      local condition, notified = saros.condition(), 0
      local function notify()
         local _ <close> = condition:acquire()
         notified = notified + 1
         condition:notify()
      end
      do
         local guard <close> = condition:acquire()
         saros.spawn(notify)
         assert.are.same({ 2, true }, { saros.race(3600, condition) })
         assert.are.equal(1, notified)
         assert.is_true(condition:locked())
         assert.are.same({ 1, "at once" }, { saros.race(function() return "at once" end, condition) }) -- has it back
         assert.is_true(condition:locked())
         saros.spawn(notify)
         assert.is_true(saros.gather(condition))
         saros.spawn(notify)
         saros.wait({ condition })
         assert.are.equal(3, notified)
         assert.is_true(condition:notify())
         local kept = saros.spawn(function() kit.raises("held by another task", saros.gather, condition) end)
         kept:await()
         guard:release()
      end
      assert.is_false(condition:locked())
      assert(condition:acquire():release())
      saros.spawn(function()
         condition:acquire()
         saros.race(condition, 0)
      end):await()
      kit.raises("which held it, has ended without a release", condition.acquire, condition)
   end)

   it("34: notifies as many as it was asked to, oldest first", function()
      local condition, log = saros.condition(), kit.log()
      local tasks = {}
      for i = 1, 5 do
         tasks[i] = saros.spawn(function()
            local _ <close> = condition:acquire()
            condition:wait()
            log(i)
         end)
      end
      kit.turns(2)
      local function notify(method, n)
         local _ <close> = condition:acquire()
         condition[method](condition, n)
      end
      notify("notify")
      kit.turns(3)
      assert.are.same({ 1 }, { table.unpack(log) })
      notify("notify", 2)
      kit.turns(4)
      assert.are.same({ 1, 2, 3 }, { table.unpack(log) })
      notify("notify_all")
      saros.gather(tasks)
      assert.are.same({ 1, 2, 3, 4, 5 }, { table.unpack(log) })
   end)

   it("34: a wait that is cancelled has the lock back before it raises", function()
      local condition, held = saros.condition(), nil
      local waiting = saros.spawn(function()
         local guard <close> = condition:acquire()
         local ok, err = saros.pcall(condition.wait, condition)
         assert(not ok and saros.is_cancelled(err) and guard)
         held = condition:locked()
         condition:notify() -- does not raise: it is ours
      end)
      saros.sleep(0)
      local mine = condition:acquire()
      waiting:cancel()
      kit.turns(5)
      assert.is_false(waiting:done())
      waiting:cancel("once more")
      kit.turns(2)
      assert.is_false(waiting:done())
      mine:release()
      saros.pcall(waiting.await, waiting)
      assert.is_true(held)
      assert.is_false(condition:locked())
   end)

   it("34: one that was notified and is cancelled notifies another, whenever the cancellation came", function()
      for turns = 0, 2 do -- before it ran; while it waited for the lock
         local condition, got = saros.condition(), kit.log()
         local tasks = {}
         for i = 1, 2 do
            tasks[i] = saros.spawn(function()
               local _ <close> = condition:acquire()
               condition:wait()
               got(i)
            end)
         end
         kit.turns(2)
         local mine = condition:acquire()
         condition:notify()
         kit.turns(turns)
         tasks[1]:cancel()
         mine:release()
         tasks[2]:await()
         assert.is_true(tasks[1]:cancelled())
         assert.are.same({ 2 }, { table.unpack(got) })
         assert.is_false(condition:locked())
      end
   end)

   it("34: one that is cancelled without a notification keeps nobody else's", function()
      local condition = saros.condition()
      local function wait()
         local _ <close> = condition:acquire()
         return condition:wait()
      end
      local first, second = saros.spawn(wait), saros.spawn(wait)
      kit.turns(2)
      first:cancel()
      do
         local _ <close> = condition:acquire()
         condition:notify()
      end
      assert.is_true(second:await())
   end)

   it("wait_for waits until its predicate holds, and gives the predicate's value", function()
      local condition, ready = saros.condition(), 0
      local waiting = saros.spawn(function()
         local _ <close> = condition:acquire()
         return condition:wait_for(function()
            saros.sleep(0)
            return ready >= 3 and "ready"
         end)
      end)
      for _ = 1, 3 do
         kit.turns(3)
         local _ <close> = condition:acquire()
         ready = ready + 1
         condition:notify_all()
      end
      assert.are.equal("ready", waiting:await())
      local _ <close> = condition:acquire()
      assert.are.equal(7, condition:wait_for(function() return 7 end))
      kit.raises("oops", condition.wait_for, condition, function() error("oops") end)
   end)

   it("takes a function to wait for, and any whole number to notify", function()
      local condition = saros.condition()
      local _ <close> = condition:acquire()
      kit.raises("bad argument #1 to 'wait_for' (function expected", function() condition:wait_for(42) end)
      kit.raises("bad argument #1 to 'notify' (number expected", function() condition:notify("all") end)
      for _, n in ipairs({ math.mininteger, -1, 0, math.maxinteger }) do assert.is_true(condition:notify(n)) end
   end)

   it("shares a lock with another condition", function()
      local lock = saros.lock()
      local full, empty, item = saros.condition(lock), saros.condition(lock), nil
      local consumer = saros.spawn(function()
         local sum = 0
         for _ = 1, 10 do
            local _ <close> = lock:acquire()
            full:wait_for(function() return item end)
            sum, item = sum + item, nil
            empty:notify()
         end
         return sum
      end)
      for i = 1, 10 do
         local _ <close> = lock:acquire()
         empty:wait_for(function() return not item end)
         item = i
         full:notify()
      end
      assert.are.equal(55, consumer:await())
      kit.raises("saros.lock", saros.condition, {})
   end)

   it("36: a wait raises where its lock was broken meanwhile", function()
      local condition = saros.condition()
      local waiting = saros.spawn(function()
         local _ <close> = condition:acquire()
         return saros.error_code((kit.error_of(condition.wait, condition)))
      end)
      saros.sleep(0)
      saros.spawn(function()
         condition:acquire()
         condition:notify() -- and ends
      end):await()
      assert.are.equal("EBROKEN", waiting:await())
      local cancelled = saros.condition()
      local other = saros.spawn(function()
         local _ <close> = cancelled:acquire()
         cancelled:wait()
      end)
      saros.sleep(0)
      saros.spawn(function()
         cancelled:acquire()
         other:cancel()
      end):await()
      saros.pcall(other.await, other)
      assert.is_true(other:cancelled())
   end)
end)

describe("saros.barrier", function()
   it("39: holds back all until the last has come, and gives each another index", function()
      local barrier, indexes = saros.barrier(3), {}
      for round = 1, 3 do
         for i = 1, 3 do
            saros.spawn(function()
               kit.turns(2 * i)
               indexes[(round - 1) * 3 + barrier:wait()] = i
            end)
         end
         kit.turns(5)
         assert.are.equal(2, barrier:waiting())
         assert.is_nil(indexes[(round - 1) * 3 + 1])
         kit.turns(5)
         assert.are.equal(0, barrier:waiting())
      end
      assert.are.same({ 1, 2, 3, 1, 2, 3, 1, 2, 3 }, indexes)
   end)

   it("39: takes the next ones at once, before those it let go have run", function()
      local barrier, log = saros.barrier(2), kit.log()
      local tasks = {}
      for i = 1, 6 do
         tasks[i] = saros.spawn(function() log(i .. ":" .. barrier:wait()) end)
      end
      saros.gather(tasks)
      table.sort(log)
      assert.are.equal("1:1 2:2 3:1 4:2 5:1 6:2", table.concat(log, " "))
   end)

   it("39: the place of one that was cancelled is free again, and indexes stay unique", function()
      local barrier, indexes = saros.barrier(3), {}
      local function come()
         local index = barrier:wait()
         indexes[index] = (indexes[index] or 0) + 1
      end
      local first, second = saros.spawn(come), saros.spawn(come)
      saros.sleep(0)
      first:cancel()
      local third = saros.spawn(come)
      kit.turns(2)
      assert.is_true(first:cancelled())
      assert.are.equal(2, barrier:waiting())
      come()
      saros.gather(second, third)
      assert.are.same({ 1, 1, 1 }, indexes)
   end)

   it("39: reset ends the wait of all with EBROKEN, and the barrier can be used again", function()
      local barrier = saros.barrier(2)
      local waiting = saros.spawn(function() return table.pack(barrier:wait()) end)
      saros.sleep(0)
      assert.is_true(barrier:reset())
      assert.are.same({ n = 3, nil, "the barrier is broken", "EBROKEN" }, waiting:await())
      assert.is_false(barrier:broken())
      local one = saros.spawn(function() return barrier:wait() end)
      saros.sleep(0)
      assert.are.equal(2, barrier:wait())
      assert.are.equal(1, one:await())
   end)

   it("39: abort ends the wait of all, and of all who come until it is reset", function()
      local barrier = saros.barrier(3)
      local waiting = {}
      for i = 1, 2 do
         waiting[i] = saros.spawn(function() return table.pack(barrier:wait()) end)
      end
      saros.sleep(0)
      barrier:abort()
      for i = 1, 2 do assert.are.equal("EBROKEN", waiting[i]:await()[3]) end
      assert.is_true(barrier:broken())
      assert.are.equal("EBROKEN", (select(3, barrier:wait())))
      barrier:reset()
      assert.is_false(barrier:broken())
   end)

   it("of one lets everybody through, and takes 1 or more", function()
      local barrier = saros.barrier(1)
      assert.are.equal(1, barrier:wait())
      assert.are.equal(1, saros.await(barrier))
      for _, n in ipairs({ 0, -1, 1.5, "x" }) do kit.raises("bad argument #1", saros.barrier, n) end
   end)
end)
