-- options_spec.lua: what can be said of sockets: options of connect, listen and serve, stream:option, paths of Unix sockets.

local saros = require "saros"
local kit = require "support.kit"
require("support.leaks")(before_each, after_each)

local real = kit.driver ~= "sim"

local function path_of(name)
   local file = os.tmpname()
   os.remove(file)
   return file .. name, setmetatable({}, { __close = function() os.remove(file .. name) end })
end

local function exists(path)
   local file = io.open(path, "rb")
   if file then file:close() end
   local _, message = io.open(path, "rb")
   return file ~= nil or not tostring(message):find("No such file", 1, true)
end

describe("stream:option", function()
   it("tells and sets what a socket has, under the same names everywhere", function()
      local client, server = kit.pair()
      assert.is_true(client:option("nodelay"))
      assert.is_true(server:option("nodelay"))
      assert.are.equal(client, client:option("nodelay", false))
      assert.is_false(client:option("nodelay"))
      assert.is_false(client:option("keepalive"))
      assert.are.equal(client, client:option("keepalive", true))
      assert.is_true(client:option("keepalive"))
      client:option("linger", 3)
      assert.are.equal(3, client:option("linger"))
      client:option("linger", false)
      assert.is_false(client:option("linger"))
      client:option("send_buffer", 65536)
      local large = client:option("send_buffer")
      client:option("send_buffer", 16384)
      assert.is_true(client:option("send_buffer") < large)
      client:close()
      server:close()
      assert.are.equal("ECLOSED", select(3, client:option("nodelay")))
   end)

   it("refuses names that there are not, and values that make no sense", function()
      local client, server = kit.pair()
      kit.raises("unknown option 'nodelai'", client.option, client, "nodelai")
      kit.raises("unknown option 'nodelay'", client.option, client, "nodelay\0")
      kit.raises("bad argument #2", client.option, client)
      for name, values in pairs({ nodelay = { 1, "true", {} }, keepalive = { 1 }, linger = { -1, true, 1.5, 1 << 40 },
                                  send_buffer = { 0, -1, true, "big", 1 << 31 }, ttl = { 0, 256, false } }) do
         for _, value in ipairs(values) do kit.raises("option '" .. name .. "'", client.option, client, name, value) end
      end
      client:close()
      server:close()
   end)
end)

describe("options of connect, listen and serve", function()
   it("are set when the connection is there; those of a listener are those of what it accepts", function()
      local listener <close> = assert(saros.listen("127.0.0.1:0", { nodelay = false, keepalive = true, backlog = 5 }))
      local keepalive = kit.windows or 30 -- Wine has no time for it
      local client <close> = assert(saros.connect(listener:address(), { keepalive = keepalive, nodelay = true }))
      local server <close> = assert(listener:accept())
      assert.is_true(client:option("nodelay"))
      assert.is_true(client:option("keepalive"))
      if not kit.windows then assert.are.equal(30, client:option("keepalive_idle") or 30) end
      assert.is_true(server:option("keepalive"))
      assert.is_true(listener:option("keepalive"))
   end)

   it("that there are not, or make no sense, raise before anything is opened", function()
      for _, call in ipairs({ saros.connect, saros.listen }) do
         kit.raises("unknown option 'no_delay'", call, "127.0.0.1:1", { no_delay = true })
         kit.raises("option 'nodelay': boolean expected", call, "127.0.0.1:1", { nodelay = 1 })
         kit.raises("option 'keepalive_idle'", call, "127.0.0.1:1", { keepalive = 0 })
         kit.raises("option 'receive_buffer'", call, "127.0.0.1:1", { receive_buffer = 1.5 })
         kit.raises("option 'ttl'", call, "127.0.0.1:1", { ttl = "x" })
      end
      kit.raises("unknown option 'backlog'", saros.connect, "127.0.0.1:1", { backlog = 5 })
      kit.raises("unknown option 'bind'", saros.listen, "127.0.0.1:1", { bind = "127.0.0.1:0" })
      kit.raises("option 'reuse_port'", saros.listen, "127.0.0.1:1", { reuse_port = 1 })
      kit.raises("unknown option 'x'", saros.serve, "127.0.0.1:0", print, { x = 1 })
      kit.raises("option 'bind': address expected", saros.connect, "127.0.0.1:1", { bind = 5 })
      kit.raises("bad address", saros.connect, "127.0.0.1:1", { bind = "nonsense" })
   end)

   it("that the socket does not have leave no connection behind", function()
      kit.need_unix_sockets()
      local path, _ <close> = path_of("-options")
      local _l <close> = assert(saros.listen({ path = path }))
      local none, message, code = saros.connect({ path = path }, { nodelay = true })
      assert.are.same({ "EOPNOTSUPP" }, { code, none })
      assert.is_truthy(message:find("option 'nodelay'", 1, true), message)
      none, message, code = saros.listen("127.0.0.1:0", { ttl = 64 })
      if none then none:close() else error(message .. code) end
   end)

   it("bind says where a connection comes from", function()
      local listener <close> = assert(saros.listen("127.0.0.1:0"))
      local client <close> = assert(saros.connect(listener:address(), { bind = "127.0.0.1:0" }))
      local server <close> = assert(listener:accept())
      assert.are.equal(client:local_address(), (server:peer_address()))
      local _, _, code = saros.connect(listener:address(), { bind = { host = "192.0.2.1", port = 0 } })
      assert.are.equal("EADDRNOTAVAIL", code)
   end)

   it("v6only says whether the any-address takes IPv4 as well", function()
      local both, _, code = saros.listen("[::]:0", { v6only = false })
      if not both and code == "EAFNOSUPPORT" then kit.skip("no IPv6 here") end
      local port = both:address():match("%d+$")
      local client <close> = assert(saros.connect("127.0.0.1:" .. port))
      both:close()
      local alone <close> = assert(saros.listen("*:0", { v6only = true }))
      port = alone:address():match("%d+$")
      assert.are.equal("ECONNREFUSED", select(3, saros.connect("127.0.0.1:" .. port)))
      assert.is_truthy(client)
   end)

   it("reuse_port lets listeners share a port that all ask for it", function()
      local first, _, code = saros.listen("127.0.0.1:0", { reuse_port = true })
      if code == "ENOSYS" then kit.skip("no ports to share here") end
      local second = assert(saros.listen(first:address(), { reuse_port = true }))
      assert.are.equal("EADDRINUSE", select(3, saros.listen(first:address())))
      first:close()
      second:close()
   end)

   it("J8: a connect that meets itself is a stream to itself", function()
      if not real or kit.windows or kit.driver == "none" then kit.skip("who calls and who is called are two here") end
      local listener = assert(saros.listen("127.0.0.1:0"))
      local address = listener:address() -- nobody's in a moment
      listener:close()
      local stream <close> = assert(saros.connect(address, {bind = address}))
      stream:write("to myself\n")
      assert.are.equal("to myself", stream:read())
      stream:shutdown()
      assert.is_nil((stream:read()))
   end)
end)

