-- curl_spec.lua: a C library with sockets of its own on the loop: libcurl, through a module of the tests' own that uses
-- nothing but core/saros.h and saros_lua.h (tests/module/curl.c).

local saros = require "saros"
local kit = require "support.kit"
require("support.leaks")(before_each, after_each)

local curl = kit.lacks("sockets") == nil and kit.module "curl"
if curl then curl.watched() end -- it opens some descriptors once, and keeps them
local it = curl and it or function(name) pending(name .. " (" .. (kit.lacks("sockets") or "needs libcurl") .. ")") end

-- A server for HTTP that gives each path its own text, a piece at a time, and a count of who is served just now.
local function serve(pieces, pause)
   local state = { now = 0, most = 0, cut = 0 }
   local server = assert(saros.serve("127.0.0.1:0", function(stream)
      local path = stream:read():match("^GET (%S+)")
      while stream:read() ~= "\r" do end
      state.now = state.now + 1
      state.most = math.max(state.most, state.now)
      local piece = path:rep(2000)
      stream:write(("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"):format(#piece * pieces))
      for _ = 1, pieces do
         saros.sleep(pause)
         if not stream:write(piece) then
            state.cut = state.cut + 1
            break
         end
      end
      state.now = state.now - 1
   end))
   return server, "http://" .. server:address(), state
end

describe("libcurl on the loop", function()
   it("downloads in parallel, while other tasks run", function()
      local server, url, state = serve(20, 0.002)
      local _ <close> = server
      local ticks, tasks = 0, {}
      local ticker = saros.spawn(function()
         for _ in saros.every(0.001) do ticks = ticks + 1 end
      end)
      for i = 1, 20 do tasks[i] = saros.spawn(curl.get, ("%s/%d/"):format(url, i)) end
      for i, task in ipairs(tasks) do
         local body, status = task:await()
         assert.are.equal(200, status)
         assert.is_true(body == (("/%d/"):format(i)):rep(40000))
      end
      ticker:cancel()
      assert.is_true(state.most > 10)
      assert.is_true(ticks > 10)
      kit.wait_until(function() return curl.watched() == 0 end)
      server:shutdown(1)
   end)

   it("ends a download whose task is cancelled, or out of time, and not its neighbour's", function()
      local server, url, state = serve(100, 0.005)
      local _ <close> = server
      local neighbour = saros.spawn(curl.get, url .. "/n/")
      local cancelled = saros.spawn(curl.get, url .. "/c/")
      kit.wait_until(function() return state.now == 2 end)
      cancelled:cancel()
      assert.are.equal("ETIMEDOUT", select(3, saros.timeout(0.02, curl.get, url .. "/t/")))
      assert.is_true(cancelled:cancelled())
      kit.wait_until(function() return state.cut == 2 end) -- the server notices that they have gone
      assert.are.equal(1, curl.watched())
      assert.are.equal(#"/n/" * 2000 * 100, #neighbour:await())
      kit.wait_until(function() return curl.watched() == 0 end)
      server:shutdown(1)
   end)

   it("tells what libcurl says where it goes wrong", function()
      local body, message = curl.get("http://" .. kit.free_address() .. "/")
      assert.is_nil(body)
      assert.is_truthy(message:find "onnect")
      assert.is_nil((curl.get("http://127.0.0.1:99999/")))
   end)
end)
