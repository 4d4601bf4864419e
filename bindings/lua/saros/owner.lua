-- owner.lua: what a function has started itself, and must not leave behind.
--
-- saros._owner(tasks, always): for a <close> variable: where the block ends by an error or a cancellation (always: in
-- any way), cancels those of the tasks that live, and waits for them, unless a coroutine is being closed, in which
-- nothing can. Their errors are not its to tell: one that nobody awaits is reported.
local saros = ...

local Owner = {__metatable = false}

function Owner.__close(self, err)
   if err == nil and not self.always and saros.coroutine.isyieldable() then return end
   local left = {}
   for _, task in ipairs(self.tasks) do
      if task:cancel() then left[#left + 1] = task end
   end
   if #left > 0 and saros.coroutine.isyieldable() then saros.shield(saros._wait, left, "all") end
end

return function(tasks, always) return setmetatable({tasks = tasks, always = always}, Owner) end
