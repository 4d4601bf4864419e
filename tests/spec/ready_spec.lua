-- ready_spec.lua: waiting for readiness, of streams and of descriptors that are somebody else's.

local saros = require "saros"
local kit = require "support.kit"
require("support.leaks")(before_each, after_each)

local fds = kit.module "descriptors"
local posix = fds and kit.needs("sockets", it, pending) or function(name) pending(name .. " (needs POSIX descriptors)") end

-- A pipe or a pair of sockets that is closed with the block.
local function two(kind)
   local a, b = fds[kind]()
   return a, b, setmetatable({}, {
      __close = function()
         fds.close(a)
         fds.close(b)
      end,
   })
end

describe("saros.wait_readable and wait_writable", function()
   it("wait for a stream, and take nothing from it", function()
      local a, b = assert(saros.pair())
      local _ <close> = a
      assert.is_true(saros.wait_writable(a))
      local waiter = saros.spawn(saros.wait_readable, b)
      saros.sleep(0)
      assert.is_false(waiter:done())
      a:write("one\ntwo\n")
      assert.is_true(waiter:await())
      assert.are.equal("one", b:read())
      assert.is_true(saros.wait_readable(b)) -- the second line was received with the first
      assert.are.equal("two", b:read())
      assert.is_nil(saros.timeout(0.01, saros.wait_readable, b))
      a:close()
      assert.is_true(saros.wait_readable(b)) -- the end
      assert.is_nil(b:read())
      assert.is_true(saros.wait_readable(b))
      b:close()
      assert.are.same({ nil, "closed", "ECLOSED" }, { saros.wait_readable(b) })
   end)

   it("wait for a listener until somebody has connected", function()
      local listener <close> = assert(saros.listen("127.0.0.1:0"))
      local waiter = saros.spawn(saros.wait_readable, listener)
      saros.sleep(0)
      local client <close> = assert(saros.connect(listener:address()))
      assert.is_true(waiter:await())
      local server <close> = assert(listener:accept())
      assert.is_truthy(client and server)
   end)

   it("end with the stream's close, and with the task's cancellation", function()
      local a, b = assert(saros.pair())
      local first, second = saros.spawn(saros.wait_readable, a), saros.spawn(saros.wait_readable, a)
      saros.sleep(0)
      first:cancel()
      kit.wait_until(function() return first:done() end)
      assert.is_true(first:cancelled())
      a:close()
      assert.are.equal("ECLOSED", select(3, second:await()))
      b:close()
   end)

   it("say what cannot be waited for", function()
      kit.raises("number expected", saros.wait_readable, "stdin")
      kit.raises("value expected", saros.wait_readable)
      kit.raises("descriptor, file, or object with getfd", saros.wait_readable, {})
      kit.raises("its getfd gives no integer", saros.wait_readable, { getfd = function() return "x" end })
      local result, message, code = saros.wait_readable(-1)
      assert.is_nil(result)
      assert.are.equal("wait_readable -1: ", message:sub(1, 18))
      assert.are.equal(kit.lacks("sockets") and "ENOSYS" or code == "ENOSYS" and code or "EBADF", code)
      local file <close> = assert(io.tmpfile())
      file:close()
      kit.raises("the file is closed", saros.wait_readable, file)
   end)

   posix("wait for a pipe of somebody else's, which stays so", function()
      local r, w, _ <close> = two "pipe"
      assert.is_true(saros.wait_writable(w))
      for i = 1, 3 do
         local waiter = saros.spawn(saros.wait_readable, r)
         saros.sleep(0)
         assert.is_false(waiter:done())
         fds.write(w, "n" .. i)
         assert.is_true(waiter:await())
         assert.are.equal("n" .. i, fds.read(r, 10))
      end
      assert.is_true(fds.waits(r) and fds.is_open(r))
   end)

   posix("let two tasks wait for both sides of one descriptor, and ten for one", function()
      local a, b, _ <close> = two "socketpair"
      local readers = {}
      for i = 1, 10 do readers[i] = saros.spawn(saros.wait_readable, a) end
      saros.sleep(0)
      assert.is_true(saros.wait_writable(a)) -- and who comes and goes takes nothing from the others
      readers[1]:cancel()
      saros.sleep(0.002)
      for i = 2, 10 do assert.is_false(readers[i]:done()) end
      fds.write(b, "x")
      for i = 2, 10 do assert.is_true(readers[i]:await()) end
   end)

   posix("take Lua's files, and objects that have getfd", function()
      local r, w, _ <close> = two "pipe"
      local object = setmetatable({}, { __index = { getfd = function() return r end } })
      fds.write(w, "x")
      assert.is_true(saros.wait_readable(object))
      local file <close> = assert(io.open("/dev/null"))
      assert.is_true(saros.wait_readable(file)) -- files never wait
      local child <close> = assert(io.popen("echo ready"))
      assert.is_true(saros.wait_readable(child))
      assert.are.equal("ready", child:read())
   end)

   posix("are told EBADF of a closed descriptor", function()
      local r, w = fds.pipe()
      fds.close(r)
      fds.close(w)
      assert.are.same({ nil, "wait_readable " .. r .. ": bad descriptor", "EBADF" }, { saros.wait_readable(r) })
      assert.are.equal("EBADF", select(3, saros.wait_readable(1 << 40)))
   end)

   posix("leave nothing behind where the coroutine that waits is closed, or the time is over", function()
      local r, w, _ <close> = two "pipe"
      assert.are.equal("ETIMEDOUT", select(3, saros.timeout(0.005, saros.wait_readable, r)))
      local inner
      local task = saros.spawn(function()
         inner = coroutine.create(function() saros.wait_readable(r) end)
         return coroutine.resume(inner)
      end)
      saros.sleep(0)
      coroutine.close(inner)
      assert.is_false((task:await()))
      fds.write(w, "x")
      assert.is_true(saros.wait_readable(r))
   end)
end)

