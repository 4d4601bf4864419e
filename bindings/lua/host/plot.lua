-- plot.lua: bar charts as an SVG picture: one small chart for each figure, a bar for each driver.
--
-- Promises: readable on light and on dark ground, with and without style sheets: what a renderer does not know of CSS
-- it finds as attributes, in the light colours; no font, no file from elsewhere.
local WIDTH, COLUMNS, MARGIN, GAP = 960, 2, 32, 40
local BAR, ROW, TITLE = 18, 28, 34 -- heights: of a bar, from one to the next, of a chart's title
local HEAD = 84

local LIGHT = {ground = "#ffffff", text = "#1f2328", quiet = "#59636e", bar = "#8fb4e3", best = "#2f6fc4",
               track = "#eef1f5", spread = "#1f2328"}
local DARK = {ground = "#11151c", text = "#e6edf3", quiet = "#9aa5b1", bar = "#3d5f8f", best = "#6ea8fe",
              track = "#1c222c", spread = "#e6edf3"}

local function escape(text)
   return (text:gsub("[&<>\"']", {["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;", ["'"] = "&apos;"})
      :gsub("%c", " "))
end

local function style()
   local lines = {}
   for _, theme in ipairs({{LIGHT, "%s"}, {DARK, "@media (prefers-color-scheme: dark) { %s }"}}) do
      local rules = {}
      for name, color in pairs(theme[1]) do rules[#rules + 1] = (".%s { fill: %s; }"):format(name, color) end
      table.sort(rules)
      lines[#lines + 1] = theme[2]:format(table.concat(rules, " "))
   end
   return "<style>\n" .. table.concat(lines, "\n") .. "\n</style>"
end

local function rectangle(class, x, y, width, height, radius)
   return ('<rect class="%s" fill="%s" x="%.1f" y="%.1f" width="%.1f" height="%.1f" rx="%g"/>'):format(class,
      LIGHT[class], x, y, width, height, radius or 0)
end

local function text(class, x, y, size, words, more)
   return ('<text class="%s" fill="%s" x="%.1f" y="%.1f" font-size="%d"%s>%s</text>'):format(class, LIGHT[class], x, y,
      size, more or "", escape(words))
end

-- About how wide a text is; there is no way to ask.
local function width_of(words, size) return (utf8.len(words) or #words) * size * 0.6 end

-- The whiskers: where the middle half of the runs lies.
local function whiskers(out, bar, x, y, scale)
   if not bar.low or bar.high <= bar.low then return end
   local from, to, middle = x + bar.low * scale, x + bar.high * scale, y + BAR / 2
   out(rectangle("spread", from, middle - 0.5, math.max(to - from, 1), 1))
   out(rectangle("spread", from - 0.5, middle - 4, 1, 8))
   out(rectangle("spread", to - 0.5, middle - 4, 1, 8))
end

local function draw(out, chart, x, y, width)
   local names, labels, most, best = 0, 0, 0, nil
   for _, bar in ipairs(chart) do
      names = math.max(names, width_of(bar.name, 13))
      labels = math.max(labels, width_of(bar.label, 13))
      if bar.value then
         most = math.max(most, bar.value, bar.high or 0)
         best = math.min(best or bar.value, bar.value)
      end
   end
   local left, right = x + names + 10, x + width - labels - 10
   local scale = most > 0 and (right - left) / most or 0
   out(text("text", x, y + 14, 15, chart.title, ' font-weight="600"'))
   for i, bar in ipairs(chart) do
      local top = y + TITLE + (i - 1) * ROW
      out(text("text", left - 10, top + 13, 13, bar.name, ' text-anchor="end"'))
      out(rectangle("track", left, top, right - left, BAR, 3))
      if bar.value then
         local class = bar.value == best and "best" or "bar"
         if bar.value > 0 then out(rectangle(class, left, top, math.max(bar.value * scale, 2), BAR, 3)) end
         whiskers(out, bar, left, top, scale)
      end
      out(text("text", x + width, top + 13, 13, bar.label, ' text-anchor="end"'))
   end
end

-- title, subtitle: strings. charts: {{title=, {name=, label=, value=, low=, high=}, …}, …}; value nil: not known.
local function plot(title, subtitle, charts)
   local lines = {}
   local function out(line) lines[#lines + 1] = line end
   local width = (WIDTH - 2 * MARGIN - GAP * (COLUMNS - 1)) / COLUMNS
   local tall = TITLE + #(charts[1] or {}) * ROW + GAP - 8
   local height = HEAD + (#charts + COLUMNS - 1) // COLUMNS * tall
   out(('<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 %d %d" width="%d" height="%d" '
      .. 'font-family="system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif">')
      :format(WIDTH, height, WIDTH, height))
   out("<title>" .. escape(title) .. "</title>")
   out(style())
   out(rectangle("ground", 0, 0, WIDTH, height))
   out(text("text", MARGIN, 42, 20, title, ' font-weight="600"'))
   out(text("quiet", MARGIN, 64, 13,
      subtitle .. "; less is better, the least stands out; lines: the middle half of the runs"))
   for i, chart in ipairs(charts) do
      draw(out, chart, MARGIN + (i - 1) % COLUMNS * (width + GAP), HEAD + (i - 1) // COLUMNS * tall, width)
   end
   out("</svg>\n")
   return table.concat(lines, "\n")
end

return plot
