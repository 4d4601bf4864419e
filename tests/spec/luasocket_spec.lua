-- luasocket_spec.lua: saros.socket: what its objects do on the loop.
--
-- The programs in tests/luasocket run under a stock Lua with LuaSocket and under the host, and must print the same: so this
-- file is about time-outs, tasks, and what differs. luasocket_modules_spec.lua has the modules that stand on it.

local saros = require "saros"
local socket = require "saros.socket"

local kit = require "support.kit"
local servers = require "support.servers"
require("support.leaks")(before_each, after_each)

local root = debug.getinfo(1, "S").source:match("^@(.*)tests[/\\]spec[/\\]") or ""
-- The service for names has descriptors of its own until the loop closes.
if not kit.lacks("sockets") then saros.resolve("127.0.0.1", "80") end

local function port_of(server) return (select(2, server:getsockname())) end

-- A connected pair of LuaSocket's objects.
local function pair()
   local server = assert(socket.bind("127.0.0.1", 0))
   local client = assert(socket.connect("127.0.0.1", port_of(server)))
   local peer = assert(server:accept())
   server:close()
   return client, peer
end

-- ---- the same as LuaSocket ---------------------------------------------------------------------------------------

describe("a program for LuaSocket", function()
   for _, name in ipairs{"same", "same_udp", "same_names"} do
      it("prints under --luasocket what it prints with LuaSocket: " .. name, function()
         servers.need("lua5.4")
         if name == "same_names" and kit.shell("getent hosts localhost") == "" then
            kit.skip("no localhost in /etc/hosts")
         end
         local script = root .. "tests/luasocket/" .. name .. ".lua"
         local expected, _, missing = kit.shell("lua5.4 " .. kit.quote(script))
         if missing ~= 0 and expected:find("module 'socket", 1, true) then kit.skip("LuaSocket is not installed") end
         assert.are.equal(0, missing, expected)
         local output, code = kit.run("--luasocket", script)
         assert.are.equal(expected, output)
         assert.are.equal(0, code)
      end)
   end

   it("gets ours by require, and its C part too, and nothing without the switch", function()
      if kit.windows then return pending("no POSIX shell here") end
      local what = "print(require 'socket' == require 'saros.socket', require 'socket.core' == require 'socket')"
      assert.are.equal("true\ttrue\n", (kit.run("--luasocket", "-e", what)))
      assert.are_not.equal("true\ttrue\n", (kit.run("-e", what)))
   end)

   it("is told where it would have to wait outside a task", function()
      local client, peer = pair()
      kit.raises("table.sort", table.sort, {2, 1}, function() client:receive() end)
      local told = saros.future()
      saros.call_soon(function() told:set_result(kit.raises("task", client.receive, client)) end)
      told:await()
      client:close()
      peer:close()
   end)
end)

-- ---- connections -------------------------------------------------------------------------------------------------

describe("saros.socket: receive", function()
   it("gives what it has on a time-out, and goes on with it as prefix, whatever the pattern", function()
      local client, peer = pair()
      client:settimeout(0.01)
      peer:send("abc")
      assert.are.same({nil, "timeout", "abc"}, {client:receive()})
      peer:send("def")
      assert.are.same({nil, "timeout", "abcdef"}, {client:receive(10, "abc")})
      peer:send("ghij and more")
      assert.are.equal("abcdefghij", (client:receive(10, "abcdef")))
      assert.are.same({nil, "timeout", " and more"}, {client:receive("*a")})
      peer:send("\r\n")
      assert.are.equal(" and more", (client:receive("*l", " and more")))
      client:close()
      peer:close()
   end)

   it("with a time-out of 0 finds what has come, and lets others run meanwhile", function()
      local client, peer = pair()
      client:settimeout(0)
      assert.are.same({nil, "timeout", ""}, {client:receive(1)})
      local turns = 0
      local other = saros.spawn(function()
         while true do
            turns = turns + 1
            saros.sleep(0)
         end
      end)
      peer:send("x")
      local got, deadline = nil, saros.now() + 5
      while not got and saros.now() < deadline do got = client:receive(1) end
      assert.are.equal("x", got)
      assert.is_true(turns > 0)
      other:cancel()
      client:close()
      peer:close()
   end)

   it("ends each line of a long stream at its own end, however it is cut", function()
      local client, peer = pair()
      local lines = {}
      for i = 1, 500 do lines[i] = ("x"):rep(i * 7 % 300) .. i end
      local text = table.concat(lines, "\r\n") .. "\r\nlast"
      local sender = saros.spawn(function()
         local at = 1
         for i = 1, math.huge do
            if at > #text then break end
            local stop = at + i * 31 % 97
            peer:send(text, at, stop)
            at = stop + 1
            if i % 10 == 0 then saros.sleep(0) end
         end
         peer:close()
      end)
      for i = 1, 500 do assert.are.equal(lines[i], (client:receive())) end
      assert.are.same({nil, "closed", "last"}, {client:receive()})
      sender:await()
      client:close()
   end)

   it("leaves what it received for the next when its task is cancelled", function()
      local client, peer = pair()
      local task = saros.spawn(function() client:receive(10) end)
      peer:send("12345")
      kit.turns(3)
      saros.sleep(0.001)
      task:cancel()
      saros.pcall(task.await, task)
      peer:send("67890")
      peer:close()
      local rest = client:receive("*a")
      assert.are.equal("67890", rest:sub(-5))
      client:close()
   end)

   it("wakes with \"closed\" when the socket is closed by somebody else", function()
      local client, peer = pair()
      local task = saros.spawn(function() return client:receive() end)
      kit.turns(3)
      client:close()
      assert.are.same({nil, "closed", ""}, {task:await()})
      assert.are.same({nil, "closed", 0.0}, {client:send("x")})
      peer:close()
   end)

   it("says \"closed\" for a reset, with what had come before it", function()
      if kit.lacks("resets") then return pending(kit.lacks("resets")) end
      local client, peer = pair()
      peer:send("abc")
      assert.are.equal("a", (client:receive(1)))
      client:send("never read")
      peer:close() -- with something unread: a reset
      local _, failed, partial = client:receive(10)
      assert.are.equal("closed", failed)
      assert.are.equal("bc", partial)
      client:close()
   end)
end)

