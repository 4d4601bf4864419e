-- async_count.lua: a port of async_count.py, from the text "How does asyncio work?".
--
-- Run it:   saros examples/async_count.lua     (or lua5.4 with the module)
-- Notice:   five counters, each of which takes three seconds, take three seconds together: while one
--           sleeps, the others run. `sync_count.lua` differs in one line and takes fifteen.
--
--    One One One One One Two Two Two Two Two Three Three Three Three Three
--    Executing - examples/async_count.lua
--    Execution Starts: 18453.442160108
--    Executions Ends: 18456.444719712
--    Totals Execution Time:3.00 seconds.

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
   saros.gather(count, count, count, count, count)
end

saros.run(function() -- here the loop starts, and its clock with it
   local start_time = saros.now()
   main()
   local end_time = saros.now()
   local execution_time = end_time - start_time
   print(("\nExecuting - %s\nExecution Starts: %s\nExecutions Ends: %s\nTotals Execution Time:%0.2f seconds.")
      :format(arg[0], start_time, end_time, execution_time))
end)
