-- queue.lua [size]: what it costs to hand one value from a task to another through a queue.
-- Prints CPU nanoseconds per value.

local saros <const> = require "saros"

local VALUES <const> = 500000
local size <const> = tonumber((...) or 1)

local function measure(values)
   local queue = saros.queue(size)
   local begin = os.clock()
   local producer = saros.spawn(function()
      for i = 1, values do
         queue:put(i)
      end
   end)
   for i = 1, values do
      if queue:get() ~= i then
         error("the queue gave back something else")
      end
   end
   producer:await()
   return (os.clock() - begin) * 1e9 / values
end

measure(VALUES // 10)
print(measure(VALUES))
