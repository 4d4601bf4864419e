-- kinds_spec.lua: every kind of object that the module makes, by one rule: a method refuses what is not of its kind, an
-- object that is closed says so, odd arguments and metamethods that are called by hand harm nobody.
--
-- The methods are those that are there, so a new one is tried by itself; a kind is one line in `make`.

local saros = require "saros"
local kit = require "support.kit"
require("support.leaks")(before_each, after_each)

-- The service has descriptors of its own, from now on.
do local _first <close> = saros.fs.watch(".") end

local function closes(object)
   return object, function() object:close() end
end

-- Each kind: an object, and what ends it; nothing where this world has none.
local make = {
   stream = function()
      local one, other = saros.pair()
      return one, function()
         one:close()
         other:close()
      end
   end,
   listener = function() return closes(assert(saros.listen("127.0.0.1:0"))) end,
   udp = function() return closes(assert(saros.udp("127.0.0.1:0"))) end,
   server = function()
      local server = assert(saros.serve("127.0.0.1:0", print))
      return server, function() server:shutdown(0) end
   end,
   buffer = function() return saros.buffer(100) end,
   file = function()
      local name, removes = kit.temporary("text")
      local file = saros.open(name, "r+")
      if not file then return end
      return file, function()
         file:close()
         local _ <close> = removes
      end
   end,
   watcher = function()
      local watcher = saros.fs.watch(".")
      if watcher then return closes(watcher) end
   end,
   process = function()
      if kit.windows then return end
      local process = saros.process.spawn({"cat", stdin = "pipe", stdout = "pipe"})
      if process then return closes(process) end
   end,
   signals = function()
      local source = saros.signal.open("SIGINT")
      if source then return closes(source) end
   end,
   thread_sender = function()
      local sender, receiver = saros.thread_channel(1)
      if not sender then return end
      return sender, function()
         sender:close()
         receiver:close()
      end
   end,
   thread_receiver = function()
      local sender, receiver = saros.thread_channel(1)
      if not sender then return end
      return receiver, function()
         sender:close()
         receiver:close()
      end
   end,
   pool = function()
      local pool = saros.pool(1)
      if pool then return closes(pool) end
   end,
   tls_context = function() return (saros.tls.context()) end,
   sender = function()
      local sender, receiver = saros.channel(1)
      return sender, function() receiver:close() end
   end,
   receiver = function()
      local sender, receiver = saros.channel(1)
      return receiver, function() sender:close() end
   end,
   lock = saros.lock,
   guard = function() return saros.lock():try_acquire() end,
   semaphore = function() return saros.semaphore(1) end,
   bounded_semaphore = function() return saros.bounded_semaphore(1) end,
   limiter = function() return saros.limiter(1) end,
   event = saros.event,
   condition = function() return saros.condition() end,
   barrier = function() return saros.barrier(2) end,
   queue = saros.queue,
   lifo_queue = saros.lifo_queue,
   priority_queue = saros.priority_queue,
   future = saros.future,
   task = function()
      local task = saros.spawn(saros.sleep, 1000)
      return task, function() task:cancel() end
   end,
   call = function()
      local call = saros.call_later(1000, print)
      return call, function() call:cancel() end
   end,
   clock = function() return saros.clock({manual = true}) end,
   scope = function()
      local scope
      saros.scope(function(s) scope = s end)
      return scope
   end,
   group = function()
      local group
      saros.group(function(g) group = g end)
      return group
   end,
   loop = function() return closes(saros.loop({driver = kit.driver})) end,
}

