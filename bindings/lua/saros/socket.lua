-- socket.lua: saros.socket: the module `socket` of LuaSocket on the loop's streams and tasks.
--
-- After package.loaded.socket = require "saros.socket" LuaSocket's own socket.http, socket.ftp, socket.smtp, and what
-- others wrote on LuaSocket, wait in their task while other tasks run. socket_base.lua and socket_stream.lua have what
-- the objects share, socket_tcp.lua TCP, socket_unix.lua Unix sockets, socket_select.lua select, socket_dns.lua names.
-- Promises: names, arguments and results as LuaSocket's (docs/luasocket.md says what differs). What waits raises
-- outside a task. Nothing of Lua's or LuaSocket's is changed before `install`.
local saros = ...

local base = saros._socket_base

local socket = {
   _VERSION = "LuaSocket 3.1.0 (Saros " .. saros._VERSION .. ")", -- programs look for the first part
   _SETSIZE = math.maxinteger, _SOCKETINVALID = -1, _DATAGRAMSIZE = 8192, BLOCKSIZE = 2048,
}
saros.socket = socket -- the parts look for it

socket.dns = saros._socket_dns
for name, new in pairs(saros._socket_tcp) do socket[name] = new end
for name, new in pairs(saros._socket_udp) do socket[name] = new end

-- ---- errors that fly ---------------------------------------------------------------------------------------------

-- What try raises and protect takes back, known by its metatable.
local Exception = {__metatable = false}
function Exception.__tostring(self) return tostring(self[1]) end

function socket.newtry(finalizer)
   return function(...)
      if ... then return ... end
      if finalizer then finalizer() end
      error(setmetatable({(select(2, ...))}, Exception), 0)
   end
end

local function unprotected(ok, ...)
   if ok then return ... end
   local err = ...
   if type(err) == "table" and debug.getmetatable(err) == Exception then return nil, err[1] end
   error(err, 0)
end

function socket.protect(fn)
   return function(...) return unprotected(saros.pcall(fn, ...)) end
end

socket.try = socket.newtry()

function socket.skip(count, ...)
   if math.type(tonumber(count)) == nil then
      base.bad_type(1, "socket.skip", "number", count)
   end
   return select(math.max(math.tointeger(count) or 0, 0) + 1, ...)
end

-- ---- time --------------------------------------------------------------------------------------------------------

socket.gettime = base.wall

function socket.sleep(seconds) saros.sleep(base.number(seconds, nil, 1, "socket.sleep")) end

-- ---- connections -------------------------------------------------------------------------------------------------

local FAMILIES = {unspec = "tcp", inet = "tcp4", inet6 = "tcp6"}

function socket.connect(address, port, local_address, local_port, family)
   address, port = base.string(address, 1, "socket.connect"), base.string(port, 2, "socket.connect")
   local kind = FAMILIES[family == nil and "unspec" or family]
   if not kind then base.bad(5, "socket.connect", ("invalid option '%s'"):format(tostring(family))) end
   local client = socket[kind]()
   local ok, failed
   if local_address ~= nil then
      ok, failed = client:bind(local_address, local_port == nil and "0" or local_port)
      if not ok then return nil, failed end
   end
   ok, failed = client:connect(address, port)
   if ok then return client end
   client:close()
   return nil, failed
end

function socket.connect4(address, port, local_address, local_port)
   return socket.connect(address, port, local_address, local_port, "inet")
end

function socket.connect6(address, port, local_address, local_port)
   return socket.connect(address, port, local_address, local_port, "inet6")
end

-- A server at the first of the host's addresses that can be had.
function socket.bind(host, port, backlog)
   if host == "*" then host = "0.0.0.0" end
   local list, failed = socket.dns.getaddrinfo(host)
   if not list then return nil, failed end
   failed = "no info on address"
   for _, address in ipairs(list) do
      local server = address.family == "inet" and socket.tcp4() or socket.tcp6()
      server:setoption("reuseaddr", true)
      local ok
      ok, failed = server:bind(address.addr, port)
      if ok then ok, failed = server:listen(backlog) end
      if ok then return server end
      server:close()
   end
   return nil, failed
end

function socket.select(...) return saros._socket_select(...) end

-- ---- sources and sinks (LTN12) -----------------------------------------------------------------------------------

-- A function that is called as one, and that select takes for its socket.
local function of(sock, call)
   return setmetatable({
      getfd = function() return sock:getfd() end,
      dirty = function() return sock:dirty() end,
   }, {__call = call})
end

function socket.choose(list)
   return function(name, first, second)
      if type(name) ~= "string" then name, first, second = "default", name, first end
      local make = list[name]
      if not make then error("unknown key (" .. tostring(name) .. ")", 3) end
      return make(first, second)
   end
end

socket.sinkt, socket.sourcet = {}, {}

socket.sinkt["close-when-done"] = function(sock)
   return of(sock, function(_, chunk)
      if chunk then return sock:send(chunk) end
      sock:close()
      return 1
   end)
end

socket.sinkt["keep-open"] = function(sock)
   return of(sock, function(_, chunk)
      if chunk then return sock:send(chunk) end
      return 1
   end)
end

socket.sourcet["by-length"] = function(sock, length)
   return of(sock, function()
      if length <= 0 then return nil end
      local chunk, failed = sock:receive(math.min(socket.BLOCKSIZE, length))
      if failed then return nil, failed end
      length = length - #chunk
      return chunk
   end)
end

socket.sourcet["until-closed"] = function(sock)
   local done
   return of(sock, function()
      if done then return nil end
      local chunk, failed, partial = sock:receive(socket.BLOCKSIZE)
      if not failed then return chunk end
      if failed ~= "closed" then return nil, failed end
      sock:close()
      done = true
      return partial
   end)
end

socket.sinkt.default, socket.sourcet.default = socket.sinkt["keep-open"], socket.sourcet["until-closed"]
socket.sink, socket.source = socket.choose(socket.sinkt), socket.choose(socket.sourcet)

-- ---- in LuaSocket's place ----------------------------------------------------------------------------------------

-- Whoever requires "socket", its C part or its Unix sockets from now on gets ours. What was loaded before stays.
function socket.install()
   package.loaded.socket, package.loaded["socket.core"] = socket, socket
   package.preload["socket.unix"] = function() return saros._socket_unix end
   return socket
end

return socket
