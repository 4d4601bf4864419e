-- statements_alone.lua: the statements of one lane: time, errors, cancellation, tasks, futures. See generate.lua for what
-- an entry is, and for the rule that keeps races out.
--
-- What blocks for good, to be interrupted, is one of BLOCKS; each is in a task that has signalled just before.

local BLOCKS = {
   "saros.sleep(math.huge)",
   "saros.future():await()",
   "saros.queue():get()",
   "saros.gather(function() saros.sleep(math.huge) end)",
   "saros.timeout(math.huge, saros.sleep, math.huge)",
   "saros.await(saros.spawn(saros.sleep, math.huge))",
}

local ERRORS = { '"oh"', '{ code = "EODD" }', "nil", "42", "setmetatable({}, { __tostring = error })" }

local function name_of(s, lane, suffix) return ("lane %s.%d%s"):format(lane, s.id, suffix or "") end

local list = {}
local function statement(name, weight, make, outermost)
   list[#list + 1] = { name = name, weight = weight, make = make, alone = true, outermost = outermost }
end

-- ---- time --------------------------------------------------------------------------------------------------------

statement("say", 4, function(g, s, lane)
   s:put(lane, "LOG(%q, %d)", g.draw:text(2, 9), g.draw:number(1000))
end)

statement("sleep", 4, function(g, s, lane)
   local seconds = g.draw:one({ 0, 0.0001, 0.001, 0.002, 0.004 })
   s:put(lane, "do local began = saros.now() saros.sleep(%g) LOG(since(began, %g)) end", seconds, seconds)
end)

statement("give way", 2, function(g, s, lane) s:put(lane, "for _ = 1, %d do saros.sleep(0) end", g.draw:number(5)) end)

statement("collect", 2, function(g, s, lane) s:put(lane, "collectgarbage(%q)", g.draw:one({ "collect", "step" })) end)

statement("timers in order", 1, function(g, s, lane)
   local order = g.draw:one({ { 1, 2, 3 }, { 3, 2, 1 }, { 2, 3, 1 }, { 1, 1, 1 } })
   s:put(lane, [[
      do
      local order, done, now = {}, saros.future(), saros.now()
      for i, milliseconds in ipairs({ %d, %d, %d }) do
      saros.call_at(now + milliseconds / 1000, function()
      order[#order + 1] = i
      if #order == 3 then done:set_result() end
      end)
      end
      done:await()
      LOG(table.concat(order, " "))
      end]], table.unpack(order))
end)

statement("callback taken back", 1, function(g, s, lane)
   s:put(lane, "do local handle = saros.call_later(%d, error) LOG(handle:cancel(), handle:cancel()) end",
      g.draw:one({ 0, 60 }))
end)

statement("callbacks in order", 1, function(_, s, lane)
   s:put(lane, [[
      do
      local order, done = {}, saros.future()
      for i = 1, 4 do
      saros.call_soon(function(x)
      order[#order + 1] = x
      if x == 4 then done:set_result(table.concat(order)) end
      end, i)
      end
      LOG(done:await())
      end]])
end)

-- ---- errors ------------------------------------------------------------------------------------------------------

statement("raise and catch", 3, function(g, s, lane)
   s:put(lane, "LOG(attempt(function()")
   g:nest(s, lane)
   s:put(lane, "error(%s%s)", g.draw:one(ERRORS), g.draw:one({ "", ", 0" }))
   s:put(lane, "end))")
end)

statement("misuse", 2, function(g, s, lane)
   s:put(lane, "LOG(attempt(%s))", g.draw:one({
      "table.sort, { 3, 1, 2 }, function() saros.sleep(0) end",
      "coroutine.wrap(function() saros.sleep(0) end)",
      "function() saros.current_task():await() end",
      "saros.sleep, 0 / 0",
      'saros.sleep, "x"',
      "saros.gather, true",
      "saros.spawn, 7",
      "saros.queue, -1",
      'saros.connect, "127.0.0.1:99999"',
      "saros.connect, 80",
      "string.gsub, 'a', 'a', function() saros.sleep(0) end",
      "function() saros.run(7) end",
   }))
end)

statement("generator", 1, function(g, s, lane)
   s:put(lane, "do local next_one = coroutine.wrap(function() for i = 1, %d do coroutine.yield(i) end end)",
      g.draw:number(4))
   s:put(lane, "LOG(next_one(), next_one(), attempt(next_one)) end")
end)

statement("close handler", 3, function(g, s, lane)
   s:put(lane, [[
      LOG(attempt(function()
      local _ <close> = closing(function(err)
      LOG("closing", err)
      saros.shield(saros.sleep, 0.001)
      LOG("closed")
      end)]])
   g:nest(s, lane)
   if g.draw:chance(50) then s:put(lane, "error(%s, 0)", g.draw:one(ERRORS)) end
   s:put(lane, "end))")
end)

statement("close handler that fails", 1, function(g, s, lane)
   s:put(lane, "LOG(attempt(function()")
   s:put(lane, "local _ <close> = closing(function(err) LOG(err) error('second', 0) end)")
   g:nest(s, lane)
   s:put(lane, "error('first', 0)")
   s:put(lane, "end))")
end)

-- ---- scopes ------------------------------------------------------------------------------------------------------

statement("timeout that expires", 3, function(g, s, lane)
   s:put(lane, "LOG(saros.timeout(%g, function()", g.draw:one({ -1, 0, 0.001, 0.003 }))
   if g.draw:chance(50) then s:put(lane, "local _ <close> = closing(function(err) LOG(saros.is_cancelled(err)) end)") end
   s:put(lane, g.draw:one(BLOCKS))
   s:put(lane, "LOG('not reached')")
   s:put(lane, "end))")
end)

statement("timeout in time", 3, function(g, s, lane)
   s:put(lane, "LOG(saros.timeout(60, function()")
   g:nest(s, lane)
   s:put(lane, "return 'in time', %d", g.draw:number(9))
   s:put(lane, "end))")
end)

statement("timeout inside of one", 2, function(g, s, lane)
   local outer, inner = 60, 0.002
   if g.draw:chance(50) then outer, inner = inner, outer end
   s:put(lane, "LOG(saros.timeout(%g, function()", outer)
   s:put(lane, "LOG(saros.timeout(%g, function()", inner)
   s:put(lane, g.draw:one(BLOCKS))
   s:put(lane, "end))")
   s:put(lane, "saros.sleep(0)")
   s:put(lane, "return 'the outer one goes on'")
   s:put(lane, "end))")
end)

statement("scope cancelled from inside", 2, function(g, s, lane)
   s:put(lane, "LOG(saros.scope(function(scope)")
   g:nest(s, lane)
   s:put(lane, "LOG(scope:cancel(%s), scope:cancelled())", g.draw:one({ "", '"why"' }))
   s:put(lane, "LOG(attempt(%s))", g.draw:one({ "saros.sleep, 0", "function() saros.future():await() end" }))
   s:put(lane, "saros.sleep(0)")
   s:put(lane, "LOG('not reached')")
   s:put(lane, "end))")
end)

statement("shield", 2, function(g, s, lane)
   s:put(lane, "LOG(saros.scope(function(scope)")
   s:put(lane, "scope:cancel('outside')")
   s:put(lane, "LOG(saros.shield(function()")
   g:nest(s, lane)
   s:put(lane, "saros.sleep(0.001)")
   s:put(lane, "return 'held back'")
   s:put(lane, "end))")
   s:put(lane, "saros.sleep(0)")
   s:put(lane, "end))")
end)

-- ---- tasks -------------------------------------------------------------------------------------------------------

statement("spawn and await", 4, function(g, s, lane)
   s:put(lane, "do local task = child(%q, function()", name_of(s, lane))
   g:nest(s, lane)
   local fails = g.draw:chance(30)
   s:put(lane, fails and "error(%s, 0)" or "return %s, 'two'", g.draw:one(ERRORS))
   s:put(lane, "end)")
   if g.draw:chance(50) then g:nest(s, lane) end
   s:put(lane, "LOG(attempt(task.await, task))")
   s:put(lane, "LOG(task:done(), task:cancelled(), attempt(task.result, task))")
   s:put(lane, "end")
end)

statement("cancel a task that waits", 5, function(g, s, lane)
   s:put(lane, "do local task = child(%q, function()", name_of(s, lane))
   if g.draw:chance(60) then
      s:put(lane, "local _ <close> = closing(function(err)")
      s:put(lane, "LOG('closing', saros.is_cancelled(err))")
      if g.draw:chance(50) then s:put(lane, "LOG(attempt(saros.sleep, 0))") end
      s:put(lane, "saros.shield(saros.sleep, 0.001)")
      s:put(lane, "LOG('closed')")
      s:put(lane, "end)")
   end
   g:nest(s, lane)
   s:put(lane, "signal('ID waits')")
   local swallows = g.draw:chance(25)
   if swallows then
      s:put(lane, "LOG(attempt(function() %s end))", g.draw:one(BLOCKS))
      s:put(lane, "LOG('and on')")
      if g.draw:chance(50) then s:put(lane, "saros.sleep(0)") end
   else
      s:put(lane, g.draw:one(BLOCKS))
   end
   s:put(lane, "return 'ended'")
   s:put(lane, "end)")
   s:put(lane, "wait('ID waits')")
   s:put(lane, "LOG(task:cancel(%s))", g.draw:one({ "", '"enough"' }))
   s:put(lane, "LOG(attempt(task.await, task))")
   s:put(lane, "LOG(task:cancel(), task:done(), task:cancelled())")
   s:put(lane, "end")
end)

statement("cancel before the first step", 1, function(_, s, lane)
   s:put(lane, "do local task = child(%q, function() LOG('begun') saros.sleep(0) LOG('not reached') end)", name_of(s, lane))
   s:put(lane, "LOG(task:cancel('early'), attempt(task.await, task)) end")
end)

statement("gather", 3, function(g, s, lane)
   local fails, count = g.draw:chance(25), g.draw:between(2, 3)
   s:put(lane, "LOG(attempt(saros.gather,")
   for i = 1, count do
      s:put(lane, "named(%q, function()", name_of(s, lane, "-" .. i))
      g:nest(s, lane, 1)
      if fails and i < count then s:put(lane, "signal('ID %d')", i) end
      s:put(lane, fails and i == count and "error('one fails', 0)" or "return %d", i)
      s:put(lane, "end)%s", i < count and "," or "")
   end
   s:put(lane, "))")
   if fails then
      for i = 1, count - 1 do s:put(lane, "wait('ID %d')", i) end -- they go on
      s:put(lane, "LOG(attempt(function()")
      s:put(lane, "local got = saros.gather({ function() error('a', 0) end, function() return 2 end }, { return_errors = true })")
      s:put(lane, "return got.n, got[1], got[2]")
      s:put(lane, "end))")
   end
end)

statement("gather cancelled", 1, function(g, s, lane)
   s:put(lane, "LOG(saros.timeout(0.002, saros.gather,")
   for i = 1, 2 do
      s:put(lane, "named(%q, function()", name_of(s, lane, "-" .. i))
      s:put(lane, "local _ <close> = closing(function(err) LOG(saros.is_cancelled(err)) end)")
      s:put(lane, g.draw:one(BLOCKS))
      s:put(lane, "end)%s", i < 2 and "," or "")
   end
   s:put(lane, "))")
end)

statement("done callback", 2, function(g, s, lane)
   s:put(lane, "do local task, told = child(%q, function()", name_of(s, lane))
   g:nest(s, lane, 1)
   s:put(lane, "return 'result'")
   s:put(lane, "end), saros.future()")
   s:put(lane, "task:add_done_callback(function(t) told:set_result(t == task, t:result()) end)")
   s:put(lane, "LOG(told:await())")
   s:put(lane, "end")
end)

-- ---- futures, and queues of one's own ------------------------------------------------------------------------------

statement("future", 3, function(g, s, lane)
   local settle = g.draw:one({ ":set_result(1, nil, 'three')", ":set_error('failed')", ":cancel('off')", ":set_result()" })
   s:put(lane, "do local future = saros.future()")
   s:put(lane, g.draw:one({ "saros.call_soon(function() future%s end)", "saros.call_later(0.001, function() future%s end)",
                            "saros.spawn(function() saros.sleep(0) future%s end)", "future%s" }), settle)
   s:put(lane, "LOG(attempt(future.await, future))")
   s:put(lane, "LOG(future:state(), attempt(future.set_result, future, 2))")
   s:put(lane, "end")
end)

statement("queue of its own", 2, function(g, s, lane)
   local size = g.draw:number(3)
   s:put(lane, "do local q = saros.queue(%d)", size)
   for i = 1, size + 1 do s:put(lane, "LOG(q:try_put(%d))", i) end
   s:put(lane, "LOG(q:get(), #q, q:full(), q:empty())")
   s:put(lane, "q:shutdown(%s)", g.draw:one({ "", "true" }))
   s:put(lane, "LOG(q:put(9))")
   for _ = 1, size do s:put(lane, "LOG(q:get())") end
   s:put(lane, "end")
end)

statement("timeout of a queue", 1, function(g, s, lane)
   s:put(lane, "do local q = saros.queue(1)")
   if g.draw:chance(50) then
      s:put(lane, "LOG(saros.timeout(0.002, q.get, q), #q)")
      s:put(lane, "q:put('late') LOG(q:get())")
   else
      s:put(lane, "q:put('first') LOG(saros.timeout(0.002, q.put, q, 'second'), #q)")
      s:put(lane, "LOG(q:get(), #q)")
   end
   s:put(lane, "end")
end)

-- ---- what is told when all has ended ------------------------------------------------------------------------------

statement("error that nobody awaits", 1, function(g, s, lane)
   s:put(lane, "child(%q, function()", name_of(s, lane))
   g:nest(s, lane)
   s:put(lane, "signal('ID fails')")
   s:put(lane, "error('nobody awaits ID', 0)")
   s:put(lane, "end)")
   s:put(lane, "wait('ID fails')")
end, true)

statement("error in a callback", 1, function(_, s, lane)
   s:put(lane, "saros.call_soon(function() signal('ID called') error('callback ID', 0) end)")
   s:put(lane, "wait('ID called')")
end, true)

statement("task that is left over", 1, function(g, s, lane)
   s:put(lane, "child(%q, function()", name_of(s, lane))
   s:put(lane, "local _ <close> = closing(function(err) LOG(saros.is_cancelled(err)) end)")
   g:nest(s, lane)
   s:put(lane, "signal('ID waits')")
   s:put(lane, g.draw:one({ "saros.sleep(math.huge)", "saros.future():await()", "saros.queue():get()" }))
   s:put(lane, "end)")
   s:put(lane, "wait('ID waits')")
end, true)

return list
