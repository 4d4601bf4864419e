-- statements_datagrams.lua: the statements about datagrams: they come whole, in order, and from whom; who is interrupted.
--
-- Two sockets are one thing in v, one for each end, each with the other's address. On a loopback nothing is lost as long
-- as what waits is little; each step leaves nothing on its way. Whether there is room is left to chance, so nobody waits
-- for it.

local function name_of(s, lane) return ("lane %d.%d"):format(lane, s.id) end

local list, first = {}, {}
local function statement(name, weight, make, early)
   list[#list + 1] = { name = name, weight = weight, make = make }
   if early then first[#first + 1] = list[#list] end
end

local function address(g) return g.draw:one({ "127.0.0.1:0", "127.0.0.1:0", "[::1]:0" }) end

-- Two open sockets: the sender's, its lane, the other one's, its lane.
local function sockets(g, s)
   local t = g:thing(s, function(thing) return thing.kind == "datagrams" end)
   if not t then return nil end
   if g.draw:chance(50) then return t, t.a, t.lane_a, t.b, t.lane_b end
   return t, t.b, t.lane_b, t.a, t.lane_a
end

statement("datagram sockets", 3, function(g, s)
   local a, b = g:two_lanes()
   local where = address(g)
   s:put(a, "v.u_ID = assert(saros.udp(%q)) signal('ID a')", where)
   s:put(b, "v.w_ID = assert(saros.udp(%q)) signal('ID b')", where)
   s:put(a, "wait('ID b') LOG(v.u_ID:local_address(), v.u_ID:peer_address())")
   s:put(b, "wait('ID a')")
   g:make_thing(s, { kind = "datagrams", a = "v.u_" .. s.id, lane_a = a, b = "v.w_" .. s.id, lane_b = b })
end, true)

statement("datagrams, one after the other", 5, function(g, s)
   local t, from, sender, to, receiver = sockets(g, s)
   if not t then return false end
   local count = g.draw:number(6)
   for _ = 1, count do
      s:put(sender, "LOG(%s:send(%q, %s:local_address()) == %s)", from, g.draw:text(0, 20), to, from)
      if g.draw:chance(30) then s:put(sender, "saros.sleep(%g)", g.draw:one({ 0, 0.001 })) end
      s:put(receiver, "LOG(%s:receive(%s))", to, g.draw:one({ "", "", "10", "1" }))
   end
end)

statement("datagrams, there and back", 3, function(g, s)
   local t, from, sender, to, receiver = sockets(g, s)
   if not t then return false end
   s:put(sender, "LOG(%s:send(bytes(%d, ID), %s:local_address()) == %s)", from, g.draw:one({ 0, 1, 1400, 9000 }), to, from)
   s:put(receiver, "do local data, whose = %s:receive()", to)
   s:put(receiver, "LOG(data, whose, %s:send(data:upper(), whose) == %s) end", to, to)
   s:put(sender, "LOG(%s:receive())", from)
end)

statement("a datagram that is too long", 1, function(g, s)
   local t, from, sender, to = sockets(g, s)
   if not t then return false end
   s:put(sender, "LOG(%s:send(('x'):rep(70000), %s:local_address()))", from, to)
end)

statement("datagrams without an address", 1, function(g, s)
   local t, from, sender = sockets(g, s)
   if not t then return false end
   s:put(sender, "LOG(%s:send('to whom?'))", from)
end)

statement("datagrams of several tasks", 1, function(g, s)
   local t, from, sender, to, receiver = sockets(g, s)
   if not t then return false end
   s:put(sender, "do local to = %s:local_address()", to)
   s:put(sender, "saros.gather(function() for i = 1, 5 do %s:send('a' .. i, to) end end,", from)
   s:put(sender, "function() for i = 1, 5 do %s:send('b' .. i, to) end end) end", from)
   s:put(receiver, "do local got = {}")
   s:put(receiver, "for i = 1, 10 do got[i] = %s:receive() end", to)
   s:put(receiver, "table.sort(got) LOG(table.concat(got, ' ')) end")
end)

-- ---- peers -----------------------------------------------------------------------------------------------------------

statement("a peer of one's own", 2, function(g, s)
   local a, b = g:two_lanes()
   s:put(a, "v.u_ID = assert(saros.udp(%q)) signal('ID a')", "127.0.0.1:0")
   s:put(b, "wait('ID a') v.w_ID = assert(saros.udp('127.0.0.1:0')) v.stranger_ID = assert(saros.udp('127.0.0.1:0'))")
   s:put(b, "signal('ID b') wait('ID connected')")
   s:put(a, "wait('ID b') LOG(v.u_ID:connect(v.w_ID:local_address()) == v.u_ID, v.u_ID:peer_address())")
   s:put(a, "LOG(v.u_ID:send('x', '127.0.0.1:9')) signal('ID connected')")
   s:put(b, "v.stranger_ID:send('not you', v.u_ID:local_address())")
   s:put(b, "v.w_ID:send('from the peer', v.u_ID:local_address()) LOG(v.w_ID:receive()) v.w_ID:close() v.stranger_ID:close()")
   s:put(a, "LOG(v.u_ID:receive()) v.u_ID:send('answer')")
   if g.draw:chance(50) then s:put(a, "LOG(v.u_ID:connect() == v.u_ID, v.u_ID:peer_address())") end
   s:put(a, "LOG(v.u_ID:close())")
end)

-- To a port that nobody has: those below 1024 are nobody's in passing.
statement("a datagram to nobody", 2, function(g, s)
   local a = g.draw:number(g.lanes)
   s:put(a, "do local u <close> = assert(saros.udp('127.0.0.1:0'))")
   s:put(a, "u:connect('127.0.0.1:1') u:send('is there anybody?') LOG(u:receive())")
   s:put(a, "LOG(saros.timeout(0.003, u.receive, u))") -- it is told once
   s:put(a, "end")
end)

-- ---- who is interrupted ----------------------------------------------------------------------------------------------

statement("timeout of a datagram", 2, function(g, s)
   local t, from, sender, to, receiver = sockets(g, s)
   if not t then return false end
   s:put(receiver, "LOG(saros.timeout(0.003, %s.receive, %s)) signal('ID over')", to, to)
   s:put(sender, "wait('ID over') %s:send('late', %s:local_address())", from, to)
   s:put(receiver, "LOG(%s:receive())", to)
end)

statement("cancel who waits for a datagram", 2, function(g, s)
   local t, from, sender, to, receiver = sockets(g, s)
   if not t then return false end
   s:put(receiver, "do local task = child(%q, function() signal('ID waits') LOG(%s:receive()) end)", name_of(s, receiver), to)
   s:put(receiver, "wait('ID waits')")
   s:put(receiver, "LOG(%s:receive())", to) -- EBUSY
   s:put(receiver, "task:cancel() LOG(attempt(task.await, task)) end")
   s:put(receiver, "signal('ID over') LOG(%s:receive())", to)
   s:put(sender, "wait('ID over') %s:send('after all', %s:local_address())", from, to)
end)

statement("close under who waits for a datagram", 1, function(g, s)
   local t, _, sender, to, receiver = sockets(g, s)
   if not t then return false end
   s:put(receiver, "do local task = child(%q, function()", name_of(s, receiver))
   s:put(receiver, "signal('ID waits')")
   s:put(receiver, g.draw:one({ "LOG(%s:receive())", "for data in %s:datagrams() do LOG(data) end LOG('the end')" }), to)
   s:put(receiver, "end)")
   s:put(receiver, "wait('ID waits') LOG(%s:close()) task:await() LOG(%s:close(), %s:receive()) end", to, to, to)
   s:put(receiver, "LOG(%s:send('x', '127.0.0.1:9')) signal('ID closed')", to)
   s:put(sender, "wait('ID closed')")
   t.gone = true
end)

return { all = list, first = first }
