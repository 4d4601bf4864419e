-- statements_generators.lua: the statements of one lane about coroutines of the script's own that await: values that come
-- out of them, any number inside each other, closed, cancelled and thrown into; modules that await while they load.
-- See generate.lua for what an entry is, and for the rule that keeps races out.

local BLOCKS = {
   "saros.sleep(math.huge)",
   "saros.future():await()",
   "saros.queue():get()",
   "saros.lock():acquire() saros.event():wait()",
   "saros.gather(function() saros.sleep(math.huge) end)",
   "saros.race(saros.future(), math.huge)",
   "saros.group(function(g) g:spawn(saros.sleep, math.huge) end)",
   "local s, r = saros.channel(0) saros.timeout(math.huge, s.send, s, 1) r:close()",
   "saros.spawn(saros.sleep, math.huge):await()",
}

local function name_of(s, lane, suffix) return ("lane %s.%d%s"):format(lane, s.id, suffix or "") end

local list = {}
local function statement(name, weight, make)
   list[#list + 1] = { name = name, weight = weight, make = make, alone = true }
end

-- The function whose code `body` puts, inside so many coroutines that hand on what it yields.
local function put_tower(s, lane, depth, body)
   for _ = 1, depth do s:put(lane, "for value in coroutine.wrap(function()") end
   body()
   for _ = 1, depth do s:put(lane, "end) do coroutine.yield(value) end") end
end

-- A generator that waits for good, some levels down, and has signalled before; what is closed on the way is logged.
local function put_blocked(g, s, lane)
   for level = 1, g.draw:number(3) do
      s:put(lane, "coroutine.wrap(function()")
      s:put(lane, "local _ <close> = closing(function(err)")
      s:put(lane, "LOG('closing', %d, saros.is_cancelled(err))", level)
      if g.draw:chance(50) then s:put(lane, "if coroutine.isyieldable() then saros.shield(saros.sleep, 0.001) end LOG('closed')") end
      s:put(lane, "end)")
      s.levels = level
   end
   s:put(lane, "signal('ID waits')")
   s:put(lane, g.draw:one(BLOCKS))
   for _ = 1, s.levels do s:put(lane, "end)()") end
end

statement("generator that awaits", 5, function(g, s, lane)
   s:put(lane, "for value in coroutine.wrap(function()")
   put_tower(s, lane, g.draw:between(0, 3), function()
      for i = 1, g.draw:number(3) do
         g:nest(s, lane, 1)
         s:put(lane, "coroutine.yield(%d)", i)
      end
      s:put(lane, "saros.sleep(%g)", g.draw:one({ 0, 0.001 }))
   end)
   s:put(lane, "end) do")
   s:put(lane, "LOG(value)")
   s:put(lane, "saros.sleep(%g)", g.draw:one({ 0, 0.001 }))
   s:put(lane, "end")
end)

statement("generator that fails", 2, function(g, s, lane)
   s:put(lane, "do local co = coroutine.create(function()")
   s:put(lane, "local _ <close> = closing(function(err) saros.sleep(0) LOG('closing', err) end)")
   put_tower(s, lane, g.draw:between(0, 2), function()
      s:put(lane, "coroutine.yield('first')")
      g:nest(s, lane, 1)
      s:put(lane, "error({ code = 'EODD' })")
   end)
   s:put(lane, "end)")
   s:put(lane, "for _ = 1, 3 do LOG(coroutine.resume(co)) end")
   s:put(lane, "LOG(coroutine.status(co), attempt(coroutine.close, co))")
   s:put(lane, "end")
end)

statement("throw into a generator", 2, function(g, s, lane)
   s:put(lane, "do local co = coroutine.create(function()")
   s:put(lane, "LOG(attempt(function()")
   g:nest(s, lane, 1)
   s:put(lane, "coroutine.yield(1)")
   s:put(lane, "end))")
   s:put(lane, "saros.sleep(0)")
   s:put(lane, "coroutine.yield(2)")
   s:put(lane, "end)")
   s:put(lane, "LOG(coroutine.resume(co))")
   s:put(lane, "LOG(saros.coroutine.throw(co, 'caught'))")
   s:put(lane, "LOG(saros.coroutine.throw(co, 'not caught'))")
   s:put(lane, "LOG(saros.coroutine.throw(co, 'late'))")
   s:put(lane, "end")
end)

statement("generator that is closed", 2, function(g, s, lane)
   s:put(lane, "do local co = coroutine.create(function()")
   s:put(lane, "local _ <close> = closing(function(err) LOG('closing', err) end)")
   s:put(lane, "saros.timeout(60, function()")
   g:nest(s, lane, 1)
   s:put(lane, "coroutine.yield()")
   s:put(lane, "LOG('not reached')")
   s:put(lane, "end)")
   s:put(lane, "end)")
   s:put(lane, "LOG(coroutine.resume(co))")
   if g.draw:chance(50) then g:nest(s, lane, 1) end
   s:put(lane, "LOG(coroutine.close(co), coroutine.status(co))")
   s:put(lane, "end")
end)

statement("generator that is closed while it awaits", 3, function(g, s, lane)
   s:put(lane, "do local co = coroutine.create(function()")
   put_blocked(g, s, lane)
   s:put(lane, "end)")
   s:put(lane, "local task = child(%q, function() return coroutine.resume(co) end)", name_of(s, lane))
   s:put(lane, "wait('ID waits')")
   s:put(lane, "LOG(coroutine.status(co), coroutine.resume(co))")
   s:put(lane, "LOG(coroutine.close(co))")
   s:put(lane, "LOG(attempt(task.await, task))")
   s:put(lane, "end")
end)

statement("generator whose task is cancelled", 3, function(g, s, lane)
   s:put(lane, "do local task = child(%q, function()", name_of(s, lane))
   put_blocked(g, s, lane)
   s:put(lane, "end)")
   s:put(lane, "wait('ID waits')")
   s:put(lane, "LOG(task:cancel('enough'), attempt(task.await, task))")
   s:put(lane, "end")
end)

statement("generator under a timeout", 3, function(g, s, lane)
   s:put(lane, "LOG(saros.timeout(0.002, function()")
   put_blocked(g, s, lane)
   s:put(lane, "end))")
end)

statement("scope in a generator", 2, function(g, s, lane)
   s:put(lane, "do local opened")
   s:put(lane, "local co = coroutine.wrap(function()")
   s:put(lane, "return saros.scope(function(scope)")
   s:put(lane, "opened = scope")
   g:nest(s, lane, 1)
   s:put(lane, "coroutine.yield('open')")
   s:put(lane, g.draw:one(BLOCKS))
   s:put(lane, "end)")
   s:put(lane, "end)")
   s:put(lane, "LOG(co())")
   s:put(lane, "opened:cancel('meanwhile')")
   g:nest(s, lane, 1)
   s:put(lane, "LOG(saros.timeout(60, co))")
   s:put(lane, "end")
end)

statement("module that awaits", 2, function(g, s, lane)
   s:put(lane, "package.preload['m.ID'] = function(...)")
   s:put(lane, "LOG(...)")
   local ending = g.draw:one({ "return 'loaded'", "error('broken', 0)", "" })
   if not ending:find("error") then g:nest(s, lane, 1) end -- else it is loaded again by the other
   s:put(lane, "saros.sleep(%g)", g.draw:one({ 0, 0.001 }))
   s:put(lane, ending)
   s:put(lane, "end")
   s:put(lane, "do local one = child(%q, function() return attempt(require, 'm.ID') end)", name_of(s, lane))
   s:put(lane, "local two = child(%q, function() return attempt(coroutine.wrap(require), 'm.ID') end)", name_of(s, lane, "-2"))
   s:put(lane, "LOG(one:await()) LOG(two:await())")
   s:put(lane, "end")
end)

return list
