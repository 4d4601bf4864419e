-- runner_spec.lua: the runner finds what it is there to find, makes it small, and keeps the table of allowed
-- differences honest. (The programs of this spec have a difference on purpose: they log the driver's name.)

local tests = arg[0]:match("^(.*)[/\\]support[/\\]") or "tests"
local compare = require "differential.compare"
local generate = require "differential.generate"
local runner = require "differential.runner"

local host = os.getenv("SAROS_HOST")
if not host then
   local lowest = 0
   while arg[lowest - 1] do lowest = lowest - 1 end
   host = arg[lowest]
end

-- The grammar with a statement on top that is different on each driver.
local function grammar_with(name, weight, make)
   local list = {}
   for _, statement in ipairs(require "differential.grammar") do list[#list + 1] = statement end
   list[#list + 1] = { name = name, weight = weight, make = make, alone = true }
   return list
end

local planted = grammar_with("planted", 60, function(_, s, lane)
   s:put(lane, "LOG(saros.current_loop():driver())")
end)

-- Runs fn with a runner; gives what it told as one text, and fn's result.
local function with_runner(options, fn)
   local told = {}
   options.host, options.play = host, tests .. "/differential/play.lua"
   options.tell = function(text) told[#told + 1] = text end
   options.allowed = options.allowed or {}
   local r = runner.new(options)
   local _ <close> = setmetatable({}, { __close = function() r:close() end })
   local result = fn(r)
   return table.concat(told, "\n"), result, r
end

local DRIVERS = { "poll", "select" }

describe("the differential runner", function()
   it("makes the same program of the same seed, and others of others", function()
      local statements = require "differential.grammar"
      local texts = {}
      for seed = 1, 20 do
         local text = generate.render(generate.generate(seed, statements))
         assert.are.equal(text, generate.render(generate.generate(seed, statements)))
         assert.is_nil(texts[text])
         texts[text] = true
         assert.is_truthy(load(text, "program", "t", {}))
      end
   end)

   it("draws every statement of the grammar sooner or later", function()
      local statements, seen = require "differential.grammar", {}
      for seed = 1, 400 do
         for _, step in ipairs(generate.remaining(generate.generate(seed, statements), {})) do seen[step.kind] = true end
      end
      for _, statement in ipairs(statements) do assert.is_true(seen[statement.name], statement.name) end
   end)

   it("takes away what needs a step together with it", function()
      local program = { seed = 1, lanes = 1, steps = {} }
      for id = 1, 3 do
         program.steps[id] = { id = id, kind = "k", lanes = { 1 }, parts = { { "say(" .. id .. ")" } }, needs = { id > 1 and id - 1 or nil } }
      end
      assert.are.equal("lane(\"lane 1\", function()\n   say(1)\nend)\n", generate.render(program, { [2] = true }))
      assert.are.equal(1, #generate.remaining(program, { [2] = true }))
   end)

   it("finds nothing where there is nothing", function()
      local told, bad = with_runner({ statements = require "differential.grammar", drivers = DRIVERS }, function(r)
         return r:seed(1) + r:seed(2)
      end)
      assert.are.equal(0, bad, told)
      assert.are.equal("", told)
   end)

   it("reports a planted difference, shrunk to that statement, with both lanes and a line to run it again", function()
      local told, bad = with_runner({ statements = planted, drivers = DRIVERS }, function(r)
         return r:seed(7, nil, true)
      end)
      assert.are.equal(1, bad)
      assert.is_truthy(told:find("seed 7: select differs from poll", 1, true), told)
      local shrunk = told:match("shrunk to:\n(.*)$")
      assert.is_truthy(shrunk, told)
      assert.are.equal(1, select(2, shrunk:gsub("current_loop", "")), shrunk)
      assert.is_nil(shrunk:find("connect", 1, true), shrunk)
      assert.is_truthy(shrunk:find(' > %d+ planted: "poll" +| %d+ planted: "select"'), shrunk)
      assert.is_truthy(shrunk:find("tests/differential/run%.lua %-%-seeds 7 %-%-drivers poll,select %-%-without %d"), shrunk)
   end)

   it("reports programs that end differently: the exit code, and what is left on standard error", function()
      local function check(code, part)
         local statements = grammar_with("planted", 10000, function(g, s, lane)
            if g.planted then return false end
            g.planted = true
            s:put(lane, code)
         end)
         local told, bad = with_runner({ statements = statements, drivers = DRIVERS }, function(r) return r:seed(1, nil, true) end)
         assert.are.equal(1, bad)
         assert.is_truthy(told:find(part, 1, true), told)
      end
      check("if saros.current_loop():driver() == 'select' then os.exit(9) end", "exit: 9")
      check("if saros.current_loop():driver() == 'select' then child('x', function() error('odd', 0) end) end",
         "task x failed and nobody awaited it: odd")
   end)

   it("reports a program that hangs, on one driver or on the first one", function()
      local statements = grammar_with("planted", 10000, function(g, s, lane)
         if g.planted then return false end
         g.planted = true
         s:put(lane, "if saros.current_loop():driver() == 'select' then saros.sleep(math.huge) end")
      end)
      local told = with_runner({ statements = statements, drivers = DRIVERS, limit = 1 }, function(r) return r:seed(1) end)
      assert.is_truthy(told:find("it hung on select", 1, true), told)
      local bad
      told, bad = with_runner({ statements = statements, drivers = { "select", "poll" }, limit = 1 },
         function(r) return r:seed(1) end)
      assert.is_truthy(told:find("seed 1: on select it hangs", 1, true), told)
      assert.is_true(bad > 0)
   end)

   it("reports a program that fails in the same way everywhere: it compares nothing", function()
      local statements = grammar_with("planted", 10000, function(_, s, lane) s:put(lane, "error('oh')") end)
      local told, bad = with_runner({ statements = statements, drivers = DRIVERS }, function(r) return r:seed(1) end)
      assert.are.equal(1, bad)
      assert.is_truthy(told:find("ends with end", 1, true), told)
   end)

   it("lets an allowed difference pass, for its driver and its statement alone", function()
      local row = { driver = "select", kind = "planted", reason = "the name of the driver is what it is" }
      local told, bad, r = with_runner({ statements = planted, drivers = DRIVERS, allowed = { row } },
         function(r) return r:seed(7) end)
      assert.are.equal(0, bad, told)
      assert.are.equal(0, #r:superfluous())
      told, bad, r = with_runner({ statements = planted, drivers = { "select", "poll" }, allowed = { row } },
         function(one) return one:seed(7) end)
      assert.are.equal(0, bad, told) -- also where it is the one that others are compared with
      assert.are.equal(0, #r:superfluous())
      told, bad = with_runner({ statements = planted, drivers = { "poll", "epoll" }, allowed = { row } },
         function(one) return one:seed(7) end)
      assert.are.equal(1, bad, told)
   end)

   it("names an allowed difference that nothing needs, where it was tried", function()
      local rows = {
         { driver = "select", kind = "end", reason = "was so once" },
         { driver = "select", kind = "exit", reason = "was so once" },
         { driver = "iocp", kind = "end", reason = "not tried here" },
         { driver = "select", kind = "no such statement came up", reason = "not tried here" },
      }
      local _, _, r = with_runner({ statements = planted, drivers = DRIVERS, allowed = rows }, function(r) return r:seed(7) end)
      local superfluous = r:superfluous()
      assert.are.equal(2, #superfluous)
      assert.are.equal(rows[1], superfluous[1])
      assert.are.equal(rows[2], superfluous[2])
   end)

   it("compares names and not what differs by chance", function()
      local a = compare.result_of('lane 1|1|x|"a"\n', "saros: task task-7 (spawned at /a/b.lua:3) failed and nobody awaited it: x\n" ..
         "saros: main ended; cancelled 2 tasks: b (x.lua:1), a (x.lua:2)\nstack traceback:\n", 1)
      local b = compare.result_of('lane 1|1|x|"a"\n', "saros: main ended; cancelled 2 tasks: a (x.lua:2), b (x.lua:1)\n" ..
         "saros: task task-9 (spawned at /c.lua:4) failed and nobody awaited it: x\n", 1)
      assert.are.same({}, compare.differing(a, b, {}))
      local c = compare.result_of('lane 1|1|x|"b"\n', "", 0)
      assert.are.same({ "exit", "lane 1", "reports" }, compare.differing(a, c, {}))
   end)
end)
