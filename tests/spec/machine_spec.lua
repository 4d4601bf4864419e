-- machine_spec.lua: what a machine does to the time of a program: it has run for a century, or stops the program for a
-- while. Each program is a host of its own, on this run's driver.

local saros = require "saros"
local kit = require "support.kit"
require("support.leaks")(before_each, after_each)

local lacking = kit.lacks("shell") and "shell" or "sockets"
local it_runs = kit.needs(lacking, it, pending)

-- The service is begun with the first child, and has descriptors of its own until the loop closes.
if not kit.lacks(lacking) then assert(saros.process.run({"true"})) end

describe("time", function()
   it_runs("D10: is right where the system has run for a hundred and twenty years", function()
      local apart = "unshare -rT --monotonic 4000000000"
      if not os.execute(apart .. " true 2>/dev/null") then kit.skip("no namespaces here, in which it has") end
      local output, errors = kit.run_apart(apart .. " env SAROS_DRIVER=" .. kit.driver, "-e", [[
         local saros = require "saros"
         local began, log = saros.now(), {}
         assert(began > 4e9)
         for i, ms in ipairs{9, 3, 6} do
            saros.call_at(began + ms / 1000, function() log[#log + 1] = saros.now() >= began + ms / 1000 and i or "early" end)
         end
         print(select(3, saros.timeout(0.02, saros.sleep, 100)), table.concat(log, " "))
         for late in saros.every(0.002) do
            assert(late >= 0)
            if saros.now() > began + 0.04 then break end
         end
         local a, b = saros.pair()
         print((select(3, saros.timeout(0.002, a.read, a))))
         b:write("in time\n")
         print(saros.timeout(60, a.read, a))
         a:close()
         b:close()]])
      assert.are.equal("ETIMEDOUT\t2 3 1\nETIMEDOUT\nin time\n", output, errors)
   end)

   it_runs("D9: that passes while the program is stopped is not made up for: what is overdue is told once and in order", function()
      local p <close> = assert(saros.process.spawn({kit.host, "--driver", kit.driver, "-e", [[
         local saros = require "saros"
         local began, log = saros.now(), {}
         for _, ms in ipairs{290, 260, 280, 270} do saros.call_at(began + ms / 1000, function() log[#log + 1] = ms end) end
         print("ready")
         io.stdout:flush()
         local period, count, before, resumed = 0.01, 0, began, nil
         for late in saros.every(period) do
            local now = saros.now()
            assert(late >= 0)
            count = count + 1
            if now - before > 0.4 then resumed = now end
            before = now
            if resumed and now > resumed + 0.2 then break end
         end
         assert(count < (before - began) / period - 35, count) -- those that were missed have not come after all
         print(table.concat(log, " "))]], stdout = "pipe"}))
      assert.are.equal("ready", p.stdout:read())
      assert(os.execute("kill -STOP " .. p.pid))
      saros.sleep(0.6)
      assert(os.execute("kill -CONT " .. p.pid))
      assert.are.equal("260 270 280 290", p.stdout:read())
      assert.are.same({"exit", 0}, {p:wait()})
   end)
end)
