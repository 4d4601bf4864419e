-- peers_spec.lua: our streams and programs of others on the two ends of a connection: curl, socat, nginx, redis-server,
-- Python's asyncio. What only their way of using a socket shows: reading in other pieces, resets, dying in the middle.

local saros = require "saros"

local kit = require "support.kit"
local servers = require "support.servers"
require("support.leaks")(before_each, after_each)

-- The service has descriptors of its own until the loop closes, from the first process on.
if not kit.lacks("sockets") then saros.resolve("127.0.0.1", "80") end

-- Runs a program to its end: what it wrote; a case fails where it fails.
local function run(words)
   words.stderr, words.timeout = words.stderr or "stdout", 60
   local result, message, code = saros.process.run(words)
   if not result and code == "ENOSYS" then kit.skip(message) end
   assert(result, message)
   assert.are.same({true, "exit", 0}, {result.ok, result.how, result.code}, result.stdout)
   return result.stdout
end

-- 256 different bytes, again and again, with a number in each kilobyte: what is lost, doubled or moved is seen.
local function numbered(kilobytes)
   local block, pieces = {}, {}
   for i = 0, 255 do block[i + 1] = string.char(i) end
   block = table.concat(block):rep(4):sub(9)
   for i = 1, kilobytes do pieces[i] = ("%08d"):format(i) .. block end
   return table.concat(pieces)
end

-- A very small HTTP/1.1 server, one request for each connection.
local function http_server(fn, options)
   return assert(saros.serve("127.0.0.1:0", function(stream)
      local head = stream:read_until("\r\n\r\n")
      if not head then return end
      local length = math.tointeger(tonumber(head:match("[Cc]ontent%-[Ll]ength: (%d+)"))) or 0
      if head:find("Expect: 100-continue", 1, true) then stream:write("HTTP/1.1 100 Continue\r\n\r\n") end
      fn(stream, head, length > 0 and assert(stream:read_exactly(length)) or "")
   end, options))
end

