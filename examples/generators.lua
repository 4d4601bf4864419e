-- generators.lua: a port of the generator sessions of the text "How does asyncio work?" (the >>> examples:
-- test, send, throw, the return value, yield from, and gen.__next__()).
--
-- Run it:   lua5.4 examples/generators.lua     (pure Lua; or saros examples/generators.lua)
-- Notice:   Python's generator and Lua's coroutine are the same idea with one difference. Python's `yield`
--           leaves one function; to leave several at once, each on the way must say `yield from`. Lua's
--           `yield` leaves all of them up to the `resume`. So in Lua the tunnel is simply there, and an
--           await deep inside nested calls can reach the loop: asyncio needs nothing more from a language.
--
-- The output is what the Python sessions print:
--
--    -- next:            1, 2, StopIteration
--    -- send and throw:  1, abc, 2, Exception
--    -- return value:    1, abc
--    -- yield from:      1, 2, inner abc, outer 3, 4
--    …

-- Python's generator object, on a Lua coroutine ------------------------------------------------------------

local StopIteration = {__tostring = function() return "StopIteration" end}
local Thrown = {} -- marks a resume that should raise instead of giving a value

local function received(value) -- what a `yield` does when it is resumed
   if getmetatable(value) == Thrown then error(value.exception, 0) end
   return value
end

-- Lua has no throw into a coroutine. A `yield` of our own makes one: it raises when the mark comes in.
local function yield(value)
   return received(coroutine.yield(value))
end

local Generator = {}
Generator.__index = Generator

local function generator(body, ...) -- calling a function that contains `yield`: nothing of it runs yet
   local args = table.pack(...)
   local thread = coroutine.create(function(first)
      received(first)
      return body(table.unpack(args, 1, args.n))
   end)
   return setmetatable({thread = thread}, Generator)
end

function Generator:send(value)
   if coroutine.status(self.thread) == "dead" then error(setmetatable({}, StopIteration)) end
   local ok, result = coroutine.resume(self.thread, value)
   if not ok then error(result, 0) end -- the body's own error passes out to whoever asked
   if coroutine.status(self.thread) == "dead" then error(setmetatable({value = result}, StopIteration)) end
   return result
end

function Generator:next() return self:send(nil) end

function Generator:throw(exception) return self:send(setmetatable({exception = exception}, Thrown)) end

function Generator:close() assert(coroutine.close(self.thread)) end

local function try(f, ...) -- prints what an interactive session would: the value, or the exception's name
   local _, result = pcall(f, ...)
   print(result)
   return result
end

-- next -----------------------------------------------------------------------------------------------------
print("-- next")

local function test()
   yield(1)
   yield(2)
end

local gen = generator(test)
try(gen.next, gen)
try(gen.next, gen)
try(gen.next, gen) -- the body has ended: StopIteration

-- send and throw -------------------------------------------------------------------------------------------
print("-- send and throw")

local function test_send()
   local val = yield(1)
   print(val)
   yield(2)
   yield(3)
end

gen = generator(test_send)
try(gen.next, gen)
try(gen.send, gen, "abc")        -- the value of `yield(1)`: prints abc, then 2
try(gen.throw, gen, "Exception") -- raised at `yield(2)`, not caught there, comes out here

-- return value ---------------------------------------------------------------------------------------------
print("-- return value")

local function test_return()
   yield(1)
   return "abc"
end

gen = generator(test_return)
try(gen.next, gen)
local _, exc = pcall(gen.next, gen) -- the value travels in the StopIteration
print(exc.value)

-- yield from -----------------------------------------------------------------------------------------------
print("-- yield from")

local function inner()
   local inner_result = yield(2)
   print("inner " .. inner_result)
   return 3
end

local function outer()
   yield(1)
   local val = inner() -- Python: val = yield from inner(). Here a call is enough.
   print("outer " .. val)
   yield(4)
end

gen = generator(outer)
try(gen.next, gen)
try(gen.next, gen) -- goes inside inner() by itself
try(gen.send, gen, "abc")

-- The tunnel by hand: what `yield from` does when inner is a generator object of its own. Values go down,
-- values come up, an exception thrown in goes down too, and the return value is the value of the whole.
print("-- yield from, by hand")

local function yield_from(delegate)
   local ok, result = pcall(delegate.next, delegate)
   while ok do
      local sent = coroutine.yield(result) -- the raw one: a mark is handed down, not raised here
      ok, result = pcall(delegate.send, delegate, sent)
   end
   if getmetatable(result) == StopIteration then return result.value end
   error(result, 0)
end

gen = generator(function()
   yield(1)
   local val = yield_from(generator(inner))
   print("outer " .. val)
   yield(4)
end)
try(gen.next, gen)
try(gen.next, gen)
try(gen.send, gen, "abc")

-- __next__ and the four states -----------------------------------------------------------------------------
print("-- states")

local function asynchronous()
   print(coroutine.status(coroutine.running())) -- GEN_RUNNING
   yield("Educative")
end

gen = generator(asynchronous)
print(coroutine.status(gen.thread)) -- GEN_CREATED: for Lua that is "suspended" too
print(gen:next())
print(coroutine.status(gen.thread)) -- GEN_SUSPENDED
gen:close()
print(coroutine.status(gen.thread)) -- GEN_CLOSED

-- And this is how Lua itself would write the first of them. -------------------------------------------------
print("-- the Lua way")

for value in coroutine.wrap(test) do print(value) end
