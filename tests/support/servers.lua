-- servers.lua: real programs as peers of a test: nginx, redis-server, socat, whatever listens or connects.
--
--    local server <close> = servers.start({"redis-server", "--port", "7001"}, address, folder)
--
-- Owns the process: it is gone when the variable is left, in whatever way, and timeout(1) ends one whose test died.
-- Promises: `start` returns when the server takes connections, or raises with what it wrote.

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

-- Politely at first: timeout(1) passes that on.
function Server:__close()
   saros.shield(function()
      self.process:kill("SIGTERM")
      if not saros.timeout(10, self.process.wait, self.process) then self.process:kill("SIGKILL") end
      self.process:close()
   end)
end

-- Runs a program; what it writes is in the file "output" of the folder.
function servers.run(words, folder)
   if kit.lacks("sockets") then kit.skip(kit.lacks("sockets")) end
   local output <close> = assert(io.open(folder.name .. "/output", "ab"))
   local command = {"timeout", "120", stdin = "null", stdout = output, stderr = "stdout"}
   table.move(words, 1, #words, 3, command)
   local process, message, code = saros.process.spawn(command)
   if not process and code == "ENOSYS" then kit.skip(message) end
   return setmetatable({process = assert(process, message), folder = folder}, {__close = Server.__close})
end

-- Runs a program that listens at the address, and waits until somebody can connect.
function servers.start(words, address, folder)
   local server = servers.run(words, folder)
   server.address = address
   local ended = saros.spawn(server.process.wait, server.process)
   local deadline = saros.now() + 20
   repeat
      local stream = saros.connect(address)
      if stream then
         stream:close()
         ended:cancel()
         return server
      end
      saros.sleep(0.01)
   until ended:done() or saros.now() > deadline
   ended:cancel()
   Server.__close(server)
   error("it did not begin to listen: " .. kit.slurp(folder.name .. "/output"), 0)
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
   return servers.start({nginx, "-e", "stderr", "-p", folder.name .. "/", "-c", "nginx.conf"}, address, folder)
end

-- Debian has redis-server in a package that starts a service; the program itself is in another one, as redis-check-rdb,
-- and does what the name says that it is called by.
function servers.redis(folder)
   local program, name = servers.need("redis-check-rdb"), folder.name .. "/redis-server"
   kit.shell(("ln -sf %s %s"):format(kit.quote(program), kit.quote(name)))
   local address = kit.free_address()
   return servers.start({name, "--bind", "127.0.0.1", "--port", address:match("%d+$"), "--save", "", "--appendonly", "no",
      "--daemonize", "no", "--dir", folder.name, "--unixsocket", folder.name .. "/socket"}, address, folder)
end

return servers
