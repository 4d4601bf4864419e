-- connect_name.lua: connecting to a host by its name (RFC 8305, "happy eyeballs").
--
-- The addresses that it has are tried in the system's order, families in turn, each a quarter of a second after the one
-- before or as soon as that has failed. The first that answers is taken, and the others are given up.
local saros = ...

local APART <const> = 0.25

local function in_turn(list)
   local same, other, order = {}, {}, {}
   for _, address in ipairs(list) do
      local side = address.family == list[1].family and same or other
      side[#side + 1] = address
   end
   for i = 1, math.max(#same, #other) do
      if same[i] then order[#order + 1] = same[i] end
      if other[i] then order[#order + 1] = other[i] end
   end
   return order
end

-- The first stream that has come; closed where the caller is cancelled before it has it.
local Won = {__metatable = false}

function Won:__close()
   if self.stream and not self.taken then self.stream:close() end
end

local function try(won, i, address, options)
   local stream, message, code = saros.connect({host = address.host, port = address.port}, options)
   if not stream then
      won.failures[i] = {message = message:gsub("^connect ", ""), code = code}
   elseif won.stream then
      stream:close() -- two in one turn
   else
      won.stream = stream
      won.group:cancel()
   end
   won.ended:set()
end

return function(name, options)
   local host, port = name:match("^(.*):(%d+)$")
   local list, message, code = saros.resolve(host, math.tointeger(port))
   if not list then return nil, message:gsub("^resolve .*: ", "connect " .. name .. ": "), code end
   local won <close> = setmetatable({failures = {}}, Won)
   saros.group(function(group)
      won.group = group
      for i, address in ipairs(in_turn(list)) do
         won.ended = saros.event()
         group:spawn(try, won, i, address, options)
         saros.timeout(APART, won.ended.wait, won.ended)
      end
   end)
   if won.stream then
      won.taken = true
      return won.stream
   end
   local messages = {}
   for i, failure in ipairs(won.failures) do messages[i] = failure.message end
   return nil, ("connect %s: %s"):format(name, table.concat(messages, "; ")), won.failures[1].code
end
