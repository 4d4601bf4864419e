-- chaos_spec.lua: random programs: tasks that wait, cancel, close, collect and shield each other at random, in coroutines of
-- their own that they resume, close and throw into, also those of others, on a loop that is closed at a random moment.
-- Whatever happens, every body that was entered is left, every
-- <close> variable runs exactly once, and nothing is left behind.
--
-- SAROS_CHAOS=N runs N seeds instead of a few; a failure names its seed.

local saros = require "saros"
local kit = require "support.kit"
require("support.leaks")(before_each, after_each)

local seeds = tonumber(os.getenv("SAROS_CHAOS") or 60)

local function generator(seed)
   local state = seed * 2654435761 + 12345
   return function(n) -- 1..n
      state = (state * 6364136223846793005 + 1442695040888963407)
      return (state >> 33) % n + 1
   end
end

-- What a program shares.
local function world(draw)
   local w = { draw = draw, tasks = {}, futures = {}, queues = {}, streams = {}, scopes = {}, calls = {}, coroutines = {}, opened = 0,
               closed = 0, listener = nil }
   for i = 1, 4 do w.futures[i] = saros.future() end
   for i = 1, 3 do w.queues[i] = saros.queue(i - 1) end
   function w.any(list) return #list > 0 and list[draw(#list)] or nil end
   return w
end

local actions

