-- sendfile_name.lua: stream:sendfile of a file that is not open yet.
local saros = ...

return function(stream, path, offset, count)
   local file <close>, message, code = saros.open(path)
   if not file then return nil, message, code, 0 end
   return stream:sendfile(file, offset or 0, count)
end
