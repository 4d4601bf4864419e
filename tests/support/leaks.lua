-- leaks.lua: looks after every case whether something was left behind.
--
--    require("support.leaks")(before_each, after_each)      -- at the top of a spec
--
-- Owns nothing. Promises: a case fails where it leaves a live task, an open stream or listener, a timer or another
-- operation in flight, or a descriptor that was not open before. Gives the loop a few turns first, because a close is
-- told a turn later. Tasks that were left are cancelled then, so that one case is blamed and not all that follow.

local saros = require "saros"
local found, lfs = pcall(require, "lfs")

local function descriptors() -- how many are open; 0 where the system does not tell
   -- (Wine shows the folder, but with descriptors in it that come and go with its own needs.)
   if not found or package.config:sub(1, 1) == "\\" or not lfs.attributes("/proc/self/fd") then return 0 end
   local count = 0
   for _ in lfs.dir("/proc/self/fd") do count = count + 1 end
   return count
end

local function others() -- the live tasks besides the one that runs the specs, and their names
   local tasks, names = {}, {}
   for _, task in ipairs(saros.all_tasks()) do
      if task ~= saros.current_task() then tasks[#tasks + 1], names[#names + 1] = task, tostring(task) end
   end
   return tasks, names
end

-- Turns first; then time, because a finished close or a collected stream may need the kernel, and a child that is given up
-- while it begins has begun before it is killed: with a sanitizer, on a busy machine, in more than a tenth of a second.
local function settle(clean)
   for turn = 1, 1000 do
      collectgarbage()
      if clean() then return end
      saros.sleep(turn < 20 and 0 or 0.002)
   end
end

return function(before_each, after_each)
   local open, pending, streams
   before_each(function()
      collectgarbage()
      saros.sleep(0)
      open = descriptors()
      pending, streams = saros._pending()
   end)
   after_each(function()
      settle(function()
         local now_pending, now_streams = saros._pending()
         return #others() == 0 and now_pending <= pending and now_streams <= streams and descriptors() <= open
      end)
      local left, names = others()
      for _, task in ipairs(left) do task:cancel() end
      assert(#left == 0, "tasks were left behind: " .. table.concat(names, ", "))
      local now_pending, now_streams = saros._pending()
      assert(now_streams <= streams, ("%d streams were left open"):format(now_streams - streams))
      assert(now_pending <= pending, ("%d operations were left in flight"):format(now_pending - pending))
      local now_open = descriptors()
      assert(now_open <= open, ("%d descriptors were left open"):format(now_open - open))
   end)
end
