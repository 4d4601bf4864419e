-- futures_spec.lua: a future: three states, one way; who awaits it; callbacks; saros.await on everything awaitable.

local saros = require "saros"
local kit = require "support.kit"
require("support.leaks")(before_each, after_each)

describe("saros.future", function()
   it("11: is pending until it has a result, and then finished for good", function()
      local future = saros.future()
      assert.are.equal("pending", future:state())
      assert.is_false(future:done())
      assert.is_true(future:set_result(1, nil, 3))
      assert.are.equal("finished", future:state())
      assert.is_true(future:done())
      assert.is_false(future:cancelled())
      assert.are.same({ n = 3, 1, nil, 3 }, table.pack(future:await()))
      assert.are.same({ n = 3, 1, nil, 3 }, table.pack(future:result()))
      assert.is_nil(future:error())
   end)

   it("11: cannot be settled twice, in any mixture", function()
      local settle = {
         function(f) f:set_result(1) end,
         function(f) f:set_error("e") end,
         function(f) assert(f:cancel()) end,
      }
      for _, first in ipairs(settle) do
         local future = saros.future()
         first(future)
         kit.raises("set_result: the future is done already", future.set_result, future, 2)
         kit.raises("set_error: the future is done already", future.set_error, future, "x")
         assert.is_false(future:cancel())
         saros.pcall(future.result, future)
      end
   end)

   it("11: has no result and no error while it is pending", function()
      local future = saros.future()
      kit.raises("not done yet", future.result, future)
      kit.raises("not done yet", future.error, future)
   end)

   it("16: raises its error in every awaiter, whatever value that is", function()
      local object = setmetatable({}, { __tostring = function() return "an object" end })
      for _, value in ipairs({ "text", 42, true, false, object, print, saros.future() }) do
         local future = saros.future()
         local task = saros.spawn(function() return select(2, pcall(future.await, future)) end)
         saros.sleep(0)
         future:set_error(value)
         assert.are.equal(value, task:await())
         assert.are.equal(value, (kit.error_of(future.await, future)))
         assert.are.equal(value, future:error())
         assert.are.equal("finished", future:state())
      end
   end)

   it("16: may carry nil as its error", function()
      local future = saros.future()
      future:set_error(nil)
      local results = table.pack(pcall(future.await, future))
      assert.are.same({ n = 2, false, nil }, results)
   end)

   it("11: that was cancelled raises ECANCELED with the reason in its awaiters, catchable by pcall", function()
      local future = saros.future()
      local task = saros.spawn(function()
         local ok, err = pcall(future.await, future)
         return ok, saros.error_code(err), tostring(err)
      end)
      saros.sleep(0)
      assert.is_true(future:cancel("gone"))
      assert.are.equal("cancelled", future:state())
      assert.is_true(future:cancelled())
      local ok, code, text = task:await()
      assert.is_false(ok)
      assert.are.equal("ECANCELED", code)
      assert.is_truthy(text:find("gone", 1, true))
      assert.are.equal("ECANCELED", saros.error_code((kit.error_of(future.result, future))))
      assert.are.equal("ECANCELED", saros.error_code((kit.error_of(future.error, future))))
   end)

   it("11: may be cancelled with any reason, which its awaiters get", function()
      local spoken = setmetatable({}, { __tostring = function() return "a spoken one" end })
      for _, reason in ipairs({ 42, false, {}, print, spoken }) do
         local future = saros.future()
         future:cancel(reason)
         local err, text = kit.error_of(future.await, future)
         assert.are.equal(reason, err.reason)
         assert.are.equal(reason == 42 and "the awaited future was cancelled: 42" or
            reason == spoken and "the awaited future was cancelled: a spoken one" or "the awaited future was cancelled", text)
      end
   end)

   it("wakes its awaiters in the order in which they came", function()
      local future, log = saros.future(), kit.log()
      for i = 1, 6 do
         saros.spawn(function()
            future:await()
            log(i)
         end)
      end
      saros.sleep(0)
      future:set_result()
      assert.are.equal(0, #log)
      saros.sleep(0)
      assert.are.equal("123456", table.concat(log))
   end)

   it("forgets an awaiter that was cancelled, wherever it stands in the line", function()
      for gone = 1, 3 do
         local future, log, tasks = saros.future(), kit.log(), {}
         for i = 1, 3 do
            tasks[i] = saros.spawn(function()
               future:await()
               log(i)
            end)
         end
         saros.sleep(0)
         tasks[gone]:cancel()
         saros.sleep(0)
         future:set_result()
         saros.sleep(0)
         assert.are.equal(({ "23", "13", "12" })[gone], table.concat(log))
      end
   end)

   it("49: answers at once when it is done, and gives way after 64 such answers in a row", function()
      local future, others = saros.future(), 0
      future:set_result(1)
      local other = saros.spawn(function() others = others + 1 end)
      for _ = 1, 60 do future:await() end
      assert.are.equal(0, others)
      for _ = 1, 60 do future:await() end
      assert.are.equal(1, others)
      other:await()
   end)

   it("49: checks for cancellation even when it is done", function()
      local future, reached = saros.future(), false
      future:set_result(1)
      local task = saros.spawn(function()
         saros.current_task():cancel()
         future:await()
         reached = true
      end)
      saros.pcall(task.await, task)
      assert.is_true(task:cancelled())
      assert.is_false(reached)
   end)

   it("12: calls back in the order of registration, later than the call that settles it", function()
      local future, log = saros.future(), kit.log()
      for i = 1, 5 do future:add_done_callback(function(f) log(i .. f:result()) end) end
      future:set_result("r")
      assert.are.equal(0, #log)
      kit.turns(2)
      assert.are.equal("1r 2r 3r 4r 5r", table.concat(log, " "))
   end)

   it("12: calls back also when it was cancelled, and a callback that is added late", function()
      local future, log = saros.future(), kit.log()
      future:add_done_callback(function(f) log(f:state()) end)
      future:cancel()
      future:add_done_callback(function() log("late") end)
      assert.are.equal(0, #log)
      kit.turns(2)
      assert.are.equal("cancelled late", table.concat(log, " "))
   end)

   it("53: that gets its result in the turn in which its awaiter is cancelled still gives it", function()
      for _, first in ipairs({ "result", "cancel" }) do
         local future, got, went_on = saros.future(), nil, false
         local task = saros.spawn(function()
            got = future:await()
            saros.sleep(0)
            went_on = true
         end)
         saros.sleep(0)
         if first == "result" then future:set_result("won") end
         task:cancel()
         if first == "cancel" then future:set_result("late") end
         saros.pcall(task.await, task)
         assert.is_true(task:cancelled())
         assert.are.equal(first == "result" and "won" or nil, got)
         assert.is_false(went_on)
         assert.is_string((future:await())) -- and it is nobody's loss
      end
   end)

   it("cannot be awaited in a callback", function()
      local text
      local future = saros.future()
      saros.call_soon(function() text = kit.text_of(future.await, future) end)
      kit.turns(2)
      assert.is_truthy(text:find("cannot await outside a task", 1, true))
   end)

   it("may be settled with thousands of values", function()
      local future = saros.future()
      future:set_result(table.unpack({}, 1, 10000))
      assert.are.equal(10000, select("#", future:await()))
   end)

   it("14: of which nobody has awaited the error is reported: after a time, or with the loop's end; the host exits 1", function()
      local output, code = kit.run("-e", [[local saros = require "saros"
         saros.future():set_error("lost early")
         kept = saros.future()
         kept:set_error("lost late")
         local awaited, asked, waited, called = saros.future(), saros.future(), saros.future(), saros.future()
         awaited:set_error("taken") pcall(awaited.await, awaited)
         asked:set_error("taken") asked:error()
         saros.spawn(function() pcall(waited.await, waited) end)
         called:add_done_callback(function(future) future:error() end)
         saros.sleep(0)
         waited:set_error("taken")
         called:set_error("taken")
         pcall(saros.gather, awaited, waited)
         saros.sleep(0)
         collectgarbage() collectgarbage()
         print("collected")]])
      assert.are.equal(1, code)
      assert.is_truthy(output:find("collected\n", 1, true), output)
      assert.is_truthy(output:find("saros: (command line):2: a future failed and nobody awaited it: lost early\n", 1, true), output)
      assert.is_truthy(output:find("saros: (command line):4: a future failed and nobody awaited it: lost late\n", 1, true), output)
      assert.is_falsy(output:find("taken", 1, true), output)
      local loop <close> = saros.loop({ driver = kit.driver, report_after = 0.002 })
      local told
      loop:set_exception_handler(function(context) told = context end)
      loop:run(function()
         local future = saros.future()
         future:set_error({ "later" })
         kit.wait_until(function() return told end)
         assert.are.equal("later", future:error()[1])
      end)
      assert.are.equal("later", told.error[1])
   end)

   it("24: that only a waiting task refers to is not collected", function()
      local keep = setmetatable({}, { __mode = "v" })
      local task = saros.spawn(function()
         keep.future = saros.future()
         return keep.future:await()
      end)
      saros.sleep(0)
      collectgarbage()
      collectgarbage()
      keep.future:set_result("alive")
      assert.are.equal("alive", task:await())
   end)
end)

describe("a future of another loop", function()
   local function other_loop() return saros.loop({ driver = kit.driver }) end

   it("15: raises where it is awaited; it belongs to the loop on which that happened first", function()
      local future = saros.future()
      local task = saros.spawn(future.await, future)
      saros.sleep(0)
      local loop <close> = other_loop()
      loop:run(function()
         kit.raises("belongs to another loop", future.await, future)
         kit.raises("belongs to another loop", saros.await, future)
         kit.raises("belongs to another loop", saros.gather, future)
         kit.raises("belongs to another loop", task.await, task)
      end)
      future:set_result("here")
      assert.are.equal("here", task:await())
   end)

   it("may be settled there: its awaiters wake and its callbacks run in its own", function()
      local future, log = saros.future(), kit.log()
      local task = saros.spawn(future.await, future)
      saros.sleep(0)
      local here = saros.current_loop()
      future:add_done_callback(function() log(saros.current_loop() == here) end)
      local loop <close> = other_loop()
      loop:run(function()
         future:set_result("from there")
         kit.turns(3)
         assert.are.equal(0, #log)
         assert.are.equal("from there", future:await()) -- what is done belongs to everybody
      end)
      assert.are.equal("from there", task:await())
      kit.turns(2)
      assert.are.same({ true }, { table.unpack(log) })
   end)
end)

describe("saros.await", function()
   it("takes tasks, futures and numbers of seconds", function()
      local future = saros.future()
      future:set_result("f")
      assert.are.equal("f", saros.await(future))
      assert.are.equal("t", saros.await(saros.spawn(function() return "t" end)))
      assert.is_true(saros.await(0))
      assert.is_true(saros.await(0.001))
   end)

   it("calls __await of anything else, which may await", function()
      local awaitable = setmetatable({ n = 3 }, {
         __await = function(self)
            saros.sleep(0)
            return self.n, nil
         end,
      })
      assert.are.same({ n = 2, 3, nil }, table.pack(saros.await(awaitable)))
   end)

   it("passes on what __await raises", function()
      local awaitable = setmetatable({}, { __await = function() error("inside", 0) end })
      assert.are.equal("inside", (kit.error_of(saros.await, awaitable)))
   end)

   it("names what it expected when it gets something else", function()
      for _, value in ipairs({ "1", true, {}, print, io.stdout }) do
         kit.raises("bad argument #1", saros.await, value)
      end
      kit.raises("bad argument #1", saros.await)
      kit.raises("bad argument #1", saros.await, nil)
   end)
end)

describe("awaiting in odd places", function()
   it("works inside pcall, xpcall, metamethods, iterators and __close", function()
      local log = kit.log()
      local function pause(name)
         saros.sleep(0)
         log(name)
         return name
      end
      local meta = {
         __index = function(_, key) return pause(key) end,
         __add = function() return pause("add") end,
         __concat = function() return pause("concat") end,
         __call = function() return pause("call") end,
         __lt = function() return pause("lt") ~= nil end,
         __eq = function() return pause("eq") ~= nil end,
         __len = function() return pause("len") end,
         __close = function() pause("close") end,
      }
      local object, other = setmetatable({}, meta), setmetatable({}, meta)
      assert(pcall(pause, "pcall"))
      assert(xpcall(pause, print, "xpcall"))
      do
         local _ <close> = object
         select("#", object.index, object + 1, object .. "", object(), object < other, object == other, #object)
      end
      for _ in function(_, last) return not last and pause("iterator") or nil end do end
      assert.are.equal("pcall xpcall index add concat call lt eq len close iterator", table.concat(log, " "))
   end)

   it("names the function that cannot be suspended", function()
      local function nap() saros.sleep(0) end
      kit.raises("inside 'table.sort'", table.sort, { 3, 2, 1 }, function(a, b)
         nap()
         return a < b
      end)
      kit.raises("inside 'string.gsub'", string.gsub, "abc", ".", nap)
      kit.raises("inside 'tostring'", tostring, setmetatable({}, { __tostring = nap }))
      kit.raises("inside 'load'", function() assert(load(nap)) end)
   end)

   it("is refused in a finalizer, and harms nobody", function()
      local text
      setmetatable({}, { __gc = function() text = kit.text_of(saros.sleep, 0) end })
      collectgarbage()
      assert.is_truthy(text:find("cannot await", 1, true))
   end)
end)
