-- host_spec.lua: the program saros, as a child process: options, script, arg, exit codes, messages, signals.

local saros = require "saros"
local kit = require "support.kit"
require("support.leaks")(before_each, after_each)

local function with_file(content, fn)
   local name = os.tmpname()
   local file = assert(io.open(name, "wb"))
   file:write(content)
   file:close()
   local results = table.pack(pcall(fn, name))
   os.remove(name)
   if not results[1] then error(results[2], 0) end
   return table.unpack(results, 2, results.n)
end

-- The host in a command line of the shell, with `before` (variables, a pipe) in front.
local function host(arguments, before)
   return kit.shell((before or "") .. " SAROS_DRIVER=" .. kit.quote(kit.driver) .. " " .. kit.quote(kit.host) .. " " .. arguments)
end

local function has(text, part)
   assert.is_truthy(text:find(part, 1, true), ("%q is not in: %s"):format(part, text))
end

describe("saros, the options:", function()
   it("--help and -h print the usage to standard output and exit 0", function()
      for _, option in ipairs({ "--help", "-h" }) do
         local output, how, code = host(option .. " 2>/dev/null")
         assert.are.equal("exit", how)
         assert.are.equal(0, code)
         has(output, "usage: saros")
         for _, name in ipairs({ "-e CODE", "--driver NAME", "--drivers", "--trace", "--version", "--help" }) do has(output, name) end
      end
   end)

   it("--version and -v print versions and exit 0", function()
      for _, option in ipairs({ "--version", "-v" }) do
         local output, code = kit.run(option)
         assert.are.equal(0, code)
         has(output, "saros " .. saros._VERSION)
         has(output, _VERSION)
      end
   end)

   it("--drivers lists every driver with what it is, and why it does not open, and marks the default", function()
      local output, code = kit.run("--drivers")
      assert.are.equal(0, code)
      local marked = 0
      for _, driver in ipairs(saros.drivers()) do
         local line = ("\n" .. output):match("\n" .. driver.name .. " [^\n]*")
         assert.is_truthy(line, output)
         local star, compiled, opens = line:match("^\n%l+ (%*?) *(%l+) +(%l+)")
         assert.are.equal(driver.compiled and "yes" or "no", compiled)
         assert.are.equal(driver.opens and "yes" or "no", opens)
         assert.are.equal(driver.name == kit.driver, star == "*")
         assert.are.equal(driver.name == kit.driver, driver.default)
         if star == "*" then marked = marked + 1 end
         if driver.reason then has(line, driver.reason) end
         if not driver.compiled then has(line, "not compiled into this build") end
      end
      assert.are.equal(1, marked)
   end)

   it("--drivers --json says the same as saros.drivers()", function()
      local output, code = kit.run("--drivers", "--json")
      assert.are.equal(0, code)
      local dkjson = require("dkjson")
      local list, _, err = dkjson.decode(output)
      assert.is_nil(err)
      assert.are.same(saros.drivers(), list)
   end)

   it("--drivers without SAROS_DRIVER marks the first that opens by itself, and a bad SAROS_DRIVER is an error", function()
      local function drivers(value) return kit.shell("SAROS_DRIVER=" .. value .. " " .. kit.quote(kit.host) .. " --drivers") end
      local output, _, code = drivers("''")
      assert.are.equal(0, code)
      local first
      for _, driver in ipairs(saros.drivers()) do first = first or driver.opens and driver.name end
      has(output, "\n" .. first .. " *")
      output, _, code = drivers("none")
      assert.are.equal(0, code)
      has(output, "\nnone *")
      output, _, code = drivers("epool")
      assert.are.equal(1, code)
      has(output, "\nnone ")
      assert.is_nil(output:find("*", 1, true))
      has(output, "SAROS_DRIVER: epool: no such driver; known are: epoll ")
   end)

   it("--drivers has a help of its own, and takes nothing else", function()
      local output, code = kit.run("--drivers", "--help")
      assert.are.equal(0, code)
      has(output, "usage: saros --drivers")
      for _, words in ipairs({ { "--drivers", "--bogus" }, { "--drivers", "x.lua" }, { "--drivers", "--json=1" } }) do
         output, code = kit.run(table.unpack(words))
         assert.are.equal(1, code, output)
         has(output, "saros --drivers: ")
      end
   end)

   it("an unknown option is named, with the usage, and exit 1", function()
      for _, option in ipairs({ "--bogus", "-x", "--driverx", "--e" }) do
         local output, code = kit.run(option, "script.lua")
         assert.are.equal(1, code)
         has(output, "unknown option " .. option)
         has(output, "usage: saros")
      end
   end)

   it("a missing value is named", function()
      for _, option in ipairs({ "-e", "--driver" }) do
         local output, code = kit.run(option)
         assert.are.equal(1, code)
         has(output, "a value is missing behind " .. option)
      end
   end)

   it("-e runs code, with arguments", function()
      local output, code = kit.run("-e", "print(#arg, arg[1], ...)", "a", "b c")
      assert.are.equal("2\ta\ta\tb c\n", output)
      assert.are.equal(0, code)
   end)
end)

