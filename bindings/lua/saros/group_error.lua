-- group_error.lua: what is raised where tasks of a group have failed.
--
-- A table: message, and the lists errors, tracebacks, tasks (names), in the order in which they failed. As text it
-- tells them all.
local saros = ...

local GroupError = {__name = "saros.group_error", __metatable = false}

local function text_of(value)
   local ok, text = saros.pcall(tostring, value)
   return ok and text or ("(error object is a %s value)"):format(type(value))
end

local function indented(text, by)
   return by .. text:gsub("\n", "\n" .. by)
end

function GroupError.__tostring(self)
   local lines = {self.message .. ":"}
   for i, err in ipairs(self.errors) do
      lines[#lines + 1] = indented(self.tasks[i] .. ": " .. text_of(err), "  ")
      if self.tracebacks[i] ~= "" then lines[#lines + 1] = indented(self.tracebacks[i], "    ") end
   end
   return table.concat(lines, "\n")
end

return function(name, errors, tracebacks, tasks)
   local of = name and "of group " .. name or "of a group"
   local message = #errors == 1 and "a task " .. of .. " failed" or ("%d tasks %s failed"):format(#errors, of)
   return setmetatable({message = message, errors = errors, tracebacks = tracebacks, tasks = tasks}, GroupError)
end
