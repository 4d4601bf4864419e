-- servers.lua: real servers as child processes of a test: nginx, redis-server, whatever listens.
--
--    local server <close> = servers.start("exec redis-server --port 7001", address)
--
-- Owns the process and its folder: both are gone when the variable is left, in whatever way; a process whose test died is
-- ended by timeout(1) after two minutes. Promises: `start` returns when the server takes connections, or raises with what
-- it wrote.

local saros = require "saros"

local kit = require "support.kit"

local servers = {}

local root = debug.getinfo(1, "S").source:match("^@(.*)tests[/\\]support[/\\]") or ""

-- The program of that name: installed, or unpacked by scripts/test. Ends the case as pending where there is none.
function servers.need(name)
   if kit.lacks("sockets") then kit.skip(kit.lacks("sockets")) end
   local words = kit.quote(name) .. " " .. kit.quote(root .. "build/servers/usr/sbin/" .. name)
   local output, _, code = kit.shell(("for name in %s; do command -v \"$name\" && exit 0; done; exit 1"):format(words))
   if code ~= 0 then kit.skip(name .. " is not installed") end
   local path = output:match("[^\n]+")
   return path:match("^/") and path or (kit.shell("pwd"):gsub("\n$", "/") .. path)
end

-- A new folder, which a <close> variable removes.
function servers.folder()
   local output = kit.shell("mktemp -d")
   local name = assert(output:match("^(/[^\n]+)\n$"), output)
   return setmetatable({name = name}, {__close = function() kit.shell("rm -rf " .. kit.quote(name)) end})
end

function servers.write(folder, name, text)
   local file <close> = assert(io.open(folder.name .. "/" .. name, "wb"))
   assert(file:write(text))
end

local Server = {}

function Server:__close()
   os.execute("kill -TERM " .. self.pid .. " 2>/dev/null")
   self.output = self.pipe:read("a")
   self.pipe:close()
end

-- Waits until somebody listens there.
local function await_listener(self, address)
   local deadline = saros.now() + 20
   while true do
      local stream = saros.connect(address)
      if stream then return stream:close() end
      local gone = select(3, kit.shell("kill -0 " .. self.pid .. " 2>/dev/null")) ~= 0
      if gone or saros.now() > deadline then
         Server.__close(self)
         error("it did not begin to listen: " .. self.output, 0)
      end
      saros.sleep(0.02)
   end
end

function servers.start(command, address)
   local pipe = assert(io.popen("echo $$; exec timeout 120 sh -c " .. kit.quote("exec " .. command) .. " 2>&1"))
   local self = {pipe = pipe, pid = assert(math.tointeger(pipe:read("n", "l"))), address = address}
   await_listener(self, address)
   return setmetatable(self, Server)
end

-- nginx with these `locations`, in a folder of its own.
function servers.nginx(folder, locations)
   local nginx = servers.need("nginx")
   local address = kit.free_address()
   servers.write(folder, "nginx.conf", ([[
daemon off; master_process off; pid nginx.pid; error_log stderr;
events { worker_connections 1024; }
http {
   access_log off;
   client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4; scgi_temp_path t5;
   server { listen %s backlog=1024; root %s; %s }
}
]]):format(address, folder.name, locations))
   return servers.start(("%s -e stderr -p %s -c nginx.conf"):format(kit.quote(nginx), kit.quote(folder.name .. "/")), address)
end

-- Debian has redis-server in a package that starts a service; the program itself is in another one, as redis-check-rdb,
-- and does what the name says that it is called by.
function servers.redis(folder)
   local program = kit.quote(servers.need("redis-check-rdb"))
   local name = kit.quote(folder.name .. "/redis-server")
   kit.shell(("ln -sf %s %s"):format(program, name))
   local address = kit.free_address()
   return servers.start(("%s --bind 127.0.0.1 --save '' --appendonly no --daemonize no --port %s --dir %s"):format(name,
      address:match("%d+$"), kit.quote(folder.name)), address)
end

return servers
