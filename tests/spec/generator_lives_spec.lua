-- generator_lives_spec.lua: scopes that are open in a coroutine of the script's own, and such coroutines when they are
-- resumed, closed or collected by others while they wait.

local saros = require "saros"
local kit = require "support.kit"
require("support.leaks")(before_each, after_each)

local function closing(f) return setmetatable({}, { __close = f }) end

-- A task that waits inside a coroutine of its own: both.
local function waiting(body)
   local co = coroutine.create(body or function() saros.sleep(1000) end)
   local task = saros.spawn(function() return coroutine.resume(co) end)
   kit.turns()
   return co, task
end

describe("a scope that is open in a generator", function()
   it("covers nobody while the generator is suspended; its cancel is delivered at the next await there", function()
      local scope
      local generator = coroutine.wrap(function()
         return saros.scope(function(opened)
            scope = opened
            coroutine.yield("out of the scope")
            coroutine.yield("again")
            saros.sleep(1000)
         end)
      end)
      assert.are.equal("out of the scope", generator())
      scope:cancel("while suspended")
      assert.is_true(saros.sleep(0))
      assert.are.equal("again", generator())
      assert.is_true(saros.sleep(0))
      assert.are.same({ n = 3, nil, "while suspended", "ECANCELED" }, table.pack(generator()))
   end)

   it("keeps its deadline meanwhile", function()
      local generator = coroutine.wrap(function()
         return saros.timeout(0.002, function()
            coroutine.yield()
            saros.sleep(1000)
         end)
      end)
      generator()
      assert.is_true(saros.sleep(0.005))
      assert.are.equal("ETIMEDOUT", (select(3, generator())))
   end)

   it("has the scope of whoever resumes it around it, each time", function()
      local generator = coroutine.create(function()
         saros.scope(function()
            coroutine.yield()
            saros.sleep(1000)
         end)
      end)
      assert.are.same({ true }, { saros.timeout(1000, coroutine.resume, generator) })
      local task = saros.spawn(function()
         return select(3, saros.timeout(0.001, coroutine.resume, generator))
      end)
      assert.are.equal("ETIMEDOUT", task:await())
      assert.are.equal("dead", coroutine.status(generator))
   end)

   it("is left when the generator is closed, with its timer", function()
      local scope
      local co = coroutine.create(function()
         saros.scope({ timeout = 1000 }, function(opened)
            scope = opened
            coroutine.yield()
         end)
      end)
      coroutine.resume(co)
      assert.is_true(scope:cancel())
      assert.is_true(coroutine.close(co))
      assert.is_false(scope:cancel())
      assert.is_true(saros.sleep(0))
   end)

   it("G10: is left from the loop when the generator is collected, which is closed then", function()
      local log = kit.log()
      do
         local co = coroutine.wrap(function()
            saros.timeout(1000, function()
               local _ <close> = closing(function() log("closed") end)
               coroutine.yield()
            end)
         end)
         co()
      end
      collectgarbage()
      collectgarbage()
      kit.wait_until(function() return #log > 0 end)
      assert.are.equal("closed", log[1])
   end)

   it("F6: is left with its loop, where the generator outlives that", function()
      local log = kit.log()
      local co = coroutine.create(function()
         saros.timeout(1000, function()
            local _ <close> = closing(function() log("closed") end)
            coroutine.yield()
         end)
      end)
      local loop = saros.loop({ driver = kit.driver })
      loop:run(function() coroutine.resume(co) end)
      assert.are.equal(0, #log)
      local ok, text = coroutine.resume(co)
      assert.is_false(ok)
      assert.is_truthy(text:find("belongs to another loop", 1, true))
      loop:close()
      assert.are.equal("closed", log[1])
      assert.are.equal("dead", coroutine.status(co))
   end)

   it("48: is told of what is cancelled around it where it is resumed, and so are the children of its groups", function()
      local child
      local co = coroutine.create(function()
         local group <close> = saros.group()
         child = group:spawn(saros.sleep, 1000)
         coroutine.yield()
      end)
      coroutine.resume(co)
      local task = saros.spawn(function()
         saros.pcall(saros.sleep, 1000)
         coroutine.resume(co)
      end)
      kit.turns()
      task:cancel()
      kit.wait_until(function() return child:done() end)
      saros.pcall(task.await, task)
      assert.is_true(child:cancelled())
   end)

   it("cannot be resumed by a child of its own group", function()
      local said
      local co
      co = coroutine.create(function()
         local group <close> = saros.group()
         group:spawn(function() said = table.pack(coroutine.resume(co)) end)
         coroutine.yield()
      end)
      coroutine.resume(co)
      kit.turns(2)
      assert.are.same({ n = 2, false, "cannot resume here: the task is in a group that is open in the coroutine" }, said)
      assert.are.same({ true }, { coroutine.resume(co) })
   end)

   it("leaves the children of its group cancelled, which may have generators too, when it is closed", function()
      local log = kit.log()
      local co = coroutine.create(function()
         local group <close> = saros.group()
         group:spawn(function()
            local _ <close> = closing(function()
               for i in coroutine.wrap(function() coroutine.yield(1) end) do log(i) end
               coroutine.wrap(function() saros.shield(saros.sleep, 0.002) end)()
               log("end")
            end)
            coroutine.wrap(saros.sleep)(1000)
         end)
         coroutine.yield()
      end)
      coroutine.resume(co)
      kit.turns()
      assert.is_true(coroutine.close(co))
      co = nil -- luacheck: ignore 311
      collectgarbage()
      collectgarbage()
      kit.wait_until(function() return log[2] end)
      assert.are.same({ 1, "end" }, { table.unpack(log) })
   end)

   it("has its deadline by the clock of who opened it, also when nobody else has that any more", function()
      local co = coroutine.create(function()
         return saros.timeout(1, function()
            coroutine.yield()
            saros.sleep(1000)
         end)
      end)
      local left = coroutine.create(function() saros.timeout(1000, coroutine.yield) end)
      do
         local clock = saros.clock({ scale = 200 })
         saros.group({ clock = clock }, function(group)
            group:spawn(coroutine.resume, co)
            group:spawn(coroutine.resume, left)
         end)
      end
      collectgarbage()
      collectgarbage()
      local before = saros.now()
      assert.are.equal("ETIMEDOUT", (select(4, coroutine.resume(co))))
      assert.is_true(saros.now() - before < 0.5)
      assert.is_true(coroutine.close(left))
      collectgarbage()
   end)

   it("expires by its own clock also where that is ahead of the loop's", function()
      local clock = saros.clock({ manual = true })
      clock:advance(saros.now() + 1000)
      local expired
      saros.group({ clock = clock }, function(group)
         group:spawn(function()
            local scope
            local generator = coroutine.wrap(function()
               scope = saros.timeout(5)
               local _ <close> = scope
               coroutine.yield()
            end)
            generator()
            clock:advance(6)
            kit.turns(3)
            expired = scope:expired()
            generator()
         end)
      end)
      assert.is_true(expired)
   end)

   it("is cancelled in a shield of the consumer only behind it", function()
      local task = saros.spawn(function()
         local generator = coroutine.wrap(function()
            saros.sleep(0.001)
            coroutine.yield("shielded")
            saros.sleep(1000)
         end)
         local first = saros.shield(generator)
         saros.pcall(generator)
         error(first, 0)
      end)
      kit.turns()
      task:cancel()
      kit.raises("shielded", task.await, task)
   end)
end)

describe("a generator that waits in one task's await", function()
   it("E2: cannot be resumed by another: an error, and the first is not disturbed", function()
      local co, task = waiting(function()
         saros.sleep(0.002)
         return "undisturbed"
      end)
      assert.are.same({ false, "cannot resume non-suspended coroutine: it waits inside a task" }, { coroutine.resume(co) })
      assert.are.same({ false, "cannot resume non-suspended coroutine: it waits inside a task" }, { saros.coroutine.throw(co, 1) })
      assert.are.same({ true, "undisturbed" }, { task:await() })
   end)

   it("ends that await when it is closed by another, which its task then is told", function()
      local log = kit.log()
      local co, task = waiting(function()
         local _ <close> = closing(function() log("outer closed") end)
         coroutine.wrap(function()
            local _ <close> = closing(function() log("inner closed") end)
            saros.timeout(1000, saros.sleep, 1000)
         end)()
      end)
      assert.is_true(coroutine.close(co))
      assert.are.equal("inner closed,outer closed", table.concat(log, ","))
      assert.are.equal("dead", coroutine.status(co))
      assert.are.same({ false, "the coroutine was closed while it waited" }, { task:await() })
   end)

   it("leaves nobody behind that points into it when it is closed: gathers, queues, streams", function()
      local q, future = saros.queue(), saros.future()
      local client, server = kit.pair()
      for _, wait in ipairs({ function() saros.gather(future, 1000) end, function() q:get() end,
                              function() server:read("l") end, function() saros.scope(function() future:await() end) end }) do
         local co, task = waiting(function() coroutine.wrap(wait)() end)
         assert.is_true(coroutine.close(co))
         collectgarbage()
         task:await()
      end
      q:put(1)
      future:set_result(1)
      client:write("line\n")
      assert.are.equal(1, (q:get()))
      assert.are.equal("line", server:read("l"))
      client:close()
      server:close()
   end)

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

   it("33: cannot be closed where it was given something that would be lost", function()
      local queue = saros.queue()
      local co, task = waiting(function() return queue:get() end)
      queue:put("item")
      kit.raises("what it waits for inside a task has just come", coroutine.close, co)
      assert.are.same({ true, "item" }, { task:await() })
   end)

   it("may wait for something else behind that, and be cancelled there", function()
      local condition, event = saros.condition(), saros.event()
      local co = coroutine.create(function()
         local _ <close> = condition:acquire()
         condition:wait()
      end)
      local task = saros.spawn(function()
         coroutine.resume(co)
         event:wait()
      end)
      kit.turns()
      local guard = condition:acquire()
      condition:notify()
      kit.turns()
      assert.is_true(coroutine.close(co))
      kit.turns(2)
      task:cancel()
      saros.pcall(task.await, task)
      assert.is_true(task:cancelled())
      guard:release()
   end)

   it("is closed with its task, from the innermost on, when the state closes", function()
      local output = kit.script([[
         local function closing(text) return setmetatable({}, { __close = function() print(text) end }) end
         loop = saros.loop()
         loop:spawn(function()
            coroutine.wrap(function()
               local _ <close> = closing("outer")
               coroutine.wrap(function()
                  local _ <close> = closing("inner")
                  saros.timeout(1000, saros.sleep, 1000)
               end)()
            end)()
         end)
         loop:step()
         print("end")]])
      assert.are.equal("end\ninner\nouter\n", output)
   end)
end)
