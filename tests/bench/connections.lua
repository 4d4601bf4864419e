-- connections.lua: resident bytes per idle TCP connection, each with a task that waits in read, at 5,000 of them; accepted
-- by hand, and by serve. The other ends are in another process. Linux only (/proc).

local saros <const> = require "saros"

local COUNT <const> = 5000

local resident <const> = dofile((arg[0]:match("^(.*)/[^/]*$") or ".") .. "/resident.lua")

-- The other process: connects, and holds the connections until its standard input ends or the first of them does.
if arg[1] == "hold" then
   local streams = {}
   for i = 1, COUNT do streams[i] = assert(saros.connect(arg[2])) end
   streams[1]:read()
   return
end

local waiting = 0

local function handler(stream)
   waiting = waiting + 1
   stream:read()
end

local function others(address)
   local lowest = 0
   while arg[lowest - 1] do lowest = lowest - 1 end
   return io.popen(("%s %s hold %s"):format(arg[lowest], arg[0], address), "r")
end

local function await_all()
   while waiting < COUNT do saros.sleep(0.01) end
   saros.sleep(0.01)
end

local function by_hand()
   local listener <close> = assert(saros.listen("127.0.0.1:0"))
   local before = resident()
   local _ <close> = others(listener:address())
   local streams = {}
   for i = 1, COUNT do
      local stream = assert(listener:accept())
      streams[i] = stream
      saros.spawn(handler, stream)
   end
   await_all()
   print((resident() - before) / COUNT)
   for _, stream in ipairs(streams) do stream:close() end
end

local function by_serve()
   local server <close> = assert(saros.serve("127.0.0.1:0", handler))
   local before = resident()
   local _ <close> = others(server:address())
   await_all()
   print((resident() - before) / COUNT)
   server:shutdown(0)
end

if arg[1] == "serve" then by_serve() else by_hand() end
