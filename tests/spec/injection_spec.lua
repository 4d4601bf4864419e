-- injection_spec.lua: a program of every kind, disturbed at each of its awaits in turn: cancelled there, or failing there.
--
-- However it is cancelled it ends, with its result or as cancelled and nothing else, and leaves nothing behind. An error
-- is told exactly once: by the program itself, or to the exception handler.

local saros = require "saros"
local kit = require "support.kit"
require("support.leaks")(before_each, after_each)

local await -- gives way; a case may replace it
local function turns(n)
   for _ = 1, n do await() end
end

local function closing(f) return setmetatable({}, { __close = f }) end

-- Cleans up in so many turns, shielded.
local function cleaning(n)
   return closing(function() saros.shield(kit.turns, n) end)
end

local programs = {
   group = function()
      return saros.group(function(group)
         for i = 1, 3 do
            group:spawn(function()
               local _ <close> = cleaning(i)
               turns(i)
            end)
         end
         turns(1)
         group:spawn(function()
            group:spawn(turns, 2)
            turns(1)
         end)
         return group:start(function(ready)
            turns(1)
            ready("ready")
            turns(2)
         end)
      end)
   end,
   ["group in <close> form with a limit"] = function()
      local group <close> = saros.group({ limit = 2 })
      for i = 1, 4 do group:spawn(turns, i) end
      return group:start(function(ready)
         local _ <close> = cleaning(2)
         turns(2)
         ready("ready")
      end)
   end,
   ["background group"] = function()
      saros.group({ background = true }, function(group)
         group:spawn(function()
            local _ <close> = cleaning(2)
            while true do turns(1) end
         end)
         turns(3)
      end)
      return "ready"
   end,
   gather = function()
      local future = saros.future()
      saros.call_soon(future.set_result, future, "re")
      local one, two = saros.gather(future, function()
         local _ <close> = cleaning(3)
         turns(3)
         return "ady"
      end, 0)
      return one .. two
   end,
   race = function()
      local queue = saros.queue()
      saros.spawn(function()
         turns(2)
         queue:put("ready")
      end)
      return (select(2, saros.race(queue, function()
         local _ <close> = cleaning(1)
         turns(9)
      end)))
   end,
   map = function()
      return saros.map({ "re", "", "ady" }, function(x)
         turns(#x)
         return x
      end, { limit = 2 }).n == 3 and "ready"
   end,
   as_completed = function()
      local count = 0
      for task in saros.as_completed({ function() turns(2) end, function() turns(1) end, function() turns(50) end }) do
         task:await()
         count = count + 1
         if count == 2 then break end
      end
      return "ready"
   end,
   wait = function()
      local done, pending = saros.wait({ function() turns(1) end, function() turns(4) end }, { return_when = "first" })
      for _, task in ipairs(pending) do task:await() end
      return done[1]:await() or "ready"
   end,
   join = function()
      saros.spawn(turns, 3)
      saros.spawn(function()
         local child = saros.spawn_now(turns, 2)
         turns(1)
         child:await()
      end)
      return saros.join() and "ready"
   end,
   ["scopes in each other"] = function()
      return saros.timeout(1000, function()
         return saros.scope(function()
            saros.group(function(group)
               group:spawn(saros.timeout, 1000, turns, 3)
               group:spawn(function() saros.run(turns, 2) end)
               saros.shield({ timeout = 1000 }, turns, 2)
            end)
            local _ <close> = saros.timeout(1000)
            turns(1)
            return "ready"
         end)
      end)
   end,
   generators = function()
      local step = coroutine.wrap(function()
         local group <close> = saros.group()
         group:spawn(turns, 4)
         turns(1)
         coroutine.yield()
         local _ <close> = saros.timeout(1000)
         turns(2)
         return "ready"
      end)
      step()
      turns(1)
      return step()
   end,
}

-- As pairs, and the same each time.
local function in_order(list)
   local names = {}
   for name in pairs(list) do names[#names + 1] = name end
   table.sort(names)
   local i = 0
   return function()
      i = i + 1
      return names[i], list[names[i]]
   end
end

-- Runs a program as a task until that has ended, and all that it has spawned; whether it went well, and how.
local function play(program, around, disturb)
   local task = saros.spawn(around, program)
   if disturb then disturb(task) end
   local ok, result = saros.pcall(task.await, task)
   kit.wait_until(function() return #saros.all_tasks() == 1 end)
   return ok, result, task
end

local function plainly(program) return program() end

local ways = {
   ["its task"] = plainly,
   ["a scope around it"] = function(program)
      return saros.scope(function(scope)
         saros.locals().cancel = scope
         return program()
      end)
   end,
   ["a group around it"] = function(program)
      return saros.group(function(group)
         saros.locals().cancel = group
         return program()
      end)
   end,
   ["its task, in a coroutine"] = function(program) return coroutine.wrap(program)() end,
}

describe("a program that is cancelled at any of its awaits", function()
   before_each(function() await = function() saros.sleep(0) end end)

   for name, program in in_order(programs) do
      it("ends, and leaves nothing behind: " .. name, function()
         for way, around in in_order(ways) do
            local whole = false
            for turn = 1, 300 do
               local target, ended
               local function with_target()
                  return around(function()
                     target = rawget(saros.locals(), "cancel")
                     return program()
                  end)
               end
               local ok, result, task = play(with_target, plainly, function(task)
                  kit.turns(turn)
                  ended = task:done()
                  if not ended then (target or task):cancel("here") end
               end)
               local where = ("%s, turn %d of %s: %s"):format(way, turn, name, tostring(result))
               if target then assert(not task:cancelled(), where) end
               assert(task:cancelled() or ok and (result == "ready" or result == nil and target), where)
               whole = ended and result == "ready"
               if ended then break end
            end
            assert(whole, way .. ": it never came to its end")
         end
      end)
   end
end)

describe("an error at any await of a program", function()
   for name, program in in_order(programs) do
      it("14: is told once: " .. name, function()
         for place = 1, 300 do
            local count, raised, told = 0, 0, ""
            await = function()
               count = count + 1
               local fails = count == place
               saros.sleep(0)
               if not fails then return end
               raised = 1
               error("<here>", 0)
            end
            do -- what nobody has awaited is reported when the loop closes
               local loop <close> = saros.loop({ driver = kit.driver, report_after = math.huge })
               loop:set_exception_handler(function(context) told = told .. tostring(context.error) end)
               loop:run(function()
                  local ok, result = play(program, plainly)
                  if not ok then told = told .. tostring(result) end
               end)
            end
            local times = select(2, told:gsub("<here>", ""))
            assert(times == raised, ("place %d of %s: it was told %d times: %s"):format(place, name, times, told))
            if count < place then return end
         end
         error("it never came to its end")
      end)
   end
end)
