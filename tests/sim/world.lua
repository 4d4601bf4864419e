-- world.lua: a small world in which a lot of things happen by chance, printed as they happen.
--
-- usage: saros --driver sim [--seed N] [--faults LIST] tests/sim/world.lua
--
-- For comparing runs: three hosts, clients that come and go, time-outs, a link that is cut and healed, chance of both
-- kinds. Everything that differs in it from run to run with one seed is a fault of the simulation. It does not depend
-- on the order of tables, and ends well whatever goes wrong.
local saros = require "saros"
local sim = require "saros.sim"

local hosts = {"alpha", "beta", "gamma"}
local function say(...) print(("%.9f"):format(sim.now()), ...) end

local function serve(name)
   return sim.on(name, function()
      return assert(saros.serve(name .. ":80", function(stream, peer)
         for line in function() return (stream:read()) end do
            saros.sleep(math.random() / 100)
            if not stream:write(line:upper(), " from ", name, "\n") then break end
         end
         say(name, "lost", (peer:gsub(":%d+$", "")))
      end, {limit = 3}))
   end)
end

local function visit(n, name)
   local stream, message, code = saros.connect(name .. ":80")
   if not stream then return say("client", n, code, message) end
   local _closes <close> = stream
   for i = 1, math.random(3) do
      local sent, _, why = stream:write("message ", n, ".", i, "\n")
      local line, _, reading = saros.timeout(0.02, stream.read, stream)
      say("client", n, i, sent and "sent" or why, line or reading or "end")
      if not line then return end
   end
end

for _, name in ipairs(hosts) do sim.host(name) end
local servers = {}
for i, name in ipairs(hosts) do servers[i] = serve(name) end
saros.call_later(0.1, function()
   sim.cut("alpha", "beta")
   say("cut")
end)
saros.call_later(0.3, function()
   sim.heal()
   say("healed")
end)

local clients = {}
for n = 1, 24 do
   local from, to = hosts[sim.random(3)], hosts[sim.random(3)]
   clients[n] = function()
      saros.sleep(math.random() / 2)
      return sim.on(from, function() return saros.timeout(5, visit, n, to) end)
   end
end
saros.gather(clients, {return_errors = true})
sim.calm()
for _, server in ipairs(servers) do server:shutdown(0.5) end
say("end", os.date("%Y-%m-%d %H:%M:%S"), os.clock(), math.random(1000000))
