-- spawn.lua: what a task costs that is spawned, runs and is awaited.
-- A thousand are spawned and then all awaited, again and again. Prints CPU nanoseconds per task.

local saros <const> = require "saros"

local TASKS <const>, REPEATS <const> = 1000, 1000

local function body(value)
   return value
end

local function measure(repeats)
   local spawn <const> = saros.spawn
   local list = {}
   local begin = os.clock()
   for _ = 1, repeats do
      for i = 1, TASKS do
         list[i] = spawn(body, i)
      end
      for i = 1, TASKS do
         if list[i]:await() ~= i then
            error("a task gave back something else")
         end
      end
   end
   return (os.clock() - begin) * 1e9 / (repeats * TASKS)
end

measure(REPEATS // 10)
print(measure(REPEATS))
