-- same.lua: one program for LuaSocket and for saros.socket, which must print the same for both.
--
-- Nothing in it waits for another program, and it prints no port and no address of an object. What differs on purpose is in
-- docs/luasocket.md and not in here.
local socket = require "socket"
local shown = dofile((arg[0]:gsub("[^/\\]*$", "")) .. "show.lua")
local show, refused, port_of, nobody = shown.show, shown.refused, shown.port_of, shown.nobody

local master, master4 = socket.tcp(), socket.tcp4()
show(master) show(master:getfamily()) show(master4:getsockname()) show(master:getsockname())
show(master4:getpeername()) show(master:getpeername())
refused(master.send, master, "x") refused(master.receive, master) refused(master.accept, master)
refused(master.shutdown, master) refused(master.settimeout, io.stdout) refused(master.settimeout)
show(socket.tcp():connect("127.0.0.1", 1))
show(socket.tcp():connect(nobody, 1))
show(socket.tcp():connect("", 1))
show(socket.tcp4():connect("::1", 1))
refused(master.connect, master) refused(master.connect, master, "127.0.0.1")
master:close() master4:close()

local server = assert(socket.bind("127.0.0.1", 0))
local host, port, family = server:getsockname()
show(server) show(host, family) show(server:getfamily()) show(server:getpeername())
show(socket.bind("127.0.0.1", port)) show(socket.bind(nobody, 0))
refused(server.send, server, "x") refused(server.listen, server)
show(server:settimeout(0)) show(server:accept()) show(server:settimeout(1.5, "t")) show(server:gettimeout())
refused(server.settimeout, server, 1, "x") refused(server.settimeout, server, {})
server:settimeout(nil) server:settimeout(nil, "t") show(server:gettimeout())

local client = socket.tcp()
show(client:connect("127.0.0.1", port)) show(client) show(client:getfamily())
refused(client.listen, client) refused(client.bind, client, "*", 0)
local peer = assert(server:accept())
show(peer) show(select(1, peer:getpeername()), select(3, peer:getpeername())) show(peer:getoption("reuseaddr"))
show(tostring(({peer:getpeername()})[2]) == tostring(port_of(client)), tostring(({client:getpeername()})[2]) == tostring(port))

show(peer:send("hello\r\nwo\rrld\r\nabc"))
show(peer:send("0123456789", 3, 5)) show(peer:send("0123456789", -3)) show(peer:send("0123456789", 5, 3))
show(peer:send("abc", 0)) show(peer:send("")) show(peer:send(12.5)) show(peer:send("xyz", 2, 100)) show(peer:send("xyz", -100, 1))
refused(peer.send, peer) refused(peer.send, peer, {}) refused(peer.send, peer, "x", "y")
show(math.type((peer:getstats())), ({peer:getstats()})[2]) show(peer:close())

