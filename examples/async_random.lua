-- async_random.lua: a port of async_random.py, from the text "How does asyncio work?".
--
-- Run it:   saros examples/async_random.lua     (or lua5.4 with the module)
-- Notice:   three tasks draw random numbers until each has one above its threshold; none waits for
--           another. `gather` gives the results in the order of its arguments, whoever was first.
--
--    Initiated generate_random_int(0).
--    generate_random_int(0) == 4 too low; retrying.
--    Initiated generate_random_int(1).
--    ---> Finished: generate_random_int(1) == 9
--    …
--
--    Random INT 1: 10, Random INT 2: 9, Random INT 3: 8
--
--    Program Start Time: 1200.0134
--    Program End Time: 1203.0022
--    Program Execution Time: 3.00 seconds.

local saros = require "saros"

-- ANSI colors
local colors = {
   [0] = "\27[0m", -- End of color
   "\27[31m",      -- Red
   "\27[32m",      -- Green
   "\27[36m",      -- Cyan
   "\27[35m",      -- Magenta
   "\27[34m",      -- Blue
}

local function generate_random_int(indx, threshold)
   print(colors[indx + 1] .. ("Initiated generate_random_int(%d)."):format(indx))
   local i = math.random(0, 10)
   while i <= threshold do
      print(colors[indx + 1] .. ("generate_random_int(%d) == %d too low; retrying."):format(indx, i))
      saros.sleep(indx + 1)
      i = math.random(0, 10)
   end
   print(colors[indx + 1] .. ("---> Finished: generate_random_int(%d) == %d"):format(indx, i) .. colors[0])
   return i
end

local function main()
   local tasks = {}
   for i = 0, 2 do tasks[i + 1] = saros.spawn(generate_random_int, i, 10 - i - 1) end
   return saros.gather(table.unpack(tasks))
end

math.randomseed(444)
saros.run(function() -- here the loop starts, and its clock with it
   local start_time = saros.now()
   local r1, r2, r3 = main()
   print(colors[4] .. ("\nRandom INT 1: %d, Random INT 2: %d, Random INT 3: %d\n")
      :format(r1, r2, r3) .. colors[0])
   local end_time = saros.now()
   local execution_time = end_time - start_time
   print(colors[5] .. ("Program Start Time: %s\nProgram End Time: %s\nProgram Execution Time: %0.2f seconds.")
      :format(start_time, end_time, execution_time) .. colors[0])
end)
