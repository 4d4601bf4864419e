-- oracle.lua: scenarios that asyncio and Saros both play, and what it takes to play and to compare them.
--
--    scenario("25: gather's results stand in the order of its arguments", [[ Python ]], function() Lua end)
--    scenario{"31: …", [[ Python ]], function() Lua end, python = "3.11"}                  -- needs that Python
--    scenario{"21: …", [[ Python ]], function() Lua end, differs = "why", ours = {"what", "we", "say"}}
--
-- The Python half is the body of a coroutine function, in which all of asyncio can be named; the Lua half is a main
-- function. Both have say(…), which adds a line to the trace; T, the length of a tick; turns(n), which gives way n
-- times; attempt, which gives what came of something that waits, or why it came to nothing. The number is the line of
-- the list of semantics which the scenario is about.
--
-- A scenario with `differs` is a place where ours is meant to be another: it has to be another, and that one.
-- Owns the list of scenarios. Promises: no scenario's loop outlives it.

local saros = require "saros"

local oracle = { T = 0.02, scenarios = {} }

local trace

-- ---- what the Lua halves use -----------------------------------------------------------------------------------------

local in_words = { ECANCELED = "cancelled", ETIMEDOUT = "timed out", EBROKEN = "broken" }

-- What happened, in the words that both languages share.
function oracle.why(err)
   local code = saros.error_code(err)
   if saros.is_cancelled(err) then return "cancelled" end
   if in_words[code] then return in_words[code] end
   if type(err) == "table" and err.errors then
      local list = {}
      for i, one in ipairs(err.errors) do list[i] = oracle.why(one) end
      return "group of " .. table.concat(list, " ")
   end
   if type(err) == "table" and err.wrong then return err.wrong end
   return "misuse"
end

local function text(value)
   if type(value) ~= "table" then return tostring(value) end
   if value.wrong then return value.wrong end
   local list = {}
   for i = 1, value.n or #value do list[i] = text(value[i]) end
   return "[" .. table.concat(list, " ") .. "]"
end

function oracle.say(...)
   local words = {}
   for i = 1, select("#", ...) do words[i] = text((select(i, ...))) end
   trace[#trace + 1] = table.concat(words, " ")
end

function oracle.turns(n)
   for _ = 1, n or 1 do saros.sleep(0) end
end

-- An error of the scenarios' own.
local Wrong = { __tostring = function(self) return self.wrong end }
function oracle.wrong(what) error(setmetatable({ wrong = what }, Wrong), 0) end

-- fn's results, or why there are none.
function oracle.attempt(fn, ...)
   local results = table.pack(saros.pcall(fn, ...))
   if not results[1] then return oracle.why(results[2]) end
   if results[2] == nil and results[4] then return in_words[results[4]] or results[4] end
   return table.unpack(results, 2, results.n)
end

-- Is this call refused?
function oracle.refused(fn, ...) return not saros.pcall(fn, ...) end

-- ---- scenarios -------------------------------------------------------------------------------------------------------

function oracle.scenario(name, python, lua)
   local it = type(name) == "table" and name or { name, python, lua }
   it.name, it.source, it.main = it[1], it[2], it[3]
   assert(it.name:match("^%d+: ") and not oracle.scenarios[it.name], it.name)
   oracle.scenarios[it.name] = it
   table.insert(oracle.scenarios, it)
end

-- What our half says on a driver, as a list of lines.
function oracle.play(it, driver)
   trace = {}
   local mine = trace
   do
      local loop <close> = saros.loop({ driver = driver, report_after = math.huge })
      loop:set_exception_handler(function() end) -- scenarios that ask for what is told have one of their own
      local ok, err = saros.pcall(loop.run, loop, it.main)
      if not ok then oracle.say("main: " .. tostring(err)) end
   end
   return mine
end

-- ---- Python ----------------------------------------------------------------------------------------------------------

local function quote(word) return "'" .. word:gsub("'", "'\\''") .. "'" end

-- The Python that is asked, and its version; or nothing, and why.
function oracle.python()
   for _, command in ipairs({ os.getenv("SAROS_PYTHON") or "python3", "python3" }) do
      local pipe = io.popen(quote(command) .. " -c 'import sys; print(\"%d.%d.%d\" % sys.version_info[:3])' 2>&1")
      local version = pipe:read("a"):match("^(%d+%.%d+%.%d+)\n$")
      pipe:close()
      if version then return command, version end
   end
   return nil, "there is no python3"
end

-- What all Python halves say: by name, a list of lines; or {skip = reason}, or {fail = traceback}.
function oracle.ask(python, folder)
   local name = os.tmpname()
   local _ <close> = setmetatable({}, { __close = function() os.remove(name) end })
   do
      local file <close> = assert(io.open(name, "w"))
      for _, it in ipairs(oracle.scenarios) do
         file:write("#### ", it.python or "3.8", " ", it.name, "\n", it.source, "\n")
      end
   end
   local pipe <close> = assert(io.popen(table.concat({ quote(python), quote(folder .. "/oracle.py"), "<", name }, " ")))
   local answers, answer = {}, nil
   for line in pipe:lines() do
      local head, skip, fail = line:match("^#### (.*)"), line:match("^skip (.*)"), line:match("^fail (.*)")
      if head then
         answer = {}
         answers[head] = answer
      elseif skip then
         answer.skip = skip
      elseif fail or answer.fail then
         answer.fail = (answer.fail or "") .. "\n" .. (fail or line)
      else
         answer[#answer + 1] = assert(line:match("^  (.*)"), line)
      end
   end
   return answers
end

-- ---- comparing -------------------------------------------------------------------------------------------------------

-- Where two traces part, as two columns; nothing where they are alike.
function oracle.difference(theirs, ours)
   local rows, alike, width = {}, #theirs == #ours, 8
   for i = 1, math.max(#theirs, #ours) do
      alike = alike and theirs[i] == ours[i]
      width = math.max(width, #(theirs[i] or ""))
   end
   if alike then return nil end
   rows[1] = ("  %-" .. width .. "s   %s"):format("asyncio", "ours")
   for i = 1, math.max(#theirs, #ours) do
      rows[#rows + 1] = ("%s %-" .. width .. "s   %s"):format(theirs[i] == ours[i] and " " or "*", theirs[i] or "-", ours[i] or "-")
   end
   return "\n" .. table.concat(rows, "\n")
end

return oracle