describe("saros, the script:", function()
   it("is a file, with its name at arg[0], what is before below, arguments above and in ...", function()
      with_file("print(arg[0], arg[-1], arg[-2], arg[-3], arg[-4], #arg, ...)", function(name)
         local output, code = kit.run("--driver", kit.driver, name, "x", "", "--help")
         assert.are.equal(table.concat({ name, kit.driver, "--driver", kit.host, "nil", "3", "x", "", "--help" }, "\t") .. "\n", output)
         assert.are.equal(0, code)
      end)
   end)

   it("may begin with #!", function()
      with_file("#!/usr/bin/env saros\nprint(debug.getinfo(1, 'l').currentline)", function(name)
         assert.are.equal("2\n", (kit.run(name)))
      end)
   end)

   it("is read from standard input where there is none, or -", function()
      assert.are.equal("from stdin\n", (host("", "echo 'print(\"from stdin\", ...)' |")))
      assert.are.equal("from stdin\tx\n", (host("- x", "echo 'print(\"from stdin\", ...)' |")))
   end)

   it("that is missing is named; exit 1", function()
      local output, code = kit.run("/no/such/script.lua")
      assert.are.equal(1, code)
      has(output, "cannot open /no/such/script.lua")
   end)

   it("with a syntax error is named with its line; exit 1", function()
      with_file("local x = 1\nx = = 2\n", function(name)
         local output, code = kit.run(name)
         assert.are.equal(1, code)
         has(output, name .. ":2:")
      end)
   end)

   it("that is a binary chunk is refused", function()
      with_file(string.dump(function() print("ran") end), function(name)
         local output, code = kit.run(name)
         assert.are.equal(1, code)
         has(output, "attempt to load a binary chunk")
      end)
   end)

   it("is a task: it may await, it has a loop, and coroutine.running is not the main thread", function()
      local output, code = kit.script("saros.sleep(0) print(saros.current_task() ~= nil, saros.current_loop():driver(),"
         .. " select(2, coroutine.running()))")
      assert.are.equal("true\t" .. kit.driver .. "\tfalse\n", output)
      assert.are.equal(0, code)
   end)

   it("may end in saros.run(main)", function()
      local output, code = kit.script("print(saros.run(function(...) saros.sleep(0) return ... end, 1, 2))")
      assert.are.equal("1\t2\n", output)
      assert.are.equal(0, code)
   end)

   it("finds the module by require and only so", function()
      assert.are.equal("nil\ttable\n", (kit.run("-e", "print(rawget(_G, 'saros'), type(require 'saros'))")))
   end)
end)

