-- drivers.lua: saros --drivers: which drivers there are, which of them open here, and why the others do not.
local host = ...
local command, json = host.part("command"), host.part("json")

local USAGE = [[
usage: saros --drivers [--json]

Lists the known drivers, best first, and tries each: is it compiled into this build, does it open here, and if not, why.
The one marked with * is what a script gets that asks for none: $SAROS_DRIVER, or the best that opens.
]]

local function as_text(drivers)
   local rows = {{"driver", "compiled", "opens", ""}}
   for i, driver in ipairs(drivers) do
      local about = driver.about
      if driver.reason then about = about .. "; " .. driver.reason end
      rows[i + 1] = {driver.name .. (driver.default and " *" or ""), driver.compiled and "yes" or "no",
                     driver.opens and "yes" or "no", about}
   end
   return command.table(rows, {true, true, true, true})
end

local function as_json(drivers)
   for _, driver in ipairs(drivers) do driver.reason = driver.reason or json.null end
   return json.encode(json.list(drivers)) .. "\n"
end

local function main(words)
   local options, at = command.options(words, 1, {["--drivers"] = "flag", ["--json"] = "flag", ["--help"] = "flag",
                                                 ["-h"] = "flag"})
   if options.help or options.h then return io.write(USAGE) and 0 end
   if words[at] then command.wrong("unknown argument '%s'; see --help", words[at]) end
   local drivers = host.saros.drivers()
   io.write(options.json and as_json(drivers) or as_text(drivers))
   for _, driver in ipairs(drivers) do
      if driver.default then return 0 end
   end
   -- The list is there all the same; but whoever asks for no driver will get none.
   local _, why = pcall(host.saros.loop, {})
   command.wrong("%s", why)
end

return function(words) return command.run("saros --drivers", main, words) end
