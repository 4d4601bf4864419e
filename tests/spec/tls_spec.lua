-- tls_spec.lua: TLS between two ends of ours, on every driver: streams stay streams, and nothing is taken on trust.

local saros = require "saros"
local kit = require "support.kit"
local files = require("support.certificates").make()
require("support.leaks")(before_each, after_each)

local why = not saros._tls.info and "this build has no OpenSSL" or not files and "no openssl program here"
if why then
   describe("TLS", function()
      pending("(" .. why .. ")")
      it("says that it is not there", function()
         if saros._tls.info then return assert.is_truthy(saros.tls.context()) end
         local context, message, code = saros.tls.context()
         assert.are.same({"nil", "ENOSYS"}, {tostring(context), code})
         assert.is_truthy(message:find("OpenSSL", 1, true))
      end)
   end)
   return
end
teardown(files.remove)

local SERVER <const> = {server = true, cert = files.server, key = files.server_key}
local CLIENT <const> = {ca = files.ca, host = "localhost"}

local function with(options, more)
   local set = {}
   for key, value in pairs(options) do set[key] = value end
   for key, value in pairs(more or {}) do set[key] = value end
   return set
end

-- For a <close> variable: closes both.
local function closer(client, server)
   return setmetatable({}, {
      __close = function()
         client:close()
         server:close()
      end,
   })
end

local function plain_pair()
   local client, server = kit.pair()
   return client, server, closer(client, server)
end

-- Both handshakes at once on a pair of streams: what each end got.
local function shake(theirs, ours, client, server)
   if not client then client, server = kit.pair() end
   local results = saros.gather({
      function() return table.pack(client:start_tls(theirs or CLIENT)) end,
      function() return table.pack(server:start_tls(ours or SERVER)) end,
   })
   return client, server, results[1], results[2]
end

local function pair(theirs, ours)
   local client, server, left, right = shake(theirs, ours)
   assert(left[1], left[2])
   assert(right[1], right[2])
   return client, server, closer(client, server)
end

-- A handshake that has to fail at the client, with this code and these words.
local function refuses(code, words, theirs, ours)
   local client, server, left, right = shake(with(CLIENT, theirs), with(SERVER, ours))
   client:close()
   server:close()
   assert.is_nil(left[1])
   assert.are.equal(code, left[3])
   assert.is_truthy(left[2]:find(words, 1, true), left[2])
   return right
end

