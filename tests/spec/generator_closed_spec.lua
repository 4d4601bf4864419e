-- generator_closed_spec.lua: whatever a coroutine of the script's own waits for: who closes it leaves nothing behind, neither
-- with its task nor with what it has waited for.

local saros = require "saros"
local kit = require "support.kit"
require("support.leaks")(before_each, after_each)

-- A task that waits inside a coroutine of its own: both.
local function waiting(body)
   local co = coroutine.create(body)
   local task = saros.spawn(function() return coroutine.resume(co) end)
   kit.turns()
   return co, task
end

describe("a generator that waits in one task's await", function()
   -- Each waits in a generator that is closed meanwhile; what is returned looks at what it has waited for.
   local ways = {
      ["a lock"] = function()
         local lock = saros.lock()
         local guard = lock:acquire()
         return function() lock:acquire() end, function()
            guard:release()
            assert.is_false(lock:locked())
         end
      end,
      ["a semaphore"] = function()
         local semaphore = saros.semaphore(1)
         local guard = semaphore:acquire()
         return function() semaphore:acquire() end, function()
            guard:release()
            assert.is_false(semaphore:locked())
         end
      end,
      ["a limiter"] = function()
         local limiter = saros.limiter(1)
         local guard = limiter:acquire()
         return function() limiter:acquire() end, function()
            guard:release()
            assert.are.equal(0, limiter:borrowed())
         end
      end,
      ["an event"] = function()
         local event = saros.event()
         return function() event:wait() end, function() assert.is_true(event:set()) end
      end,
      ["a condition"] = function()
         local condition = saros.condition()
         return function()
            local _ <close> = condition:acquire()
            condition:wait()
         end, function()
            local _ <close> = condition:acquire()
            assert.is_true(condition:notify_all())
         end
      end,
      ["the lock of a condition that has notified it"] = function()
         local condition = saros.condition()
         local holder = saros.spawn(function()
            saros.sleep(0)
            local _ <close> = condition:acquire()
            condition:notify()
            saros.sleep(0.002)
         end)
         return function()
            local _ <close> = condition:acquire()
            condition:wait()
         end, function()
            holder:await()
            assert.is_false(condition:locked())
         end
      end,
      ["a barrier"] = function()
         local barrier = saros.barrier(2)
         return function() barrier:wait() end, function() assert.are.equal(0, barrier:waiting()) end
      end,
      ["a place in a queue"] = function()
         local queue = saros.queue(1)
         queue:put(1)
         return function() queue:put(2) end, function()
            assert.are.equal(1, (queue:get()))
            assert.is_true(queue:empty())
         end
      end,
      ["a receiver"] = function()
         local sender, receiver = saros.channel(0)
         local held = setmetatable({}, { __mode = "v" })
         return function()
            local value = {}
            held[1] = value
            sender:send(value)
         end, function()
            assert.are.equal("EAGAIN", (select(3, receiver:try_receive())))
            assert.is_nil(held[1])
         end
      end,
      ["a sender"] = function()
         local sender, receiver = saros.channel(0)
         return function() receiver:receive() end, function()
            assert.are.equal("EAGAIN", (select(3, sender:try_send(1))))
         end
      end,
      ["a connection"] = function()
         local listener = assert(saros.listen("127.0.0.1:0"))
         return function() listener:accept() end, function()
            local client = assert(saros.connect(listener:address()))
            assert(listener:accept()):close()
            client:close()
            listener:close()
         end
      end,
      ["a group"] = function()
         return function()
            local group <close> = saros.group()
            group:spawn(saros.sleep, 1000)
         end
      end,
      ["a place in a group"] = function()
         return function()
            local group <close> = saros.group({ limit = 1 })
            group:spawn(saros.sleep, 1000)
            group:spawn(saros.sleep, 1000)
         end
      end,
      ["a child that is to say it is ready"] = function()
         return function() saros.group(function(group) group:start(function() saros.sleep(1000) end) end) end
      end,
      ["what it has started: gather"] = function() return function() saros.gather(function() saros.sleep(1000) end) end end,
      ["what it has started: race"] = function() return function() saros.race(function() saros.sleep(1000) end, 1000) end end,
      ["what it has started: wait"] = function() return function() saros.wait({ function() saros.sleep(1000) end }) end end,
      ["what it has started: map"] = function() return function() saros.map({ 1, 2 }, function() saros.sleep(1000) end) end end,
      ["what it has started: as_completed"] = function()
         return function() for _ in saros.as_completed({ 1000, 1000 }) do error("none") end end
      end,
      ["what it has started: run"] = function() return function() saros.run(saros.sleep, 1000) end end,
      ["time"] = function() return function() for _ in saros.every(1000) do saros.sleep(0) end end end,
      ["the time of a clock of its own"] = function()
         local clock = saros.clock({ scale = 0.001 })
         return function() saros.group({ clock = clock }, function(group)
            group:spawn(function() coroutine.wrap(saros.sleep)(1000) end)
         end) end
      end,
      ["nothing: it gives way again and again"] = function()
         return function() while true do saros.sleep(0) end end
      end,
   }
   local sorted = {}
   for what in pairs(ways) do sorted[#sorted + 1] = what end
   table.sort(sorted)
   for _, what in ipairs(sorted) do
      local way = ways[what]
      it("24: and waits for " .. what .. ": whoever closes it leaves nothing behind", function()
         local wait, look = way()
         local co, task = waiting(function() coroutine.wrap(wait)() end)
         saros.sleep(0.001)
         assert.is_true(coroutine.close(co))
         collectgarbage()
         collectgarbage()
         assert.are.same({ false, "the coroutine was closed while it waited" }, { task:await() })
         collectgarbage()
         collectgarbage()
         if look then look() end
      end)
   end
end)