describe("saros.add_reader and add_writer", function()
   posix("call for as long as there is something, until they are removed", function()
      local r, w, _ <close> = two "pipe"
      local log = kit.log()
      assert.is_true(saros.add_reader(r, function(name, n)
         log(name .. fds.read(r, n))
         if #log == 4 then assert.is_true(saros.remove_reader(r)) end
      end, "got ", 2))
      saros.sleep(0)
      assert.are.equal(0, #log)
      fds.write(w, "aabbcc")
      kit.wait_until(function() return #log == 3 end)
      fds.write(w, "ddee")
      kit.wait_until(function() return #log == 4 end)
      saros.sleep(0.003)
      assert.are.equal("got aa,got bb,got cc,got dd", table.concat(log, ","))
      assert.is_false(saros.remove_reader(r))
   end)

   posix("are replaced by the next, also inside the callback, and stand beside each other", function()
      local a, b, _ <close> = two "socketpair"
      local log = kit.log()
      saros.add_reader(a, function() log "first" end)
      saros.add_reader(a, function()
         log(fds.read(a, 1))
         saros.remove_reader(a)
         saros.add_reader(a, function()
            log("then " .. fds.read(a, 1))
            saros.remove_reader(a)
         end)
      end)
      saros.add_writer(a, function()
         log "room"
         saros.remove_writer(a)
      end)
      kit.wait_until(function() return #log == 1 end)
      fds.write(b, "xy")
      kit.wait_until(function() return #log == 3 end)
      assert.are.equal("room x then y", table.concat(log, " "))
      assert.is_true(fds.waits(a))
   end)

   posix("go on after an error, which is reported", function()
      local r, w, _ <close> = two "pipe"
      local loop, calls, told = saros.current_loop(), 0, {}
      local before = loop:get_exception_handler()
      loop:set_exception_handler(function(context) told[#told + 1] = tostring(context.error or context.exception) end)
      saros.add_reader(r, function()
         calls = calls + 1
         fds.read(r, 1)
         if calls == 2 then saros.remove_reader(r) end
         error("number " .. calls, 0)
      end)
      fds.write(w, "ab")
      kit.wait_until(function() return calls == 2 end)
      loop:set_exception_handler(before)
      assert.are.equal("number 1,number 2", table.concat(told, ","))
   end)

   posix("do not outlive their loop, and do not keep it from ending", function()
      local script, _ <close> = kit.temporary([[
         local saros = require "saros"
         saros.add_reader(0, print)
         saros.sleep(0)
      ]])
      local output, errors, code = kit.run_apart("sleep 0.2 |", "--driver", kit.driver, script)
      assert.are.same({ "", "", 0 }, { output, errors, code })
   end)

   it("refuse what is no descriptor", function()
      assert.is_nil((saros.add_reader(-1, print)))
      assert.is_false(saros.remove_reader(-1))
      assert.is_false(saros.remove_writer(-1))
      kit.raises("function expected", saros.add_reader, 0)
   end)
end)
