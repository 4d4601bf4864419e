-- signal.lua: saros.signal: signals as something to wait for.
--
-- open(name, …): a source (services/signal.c). wait(name, …): one that is open for a single wait.
local saros = ...

local signal = {open = saros._signal_open}

function signal.wait(...)
   local source <close>, message, code = signal.open(...)
   if not source then return nil, message, code end
   return source:wait()
end

return signal
