-- sendfile_spec.lua: stream:sendfile, and saros.copy between files and streams: real files, on every driver.

local saros = require("saros")
local kit = require("support.kit")
local files = require("support.certificates").make()
require("support.leaks")(before_each, after_each)

local simulated = kit.driver == "sim"
local lacking = select(3, saros.open(os.tmpname(), "r")) == "ENOSYS" and "this build has no libuv"
   or kit.windows and kit.driver ~= "sim" and "under Wine an answer of libuv's is lost now and then"
   or kit.driver == "none" and "driver none has no sockets"
local it = not lacking and it or function(name) pending(("%s (%s)"):format(name, lacking)) end
local it_posix = not lacking and not kit.windows and it or function(name) pending(name .. " (no such files here)") end
local it_real = not lacking and not simulated and it or function(name) pending(name .. " (nothing waits here)") end
local has_tls = saros._tls.info and files
local it_tls = not lacking and has_tls and it or function(name) pending(name .. " (no OpenSSL here)") end
if files then teardown(files.remove) end

local MEGABYTE <const> = 1 << 20
-- Every eight bytes say where they stand.
local function numbered(size)
   local parts = {}
   for i = 1, size // 8 do parts[i] = ("%07d\n"):format(i) end
   return table.concat(parts)
end
local TEXT <const> = numbered(3 * MEGABYTE)

-- A file of so many zeros, which takes no room on the disk: its name, and a value for a <close> variable that removes it.
local function sparse(size)
   local name, remover = kit.temporary()
   local file <close> = assert(io.open(name, "wb"))
   file:seek("set", size - 1)
   file:write("\0")
   return name, remover
end

local function shrink(name, size)
   local text = kit.slurp(name):sub(1, size)
   local file <close> = assert(io.open(name, "wb"))
   file:write(text)
end

local function closer(...)
   local list = {...}
   return setmetatable({}, {__close = function() for _, object in ipairs(list) do object:close() end end})
end

-- How many bytes come until the end, or until it is reset.
local function drained(stream)
   local count = 0
   while true do
      local piece = stream:read_some(MEGABYTE)
      if not piece then return count end
      count = count + #piece
   end
end

local function pair()
   local client, server = kit.pair()
   return client, server, closer(client, server)
end

local function tls_pair()
   local client, server, _closer = pair()
   local results = saros.gather({
      function() return table.pack(client:start_tls{ca = files.ca, host = "localhost"}) end,
      function() return table.pack(server:start_tls{server = true, cert = files.server, key = files.server_key}) end,
   })
   assert(results[1][1], results[1][2])
   assert(results[2][1], results[2][2])
   return client, server, _closer
end

