-- options.lua: the options of functions that are written in Lua are checked as those of the others are.
--
-- saros._options(what, arg, options, known): a table of known keys, or an empty one for none. known: key = type of its
-- value. Errors name the caller of what called this.

return function(what, arg, options, known)
   if options == nil then return {} end
   if type(options) ~= "table" then
      error(("bad argument #%d to '%s' (table expected, got %s)"):format(arg, what, type(options)), 3)
   end
   for key, value in next, options do
      local expected = known[key]
      if not expected then
         error(("bad argument #%d to '%s' (unknown option '%s')"):format(arg, what, tostring(key)), 3)
      elseif expected ~= "any" and (math.type(value) ~= expected and type(value) ~= expected) then
         error(("bad argument #%d to '%s' (option '%s': %s expected)"):format(arg, what, key, expected), 3)
      elseif value ~= value then
         error(("bad argument #%d to '%s' (option '%s': number expected, got NaN)"):format(arg, what, key), 3)
      end
   end
   return options
end
