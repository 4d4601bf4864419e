-- manners_spec.lua: the loop's manners: who gives way to whom, exception handlers, slices, shuffled tasks.
--
-- Of the numbered lines of the semantics that these specs carry in their names, some are the core's alone, and are tested
-- there: 5 (the way in from other threads) in unit/test_door.c, 52 to 55 and 60 in conformance/stopping.c and ending.c,
-- 58 in conformance/timing.c, 61 in the whole of conformance/.

local saros = require "saros"
local kit = require "support.kit"
require("support.leaks")(before_each, after_each)

local in_time = kit.needs("time", it, pending) -- for cases in which time passes while a script computes

local function has(text, part)
   assert(text:find(part, 1, true), ("%q is not in: %s"):format(part, text))
end

local busy = "local function busy(s) local t = os.clock() while os.clock() - t < s do end end\n"

-- Runs fn while another task counts its turns: how many turns it got meanwhile.
local function turns_beside(fn)
   local turns, ended = 0, false
   local beside = saros.spawn(function()
      while not ended do
         saros.sleep(0)
         turns = turns + 1
      end
   end)
   saros.sleep(0)
   local before = turns
   fn()
   local got = turns - before
   ended = true
   beside:await()
   return got
end

describe("a task whose answers are always at hand gives way after 64 of them", function()
   it("49: from a queue", function()
      local queue = saros.queue()
      for i = 1, 6400 do queue:put(i) end
      local got = turns_beside(function() for _ = 1, 6400 do queue:get() end end)
      assert.is_true(got >= 99 and got <= 101, got)
      got = turns_beside(function() for i = 1, 640 do queue:put(i) end end)
      assert.is_true(got >= 9 and got <= 11, got)
   end)

   it("49: from a stream whose buffer is full, and to one that takes all", function()
      local client, server = kit.pair()
      local _ <close> = client
      local _ <close> = server
      local got = turns_beside(function() for _ = 1, 640 do assert(client:write("line\n")) end end)
      assert.is_true(got >= 9, got)
      saros.sleep(0.01)
      assert(server:read("l"))
      got = turns_beside(function() for _ = 1, 639 do assert.are.equal("line", server:read("l")) end end)
      assert.is_true(got >= 9, got)
   end)

   it("49: from what is shut, closed, ended or broken, time and again", function()
      local queue, barrier = saros.queue(), saros.barrier(2)
      queue:shutdown()
      barrier:abort()
      local tx, rx = saros.channel(1)
      local tx_open, rx_closed = saros.channel(1)
      rx_closed:close()
      local _, rx_left = saros.channel(1)
      tx:close()
      _:close()
      for name, call in pairs({
         put = function() return queue:put(1) end,
         get = function() return queue:get() end,
         wait = function() return barrier:wait() end,
         ["send, closed"] = function() return tx:send(1) end,
         ["send, broken"] = function() return tx_open:send(1) end,
         ["receive, closed"] = function() return rx_closed:receive() end,
         ["receive, ended"] = function() return rx_left:receive() end,
      }) do
         local got = turns_beside(function()
            for _ = 1, 640 do
               local value, message, code = call()
               assert(value == nil and message and code, name)
            end
         end)
         assert.is_true(got >= 9 and got <= 11, name .. " " .. got)
      end
      rx:close()
   end)

   it("49: and its cancellation is looked at each time", function()
      local queue = saros.queue()
      for i = 1, 100 do queue:put(i) end
      local taken = 0
      local task = saros.spawn(function()
         for _ = 1, 100 do
            if taken == 10 then saros.current_task():cancel() end
            queue:get()
            taken = taken + 1
         end
      end)
      saros.pcall(task.await, task)
      assert.is_true(task:cancelled())
      assert.are.equal(10, taken)
      assert.are.equal(90, queue:size())
   end)
end)

