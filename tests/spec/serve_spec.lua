-- serve_spec.lua: saros.serve: handlers, errors in them, close, shutdown, limits, many clients.

local saros = require "saros"
local kit = require "support.kit"
require("support.leaks")(before_each, after_each)
if not kit.lacks("sockets") then saros.resolve("127.0.0.1", "80") end -- the service has descriptors of its own from now on

local function echo(stream)
   for line in stream:lines("L") do stream:write(line) end
end

local function ask(address, line)
   local client <close> = assert(saros.connect(address))
   assert(client:write(line, "\n"))
   return client:read()
end

local function finish(server, seconds)
   assert.is_true(server:shutdown(seconds or 1))
end

describe("saros.serve", function()
   it("returns at once, and serves", function()
      local server = assert(saros.serve("127.0.0.1:0", echo))
      assert.are.equal("hello", ask(server:address(), "hello"))
      finish(server)
   end)

   it("gives the handler the stream and the peer's address", function()
      local peer, own
      local server = assert(saros.serve("127.0.0.1:0", function(_, address) peer = address end))
      local client <close> = assert(saros.connect(server:address()))
      own = client:local_address()
      kit.wait_until(function() return peer end)
      assert.are.equal(own, peer)
      finish(server)
   end)

   it("closes the stream when the handler ends", function()
      local server = assert(saros.serve("127.0.0.1:0", function(stream) stream:write("bye") end))
      local client <close> = assert(saros.connect(server:address()))
      assert.are.equal("bye", client:read("a"))
      finish(server)
   end)

   it("serves two hundred clients at once, each its own", function()
      local server = assert(saros.serve("127.0.0.1:0", echo))
      local asks = {}
      for i = 1, 200 do asks[i] = function() return ask(server:address(), "client " .. i) end end
      local answers = saros.gather(asks)
      for i = 1, 200 do assert.are.equal("client " .. i, answers[i]) end
      finish(server)
   end)

   it("reports a handler's error at once with both addresses, closes its stream, and goes on", function()
      local output, code = kit.script([[
         local server = saros.serve("127.0.0.1:0", function(stream)
            if stream:read() == "bad" then error("handler failed") end
            stream:write("fine\n")
         end)
         local function ask(line)
            local client <close> = saros.connect(server:address())
            client:write(line, "\n")
            return client:read()
         end
         print(ask("bad"))
         print(ask("good"))
         server:shutdown(1)]])
      assert.are.equal(1, code)
      assert.matches("saros: task connection from 127%.0%.0%.1:%d+ to 127%.0%.0%.1:%d+ failed and nobody awaited it: [^\n]*"
         .. "handler failed\n", output)
      assert.is_truthy(output:find("nil\n", 1, true), output)
      assert.is_truthy(output:find("fine\n", 1, true), output)
   end)

   it("that is closed stops accepting at once; its handlers go on", function()
      local server = assert(saros.serve("127.0.0.1:0", echo))
      local client <close> = assert(saros.connect(server:address()))
      client:write("one\n")
      assert.are.equal("one", client:read())
      assert.is_true(server:close())
      assert.is_true(server:close())
      saros.sleep(0)
      assert.are.equal("ECONNREFUSED", select(3, saros.connect(server:address())))
      client:write("two\n")
      assert.are.equal("two", client:read())
      client:close()
      assert.is_true(server:wait())
   end)

   it("is waited for until its last handler has ended, by several tasks", function()
      local server = assert(saros.serve("127.0.0.1:0", echo))
      local client = assert(saros.connect(server:address()))
      client:write("x\n")
      client:read()
      server:close()
      local a, b = saros.spawn(server.wait, server), saros.spawn(server.wait, server)
      saros.sleep(0.002)
      assert.is_false(a:done() or b:done())
      client:close()
      assert.is_true(a:await())
      assert.is_true(b:await())
   end)

   it("shuts down in peace where handlers end in time, and cancels those that do not", function()
      local log = kit.log()
      local server = assert(saros.serve("127.0.0.1:0", function(stream)
         local _ <close> = setmetatable({}, {
            __close = function(_, err) log(tostring(saros.is_cancelled(err) ~= false)) end,
         })
         stream:write("x")
         local seconds = stream:read("n")
         saros.sleep(seconds)
      end))
      local quick, slow = assert(saros.connect(server:address())), assert(saros.connect(server:address()))
      quick:read(1)
      slow:read(1)
      quick:write("0.001\n")
      slow:write("1000\n")
      assert.is_true(server:shutdown(0.2))
      assert.are.equal("false true", table.concat(log, " "))
      quick:close()
      slow:close()
   end)

   it("shuts down at once where it is given no time", function()
      local server = assert(saros.serve("127.0.0.1:0", echo))
      local client <close> = assert(saros.connect(server:address()))
      local began = saros.now()
      assert.is_true(server:shutdown(0))
      assert.is_true(saros.now() - began < 0.5)
      assert.is_true(server:shutdown(0))
      assert.is_truthy(client)
   end)

   it("never has more handlers than its limit", function()
      local now, most = 0, 0
      local server = assert(saros.serve("127.0.0.1:0", function(stream)
         now = now + 1
         most = math.max(most, now)
         echo(stream)
         now = now - 1
      end, { limit = 3 }))
      local asks = {}
      for i = 1, 20 do asks[i] = function() return ask(server:address(), tostring(i)) end end
      assert.are.equal(20, saros.gather(asks).n)
      assert.is_true(most <= 3)
      finish(server)
   end)

   it("shuts down while it waits for a place", function()
      local server = assert(saros.serve("127.0.0.1:0", echo, { limit = 1 }))
      local client <close> = assert(saros.connect(server:address()))
      client:write("x\n")
      client:read()
      assert.is_true(server:shutdown(0.002))
   end)

   it("can stand in a <close> variable", function()
      local address
      do
         local server <close> = assert(saros.serve("127.0.0.1:0", echo))
         address = server:address()
      end
      saros.sleep(0)
      assert.are.equal("ECONNREFUSED", select(3, saros.connect(address)))
   end)

   it("passes on what listen answers", function()
      local server = assert(saros.serve("127.0.0.1:0", echo))
      local second, message, code = saros.serve(server:address(), echo)
      assert.is_nil(second)
      assert.is_truthy(message:find("address already in use", 1, true))
      assert.are.equal("EADDRINUSE", code)
      finish(server)
   end)

   it("names wrong arguments", function()
      kit.raises("bad argument #2 to 'serve'", saros.serve, "127.0.0.1:0")
      kit.raises("bad argument #2 to 'serve'", saros.serve, "127.0.0.1:0", {})
      kit.raises("bad argument #1", saros.serve, "nonsense", echo)
      for _, limit in ipairs({ 0, -1, 1.5, "1", {} }) do
         kit.raises("option 'limit'", saros.serve, "127.0.0.1:0", echo, { limit = limit })
      end
      kit.raises("unknown option 'limits'", saros.serve, "127.0.0.1:0", echo, { limits = 1 })
      kit.raises("bad argument #3", saros.serve, "127.0.0.1:0", echo, 5)
   end)

   kit.needs("sockets", it, pending)("pauses where no descriptor is left, says so once, and goes on when there is one", function()
      if kit.windows then kit.skip("no such limit here") end
      local output, errors, code = kit.run_apart("ulimit -n 40; SAROS_DRIVER=" .. kit.driver, "-e", [[
         local saros = require "saros"
         local server = assert(saros.serve("127.0.0.1:0", function(stream) stream:write(stream:read("L")) end))
         local first = assert(saros.connect(server:address()))
         saros.sleep(0.01)
         local held, clients = {}, {}
         for i = 1, 60 do held[i] = io.open("/dev/null") end
         held[#held]:close() -- one for a client, and none for its other end
         clients[1] = assert(saros.connect(server:address()))
         saros.sleep(1.2) -- two pauses
         first:write("go on\n")
         print(first:read())
         for _, file in ipairs(held) do if io.type(file) == "file" then file:close() end end
         clients[1]:write("me too\n")
         print(clients[1]:read())
         server:shutdown(0)
      ]])
      assert.are.equal("go on\nme too\n", output, errors)
      assert.are.equal(0, code, errors)
      local count = select(2, errors:gsub("accepting pauses for a second", ""))
      assert.are.equal(1, count, errors)
   end)

   kit.needs(kit.lacks("shell") and "shell" or "sockets", it, pending)(
      "I16: shares a port with other processes, and a connection wakes one of them", function()
      local WORKERS <const>, CONNECTIONS <const> = 4, 240
      local work <const> = [[
         local saros = require "saros"
         local server, _, code = saros.serve(arg[1], function(stream) stream:write(arg[2], "\n") end, {reuse_port = true})
         saros.stdout:write(server and server:address() or code, "\n")
         saros.stdin:read("a") -- until it ends
         if server then server:shutdown(10) end]]
      local workers, counts, address = {}, {}, "127.0.0.1:0"
      local _ <close> = setmetatable({}, {__close = function()
         for i, worker in ipairs(workers) do
            worker:close()
            os.remove(counts[i])
         end
      end})
      for i = 1, WORKERS do
         counts[i] = os.tmpname()
         workers[i] = assert(saros.process.spawn({kit.host, "--driver", kit.driver, "--counts", counts[i], "-e", work, address,
            tostring(i), stdin = "pipe", stdout = "pipe"}))
         address = assert(workers[i].stdout:read())
         if address == "ENOSYS" then kit.skip("no ports to share here") end
      end
      local served, woken = {0, 0, 0, 0}, 0
      for _ = 1, CONNECTIONS do
         local client <close> = assert(saros.connect(address))
         local worker = tonumber(client:read())
         served[worker] = served[worker] + 1
      end
      for i, worker in ipairs(workers) do
         worker.stdin:close()
         assert.are.same({"exit", 0}, {worker:wait()})
         woken = woken + tonumber(kit.slurp(counts[i]):match("^%d+ %d+ (%d+)"))
         assert(served[i] > CONNECTIONS / 20, table.concat(served, " ")) -- by chance, about a quarter
      end
      assert(woken < 2 * CONNECTIONS, ("%d wake-ups for %d connections"):format(woken, CONNECTIONS))
   end)
end)
