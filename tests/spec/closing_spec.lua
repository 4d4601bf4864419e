-- closing_spec.lua: how a loop is shut down and closed: what main leaves behind, under shields, in every state of waiting.

local saros = require "saros"
local kit = require "support.kit"
require("support.leaks")(before_each, after_each)

local function new() return saros.loop({ driver = kit.driver }) end
local function closing(f) return setmetatable({}, { __close = f }) end

describe("loop:close", function()
   it("6: is idempotent, and what is used afterwards raises", function()
      local loop = new()
      assert.is_true(loop:close())
      assert.is_true(loop:close())
      for _, name in ipairs({ "run", "step", "stop", "spawn", "call_soon", "now", "driver" }) do
         kit.raises("closed", loop[name], loop, print)
      end
      assert.is_false(loop:is_running())
   end)

   it("6: refuses while the loop runs", function()
      local loop = new()
      loop:run(function() kit.raises("the loop is running", loop.close, loop) end)
      loop:close()
   end)

   it("8: cancels and awaits the tasks that are left", function()
      local log = kit.log()
      local loop = new()
      loop:run(function()
         for i = 1, 3 do
            saros.spawn(function()
               local _ <close> = closing(function(_, err)
                  saros.shield(saros.sleep, 0.001)
                  log(i .. tostring(saros.is_cancelled(err) ~= false))
               end)
               saros.sleep(100)
            end)
         end
         saros.sleep(0)
         saros.spawn(function() log("must not begin") end)
      end)
      loop:close()
      table.sort(log)
      assert.are.equal("1true 2true 3true", table.concat(log, " "))
   end)

   it("8: lets what a shield begins meanwhile come to its end, and cancels what goes on without it", function()
      local log, loop = kit.log(), new()
      local ways = {
         gather = function() return (saros.gather(function() saros.sleep(0.001) return "gathered" end)) end,
         race = function() return select(2, saros.race(function() saros.sleep(0.001) return "raced" end, 3600)) end,
         map = function() return saros.map({ "mapped" }, function(text) saros.sleep(0.001) return text end)[1] end,
         group = function()
            return saros.group(function(group)
               group:spawn(saros.sleep, 0.001)
               return group:spawn(function() saros.sleep(0) return "grouped" end):await()
            end)
         end,
         spawn = function()
            saros.spawn(function()
               local _ <close> = closing(function() log("went on") end)
               while true do saros.sleep(0.001) end
            end)
            return saros.spawn(function() saros.sleep(0.001) return "spawned" end):await()
         end,
      }
      loop:run(function()
         for _, way in pairs(ways) do
            saros.spawn(function()
               local _ <close> = closing(function() log(saros.shield(way)) end)
               saros.sleep(100)
            end)
         end
         saros.sleep(0)
      end)
      loop:close()
      assert.are.equal("went on", log[#log])
      table.sort(log)
      assert.are.equal("gathered grouped mapped raced spawned went on", table.concat(log, " "))
   end)

   it("ends tasks that can never end, because nothing can wake them from under their shield", function()
      local never
      local ways = {
         function() never:await() end,
         function() saros.gather(never, saros.future()) end,
         function() saros.queue():get() end,
         function()
            local q = saros.queue(1)
            q:put(1)
            q:put(2)
         end,
         function() saros.scope(function() never:await() end) end,
         function() while true do never:await() end end,
      }
      for i, way in ipairs(ways) do
         local closed = 0
         local loop = new()
         never = saros.future()
         loop:spawn(function()
            local _ <close> = closing(function() closed = closed + 1 end)
            saros.shield(way)
         end)
         for _ = 1, 3 do loop:step(0) end
         loop:close()
         assert(closed == 1, "way " .. i)
         collectgarbage()
      end
   end)

   it("60, F6: is done by lua_close as well: tasks are closed where they stand, in every state of waiting", function()
      local output, code = kit.script([[
         local never = saros.future()
         local function pair()
            local listener = saros.listen("127.0.0.1:0")
            return assert(saros.connect(listener:address())), listener:accept(), listener
         end
         local ways = {
            function() never:await() end,
            function() saros.gather(never, 100, function() saros.sleep(100) end) end,
            function() saros.run(function() never:await() end) end,
            function() saros.sleep(math.huge) end,
            function() saros.sleep(100) end,
            function() saros.sleep(0) end,
            function() saros.queue():get() end,
            function() local q = saros.queue(1) q:put(1) q:put(2) end,
            function() local q = saros.queue(1) q:put(1) q:join() end,
            function() saros.timeout(1000, never.await, never) end,
            function() saros.scope(function(s) s:cancel() saros.shield(saros.sleep, 50) end) end,
            function() saros.listen("127.0.0.1:0"):accept() end,
            function() local a, b, l = pair() a:read("l") end,
            function() local a, b, l = pair() a:write(("x"):rep(20000000)) end,
            function()
               local a, b, l = pair()
               for i = 1, 3 do saros.spawn(a.write, a, ("x"):rep(20000000)) end
               a:write("last")
            end,
            function() saros.serve("127.0.0.1:0", print) saros.sleep(100) end,
         }
         for i, way in ipairs(ways) do
            local loop = saros.loop{}
            loop:spawn(function()
               local x <close> = setmetatable({}, {__close = function() print("closed", i) end})
               way()
            end)
            for _ = 1, i == 6 and 1 or 5 do loop:step(0.001) end
         end
         collectgarbage()
         print(#ways)]])
      assert.are.equal(0, code, output)
      local ways = tonumber(output:match("\n(%d+)\n"))
      assert.is_truthy(ways, output)
      for i = 1, ways do assert.is_truthy(output:find("closed\t" .. i .. "\n", 1, true), output) end
   end)

   it("runs callbacks that are ready once more, and no others", function()
      local log = kit.log()
      local loop = new()
      loop:run(function()
         saros.call_soon(function()
            log("ready")
            saros.call_soon(function() log("too late") end)
         end)
         saros.call_later(100, function() log("much too late") end)
      end)
      loop:close()
      assert.are.equal("ready", table.concat(log, " "))
   end)

   it("54: leaves handles, scopes, tasks and futures of the loop harmless", function()
      local loop, other = new(), new()
      local handles, scope, task, future, stream, listener = {}, nil, nil, nil, nil, nil
      loop:run(function()
         handles[1] = saros.call_later(math.huge, print)
         handles[2] = saros.call_later(100, print)
         handles[3] = saros.call_soon(print)
         handles[3]:cancel()
      end)
      loop:close()
      loop = other
      loop:run(function()
         future = saros.future()
         task = saros.spawn(function()
            saros.scope(function(s)
               scope = s
               saros.shield(saros.gather, future, saros.future())
            end)
         end)
         listener = saros.listen("127.0.0.1:0")
         stream = saros.connect(listener:address())
         saros.sleep(0)
      end)
      loop:close()
      loop, other = nil, nil
      collectgarbage()
      collectgarbage()
      for _, handle in ipairs(handles) do assert.is_false(handle:cancel()) end
      assert.is_false(scope:cancel())
      assert.is_nil(scope:deadline())
      assert.is_true(task:done())
      assert.is_true(task:cancelled())
      assert.is_false(task:cancel())
      future:set_result(1)
      assert.are.same({ n = 3, nil, "closed", "ECLOSED" }, table.pack(stream:local_address()))
      assert.are.same({ n = 3, nil, "closed", "ECLOSED" }, table.pack(listener:address()))
      assert.is_true(stream:close())
      assert.is_nil(loop or other)
   end)

   it("may be called again, and more may be begun, by what it closes", function()
      local log = kit.log()
      local loop = new()
      loop:spawn(function()
         local _ <close> = closing(function()
            log(tostring(saros.pcall(loop.close, loop)))
            log(tostring(saros.pcall(loop.run, loop, print)))
            saros.pcall(loop.spawn, loop, function() log("must not begin") end)
            saros.pcall(loop.call_soon, loop, function() log("called") end)
         end)
         saros.shield(function() saros.future():await() end)
      end)
      loop:step()
      loop:close()
      kit.turns(2)
      assert.are.equal("true false called", table.concat(log, " "))
   end)

   it("55: closes its streams' descriptors", function()
      for _ = 1, 20 do
         local loop = new()
         loop:run(function() saros.connect(saros.listen("127.0.0.1:0"):address()) end)
         loop:close()
      end -- leaks.lua counts
   end)

   it("happens by <close> and, at the latest, when the state is closed", function()
      local kept
      do
         local loop <close> = new()
         kept = loop
      end
      kit.raises("closed", kept.now, kept)
      local output, code = kit.script([[
         local loop = saros.loop{}
         loop:spawn(function()
            local x <close> = setmetatable({}, {__close = function() print("closed") end})
            saros.sleep(100)
         end)
         loop:step()]])
      assert.are.equal("closed\n", output)
      assert.are.equal(0, code)
   end)
end)
