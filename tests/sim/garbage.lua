-- garbage.lua: a run whose trace depends on when garbage is collected, and in which order.
--
-- usage: saros --driver sim [--seed N] tests/sim/garbage.lua
--
-- Streams and tasks are dropped instead of closed, so the collector closes them, in its own time; and finalizers of the
-- script's own run among them.
local saros = require "saros"

local listener <close> = assert(saros.listen("127.0.0.1:0"))
local finalized = 0

local function visit(n)
   local client = assert(saros.connect(listener:address()))
   client:write("visit ", n, "\n")
   local server = assert(listener:accept())
   local keep = {server:read(), name = "visit " .. n, [client] = n}
   return setmetatable(keep, {__gc = function(self)
      finalized = finalized + 1
      print(self.name, "is gone", saros.now())
   end})
end

local kept = setmetatable({}, {__mode = "v"})
for n = 1, 200 do
   saros.spawn(function() kept[n] = visit(n) end)
   if n % 10 == 0 then saros.sleep(math.random() / 1000) end
end
saros.sleep(1)
local left = 0
for n = 1, 200 do left = left + (kept[n] and 1 or 0) end
print(finalized, "gone", left, "left", collectgarbage("count"))
