-- follow.lua: prints what is written to a file, as it is written, like `tail -F`.
--
--    scripts/run examples/follow.lua /var/log/syslog [lines]
--
-- It begins with the last lines (10), and goes on where the file is replaced by another one of the same name (as log
-- rotation does) or cut short. The folder is watched, and not the file: a watch on a file goes with it to its new name.
local saros = require "saros"

local path, wanted = arg[1], math.tointeger(tonumber(arg[2] or 10))
if not path or not wanted then
   io.stderr:write("usage: follow.lua FILE [LINES]\n")
   os.exit(2)
end
local folder, name = path:match("^(.*)/([^/]*)$")
if not folder then folder, name = ".", path end
if folder == "" then folder = "/" end

-- The last lines of an open file, which then stands behind them.
local function last_lines(file)
   local kept = {}
   for line in file:lines("L") do
      kept[#kept + 1] = line
      if #kept > wanted then table.remove(kept, 1) end
   end
   return table.concat(kept)
end

local function show(text)
   io.write(text or "")
   io.flush()
end

local watcher <close> = assert(saros.fs.watch(folder)) -- before the first look, so that nothing falls in between
local file, inode = saros.open(path), nil
if file then
   inode = saros.fs.stat(path).inode
   show(last_lines(file))
end

for what, changed in watcher do
   if changed == name or what == "overflow" then
      if file then show(file:read("a")) end -- also what was still written to the old one
      local status = saros.fs.stat(path)
      if status and (not file or status.inode ~= inode) then
         if file then file:close() end
         file, inode = saros.open(path), status.inode
         if file then show(file:read("a")) end
      elseif status and status.size < file:seek() then
         io.stderr:write("follow: the file was cut short\n")
         file:seek("set", 0)
         show(file:read("a"))
      end
   end
end
