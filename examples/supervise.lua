-- supervise.lua: keeps programs running: starts them again when they end, later and later while they keep failing.
--
-- Run it:   saros examples/supervise.lua COMMAND [COMMAND...]      each a line for the shell
--           kill -HUP begins all of them anew; kill -TERM (or Ctrl-C) asks them to end, and kills them after 5 seconds.
-- Notice:   a task for each program, a group for all of them; a signal is something to wait for. However a task
--           ends, its program ends with it: it stands in a <close> variable.
--
--    sleep 1: begun as 4711
--    sleep 1: exit 0
--    sleep 1: again in 0.1 s

local saros = require "saros"

io.stdout:setvbuf("line") -- seen at once, even when the output is a pipe

local FIRST <const>, LAST <const> = 0.1, 30 -- seconds between two starts
local LONG_ENOUGH <const> = 10              -- what has run so long starts at FIRST again
local PATIENCE <const> = 5                  -- seconds between SIGTERM and SIGKILL

if #arg == 0 then
   io.stderr:write("usage: supervise.lua COMMAND [COMMAND...]\n")
   os.exit(2)
end

local running = {} -- processes, by command

-- Asks it to end. <close> kills what does not.
local function stop(process)
   process:kill("SIGTERM")
   saros.timeout(PATIENCE, process.wait, process)
end

local function run_once(command)
   local process <close> = assert(saros.process.spawn {"sh", "-c", "exec " .. command, stdin = "null"})
   running[command] = process
   local _ <close> = setmetatable({}, {__close = function()
      running[command] = nil
      saros.shield(stop, process) -- at once where it has ended by itself
   end})
   print(("%s: begun as %d"):format(command, process.pid))
   print(("%s: %s %d"):format(command, process:wait()))
end

local function keep(command)
   local pause = FIRST
   while true do
      local began = saros.now()
      run_once(command)
      if saros.now() - began > LONG_ENOUGH then pause = FIRST end
      print(("%s: again in %g s"):format(command, pause))
      saros.sleep(pause)
      pause = math.min(pause * 2, LAST)
   end
end

local function main(...)
   local group <close> = saros.group()
   for _, command in ipairs {...} do group:spawn(keep, command) end
   local signals <close> = assert(saros.signal.open("SIGHUP", "SIGTERM", "SIGINT"))
   for name in signals do
      print("got " .. name)
      if name ~= "SIGHUP" then break end
      for _, process in pairs(running) do process:kill("SIGTERM") end
   end
   group:cancel("the supervisor ends")
end

saros.run(main, ...)
