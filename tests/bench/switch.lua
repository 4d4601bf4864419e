-- switch.lua [tasks]: what one sleep(0) costs, alone or among many tasks.
-- Prints CPU nanoseconds per switch.

local saros <const> = require "saros"

local SWITCHES <const> = 2000000
local tasks <const> = tonumber((...) or 1)

local function measure(switches)
   local sleep <const> = saros.sleep
   local function body()
      for _ = 1, switches // tasks do
         sleep(0)
      end
   end
   local list = {}
   local begin = os.clock()
   for i = 1, tasks do
      list[i] = saros.spawn(body)
   end
   for i = 1, tasks do
      list[i]:await()
   end
   return (os.clock() - begin) * 1e9 / switches
end

measure(SWITCHES // 10)
print(measure(SWITCHES))
