-- command.lua: what the host's commands share: their options, tables of text, progress, how a run is told.
local host = ...

local command = {}

-- A mistake in how the command was called: message and exit code 1, without a traceback.
local Wrong = {__name = "saros.wrong", __tostring = function(self) return self.text end}

function command.wrong(format, ...) error(setmetatable({text = format:format(...)}, Wrong), 0) end

-- Calls fn(...), which returns the exit code; what is wrong with the call is told as "NAME: text".
function command.run(name, fn, ...)
   local ok, result = xpcall(fn, function(err)
      return getmetatable(err) == Wrong and err or debug.traceback(err, 2)
   end, ...)
   if ok then return result end
   command.clear()
   io.stdout:flush()
   io.stderr:write(name, ": ", tostring(result), "\n")
   return getmetatable(result) == Wrong and result.code or 1
end

-- Reads the words from `at` on as options until the first that is none. known: {["--name"] = "flag" or "value"}.
-- Returns the options by name, without dashes, and the place of the first word that is none. "-e CODE" is the last
-- option, as it is for the host.
function command.options(words, at, known)
   local options = {}
   while words[at] and words[at]:sub(1, 1) == "-" and words[at] ~= "-" do
      local word, value = words[at], nil
      if word:match("^%-%-.-=") then word, value = word:match("^(%-%-.-)=(.*)$") end
      local kind = known[word]
      if not kind then command.wrong("unknown option %s; see --help", word) end
      if kind == "flag" and value then command.wrong("%s takes no value", word) end
      if kind == "value" and not value then
         at = at + 1
         value = words[at] or command.wrong("a value is missing behind %s", word)
      end
      options[word:gsub("^%-+", "")] = value or true
      at = at + 1
      if word == "-e" then break end
   end
   return options, at
end

-- A number above zero from an option, or the default.
function command.positive(options, name, default, whole)
   local text = options[name]
   if text == nil then return default end
   local value = tonumber(text)
   if whole then value = math.tointeger(value) end
   if not value or value ~= value or value <= 0 or value == math.huge then
      command.wrong("--%s needs a %s above 0, not '%s'", name, whole and "whole number" or "number", text)
   end
   return value
end

-- What the children are to run: the words behind their options. The script is looked at now: one message is enough.
function command.script(options, words, at)
   if options.e then return {"-e", options.e, table.unpack(words, at)}, "-e" end
   local name = words[at]
   if not name then command.wrong("no script; see --help") end
   if name == "-" then command.wrong("a script that runs many times cannot be read from standard input") end
   local file, why = io.open(name, "rb")
   if not file then command.wrong("cannot open %s", why) end
   file:close()
   return {table.unpack(words, at)}, name
end

-- The known drivers by name, and their names in order.
function command.drivers()
   local by_name, names = {}, {}
   for i, driver in ipairs(host.saros.drivers()) do
      by_name[driver.name], names[i] = driver, driver.name
   end
   return by_name, names
end

-- A driver that was asked for by name and has to open.
function command.driver(by_name, names, name)
   local driver = by_name[name] or command.wrong("'%s': no such driver; known are: %s", name, table.concat(names, " "))
   if not driver.opens then command.wrong("%s: %s", name, driver.reason) end
   return driver
end

-- ---- what is shown ----------------------------------------------------------------------------------------------

