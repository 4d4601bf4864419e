-- replay_spec.lua: the program saros on driver sim: --seed and --faults, the clocks and dice of a script, deadlocks, and
-- that a run can be had again to the byte. Child processes, whichever driver the specs run on.

local saros = require "saros"
local kit = require "support.kit"
require("support.leaks")(before_each, after_each)

local root = debug.getinfo(1, "S").source:match("^@(.*)tests[/\\]spec[/\\]") or ""

-- Runs the host on sim: output on both channels, and exit code.
local function run(...) return kit.run("--driver", "sim", ...) end
local function script(code, ...)
   local words = { ... }
   words[#words + 1] = "-e"
   words[#words + 1] = "local saros, sim = require 'saros', require 'saros.sim'\n" .. code
   return run(table.unpack(words))
end

local function has(text, part)
   assert.is_truthy(text:find(part, 1, true), ("%q is not in: %s"):format(part, text))
end

describe("saros --driver sim", function()
   it("runs a script unchanged: tasks, time, sockets", function()
      local output, code = script([[
         local listener <close> = assert(saros.listen("127.0.0.1:0"))
         saros.spawn(function()
            local stream <close> = assert(listener:accept())
            for line in stream:lines() do saros.sleep(1) stream:write(line:upper(), "\n") end
         end)
         local stream <close> = assert(saros.connect(listener:address()))
         for _, word in ipairs{"one", "two"} do
            stream:write(word, "\n")
            print(stream:read())
         end
         stream:close()
         saros.sleep(0.1)
         print(saros.now() >= 2 and saros.now() < 2.2)]])
      assert.are.equal("ONE\nTWO\ntrue\n", output)
      assert.are.equal(0, code)
   end)

   it("lets a year pass at once, by every clock that a script can read", function()
      local output, code = script([[
         local year = 365 * 24 * 3600
         print(os.date("!%Y-%m-%d %H:%M:%S"), os.date("%H:%M"), os.time(), os.clock())
         saros.sleep(year)
         print(os.date("%Y-%m-%d"), os.date("*t").yday, os.time() - year, os.clock() == year, sim.now() == year)
         print(os.date("!%Y", 0), os.time{year = 1970, month = 1, day = 2, hour = 0})]])
      assert.are.equal("2026-01-01 00:00:00\t00:00\t1767225600\t0.0\n2027-01-01\t1\t1767225600\ttrue\ttrue\n1970\t86400\n", output)
      assert.are.equal(0, code)
   end)

   it("seeds math.random from --seed, also where the script seeds it anew", function()
      local draw = "print(math.random(1 << 40), math.random(1 << 40)) math.randomseed() print(math.random(1 << 40))"
      local first = script(draw, "--seed", "42")
      assert.are.equal(first, (script(draw, "--seed", "0x2A")))
      assert.are.equal(first, (script(draw, "--seed=42")))
      assert.are_not.equal(first, (script(draw, "--seed", "43")))
      assert.are.equal((script(draw)), (script(draw, "--seed", "0")))
      math.randomseed(42)
      has(first, ("%d\t%d\n"):format(math.random(1 << 40), math.random(1 << 40)))
   end)

   it("leaves math.randomseed(n) to the script", function()
      local draw = "math.randomseed(7) print(math.random(1 << 40))"
      assert.are.equal((script(draw, "--seed", "1")), (script(draw, "--seed", "2")))
   end)

   it("takes seeds from 0 to 2^64-1, decimal or hexadecimal, and names what is wrong with others", function()
      for _, seed in ipairs({ "0", "007", "18446744073709551615", "0xffffffffffffffff", "0XaB" }) do
         assert.are.equal(0, (select(2, script("sim.seed()", "--seed", seed))), seed)
      end
      assert.are.equal("-1\n", (script("print(sim.seed())", "--seed", "18446744073709551615")))
      for _, seed in ipairs({ "", "-1", "+1", " 1", "1 ", "1.5", "1e3", "x", "0x", "0xg", "18446744073709551616", "0x10000000000000000" }) do
         local output, code = script("print 'ran'", "--seed", seed)
         assert.are.equal(1, code, seed)
         assert.are.equal("saros: --seed " .. seed .. ": must be a whole number from 0 to 2^64-1, decimal or with 0x\n", output)
      end
      local output, code = run("--seed")
      assert.are.equal(1, code)
      has(output, "a value is missing behind --seed")
   end)

   it("refuses faults that it does not know, and lists those that it does", function()
      local output, code = script("print 'ran'", "--faults", "gremlins")
      assert.are.equal(1, code)
      has(output, "cannot open a loop: sim: ")
      has(output, "gremlins")
      local loop <close> = saros.loop({ driver = "sim" })
      for _, fault in ipairs(loop:run(saros.sim.faults)) do has(output, fault.name) end
      assert.is_nil(output:find("ran\n", 1, true))
   end)

   it("is not asked for by faults alone: another driver refuses them", function()
      local other = saros.drivers()[1].opens and saros.drivers()[1].name or "none"
      local output, code = kit.run("--driver", other, "--faults=chaos", "-e", "print 'ran'")
      assert.are.equal(1, code)
      assert.are.equal("saros: --faults: only driver sim has any, and this loop's is " .. other .. "\n", output)
      output, code = kit.run("--driver", other, "--seed=5", "-e", "print 'ran'")
      assert.are.equal("ran\n", output)
      assert.are.equal(0, code)
   end)

   it("opens the loops of the script on sim as well, with the same seed", function()
      assert.are.equal("sim\t42\n", (script([[
         local loop <close> = saros.loop()
         loop:run(function() print(loop:driver(), sim.seed()) end)]], "--seed", "42")))
   end)

   it("keeps the real clock for a loop on another driver", function()
      local output = script([[
         saros.sleep(1000)
         local before = os.time()
         local loop <close> = saros.loop{driver = "none"}
         print(loop:run(os.time) ~= before, os.time() == before)]])
      assert.are.equal("true\ttrue\n", output)
   end)
end)

describe("a deadlock in a simulated world", function()
   it("is reported with the tasks and the lines where they wait, also where they wait for the network", function()
      local output, code = script([[
         local listener <close> = assert(saros.listen("127.0.0.1:0"))
         local stream <close> = assert(saros.connect(listener:address()))
         local server <close> = assert(listener:accept())
         saros.spawn(function() server:read() end):set_name("reader")
         saros.spawn(listener.accept, listener)
         local hold <close> = setmetatable({}, {__close = function() print("closed") end})
         stream:read("a")]])
      assert.are.equal(35, code)
      has(output, "deadlock: nothing can wake what waits: main waits at (command line):8, "
         .. "reader ((command line):5) waits at (command line):5, task-3 ((command line):6)")
      has(output, "closed\n")
   end)

   it("is none while a timer runs, or the network can still bring something", function()
      assert.are.equal("ETIMEDOUT\n", (script([[
         local listener <close> = assert(saros.listen("127.0.0.1:0"))
         print((select(3, saros.timeout(3600, listener.accept, listener))))]])))
   end)

   it("can be lived through by a loop: what is left is cancelled", function()
      local loop <close> = saros.loop({ driver = "sim" })
      kit.raises("deadlock", loop.run, loop, function() assert(saros.listen("127.0.0.1:0")):accept() end)
      assert.are.equal(3, loop:run(function()
         saros.sleep(1)
         return 3
      end))
   end)
end)

describe("a run in a simulated world", function()
   -- Compares two traces, and shows the first line that differs.
   local function same(expected, got)
      if expected == got then return end
      local next_line = got:gmatch("[^\n]*")
      local number = 0
      for line in expected:gmatch("[^\n]*") do
         number = number + 1
         local other = next_line()
         if line ~= other then error(("line %d differs:\n%s\n%s"):format(number, line, other), 2) end
      end
      error("one is longer than the other", 2)
   end

   local function trace(name, ...)
      local words = table.pack("--trace", ...)
      words[#words + 1] = root .. "tests/sim/" .. name .. ".lua"
      local output, code = run(table.unpack(words))
      assert.are.equal(0, code, output)
      return output
   end

   it("traces the same bytes in twenty processes, for each seed and all that goes wrong", function()
      for _, faults in ipairs({ "readiness", "completion", "chaos", "completion,chaos" }) do
         local first = trace("world", "--seed", "42", "--faults", faults)
         has(first, "simulated: seed 42, faults " .. faults)
         assert.is_true(#first > 20000)
         for _ = 1, 4 do same(first, trace("world", "--seed", "42", "--faults", faults)) end
         assert.is_true(first ~= trace("world", "--seed", "43", "--faults", faults))
      end
   end)

   it("does not depend on the environment, or on where its output goes", function()
      local command = kit.quote(kit.host) .. " --driver sim --seed 7 --faults chaos --trace " .. root .. "tests/sim/world.lua"
      local first = kit.shell(command)
      same(first, (kit.shell("FOO=" .. ("x"):rep(5000) .. " LC_ALL=C TZ=Asia/Tokyo " .. command .. " 2>&1 | cat")))
   end)

   it("is the same whether it is traced or not, also where it is busy for so long that time goes on by itself", function()
      local busy = [[
         local task = saros.spawn(function() for _ = 1, 30000 do saros.sleep(0) end end)
         saros.sleep(0.001)
         task:await()
         print(saros.now())]]
      local output = script(busy)
      assert.is_truthy(tonumber(output) > 0.001)
      assert.are.equal(output, script(busy, "--trace"):match("\n([%d.]+\n)[^\n]*$") or "")
   end)

   it("shows virtual times, from 0 on", function()
      local output = script("saros.sleep(12.5) print 'up'", "--trace")
      has(output, "\n 0.000000      submit   task-1 timer, due in 12500.000 ms\n")
      has(output, "\n12.500000      resume   task-1 timer -> 0\n")
   end)

   it("is the same where sim is the first of several drivers that may be used", function()
      local _, alone = run("--trace", "-e", "print({})")
      local _, listed = kit.run("--driver", "sim,poll", "--trace", "-e", "print({})")
      same(alone, listed)
   end)

   it("says in its trace's first line whether it fixes the order of tables, and does so then, and the collector's times too", function()
      local first = trace("tables", "--seed", "1")
      local line = first:match("^[^\n]*")
      if line:find("the order of pairs() is not fixed", 1, true) then
         has(line, "simulated: seed 1, faults none; the order of pairs() is not fixed: "
            .. "this Lua library draws it anew in each process")
         return pending("this host stands on a Lua library that draws its own seed")
      end
      if line:find("addresses are not fixed", 1, true) then return pending("addresses cannot be fixed here") end
      assert.are.equal("simulated: seed 1, faults none", line)
      for _ = 1, 20 do same(first, trace("tables", "--seed", "1")) end
      first = trace("garbage", "--seed", "1")
      has(first, "\tis gone\t")
      for _ = 1, 5 do same(first, trace("garbage", "--seed", "1")) end
   end)
end)
