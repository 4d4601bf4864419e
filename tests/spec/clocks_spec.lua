-- clocks_spec.lua: clocks of the script's own, which a task's times follow; saros.every, which keeps to a grid.

local saros = require "saros"
local kit = require "support.kit"
require("support.leaks")(before_each, after_each)

-- A task that follows the clock.
local function on(clock, fn, ...) return saros._set_clock(saros.spawn(fn, ...), clock) end

describe("saros.clock", function()
   it("stands still where it is manual, and goes where it is told to", function()
      local clock = saros.clock({ manual = true })
      assert.are.equal(0, clock:now())
      saros.sleep(0.002)
      assert.are.equal(0, clock:now())
      assert.is_true(clock:advance(1.5))
      assert.are.equal(1.5, clock:now())
      assert.is_true(clock:advance(0))
      assert.is_true(clock:advance(-1)) -- as any duration: no less than nothing
      assert.are.equal(1.5, clock:now())
   end)

   it("goes as fast as it is scaled, from that moment on", function()
      local clock = saros.clock()
      assert.are.equal(1, clock:scale())
      local began, shows = saros.now(), clock:now()
      saros.sleep(0.004)
      local first = clock:now() - shows
      assert.is_true(first >= 0.004 - 1e-9 and first <= saros.now() - began + 1e-9)
      assert.are.equal(100, clock:scale(100))
      began, shows = saros.now(), clock:now()
      saros.sleep(0.004)
      local second = clock:now() - shows
      assert.is_true(second >= 0.4 - 1e-6 and second <= (saros.now() - began) * 100 + 1e-6)
   end)

   it("rests while it is paused, whatever its scale", function()
      local clock = saros.clock({ scale = 10 })
      assert.is_true(clock:pause())
      local shows = clock:now()
      saros.sleep(0.002)
      clock:scale(1000)
      clock:advance(5)
      assert.are.equal(shows, clock:now())
      assert.is_true(clock:resume())
      saros.sleep(0.001)
      assert.is_true(clock:now() >= shows + 1 - 1e-6)
   end)

   it("of a manual kind counts its scale as well", function()
      local clock = saros.clock({ manual = true, scale = 0.5 })
      clock:advance(3)
      assert.are.equal(1.5, clock:now())
   end)

   it("names wrong arguments and options", function()
      kit.raises("unknown option 'speed'", saros.clock, { speed = 1 })
      kit.raises("option 'scale'", saros.clock, { scale = {} })
      kit.raises("bad argument #1 to 'saros.clock' (a scale is a finite number from 0 on)", saros.clock, { scale = -1 })
      kit.raises("from 0 on", saros.clock, { scale = 0 / 0 })
      kit.raises("from 0 on", saros.clock, { scale = math.huge })
      local clock = saros.clock({ manual = true })
      kit.raises("from 0 on", clock.scale, clock, -0.5)
      kit.raises("NaN", clock.advance, clock, 0 / 0)
      kit.raises("saros.clock", clock.now, {})
      assert.is_truthy(tostring(clock):find("saros.clock (manual)", 1, true))
   end)

   it("is of one loop, and ends with it", function()
      local clock
      local loop <close> = saros.loop({ driver = kit.driver })
      loop:run(function() clock = saros.clock({ manual = true }) end)
      local task = saros.spawn(function() end)
      kit.raises("another loop", saros._set_clock, task, clock)
      task:await()
      loop:close()
      kit.raises("loop is closed", clock.now, clock)
      assert.is_truthy(tostring(clock):find("closed", 1, true))
   end)
end)

