-- errors_spec.lua: try, protect, error_code; error values of every kind; tracebacks; errors that nobody awaited.

local saros = require "saros"
local kit = require "support.kit"
require("support.leaks")(before_each, after_each)

describe("saros.try", function()
   it("returns its arguments where the first is true", function()
      assert.are.same({ n = 3, 1, nil, 3 }, table.pack(saros.try(1, nil, 3)))
      assert.are.equal("", saros.try(""))
      kit.raises("bad argument #1", saros.try)
   end)

   it("raises an error object with message and code where it is nil or false", function()
      local err, text = kit.error_of(saros.try, nil, "no luck", "EPERM")
      assert.are.equal("no luck", err.message)
      assert.are.equal("EPERM", err.code)
      assert.are.equal("no luck", text)
      assert.are.equal("failed", (kit.error_of(saros.try, false)).message)
      assert.is_nil((kit.error_of(saros.try, nil, "x")).code)
   end)

   it("keeps the operation and the address of an error of ours", function()
      local address = kit.free_address()
      local err = kit.error_of(function() return saros.try(saros.connect(address)) end)
      assert.are.equal("ECONNREFUSED", err.code)
      assert.are.equal("connect", err.op)
      assert.are.equal(address, err.address)
      assert.is_truthy(tostring(err):find(address, 1, true))
   end)

   it("does not split messages of others into parts", function()
      for _, message in ipairs({ "plain", "two words", "x.lua:3: oops", "a b c: d", ": x", "a : b" }) do
         local err = kit.error_of(saros.try, nil, message)
         assert.are.equal(message, err.message)
         assert.is_true(err.op == nil or message:sub(1, #err.op + 1) == err.op .. " ")
      end
   end)

   it("survives messages that are no strings", function()
      for _, message in ipairs({ 42, {}, true, print }) do
         assert.are.equal(message, (kit.error_of(saros.try, nil, message)).message)
      end
   end)
end)

describe("saros.protect", function()
   it("gives back message and code of what saros.try raised inside, however deep", function()
      local function deep(n)
         saros.sleep(0)
         if n > 0 then return (deep(n - 1)) end
         return saros.try(nil, "deep down", "EIO")
      end
      assert.are.same({ n = 3, nil, "deep down", "EIO" }, table.pack(saros.protect(deep)(5)))
   end)

   it("passes results, bugs and cancellations through", function()
      assert.are.same({ n = 3, 1, nil, 3 }, table.pack(saros.protect(function(...) return ... end)(1, nil, 3)))
      assert.are.equal("bug", (kit.error_of(saros.protect(error), "bug", 0)))
      kit.raises("attempt to index", saros.protect(function() return (nil).x end))
      local passed = false
      local task = saros.spawn(saros.protect(function()
         saros.sleep(100)
         passed = true
      end))
      saros.sleep(0)
      task:cancel()
      saros.pcall(task.await, task)
      assert.is_true(task:cancelled())
      assert.is_false(passed)
   end)

   it("turns the ECANCELED of an awaited task back as well", function()
      local task = saros.spawn(saros.sleep, 100)
      task:cancel("why")
      local result, message, code = saros.protect(task.await)(task)
      assert.is_nil(result)
      assert.is_truthy(message:find("why", 1, true))
      assert.are.equal("ECANCELED", code)
   end)

   it("takes only a function", function()
      kit.raises("bad argument #1", saros.protect)
      kit.raises("bad argument #1", saros.protect, {})
   end)
end)

describe("saros.error_code", function()
   it("is the code of an error of ours, and nil of anything else", function()
      assert.are.equal("EPERM", saros.error_code((kit.error_of(saros.try, nil, "x", "EPERM"))))
      for _, value in ipairs({ "EPERM", 1, { code = "EPERM" }, print, true }) do
         assert.is_nil(saros.error_code(value))
      end
      assert.is_nil(saros.error_code(nil))
      kit.raises("bad argument #1", saros.error_code)
   end)
end)

describe("an error in a task", function()
   it("keeps its value on its way to the awaiter, of whatever type it is", function()
      local object = setmetatable({}, { __tostring = function() error("failing __tostring") end })
      for _, value in ipairs({ "text", 42, 0.5, true, false, {}, print, io.stdout, saros.future(),
                               coroutine.create(print), object, ("x"):rep(1000000) }) do
         local task = saros.spawn(function()
            saros.sleep(0)
            error(value, 0)
         end)
         assert.is_true(rawequal(value, (select(2, pcall(task.await, task)))))
         assert.is_true(rawequal(value, task:error()))
      end
   end)

   it("16: may be nil", function()
      local task = saros.spawn(function() error(nil) end)
      assert.are.same({ n = 2, false, nil }, table.pack(pcall(task.await, task)))
      assert.is_nil(task:error())
      assert.is_true(task:done())
   end)

   it("keeps the traceback of the place where it was raised, over several awaits", function()
      local function culprit() error("boom") end
      local function middle() return saros.spawn(function() culprit() end):await() end
      local outer = saros.spawn(function() return saros.timeout(10, function() return (middle()) end) end)
      pcall(outer.await, outer)
      assert.is_truthy(outer:traceback():find("culprit", 1, true), outer:traceback())
   end)

   it("keeps it while its <close> variables catch other errors, and is told whatever becomes of it", function()
      local function closing(how) return setmetatable({}, { __close = function() how(error, "another") end }) end
      local function culprit() error("boom") end
      for _, how in ipairs({ pcall, saros.pcall, function(...) return xpcall(error, tostring, select(2, ...)) end,
                             coroutine.wrap(function(...) pcall(...) end), saros.protect(pcall) }) do
         local task = saros.spawn(function()
            local _ <close> = closing(how)
            culprit()
         end)
         pcall(task.await, task)
         assert.is_truthy(task:traceback():find("culprit", 1, true), task:traceback())
      end
      local output, code = kit.script([[
         local _ <close> = setmetatable({}, { __close = function()
            local other = saros.spawn(error, "another")
            saros.pcall(other.await, other)
         end })
         error("the first")
      ]])
      assert.is_truthy(output:find("saros: .*the first"), output)
      assert.are.equal(1, code)
   end)

   it("keeps it through gather, run and scopes", function()
      local function culprit() error("boom " .. math.random()) end
      local place = "errors_spec.lua:" .. debug.getinfo(culprit, "S").linedefined
      local ways = {
         function() saros.gather(culprit, 0.01) end,
         function() saros.run(culprit) end,
         function() saros.scope(culprit) end,
         function() saros.shield(culprit) end,
         function() saros.scope({ timeout = 5 }, function() saros.gather({ function() saros.run(culprit) end }) end) end,
      }
      for i, way in ipairs(ways) do
         local task = saros.spawn(way)
         pcall(task.await, task)
         assert(task:traceback():find(place, 1, true), "way " .. i .. ": " .. task:traceback())
      end
      saros.sleep(0.011)
   end)

   it("raised twice with the same text shows the second place the second time", function()
      local function first_place() error("same", 0) end
      local function second_place() error("same", 0) end
      pcall(function() saros.scope(first_place) end)
      local task = saros.spawn(function() second_place() end)
      pcall(task.await, task)
      assert.is_truthy(task:traceback():find("second_place", 1, true), task:traceback())
      assert.is_nil(task:traceback():find("saros.scope", 1, true))
   end)

   it("of deep recursion is an ordinary error", function()
      local function endless() return endless() + 1 end
      local task = saros.spawn(endless)
      assert.is_truthy(tostring(select(2, pcall(task.await, task))):find("stack overflow", 1, true))
      local function nested() return pcall(nested) end
      assert.is_truthy(saros.spawn(nested):await() ~= nil)
      local deep = saros.spawn(function()
         local function f(n)
            if n == 0 then return saros.sleep(0) end
            return (f(n - 1))
         end
         return f(150000)
      end)
      assert.is_true(deep:await())
   end)

   it("of a metamethod or C function reaches the awaiter like any other", function()
      kit.raises("attempt to call a nil value", saros.run, function() return (nil)() end)
      kit.raises("bad argument #1 to 'rep'", saros.run, function() return string.rep() end)
   end)
end)

describe("an error that nobody awaits", function()
   local function count(text, part)
      return select(2, text:gsub(part:gsub("%W", "%%%0"), ""))
   end

   it("14: is reported once, at the loop's end, with name, place and traceback; the host exits 1", function()
      local output, code = kit.script([[
         local function culprit() error("lost error") end
         saros.spawn(function() culprit() end):set_name("loser")
         saros.sleep(0.01)
         print("main ends")]])
      assert.are.equal(1, code, output)
      assert.are.equal(1, count(output, "task loser (spawned at"))
      assert.is_truthy(output:find("culprit", 1, true), output)
      assert.is_truthy(output:find("failed and nobody awaited it: ", 1, true))
      assert.are.equal(1, count(output, "lost error"))
      assert.is_truthy(output:find("main ends", 1, true) < output:find("loser", 1, true))
   end)

   it("14: is not reported where somebody awaited it, asked for it, or gathered it", function()
      local output, code = kit.script([[
         local function fail() error("seen") end
         local task = saros.spawn(fail)
         pcall(task.await, task)
         task = saros.spawn(fail)
         saros.sleep(0.001)
         task:error()
         pcall(saros.gather, fail)
         saros.gather({fail}, {return_errors = true})
         pcall(saros.run, fail)
         print("quiet")]])
      assert.are.equal("quiet\n", output)
      assert.are.equal(0, code)
   end)

   it("may be of any type, nil or with a __tostring that fails included", function()
      for _, value in ipairs({ "nil", "{}", "42", "true", "print", "saros.future()", "io.stdout",
                               "setmetatable({}, {__tostring = function() error('inner') end})",
                               "setmetatable({}, {__tostring = function() return 1 end})",
                               "setmetatable({}, {__name = 'My.Type'})", "('x'):rep(100000)" }) do
         local output, code = kit.script("saros.spawn(function() error(" .. value .. ", 0) end):set_name('odd')\n"
            .. "saros.sleep(0.001)")
         assert.are.equal(1, code, output)
         assert.are.equal(1, count(output, "task odd (spawned at"), output)
      end
   end)

   it("14: is reported after a time that can be set, though main goes on, and a later await still raises it", function()
      local output = kit.script([[
         local loop <close> = saros.loop{report_after = 0.01}
         loop:run(function()
            local task = saros.spawn(error, "late", 0)
            saros.sleep(0.1)
            print("now awaited", pcall(task.await, task))
         end)]])
      assert.are.equal(1, count(output, "nobody awaited it"))
      assert.is_truthy(output:find("now awaited\tfalse\tlate", 1, true))
      assert.is_truthy(output:find("nobody", 1, true) < output:find("now awaited", 1, true))
   end)

   it("9: in a callback is reported with its traceback, and harms nobody", function()
      local output, code = kit.script([[
         local function culprit() error("in a callback") end
         saros.call_soon(function() culprit() end)
         saros.call_soon(print, "next")
         saros.call_later(0.001, error, setmetatable({}, {__tostring = function() error("inner") end}))
         saros.sleep(0.01)
         print("alive")]])
      assert.are.equal(1, code, output)
      assert.is_truthy(output:find("a callback failed: ", 1, true))
      assert.is_truthy(output:find("culprit", 1, true), output)
      assert.is_truthy(output:find("next\n", 1, true))
      assert.is_truthy(output:find("alive\n", 1, true))
   end)

   it("of thousands of tasks is reported thousands of times, each once", function()
      local output, code = kit.script([[
         for i = 1, 2000 do saros.spawn(error, "lost " .. i, 0) end
         saros.sleep(0)]])
      assert.are.equal(1, code)
      assert.are.equal(2000, count(output, "nobody awaited it"))
   end)
end)
