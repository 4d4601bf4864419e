-- memory_spec.lua: whatever is done again and again leaves no memory behind: no anchor, no registry entry, no buffer.

local saros = require "saros"
local kit = require "support.kit"
require("support.leaks")(before_each, after_each)

local function used()
   kit.turns(3)
   collectgarbage()
   collectgarbage()
   return collectgarbage("count")
end

-- Does `fn` 200 times to fill what is kept on purpose, then 1,500 times more; those may cost 16 bytes each at most. A
-- table that had to grow once for it stays as it is the next time; a leak grows again.
local function check_flat(fn)
   for i = 1, 200 do fn(i) end
   local growth
   for _ = 1, 3 do
      local before = used()
      for i = 1, 1500 do fn(i) end
      growth = used() - before
      if growth < 24 then return end
   end
   error(("%.1f KB were not given back"):format(growth))
end

local cases = {
   ["tasks that end well"] = function() saros.spawn(function() return 1, 2, 3 end):await() end,
   ["tasks that suspend"] = function() saros.spawn(saros.sleep, 0):await() end,
   ["tasks that fail and are awaited"] = function()
      local task = saros.spawn(error, "x")
      pcall(task.await, task)
   end,
   ["tasks that are cancelled with a reason, before and after they begin"] = function(i)
      local task = saros.spawn(saros.sleep, 100)
      if i % 2 == 0 then saros.sleep(0) end
      task:cancel({ "reason" })
      saros.pcall(task.await, task)
   end,
   ["tasks that are cancelled with a reason and end all the same"] = function()
      local task = saros.spawn(function() saros.pcall(saros.sleep, 100) end)
      saros.sleep(0)
      task:cancel({ "reason" })
      task:await()
   end,
   ["tasks whose coroutine was seen"] = function(i)
      local task = saros.spawn(function()
         coroutine.running()
         if i % 3 == 0 then error("x") end
         saros.sleep(i % 3 == 1 and 100 or 0)
      end)
      saros.sleep(0)
      task:cancel()
      saros.pcall(task.await, task)
   end,
   ["tasks with names, callbacks and results"] = function()
      local task = saros.spawn(function(...) return ... end, 1, 2):set_name("name")
      task:add_done_callback(function() end)
      task:await()
   end,
   ["futures that are settled in every way"] = function(i)
      local future = saros.future()
      future:add_done_callback(function() end)
      if i % 3 == 0 then future:set_result({}) elseif i % 3 == 1 then future:set_error({}) else future:cancel({}) end
      pcall(future.await, future)
   end,
   ["waits that are given up"] = function() saros.timeout(0, saros.await, saros.future()) end,
   ["scopes that are cancelled with a reason"] = function(i)
      saros.scope(function(scope)
         scope:cancel({ "reason" })
         if i % 2 == 0 then saros.sleep(0) end
      end)
   end,
   ["scopes whose deadline is moved"] = function()
      saros.scope({ timeout = 100 }, function(scope)
         scope:deadline(saros.now() + 50)
         scope:deadline(false)
      end)
   end,
   ["shields"] = function() saros.shield(saros.sleep, 0) end,
   ["gathers that end, fail and are cancelled"] = function(i)
      local function child() saros.sleep(0) if i % 3 == 0 then error("x") end end
      pcall(saros.gather, child, 0, { saros.future() } and 0)
      saros.timeout(0, saros.gather, 100, saros.future())
      saros.gather({ child, error }, { return_errors = true })
   end,
   ["calls, told and cancelled"] = function()
      saros.call_soon(function() end)
      saros.call_soon(function() end):cancel()
      saros.call_later(100, function() end):cancel()
      saros.call_later(math.huge, function() end):cancel()
      saros.sleep(0)
   end,
   ["queues with waiters that give up"] = function()
      local q = saros.queue(1)
      saros.timeout(0, q.get, q)
      q:put({})
      saros.timeout(0, q.put, q, {})
      q:shutdown(true)
   end,
   ["one queue, put and got"] = (function()
      local q = saros.queue()
      return function()
         for i = 1, 5 do q:put({ i }) end
         for _ = 1, 5 do q:get() end
      end
   end)(),
   ["errors that are caught"] = function()
      pcall(saros.try, nil, "x", "EIO")
      saros.protect(saros.try)(nil, "x")
      pcall(saros.scope, error, "x")
      saros.pcall(error)
   end,
   ["connections"] = function()
      local client, server = kit.pair()
      client:write("line\nrest")
      server:read()
      client:close()
      server:close()
      saros.sleep(0)
   end,
   ["connections that fail, and addresses that are none"] = function()
      pcall(saros.connect, "nonsense")
      saros.connect(kit.nobody() .. ":80")
      saros.connect("unix:/no/such/socket")
      saros.listen("192.0.2.1:1")
   end,
   ["loops"] = function(i)
      if i % 10 > 0 then return end
      local loop <close> = saros.loop({ driver = kit.driver })
      loop:run(function()
         saros.spawn(saros.sleep, 100)
         saros.call_later(100, print)
         saros.sleep(0)
      end)
   end,
   ["loops that nobody closes in time, and whose tasks are killed"] = function(i)
      if i % 10 > 0 then return end
      local loop = saros.loop({ driver = kit.driver })
      loop:spawn(saros.shield, saros.gather, saros.future(), saros.future())
      loop:step()
      loop:close()
   end,
}

describe("memory stays flat over and over again:", function()
   local names = {}
   for name in pairs(cases) do names[#names + 1] = name end
   table.sort(names)
   for _, name in ipairs(names) do
      it(name, function() check_flat(cases[name]) end)
   end
end)

describe("a crowd of tasks", function()
   it("costs no more than as many that came one by one, once they all wait", function()
      local function cost(together)
         local tasks, before = {}, used()
         for i = 1, 5000 do
            tasks[i] = saros.spawn(saros.sleep, 100)
            if not together then saros.sleep(0) end
         end
         local grown = used() - before
         for _, task in ipairs(tasks) do
            task:cancel()
            saros.pcall(task.await, task)
         end
         return grown
      end
      cost(false) -- fills what is kept on purpose
      local alone = cost(false)
      assert.is_true(cost(true) < alone + 64) -- KB; a table of 5,000 that have not begun has twice that
   end)
end)
