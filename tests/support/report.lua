-- report.lua: what busted prints here. Each case is named before it runs, so that a crash or a hang shows its place;
-- each failure is told where it happens; the last line counts: "12 passed, 1 failed, 2 pending (0.52 s)".
--
-- Errors outside of cases (a file that does not load, a setup that raises) count as failed.
-- `--verbose` adds Lua's tracebacks to failures.

local pretty = require("pl.pretty")

local function text_of(message)
   if type(message) == "string" then return message end
   local with_text = getmetatable(message)
   if type(with_text) == "table" and with_text.__tostring then return tostring(message) end
   return message == nil and "nil" or pretty.write(message)
end

return function(options)
   local busted = require("busted")
   local handler = require("busted.outputHandlers.base")()

   local function tell(failure)
      io.write(text_of(failure.message), "\n")
      if options.verbose and failure.trace and failure.trace.traceback then io.write(failure.trace.traceback, "\n") end
      io.flush()
   end

   local function file_start(file)
      io.write(file.name, "\n")
      return nil, true
   end

   local function test_start(element)
      io.write("   ", handler.getFullName(element), " ... ")
      io.flush()
      return nil, true
   end

   local said = { success = "ok", pending = "pending", failure = "FAILED", error = "FAILED" }
   local function test_end(element, _, status)
      io.write(("%s (%.0f ms)\n"):format(said[status], element.duration * 1000))
      io.flush()
      return nil, true
   end

   -- A case that cannot be run here says why; it is told before the case's end.
   local function pending_in_test(_, _, message)
      io.write(message and text_of(message) .. ": " or "")
      return nil, true
   end

   local function failure_in_test()
      tell(handler.failures[#handler.failures])
      return nil, true
   end

   local function error_in_test()
      tell(handler.errors[#handler.errors])
      return nil, true
   end

   local function error_outside(element)
      if element.descriptor ~= "it" then
         io.write("ERROR in ", tostring(element.name or element.descriptor), ": ")
         tell(handler.errors[#handler.errors])
      end
      return nil, true
   end

   local function suite_end()
      local failed = handler.failuresCount + handler.errorsCount
      for _, list in ipairs({ handler.failures, handler.errors }) do
         for _, failure in ipairs(list) do
            local trace = failure.element.trace or {}
            local place = trace.short_src and ("%s:%s: "):format(trace.short_src, trace.currentline) or ""
            io.write("FAILED ", place, failure.name or "?", "\n")
         end
      end
      io.write(("%d passed, %d failed, %d pending (%.2f s)\n"):format(handler.successesCount, failed,
         handler.pendingsCount, handler.getDuration()))
      io.flush()
      return nil, true
   end

   busted.subscribe({ "file", "start" }, file_start)
   busted.subscribe({ "test", "start" }, test_start, { predicate = handler.cancelOnPending })
   busted.subscribe({ "test", "end" }, test_end, { predicate = handler.cancelOnPending })
   busted.subscribe({ "pending", "it" }, pending_in_test)
   busted.subscribe({ "failure", "it" }, failure_in_test)
   busted.subscribe({ "error", "it" }, error_in_test)
   busted.subscribe({ "failure" }, error_outside)
   busted.subscribe({ "error" }, error_outside)
   busted.subscribe({ "suite", "end" }, suite_end)
   return handler
end