describe("a task with a clock", function()
   it("sees its times by it, and so do those that it spawns", function()
      local clock, log = saros.clock({ manual = true }), kit.log()
      local task = on(clock, function()
         saros.spawn(function()
            saros.sleep(2)
            log("child " .. saros.now())
         end)
         saros.sleep(1)
         log("parent " .. saros.now())
         saros.sleep_until(4)
         log("until " .. saros.now())
      end)
      kit.turns(3)
      assert.are.equal(0, #log)
      clock:advance(1)
      kit.turns(2)
      clock:advance(2)
      kit.turns(2)
      assert.are.equal("parent 1.0, child 3.0", table.concat(log, ", "))
      clock:advance(1)
      task:await()
      assert.are.equal("until 4.0", log[3])
   end)

   it("wakes those that are due in the order of their times, equal ones in that of their start", function()
      local clock, log, tasks = saros.clock({ manual = true }), kit.log(), {}
      for i, seconds in ipairs({ 3, 1, 2, 1, 3, 5, 0.5 }) do
         tasks[i] = on(clock, function()
            saros.sleep(seconds)
            log(i)
         end)
      end
      saros.sleep(0)
      clock:advance(4)
      kit.turns(2)
      assert.are.equal("724315", table.concat(log))
      clock:advance(1)
      tasks[6]:await()
   end)

   it("follows a change of pace while it sleeps", function()
      local clock = saros.clock({ scale = 0.001 })
      local began, woke = clock:now(), nil
      local task = on(clock, function()
         saros.sleep(1) -- a quarter of an hour
         woke = saros.now()
      end)
      saros.sleep(0.001)
      assert.is_nil(woke)
      clock:scale(1000)
      task:await()
      assert.is_true(woke >= began + 1)
   end)

   it("sleeps on while its clock is paused", function()
      local clock, woke = saros.clock(), false
      local task = on(clock, function()
         saros.sleep(0.002)
         woke = true
      end)
      saros.sleep(0)
      clock:pause()
      saros.sleep(0.006)
      assert.is_false(woke)
      clock:resume()
      task:await()
      assert.is_true(woke)
   end)

   it("is never early by its own clock, at odd scales", function()
      for _, scale in ipairs({ 0.3, 1 / 3, 7.1, 1e3 / 7, 12345.678 }) do
         local clock = saros.clock({ scale = scale })
         on(clock, function()
            for i = 1, 5 do
               local when = saros.now() + i * 0.0003
               saros.sleep_until(when)
               assert(saros.now() >= when)
            end
         end):await()
      end
   end)

   it("has its timeouts and deadlines by it", function()
      local clock, scope = saros.clock({ manual = true }), nil
      local task = on(clock, function()
         return saros.scope({ timeout = 10 }, function(own)
            scope = own
            assert(own:deadline() == 10)
            return select(3, saros.timeout(1, saros.sleep, 100)), own:expired(), saros.sleep(100)
         end)
      end)
      kit.turns(2)
      clock:advance(1)
      kit.turns(4)
      assert.is_false(scope:expired())
      scope:deadline(20)
      clock:advance(9)
      kit.turns(4)
      assert.is_false(task:done())
      clock:advance(10)
      assert.are.same({ n = 3, nil, "timed out", "ETIMEDOUT" }, table.pack(task:await()))
   end)

   it("calls back by it, and can take that back", function()
      local clock, log = saros.clock({ manual = true }), kit.log()
      local gone
      on(clock, function()
         saros.call_later(1, function() log("later") end)
         saros.call_at(2, function() log("at") end)
         gone = saros.call_later(1, function() log("never") end)
      end):await()
      assert.is_true(gone:cancel())
      clock:advance(1)
      kit.turns(3)
      assert.are.equal("later", table.concat(log, " "))
      clock:advance(1)
      kit.turns(3)
      assert.are.equal("later at", table.concat(log, " "))
   end)

   it("can be cancelled while it sleeps, and leaves no timer behind", function()
      local clock = saros.clock({ scale = 0.5 })
      local before = saros._pending()
      local tasks = {}
      for i = 1, 5 do tasks[i] = on(clock, saros.timeout, 1000, saros.sleep, 100 + i) end
      kit.turns(2)
      assert.are.equal(before + 1, (saros._pending())) -- one for all
      for _, task in ipairs(tasks) do task:cancel() end
      kit.turns(3)
      for _, task in ipairs(tasks) do assert.is_true(task:cancelled()) end
      assert.are.equal(before, (saros._pending()))
   end)

   it("keeps its clock alive, and lets go of it", function()
      local weak = setmetatable({}, { __mode = "v" })
      local gate = saros.future()
      do
         weak.clock = saros.clock({ scale = 50 })
         on(weak.clock, function()
            gate:await()
            saros.sleep(0.05)
         end)
      end
      kit.turns(2)
      collectgarbage()
      collectgarbage()
      assert.is_truthy(weak.clock)
      gate:set_result()
      kit.wait_until(function()
         collectgarbage()
         return not weak.clock
      end)
   end)

   it("may sleep for ever", function()
      local clock = saros.clock({ scale = 1e9 })
      local task = on(clock, saros.sleep, math.huge)
      saros.sleep(0.002)
      assert.is_false(task:done())
      task:cancel()
      saros.pcall(task.await, task)
   end)

   it("is one of hundreds, in order", function()
      local clock, last, wrong, ended = saros.clock({ manual = true }), 0, 0, 0
      for i = 1, 500 do
         local at = (i * 7919 % 500) / 10
         on(clock, function()
            saros.sleep_until(at)
            if at < last then wrong = wrong + 1 end
            last, ended = at, ended + 1
         end)
      end
      saros.sleep(0)
      for _ = 1, 5 do
         clock:advance(10)
         kit.turns(3)
      end
      assert.are.equal(500, ended)
      assert.are.equal(0, wrong)
   end)
end)

describe("a group with a clock", function()
   it("gives it to its children, and not to its body", function()
      local clock, log = saros.clock({ manual = true }), kit.log()
      saros.group({ clock = clock }, function(group)
         group:spawn(function()
            saros.sleep(5)
            log(saros.now())
         end)
         local before = saros.now()
         saros.sleep(0.001)
         assert(saros.now() > before and clock:now() == 0)
         clock:advance(5)
      end)
      assert.are.same({ 5.0 }, { table.unpack(log) })
   end)

   it("puts it in the place of the spawner's; without one the spawner's is kept", function()
      local slow, fast = saros.clock({ manual = true }), saros.clock({ manual = true })
      slow:advance(1)
      fast:advance(2)
      local seen = {}
      saros.group({ clock = slow }, function(group)
         group:spawn(function()
            seen[1] = saros.now()
            saros.group(function(inner) inner:spawn(function() seen[2] = saros.now() end) end)
            saros.group({ clock = fast }, function(inner) inner:spawn(function() seen[3] = saros.now() end) end)
         end)
      end)
      assert.are.same({ 1.0, 1.0, 2.0 }, seen)
      kit.raises("saros.clock expected", saros.group, { clock = 1 }, print)
   end)

   it("slows a game down and stops it, while its menu goes on", function()
      local game = saros.clock()
      local moves, blinks = 0, 0
      saros.group({ clock = game }, function(world)
         world:spawn(function()
            for _ in saros.every(0.001) do moves = moves + 1 end
         end)
         kit.wait_until(function() return moves >= 2 end)
         game:pause()
         kit.turns(2) -- who was due already
         local stood = moves
         for _ in saros.every(0.001) do
            blinks = blinks + 1
            if blinks == 5 then break end
         end
         assert(moves == stood)
         game:scale(0.5)
         game:resume()
         kit.wait_until(function() return moves > stood end)
         world:cancel()
         saros.sleep(0)
      end)
      assert.are.equal(5, blinks)
   end)
end)

describe("saros.every", function()
   it("ticks on a grid that does not drift, and says how late each is", function()
      local began, n = saros.now(), 0
      for late in saros.every(0.003) do
         n = n + 1
         local passed = saros.now() - began
         assert(late >= 0 and passed >= n * 0.003 - 1e-9)
         if n == 4 then break end
      end
      assert.are.equal(4, n)
   end)

   it("skips what it has missed, but for the latest, and stays on the grid", function()
      local clock, log = saros.clock({ manual = true }), kit.log()
      local task = on(clock, function()
         for late in saros.every(1) do log(("%g+%g"):format(saros.now() - late, late)) end
      end)
      kit.turns(2)
      for _, dt in ipairs({ 1, 3.5, 0.25, 0.25, 1 }) do
         clock:advance(dt)
         kit.turns(4)
      end
      task:cancel()
      saros.pcall(task.await, task)
      assert.are.equal("1+0 4+0.5 5+0 6+0", table.concat(log, " ")) -- not 2 and 3
   end)

   it("gives all of them with missed = 'burst'", function()
      local clock, log = saros.clock({ manual = true }), kit.log()
      local task = on(clock, function()
         for late in saros.every(1, { missed = "burst" }) do log(("%g+%g"):format(saros.now() - late, late)) end
      end)
      kit.turns(2)
      clock:advance(3.5)
      kit.turns(12)
      clock:advance(0.5)
      kit.turns(4)
      task:cancel()
      saros.pcall(task.await, task)
      assert.are.equal("1+2.5 2+1.5 3+0.5 4+0", table.concat(log, " "))
   end)

   it("is exact for periods that are no whole number of nanoseconds", function()
      local clock, n = saros.clock({ manual = true }), 0
      local task = on(clock, function()
         for late in saros.every(1 / 3, { missed = "burst" }) do
            n = n + 1
            local off = saros.now() - late - n / 3
            assert(math.abs(off) < 3e-9, off)
            if n == 3000 then return end
         end
      end)
      kit.turns(2)
      while not task:done() do
         clock:advance(100)
         kit.turns(302)
      end
      task:await()
      assert.is_true(clock:now() >= 1000)
   end)

   it("gives way at every tick, also at those that are late, and can be cancelled there", function()
      local others, n = 0, 0
      local clock = saros.clock({ manual = true })
      local task = on(clock, function()
         for _ in saros.every(1, { missed = "burst" }) do n = n + 1 end
      end)
      saros.sleep(0)
      clock:advance(1000)
      local other = saros.spawn(function()
         for _ = 1, 20 do
            others = others + 1
            saros.sleep(0)
         end
      end)
      other:await()
      task:cancel()
      saros.pcall(task.await, task)
      assert.is_true(task:cancelled())
      assert.are.equal(20, others)
      assert.is_true(n > 5 and n < 30)
   end)

   it("names wrong arguments", function()
      kit.raises("above 0", saros.every, 0)
      kit.raises("above 0", saros.every, -1)
      kit.raises("above 0", saros.every, 0 / 0)
      kit.raises("bad argument #1", saros.every, "soon")
      kit.raises("option 'missed'", saros.every, 1, { missed = "all" })
      kit.raises("unknown option 'miss'", saros.every, 1, { miss = "skip" })
   end)
end)

describe("saros.next_step", function()
   it("waits for another step of the host, and gives what has passed and its number", function()
      local loop <close> = saros.loop({ driver = kit.driver })
      local log = kit.log()
      loop:spawn(function()
         local first
         for _ = 1, 3 do
            local dt, number = saros.next_step()
            assert(dt >= 0)
            first = first or number
            log(number - first)
         end
      end)
      assert.are.equal("waiting", loop:step())
      assert.are.equal(0, #log)
      loop:step()
      assert.are.equal(1, #log)
      loop:step()
      assert.are.equal("0 1", table.concat(log, " "))
      assert.are.equal("done", loop:step())
      assert.are.equal("0 1 2", table.concat(log, " "))
   end)

   it("loses no time between two steps, and goes by the task's clock", function()
      local loop <close> = saros.loop({ driver = kit.driver })
      local clock, sum = nil, 0
      loop:spawn(function()
         clock = saros.clock({ manual = true })
         saros._set_clock(saros.spawn(function()
            while true do sum = sum + saros.next_step() end
         end), clock)
      end)
      for _ = 1, 3 do loop:step() end
      for _ = 1, 4 do
         clock:advance(0.25)
         loop:step()
      end
      assert.are.equal(1, sum)
   end)

   it("may be awaited by several, and be cancelled", function()
      local loop <close> = saros.loop({ driver = kit.driver })
      local count, tasks = 0, {}
      for i = 1, 3 do
         tasks[i] = loop:spawn(function()
            saros.next_step()
            count = count + 1
         end)
      end
      loop:step()
      tasks[2]:cancel("not needed")
      loop:step()
      assert.are.equal(2, count)
      assert.is_true(tasks[2]:cancelled())
      assert.are.equal("done", loop:step())
   end)

   it("raises where nobody steps the loop", function()
      kit.raises("nobody steps this loop", saros.next_step)
   end)
end)
