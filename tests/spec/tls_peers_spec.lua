-- tls_peers_spec.lua: TLS between us and programs of others: openssl, curl, nginx, Python's ssl.

local saros = require "saros"

local kit = require "support.kit"
local servers = require "support.servers"
local files = saros._tls.info and not kit.lacks("sockets") and require("support.certificates").make()
require("support.leaks")(before_each, after_each)

if not files then
   describe("TLS with programs of others", function() pending("(no OpenSSL, or no sockets, here)") end)
   return
end
teardown(files.remove)
saros.resolve("127.0.0.1", "80") -- the service has descriptors of its own until the loop closes, from now on

local TLS <const> = {cert = files.server, key = files.server_key}

-- Runs a program to its end: what it wrote on both channels, and its exit code.
local function run(words)
   words.stderr, words.timeout = "stdout", 20
   local result, message, code = saros.process.run(words)
   if not result and code == "ENOSYS" then kit.skip(message) end
   return assert(result, message).stdout, result.code
end

local function upper(stream)
   local line = stream:read()
   if line then stream:write(line:upper(), "\n") end
end

local function port_of(server) return server:address():match(":(%d+)$") end

local function free_port() return kit.free_address():match(":(%d+)$") end

describe("openssl s_client", function()
   local function client(server, input, ...)
      return run{"openssl", "s_client", "-connect", server:address(), "-CAfile", files.ca, "-verify_return_error", "-no_ign_eof",
         "-nocommands", input = input, ...}
   end

   it("talks to a server of ours, in each version", function()
      servers.need("openssl")
      local server <close> = assert(saros.serve("127.0.0.1:0", upper, {tls = TLS}))
      for _, version in ipairs{"-tls1_2", "-tls1_3"} do
         local output = client(server, "hello\n", version, "-ign_eof", "-servername", "localhost")
         assert.is_truthy(output:find("Verify return code: 0 (ok)", 1, true), output)
         assert.is_truthy(output:find("HELLO\n", 1, true), output)
      end
      local output = client(server, "", "-tls1_1")
      assert.is_truthy(output:find("no protocols available", 1, true) or output:find("alert protocol version", 1, true), output)
      server:shutdown(1)
   end)

   it("is refused a renegotiation, and does not break us by asking", function()
      servers.need("openssl")
      local answers = saros.queue()
      local server <close> = assert(saros.serve("127.0.0.1:0", function(stream)
         answers:put({stream:read()})
         answers:put({stream:read()})
      end, {tls = {cert = files.server, key = files.server_key, max_version = "1.2"}}))
      local output = run{"sh", "-c", ("(printf 'before\\n'; sleep 0.3; printf 'R\\n'; sleep 0.3)"
         .. "| openssl s_client -connect %s -tls1_2 -CAfile %s 2>&1"):format(server:address(), files.ca)}
      assert.are.same({"before"}, answers:get())
      assert.is_truthy(output:find("RENEGOTIATING", 1, true), output)
      assert.is_truthy(output:find("no renegotiation", 1, true), output)
      local last = answers:get()
      assert.is_truthy(last[1] == nil, "what it took for a command never came as data")
      server:shutdown(1)
   end)

   it("asks for new keys, and goes on with them", function()
      servers.need("openssl")
      local server <close> = assert(saros.serve("127.0.0.1:0", function(stream)
         for line in stream:lines() do
            if line ~= "" then stream:write("heard ", line, "\n") end
         end
      end, {tls = TLS}))
      local output = run{"sh", "-c", ("(for word in one K two K three; do echo $word; sleep 0.2; done)"
         .. "| openssl s_client -connect %s -tls1_3 -CAfile %s 2>&1"):format(server:address(), files.ca)}
      assert.is_truthy(output:find("KEYUPDATE", 1, true), output)
      for _, word in ipairs{"one", "two", "three"} do assert.is_truthy(output:find("heard " .. word, 1, true), output) end
      server:shutdown(1)
   end)

   it("resumes its session with tickets", function()
      servers.need("openssl")
      local server <close> = assert(saros.serve("127.0.0.1:0", upper, {tls = TLS}))
      local output = client(server, "x\n", "-tls1_2", "-reconnect", "-ign_eof")
      local _, count = output:gsub("Reused, TLSv1%.2", "")
      assert.is_true(count >= 4, output)
      server:shutdown(1)
   end)

   it("shows its certificate, or is refused", function()
      servers.need("openssl")
      local names = saros.queue()
      local server <close> = assert(saros.serve("127.0.0.1:0", function(stream)
         names:put(stream:tls_info().peer.subject)
         upper(stream)
      end, {tls = {cert = files.server, key = files.server_key, ca = files.ca}}))
      local output = client(server, "hello\n", "-ign_eof", "-cert", files.client, "-key", files.client_key)
      assert.is_truthy(output:find("HELLO", 1, true), output)
      assert.are.equal("CN=client", names:get())
      output = client(server, "hello\n", "-ign_eof")
      assert.is_truthy(output:find("alert certificate required", 1, true), output)
      server:shutdown(1)
   end)
end)

