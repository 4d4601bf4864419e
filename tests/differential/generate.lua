-- generate.lua: a random program from a seed, whose lanes are the same on every driver.
--
-- A program is a list of steps. A step is one statement of the grammar (statements_*.lua) with all that belongs to it: the
-- code that it adds to the lane, or to each of the two lanes, that take part. Lanes are tasks; each runs its parts of the
-- steps in the order of the steps.
--
-- Why no lane depends on a race. Drivers differ in the order of what is independent, so a lane may only log what no
-- order can change. By construction:
--
--   1. A lane waits in step n only for what another lane does in step n or before. So there is no ring: the lane that is
--      least far can always go on, and every program comes to its end.
--   2. A thing has one user at each end. A connection, a queue, a future has one lane that gives and one that takes at
--      a time, and a step takes all that it gives: what a taker sees is a function of what was given, and not of when.
--   3. What interrupts (a cancel, a close, a second reader) is aimed at a task that has signalled just before it began to
--      wait, without an await in between, for something that nobody gives until the interruption has been answered.
--   4. A time-out either can only expire (nothing is given to who waits until it has), or is a minute.
--   5. Several who come in an order of chance (clients, producers) are logged in lanes of their own, or sorted.
--   6. What is a matter of chance all the same is not logged: how many bytes had been sent, how late something was, whether
--      a connection that is gone is already known to be reset.
--   7. Tasks that a step has started have ended when the step has; the end of the program would cut them off. But for
--      those that are there to be left over: they have begun to wait, for good.
--
-- A statement is a table entry {name, weight, make}. make(g, s, lane) adds to step s: s:put(lane, code) where LOG( begins a
-- log entry of the step and ID is its number; g:nest(s, lane) puts a few lone statements there; g:connection(s) and
-- the like find what earlier steps have made, and note that s needs them; false where the statement cannot be had now.
-- `alone` statements have one lane, and may be nested.
local random = require "differential.random"

local Step = {}
Step.__index = Step

local function new_step(g, kind)
   g.count = g.count + 1
   return setmetatable({ id = g.count, kind = kind, parts = {}, needs = {}, draw = g.draw, lanes = {} }, Step)
end

-- Adds code to the step's part of a lane.
function Step:put(lane, code, ...)
   if select("#", ...) > 0 then code = code:format(...) end
   code = code:gsub("LOG%(", ("log(%d, %q, "):format(self.id, self.kind)):gsub("%f[%w]ID%f[%W]", tostring(self.id))
   local items = self.parts[lane]
   if not items then
      items = {}
      self.parts[lane] = items
      self.lanes[#self.lanes + 1] = lane
   end
   items[#items + 1] = code
end

local Generator = {}
Generator.__index = Generator

-- A few statements of one lane, inside of what s puts there.
function Generator:nest(s, lane, most)
   if self.depth >= 3 then return end
   self.depth = self.depth + 1
   for _ = 1, self.draw:number(most or 2) do
      local inner = self:step(self.alone, lane)
      if inner then
         s:put(lane, "")
         table.insert(s.parts[lane], inner)
      end
   end
   self.depth = self.depth - 1
end

-- Something that an earlier step has made, and that is fit for s: one of self.things for which fits(thing) is true.
function Generator:thing(s, fits)
   local found = {}
   for _, thing in ipairs(self.things) do
      if not thing.gone and fits(thing) then found[#found + 1] = thing end
   end
   if #found == 0 then return nil end
   local thing = self.draw:one(found)
   s.needs[#s.needs + 1] = thing.step
   return thing
end

-- An open connection: its name at the writer's end, the writer's lane, the same of the reader.
function Generator:connection(s)
   local c = self:thing(s, function(thing) return thing.kind == "connection" end)
   if not c then return nil end
   if self.draw:chance(50) then return c, c.a, c.lane_a, c.b, c.lane_b end
   return c, c.b, c.lane_b, c.a, c.lane_a
end

function Generator:make_thing(s, thing)
   thing.step = s.id
   self.things[#self.things + 1] = thing
end

-- Two different lanes.
function Generator:two_lanes()
   local a = self.draw:number(self.lanes)
   local b = self.draw:number(self.lanes - 1)
   return a, b >= a and b + 1 or b
end

function Generator:step(list, lane)
   for _ = 1, 20 do
      local at, statement = self.draw:number(list.weight), nil
      for _, candidate in ipairs(list) do
         at = at - candidate.weight
         if at <= 0 then
            statement = candidate
            break
         end
      end
      local s = new_step(self, statement.name)
      if statement.make(self, s, lane or self.draw:number(self.lanes)) ~= false then return s end
   end
   return nil
end

local function with_weight(list)
   list.weight = 0
   for _, statement in ipairs(list) do list.weight = list.weight + statement.weight end
   return list
end

-- Makes the program of a seed: {seed =, steps =, lanes =}. `statements` is what grammar.lua returns, or a test's own.
local function generate(seed, statements)
   local draw = random(seed)
   local all, alone = {}, {}
   for _, statement in ipairs(statements) do
      all[#all + 1] = statement
      if statement.alone and not statement.outermost then alone[#alone + 1] = statement end
   end
   local g = setmetatable({ draw = draw, lanes = draw:between(2, 4), things = {}, count = 0, depth = 0,
                            all = with_weight(all), alone = with_weight(alone) }, Generator)
   local program = { seed = seed, lanes = g.lanes, steps = {} }
   for i = 1, draw:between(6, 16) do
      program.steps[#program.steps + 1] = g:step(i <= 2 and statements.first and with_weight(statements.first) or g.all)
   end
   return program
end

-- ---- text --------------------------------------------------------------------------------------------------------

local function count(text, pattern) return select(2, text:gsub(pattern, "")) end

-- Adds code line by line, indented; returns the depth behind it.
local function add_lines(lines, depth, text)
   for line in text:gmatch("[^\n]+") do
      local bare = line:match("^%s*(.-)%s*$")
      if bare ~= "" then
         local code = bare:gsub('"[^"]*"', ""):gsub("'[^']*'", "")
         local back = (code:find("^end%f[%W]") or code:find("^else")) and 1 or 0
         lines[#lines + 1] = ("   "):rep(depth - back) .. bare
         depth = depth + count(code, "function%(") + count(code, "%f[%w]do%f[%W]") + count(code, "%f[%w]then%f[%W]")
            - count(code, "%f[%w]end%f[%W]")
      end
   end
   return depth
end

-- The steps that remain when `without` (a set of numbers) and all that needs them are taken away.
local function remaining(program, without)
   local gone = {}
   local function look(s)
      gone[s.id] = without[s.id] or false
      for _, need in ipairs(s.needs) do gone[s.id] = gone[s.id] or gone[need] or false end
   end
   local left = {}
   local function visit(s)
      look(s)
      if gone[s.id] then return end
      left[#left + 1] = s
      for _, lane in ipairs(s.lanes) do
         for _, item in ipairs(s.parts[lane]) do
            if type(item) == "table" then visit(item) end
         end
      end
   end
   for _, s in ipairs(program.steps) do visit(s) end
   return left, gone
end

-- The program as Lua.
local function render(program, without)
   local _, gone = remaining(program, without or {})
   local lines = {}
   for lane = 1, program.lanes do
      local body, depth = {}, 1
      local function put(s, part)
         for _, item in ipairs(s.parts[part] or {}) do
            if type(item) == "string" then depth = add_lines(body, depth, item)
            elseif not gone[item.id] then put(item, part) end
         end
      end
      for _, s in ipairs(program.steps) do
         if not gone[s.id] then put(s, lane) end
      end
      if #body > 0 then
         lines[#lines + 1] = ("lane(%q, function()"):format("lane " .. lane)
         table.move(body, 1, #body, #lines + 1, lines)
         lines[#lines + 1] = "end)"
      end
   end
   local ending, depth = {}, 1
   for _, s in ipairs(program.steps) do
      if not gone[s.id] then
         for _, item in ipairs(s.parts.ending or {}) do depth = add_lines(ending, depth, item) end
      end
   end
   if #ending > 0 then
      lines[#lines + 1] = "return function()"
      table.move(ending, 1, #ending, #lines + 1, lines)
      lines[#lines + 1] = "end"
   end
   return table.concat(lines, "\n") .. "\n"
end

return { generate = generate, render = render, remaining = remaining }
