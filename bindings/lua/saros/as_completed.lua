-- as_completed.lua: saros.as_completed: several awaitables, each as soon as it is done (semantics 29).
--
-- The order is that in which they ended. What it has started itself is ended where the loop is left early; in a plain
-- `for` Lua sees to that.
local saros = ...

-- One for each call: those that are done, in order, and who waits for the next.
local Course = {__metatable = false}
Course.__index = Course

function Course:next()
   while #self.done < self.given + 1 do
      if self.given == self.count then return nil end
      self.gate = saros.future()
      local left = self.deadline and self.deadline - saros.now()
      local _, message, code = saros.timeout(left, self.gate.await, self.gate)
      if code and #self.done < self.given + 1 then
         saros.try(nil, "as_completed: " .. message, code)
      end
   end
   self.given = self.given + 1
   return self.done[self.given]
end

function Course:__close()
   for _, item in ipairs(self.items) do item:remove_done_callback(self.ended) end
   local _owned <close> = saros._owner(self.started, true)
end

return function(list, options)
   if type(list) ~= "table" then
      error("bad argument #1 to 'saros.as_completed' (table expected, got " .. type(list) .. ")", 2)
   end
   options = saros._options("saros.as_completed", 2, options, {timeout = "number"})
   local self = setmetatable({done = {}, given = 0, count = 0}, Course)
   self.deadline = options.timeout and saros.now() + options.timeout
   self.items, self.started = saros._start(list, "saros.as_completed")
   function self.ended(item)
      self.done[#self.done + 1] = item
      if self.gate and not self.gate:done() then self.gate:set_result() end
   end
   local seen = {}
   for _, item in ipairs(self.items) do
      if not seen[item] then
         seen[item] = true
         self.count = self.count + 1
         item:add_done_callback(self.ended)
      end
   end
   return function() return self:next() end, nil, nil, self
end
