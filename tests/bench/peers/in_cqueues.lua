-- in_cqueues.lua PART [n]: what our benchmarks do, with cqueues in a stock Lua.
-- PART is switch, spawn, queue, timers, memory or echo; what each one prints is said in the script of that name.
-- cqueues has no queues and nothing to await a coroutine with: both are made of its condition variables, as its
-- documentation does it.

local cqueues <const> = require "cqueues"
local condition <const> = require "cqueues.condition"

local parts = {}
local loop <const> = cqueues.new()

function parts.switch(tasks)
   local switches, left = 500000, tasks
   local sleep <const>, done <const> = cqueues.sleep, condition.new()
   local begin = os.clock()
   for _ = 1, tasks do
      loop:wrap(function()
         for _ = 1, switches // tasks do sleep(0) end
         left = left - 1
         if left == 0 then done:signal() end
      end)
   end
   while left > 0 do done:wait() end
   print((os.clock() - begin) * 1e9 / switches)
end

function parts.spawn()
   local tasks, repeats = 1000, 200
   local done <const> = condition.new()
   local left
   local begin = os.clock()
   for _ = 1, repeats do
      local results = {}
      left = tasks
      for i = 1, tasks do
         loop:wrap(function(value)
            results[i] = value
            left = left - 1
            if left == 0 then done:signal() end
         end, i)
      end
      while left > 0 do done:wait() end
      assert(results[tasks] == tasks, "a coroutine gave back something else")
   end
   print((os.clock() - begin) * 1e9 / (tasks * repeats))
end

function parts.queue(size)
   local values = 200000
   local items, first, last = {}, 1, 0
   local some <const>, room <const> = condition.new(), condition.new()
   local begin = os.clock()
   loop:wrap(function()
      for i = 1, values do
         while last - first + 1 >= size do room:wait() end
         last = last + 1
         items[last] = i
         some:signal(1)
      end
   end)
   for i = 1, values do
      while last < first do some:wait() end
      assert(items[first] == i, "the queue gave back something else")
      items[first] = nil
      first = first + 1
      room:signal(1)
   end
   print((os.clock() - begin) * 1e9 / values)
end

function parts.timers()
   local count, late, left = 100000, 0.0, 100000
   local done <const> = condition.new()
   local begin = os.clock()
   for i = 1, count do
      loop:wrap(function(seconds)
         local deadline = cqueues.monotime() + seconds
         cqueues.sleep(seconds)
         late = late + (cqueues.monotime() - deadline)
         left = left - 1
         if left == 0 then done:signal() end
      end, (i * 7919 % count) / count)
   end
   while left > 0 do done:wait() end
   print((os.clock() - begin) * 1e3, late / count * 1e3)
end

local resident <const> = dofile((arg[0]:match("^(.*)/[^/]*$") or ".") .. "/../resident.lua")

function parts.memory()
   local tasks, asleep = 100000, 0
   local before = resident()
   for _ = 1, tasks do
      loop:wrap(function()
         asleep = asleep + 1
         cqueues.sleep(3600)
      end)
   end
   while asleep < tasks do cqueues.sleep(0) end
   print((resident() - before) / tasks)
   os.exit(0)
end

function parts.echo()
   local socket <const> = require "cqueues.socket"
   local server = assert(socket.listen("127.0.0.1", 0))
   assert(server:listen())
   local _, host, port = server:localname()
   print(("listening %s:%d"):format(host, port))
   io.stdout:flush()
   for conn in server:clients() do
      conn:setmode("bn", "bn")
      loop:wrap(function()
         local data = conn:read(-65536)
         while data and conn:write(data) do data = conn:read(-65536) end
         conn:close()
      end)
   end
end

local part <const>, n <const> = arg[1], tonumber(arg[2])
loop:wrap(function() parts[part](n) end)
assert(loop:loop())
