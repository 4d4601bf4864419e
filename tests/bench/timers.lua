-- timers.lua [cancel]: what timers cost.
-- Without an argument: 100,000 tasks sleep for times spread over one second, in mixed order. Prints
-- the CPU milliseconds of it all and the mean milliseconds that a task woke late.
-- With "cancel": starts a timer and cancels it. Prints CPU nanoseconds per pair.

local saros <const> = require "saros"

local function sleep_many(count)
   local late = 0.0
   local function body(seconds)
      local deadline = saros.now() + seconds
      saros.sleep(seconds)
      late = late + (saros.now() - deadline)
   end
   local list = {}
   local begin = os.clock()
   for i = 1, count do
      -- 7919 has no factor in common with count: every step of the second is used once
      list[i] = saros.spawn(body, (i * 7919 % count) / count)
   end
   for i = 1, count do
      list[i]:await()
   end
   return (os.clock() - begin) * 1e3, late / count * 1e3
end

local function start_and_cancel(count)
   local call_later <const> = saros.call_later
   local function never()
      error("a cancelled timer fired")
   end
   local begin = os.clock()
   for _ = 1, count do
      call_later(60, never):cancel()
   end
   return (os.clock() - begin) * 1e9 / count
end

if (...) == "cancel" then
   start_and_cancel(100000)
   print(start_and_cancel(1000000))
else
   sleep_many(1000)
   print(sleep_many(100000))
end
