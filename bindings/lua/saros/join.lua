-- join.lua: saros.join: until everything that the running task has spawned has ended.
--
-- Cancels nothing. What has failed and is known to nobody else is raised as a group's error is; where the join itself
-- is cancelled meanwhile it is reported.
local saros = ...

local Failed = {__metatable = false}

function Failed.__close(self, err)
   self.over = true
   for _, task in ipairs(self.waited) do task:remove_done_callback(self.take) end
   if err ~= nil and saros.is_cancelled(err) and #self.errors > 0 then
      saros.current_loop():call_exception_handler({
         message = "saros.join was cancelled, and tasks had failed", error = self:error(),
      })
   end
end

Failed.__index = Failed

function Failed:error() return saros._group_error("join", self.errors, self.tracebacks, self.names) end

return function()
   local failed <close> = setmetatable({errors = {}, tracebacks = {}, names = {}, waited = {}}, Failed)
   function failed.take(task)
      if failed.over or not saros._claim(task) then return end
      local n = #failed.names + 1
      local err = task:error()
      failed.errors[n] = err == nil and "nil" or err
      failed.tracebacks[n] = task:traceback() or ""
      failed.names[n] = task:name()
   end
   while true do
      local live, ended = saros._spawned()
      for _, task in ipairs(ended) do failed.take(task) end
      if #live == 0 then break end
      failed.waited = live
      for _, task in ipairs(live) do task:add_done_callback(failed.take) end -- before it is reported
      saros._wait(live, "all")
      for _, task in ipairs(live) do failed.take(task) end
   end
   if #failed.errors > 0 then error(failed:error(), 0) end
   return true
end
