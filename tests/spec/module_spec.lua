-- module_spec.lua: the module as a file of its own, saros.so, in states and programs that are not ours: loaded and unloaded
-- again and again, twice in one process, beside a program that has a copy in itself.

local kit = require "support.kit"
require("support.leaks")(before_each, after_each)

local states = kit.driver ~= "sim" and kit.module("states")
local file = kit.host:gsub("[^/]*$", "") .. "saros.so"
local there = io.open(file)
if there then there:close() end
local reason = kit.driver == "sim" and "simulated" or kit.windows and "a DLL is another thing" or not there and "no saros.so"
   or not states and "no module to make states with"
local it_loads = reason and function(name) pending(("%s (%s)"):format(name, reason)) end or it

local function mapped(name)
   local maps = io.open("/proc/self/maps")
   if not maps then return false end
   local text = maps:read("a")
   maps:close()
   return text:find(name, 1, true) ~= nil
end

describe("saros.so", function()
   it_loads("I7: is loaded and unloaded a thousand times", function()
      local times = kit.on_best_driver() and 1000 or 20
      for _ = 1, times do
         assert(states.run([[
            local file, driver = ...
            local saros = package.loadlib(file, "luaopen_saros")()
            local loop <close> = saros.loop{driver = driver}
            loop:run(saros.sleep, 0)]], file, kit.driver))
      end
      assert.is_false(mapped(file:match("[^/]*$")))
   end)

   it_loads("I7: is unloaded when all that it had begun has come to its end: threads, services, connections", function()
      for _ = 1, 20 do
         assert(states.run([[
            local file, driver = ...
            package.cpath = file
            local saros = require "saros"
            local loop = saros.loop{driver = driver}
            loop:run(function()
               local server = saros.serve("127.0.0.1:0", function(stream) stream:write(stream:read("L")) end)
               local client = saros.connect(server:address())
               client:write("x\n")
               assert(client:read() == "x")
               local thread = saros.thread(function() return 1 end)
               saros.thread(function() require('saros').sleep(1000) end)
               assert(thread:await() == 1 and saros.resolve("127.0.0.1", 80))
               local pool = saros.pool(2)
               assert(pool:call(function(a) return a + 1 end, 1) == 2)
               local opened = saros.open("/dev/null")
               assert(opened:read() == nil)
               local signals = saros.signal.open("SIGWINCH")
               assert(signals)
               assert(saros.tls.context())
               saros.spawn(saros.sleep, 1000)
            end)]], file, kit.driver))
      end
      assert.is_false(mapped(file:match("[^/]*$")))
   end)

   it_loads("I7: may be there twice in one process, also in one state", function()
      local copy, _ <close> = kit.temporary(kit.slurp(file))
      assert(states.run([[
         local one, other = package.loadlib((...), "luaopen_saros"), package.loadlib((select(2, ...)), "luaopen_saros")
         one, other = one(), other()
         assert(one ~= other)
         local function echo(saros, inside)
            return saros.run(function()
               local a, b = saros.pair()
               b:write("hello\n")
               local result, line = inside and inside(), a:read()
               b:close()
               return line, result, a
            end)
         end
         local said, inner, stream = echo(one, function() return (echo(other)) end)
         assert(said == "hello" and inner == "hello")
         other.run(function()
            local a, b = other.pair()
            local ok, message = pcall(a.close, stream)
            assert(not ok and message:find("saros.stream expected", 1, true), message)
            a:close()
            b:close()
         end)]], file, copy))
   end)

   it_loads("I7: has a core of its own, also in a program that has one", function()
      local seen, _ <close> = kit.temporary()
      local code = ('assert(package.loadlib(%q, "luaopen_saros"))().run(print, "ran")'):format(file)
      local output = kit.shell(("LD_DEBUG=bindings LD_DEBUG_OUTPUT=%s SAROS_DRIVER=%s %s -e %s; cat %s.*; rm -f %s.*"):format(seen,
         kit.driver, kit.quote(kit.host), kit.quote(code), seen, seen))
      assert.is_truthy(output:find("^ran\n"), output:sub(1, 500))
      if not output:find("binding file", 1, true) then kit.skip("a linker that tells nothing") end
      for line in output:gmatch("[^\n]+") do
         assert(not line:find("saros%.so .- to .-symbol `saros_") or line:find("to [^ ]*saros%.so "), line)
      end
   end)
end)
