-- combinators_spec.lua: saros.race, wait, as_completed and map: several at once, in what order, and who ends whom.

local saros = require "saros"
local kit = require "support.kit"
require("support.leaks")(before_each, after_each)

local function after(turns, ...)
   local values = table.pack(...)
   return function()
      kit.turns(turns)
      return table.unpack(values, 1, values.n)
   end
end

local fails, lingers = kit.fails, kit.lingers

-- What can be awaited as the end of a queue that gives items.
local function getting(queue)
   return setmetatable({}, { __await = function() return queue:get() end })
end

describe("saros.race", function()
   it("gives the place of the first that is done, and its results", function()
      assert.are.same({ n = 4, 2, "a", nil, "c" }, table.pack(saros.race(after(5, "slow"), after(1, "a", nil, "c"))))
      assert.are.same({ n = 1, 1 }, table.pack(saros.race(after(0))))
   end)

   it("takes functions, tasks, futures, seconds and objects with __await", function()
      local future = saros.future()
      local task = saros.spawn(after(3, "task"))
      local object = setmetatable({}, { __await = function() return kit.turns(9) end })
      assert.are.same({ 3, "task" }, { saros.race(future, 1000, task, object, after(20)) })
      future:set_result("future")
      assert.are.same({ 2, "future" }, { saros.race(1000, future) })
   end)

   it("starts nothing where one is done already", function()
      local started, future = false, saros.future()
      future:set_result("there")
      assert.are.same({ 2, "there" }, { saros.race(function() started = true end, future) })
      kit.turns(2)
      assert.is_false(started)
   end)

   it("cancels the functions that lose, and awaits them", function()
      local log = kit.log()
      assert.are.same({ 2, "won" }, { saros.race(lingers(log, "a"), after(2, "won"), lingers(log, "b")) })
      assert.are.equal("a b", table.concat(log, " "))
   end)

   it("leaves tasks and futures that were passed in alone", function()
      local future = saros.future()
      local task = saros.spawn(after(5, "later"))
      assert.are.same({ 3, "won" }, { saros.race(future, task, after(1, "won")) })
      assert.are.equal("pending", future:state())
      assert.are.equal("later", task:await())
   end)

   it("raises the error of the first one where that has failed, or was cancelled", function()
      local log = kit.log()
      assert.are.equal("bad", (kit.error_of(saros.race, lingers(log, "loser"), fails("bad", 1))))
      assert.are.equal("loser", table.concat(log))
      local victim = saros.spawn(saros.sleep, 1000)
      saros.call_soon(function() victim:cancel() end)
      assert.are.equal("ECANCELED", saros.error_code((kit.error_of(saros.race, victim, 1000))))
   end)

   it("cancels and awaits all of its own when it is cancelled", function()
      local log = kit.log()
      local passed_in = saros.spawn(after(20))
      local task = saros.spawn(function() saros.race(lingers(log, "a"), passed_in, lingers(log, "b")) end)
      kit.turns(2)
      task:cancel()
      saros.pcall(task.await, task)
      assert.is_true(task:cancelled())
      assert.are.equal("a b", table.concat(log, " "))
      assert.is_false(passed_in:done())
      passed_in:await()
   end)

   it("delivers what was won though it is cancelled in the same turn", function()
      local got, too_far
      local task
      task = saros.spawn(function()
         got = select(2, saros.race(function()
            saros.sleep(0)
            task:cancel()
            return "won"
         end, 1000))
         saros.sleep(0)
         too_far = true
      end)
      saros.pcall(task.await, task)
      assert.are.equal("won", got)
      assert.is_true(task:cancelled())
      assert.is_nil(too_far)
   end)

   it("33, 37: over several queues takes one item and loses none, whenever the others come", function()
      for delay = 0, 4 do
         local a, b = saros.queue(), saros.queue()
         saros.spawn(function()
            kit.turns(2)
            a:put("a")
            kit.turns(delay)
            b:put("b")
         end)
         local index, item = saros.race(getting(a), getting(b))
         assert.are.equal(1, index)
         assert.are.equal("a", item)
         assert.are.equal("b", b:get())
         assert.are.equal(0, a:size())
      end
   end)

   it("33, 37: loses no item where both are there at once, or come in one turn", function()
      local a, b = saros.queue(), saros.queue()
      a:put(1)
      b:put(2)
      assert.are.same({ 1, 1 }, { saros.race(getting(a), getting(b)) })
      assert.are.equal(2, b:try_get())
      saros.spawn(function()
         b:put(3)
         a:put(4)
      end)
      kit.turns(1)
      local _, item = saros.race(getting(a), getting(b))
      local left = a:try_get() or b:try_get()
      assert.are.equal(7, item + left)
   end)

   it("33, 37: loses no item where it is cancelled in the turn in which one comes", function()
      for turns = 0, 6 do
         local queue, got = saros.queue(), nil
         local task = saros.spawn(function() got = select(2, saros.race(getting(queue), 1000)) end)
         kit.turns(1)
         saros.call_soon(function() queue:try_put("item") end)
         kit.turns(turns)
         task:cancel()
         saros.pcall(task.await, task)
         kit.turns(2)
         assert.are.equal("item", got or queue:try_get(), "after " .. turns .. " turns")
      end
   end)

   it("33, 37: takes one item where the same queue stands twice", function()
      local queue = saros.queue()
      local receiver = getting(queue)
      queue:put("one")
      queue:put("two")
      assert.are.same({ 1, "one" }, { saros.race(receiver, receiver) })
      assert.are.equal(1, queue:size())
   end)

   it("reports the error of one that has lost and fails on its way out", function()
      local output = kit.script([[
         print(saros.race(function() saros.sleep(0) return "won" end, function()
            local _ <close> = setmetatable({}, {__close = function() error("on its way out", 0) end})
            saros.sleep(1000)
         end))
      ]])
      assert.is_truthy(output:find("1\twon", 1, true), output)
      assert.is_truthy(output:find("nobody awaited it: on its way out", 1, true), output)
   end)

   it("does not hide the error of one that fails in the turn in which another wins", function()
      local output = kit.script([[
         local good = saros.spawn(function() return "won" end)
         print(saros.race(good, saros.spawn(error, "beside the winner", 0)))
      ]])
      assert.is_truthy(output:find("1\twon", 1, true), output)
      assert.is_truthy(output:find("nobody awaited it: beside the winner", 1, true), output)
   end)

   it("names what cannot be awaited, and has started nothing then", function()
      local started = false
      kit.raises("bad argument #2", saros.race, function() started = true end, {})
      kit.raises("bad argument #1", saros.race)
      kit.raises("cannot await itself", saros.race, saros.current_task())
      kit.turns(2)
      assert.is_false(started)
   end)
end)

