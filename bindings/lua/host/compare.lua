-- compare.lua: saros compare: the same script on every driver, and what each of them took.
--
-- Each run is a process of its own. First each driver runs the script once to count operations, waits and wake-ups
-- (this also warms the machine up and shows on which drivers the script works); then all of them take turns, and only
-- these runs are timed; last, each runs once more while its system calls are counted.
local host = ...
local command, json = host.part("command"), host.part("json")

local USAGE = [[
usage: saros compare [options] script.lua [arguments]
       saros compare [options] -e CODE [arguments]

Runs the same script on every driver that opens here, in turns, and shows what each took, as medians:

  wall          seconds from the start of the process to its end        ±  half the width of the middle half of the
  CPU           seconds of processor time, the kernel's included           runs, in parts of the median
  operations    what the script wanted: reads, sleeps, wake-ups, ...    ratio  to the driver that needed least
  waits         how often the driver was asked for what is done
  wake-ups      waits that could block, and brought something
  system calls  counted with ptrace in a run that is not timed; on Linux
  memory        the most that the process had at a time

The driver sim, whose time is not real, takes part only if it is named. A driver on which the script fails is listed
with what it said. The script's standard input is empty; what it writes is shown only where it fails.

  --drivers A,B     only these drivers, which have to open
  --repeat N        timed runs of each driver (default: as many as take ten seconds together, from 3 to 25)
  --timeout SECONDS a run that takes longer is ended and has failed (60)
  --plot FILE.svg   also draw a picture
  --json            print everything as JSON: seconds, bytes, each single run
  --show-output     show what the first run writes, on standard error
  --help            print this

Exit code 1 if no driver could run the script, or one that was named could not.
]]

local OPTIONS = {["--drivers"] = "value", ["--repeat"] = "value", ["--timeout"] = "value", ["--plot"] = "value",
                 ["-e"] = "value",
                 ["--json"] = "flag", ["--show-output"] = "flag", ["--help"] = "flag", ["-h"] = "flag"}
local LEAST, MOST, TOGETHER = 3, 25, 10 -- timed runs of a driver, where nobody says how many; seconds for all of them

-- ---- the runs ---------------------------------------------------------------------------------------------------