describe("saros, the end:", function()
   it("is exit code 0 whatever the script returns", function()
      for _, code in ipairs({ "", "return 1", "return nil, 'x'", "return false" }) do
         assert.are.equal(0, select(2, kit.run("-e", code)))
      end
   end)

   it("of an error is exit code 1, message and traceback of the script on standard error", function()
      with_file("local function culprit() error('went wrong') end\nlocal function caller() culprit() end\ncaller()\n", function(name)
         local output, _, code = host(name .. " 2>&1 >/dev/null")
         assert.are.equal(1, code)
         has(output, "saros: " .. name .. ":1: went wrong")
         has(output, "stack traceback:")
         has(output, "culprit")
         has(output, "caller")
      end)
   end)

   it("of an error in a child that main awaits shows where it was raised", function()
      local output, code = kit.script("local function culprit() error('deep') end\nsaros.spawn(function() culprit() end):await()")
      assert.are.equal(1, code)
      has(output, "deep")
      has(output, "culprit")
      assert.are.equal(1, select(2, output:gsub("deep", "")))
   end)

   it("of an error object uses its __tostring, or names its type", function()
      has(kit.run("-e", "error(setmetatable({}, {__tostring = function() return 'as text' end}))"), "saros: as text")
      has(kit.run("-e", "error({})"), "error object is a table value")
      has(kit.run("-e", "error()"), "nil")
      has(kit.run("-e", "error(setmetatable({}, {__tostring = function() error('inner') end}))"), "table value")
      has(kit.run("-e", "error(setmetatable({}, {__tostring = function() return {} end}))"), "table value")
      for _, value in ipairs({ "nil", "{}", "42", "print", "setmetatable({}, {__tostring = error})" }) do
         assert.are.equal(1, select(2, kit.run("-e", "error(" .. value .. ")")))
      end
   end)

   it("of os.exit is its code, from main, tasks and callbacks, closing the state or not", function()
      for _, close in ipairs({ "", ", true" }) do
         assert.are.equal(3, select(2, kit.script("os.exit(3" .. close .. ")")))
         assert.are.equal(4, select(2, kit.script("saros.spawn(os.exit, 4" .. close .. ") saros.sleep(10)")))
         assert.are.equal(5, select(2, kit.script("saros.call_soon(os.exit, 5" .. close .. ") saros.sleep(10)")))
         assert.are.equal(0, select(2, kit.script("saros.sleep(0) os.exit(true" .. close .. ")")))
         assert.are.equal(1, select(2, kit.script("saros.sleep(0) os.exit(false" .. close .. ")")))
      end
   end)

   it("60: by os.exit with everything open closes the state in peace", function()
      local output, code = kit.script([[
         local l = saros.listen("127.0.0.1:0")
         local c = saros.connect(l:address())
         local s = l:accept()
         saros.spawn(c.read, c)
         saros.spawn(c.write, c, ("x"):rep(10000000))
         saros.spawn(saros.gather, saros.future(), 100)
         saros.spawn(saros.timeout, 100, saros.sleep, 100)
         saros.call_later(100, print)
         local inner = saros.loop{}
         inner:spawn(saros.sleep, 100)
         inner:step()
         saros.sleep(0.001)
         setmetatable({}, {__gc = function() pcall(saros.spawn, print) pcall(s.close, s) print("finalized") end})
         os.exit(7, true)]])
      assert.are.equal(7, code, output)
      assert.are.equal("finalized\n", output)
   end)

   it("8: cancels the tasks that are left and names them", function()
      local output, code = kit.script([[
         for i = 1, 3 do
            saros.spawn(function()
               local _ <close> = setmetatable({}, {__close = function() saros.shield(saros.sleep, 0.001) print("closed " .. i) end})
               saros.sleep(100)
            end):set_name("worker " .. i)
         end
         saros.sleep(0)
         print("main ends")]])
      assert.are.equal(0, code)
      has(output, "saros: main ended; cancelled 3 tasks: worker 1 ")
      has(output, "worker 3 (")
      for i = 1, 3 do has(output, "closed " .. i) end
   end)

   it("names one task that is left, and at most a few of many", function()
      has(kit.script("saros.spawn(saros.sleep, 9):set_name('single')"), "cancelled 1 task: single (")
      local output = kit.script("for i = 1, 50 do saros.spawn(saros.sleep, 9) end saros.sleep(0)")
      has(output, "cancelled 50 tasks: ")
      has(output, "and 45 more")
   end)

   it("names nothing that the script has ended itself: tasks that it cancelled, servers that it closed", function()
      assert.are.equal("", (kit.script("saros.spawn(saros.sleep, 9):cancel() saros.sleep(0)")))
      assert.are.equal("", (kit.script("saros.spawn(saros.sleep, 9):cancel()")))
      assert.are.equal("", (kit.script("local server <close> = saros.serve('127.0.0.1:0', print) saros.sleep(0)")))
      has(kit.script("saros.serve('127.0.0.1:0', print) saros.sleep(0)"), "cancelled 1 task: accept 127.0.0.1:")
   end)

   it("of a deadlock is an error that says who waits", function()
      local output, code = kit.script("saros.current_task():set_name('the main one') saros.future():await()")
      assert.are.equal(35, code)
      has(output, "deadlock: nothing can wake what waits: the main one")
   end)

   it("survives a closed standard output", function()
      local _, how, code = host("-e 'print(1) require[[saros]].sleep(0) io.write(2)' >&-")
      assert.are.equal("exit", how)
      assert.are.equal(0, code)
   end)
end)

