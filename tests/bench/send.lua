-- send.lua [MiB]: sends a file of so many MiB (256), which is in the system's memory, on a connection to another process, by
-- stream:sendfile. Prints milliseconds of CPU, of all threads.

local saros = require "saros"

-- The other process: reads until the end.
if arg[1] == "sink" then
   local stream <close> = assert(saros.connect(arg[2]))
   local buffer = saros.buffer(256 * 1024)
   repeat until not stream:read_some(buffer)
   return
end

local megabytes = tonumber(arg[1]) or 256
local name = dofile((arg[0]:gsub("[^/]*$", "large_file.lua")))(megabytes)

local listener <close> = assert(saros.listen("127.0.0.1:0"))
local host = -1
while arg[host - 1] do host = host - 1 end
local sink = assert(saros.process.spawn{arg[host], arg[0], "sink", listener:address()})
local stream = assert(listener:accept())
local cpu = os.clock()
local bytes = assert(stream:sendfile(name))
print((os.clock() - cpu) * 1000)
stream:close()
sink:wait()
os.remove(name)
assert(bytes == megabytes * 1024 * 1024)
