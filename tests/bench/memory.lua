-- memory.lua: resident bytes per sleeping task, at 100,000 tasks. Linux only (/proc).

local saros <const> = require "saros"

local TASKS <const> = 100000

local resident <const> = dofile((arg[0]:match("^(.*)/[^/]*$") or ".") .. "/resident.lua")

local asleep = 0
local function body()
   asleep = asleep + 1
   saros.sleep(3600)
end

local before = resident()
for _ = 1, TASKS do
   saros.spawn(body)
end
while asleep < TASKS do
   saros.sleep(0)
end
print((resident() - before) / TASKS)
for _, task in ipairs(saros.all_tasks()) do
   if task ~= saros.current_task() then
      task:cancel("measured")
   end
end
saros.sleep(0)
