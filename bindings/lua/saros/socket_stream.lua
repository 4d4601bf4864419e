-- socket_stream.lua: what TCP and Unix objects of saros.socket share: a master that becomes a client by connect and a
-- server by listen.
--
-- Owns the stream or listener of each object. A bind listens at once, because only so can it fail as bind does; what
-- comes before `listen` waits in the listener's queue.
local saros = ...

local base = saros._socket_base

-- saros._socket_stream(kind, places): a table of methods, to which a kind adds its own; a function to call when it has;
-- and one that gives a maker of objects of a family. places(self, method, …): where bind or connect with these
-- arguments is to go, as a list of {address =, family =} for saros.listen and saros.connect; or nil, error.
return function(kind, places)
   local methods, class = {}, {}

   local function check_any(self, name) base.check_any(self, name, class.any) end

   function methods.bind(self, ...)
      base.check(self, "bind", class.master)
      local list, failed = places(self, "bind", ...)
      if self.listener then return nil, "Invalid argument" end
      for _, at in ipairs(list or {}) do
         local listener, message, code = saros.listen(at.address)
         if listener then
            self.listener, self.bound, self.family, self.closed = listener, at.address, at.family, nil
            return 1.0
         end
         failed = base.text(message, code)
      end
      return nil, failed
   end

   function methods.listen(self, backlog)
      base.check(self, "listen", class.master)
      base.number(backlog, 32, 1, "listen")
      if not self.listener then
         if self.closed or self.family == "unspec" then return nil, "Bad file descriptor" end
         local ok, failed = methods.bind(self, "*", "0")
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

   function methods.accept(self)
      base.check(self, "accept", class.server)
      if #self.accepted == 0 then
         local failed = await_client(self, base.begin(self))
         if failed then return nil, failed end
      end
      local options = {reuseaddr = self.options.reuseaddr} -- the others the system passes on
      return base.new(class.client, {stream = table.remove(self.accepted, 1), family = self.family, options = options})
   end

   local function connect_later(self, at)
      self.family = at.family
      self.pending = saros._spawn_background(saros.connect, at.address):set_name("connect")
      return nil, "timeout"
   end

   -- A master that was bound and is to connect gives its port up. Nothing, or an error where it had to be that one.
   local function release_bound(self)
      local bound = self.bound
      self.listener:close()
      self.listener, self.bound = nil, nil
      local any = bound.port == 0 and (bound.host == "0.0.0.0" or bound.host == "::")
      return not any and "Operation not supported" or nil
   end

   function methods.connect(self, ...)
      check_any(self, "connect")
      local list, failed = places(self, "connect", ...)
      if self.pending and not self.pending:done() then return nil, "Operation already in progress" end
      local late = self.pending and base.connected(self)
      if self.stream or getmetatable(self) == class.server then return nil, "already connected" end
      if late then return nil, late end
      local refused = self.listener and release_bound(self)
      if refused then return nil, refused end
      setmetatable(self, class.client)
      self.closed, self.over = nil, nil
      for _, at in ipairs(list or {}) do
         if self.block == 0 or self.total == 0 then return connect_later(self, at) end
         local stream, message, code = base.within(self, base.begin(self), saros.connect, at.address)
         if stream then
            self.stream, self.family = stream, at.family
            base.apply_options(self)
            return 1.0
         end
         failed = base.text(message, code)
      end
      return nil, failed
   end

   for _, name in ipairs{"send", "receive", "getstats", "setstats", "shutdown"} do
      local method = base[name]
      methods[name] = function(self, ...)
         base.check(self, name, class.client)
         return method(self, ...)
      end
   end

   for _, name in ipairs{"settimeout", "gettimeout", "dirty"} do
      local method = base[name]
      methods[name] = function(self, ...)
         check_any(self, name)
         return method(self, ...)
      end
   end

   function methods.close(self)
      check_any(self, "close")
      local listener, accepted = self.listener, self.accepted or {}
      self.listener, self.accepted, self.closed = nil, self.accepted and {}, true
      if listener then listener:close() end
      for _, stream in ipairs(accepted) do stream:close() end
      return base.close(self)
   end

   for name, method in pairs(saros._socket_options(kind, class)) do methods[name] = method end

   local function new(family)
      return function() return base.new(class.master, {family = family, options = {}}) end
   end

   -- Once the kind has its own methods.
   local function finish()
      methods.setpeername, methods.setsockname = methods.connect, methods.bind
      base.add_classes(class, kind, {"master", "client", "server"}, methods)
      -- For select: is there anything to receive, or to accept? And a wait until there is, or never will be.
      class.server.is_readable = function(self) return #self.accepted > 0 end
      class.server.await_readable = await_client
      class.client.is_readable, class.client.await_readable = base.is_readable, base.fill
      class.client.is_writable, class.client.await_writable = base.is_writable, base.await_writable
   end

   return methods, finish, new
end
