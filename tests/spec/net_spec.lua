-- net_spec.lua: connect, listen, accept, addresses, and the errors that they give.

local saros = require "saros"
local kit = require "support.kit"
require("support.leaks")(before_each, after_each)

local function path()
   local name = os.tmpname()
   os.remove(name)
   return name
end

local function echo(address)
   local listener <close> = assert(saros.listen(address))
   local client <close> = assert(saros.connect(listener:address()))
   local server <close> = assert(listener:accept())
   client:write("hello\n")
   assert.are.equal("hello", server:read())
   return listener:address(), client, server
end

describe("saros.listen and connect", function()
   it("meet over IPv4, and know both addresses", function()
      local listener <close> = assert(saros.listen("127.0.0.1:0"))
      local client <close> = assert(saros.connect(listener:address()))
      local server <close> = assert(listener:accept())
      assert.is_truthy(listener:address():match("^127%.0%.0%.1:%d+$"))
      assert.are.equal(listener:address(), client:peer_address())
      assert.are.equal(client:local_address(), server:peer_address())
      assert.are.equal(client:peer_address(), server:local_address())
   end)

   it("meet over localhost and all interfaces", function()
      echo("localhost:0")
      local listener <close> = assert(saros.listen("*:0"))
      local port = listener:address():match(":(%d+)$")
      local client <close> = assert(saros.connect("127.0.0.1:" .. port))
      local server <close> = assert(listener:accept())
      assert.is_truthy(server:peer_address())
      assert.is_truthy(client)
   end)

   it("meet over a Unix path, which is a socket file", function()
      kit.need_unix_sockets()
      local name = path()
      local address = echo("unix:" .. name)
      assert.are.equal("unix:" .. name, address)
      os.remove(name)
      saros.sleep(0.001) -- a completion kernel closes when it comes to that
      echo({ path = name })
      os.remove(name)
   end)

   it("take addresses as tables", function()
      local listener <close> = assert(saros.listen({ host = "127.0.0.1", port = 0 }))
      local port = tonumber(listener:address():match("^127%.0%.0%.1:(%d+)$"))
      assert.is_truthy(port)
      local client <close> = assert(saros.connect({ host = "127.0.0.1", port = port }))
      assert.are.equal("127.0.0.1:" .. port, client:peer_address())
      local any <close> = assert(saros.listen({ port = 0 }))
      assert.is_falsy(any:address():match("127%.0"))
   end)

   it("accept in the order of the connections, from several tasks", function()
      local listener <close> = assert(saros.listen("127.0.0.1:0"))
      local acceptors = {}
      for i = 1, 5 do acceptors[i] = saros.spawn(function() return listener:accept() end) end
      saros.sleep(0)
      local clients = {}
      for i = 1, 5 do
         clients[i] = assert(saros.connect(listener:address()))
         clients[i]:write(i .. "\n")
      end
      local accepted = saros.gather(acceptors)
      local lines = {}
      for i = 1, 5 do
         lines[i] = accepted[i]:read()
         accepted[i]:close()
         clients[i]:close()
      end
      table.sort(lines)
      assert.are.equal("1 2 3 4 5", table.concat(lines, " "))
   end)

   it("pass limits on to accepted streams", function()
      local client, server = kit.pair({ line_limit = 5 })
      client:write(("x"):rep(10))
      server:write(("x"):rep(10))
      assert.are.equal("ELIMIT", select(3, server:read()))
      assert.are.equal("ELIMIT", select(3, client:read()))
      client:close()
      server:close()
   end)
end)

describe("what the network does wrong", function()
   it("61: is nil, a message with the address, and ECONNREFUSED where nobody listens", function()
      local address = kit.free_address()
      local stream, message, code = saros.connect(address)
      assert.is_nil(stream)
      assert.are.equal("connect " .. address .. ": connection refused", message)
      assert.are.equal("ECONNREFUSED", code)
   end)

   it("is ENOENT for a path that is not there, ECONNREFUSED for a stale socket, EADDRINUSE when listening there", function()
      kit.need_unix_sockets()
      local name = path()
      assert.are.equal("ENOENT", select(3, saros.connect("unix:" .. name)))
      saros.listen("unix:" .. name):close()
      saros.sleep(0)
      if os.rename(name, name) then -- the socket file stays behind a listener
         assert.are.equal("ECONNREFUSED", select(3, saros.connect("unix:" .. name)))
         assert.are.equal("EADDRINUSE", select(3, saros.listen("unix:" .. name)))
         os.remove(name)
      end
      if not kit.lacks("sockets") then -- simulated ones are in no folder
         assert.are.equal("ENOENT", select(3, saros.listen("unix:/no/such/folder/socket")))
      end
   end)

   it("is EADDRINUSE for an address that somebody listens at", function()
      local listener <close> = assert(saros.listen("127.0.0.1:0"))
      local again, message, code = saros.listen(listener:address())
      assert.is_nil(again)
      assert.are.equal("listen " .. listener:address() .. ": address already in use", message)
      assert.are.equal("EADDRINUSE", code)
   end)

   it("is EADDRNOTAVAIL for an address that is not ours", function()
      assert.are.equal("EADDRNOTAVAIL", select(3, saros.listen("192.0.2.1:0")))
   end)

   it("leaves nothing behind where a connect is cancelled or times out", function()
      -- 192.0.2.0/24 is for documentation: packets go nowhere, or the route is refused at once.
      local stream, _, code = saros.timeout(0.01, saros.connect, "192.0.2.1:9")
      assert.is_nil(stream)
      assert.is_truthy(code)
   end)

   it("closes a connection that was won by a task that was cancelled meanwhile", function()
      local listener <close> = assert(saros.listen("127.0.0.1:0"))
      local task = saros.spawn(function()
         saros.connect(listener:address())
         saros.sleep(100)
      end)
      saros.sleep(0)
      task:cancel()
      saros.pcall(task.await, task)
      local acceptor = saros.spawn(function()
         listener:accept()
         saros.sleep(100)
      end)
      saros.sleep(0)
      acceptor:cancel()
      saros.pcall(acceptor.await, acceptor)
   end)
end)

