-- echo_buffer.lua: the echo server with a buffer for each connection: no garbage. As echo.lua otherwise.

local saros <const> = require "saros"

local function echo(stream)
   local buffer <const> = saros.buffer(64 * 1024)
   while stream:read_some(buffer) and stream:write(buffer) do end
end

local server <close> = assert(saros.serve("127.0.0.1:0", echo))
print("listening " .. tostring(server:address()))
io.stdout:flush()
server:wait()
