-- minimal.lua: two things that happen side by side in a game; minimal.c starts them and ends them with the level.
local saros = require "saros"

function boss()
   local _ <close> = setmetatable({}, {
      __close = function()
         saros.shield(saros.sleep, 0.01) -- who leaves may still await, out of reach of what ended it
         print("boss: turns to stone")
      end,
   })
   while true do
      saros.sleep(0.1)
      print("boss: strikes")
   end
end

function weather()
   for _, now in ipairs {"rain", "thunder", "sun"} do
      saros.timeout(0.15, saros.sleep, math.huge)
      print("weather: " .. now)
   end
end
