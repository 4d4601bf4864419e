-- threads.lua: what threads cost: a message to another thread and its answer, and a thread that is begun and awaited.
-- Prints CPU microseconds of both threads: per message there and back, with both loops asleep in between; per message
-- where 100 may be under way; per thread.

local saros <const> = require "saros"

local MESSAGES <const>, THREADS <const> = 20000, 200

local function echo(rx, tx)
   for value in rx do tx:send(value) end
end

local function per(count, fn, ...)
   local begin = os.clock()
   fn(count, ...)
   return (os.clock() - begin) * 1e6 / count
end

local function ping(count, tx, rx)
   for i = 1, count do
      tx:send(i)
      if rx:receive() ~= i then error("the thread gave back something else") end
   end
end

local function stream(count, tx, rx)
   local sender <const> = saros.spawn(function()
      for i = 1, count do tx:send(i) end
   end)
   for i = 1, count do
      if rx:receive() ~= i then error("the thread gave back something else") end
   end
   sender:await()
end

local function begin(count)
   for _ = 1, count do saros.thread(function() end):await() end
end

local tx <const>, far_rx <const> = saros.thread_channel(100)
local far_tx <const>, rx <const> = saros.thread_channel(100)
local thread <const> = saros.thread(echo, far_rx, far_tx)
ping(MESSAGES // 10, tx, rx)
print(per(MESSAGES, ping, tx, rx))
print(per(MESSAGES * 5, stream, tx, rx))
tx:close()
thread:await()
print(per(THREADS, begin))