show(client:receive("*l", "x>")) show(client:receive()) show(client:receive(2, "123")) show(client:receive(4, "x"))
show(client:receive(0)) show(client:receive("3")) show(client:dirty())
refused(client.receive, client, "*x") refused(client.receive, client, -1) refused(client.receive, client, {})
refused(client.receive, client, "l") refused(client.receive, client, 1, {})
show(client:receive("*a")) show(client:receive("*a")) show(client:receive(0)) show(client:receive(5, "abc"))
show(client:receive(2, "abc")) show(client:receive("*l", "zz")) show(client:receive("*a", "pre")) show(client:dirty())
show(({client:getstats()})[1], ({client:getstats()})[2]) show(client:setstats(1, 2, 3))
show(({client:getstats()})[1], ({client:getstats()})[2], ({client:getstats()})[3] // 1)

show(client:setoption("tcp-nodelay", true)) show(client:getoption("tcp-nodelay"))
show(client:setoption("keepalive", true)) show(client:getoption("keepalive"))
refused(client.getoption, client, "nix") refused(client.setoption, client, "nix") refused(client.setoption, client, "keepalive")
refused(client.getoption, client, "ipv6-v6only") refused(client.setoption, client, "linger", 1)
show(client:setoption("tcp-keepidle", "x")) show(client:setoption("tcp-keepidle", {})) show(client:setoption("tcp-keepcnt", 3.7))
show(client:getoption("tcp-keepcnt")) show(client:setoption("tcp-keepintvl", -1))
show(client:setoption("linger", {on = true, timeout = 0}))
show(client:getoption("linger").on, client:getoption("linger").timeout)

refused(client.shutdown, client, "x") show(client:shutdown("send")) show(client:send("x"))
show(client:close()) show(client:close())
show(client:send("x")) show(client:receive()) show(client:receive(3, "ab")) show(client:getsockname())
show(client:getpeername()) show(client:getfd()) show(client:getfamily()) show(client)
show(client:setoption("keepalive", true)) show(client:getoption("keepalive")) show(server:close()) show(server:accept())

-- A half-closed connection: one side is at its end, and the other still sends.
server = assert(socket.bind("*", 0))
client = assert(socket.connect("127.0.0.1", port_of(server)))
peer = server:accept()
show(client:send("question\n")) show(client:shutdown("send")) show(peer:receive()) show(peer:receive())
show(peer:send("answer")) peer:close() show(client:receive("*a")) show(client:receive("*a")) client:close()

-- What was received stays readable when the own side does not want any more.
client = assert(socket.connect("127.0.0.1", port_of(server)))
peer = server:accept()
peer:send("one\ntwo\n") show(client:receive()) client:shutdown("receive") show(client:receive()) show(client:receive())
client:close() peer:close()

-- Time-outs, where nothing is there.
client = assert(socket.connect("127.0.0.1", port_of(server)))
peer = server:accept()
peer:send("partial")
client:settimeout(0.05) show(client:receive()) show(client:receive(3)) show(client:receive(5, "abc")) show(client:receive("*a", "pre"))
peer:send("rest\n") show(client:receive("*l", "partial")) client:settimeout(0) show(client:receive())
local readable, writable, failed = socket.select({client, server}, {client}, 0)
show(#readable, #writable, writable[1] == client, writable[client], failed)
readable, writable, failed = socket.select({client, server}, nil, 0.01) show(#readable, #writable, failed)
peer:send("now")
readable, writable, failed = socket.select({server, client}, {}, 5)
show(#readable, #writable, readable[1] == client, readable[client], failed) show(client:receive(3))
local other = assert(socket.connect("127.0.0.1", port_of(server)))
readable = socket.select({server, client}, {}, 5) show(#readable, readable[1] == server) show(server:accept())
peer:close() readable = socket.select({client}, nil, 5) show(readable[1] == client) show(client:receive())
show(socket.select({client}, {client}, 0)) other:close() client:close()
readable, writable, failed = socket.select({client}, {client}, 0) show(#readable, #writable, failed)
refused(socket.select, 1) refused(socket.select, nil, 1) refused(socket.select, nil, nil, "x")

-- Sources and sinks.
client = assert(socket.connect("127.0.0.1", port_of(server)))
peer = server:accept()
local sink, keep = socket.sink("close-when-done", peer), socket.sink("keep-open", client)
show(keep("request")) show(keep()) show(sink("some")) show(sink(" more")) show(sink())
local source = socket.source("by-length", client, 6) show(source()) show(source())
source = socket.source("until-closed", client) show(source()) show(source()) show(peer:send("x"))
refused(socket.sink, "nix", client) server:close()

-- Exceptions, and the rest of the module.
local finalized = 0
local try = socket.newtry(function() finalized = finalized + 1 end)
show(socket.protect(function() try(nil, "bad", 3) end)()) show(finalized) show(try(1, 2, 3))
show(socket.protect(function(...) return ... end)(1, nil, 3)) show(pcall(socket.protect(function() error("e", 0) end)))
show(socket.protect(function() socket.try(false, "no") end)()) show(socket.skip(1, 1, 2, 3)) show(socket.skip(5, 1))
refused(socket.skip, "x") refused(socket.sleep) show(select("#", socket.sleep(0))) show(math.type(socket.gettime()))
show(math.abs(socket.gettime() - os.time()) < 2)

show(socket.dns.toip(nobody)) show(socket.dns.getaddrinfo(nobody)) show(socket.dns.getaddrinfo("127.0.0.1")[1].family)
show(socket.dns.getaddrinfo("::1")[1].family, socket.dns.getaddrinfo("::1")[1].addr)
refused(socket.connect, "127.0.0.1", port, nil, nil, "x") show(socket.connect("127.0.0.1", port))

local any = socket.tcp()
show(any:bind("*", 0)) show(select(1, any:getsockname()), select(3, any:getsockname())) show(any:listen()) show(any) any:close()
