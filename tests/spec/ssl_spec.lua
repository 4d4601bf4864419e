-- ssl_spec.lua: saros.ssl, in LuaSec's shape, and LuaSec's own ssl.https on it, as it is installed.

local saros = require "saros"
local socket = require "saros.socket"

local kit = require "support.kit"
local files = saros._tls.info and require("support.certificates").make()
require("support.leaks")(before_each, after_each)

if not files then
   describe("saros.ssl", function() pending("(no OpenSSL here)") end)
   return
end
teardown(files.remove)
if not kit.lacks("sockets") then saros.resolve("127.0.0.1", "80") end

local ssl = require "saros.ssl"

local CLIENT <const> = {mode = "client", protocol = "any", verify = "peer", cafile = files.ca, options = {"all", "no_sslv3"}}
local SERVER <const> = {mode = "server", protocol = "any", certificate = files.server, key = files.server_key}

local function with(options, more)
   local set = {}
   for key, value in pairs(options) do set[key] = value end
   for key, value in pairs(more or {}) do set[key] = value end
   return set
end

-- A client and a server of saros.socket that are connected.
local function pair()
   local server <close> = assert(socket.bind("127.0.0.1", 0))
   local host, port = server:getsockname()
   local client = assert(socket.connect(host, port))
   return client, assert(server:accept())
end

local function wrapped(theirs, ours)
   local client, server = pair()
   client = assert(ssl.wrap(client, theirs or CLIENT))
   server = assert(ssl.wrap(server, ours or SERVER))
   local results = saros.gather({
      function() return table.pack(client:dohandshake()) end,
      function() return table.pack(server:dohandshake()) end,
   })
   return client, server, results[1], results[2]
end

local function closer(...)
   local list = {...}
   return setmetatable({}, {
      __close = function()
         for _, one in ipairs(list) do one:close() end
      end,
   })
end

