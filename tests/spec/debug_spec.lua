-- debug_spec.lua: debug mode: slow steps, what nobody closed, what nobody took.
--
-- Of line 10 of the semantics "calls from the wrong thread raise" has no counterpart here: a Lua state has one thread.

local kit = require "support.kit"
require("support.leaks")(before_each, after_each)

local in_time = kit.needs("time", it, pending) -- for cases in which time passes while a script computes

local function has(text, part)
   assert(text:find(part, 1, true), ("%q is not in: %s"):format(part, text))
end

local function count(text, part)
   return select(2, text:gsub(part:gsub("%W", "%%%0"), ""))
end

local busy = "local function busy(s) local t = os.clock() while os.clock() - t < s do end end\n"

describe("debug mode", function()
   in_time("10: tells of steps over 100 ms: the task, and where the step ended; and of callbacks", function()
      local output, code = kit.run("--debug", "-e", "local saros = require 'saros'\n" .. busy .. [[
         local function slow() busy(0.13) saros.sleep(0) end
         saros.spawn(slow):set_name("the slow one")
         saros.sleep(0.001)
         saros.spawn(function() busy(0.13) end):set_name("the one that ends"):await()
         saros.spawn(function() saros.sleep(0) busy(0.13) return true end):set_name("the one that ends later")
         saros.spawn(function() saros.sleep(0) busy(0.13) error("failed", 0) end):set_name("the one that fails")
         saros.spawn_now(function() saros.spawn_now(saros.sleep, 0) busy(0.13) end):set_name("the eager one")
         saros.sleep(0) saros.sleep(0)
         saros.call_soon(function() busy(0.13) end)
         saros.sleep(0.001)]])
      assert.are.equal(1, code, output)
      assert(output:match("saros: task the slow one %b() ran for 0%.%d+ s without giving way; that ended at\n"
         .. "stack traceback:\n[^\n]*'saros.sleep'\n[^\n]*:3: in function"), output)
      assert(output:match("saros: task the one that ends %b() ran for 0%.%d+ s without giving way, and has ended"), output)
      assert(output:match("saros: task the one that ends later %b() ran for 0%.%d+ s without giving way, and has ended"), output)
      assert(output:match("saros: task the one that fails %b() ran for 0%.%d+ s without giving way, and has ended"), output)
      assert(output:match("saros: task task%-%d+ %b() ran for 0%.%d+ s without giving way, and has ended"), output)
      assert(output:match("saros: a callback, the function at %b():11, ran for 0%.%d+ s"), output)
   end)

   in_time("10: is switched on by SAROS_DEBUG and by an option of a loop, and is off by default", function()
      local code = kit.quote("local saros = require 'saros'\n" .. busy .. "busy(0.13) saros.sleep(0)")
      local function run(before)
         return (kit.shell(before .. " SAROS_DRIVER=" .. kit.driver .. " " .. kit.quote(kit.host) .. " -e " .. code))
      end
      has(run("SAROS_DEBUG=1"), "without giving way")
      assert.are.equal("", run("SAROS_DEBUG=0"))
      assert.are.equal("", run("SAROS_DEBUG="))
      assert.are.equal("", run(""))
      has(kit.script(busy .. "saros.loop{debug = true}:run(function() busy(0.13) saros.sleep(0) end)"), "without giving way")
   end)

   it("tells of streams and listeners that were never closed, when they are collected or the loop ends, and where they "
      .. "were opened", function()
      local output, code = kit.run("--debug", "-e", [[local saros = require "saros"
         local listener = saros.listen("127.0.0.1:0")
         local client <close> = saros.connect(listener:address())
         local server = listener:accept()
         server = nil
         collectgarbage() collectgarbage()
         print("collected")
         saros.sleep(0)]])
      assert.are.equal(0, code, output)
      assert.are.equal(1, count(output, "saros: a stream that was opened at (command line):4 was never closed\n"), output)
      assert.are.equal(1, count(output, "saros: a listener that was opened at (command line):2 was never closed\n"), output)
      assert.are.equal(2, count(output, "never closed"))
      assert(output:find("stream", 1, true) < output:find("listener", 1, true))
      assert.are.equal("collected\n", (kit.script([[
         local listener = saros.listen("127.0.0.1:0")
         listener = nil
         collectgarbage() collectgarbage()
         print("collected")]])))
   end)

   it("tells of results of tasks and futures that nobody ever awaited, where they say more than that it is done", function()
      local output, code = kit.run("--debug", "-e", [[local saros = require "saros"
         local kept = saros.spawn(function() return false end):set_name("lost late")
         saros.spawn(function() return nil, "refused", "ECONNREFUSED" end):set_name("lost early")
         for _ = 1, 3 do saros.future():set_result(1) end
         for _ = 1, 3 do saros.spawn(function() return "one of many" end) end
         saros.spawn(function() return true end)
         saros.spawn(function() return nil end)
         saros.future():set_result()
         local before, after = saros.spawn(function() return 1 end), saros.spawn(function() return 1 end)
         saros.spawn(function() return before:await() and nil end)
         saros.sleep(0)
         after:await()
         saros.gather(function() return 1 end, saros.spawn(function() return 1 end))
         saros.race(function() return 1 end, saros.spawn(function() return 1 end))
         saros.wait({ function() return 1 end })[1]:result()
         saros.map({ 1, 2 }, function(n) return n end)
         saros.group(function(g) g:spawn(function() return 1 end) end)
         saros.run(function() return 1 end)
         collectgarbage() collectgarbage()
         print("collected")
         return kept]])
      assert.are.equal(0, code, output)
      has(output, "saros: task lost early ((command line):3) has returned something that nobody ever awaited\n")
      has(output, "saros: a result that was set on a future at (command line):4 was never awaited\n")
      has(output, "saros: task lost late ((command line):2) has returned something that nobody ever awaited\n")
      has(output, " ((command line):5) has returned something that nobody ever awaited\n")
      assert.are.equal(4, count(output, "ever awaited"), output)
      assert.are.equal("", (kit.script("saros.spawn(function() return 1 end) saros.sleep(0)")))
   end)
end)
