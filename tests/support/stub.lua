-- stub.lua: reads bindings/lua/library/saros.lua, the file that editors learn the module from.
--
-- Owns nothing. Promises: what it finds is what a language server finds: functions by the table that they stand in,
-- classes by the name in the line above that table.
local stub = {}

-- {classes = {["saros.task"] = {method = line}}, problems = list of texts}
function stub.parse(text)
   local found = { classes = {}, problems = {} }
   local class, tables, comment = nil, {}, {}
   local number = 0
   for line in text:gmatch("(.-)\n") do
      number = number + 1
      local name = line:match("^%-%-%-@class ([%w_.]+)")
      local variable = line:match("^local ([%w_]+) = {}$")
      local owner, _, method, parameters = line:match("^function ([%w_]+)([.:])([%w_]+)%((.-)%) end$")
      if name then class = name end
      if variable and class then
         tables[variable], found.classes[class], class = class, {}, nil
      elseif owner then
         local of = tables[owner]
         if not of then
            table.insert(found.problems, ("line %d: what is %s?"):format(number, owner))
         elseif found.classes[of][method] then
            table.insert(found.problems, ("line %d: %s stands there twice"):format(number, method))
         else
            found.classes[of][method] = number
            if not (comment[1] or ""):match("^%u.*[.?]$") then
               table.insert(found.problems, ("line %d: %s is not described"):format(number, method))
            end
            for parameter in parameters:gmatch("[%w_.]+") do
               if not (comment["@" .. parameter]) then
                  table.insert(found.problems, ("line %d: the type of %s is not told"):format(number, parameter))
               end
            end
         end
      end
      local said = line:match("^%-%-%-(.*)")
      if said and not said:match("^@") then comment[#comment + 1] = said end
      local parameter = line:match("^%-%-%-@param ([%w_.]+)%??%s")
      if parameter then comment["@" .. parameter] = true end
      if not said then comment = {} end
   end
   return found
end

function stub.read(root)
   local file <close> = assert(io.open(root .. "bindings/lua/library/saros.lua", "rb"))
   local text = file:read("a"):gsub("\r\n", "\n")
   return stub.parse(text), text
end

return stub
