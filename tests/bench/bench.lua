-- bench.lua: the benchmark's conductor; scripts/bench builds what it needs, says what it does, and
-- starts it. It lets servers and scripts take turns in rounds, so that whatever else the machine does
-- hits all of them alike, and shows medians over the rounds. Progress goes to stderr, figures to stdout.

local here <const> = arg[0]:match("^(.*)/[^/]*$") or "."
package.path = here .. "/?.lua;" .. package.path

local measure <const> = require "measure"
local plan <const> = require "plan"
local report <const> = require "report"

local settings = {
   saros = nil, baseline = nil, tools = nil, lua = "lua5.4", python = "python3", eco = "eco",
   drivers = nil, only = nil, shapes = nil, peers = nil,
   rounds = 9, seconds = 2, starts = 20, counted = 40000, cores = {0, 1},
   json = false, instructions = false, syscalls = false,
}

local function fail(status, format, ...)
   io.stderr:write("bench: ", format:format(...), "\n")
   os.exit(status)
end

local function progress(format, ...)
   io.stderr:write(format:format(...), "\n")
end

-- ---- options ----

local function words_of(text)
   local list = {}
   for word in text:gmatch("[^,]+") do
      list[#list + 1] = word
      list[word] = true
   end
   return list
end

local function read_options()
   local flags = {["--json"] = "json", ["--instructions"] = "instructions", ["--syscalls"] = "syscalls"}
   local texts = {["--saros"] = "saros", ["--baseline"] = "baseline", ["--tools"] = "tools", ["--lua"] = "lua",
      ["--python"] = "python"}
   local lists = {["--drivers"] = "drivers", ["--only"] = "only", ["--shapes"] = "shapes", ["--cores"] = "cores",
      ["--peers"] = "peers"}
   local numbers = {["--rounds"] = "rounds", ["--seconds"] = "seconds"}
   local i = 1
   while arg[i] do
      local name, value = arg[i], arg[i + 1]
      i = i + 2
      if flags[name] then
         settings[flags[name]] = true
         i = i - 1
      elseif name == "--quick" then
         settings.rounds, settings.seconds, settings.counted = 3, 0.5, 10000
         i = i - 1
      elseif not value and (texts[name] or lists[name] or numbers[name]) then
         fail(2, "%s needs a value", name)
      elseif texts[name] then
         settings[texts[name]] = value
      elseif lists[name] then
         settings[lists[name]] = words_of(value)
      elseif numbers[name] then
         settings[numbers[name]] = tonumber(value) or fail(2, "%s needs a number", name)
      else
         fail(2, "unknown option %s; see scripts/bench --help", name)
      end
   end
   if settings.rounds < 1 or settings.rounds % 1 ~= 0 or settings.seconds <= 0 or #settings.cores ~= 2 then
      fail(2, "--rounds is a whole number from 1, --seconds more than 0, --cores two numbers")
   end
end

local function check_words(option, chosen, known)
   for _, word in ipairs(chosen or {}) do
      if not known[word] then
         fail(2, "%s does not know %s", option, word)
      end
   end
end

local function wanted(part)
   return not settings.only or settings.only[part]
end

-- ---- rounds ----

-- Each job is {label=, run=, values={}}; run gives a table of numbers, or nil and why. The jobs take
-- turns and each round begins with another one. A job that failed is left out from then on, and one with
-- a number of rounds of its own has only the first ones.
local function run_rounds(title, jobs, show)
   for round = 1, settings.rounds do
      local line = {}
      for turn = 1, #jobs do
         local job = jobs[(turn + round - 2) % #jobs + 1]
         if not job.failed and round <= (job.rounds or round) then
            local found, why = job.run()
            if found then
               for name, value in pairs(found) do
                  job.values[name] = job.values[name] or {}
                  job.values[name][round] = value
               end
               line[#line + 1] = ("%s %s"):format(job.label, report.figure(found[show]))
            else
               job.failed = why
               line[#line + 1] = ("%s failed: %s"):format(job.label, why)
            end
         end
      end
      progress("%s, round %d of %d: %s", title, round, settings.rounds, table.concat(line, "  "))
   end
end

local function medians(job)
   local result = {}
   for name, values in pairs(job.values) do
      result[name] = report.median(values)
   end
   return result
end

-- ---- peers ----

-- The command with which a peer is asked for what the words say.
local function peer_command(peer, words)
   local command = {settings[peer.interpreter], here .. "/peers/" .. peer.script[1]}
   table.move(peer.script, 2, #peer.script, #command + 1, command)
   return table.move(words, 1, #words, #command + 1, command)
end

-- Those that are wanted and installed. Who was named and is not there is said.
local function find_peers()
   local found = {}
   for _, peer in ipairs(plan.peers) do
      if not settings.peers or settings.peers[peer.name] then
         local words = table.move(peer.try, 1, #peer.try, 2, {settings[peer.interpreter]})
         local there, why = measure.capture(words)
         if there then
            found[#found + 1] = peer
         elseif settings.peers then
            progress("bench: %s cannot be compared with: %s", peer.name, why)
         end
      end
   end
   return found
end

-- ---- echo ----

local function echo_jobs(shape)
   local jobs = {}
   local function add(label, driver, command, is_baseline)
      jobs[#jobs + 1] = {
         label = label, driver = driver, command = command, is_baseline = is_baseline, values = {},
         run = function()
            return measure.echo(settings, command, shape)
         end,
      }
   end
   local script, certificate, key = "/echo.lua", nil, nil
   if shape.tls then
      script, certificate, key = "/echo_tls.lua", table.unpack(shape.certificate)
   end
   add(shape.tls and "raw OpenSSL" or "raw epoll", nil,
      {settings.tools .. (shape.tls and "/bench_raw_tls" or "/bench_raw_epoll"), certificate, key})
   for _, driver in ipairs(settings.drivers) do
      add("saros " .. driver, driver, {settings.saros, "--driver", driver, here .. script, certificate, key})
      for _, way in ipairs(driver == plan.goal_driver and not shape.tls and plan.ways or {}) do
         add(way.name, driver, {settings.saros, "--driver", driver, here .. "/" .. way.script})
         jobs[#jobs].is_way = true
      end
      if settings.baseline then
         add("baseline " .. driver, driver, {settings.baseline, "--driver", driver, here .. script, certificate, key}, true)
      end
   end
   for _, peer in ipairs(not shape.tls and settings.peers or {}) do
      add(peer.name, nil, peer_command(peer, {"echo"}))
      jobs[#jobs].rounds = plan.peer_rounds
   end
   return jobs
end

local function count_once(jobs, shape)
   for name, count in pairs({instructions = measure.instructions, syscalls = measure.system_calls}) do
      for _, job in ipairs(settings[name] and jobs or {}) do
         if not job.failed then
            local value, why = count(settings, job.command, shape)
            job[name] = value
            progress("%s, %s: %s %s", shape.name, name, job.label, value and report.figure(value) or "failed: " .. why)
         end
      end
   end
end

local function baseline_of(jobs, job)
   for _, other in ipairs(jobs) do
      local compared = not job.is_baseline and not job.is_way
      if other.is_baseline and other.driver == job.driver and compared and not other.failed then
         return other
      end
   end
end

local function echo_result(shape, jobs, job)
   local cpu = job.values.cpu_us or {}
   local base = baseline_of(jobs, job)
   local has_goal = job.driver == plan.goal_driver and not job.is_baseline
   local wanted_ratio = job.is_way and shape.way_ratio or not job.is_way and shape.ratio or nil
   local ratio = not job.failed and not jobs[1].failed and report.ratio(cpu, jobs[1].values.cpu_us) or nil
   return {
      server = job.label, shape = shape.name, failed = job.failed, median = medians(job), rounds = job.values,
      ratio = ratio, spread = report.spread(cpu), to_baseline = base and report.ratio(cpu, base.values.cpu_us),
      instructions = job.instructions, system_calls = job.syscalls,
      goal = has_goal and wanted_ratio or nil, met = has_goal and report.met(ratio, wanted_ratio) or nil,
      calls_goal = has_goal and shape.system_calls or nil,
   }
end

local function print_echo(shape, results)
   local rows = {{
      "server", "requests/s", "CPU µs/req", "to raw", "spread", "p50 µs", "p99 µs", "max µs", "instr/req",
      "calls/req", "to baseline", "goal",
   }}
   for _, r in ipairs(results) do
      local goal = report.verdict(r.ratio, r.goal, "to raw")
      if r.calls_goal and r.system_calls then
         goal = goal .. "; " .. report.verdict(r.system_calls, r.calls_goal, "calls")
      end
      rows[#rows + 1] = {
         r.server, report.figure(r.median.requests_per_second), report.figure(r.median.cpu_us), report.figure(r.ratio),
         report.percent(r.spread), report.figure(r.median.p50_us), report.figure(r.median.p99_us),
         report.figure(r.median.max_us), report.figure(r.instructions), report.figure(r.system_calls),
         report.figure(r.to_baseline), r.failed and "failed: " .. r.failed or goal,
      }
   end
   local plural = shape.connections > 1 and "s" or ""
   local some = shape.active and (", %d of them active"):format(shape.active) or ""
   print(("\nEcho%s, %d connection%s%s, %d bytes"):format(shape.tls and " with TLS" or "", shape.connections, plural,
      some, shape.size))
   print(report.table(rows))
end

local function run_echo(shape)
   if shape.tls then
      shape.certificate = {measure.certificate()}
      if not shape.certificate[1] then
         progress("bench: no figures of TLS: %s", shape.certificate[2])
         return {}
      end
   end
   local jobs, results = echo_jobs(shape), {}
   run_rounds(("echo %s, CPU µs/req"):format(shape.name), jobs, "cpu_us")
   count_once(jobs, shape)
   for i, job in ipairs(jobs) do
      results[i] = echo_result(shape, jobs, job)
   end
   for _, name in ipairs(shape.certificate or {}) do
      os.remove(name)
   end
   if not settings.json then
      print_echo(shape, results)
   end
   return results
end

-- ---- scripts ----

local function script_command(binary, script, driver)
   local command = driver and {binary, "--driver", driver} or {binary}
   command[#command + 1] = here .. "/" .. script[1]
   table.move(script, 2, #script, #command + 1, command)
   return command
end

local function figure_jobs(figure)
   local jobs = {}
   local function add(label, command, rounds)
      jobs[#jobs + 1] = {label = label, values = {}, rounds = rounds, run = function()
         if figure.wall then
            local found, why = measure.start(settings, command)
            return found and {[figure.names[1]] = found.ms}, why
         end
         return measure.script(settings, command, figure.names)
      end}
   end
   -- the start of a hello world is that of the default driver: nobody names one for it
   local driver = not figure.wall and settings.drivers[1] or nil
   if figure.bare then
      add("bare Lua", script_command(settings.lua, figure.bare))
   end
   if figure.native then
      add("bare Lua", {settings.tools .. "/bench_" .. figure.native})
   end
   if figure.ours then
      add("saros", script_command(settings.saros, figure.ours, driver))
   end
   if figure.ours and settings.baseline then
      add("baseline", script_command(settings.baseline, figure.ours, driver))
   end
   for _, peer in ipairs(figure.peer and settings.peers or {}) do
      if not (figure.not_in and figure.not_in[peer.name]) then
         add(peer.name, peer_command(peer, figure.peer), plan.peer_rounds)
      end
   end
   return jobs
end

local function figure_results(figure, jobs)
   local results = {}
   for i, name in ipairs(figure.names) do
      local result = {figure = name, rounds = {}, median = {}, spread = {}, failed = {}}
      for _, job in ipairs(jobs) do
         local values = job.values[name] or {}
         result.rounds[job.label] = values
         result.median[job.label] = report.median(values)
         result.spread[job.label] = report.spread(values)
         result.failed[job.label] = job.failed
      end
      local ours, base, bare = result.rounds.saros, result.rounds.baseline, result.rounds["bare Lua"]
      result.to_baseline = ours and base and report.ratio(ours, base)
      result.to_bare = ours and bare and report.ratio(ours, bare)
      result.ratio_goal = i == 1 and figure.ratio or nil
      result.goal = figure.goals and figure.goals[i]
      result.met = report.met(result.median.saros, result.goal)
      if result.ratio_goal then
         result.met = report.met(result.to_bare, result.ratio_goal)
      end
      results[i] = result
   end
   return results
end

local function run_figures()
   local results = {}
   for _, figure in ipairs(plan.figures) do
      if wanted(figure.part) then
         local jobs = figure_jobs(figure)
         run_rounds(figure.names[1], jobs, figure.names[1])
         for _, result in ipairs(figure_results(figure, jobs)) do
            results[#results + 1] = result
         end
      end
   end
   return results
end

local function print_figures(results)
   local rows = {{"figure", "bare Lua", "saros", "spread", "to bare", "baseline", "to baseline"}}
   for _, peer in ipairs(settings.peers) do
      table.insert(rows[1], peer.name)
   end
   table.insert(rows[1], "goal")
   for _, r in ipairs(results) do
      local failed = r.failed.saros or r.failed.baseline or r.failed["bare Lua"]
      local row = {
         r.figure, report.figure(r.median["bare Lua"]), report.figure(r.median.saros), report.percent(r.spread.saros),
         report.figure(r.to_bare), report.figure(r.median.baseline), report.figure(r.to_baseline),
      }
      for _, peer in ipairs(settings.peers) do
         table.insert(row, r.failed[peer.name] and "failed" or report.figure(r.median[peer.name]))
      end
      local verdict = r.ratio_goal and report.verdict(r.to_bare, r.ratio_goal, "to bare")
         or report.verdict(r.median.saros, r.goal)
      table.insert(row, failed and "failed: " .. failed or verdict)
      rows[#rows + 1] = row
   end
   if #results > 0 then
      print(("\nIn one process (driver %s)"):format(settings.drivers[1]))
      print(report.table(rows))
   end
end

-- ---- the whole ----

local function first_line(path, pattern)
   for line in io.lines(path) do
      local found = line:match(pattern)
      if found then
         return found
      end
   end
end

local function machine()
   local uname = measure.capture({"uname", "-sr"})
   local result = {
      system = uname and uname:match("[^\n]+") or "unknown",
      processor = first_line("/proc/cpuinfo", "^model name%s*:%s*(.*)") or "unknown",
      load_before = tonumber(first_line("/proc/loadavg", "^(%S+)")),
   }
   local count = measure.capture({"nproc"})
   if (tonumber(count) or 0) < 2 then
      progress("bench: fewer than two cores: server and load share one, which distorts the figures of echo")
   end
   if result.load_before > 0.5 then
      progress("bench: the machine is busy (load %.2f): trust ratios more than figures", result.load_before)
   end
   return result
end

local function find_drivers()
   if settings.drivers then
      return
   end
   local output, why = measure.capture({settings.saros, here .. "/drivers.lua"})
   if not output then
      fail(1, "cannot ask %s for its drivers: %s", settings.saros, why)
   end
   settings.drivers = words_of(output:gsub("%s+", ","))
end

local function main()
   read_options()
   if not (settings.saros and settings.tools) then
      fail(2, "--saros and --tools must be given; scripts/bench does")
   end
   local shape_names = {}
   for _, shape in ipairs(plan.shapes) do
      shape_names[shape.name] = true
   end
   check_words("--only", settings.only, words_of(table.concat(plan.parts, ",")))
   check_words("--shapes", settings.shapes, shape_names)
   local peer_names = {none = true}
   for _, peer in ipairs(plan.peers) do
      peer_names[peer.name] = true
   end
   check_words("--peers", settings.peers, peer_names)
   find_drivers()
   settings.peers = find_peers()

   local document = {
      machine = machine(), echo = {}, figures = {},
      settings = {rounds = settings.rounds, seconds = settings.seconds, drivers = settings.drivers},
   }
   if not settings.json then
      print(("%s, %s; medians of %d rounds of %g s"):format(document.machine.processor, document.machine.system,
         settings.rounds, settings.seconds))
   end
   for _, shape in ipairs(plan.shapes) do
      if wanted("echo") and (not settings.shapes or settings.shapes[shape.name]) then
         for _, result in ipairs(run_echo(shape)) do
            document.echo[#document.echo + 1] = result
         end
      end
   end
   document.figures = run_figures()
   if settings.json then
      print(report.json(document))
   else
      print_figures(document.figures)
   end
end

main()