local function child_words(driver, script, ...)
   local words = {"--driver", driver, ...}
   return table.move(script, 1, #script, #words + 1, words)
end

local function fail(entry, when, failure, result)
   entry.failed = ("%s (%s)"):format(failure, when)
   entry.output = result.output
   entry.tail = command.tail(result, 8, "    ")
end

-- The run that counts what the loop does.
local function count(job, entry)
   local name = os.tmpname()
   local _ <close> = setmetatable({}, {__close = function() os.remove(name) end})
   local words = child_words(entry.name, job.script, "--counts", name)
   words.show = job.show_output
   job.show_output = nil
   local result, failure = command.run_child(words, job.timeout)
   if failure then return fail(entry, "first run", failure, result) end
   local file = io.open(name)
   if file then
      entry.operations, entry.waits, entry.wakeups = file:read("n", "n", "n")
      file:close()
   end
   entry.first = result.wall
end

local function time(job, entry, round)
   local result, failure = command.run_child(child_words(entry.name, job.script), job.timeout)
   if failure then return fail(entry, ("run %d of %d"):format(round, job.rounds), failure, result) end
   for figure, value in pairs({wall = result.wall, cpu = result.user + result.system, user = result.user,
                               system = result.system, memory = result.peak}) do
      entry.runs[figure] = entry.runs[figure] or {}
      table.insert(entry.runs[figure], value)
   end
end

-- The run that counts system calls. That it fails says nothing about the script: it worked before.
local function count_calls(job, entry)
   local words = child_words(entry.name, job.script)
   words.calls = true
   local result, failure = command.run_child(words, job.timeout)
   local why = result.why or failure and "the script " .. (failure:gsub("^exit", "ended with exit")) .. " under ptrace"
   if not why then
      entry.calls = result.calls
      return
   end
   job.uncounted[why] = job.uncounted[why] or {}
   table.insert(job.uncounted[why], entry.name)
end

local function working(job)
   local entries = {}
   for _, entry in ipairs(job.entries) do
      if not entry.failed then entries[#entries + 1] = entry end
   end
   return entries
end

local function rounds_for(entries)
   local together = 0.0
   for _, entry in ipairs(entries) do together = together + entry.first end
   return math.max(LEAST, math.min(MOST, TOGETHER // together)) | 0
end

local function measure(job)
   for i, entry in ipairs(job.entries) do
      command.progress(("counting: %s, %d of %d"):format(entry.name, i, #job.entries), true)
      count(job, entry)
   end
   local entries = working(job)
   job.rounds = job.rounds or rounds_for(entries)
   for round = 1, job.rounds do -- each round begins with another driver, so that none always has the same neighbour
      for i = 0, #entries - 1 do
         local entry = entries[(i + round - 1) % #entries + 1]
         command.progress(("run %d of %d: %s"):format(round, job.rounds, entry.name))
         if not entry.failed then time(job, entry, round) end
      end
   end
   if not host.counts_calls and #working(job) > 0 then
      job.notes[#job.notes + 1] = "system calls cannot be counted on this system"
   end
   for _, entry in ipairs(host.counts_calls and working(job) or {}) do
      command.progress("counting system calls: " .. entry.name, true)
      count_calls(job, entry)
   end
   for why, names in pairs(job.uncounted) do
      job.notes[#job.notes + 1] = ("system calls of %s were not counted: %s"):format(table.concat(names, ", "), why)
   end
   table.sort(job.notes)
   command.clear()
end

-- ---- the figures ------------------------------------------------------------------------------------------------

-- The value below which the given part of a sorted list lies, between two of them in proportion.
local function quantile(sorted, part)
   local place = 1 + (#sorted - 1) * part
   local low = place // 1 | 0
   return sorted[low] + ((sorted[low + 1] or sorted[low]) - sorted[low]) * (place - low)
end

local function summary(values)
   local sorted = table.move(values, 1, #values, 1, {})
   table.sort(sorted)
   return {median = quantile(sorted, 0.5), low = quantile(sorted, 0.25), high = quantile(sorted, 0.75),
           least = sorted[1], most = sorted[#sorted], values = json.list(values)}
end

local FIGURES = { -- in the order in which they are shown; spread: each run has its own value
   {key = "wall", title = "wall", kind = "seconds", spread = true},
   {key = "cpu", title = "CPU", kind = "seconds", spread = true},
   {key = "operations", title = "operations", kind = "count"},
   {key = "waits", title = "waits", kind = "count"},
   {key = "wakeups", title = "wake-ups", kind = "count"},
   {key = "calls", title = "system calls", kind = "count"},
   {key = "memory", title = "memory", kind = "bytes"},
}

-- Adds to each entry that worked: figures = {key = {median=, low=, high=, …, ratio=}}.
local function evaluate(entries)
   for _, entry in ipairs(entries) do
      entry.figures = {}
      for key, values in pairs(entry.runs) do entry.figures[key] = summary(values) end
      for _, key in ipairs({"operations", "waits", "wakeups", "calls"}) do
         local value = entry[key]
         entry.figures[key] = value and {median = value}
      end
   end
   for _, figure in ipairs(FIGURES) do
      local best
      for _, entry in ipairs(entries) do
         local found = entry.figures[figure.key]
         if found then best = math.min(best or found.median, found.median) end
      end
      for _, entry in ipairs(entries) do
         local found = entry.figures[figure.key]
         if found and best > 0 then found.ratio = found.median / best end
      end
   end
end

-- One unit for all values of a figure, by the largest: its name, and how many are one of it.
local function unit_of(figure, entries)
   local most = 0
   for _, entry in ipairs(entries) do
      local found = entry.figures[figure.key]
      if found then most = math.max(most, found.median) end
   end
   if figure.kind == "seconds" then
      if most < 10 then return "ms", 1e-3 end
      return "s", 1
   elseif figure.kind == "bytes" then
      return "MB", 1e6
   end
   return nil, 1
end

local function shown(figure, value, unit)
   if figure.kind == "count" then return command.commas(value) end
   return command.figure(value / unit)
end

-- ---- what is told -----------------------------------------------------------------------------------------------

local function as_table(entries)
   local rows = {{"driver"}}
   for i, entry in ipairs(entries) do rows[i + 1] = {entry.name} end
   for _, figure in ipairs(FIGURES) do
      local name, unit = unit_of(figure, entries)
      table.insert(rows[1], figure.title .. (name and " " .. name or ""))
      if figure.spread then
         table.insert(rows[1], "±")
         table.insert(rows[1], "ratio")
      end
      for i, entry in ipairs(entries) do
         local row, found = rows[i + 1], entry.figures[figure.key]
         table.insert(row, found and shown(figure, found.median, unit) or "-")
         if figure.spread then
            local half, known = (found.high - found.low) / 2, #found.values > 1 and found.median > 0
            table.insert(row, known and ("%.0f%%"):format(half / found.median * 100) or "-")
            table.insert(row, found.ratio and ("%.2f"):format(found.ratio) or "")
         end
      end
   end
   return command.table(rows)
end

local function print_text(job, entries)
   local gap = ""
   if #entries > 0 then
      io.write(("%s: %s on each driver, in turns; medians\n\n"):format(job.name, command.plural(job.rounds, "run")))
      io.write(as_table(entries))
      gap = "\n"
   end
   for _, entry in ipairs(job.entries) do
      if entry.failed then
         io.write(gap, entry.name, ": failed: ", entry.failed, "\n", entry.tail)
         gap = "\n"
      end
   end
   for _, note in ipairs(job.notes) do
      io.write(gap, "- ", note, "\n")
      gap = ""
   end
end

local function print_json(job, entries)
   local drivers, failed = json.list({}), json.list({})
   for i, entry in ipairs(entries) do
      drivers[i] = {name = entry.name}
      for key, found in pairs(entry.figures) do drivers[i][key] = found end
      for _, key in ipairs({"operations", "waits", "wakeups", "calls"}) do drivers[i][key] = entry[key] or json.null end
   end
   for _, entry in ipairs(job.entries) do
      if entry.failed then
         failed[#failed + 1] = {name = entry.name, reason = entry.failed, output = entry.output}
      end
   end
   io.write(json.encode({script = job.name, words = json.list(job.script), rounds = job.rounds, drivers = drivers,
                         failed = failed, notes = json.list(job.notes)}), "\n")
end

local function picture_file(name, mode)
   local file, why = io.open(name, mode)
   return file or command.wrong("cannot write %s", why)
end

local function draw(job, entries, file)
   local charts = {}
   for _, figure in ipairs(FIGURES) do
      local name, unit = unit_of(figure, entries)
      local chart = {title = figure.title .. (name and ", " .. name or "")}
      for _, entry in ipairs(entries) do
         local found = entry.figures[figure.key]
         chart[#chart + 1] = found and {name = entry.name, value = found.median / unit,
                                        label = shown(figure, found.median, unit), low = found.low and found.low / unit,
                                        high = found.high and found.high / unit} or {name = entry.name, label = "-"}
      end
      charts[#charts + 1] = chart
   end
   local text = host.part("plot")(job.name, command.plural(job.rounds, "run") .. " on each driver, in turns; medians",
      charts)
   local ok, why = file:write(text)
   if ok then ok, why = file:close() end
   if not ok then command.wrong("cannot write the picture: %s", why) end
end

-- ---- the command ------------------------------------------------------------------------------------------------

local function chosen(text)
   local by_name, names = command.drivers()
   local entries, seen = {}, {}
   for name in (text or table.concat(names, ",")):gmatch("[^,]*") do
      if seen[name] then command.wrong("--drivers names %s twice", name) end
      seen[name] = true
      if text then command.driver(by_name, names, name) end
      if text or by_name[name].opens and name ~= "sim" then
         entries[#entries + 1] = {name = name, runs = {}, named = text ~= nil}
      end
   end
   return entries
end

local function main(words)
   local options, at = command.options(words, 2, OPTIONS)
   if options.help or options.h then return io.write(USAGE) and 0 end
   local job = {
      rounds = command.positive(options, "repeat", nil, true), timeout = command.positive(options, "timeout", 60),
      show_output = options["show-output"], entries = chosen(options.drivers), notes = {}, uncounted = {},
   }
   job.script, job.name = command.script(options, words, at)
   if options.plot then picture_file(options.plot, "ab"):close() end -- now, not after a minute; an older one stays
   measure(job)
   local entries = working(job)
   evaluate(entries)
   if options.json then print_json(job, entries) else print_text(job, entries) end
   if options.plot then draw(job, entries, picture_file(options.plot, "wb")) end
   local code = #entries == 0 and 1 or 0
   for _, entry in ipairs(job.entries) do
      if entry.failed and entry.named then code = 1 end
   end
   return code
end

return function(words) return command.run("saros compare", main, words) end
