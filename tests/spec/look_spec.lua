-- look_spec.lua: looking in: saros.dump, deadlocks of all and of some, tracebacks that cross tasks.

local saros = require "saros"
local kit = require "support.kit"
require("support.leaks")(before_each, after_each)

-- Paths as they are elsewhere, where the finder of specs makes them with both kinds of slashes.
local function slashes(text)
   return kit.windows and text:gsub("\\", "/") or text
end

local function has(text, part)
   text = slashes(text)
   assert(text:find(part, 1, true), ("%q is not in: %s"):format(part, text))
end

local function has_not(text, part)
   text = slashes(text)
   assert(not text:find(part, 1, true), ("%q is in: %s"):format(part, text))
end

local function count(text, part)
   return select(2, slashes(text):gsub(part:gsub("%W", "%%%0"), ""))
end

-- Cancels the tasks, and awaits them.
local function finish(...)
   for _, task in ipairs({ ... }) do
      task:cancel()
      saros.pcall(task.await, task)
   end
end

local function here() return debug.getinfo(2, "l").currentline end

describe("saros.dump", function()
   it("names each task, where it was spawned, what it waits in and for how long, and its traceback", function()
      local queue, line = saros.queue(), here()
      local function getter() queue:get() end
      local task = saros.spawn(function() getter() end):set_name("the getter")
      saros.sleep(0.3)
      local text = saros.dump()
      has(text, ("the getter (tests/spec/look_spec.lua:%d) waits in queue:get, since 0."):format(line + 2))
      has(text, ("look_spec.lua:%d: in upvalue 'getter'"):format(line + 1))
      finish(task)
   end)

   it("is a tree: who is waited for stands below who waits, with gather's several side by side", function()
      local leaf = saros.spawn(saros.sleep, 9):set_name("leaf")
      local other = saros.spawn(saros.sleep, 9):set_name("other leaf")
      local middle = saros.spawn(function() saros.gather(leaf, other) end):set_name("middle")
      local top = saros.spawn(function() middle:await() end):set_name("top")
      local second = saros.spawn(function() leaf:await() end):set_name("second")
      kit.turns(2)
      local text = saros.dump()
      has(text, "\ntop (")
      has(text, "waits in task:await for middle (")
      has(text, "\n   middle (")
      has(text, "waits in saros.gather")
      has(text, "\n      leaf (")
      has(text, "\n      other leaf (")
      has(text, "\nsecond (")
      assert.are.equal(1, select(2, text:gsub("\n *leaf %(", "")))
      finish(top, second, middle, leaf, other)
   end)

   it("shows a group's tasks below who waits for its end", function()
      local task = saros.spawn(saros.group, function(group) group:spawn(saros.sleep, 9):set_name("member") end)
      task:set_name("opener")
      kit.turns(2)
      assert(saros.dump():match("\nopener [^\n]*\n[^\n]*\n[^\n]*\n? *member [^\n]* waits in saros.sleep"), saros.dump())
      finish(task)
   end)

   it("tells who runs, who has not begun, who may go on, who times out, and who is cancelled", function()
      local late = saros.spawn(saros.timeout, 5, saros.sleep, 9):set_name("late")
      local gives_way = saros.spawn(function() while true do saros.sleep(0) end end):set_name("polite")
      local stubborn = saros.spawn(saros.shield, saros.sleep, 0.01):set_name("stubborn")
      kit.turns(2)
      stubborn:cancel()
      local fresh = saros.spawn(saros.sleep, 9):set_name("fresh")
      local text = saros.dump()
      assert(text:match("\nlate %b() waits in saros.sleep, since %d+%.%d s, times out in [45]%.%d s\n"), text)
      assert(text:match("\nfresh %b() has not begun"), text)
      assert(text:match("\npolite %b() is ready to go on"), text)
      assert(text:match("\nstubborn %b() waits in saros.sleep, since %d+%.%d s[^\n]*\n"), text)
      assert.are.equal(1, count(text, " runs\n"), text)
      finish(late, gives_way, fresh, stubborn)
   end)

   it("shows a future, and what else is awaited, by what the task waits in", function()
      local stream_of, listener
      local future = saros.future()
      local a = saros.spawn(future.await, future):set_name("a")
      local b = saros.spawn(saros.await, setmetatable({}, { __await = function() saros.sleep(9) end })):set_name("b")
      if kit.driver ~= "none" then
         listener = assert(saros.listen("127.0.0.1:0"))
         stream_of = saros.spawn(function() listener:accept() end):set_name("acceptor")
      end
      kit.turns(2)
      local text = saros.dump()
      assert(text:match("\na %b() waits in future:await for a future"), text)
      assert(text:match("\nb %b() waits in saros.sleep"), text)
      assert(not listener or text:match("\nacceptor %b() waits in listener:accept"), text)
      finish(a, b, stream_of)
      if listener then listener:close() end
   end)

   it("of a thousand tasks in a chain, and of thousands side by side, is as long as it was asked to be", function()
      local tasks, last = {}, saros.future()
      for i = 1, 1000 do
         local awaited = last
         last = saros.spawn(function() awaited:await() end)
         tasks[i] = last
         saros.sleep(0)
      end
      for i = 1, 2000 do tasks[#tasks + 1] = saros.spawn(saros.sleep, 9 + i) end
      saros.sleep(0)
      local text = saros.dump(10)
      assert.are.equal(10, count(text, " waits in ") + count(text, " runs\n"))
      has(text, "\nand 2991 more")
      assert.is_true(#text < 10000)
      has_not(saros.dump(5000), " more")
      has(saros.dump(5000), "3001 tasks on driver ")
      has(saros.dump(0), "\nand 3001 more")
      finish(table.unpack(tasks))
      kit.raises("bad argument #1", saros.dump, -1)
   end)

   it("of tasks that await each other ends", function()
      local a, b
      a = saros.spawn(function() saros.sleep(0) b:await() end):set_name("a")
      b = saros.spawn(function() saros.sleep(0) a:await() end):set_name("b")
      kit.turns(2)
      local text = saros.dump()
      assert(text:match("\na %b() waits in task:await for b "), text)
      assert(text:match("\n   b %b() waits in task:await for a "), text)
      finish(a, b)
   end)

   it("counts from the spawn, also before the loop's first turn, and from where a slice ended", function()
      local loop <close> = saros.loop{slice = 0.001}
      local text
      loop:call_soon(function() text = saros.dump() end)
      loop:spawn(function() while not text do end end):set_name("busy")
      loop:spawn(function() end):set_name("fresh")
      assert(loop:step())
      assert.is_truthy(text:find("busy %b() has not begun, since 0.%d s"), text)
      assert.is_truthy(text:find("fresh %b() has not begun, since 0.%d s"), text)
   end)

   it("runs nothing of the script's, and needs a loop", function()
      local task = saros.spawn(saros.sleep, 9):set_name("x")
      local object = setmetatable({}, { __index = error, __tostring = error, __name = "saros.fake" })
      local odd = saros.spawn(function(self) saros.sleep(9, self) end, object)
      saros.sleep(0)
      has(saros.dump(), "\nx (")
      finish(task, odd)
   end)
end)

describe("a task", function()
   it("still says where it was spawned when its loop has closed", function()
      local loop, task = saros.loop{}, nil
      loop:run(function()
         task = saros.spawn(function() end)
         task:await()
      end)
      loop:close()
      collectgarbage()
      has(tostring(task), "(finished, spawned at tests/spec/look_spec.lua:")
      local chunk = assert(load("return require('saros').spawn(function() end)", "=a chunk"))()
      chunk:await()
      has(tostring(chunk), "spawned at a chunk:1")
   end)
end)

describe("a deadlock of all", function()
   it("ends the program with exit code 35 and says who waits, the tree, the tracebacks and the circle", function()
      local output, code = kit.script([[
         local a, b
         local function wait_for(name) (name == "a" and a or b):await() end
         a = saros.spawn(function() saros.sleep(0) wait_for("b") end):set_name("first")
         b = saros.spawn(function() saros.sleep(0) wait_for("a") end):set_name("second")
         local third = saros.spawn(function() a:await() end):set_name("third")
         third:await()]])
      assert.are.equal(35, code, output)
      has(output, "deadlock: nothing can wake what waits: main waits at ")
      local p, q = output:match("\nin a circle: (%w+) %b() waits for (%w+) %b(), which waits for %1 %b()\n")
      assert(p == "first" and q == "second" or p == "second" and q == "first", output)
      has(output, "4 tasks on driver ")
      has(output, "in upvalue 'wait_for'")
   end)

   it("without a circle says so by not naming one", function()
      local output, code = kit.script("saros.spawn(function() saros.queue():get() end) saros.future():await()")
      assert.are.equal(35, code, output)
      has(output, "waits in queue:get")
      has(output, "waits in future:await for a future")
      has_not(output, "circle")
   end)

   it("of a loop inside is an ordinary error there, and the program may go on", function()
      local output, code = kit.script([[
         local ok, why = pcall(saros.loop{}.run, saros.loop{}, function() saros.future():await() end)
         print(ok, (tostring(why):match("deadlock: nothing can wake what waits: main")))]])
      assert.are.equal("false\tdeadlock: nothing can wake what waits: main\n", output)
      assert.are.equal(0, code)
   end)

   it("lets <close> variables run and await", function()
      local output, code = kit.script([[
         local _ <close> = setmetatable({}, {__close = function() saros.shield(saros.sleep, 0.01) print("closed") end})
         saros.future():await()]])
      assert.are.equal(35, code, output)
      has(output, "closed\n")
   end)

   it("is no false alarm: a timer, a callback, a sleep for ever under a time limit, a listener", function()
      local output, code = kit.script([[
         local future = saros.future()
         saros.call_later(0.02, future.set_result, future, 1)
         print(future:await())
         future = saros.future()
         saros.call_soon(future.set_result, future, 2)
         print(future:await())
         print(saros.timeout(0.02, saros.sleep, math.huge))
         print(saros.timeout(0.02, saros.await, saros.future()))
         if saros.current_loop():driver() ~= "none" then
            local listener <close> = saros.listen("127.0.0.1:0")
            print(saros.timeout(0.02, listener.accept, listener))
         end]])
      assert.are.equal(0, code, output)
      has_not(output, "deadlock")
   end)
end)

describe("a deadlock of some, while others live,", function()
   local circle = [[
      local a, b
      a = saros.spawn(function() saros.sleep(0) b:await() end):set_name("a")
      b = saros.spawn(function() saros.sleep(0) a:await() end):set_name("b")
   ]]

   it("is reported once, soon, with the places where they wait; the host exits 1", function()
      local output, code = kit.script(circle .. "saros.sleep(1) print('alive')")
      assert.are.equal(1, code, output)
      assert.are.equal(1, count(output, "deadlock: some tasks wait for each other"), output)
      assert(output:match("[ab] %b() waits at [^\n]-:%d+ for [ab] %b(), which waits at [^\n]-:%d+ for [ab] %b()\n"), output)
      assert(output:find("deadlock", 1, true) < output:find("alive", 1, true), output)
   end)

   it("is found among locks that are owned, and through locks and awaits; the tree names who holds what", function()
      local locks = [[
         local first, second = saros.lock(), saros.lock()
         local a = saros.spawn(function()
            local _ <close> = first:acquire()
            saros.sleep(0)
            second:acquire()
         end):set_name("a")
         local b = saros.spawn(function()
            local _ <close> = second:acquire()
            saros.sleep(0)
            first:acquire()
         end):set_name("b")
      ]]
      local output, code = kit.script(locks .. "saros.sleep(0.5) print(saros.dump()) print('alive')")
      assert.are.equal(1, code, output)
      assert.are.equal(1, count(output, "deadlock: some tasks wait for each other"), output)
      assert(output:match("[ab] %b() waits at [^\n]-:%d+ for a lock that [ab] %b() holds, which waits at [^\n]-:%d+ "
         .. "for a lock that [ab] %b() holds\n"), output)
      assert(output:match("\n *a %b() waits in lock:acquire for a lock that b %b() holds, since"), output)
      has(output, "alive\n")
      output, code = kit.script(locks .. "a:await()")
      assert.are.equal(35, code, output)
      assert(output:match("\nin a circle: [ab] %b() waits for [ab] %b(), which waits for [ab] %b()\n"), output)
      output, code = kit.script([[
         local lock = saros.lock()
         local _ <close> = lock:acquire()
         local child = saros.spawn(function() lock:acquire() end):set_name("child")
         saros.call_later(0.5, print, "alive")
         child:await()]])
      assert.are.equal(35, code, output)
      assert.are.equal(1, count(output, "deadlock: some tasks wait for each other"), output)
      has(output, "alive\n")
   end)

   it("is no false alarm for locks that are only held for long, or asked for with a time limit", function()
      local output, code = kit.script([[
         local first, second = saros.lock(), saros.lock()
         local function both(one, other)
            local _ <close> = one:acquire()
            saros.sleep(0.2)
            return saros.timeout(0.3, function() local _ <close> = other:acquire() return true end)
         end
         local a, b = saros.spawn(both, first, second), saros.spawn(both, second, first)
         local c = saros.spawn(function() local _ <close> = first:acquire() end)
         saros.gather(a, b, c)
         print("done")]])
      assert.are.equal(0, code, output)
      assert.are.equal("done\n", output)
   end)

   it("is not reported where a deadline, a cancellation at once, or a third task ends it", function()
      local output, code = kit.script(circle .. [[
         saros.sleep(0) saros.sleep(0)
         a:cancel() b:cancel()
         saros.sleep(0.5)]])
      assert.are.equal(0, code, output)
      assert.are.equal("", output)
      output, code = kit.script([[
         local a, b
         a = saros.spawn(function() saros.sleep(0) saros.timeout(0.3, b.await, b) end)
         b = saros.spawn(function() saros.sleep(0) pcall(a.await, a) end)
         saros.sleep(1) print("ended", a:done(), b:done())]])
      assert.are.equal(0, code, output)
      assert.are.equal("ended\ttrue\ttrue\n", output)
      for _, how in ipairs({ "saros.gather(left, right)", "saros.race(left, 3600)", "saros.wait({ left, right })",
                             "saros.gather(function() saros.gather(left, right) end)" }) do
         output, code = kit.script([[
            local a, b
            local function left() a = saros.current_task() saros.sleep(0) saros.sleep(0) pcall(b.await, b) end
            local function right() b = saros.current_task() pcall(a.await, a) end
            if not ("]] .. how .. [["):find("right") then saros.spawn(right) end
            saros.timeout(0.3, function() ]] .. how .. [[ end)
            for _, task in ipairs({ a, b }) do task:cancel() end
            saros.sleep(0)
            print("ended", a:done(), b:done())]])
         assert.are.equal(0, code, output)
         assert.are.equal("ended\ttrue\ttrue\n", output)
      end
   end)

   it("is no false alarm for long chains, diamonds, and tasks that await one another in turn", function()
      local output, code = kit.script([[
         local last = saros.spawn(saros.sleep, 0.3)
         local leaves = {}
         for i = 1, 300 do
            local awaited = last
            last = saros.spawn(function() saros.gather(awaited, awaited) awaited:await() end)
            leaves[i] = saros.spawn(function() awaited:await() end)
            saros.sleep(0)
         end
         last:await()
         saros.gather(leaves)
         print("done")]])
      assert.are.equal(0, code, output)
      assert.are.equal("done\n", output)
   end)
end)

describe("a traceback across tasks", function()
   local function culprit() error("boom") end

   it("has where it failed, the chain of awaits, and where each task was spawned", function()
      local function leaf() saros.sleep(0) culprit() end
      local function middle() saros.spawn(leaf):set_name("leaf"):await() end
      local line = here()
      local function top() saros.gather(saros.spawn(middle):set_name("middle")) end
      local task = saros.spawn(top):set_name("top")
      local ok = pcall(task.await, task)
      assert.is_false(ok)
      local text = task:traceback()
      local steps = {
         "in upvalue 'culprit'",
         ("\ntask leaf, spawned at tests/spec/look_spec.lua:%d, was awaited by task middle:\n"):format(line - 1),
         ("look_spec.lua:%d: in"):format(line - 1),
         ("\ntask middle, spawned at tests/spec/look_spec.lua:%d, was awaited by task top:\n"):format(line + 1),
         ("look_spec.lua:%d: in"):format(line + 1),
      }
      local at = 1
      for _, step in ipairs(steps) do
         local found = slashes(text):find(step, at, true)
         assert(found, ("%q is not behind %d in: %s"):format(step, at, text))
         at = found
      end
   end)

   it("is what the program shows for an error that leaves main, and in reports", function()
      local output, code = kit.script([[
         local function culprit() error("boom") end
         local task = saros.spawn(culprit):set_name("failing")
         saros.run(function() task:await() end)]])
      assert.are.equal(1, code)
      has(output, "task failing, spawned at (command line):")
      has(output, "was awaited by task task-3:")
      has(output, "was awaited by task main:")
      assert.are.equal(1, count(output, "boom"))
      output = kit.script([[
         local task = saros.spawn(error, "lost"):set_name("inner")
         saros.spawn(function() task:await() end):set_name("outer")
         saros.sleep(0.01)]])
      assert(output:match("task outer %b() failed and nobody awaited it: lost\nstack traceback:.*task inner, spawned at "
         .. ".* was awaited by task outer:"), output)
   end)

   it("of a long chain does not grow for ever", function()
      local last = saros.spawn(function() culprit() end)
      for _ = 1, 500 do
         local awaited = last
         last = saros.spawn(function() awaited:await() end)
      end
      pcall(last.await, last)
      local text = last:traceback()
      has(text, "culprit")
      assert.is_true(#text < 12000)
   end)

   it("does not tell of an error that was caught on the way and raised anew", function()
      local task = saros.spawn(function()
         local inner = saros.spawn(culprit)
         pcall(inner.await, inner)
         error("another")
      end)
      pcall(task.await, task)
      has_not(task:traceback(), "was awaited")
      has_not(task:traceback(), "culprit")
   end)
end)
