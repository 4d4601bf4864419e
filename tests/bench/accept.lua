-- accept.lua: 1,000 clients that connect at once to one server: how long the slowest of them waits for its answer, in units
-- of the median's wait. The clients are in another process, and all begin before the first is answered.

local saros <const> = require "saros"

local COUNT <const> = 1000

-- The other process: prints the ratio.
if arg[1] == "clients" then
   local waits = {}
   local function client()
      local began <const> = saros.now()
      local stream <close> = assert(saros.connect(arg[2]))
      assert(stream:read() == "hello")
      waits[#waits + 1] = saros.now() - began
   end
   local tasks = {}
   for i = 1, COUNT do tasks[i] = saros.spawn(client) end
   saros.gather(tasks)
   table.sort(waits)
   print(waits[#waits] / waits[#waits // 2])
   return
end

local lowest = 0
while arg[lowest - 1] do lowest = lowest - 1 end

local server <close> = assert(saros.serve("127.0.0.1:0", function(stream) stream:write("hello\n") end))
local clients <close> = assert(saros.process.spawn({arg[lowest], arg[0], "clients", server:address(), stdout = "pipe"}))
print(clients.stdout:read())
clients:wait()