describe("saros.ssl", function()
   it("wraps sockets, and sends and receives as LuaSec does", function()
      local client, server, theirs, ours = wrapped()
      local _ <close> = closer(client, server)
      assert.are.same({true, true}, {theirs[1], ours[1]})
      assert.are.equal(6.0, (client:send("hello\n")))
      assert.are.equal("hello", (server:receive()))
      local sending = saros.spawn(server.send, server, ("x"):rep(100000) .. "\nlast")
      assert.are.equal(100000, #client:receive())
      sending:await()
      server:close()
      assert.are.same({nil, "closed", "last"}, {client:receive()})
      assert.are.equal("nothing", client:want())
      assert.are.equal("TLSv1.3", client:info("protocol"))
      assert.are.equal(256, client:info().bits)
      local certificate = client:getpeercertificate()
      assert.is_truthy(certificate:pem():find("BEGIN CERTIFICATE", 1, true))
      assert.are.equal(64, #certificate:digest("sha256"))
      assert.is_true(client:getpeerverification())
      assert.is_truthy(certificate:notafter():find("GMT$"))
   end)

   it("says wantread and wantwrite where the time is over, and goes on when it is called again", function()
      local client, server = pair()
      client, server = ssl.wrap(client, CLIENT), ssl.wrap(server, SERVER)
      local _ <close> = closer(client, server)
      client:settimeout(0.01)
      assert.are.same({false, "wantread"}, {client:dohandshake()})
      assert.are.equal("read", client:want())
      local other = saros.spawn(function() return server:dohandshake() end)
      assert.is_true(other:await())
      while not client:dohandshake() do saros.sleep(0.001) end
      assert.are.same({nil, "wantread", ""}, {client:receive()})
      local text, out = ("0123456789"):rep(600000), 0
      local reader
      repeat -- what a time-out has cut off is neither lost nor sent twice
         local sent, failed, last = client:send(text, out + 1)
         assert.is_true(sent ~= nil or failed == "wantwrite")
         out = math.tointeger(sent or last)
         reader = reader or saros.spawn(function() return (server:receive(#text)) end)
      until out == #text
      assert.is_true(reader:await() == text)
   end)

   it("verifies where it is told to, and the name that sni has given", function()
      local client, server, theirs = wrapped(with(CLIENT, {cafile = files.stranger}))
      assert.is_false(theirs[1])
      assert.is_truthy(theirs[2]:find("certificate verify failed", 1, true), theirs[2])
      client:close()
      server:close()
      local one, two = pair()
      one, two = ssl.wrap(one, CLIENT), ssl.wrap(two, SERVER)
      local _ <close> = closer(one, two)
      one:sni("other.example")
      local shaking = saros.spawn(two.dohandshake, two)
      local ok, message = one:dohandshake()
      assert.is_false(ok)
      assert.is_truthy(message:find("hostname mismatch", 1, true), message)
      assert.is_false((shaking:await()))
   end)

   it("says what is wrong with a context", function()
      assert.are.same({nil, "invalid mode"}, {ssl.newcontext{protocol = "any"}})
      assert.are.same({nil, "invalid protocol"}, {ssl.newcontext{mode = "client", protocol = "sslv2"}})
      assert.is_nil((ssl.newcontext{mode = "server", protocol = "any", certificate = files.nonsense, key = files.server_key}))
      assert.is_nil((ssl.wrap(socket.tcp(), CLIENT)))
   end)
end)

describe("ssl.https, as it is installed", function()
   local NAMES = {"socket", "ssl", "ssl.https", "socket.http", "socket.url", "socket.headers", "ltn12", "mime"}

   local function instead()
      local before = {}
      for _, name in ipairs(NAMES) do before[name], package.loaded[name] = package.loaded[name], nil end
      package.loaded.socket, package.loaded.ssl = socket, ssl
      return setmetatable({}, {
         __close = function()
            for _, name in ipairs(NAMES) do package.loaded[name] = before[name] end
         end,
      })
   end

   it("has fifty requests in flight at the same time", function()
      local _ <close> = instead()
      local found, https = pcall(require, "ssl.https")
      if not found then kit.skip("ssl.https is not installed") end
      local come, open = 0, saros.event()
      local server <close> = assert(saros.serve("127.0.0.1:0", function(stream)
         local request = stream:read_until("\r\n\r\n")
         come = come + 1
         if come == 50 then open:set() end
         open:wait()
         stream:write("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", request:match("^GET /(%d+)"))
      end, {tls = {cert = files.server, key = files.server_key}, backlog = 100}))
      local url = "https://" .. server:address() .. "/"
      local fns = {}
      for i = 1, 50 do
         fns[i] = function()
            local body, code = https.request(url .. i)
            return body .. " " .. code
         end
      end
      for i, text in ipairs(saros.gather(fns)) do assert.are.equal(i .. " 200", text) end
      server:shutdown(1)
   end)

   it("verifies a server where it is told to", function()
      local _ <close> = instead()
      local found, https = pcall(require, "ssl.https")
      if not found then kit.skip("ssl.https is not installed") end
      local server <close> = assert(saros.serve("127.0.0.1:0", function(stream)
         if not stream:read_until("\r\n\r\n") then return end
         stream:write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
      end, {tls = {cert = files.server, key = files.server_key}}))
      local body = {}
      local url = "https://" .. server:address() .. "/"
      local sink = function(chunk) body[#body + 1] = chunk return 1 end
      local done, code = https.request{url = url, sink = sink, verify = "peer", cafile = files.ca}
      assert.are.same({1, 200}, {done, code})
      assert.are.equal("ok", table.concat(body))
      local ok, message = https.request{url = url, sink = sink, verify = "peer", cafile = files.stranger}
      assert.is_nil(ok)
      assert.is_truthy(message:find("certificate verify failed", 1, true), message)
      server:shutdown(1)
   end)
end)