describe("a TLS stream", function()
   it("reads in all the ways of a stream", function()
      local client, server, _ <close> = pair()
      assert.are.equal(server, server:write("one\ntwo\n", 3, " 4.5 rest|and ", ("b"):rep(10), "\nlast"))
      assert.are.equal("one", client:read())
      assert.are.equal("two\n", client:read("L"))
      assert.are.same({3, 4.5}, {client:read("n", "n")})
      assert.are.equal(" rest|", client:read_until("|"))
      assert.are.equal("and ", client:read_exactly(4))
      assert.are.equal(("b"):rep(10), client:lines()())
      server:close()
      assert.are.equal("last", client:read("a"))
      assert.is_nil(client:read_some())
      assert.are.equal("EEOF", select(3, client:read_exactly(1)))
   end)

   it("carries much, both ways at once, and writes of several tasks whole", function()
      local client, server, _ <close> = pair()
      local function fill(stream, letter)
         for i = 1, 3 do stream:write((letter .. i):rep(150000), "\n") end
      end
      local function drain(stream)
         local seen = {}
         for _ = 1, 6 do
            local line = stream:read_until("\n", 1000000)
            assert.are.equal(line, line:sub(1, 2):rep(150000) .. "\n")
            seen[#seen + 1] = line:sub(1, 2)
         end
         table.sort(seen)
         return table.concat(seen, " ")
      end
      local results = saros.gather({
         function() return drain(client) end, function() return drain(server) end,
         function() fill(client, "a") end, function() fill(client, "b") end,
         function() fill(server, "c") end, function() fill(server, "d") end,
      })
      assert.are.equal("c1 c2 c3 d1 d2 d3", results[1])
      assert.are.equal("a1 a2 a3 b1 b2 b3", results[2])
   end)

   it("holds a writer back while the other end does not read", function()
      local client, server, _ <close> = pair()
      local writer = saros.spawn(client.write, client, ("x"):rep(20000000))
      saros.sleep(0.05)
      assert.is_false(writer:done())
      local count = 0
      while count < 20000000 do count = count + #server:read_some() end
      assert.are.equal(client, writer:await())
   end)

   it("stays whole when a writer is cancelled in the middle of a record", function()
      local client, server, _ <close> = pair()
      local writer = saros.spawn(client.write, client, ("x"):rep(20000000))
      saros.sleep(0.02)
      writer:cancel()
      assert.is_false((saros.pcall(writer.await, writer)))
      local reader = saros.spawn(server.read_until, server, "end\n", 30000000)
      assert.is_truthy(client:write("end\n"))
      local text = reader:await()
      assert.are.equal(("x"):rep(#text - 4) .. "end\n", text)
      assert.is_true(#text < 20000000)
   end)

   it("is sent once what was on its way when a copy or a flush was cancelled", function()
      local parts = {}
      for i = 1, 300000 do parts[i] = ("%07d "):format(i) end
      local text = table.concat(parts)
      for _, way in ipairs{"copy", "flush"} do
         local client, server = shake(CLIENT, SERVER, kit.pair({send_buffer = 16384, receive_buffer = 16384}))
         local _ <close> = closer(client, server)
         local from, to = kit.pair()
         local feeder = saros.spawn(function()
            to:write(text)
            to:shutdown()
         end)
         if way == "flush" then
            client:setvbuf("full", #text)
            client:write(text)
         end
         local fn = way == "copy" and function() return saros.copy(from, client) end or function() return client:flush() end
         for _ = 1, 3 do assert.are.equal("ETIMEDOUT", (select(3, saros.timeout(0.02, fn)))) end
         local reader = saros.spawn(server.read, server, "a")
         assert.is_truthy(fn())
         client:shutdown()
         assert.is_true(text == reader:await(), way)
         feeder:cancel()
         from:close()
         to:close()
      end
   end)

   it("ends one direction with close-notify, and the other goes on", function()
      local client, server, _ <close> = pair()
      assert.are.equal(client, client:shutdown())
      assert.is_nil(server:read())
      assert.are.same({"nil", "EPIPE"}, {tostring(client:write("more")), (select(3, client:write("more")))})
      assert(server:write("still here\n"))
      assert.are.equal("still here", client:read())
      server:close()
      assert.is_nil(client:read())
   end)

   it("has one reader, and wakes whoever waits when it is closed", function()
      local client, server, _ <close> = pair()
      local reader = saros.spawn(client.read, client)
      local writer = saros.spawn(client.write, client, ("x"):rep(20000000))
      kit.turns(3)
      assert.are.equal("EBUSY", (select(3, client:read())))
      client:close()
      assert.are.equal("ECLOSED", (select(3, reader:await())))
      assert.are.equal("ECLOSED", (select(3, writer:await())))
      server:close()
   end)

   it("keeps what a cancelled read was waiting for", function()
      local client, server, _ <close> = pair()
      for _ = 1, 3 do
         local reader = saros.spawn(client.read, client)
         kit.turns(1)
         server:write("half ")
         kit.turns(3)
         reader:cancel()
         saros.pcall(reader.await, reader)
      end
      server:write("line\n")
      assert.are.equal("half half half line", client:read())
   end)

   it("tells what it is", function()
      local client, server, _ <close> = pair()
      local info = client:tls_info()
      assert.are.equal("TLSv1.3", info.version)
      assert.are.same({false, false, "ok"}, {info.server, info.reused, info.verdict})
      assert.are.equal("CN=localhost", info.peer.subject)
      assert.are.equal("CN=Test Authority", info.peer.issuer)
      assert.are.same({"localhost", "127.0.0.1", "::1"}, info.peer.names)
      assert.are.equal(30 * 86400, info.peer.not_after - info.peer.not_before)
      local digest = kit.shell("openssl x509 -noout -fingerprint -sha256 -in " .. files.server)
      assert.are.equal(digest:match("=(.*)\n"):gsub(":", ""):lower(), info.peer.fingerprint)
      assert.are.equal("localhost", server:tls_info().server_name)
      assert.is_true(server:tls_info().server)
      assert.is_nil(server:tls_info().peer)
      assert.are.equal(server:local_address(), client:peer_address())
      client:close()
      assert.are.equal("ECLOSED", (select(3, client:tls_info())))
      local plain, other, _ <close> = plain_pair()
      assert.is_nil(plain:tls_info())
      other:close()
   end)
end)

describe("saros.connect and saros.serve with tls", function()
   it("make a server and its clients", function()
      local server <close> = assert(saros.serve("127.0.0.1:0", function(stream, peer)
         stream:write(peer, " ", stream:tls_info().version, " ", stream:read() or "", "\n")
      end, {tls = {cert = files.server, key = files.server_key}}))
      for _, options in ipairs{{ca = files.ca}, {ca = files.ca, host = "localhost"}, {insecure = true}} do
         local stream <close> = assert(saros.connect(server:address(), {tls = options}))
         stream:write("hello\n")
         assert.are.equal(stream:local_address() .. " TLSv1.3 hello", stream:read())
         assert.is_nil(stream:read())
      end
      local stream, message, code = saros.connect(server:address(), {tls = true})
      assert.is_nil(stream)
      assert.are.equal("ECERT", code)
      assert.are.equal("TLS with " .. server:address() .. ": certificate verify failed: unable to get local issuer certificate",
         message)
      server:shutdown(1)
   end)

   it("name what is wrong with certificates and options", function()
      local function serve(options) return saros.serve("127.0.0.1:0", print, {tls = options}) end
      local cases = {
         {"no such file", {cert = "/nowhere/x.pem"}}, {"option 'cert'", {cert = files.nonsense, key = files.server_key}},
         {"option 'key'", {cert = files.server, key = files.client_key}}, {"is empty", {cert = files.empty}},
         {"option 'key'", {cert = files.server, key = files["locked_key"]}},
         {"option 'key'", {cert = files.server, key = files["locked_key"], password = "wrong"}},
         {"option 'ca'", {cert = files.server, key = files.server_key, ca = files.nonsense}},
         {"option 'ciphers'", {cert = files.server, key = files.server_key, ciphers = "NONE-SUCH"}},
      }
      for _, case in ipairs(cases) do
         local server, message, code = serve(case[2])
         assert.is_nil(server)
         assert.is_truthy(message:lower():find(case[1], 1, true), message)
         assert.is_truthy(code == "ETLS" or code == "ENOENT" or code == "EINVAL", code)
      end
      local server <close> = assert(serve{cert = files.server, key = files["locked_key"], password = "secret"})
      server:shutdown(0)
      kit.raises("unknown option 'crt'", serve, {crt = "x"})
      kit.raises("'tls.cert'", serve, {})
      kit.raises("unknown option 'cert_'", saros.tls.context, {cert_ = "x"})
      kit.raises("option 'verify'", saros.connect, "127.0.0.1:1", {tls = {verify = "sometimes"}})
      kit.raises("option 'min_version'", saros.connect, "127.0.0.1:1", {tls = {min_version = "9"}})
      kit.raises("option 'alpn'", saros.connect, "127.0.0.1:1", {tls = {alpn = {""}}})
      for _, name in ipairs{io.stdout, "x", {}} do
         kit.raises("option 'sni'", saros.tls.context, {cert = files.server, key = files.server_key, sni = {localhost = name}})
      end
      assert.are.equal("ECONNREFUSED", (select(3, saros.connect(kit.free_address(), {tls = true}))))
   end)
end)

describe("a TLS handshake", function()
   it("refuses a certificate for another host, of a stranger, or of the past, unless it is told not to look", function()
      local cases = {
         {"hostname mismatch", {host = "example.org"}}, {"IP address mismatch", {host = "127.0.0.2"}},
         {"unable to get local issuer certificate", {ca = files.stranger}},
         {"certificate has expired", {}, {cert = files.expired, key = files.expired_key}},
         {"self-signed certificate", {}, {cert = files.self, key = files.self_key}},
         {"hostname mismatch", {host = "a.b.wild.example"}, {cert = files.other, key = files.other_key}},
      }
      for _, case in ipairs(cases) do
         local theirs = refuses("ECERT", case[1], case[2], case[3])
         assert.are.equal("ETLS", theirs[3], "the server is told why")
         local client, server, _ <close> = pair(with(with(CLIENT, case[2]), {insecure = true}), with(SERVER, case[3]))
         assert.are_not.equal("ok", client:tls_info().verdict)
         server:close()
      end
      local client, server, _ <close> = pair(with(CLIENT, {host = "a.wild.example"}),
         with(SERVER, {cert = files.other, key = files.other_key}))
      assert.are.equal("a.wild.example", server:tls_info().server_name)
      client:close()
   end)

   it("needs a name to verify, and sends no address as a name", function()
      local client, server, _ <close> = plain_pair()
      kit.raises("option 'host'", client.start_tls, client, {ca = files.ca})
      server:close()
      for _, host in ipairs{"127.0.0.1", "[::1]"} do
         local one, two, _ <close> = pair(with(CLIENT, {host = host}))
         assert.is_nil(two:tls_info().server_name)
         one:close()
      end
   end)

   it("takes no host that is cut at a zero, is nobody, or is all that end like it", function()
      for _, host in ipairs{"localhost\0.example.org", "", ".", ".wild.example", "[]", "%lo", ("a"):rep(256), "a b"} do
         kit.raises("option 'host'", saros.connect, "127.0.0.1:1", {tls = {host = host}})
      end
      kit.raises("option 'host'", saros.connect, kit.free_address():gsub("^.*:", ":"), {tls = {verify = "required", host = ""}})
      local client, server, _ <close> = plain_pair()
      assert.are.same({nil, "ETLS"}, {(saros._tls.handshake(client, assert(saros.tls.context()), false, "localhost\0.org", 2)),
         (select(3, saros._tls.handshake(server, assert(saros.tls.context()), false, "", 2)))})
   end)

   it("agrees on a version, or says that there is none", function()
      local client, server, _ <close> = pair(with(CLIENT, {max_version = "1.2"}))
      assert.are.equal("TLSv1.2", server:tls_info().version)
      client:close()
      refuses("ETLS", "protocol version", {max_version = "1.2"}, {min_version = "1.3"})
      refuses("ETLS", "protocol version", {min_version = "TLSv1.3"}, {max_version = "1.2"})
   end)

   it("agrees on a protocol, in the server's order", function()
      local client, server, _ <close> = pair(with(CLIENT, {alpn = {"http/1.1", "h2"}}), with(SERVER, {alpn = {"h2", "http/1.1"}}))
      assert.are.same({"h2", "h2"}, {client:tls_info().alpn, server:tls_info().alpn})
      client:close()
      local bare, other, _ <close> = pair(CLIENT, with(SERVER, {alpn = {"h2"}}))
      assert.is_nil(bare:tls_info().alpn)
      other:close()
      refuses("ETLS", "no application protocol", {alpn = {"spdy"}}, {alpn = {"h2"}})
   end)

   it("asks clients for certificates where it is told to", function()
      local own = {cert = files.client, key = files.client_key}
      local strict = with(SERVER, {ca = files.ca, max_version = "1.2"}) -- 1.2: the client learns of it in its handshake
      local client, server, _ <close> = pair(with(CLIENT, own), strict)
      assert.are.same({"client@example.org"}, server:tls_info().peer.names)
      client:close()
      refuses("ETLS", "alert", {}, strict)
      refuses("ETLS", "alert unknown ca", {cert = files.impostor, key = files.impostor_key}, strict)
      local optional = with(SERVER, {ca = files.ca, verify = "optional"})
      local nobody, lenient, _ <close> = pair(CLIENT, optional)
      assert.is_nil(lenient:tls_info().peer)
      nobody:close()
      local _, _, _, result = shake(with(CLIENT, {cert = files.impostor, key = files.impostor_key}), optional)
      assert.are.equal("ECERT", result[3])
   end)

   it("shows a server's certificate by the name that is asked for", function()
      local context = assert(saros.tls.context{cert = files.server, key = files.server_key, sni = {
         ["*.wild.example"] = assert(saros.tls.context{cert = files.other, key = files.other_key}),
         ["renewed.test"] = assert(saros.tls.context{cert = files.renewed, key = files.renewed_key}),
      }})
      for host, subject in pairs{["A.Wild.Example"] = "CN=other", ["renewed.test"] = "CN=renewed", localhost = "CN=localhost",
                                 ["wild.example"] = "CN=localhost", ["x.y.wild.example"] = "CN=localhost"} do
         local client, server, _ <close> = pair({insecure = true, host = host}, {server = true, context = context})
         assert.are.equal(subject, client:tls_info().peer.subject, host)
         server:close()
      end
   end)

   it("shows a renewed certificate from the next connection on", function()
      local context = assert(saros.tls.context{cert = files.server, key = files.server_key})
      local old, old_server, _ <close> = pair(CLIENT, {server = true, context = context})
      assert.are.same({nil, "ETLS"}, {(context:reload{cert = files.nonsense}), (select(3, context:reload{cert = files.nonsense}))})
      assert.is_true(context:reload{cert = files.renewed, key = files.renewed_key})
      local new, new_server, _ <close> = pair(CLIENT, {server = true, context = context})
      assert.are.equal("CN=renewed", new:tls_info().peer.subject)
      old_server:write("as before\n")
      assert.are.equal("as before", old:read())
      new_server:close()
      kit.raises("unknown option", context.reload, context, {host = "x"})
   end)

   it("resumes a session", function()
      for _, version in ipairs{"1.2", "1.3"} do
         local context = assert(saros.tls.context{cert = files.server, key = files.server_key, max_version = version})
         local client, server, _ <close> = pair(CLIENT, {server = true, context = context})
         server:write("x\n")
         client:read()
         local session = client:tls_session()
         client:close()
         local again, other, _ <close> = pair(with(CLIENT, {session = session}), {server = true, context = context})
         assert.are.same({true, true}, {again:tls_info().reused, other:tls_info().reused})
         again:close()
      end
   end)

   -- A session of a connection whose server says something, and whose two ends are closed.
   local function session_of(theirs, ours)
      local client, server, _ <close> = pair(theirs, ours)
      server:write("x\n")
      client:read()
      return client:tls_session()
   end

   it("offers a session only to the host that was verified when it was made", function()
      local own = {server = true, context = assert(saros.tls.context{cert = files.self, key = files.self_key})}
      local session = session_of({insecure = true, host = "localhost"}, own)
      local _, _, result = shake(with(CLIENT, {session = session}), own)
      assert.are.same({nil, "ECERT"}, {result[1], result[3]})
      local again, other, _ <close> = pair({insecure = true, host = "localhost", session = session}, own)
      assert.is_true(again:tls_info().reused)
      other:close()
      local both = {server = true, context = assert(saros.tls.context{cert = files.server, key = files.server_key})}
      local known = session_of(CLIENT, both)
      local _, _, elsewhere = shake(with(CLIENT, {session = known, host = "other.example"}), both)
      assert.are.same({nil, "ECERT"}, {elsewhere[1], elsewhere[3]})
   end)

   it("offers a session only where it is to be believed whom it was believed then", function()
      local ours = {server = true, context = assert(saros.tls.context{cert = files.server, key = files.server_key})}
      local session = session_of(CLIENT, ours)
      local _, _, result = shake(with(CLIENT, {session = session, ca = files.stranger}), ours)
      assert.are.same({nil, "ECERT"}, {result[1], result[3]})
   end)

   it("resumes no session that was made without the certificate that is asked for now", function()
      for _, version in ipairs{"1.2", "1.3"} do
         local context = assert(saros.tls.context{cert = files.server, key = files.server_key, ca = files.ca, max_version = version})
         local open = {server = true, context = context, verify = "none"}
         local session = session_of(CLIENT, open)
         local client, server, _, result = shake(with(CLIENT, {session = session}),
            {server = true, context = context, verify = "required"})
         assert.are.same({nil, "ETLS"}, {result[1], result[3]})
         client:close()
         server:close()
      end
   end)

   it("resumes no session of one name for another, where clients show certificates", function()
      local base = assert(saros.tls.context{cert = files.server, key = files.server_key, sni = {
         localhost = assert(saros.tls.context{cert = files.server, key = files.server_key, ca = files.ca}),
         ["other.example"] = assert(saros.tls.context{cert = files.other, key = files.other_key, ca = files.stranger}),
      }})
      local strict = {server = true, context = base, verify = "required"}
      local mine = {insecure = true, cert = files.client, key = files.client_key, host = "localhost"}
      local session = session_of(mine, strict)
      local again, other, _ <close> = pair(with(mine, {session = session}), strict)
      assert.is_true(again:tls_info().reused)
      other:close()
      local client, server, _, result = shake(with(mine, {session = session, host = "other.example"}), strict)
      assert.are.same({nil, "ETLS"}, {result[1], result[3]})
      client:close()
      server:close()
   end)
end)
