-- chat_server.lua: whoever connects talks to all the others, line by line.
--
-- Run it:   saros examples/chat_server.lua [address]     (127.0.0.1:8080)
--           and beside it `nc 127.0.0.1 8080`, several times. Ctrl-C ends it.
-- Notice:   nobody waits for somebody who does not read: `try_write` takes a message whole or not at all, and who
--           lets 64 KiB pile up is shown the door. A task for each guest, and no lock: only an await lets others run.
--
--    listening on 127.0.0.1:8080
--    ann came
--    bob came
--    bob left

local saros = require "saros"

io.stdout:setvbuf("line") -- seen at once, even when the output is a pipe

local guests = {} -- name by stream

local function tell(text, but)
   for stream in pairs(guests) do
      if stream ~= but and not stream:try_write(text, "\n") then stream:abort() end -- its own task sees the end
   end
end

local function talk(stream)
   stream:write("who are you?\n")
   local name = stream:read()
   if not name or name == "" then return end
   guests[stream] = name
   local _ <close> = setmetatable({}, {__close = function()
      guests[stream] = nil
      print(name .. " left")
      tell(name .. " left")
   end})
   print(name .. " came")
   tell(name .. " came", stream)
   for line in function() return (stream:read()) end do tell(name .. ": " .. line, stream) end
end

local function main(address)
   local server <close> = assert(saros.serve(address or "127.0.0.1:8080", talk, {limit = 1000, line_limit = 1000}))
   print("listening on " .. server:address())
   server:wait()
end

saros.run(main, ...)
