-- async_event_loop.lua: a port of async_event_loop.py, from the text "How does asyncio work?".
--
-- Run it:   saros examples/async_event_loop.lua     (or lua5.4 with the module)
--           saros examples/async_event_loop.lua 0.1       a second takes a tenth of one
-- Notice:   each thread has an event loop of its own. A thread of Saros is a new Lua state, so the function that runs
--           there sees nothing of this one: it is handed what it needs, and requires the rest. (It has a loop from the
--           start; that it makes another one and runs that is the original's way.)
--
--    Is event loop running in thread main = true
--    Is event loop running in thread thread-1 = true
--    Is event loop running in thread thread-2 = true
--    Event Loop Start Time: 1200.0134
--    Event Loop End Time: 1204.0145
--    Event Loop Execution Time: 4.00 seconds.

local saros = require "saros"

-- ANSI colors
local colors = {
   [0] = "\27[0m", -- End of color
   "\27[31m",      -- Red
   "\27[32m",      -- Green
   "\27[34m",      -- Blue
}

local function launch_event_loops(colors, second, thread) -- luacheck: ignore 431
   local saros = require "saros" -- luacheck: ignore 431

   local function do_something_important(sleep_for)
      -- In one piece, because all threads have one standard output, and print writes a line and its end apart.
      io.write(colors[1] .. ("Is event loop running in thread %s = %s")
         :format(thread, saros.current_loop():is_running()) .. colors[0] .. "\n")
      saros.sleep(sleep_for)
   end

   -- get a new event loop
   local loop = saros.loop{}

   -- run a function on the event loop
   loop:run_until_complete(do_something_important, math.random(1, 5) * second)

   -- remember to close the loop
   loop:close()
end

saros.run(function()
   local second = tonumber(arg and arg[1]) or 1
   local start_time = saros.now()
   local thread_1 = saros.thread(launch_event_loops, colors, second, "thread-1")
   local thread_2 = saros.thread(launch_event_loops, colors, second, "thread-2")

   io.write(colors[2] .. ("Is event loop running in thread %s = %s")
      :format("main", saros.current_loop():is_running()) .. colors[0] .. "\n")

   thread_1:await()
   thread_2:await()
   local end_time = saros.now()
   local execution_time = end_time - start_time
   print(colors[3] .. ("Event Loop Start Time: %s\nEvent Loop End Time: %s\nEvent Loop Execution Time: %0.2f seconds.")
      :format(start_time, end_time, execution_time) .. colors[0])
end)
