-- plan.lua: what is measured and which goals the figures are shown against.
-- Goals are for our default build on Linux; a figure without one is shown for its own sake.

local plan = {}

plan.shapes = {
   {name = "1x64", connections = 1, size = 64},
   {name = "64x64", connections = 64, size = 64, ratio = 1.15, system_calls = 2.1},
   {name = "1000x64", connections = 1000, size = 64, ratio = 1.28},
   {name = "16of1000x64", connections = 1000, active = 16, size = 64}, -- what idle connections cost the busy ones
   {name = "tls64x64", connections = 64, size = 64, tls = true, ratio = 1.2}, -- beside OpenSSL in C
   {name = "tls64x16384", connections = 64, size = 16384, tls = true, ratio = 1.2},
   {name = "64x16384", connections = 64, size = 16384, ratio = 1.28, way_ratio = 1.15},
}

-- Other ways to write the same server, on the driver that has goals.
plan.ways = {
   {name = "saros.copy", script = "echo_copy.lua"},
   {name = "saros.buffer", script = "echo_buffer.lua"},
}

-- The driver whose server CPU per request has goals.
plan.goal_driver = "epoll"

-- part is the word for --only; ours and bare are scripts with their arguments; each name in names is a
-- figure that the script prints, goals are theirs, ratio is a goal for the first divided by bare Lua's. With wall the
-- script's whole run is timed. native: a program in C in place of bare Lua. peer: what the programs in peers/ are asked for;
plan.figures = {
   {
      part = "switch", names = {"switch, 1 task, ns"}, goals = {200},
      ours = {"switch.lua", 1}, bare = {"bare.lua", "switch", 1}, peer = {"switch", 1},
   },
   {
      part = "switch", names = {"switch, 100 tasks, ns"}, goals = {100},
      ours = {"switch.lua", 100}, bare = {"bare.lua", "switch", 100}, peer = {"switch", 100},
   },
   {part = "spawn", names = {"coroutine.create and run, ns"}, bare = {"bare.lua", "create"}},
   {
      part = "spawn", names = {"spawn 1,000, await all, ns each"}, goals = {240},
      ours = {"spawn.lua"}, bare = {"bare.lua", "spawn"}, peer = {"spawn"},
   },
   {
      part = "queue", names = {"queue of 1, ns a value"}, goals = {180},
      ours = {"queue.lua", 1}, bare = {"bare.lua", "queue", 1}, peer = {"queue", 1},
   },
   {
      part = "queue", names = {"queue of 100, ns a value"}, goals = {60},
      ours = {"queue.lua", 100}, bare = {"bare.lua", "queue", 100}, peer = {"queue", 100},
   },
   {
      part = "timers", names = {"100,000 sleeps in 1 s, CPU ms", "the same, mean ms late"}, goals = {320, 2},
      ours = {"timers.lua"}, peer = {"timers"}, not_in = {["lua-eco"] = true},
   },
   {
      part = "timers", names = {"timer start and cancel, ns"}, goals = {110},
      ours = {"timers.lua", "cancel"}, peer = {"cancel"}, not_in = {cqueues = true},
   },
   {
      part = "memory", names = {"bytes per sleeping task"}, goals = {1550},
      ours = {"memory.lua"}, bare = {"bare.lua", "memory"}, peer = {"memory"}, not_in = {["lua-eco"] = true},
   },
   {
      part = "memory", names = {"bytes per idle connection"}, goals = {1700}, ours = {"connections.lua"},
   },
   {part = "memory", names = {"the same, of saros.serve"}, ours = {"connections.lua", "serve"}},
   {
      part = "accept", names = {"1,000 connect at once: slowest to median"}, goals = {3}, ours = {"accept.lua"},
   },
   {part = "calls", names = {"pcall, ns"}, ratio = 1.1, ours = {"calls.lua", "pcall"}, bare = {"bare.lua", "pcall"}},
   {
      part = "calls", names = {"a generator's value by coroutine.wrap, ns"}, ratio = 1.15,
      ours = {"calls.lua", "wrap"}, bare = {"bare.lua", "wrap"},
   },
   {
      part = "calls", names = {"a generator's value by coroutine.resume, ns"}, ratio = 1.15,
      ours = {"calls.lua", "resume"}, bare = {"bare.lua", "resume"},
   },
   {
      part = "file", names = {"a file of 256 MiB in pieces of 64 KiB, CPU ms"}, ratio = 1.5,
      ours = {"file.lua"}, bare = {"file.lua"},
   },
   {
      part = "file", names = {"the same (not bare Lua, but libuv in C)"}, ratio = 1,
      ours = {"file.lua"}, native = "file",
   },
   {
      part = "file", names = {"256 MiB of a file on a connection, CPU ms (not bare Lua, but sendfile in C)"}, ratio = 1.3,
      ours = {"send.lua"}, native = "send",
   },
   {
      part = "children", ratio = 1.3,
      names = {"1,000 children with a pipe, ms (not bare Lua, but libuv in C)"},
      ours = {"children.lua"}, native = "children",
   },
   {
      part = "threads",
      names = {"a message to a thread and back, CPU us", "the same, 100 under way", "a thread begun and awaited, CPU us"},
      ours = {"threads.lua"},
   },
   {
      part = "start", names = {"start of hello, ms"}, goals = {1.5}, wall = true,
      ours = {"start.lua"}, bare = {"start.lua"},
   },
}

-- Others that are measured beside us where they are installed; interpreter is a setting, try a line that it runs where
-- the peer is there.
plan.peers = {
   {name = "asyncio", interpreter = "python", try = {"-c", "import asyncio"}, script = {"in_python.py", "asyncio"}},
   {name = "uvloop", interpreter = "python", try = {"-c", "import uvloop"}, script = {"in_python.py", "uvloop"}},
   {name = "cqueues", interpreter = "lua", try = {"-e", 'require "cqueues"'}, script = {"in_cqueues.lua"}},
   {name = "lua-eco", interpreter = "eco", try = {"-e", 'require "eco"'}, script = {"in_eco.lua"}},
}
plan.peer_rounds = 3 -- they are slower, and nobody decides anything by their third digit

plan.parts = {"echo", "switch", "spawn", "queue", "timers", "memory", "accept", "calls", "file", "children", "threads", "start"}

return plan
