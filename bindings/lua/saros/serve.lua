-- serve.lua: saros.serve: a listener, a task that accepts, a task for each connection.
--
-- Owns the listener and the handlers' tasks. A handler's stream is closed when the handler ends, and its error is
-- reported at once; others go on. Where the system has no descriptor left, accepting pauses instead of spinning.
-- Promises: serve returns at once; close stops accepting; shutdown waits for the handlers and then cancels them.
local saros = ...
local spawn = saros._spawn_background

local Server = {}
Server.__index = Server
Server.__name = "saros.server"
Server.__metatable = false

local PAUSE = 1 -- seconds, as asyncio's
local EXHAUSTED = {EMFILE = true, ENFILE = true, ENOBUFS = true, ENOMEM = true}

local function handle(server, stream, handler)
   local task = saros.current_task() -- which it no longer is where a loop that closes ends it
   local _closes <close> = stream
   local _leaves <close> = setmetatable({}, {
      __close = function() server:_left(task) end,
   })
   if server.tls then
      local ok, message = server.tls(stream)
      if not ok then return saros._report(("serve %s: %s"):format(server.where, message)) end
   end
   handler(stream, (stream:peer_address()))
end

-- One connection. False: no more will come. An accept may win over the close that should have ended it.
local function accept_one(server)
   server:_wait_for_place()
   local stream, message, code = server.listener:accept()
   if stream and server.closed then
      stream:close()
      return false
   end
   if not stream then
      if code == "ECLOSED" then return false end
      error(EXHAUSTED[code] and message .. "; accepting pauses for a second" or message, 0)
   end
   server.count = server.count + 1
   local ok, task = saros.pcall(spawn, handle, server, stream, server.handler)
   if not ok then
      server.count = server.count - 1
      stream:close()
      error(task, 0)
   end
   server.handlers[task] = stream
   task:set_name("handler"):add_done_callback(server.ended)
   return true
end

local function complain(server, err)
   saros._report("serve " .. server.where .. ": " .. tostring(err))
end

-- Goes on after every failure but its own cancellation; so it also outlives a lack of memory, where that passes.
local function accept_loop(server)
   while true do
      local ok, more = saros.pcall(accept_one, server)
      if ok and not more then return end
      if not ok then
         if saros.is_cancelled(more) then error(more, 0) end
         saros.pcall(complain, server, more)
         saros.sleep(PAUSE)
      end
   end
end

-- With a limit, the next connection is accepted only when there is a place for its handler.
function Server:_wait_for_place()
   while self.limit and self.count >= self.limit do
      self.place = saros.future()
      self.place:await()
   end
end

-- A handler that is cancelled before its first step never begins, and so has nothing to close.
local function when_ended(server)
   return function(task)
      local stream = server.handlers[task]
      if stream then
         stream:close()
         server:_left(task)
      end
   end
end

function Server:_left(task)
   self.handlers[task] = nil
   self.count = self.count - 1
   if self.place then
      local place = self.place
      self.place = nil
      place:set_result()
   end
   if self.count == 0 and self.empty then
      local empty = self.empty
      self.empty = nil
      empty:set_result()
   end
end

function Server:address() return self.where end

-- Stops accepting, now; the handlers go on.
function Server:close()
   self.closed = true
   self.listener:close()
   self.acceptor:cancel("the server is closed")
   return true
end

-- Waits until the server is closed and its last handler has ended.
function Server:wait()
   saros.wait({self.acceptor})
   while self.count > 0 do
      self.empty = self.empty or saros.future()
      self.empty:await()
   end
   return true
end

-- Stops accepting, gives the handlers `seconds` to end, then cancels them and waits.
function Server:shutdown(seconds)
   self:close()
   local done = saros.timeout(seconds, self.wait, self)
   if not done then
      for _, task in ipairs(saros.all_tasks()) do -- in the order in which they came, not in that of a table
         if self.handlers[task] then task:cancel("the server shuts down") end
      end
      self:wait()
   end
   return true
end

Server.__close = Server.close

local function serve(address, handler, options)
   if type(handler) ~= "function" then
      error("bad argument #2 to 'serve' (function expected, got " .. type(handler) .. ")", 2)
   end
   local limit, rest, tls, message, code
   if options ~= nil and type(options) ~= "table" then
      error("bad argument #3 to 'serve' (table expected, got " .. type(options) .. ")", 2)
   end
   if options ~= nil then
      rest = {}
      for key, value in pairs(options) do rest[key] = value end
      limit, rest.limit = rest.limit, nil
      if rest.tls then
         tls, message, code = saros.tls._acceptor(rest.tls)
         if not tls then return nil, message, code end
      end
      rest.tls = nil
      if limit ~= nil and (math.type(limit) ~= "integer" or limit < 1) then
         error("bad argument #3 to 'serve' (option 'limit': an integer above 0 expected)", 2)
      end
   end
   local listener
   listener, message, code = saros.listen(address, rest)
   if not listener then return nil, message, code end
   local server = setmetatable({
      listener = listener, where = listener:address(), handler = handler, limit = limit, handlers = {}, count = 0,
      tls = tls,
   }, Server)
   server.ended = when_ended(server)
   server.acceptor = spawn(accept_loop, server):set_name("accept " .. server.where)
   return server
end

return serve
