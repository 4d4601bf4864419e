-- scaled.lua: runs a script with the seconds made shorter (or longer), so that slow examples can be tests.
--
--    saros tests/support/scaled.lua 0.02 examples/async_queue.lua -p 2 -c 4
--
-- Every duration that the script gives to Saros is multiplied by the factor, and every difference of
-- `saros.now()`, or of a loop's `now()`, is divided by it. So the script keeps its order of events and the
-- shape of what it prints: a sleep of 3 s takes 60 ms and is measured as 3.0x s (what the machine adds is
-- divided too, hence the x).
--
-- Owns nothing; changes the module `saros` of this process. Stretches: sleep, sleep_until, every, timeout,
-- call_later, call_at, wait, as_completed, scope and now. It does not reach the clocks of `saros.clock`, the
-- time-outs of streams and processes, or `os.time` and `os.clock`.

local saros = require "saros"

local factor = tonumber((...))
local script = select(2, ...)
if not (factor and factor > 0 and script) then
   io.stderr:write("usage: saros tests/support/scaled.lua FACTOR SCRIPT [ARGUMENT...]\n")
   os.exit(2)
end

local real_now = saros.now
local origin = real_now()

local function duration(seconds) -- anything else passes as it is: the real function explains what is wrong
   return type(seconds) == "number" and seconds * factor or seconds
end

local function moment(t)
   return type(t) == "number" and origin + (t - origin) * factor or t
end

local function options(given) -- a copy with its time-out scaled; the script's own table stays as it was
   if type(given) ~= "table" or given.timeout == nil then return given end
   local copy = {}
   for key, value in pairs(given) do copy[key] = value end
   copy.timeout = duration(given.timeout)
   return copy
end

local function scale(name, position, how) -- wraps saros[name]: its argument at `position` goes through `how`
   local real = saros[name]
   if not real then return end
   saros[name] = position == 1 and function(first, ...) return real(how(first), ...) end
      or function(first, second, ...) return real(first, how(second), ...) end
end

scale("sleep", 1, duration)
scale("sleep_until", 1, moment)
scale("every", 1, duration)
scale("timeout", 1, duration)
scale("call_later", 1, duration)
scale("call_at", 1, moment)
scale("scope", 1, options)
scale("wait", 2, options)
scale("as_completed", 2, options)

function saros.now() return origin + (real_now() - origin) / factor end

local loop_methods = debug.getmetatable(saros.current_loop()).__index
local real_loop_now = loop_methods.now
function loop_methods.now(loop) return origin + (real_loop_now(loop) - origin) / factor end

local words = {[-1] = arg[-1], [0] = script}
for i, word in ipairs{select(3, ...)} do words[i] = word end
arg = words -- luacheck: globals arg

return assert(loadfile(script))(table.unpack(words))
