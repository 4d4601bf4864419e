-- serve.lua: saros.serve: a listener, a task that accepts, a task for each connection.
--
-- Owns the listener and the handlers' tasks. A handler's stream is closed when the handler ends, and its error is
-- reported at once; others go on. Where the system has no descriptor left, accepting pauses instead of spinning.
-- Promises: serve returns at once; close stops accepting; shutdown waits for the handlers and then cancels them.
local saros = ...
local spawn = saros._spawn_background
local check = saros._self

local Server = {}
Server.__index = Server
Server.__name = "saros.server"
Server.__metatable = false

local PAUSE = 1 -- seconds, as asyncio's
local EXHAUSTED = {EMFILE = true, ENFILE = true, ENOBUFS = true, ENOMEM = true}

-- One of a server, which all its handlers share: what a connection costs counts.
local Leaves = {__metatable = false}

-- Its name is for the report of what has gone wrong, and nobody else pays for one.
function Leaves:__close(err)
   local task, server = saros.current_task(), self.server -- no task where a loop that closes ends it
   if not task then return end
   local peer = err ~= nil and server.handlers[task] and server.handlers[task]:peer_address()
   if peer then task:set_name(("connection from %s to %s"):format(peer, server.where)) end
   server:_left(task)
end

local function handle(server, stream)
   local _closes <close> = stream
   local _leaves <close> = server.leaves
   if server.tls then
      local ok, message = server.tls(stream)
      if not ok then return saros._report(("serve %s: %s"):format(server.where, message)) end
   end
   server.handler(stream, (stream:peer_address()))
end

local function complain(server, err)
   saros._report("serve " .. server.where .. ": " .. tostring(err))
end

-- One connection. False: no more will come. An accept may win over the close that should have ended it. That the system
-- has nothing left is said once, until it has again.
local function accept_one(server)
   server:_wait_for_place()
   local stream, message, code = server.listener:accept()
   if stream and server.closed then
      stream:close()
      return false
   end
   if not stream then
      if code == "ECLOSED" then return false end
      if not EXHAUSTED[code] then error(message, 0) end
      if not server.exhausted then complain(server, message .. "; accepting pauses for a second, and again") end
      server.exhausted = true
      saros.sleep(PAUSE)
      return true
   end
   server.exhausted = false
   server.count = server.count + 1
   local ok, task = saros.pcall(spawn, server.handle, stream)
   if not ok then
      server.count = server.count - 1
      stream:close()
      error(task, 0)
   end
   server.handlers[task] = stream
   if server.limit then task:add_done_callback(server.ended) end -- else whoever waits for it looks itself
   return true
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

-- A handler that is cancelled before its first step never begins, and so closes nothing.
function Server:_ended(task)
   local stream = self.handlers[task]
   if stream then
      stream:close()
      self:_left(task)
   end
end

function Server:_left(task)
   if not self.handlers[task] then return end
   self.handlers[task] = nil
   self.count = self.count - 1
   if self.place then
      local place = self.place
      self.place = nil
      place:set_result()
   end
end

function Server:address()
   check(self, "address", "saros.server", "acceptor")
   return self.where
end

-- Stops accepting, now; the handlers go on.
function Server:close()
   check(self, "close", "saros.server", "acceptor")
   self.closed = true
   self.listener:close()
   self.acceptor:cancel("the server is closed")
   return true
end

-- Waits until the server is closed and its last handler has ended.
function Server:wait()
   check(self, "wait", "saros.server", "acceptor")
   saros.wait({self.acceptor})
   while next(self.handlers) do
      local tasks = {}
      for task in pairs(self.handlers) do tasks[#tasks + 1] = task end
      saros.wait(tasks)
      for _, task in ipairs(tasks) do self:_ended(task) end
   end
   return true
end

-- Stops accepting, gives the handlers `seconds` to end, then cancels them and waits.
function Server:shutdown(seconds)
   check(self, "shutdown", "saros.server", "acceptor")
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
   server.leaves = setmetatable({server = server}, Leaves)
   function server.handle(stream) return handle(server, stream) end
   function server.ended(task) server:_ended(task) end
   server.acceptor = spawn(accept_loop, server):set_name("accept " .. server.where)
   return server
end

return serve
