-- semaphore_spec.lua: what semaphores and limiters have of their own; what they share with locks: lock_spec.lua.

local saros = require "saros"
local kit = require "support.kit"
require("support.leaks")(before_each, after_each)

describe("saros.semaphore", function()
   it("lets in as many as it has permits", function()
      local semaphore, inside, most = saros.semaphore(3), 0, 0
      local tasks = {}
      for i = 1, 20 do
         tasks[i] = saros.spawn(function()
            local _ <close> = semaphore:acquire()
            inside = inside + 1
            most = math.max(most, inside)
            kit.turns(i % 4)
            inside = inside - 1
         end)
      end
      saros.gather(tasks)
      assert.are.equal(3, most)
   end)

   it("starts without any permit, and is given some by anybody, callbacks too", function()
      local semaphore = saros.semaphore(0)
      assert.is_true(semaphore:locked())
      saros.call_soon(semaphore.release, semaphore)
      assert.is_not_nil(semaphore:acquire())
      semaphore:release()
      semaphore:release()
      assert.is_not_nil(semaphore:try_acquire())
      assert.is_not_nil(semaphore:try_acquire())
      assert.is_nil((semaphore:try_acquire()))
   end)

   it("36: a bounded one raises above its bound, and not because a waiter was chosen", function()
      local semaphore = saros.bounded_semaphore(2)
      kit.raises("called more often than acquire", semaphore.release, semaphore)
      semaphore:acquire()
      semaphore:acquire()
      local waiting = saros.spawn(function() return semaphore:acquire() ~= nil end)
      saros.sleep(0)
      semaphore:release()
      semaphore:release()
      assert.is_true(waiting:await())
      semaphore:release()
      kit.raises("called more often than acquire", semaphore.release, semaphore)
   end)

   it("33: wakes as many as were released, though some are cancelled (asyncio#270, cpython#90155)", function()
      local semaphore, got = saros.semaphore(0), 0
      local tasks = {}
      for i = 1, 5 do
         tasks[i] = saros.spawn(function()
            semaphore:acquire()
            got = got + 1
         end)
      end
      saros.sleep(0)
      semaphore:release()
      semaphore:release()
      tasks[1]:cancel()
      tasks[3]:cancel()
      kit.turns(4)
      assert.are.equal(2, got)
      assert.is_true(tasks[2]:done() and tasks[4]:done() and not tasks[5]:done())
      semaphore:release()
      tasks[5]:await()
      assert.is_true(semaphore:locked())
   end)

   it("takes a whole number of permits, not negative", function()
      for _, n in ipairs({ -1, 1.5, "x", {} }) do
         kit.raises("bad argument #1", saros.semaphore, n)
         kit.raises("bad argument #1", saros.bounded_semaphore, n)
         kit.raises("bad argument #1", saros.limiter, n)
      end
      assert.is_false(saros.semaphore():locked())
      assert.is_false(saros.limiter(math.huge):locked())
      kit.raises("bad argument #1", saros.limiter)
   end)
end)

describe("saros.limiter", function()
   it("36: gives a task one token, and takes it back from that task only", function()
      local limiter = saros.limiter(2)
      limiter:acquire()
      kit.raises("limiter:acquire: the task has a token of this limiter already", limiter.acquire, limiter)
      kit.raises("has a token of this limiter already", limiter.try_acquire, limiter)
      assert.are.equal(1, limiter:borrowed())
      local text = saros.spawn(function() return kit.text_of(limiter.release, limiter) end):await()
      assert.is_truthy(text:find("the task has no token of this limiter", 1, true))
      limiter:release()
      kit.raises("the task has no token of this limiter", limiter.release, limiter)
      assert.are.equal(0, limiter:borrowed())
   end)

   it("36: has back what a task held that ended", function()
      local limiter, order = saros.limiter(1), kit.log()
      local careless = saros.spawn(function()
         limiter:acquire()
         saros.sleep(0)
         order("ended")
      end)
      local next_one = saros.spawn(function()
         local _ <close> = limiter:acquire()
         order("next")
      end)
      saros.gather(careless, next_one)
      assert.are.equal("ended, next", table.concat(order, ", "))
      assert.are.equal(0, limiter:borrowed())
   end)

   it("may grow and shrink while it is used", function()
      local limiter, open = saros.limiter(1), saros.event()
      local function work()
         local _ <close> = limiter:acquire()
         open:wait()
      end
      local tasks = {}
      for i = 1, 4 do tasks[i] = saros.spawn(work) end
      kit.turns(2)
      assert.are.equal(1, limiter:borrowed())
      assert.are.equal(3, limiter:total(3))
      kit.turns(2)
      assert.are.equal(3, limiter:borrowed())
      assert.are.equal(1, limiter:total(1))
      assert.are.equal(3, limiter:borrowed())
      assert.is_true(limiter:locked())
      open:set()
      saros.gather(tasks)
      assert.are.equal(0, limiter:borrowed())
   end)

   it("and its token stay where somebody holds it, whoever else forgets it", function()
      local weak = setmetatable({}, { __mode = "k" })
      do
         local limiter = saros.limiter(1)
         weak[limiter] = true
         limiter:acquire()
      end
      collectgarbage()
      collectgarbage()
      local limiter = next(weak)
      assert.are.equal(1, limiter:borrowed())
      limiter:release()
   end)
end)
