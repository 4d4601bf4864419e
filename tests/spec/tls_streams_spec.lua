-- tls_streams_spec.lua: what streams promise, over TLS: the cases of writing, keeping, copying and reading, on pairs that have
-- shaken hands.

local saros = require "saros"
local kit = require "support.kit"
local files = require("support.certificates").of_spec("streams over TLS", describe, pending, teardown)
if not files then return end

-- What is another thing where bytes are encrypted.
local LITTLE <const> = kit.driver == "sim" and "less fits there than is encrypted at once"
local OTHERWISE <const> = {
   ["after a reset is an error with a code, once the data is read"] = "close-notify comes before the reset",
   ["wakes the reader and all writers with ECLOSED"] = LITTLE,
   ["of many pieces tells how many bytes were sent when it fails"] = LITTLE,
}

local plain_pair = kit.pair
local contexts -- made once: what a certificate costs is not asked here

local function tls_pair(options)
   local client, server = plain_pair(options)
   contexts = contexts or {
      assert(saros.tls.context{ca = files.ca}), assert(saros.tls.context{cert = files.server, key = files.server_key}),
   }
   local results = saros.gather({
      function() return table.pack(client:start_tls{context = contexts[1], host = "localhost"}) end,
      function() return table.pack(server:start_tls{context = contexts[2], server = true}) end,
   })
   for i = 1, 2 do assert(results[i][1], results[i][2]) end
   return client, server
end

local folder = debug.getinfo(1, "S").source:match("^@(.*)tls_streams_spec%.lua$")
for _, name in ipairs{"writing", "keeping", "copying", "reading"} do
   describe("over TLS:", function()
      local own = setmetatable({}, {__index = _ENV})
      local usual = it
      function own.it(title, body)
         local reason = OTHERWISE[title]
         if reason then return pending(title .. " (" .. reason .. ")") end
         usual(title, function()
            kit.pair = tls_pair
            local _ <close> = setmetatable({}, {__close = function() kit.pair = plain_pair end})
            body()
         end)
      end
      assert(loadfile(folder .. name .. "_spec.lua", "t", own))()
   end)
end

describe("over TLS:", function()
   require("support.leaks")(before_each, after_each)

   it("an abort is no end that a reader could take for the end of all", function()
      for _, much in ipairs{5, 1 << 20} do
         local client, server = tls_pair()
         client:try_write(("x"):rep(much))
         saros.sleep(0.002)
         client:abort()
         local all, _, code = server:read("a")
         assert.is_nil(all)
         assert.is_truthy(code == "ECONNRESET" or code == "ETRUNCATED", code)
         server:close()
      end
   end)

   it("what a client writes that never reads arrives whole, though it closes at once", function()
      local text = ("0123456789abcdef"):rep(1 << 18)
      for _ = 1, 5 do
         local client, server = tls_pair() -- the server's tickets are not read by anybody
         local writer = saros.spawn(function()
            assert(client:write(text))
            client:close()
         end)
         saros.sleep(0.002)
         assert.is_true(server:read("a") == text)
         writer:await()
         server:close()
      end
   end)
end)
