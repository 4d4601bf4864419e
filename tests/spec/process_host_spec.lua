-- process_host_spec.lua: child processes that are Saros itself: what can be said of them on every system. process_spec has the
-- rest, for which a POSIX shell and its programs are needed.

local saros = require "saros"
local kit = require "support.kit"
local common = require "support.children"
require("support.leaks")(before_each, after_each)

local it_runs = kit.needs("sockets", it, pending)
local program = kit.windows and kit.host:gsub("/", "\\") or kit.host

-- A host with this code, and with what else saros.process takes.
local function host(code, options)
   local words = {program, "--driver", kit.driver, "-e", 'local saros = require "saros" ' .. code}
   for name, value in pairs(options or {}) do words[name] = value end
   return words
end

local function code_of(...) return (select(3, ...)) end

local FOREVER <const> = host("saros.stdout:write('runs') saros.sleep(1000)", {stdout = "pipe", stderr = "null"})

if not kit.lacks("sockets") then assert(saros.process.run(host(""))) end -- from now on the service has its descriptors

describe("a process that is Saros", function()
   it_runs("has pipes for its standard streams, and tells how it has ended", function()
      local p <close> = assert(saros.process.spawn(host([[
         for line in saros.stdin:lines() do saros.stdout:write("<", line, ">\n") end
         saros.stderr:write("wrong\n")
         os.exit(3)]], {stdin = "pipe", stdout = "pipe", stderr = "pipe"})))
      assert.is_true(p.pid > 0)
      p.stdin:write("one\ntwo\n")
      assert.are.equal("<one>", p.stdout:read())
      p.stdin:write("three\n")
      p.stdin:close()
      assert.are.equal("<two>\n<three>\n", p.stdout:read("a"))
      assert.are.equal("wrong\n", p.stderr:read("a"))
      assert.are.same({"exit", 3}, {p:wait()})
      assert.are.same({"exit", 3}, {p:wait()})
      assert.are.equal("ESRCH", code_of(p:kill()))
   end)

   it_runs("passes on more than pipes hold, both ways at once", function()
      local content = {}
      for i = 1, 100000 do content[i] = ("%d \0\r\n"):format(i) end
      content = table.concat(content)
      local result = assert(saros.process.run(host([[
         for piece in saros.stdin:lines(10000) do saros.stdout:write(piece) end]], {input = content})))
      assert.are.same({"exit", 0, ""}, {result.how, result.code, result.stderr})
      assert.is_true(result.stdout == content)
   end)

   it_runs("may end without having read, or before it is read", function()
      assert.is_true(assert(saros.process.run(host("", {input = ("x"):rep(1000000)}))).ok)
      local p <close> = assert(saros.process.spawn(host("saros.stdout:write(('y'):rep(1000))", {stdout = "pipe"})))
      assert.are.same({"exit", 0}, {p:wait()})
      assert.are.equal(("y"):rep(1000), p.stdout:read("a"))
   end)

   it_runs("waits while nobody reads, and is told when nobody will", function()
      local p <close> = assert(saros.process.spawn(host([[
         while saros.stdout:write(("z"):rep(100000)) do end
         saros.stderr:write("told")]], {stdout = "pipe", stderr = "pipe"})))
      assert.are.equal(("z"):rep(10), p.stdout:read(10))
      assert.are.equal("ETIMEDOUT", code_of(saros.timeout(0.05, p.wait, p)))
      p.stdout:close()
      assert.are.equal("told", p.stderr:read("a"))
      assert.are.same({"exit", 0}, {p:wait()})
   end)

   it_runs("has nothing, a file, or one channel for both", function()
      local name, _ <close> = kit.temporary()
      do
         local file <close> = assert(io.open(name, "wb"))
         file:write("first\n")
         local p <close> = assert(saros.process.spawn(host([[
            saros.stdout:write(tostring(saros.stdin:read("a")), "\n")
            saros.stderr:write("second\n")]], {stdin = "null", stdout = file, stderr = "stdout"})))
         assert.are.same({"exit", 0}, {p:wait()})
      end
      assert.are.equal("first\n\nsecond\n", kit.slurp(name))
      local file <close> = assert(io.open(name, "rb"))
      assert.are.equal("first\n\nsecond\n", saros.process.run(host("saros.stdout:write(saros.stdin:read('a'))", {stdin = file})).stdout)
      assert.are.equal("both", saros.process.run(host("saros.stdout:write('bo') saros.stderr:write('th')", {stderr = "stdout"})).stdout)
   end)

   it_runs("gets its arguments, its environment and its folder", function()
      local folder = kit.windows and "C:\\windows" or "/"
      local name = kit.windows and "win.ini" or "etc"
      local words = host([[
         local lines = {...}
         lines[#lines + 1] = tostring(os.getenv("A")) .. tostring(os.getenv("KIT_NOTHING"))
         lines[#lines + 1] = tostring(io.open("]] .. name .. [[") ~= nil)
         saros.stdout:write(table.concat(lines, "|"))]], {env = {A = "1"}, cwd = folder})
      if kit.windows and program:sub(1, 1) == "\\" then words[1] = "Z:" .. program end -- as Wine names the root
      if not kit.windows and program:sub(1, 1) ~= "/" then kit.skip("the host has no absolute path here") end
      for _, word in ipairs({"", "a b", 'c"d', "e\\", 'f\\"g h\\'}) do words[#words + 1] = word end
      local result = assert(saros.process.run(words))
      assert.are.equal('|a b|c"d|e\\|f\\"g h\\|1nil|true', result.stdout, result.stderr)
   end)

   it_runs("is killed, by name and by number, at a deadline, and where it writes too much", function()
      local how <const>, code <const> = table.unpack(kit.windows and {"signal", 15} or {"exit", 143}) -- the host ends in order
      for _, case in ipairs({{nil, how, code}, {"SIGTERM", how, code}, {"SIGKILL", "signal", 9}, {9, "signal", 9}}) do
         local p <close> = assert(saros.process.spawn(FOREVER))
         assert.are.equal("runs", p.stdout:read(4))
         assert.is_true(p:kill(0))
         assert.is_true(p:kill(case[1]))
         assert.are.same({case[2], case[3]}, {p:wait()})
      end
      assert.are.equal("ETIMEDOUT", code_of(saros.process.run(host("saros.sleep(1000)", {timeout = 0.1}))))
      assert.are.equal("ELIMIT", code_of(saros.process.run(host("while saros.stdout:write('x') do end", {limit = 1000}))))
   end)

   it_runs("is waited for by several, and goes on where one is cancelled", function()
      local p <close> = assert(saros.process.spawn(host("saros.stdin:read()", {stdin = "pipe"})))
      local waiters = {}
      for i = 1, 3 do waiters[i] = saros.spawn(p.wait, p) end
      saros.sleep(0)
      waiters[2]:cancel()
      assert.is_false((saros.pcall(waiters[2].await, waiters[2])))
      p.stdin:close()
      for _, i in ipairs({1, 3}) do assert.are.same({"exit", 0}, {waiters[i]:await()}) end
   end)

   it_runs("F14: is not there where its task is cancelled while it begins, and by <close>", function()
      common.gone_when_cancelled(function() return saros.process.spawn(FOREVER) end)
   end)

   -- That it is gone is seen by what it had: a connection, or, as Wine's server keeps sockets of what was killed now and then,
   -- a file that nobody can remove while it is open.
   it_runs("is killed where its loop closes, with what is passed on", function()
      local name, _ <close> = kit.temporary()
      local listener <close> = assert(saros.listen("127.0.0.1:0"))
      local code = ([[
         local file = io.open(%q, "w")
         local connection = saros.connect("%s")
         connection:write("runs")
         saros.stdout:write("runs")
         saros.sleep(1000)
         file:close()]]):format(name, listener:address())
      local loop <close> = saros.loop({driver = kit.driver})
      loop:run(function()
         local p = assert(saros.process.spawn(host(code, {stdin = "pipe", stdout = "pipe"})))
         assert.are.equal("runs", p.stdout:read(4))
         if kit.windows then assert.is_nil((os.remove(name))) end
      end)
      loop:close()
      if kit.windows then return kit.wait_until(function() return os.remove(name) end) end
      local connection <close> = listener:accept()
      assert.are.equal("runs", connection:read(4))
      assert.is_nil((connection:read(1)))
   end)

   it_runs("I11: is one of many that end together", function()
      common.end_together(10, function(i)
         return saros.process.spawn(host("saros.stdin:read() os.exit(" .. i .. ")", {stdin = "pipe"}))
      end)
   end)

   it_runs("I12: is none where there is no such program, or no such folder", function()
      for _, case in ipairs({
         {"ENOENT", "spawn no.such.program: no such file or directory", {"no.such.program"}},
         {"ENOENT", "cwd /no/such/folder: no such file", {program, cwd = "/no/such/folder"}},
      }) do
         for _, channel in ipairs({"stdin", "stdout", "stderr"}) do case[3][channel] = "pipe" end
         local p, message, code = saros.process.spawn(case[3])
         assert.is_nil(p)
         assert.are.equal(case[1], code, message)
         assert.is_truthy(message:find(case[2], 1, true), message)
      end
   end)
end)
