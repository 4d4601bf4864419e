-- misuse_spec.lua: wrong types, wrong objects, wrong places: every mistake is an error that says what is wrong.

local saros = require "saros"
local kit = require "support.kit"
require("support.leaks")(before_each, after_each)

-- One object of each kind, and what to do to end them.
local function zoo()
   local client, server = kit.pair()
   local listener = assert(saros.listen("127.0.0.1:0"))
   local task = saros.spawn(saros.sleep, 1000)
   local call = saros.call_later(1000, print)
   local scope
   saros.scope(function(s) scope = s end)
   local cancelled = select(2, saros.pcall(function()
      saros.scope(function(s)
         s:cancel()
         error((select(2, saros.pcall(saros.sleep, 0))), 0)
      end)
   end))
   local loop = saros.loop({ driver = kit.driver })
   local objects = {
      stream = client, listener = listener, task = task, future = saros.future(), queue = saros.queue(), scope = scope,
      call = call, loop = loop, error = (kit.error_of(saros.try, nil, "x")), cancelled = cancelled,
   }
   return objects, function()
      client:close()
      server:close()
      listener:close()
      task:cancel()
      call:cancel()
      loop:close()
      saros.sleep(0)
   end
end

local methods = {
   stream = { "read", "read_some", "read_exactly", "read_until", "lines", "write", "shutdown", "flush", "close",
              "local_address", "peer_address" },
   listener = { "accept", "address", "close" },
   task = { "await", "done", "cancelled", "result", "error", "cancel", "name", "set_name", "traceback", "add_done_callback",
            "remove_done_callback" },
   future = { "await", "done", "cancelled", "result", "error", "cancel", "state", "set_result", "set_error",
              "add_done_callback", "remove_done_callback" },
   queue = { "put", "get", "try_put", "try_get", "items", "task_done", "join", "shutdown", "size", "empty", "full" },
   scope = { "cancel", "deadline", "expired", "cancelled" },
   call = { "cancel" },
   loop = { "run", "spawn", "call_soon", "now", "stop", "step", "close", "is_running", "driver", "run_forever",
            "run_until_complete" },
}

describe("every method", function()
   it("refuses every object that is not its own, by name", function()
      local objects, done = zoo()
      local fakes = { false, 0, "text", print, {}, coroutine.create(print), io.stdout, setmetatable({}, { __index = print }) }
      for kind, names in pairs(methods) do
         for _, name in ipairs(names) do
            local method = objects[kind][name]
            assert(type(method) == "function", kind .. ":" .. name)
            for other, object in pairs(objects) do
               -- What tasks and futures have in common takes both, and close takes streams and listeners.
               local related = (kind == "task" or kind == "future") and (other == "task" or other == "future")
                  or (kind == "stream" or kind == "listener") and (other == "stream" or other == "listener")
               if other ~= kind and not related then
                  local text = kit.text_of(method, object, 1)
                  assert(text:find("bad argument #1", 1, true), kind .. ":" .. name .. " on " .. other .. ": " .. text)
               end
            end
            for _, fake in ipairs(fakes) do
               assert(kit.text_of(method, fake, 1):find("bad argument #1", 1, true))
            end
            assert(kit.text_of(method):find("bad argument #1", 1, true))
            assert(kit.text_of(method, nil, nil):find("bad argument #1", 1, true))
         end
      end
      done()
   end)

   it("of a kind that is close to another's still tells them apart where it must", function()
      local objects, done = zoo()
      kit.raises("bad argument #1", objects.future.set_result, objects.task, 1)
      kit.raises("bad argument #1", objects.future.cancel, objects.task)
      kit.raises("bad argument #1", objects.task.cancel, objects.future)
      kit.raises("bad argument #1", objects.stream.read, objects.listener)
      kit.raises("bad argument #1", objects.stream.write, objects.listener, "x")
      kit.raises("bad argument #1", objects.listener.accept, objects.stream)
      done()
   end)

   it("says what it expected and what it got", function()
      local q = saros.queue()
      kit.raises("saros.queue expected, got table", q.get, {})
      kit.raises("saros.queue expected, got saros.future", q.get, saros.future())
      kit.raises("saros.queue expected, got FILE*", q.get, io.stdout)
      kit.raises("calling 'get' on bad self", function()
         local fake = { get = q.get }
         fake:get()
      end)
   end)
end)

