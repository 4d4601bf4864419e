-- asyncio_spec.lua: asyncio and Saros play the same scenarios and say the same.
--
-- usage: saros tests/support/busted.lua tests/oracle        (SAROS_PYTHON names another Python than python3)
--
-- Each scenario (scenarios/*.lua; what one is: oracle.lua) is played once by Python, and here on a loop of the simulated
-- world, in virtual time, and on one of this run's driver. What this Python is too old for is pending, with the reason.
-- Where a difference is meant, the case fails as well once there is none any more: then its row can go.

local saros = require "saros"
local oracle = require "oracle.oracle"

local tests = arg[0]:match("^(.*)[/\\]support[/\\]") or "tests"
for _, theme in ipairs({ "loop", "futures", "tasks", "cancelling", "gathering", "timeouts", "groups", "queues", "sync" }) do
   require("oracle.scenarios." .. theme)
end

describe("asyncio as the oracle", function()
   local python, version = oracle.python()
   if not python then
      pending("plays no scenario: " .. version)
      return
   end
   local answers = oracle.ask(python, tests .. "/oracle")

   for _, it_ in ipairs(oracle.scenarios) do
      local answer = answers[it_.name] or { fail = "Python " .. version .. " ended before it came to this" }
      if answer.skip then
         pending(it_.name .. " (" .. answer.skip .. ")")
      else
         for _, driver in ipairs({ "sim", saros.current_loop():driver() }) do
            it(it_.name .. " [" .. driver .. "]", function()
               assert(not answer.fail, answer.fail)
               assert(#answer > 0, "the scenario says nothing")
               local ours = oracle.play(it_, driver)
               local difference = oracle.difference(answer, ours)
               if it_.differs then
                  assert(difference, "there is no difference any more: " .. it_.differs)
                  difference = oracle.difference(it_.ours, ours)
                  assert(not difference, difference and "meant is another difference:" .. difference)
               else
                  assert(not difference, difference)
               end
            end)
         end
      end
   end

   it("has at least 60 scenarios", function() assert(#oracle.scenarios >= 60, #oracle.scenarios) end)

   it("finds a difference where there is one", function()
      assert(oracle.difference({ "a", "b" }, { "a", "b" }) == nil)
      assert(oracle.difference({ "a", "b" }, { "a" }):find("* b", 1, true))
      assert(oracle.difference({}, { "a" }):find("* -", 1, true))
   end)
end)
