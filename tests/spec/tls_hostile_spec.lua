-- tls_hostile_spec.lua: TLS where the other end, or whoever is between, does what it should not.

local saros = require "saros"
local kit = require "support.kit"
local files = saros._tls.info and require("support.certificates").make()
require("support.leaks")(before_each, after_each)

if not files then
   describe("TLS with hostile peers", function() pending("(no OpenSSL here)") end)
   return
end
teardown(files.remove)

local SERVER <const> = {server = true, cert = files.server, key = files.server_key}
local context = assert(saros.tls.context{ca = files.ca})
local server_context = assert(saros.tls.context{cert = files.server, key = files.server_key})
local CLIENT <const> = {context = context, host = "localhost"}
local SHARED <const> = {server = true, context = server_context}
local ALL <const> = 1 << 40

local function closer(...)
   local streams = {...}
   return setmetatable({}, {
      __close = function()
         for _, stream in ipairs(streams) do stream:close() end
      end,
   })
end

local function relay(from, to, limit)
   while limit > 0 do
      local data = from:read_some(limit)
      if not data or not to:write(data) then break end
      limit = limit - #data
   end
   from:close()
   to:close()
end

-- Two streams with somebody between them, who passes on so many bytes from the server, and from the client, and then closes
-- both; and a value for a <close> variable.
local function between(from_server, from_client)
   local client, left = kit.pair()
   local right, server = kit.pair()
   local tasks = {saros.spawn(relay, right, left, from_server or ALL), saros.spawn(relay, left, right, from_client or ALL)}
   return client, server, setmetatable({}, {
      __close = function()
         for _, stream in ipairs{client, server, left, right} do stream:close() end
         for _, task in ipairs(tasks) do saros.pcall(task.await, task) end
      end,
   })
end

local function shake(client, server, theirs, ours)
   local results = saros.gather({
      function() return table.pack(client:start_tls(theirs or CLIENT)) end,
      function() return table.pack(server:start_tls(ours or SHARED)) end,
   })
   return results[1], results[2]
end

local function closed(stream) return select(3, stream:read()) == "ECLOSED" end