describe("our objects", function()
   it("hide their metatables", function()
      local objects, done = zoo()
      for kind, object in pairs(objects) do
         assert(getmetatable(object) == false, kind)
         assert(not pcall(setmetatable, object, {}), kind)
      end
      done()
   end)

   it("have names, and no fields to set", function()
      local objects, done = zoo()
      for kind, object in pairs(objects) do
         assert(type(tostring(object)) == "string")
         if type(object) == "userdata" then
            assert(not pcall(function() object.field = 1 end), kind)
         end
      end
      done()
   end)

   it("survive their metamethods being called by hand, twice, and on each other", function()
      local objects, done = zoo()
      local names = { "__gc", "__close", "__tostring", "__len", "__await" }
      for _, name in ipairs(names) do
         for _, object in pairs(objects) do
            local method = (debug.getmetatable(object) or {})[name]
            if method then
               for _, other in pairs(objects) do
                  if other ~= object or name == "__tostring" or name == "__len" then saros.pcall(saros.timeout, 0, method, other) end
               end
               for _, fake in ipairs({ {}, io.stdout, 1, print }) do
                  if not (name == "__tostring" and type(fake) == "table") then assert(not pcall(method, fake), name) end
               end
               assert(not pcall(method), name)
            end
         end
      end
      done()
   end)

   it("that are finalized by hand are closed, and finalized again without harm", function()
      for _, kind in ipairs({ "stream", "listener", "loop" }) do
         local objects, done = zoo()
         local object = objects[kind]
         local gc = debug.getmetatable(object).__gc
         gc(object)
         gc(object)
         assert.is_true(object:close())
         gc(object)
         done()
      end
   end)

   it("may be resurrected by a finalizer, and are closed then", function()
      local kept
      do
         local client, server = kit.pair()
         server:close()
         setmetatable({ client }, { __gc = function(self) kept = self[1] end })
         client = nil
         assert(client == nil)
      end
      collectgarbage()
      collectgarbage()
      assert.is_truthy(kept)
      local result = kept:read(1)
      assert.is_nil(result)
      kept:close()
   end)
end)

describe("awaiting", function()
   local function everywhere(run)
      local client, server = kit.pair()
      local q, future, task = saros.queue(), saros.future(), saros.spawn(saros.sleep, 0.001)
      local listener = assert(saros.listen("127.0.0.1:0"))
      local texts = {}
      for name, call in pairs({
         ["saros.sleep"] = { saros.sleep, 0 }, ["saros.await"] = { saros.await, future }, ["await"] = { future.await, future },
         ["saros.gather"] = { saros.gather, future }, ["queue:get"] = { q.get, q }, ["queue:put"] = { q.put, q, 1 },
         ["queue:join"] = { q.join, q }, ["saros.timeout"] = { saros.timeout, 1, print }, ["saros.shield"] = { saros.shield, print },
         ["saros.scope"] = { saros.scope, print }, ["read"] = { client.read, client }, ["write"] = { client.write, client, "x" },
         ["listener:accept"] = { listener.accept, listener }, ["saros.connect"] = { saros.connect, "127.0.0.1:1" },
         ["shutdown"] = { client.shutdown, client }, ["saros.sleep_until"] = { saros.sleep_until, 0 },
      }) do
         texts[name] = run(table.unpack(call))
      end
      task:await()
      client:close()
      server:close()
      listener:close()
      return texts
   end

   it("in a callback is refused by every function, which names itself", function()
      for name, text in pairs(everywhere(function(...)
         local text
         saros.call_soon(function(...) text = kit.text_of(...) end, ...)
         saros.sleep(0)
         return text
      end)) do
         assert.is_truthy(text:find(name .. ": cannot await outside a task", 1, true), text)
      end
   end)

   it("in a function that cannot be suspended is refused by every function, with both names", function()
      for name, text in pairs(everywhere(function(...)
         local args, text = table.pack(...), nil
         string.gsub("x", "x", function() text = kit.text_of(table.unpack(args, 1, args.n)) end)
         return text
      end)) do
         assert.is_truthy(text:find(name .. ": cannot await inside 'string.gsub'", 1, true), text)
      end
   end)
end)

