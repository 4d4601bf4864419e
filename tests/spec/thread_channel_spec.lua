-- thread_channel_spec.lua: channels between threads: the rules of channel_spec.lua, among tasks of one loop as well as
-- between loops on threads of their own; and ends that are sent.

-- luacheck: ignore 431 (what runs on threads requires and is given everything anew)
local saros = require "saros"
local kit = require "support.kit"
require("support.leaks")(before_each, after_each)

local it_crosses = kit.needs("threads", it, pending)

-- A thread that sends each value of rx to tx.
local function echo()
   local tx, far_rx = saros.thread_channel(4)
   local far_tx, rx = saros.thread_channel(4)
   local thread = saros.thread({name = "echo"}, function(rx, tx)
      for value in rx do
         if not tx:send(value) then return "nobody listens" end
      end
      return "end of input"
   end, far_rx, far_tx)
   return tx, rx, thread
end

describe("saros.thread_channel", function()
   it_crosses("carries values to another thread and back, in their order", function()
      local tx, rx, thread = echo()
      local feeder = saros.spawn(function()
         for i = 1, 100 do tx:send({i, tostring(i)}) end
         tx:close()
      end)
      local count = 0
      for value in rx:items() do
         count = count + 1
         assert.are.same({count, tostring(count)}, value)
      end
      assert.are.equal(100, count)
      feeder:await()
      assert.are.equal("end of input", thread:await())
      assert.are.equal("EEOF", (select(3, rx:receive())))
   end)

   it_crosses("carries nil, which is a value alone and no end", function()
      local tx, rx = saros.thread_channel(2)
      assert.is_true(tx:send(nil))
      assert.is_true(tx:send(false))
      assert.are.same({n = 1}, table.pack(rx:receive()))
      assert.are.same({false, n = 1}, table.pack(rx:receive()))
      kit.raises("value expected", tx.send, tx)
   end)

   it_crosses("copies what is sent", function()
      local tx, rx = saros.thread_channel(1)
      local one = {}
      tx:send(one)
      assert.are_not.equal(one, (rx:receive()))
      kit.raises("sender:send: the value: a function cannot cross threads", tx.send, tx, print)
      kit.raises("sender:try_send: the value, field 'f': a function cannot cross threads", tx.try_send, tx, {f = print})
   end)

   it_crosses("of n places lets n values wait, and then the sender", function()
      local tx, rx = saros.thread_channel(2)
      local sent = 0
      local task = saros.spawn(function()
         for i = 1, 5 do
            assert(tx:send(i))
            sent = i
         end
      end)
      kit.turns(3)
      assert.are.equal(2, sent)
      assert.are.same({nil, "the channel is full", "EAGAIN"}, {tx:try_send("x")})
      for i = 1, 5 do assert.are.equal(i, rx:receive()) end
      task:await()
      assert.are.same({nil, "the channel is empty", "EAGAIN"}, {rx:try_receive()})
   end)

   it_crosses("of 0 is a rendezvous, also between threads", function()
      local tx, rx = saros.thread_channel(0)
      assert.are.equal("EAGAIN", (select(3, tx:try_send(1))))
      local thread = saros.thread(function(rx)
         local sum = 0
         for i in rx do sum = sum + i end
         return sum
      end, rx)
      for i = 1, 50 do assert.is_true(tx:send(i)) end
      tx:close()
      assert.are.equal(1275, thread:await())
      tx, rx = saros.thread_channel(0)
      local receiver = saros.spawn(function() return rx:receive() end)
      kit.turns(2)
      assert.is_true(tx:try_send("to one who waits"))
      assert.are.equal("EAGAIN", (select(3, tx:try_send("and nobody else"))))
      assert.are.equal("to one who waits", receiver:await())
   end)

   it_crosses("32: serves who waits in the order in which they came, and lets nobody barge", function()
      for n = 0, 1 do
         local tx, rx = saros.thread_channel(n)
         local log, tasks = kit.log(), {}
         for i = 1, 4 do tasks[i] = saros.spawn(function() log(i .. rx:receive()) end) end
         kit.turns(2)
         for letter in ("abcd"):gmatch(".") do tasks[#tasks + 1] = saros.spawn(function() tx:send(letter) end) end
         saros.gather(tasks)
         table.sort(log) -- who runs first is the loop's business; who gets what is the channel's
         assert.are.equal(4, #log)
         for i = 1, 4 do assert.are.equal(tostring(i), log[i]:sub(1, 1)) end
         tasks = {}
         for i = 1, 4 do tasks[i] = saros.spawn(function() tx:send(i) end) end
         kit.turns(2)
         for i = 1, 4 do assert.are.equal(i, rx:receive()) end
         saros.gather(tasks)
      end
   end)

   it_crosses("33: a receiver that was chosen and is cancelled loses nothing, nor does a sender", function()
      for n = 0, 1 do
         local tx, rx = saros.thread_channel(n)
         local first = saros.spawn(function() return rx:receive() end)
         local second = saros.spawn(function() return rx:receive() end)
         kit.turns(2)
         local sender = saros.spawn(function() return tx:send("kept") end)
         saros.sleep(0)
         first:cancel()
         assert.are.equal("kept", second:await())
         assert.is_true(sender:await())
         kit.error_of(first.await, first)
         local full = saros.spawn(function()
            for i = 1, 2 do tx:send(i) end
         end)
         kit.turns(2)
         full:cancel() -- its last one was never sent
         kit.error_of(full.await, full)
         assert.are.equal(n == 1 and 1 or nil, (rx:try_receive()))
         assert.are.equal("EAGAIN", (select(3, rx:try_receive())))
      end
   end)

   it_crosses("33: loses nothing where threads are cancelled while they receive", function()
      local tx, rx = saros.thread_channel(2)
      local out, results = saros.thread_channel(math.huge)
      local function work(rx, out)
         while true do
            local i = rx:receive()
            if not i then return end
            out:try_send(i)
         end
      end
      local sender = saros.spawn(function()
         for i = 1, 200 do tx:send(i) end
         tx:close()
      end)
      for _ = 1, 10 do
         local thread = saros.thread(work, rx:clone(), out:clone())
         for _ = 1, 10 do results:receive() end
         thread:cancel()
         saros.pcall(thread.await, thread)
      end
      local last = saros.thread(work, rx, out)
      local count = 100
      for _ in results do count = count + 1 end
      last:await()
      sender:await()
      assert.are.equal(200, count)
   end)

   it_crosses("38: ends where the last end on one side is closed, and clones count", function()
      local tx, rx = saros.thread_channel(2)
      local tx2, rx2 = tx:clone(), rx:clone()
      local waits = saros.spawn(function() return select(3, rx:receive()) end)
      saros.sleep(0)
      tx:close()
      assert.are.equal("ECLOSED", (select(3, tx:send(1))))
      kit.turns(2)
      assert.is_false(waits:done())
      tx2:close()
      assert.are.equal("EEOF", waits:await())
      assert.are.equal("EEOF", (select(3, rx2:try_receive())))
      tx, rx = saros.thread_channel(0)
      rx2 = rx:clone()
      waits = saros.spawn(function() return select(3, tx:send(1)) end)
      saros.sleep(0)
      rx:close()
      kit.turns(2)
      assert.is_false(waits:done())
      rx2:close()
      assert.are.equal("EPIPE", waits:await())
      assert.are.equal("EPIPE", (select(3, tx:try_send(1))))
      kit.raises("clone: this end of the channel is closed", rx.clone, rx)
   end)

   it_crosses("wakes who waits at an end that is closed", function()
      local tx, rx = saros.thread_channel(0)
      local sends = saros.spawn(function() return select(3, tx:send(1)) end)
      kit.turns(1)
      tx:close()
      assert.are.equal("ECLOSED", sends:await())
      local tx2, rx2 = saros.thread_channel(0)
      local receives = saros.spawn(function() return select(3, rx2:receive()) end)
      kit.turns(1)
      rx2:close()
      assert.are.equal("ECLOSED", receives:await())
      tx2:close()
      rx:close()
   end)

   it_crosses("closes an end that is collected, and those of a thread that has ended", function()
      local tx, rx = saros.thread_channel(1)
      tx = tx and nil -- luacheck: ignore 311
      collectgarbage()
      assert.are.equal("EEOF", (select(3, rx:receive())))
      tx, rx = saros.thread_channel(1)
      saros.thread(function(rx) return rx:receive() end, rx)
      assert.is_true(tx:send(1))
      local code
      repeat code = select(3, tx:send(2)) until code
      assert.are.equal("EPIPE", code)
   end)

   it_crosses("moves an end that is sent, which is closed here; a clone stays", function()
      local tx, rx = saros.thread_channel(1)
      local carrier, hands = saros.thread_channel(1)
      assert.is_true(carrier:send({tx, tx}))
      assert.are.same({nil, "this end of the channel is closed: it was sent away", "ECLOSED"}, {tx:send(1)})
      kit.raises("this end of a channel has been sent already (send a clone)", carrier.try_send, carrier, tx)
      local both = hands:receive()
      assert.are.equal(both[1], both[2])
      assert.is_true(both[1]:send("x"))
      assert.are.equal("x", rx:receive())
      local task = saros.spawn(function() carrier:send(1) carrier:send(both[1]) end)
      kit.turns(2)
      task:cancel() -- it was not taken, so it is still here
      kit.error_of(task.await, task)
      assert.is_true(both[1]:send("y"))
      both[1]:close()
      assert.are.equal("y", rx:receive())
      assert.are.equal("EEOF", (select(3, rx:receive())))
   end)

   it_crosses("closes ends in messages that nobody receives, however deep", function()
      local outer, first = saros.thread_channel(1), nil
      local carrier, hands = saros.thread_channel(1)
      for _ = 1, 1000 do
         local next_carrier, next_hands = saros.thread_channel(1)
         assert(next_carrier:send(hands)) -- the way to what is inside leads through this message alone
         carrier, hands = next_carrier, next_hands
      end
      assert.is_true(carrier ~= nil and outer ~= nil and first == nil)
      hands:close()
      assert.are.equal("EPIPE", (select(3, carrier:send(1))))
   end)

   it_crosses("can be awaited, raced, and waited for with a time-out", function()
      local tx, rx = saros.thread_channel(1)
      assert.are.equal("ETIMEDOUT", (select(3, saros.timeout(0.001, rx.receive, rx))))
      saros.call_soon(function() tx:try_send("now") end)
      assert.are.same({1, "now"}, {saros.race(rx, function() saros.sleep(1000) end)})
      local task = saros.spawn(function() return saros.await(rx) end)
      saros.sleep(0)
      tx:send("later")
      assert.are.equal("later", task:await())
   end)

   it_crosses("is for many threads at both ends", function()
      local tx, rx = saros.thread_channel(3)
      local out, results = saros.thread_channel(3)
      local threads = {}
      for i = 1, 3 do
         threads[i] = saros.thread(function(rx, out)
            for n in rx do out:send(n * n) end
         end, rx:clone(), out:clone())
         threads[i + 3] = saros.thread(function(tx, first)
            for n = first, 300, 3 do tx:send(n) end
         end, tx:clone(), i)
      end
      tx:close()
      rx:close()
      out:close()
      local sum, count = 0, 0
      for square in results do sum, count = sum + square, count + 1 end
      assert.are.equal(300, count)
      assert.are.equal(300 * 301 * 601 // 6, sum)
      saros.gather(threads)
   end)

   it_crosses("has no fewer than 0 places", function()
      kit.raises("0 or more places expected", saros.thread_channel, -1)
      kit.raises("number expected", saros.thread_channel, "many")
      local tx = saros.thread_channel(math.huge)
      assert.matches("^saros.thread_sender: ", tostring(tx))
      tx:close()
      assert.matches("^saros.thread_sender %(closed%): ", tostring(tx))
   end)
end)
