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

-- LuaSocket's names, the type of the value, and our own name for it where the system is to be told: saros._option. The
-- others are as they are: reuseaddr is what listeners here ask for.
local UNIX = {keepalive = {boolean, "keepalive"}, reuseaddr = {boolean}, linger = {linger, "linger"}}

local TCP = {
   ["tcp-nodelay"] = {boolean, "nodelay"}, ["tcp-keepidle"] = {integer, "keepalive_idle"},
   ["tcp-keepcnt"] = {integer, "keepalive_count"}, ["tcp-keepintvl"] = {integer, "keepalive_interval"},
   ["recv-buffer-size"] = {integer, "receive_buffer"}, ["send-buffer-size"] = {integer, "send_buffer"},
   ["ipv6-v6only"] = {boolean}, reuseport = {boolean, false}, bindtodevice = {device, false},
   ["tcp-defer-accept"] = {integer, false}, ["tcp-fastopen"] = {integer, false},
   ["tcp-fastopen-connect"] = {integer, false},
}
for name, entry in pairs(UNIX) do TCP[name] = entry end

-- What can be set and not asked for.
local WRITE_ONLY = {
   ["ipv6-v6only"] = true, ["tcp-defer-accept"] = true, ["tcp-fastopen"] = true, ["tcp-fastopen-connect"] = true,
}

-- A value as the system has it, a number, and as LuaSocket has it.
local function to_number(check, value)
   if check == boolean then return value and 1 or 0 end
   if check == linger then return value.on and math.max(math.tointeger(value.timeout) or 0, 0) or -1 end
   return math.tointeger(tonumber(value)) or 0
end

local function from_number(check, number)
   if check == boolean then return number ~= 0 end
   if check == linger then return {on = number >= 0, timeout = math.max(number, 0)} end
   return number + 0.0
end

-- What was set before there was a connection.
function base.apply_options(self)
   for name, value in pairs(self.options) do
      local entry = TCP[name]
      if entry[2] then saros._option(self.stream or self.listener, entry[2], to_number(entry[1], value)) end
   end
end

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
      local entry = known[name]
      if not entry then unsupported(name, "setoption") end
      local expected, wrong = entry[1](value)
      if expected then base.bad_type(2, "setoption", expected, value) end
      if wrong then base.bad(2, "setoption", wrong) end
      local open = self.stream or self.listener
      local ours = entry[2]
      if self.closed or ours == false then return nil, "setsockopt failed" end
      if ours and open and not saros._option(open, ours, to_number(entry[1], value)) then
         return nil, "setsockopt failed"
      end
      self.options[name] = value
      return 1.0
   end

   function methods.getoption(self, name)
      base.check_any(self, "getoption", any)
      name = base.string(name, 1, "getoption")
      local entry = known[name]
      if name ~= "error" and (not entry or WRITE_ONLY[name]) then unsupported(name, "getoption") end
      if self.closed then return nil, "getsockopt failed" end
      if name == "error" then return nil end
      local open, check, ours = self.stream or self.listener, entry[1], entry[2]
      local number = ours and open and saros._option(open, ours)
      if not number and (ours == false or ours and open) then return nil, "getsockopt failed" end
      if not number then
         local value = self.options[name]
         number = value == nil and (check == linger and -1 or 0) or to_number(check, value)
      end
      return from_number(check, number)
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
