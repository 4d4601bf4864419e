-- drivers.lua: names the drivers that can carry the echo benchmark here, the default one first.
-- sim and none are left out: neither has a socket that another process could reach.

local saros <const> = require "saros"

local default <const> = saros.current_loop():driver()
print(default)
for _, driver in ipairs(saros.drivers()) do
   local name = driver.name
   if driver.opens and name ~= default and name ~= "sim" and name ~= "none" then
      print(name)
   end
end
