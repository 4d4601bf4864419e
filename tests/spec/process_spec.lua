-- process_spec.lua: child processes: saros.process.

local saros = require "saros"
local kit = require "support.kit"
local common = require "support.children"
local found, lfs = pcall(require, "lfs")
require("support.leaks")(before_each, after_each)

local lacking = kit.lacks("shell") and "shell" or "sockets"
local it_runs = kit.needs(lacking, it, pending)
local spawn = saros.process.spawn
local run = saros.process.run

-- The service is begun with the first child, and has descriptors of its own until the loop closes.
if not kit.lacks(lacking) then assert(run({"true"})) end

-- The processes that are children of this one, living or dead.
local function children()
   local list = {}
   if not found or not lfs.attributes("/proc/self/task") then return list end
   for thread in lfs.dir("/proc/self/task") do
      local file <close> = io.open("/proc/self/task/" .. thread .. "/children")
      for pid in (file and file:read("a") or ""):gmatch("%d+") do list[#list + 1] = pid end
   end
   return list
end

local before
before_each(function() before = #children() end)
after_each(function() kit.wait_until(function() return #children() <= before end) end)

local function code_of(...) return (select(3, ...)) end

-- Put before a host: signals that it is begun with as ignored ones. Not every sh does that of SIGCHLD.
local function ignoring(signals)
   return ([[bash -c 'trap "" %s; exec "$@"' bash]]):format(signals)
end

-- Runs code in a host of its own, behind what is put before it; its output.
local function host(before_it, code)
   local output, errors, status = kit.run_apart(before_it .. " env SAROS_DRIVER=" .. kit.driver, "-e",
      'local saros = require "saros" ' .. code)
   assert.are.equal(0, status, errors)
   return output
end

describe("saros.process.spawn", function()
   it_runs("connects pipes as streams, and tells how the process has ended", function()
      local p <close> = assert(spawn({"sh", "-c", "cat; echo wrong >&2; exit 3", stdin = "pipe", stdout = "pipe", stderr = "pipe"}))
      assert.is_true(p.pid > 0)
      p.stdin:write("one\ntwo\n")
      assert.are.equal("one", p.stdout:read())
      p.stdin:close()
      assert.are.equal("two\n", p.stdout:read("a"))
      assert.are.equal("wrong\n", p.stderr:read("a"))
      assert.are.same({"exit", 3}, {p:wait()})
      assert.are.same({"exit", 3}, {p:wait()})
   end)

   it_runs("gives the end of a pipe by shutdown, too", function()
      local p <close> = assert(spawn({"cat", stdin = "pipe", stdout = "pipe"}))
      p.stdin:write("x")
      p.stdin:shutdown()
      assert.are.equal("x", p.stdout:read("a"))
   end)

   it_runs("gives nothing, the same, or a file", function()
      local name, _ <close> = kit.temporary()
      do
         local file <close> = assert(io.open(name, "w"))
         file:write("first\n")
         local p <close> = assert(spawn({"sh", "-c", "cat; echo out; echo err >&2", stdin = "null", stdout = file, stderr = "stdout"}))
         assert.are.same({"exit", 0}, {p:wait()})
      end
      assert.are.equal("first\nout\nerr\n", kit.slurp(name))
      local file <close> = assert(io.open(name))
      assert.are.equal("first\nout\nerr\n", run({"cat", stdin = file}).stdout)
      file:close()
      assert.are.equal("ECLOSED", code_of(spawn({"cat", stdin = file})))
   end)

   it_runs("gives a file of ours: it begins where that stands, and both go on behind each other", function()
      local name, _ <close> = kit.temporary()
      do
         local file <close> = assert(saros.open(name, "w+"))
         file:setvbuf("full")
         file:write("first\n")
         for i = 1, 2 do assert.is_true(run({"sh", "-c", "echo out" .. i, stdout = file}).ok) end
         file:write("between\n")
         assert.is_true(run({"sh", "-c", "echo error >&2", stderr = file}).ok)
         file:write("last\n")
      end
      assert.are.equal("first\nout1\nout2\nbetween\nerror\nlast\n", kit.slurp(name))
      local file <close> = assert(saros.open(name))
      assert.are.equal("first", file:read())
      assert.are.equal("out1\nout2\n", run({"head", "-c", "10", stdin = file}).stdout)
      assert.are.equal("between", file:read())
      assert.are.equal(24, file:seek())
      assert.are.equal("error\nlast\n", run({"cat", stdin = file}).stdout)
      file:close()
      assert.are.equal("ECLOSED", code_of(spawn({"cat", stdin = file})))
   end)

   it_runs("gives a stream of ours", function()
      local client, server = kit.pair()
      local _ <close> = client
      local p <close> = assert(spawn({"echo", "from the child", stdout = server}))
      server:close()
      assert.are.equal("from the child\n", client:read("a"))
      assert.are.same({"exit", 0}, {p:wait()})
   end)

   it_runs("joins processes by pipes, and hands a connection over", function()
      local first <close> = assert(spawn({"sh", "-c", "sleep 0.02; echo b; sleep 0.02; echo a", stdout = "pipe"}))
      local second <close> = assert(spawn({"sort", stdin = first.stdout, stdout = "pipe"}))
      first.stdout:close()
      assert.are.equal("a\nb\n", second.stdout:read("a"))
      local client, server = kit.pair()
      local _ <close> = client
      local cat <close> = assert(spawn({"cat", stdin = server, stdout = server}))
      server:close()
      saros.sleep(0.01)
      client:write("said\n")
      assert.are.equal("said", client:read())
      client:shutdown()
      assert.are.same({"exit", 0}, {cat:wait()})
   end)

   it_runs("leaves a stream as it was where no process comes of it", function()
      local client, server = kit.pair()
      local _ <close> = client
      assert.are.equal("ENOENT", code_of(spawn({"no.such.program", stdin = server})))
      assert.are.equal("ETIMEDOUT", code_of(saros.timeout(0.01, server.read, server)))
      server:close()
   end)

   it_runs("sets the working directory and the environment", function()
      local p <close> = assert(spawn({"sh", "-c", "pwd; echo $A$B; echo ${HOME-none}", cwd = "/", env = {A = "1", B = 2}, stdout = "pipe"}))
      assert.are.equal("/\n12\nnone\n", p.stdout:read("a"))
   end)

   it_runs("looks for the program in the PATH of the environment that it is given", function()
      assert.are.equal("ENOENT", code_of(spawn({"sh", env = {PATH = "/nowhere"}})))
      assert.is_true(run({"true", env = {PATH = "/nowhere:/bin:/usr/bin"}}).ok)
      assert.is_true(run({"true", env = {}}).ok)
      debug.sethook(function() collectgarbage() end, "", 1)
      local code = code_of(spawn({"true", env = {PATH = 12345678901234}})) -- a number is a string like any other
      debug.sethook()
      assert.are.equal("ENOENT", code)
   end)

   it_runs("I12: names what goes wrong, and leaves nothing", function()
      local plain, _ <close> = kit.temporary("no program")
      local function fails(code, text, options)
         options.stdin, options.stdout, options.stderr = "pipe", "pipe", "pipe"
         local p, message, got = spawn(options)
         assert.is_nil(p)
         assert.are.equal(code, got)
         assert.is_truthy(message:find(text, 1, true), message)
      end
      fails("ENOENT", "spawn no.such.program: no such file or directory", {"no.such.program"})
      fails("ENOENT", "spawn /no/such/program: no such file", {"/no/such/program"})
      fails("ENOENT", "no such file", {""})
      fails("EACCES", "permission denied", {plain})
      fails("EACCES", "permission denied", {"/"})
      fails("ENOENT", "spawn true: cwd /no/such/folder: no such file", {"true", cwd = "/no/such/folder"})
      fails("ENOTDIR", "cwd " .. plain .. ": not a directory", {"true", cwd = plain})
      fails("E2BIG", "argument list too long", {"true", ("x"):rep(1 << 21)})
      assert(os.execute("chmod +x " .. plain))
      fails("ENOEXEC", "not a program", {plain})
   end)

   it_runs("I12: says EMFILE where there is no descriptor left, and goes on when there is", function()
      local output = host("ulimit -n 40;", [[
         saros.process.run{"true"}
         local files, p, message, code = {}, true
         while p do
            p, message, code = saros.process.spawn{"true", stdin = "pipe", stdout = "pipe", stderr = "pipe"}
            if p then p:wait() p.stdin:close() p.stdout:close() p.stderr:close() end
            files[#files + 1] = io.open("/dev/null")
         end
         print(message, code)
         for _, file in ipairs(files) do file:close() end
         print(saros.process.run{"true"}.ok)]])
      assert.is_truthy(output:find("^spawn true: std%w+: too many open files in this process\tEMFILE\ntrue\n$"), output)
   end)

   it_runs("H5: refuses what has a zero byte in it, and all that is no option", function()
      kit.raises("argument 2: a zero byte", spawn, {"echo", "a\0b"})
      kit.raises("argument 1: a zero byte", spawn, {"echo\0"})
      kit.raises("variable A: a zero byte", spawn, {"true", env = {A = "\0"}})
      kit.raises("is no variable's name", spawn, {"true", env = {["A\0"] = "1"}})
      kit.raises("is no variable's name", spawn, {"true", env = {["A=B"] = "1"}})
      kit.raises("is no variable's name", spawn, {"true", env = {"A"}})
      kit.raises("option 'cwd': a zero byte", spawn, {"true", cwd = "/\0"})
      kit.raises("argument 2: string expected, got table", spawn, {"true", {}})
      kit.raises("the name of a program expected", spawn, {})
      kit.raises("table expected, got string", spawn, "true")
      kit.raises("unknown option 'stdinn'", spawn, {"true", stdinn = "pipe"})
      kit.raises("option 'stdout': \"inherit\", \"null\", \"pipe\", a file or a stream expected", spawn, {"true", stdout = "stdout"})
      kit.raises("unknown option 'timeout'", spawn, {"true", timeout = 1})
      kit.raises("option 'limit': an integer above 0", run, {"true", limit = 0})
      kit.raises("option 'input': stdin is no pipe", run, {"true", input = "", stdin = "null"})
   end)

   it("is ENOSYS where there are no processes", function()
      if not kit.lacks("sockets") then kit.skip("there are") end
      assert.are.equal("ENOSYS", code_of(spawn({"true"})))
      assert.are.equal("ENOSYS", code_of(run({"true"})))
   end)
end)

describe("a process", function()
   it_runs("I14: inherits its three descriptors and no other, no blocked and no ignored signal", function()
      local name, _ <close> = kit.temporary()
      local file <close> = assert(io.open(name)) -- Lua's own are not closed on exec
      local listener <close> = assert(saros.listen("127.0.0.1:0"))
      local signals <close> = saros.signal.open("SIGUSR1")
      local descriptors = run({"ls", "/proc/self/fd"}).stdout
      assert.are.equal("0\n1\n2\n3\n", descriptors) -- 3 is of ls itself
      local status = host(ignoring("USR1 HUP"), [[
         local signals <close> = saros.signal.open("SIGUSR2")
         print(saros.process.run{"cat", "/proc/self/status"}.stdout)]])
      for _, set in ipairs({"SigBlk", "SigIgn", "SigCgt"}) do
         local bits = tonumber(status:match(set .. ":\t(%x+)"), 16)
         assert.are.equal(0, bits & 0x7fffffff, status) -- the two behind 31 are the C library's own, which it ignores in a child
      end
      assert.is_true(io.type(file) == "file" and listener:address() ~= nil and tostring(signals) ~= "")
   end)

   it_runs("is killed by signals, by name and by number", function()
      for _, case in ipairs({{nil, 15}, {"SIGTERM", 15}, {"SIGKILL", 9}, {10, 10}}) do
         local p <close> = assert(spawn({"sleep", "100"}))
         assert.is_true(p:kill(case[1]))
         assert.are.same({"signal", case[2]}, {p:wait()})
      end
      local p <close> = assert(spawn({"sleep", "100"}))
      kit.raises("a signal's name or number expected", p.kill, p, "SIGNOTHING")
      kit.raises("a signal's name or number expected", p.kill, p, 65)
      assert.is_true(p:kill(0))
   end)

   it_runs("I15: cannot be killed after its end, and can be waited for again", function()
      local p <close> = assert(spawn({"true"}))
      assert.are.same({"exit", 0}, {p:wait()})
      assert.are.equal("nil kill: the process has ended ESRCH", ("%s %s %s"):format(p:kill("SIGKILL")))
      assert.are.same({"exit", 0}, {p:wait()})
   end)

   it_runs("I15: is waited for by several, and goes on where one is cancelled", function()
      local p <close> = assert(spawn({"cat", stdin = "pipe"}))
      local waiters = {}
      for i = 1, 4 do waiters[i] = saros.spawn(p.wait, p) end
      saros.sleep(0)
      waiters[2]:cancel()
      assert.is_false((saros.pcall(waiters[2].await, waiters[2])))
      assert.are.equal("ETIMEDOUT", code_of(saros.timeout(0.01, p.wait, p)))
      p.stdin:close()
      for _, i in ipairs({1, 3, 4}) do assert.are.same({"exit", 0}, {waiters[i]:await()}) end
   end)

   it_runs("is killed and reaped by <close>, also in a task that is cancelled", function()
      local task = saros.spawn(function()
         local p <close> = assert(spawn({"sleep", "100", stdin = "pipe", stdout = "pipe"}))
         p.stdout:read()
      end)
      kit.wait_until(function() return #children() > before end)
      task:cancel()
      assert.is_false((saros.pcall(task.await, task)))
      kit.wait_until(function() return #children() <= before end)
   end)

   it_runs("F14: is not there where its task is cancelled while it begins", function()
      common.gone_when_cancelled(function() return spawn({"sleep", "100", stdin = "pipe", stdout = "pipe"}) end)
   end)

   it_runs("F14: is not there where the coroutine in which it begins is closed", function()
      local co = saros.coroutine.create(function() return spawn({"sleep", "100"}) end)
      local task = saros.spawn(function() return saros.coroutine.resume(co) end)
      saros.sleep(0)
      saros.coroutine.close(co)
      assert.is_false((task:await()))
   end)

   it_runs("is killed and reaped where its loop closes, though nobody has closed it", function()
      local loop <close> = saros.loop({driver = kit.driver})
      loop:run(function()
         for _ = 1, 3 do assert(spawn({"sleep", "100"})) end
      end)
      loop:close()
      kit.wait_until(function() return #children() <= before end)
   end)

   it_runs("goes on, and is reaped, where nobody refers to it any more", function()
      local name, _ <close> = kit.temporary()
      assert(spawn({"sh", "-c", "sleep 0.05; echo done > " .. name}))
      collectgarbage()
      kit.wait_until(function() return kit.slurp(name) == "done\n" end)
   end)

   it_runs("I11: tells of fifty that end together", function()
      common.end_together(50, function(i) return spawn({"sh", "-c", "read line; exit " .. i, stdin = "pipe"}) end)
   end)

   it_runs("I10: ends with a status that nobody knows where SIGCHLD is ignored", function()
      local output = host(ignoring("CHLD"), [[
         local p = saros.process.spawn{"true"}
         print(p:wait())
         local r = saros.process.run{"echo", "out"}
         print(r.ok, r.how, r.code, r.stdout)]])
      assert.are.equal("nil\tprocess: somebody else in this program has taken its exit status\tECHILD\nfalse\tunknown\tnil\tout\n\n", output)
   end)

   it_runs("I10: leaves SIGCHLD to who listens to it", function()
      local s <close> = saros.signal.open("SIGCHLD")
      assert.is_true(run({"true"}).ok)
      assert.are.equal("SIGCHLD", s:wait())
   end)

   it_runs("ends as it should where the system has no pidfd", function()
      if not os.execute("strace -o /dev/null true 2>/dev/null") then kit.skip("strace does not work here") end
      local name, _ <close> = kit.temporary()
      local output = host("ASAN_OPTIONS=detect_leaks=0 strace -f -o " .. name .. " -e trace=pidfd_open -e inject=pidfd_open:error=ENOSYS env", [[
         local p = saros.process.spawn{"sh", "-c", "exit 7"}
         print(p:wait())
         p = saros.process.spawn{"sleep", "100"}
         print(p:kill())
         print(p:wait())
         print(p:kill())
         print(saros.process.run{"sleep", "100", timeout = 0.01})
         saros.process.spawn{"sleep", "100"}]])
      assert.are.equal("exit\t7\ntrue\nsignal\t15\nnil\tkill: the process has ended\tESRCH\n"
         .. "nil\trun sleep: timed out\tETIMEDOUT\n", output)
      assert.is_truthy(kit.slurp(name):find("INJECTED", 1, true))
   end)
end)

describe("in debug mode", function()
   it_runs("a pipe that nobody closes is told of with the place of the script", function()
      local _, errors = kit.run_apart("SAROS_DRIVER=" .. kit.driver, "--debug", "-e", [[
         local saros = require "saros"
         saros.process.spawn{"true", stdout = "pipe"}]])
      assert.is_truthy(errors:find("a stream that was opened at (command line):2 was never closed", 1, true), errors)
   end)
end)

describe("saros.process.run", function()
   it_runs("gives what came of it", function()
      local r = assert(run({"sh", "-c", "cat; echo err >&2; exit 2", input = "in"}))
      assert.are.same({ok = false, how = "exit", code = 2, stdout = "in", stderr = "err\n"}, r)
      r = assert(run({"sh", "-c", "kill -9 $$"}))
      assert.are.same({ok = false, how = "signal", code = 9, stdout = "", stderr = ""}, r)
      assert.are.equal("ENOENT", code_of(run({"no.such.program", input = "x"})))
   end)

   it_runs("I13: feeds and drains at once, whatever floods what", function()
      local megabyte = ("0123456789abcdef"):rep(1 << 16)
      local r = assert(run({"sh", "-c", "head -c 1048576 /dev/zero >&2 & head -c 1048576 /dev/zero; cat; wait", input = megabyte}))
      assert.are.equal(2 << 20, #r.stdout)
      assert.are.equal(1 << 20, #r.stderr)
      assert.are.equal(megabyte, r.stdout:sub((1 << 20) + 1))
   end)

   it_runs("I13, B7: takes it for no error where the child does not want all of its input", function()
      local megabyte = ("x"):rep(1 << 20)
      assert.is_true(run({"true", input = megabyte}).ok)
      assert.are.equal("xx", run({"head", "-c", "2", input = megabyte}).stdout)
      assert.are.equal("in", run({"sh", "-c", "exec 0<&-; echo in", input = megabyte}).stdout:sub(1, 2))
   end)

   it_runs("kills what takes too long, and does not wait for what that has left", function()
      local began = saros.now()
      assert.are.equal("nil run sleep: timed out ETIMEDOUT", ("%s %s %s"):format(run({"sleep", "100", timeout = 0.02})))
      assert.are.equal("ETIMEDOUT", code_of(run({"sh", "-c", "sleep 3 & wait", timeout = 0.02})))
      assert.is_true(saros.now() - began < 2)
   end)

   it_runs("kills what writes too much", function()
      assert.are.equal("nil run yes: its output is longer than the limit ELIMIT", ("%s %s %s"):format(run({"yes", limit = 10000})))
      assert.are.equal(10000, #run({"head", "-c", "10000", "/dev/zero", limit = 10000}).stdout)
   end)

   it_runs("joins both outputs, or leaves them where they go", function()
      local r = assert(run({"sh", "-c", "echo a; echo b >&2", stderr = "stdout"}))
      assert.are.same({ok = true, how = "exit", code = 0, stdout = "a\nb\n"}, r)
      r = assert(run({"echo", "a", stdout = "null", stderr = "null"}))
      assert.are.same({ok = true, how = "exit", code = 0}, r)
   end)
end)
