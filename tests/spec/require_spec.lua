-- require_spec.lua: modules that await while they load, and searchers that do; two tasks that want the same one.

local saros = require "saros"
local kit = require "support.kit"
require("support.leaks")(before_each, after_each)

-- Modules of this spec are preloaded; each case uses names of its own, which are forgotten behind it.
local names = {}
local function module(name, loader)
   names[#names + 1] = name
   package.preload[name] = loader
   return name
end

after_each(function()
   for _, name in ipairs(names) do package.preload[name], package.loaded[name] = nil, nil end
   names = {}
end)

describe("require", function()
   it("loads a module whose body awaits, also in a generator, with Lua's own arguments and results", function()
      local seen
      module("t.awaits", function(...)
         seen = table.pack(...)
         saros.sleep(0.001)
         return { name = ... }
      end)
      local result = table.pack(coroutine.wrap(function() return require "t.awaits" end)())
      assert.are.same({ n = 2, { name = "t.awaits" }, ":preload:" }, result)
      assert.are.same({ n = 2, "t.awaits", ":preload:" }, seen)
      assert.are.same({ n = 1, package.loaded["t.awaits"] }, table.pack(require "t.awaits"))
   end)

   it("gives true for a module that returns nothing, and what it has put into package.loaded itself", function()
      module("t.nothing", function() saros.sleep(0) end)
      module("t.own", function(name)
         saros.sleep(0)
         package.loaded[name] = "its own"
      end)
      module("t.no", function()
         saros.sleep(0)
         return false
      end)
      assert.is_true((require "t.nothing"))
      assert.are.equal("its own", (require "t.own"))
      assert.is_false((require "t.no"))
   end)

   it("loads once for two tasks that want the same module: the second waits", function()
      local count = 0
      module("t.once", function()
         saros.sleep(0.001)
         count = count + 1
         return { count }
      end)
      local a, b, c = saros.gather(function() return require "t.once" end, function() return require "t.once" end,
         function()
            saros.sleep(0.0005)
            return require "t.once"
         end)
      assert.are.equal(1, count)
      assert.is_true(a == b and b == c)
   end)

   it("hands a load that has failed, or whose task was cancelled, on to the next who waits", function()
      local count = 0
      module("t.fails", function()
         saros.sleep(0.001)
         count = count + 1
         if count == 1 then error("not yet", 0) end
         saros.sleep(count == 2 and 1000 or 0)
         return count
      end)
      local first = saros.spawn(require, "t.fails")
      local second = saros.spawn(require, "t.fails")
      local third = saros.spawn(require, "t.fails")
      kit.raises("not yet", first.await, first)
      kit.wait_until(function() return count == 2 end)
      second:cancel()
      assert.are.equal(3, (third:await()))
      assert.is_true(second:cancelled())
   end)

   it("hands it on where the coroutine that loads is closed", function()
      local count = 0
      module("t.closed", function()
         count = count + 1
         saros.sleep(count == 1 and 1000 or 0)
         return count
      end)
      local co = coroutine.create(require)
      local first = saros.spawn(coroutine.resume, co, "t.closed")
      local second = saros.spawn(require, "t.closed")
      kit.turns(2)
      assert.is_true(coroutine.close(co))
      assert.are.equal(2, (second:await()))
      assert.is_false((first:await()))
   end)

   it("finds modules by a searcher that awaits, and tells what all of them have said where there is none", function()
      local function searcher(name)
         saros.sleep(0)
         if name == "t.found" then
            return function(...)
               saros.sleep(0)
               return table.concat({ ... }, " ")
            end, "data"
         end
         return "no such thing at t"
      end
      table.insert(package.searchers, 1, searcher)
      local result = table.pack(require(module("t.found")))
      local text = kit.text_of(require, "t.lost")
      table.remove(package.searchers, 1)
      assert.are.same({ n = 2, "t.found data", "data" }, result)
      assert.is_truthy(text:find("^module 't%.lost' not found:\n\tno such thing at t\n\tno field package.preload%['t%.lost'%]\n\tno file"),
         text)
   end)

   it("says so where modules require each other in a circle, instead of going round for ever", function()
      module("t.a", function() return require "t.b" end)
      module("t.b", function()
         saros.sleep(0)
         return require "t.a"
      end)
      kit.raises("module 't.a' is required while it loads: modules that require each other in a circle", require, "t.a")
      kit.raises("module 't.b' is required while it loads", require, "t.b")
   end)

   it("loads in callbacks too, where nothing can await; and where a task loads it says why it cannot", function()
      module("t.plain", function() return "plain" end)
      module("t.slow", function() saros.sleep(0.001) end)
      local said = {}
      local loading = saros.spawn(require, "t.slow")
      kit.turns()
      saros.call_soon(function()
         said[1] = require "t.plain"
         said[2] = kit.text_of(require, "t.slow")
         package.loaded["t.plain"] = nil
         module("t.plain", function() saros.sleep(0) end)
         said[3] = kit.text_of(require, "t.plain")
      end)
      loading:await()
      assert.are.equal("plain", said[1])
      assert.is_truthy(said[2]:find("module 't.slow' is being loaded by a task", 1, true))
      assert.is_truthy(said[3]:find("cannot await outside a task", 1, true))
   end)

   it("passes on the errors of a loader, and refuses what is no name", function()
      module("t.error", function() error({ 1 }) end)
      assert.are.same({ 1 }, (kit.error_of(require, "t.error")))
      kit.raises("bad argument #1 to 'require'", require, {})
   end)
end)
