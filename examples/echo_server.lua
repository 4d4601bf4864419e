-- echo_server.lua: a TCP server that sends back what it is sent.
--
-- Run it:   saros examples/echo_server.lua [address]     (127.0.0.1:8080; port 0 takes any free port)
--           and beside it `saros examples/echo_client.lua`, as often as you like. Ctrl-C ends it.
-- Notice:   one task for each connection, written as if it were alone in the world. The stream closes when
--           its function ends. A slow reader slows only its own task: `write` waits until there is room.
--
--    listening on 127.0.0.1:8080
--    127.0.0.1:51324 came
--    127.0.0.1:51324 left

local saros = require "saros"

io.stdout:setvbuf("line") -- seen at once, even when the output is a pipe

local function echo(stream, peer)
   print(peer .. " came")
   local data = stream:read_some()
   while data and stream:write(data) do
      data = stream:read_some()
   end
   print(peer .. " left")
end

local function main(address)
   local server <close> = assert(saros.serve(address or "127.0.0.1:8080", echo))
   print("listening on " .. server:address())
   server:wait()
end

saros.run(main, ...)
