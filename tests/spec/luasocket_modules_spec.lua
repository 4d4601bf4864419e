-- luasocket_modules_spec.lua: LuaSocket's own http, ftp, smtp and Debian's redis.lua, as they are installed, on the loop:
-- many at once, against servers of this file and against nginx and redis-server.

local saros = require "saros"
local socket = require "saros.socket"

local kit = require "support.kit"
local servers = require "support.servers"
require("support.leaks")(before_each, after_each)

local MANY <const> = 100

-- The service for names has descriptors of its own until the loop closes.
if not kit.lacks("sockets") then saros.resolve("127.0.0.1", "80") end

-- LuaSocket's modules with ours in the place of `socket`, for as long as the variable lives.
local NAMES = {"socket", "socket.core", "socket.http", "socket.ftp", "socket.smtp", "socket.tp", "socket.url",
   "socket.headers", "socket.unix", "ltn12", "mime", "redis"}

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

local function host_and_port(address) return address:match("^(.*):(%d+)$") end

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

   it("is reached by redis.lua through a Unix socket", function()
      local _ <close> = instead()
      package.loaded["socket.unix"] = saros._socket_unix
      local redis = client_library()
      local folder <close> = servers.folder()
      local server <close> = servers.redis(folder)
      local client = redis.connect("unix://" .. folder.name .. "/socket")
      client:set("key", "value")
      assert.are.equal("value", client:get("key"))
      client:quit()
      assert.is_truthy(server)
   end)
end)
