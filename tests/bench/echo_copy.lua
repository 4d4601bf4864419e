-- echo_copy.lua: the echo server as a proxy would be: saros.copy passes on what comes. As echo.lua otherwise.

local saros <const> = require "saros"

local server <close> = assert(saros.serve("127.0.0.1:0", function(stream) saros.copy(stream, stream) end))
print("listening " .. tostring(server:address()))
io.stdout:flush()
server:wait()
