-- generators_spec.lua: coroutines of the script's own inside tasks: an await in one suspends the whole task, a yield goes
-- to the consumer; cancellation, tracebacks, throw.

local saros = require "saros"
local kit = require "support.kit"
require("support.leaks")(before_each, after_each)

local function closing(f) return setmetatable({}, { __close = f }) end

-- A generator around a generator, `depth` deep; the innermost awaits before and after its one value.
local function nested(depth)
   return coroutine.wrap(function()
      if depth == 0 then
         saros.sleep(0)
         coroutine.yield("deep")
         saros.sleep(0)
         return
      end
      local inner = nested(depth - 1)
      while true do
         local value = inner()
         if value == nil then return end
         coroutine.yield(value)
      end
   end)
end

-- A task that waits inside a coroutine of its own: both.
local function waiting(body)
   local co = coroutine.create(body or function() saros.sleep(1000) end)
   local task = saros.spawn(function() return coroutine.resume(co) end)
   kit.turns()
   return co, task
end

describe("an await in a generator", function()
   it("E3: suspends the task, and comes back into the generator; a yield goes to the consumer", function()
      local log = kit.log()
      local other = saros.spawn(function()
         for i = 1, 3 do
            saros.sleep(0)
            log("other " .. i)
         end
      end)
      for value in coroutine.wrap(function()
         for i = 1, 2 do
            saros.sleep(0)
            coroutine.yield(i)
         end
      end) do
         log(value)
      end
      other:await()
      assert.are.equal("1,other 1,2,other 2,other 3", table.concat(log, ","))
   end)

   it("passes its results to the generator, and the arguments of resumes past it", function()
      local future = saros.future()
      saros.call_soon(function() future:set_result("a", nil, "b") end)
      local co = coroutine.create(function(first)
         local a, b, c = future:await()
         local second = coroutine.yield(first, a, b, c)
         saros.sleep(0)
         return second
      end)
      assert.are.same({ n = 5, true, 1, "a", nil, "b" }, table.pack(coroutine.resume(co, 1)))
      assert.are.same({ true, 2 }, { coroutine.resume(co, 2) })
      assert.are.equal("dead", coroutine.status(co))
   end)

   it("passes through any number of nested generators, up to Lua's limit, and beyond it says so", function()
      for _, depth in ipairs({ 1, 2, 10, 100, 170 }) do
         local generator = nested(depth)
         assert.are.equal("deep", generator())
         assert.is_nil((generator()))
      end
      local text = kit.text_of(nested(250))
      assert.is_truthy(text:find("C stack overflow", 1, true))
      assert.is_truthy(text:find("too many levels", 1, true))
      assert.is_true(saros.sleep(0))
   end)

   it("works for what waits in queues, gathers, streams, and groups", function()
      local q = saros.queue()
      local client, server = kit.pair()
      local values = {}
      local consumer = saros.spawn(function()
         for value in coroutine.wrap(function()
            coroutine.yield((q:get()))
            for _, value in ipairs(saros.gather({ function() saros.sleep(0) return 2 end, 0 })) do coroutine.yield(value) end
            coroutine.yield((server:read("l")))
            saros.group(function(group)
               group:spawn(function()
                  saros.sleep(0)
                  values.child = true
               end)
            end)
            coroutine.yield((saros.run(function() return "run" end)))
         end) do
            values[#values + 1] = value
         end
      end)
      kit.turns(2)
      q:put("item")
      client:write("line\n")
      consumer:await()
      assert.are.same({ "item", 2, true, "line", "run", child = true }, values)
      client:close()
      server:close()
   end)

   it("works in coroutines that an iterator, a metamethod or a closing variable resumes", function()
      local log = kit.log()
      local co = coroutine.wrap(function()
         while true do
            saros.sleep(0)
            coroutine.yield(1)
         end
      end)
      local object = setmetatable({}, { __index = function() return co() end, __add = function() return co() end,
                                        __close = function() log(co()) end })
      do
         local _ <close> = object
         log(object.field)
         log(object + 1)
      end
      assert.are.same({ 1, 1, 1 }, { table.unpack(log) })
   end)

   it("is refused where a function that cannot be suspended is in the way: it is named, with what to do", function()
      local function await() coroutine.wrap(function() saros.sleep(0) end)() end
      local function meta(name) return setmetatable({}, { [name] = await, __len = function() return 3 end }) end
      local ways = {
         ["'table.sort', a C function that cannot be suspended: await what the order depends on before you sort"] =
            function() table.sort({ 3, 2, 1 }, function(a, b) return await() or a < b end) end,
         ["'table.sort', a C function"] = function()
            table.sort({ 3, 2, 1 }, function() saros.pcall(function() xpcall(await, function(err) error(err, 0) end) end) await() end)
         end,
         ["'string.gsub', a C function that cannot be suspended: collect what is found"] =
            function() string.gsub("abc", "b", await) end,
         ["'tostring', a C function that cannot be suspended: await before, and let __tostring"] =
            function() tostring(meta("__tostring")) end,
         ["'string.format', a C function"] = function() string.format("%s", meta("__tostring")) end,
         ["'print', a C function"] = function() print(meta("__tostring")) end,
         ["'table.concat', a C function that cannot be suspended: await what the elements"] =
            function() table.concat(meta("__index")) end,
         ["'table.unpack', a C function that cannot be suspended: await before, and give it the result"] =
            function() table.unpack(meta("__index")) end,
         ["'for iterator', a C function that cannot be suspended: if it is that of ipairs, count with a numeric for"] =
            function() for _ in ipairs(meta("__index")) do error("none") end end,
         ["'load', a C function that cannot be suspended: await the pieces first"] = function() assert(load(await)) end,
         ["'xpcall', a C function that cannot be suspended: await after it has returned, and not in its handler"] =
            function() error((select(2, xpcall(error, function() return select(2, saros.pcall(saros.sleep, 0)) end))), 0) end,
         ["'__gc', a finalizer that cannot be suspended: spawn a task in it"] = function()
            local err
            setmetatable({}, { __gc = function() err = select(2, saros.pcall(saros.sleep, 0)) end })
            collectgarbage()
            collectgarbage()
            error(err, 0)
         end,
         ["'debug hook', a callback that cannot be suspended: note what has happened"] = function()
            local err
            debug.sethook(function()
               debug.sethook()
               err = select(2, saros.pcall(saros.sleep, 0))
            end, "", 1)
            error(err, 0)
         end,
      }
      for text, way in pairs(ways) do
         kit.raises(text, way)
         kit.raises(text, coroutine.wrap(way))
      end
   end)

   it("is refused in a callback, in a collected object's finalizer, and while a coroutine is closed", function()
      local said = {}
      saros.call_soon(coroutine.wrap(function() said[1] = kit.text_of(saros.sleep, 0) end))
      local co = coroutine.create(function()
         local _ <close> = closing(function() said[2] = kit.text_of(saros.sleep, 0) end)
         coroutine.yield()
      end)
      coroutine.resume(co)
      assert.is_true(coroutine.close(co))
      setmetatable({}, { __gc = function() said[3] = kit.text_of(coroutine.wrap(saros.sleep), 0) end })
      collectgarbage()
      collectgarbage()
      kit.turns()
      assert.is_truthy(said[1]:find("outside a task", 1, true))
      assert.is_truthy(said[2]:find("being closed", 1, true))
      assert.is_truthy(said[3]:find("'__gc', a finalizer", 1, true))
   end)

   it("gives way after many awaits in a row whose answers are at hand", function()
      local q = saros.queue()
      for i = 1, 200 do q:put(i) end
      local turns = 0
      local other = saros.spawn(function()
         while true do
            saros.sleep(0)
            turns = turns + 1
         end
      end)
      for _ in coroutine.wrap(function()
         for _ = 1, 200 do coroutine.yield((q:get())) end
      end) do end -- luacheck: ignore 542
      assert.is_true(turns >= 2)
      other:cancel()
   end)
end)

describe("a cancellation", function()
   it("is raised at the await in the generator, and passes through resume and wrap", function()
      local log = kit.log()
      local task = saros.spawn(function()
         local inner = coroutine.create(function()
            local _ <close> = closing(function(_, err) log(tostring(err)) end)
            pcall(saros.sleep, 1000)
            log("behind pcall")
         end)
         coroutine.wrap(function()
            coroutine.resume(inner)
            log("behind resume")
         end)()
         log("behind wrap")
      end)
      kit.turns()
      task:cancel("reason")
      kit.raises("cancelled: reason", task.await, task)
      assert.is_true(task:cancelled())
      assert.are.equal("cancelled: reason", table.concat(log, ","))
   end)

   it("F4: lets <close> variables of generators await, from the innermost on", function()
      local log = kit.log()
      local task = saros.spawn(function()
         coroutine.wrap(function()
            local _ <close> = closing(function()
               saros.shield(saros.sleep, 0.001)
               log("outer")
            end)
            coroutine.wrap(function()
               local _ <close> = closing(function()
                  saros.shield(saros.sleep, 0.001)
                  log("inner")
               end)
               saros.sleep(1000)
            end)()
         end)()
      end)
      kit.turns()
      task:cancel()
      saros.pcall(task.await, task)
      assert.are.equal("inner,outer", table.concat(log, ","))
   end)

   it("F5: of which a <close> variable makes another error ends the task with that", function()
      local task = saros.spawn(function()
         coroutine.wrap(function()
            local _ <close> = closing(function() error("in close", 0) end)
            saros.sleep(1000)
         end)()
      end)
      kit.turns()
      task:cancel()
      kit.raises("in close", task.await, task)
   end)

   it("F2: that the generator catches with saros.pcall is raised again at the next await", function()
      local count = 0
      local task = saros.spawn(function()
         coroutine.wrap(function()
            for _ = 1, 3 do
               if not saros.pcall(saros.sleep, 1000) then count = count + 1 end
            end
         end)()
         saros.sleep(0)
      end)
      kit.turns()
      task:cancel()
      saros.pcall(task.await, task)
      assert.are.equal(3, count)
      assert.is_true(task:cancelled())
   end)

   it("of a scope around the consumer ends the scope, and the generator is dead", function()
      local co = coroutine.create(function() saros.sleep(1000) end)
      assert.are.same({ n = 3, nil, "timed out", "ETIMEDOUT" }, table.pack(saros.timeout(0.001, coroutine.resume, co)))
      assert.are.equal("dead", coroutine.status(co))
   end)

   it("of a scope inside the generator is that scope's, and the generator goes on", function()
      local co = coroutine.wrap(function()
         coroutine.yield((select(3, saros.timeout(0.001, saros.sleep, 1000))))
         return "end"
      end)
      assert.are.equal("ETIMEDOUT", co())
      assert.are.equal("end", co())
   end)

   it("of another task is an ordinary error for resume", function()
      local other = saros.spawn(saros.sleep, 1000)
      other:cancel()
      local ok, err = coroutine.resume(coroutine.create(function() other:await() end))
      assert.is_false(ok)
      assert.are.equal("ECANCELED", saros.error_code(err))
   end)
end)

describe("coroutine.status, running and isyieldable", function()
   it("are right inside and outside of a generator that awaits", function()
      local co
      co = coroutine.create(function()
         saros.sleep(0)
         local own, main = coroutine.running()
         assert(own == co and not main and coroutine.isyieldable() and coroutine.status(co) == "running")
         coroutine.yield()
         saros.sleep(0)
      end)
      local task
      task = saros.spawn(function()
         assert(coroutine.resume(co))
         assert(coroutine.status(co) == "suspended")
         coroutine.resume(co)
      end)
      assert.are.equal("suspended", coroutine.status(co))
      kit.turns(1)
      assert.are.equal("normal", coroutine.status(co))
      assert.is_true(coroutine.isyieldable(co))
      task:await()
      assert.are.equal("dead", coroutine.status(co))
   end)

   it("are Lua's own for plain coroutines", function()
      local outer
      outer = coroutine.create(function()
         local inner = coroutine.create(function() return coroutine.status(outer) end)
         assert(coroutine.status(inner) == "suspended")
         return select(2, coroutine.resume(inner)), coroutine.status(inner)
      end)
      assert.are.same({ true, "normal", "dead" }, { coroutine.resume(outer) })
      assert.are.same({ false, "cannot resume dead coroutine" }, { coroutine.resume(outer) })
      assert.are.same({ false, "cannot resume non-suspended coroutine" }, { coroutine.resume(coroutine.running()) })
      assert.are.same({ false, "x" }, { coroutine.resume(coroutine.create(error), "x", 0) })
      kit.raises("cannot close a running coroutine", coroutine.close, coroutine.running())
      kit.raises("cannot resume dead coroutine", coroutine.wrap(function() end)() or nested(0) and coroutine.wrap(function()
         local done = coroutine.wrap(function() end)
         done()
         done()
      end))
      kit.raises("coroutine expected", coroutine.resume, print)
      kit.raises("function expected", coroutine.create, 1)
      kit.raises("function expected", coroutine.wrap)
   end)
end)

describe("coroutine.throw", function()
   it("raises at the yield, and returns as resume does", function()
      local co = coroutine.create(function()
         local ok, err = pcall(coroutine.yield, 1)
         saros.sleep(0)
         coroutine.yield(ok, err)
      end)
      coroutine.resume(co)
      local object = {}
      assert.are.same({ true, false, object }, { saros.coroutine.throw(co, object) })
      assert.are.same({ false, "not caught" }, { saros.coroutine.throw(co, "not caught") })
      assert.are.equal("dead", coroutine.status(co))
      assert.are.same({ false, "cannot resume dead coroutine" }, { saros.coroutine.throw(co, "x") })
   end)

   it("ends a coroutine that has not begun, and takes what wrap made too", function()
      local generator = coroutine.wrap(function() error("never") end)
      assert.are.same({ false, "early" }, { saros.coroutine.throw(generator, "early") })
      kit.raises("cannot resume dead coroutine", generator)
   end)

   it("runs <close> variables, which may await", function()
      local log = kit.log()
      local co = coroutine.create(function()
         local _ <close> = closing(function(_, err)
            saros.sleep(0)
            log(err)
         end)
         coroutine.yield()
      end)
      coroutine.resume(co)
      assert.are.same({ false, "thrown" }, { saros.coroutine.throw(co, "thrown") })
      assert.are.equal("thrown", log[1])
   end)
end)

describe("an error in a generator", function()
   it("shows in the traceback of the task all the coroutines on its way", function()
      local function fails()
         saros.sleep(0)
         error("deep down")
      end
      local task = saros.spawn(function()
         local middle = coroutine.wrap(function() coroutine.wrap(fails)() end)
         middle()
      end)
      kit.raises("deep down", task.await, task)
      local text = task:traceback()
      assert.is_truthy(text:find("in upvalue 'fails'.-that coroutine was resumed.-that coroutine was resumed by task")
         or text:find("in function.-that coroutine was resumed.-that coroutine was resumed by task"), text)
   end)

   it("is Lua's own for wrap and resume: its text, its value, what is closed", function()
      local object = setmetatable({}, {})
      local log = kit.log()
      assert.are.equal(object, (kit.error_of(coroutine.wrap(function()
         local _ <close> = closing(function(_, err) log(err == object) end)
         error(object)
      end))))
      assert.is_true(log[1])
      local text = kit.text_of(coroutine.wrap(function() error("text") end))
      assert.is_truthy(text:match("generators_spec.lua:%d+: text$"), text)
      assert.are.same({ n = 2, false }, table.pack(coroutine.resume(coroutine.create(function() error() end))))
   end)
end)

describe("debug.traceback", function()
   it("shows of a coroutine that has died where that was, as Lua's own does, and of others what it always did", function()
      local function fails() error("oops") end
      local co = coroutine.create(function()
         saros.sleep(0)
         fails()
      end)
      local ok, err = coroutine.resume(co)
      assert.is_false(ok)
      local text = debug.traceback(co, err)
      assert.is_truthy(text:find("oops\nstack traceback:\n\t%[C%]: in function 'error'\n\t[^\n]+: in upvalue 'fails'\n\t"
         .. "[^\n]+: in function <[^\n]+>$"), text)
      local _, lines = debug.traceback(co):gsub("\n", "")
      assert.are.equal(3, lines)
      assert.is_truthy(debug.traceback(co, nil, 1):find("^stack traceback:\n\t[^\n]+: in upvalue 'fails'"))
      assert.are.same({ false, err }, { coroutine.close(co) })
      assert.are.equal("stack traceback:", debug.traceback(co))
      assert.are.equal(co, debug.traceback(co, co))
      assert.is_truthy(debug.traceback("here"):find("^here\nstack traceback:\n\t[^\n]*generators_spec"))
      local waits = coroutine.create(function() coroutine.yield() end)
      coroutine.resume(waits)
      assert.is_truthy(debug.traceback(waits):find("in function 'coroutine.yield'", 1, true))
      kit.raises("number expected", debug.traceback, waits, "x", {})
   end)
end)

describe("a task's traceback", function()
   it("G13: shows the whole chain of its coroutines while it waits, and a dead coroutine's does no harm", function()
      local co, task = waiting(function()
         coroutine.wrap(function() saros.sleep(1000) end)()
      end)
      local text = task:traceback()
      assert.is_truthy(text:find("^stack traceback:\n\t%[C%]: in function 'saros%.sleep'"), text)
      local _, count = text:gsub("that coroutine was resumed", "")
      assert.are.equal(2, count)
      task:cancel()
      saros.pcall(task.await, task)
      assert.are.equal("string", type(debug.traceback(co)))
   end)
end)

describe("E9: an error that nobody awaited", function()
   it("is reported with the coroutines that it has passed", function()
      local output, code = kit.script([[
         saros.spawn(function()
            coroutine.wrap(function()
               saros.sleep(0)
               error("in the generator")
            end)()
         end)
         saros.sleep(0.001)]])
      assert.are.equal(1, code)
      assert.is_truthy(output:find("in the generator\n.*that coroutine was resumed by task"), output)
   end)

   it("E8: a deadlock in a generator is told with the place of the await", function()
      local output = kit.script("coroutine.wrap(function()\nsaros.future():await()\nend)()")
      assert.is_truthy(output:find("(command line):3", 1, true), output)
   end)
end)
