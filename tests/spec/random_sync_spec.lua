-- random_sync_spec.lua: random programs over locks, semaphores, queues and channels, whose tasks are cancelled and timed
-- out at random: nothing is lost, nothing doubled, nobody is inside who must not be, and all who can go on do.
--
-- SAROS_CHAOS=N runs N seeds instead of a few; a failure names its seed.

local saros = require "saros"
local kit = require "support.kit"
require("support.leaks")(before_each, after_each)

local seeds = tonumber(os.getenv("SAROS_CHAOS") or 40)

local function generator(seed)
   local state = seed * 2654435761 + 97
   return function(n) -- 1..n
      state = state * 6364136223846793005 + 1442695040888963407
      return (state >> 33) % n + 1
   end
end

local function for_all_seeds(property)
   for seed = 1, seeds do
      local ok, err = saros.pcall(property, generator(seed))
      assert(ok, ("seed %d: %s"):format(seed, tostring(err)))
   end
end

-- Runs body(i) in each of `count` tasks; some of them are cancelled at some time.
local function crowd(draw, count, body)
   local tasks = {}
   for i = 1, count do
      tasks[i] = saros.spawn(body, i)
      if draw(3) == 1 then saros.sleep(0) end
      if draw(4) == 1 then tasks[draw(i)]:cancel() end
   end
   for _ = 1, draw(12) do
      saros.sleep(0)
      if draw(2) == 1 then tasks[draw(count)]:cancel() end
   end
   return tasks
end

local function finish(tasks)
   for _, task in ipairs(tasks) do task:cancel() end
   for _, task in ipairs(tasks) do
      local ok, err = saros.pcall(task.await, task)
      assert(ok or saros.error_code(err) == "ECANCELED", err)
   end
end

-- Waits as a script would: plainly, in a timeout, or in a scope that is cancelled from a callback.
local function wait_somehow(draw, method, x, ...)
   local how = draw(5)
   if how == 1 then return saros.timeout(draw(3) / 20000, method, x, ...) end
   if how > 2 then return method(x, ...) end
   return saros.scope(function(scope, ...)
      saros.call_soon(scope.cancel, scope)
      return method(x, ...)
   end, ...)
end

