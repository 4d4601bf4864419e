-- measure.lua: starts the programs of the benchmark and reads their answers.
-- Every function returns what it measured as a table of numbers, or nil and the reason in words.
-- The C programs have time limits of their own, so nothing here can hang.

local measure = {}

local function quote(word)
   return "'" .. word:gsub("'", "'\\''") .. "'"
end

-- Runs a command line given as a list of words. Returns its output and what it wrote as errors, or
-- nil and the first thing that it complained about.
function measure.capture(words)
   local quoted = {}
   for i, word in ipairs(words) do
      quoted[i] = quote(tostring(word))
   end
   local errors_path = os.tmpname()
   local pipe = assert(io.popen(table.concat(quoted, " ") .. " 2>" .. quote(errors_path)))
   local output = pipe:read("a")
   local ok, how, code = pipe:close()
   local errors = ""
   local file = io.open(errors_path)
   if file then
      errors = file:read("a")
      file:close()
   end
   os.remove(errors_path)
   if ok then
      return output, errors
   end
   return nil, errors:match("[^\n]+") or ("%s: %s %d"):format(words[1], how, code)
end

local function append(list, ...)
   for _, word in ipairs({...}) do
      list[#list + 1] = word
   end
   return list
end

local function joined(first, second)
   return append(table.move(first, 1, #first, 1, {}), table.unpack(second))
end

-- "name=value name=value" as a table of numbers
local function fields(text)
   local values = {}
   for name, value in text:gmatch("([%w_]+)=([%d.]+)") do
      values[name] = tonumber(value)
   end
   return values
end

local function load_words(settings, shape, ...)
   return append({
      settings.tools .. (shape.tls and "/bench_load_tls" or "/bench_load"), "--connections", shape.connections, "--size", shape.size,
      "--active", shape.active or shape.connections,
      "--server-cpu", settings.cores[1], "--cpu", settings.cores[2],
   }, ...)
end

-- A certificate for servers with TLS, and its key: their names, or nil and why not.
function measure.certificate()
   local name = os.tmpname()
   local made, why = measure.capture({"openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
      "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-out", name, "-keyout",
      name .. ".key"})
   if not made then
      return nil, why
   end
   return name, name .. ".key"
end

-- One window of the load generator on a server of its own.
function measure.echo(settings, command, shape)
   local words = load_words(settings, shape, "--seconds", settings.seconds, "--")
   local output, errors = measure.capture(joined(words, command))
   if not output then
      return nil, errors
   end
   for complaint in errors:gmatch("bench_load: [^\n]+") do
      io.stderr:write(complaint, "\n")
   end
   local found = fields(output)
   if not (found.requests and found.cpu_ns) then
      return nil, "bench_load gave no figures"
   end
   if found.least == 0 then
      io.stderr:write(command[1], ": a connection was not answered once in the whole window\n")
   end
   return {
      requests_per_second = found.requests / found.seconds,
      cpu_us = found.cpu_ns / found.requests / 1e3,
      p50_us = found.p50_us,
      p99_us = found.p99_us,
      max_us = found.max_us,
      least = found.least,
   }
end

-- A script that prints its figures, one or several; names says what they are.
function measure.script(settings, command, names)
   local words = {settings.tools .. "/bench_start", "--show", "--cpu", settings.cores[1], "--limit", 120, "--"}
   local output, why = measure.capture(joined(words, command))
   if not output then
      return nil, why
   end
   local values, i = {}, 0
   for number in output:gmatch("%S+") do
      i = i + 1
      if names[i] then
         values[names[i]] = tonumber(number)
      end
   end
   if not values[names[#names]] then
      return nil, "no figure in the output"
   end
   return values
end

-- The wall time from start to end of a command.
function measure.start(settings, command)
   local words = {settings.tools .. "/bench_start", "--runs", settings.starts, "--cpu", settings.cores[1], "--"}
   local output, why = measure.capture(joined(words, command))
   if not output then
      return nil, why
   end
   return {ms = fields(output).median_ms}
end

-- The cost of a request as the difference of two runs, so that start, set-up and end cancel out.
-- wrap(path) gives the words before the command; read(path) the total that the tool left there.
local function difference(settings, command, shape, wrap, read)
   local path = os.tmpname()
   local totals = {}
   local few = math.max(4000, 4 * shape.connections)
   local many = few + settings.counted
   for i, requests in ipairs({few, many}) do
      local words = load_words(settings, shape, "--requests", requests, "--limit", 300, "--")
      local output, why = measure.capture(joined(joined(words, wrap(path)), command))
      local file = output and io.open(path)
      totals[i] = file and read(file:read("a"))
      if file then
         file:close()
      end
      os.remove(path)
      if not totals[i] then
         return nil, output and "the tool left no total" or why
      end
   end
   return (totals[2] - totals[1]) / (many - few)
end

-- Instructions of the server's own code per request; the kernel's are not seen by callgrind.
function measure.instructions(settings, command, shape)
   return difference(settings, command, shape, function(path)
      return {"valgrind", "-q", "--tool=callgrind", "--callgrind-out-file=" .. path}
   end, function(text)
      return tonumber(text:match("\ntotals:%s*(%d+)"))
   end)
end

-- System calls of the server per request.
function measure.system_calls(settings, command, shape)
   return difference(settings, command, shape, function(path)
      return {"strace", "-f", "-c", "-o", path}
   end, function(text)
      return tonumber(text:match("[%d.]+%s+[%d.]+%s+%d*%s+(%d+)%s+%d*%s*total"))
   end)
end

return measure
