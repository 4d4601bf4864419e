-- file.lua [MiB]: reads a file of so many MiB (256), which is in the system's memory, in pieces of 64 KiB: with saros.open
-- where Saros is, with io.open in stock Lua. Prints milliseconds of CPU, of all threads.

local PIECE <const> = 64 * 1024

local found, saros = pcall(require, "saros")
local megabytes = tonumber(arg[1]) or 256
local name = dofile((arg[0]:gsub("[^/]*$", "large_file.lua")))(megabytes)

local open = found and saros.open or io.open
local cpu = os.clock()
local file = assert(open(name, "rb"))
local bytes = 0
for piece in file:lines(PIECE) do
   bytes = bytes + #piece
end
file:close()
print((os.clock() - cpu) * 1000)
os.remove(name)
assert(bytes == megabytes * 1024 * 1024)
