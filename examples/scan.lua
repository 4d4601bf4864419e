-- scan.lua: which ports of a host take connections? Many are tried at once, and never more than a limit.
--
-- Run it:   saros examples/scan.lua HOST FIRST LAST [LIMIT] [SECONDS]    such as  … scan.lua 127.0.0.1 1 1024
--           LIMIT     how many at a time (200)
--           SECONDS   how long a port may take to answer (1)
-- Notice:   `saros.map` with a limit is all that keeps this from opening a thousand connections at once; a port that
--           does not answer costs a second, and not the others' time. Only scan hosts that are yours.
--
--    127.0.0.1: 3 of 1024 ports are open
--       22
--       80
--       443

local saros = require "saros"

local function is_open(host, port, seconds)
   local stream, _, code = saros.timeout(seconds, saros.connect, {host = host, port = port})
   if stream then stream:close() end
   if code == "EMFILE" then error("too many at once for this system: give a lower limit", 0) end
   return stream ~= nil
end

local function main(name, first, last, limit, seconds)
   first, last = math.tointeger(tonumber(first)), math.tointeger(tonumber(last))
   if not (name and first and last) or first < 1 or last > 65535 then
      io.stderr:write("usage: scan.lua HOST FIRST LAST [LIMIT] [SECONDS]\n")
      os.exit(2, true)
   end
   local host = assert(saros.resolve(name))[1].host
   local ports = {}
   for port = first, last do ports[#ports + 1] = port end
   local open = saros.map(ports, function(port) return is_open(host, port, tonumber(seconds) or 1) end,
      {limit = math.tointeger(tonumber(limit)) or 200})
   local found = {}
   for i, port in ipairs(ports) do
      if open[i] then found[#found + 1] = port end
   end
   print(("%s: %d of %d ports are open"):format(name, #found, #ports))
   for _, port in ipairs(found) do print("   " .. port) end
end

saros.run(main, ...)