local function answer(stream, body)
   return stream:write("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: ", #body, "\r\n\r\n", body)
end

local function text(bytes, message) return bytes or error(message, 2) end

-- ---- curl --------------------------------------------------------------------------------------------------------

describe("curl", function()
   it("gets back what it has posted, to the byte", function()
      servers.need("curl")
      local folder <close> = servers.folder()
      local data = numbered(2000)
      servers.write(folder, "sent", data)
      local server <close> = http_server(function(stream, _, body) answer(stream, body) end)
      local got = run{"curl", "-sS", "--data-binary", "@" .. folder.name .. "/sent", "http://" .. server:address() .. "/"}
      assert.is_true(got == data)
   end)

   it("reads an answer without a length until our end, and one in chunks", function()
      servers.need("curl")
      local server <close> = http_server(function(stream, head)
         if head:find("^GET /chunks ") then
            stream:write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for i = 1, 100 do
               local piece = ("chunk %d\n"):format(i)
               stream:write(("%x\r\n"):format(#piece), piece, "\r\n")
            end
            stream:write("0\r\n\r\n")
         else
            stream:write("HTTP/1.0 200 OK\r\n\r\n", numbered(500))
         end
      end)
      local url = "http://" .. server:address()
      assert.is_true(run{"curl", "-sS", url .. "/all"} == numbered(500))
      assert.are.equal(100, select(2, run{"curl", "-sS", url .. "/chunks"}:gsub("chunk %d+\n", "")))
   end)

   it("comes fifty times at once, and each gets its own", function()
      servers.need("curl")
      local waiting, go = 0, saros.event()
      local server <close> = http_server(function(stream, head)
         waiting = waiting + 1
         if waiting == 50 then go:set() end
         go:wait()
         answer(stream, head:match("^GET (%S+)"))
      end)
      local words = {"curl", "-sS", "--parallel", "--parallel-immediate", "--parallel-max", "50"}
      words[#words + 1] = ("http://%s/%s"):format(server:address(), "[1-50]")
      local all = {}
      for number in run(words):gmatch("/(%d+)") do all[tonumber(number)] = (all[tonumber(number)] or 0) + 1 end
      for i = 1, 50 do assert.are.equal(1, all[i]) end
   end)

   it("gives up in the middle of an answer, and we are told by the write", function()
      servers.need("curl")
      local told = saros.future()
      local server <close> = http_server(function(stream)
         stream:write("HTTP/1.1 200 OK\r\n\r\n")
         local ok, _, code
         repeat ok, _, code = stream:write(("x"):rep(65536)) until not ok
         told:set_result(code)
      end)
      local result = saros.process.run{"curl", "-sS", "--max-filesize", "1000000", "--limit-rate", "100k", "--max-time",
         "0.3", "http://" .. server:address() .. "/", limit = 1 << 30, timeout = 60}
      if result then assert.is_false(result.ok) end
      local code = saros.timeout(10, told.await, told)
      assert.is_true(code == "EPIPE" or code == "ECONNRESET", code)
   end)
end)

-- ---- socat -------------------------------------------------------------------------------------------------------

describe("socat", function()
   it("echoes through a process what we send, with the end of each direction by itself", function()
      servers.need("socat")
      local folder <close> = servers.folder()
      local address = kit.free_address()
      local peer <close> = servers.start({"socat", "TCP-LISTEN:" .. address:match("%d+$") .. ",bind=127.0.0.1,fork,reuseaddr",
         "EXEC:cat"}, address, folder)
      local data = numbered(3000)
      local stream <close> = assert(saros.connect(peer.address))
      local writer = saros.spawn(function()
         assert(stream:write(data))
         assert(stream:shutdown()) -- cat sees its end, and its end comes back
      end)
      assert.is_true(text(stream:read("a")) == data)
      writer:await()
   end)

   it("relays a Unix socket of ours to TCP, both ways at once", function()
      servers.need("socat")
      local folder <close> = servers.folder()
      local ours <close> = assert(saros.serve("unix:" .. folder.name .. "/ours", function(stream)
         for line in stream:lines("L") do stream:write(line:upper()) end
      end))
      assert.is_truthy(ours)
      local address = kit.free_address()
      local peer <close> = servers.start({"socat", "TCP-LISTEN:" .. address:match("%d+$") .. ",bind=127.0.0.1,fork,reuseaddr",
         "UNIX-CONNECT:" .. folder.name .. "/ours"}, address, folder)
      saros.map({1, 2, 3, 4, 5}, function(i)
         local stream <close> = assert(saros.connect(peer.address))
         for line = 1, 20 do
            stream:write(("line %d of %d\n"):format(line, i))
            assert.are.equal(("LINE %d OF %d"):format(line, i), stream:read())
         end
      end)
   end)

   it("resets the connection, and what had come before can still be read", function()
      servers.need("socat")
      local folder <close> = servers.folder()
      local told = saros.future()
      local server <close> = assert(saros.serve("127.0.0.1:0", function(stream)
         local first = stream:read()
         stream:write(("x"):rep(10), "\n")
         local rest, _, code = stream:read("a")
         told:set_result(first, rest, code)
      end))
      servers.write(folder, "in", "the first line\n")
      run{"socat", "-u", "OPEN:" .. folder.name .. "/in", "TCP:" .. server:address() .. ",linger=0"}
      local first, rest, code = told:await()
      assert.are.equal("the first line", first)
      assert.is_true(rest == nil and code == "ECONNRESET" or rest == "", code)
   end)
end)

-- ---- killed in the middle ----------------------------------------------------------------------------------------

describe("a peer that is killed", function()
   it("in the middle of what it sends is an end or a reset for that one, and the server goes on for the others", function()
      servers.need("socat")
      local folder <close> = servers.folder()
      local here, ended = saros.queue(), saros.queue()
      local server <close> = assert(saros.serve("127.0.0.1:0", function(stream)
         if stream:read() ~= "victim" then return stream:write("served\n") end
         here:put(true)
         local got, _, code
         repeat got, _, code = stream:read_some() until not got
         ended:put(code or "end")
      end))
      for _ = 1, 5 do
         local victim <close> = servers.run({"sh", "-c", ("(echo victim; exec cat /dev/zero) | exec socat -u - TCP:%s")
            :format(server:address())}, folder)
         here:get()
         -- The processes behind timeout(1) are a group of their own.
         kit.shell("kill -9 -" .. victim.process.pid)
         local how = saros.timeout(20, ended.get, ended)
         assert.is_true(how == "end" or how == "ECONNRESET", how)
         local other <close> = assert(saros.connect(server:address()))
         other:write("who\n")
         assert.are.equal("served", other:read())
      end
   end)
end)

-- ---- nginx -------------------------------------------------------------------------------------------------------

describe("nginx", function()
   -- One request on a connection that stays: the body.
   local function get(stream, path)
      assert(stream:write("GET ", path, " HTTP/1.1\r\nHost: test\r\n\r\n"))
      local head = text(stream:read_until("\r\n\r\n"))
      local length = math.tointeger(tonumber(head:match("Content%-Length: (%d+)")))
      return stream:read_exactly(length)
   end

   it("answers requests on one connection, also such as were sent ahead", function()
      local folder <close> = servers.folder()
      servers.write(folder, "large", numbered(4000))
      servers.write(folder, "small", "small")
      local nginx <close> = servers.nginx(folder, "")
      local stream <close> = assert(saros.connect(nginx.address))
      for _ = 1, 20 do assert.are.equal("small", get(stream, "/small")) end
      assert.is_true(get(stream, "/large") == numbered(4000))
      stream:write(("GET /small HTTP/1.1\r\nHost: test\r\n\r\n"):rep(20))
      for _ = 1, 20 do
         assert(stream:read_until("\r\n\r\n"))
         assert.are.equal("small", stream:read_exactly(5))
      end
   end)

   it("passes on what a hundred of our clients ask of a server of ours", function()
      local folder <close> = servers.folder()
      local ours <close> = http_server(function(stream, head) answer(stream, head:match("^GET (%S+)")) end, {backlog = 100})
      local nginx <close> = servers.nginx(folder, ("location / { proxy_pass http://%s; }"):format(ours:address()))
      local numbers = {}
      for i = 1, 100 do numbers[i] = i end
      saros.map(numbers, function(i)
         local stream <close> = assert(saros.connect(nginx.address))
         assert.are.equal("/" .. i, get(stream, "/" .. i))
      end)
   end)
end)

-- ---- redis-server ------------------------------------------------------------------------------------------------

describe("redis-server", function()
   -- A small client of its protocol, RESP.
   local function ask(stream, ...)
      local words = table.pack(...)
      local pieces = {("*%d\r\n"):format(words.n)}
      for _, word in ipairs(words) do pieces[#pieces + 1] = ("$%d\r\n%s\r\n"):format(#tostring(word), word) end
      return stream:write(table.concat(pieces))
   end

   local function reply(stream)
      local line = text(stream:read_until("\r\n")):sub(1, -3)
      local kind, rest = line:sub(1, 1), line:sub(2)
      if kind == "+" then return rest end
      if kind == ":" then return math.tointeger(tonumber(rest)) end
      if kind == "-" then return nil, rest end
      local count = math.tointeger(tonumber(rest))
      if count < 0 then return nil end
      if kind == "$" then return (text(stream:read_exactly(count + 2)):sub(1, -3)) end
      local list = {}
      for i = 1, count do list[i] = reply(stream) end
      return list
   end

   it("keeps what we give it, any bytes, and answers what was sent ahead in order", function()
      local folder <close> = servers.folder()
      local redis <close> = servers.redis(folder)
      local stream <close> = assert(saros.connect(redis.address))
      local data = numbered(1000)
      ask(stream, "SET", "key", data)
      assert.are.equal("OK", reply(stream))
      ask(stream, "GET", "key")
      assert.is_true(reply(stream) == data)
      local writer = saros.spawn(function()
         for i = 1, 5000 do ask(stream, "INCRBY", "sum", i) end
      end)
      local last
      for _ = 1, 5000 do last = reply(stream) end
      writer:await()
      assert.are.equal(5000 * 5001 // 2, last)
      ask(stream, "NONSENSE")
      assert.is_truthy(select(2, reply(stream)):find("unknown command", 1, true))
   end)

   it("is the same for two tasks on one connection, one that asks and one that reads", function()
      local folder <close> = servers.folder()
      local redis <close> = servers.redis(folder)
      local news <close> = assert(saros.connect(redis.address))
      local control <close> = assert(saros.connect(redis.address))
      local heard = {}
      ask(news, "SUBSCRIBE", "channel")
      reply(news)
      local listener = saros.spawn(function()
         while true do
            local message = reply(news)
            if message[1] == "unsubscribe" then return end
            heard[#heard + 1] = message[3]
         end
      end)
      for i = 1, 100 do
         ask(control, "PUBLISH", "channel", "news " .. i)
         assert.are.equal(1, reply(control))
      end
      ask(news, "UNSUBSCRIBE", "channel")
      listener:await()
      for i = 1, 100 do assert.are.equal("news " .. i, heard[i]) end
   end)
end)

-- ---- Python's asyncio --------------------------------------------------------------------------------------------

local PYTHON_CLIENT = [[
import asyncio, sys
host, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
async def talk(number):
    reader, writer = await asyncio.open_connection(host, port)
    for i in range(20):
        writer.write(b'%d from %d\n' % (i, number))
        await writer.drain()
        line = await reader.readline()
        assert line == b'%d MORF %d\n' % (i, number), line
    writer.write_eof()
    assert await reader.read() == b'bye\n'
    writer.close()
    await writer.wait_closed()
async def main():
    await asyncio.gather(*(talk(n) for n in range(count)))
    print('all')
asyncio.run(main())
]]

local PYTHON_SERVER = [[
import asyncio, sys
async def handle(reader, writer):
    while True:
        data = await reader.read(1000)
        if not data: break
        writer.write(data)
        await writer.drain()
    writer.write(b'END')
    await writer.drain()
    writer.close()
async def main():
    server = await asyncio.start_server(handle, '127.0.0.1', int(sys.argv[1]))
    async with server: await server.serve_forever()
asyncio.run(main())
]]

describe("Python's asyncio", function()
   it("talks to our server, fifty streams at once, and ends each direction by itself", function()
      servers.need("python3")
      local folder <close> = servers.folder()
      servers.write(folder, "client.py", PYTHON_CLIENT)
      local server <close> = assert(saros.serve("127.0.0.1:0", function(stream)
         for line in stream:lines("L") do stream:write((line:gsub("from", "MORF"))) end
         stream:write("bye\n")
      end, {backlog = 50}))
      local host, port = server:address():match("^(.*):(%d+)$")
      assert.are.equal("all\n", run{"python3", folder.name .. "/client.py", host, port, "50"})
   end)

   it("echoes megabytes to our clients", function()
      servers.need("python3")
      local folder <close> = servers.folder()
      servers.write(folder, "server.py", PYTHON_SERVER)
      local address = kit.free_address()
      local python <close> = servers.start({"python3", folder.name .. "/server.py", address:match("%d+$")}, address, folder)
      local data = numbered(1000)
      saros.map({1, 2, 3}, function()
         local stream <close> = assert(saros.connect(python.address))
         local writer = saros.spawn(function()
            stream:write(data)
            stream:shutdown()
         end)
         assert.is_true(text(stream:read("a")) == data .. "END")
         writer:await()
      end)
   end)
end)

-- Takes a connection, and reads nothing of it.
local PYTHON_DEAF = [[
import socket, sys, time
server = socket.socket()
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind(('127.0.0.1', int(sys.argv[1])))
server.listen()
kept = []
while True: kept.append(server.accept())
]]

describe("a peer that reads nothing", function()
   it("holds up its own writer and nobody else, and does not make us grow", function()
      servers.need("python3")
      local folder <close> = servers.folder()
      servers.write(folder, "deaf.py", PYTHON_DEAF)
      local address = kit.free_address()
      local python <close> = servers.start({"python3", folder.name .. "/deaf.py", address:match("%d+$")}, address, folder)
      local stream <close> = assert(saros.connect(python.address))
      local block, written = ("x"):rep(1 << 16), 0
      collectgarbage()
      local before = collectgarbage("count")
      local other = saros.spawn(function() -- goes on meanwhile
         local server <close> = http_server(function(conn, head) answer(conn, head:match("^GET (%S+)")) end)
         for i = 1, 20 do
            local conn <close> = assert(saros.connect(server:address()))
            conn:write("GET /", i, " HTTP/1.1\r\n\r\n")
            conn:read_until("\r\n\r\n")
            assert.are.equal("/" .. i, conn:read("a"))
         end
         return "done"
      end)
      local _, _, code
      repeat
         _, _, code = saros.timeout(0.3, stream.write, stream, block)
         if not code then written = written + #block end
      until code
      assert.are.equal("ETIMEDOUT", code)
      assert.is_true(written > 0 and written < 1 << 28)
      assert.are.equal("done", other:await())
      collectgarbage()
      assert.is_true(collectgarbage("count") - before < 2000)
   end)
end)
