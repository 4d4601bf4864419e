-- awaiting_generators.lua: generators that wait: a source of records that come page by page, and two more on top of it.
--
-- Run it:   saros examples/awaiting_generators.lua     (with --driver sim it takes no time)
-- Notice:   the wait is at the bottom of a chain of three generators, and suspends the whole task: meanwhile another
--           one ticks. `coroutine.yield` still goes to whoever asks for the next value. A time-out around the loop
--           ends the wait at the bottom, and what the source has open is closed, which may wait as well.
--
--    tick
--    1 11
--    tick
--    2 21
--    tick
--    3 31
--    the source has closed its connection
--    -- half a second is not enough
--    1 11
--    2 21
--    the source has closed its connection
--    nil timed out ETIMEDOUT

local saros = require "saros"

-- Stands for a connection: to close it takes a moment.
local Connection = {
   __close = function()
      saros.shield(saros.sleep, 0.01)
      print("the source has closed its connection")
   end,
}

local function records() -- three pages of two records; each page has to be waited for
   return coroutine.wrap(function()
      local _connection <close> = setmetatable({}, Connection)
      for page = 1, 3 do
         saros.sleep(0.2)
         for i = 1, 2 do coroutine.yield(page * 10 + i) end
      end
   end)
end

local function odd(source) -- those of its values that are odd
   return coroutine.wrap(function()
      for value in source do
         if value % 2 == 1 then coroutine.yield(value) end
      end
   end)
end

local function numbered(source)
   return coroutine.wrap(function()
      local count = 0
      for value in source do
         count = count + 1
         coroutine.yield(count, value)
      end
   end)
end

local function show_all()
   for count, value in numbered(odd(records())) do print(count .. " " .. value) end
end

local ticker = saros.spawn(function()
   saros.sleep(0.1)
   print("tick")
   for _ in saros.every(0.2) do print("tick") end
end)
show_all()
ticker:cancel()

print("-- half a second is not enough")
local done, message, code = saros.timeout(0.5, show_all)
print(tostring(done) .. " " .. message .. " " .. code)
