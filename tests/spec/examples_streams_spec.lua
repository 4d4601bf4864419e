-- examples_streams_spec.lua: the proxy and the chat server among the examples, with real guests.

local saros = require "saros"
local kit = require "support.kit"
require("support.leaks")(before_each, after_each)

local lacking = kit.lacks("shell") or kit.lacks("sockets")
-- The service is begun with the first child, and has descriptors of its own until the loop closes.
if not lacking then assert(saros.process.run({"true"})) end

local root = debug.getinfo(1, "S").source:match("^@(.*)tests[/\\]spec[/\\]") or ""

-- Runs an example until body(address, said) ends; said() gives its next line.
local function with(name, arguments, body)
   local program <close> = assert(saros.process.spawn({kit.host, "--driver", kit.driver, root .. "examples/" .. name .. ".lua",
      stdout = "pipe", stderr = "stdout", table.unpack(arguments)}))
   local function said() return assert(program.stdout:read()) end
   body(assert(said():match("127%.0%.0%.1:%d+")), said)
   program:kill("SIGTERM")
   program:wait()
end

describe("examples: streams", function()
   local it = lacking and function(name) pending(name .. " (" .. lacking .. ")") end or it

   it("the proxy passes both directions on, each to its own end", function()
      local server <close> = assert(saros.serve("127.0.0.1:0", function(stream)
         local question = stream:read("a") -- until the asker has said all
         stream:write(("%d bytes: "):format(#question), question:reverse())
      end))
      with("proxy", {"127.0.0.1:0", server:address()}, function(address, said)
         local text = ("0123456789"):rep(100000)
         local client <close> = assert(saros.connect(address))
         local writer = saros.spawn(function()
            client:write(text)
            client:shutdown()
         end)
         assert.are.equal("1000000 bytes: " .. text:reverse(), client:read("a"))
         writer:await()
         assert.is_truthy(said():match(": 1000000 bytes there, 1000015 bytes back$"))
         server:close()
         kit.wait_until(function() -- a kernel that works by itself lets go of it a little later
            local stream, _, code = saros.connect(server:address())
            if stream then stream:close() end
            return code == "ECONNREFUSED"
         end)
         local refused <close> = assert(saros.connect(address))
         assert.are.equal("", refused:read("a"))
         assert.is_truthy(said():find("connection refused", 1, true))
      end)
   end)

   it("the chat server lets its guests talk, and shows the door to one who does not listen", function()
      with("chat_server", {"127.0.0.1:0"}, function(address, said)
         local function come(name)
            local stream = assert(saros.connect(address))
            assert.are.equal("who are you?", stream:read())
            stream:write(name, "\n")
            assert.are.equal(name .. " came", said())
            return stream
         end
         local ann, bob, deaf = come("ann"), come("bob"), come("deaf")
         assert.are.equal("bob came", ann:read())
         assert.are.equal("deaf came", ann:read())
         ann:write("hello\n")
         assert.are.equal("deaf came", bob:read())
         assert.are.equal("ann: hello", bob:read())
         local batch <const> = 60 -- less than 64 KiB: who reads is never shown the door, however slow this machine is
         local lines = (("x"):rep(900) .. "\n"):rep(batch)
         local left
         repeat
            assert(bob:write(lines))
            for _ = 1, batch do left = left or assert(ann:read()) == "deaf left" end
         until left
         assert.are.equal("deaf left", said())
         ann:close()
         bob:close()
         deaf:close()
      end)
   end)
end)
