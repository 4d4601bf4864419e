-- channel_spec.lua: saros.channel: buffer and rendezvous, ends that close and clone, iteration, cancellation, races.

local saros = require "saros"
local kit = require "support.kit"
require("support.leaks")(before_each, after_each)

local ended = { n = 3, nil, "the channel has ended: all senders are closed", "EEOF" }
local broken = { n = 3, nil, "nobody can receive: all receivers are closed", "EPIPE" }
local closed = { n = 3, nil, "this end of the channel is closed", "ECLOSED" }


local function sender(tx, ...)
   local values = { ... }
   return saros.spawn(function()
      for _, value in ipairs(values) do assert(tx:send(value)) end
   end)
end

describe("saros.channel", function()
   it("38: carries values in their order, and holds a sender back when its buffer is full", function()
      local tx, rx = saros.channel(2)
      local sent = 0
      local task = saros.spawn(function()
         for i = 1, 5 do
            assert.is_true(tx:send(i))
            sent = i
         end
      end)
      kit.turns(2)
      assert.are.equal(2, sent)
      for i = 1, 5 do assert.are.equal(i, rx:receive()) end
      task:await()
   end)

   it("38: of 0 is a rendezvous: a send returns when a receiver has taken the value", function()
      local tx, rx = saros.channel(0)
      local log = kit.log()
      local task = saros.spawn(function()
         for i = 1, 3 do
            tx:send(i)
            log("sent " .. i)
         end
      end)
      kit.turns(3)
      assert.are.equal(0, #log)
      for i = 1, 3 do
         assert.are.equal(i, rx:receive())
         kit.turns(2)
         assert.are.equal("sent " .. i, log[#log])
      end
      task:await()
      local first = saros.spawn(function() return rx:receive() end) -- the receiver comes first
      saros.sleep(0)
      assert.is_true(tx:send("late"))
      assert.are.equal("late", first:await())
   end)

   it("carries every value but nil, false included", function()
      for n = 0, 2 do
         local tx, rx = saros.channel(n)
         for _, value in ipairs({ false, 0, "", {}, print }) do
            local task = sender(tx, value)
            assert.are.equal(value, rx:receive())
            task:await()
         end
         local task = saros.spawn(function() tx:send(false) end)
         assert.is_false(rx:receive())
         task:await()
         kit.raises("nil cannot be sent", tx.send, tx, nil)
         kit.raises("nil cannot be sent", tx.try_send, tx)
      end
   end)

   it("is tried without waiting", function()
      local tx, rx = saros.channel(1)
      assert.are.same({ n = 3, nil, "the channel is empty", "EAGAIN" }, table.pack(rx:try_receive()))
      assert.is_true(tx:try_send(1))
      assert.are.same({ n = 3, nil, "the channel is full", "EAGAIN" }, table.pack(tx:try_send(2)))
      assert.are.equal(1, rx:try_receive())
      tx, rx = saros.channel(0)
      assert.are.equal("EAGAIN", (select(3, tx:try_send(1))))
      local task = sender(tx, "waits")
      saros.sleep(0)
      assert.are.equal("waits", rx:try_receive())
      task:await()
      local receiver = saros.spawn(function() return rx:receive() end)
      saros.sleep(0)
      assert.is_true(tx:try_send("to one who waits"))
      assert.are.equal("EAGAIN", (select(3, tx:try_send("and nobody else"))))
      assert.are.equal("to one who waits", receiver:await())
   end)

   it("32: serves senders and receivers in the order in which they came", function()
      for n = 0, 1 do
         local tx, rx = saros.channel(n)
         local log, tasks = kit.log(), {}
         for i = 1, 4 do
            tasks[i] = saros.spawn(function() log(i .. rx:receive()) end)
         end
         saros.sleep(0)
         for letter in ("abcd"):gmatch(".") do tasks[#tasks + 1] = sender(tx, letter) end
         saros.gather(tasks)
         assert.are.equal("1a 2b 3c 4d", table.concat(log, " "))
         tasks = {}
         for i = 1, 4 do tasks[i] = sender(tx, i) end
         saros.sleep(0)
         for i = 1, 4 do assert.are.equal(i, rx:receive()) end
         saros.gather(tasks)
      end
   end)

   it("32: lets nobody barge past a receiver that was chosen, or a sender that waits", function()
      for n = 0, 1 do
         local tx, rx = saros.channel(n)
         local waiting = saros.spawn(function() return rx:receive() end)
         saros.sleep(0)
         local task = sender(tx, "first", "second")
         saros.sleep(0)
         local barging = saros.spawn(function() return rx:receive() end)
         assert.are.equal("first", waiting:await())
         assert.are.equal("second", barging:await())
         task:await()
      end
      local tx, rx = saros.channel(0)
      local task = sender(tx, "first")
      saros.sleep(0)
      assert.are.equal("EAGAIN", (select(3, tx:try_send("barges"))))
      assert.are.equal("first", rx:receive())
      task:await()
   end)

   it("38: gives receivers what is left and then its end, when the last sender is closed", function()
      local tx, rx = saros.channel(3)
      tx:send(1)
      tx:send(2)
      assert.is_true(tx:close())
      assert.is_true(tx:close())
      assert.are.equal(1, rx:receive())
      assert.are.equal(2, rx:try_receive())
      assert.are.same(ended, table.pack(rx:receive()))
      assert.are.same(ended, table.pack(rx:try_receive()))
      assert.are.same(closed, table.pack(tx:send(3)))
      assert.are.same(closed, table.pack(tx:try_send(3)))
   end)

   it("38: wakes waiting receivers with its end", function()
      for n = 0, 1 do
         local tx, rx = saros.channel(n)
         local tasks = {}
         for i = 1, 3 do
            tasks[i] = saros.spawn(function() return table.pack(rx:receive()) end)
         end
         saros.sleep(0)
         tx:close()
         for i = 1, 3 do assert.are.same(ended, tasks[i]:await()) end
      end
   end)

   it("38: breaks senders when the last receiver is closed", function()
      for n = 0, 1 do
         local tx, rx = saros.channel(n)
         if n == 1 then tx:send("dropped") end
         local waiting = saros.spawn(function() return table.pack(tx:send(1)) end)
         saros.sleep(0)
         assert.is_true(rx:close())
         assert.are.same(broken, waiting:await())
         assert.are.same(broken, table.pack(tx:send(2)))
         assert.are.same(broken, table.pack(tx:try_send(2)))
         assert.are.same(closed, table.pack(rx:receive()))
         assert.are.same(closed, table.pack(rx:try_receive()))
      end
   end)

   it("38: clones count: only the last end that is closed ends or breaks it", function()
      local tx, rx = saros.channel(1)
      local tx2, rx2 = tx:clone(), rx:clone()
      tx:close()
      rx:close()
      assert.is_true(tx2:send(1))
      assert.are.equal(1, rx2:receive())
      local tx3 = tx2:clone()
      tx2:close()
      assert.is_true(tx3:send(2))
      tx3:close()
      assert.are.equal(2, rx2:receive())
      assert.are.same(ended, table.pack(rx2:receive()))
      kit.raises("clone: this end of the channel is closed", tx.clone, tx)
      kit.raises("clone: this end of the channel is closed", rx.clone, rx)
   end)

   it("38: closing an end wakes those who wait at it, and nobody else", function()
      local tx, rx = saros.channel(0)
      local tx2, rx2 = tx:clone(), rx:clone()
      local first = saros.spawn(function() return table.pack(tx:send(1)) end)
      local second = saros.spawn(function() return table.pack(tx2:send(2)) end)
      saros.sleep(0)
      tx:close()
      assert.are.same(closed, first:await())
      assert.are.equal(2, rx:receive())
      assert.are.same({ n = 1, true }, second:await())
      first = saros.spawn(function() return table.pack(rx:receive()) end)
      second = saros.spawn(function() return table.pack(rx2:receive()) end)
      saros.sleep(0)
      rx:close()
      assert.are.same(closed, first:await())
      assert.is_true(tx2:send(3))
      assert.are.same({ n = 1, 3 }, second:await())
   end)

   it("38: a receiver whose end is closed after it was chosen hands on", function()
      local tx, rx = saros.channel(1)
      local rx2 = rx:clone()
      local first = saros.spawn(function() return table.pack(rx:receive()) end)
      local second = saros.spawn(function() return table.pack(rx2:receive()) end)
      saros.sleep(0)
      tx:send("value")
      rx:close()
      assert.are.same({ n = 1, "value" }, second:await())
      assert.are.same(closed, first:await())
   end)

   it("is iterated until it ends, by items or by the receiver itself", function()
      for n = 0, 2 do
         local tx, rx = saros.channel(n)
         local task = saros.spawn(function()
            local _ <close> = tx
            for i = 1, 6 do tx:send(i) end
         end)
         local seen = {}
         for value in rx:items() do
            seen[#seen + 1] = value
            if value == 3 then break end
         end
         for value in rx do seen[#seen + 1] = value end
         assert.are.same({ 1, 2, 3, 4, 5, 6 }, seen)
         task:await()
      end
   end)

   it("can be awaited", function()
      local tx, rx = saros.channel(1)
      tx:send("now")
      assert.are.equal("now", saros.await(rx))
      local task = sender(tx, 1, 2)
      assert.are.same({ 1, 2 }, { saros.gather(rx, rx) })
      task:await()
   end)

   it("33: a receiver that is cancelled after it was chosen hands on, and the value is not lost", function()
      for n = 0, 1 do
         local tx, rx = saros.channel(n)
         local first = saros.spawn(function() return rx:receive() end)
         local second = saros.spawn(function() return rx:receive() end)
         saros.sleep(0)
         local task = sender(tx, "value")
         saros.sleep(0)
         first:cancel()
         assert.are.equal("value", second:await())
         task:await()
         saros.pcall(first.await, first)
         local third = saros.spawn(function() return rx:receive() end)
         saros.sleep(0)
         task = sender(tx, "stays")
         saros.sleep(0)
         third:cancel()
         saros.pcall(third.await, third)
         assert.are.equal("stays", rx:try_receive())
         task:await()
      end
   end)

   it("33: receivers that were chosen in vain, because senders were cancelled, keep their places", function()
      local tx, rx = saros.channel(0)
      local log, receivers = kit.log(), {}
      for i = 1, 4 do
         receivers[i] = saros.spawn(function() log(i .. rx:receive()) end)
      end
      saros.sleep(0)
      local senders = {}
      for i = 1, 3 do senders[i] = sender(tx, "lost") end
      kit.turns(1)
      for i = 1, 3 do senders[i]:cancel() end
      kit.turns(3)
      assert.are.equal(0, #log)
      for letter in ("abcd"):gmatch(".") do tx:send(letter) end
      saros.gather(receivers)
      assert.are.equal("1a 2b 3c 4d", table.concat(log, " "))
   end)

   it("33: a sender that is cancelled before its value was taken has sent nothing", function()
      for n = 0, 1 do
         local tx, rx = saros.channel(n)
         if n == 1 then tx:send("before") end
         local waiting = sender(tx, "never")
         local behind = sender(tx, "after")
         saros.sleep(0)
         waiting:cancel()
         if n == 1 then assert.are.equal("before", rx:receive()) end
         assert.are.equal("after", rx:receive())
         behind:await()
         assert.are.equal("EAGAIN", (select(3, rx:try_receive())))
         assert.is_true(waiting:cancelled())
      end
   end)

   it("33: a sender whose value was taken is told so, and cancelled at its next wait", function()
      local tx, rx = saros.channel(0)
      local sent
      local task = saros.spawn(function()
         sent = tx:send("value")
         saros.sleep(0)
         sent = "and went on"
      end)
      saros.sleep(0)
      assert.are.equal("value", rx:receive())
      task:cancel()
      saros.pcall(task.await, task)
      assert.is_true(sent)
      assert.is_true(task:cancelled())
   end)

   it("whose end was promised to one who may hand it on keeps the others waiting", function()
      local tx, rx = saros.channel(1)
      local first = saros.spawn(function() return rx:receive() end)
      saros.sleep(0)
      tx:send("last")
      tx:close()
      local second = saros.spawn(function() return rx:receive() end)
      local third = saros.spawn(function() return table.pack(rx:receive()) end)
      first:cancel()
      assert.are.equal("last", second:await())
      assert.are.same(ended, third:await())
   end)

   it("is ended or broken by the collector where an end was forgotten", function()
      local _, rx = saros.channel(0)
      _ = nil
      local waiting = saros.spawn(function() return table.pack(rx:receive()) end)
      saros.sleep(0)
      collectgarbage()
      collectgarbage()
      assert.are.same(ended, waiting:await())
      local tx = saros.channel(0)
      collectgarbage()
      collectgarbage()
      assert.are.same(broken, table.pack(tx:send(1)))
      assert.is_nil(_)
   end)

   it("lets go of what was taken or thrown away", function()
      local weak = setmetatable({}, { __mode = "v" })
      local tx, rx = saros.channel(2)
      for i = 1, 4 do weak[i] = {} end
      local task = sender(tx, weak[1], weak[2], weak[3])
      saros.sleep(0)
      rx:receive()
      rx:close()
      task:cancel()
      saros.pcall(task.await, task)
      task = nil
      collectgarbage()
      collectgarbage()
      for i = 1, 4 do assert.is_nil(weak[i]) end
      assert.is_nil(task)
   end)

   it("serves a crowd in which each has an end of its own, in the order in which they came", function()
      local tx, rx = saros.channel(0)
      local tasks = {}
      for i = 1, 10000 do
         tasks[i] = saros.spawn(function()
            local mine <close> = rx:clone()
            return mine:receive()
         end)
      end
      for i = 1, #tasks do tx:send(i) end
      for i, task in ipairs(tasks) do assert(task:await() == i) end
   end)

   it("belongs to the loop in which it was first awaited", function()
      local tx, rx = saros.channel(1)
      tx:send(1)
      local inner <close> = saros.loop({ driver = "none" })
      inner:run(function()
         kit.raises("sender:send: it belongs to another loop", tx.send, tx, 1)
         kit.raises("sender:try_send: it belongs to another loop", tx.try_send, tx, 1)
         kit.raises("receiver:receive: it belongs to another loop", rx.receive, rx)
         kit.raises("receiver:try_receive: it belongs to another loop", rx.try_receive, rx)
      end)
   end)

   it("takes 0 or more places, or math.huge", function()
      for _, n in ipairs({ -1, 1.5, "x", {}, 0 / 0 }) do kit.raises("bad argument #1", saros.channel, n) end
      kit.raises("bad argument #1", saros.channel)
      local tx, rx = saros.channel(math.huge)
      for i = 1, 1000 do assert.is_true(tx:try_send(i)) end
      for i = 1, 1000 do assert.are.equal(i, rx:receive()) end
   end)
end)