-- Rows of strings, the first one the heading; the first column stands left, `left` names others that do.
function command.table(rows, left)
   local widths, lines = {}, {}
   for _, row in ipairs(rows) do
      for c, cell in ipairs(row) do widths[c] = math.max(widths[c] or 0, utf8.len(cell)) end
   end
   for _, row in ipairs(rows) do
      local cells = {}
      for c, cell in ipairs(row) do
         local pad = (" "):rep(widths[c] - utf8.len(cell))
         cells[c] = (c == 1 or left and left[c]) and cell .. pad or pad .. cell
      end
      lines[#lines + 1] = table.concat(cells, "  "):gsub("%s+$", "")
   end
   return table.concat(lines, "\n") .. "\n"
end

function command.commas(value)
   local text = tostring(value):reverse():gsub("%d%d%d", "%0,"):reverse():gsub("^,", "")
   return text
end

-- Three digits that count.
function command.figure(value)
   if value >= 1000 then return command.commas(("%.0f"):format(value)) end
   if value >= 99.95 then return ("%.0f"):format(value) end
   return (value >= 9.995 and "%.1f" or "%.2f"):format(value)
end

function command.plural(count, word) return ("%d %s%s"):format(count, word, count == 1 and "" or "s") end

-- Seconds as a person writes them.
function command.seconds(value) return ("%.14g"):format(value) .. " s" end

local progress_at = 0

-- A line on the terminal that is written over by the next one, a few times a second; nothing where there is none.
function command.progress(text, always)
   local now = host.clock()
   if not host.terminal(2) or not always and now < progress_at then return end
   progress_at = now + 0.1
   io.stderr:write("\r\27[K", text)
   io.stderr:flush()
end

function command.clear()
   progress_at = 0
   if host.terminal(2) then io.stderr:write("\r\27[K") end
end

-- ---- runs -------------------------------------------------------------------------------------------------------

local SIGNALS = {[1] = "SIGHUP", [2] = "SIGINT", [3] = "SIGQUIT", [4] = "SIGILL", [6] = "SIGABRT", [8] = "SIGFPE",
                 [9] = "SIGKILL", [11] = "SIGSEGV", [13] = "SIGPIPE", [14] = "SIGALRM", [15] = "SIGTERM"}

-- Why a run counts as failed, in words; nil: it ended well. `timeout` is set where it was ended for taking too long.
function command.failure(result, timeout)
   if timeout then return "did not end within " .. command.seconds(timeout) end
   if result.why and result.code ~= 0 then return result.why end
   if result.signal then return "ended by " .. (SIGNALS[result.signal] or "signal " .. result.signal) end
   if result.code ~= 0 then return "exit code " .. result.code end
   return nil
end

-- The last lines of a run's output, each with `indent` in front.
function command.tail(result, most, indent)
   local lines = {}
   for line in result.output:gsub("\r\n", "\n"):gsub("\n+$", ""):gmatch("[^\n]+") do lines[#lines + 1] = line end
   local first = math.max(1, #lines - most + 1)
   if first > 1 or result.cut then lines[first] = "...\n" .. indent .. (lines[first] or "") end
   if not lines[1] then return "" end
   return indent .. table.concat(lines, "\n" .. indent, first) .. "\n"
end

local windows = package.config:sub(1, 1) == "\\"

-- The words as a command line for the shell.
function command.line(words)
   local quoted = {}
   for i, word in ipairs(words) do
      if word:match("^[%w_./:=,@%%+-]+$") then quoted[i] = word
      elseif windows then quoted[i] = '"' .. word:gsub('"', '\\"') .. '"'
      else quoted[i] = "'" .. word:gsub("'", "'\\''") .. "'" end
   end
   return table.concat(quoted, " ")
end

-- After an interrupt the command ends, with the shell's exit code for that; its children end with it.
function command.check_interrupt(how_far)
   local number = host.interrupted()
   if not number then return end
   local text = (number == 2 and "interrupted" or "terminated") .. (how_far or "")
   error(setmetatable({text = text, code = 128 + number}, Wrong), 0)
end

-- Runs one child to its end. Returns what came of it, and why that is a failure, or nil.
function command.run_child(words, timeout)
   local child, why = host.start(words)
   if not child then return {output = ""}, why end
   local place, result = host.wait({child}, timeout)
   if place then return result, command.failure(result) end
   command.check_interrupt()
   host.kill(child)
   repeat
      place, result = host.wait({child}, 60)
      command.check_interrupt()
   until place
   return result, command.failure(result, timeout)
end

return command
