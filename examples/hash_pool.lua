-- hash_pool.lua: SHA-256 of files, in pure Lua, on a pool of threads.
--
-- Run it:   saros examples/hash_pool.lua FILE…      (or lua5.4 with the module)
--           saros examples/hash_pool.lua              hashes itself
-- Notice:   the sums come in the order of the files, though the threads work side by side, and this loop is free
--           meanwhile: it counts. Change THREADS to 1 and look how long it takes.

local saros = require "saros"

local THREADS <const> = 4

-- Runs on the threads: all that it needs is in it (FIPS 180-4).
local function sha256(name)
   local function root(n, power) -- the first 32 bits behind the point of a root of a prime
      local x = n ^ (1 / power)
      return (x % 1 * 2 ^ 32) // 1 | 0
   end
   local h, k, prime = {}, {}, 2
   while #k < 64 do
      local is_prime = true
      for i = 2, prime - 1 do is_prime = is_prime and prime % i ~= 0 end
      if is_prime then
         k[#k + 1] = root(prime, 3)
         if #h < 8 then h[#h + 1] = root(prime, 2) end
      end
      prime = prime + 1
   end

   local file <close> = assert(io.open(name, "rb"))
   local data = file:read("a")
   local length = #data
   data = data .. "\128" .. ("\0"):rep((55 - length) % 64) .. (">I8"):pack(length * 8)

   local function rotate(x, n) return x >> n | x << (32 - n) & 0xffffffff end
   for from = 1, #data, 64 do
      local w = {(">" .. ("I4"):rep(16)):unpack(data, from)}
      for i = 17, 64 do
         local a, b = w[i - 15], w[i - 2]
         w[i] = w[i - 16] + (rotate(a, 7) ~ rotate(a, 18) ~ a >> 3) + w[i - 7]
            + (rotate(b, 17) ~ rotate(b, 19) ~ b >> 10) & 0xffffffff
      end
      local s = table.move(h, 1, 8, 1, {})
      for i = 1, 64 do
         local a, e = s[1], s[5]
         local t = s[8] + (rotate(e, 6) ~ rotate(e, 11) ~ rotate(e, 25)) + (e & s[6] ~ ~e & s[7]) + k[i] + w[i]
         local u = (rotate(a, 2) ~ rotate(a, 13) ~ rotate(a, 22)) + (a & s[2] ~ a & s[3] ~ s[2] & s[3])
         table.move(s, 1, 7, 2)
         s[5], s[1] = s[5] + t & 0xffffffff, t + u & 0xffffffff
      end
      for i = 1, 8 do h[i] = h[i] + s[i] & 0xffffffff end
   end
   return ("%08x"):rep(8):format(table.unpack(h))
end

saros.run(function()
   local files = #arg > 0 and {table.unpack(arg)} or {arg[0]}
   local pool <close> = saros.pool(THREADS, {name = "hash"})
   local free = 0
   local counter = saros.spawn(function()
      for _ in saros.every(0.01) do free = free + 1 end
   end)
   local sums = saros.map(files, function(name) return pool:call(sha256, name) end, {return_errors = true})
   counter:cancel()
   for i, name in ipairs(files) do print(sums[i], name) end
   io.stderr:write(("%d files; this loop was free for %d ticks meanwhile\n"):format(#files, free))
end)
