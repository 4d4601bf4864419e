-- sim_spec.lua: simulated worlds in a script's hands: names, the module saros.sim, worlds as loops of a script's own.
--
-- The worlds are loops of their own on driver sim, so the cases are the same on whichever driver the specs run.

local saros = require "saros"
local sim = require "saros.sim"
local kit = require "support.kit"
require("support.leaks")(before_each, after_each)

-- Runs fn as the main task of a world; options are those of saros.loop.
local function world(fn, options)
   local all = { driver = "sim" }
   for key, value in pairs(options or {}) do all[key] = value end
   local loop <close> = saros.loop(all)
   return loop:run(fn)
end

local function has(text, part)
   assert.is_truthy(text:find(part, 1, true), ("%q is not in: %s"):format(part, text))
end

-- Serves lines in upper case at the address, on the host that it names.
local function shout(address)
   return sim.on(address:match("^(.*):"), function()
      return assert(saros.serve(address, function(stream)
         for line in function() return (stream:read()) end do
            if not stream:write(line:upper(), "\n") then return end
         end
      end))
   end)
end

describe("names in a simulated world", function()
   it("are those of its hosts, for connect, listen and serve", function()
      world(function()
         sim.host("db")
         local server = shout("db:5432")
         assert.are.equal("10.0.0.2:5432", server:address())
         for _, address in ipairs({ "db:5432", { host = "db", port = 5432 }, "DB:5432", "10.0.0.2:5432" }) do
            local stream <close> = assert(saros.connect(address))
            stream:write("hello\n")
            assert.are.equal("HELLO", stream:read())
            assert.are.equal("10.0.0.2:5432", stream:peer_address())
         end
         local listener <close> = assert(saros.listen("db:0"))
         assert.is_truthy(listener:address():match("^10%.0%.0%.2:[1-9]%d*$"))
         server:shutdown(1)
      end)
   end)

   it("that no host has are nil, message, ENAME", function()
      world(function()
         for _, call in ipairs({ saros.connect, saros.listen, function(address) return saros.serve(address, print) end }) do
            local value, message, code = call("nowhere:80")
            assert.is_nil(value)
            assert.are.equal("ENAME", code)
            has(message, "nowhere:80: no such name")
            assert.are.equal("ENAME", (select(3, call({ host = ("long."):rep(40), port = 1 }))))
         end
         assert.are.same({ "localhost" }, sim.hosts())
      end)
   end)
end)

