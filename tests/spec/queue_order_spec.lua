-- queue_order_spec.lua: saros.lifo_queue and saros.priority_queue: which item comes next, and items that cannot be compared.

local saros = require "saros"
local kit = require "support.kit"
require("support.leaks")(before_each, after_each)

local function drain(q)
   local list = {}
   for item in q.try_get, q do list[#list + 1] = item end
   return list
end

describe("saros.lifo_queue", function()
   it("37: gives what was put last", function()
      local q = saros.lifo_queue()
      for i = 1, 5 do q:put(i) end
      assert.are.equal(5, q:get())
      q:put(6)
      assert.are.same({ 6, 4, 3, 2, 1 }, drain(q))
      assert.is_true(q:empty())
   end)

   it("has a bound, waiters in their order, join and shutdown as every queue", function()
      local q = saros.lifo_queue(1)
      q:put(1)
      local putter = saros.spawn(function() return q:put(2) end)
      saros.sleep(0)
      assert.is_true(q:full())
      assert.are.equal(1, q:get())
      assert.is_true(putter:await())
      q:shutdown()
      assert.are.equal(2, q:get())
      assert.are.equal("ESHUTDOWN", (select(3, q:get())))
      q:task_done()
      q:task_done()
      assert.is_true(q:join())
      kit.raises("bad argument #1", saros.lifo_queue, -1)
   end)
end)

describe("saros.priority_queue", function()
   it("37: gives the smallest item, of numbers, strings and what has __lt", function()
      local q = saros.priority_queue()
      for _, n in ipairs({ 5, 1, 4, 1.5, 3, 2 }) do q:put(n) end
      assert.are.same({ 1, 1.5, 2, 3, 4, 5 }, drain(q))
      for word in ("the quick brown fox"):gmatch("%a+") do q:put(word) end
      assert.are.same({ "brown", "fox", "quick", "the" }, drain(q))
      local meta = { __lt = function(a, b) return a.n > b.n end }
      for n = 1, 4 do q:put(setmetatable({ n = n }, meta)) end
      assert.are.equal(4, q:get().n)
      assert.are.equal(3, #drain(q))
   end)

   it("takes a function that says which comes first, as table.sort does", function()
      local q = saros.priority_queue(0, function(a, b) return a[1] < b[1] end)
      for _, n in ipairs({ 3, 1, 2 }) do q:put({ n }) end
      assert.are.same({ { 1 }, { 2 }, { 3 } }, drain(q))
      kit.raises("bad argument #2", saros.priority_queue, 0, "less")
      kit.raises("bad argument #1", saros.priority_queue, -1)
   end)

   it("gives equal ones in the order in which they were put", function()
      local q = saros.priority_queue(nil, function(a, b) return a[1] < b[1] end)
      local state, expected = 7, {}
      for i = 1, 500 do
         state = (state * 1103515245 + 12345) % 2147483648
         expected[i] = { state // 65536 % 7, i }
         q:put(expected[i])
         if i % 5 == 0 then q:put(q:get()) expected[i][3] = true end
      end
      local last
      for _, item in ipairs(drain(q)) do
         assert(not last or last[1] <= item[1])
         last = item
      end
      for i = 1, 500 do q:put({ i % 7, i }) end
      last = { -1, 0 }
      for _, item in ipairs(drain(q)) do
         assert(last[1] < item[1] or last[1] == item[1] and last[2] < item[2])
         last = item
      end
   end)

   it("sorts whatever is put and got in between", function()
      local state = 11
      local function draw(n)
         state = (state * 1103515245 + 12345) % 2147483648
         return state // 65536 % n + 1
      end
      local q, model = saros.priority_queue(), {}
      for _ = 1, 3000 do
         if draw(5) <= 3 or #model == 0 then
            local item = draw(1000)
            q:put(item)
            model[#model + 1] = item
            table.sort(model)
         else
            assert.are.equal(table.remove(model, 1), q:get())
         end
         assert(q:size() == #model)
      end
      assert.are.same(model, drain(q))
   end)

   it("gives a waiting getter the smallest that is there when it runs", function()
      local q = saros.priority_queue()
      local getter = saros.spawn(function() return q:get() end)
      saros.sleep(0)
      q:put(2)
      q:put(1)
      assert.are.equal(1, getter:await())
      assert.are.equal(2, q:get())
   end)

   it("that cannot compare an item refuses it, keeps the others, and hands on the place", function()
      local q = saros.priority_queue(2)
      q:put(2)
      kit.raises("attempt to compare", q.put, q, "text")
      kit.raises("attempt to compare", q.try_put, q, {})
      assert.are.equal(1, q:size())
      q:put(1)
      local refused = saros.spawn(function() return kit.text_of(q.put, q, "text") end)
      local behind = saros.spawn(function() return q:put(3) end)
      saros.sleep(0)
      assert.are.equal(1, q:get())
      assert.is_truthy(refused:await():find("attempt to compare", 1, true))
      assert.is_true(behind:await())
      assert.are.same({ 2, 3 }, drain(q))
   end)

   it("whose comparison raises when an item is taken keeps all, and hands on to the next getter", function()
      local broken = false
      local q = saros.priority_queue(0, function(a, b)
         if broken then error("cannot say") end
         return a < b
      end)
      for i = 1, 4 do q:put(i) end
      broken = true
      kit.raises("cannot say", q.get, q)
      kit.raises("cannot say", q.try_get, q)
      assert.are.equal(4, q:size())
      broken = false
      assert.are.same({ 1, 2, 3, 4 }, drain(q))
      local getters, armed = {}, false
      q = saros.priority_queue(0, function(a, b)
         if armed then
            armed = false
            error("cannot say")
         end
         return a < b
      end)
      for i = 1, 4 do
         getters[i] = saros.spawn(i == 1 and function() return kit.text_of(q.get, q) end or function() return q:get() end)
      end
      saros.sleep(0)
      for i = 1, 3 do q:try_put(i) end
      armed = true
      assert.is_truthy(getters[1]:await():find("cannot say", 1, true))
      assert.are.same({ 1, 2, 3 }, { getters[2]:await(), getters[3]:await(), getters[4]:await() })
   end)

   it("is not changed, and does not wait, inside a comparison", function()
      local q
      q = saros.priority_queue(0, function(a, b)
         q:try_get()
         return a < b
      end)
      q:put(1)
      kit.raises("has changed the queue", q.put, q, 2)
      local waits = saros.priority_queue(0, function(a, b)
         saros.sleep(0)
         return a < b
      end)
      waits:put(1)
      kit.raises("cannot await", waits.put, waits, 2)
      assert.are.equal(1, waits:get())
   end)

   it("throws all away at shutdown(true), and lets go of what was taken", function()
      local weak = setmetatable({}, { __mode = "v" })
      local q = saros.priority_queue(0, function(a, b) return a.n < b.n end)
      for i = 1, 3 do
         weak[i] = { n = i }
         q:put(weak[i])
      end
      q:get()
      collectgarbage()
      collectgarbage()
      assert.is_nil(weak[1])
      assert.is_not_nil(weak[2])
      q:shutdown(true)
      collectgarbage()
      collectgarbage()
      assert.is_nil(next(weak))
      assert.are.equal("ESHUTDOWN", (select(3, q:get())))
   end)
end)
