-- self.lua: methods that are written in Lua refuse what is not of their kind, as those in C do.
--
-- saros._self(self, method, kind, key): an object of the kind is a table with a hidden metatable, and has `key`. The
-- error is of who has called the method.

return function(self, method, kind, key)
   if type(self) == "table" and getmetatable(self) == false and rawget(self, key) ~= nil then return end
   error(("bad argument #1 to '%s' (%s expected, got %s)"):format(method, kind, type(self)), 3)
end
