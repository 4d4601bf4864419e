-- same_names.lua: the same for names that the system knows; see same.lua. The smallest of systems do not know "localhost".
local socket = require "socket"
local show = dofile((arg[0]:gsub("[^/\\]*$", "")) .. "show.lua").show

show(socket.dns.toip("localhost")) show(socket.dns.toip("127.0.0.1"))
local _, resolved = socket.dns.toip("localhost") show(resolved.name, #resolved.alias, #resolved.ip, resolved.ip[1])

local server = assert(socket.bind("127.0.0.1", 0))
local client = assert(socket.connect("localhost", (select(2, server:getsockname()))))
local peer = server:accept()
show(client:send("by its name\n")) show(peer:receive())
peer:close() client:close() server:close()
