-- compare_spec.lua: saros compare: what it counts, what it does with scripts that fail or do not end, what it prints.
--
-- Nothing here is about times: the figures are only held to what must be so on any machine.

local saros = require "saros"
local dkjson = require "dkjson"
local kit = require "support.kit"
require("support.leaks")(before_each, after_each)

if not kit.on_best_driver() then return end

local ECHO = [[
local saros = require "saros"
local listener <close> = assert(saros.listen("127.0.0.1:0"))
saros.spawn(function()
   local conn <close> = assert(listener:accept())
   for line in conn:lines() do conn:write(line, "\n") end
end)
local conn <close> = assert(saros.connect(listener:address()))
for i = 1, 20 do
   saros.sleep(0.0001)
   assert(conn:write(i, "\n"))
   assert(conn:read() == tostring(i))
end]]

local READINESS = { epoll = true, poll = true, select = true, kqueue = true }

-- Standard output, standard error, exit code. Leaks cannot be looked for under ptrace, so that is not asked for.
local function compare(...)
   return kit.run_apart("ASAN_OPTIONS=$ASAN_OPTIONS:detect_leaks=0", "compare", ...)
end

local function decoded(...)
   local output, errors, code = compare("--json", ...)
   assert.are.equal("", errors)
   local value, at, err = dkjson.decode(output, 1, nil)
   assert.is_nil(err)
   assert.are.equal(#output, at - 1 + #output:match("%s*$"))
   return value, code
end

local function has(text, part) assert.is_truthy(text:find(part, 1, true), ("%q is not in: %s"):format(part, text)) end

local function opening()
   local names = {}
   for _, driver in ipairs(saros.drivers()) do
      if driver.opens and driver.name ~= "sim" then names[#names + 1] = driver.name end
   end
   return names
end

-- Has the process ended? Whoever adopts it may take its time to fetch its end: a zombie has ended too.
local function gone(pid)
   local file = io.open("/proc/" .. pid .. "/stat")
   if file then
      local state = file:read("a"):match("%) (%a)")
      file:close()
      return state == "Z" or state == "X" or state == nil
   end
   return select(3, kit.shell("kill -0 " .. pid .. " 2>/dev/null")) ~= 0
end

describe("saros compare", function()
   it("has a help of its own", function()
      local output, _, code = compare("--help")
      assert.are.equal(0, code)
      has(output, "usage: saros compare")
      has(kit.run("--help"), "saros compare")
   end)

   it("runs a script on every driver that opens, and lists that on which it fails with what it said", function()
      local script, _ <close> = kit.temporary(ECHO)
      local output, errors, code = compare("--repeat", "2", script)
      assert.are.equal(0, code, errors)
      assert.are.equal("", errors)
      has(output, script .. ": 2 runs on each driver")
      for _, column in ipairs({ "wall ms", "CPU ms", "ratio", "operations", "waits", "wake-ups", "system calls", "memory MB" }) do
         has(output, column)
      end
      for _, name in ipairs(opening()) do
         if name == "none" then
            has(output, "none: failed: exit code 1 (first run)\n    saros: " .. script .. ":2: listen 127.0.0.1:0")
         else
            assert.is_truthy(output:find("\n" .. name .. " +[%d.]+ +%d+%% +%d"), name .. ": " .. output)
         end
      end
   end)

   it("counts what belongs together", function()
      local result, code = decoded("--repeat", "5", "-e", ECHO)
      assert.are.equal(0, code)
      assert.are.equal(5, result.rounds)
      assert.are.same({ "-e", ECHO }, result.words)
      local operations
      for _, driver in ipairs(result.drivers) do
         for _, figure in ipairs({ driver.wall, driver.cpu, driver.memory }) do
            assert.are.equal(5, #figure.values)
            assert.is_true(0 < figure.least and figure.least <= figure.low and figure.low <= figure.median)
            assert.is_true(figure.median <= figure.high and figure.high <= figure.most and figure.ratio >= 1)
         end
         for i, cpu in ipairs(driver.cpu.values) do
            assert.is_true(math.abs(driver.user.values[i] + driver.system.values[i] - cpu) < 1e-6)
         end
         assert.is_true(driver.memory.median > 500000)
         assert.is_true(driver.waits >= driver.wakeups and driver.wakeups >= 20, driver.name)
         assert.is_true(driver.operations >= 20 * 4, driver.name)
         if READINESS[driver.name] then
            operations = operations or driver.operations
            assert.are.equal(operations, driver.operations, driver.name)
         end
      end
      for _, key in ipairs({ "wall", "cpu", "memory" }) do
         local best = math.huge
         for _, driver in ipairs(result.drivers) do best = math.min(best, driver[key].ratio) end
         assert.are.equal(1, best)
      end
      assert.are.equal("none", result.failed[1].name)
      has(result.failed[1].output, "not supported")
   end)

   it("counts system calls, those of the script's own children included, or says why not", function()
      local function calls(code)
         local result = decoded("--repeat", "1", "--drivers", "none", "-e", code)
         return result.drivers[1].calls, result.notes[1]
      end
      local few, note = calls("local saros = require 'saros'")
      if not few then
         has(note, "system calls")
         return
      end
      local more = calls("local saros = require 'saros' for i = 1, 100 do os.remove('/no/such/file') end")
      assert.is_true(more >= few + 100 and more < few + 200, few .. ", " .. more)
      assert.is_true(calls("os.execute('true') local saros = require 'saros'") > few + 10)
   end)

   it("lets the drivers take turns, each round beginning with another", function()
      local log, _ <close> = kit.temporary()
      local script, _ <close> = kit.temporary([[
         local file <close> = assert(io.open(arg[1], "a"))
         file:write(require "saros".current_loop():driver(), arg[2])]])
      local _, errors, code = compare("--repeat", "3", "--drivers", "none," .. kit.driver, script, log, " ")
      assert.are.equal(0, code, errors)
      local expected = ("none A | none A A none none A | none A"):gsub("A", kit.driver):gsub("| ", "") .. " "
      local got = kit.slurp(log)
      assert.is_truthy(got == expected or got == expected:gsub("none %l+ $", ""), got) -- without the runs for system calls
   end)

   it("gives the script no standard input, and shows its output only if that is asked for", function()
      local script, _ <close> = kit.temporary([[print("read", io.read("a"), ...)]])
      local output, errors, code = compare("--repeat", "1", "--drivers", "none", script, "x", "--json")
      assert.are.equal(0, code)
      assert.are.equal("", errors)
      assert.is_nil(output:find("read", 1, true))
      output, errors, code = compare("--repeat", "1", "--show-output", script, "x", "--json")
      assert.are.equal(0, code)
      assert.are.equal("read\t\tx\t--json\n", errors)
      assert.is_nil(output:find("read", 1, true))
   end)
end)

describe("saros compare, a script that fails", function()
   it("everywhere is listed everywhere; exit 1", function()
      local output, errors, code = compare("-e", "print('before') error('went wrong')")
      assert.are.equal(1, code)
      assert.are.equal("", errors)
      for _, name in ipairs(opening()) do has(output, name .. ": failed: exit code 1 (first run)\n    before\n    saros: ") end
      has(output, "went wrong")
   end)

   it("on a driver that was named is exit 1, on another one not", function()
      local code = "assert(require 'saros'.current_loop():driver() ~= 'none', 'not here') os.exit(0)"
      assert.are.equal(0, (select(3, compare("--repeat", "1", "-e", code))))
      local result, status = decoded("--repeat", "1", "--drivers", "none,select", "-e", code)
      assert.are.equal(1, status)
      assert.are.equal("select", result.drivers[1].name)
      has(result.failed[1].output, "not here")
   end)

   it("in one of the later runs takes its driver off the table", function()
      local log, _ <close> = kit.temporary()
      local result, status = decoded("--repeat", "3", "--drivers", "none", "-e", [[
         local file <close> = assert(io.open(arg[1], "a+"))
         file:write("x")
         file:seek("set", 0)
         os.exit(#file:read("a") == 3 and 7 or 0, true)]], log)
      assert.are.equal(1, status)
      assert.are.same({}, result.drivers)
      assert.are.equal("exit code 7 (run 2 of 3)", result.failed[1].reason)
   end)

   it("by a signal is told with its name", function()
      local result = decoded("--drivers", "none", "-e", "os.execute('kill -KILL $PPID')")
      assert.are.equal("ended by SIGKILL (first run)", result.failed[1].reason)
   end)

   it("by never ending is ended after --timeout, with all that it has started", function()
      local log, _ <close> = kit.temporary()
      local result, status = decoded("--timeout", "0.3", "--drivers", "none", "-e",
         "io.popen('echo $$ >' .. arg[1] .. '; exec sleep 1000') while true do end", log)
      assert.are.equal(1, status)
      assert.are.equal("did not end within 0.3 s (first run)", result.failed[1].reason)
      local pid = kit.slurp(log):match("%d+")
      if pid then -- else it was ended before it had begun
         kit.wait_until(function() return gone(pid) end)
      end
   end)

   it("may take as long as it likes", function()
      local result, status = decoded("--timeout", "1e300", "--repeat", "1", "--drivers", "none", "-e", "")
      assert.are.equal(0, status)
      assert.are.same({}, result.failed)
   end)

   it("may write without end: the last of it is kept", function()
      local result = decoded("--drivers", "none", "-e",
         "for i = 1, 50000 do print('line ' .. i, '\\xFF\\1') end io.stdout:flush() error('at last')")
      local output = result.failed[1].output
      assert.is_true(#output < 300000)
      has(output, "line 50000\t\u{FFFD}\1\n")
      has(output, "at last")
      local text = compare("--drivers", "none", "-e", "for i = 1, 50000 do print('line ' .. i) end error('at last')")
      has(text, "    ...\n    ")
      assert.is_true(#text < 1000)
   end)

   it("leaves an older picture as it is where the comparison is interrupted", function()
      if not io.open("/proc/self/stat") then return end
      local picture, _ <close> = kit.temporary("older")
      local script, _ <close> = kit.temporary([[
         local parent = io.open("/proc/self/stat"):read("a"):match("^%d+ %(.*%) %a (%d+)")
         os.execute("kill -INT " .. parent)
         while true do end]])
      local _, _, code = compare("--plot", picture, script)
      assert.are.equal(130, code)
      assert.are.equal("older", kit.slurp(picture))
   end)

   it("leaves nothing behind where the comparison is interrupted; exit 130", function()
      if not io.open("/proc/self/stat") then return end
      local log, _ <close> = kit.temporary()
      local script, _ <close> = kit.temporary([[
         local file = assert(io.open("/proc/self/stat"))
         local own, parent = file:read("a"):match("^(%d+) %(.*%) %a (%d+)")
         file:close()
         file = assert(io.open(arg[1], "w"))
         file:write(own)
         file:close()
         os.execute("kill -INT " .. parent)
         while true do end]])
      local output, errors, code = compare(script, log)
      assert.are.equal(130, code)
      assert.are.equal("", output)
      assert.are.equal("saros compare: interrupted\n", errors)
      kit.wait_until(function() return gone(kit.slurp(log)) end)
   end)
end)

describe("saros compare, called wrongly,", function()
   local function wrong(part, ...)
      local output, errors, code = compare(...)
      assert.are.equal(1, code)
      assert.are.equal("", output)
      has(errors, "saros compare: ")
      has(errors, part)
      assert.is_nil(errors:find("traceback", 1, true))
   end

   it("names what is wrong", function()
      wrong("no script")
      wrong("no script", "--json")
      wrong("unknown option --bogus", "--bogus", "x.lua")
      wrong("unknown option --driver", "--driver", "poll", "x.lua")
      wrong("a value is missing behind --drivers", "--drivers")
      wrong("--json takes no value", "--json=yes", "x.lua")
      wrong("--repeat needs a whole number above 0, not '0'", "--repeat", "0", "x.lua")
      wrong("--repeat needs a whole number above 0, not '1.5'", "--repeat=1.5", "x.lua")
      wrong("--timeout needs a number above 0, not 'nan'", "--timeout", "nan", "x.lua")
      wrong("cannot open /no/such.lua", "/no/such.lua")
      wrong("cannot be read from standard input", "-")
      wrong("cannot write /no/such/folder/x.svg", "--plot", "/no/such/folder/x.svg", "-e", "")
   end)

   it("lists the known drivers for one that is unknown, and says why one does not open", function()
      local known = {}
      for i, driver in ipairs(saros.drivers()) do known[i] = driver.name end
      wrong("'epool': no such driver; known are: " .. table.concat(known, " "), "--drivers", "none,epool", "-e", "")
      wrong("'': no such driver", "--drivers", "none,", "-e", "")
      wrong("names none twice", "--drivers", "none,none", "-e", "")
      for _, driver in ipairs(saros.drivers()) do
         if not driver.opens then wrong(driver.name .. ": " .. driver.reason, "--drivers", driver.name, "-e", "") end
      end
   end)
end)

-- Is it XML whose elements are closed in their order, whose attributes are quoted and whose texts are escaped? Returns
-- the texts.
local function texts_of_xml(xml)
   local open, texts, at = {}, {}, 1
   while at <= #xml do
      local text = xml:match("^[^<]*", at)
      assert(not text:gsub("&%l+;", ""):find("[&>]"), text)
      texts[#texts + 1] = text:match("%S") and text or nil
      at = at + #text
      if at > #xml then break end
      local whole, slash, name, attributes, ends = xml:match("^(<(/?)([%a][%w]*)(.-)(/?)>)", at)
      assert(whole, "no element at: " .. xml:sub(at, at + 40))
      assert(not attributes:gsub('%s[%a][%w-]*="[^"<&]*"', ""):find("%S"), attributes)
      if slash == "/" then assert(table.remove(open) == name, whole)
      elseif ends == "" then open[#open + 1] = name end
      at = at + #whole
   end
   assert(#open == 0, "not closed: " .. table.concat(open, " "))
   return table.concat(texts, "\n")
end

describe("saros compare --plot", function()
   it("draws each figure with each driver's name, in well-formed SVG", function()
      if kit.windows then kit.skip("no POSIX shell here, nor such names of files") end
      local picture, _ <close> = kit.temporary()
      local folder, _ <close> = kit.temporary()
      local script = folder .. "<&'\".lua"
      local file = assert(io.open(script, "wb"))
      file:write(ECHO)
      file:close()
      local _ <close> = setmetatable({}, { __close = function() os.remove(script) end })
      local output, _, code = compare("--repeat", "2", "--plot", picture, script)
      assert.are.equal(0, code)
      local svg = kit.slurp(picture)
      assert.are.equal("<svg xmlns=", svg:sub(1, 11))
      has(svg, "prefers-color-scheme: dark")
      local texts = texts_of_xml(svg)
      has(texts, "&lt;&amp;&apos;&quot;.lua")
      for _, title in ipairs({ "wall, ms", "CPU, ms", "operations", "waits", "wake-ups", "system calls", "memory, MB" }) do
         has(texts, "\n" .. title .. "\n")
      end
      for _, name in ipairs(opening()) do
         local _, count = texts:gsub("\n" .. name .. "%f[\n]", "")
         assert.are.equal(name == "none" and 0 or 7, count, name)
         if name ~= "none" then -- what the table says the picture says too
            local wall = output:match("\n" .. name .. " +([%d.]+)")
            has(texts, "\n" .. wall .. "\n")
         end
      end
   end)

   it("is readable XML also where nothing worked", function()
      local picture, _ <close> = kit.temporary()
      local _, _, code = compare("--plot", picture, "-e", "error('no')")
      assert.are.equal(1, code)
      texts_of_xml(kit.slurp(picture))
   end)
end)

describe("saros --counts", function()
   it("leaves the counts of the process in a file, also by os.exit", function()
      for _, ending in ipairs({ "", " os.exit(0)", " os.exit(0, true)" }) do
         local name, _ <close> = kit.temporary()
         local output, code = kit.run("--counts", name, "-e", "for _ = 1, 20 do require 'saros'.sleep(0.005) end" .. ending)
         assert.are.equal(0, code, output)
         local operations, waits, wakeups = kit.slurp(name):match("^(%d+) (%d+) (%d+)\n$")
         assert.are.equal("21", operations) -- the main task's start, and the timers
         waits, wakeups = tonumber(waits), tonumber(wakeups) -- not 20: a sleep may be over before anybody waits
         assert.is_true(waits >= wakeups and wakeups >= 1 and wakeups <= 20, waits .. " " .. wakeups)
      end
   end)
end)
