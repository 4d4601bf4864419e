-- socket_options.lua: setoption and getoption of saros.socket's objects, and the descriptor behind them.
--
-- saros._socket_options(kind, class): the methods for "tcp", "unixstream" and "udp", with their classes. A name that
-- LuaSocket does not know raises, and so does a value of the wrong type. An object keeps an option from when it is set,
-- also before it is connected.
local saros = ...

local base = saros._socket_base

-- Types of values: nothing, or what is wrong, as bad_type or bad tell it.
local function boolean(value) return type(value) ~= "boolean" and "boolean" end
local function integer() return nil end -- what is no number is 0, as LuaSocket has it
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

-- Groups of receivers: what a socket is a member of is known to the system alone, so the option is a call.
local function group(value)
   if type(value) ~= "table" then return "table" end
   if type(value.multiaddr) ~= "string" then return nil, "string 'multiaddr' field expected" end
end

local function member(method)
   return function(self, value)
      local through = value.interface ~= "*" and value.interface or nil
      local open = base.open_datagrams(self)
      if not open then return nil end
      local ok, done = saros.pcall(open[method], open, value.multiaddr, through) -- raises on what is no group
      return ok and done
   end
end

local join, leave = {group, member("join_group")}, {group, member("leave_group")}
local UDP = {
   reuseaddr = {boolean}, reuseport = {boolean}, broadcast = {boolean, "broadcast"}, dontroute = {boolean, false},
   ["ip-multicast-loop"] = {boolean, "multicast_loop"}, ["ipv6-multicast-loop"] = {boolean, "multicast_loop"},
   ["ip-multicast-ttl"] = {integer, "multicast_ttl"}, ["ipv6-multicast-hops"] = {integer, "multicast_ttl"},
   ["ipv6-unicast-hops"] = {integer, "ttl"}, ["ip-multicast-if"] = {device}, ["ipv6-v6only"] = {boolean},
   ["recv-buffer-size"] = {integer, "receive_buffer"}, ["send-buffer-size"] = {integer, "send_buffer"},
   ["ip-add-membership"] = join, ["ip-drop-membership"] = leave,
   ["ipv6-add-membership"] = join, ["ipv6-drop-membership"] = leave,
}

local KINDS = {tcp = TCP, unixstream = UNIX, udp = UDP}

-- What can be set and not asked for.
local WRITE_ONLY = {
   ["tcp-defer-accept"] = true, ["tcp-fastopen"] = true, ["tcp-fastopen-connect"] = true, ["ip-multicast-ttl"] = true,
   ["ip-add-membership"] = true, ["ip-drop-membership"] = true, ["ipv6-add-membership"] = true,
   ["ipv6-drop-membership"] = true,
}

-- A value as the system has it, a number, and as LuaSocket has it.
local function to_number(check, value)
   if check == boolean then return value and 1 or 0 end
   if check == linger then return value.on and math.max(math.tointeger(value.timeout) or 0, 0) or -1 end
   local number = tonumber(value) or 0
   return math.tointeger(number < 0 and math.ceil(number) or math.floor(number)) or 0
end

local function from_number(check, number)
   if check == boolean then return number ~= 0 end
   if check == linger then return {on = number >= 0, timeout = math.max(number, 0)} end
   return number + 0.0
end

-- What was set before there was a connection.
function base.apply_options(self)
   for name, value in pairs(self.options) do
      local entry = TCP[name] or UDP[name]
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
   local known, any, methods = KINDS[kind], kind .. "{any}", {}

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
      if type(ours) == "function" then
         if ours(self, value) then return 1.0 end
         return nil, "setsockopt failed"
      end
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
      local hidden = WRITE_ONLY[name] or name == "ipv6-v6only" and kind == "tcp"
      if name ~= "error" and (not entry or hidden) then unsupported(name, "getoption") end
      if self.closed then return nil, "getsockopt failed" end
      if name == "error" then return nil end
      local open, check, ours = self.stream or self.listener, entry[1], entry[2]
      local number = ours and open and saros._option(open, ours)
      if not number and (ours == false or ours and open) then return nil, "getsockopt failed" end
      if check == device then return self.options[name] or "" end
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
      if not class.client then return nil, "Operation not supported" end -- no descriptor of datagrams can be taken over
      local open, message, code = saros.adopt(fd)
      if not open then return nil, base.text(message, code) end
      self.closed = nil
      if open.accept then self.listener, self.accepted = open, {}
      else self.stream = open end
      setmetatable(self, open.accept and class.server or class.client)
   end

   return methods
end