describe("saros.sim", function()
   it("is the module's field, and what require finds", function()
      assert.are.equal(sim, saros.sim)
      assert.are.equal(sim, require "saros.sim")
   end)

   it("says in every function which driver the loop has, where that is no world", function()
      local loop <close> = saros.loop({ driver = "none" })
      loop:run(function()
         for name, fn in pairs(sim) do
            kit.raises("saros.sim." .. name .. ": this loop's driver is none; a simulated world has sim", fn, "a", print)
         end
      end)
      local output = kit.script("saros.run(function() end) saros.call_soon(saros.sim.cut)", "--driver", "none")
      assert.is_string(output)
   end)

   it("adds hosts, once each, and lists them in that order", function()
      world(function()
         assert.are.same({ n = 2, "10.0.0.2", "fd00::2" }, table.pack(sim.host("beta")))
         assert.are.same({ "10.0.0.3", "fd00::3" }, { sim.host("alpha") })
         assert.are.same({ "10.0.0.2", "fd00::2" }, { sim.host("beta") })
         assert.are.same({ "127.0.0.1", "::1" }, { sim.host("localhost") })
         assert.are.same({ "localhost", "beta", "alpha" }, sim.hosts())
         kit.raises("bad argument #1 to 'saros.sim.host' ('no blanks' cannot be the name of a host)", sim.host, "no blanks")
         kit.raises("bad argument #1 to 'saros.sim.host'", sim.host)
         kit.raises("cannot be the name", sim.host, ("x"):rep(300))
      end)
   end)

   it("cuts two hosts off, and heals", function()
      world(function()
         sim.host("a")
         sim.host("b")
         local server = shout("b:1")
         sim.on("a", function()
            local stream <close> = assert(saros.connect("b:1"))
            sim.cut("a", "b")
            assert(stream:write("late\n"))
            assert.are.equal("ETIMEDOUT", (select(3, saros.timeout(3, stream.read, stream))))
            sim.heal("a", "b")
            assert.are.equal("LATE", stream:read())
         end)
         sim.cut("a")
         local near <close> = assert(saros.connect("b:1"))
         assert.are.equal("ETIMEDOUT", (select(3, saros.timeout(60, sim.on, "a", saros.connect, "b:1"))))
         local began = sim.now()
         assert.are.equal("ETIMEDOUT", (select(3, sim.on("a", saros.connect, "b:1"))))
         assert.are.equal(127, math.floor(sim.now() - began))
         sim.heal()
         sim.on("a", function() assert(saros.connect("b:1")):close() end)
         near:write("x\n")
         assert.are.equal("X", near:read())
         near:close()
         server:shutdown(1)
      end)
   end)

   it("turns away between two hosts, and everybody is told", function()
      world(function()
         sim.host("a")
         local server = shout("a:1")
         local stream <close> = assert(saros.connect("a:1"))
         sim.refuse("a", "localhost")
         assert.are.equal("ECONNREFUSED", (select(3, saros.connect("a:1"))))
         stream:write("x\n")
         local _, _, code = stream:read()
         assert.are.equal("ECONNRESET", code)
         sim.heal("a")
         assert(saros.connect("a:1")):close()
         server:shutdown(1)
      end)
   end)

   it("sets how long the way between two hosts takes", function()
      world(function()
         sim.host("far")
         local server = shout("far:1")
         sim.latency("far", "localhost", 2)
         local began = sim.now()
         local stream <close> = assert(saros.connect("far:1"))
         assert.are.equal(4, sim.now() - began)
         began = sim.now()
         stream:write("x\n")
         stream:read()
         assert.are.equal(4, sim.now() - began)
         sim.latency(nil, nil, 0.1, 0.2)
         began = sim.now()
         stream:write("x\n")
         stream:read()
         assert.is_true(sim.now() - began >= 0.2 and sim.now() - began < 0.4)
         stream:close()
         server:shutdown(100)
      end)
   end)

   it("names the argument that is wrong", function()
      world(function()
         sim.host("a")
         for _, name in ipairs({ "cut", "refuse", "heal", "latency" }) do
            kit.raises("bad argument #1 to 'saros.sim." .. name .. "' (no host 'b'; saros.sim.host adds one)", sim[name], "b", "a", 1)
            kit.raises("bad argument #2 to 'saros.sim." .. name .. "' (no host 'b'", sim[name], "a", "b", 1)
            kit.raises("bad argument #1 to 'saros.sim." .. name .. "' (a host's name expected", sim[name], nil, "a", 1)
            kit.raises("bad argument #1 to 'saros.sim." .. name .. "' (string expected", sim[name], {}, "a", 1)
            if name ~= "latency" then kit.raises("bad argument #2 to 'saros.sim." .. name .. "' (the same host", sim[name], "a", "A") end
         end
         kit.raises("bad argument #3 to 'saros.sim.latency'", sim.latency, "a", "localhost")
         kit.raises("bad argument #3 to 'saros.sim.latency' (more than an hour)", sim.latency, "a", nil, 3601)
         kit.raises("bad argument #4 to 'saros.sim.latency' (less than the least)", sim.latency, "a", nil, 2, 1)
         kit.raises("bad argument #4 to 'saros.sim.latency' (more than an hour)", sim.latency, "a", nil, 2, math.huge)
         kit.raises("bad argument #3 to 'saros.sim.latency'", sim.latency, "a", nil, 0 / 0)
         kit.raises("bad argument #1 to 'saros.sim.on' (no host 'b'", sim.on, "b", print)
         kit.raises("bad argument #2 to 'saros.sim.on' (function expected", sim.on, "a")
         kit.raises("bad argument #1 to 'saros.sim.on' (string expected", sim.on, nil, print)
         kit.raises("bad argument #1 to 'saros.sim.advance' (time does not go on", sim.advance, math.huge)
         kit.raises("bad argument #1 to 'saros.sim.advance'", sim.advance, "soon")
         kit.raises("bad argument #1 to 'saros.sim.faults' (no fault 'gremlins')", sim.faults, "gremlins")
      end)
   end)

   it("takes nothing but what it expects, and is the same world afterwards", function()
      local odd = { false, true, -1, 0.5, math.maxinteger, 0 / 0, math.huge, "", "localhost", ("x"):rep(100), "a\0b", {}, function() end,
         coroutine.create(print), io.stdout }
      world(function()
         sim.host("a")
         for name, fn in pairs(sim) do
            for i = 1, #odd do
               saros.pcall(fn, odd[i])
               if name ~= "on" then saros.pcall(fn, "a", odd[i]) end
               saros.pcall(fn, "a", odd[i], odd[#odd - i + 1], odd[i])
               saros.pcall(fn, "a", "localhost", odd[i], odd[#odd - i + 1])
            end
         end
         sim.calm()
         sim.latency("a", "localhost", 0)
         local server = shout("a:1")
         local stream <close> = assert(saros.connect("a:1"))
         stream:write("still here\n")
         assert.are.equal("STILL HERE", stream:read())
         stream:close()
         server:shutdown(1)
      end, { faults = "chaos" })
   end)

   it("advances the clock without giving way: what falls due is told afterwards, in its order", function()
      world(function()
         local log = kit.log()
         saros.call_later(3, function() log("three") end)
         saros.call_later(1, function() log("one") end)
         saros.spawn(function()
            saros.sleep(2)
            log("two")
         end)
         saros.sleep(0)
         sim.advance(10)
         assert.are.equal(10, sim.now())
         assert.are.same({}, { table.unpack(log) })
         kit.turns(2)
         assert.are.same({ "one", "two", "three" }, { table.unpack(log) })
         assert.are.equal(10, sim.now())
      end)
   end)

   it("draws at random from the seed, fairly and within bounds", function()
      local function draw()
         local numbers = {}
         for i = 1, 200 do numbers[i] = sim.random(i) end
         for i = 1, 200 do numbers[#numbers + 1] = sim.random(-i, i) end
         for _ = 1, 200 do numbers[#numbers + 1] = sim.random() end
         return numbers
      end
      local numbers = world(draw, { seed = 5 })
      assert.are.same(numbers, world(draw, { seed = 5 }))
      assert.are_not.same(numbers, world(draw, { seed = 6 }))
      assert.are.same(numbers, world(draw, { seed = "0x5" }))
      local sum = 0
      for i = 1, 200 do assert.is_true(numbers[i] >= 1 and numbers[i] <= i) end
      for i = 1, 200 do assert.is_true(math.abs(numbers[200 + i]) <= i) end
      for i = 401, 600 do
         assert.is_true(numbers[i] >= 0 and numbers[i] < 1)
         sum = sum + numbers[i]
      end
      assert.is_true(sum > 80 and sum < 120, sum)
      world(function()
         assert.are.equal("integer", math.type(sim.random(math.mininteger, math.maxinteger)))
         assert.are.equal(7, sim.random(7, 7))
         assert.is_true(sim.random(0) ~= sim.random(0))
         kit.raises("nothing is in this interval", sim.random, -1)
         kit.raises("nothing is in this interval", sim.random, 2, 1)
         kit.raises("at most two arguments", sim.random, 1, 2, 3)
      end)
      assert.are.equal(9, world(function() return sim.seed() end, { seed = 9 }))
   end)

   it("says how often which fault has happened, and calms", function()
      world(function()
         local listener <close> = assert(saros.listen("127.0.0.1:0"))
         local _, _, code = saros.connect(listener:address())
         assert.are.equal("ECONNREFUSED", code)
         assert.are.equal(1, sim.faults("refused"))
         sim.calm()
         for _ = 1, 20 do
            assert(saros.connect(listener:address())):close()
            assert(listener:accept()):close()
         end
         assert.are.equal(1, sim.faults("refused"))
         local known = {}
         for _, fault in ipairs(sim.faults()) do
            assert.is_string(fault.about)
            assert.are.equal(fault.name == "refused" and 1 or 0, fault.happened)
            known[fault.name] = true
         end
         assert.is_true(known.refused)
      end, { faults = "refused=1" })
   end)

   it("installs the world's clocks in a Lua that has a host of its own", function()
      local output = kit.script([[
         local loop <close> = saros.loop{driver = "sim", seed = 42}
         print(loop:run(function()
            saros.sim.install()
            saros.sim.install()
            saros.sleep(100)
            return os.time(), os.clock(), math.random(1000)
         end))
         print(os.time() == 1767225700)]], "--driver", "none")
      math.randomseed(42)
      assert.are.equal("1767225700\t100.0\t" .. math.random(1000) .. "\nfalse\n", output)
   end)
end)

describe("a kernel that tells when it has done the work", function()
   local function completes(fn)
      return function() world(fn, { faults = "completion,short=1" }) end
   end

   it("may have sent a part before it hears of the cancel: the write ends all the same, and the next goes on", completes(function()
      local client, server = kit.pair()
      local text = ("0123456789"):rep(100000)
      local writer = saros.spawn(function() client:write(text) end)
      saros.sleep(0)
      writer:cancel()
      saros.pcall(writer.await, writer)
      assert.is_true(writer:cancelled())
      local rest = saros.spawn(function() client:write("rest"):shutdown() end)
      local got = server:read("a")
      assert.are.equal(text:sub(1, #got - 4) .. "rest", got)
      rest:await()
      client:close()
      server:close()
   end))

end)

describe("virtual time", function()
   it("cannot be stopped by somebody who always finds something to do", function()
      for _, kernel in ipairs({ "readiness", "completion" }) do
         world(function()
            local client, server = kit.pair()
            local writes = 0
            local writer = saros.spawn(function()
               while server:write("x") do
                  writes = writes + 1
                  saros.sleep(0)
               end
            end)
            saros.sleep(0.0001)
            client:close() -- the writer hears of it when time has passed
            writer:await()
            assert.is_true(writes > 1)
            server:close()
         end, { faults = kernel })
      end
   end)
end)

describe("a read that is cancelled when its receive is ready, but not yet told", function()
   it("ends all the same, and what came is there for the next one", function()
      world(function()
         sim.latency("localhost", "localhost", 0.001)
         local client, server = kit.pair()
         local first_client, first_server = kit.pair()
         local reader = saros.spawn(function() return server:read("l") end)
         saros.sleep(0.1)
         first_client:write("now\n") -- it arrives at the same instant, but before the other
         client:write("part")
         assert.are.equal("now", first_server:read())
         reader:cancel()
         saros.pcall(reader.await, reader)
         assert.is_true(reader:cancelled())
         client:write("\n")
         assert.are.equal("part", server:read("l"))
         for _, stream in ipairs({ client, server, first_client, first_server }) do stream:close() end
      end)
   end)
end)

describe("saros.sim.on", function()
   local function where(address)
      local stream <close> = assert(saros.connect(address))
      return (stream:local_address():gsub(":%d+$", ""))
   end

   local function in_world(fn)
      return function()
         world(function()
            for _, name in ipairs({ "a", "b", "c" }) do sim.host(name) end
            local server = shout("c:1")
            fn()
            server:shutdown(1)
         end)
      end
   end

   it("is where what fn connects comes from, across awaits, and gives fn's results", in_world(function()
      assert.are.same({ n = 3, "10.0.0.2", nil, "10.0.0.2" }, table.pack(sim.on("a", function(address)
         local before = where(address)
         saros.sleep(1)
         return before, nil, where(address)
      end, "c:1")))
      assert.are.equal("10.0.0.1", where("c:1"))
   end))

   it("holds for each task by itself, and for the tasks that one spawns", in_world(function()
      local function both()
         local task = saros.spawn(function()
            saros.sleep(0.01)
            return where("c:1")
         end)
         saros.sleep(0.005)
         return where("c:1"), task
      end
      local a, b = saros.spawn(sim.on, "a", both), saros.spawn(sim.on, "b", both)
      local from_a, child_of_a = a:await()
      local from_b, child_of_b = b:await()
      assert.are.same({ "10.0.0.2", "10.0.0.3" }, { from_a, from_b })
      assert.are.same({ "10.0.0.2", "10.0.0.3" }, { child_of_a:await(), child_of_b:await() })
   end))

   it("nests, and ends with fn, however that ends", in_world(function()
      sim.on("a", function()
         assert.are.equal("10.0.0.3", sim.on("b", where, "c:1"))
         assert.are.equal("10.0.0.2", where("c:1"))
         kit.raises("oh", sim.on, "b", error, "oh")
         assert.are.equal("10.0.0.2", where("c:1"))
         assert.are.equal("ETIMEDOUT", (select(3, saros.timeout(0.1, sim.on, "b", saros.sleep, 100))))
         assert.are.equal("10.0.0.2", where("c:1"))
         local task = saros.spawn(sim.on, "b", saros.sleep, 100)
         saros.sleep(0)
         task:cancel()
         kit.raises("cancelled", task.await, task)
      end)
   end))

   it("decides on which host a listener on every interface is", in_world(function()
      local _listens <close> = sim.on("b", function() return assert(saros.listen("*:77")) end)
      assert.are.equal("ECONNREFUSED", (select(3, saros.connect("a:77"))))
      assert(saros.connect("b:77")):close()
      assert.are.equal("ECONNREFUSED", (select(3, saros.connect("127.0.0.1:77"))))
      sim.on("b", function() assert(saros.connect("127.0.0.1:77")):close() end)
   end))
end)

describe("saros.loop", function()
   it("takes seed and faults for driver sim, and names what is wrong", function()
      assert.are.equal(-1, world(function() return sim.seed() end, { seed = -1 }))
      assert.are.equal(-1, world(function() return sim.seed() end, { seed = "18446744073709551615" }))
      for _, seed in ipairs({ 1.5, true, {} }) do
         kit.raises("bad argument #1 to 'saros.loop' (option 'seed' must be an integer", saros.loop, { driver = "sim", seed = seed })
      end
      kit.raises("option 'seed' must be a whole number from 0", saros.loop, { driver = "sim", seed = "1.5" })
      kit.raises("option 'faults' must be a string", saros.loop, { driver = "sim", faults = 1 })
      kit.raises("gremlins", saros.loop, { driver = "sim", faults = "gremlins" })
      kit.raises("option 'faults': only driver sim has any, and this loop's is none", saros.loop, { driver = "none", faults = "chaos" })
   end)

   it("keeps what names the faults for as long as the loop", function()
      local loop <close> = saros.loop({ driver = "sim", faults = "ref" .. "used=" .. tostring(0.25) })
      collectgarbage()
      collectgarbage()
      loop:run(function()
         local inner <close> = saros.loop({ driver = "sim" })
         assert.are.equal(0, inner:run(function() return sim.faults("refused") end))
      end)
   end)
end)