describe("a listener", function()
   it("55: that is closed wakes those who accept with ECLOSED, and stays closed", function()
      local listener = assert(saros.listen("127.0.0.1:0"))
      local tasks = {}
      for i = 1, 3 do tasks[i] = saros.spawn(function() return table.pack(listener:accept()) end) end
      saros.sleep(0)
      assert.is_true(listener:close())
      assert.is_true(listener:close())
      for _, task in ipairs(tasks) do
         assert.are.same({ n = 3, nil, "closed", "ECLOSED" }, task:await())
      end
      assert.are.same({ n = 3, nil, "closed", "ECLOSED" }, table.pack(listener:accept()))
      assert.are.same({ n = 3, nil, "closed", "ECLOSED" }, table.pack(listener:address()))
   end)

   it("whose accept is cancelled goes on accepting", function()
      local listener <close> = assert(saros.listen("127.0.0.1:0"))
      assert.are.equal("ETIMEDOUT", select(3, saros.timeout(0.002, listener.accept, listener)))
      local client <close> = assert(saros.connect(listener:address()))
      local server <close> = assert(listener:accept())
      assert.is_truthy(client and server)
   end)

   it("refuses connections once it is closed, also those it had not accepted", function()
      local listener = assert(saros.listen("127.0.0.1:0"))
      local address = listener:address()
      local waiting = assert(saros.connect(address))
      listener:close()
      saros.sleep(0)
      assert.are.equal("ECONNREFUSED", select(3, saros.connect(address)))
      local _, _, code = waiting:read(1)
      assert.is_true(code == nil or code == "ECONNRESET")
      waiting:close()
   end)

   it("allows sixteen accepts at once, and answers EBUSY to the next", function()
      local listener = assert(saros.listen("127.0.0.1:0"))
      local tasks = {}
      for i = 1, 16 do tasks[i] = saros.spawn(function() return table.pack(listener:accept()) end) end
      saros.sleep(0)
      assert.are.equal("EBUSY", select(3, listener:accept()))
      listener:close()
      saros.gather(tasks)
   end)
end)

describe("an address", function()
   it("that can never be one raises and says what is wrong", function()
      for _, address in ipairs({ "", "127.0.0.1", "127.0.0.1:", "127.0.0.1:http", "127.0.0.1:-1", "127.0.0.1:65536",
                                 "127.0.0.1:80 ", "127.0.0.1: 80", "127.0.0.1:99999999999999999999", "127.0.0.1:+80",
                                 "127.0.0.1:0x50", "127.0.0.1:80.0", "1.2.3:80:90", "[::1]", "[::1]80", "[::1:80",
                                 "[::1%]:80", "::1:80", "unix:", "a\0b:80", "127.0.0.1:80\0", "unix:/tmp/a\0b",
                                 "unix:" .. ("x"):rep(108), ("h"):rep(256) .. ":80", ("h"):rep(70000) .. ":80" }) do
         for _, call in ipairs({ saros.connect, saros.listen }) do
            local text = kit.text_of(call, address)
            assert.is_truthy(text:find("bad argument #1", 1, true), ("%q: %s"):format(address, text))
         end
      end
   end)

   it("as a table is checked field by field", function()
      local cases = { [{ host = "127.0.0.1" }] = "port", [{ host = {}, port = 1 }] = "host", [{ host = 1, port = 1 }] = "host",
                      [{ port = "x" }] = "port", [{ port = 1.5 }] = "port", [{ host = "127.0.0.1", port = -1 }] = "port",
                      [{ host = "127.0.0.1", port = 65536 }] = "port", [{ host = "127.0.0.1", port = 2 ^ 32 }] = "port",
                      [{ path = {} }] = "path", [{ path = 1 }] = "path", [{ path = "" }] = "path",
                      [{ path = "a\0b" }] = "zero", [{ hots = "127.0.0.1", port = 1 }] = "hots",
                      [{ host = "a\0b", port = 1 }] = "zero" }
      for address, part in pairs(cases) do
         local text = kit.text_of(saros.connect, address)
         assert.is_truthy(text:find("bad argument #1", 1, true), text)
         assert.is_truthy(text:lower():find(part, 1, true), part .. ": " .. text)
      end
      for _, value in ipairs({ true, print, io.stdout }) do kit.raises("bad argument #1", saros.connect, value) end
      kit.raises("bad argument #1", saros.connect)
      kit.raises("unknown option", saros.connect, "127.0.0.1:1", { timout = 1 })
      kit.raises("bad argument #2", saros.connect, "127.0.0.1:1", 5)
   end)

   it("with a name is nothing to listen at; in a simulated world its hosts' names are the only ones", function()
      local result, message, code = saros.listen("example.org:80")
      assert.is_nil(result)
      assert.is_truthy(message:find("example.org:80", 1, true))
      assert.are.equal(kit.driver == "sim" and "ENAME" or "ENOSYS", code)
      if kit.driver == "sim" then assert.are.equal("ENAME", select(3, saros.connect("example.org:80"))) end
   end)
end)