describe("saros.socket: send", function()
   it("tells on a time-out how much went out, to the byte, and the rest can follow", function()
      local client, peer = pair()
      local data = {}
      for i = 1, 300000 do data[i] = ("%07d\n"):format(i) end
      data = table.concat(data):rep(kit.driver == "sim" and 1 or 6) -- more than the system takes on its own
      client:settimeout(0.02)
      local reader
      local at, timeouts = 0, 0
      while at < #data do
         local last, failed, sent = client:send(data, at + 1)
         assert.is_true(last ~= nil or failed == "timeout", failed)
         if not last then
            timeouts = timeouts + 1
            assert.is_true(sent >= at and sent < #data)
            reader = reader or saros.spawn(function() return (peer:receive("*a")) end)
            if timeouts == 3 then client:settimeout(60) end
         end
         at = math.tointeger(last or sent)
      end
      assert.is_true(timeouts > 0)
      client:close()
      assert.is_true(reader:await() == data)
      peer:close()
   end)

   it("counts what both sides got and sent", function()
      local client, peer = pair()
      client:send("12345\n")
      peer:receive(2)
      peer:receive("*l")
      assert.are.same({0.0, 6.0}, {table.unpack({client:getstats()}, 1, 2)})
      assert.are.same({6.0, 0.0}, {table.unpack({peer:getstats()}, 1, 2)})
      client:close()
      peer:close()
   end)
end)

describe("saros.socket: connect", function()
   it("with a time-out of 0 goes on in the background; select tells when it is there", function()
      local server = assert(socket.bind("127.0.0.1", 0))
      local client = socket.tcp()
      client:settimeout(0)
      assert.are.same({nil, "timeout"}, {client:connect("127.0.0.1", port_of(server))})
      local _, writable = socket.select(nil, {client}, 5)
      assert.are.equal(client, writable[1])
      assert.are.same({nil, "already connected"}, {client:connect("127.0.0.1", port_of(server))})
      local peer = server:accept()
      client:settimeout(nil)
      peer:send("hi\n")
      assert.are.equal("hi", (client:receive()))
      client:close()
      peer:close()
      server:close()
   end)

   it("in the background fails like any other, and leaves nothing when it is closed before it is there", function()
      local port = kit.free_address():match("%d+$")
      local client = socket.tcp()
      client:settimeout(0)
      client:connect("127.0.0.1", port)
      socket.select(nil, {client}, 5)
      assert.are.same({nil, "connection refused"}, {client:connect("127.0.0.1", port)})
      client:close()
      local server = assert(socket.bind("127.0.0.1", 0))
      for turns = 0, 3 do
         client = socket.tcp()
         client:settimeout(0)
         client:connect("127.0.0.1", port_of(server))
         kit.turns(turns)
         client:close()
      end
      server:close()
   end)

   it("from any address is as without one, and from a certain one is refused, not forgotten", function()
      local server = assert(socket.bind("127.0.0.1", 0))
      local client = assert(socket.connect("127.0.0.1", port_of(server), "*", 0))
      local peer = server:accept()
      assert.are.same({nil, "Operation not supported"}, {socket.connect("127.0.0.1", port_of(server), "127.0.0.1", 0)})
      for _, one in ipairs{client, peer, server} do one:close() end
   end)

   it("refuses ports that are none, and names that are too long, by LuaSocket's words", function()
      local client = socket.tcp()
      for _, port in ipairs{-1, 65536, 80.5, "80 ", "", "a\0b", "1e3"} do
         assert.are.same({nil, "service not supported for socket type"}, {client:connect("127.0.0.1", port)}, port)
      end
      for _, host in ipairs{"", ("a"):rep(256), ("a"):rep(65536), "local\0host"} do
         local _, failed = client:connect(host, 80)
         assert.are.equal("host or service not provided, or not known", failed)
      end
      kit.raises("string expected", function() client:connect("127.0.0.1", nil) end)
      client:close()
   end)
end)

describe("saros.socket: select", function()
   it("takes a client of a server and gives it to accept, and data and gives it to receive", function()
      local server = assert(socket.bind("127.0.0.1", 0))
      local client = assert(socket.connect("127.0.0.1", port_of(server)))
      local readable = socket.select({server}, nil, 5)
      assert.are.equal(server, readable[1])
      local peer = server:accept()
      saros.spawn(function() client:send("x") end)
      readable = socket.select({server, peer}, nil, 5)
      assert.are.same({1, peer}, {#readable, readable[1]})
      assert.are.equal("x", (peer:receive(1)))
      client:close()
      peer:close()
      server:close()
   end)

   it("waits for none of them longer than it was told, and leaves no task", function()
      local server = assert(socket.bind("127.0.0.1", 0))
      local before = #saros.all_tasks()
      local began = saros.now()
      local readable, writable, failed = socket.select({server}, {}, 0.03)
      assert.are.same({0, 0, "timeout"}, {#readable, #writable, failed})
      assert.is_true(saros.now() - began >= 0.03 - 1e-9)
      assert.are.equal(before, #saros.all_tasks())
      server:close()
   end)

   it("loses no client that came when it was cancelled", function()
      local server = assert(socket.bind("127.0.0.1", 0))
      local task = saros.spawn(function() socket.select({server}) end)
      kit.turns(2)
      local client = assert(socket.connect("127.0.0.1", port_of(server)))
      task:cancel()
      saros.pcall(task.await, task)
      server:settimeout(5)
      local peer = assert(server:accept())
      client:close()
      peer:close()
      server:close()
   end)
end)

-- ---- descriptors and Unix sockets --------------------------------------------------------------------------------

local it_has_descriptors = kit.needs("sockets", it, pending)

describe("saros.socket: select", function()
   it_has_descriptors("knows a socket behind an object that only shows its descriptor", function()
      local client, peer = pair()
      local shows = {getfd = function() return client:getfd() end, dirty = function() return client:dirty() end}
      assert.are.same({0, "timeout"}, {#socket.select({shows}, nil, 0), select(3, socket.select({shows}, nil, 0))})
      peer:send("one two")
      assert.are.equal(shows, socket.select({shows}, nil, 5)[1])
      client:receive(3)
      assert.is_true(client:dirty())
      assert.are.equal(shows, socket.select({shows}, nil, 5)[1])
      client:receive(4)
      client:close()
      peer:close()
      assert.are.equal(-1.0, client:getfd())
   end)

   it("does not take a socket for writable whose peer does not read", function()
      local client, peer = pair()
      client:settimeout(0.005)
      local block = ("x"):rep(1 << 20)
      repeat local all, _, sent = client:send(block) until not all and sent == 0
      local _, writable, failed = socket.select(nil, {client}, 0.01)
      assert.are.same({0, "timeout"}, {#writable, failed})
      local reader = saros.spawn(function() return #peer:receive("*a") end)
      _, writable = socket.select(nil, {client}, 5)
      assert.are.equal(client, writable[1])
      client:close()
      assert.is_true(reader:await() > 0)
      peer:close()
   end)
end)

describe("saros.socket: setoption", function()
   it_has_descriptors("tells the system, also what was set before the connection, and asks it", function()
      local server = assert(socket.bind("127.0.0.1", 0))
      local client = socket.tcp()
      assert.are.equal(1.0, client:setoption("keepalive", true))
      assert.are.equal(1.0, client:setoption("linger", {on = true, timeout = 0}))
      assert.is_true(client:getoption("keepalive"))
      client:connect("127.0.0.1", port_of(server))
      assert.is_true(client:getoption("keepalive"))
      assert.are.same({on = true, timeout = 0}, client:getoption("linger"))
      assert.is_true(client:getoption("tcp-nodelay"))
      client:setoption("tcp-nodelay", false)
      assert.is_false(client:getoption("tcp-nodelay"))
      client:setoption("recv-buffer-size", 30000)
      assert.is_true(client:getoption("recv-buffer-size") >= 30000)
      local peer = server:accept()
      client:close() -- with linger 0: a reset
      if not kit.lacks("resets") then assert.are.equal("closed", select(2, peer:receive())) end
      assert.are.same({nil, "setsockopt failed"}, {client:setoption("keepalive", true)})
      peer:close()
      server:close()
   end)
end)

describe("saros.socket: setfd", function()
   it_has_descriptors("takes over what somebody else has opened, or nothing", function()
      local taken = socket.tcp()
      assert.is_nil((taken:setfd(1 << 20)))
      taken:setfd(-1)
      assert.are.equal(-1.0, taken:getfd())
      local listener = assert(saros.listen("127.0.0.1:0"))
      local datagrams = socket.udp()
      assert.are.same({nil, "Operation not supported"}, {datagrams:setfd(saros._descriptor(listener))})
      assert.is_truthy(tostring(datagrams):find("^udp{unconnected}"))
      listener:close()
      -- The host's standard input as a child gets it: one end of a pipe.
      local output = kit.shell("printf 'from a pipe\\n' | " .. kit.quote(kit.host) .. " -e " .. kit.quote([[
         local socket = require "saros.socket"
         local taken = socket.tcp()
         taken:setfd(0)
         print(taken:receive())
         print(taken:receive())]]))
      assert.are.equal("from a pipe\tnil\tnil\nnil\tclosed\t\n", output)
   end)
end)

describe("saros.socket: udp", function()
   it("answers many at once, each to whom it was asked by", function()
      local server = socket.udp()
      assert(server:setsockname("127.0.0.1", 0))
      local port = port_of(server)
      local task = saros.spawn(function()
         while true do
            local data, host, from = server:receivefrom()
            if not data then return end -- closed
            server:sendto(data:upper(), host, from)
         end
      end)
      local names = {}
      for i = 1, 50 do names[i] = "client " .. i end
      local answers = saros.map(names, function(name)
         local client = socket.udp()
         client:setpeername("127.0.0.1", port)
         client:settimeout(10)
         client:send(name)
         local answer = client:receive()
         client:close()
         return answer
      end)
      for i = 1, 50 do assert.are.equal("CLIENT " .. i, answers[i]) end
      task:cancel()
      server:close()
   end)

   it("keeps for receive what select has received, and cuts it to what is asked for", function()
      local one, two = socket.udp(), socket.udp()
      one:setsockname("127.0.0.1", 0)
      two:setpeername("127.0.0.1", port_of(one))
      two:send("0123456789")
      two:send("second")
      assert.are.equal(one, socket.select({one}, nil, 5)[1])
      assert.is_true(one:dirty())
      local data, host, port = one:receivefrom(4)
      assert.are.same({"0123", "127.0.0.1", port_of(two)}, {data, host, port})
      assert.are.equal("second", (one:receive()))
      one:settimeout(0)
      assert.are.same({nil, "timeout"}, {one:receive()})
      one:close()
      two:close()
      assert.are.same({nil, "closed"}, {one:receive()})
      assert.are.same({nil, "refused"}, {two:send("x")})
   end)

   it("tells once that nobody is there, and goes on", function()
      local one, two = socket.udp4(), socket.udp4()
      one:setsockname("127.0.0.1", 0)
      local port = port_of(one)
      one:close()
      two:setpeername("127.0.0.1", port)
      two:settimeout(0.05)
      two:send("x")
      local _, failed = two:receive()
      assert.is_true(failed == "connection refused" or failed == "timeout" and kit.lacks("resets") ~= nil, failed)
      assert.are.same({nil, "timeout"}, {two:receive()})
      two:close()
   end)
end)

describe("socket.unix", function()
   it("connects by a path, and is LuaSocket's with its classes and errors", function()
      if kit.windows and kit.driver ~= "sim" then return pending("no Unix sockets here") end
      local unix = saros._socket_unix
      local path = os.tmpname()
      os.remove(path)
      local server = unix()
      assert.are.same({1.0, 1.0}, {server:bind(path), (server:listen())})
      assert.is_truthy(tostring(server):match("^unixstream{server}: "))
      local client = unix.stream()
      assert.are.equal(1.0, client:connect(path))
      local peer = assert(server:accept())
      peer:send("line\n")
      assert.are.equal("line", (client:receive()))
      assert.are.equal(path, server:getsockname())
      for _, one in ipairs{client, peer, server} do one:close() end
      os.remove(path)
      assert.are.same({nil, "path too long"}, {unix():connect(("x"):rep(108))})
      assert.are.same({nil, "Invalid argument"}, {unix():connect("a\0b")})
      local _, failed = unix():connect(path .. ".none")
      assert.is_true(failed == "No such file or directory" or failed == "connection refused", failed)
      kit.raises("unsupported option", function() unix():setoption("tcp-nodelay", true) end)
   end)
end)
