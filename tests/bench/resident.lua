-- resident.lua: gives a function that says how many bytes of this process are in memory, garbage apart. Linux only (/proc).

return function()
   collectgarbage()
   collectgarbage()
   for line in io.lines("/proc/self/status") do
      local kib = line:match("^VmRSS:%s*(%d+) kB")
      if kib then
         return tonumber(kib) * 1024
      end
   end
   error("no VmRSS in /proc/self/status")
end
