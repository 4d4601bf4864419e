-- udp_name.lua: datagrams to a host that is given by its name.
--
-- The name is looked up each time: a cache is not ours to invent. The first of its addresses that the socket can reach
-- (a socket of one family alone cannot reach the other) is taken.
local saros = ...

return function(socket, method, name, ...)
   local host, port = name:match("^(.*):(%d+)$")
   local list, message, code = saros.resolve(host, math.tointeger(port))
   if not list then return nil, message:gsub("^resolve .*: ", method .. " " .. name .. ": "), code end
   local done
   for _, address in ipairs(list) do
      local to = {host = address.host, port = address.port}
      if method == "send" then done, message, code = socket:send(..., to)
      else done, message, code = socket:connect(to) end
      if done or code ~= "EAFNOSUPPORT" then break end
   end
   return done, message, code
end
