-- calls.lua pcall|wrap|resume: what Lua's own functions cost where Saros has put its own in their places, inside a task.
-- Prints CPU nanoseconds per call, or per value of a generator. bare.lua measures the same in stock Lua, and takes what
-- is measured from here.

local CALLS <const> = 3000000

local calls = {}

function calls.pcall()
   local pcall <const> = pcall
   local function body(value)
      return value
   end
   return function()
      for i = 1, CALLS do
         pcall(body, i)
      end
      return CALLS
   end
end

local function generator()
   local yield <const> = coroutine.yield
   return function()
      local i = 0
      while true do
         i = i + 1
         yield(i)
      end
   end
end

function calls.wrap()
   local next_value <const> = coroutine.wrap(generator())
   return function()
      for _ = 1, CALLS do
         next_value()
      end
      return CALLS
   end
end

function calls.resume()
   local resume <const>, co <const> = coroutine.resume, coroutine.create(generator())
   return function()
      for _ = 1, CALLS do
         resume(co)
      end
      return CALLS
   end
end

if arg[0]:match("calls%.lua$") then
   local run = calls[...]()
   run()
   local begin = os.clock()
   local count = run()
   print((os.clock() - begin) * 1e9 / count)
end

return calls
