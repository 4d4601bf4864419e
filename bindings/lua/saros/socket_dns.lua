-- socket_dns.lua: saros.socket.dns: LuaSocket's look-ups of names, off the loop (saros.resolve).
--
-- Promises: names are taken whole or refused; waits like any look-up.
local saros = ...

local base = saros._socket_base
local dns = {}

local UNKNOWN <const> = "host or service not provided, or not known"
local NO_SERVICE <const> = "service not supported for socket type"

local WRONG_FAMILY <const> = "Address family for hostname not supported"

local function is_number(host) return host:match("^%d+%.%d+%.%d+%.%d+$") or host:find(":", 1, true) end

-- The number of an address as the system has it, of one family or "unspec"; nil, error where it is none.
function dns.numeric(host, family)
   local six, text = host:find(":", 1, true) ~= nil, "Name or service not known"
   local list = is_number(host) and not host:find("\0", 1, true) and saros.resolve(host, 0)
   if not list then return nil, text end
   if family == (six and "inet" or "inet6") then return nil, WRONG_FAMILY end
   return list[1].host
end

-- The addresses of a host and a port or service, of one family or "unspec", as saros.resolve gives them; or nil, error.
function dns.addresses(host, port, family)
   if host == "" or host:find("\0", 1, true) then return nil, UNKNOWN end
   local number = port:match("^%d+$") and math.tointeger(tonumber(port))
   if number and number > 65535 or not port:match("^[%w_-]+$") or port:match("^%-") then return nil, NO_SERVICE end
   local options = family ~= "unspec" and {family = family} or nil
   local list, message, code = saros.resolve(host, number or port, options)
   if list then return list end
   if not number and (code == "ENOSYS" or is_number(host)) then return nil, NO_SERVICE end
   if code == "ENAME" and is_number(host) and select(2, dns.numeric(host, family)) == WRONG_FAMILY then
      return nil, WRONG_FAMILY
   end
   return nil, base.text(message, code)
end

local function by_name(host)
   if host == "" or host:find("\0", 1, true) then return nil, "host not found" end
   local list, message, code = saros.resolve(host, 0, {family = "inet"})
   if not list then return nil, code == "ENAME" and "host not found" or base.text(message, code) end
   local resolved = {name = host, alias = {}, ip = {}}
   for i, address in ipairs(list) do resolved.ip[i] = address.host end
   return resolved
end

function dns.toip(host)
   local resolved, failed = by_name(base.string(host, 1, "toip"))
   if not resolved then return nil, failed end
   return resolved.ip[1], resolved
end

function dns.tohostname(address)
   address = base.string(address, 1, "tohostname")
   local name = address
   if is_number(address) then
      local message, code
      name, message, code = saros._name_of(address)
      if not name then return nil, code == "ENAME" and "host not found" or base.text(message, code) end
   end
   local resolved, failed = by_name(address)
   if not resolved then return nil, failed end
   resolved.name = name
   return name, resolved
end

function dns.getaddrinfo(host)
   local list, failed = dns.addresses(base.string(host, 1, "getaddrinfo"), "0", "unspec")
   if not list then return nil, failed end
   for i, address in ipairs(list) do list[i] = {family = address.family, addr = address.host} end
   return list
end

-- The names behind a host's addresses.
function dns.getnameinfo(host)
   local list, failed = dns.addresses(base.string(host, 1, "getnameinfo"), "0", "unspec")
   if not list then return nil, failed end
   for i, address in ipairs(list) do list[i] = saros._name_of(address.host) or address.host end
   return list
end

-- In a simulated world a program has the host's name that others call it by; its machine's name is none of it.
function dns.gethostname()
   local loop = saros.current_loop()
   if loop and loop:driver() == "sim" or not saros._hostname then return "localhost" end
   return saros._hostname()
end

return dns
