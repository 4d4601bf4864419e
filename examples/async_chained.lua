-- async_chained.lua: a port of async_chained.py, from the text "How does asyncio work?".
--
-- Run it:   saros examples/async_chained.lua [n...]     such as   saros examples/async_chained.lua 11 8
-- Notice:   inside a chain function2 starts when function1's result is there; between the chains there is
--           no order. The program takes as long as its longest chain. To await a function is to call it.
--
--    function1(11) is sleeping for 4 seconds.
--    function1(8) is sleeping for 9 seconds.
--    Returning function1(11) == result11-1.
--    function2(11, 'result11-1') is sleeping for 4 seconds.
--    …
--    --> Chained result11 => result11-2 derived from result11-1 (took 8.00 seconds).
--    …
--    --> Chained result8 => result8-2 derived from result8-1 (took 19.00 seconds).
--    Program Start Time: 1200.0134
--    Program End Time: 1219.0187
--    Program Execution Time: 19.01 seconds.

local saros = require "saros"

-- ANSI colors
local colors = {
   [0] = "\27[0m", -- End of color
   "\27[31m",      -- Red
   "\27[32m",      -- Green
   "\27[36m",      -- Cyan
   "\27[34m",      -- Blue
}

local function function1(n)
   local i = math.random(0, 10)
   print(colors[1] .. ("function1(%d) is sleeping for %d seconds."):format(n, i) .. colors[0])
   saros.sleep(i)
   local result = ("result%d-1"):format(n)
   print(colors[1] .. ("Returning function1(%d) == %s."):format(n, result) .. colors[0])
   return result
end

local function function2(n, arg)
   local i = math.random(0, 10)
   print(colors[2] .. ("function2(%d, '%s') is sleeping for %d seconds."):format(n, arg, i) .. colors[0])
   saros.sleep(i)
   local result = ("result%d-2 derived from %s"):format(n, arg)
   print(colors[2] .. ("Returning function2(%d, '%s') == %s."):format(n, arg, result) .. colors[0])
   return result
end

local function chain(n)
   local start = saros.now()
   local p1 = function1(n)
   local p2 = function2(n, p1)
   local took = saros.now() - start
   print(colors[3] .. ("--> Chained result%d => %s (took %0.2f seconds)."):format(n, p2, took) .. colors[0])
end

local function main(...)
   local chains = {}
   for i, n in ipairs{...} do chains[i] = saros.spawn(chain, n) end
   saros.gather(table.unpack(chains))
end

math.randomseed(444)
local args = {1, 2, 3}
if select("#", ...) > 0 then
   args = {}
   for i, word in ipairs{...} do
      args[i] = math.tointeger(tonumber(word)) or error("not an integer: " .. word, 0)
   end
end
saros.run(function() -- here the loop starts, and its clock with it
   local start_time = saros.now()
   main(table.unpack(args))
   local end_time = saros.now()
   local execution_time = end_time - start_time
   print(colors[4] .. ("Program Start Time: %s\nProgram End Time: %s\nProgram Execution Time: %0.2f seconds.")
      :format(start_time, end_time, execution_time) .. colors[0])
end)
