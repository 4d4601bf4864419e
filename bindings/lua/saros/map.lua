-- map.lua: saros.map: a function over a list, side by side, at most so many at once.
--
-- The first error ends the others, which are awaited, and is raised as it is; with return_errors errors are values.
local saros = ...

local KNOWN = {limit = "integer", return_errors = "any"}

-- What a worker shares with the others.
local function work(all)
   while all.next < all.count and not all.failed do
      local i = all.next + 1
      all.next = i
      if all.return_errors then
         local ok, value = saros.pcall(all.fn, all.list[i])
         if not ok and saros._passes(value) then error(value, 0) end
         all.results[i] = value
      else
         local _failed <close> = all
         all.results[i] = (all.fn(all.list[i]))
      end
   end
end

return function(list, fn, options)
   if type(list) ~= "table" then
      error("bad argument #1 to 'saros.map' (table expected, got " .. type(list) .. ")", 2)
   end
   if type(fn) ~= "function" then
      error("bad argument #2 to 'saros.map' (function expected, got " .. type(fn) .. ")", 2)
   end
   options = saros._options("saros.map", 3, options, KNOWN)
   local count = #list
   local limit = options.limit or count
   if options.limit and limit < 1 then
      error("bad argument #3 to 'saros.map' (option 'limit': an integer above 0 expected)", 2)
   end
   local results = {n = count}
   local all = setmetatable({
      list = list, fn = fn, count = count, next = 0, results = results, return_errors = options.return_errors,
   }, {__close = function(self, err) self.failed = self.failed or err ~= nil end})
   local workers = {}
   for i = 1, math.min(limit, count) do workers[i] = function() work(all) end end
   local tasks, started = saros._start(workers, "saros.map")
   local _owned <close> = saros._owner(started)
   saros.gather(tasks)
   return results
end
