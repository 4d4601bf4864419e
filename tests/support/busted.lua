-- busted.lua: runs busted inside the host, so that specs are tasks and may await.
--
-- usage: saros [--driver NAME] tests/support/busted.lua [busted's own arguments] [FILE or FOLDER]…
-- It owns the search paths and how results are told (report.lua); the rest is busted's. The exit code is 0 only
-- where every case passed.
-- Promises: specs run in the main task, with nothing of `require` beneath them on the stack.

-- A host built from Lua's own sources searches /usr/local; Debian keeps busted and its C parts here.
local function add(kind, entry)
   if not package[kind]:find(entry, 1, true) then package[kind] = package[kind] .. ";" .. entry end
end
add("path", "/usr/share/lua/5.4/?.lua")
add("path", "/usr/share/lua/5.4/?/init.lua")
for _, machine in ipairs({ "x86_64-linux-gnu", "aarch64-linux-gnu", "i386-linux-gnu", "arm-linux-gnueabihf",
                           "riscv64-linux-gnu", "powerpc64le-linux-gnu", "s390x-linux-gnu" }) do
   local folder = "/usr/lib/" .. machine .. "/lua/5.4/"
   local found = io.open(folder .. "lfs.so")
   if found then
      found:close()
      add("cpath", folder .. "?.so")
   end
end

-- For Windows there are busted's Lua parts, and LuaFileSystem. Of two small C libraries it uses no more than this.
if package.config:sub(1, 1) == "\\" then
   package.preload["system.core"] = function()
      local now = require("saros").now
      return { gettime = os.time, monotime = now, sleep = function(seconds) require("saros").sleep(seconds) end }
   end
   package.preload["term.core"] = function()
      return { isatty = function() return false end }
   end

   -- Its C library wants temporary files in the root folder, where not everybody may make any; but no other process is
   -- given the same name.
   local folder = os.getenv("TEMP") or "."
   local mark = os.tmpname():gsub("%W", "")
   local names = {}
   function os.tmpname() -- luacheck: ignore 122
      local name = ("%s\\saros-%s-%d"):format(folder, mark, #names + 1)
      assert(io.open(name, "wb")):close()
      names[#names + 1] = name
      return name
   end

   function io.tmpfile() -- luacheck: ignore 122
      return io.open(os.tmpname(), "w+b")
   end

   -- Files that are open cannot be removed: at the very end none is.
   package.loaded["support.temporary"] = setmetatable({}, {
      __gc = function()
         for _, name in ipairs(names) do os.remove(name) end
      end,
   })
end

-- Specs name their helpers by their place in tests/.
local tests = arg[0]:match("^(.*)[/\\]support[/\\]") or "tests"
package.path = tests .. "/?.lua;" .. package.path

-- A spec that takes the process down still shows how far it came.
io.stdout:setvbuf("line")

-- busted hands its way to say "pending" to the specs' own environments only; helpers have it from here.
local core = require("busted.core")
package.loaded["busted.core"] = function(...)
   local busted = core(...)
   package.loaded["support.pending"] = function(reason) busted.pending(reason) end
   return busted
end

-- Not a tail call: busted looks up its caller to learn that it runs a script, not a chunk of text.
local run = require("busted.runner")
run({ standalone = false, output = tests .. "/support/report.lua" })
