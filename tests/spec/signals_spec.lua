-- signals_spec.lua: how the program saros ends by a signal. POSIX only: the child is started and signalled by the shell.

local kit = require "support.kit"
require("support.leaks")(before_each, after_each)

local in_time = kit.needs("time", it, pending) -- for cases in which a host sleeps until the signal comes

-- Runs the code in a host that prints "ready" when it may be signalled; then sends the signals, a moment apart where
-- a number of seconds stands among them. Returns the output and the exit status as the shell tells it.
local function signalled(code, ...)
   local script, out = os.tmpname(), os.tmpname()
   local file = assert(io.open(script, "w"))
   file:write("local saros = require 'saros'\nio.stdout:setvbuf('no')\n", code)
   file:close()
   local lines = {
      ("SAROS_DRIVER=%s %s %s >%s 2>&1 &"):format(kit.quote(kit.driver), kit.quote(kit.host), script, out),
      "pid=$!",
      ("for i in $(seq 500); do grep -q ready %s && break; sleep 0.01; done"):format(out),
   }
   for _, step in ipairs({ ... }) do
      if type(step) == "number" then lines[#lines + 1] = "sleep " .. step
      else lines[#lines + 1] = "kill -s " .. step .. " $pid" end
   end
   -- A host that does not end at all must not hold up the tests.
   lines[#lines + 1] = "( sleep 20; kill -s KILL $pid ) 2>/dev/null >/dev/null & watch=$!"
   lines[#lines + 1] = "wait $pid; status=$?; kill $watch 2>/dev/null; echo status $status"
   local shell = kit.shell("set +m; trap - INT\n" .. table.concat(lines, "\n"))
   local output = assert(io.open(out)):read("a")
   os.remove(script)
   os.remove(out)
   return output, tonumber(shell:match("status (%d+)"))
end

-- A shell starts what it puts into the background with SIGINT ignored, and a program that ignores it stays so; the
-- host installs its handler all the same, because the script asked for nothing else.

describe("SIGINT", function()
   in_time("8: cancels main: <close> variables run and may await, and the exit code is 130", function()
      local output, status = signalled([[
         local _ <close> = setmetatable({}, {__close = function(_, err)
            saros.shield(saros.sleep, 0.01)
            print("closed", select(2, saros.is_cancelled(err)))
         end})
         print("ready")
         saros.sleep(100)
         print("went on")]], "INT")
      assert.are.equal(130, status, output)
      assert.is_truthy(output:find("closed\tinterrupted", 1, true), output)
      assert.is_truthy(output:find("saros: interrupted", 1, true), output)
      assert.is_nil(output:find("went on", 1, true))
   end)

   in_time("also ends the tasks that main started", function()
      local output, status = signalled([[
         saros.spawn(function()
            local _ <close> = setmetatable({}, {__close = function() print("child closed") end})
            saros.sleep(100)
         end)
         saros.sleep(0)
         print("ready")
         saros.gather(function()
            local _ <close> = setmetatable({}, {__close = function() print("gathered closed") end})
            saros.sleep(100)
         end)]], "INT")
      assert.are.equal(130, status, output)
      assert.is_truthy(output:find("child closed", 1, true), output)
      assert.is_truthy(output:find("gathered closed", 1, true), output)
   end)

   in_time("while a nested loop runs ends that and what is around it", function()
      local output, status = signalled([[
         local _ <close> = setmetatable({}, {__close = function() print("outer closed") end})
         local loop <close> = saros.loop{}
         loop:run(function()
            local _ <close> = setmetatable({}, {__close = function() print("inner closed") end})
            print("ready")
            saros.sleep(100)
         end)
         saros.sleep(0)
         print("went on")]], "INT")
      assert.are.equal(130, status, output)
      assert.is_truthy(output:find("inner closed", 1, true), output)
      assert.is_truthy(output:find("outer closed", 1, true), output)
      assert.is_nil(output:find("went on", 1, true))
   end)

   it("8: a second time ends the process, also where the script never awaits", function()
      local output, status = signalled("print('ready')\nwhile true do end", "INT", 0.1, "INT")
      assert.are.equal(130, status, output)
      output, status = signalled([[
         print("ready")
         while true do saros.pcall(saros.sleep, 1) end]], "INT", 0.1, "INT")
      assert.are.equal(130, status, output)
   end)

   it("while main waits in a shield lets that end first", function()
      local output, status = signalled([[
         saros.shield(function()
            print("ready")
            io.popen("kill -s INT $PPID"):close() -- not os.execute, which ignores the signal meanwhile
            saros.sleep(0.01)
            print("shield ended")
         end)
         saros.sleep(0)
         print("went on")]])
      assert.are.equal(130, status, output)
      assert.is_truthy(output:find("shield ended", 1, true), output)
      assert.is_nil(output:find("went on", 1, true))
   end)
end)

for _, signal in ipairs({ "INT", "TERM" }) do
   in_time("8: SIG" .. signal .. " while what main has left is being closed lets that end; a second one ends the process", function()
      local code = [[
         for i = 1, 2 do
            saros.spawn(function()
               local _ <close> = setmetatable({}, {__close = function()
                  saros.shield(function()
                     if i == 2 then saros.sleep(0.02) print("ready") end
                     saros.sleep(0.1 + i * 0.1)
                     print("closed " .. i)
                  end)
               end})
               saros.sleep(100)
            end)
         end
         saros.sleep(0)]]
      local output, status = signalled(code, signal)
      assert.are.equal(signal == "INT" and 130 or 143, status, output)
      assert.is_truthy(output:find("closed 1\nclosed 2\n", 1, true), output)
      assert.is_truthy(output:find(signal == "INT" and "saros: interrupted" or "saros: terminated", 1, true), output)
      output, status = signalled(code:gsub("0.1 %+ i", "100 + i"), signal, 0.05, signal)
      assert.are.equal(signal == "INT" and 130 or 143, status, output)
      assert.is_nil(output:find("closed 2", 1, true))
   end)
end

describe("SIGTERM", function()
   in_time("cancels main in the same way, and the exit code is 143", function()
      local output, status = signalled([[
         local _ <close> = setmetatable({}, {__close = function(_, err) print("closed", select(2, saros.is_cancelled(err))) end})
         print("ready")
         saros.sleep(100)]], "TERM")
      assert.are.equal(143, status, output)
      assert.is_truthy(output:find("closed\tterminated", 1, true), output)
   end)

   in_time("ends a server that waits for connections", function()
      local output, status = signalled([[
         local server <close> = saros.serve("127.0.0.1:0", print)
         print("ready")
         server:wait()]], "TERM")
      assert.are.equal(143, status, output)
   end)

   in_time("after SIGINT is a first one of its kind, and the last decides", function()
      local output, status = signalled([[
         local _ <close> = setmetatable({}, {__close = function()
            print("closing")
            saros.shield(saros.sleep, 0.3)
         end})
         print("ready")
         saros.sleep(100)]], "INT", 0.1, "TERM")
      assert.is_true(status == 143 or status == 130, output)
      assert.is_truthy(output:find("closing", 1, true), output)
   end)
end)

describe("SIGQUIT", function()
   in_time("5: prints what each task waits for, while the loop sleeps, as often as it is asked, and the program goes on", function()
      local output, status = signalled([[
         saros.spawn(function() saros.queue():get() end):set_name("getter")
         saros.sleep(0)
         print("ready")
         saros.sleep(0.6)
         print("went on")]], "QUIT", 0.2, "QUIT")
      assert.are.equal(0, status, output)
      assert.are.equal(2, select(2, output:gsub("saros: 2 tasks on driver ", "")), output)
      assert.are.equal(2, select(2, output:gsub("\ngetter %b() waits in queue:get, since", "")), output)
      assert.are.equal(2, select(2, output:gsub("\nmain waits in saros.sleep, since", "")), output)
      assert.is_truthy(output:find("went on", 1, true), output)
   end)

   in_time("shows the tasks of the loops around as well", function()
      local output, status = signalled([[
         saros.spawn(saros.sleep, 1):set_name("outer")
         saros.sleep(0)
         local loop <close> = saros.loop{}
         loop:run(function()
            saros.current_task():set_name("inner")
            print("ready")
            saros.sleep(0.5)
         end)]], "QUIT")
      assert.are.equal(0, status, output)
      assert.is_truthy(output:find("\ninner waits in saros.sleep", 1, true), output)
      assert.is_truthy(output:find("\nmain runs another loop", 1, true), output)
      assert.is_truthy(output:find("\nouter ", 1, true), output)
   end)

   it("ends nothing where it comes while no loop runs", function()
      local output, status = signalled([[
         error(setmetatable({}, {__tostring = function()
            print("ready")
            io.popen("kill -s QUIT $PPID"):close()
            return "the error"
         end}))]])
      assert.are.equal(1, status, output)
      assert.is_truthy(output:find("saros: the error", 1, true), output)
   end)

   it("ends nothing where the program ends, also by os.exit inside a task", function()
      for how, times in pairs({ [""] = 3, ["os.exit(0, true)"] = 1 }) do
         local output, status = signalled([[
            kept = setmetatable({}, {__gc = function()
               print("ready")
               for i = 1, ]] .. times .. [[ do io.popen("kill -s QUIT $PPID"):close() end
               print("closed")
            end})
            saros.spawn(saros.sleep, 100)
            saros.sleep(0)
            ]] .. how)
         assert.are.equal(0, status, output)
         assert.is_truthy(output:find("ready\nclosed\n", 1, true), output)
      end
   end)

   it("a second time ends a program that never awaits", function()
      local output, status = signalled("print('ready')\nwhile true do end", "QUIT", 0.1, "QUIT")
      assert.are.equal(131, status, output)
   end)
end)
