-- pool.lua: saros.pool: threads that work through calls, for what blocks or is heavy.
--
-- A call goes from hand to hand to a thread that is free (a rendezvous), so nothing is queued but the callers: each
-- waits in its own task, and one that is cancelled before its turn was never called. Threads start when they are
-- needed, end when they were idle for a while, and are replaced where one has died. What they need to know stands in
-- `state`, which does not keep the pool alive: where nobody has that any more they end.
local saros = ...
local check = saros._self

local KNOWN = {name = "string", driver = "string", idle = "number"}
local IDLE <const> = 10         -- seconds
local MOST_FAILURES <const> = 3 -- ends of threads without a call that came back in between

local _ = saros.thread -- and with it what the functions below use

-- What runs on each thread; it has no upvalues.
local function work(calls, idle)
   local saros = require "saros" -- luacheck: ignore 431
   local known, count = {}, 0
   local function find(code, is_file)
      if count == 256 then known, count = {}, 0 end -- who compiles function after function must not grow for it
      if not known[code] then
         local fn, why
         if is_file then fn, why = loadfile(code, "t") else fn, why = load(code, "=call", "b") end
         known[code], count = fn or error(why, 0), count + 1
      end
      return known[code]
   end
   local function caught(err)
      local text, traceback, name = saros._error(err)
      return {text, traceback or debug.traceback(nil, 2), name}
   end
   local function serve(reply, code, is_file, ...)
      if not reply then return false end
      local _reply <close> = reply
      local ok, parts = xpcall(function(...)
         saros._try_send(reply, "pool:call", "result", 1, true, find(code, is_file)(...)) -- there is room for one
      end, caught, ...)
      if not ok then saros._try_send(reply, "pool:call", "result", 1, false, parts[1], parts[2], parts[3]) end
      return true
   end
   repeat until not serve(saros.timeout(idle, calls.receive, calls))
end

local start

-- A thread has ended: of its own, as it was idle or the pool closed; or not.
local function ended(state, task)
   state.live = state.live - 1
   state.threads[task] = nil
   if task:cancelled() or task:error() ~= nil then
      state.failures = state.failures + 1
      state.failure = task:cancelled() and "it was cancelled" or tostring(task:error())
   end
   if state.calls <= state.live or not state.weak.calls then return end
   if state.failures <= MOST_FAILURES then start(state) elseif state.live == 0 then state.weak.calls:close() end
end

function start(state)
   state.live, state.started = state.live + 1, state.started + 1
   local task = saros._thread({name = state.name .. "-" .. state.started, driver = state.driver},
      work, state.receiver:clone(), state.idle)
   state.threads[task] = true
   task:add_done_callback(function() ended(state, task) end)
end

local function fail(state)
   if state.closed then saros.try(nil, "pool:call: the pool is closed", "ECLOSED") end
   saros.try(nil, "pool:call: no thread of the pool lives: " .. tostring(state.failure), "EBROKEN")
end

local function finish(state, ok, ...)
   if ok == nil then saros.try(nil, "pool:call: the thread has ended before its call was done", "ECANCELED") end
   state.failures = 0
   if ok then return ... end
   saros._crossed(...)
end

-- For the <close> variable of each call.
local Count = {__metatable = false}

function Count:__close()
   local state = self.state
   state.calls = state.calls - 1
   if state.calls == 0 and state.done then state.done:set() end
end

local Pool = {__metatable = false, __name = "saros.pool"}
Pool.__index = Pool
saros._pool = Pool

function Pool:call(fn, ...)
   check(self, "pool:call", "saros.pool", "calls")
   local state = self.state
   if state.closed then fail(state) end
   local code = type(fn) == "string" and fn or state.codes[fn]
   if not code then
      local why
      code, why = saros._code(fn)
      if not code then error(("bad argument #1 to 'pool:call' (%s)"):format(why), 2) end
      state.codes[fn] = code
   end
   state.calls = state.calls + 1
   local _count <close> = state.count
   if state.calls > state.live and state.live < state.size then start(state) end
   local sender, receiver = saros.thread_channel(1)
   local reply <close> = sender
   local answer <close> = receiver
   if not saros._send(self.calls, "pool:call", "argument", 2, reply, code, code == fn, ...) then fail(state) end
   return finish(state, answer:receive())
end

-- Waits for the calls that were made, and then for the threads; a cancellation meanwhile is raised after that.
function Pool:close()
   check(self, "pool:close", "saros.pool", "calls")
   local state = self.state
   state.closed = true
   if not saros.coroutine.isyieldable() then return self.calls:close() end -- its coroutine is being closed
   saros.shield(function()
      if state.calls > 0 then
         state.done = state.done or saros.event()
         state.done:wait()
      end
      self.calls:close()
      local left = {}
      for task in pairs(state.threads) do left[#left + 1] = task end
      saros._wait(left, "all")
   end)
   return true
end

Pool.__close = Pool.close

function Pool:__tostring()
   local state = self.state
   return ("saros.pool %s (%s%d of %d threads, %d calls)"):format(state.name, state.closed and "closed, " or "",
      state.live, state.size, state.calls)
end

return function(size, options)
   if math.type(size) ~= "integer" or size < 1 then
      error("bad argument #1 to 'saros.pool' (a number of threads expected)", 2)
   end
   options = saros._options("saros.pool", 2, options, KNOWN)
   local calls, receiver = saros.thread_channel(0)
   if not calls then return nil, "saros.pool: there are no threads in a simulated world", "ENOSYS" end
   local state = {
      size = size, name = options.name or "pool", driver = options.driver, idle = options.idle or IDLE,
      receiver = receiver, weak = setmetatable({calls = calls}, {__mode = "v"}),
      codes = setmetatable({}, {__mode = "k"}), threads = {}, live = 0, started = 0, calls = 0, failures = 0,
   }
   state.count = setmetatable({state = state}, Count)
   return setmetatable({state = state, calls = calls}, Pool)
end
