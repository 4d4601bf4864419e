-- socket_select.lua: saros.socket.select: which of several sockets have something to receive, or take what is sent.
--
-- A socket of ours is waited for by receiving into its own buffer, or by accepting into its own queue: what comes is
-- not lost and no descriptor is needed, so it works on every driver. Other objects stand there by their `getfd`.
-- Promises: what has ended leaves no task behind; sockets are told in the order in which they were given.
local saros = ...

local base = saros._socket_base

local LOOK <const> = base.LOOK

local function check(list, arg)
   if list ~= nil and type(list) ~= "table" then
      base.bad_type(arg, "socket.select", "table", list)
   end
   return list or {}
end

-- The socket of ours whose descriptor an object shows; or the object and that descriptor, if it has one.
local function resolve(object)
   local fd = object.getfd and object:getfd()
   fd = type(fd) == "number" and math.tointeger(fd)
   local owner = fd and base.owners[fd]
   if owner and owner:getfd() == fd then return owner end
   return object, fd and fd >= 0 and fd or nil
end

-- What there is to wait for: each socket with `ready`, which tells without waiting, and `wait`, which waits.
local function gather(list, reads, waits)
   local entries = {}
   for _, object in ipairs(list) do
      local entry, fd = {object = object}, nil
      local class = getmetatable(object)
      if not (type(class) == "table" and class.is_readable) then
         object, fd = resolve(object)
         class = getmetatable(object)
      end
      local is_ready = type(class) == "table" and class[reads and "is_readable" or "is_writable"]
      if is_ready then
         local await = class[reads and "await_readable" or "await_writable"]
         entry.ready = function() return is_ready(object) end
         if object.stream or object.listener or object.pending then
            entry.wait = function()
               await(object)
               return true
            end
         end
      else
         local await = saros[reads and "wait_readable" or "wait_writable"]
         entry.ready = function() return reads and object.dirty and object:dirty() end
         entry.wait = fd and function() return (await(fd)) end
      end
      entries[#entries + 1] = entry
      if entry.wait and not entry.ready() then waits[#waits + 1] = entry end
   end
   return entries
end

local function any_ready(entries)
   for _, entry in ipairs(entries) do
      if entry.ready() then return true end
   end
   return false
end

-- Waits for the first; what others have won meanwhile is theirs too.
local function wait(waits, seconds)
   local fns = {}
   for i, entry in ipairs(waits) do
      fns[i] = function()
         entry.won = entry.wait()
      end
   end
   local _, pending = saros.wait(fns, {timeout = seconds, return_when = "first"})
   for _, task in ipairs(pending) do task:cancel() end
   if #pending > 0 then saros.wait(pending) end
end

-- Ready ones by number, and their numbers by themselves, as LuaSocket has them.
local function result(entries)
   local ready = {}
   for _, entry in ipairs(entries) do
      if entry.won or entry.ready() then
         ready[#ready + 1] = entry.object
         ready[entry.object] = #ready + 0.0
      end
   end
   return ready
end

return function(receivers, senders, seconds)
   receivers, senders = check(receivers, 1), check(senders, 2)
   seconds = base.number(seconds, -1, 3, "socket.select")
   local waits = {}
   local readers, writers = gather(receivers, true, waits), gather(senders, false, waits)
   if seconds == 0 or any_ready(readers) or any_ready(writers) then seconds = LOOK end
   if #waits > 0 then wait(waits, seconds >= 0 and seconds or nil)
   elseif seconds > LOOK then saros.sleep(seconds)
   elseif seconds < 0 then saros.sleep(math.huge) end
   local readable, writable = result(readers), result(writers)
   if #readable == 0 and #writable == 0 then return readable, writable, "timeout" end
   return readable, writable
end
