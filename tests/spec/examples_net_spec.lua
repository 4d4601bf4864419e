-- examples_net_spec.lua: the programs in examples/ that need others on the network, each as a child process.

local saros = require "saros"

local kit = require "support.kit"
local servers = require "support.servers"
require("support.leaks")(before_each, after_each)

local root = debug.getinfo(1, "S").source:match("^@(.*)tests[/\\]spec[/\\]") or ""
local it_reaches_others = kit.needs("sockets", it, pending)

-- The service has descriptors of its own until the loop closes.
if not kit.lacks("sockets") then saros.resolve("127.0.0.1", "80") end

-- Runs an example on this run's driver, while this loop goes on: what it wrote, and its exit code.
local function run(name, ...)
   local result, message, code = saros.process.run{kit.host, "--driver", kit.driver, root .. "examples/" .. name .. ".lua",
      stderr = "stdout", timeout = 60, ...}
   if code == "ENOSYS" then kit.skip(message) end
   assert(result, message)
   return result.stdout, result.code
end

describe("examples: scan", function()
   it_reaches_others("finds the ports that are open, and no others, whatever the limit", function()
      -- Where it scans there is nobody else: other specs that run at the same time do not expect it.
      local first <close> = saros.listen("127.9.9.9:0") or assert(saros.listen("127.0.0.1:0")) -- not all systems have it
      local host = first:address():match("^[^:]+")
      local second <close> = assert(saros.listen(host .. ":0"))
      local function port_of(listener) return math.tointeger(tonumber(listener:address():match("%d+$"))) end
      for i, limit in ipairs{"1", "50"} do
         local port = port_of(({first, second})[i])
         local output, code = run("scan", host, math.max(port - 20, 1), math.min(port + 20, 65535), limit)
         assert.are.equal(0, code, output)
         assert.is_truthy(output:match("^" .. host:gsub("%.", "%%.") .. ": %d+ of %d+ ports are open\n"), output)
         assert.is_truthy(output:find("\n   " .. port .. "\n", 1, true), output)
      end
   end)

   it_reaches_others("says how it is used where it is not told enough, and fails", function()
      local output, code = run("scan", "127.0.0.1")
      assert.are.equal(2, code)
      assert.is_truthy(output:match("^usage: "), output)
   end)
end)

describe("examples: download", function()
   local function numbered(size)
      local pieces = {}
      for i = 1, size // 10 do pieces[i] = ("%09d\n"):format(i) end
      return table.concat(pieces)
   end

   it_reaches_others("fetches several files at once from nginx, whole and in pieces, with a bar for each", function()
      local folder <close> = servers.folder()
      local into <close> = servers.folder()
      local large, small = numbered(3000000), numbered(500)
      servers.write(folder, "large.txt", large)
      servers.write(folder, "small.txt", small)
      servers.write(folder, "empty.txt", "")
      local nginx <close> = servers.nginx(folder, "location /old/ { return 302 /small.txt; }")
      local url = "http://" .. nginx.address
      for _, pieces in ipairs{"1", "3"} do
         local output, code = run("download", "-p", pieces, "-n", "2", "-o", into.name, url .. "/large.txt", url .. "/small.txt",
            url .. "/empty.txt", url .. "/old/moved.txt")
         assert.are.equal(0, code, output)
         local bars = {}
         for line in output:gsub("\27%[%d*%a", ""):gmatch("[^\r\n]+") do
            local name, percent = line:match("(%w+%.txt) +%[[=> ]+%] +(%d+) %%")
            if name then bars[name] = percent end
         end
         assert.are.same({["large.txt"] = "100", ["small.txt"] = "100", ["empty.txt"] = "100", ["moved.txt"] = "100"}, bars)
         assert.is_true(kit.slurp(into.name .. "/large.txt") == large)
         assert.is_true(kit.slurp(into.name .. "/small.txt") == small)
         assert.are.equal("", kit.slurp(into.name .. "/empty.txt"))
         assert.is_true(kit.slurp(into.name .. "/moved.txt") == small)
      end
   end)

   it_reaches_others("reads chunks, and says what is wrong: a missing file, an end that comes too early", function()
      local into <close> = servers.folder()
      local server <close> = assert(saros.serve("127.0.0.1:0", function(stream)
         local head = stream:read_until("\r\n\r\n")
         if head:find("^GET /chunks") then
            stream:write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for i = 1, 50 do stream:write(("%x;extension\r\n"):format(i), ("x"):rep(i), "\r\n") end
            stream:write("0\r\n\r\n")
         elseif head:find("^GET /short") then
            stream:write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nnot a hundred")
         else
            stream:write("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
         end
      end))
      local url = "http://" .. server:address()
      local output, code = run("download", "-o", into.name, url .. "/chunks")
      assert.are.equal(0, code, output)
      assert.are.equal(50 * 51 // 2, #kit.slurp(into.name .. "/chunks"))
      output, code = run("download", "-o", into.name, url .. "/missing", url .. "/chunks", url .. "/short", "ftp://x/y")
      assert.are.equal(1, code)
      assert.is_truthy(output:find("download: " .. url .. "/missing: HTTP/1.1 404 Not Found\n", 1, true), output)
      assert.is_truthy(output:find("download: " .. url .. "/short: the connection ended too early\n", 1, true), output)
      assert.is_truthy(output:find("download: ftp://x/y: http://HOST/PATH expected\n", 1, true), output)
      assert.is_nil(output:find("traceback", 1, true), output)
      assert.are.equal(50 * 51 // 2, #kit.slurp(into.name .. "/chunks"))
   end)

   it_reaches_others("speaks TLS with those who can show who they are, and with no others", function()
      local files = saros._tls.info and require("support.certificates").make()
      if not files then kit.skip("no OpenSSL here") end
      local _ <close> = setmetatable({}, {__close = files.remove})
      local into <close> = servers.folder()
      local server <close> = assert(saros.serve("127.0.0.1:0", function(stream)
         stream:read_until("\r\n\r\n")
         stream:write("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret")
      end, {tls = {cert = files.server, key = files.server_key}}))
      local words = {kit.host, "--driver", kit.driver, root .. "examples/download.lua", "-o", into.name,
         "https://" .. server:address() .. "/file", stderr = "stdout", timeout = 60}
      local refused = assert(saros.process.run(words))
      assert.are.equal(1, refused.code)
      assert.matches("download: https://[^\n]*certificate", refused.stdout)
      words.env = {SSL_CERT_FILE = files.ca, PATH = os.getenv("PATH"), ASAN_OPTIONS = os.getenv("ASAN_OPTIONS")}
      local fetched = assert(saros.process.run(words))
      assert.are.equal(0, fetched.code, fetched.stdout)
      assert.are.equal("secret", kit.slurp(into.name .. "/file"))
   end)
end)
