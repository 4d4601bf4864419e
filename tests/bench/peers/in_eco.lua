-- in_eco.lua PART [n]: what our benchmarks do, with lua-eco.
-- PART is switch, spawn, queue, timers, cancel, memory or echo; what each one prints is said in the script of that name.

local eco <const> = require "eco"
local time <const> = require "eco.time"

local parts = {}

function parts.switch(tasks)
   local switches = 500000
   local all <const> = require("eco.sync").waitgroup()
   local begin = os.clock()
   all:add(tasks)
   for _ = 1, tasks do
      eco.run(function()
         for _ = 1, switches // tasks do time.sleep(0) end
         all:done()
      end)
   end
   all:wait()
   print((os.clock() - begin) * 1e9 / switches)
end

function parts.spawn()
   local tasks, repeats = 1000, 200
   local all <const> = require("eco.sync").waitgroup()
   local begin = os.clock()
   for _ = 1, repeats do
      local results = {}
      all:add(tasks)
      for i = 1, tasks do
         eco.run(function(value)
            results[i] = value
            all:done()
         end, i)
      end
      all:wait()
      assert(results[tasks] == tasks, "a coroutine gave back something else")
   end
   print((os.clock() - begin) * 1e9 / (tasks * repeats))
end

function parts.queue(size)
   local values = 50000
   local between <const> = require("eco.channel").new(size)
   local begin = os.clock()
   eco.run(function()
      for i = 1, values do between:send(i) end
   end)
   for i = 1, values do
      assert(between:recv() == i, "the channel gave back something else")
   end
   print((os.clock() - begin) * 1e9 / values)
end

function parts.timers()
   local count, late = 100000, 0.0
   local all <const> = require("eco.sync").waitgroup()
   local begin = os.clock()
   all:add(count)
   for i = 1, count do
      eco.run(function(seconds)
         local deadline = time.now() + seconds
         time.sleep(seconds)
         late = late + (time.now() - deadline)
         all:done()
      end, (i * 7919 % count) / count)
   end
   all:wait()
   print((os.clock() - begin) * 1e3, late / count * 1e3)
end

function parts.cancel()
   local count = 50000
   local function never() error("a cancelled timer fired") end
   local begin = os.clock()
   for _ = 1, count do time.at(60, never):close() end
   print((os.clock() - begin) * 1e9 / count)
end

local resident <const> = dofile((arg[0]:match("^(.*)/[^/]*$") or ".") .. "/../resident.lua")

function parts.memory()
   local tasks, asleep = 100000, 0
   local before = resident()
   for _ = 1, tasks do
      eco.run(function()
         asleep = asleep + 1
         time.sleep(3600)
      end)
   end
   while asleep < tasks do time.sleep(0) end
   print((resident() - before) / tasks)
   os.exit(0)
end

function parts.echo()
   local socket <const> = require "eco.socket"
   local server = assert(socket.listen_tcp("127.0.0.1", 0, {reuseaddr = true}))
   local address = assert(server:getsockname())
   print(("listening %s:%d"):format(address.ipaddr, address.port))
   io.stdout:flush()
   while true do
      local conn = assert(server:accept())
      eco.run(function()
         local data = conn:recv(65536)
         while data and conn:send(data) do data = conn:recv(65536) end
         conn:close()
      end)
   end
end

local part <const>, n <const> = arg[1], tonumber(arg[2])
eco.run(function() parts[part](n) os.exit(0) end)