describe("random programs", function()
   for _, kind in ipairs({ "lock", "semaphore", "bounded_semaphore", "limiter" }) do
      it("33: never overfill a " .. kind .. ", and give all of it back", function()
         for_all_seeds(function(draw)
            local n = kind == "lock" and 1 or draw(3)
            local x = saros[kind](n)
            local inside, entered = 0, 0
            local tasks = crowd(draw, 30, function()
               for _ = 1, draw(4) do
                  local guard <close> = wait_somehow(draw, x.acquire, x)
                  if guard then
                     inside, entered = inside + 1, entered + 1
                     local _ <close> = setmetatable({}, { __close = function() inside = inside - 1 end })
                     assert(inside <= n)
                     kit.turns(draw(3) - 1)
                     assert(inside <= n)
                  end
               end
            end)
            -- Nothing outside of the program has to wake anybody: all who were not cancelled come to their ends.
            kit.wait_until(function()
               for _, task in ipairs(tasks) do
                  if not task:done() then return false end
               end
               return true
            end)
            finish(tasks)
            assert(inside == 0 and entered > 0)
            if kind == "lock" or kind == "limiter" then
               assert(not x:locked())
            else
               for _ = 1, n do assert(x:try_acquire()) end
            end
            if kind ~= "lock" and kind ~= "limiter" then assert(not x:try_acquire()) end
         end)
      end)
   end

   for _, kind in ipairs({ "queue", "lifo_queue", "priority_queue" }) do
      it("33, 37: conserve the items of a " .. kind, function()
         for_all_seeds(function(draw)
            local q = saros[kind](draw(4) - 1)
            local put, got, next_item = {}, {}, { 0, 0, 0 }
            local function new_item(producer)
               next_item[producer] = next_item[producer] + 1
               return producer * 1000 + next_item[producer]
            end
            local tasks = crowd(draw, 30, function(i)
               for _ = 1, draw(5) do
                  if i % 2 == 0 then
                     local item = new_item(i // 2 % 3 + 1)
                     if draw(4) == 1 then
                        if q:try_put(item) then put[item] = true end
                     elseif wait_somehow(draw, function()
                        local ok = q:put(item)
                        if ok then put[item] = true end
                        return ok
                     end) then assert(put[item]) end
                  else
                     local item = draw(4) == 1 and q:try_get() or wait_somehow(draw, q.get, q)
                     if item then
                        assert(not got[item], "twice")
                        got[item] = true
                        got[#got + 1] = item
                     end
                  end
               end
            end)
            kit.turns(3)
            finish(tasks)
            for item in q.try_get, q do
               assert(not got[item], "twice")
               got[item] = true
               got[#got + 1] = item
            end
            for item in pairs(put) do assert(got[item], "lost") end
            for _, item in ipairs(got) do assert(put[item], "from nowhere") end
            assert(q:empty() and #got > 0)
         end)
      end)
   end

   it("32: keep the order of each producer of a queue or channel", function()
      for_all_seeds(function(draw)
         local q = saros.queue(draw(3))
         local tx, rx = saros.channel(draw(3) - 1)
         for _, ends in ipairs({ { q.put, q, q.get, q }, { tx.send, tx, rx.receive, rx } }) do
            local put, sink, get, source = table.unpack(ends)
            local last, done = { 0, 0, 0, 0 }, 0
            local producers = {}
            for p = 1, 4 do
               producers[p] = saros.spawn(function()
                  for i = 1, 20 do
                     put(sink, { p, i })
                     if draw(4) == 1 then saros.sleep(0) end
                  end
                  done = done + 1
               end)
            end
            local consumers = crowd(draw, 12, function()
               while true do
                  local item = wait_somehow(draw, get, source)
                  if item then
                     assert(item[2] == last[item[1]] + 1, "out of order")
                     last[item[1]] = item[2]
                  end
                  if draw(3) == 1 then saros.sleep(0) end
               end
            end)
            local rest = saros.spawn(function()
               while true do
                  local item = get(source)
                  assert(item[2] == last[item[1]] + 1, "out of order")
                  last[item[1]] = item[2]
               end
            end)
            saros.gather(producers)
            kit.wait_until(function() return last[1] + last[2] + last[3] + last[4] == 80 end)
            consumers[#consumers + 1] = rest
            finish(consumers)
         end
      end)
   end)

   it("33, 38: conserve what is sent through a channel", function()
      for_all_seeds(function(draw)
         local n = draw(3) - 1
         local tx, rx = saros.channel(n)
         local sent, got, serial = {}, {}, 0
         local tasks = crowd(draw, 30, function(i)
            for _ = 1, draw(5) do
               if i % 2 == 0 then
                  local own <close> = tx:clone()
                  serial = serial + 1
                  local item = serial
                  if draw(5) == 1 then
                     sent[item] = own:try_send(item)
                  else
                     wait_somehow(draw, function() sent[item] = own:send(item) end)
                  end
               else
                  local own <close> = rx:clone()
                  local item = draw(5) == 1 and own:try_receive() or wait_somehow(draw, own.receive, own)
                  if item then
                     assert(not got[item], "twice")
                     got[item] = true
                  end
               end
            end
         end)
         kit.turns(3)
         finish(tasks)
         tx:close()
         for item in rx do
            assert(not got[item], "twice")
            got[item] = true
         end
         for item in pairs(sent) do assert(got[item], "lost") end
         for item in pairs(got) do assert(sent[item], "from nowhere") end
         assert(serial > 0 and next(got))
      end)
   end)

   it("34: of a condition lose no notification", function()
      for_all_seeds(function(draw)
         local condition, tokens, taken, given = saros.condition(), 0, 0, 0
         local tasks = crowd(draw, 20, function(i)
            if i % 2 == 0 then
               local _ <close> = condition:acquire()
               wait_somehow(draw, condition.wait_for, condition, function() return tokens > 0 end)
               if tokens > 0 then tokens, taken = tokens - 1, taken + 1 end
            else
               kit.turns(draw(3))
               local _ <close> = condition:acquire()
               tokens, given = tokens + 1, given + 1
               condition:notify()
            end
         end)
         saros.sleep(0.001) -- longer than any of the timeouts
         kit.turns(20)
         for i, task in ipairs(tasks) do assert(task:done() or i % 2 == 0 and tokens == 0, "a notification was lost") end
         finish(tasks)
         assert(taken + tokens == given and not condition:locked())
      end)
   end)

   it("39: give each of a barrier's round another index", function()
      for_all_seeds(function(draw)
         local n = draw(4)
         local barrier, counts, passed = saros.barrier(n), {}, 0
         local tasks = crowd(draw, 30, function()
            local index = wait_somehow(draw, barrier.wait, barrier)
            if index then
               counts[index] = (counts[index] or 0) + 1
               passed = passed + 1
            end
         end)
         kit.turns(3)
         finish(tasks)
         -- Who was let go and cancelled at once has an index that nobody saw: so at most so many, and none beyond n.
         for index, count in pairs(counts) do assert(index >= 1 and index <= n and count <= 30 // n) end
         assert(barrier:waiting() == 0 and passed <= 30)
      end)
   end)
end)
