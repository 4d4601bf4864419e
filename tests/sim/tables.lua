-- tables.lua: a run whose trace depends on the order in which pairs() goes through tables.
--
-- usage: saros --driver sim [--seed N] tests/sim/tables.lua
--
-- Names as keys: their order hangs on the seed of Lua's own hashes. Objects as keys: on the addresses that the system
-- gives. Both are the same in each process only where the host fixes them; the trace's first line says what is not.
local saros = require "saros"

local tasks, names = {}, {}
for i = 1, 40 do names["name " .. i] = i end
for name, i in pairs(names) do
   local task = saros.spawn(function()
      saros.sleep(math.random() * i)
      print(name, saros.now())
   end)
   tasks[task] = name
end
saros.sleep(1)
for task, name in pairs(tasks) do
   if task:cancel() then print("cancelled", name) end
end
saros.sleep(0) -- for those who were cancelled
