-- explore.lua: saros --seeds: the same script under the simulated driver with many seeds, to find one that fails.
--
-- Each seed is a process of its own, several at a time. Seeds are begun in their order, and once one has failed only
-- the lower ones are waited for: so it is always the lowest one that is told, however the processes went.
local host = ...
local command, json = host.part("command"), host.part("json")

local USAGE = [[
usage: saros --seeds N [options] script.lua [arguments]
       saros --seeds FROM..TO [options] -e CODE [arguments]

Runs the script under driver sim once for each seed from 1 to N, or from FROM to TO, and tells the lowest one with which
it fails: the end of what it wrote, how it ended, and the command that does the same again. A script fails if its exit
code is not 0, if a signal ends it, or if it takes too long. Its standard input is empty.

  --faults LIST     what goes wrong in the simulated world
  --driver sim      is meant anyway, whatever $SAROS_DRIVER says
  --timeout SECONDS of real time; a run that takes longer is ended and has failed (60)
  --jobs N          how many run at a time (as many as there are cores)
  --json            print the result as JSON
  --help            print this

Exit code 0 if no seed fails, else 1.
]]

local OPTIONS = {["--seeds"] = "value", ["--faults"] = "value", ["--driver"] = "value", ["--timeout"] = "value",
                 ["--jobs"] = "value", ["-e"] = "value", ["--json"] = "flag", ["--help"] = "flag", ["-h"] = "flag"}

local function parse_seeds(text)
   local from, to = text:match("^(%d+)%.%.(%d+)$")
   if not from then from, to = "1", text:match("^%d+$") end
   from, to = math.tointeger(tonumber(from)), math.tointeger(tonumber(to))
   if not from or not to or from > to or to - from == math.maxinteger then
      command.wrong("--seeds needs how many, above 0, or FROM..TO, not '%s'", text)
   end
   return from, to
end

-- What to run for a seed: the words behind the program's name.
local function words_for(job, seed)
   local words = {"--driver", "sim", "--seed", tostring(seed)}
   if job.faults then table.move({"--faults", job.faults}, 1, 2, #words + 1, words) end
   return table.move(job.script, 1, #job.script, #words + 1, words)
end

-- ---- the runs ---------------------------------------------------------------------------------------------------

local function begin(job, seed)
   local words = words_for(job, seed)
   words.fixed = true -- the child wants that for its replay, and would have to begin anew for it
   local child, why = host.start(words)
   if not child then command.wrong("%s", why) end
   table.insert(job.children, child)
   table.insert(job.runs, {seed = seed, deadline = host.clock() + job.timeout})
end

-- Ends the runs that nobody needs any more: those beyond a seed that has failed, and those that take too long. Returns
-- how long the next one may still take.
local function thin_out(job)
   local now, soonest = host.clock(), math.huge
   for i, run in ipairs(job.runs) do
      run.late = run.late or now >= run.deadline
      if run.late or job.failure and run.seed > job.failure.seed then host.kill(job.children[i])
      else soonest = math.min(soonest, run.deadline) end
   end
   return math.max(0, math.min(soonest - now, 3600))
end

local function ended(job, place, result)
   local run = table.remove(job.runs, place)
   table.remove(job.children, place)
   if job.failure and run.seed > job.failure.seed then return end
   local reason = command.failure(result, run.late and job.timeout)
   if reason then job.failure = {seed = run.seed, reason = reason, result = result}
   else job.passed = job.passed + 1 end
end

local function explore(job)
   local begun, total, seed = host.clock(), job.to - job.from + 1, job.from
   local left = total
   while true do
      while left > 0 and not job.failure and #job.runs < job.jobs do
         begin(job, seed)
         seed, left = seed + 1, left - 1
      end
      if #job.runs == 0 then break end
      local place, result = host.wait(job.children, thin_out(job))
      if place then ended(job, place, result) end
      command.check_interrupt((" after %s%s"):format(command.plural(job.passed, "seed"),
         job.failure and "; seed " .. job.failure.seed .. " fails" or ", no failure"))
      command.progress(("%d of %d seeds"):format(job.passed, total))
   end
   command.clear()
   job.seconds = host.clock() - begun
end

-- ---- what is told -----------------------------------------------------------------------------------------------

local function replay(job) return command.line({host.name, table.unpack(words_for(job, job.failure.seed))}) end

local function print_text(job)
   local took = ("%.1f s"):format(job.seconds)
   local failure = job.failure
   if not failure then
      io.write(("%s, no failure, %s\n"):format(command.plural(job.to - job.from + 1, "seed"), took))
      return
   end
   io.write(("seed %d fails: %s\n"):format(failure.seed, failure.reason), command.tail(failure.result, 20, "    "))
   io.write("to run it again: ", replay(job), "\n")
   local below = failure.seed - job.from
   io.write(("%s, %s\n"):format(below == 0 and "it is the first seed" or command.plural(below, "seed")
      .. " below it did not fail", took))
end

local function print_json(job)
   local failure = job.failure
   io.write(json.encode({
      script = job.name, words = json.list(job.script), faults = job.faults or json.null, from = job.from, to = job.to,
      seconds = job.seconds,
      failure = failure and {
         seed = failure.seed, reason = failure.reason, output = failure.result.output, replay = replay(job),
         code = failure.result.code or json.null, signal = failure.result.signal or json.null,
      } or json.null,
   }), "\n")
end

-- ---- the command ------------------------------------------------------------------------------------------------

local function main(words)
   for i, word in ipairs(words) do -- where the number belongs too
      if word == "--seeds" and (words[i + 1] == "--help" or words[i + 1] == "-h") then return io.write(USAGE) and 0 end
   end
   local options, at = command.options(words, 1, OPTIONS)
   if options.help or options.h then return io.write(USAGE) and 0 end
   local job = {faults = options.faults, timeout = command.positive(options, "timeout", 60), passed = 0,
                jobs = math.min(command.positive(options, "jobs", host.cores(), true), 200), children = {}, runs = {}}
   job.from, job.to = parse_seeds(options.seeds)
   if options.driver and options.driver ~= "sim" then
      command.wrong("only driver sim has seeds, not driver %s", options.driver)
   end
   command.driver(command.drivers(), {}, "sim")
   if job.faults then -- in none of the worlds they would be known
      local ok, why = pcall(host.saros.loop, {driver = "sim", faults = job.faults})
      if not ok then command.wrong("--faults %s: %s", job.faults, why) end
      why:close()
   end
   job.script, job.name = command.script(options, words, at)
   explore(job)
   if options.json then print_json(job) else print_text(job) end
   return job.failure and 1 or 0
end

return function(words) return command.run("saros --seeds", main, words) end
