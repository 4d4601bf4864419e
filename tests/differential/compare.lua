-- compare.lua: what a run of a program came to, in terms that are the same everywhere; and how two runs differ.
--
-- A result is {lanes = {name = {entry…}}, names = sorted names, hung =}. An entry is {step =, kind =, text =}. What is
-- told on standard error is the lane "reports", sorted, as its order is that of chance; the exit code is the lane "exit".

-- A report's first line without places, numbers of tasks, addresses.
local function report_of(line)
   local text = line:match("^saros: (.*)$")
   if not text then return nil end
   text = text:gsub("%(spawned at [^)]*%) ", ""):gsub(" %([^()]*:%d+%)", ""):gsub("0x%x+", "0xADDRESS")
      :gsub("task%-%d+", "task-N"):gsub("unix:%S*/", "unix:"):gsub("(127%.0%.0%.1):%d+", "%1:PORT")
      :gsub("(%[::1%]):%d+", "%1:PORT"):gsub("[%w_./-]+%.lua:%d+:", "PLACE:")
   local head, names = text:match("^(.-cancelled %d+ tasks?: )(.*)$")
   if head then
      local sorted = {}
      for name in names:gmatch("[^,]+") do sorted[#sorted + 1] = name:match("^%s*(.-)%s*$") end
      table.sort(sorted)
      text = head .. table.concat(sorted, ", ")
   end
   return text
end

-- output, errors: what was written on the two channels; code: the exit code, or "signal 6".
local function result_of(output, errors, code)
   local lanes, names, reports = {}, {}, {}
   local function add(lane, step, kind, text)
      if not lanes[lane] then
         lanes[lane] = {}
         names[#names + 1] = lane
      end
      table.insert(lanes[lane], { step = step, kind = kind, text = text })
   end
   for line in output:gmatch("[^\n]+") do
      local lane, step, kind, text = line:match("^([^|]*)|([^|]*)|([^|]*)|(.*)$")
      if lane then add(lane, tonumber(step), kind, text)
      else add("output", nil, "output", line) end
   end
   for line in errors:gmatch("[^\n]+") do
      local text = report_of(line)
      if text then reports[#reports + 1] = text end
      if line:find("Sanitizer", 1, true) or line:find("runtime error:", 1, true) then reports[#reports + 1] = "a sanitizer's" end
   end
   table.sort(reports)
   for _, text in ipairs(reports) do add("reports", nil, "report", text) end
   add("exit", nil, "exit", tostring(code))
   table.sort(names)
   return { lanes = lanes, names = names, hung = code == 124 or code == 137 }
end

-- What is wrong with a result by itself: a program that does not come to its end compares nothing.
local function incomplete(result)
   if result.hung then return "it hangs" end
   for _, name in ipairs(result.names) do
      local entries = result.lanes[name]
      local last = entries[#entries]
      if name:find("^lane %d+$") and (last.kind ~= "end" or last.text ~= '"ok"') then
         return ("%s ends with %s: %s"):format(name, last.kind, last.text)
      end
   end
   return nil
end

local function union(a, b)
   local seen, names = {}, {}
   for _, list in ipairs({ a.names, b.names }) do
      for _, name in ipairs(list) do
         if not seen[name] then names[#names + 1] = name end
         seen[name] = true
      end
   end
   table.sort(names)
   return names
end

local function without(entries, kinds)
   local left = {}
   for _, entry in ipairs(entries or {}) do
      if not kinds[entry.kind] then left[#left + 1] = entry end
   end
   return left
end

local function equal(a, b)
   if #a ~= #b then return false end
   for i = 1, #a do
      if a[i].step ~= b[i].step or a[i].kind ~= b[i].kind or a[i].text ~= b[i].text then return false end
   end
   return true
end

-- The names of the lanes that differ, entries of the kinds in the set `allowed` left out.
local function differing(a, b, allowed)
   local names = {}
   for _, name in ipairs(union(a, b)) do
      if not equal(without(a.lanes[name], allowed), without(b.lanes[name], allowed)) then names[#names + 1] = name end
   end
   return names
end

-- Does any entry of this kind differ?
local function differs_in(a, b, kind)
   for _, name in ipairs(union(a, b)) do
      local function of(entries)
         local left = {}
         for _, entry in ipairs(entries or {}) do
            if entry.kind == kind then left[#left + 1] = entry end
         end
         return left
      end
      if not equal(of(a.lanes[name]), of(b.lanes[name])) then return true end
   end
   return false
end

local WIDTH = 58
local function cut(text) return #text > WIDTH and text:sub(1, WIDTH - 1) .. "…" or text .. (" "):rep(WIDTH - #text) end

-- The lanes of the two, side by side; a mark where they part.
local function side_by_side(names, title_a, a, title_b, b)
   local lines = {}
   for _, name in ipairs(names) do
      lines[#lines + 1] = ("   %s | %s"):format(cut(name .. " on " .. title_a), title_b)
      local left, right = a.lanes[name] or {}, b.lanes[name] or {}
      for i = 1, math.max(#left, #right) do
         local function text(entry) return entry and ("%s %s: %s"):format(entry.step or "", entry.kind, entry.text) or "" end
         local l, r = text(left[i]), text(right[i])
         lines[#lines + 1] = (l == r and "   %s | %s" or " > %s | %s"):format(cut(l), r)
      end
   end
   return table.concat(lines, "\n")
end

return { result_of = result_of, incomplete = incomplete, differing = differing, differs_in = differs_in,
         side_by_side = side_by_side }
