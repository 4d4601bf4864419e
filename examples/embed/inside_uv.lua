-- inside_uv.lua: a server and three clients, in a program whose loop is libuv's; inside_uv.c starts main.
local saros = require "saros"

answers = 0

local function echo(stream)
   for line in stream:lines "L" do
      saros.sleep(0.002)
      stream:write(line)
   end
end

local function client(address, name)
   local stream <close> = assert(saros.connect(address))
   for i = 1, 10 do
      local question = name .. " " .. i
      assert(stream:write(question, "\n"))
      if stream:read() == question then answers = answers + 1 end
      saros.sleep(0.01)
   end
end

function main()
   local server = assert(saros.serve("127.0.0.1:0", echo))
   saros.gather(
      function() client(server:address(), "Ann") end,
      function() client(server:address(), "Bob") end,
      function() client(server:address(), "Eve") end
   )
   server:shutdown(1)
end
