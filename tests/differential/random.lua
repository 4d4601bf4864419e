-- random.lua: chance from a seed, the same on every machine.
--
-- random(seed) returns an object; draw:number(n) is 1..n, draw:between(a, b), draw:one(list), draw:chance(percent).
local Draw = {}
Draw.__index = Draw

function Draw:number(n)
   self.state = self.state * 6364136223846793005 + 1442695040888963407
   return (self.state >> 33) % n + 1
end

function Draw:between(a, b) return a + self:number(b - a + 1) - 1 end
function Draw:one(list) return list[self:number(#list)] end
function Draw:chance(percent) return self:number(100) <= percent end

-- Lower-case letters and blanks, with a letter at both ends.
function Draw:text(least, most)
   local letters = {}
   for i = 1, self:between(least, most) do letters[i] = string.char(96 + self:number(26)) end
   for i = 2, #letters - 1 do
      if self:chance(15) then letters[i] = " " end
   end
   return table.concat(letters)
end

return function(seed)
   local draw = setmetatable({ state = seed * 2654435761 + 97 }, Draw)
   for _ = 1, 4 do draw:number(2) end -- neighbouring seeds drift apart
   return draw
end
