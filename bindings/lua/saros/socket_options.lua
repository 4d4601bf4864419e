-- socket_options.lua: setoption and getoption of saros.socket's objects, and the descriptor behind them.
--
-- saros._socket_options(kind, class): the methods for "tcp" and "unixstream", with their classes. A name that LuaSocket
-- does not know raises, and so does a value of the wrong type. An object keeps an option from when it is set, also
-- before it is connected.
local saros = ...

local base = saros._socket_base

-- Types of values: nothing, or what is wrong, as bad_type or bad tell it.
local function boolean(value) return type(value) ~= "boolean" and "boolean" end
local function integer(value) return not tonumber(value) and "number" end
local function device(value) return type(value) ~= "string" and "string" end

local function linger(value)
   if type(value) ~= "table" then return "table" end
   if type(value.on) ~= "boolean" then return nil, "boolean 'on' field expected" end
   if type(value.timeout) ~= "number" then return nil, "number 'timeout' field expected" end
end

local UNIX = {keepalive = boolean, reuseaddr = boolean, linger = linger}

local TCP = {
   ["tcp-nodelay"] = boolean, ["ipv6-v6only"] = boolean, reuseport = boolean, bindtodevice = device,
   ["recv-buffer-size"] = integer, ["send-buffer-size"] = integer, ["tcp-keepidle"] = integer,
   ["tcp-keepcnt"] = integer, ["tcp-keepintvl"] = integer, ["tcp-defer-accept"] = integer,
   ["tcp-fastopen"] = integer, ["tcp-fastopen-connect"] = integer,
}
for name, check in pairs(UNIX) do TCP[name] = check end

-- What can be set and not asked for.
local WRITE_ONLY = {
   ["ipv6-v6only"] = true, ["tcp-defer-accept"] = true, ["tcp-fastopen"] = true, ["tcp-fastopen-connect"] = true,
}
local UNSET = {[boolean] = false, [integer] = 0, [device] = ""}

local function unsupported(name, method)
   base.bad(1, method, ("unsupported option `%s'"):format(name))
end

-- Who has a descriptor, for objects that only lend it: LuaSocket's sources and protocols have a `getfd` of their own.
local owners = setmetatable({}, {__mode = "v"})
base.owners = owners

return function(kind, class)
   local known, any, methods = kind == "tcp" and TCP or UNIX, kind .. "{any}", {}

   function methods.setoption(self, name, value)
      base.check_any(self, "setoption", any)
      name = base.string(name, 1, "setoption")
      local check = known[name]
      if not check then unsupported(name, "setoption") end
      local expected, wrong = check(value)
      if expected then base.bad_type(2, "setoption", expected, value) end
      if wrong then base.bad(2, "setoption", wrong) end
      if self.closed then return nil, "setsockopt failed" end
      if type(value) == "table" then value = {on = value.on, timeout = value.timeout} end
      self.options[name] = value
      return 1.0
   end

   function methods.getoption(self, name)
      base.check_any(self, "getoption", any)
      name = base.string(name, 1, "getoption")
      if name ~= "error" and (not known[name] or WRITE_ONLY[name]) then unsupported(name, "getoption") end
      if self.closed then return nil, "getsockopt failed" end
      if name == "error" then return self.failure end
      local value = self.options[name]
      if known[name] == linger then
         return {on = value and value.on or false, timeout = value and math.tointeger(value.timeout) or 0}
      end
      if value == nil then return UNSET[known[name]] end
      return value
   end

   -- The number of the descriptor, or -1: for who keeps sockets apart by it. The loop reads and writes it.
   function methods.getfd(self)
      base.check_any(self, "getfd", any)
      local open = self.stream or self.listener
      local fd = open and saros._descriptor(open)
      if not fd then return -1.0 end
      owners[fd] = self
      return fd + 0.0
   end

   -- Takes over a descriptor that somebody else has opened; a number below 0 only closes what is there.
   function methods.setfd(self, fd)
      base.check_any(self, "setfd", any)
      fd = math.tointeger(base.number(fd, nil, 1, "setfd"))
      self:close()
      if not fd or fd < 0 then return end
      local open, message, code = saros.adopt(fd)
      if not open then return nil, base.text(message, code) end
      self.closed = nil
      if open.accept then self.listener, self.accepted = open, {}
      else self.stream = open end
      setmetatable(self, open.accept and class.server or class.client)
   end

   return methods
end
