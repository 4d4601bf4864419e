-- plan.lua: what is measured and which goals the figures are shown against.
-- Goals are for our default build on Linux; a figure without one is shown for its own sake.

local plan = {}

plan.shapes = {
   {name = "1x64", connections = 1, size = 64},
   {name = "64x64", connections = 64, size = 64, ratio = 1.15, system_calls = 2.1},
   {name = "1000x64", connections = 1000, size = 64, ratio = 1.28},
   {name = "16of1000x64", connections = 1000, active = 16, size = 64}, -- what idle connections cost the busy ones
   {name = "64x16384", connections = 64, size = 16384, ratio = 1.28},
}

-- The driver whose server CPU per request has goals.
plan.goal_driver = "epoll"

-- part is the word for --only; ours and bare are scripts with their arguments; each name in names is a
-- figure that the script prints, goal is that of the first. With wall the script's whole run is timed.
plan.figures = {
   {
      part = "switch", names = {"switch, 1 task, ns"}, goal = 200,
      ours = {"switch.lua", 1}, bare = {"bare.lua", "switch", 1},
   },
   {
      part = "switch", names = {"switch, 100 tasks, ns"}, goal = 100,
      ours = {"switch.lua", 100}, bare = {"bare.lua", "switch", 100},
   },
   {part = "spawn", names = {"coroutine.create and run, ns"}, bare = {"bare.lua", "create"}},
   {
      part = "spawn", names = {"spawn 1,000, await all, ns each"}, goal = 240,
      ours = {"spawn.lua"}, bare = {"bare.lua", "spawn"},
   },
   {
      part = "queue", names = {"queue of 1, ns a value"},
      ours = {"queue.lua", 1}, bare = {"bare.lua", "queue", 1},
   },
   {
      part = "queue", names = {"queue of 100, ns a value"},
      ours = {"queue.lua", 100}, bare = {"bare.lua", "queue", 100},
   },
   {part = "timers", names = {"100,000 sleeps in 1 s, CPU ms", "the same, mean ms late"}, ours = {"timers.lua"}},
   {part = "timers", names = {"timer start and cancel, ns"}, ours = {"timers.lua", "cancel"}},
   {part = "memory", names = {"bytes per sleeping task"}, ours = {"memory.lua"}, bare = {"bare.lua", "memory"}},
   {
      part = "start", names = {"start of hello, ms"}, goal = 1.5, wall = true,
      ours = {"start.lua"}, bare = {"start.lua"},
   },
}

plan.parts = {"echo", "switch", "spawn", "queue", "timers", "memory", "start"}

return plan
