-- hello.lua: two tasks side by side, the shortest tour of Saros.
--
-- Run it:   saros examples/hello.lua     (or lua5.4 with the module)
-- Notice:   there is no `async` and no `await`. A function that calls `saros.sleep` is an ordinary Lua
--           function; while it sleeps, the other task runs. The whole takes 0.6 seconds, not 1.1.
--
--    Sun rises 1
--    Moon rises 1
--    Sun rises 2
--    Moon rises 2
--    Sun rises 3

local saros = require "saros"

local function rise(name, times, seconds)
   for i = 1, times do
      print(name .. " rises " .. i)
      saros.sleep(seconds)
   end
end

saros.run(function()
   local sun = saros.spawn(rise, "Sun", 3, 0.2)
   local moon = saros.spawn(rise, "Moon", 2, 0.25)
   saros.gather(sun, moon)
end)