describe("a TLS handshake", function()
   -- How many bytes a whole handshake takes from the server, and from the client.
   local function sizes()
      local counts = {0, 0}
      local client, left = kit.pair()
      local right, server = kit.pair()
      local _ <close> = closer(client, left, right, server)
      local function count(from, to, i)
         for data in function() return from:read_some() end do
            counts[i] = counts[i] + #data
            to:write(data)
         end
      end
      local one, two = saros.spawn(count, right, left, 1), saros.spawn(count, left, right, 2)
      local results = table.pack(shake(client, server))
      assert(results[1][1] and results[2][1])
      kit.turns(20)
      client:close()
      server:close()
      one:await()
      two:await()
      return counts[1], counts[2]
   end

   it("that is cut at any byte is an error with a name, and closes its stream", function()
      local from_server, from_client = sizes()
      local step = kit.driver == "sim" and not (kit.faults or ""):find("completion") and 1 or 31
      for cut = 0, from_server - 640, step do -- the last bytes are tickets, which a client need not see; signatures differ in length
         local client, server, _ <close> = between(cut)
         local theirs = shake(client, server)
         assert.is_nil(theirs[1], cut)
         assert.is_truthy(theirs[3] == "ETRUNCATED" or theirs[3] == "ECONNRESET" or theirs[3] == "ETLS", theirs[3])
         assert.is_true(closed(client))
      end
      for cut = 0, from_client - 60, step do
         local client, server, _ <close> = between(nil, cut)
         local _, ours = shake(client, server)
         assert.is_nil(ours[1], cut)
         assert.is_truthy(ours[3] == "ETRUNCATED" or ours[3] == "ECONNRESET" or ours[3] == "EPIPE", ours[3])
         assert.is_true(closed(server))
      end
   end)

   it("whose task is cancelled after any number of turns leaves nothing", function()
      for turns = 1, 14 do
         local client, server = kit.pair()
         local _ <close> = closer(client, server)
         local one = saros.spawn(client.start_tls, client, CLIENT)
         local two = saros.spawn(server.start_tls, server, SHARED)
         kit.turns(turns)
         one:cancel()
         local ok = saros.pcall(one.await, one)
         assert.is_true(ok or closed(client))
         two:cancel()
         saros.pcall(two.await, two)
      end
   end)

   it("of a generator that is closed leaves a stream that only can be closed", function()
      local client, server = kit.pair()
      local _ <close> = closer(client, server)
      local task = saros.spawn(function()
         local co = coroutine.create(function() client:start_tls(CLIENT) end)
         local waiting = saros.spawn(function()
            kit.turns(2)
            coroutine.close(co)
         end)
         coroutine.resume(co)
         waiting:await()
      end)
      task:await()
      assert.are.equal("ETLS", (select(3, client:write("in plain?"))))
      assert.is_nil((client:read()))
   end)

   it("has one deadline, however slowly the other end goes on", function()
      local client, server = kit.pair()
      local _ <close> = closer(client, server)
      local slow = saros.spawn(function()
         for byte in ("\22\3\1\0\200\1\0\0\196\3\3" .. ("\0"):rep(150)):gmatch(".") do
            if not client:write(byte) then return end
            saros.sleep(0.02)
         end
      end)
      local began = saros.now()
      local stream, message, code = saros.tls.server(server, {context = server_context, timeout = 0.2})
      assert.is_nil(stream)
      assert.are.equal("ETIMEDOUT", code)
      assert.is_truthy(message:find("TLS with .*: timed out"), message)
      assert.is_true(saros.now() - began < 1.5)
      assert.is_true(closed(server))
      slow:cancel()
      saros.pcall(slow.await, slow)
   end)

   it("with somebody who speaks plain text is an error at both ends", function()
      for _, text in ipairs{"GET / HTTP/1.0\r\n\r\n", "\r\n\r\n\r\n\r\n\r\n", "\22\3\1\255\255" .. ("x"):rep(300), ("\0"):rep(100)} do
         local client, server = kit.pair()
         local _ <close> = closer(client, server)
         client:write(text)
         local stream, message, code = saros.tls.server(server, {context = server_context})
         assert.is_nil(stream)
         assert.are.equal("ETLS", code, message)
         client:read("a")
      end
      local client, server = kit.pair()
      local _ <close> = closer(client, server)
      server:write("220 welcome\r\n")
      local stream, message, code = saros.tls.client(client, CLIENT)
      assert.is_nil(stream)
      assert.are.equal("ETLS", code)
      assert.is_truthy(message:find("wrong version number", 1, true), message)
   end)

   it("never takes for protected what was received in plain before it (STARTTLS injection)", function()
      local client, server = kit.pair()
      local _ <close> = closer(client, server)
      client:write("STARTTLS\nRCPT TO:<evil>\n")
      assert.are.equal("STARTTLS", server:read())
      local stream, message, code = server:start_tls(SHARED)
      assert.is_nil(stream)
      assert.are.equal("ETLS", code)
      assert.is_truthy(message:find("15 bytes were received in plain before TLS began", 1, true), message)
      assert.are.equal("RCPT TO:<evil>", server:read())
   end)

   it("begins in the middle of a conversation (STARTTLS), once", function()
      local client, server = kit.pair()
      local _ <close> = closer(client, server)
      local task = saros.spawn(function()
         assert.are.equal("STARTTLS", server:read())
         server:write("go ahead\n")
         assert(server:start_tls(SERVER))
         server:write(server:read("L"))
      end)
      client:write("STARTTLS\n")
      assert.are.equal("go ahead", client:read())
      assert.are.equal(client, client:start_tls(CLIENT))
      client:write("secret\n")
      assert.are.equal("secret", client:read())
      assert.are.equal("EISCONN", (select(3, client:start_tls(CLIENT))))
      task:await()
   end)

   it("does not begin while another task reads or writes", function()
      local client, server = kit.pair()
      local _ <close> = closer(client, server)
      local reader = saros.spawn(client.read, client)
      kit.turns(1)
      assert.are.equal("EBUSY", (select(3, client:start_tls(CLIENT))))
      server:write("x\n")
      assert.are.equal("x", reader:await())
      server:close()
      kit.turns(2)
      assert.is_nil((client:read()))
      assert.are.equal("EEOF", (select(3, client:start_tls(CLIENT))))
   end)
end)

