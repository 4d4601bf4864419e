-- given_spec.lua: streams on what is there already: descriptors that are adopted, and pairs.

local saros = require "saros"
local kit = require "support.kit"
require("support.leaks")(before_each, after_each)

local fds = kit.module "descriptors"
local posix = fds and kit.needs("sockets", it, pending) or function(name) pending(name .. " (needs POSIX descriptors)") end

describe("saros.pair", function()
   it("gives two streams that are connected with each other", function()
      local a, b <close> = assert(saros.pair())
      local _ <close> = a
      for _, ends in ipairs { { a, b }, { b, a } } do
         local reader = saros.spawn(function() return ends[2]:read() end)
         saros.sleep(0)
         assert(ends[1]:write("over\n"))
         assert.are.equal("over", reader:await())
      end
      a:shutdown()
      assert.is_nil(b:read())
      assert(b:write("and back"))
      b:close()
      assert.are.equal("and back", a:read("a"))
   end)

   it("carries more than the kernel holds, both ways at once", function()
      local a, b <close> = assert(saros.pair())
      local _ <close> = a
      local text = ("0123456789abcdef"):rep(65536)
      local function talk(stream)
         local writer = saros.spawn(function()
            assert(stream:write(text))
            stream:shutdown()
         end)
         local got = stream:read("a")
         writer:await()
         return got == text
      end
      local first, second = saros.spawn(talk, a), saros.spawn(talk, b)
      assert.is_true(first:await() and second:await())
   end)

   it("has the limits that it is given", function()
      local a, b <close> = assert(saros.pair({ line_limit = 5 }))
      local _ <close> = a
      a:write(("x"):rep(10))
      assert.are.equal("ELIMIT", select(3, b:read()))
      kit.raises("unknown option 'backlog'", saros.pair, { backlog = 1 })
   end)

   it("wakes a reader with the end when the other end is collected", function()
      local ends = { assert(saros.pair()) }
      local b = ends[2]
      local reader = saros.spawn(function() return b:read("a") end)
      saros.sleep(0)
      ends = nil -- luacheck: ignore
      collectgarbage()
      collectgarbage()
      assert.are.equal("", reader:await())
      b:close()
   end)
end)

describe("saros.adopt", function()
   it("refuses what is no descriptor, or says that there are none here", function()
      local expected = kit.lacks("sockets") and "ENOSYS" or kit.windows and "ENOTSOCK" or "EBADF"
      for _, fd in ipairs { -1, 1 << 31, 1 << 40 } do
         local stream, message, code = saros.adopt(fd)
         assert.is_nil(stream)
         assert.is_truthy(message:find("adopt " .. fd .. ": ", 1, true))
         if not kit.windows then assert.is_truthy(code == expected or code == "EBADF") end
      end
      kit.raises("number expected, got string", saros.adopt, "stdin")
      kit.raises("number has no integer representation", saros.adopt, 1.5)
      kit.raises("unknown option 'mode'", saros.adopt, -1, { mode = "r" })
   end)

   posix("makes streams of both ends of a pipe, which close it", function()
      local r, w = fds.pipe()
      local input <close> = assert(saros.adopt(r))
      local output <close> = assert(saros.adopt(w))
      assert.is_false(fds.waits(r))
      local reader = saros.spawn(function() return input:read(), input:read("a") end)
      saros.sleep(0)
      assert(output:write("line\n", ("x"):rep(200000)))
      output:shutdown() -- closes the pipe, so that the reader sees the end
      local line, rest = reader:await()
      assert.are.equal("line", line)
      assert.are.equal(200000, #rest)
      local sent, _, code = output:write("more")
      assert.are.same({ nil, "EPIPE" }, { sent, code })
      assert.are.equal("ENOTSOCK", select(3, input:local_address()))
      assert.are.equal("EOPNOTSUPP", select(3, input:write("x")))
      input:close()
      saros.sleep(0)
      assert.is_false(fds.is_open(r) or fds.is_open(w))
   end)

   posix("hears that a pipe's reader has left, and no signal comes of it", function()
      local r, w = fds.pipe()
      local output <close> = assert(saros.adopt(w))
      fds.close(r)
      assert.are.equal("EPIPE", select(3, output:write("x")))
   end)

   posix("makes a stream of a socket", function()
      local mine, theirs = fds.socketpair()
      local stream <close> = assert(saros.adopt(mine, { line_limit = 100 }))
      fds.write(theirs, "hello\n")
      assert.are.equal("hello", stream:read())
      assert(stream:write("ok"))
      assert.are.equal("ok", fds.read(theirs, 10))
      fds.close(theirs)
      assert.is_nil(stream:read())
   end)

   posix("refuses files, folders, devices and datagrams, which stay their owner's", function()
      local name, _ <close> = kit.temporary("text")
      local datagrams, other = fds.socketpair("datagram")
      for _, fd in ipairs { fds.open(name), fds.open("/"), fds.open("/dev/null"), datagrams, other } do
         local stream, message, code = saros.adopt(fd)
         assert.are.same({ nil, "EOPNOTSUPP" }, { stream, code })
         assert.are.equal(("adopt %d: no stream socket, pipe or terminal"):format(fd), message)
         assert.is_true(fds.waits(fd))
         assert.is_true(fds.close(fd))
      end
   end)
end)
