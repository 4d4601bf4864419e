-- sugared_read.lua: a port of the sugared `read(sock, n)` of the text "How does asyncio work?": what
-- `data = await read(sock, 1024)` comes to when there is no `await`, and beside it the same in Saros.
--
-- Run it:   saros examples/sugared_read.lua     (or lua5.4 with the module)
-- Notice:   an await does not always suspend; only when the call would block. Then SUSPEND goes up the
--           whole chain of callers to the loop, which sets the coroutine aside until select() says that its
--           socket is readable, and tries the same read again. By hand every function on the way has to
--           help: the body is cut into parts at each await, and what lives across an await moves into
--           `self`. The second half is the same body uncut. Both print:
--
--    before first
--    before second
--    heard second: bonjour
--    heard first: hello
--    after first: hello world
--    after second: bonjour monde

-- What the network will bring, in this order.
local packets = {{"second", "bonjour"}, {"first", "hello"}, {"first", "world"}, {"second", "monde"}}

-- 1. By hand, in pure Lua ----------------------------------------------------------------------------------

local SUSPEND = {}
local runnable, readers = {}, {} -- the event loop: who can run, and socket -> who waits for it
local current_task

local Socket = {} -- a socket in non-blocking mode, as far as recv goes
Socket.__index = Socket

function Socket:recv(n)
   if self.buffer == "" then return nil, "EWOULDBLOCK" end
   local data = self.buffer:sub(1, n)
   self.buffer = self.buffer:sub(n + 1)
   return data
end

local function read(sock, n)
   local data, why = sock:recv(n)
   if why == "EWOULDBLOCK" then
      readers[sock] = current_task -- event_loop.add_reader(sock.fileno, current_task())
      return SUSPEND
   end
   return data
end

local Coro = {} -- the body of `coro` in section 2, cut at its two awaits
Coro.__index = Coro
Coro.__call = function(self) return self.parts[self.pos](self) end

Coro.parts = {
   function(self)
      print("before " .. self.name)
      self.pos = self.pos + 1
      return self.parts[self.pos](self)
   end,
   function(self)
      local data = read(self.sock, 1024)
      if data == SUSPEND then return SUSPEND end
      self.greeting = data -- a local would be lost: the next part is another function
      print("heard " .. self.name .. ": " .. self.greeting)
      self.pos = self.pos + 1
      return self.parts[self.pos](self)
   end,
   function(self)
      local data = read(self.sock, 1024)
      if data == SUSPEND then return SUSPEND end
      print("after " .. self.name .. ": " .. self.greeting .. " " .. data)
      self.pos = self.pos + 1
   end,
}

local function run_by_hand()
   local socks = {}
   for i, name in ipairs{"first", "second"} do
      socks[name] = setmetatable({buffer = ""}, Socket)
      runnable[i] = setmetatable({name = name, sock = socks[name], pos = 1}, Coro)
   end
   local arrived = 0
   while true do
      while #runnable > 0 do
         current_task = table.remove(runnable, 1)
         current_task() -- SUSPEND or the end: either way it is no longer runnable
      end
      if not next(readers) then return end
      arrived = arrived + 1 -- here a real loop waits in select(); this one is told what the network brought
      local sock, data = socks[packets[arrived][1]], packets[arrived][2]
      sock.buffer = sock.buffer .. data
      table.insert(runnable, readers[sock])
      readers[sock] = nil
   end
end

print("-- by hand")
run_by_hand()

-- 2. With Saros --------------------------------------------------------------------------------------------

local saros = require "saros"

local function coro(name, conn)
   print("before " .. name)
   local greeting = conn:read_some(1024) -- data = await read(sock, 1024)
   print("heard " .. name .. ": " .. greeting)
   local data = conn:read_some(1024)
   print("after " .. name .. ": " .. greeting .. " " .. data)
end

local function main()
   local listener <close> = assert(saros.listen("127.0.0.1:0"))
   local near, far, tasks = {}, {}, {}
   for i, name in ipairs{"first", "second"} do
      near[name] = assert(saros.connect(listener:address()))
      far[name] = assert(listener:accept())
      tasks[i] = saros.spawn(coro, name, near[name])
   end
   for _, packet in ipairs(packets) do
      saros.sleep(0.05) -- meanwhile the loop waits in epoll, poll or select, and wakes whoever can read
      assert(far[packet[1]]:write(packet[2]))
   end
   saros.gather(table.unpack(tasks))
   for name in pairs(near) do
      near[name]:close()
      far[name]:close()
   end
end

print("-- with Saros")
saros.run(main)
