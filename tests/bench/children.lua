-- children.lua [N]: runs /bin/true N times (1,000), four at a time, and reads the standard output of each to its end, as
-- children.c does. Prints the milliseconds that this took.

local saros = require "saros"

local left = tonumber(arg[1]) or 1000

local function work()
   while left > 0 do
      left = left - 1
      local child <close> = assert(saros.process.spawn {"true", stdin = "null", stdout = "pipe"})
      assert(child.stdout:read("a") == "")
      assert(child:wait() == "exit")
   end
end

local began = saros.now()
saros.gather(work, work, work, work)
print((saros.now() - began) * 1000)
