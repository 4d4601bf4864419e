-- socket_tcp.lua: LuaSocket's TCP objects: addresses and names for what socket_stream.lua does.
local saros = ...

local base, dns = saros._socket_base, saros.socket.dns

-- Where a host and a port lead; the look-up waits.
local function places(self, method, host, port)
   host, port = base.string(host, 1, method), base.string(port, 2, method)
   if method == "bind" and host == "*" then host = self.family == "inet6" and "::" or "0.0.0.0" end
   local list, failed = dns.addresses(host, port, self.family)
   for i, at in ipairs(list or {}) do list[i] = {address = {host = at.host, port = at.port}, family = at.family} end
   return list, failed
end

local tcp, finish, new = saros._socket_stream("tcp", places)

-- "127.0.0.1:80", "[::1]:80" -> host, port, family
local function parts(text)
   local host, port = text:match("^%[?(.-)%]?:(%d+)$")
   return host, math.tointeger(port), host:find(":", 1, true) and "inet6" or "inet"
end

function tcp.getsockname(self)
   base.check_any(self, "getsockname", "tcp{any}")
   local open = self.stream or self.listener
   if not open and (self.closed or self.family == "unspec") then return nil, "Bad file descriptor" end
   if not open then return self.family == "inet6" and "::" or "0.0.0.0", 0, self.family end
   local text, message, code = (open.local_address or open.address)(open)
   if not text then return nil, base.text(message, code) end
   return parts(text)
end

function tcp.getpeername(self)
   base.check_any(self, "getpeername", "tcp{any}")
   local stream = self.stream
   if not stream then
      local never = self.listener or not self.closed and self.family ~= "unspec"
      return nil, never and "Transport endpoint is not connected" or "Bad file descriptor"
   end
   local text, message, code = stream:peer_address()
   if not text then return nil, base.text(message, code) end
   return parts(text)
end

function tcp.getfamily(self)
   base.check_any(self, "getfamily", "tcp{any}")
   return self.family == "inet6" and "inet6" or "inet4"
end

finish()

return {tcp = new("unspec"), tcp4 = new("inet"), tcp6 = new("inet6")}
