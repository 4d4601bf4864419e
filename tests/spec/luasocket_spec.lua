-- luasocket_spec.lua: saros.socket: programs and modules that were written for LuaSocket, unmodified, on the loop.
--
-- tests/luasocket/same.lua runs under a stock Lua with LuaSocket and under the host, and must print the same. LuaSocket's own
-- http, ftp, smtp and Debian's redis.lua run here as they are installed, against servers of the system or of this file.

local saros = require "saros"
local socket = require "saros.socket"

local kit = require "support.kit"
local servers = require "support.servers"
require("support.leaks")(before_each, after_each)

local root = debug.getinfo(1, "S").source:match("^@(.*)tests[/\\]spec[/\\]") or ""
local MANY <const> = 100

-- The service for names has descriptors of its own until the loop closes.
if not kit.lacks("sockets") then saros.resolve("127.0.0.1", "80") end

-- LuaSocket's modules with ours in the place of `socket`, for as long as the variable lives.
local NAMES = {"socket", "socket.core", "socket.http", "socket.ftp", "socket.smtp", "socket.tp", "socket.url",
   "socket.headers", "ltn12", "mime", "redis"}

local function instead()
   local before = {}
   for _, name in ipairs(NAMES) do before[name], package.loaded[name] = package.loaded[name], nil end
   package.loaded.socket = socket
   return setmetatable({}, {
      __close = function()
         for _, name in ipairs(NAMES) do package.loaded[name] = before[name] end
      end,
   })
end

-- A module of LuaSocket's, or the case is pending.
local function luasocket(name)
   local found, module = pcall(require, name)
   if not found then kit.skip(name .. " is not installed") end
   return module
end

local function port_of(server) return (select(2, server:getsockname())) end

local function host_and_port(address) return address:match("^(.*):(%d+)$") end

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
   local script = root .. "tests/luasocket/same.lua"

   it("prints under --luasocket what it prints with LuaSocket", function()
      servers.need("lua5.4")
      local expected, _, missing = kit.shell("lua5.4 " .. kit.quote(script))
      if missing ~= 0 and expected:find("module 'socket", 1, true) then kit.skip("LuaSocket is not installed") end
      assert.are.equal(0, missing, expected)
      local output, code = kit.run("--luasocket", script)
      assert.are.equal(expected, output)
      assert.are.equal(0, code)
   end)

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
      data = table.concat(data):rep(kit.driver == "sim" and 1 or 16) -- more than the system takes on its own
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
      local _, port = host_and_port(kit.free_address())
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
      assert.is_true(saros.now() - began >= 0.03)
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

-- ---- LuaSocket's own modules -------------------------------------------------------------------------------------

-- Runs fn(i) for i = 1 … count, all at once; their first results.
local function at_once(count, fn)
   local fns = {}
   for i = 1, count do fns[i] = function() return fn(i) end end
   return saros.gather(fns)
end

-- Lets callers pass together, when `count` have come.
local function gate(count)
   local come, open = 0, saros.event()
   return function()
      come = come + 1
      if come == count then open:set() end
      open:wait()
   end
end

-- A server of one HTTP exchange for each connection: fn(request) -> response.
local function http_server(fn)
   return assert(saros.serve("127.0.0.1:0", function(stream)
      local request = stream:read_until("\r\n\r\n")
      if request then stream:write(fn(request)) end
   end, {backlog = MANY}))
end

