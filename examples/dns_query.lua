-- dns_query.lua: asks a name server, over UDP, which address a name has; the server is in the same script, and bad.
--
-- Run it:   saros examples/dns_query.lua [name]     (saros.example)
-- Notice:   a datagram may be lost, come twice, or come from somebody else, and nobody is told. So a question over UDP
--           is a loop: send, wait for so long, send again, each time more patiently; and an answer counts only if
--           it has the question's number. `connect` sees to it that it is from whom we have asked. A receive that is
--           timed out has taken nothing.
--
--    asking (waits 0.1 s)
--    asking (waits 0.2 s)
--    saros.example has the address 192.0.2.53

local saros = require "saros"

-- A question (RFC 1035, 4.1): its number, one question, the name's labels, type A, class IN.
local function question(number, name)
   local labels = name:gsub("([^.]+)%.?", function(label) return string.pack("s1", label) end)
   return string.pack(">I2I2I2I2I2I2", number, 0x0100, 1, 0, 0, 0) .. labels .. "\0" .. string.pack(">I2I2", 1, 1)
end

-- The address in an answer to that question, whose records follow it; nil where it is none.
local function address_in(answer, asked)
   if #answer < #asked + 16 or answer:sub(1, 2) ~= asked:sub(1, 2) then return nil end
   local kind, length, at = string.unpack(">xxI2xxxxxxI2", answer, #asked + 1)
   if kind ~= 1 or length ~= 4 then return nil end
   return ("%d.%d.%d.%d"):format(answer:byte(at, at + 3))
end

-- A name server that loses the first question of all, and answers the second one twice.
local function serve(socket)
   local questions = 0
   for asked, from in socket:datagrams() do
      questions = questions + 1
      local record = string.pack(">I2I2I2I4s2", 0xc00c, 1, 1, 60, "\xc0\0\2\x35")
      local answer = asked:sub(1, 2) .. "\x81\x80" .. asked:sub(5, 6) .. "\0\1\0\0\0\0" .. asked:sub(13) .. record
      for _ = 1, questions == 1 and 0 or 2 do socket:send(answer, from) end
   end
end

local function ask(server, name)
   local socket <close> = assert(saros.udp())
   assert(socket:connect(server))
   local asked = question(0xbeef, name)
   for attempt = 0, 4 do
      local patience = 0.1 * 2 ^ attempt
      print(("asking (waits %.1f s)"):format(patience))
      assert(socket:send(asked))
      local found = saros.timeout(patience, function()
         for answer in socket:datagrams() do
            local address = address_in(answer, asked)
            if address then return address end
         end
      end)
      if found then return found end
   end
   return nil, "no answer"
end

local function main(name)
   local server <close> = assert(saros.udp("127.0.0.1:0"))
   saros.spawn(serve, server)
   name = name or "saros.example"
   print(("%s has the address %s"):format(name, assert(ask(server:local_address(), name))))
end

saros.run(main, ...)
