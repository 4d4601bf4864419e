-- socket_unix.lua: LuaSocket's module socket.unix: streams over Unix sockets. It has no datagrams.
local saros = ...

local base = saros._socket_base

local LONGEST <const> = 107 -- bytes of a path, with the zero behind it

-- A path that begins with a zero byte is a name of Linux's own, which no file has.
local function places(_, method, path)
   path = base.string(path, 1, method)
   if #path > LONGEST then return nil, "path too long" end
   if path == "" or path:find("\0", 2, true) then return nil, "Invalid argument" end
   return {{address = {path = path}, family = "unix"}}
end

local unix, finish, new = saros._socket_stream("unixstream", places)

function unix.getsockname(self)
   base.check_any(self, "getsockname", "unixstream{any}")
   local open = self.stream or self.listener
   if not open then
      if self.closed then return nil, "Bad file descriptor" end
      return ""
   end
   local text, message, code = (open.local_address or open.address)(open)
   if not text then return nil, base.text(message, code) end
   return (text:gsub("^unix:", ""))
end

finish()

local stream = new("unix")

return setmetatable({stream = stream, tcp = stream}, {__call = function() return stream() end})
