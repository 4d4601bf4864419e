-- bare.lua switch|create|spawn|queue|memory|pcall|wrap|resume [n]: the same as our benchmarks do, in stock Lua with nothing
-- but coroutines: no loop, no timers, no errors kept. It is the floor under our figures.
-- Prints CPU nanoseconds per operation, or resident bytes per suspended coroutine.

local create <const>, resume <const>, yield <const> = coroutine.create, coroutine.resume, coroutine.yield

local bare = {}

function bare.switch(tasks)
   local switches = 2000000
   local list = {}
   for i = 1, tasks do
      list[i] = create(function()
         while true do
            yield()
         end
      end)
   end
   return function()
      for _ = 1, switches // tasks do
         for i = 1, tasks do
            resume(list[i])
         end
      end
      return switches
   end
end

function bare.create()
   local coroutines = 1000000
   local function body(value)
      return value
   end
   return function()
      for i = 1, coroutines do
         resume(create(body), i)
      end
      return coroutines
   end
end

function bare.spawn()
   local tasks, repeats = 1000, 500
   local list = {}
   local function body(value)
      return value
   end
   return function()
      for _ = 1, repeats do
         for i = 1, tasks do
            list[i] = create(body)
         end
         for i = 1, tasks do
            local _, value = resume(list[i], i)
            if value ~= i then
               error("a coroutine gave back something else")
            end
         end
      end
      return tasks * repeats
   end
end

function bare.queue(size)
   local values = 2000000
   local items, first, last = {}, 1, 0
   local producer = create(function()
      local i = 0
      while true do
         i = i + 1
         while last - first + 1 >= size do
            yield()
         end
         last = last + 1
         items[last] = i
      end
   end)
   local taken = 0
   local consumer = create(function()
      while true do
         while last < first do
            yield()
         end
         taken = taken + 1
         if items[first] ~= taken then
            error("the queue gave back something else")
         end
         items[first] = nil
         first = first + 1
      end
   end)
   return function()
      local before = taken
      while taken - before < values do
         resume(producer)
         resume(consumer)
      end
      return taken - before
   end
end

-- The last three are measured by the very same program on both sides.
local calls <const> = dofile((arg[0]:match("^(.*)/[^/]*$") or ".") .. "/calls.lua")
for what, make in pairs(calls) do
   bare[what] = make
end

local resident <const> = dofile((arg[0]:match("^(.*)/[^/]*$") or ".") .. "/resident.lua")

local function memory()
   local tasks = 100000
   local list = {}
   for i = 1, tasks do
      list[i] = false
   end
   local before = resident()
   local function body()
      yield()
   end
   for i = 1, tasks do
      list[i] = create(body)
      resume(list[i])
   end
   return (resident() - before) / tasks
end

local name, n = ...
if name == "memory" then
   print(memory())
else
   local run = bare[name](tonumber(n or 1))
   run() -- the first round fills the caches
   local begin = os.clock()
   local operations = run()
   print((os.clock() - begin) * 1e9 / operations)
end
