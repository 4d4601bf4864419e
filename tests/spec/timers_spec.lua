-- timers_spec.lua: sleep, sleep_until, now, call_soon, call_later, call_at: order, ties, cancellation, odd numbers.

local saros = require "saros"
local kit = require "support.kit"
require("support.leaks")(before_each, after_each)

local nan = 0 / 0

describe("saros.sleep", function()
   it("58: never ends early, and returns true", function()
      for _, seconds in ipairs({ 0.0001, 0.001, 0.0035 }) do
         local began = saros.now()
         assert.is_true(saros.sleep(seconds))
         assert.is_true(saros.now() - began >= seconds - 1e-9) -- in virtual time it ends to the nanosecond, which is rounded
      end
   end)

   it("30: of 0 gives way exactly once", function()
      local log = kit.log()
      local other = saros.spawn(function()
         log("other 1")
         saros.sleep(0)
         log("other 2")
      end)
      saros.sleep(0)
      log("main 1")
      saros.sleep(0)
      log("main 2")
      other:await()
      assert.are.equal("other 1, main 1, other 2, main 2", table.concat(log, ", "))
   end)

   it("wakes sleepers in the order of their deadlines", function()
      local log, tasks, base = kit.log(), {}, saros.now() -- one base: the first steps may be far apart
      for _, ms in ipairs({ 5, 1, 4, 2, 3 }) do
         tasks[#tasks + 1] = saros.spawn(function()
            saros.sleep_until(base + ms / 1000)
            log(ms)
         end)
      end
      saros.gather(tasks)
      assert.are.equal("12345", table.concat(log))
   end)

   it("counts NaN as an error and everything below 0 as 0", function()
      kit.raises("bad argument #1 to 'saros.sleep'", saros.sleep, nan)
      kit.raises("NaN", saros.sleep, nan)
      for _, seconds in ipairs({ 0, -0.0, -1, -1e300, -math.huge, math.mininteger }) do
         local began = saros.now()
         assert.is_true(saros.sleep(seconds))
         assert.is_true(saros.now() - began < 0.5)
      end
   end)

   it("takes numerals in strings, as Lua's own functions do, and nothing else", function()
      assert.is_true(saros.sleep("0.001"))
      for _, value in ipairs({ "x", {}, true, print }) do kit.raises("bad argument #1", saros.sleep, value) end
      kit.raises("bad argument #1", saros.sleep)
      kit.raises("bad argument #1", saros.sleep, nil)
   end)

   it("of something huge is for ever, without overflow", function()
      local tasks = {}
      for i, seconds in ipairs({ math.huge, 1e300, 1e10, 2 ^ 31 / 1000, 2 ^ 53, 2 ^ 63, math.maxinteger }) do
         tasks[i] = saros.spawn(saros.sleep, seconds)
      end
      saros.sleep(0.003)
      for _, task in ipairs(tasks) do
         assert.is_false(task:done())
         task:cancel()
      end
      saros.sleep(0)
   end)

   it("30: ends its timer when it is cancelled", function()
      local before = saros._pending()
      local task = saros.spawn(saros.sleep, 1000)
      saros.sleep(0)
      assert.are.equal(before + 1, (saros._pending()))
      task:cancel()
      saros.sleep(0)
      assert.are.equal(before, (saros._pending()))
   end)

   it("until a time in the past returns, until a time to come waits", function()
      assert.is_true(saros.sleep_until(saros.now() - 10))
      local t = saros.now() + 0.003
      assert.is_true(saros.sleep_until(t))
      assert.is_true(saros.now() >= t)
      kit.raises("NaN", saros.sleep_until, nan)
   end)

   it("58: until a time is not over before now() says so, to the last bit", function()
      for i = 1, 200 do
         local time = saros.now() + i * 0.0000007
         saros.sleep_until(time)
         assert.is_true(saros.now() >= time)
      end
   end)

   it("does not drift where sleep_until follows a fixed grid", function()
      local began = saros.now()
      for i = 1, 5 do saros.sleep_until(began + i * 0.002) end
      assert.is_true(saros.now() >= began + 0.01)
   end)

   it("keeps twenty thousand sleepers in order while half of them are cancelled", function()
      local count, last, wrong = 0, 0, 0
      local tasks = {}
      local base = saros.now() + 0.05
      for i = 1, 20000 do
         local at = base + (i * 7919 % 20000) * 1e-6
         tasks[i] = saros.spawn(function()
            saros.sleep_until(at)
            if at < last then wrong = wrong + 1 end
            last = at
            count = count + 1
         end)
      end
      saros.sleep(0)
      for i = 1, 20000, 2 do tasks[i]:cancel() end
      for i = 2, 20000, 2 do tasks[i]:await() end
      assert.are.equal(10000, count)
      assert.are.equal(0, wrong)
   end)
end)

