-- statements_pairs.lua: the statements of two lanes in one process: queues, futures, cancelling each other's tasks.

local function name_of(s, lane, suffix) return ("lane %d.%d%s"):format(lane, s.id, suffix or "") end

local list = {}
local function statement(name, weight, make) list[#list + 1] = { name = name, weight = weight, make = make } end

statement("hand over a value", 3, function(g, s)
   local a, b = g:two_lanes()
   s:put(a, "signal('ID', %d, %q)", g.draw:number(99), g.draw:text(1, 5))
   s:put(b, "LOG(wait('ID'))")
end)

statement("meet", 2, function(g, s)
   local a, b = g:two_lanes()
   s:put(a, "signal('ID a') LOG(wait('ID b'))")
   s:put(b, "signal('ID b') LOG(wait('ID a'))")
end)

statement("error through a future", 1, function(g, s)
   local a, b = g:two_lanes()
   s:put(a, "v.f_ID = saros.future() signal('ID') wait('ID waits') LOG(v.f_ID:set_error({ code = 'EODD' }))")
   s:put(b, "wait('ID') signal('ID waits') LOG(attempt(saros.await, v.f_ID))")
end)

statement("queue from lane to lane", 4, function(g, s)
   local a, b = g:two_lanes()
   local count, size = g.draw:between(1, 6), g.draw:one({ 0, 1, 1, 2, 5 })
   s:put(a, "v.q_ID = saros.queue(%d) signal('ID')", size)
   s:put(a, "for i = 1, %d do", count)
   s:put(a, "v.q_ID:put(i)")
   if g.draw:chance(40) then s:put(a, "saros.sleep(%g)", g.draw:one({ 0, 0.001 })) end
   s:put(a, "end")
   s:put(b, "wait('ID')")
   if g.draw:chance(50) then
      s:put(a, "v.q_ID:shutdown() LOG(v.q_ID:put('late'))")
      s:put(b, "for item in v.q_ID:items() do")
      s:put(b, "LOG(item)")
      s:put(b, "end")
      s:put(b, "LOG(v.q_ID:get())")
   else
      s:put(a, "LOG(v.q_ID:join())")
      s:put(b, "for _ = 1, %d do", count)
      s:put(b, "LOG(v.q_ID:get()) v.q_ID:task_done()")
      s:put(b, "end")
      s:put(b, "LOG(attempt(v.q_ID.task_done, v.q_ID))")
   end
end)

statement("several producers", 2, function(g, s)
   local a, b = g:two_lanes()
   local producers, each = g.draw:between(2, 3), g.draw:number(4)
   s:put(a, "v.q_ID, v.t_ID = saros.queue(%d), {} signal('ID')", g.draw:number(2))
   for k = 1, producers do
      s:put(a, "v.t_ID[%d] = child(%q, function()", k, name_of(s, a, "-" .. k))
      s:put(a, "for i = 1, %d do", each)
      s:put(a, "v.q_ID:put({ %d, i })", k)
      if g.draw:chance(50) then s:put(a, "saros.sleep(0)") end
      s:put(a, "end")
      s:put(a, "end)")
   end
   s:put(a, "saros.gather(v.t_ID)")
   s:put(b, "wait('ID')")
   s:put(b, "do local of = {}")
   s:put(b, "for _ = 1, %d do", producers * each)
   s:put(b, "local item = v.q_ID:get()")
   s:put(b, "of[item[1]] = (of[item[1]] or '') .. item[2]")
   s:put(b, "end")
   s:put(b, "LOG(table.concat(of, ' '))")
   s:put(b, "end")
end)

statement("queue shut down under who waits", 2, function(g, s)
   local a, b = g:two_lanes()
   local full = g.draw:chance(40)
   s:put(a, "v.q_ID = saros.queue(1) signal('ID')")
   s:put(a, "wait('ID waits') LOG(v.q_ID:shutdown(%s))", g.draw:one({ "", "true" }))
   s:put(b, "wait('ID')")
   if full then s:put(b, "v.q_ID:put('first')") end
   s:put(b, "signal('ID waits')")
   s:put(b, full and "LOG(v.q_ID:put('second'))" or "LOG(v.q_ID:get())")
   s:put(b, "LOG(v.q_ID:get())")
end)

statement("cancel the other's task", 4, function(g, s)
   local a, b = g:two_lanes()
   s:put(a, "v.t_ID = child(%q, function()", name_of(s, a))
   s:put(a, "local _ <close> = closing(function(err) LOG(saros.is_cancelled(err)) end)")
   g:nest(s, a, 1)
   s:put(a, "signal('ID waits')")
   s:put(a, g.draw:one({ "saros.sleep(math.huge)", "saros.future():await()", "saros.shield(wait, 'ID cancelled') saros.sleep(0)",
                         "saros.gather(function() saros.sleep(math.huge) end)" }))
   s:put(a, "end)")
   s:put(a, "LOG(attempt(v.t_ID.await, v.t_ID))")
   s:put(b, "wait('ID waits') LOG(v.t_ID:cancel('the other')) signal('ID cancelled')")
   if g.draw:chance(50) then s:put(b, "LOG(attempt(saros.await, v.t_ID))") end
end)

statement("await by two", 1, function(g, s)
   local a, b = g:two_lanes()
   s:put(a, "v.t_ID = child(%q, function()", name_of(s, a))
   g:nest(s, a, 1)
   s:put(a, g.draw:chance(50) and "return 'for both'" or "error('for both', 0)")
   s:put(a, "end)")
   s:put(a, "signal('ID') LOG(attempt(v.t_ID.await, v.t_ID))")
   s:put(b, "wait('ID') LOG(attempt(v.t_ID.await, v.t_ID))")
end)

statement("one of two who wait goes", 1, function(g, s)
   local a, b = g:two_lanes()
   s:put(a, "v.q_ID = saros.queue() v.t_ID = child(%q, function()", name_of(s, a))
   s:put(a, "signal('ID first')")
   s:put(a, "v.q_ID:get()")
   s:put(a, "end)")
   s:put(a, "wait('ID second') v.t_ID:cancel() LOG(v.q_ID:put('for who is left'), attempt(v.t_ID.await, v.t_ID))")
   s:put(b, "wait('ID first') signal('ID second') LOG(v.q_ID:get())")
end)

return list
