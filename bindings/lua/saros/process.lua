-- process.lua: saros.process: child processes.
--
-- Stands on services/service_process.c. Owns the streams of a process: closing the process closes them. Promises:
-- bad arguments raise before anything is begun; whoever is cancelled, or fails, on the way leaves neither process nor
-- stream; run feeds and drains all at once, so that nobody waits for a pipe that is full.
local saros = ...
local check = saros._self

local CHANNELS <const> = {"stdin", "stdout", "stderr"}
local SPAWN <const> = {cwd = "string", env = "table", stdin = "any", stdout = "any", stderr = "any"}
local RUN <const> = {
   cwd = "string", env = "table", stdin = "any", stdout = "any", stderr = "any",
   input = "string", timeout = "number", limit = "integer",
}

local Process = {}
Process.__index = Process
Process.__name = "saros.process"
Process.__metatable = false

-- ---- arguments: what is wrong with them, or nothing ---------------------------------------------------------------

local function text_problem(name, value)
   if type(value) ~= "string" and type(value) ~= "number" then
      return ("%s: string expected, got %s"):format(name, type(value))
   elseif tostring(value):find("\0", 1, true) then
      return name .. ": a zero byte"
   end
end

local function env_problem(env)
   for name, value in next, env or {} do
      if type(name) ~= "string" or name == "" or name:find("[=\0]") then
         return ("option 'env': '%s' is no variable's name"):format(tostring(name))
      end
      local problem = text_problem("variable " .. name, value)
      if problem then return problem end
   end
end

local function channel_problem(name, value)
   if value == nil or value == "pipe" or value == "null" or value == "inherit" then return end
   if value == "stdout" and name == "stderr" then return end
   local kind = type(value) == "userdata" and tostring(value) or ""
   if kind:match("^file %(") or kind:match("^saros%.stream") or kind:match("^saros%.file") then return end
   return ("option '%s': \"inherit\", \"null\", \"pipe\"%s, a file or a stream expected"):format(name,
      name == "stderr" and ", \"stdout\"" or "")
end

local function option_problem(options, known)
   for key, value in next, options do
      if math.type(key) ~= "integer" or key < 1 or key > #options then
         local expected = known[key]
         if not expected then return ("unknown option '%s'"):format(tostring(key)) end
         if expected ~= "any" and math.type(value) ~= expected and type(value) ~= expected or value ~= value then
            return ("option '%s': %s expected"):format(key, expected)
         end
      end
   end
end

local function problem_of(options, known)
   if type(options) ~= "table" then return "table expected, got " .. type(options) end
   local problem = option_problem(options, known) or env_problem(options.env)
      or text_problem("option 'cwd'", options.cwd or "")
   for _, name in ipairs(CHANNELS) do problem = problem or channel_problem(name, options[name]) end
   for i = 1, #options do problem = problem or text_problem("argument " .. i, options[i]) end
   return problem or #options == 0 and "the name of a program expected at 1" or nil
end

