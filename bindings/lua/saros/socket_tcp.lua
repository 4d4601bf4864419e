-- socket_tcp.lua: LuaSocket's TCP objects: tcp{master}, which becomes tcp{client} by connect and tcp{server} by listen.
--
-- Owns the stream or listener of each object. A bind listens at once, because only so can it fail as bind does; what
-- comes before `listen` waits in the listener's queue.
local saros = ...

local base, dns = saros._socket_base, saros.socket.dns

local tcp = {}
local class -- the three classes

local function check_any(self, name) base.check_any(self, name, class.any) end

-- "127.0.0.1:80", "[::1]:80" -> host, port, family
local function parts(text)
   local host, port = text:match("^%[?(.-)%]?:(%d+)$")
   return host, math.tointeger(port), host:find(":", 1, true) and "inet6" or "inet"
end

-- What has an address, or why there is none.
local function at_address(self)
   local open = self.stream or self.listener
   if open or self.closed or self.family == "unspec" then return open, "Bad file descriptor" end
   return nil, "Transport endpoint is not connected"
end

function tcp.getsockname(self)
   check_any(self, "getsockname")
   local open, failed = at_address(self)
   if not open and (self.closed or self.family == "unspec") then return nil, failed end
   if not open then return self.family == "inet6" and "::" or "0.0.0.0", 0, self.family end
   local text, message, code = (open.local_address or open.address)(open)
   if not text then return nil, base.text(message, code) end
   return parts(text)
end

function tcp.getpeername(self)
   check_any(self, "getpeername")
   local _, failed = at_address(self)
   if self.listener then failed = "Transport endpoint is not connected" end
   if not self.stream then return nil, failed end
   local text, message, code = self.stream:peer_address()
   if not text then return nil, base.text(message, code) end
   return parts(text)
end

function tcp.getfamily(self)
   check_any(self, "getfamily")
   return self.family == "inet6" and "inet6" or "inet4"
end

-- ---- bind, listen, accept ----------------------------------------------------------------------------------------

function tcp.bind(self, address, port)
   base.check(self, "bind", class.master)
   address, port = base.string(address, 1, "bind"), base.string(port, 2, "bind")
   if self.listener then return nil, "Invalid argument" end
   if address == "*" then address = self.family == "inet6" and "::" or "0.0.0.0" end
   local list, failed = dns.addresses(address, port, self.family)
   for _, at in ipairs(list or {}) do
      local listener, message, code = saros.listen({host = at.host, port = at.port})
      if listener then
         self.listener, self.family, self.closed = listener, at.family, nil
         return 1.0
      end
      failed = base.text(message, code)
   end
   return nil, failed
end

function tcp.listen(self, backlog)
   base.check(self, "listen", class.master)
   base.number(backlog, 32, 1, "listen")
   if not self.listener then
      if self.family == "unspec" or self.closed then return nil, "Bad file descriptor" end
      local ok, failed = tcp.bind(self, "*", "0")
      if not ok then return nil, failed end
   end
   self.accepted = {}
   setmetatable(self, class.server)
   return 1.0
end

-- Waits until somebody has come; nothing, or the error.
local function await_client(self, began)
   local listener = self.listener
   if not listener then return "closed" end
   local stream, message, code = base.within(self, began, listener.accept, listener)
   if not stream then return base.text(message, code) end
   table.insert(self.accepted, stream)
end

function tcp.accept(self)
   base.check(self, "accept", class.server)
   if #self.accepted == 0 then
      local failed = await_client(self, base.begin(self))
      if failed then return nil, failed end
   end
   return base.new(class.client, {stream = table.remove(self.accepted, 1), family = self.family, options = {}})
end

-- ---- connect -----------------------------------------------------------------------------------------------------

local function connect_later(self, at)
   self.family = at.family
   self.pending = saros._spawn_background(saros.connect, {host = at.host, port = at.port}):set_name("connect")
   return nil, "timeout"
end

function tcp.connect(self, address, port)
   check_any(self, "connect")
   address, port = base.string(address, 1, "connect"), base.string(port, 2, "connect")
   if self.pending and not self.pending:done() then return nil, "Operation already in progress" end
   local failed = self.pending and base.connected(self)
   if self.stream or getmetatable(self) == class.server then return nil, "already connected" end
   if failed then return nil, failed end
   local list
   list, failed = dns.addresses(address, port, self.family)
   setmetatable(self, class.client)
   self.closed, self.over = nil, nil
   for _, at in ipairs(list or {}) do
      if self.block == 0 or self.total == 0 then return connect_later(self, at) end
      local stream, message, code =
         base.within(self, base.begin(self), saros.connect, {host = at.host, port = at.port})
      if stream then
         self.stream, self.family = stream, at.family
         return 1.0
      end
      failed = base.text(message, code)
   end
   return nil, failed
end

-- ---- what clients have -------------------------------------------------------------------------------------------

for _, name in ipairs{"send", "receive", "getstats", "setstats", "shutdown"} do
   local method = base[name]
   tcp[name] = function(self, ...)
      base.check(self, name, class.client)
      return method(self, ...)
   end
end

for _, name in ipairs{"settimeout", "gettimeout", "dirty"} do
   local method = base[name]
   tcp[name] = function(self, ...)
      check_any(self, name)
      return method(self, ...)
   end
end

function tcp.close(self)
   check_any(self, "close")
   local listener, accepted = self.listener, self.accepted or {}
   self.listener, self.accepted, self.closed = nil, self.accepted and {}, true
   if listener then listener:close() end
   for _, stream in ipairs(accepted) do stream:close() end
   return base.close(self)
end

tcp.setpeername, tcp.setsockname = tcp.connect, tcp.bind
for name, method in pairs(saros._socket_options("tcp")) do tcp[name] = method end

class = base.classes("tcp", {"master", "client", "server"}, tcp)

-- For select: is there anything to receive, or to accept? And a wait until there is, or never will be.
local function has_client(self) return #self.accepted > 0 end
class.server.is_readable, class.server.await_readable = has_client, await_client
class.client.is_readable, class.client.await_readable = base.is_readable, base.fill
class.client.is_writable, class.client.await_writable = base.is_writable, base.await_writable

local function new(family)
   return function() return base.new(class.master, {family = family, options = {}}) end
end

return {tcp = new("unspec"), tcp4 = new("inet"), tcp6 = new("inet6")}
