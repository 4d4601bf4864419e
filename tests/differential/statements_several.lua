-- statements_several.lua: the statements of one lane about several tasks at once: groups, race, wait, as_completed, map.
-- See generate.lua for what an entry is, and for the rule that keeps races out.

local BLOCKS = {
   "saros.sleep(math.huge)",
   "saros.future():await()",
   "saros.queue():get()",
   "saros.group(function(g) g:spawn(saros.sleep, math.huge) end)",
   "saros.race(saros.future(), math.huge)",
   "saros.wait({ saros.future() })",
   "saros.map({ math.huge }, saros.sleep)",
}

local FORMS = { -- how a group is opened, and how its body ends
   { "LOG(attempt(saros.group, function(g)", "end))" },
   { "LOG(attempt(function() local g <close> = saros.group()", "end))" },
}

local function name_of(s, lane, suffix) return ("lane %s.%d%s"):format(lane, s.id, suffix or "") end

local list = {}
local function statement(name, weight, make)
   list[#list + 1] = { name = name, weight = weight, make = make, alone = true }
end

-- A function as argument: it waits for good, and has signalled before; its <close> variable is logged.
local function put_blocked(g, s, lane, suffix)
   s:put(lane, "named(%q, function()", name_of(s, lane, suffix))
   s:put(lane, "local _ <close> = closing(function(err)")
   s:put(lane, "LOG('closing', saros.is_cancelled(err))")
   if g.draw:chance(50) then s:put(lane, "saros.shield(saros.sleep, 0.001) LOG('closed')") end
   s:put(lane, "end)")
   s:put(lane, "signal('ID%s waits')", suffix)
   s:put(lane, g.draw:one(BLOCKS))
   s:put(lane, "end)")
end

-- ---- groups --------------------------------------------------------------------------------------------------------

statement("group", 3, function(g, s, lane)
   local form = g.draw:one(FORMS)
   s:put(lane, form[1])
   for i = 1, g.draw:number(3) do
      s:put(lane, "g:spawn(named(%q, function()", name_of(s, lane, "-" .. i))
      g:nest(s, lane, 1)
      if g.draw:chance(30) then
         s:put(lane, "g:spawn(named(%q, function() LOG(%d) end))", name_of(s, lane, "-" .. i .. "-child"), i)
      end
      s:put(lane, "end))")
   end
   g:nest(s, lane, 1)
   s:put(lane, "return 'body', 2")
   s:put(lane, form[2])
end)

statement("group of which one fails", 3, function(g, s, lane)
   s:put(lane, "do local ok, err = saros.pcall(saros.group, function(g)")
   s:put(lane, "g:spawn(")
   put_blocked(g, s, lane, "-1")
   s:put(lane, ")")
   s:put(lane, "g:spawn(named(%q, function()", name_of(s, lane, "-2"))
   s:put(lane, "wait('ID-1 waits') wait('ID body')")
   g:nest(s, lane, 1)
   s:put(lane, "error('fails', 0)")
   s:put(lane, "end)):set_name('bad')")
   s:put(lane, "local _ <close> = closing(function(err) LOG(saros.is_cancelled(err)) end)")
   s:put(lane, "signal('ID body')")
   s:put(lane, g.draw:one(BLOCKS))
   s:put(lane, "end)")
   s:put(lane, "LOG(ok, #err.errors, err.errors[1], err.tasks[1])")
   s:put(lane, "end")
end)

statement("group that is cancelled", 2, function(g, s, lane)
   local form = g.draw:one(FORMS)
   s:put(lane, form[1])
   s:put(lane, "g:spawn(")
   put_blocked(g, s, lane, "-1")
   s:put(lane, ")")
   s:put(lane, "wait('ID-1 waits')")
   s:put(lane, "LOG(g:cancel(%s))", g.draw:one({ "", "'why'" }))
   if g.draw:chance(50) then s:put(lane, "saros.sleep(0) LOG('not reached')") end
   s:put(lane, form[2])
end)

statement("group under a timeout", 2, function(g, s, lane)
   s:put(lane, "LOG(saros.timeout(0.002, saros.group, function(g)")
   s:put(lane, "g:spawn(")
   put_blocked(g, s, lane, "-1")
   s:put(lane, ")")
   if g.draw:chance(50) then s:put(lane, g.draw:one(BLOCKS)) end
   s:put(lane, "end))")
end)

statement("group with a limit", 1, function(g, s, lane)
   local limit = g.draw:number(3)
   s:put(lane, "do local live, most = 0, 0")
   s:put(lane, "saros.group({ limit = %d }, function(g)", limit)
   s:put(lane, "for _ = 1, 5 do g:spawn(function()")
   s:put(lane, "live = live + 1 most = math.max(most, live)")
   s:put(lane, g.draw:one({ "saros.sleep(0)", "saros.sleep(0.001)" }))
   s:put(lane, "live = live - 1")
   s:put(lane, "end) end end)")
   s:put(lane, "LOG(live, most)")
   s:put(lane, "end")
end)

statement("start in a group", 1, function(g, s, lane)
   local ending = g.draw:one({ "ready(1, nil, 'three')", "error('early', 0)", "saros.sleep(0)" })
   s:put(lane, "saros.group(function(g)")
   s:put(lane, "LOG(attempt(g.start, g, named(%q, function(ready)", name_of(s, lane, "-1"))
   g:nest(s, lane, 1)
   s:put(lane, ending)
   s:put(lane, "saros.sleep(0)")
   s:put(lane, "LOG('ends')")
   s:put(lane, "end)))")
   s:put(lane, "end)")
end)

statement("group in the background", 1, function(g, s, lane)
   s:put(lane, "LOG(saros.group({ background = true }, function(g)")
   s:put(lane, "g:spawn(")
   put_blocked(g, s, lane, "-1")
   s:put(lane, ")")
   g:nest(s, lane, 1)
   s:put(lane, "wait('ID-1 waits')")
   s:put(lane, "return 'body'")
   s:put(lane, "end))")
end)

-- ---- race, wait, as_completed, map ---------------------------------------------------------------------------------

statement("race", 3, function(g, s, lane)
   s:put(lane, "LOG(attempt(saros.race,")
   put_blocked(g, s, lane, "-1")
   s:put(lane, ",")
   s:put(lane, "named(%q, function()", name_of(s, lane, "-2"))
   g:nest(s, lane, 1)
   s:put(lane, "wait('ID-1 waits') wait('ID-3 waits')")
   s:put(lane, g.draw:one({ "return 'won', 2", "error('the first that ends has failed', 0)" }))
   s:put(lane, "end),")
   put_blocked(g, s, lane, "-3")
   s:put(lane, "))")
end)

statement("race of two queues", 2, function(g, s, lane)
   s:put(lane, "do local a, b = saros.queue(), saros.queue()")
   s:put(lane, "local function getting(q) return setmetatable({}, { __await = function() return q:get() end }) end")
   if g.draw:chance(50) then
      s:put(lane, "a:put(1) b:put(2)")
      s:put(lane, "LOG(saros.race(getting(a), getting(b)))")
   else
      s:put(lane, "saros.call_later(0.001, function() b:try_put(2) a:try_put(1) end)")
      s:put(lane, "LOG(select('#', saros.race(getting(a), getting(b))))")
   end
   s:put(lane, "saros.sleep(0) LOG(#a + #b)")
   s:put(lane, "end")
end)

statement("wait for several", 2, function(g, s, lane)
   s:put(lane, "do local never, task = saros.future(), child(%q, function()", name_of(s, lane, "-1"))
   g:nest(s, lane, 1)
   s:put(lane, g.draw:one({ "return 1", "error('x', 0)" }))
   s:put(lane, "end)")
   s:put(lane, "local done, pending = saros.wait({ never, task }, { %s })",
      g.draw:one({ "return_when = 'first'", "return_when = 'first', timeout = 60" }))
   s:put(lane, "LOG(#done, #pending, done[1] == task, attempt(task.await, task))")
   s:put(lane, "done, pending = saros.wait({ never }, { timeout = %g })", g.draw:one({ -1, 0, 0.002 }))
   s:put(lane, "LOG(#done, #pending, never:state())")
   s:put(lane, "end")
end)

statement("as_completed", 1, function(g, s, lane)
   local order = g.draw:one({ { 1, 2, 3 }, { 3, 1, 2 }, { 2, 3, 1 } })
   s:put(lane, "do local list, order = {}, {}")
   for i = 1, 3 do
      s:put(lane, "list[%d] = named(%q, function()", order[i], name_of(s, lane, "-" .. i))
      if i > 1 then s:put(lane, "wait('ID ends %d')", i - 1) end
      g:nest(s, lane, 1)
      s:put(lane, "signal('ID ends %d')", i)
      s:put(lane, "return %d", i)
      s:put(lane, "end)")
   end
   s:put(lane, "for task in saros.as_completed(list) do order[#order + 1] = task:await() end")
   s:put(lane, "LOG(table.concat(order, ' '))")
   s:put(lane, "end")
end)

statement("map", 2, function(g, s, lane)
   local options = g.draw:one({ "", ", { limit = 1 }", ", { limit = 2 }", ", { return_errors = true }" })
   s:put(lane, "LOG(attempt(function() local got = saros.map({ 1, 2, 3, 4 }, function(x)")
   s:put(lane, "saros.sleep(%g)", g.draw:one({ 0, 0.001 }))
   if g.draw:chance(30) then s:put(lane, "if x == 2 then error('two', 0) end") end
   s:put(lane, "return 2 * x end%s)", options)
   s:put(lane, "return got.n, table.unpack(got, 1, got.n)")
   s:put(lane, "end))")
end)

return list