describe("what is always due", function()
   it("2: starves no I/O: sleeps of 0, chains of call_soon and of timers of 0", function()
      local client, server = kit.pair()
      local _ <close> = client
      local _ <close> = server
      local ended, turns = false, 0
      local function again(how)
         turns = turns + 1
         if not ended then how(again, how) end
      end
      again(saros.call_soon)
      again(function(...) saros.call_later(0, ...) end)
      local sleeper = saros.spawn(function() while not ended do saros.sleep(0) end end)
      for i = 1, 20 do
         assert(client:write(i .. "\n"))
         assert.are.equal(tostring(i), server:read("l"))
      end
      ended = true
      sleeper:await()
      kit.turns(3)
      assert.is_true(turns > 20)
   end)

   it("2: a timer of 0 lets those go first who are ready", function()
      local log = kit.log()
      local function note(what) log(what) end
      saros.call_later(0, note, "timer")
      saros.call_soon(note, "soon")
      local task = saros.spawn(note, "task")
      task:await()
      kit.wait_until(function() return #log == 3 end)
      assert.are.equal("soon task timer", table.concat(log, " "))
   end)

   it("7: no other task runs between two awaits", function()
      local value = 0
      local function work()
         for _ = 1, 100 do
            local before = value
            for _ = 1, 50 do value = value + 1 end
            assert.are.equal(before + 50, value)
            saros.sleep(0)
         end
      end
      saros.gather(work, work, work)
      assert.are.equal(15000, value)
   end)
end)

describe("an exception handler", function()
   local function with_handler(fn, handler)
      local contexts = {}
      local loop <close> = saros.loop{ report_after = 0 }
      loop:set_exception_handler(handler or function(context) contexts[#contexts + 1] = context end)
      loop:run(fn)
      return contexts
   end

   it("9: gets the errors of callbacks and of tasks that nobody awaited: message, error, task, traceback", function()
      local value, task = {}, nil
      local function culprit() error(value) end
      local contexts = with_handler(function()
         saros.call_soon(function() culprit() end)
         task = saros.spawn(function() culprit() end):set_name("lost")
         saros.sleep(0.01)
      end)
      assert.are.equal(2, #contexts)
      assert.are.equal("a callback failed", contexts[1].message)
      assert.are.equal(value, contexts[1].error)
      assert.is_nil(contexts[1].task)
      has(contexts[1].traceback, "in upvalue 'culprit'")
      assert(contexts[2].message:match("^task lost %(spawned at .*manners_spec.lua:%d+%) failed and nobody awaited it$"))
      assert.are.equal(value, contexts[2].error)
      assert.are.equal(task, contexts[2].task)
      has(contexts[2].traceback, "in upvalue 'culprit'")
   end)

   it("9: gets any value, nil included, and may begin tasks and callbacks", function()
      local log = kit.log()
      local contexts = {}
      with_handler(function()
         for _, value in ipairs({ "text", 42, false, print }) do saros.spawn(error, value, 0) end
         saros.spawn(error)
         kit.wait_until(function() return #log == 10 end)
      end, function(context)
         contexts[#contexts + 1] = context.error
         assert(not saros.current_task())
         saros.spawn(function() log("spawned") end)
         saros.call_soon(function() log("called") end)
      end)
      assert.are.equal(4, #contexts)
      assert.are.equal(10, #log)
   end)

   it("9: that fails is told, with what it was called for, and the loop lives on", function()
      local output, code = kit.script([[
         saros.current_loop():set_exception_handler(function() error("in the handler") end)
         saros.call_soon(error, "in the callback")
         saros.sleep(0)
         saros.sleep(0.01)
         print("alive")]])
      assert.are.equal(1, code, output)
      has(output, "saros: the exception handler failed: (command line):2: in the handler")
      has(output, "saros: a callback failed: in the callback")
      has(output, "alive\n")
   end)

   it("9: keeps the program's exit code at 0; the default, and the loop's own, do not", function()
      local output, code = kit.script([[
         local loop = saros.current_loop()
         loop:set_exception_handler(function(context) print("handled", context.error) end)
         saros.spawn(error, "lost")
         saros.sleep(0)]])
      assert.are.equal("handled\tlost\n", output)
      assert.are.equal(0, code)
      output, code = kit.script([[
         local loop = saros.current_loop()
         loop:set_exception_handler(function(context) loop:default_exception_handler(context) end)
         saros.spawn(error, "lost")
         saros.sleep(0)]])
      assert(output:match("^saros: task task%-2 %b() failed and nobody awaited it: lost\nstack traceback:"), output)
      assert.are.equal(1, code)
   end)

   it("9: can be asked for, taken away, and called", function()
      local loop <close> = saros.loop{}
      local contexts = kit.log()
      local function handler(context) contexts(context) end
      assert.is_nil(loop:get_exception_handler())
      loop:set_exception_handler(handler)
      assert.are.equal(handler, loop:get_exception_handler())
      local context = { message = "mine", error = 1, extra = 2 }
      assert.is_true(loop:call_exception_handler(context))
      assert.are.equal(context, contexts[1])
      loop:set_exception_handler(nil)
      assert.is_nil(loop:get_exception_handler())
      kit.raises("function expected", loop.set_exception_handler, loop, 42)
      kit.raises("field 'message'", loop.call_exception_handler, loop, {})
      loop:close()
      kit.raises("the loop is closed", loop.get_exception_handler, loop)
   end)
end)

describe("a slice", function()
   local computing = [[
      local ticks, ended = 0, false
      local beside = saros.spawn(function() while not ended do saros.sleep(0.001) ticks = ticks + 1 end end)
      saros.sleep(0)
   ]]

   in_time("makes a script give way that computes and never awaits", function()
      for slice, least in pairs({ ["5"] = 5, ["0.5"] = 5 }) do
         local output, code = kit.run("--slice", slice, "-e", "local saros = require 'saros'\n" .. busy .. computing
            .. "busy(0.2) print(ticks) ended = true beside:await()")
         assert.are.equal(0, code, output)
         assert.is_true(tonumber(output) >= least, output)
      end
      assert.are.equal("0\n", (kit.script(busy .. computing .. "busy(0.05) print(ticks) ended = true beside:await()")))
   end)

   in_time("is an option of a loop; nothing computed is lost, through pcall, closures and <close> variables", function()
      local output, code = kit.script([[
         local loop <close> = saros.loop{slice = 0.001}
         loop:run(function()
            local order = {}
            local function work(name)
               local sum = 0
               local ok, got = pcall(function()
                  local closed <close> = setmetatable({}, {__close = function() for k = 1, 100000 do sum = sum + 1 end end})
                  for k = 1, 500000 do sum = sum + k % 3 end
                  error(sum)
               end)
               order[#order + 1] = name
               return sum, ok, type(got)
            end
            local a, b = saros.spawn(work, "a"), saros.spawn(work, "b")
            print(a:await()) print(b:await())
         end)]])
      assert.are.equal(0, code, output)
      assert.are.equal("600001\tfalse\tnumber\n600001\tfalse\tnumber\n", (output:gsub("%.0", "")))
   end)

   in_time("never takes a value from a generator's consumer, nor disturbs table.sort and gsub", function()
      local output, code = kit.run("--slice", "0.2", "-e", "local saros = require 'saros'\n" .. computing .. [[
         local wrong, n = 0, 0
         for v in coroutine.wrap(function()
            for i = 1, 300 do
               local x = 0
               for k = 1, 3000 do x = x + k end
               coroutine.yield(i)
            end
         end) do
            n = n + 1
            if v ~= n then wrong = wrong + 1 end
         end
         local list = {}
         for i = 1, 300 do list[i] = (i * 7919) % 1009 end
         table.sort(list, function(a, b) for k = 1, 300 do end return a < b end)
         for i = 2, 300 do assert(list[i - 1] <= list[i]) end
         assert(("x"):rep(300):gsub("x", function() for k = 1, 3000 do end return "y" end) == ("y"):rep(300))
         print(wrong, n) ended = true beside:await()]])
      assert.are.equal(0, code, output)
      assert.are.equal("0\t300\n", output)
   end)

   in_time("raises nothing, also where the task is cancelled: that comes at the next await", function()
      local output, code = kit.run("--slice", "1", "-e", "local saros = require 'saros'\n" .. busy .. [[
         local task = saros.spawn(function() busy(0.05) print("computed") saros.sleep(0) print("went on") end)
         saros.sleep(0)
         task:cancel()
         saros.pcall(task.await, task)
         print(task:cancelled())]])
      assert.are.equal(0, code, output)
      assert.are.equal("computed\ntrue\n", output)
   end)

   it("replaces nobody's hook: a loop that is to slice is refused where one is set, and a task keeps its own", function()
      local output, code = kit.script([[
         local calls = 0
         debug.sethook(function() calls = calls + 1 end, "", 100)
         print(select(2, pcall(saros.loop, {slice = 1})):match("option 'slice': a debug hook is set here"))
         debug.sethook()
         local loop <close> = saros.loop{slice = 0.001}
         debug.sethook(function() calls = calls + 1 end, "", 100)
         print(select(2, pcall(loop.run, loop, print)):match("a debug hook is set here"))
         for k = 1, 10000 do end
         print(calls > 0, debug.gethook() ~= nil)
         debug.sethook()
         loop:run(function()
            local mine = 0
            debug.sethook(function() mine = mine + 1 end, "", 100)
            for k = 1, 100000 do end
            print(mine > 500)
         end)]])
      assert.are.equal(0, code, output)
      assert.are.equal("option 'slice': a debug hook is set here\na debug hook is set here\ntrue\ttrue\ntrue\n", output)
   end)

   it("is a number of milliseconds for the program, of seconds for a loop", function()
      for _, wrong in ipairs({ "0", "-1", "x", "", "1x", "nan" }) do
         local output, code = kit.run("--slice", wrong, "-e", "print(1)")
         assert.are.equal(1, code)
         has(output, "--slice " .. wrong .. ": must be a number of milliseconds above 0")
      end
      kit.raises("option 'slice' must be a number of seconds", saros.loop, { slice = {} })
      local loop <close> = saros.loop{ slice = false, debug = false, shuffle = false }
      assert.are.equal(1, loop:run(function() return 1 end))
   end)
end)

describe("shuffled", function()
   local function order(options)
      local log, calls = kit.log(), kit.log()
      local loop <close> = saros.loop(options)
      loop:run(function()
         for i = 1, 20 do saros.spawn(function() log(i) end) end
         for i = 1, 20 do saros.call_soon(function() calls(i) end) end
         kit.turns(2)
         local event = saros.future()
         for i = 21, 40 do saros.spawn(function() event:await() log(i) end) end
         kit.turns(2)
         event:set_result()
         kit.turns(2)
      end)
      assert.are.equal(40, #log)
      return table.concat(log, " "), table.concat(calls, " ")
   end
   local in_order = {}
   for i = 1, 40 do in_order[i] = tostring(i) end
   in_order = table.concat(in_order, " ")

   it("51: tasks that are ready together run in an order that the seed decides; callbacks keep theirs", function()
      local first, calls = order({ shuffle = 1 })
      assert.are_not.equal(in_order, first)
      assert.are.equal(in_order:match("^(.* 20) "), calls)
      assert.are.equal(first, (order({ shuffle = 1 })))
      assert.are.equal(first, (order({ shuffle = "0x1" })))
      assert.are_not.equal(first, (order({ shuffle = 2 })))
      local seen = {}
      for n in first:gmatch("%d+") do seen[tonumber(n)] = true end
      assert.are.equal(40, #seen)
   end)

   it("51: off, they run in the order in which they became ready", function()
      assert.are.equal(in_order, (order({})))
      assert.are.equal(in_order, (order({ shuffle = false })))
   end)

   it("51: is an option of the program, for all its loops", function()
      local script = [[
         local function try(run)
            local log = {}
            run(function() for i = 1, 12 do saros.spawn(table.insert, log, i) end saros.sleep(0) saros.sleep(0) end)
            print(table.concat(log, " "))
         end
         try(saros.run)
         local loop <close> = saros.loop{}
         try(function(fn) loop:run(fn) end)]]
      local function run(...)
         local words = table.pack(...)
         words[#words + 1], words[#words + 2] = "-e", "local saros = require 'saros'\n" .. script
         local output, code = kit.run(table.unpack(words))
         assert.are.equal(0, code, output)
         return output
      end
      local plain = run()
      assert.are.equal("1 2 3 4 5 6 7 8 9 10 11 12\n1 2 3 4 5 6 7 8 9 10 11 12\n", plain)
      local one, two = run("--shuffle", "7"), run("--shuffle=7")
      assert.are.equal(one, two)
      assert.are_not.equal(plain, one)
      local _, code = kit.run("--shuffle", "x", "-e", "print(1)")
      assert.are.equal(1, code)
      kit.raises("option 'shuffle' must be", saros.loop, { shuffle = "x" })
   end)

   it("51: streams are read and written, closed under a reader, and timed out as ever", function()
      for seed = 1, 10 do
         local loop <close> = saros.loop{ shuffle = seed, driver = kit.driver }
         loop:run(function()
            local client, server = kit.pair()
            local got = {}
            local reader = saros.spawn(function() for line in server:lines() do got[#got + 1] = line end end)
            for i = 1, 50 do assert(client:write(i, "\n")) end
            client:close()
            reader:await()
            assert.are.equal(50, #got)
            assert.are.equal("50", got[50])
            local waits = saros.spawn(server.read, server)
            server:close()
            waits:await()
            local a, b = kit.pair()
            local readers = saros.spawn(function() return a:read() end)
            saros.sleep(0)
            a:close()
            b:close()
            local result, _, code = readers:await()
            assert.is_nil(result)
            assert.are.equal("ECLOSED", code)
         end)
      end
   end)
end)
