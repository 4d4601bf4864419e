-- files_spec.lua: saros.open: Lua's io on the loop. What a method gives is what io gives for the same calls on the same
-- file; the rest is about who waits for what.

local lfs = require("lfs")
local saros = require("saros")
local kit = require("support.kit")

require("support.leaks")(before_each, after_each)

local simulated = kit.driver == "sim"
local lacking = select(3, saros.open(os.tmpname(), "r")) == "ENOSYS" and "this build has no libuv"
local has_files = not lacking
saros.drivers() -- libuv is loaded for good now, and the first loop of its own makes two descriptors that stay
local it = has_files and it or function(name) pending(("%s (%s)"):format(name, lacking)) end
local it_waits = has_files and not simulated and it or function(name) pending(name .. " (files are at hand here)") end
local it_posix = has_files and not kit.windows and it or function(name) pending(name .. " (no such files here)") end

local function open(...) return assert(saros.open(...)) end

-- How many descriptors this process has; nil where that cannot be seen. (Under Wine there is the folder, and Wine's own
-- descriptors come and go in it.)
local function descriptors()
   local count = 0
   if kit.windows or not lfs.attributes("/proc/self/fd") then return nil end
   for _ in lfs.dir("/proc/self/fd") do count = count + 1 end
   return count
end

describe("saros.open", function()
   it("takes the modes of io.open, and raises on any other", function()
      local name, _ <close> = kit.temporary("first\n")
      for _, mode in ipairs({"r", "w", "a", "r+", "w+", "a+", "rb", "wb", "ab", "r+b", "w+b", "a+b"}) do
         open(name, mode):close()
      end
      for _, mode in ipairs({"", "x", "rw", "+", "rb+", "r++", "rbb", "r "}) do
         kit.raises("invalid mode", saros.open, name, mode)
      end
      assert.are.equal("", kit.slurp(name))
   end)

   it("names the path and the code where it fails", function()
      local file, message, code = saros.open("/no/such/folder/file")
      assert.are.same({nil, "open /no/such/folder/file: no such file or directory", "ENOENT"}, {file, message, code})
   end)

   it("refuses a folder, for reading and for writing", function()
      local folder = kit.windows and os.getenv("TEMP") or "/tmp"
      for _, mode in ipairs({"r", "w", "r+"}) do
         local file, _, code = saros.open(folder, mode)
         assert.are.same({nil, "EISDIR"}, {file, code})
      end
   end)

   it("takes no zero in a path for its end", function()
      kit.raises("a path without zeros in it expected", saros.open, "a\0b")
   end)

   it("needs a task", function()
      local message
      local done = saros.event()
      saros.call_soon(function()
         message = select(2, pcall(saros.open, "x"))
         done:set()
      end)
      done:wait()
      assert.is_truthy(tostring(message):find("saros.open", 1, true))
   end)

   it_posix("never waits for the other end of a pipe", function()
      local name, _ <close> = kit.temporary()
      os.remove(name)
      kit.shell("mkfifo " .. kit.quote(name))
      local file, message, code = saros.open(name)
      assert.are.same({nil, "open " .. name .. ": a pipe, and no file", "EOPNOTSUPP"}, {file, message, code})
      assert.are.equal("ENXIO", select(3, saros.open(name, "w")))
      assert.are.equal("EOPNOTSUPP", select(3, saros.open(name, "r+")))
   end)

   it_posix("takes devices", function()
      local null <close> = open("/dev/null", "r+")
      assert.are.equal(null, null:write("gone"))
      assert.is_nil(null:read(1))
      assert.are.equal("ESPIPE", select(3, null:seek("set", 0)))
      local zero <close> = open("/dev/zero")
      assert.are.equal(("\0"):rep(300000), zero:read(300000))
   end)

   it_posix("does not let a child have the descriptor", function()
      local name, _ <close> = kit.temporary("x")
      local file <close> = open(name)
      file:read(1)
      local list = kit.shell("ls -l /proc/$$/fd /proc/self/fd")
      assert.is_nil(list:find(name, 1, true))
   end)

   it_posix("that is cancelled leaves no descriptor", function()
      local name, _ <close> = kit.temporary("x")
      open(name):close()
      local before = descriptors()
      for turns = 0, 60 do
         local task = saros.spawn(saros.open, name)
         kit.turns(turns % 3)
         task:cancel()
         saros.pcall(saros.await, task)
      end
      collectgarbage()
      collectgarbage()
      if before then kit.wait_until(function() return descriptors() == before end) end
   end)
end)

