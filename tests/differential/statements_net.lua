-- statements_net.lua: the statements about connections: what is written is read, in whatever pieces; who is interrupted.
--
-- A connection is two things in v, one for each end; each step leaves it with nothing on its way. A step that ends one
-- direction or the other marks it as gone. "EADDRINUSE" and other states of the machine cannot come up: ports are 0.

local function name_of(s, lane, suffix) return ("lane %d.%d%s"):format(lane, s.id, suffix or "") end

local list, first = {}, {}
local function statement(name, weight, make, early)
   list[#list + 1] = { name = name, weight = weight, make = make }
   if early then first[#first + 1] = list[#list] end
end

local function quote(text) return (("%q"):format(text):gsub("\\\n", "\\n")) end

local function address(g)
   return g.draw:one({ '"127.0.0.1:0"', '"127.0.0.1:0"', "socket_path('ID')", "socket_path('ID')", '"[::1]:0"',
                       '{ host = "127.0.0.1", port = 0 }' })
end

-- A connection of its own for a step that spoils it: c_ID in lane a, s_ID in lane b.
local function open(g, s, a, b, options)
   s:put(b, "v.l_ID = assert(saros.listen(%s%s)) signal('ID listens')", address(g), options or "")
   s:put(b, "v.s_ID = assert(v.l_ID:accept()) v.l_ID:close()")
   s:put(a, "wait('ID listens') v.c_ID = assert(saros.connect(v.l_ID:address()%s))", options or "")
end

statement("connect", 5, function(g, s)
   local a, b = g:two_lanes()
   open(g, s, a, b)
   s:put(a, "LOG(v.c_ID:peer_address())")
   s:put(b, "LOG(v.s_ID:local_address())")
   g:make_thing(s, { kind = "connection", a = "v.c_" .. s.id, lane_a = a, b = "v.s_" .. s.id, lane_b = b })
end, true)

statement("pair", 3, function(g, s)
   local a, b = g:two_lanes()
   s:put(a, "v.c_ID, v.s_ID = saros.pair() signal('ID')")
   s:put(a, "LOG(v.c_ID:peer_address(), saros.wait_writable(v.c_ID))")
   s:put(b, "wait('ID') LOG(v.s_ID:local_address())")
   g:make_thing(s, { kind = "connection", a = "v.c_" .. s.id, lane_a = a, b = "v.s_" .. s.id, lane_b = b })
end, true)

-- ---- reading and writing -----------------------------------------------------------------------------------------

-- Writes the text in pieces of any size, with or without a pause between.
local function put_pieces(g, s, lane, stream, text)
   local at = 1
   while at <= #text do
      local size = g.draw:chance(50) and #text or g.draw:number(7)
      local piece = text:sub(at, at + size - 1)
      if g.draw:chance(20) and #piece > 1 then
         s:put(lane, "%s:write(%s, %s)", stream, quote(piece:sub(1, 1)), quote(piece:sub(2)))
      else
         s:put(lane, "%s:write(%s)", stream, quote(piece))
      end
      if g.draw:chance(30) then s:put(lane, "saros.sleep(%g)", g.draw:one({ 0, 0, 0.001 })) end
      at = at + size
   end
end

-- What is read, and what has to be sent for it.
local READS = {
   function(g) return '"l"', g.draw:text(1, 12) .. "\n" end,
   function(g) return "", g.draw:text(1, 12) .. "\n" end,
   function() return '"l"', "\n" end,
   function(g) return '"L"', g.draw:text(1, 12) .. "\n" end,
   function(g) return '"n", "l"', g.draw:one({ "42", "-7", "0x1F", "3.25", "1e3", "  12" }) .. "\n" end,
   function(g) local text = g.draw:text(1, 12) return tostring(#text), text end,
   function(g) local text = g.draw:text(3, 9) return ("%d, %d"):format(1, #text - 1), text end,
   function(g) return '"l", "L"', g.draw:text(1, 5) .. "\n" .. g.draw:text(1, 5) .. "\n" end,
}

statement("read what is written", 9, function(g, s)
   local c, w, writer, r, reader = g:connection(s)
   if not c then return false end
   local all = {}
   for i = 1, g.draw:number(5) do
      local way = g.draw:number(10)
      if way <= 7 then
         local formats, text = g.draw:one(READS)(g)
         all[i] = text
         s:put(reader, "LOG(%s:read(%s))", r, formats)
      elseif way == 8 then
         all[i] = g.draw:text(1, 20)
         s:put(reader, "LOG(%s:read_exactly(%d))", r, #all[i])
      elseif way == 9 then
         local delimiter = g.draw:one({ "--", "aab", "\r\n", ";" })
         all[i] = g.draw:text(1, 9):gsub("a", "e") .. delimiter
         s:put(reader, "LOG(%s:read_until(%s))", r, quote(delimiter))
      else
         all[i] = g.draw:text(1, 30)
         s:put(reader, "LOG(gather_some(%s, %d))", r, #all[i])
      end
   end
   put_pieces(g, s, writer, w, table.concat(all))
end)

statement("both write, then both read", 2, function(g, s)
   local c, w, writer, r, reader = g:connection(s)
   if not c then return false end
   s:put(writer, "%s:write('from one end\\n') LOG(%s:read())", w, w)
   s:put(reader, "%s:write('from the other\\n') LOG(%s:read())", r, r)
end)

statement("much", 2, function(g, s)
   local c, w, writer, r, reader = g:connection(s)
   if not c then return false end
   local count = g.draw:one({ 70000, 600000, 6000000 }) -- the last is more than sockets hold
   s:put(writer, "LOG(%s:write(bytes(%d, ID)) == %s)", w, count, w)
   local call = g.draw:one({ "%s:read_exactly(%d)", "gather_some(%s, %d)", "%s:read(%d)" }):format(r, count)
   s:put(reader, "LOG((%s) == bytes(%d, ID))", call, count)
end)

statement("much in both directions", 2, function(g, s)
   local c, w, writer, r, reader = g:connection(s)
   if not c then return false end
   for _, one in ipairs({ { writer, w }, { reader, r } }) do
      s:put(one[1], "do local task = child(%q, function() LOG(%s:write(bytes(6000000, ID)) ~= nil) end)",
         name_of(s, one[1]), one[2])
      s:put(one[1], "LOG(%s:read_exactly(6000000) == bytes(6000000, ID)) task:await() end", one[2])
   end
end)

statement("several writers", 1, function(g, s)
   local c, w, writer, r, reader = g:connection(s)
   if not c then return false end
   s:put(writer, "saros.gather(function() %s:write(bytes(100000, 1)) end, function() %s:write(bytes(50000, 2)) end)", w, w)
   s:put(reader, "LOG(%s:read_exactly(100000), %s:read_exactly(50000))", r, r)
end)

statement("collect while reading", 1, function(g, s)
   local c, w, writer, r, reader = g:connection(s)
   if not c then return false end
   s:put(reader, "do local task = child(%q, function() LOG(%s:read(3, 'l')) end)", name_of(s, reader), r)
   s:put(reader, "saros.sleep(0) collectgarbage() task:await() end")
   s:put(writer, "%s:write('abc') collectgarbage() %s:write('def\\n')", w, w)
end)

-- ---- who is interrupted ------------------------------------------------------------------------------------------

statement("timeout of a read", 3, function(g, s)
   local c, w, writer, r, reader = g:connection(s)
   if not c then return false end
   local method = g.draw:one({ "read", "read_some", "read_exactly, %s, 9", "read_until, %s, ';'" })
   local call = method:find(",") and r .. "." .. method:format(r) or r .. "." .. method .. ", " .. r
   local partial = g.draw:chance(40) and method ~= "read_some"
   if partial then s:put(writer, "%s:write('part ') signal('ID part')", w) end
   if partial then s:put(reader, "wait('ID part')") end
   s:put(reader, "LOG(saros.timeout(0.003, %s)) signal('ID over')", call)
   s:put(writer, "wait('ID over') %s:write('whole\\n')", w)
   s:put(reader, "LOG(%s:read())", r)
end)

statement("cancel a reader", 3, function(g, s)
   local c, w, writer, r, reader = g:connection(s)
   if not c then return false end
   s:put(reader, "do local task = child(%q, function() signal('ID reads') LOG(%s:%s) end)", name_of(s, reader), r,
      g.draw:one({ "read()", "read(9)", "read('a')", "read_exactly(9)", "read_some()" }))
   s:put(reader, "wait('ID reads') task:cancel() LOG(attempt(task.await, task)) end")
   s:put(reader, "signal('ID over') LOG(%s:read())", r)
   s:put(writer, "wait('ID over') %s:write('after all\\n')", w)
end)

statement("second reader", 2, function(g, s)
   local c, w, writer, r, reader = g:connection(s)
   if not c then return false end
   s:put(reader, "do local task = child(%q, function() signal('ID reads') LOG(%s:read()) end)", name_of(s, reader), r)
   s:put(reader, "wait('ID reads') LOG(%s:read()) signal('ID busy') task:await() end", r)
   s:put(writer, "wait('ID busy') %s:write('for the first one\\n')", w)
end)

statement("close under a reader", 3, function(g, s)
   local c, w, writer, r, reader = g:connection(s)
   if not c then return false end
   s:put(reader, "do local task = child(%q, function() signal('ID reads') LOG(%s:%s) end)", name_of(s, reader), r,
      g.draw:one({ "read()", "read('a')", "read_exactly(5)", "read_some()", "read_until('x')" }))
   s:put(reader, "wait('ID reads') LOG(%s:close()) task:await() LOG(%s:close(), %s:read()) end", r, r, r)
   s:put(writer, "LOG(%s:read()) LOG(%s:close())", w, w)
   c.gone = true
end)

statement("writer interrupted", 2, function(g, s)
   local a, b = g:two_lanes()
   open(g, s, a, b)
   s:put(a, "do local task = child(%q, function()", name_of(s, a))
   s:put(a, "signal('ID writes')")
   s:put(a, "LOG(fate(v.c_ID:write(bytes(16000000, 1))))")
   s:put(a, "end)")
   s:put(a, "wait('ID writes')")
   if g.draw:chance(50) then
      s:put(a, "task:cancel('enough') LOG(attempt(task.await, task)) v.c_ID:close()")
   else
      s:put(a, "v.c_ID:close() LOG(attempt(task.await, task))")
   end
   s:put(a, "signal('ID over') end")
   s:put(b, "wait('ID over') v.s_ID:close()")
end)

statement("accept interrupted", 3, function(g, s)
   local a, b = g:two_lanes()
   s:put(b, "do local listener = assert(saros.listen(%s))", address(g))
   s:put(b, "local task = child(%q, function() signal('ID accepts') LOG(listener:accept()) end)", name_of(s, b))
   s:put(b, "wait('ID accepts')")
   if g.draw:chance(50) then
      s:put(b, "LOG(task:cancel(), attempt(task.await, task))")
      s:put(b, "v.where_ID = listener:address() signal('ID listens')")
      s:put(b, "local stream <close> = assert(listener:accept())")
      s:put(b, "LOG(stream:read('a')) listener:close()")
      s:put(a, "wait('ID listens')")
      s:put(a, "do local stream <close> = assert(saros.connect(v.where_ID)) stream:write('still there') end")
   else
      s:put(b, "LOG(listener:close(), attempt(task.await, task))")
      s:put(b, "LOG(listener:accept())")
   end
   s:put(b, "end")
end)

-- ---- the end -----------------------------------------------------------------------------------------------------

statement("half-close", 4, function(g, s)
   local c, w, writer, r, reader = g:connection(s)
   if not c then return false end
   local text = g.draw:text(0, 20)
   if g.draw:chance(50) then text = text .. "\n" end
   if #text > 0 then put_pieces(g, s, writer, w, text) end
   s:put(writer, "LOG(%s:shutdown() == %s) LOG(%s:write('late'))", w, w, w)
   local way = g.draw:number(5)
   if way == 1 then s:put(reader, "LOG(%s:read('a'))", r)
   elseif way == 2 then s:put(reader, "LOG(%s:read_exactly(50))", r)
   elseif way == 3 then s:put(reader, "LOG(%s:read_until('||'))", r)
   elseif way == 4 then
      s:put(reader, "for line in %s:lines(%s) do", r, g.draw:one({ "", '"L"', "4" }))
      s:put(reader, "LOG(line)")
      s:put(reader, "end")
   else s:put(reader, "LOG(gather_some(%s, 999))", r) end
   s:put(reader, "LOG(%s:read()) LOG(%s:read('a')) LOG(%s:write('the other way\\n') == %s)", r, r, r, r)
   s:put(writer, "LOG(%s:read()) LOG(%s:close())", w, w)
   s:put(reader, "LOG(%s:close())", r)
   c.gone = true
end)

statement("close", 2, function(g, s)
   local c, w, writer, r, reader = g:connection(s)
   if not c then return false end
   s:put(writer, "%s:write('the last\\n') LOG(%s:close(), %s:close()) LOG(%s:write('x')) LOG(%s:read())", w, w, w, w, w)
   s:put(reader, "LOG(%s:read(), %s:read()) LOG(%s:read()) %s:close()", r, r, r, r)
   c.gone = true
end)

statement("write to who is gone", 2, function(g, s)
   local a, b = g:two_lanes()
   open(g, s, a, b)
   s:put(b, "v.s_ID:close() signal('ID gone')")
   s:put(a, "wait('ID gone')")
   s:put(a, "do local state = 'open'")
   s:put(a, "for _ = 1, 1000 do")
   s:put(a, "state = gone(v.c_ID:write('anybody there?'))")
   s:put(a, "if state ~= 'open' then break end")
   s:put(a, "saros.sleep(0.001)")
   s:put(a, "end")
   s:put(a, "LOG(state, v.c_ID:close())")
   s:put(a, "end")
end)

statement("line that is too long", 1, function(g, s)
   local a, b = g:two_lanes()
   open(g, s, a, b, ", { line_limit = 16, all_limit = 40 }")
   s:put(a, "v.c_ID:write(('x'):rep(%d), '\\n', ('y'):rep(9), '\\n') v.c_ID:shutdown()", g.draw:one({ 16, 17, 40, 41, 90 }))
   s:put(b, "LOG(v.s_ID:read(%s)) LOG(v.s_ID:read(%d)) LOG(v.s_ID:read('a')) v.s_ID:close()", g.draw:one({ "", "'a'", "'L'" }),
      g.draw:number(40))
   s:put(a, "LOG(v.c_ID:read()) v.c_ID:close()")
end)

-- ---- connects that fail, servers ---------------------------------------------------------------------------------

-- Not to a port that was somebody's a moment ago: another process may have it by now, or the connect itself gets it.
statement("connect to nobody", 2, function(g, s)
   local a = g.draw:number(g.lanes)
   s:put(a, g.draw:one({
      "LOG(saros.connect('127.0.0.1:1'))",
      "LOG(saros.connect('[::1]:1'))",
      "LOG(saros.connect(socket_path('nobody')))",
      "LOG(saros.connect({ path = ('x'):rep(40) }))",
   }))
end)

-- A close is done when the driver has done it, and nothing tells of a listener's: hence the sleep.
statement("connect to the path of a listener that has closed", 1, function(g, s)
   local a = g.draw:number(g.lanes)
   s:put(a, "do local listener = assert(saros.listen(socket_path('ID')))")
   s:put(a, "LOG(listener:address(), listener:close()) saros.sleep(0.01)")
   s:put(a, "LOG(saros.connect(socket_path('ID')))")
   s:put(a, "end")
end)

statement("what is cancelled does not begin", 1, function(g, s)
   local a = g.draw:number(g.lanes)
   s:put(a, "do local listener <close> = assert(saros.listen(%s))", address(g))
   s:put(a, "LOG(saros.scope(function(scope)")
   s:put(a, "scope:cancel()")
   s:put(a, "LOG(attempt(%s))", g.draw:one({ "saros.connect, listener:address()", "listener.accept, listener" }))
   s:put(a, "end))")
   s:put(a, "end")
end)

statement("serve", 4, function(g, s)
   local a, b = g:two_lanes()
   local clients, lines = g.draw:between(1, 4), g.draw:number(3)
   s:put(a, "v.server_ID = assert(saros.serve(%s, function(stream)", address(g))
   s:put(a, "for line in stream:lines() do")
   if g.draw:chance(50) then s:put(a, "saros.sleep(0.001)") end
   s:put(a, "stream:write(line:upper(), '\\n')")
   s:put(a, "end")
   s:put(a, "end%s)) signal('ID serves')", g.draw:one({ "", ", { limit = 1 }", ", { limit = 2 }" }))
   s:put(b, "wait('ID serves')")
   s:put(b, "saros.gather(")
   for i = 1, clients do
      s:put(b, "named(%q, function()", name_of(s, b, "-" .. i))
      s:put(b, "local stream <close> = assert(saros.connect(v.server_ID:address()))")
      s:put(b, "for i = 1, %d do", lines)
      s:put(b, "stream:write('line ', tostring(i), '\\n')")
      s:put(b, "LOG(stream:read())")
      s:put(b, "end")
      s:put(b, "end)%s", i < clients and "," or "")
   end
   s:put(b, ")")
   s:put(b, "signal('ID served')")
   s:put(a, "wait('ID served') LOG(v.server_ID:shutdown(60))")
end)

statement("handler that fails", 1, function(g, s)
   local a, b = g:two_lanes()
   s:put(a, "v.server_ID = assert(saros.serve(%s, function(stream)", address(g))
   s:put(a, "if stream:read() == 'fail' then error('handler ID', 0) end")
   s:put(a, "stream:write('fine\\n')")
   s:put(a, "end)) signal('ID serves')")
   s:put(b, "wait('ID serves')")
   s:put(b, "for _, word in ipairs({ 'fail', 'go on' }) do")
   s:put(b, "local stream <close> = assert(saros.connect(v.server_ID:address()))")
   s:put(b, "stream:write(word, '\\n') LOG(stream:read())")
   s:put(b, "end")
   s:put(b, "signal('ID served')")
   s:put(a, "wait('ID served') LOG(v.server_ID:close()) LOG(v.server_ID:wait())")
end)

statement("server ended under its handlers", 1, function(g, s)
   local a, b = g:two_lanes()
   s:put(a, "v.server_ID = assert(saros.serve(%s, named(%q, function(stream)", address(g), name_of(s, a))
   s:put(a, "local _ <close> = closing(function(err) LOG(saros.is_cancelled(err)) end)")
   s:put(a, "signal('ID handles') stream:read('a')")
   s:put(a, "end))) signal('ID serves')")
   s:put(a, "wait('ID handles') LOG(v.server_ID:shutdown(0.002))")
   s:put(b, "wait('ID serves')")
   s:put(b, "do local stream <close> = assert(saros.connect(v.server_ID:address())) LOG(stream:read()) end")
end)

return { all = list, first = first }
