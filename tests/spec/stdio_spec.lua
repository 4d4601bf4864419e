-- stdio_spec.lua: saros.stdin, saros.stdout, saros.stderr, in hosts whose descriptors are of every kind.

local saros = require "saros"
local kit = require "support.kit"
require("support.leaks")(before_each, after_each)

local lacking = kit.lacks("shell") and "shell" or "sockets"
local it_runs = kit.needs(lacking, it, pending)

if not kit.lacks(lacking) then assert(saros.process.run({"true"})) end -- from now on the service has its descriptors

-- A host with this code: what saros.process takes. stdin and so on: as given.
local function host(code, options)
   local words = {kit.host, "--driver", kit.driver, "-e", 'local saros = require "saros" ' .. code}
   for name, value in pairs(options or {}) do words[name] = value end
   return words
end

local function output(code, options)
   local result = assert(saros.process.run(host(code, options)))
   assert.are.same({"exit", 0}, {result.how, result.code}, result.stderr)
   return result.stdout
end

-- The same, through a shell line in which HOST stands for the host.
local function shell(line, code)
   local command = ("%s --driver %s -e %s"):format(kit.quote(kit.host), kit.driver, kit.quote('local saros = require "saros" ' .. code))
   local text = kit.shell((line:gsub("HOST", function() return command end)))
   return text
end

-- What a host with this code prints whose standard input is a pipe; by the system's own shell. feed is given the pipe, and a
-- function that waits until the host has written something.
local function piped(code, feed)
   local script, _ <close> = kit.temporary('local saros = require "saros" ' .. code)
   local out, _ <close> = kit.temporary()
   local program = kit.windows and kit.host:gsub("/", "\\") or kit.host
   local line = ('"%s" --driver %s "%s" >"%s"'):format(program, kit.driver, script, out)
   local pipe = assert(io.popen(kit.windows and '"' .. line .. '"' or line, kit.windows and "wb" or "w"))
   pipe:setvbuf("no")
   feed(pipe, function(text) kit.wait_until(function() return kit.slurp(out):find(text, 1, true) end) end)
   pipe:close()
   return (kit.slurp(out):gsub("\r\n", "\n"))
end

local COPY <const> = [[for line in saros.stdin:lines("L") do saros.stdout:write(line) end]]