describe("a Unix socket's path", function()
   it("is removed when its listener is closed, unless that is not wanted", function()
      kit.need_unix_sockets()
      local path, _ <close> = path_of("-path")
      local listener = assert(saros.listen("unix:" .. path))
      assert.are.equal("unix:" .. path, listener:address())
      assert.are.equal("EADDRINUSE", select(3, saros.listen("unix:" .. path)))
      assert.are.equal("EADDRINUSE", select(3, saros.listen("unix:" .. path, { replace = true }))) -- somebody listens
      if real then assert.is_true(exists(path)) end
      listener:close()
      saros.sleep(0.001)
      assert.is_false(exists(path))
      assert.are.equal("ENOENT", select(3, saros.connect("unix:" .. path)))
      if not real then return end
      listener = assert(saros.listen("unix:" .. path, { clean_up = false }))
      listener:close()
      saros.sleep(0.001)
      assert.is_true(exists(path))
      assert.are.equal("ECONNREFUSED", select(3, saros.connect("unix:" .. path)))
      assert.are.equal("EADDRINUSE", select(3, saros.listen("unix:" .. path)))
      listener = assert(saros.listen("unix:" .. path, { replace = true }))
      listener:close()
   end)

   it("is not taken from a listener whose queue is full", function()
      kit.need_unix_sockets()
      if not (real and io.open("/proc/net/unix")) then kit.skip("elsewhere a full queue looks as if nobody listened") end
      local path, _ <close> = path_of("-busy")
      local listener <close> = assert(saros.listen("unix:" .. path, { backlog = 1 }))
      local waiting, client = {}
      repeat
         client = saros.connect("unix:" .. path)
         waiting[#waiting + 1] = client
      until not client
      assert.are.equal("EADDRINUSE", select(3, saros.listen("unix:" .. path, { replace = true })))
      assert.is_true(exists(path))
      local peer <close> = assert(listener:accept())
      assert.is_truthy(peer)
      for _, stream in ipairs(waiting) do stream:close() end
   end)

   it("of another who has it by now is left alone", function()
      kit.need_unix_sockets()
      if not real then kit.skip("no files in a simulated world") end
      local path, _ <close> = path_of("-other")
      for _ = 1, 16 do -- files that are made one after another often have numbers that differ by one
         local first = assert(saros.listen("unix:" .. path))
         os.remove(path)
         local second = assert(saros.listen("unix:" .. path))
         first:close()
         saros.sleep(0.001)
         assert(saros.connect("unix:" .. path)):close()
         second:close()
         kit.wait_until(function() return not exists(path) end)
      end
   end)

   it("that is no socket's is never removed, and has a named error", function()
      kit.need_unix_sockets()
      if not real then kit.skip("no files in a simulated world") end
      local name, _ <close> = kit.temporary("precious")
      assert.are.equal("EADDRINUSE", select(3, saros.listen("unix:" .. name, { replace = true })))
      assert.are.equal("precious", kit.slurp(name))
      assert.are.equal("ECONNREFUSED", select(3, saros.connect("unix:" .. name)))
      assert.are.equal("EADDRINUSE", select(3, saros.listen("unix:/tmp", { replace = true })))
      assert.are.equal("ENOENT", select(3, saros.listen("unix:/no/such/folder/socket")))
      assert.are.equal("ENOTDIR", select(3, saros.listen("unix:" .. name .. "/socket")))
   end)

   it("that begins with a zero byte is Linux' abstract name, and no file", function()
      kit.need_unix_sockets()
      if real and not io.open("/proc/net/unix") then kit.skip("abstract names are Linux'") end
      local path = "\0saros-" .. math.random(1 << 40)
      local listener <close> = assert(saros.listen({ path = path }))
      local client <close> = assert(saros.connect({ path = path }))
      assert.are.equal("unix:" .. path, (client:peer_address()))
      assert.is_truthy(listener)
   end)
end)
