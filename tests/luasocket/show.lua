-- show.lua: how the programs beside it print: what must be the same for LuaSocket and for saros.socket, and nothing else.
local part = ("n"):rep(63)

local M = {nobody = part .. ("." .. part):rep(3)} -- too long by two: the system need not ask for it

function M.show(...)
   local words = table.pack(...)
   for i = 1, words.n do
      local text = tostring(words[i])
      words[i] = text:match("^tcp{%l+}") or text:match("^udp{%l+}") or text:gsub("^table: .*", "table")
   end
   print(table.concat(words, " "))
end

-- The message of a wrong call names its argument in the one or the other way.
function M.refused(...)
   local ok, message = pcall(...)
   M.show(ok, (tostring(message):match("%b()")))
end

function M.port_of(object) return (select(2, object:getsockname())) end

return M
