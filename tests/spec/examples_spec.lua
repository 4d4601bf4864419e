-- examples_spec.lua: every program in examples/ runs, ends well and prints what its header promises.
--
-- Each example is a child process of its own on this run's driver (SAROS_DRIVER is inherited, SAROS_HOST
-- names the binary). The slow ones run under tests/support/scaled.lua. What they print on stderr is part of
-- the output that is looked at, so an unexpected report fails the test too.

local lfs = require "lfs"

local host = os.getenv("SAROS_HOST") or "build/debug/saros"
local driver = os.getenv("SAROS_DRIVER") or ""
local root = debug.getinfo(1, "S").source:match("^@(.*)tests[/\\]spec[/\\]") or ""
local windows = package.config:sub(1, 1) == "\\"

-- Drivers whose sockets do not reach another process, or that have none.
local has_sockets = driver ~= "none"
local reaches_others = has_sockets and not driver:match("^sim")

local function quote(word)
   if windows then return '"' .. word:gsub('"', '\\"') .. '"' end
   return "'" .. word:gsub("'", "'\\''") .. "'"
end

local function command(...)
   local words = table.pack(...)
   for i = 1, words.n do words[i] = quote(tostring(words[i])) end
   local line = table.concat(words, " ") .. " 2>&1"
   return windows and '"' .. line .. '"' or line -- cmd takes the outermost quotes away
end

local function finish(pipe) -- everything that is left to read, without colours; and how the process ended
   local output = pipe:read("a")
   local _, how, code = pipe:close()
   return output:gsub("\27%[%d+m", ""), how .. " " .. code, output
end

local function run(...) -- a command line that has to end with exit code 0
   local output, ending, coloured = finish(assert(io.popen(command(host, ...))))
   assert.are.equal("exit 0", ending, output)
   return output, coloured
end

local function example(name) return root .. "examples/" .. name .. ".lua" end

local function scaled(factor, name, ...)
   return run(root .. "tests/support/scaled.lua", factor, example(name), ...)
end

