-- sync_count.lua: a port of sync_count.py, from the text "How does asyncio work?".
--
-- Run it:   saros examples/sync_count.lua     (or lua5.4 with the module)
-- Notice:   the same five counters as in `async_count.lua`, but called one after the other: fifteen
--           seconds instead of three.
--
-- The original sleeps with `time.sleep`, which stops the whole thread. Lua has no such function, and this
-- port does not need one: what makes a program synchronous is not how it sleeps but that it does one thing
-- after another. There is one task here; while it sleeps the loop is free, and nobody has given it
-- anything else to do. The line that `async_count.lua` has instead of the `for` is the whole difference.
--
--    One Two Three One Two Three One Two Three One Two Three One Two Three
--    Executing - examples/sync_count.lua
--    Execution Starts: 18875.175965998
--    Executions Ends: 18890.189930292
--    Totals Execution Time:15.01 seconds.

local saros = require "saros"

io.stdout:setvbuf("no") -- each word is seen when it is said

local function count()
   io.write("One ")
   saros.sleep(1)
   io.write("Two ")
   saros.sleep(2)
   io.write("Three ")
end

local function main()
   for _ = 1, 5 do count() end
end

saros.run(function() -- here the loop starts, and its clock with it
   local start_time = saros.now()
   main()
   local end_time = saros.now()
   local execution_time = end_time - start_time
   print(("\nExecuting - %s\nExecution Starts: %s\nExecutions Ends: %s\nTotals Execution Time:%0.2f seconds.")
      :format(arg[0], start_time, end_time, execution_time))
end)
