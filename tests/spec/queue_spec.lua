-- queue_spec.lua: saros.queue: order, bounds, hand-over and cancellation, join, shutdown.

local saros = require "saros"
local kit = require "support.kit"
require("support.leaks")(before_each, after_each)

local shut = { n = 3, nil, "the queue was shut down", "ESHUTDOWN" }

describe("saros.queue", function()
   it("gives items in the order in which they were put", function()
      local q = saros.queue()
      for i = 1, 100 do assert.is_true(q:put(i)) end
      for i = 1, 100 do assert.are.equal(i, q:get()) end
      assert.is_true(q:empty())
   end)

   it("carries every value but nil, false included", function()
      local q = saros.queue()
      for _, value in ipairs({ false, 0, "", {}, print, 0 / 0 }) do
         q:put(value)
         local got = q:get()
         assert.is_true(got == value or value ~= value)
      end
      kit.raises("nil cannot be put", q.put, q, nil)
      kit.raises("nil cannot be put", q.put, q)
      kit.raises("nil cannot be put", q.try_put, q, nil)
      assert.are.equal(0, q:size())
   end)

   it("lets a getter wait for an item", function()
      local q = saros.queue()
      local getter = saros.spawn(function() return q:get() end)
      saros.sleep(0)
      assert.is_false(getter:done())
      q:put("late")
      assert.are.equal("late", getter:await())
   end)

   it("32: serves waiting getters in the order in which they came", function()
      local q, log = saros.queue(), kit.log()
      local tasks = {}
      for i = 1, 4 do
         tasks[i] = saros.spawn(function() log(i .. q:get()) end)
      end
      saros.sleep(0)
      for item in ("abcd"):gmatch(".") do q:put(item) end
      saros.gather(tasks)
      assert.are.equal("1a 2b 3c 4d", table.concat(log, " "))
   end)

   it("32: lets nobody barge past a getter that an item was promised to", function()
      local q, log = saros.queue(), kit.log()
      local waiting = saros.spawn(function() log("waiting got " .. q:get()) end)
      saros.sleep(0)
      q:put("item")
      assert.are.same({ n = 3, nil, "the queue is empty", "EAGAIN" }, table.pack(q:try_get()))
      local late = saros.spawn(function() log("late got " .. q:get()) end)
      kit.turns(2)
      q:put("second")
      saros.gather(waiting, late)
      assert.are.equal("waiting got item, late got second", table.concat(log, ", "))
   end)

   it("32: holds putters back above its bound, and lets them in first come, first served", function()
      local q, log = saros.queue(2), kit.log()
      local putters = {}
      for i = 1, 4 do
         putters[i] = saros.spawn(function()
            q:put(i)
            log("put " .. i)
         end)
      end
      kit.turns(3)
      assert.is_true(q:full())
      assert.are.equal(2, q:size())
      assert.are.equal("put 1, put 2", table.concat(log, ", "))
      assert.are.same({ n = 3, nil, "the queue is full", "EAGAIN" }, table.pack(q:try_put(9)))
      for i = 1, 4 do
         assert.are.equal(i, q:get())
         kit.turns(1)
      end
      saros.gather(putters)
      assert.are.equal("put 1, put 2, put 3, put 4", table.concat(log, ", "))
   end)

   it("never holds more than its bound, whoever puts", function()
      local q, most = saros.queue(3), 0
      local producers = {}
      for p = 1, 5 do
         producers[p] = saros.spawn(function()
            for i = 1, 50 do
               q:put(i)
               most = math.max(most, q:size())
               if i % 7 == 0 then saros.sleep(0) end
            end
         end)
      end
      local got = 0
      for _ = 1, 250 do
         q:get()
         got = got + 1
         if got % 5 == 0 then saros.sleep(0) end
      end
      saros.gather(producers)
      assert.are.equal(250, got)
      assert.is_true(most <= 3)
   end)

   it("32: keeps the order of each producer", function()
      local q = saros.queue(4)
      for p = 1, 4 do
         saros.spawn(function()
            for i = 1, 100 do q:put({ p, i }) end
         end)
      end
      local last = { 0, 0, 0, 0 }
      for _ = 1, 400 do
         local item = q:get()
         assert(item[2] == last[item[1]] + 1)
         last[item[1]] = item[2]
      end
      assert.are.same({ 100, 100, 100, 100 }, last)
   end)

   it("33: gives an item to the next getter when a waiting one was cancelled", function()
      local q = saros.queue()
      local first = saros.spawn(function() return q:get() end)
      local second = saros.spawn(function() return q:get() end)
      saros.sleep(0)
      first:cancel()
      q:put("item")
      assert.are.equal("item", second:await())
      assert.is_true(first:cancelled())
   end)

   it("33: a getter that is cancelled after it was promised an item hands it on to the next", function()
      local q = saros.queue()
      local first = saros.spawn(function() return q:get() end)
      local second = saros.spawn(function() return q:get() end)
      saros.sleep(0)
      q:put("item")
      first:cancel()
      assert.are.equal("item", second:await())
      assert.is_true(first:cancelled())
   end)

   it("33: hands on through a row of getters that were all promised something", function()
      local q, getters = saros.queue(), {}
      for i = 1, 6 do
         getters[i] = saros.spawn(function() return q:get() end)
      end
      saros.sleep(0)
      for i = 1, 3 do q:put(i) end
      for i = 1, 3 do getters[i]:cancel() end
      assert.are.same({ 1, 2, 3 }, { getters[4]:await(), getters[5]:await(), getters[6]:await() })
   end)

   it("37: a get that is cancelled after the hand-over leaves the item in the queue, in its place", function()
      local q = saros.queue()
      local getter = saros.spawn(function() return q:get() end)
      saros.sleep(0)
      q:put("item")
      q:put("behind it")
      getter:cancel()
      saros.pcall(getter.await, getter)
      assert.is_true(getter:cancelled())
      assert.are.equal("item", q:try_get())
      assert.are.equal("behind it", q:try_get())
   end)

   it("37: a race between a queue and something faster never loses an item", function()
      local q = saros.queue()
      local expired = saros.scope(function(scope)
         saros.call_soon(function()
            q:try_put("item")
            scope:cancel()
         end)
         return q:get()
      end)
      assert.is_nil(expired)
      assert.are.equal("item", q:try_get())
   end)

   it("33: loses no place when a putter is cancelled, before or after the hand-over", function()
      for _, early in ipairs({ true, false }) do
         local q = saros.queue(1)
         q:put(1)
         local first = saros.spawn(function() return q:put(2) end)
         local second = saros.spawn(function() return q:put(3) end)
         saros.sleep(0)
         if early then first:cancel() end
         assert.are.equal(1, q:get())
         if not early then first:cancel() end
         assert.is_true(second:await())
         assert.is_true(first:cancelled())
         assert.are.equal(3, q:get())
         assert.is_true(q:empty())
         assert.is_true(q:try_put(4))
      end
   end)

   it("33: conserves all items under random cancellation", function()
      local random = 12345
      local function draw(n)
         random = (random * 1103515245 + 12345) % 2147483648
         return random // 65536 % n
      end
      local q, put, got = saros.queue(2), 0, 0
      local tasks = {}
      for i = 1, 300 do
         local gets = draw(2) == 0
         tasks[i] = saros.spawn(function()
            if gets then
               if q:get() then got = got + 1 end
            elseif q:put(i) then
               put = put + 1
            end
         end)
         if draw(3) == 0 then tasks[draw(i) + 1]:cancel() end
         if draw(4) == 0 then saros.sleep(0) end
      end
      kit.turns(3)
      for _, task in ipairs(tasks) do task:cancel() end
      kit.turns(3)
      assert.are.equal(put, got + q:size())
   end)

   it("37: counts unfinished items for join", function()
      local q = saros.queue()
      assert.is_true(q:join())
      q:put(1)
      q:put(2)
      local joiner = saros.spawn(function() return q:join() end)
      q:get()
      q:task_done()
      kit.turns(2)
      assert.is_false(joiner:done())
      q:get()
      q:task_done()
      assert.is_true(joiner:await())
      kit.raises("called more often", q.task_done, q)
   end)

   it("wakes all joiners, and a cancelled joiner harms nobody", function()
      local q = saros.queue()
      q:put(1)
      local a = saros.spawn(function() return q:join() end)
      local b = saros.spawn(function() return q:join() end)
      saros.sleep(0)
      a:cancel()
      saros.sleep(0)
      q:task_done()
      assert.is_true(b:await())
      assert.is_true(a:cancelled())
   end)

   it("can be awaited, which is a get", function()
      local q = saros.queue()
      saros.call_soon(q.try_put, q, "soon")
      assert.are.equal("soon", saros.await(q))
      q:put(1)
      q:put(2)
      assert.are.same({ 1, 2 }, { saros.gather(q, q) })
      q:shutdown()
      assert.are.same(shut, table.pack(saros.await(q)))
   end)

   it("belongs to the loop in which it was first awaited", function()
      local q = saros.queue()
      q:put("ours")
      local inner <close> = saros.loop({ driver = "none" })
      inner:run(function()
         for _, method in ipairs({ "put", "get", "join", "try_put", "try_get", "task_done", "shutdown" }) do
            kit.raises("queue:" .. method .. ": it belongs to another loop", q[method], q, 1)
         end
      end)
      assert.are.equal("ours", q:get())
   end)

   it("whose loop is closed can still be emptied, and no more be awaited", function()
      local q = saros.queue()
      local inner = saros.loop({ driver = "none" })
      inner:run(function() q:put("left") end)
      kit.raises("belongs to another loop", q.try_get, q)
      inner:close()
      assert.are.equal("left", q:try_get())
      kit.raises("belongs to another loop", q.get, q)
      assert.is_true(q:shutdown())
   end)

   it("is iterated by items until it is shut down", function()
      local q, seen = saros.queue(), {}
      local reader = saros.spawn(function()
         for value in q:items() do seen[#seen + 1] = value end
         return "ended"
      end)
      for i = 1, 3 do
         q:put(i)
         saros.sleep(0)
      end
      q:put(4)
      q:shutdown()
      assert.are.equal("ended", reader:await())
      assert.are.same({ 1, 2, 3, 4 }, seen)
   end)

   it("is measured by size, empty, full and the length operator", function()
      local q = saros.queue(1)
      assert.is_true(q:empty())
      assert.is_false(q:full())
      q:put("x")
      assert.are.equal(1, q:size())
      assert.are.equal(1, #q)
      assert.is_false(q:empty())
      assert.is_true(q:full())
      assert.is_false(saros.queue():full())
   end)

   it("takes a whole, not negative number as its bound", function()
      for _, bound in ipairs({ -1, 1.5, math.mininteger, "x", {}, 0 / 0, math.huge }) do
         kit.raises("bad argument #1", saros.queue, bound)
      end
      assert.is_true(saros.queue(0):put(1))
      assert.is_true(saros.queue(math.maxinteger):put(1))
      assert.is_true(saros.queue("3"):put(1))
   end)

   it("lets go of what was taken out", function()
      local weak, q = setmetatable({}, { __mode = "v" }), saros.queue()
      weak.item = {}
      q:put(weak.item)
      q:get()
      collectgarbage()
      collectgarbage()
      assert.is_nil(weak.item)
   end)
end)

describe("queue:shutdown", function()
   it("37: refuses what is put from then on, and still gives what is left", function()
      local q = saros.queue()
      q:put(1)
      q:put(2)
      assert.is_true(q:shutdown())
      assert.are.same(shut, table.pack(q:put(3)))
      assert.are.same(shut, table.pack(q:try_put(3)))
      assert.are.equal(1, q:get())
      assert.are.equal(2, q:try_get())
      assert.are.same(shut, table.pack(q:get()))
      assert.are.same(shut, table.pack(q:try_get()))
      assert.is_true(q:shutdown())
   end)

   it("37: wakes waiting getters and putters with ESHUTDOWN", function()
      local empty, full = saros.queue(), saros.queue(1)
      full:put(1)
      local tasks = {
         saros.spawn(function() return table.pack(empty:get()) end),
         saros.spawn(function() return table.pack(full:put(2)) end),
         saros.spawn(function() return table.pack(empty:get()) end),
      }
      saros.sleep(0)
      empty:shutdown()
      full:shutdown()
      for _, task in ipairs(tasks) do assert.are.same(shut, task:await()) end
      assert.are.equal(1, full:get())
   end)

   it("37: at once throws away what is left, and releases join", function()
      local q = saros.queue()
      q:put(1)
      q:put(2)
      local joiner = saros.spawn(function() return q:join() end)
      saros.sleep(0)
      q:shutdown(true)
      assert.is_true(joiner:await())
      assert.are.same(shut, table.pack(q:get()))
      assert.are.equal(0, q:size())
   end)

   it("37: at once still lets join wait for what is being worked on", function()
      local q = saros.queue()
      q:put(1)
      q:put(2)
      q:get()
      local joiner = saros.spawn(function() return q:join() end)
      saros.sleep(0)
      q:shutdown(true)
      kit.turns(2)
      assert.is_false(joiner:done())
      q:task_done()
      assert.is_true(joiner:await())
   end)

   it("at once is answered with ESHUTDOWN by a getter that an item was promised to", function()
      local q = saros.queue()
      local getter = saros.spawn(function() return table.pack(q:get()) end)
      saros.sleep(0)
      q:put("promised")
      q:shutdown(true)
      assert.are.same(shut, getter:await())
   end)

   it("gives a promised item all the same when it is not at once", function()
      local q = saros.queue()
      local getter = saros.spawn(function() return q:get() end)
      saros.sleep(0)
      q:put("promised")
      q:shutdown()
      assert.are.equal("promised", getter:await())
   end)
end)
