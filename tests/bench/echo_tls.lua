-- echo_tls.lua: echo.lua with TLS: the certificate and its key are the arguments.

local saros <const> = require "saros"

local function echo(stream)
   local data = stream:read_some()
   while data and stream:write(data) do
      data = stream:read_some()
   end
end

local server <close> = assert(saros.serve("127.0.0.1:0", echo, {tls = {cert = arg[1], key = arg[2]}}))
print("listening " .. tostring(server:address()))
io.stdout:flush()
server:wait()
