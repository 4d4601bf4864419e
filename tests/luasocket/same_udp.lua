-- same_udp.lua: the same for LuaSocket's UDP objects; see same.lua.
local socket = require "socket"

local part = ("n"):rep(63)
local nobody = part .. ("." .. part):rep(3) -- too long by two: the system need not ask for it

local function show(...)
   local words = table.pack(...)
   for i = 1, words.n do
      local text = tostring(words[i])
      words[i] = text:match("^udp{%l+}") or text:gsub("^table: .*", "table")
   end
   print(table.concat(words, " "))
end

local function refused(...)
   local ok, message = pcall(...)
   show(ok, (tostring(message):match("%b()")))
end

local function port_of(object) return (select(2, object:getsockname())) end

local one, two = socket.udp(), socket.udp4()
show(one, two) show(one:getfamily(), two:getfamily()) show(one:getsockname()) show(two:getsockname())
refused(one.send, one, "x") refused(one.getpeername, one) refused(one.sendto, one, "x") refused(one.settimeout)
show(one:setsockname("127.0.0.1", 0)) show((one:getsockname()))
show(one:setsockname(nobody, 0))
show(two:sendto("first", "127.0.0.1", port_of(one)))
local data, host, port = one:receivefrom()
show(data, host, tostring(port) == tostring(port_of(two)))
show(two:sendto("second", "localhost", port_of(one))) show(two:sendto("x", "127.0.0.1", 70000 > 0 and "nix"))
two:sendto("a longer one", "127.0.0.1", port_of(one)) show(one:receive(3))
two:sendto("", "127.0.0.1", port_of(one)) show(one:receive())
show(one:setpeername("127.0.0.1", port_of(two))) show(one) show((one:getpeername()))
refused(one.sendto, one, "x", "127.0.0.1", 1) refused(one.receivefrom, one) refused(one.setsockname, one, "*", 0)
show(one:send("to the peer")) show(two:receive())
show(one:setpeername("*")) show(one) refused(one.send, one, "x")
one:close()
one = socket.udp4()
show(one:setsockname("*", 0))
one:settimeout(0.01) show(one:receive()) show(one:receivefrom()) one:settimeout(0) show(one:receive()) show(one:gettimeout())
two:sendto("there", "127.0.0.1", port_of(one))
local readable = socket.select({two, one}, nil, 5) show(#readable, readable[1] == one, one:dirty() or true) show((one:receivefrom()))
local none, writable, failed = socket.select({one}, {two}, 0) show(#none, writable[1] == two, failed)
show(one:setoption("broadcast", true)) show(one:getoption("broadcast")) show(one:setoption("reuseaddr", true))
refused(one.setoption, one, "keepalive", true) refused(one.setoption, one, "broadcast")
refused(one.setoption, one, "ip-add-membership", 1) refused(one.getoption, one, "ip-add-membership")
show(one:setoption("ip-multicast-loop", false)) show(one:getoption("ip-multicast-loop"))
show(one:close()) show(one:close()) show(two:close()) show(one:getsockname()) show(two:getfamily())
local six = socket.udp6()
show(six:setsockname("::1", 0)) show((six:getsockname())) show(six:getfamily())
show(six:sendto("to myself", "::1", port_of(six))) show((six:receivefrom())) six:close()