describe("saros, the driver:", function()
   it("is the one that --driver names, in both spellings, before SAROS_DRIVER", function()
      local show = " -e 'print(require[[saros]].current_loop():driver())'"
      assert.are.equal("none\n", (host("--driver none" .. show)))
      assert.are.equal("none\n", (host("--driver=none" .. show)))
      assert.are.equal(kit.driver .. "\n", (host(show)))
   end)

   it("is also that of the loops that the script makes", function()
      local output = kit.run("-e", "local s = require 'saros' local l = s.loop{} print(l:driver()) l:close()")
      assert.are.equal(kit.driver .. "\n", output)
   end)

   it("that is unknown is an error that lists the known ones, from the option and from SAROS_DRIVER", function()
      local known = {}
      for i, driver in ipairs(saros.drivers()) do known[i] = driver.name end
      known = "no such driver; known are: " .. table.concat(known, " ")
      for name, said in pairs({ epool = "epool: ", [""] = "'': ", ["Epoll"] = "Epoll: ", ["epool, nothing"] = " nothing: " }) do
         local output, code = kit.run("--driver", name, "-e", "print(1)")
         assert.are.equal(1, code, output)
         has(output, said .. known)
      end
      local output, _, code = kit.shell("SAROS_DRIVER=epool " .. kit.quote(kit.host) .. " -e 'print(1)'")
      assert.are.equal(1, code)
      has(output, "SAROS_DRIVER: epool: " .. known)
   end)

   it("that is not compiled in says so, from the option and from SAROS_DRIVER, and nothing else is used", function()
      for _, driver in ipairs(saros.drivers()) do
         if not driver.compiled then
            local output, code = kit.run("--driver", driver.name, "-e", "print('ran')")
            assert.are.equal(1, code)
            has(output, driver.name .. ": not compiled into this build")
            assert.is_nil(output:find("ran", 1, true))
            output, _, code = kit.shell("SAROS_DRIVER=" .. driver.name .. " " .. kit.quote(kit.host) .. " -e 'print(\"ran\")'")
            assert.are.equal(1, code)
            has(output, "SAROS_DRIVER: " .. driver.name .. ": not compiled into this build")
            assert.is_nil(output:find("ran", 1, true))
         end
      end
   end)

   it("list means: the first that opens, and the fall-back is announced", function()
      local missing
      for _, driver in ipairs(saros.drivers()) do
         if not driver.opens then missing = driver.name end
      end
      local show = " -e 'print(require[[saros]].current_loop():driver())'"
      assert.are.equal("none\n", (host("--driver none,select" .. show)))
      if missing then
         local output, _, code = host("--driver " .. missing .. "," .. kit.driver .. show)
         assert.are.equal(0, code)
         has(output, kit.driver .. "\n")
         has(output, missing)
         output, _, code = host("--driver " .. missing .. show)
         assert.are.equal(1, code)
         has(output, missing)
         has(output, "cannot open a loop")
      end
   end)

   it("can be refused by the system: that is a clean error", function()
      if kit.driver == "none" or kit.driver == "sim" then return end
      -- The lowest limit with which the program itself can be loaded: then there is one descriptor to be had.
      local output, code, _
      for limit = 4, 64 do
         output, _, code = kit.shell(("ulimit -n %d; SAROS_DRIVER=%s %s -e 'print(1)'"):format(limit, kit.driver, kit.quote(kit.host)))
         if not output:find("shared libraries", 1, true) then break end
      end
      if code == 0 then return end -- poll and select need no more than that
      assert.are.equal(1, code, output)
      has(output, "cannot open a loop")
   end)
end)

describe("saros --trace", function()
   it("shows the way of each operation: submit, park, ready, take, resume", function()
      local output, code = kit.run("--trace", "-e", [[
         local saros = require "saros"
         local l = saros.listen("127.0.0.1:0")
         local c = saros.connect(l:address())
         local s = l:accept()
         saros.spawn(function() saros.sleep(0.002) s:write("x") end)
         c:read(1)
         saros.timeout(0.001, saros.sleep, 1)]])
      assert.are.equal(0, code, output)
      for _, pattern in ipairs({ "submit +task%-1 recv %[%d+%]", "park +task%-1 recv", "ready +task%-1 recv", "take +task%-1 recv %[%d+%] %-> 1",
                                 "resume +task%-1 recv.- %-> 1", "submit +task%-2 timer, due in %d", "wait for the kernel",
                                 "cancel +task%-1 timer", "ECANCELED" }) do
         assert.is_truthy(output:find(pattern), pattern .. " is not in:\n" .. output)
      end
      local at = 1
      for _, event in ipairs({ "submit", "park", "ready", "take", "resume" }) do
         local found = output:find(event .. " +task%-1 recv", at)
         assert.is_truthy(found, event .. " is not in its place:\n" .. output)
         at = found
      end
   end)

   it("goes to standard error, and off by default", function()
      local output = host("--trace -e 'print(1) require[[saros]].sleep(0)' 2>/dev/null")
      assert.are.equal("1\n", output)
      assert.are.equal("1\n", (kit.run("-e", "print(1) require'saros'.sleep(0)")))
   end)
end)