describe("saros.wait", function()
   it("26: waits for all, and gives them as done, in the order of the list", function()
      local a, b = saros.spawn(after(3, "a")), saros.spawn(after(1, "b"))
      local done, pending = saros.wait({ a, b })
      assert.are.equal(2, #done)
      assert.is_true(done[1] == a and done[2] == b)
      assert.are.same({}, pending)
   end)

   it("26: does not raise and does not cancel where the time is over", function()
      local slow, quick = saros.spawn(after(0)), saros.future()
      local done, pending = saros.wait({ quick, slow }, { timeout = 0.002 })
      assert.is_true(done[1] == slow and #done == 1)
      assert.is_true(pending[1] == quick and #pending == 1)
      assert.are.equal("pending", quick:state())
      done, pending = saros.wait({ quick }, { timeout = 0 })
      assert.are.same({ 0, 1 }, { #done, #pending })
   end)

   it("26: is content with the first, or with the first error, where that is asked for", function()
      local a, b, c = saros.spawn(after(4)), saros.spawn(after(1)), saros.spawn(fails("bad", 2))
      local done, pending = saros.wait({ a, b, c }, { return_when = "first" })
      assert.is_true(#done == 1 and done[1] == b and #pending == 2)
      done, pending = saros.wait({ a, b, c }, { return_when = "error" })
      assert.is_true(#done == 2 and #pending == 1 and pending[1] == a)
      assert.are.equal("bad", c:error())
      a:await()
   end)

   it("26: takes a cancelled one for done, and not for an error", function()
      local victim, other = saros.spawn(saros.sleep, 1000), saros.spawn(after(4))
      saros.call_soon(function() victim:cancel() end)
      local done = saros.wait({ victim, other }, { return_when = "error" })
      assert.are.equal(2, #done)
   end)

   it("26: returns at once where what is asked for is so already", function()
      local future = saros.future()
      future:set_error("x")
      local done, pending = saros.wait({ future, saros.future() }, { return_when = "error" })
      assert.are.same({ 1, 1 }, { #done, #pending })
      assert.are.equal("x", future:error())
   end)

   it("26: refuses an empty list, and names wrong arguments", function()
      kit.raises("it is empty", saros.wait, {})
      kit.raises("bad argument #1", saros.wait)
      kit.raises("element 1", saros.wait, { "x" })
      kit.raises("return_when", saros.wait, { 0 }, { return_when = "any" })
      kit.raises("option 'timeout'", saros.wait, { 0 }, { timeout = "soon" })
      kit.raises("bad argument #2 to 'saros.wait' (option 'timeout': number expected, got NaN)", saros.wait, { 0 }, { timeout = 0 / 0 })
      kit.raises("unknown option 'tiemout'", saros.wait, { 0 }, { tiemout = 1 })
   end)

   it("gives one that stands twice once", function()
      local task = saros.spawn(after(1))
      assert.are.equal(1, #(saros.wait({ task, task })))
   end)

   it("starts functions, whose tasks are among the results, and does not end them", function()
      local done, pending = saros.wait({ after(1, "quick"), after(5, "slow") }, { return_when = "first" })
      assert.are.equal("quick", done[1]:result())
      assert.are.equal("slow", pending[1]:await())
   end)

   it("that is cancelled ends what it has started, and nothing else", function()
      local log = kit.log()
      local other = saros.spawn(after(9))
      local task = saros.spawn(saros.wait, { lingers(log, "own"), other })
      kit.turns(2)
      task:cancel()
      saros.pcall(task.await, task)
      assert.is_true(task:cancelled())
      assert.are.equal("own", table.concat(log))
      assert.is_false(other:done())
      other:await()
   end)

   it("does not make errors known: one that nobody reads is reported", function()
      local output = kit.script([[
         local bad = saros.spawn(error, "unread", 0)
         local done = saros.wait({bad})
         print(#done)
      ]])
      assert.is_truthy(output:find("unread", 1, true), output)
   end)
end)

describe("saros.as_completed", function()
   it("29: gives each as soon as it is done, in the order in which they end", function()
      local tasks = { saros.spawn(after(5, "c")), saros.spawn(after(1, "a")), saros.spawn(after(3, "b")) }
      local log = kit.log()
      for task in saros.as_completed(tasks) do log(task:await()) end
      assert.are.equal("a b c", table.concat(log, " "))
   end)

   it("29: keeps the order of those that end while its loop does something else", function()
      local log = kit.log()
      for task in saros.as_completed({ after(3, "c"), after(1, "a"), after(2, "b"), after(0, "first") }) do
         kit.turns(6)
         log(task:await())
      end
      assert.are.equal("first a b c", table.concat(log, " "))
   end)

   it("29: raises in the next step where the time is over", function()
      local never, log, clock = saros.future(), kit.log(), saros.clock({ manual = true })
      local err
      saros.group({ clock = clock }, function(group)
         group:spawn(function()
            err = kit.error_of(function()
               for task in saros.as_completed({ never, after(1, "quick") }, { timeout = 1 }) do
                  log(task:await())
                  clock:advance(1)
               end
            end)
         end)
      end)
      assert.are.equal("ETIMEDOUT", saros.error_code(err))
      assert.are.equal("quick", table.concat(log))
      assert.are.equal("pending", never:state())
   end)

   it("gives failed ones too, whose await raises", function()
      local log = kit.log()
      for task in saros.as_completed({ fails("bad", 1), after(2, "good") }) do
         local _, value = saros.pcall(task.await, task)
         log(value)
      end
      assert.are.equal("bad good", table.concat(log, " "))
   end)

   it("ends at once for an empty list, and gives what stands twice once", function()
      for _ in saros.as_completed({}) do error("there is none") end
      local task, count = saros.spawn(after(1)), 0
      for _ in saros.as_completed({ task, task }) do count = count + 1 end
      assert.are.equal(1, count)
   end)

   it("ends what it has started where its loop is left early, and leaves the rest alone", function()
      local log = kit.log()
      local other = saros.spawn(after(9))
      for task in saros.as_completed({ after(2), lingers(log, "own"), other }) do
         if task:done() then break end
      end
      assert.are.equal("own", table.concat(log))
      assert.is_false(other:done())
      other:await()
      local task = saros.spawn(function()
         for _ in saros.as_completed({ lingers(log, "cancelled") }) do error("none is done") end
      end)
      kit.turns(2)
      task:cancel()
      saros.pcall(task.await, task)
      assert.are.equal("own cancelled", table.concat(log, " "))
   end)

   it("names wrong arguments", function()
      kit.raises("bad argument #1", saros.as_completed, 42)
      kit.raises("element 2", saros.as_completed, { 0, "x" })
      kit.raises("unknown option 'limit'", saros.as_completed, { 0 }, { limit = 1 })
   end)
end)

describe("saros.map", function()
   it("gives the first result of each, in the order of the list", function()
      assert.are.same({ n = 4, 2, 4, nil, 8 }, saros.map({ 1, 2, 3, 4 }, function(x)
         kit.turns(5 - x)
         if x == 3 then return end
         return 2 * x, "dropped"
      end))
      assert.are.same({ n = 0 }, saros.map({}, error))
   end)

   it("runs at most so many at once, and all at once without a limit", function()
      local live, most = 0, 0
      local function count(x)
         live = live + 1
         most = math.max(most, live)
         kit.turns(x % 3)
         live = live - 1
      end
      saros.map({ 1, 2, 3, 4, 5, 6, 7 }, count, { limit = 3 })
      assert.are.equal(3, most)
      most = 0
      saros.map({ 1, 1, 1, 1, 1 }, count)
      assert.are.equal(5, most)
   end)

   it("raises the first error, when the others have been ended, and begins no more", function()
      local log = kit.log()
      local err = kit.error_of(saros.map, { 1, 2, 3, 4 }, function(x)
         log("begins " .. x)
         if x == 1 then lingers(log, "ended 1")() end
         saros.sleep(0)
         error({ "bad" })
      end, { limit = 2 })
      assert.are.same({ "bad" }, err)
      assert.are.equal("begins 1, begins 2, ended 1", table.concat(log, ", "))
   end)

   it("gives errors as values where they are asked for", function()
      local results = saros.map({ 1, 2, 3 }, function(x)
         if x == 2 then error({ "bad" }) end
         return x
      end, { return_errors = true, limit = 1 })
      assert.are.same({ n = 3, 1, { "bad" }, 3 }, results)
   end)

   it("takes the cancellation of a scope that was left for the error that it is", function()
      local old
      saros.scope(function(scope)
         scope:cancel()
         old = kit.error_of(saros.sleep, 0)
      end)
      assert.are.equal(old, saros.map({ 1 }, function() error(old) end, { return_errors = true })[1])
   end)

   it("that is cancelled ends all that runs, also with return_errors", function()
      local log = kit.log()
      local task = saros.spawn(saros.map, { "a", "b" }, function(x) lingers(log, x)() end, { return_errors = true })
      kit.turns(2)
      task:cancel()
      saros.pcall(task.await, task)
      assert.is_true(task:cancelled())
      assert.are.equal("a b", table.concat(log, " "))
   end)

   it("names wrong arguments", function()
      kit.raises("bad argument #1", saros.map)
      kit.raises("bad argument #2", saros.map, {}, 42)
      kit.raises("option 'limit'", saros.map, {}, print, { limit = 0 })
      kit.raises("option 'limit'", saros.map, {}, print, { limit = 1.5 })
      kit.raises("unknown option 'timeout'", saros.map, {}, print, { timeout = 1 })
   end)
end)
