-- signal_spec.lua: signals as awaitables: saros.signal. How the program saros itself ends by one: signals_spec.lua.

local saros = require "saros"
local kit = require "support.kit"
require("support.leaks")(before_each, after_each)

local lacking = kit.lacks("shell") and "shell" or "sockets"
local it_hears = kit.needs(lacking, it, pending) -- signals that come from outside

-- Sends signals to this process, from outside.
local function raise(...)
   local commands = {}
   for i, name in ipairs({...}) do commands[i] = "kill -s " .. name:sub(4) .. " $PPID" end
   io.popen(table.concat(commands, "; ")):close() -- not os.execute, which ignores some meanwhile
end

-- What a host with this code ends by, as the shell tells it, and its output.
local function host(code)
   local output, errors, status = kit.run_apart("SAROS_DRIVER=" .. kit.driver, "-e", [[
      local saros = require "saros"
      io.stdout:setvbuf("no")
      local function raise(name) io.popen("kill -s " .. name:sub(4) .. " $PPID"):close() end
      ]] .. code)
   return status, output, errors
end

describe("saros.signal.wait", function()
   it_hears("gives the name of the signal that has come", function()
      local first = saros.spawn(saros.signal.wait, "SIGUSR1", "SIGUSR2")
      local second = saros.spawn(saros.signal.wait, "SIGUSR2")
      saros.sleep(0)
      raise("SIGUSR1")
      assert.are.equal("SIGUSR1", first:await())
      assert.is_false(second:done())
      raise("SIGUSR2")
      assert.are.equal("SIGUSR2", second:await())
   end)

   it_hears("can be cancelled, raced and timed", function()
      assert.are.equal("ETIMEDOUT", (select(3, saros.timeout(0.01, saros.signal.wait, "SIGUSR1"))))
      local s <close> = saros.signal.open("SIGUSR1")
      assert.are.equal(2, (saros.race(s, 0.01)))
      raise("SIGUSR1")
      local index, name = saros.race(saros.future(), s)
      assert.are.equal("2 SIGUSR1", index .. " " .. name)
   end)

   it_hears("refuses what is no signal, and what no program can wait for", function()
      kit.raises("a signal's name expected", saros.signal.wait, "SIGNOTHING")
      kit.raises("a signal's name expected", saros.signal.wait, "SIGUSR1", "TERM")
      kit.raises("bad argument #1", saros.signal.wait)
      kit.raises("cannot be waited for", saros.signal.wait, "SIGKILL")
      kit.raises("cannot be waited for", saros.signal.open, "SIGSEGV")
   end)

   it("is ENOSYS in a simulated world", function()
      if kit.driver ~= "sim" then kit.skip("this one is real") end
      assert.are.equal("ENOSYS", (select(3, saros.signal.wait("SIGTERM"))))
      assert.are.equal("ENOSYS", (select(3, saros.signal.open("SIGTERM"))))
   end)
end)

