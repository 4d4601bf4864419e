-- join.lua: saros.join: until everything that the running task has spawned has ended.
--
-- Cancels nothing. What has failed and was not awaited by anybody is raised as a group's error is; where the join
-- itself is cancelled meanwhile such errors are reported.
local saros = ...

-- Adds those tasks that have failed to the list of failures.
local function add_failed(failed, tasks)
   for _, task in ipairs(tasks) do
      if not task:cancelled() and not failed.known[task] and select("#", task:error()) > 0 then
         failed.known[task] = true
         failed.errors[#failed.errors + 1] = task:error() or "nil"
         failed.tracebacks[#failed.errors] = task:traceback() or ""
         failed.names[#failed.errors] = task:name()
      end
   end
end

local function ended_only(tasks)
   local list = {}
   for _, task in ipairs(tasks) do
      if task:done() then list[#list + 1] = task end
   end
   return list
end

local Failed = {__metatable = false}

function Failed.__close(self, err)
   if err == nil or not saros.is_cancelled(err) then return end
   add_failed(self, ended_only(self.waited))
   if #self.errors > 0 then
      saros._report(tostring(saros._group_error("join", self.errors, self.tracebacks, self.names)))
   end
end

return function()
   local failed <close> = setmetatable({known = {}, errors = {}, tracebacks = {}, names = {}, waited = {}}, Failed)
   while true do
      local live, unseen = saros._spawned()
      add_failed(failed, unseen)
      if #live == 0 then break end
      failed.waited = live
      saros.gather(live, {return_errors = true})
      add_failed(failed, live)
   end
   if #failed.errors > 0 then
      error(saros._group_error("join", failed.errors, failed.tracebacks, failed.names), 0)
   end
   return true
end
