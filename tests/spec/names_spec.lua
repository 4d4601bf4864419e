-- names_spec.lua: names of hosts: saros.resolve, and connecting by name.

local saros = require "saros"
local kit = require "support.kit"
require("support.leaks")(before_each, after_each)

local it_asks = kit.needs("sockets", it, pending) -- the system's name service; a simulated world has its own

-- The service is begun with the first question, and has descriptors of its own until the loop closes.
if not kit.lacks("sockets") then saros.resolve("127.0.0.1", "80") end

-- Every address as "host port family".
local function flat(list, message)
   assert(list, message)
   local texts = {}
   for i, address in ipairs(list) do
      texts[i] = ("%s %d %s"):format(address.host, address.port, address.family)
   end
   return table.concat(texts, ", ")
end

-- Runs fn while saros.resolve answers `list`.
local function with_addresses(list, fn)
   local resolve = saros.resolve
   local _ <close> = setmetatable({}, {__close = function() saros.resolve = resolve end})
   saros.resolve = function(_, port)
      saros.sleep(0)
      for _, address in ipairs(list) do address.port = address.port or port end
      return list
   end
   return fn()
end

describe("saros.resolve", function()
   it("gives a number back as it is, without asking anybody", function()
      assert.are.equal("127.0.0.1 80 inet", flat(saros.resolve("127.0.0.1", 80)))
      assert.are.equal("::1 0 inet6", flat(saros.resolve("::1")))
      assert.are.equal("::1 65535 inet6", flat(saros.resolve("::1", 65535, {family = "inet6"})))
      assert.are.equal("ENAME", (select(3, saros.resolve("::1", 1, {family = "inet"}))))
   end)

   it_asks("asks the system for a service's name, and for a family of addresses", function()
      assert.are.equal("127.0.0.1 80 inet", flat(saros.resolve("127.0.0.1", "80", {family = "inet"})))
      assert.are.equal("127.0.0.1 1 inet", flat(saros.resolve("localhost", 1, {family = "inet"})))
   end)

   it_asks("says which name there is not", function()
      local list, message, code = saros.resolve(kit.nobody(), 80)
      assert.is_nil(list)
      assert.are.equal("resolve " .. kit.nobody() .. ": no such name", message)
      assert.are.equal("ENAME", code)
   end)

   it_asks("J12: is bounded where servers fail, say too much, or nothing, and then holds up no file", function()
      local config, _ <close> = kit.temporary("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
      local apart = ([[unshare -rmn sh -c 'ip link set lo up && mount --bind %s /etc/resolv.conf && exec "$@"' sh]]):format(config)
      if not os.execute(apart .. " true 2>/dev/null") then kit.skip("no namespaces here, in which there is another server") end
      local output, errors = kit.run_apart(apart .. " env SAROS_DRIVER=" .. kit.driver, "-e", [[
         local saros = require "saros"
         local asked = saros.event()
         local function reply(query, flags, count, records)
            return query:sub(1, 2) .. string.pack(">I2I2I2I2I2", flags, 1, count, 0, 0)
               .. query:sub(13):match("^.-\0....") .. records
         end
         local server = assert(saros.udp("127.0.0.1:53"))
         saros.spawn(function()
            for query, from in function() return server:receive() end do
               if query:find("broken", 1, true) then server:send(reply(query, 0x8182, 0, ""), from) -- SERVFAIL
               elseif query:find("many", 1, true) then server:send(reply(query, 0x8380, 0, ""), from) -- too much for UDP
               else asked:set() end
            end
         end)
         local streams = saros.serve("127.0.0.1:53", function(stream)
            for size in function() return (stream:read_exactly(2)) end do
               local query, records = stream:read_exactly((string.unpack(">I2", size))), {}
               for i = 1, query:sub(-4) == "\0\1\0\1" and 1000 or 0 do -- for an A, not for an AAAA
                  records[i] = string.pack(">I2I2I2I4s2", 0xc00c, 1, 1, 0, string.char(10, 1, i // 256, i % 256))
               end
               stream:write(string.pack(">s2", reply(query, 0x8180, #records, table.concat(records))))
            end
         end)
         print(saros.resolve("broken.test.", 80))
         print(#assert(saros.resolve("many.test.", 80)))
         local stuck = {}
         for i = 1, 8 do stuck[i] = saros.spawn(saros.resolve, "stuck" .. i .. ".test.", 80) end
         asked:wait()
         for _ = 1, 20 do assert(saros.fs.stat("/")) end
         print(stuck[1]:done(), stuck[8]:done())
         for i = 3, 8 do
            stuck[i]:cancel()
            saros.pcall(stuck[i].await, stuck[i])
         end
         print(stuck[1]:done())
         print(stuck[1]:await())
         streams:close()
         server:close()]])
      local failed <const> = "nil\tresolve %s.test.: no server of names answers now\tEAGAIN\n"
      assert.are.equal(failed:format("broken") .. "64\nfalse\tfalse\nfalse\n" .. failed:format("stuck1"), output, errors)
   end)

   it("takes a name whole or not at all", function()
      assert.are.equal("ENAMETOOLONG", (select(3, saros.resolve(("a"):rep(256), 80))))
      kit.raises("bad argument #1", saros.resolve, "127.0.0.1\0.example")
      kit.raises("bad argument #1", saros.resolve, "")
      kit.raises("bad argument #2", saros.resolve, "localhost", "80\0")
      kit.raises("bad argument #2", saros.resolve, "localhost", 65536)
      kit.raises("option 'family'", saros.resolve, "localhost", 80, {family = "unix"})
      kit.raises("familiy", saros.resolve, "localhost", 80, {familiy = "inet"})
   end)

   it_asks("46: is abandoned by a task that is cancelled, which goes on at once", function()
      local tasks = {}
      for i = 1, 20 do
         tasks[i] = saros.spawn_now(saros.resolve, kit.nobody(i), 80)
         tasks[i]:cancel()
      end
      kit.turns(2)
      for _, task in ipairs(tasks) do
         assert.is_true(task:done())
         assert.are.equal(not task:cancelled(), (saros.pcall(task.await, task))) -- or it was told within these turns
      end
   end)

   it_asks("answers many at once, and in a loop that is closed while they ask", function()
      local tasks = {}
      for i = 1, 50 do tasks[i] = saros.spawn(saros.resolve, "127.0.0.1", "80") end
      for _, task in ipairs(tasks) do assert.are.equal("127.0.0.1 80 inet", flat(task:await())) end
      local loop <close> = saros.loop({driver = kit.driver})
      loop:run(function()
         for i = 1, 5 do saros.spawn(saros.resolve, kit.nobody(i), 80) end
         saros.sleep(0)
      end)
   end)
end)

describe("connecting to a name", function()
   local function echo()
      local server = saros.serve("127.0.0.1:0", function(stream) stream:write(stream:read("L") or "") end)
      return server, math.tointeger(server:address():match(":(%d+)$"))
   end

   it_asks("tries its addresses until one answers", function()
      local _ <close>, port = echo()
      local stream <close> = with_addresses({{host = "127.0.0.1", port = 1, family = "inet"}, {host = "127.0.0.1", family = "inet"}},
         function() return assert(saros.connect("example.test:" .. port)) end)
      stream:write("hello\n")
      assert.are.equal("hello", stream:read())
      assert.are.equal("127.0.0.1:" .. port, stream:peer_address())
   end)

   it_asks("names what each address has said where none answers", function()
      local stream, message, code = with_addresses(
         {{host = "127.0.0.1", port = 1, family = "inet"}, {host = "127.0.0.2", port = 1, family = "inet"}},
         function() return saros.connect("example.test:1") end)
      assert.is_nil(stream)
      assert.are.equal("connect example.test:1: 127.0.0.1:1: connection refused; 127.0.0.2:1: connection refused", message)
      assert.are.equal("ECONNREFUSED", code)
   end)

   it_asks("says which name there is not", function()
      local stream, message, code = saros.connect({host = kit.nobody(), port = 80})
      assert.is_nil(stream)
      assert.are.equal("connect " .. kit.nobody() .. ":80: no such name", message)
      assert.are.equal("ENAME", code)
   end)

   it_asks("leaves nothing open where its task is cancelled on the way", function()
      local _ <close>, port = echo()
      for turns = 0, 12 do
         local task = saros.spawn(with_addresses, {{host = "127.0.0.1", family = "inet"}, {host = "127.0.0.1", family = "inet"}},
            function() return saros.connect("example.test:" .. port) end)
         kit.turns(turns)
         task:cancel()
         local ok, stream = saros.pcall(task.await, task)
         if ok then stream:close() end
      end
   end)
end)

-- The system's names in a simulated world, where time is as it is told.
describe("connecting to a name, in virtual time,", function()
   local function with_world(fn)
      local loop <close> = saros.loop({driver = "sim", seed = 7})
      loop:run(function()
         local sim = saros.sim
         local dead4, dead6 = sim.host("dead")
         local live4, live6 = sim.host("live")
         local server <close> = sim.on("live", saros.serve, "*:80", function(stream) stream:write("hello\n") end)
         sim.cut("localhost", "dead")
         fn({host = dead6, family = "inet6", port = 80}, {host = live4, family = "inet", port = 80},
            {host = live6, family = "inet6", port = 80}, {host = dead4, family = "inet", port = 80})
         assert.is_truthy(server)
      end)
   end

   local function connect(...)
      local list, began = {...}, saros.now()
      local tasks, pending_before, streams_before = #saros.all_tasks(), saros._pending()
      local stream <close> = with_addresses(list, function() return assert(saros._connect_name("example.test:80")) end)
      local took = saros.now() - began
      assert.are.equal("hello", stream:read())
      assert.are.equal(tasks, #saros.all_tasks()) -- the loser is no orphan
      kit.turns(3)
      local pending_now, streams_now = saros._pending()
      assert.is_true(pending_now <= pending_before and streams_now <= streams_before + 2) -- both ends of the winner's
      return took, stream:peer_address()
   end

   it("gives a black hole a quarter of a second before the next address is tried", function()
      with_world(function(dead6, live4)
         local took, peer = connect(dead6, live4)
         assert.is_true(took >= 0.25 and took < 0.26, took)
         assert.are.equal(live4.host .. ":80", peer)
      end)
   end)

   it("tries the other family second, whatever the order of the rest", function()
      with_world(function(dead6, live4, live6)
         local took, peer = connect(dead6, live6, live4)
         assert.is_true(took >= 0.25 and took < 0.26, took)
         assert.are.equal(live4.host .. ":80", peer)
      end)
   end)

   it("does not wait for the second where the first answers", function()
      with_world(function(dead6, live4)
         local took, peer = connect(live4, dead6)
         assert.is_true(took < 0.01, took)
         assert.are.equal(live4.host .. ":80", peer)
      end)
   end)
end)

describe("listening by name", function()
   it_asks("takes localhost, and of other names says what to do", function()
      local listener <close> = assert(saros.listen("localhost:0"))
      assert.is_truthy(listener:address():match("^127%.0%.0%.1:%d+$"))
      local nothing, message, code = saros.listen("example.test:0")
      assert.are.same({nil, "listen example.test:0: a numeric address expected; saros.resolve looks names up", "ENOSYS"},
         {nothing, message, code})
   end)
end)