describe("openssl s_server", function()
   local function start(folder, ...)
      local port = free_port()
      local words = {"openssl", "s_server", "-accept", "127.0.0.1:" .. port, "-cert", files.server, "-key", files.server_key, "-quiet", ...}
      return servers.start(words, "127.0.0.1:" .. port, folder)
   end

   it("answers a client of ours", function()
      servers.need("openssl")
      local folder <close> = servers.folder()
      local peer <close> = start(folder, "-rev")
      for _, version in ipairs{"1.2", "1.3"} do
         local stream <close> = assert(saros.connect(peer.address, {tls = {ca = files.ca, max_version = version}}))
         assert.are.equal("TLSv" .. version, stream:tls_info().version)
         stream:write("olleh\n")
         assert.are.equal("hello", stream:read())
      end
   end)

   it("asks for a certificate, agrees on a protocol, resumes", function()
      servers.need("openssl")
      local folder <close> = servers.folder()
      local peer <close> = start(folder, "-rev", "-Verify", "1", "-CAfile", files.ca, "-verify_return_error", "-alpn", "saros,other")
      local own = assert(saros.tls.context{ca = files.ca, cert = files.client, key = files.client_key, max_version = "1.2"})
      local stream <close> = assert(saros.connect(peer.address, {tls = {context = own, alpn = {"x", "saros"}}}))
      stream:write("olleh\n")
      assert.are.equal("hello", stream:read())
      assert.are.equal("saros", stream:tls_info().alpn)
      local session = stream:tls_session()
      stream:close() -- it serves one at a time
      local again <close> = assert(saros.connect(peer.address, {tls = {context = own, session = session}}))
      assert.is_true(again:tls_info().reused)
      again:close()
      local refused, _, code = saros.connect(peer.address, {tls = {ca = files.ca, max_version = "1.2"}})
      assert.is_nil(refused)
      assert.are.equal("ETLS", code)
   end)
end)

describe("HTTPS", function()
   local function https(body)
      return assert(saros.serve("127.0.0.1:0", function(stream)
         if not stream:read_until("\r\n\r\n") then return end
         stream:write("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: ", #body, "\r\n\r\n", body)
      end, {tls = TLS}))
   end

   it("is fetched by curl, which verifies", function()
      servers.need("curl")
      local body = ("0123456789abcdef"):rep(200000)
      local server <close> = https(body)
      local output, code = run{"curl", "-sS", "--cacert", files.ca, "https://127.0.0.1:" .. port_of(server) .. "/"}
      assert.are.equal(0, code, output:sub(1, 200))
      assert.is_true(output == body)
      output, code = run{"curl", "-sS", "https://127.0.0.1:" .. port_of(server) .. "/"}
      assert.are.equal(60, code, output) -- the authority is not the system's
      server:shutdown(1)
   end)

   it("is served by nginx to clients of ours, many at once", function()
      servers.need("nginx")
      local folder <close> = servers.folder()
      local port = free_port()
      servers.write(folder, "page", ("page "):rep(40000))
      servers.write(folder, "nginx.conf", ([[
         daemon off; master_process off; error_log FOLDER/errors; pid FOLDER/pid; user root;
         events { worker_connections 256; }
         http {
            access_log off; client_body_temp_path FOLDER/a; proxy_temp_path FOLDER/b; fastcgi_temp_path FOLDER/c;
            uwsgi_temp_path FOLDER/d; scgi_temp_path FOLDER/e;
            server { listen 127.0.0.1:PORT ssl; ssl_certificate CERT; ssl_certificate_key KEY; root FOLDER; }
         }]]):gsub("%u%u+", {FOLDER = folder.name, PORT = port, CERT = files.server, KEY = files.server_key}))
      local nginx <close> = servers.start({servers.need("nginx"), "-c", folder.name .. "/nginx.conf", "-e", folder.name .. "/errors"},
         "127.0.0.1:" .. port, folder)
      local fetch = {}
      for i = 1, 50 do
         fetch[i] = function()
            local stream <close> = assert(saros.connect(nginx.address, {tls = {ca = files.ca}}))
            stream:write("GET /page HTTP/1.0\r\n\r\n")
            return #stream:read("a"):match("\r\n\r\n(.*)")
         end
      end
      for _, size in ipairs(saros.gather(fetch)) do assert.are.equal(200000, size) end
   end)
end)

describe("Python's ssl", function()
   it("and we echo each other", function()
      servers.need("python3")
      local server <close> = assert(saros.serve("127.0.0.1:0", function(stream)
         stream:write((assert(stream:read_exactly(300000))))
         assert.is_nil((stream:read()))
      end, {tls = TLS}))
      local output, code = run{"python3", "-c", ([[
import socket, ssl
context = ssl.create_default_context(cafile="%s")
with socket.create_connection(("127.0.0.1", %s)) as raw, context.wrap_socket(raw, server_hostname="localhost") as s:
    data = bytes(range(250)) * 1200
    s.sendall(data)
    got = b""
    while len(got) < len(data): got += s.recv(100000)
    assert got == data
    s.unwrap().close()
print("well", s.version() or "")]]):format(files.ca, port_of(server))}
      assert.are.equal(0, code, output)
      assert.is_truthy(output:find("^well"), output)
      server:shutdown(1)
   end)

   it("is told the truth about an end without close-notify, and tells it", function()
      servers.need("python3")
      local folder <close> = servers.folder()
      local port = free_port()
      servers.write(folder, "rude.py", ([[
import socket, ssl
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("%s", "%s")
listener = socket.create_server(("127.0.0.1", %s))
while True:
    raw, _ = listener.accept()
    try: s = context.wrap_socket(raw, server_side=True)
    except (ssl.SSLError, OSError): continue
    s.sendall(b"all\nhalf")
    s.recv(10)
    s.shutdown(socket.SHUT_RDWR)
    s.close()]]):format(files.server, files.server_key, port))
      local peer <close> = servers.start({"python3", folder.name .. "/rude.py"}, "127.0.0.1:" .. port, folder)
      local stream <close> = assert(saros.connect(peer.address, {tls = {ca = files.ca}}))
      assert.are.equal("all", stream:read())
      stream:write("x")
      assert.are.equal("ETRUNCATED", (select(3, stream:read())))
      assert.are.equal("half", stream:read_some())
   end)
end)
