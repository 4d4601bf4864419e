-- async_queue.lua: a port of async_queue.py, from the text "How does asyncio work?".
--
-- Run it:   saros examples/async_queue.lua [-p N] [-c N]     such as   … async_queue.lua -p 2 -c 4
--           -p N, --no_producer N   how many producers there are (10)
--           -c N, --no_consumer N   how many consumers there are (15)
-- Notice:   producers and consumers share nothing but the queue. A consumer never ends by itself:
--           `q:join()` waits until every item was both got and marked done, then `main` cancels them.
--           Each of them sleeps up to ten seconds before each item, so give the program a minute.
--
--    Producer 0 sleeping for 9 seconds.
--    Producer 1 sleeping for 10 seconds.
--    Consumer 0 sleeping for 8 seconds.
--    …
--    Producer 0 added <ce520e1ad2> to queue.
--    Consumer 1 got element <ce520e1ad2> in 0.00012 seconds.
--    …
--    Program Start Time: 1200.0134
--    Program End Time: 1221.0561
--    Program Execution Time: 21.04 seconds.

local saros = require "saros"

-- ANSI colors
local colors = {
   [0] = "\27[0m", -- End of color
   "\27[31m",      -- Red
   "\27[32m",      -- Green
   "\27[36m",      -- Cyan
   "\27[34m",      -- Blue
}

local function generate_item(size) -- os.urandom(size).hex(); Lua's own generator will do here
   local bytes = {}
   for i = 1, size or 5 do bytes[i] = ("%02x"):format(math.random(0, 255)) end
   return table.concat(bytes)
end

local function random_sleep(caller)
   local i = math.random(0, 10)
   if caller then
      print(colors[1] .. ("%s sleeping for %d seconds."):format(caller, i) .. colors[0])
   end
   saros.sleep(i)
end

local function produce(name, producer_queue)
   local n = math.random(0, 10)
   for _ = 1, n do -- Synchronous loop for each single producer
      random_sleep("Producer " .. name)
      local i = generate_item()
      local t = saros.now()
      producer_queue:put({i, t})
      print(colors[2] .. ("Producer %d added <%s> to queue."):format(name, i) .. colors[0])
   end
end

local function consume(name, consumer_queue)
   while true do
      random_sleep("Consumer " .. name)
      local i, t = table.unpack(consumer_queue:get())
      local now = saros.now()
      print(colors[3] .. ("Consumer %d got element <%s> in %0.5f seconds.")
         :format(name, i, now - t) .. colors[0])
      consumer_queue:task_done()
   end
end

local function main(no_producer, no_consumer)
   local q = saros.queue()
   local producers, consumers = {}, {}
   for n = 0, no_producer - 1 do producers[n + 1] = saros.spawn(produce, n, q) end
   for n = 0, no_consumer - 1 do consumers[n + 1] = saros.spawn(consume, n, q) end
   saros.gather(table.unpack(producers))
   q:join() -- Implicitly awaits consumers, too
   for _, consumer in ipairs(consumers) do
      consumer:cancel()
   end
end

local function parse_args(words)
   local known = {["-p"] = "no_producer", ["--no_producer"] = "no_producer",
                  ["-c"] = "no_consumer", ["--no_consumer"] = "no_consumer"}
   local ns = {no_producer = 10, no_consumer = 15}
   for i = 1, #words, 2 do
      local name, value = known[words[i]], math.tointeger(tonumber(words[i + 1]))
      if not (name and value) then
         io.stderr:write("usage: ", arg[0], " [-p NO_PRODUCER] [-c NO_CONSUMER]\n")
         os.exit(2)
      end
      ns[name] = value
   end
   return ns
end

math.randomseed(444)
local ns = parse_args{...}
saros.run(function() -- here the loop starts, and its clock with it
   local start_time = saros.now()
   main(ns.no_producer, ns.no_consumer)
   local end_time = saros.now()
   local execution_time = end_time - start_time
   print(colors[4] .. ("Program Start Time: %s\nProgram End Time: %s\nProgram Execution Time: %0.2f seconds.")
      :format(start_time, end_time, execution_time) .. colors[0])
end)