describe("a source of signals", function()
   it_hears("keeps what comes while nobody waits, once of each kind", function()
      local s <close> = saros.signal.open("SIGUSR1", "SIGUSR2", "SIGHUP")
      raise("SIGUSR2", "SIGUSR1", "SIGUSR1")
      local names = {s:wait(), s:wait()}
      table.sort(names)
      assert.are.same({"SIGUSR1", "SIGUSR2"}, names)
      assert.is_nil((saros.timeout(0.02, s.wait, s)))
   end)

   it_hears("ends a loop over it when it is closed, and tells nobody any more", function()
      local s = saros.signal.open("SIGUSR1")
      local other <close> = saros.signal.open("SIGUSR1")
      local names = {}
      local task = saros.spawn(function() for name in s do names[#names + 1] = name end return "ended" end)
      raise("SIGUSR1")
      kit.wait_until(function() return #names == 1 end)
      s:close()
      assert.are.equal("ended", task:await())
      assert.are.equal("ECLOSED", (select(3, s:wait())))
      raise("SIGUSR1")
      assert.are.equal("SIGUSR1", other:wait())
      s:close()
      assert.are.equal(1, #names)
   end)

   it_hears("I9: tells all who listen, each of them", function()
      local sources, told = {}, {}
      for i = 1, 10 do sources[i] = saros.signal.open("SIGUSR1") end
      raise("SIGUSR1")
      for i = 1, 10 do
         told[i] = sources[i]:wait()
         sources[i]:close()
      end
      assert.are.equal(("SIGUSR1"):rep(10), table.concat(told))
   end)

   it_hears("gives one signal to one of those who wait, and a cancelled one loses none", function()
      local s <close> = saros.signal.open("SIGUSR1")
      local first, second = saros.spawn(s.wait, s), saros.spawn(s.wait, s)
      saros.sleep(0)
      first:cancel()
      raise("SIGUSR1")
      assert.are.equal("SIGUSR1", second:await())
      assert.is_false((saros.pcall(first.await, first)))
      local third = saros.spawn(s.wait, s)
      saros.sleep(0)
      third:cancel()
      assert.is_false((saros.pcall(third.await, third)))
      raise("SIGUSR1")
      assert.are.equal("SIGUSR1", s:wait())
   end)

   it_hears("belongs to its loop, and ends with it", function()
      local s <close> = saros.signal.open("SIGUSR1")
      local left
      local loop <close> = saros.loop({driver = kit.driver})
      loop:run(function()
         kit.raises("belongs to another loop", s.wait, s)
         left = saros.signal.open("SIGUSR2")
      end)
      loop:close()
      assert.are.equal("ECLOSED", (select(3, left:wait())))
      assert.is_truthy(tostring(left):find("closed", 1, true))
   end)

   it_hears("I9: outlives a storm of a hundred thousand, while others come and go", function()
      local done <close> = saros.signal.open("SIGUSR2")
      local always <close> = saros.signal.open("SIGUSR1")
      local storm <close> = io.popen("i=0; while [ $i -lt 100000 ]; do kill -s USR1 $PPID; i=$((i+1)); done; kill -s USR2 $PPID; echo over")
      local told, opened = 0, 0
      local counter = saros.spawn(function() for _ in always do told = told + 1 end end)
      repeat
         local _ <close> = saros.signal.open("SIGUSR1", "SIGHUP")
         opened = opened + 1
      until saros.timeout(0, done.wait, done)
      kit.wait_until(function() return told > 0 end)
      always:close()
      counter:await()
      assert.are.equal("over\n", storm:read("a"))
      assert.is_true(told > 0 and opened > 0)
   end)
end)

describe("what a signal does without us", function()
   it_hears("is what it does again when the last source closes", function()
      local output, how, code = kit.shell(("%s -e %s"):format(kit.quote(kit.host), kit.quote [[
         local saros = require "saros"
         local function raise(name) io.popen("kill -s " .. name:sub(4) .. " $PPID"):close() end
         local a, b = saros.signal.open("SIGUSR1"), saros.signal.open("SIGUSR1", "SIGUSR2")
         raise("SIGUSR1") raise("SIGUSR2")
         a:close()
         raise("SIGUSR1")
         print(b:wait(), b:wait())
         io.stdout:flush()
         b:close()
         raise("SIGUSR1")
         print("not reached")]]))
      assert.are.equal("SIGUSR1\tSIGUSR2\n", output:sub(1, 16))
      assert.is_nil(output:find("not reached", 1, true))
      assert.are.equal("exit 138", how .. " " .. code) -- as the shell tells of the end by signal 10
   end)

   it_hears("leaves the host's Ctrl-C and SIGTERM to a script that opens them, and gives them back", function()
      for name, status in pairs({SIGINT = 130, SIGTERM = 143}) do
         local code, output = host(([[
            local _ <close> = setmetatable({}, {__close = function() print("main closed") end})
            do
               local s <close> = saros.signal.open("%s")
               raise("%s") raise("%s")
               print("mine", s:wait())
            end
            raise("%s")
            saros.sleep(10)
            print("not reached")]]):format(name, name, name, name))
         assert.are.equal(status, code, output)
         assert.are.equal(("mine\t%s\nmain closed\n"):format(name), output)
      end
   end)

   it_hears("is what it does for the host when main ends with a source open", function()
      local code, output = host([[
         local s = saros.signal.open("SIGINT", "SIGQUIT")
         raise("SIGINT")
         print(s:wait())]])
      assert.are.equal("0 SIGINT\n", code .. " " .. output)
   end)

   it_hears("is told of in debug mode where nobody has closed a source", function()
      local _, _, errors = host([[
         local loop = saros.loop{debug = true}
         loop:run(function() saros.signal.open("SIGUSR1") end)
         loop:close()]])
      assert.is_truthy(errors:find("a source of signals that was opened at (command line):", 1, true), errors)
   end)
end)

-- Under Wine a program is one of the system's processes as well, and signals that it gets there are Ctrl-C to it.
describe("what a console tells its programs on Windows", function()
   local function press_ctrl_c(mark)
      for _, name in ipairs(saros.fs.list("Z:\\proc")) do
         local file <close> = name:find("^%d+$") and io.open("Z:\\proc\\" .. name .. "\\cmdline", "rb")
         if file and (file:read("a") or ""):find(mark, 1, true) then
            return assert(os.execute("start /unix /bin/kill -INT " .. name))
         end
      end
      error("no process is called with " .. mark)
   end

   it("is a signal to those who listen to it, all of them, and the host's again after the last", function()
      if not kit.windows or kit.driver == "sim" then kit.skip("no such console here") end
      if not os.getenv("WINELOADER") then kit.skip("a console of our own would be needed") end
      local mark = ("ctrl-c %d %s"):format(os.time(), kit.driver)
      local program <close> = assert(saros.process.spawn({kit.host, "--driver", kit.driver, "-e", [[
         local saros = require "saros"
         io.stdout:setvbuf("no")
         local _ <close> = setmetatable({}, {__close = function() print("main closed") end})
         do
            local both <close> = saros.signal.open("SIGINT", "SIGBREAK")
            local one <close> = saros.signal.open("SIGINT")
            print("listens")
            print(both:wait(), one:wait())
            print(saros.timeout(0.01, both.wait, both))
         end
         print("listens no more")
         saros.sleep(100)]], mark, stdin = "null", stdout = "pipe", stderr = "stdout"}))
      local function line() return (saros.timeout(20, program.stdout.read, program.stdout)) end
      assert.are.equal("listens", line())
      press_ctrl_c(mark)
      assert.are.equal("SIGINT\tSIGINT", line())
      assert.are.equal("nil", (line() or ""):sub(1, 3))
      assert.are.equal("listens no more", line())
      press_ctrl_c(mark)
      assert.are.equal("main closed", line())
      program:wait()
   end)

   it("is none of the signals that there are elsewhere: they raise an error", function()
      if not kit.windows or kit.driver == "sim" then kit.skip("no such console here") end
      for _, name in ipairs({"SIGUSR1", "SIGKILL", "SIGSEGV"}) do
         kit.raises("this signal cannot be waited for", saros.signal.open, "SIGHUP", name)
      end
      kit.raises("a signal's name expected", saros.signal.wait, "CTRL_C")
   end)
end)
