-- run.lua: runs random programs on several drivers and compares what they log; see generate.lua for why that must be equal.
--
-- usage: saros tests/differential/run.lua [option…]
--
--   --seeds A..B        which programs, a number or a range (1..60)
--   --drivers A,B       which drivers; the first is what the others are compared with (all that open here but none, and
--                       sim twice: sim:readiness, sim:completion)
--   --without N,M       leave these steps out of the programs
--   --host BINARY       the host that runs the programs (this one)
--   --limit S           how long a program may take before it hangs (30)
--   --show              print the programs instead of running them
--   --no-shrink         do not look for a smaller program that differs as well
--   --help              this text
--
-- Prints for each difference the lanes side by side, a program as small as it gets, and a line to run it again. Ends with
-- "N passed, N failed", counting programs; the exit code is 0 only where nothing failed.
local tests = arg[0]:match("^(.*)[/\\]differential[/\\]") or "tests"
package.path = tests .. "/?.lua;" .. package.path

local saros = require "saros"
local generate = require "differential.generate"
local runner = require "differential.runner"

local function die(text)
   io.stderr:write("differential: ", text, "; see --help\n")
   os.exit(2)
end

local function usage()
   for line in io.lines(arg[0]) do
      local text = line:match("^%-%- ?(.*)$")
      if not text then break end
      print(text)
   end
   os.exit(0)
end

local function this_host()
   local lowest = 0
   while arg[lowest - 1] do lowest = lowest - 1 end
   return os.getenv("SAROS_HOST") or arg[lowest]
end

local function words(text)
   local list = {}
   for word in text:gmatch("[^,]+") do list[#list + 1] = word end
   return list
end

local function drivers_here()
   local list = {}
   for _, driver in ipairs(saros.drivers()) do
      if driver.opens and driver.name == "sim" then
         list[#list + 1] = "sim:readiness"
         list[#list + 1] = "sim:completion"
      elseif driver.opens and driver.name ~= "none" then
         list[#list + 1] = driver.name
      end
   end
   return list
end

local o = { from = 1, to = 60, limit = 30, host = this_host(), shrinks = true, without = {} }
local takes = {
   seeds = function(text)
      local from, to = text:match("^(%d+)%.%.(%d+)$")
      o.from, o.to = tonumber(from or text), tonumber(to or text)
      if not o.from then die("--seeds " .. text .. " is neither a number nor a range") end
   end,
   drivers = function(text) o.drivers = words(text) end,
   without = function(text)
      for _, id in ipairs(words(text)) do o.without[tonumber(id) or die("--without " .. text .. " is no list of numbers")] = true end
   end,
   host = function(text) o.host = text end,
   limit = function(text) o.limit = tonumber(text) or die("--limit " .. text .. " is not a number") end,
}
local flags = { ["--show"] = "show", ["--no-shrink"] = "plain" }

local at = 1
while arg[at] do
   local name, value = arg[at]:match("^%-%-([%w-]+)=?(.*)$")
   if name == "help" then usage()
   elseif flags[arg[at]] then o[flags[arg[at]]] = true
   elseif name and takes[name] then
      if not arg[at]:find("=", 1, true) then
         at = at + 1
         value = arg[at] or die("--" .. name .. " needs a value")
      end
      takes[name](value)
   else
      die("unknown option " .. arg[at])
   end
   at = at + 1
end
o.drivers = o.drivers or drivers_here()
if #o.drivers < 2 and not o.show then die("there is nothing to compare with one driver") end

local statements = require "differential.grammar"
if o.show then
   for seed = o.from, o.to do
      print(("-- seed %d"):format(seed))
      io.write(generate.render(generate.generate(seed, statements), o.without))
   end
   return
end

local play = arg[0]:gsub("run%.lua$", "play.lua")
local whole = o.to > o.from and not next(o.without)
local r = runner.new({ host = o.host, play = play, statements = statements, drivers = o.drivers, limit = o.limit,
                       allowed = require "differential.allowed", tell = function(text) print(text) io.flush() end })
local passed, failed = 0, 0
local tty = os.execute("test -t 2")
print("drivers: " .. table.concat(o.drivers, " "))
for seed = o.from, o.to do
   if tty then io.stderr:write(("\rseed %d of %d..%d, %d failed "):format(seed, o.from, o.to, failed)) end
   if r:seed(seed, o.without, not o.plain) == 0 then passed = passed + 1 else failed = failed + 1 end
end
if tty then io.stderr:write("\r", (" "):rep(60), "\r") end
if whole then
   for _, row in ipairs(r:superfluous()) do
      failed = failed + 1
      print(("allowed.lua: nothing needs the row for %s, %s (%s)"):format(row.driver, row.kind, row.reason))
   end
end
r:close()
print(("%d passed, %d failed"):format(passed, failed))
os.exit(failed == 0 and 0 or 1)