describe("the coroutine of a task", function()
   it("can be seen, but neither resumed nor closed", function()
      local seen
      local task = saros.spawn(function()
         seen = coroutine.running()
         saros.sleep(0.002)
         return "undisturbed"
      end)
      saros.sleep(0)
      assert.are.same({ false, "cannot resume the coroutine of a task: its loop does" }, { coroutine.resume(seen) })
      kit.raises("cannot close the coroutine of a task", coroutine.close, seen)
      assert.are.equal("suspended", coroutine.status(seen))
      assert.is_truthy(debug.traceback(seen))
      assert.are.equal("undisturbed", task:await())
      assert.is_false((coroutine.resume(seen)))
      assert.is_true((coroutine.close(seen)))
   end)

   it("is not used again for another task once it was seen", function()
      local seen = setmetatable({}, { __mode = "k" })
      for _ = 1, 50 do
         saros.spawn(function()
            local own = coroutine.running()
            assert(not seen[own])
            seen[own] = true
         end):await()
      end
   end)

   it("22: cannot be yielded: the error is raised in the task, and says what to use", function()
      local text = kit.text_of(coroutine.yield, 1)
      assert.is_truthy(text:find("saros.sleep(0)", 1, true), text)
   end)

   it("may run generators of its own, also ones that fail or are closed", function()
      local generator = coroutine.wrap(function()
         for i = 1, 3 do coroutine.yield(i) end
      end)
      assert.are.equal(1, generator())
      saros.sleep(0)
      assert.are.equal(2, generator())
      local closed = false
      local co = coroutine.create(function()
         local _ <close> = setmetatable({}, { __close = function() closed = true end })
         coroutine.yield()
      end)
      coroutine.resume(co)
      assert.is_true(coroutine.close(co))
      assert.is_true(closed)
      assert.are.same({ false, "in it" }, { coroutine.resume(coroutine.create(error), "in it") })
      assert.are.same({ true, false }, { coroutine.resume(coroutine.create(function() return select(2, coroutine.running()) end)) })
   end)
end)

describe("arguments", function()
   it("may be many: three hundred are passed on, or refused with a reason", function()
      local many = {}
      for i = 1, 300 do many[i] = i end
      local function count(...) return select("#", ...) end
      assert.are.equal(300, saros.timeout(1, count, table.unpack(many)))
      assert.are.equal(300, saros.shield(count, table.unpack(many)))
      assert.are.equal(301, saros.scope(count, table.unpack(many)))
      assert.are.equal(300, saros.protect(count)(table.unpack(many)))
      assert.are.equal(301, select("#", saros.pcall(count and function(...) return ... end, table.unpack(many))))
      assert.are.equal(301, select("#", pcall(function(...) return ... end, table.unpack(many))))
      assert.are.equal(300, select("#", saros.try(table.unpack(many))))
      local future = saros.future()
      future:set_result(table.unpack(many))
      assert.are.equal(300, select("#", future:await()))
      for _, call in ipairs({ saros.spawn, saros.call_soon, saros.run }) do
         kit.raises("too many arguments", call, count, table.unpack(many))
      end
      kit.raises("bad argument #1", saros.gather, false, table.unpack(many))
   end)

   it("in option tables are read raw, so that no metamethod of theirs can run", function()
      local trap = setmetatable({}, { __index = function() error("a metamethod ran") end,
                                      __pairs = function() error("a metamethod ran") end })
      assert.are.equal(1, saros.scope(trap, function() return 1 end))
      assert.are.equal(0, saros.gather({}, trap).n)
      local listener <close> = assert(saros.listen("127.0.0.1:0", trap))
      local client <close> = assert(saros.connect(listener:address(), trap))
      assert.is_truthy(client)
      saros.loop(setmetatable({ driver = kit.driver }, getmetatable(trap))):close()
   end)

   it("of xpcall and pcall are checked as Lua's own are", function()
      kit.raises("bad argument #1", pcall)
      kit.raises("bad argument #2", xpcall, print)
      assert.are.same({ false, "attempt to call a nil value" }, { pcall(nil) })
      assert.are.same({ false, "handled: x" }, { xpcall(error, function(e) return "handled: " .. e end, "x", 0) })
      assert.are.same({ true, 1, 2 }, { xpcall(function(...) return ... end, print, 1, 2) })
      assert.is_false((xpcall(error, function() error("in the handler") end, "x")))
   end)
end)

describe("recursion", function()
   it("at the moment of an await ends with a Lua error, and the loop goes on", function()
      local deepest = 0
      local function down(n, from) -- awaits from there on: the collector walks the whole stack at each switch or so
         if n > from then saros.sleep(0) end
         deepest = n
         return 1 + down(n + 1, from)
      end
      assert.is_false((saros.pcall(down, 1, math.huge)))
      local task = saros.spawn(down, 1, deepest - 1000)
      local ok, err = pcall(saros.timeout, 30, task.await, task)
      if ok then task:cancel() end
      assert.is_false(ok)
      assert.is_truthy(tostring(err):find("stack overflow", 1, true))
      assert.is_true(saros.sleep(0))
   end)

   it("through a thousand scopes and protected calls is no problem, or an error", function()
      local function nest(n)
         if n == 0 then return saros.sleep(0) end
         return saros.scope(function() return (select(2, pcall(nest, n - 1))) end)
      end
      local ok, err = pcall(nest, 1000)
      assert.is_true(ok or tostring(err):find("stack overflow", 1, true) ~= nil)
      assert.is_true(saros.sleep(0))
   end)
end)
