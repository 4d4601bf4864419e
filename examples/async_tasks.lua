-- async_tasks.lua: a port of async_tasks.py, from the text "How does asyncio work?".
--
-- Run it:   saros examples/async_tasks.lua     (or lua5.4 with the module)
-- Notice:   the program of `async_futures.lua` with its machinery in the open: a loop of our own, and the
--           tasks made by hand. `spawn` only puts a task into the queue; it runs when `main` first waits.
--           (Where a loop runs already, as under the host, it stands still while this one runs.)
--
--    bar will sleep for 3 seconds
--    foo will await the future
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

   local loop = saros.current_loop()
   local t1 = loop:spawn(bar, future)
   local t2 = loop:spawn(foo, future)

   -- The original says `await t2, t1`, which Python reads as `(await t2), t1`: only t2 is awaited.
   t2:await()
   t1:await()
end

local loop <close> = saros.loop{}
local start_time = loop:now()
loop:run(main) -- run_until_complete
local end_time = loop:now()
local execution_time = end_time - start_time
print(colors[3] .. ("Future Start Time: %s\nFuture End Time: %s\nFuture Execution Time: %0.2f seconds.")
   :format(start_time, end_time, execution_time) .. colors[0])
