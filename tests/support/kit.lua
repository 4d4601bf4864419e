-- kit.lua: what many specs need: errors as text, a connected pair of streams, hosts as child processes.
--
-- Owns nothing that outlives a call.

local saros = require "saros"

local kit = {}

kit.driver = saros.current_loop():driver()
kit.windows = package.config:sub(1, 1) == "\\"

-- Ends the case that runs, as one that cannot be run here.
function kit.skip(reason) require("support.pending")(reason) end

-- For a case about Unix sockets, which Wine lacks, and Windows has without some of what is asked of them.
function kit.need_unix_sockets()
   if kit.windows and kit.driver ~= "sim" then kit.skip("no Unix sockets here") end
end

-- Why a case cannot be run here that needs something real of the world: "time" that passes while others work, "sockets"
-- that reach other processes or have descriptors, "resets" that are told though nobody waited when they came. Nothing
-- where it can.
function kit.lacks(what)
   if what == "resets" then return os.getenv("WINELOADER") and "Wine takes a reset for an end" end
   if kit.driver == "sim" then return "simulated " .. what end
   if kit.driver == "none" and what == "sockets" then return "driver none has no sockets" end
   if kit.windows and what == "shell" then return "no POSIX shell here" end
end

-- busted's `it`, for cases that need something real; where that is lacking they are named, with the reason, by its
-- `pending`, as which it does not run them.
function kit.needs(what, it, pending)
   local reason = kit.lacks(what)
   if not reason then return it end
   return function(name) pending(name .. " (" .. reason .. ")") end
end

-- The error that fn raises, and its text; a case fails where it raises none.
function kit.error_of(fn, ...)
   local results = table.pack(saros.pcall(fn, ...))
   if results[1] then error("no error was raised", 2) end
   return results[2], tostring(results[2])
end

function kit.text_of(fn, ...)
   return select(2, kit.error_of(fn, ...))
end

-- Asserts that fn raises an error whose text contains `part`, taken literally.
function kit.raises(part, fn, ...)
   local results = table.pack(saros.pcall(fn, ...))
   if results[1] then error("no error was raised; expected: " .. part, 2) end
   local text = tostring(results[2])
   if not text:find(part, 1, true) then error(("expected an error with %q, got: %s"):format(part, text), 2) end
   return text
end

-- Gives way n times (once without n).
function kit.turns(n)
   for _ = 1, n or 1 do saros.sleep(0) end
end

-- Waits until condition() is true; fails after about two seconds.
function kit.wait_until(condition)
   local deadline = saros.now() + 2
   while not condition() do
      if saros.now() > deadline then error("waited in vain", 2) end
      saros.sleep(0.001)
   end
end

-- A list with a call: every call adds its argument. table.concat it, or compare it.
function kit.log()
   return setmetatable({}, {
      __call = function(self, entry) self[#self + 1] = entry end,
   })
end

-- Two connected streams; options go to connect and listen.
function kit.pair(options)
   local listener <close> = assert(saros.listen("127.0.0.1:0", options))
   local client = assert(saros.connect(listener:address(), options))
   local server = assert(listener:accept())
   return client, server
end

-- A host's name that there is not; with n another one. It is two bytes longer than names can be on the wire (RFC 1035),
-- and the system knows that by itself: no test waits for a server of names.
function kit.nobody(n)
   local part = ("n"):rep(63)
   return ("%02d"):format(n or 0) .. part:sub(3) .. ("." .. part):rep(3)
end

-- An address of this machine at which nobody listens any more.
function kit.free_address()
   local listener = assert(saros.listen("127.0.0.1:0"))
   local address = listener:address()
   listener:close()
   saros.sleep(0)
   return address
end

-- ---- files -----------------------------------------------------------------------------------------------------

-- A file with this content: its name, and a value for a <close> variable that removes it.
function kit.temporary(content)
   local name = os.tmpname()
   local file <close> = assert(io.open(name, "wb"))
   file:write(content or "")
   return name, setmetatable({}, { __close = function() os.remove(name) end })
end

function kit.slurp(name)
   local file <close> = assert(io.open(name, "rb"))
   return file:read("a")
end

-- ---- hosts as children -----------------------------------------------------------------------------------------

kit.host = os.getenv("SAROS_HOST")
if not kit.host then
   local lowest = 0
   while arg and arg[lowest - 1] do lowest = lowest - 1 end
   kit.host = arg and arg[lowest] or "build/debug/saros"
end

-- A module in C of the tests' own, tests/module/*.c; nil where it was not built.
function kit.module(name)
   local folder = os.getenv("SAROS_MODULES") or kit.host:gsub("[^/]*$", "tests/modules")
   local open = package.loadlib(folder .. "/" .. name .. ".so", "luaopen_" .. name)
   return open and open()
end

function kit.quote(word)
   return "'" .. tostring(word):gsub("'", "'\\''") .. "'"
end

-- Runs a command of the shell; returns what it wrote on both channels, "exit" or "signal", and the number.
function kit.shell(command)
   if kit.windows then kit.skip("no POSIX shell here") end
   local pipe = assert(io.popen("{ " .. command .. "\n} 2>&1", "r"))
   local output = pipe:read("a")
   local _, how, code = pipe:close()
   return output, how, code
end

-- Runs the host with these words as they stand, behind what is put before it: standard output, standard error, exit code.
function kit.run_apart(before, ...)
   local errors, _ <close> = kit.temporary()
   local words = {}
   for i, word in ipairs({ ... }) do words[i] = kit.quote(word) end
   local output, how, code = kit.shell(before .. " " .. kit.quote(kit.host) .. " " .. table.concat(words, " ")
      .. " 2>" .. errors)
   if how ~= "exit" then error(("the host was ended by signal %d: %s"):format(code, output), 2) end
   return output, kit.slurp(errors), code
end

-- Is this run's driver the first that opens? What starts runs on drivers of its own choice need not be tried on each.
function kit.on_best_driver()
   for _, driver in ipairs(saros.drivers()) do
      if driver.opens then return driver.name == kit.driver end
   end
end

-- The faults that this run's world was given.
for i = -1, -20, -1 do
   if arg and arg[i] == "--faults" then kit.faults = arg[i + 1] end
end

-- Runs the host with these arguments on this run's driver: its output on both channels, and its exit code.
function kit.run(...)
   local words = { "SAROS_DRIVER=" .. kit.quote(kit.driver), kit.quote(kit.host) }
   local first = ...
   local own = first == "compare" or tostring(first):match("^%-%-driver") or tostring(first):match("^%-%-seeds")
   if kit.faults and not own then words[#words + 1] = "--faults " .. kit.quote(kit.faults) end
   for _, word in ipairs({ ... }) do words[#words + 1] = kit.quote(word) end
   local output, how, code = kit.shell(table.concat(words, " "))
   if how ~= "exit" then error(("the host was ended by signal %d: %s"):format(code, output), 2) end
   return output, code
end

-- Runs a piece of Lua in a host: output and exit code.
function kit.script(code, ...)
   return kit.run("-e", "local saros = require 'saros'\n" .. code, ...)
end

-- A function that fails with `text`, after so many turns.
function kit.fails(text, turns)
   return function()
      kit.turns(turns or 0)
      error(text, 0)
   end
end

-- A function that sleeps for ever; its end is logged, two turns after it was cancelled.
function kit.lingers(log, name)
   return function()
      local _ <close> = setmetatable({}, {
         __close = function()
            saros.shield(kit.turns, 2)
            log(name)
         end,
      })
      saros.sleep(1000)
   end
end

return kit