describe("a file", function()
   it("gives what io gives, in any order of calls", function()
      local random = math.random
      local formats = {"l", "L", "n", "a", 0, 1, 7, 100, 5000}
      for round = 1, 60 do
         local content = {}
         for _ = 1, random(0, 60) do
            content[#content + 1] = random(3) == 1 and tostring(random(1000)) .. " " or ("x"):rep(random(0, 300)) .. "\n"
         end
         local name, _ <close> = kit.temporary(table.concat(content))
         local other, _ <close> = kit.temporary(table.concat(content))
         local mode = ({"r", "r+", "w+", "a+"})[round % 4 + 1]
         local theirs <close> = assert(io.open(name, mode .. (kit.windows and "b" or "")))
         local ours <close> = open(other, mode)
         if mode == "r+" then assert(ours:setvbuf("full", 64)) end
         local log = {mode}
         local function same(method, ...)
            log[#log + 1] = method .. "(" .. table.concat({...}, ", ") .. ")"
            local want, got = table.pack(theirs[method](theirs, ...)), table.pack(ours[method](ours, ...))
            if want[1] == theirs then want[1] = ours end
            for i = 1, math.max(want.n, got.n) do
               if want[i] ~= got[i] then
                  error(("%s: %q is not %q"):format(table.concat(log, " "), tostring(got[i]), tostring(want[i])))
               end
            end
         end
         for _ = 1, 30 do
            local what = random(6)
            if what <= 3 then
               same("read", formats[random(#formats)], formats[random(#formats)])
            elseif what == 4 and mode ~= "r" then
               same("seek", "cur", 0)
               same("write", ("y"):rep(random(0, 100)), random(100), "\n")
               same("seek", "cur", 0)
            else
               same("seek", ({"set", "end"})[random(2)], random(0, 20))
            end
         end
         theirs:close()
         assert.is_true(ours:close())
         assert.are.equal(kit.slurp(name), kit.slurp(other), table.concat(log, " "))
      end
   end)

   it("is read in pieces of any size, also ahead of them", function()
      local lines = {}
      for i = 1, 60000 do lines[i] = ("%d %s"):format(i, ("z"):rep(i % 97)) end
      local content = table.concat(lines, "\n")
      local name, _ <close> = kit.temporary(content)
      for _, size in ipairs({65536, 1000, 100003, 3000000}) do
         local file <close> = open(name)
         local pieces = {}
         for piece in file:lines(size) do pieces[#pieces + 1] = piece end
         assert.is_true(table.concat(pieces) == content, size)
      end
      local file <close> = open(name)
      local count = 0
      for line in file:lines() do
         count = count + 1
         if line ~= lines[count] then error("line " .. count) end
      end
      assert.are.equal(#lines, count)
      assert.are.equal(#content, file:seek())
      assert.are.equal(1000, file:seek("set", 1000)) -- in the middle of what was read ahead
      assert.are.equal(content:sub(1001, 1010), file:read(10))
   end)

   it("is read as a stream is", function()
      local name, _ <close> = kit.temporary("head: 1\r\n\r\nbody")
      local file <close> = open(name)
      assert.are.equal("head: 1\r\n\r\n", file:read_until("\r\n\r\n"))
      assert.are.equal("bo", file:read_exactly(2))
      local nothing, _, code, partial = file:read_exactly(3)
      assert.are.same({nil, "EEOF", "dy"}, {nothing, code, partial})
      assert.are.equal("dy", file:read_some(100))
      assert.is_nil(file:read_some())
      assert.are.equal("EEOF", select(3, file:read_until("x")))
   end)

   it("that has grown is read on", function()
      local name, _ <close> = kit.temporary("one\n")
      local file <close> = open(name)
      assert.are.equal("one", file:read())
      assert.is_nil(file:read())
      local writer <close> = open(name, "a")
      writer:write("two\n")
      assert.are.equal("two", file:read())
      assert.is_nil(file:read())
   end)

   it("is open for what its mode says", function()
      local name, _ <close> = kit.temporary("x")
      local reader <close> = open(name)
      local writer <close> = open(name, "a")
      local _, _, code, written = reader:write("y")
      assert.are.same({"EBADF", 0}, {code, written})
      assert.are.equal("EBADF", select(3, writer:read()))
   end)

   it("says that it is closed, and closes once", function()
      local name, _ <close> = kit.temporary("x")
      local file = open(name)
      assert.is_true(file:close())
      assert.is_true(file:close())
      assert.are.equal("ECLOSED", select(3, file:read()))
      assert.are.same({"ECLOSED", 0}, {select(3, file:write("x"))})
      assert.are.equal("ECLOSED", select(3, file:seek()))
      assert.is_truthy(tostring(file):find("closed", 1, true))
   end)

   it("checks its arguments before anything happens", function()
      local name, _ <close> = kit.temporary("x")
      local file <close> = open(name)
      kit.raises("invalid format", file.read, file, "x")
      kit.raises("invalid option", file.seek, file, "back")
      kit.raises("string expected", file.write, file, print)
      kit.raises("saros.file expected", file.read, io.stdout)
      assert.are.equal("EINVAL", select(3, file:seek("set", -1)))
      assert.are.equal("EINVAL", select(3, file:seek("end", -2))) -- and it stands where it stood
      assert.are.equal("x", file:read())
   end)

   it("that nobody refers to is closed, with what it had kept back", function()
      local name, _ <close> = kit.temporary()
      local before = descriptors()
      do
         local file = open(name, "w")
         file:setvbuf("full")
         file:write("kept")
      end
      collectgarbage()
      collectgarbage()
      kit.wait_until(function() return kit.slurp(name) == "kept" and descriptors() == before end)
   end)
end)

describe("writing a file", function()
   it_posix("to a full device tells code and bytes", function()
      if not lfs.attributes("/dev/full") then kit.skip("no /dev/full here") end
      local file <close> = open("/dev/full", "w")
      local result, message, code, written = file:write("abc")
      assert.are.same({nil, "write /dev/full: no space left on device", "ENOSPC", 0}, {result, message, code, written})
   end)

   it_posix("that has written a part and then fails tells both", function()
      local name, _ <close> = kit.temporary()
      local output = kit.run_apart("trap '' XFSZ; ulimit -f 8; SAROS_DRIVER=" .. kit.driver, "-e", ([[
         local saros = require "saros"
         local file <close> = saros.open(%q, "w")
         print(file:write(("x"):rep(100000)))
         print(file:write("y"))
      ]]):format(name))
      local size = #kit.slurp(name)
      assert.is_true(size > 0 and size < 100000)
      assert.are.equal(("nil\twrite %s: file too large\tEFBIG\t%d\nnil\twrite %s: file too large\tEFBIG\t0\n"):format(
         name, size, name), output)
   end)

   it("goes out in the order of the calls", function()
      local name, _ <close> = kit.temporary()
      local file <close> = open(name, "w")
      local want = {}
      saros.group(function(group)
         for i = 1, 50 do
            want[i] = tostring(i) .. ("."):rep(i * 100) .. "\n"
            group:spawn(function() assert(file:write(want[i])) end)
         end
      end)
      assert.is_true(kit.slurp(name) == table.concat(want))
   end)

   it("is kept back where setvbuf says so, and the error comes with the flush", function()
      local name, _ <close> = kit.temporary()
      local file <close> = open(name, "w+")
      assert.is_true(file:setvbuf("full", 10))
      assert.are.equal(file, file:write("12345"))
      assert.are.equal("", kit.slurp(name))
      assert.are.equal(5, file:seek())
      assert.are.equal("12345", kit.slurp(name))
      file:write("67890")
      file:write("abcdefghijklmno")
      assert.are.equal("1234567890abcdefghijklmno", kit.slurp(name))
      assert.is_true(file:setvbuf("line"))
      file:write("p")
      assert.are.equal("1234567890abcdefghijklmno", kit.slurp(name))
      file:write("q\nr")
      assert.are.equal("1234567890abcdefghijklmnopq\nr", kit.slurp(name))
      file:write("s")
      assert.are.equal(file, file:flush())
      assert.are.equal(file, file:sync())
      assert.is_true(file:setvbuf("no"))
      file:write("t")
      assert.are.equal("1234567890abcdefghijklmnopq\nrst", kit.slurp(name))
      file:seek("set", 10)
      assert.are.equal("abc", file:read(3))
      if not lfs.attributes("/dev/full") then return end
      local full = open("/dev/full", "w")
      full:setvbuf("full")
      assert.are.equal(full, full:write("abc"))
      assert.are.equal("ENOSPC", select(3, full:flush()))
      assert.are.equal("ENOSPC", select(3, full:close()))
      assert.is_true(full:close())
   end)
end)

describe("a file in several hands", function()
   it_waits("has one reader: a second one gets EBUSY and disturbs nobody", function()
      if kit.windows then kit.skip("no /dev/zero here") end
      local file <close> = open("/dev/zero") -- a read of it always waits
      local first = saros.spawn(file.read, file, 100000)
      saros.sleep(0)
      local _, message, code = file:read()
      assert.are.same({"read: another task is reading this file", "EBUSY"}, {message, code})
      assert.are.equal(100000, #saros.await(first))
   end)

   it_waits("keeps what a cancelled read has read", function()
      local waited = "/proc/version" -- of which nothing is in memory
      if not lfs.attributes(waited) then kit.skip("no /proc here") end
      local content = kit.slurp(waited)
      for turns = 0, 5 do
         local file <close> = open(waited)
         local task = saros.spawn(file.read, file, 6, "l")
         kit.turns(turns)
         task:cancel()
         local done, got = saros.pcall(saros.await, task)
         assert(done == (got == content:sub(1, 6)), "some was lost")
         assert.are.equal(done and content:sub(#content + 1) or content, file:read("a"))
      end
   end)

   it_waits("goes on behind what a cancelled write has written", function()
      local name, _ <close> = kit.temporary()
      local file <close> = open(name, "w")
      local task = saros.spawn(file.write, file, ("x"):rep(48 << 20))
      saros.sleep(0)
      task:cancel()
      assert.is_false((saros.pcall(saros.await, task)))
      assert.are.equal(file, file:write("end"))
      local size = file:seek()
      local content = kit.slurp(name)
      assert.are.equal(size, #content)
      assert.are.equal("end", content:sub(-3))
      assert.is_nil(content:sub(1, -4):find("[^x]"))
   end)

   it_waits("wakes whoever waits for it when it closes", function()
      if kit.windows then kit.skip("no /dev/zero here") end
      local file = open("/dev/zero", "r+")
      local reader = saros.spawn(file.read, file, 1000000)
      local writers = {}
      for i = 1, 3 do writers[i] = saros.spawn(file.write, file, "y") end
      saros.sleep(0)
      assert.is_true(file:close())
      assert.are.equal("ECLOSED", select(3, saros.await(reader)))
      for i = 1, 3 do assert.are.same({"ECLOSED", 0}, {select(3, saros.await(writers[i]))}) end
   end)

   it_waits("lets a write come to its end that is under way when it closes", function()
      local name, _ <close> = kit.temporary()
      local file = open(name, "w")
      local writer = saros.spawn(file.write, file, ("x"):rep(9 << 20))
      saros.sleep(0)
      assert.is_true(file:close())
      assert.are.equal(file, (saros.await(writer)))
      assert.are.equal(9 << 20, #kit.slurp(name))
   end)

   it("closes behind the back of a task that was cancelled", function()
      local name, _ <close> = kit.temporary()
      local before = descriptors()
      local written = saros.event()
      local task = saros.spawn(function()
         local file <close> = open(name, "w")
         file:setvbuf("full")
         file:write("kept")
         written:set()
         saros.sleep(1000)
      end)
      written:wait()
      task:cancel()
      saros.pcall(saros.await, task)
      kit.wait_until(function() return kit.slurp(name) == "kept" and descriptors() == before end)
   end)
end)

describe("a program that ends", function()
   it_posix("lets its files be written and closed, also by os.exit", function()
      local name, _ <close> = kit.temporary()
      for _, ending in ipairs({"", "os.exit(true, true)", "saros.sleep(0) os.exit(true, true)"}) do
         local _, code = kit.script(([[
            file = saros.open(%q, "w")
            file:setvbuf("full")
            file:write("kept")
            local other = saros.open("/dev/zero")
            saros.spawn(function() other:read(50000000) end)
            %s
         ]]):format(name, ending))
         assert.are.same({0, "kept"}, {code, kit.slurp(name)})
         os.remove(name)
      end
   end)

   it_posix("tells the error of a file that it has not closed", function()
      if not lfs.attributes("/dev/full") then kit.skip("no /dev/full here") end
      local output, code = kit.script([[
         local file = saros.open("/dev/full", "w")
         file:setvbuf("full")
         file:write("lost")
      ]])
      assert.is_truthy(output:find("close /dev/full: no space left on device", 1, true))
      assert.are.equal(1, code)
   end)
end)
