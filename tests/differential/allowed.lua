-- allowed.lua: where drivers may differ, and why. Reviewed, and short.
--
-- A row is {driver =, kind =, reason =}: what statements of this kind log (or "exit", or "report") is not compared on this
-- driver. A row that no program of a run has needed, although the statement came up, fails that run.
local NO_FOLDER = "a simulated socket is in no folder, and so no file stays behind its listener: ENOENT, not ECONNREFUSED"

return {
   { driver = "sim:readiness", kind = "connect to a socket that is left over", reason = NO_FOLDER },
   { driver = "sim:completion", kind = "connect to a socket that is left over", reason = NO_FOLDER },
}