describe("saros.stdin", function()
   it_runs("reads all forms from a pipe, while others go on", function()
      local p <close> = assert(saros.process.spawn(host([[
         saros.spawn(function() for i = 1, 3 do saros.sleep(0.01) print("tick") end end)
         print(saros.stdin:read(), saros.stdin:read("n"), saros.stdin:read_exactly(2), saros.stdin:read_until("--"))
         print(saros.stdin:read_some(1), saros.stdin:read("a"), saros.stdin:read())]], {stdin = "pipe", stdout = "pipe"})))
      for _ = 1, 3 do assert.are.equal("tick", p.stdout:read()) end
      p.stdin:write("line\n42ab--")
      assert.are.equal("line\t42\tab\t--", p.stdout:read())
      p.stdin:write("xyz")
      p.stdin:close()
      assert.are.equal("x\tyz\tnil\n", p.stdout:read("a"))
      assert.are.same({"exit", 0}, {p:wait()})
   end)

   it_runs("A11: is a file, a socket, nothing, or not there", function()
      local name, _ <close> = kit.temporary(("line\n"):rep(20000))
      local file <close> = assert(io.open(name))
      assert.are.equal(("line\n"):rep(20000), output(COPY, {stdin = file}))
      local ours, theirs = saros.pair()
      local task = saros.spawn(function() return output(COPY, {stdin = theirs}) end)
      ours:write("through a socket\n")
      ours:close()
      assert.are.equal("through a socket\n", task:await())
      theirs:close()
      assert.are.equal("", output(COPY, {stdin = "null"}))
      assert.are.equal("nil\tread: bad descriptor\tEBADF\nnil\twrite: bad descriptor\tEBADF\t0\n",
         shell("HOST <&- 2>&-", [[print(saros.stdin:read()) print(saros.stderr:write("x"))]]))
      assert.are.equal("", shell("HOST >&- 2>&-", [[print(saros.stdout:write("x"))]]))
   end)

   it_runs("A11: is a terminal, whose flags stay as they are", function()
      if not os.execute("command -v script >/dev/null && command -v stty >/dev/null") then kit.skip("no script(1) here") end
      local inner, _ <close> = kit.temporary()
      local file <close> = assert(io.open(inner, "w"))
      file:write("stty -g >", inner, ".before\n", ("%s --driver %s -e %s\n"):format(kit.quote(kit.host), kit.driver,
         kit.quote('local saros = require "saros" ' .. [[print("got " .. saros.stdin:read())
            saros.stdout:write(("long"):rep(5000), "\n") print((saros.timeout(0.01, saros.stdin.read, saros.stdin)))]])),
         "stty -g >", inner, ".after\n", "cat /proc/self/fdinfo/0 | grep flags\n")
      file:close()
      local text = kit.shell(("(echo hello; sleep 0.3) | script -qec 'sh %s' /dev/null"):format(inner))
      assert.is_truthy(text:find("got hello", 1, true), text)
      assert.is_truthy(text:find(("long"):rep(5000), 1, true))
      assert.is_truthy(text:find("\nnil\r", 1, true), text)
      local flags = tonumber(text:match("flags:%s*(%d+)"), 8)
      assert.are.equal(0, flags & 0x800, "O_NONBLOCK was left")
      assert.are.equal(kit.slurp(inner .. ".before"), kit.slurp(inner .. ".after"))
      os.remove(inner .. ".before")
      os.remove(inner .. ".after")
   end)

   it_runs("is never made non-blocking, nor is what is written to", function()
      local p <close> = assert(saros.process.spawn(host([[
         saros.stderr:write("ready\n")
         saros.stdin:read()
         print(io.open("/proc/self/fdinfo/0"):read("a"):match("flags:%s*(%d+)"))
         print(io.open("/proc/self/fdinfo/1"):read("a"):match("flags:%s*(%d+)"))]], {stdin = "pipe", stdout = "pipe", stderr = "pipe"})))
      assert.are.equal("ready", p.stderr:read())
      p.stdin:write("x\n")
      for line in p.stdout:lines() do assert.are.equal(0, tonumber(line, 8) & 0x800, line) end
   end)

   it_runs("loses nothing to a read that is cancelled, and does not hold up the end", function()
      local p <close> = assert(saros.process.spawn(host([[
         print((saros.timeout(0.01, saros.stdin.read, saros.stdin)))
         local line = saros.spawn(saros.stdin.read, saros.stdin)
         print(line:await())
         saros.spawn(saros.stdin.read, saros.stdin)
         saros.sleep(0)
         print("ends")]], {stdin = "pipe", stdout = "pipe", stderr = "null"})))
      assert.are.equal("nil", p.stdout:read())
      p.stdin:write("half")
      saros.sleep(0.01)
      p.stdin:write(" and half\n")
      assert.are.equal("half and half\nends\n", p.stdout:read("a"))
      assert.are.same({"exit", 0}, {p:wait()})
   end)

   it_runs("can be waited for without being read, and read in a coroutine that is closed", function()
      local p <close> = assert(saros.process.spawn(host([[
         local function wait() return saros.timeout(0.001, saros.wait_readable, saros.stdin) end
         local co = saros.coroutine.create(saros.stdin.read)
         saros.spawn(saros.coroutine.resume, co, saros.stdin)
         saros.sleep(0)
         saros.stdout:write(tostring(saros.coroutine.close(co)), " ", tostring((wait())), "\n")
         print(saros.wait_readable(saros.stdin), saros.stdin:read(), saros.stdin:read())]],
         {stdin = "pipe", stdout = "pipe"})))
      assert.are.equal("true nil", p.stdout:read())
      p.stdin:write("line\n")
      p.stdin:close()
      assert.are.equal("true\tline\tnil", p.stdout:read())
   end)

   it_runs("has one reader at a time, belongs to its loop, and can be closed", function()
      assert.are.equal("EBUSY\ntrue\nECLOSED\nECLOSED\nstill there\n", output([[
         local task = saros.spawn(saros.stdin.read, saros.stdin)
         saros.sleep(0)
         print((select(3, saros.stdin:read())))
         local stdin = saros.stdin
         local loop = saros.loop()
         loop:run(function() print(saros.stdin ~= stdin) end)
         loop:close()
         stdin:close()
         print((select(3, task:await())))
         print((select(3, saros.stdin:read())))
         saros.stdout:close()
         print("still there")]], {stdin = "pipe"}))
   end)
end)

