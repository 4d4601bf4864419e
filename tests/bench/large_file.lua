-- large_file.lua: makes a file of so many MiB, which then is in the system's memory, and returns its name: the caller removes it.

return function(megabytes)
   local name = os.tmpname()
   local file <close> = assert(io.open(name, "wb"))
   local piece = ("x"):rep(1024 * 1024)
   for _ = 1, megabytes do
      file:write(piece)
   end
   return name
end