-- What all streams promise, over this pair.
local function promises(case, connected)
   case("sends a file to its end, from where it stands, and leaves it there", function()
      local client, server, _ <close> = connected()
      local name, _ <close> = kit.temporary(TEXT)
      local file <close> = assert(saros.open(name))
      assert.are.equal("0000001", file:read())
      local sender = saros.spawn(function()
         local count = assert(client:sendfile(file))
         client:shutdown()
         return count
      end)
      assert.is_true(server:read("a") == TEXT:sub(9))
      assert.are.equal(#TEXT - 8, sender:await())
      assert.are.equal(#TEXT, file:seek())
      assert.is_nil(file:read())
   end)

   case("sends a part with offset and count, and leaves the position alone", function()
      local client, server, _ <close> = connected()
      local name, _ <close> = kit.temporary(TEXT)
      local file <close> = assert(saros.open(name))
      file:seek("set", 16)
      local cases = {{0, 8}, {8, 16}, {1, 3}, {#TEXT - 8, 100}, {#TEXT - 3}, {#TEXT, 5}, {#TEXT + 5}, {77, 0}, {0, 1 << 19},
         {5, 300001}, {1000001}}
      local sender = saros.spawn(function()
         for _, part_of in ipairs(cases) do
            local expected = #TEXT:sub(part_of[1] + 1, part_of[2] and part_of[1] + part_of[2])
            assert.are.equal(expected, client:sendfile(file, part_of[1], part_of[2]))
         end
      end)
      for _, part_of in ipairs(cases) do
         local part = TEXT:sub(part_of[1] + 1, part_of[2] and part_of[1] + part_of[2])
         if #part > 0 then assert.is_true(part == server:read_exactly(#part)) end
      end
      sender:await()
      assert.are.equal(16, file:seek())
      assert.are.equal("0000003", file:read())
   end)

   case("counts from the position where no offset is given", function()
      local client, server, _ <close> = connected()
      local name, _ <close> = kit.temporary(TEXT)
      local file <close> = assert(saros.open(name))
      for i = 1, 5 do
         assert.are.equal(8, client:sendfile(file, nil, 8))
         assert.are.equal(i * 8, file:seek())
      end
      assert.are.equal(TEXT:sub(1, 40), server:read_exactly(40))
   end)

   case("keeps its place among the writes of the stream, whole", function()
      local client, server, _ <close> = connected()
      local first, _ <close> = kit.temporary(TEXT)
      local second, _ <close> = kit.temporary(("second"):rep(100000))
      local one, two = assert(saros.open(first)), assert(saros.open(second))
      local _ <close> = closer(one, two)
      local tasks = {
         saros.spawn(client.write, client, "head;"), saros.spawn(client.sendfile, client, one),
         saros.spawn(client.write, client, ";between;"), saros.spawn(client.sendfile, client, two, 0),
         saros.spawn(client.sendfile, client, one, 8, 8), saros.spawn(client.write, client, ";tail"),
         saros.spawn(client.shutdown, client),
      }
      local expected = "head;" .. TEXT .. ";between;" .. ("second"):rep(100000) .. "0000002\n;tail"
      assert.is_true(expected == server:read("a"))
      for _, task in ipairs(tasks) do task:await() end
   end)

   case("sends what was kept before, by setvbuf and try_write", function()
      local client, server, _ <close> = connected()
      local name, _ <close> = kit.temporary("the file")
      client:setvbuf("full")
      client:write("kept, ")
      assert.are.equal(8, client:sendfile(name))
      client:setvbuf("no")
      assert(client:try_write(", tried"))
      assert.are.equal(4, client:sendfile(name, 4, 4))
      assert.are.equal("kept, the file, triedfile", server:read_exactly(25))
   end)

   case("is told how much was sent where it is cancelled, and nothing is sent afterwards", function()
      local name, _ <close> = sparse(40 * MEGABYTE)
      for _, turns in ipairs({0, 1, 2, 3, 100}) do
         local client, server, _ <close> = connected()
         local file <close> = assert(saros.open(name))
         local sender = saros.spawn(client.sendfile, client, file)
         if turns == 100 then saros.sleep(0.02)
         else kit.turns(turns) end
         sender:cancel()
         saros.pcall(sender.await, sender)
         assert.is_true(sender:cancelled())
         local sent = file:seek()
         local writer = saros.spawn(function()
            client:write("end")
            client:shutdown()
         end)
         assert.are.equal(sent + 3, drained(server))
         assert.is_true(sent < 40 * MEGABYTE)
         writer:await()
      end
   end)

   case("ends with the close of the stream, and with that of the file", function()
      local name, _ <close> = sparse(40 * MEGABYTE)
      for _, which in ipairs({"stream", "file"}) do
         for _, offset in ipairs({-1, 0}) do
            local client, server, _ <close> = connected()
            local file <close> = assert(saros.open(name))
            local sender = saros.spawn(function()
               return table.pack(client:sendfile(file, offset == 0 and 0 or nil))
            end)
            saros.sleep(0.005)
            if which == "stream" then client:close() else file:close() end
            local result = saros.timeout(5, sender.await, sender)
            assert.are.same({"nil", "ECLOSED"}, {tostring(result[1]), result[3]})
            assert.are.equal("integer", math.type(result[4]))
            assert.are.equal(which == "stream" and "closed" or "sendfile " .. name .. ": the file is closed", result[2])
            if which == "file" then
               local ends = saros.spawn(client.shutdown, client)
               assert.are.equal(result[4], drained(server))
               ends:await()
            end
         end
      end
   end)

   case("ends where a file ends that is cut short meanwhile", function()
      local client, server, _ <close> = connected()
      local name, _ <close> = sparse(40 * MEGABYTE)
      local sender = saros.spawn(function()
         local count = assert(client:sendfile(name))
         client:shutdown()
         return count
      end)
      saros.sleep(0.01)
      shrink(name, 1000)
      local got = drained(server)
      assert.are.equal(got, sender:await())
      assert.is_true(got < 40 * MEGABYTE)
   end)

   case("carries two hundred megabytes", function()
      local size = (simulated and 8 or connected == tls_pair and 24 or 200) * MEGABYTE + 77
      local client, server, _ <close> = connected()
      local name, _ <close> = sparse(size)
      local sender = saros.spawn(function()
         local count = assert(client:sendfile(name))
         client:shutdown()
         return count
      end)
      assert.are.equal(size, drained(server))
      assert.are.equal(size, sender:await())
   end)

   case("is what saros.copy does from a file; and into one it copies as well", function()
      local client, server, _ <close> = connected()
      local from, _ <close> = kit.temporary(TEXT)
      local to, _ <close> = kit.temporary()
      local source, sink = assert(saros.open(from)), assert(saros.open(to, "w"))
      local _ <close> = closer(source, sink)
      local sender = saros.spawn(function()
         assert.are.equal(9, saros.copy(source, client, 9))
         assert.are.equal(9, source:seek())
         assert.are.equal(#TEXT - 9, saros.copy(source, client))
         assert.are.equal(0, saros.copy(source, client))
         client:shutdown()
      end)
      assert.are.equal(1000, saros.copy(server, sink, 1000))
      assert.are.equal(#TEXT - 1000, saros.copy(server, sink))
      sender:await()
      sink:close()
      assert.is_true(TEXT == kit.slurp(to))
      assert.are.equal(0, saros.copy(source, client))
      source:seek("set", 0)
      local none, message, code, count = saros.copy(source, client)
      assert.are.same({"nil", "EPIPE", 0}, {tostring(none), code, count})
      assert.is_truthy(message:find("copy " .. from, 1, true), message)
   end)

   case("survives that a generator in which it waits is closed, and what comes next stands behind it", function()
      local name, _ <close> = sparse(40 * MEGABYTE)
      for _, turns in ipairs({1, 2, 3, 100}) do
         for _, offset in ipairs({false, 0}) do
            local client, server, _ <close> = connected()
            local file <close> = assert(saros.open(name))
            local generator = coroutine.create(function() client:sendfile(file, offset or nil) end)
            local task = saros.spawn(function() return coroutine.resume(generator) end)
            if turns == 100 then saros.sleep(0.01)
            else kit.turns(turns) end
            while not pcall(coroutine.close, generator) do kit.turns(1) end -- not where it is just about to go on
            generator = nil -- luacheck: ignore 311
            task:await()
            collectgarbage()
            local writer = saros.spawn(function()
               client:write("behind")
               client:shutdown()
            end)
            local last, count = "", 0
            while true do
               local piece = server:read_some(MEGABYTE)
               if not piece then break end
               count = count + #piece
               last = (last .. piece):sub(-6)
            end
            assert.are.equal("behind", last)
            assert.is_true(count < 40 * MEGABYTE)
            writer:await()
            assert.are.equal("\0", file:read(1)) -- it has let go of the file
         end
      end
   end)
end

describe("stream:sendfile", function()
   promises(it, pair)

   it("sends small files, and empty ones", function()
      local client, server, _ <close> = pair()
      for _, size in ipairs({0, 1, 4095, 4096, 4097, 65535, 65536, 65537, 196608, 196609, 200000}) do
         local name, _ <close> = kit.temporary(TEXT:sub(1, size))
         local sender = saros.spawn(function() return client:sendfile(name) end)
         if size > 0 then assert.is_true(TEXT:sub(1, size) == server:read_exactly(size)) end
         assert.are.equal(size, sender:await())
      end
   end)

   it("raises on what can never be sent", function()
      local client, _, _ <close> = pair()
      local name, _ <close> = kit.temporary("x")
      local file <close> = assert(saros.open(name))
      for _, wrong in ipairs({5, {}, true, client}) do kit.raises("file of saros.open", client.sendfile, client, wrong) end
      kit.raises("file of saros.open", client.sendfile, client)
      kit.raises("0 bytes or more expected", client.sendfile, client, file, -1)
      kit.raises("0 bytes or more expected", client.sendfile, client, file, 0, -1)
      kit.raises("no integer representation", client.sendfile, client, file, 0.5)
   end)

   it("refuses by name what is closed, no file, not there or not to be read", function()
      local client, _, _ <close> = pair()
      local name, _ <close> = kit.temporary("x")
      local file = assert(saros.open(name))
      file:close()
      assert.are.same({n = 4, nil, "sendfile " .. name .. ": the file is closed", "ECLOSED", 0},
         table.pack(client:sendfile(file)))
      local writes <close> = assert(saros.open(name, "a"))
      assert.are.same({n = 4, nil, "sendfile " .. name .. ": the file is open for writing only", "EBADF", 0},
         table.pack(client:sendfile(writes)))
      local folder = kit.windows and os.getenv("TEMP") or "/tmp"
      assert.are.same({"EISDIR", 0}, {select(3, client:sendfile(folder))})
      assert.are.same({n = 4, nil, "open /no/such/file: no such file or directory", "ENOENT", 0},
         table.pack(client:sendfile("/no/such/file")))
      client:close()
      assert.are.same({n = 4, nil, "closed", "ECLOSED", 0}, table.pack(client:sendfile(name)))
   end)

   it("says that the stream was shut down", function()
      local client, _, _ <close> = pair()
      local name, _ <close> = kit.temporary(TEXT)
      client:shutdown()
      local none, message, code, count = client:sendfile(name, 0)
      assert.are.same({"nil", "EPIPE", 0}, {tostring(none), code, count})
      assert.is_truthy(message:find("sendfile " .. name, 1, true))
   end)

   it_real("says that the peer has reset it, and how much was sent", function()
      local name, _ <close> = sparse(40 * MEGABYTE)
      for _, turns in ipairs({0, 1, 2, 100}) do
         local left, right, _ <close> = pair()
         local sender = saros.spawn(function() return table.pack(left:sendfile(name)) end)
         if turns == 100 then saros.sleep(0.01)
         else kit.turns(turns) end
         right:abort()
         local result = saros.timeout(5, sender.await, sender)
         assert.is_nil(result[1])
         assert.is_truthy(result[3] == "EPIPE" or result[3] == "ECONNRESET", result[3])
         assert.is_true(result[4] < 40 * MEGABYTE)
      end
   end)

   it("of one file may go out on many streams at once, and none waits for another", function()
      local name, _ <close> = kit.temporary(TEXT)
      local file <close> = assert(saros.open(name))
      local slow, slow_end, _ <close> = pair()
      local waits = saros.spawn(function()
         for _ = 1, 10 do assert(slow:sendfile(file, 0)) end
      end)
      saros.sleep(0.002)
      local tasks = {}
      for i = 1, 5 do
         tasks[i] = saros.spawn(function()
            local client, server, _ <close> = pair()
            local sender = saros.spawn(client.sendfile, client, file, i * 8)
            assert.is_true(TEXT:sub(i * 8 + 1) == server:read_exactly(#TEXT - i * 8))
            assert.are.equal(#TEXT - i * 8, sender:await())
         end)
      end
      for _, task in ipairs(tasks) do saros.timeout(20, task.await, task) end
      waits:cancel()
      saros.pcall(waits.await, waits)
      assert.is_true(waits:cancelled())
      slow_end:close()
   end)

   it("without an offset uses the file as a reader does", function()
      local client, _, _ <close> = pair()
      local name, _ <close> = sparse(40 * MEGABYTE)
      local file <close> = assert(saros.open(name))
      local sender = saros.spawn(client.sendfile, client, file)
      saros.sleep(0.002)
      assert.are.equal("EBUSY", select(3, file:read(1)))
      local other, _, _ <close> = pair()
      assert.are.same({"EBUSY", 0}, {select(3, other:sendfile(file))})
      assert.are.equal(8, other:sendfile(file, 0, 8))
      sender:cancel()
      saros.pcall(sender.await, sender)
      assert.are.equal("\0", file:read(1))
   end)

   it("sends what was written to the file before, and what its buffer keeps", function()
      local client, server, _ <close> = pair()
      local name, _ <close> = kit.temporary()
      local file <close> = assert(saros.open(name, "w+"))
      file:setvbuf("full", 1000)
      file:write("one two")
      assert.are.equal(3, client:sendfile(file, 0, 3))
      file:write(" three")
      file:seek("set", 4)
      file:write("TWO")
      file:seek("set", 3)
      assert.are.equal(10, client:sendfile(file))
      file:write(" four")
      file:seek("set", 0)
      assert.are.equal("one TWO three four", file:read("a"))
      assert.are.equal("one TWO three", server:read_exactly(13))
   end)

   it_posix("sends files that the kernel cannot send, and into pipes and sockets of this machine", function()
      local a, b = assert(saros.pair())
      local _ <close> = closer(a, b)
      local name, _ <close> = kit.temporary(TEXT)
      local sender = saros.spawn(a.sendfile, a, name)
      assert.is_true(TEXT == b:read_exactly(#TEXT))
      assert.are.equal(#TEXT, sender:await())
      local status = io.open("/proc/self/limits")
      if not status then return end
      local text = status:read("a")
      status:close()
      assert.are.equal(#text, a:sendfile("/proc/self/limits"))
      assert.are.equal(text, b:read_exactly(#text))
   end)

   it_posix("sends what is not in the system's memory", function()
      local name, _ <close> = kit.temporary(TEXT)
      for _ = 1, 3 do
         kit.shell(("sync %s && dd if=%s iflag=nocache count=0"):format(name, name)) -- lets go of the pages
         local client, server, _ <close> = pair()
         local sender = saros.spawn(client.sendfile, client, name)
         assert.is_true(TEXT == server:read_exactly(#TEXT))
         assert.are.equal(#TEXT, sender:await())
      end
   end)

   it_posix("refuses what has no places, which saros.copy reads and writes", function()
      local client, server, _ <close> = pair()
      local zero <close> = assert(saros.open("/dev/zero"))
      local none, message, code, count = client:sendfile(zero, 0, 10)
      assert.are.same({"nil", "EOPNOTSUPP", 0}, {tostring(none), code, count})
      assert.is_truthy(message:find("sendfile /dev/zero: ", 1, true), message)
      local copier = saros.spawn(saros.copy, zero, client, 100000)
      assert.are.equal(("\0"):rep(100000), server:read_exactly(100000))
      assert.are.equal(100000, copier:await())
   end)

   it_real("holds up nobody while it waits for its peer", function()
      local client, server, _ <close> = pair()
      local name, _ <close> = sparse(40 * MEGABYTE)
      local sender = saros.spawn(client.sendfile, client, name)
      local began = os.clock()
      for _ = 1, 20 do saros.sleep(0.001) end -- however long that takes where the system's ticks are coarse
      assert.is_false(sender:done())
      assert.is_true(os.clock() - began < 5)
      server:close()
      sender:await()
   end)

   it_posix("goes out on standard output", function()
      local name, _ <close> = kit.temporary(TEXT:sub(1, 300000))
      local output, code = kit.script(("io.write('head;') print(saros.stdout:sendfile(%q, 8))"):format(name))
      assert.are.equal(0, code)
      assert.is_true(output == "head;" .. TEXT:sub(9, 300000) .. "299992\n", #output)
   end)
end)

describe("stream:sendfile over TLS", function() promises(it_tls, has_tls and tls_pair) end)