describe("saros.stdin from a pipe", function()
   local it_reads = kit.needs("sockets", it, pending)

   it_reads("is read in all forms, while others go on", function()
      assert.are.equal("tick\nnil\nline\t42\tab\t--\nx\tyz\tnil\n", piped([[
         local ticks = saros.spawn(function() for i = 1, 3 do saros.sleep(0.001) end saros.stdout:write("tick\n") end)
         local read <const> = saros.stdin.read
         local task = saros.spawn(read, saros.stdin)
         ticks:await()
         task:cancel()
         saros.pcall(task.await, task)
         saros.stdout:write("nil\n")
         print(saros.stdin:read(), saros.stdin:read("n"), saros.stdin:read_exactly(2), saros.stdin:read_until("--"))
         saros.stdout:write("")
         print(saros.stdin:read_some(1), saros.stdin:read("a"), saros.stdin:read())]], function(pipe, await)
         await("nil")
         pipe:write("line\n42ab--")
         await("42")
         pipe:write("xyz")
      end))
   end)

   it_reads("is passed on whole", function()
      local lines = {}
      for i = 1, 20000 do lines[i] = ("%d %s\n"):format(i, ("z"):rep(i % 50)) end
      local content = table.concat(lines)
      assert.is_true(content == piped(COPY, function(pipe) pipe:write(content) end))
   end)

   it_reads("keeps what a read that was cancelled, closed or of another loop would have got, and does not hold up the end", function()
      assert.are.equal("EBUSY\nnil\nECLOSED\nECLOSED\nthe line\nends\n", piped([[
         local stdin = saros.stdin
         local task = saros.spawn(stdin.read, stdin)
         saros.sleep(0)
         print((select(3, stdin:read())))
         local loop = saros.loop()
         loop:run(function() print((saros.timeout(0.01, saros.stdin.read, saros.stdin))) end)
         loop:close()
         saros.stdout:write("")
         stdin:close()
         print((select(3, task:await())))
         print((select(3, stdin:read())))
         saros.loop():run(function()
            print(saros.stdin:read())
            saros.spawn(saros.stdin.read, saros.stdin)
            saros.sleep(0)
            saros.stdout:write("ends\n")
         end)]], function(pipe, await)
         await("nil")
         pipe:write("the line\n")
         await("ends")
      end))
   end)
end)

describe("saros.stdout", function()
   it_runs("keeps its order with print and io.write", function()
      local expected = {}
      for i = 1, 100 do expected[i] = ("a%d\nb%d\nc%d\n"):format(i, i, i) end
      assert.are.equal(table.concat(expected), output([[
         for i = 1, 100 do print("a" .. i) saros.stdout:write("b", i, "\n") io.write("c", i, "\n") end]]))
   end)

   it_runs("waits while nobody reads, and others go on", function()
      local p <close> = assert(saros.process.spawn(host([[
         local over
         local writer = saros.spawn(function() saros.stdout:write(("x"):rep(1000000)) over = true end)
         for i = 1, 3 do saros.sleep(0.01) end
         saros.stderr:write(tostring(over), "\n")
         writer:await()]], {stdout = "pipe", stderr = "pipe"})))
      assert.are.equal("nil", p.stderr:read())
      assert.are.equal(1000000, #p.stdout:read("a"))
      assert.are.same({"exit", 0}, {p:wait()})
   end)

   it_runs("can be left by a writer that is cancelled, and closed under one", function()
      local p <close> = assert(saros.process.spawn(host([[
         local function write() return saros.stdout:write(("x"):rep(1000000)) end
         saros.stderr:write(tostring(saros.timeout(0.01, write)), "\n")
         local writer = saros.spawn(write)
         saros.sleep(0)
         saros.stdout:close()
         saros.stderr:write((select(3, writer:await())), "\n")]], {stdout = "pipe", stderr = "pipe"})))
      assert.are.equal("nil\nECLOSED\n", p.stderr:read("a"))
   end)

   it_runs("B7: says EPIPE where nobody reads any more", function()
      local name, _ <close> = kit.temporary()
      shell("HOST 2>" .. name .. " | true", [[
         saros.sleep(0.05)
         saros.stderr:write((select(3, saros.stdout:write("x"))))]])
      assert.are.equal("EPIPE", kit.slurp(name))
   end)

   it_runs("is a file, a socket, nothing", function()
      local name, _ <close> = kit.temporary()
      do
         local file <close> = assert(io.open(name, "w"))
         output([[saros.stdout:write(("y"):rep(100000), "\n")]], {stdout = file})
      end
      assert.are.equal(("y"):rep(100000) .. "\n", kit.slurp(name))
      local ours, theirs = saros.pair()
      local task = saros.spawn(function()
         output([[saros.stdout:write(("z"):rep(3000000))]], {stdout = theirs})
         theirs:close()
      end)
      assert.are.equal(3000000, #ours:read("a"))
      task:await()
      ours:close()
      assert.is_nil(output([[saros.stdout:write(("z"):rep(3000000))]], {stdout = "null"}))
   end)

   it_runs("is not told of in debug mode, where nobody closes it", function()
      local result = assert(saros.process.run(host([[saros.stdout:write("x") saros.stdin:read()]], {env = {SAROS_DEBUG = "1"}, stdin = "null"})))
      assert.are.equal("x ", result.stdout .. " " .. result.stderr)
   end)
end)

describe("where nothing can be waited for", function()
   it("reading the standard input is ENOSYS, and writing goes on", function()
      if kit.windows then kit.skip("no POSIX shell here") end
      for _, driver in ipairs({"sim", "none"}) do
         local text, errors, status = kit.run_apart("echo x |", "--driver", driver, "-e", [[
            local saros = require "saros"
            print((select(3, saros.stdin:read())))
            saros.stdout:write("written\n")]])
         assert.are.equal("ENOSYS\nwritten\n0", text .. status, errors)
      end
   end)
end)
