-- children.lua: what specs of processes have in common.

local saros = require "saros"
local assert = require "luassert"

local children = {}

-- Many processes, each of which ends with its own number once its stdin has ended: all are told.
function children.end_together(count, spawn)
   local list, tasks = {}, {}
   for i = 1, count do
      list[i] = assert(spawn(i))
      tasks[i] = saros.spawn(list[i].wait, list[i])
   end
   for i = 1, count do list[i].stdin:close() end
   for i = 1, count do
      assert.are.same({"exit", i}, {tasks[i]:await()})
      list[i]:close()
   end
end

-- None is left where its task is cancelled while it begins, in whatever turn.
function children.gone_when_cancelled(spawn)
   for turns = 0, 6 do
      local task = saros.spawn(function()
         local p <close> = assert(spawn())
         p:wait()
      end)
      for _ = 1, turns do saros.sleep(0) end
      task:cancel()
      assert.is_false((saros.pcall(task.await, task)))
   end
end

return children
