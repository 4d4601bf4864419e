-- udp_spec.lua: sockets for datagrams: what is sent arrives whole, tells from whom it is, or does not arrive.

local saros = require "saros"
local kit = require "support.kit"
require("support.leaks")(before_each, after_each)

local both = "127.0.0.1:0"

-- The name service is begun with the first question, and has descriptors of its own until the loop closes.
if not kit.lacks("sockets") then saros.resolve("127.0.0.1", "80") end

-- Two sockets, and where they are.
local function pair()
   local a, b = assert(saros.udp(both)), assert(saros.udp(both))
   return a, b, a:local_address(), b:local_address()
end

local function close(...)
   for _, socket in ipairs{ ... } do socket:close() end
end

describe("saros.udp", function()
   it("sends and receives whole datagrams, with the sender's address", function()
      local a, b, at_a, at_b = pair()
      assert.are.equal(a, a:send("hello", at_b))
      local data, from, truncated = b:receive()
      assert.are.same({ "hello", at_a, false }, { data, from, truncated })
      assert(b:send("back", from))
      assert.are.equal("back", (a:receive()))
      close(a, b)
   end)

   it("delivers an empty datagram, which is no end", function()
      local a, b, _, at_b = pair()
      a:send("", at_b)
      a:send("more", at_b)
      assert.are.equal("", (b:receive()))
      assert.are.equal("more", (b:receive()))
      close(a, b)
   end)

   it("sends 65,507 bytes, and refuses one more", function()
      local a, b, _, at_b = pair()
      local longest = ("x"):rep(65507)
      assert(a:send(longest, at_b))
      assert.are.equal(longest, (b:receive()))
      local sent, message, code = a:send(longest .. "x", at_b)
      assert.are.same({ nil, "send: message too long", "EMSGSIZE" }, { sent, message, code })
      assert.are.equal("EMSGSIZE", select(3, a:send(longest:rep(3), at_b)))
      close(a, b)
   end)

   it("says that a datagram was cut to the size that was asked for", function()
      local a, b, at_a, at_b = pair()
      a:send("moonlight", at_b)
      a:send("moon", at_b)
      assert.are.same({ "moon", at_a, true }, { b:receive(4) })
      assert.are.same({ "moon", at_a, false }, { b:receive(4) })
      close(a, b)
   end)

   it("takes sizes from 1 to 65535 and nothing else", function()
      local a, b, _, at_b = pair()
      for _, size in ipairs{ 0, -1, 1.5, 0 / 0, 65536, 2 ^ 31, 2 ^ 32 + 1, 2 ^ 53, math.maxinteger, "x", ("9"):rep(99) } do
         kit.raises("bad argument", b.receive, b, size)
      end
      for _, size in ipairs{ 1, 65535, "10", 3.0 } do
         a:send("y", at_b)
         assert.are.equal("y", (b:receive(size)))
      end
      close(a, b)
   end)

   it("is for both families where no address is given", function()
      local any <close> = assert(saros.udp())
      local port = any:local_address():match(":(%d+)$")
      for _, address in ipairs{ "127.0.0.1", "[::1]" } do
         local one <close> = saros.udp(address .. ":0")
         if one then
            assert(one:send("x", address .. ":" .. port))
            local _, from = any:receive()
            assert.are.equal(one:local_address(), from)
            assert(any:send("y", from))
            assert.are.equal("y", (one:receive()))
         end
      end
   end)

   it("takes addresses as tables, and names", function()
      local a, b, _, at_b = pair()
      local port = tonumber(at_b:match("%d+$"))
      assert(a:send("1", { host = "127.0.0.1", port = port }))
      assert(a:send("2", "localhost:" .. port))
      for i = 1, 2 do assert.are.equal(tostring(i), (b:receive())) end
      local _, message, code = a:send("3", kit.nobody() .. ":" .. port)
      if code ~= "ENOSYS" then -- without libuv nothing is looked up
         assert.are.equal("ENAME", code)
         assert.is_truthy(message:find("send " .. kit.nobody() .. ":" .. port, 1, true))
         assert.are.equal("ENAME", select(3, a:connect(kit.nobody() .. ":" .. port)))
      end
      close(a, b)
   end)

   it("refuses what can be no address", function()
      local a <close> = assert(saros.udp(both))
      kit.raises("bad address", a.send, a, "x", "127.0.0.1")
      kit.raises("bad address", a.send, a, "x", "127.0.0.1:65536")
      kit.raises("bad address", saros.udp, "127.0.0.1:x")
      assert.are.equal("EAFNOSUPPORT", select(3, a:send("x", "[::1]:9")))
      assert.are.equal("EAFNOSUPPORT", select(3, a:send("x", "unix:/tmp/x")))
      assert.are.equal("EAFNOSUPPORT", select(3, saros.udp("unix:/tmp/x")))
      assert.are.equal("EAFNOSUPPORT", select(3, a:connect("unix:/tmp/x")))
      assert.are.equal("EADDRINUSE", select(3, saros.udp(a:local_address())))
   end)

   it("names the address that cannot be had, also one from a table", function()
      local first = assert(saros.udp("127.0.0.1:0"))
      local address = first:local_address()
      local port = math.tointeger(address:match("%d+$"))
      for _, again in ipairs({ address, { host = "127.0.0.1", port = port } }) do
         local message = select(2, saros.udp(again))
         assert.are.equal("udp " .. address .. ": address already in use", message)
      end
      close(first)
   end)

   it("may send to itself", function()
      local a <close> = assert(saros.udp(both))
      assert(a:connect(a:local_address()))
      assert(a:send("me"))
      assert.are.same({ "me", a:local_address(), false }, { a:receive() })
   end)

   it("with a peer has to do with that one alone", function()
      local a, b, at_a, at_b = pair()
      local stranger <close> = assert(saros.udp(both))
      assert.are.equal("EDESTADDRREQ", select(3, a:send("x")))
      assert.are.equal("ENOTCONN", select(3, a:peer_address()))
      assert.are.equal(a, a:connect(at_b))
      assert.are.equal(at_b, a:peer_address())
      assert.are.equal("EISCONN", select(3, a:send("x", at_b)))
      assert(a:send("hi"))
      assert.are.same({ "hi", at_a, false }, { b:receive() })
      stranger:send("stranger", at_a)
      b:send("peer", at_a)
      assert.are.same({ "peer", at_b, false }, { a:receive() })
      close(a, b)
   end)

   it("tells once that a peer is not there, and goes on", function()
      if os.getenv("WINELOADER") and kit.driver ~= "sim" then kit.skip("Wine does not tell") end
      local a, b, at_a, at_b = pair()
      b:close()
      saros.sleep(0.001)
      a:connect(at_b)
      assert(a:send("anybody?"))
      local data, message, code = a:receive()
      assert.are.same({ nil, "receive: connection refused", "ECONNREFUSED" }, { data, message, code })
      b = assert(saros.udp(at_b))
      assert(a:send("now"))
      assert.are.equal("now", (b:receive()))
      b:send("yes", at_a)
      assert.are.equal("yes", (a:receive()))
      close(a, b)
   end)

   it("has one reader at a time; a second one is told and disturbs nobody", function()
      local a, b, _, at_b = pair()
      local reader = saros.spawn(function() return (b:receive()) end)
      saros.sleep(0)
      local _, message, code = b:receive()
      assert.are.equal("EBUSY", code)
      assert.are.equal("receive: another task receives from this socket", message)
      a:send("x", at_b)
      assert.are.equal("x", saros.await(reader))
      close(a, b)
   end)

   it("wakes who waits with ECLOSED when it is closed", function()
      local a = assert(saros.udp(both))
      local reader = saros.spawn(function() return a:receive() end)
      saros.sleep(0)
      assert.is_true(a:close())
      assert.is_true(a:close())
      assert.are.same({ nil, "closed", "ECLOSED" }, { saros.await(reader) })
      assert.are.same({ nil, "closed", "ECLOSED" }, { a:receive() })
      assert.are.same({ nil, "closed", "ECLOSED" }, { a:send("x", "127.0.0.1:9") })
      assert.are.same({ nil, "closed", "ECLOSED" }, { a:connect("127.0.0.1:9") })
      assert.are.same({ nil, "closed", "ECLOSED" }, { a:local_address() })
      assert.are.same({ nil, "closed", "ECLOSED" }, { a:join_group("239.1.2.3") })
      assert.is_truthy(tostring(a):find("^saros.udp %(closed%)"))
   end)

   it("loses nothing where a receive is cancelled or timed out", function()
      local a, b, _, at_b = pair()
      local reader = saros.spawn(b.receive, b)
      saros.sleep(0)
      reader:cancel()
      saros.pcall(saros.await, reader)
      assert.is_nil((saros.timeout(0.01, b.receive, b)))
      a:send("still here", at_b)
      assert.are.equal("still here", (b:receive()))
      close(a, b)
   end)

   it("is iterated over until it is closed", function()
      local a, b, at_a, at_b = pair()
      local got = {}
      local reader = saros.spawn(function()
         for data, from, truncated in b:datagrams() do
            got[#got + 1] = data
            assert.are.equal(at_a, from)
            assert.is_false(truncated)
            if data == "end" then b:close() end
         end
      end)
      for _, word in ipairs{ "one", "", "two", "end" } do a:send(word, at_b) end
      saros.await(reader)
      assert.are.same({ "one", "", "two", "end" }, got)
      a:close()
   end)

   it("may be waited on in a generator, which may be closed meanwhile", function()
      local a, b, _, at_b = pair()
      local waiting = coroutine.create(function() b:receive() end)
      local task = saros.spawn(function() coroutine.resume(waiting) end)
      saros.sleep(0)
      task:cancel()
      saros.pcall(saros.await, task)
      a:send("x", at_b)
      assert.are.equal("x", (b:receive()))
      close(a, b)
   end)

   it("keeps what many tasks send apart", function()
      local a, b, _, at_b = pair()
      local senders = {}
      for i = 1, 20 do senders[i] = saros.spawn(function() return a:send(("%d"):format(i):rep(100), at_b) end) end
      local seen = {}
      for _ = 1, 20 do
         local data = b:receive()
         seen[#seen + 1] = data
         assert.is_truthy(data:match("^(%d+)") and #data % 100 == 0)
      end
      saros.gather(senders)
      table.sort(seen)
      for i = 2, 20 do assert.are_not.equal(seen[i - 1], seen[i]) end
      close(a, b)
   end)

   it("sends to whom it was told to when it was called, whatever becomes of the table", function()
      local a = assert(saros.udp("127.0.0.1:0", { send_buffer = 4000 })) -- a simulated one makes the second wait
      local b = assert(saros.udp("127.0.0.1:0"))
      local to = { host = "127.0.0.1", port = math.tointeger(b:local_address():match("%d+$")) }
      local senders = {}
      for i = 1, 4 do senders[i] = saros.spawn(a.send, a, ("x"):rep(3000), to) end
      saros.sleep(0)
      to.host, to.port = nil, "nobody's"
      for i = 1, 4 do
         assert.are.equal(3000, #b:receive())
         assert.are.equal(a, senders[i]:await())
      end
      close(a, b)
   end)

   it("is closed by <close>, and by the collector", function()
      local address
      do
         local a <close> = assert(saros.udp(both))
         address = a:local_address()
      end
      saros.sleep(0.001)
      local again <close> = assert(saros.udp(address))
      assert.are.equal(address, again:local_address())
   end)

   it("knows what it is", function()
      local a <close> = assert(saros.udp(both))
      assert.is_truthy(tostring(a):find("^saros.udp: "))
      assert.is_false(getmetatable(a))
      kit.raises("saros.udp expected", a.send, io.stdout, "x")
      kit.raises("saros.udp expected", a.receive, {})
      kit.raises("string expected", a.send, a)
   end)
end)

describe("the options of saros.udp", function()
   it("are checked, each by its name", function()
      for _, case in ipairs{ { "ttl", 0 }, { "ttl", 256 }, { "ttl", "x" }, { "broadcast", 1 }, { "multicast_ttl", -1 },
                             { "multicast_loop", "yes" }, { "send_buffer", 0 }, { "receive_buffer", 2 ^ 40 },
                             { "reuse", 1 }, { "reuse_port", {} } } do
         kit.raises("option '" .. case[1] .. "'", saros.udp, both, { [case[1]] = case[2] })
      end
      kit.raises("unknown option 'x'", saros.udp, both, { x = 1 })
      kit.raises("no such network interface", saros.udp, both, { multicast_interface = "no/such" })
      local a <close> = assert(saros.udp(both, { ttl = 7, multicast_ttl = 0, multicast_loop = true, broadcast = false,
                                                 send_buffer = 65536, receive_buffer = 65536 }))
      assert.is_truthy(a)
   end)

   it("let several sockets have one port, where each asks for it", function()
      local a <close> = assert(saros.udp(both, { reuse = true }))
      local b <close> = assert(saros.udp(a:local_address(), { reuse = true }))
      assert.are.equal(a:local_address(), b:local_address())
      assert.are.equal("EADDRINUSE", select(3, saros.udp(a:local_address())))
   end)

   it("let a broadcast be sent, which else is refused", function()
      local all = kit.driver == "sim" and "255.255.255.255" or "127.255.255.255"
      local receiver <close> = assert(saros.udp("0.0.0.0:0"))
      local to = all .. ":" .. receiver:local_address():match("%d+$")
      local quiet <close> = assert(saros.udp(both))
      assert.are.equal("EACCES", select(3, quiet:send("x", to)))
      local loud <close> = assert(saros.udp(both, { broadcast = true }))
      assert(loud:send("all", to))
      assert.are.equal("all", (receiver:receive()))
   end)

   it("reach groups through an interface", function()
      local member <close> = assert(saros.udp("0.0.0.0:0", { reuse = true }))
      local sender <close> = assert(saros.udp(both, { multicast_interface = "127.0.0.1" }))
      local to = "239.255.90.6:" .. member:local_address():match("%d+$")
      assert.are.equal(member, member:join_group("239.255.90.6", "127.0.0.1"))
      assert(sender:send("members", to))
      assert.are.same({ "members", sender:local_address(), false }, { member:receive() })
      assert.are.equal(member, member:leave_group("239.255.90.6", "127.0.0.1"))
      assert.is_nil((member:leave_group("239.255.90.6", "127.0.0.1")))
      assert(sender:send("members", to))
      assert.is_nil((saros.timeout(0.02, member.receive, member)))
      kit.raises("is no address of a group", member.join_group, member, "127.0.0.1")
      kit.raises("no such network interface", member.join_group, member, "239.255.90.6", "no/such")
   end)
end)

-- A peer that is another program: python3's asyncio, and socat.
describe("saros.udp and other programs", function()
   local real = kit.needs("sockets", it, pending)

   real("talk with Python's asyncio", function()
      local have = os.execute("command -v python3 >/dev/null 2>&1")
      if kit.windows or not have then kit.skip("no python3") end
      local ours <close> = assert(saros.udp(both))
      local script = [[
import asyncio, sys
class Echo(asyncio.DatagramProtocol):
    def connection_made(self, transport): transport.sendto(b"ready", ("127.0.0.1", int(sys.argv[1]))); self.t = transport
    def datagram_received(self, data, address):
        self.t.sendto(data[::-1], address)
        if data == b"end": done.set_result(None)
async def main():
    global done
    done = asyncio.get_running_loop().create_future()
    await asyncio.get_running_loop().create_datagram_endpoint(Echo, local_addr=("127.0.0.1", 0))
    await asyncio.wait_for(done, 20)
asyncio.run(main())]]
      local child <close> = io.popen(("python3 -c '%s' %s"):format(script, ours:local_address():match("%d+$")))
      local hello, peer = ours:receive()
      assert.are.equal("ready", hello)
      for _, word in ipairs{ "abc", ("x"):rep(60000), "end" } do
         assert(ours:send(word, peer))
         assert.are.equal(word:reverse(), (ours:receive()))
      end
      assert.are.equal("", child:read("a"))
   end)

   real("J11: have IPv4 where IPv6 is off, as streams do", function()
      local apart = [[unshare -rn sh -c 'ip link set lo up && for i in all lo
         do echo 1 >/proc/sys/net/ipv6/conf/$i/disable_ipv6; done && exec "$@"' sh]]
      if kit.windows or not os.execute(apart .. " true 2>/dev/null") then kit.skip("no namespaces here, in which it is off") end
      local output, errors = kit.run_apart(apart .. " env SAROS_DRIVER=" .. kit.driver, "-e", [[
         local saros = require "saros"
         local any, one = assert(saros.udp()), assert(saros.udp("127.0.0.1:0"))
         assert(any:send("a datagram", one:local_address()))
         print((one:receive()))
         local listener = assert(saros.listen("*:0"))
         local stream = assert(saros.connect("127.0.0.1:" .. listener:address():match("%d+$")))
         assert(listener:accept()):write("a stream\n")
         print(stream:read())
         for _, call in ipairs{saros.udp, saros.listen, saros.connect} do print((select(3, call("[::1]:7")))) end]])
      assert.are.equal("a datagram\na stream\n" .. ("EADDRNOTAVAIL\n"):rep(3), output, errors)
   end)

   real("talk with socat", function()
      local have = os.execute("command -v socat >/dev/null 2>&1")
      if kit.windows or not have then kit.skip("no socat") end
      local ours <close> = assert(saros.udp(both))
      local port = ours:local_address():match("%d+$")
      local child <close> = io.popen(("printf hello | socat -t 20 - UDP4:127.0.0.1:%s"):format(port))
      local data, peer = ours:receive()
      assert.are.equal("hello", data)
      assert(ours:connect(peer))
      assert(ours:send("good day"))
      assert(ours:send("")) -- to socat the end
      assert.are.equal("good day", child:read("a"))
   end)
end)