local function response(body, more)
   return ("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%s\r\n%s"):format(#body, more or "", body)
end

describe("socket.http, as it is installed", function()
   it("has a hundred requests in flight at the same time", function()
      local _ <close> = instead()
      local http = luasocket("socket.http")
      local pass = gate(MANY)
      local server <close> = http_server(function(request)
         pass() -- answered when all have asked
         return response(request:match("^GET /(%d+) "))
      end)
      local bodies = at_once(MANY, function(i) return (http.request(("http://%s/%d"):format(server:address(), i))) end)
      for i = 1, MANY do assert.are.equal(tostring(i), bodies[i]) end
   end)

   it("follows redirections, reads chunks, posts, and tells errors in LuaSocket's words", function()
      local _ <close> = instead()
      local http = luasocket("socket.http")
      local server <close> = http_server(function(request)
         if request:find("^GET /old") then return "HTTP/1.1 302 Found\r\nLocation: /new\r\nContent-Length: 0\r\n\r\n" end
         if request:find("^GET /new") then
            return "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n10\r\n0123456789abcdef\r\n0\r\nX: y\r\n\r\n"
         end
         return response(request:match("^%u+"), "X-Seen: yes\r\n")
      end)
      local url = "http://" .. server:address()
      local body, code = http.request(url .. "/old")
      assert.are.same({"abc0123456789abcdef", 200}, {body, code})
      local headers
      body, code, headers = http.request(url .. "/", "x=1")
      assert.are.same({"POST", 200, "yes"}, {body, code, headers["x-seen"]})
      assert.are.same({nil, "connection refused"}, {http.request("http://" .. kit.free_address() .. "/")})
      local silent <close> = assert(saros.serve("127.0.0.1:0", function(stream) stream:read("a") end))
      http.TIMEOUT = 0.02
      local _, failed = http.request("http://" .. silent:address() .. "/")
      assert.are.equal("timeout", failed)
   end)

   it("ends with its task when that is cancelled, and its connection with it", function()
      local _ <close> = instead()
      local http = luasocket("socket.http")
      local here, gone = saros.event(), saros.event()
      local server <close> = assert(saros.serve("127.0.0.1:0", function(stream)
         stream:read_until("\r\n\r\n")
         here:set()
         stream:read("a")
         gone:set()
      end))
      local done, message, code = saros.timeout(5, function()
         return saros.scope(function(scope)
            saros.spawn(function()
               here:wait()
               scope:cancel("enough")
            end)
            http.request("http://" .. server:address() .. "/")
         end)
      end)
      assert.are.same({nil, "enough", "ECANCELED"}, {done, message, code})
      collectgarbage()
      assert.is_true(saros.timeout(5, gone.wait, gone))
   end)
end)

-- A server that speaks a protocol of lines: fn(say, hear) with say(line) and hear() -> line.
local function line_server(fn)
   return assert(saros.serve("127.0.0.1:0", function(stream)
      local function say(line) stream:write(line, "\r\n") end
      local function hear() return ((stream:read("l") or ""):gsub("\r$", "")) end
      fn(say, hear)
   end, {backlog = MANY}))
end

describe("socket.smtp, as it is installed", function()
   it("sends several letters at once, each with its dots and lines whole", function()
      local _ <close> = instead()
      local smtp = luasocket("socket.smtp")
      local letters = {}
      local pass = gate(10)
      local server <close> = line_server(function(say, hear)
         say("220 here")
         local to
         while true do
            local line = hear()
            local command = line:match("^%a+"):upper()
            if command == "RCPT" then to = line:match("<(.-)>") end
            if command == "DATA" then
               pass()
               say("354 go on")
               local body = {}
               for text in hear do
                  if text == "." then break end
                  body[#body + 1] = text
               end
               letters[to] = table.concat(body, "\n")
            end
            say(command == "QUIT" and "221 bye" or command == "EHLO" and "250-here\r\n250 8BITMIME" or "250 yes")
            if command == "QUIT" then return end
         end
      end)
      local host, port = host_and_port(server:address())
      at_once(10, function(i)
         assert(smtp.send{
            from = "<me@example.com>", rcpt = ("<you%d@example.com>"):format(i), server = host, port = port,
            source = smtp.message{headers = {subject = "letter " .. i}, body = "first\r\n.second\r\n\r\n" .. i},
         })
      end)
      for i = 1, 10 do
         local letter = letters[("you%d@example.com"):format(i)]
         assert.is_truthy(letter:find("[Ss]ubject: letter " .. i), letter)
         assert.is_truthy(letter:find("first\n..second\n\n" .. i, 1, true), letter)
      end
   end)
end)

describe("socket.ftp, as it is installed", function()
   it("gets and puts files over connections of their own", function()
      local _ <close> = instead()
      local ftp = luasocket("socket.ftp")
      local stored = {}
      local server <close> = line_server(function(say, hear)
         say("220 here")
         local data
         while true do
            local line = hear()
            local command, argument = line:match("^(%a*) ?(.*)$")
            command = command:upper()
            if command == "PASV" or command == "EPSV" then
               data = assert(saros.listen("127.0.0.1:0"))
               local port = math.tointeger(tonumber(data:address():match("%d+$")))
               say(command == "EPSV" and ("229 here (|||%d|)"):format(port)
                  or ("227 here (127,0,0,1,%d,%d)"):format(port // 256, port % 256))
            elseif command == "RETR" or command == "STOR" then
               local stream <close> = data:accept()
               say("150 go on")
               if command == "STOR" then stored[argument] = stream:read("a")
               else stream:write(("line of " .. argument .. "\n"):rep(1000)) end
               stream:close()
               data:close()
               say("226 done")
            elseif command == "QUIT" or command == "" then
               return say("221 bye")
            else
               say(command == "USER" and "331 who" or command == "TYPE" and "200 yes" or "230 yes")
            end
         end
      end)
      local url = "ftp://me:secret@" .. server:address()
      local texts = at_once(10, function(i) return assert(ftp.get(url .. "/file" .. i .. ";type=i")) end)
      for i = 1, 10 do
         assert.are.equal(1000, select(2, texts[i]:gsub("line of file" .. i .. "\n", "")))
         assert.are.equal(#("line of file" .. i .. "\n") * 1000, #texts[i])
      end
      assert(ftp.put(url .. "/new;type=i", ("x"):rep(100000)))
      assert.are.equal(100000, #stored.new)
   end)
end)

-- ---- real servers ------------------------------------------------------------------------------------------------

describe("nginx", function()
   it("serves a hundred requests of socket.http, all of them in flight at once", function()
      local _ <close> = instead()
      local http = luasocket("socket.http")
      local pass = gate(MANY)
      local upstream <close> = http_server(function(request)
         pass()
         return response(request:match("^GET /slow/(%d+) "), "Connection: close\r\n")
      end)
      local folder <close> = servers.folder()
      servers.write(folder, "page.txt", ("some text\n"):rep(10000))
      local nginx <close> = servers.nginx(folder,
         ("location /slow/ { proxy_pass http://%s; }"):format(upstream:address()))
      local url = "http://" .. nginx.address
      local bodies = at_once(MANY, function(i) return (http.request(url .. "/slow/" .. i)) end)
      for i = 1, MANY do assert.are.equal(tostring(i), bodies[i]) end
      bodies = at_once(MANY, function() return (http.request(url .. "/page.txt")) end)
      for i = 1, MANY do assert.is_true(bodies[i] == ("some text\n"):rep(10000)) end
      local _, code = http.request(url .. "/missing")
      assert.are.equal(404, code)
   end)
end)

describe("redis-server", function()
   local function client_library()
      local file = loadfile("/usr/share/lua/5.1/redis.lua") -- Debian has it for versions before 5.4
      if not file then kit.skip("redis.lua is not installed") end
      return file()
   end

   it("serves a hundred clients of redis.lua, all of them waiting in it at once", function()
      local _ <close> = instead()
      local redis = client_library()
      local folder <close> = servers.folder()
      local server <close> = servers.redis(folder)
      local host, port = host_and_port(server.address)
      local control = redis.connect(host, port)
      local tasks = {}
      for i = 1, MANY do
         tasks[i] = saros.spawn(function()
            local client = redis.connect(host, port)
            client:set("key" .. i, ("value %d\r\n"):format(i):rep(10))
            assert.are.equal(("value %d\r\n"):format(i):rep(10), client:get("key" .. i))
            local popped = client:blpop("list", 0)
            client:incr("count")
            client:quit()
            return popped[2]
         end)
      end
      kit.wait_until(function() return control:info("clients").clients.blocked_clients == tostring(MANY) end)
      for i = 1, MANY do control:rpush("list", "item " .. i) end
      local items = saros.gather(tasks)
      table.sort(items, function(a, b) return tonumber(a:match("%d+")) < tonumber(b:match("%d+")) end)
      for i = 1, MANY do assert.are.equal("item " .. i, items[i]) end
      assert.are.equal(tostring(MANY), control:get("count"))
      control:quit()
   end)

   it("publishes to a subscriber of redis.lua, which waits meanwhile", function()
      local _ <close> = instead()
      local redis = client_library()
      local folder <close> = servers.folder()
      local server <close> = servers.redis(folder)
      local host, port = host_and_port(server.address)
      local client = redis.connect(host, port)
      local listens = redis.connect(host, port)
      local heard = {}
      local subscriber = saros.spawn(function()
         for message, abort in listens:pubsub{subscribe = "news"} do
            if message.kind == "message" then heard[#heard + 1] = message.payload end
            if message.payload == "end" then abort() end
         end
      end)
      kit.wait_until(function() return client:publish("news", "ready?") == 1 end)
      for _, word in ipairs{"one", "two", "end"} do client:publish("news", word) end
      subscriber:await()
      assert.are.same({"one", "two", "end"}, {table.unpack(heard, #heard - 2)})
      client:quit()
      listens:quit()
   end)
end)
