-- keeping_spec.lua: the ways of writing that keep what they are given: try_write, setvbuf; and abort, which drops it.

local saros = require "saros"
local kit = require "support.kit"
require("support.leaks")(before_each, after_each)

local huge = ("0123456789abcdef"):rep(1 << 19) -- 8 MB: more than a connection's buffers hold

local function close_all(...)
   for _, stream in ipairs({ ... }) do stream:close() end
end

describe("stream:try_write", function()
   it("never waits: all of it, or nothing with EAGAIN, and what it took arrives in order", function()
      local client, server = kit.pair()
      local count = 0
      while true do
         local ok, message, code = client:try_write(("%07d"):format(count), ("x"):rep(5000))
         if not ok then
            assert.are.equal("EAGAIN", code)
            assert.is_truthy(message:find("try_write", 1, true))
            break
         end
         assert.are.equal(client, ok)
         count = count + 1
      end
      assert.is_true(count > 1)
      for i = 0, count - 1 do
         assert.are.equal(("%07d"):format(i), server:read_exactly(7))
         server:read_exactly(5000)
      end
      assert.are.equal(client, client:flush())
      assert.are.equal(client, client:try_write("again"))
      assert.are.equal("again", server:read_exactly(5))
      close_all(client, server)
   end)

   it("needs no task", function()
      local client, server = kit.pair()
      saros.call_soon(function() client:try_write("from a callback") end)
      assert.are.equal("from a callback", server:read_exactly(15))
      close_all(client, server)
   end)

   it("does not overtake a write that waits, nor one that is called later", function()
      local client, server = kit.pair()
      local writer = saros.spawn(function() client:write(huge) end)
      saros.sleep(0.002)
      assert.are.equal("EAGAIN", select(3, client:try_write("no")))
      server:read_exactly(#huge)
      writer:await()
      while client:try_write(("y"):rep(10000)) do end
      local behind = saros.spawn(function() client:write("behind") client:shutdown() end)
      assert.are.equal("ybehind", server:read("a"):sub(-7))
      behind:await()
      close_all(client, server)
   end)

   it("takes any size where nothing is kept yet, and answers ECLOSED on a closed stream", function()
      local client, server = kit.pair()
      assert.are.equal(client, client:try_write(huge))
      assert.are.equal("EAGAIN", select(3, client:try_write(("z"):rep(70000))))
      local closer = saros.spawn(client.close, client) -- which waits until that is sent
      assert.are.equal(huge, server:read("a"))
      assert.is_true(closer:await())
      assert.are.equal("ECLOSED", select(3, client:try_write("x")))
      server:close()
   end)

   it("tells a reset peer's code at the next call", function()
      local client, server = kit.pair()
      server:abort()
      saros.sleep(0.002)
      local _, code
      kit.wait_until(function()
         _, _, code = client:try_write("x")
         return code ~= nil
      end)
      assert.is_truthy(code == "ECONNRESET" or code == "EPIPE", code)
      client:close()
   end)
end)

describe("stream:setvbuf", function()
   local function nothing_comes(stream)
      return select(3, saros.timeout(0.005, stream.read_some, stream)) == "ETIMEDOUT"
   end

   it("keeps what is written until it is full, or flushed", function()
      local client, server = kit.pair()
      assert.are.equal(client, client:setvbuf("full", 10))
      client:write("12345")
      assert.is_true(nothing_comes(server))
      client:write("67890")
      assert.is_true(nothing_comes(server))
      client:write("a")
      assert.are.equal("1234567890", server:read_exactly(10))
      assert.is_true(nothing_comes(server))
      assert.are.equal(client, client:flush())
      assert.are.equal("a", server:read_exactly(1))
      client:write("b")
      client:write("longer than all that")
      assert.are.equal("blonger than all that", server:read_exactly(21))
      close_all(client, server)
   end)

   it("keeps a line until it ends", function()
      local client, server = kit.pair()
      client:setvbuf("line")
      client:write("one")
      assert.is_true(nothing_comes(server))
      client:write(" line\nand")
      assert.are.equal("one line\nand", server:read_exactly(12))
      client:setvbuf("no")
      client:write("at once")
      assert.are.equal("at once", server:read_exactly(7))
      close_all(client, server)
   end)

   it("is sent by shutdown and by close, which a leaving block calls", function()
      local client, server = kit.pair()
      client:setvbuf("full")
      client:write("kept")
      client:shutdown()
      assert.are.equal("kept", server:read("a"))
      server:setvbuf("full")
      do
         local leaving <close> = server
         leaving:write("by close")
      end
      assert.are.equal("by close", client:read("a"))
      client:close()
   end)

   it("says in close what could not be sent", function()
      local client, server = kit.pair()
      client:setvbuf("full", 1 << 20)
      client:write("lost")
      server:abort()
      saros.sleep(0.002)
      local _, _, code = client:close()
      assert.is_truthy(code == "ECONNRESET" or code == "EPIPE" or kit.lacks("resets"), code)
      assert.are.equal("ECLOSED", select(3, client:flush()))
   end)

   it("is dropped by the close of a cancelled task, by abort, and with the stream", function()
      local client, server = kit.pair()
      client:setvbuf("full")
      client:write("dropped")
      client:abort()
      local data, _, code = server:read("a")
      assert.is_true(data == "" or code == "ECONNRESET")
      server:close()
      client, server = kit.pair()
      client:setvbuf("full")
      local task = saros.spawn(function()
         local leaving <close> = client
         leaving:write("dropped")
         saros.sleep(100)
      end)
      saros.sleep(0)
      task:cancel()
      assert.are.equal("", server:read("a"))
      server:close()
   end)

   it("takes the modes and sizes of a file's", function()
      local client, server = kit.pair()
      kit.raises("bad argument #2", client.setvbuf, client, "some")
      kit.raises("bad argument #3", client.setvbuf, client, "full", 0)
      close_all(client, server)
      assert.are.equal("ECLOSED", select(3, client:setvbuf("no")))
   end)
end)

describe("stream:abort", function()
   it("lets the peer see a reset, and drops what was not sent", function()
      local client, server = kit.pair()
      local writer = saros.spawn(function() return table.pack(client:write(huge)) end)
      saros.sleep(0.002)
      assert.is_true(client:abort())
      assert.is_true(client:abort())
      assert.are.equal("ECLOSED", writer:await()[3])
      local data, _, code = server:read("a")
      if not kit.lacks("resets") then assert.is_true(data == nil and code == "ECONNRESET") end
      server:close()
   end)
end)
