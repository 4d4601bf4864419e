-- echo_client.lua: says something to `echo_server.lua` and prints what comes back.
--
-- Run it:   saros examples/echo_client.lua [address] [message...]     (127.0.0.1:8080, Hello, Saros!)
-- Notice:   what the world does wrong comes back as `nil, message, code`, as with Lua's own io library; so
--           `assert` is all that a small program needs. Without a server this one ends with
--           a message such as "connection refused".
--
--    Send: Hello, Saros!
--    Received: Hello, Saros!
--    Close the connection

local saros = require "saros"

local function main(address, ...)
   local stream <close> = assert(saros.connect(address or "127.0.0.1:8080"))
   local messages = select("#", ...) > 0 and {...} or {"Hello, Saros!"}
   for _, message in ipairs(messages) do
      print("Send: " .. message)
      assert(stream:write(message, "\n"))
      print("Received: " .. assert(stream:read("l")))
   end
   print("Close the connection")
end

saros.run(main, ...)
