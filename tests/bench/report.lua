-- report.lua: medians, goals, and how the figures are shown, as tables or as JSON.
-- It measures nothing and keeps nothing.

local report = {}

function report.median(values)
   local sorted = table.move(values, 1, #values, 1, {})
   table.sort(sorted)
   local n = #sorted
   if n == 0 then
      return nil
   end
   return (sorted[(n + 1) // 2] + sorted[n // 2 + 1]) / 2
end

-- How far apart the rounds were, in parts of their median.
function report.spread(values)
   local median = report.median(values)
   if not median or median == 0 then
      return nil
   end
   return (math.max(table.unpack(values)) - math.min(table.unpack(values))) / median
end

-- The median of the ratios of each round: what shook a whole round cancels out.
function report.ratio(values, reference)
   local ratios = {}
   for i = 1, math.min(#values, #reference) do
      ratios[i] = values[i] / reference[i]
   end
   return report.median(ratios)
end

function report.met(value, goal)
   return value and goal and value <= goal
end

local function with_commas(text)
   local count
   repeat
      text, count = text:gsub("^(%d+)(%d%d%d)", "%1,%2")
   until count == 0
   return text
end

-- A figure with about three digits that count, as a person would write it.
function report.figure(value)
   if not value then
      return ""
   elseif value >= 100 then
      return with_commas(("%.0f"):format(value))
   elseif value >= 10 then
      return ("%.1f"):format(value)
   end
   return ("%.2f"):format(value)
end

function report.percent(value)
   return value and ("%.0f %%"):format(value * 100) or ""
end

function report.verdict(value, goal, name)
   if not goal then
      return ""
   end
   local text = ("%sat most %s"):format(name and name .. " " or "", ("%.2f"):format(goal):gsub("%.?0+$", ""))
   return not value and text or text .. (report.met(value, goal) and ": met" or ": MISSED")
end

-- Rows of strings, the first one the heading; the first column and the last stand left, figures right.
-- A column in which no row has anything is left out.
function report.table(rows)
   local widths, used = {}, {}
   for r, row in ipairs(rows) do
      for c, cell in ipairs(row) do
         widths[c] = math.max(widths[c] or 0, utf8.len(cell))
         used[c] = used[c] or r > 1 and cell ~= ""
      end
   end
   local lines = {}
   for _, row in ipairs(rows) do
      local cells = {}
      for c, cell in ipairs(row) do
         if used[c] then
            local pad = (" "):rep(widths[c] - utf8.len(cell))
            cells[#cells + 1] = (c == 1 or c == #rows[1]) and cell .. pad or pad .. cell
         end
      end
      lines[#lines + 1] = (table.concat(cells, "  "):gsub("%s+$", ""))
   end
   return table.concat(lines, "\n")
end

local function json_string(text)
   return '"' .. text:gsub('[%c"\\]', function(c)
      return ("\\u%04x"):format(c:byte())
   end) .. '"'
end

-- JSON with sorted names, so that two runs can be compared line by line. A table with a first item,
-- or without anything, is a list.
function report.json(value, indent)
   indent = indent or ""
   if type(value) == "number" then
      return math.type(value) == "integer" and tostring(value) or ("%.6g"):format(value)
   elseif type(value) == "string" then
      return json_string(value)
   elseif type(value) ~= "table" then
      return tostring(value)
   end
   local inner, parts = indent .. "  ", {}
   if #value > 0 or next(value) == nil then
      local simple = type(value[1]) ~= "table"
      for i, item in ipairs(value) do
         parts[i] = report.json(item, inner)
      end
      return simple and "[" .. table.concat(parts, ", ") .. "]"
         or "[\n" .. inner .. table.concat(parts, ",\n" .. inner) .. "\n" .. indent .. "]"
   end
   local names = {}
   for name in pairs(value) do
      names[#names + 1] = name
   end
   table.sort(names)
   for i, name in ipairs(names) do
      parts[i] = inner .. json_string(name) .. ": " .. report.json(value[name], inner)
   end
   return "{\n" .. table.concat(parts, ",\n") .. "\n" .. indent .. "}"
end

return report
