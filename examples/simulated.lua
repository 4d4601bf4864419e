-- simulated.lua: a client that tries again, and a server that is cut off for a while; in virtual time.
--
-- usage: saros --driver sim [--seed N] [--faults LIST] examples/simulated.lua
--
-- Two hosts that do not exist, and a network between them that breaks down and is repaired. Ten seconds pass in some
-- milliseconds. Each seed is another run, with other delays; the same seed is the same run again, to the byte.
-- What ask() and stock() do is what they would do in a real network: nothing in them knows of the simulation.

local saros = require "saros"
local sim = require "saros.sim"

local function say(...)
   print(("%6.3f s  %s"):format(sim.now(), string.format(...)))
end

-- ---- the server ------------------------------------------------------------------------------------------------

local on_stock = {apples = 3, pears = 7}

local function stock(stream)
   for what in stream:lines() do
      if not stream:write(on_stock[what] or 0, "\n") then return end
   end
end

-- ---- the client ------------------------------------------------------------------------------------------------

local function ask_once(what)
   local stream <close> = saros.try(saros.connect("warehouse:7000"))
   saros.try(stream:write(what, "\n"))
   return math.tointeger(saros.try(stream:read()))
end

-- Gives each try a second, and the network longer and longer pauses; a bit of chance in them, so that a thousand
-- clients of one server do not all come back at the same moment.
local function ask(what)
   local pause = 0.25
   for try = 1, 8 do
      local answer, message = saros.timeout(1, saros.protect(ask_once), what)
      if answer then return answer, try end
      say("try %d: %s", try, message or "the server hung up")
      saros.sleep(pause * (1 + math.random()))
      pause = pause * 2
   end
   return nil, "the warehouse does not answer"
end

-- ---- the world -------------------------------------------------------------------------------------------------

sim.host("warehouse")
sim.host("shop")

local server = sim.on("warehouse", function() return assert(saros.serve("warehouse:7000", stock)) end)

sim.on("shop", function()
   say("apples: %s", assert(ask("apples")))
   sim.cut("shop", "warehouse")
   saros.call_later(5, function()
      sim.heal("shop", "warehouse")
      say("the network is repaired")
   end)
   say("the network is cut")
   local pears, tries = assert(ask("pears"))
   say("pears: %d, at the %s try", pears, tries > 1 and tries .. "th" or "first")
end)
server:shutdown(1)
