-- socket_udp.lua: LuaSocket's UDP objects, udp{unconnected} and udp{connected}, on saros.udp.
--
-- An object opens its socket when it first needs one: its family may be that of the first address, and what it shares a
-- port by has to be said before. Promises: a datagram is received whole or cut to what was asked for; what `select` has
-- received is the next that `receive` gives.
local saros = ...

local base, dns = saros._socket_base, saros.socket.dns

local MOST <const> = 65535 -- bytes of a datagram

local udp, class = {}, {}

local function check_any(self, name) base.check_any(self, name, class.any) end

local ANY = {unspec = "0.0.0.0", inet = "0.0.0.0", inet6 = "::"}

local function open_at(self, host, port, family)
   local options = self.options
   local through = options["ip-multicast-if"]
   local socket, message, code = saros.udp({host = host, port = port}, {
      reuse = options.reuseaddr, reuse_port = options.reuseport,
      multicast_interface = through ~= "*" and through or nil,
   })
   if not socket then return nil, base.text(message, code) end
   self.stream, self.family, self.closed = socket, family, nil
   base.apply_options(self)
   return socket
end

-- The open socket, at any port where it had none. For socket_options.lua.
function base.open_datagrams(self, family)
   if self.stream then return self.stream end
   family = family or self.family ~= "unspec" and self.family or "inet"
   return open_at(self, ANY[family], 0, family)
end
local open = base.open_datagrams

local function number_of(port)
   local number = port:match("^%d+$") and math.tointeger(tonumber(port))
   return number and number <= 65535 and number or nil
end

-- ---- names -------------------------------------------------------------------------------------------------------

function udp.setsockname(self, host, port)
   base.check(self, "setsockname", class.unconnected)
   host, port = base.string(host, 1, "setsockname"), base.string(port, 2, "setsockname")
   local list, failed = dns.addresses(host == "*" and ANY[self.family] or host, port, self.family)
   if list and self.stream then return nil, "Invalid argument" end
   for _, at in ipairs(list or {}) do
      local socket
      socket, failed = open_at(self, at.host, at.port, at.family)
      if socket then return 1.0 end
   end
   return nil, failed
end

-- With a peer the socket receives from that one only; "*" takes it away.
function udp.setpeername(self, host, port)
   check_any(self, "setpeername")
   host = base.string(host, 1, "setpeername")
   if host == "*" then
      if self.stream then self.stream:connect() end
      setmetatable(self, class.unconnected)
      return 1.0
   end
   port = base.string(port, 2, "setpeername")
   local list, failed = dns.addresses(host, port, self.family)
   for _, at in ipairs(list or {}) do
      local socket, ok, message, code
      socket, failed = open(self, at.family)
      if socket then
         ok, message, code = socket:connect{host = at.host, port = at.port}
         if ok then
            setmetatable(self, class.connected)
            return 1.0
         end
         failed = base.text(message, code)
      end
   end
   return nil, failed
end

local function parts(text, message, code)
   if not text then return nil, base.text(message, code) end
   local host, port = text:match("^%[?(.-)%]?:(%d+)$")
   return host, math.tointeger(port), host:find(":", 1, true) and "inet6" or "inet"
end

function udp.getsockname(self)
   check_any(self, "getsockname")
   if self.stream then return parts(self.stream:local_address()) end
   if self.closed or self.family == "unspec" then return nil, "Bad file descriptor" end
   return ANY[self.family], 0, self.family
end

function udp.getpeername(self)
   base.check(self, "getpeername", class.connected)
   if not self.stream then return nil, "Bad file descriptor" end
   return parts(self.stream:peer_address())
end

function udp.getfamily(self)
   check_any(self, "getfamily")
   return self.family == "inet6" and "inet6" or "inet4"
end

-- ---- datagrams ---------------------------------------------------------------------------------------------------

local function send(self, data, to)
   local socket = self.stream
   local done, message, code = base.within(self, base.begin(self), socket.send, socket, data, to)
   if not done then return nil, base.text(message, code) end
   return #data + 0.0
end

function udp.send(self, data)
   base.check(self, "send", class.connected)
   data = base.string(data, 1, "send")
   if not self.stream then return nil, "refused" end
   return send(self, data)
end

function udp.sendto(self, data, host, port)
   base.check(self, "sendto", class.unconnected)
   data, host = base.string(data, 1, "sendto"), base.string(host, 2, "sendto")
   port = number_of(base.string(port, 3, "sendto"))
   if not port then return nil, "Name or service not known" end
   local to, failed = dns.numeric(host, self.family)
   if not to then return nil, failed end
   if self.closed then return nil, "refused" end
   local socket
   socket, failed = open(self, self.family == "unspec" and (host:find(":", 1, true) and "inet6" or "inet") or nil)
   if not socket then return nil, failed end
   return send(self, data, {host = to, port = port})
end

-- Waits for a datagram, or an error that one has left behind, and keeps it.
local function await_datagram(self, began, size)
   local socket = open(self)
   if not socket then return "closed" end
   local data, from, code = base.within(self, began, socket.receive, socket, size or MOST)
   if data then
      table.insert(self.queue, {data = data, from = from})
   elseif code == "ETIMEDOUT" or code == "ECLOSED" then
      return base.text(from, code)
   else
      table.insert(self.queue, {failed = base.text(from, code)})
   end
end

local function receive(self, size, name)
   size = base.number(size, 8192, 1, name)
   size = size == size and size > 0 and math.floor(math.min(size, MOST)) or 0
   if self.closed then return nil, "closed" end
   if #self.queue == 0 then
      local failed = await_datagram(self, base.begin(self), math.max(size, 1))
      if failed then return nil, failed end
   end
   local one = table.remove(self.queue, 1)
   if one.failed then return nil, one.failed end
   return one.data:sub(1, size), one.from
end

function udp.receive(self, size)
   check_any(self, "receive")
   local data, failed = receive(self, size, "receive")
   if not data then return nil, failed end
   return data
end

function udp.receivefrom(self, size)
   base.check(self, "receivefrom", class.unconnected)
   local data, from = receive(self, size, "receivefrom")
   if not data then return nil, from end
   local host, port = parts(from)
   return data, host, port
end

-- ---- the rest ----------------------------------------------------------------------------------------------------

for _, name in ipairs{"settimeout", "gettimeout"} do
   local method = base[name]
   udp[name] = function(self, ...)
      check_any(self, name)
      return method(self, ...)
   end
end

function udp.dirty(self)
   check_any(self, "dirty")
   return #self.queue > 0
end

function udp.close(self)
   check_any(self, "close")
   self.closed, self.queue = true, {}
   return base.close(self)
end

for name, method in pairs(saros._socket_options("udp", class)) do udp[name] = method end

base.add_classes(class, "udp", {"unconnected", "connected"}, udp)
for _, role in ipairs{"unconnected", "connected"} do
   class[role].is_readable = function(self) return #self.queue > 0 end
   class[role].await_readable = await_datagram
   class[role].is_writable = function(self) return self.stream ~= nil end
   class[role].await_writable = function() end
end

local function new(family)
   return function() return base.new(class.unconnected, {family = family, options = {}, queue = {}}) end
end

return {udp = new("unspec"), udp4 = new("inet"), udp6 = new("inet6")}