local function lines_of(text)
   local lines = {}
   for line in text:gmatch("[^\n]+") do lines[#lines + 1] = line end
   return lines
end

local function seconds_in(output, pattern)
   local seconds = tonumber(output:match(pattern))
   assert.is_truthy(seconds, output)
   return seconds
end

-- The words in order of time, then start, end and duration as the Python originals print them.
local function assert_count(output, name, words)
   local said, file, from, to, took = output:match("^(.-)\nExecuting %- (.-)\nExecution Starts: (%d+%.?%d*)\n"
      .. "Executions Ends: (%d+%.?%d*)\nTotals Execution Time:(%d+%.%d%d) seconds%.\n$")
   assert.are.equal(words, said, output)
   assert.are.equal(example(name), file)
   assert.is_true(math.abs(to - from - took) < 0.01, output)
   return tonumber(took)
end

local one_after_another = ("One Two Three "):rep(5)
local side_by_side = ("One "):rep(5) .. ("Two "):rep(5) .. ("Three "):rep(5)

describe("examples: the first programs", function()
   it("hello lets the two bodies rise in the order of their sleeps", function()
      assert.are.same({"Sun rises 1", "Moon rises 1", "Sun rises 2", "Moon rises 2", "Sun rises 3"},
         lines_of((run(example("hello")))))
   end)

   it("tiny_loop is pure Lua and shows 3 s for five counters together, 15 s one after another", function()
      local file <close> = assert(io.open(example("tiny_loop")))
      assert.is_nil(file:read("a"):find("require", 1, true))
      assert.are.same({
         side_by_side .. "in 3 s",
         one_after_another .. "in 15 s",
         "foo awaits the future",
         "bar resolves the future",
         "foo got: the future's result",
         "an error travels too: no such luck",
      }, lines_of((run(example("tiny_loop")))))
   end)

   it("generators prints what the sessions of the text print, through both tunnels", function()
      assert.are.same({
         "-- next", "1", "2", "StopIteration",
         "-- send and throw", "1", "abc", "2", "Exception",
         "-- return value", "1", "abc",
         "-- yield from", "1", "2", "inner abc", "outer 3", "4",
         "-- yield from, by hand", "1", "2", "inner abc", "outer 3", "4",
         "-- states", "suspended", "running", "Educative", "suspended", "dead",
         "-- the Lua way", "1", "2",
      }, lines_of((run(example("generators")))))
   end)

   it("awaiting_generators lets others run while the bottom of its chain waits, and closes it at a time-out", function()
      local expected = "tick\n1 11\ntick\n2 21\ntick\n3 31\nthe source has closed its connection\n"
         .. "-- half a second is not enough\n1 11\n2 21\nthe source has closed its connection\nnil timed out ETIMEDOUT\n"
      local output = run(example("awaiting_generators"))
      if not driver:match("^sim") then -- when it ticks, and how far it comes in half a second, is a matter of chance
         local function certain(text) return (text:gsub("tick\n", ""):gsub("(enough\n)[%d \n]*", "%1")) end
         expected, output = certain(expected), certain(output)
      end
      assert.are.equal(expected, output)
   end)

   it("sugared_read says the same by hand and with Saros", function()
      if not has_sockets then return pending("driver " .. driver .. " has no sockets") end
      local output = run(example("sugared_read"))
      local by_hand, with_saros = output:match("^%-%- by hand\n(.*)%-%- with Saros\n(.*)$")
      assert.are.same({
         "before first", "before second", "heard second: bonjour", "heard first: hello",
         "after first: hello world", "after second: bonjour monde",
      }, lines_of(by_hand))
      assert.are.equal(by_hand, with_saros)
   end)
end)

describe("examples: counting", function()
   it("async_count takes 3 s, the counters side by side", function()
      local took = assert_count(scaled(0.1, "async_count"), "async_count", side_by_side)
      assert.is_true(took >= 3 and took < 9, took .. " s")
   end)

   it("sync_count takes 15 s, one counter after another", function()
      local took = assert_count(scaled(0.05, "sync_count"), "sync_count", one_after_another)
      assert.is_true(took >= 15 and took < 30, took .. " s")
   end)
end)

describe("examples: futures and tasks", function()
   local function assert_future(name, first, second)
      local output, coloured = scaled(0.05, name)
      local lines = lines_of(output)
      assert.are.same({first, second, "bar resolving the future", "foo finds the future resolved"},
         table.move(lines, 1, 4, 1, {}))
      assert.is_truthy(lines[5]:match("^Future Start Time: %d+%.?%d*$"), output)
      assert.is_truthy(lines[6]:match("^Future End Time: %d+%.?%d*$"), output)
      local took = seconds_in(lines[7], "^Future Execution Time: (%d+%.%d%d) seconds%.$")
      assert.is_true(took >= 3 and took < 15, output)
      assert.are.equal(7, #lines)
      assert.is_truthy(coloured:find("\27[31mbar resolving the future\27[0m", 1, true))
      assert.is_truthy(coloured:find("\27[32mfoo finds the future resolved\27[0m", 1, true))
   end

   it("async_futures: foo waits first, and goes on when bar has slept 3 s", function()
      assert_future("async_futures", "foo will await the future", "bar will sleep for 3 seconds")
   end)

   it("async_tasks: the tasks start in the order in which they were made", function()
      assert_future("async_tasks", "bar will sleep for 3 seconds", "foo will await the future")
   end)
end)

describe("examples: processes", function()
   local it = (windows or not reaches_others) and pending or it

   it("supervise says how it is called where it is given nothing", function()
      local output, ending = finish(assert(io.popen(command(host, example("supervise")))))
      assert.are.same({"usage: supervise.lua COMMAND [COMMAND...]\n", "exit 2"}, {output, ending})
   end)

   it("supervise begins programs again, later and later; anew at SIGHUP; and ends them at SIGTERM", function()
      local saros = require "saros"
      local steady = "sh -c \"trap 'echo asked; exit 7' TERM; echo ready; while :; do sleep 0.01; done\""
      local p <close> = assert(saros.process.spawn({host, example("supervise"), "sleep 0.01", steady, stdout = "pipe",
         stderr = "stdout"}))
      local said = {}
      local function until_said(pattern, times)
         saros.timeout(10, function()
            while times > 0 do
               said[#said + 1] = assert(p.stdout:read(), table.concat(said, "\n"))
               if said[#said]:find(pattern) then times = times - 1 end
            end
         end)
         assert.are.equal(0, times, table.concat(said, "\n"))
      end
      until_said("^ready$", 1)
      until_said("^sleep 0.01: again in 0.2 s$", 1)
      p:kill("SIGHUP")
      until_said("^got SIGHUP$", 1)
      until_said("^asked$", 1)
      until_said("exit 7$", 1)
      until_said("^ready$", 1)
      p:kill("SIGTERM")
      until_said("^got SIGTERM$", 1)
      until_said("^asked$", 1)
      assert.are.same({"exit", 0}, {p:wait()})
      assert.is_nil(p.stdout:read("a"):find("again", 1, true))
   end)
end)

describe("examples: threads", function()
   local it = driver:match("^sim") and pending or it -- there are no threads in a simulated world

   it("async_event_loop: each thread has a loop of its own, and they run side by side", function()
      local output = run(example("async_event_loop"), "0.02")
      local who = {}
      for name in output:gmatch("Is event loop running in thread (%S+) = true\n") do who[#who + 1] = name end
      table.sort(who)
      assert.are.same({"main", "thread-1", "thread-2"}, who)
      local took = seconds_in(output, "Event Loop Execution Time: (%d+%.%d%d) seconds")
      assert.is_true(took >= 0.02, output)
   end)

   it("hash_pool: the sums are those of SHA-256, in the order of the files", function()
      local name = os.tmpname()
      local file <close> = assert(io.open(name, "wb"))
      file:write(("a"):rep(200))
      file:close()
      local _ <close> = setmetatable({}, {__close = function() os.remove(name) end})
      local output = run(example("hash_pool"), name, root .. "examples/none.lua")
      local sum, other = output:match("(%x+)\t[^\n]+\n([^\n]+)\n")
      assert.are.equal("c2a908d98f5df987ade41b5fce213067efbcc21ef2240212a41e54b5e7c28ae5", sum, output)
      assert.matches("none.lua: No such file", other)
      assert.matches("2 files; this loop was free", output)
   end)
end)

describe("examples: async_chained", function()
   -- Each chain's four steps in order, then its result; the whole takes as long as the longest chain, not
   -- as long as all of them.
   local function assert_chains(output, numbers)
      local longest, sum = 0, 0
      for _, n in ipairs(numbers) do
         local result1 = ("result%d-1"):format(n)
         local result2 = ("result%d-2 derived from %s"):format(n, result1)
         local steps = {
            ("function1(%d) is sleeping for "):format(n),
            ("Returning function1(%d) == %s."):format(n, result1),
            ("function2(%d, '%s') is sleeping for "):format(n, result1),
            ("Returning function2(%d, '%s') == %s."):format(n, result1, result2),
            ("--> Chained result%d => %s (took "):format(n, result2),
         }
         local from = 1
         for _, step in ipairs(steps) do
            local _, to = output:find(step, from, true)
            assert.is_truthy(to, "missing or out of order: " .. step .. "\n" .. output)
            from = to + 1
         end
         local took = seconds_in(output:sub(from), "^(%d+%.%d%d) seconds%)")
         longest, sum = math.max(longest, took), sum + took
      end
      assert.are.equal(5 * #numbers + 3, #lines_of(output))
      local total = seconds_in(output, "Program Execution Time: (%d+%.%d%d) seconds%.\n$")
      assert.is_true(total >= longest and total < sum, output)
   end

   it("runs the chains 1, 2 and 3 when it is given no numbers", function()
      assert_chains(scaled(0.02, "async_chained"), {1, 2, 3})
   end)

   it("runs the chains of its arguments", function()
      assert_chains(scaled(0.02, "async_chained", "11", "8"), {11, 8})
   end)
end)

describe("examples: async_queue", function()
   local function assert_queue(output, producers, consumers)
      local added, got, asleep = {}, {}, {}
      for line in output:gmatch("[^\n]+") do
         local who = line:match("^(%a+ %d+) sleeping for %d+ seconds%.$")
         if who then asleep[who] = true end
         local item = line:match("^Producer %d+ added <(%x+)> to queue%.$")
         if item then added[#added + 1] = item end
         item = line:match("^Consumer %d+ got element <(%x+)> in %d+%.%d%d%d%d%d seconds%.$")
         if item then got[#got + 1] = item end
         assert.is_truthy(who or item or line:match("^Producer") or line:match("^Program "), line)
      end
      for n = 0, consumers - 1 do
         assert.is_true(asleep["Consumer " .. n], "consumer " .. n .. " never ran")
      end
      assert.is_nil(asleep["Consumer " .. consumers])
      assert.is_nil(asleep["Producer " .. producers])
      table.sort(added)
      table.sort(got)
      assert.are.same(added, got)
      seconds_in(output, "Program Execution Time: (%d+%.%d%d) seconds%.\n$")
      return #added
   end

   it("hands every item of two producers to one of four consumers, once", function()
      assert.is_true(assert_queue(scaled(0.01, "async_queue", "-p", "2", "-c", "4"), 2, 4) > 0)
   end)

   it("waits for one slow consumer until the queue is empty, and knows the options' long names", function()
      local output = scaled(0.01, "async_queue", "--no_producer", "3", "--no_consumer", "1")
      assert.is_true(assert_queue(output, 3, 1) > 3)
   end)

   it("has ten producers and fifteen consumers by default", function()
      assert.is_true(assert_queue(scaled(0.005, "async_queue"), 10, 15) > 0)
   end)

   it("ends at once when nobody produces", function()
      assert.are.equal(0, assert_queue(scaled(0.01, "async_queue", "-p", "0", "-c", "2"), 0, 0))
   end)

   it("refuses an option that it does not know, with its usage and exit code 2", function()
      local output, ending = finish(assert(io.popen(command(host, example("async_queue"), "--fast"))))
      assert.are.equal("exit 2", ending)
      assert.is_truthy(output:match("^usage: "), output)
   end)
end)

describe("examples: async_random", function()
   it("gives the three numbers above their thresholds, in the order of gather's arguments", function()
      local output, coloured = scaled(0.02, "async_random")
      local results = {output:match("\nRandom INT 1: (%d+), Random INT 2: (%d+), Random INT 3: (%d+)\n")}
      assert.are.equal(3, #results, output)
      for i = 0, 2 do
         local result = tonumber(results[i + 1])
         assert.is_true(result > 10 - i - 1, output)
         local began = output:find(("Initiated generate_random_int(%d).\n"):format(i), 1, true)
         local finished = ("---> Finished: generate_random_int(%d) == %d\n"):format(i, result)
         local ended = output:find(finished, 1, true)
         assert.is_true(began < ended)
         local retry = ("generate_random_int%%(%d%%) == (%%d+) too low; retrying"):format(i)
         for low in output:gmatch(retry) do
            assert.is_true(tonumber(low) <= 10 - i - 1)
         end
         assert.is_truthy(coloured:find("\27[" .. ({31, 32, 36})[i + 1] .. "mInitiated", 1, true))
      end
      seconds_in(output, "\nProgram Execution Time: (%d+%.%d%d) seconds%.\n$")
   end)
end)

describe("examples: simulated", function()
   local function simulated(...) return run("--driver", "sim", ...) end

   it("tries until the network is repaired, with longer and longer pauses, in a time that passes at once", function()
      local output = simulated("--seed", "42", example("simulated"))
      local times, tries = {}, 0
      for line in output:gmatch("[^\n]+") do
         local time, what = line:match("^ *(%d+%.%d+) s  (.+)$")
         assert.is_truthy(time, line)
         times[#times + 1] = tonumber(time)
         if what:match("^try %d: timed out$") then tries = tries + 1 end
      end
      assert.are.equal(4 + tries, #times, output)
      assert.is_true(tries >= 3 and tries <= 5, output)
      assert.is_truthy(output:match("^ 0%.%d+ s  apples: 3\n 0%.%d+ s  the network is cut\n"), output)
      assert.is_truthy(output:find("the network is repaired", 1, true), output)
      assert.is_truthy(output:match("%d s  pears: 7, at the %dth try\n$"), output)
      assert.is_true(times[#times] >= 5 and times[#times] < 10, output)
   end)

   it("is the same again with the same seed, and another run with another", function()
      local function with(seed) return (simulated("--seed", seed, "--faults", "short,slow,late-timers", example("simulated"))) end
      assert.are.equal(with(1), with(1))
      assert.are_not.equal(with(1), with(2))
   end)
end)

describe("examples: the question over UDP", function()
   it("is asked again until it is answered", function()
      local waits = {"asking (waits 0.1 s)", "asking (waits 0.2 s)"}
      local output = lines_of((run(example("dns_query"))))
      assert.are.same({waits[1], waits[2], "saros.example has the address 192.0.2.53"}, output)
      output = (run("--driver", "sim", "--seed", "7", "--faults", "doubled,overtaken", example("dns_query"), "a.b.example"))
      assert.is_truthy(output:find("\na.b.example has the address 192.0.2.53\n$"), output)
   end)
end)

describe("examples: the echo pair", function()
   -- A server on a free port, the pid first (so that it can be ended), then the address that it prints.
   local function with_server(body)
      local server_command = command(host, example("echo_server"), "127.0.0.1:0")
      local server = assert(io.popen("echo $$; exec " .. server_command))
      local pid = assert(math.tointeger(server:read("n", "l")))
      local line = server:read("l") or ""
      local ok, err = pcall(body, assert(line:match("^listening on (127%.0%.0%.1:%d+)$"), line))
      os.execute("kill -TERM " .. pid)
      local output = server:read("a")
      server:close()
      if not ok then error(err, 0) end
      return output
   end

   it("the server sends back what the client says, line by line, and tells who came", function()
      if windows or not reaches_others then return pending("no other process can be reached here") end
      local heard = with_server(function(address)
         assert.are.equal("Send: Hello, Saros!\nReceived: Hello, Saros!\nClose the connection\n",
            (run(example("echo_client"), address)))
         assert.are.same({"Send: one", "Received: one", "Send: two words", "Received: two words",
            "Close the connection"}, lines_of((run(example("echo_client"), address, "one", "two words"))))
      end)
      local first = heard:match("^(127%.0%.0%.1:%d+) came\n")
      assert.is_truthy(first, heard)
      assert.is_truthy(heard:find(first .. " left\n", 1, true), heard)
      assert.are.equal(2, select(2, heard:gsub(" came\n", "")))
   end)

   it("the client without a server says why, and fails", function()
      if windows or not reaches_others then return pending("no other process can be reached here") end
      local address
      with_server(function(a) address = a end) -- a port that was free a moment ago, and is again
      local output, ending = finish(assert(io.popen(command(host, example("echo_client"), address))))
      assert.are.equal("exit 1", ending)
      assert.is_truthy(output:lower():match("refused"), output)
   end)
end)

describe("examples: the folder", function()
   local function lua_files(folder)
      local names = {}
      for file in lfs.dir(root .. folder) do names[#names + 1] = file:match("^(.+)%.lua$") end
      table.sort(names)
      return names
   end

   local names, tests = lua_files("examples"), ""
   for _, name in ipairs(lua_files("tests/spec")) do
      local source <close> = assert(io.open(root .. "tests/spec/" .. name .. ".lua"))
      tests = tests .. source:read("a")
   end

   it("has no example that no test runs", function()
      assert.is_true(#names >= 13)
      for _, name in ipairs(names) do
         assert.is_truthy(tests:find('"' .. name .. '"', 1, true), name .. ".lua")
      end
   end)

   it("opens each example with its own name, and each port with its Python original", function()
      for _, name in ipairs(names) do
         local file <close> = assert(io.open(example(name)))
         local first = file:read("l")
         assert.are.equal("-- " .. name .. ".lua: ", first:sub(1, #name + 9))
         if name:match("^a?sync_") then
            assert.is_truthy(first:find("a port of " .. name .. ".py", 1, true), first)
         end
      end
   end)
end)