describe("saros.call_soon", function()
   it("1: calls in the order of the calls, each once, in a later turn", function()
      local log = kit.log()
      for i = 1, 8 do saros.call_soon(function() log(i) end) end
      assert.are.equal(0, #log)
      saros.sleep(0)
      assert.are.equal("12345678", table.concat(log))
      kit.turns(3)
      assert.are.equal(8, #log)
   end)

   it("1: lets what a callback adds wait for the next turn", function()
      local log = kit.log()
      saros.call_soon(function()
         log("a")
         saros.call_soon(function() log("c") end)
      end)
      saros.call_soon(function() log("b") end)
      saros.sleep(0)
      assert.are.equal("ab", table.concat(log))
      saros.sleep(0)
      assert.are.equal("abc", table.concat(log))
   end)

   it("passes arguments, nils included, up to 250", function()
      local got
      saros.call_soon(function(...) got = table.pack(...) end, nil, 2, nil)
      saros.sleep(0)
      assert.are.same({ n = 3, nil, 2, nil }, got)
      saros.call_soon(function(...) got = select("#", ...) end, table.unpack({}, 1, 250))
      saros.sleep(0)
      assert.are.equal(250, got)
      kit.raises("too many arguments", saros.call_soon, print, table.unpack({}, 1, 251))
   end)

   it("2: cannot be starved by, nor starve, timers: a chain of calls lets a timer through", function()
      local stop, count = false, 0
      local function again()
         count = count + 1
         if not stop then saros.call_soon(again) end
      end
      saros.call_soon(again)
      saros.sleep(0.003)
      stop = true
      saros.sleep(0)
      assert.is_true(count > 3)
   end)

   it("runs outside any task", function()
      local task = "unset"
      saros.call_soon(function() task = saros.current_task() end)
      saros.sleep(0)
      assert.is_nil(task)
   end)

   it("can be cancelled before its turn, once", function()
      local called = false
      local handle = saros.call_soon(function() called = true end)
      assert.is_true(handle:cancel())
      assert.is_false(handle:cancel())
      kit.turns(2)
      assert.is_false(called)
   end)

   it("may be cancelled by a callback that runs before it in the same turn", function()
      local called, second = false, nil
      saros.call_soon(function() assert(second:cancel()) end)
      second = saros.call_soon(function() called = true end)
      kit.turns(2)
      assert.is_false(called)
   end)

   it("takes only functions", function()
      for _, value in ipairs({ 1, "x", {}, setmetatable({}, { __call = print }) }) do
         kit.raises("bad argument #1", saros.call_soon, value)
         kit.raises("bad argument #2", saros.call_later, 1, value)
         kit.raises("bad argument #2", saros.call_at, 1, value)
      end
      kit.raises("bad argument #1", saros.call_soon)
   end)
end)

describe("saros.call_later and call_at", function()
   it("3: call in the order of their times; equal ones in the order of their start", function()
      local log = kit.log()
      local t = saros.now() + 0.004
      saros.call_at(t, function() log("b") end)
      saros.call_at(t, function() log("c") end)
      saros.call_at(t - 0.002, function() log("a") end)
      saros.call_at(t, function() log("d") end)
      saros.sleep_until(t)
      saros.sleep(0)
      assert.are.equal("abcd", table.concat(log))
   end)

   it("never call early", function()
      local called_at
      local t = saros.now() + 0.002
      saros.call_later(0.002, function() called_at = saros.now() end)
      kit.wait_until(function() return called_at end)
      assert.is_true(called_at >= t - 1e-9) -- the sum was rounded
   end)

   it("4: call at the next turn where the time has passed", function()
      local log = kit.log()
      saros.call_at(saros.now() - 5, function() log("at") end)
      saros.call_later(-5, function() log("later") end)
      kit.turns(2)
      assert.are.equal("at later", table.concat(log, " "))
   end)

   it("can be cancelled, by themselves and by each other", function()
      local log, second, own = kit.log(), nil, nil
      local t = saros.now() + 0.002
      own = saros.call_at(t, function()
         log("own " .. tostring(own:cancel()))
         log("second " .. tostring(second:cancel()))
      end)
      second = saros.call_at(t, function() log("must not run") end)
      saros.sleep_until(t)
      kit.turns(2)
      assert.are.equal("own false, second true", table.concat(log, ", "))
   end)

   it("for ever is a handle that can be cancelled", function()
      local handle = saros.call_later(math.huge, print)
      assert.is_true(handle:cancel())
      assert.is_false(handle:cancel())
      kit.raises("NaN", saros.call_later, nan, print)
      kit.raises("NaN", saros.call_at, nan, print)
   end)

   it("keep their function alive, and let go of it afterwards", function()
      local weak = setmetatable({}, { __mode = "v" })
      local called = 0
      do
         local upvalue = {}
         weak.value = upvalue
         saros.call_later(0.001, function()
            called = called + 1
            return upvalue
         end)
      end
      collectgarbage()
      kit.wait_until(function() return called == 1 end)
      collectgarbage()
      collectgarbage()
      assert.is_nil(weak.value)
   end)
end)

describe("saros.now", function()
   it("4: never goes back and does move", function()
      local began = saros.now()
      local last = began
      for _ = 1, 1000 do
         local now = saros.now()
         assert(now >= last)
         last = now
      end
      saros.sleep(0.001)
      assert.is_true(saros.now() > began)
   end)
end)
