-- signal.lua: saros.signal: signals as something to wait for.
--
-- open(name, …): a source (services/signal.c). wait(name, …): one that is open for a single wait.
local saros = ...

local signal = {open = saros._signal_open}
saros._signal_open = nil -- errors name a function as the module has it

-- What open raises is the caller's mistake.
local function opened(ok, source, ...)
   if not ok then error(tostring(source):gsub("to '[^']*'", "to 'wait'", 1), 3) end
   return source, ...
end

function signal.wait(...)
   local source <close>, message, code = opened(pcall(signal.open, ...))
   if not source then return nil, message, code end
   return source:wait()
end

return signal
