-- play.lua: runs one generated program; what the runner starts, once for each driver.
--
-- usage: saros --driver NAME tests/differential/play.lua PROGRAM FOLDER
-- FOLDER is for Unix sockets. Each log entry is a line "LANE|STEP|KIND|WHAT" on standard output, at once, so that it is
-- there whatever becomes of the process. WHAT is in terms that are the same everywhere: names of errors and not their
-- texts, no ports, no descriptors, no addresses of memory, times as "early" or "on time".
--
-- Owns the names that programs use: lane, child, log, attempt, signal, wait, v (what lanes share) and those below.
local saros = require "saros"

local program, folder = arg[1], arg[2]
io.stdout:setvbuf("line")

local lanes, lane_of, signals = {}, setmetatable({}, { __mode = "k" }), {}
local p = setmetatable({ saros = saros, v = {} }, { __index = _G })

-- ---- what is logged ----------------------------------------------------------------------------------------------

local function sum(s)
   local a, b = 1, 0
   for i = 1, #s do
      a = (a + s:byte(i)) % 65521
      b = (b + a) % 65521
   end
   return ("%08x"):format(b << 16 | a)
end

-- An address without its port, and a path without its folder.
local function plain(text)
   return (text:gsub("unix:[^%s\"]*/", "unix:"):gsub("(127%.0%.0%.1):%d+", "%1:PORT"):gsub("(%[::1%]):%d+", "%1:PORT")
      :gsub("0x%x+", "0xADDRESS"))
end

local function show(value)
   local kind = type(value)
   if kind == "string" then
      if #value > 60 then return ("<%d bytes %s>"):format(#value, sum(value)) end
      return (("%q"):format(plain(value)):gsub("\\\n", "\\n"))
   elseif kind == "number" then
      return math.type(value) == "integer" and tostring(value) or ("%.10g"):format(value)
   elseif kind == "nil" or kind == "boolean" then
      return tostring(value)
   end
   local cancelled, reason = saros.is_cancelled(value)
   if cancelled then return reason and "<cancelled: " .. plain(tostring(reason)) .. ">" or "<cancelled>" end
   local code = saros.error_code(value)
   if code then return "<" .. code .. ">" end
   local meta = getmetatable(value)
   return "<" .. (kind == "userdata" and type(meta) == "string" and meta or kind) .. ">"
end

-- Results in a line; of a failure (nil, message, code) not the message.
local function show_all(...)
   local values, shown, i = table.pack(...), {}, 1
   while i <= values.n do
      local code = values[i + 2]
      if not values[i] and type(values[i + 1]) == "string" and type(code) == "string" and code:find("^E%u+$") then
         shown[#shown + 1] = "nil " .. code
         i = i + 3
      else
         shown[#shown + 1] = show(values[i])
         i = i + 1
      end
   end
   return table.concat(shown, " ")
end

function p.log_as(lane, step, kind, ...)
   io.write(lane, "|", step, "|", kind, "|", show_all(...), "\n")
end

function p.log(step, kind, ...)
   p.log_as(lane_of[saros.current_task()] or "nobody", step, kind, ...)
end

-- An error's text without the place where it was raised, which is the program's and not the driver's.
local function placeless(err)
   return type(err) == "string" and err:gsub("^[^%s:]+:%d+: ", "") or err
end

-- Calls fn, and gives what became of it; catches cancellation as well.
local function outcome(ok, ...)
   if ok then return "ok", ... end
   return "raised", placeless((...))
end
function p.attempt(fn, ...) return outcome(saros.pcall(fn, ...)) end

-- Results of which only the fate counts: how many bytes had been sent, and what the message says, is left to chance.
function p.fate(first, _, code) return first ~= nil and "done" or code or "end" end

-- A connection that is gone for a writer: whether the kernel knows of a reset already is left to chance.
function p.gone(first, _, code)
   if first then return "open" end
   return (code == "EPIPE" or code == "ECONNRESET") and "gone" or code
end

-- A clock that stands at exactly the right time may be off by a rounding.
function p.since(began, seconds) return saros.now() - began < seconds - 1e-9 and "early" or "on time" end

-- ---- what programs do --------------------------------------------------------------------------------------------

function p.lane(name, fn) lanes[#lanes + 1] = { name = name, fn = fn } end

-- fn as part of a lane of its own: for tasks that a lane has made.
function p.named(lane, fn)
   return function(...)
      lane_of[saros.current_task()] = lane
      return fn(...)
   end
end

function p.child(lane, fn, ...) return saros.spawn(p.named(lane, fn), ...):set_name(lane) end

local function future_of(name)
   signals[name] = signals[name] or saros.future()
   return signals[name]
end
function p.signal(name, ...) future_of(name):set_result(...) end
function p.wait(name) return future_of(name):await() end

-- A value for a <close> variable.
function p.closing(fn)
   return setmetatable({}, { __close = function(_, err) return fn(err) end })
end

function p.socket_path(name) return "unix:" .. folder .. "/" .. name end

-- Bytes that a reader can check: each lane and step has its own.
function p.bytes(count, from)
   local unit = {}
   for i = 0, 250 do unit[#unit + 1] = string.char((i * 7 + from) % 256) end
   local text = table.concat(unit)
   return text:rep(count // #text + 1):sub(1, count)
end

-- So many bytes, as they come.
function p.gather_some(stream, count)
   local parts, got = {}, 0
   while got < count do
      local part, _, code = stream:read_some(count - got)
      if not part then return table.concat(parts), code or "end" end
      parts[#parts + 1] = part
      got = got + #part
   end
   return table.concat(parts)
end

-- ---- the program -------------------------------------------------------------------------------------------------

local ending = assert(loadfile(program, "t", p))()
local tasks = {}
for i, lane in ipairs(lanes) do
   tasks[i] = p.child(lane.name, function() p.log("end", "end", p.attempt(lane.fn)) end)
end
for _, task in ipairs(tasks) do task:await() end
if ending then ending() end
