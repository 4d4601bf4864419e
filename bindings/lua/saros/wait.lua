-- wait.lua: saros.wait: until all, the first, or the first error of several is there, or a time is over.
--
-- asyncio's wait (semantics 26): it never raises for a timeout and never cancels what it waits for; what it has started
-- itself (functions, objects with __await) is among the results as tasks, and ended only where the wait itself is.
local saros = ...

local WHEN = {all = true, first = true, error = true}

return function(list, options)
   if type(list) ~= "table" then
      error("bad argument #1 to 'saros.wait' (table expected, got " .. type(list) .. ")", 2)
   end
   options = saros._options("saros.wait", 2, options, {timeout = "number", return_when = "string"})
   local when = options.return_when or "all"
   if not WHEN[when] then
      error("bad argument #2 to 'saros.wait' (option 'return_when': \"all\", \"first\" or \"error\" expected)", 2)
   end
   if #list == 0 then error("bad argument #1 to 'saros.wait' (it is empty: that would wait for ever)", 2) end
   local items, started = saros._start(list, "saros.wait")
   local _owned <close> = saros._owner(started)
   saros.timeout(options.timeout, saros._wait, items, when)
   local done, pending, seen = {}, {}, {}
   for _, item in ipairs(items) do
      if not seen[item] then
         seen[item] = true
         local side = item:done() and done or pending
         side[#side + 1] = item
      end
   end
   return done, pending
end
