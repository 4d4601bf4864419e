-- copy_any.lua: saros.copy where not both are streams of ours: files, and whatever else can be read and written so.
local saros = ...

local PIECE <const> = 64 * 1024

local function method_of(object, arg, ...)
   for _, name in ipairs{...} do
      local ok, method = saros.pcall(function() return object[name] end)
      if ok and type(method) == "function" then return method, name end
   end
   error(("bad argument #%d to 'saros.copy' (something with a method %s expected, got %s)"):format(arg, (...),
      type(object)), 0)
end

return function(from, to, limit)
   local read = method_of(from, 1, "read_some", "read")
   local write = method_of(to, 2, "write")
   local copied, left = 0, limit or math.maxinteger
   while left > 0 do
      local piece, message, code = read(from, math.min(left, PIECE))
      if not piece then
         if message then return nil, message, code, copied end
         break
      end
      local ok, sent
      ok, message, code, sent = write(to, piece)
      if not ok then return nil, message, code, copied + (math.tointeger(sent) or 0) end
      copied, left = copied + #piece, left - #piece
   end
   return copied
end
