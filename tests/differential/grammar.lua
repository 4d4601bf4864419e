-- grammar.lua: all statements that programs are made of; how a program may end.
--
-- To add a statement, add an entry to one of the six lists; generate.lua says what an entry is, and by which rule no
-- lane may depend on a race.
local net = require "differential.statements_net"
local datagrams = require "differential.statements_datagrams"

-- Drivers differ in what they do with connections, if they do.
for _, statement in ipairs(net.all) do statement.weight = statement.weight * 2 end
for _, statement in ipairs(datagrams.all) do statement.weight = statement.weight * 2 end

local all = { first = table.move(datagrams.first, 1, #datagrams.first, #net.first + 1, net.first) }
for _, list in ipairs({ require "differential.statements_alone", require "differential.statements_several",
                        require "differential.statements_generators",
                        require "differential.statements_pairs", net.all, datagrams.all }) do
   table.move(list, 1, #list, #all + 1, all)
end

local function ending(name, code)
   all[#all + 1] = { name = name, weight = 1, make = function(g, s)
      if g.ending then return false end
      g.ending = true
      s.parts.ending = { code }
   end }
end

ending("end by an error", "error('the end', 0)")
ending("end by os.exit", "os.exit(3)")
ending("end by a cancellation", "saros.current_task():cancel('the end')\nsaros.sleep(0)")

return all
