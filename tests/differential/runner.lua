-- runner.lua: runs programs on several drivers, compares, shrinks, and checks the table of allowed differences.
--
-- Owns a folder for the programs and their sockets, which close() removes. A driver here is a name, for sim with its
-- kind of kernel behind a colon: "sim:completion".
local compare = require "differential.compare"
local generate = require "differential.generate"

local Runner = {}
Runner.__index = Runner

local function quote(word) return "'" .. tostring(word):gsub("'", "'\\''") .. "'" end

local function read_all(path)
   local file = io.open(path, "rb")
   if not file then return "" end
   local text = file:read("a")
   file:close()
   return text
end

-- options: host, play (paths), statements, allowed (list of rows), drivers (list), limit (seconds a program may take),
-- tell (a function that takes text).
local function new(options)
   local pipe = assert(io.popen("mktemp -d"))
   local folder = pipe:read("l")
   pipe:close()
   assert(folder and folder ~= "", "mktemp gives no folder")
   return setmetatable({ o = options, folder = folder, count = 0, used = {}, seen = {} }, Runner)
end

function Runner:close() os.execute("rm -rf " .. quote(self.folder)) end

local function arguments_of(driver)
   local name, kernel = driver:match("^([^:]+):?(.*)$")
   return "--driver " .. quote(name) .. (kernel ~= "" and " --faults " .. quote(kernel) or "")
end

-- Runs a text on each of the drivers, side by side; a list of results.
function Runner:play(text, drivers, seed)
   self.count = self.count + 1
   local running, results = {}, {}
   for i, driver in ipairs(drivers) do
      local own = ("%s/%d.%d"):format(self.folder, self.count, i)
      os.execute("mkdir " .. own)
      local program = own .. "/program.lua"
      local file = assert(io.open(program, "w"))
      file:write(text)
      file:close()
      local more = driver:find("^sim") and " --seed " .. seed or ""
      local command = ("timeout -k 2 %d %s %s%s %s %s %s 2>%s/errors </dev/null"):format(self.o.limit or 30, quote(self.o.host),
         arguments_of(driver), more, quote(self.o.play), program, own, own)
      running[i] = { pipe = assert(io.popen(command)), own = own }
   end
   for i, run in ipairs(running) do
      local output = run.pipe:read("a")
      local _, how, code = run.pipe:close()
      results[i] = compare.result_of(output, read_all(run.own .. "/errors"), how == "exit" and code or "signal " .. code)
      results[i].errors = read_all(run.own .. "/errors")
      os.execute("rm -rf " .. run.own)
   end
   return results
end

-- What need not be equal on the two: the rows of one or the other, by kind.
function Runner:allowed_kinds(drivers)
   local kinds = {}
   for _, row in ipairs(self.o.allowed) do
      if row.driver == drivers[1] or row.driver == drivers[2] then kinds[row.kind] = row end
   end
   return kinds
end

-- ---- shrinking ---------------------------------------------------------------------------------------------------

-- Takes steps away while the two drivers still differ. Returns the set of numbers that can go.
function Runner:shrink(program, drivers, without)
   local tries = 0
   local function differs(set)
      tries = tries + 1
      local results = self:play(generate.render(program, set), drivers, program.seed)
      return #compare.differing(results[1], results[2], self:allowed_kinds(drivers)) > 0
   end
   local size = #generate.remaining(program, without) // 2
   while size >= 1 and tries < 200 do
      local left, shrunk, at = generate.remaining(program, without), false, 1
      while at <= #left and tries < 200 do
         local fewer = setmetatable({}, { __index = without })
         for i = at, math.min(at + size - 1, #left) do fewer[left[i].id] = true end
         if differs(fewer) then
            for id in pairs(fewer) do without[id] = true end
            left, shrunk = generate.remaining(program, without), true
         else
            at = at + size
         end
      end
      if not shrunk or size > 1 then size = size // 2 end
   end
   return without
end

-- ---- a seed ------------------------------------------------------------------------------------------------------

local function numbers(set)
   local list = {}
   for id in pairs(set) do list[#list + 1] = id end
   table.sort(list)
   return table.concat(list, ",")
end

function Runner:explain(program, drivers, without)
   local tell = self.o.tell
   local text = generate.render(program, without)
   local results = self:play(text, drivers, program.seed)
   local names = compare.differing(results[1], results[2], self:allowed_kinds(drivers))
   if #names == 0 then
      tell("   the difference did not come again: it is a race, in a driver or in the program")
      return
   end
   tell(text)
   tell(compare.side_by_side(names, drivers[1], results[1], drivers[2], results[2]))
   for i, result in ipairs(results) do
      if result.errors:find("Sanitizer", 1, true) then tell("   " .. drivers[i] .. " says:\n" .. result.errors) end
      if result.hung then tell("   it hung on " .. drivers[i]) end
   end
end

-- Runs the program of a seed on all drivers. Returns how many of them differ from the first one.
function Runner:seed(seed, without, shrinks)
   local o, tell = self.o, self.o.tell
   local program = generate.generate(seed, o.statements)
   without = without or {}
   for _, step in ipairs(generate.remaining(program, without)) do self.seen[step.kind] = true end
   local results = self:play(generate.render(program, without), o.drivers, seed)
   local bad = 0
   local wrong = compare.incomplete(results[1])
   if wrong then
      bad = 1
      tell(("seed %d: on %s %s"):format(seed, o.drivers[1], wrong))
      tell(results[1].errors)
   end
   for i = 2, #o.drivers do
      local driver = o.drivers[i]
      local pair = { o.drivers[1], driver }
      local kinds = self:allowed_kinds(pair)
      for kind, row in pairs(kinds) do
         if compare.differs_in(results[1], results[i], kind) then self.used[row] = true end
      end
      local names = compare.differing(results[1], results[i], kinds)
      if #names > 0 then
         bad = bad + 1
         tell(("seed %d: %s differs from %s"):format(seed, driver, pair[1]))
         tell(compare.side_by_side(names, pair[1], results[1], driver, results[i]))
         local fewer = setmetatable({}, nil)
         for id in pairs(without) do fewer[id] = true end
         if shrinks then fewer = self:shrink(program, pair, fewer) end
         tell(shrinks and "   shrunk to:" or "   the program:")
         self:explain(program, pair, fewer)
         local taken = next(fewer) and " --without " .. numbers(fewer) or ""
         tell(("   again: %s tests/differential/run.lua --seeds %d --drivers %s%s"):format(o.host, seed,
            table.concat(pair, ","), taken))
      end
   end
   return bad
end

local ALWAYS = { ["end"] = true, exit = true, report = true }

-- The rows of the table that nothing needs, although their kind of statement came up, and their driver was compared with
-- one that has no such row.
function Runner:superfluous()
   local rows, here, like_first = {}, {}, {}
   for i = 2, #self.o.drivers do here[self.o.drivers[i]] = true end
   for _, row in ipairs(self.o.allowed) do
      if row.driver == self.o.drivers[1] then like_first[row.kind] = true end
   end
   for _, row in ipairs(self.o.allowed) do
      local tried = here[row.driver] and not like_first[row.kind] and (self.seen[row.kind] or ALWAYS[row.kind])
      if tried and not self.used[row] then rows[#rows + 1] = row end
   end
   return rows
end

return { new = new }