-- The kinds in an order that is always the same: name, object, methods by name, and what ends the object.
local function each_kind()
   local names = {}
   for name in pairs(make) do names[#names + 1] = name end
   table.sort(names)
   local i = 0
   return function()
      while i < #names do
         i = i + 1
         local object, finish = make[names[i]]()
         local index = object and (debug.getmetatable(object) or {}).__index
         if type(index) == "table" then return names[i], object, index, finish or function() end end
         if object and finish then finish() end
      end
   end
end

local function each_method(index)
   local names = {}
   for name, method in pairs(index) do
      if type(name) == "string" and type(method) == "function" and not name:match("^_") then names[#names + 1] = name end
   end
   table.sort(names)
   local i = 0
   return function()
      i = i + 1
      return names[i], index[names[i]]
   end
end

-- Calls it, and lets it wait for nothing: whether it has raised, and what it gave.
local function try(method, ...)
   return saros.timeout(0, saros.pcall, method, ...)
end

local light = debug.upvalueid(try, 1)
local closed_file = io.tmpfile()
closed_file:close()
local fakes = {false, 0, 1.5, "text", print, {}, coroutine.create(print), io.stdout, closed_file, light,
               setmetatable({}, {__index = function() error("a metamethod ran") end, __name = "saros.stream"})}

-- What these have in common takes either of them.
local KIN <const> = {task = "awaited", future = "awaited", stream = "open", listener = "open", udp = "open",
   thread_sender = "end", thread_receiver = "end"}

describe("every method of every kind", function()
   it("H1: refuses what is not of its kind, by number and name", function()
      local objects, ends = {}, {}
      for name, object, index, finish in each_kind() do
         objects[#objects + 1], ends[#ends + 1] = {name = name, object = object, index = index}, finish
      end
      assert.is_true(#objects >= 25)
      for _, kind in ipairs(objects) do
         local meta = debug.getmetatable(kind.object)
         local dressed = debug.setmetatable({}, meta) -- a table that got hold of the metatable is not an object yet
         for name, method in each_method(kind.index) do
            local function refuses(self, what)
               local ok, err = try(method, self)
               local text = ("%s:%s of %s: %s"):format(kind.name, name, what, tostring(err))
               assert(ok == false and tostring(err):find("bad argument #1", 1, true), text)
            end
            for _, other in ipairs(objects) do
               local own = other.index[name] == method -- one that both have
               if not own and not (KIN[kind.name] and KIN[kind.name] == KIN[other.name]) then refuses(other.object, other.name) end
            end
            for _, fake in ipairs(fakes) do refuses(fake, type(fake)) end
            refuses(nil, "nil")
            refuses(dressed, "a table with its metatable")
         end
      end
      for _, finish in ipairs(ends) do finish() end
   end)

   it("H1: takes odd arguments without harm", function()
      local odd = {false, 0, -1, 1.5, 0 / 0, math.huge, math.mininteger, 2 ^ 53, "", "\0", ("x"):rep(70000), "10", {}, {[0] = 1},
                   setmetatable({}, {__index = error, __len = error}), function() end, coroutine.create(error), io.stdout, light}
      for kind, object, index, finish in each_kind() do
         for name, method in each_method(index) do
            if name ~= "close" and name ~= "abort" then
               try(method, object)
               for i, value in ipairs(odd) do
                  try(method, object, value)
                  try(method, object, value, odd[#odd + 1 - i])
                  try(method, object, object, value)
               end
            end
            assert.are.equal("string", type(tostring(object)), kind)
         end
         finish()
         kit.turns(2)
      end
   end)

   it("H2: says that its object is closed, by a code or an error, and waits for nothing", function()
      local CODES <const> = {ECLOSED = true, ESHUTDOWN = true, ESRCH = true}
      local ANSWERS <const> = { -- what is true of the closed as well; an iterator says it at its first step
         close = true, abort = true, items = true, datagrams = true, address = true, is_running = true,
         ["process:wait"] = true, ["server:wait"] = true,
      }
      if not saros._tls.info then -- without OpenSSL these have the same answer for all
         ANSWERS.tls_info, ANSWERS.tls_session, ANSWERS.start_tls = true, true, true
      end
      for kind, object, index, finish in each_kind() do
         if index.close then
            object:close()
            object:close()
            kit.turns(2)
            for name, method in each_method(index) do
               local results = table.pack(try(method, object, "x"))
               local what = ("%s:%s: %s %s %s %s"):format(kind, name, tostring(results[1]), tostring(results[2]),
                  tostring(results[3]), tostring(results[4]))
               local told = results[1] == false or results[1] == true and results[2] == nil and CODES[results[4]]
               assert(told or ANSWERS[name] or ANSWERS[kind .. ":" .. name], what)
            end
            assert.are.equal("string", type(tostring(object)))
         end
         finish()
      end
   end)
end)

describe("the metamethods of every kind", function()
   it("H3: are hidden, and harmless where they are called by hand, twice, and on what is not theirs", function()
      for kind, object, _, finish in each_kind() do
         assert.is_true(getmetatable(object) == false, kind)
         for name, method in pairs(debug.getmetatable(object)) do
            if type(method) == "function" and name ~= "__index" and name ~= "__call" then
               for _, fake in ipairs(fakes) do try(method, fake) end
               try(method)
            end
         end
         for _, name in ipairs({"__len", "__tostring", "__await", "__close", "__close", "__gc", "__gc"}) do
            local method = debug.getmetatable(object)[name]
            if method then try(method, object) end
         end
         assert.are.equal("string", type(tostring(object)))
         finish()
         kit.turns(2)
      end
   end)
end)
