-- allowed.lua: where drivers may differ, and why. Reviewed, and short.
--
-- A row is {driver =, kind =, reason =}: what statements of this kind log (or "exit", or "report") is not compared on this
-- driver. A row that no program of a run has needed, although the statement came up, fails that run. Today there is none.
return {}
