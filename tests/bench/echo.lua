-- echo.lua: the TCP echo server that the benchmark loads, written the documented way.
-- It prints "listening HOST:PORT" and serves until a signal ends it.

local saros <const> = require "saros"

local function echo(stream)
   local data = stream:read_some()
   while data and stream:write(data) do
      data = stream:read_some()
   end
end

local server <close> = assert(saros.serve("127.0.0.1:0", echo))
print("listening " .. tostring(server:address()))
io.stdout:flush()
server:wait()