local function act(w, depth)
   local action = actions[w.draw(#actions)]
   action(w, depth)
end

local function body(w, depth)
   w.opened = w.opened + 1
   local _ <close> = setmetatable({}, {
      __close = function()
         w.closed = w.closed + 1
         if w.draw(4) == 1 then saros.pcall(saros.shield, saros.sleep, 0) end
         if w.draw(6) == 1 then saros.pcall(saros.spawn, function() end) end
         if w.draw(9) == 1 then error("in __close", 0) end
      end,
   })
   for _ = 1, w.draw(8) do act(w, depth) end
   if w.draw(6) == 1 then error("chaos", 0) end
   return w.draw(10)
end

local function spawn(w, depth)
   if depth > 5 or #w.tasks > 80 then return saros.sleep(0) end
   local task = saros.spawn(body, w, depth + 1)
   task:add_done_callback(function() saros.pcall(task.error, task) end) -- nobody need report it
   w.tasks[#w.tasks + 1] = task
end

actions = {
   function() saros.sleep(0) end,
   function() saros.sleep(0) end,
   function(w) saros.sleep(w.draw(20) / 20000) end,
   spawn,
   spawn,
   function(w) local t = w.any(w.tasks) if t and t ~= saros.current_task() then pcall(saros.timeout, 0.001, t.await, t) end end,
   function(w) local t = w.any(w.tasks) if t then t:cancel(w.draw(3) == 1 and "reason" or nil) end end,
   function(w) local f = w.any(w.futures) pcall(saros.timeout, 0.001, f.await, f) end,
   function(w)
      local i = w.draw(#w.futures)
      local f = w.futures[i]
      w.futures[i] = saros.future()
      if f:done() then return end
      local how = w.draw(3)
      if how == 1 then f:set_result(1, 2) elseif how == 2 then f:set_error("future") else f:cancel("future") end
   end,
   function(w) local q = w.any(w.queues) saros.timeout(0.001, q.put, q, { w.draw(9) }) end,
   function(w) local q = w.any(w.queues) saros.timeout(0.001, q.get, q) end,
   function(w) local q = w.any(w.queues) if w.draw(2) == 1 then q:try_put({}) else q:try_get() end end,
   function(w)
      local i = w.draw(#w.queues)
      if w.draw(8) == 1 then
         w.queues[i]:shutdown(w.draw(2) == 1)
         w.queues[i] = saros.queue(w.draw(3) - 1)
      end
   end,
   function(w, depth)
      pcall(saros.gather, function() act(w, depth + 1) end, w.futures[1], w.draw(3) / 5000, function() act(w, depth + 1) end)
   end,
   function(w, depth) pcall(saros.run, body, w, depth + 3) end,
   function(w, depth) saros.timeout(w.draw(5) / 5000, act, w, depth + 1) end,
   function(w, depth) saros.shield(saros.timeout, 0.001, act, w, depth + 1) end,
   function(w, depth)
      saros.scope({ timeout = w.draw(3) == 1 and 0.001 or nil }, function(scope)
         w.scopes[w.draw(5)] = scope
         act(w, depth + 1)
         if w.draw(3) == 1 then scope:deadline(saros.now() + w.draw(3) / 5000) end
         saros.sleep(0)
      end)
   end,
   function(w) local s = w.scopes[w.draw(5)] if s then s:cancel() end end,
   function(w) w.calls[w.draw(5)] = saros.call_later(w.draw(4) / 5000, function() local t = w.any(w.tasks) if t then t:cancel() end end) end,
   function(w) local c = w.calls[w.draw(5)] if c then c:cancel() end end,
   function() collectgarbage(({ "collect", "step" })[math.random(2)]) end,
   function(w)
      local client = saros.timeout(0.002, saros.connect, w.listener:address())
      if client then w.streams[#w.streams % 6 + 1] = client end
   end,
   function(w)
      local server = saros.timeout(0.001, w.listener.accept, w.listener)
      if server then w.streams[w.draw(6)] = server end
   end,
   function(w) local s = w.any(w.streams) if s then saros.timeout(0.001, s.read, s, w.draw(2) == 1 and "l" or w.draw(5)) end end,
   function(w) local s = w.any(w.streams) if s then saros.timeout(0.001, s.write, s, ("x\n"):rep(w.draw(3) == 1 and 600000 or 3)) end end,
   function(w) local s = w.any(w.streams) if s then s:close() end end,
   function(w) local s = w.any(w.streams) if s then saros.timeout(0.001, s.shutdown, s) end end,
   function(w) w.streams = {} end,
   function(w, depth)
      if depth > 5 or #w.coroutines > 80 then return saros.sleep(0) end
      local co = coroutine.create(function()
         return w.draw(3) == 1 and saros.timeout(w.draw(5) / 5000, body, w, depth + 1) or body(w, depth + 1)
      end)
      w.coroutines[#w.coroutines + 1] = co
      coroutine.resume(co)
   end,
   function() pcall(coroutine.yield) end,
   function() pcall(coroutine.yield) end,
   function(w) local co = w.any(w.coroutines) if co then coroutine.resume(co) end end,
   function(w) local co = w.any(w.coroutines) if co then saros.coroutine.throw(co, "thrown") end end,
   function(w) local co = w.any(w.coroutines) if co then pcall(coroutine.close, co) end end,
}

local function chaos(seed)
   local draw = generator(seed)
   local loop = saros.loop({ driver = kit.driver })
   local w
   local ok, err = saros.pcall(loop.run, loop, function()
      w = world(draw)
      w.listener = assert(saros.listen("127.0.0.1:0"))
      for _ = 1, draw(12) do spawn(w, 0) end
      saros.sleep(draw(30) / 3000)
      for _ = 1, draw(5) do
         local task = w.any(w.tasks)
         if task then task:cancel("end") end
      end
      saros.sleep(0)
   end)
   loop:close()
   for _, co in ipairs(w.coroutines) do coroutine.close(co) end -- what is suspended and has no scope, nobody else closes
   collectgarbage()
   assert(ok, err)
   assert(w.opened == w.closed, ("%d bodies were entered, %d were left"):format(w.opened, w.closed))
   for _, task in ipairs(w.tasks) do
      assert(task:done())
      pcall(task.result, task)
   end
   for _, future in ipairs(w.futures) do
      if not future:done() then future:set_result() end
   end
   for _, q in ipairs(w.queues) do q:shutdown() end
   for _, stream in pairs(w.streams) do stream:close() end
end

describe("random programs", function()
   it("leave every body that they entered, and nothing else behind", function()
      for seed = 1, seeds do
         local ok, err = saros.pcall(chaos, seed)
         assert(ok, ("seed %d: %s"):format(seed, tostring(err)))
      end
   end)

   it("do so also while the collector runs all the time", function()
      local mode = collectgarbage("incremental", 0, 400, 8)
      local ok, err
      for seed = seeds + 1, seeds + math.max(10, seeds // 6) do
         ok, err = saros.pcall(chaos, seed)
         if not ok then
            err = ("seed %d: %s"):format(seed, tostring(err))
            break
         end
      end
      collectgarbage("incremental", 200, 100, 13)
      collectgarbage(mode)
      assert(ok, err)
   end)
end)