-- The arguments, and a list of "NAME=value" or nothing, in an order that does not hang on a table's.
local function lists_of(options)
   local arguments, env = {}, options.env and {}
   for i = 1, #options do arguments[i] = tostring(options[i]) end
   for name, value in next, options.env or {} do env[#env + 1] = name .. "=" .. tostring(value) end
   if env then table.sort(env) end
   return arguments, env
end

-- ---- a process -----------------------------------------------------------------------------------------------------

function Process:wait()
   check(self, "wait", "saros.process", "_child")
   return self._child:wait()
end

-- What kill raises is the caller's mistake, who is next on the stack: this is called in tail position.
local function killed(ok, result, ...)
   if not ok then error(tostring(result):gsub("#2 to '[^']*'", "#1 to 'kill'", 1), 2) end
   return result, ...
end

function Process:kill(signal)
   check(self, "kill", "saros.process", "_child")
   return killed(pcall(self._child.kill, self._child, signal))
end

-- Ends it at once where it still runs, waits until it has, and closes its streams.
function Process:close()
   check(self, "close", "saros.process", "_child")
   self._child:kill("SIGKILL")
   for _, name in ipairs(CHANNELS) do
      if self[name] then self[name]:close() end
   end
   if not self._child:over() and saros.coroutine.isyieldable() then saros.shield(self.wait, self) end
   return true
end

Process.__close = Process.close

function Process:__tostring()
   return ("saros.process %d%s"):format(self.pid, self._child:over() and " (ended)" or "")
end

-- ---- spawn ---------------------------------------------------------------------------------------------------------

-- Where a process does not come to run its streams are closed.
local Beginning = {__metatable = false}

function Beginning:__close()
   for _, name in ipairs(CHANNELS) do
      if self.process and self.process[name] then self.process[name]:close() end
   end
end

local function connect(p, options)
   for i, name in ipairs(CHANNELS) do
      local what, result, message, code = options[name] or "inherit", true
      if what == "pipe" then
         result, message, code = p._child:pipe(i - 1, options.limit)
         p[name] = result
      else
         if tostring(what):match("^saros%.file") then result, message, code = what:flush() end
         if result then result, message, code = p._child:stdio(i - 1, what) end
      end
      if not result then return nil, name .. ": " .. message, code end
   end
   return true
end

local function spawn(options)
   local arguments, env = lists_of(options)
   local path = options.env and options.env.PATH or not options.env and os.getenv("PATH") or "/usr/bin:/bin"
   local function failed(message, code) return nil, ("spawn %s: %s"):format(arguments[1], message), code end
   local child, message, code = saros._child(arguments, env, path, options.cwd)
   if not child then return failed(message, code) end
   local p = setmetatable({_child = child}, Process)
   local beginning <close> = setmetatable({process = p}, Beginning)
   local ok, of
   ok, message, code = connect(p, options)
   if not ok then return failed(message, code) end
   p.pid, message, code, of = child:start()
   if not p.pid then return failed(of == "cwd" and ("cwd %s: %s"):format(options.cwd, message) or message, code) end
   beginning.process = nil
   return p
end

local process = {_Process = Process}

function process.spawn(options)
   local problem = problem_of(options, SPAWN)
   if problem then error(("bad argument #1 to 'spawn' (%s)"):format(problem), 2) end
   return spawn(options)
end

-- ---- run -----------------------------------------------------------------------------------------------------------

-- One that closes its end early wants no more: that is no error.
local function feed(stream, input)
   stream:write(input)
   stream:close()
end

local function drain(stream, name, result, group)
   local text, message, code = stream:read("a")
   result[name] = text
   if not text then
      result.failed = result.failed or {message = message, code = code}
      group:cancel()
   end
end

local function communicate(options)
   local p <close>, message, code = spawn(options)
   if not p then return nil, message, code end
   local result = {}
   saros.group(function(group)
      if p.stdin then group:spawn(feed, p.stdin, options.input or "") end
      if p.stdout then group:spawn(drain, p.stdout, "stdout", result, group) end
      if p.stderr then group:spawn(drain, p.stderr, "stderr", result, group) end
      result.how, result.code = p:wait()
   end)
   local failed = result.failed
   if failed then
      if failed.code == "ELIMIT" then failed.message = "its output is longer than the limit" end
      return nil, ("run %s: %s"):format(options[1], failed.message), failed.code
   elseif not result.how then
      result.how, result.code = "unknown", nil
   end
   result.ok = result.how == "exit" and result.code == 0
   return result
end

function process.run(options)
   local problem = problem_of(options, RUN)
      or options.limit and options.limit < 1 and "option 'limit': an integer above 0 expected"
      or options.input and options.stdin and options.stdin ~= "pipe" and "option 'input': stdin is no pipe"
   if problem then error(("bad argument #1 to 'run' (%s)"):format(problem), 2) end
   local given = {}
   for key, value in next, options do given[key] = value end
   given.stdin = options.stdin or options.input and "pipe" or nil
   given.stdout, given.stderr = options.stdout or "pipe", options.stderr or "pipe"
   local result, message, code = saros.timeout(options.timeout, communicate, given)
   if result then return result end
   if code == "ETIMEDOUT" then message = ("run %s: timed out"):format(options[1]) end
   return nil, message, code
end

return process
