-- seeds_spec.lua: saros --seeds: it finds the lowest seed that fails, and tells how to run it again.
--
-- A run knows its seed by the program's arguments: it stands before the script, or before -e.

local saros = require "saros"
local dkjson = require "dkjson"
local kit = require "support.kit"
require("support.leaks")(before_each, after_each)

if not kit.on_best_driver() then return end

local opens = false
for _, driver in ipairs(saros.drivers()) do opens = opens or driver.name == "sim" and driver.opens end

-- Standard output, standard error, exit code.
local function seeds(...)
   return kit.run_apart("SAROS_DRIVER=" .. kit.driver, "--seeds", ...)
end

local function decoded(...)
   local output, errors, code = seeds(...)
   assert.are.equal("", errors)
   local value, at, err = dkjson.decode(output, 1, dkjson.null)
   assert.is_nil(err)
   assert.are.equal(#output, at - 1 + #output:match("%s*$"))
   return value, code
end

local function has(text, part) assert.is_truthy(text:find(part, 1, true), ("%q is not in: %s"):format(part, text)) end

local SEED = "local seed = math.tointeger(arg[-2]) "

describe("saros --seeds, called wrongly,", function()
   local function wrong(part, ...)
      local output, errors, code = seeds(...)
      assert.are.equal(1, code)
      assert.are.equal("", output)
      has(errors, "saros --seeds: ")
      has(errors, part)
      assert.is_nil(errors:find("traceback", 1, true))
   end

   it("names what is wrong", function()
      wrong("a value is missing behind --seeds")
      for _, text in ipairs({ "0", "-1", "x", "1.5", "5..4", "1..", "..3", "1..2..3", "99999999999999999999",
                                "0..9223372036854775807" }) do
         wrong("--seeds needs how many, above 0, or FROM..TO, not '" .. text .. "'", text, "-e", "")
      end
      wrong("only driver sim has seeds, not driver epoll", "3", "--driver", "epoll", "-e", "")
      wrong("unknown option --seed", "3", "--seed", "7", "-e", "")
      wrong("--jobs needs a whole number above 0, not '0'", "3", "--jobs", "0", "-e", "")
   end)

   it("names what else is wrong, where there is a simulated driver", function()
      if not opens then return wrong("sim: ", "3", "-e", "") end
      wrong("no script", "3")
      wrong("cannot open /no/such.lua", "3", "/no/such.lua")
      wrong("--faults nonsense: ", "3", "--faults", "nonsense", "-e", "")
   end)

   it("has a help of its own", function()
      for _, option in ipairs({ "--help", "-h" }) do
         local output, _, code = seeds(option)
         assert.are.equal(0, code)
         has(output, "usage: saros --seeds")
      end
      has(kit.run("--help"), "saros --seeds")
   end)
end)

if not opens then return end

describe("saros --seeds", function()
   it("runs each seed once, on driver sim, whatever SAROS_DRIVER says", function()
      local log, _ <close> = kit.temporary()
      local output, errors, code = seeds("20", "-e", SEED .. [[
         local file <close> = assert(io.open(arg[1], "a"))
         file:write(seed, " ", require "saros".current_loop():driver(), "\n")]], log)
      assert.are.equal("", errors)
      assert.are.equal(0, code)
      assert.is_truthy(output:find("^20 seeds, no failure, %d+%.%d s\n$"), output)
      local seen = {}
      for line in kit.slurp(log):gmatch("[^\n]+") do seen[#seen + 1] = line end
      table.sort(seen)
      local expected = {}
      for i = 1, 20 do expected[i] = i .. " sim" end
      table.sort(expected)
      assert.are.same(expected, seen)
   end)

   it("runs from one seed to another one, and says one seed of one", function()
      local result, code = decoded("7..9", "--json", "-e", SEED .. "assert(seed >= 7 and seed <= 9)")
      assert.are.equal(0, code)
      assert.are.equal(dkjson.null, result.failure)
      assert.are.equal(7, result.from)
      assert.are.equal(9, result.to)
      assert.is_truthy(seeds("1", "-e", ""):find("^1 seed, no failure, "))
      assert.is_truthy(seeds("9223372036854775806..9223372036854775807", "-e", ""):find("^2 seeds, no failure, "))
   end)

   it("tells the lowest seed that fails, also where a higher one fails first", function()
      local flag, _ <close> = kit.temporary()
      os.remove(flag)
      local output, errors, code = seeds("100", "--jobs", "4", "-e", SEED .. [[
         if seed < 5 then return end
         if seed == 6 then io.open(arg[1], "w"):close() end
         while seed == 5 and not io.open(arg[1]) do end
         print("here fails " .. seed)
         error("went wrong")]], flag)
      assert.are.equal(1, code)
      assert.are.equal("", errors)
      has(output, "seed 5 fails: exit code 1\n    here fails 5\n    saros: ")
      has(output, "went wrong")
      has(output, "\n4 seeds below it did not fail, ")
      assert.is_nil(output:find("here fails 6", 1, true))
   end)

   it("gives a command that does the same again", function()
      local folder, _ <close> = kit.temporary()
      local script = folder .. " it's.lua"
      local file = assert(io.open(script, "wb"))
      file:write("if arg[-1] == '3' then io.stderr:write('seed ', arg[-1], ' ', ...) os.exit(9) end")
      file:close()
      local _ <close> = setmetatable({}, { __close = function() os.remove(script) end })
      local output, _, code = seeds("10", script, "$HOME 'x'", "--json")
      assert.are.equal(1, code)
      local line = output:match("\nto run it again: ([^\n]+)\n")
      has(line, " --driver sim --seed 3 ")
      local again, how, status = kit.shell(line)
      assert.are.equal("exit", how)
      assert.are.equal(9, status)
      assert.are.equal("seed 3 $HOME 'x'", again:sub(1, 16))
      has(output, "seed 3 fails: exit code 9\n    " .. again)
   end)

   it("passes the faults on, and names them in the command", function()
      local result, code = decoded("3", "--faults", "chaos", "--json", "-e", "os.exit(arg[-2] == 'chaos' and 4 or 5)")
      assert.are.equal(1, code)
      assert.are.equal("chaos", result.faults)
      assert.are.equal(4, result.failure.code)
      has(result.failure.replay, " --seed 1 --faults chaos -e ")
   end)

   it("tells a signal and a run that does not end", function()
      local result = decoded("3", "--json", "-e", SEED .. "if seed == 2 then os.execute('kill -KILL $PPID') end")
      assert.are.equal(2, result.failure.seed)
      assert.are.equal("ended by SIGKILL", result.failure.reason)
      assert.are.equal(9, result.failure.signal)
      assert.are.equal(dkjson.null, result.failure.code)
      local output, _, code = seeds("3", "--timeout", "0.3", "-e", "while true do end")
      assert.are.equal(1, code)
      has(output, "seed 1 fails: did not end within 0.3 s\n")
   end)

   it("takes a deadlock for a failure, with who waits", function()
      local output, _, code = seeds("2", "-e", "local saros = require 'saros' saros.listen('127.0.0.1:0'):accept()")
      assert.are.equal(1, code)
      has(output, "seed 1 fails: exit code 35\n")
      has(output, "deadlock")
      has(output, "\nit is the first seed, ")
   end)

   it("ends cleanly where it is interrupted; exit 130", function()
      if not io.open("/proc/self/stat") then return end
      local output, errors, code = seeds("1000", "-e", SEED .. [[
         if seed < 10 then return end
         local file <close> = assert(io.open("/proc/self/stat"))
         os.execute("kill -INT " .. file:read("a"):match("^%d+ %(.*%) %a (%d+)"))
         while true do end]])
      assert.are.equal(130, code)
      assert.are.equal("", output)
      assert.is_truthy(errors:find("^saros %-%-seeds: interrupted after %d+ seeds?, no failure\n$"), errors)
   end)
end)
