-- pool_spec.lua: saros.pool: threads that work through calls.

-- luacheck: ignore 431 (what runs on threads requires and is given everything anew)
local saros = require "saros"
local kit = require "support.kit"
require("support.leaks")(before_each, after_each)

local it_pools = kit.needs("threads", it, pending)

local function nap(seconds, ...)
   require("saros").sleep(seconds)
   return ...
end

local function who() return require("saros").current_task():name() end

describe("saros.pool", function()
   it_pools("gives a call's results, all of them", function()
      local pool <close> = saros.pool(1)
      assert.are.same({n = 4, 1, nil, "x", nil}, table.pack(pool:call(function(...) return ... end, 1, nil, "x", nil)))
      assert.are.equal(0, select("#", pool:call(function() end)))
   end)

   it_pools("starts threads when they are needed, at most so many, and names them", function()
      local pool <close> = saros.pool(2, {name = "helpers"})
      assert.are.equal("saros.pool helpers (0 of 2 threads, 0 calls)", tostring(pool))
      assert.are.equal("helpers-1", pool:call(who))
      assert.are.equal("helpers-1", pool:call(who))
      local calls = {}
      for i = 1, 6 do calls[i] = function() return pool:call(nap, 0.002, i) end end
      assert.are.same({1, 2, 3, 4, 5, 6}, {saros.gather(table.unpack(calls))})
      assert.are.equal("saros.pool helpers (2 of 2 threads, 0 calls)", tostring(pool))
   end)

   it_pools("works beside this loop: what blocks there blocks nobody here", function()
      local pool <close> = saros.pool(1)
      local call = saros.spawn(function()
         return pool:call(function()
            local until_then = os.clock() + 0.05
            repeat until os.clock() > until_then
            return "worked"
         end)
      end)
      local turns = 0
      while not call:done() do
         saros.sleep(0.001)
         turns = turns + 1
      end
      assert.are.equal("worked", call:await())
      assert.is_true(turns > 2)
   end)

   it_pools("raises a call's error with its traceback, and works on", function()
      local pool <close> = saros.pool(1)
      local function careless() error("no such luck") end
      local task = saros.spawn(function() pool:call(careless) end)
      assert.matches("pool_spec.lua:%d+: no such luck$", kit.text_of(task.await, task))
      assert.matches("no such luck.*that was called from.*pool_spec", tostring(kit.error_of(task.await, task)) .. task:traceback())
      local err = kit.error_of(pool.call, pool, function() require("saros").try(nil, "m", "EIO") end)
      assert.are.equal("EIO", saros.error_code(err))
      kit.raises("pool:call: result 1: a function cannot cross threads", pool.call, pool, function() return print end)
      kit.raises("pool:call: argument 3, field 'x': a function cannot cross threads", pool.call, pool, who, 1, {x = print})
      local up = 1
      kit.raises("bad argument #1 to 'pool:call' (upvalue 'up'", pool.call, pool, function() return up end)
      kit.raises("bad argument #1 to 'pool:call' (function or file's name expected, got nil)", pool.call, pool)
      kit.raises("cannot open", pool.call, pool, "/no/such.lua")
      assert.are.equal("pool-1", pool:call(who))
   end)

   it_pools("calls a script file", function()
      local name, _ <close> = kit.temporary("return 2 * ...")
      local pool <close> = saros.pool(1)
      assert.are.equal(42, pool:call(name, 21))
      local binary, _ <close> = kit.temporary(string.dump(function() end))
      kit.raises("attempt to load a binary chunk", pool.call, pool, binary)
   end)

   it_pools("46: a call that is cancelled is given up, and its work goes on", function()
      local tx, rx = saros.thread_channel(math.huge)
      local go, gone = saros.thread_channel(1)
      local pool <close> = saros.pool(1)
      local call = saros.spawn(function()
         pool:call(function(tx, gone)
            tx:send("begun")
            tx:send(gone:receive())
         end, tx, gone)
      end)
      assert.are.equal("begun", rx:receive())
      call:cancel()
      kit.error_of(call.await, call)
      go:send("done")
      assert.are.equal("done", rx:receive())
      assert.are.equal("pool-1", pool:call(who))
   end)

   it_pools("never makes a call that was cancelled before its turn", function()
      local tx, rx = saros.thread_channel(math.huge)
      local pool <close> = saros.pool(1)
      local long = saros.spawn(function() return pool:call(nap, 0.02) end)
      kit.turns(3)
      local late = saros.spawn(function() pool:call(function(tx) tx:send("late") end, tx) end)
      kit.turns(3)
      late:cancel()
      kit.error_of(late.await, late)
      long:await()
      pool:call(who)
      assert.are.equal("EAGAIN", (select(3, rx:try_receive())))
   end)

   it_pools("replaces a thread that has died", function()
      local pool <close> = saros.pool(1)
      assert.are.equal("pool-1", pool:call(function()
         local saros = require "saros"
         saros.current_task():cancel()
         return saros.current_task():name()
      end))
      assert.are.equal("pool-2", pool:call(who))
      local err = kit.error_of(pool.call, pool, function()
         local saros = require "saros"
         saros.current_task():cancel()
         saros.sleep(0)
      end)
      assert.are.equal("ECANCELED", saros.error_code(err))
      assert.are.equal("pool-3", pool:call(who))
   end)

   it_pools("says so where no thread can live", function()
      local pool <close> = saros.pool(2, {driver = "nope"})
      local err, text = kit.error_of(pool.call, pool, who)
      assert.are.equal("EBROKEN", saros.error_code(err))
      assert.matches("no thread of the pool lives: .*nope: no such driver", text)
   end)

   it_pools("lets threads end that are idle, and starts others", function()
      local pool <close> = saros.pool(3, {idle = 0})
      local first = pool:call(who)
      kit.wait_until(function() return tostring(pool):find("(0 of 3", 1, true) end)
      assert.are_not.equal(first, pool:call(who))
      for _ = 1, 50 do assert.matches("^pool", pool:call(who)) end -- some of them meet a thread that is about to end
   end)

   it_pools("is closed when its calls are done, and takes no more", function()
      local pool = saros.pool(1)
      local calls = {}
      for i = 1, 3 do calls[i] = saros.spawn(function() return pool:call(nap, 0.002, i) end) end
      kit.turns(2)
      assert.is_true(pool:close())
      for i = 1, 3 do assert.are.equal(i, calls[i]:await()) end
      assert.are.equal("ECLOSED", saros.error_code(kit.error_of(pool.call, pool, who)))
      assert.is_true(pool:close())
      assert.matches("closed, 0 of 1", tostring(pool))
   end)

   it_pools("ends its threads where it is forgotten", function()
      local pool = saros.pool(1)
      pool:call(who)
      assert.are.equal(2, #saros.all_tasks())
      pool = pool and nil -- luacheck: ignore 311
      kit.wait_until(function()
         collectgarbage()
         return #saros.all_tasks() == 1
      end)
   end)

   it_pools("is not what saros.join waits for", function()
      local pool <close> = saros.pool(1)
      saros.spawn(function()
         pool:call(who)
         saros.join()
      end):await()
   end)

   it_pools("is for one thread or more", function()
      kit.raises("bad argument #1 to 'saros.pool' (a number of threads expected)", saros.pool, 0)
      kit.raises("bad argument #1 to 'saros.pool' (a number of threads expected)", saros.pool)
      kit.raises("unknown option 'limit'", saros.pool, 1, {limit = 1})
      kit.raises("bad argument #1 to 'pool:call' (saros.pool expected, got table)", saros._pool.call, {}, who)
   end)
end)
