-- connections.lua: resident bytes per idle TCP connection, each with a task that waits in read, at 5,000 of them; accepted
-- by hand, by serve, or by serve with TLS (its arguments: serve, a certificate, its key; then there are 1,000). What the
-- first connection needs of the program's own code is not counted. The other ends are in another process. Linux only (/proc).

local saros <const> = require "saros"

local COUNT <const> = arg[2] and 1000 or 5000

local resident <const> = dofile((arg[0]:match("^(.*)/[^/]*$") or ".") .. "/resident.lua")

-- The other process: connects, and holds the connections until its standard input ends or the first of them does.
if arg[1] == "hold" then
   local streams = {}
   local options = arg[4] and {tls = {insecure = true}} or nil
   for i = 1, tonumber(arg[3]) do streams[i] = assert(saros.connect(arg[2], options)) end
   streams[1]:read()
   return
end

local waiting = 0

local function handler(stream)
   local _ <close> = stream
   waiting = waiting + 1
   stream:read()
end

local function others(address, count)
   local lowest = 0
   while arg[lowest - 1] do lowest = lowest - 1 end
   return io.popen(("%s %s hold %s %d %s"):format(arg[lowest], arg[0], address, count, arg[2] and "tls" or ""), "r")
end

local function await(count)
   while waiting < count do saros.sleep(0.01) end
   saros.sleep(0.01)
end

-- Then all who wait are cancelled, and close their streams.
local function measure(address)
   local _first <close> = others(address, 1)
   await(1)
   local before = resident()
   local _others <close> = others(address, COUNT)
   await(1 + COUNT)
   print((resident() - before) / COUNT)
   for _, task in ipairs(saros.all_tasks()) do
      if task ~= saros.current_task() then task:cancel("measured") end
   end
   saros.sleep(0.01)
end

local function by_hand()
   local listener <close> = assert(saros.listen("127.0.0.1:0"))
   saros.spawn(function()
      while true do saros.spawn(handler, assert(listener:accept())) end
   end)
   measure(listener:address())
end

local function by_serve()
   local tls = arg[2] and {cert = arg[2], key = arg[3]} or nil
   local server <close> = assert(saros.serve("127.0.0.1:0", handler, {tls = tls}))
   measure(server:address())
end

if arg[1] == "serve" then by_serve() else by_hand() end
