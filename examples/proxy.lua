-- proxy.lua: passes TCP connections on to another server.
--
-- Run it:   saros examples/proxy.lua 127.0.0.1:8081 example.org:80     (where it listens, and whom it asks)
-- Notice:   a connection has two directions, and each ends by itself: when one side has said all, `shutdown` tells the
--           other so, and the answer still comes back. `copy` makes no garbage, and an idle connection has no buffer.
--
--    passing 127.0.0.1:8081 on to example.org:80
--    127.0.0.1:51324: 76 bytes there, 1591 bytes back

local saros = require "saros"

io.stdout:setvbuf("line") -- seen at once, even when the output is a pipe

-- One direction, until its end. Where it breaks, neither side has anything to wait for any more.
local function pass(from, to)
   local count, message, code, some = saros.copy(from, to)
   if count then to:shutdown() else
      from:abort()
      to:abort()
   end
   return count or some, not count and code ~= "ECLOSED" and ", then: " .. message or ""
end

local function main(address, target)
   local server <close> = assert(saros.serve(address or "127.0.0.1:8081", function(client, peer)
      local upstream <close>, message = saros.connect(target or "127.0.0.1:8080")
      if not upstream then return print(peer .. ": " .. message) end
      local there, back = saros.gather(
         function() return {pass(client, upstream)} end,
         function() return {pass(upstream, client)} end
      )
      print(("%s: %d bytes there, %d bytes back%s"):format(peer, there[1], back[1], there[2] .. back[2]))
   end))
   print("passing " .. server:address() .. " on to " .. (target or "127.0.0.1:8080"))
   server:wait()
end

saros.run(main, ...)
