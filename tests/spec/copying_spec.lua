-- copying_spec.lua: saros.copy, saros.buffer, and writing lists.

local saros = require "saros"
local kit = require "support.kit"
require("support.leaks")(before_each, after_each)

local huge = ("0123456789abcdef"):rep(1 << 19) -- 8 MB: more than a connection's buffers hold

local function close_all(...)
   for _, stream in ipairs({ ... }) do stream:close() end
end

-- Two connections in a row: what goes in at `a` comes out at `d` when it is copied from `b` to `c`.
local function row()
   local a, b = kit.pair()
   local c, d = kit.pair()
   return a, b, c, d
end

describe("saros.copy", function()
   it("copies until the end, and tells how much; it closes and shuts down nothing", function()
      local a, b, c, d = row()
      local copier = saros.spawn(saros.copy, b, c)
      a:write("one ")
      assert.are.equal("one ", d:read_exactly(4))
      a:write("two")
      a:shutdown()
      assert.are.equal(7, copier:await())
      c:write(" and more")
      c:shutdown()
      assert.are.equal("two and more", d:read("a"))
      b:write("the other way")
      assert.are.equal("the other way", a:read_exactly(13))
      close_all(a, b, c, d)
   end)

   it("carries megabytes through a slow end, every byte in its place", function()
      local a, b, c, d = row()
      local copier = saros.spawn(function()
         local count = saros.copy(b, c)
         c:shutdown()
         return count
      end)
      local writer = saros.spawn(function()
         a:write(huge)
         a:shutdown()
      end)
      saros.sleep(0.005) -- until all that can be full is
      assert.are.equal(huge, d:read("a"))
      assert.are.equal(#huge, copier:await())
      writer:await()
      close_all(a, b, c, d)
   end)

   it("copies n bytes, begins with what was read already, and leaves the rest", function()
      local a, b, c, d = row()
      a:write("a line\nand 0123456789")
      assert.are.equal("a line", b:read())
      assert.are.equal(0, saros.copy(b, c, 0))
      assert.are.equal(6, saros.copy(b, c, 6))
      assert.are.equal("and 01", d:read_exactly(6))
      assert.are.equal("2345", b:read_exactly(4))
      a:shutdown()
      assert.are.equal(4, saros.copy(b, c, 100))
      assert.are.equal(0, saros.copy(b, c))
      assert.are.equal("6789", d:read_exactly(4))
      close_all(a, b, c, d)
   end)

   it("sends first what the other end has kept", function()
      for _, much in ipairs({ 5, 65536 }) do -- the second one has to wait
         local a, b, c, d = row()
         local before = 0
         if much > 5 then
            while c:try_write(("k"):rep(much)) do before = before + much end
         else
            c:setvbuf("full")
            c:write(("k"):rep(much))
            before = much
         end
         a:write("copied")
         a:shutdown()
         local reader = saros.spawn(d.read, d, "a")
         assert.are.equal(6, saros.copy(b, c))
         c:shutdown()
         assert.are.equal(("k"):rep(before) .. "copied", reader:await())
         close_all(a, b, c, d)
      end
   end)

   it("that is ended while it sends what was kept goes on with the next call", function()
      local a, b, c, d = row()
      c:setvbuf("full", #huge)
      c:write(huge)
      a:write("copied")
      a:shutdown()
      for _ = 1, 2 do assert.are.equal("ETIMEDOUT", (select(3, saros.timeout(0.01, saros.copy, b, c)))) end
      local killed = coroutine.wrap(function() saros.copy(b, c) end)
      saros.timeout(0.01, killed)
      local reader = saros.spawn(d.read, d, "a")
      assert.are.equal(6, saros.copy(b, c))
      c:shutdown()
      assert.are.equal(huge .. "copied", reader:await())
      close_all(a, b, c, d)
      local e, f, g, h = row()
      g:setvbuf("full", #huge)
      g:write(huge)
      local copier = saros.spawn(function() return table.pack(saros.copy(f, g)) end)
      saros.sleep(0.001)
      g:abort()
      assert.are.same({ n = 4, nil, "closed", "ECLOSED", 0 }, copier:await())
      close_all(e, f, g, h)
   end)

   it("of a stream to itself is an echo", function()
      local client, server = kit.pair()
      local echo = saros.spawn(saros.copy, server, server)
      for i = 1, 100 do
         client:write(i, "\n")
         assert.are.equal(tostring(i), client:read())
      end
      client:shutdown()
      assert.are.equal(292, echo:await())
      close_all(client, server)
   end)

   it("keeps other readers away, and other writers waiting for their turn", function()
      local a, b, c, d = row()
      local copier = saros.spawn(saros.copy, b, c)
      saros.sleep(0)
      assert.are.equal("EBUSY", select(3, b:read()))
      local none, _, code, count = saros.copy(b, c)
      assert.are.same({ "EBUSY", 0 }, { code, count })
      assert.is_nil(none)
      local writer = saros.spawn(function() return c:write("behind") end)
      a:write("first ")
      a:shutdown()
      assert.are.equal(6, copier:await())
      writer:await()
      assert.are.equal("first behind", d:read_exactly(12))
      close_all(a, b, c, d)
   end)

   it("waits for its turn to write, and can be cancelled there", function()
      local a, b, c, d = row()
      local writer = saros.spawn(function() return c:write(huge) end)
      saros.sleep(0)
      local copier = saros.spawn(saros.copy, b, c)
      saros.sleep(0)
      copier:cancel()
      saros.pcall(copier.await, copier)
      assert.is_true(copier:cancelled())
      a:write("x\n")
      assert.are.equal("x", b:read()) -- it has let go of the reading
      copier = saros.spawn(saros.copy, b, c)
      a:write("y")
      a:shutdown()
      assert.are.equal(#huge, #d:read_exactly(#huge))
      assert.are.equal("y", d:read_exactly(1))
      assert.are.equal(1, copier:await())
      writer:await()
      close_all(a, b, c, d)
   end)

   it("that is cancelled while it reads loses nothing, and goes on with the next call", function()
      local a, b, c, d = row()
      a:write("one")
      assert.are.equal("ETIMEDOUT", select(3, saros.timeout(0.005, saros.copy, b, c)))
      a:write("two")
      a:shutdown()
      assert.are.equal(3, saros.copy(b, c))
      assert.are.equal("onetwo", d:read_exactly(6))
      close_all(a, b, c, d)
   end)

   it("that is cancelled while it writes leaves what it has not sent to the next reader", function()
      local a, b, c, d = row()
      local writer = saros.spawn(function()
         a:write(huge)
         a:shutdown()
      end)
      saros.timeout(0.01, saros.copy, b, c)
      local rest = saros.spawn(function() return b:read("a") end)
      local ends = saros.spawn(c.shutdown, c)
      local first = d:read("a")
      ends:await()
      writer:await()
      assert.is_true(#first > 0 and #first < #huge)
      assert.are.equal(huge, first .. rest:await())
      close_all(a, b, c, d)
   end)

   it("ends with ECLOSED when either stream is closed, wherever it waits", function()
      for _, which in ipairs({ "from", "to" }) do
         for _, waits in ipairs({ "to read", "to write" }) do
            local a, b, c, d = row()
            local copier = saros.spawn(function() return table.pack(saros.copy(b, c)) end)
            local writer = saros.spawn(function() if waits == "to write" then a:write(huge) end end)
            saros.sleep(0.005);
            (which == "from" and b or c):close()
            local result = saros.timeout(5, copier.await, copier)
            assert.are.equal("ECLOSED", result[3], which .. ", " .. waits)
            assert.are.equal("integer", math.type(result[4]))
            close_all(a, b, c, d)
            saros.pcall(writer.await, writer)
         end
      end
   end)

   it("tells the side that failed, the code and the count", function()
      local a, b, c, d = row()
      d:abort()
      saros.sleep(0.002)
      local writer = saros.spawn(function()
         for _ = 1, 200 do if not a:write(("x"):rep(10000)) then break end end
         a:shutdown()
      end)
      local none, message, code, count = saros.copy(b, c)
      assert.is_nil(none)
      assert.is_truthy(message:find("copy: write: ", 1, true), message)
      assert.is_truthy(code == "ECONNRESET" or code == "EPIPE", code)
      assert.are.equal("integer", math.type(count))
      close_all(a, b, c, d)
      writer:await()
   end)

   it("survives that a generator in which it waits is closed", function()
      for _, text in ipairs({ "", huge }) do
         local a, b, c, d = row()
         local writer = saros.spawn(function() a:write(text) end)
         local generator = coroutine.create(function() saros.copy(b, c) end)
         local task = saros.spawn(function() return coroutine.resume(generator) end)
         saros.sleep(0.005)
         assert.is_true(coroutine.close(generator))
         task:await()
         b:close()
         assert.are.equal(c, c:write("") and c)
         close_all(a, c, d)
         saros.pcall(writer.await, writer)
      end
   end)

   it("takes whatever has the methods", function()
      local a, b = kit.pair()
      local pieces = { "one", "two", "three" }
      local source = { read = function() return table.remove(pieces, 1) end }
      assert.are.equal(11, saros.copy(source, a))
      a:shutdown()
      local got = {}
      local sink = {}
      function sink:write(text)
         got[#got + 1] = text
         return self
      end
      assert.are.equal(11, saros.copy(b, sink))
      assert.are.equal("onetwothree", table.concat(got))
      function sink.write() return nil, "it is full", "ENOSPC", 2 end
      pieces = { "four" }
      assert.are.same({ n = 4, nil, "it is full", "ENOSPC", 2 }, table.pack(saros.copy(source, sink)))
      kit.raises("bad argument #1", saros.copy, 5, a)
      kit.raises("bad argument #2", saros.copy, a, {})
      kit.raises("bad argument #3", saros.copy, a, b, -1)
      close_all(a, b)
   end)
end)

describe("saros.buffer", function()
   it("is read into and written from", function()
      local client, server = kit.pair()
      local buffer = saros.buffer(5)
      client:write("0123456789")
      client:shutdown()
      local got = {}
      while true do
         local count = server:read_some(buffer)
         if not count then break end
         assert.are.equal(#buffer, count)
         got[#got + 1] = buffer:sub()
         server:write(buffer)
      end
      server:shutdown()
      assert.are.equal("0123456789", table.concat(got))
      assert.are.equal("0123456789", client:read("a"))
      assert.are.same({ 0, 5 }, { #saros.buffer(5), buffer:capacity() })
      close_all(client, server)
   end)

   it("gives its bytes as string.sub does, and takes others", function()
      local buffer, text = saros.buffer(8), "abcdef"
      assert.are.equal(buffer, buffer:set(text))
      for i = -8, 8 do
         assert.are.equal(text:sub(i), buffer:sub(i))
         for j = -8, 8 do assert.are.equal(text:sub(i, j), buffer:sub(i, j), i .. ", " .. j) end
      end
      assert.are.equal(text, buffer:sub(math.mininteger, math.maxinteger))
      assert.are.equal("", saros.buffer(3):sub())
      kit.raises("more bytes than", buffer.set, buffer, "123456789")
      assert.are.equal(text, buffer:sub())
      for _, size in ipairs({ 0, -1, 1.5, 1 << 31, math.maxinteger }) do kit.raises("bad argument #1", saros.buffer, size) end
      assert.is_truthy(tostring(buffer):find("6 of 8 bytes", 1, true))
   end)

   it("is kept while the kernel may read it, whatever becomes of the writer", function()
      local client, server = kit.pair()
      local generator = coroutine.create(function()
         client:write(huge)
         client:write(saros.buffer(100000):set(("b"):rep(100000)))
      end)
      local task = saros.spawn(function() return coroutine.resume(generator) end)
      saros.sleep(0.002)
      coroutine.close(generator)
      task:await()
      generator = nil
      collectgarbage()
      local ends = saros.spawn(client.shutdown, client)
      assert.is_true(#server:read("a") < #huge)
      ends:await()
      close_all(client, server)
   end)
end)

describe("stream:write", function()
   it("takes lists of 0, 1, 1024, 1025 and a hundred thousand parts", function()
      local client, server = kit.pair()
      for _, count in ipairs({ 0, 1, 1024, 1025, 100000 }) do
         local parts = {}
         for i = 1, count do parts[i] = i % 7 == 0 and i or i % 5 == 0 and "" or ("part %d;"):format(i) end
         local all = "<" .. table.concat(parts) .. ">"
         local writer = saros.spawn(function()
            assert.are.equal(client, client:write("<", parts, ">"))
            parts[1] = {} -- it is read once, at the call
         end)
         assert.are.equal(all, server:read_exactly(#all))
         writer:await()
      end
      close_all(client, server)
   end)

   it("sends what was in a list when it was called, whatever becomes of it", function()
      local client, server = kit.pair()
      local parts = {}
      for i = 1, 64 do parts[i] = tostring(i % 10):rep(100000) end
      local all = table.concat(parts)
      local writer = saros.spawn(function() return client:write(parts) end)
      saros.sleep(0)
      for i = 1, 64 do parts[i] = nil end
      collectgarbage()
      assert.are.equal(all, server:read_exactly(#all))
      writer:await()
      close_all(client, server)
   end)

   it("raises where a finalizer changes a list just now", function()
      local client, server = kit.pair()
      local reader = saros.spawn(server.read, server, "a")
      local mode = collectgarbage("generational")
      local list, put
      local function trap()
         setmetatable({}, {
            __gc = function()
               if not list then return end
               for i = 1, #list do list[i] = put end
            end,
         })
      end
      local joined, pieces = ("a"):rep(10), ("a"):rep(100000)
      for _, case in ipairs({ { joined, ("y"):rep(5000) }, { joined, "" }, { joined, print }, { pieces, pieces .. "y" },
                              { pieces, "" }, { pieces, {} } }) do
         local full = {}
         for i = 1, 900 do full[i] = case[1] end
         list, put = full, case[2]
         collectgarbage("stop")
         trap()
         collectgarbage("restart") -- whoever asks for memory next collects
         kit.raises("changed by a finalizer", client.write, client, full)
         list = nil
      end
      collectgarbage(mode)
      client:shutdown()
      assert.are.equal("", reader:await())
      close_all(client, server)
   end)

   it("names what cannot be written in a list, and sends nothing of it", function()
      local client, server = kit.pair()
      for _, wrong in ipairs({ {}, true, print, client }) do
         local text = kit.raises("bad argument #3", client.write, client, "x", { "a", wrong, "c" })
         assert.is_truthy(text:find("in the list at 2", 1, true), text)
      end
      client:write("y")
      client:shutdown()
      assert.are.equal("y", server:read("a"))
      close_all(client, server)
   end)

   it("of many pieces tells how many bytes were sent when it fails", function()
      local client, server = kit.pair()
      local parts = {}
      for i = 1, 80 do parts[i] = ("p"):rep(100000) end
      local writer = saros.spawn(function() return table.pack(client:write(parts)) end)
      saros.sleep(0.002)
      client:close()
      local result = writer:await()
      assert.are.equal("ECLOSED", result[3])
      assert.is_true(result[4] > 0 and result[4] < 8000000)
      server:close()
   end)
end)
