-- json.lua: a Lua value as JSON, for the --json of the host's commands.
--
-- A table with a first item, or json.list, is an array; any other is an object, its names sorted, so that two outputs
-- can be compared line by line. json.null stands for null. Promises: strict JSON in UTF-8 whatever the strings hold.
local json = {null = setmetatable({}, {__name = "json.null"})}

local LIST = {__name = "json.list"}

-- Marks a table as an array, also an empty one.
function json.list(items) return setmetatable(items, LIST) end

-- What is not UTF-8 becomes the replacement character, a byte each.
local function valid(text)
   local parts, at = {}, 1
   while at <= #text do
      local _, bad = utf8.len(text, at)
      parts[#parts + 1] = text:sub(at, (bad or #text + 1) - 1)
      if not bad then break end
      parts[#parts + 1] = "\u{FFFD}"
      at = bad + 1
   end
   return table.concat(parts)
end

local short = {['"'] = '\\"', ["\\"] = "\\\\", ["\n"] = "\\n", ["\t"] = "\\t"}

local function quoted(text)
   return '"' .. valid(text):gsub('[%c"\\]', function(c) return short[c] or ("\\u%04x"):format(c:byte()) end) .. '"'
end

local function number(value)
   if math.type(value) == "integer" then return tostring(value) end
   if value ~= value or value == math.huge or value == -math.huge then return "null" end
   return ("%.9g"):format(value)
end

local function encode(value, indent)
   if type(value) == "number" then return number(value) end
   if type(value) == "string" then return quoted(value) end
   if value == json.null then return "null" end
   if type(value) ~= "table" then return tostring(value) end
   local inner, parts = indent .. "  ", {}
   if value[1] ~= nil or getmetatable(value) == LIST then
      for i, item in ipairs(value) do parts[i] = encode(item, inner) end
      if type(value[1]) ~= "table" then return "[" .. table.concat(parts, ", ") .. "]" end
      return "[\n" .. inner .. table.concat(parts, ",\n" .. inner) .. "\n" .. indent .. "]"
   end
   local names = {}
   for name in pairs(value) do names[#names + 1] = name end
   table.sort(names)
   for i, name in ipairs(names) do parts[i] = quoted(name) .. ": " .. encode(value[name], inner) end
   if #parts == 0 then return "{}" end
   return "{\n" .. inner .. table.concat(parts, ",\n" .. inner) .. "\n" .. indent .. "}"
end

function json.encode(value) return encode(value, "") end

return json
