-- tls_serve_spec.lua: saros.serve with the option tls: handshakes are each connection's own business.

local saros = require "saros"
local kit = require "support.kit"
local files = require("support.certificates").of_spec("saros.serve with tls", describe, pending, teardown)
if not files then return end
require("support.leaks")(before_each, after_each)

local CLIENT <const> = {tls = {ca = files.ca, host = "localhost"}}

local function options(more)
   local tls = {cert = files.server, key = files.server_key}
   for key, value in pairs(more or {}) do tls[key] = value end
   return tls
end

local function echo(stream)
   for line in function() return (stream:read("L")) end do stream:write(line) end
end

local function ask(server, line)
   local client <close> = assert(saros.connect(server:address(), CLIENT))
   assert(client:write(line, "\n"))
   return client:read(), client:tls_info().peer.fingerprint
end

-- Runs it in a host of its own, with what a client needs as `server` and `ask`: what it has reported.
local function reported(tls, body)
   local output, code = kit.script(([[
      local server = assert(saros.serve("127.0.0.1:0", function(stream)
         for line in stream:lines("L") do stream:write(line) end
      end, {tls = {cert = %q, key = %q, %s}}))
      local function ask(line)
         local client <close> = assert(saros.connect(server:address(), {tls = {ca = %q, host = "localhost"}}))
         assert(client:write(line, "\n"))
         return client:read()
      end
      %s
      assert(ask("at last") == "at last")
      server:shutdown(1)
   ]]):format(files.server, files.server_key, tls, files.ca, body))
   assert.are.equal(0, code, output)
   return output
end

describe("saros.serve with tls", function()
   it("is not held up by clients that never begin, and closes them when their time is over, which is said", function()
      local output = reported("timeout = 0.2", [[
         local silent = {}
         for i = 1, 5 do silent[i] = assert(saros.connect(server:address())) end
         assert(ask("meanwhile") == "meanwhile")
         local began = saros.now()
         for i = 1, 5 do
            assert(saros.timeout(5, function() return (silent[i]:read("a")) or "" end))
            silent[i]:close()
         end
         assert(saros.now() - began < 3)
      ]])
      local _, times = output:gsub("serve 127%.0%.0%.1:%d+: TLS with 127%.0%.0%.1:%d+: timed out", "")
      assert.are.equal(5, times, output)
   end)

   it("reports each handshake that fails, with the reason, and goes on", function()
      local output = reported("", [[
         for _, text in ipairs{"GET / HTTP/1.0\r\n\r\n", "\22\3\1", ""} do
            local client <close> = assert(saros.connect(server:address()))
            client:write(text)
            client:shutdown()
            client:read("a")
         end
         assert(not saros.connect(server:address(), {tls = {host = "localhost"}})) -- trusts nobody
      ]])
      local _, times = output:gsub("serve 127%.0%.0%.1:%d+: TLS with 127%.0%.0%.1:%d+: ", "")
      assert.are.equal(4, times, output)
      assert.is_truthy(output:find("http request", 1, true), output)
      assert.is_truthy(output:find("alert unknown ca", 1, true), output)
   end)

   it("calls no handler for a handshake that failed, and gives the others all the time they want", function()
      local called = 0
      local server <close> = assert(saros.serve("127.0.0.1:0", function(stream)
         called = called + 1
         saros.sleep(0.15)
         echo(stream)
      end, {tls = options{timeout = 0.1, verify = "required", ca = files.ca}}))
      local own = {ca = files.ca, host = "localhost", cert = files.client, key = files.client_key}
      local client <close> = assert(saros.connect(server:address(), {tls = own}))
      assert(client:write("late\n"))
      assert.are.equal("late", client:read())
      client:close()
      local nobody = saros.connect(server:address(), CLIENT) -- TLS 1.3: it learns of it when it reads
      if nobody then
         assert.is_nil((nobody:read()))
         nobody:close()
      end
      server:shutdown(1)
      assert.are.equal(1, called)
   end)

   it("gives the places of those that never begin to others, where there is a limit", function()
      local server <close> = assert(saros.serve("127.0.0.1:0", echo, {limit = 2, tls = options{timeout = 0.1}}))
      local first, second = assert(saros.connect(server:address())), assert(saros.connect(server:address()))
      saros.sleep(0.01)
      assert.are.equal("third", (saros.timeout(10, ask, server, "third")))
      first:close()
      second:close()
      server:shutdown(1)
   end)

   it("takes new certificates without a pause, and old connections go on", function()
      local context = assert(saros.tls.context{cert = files.server, key = files.server_key})
      local server <close> = assert(saros.serve("127.0.0.1:0", echo, {tls = context}))
      local old <close> = assert(saros.connect(server:address(), CLIENT))
      local _, before = ask(server, "one")
      assert.are.equal(before, old:tls_info().peer.fingerprint)
      assert.is_true(context:reload{cert = files.renewed, key = files.renewed_key})
      local line, after = ask(server, "two")
      assert.are.equal("two", line)
      assert.are_not.equal(before, after)
      assert.is_nil((context:reload{cert = files.nonsense}))
      assert.are.same({"three", after}, {ask(server, "three")})
      old:write("still here\n")
      assert.are.equal("still here", old:read())
      old:close()
      server:shutdown(1)
   end)

   it("closed finishes the handshakes that have begun; shut down, it ends them", function()
      local server = assert(saros.serve("127.0.0.1:0", echo, {tls = options()}))
      local late = assert(saros.connect(server:address()))
      local silent = assert(saros.connect(server:address()))
      kit.wait_until(function() return server.count == 2 end)
      server:close()
      assert(late:start_tls(CLIENT.tls))
      late:write("served\n")
      assert.are.equal("served", late:read())
      late:close()
      local began = saros.now()
      assert.is_true(server:shutdown(0.05))
      assert.is_true(saros.now() - began < 2)
      assert.is_nil((silent:read()))
      silent:close()
   end)

   it("is not ended by clients that leave in the middle of their handshake", function()
      local server <close> = assert(saros.serve("127.0.0.1:0", echo, {tls = options()}))
      for turns = 0, 12 do
         local client = assert(saros.connect(server:address()))
         local shakes = saros.spawn(client.start_tls, client, CLIENT.tls)
         kit.turns(turns)
         if turns % 2 == 0 then client:abort() else client:close() end
         shakes:await()
      end
      assert.are.equal("after all", (ask(server, "after all")))
      server:shutdown(1)
   end)
end)
