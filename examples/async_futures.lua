-- async_futures.lua: a port of async_futures.py, from the text "How does asyncio work?".
--
-- Run it:   saros examples/async_futures.lua     (or lua5.4 with the module)
-- Notice:   a future is a box for a result that is not there yet. `foo` waits for it, `bar` fills it three
--           seconds later, and neither knows of the other.
--
--    foo will await the future
--    bar will sleep for 3 seconds
--    bar resolving the future
--    foo finds the future resolved
--    Future Start Time: 1200.0134
--    Future End Time: 1203.0145
--    Future Execution Time: 3.00 seconds.

local saros = require "saros"

-- ANSI colors
local colors = {
   [0] = "\27[0m", -- End of color
   "\27[31m",      -- Red
   "\27[32m",      -- Green
   "\27[34m",      -- Blue
}

local function bar(future)
   print(colors[1] .. "bar will sleep for 3 seconds" .. colors[0])
   saros.sleep(3)
   print(colors[1] .. "bar resolving the future" .. colors[0])
   future:done() -- only a question, as in the original; here the answer is still false
   future:set_result("future is resolved")
end

local function foo(future)
   print(colors[2] .. "foo will await the future" .. colors[0])
   future:await()
   print(colors[2] .. "foo finds the future resolved" .. colors[0])
end

local function main()
   local future = saros.future()
   saros.gather(function() foo(future) end, function() bar(future) end)
end

saros.run(function() -- here the loop starts, and its clock with it
   local start_time = saros.now()
   main()
   local end_time = saros.now()
   local execution_time = end_time - start_time
   print(colors[3] .. ("Future Start Time: %s\nFuture End Time: %s\nFuture Execution Time: %0.2f seconds.")
      :format(start_time, end_time, execution_time) .. colors[0])
end)