describe("a TLS connection", function()
   it("that ends without close-notify was truncated, after all that came before", function()
      local client, left = kit.pair()
      local right, server = kit.pair()
      local _ <close> = closer(client, left, right, server)
      local forth = saros.spawn(relay, right, left, ALL)
      local back = saros.spawn(relay, left, right, ALL)
      shake(client, server)
      server:write("a whole line\nhalf a li")
      assert.are.equal("a whole line", client:read())
      kit.turns(5)
      left:shutdown()
      local line, message, code = client:read()
      assert.is_nil(line)
      assert.are.equal("ETRUNCATED", code)
      assert.is_truthy(message:find("close-notify", 1, true))
      assert.are.equal("ETRUNCATED", (select(3, client:read("a"))))
      assert.are.equal("half a li", client:read_some())
      assert.are.equal("ETRUNCATED", (select(3, client:read_some())))
      client:close()
      forth:await()
      back:await()
   end)

   it("takes no record that is too long, forged, or in plain", function()
      for _, forged in ipairs{"\23\3\3\255\255" .. ("x"):rep(70000), "\23\3\3\0\40" .. ("x"):rep(40), "hello in plain\n"} do
         local client, server = kit.pair()
         local middle, inner = kit.pair()
         local _ <close> = closer(client, server, middle, inner)
         local back = saros.spawn(relay, middle, server, ALL)
         local limit = saros.spawn(function()
            while true do
               local data = server:read_some()
               if not data then return end
               middle:write(data)
            end
         end)
         local theirs = shake(client, inner)
         assert(theirs[1], theirs[2])
         inner:write("good\n")
         assert.are.equal("good", client:read())
         limit:cancel()
         saros.pcall(limit.await, limit)
         local sender = saros.spawn(server.write, server, forged)
         local line, message, code = client:read()
         assert.is_nil(line)
         assert.are.equal("ETLS", code, message)
         assert.are.equal("ETLS", (select(3, client:write("x"))), "and nothing more is said")
         client:close()
         inner:close()
         sender:await()
         back:await()
      end
   end)

   it("closes, and tells the other end so, also where that sends without pause", function()
      local client, server = kit.pair()
      local _ <close> = closer(client, server)
      shake(client, server)
      local sender = saros.spawn(function()
         while server:write(("x"):rep(10000)) do end
      end)
      client:read_some()
      client:close()
      sender:await()
   end)

   it("does not keep answers without end for a peer that asks for new keys and takes none of them", function()
      local peers = kit.module "tls_peer"
      if not peers then kit.skip("OpenSSL cannot be linked here") end
      local raw, server = assert(saros.pair())
      local _ <close> = closer(raw, server)
      server:option("send_buffer", 4096)
      local theirs = saros.spawn(function() return server:start_tls(SHARED) end)
      local peer = peers.new()
      local said, done = (peer:turn(""))
      raw:write(said)
      repeat
         said, done = peer:turn(assert(raw:read_some()))
         raw:write(said)
      until done
      assert(theirs:await())
      local reader = saros.spawn(function() return server:read() end)
      local asked = 0
      local ended = saros.timeout(30, function()
         repeat asked = asked + 500 until not raw:write(peer:ask(500)) or reader:done() or asked > 1000000
      end)
      assert.is_nil(ended) -- no time-out: the write has failed, or the reader has its error
      local line, message, code = saros.timeout(30, reader.await, reader)
      assert.is_nil(line)
      assert.are.equal("ETLS", code)
      assert.matches("asks for new keys", message)
      assert.is_true(asked < 200000, asked)
   end)

   it("counts what a write has sent once, in whatever turn that is cancelled", function()
      local text = ("0123456789"):rep(100000)
      for turns = 0, 50 do
         local client, server = kit.pair()
         local _ <close> = closer(client, server)
         shake(client, server)
         local reader = saros.spawn(server.read_exactly, server, #text)
         local cut = 0 -- where it is cancelled before it has begun
         local writer = saros.spawn(function()
            local _told <close> = setmetatable({}, {__close = function(_, err) cut = err and client:_cut() or #text end})
            client:write(text)
         end)
         kit.turns(turns)
         writer:cancel()
         saros.pcall(writer.await, writer)
         if cut < #text then client:write(text:sub(cut + 1)) end
         assert.is_true(saros.timeout(10, reader.await, reader) == text, turns)
      end
   end)

   it("counts it once also where it is told and timed out in one turn", function()
      if kit.lacks("time") then kit.skip(kit.lacks("time")) end
      local text = ("0123456789"):rep(1000000)
      for round = 1, 10 do
         local client, server = kit.pair()
         local _ <close> = closer(client, server)
         shake(client, server)
         local cut
         local deadline = saros.now() + 0.02
         local writer = saros.spawn(function()
            cut = saros.timeout(0.02, client.write, client, text) and #text or client:_cut()
         end)
         kit.turns(round)
         local parts = {}
         for i = 1, round do parts[i] = saros.timeout(0, server.read_some, server) or "" end -- nothing of it has come yet
         repeat until saros.now() > deadline + 0.001
         writer:await()
         local rest = saros.spawn(client.write, client, text:sub(cut + 1))
         local got = table.concat(parts)
         got = got .. assert(saros.timeout(20, server.read_exactly, server, #text - #got))
         rest:await()
         assert.is_true(got == text)
      end
   end)

   it("is closed when the script has forgotten it", function()
      local server = kit.pair()
      server:close()
      do
         local client, other = kit.pair()
         shake(client, other)
      end
      collectgarbage()
      collectgarbage()
   end)
end)

describe("TLS in a simulated world", function()
   it("loses nothing and takes nothing for an end, whatever goes wrong", function()
      local finished, broken = 0, 0
      for seed = 1, 40 do
         local kind = seed % 2 == 0 and "completion" or "readiness"
         local loop <close> = saros.loop{driver = "sim", seed = seed, faults = kind .. ",short,slow,spurious,early,shuffle,lost-cancel,reset=0.003"}
         loop:run(function()
            local text = ("0123456789"):rep(12000)
            local server <close> = assert(saros.serve("127.0.0.1:0", function(stream)
               local all = stream:read("a")
               if all then stream:write(all) end
            end, {tls = server_context}))
            local stream = saros.connect(server:address(), {tls = CLIENT})
            if not stream then
               broken = broken + 1
               return server:shutdown(1)
            end
            local _ <close> = stream
            local sent = stream:write(text) and stream:shutdown()
            local got, _, code = stream:read("a")
            if sent and got then
               assert(got == text, "not what was sent")
               finished = finished + 1
            else
               assert(sent == nil or code, "an error without a code")
               broken = broken + 1
            end
            server:shutdown(1)
         end)
      end
      assert.are.equal(40, finished + broken)
      assert.is_true(finished > 5 and broken > 2, finished .. " " .. broken)
   end)
end)
